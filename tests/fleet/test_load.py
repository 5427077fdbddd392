"""Each kind of mistake in a file is told with the file, its line and the field."""

from pathlib import Path

import pytest

from bridge.fleet import Fleet, Stanza, StanzaError
from bridge.fleet.load import read_stanza
from bridge.settings import UsageError


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
        Fleet.load(images)
    return [line.removeprefix(f"{images}/") for line in str(error.value).splitlines()]


GOOD = "pypi: a==1\ncommand: a\n"


@pytest.mark.parametrize(
    "text, said",
    [
        (GOOD + "smoke:\n  arguments: {}\n", "time/stanza.yaml:3: smoke.tool: Field required"),
        (GOOD + "smok: {tool: a}\n", "time/stanza.yaml:3: smok: unknown field; there are description, pypi, "),
        (GOOD + "limits:\n  memory: 1G\n", "time/stanza.yaml:4: limits.memory: "),
        (GOOD + "limits:\n  memori: 1g\n", "time/stanza.yaml:4: limits.memori: unknown field; there are memory, pids, cpus, shm"),
        (GOOD + "secrets:\n  KEY: {kind: value, as_: x}\n", "time/stanza.yaml:4: secrets.KEY."),
        (GOOD + "volumes:\n  - a:/a\n  - b\n", "time/stanza.yaml:5: volumes.1: 'b': write SOURCE:/TARGET"),
        (GOOD + "egress: perhaps\n", "time/stanza.yaml:3: egress: "),
        ("pypi: a\ncommand: a\n", "time/stanza.yaml:1: pypi: 'a' is not pinned"),
        ("description: a\n", "time/stanza.yaml:1: 'command' is missing"),
        (GOOD + "description: x\ncommand: b\n", "time/stanza.yaml:4: command: duplicate field; the first is in line 2"),
        (GOOD + "name: clock\n", "time/stanza.yaml:3: name: an MCP is called as its folder, 'time'"),
        (GOOD + "bridge: {max_in_flight: many}\n", "time/stanza.yaml:3: bridge: max_in_flight: "),
        ("pypi: [a==1\ncommand: a\n", "time/stanza.yaml:2: "),
        ("pypi:\ta==1\n", "time/stanza.yaml:1: "),
        ("- a\n- b\n", "time/stanza.yaml:1: must be a mapping"),
        (b"description: \xff\n", "time/stanza.yaml: not UTF-8"),
        ("", "time/stanza.yaml:1: 'command' is missing"),
        (GOOD + "secrets: [A, {B: {}}]\n", "time/stanza.yaml:3: secrets: {'B': {}}: write a list of names, or NAME: {…}"),
        (
            GOOD + "smoke: {tool: t, arguments: {since: 2024-01-01}}\n",
            "time/stanza.yaml:3: smoke.arguments: since: date cannot be written as JSON",
        ),
        (GOOD + "smoke: {tool: t, arguments: {a: [.nan]}}\n", "time/stanza.yaml:3: smoke.arguments: a: list cannot be written as JSON"),
        (
            GOOD + "smoke: {tool: t, arguments: {a: !!binary aGk=}}\n",
            "time/stanza.yaml:3: smoke.arguments: a: bytes cannot be written as JSON",
        ),
        (GOOD + "smoke: {tool: t, arguments: {a: !!set {b}}}\n", "time/stanza.yaml:3: smoke.arguments: a: set cannot be written as JSON"),
        (GOOD + "env:\n  A: 2024-13-45\n", "time/stanza.yaml:1: month must be in 1..12: a string that looks like a date"),
        (GOOD + "apt: &a [*a]\n", "time/stanza.yaml:3: apt.0: contains itself"),
        (GOOD + "volumes: ['my data:/data']\n", "time/stanza.yaml:3: volumes.0: 'my data': a volume's name is two or more letters"),
        (GOOD + "volumes: ['${D:-a b}:/data']\n", "time/stanza.yaml:3: volumes.0: 'a b': a volume's name is two or more letters"),
        (GOOD + "secrets: {BRIDGE_TOKEN: {}}\n", "time/stanza.yaml:3: secrets: 'BRIDGE_TOKEN' is the fleet's own"),
        (GOOD + "secrets: [API_KEY, api_key]\n", "time/stanza.yaml:3: secrets: 'API_KEY' and 'api_key' differ in their case only"),
        ("url: https://a\ntransport: http\nauth: {value_env: a b}\n", "time/stanza.yaml:3: auth: value_env: 'a b' is not the name"),
        ("url: foo\ntransport: http\n", "time/stanza.yaml:1: url: 'foo': write http://… or https://…"),
        ("url: ftp://a\ntransport: http\n", "time/stanza.yaml:1: url: 'ftp://a': write http"),
        (GOOD + "files: nosuch\n", "time/stanza.yaml:3: files: there is no folder 'nosuch' in "),
        ("command: a\nbinary:\n  file: a-{arch}\n", "time/stanza.yaml:3: binary.file: there is no file 'a-{arch}' in "),
        (GOOD + "python: 3.12\n", "time/stanza.yaml:3: python: must be a string, not 3.12; quote it"),
        (
            GOOD + "limits: {memory: 256}\n",
            "time/stanza.yaml:3: limits.memory: must be a string, not 256; quote it, with a unit (256m, 1g)",
        ),
        (GOOD + "limits: 256m\n", "time/stanza.yaml:3: limits: must be a mapping, not '256m'; its fields are memory, pids, cpus, shm"),
        (GOOD + "bridge: {max_in_flight: a}\n", "time/stanza.yaml:3: bridge: max_in_flight: must be a number, not 'a'"),
    ],
)
def test_a_mistake_is_told_by_file_line_and_field(write, text, said):
    told = mistakes(write(text))

    assert any(line.startswith(said) for line in told), told


