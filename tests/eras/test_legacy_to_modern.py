"""A client of the handshake era and a child of 2026-07-28 alone: over every transport. docs/protocol.md, 3.4."""

import json
import os
import time

import pytest
from support import SUBSCRIPTION, Bridge, Http, Sse, eventually, text

NS = "io.modelcontextprotocol/"
ALL = {"sampling": {}, "elicitation": {}, "roots": {"listChanged": True}}
YES = {"action": "accept", "content": {"name": "Ada"}}
SAMPLED = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "sampled"}}
ROOTS = {"roots": [{"uri": "file:///here"}]}
ANSWERS = {"elicitation/create": YES, "sampling/createMessage": SAMPLED, "roots/list": ROOTS}
RELAY = ("--client-roots", "relay")


@pytest.fixture
def bridge(around) -> Bridge:
    return around("modern", "--instructions", "be kind")


@pytest.fixture
def client(bridge, connect, transport):
    return connect(transport, bridge.url)


@pytest.fixture
def asking(around) -> Bridge:
    return around("modern_asks", options=RELAY)


def received(client) -> list[dict]:
    return [json.loads(line) for line in json.loads(text(client.call("received")))]


def answer(method, params):
    return ANSWERS[method]


# The handshake


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_a_handshake_is_made_of_what_the_child_says_of_itself(bridge, connect, transport, version):
    """Edge case 54."""
    client = connect(transport, bridge.url, version=version)
    found = client.initialized

    assert found["protocolVersion"] == version
    assert found["serverInfo"] == {"name": "modern", "version": "1"}
    assert found["instructions"] == "be kind"
    assert found["capabilities"]["resources"] == {"subscribe": True, "listChanged": True}
    assert not found.keys() & {"resultType", "ttlMs", "cacheScope", "supportedVersions"}
    assert text(client.call("echo", message="hi")) == "hi"


def test_extensions_of_the_new_era_are_not_offered(around, connect):
    found = connect(Http, around("modern_tasks").url).initialized

    assert not found["capabilities"].keys() & {"extensions", "tasks"}


def test_ping_and_the_log_level_are_the_bridges_own(client):
    assert client.request("ping")["result"] == {}
    assert client.request("logging/setLevel", {"level": "info"})["result"] == {}
    assert client.request("logging/setLevel", {"level": "loud"})["error"]["code"] == -32602
    assert not {"ping", "logging/setLevel", "initialize"} & {m["method"] for m in received(client)}


# Requests and results


def test_every_request_carries_what_the_child_wants_to_know(bridge, connect, transport):
    client = connect(transport, bridge.url, info={"name": "old-timer", "version": "7"})
    params = {"name": "meta", "arguments": {}, "_meta": {"traceparent": "00-1", "x-vendor/a": 1, "progressToken": "p"}}
    meta = json.loads(text(client.request("tools/call", params)))

    assert meta[f"{NS}protocolVersion"] == "2026-07-28"
    assert meta[f"{NS}clientCapabilities"] == {}
    assert meta[f"{NS}clientInfo"] == {"name": "old-timer", "version": "7"}
    assert (meta["traceparent"], meta["x-vendor/a"]) == ("00-1", 1)


def test_capabilities_are_told_in_the_words_of_the_new_era(asking, connect):
    client = connect(Http, asking.url, capabilities=ALL | {"tasks": {}, "experimental": {"x": {}}})
    can = json.loads(text(client.call("meta")))[f"{NS}clientCapabilities"]

    assert can["sampling"] == {}
    assert can["elicitation"] in ({}, {"form": {}})
    assert can["roots"] == {}
    assert "tasks" not in can


def test_results_have_nothing_of_the_new_era(client):
    for method, params in [("tools/call", {"name": "echo", "arguments": {"message": "x"}}), ("tools/list", {}), ("prompts/list", {}),
                           ("resources/list", {}), ("resources/read", {"uri": "test://one"}), ("resources/templates/list", {}),
                           ("prompts/get", {"name": "greet"}), ("x-vendor/echo", {"a": 1})]:  # fmt: skip
        answered = client.request(method, params)
        result = answered["result"]

        assert not result.keys() & {"resultType", "ttlMs", "cacheScope"}, (method, result)
        assert f"{NS}serverInfo" not in result.get("_meta", {}), (method, result)


