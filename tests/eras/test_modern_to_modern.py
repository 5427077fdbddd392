"""A client and a child of 2026-07-28: every byte passes, but for ids, progress tokens and subscription ids."""

import json
import os
import time

import pytest
from support import SUBSCRIPTION, Bridge, Http, Modern, envelope, eventually, text

NS = "io.modelcontextprotocol/"


@pytest.fixture
def bridge(around) -> Bridge:
    return around("modern")


@pytest.fixture
def client(bridge, connect) -> Modern:
    return connect(Modern, bridge.url)


def received(client) -> list[dict]:
    return [json.loads(line) for line in json.loads(text(client.call("received")))]


def last_call(client, tool: str) -> dict:
    return [m for m in received(client) if m.get("params", {}).get("name") == tool][-1]


def test_all_clients_share_one_warm_child(bridge, connect):
    clients = [connect(Modern, bridge.url, capabilities=can) for can in ({}, {"sampling": {}}, {"elicitation": {}, "roots": {}})]

    assert len({text(client.call("pid")) for client in clients}) == 1
    assert len(bridge.children()) == 1


RESULT = '{"content":[{"type":"text","text":"\\u0061 \\/"},{"type":"x-new","n":1e400}],"z":1e2,"a":123456789012345678901234567890,"resultType":"x-own","b":{"z":1,"a":[1.0,-0.0]}}'


def test_a_result_passes_byte_for_byte(client):
    """Edge case 33, and unknown members, content types and result types: edge case 32."""
    response = client.send("tools/call", {"name": "raw", "arguments": {"result": RESULT}}, id=5)

    assert response.content == b'{"jsonrpc":"2.0","id":5,"result":' + RESULT.encode() + b"}"


def test_parameters_pass_byte_for_byte(client, bridge):
    """Edge case 33."""
    arguments = '{"message":"\\u0061\\/\u2028","z":1e400,"a":1e2,"n":123456789012345678901234567890}'
    meta = json.dumps(envelope() | {"traceparent": "00-1", "x-vendor/a": [1, {"b": None}]})
    body = (
        f'{{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{{"name":"echo","arguments":{arguments},"x-more":[],"_meta":{meta}}}}}'
    )
    client.post(body, {"mcp-method": "tools/call", "mcp-name": "echo", "mcp-protocol-version": "2026-07-28"})
    lines = [line for line in json.loads(text(client.call("received"))) if "1e400" in line and '"echo"' in line]

    assert arguments in lines[-1]
    assert meta in lines[-1]
    assert '"x-more":[]' in lines[-1]


def test_an_unknown_method_of_an_extension_passes(client):
    answer = client.request("x-vendor/echo", {"kept": [1, None]})

    assert answer["result"]["kept"] == [1, None]


def test_what_the_child_says_of_its_cache_passes(client):
    listed = client.request("tools/list")["result"]

    assert (listed["ttlMs"], listed["cacheScope"]) == (60_000, "public")


@pytest.mark.parametrize("token", [7, 0, "7", "p\u2028"])
def test_progress_comes_with_its_own_token(bridge, connect, token):
    """Edge case 20."""
    one, other = connect(Modern, bridge.url), connect(Modern, bridge.url)
    calls = [
        (c, c.begin("tools/call", {"name": "progress", "arguments": {"steps": n}, "_meta": {"progressToken": token}}))
        for c, n in ((one, 3), (other, 2))
    ]
    for _, future in calls:
        assert "steps" in text(future.result(20))
    seen = [[m["params"]["progressToken"] for m in c.messages(0.05)] for c, _ in calls]

    assert seen == [[token] * 3, [token] * 2]


def test_what_precedes_an_answer_makes_it_a_stream_that_ends_with_it(client):
    stream = client.stream("tools/call", {"name": "progress", "arguments": {"steps": 2}, "_meta": {"progressToken": 1}}, id="p")
    messages = list(stream.messages())

    assert stream.is_sse
    assert stream.headers["x-accel-buffering"] == "no"
    assert [m.get("method") for m in messages] == ["notifications/progress"] * 2 + [None]
    assert messages[-1]["id"] == "p"
    assert {event.id for event in stream.seen} == {None}  # nothing can be resumed


def test_a_large_result_is_a_json_body(client):
    """Edge case 27."""
    response = client.send("tools/call", {"name": "huge", "arguments": {"bytes": 3_000_000}})

    assert response.headers["content-type"].startswith("application/json")
    assert len(text(response.json())) == 3_000_000


