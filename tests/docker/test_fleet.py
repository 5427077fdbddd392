"""The fleet as an operator runs it: `mcp-bridge up` with a real engine, a real LiteLLM, Prometheus and Postgres.

One fleet for all tests of this file, made from a copy of the project on other ports. The tests stand in the order in which an operator meets these things.
"""

import json
import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from checkouts import Operator, docker, hops, needs_docker, remove_images, troubles
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
    docker("run", "-d", "--name", "fake-openai", "--network", f"{PROJECT}_mcp", "-v", f"{ROOT}/tests/fleet/fake_openai.py:/fake.py:ro",
           "python:3.13-slim", "python", "/fake.py")
    return operator


def test_every_hop_of_every_mcp_holds_also_through_a_model(fleet):
    verdict = fleet.verify("--model", "fake")
    assert verdict["ok"], troubles(verdict)
    assert verdict["engine"] == "compose"
    assert {report["name"] for report in verdict["mcps"]} == {*OFFLINE, *ONLINE}
    for name in OFFLINE:
        assert set(hops(verdict, name).values()) == {"ok"}, hops(verdict, name)
        assert {"running", "ready", "streamable-http", "sse", "websocket", "smoke", "listed", "called", "model", "counted"} <= set(hops(verdict, name))


def test_the_tables_name_every_mcp(fleet):
    for name in (*OFFLINE, *ONLINE):
        assert f"{fleet.mcps}/{name}/mcp" in fleet.printed
    tools = json.loads(fleet.run("tools", "--json"))
    assert "get_current_time" in json.dumps(tools)
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
    name = (second.root / "compose/.env").read_text().partition("COMPOSE_PROJECT_NAME=")[2].split()[0]
    try:
        second.says_also(next(line for line in kept.splitlines(keepends=True) if line.startswith("MCP_PORT=")))
        second.run("up", "time", "--no-verify")
        assert docker("image", "inspect", "--format", "ok", f"{name}-time") == "ok"
        assert len(docker("ps", "-q", "--filter", f"label=com.docker.compose.project={name}").split()) == 4

        second.root = second.root.rename(tmp_path / "moved")
        assert {one["name"] for one in json.loads(second.run("ps", "--json", code=None))["services"]} == {"time", "door", "litellm", "prometheus"}
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


def test_only_those_that_need_it_reach_beyond_the_fleet(fleet):
    networks = {name: set(fleet.inspect(name)["NetworkSettings"]["Networks"]) for name in (*OFFLINE, *ONLINE)}
    assert {name for name, own in networks.items() if own != {f"{PROJECT}_mcp"}} == {"context7", "fetch", "playwright"}
    assert json.loads(docker("network", "inspect", f"{PROJECT}_mcp"))[0]["Internal"]


def test_no_secret_stands_in_a_container_s_arguments_or_environment(fleet):
    values = dict(line.split("=", 1) for line in (fleet.root / "compose/.env").read_text().splitlines() if "=" in line and not line.startswith("#"))
    assert (fleet.root / "compose/.env").stat().st_mode & 0o777 == 0o600
    secrets = {name: values[name] for name in ("BRIDGE_TOKEN", "POSTGRES_PASSWORD", "DATABASE_URI", "LITELLM_MASTER_KEY")}
    assert all(len(value) > 16 for value in secrets.values())
    for name in (*OFFLINE, *ONLINE, *SHARED):
        config = json.dumps(fleet.inspect(name)["Config"])
        seen = {secret for secret, value in secrets.items() if value in config}
        assert seen <= ({"BRIDGE_TOKEN", "LITELLM_MASTER_KEY"} if name == "litellm" else set()), name
    history = docker("history", "--no-trunc", f"{PROJECT}-postgres")
    assert not any(value in history for value in secrets.values())


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


def test_litellm_restarted_is_healed(fleet):
    docker("restart", "-t", "5", fleet.container("litellm"))
    fleet.all_is_well("time", "memory")


def test_a_litellm_that_hangs_is_restarted_by_its_health_check(fleet):
    """Its MCP gateway is wedged for good by some failures, and looks alive: here its process is stopped outright."""
    before = fleet.inspect("litellm")["RestartCount"]
    docker("exec", fleet.container("litellm"), "python3", "-c", STOP_LITELLM)
    eventually(lambda: fleet.inspect("litellm")["RestartCount"] > before, 150, "nobody restarts LiteLLM")
    fleet.all_is_well("time")