def test_the_rest_of_a_result_is_the_childs_byte_for_byte(bridge, connect):
    """Edge case 33."""
    result = '{"resultType":"complete","content":[{"type":"x-new","n":1e400}],"z":1e2,"a":123456789012345678901234567890,"_meta":{"x-vendor/kept":1e400}}'
    client = connect(Http, bridge.url, listen=False)
    body = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "raw", "arguments": {"result": result}}}
    told = client.post(body).text

    for part in ('"content":[{"type":"x-new","n":1e400}]', '"z":1e2', '"a":123456789012345678901234567890', '"x-vendor/kept":1e400'):
        assert part in told
    assert "resultType" not in told


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
def test_structure_that_old_clients_cannot_read_is_left_out(bridge, connect, transport, version):
    """Edge case 59: an array as structuredContent, and as outputSchema."""
    client = connect(transport, bridge.url, version=version)
    tools = {tool["name"]: tool for tool in client.request("tools/list")["result"]["tools"]}
    result = client.call("listed")["result"]

    assert "structuredContent" not in result
    assert result["content"][0]["text"] == "1, 2"
    assert "outputSchema" not in tools["listed"]
    assert tools["typed"]["outputSchema"]["type"] == "object"
    assert client.call("typed", value=3)["result"]["structuredContent"] == {"value": 3}


def test_errors_pass(client):
    error = client.call("error", message="it broke", code=-32000)["error"]

    assert error == {"code": -32000, "message": "it broke", "data": {"kept": True}}
    assert client.request("no/such")["error"]["code"] == -32601
    assert client.request("resources/read", {"uri": "test://nowhere"})["error"]["code"] in (-32602, -32002)


@pytest.mark.parametrize("method", ["tasks/get", "tasks/list", "tasks/result", "tasks/cancel", "server/discover", "subscriptions/listen"])
def test_what_does_not_cross_is_refused(client, method):
    assert client.request(method, {"taskId": "task-1"})["error"]["code"] in (-32601, -32602)


# Notifications


def test_progress_has_its_own_token(bridge, connect, transport):
    """Edge case 20."""
    one, other = connect(transport, bridge.url), connect(transport, bridge.url)
    calls = [
        (c, c.begin("tools/call", {"name": "progress", "arguments": {"steps": n}, "_meta": {"progressToken": 7}}))
        for c, n in ((one, 3), (other, 2))
    ]
    for _, future in calls:
        future.result(20)

    assert [[m["params"]["progressToken"] for m in c.messages(0.05) if "progressToken" in m["params"]] for c, _ in calls] == [
        [7] * 3,
        [7] * 2,
    ]


def test_a_log_comes_at_the_level_that_was_set(bridge, connect, transport):
    """Edge case 47."""
    client = connect(transport, bridge.url)
    client.request("logging/setLevel", {"level": "warning"})
    client.call("log", level="info")
    client.call("log", level="error", count=2)

    assert [m["params"]["level"] for m in client.messages(0.1) if m["method"] == "notifications/message"] == ["error"] * 2


def test_a_cancellation_reaches_the_child_under_its_own_id(bridge, connect, transport):
    client = connect(transport, bridge.url)
    before = len(received(client))
    client.begin("tools/call", {"name": "slow", "arguments": {"seconds": 60}}, id="c")
    [call] = eventually(lambda: [m for m in received(client)[before:] if m.get("params", {}).get("name") == "slow"])
    client.notify("notifications/cancelled", {"requestId": "c"})

    eventually(
        lambda: [m for m in received(client) if m.get("method") == "notifications/cancelled" and m["params"]["requestId"] == call["id"]]
    )


def test_notifications_that_are_gone_do_not_reach_the_child(around, connect, transport):
    """strict_modern.py exits at them."""
    client = connect(transport, around("strict_modern").url)
    pid = text(client.call("pid"))
    client.notify("notifications/roots/list_changed")
    client.notify("notifications/initialized")

    assert text(client.call("pid")) == pid


