"""In which words a client hears of an answer or of a failure: as the child said it, or so that LiteLLM survives it.

LiteLLM 1.77.3 wedges its whole MCP gateway when an upstream `tools/call` ends in anything but a valid result, so under
`litellm` every failure of a tool call becomes a result with `isError: true` and a text that says what happened, and a
tool list never fails once it has worked, nor waits long for a child that is busy. `kind.py` knows what a valid result is.
"""

from collections import ChainMap
from copy import copy

from msgspec import Raw

from bridge.protocol import envelope, kind
from bridge.protocol.errors import error_body
from bridge.protocol.exchange import Exchange
from bridge.protocol.tools import Tools, shown_by


class Strict:
    """What the child says is what the client gets."""

    name = "strict"
    is_kind = False

    def answer(self, exchange: Exchange, message: envelope.Envelope) -> bytes:
        return envelope.response(exchange.client_id, message)

    def failure(self, exchange: Exchange, code: int, why: str) -> bytes:
        return error_body(exchange.client_id, code, why)

    def refusal(self, client_id: bytes, method: str | None, code: int, why: str, params: Raw = envelope.ABSENT) -> bytes:
        return error_body(client_id, code, why)

    def last_list(self, client_id: bytes, cursor: bytes) -> bytes | None:
        """An answer to `tools/list` that needs no child."""
        return None

    def heard(self, cursor: bytes, message: envelope.Envelope) -> None:
        """The child answered a `tools/list` that no client waits for."""

    def for_one(self) -> "Strict":
        """The same for a child of one caller alone: what it answers is not for others."""
        return self


class Kind(Strict):
    """No failure of a tool call looks like one to LiteLLM's client (rules 7, 8, 9 and 17 of its test suite)."""

    name = "litellm"
    is_kind = True

    def __init__(self):
        self._lists: dict[bytes, bytes] = {}  # the last good tools/list result, by cursor; bounded by LISTS

    def answer(self, exchange: Exchange, message: envelope.Envelope) -> bytes:
        if message.error:
            if exchange.method not in _TOOLS and kind.is_error(message.error):
                return envelope.response(exchange.client_id, message)
            return self.failure(exchange, 0, kind.error_text(message.error))
        if exchange.method == "tools/call":
            return envelope.result(exchange.client_id, kind.call_result(message.result))
        if exchange.method == "tools/list":
            tools = kind.tool_list(message.result)
            if tools is None:
                return self.failure(exchange, 0, "the server sent a tool list that is not one")
            self._remember(exchange.cursor, tools)
            return envelope.result(exchange.client_id, tools)
        if not kind.is_object(message.result):
            return self.failure(exchange, 0, "the server sent a result that is not an object")
        return envelope.response(exchange.client_id, message)

    def failure(self, exchange: Exchange, code: int, why: str) -> bytes:
        if exchange.method == "tools/list" and (tools := self.last_list(exchange.client_id, exchange.cursor)):
            return tools
        return self._refusal(exchange.client_id, exchange.method, code, why)

    def refusal(self, client_id: bytes, method: str | None, code: int, why: str, params: Raw = envelope.ABSENT) -> bytes:
        if method == "tools/list" and (tools := self.last_list(client_id, bytes(envelope.peek(params).cursor))):
            return tools
        return self._refusal(client_id, method, code, why)

    def last_list(self, client_id: bytes, cursor: bytes) -> bytes | None:
        tools = self._lists.get(cursor)
        return envelope.result(client_id, tools) if tools else None

    def heard(self, cursor: bytes, message: envelope.Envelope) -> None:
        if message.result and (tools := kind.tool_list(message.result)):
            self._remember(cursor, tools)

    def for_one(self) -> "Kind":
        own = copy(self)
        own._lists = ChainMap({}, self._lists)
        return own

    def _refusal(self, client_id: bytes, method: str | None, code: int, why: str) -> bytes:
        if method == "tools/call":
            return envelope.result(client_id, kind.failed_call(why))
        return error_body(client_id, code or -32603, why)

    def _remember(self, cursor: bytes, tools: bytes) -> None:
        if cursor in self._lists or len(self._lists) < LISTS:
            self._lists[cursor] = tools


LISTS = 64
_TOOLS = ("tools/call", "tools/list")


def profile(name: str, tools: Tools | None = None) -> Strict:
    """The profile of this name, whose tool lists show what `tools` lets through."""
    kind_of = Kind if name == "litellm" else Strict
    return kind_of() if tools is None else shown_by(kind_of, tools)