STOP_LITELLM = """
import os, signal
for pid in filter(str.isdigit, os.listdir('/proc')):
    if int(pid) > 1 and int(pid) != os.getpid() and 'litellm' in open(f'/proc/{pid}/cmdline').read():
        os.kill(int(pid), signal.SIGSTOP)
"""


def test_an_mcp_is_added_by_a_stanza_alone(fleet):
    folder = fleet.root / "images/clock-of-ours"
    folder.mkdir()
    stanza = ("pypi: mcp-server-time==2026.10.19\ncommand: mcp-server-time\n"
              "smoke: {tool: get_current_time, arguments: {timezone: ZONE}, expect: ZONE}\n")
    images = []
    for zone in ("UTC", "Europe/Paris"):
        (folder / "stanza.yaml").write_text(stanza.replace("ZONE", zone))
        fleet.run("up", *OFFLINE, *ONLINE, "clock-of-ours", "--no-verify")
        images.append(docker("image", "inspect", "--format", "{{.Id}}", f"{PROJECT}-clock-of-ours"))
    verdict = fleet.verify("clock-of-ours")
    assert verdict["ok"], troubles(verdict)
    assert hops(verdict, "clock-of-ours")["called"] == "ok"
    assert "--hash=" in (folder / "requirements.lock").read_text()
    assert images[0] != images[1]
    assert images[0] not in docker("image", "ls", "--all", "--quiet", "--no-trunc"), "the image that was replaced takes room"


def test_compose_alone_runs_it(fleet):
    """`docker compose -f compose/compose.yaml up -d` without any of our commands changes nothing that runs."""
    before = fleet.inspect("time")["Id"]
    docker("compose", "-f", str(fleet.root / "compose/time.yaml"), "up", "-d", "--wait", "--wait-timeout", "120")
    assert fleet.inspect("time")["Id"] == before


def test_a_database_that_is_older_than_its_passwords_gets_them(fleet):
    """A volume outlives the checkout that it was made with, and compose/.env is written anew."""
    env = fleet.root / "compose/.env"
    said = env.read_text()
    env.write_text("".join(line for line in said.splitlines(keepends=True) if not line.startswith(("POSTGRES_", "DATABASE_URI="))))
    fleet.run("up", "postgres", "--no-verify")
    verdict = fleet.verify("postgres")

    assert set(env.read_text().splitlines()) ^ set(said.splitlines()) > {line for line in said.splitlines() if line.startswith("DATABASE_URI=")}
    assert verdict["ok"], troubles(verdict)
    assert hops(verdict, "postgres")["called"] == "ok"


def test_down_leaves_nothing(fleet):
    docker("rm", "-f", "fake-openai")
    fleet.run("down", "--volumes")
    assert docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={PROJECT}") == ""
    assert docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}") == ""


def test_a_fresh_checkout_runs_with_compose_alone(operator):
    """No .env, none of our commands: the keys are those that everybody knows, so it answers on this machine only."""
    (operator.root / "compose/.env").rename(operator.root / "compose/.env.kept")
    shutil.rmtree(operator.root / "compose/secrets")
    ports = {name: url.rpartition(":")[2] for name, url in (("MCP_PORT", operator.mcps), ("LITELLM_PORT", operator.litellm), ("PROMETHEUS_PORT", operator.prometheus))}
    compose = ["docker", "compose", "-f", str(operator.root / "compose/compose.yaml")]
    environment = {**os.environ, **ports}
    try:
        subprocess.run([*compose, "up", "-d", "--wait", "--wait-timeout", "240", "time", "litellm"], env=environment, check=True, timeout=300, capture_output=True)
        said = httpx.post(f"{operator.litellm}/mcp/", timeout=60, headers={"authorization": "Bearer sk-loopback-only", "accept": "application/json, text/event-stream"},
                          json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "time-get_current_time", "arguments": {"timezone": "UTC"}}})
        assert "UTC" in said.text
    finally:
        subprocess.run([*compose, "--profile", "*", "down", "-v", "--remove-orphans"], env=environment, timeout=180, capture_output=True)
        (operator.root / "compose/.env.kept").rename(operator.root / "compose/.env")