def test_subscribers_hear_of_their_resources_and_nobody_else(bridge, connect, transport):
    """Edge case 46."""
    one, other = connect(transport, bridge.url), connect(transport, bridge.url)
    assert one.request("resources/subscribe", {"uri": "test://one"})["result"] == {}
    one.call("touch", uri="test://two")
    one.call("touch", uri="test://one")
    heard = one.wait_for("notifications/resources/updated")
    assert one.request("resources/unsubscribe", {"uri": "test://one"})["result"] == {}

    eventually(lambda: "test://one" not in json.loads(text(one.call("subscriptions"))))
    assert heard["params"] == {"uri": "test://one"}
    assert "notifications/resources/updated" not in [m["method"] for m in other.messages(0.05)]


def test_a_session_that_ends_leaves_no_subscription(bridge, connect, transport):
    client, other = connect(transport, bridge.url), connect(Http, bridge.url, listen=False)
    client.request("resources/subscribe", {"uri": "test://gone"})
    eventually(lambda: "test://gone" in json.loads(text(other.call("subscriptions"))))
    client.close()

    eventually(lambda: "test://gone" not in json.loads(text(other.call("subscriptions"))))


def test_list_changes_reach_each_session_once(start, connect, transport):
    """Edge case 45."""
    bridge = start("modern")
    one, other = connect(transport, bridge.url), connect(transport, bridge.url)
    one.request("tools/list")
    eventually(lambda: json.loads(text(one.call("listens"))) != [])
    one.call("change")
    heard = [client.wait_for("notifications/tools/list_changed") for client in (one, other)]

    assert all(SUBSCRIPTION not in json.dumps(message) for message in heard)
    assert not [m for client in (one, other) for m in client.messages(0.1) if m["method"].endswith("list_changed")]


# A child that wants something of the client first


@pytest.mark.parametrize("tool, method", [("elicit", "elicitation/create"), ("sample", "sampling/createMessage"), ("roots", "roots/list")])
def test_what_the_child_wants_is_asked_by_a_real_request(asking, connect, transport, tool, method):
    client = connect(transport, asking.url, capabilities=ALL, on_ask=answer)
    told = json.loads(text(client.call(tool)))

    assert [ask["method"] for ask in client.asked] == [method]
    assert told["answers"] == {tool: ANSWERS[method]}
    assert told["state"] == 'opaque "state" \u2028 \U0001f600 '


def test_two_wishes_at_once_are_two_requests(asking, connect, transport):
    client = connect(transport, asking.url, capabilities=ALL, on_ask=answer)
    told = json.loads(text(client.call("two")))

    assert sorted(ask["method"] for ask in client.asked) == ["elicitation/create", "sampling/createMessage"]
    assert told["answers"] == {"elicit": YES, "sample": SAMPLED}


def test_one_question_after_another(asking, connect, transport):
    client = connect(transport, asking.url, capabilities=ALL, on_ask=answer)

    assert text(client.call("rounds", count=3)) == "3 rounds"
    assert [ask["params"]["message"] for ask in client.asked] == ["question 1", "question 2", "question 3"]


def test_a_child_that_only_wants_to_be_called_again_is(asking, connect, transport):
    assert text(connect(transport, asking.url, capabilities=ALL).call("state_only", times=2)) == "2 times"


def test_a_prompt_and_a_resource_may_want_something_too(asking, connect):
    client = connect(Http, asking.url, capabilities=ALL, on_ask=answer)

    assert "Ada" in json.dumps(client.request("prompts/get", {"name": "asking"})["result"])
    assert "Ada" in json.dumps(client.request("resources/read", {"uri": "ask://resource"})["result"])


def test_the_questions_come_on_the_stream_of_their_call(asking, connect):
    client = connect(Http, asking.url, capabilities=ALL, on_ask=answer, listen=False)

    assert "Ada" in text(client.call("elicit"))


@pytest.mark.parametrize("action", ["decline", "cancel"])
def test_a_client_may_say_no(asking, connect, action):
    client = connect(Http, asking.url, capabilities=ALL, on_ask=lambda method, params: {"action": action})

    assert json.loads(text(client.call("elicit")))["answers"] == {"elicit": {"action": action}}


