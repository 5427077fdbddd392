"""The fleet as an operator runs it: `mcp-bridge up` with a real engine, a real LiteLLM, Prometheus and Postgres.

One fleet for all tests of this file, made from a copy of the project on other ports. The tests stand in the order in which an operator meets these things.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from checkouts import KNOCK, Operator, docker, free_ports, hops, needs_docker, remove_images, troubles
from support import ROOT, eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

PROJECT = f"mcp-proof-{secrets.token_hex(3)}"
OFFLINE = ["everything", "filesystem", "git", "markitdown", "memory", "playwright", "postgres", "sequential-thinking", "time"]
ONLINE = ["context7", "fetch"]  # their smoke calls ask the internet, which the machine may not have
SHARED = ["database", "door", "litellm", "prometheus"]


@pytest.fixture(scope="module")
def operator(tmp_path_factory):
    needs_docker()
    operator = Operator(tmp_path_factory.mktemp("checkout"), PROJECT)
    try:
        yield operator
    finally:
        subprocess.run(["docker", "rm", "-f", "fake-openai"], capture_output=True, timeout=60)
        operator.run("down", "--volumes", code=None)
        remove_images(PROJECT)


@pytest.fixture(scope="module")
def fleet(operator):
    began = time.monotonic()
    operator.printed = operator.run("up", "--engine", "compose", *OFFLINE, *ONLINE, "--no-verify", patience=880)
    print(f"\nup, cold: {time.monotonic() - began:.0f} s")
    docker(
        "run",
        "-d",
        "--name",
        "fake-openai",
        "--network",
        f"{PROJECT}_inside",
        "-v",
        f"{ROOT}/tests/fleet/fake_openai.py:/fake.py:ro",
        "python:3.13-slim",
        "python",
        "/fake.py",
    )
    return operator


def test_every_hop_of_every_mcp_holds_also_through_a_model(fleet):
    verdict = fleet.verify("--model", "fake")
    assert verdict["ok"], troubles(verdict)
    assert verdict["engine"] == "compose"
    assert {report["name"] for report in verdict["mcps"]} == {*OFFLINE, *ONLINE}
    for name in OFFLINE:
        assert set(hops(verdict, name).values()) == {"ok"}, hops(verdict, name)
        assert {"running", "ready", "streamable-http", "sse", "websocket", "smoke", "listed", "called", "model", "counted"} <= set(
            hops(verdict, name)
        )


def test_the_tables_name_every_mcp(fleet):
    for name in (*OFFLINE, *ONLINE):
        assert f"{fleet.mcps}/{name}/mcp" in fleet.printed
    tools = json.loads(fleet.run("tools", "--json"))
    assert "get_current_time" in json.dumps(tools)
    eventually(lambda: "starting" not in fleet.run("ps", code=None), 90)  # Docker looks at LiteLLM's health now and then
    assert "litellm" in fleet.run("ps")


def test_clients_of_both_eras_see_the_same_tools(fleet):
    verdict = json.loads(fleet.run("verify", "time", "memory", "--era", "both", "--json"))
    assert [hops(verdict, name)["modern"] for name in ("time", "memory")] == ["ok", "ok"]


def test_up_again_changes_nothing(fleet):
    before = {name: fleet.inspect(name)["Id"] for name in (*OFFLINE, *ONLINE, *SHARED)}
    began = time.monotonic()
    fleet.run("up", *OFFLINE, *ONLINE)
    print(f"\nup, warm, with verify: {time.monotonic() - began:.1f} s")
    assert {name: fleet.inspect(name)["Id"] for name in before} == before


def test_a_second_checkout_is_a_fleet_of_its_own(fleet, tmp_path):
    """It finds its ports taken and says by whom; then it comes and goes, is moved meanwhile, and the first fleet never notices."""
    before = {name: fleet.inspect(name)["State"]["StartedAt"] for name in (*OFFLINE, *ONLINE, *SHARED)}
    second = Operator(tmp_path / "second")
    kept = (second.root / "compose/.env").read_text()
    second.says_also(f"MCP_PORT={fleet.mcps.rpartition(':')[2]}\n")
    taken = second.refused("up", "time", "--no-verify")
    assert f"is taken by the fleet of {fleet.root} ({PROJECT})" in taken and "compose/.env: MCP_PORT=" in taken
    second.says_also(next(line for line in kept.splitlines(keepends=True) if line.startswith("MCP_PORT=")))
    second.run("up", "time", "--no-verify")
    name = (second.root / "compose/.env").read_text().partition("COMPOSE_PROJECT_NAME=")[2].split()[0]
    try:
        assert docker("image", "inspect", "--format", "ok", f"{name}-time") == "ok"
        assert len(docker("ps", "-q", "--filter", f"label=com.docker.compose.project={name}").split()) == 4

        second.root = second.root.rename(tmp_path / "moved")
        assert {one["name"] for one in json.loads(second.run("ps", "--json", code=None))["services"]} == {
            "time",
            "door",
            "litellm",
            "prometheus",
        }
        second.root = Path(shutil.copytree(second.root, tmp_path / "copied", ignore=shutil.ignore_patterns("bridge")))
        assert f"the fleet {name} is that of {tmp_path / 'moved'}" in second.refused("down", "--volumes")
    finally:
        second.root = tmp_path / "moved"
        second.run("down", "--volumes")
        remove_images(name)
    assert {name: fleet.inspect(name)["State"]["StartedAt"] for name in before} == before


def test_a_copied_checkout_does_not_take_the_fleet_of_the_first(fleet, tmp_path):
    for name in ("compose", "images", "litellm"):
        shutil.copytree(fleet.root / name, tmp_path / name)
    copied = object.__new__(Operator)
    copied.root = tmp_path
    for words in (("up", "time"), ("down", "--volumes"), ("ps",), ("logs", "time")):
        assert f"the fleet {PROJECT} is that of {fleet.root}" in copied.refused(*words)


def test_every_container_is_hardened(fleet):
    for name in (*OFFLINE, *ONLINE, *SHARED):
        seen = fleet.inspect(name)
        host = seen["HostConfig"]
        assert seen["Config"]["User"].split(":")[0] not in ("", "0", "root"), name
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["CapAdd"], name
        assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"]), name
        assert host["Memory"] > 0 and host["PidsLimit"] > 0 and host["Init"], name
        assert host["RestartPolicy"]["Name"] == "unless-stopped" and seen["Config"]["Healthcheck"]["Test"], name
        assert all("size=" in options for options in (host.get("Tmpfs") or {}).values()), name
        for ports in (host["PortBindings"] or {}).values():
            assert [port["HostIp"] for port in ports] == ["127.0.0.1"], name
        assert "status" not in docker("exec", fleet.container(name), "sh", "-c", "touch /usr/x 2>/dev/null && echo status; true"), name


def test_an_mcp_has_no_network_but_the_one_that_it_needs(fleet):
    networks = {name: set(fleet.inspect(name)["NetworkSettings"]["Networks"]) for name in (*OFFLINE, *ONLINE)}
    assert {name: own for name, own in networks.items() if own != {"none"}} == {
        **{name: {f"{PROJECT}_outside"} for name in ("context7", "fetch", "playwright")},
        "postgres": {f"{PROJECT}_database-postgres"},
    }
    assert json.loads(docker("network", "inspect", f"{PROJECT}_inside"))[0]["Internal"]


@pytest.mark.parametrize("name", ["time", "postgres", "fetch"], ids=["without egress", "with the database", "with egress"])
def test_a_malicious_mcp_reaches_nothing_of_the_fleet(fleet, name):
    """As its user, in its container: every address and name of every other container, on every port that something listens on,
    and (but for one with egress) this machine. What answers is judged by what it says: the world outside may answer anything."""
    word = f"host-{os.getpid()}"
    answering = f"import http.server as h; h.BaseHTTPRequestHandler.server_version = {word!r}; h.HTTPServer(('0.0.0.0', {(port := free_ports(1)[0])}), h.BaseHTTPRequestHandler).serve_forever()"
    host = subprocess.Popen([sys.executable, "-c", answering], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: listens(port), 30)
        there = {one: fleet.inspect(one)["NetworkSettings"]["Networks"].values() for one in (*OFFLINE, *ONLINE, *SHARED) if one != name}
        gateways = {network["Gateway"] for networks in there.values() for network in networks if network["Gateway"]} | {
            "172.17.0.1",
            "host.docker.internal",
        }
        targets = [
            (place, each)
            for one, networks in there.items()
            for place in (one, *(network["IPAddress"] for network in networks if network["IPAddress"]))
            for each in (8000, 8080, 4000, 9090, 5432)
        ]
        targets += [
            (gateway, each)
            for gateway in gateways
            for each in (port, *(int(url.rpartition(":")[2]) for url in (fleet.mcps, fleet.litellm, fleet.prometheus)))
        ]
        said = json.loads(docker("exec", fleet.container(name), "/opt/bridge/bin/python", "-c", KNOCK, json.dumps(targets)))
    finally:
        host.kill()
        host.wait()
    ours = {
        f"{place}:{each}": words
        for place, each, words in said
        if any(mark in words for mark in ("nginx", "uvicorn", "alive", "rometheus", word)) or (each == 5432 and words[:1] in ("N", "S"))
    }
    if name == "postgres":  # its database is what it is for
        database = {network["IPAddress"] for network in there["database"] if network["IPAddress"]}
        ours = {
            place: words for place, words in ours.items() if place not in {"database:5432", *(f"{address}:5432" for address in database)}
        }
    if name == "fetch":  # with egress, what this machine shows to its network is a part of that
        ours = {place: words for place, words in ours.items() if word not in words}
    assert ours == {}


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_malicious_mcp_reads_nothing_that_opens_anything(fleet):
    values = keys_of(fleet)
    for name in (*OFFLINE, *ONLINE):
        seen = docker("exec", fleet.container(name), "/opt/bridge/bin/python", "-c", READ_ALL)
        opened = {key for key, value in values.items() if value in seen and not (name == "postgres" and key == "DATABASE_URI")}
        assert opened - ({"POSTGRES_READER_PASSWORD"} if name == "postgres" else set()) == set(), name
        assert f"/run/keys/{name} operator sha256:" in seen, name


def test_an_mcp_that_takes_its_bridges_place_learns_no_key_of_the_fleet(fleet):
    """Its child may replace the socket. What Prometheus then says to it opens nothing but itself."""
    heard = docker("exec", fleet.container("git"), "/opt/bridge/bin/python", "-c", TAKE_PLACE)
    docker("restart", "-t", "5", fleet.container("git"))
    assert "authorization: bearer" in heard.lower() and not any(value in heard for value in keys_of(fleet).values())
    own = heard.lower().partition("authorization: bearer ")[2].split()[0]
    hello = {"json": {"jsonrpc": "2.0", "id": 1, "method": "ping"}, "headers": {"authorization": f"Bearer {own}"}}
    assert httpx.post(f"{fleet.mcps}/time/mcp", **hello).status_code == 401
    fleet.all_is_well("git")


TAKE_PLACE = """
import os, socket
os.unlink('/run/mcp/socket')
place = socket.socket(socket.AF_UNIX)
place.bind('/run/mcp/socket')
os.chmod('/run/mcp/socket', 0o666)
place.listen(9)
place.settimeout(30)
while True:
    caller, _ = place.accept()
    heard = caller.recv(4000).decode()
    if '/metrics' in heard:
        print(heard)
        break
    caller.close()
