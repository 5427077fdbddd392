"""A child that sleeps: what the bridge says in its place, what wakes it, and what it remembers over a restart."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from bent import bent, is_gone, pids, processes, shown
from support import Bridge, Client, Http, Sse, Ws, eventually, text, zoo

LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
SOON = ("--idle-stop", "0.3")
OTHERS = {
    "tools/call": {"name": "echo", "arguments": {"message": "awake"}},
    "resources/read": {"uri": "test://one"},
    "prompts/get": {"name": "greet"},
    "completion/complete": {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": "a"}},
    "logging/setLevel": {"level": "error"},
    "x-vendor/echo": {"kept": 1},
    "tools/list": {"cursor": "unknown"},
}


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> Path:
    """A folder in which a bridge has left what it knows of `echo`."""
    folder = tmp_path_factory.mktemp("known")
    learn(zoo("echo"), ["--lazy", "--cache-dir", folder], folder)
    return folder


@pytest.fixture
def lazy(cache):
    """Options of a bridge whose child sleeps from the start, and is remembered in a folder of the test's own."""
    return ["--lazy", "--cache-dir", cache]


@pytest.fixture
def of_known(known) -> list:
    return ["--lazy", "--cache-dir", known]


def asleep(bridge: Bridge) -> bool:
    return shown(bridge)["state"] == "asleep" and bridge.children() == []


def wakes(bridge: Bridge) -> int:
    return shown(bridge)["wakes"]


def kept(cache) -> list[str]:
    return sorted(file.name for file in cache.glob("*.json")) if cache.exists() else []


def learn(command: list[str], options: list, cache, **more) -> dict[str, dict]:
    """One life of a bridge, long enough to learn all lists; returns what its child said, asleep from then on."""
    before = kept(cache)
    with Bridge(command, *options, **more) as bridge, Http(bridge.url, listen=False) as client:
        answers = {method: client.request(method) for method in LISTS}
        client.call("pid")
        eventually(lambda: kept(cache) != before)
    return answers | {"initialize": client.initialized}


# Asleep from the start


def test_a_lazy_child_starts_with_the_first_request_that_needs_it(start, lazy, connect):
    bridge = start("echo", options=lazy)

    assert bridge.ready() == {"status": "ready", "state": "asleep", "reason": "", "mcp": "echo", "code": 200}
    assert bridge.children() == []
    client = connect(Http, bridge.url)
    assert text(client.call("echo", message="awake")) == "awake"
    assert bridge.ready()["state"] == "ready"
    assert (wakes(bridge), len(bridge.children())) == (1, 1)


def test_ten_clients_that_come_at_once_wake_it_once(start, lazy, connect):
    bridge = start("slow_start", "0.3", options=lazy)
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "many", "version": "1"}}
    clients = [Http(bridge.url, listen=False) for _ in range(10)]
    answers = [opening.result(20) for opening in [client.begin("initialize", params) for client in clients]]

    assert all("result" in answer for answer in answers)
    assert {text(client.call("pid")) for client in clients} == {str(pids(bridge)[0])}
    assert bridge.metrics().value("mcp_bridge_child_starts_total") == 1
    for client in clients:
        client.close()


def test_a_lazy_child_that_cannot_start_is_told_at_once_and_not_ready_from_then_on(start, lazy):
    bridge = start("dies_at_start", "--says", "no API_KEY", options=[*lazy, "--max-restarts", "2", "--backoff-initial", "0.05"])
    assert bridge.ready()["code"] == 200
    with pytest.raises(AssertionError, match="no API_KEY"):
        Http(bridge.url).open()

    said = eventually(lambda: (word := bridge.ready())["state"] == "fatal" and word)
    assert said["code"] == 503
    assert "no API_KEY" in said["reason"]
    with pytest.raises(AssertionError, match="no API_KEY"):
        Http(bridge.url).open()


def test_a_lazy_child_whose_command_is_gone_is_told(tmp_path, lazy):
    program = tmp_path / "server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with Bridge([program], *lazy) as bridge:
        program.unlink()
        with pytest.raises(AssertionError, match="cannot start"):
            Http(bridge.url).open()


