"""`mcp-bridge up` around an engine that does what a test says: what is told, what is remembered, what is not done twice."""

import errno
import fcntl
import os
from pathlib import Path

import pytest
import yaml

from bridge.cli import main
from bridge.fleet import lock
from bridge.fleet.alone import alone
from bridge.fleet.commands import up
from bridge.fleet.doctor import finding, machine
from bridge.fleet.engines import EngineError, Running, Started, Urls, forget, remembered
from bridge.fleet.environment import startable
from bridge.fleet.files import File, write
from bridge.fleet.project import Project, write_private
from bridge.fleet.verify.result import FAILED, OK, SKIPPED, Hop, Report, Verdict

UNLOCKED = lock.unlocked


class Scripted:
    """An engine whose MCPs all run, but for `failed` and `still`."""

    name = "embedded"
    failed: dict[str, str] = {}
    still: list[str] = []
    stamp = "first"
    untold = ""
    taken = ""
    asked: list[list[str]] = []

    def __init__(self, project, say):
        pass

    def unavailable(self) -> str:
        return ""

    def refuse_another(self) -> None:
        pass

    def refuse_taken_ports(self, fleet, environment) -> None:
        if self.taken:
            raise EngineError(self.taken)

    def missing(self, fleet, names) -> list[str]:
        return []

    def fetch(self, images) -> str:
        return ""

    def urls(self, fleet, environment) -> Urls:
        return Urls(f"http://{environment.reached_at}:8000", f"http://{environment.reached_at}:4000")

    def as_here(self, fleet, environment):
        return fleet

    def up(self, fleet, names, environment) -> Started:
        Scripted.asked.append(sorted(names))
        wanted, left_out = startable(environment, fleet.only(names))
        return Started(
            fleet.only([one.name for one in wanted]),
            left_out,
            dict(self.failed),
            list(self.still),
            {one.name: self.stamp for one in wanted},
        )

    def give_keys(self, fleet, environment) -> int:
        if self.untold:
            raise EngineError(self.untold)
        return 0

    def ps(self) -> list[Running]:
        late = "the start before failed: no answer to initialize within 60 s (--start-timeout)"
        return [Running(name, "mcp", "up", late if name in self.still else "") for name in self.asked[-1] if name not in self.failed]


@pytest.fixture
def project(tmp_path, monkeypatch):
    from bridge.fleet.engines import embedded

    for name, stanza in {"a": {}, "b": {}, "needy": {"secrets": {"KEY": {"description": "from its maker"}}}}.items():
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "stanza.yaml").write_text(yaml.safe_dump({"command": name, "smoke": {"tool": "now"}, **stanza}))
    for name, value in {"failed": {}, "still": [], "stamp": "first", "taken": "", "untold": "", "asked": []}.items():
        monkeypatch.setattr(Scripted, name, value)
    monkeypatch.setattr(embedded, "Embedded", Scripted)
    monkeypatch.setattr(lock, "unlocked", lambda *_: [])
    monkeypatch.setattr(machine, "registries", lambda patient: (finding.OK, "", ""))
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


@pytest.fixture
def verified(monkeypatch) -> list[list[str]]:
    """Which MCPs were verified, each time; those of `verified.broken` do not work."""

    class Calls(list):
        broken = ()

    calls = Calls()

    def verify_now(engine, started, *_, **__):
        names = [one.name for one in started.fleet.stanzas]
        calls.append(names)
        return Verdict(
            "embedded", [Report(name, hops=[Hop("smoke", FAILED if name in calls.broken else OK, "it is so", "look")]) for name in names]
        )

    monkeypatch.setattr(up, "verify_now", verify_now)
    return calls


def typed(*words: str) -> int:
    return main(["up", "--engine", "embedded", *words])


def test_what_did_not_change_is_not_verified_again(project, verified, capsys):
    assert (typed(), typed()) == (0, 0)
    assert verified == [["a", "b"]]
    assert "2 MCPs up and verified (none of them now: the others did not change)" in capsys.readouterr().out

    (project.images / "b/stanza.yaml").write_text("command: b\nsmoke: {tool: now, expect: UTC}\n")
    assert typed() == 0
    assert verified[1:] == [["b"]]

    Scripted.stamp = "restarted"
    assert typed() == 0
    assert verified[2:] == [["a", "b"]]
    assert typed("--verify-all") == 0
    assert verified[3:] == [["a", "b"]]


def test_what_failed_is_verified_again(project, verified):
    verified.broken = ("a",)

    assert (typed(), typed()) == (1, 1)
    assert verified == [["a", "b"], ["a"]]


