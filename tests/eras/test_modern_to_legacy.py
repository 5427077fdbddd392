"""A client of 2026-07-28 and a child of the handshake era: the child's payload in the newer words. docs/protocol.md, 3.3."""

import json
import time

import pytest
from support import SUBSCRIPTION, Bridge, Http, Modern, envelope, eventually, text

NS = "io.modelcontextprotocol/"
CACHEABLE = {
    "tools/list": {}, "prompts/list": {}, "resources/list": {}, "resources/templates/list": {}, "resources/read": {"uri": "test://one"},
}  # fmt: skip


@pytest.fixture
def bridge(around) -> Bridge:
    return around("echo", "--instructions", "be kind")


@pytest.fixture
def client(bridge, connect) -> Modern:
    return connect(Modern, bridge.url)


def received(client) -> list[dict]:
    return [json.loads(line) for line in json.loads(text(client.call("received")))]


def last_call(client, tool: str) -> dict:
    return [m for m in received(client) if m.get("params", {}).get("name") == tool][-1]


# Requests


def test_the_child_does_not_see_what_belongs_to_the_new_era(client):
    meta = {"traceparent": "00-1", "x-vendor/a": [1], "progressToken": "t", f"{NS}logLevel": "info"}
    client.request("tools/call", {"name": "echo", "arguments": {"message": "hi"}, "_meta": meta})
    params = last_call(client, "echo")["params"]

    assert not [name for name in params["_meta"] if name.startswith(NS)]
    assert params["_meta"].keys() == {"traceparent", "x-vendor/a", "progressToken"}
    assert params["arguments"] == {"message": "hi"}


def test_a_meta_that_is_there_twice_is_not_half_taken_off(client):
    """The child would take what is left for a token, and perhaps it is another client's."""
    client.call("echo", message="first")
    meta = json.dumps(envelope())[1:-1]
    body = '{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"echo","arguments":{"message":"x"},"%s":{"progressToken":7},"_meta":{%s}}}'
    for first in ("_meta", r"_m\u0065ta"):
        client.post(body % (first, meta), {"mcp-method": "tools/call", "mcp-name": "echo", "mcp-protocol-version": "2026-07-28"})

        assert "_meta" not in last_call(client, "echo")["params"]


def test_an_empty_meta_is_left_out(client):
    client.call("add", a=1, b=2)

    assert last_call(client, "add")["params"].keys() == {"name", "arguments"}


def test_arguments_pass_byte_for_byte(client):
    """Edge case 33."""
    arguments = '{"message":"\\u0061\\/","z":1e400,"n":123456789012345678901234567890}'
    meta = json.dumps({f"{NS}protocolVersion": "2026-07-28", f"{NS}clientCapabilities": {}})
    body = f'{{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{{"_meta":{meta},"name":"echo","arguments":{arguments}}}}}'
    client.post(body, {"mcp-method": "tools/call", "mcp-name": "echo", "mcp-protocol-version": "2026-07-28"})

    assert any(arguments in line for line in json.loads(text(client.call("received"))))


def test_clients_that_can_be_asked_nothing_share_the_child_with_sessions(bridge, connect):
    clients = [connect(Modern, bridge.url), connect(Modern, bridge.url), connect(Http, bridge.url, listen=False)]

    assert len({text(client.call("pid")) for client in clients}) == 1


# Results


def test_a_result_says_that_it_is_one_and_whose(client):
    result = client.call("echo", message="hi")["result"]

    assert result["resultType"] == "complete"
    assert result["_meta"][f"{NS}serverInfo"] == {"name": "echo", "version": "1"}
    assert "ttlMs" not in result


RESULT = '{"content":[{"type":"x-new","n":1e400}],"z":1e2,"a":123456789012345678901234567890,"b":{"z":1,"a":[1.0,-0.0]},"s":"\\u0061\\/"'


