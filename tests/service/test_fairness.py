"""Clients of one child take turns, however much one of them wants."""

import json
import time
from itertools import pairwise

import pytest
from bent import bent, shown
from support import Bridge, Http, Sse, Ws, eventually, text


@pytest.fixture
def serial(tmp_path):
    """Command of a child that answers one call at a time, each after 5 ms, and tells the order in which they came."""
    return bent(
        tmp_path / "serial.py",
        """
order = []
@child.tool
def work(who: str):
    order.append(who)
    time.sleep(0.005)
    return who
@child.tool
def came(): return json.dumps(order)
""",
    )


def test_a_client_with_200_queued_calls_delays_another_by_one_call(serial, connect):
    with Bridge(serial, "--max-in-flight", "1") as bridge:
        greedy, *others = (connect(kind, bridge.url) for kind in (Ws, Http, Sse))
        queued = [greedy.begin_call("work", who="greedy") for _ in range(200)]
        eventually(lambda: shown(bridge)["in_flight"] >= 150)
        before = sum(call.done() for call in queued)
        for modest in 3 * others:
            assert text(modest.call("work", who="modest")) == "modest"
        after = sum(call.done() for call in queued)

        assert after - before < 60  # each waited for one or two; 200 without turns
        assert all(text(call.result(10)) == "greedy" for call in queued)


def test_five_clients_with_much_to_do_are_served_one_after_the_other(serial, connect):
    with Bridge(serial, "--max-in-flight", "1") as bridge:
        clients = [connect(Ws, bridge.url) for _ in range(5)]
        calls = [client.begin_call("work", who=str(n)) for n, client in enumerate(clients) for _ in range(20)]
        for call in calls:
            call.result(10)
        came = json.loads(text(clients[0].call("came")))
        contested = came[-40:-5]  # by then all of them have queued

        assert len(came) == 100
        assert {who: came.count(who) for who in "01234"} == dict.fromkeys("01234", 20)
        assert all(first != second for first, second in pairwise(contested) if len(set(contested[-5:])) == 5)


def test_one_sessions_calls_at_the_child_are_bounded(start, connect):
    bridge = start("echo", options=["--max-session-requests", "2"])
    busy, other = connect(Http, bridge.url), connect(Ws, bridge.url)
    begun = time.monotonic()
    slow = [busy.begin_call("slow", seconds=1) for _ in range(4)]
    eventually(lambda: shown(bridge)["in_flight"] == 4)

    assert text(other.call("echo", message="free")) == "free"
    assert not any(call.done() for call in slow)
    assert [text(call.result(20)) for call in slow] == ["slept 1"] * 4
    assert time.monotonic() - begun >= 2


def test_the_bound_is_each_sessions_own_and_free_after_a_death(start, connect):
    bridge = start("dies", options=["--max-session-requests", "1", "--backoff-initial", "0.05"])
    one, two = connect(Http, bridge.url), connect(Http, bridge.url)
    blocks = [client.begin("tools/call", {"name": "slow", "arguments": {"seconds": 60}}, id="block") for client in (one, two)]
    waits = [client.begin_call("echo", message="next") for client in (one, two)]
    eventually(lambda: shown(bridge)["in_flight"] == 4)
    assert not any(wait.done() for wait in waits)

    assert "error" in connect(Http, bridge.url).call("die")
    assert all("error" in block.result(20) for block in blocks)
    assert [text(wait.result(20)) for wait in waits] == ["next"] * 2


def test_a_long_call_beside_busy_clients_does_not_slow_them(start, connect):
    """The bench measures it; here that nobody waits for it."""
    bridge = start("echo")
    slow = connect(Http, bridge.url).begin_call("slow", seconds=0.6)
    clients = [connect(Ws, bridge.url) for _ in range(3)]
    for number in range(20):
        for client in clients:
            assert text(client.call("echo", message=str(number))) == str(number)

    assert text(slow.result(20)) == "slept 0.6"
