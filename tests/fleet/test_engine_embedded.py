"""The fleet without Docker, as an operator has it: `mcp-bridge up --engine embedded` with real servers and real LiteLLMs."""

import io
import json
import os
import secrets
import shutil
import signal
import socket
import threading
from contextlib import redirect_stderr, redirect_stdout
from copy import copy
from typing import NamedTuple

import environments
import httpx
import psutil
import pytest
import yaml
from environments.cache import cache
from environments.clients import version
from environments.processes import free_port
from fake_openai import FakeOpenAI
from support import ROOT, Http, eventually, text, zoo
from support.index import HOSTILE, Index, clock, days, served

from bridge.callers.tokens import hash_of
from bridge.cli import main
from bridge.fleet.dotenv import read_dotenv
from bridge.fleet.engines import keeper
from bridge.fleet.update import switch

pytestmark = pytest.mark.timeout(240)


class Ran(NamedTuple):
    code: int
    stdout: str
    stderr: str


class Operator:
    """A project of its own, and somebody who types commands in it."""

    def __init__(self, root, openai: str):
        self.root = root
        self.ports = {"MCP_PORT": free_port(), "LITELLM_PORT": free_port()}
        (root / "compose").mkdir()
        (root / "compose/.env").write_text("".join(f"{name}={port}\n" for name, port in self.ports.items()) + "COMPOSE_PROFILES=tests\n")
        for name in ("time", "memory"):
            shutil.copytree(ROOT / "images" / name, root / "images" / name)
        model = {"model_name": "calls-tools", "litellm_params": {"model": "openai/fake", "api_base": openai, "api_key": "none"}}
        (root / "litellm").mkdir()
        (root / "litellm/base.yaml").write_text(yaml.safe_dump({"model_list": [model]}))

    def stanza(self, name: str, **fields) -> None:
        (self.root / "images" / name).mkdir(exist_ok=True)
        (self.root / "images" / name / "stanza.yaml").write_text(yaml.safe_dump(fields))

    def types(self, *words: str, code: int | None = 0) -> "Ran":
        """Runs `mcp-bridge WORDS` there. In this process: starting Python and importing the SDK takes longer than most commands."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("MCP_BRIDGE_", "LITELLM_"))}
        env |= {"MCP_BRIDGE_FLEET_CACHE": str(cache()), "PYTHONPATH": str(ROOT)}
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.root)
            patch.setattr(os, "environ", env)
            try:
                ended = main(list(words))
            except SystemExit as leaving:
                ended = leaving.code
        assert code is None or ended == code, f"{words}: exit code {ended}\n{out.getvalue()}\n{err.getvalue()}\n{self.logs()}"
        return Ran(ended, out.getvalue(), err.getvalue())

    def verdict(self, *words: str, code: int = 0) -> dict:
        return json.loads(self.types("verify", "--json", *words, code=code).stdout)

    def told(self) -> dict:
        return json.loads((self.root / "compose/state/embedded/keeper.json").read_text())

    def pid(self, program: str) -> int:
        return self.told()["programs"][program]["pid"]

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}" for path in self.root.glob("compose/state/embedded/*.log")
        )


@pytest.fixture(scope="module")
def openai():
    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture(scope="module")
def operator(tmp_path_factory, openai):
    """The fleet runs after the first test and is changed by each: they are one story, in their order."""
    environments.litellm_1773()
    operator = Operator(tmp_path_factory.mktemp("fleet"), openai.url)
    operator.stanza(
        "echo",
        command=zoo("echo"),
        env={"GREETING": "${GREETING:-hello}"},
        bridge={"isolation": "shared"},
        tools={"allow": ["echo", "add"], "rename": {"add": "plus"}},
        smoke={"tool": "echo", "arguments": {"message": "I am here"}, "expect": "here"},
        tests_only=True,
    )
    operator.stanza("needy", command=zoo("echo"), secrets={"NEEDY_KEY": {"description": "from its maker"}})
    operator.stanza("wrapped", image="ghcr.io/somebody/server:1", command="server")
    try:
        yield operator
    finally:
        operator.types("down", code=None)


def test_up_does_it_all(operator):
    ran = operator.types("up", "--engine", "embedded")

    assert "3 MCPs up and verified" in ran.stdout
    for name in ("echo", "memory", "time"):
        assert f"http://127.0.0.1:{operator.ports['MCP_PORT']}/{name}/mcp" in ran.stdout
    assert "not started, because something is missing: needy, wrapped (`mcp-bridge catalog` says what)" in ran.stdout
    catalog = operator.types("catalog").stdout
    assert "needy: needs NEEDY_KEY (from its maker): write it into compose/.env" in catalog
    assert "wrapped: is the image ghcr.io/somebody/server:1: that needs Docker" in catalog
    assert f"curl -s http://127.0.0.1:{operator.ports['LITELLM_PORT']}/mcp/" in ran.stdout
    secret = read_dotenv(operator.root / "compose/.env")["BRIDGE_TOKEN"]
    tokens = (operator.root / "compose/state/embedded/tokens").read_text()
    assert tokens.startswith(f"operator {hash_of(secret)}\nlitellm sha256:") and secret not in tokens  # children may read it
    assert secret not in ran.stdout + ran.stderr
    assert "sk-" not in ran.stdout + ran.stderr


def test_a_second_up_changes_nothing(operator):
    before = {name: operator.pid(name) for name in ("bridge", "litellm")}
    ran = operator.types("up")

    assert {name: operator.pid(name) for name in ("bridge", "litellm")} == before
    assert operator.told()["programs"]["bridge"]["restarts"] == 0
    assert "verified (none of them now: the others did not change)" in ran.stdout
    assert "verifying" not in ran.stderr


def test_ps_logs_and_lists(operator):
    told = json.loads(operator.types("ps", "--json").stdout)
    assert {one["name"]: one["state"] for one in told["services"]} == dict.fromkeys(("echo", "memory", "time", "bridge", "litellm"), "up")
    assert set(told["left_out"]) == {"needy", "wrapped"}

    lines = operator.types("logs", "time").stdout.splitlines()
    assert any("child ready" in line for line in lines)
    assert all("mcp=time" in line for line in lines)
    assert len(operator.types("logs", "time", "--tail", "1").stdout.splitlines()) == 1
    assert operator.types("logs", "bridge", "--since", "2999-01-01").stdout == ""
    assert operator.types("logs", "bridge", "--since", "1h").stdout == operator.types("logs", "bridge").stdout
    assert {line.partition("  | ")[0] for line in operator.types("logs", "--tail", "2").stdout.splitlines()} == {
        "bridge",
        "litellm",
        "keeper",
    }
    assert "--since yesterday: write 10m" in operator.types("logs", "--since", "yesterday", code=2).stderr
    assert "no log of 'nobody'" in operator.types("logs", "nobody", code=2).stderr
    assert "Application startup complete" in operator.types("logs", "litellm").stdout

    tools = json.loads(operator.types("tools", "--json").stdout)
    assert {tool["name"] for tool in tools if tool["server"] == "echo"} == {"echo", "plus"}
    assert ("time", "time-get_current_time") in {(tool["server"], tool["litellm_name"]) for tool in tools}
    assert "get_current_time" in operator.types("tools", "time").stdout
    assert json.loads(operator.types("prompts", "echo", "--json").stdout)[0]["server"] == "echo"
    assert operator.types("resources", "time").stdout == "no resources\n"


def test_a_copied_folder_does_not_touch_the_fleet_of_the_first(operator, tmp_path):
    """It has the first one's keeper.json, too."""
    before = operator.told()
    copy = object.__new__(Operator)
    copy.root = shutil.copytree(operator.root, tmp_path / "copy")
    taken = copy.types("up", "--no-verify", code=1).stderr
    copy.types("down", "--volumes")

    assert f"port {operator.ports['MCP_PORT']} is taken by another program" in taken
    assert operator.told() == before
    assert all(keeper.identity(one["pid"]) for one in (before, *before["programs"].values()))


