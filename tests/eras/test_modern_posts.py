"""What a POST of 2026-07-28 must look like, whatever child is behind it: docs/protocol.md, 1.3."""

import json
import sys
import time

import httpx
import pytest
from raw import post_raw
from support import CHILDREN, Bridge, Http, Modern, envelope, spelled, text, zoo

NS = "io.modelcontextprotocol/"
CALL = {"name": "echo", "arguments": {"message": "refused, so it must not arrive"}}
HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION = -32020, -32021, -32022


@pytest.fixture(params=["modern", "echo"])
def bridge(request, around) -> Bridge:
    """Around a child of each era."""
    return around(request.param)


@pytest.fixture
def client(bridge, connect) -> Modern:
    return connect(Modern, bridge.url)


def verdict(response: httpx.Response) -> tuple[int, int]:
    """Its status and code; and it has to be a whole JSON-RPC error."""
    body = response.json()
    assert response.headers["content-type"].startswith("application/json"), response.text
    assert body["jsonrpc"] == "2.0" and body["error"]["message"], body
    return response.status_code, body["error"]["code"]


# The checks of headers and `_meta`, in order

HEADERS = {  # what is wrong with the headers: the headers
    "no version": {"mcp-protocol-version": None},
    "another version than the body": {"mcp-protocol-version": "2025-11-25"},
    "a version nobody knows": {"mcp-protocol-version": "2099-01-01"},
    "no method": {"mcp-method": None},
    "an empty method": {"mcp-method": ""},
    "another method": {"mcp-method": "tools/list"},
    "the method in capitals": {"mcp-method": "TOOLS/CALL"},
    "the method as base64, which is for names": {"mcp-method": "=?base64?dG9vbHMvY2FsbA==?="},
    "no name": {"mcp-name": None},
    "another name": {"mcp-name": "add"},
    "the name in capitals": {"mcp-name": "ECHO"},
    "a name that is no base64": {"mcp-name": "=?base64?%%%?="},
    "a name that is no UTF-8": {"mcp-name": "=?base64?/w==?="},
    "a name whose base64 is cut": {"mcp-name": "=?base64?ZWNobw=?="},
    "a name in another encoding": {"mcp-name": "=?quoted?echo?="},
    "a marker in capitals": {"mcp-name": "=?BASE64?ZWNobw==?="},
    "a marker without an end": {"mcp-name": "=?base64?ZWNobw=="},
}


@pytest.mark.parametrize("wrong", HEADERS)
def test_headers_that_do_not_say_what_the_body_says_are_refused(client, wrong):
    """Edge case 5: the case of values matters. Edge case 4: base64 that is none."""
    response = client.send("tools/call", CALL, id="mine", headers=HEADERS[wrong])

    assert verdict(response) == (400, HEADER_MISMATCH)
    assert response.json()["id"] == "mine"


def test_a_header_that_was_right_or_not_looked_at_before_is_held_against_each_call_anew(client):
    """The bridge knows names again that it has compared once."""
    hello = {"name": "echo", "arguments": {"message": "hello"}}
    listed = client.send("tools/list", {"name": "echo"}, headers={"mcp-name": "add"})
    right = [client.send("tools/call", hello, headers={"mcp-name": name}) for name in ("echo", "=?base64?ZWNobw==?=", "echo")]
    wrong = [client.send("tools/call", CALL, headers={"mcp-name": name}) for name in ("add", "=?base64?YWRk?=", None)]

    assert [response.status_code for response in (listed, *right)] == [200] * 4
    assert [verdict(response) for response in wrong] == [(400, HEADER_MISMATCH)] * 3


METAS = {
    "no capabilities": {f"{NS}clientCapabilities": None},
    "no version": {f"{NS}protocolVersion": None},
    "a version that is a number": {f"{NS}protocolVersion": 20260728},
    "capabilities that are a list": {f"{NS}clientCapabilities": []},
    "capabilities that are a string": {f"{NS}clientCapabilities": "sampling"},
}


@pytest.mark.parametrize("wrong", METAS)
def test_an_envelope_that_lacks_something_is_refused(client, wrong):
    """Edge case 8."""
    headers = {"mcp-protocol-version": "2026-07-28"}
    response = client.send("tools/call", CALL, id=7, headers=headers, meta=METAS[wrong])

    assert verdict(response) == (400, HEADER_MISMATCH if wrong == "a version that is a number" else -32602)
    assert response.json()["id"] == 7


def test_an_envelope_needs_no_client_info(client):
    """Edge case 8."""
    assert client.send("tools/list", meta={f"{NS}clientInfo": None}).status_code == 200