def test_a_known_child_that_cannot_start_any_more_fails_calls_and_not_lists(start, tmp_path, lazy, cache, connect):
    broken = tmp_path / "broken"
    command = bent(tmp_path / "child.py", f"if Path({str(broken)!r}).exists(): sys.exit('no licence')")
    learn(command, lazy, cache)
    broken.touch()
    with Bridge(command, *lazy, "--max-restarts", "1") as bridge:
        client = connect(Http, bridge.url, listen=False)
        listed = client.request("tools/list")
        refused = client.call("pid")

        assert listed["result"]["tools"]
        assert "no licence" in refused["error"]["message"]
        assert bridge.ready()["code"] == 503


# Going to sleep, and waking


def test_it_goes_to_sleep_when_nobody_used_it_and_wakes_for_a_call(start, cache, connect):
    bridge = start("stateful", options=[*SOON, "--cache-dir", cache])
    client = connect(Http, bridge.url)
    first = json.loads(text(client.call("next")))
    eventually(lambda: asleep(bridge))
    second = json.loads(text(client.call("next")))

    assert (first["count"], second["count"]) == (1, 1)
    assert is_gone(first["pid"])
    assert (wakes(bridge), bridge.metrics().value("mcp_bridge_child_wakes_total")) == (1, 1)
    eventually(lambda: asleep(bridge))


def test_one_that_is_used_stays_awake(start, cache, connect):
    bridge = start("echo", options=["--idle-stop", "0.4", "--cache-dir", cache])
    client = connect(Http, bridge.url, listen=False)
    pid = text(client.call("pid"))
    until = time.monotonic() + 1
    while time.monotonic() < until:
        assert text(client.call("pid")) == pid
    future = client.begin_call("slow", seconds=0.9)

    assert text(future.result(20)) == "slept 0.9"
    assert text(client.call("pid")) == pid


def test_a_child_that_nobody_ever_used_sleeps_only_after_its_time(start, cache):
    bridge = start("echo", options=["--idle-stop", "1", "--cache-dir", cache])
    opened = time.monotonic()
    eventually(lambda: asleep(bridge))

    assert time.monotonic() - opened > 0.6


def test_asleep_it_answers_initialize_ping_and_the_lists_without_a_process(start, cache, connect):
    bridge = start("echo", "--pages", "3", "--instructions", "be kind", options=[*SOON, "--cache-dir", cache])
    awake = {method: connect(Http, bridge.url, listen=False).request(method)["result"] for method in LISTS}
    eventually(lambda: asleep(bridge))
    for kind in (Http, Sse, Ws):
        client = connect(kind, bridge.url)

        assert client.initialized["instructions"] == "be kind"
        assert client.request("ping")["result"] == {}
        assert {method: client.request(method)["result"] for method in LISTS} == awake
        assert len(all_tools(client)) == 19
    assert asleep(bridge)
    assert wakes(bridge) == 0


def all_tools(client: Client) -> list[dict]:
    page = client.request("tools/list")["result"]
    tools = page["tools"]
    while cursor := page.get("nextCursor"):
        page = client.request("tools/list", {"cursor": cursor})["result"]
        tools = tools + page["tools"]
    return tools


def test_everything_else_wakes_it(start, of_known, connect):
    bridge = start("echo", options=[*of_known, "--idle-stop", "0.01"])
    client = connect(Http, bridge.url)
    client.notify("notifications/roots/list_changed")  # a notification does not
    client.notify("notifications/x-vendor", {"a": 1})
    for number, (method, params) in enumerate(OTHERS.items(), 1):
        answer = client.request(method, params)
        assert "result" in answer or method == "tools/list", answer
        assert wakes(bridge) == number, method
        eventually(lambda: asleep(bridge))


