"""A child that is there and answers nothing: pings find it, time-outs answer its clients."""

import json
import os
import signal
import time

import pytest
from bent import bent, is_gone, pids, processes, shown
from support import Bridge, Http, Sse, Ws, eventually, text

PINGS = ("--ping-interval", "0.2", "--ping-misses", "2", "--backoff-initial", "0.05")


def pings_in(client) -> int:
    return sum(json.loads(line).get("method") == "ping" for line in json.loads(text(client.call("received"))))


def test_what_comes_while_a_hung_child_is_ended_is_for_the_next(start, connect):
    """It takes 3.5 s to end one that is stopped."""
    bridge = start("echo", options=PINGS)
    client, other = connect(Http, bridge.url), connect(Ws, bridge.url)
    pid = int(text(client.call("pid")))
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: shown(bridge)["state"] == "stopping")
    calls = [each.begin_call("add", a=number, b=0) for number in range(3) for each in (client, other)]

    assert [text(call.result(8)) for call in calls] == ["0", "0", "1", "1", "2", "2"]
    assert is_gone(pid)
    assert shown(bridge)["restarts"] == 1
    assert bridge.logged("--ping-interval")


def test_hung_spares_and_children_of_sessions_are_found_too_and_their_sessions_told(start, connect):
    bridge = start("stateful", options=[*PINGS, "--isolation", "session", "--spares", "1"])
    client = connect(Http, bridge.url)
    own = json.loads(text(client.call("next")))["pid"]
    [spare] = eventually(lambda: pids(bridge, "spare", "ready"))
    for pid in (own, spare):
        os.kill(pid, signal.SIGSTOP)
    eventually(lambda: is_gone(own) and is_gone(spare), 8)
    eventually(lambda: processes(bridge, "own", "ready") and processes(bridge, "spare", "ready"))

    assert "lost" in client.call("next")["error"]["message"]
    assert json.loads(text(client.call("next")))["count"] == 1


def test_a_busy_child_is_not_pinged_however_long_it_takes(start, connect):
    """serial answers nothing else meanwhile, ping too."""
    bridge = start("serial", options=PINGS)
    client = connect(Http, bridge.url)
    pid = text(client.call("pid"))
    before = pings_in(client)

    assert text(client.call("slow", seconds=1.5)) == "slept 1.5"
    assert pings_in(client) == before
    time.sleep(0.8)  # idle, now
    assert pings_in(client) > before
    assert text(client.call("pid")) == pid


@pytest.mark.parametrize("answers", [True, False])
def test_an_idle_child_that_answers_stays_be_it_with_an_error_and_one_that_talks_is_not_pinged(tmp_path, connect, answers):
    command = bent(tmp_path / "child.py", "" if answers else "del child.methods['ping']")
    with Bridge(command, "--ping-interval", "0.4", "--ping-misses", "1") as bridge:
        client = connect(Http, bridge.url)
        pid = text(client.call("pid"))
        for _ in range(30):
            client.call("echo", message="talks")
            time.sleep(0.02)
        assert pings_in(client) == 0
        time.sleep(1.2)

        assert pings_in(client) > 0
        assert text(client.call("pid")) == pid


def test_a_sleeping_child_is_not_pinged(start, tmp_path):
    bridge = start("echo", options=[*PINGS, "--lazy", "--cache-dir", tmp_path])
    time.sleep(0.8)

    assert bridge.ready()["state"] == "asleep"
    assert bridge.children() == []
    assert not bridge.logged("ping")


@pytest.mark.parametrize("kind", [Http, Sse, Ws])
def test_a_request_past_its_time_is_cancelled_at_the_child_and_answered(start, connect, kind):
    bridge = start("echo", options=["--request-timeout", "0.4"])
    client = connect(kind, bridge.url)
    begun = time.monotonic()
    answer = client.call("slow", seconds=30)

    assert "--request-timeout" in answer["error"]["message"]
    assert time.monotonic() - begun < 2
    received = [json.loads(line) for line in json.loads(text(client.call("received")))]
    slow = next(line["id"] for line in received if line.get("params", {}).get("name") == "slow")
    assert slow in [line["params"]["requestId"] for line in received if line["method"] == "notifications/cancelled"]
    assert shown(bridge)["in_flight"] == 0
