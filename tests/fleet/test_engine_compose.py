"""The compose engine without Docker: what it makes of Docker's words and of the bridges' answers."""

import json
import os
import pty
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from support import Bridge, eventually, zoo

from bridge.fleet import Fleet
from bridge.fleet.engines import EngineError, Excerpt, Running, Urls, checkout, compose, litellm, starting
from bridge.fleet.engines import docker as docker_words
from bridge.fleet.engines.compose import Compose
from bridge.fleet.engines.programs import Failed
from bridge.fleet.engines.readiness import seen, that_were_given_up
from bridge.fleet.engines.waves import Waves
from bridge.fleet.environment import Environment
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza


@pytest.fixture
def engine(tmp_path):
    said = []
    made = Compose(Project(tmp_path), said.append)
    made.said = said
    return made


def waves(engine, states, url=lambda name: "", create=lambda names: {}) -> Waves:
    return Waves(create, lambda: states, url, lambda name: "its last words", engine.said.append, {})


def test_a_child_that_was_given_up_is_not_waited_for_and_its_reason_is_told(engine):
    """/readyz knows at once what Docker's health check says after more than a minute."""
    states = {"broken": ("starting", "Up 1 second (health: starting)")}
    with Bridge(zoo("dies_at_start"), "--name", "broken", "--max-restarts", 0, "--backoff-initial", "0.01", ready=False) as bridge:
        began = time.monotonic()
        outcome = waves(engine, states, lambda name: f"{bridge.url}/{name}/readyz").run((), ["broken"])

    assert time.monotonic() - began < 5
    assert outcome.failed["broken"].startswith("given up: ") and "exited" in outcome.failed["broken"]


def test_no_more_start_at_a_time_than_there_is_room_for_and_all_are_started(engine):
    states, most = {}, []

    def create(names):
        for name in states:
            states[name] = ("up", "Up")
        states.update(dict.fromkeys(names, ("starting", "")))
        most.append(sum(state == "starting" for state, _ in states.values()))
        if not set(everything) - states.keys():
            states.update(dict.fromkeys(states, ("up", "Up")))
        return {}

    everything = [f"m{number}" for number in range(20)]
    made = waves(engine, states, create=create)
    made.room = 6
    states_now = made.states

    def and_then_they_are_up():
        told = dict(states_now())
        states.update(dict.fromkeys(states, ("up", "Up")))
        return told

    made.states = and_then_they_are_up
    outcome = made.run(everything)

    assert (outcome.failed, outcome.still) == ({}, [])
    assert set(states) == set(everything)
    assert max(most) <= 6


def test_what_cannot_be_created_is_told_and_the_others_are_started(engine):
    states = dict.fromkeys("abc", ("up", "Up"))
    outcome = waves(engine, states, create=lambda names: {"b": "no such image"}).run(list("abc"))

    assert (outcome.failed, outcome.still) == ({"b": "no such image"}, [])


def test_an_unhealthy_one_is_still_starting_and_one_that_exited_is_lost(engine, monkeypatch):
    """After 60 s Docker calls a slow one unhealthy: on two processors fifty of them are well a minute later."""
    monkeypatch.setattr("bridge.fleet.engines.waves.STILL", 0.5)
    states = {"slow": ("down", "Up 2 minutes (unhealthy)"), "gone": ("down", "Exited (1) 3 seconds ago")}
    outcome = waves(engine, states).run((), ["slow", "gone"])

    assert outcome.still == ["slow"]
    assert outcome.failed == {"gone": "Exited (1) 3 seconds ago: its last words"}


def test_nobody_is_given_up_while_others_come_up(engine, monkeypatch):
    """The wait ends when nothing moved for a while, not after a fixed time."""
    monkeypatch.setattr("bridge.fleet.engines.waves.STILL", 1.0)
    monkeypatch.setattr("bridge.fleet.engines.waves.LOOK", 0.1)
    states, began = {f"m{number}": ("starting", "") for number in range(4)}, time.monotonic()

    def one_more_each_half_second():
        ready = int((time.monotonic() - began) / 0.5)
        return {name: ("up", "") if number < ready else told for number, (name, told) in enumerate(states.items())}

    made = waves(engine, states)
    made.states = one_more_each_half_second

    assert made.run((), states).still == []


