"""Whatever a child answers, LiteLLM's client takes what the kind profile makes of it; the strict one changes nothing.

"Takes" is not our opinion: the models are those of the SDK (mcp_types, and pydantic's AnyUrl, which SDK 1.x uses).
"""

import ast
import json
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp_types import jsonrpc
from mcp_types.methods import parse_server_result
from msgspec import Raw
from pydantic import AnyUrl, TypeAdapter, UrlConstraints
from support import CHILDREN
from world import World

from bridge.protocol import envelope, litellm_results
from bridge.protocol.profile import LISTS, profile

REVISIONS = ("2024-11-05", "2025-06-18", "2025-11-25")
URL = TypeAdapter(Annotated[AnyUrl, UrlConstraints(host_required=False)])
MESSAGE = TypeAdapter(jsonrpc.JSONRPCMessage)


def kinds() -> dict[str, bytes]:
    """The answers of the zoo's `bad_results`, without starting it."""
    names = {}
    for node in ast.parse((CHILDREN / "bad_results.py").read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id in ("TEXT", "DEEP", "KINDS"):
            exec(compile(ast.Module([node], []), "bad_results", "exec"), names)
    return names["KINDS"]


def validate(method: str, answer: bytes) -> dict:
    """What an SDK client makes of an answer on the wire. Raises as it would."""
    result = MESSAGE.validate_json(answer).result
    for revision in REVISIONS:
        parse_server_result(method, revision, result)
    for block in result.get("content", ()):
        if block["type"] in ("resource", "resource_link"):
            URL.validate_python((block["resource"] if block["type"] == "resource" else block)["uri"])
    return result


def call(member: bytes, profile_name="litellm", method="tools/call", world=None, id=1) -> bytes:
    """The bytes that a client gets when its child answers with this member."""
    world = world or World(profile_name=profile_name)
    outbox, line = world.ask_child(world.session(), method, {"name": "x"}, id=id)
    world.hear(b'{"jsonrpc":"2.0","id":%d,%b}' % (line["id"], member))
    if not outbox.raw_answers:
        world.sweep(1000)
    (answer,) = outbox.raw_answers
    return answer


# -- strict ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "member", [b'"result":{"content":[null],"isError":"yes"}', b'"result":5', b'"error":"broke"', b'"error":{"code":99999999999999999999}']
)
def test_strict_says_what_the_child_said(member):
    assert call(member, "strict") == b'{"jsonrpc":"2.0","id":1,%b}' % member


def test_strict_failures_are_json_rpc_errors():
    strict = profile("strict")

    assert json.loads(strict.refusal(b'"x"', "tools/call", -32600, "no\n")) == {
        "jsonrpc": "2.0",
        "id": "x",
        "error": {"code": -32600, "message": "no\n"},
    }


# -- kind: tool calls -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", kinds())
def test_each_bad_result_of_the_zoo_becomes_a_valid_one(name):
    """An invalid one wedges LiteLLM 1.77.3."""
    validate("tools/call", call(kinds()[name]))


@pytest.mark.parametrize("name", ["structured_missing", "content_empty", "unknown_member", "huge_number", "carriage_return"])
def test_what_is_fine_passes_byte_for_byte(name):
    member = kinds()[name]

    assert call(member) == b'{"jsonrpc":"2.0","id":1,"result":%b}' % bytes(
        envelope.from_child(b'{"jsonrpc":"2.0","id":1,%b}' % member).result
    )


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (b'"error":{"code":-32000,"message":"broke down"}', "broke down"),
        (b'"error":{"code":-32000}', "-32000"),
        (b'"error":"broke"', "broke"),
        (b'"error":null', "null"),
        (b'"result":{}', "without content"),
        (b'"result":null', "without content"),
        (b'"result":{"content":[],"x":' + b"[" * 150 + b"]" * 150 + b"}", "nested deeper"),
        (b'"result":' + b"[" * 3000 + b"]" * 3000, "not a JSON-RPC message"),
        (b'"result":{"content":[],"x":NaN}', "not a JSON-RPC message"),
    ],
)
def test_a_failure_says_what_happened(member, words):
    result = validate("tools/call", call(member))

    assert result["isError"] is True
    assert words in result["content"][0]["text"]


def test_a_very_long_wrong_answer_is_shortened():
    assert len(call(b'"result":"%b"' % (b"x" * 10**6))) < 10_000