def test_what_could_not_be_asked_through_litellm_is_not_called_verified(project, monkeypatch, capsys):
    def verify_now(engine, started, *_, **__):
        mcps = [
            Report(one.name, hops=[Hop("smoke", OK), Hop("called", SKIPPED, "LiteLLM itself does not work")])
            for one in started.fleet.stanzas
        ]
        return Verdict("embedded", mcps, [Report("litellm", hops=[Hop("gateway", FAILED, "it is wedged", "wait")])])

    monkeypatch.setattr(up, "verify_now", verify_now)

    assert typed() == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith("; NOT working: litellm")
    assert remembered(project).verified == {}


def test_one_that_does_not_start_is_told_first_and_the_others_are_verified(project, verified, capsys):
    Scripted.failed = {"b": "cannot be built: No matching version found for b@9"}

    assert typed() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "b: cannot be built: No matching version found for b@9"
    assert lines[-1].startswith("1 of 2 MCPs up and verified in ") and lines[-1].endswith("; NOT working: b")
    assert verified == [["a"]]
    assert remembered(project).troubles == Scripted.failed


def test_that_litellm_cannot_be_told_of_the_callers_is_told_and_the_mcps_are_verified(project, verified, capsys):
    Scripted.untold = "LiteLLM does not take the callers' keys: HTTP 500"

    assert typed() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "litellm: LiteLLM does not take the callers' keys: HTTP 500" and "NOT working: litellm" in lines[-1]
    assert verified == [["a", "b"]]


def test_what_was_verified_is_not_called_starting_because_docker_did_not_look_yet(project, verified, monkeypatch, capsys):
    monkeypatch.setattr(Scripted, "ps", lambda self: [Running(name, "mcp", "starting") for name in self.asked[-1]])

    assert typed() == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:3]] == [["a", "works"], ["b", "works"]]


def test_one_that_is_still_starting_is_called_that(project, verified, capsys):
    Scripted.still = ["b"]

    assert typed() == 1
    said = capsys.readouterr().out
    assert said.startswith("b: still starting: the start before failed: no answer to initialize within 60 s (--start-timeout) (it may take")
    assert "still starting: b (`mcp-bridge ps` and `mcp-bridge verify` say how it went on)" in said
    assert said.splitlines()[-1].endswith("; still starting: b")
    assert verified == [["a"]]


def test_one_that_cannot_be_locked_does_not_stop_the_others(project, verified, monkeypatch, capsys):
    def fails(project, stanza):
        raise lock.CannotLock(f"{stanza.name}: no such package")

    monkeypatch.setattr(lock, "unlocked", lambda *_: ["a"])
    monkeypatch.setattr(lock, "lock", fails)

    assert typed() == 1
    assert capsys.readouterr().out.splitlines()[0] == "a: cannot be locked: no such package"
    assert Scripted.asked == [["b", "needy"]]
    assert verified == [["b"]]


def test_a_stanza_with_a_mistake_is_told_first_and_the_others_run(project, verified, capsys):
    (project.images / "bad").mkdir()
    (project.images / "bad/stanza.yaml").write_text("command: [python3, x\nfiles: app\n")
    (project.images / "odd").mkdir()
    (project.images / "odd/stanza.yaml").write_text("comand: x\n")

    assert typed() == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"{project.images}/bad/stanza.yaml:2: expected ',' or ']'")
    assert told[1].startswith(f"{project.images}/odd/stanza.yaml:1: comand: unknown field")
    assert [line.split()[:2] for line in told[2:] if "BROKEN" in line] == [["bad", "BROKEN"], ["odd", "BROKEN"]]
    assert told[-1].startswith("2 of 4 MCPs up and verified in ") and told[-1].endswith("; NOT working: bad, odd")
    assert typed("bad") == 2 and "expected ',' or ']'" in capsys.readouterr().err
    assert main(["catalog"]) == 0 and "bad: /" in capsys.readouterr().out
    assert verified == [["a", "b"]]


def test_a_mistake_in_the_stanza_of_one_that_runs_ends_nothing(project, verified, capsys):
    """Its container, its door and its tools in LiteLLM would have gone, for a comma."""
    assert typed() == 0
    good = (project.images / "a/stanza.yaml").read_text()
    (project.images / "a/stanza.yaml").write_text(good + "smoke: [\n")
    capsys.readouterr()

    assert typed() == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"{project.images}/a/stanza.yaml:")
    assert Scripted.asked[-1] == ["a", "b", "needy"] and verified == [["a", "b"]]
    assert told[-1].startswith("2 MCPs up") and told[-1].endswith("; as before, because of a mistake in their stanzas: a")

    Scripted.failed = {"a": "exited"}
    assert typed() == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith(" s; NOT working: a")
    Scripted.failed = {}

    (project.images / "a/stanza.yaml").unlink()
    assert typed() == 0 and not (project.last_good / "a").exists()