@pytest.mark.parametrize(
    "words",
    ["Bind for 127.0.0.1:8000 failed: port is already allocated", "failed to bind host port 127.0.0.1:8000/tcp: address already in use"],
)
def test_a_taken_port_is_told_with_the_way_out(engine, monkeypatch, words):
    def fails(*_, patience):
        raise Failed(["docker"], 1, f"Error response from daemon: {words}")

    monkeypatch.setattr(engine, "_containers", dict)
    monkeypatch.setattr(engine, "_run", fails)

    assert "choose another with MCP_PORT=… (LITELLM_PORT=…" in engine._created(["door"])["door"]


def test_where_compose_cannot_start_some_it_is_each_one_s_own_trouble(engine, monkeypatch):
    def fails(*words, patience):
        if "bad" in words:
            raise Failed(["docker"], 1, "Error response from daemon: error mounting /x: no such file or directory")

    monkeypatch.setattr(engine, "_run", fails)
    failed = engine._created(["a", "bad", "c"])

    assert list(failed) == ["bad"]
    assert "no such file or directory" in failed["bad"]


def test_an_engine_that_goes_away_is_told_and_no_mcp_is_blamed(engine, monkeypatch):
    def fails(*words, patience):
        raise Failed(["docker"], 1, "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")

    monkeypatch.setattr(engine, "_run", fails)
    with pytest.raises(EngineError, match="the Docker engine went away .* the same command goes on where this ended"):
        engine._created(["a", "b"])


def test_a_full_disk_is_told_with_what_frees_it(engine, monkeypatch):
    def fails(*words, patience):
        raise Failed(["docker"], 1, "Error response from daemon: mkdir /var/lib/docker/overlay2/x: no space left on device")

    monkeypatch.setattr(engine, "_run", fails)
    assert "the disk is full; `mcp-bridge prune`" in engine._created(["a"])["a"]


def test_logs_in_a_pipe_and_in_troubles_have_no_control_sequences(engine, monkeypatch, capsys):
    said = "print('\\x1b[2K\\x1b[31merror\\x1b[0m: no such file')"
    monkeypatch.setattr(engine, "_containers", lambda: {"time": ("up", "Up")})
    monkeypatch.setattr(engine, "_compose", lambda: [sys.executable, "-c", said])

    assert engine.logs(["time"], Excerpt()) == 0
    assert capsys.readouterr().out == "error: no such file\n"
    assert engine.last_words("time") == "error: no such file"


FOLLOWING = """
import signal, sys, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: sys.exit("canceled"))
print("a line", flush=True)
time.sleep(60)
"""


def test_ctrl_c_ends_logs_that_are_followed_and_compose_says_nothing_of_its_own():
    code = f"import os; from bridge.fleet.engines.docker import printed; raise SystemExit(printed([{sys.executable!r}, '-c', {FOLLOWING!r}], dict(os.environ)))"
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])
    said = b""
    with suppress(OSError):  # nobody is at its other end any more
        while read := os.read(terminal, 1024):
            said += read
            if read.endswith(b"a line\r\n"):
                os.write(terminal, b"\x03")
    os.close(terminal)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert said.replace(b"^C", b"") == b"a line\r\n"


def test_where_it_listens_is_said_by_compose_env_alone(engine, monkeypatch):
    """Compose takes a shell's variable before that of the file, and we would check and print another address."""
    monkeypatch.setenv("LAN_BIND", "0.0.0.0")
    monkeypatch.setenv("MCP_PORT", "9000")
    monkeypatch.setenv("LANG", "C")

    assert not {"LAN_BIND", "MCP_PORT"} & engine._environment().keys()
    assert "LANG" in engine._environment()


def test_an_engine_that_goes_away_while_it_is_waited_for_is_told_in_one_line(monkeypatch, tmp_path):
    """In the place of Docker: a program that answers twice, and then says what Docker says when its engine is being restarted."""
    count = tmp_path / "count"
    docker = tmp_path / "docker"
    docker.write_text(f"""#!/bin/sh
echo x >> {count}
if [ $(wc -l < {count}) -gt 2 ]; then
  echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?' >&2
  exit 1
fi
""")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    made = Compose(Project(tmp_path), print)

    with pytest.raises(EngineError, match="^the Docker engine went away .* the same command goes on where this ended$"):
        for _ in range(3):
            made._containers()


