"""In which words a message crosses from one era to the other."""

import json

import pytest
from world import Outbox, World

from bridge.protocol import envelope, mirrored_headers, spelling
from bridge.protocol.eras.caller import Caller

SERVER = {"io.modelcontextprotocol/serverInfo": {"name": "s"}}
HINTS = {"ttlMs": 0, "cacheScope": "private"}
CALLER = Caller("test")


# -- modern client, legacy child --------------------------------------------------------------------------------------------


def test_the_child_sees_nothing_of_the_era():
    world = World()
    world.call(
        CALLER,
        params={"name": "x", "inputResponses": {}, "requestState": "s"},
        meta={"io.modelcontextprotocol/logLevel": "info", "io.modelcontextprotocol/clientInfo": {"name": "c"}},
    )
    (*_, line) = world.sent()

    assert line["params"] == {"name": "x"}


def test_what_else_is_in_meta_stays():
    world = World()
    world.call(CALLER, params={"name": "x"}, meta={"traceparent": "00-1", "x/y": [1e2], "progressToken": "t"})
    (line,) = world.sent()

    assert line["params"]["_meta"] == {"traceparent": "00-1", "x/y": [100.0], "progressToken": line["id"]}


def test_the_short_way_says_the_same_as_the_long_one():
    world = World()
    for _ in range(3):
        world.call(CALLER, params={"name": "x", "arguments": {"_meta": {"a": 1}}})

    assert [line["params"] for line in world.sent()] == [{"name": "x", "arguments": {"_meta": {"a": 1}}}] * 3


@pytest.mark.parametrize(
    "method, result, told",
    [
        ("tools/call", {"content": []}, {"resultType": "complete", "_meta": SERVER, "content": []}),
        ("tools/call", {}, {"resultType": "complete", "_meta": SERVER}),
        ("tools/list", {"tools": []}, {"resultType": "complete", "_meta": SERVER, **HINTS, "tools": []}),
        ("resources/read", {"_meta": {"a": 1}}, {"resultType": "complete", "_meta": {**SERVER, "a": 1}, **HINTS}),
        ("tools/call", {"resultType": "odd", "x": [{"_meta": 1}]}, {"resultType": "complete", "_meta": SERVER, "x": [{"_meta": 1}]}),
    ],
)
def test_a_result_is_stamped(method, result, told):
    world = World()
    outbox = world.call(CALLER, method)
    world.answer(*world.sent(), result)

    assert outbox.answers == [{"jsonrpc": "2.0", "id": 1, "result": told}]


def test_the_payload_of_a_result_is_not_touched():
    """Edge case 33, as far as it crosses."""
    world = World()
    outbox = world.call(CALLER)
    (line,) = world.sent()
    world.hear(
        b'{"jsonrpc":"2.0","id":%d,"result":{"z":1e400, "content" : [1.50,"\\ud83d\\ude00"],"a":123456789012345678901234567890}}'
        % line["id"]
    )

    assert outbox.raw_answers[0].endswith(b',"z":1e400, "content" : [1.50,"\\ud83d\\ude00"],"a":123456789012345678901234567890}}')


@pytest.mark.parametrize(
    "method, error, told",
    [
        ("resources/read", {"code": -32002, "message": "m"}, {"code": -32602, "message": "m", "data": {"uri": "a:b"}}),
        ("resources/read", {"code": -32002, "message": "m", "data": 1}, {"code": -32602, "message": "m", "data": 1}),
        ("tools/call", {"code": -32021, "message": "m"}, {"code": -32603, "message": "m"}),
        ("tools/call", {"code": -32099, "message": "m"}, {"code": -32603, "message": "m"}),
        ("tools/call", {"code": -32000, "message": "m", "data": [1]}, {"code": -32000, "message": "m", "data": [1]}),
        ("tools/call", {"code": -32601, "message": "m"}, {"code": -32601, "message": "m"}),
        ("x/y", {"code": -32602, "message": "Invalid request parameters"}, {"code": -32601, "message": "Invalid request parameters"}),
        (
            "tools/call",
            {"code": -32602, "message": "Invalid request parameters"},
            {"code": -32602, "message": "Invalid request parameters"},
        ),
    ],
)
def test_codes_mean_the_same_on_both_sides(method, error, told):
    world = World()
    outbox = world.call(CALLER, method, {"uri": "a:b"})
    world.answer(*world.sent(), **error)

    assert (outbox.error, outbox.code) == (told, told["code"])


