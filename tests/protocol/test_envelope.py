"""The outside of a message is parsed, its inside stays bytes, and nothing that breaks a child gets through."""

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from bridge.protocol import envelope
from bridge.protocol.errors import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, Malformed

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
    max_leaves=12,
)


def request(params: bytes, id: bytes = b"1") -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"method":"tools/call","params":%b}' % (id, params)


def refusal(body: bytes) -> Malformed:
    with pytest.raises(Malformed) as caught:
        envelope.from_client(body)
    return caught.value


# -- byte-faithful -------------------------------------------------------------------------------------------------------

FAITHFUL = [
    b'{"a":1e400}',
    b'{"a":1e2}',
    b'{"a":123456789012345678901234567890}',
    b'{"b":1,"a":2}',
    b'{ "a" : [ 1 , 2 ] }',
    rb'{"a":"\u0041\/\ud83d\ude00\n"}',
    '{"a":"\u2028\u0085\ufeff"}'.encode(),
    b'{"a":-0.0}',
    b'{"a":1,"a":2}',
    b'{"":{}}',
]


@pytest.mark.parametrize("params", FAITHFUL)
def test_params_reach_the_child_as_they_came(params):
    """Edge case 33; also edge case 31 for U+2028 inside a string."""
    message = envelope.from_client(request(params))
    line = envelope.request_line(7, message.method, message.params)

    assert line == b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":%b}\n' % params


@pytest.mark.parametrize("result", [*FAITHFUL, b"null", b"[]", b'"text"', b"0", b"false"])
def test_a_result_reaches_the_client_as_it_came(result):
    message = envelope.from_child(b'{"jsonrpc":"2.0","id":7,"result":%b}' % result)

    assert envelope.response(b'"x"', message) == b'{"jsonrpc":"2.0","id":"x","result":%b}' % result


def test_an_error_reaches_the_client_as_it_came():
    error = b'{"message":"no" , "code":-32000,"data":1e400}'
    message = envelope.from_child(b'{"error":%b,"jsonrpc":"2.0","id":7}' % error)

    assert envelope.response(b"3", message) == b'{"jsonrpc":"2.0","id":3,"error":%b}' % error


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values, max_size=3), st.booleans())
def test_any_json_survives_the_way_to_the_child(params, is_ascii):
    raw = json.dumps(params, ensure_ascii=is_ascii).encode()
    message = envelope.from_client(request(raw))
    line = envelope.request_line(9, message.method, message.params)

    assert line.count(b"\n") == 1
    assert raw in line
    assert json.loads(line) == {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params}


@given(json_values)
def test_any_json_survives_the_way_to_the_client(value):
    raw = json.dumps(value).encode()
    message = envelope.from_child(b'{"jsonrpc":"2.0","id":1,"result":%b}' % raw)

    assert bytes(message.result) == raw
    assert json.loads(envelope.response(b"0", message))["result"] == value


IDS = [
    b"0",
    b"-1",
    b"1",
    b'"1"',
    b'""',
    b"%d" % 2**70,
    b"%d" % (2**53 + 1),
    b'"%b"' % (b"x" * 300),
    rb'"\u00e9\n"',
    '"\U0001f600"'.encode(),
]


@pytest.mark.parametrize("id", IDS)
def test_an_id_is_kept_byte_for_byte(id):
    """Edge cases 15 and 19."""
    assert bytes(envelope.from_client(request(b"{}", id)).id) == id


def test_keys_tell_ids_apart_by_type_and_join_the_same_string():
    keys = [envelope.key(Raw(id)) for id in IDS]

    assert len(set(keys)) == len(IDS)
    assert envelope.key(Raw(rb'"a\/b"')) == envelope.key(Raw(b'"a/b"'))
    assert envelope.key(Raw(rb'"\u00e9"')) == envelope.key(Raw('"é"'.encode()))


@pytest.mark.parametrize("id", [rb'{"\n":1e400}', rb'["\n",1e999]', rb'["\\",{}]'])
def test_any_json_at_all_has_a_key(id):
    """`requestId` of a cancellation is whatever the client wrote; it may not raise."""
    assert isinstance(envelope.key(Raw(id)), bytes)


def test_unknown_members_of_the_envelope_are_dropped():
    """Edge case 32: TypeScript servers never answer a message with one."""
    message = envelope.from_client(b'{"x":{"id":5},"jsonrpc":"2.0","id":1,"method":"ping","extra":[1],"params":{"y":1}}')

    assert envelope.request_line(2, message.method, message.params) == b'{"jsonrpc":"2.0","id":2,"method":"ping","params":{"y":1}}\n'


def test_a_method_with_odd_characters_is_escaped_again():
    message = envelope.from_client(b'{"jsonrpc":"2.0","id":1,"method":"a\\"\\n\\u0000b"}')
    line = envelope.request_line(2, message.method, message.params)

    assert line.count(b"\n") == 1
    assert json.loads(line)["method"] == 'a"\n\0b'