def test_a_model_calls_the_tools_by_itself(operator, openai):
    verdict = operator.verdict("time", "echo", "--model", "calls-tools")

    assert all({hop["name"]: hop["state"] for hop in mcp["hops"]}["model"] == "ok" for mcp in verdict["mcps"])
    assert {"time-get_current_time", "echo-echo"} <= set(openai.called)

    openai.lazy = True
    failed = operator.verdict("time", "--model", "calls-tools", code=1)
    openai.lazy = False
    [hop] = [hop for hop in failed["mcps"][0]["hops"] if hop["state"] == "failed"]
    assert hop["name"] == "model" and "without calling time-get_current_time" in hop["seen"]


def test_only_what_changed_is_reloaded(operator):
    before = {name: operator.pid(name) for name in ("bridge", "litellm")}
    with (operator.root / "compose/.env").open("a") as file:
        file.write("GREETING=again\n")
    operator.types("up", "--no-verify")

    assert {name: operator.pid(name) for name in ("bridge", "litellm")} == before
    eventually(lambda: "reloaded" in operator.types("logs", "bridge").stdout, 5, "the bridge did not read its configuration again")
    [line] = [line for line in operator.types("logs", "bridge").stdout.splitlines() if " reloaded " in f"{line} "]
    assert "changed=echo" in line and "unchanged=memory,time" in line