"""


# Everything below /run, and of each process what it was started with.
READ_ALL = """
import glob, os
for path in [*glob.glob('/run/**', recursive=True), *glob.glob('/proc/[0-9]*/environ'), *glob.glob('/proc/[0-9]*/cmdline')]:
    try:
        if os.path.isfile(path):
            print(path, open(path, errors='replace').read())
    except OSError:
        pass
"""


def keys_of(fleet) -> dict[str, str]:
    values = dict(
        line.split("=", 1) for line in (fleet.root / "compose/.env").read_text().splitlines() if "=" in line and not line.startswith("#")
    )
    return {
        name: values[name]
        for name in ("BRIDGE_TOKEN", "POSTGRES_PASSWORD", "POSTGRES_READER_PASSWORD", "DATABASE_URI", "LITELLM_MASTER_KEY")
    }


def test_no_secret_stands_in_a_container_s_arguments_or_environment(fleet):
    assert (fleet.root / "compose/.env").stat().st_mode & 0o777 == 0o600
    secrets = keys_of(fleet)
    assert all(len(value) > 16 for value in secrets.values())
    for name in (*OFFLINE, *ONLINE, *SHARED, "keys"):
        config = json.dumps(fleet.inspect(name))
        assert {secret for secret, value in secrets.items() if value in config} == set(), name
    history = docker("history", "--no-trunc", f"{PROJECT}-postgres")
    assert not any(value in history for value in secrets.values())


def test_the_door_knows_the_mcps_and_nothing_else(fleet):
    """No other container's name, no address, and never itself, however often it is said."""
    itself = f"/{fleet.container('door')}"
    for path, status in (
        (f"{itself * 2000}/x", 414),
        (f"{itself * 100}/x", 404),
        ("/door/healthz", 404),
        ("/litellm/health/liveliness", 404),
        ("/database/", 404),
        ("/127.0.0.1/healthz", 404),
        ("/fake-openai/", 404),
        (f"/time/{'x' * 20000}", 414),
        ("/away", 404),
    ):
        assert httpx.get(f"{fleet.mcps}{path}").status_code == status, path[:60]
    assert httpx.get(f"{fleet.mcps}/time/readyz", headers={"x-filler": "x" * 40000}).status_code == 400
    assert httpx.post(f"{fleet.mcps}/time/mcp", content=b"x" * (9 << 20)).status_code == 413
    assert httpx.get(f"{fleet.mcps}/time/readyz").status_code == 200
    assert fleet.inspect("door")["RestartCount"] == 0


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"host": "evil.example"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({}, 200),
        ({"host": "192.168.1.5:4000"}, 200),
        ({"host": "localhost:1", "origin": "http://localhost:1"}, 200),
    ],
)
def test_litellm_and_prometheus_answer_no_page_and_no_name_of_another_place(fleet, headers, status):
    assert httpx.get(f"{fleet.litellm}/health/liveliness", headers=headers).status_code == status
    assert httpx.get(f"{fleet.prometheus}/-/ready", headers=headers).status_code == status