def test_a_version_that_nobody_knows_is_told_which_there_are(client):
    """Edge case 9."""
    response = client.send("tools/call", CALL, headers={"mcp-protocol-version": "2099-01-01"}, meta={f"{NS}protocolVersion": "2099-01-01"})

    assert verdict(response) == (400, UNSUPPORTED_VERSION)
    assert response.json()["error"]["data"]["requested"] == "2099-01-01"
    assert "2026-07-28" in response.json()["error"]["data"]["supported"]


@pytest.mark.parametrize("name", ["Mcp-Method", "Mcp-Name", "MCP-Protocol-Version"])
def test_a_header_that_comes_twice_is_refused_though_both_say_the_same(bridge, name):
    """Edge case 6."""
    status, body = post_raw(bridge.url, "tools/call", CALL, twice=name)

    assert status == 400
    assert body["error"]["code"] == HEADER_MISMATCH


@pytest.mark.parametrize("id", [None, 1.5, True, [1], {}])
def test_an_id_that_is_no_string_or_integer_is_refused(client, id):
    """Edge case 18."""
    assert verdict(client.send("tools/call", CALL, id=id)) == (400, -32600)


@pytest.mark.parametrize("id", [0, -1, 1, "1", "", "ä\u2028", 2**53 + 1, "x" * 300])
def test_any_valid_id_comes_back_as_it_went(client, id):
    """Edge case 19."""
    answer = client.send("tools/call", CALL | {"arguments": {"message": "hi"}}, id=id).json()

    assert (answer["id"], type(answer["id"])) == (id, type(id))


def test_headers_may_be_written_as_http_allows(bridge):
    """Edge case 5: white space around a value, names in any case."""
    for spelling in ({"mcp-method": "mcp-METHOD"}, {"mcp-name": "MCP-Name"}):
        status, body = post_raw(bridge.url, "tools/call", {"name": "echo", "arguments": {"message": "x"}}, spelling=spelling, pad="  \t")

        assert (status, text(body)) == (200, "x")


def test_a_name_may_be_sent_as_base64(bridge, client):
    """Edge case 4."""
    for name, code in (("echo", None), ("gr\u00fc\u00df dich", -32602), (" padded ", -32602), ("=?base64?eA==?=", -32602)):
        header = {"mcp-name": "=?base64?ZWNobw==?="} if name == "echo" else {"mcp-name": spelled(name)}
        response = client.send("tools/call", {"name": name, "arguments": {"message": "x"}}, headers=header)

        assert response.json().get("error", {}).get("code") == code, response.text


def test_resources_and_prompts_have_names_too(client):
    assert client.send("resources/read", {"uri": "test://one"}).status_code == 200
    assert verdict(client.send("resources/read", {"uri": "test://one"}, headers={"mcp-name": "test://two"})) == (400, HEADER_MISMATCH)
    assert client.send("prompts/get", {"name": "greet"}).status_code == 200
    assert verdict(client.send("prompts/get", {"name": "greet"}, headers={"mcp-name": None})) == (400, HEADER_MISMATCH)


def test_a_method_without_a_name_needs_no_header_for_one(client):
    assert client.send("tools/list").status_code == 200
    assert client.send("server/discover").status_code == 200


@pytest.mark.parametrize(
    ("params", "code"),
    [({"arguments": {}}, -32602), ({"name": 5}, HEADER_MISMATCH), ({"name": None}, -32602), ({"name": ["echo"]}, HEADER_MISMATCH)],
)
def test_a_call_of_no_name_is_an_error_and_no_riddle(client, params, code):
    assert verdict(client.send("tools/call", params)) == (400, code)


def test_none_of_what_was_refused_reached_the_child(client):
    seen = json.loads(text(client.call("received")))

    assert not [line for line in seen if "must not arrive" in line]


# Bodies