def test_a_url_that_must_be_opened_becomes_a_round():
    world = World()
    outbox = world.call(CALLER, meta={"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}}})
    world.answer(
        *world.sent(),
        code=-32042,
        message="m",
        data={"elicitations": [{"mode": "url", "url": "https://x.test", "message": "log in", "elicitationId": "e"}]},
    )

    assert outbox.answers[0]["result"]["inputRequests"] == {
        "url-1": {"method": "elicitation/create", "params": {"mode": "url", "message": "log in", "url": "https://x.test"}}
    }


def test_what_a_shared_child_asked_in_vain_is_named_when_the_call_fails():
    world = World()
    outbox = world.call(CALLER)
    (line,) = world.sent()
    world.hear({"id": 0, "method": "sampling/createMessage", "params": {}})
    world.sent()
    world.answer(line, code=-32603, message="m")

    assert (outbox.code, outbox.error["data"]) == (-32021, {"requiredCapabilities": {"sampling": {}}})


# -- legacy client, modern child --------------------------------------------------------------------------------------------


def modern_session(capabilities=b"{}"):
    world = World(era="modern")
    world.sent()
    session = world.session()
    session.capabilities, session.client = envelope.Raw(capabilities), envelope.Raw(b'{"name":"c"}')
    return world, session


def test_every_request_says_whose_it_is():
    world, session = modern_session(b'{"elicitation":{},"roots":{"listChanged":true},"tasks":{},"extensions":{},"x":{"y":1}}')
    world.request(session, "logging/setLevel", {"level": "error"}, id=7)
    _, line = world.ask_child(session, params={"name": "x", "_meta": {"progressToken": 5, "a/b": 1}})

    assert line["params"]["_meta"] == {
        "progressToken": line["id"],
        "a/b": 1,
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}, "x": {"y": 1}},
        "io.modelcontextprotocol/clientInfo": {"name": "c"},
        "io.modelcontextprotocol/logLevel": "error",
    }


@pytest.mark.parametrize(
    "method, result, told",
    [
        ("tools/call", {"resultType": "complete", "content": [], "_meta": SERVER}, {"content": []}),
        ("tools/call", {"content": [], "structuredContent": [1]}, {"content": []}),
        ("tools/call", {"content": [], "structuredContent": {"a": 1}}, {"content": [], "structuredContent": {"a": 1}}),
        ("resources/read", {"contents": [], **HINTS, "_meta": {**SERVER, "a": 1}}, {"contents": [], "_meta": {"a": 1}}),
        (
            "tools/list",
            {"tools": [{"name": "a", "outputSchema": {"type": "array"}}, {"name": "b", "outputSchema": {"type": "object"}}]},
            {"tools": [{"name": "a"}, {"name": "b", "outputSchema": {"type": "object"}}]},
        ),
    ],
)
def test_a_result_loses_what_older_clients_refuse(method, result, told):
    """Edge case 59."""
    world, session = modern_session()
    outbox, line = world.ask_child(session, method)
    world.answer(line, result)

    assert outbox.answers[0]["result"] == told


def test_a_server_that_asks_by_itself_gets_an_answer():
    world, _ = modern_session()
    world.hear({"id": 3, "method": "roots/list"})
    world.hear({"id": 4, "method": "ping"})

    assert [(line["id"], "error" in line) for line in world.sent()] == [(3, True), (4, False)]


def test_log_messages_are_for_the_only_request_that_wants_them():
    world = World(era="modern")
    world.sent()
    quiet, loud = world.call(CALLER, id=1), world.call(CALLER, id=2, level="info")
    world.notice("message", level="error", data=1)
    world.notice("message", level="debug", data=2)
    second = world.call(CALLER, id=3, level="info")
    world.notice("message", level="error", data=3)

    assert [message["params"]["data"] for message in loud.messages] == [1]
    assert quiet.messages == second.messages == []


# -- headers ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, text",
    [
        (b"plain", "plain"),
        (b"=?base64?w6Q=?=", "ä"),
        (b"=?base64?!?=", None),
        (b"=?base64?w6R=?=", None),
        (b"=?base64?/w==?=", None),
        (b"=?BASE64?w6Q=?=", "=?BASE64?w6Q=?="),
        (b"", ""),
    ],
)
def test_a_headers_value_may_be_base64(value, text):
    assert mirrored_headers.decoded(value) == text