def test_without_the_token_nobody_gets_in(fleet):
    assert httpx.post(f"{fleet.mcps}/time/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"}).status_code == 401


def test_a_child_killed_inside_its_container_comes_back(fleet):
    container = fleet.inspect("time")["Id"]
    docker("exec", container, "/opt/bridge/bin/python", "-c", KILL_CHILD)
    fleet.all_is_well("time")
    assert fleet.inspect("time")["Id"] == container and fleet.inspect("time")["RestartCount"] == 0


# The container has no ps, no pkill: the child is the process whose program is the server.
KILL_CHILD = """
import os, signal
for pid in filter(str.isdigit, os.listdir('/proc')):
    words = open(f'/proc/{pid}/cmdline').read().split(chr(0))
    if any(word.endswith('/mcp-server-time') for word in words):
        os.kill(int(pid), signal.SIGKILL)
        break
else:
    raise SystemExit('no child')
"""


def test_a_container_that_dies_comes_back(fleet):
    before = fleet.inspect("memory")
    os.kill(before["State"]["Pid"], 9)
    eventually(lambda: fleet.inspect("memory")["RestartCount"] > before["RestartCount"], 60, "memory does not start again")
    fleet.all_is_well("memory")


def test_verify_names_the_hop_that_broke_and_nothing_else(fleet):
    docker("stop", "-t", "5", fleet.container("filesystem"))
    verdict = fleet.verify("filesystem", "time")
    assert not verdict["ok"] and set(troubles(verdict)) == {"filesystem"}
    assert hops(verdict, "filesystem")["running"] == "failed"
    fleet.run("up", *OFFLINE, *ONLINE, "--no-verify")
    fleet.all_is_well("filesystem", "time")


