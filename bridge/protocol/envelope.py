r"""One JSON-RPC message: its outside is parsed, its inside stays bytes.

`params`, `result` and `error` are `msgspec.Raw` slices of the bytes that came, so numbers, escapes and key order leave
as they arrived. Re-addressing a 25 KB message costs 10 us this way, and about 300 us with the SDK's models.

What msgspec does not check while it skims, we check here, because one bad line kills every child built on the Go SDK:
- UTF-8 inside skimmed strings (`text`);
- depth: Python children never answer a message nested deeper than their parser likes (`MAX_DEPTH`);
- a newline between tokens, which would split the child's line (`flat`).
msgspec itself refuses control characters in strings and lone surrogate escapes, and raises RecursionError, not a decode
error, on very deep input.
"""

import re
from functools import cache
from typing import Any

import msgspec
from msgspec import Raw

from bridge.protocol.errors import INVALID_PARAMS, INVALID_REQUEST, NULL_ID, PARSE_ERROR, Malformed

BRACE, BACKSLASH, RETURN = b"{\\\r"  # as numbers: `bytes in bytes` takes its left side for one first, and eight times as long
MAX_DEPTH = 128
LONGEST_ID = 1024  # bytes; it is kept for as long as its request is under way
LONGEST_BATCH = 1000
NOTICE = "notifications/"  # begins the methods of all notifications, and of no request
MOST_MEMBERS = 10_000  # of an object or array that we take apart: each becomes an object of Python's, of 20 times its size
WIDE = 2 * MOST_MEMBERS  # bytes from which one may have so many
ABSENT = Raw()
Members = dict[str, Any]  # of an object: raw as they came, or whatever is to be encoded in their place
_FROM_SERVERS = re.compile(r"notifications/|ping$|roots/list$|sampling/|elicitation/|tasks/")
_INTEGER_OR_STRING = re.compile(rb'-?(?:0|[1-9][0-9]*)|".*"', re.DOTALL)
_WHITE_SPACE = bytes.maketrans(b"\r\n\t", b"   ")
_NOT_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}",'))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


class Envelope(msgspec.Struct, gc=False):
    """The known members of a message; others are dropped. An absent member is an empty `Raw` (or None)."""

    jsonrpc: str = ""
    id: Raw = ABSENT
    method: str | None = None
    params: Raw = ABSENT
    result: Raw = ABSENT
    error: Raw = ABSENT

    @property
    def is_request(self) -> bool:
        """Whether somebody waits for its answer. Without an id it is a notification, without a method a response (JSON-RPC 2.0, 4 and 5)."""
        return self.method is not None and bool(self.id)


class Params(msgspec.Struct, gc=False):
    """The members of `params` that some rule looks at, all raw."""

    name: Raw = ABSENT
    cursor: Raw = ABSENT
    uri: Raw = ABSENT
    level: Raw = ABSENT
    requestId: Raw = ABSENT
    progressToken: Raw = ABSENT
    meta: Raw = msgspec.field(default=ABSENT, name="_meta")
    arguments: Raw = ABSENT


class ModernParams(Params, gc=False):
    """The same for a request of the era without a handshake."""

    taskId: Raw = ABSENT
    notifications: Raw = ABSENT
    inputResponses: Raw = ABSENT
    requestState: Raw = ABSENT


class Meta(msgspec.Struct, gc=False):
    """The members of `params._meta` that some rule looks at. `revision` and what follows are the modern era's."""

    progressToken: Raw = ABSENT
    revision: Raw = msgspec.field(default=ABSENT, name="io.modelcontextprotocol/protocolVersion")
    capabilities: Raw = msgspec.field(default=ABSENT, name="io.modelcontextprotocol/clientCapabilities")
    client: Raw = msgspec.field(default=ABSENT, name="io.modelcontextprotocol/clientInfo")
    level: Raw = msgspec.field(default=ABSENT, name="io.modelcontextprotocol/logLevel")
    subscription: Raw = msgspec.field(default=ABSENT, name="io.modelcontextprotocol/subscriptionId")