def test_a_block_that_the_client_would_refuse_becomes_its_own_text():
    answer = call(b'"result":{"content":[{"type":"text","text":"fine"},{"type":"hologram" ,"n":1e400}],"more":[1e2]}')

    assert (
        answer
        == b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"fine"},{"type":"text","text":"{\\"type\\":\\"hologram\\" ,\\"n\\":1e400}"}],"more":[1e2]}}'
    )


odd = st.one_of(
    st.sampled_from([None, True, 0, -1, 0.5, 2.5, 1e300, 10**30, "", "x", "user", "object", "required", "complete", "2026-01-01"]),
    st.sampled_from(
        [
            "test://one",
            "not a uri",
            "http://",
            "http://a",
            "HTTP://",
            "http://a:99999",
            "http://[",
            "foo://[",
            "file:///a",
            "file://[",
            "data:,",
            "http://a b",
            "mailto:a",
            "http://%zz",
            "http://a<b",
            "http:a",
            "ws://[::1]/x",
            "http://u@h:8/",
            "urn:x:y",
            "http://1.2.3.999",
            "http://xn--",
            "foo://a:99999/",
            "http:///x",
        ]
    ),
    st.sampled_from(
        [
            [],
            {},
            [1],
            ["user"],
            ["x"],
            [None],
            {"a": 1},
            {"src": "x"},
            [{"src": "x"}],
            [{"src": 1}],
            {"taskSupport": "x"},
            {"type": "object"},
            {"a": {}},
        ]
    ),
)


def members(*names):
    return st.dictionaries(st.sampled_from(names), odd, max_size=3)


SHARED = ("annotations", "_meta", "type", "icons", "title", "mimeType", "text", "data", "uri", "size", "name", "description", "resource")
annotations = members("audience", "priority", "lastModified", "title", "readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
valid_blocks = st.sampled_from(
    [
        {"type": "text", "text": "t"},
        {"type": "image", "data": "eA==", "mimeType": "a/b"},
        {"type": "audio", "data": "eA==", "mimeType": "a/b"},
        {"type": "resource_link", "uri": "test://a", "name": "n"},
        {"type": "resource", "resource": {"uri": "test://a", "text": "t"}},
        {"type": "resource", "resource": {"uri": "test://a", "blob": "eA=="}},
    ]
)
blocks = odd | st.builds(
    lambda block, wrong, notes, inner: (
        block
        | wrong
        | ({"annotations": notes} if notes else {})
        | ({"resource": block["resource"] | inner} if "resource" in block and inner else {})
    ),
    valid_blocks,
    members(*SHARED),
    annotations,
    members("uri", "text", "blob", "mimeType", "_meta"),
)
results = st.builds(
    lambda content, wrong: {"content": content} | wrong,
    st.lists(blocks, max_size=2),
    members("structuredContent", "isError", "_meta", "resultType", "content", "ttlMs", "task"),
)
schemas = odd | members("type", "properties", "required", "$schema", "additionalProperties")
tools = odd | st.builds(
    lambda wrong, schema, notes, execution: {"name": "n", "inputSchema": schema, "annotations": notes, "execution": execution} | wrong,
    members("name", "title", "description", "inputSchema", "outputSchema", "icons", "_meta", "execution", "annotations"),
    schemas,
    annotations,
    members("taskSupport"),
)
lists = st.builds(
    lambda tools, wrong: {"tools": tools} | wrong,
    st.lists(tools, max_size=2),
    members("nextCursor", "_meta", "ttlMs", "cacheScope", "resultType", "tools"),
)


@settings(max_examples=200, deadline=None)
@given(results)
def test_whatever_the_result_the_client_takes_it(result):
    validate("tools/call", envelope.result(b"1", litellm_results.call_result(Raw(json.dumps(result).encode()))))


@settings(max_examples=200, deadline=None)
@given(lists)
def test_whatever_the_tool_list_the_client_takes_it(listed):
    tools = (litellm_results.tool_list(Raw(json.dumps(listed).encode())) or (None,))[0]

    assert tools is None or validate("tools/list", envelope.result(b"1", tools))


@given(valid_blocks)
def test_a_valid_block_is_never_touched(block):
    raw = json.dumps({"content": [block]}).encode()

    assert bytes(litellm_results.call_result(Raw(raw))) == raw


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.com/a?b#c",
        "http://localhost:8080",
        "http://127.0.0.1/x",
        "file:///etc/x",
        "test://one",
        "data:text/plain,x",
        "urn:a:b",
        "C:\\x",
        "ui://app/index.html",
        "mailto:a@b.c",
    ],
)
def test_usual_uris_are_left_alone(uri):
    raw = json.dumps({"content": [{"type": "resource_link", "uri": uri, "name": "n"}]}).encode()

    assert bytes(litellm_results.call_result(Raw(raw))) == raw