BY_ALL = [  # each command that reads all stanzas, what it does with a neighbour's mistake, and its exit code
    (["render", "--check"], 1),
    (["render"], 1),
    (["caller", "add", "alice", "--may", "b/*=execute"], 0),
    (["caller", "list"], 0),
    (["backup", "../fleet.tar"], 0),
    (["lock"], 1),
    (["lock", "b"], 0),
    (["secret", "list"], 0),
    (["lint"], 1),  # nobody's tools are known here
    (["update", "--dry-run"], 1),
    (["catalog"], 0),
]


def test_no_command_stops_at_a_neighbours_mistake(project, verified, monkeypatch, capsys):
    monkeypatch.setattr(lock, "lock_bridge", lambda *_: [])
    assert typed() == 0
    good = (project.images / "a/stanza.yaml").read_text()
    (project.images / "a/stanza.yaml").write_text(good + "smoke: [\n")
    capsys.readouterr()

    for words, code in BY_ALL:
        assert main(words) == code, words
        said = capsys.readouterr()
        assert (said.out + said.err).count("images/a/stanza.yaml:") == 1, (words, said)
    assert (project.compose / "a.yaml").exists() and (project.compose / "b.yaml").exists()
    assert main(["lock", "a"]) == 2 and "images/a/stanza.yaml:" in capsys.readouterr().err


def test_a_mistake_in_a_stanza_that_never_ran_takes_nothing_from_the_files_that_are_committed(project, capsys):
    assert main(["render"]) == 0
    (project.images / "a/stanza.yaml").write_text("[")
    before = (project.compose / "compose.yaml").read_text()
    capsys.readouterr()

    assert main(["render"]) == 2
    assert "nothing is written: a would go from the files of all" in capsys.readouterr().err
    assert (project.compose / "compose.yaml").read_text() == before and (project.compose / "a.yaml").exists()

    (project.images / "new").mkdir()
    (project.images / "a/stanza.yaml").write_text("command: x\n")
    (project.images / "new/stanza.yaml").write_text("[")
    assert main(["render"]) == 1 and not (project.compose / "new.yaml").exists()


def test_a_newcomer_that_cannot_be_beside_one_that_runs_is_the_one_that_is_told(project, verified, capsys):
    """A name in LiteLLM, and whether a secret is each caller's own: two stanzas may not say it differently."""
    assert typed() == 0
    for name, more in (("a0", "litellm: {alias: b}"), ("y", "secrets: [Key]"), ("z", "secrets: {KEY: {per: caller}}")):
        (project.images / name).mkdir()
        (project.images / f"{name}/stanza.yaml").write_text(f"command: x\n{more}\n")
    (project.images / "fleet.yaml").write_text("groups: {dev: [a, a0]}\n")  # a member whose stanza has a mistake ends no group
    capsys.readouterr()

    assert typed() == 1
    told = capsys.readouterr().out.splitlines()
    assert "images/a0/stanza.yaml:1: litellm.alias: " in told[0] and "images/z/stanza.yaml:1: secrets: " in told[2]
    assert "images/y/stanza.yaml:1: secrets: 'KEY' and 'Key', here and in " in told[1]
    assert told[-1].endswith("; NOT working: a0, y, z")


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


