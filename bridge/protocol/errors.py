"""Whose fault it is, as a value: JSON-RPC codes, refusals and the HTTP status that each of them gets."""

from dataclasses import dataclass, field

import msgspec

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
TIMED_OUT = -32001  # what the SDKs use for a request that got no answer in time
CANCELLED = -32800  # RequestCancelled of the Language Server Protocol; MCP names none
NULL_ID = b"null"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reasoned no, before the child is involved. `status` is for HTTP, `code` and `message` for JSON-RPC."""

    status: int
    code: int
    message: str
    headers: tuple = field(default=())


class Malformed(Exception):
    """Bytes that are not one JSON-RPC message. `code` says in what way, `id` (raw JSON) whose request it was."""

    def __init__(self, code: int, message: str, id: bytes = NULL_ID):
        super().__init__(message)
        self.code = code
        self.message = message
        self.id = id

    def refusal(self) -> Refusal:
        return Refusal(400, self.code, self.message)


def busy(what: str, option: str) -> Refusal:
    return Refusal(503, INTERNAL_ERROR, f"too many {what} at once: try again later (raise {option} if this is normal)",
                   ((b"retry-after", b"2"),))


def error_body(id: bytes, code: int, message: str) -> bytes:
    """A JSON-RPC error response. `id` is raw JSON; `null` where no request could be told."""
    return b'{"jsonrpc":"2.0","id":%b,"error":{"code":%d,"message":%b}}' % (id, code, msgspec.json.encode(message))
