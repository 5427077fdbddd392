"""Each kind of mistake in a file is told with the file, its line and the field."""

from pathlib import Path

import pytest

from bridge.fleet import Fleet, StanzaError
from bridge.fleet.load import load, read_stanza


@pytest.fixture
def write(tmp_path):
    """Writes images/NAME/stanza.yaml; returns images/."""

    def to(text: str | bytes, name: str = "time") -> Path:
        path = tmp_path / "images" / name / "stanza.yaml"
        path.parent.mkdir(parents=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / "images"

    return to


def mistakes(images: Path) -> list[str]:
    with pytest.raises(StanzaError) as error:
        load(images)
    return [line.removeprefix(f"{images}/") for line in str(error.value).splitlines()]


GOOD = "pypi: a==1\ncommand: a\n"


@pytest.mark.parametrize("text, said", [
    (GOOD + "smoke:\n  arguments: {}\n", "time/stanza.yaml:3: smoke.tool: Field required"),
    (GOOD + "smok: {tool: a}\n", "time/stanza.yaml:3: smok: unknown field; there are description, pypi, "),
    (GOOD + "limits:\n  memory: 1G\n", "time/stanza.yaml:4: limits.memory: "),
    (GOOD + "limits:\n  memori: 1g\n", "time/stanza.yaml:4: limits.memori: unknown field; there are memory, pids, cpus, shm"),
    (GOOD + "secrets:\n  KEY: {kind: value, as_: x}\n", "time/stanza.yaml:4: secrets.KEY."),
    (GOOD + "volumes:\n  - a:/a\n  - b\n", "time/stanza.yaml:5: volumes.1: 'b': write SOURCE:/TARGET"),
    (GOOD + "egress: perhaps\n", "time/stanza.yaml:3: egress: "),
    ("pypi: a\ncommand: a\n", "time/stanza.yaml:1: pypi: 'a' is not pinned"),
    ("description: a\n", "time/stanza.yaml:1: 'command' is missing"),
    (GOOD + "description: x\ncommand: b\n", "time/stanza.yaml:4: command: already said in line 2"),
    (GOOD + "name: clock\n", "time/stanza.yaml:3: name: an MCP is called as its folder, 'time'"),
    (GOOD + "bridge: {max_in_flight: many}\n", "time/stanza.yaml:3: bridge: max_in_flight: "),
    ("pypi: [a==1\ncommand: a\n", "time/stanza.yaml:2: "),
    ("pypi:\ta==1\n", "time/stanza.yaml:1: "),
    ("- a\n- b\n", "time/stanza.yaml:1: expected fields"),
    (b"description: \xff\n", "time/stanza.yaml: not UTF-8"),
    ("", "time/stanza.yaml:1: 'command' is missing"),
])
def test_a_mistake_is_told_by_file_line_and_field(write, text, said):
    told = mistakes(write(text))

    assert any(line.startswith(said) for line in told), told


def test_all_mistakes_of_all_files_are_told_at_once(write):
    write(GOOD + "a: 1\nb: 2\n")

    told = mistakes(write(GOOD + "c: 3\n", "zoo"))

    assert [line.partition(": unknown")[0] for line in told] == ["time/stanza.yaml:3: a", "time/stanza.yaml:4: b", "zoo/stanza.yaml:3: c"]


def test_two_mcps_of_one_name_in_litellm_are_refused(write):
    write(GOOD + "litellm: {alias: clock}\n")

    assert mistakes(write(GOOD, "clock")) == ["fleet.yaml:1: two stanzas have the LiteLLM name (alias) 'clock'"]


def test_fleet_yaml_says_things_once_for_all(write, tmp_path):
    images = write(GOOD)
    (images / "fleet.yaml").write_text("port: 9000\nlitellm: {version: 1.90.0}\n")
    (tmp_path / "litellm").mkdir()
    (tmp_path / "litellm/base.yaml").write_text("model_list: []\n")

    fleet = Fleet.load(images, name="mine")

    assert (fleet.port, fleet.name, fleet.litellm.version, fleet.litellm.base) == (9000, "mine", "1.90.0", {"model_list": []})
    (images / "fleet.yaml").write_text("litellm:\n  versoin: 1\n")
    assert mistakes(images)[0].startswith("fleet.yaml:2: litellm.versoin: ")


def test_a_missing_folder_says_where_to_run_this(tmp_path):
    with pytest.raises(StanzaError, match="run this where 'images' is"):
        load(tmp_path / "images")


def test_a_stanza_takes_its_folder_s_name(write):
    assert read_stanza(write(GOOD) / "time/stanza.yaml").name == "time"