def test_groups_of_fleet_yaml_are_at_addresses_of_their_own(operator):
    file, url = operator.root / "images/fleet.yaml", f"http://127.0.0.1:{operator.ports['MCP_PORT']}"
    before = file.read_text() if file.exists() else ""
    file.write_text(f"{before}\ngroups:\n  dev: [time, needy]\n")
    ran = operator.types("up", "--no-verify")
    key = {"authorization": f"Bearer {read_dotenv(operator.root / 'compose/.env')['BRIDGE_TOKEN']}"}
    eventually(lambda: Http(f"{url}/dev", headers=key).post({}).status_code == 400, 5, "the bridge did not read its configuration again")
    with Http(f"{url}/dev", headers=key) as dev, Http(f"{url}/all", headers=key) as everything:
        tools = [
            {tool["name"].partition("-")[0] for tool in client.request("tools/list")["result"]["tools"]} for client in (dev, everything)
        ]

        assert tools == [{"time"}, {"echo", "memory", "time"}]
        assert "UTC" in text(dev.call("time-get_current_time", timezone="UTC"))
    assert f"group dev: {url}/dev/mcp" in ran.stdout + ran.stderr and "group dev: without needy" in ran.stdout + ran.stderr
    file.write_text(before)
    operator.types("up", "--no-verify")


def test_a_wrong_configuration_is_told_and_the_others_go_on(operator):
    operator.stanza("worse", command="does-not-exist-here")
    ran = operator.types("up", "--no-verify", code=1)
    assert ran.stdout.startswith("worse: 'does-not-exist-here' is not installed")
    assert "3 of 4 MCPs up" in ran.stdout.splitlines()[-1] and "NOT working: worse" in ran.stdout.splitlines()[-1]

    operator.stanza("worse", comand="x")
    ran = operator.types("up", "--no-verify", code=1)
    shutil.rmtree(operator.root / "images/worse")
    assert "images/worse/stanza.yaml:1: comand: unknown field" in ran.stdout.splitlines()[0]
    assert "3 of 4 MCPs up" in ran.stdout.splitlines()[-1] and ran.stdout.splitlines()[-1].endswith("NOT working: worse")
    assert operator.types("ps").code == 0


def test_a_configuration_that_litellm_refuses_ends_nothing_and_is_told_in_a_line(operator):
    base = operator.root / "litellm/base.yaml"
    good, before = base.read_text(), operator.pid("litellm")
    base.write_text(good + "mcp_servers: {far: {url: 'http://127.0.0.1:9/mcp', transport: pigeon}}\n")
    ran = operator.types("up", "--no-verify", code=1)
    again = operator.types("up", "--no-verify", code=1)
    base.write_text(good)

    assert "litellm: it does not take its configuration, and goes on with the one before: " in ran.stdout.splitlines()[0]
    assert "transport" in ran.stdout.splitlines()[0], ran.stdout
    assert again.stdout.splitlines()[0] == ran.stdout.splitlines()[0]
    assert operator.pid("litellm") == before and "pigeon" not in (operator.root / "compose/state/embedded/litellm.yaml").read_text()
    assert operator.verdict()["ok"]
    assert operator.types("up").code == 0