def test_a_client_that_leaves_cancels_its_call(client):
    """Edge case 24: by a notification with the child's own id, and soon."""
    stream = client.stream("tools/call", {"name": "slow", "arguments": {"seconds": 60}, "_meta": {"progressToken": 1}})
    call = eventually(lambda: last_call(client, "slow"))
    before = len(received(client))
    stream.close()
    left = time.monotonic()
    told = eventually(lambda: [m for m in received(client)[before:] if m.get("method") == "notifications/cancelled"])

    assert time.monotonic() - left < 10
    assert told[0]["params"]["requestId"] == call["id"]


def test_a_client_that_leaves_before_the_headers_cancels_too(client, bridge, under_way):
    stream = client.stream("tools/call", {"name": "slow", "arguments": {"seconds": 61}})
    eventually(lambda: last_call(client, "slow")["params"]["arguments"] == {"seconds": 61})
    id = last_call(client, "slow")["id"]
    stream.close()

    eventually(lambda: [m for m in received(client) if m.get("method") == "notifications/cancelled" and m["params"]["requestId"] == id])


def test_a_log_comes_only_to_who_asked_for_it(bridge, connect):
    quiet, chatty = connect(Modern, bridge.url), connect(Modern, bridge.url, meta={f"{NS}logLevel": "info"})
    quiet.call("log", level="error")
    chatty.call("log", level="debug")
    chatty.call("log", level="error", count=2)

    assert quiet.messages(0.05) == []
    assert [m["params"]["level"] for m in chatty.messages(0)] == ["error"] * 2


def test_a_bad_log_level_is_refused(client):
    assert client.send("tools/list", meta={f"{NS}logLevel": "loud"}).status_code == 400


def test_a_child_that_asks_is_told_that_it_may_not(client):
    """A server of this revision must not send requests; it is not left waiting for ever."""
    answer = json.loads(text(client.call("ask", method="roots/list")))

    assert answer["error"]["code"] == -32601


def test_input_required_passes_as_it_is(around, connect):
    client = connect(Modern, around("modern_asks").url, capabilities={"elicitation": {}, "sampling": {}, "roots": {}})
    asked = client.call("two")
    answers = {"elicit": {"action": "accept", "content": {"name": "\u2028"}}, "sample": {"role": "assistant", "x": 1e30}}
    told = json.loads(text(client.call_again("two", asked, **answers)))

    assert asked["result"].keys() >= {"resultType", "inputRequests", "requestState"}
    assert told["answers"] == answers
    assert told["state"] == asked["result"]["requestState"] == 'opaque "state" \u2028 \U0001f600 '


def test_a_missing_capability_is_the_childs_to_tell(around, connect):
    response = connect(Modern, around("modern_asks").url).send("tools/call", {"name": "elicit", "arguments": {}})

    assert response.status_code == 400
    assert response.json()["error"]["code"] == -32021
    assert response.json()["error"]["data"] == {"requiredCapabilities": {"elicitation": {}}}


# Listening


@pytest.mark.parametrize("id", ["abc", 0, 17, "\u2028"])
def test_a_listen_is_acknowledged_first_and_all_of_it_is_tagged_with_its_id(bridge, connect, id):
    """Edge case 48."""
    client = connect(Modern, bridge.url)
    with client.listen_to(id, toolsListChanged=True, resourceSubscriptions=["test://one"]) as stream:
        first = stream.next_message()
        client.call("change", kind="prompts")
        client.call("touch", uri="test://two")
        client.call("change")
        client.call("touch", uri="test://one")
        news = [stream.next_message(), stream.next_message()]

    assert first["method"] == "notifications/subscriptions/acknowledged"
    assert first["params"]["notifications"] == {"toolsListChanged": True, "resourceSubscriptions": ["test://one"]}
    assert [m["method"] for m in news] == ["notifications/tools/list_changed", "notifications/resources/updated"]
    assert {(json.dumps(m["params"]["_meta"][SUBSCRIPTION])) for m in (first, *news)} == {json.dumps(id)}


def test_many_listens_go_on_side_by_side_with_the_same_id(bridge, connect):
    clients = [connect(Modern, bridge.url) for _ in range(3)]
    streams = [
        client.listen_to("same", **wish)
        for client, wish in zip(
            clients, ({"toolsListChanged": True}, {"promptsListChanged": True}, {"toolsListChanged": True}), strict=True
        )
    ]
    for stream in streams:
        assert stream.next_message()["method"].endswith("acknowledged")
    clients[0].call("change")
    heard = [streams[0].next_message()["method"], streams[2].next_message()["method"]]
    clients[0].call("change", kind="prompts")

    assert heard == ["notifications/tools/list_changed"] * 2
    assert streams[1].next_message()["method"] == "notifications/prompts/list_changed"
    for stream in streams:
        stream.close()


