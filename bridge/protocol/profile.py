"""In which words a client hears of an answer or of a failure: as the child said it, or so that LiteLLM survives it.

LiteLLM 1.77.3 wedges its whole MCP gateway when an upstream `tools/call` ends in anything but a valid result, so under
`litellm` every failure of a tool call becomes a result with `isError: true` and a text that says what happened, and a
tool list never fails once it has worked, nor waits long for a child that is busy. `litellm_results.py` knows what a valid result is.
"""

from collections import ChainMap
from collections.abc import Collection, MutableMapping
from copy import copy

from msgspec import Raw

from bridge.protocol import envelope, litellm_results, model_names, pages
from bridge.protocol.errors import error_body
from bridge.protocol.exchange import Exchange
from bridge.protocol.interfaces import Context
from bridge.protocol.rules import Rule
from bridge.protocol.session import Session
from bridge.protocol.tools import Tools, named, shown_by


class Strict:
    """What the child says is what the client gets."""

    name = "strict"
    is_litellm = False
    call: Rule | None = None  # for `tools/call` (rules.py)

    def answer(self, exchange: Exchange, message: envelope.Envelope) -> bytes | None:
        return envelope.response(exchange.client_id, message)

    def failure(self, exchange: Exchange, code: int, why: str) -> bytes:
        return error_body(exchange.client_id, code, why)

    def refusal(self, client_id: bytes, method: str | None, code: int, why: str, params: Raw = envelope.ABSENT) -> bytes:
        return error_body(client_id, code, why)

    def last_list(self, client_id: bytes, cursor: bytes) -> bytes | None:
        """An answer to `tools/list` that needs no child."""
        return None

    def own_name(self, name: str) -> str | None:
        """What the child calls the tool that clients know by this name. None: clients know of no such tool."""
        return name

    def listed(self) -> Collection[str]:
        """Names of tools that lists have, and that the child has not."""
        return ()

    def record_list(self, cursor: bytes, message: envelope.Envelope) -> None:
        """The child answered a `tools/list` that no client waits for."""

    def for_one(self) -> "Strict":
        """The same for a child of one caller alone: what it answers is not for others."""
        return self


class LiteLLMProfile(Strict):
    """No failure of a tool call looks like one to LiteLLM's client (docs/litellm.md)."""

    name = "litellm"
    is_litellm = True

    def __init__(self, tools: Tools | None = None, server: str = ""):
        self._tools = tools
        self.call = self._call
        self._longest = model_names.room(server)
        self._lists: MutableMapping[bytes, bytes] = {}  # the last good tools/list result, by cursor; bounded by LISTS
        self._made: dict[bytes, tuple[bytes, bytes, dict[str, str]]] = {}  # of what the last list was made, the list, and names; the same
        self._own_names: dict[str, str] = {}  # the tool's name, by what it is called here, where models do not take it

    def _call(self, relay: Context, session: Session, message: envelope.Envelope, params: envelope.Params) -> bytes | None:
        """A rule (see `rules`) for `tools/call`: a tool that clients know by another name is called by its own."""
        if self._own_names and (name := self._own_names.get(envelope.string(params.name) or "")):
            message.params, params.name = named(message.params, envelope.encode(name)), Raw(envelope.encode(name))
        return None if self._tools is None else self._tools.call(relay, session, message, params)

    def answer(self, exchange: Exchange, message: envelope.Envelope) -> bytes | None:
        if message.error:
            if exchange.method not in _TOOLS and litellm_results.is_error(message.error):
                return envelope.response(exchange.client_id, message)
            return self.failure(exchange, 0, litellm_results.error_text(message.error))
        if exchange.method == "tools/call":
            return envelope.result(exchange.client_id, litellm_results.call_result(message.result))
        if exchange.method == "tools/list":
            whole = pages.whole(exchange, message)
            if whole is None:
                return None
            tools = self._listed(exchange.cursor, whole.result)
            if tools is None:
                return self.failure(exchange, 0, "the server sent a tool list that is not one")
            self._remember(exchange.cursor, tools)
            return envelope.result(exchange.client_id, tools)
        if not litellm_results.is_object(message.result):
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

    def own_name(self, name: str) -> str | None:
        own = self._own_names.get(name, name)
        return self._tools.meant(own) if self._tools else own

    def listed(self) -> Collection[str]:
        return self._own_names

    def record_list(self, cursor: bytes, message: envelope.Envelope) -> None:
        if message.result and not (not cursor and pages.cursor_of(message.result)) and (tools := self._listed(cursor, message.result)):
            self._remember(cursor, tools)

    def for_one(self) -> "LiteLLMProfile":
        own = copy(self)
        own.call = own._call
        own._lists, own._made = ChainMap({}, self._lists), {}
        return own

    def _listed(self, cursor: bytes, result: Raw) -> bytes | None:
        """A list as LiteLLM and models take it. It asks for the same one after each call."""
        raw = bytes(result)
        made = self._made.get(cursor)
        if made is None or made[0] != raw:
            shown = litellm_results.tool_list(self._tools.page(result) if self._tools else result, self._longest)
            if shown is None:
                return None
            made = raw, *shown
            if cursor in self._made or len(self._made) < LISTS:
                self._made[cursor] = made
        _, tools, names = made
        own_names = {new: old for old, new in names.items()}
        self._own_names = {**self._own_names, **own_names} if cursor else own_names
        return tools

    def _refusal(self, client_id: bytes, method: str | None, code: int, why: str) -> bytes:
        if method == "tools/call":
            return envelope.result(client_id, litellm_results.failed_call(why))
        return error_body(client_id, code or -32603, why)

    def _remember(self, cursor: bytes, tools: bytes) -> None:
        others = sum(len(page) for other, page in self._lists.items() if other != cursor)
        if (cursor in self._lists or len(self._lists) < LISTS) and others + len(tools) <= LONGEST:
            self._lists[cursor] = tools


LISTS = 64
LONGEST = 8 << 20  # bytes of all of them
_TOOLS = ("tools/call", "tools/list")


def profile(name: str, tools: Tools | None = None, server: str = "") -> Strict:
    """The profile of this name, whose tool lists show what `tools` lets through. `server` is what LiteLLM calls the MCP."""
    if name == "litellm":
        return LiteLLMProfile(tools, server)
    return Strict() if tools is None else shown_by(Strict, tools)