def test_what_dies_comes_back_and_verify_says_what_was_wrong_meanwhile(operator):
    os.kill(operator.told()["pid"], signal.SIGSTOP)  # the keeper does not look for a moment
    first = operator.pid("bridge")
    os.kill(first, signal.SIGKILL)
    wrong = operator.verdict(code=1)
    os.kill(operator.told()["pid"], signal.SIGCONT)

    assert not wrong["ok"]
    assert all(hop["todo"] for mcp in wrong["mcps"] for hop in mcp["hops"] if hop["state"] == "failed")
    eventually(lambda: operator.pid("bridge") not in (None, first), 10, "the bridge is not started again")
    eventually(lambda: operator.types("verify", code=None).code == 0, 40, "the fleet does not heal")


def test_a_rug_pull_is_refused_and_noticed_and_a_good_version_is_switched_to_between_two_calls(operator, connect, tmp_path, monkeypatch):
    index = Index({"clock": {"1.0": (days(90), False), "1.1": (days(20), False)}}, {})
    index.files = {("clock", "1.0"): clock("The time"), ("clock", "1.1"): clock(HOSTILE), ("clock", "1.2"): clock("The time")}
    bridge = f"http://127.0.0.1:{operator.ports['MCP_PORT']}"
    key = {"Authorization": f"Bearer {read_dotenv(operator.root / 'compose/.env')['BRIDGE_TOKEN']}"}
    stanza = {"command": "clock", "smoke": {"tool": "now", "expect": "noon"}}
    done, answers, in_flight = tmp_path / "done", [], switch._in_flight

    def seen(*about) -> int:
        if calls := in_flight(*about):
            done.touch()
        return calls

    with served(index):
        for name, value in index.environment(tmp_path).items():
            if name != "NO_PROXY":  # which the bridge is told, and started anew for
                monkeypatch.setenv(name, value)
        operator.stanza("clock", pypi="clock==1.0", **stanza)
        operator.types("up", "--no-verify")
        operator.types("approve", "clock", "--yes")

        refused = operator.types("update", "clock", code=1).stdout
        assert "~ now: description" in refused and "read ~/.ssh/id_rsa" in refused and "nobody agreed to its tools" in refused
        assert unapproved(bridge, key) == 0

        operator.stanza("clock", pypi="clock==1.1", **stanza)  # by hand, past all that
        assert "~ now: description" in operator.types("up").stderr
        assert unapproved(bridge, key) == 1

        index.pypi["clock"]["1.2"] = (days(8), False)
        client = connect(Http, f"{bridge}/clock", headers=key)
        calling = threading.Thread(target=lambda: answers.append(text(client.call("now", until=str(done)))))
        calling.start()
        monkeypatch.setattr(switch, "_in_flight", seen)
        ran = operator.types("update", "clock")
        calling.join(5)

    assert "clock: clock 1.1 → 1.2" in ran.stdout and "clock: updated" in ran.stdout
    assert "waiting for 1 calls in flight" in ran.stderr and answers == ["noon"]
    assert unapproved(bridge, key) == 0


def unapproved(bridge: str, key: dict[str, str]) -> float:
    lines = httpx.get(f"{bridge}/metrics", headers=key).text.splitlines()
    [line] = [line for line in lines if line.startswith("mcp_bridge_tools_unapproved{") and 'mcp="clock"' in line and "changed" in line]
    return float(line.rpartition(" ")[2])


def test_the_newest_litellm(operator):
    newest = version(environments.litellm_newest(), "litellm")
    bridge = operator.pid("bridge")
    ran = operator.types("up", "--litellm-version", newest, "--model", "calls-tools")

    assert "MCPs up and verified" in ran.stdout
    assert operator.pid("bridge") == bridge  # only LiteLLM is another
    assert operator.verdict()["ok"]