def test_a_request_that_comes_while_it_is_going_to_sleep_is_answered_by_the_next(start, cache, connect):
    """It takes 0.7 s to leave."""
    bridge = start("deaf", "--slow-eof", "0.7", options=[*SOON, "--cache-dir", cache])
    client = connect(Http, bridge.url, listen=False)
    old = text(client.call("pid"))
    eventually(lambda: shown(bridge)["state"] == "asleep")
    assert bridge.children() == [int(old)]
    listed = client.request("tools/list")
    leaving = bridge.children()
    calls = [client.begin_call("pid") for _ in range(20)]

    answers = {text(call.result(20)) for call in calls}
    assert listed["result"]["tools"]
    assert leaving == [int(old)]
    assert len(answers) == 1
    assert answers != {old}


def test_requests_at_any_moment_of_its_sleep_are_answered(start, cache, connect):
    """It falls asleep all the time."""
    bridge = start("echo", options=["--idle-stop", "0.01", "--cache-dir", cache])
    client = connect(Ws, bridge.url)
    until = time.monotonic() + 2
    pauses = [0, 0.2, 0.24, 0.25, 0.26, 0.3, 0.02]
    number = 0
    while time.monotonic() < until:
        time.sleep(pauses[number % len(pauses)])
        number += 1
        assert text(client.call("echo", message=str(number))) == str(number)

    assert wakes(bridge) > 2
    assert not bridge.logged("bug in the bridge")


def test_subscriptions_keep_it_awake(start, cache, connect):
    bridge = start("echo", options=[*SOON, "--cache-dir", cache])
    subscriber = connect(Ws, bridge.url)
    subscriber.request("resources/subscribe", {"uri": "test://one"})
    pid = text(subscriber.call("pid"))
    time.sleep(0.8)  # "nothing happened" has no condition

    assert bridge.children() == [int(pid)]
    subscriber.close()
    eventually(lambda: asleep(bridge))


def test_clients_hear_of_it_when_it_wakes_with_other_tools(tmp_path, cache, connect):
    extra = tmp_path / "extra"
    command = bent(tmp_path / "child.py", f"if Path({str(extra)!r}).exists(): child.tool(lambda: 'new', name='extra')")
    with Bridge(command, *SOON, "--cache-dir", cache) as bridge:
        clients = [connect(kind, bridge.url) for kind in (Http, Sse, Ws)]
        eventually(lambda: asleep(bridge))
        extra.touch()
        clients[0].call("pid")
        for client in clients:
            client.wait_for("notifications/tools/list_changed")
        eventually(lambda: asleep(bridge))

        assert "extra" in [tool["name"] for tool in clients[0].request("tools/list")["result"]["tools"]]
        assert asleep(bridge)
        assert [client.messages(0) for client in clients] == [[], [], []]


def test_sigkill_while_it_sleeps_and_wakes_harms_nobody(start, cache, connect):
    bridge = start("echo", options=["--idle-stop", "0.05", "--cache-dir", cache, "--backoff-initial", "0.02", "--max-restarts", "100"])
    client = connect(Http, bridge.url, listen=False)
    for number in range(4):
        pid = int(text(client.call("pid")))
        time.sleep(number * 0.09)
        if not is_gone(pid):
            os.kill(pid, signal.SIGKILL)
        assert text(client.call("echo", message="on")) == "on"


# Over a restart of the bridge


def test_after_a_restart_of_the_bridge_it_is_known_without_a_start(start, lazy, cache, connect):
    before = learn(zoo("echo", "--pages", "2"), [*lazy, "--env", "API_KEY=hidden-secret"], cache)
    bridge = start("echo", "--pages", "2", options=[*lazy, "--env", "API_KEY=hidden-secret"])
    for kind in (Http, Sse, Ws):
        client = connect(kind, bridge.url)

        assert client.initialized == before["initialize"]
        assert {method: client.request(method)["result"] for method in LISTS} == {m: before[m]["result"] for m in LISTS}
    assert connect(Http, bridge.url, version="2024-11-05", listen=False).version == "2024-11-05"
    assert asleep(bridge)
    assert bridge.metrics().value("mcp_bridge_child_starts_total") == 0
    assert "echo" in shown(bridge)["tools"]
    assert all("hidden-secret" not in file.read_text() for file in cache.glob("*.json"))
    assert text(client.call("echo", message="and works")) == "and works"