OF_ONE = [  # what is wrong with one MCP, `bad`: its stanza, other files; what is told of it
    ("volumes: ['${DIR:-data}:/data']", {"compose/.env": "DIR=/\n"}, "bad: its volume ${DIR:-data} is / by compose/.env: "),
    ("volumes: ['${DIR}:/data']", {"compose/.env": "DIR=other\n"}, "bad: its volume ${DIR} is other by compose/.env: write a whole path"),
    ("secrets: [TOKEN]", {"compose/secrets/TOKEN": b"\xff\xfe"}, "bad: compose/secrets/TOKEN: not UTF-8"),
    ("secrets: [TOKEN]", {"compose/.env": "TOKEN=x\n", "compose/secrets/TOKEN/alice": "y"}, "bad: compose/secrets/TOKEN is a folder"),
    ("secrets: {TOKEN: {per: caller}}", {"compose/secrets/TOKEN": "y"}, "bad: compose/secrets/TOKEN is a file"),
    (
        "secrets: [TOKEN]",
        {"compose/.env": "TOKEN=x\n", "compose/secrets/TOKEN": "y", "compose/state/secrets.json": "{}"},
        "bad: compose/.env and compose/secrets/TOKEN have different values",
    ),
    ("secrets: [token, Token]", {}, "secrets: 'token' and 'Token' differ in their case only"),
    ("tools: {deny: [os.environ/KEY]}", {}, "tools.deny: 'os.environ/KEY': LiteLLM would put"),
    ("litellm: {cost: {tools: {os.environ/KEY: 1}}}", {}, "litellm.cost.tools: 'os.environ/KEY': LiteLLM would put"),
    ("", {"images/fleet.yaml": "groups: {bad: [a]}\n"}, "name: fleet.yaml has a group 'bad'"),
    ("pypi: x==1", {"images/bad/requirements.txt/file": ""}, "bad: cannot be locked: "),
    ("pypi: x==1", {"images/bad/requirements.txt": b"\xff"}, "bad: cannot be locked: no such package"),
]


@pytest.mark.parametrize("stanza, others, told", OF_ONE, ids=[one[2][:60] for one in OF_ONE])
def test_what_is_wrong_with_one_stops_that_one_and_is_told_first(project, verified, monkeypatch, capsys, stanza, others, told):
    """Whatever an operator, a package or Docker left there: the others run, and the exit code says that not all do."""

    def locked(project, stanza):
        if (project.folder(stanza) / "requirements.txt").is_file():
            raise lock.CannotLock(f"{stanza.name}: no such package")
        return write(project.root, [File(f"images/{stanza.name}/requirements.txt", "x==1\n")])

    monkeypatch.setattr(lock, "unlocked", UNLOCKED)
    monkeypatch.setattr(lock, "lock", locked)
    assert typed() == 0
    (project.root / "images/bad").mkdir()
    for path, content in {"images/bad/stanza.yaml": f"command: x\n{stanza}\n", **others}.items():
        before = project.env_file.read_text() if path == "compose/.env" else ""
        _write(project.root / path, before + content if before else content)
    capsys.readouterr()

    assert typed() == 1
    said = capsys.readouterr().out.splitlines()
    assert told in said[0]
    assert said[-1].startswith("2 of 3 MCPs up") and said[-1].endswith("; NOT working: bad")
    assert Scripted.asked[-1] == ["a", "b", "needy"]


def test_where_no_stanza_is_without_a_mistake_nothing_is_done(project, verified, capsys):
    for name in ("a", "b", "needy"):
        (project.images / name / "stanza.yaml").write_text("[")

    assert typed() == 2 and len(capsys.readouterr().err.splitlines()) == 3 and Scripted.asked == []


def test_what_was_never_to_start_is_not_called_failed_after_an_up_that_failed(project, monkeypatch, capsys):
    def fails(*_):
        raise EngineError("the engine is gone")

    monkeypatch.setattr(Scripted, "up", fails)

    assert typed() == 1
    memory = remembered(project)
    assert (memory.names, list(memory.left_out)) == (("a", "b"), ["needy"])


def test_what_an_mcp_needs_is_told_by_the_catalog_and_when_it_was_asked_for(project, verified, capsys):
    (project.images / "poor").mkdir()
    (project.images / "poor/stanza.yaml").write_text("command: x\nsecrets: {OTHER: {}}\ndescription: A second one\n")
    typed()
    assert "not started, because something is missing: needy, poor (`mcp-bridge catalog` says what)" in capsys.readouterr().out
    assert typed("needy", "a") == 1  # and who asks for all knows that some need keys
    assert "needy: not started: needs KEY (from its maker): write it into compose/.env" in capsys.readouterr().out
    assert main(["catalog"]) == 0
    said = capsys.readouterr().out
    assert "needy: needs KEY (from its maker)" in said and "poor: needs OTHER" in said
    assert [line.split()[:2] for line in said.splitlines()[1:5]] == [["a", "started"], ["b", "can"], ["needy", "needs"], ["poor", "needs"]]


def test_an_up_after_a_down_asks_for_no_registry(project, verified, monkeypatch):
    """All is built: it starts on a machine that has no network."""
    assert typed() == 0
    monkeypatch.setattr(machine, "registries", lambda patient: (finding.FAILED, "no registry answers", "go online"))
    forget(project)

    assert typed() == 0