def test_what_an_interrupted_up_has_made_and_not_started_is_started(engine, monkeypatch):
    states = {"half": ("starting", "Created"), "whole": ("up", "Up 2 minutes (healthy)")}
    created = []

    def create(names, *options):
        created.extend(names)
        states.update(dict.fromkeys(names, ("up", "Up 1 second")))
        return {}

    monkeypatch.setattr(checkout, "details", lambda name: {name: checkout.Detail("hash", "image", "stamp", "0") for name in states})
    monkeypatch.setattr(docker_words, "images", dict)
    for name, value in {
        "_mounted": lambda names, _: dict.fromkeys(names, ""),
        "_containers": lambda: states,
        "_created": create,
        "_asked_at": lambda name: "",
    }.items():
        monkeypatch.setattr(engine, name, value)
    outcome = engine._start(list(states), [], dict.fromkeys(states, "hash"))

    assert (created, outcome.failed, outcome.still) == (["half"], {}, [])


def test_mcps_without_a_container_are_made_in_one_go_and_one_that_cannot_be_made_is_named(engine, monkeypatch):
    """Compose takes seconds to read a fleet of forty: not for each wave."""
    states, asked = {}, []

    def docker(*words, patience=0):
        asked.append([word for word in words if word in ("--no-start", "start", *map(one_of, range(20)))])
        if "m00" in words:
            raise Failed(["docker"], 1, "Error response from daemon: no such file or directory")
        states.update({word: ("up", "Up") for word in words if "start" in words})

    def one_of(number):
        return f"m{number:02}"

    sidecars = [Stanza(name=one_of(number), command="x") for number in range(20)]
    monkeypatch.setattr(checkout, "details", lambda name: {})
    monkeypatch.setattr(checkout, "of_project", lambda name: [])
    monkeypatch.setattr(docker_words, "images", dict)
    monkeypatch.setattr(starting, "run", lambda command, patience: docker(*command))
    for name, value in {
        "_mounted": lambda names, _: dict.fromkeys(names, ""),
        "_containers": lambda: states,
        "_run": docker,
        "_asked_at": lambda name: "",
    }.items():
        monkeypatch.setattr(engine, name, value)
    outcome = engine._start([stanza.name for stanza in sidecars], sidecars, {})

    assert asked[0] == ["--no-start", *map(one_of, range(20))]
    assert sum(words == ["--no-start", "m07"] for words in asked) == 1
    assert sorted(name for words in asked if words[0] == "start" for name in words[1:]) == [one_of(number) for number in range(1, 20)]
    assert list(outcome.failed) == ["m00"] and not outcome.still


def test_sockets_of_mcps_that_are_gone_are_removed_and_are_nothing_that_is_kept(engine, monkeypatch):
    """They are volumes in memory. There is one for each MCP that ever was, and what matters was not to be seen among them."""
    asked = []

    def docker(command, environment=None):
        asked.append(command)
        return {"ls": "mcp_git-socket\nmcp_prometheus\n", "inspect": "mcp_git-socket tmpfs\nmcp_prometheus \n"}.get(command[2], "")

    monkeypatch.setattr(docker_words, "asked", docker)
    engine._remove_sockets()

    assert asked[-1] == ["docker", "volume", "rm", "mcp_git-socket"]
    assert engine.kept() == ["volume mcp_prometheus"]


@pytest.mark.parametrize("volumes", [True, False])
def test_down_with_volumes_deletes_those_of_removed_mcps_too(engine, monkeypatch, volumes):
    """It said of them that `mcp-bridge down --volumes` deletes them, which had just been typed."""
    asked = []
    monkeypatch.setattr(engine, "_containers", dict)
    monkeypatch.setattr(compose, "run", lambda *_: "")
    monkeypatch.setattr(engine, "_volumes", lambda: {"f_notes-data": ""})
    monkeypatch.setattr(docker_words, "asked", lambda command, *_: asked.append(command) or "")
    engine.down(volumes)

    assert asked == [["docker", "volume", "rm", "f_notes-data"]] * volumes


