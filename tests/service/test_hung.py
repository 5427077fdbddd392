"""A child that is there and answers nothing: pings find it, time-outs answer its clients."""

import json
import os
import signal
import time

from bent import bent, is_gone, pids, processes, shown
from support import Bridge, Http, Sse, Ws, eventually, text

PINGS = ("--ping-interval", "0.2", "--ping-misses", "2", "--backoff-initial", "0.05")


def pings_in(client) -> int:
    return sum(json.loads(line).get("method") == "ping" for line in json.loads(text(client.call("received"))))


def test_hung_children_of_every_kind_are_replaced_and_what_comes_meanwhile_is_for_the_next(start, connect):
    """It takes 3.5 s to end one that is stopped."""
    bridge = start("stateful", options=[*PINGS, "--spares", "1"])
    sharers = connect(Http, bridge.url), connect(Ws, bridge.url)
    owner = connect(Http, bridge.url, capabilities={"sampling": {}})
    own = json.loads(text(owner.call("next")))["pid"]
    eventually(lambda: len(processes(bridge, "", "ready")) == 4)  # shared, own, and a spare for either kind of client
    stopped = pids(bridge)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    eventually(lambda: shown(bridge)["state"] == "stopping")
    calls = [client.begin_call("add", a=number, b=0) for number in range(3) for client in sharers]

    assert [text(call.result(20)) for call in calls] == ["0", "0", "1", "1", "2", "2"]
    eventually(lambda: all(is_gone(pid) for pid in stopped))
    eventually(lambda: len(processes(bridge, "", "ready")) == 4)
    assert shown(bridge)["restarts"] == 4
    assert bridge.logged("--ping-interval")
    assert "lost" in owner.call("next")["error"]["message"]
    assert json.loads(text(owner.call("next")))["pid"] != own


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


def test_a_child_that_refuses_pings_lives_and_one_that_talks_is_not_pinged(tmp_path, connect):
    command = bent(tmp_path / "child.py", "del child.methods['ping']")
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


def test_a_request_past_its_time_is_cancelled_at_the_child_and_answered(start, connect):
    bridge = start("echo", options=["--request-timeout", "0.4"])
    clients = [connect(kind, bridge.url) for kind in (Http, Sse, Ws)]
    begun = time.monotonic()
    answers = [call.result(20) for call in [client.begin_call("slow", seconds=30) for client in clients]]
    client = clients[0]

    assert all("--request-timeout" in answer["error"]["message"] for answer in answers)
    assert time.monotonic() - begun < 10
    received = [json.loads(line) for line in json.loads(text(client.call("received")))]
    slow = {line["id"] for line in received if line.get("params", {}).get("name") == "slow"}
    assert slow == {line["params"]["requestId"] for line in received if line["method"] == "notifications/cancelled"}
    assert shown(bridge)["in_flight"] == 0