def test_two_at_once_the_second_is_told_of_the_first(project, verified, capsys):
    with alone(project, "up"):
        assert typed() == 1
        assert main(["down"]) in (0, 1)
    said = capsys.readouterr().err

    assert f"mcp-bridge: `mcp-bridge up` (pid {os.getpid()}, since " in said and "is at work on this fleet: wait until it is done" in said
    assert typed() == 0


def test_a_lock_of_a_process_that_is_gone_holds_nobody(project, verified):
    project.state.mkdir(parents=True)
    with open(project.state / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

    assert typed() == 0


def test_what_cannot_go_well_is_told_before_anything_is_locked_fetched_or_built(project, verified, monkeypatch, capsys):
    monkeypatch.setattr(lock, "unlocked", lambda *_: pytest.fail("it asked for locks first"))
    Scripted.taken = "port 8000 is taken by another program\nend that"
    monkeypatch.setattr(machine, "registries", lambda patient: (finding.FAILED, "no package can be had", "is the proxy right?"))

    assert typed() == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-4:] == ["mcp-bridge: port 8000 is taken by another program", "end that", "no package can be had", "is the proxy right?"]
    assert Scripted.asked == [] and remembered(project) is None


def test_an_interrupt_is_one_line(project, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Scripted, "up", interrupted)

    assert typed() == 1
    assert capsys.readouterr().err.splitlines()[-1] == "mcp-bridge: interrupted; `mcp-bridge up` goes on where this ended"


def test_a_full_disk_is_one_line_and_what_was_there_stays_whole(project, verified, monkeypatch, capsys):
    assert typed() == 0
    before = (project.state / "fleet.json").read_text()
    real = os.fdopen

    def full(descriptor, *more, **named):
        file = real(descriptor, *more, **named)
        file.write = lambda text: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device"))
        return file

    monkeypatch.setattr(os, "fdopen", full)
    Scripted.stamp = "other"
    assert typed() == 1
    monkeypatch.setattr(os, "fdopen", real)

    assert capsys.readouterr().err.splitlines()[-1] == f"mcp-bridge: {project.state / 'fleet.json'}: No space left on device"
    assert (project.state / "fleet.json").read_text() == before
    assert not list(project.state.glob(".*.new"))
    assert write_private(project.state / "fleet.json", before) is False


def test_a_generated_file_that_does_not_fit_is_named_and_nothing_half_written_is_left(tmp_path):
    """A file that cannot be written for any reason: what is rendered last is a folder here. It was "this machine: No space left on device"."""
    (tmp_path / "compose.yaml").mkdir()
    with pytest.raises(OSError) as trouble:
        write(tmp_path, [File("compose/a.yaml", "a"), File("compose.yaml/x", "x"), File("compose.yaml", "b")])

    assert trouble.value.filename == str(tmp_path / "compose.yaml") and not list(tmp_path.rglob(".*.new"))


def test_a_full_disk_holds_nobody_from_the_command_that_frees_it(project, monkeypatch):
    """Whose lock it is cannot be written then; that it is somebody's is known."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with alone(project, "prune"), pytest.raises(EngineError, match="another command is at work"), alone(project, "up"):
        pass


def test_addresses_are_those_that_others_can_use_where_the_network_may_come_in(project, verified, capsys):
    project.compose.mkdir()
    project.env_file.write_text("LAN_BIND=0.0.0.0\n")
    typed()
    said = capsys.readouterr().out

    assert "http://0.0.0.0" not in said
    project.env_file.write_text(project.env_file.read_text().replace("0.0.0.0", "192.0.2.7"))
    typed()
    assert "http://192.0.2.7:8000/a/mcp" in capsys.readouterr().out


def test_what_runs_as_an_earlier_stanza_said_is_named(project, verified):
    from bridge.fleet import Fleet, definition

    (project.images / "a/stanza.yaml").write_text("pypi: a-server==1.0\ncommand: a\nsmoke: {tool: now}\n")
    typed()
    memory = remembered(project)
    assert definition.older(project, Fleet.load(project.images), memory.definitions) == {}

    (project.images / "a/stanza.yaml").write_text("pypi: a-server==2.0\ncommand: a\nsmoke: {tool: now}\n")
    (project.images / "b/stanza.yaml").write_text("command: b\nsmoke: {tool: later}\n")  # says nothing of what runs
    assert definition.older(project, Fleet.load(project.images), memory.definitions) == {
        "a": "it runs as an earlier stanza said: a-server==1.0 runs, the stanza says a-server==2.0"
    }
