"""A child that dies: who is answered at once, what is tried again, and what the next child is told."""

import json
import os
import signal
import time

import pytest
from bent import bent, is_gone, pids, processes, shown
from support import Bridge, Http, Sse, Ws, eventually, text

QUICK = ("--backoff-initial", "0.05", "--backoff-max", "0.05", "--max-restarts", "50")
DIES_FIRST = """
mark = Path({mark!r})
def die_first(*, times=1):
    with mark.open("ab") as file: file.write(b".")
    if mark.stat().st_size <= times: os._exit(3)
    return f"try {{mark.stat().st_size}}"
ordinary = dict(child.methods)
@child.tool(annotations={{"readOnlyHint": True}})
def look(): return die_first()
@child.tool(annotations={{"idempotentHint": True}})
def put(): return die_first()
@child.tool(annotations={{"readOnlyHint": True}})
def look_often(): return die_first(times=9)
@child.tool(annotations={{"readOnlyHint": False, "destructiveHint": False}})
def act(): return die_first()
@child.tool
def act_too(): return die_first()
if mark.with_suffix(".armed").exists():
    for method in ("resources/read", "prompts/get", "completion/complete"):
        child.methods[method] = lambda params, method=method: die_first() and ordinary[method](params)
"""
READS = {
    "resources/read": {"uri": "test://one"},
    "prompts/get": {"name": "greet"},
    "completion/complete": {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": "a"}},
}


@pytest.fixture
def mortal(tmp_path):
    """A bridge around a child that dies of certain requests the first time; `tries()` says how often it got one."""
    mark = tmp_path / "mark"
    mark.with_suffix(".armed").touch()
    with Bridge(bent(tmp_path / "child.py", DIES_FIRST.format(mark=str(mark))), *QUICK) as bridge:
        bridge.tries = lambda: mark.stat().st_size if mark.exists() else 0
        bridge.again = lambda: mark.unlink(missing_ok=True)
        eventually(lambda: "look" in shown(bridge)["tools"])
        yield bridge


def test_a_safe_call_is_tried_again_once_and_answered(mortal, connect):
    for kind in (Http, Sse, Ws):
        client = connect(kind, mortal.url)
        for tool in ("look", "put"):
            mortal.again()
            assert text(client.call(tool)) == "try 2"
        for method, params in READS.items():
            mortal.again()
            assert "result" in client.request(method, params), method
            assert mortal.tries() == 2


@pytest.mark.parametrize("tool, tries", [("act", 1), ("act_too", 1), ("look_often", 2)])
def test_any_other_call_is_answered_at_once_with_an_error(mortal, connect, tool, tries):
    client = connect(Http, mortal.url)
    begun = time.monotonic()
    answer = client.call(tool)

    assert "exited (code 3)" in answer["error"]["message"]
    assert mortal.tries() == tries
    assert time.monotonic() - begun < 10
    assert text(client.call("echo", message="on")) == "on"
    assert mortal.tries() == tries


def test_many_in_flight_each_get_what_is_theirs(start, connect):
    """Unsafe ones an error, safe ones their answer; nobody waits for the back-off of the unsafe ones."""
    bridge = start("serial", options=[*QUICK, "--max-in-flight", "8"])
    clients = [connect(kind, bridge.url) for kind in (Http, Sse, Ws, Http)]
    pid = int(text(clients[0].call("pid")))
    block = clients[0].begin_call("slow", seconds=30)
    eventually(lambda: shown(bridge)["in_flight"] == 1)
    safe = {(n, k): client.begin_call("echo", message=f"{n} {k}") for n, client in enumerate(clients) for k in range(10)}
    unsafe = [client.begin_call("add", a=1, b=2) for client in clients]
    os.kill(pid, signal.SIGKILL)
    begun = time.monotonic()

    assert "SIGKILL" in block.result(20)["error"]["message"]
    assert time.monotonic() - begun < 10
    assert {(n, k): text(call.result(20)) for (n, k), call in safe.items()} == {(n, k): f"{n} {k}" for n, k in safe}
    assert all("error" in (answer := call.result(20)) or text(answer) == "3" for call in unsafe)
    assert shown(bridge)["in_flight"] == 0


def test_kills_under_busy_clients_lose_and_mix_up_nothing(start, connect):
    """The bench does it a hundred times."""
    bridge = start("echo", options=["--backoff-initial", "0.01", "--backoff-max", "0.01", "--max-restarts", "1000"])
    clients = [connect(kind, bridge.url) for kind in (Http, Sse, Ws)]
    wrong, errors = [], 0
    for round in range(12):
        pid = eventually(lambda: shown(bridge)["state"] == "ready" and pids(bridge)[0])
        calls = {
            f"{round} {n} {k}": client.begin_call("echo", message=f"{round} {n} {k}") for k in range(8) for n, client in enumerate(clients)
        }
        unsafe = [client.begin_call("typed", value=round) for client in clients]
        os.kill(pid, signal.SIGKILL)
        for said, call in calls.items():
            answer = call.result(20)
            errors += "error" in answer
            wrong += [answer] if "result" in answer and text(answer) != said else []
        for call in unsafe:
            answer = call.result(20)
            wrong += [answer] if "result" in answer and answer["result"]["structuredContent"] != {"value": round} else []
        eventually(lambda: pids(bridge) not in ([pid], [None]))

    assert wrong == []
    assert errors == 0  # safe, and killed once in their life at most
    assert len(bridge.children()) <= 1
    assert bridge.zombies() == []


def test_the_next_child_is_told_of_subscriptions_and_the_log_level(start, connect):
    bridge = start("dies", options=QUICK)
    one, two = connect(Http, bridge.url), connect(Ws, bridge.url)
    one.request("resources/subscribe", {"uri": "test://one"})
    two.request("resources/subscribe", {"uri": "test://two"})
    one.request("logging/setLevel", {"level": "warning"})
    two.request("logging/setLevel", {"level": "error"})
    one.call("die")

    received = [json.loads(line) for line in json.loads(text(one.call("received")))]
    told = [(line["method"], line.get("params")) for line in received]
    assert told[:5] == [
        told[0],
        ("notifications/initialized", None),
        ("logging/setLevel", {"level": "warning"}),
        ("resources/subscribe", {"uri": "test://one"}),
        ("resources/subscribe", {"uri": "test://two"}),
    ]
    one.messages(0), two.messages(0)
    for uri in ("test://one", "test://two"):
        assert text(one.call("touch", uri=uri)) == "told"
    assert [m["params"]["uri"] for m in one.messages() if "updated" in m["method"]] == ["test://one"]
    assert [m["params"]["uri"] for m in two.messages(0) if "updated" in m["method"]] == ["test://two"]


def test_clients_hear_of_it_when_the_next_child_has_other_tools_and_only_then(tmp_path, connect):
    extra = tmp_path / "extra"
    command = bent(
        tmp_path / "child.py",
        f"""
if Path({str(extra)!r}).exists(): child.tool(lambda: 'new', name='extra')
child.tool(lambda: os._exit(3), name='die')
""",
    )
    with Bridge(command, *QUICK) as bridge:
        clients = [connect(kind, bridge.url) for kind in (Http, Sse, Ws)]
        clients[0].call("die")
        eventually(lambda: shown(bridge)["state"] == "ready" and shown(bridge)["restarts"] == 1)
        assert [client.messages(0.1) for client in clients] == [[], [], []]
        extra.touch()
        clients[0].call("die")
        for client in clients:
            client.wait_for("notifications/tools/list_changed")

        assert [client.messages(0.05) for client in clients] == [[], [], []]


@pytest.mark.parametrize("spares", [0, 1])
def test_a_session_whose_own_child_lost_its_state_is_told_once(start, connect, spares):
    bridge = start("stateful", options=["--isolation", "session", "--spares", spares, *QUICK])
    for kind in (Http, Sse, Ws):
        eventually(lambda: len(processes(bridge, "spare", "ready")) == spares)
        client = connect(kind, bridge.url)
        pid = json.loads(text(client.call("next")))["pid"]
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: is_gone(pid) and len(processes(bridge, "own", "ready")) == len(processes(bridge, "own")))
        assert client.request("ping")["result"] == {}
        assert client.request("tools/list")["result"]["tools"]
        told = client.call("next")

        assert "lost" in told["error"]["message"]
        assert "SIGKILL" in told["error"]["message"]
        assert json.loads(text(client.call("next")))["count"] == 1