_decode = msgspec.json.Decoder(Envelope).decode
_decode_params = msgspec.json.Decoder(Params).decode
_decode_modern_params = msgspec.json.Decoder(ModernParams).decode
_decode_meta = msgspec.json.Decoder(Meta).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_array = msgspec.json.Decoder(list[Raw]).decode
encode = msgspec.json.encode


class TooWide(Malformed):
    """It is a message, but of more members than we take apart."""


def from_client(body: bytes) -> Envelope:
    """Parse and check one message of a client.

    Returns an envelope that is a request (method and id), a notification (method) or a response (id and one of result
    and error), safe to write to a child. Raises Malformed.
    """
    message = _parse(body if body.isascii() else text(body))
    if message.id and (len(message.id) > LONGEST_ID or not (bytes(message.id).isdigit() or _INTEGER_OR_STRING.fullmatch(message.id))):
        raise Malformed(INVALID_REQUEST, f"id must be a string or an integer, of at most {LONGEST_ID} bytes")
    if message.jsonrpc != "2.0":
        why = 'not a JSON-RPC 2.0 message: "jsonrpc":"2.0" is missing'
        raise Malformed(INVALID_REQUEST, why, bytes(message.id) or NULL_ID)
    if len(body) > 2 * MAX_DEPTH and (len(body) > 5 * MAX_DEPTH or body.find(b"[") >= 0) and too_deep(body):
        raise Malformed(INVALID_REQUEST, f"nested deeper than {MAX_DEPTH} levels", bytes(message.id) or NULL_ID)
    if message.method is None:
        _check_response(message)
    elif message.params and memoryview(message.params)[0] != BRACE:
        _no_object(message)
    if len(body) > WIDE and (is_wide(message.params) or is_wide(peek(message.params).meta)):
        raise Malformed(INVALID_PARAMS, f"params or _meta of more than {MOST_MEMBERS} members", bytes(message.id) or NULL_ID)
    return message


def from_child(line: bytes) -> Envelope:
    """Parse one line of a child. Raises Malformed where it is not a JSON-RPC message.

    A lone surrogate escape, which JSON allows and msgspec refuses, becomes U+FFFD: the call is answered, not lost.
    """
    try:
        message = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        message = _parse(_paired(line))
    if is_wide(message.params or message.result):
        raise TooWide(INVALID_REQUEST, f"{'params' if message.params else 'a result'} of more than {MOST_MEMBERS} members")
    if message.method is None and not (message.id and (message.result or message.error)):
        raise Malformed(INVALID_REQUEST, "neither a request, a notification nor a response")
    if message.jsonrpc != "2.0" and not (message.method and _FROM_SERVERS.match(message.method)):
        raise Malformed(
            INVALID_REQUEST, 'not a JSON-RPC 2.0 message: "jsonrpc":"2.0" is missing'
        )  # records of logs have ids and methods, too
    if message.result and message.error:
        # Some write both, and mean the one that is not null.
        if is_null(message.result) and not is_null(message.error):
            message.result = ABSENT
        else:
            message.error = ABSENT
    return message


def repaired(line: bytes) -> bytes | None:
    """The line with U+FFFD in place of bytes that are not UTF-8; None where there are none."""
    try:
        line.decode()
        return None
    except UnicodeDecodeError:
        return line.decode(errors="replace").encode()


def is_batch(body: bytes) -> bool:
    return body.lstrip(b" \t\r\n\xef\xbb\xbf")[:1] == b"["


def split(body: bytes) -> list[bytes]:
    """The messages of a batch (2025-03-26, JSON-RPC 2.0 section 6). Raises Malformed."""
    whole = text(body)
    if is_wide(whole.strip(b" \t\r\n"), LONGEST_BATCH):  # 8 MB of the shortest messages would keep all others waiting for 0.7 s
        raise Malformed(INVALID_REQUEST, f"a batch of too many messages: send at most {LONGEST_BATCH} at once")
    try:
        items = _decode_array(whole)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(PARSE_ERROR, f"not JSON: {error}") from None
    return [bytes(item) for item in items]


def text(body: bytes) -> bytes:
    """The body without a byte order mark. Raises Malformed if it is not UTF-8."""
    if body[:3] == b"\xef\xbb\xbf":
        body = body[3:]
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise Malformed(PARSE_ERROR, f"not UTF-8: {error.reason} at byte {error.start}") from None
    return body