@pytest.mark.parametrize("body, code", [
    (b"", -32700), (b"{", -32700), (b"\xff", -32700), (b"nul", -32700), (b"[]", -32600), (b"[1]", -32600), (b"5", -32600), (b'"x"', -32600),
    (b'{"jsonrpc":"2.0","id":1}', -32600), (b'{"jsonrpc":"1.0","id":1,"method":"tools/list"}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"result":{}}', -32600), (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":5}', -32600),
])  # fmt: skip
def test_a_body_that_is_no_request_is_refused(client, body, code):
    response = client.post(body, {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"})
    status, told = verdict(response)

    assert status == 400
    assert told in (code, -32602 if b"params" in body else code)


def test_an_array_with_an_envelope_in_it_is_refused(client):
    part = client.enveloped({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    for headers in ({"mcp-protocol-version": "2026-07-28"}, {"mcp-protocol-version": "2025-03-26"}, {}):
        assert verdict(client.post([part], headers)) == (400, -32600)


def test_a_request_without_an_envelope_whose_header_names_the_revision_is_refused(client):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}

    assert verdict(client.post(body, {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"})) == (400, -32602)


def test_a_notification_is_accepted_and_has_no_answer(client):
    for method in ("notifications/cancelled", "notifications/initialized", "notifications/x-vendor", "notifications/roots/list_changed"):
        body = {"jsonrpc": "2.0", "method": method, "params": {"requestId": 1}}
        response = client.post(body, {"mcp-protocol-version": "2026-07-28", "mcp-method": method})

        assert (response.status_code, response.content) == (202, b"")


def test_an_answer_is_refused(client):
    body = {"jsonrpc": "2.0", "id": 0, "result": {}}

    assert verdict(client.post(body, {"mcp-protocol-version": "2026-07-28"})) == (400, -32600)


@pytest.mark.parametrize(
    "accept, status", [("text/plain", 406), ("*/*", 200), ("application/json", 200), ("text/event-stream", 200), ("TEXT/*;q=0.1", 200)]
)
def test_what_a_client_takes_is_heeded(client, accept, status):
    response = client.send("tools/call", {"name": "echo", "arguments": {"message": "hi"}}, headers={"accept": accept})

    assert response.status_code == status
    assert ("hi" in response.text) == (status == 200)


def test_listening_needs_a_client_that_takes_events(client):
    """Its response is a stream, so there is nothing else to send."""
    stream = client.stream("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, headers={"accept": "application/json"})

    assert stream.wait_for_status(3) == 406
    stream.close()


def test_a_content_type_that_is_not_json_is_refused(client):
    """Edge case 63."""
    assert client.send("tools/list", headers={"content-type": "application/json; charset=utf-8"}).status_code == 200
    assert client.send("tools/list", headers={"content-type": "text/plain"}).status_code == 415


# What there is no more


@pytest.mark.parametrize(
    "method", ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "tasks/list", "tasks/result"]
)
def test_what_the_revision_removed_is_not_found_whatever_the_child_has(client, method):
    """Edge cases 2 and 11: also `initialize`, once it has a valid envelope."""
    response = client.send(method, {"uri": "test://one", "level": "info"}, id="gone")

    assert verdict(response) == (404, -32601)
    assert response.json()["id"] == "gone"
    assert "mcp-session-id" not in response.headers


def test_an_unknown_method_is_not_found(client):
    """Edge case 10."""
    assert verdict(client.send("no/such")) == (404, -32601)


def test_no_session_is_ever_minted_and_none_is_wanted(client):
    for headers in ({}, {"mcp-session-id": "made up", "last-event-id": "1-2"}):
        response = client.send("tools/list", headers=headers)

        assert response.status_code == 200
        assert "mcp-session-id" not in response.headers


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_there_is_no_stream_and_nothing_to_delete(bridge, method):
    """Edge case 12."""
    headers = {"accept": "text/event-stream", "mcp-protocol-version": "2026-07-28"}
    response = httpx.request(method, f"{bridge.url}/mcp", headers=headers, trust_env=False, timeout=3)

    assert response.status_code == 405
    assert response.headers["allow"] == "POST"


# Errors of the child


@pytest.mark.parametrize("code, status", [(-32602, 400), (-32600, 400), (-32603, 200), (-32000, 200), (5, 200)])
def test_an_error_of_the_child_has_its_status(client, code, status):
    """Edge case 10."""
    response = client.send("tools/call", {"name": "error", "arguments": {"code": code, "message": "it broke"}})

    assert verdict(response) == (status, code)
    assert response.json()["error"]["message"] == "it broke"
    assert response.json()["error"]["data"] == {"kept": True}


def test_a_method_that_is_not_found_is_404_from_a_child_of_either_era(around, connect):
    """Edge case 10."""
    call = {"name": "error", "arguments": {"code": -32601, "message": "it broke"}}

    assert verdict(connect(Modern, around("modern").url).send("tools/call", call)) == (404, -32601)
    assert verdict(connect(Modern, around("echo").url).send("tools/call", call)) == (404, -32601)
    assert verdict(connect(Modern, around("echo").url).send("prompts/unheard-of")) == (404, -32601)


def test_the_same_error_in_a_session_has_status_200(bridge, connect):
    """Edge case 10."""
    client = connect(Http, bridge.url, listen=False)

    assert client.call("error", code=-32601)["error"]["code"] == -32601  # any other status raises


# Headers that repeat an argument

PARAMS = {
    "as it is": ({"region": "eu"}, {"region": "eu"}, None),
    "as base64": ({"region": "\u00fc"}, {"region": "=?base64?w7w=?="}, None),
    "another value": ({"region": "eu"}, {"region": "us"}, HEADER_MISMATCH),
    "another case": ({"region": "eu"}, {"region": "EU"}, HEADER_MISMATCH),
    "no base64": ({"region": "eu"}, {"region": "=?base64?!!?="}, HEADER_MISMATCH),
    "missing": ({"region": "eu"}, {}, HEADER_MISMATCH),
    "without an argument": ({}, {"region": "eu"}, HEADER_MISMATCH),
    "with a null": ({"region": None}, {"region": "eu"}, HEADER_MISMATCH),
    "a null alone": ({"region": None}, {}, None),
    "an empty string": ({"region": ""}, {"region": ""}, None),
    "an integer": ({"count": 42}, {"count": "42"}, None),
    "an integer as a float": ({"count": 42}, {"count": "42.0"}, None),
    "another integer": ({"count": 42}, {"count": "43"}, HEADER_MISMATCH),
    "an integer as words": ({"count": 42}, {"count": "forty-two"}, HEADER_MISMATCH),
    "a large integer": ({"count": 2**53 - 1}, {"count": str(2**53 - 1)}, None),
    "a boolean": ({"flag": True}, {"flag": "true"}, None),
    "the other boolean": ({"flag": True}, {"flag": "false"}, HEADER_MISMATCH),
    "a nested argument": ({"inner": {"zone": "b"}}, {"zone": "b"}, None),
    "a nested argument's missing": ({"inner": {"zone": "b"}}, {}, HEADER_MISMATCH),
    "a nested argument's other": ({"inner": {"zone": "b"}}, {"zone": "a"}, HEADER_MISMATCH),
    "one that nobody asked for": ({"region": "eu"}, {"region": "eu", "other": "x"}, None),
}


@pytest.mark.parametrize("case", PARAMS)
def test_an_argument_that_is_repeated_in_a_header_is_the_same_there(around, connect, case):
    """Edge case 7."""
    arguments, headers, code = PARAMS[case]
    client = connect(Modern, around("modern").url)
    response = client.send(
        "tools/call", {"name": "headers", "arguments": arguments}, headers={f"mcp-param-{n}": v for n, v in headers.items()}
    )

    assert response.json().get("error", {}).get("code") == code, response.text
    assert response.status_code == (400 if code else 200)


@pytest.mark.parametrize("name, arguments", [(r'"h\u0065aders"', '{"region":"us"}'), ('"headers"', '{"region":"us","z":1e400}')])
def test_no_spelling_gets_an_argument_past_its_header(around, connect, name, arguments):
    """The second time, too: the short way remembers names that were right."""
    client = connect(Modern, around("modern").url)

    def post(region: str, tool: str = "headers") -> tuple[int, int | None]:
        body = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":{name},"arguments":{arguments},"_meta":{json.dumps(envelope())}}}}}'
        response = client.post(
            body, {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": tool, "mcp-param-region": region}
        )
        return response.status_code, response.json().get("error", {}).get("code")

    for _ in range(2):
        assert post("us") == (200, None)
        assert post("eu") == (400, HEADER_MISMATCH)
        assert post("us", tool="echo") == (400, HEADER_MISMATCH)


def test_the_very_first_call_is_held_against_the_tools_too():
    """Nothing is known of them before the child was asked."""
    with Bridge(zoo("modern")) as bridge, Modern(bridge.url) as client:
        response = client.send("tools/call", {"name": "headers", "arguments": {"region": "eu"}})

        assert verdict(response) == (400, HEADER_MISMATCH)


NO_LIST = f"""import sys
sys.path.insert(0, {str(CHILDREN)!r})
from base import Refusal
from modern import child, start
def list_tools(params):
    raise Refusal(-32603, "upstream is down")
child.methods["tools/list"] = list_tools
start()
"""


def test_calls_of_a_server_that_cannot_list_its_tools_do_not_wait_and_are_warned_of_once(tmp_path):
    """Each of them took two seconds, and a line of the log."""
    file = tmp_path / "no_list.py"
    file.write_text(NO_LIST)
    with Bridge([sys.executable, str(file)], "--child-era", "modern") as bridge, Modern(bridge.url) as client:
        client.call("echo", message="it has been asked for its list by now")
        begun = time.monotonic()
        for _ in range(3):
            assert text(client.call("echo", message="quick")) == "quick"

        assert time.monotonic() - begun < 1.5
        assert len(bridge.logged("did not list its tools")) == 1


def test_sessions_owe_no_headers(around, connect, transport):
    client = connect(transport, around("modern").url)

    assert json.loads(text(client.call("headers", region="eu", count=1))) == {"region": "eu", "count": 1}