@pytest.mark.parametrize("end", ["}", ',"_meta":{"x-vendor/kept":1e400}}', ',"_meta":{}}'])
def test_its_payload_is_the_childs_byte_for_byte(client, end):
    response = client.send("tools/call", {"name": "raw", "arguments": {"result": RESULT + end}})

    for part in RESULT[1:].split(',"')[1:]:
        assert part in response.text
    assert '"content":[{"type":"x-new","n":1e400}]' in response.text
    assert "x-vendor" not in end or '"x-vendor/kept":1e400' in response.text
    assert response.text.count('"_meta"') == 1


def test_a_result_that_has_a_type_already_keeps_it(client):
    """Or not, but never two of them."""
    response = client.send("tools/call", {"name": "raw", "arguments": {"result": '{"content":[],"resultType":"x-own"}'}})

    assert response.text.count('"resultType"') == 1


@pytest.mark.parametrize("method", CACHEABLE)
def test_lists_and_what_is_read_say_how_long_they_hold(client, method):
    result = client.request(method, CACHEABLE[method])["result"]

    assert result["ttlMs"] >= 0
    assert result["cacheScope"] in ("public", "private")
    assert result["resultType"] == "complete"


def test_all_pages_have_the_same_scope(around, connect):
    client, scopes, cursor = connect(Modern, around("echo", "--pages", 3).url), set(), {}
    for _ in range(3):
        page = client.request("tools/list", cursor)["result"]
        scopes.add(page["cacheScope"])
        cursor = {"cursor": page.get("nextCursor")}

    assert cursor == {"cursor": None}
    assert len(scopes) == 1


def test_facts_come_in_the_words_of_server_discover(client):
    found = client.initialized

    assert found["supportedVersions"] == ["2026-07-28"]
    assert found["capabilities"]["experimental"] == {"x-vendor": {"kept": [1, 100]}}
    assert found["instructions"] == "be kind"
    assert "protocolVersion" not in found and "serverInfo" not in found


def test_tasks_of_the_old_kind_are_not_offered(around, connect):
    found = connect(Modern, around("tasks").url).initialized

    assert "tasks" not in found["capabilities"]


# Errors


def test_a_listen_for_too_many_resources_says_which_ones_it_honours(client):
    stream = client.listen_to(resourceSubscriptions=[f"test://{number}" for number in range(1003)])
    honoured = stream.next_message()["params"]["notifications"]["resourceSubscriptions"]
    stream.close()

    assert len(honoured) == 1000


def test_a_missing_resource_has_the_new_code(client):
    response = client.send("resources/read", {"uri": "test://nowhere"})

    assert response.status_code == 400
    assert response.json()["error"]["code"] == -32602
    assert response.json()["error"]["data"]["uri"] == "test://nowhere"


@pytest.mark.parametrize("code", [-32020, -32021, -32022, -32042, -32050, -32099])
def test_codes_that_the_revision_keeps_for_itself_do_not_come_from_an_old_child(client, code):
    """-32042 without its data is no request for a login."""
    response = client.send("tools/call", {"name": "error", "arguments": {"code": code, "message": "it broke"}})

    assert response.json()["error"]["code"] == -32603
    assert response.status_code == 200
    assert response.json()["error"]["message"] == "it broke"


@pytest.mark.parametrize(
    "kind", ["result_null", "result_string", "result_list", "error_no_code", "error_string", "error_null", "error_huge_code", "meta_list"]
)
def test_odd_answers_become_valid_ones(around, connect, kind):
    response = connect(Modern, around("bad_results").url).send("tools/call", {"name": "bad", "arguments": {"kind": kind}})
    body = response.json()

    assert ("result" in body) != ("error" in body), body
    assert type(body["error"]["code"]) is int if "error" in body else body["result"]["resultType"] == "complete"


# Notifications


