"""Whose fault it is, as a value: JSON-RPC codes, refusals and the HTTP status that each of them gets."""

from dataclasses import dataclass, field
from enum import Enum

import msgspec

from bridge.budget import Budget

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
TIMED_OUT = -32001  # what the SDKs use for a request that got no answer in time
CANCELLED = -32800  # RequestCancelled of the Language Server Protocol; MCP names none
HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022
NULL_ID = b"null"
NO_REQUEST = "this is a notification, which has no id"

# 2026-07-28, basic/transports: what a modern client gets in place of 200 while nothing was sent yet.
_STATUS = {
    METHOD_NOT_FOUND: 404,
    **dict.fromkeys((PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS, HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION), 400),
}


class Reason(Enum):
    """Which rule a refusal comes from. Counts, metrics and the audit tell refusals apart by it, never by their words."""

    HOST = "host"
    ORIGIN = "origin"
    TOKEN = "token"
    POLICY = "policy"  # the caller may not do this
    LIMIT = "limit"  # the caller has done it too often, or has its share
    SIZE = "size"
    CONTENT = "content"  # type, encoding and character set of the body
    ACCEPT = "accept"
    VERSION = "version"
    ERA = "era"  # it belongs to the other one, or its envelope and headers disagree
    SESSION = "session"
    ROOM = "room"
    METHOD = "method"  # of HTTP, or the path
    MALFORMED = "malformed"  # not one JSON-RPC message, nor a batch where there may be one; a header twice that is no list
    DRAINING = "draining"
    CHILD = "child"  # it is not there, or does not read
    REQUEST = "request"  # what the request asks for is not to be had, or not like this


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reasoned no, before the child is involved. `status` is for HTTP, `code` and `message` for JSON-RPC."""

    status: int
    code: int
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    data: bytes = b""  # raw JSON for the error's `data`
    reason: Reason = field(kw_only=True)

    def softened(self) -> "Refusal":
        """For LiteLLM's gateway, which is wedged by a 5xx on `initialize`, and not by an error in a 200."""
        return Refusal(200, self.code, self.message, reason=self.reason)


class Malformed(Exception):
    """Bytes that are not one JSON-RPC message. `code` says in what way, `id` (raw JSON) whose request it was."""

    def __init__(self, code: int, message: str, id: bytes = NULL_ID):
        super().__init__(message)
        self.code = code
        self.message = message
        self.id = id

    def refusal(self) -> Refusal:
        return Refusal(400, self.code, self.message, reason=Reason.MALFORMED)


def modern_refusal(code: int, message: str, data: bytes = b"", *, reason: Reason) -> Refusal:
    """A no to a modern client, with the status that belongs to its code."""
    return Refusal(status_of(code), code, message, data=data, reason=reason)


def status_of(code: int) -> int:
    """The HTTP status of a JSON-RPC error in the modern era; where the specification is silent, 200 as the SDKs do."""
    return _STATUS.get(code, 200)


class _Coded(msgspec.Struct):
    code: int = INTERNAL_ERROR


def code_of(error: bytes | msgspec.Raw) -> int:
    """The code of a raw JSON-RPC error."""
    try:
        return msgspec.json.decode(error, type=_Coded).code
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return INTERNAL_ERROR


def busy(what: str, option: str) -> Refusal:
    return Refusal(
        503, INTERNAL_ERROR, f"too many {what} at once: try again later (raise {option} if this is normal)", _AGAIN, reason=Reason.ROOM
    )


def no_room(budget: Budget, caller: str, what: str, option: str) -> Refusal:
    """A no to a caller for whom there is no room: 429 where most of what is held is that caller's own, else 503."""
    budget.refused += 1
    if budget.cap is not None and 0 < (most := budget.cap(caller)) <= budget.by_caller.get(caller, 0):
        why = f"you may have {most} {what} at once: wait for some of them to end (limits of the callers file)"
        return Refusal(429, INTERNAL_ERROR, why, _AGAIN, reason=Reason.LIMIT)
    if 2 * budget.by_caller.get(caller, 0) > budget.held:
        return share_taken(what, option)
    return busy(what, option)


def share_taken(what: str, option: str) -> Refusal:
    return Refusal(
        429, INTERNAL_ERROR, f"you have your share of the {what}: wait for some of them to end ({option})", _AGAIN, reason=Reason.LIMIT
    )


_AGAIN = ((b"retry-after", b"2"),)


def error_body(id: bytes, code: int, message: str, data: bytes = b"") -> bytes:
    """A JSON-RPC error response. `id` is raw JSON; `null` where no request could be told. `data` is raw JSON, too."""
    if data:
        return b'{"jsonrpc":"2.0","id":%b,"error":{"code":%d,"message":%b,"data":%b}}' % (id, code, msgspec.json.encode(message), data)
    return b'{"jsonrpc":"2.0","id":%b,"error":{"code":%d,"message":%b}}' % (id, code, msgspec.json.encode(message))