def test_all_mistakes_of_all_files_are_told_at_once(write):
    write(GOOD + "a: 1\nb: 2\n")

    told = mistakes(write(GOOD + "c: 3\n", "zoo"))

    assert [line.partition(": unknown")[0] for line in told] == ["time/stanza.yaml:3: a", "time/stanza.yaml:4: b", "zoo/stanza.yaml:3: c"]


@pytest.mark.parametrize("value, shown", [("", "nothing"), ("2024-01-01", "2024-01-01"), ("[a]", "['a']")])
def test_a_variable_that_is_no_text_is_one_mistake(write, value, shown):
    assert mistakes(write(GOOD + f"env:\n  A: {value}\n")) == [
        f"time/stanza.yaml:4: env.A: must be a string, a number or a boolean, not {shown}; quote it"
    ]


@pytest.mark.parametrize(
    "text, said",
    [
        ("litellm: 1.80.0\n", "fleet.yaml:1: litellm: must be a mapping: litellm: {version: 1.80.0}"),
        ("litellm:\n", "fleet.yaml:1: litellm: must be a mapping"),
        ("litellm: [a]\n", "fleet.yaml:1: litellm: must be a mapping"),
        ("stanzas: []\n", "fleet.yaml:1: stanzas: each stands in images/NAME/stanza.yaml: take this out"),
        ("litellm:\n  store_model_in_db: true\n", "fleet.yaml:1: litellm: store_model_in_db: true needs database: true"),
        ("prt: 1\n", "fleet.yaml:1: prt: unknown field; there are litellm, name, port, origins, "),
    ],
)
def test_a_mistake_of_the_fleet_is_told_in_the_fleet_s_words(write, text, said):
    images = write(GOOD)
    (images / "fleet.yaml").write_text(text)
    (images.parent / "litellm").mkdir()
    (images.parent / "litellm/base.yaml").write_text("")

    assert mistakes(images)[0].startswith(said)


@pytest.mark.parametrize(
    "text, said",
    [
        ("a: 1\ngeneral_settings: [a]\n", ":2: general_settings: must be a mapping"),
        ("mcp_servers: [a]\n", ":1: mcp_servers: must be a mapping"),
        ("model_list: foo\n", ":1: model_list: must be a list"),
        (
            "general_settings:\n  allow_requests_on_db_unavailable: true\n",
            ":2: general_settings.allow_requests_on_db_unavailable: while the database is away, LiteLLM 1.77.3 would let in whoever shows any key at all",
        ),
        (
            "mcp_servers:\n  zoo: {url: http://zoo, extra_headers: [X-Team, Authorization]}\n",
            ":2: mcp_servers.zoo.extra_headers: Authorization: LiteLLM would hand its users' own LiteLLM keys to this MCP",
        ),
    ],
)
def test_a_base_that_is_no_config_or_opens_doors_is_told(write, tmp_path, text, said):
    images = write(GOOD)
    (tmp_path / "litellm").mkdir()
    (tmp_path / "litellm/base.yaml").write_text(text)

    assert mistakes(images)[0].startswith(f"{tmp_path}/litellm/base.yaml{said}")


@pytest.mark.parametrize("header", ["authorization", "Authorization", "X-LiteLLM-API-Key"])
def test_litellm_never_hands_its_users_keys_to_an_mcp(write, header):
    images = write(GOOD + f"litellm:\n  extra_headers: [X-Team, {header}]\n")

    assert mistakes(images)[0].startswith(
        f"time/stanza.yaml:4: litellm.extra_headers: {header}: LiteLLM would hand its users' own LiteLLM keys"
    )


def test_a_fleet_has_one_database_for_litellm(write, tmp_path):
    images = write(GOOD)
    (images / "fleet.yaml").write_text("litellm: {database: true}\n")
    (tmp_path / "litellm").mkdir()
    (tmp_path / "litellm/base.yaml").write_text("general_settings: {database_url: os.environ/DATABASE_URL}\n")

    assert "names one (general_settings.database_url): take one of them out" in mistakes(images)[0]


def test_two_mcps_of_one_name_in_litellm_are_refused(write):
    write(GOOD + "litellm: {alias: clock}\n")

    images = write(GOOD, "clock")

    assert mistakes(images) == [
        f"time/stanza.yaml:1: litellm.alias: {images}/clock/stanza.yaml has the name 'clock' in LiteLLM too: give one another alias"
    ]


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
        Fleet.load(tmp_path / "images")


def test_a_stanza_takes_its_folder_s_name(write):
    assert read_stanza(write(GOOD) / "time/stanza.yaml").name == "time"


@pytest.mark.parametrize(
    "groups, why",
    [
        ({"time": ["time"]}, "groups: time: there is an MCP of this name"),
        ({"dev": ["nobody"]}, "groups: dev: 'nobody' is no MCP here"),
        ({"dev": []}, "groups: dev: it has no members"),
        ({"Dev/x": ["time"]}, "it stands in a path"),
    ],
)
def test_a_group_of_the_fleet_has_members_that_are_there(groups, why):
    stanza = Stanza(name="time", pypi="mcp-server-time==1", command=["mcp-server-time"])

    with pytest.raises(ValueError, match=why):
        Fleet(stanzas=[stanza], groups=groups)


def test_groups_are_refused_where_each_mcp_is_a_bridge_of_its_own():
    stanza = Stanza(name="time", pypi="mcp-server-time==1", command=["mcp-server-time"])
    fleet = Fleet(stanzas=[stanza], groups={"dev": ["time"]})

    with pytest.raises(UsageError, match="groups of images/fleet.yaml \\(dev\\): the Kubernetes manifests"):
        list(fleet.render("kubernetes"))