def test_progress_comes_with_its_own_token(bridge, connect):
    one, other = connect(Modern, bridge.url), connect(Modern, bridge.url)
    calls = [
        (c, c.begin("tools/call", {"name": "progress", "arguments": {"steps": n}, "_meta": {"progressToken": "same"}}))
        for c, n in ((one, 3), (other, 2))
    ]
    for _, future in calls:
        future.result(20)

    assert [[m["params"]["progressToken"] for m in c.messages(0.05)] for c, _ in calls] == [["same"] * 3, ["same"] * 2]


def test_a_log_comes_only_to_who_asked_for_it(start, connect):
    bridge = start("echo")
    quiet, chatty = connect(Modern, bridge.url), connect(Modern, bridge.url, meta={f"{NS}logLevel": "warning"})
    quiet.call("log", level="error")
    chatty.call("log", level="info")
    chatty.call("log", level="error", count=2)

    assert quiet.messages(0.05) == []
    assert [m["params"]["level"] for m in chatty.messages(0)] == ["error"] * 2


def test_a_session_keeps_its_level_beside_a_request_with_another(start, connect):
    """Edge case 47, across the eras."""
    bridge = start("echo")
    old, new = connect(Http, bridge.url), connect(Modern, bridge.url, meta={f"{NS}logLevel": "debug"})
    old.request("logging/setLevel", {"level": "error"})
    new.call("log", level="debug")
    old.call("log", level="info")
    old.call("log", level="error")

    assert [m["params"]["level"] for m in old.messages(0.1)] == ["error"]
    assert [m["params"]["level"] for m in new.messages(0)] == ["debug"]


def test_a_bad_level_is_refused(client):
    assert client.send("tools/list", meta={f"{NS}logLevel": "loud"}).status_code == 400


def test_a_client_that_leaves_cancels_its_call(client):
    """Edge case 24."""
    stream = client.stream("tools/call", {"name": "slow", "arguments": {"seconds": 60}})
    call = eventually(lambda: last_call(client, "slow"))
    stream.close()
    left = time.monotonic()

    eventually(
        lambda: (
            {"requestId": call["id"]}.items()
            <= [m for m in received(client) if m.get("method") == "notifications/cancelled"][-1]["params"].items()
        )
    )
    assert time.monotonic() - left < 10


def test_a_late_answer_of_a_cancelled_call_is_nobodys(around, connect, under_way):
    """Edge case 22."""
    client = connect(Modern, around("late").url)
    stream = client.stream("tools/call", {"name": "late", "arguments": {"seconds": 0.05}}, id="same")
    under_way(around("late"), 1)
    stream.close()
    again = client.send("tools/call", {"name": "echo", "arguments": {"message": "mine"}}, id="same")

    assert text(again.json()) == "mine"


# Subscriptions, which are the bridge's here


@pytest.mark.parametrize("id", ["abc", 0, 17])
def test_a_listen_is_acknowledged_first_and_all_of_it_is_tagged_with_its_id(bridge, connect, id):
    """Edge case 48."""
    client = connect(Modern, bridge.url)
    with client.listen_to(id, toolsListChanged=True, resourceSubscriptions=["test://one"]) as stream:
        first = stream.next_message()
        client.call("touch", uri="test://two")
        client.call("change")
        client.call("touch", uri="test://one")
        news = [stream.next_message(), stream.next_message()]

    assert first["method"] == "notifications/subscriptions/acknowledged"
    assert first["params"]["notifications"] == {"toolsListChanged": True, "resourceSubscriptions": ["test://one"]}
    assert {m["method"] for m in news} == {"notifications/tools/list_changed", "notifications/resources/updated"}
    assert {json.dumps(m["params"]["_meta"][SUBSCRIPTION]) for m in (first, *news)} == {json.dumps(id)}
    assert [m["params"]["uri"] for m in news if "uri" in m["params"]] == ["test://one"]


def test_nothing_comes_that_was_not_asked_for(around, connect):
    """Edge case 48."""
    client = connect(Modern, around("notify").url)
    with client.listen_to(promptsListChanged=True) as stream:
        stream.next_message()
        for tool in ("tools_changed", "resources_changed", "vendor", "prompts_changed"):
            client.call(tool)

        assert stream.next_message()["method"] == "notifications/prompts/list_changed"