def flat(raw: Raw | bytes) -> bytes:
    """The same JSON on one line.

    Any newline in it is white space between tokens: JSON forbids a raw one inside a string (RFC 8259, 7).
    """
    return bytes(raw).translate(_WHITE_SPACE)


def too_deep(body: bytes, limit: int = MAX_DEPTH) -> bool:
    """Whether valid JSON is nested deeper than `limit`, without decoding it."""
    if body.count(b"{") + body.count(b"[") <= limit:
        return False
    return _nested(limit).fullmatch(brackets(body) or b"") is None


def is_wide(raw: bytes | Raw, limit: int = MOST_MEMBERS) -> bool:
    """Whether a JSON object or array has more than `limit` members of its own, without decoding it.

    What has as many commas somewhere and is no JSON, or nested too deep, is not worth a look at its members either.
    8 MiB of `"a":1,` are 840,000 members, whose dictionary takes 144 MB and half a second.
    """
    if len(raw) < 2 * limit:
        return False
    raw = bytes(raw)
    if raw.count(b",") < limit:
        return False
    outside = brackets(raw, _NOT_STRUCTURE) or b""
    if _groups().fullmatch(outside) is None:
        return outside[:1] == b"["
    return _groups().sub(b"", outside[1:-1].replace(b"[]", b"")).count(b",") >= limit


def brackets(body: bytes, dropped: bytes = _NOT_BRACKETS) -> bytes | None:
    """The brackets of JSON outside its strings, as `[` and `]` whatever they are. None where a string does not end.

    `dropped` are the bytes that are none of what is looked for.
    """
    outside = body.replace(rb"\\", b"").replace(rb"\"", b"").translate(_ONE_KIND, dropped)
    parts = outside.replace(b'""', b"").split(b'"')
    return b"".join(parts[::2]) if len(parts) % 2 else None


@cache
def _nested(depth: int) -> re.Pattern[bytes]:
    """Brackets nested up to `depth`. Possessive all the way down: each is looked at once."""
    pattern = rb""
    for _ in range(depth):
        pattern = rb"(?:\[%b\])*+" % pattern
    return re.compile(pattern)


@cache
def _groups() -> re.Pattern[bytes]:
    """A pair of brackets and what is in it."""
    pattern = rb",*+"
    for _ in range(MAX_DEPTH):
        pattern = rb"(?:,++|\[%b\])*+" % pattern
    return re.compile(rb"\[%b\]" % pattern)


def peek(params: Raw) -> Params:
    """The members of `params` that rules look at; all absent where `params` is not an object."""
    if not params:
        return _NOTHING
    try:
        return _decode_params(params)
    except (msgspec.MsgspecError, RecursionError):
        return _NOTHING


def peek_modern(params: Raw) -> ModernParams:
    """The same with the members that only the modern era has."""
    if not params:
        return _NOTHING_MODERN
    try:
        return _decode_modern_params(params)
    except (msgspec.MsgspecError, RecursionError):
        return _NOTHING_MODERN


def peek_meta(meta: Raw) -> Meta:
    if not meta:
        return _NO_META
    try:
        return _decode_meta(meta)
    except (msgspec.MsgspecError, RecursionError):
        return _NO_META


def members(raw: Raw | bytes) -> Members:
    """A JSON object's members in their order, each value raw. Raises msgspec.MsgspecError where it is no object."""
    return _decode_members(raw)


def is_object(raw: Raw | bytes) -> bool:
    """Whether it is a JSON object; of what is in it nothing is looked at."""
    return len(raw) > 0 and memoryview(raw)[0] == BRACE


def is_null(raw: Raw | bytes) -> bool:
    return len(raw) == 4 and bytes(raw) == b"null"