def schema(**properties):
    return json.dumps({"type": "object", "properties": properties}).encode()


@pytest.mark.parametrize(
    "properties, found",
    [
        ({"a": {"type": "string", "x-mcp-header": "A"}}, [(("a",), "A", "string")]),
        ({"a": {"type": "object", "properties": {"b": {"type": "integer", "x-mcp-header": "B"}}}}, [(("a", "b"), "B", "integer")]),
        ({"a": {"type": "number", "x-mcp-header": "A"}}, []),
        ({"a": {"type": "string", "x-mcp-header": "not a token"}}, []),
        ({"a": {"type": "string", "x-mcp-header": "A"}, "b": {"type": "string", "x-mcp-header": "a"}}, []),
        ({"a": {"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}}, []),
        ({"a": {"default": {"x-mcp-header": "A"}}}, []),
    ],
)
def test_annotations_are_found_where_they_may_stand(properties, found):
    assert list(mirrored_headers.annotations(schema(**properties))) == found


@pytest.mark.parametrize(
    "kind, arguments, header, is_right",
    [
        ("string", {"a": "x"}, b"x", True),
        ("string", {"a": "x"}, b" x ", True),
        ("string", {"a": "x"}, b"X", False),
        ("string", {"a": "x"}, None, False),
        ("string", {}, b"x", False),
        ("string", {"a": None}, b"x", False),
        ("string", {}, None, True),
        ("integer", {"a": 42}, b"42.0", True),
        ("integer", {"a": 42}, b"4.2e1", False),
        ("integer", {"a": 2**60}, str(2**60).encode(), True),
        ("boolean", {"a": True}, b"true", True),
        ("boolean", {"a": True}, b"True", False),
        ("string", {"a": "ä"}, b"=?base64?w6Q=?=", True),
        ("string", {"a": [1]}, b"x", False),
        ("string", {"a": [1]}, None, True),
    ],
)
def test_a_header_mirrors_its_argument(kind, arguments, header, is_right):
    """Edge case 7."""
    given = {} if header is None else {b"mcp-param-a": header}
    why = mirrored_headers.mismatch(((("a",), "A", kind),), envelope.Raw(json.dumps(arguments).encode()), given, frozenset())

    assert (why == "") is is_right


NINES = b"9" * 5000


@pytest.mark.parametrize(
    "arguments, given, is_right",
    [
        (b'{"a":"x","z":1e400}', b"x", True),
        (b'{"a":"x","z":1e400}', b"y", False),
        (b'{"z":1e400,"a":"x"}', None, False),
        (b'{"a":"x","z":%b}' % NINES, b"y", False),
        (b'{"z":1e400}', None, True),
        (b'{"z":1e400}', b"x", False),
        (b'{"a":1e400}', b"1e400", True),
        (b'{"a":1e400}', b"1", False),
        (b'{"a":1e400}', None, False),
        (b'{"a":[1e400]}', None, True),
        (b'{"a":%b}' % NINES, NINES, True),
        (b'{"a":%b}' % NINES, b"9", False),
        (b"", None, True),
        (b"", b"x", False),
        (b"[]", None, True),
        (b"null", b"x", False),
    ],
)
def test_an_argument_that_is_too_large_for_us_hides_none_from_the_check(arguments, given, is_right):
    """`1e400` is JSON, and a child may take it."""
    given = {} if given is None else {b"mcp-param-a": given}
    why = mirrored_headers.mismatch(((("a",), "A", "integer"),), envelope.Raw(arguments), given, frozenset())

    assert (why == "") is is_right


# -- both of one era ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["_meta", r"_m\u0065ta"])
def test_of_two_metas_the_child_gets_one(first):
    """A Go server puts them together, and takes the first one's progress token: perhaps that of another client."""
    world = World()
    session = world.session()
    body = (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"%b":{"progressToken":1},"name":"x","_meta":{"a":1.50}}}' % first.encode()
    )
    message = envelope.from_client(body)
    world.relay.request(session, message, spelling.params(message), Outbox(), world.now)

    assert b'"params":{"_meta":{"a":1.50},"name":"x"}' in world.lines[-1]