def test_what_was_planted_comes_out_nowhere(operator):
    """Not in what is printed, logged, shown, counted or generated, nor in a process's arguments. It stands in the operator's own files, and in
    that from which LiteLLM, which takes its keys from its environment alone, is started: all of them are the operator's alone."""
    env = operator.root / "compose/.env"
    before, planted = env.read_text(), f"Pl4nted-{secrets.token_urlsafe(18)}"
    env.write_text(f"{before}NEEDY_KEY={planted}\n")
    ran = operator.types("up", "--no-verify")
    said = read_dotenv(env)
    values = {planted, *(said[name] for name in ("BRIDGE_TOKEN", "LITELLM_MASTER_KEY", "POSTGRES_PASSWORD", "POSTGRES_READER_PASSWORD"))}
    url, key = f"http://127.0.0.1:{operator.ports['MCP_PORT']}", {"authorization": f"Bearer {said['BRIDGE_TOKEN']}"}
    seen = [ran.stdout + ran.stderr, *(operator.types(*words, code=None).stdout for words in (("ps",), ("status",), ("connect", "curl")))]
    for path in ("/", "/status.json", "/metrics", "/needy/status.json", "/needy/readyz", "/nowhere", "/mcp"):
        for shown in (key, {}, {"authorization": f"Bearer {planted}"}):
            seen.append(httpx.get(url + path, headers=shown).text)
    seen.append(
        httpx.post(f"{url}/needy/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "x", "params": {"token": planted}}, headers=key).text
    )
    pids = [operator.told()["pid"], *(one["pid"] for one in operator.told()["programs"].values())]
    processes = [child for pid in pids for child in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]
    seen += [" ".join(one.cmdline()) for one in processes]
    assert not [value for value in values for text in seen if value in text]

    files = {path for path in operator.root.rglob("*") if path.is_file() and any(value.encode() in path.read_bytes() for value in values)}
    state = operator.root / "compose/state"
    own = {env, *(operator.root / "compose/secrets").iterdir(), state / "litellm_key", state / "embedded/plan.json"}
    assert files - own == set()
    for path in files:
        assert path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0, path
    env.write_text(before)


def test_down_ends_exactly_what_was_started(operator):
    told = operator.told()
    pids = [told["pid"], *(one["pid"] for one in told["programs"].values())]
    assert not any(keeper.identity(pid) == "" for pid in pids)
    operator.types("down")

    assert all(keeper.identity(pid) == "" for pid in pids)
    assert (operator.root / "compose/state/embedded/volumes").exists()  # what the MCPs keep is kept
    assert "nothing was started here" in operator.types("ps", code=2).stderr
    assert operator.types("down").code == 0


def test_a_backup_makes_the_same_fleet_in_an_empty_folder_and_verify_passes_there(operator, tmp_path):
    """Secrets are left where they were; the ports are those of the first, which is down."""
    kept = operator.root / "compose/state/embedded/volumes"
    (kept / "memory-data/note.txt").write_text("of a year ago")
    operator.types("backup", str(tmp_path / "fleet.tar"))
    there = copy(operator)
    there.root = tmp_path / "new"
    there.root.mkdir()
    there.types("restore", str(tmp_path / "fleet.tar"))
    try:
        there.types("up", "--engine", "embedded")

        assert there.verdict()["ok"] and there.verdict()["mcps"]
        assert (there.root / "compose/state/embedded/volumes/memory-data/note.txt").read_text() == "of a year ago"
        assert read_dotenv(there.root / "compose/.env")["BRIDGE_TOKEN"] != read_dotenv(operator.root / "compose/.env")["BRIDGE_TOKEN"]
        assert "a fleet runs here" in there.types("restore", str(tmp_path / "fleet.tar"), code=2).stderr
    finally:
        there.types("down", code=None)


def test_a_database_is_told_to_be_nothing_for_this_engine(operator):
    (operator.root / "images/fleet.yaml").write_text("litellm: {database: true}\n")
    try:
        said = operator.types("up", "--engine", "embedded", "--no-verify", code=1).stderr
    finally:
        (operator.root / "images/fleet.yaml").unlink()

    assert "the embedded engine has no Postgres: --engine compose, or take 'database: true' out of images/fleet.yaml" in said


def test_a_port_that_is_taken_is_told(operator):
    with socket.create_server(("127.0.0.1", operator.ports["MCP_PORT"])):
        ran = operator.types("up", "--engine", "embedded", "--no-verify", code=1)

    assert f"port {operator.ports['MCP_PORT']} is taken by another program" in ran.stderr
    assert "MCP_PORT=" in ran.stderr