def test_an_error_of_the_client_ends_the_call_or_declines(asking, connect):
    """elicitation: decline or cancel; sampling and roots: there is no such word, the call fails."""
    client = connect(Http, asking.url, capabilities=ALL)  # refuses everything

    assert json.loads(text(client.call("elicit")))["answers"]["elicit"]["action"] in ("decline", "cancel")
    assert client.call("sample")["error"]["code"] == -32603


@pytest.mark.parametrize("tool, missing", [("elicit", "elicitation"), ("sample", "sampling"), ("roots", "roots")])
def test_a_client_that_cannot_be_asked_is_told_what_it_lacks(asking, connect, transport, tool, missing):
    """Edge case 58."""
    error = connect(transport, asking.url).call(tool)["error"]

    assert error["code"] in (-32021, -32603)
    assert missing in error["message"]


def test_a_child_that_asks_for_ever_comes_to_an_end(asking, connect):
    client = connect(Http, asking.url, capabilities=ALL, on_ask=answer, timeout=10)

    assert client.call("stubborn")["error"]["code"] == -32603
    assert len(client.asked) < 100


@pytest.mark.parametrize("tool", ["nothing", "stranger"])
def test_wishes_that_nobody_can_fulfil_are_errors(asking, connect, tool):
    client = connect(Http, asking.url, capabilities=ALL, on_ask=answer, timeout=8)

    assert client.call(tool)["error"]
    assert text(client.call("echo", message="on")) == "on"


def test_a_client_that_leaves_in_mid_question_leaves_nothing(asking, connect):
    client = connect(Sse, asking.url, capabilities=ALL, on_ask=lambda method, params: None)
    client.begin_call("elicit")
    eventually(lambda: client.asked)
    client.close()

    eventually(lambda: asking.metrics().value("mcp_bridge_requests_in_flight") == 0)


def test_all_clients_share_the_child_whatever_they_declare(asking, connect):
    """Its questions belong to a call, so nobody needs a child of its own."""
    clients = [connect(Http, asking.url, capabilities=can, on_ask=answer) for can in ({}, ALL, {"sampling": {}})]

    assert len({text(client.call("pid")) for client in clients}) == 1


# The end of a child


def test_a_session_survives_its_child(start, connect, transport):
    """Edge case 50."""
    bridge = start("modern", options=("--backoff-initial", "0.05"))
    client = connect(transport, bridge.url)
    client.request("resources/subscribe", {"uri": "test://one"})
    pid = int(text(client.call("pid")))
    call = client.begin_call("slow", seconds=60)
    eventually(lambda: [m for m in received(client) if m.get("params", {}).get("name") == "slow"])
    died = time.monotonic()
    os.kill(pid, 9)

    assert call.result(20)["error"]
    assert time.monotonic() - died < 10
    eventually(lambda: "test://one" in json.loads(text(client.call("subscriptions"))))
    client.call("touch", uri="test://one")
    assert client.wait_for("notifications/resources/updated")["params"]["uri"] == "test://one"


@pytest.mark.parametrize("options", [("--idle-stop", 0.5), ("--recycle-calls", 3)])
def test_a_call_waits_for_its_client_while_the_child_would_sleep_or_be_replaced(start, connect, transport, options):
    bridge = start("modern_asks", options=options)
    other = connect(Http, bridge.url)

    def think(method, params):
        for _ in range(4):
            other.call("echo", message="hi")
        time.sleep(1.5)
        return YES

    client = connect(transport, bridge.url, capabilities=ALL, on_ask=think)

    assert json.loads(text(client.call("elicit")))["answers"] == {"elicit": YES}


def test_a_call_that_waited_for_a_turn_at_a_child_that_was_replaced_may_be_cancelled_in_mid_question(start, connect):
    bridge = start("modern_asks", options=("--recycle-calls", 4, "--max-in-flight", 2))
    client = connect(Http, bridge.url, capabilities=ALL, on_ask=lambda method, params: None)
    others = [connect(Http, bridge.url) for _ in range(2)]
    for _ in range(4):
        others[0].call("echo", message="x")
    for other in others * 2:
        other.begin_call("slow", seconds=1)
    client.begin_call("elicit")
    eventually(lambda: client.asked)
    client.notify("notifications/cancelled", {"requestId": client.last_id})

    [name] = bridge.status()["mcps"]
    eventually(lambda: bridge.status()["mcps"][name]["in_flight"] == 0)
    assert client.delete().status_code == 200