def test_what_an_mcp_that_was_removed_stored_is_kept_and_told_with_what_deletes_it(engine, monkeypatch):
    engine.project_name = "f"
    there = [checkout.Container("f-notes-1", "notes", "f", "", "running", "Up", "")]
    monkeypatch.setattr(checkout, "of_project", lambda name: there)
    said = {"inspect": "f_notes-socket f_notes-data f_shared \n", "ls": "f_notes-data\nsomebody-s\n"}
    monkeypatch.setattr(docker_words, "asked", lambda command, *_: said.get(command[1] if command[1] == "inspect" else command[2], ""))
    monkeypatch.setattr(compose.subprocess, "Popen", lambda *_, **__: subprocess.CompletedProcess([], 0))
    monkeypatch.setattr(subprocess.CompletedProcess, "wait", lambda *_: 0, raising=False)
    monkeypatch.setattr(compose, "run", lambda *_: "")
    monkeypatch.setattr(engine, "_remove_sockets", lambda: None)
    engine._end_others([])()

    assert engine.said == ["ending notes", "kept what the ended ones stored: `docker volume rm f_notes-data` deletes it"]


def test_what_an_earlier_version_published_itself_makes_room_for_the_door(engine, monkeypatch):
    """LiteLLM and Prometheus had ports of their own: after an upgrade the door could not start, and `up` ended there each time."""
    there = [
        checkout.Container(f"f-{name}-1", name, "f", "", "running", "Up", ports)
        for name, ports in (
            ("litellm", "127.0.0.1:4000->4000/tcp"),
            ("door", "127.0.0.1:8000->8000/tcp"),
            ("grafana", "127.0.0.1:3000->3000/tcp"),
        )
    ]
    removed = []
    monkeypatch.setattr(engine, "_ours", lambda: there)
    monkeypatch.setattr(compose, "run", lambda command, _: removed.append(command[-1]))
    engine._take_ports(Fleet(stanzas=[]), Environment({}))

    assert removed == ["f-litellm-1"] and engine.said == ["ending litellm, of an earlier version: the door has their ports now"]


def test_one_is_started_anew_if_its_bridge_has_given_it_up_whatever_docker_says_of_its_health():
    """On a busy machine Docker's health check comes too late, and calls many unhealthy that serve."""
    with (
        Bridge(zoo("dies_at_start"), "--name", "broken", "--max-restarts", 0, "--backoff-initial", "0.01", ready=False) as broken,
        Bridge(zoo("echo"), "--name", "fine") as fine,
    ):
        where = {
            "broken": f"{broken.url}/readyz",
            "fine": f"{fine.url}/readyz",
            "gone": "http://127.0.0.1:9/readyz",
            "litellm": f"{fine.url}/health/liveliness",
        }
        eventually(lambda: that_were_given_up(where, where.__getitem__, {}) == ["broken"], 5)


def test_litellms_database_is_asked_as_its_own_role_and_never_as_the_superuser(engine, monkeypatch):
    """Who took LiteLLM over owns what is in it, and may lay a view in a table's place: who asks runs the functions in that."""
    asked = []
    there = [checkout.Container(f"f-{name}-1", name, "f", "", "running", "Up", "") for name in ("litellm", "database")]
    monkeypatch.setattr(checkout, "of_project", lambda name: there)
    monkeypatch.setattr(compose, "run", lambda command, patience, stdin: asked.append(command) or "{}")

    assert engine.given_keys() == set()
    assert asked[0][asked[0].index("--username") + 1] == "litellm"