def test_one_whose_call_died_with_the_child_has_been_told(start, connect):
    bridge = start("dies", options=["--isolation", "session", *QUICK])
    client = connect(Http, bridge.url)

    assert "exited" in client.call("die")["error"]["message"]
    assert text(client.call("echo", message="new")) == "new"


def test_an_own_child_is_not_asked_again_what_killed_it(mortal, tmp_path, connect):
    """Not even safe calls: what they read was lost."""
    mark = tmp_path / "other"
    with Bridge(bent(tmp_path / "own.py", DIES_FIRST.format(mark=str(mark))), *QUICK, "--isolation", "session") as bridge:
        client = connect(Http, bridge.url)

        assert "error" in client.call("look")
        assert mark.stat().st_size == 1


def test_a_session_with_its_own_child_is_told_after_a_restart_of_the_bridge(start, tmp_path, connect):
    options = ["--isolation", "session", "--session-key-file", tmp_path / "key"]
    first = start("stateful", options=options)
    client = connect(Http, first.url, listen=False)
    client.call("next")
    first.stop()
    second = start("stateful", options=options)
    client.endpoint = f"{second.url}/mcp"

    assert "lost" in client.call("next")["error"]["message"]
    assert json.loads(text(client.call("next")))["count"] == 1


def test_litellms_client_gets_the_loss_as_a_failed_tool_not_as_a_failed_call(start, connect):
    bridge = start("stateful", options=["--isolation", "session", "--profile", "litellm", *QUICK])
    client = connect(Http, bridge.url)
    pid = json.loads(text(client.call("next")))["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: processes(bridge, "own", "ready") and processes(bridge, "own")[0]["pid"] != pid)
    told = client.call("next")

    assert told["result"]["isError"] is True
    assert "lost" in text(told)


def test_the_progress_of_a_second_try_never_falls_back(written, connect, tmp_path):
    """utilities/progress: the value must increase."""
    with Bridge(written(COUNTS.format(mark=str(tmp_path / "mark"))), *QUICK) as bridge:
        client = connect(Http, bridge.url)
        call = client.request("tools/call", {"name": "scan", "arguments": {}, "_meta": {"progressToken": "p"}})
        told = [message["params"]["progress"] for message in client.messages() if message["method"] == "notifications/progress"]

    assert text(call) == "done"
    assert told == [1, 2, 3, 4, 5]


COUNTS = """
import os, time
from echo import child
@child.tool(slow=True, annotations={{"readOnlyHint": True}})
def scan(call):
    for step in range(1, 6):
        child.notify("notifications/progress", progressToken=call.meta["progressToken"], progress=step, total=5)
        time.sleep(0.05)
        if step == 3 and not os.path.exists({mark!r}):
            open({mark!r}, "w").close()
            os._exit(1)
    return "done"
child.run()
"""
