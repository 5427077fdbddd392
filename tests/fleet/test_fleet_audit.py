"""`audit: true` in images/fleet.yaml, and `mcp-bridge audit` without a file."""

import json
from pathlib import Path

import pytest
import yaml
from kinds import PYTHON

from bridge.cli import main
from bridge.fleet import Fleet
from bridge.fleet.engines import LastUp, remember
from bridge.fleet.engines import compose as engine
from bridge.fleet.engines.checkout import Container
from bridge.fleet.project import Project
from bridge.fleet.targets import compose, kubernetes

AUDITED = Fleet(stanzas=[PYTHON], audit=True)


def test_each_sidecar_writes_into_a_volume_that_no_other_sees():
    service = compose.sidecar(AUDITED, PYTHON)["services"]["clock"]
    front = compose.door(AUDITED)

    assert "clock-audit:/run/audit" in service["volumes"] and "clock-audit" in front["volumes"]
    assert service["environment"]["MCP_BRIDGE_AUDIT"] == "/run/audit/audit.jsonl"
    assert "clock-audit:/audit/clock" in front["services"]["keys"]["volumes"]  # which makes it writable, and is read from
    quiet = compose.sidecar(Fleet(stanzas=[PYTHON]), PYTHON)
    assert "audit" not in yaml.safe_dump(quiet)


def test_in_kubernetes_it_is_a_part_of_the_log():
    pod = next(one for one in kubernetes.sidecar(AUDITED, PYTHON) if one["kind"] == "Deployment")["spec"]["template"]["spec"]

    assert {"name": "MCP_BRIDGE_AUDIT", "value": "-"} in pod["containers"][0]["env"]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "images").mkdir()
    return Project(tmp_path)


def written(folder, **lines: tuple[str, ...]) -> None:
    for name, times in lines.items():
        (folder / name).mkdir(parents=True)
        told = [
            json.dumps({"time": time, "caller": "alice", "mcp": name, "method": "tools/call", "tool": "now", "outcome": "ok"})
            for time in times
        ]
        (folder / name / "audit.jsonl").write_text("\n".join(told) + "\n")


def test_without_docker_one_file_has_all(project, capsys):
    remember(project, LastUp("embedded", ("clock",), {}, "1.77.3"))
    written(project.state, embedded=("2026-11-26T08:00:00.000Z",))

    assert main(["audit", "--project", str(project.root), "--caller", "alice"]) == 0
    assert "now" in capsys.readouterr().out


def test_with_docker_the_volumes_are_read_together_by_time(project, monkeypatch, capsys):
    remember(project, LastUp("compose", ("clock", "git"), {}, "1.77.3"))
    keys = Container(**dict.fromkeys(Container.__dataclass_fields__, "") | {"name": "p-keys-1", "service": "keys"})
    monkeypatch.setattr(engine.checkout, "of_project", lambda name: [keys])

    def asked(words, *_):
        assert words[:4] == ["docker", "cp", "--quiet", "p-keys-1:/audit"]
        written(Path(words[4]) / "audit", clock=("2026-11-26T08:00:00.000Z", "2026-11-26T10:00:00.000Z"), git=("2026-11-26T09:00:00.000Z",))
        return ""

    monkeypatch.setattr(engine.docker, "asked", asked)

    assert main(["audit", "--project", str(project.root), "--json"]) == 0
    assert [json.loads(line)["mcp"] for line in capsys.readouterr().out.splitlines()] == ["clock", "git", "clock"]


def test_where_nothing_was_written_the_way_to_it_is_told(project, capsys):
    remember(project, LastUp("embedded", ("clock",), {}, "1.77.3"))

    assert main(["audit", "--project", str(project.root)]) == 2
    assert "audit: true" in capsys.readouterr().err