# -- what never reaches a child ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", PARSE_ERROR),
        (b" ", PARSE_ERROR),
        (b"{", PARSE_ERROR),
        (b"hello", PARSE_ERROR),
        (b"1", INVALID_REQUEST),
        (b"null", INVALID_REQUEST),
        (b"[]", INVALID_REQUEST),
        (b"{}", INVALID_REQUEST),
        (b'{"id":1,"method":"ping"}', INVALID_REQUEST),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', INVALID_REQUEST),
        (b'{"jsonrpc":2.0,"id":1,"method":"ping"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1e3,"method":"ping"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":[1],"method":"ping"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","result":{}}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"error":"no"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"}{}', PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n{"jsonrpc":"2.0","id":2,"method":"ping"}', PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":01,"method":"ping"}', PARSE_ERROR),
        (request(b"[1]"), INVALID_PARAMS),
        (request(b"5"), INVALID_PARAMS),
        (request(b'"x"'), INVALID_PARAMS),
        (request(b"NaN"), PARSE_ERROR),
        (request(b'{"a":NaN}'), PARSE_ERROR),
        (request(b'{"a":Infinity}'), PARSE_ERROR),
        (request(b'{"a":1,}'), PARSE_ERROR),
        (request(b'{"a":"\x01"}'), PARSE_ERROR),
        (request(b'{"a":"\n"}'), PARSE_ERROR),
        (request(b'{"a":"\xff"}'), PARSE_ERROR),
        (request(b'{"a":"\xed\xa0\x80"}'), PARSE_ERROR),
        (request(rb'{"a":"\x"}'), PARSE_ERROR),
        (request(rb'{"a":"\ud800"}'), INVALID_PARAMS),
        (request(rb'{"a":"\udc00\ud800"}'), INVALID_PARAMS),
        (request(b'{"a":' * 200 + b"1" + b"}" * 200), INVALID_REQUEST),
        (request(b'{"a":[' * 70 + b"1" + b"]}" * 70), INVALID_REQUEST),
        (request(b'{"a":' + b"[{}," * 100_000 + b"1" + b"]" * 100_000 + b"}"), INVALID_REQUEST),
    ],
)
def test_it_is_refused_before_a_child_sees_it(body, code):
    """Edge case 18 (docs/protocol.md), and what a child never sees (docs/bridge.md)."""
    assert refusal(body).code == code


def test_a_refusal_names_the_request_where_it_can_be_told():
    assert refusal(request(b"[1]", b'"x"')).id == b'"x"'
    assert refusal(request(rb'{"a":"\ud800"}', b"12")).id == b"12"
    assert refusal(request(b'{"a":' * 200 + b"1" + b"}" * 200, b"13")).id == b"13"
    assert refusal(b"{").id == b"null"


def test_params_null_become_no_params():
    """TypeScript servers never answer `"params":null`."""
    message = envelope.from_client(request(b"null"))

    assert envelope.request_line(1, message.method, message.params) == b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}\n'


def test_a_byte_order_mark_is_taken_off():
    message = envelope.from_client(b"\xef\xbb\xbf" + request(b"{}"))

    assert message.method == "tools/call"


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_a_pretty_printed_message_becomes_one_line(newline):
    """Edge case 31."""
    body = newline.join(
        [b"{", b' "jsonrpc": "2.0",', b' "id": 1,', b' "method": "x",', b' "params": {', rb'  "a": "1\n2\r3"', b" }", b"}", b""]
    )
    message = envelope.from_client(body)
    line = envelope.flat(envelope.request_line(1, message.method, message.params)[:-1])

    assert b"\n" not in line
    assert b"\r" not in line
    assert json.loads(line)["params"] == {"a": "1\n2\r3"}


@given(json_values, st.integers(0, 400), st.binary(max_size=2), st.booleans())
@example({"a": 1}, 0, b"\xef\xbb", False)
def test_what_passes_is_json_that_strict_parsers_take(value, where, wrong, is_ascii):
    """One byte too many, anywhere: either we refuse it, or a strict parser takes the composed line."""
    body = request(json.dumps({"v": value}, ensure_ascii=is_ascii).encode())
    body = body[:where] + wrong + body[where:]
    try:
        message = envelope.from_client(body)
    except Malformed:
        return
    if message.method is None:
        line = envelope.flat(envelope.response(message.id, message))
    else:
        line = envelope.flat(envelope.request_line(1, message.method, message.params)[:-1])

    assert not re.search(rb"[\r\n]", line)
    json.loads(line.decode(), parse_constant=lambda name: pytest.fail(f"{name} got through"))


