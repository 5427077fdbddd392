"""Forty MCPs on one machine, and all that may go wrong with some of them: the others never notice.

All are the same small program, so that it is the fleet that is tried and not the servers. The tests stand in their order; figures are printed
(-s), they decide nothing.
"""

import json
import secrets
import shutil
import signal
import subprocess
import sys
import time

import httpx
import pytest
from checkouts import Operator, docker, needs_docker, remove_images
from support import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

PROJECT = f"mcp-forty-{secrets.token_hex(3)}"
INTERNET = f"{PROJECT}-internet"  # a network, and the one server there
NAMES = [f"m{number:02}" for number in range(40)]
SERVER = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        answers = {"initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "tiny", "version": "1"}},
                   "tools/list": {"tools": [{"name": "look", "inputSchema": {"type": "object"}}]},
                   "tools/call": {"content": [{"type": "text", "text": "here I am"}]}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": answers.get(message["method"], {})}), flush=True)
"""


def add(operator: Operator, name: str, more: str = "") -> None:
    folder = operator.root / "images" / name
    (folder / "app").mkdir(parents=True)
    (folder / "app/tiny.py").write_text(SERVER)
    (folder / "stanza.yaml").write_text(f"command: [python3, /app/tiny.py]\nfiles: app\nsmoke: {{tool: look, expect: here}}\n{more}")


@pytest.fixture(scope="module")
def operator(tmp_path_factory):
    needs_docker()
    operator = Operator(tmp_path_factory.mktemp("checkout"), PROJECT)
    for folder in (operator.root / "images").iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    for name in NAMES:  # each may reach one name, all but one the same
        add(operator, name, f"egress: [{'api' if name != 'm01' else 'other'}.example.com]\n")
    try:
        yield operator
    finally:
        subprocess.run(["docker", "rm", "--force", INTERNET], capture_output=True, timeout=60)
        operator.run("down", "--volumes", code=None)
        subprocess.run(["docker", "network", "rm", INTERNET], capture_output=True, timeout=60)
        remove_images(PROJECT)


def timed(what: str, run) -> str:
    began = time.monotonic()
    said = run()
    print(f"\n{what}: {time.monotonic() - began:.1f} s")
    return said


def ups(operator: Operator) -> dict[str, str]:
    """Each MCP's container, and when it was started."""
    names = docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
    said = docker("inspect", "--format", '{{index .Config.Labels "com.docker.compose.service"}} {{.Id}} {{.State.StartedAt}}', *names)
    rows = (line.partition(" ") for line in said.splitlines())
    return {name: rest for name, _, rest in rows if name.startswith(("m", "clock"))}


def services() -> list[str]:
    """The service of each container, one-off ones too."""
    return sorted(
        docker(
            "ps", "-a", "--filter", f"label=com.docker.compose.project={PROJECT}", "--format", '{{.Label "com.docker.compose.service"}}'
        ).split()
    )


def sockets() -> set[str]:
    """The volumes that hold an MCP's socket."""
    said = docker(
        "volume", "ls", "--filter", f"label=com.docker.compose.project={PROJECT}", "--format", '{{.Label "com.docker.compose.volume"}}'
    )
    return {name for name in said.split() if name.endswith(("-socket", "-egress"))}


def listed(operator: Operator) -> set[str]:
    """The MCPs whose tool LiteLLM lists."""
    key = (operator.root / "compose/state/litellm_key").read_text().strip()
    said = httpx.post(
        f"{operator.litellm}/mcp/",
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        timeout=60,
        headers={"x-litellm-api-key": f"Bearer {key}", "accept": "application/json, text/event-stream"},
    ).text
    message = json.loads(next((line[5:] for line in said.splitlines() if line.startswith("data:")), said))
    return {tool["name"].partition("-")[0] for tool in message.get("result", {}).get("tools", [])}


def interrupted(operator: Operator, step: str) -> None:
    """Ctrl-C as soon as `up` says that it does this: in a foreground, as a shell lets it hear that, wherever these tests run."""
    command = [sys.executable, "-u", "-m", "bridge", "up", "--project", str(operator.root)]
    with subprocess.Popen(
        command,
        cwd=operator.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            if f"  {step}" in line:
                process.send_signal(signal.SIGINT)
        code = process.wait(60)

    assert (code, said[-1]) == (1, "mcp-bridge: interrupted; `mcp-bridge up` goes on where this ended\n"), said


def test_forty_come_up_and_are_verified(operator):
    said = timed("forty MCPs, up and verified", lambda: operator.run("up", "--engine", "compose"))

    assert said.splitlines()[-1].startswith("40 MCPs up and verified in ")
    assert set(ups(operator)) == set(NAMES)


LOOK_OUT = """
import socket, sys, urllib.request
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, timeout=20).read().decode())
    except OSError as error:
        print(error)
try:
    socket.create_connection(("198.51.100.80", 80), 3)
    print("connected")
except OSError as error:
    print(error.strerror, [name for _, name in socket.if_nameindex()])
"""
WEB = "import http.server as h; h.BaseHTTPRequestHandler.do_GET = lambda self: self.wfile.write(b'HTTP/1.0 200 OK\\r\\n\\r\\nhello'); h.HTTPServer(('', 80), h.BaseHTTPRequestHandler).serve_forever()"


def test_each_reaches_its_names_by_the_egress_proxy_and_nothing_else(operator):
    """All forty without a network of their own. The internet is a network of public addresses that the proxy is given beside its own."""
    docker("network", "create", "--internal", "--subnet", "198.51.100.0/24", INTERNET)
    names = ("api.example.com", "other.example.com", "evil.example")
    aliases = [word for name in names for word in ("--network-alias", name)]
    docker(
        "run", "-d", "--name", INTERNET, "--network", INTERNET, "--ip", "198.51.100.80", *aliases, "python:3.13-slim", "python", "-c", WEB
    )
    docker("network", "connect", INTERNET, operator.container("egress"))
    eventually(lambda: docker("logs", INTERNET) == "" and "hello" in out(operator, "m00", names[0]), 60)

    assert out(operator, "m00", *names) == ["hello", *["HTTP Error 403: Forbidden"] * 2, "Network is unreachable ['lo']"]
    assert out(operator, "m01", *names) == [
        "HTTP Error 403: Forbidden",
        "hello",
        "HTTP Error 403: Forbidden",
        "Network is unreachable ['lo']",
    ]
    assert operator.inspect("m00")["HostConfig"]["NetworkMode"] == "none"
    assert set(operator.inspect("egress")["NetworkSettings"]["Networks"]) == {f"{PROJECT}_outside", INTERNET}
    said = docker("logs", operator.container("egress"))
    assert "mcp=m00 host=evil.example refused: not in its egress list" in said
    query = {"query": 'mcp_bridge_egress_refusals_total{mcp="m01",host="evil.example"}'}
    eventually(lambda: httpx.get(f"{operator.prometheus}/api/v1/query", params=query).json()["data"]["result"], 30)


def out(operator: Operator, name: str, *hosts: str) -> list[str]:
    said = docker("exec", operator.container(name), "/opt/bridge/bin/python", "-c", LOOK_OUT, *(f"http://{host}/" for host in hosts))
    return said.splitlines()


def test_four_that_are_dead_are_missing_from_litellm_s_list_and_nothing_else_is(operator):
    dead = NAMES[:4]
    docker("stop", "-t", "5", *map(operator.container, dead))
    timed("LiteLLM's list with four dead", lambda: listed(operator))

    eventually(lambda: listed(operator) == set(NAMES[4:]), 60)  # it leaves out for once who is slow


def test_one_added_starts_nothing_but_itself_and_a_bad_one_beside_it_is_named(operator):
    docker("start", *map(operator.container, NAMES[:4]))
    before = ups(operator)
    add(operator, "m40")
    (operator.root / "images/m41").mkdir()
    (operator.root / "images/m41/stanza.yaml").write_text("image: localhost:1/nobody/nothing:1\ncommand: x\n")
    add(operator, "m42", "volumes: ['${PLACE:-place}:/place', '${NOWHERE}:/x']\nenv: {NOWHERE: '${NOWHERE}'}\n")
    add(operator, "m43", "volumes: ['${LACKING}:/lacking']\n")
    operator.says_also("PLACE=elsewhere\nNOWHERE=/nowhere\n")  # no volume of any stanza's
    timed("one added, until it is verified", lambda: interrupted(operator, "verifying"))
    replaced = docker("image", "inspect", "--format", "{{.Id}}", f"{PROJECT}-m40")
    (operator.root / "images/m40/app/tiny.py").write_text(f"{SERVER}# another one")
    said = timed("again", lambda: operator.run("up", code=1))

    first, second, *_, last = said.splitlines()
    assert first.startswith("m42: its volume ${PLACE:-place} is elsewhere by compose/.env: ")
    assert second.startswith("m41: cannot be built: ") and "localhost:1" in second
    assert "m43: not started: needs LACKING" in said
    assert "41 of 43 MCPs up and verified" in last and last.endswith("NOT working: m42, m41")
    assert {name: one for name, one in ups(operator).items() if name in before} == before
    assert replaced not in docker("image", "ls", "--all", "--quiet", "--no-trunc"), "the image that was replaced takes room"
    eventually(lambda: listed(operator) == {*NAMES, "m40"}, 30)


def test_one_renamed_and_one_removed_are_gone(operator):
    before = ups(operator)
    for name in ("m41", "m42", "m43"):
        shutil.rmtree(operator.root / "images" / name)
    shutil.rmtree(operator.root / "images/m39")
    (operator.root / "images/m40").rename(operator.root / "images/clock")
    timed("one removed, one renamed, until LiteLLM is told", lambda: interrupted(operator, "starting litellm"))
    said = timed("one removed, one renamed", lambda: operator.run("up"))
    now = ups(operator)

    assert set(now) == {*NAMES[:39], "clock"}
    assert {name: now[name] for name in NAMES[:39]} == {name: before[name] for name in NAMES[:39]}
    assert not (operator.root / "compose/m40.yaml").exists()
    assert listed(operator) == {*NAMES[:39], "clock"}
    assert said.splitlines()[-1].startswith("40 MCPs up and verified")
    left = (*NAMES[:39], "clock", "egress")
    assert sockets() == {f"{name}-socket" for name in left} | {f"{name}-egress" for name in NAMES[:39]}


def test_a_configuration_that_litellm_refuses_ends_nothing_and_is_told_in_a_line(operator):
    base = operator.root / "litellm/base.yaml"
    good, litellm = base.read_text(), operator.inspect("litellm")["State"]["StartedAt"]
    base.write_text(good + "mcp_servers: {far: {url: 'http://127.0.0.1:9/mcp', transport: pigeon}}\n")
    said = operator.run("up", "--no-verify", code=1)
    base.write_text(good)

    assert said.splitlines()[0].startswith("litellm: it does not take its configuration, and goes on with the one before: "), said
    assert "transport" in said.splitlines()[0]
    assert operator.inspect("litellm")["State"]["StartedAt"] == litellm and listed(operator) == {*NAMES[:39], "clock"}


@pytest.mark.parametrize("step", ["building", "starting m00"])
def test_an_interrupt_leaves_nothing_half_done(operator, step):
    """And the `up` after it does all that is left to do: the first one also gives LiteLLM what it takes again."""
    before = ups(operator)
    for name in ("m00", "m01"):
        (operator.root / f"images/{name}/app/tiny.py").write_text(f"# {step}\n{SERVER}")
    interrupted(operator, step)
    operator.run("up", "--no-verify")
    now = ups(operator)

    assert {name: now[name] for name in NAMES[2:39]} == {name: before[name] for name in NAMES[2:39]}
    assert services() == sorted([*NAMES[:39], "clock", "door", "egress", "keys", "litellm", "prometheus"])
    assert all(f"# {step}" in docker("exec", operator.container(name), "cat", "/app/tiny.py") for name in ("m00", "m01"))


def test_down_says_what_stays_and_prune_frees_it(operator):
    operator.says_also("LAN_BIND=nowhere\n")  # with which Compose reads none of its files
    said = timed("down", lambda: operator.run("down"))
    kept = ("keys-database", "keys-door", "keys-litellm", "keys-mcp", "keys-prometheus", "prometheus")
    assert f"kept: {', '.join(f'volume {PROJECT}_{name}' for name in kept)}\n`mcp-bridge down --volumes` deletes them" in said
    assert "`mcp-bridge prune` frees both" in said
    assert timed("prune", lambda: operator.run("prune")).startswith("removed 4")
    assert docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={PROJECT}-*") == ""