# -- kind: lists --------------------------------------------------------------------------------------------------------------------


def tool_list(*tools, **more) -> bytes:
    return b'"result":' + json.dumps({"tools": tools} | more).encode()


def names(answer: bytes) -> list[str]:
    return [tool["name"] for tool in json.loads(answer)["result"]["tools"]]


GOOD = {"name": "good", "inputSchema": {"type": "object", "properties": {"a": {"type": "string"}}}, "description": "d"}


def test_what_breaks_later_is_not_advertised():
    """A result that does not fit its outputSchema wedges LiteLLM 1.77.3."""
    answer = json.loads(call(tool_list(GOOD | {"outputSchema": {"type": "object"}}), method="tools/list"))

    assert answer["result"] == {"tools": [GOOD]}


@pytest.mark.parametrize(
    ("schema", "becomes"),
    [
        ({"properties": {}}, {"type": "object", "properties": {}}),
        ({"type": ["object", "null"], "x": 1}, {"type": "object", "x": 1, "properties": {}}),
        ({"type": "object", "required": "a", "properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
        (None, {"type": "object", "properties": {}}),
        ([], {"type": "object", "properties": {}}),
        (True, {"type": "object", "properties": {}}),
    ],
)
def test_a_schema_without_type_does_not_cost_the_whole_list(schema, becomes):
    """SDK 2.3 refuses all tools because of one."""
    answer = call(tool_list(GOOD, {"name": "odd", "inputSchema": schema}), method="tools/list")
    validate("tools/list", answer)

    assert json.loads(answer)["result"]["tools"] == [GOOD, {"name": "odd", "inputSchema": becomes}]


@pytest.mark.parametrize(
    "odd", [None, 5, [], {}, {"inputSchema": {}}, {"name": 5}, {"name": "deep", "inputSchema": json.loads("[" * 150 + "]" * 150)}]
)
def test_what_is_no_tool_is_left_out(odd):
    assert names(call(tool_list(odd, GOOD), method="tools/list")) == ["good"]


def test_the_last_good_list_stands_in_for_a_failed_one():
    """A tool list never fails once it has worked; whatever ids the requests have."""
    world = World(profile_name="litellm")
    call(tool_list(GOOD), method="tools/list", world=world, id=1)

    for id, member in enumerate(
        [b'"error":{"code":-1,"message":"no"}', b'"result":{}', b'"result":null', b'"result":{"tools":"none"}', b'"result":NaN'], 10
    ):
        answer = call(member, method="tools/list", world=world, id=id)
        assert (json.loads(answer)["id"], names(answer)) == (id, ["good"])
    world.die()
    outbox = world.request(world.session(), "tools/list", id=99)
    world.die(for_good=True)
    assert names(outbox.raw_answers[0]) == ["good"]


def test_the_pages_of_a_list_are_kept_apart():
    """By cursor, not by the request's id: LiteLLM uses the same ids in every session."""
    world = World(profile_name="litellm")

    def page(params, member):
        outbox, line = world.ask_child(world.session(), "tools/list", params, id=1)
        world.hear(b'{"jsonrpc":"2.0","id":%d,%b}' % (line["id"], member))
        return outbox.raw_answers[0]

    page({}, tool_list({"name": "first"}))
    page({"cursor": "2"}, tool_list({"name": "second"}))
    broken = b'"error":{"code":-1,"message":"no"}'

    assert names(page({}, broken)) == ["first"]
    assert names(page(None, broken)) == ["first"]
    assert names(page({"cursor": "2"}, broken)) == ["second"]
    assert json.loads(page({"cursor": "3"}, broken))["error"]["message"] == "no"


def test_all_pages_come_as_one_because_litellm_asks_for_the_first_only():
    world = World(profile_name="litellm")
    outbox, line = world.ask_child(world.session(), "tools/list")
    world.answer(line, {"tools": [{"name": "first"}], "nextCursor": "2"})
    assert outbox.raw_answers == []
    (line,) = world.sent()
    assert line["params"] == {"cursor": "2"}
    world.answer(line, {"tools": [{"name": "second"}], "nextCursor": "3"})
    (line,) = world.sent()
    world.answer(line, {"tools": [{"name": "third"}]})

    assert names(outbox.raw_answers[0]) == ["first", "second", "third"]
    assert "nextCursor" not in outbox.answers[0]["result"]
    assert world.counts.in_flight == 0


def test_pages_that_are_known_are_not_asked_for_again():
    world = World(profile_name="litellm", is_open=False)
    world.answer(world.spawn(), {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s"}})
    *_, line = world.sent()
    world.answer(line, {"tools": [{"name": "first"}], "nextCursor": "2"})
    world.answer(world.sent()[0], {"tools": [{"name": "second"}]})
    outbox, line = world.ask_child(world.session(), "tools/list")
    world.answer(line, {"tools": [{"name": "first"}], "nextCursor": "2"})

    assert names(outbox.raw_answers[0]) == ["first", "second"]
    world.die()
    assert names(world.request(world.session(), "tools/list", id=5).raw_answers[0]) == ["first", "second"]


@pytest.mark.parametrize("end", ["error", "death", "cancel", "no list"])
def test_a_page_that_does_not_come_costs_its_own_tools_only(end):
    world = World(profile_name="litellm")
    session = world.session()
    outbox, line = world.ask_child(session, "tools/list", id=1)
    world.answer(line, {"tools": [{"name": "first"}], "nextCursor": "2"})
    (line,) = world.sent()
    if end == "error":
        world.answer(line, code=-1, message="no")
    elif end == "no list":
        world.answer(line, {"tools": "none"})
    elif end == "death":
        world.die()
    else:
        world.notify(session, "cancelled", requestId=1)
        world.answer(line, {"tools": []})

    assert world.counts.in_flight == 0
    assert end == "cancel" or names(outbox.raw_answers[0]) == ["first"]


def test_remembered_lists_are_bounded():
    world = World(profile_name="litellm")
    session = world.session()
    for number in range(LISTS + 50):
        world.answer(world.ask_child(session, "tools/list", {"cursor": str(number)})[1], {"tools": []})

    assert len(world.relay.policy.profile._lists) == LISTS


# -- kind: everything else ------------------------------------------------------------------------------------------------------------


def test_a_readable_error_of_another_method_stays_what_it_is():
    member = b'"error":{"code":-32601,"message":"Method not found","data":{"x":1e2}}'

    assert call(member, method="prompts/list") == b'{"jsonrpc":"2.0","id":1,%b}' % member


@pytest.mark.parametrize(
    "member",
    [
        b'"error":null',
        b'"error":"x"',
        b'"error":{"code":"E1","message":"x"}',
        b'"error":{"code":1}',
        b'"error":{"code":99999999999999999999,"message":"x"}',
        b'"error":{"code":1,"message":"x","data":' + b"[" * 300 + b"]" * 300 + b"}",
        b'"result":null',
        b'"result":[]',
        b'"result":"x"',
    ],
)
def test_what_no_client_can_read_becomes_an_error_that_it_can(member):
    """The SDK's transport drops it, and its caller waits for ever."""
    MESSAGE.validate_json(call(member, method="resources/read"))


@pytest.mark.parametrize("how", ["die", "timeout", "cancel", "leave", "too_long"])
def test_no_end_of_a_tool_call_looks_like_a_failure(how):
    world = World(profile_name="litellm", request_timeout=10)
    session = world.session()
    outbox, line = world.ask_child(session)
    if how == "die":
        world.die()
    elif how == "timeout":
        world.sweep(10)
    elif how == "cancel":
        world.notify(session, "cancelled", requestId=1)
    elif how == "leave":
        world.leave(session)
    else:
        world.relay.incoming.too_long(b'{"jsonrpc":"2.0","id":%d,"result"' % line["id"], b"}", 10**9, world.now)

    assert validate("tools/call", outbox.raw_answers[0])["isError"] is True


def test_a_refusal_of_a_tool_call_is_a_result():
    kind_profile = profile("litellm")

    assert validate("tools/call", kind_profile.refusal(b"1", "tools/call", -32600, "no"))["isError"] is True
    assert json.loads(kind_profile.refusal(b"1", "ping", -32600, "no"))["error"] == {"code": -32600, "message": "no"}