def test_a_client_need_not_answer_for_a_call_that_it_gave_up(asking, connect, transport):
    client = connect(transport, asking.url, capabilities=ALL, on_ask=lambda method, params: None)
    for _ in range(101):
        asked = len(client.asked)
        client.begin_call("elicit")
        eventually(lambda asked=asked: len(client.asked) > asked)
        client.notify("notifications/cancelled", {"requestId": client.last_id})
    told = eventually(lambda: [message for message in client.messages() if message["method"] == "notifications/cancelled"])
    client.on_ask = answer

    assert json.loads(text(client.call("elicit")))["answers"] == {"elicit": YES}
    assert told[0]["params"]["requestId"] in [ask["id"] for ask in client.asked]


def test_what_nobody_can_be_asked_is_counted_as_an_error(start, connect):
    bridge = start("modern_asks")
    connect(Http, bridge.url).call("nothing")

    assert bridge.metrics().value("mcp_bridge_requests_total", tool="nothing", outcome="error") == 1
    assert bridge.metrics().value("mcp_bridge_requests_total", tool="nothing") == 1


@pytest.mark.parametrize(
    "version, can, is_asked", [("2025-11-25", {"form": {}, "url": {}}, True), ("2025-11-25", {}, False), ("2025-06-18", {}, False)]
)
def test_a_login_by_url_has_the_id_that_old_clients_want_and_is_for_those_that_can(asking, connect, version, can, is_asked):
    client = connect(Http, asking.url, version=version, capabilities={"elicitation": can}, on_ask=answer)
    outcome = client.call("elicit_url")

    assert [ask["params"]["mode"] for ask in client.asked] == ["url"] * is_asked
    assert all(ask["params"]["elicitationId"] for ask in client.asked)
    assert ("error" in outcome) != is_asked


def test_a_subscription_wakes_the_child(start, connect):
    bridge = start("modern", options=("--idle-stop", 0.5))
    client = connect(Http, bridge.url)
    [uri, *_] = [resource["uri"] for resource in client.request("resources/list")["result"]["resources"]]
    eventually(lambda: bridge.logged("goes to sleep"))

    assert client.request("resources/subscribe", {"uri": uri})["result"] == {}
    assert client.request("resources/unsubscribe", {"uri": uri})["result"] == {}


BREAKS_OFF = """
import modern
from modern import child, start, listen, refuse
def picky(id, params):
    wanted = (params.get("notifications") or {}).get("resourceSubscriptions", [])
    if any(uri.startswith("bad:") for uri in wanted):
        return child.answer(id, lambda: refuse(-32602, "no such resource"))
    return listen(id, params)
modern.listen = picky
@child.tool
def break_off():
    for id in list(child.listens):
        child.notify("notifications/cancelled", requestId=id)
    child.listens.clear()
    return "ok"
start()
"""


@pytest.fixture
def picky(tmp_path, written):
    with Bridge(written(BREAKS_OFF)) as bridge:
        yield bridge


def test_a_listen_that_is_refused_for_one_session_does_not_end_the_others(picky, connect):
    one, other = connect(Http, picky.url), connect(Http, picky.url)

    assert "error" in one.request("resources/subscribe", {"uri": "bad:x"})
    assert other.request("resources/subscribe", {"uri": "test://1"})["result"] == {}
    other.call("change")
    eventually(lambda: "notifications/tools/list_changed" in [message["method"] for message in other.messages()])


def test_a_listen_that_the_child_breaks_off_is_made_again(picky, connect):
    client = connect(Http, picky.url)
    client.call("break_off")

    eventually(lambda: json.loads(text(client.call("listens"))), 15)


def test_a_client_that_hears_nothing_of_it_works_on_a_sleeping_child(start, connect):
    bridge = start("modern", options=("--lazy",), ready=False)
    client = connect(Http, bridge.url)

    assert text(client.call("echo", message="hi")) == "hi"


def test_litellms_profile_makes_results_of_failures_here_too(around, connect):
    client = connect(Sse, around("modern_asks", options=("--profile", "litellm")).url)
    result = client.call("elicit")["result"]

    assert result["isError"] is True
    assert "elicitation" in text({"result": result})
