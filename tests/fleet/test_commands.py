"""The command line of the fleet: what is wrong is one line with the way out, and nothing is imported that is not needed."""

import argparse
import os
import signal
import subprocess
import sys

import pytest
import yaml
from support import ROOT

from bridge import cli
from bridge.cli import FLEET, main
from bridge.fleet import Fleet, commands, lock
from bridge.fleet.doctor import machine
from bridge.fleet.engines import EngineError, LastUp, Running, Urls, choice, remember, remembered
from bridge.fleet.engines.choice import running
from bridge.fleet.project import Project


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project, in which the commands are typed."""
    (tmp_path / "images/time").mkdir(parents=True)
    (tmp_path / "images/time/stanza.yaml").write_text(yaml.safe_dump({"command": "mcp-server-time", "smoke": {"tool": "get_current_time"}}))
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def typed(*words: str) -> int:
    try:
        return main(list(words))
    except SystemExit as leaving:
        return leaving.code


@pytest.mark.parametrize("name", FLEET)
def test_each_command_explains_itself(name, capsys):
    assert typed(name, "--help") == 0
    said = capsys.readouterr().out

    assert f"mcp-bridge {name}" in said
    assert "--project DIR" in said


def test_serve_and_help_import_nothing_of_the_fleet():
    code = (
        "import sys; from bridge.cli import _parser; _parser(['serve']); _parser(['--help']); import bridge.serve; "
        "print([name for name in sys.modules if name.startswith(('pydantic', 'mcp', 'bridge.fleet', 'yaml', 'httpx2'))])"
    )
    said = subprocess.check_output([sys.executable, "-c", code], text=True, timeout=20, cwd=ROOT)

    assert said == "[]\n"


@pytest.mark.parametrize("name", ["down", "ps", "logs", "render"])
def test_commands_that_ask_no_server_do_not_import_the_sdk(name):
    code = f"import sys; from bridge.cli import _parser; _parser(['{name}']); print([name for name in sys.modules if name in ('mcp', 'httpx2')])"
    said = subprocess.check_output([sys.executable, "-c", code], text=True, timeout=20, cwd=ROOT)

    assert said == "[]\n"


@pytest.mark.parametrize("words", [("ps",), ("verify",), ("tools",), ("logs", "time")])
def test_before_anything_was_started(project, words, capsys):
    assert typed(*words) == 2
    assert "nothing was started here: `mcp-bridge up` does that" in capsys.readouterr().err


def test_what_a_down_has_kept_a_later_one_deletes(project, capsys):
    """`down` names that command itself."""
    notes = project.state / "embedded/volumes/notes"
    notes.mkdir(parents=True)

    assert typed("down") == 0 and notes.exists()
    assert typed("down", "--volumes") == 0 and not notes.exists()
    assert typed("down", "--volumes") == 0
    assert capsys.readouterr().err.count("nothing was started here") == 2


def test_outside_of_a_project(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert typed("up") == 2
    assert "no folder 'images' in" in capsys.readouterr().err

    assert typed("ps", "--project", str(tmp_path)) == 2
    assert "there is no folder 'images' in it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("up", "tima"), "no MCP 'tima'; there are time"),
        (("up", "--litellm-version", "newest"), "'newest' is not a version"),
        (("render", "--litellm-version", "1"), "'1' is not a version"),
        (("up", "--engine", "podman"), "invalid choice: 'podman'"),
        (("ps", "--", "ls"), "nothing belongs after '--' here"),
        (("verify", "--jsn"), "unrecognized arguments: --jsn"),
    ],
)
def test_wrong_usage_is_told_in_one_line(project, words, says, capsys):
    assert typed(*words) == 2
    said = capsys.readouterr().err

    assert says in said
    assert len(said.splitlines()) == 1
    assert not (project.root / "compose").exists()  # nothing was done


def test_mistakes_in_stanzas_are_told_by_file_and_line(project, capsys):
    (project.images / "time/stanza.yaml").write_text("command: x\nsmok: {}\n")

    assert typed("up") == 2
    assert "images/time/stanza.yaml:2: smok: unknown field" in capsys.readouterr().err


def test_render_removes_what_a_stanza_that_is_gone_has_left_and_nothing_else(project, capsys):
    (project.images / "clock").mkdir()
    (project.images / "clock/stanza.yaml").write_text("command: clock\n")
    typed("render")
    (project.compose / "mine.yaml").write_text("# mine\n")
    (project.images / "clock/stanza.yaml").unlink()
    capsys.readouterr()

    assert typed("render", "--check") == 1
    assert {"compose/clock.yaml", "images/clock/Dockerfile"} <= set(capsys.readouterr().out.splitlines())
    assert typed("render") == 0
    assert not (project.compose / "clock.yaml").exists()
    assert not (project.images / "clock/Dockerfile").exists()
    assert (project.compose / "mine.yaml").exists()
    assert typed("render", "--check") == 0


def test_render_writes_what_check_then_finds_right(project, capsys):
    assert typed("render", "--check") == 1
    told = capsys.readouterr()
    assert "images/time/Dockerfile" in told.out
    assert "`mcp-bridge render` writes them" in told.err

    assert typed("render") == 0
    assert "compose/time.yaml" in capsys.readouterr().out.splitlines()
    assert typed("render") == 0
    assert capsys.readouterr().out == "nothing changed\n"
    assert typed("render", "--check") == 0

    assert typed("render", "--check", "--litellm-version", "1.106.2") == 1
    assert "litellm/config.yaml" in capsys.readouterr().out


def test_what_was_started_is_remembered(project, capsys):
    memory = LastUp("embedded", ("time",), {"gitlab": "needs a token"}, "1.106.2")
    remember(project, memory)
    assert remembered(project) == memory

    assert typed("verify", "--engine", "compose") == 2
    assert "started with --engine embedded, not compose" in capsys.readouterr().err
    assert typed("up", "--engine", "compose") == 1
    assert "`mcp-bridge down` ends it first" in capsys.readouterr().err

    (project.state / "fleet.json").write_text("{")
    assert typed("ps") == 2
    assert "is damaged" in capsys.readouterr().err


def test_ps_fails_when_something_is_down(project, capsys):
    remember(project, LastUp("embedded", ("time",), {}, "1.77.3"))

    assert typed("ps") == 1
    assert "bridge   down" in capsys.readouterr().out


class Idle:
    """An engine that gets as far as being asked to start."""

    name = "embedded"

    def __init__(self, project, say):
        pass

    def unavailable(self) -> str:
        return ""

    def refuse_taken_ports(self, fleet, environment) -> None:
        pass

    def missing(self, fleet, names) -> list[str]:
        return []

    def fetch(self, images) -> str:
        return ""

    def urls(self, fleet, environment) -> Urls:
        return Urls(f"http://127.0.0.1:{environment.port('MCP_PORT', 8000)}", "")

    def up(self, fleet, names, environment):
        raise EngineError("it was asked to start")


@pytest.fixture
def idle(project, monkeypatch):
    from bridge.fleet.engines import embedded

    monkeypatch.setattr(embedded, "Embedded", Idle)
    monkeypatch.setattr(lock, "unlocked", lambda *_: [])
    monkeypatch.setattr(machine, "registries", lambda patient: ("ok", "", ""))
    return project


def remote(project, **tools) -> None:
    (project.images / "far").mkdir()
    stanza = {"url": "https://far.example/mcp", "transport": "http", "tools": tools, "smoke": {"tool": "now"}}
    (project.images / "far/stanza.yaml").write_text(yaml.safe_dump(stanza))


def test_up_tells_what_this_litellm_does_not_do(idle, capsys):
    remote(idle, allow=["now"])

    assert typed("up", "--engine", "embedded", "--no-verify") == 1
    said = capsys.readouterr().err
    assert "far: LiteLLM 1.77.3 does not know 'allowed_tools' (1.77.7 is the first): all tools of this remote MCP are shown" in said
    assert "it was asked to start" in said


def test_up_says_what_is_granted(idle, capsys):
    (idle.images / "ruler").mkdir()
    (idle.images / "ruler/stanza.yaml").write_text("command: ruler\ngrants: docker\n")

    typed("up", "--engine", "embedded", "--no-verify")
    assert "ruler: 'grants: docker' in its stanza: its server may start, read and end any container" in capsys.readouterr().err


def test_up_says_that_a_list_of_names_does_not_hold_without_docker(idle, capsys):
    (idle.images / "far").mkdir()
    (idle.images / "far/stanza.yaml").write_text("command: far\negress: [api.example.com]\n")

    typed("up", "--engine", "embedded", "--no-verify")
    assert "far: the list of names in 'egress' holds with Docker only" in capsys.readouterr().err


def test_a_pattern_for_a_remote_mcp_is_a_mistake_of_its_stanza_and_the_others_start(idle, capsys):
    """LiteLLM filters its tools, and would take a '*' for a letter."""
    remote(idle, deny=["conv*"])

    assert typed("up", "--engine", "embedded", "--no-verify") == 1
    told = capsys.readouterr().err
    assert "images/far/stanza.yaml:1: tools: 'conv*': LiteLLM filters" in told and "it was asked to start" in told
    assert remembered(idle).names == ("time",)


def test_a_port_that_is_none_starts_nothing(idle, capsys):
    idle.compose.mkdir()
    idle.env_file.write_text("MCP_PORT=abc\n")

    assert typed("up", "--engine", "embedded") == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("compose/.env: MCP_PORT=abc: a port is 1 to 65535")
    assert remembered(idle) is None


def test_what_plain_docker_compose_started_is_found(project, monkeypatch, capsys):
    from bridge.fleet.engines.compose import Compose

    ended = []
    monkeypatch.setattr(Compose, "_containers", lambda self: {"time": ("up", "Up 1 minute"), "litellm": ("up", "Up 1 minute")})
    monkeypatch.setattr(Compose, "down", lambda self, volumes: ended.append(volumes))
    _, memory = running(project, print)

    assert (memory.engine, memory.names) == ("compose", ("time",))
    assert typed("ps") == 0
    assert "Up 1 minute" in capsys.readouterr().out
    assert typed("down") == 0
    assert ended == [False]


class Docker:
    """An engine that says what a test wants, in the place of Compose."""

    name = "compose"

    def __init__(self, why: str = "", cannot_fetch: str = ""):
        self.unavailable, self.missing, self.fetch = lambda: why, lambda fleet, names: ["python"], lambda images: cannot_fetch


@pytest.mark.parametrize(
    ("docker", "chosen", "says"),
    [
        (Docker(), "compose", ""),
        (
            Docker(why="Docker is not installed"),
            "embedded",
            "Docker is not installed: using the embedded engine (--engine compose insists)",
        ),
        (Docker(cannot_fetch="the image python:3.13-slim is not here and cannot be pulled (no such host)"), "embedded", "cannot be pulled"),
    ],
)
def test_compose_where_docker_can_do_it_and_embedded_elsewhere(project, monkeypatch, docker, chosen, says):
    real = choice.engine
    monkeypatch.setattr(choice, "engine", lambda name, *rest: docker if name == "compose" else real(name, *rest))
    said = []

    def chosen_for(asked: str):
        return choice.with_what_it_needs(
            *choice.choose(asked, project, said.append), project, Fleet.load(project.images), ["time"], said.append
        )

    engine = chosen_for("")

    assert engine.name == chosen
    assert says in "\n".join(said)
    if says:
        with pytest.raises(EngineError):
            chosen_for("compose")
        project.compose.mkdir()
        project.env_file.write_text("COMPOSE_PROJECT_NAME=mcp-1a2b3c\n")
        with pytest.raises(EngineError):  # what the fleet of this folder keeps is Docker's: no other one is begun beside it unasked
            chosen_for("")
        assert choice.choose("embedded", project, said.append)[0].name == "embedded"


@pytest.mark.parametrize(
    ("state", "status", "means"),
    [
        ("running", "Up 2 minutes (healthy)", "up"),
        ("running", "Up 2 minutes", "up"),
        ("running", "Up 1 second (health: starting)", "starting"),
        ("running", "Up 2 minutes (unhealthy)", "down"),
        ("created", "Created", "starting"),
        ("exited", "Exited (1) 3 seconds ago", "down"),
        ("restarting", "Restarting (1) 3 seconds ago", "down"),
    ],
)
def test_what_docker_says_of_a_container(state, status, means):
    from bridge.fleet.engines.docker import state as state_of

    assert state_of(state, status) == (means, status)
    assert Running("time", "mcp", means, status).is_up == (means == "up")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_is_ended_by_a_signal_cleans_up_as_with_ctrl_c(number, capsys, request):
    """A trial's image and containers are removed by what is unwound; a second signal does not stop that."""
    done = []

    def trial(arguments, words):
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        finally:
            os.kill(os.getpid(), number)
            done.append("removed")

    was = signal.signal(number, signal.SIG_DFL)  # whoever runs the tests may ignore it (nohup)
    before = signal.getsignal(number)
    request.addfinalizer(lambda: signal.signal(number, was))

    assert commands._at_the_edge("add", trial)(argparse.Namespace(project=""), []) == 1
    assert done == ["removed"] and signal.getsignal(number) == before
    assert capsys.readouterr().err == "mcp-bridge: interrupted; `mcp-bridge add` goes on where this ended\n"


@pytest.mark.parametrize(
    "words, own",
    [
        ("add npx -y some-mcp", 1),
        ("add it uvx --from some-mcp it", 2),
        ("serve --port 8000 docker run -i some/mcp", 3),
        ("inspect uvx some-mcp", 1),
        ("add docker --pypi docker-mcp", 4),
        ("add uvx --npm uvx-mcp", 4),
        ("serve --server-name npx", 3),
        ("logs docker npx", 3),
    ],
)
def test_a_line_that_is_pasted_without_two_dashes_is_understood(words, own):
    words = words.split()

    assert cli._apart(words) == (words[:own], words[own:])
