"""Calls that wait, for a list or for a child of their own: their clients may take them back, and what came behind them goes on."""

import json
import sys
from contextlib import contextmanager

import pytest
from configs import config, entry, names
from support import Bridge, Http, Modern, Refused, Sse, Ws, eventually, text, zoo

GATED = """
import os, sys, time
sys.argv = ["echo"]
sys.path.insert(0, {folder!r})
from echo import child
ordinary = child.methods["tools/list"]
def listed(params):
    while not os.path.exists({gate!r}):
        time.sleep(0.02)
    return ordinary(params)
child.methods["tools/list"] = listed
child.run()
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    return tmp_path_factory.mktemp("gate") / "open"


@pytest.fixture(scope="module")
def bridge(tmp_path_factory, gate):
    folder = tmp_path_factory.mktemp("waiting")
    gated = [sys.executable, "-c", GATED.format(folder=str(zoo("echo")[1]).rpartition("/")[0], gate=str(gate))]
    mcps = {"slow": entry(gated), "taken": entry(zoo("echo"), isolation="session", max_children=1), "well": entry(zoo("echo"))}
    groups = {
        "lists": {"mcps": ["slow", "well"], "prefix": "when-needed", "wait": 30},
        "alone": {"mcps": ["slow"], "prefix": "when-needed", "wait": 30},
        "seats": ["taken", "well"],
    }
    with Bridge(None, "--config", config(folder, groups, **mcps), ready=False) as bridge:
        eventually(lambda: all(bridge.get(f"/{name}/readyz").status_code == 200 for name in mcps))
        yield bridge


@contextmanager
def held_up(bridge, gate, group):
    """Calls to this group wait, until what this gives is called."""
    with eventually(lambda: holder(bridge)) as taken:  # the last test's child may still be there
        try:
            yield gate.touch if group != "seats" else taken.close
        finally:
            gate.unlink(missing_ok=True)


def holder(bridge):
    client = Http(f"{bridge.url}/taken")
    try:
        return client.open() and client
    except Refused:
        return client.close()


def calls_of(client, tool):
    """The messages of calls that the child behind a tool like echo's `received` has read."""
    lines = [json.loads(line) for line in json.loads(text(client.call(tool)))]
    return [line["params"]["arguments"].get("message") for line in lines if line.get("method") == "tools/call"]


@pytest.mark.parametrize("transport", [Http, Sse, Ws])
@pytest.mark.parametrize(("group", "tool"), [("lists", "unlisted"), ("seats", "taken-echo")])
def test_a_call_that_waits_is_cancelled_and_never_reaches_its_child(bridge, gate, transport, group, tool):
    with held_up(bridge, gate, group) as let_go, transport(f"{bridge.url}/{group}") as client:
        call = client.begin("tools/call", {"name": tool, "arguments": {"message": "taken back"}}, id="long")
        assert text(client.call("well-echo", message="meanwhile", timeout=5)) == "meanwhile"
        client.notify("notifications/cancelled", {"requestId": "long"})
        assert text(client.call("well-echo", message="behind it", timeout=5)) == "behind it"

        if transport is Http:  # whose response waits for it
            assert call.result(5)["error"]["code"] == -32800
        let_go()
        if group == "seats":
            assert "taken back" not in calls_of(client, "taken-received")
        assert transport is Http or not call.done()


def test_a_call_and_its_cancellation_that_come_at_once(bridge, gate):
    with held_up(bridge, gate, "seats") as let_go, Ws(f"{bridge.url}/seats") as client:
        for number in range(20):
            client.begin("tools/call", {"name": "taken-echo", "arguments": {"message": str(number)}}, id=f"c{number}")
            client.notify("notifications/cancelled", {"requestId": f"c{number}"})
        assert text(client.call("well-echo", message="heard", timeout=5)) == "heard"
        let_go()

        assert calls_of(client, "taken-received") == [None]


def test_calls_of_one_client_to_one_member_arrive_in_their_order_though_they_waited(bridge, gate):
    with held_up(bridge, gate, "seats") as let_go, Ws(f"{bridge.url}/seats") as client:
        calls = [client.begin_call("taken-echo", message=str(number)) for number in range(30)]
        assert text(client.call("well-echo", message="x", timeout=5)) == "x"
        let_go()
        calls += [client.begin_call("taken-echo", message=str(number)) for number in range(30, 60)]

        assert [text(call.result(10)) for call in calls] == [str(number) for number in range(60)]
        assert calls_of(client, "taken-received")[:60] == [str(number) for number in range(60)]


@pytest.mark.parametrize("transport", [Sse, Ws])
def test_what_comes_behind_a_list_that_waits_goes_on(bridge, gate, transport):
    with held_up(bridge, gate, "lists") as let_go, transport(f"{bridge.url}/lists") as client:
        listed = client.begin("tools/list", {})
        assert text(client.call("well-echo", message="meanwhile", timeout=5)) == "meanwhile"
        assert client.request("ping", timeout=5)["result"] == {} and not listed.done()
        let_go()

        assert "slow-echo" in names(listed.result(10))


def test_what_stands_behind_a_call_that_waits_in_a_batch_goes_on(bridge, gate):
    with held_up(bridge, gate, "lists"), Ws(f"{bridge.url}/lists", version="2025-03-26") as client:
        tools = ("unlisted", "unlisted-too", "well-echo")
        params = [{"name": tool, "arguments": {"message": "in the batch"}} for tool in tools]
        client.send([{"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": its} for id, its in enumerate(params)])
        assert text(client.call("well-echo", message="behind it", timeout=5)) == "behind it"
        assert "in the batch" in calls_of(client, "well-received")


def test_a_modern_call_whose_client_leaves_while_it_waits_never_reaches_its_child(bridge, gate):
    with held_up(bridge, gate, "lists") as let_go, Modern(f"{bridge.url}/alone") as client:
        with client.stream("tools/call", {"name": "echo", "arguments": {"message": "left"}}):
            eventually(lambda: bridge.status()["mcps"]["slow"]["in_flight"] > 0)
        let_go()

        assert "left" not in calls_of(client, "slow-received")