def test_a_database_that_stops_is_told_and_healed(fleet):
    docker("stop", "-t", "10", fleet.container("database"))
    verdict = fleet.verify("postgres")
    assert not verdict["ok"] and hops(verdict, "postgres")["running"] == "failed"
    assert "database, which it needs, is down" in json.dumps(verdict)
    docker("start", fleet.container("database"))
    fleet.all_is_well("postgres")


def test_a_litellm_that_hangs_is_restarted_by_its_health_check(fleet):
    """Its MCP gateway is wedged for good by some failures, and looks alive: here its process is stopped outright."""
    before = fleet.inspect("litellm")["RestartCount"]
    docker("exec", fleet.container("litellm"), "python3", "-c", STOP_LITELLM)
    eventually(lambda: fleet.inspect("litellm")["RestartCount"] > before, 180, "nobody restarts LiteLLM")
    fleet.all_is_well("time", "memory")


STOP_LITELLM = """
import os, signal
for pid in filter(str.isdigit, os.listdir('/proc')):
    if int(pid) > 1 and int(pid) != os.getpid() and 'litellm' in open(f'/proc/{pid}/cmdline').read():
        os.kill(int(pid), signal.SIGSTOP)
"""


def test_compose_alone_runs_it(fleet):
    """`docker compose -f compose/compose.yaml up -d` without any of our commands changes nothing that runs."""
    before = fleet.inspect("time")["Id"]
    docker("compose", "-f", str(fleet.root / "compose/time.yaml"), "up", "-d", "--wait", "--wait-timeout", "120")
    assert fleet.inspect("time")["Id"] == before