@pytest.mark.parametrize(("code", "started_anew"), [(0, ["f-time-1"]), (1, ["f-litellm-1", "f-time-1"]), (3, ["f-time-1"])])
def test_litellm_is_given_its_configuration_and_others_whose_files_changed_are_started_anew(engine, monkeypatch, code, started_anew):
    """A container sees what replaced a mounted file when it starts; starting LiteLLM anew takes ten seconds. One that refuses goes on."""
    engine.project.state.mkdir(parents=True)
    (engine.project.state / "litellm.yaml").write_text("mcp_servers: {}\n")
    done = []

    def run(command, patience, stdin=None):
        done.append((*command, stdin) if stdin else tuple(command))
        if "--take" in command and code:
            raise Failed(command, code, "ValueError: no such transport\nit ended with code 1")

    monkeypatch.setattr(starting, "run", run)
    there = [checkout.Container(f"f-{name}-1", name, "f", "", "running", "Up", "") for name in ("litellm", "time")]
    monkeypatch.setattr(checkout, "of_project", lambda name: there)

    refused = {"litellm": litellm.refused("ValueError: no such transport")} if code == 3 else {}
    assert engine._renewed(["litellm", "time"]) == refused
    assert done == [
        ("docker", "exec", "--interactive", "f-litellm-1", "python3", "/litellm_server.py", "--take", "mcp_servers: {}\n"),
        ("docker", "stop", "--time", "15", *started_anew),
        ("docker", "start", *started_anew),
    ]


def test_a_container_that_ends_again_and_again_is_not_waited_for(engine, monkeypatch):
    """LiteLLM with a configuration that it does not take looks as if it started, whenever one looks."""
    restarts = iter(["3", "3", "4", "5", "6"])
    monkeypatch.setattr(engine, "_containers", lambda: {"litellm": ("starting", "Up 2 seconds (health: starting)")})
    monkeypatch.setattr(checkout, "details", lambda name: {"litellm": checkout.Detail("", "", "", next(restarts))})
    looks = engine._watched()

    assert [looks()["litellm"][0] for _ in range(4)] == ["starting", "starting", "starting", "down"]
    assert "ended" in looks()["litellm"][1]


def test_why_a_child_was_given_up_is_read_in_its_log_where_the_bridge_has_several_callers(engine, monkeypatch):
    """The bridge of a container does: LiteLLM's key is another than the fleet's token, so /readyz shows no child's words."""
    line = '2026-11-26T18:44:17.247Z error   child is FATAL, giving up pid=13 why="5 starts in a row failed, the last one: exited (code 3)"'
    monkeypatch.setattr(engine, "_run", lambda *words, patience: f"{line}\n2026-11-26T18:44:18Z info    something else failed\n")

    assert engine.last_words("dies") == "5 starts in a row failed, the last one: exited (code 3)"


class Seen:
    """An engine whose MCPs' containers live."""

    def ps(self):
        return [Running(name, "mcp", "starting", "Up 9 seconds (health: starting)") for name in ("broken", "fine", "gone")]

    def last_words(self, name):
        return f"5 starts in a row failed, the last one: exited (code 3); its last words: {name} needs KEY"


@pytest.mark.parametrize("shows_reason", [True, False])
def test_ps_says_that_a_server_was_given_up_and_why(tmp_path, shows_reason):
    """Its container lives, so Docker says that it starts. A bridge with several callers tells the reason to its log only."""
    tokens = tmp_path / "tokens"
    tokens.write_text("the-token-of-all\n" + ("" if shows_reason else "another-one-s-token\n"))
    dies = {"command": zoo("dies_at_start")[0], "args": zoo("dies_at_start")[1:], "max_restarts": 0, "backoff_initial": 0.01}
    (tmp_path / "mcps.json").write_text(
        json.dumps({"mcpServers": {"broken": dies, "fine": {"command": zoo("echo")[0], "args": zoo("echo")[1:]}}})
    )
    with Bridge(None, "--config", tmp_path / "mcps.json", "--token-file", tokens) as bridge:
        environment = Environment({"BRIDGE_TOKEN": "the-token-of-all"})

        def found():
            return {one.name: (one.state, one.detail) for one in seen(Seen(), Urls(bridge.url, ""), environment)}

        eventually(lambda: found()["broken"][0] == "failed" and found()["fine"][0] == "up", 10)
        _, detail = found()["broken"]

    assert ("API_KEY is not set" if shows_reason else "broken needs KEY") in detail and "starts in a row failed" in detail
    assert found()["fine"][0] == "starting"  # nobody answers any more
