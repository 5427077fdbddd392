"""The compose engine without Docker: what it makes of Docker's words and of the bridges' answers."""

import sys
import time

import pytest
from support import Bridge, zoo

from bridge.fleet.engines import Broken, Urls
from bridge.fleet.engines.compose import Compose
from bridge.fleet.engines.programs import Failed
from bridge.fleet.project import Project


@pytest.fixture
def engine(tmp_path):
    said = []
    made = Compose(Project(tmp_path), said.append)
    made.said = said
    return made


def test_a_child_that_was_given_up_is_not_waited_for_and_its_reason_is_told(engine, monkeypatch):
    """/readyz knows at once what Docker's health check says after more than a minute."""
    monkeypatch.setattr(engine, "_containers", lambda: {"broken": ("starting", "Up 1 second (health: starting)")})
    with Bridge(zoo("dies_at_start"), "--name", "broken", "--max-restarts", 0, "--backoff-initial", "0.01", ready=False) as bridge:
        began = time.monotonic()
        engine._wait(["broken"], Urls(bridge.url, ""))

    assert time.monotonic() - began < 5
    [said] = [line for line in engine.said if not line.startswith("waiting")]
    assert said.startswith("broken: given up: ")
    assert "exited" in said


@pytest.mark.parametrize("words", [
    "Bind for 127.0.0.1:8000 failed: port is already allocated",
    "failed to bind host port 127.0.0.1:8000/tcp: address already in use",
])
def test_a_taken_port_is_told_with_the_way_out(engine, monkeypatch, words):
    def fails(*_, patience):
        raise Failed(["docker"], 1, f"Error response from daemon: {words}")

    monkeypatch.setattr(engine, "_containers", dict)
    monkeypatch.setattr(engine, "_run", fails)

    with pytest.raises(Broken, match=r"choose another with MCP_PORT=… \(LITELLM_PORT=…"):
        engine._start([], [])


def test_logs_in_a_pipe_and_in_troubles_have_no_control_sequences(engine, monkeypatch, capsys):
    said = "print('\\x1b[2K\\x1b[31merror\\x1b[0m: no such file')"
    monkeypatch.setattr(engine, "_containers", lambda: {"time": ("up", "Up")})
    monkeypatch.setattr(engine, "_compose", lambda: [sys.executable, "-c", said])

    assert engine.logs("time", follow=False) == 0
    assert capsys.readouterr().out == "error: no such file\n"
    assert engine._last_words("time") == "error: no such file"


def test_where_it_listens_is_said_by_compose_env_alone(engine, monkeypatch):
    """Compose takes a shell's variable before that of the file, and we would check and print another address."""
    monkeypatch.setenv("LAN_BIND", "0.0.0.0")
    monkeypatch.setenv("MCP_PORT", "9000")
    monkeypatch.setenv("LANG", "C")

    assert not {"LAN_BIND", "MCP_PORT"} & engine._environment().keys()
    assert "LANG" in engine._environment()