def test_a_server_without_prompts_does_not_promise_to_tell_of_them(around, connect):
    """Edge case 49."""
    client = connect(Modern, around("echo", "--no", "prompts", "--no", "resources").url)
    with client.listen_to(toolsListChanged=True, promptsListChanged=True, resourceSubscriptions=["test://one"]) as stream:
        assert stream.next_message()["params"]["notifications"] == {"toolsListChanged": True}


def test_the_child_is_subscribed_as_long_as_anybody_listens(start, connect):
    """Edge case 46, across the eras: one listens, another too, a session subscribes."""
    bridge = start("echo")
    client, old = connect(Modern, bridge.url), connect(Http, bridge.url)
    one, two = (client.listen_to(id, resourceSubscriptions=["test://one"]) for id in ("one", "two"))
    for stream in (one, two):
        stream.next_message()
    old.request("resources/subscribe", {"uri": "test://one"})
    subscribed = [m["method"] for m in received(client)].count("resources/subscribe")
    one.close()
    client.call("touch", uri="test://one")
    heard = two.next_message()["method"], old.wait_for("notifications/resources/updated")["params"]
    two.close()
    old.request("resources/unsubscribe", {"uri": "test://one"})

    assert subscribed == 1
    assert heard == ("notifications/resources/updated", {"uri": "test://one"})
    eventually(lambda: json.loads(text(client.call("subscriptions"))) == [])


def test_a_listen_outlives_the_child(start, connect):
    """Edge case 50."""
    bridge = start("dies", options=("--backoff-initial", "0.05"))
    client = connect(Modern, bridge.url)
    with client.listen_to(resourceSubscriptions=["test://one"]) as stream:
        stream.next_message()
        assert client.call("die")["error"]["code"] == -32603
        eventually(lambda: json.loads(text(client.call("subscriptions"))) == ["test://one"])
        client.call("touch", uri="test://one")
        while (seen := stream.next_message())["method"] != "notifications/resources/updated":
            assert seen["method"].endswith("list_changed")


def test_an_odd_listen_is_refused_or_promises_nothing(client):
    for wishes in (None, [], 5, {"notifications": None}, {"notifications": []}, {"notifications": {"resourceSubscriptions": "x"}},
                   {"notifications": {"resourceSubscriptions": [5]}}, {"notifications": {"toolsListChanged": "yes"}}):  # fmt: skip
        with client.stream("subscriptions/listen", wishes if isinstance(wishes, dict) else {"notifications": wishes}) as stream:
            if stream.is_sse:
                assert stream.next_message()["method"].endswith("acknowledged")
            else:
                assert (stream.status, json.loads(stream.body)["error"]["code"]) == (400, -32602)


def test_a_shutdown_ends_listens_with_their_result(start, connect):
    """Edge case 67."""
    bridge = start("echo")
    stream = connect(Modern, bridge.url).listen_to("mine", toolsListChanged=True)
    stream.next_message()
    bridge.stop()
    last = stream.next_message()

    assert (last["id"], last["result"]["_meta"][SUBSCRIPTION]) == ("mine", "mine")


def test_a_quiet_listen_is_kept_open_by_comments(start, connect):
    """Edge case 66."""
    bridge = start("echo", options=("--keepalive", "0.1"))
    with connect(Modern, bridge.url).listen_to(toolsListChanged=True) as stream:
        stream.next_message()

        assert stream.next(comments=True).event == "comment"


# The kind profile


def test_litellms_profile_is_kind_to_new_clients_too(around, connect):
    """Each failure of a call is a result."""
    client = connect(Modern, around("echo", options=("--profile", "litellm")).url)
    answer = client.call("error", message="it broke")

    assert answer["result"]["isError"] is True
    assert answer["result"]["resultType"] == "complete"
    assert "it broke" in text(answer)