def test_a_change_of_the_server_empties_the_cache(tmp_path, lazy, cache):
    code = "if '--more' in sys.argv or os.environ.get('MORE'): child.tool(lambda: 'x', name='more')"
    command = bent(tmp_path / "child.py", code)
    learn(command, lazy, cache)

    assert "echo" in known_tools(command, lazy)
    assert known_tools([*command, "--more"], lazy) == []
    assert known_tools(command, [*lazy, "--env", "MORE=1"]) == []
    assert known_tools(command, [*lazy, "--cwd", tmp_path]) == []
    bent(tmp_path / "child.py", "child.tool(lambda: 'x', name='more')")
    with Bridge(command, *lazy) as bridge, Http(bridge.url, listen=False) as client:
        assert len(bridge.children()) == 1
        assert "more" in [tool["name"] for tool in client.request("tools/list")["result"]["tools"]]


def known_tools(command: list[str], options: list) -> list[str]:
    """What a bridge knows of the child's tools before it starts it."""
    with Bridge(command, *options) as bridge:
        assert asleep(bridge)
        return shown(bridge)["tools"]


@pytest.mark.parametrize("content", [b"", b"[" * 100_000])
def test_a_damaged_cache_is_as_good_as_none(start, known, lazy, cache, connect, content):
    cache.mkdir()
    (cache / kept(known)[0]).write_bytes(content)
    bridge = start("echo", options=lazy)

    assert connect(Http, bridge.url, listen=False).request("tools/list")["result"]["tools"]
    assert wakes(bridge) == 1
    assert not bridge.logged("bug in the bridge")


def test_a_child_that_has_no_templates_is_known_after_a_restart_all_the_same(tmp_path, lazy, cache, connect):
    """Many offer resources and answer resources/templates/list with -32601."""
    command = bent(tmp_path / "child.py", "del child.methods['resources/templates/list']")
    before = learn(command, lazy, cache)
    with Bridge(command, *lazy) as bridge:
        client = connect(Http, bridge.url, listen=False)

        assert client.request("tools/list")["result"] == before["tools/list"]["result"]
        assert client.request("resources/templates/list")["error"]["code"] == -32601
        assert asleep(bridge)


def test_a_cache_that_cannot_be_written_is_told_and_costs_nothing_else(start, tmp_path, connect):
    (tmp_path / "file").touch()
    bridge = start("echo", options=["--lazy", "--cache-dir", tmp_path / "file" / "below"])
    client = connect(Http, bridge.url, listen=False)

    assert text(client.call("echo", message="on")) == "on"
    eventually(lambda: bridge.logged("--cache-dir"))


# With sessions that have their own


def test_children_of_sessions_do_not_sleep_under_them(start, cache, connect):
    bridge = start("stateful", options=["--isolation", "session", *SOON, "--cache-dir", cache])
    client = connect(Http, bridge.url)
    first = json.loads(text(client.call("next")))
    eventually(lambda: processes(bridge, "shared", "asleep"))

    assert json.loads(text(client.call("next"))) == {"count": 2, "pid": first["pid"]}


def test_litellms_profile_lists_and_calls_a_sleeping_child(start, of_known, connect):
    bridge = start("echo", options=[*of_known, "--profile", "litellm"])
    client = connect(Http, bridge.url, listen=False)

    assert client.request("tools/list")["result"]["tools"]
    assert asleep(bridge)
    assert text(client.call("echo", message="awake")) == "awake"


def test_a_sleeping_child_does_not_hinder_the_stop(start, cache):
    bridge = start("deaf", "--slow-eof", "0.5", options=[*SOON, "--cache-dir", cache])
    eventually(lambda: shown(bridge)["state"] == "asleep")
    code, seconds = bridge.stop()

    assert code == 0
    assert seconds < 8
    assert bridge.leftover() == []