def object_or_none(raw: Raw | bytes) -> Members | None:
    """The members of what may be anything; None where it is no object, or a very wide one."""
    try:
        return None if is_wide(raw) else _decode_members(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def array_or_none(raw: Raw | bytes) -> list[Raw] | None:
    try:
        return None if is_wide(raw) else _decode_array(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def string(raw: Raw | bytes) -> str | None:
    """A raw JSON string as str; None for anything else."""
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def strings(raw: Raw | bytes) -> list[str]:
    """A raw JSON array of strings. Raises ValueError for anything else."""
    try:
        if not is_wide(raw):
            return msgspec.json.decode(raw, type=list[str])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    raise ValueError("not an array of strings, or of too many")


def key(id: Raw) -> bytes:
    """An id as a dictionary key that tells 1 from "1" and "a" from "b", however its string is escaped."""
    raw = bytes(id)
    text = string(id) if BACKSLASH in raw else None
    return raw if text is None else encode(text)


def request_line(id: int, method: str, params: bytes | Raw) -> bytes:
    """One request for the child, newline included. `params` may be empty."""
    if not params:
        return b'{"jsonrpc":"2.0","id":%d,"method":%b}\n' % (id, encode(method))
    return b'{"jsonrpc":"2.0","id":%d,"method":%b,"params":%b}\n' % (id, encode(method), params)


def notification(method: str, params: bytes | Raw) -> bytes:
    if not params:
        return b'{"jsonrpc":"2.0","method":%b}' % encode(method)
    return b'{"jsonrpc":"2.0","method":%b,"params":%b}' % (encode(method), params)


def request(id: bytes, method: str, params: bytes | Raw) -> bytes:
    """A request for a client; `id` is raw JSON."""
    if not params:
        return b'{"jsonrpc":"2.0","id":%b,"method":%b}' % (id, encode(method))
    return b'{"jsonrpc":"2.0","id":%b,"method":%b,"params":%b}' % (id, encode(method), params)


def result(id: bytes, value: bytes | Raw) -> bytes:
    return b"".join((b'{"jsonrpc":"2.0","id":', id, b',"result":', value, b"}"))


def response(id: bytes, message: Envelope) -> bytes:
    """The response `message` under another id."""
    if message.result:
        return result(id, message.result)
    return b"".join((b'{"jsonrpc":"2.0","id":', id, b',"error":', message.error, b"}"))


def _parse(body: bytes) -> Envelope:
    try:
        return _decode(body)
    except RecursionError:
        raise Malformed(INVALID_REQUEST, f"nested deeper than {MAX_DEPTH} levels") from None
    except msgspec.ValidationError as error:
        raise Malformed(INVALID_REQUEST, f"not one JSON-RPC message: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if lone := _LONE.search(_without_backslashes(body)):
            why = f"lone surrogate {lone[0].decode()} in a string: Python servers never answer those"
            raise Malformed(INVALID_PARAMS, why, _id_of(body)) from None
        raise Malformed(PARSE_ERROR, f"not JSON: {error}") from None


def _paired(body: bytes) -> bytes:
    """JSON with U+FFFD in place of each lone surrogate escape."""
    return _LONE.sub(rb"\\ufffd", _without_backslashes(body)).replace(b"\0\0", rb"\\")


def _without_backslashes(body: bytes) -> bytes:
    """The same with NULs, which no JSON holds, in place of escaped backslashes: each backslash left begins an escape."""
    return body.replace(rb"\\", b"\0\0") if body.find(b"\0") < 0 else b""


def _id_of(body: bytes) -> bytes:
    try:
        return bytes(_decode(_paired(body)).id) or NULL_ID
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return NULL_ID


def _check_response(message: Envelope) -> None:
    if not message.id:
        raise Malformed(INVALID_REQUEST, "neither method nor id: not a request, a notification or a response")
    if bool(message.result) == bool(message.error):
        raise Malformed(INVALID_REQUEST, "a response needs exactly one of result and error")
    if message.error and not is_object(message.error):
        raise Malformed(INVALID_REQUEST, "error must be an object")


def _no_object(message: Envelope) -> None:
    if not is_null(message.params):
        raise Malformed(INVALID_PARAMS, "params must be an object", bytes(message.id) or NULL_ID)
    message.params = ABSENT  # TypeScript servers never answer `"params":null`


# A high surrogate that no low one follows, or a low one that no high one precedes. One pass in C: a function called for each
# escape kept everybody waiting for seconds.
_LONE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|[c-fC-F][0-9a-fA-F]{2}(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))"
)
_NOTHING = Params()
_NOTHING_MODERN = ModernParams()
_NO_META = Meta()