def test_a_database_that_is_older_than_its_passwords_gets_them(fleet):
    """A volume outlives the checkout that it was made with, and what knows its keys: compose/.env, and the container of a start without."""
    env = fleet.root / "compose/.env"
    said = env.read_text()
    docker("rm", "-f", fleet.container("keys"))
    env.write_text("".join(line for line in said.splitlines(keepends=True) if not line.startswith(("POSTGRES_", "DATABASE_URI="))))
    fleet.run("up", "postgres", "--no-verify")
    verdict = fleet.verify("postgres")

    assert set(env.read_text().splitlines()) ^ set(said.splitlines()) > {
        line for line in said.splitlines() if line.startswith("DATABASE_URI=")
    }
    assert verdict["ok"], troubles(verdict)
    assert hops(verdict, "postgres")["called"] == "ok"


def test_a_new_token_counts_after_up(fleet):
    env = fleet.root / "compose/.env"
    env.write_text(
        "".join(
            "BRIDGE_TOKEN=a-new-token-of-the-operator\n" if line.startswith("BRIDGE_TOKEN=") else line
            for line in env.read_text().splitlines(keepends=True)
        )
    )
    fleet.run("up", "time", "--no-verify")
    verdict = fleet.verify("time")

    assert verdict["ok"], troubles(verdict)


def test_down_leaves_nothing(fleet):
    docker("rm", "-f", "fake-openai")
    fleet.run("down", "--volumes")
    assert docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={PROJECT}") == ""
    assert docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}") == ""


def test_a_fresh_checkout_runs_with_compose_alone_and_keys_of_its_own(operator):
    """No key in .env, none of our commands: the keys are random, nothing that everybody knows opens anything, and `up` finds them later."""
    env = operator.root / "compose/.env"
    said = env.read_text()
    env.write_text(
        "".join(
            line
            for line in said.splitlines(keepends=True)
            if line.startswith(("MCP_PORT=", "LITELLM_PORT=", "PROMETHEUS_PORT=", "COMPOSE_PROJECT_NAME="))
        )
    )
    shutil.rmtree(operator.root / "compose/secrets")
    compose = ["compose", "-f", str(operator.root / "compose/compose.yaml")]

    def call(key: str) -> httpx.Response:
        own = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.post(
            f"{operator.litellm}/mcp/",
            timeout=60,
            headers=own | {"accept": "application/json, text/event-stream"},
            json={
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {"name": "time-get_current_time", "arguments": {"timezone": "UTC"}},
            },
        )

    try:
        docker(*compose, "up", "-d", "--wait", "--wait-timeout", "240", "time", "litellm", patience=300)
        key = docker(*compose, "exec", "-T", "litellm", "cat", "/run/keys/LITELLM_MASTER_KEY")
        assert len(key) > 40 and "UTC" in call(key).text
        for known in ("sk-loopback-only", "sk-1234", ""):
            assert "UTC" not in call(known).text
        operator.run("up", "time", "--no-verify")
        assert f"LITELLM_MASTER_KEY={key}" in env.read_text().splitlines() and "UTC" in call(key).text
    finally:
        operator.run("down", "--volumes", code=None)
        env.write_text(said)