@given(st.binary(max_size=80))
def test_no_bytes_raise_anything_but_malformed(body):
    for read in (envelope.from_client, envelope.from_child, envelope.split):
        try:
            read(body)
        except Malformed as error:
            assert error.message


# -- depth ------------------------------------------------------------------------------------------------------------------------


def depth(value) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


nested = st.recursive(
    st.text(alphabet='[]{}"\\a', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[]{}"\\', max_size=3), inner, max_size=3),
    max_leaves=30,
)


@given(nested, st.integers(0, 6))
@example([{}], 1)
@example([{"a": [{"a": [{}]}]}], 3)
def test_too_deep_agrees_with_counting(value, limit):
    assert envelope.too_deep(json.dumps(value).encode(), limit) == (depth(value) > limit)


def test_arrays_and_objects_count_alike():
    """Python children never answer a message nested deeper than their parser's 200 levels."""
    in_turns = b'[{"a":' * 100 + b"1" + b"}]" * 100

    assert envelope.too_deep(in_turns)
    assert not envelope.too_deep(in_turns, 200)
    assert envelope.too_deep(in_turns, 199)


# -- from the child ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" \r",
        b"Server started!",
        b"{}",
        b"[]",
        b"[1]",
        b"1",
        b"null",
        b'"x"',
        b'{"jsonrpc":"2.0","id":1}',
        b'{"id":1,"resul',
        b'{"jsonrpc":"2.0","result":{}}',
        b'{"method":5,"id":1}',
        b"[" * 5000,
        b'{"id":1,"result":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_what_a_child_prints_beside_messages_is_malformed(line):
    """Edge case 29."""
    with pytest.raises(Malformed):
        envelope.from_child(line)


def test_a_child_may_end_lines_with_cr():
    message = envelope.from_child(b'{"jsonrpc":"2.0","id":1,"result":{}}\r')

    assert bytes(message.result) == b"{}"


def test_a_lone_surrogate_from_the_child_becomes_a_replacement_character():
    """Edge case 34: the call is answered, not lost. A pair and an escaped backslash stay."""
    message = envelope.from_child(rb'{"jsonrpc":"2.0","id":1,"result":["\ud800","\ud83d\ude00","\\ud800","\udc00\ud800x"]}')

    assert bytes(message.result) == rb'["\ufffd","\ud83d\ude00","\\ud800","\ufffd\ufffdx"]'


def test_bytes_that_are_not_utf8_are_replaced():
    assert envelope.repaired(b'{"a":"\xff"}') == '{"a":"\ufffd"}'.encode()
    assert envelope.repaired('{"a":"é"}'.encode()) is None


def test_an_empty_error_beside_a_result_is_no_error():
    """Servers that serialise a struct with both members write `"error":null` on success, and the other way round."""
    success = envelope.from_child(b'{"jsonrpc":"2.0","id":1,"result":{"a":1},"error":null}')
    failure = envelope.from_child(b'{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":-1,"message":"no"}}')

    assert (bytes(success.result), bool(success.error)) == (b'{"a":1}', False)
    assert (bool(failure.result), bool(failure.error)) == (False, True)


# -- batches and peeks -----------------------------------------------------------------------------------------------------------------


def test_a_batch_is_told_by_its_first_character_and_split_as_it_came():
    """Edge case 35."""
    body = b'\xef\xbb\xbf \r\n[ {"a": 1e400} , 5 ]'

    assert envelope.is_batch(body)
    assert envelope.split(body) == [b'{"a": 1e400}', b"5"]
    assert envelope.split(b"[]") == []
    assert not envelope.is_batch(b' {"a":[]}')


@pytest.mark.parametrize("body", [b"{}", b"[", b"[1,]", b"[\xff]", b"[" * 5000])
def test_what_is_no_batch_is_malformed(body):
    with pytest.raises(Malformed):
        envelope.split(body)


@pytest.mark.parametrize("params", [b"", b"null", b"5", b"[]", b'"x"'])
def test_peeking_into_what_is_no_object_finds_nothing(params):
    found = envelope.peek(Raw(params))

    assert not any((found.name, found.uri, found.level, found.requestId, found.progressToken, found.meta))
    assert not envelope.peek_meta(Raw(params)).progressToken


def test_peeking_finds_what_rules_look_at_whatever_its_type():
    found = envelope.peek(Raw(b'{"name":5,"uri":null,"other":1,"_meta":{"progressToken":0}}'))

    assert (bytes(found.name), bytes(found.uri), bytes(found.meta)) == (b"5", b"null", b'{"progressToken":0}')
    assert bytes(envelope.peek_meta(found.meta).progressToken) == b"0"


@pytest.mark.parametrize(("raw", "text"), [(b'"a\\n"', "a\n"), (b"5", None), (b"", None), (b"null", None)])
def test_string(raw, text):
    assert envelope.string(Raw(raw)) == text