def test_a_listen_whose_client_leaves_ends_at_the_child(client):
    wish = ["test://unique"]
    with client.listen_to(resourceSubscriptions=wish) as stream:
        stream.next_message()
        eventually(lambda: {"resourceSubscriptions": wish} in json.loads(text(client.call("listens"))))

    eventually(lambda: {"resourceSubscriptions": wish} not in json.loads(text(client.call("listens"))))


def test_a_listen_that_the_child_ends_ends_with_its_result(start, connect):
    client = connect(Modern, start("modern").url)
    with client.listen_to("mine", toolsListChanged=True) as stream:
        stream.next_message()
        client.call("end_listens")
        result = stream.next_message()

        assert (result["id"], result["result"]["_meta"][SUBSCRIPTION]) == ("mine", "mine")
        assert stream.next() is None


def test_a_server_without_prompts_does_not_promise_to_tell_of_them(around, connect):
    """Edge case 49."""
    client = connect(Modern, around("modern", "--no", "prompts").url)
    with client.listen_to(toolsListChanged=True, promptsListChanged=True) as stream:
        assert stream.next_message()["params"]["notifications"] == {"toolsListChanged": True}


def test_a_listen_wakes_a_child_that_is_about_to_sleep(written, connect):
    with Bridge(written(SLOW_TO_END), "--child-era", "modern", "--idle-stop", 0.5) as bridge:
        client = connect(Modern, bridge.url)
        eventually(lambda: bridge.logged("goes to sleep"))

        assert client.listen_to(toolsListChanged=True).next_message(10)["method"] == "notifications/subscriptions/acknowledged"


@pytest.mark.parametrize("name, era", [("modern", "modern"), ("echo", "legacy")])
def test_who_leaves_while_the_child_starts_listens_no_more(written, connect, name, era):
    with Bridge(written(SLOW_TO_START.format(name=name)), "--child-era", era, "--idle-stop", 1, ready=False) as bridge:
        stream = Modern(bridge.url).listen_to(resourceSubscriptions=["test://1"], toolsListChanged=True)
        eventually(lambda: bridge.metrics().value("mcp_bridge_child_starts_total"))
        stream.close()
        eventually(lambda: bridge.logged("goes to sleep"))


SLOW_TO_END = """
import os, time
from modern import child, start
child.ended = lambda: (time.sleep(1.5), os._exit(0))
start()
"""
SLOW_TO_START = """
import time
time.sleep(2)
import {name}
{name}.start() if hasattr({name}, "start") else ({name}.configure(), {name}.child.run())
"""


def test_listens_go_on_with_the_next_child(start, connect):
    """Edge case 50."""
    bridge = start("modern", options=("--backoff-initial", "0.05"))
    client = connect(Modern, bridge.url)
    with client.listen_to("mine", toolsListChanged=True) as stream:
        stream.next_message()
        os.kill(int(text(client.call("pid"))), 9)
        eventually(lambda: json.loads(text(client.call("listens"))) != [])
        client.call("change")
        seen = [stream.next_message()["method"]]
        while "notifications/tools/list_changed" not in seen:
            seen.append(stream.next_message()["method"])

    assert set(seen) <= {"notifications/subscriptions/acknowledged", "notifications/tools/list_changed"}


def test_a_call_in_flight_is_told_at_once_that_its_child_died(start, connect, under_way):
    """Edge case 50."""
    bridge = start("modern", options=("--backoff-initial", "0.05"))
    client = connect(Modern, bridge.url)
    pid = int(text(client.call("pid")))
    call = client.begin_call("slow", seconds=60)
    eventually(lambda: last_call(client, "slow"))
    died = time.monotonic()
    os.kill(pid, 9)
    answer = call.result(20)

    assert time.monotonic() - died < 10
    assert answer["error"]["code"] == -32603
    assert text(client.call("echo", message="on")) == "on"


def test_a_shutdown_ends_listens_with_their_result(start, connect):
    """Edge case 67: gracefully, so that a client knows it from a cut."""
    bridge = start("modern")
    client = connect(Modern, bridge.url)
    stream = client.listen_to("mine", toolsListChanged=True)
    stream.next_message()
    code, seconds = bridge.stop()
    last = stream.next_message()

    assert (last["id"], last["result"]["_meta"][SUBSCRIPTION]) == ("mine", "mine")
    assert code == 0 and seconds < 10


def test_a_session_and_a_modern_client_on_one_child_hear_what_is_theirs(bridge, connect):
    old, new = connect(Http, bridge.url), connect(Modern, bridge.url)
    with new.listen_to(toolsListChanged=True) as stream:
        stream.next_message()
        new.call("change")

        assert "_meta" in stream.next_message()["params"]
    heard = old.wait_for("notifications/tools/list_changed")
    assert SUBSCRIPTION not in json.dumps(heard)
