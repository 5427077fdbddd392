"""A modern client and a legacy child: its request loses what the child does not know, its result gets what the client needs.

Nothing inside a payload is touched. Codes that mean something else in the modern era are replaced (2026-07-28, basic,
"Error Codes"): -32002 is -32602 there, and what a legacy child says in the reserved range is not ours to relay.
"""

import msgspec
from msgspec import Raw

from bridge.protocol import envelope, litellm_results, meta, spelling
from bridge.protocol.asks import is_declared
from bridge.protocol.envelope import Envelope, ModernParams, Params
from bridge.protocol.era import LEGACY, MODERN
from bridge.protocol.eras.translator import Translator
from bridge.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, MISSING_CAPABILITY, code_of, error_body
from bridge.protocol.exchange import Exchange
from bridge.protocol.facts import Facts
from bridge.protocol.link import Link
from bridge.protocol.policy import Policy
from bridge.protocol.revisions import MODERN as VERSIONS
from bridge.protocol.tools import cut

CACHEABLE = frozenset(("server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"))
HINTS = b',"ttlMs":0,"cacheScope":"private"'  # a legacy child says when its lists change, not how long they last
SHOWN = ("tools", "resources", "prompts", "completions", "logging", "experimental")
NO_RESOURCE = -32002
WANTS_URL = -32042
_RESERVED = range(-32099, -32019)


class Downgrade(Translator):
    client = MODERN
    child = LEGACY

    def __init__(self, policy: Policy, link: Link):
        self._link = link
        self.mcp = policy.mcp
        self.tools = policy.tools
        self.is_litellm = policy.profile.is_litellm  # no failure of a tool call looks like one
        self._server = b"{}"
        self._bare: set[bytes] = set()  # `_meta` of which nothing is left
        self._stamps: dict[bool, bytes] = {}
        self._stamped: Facts | None = None

    def params(self, exchange: Exchange, message: Envelope, params: Params) -> bytes:
        exchange.message = message
        raw, tail = bytes(message.params), bytes(params.meta)
        if (
            tail in self._bare
            and not (isinstance(params, ModernParams) and (params.inputResponses or params.requestState))
            and raw.endswith(tail + b"}")
            and raw[: -len(tail) - 1].endswith(b',"_meta":')
        ):
            return raw[: -len(tail) - 10] + b"}"  # nothing in `_meta`, which is there once, is for the child: most requests
        members = envelope.members(message.params)
        inner: envelope.Members = spelling.without_tokens(envelope.members(params.meta))
        for name in meta.OF_REQUESTS:
            inner.pop(name, None)
        if exchange.token:
            inner["progressToken"] = exchange.id
        if inner:
            members["_meta"] = inner
        else:
            del members["_meta"]
            self._remember(tail)
        members.pop("inputResponses", None)
        members.pop("requestState", None)
        return envelope.encode(members) if members else b""

    def _remember(self, tail: bytes) -> None:
        if len(self._bare) >= 256:
            self._bare.clear()
        if len(tail) < 2048:
            self._bare.add(tail)

    def answer(self, exchange: Exchange, message: Envelope) -> bytes | None:
        if self.tools and exchange.method == "tools/list":
            message = cut(message, self.tools)
        if message.error:
            return self._error(exchange, message.error)
        if not envelope.is_object(message.result):
            return self.failure(exchange, INTERNAL_ERROR, "the server sent a result that is not an object")
        return envelope.result(exchange.client_id, self.stamped(exchange.method, message.result))

    def failure(self, exchange: Exchange, code: int, why: str) -> bytes:
        if self.is_litellm and exchange.method == "tools/call":
            return envelope.result(exchange.client_id, self.stamped(exchange.method, Raw(litellm_results.failed_call(why))))
        exchange.outbox.code = code
        return error_body(exchange.client_id, code, why)

    def discovered(self, client_id: bytes) -> bytes:
        """What `server/discover` answers for this child."""
        facts = self._link.facts
        assert facts is not None  # nobody asks for what is not known
        offered = {name: value for name, value in facts.capabilities.items() if name in SHOWN and facts.offers(name)}
        result = {"supportedVersions": VERSIONS, "capabilities": offered}
        if "instructions" in facts.members:
            result["instructions"] = facts.members["instructions"]
        return envelope.result(client_id, self.stamped("server/discover", Raw(envelope.encode(result))))

    def named(self, result: bytes) -> bytes:
        """A result of our own with the server's name in it."""
        self._stamp(False)
        return b'{"_meta":%b,%b' % (self._server, result[1:])

    def stamped(self, method: str, result: Raw) -> bytes:
        """The result with what every modern one has: `resultType`, who the server is, and how long it may be kept."""
        stamp = self._stamp(method in CACHEABLE)
        raw = bytes(result)
        if (
            raw.find(b'"_meta"') < 0
            and raw.find(b'"resultType"') < 0
            and raw.find(b'"ttlMs"') < 0
            and raw.find(b'"cacheScope"') < 0
            and raw.find(b"\\u00") < 0
        ):  # as `spelling.may_name`, without its call
            return b"".join((stamp, b"" if raw[1:].lstrip(b" \t\r\n") == b"}" else b",", raw[1:]))
        members = envelope.members(raw)
        inner = {**envelope.members(self._server), **meta.inner(members)}
        for name in ("resultType", "ttlMs", "cacheScope"):
            members.pop(name, None)
        stamps = envelope.members(stamp + b"}")
        return envelope.encode({**members, **stamps, "_meta": inner})

    def _stamp(self, is_cacheable: bool) -> bytes:
        """The beginning of a stamped result, up to where its own members follow."""
        facts = self._link.facts
        if facts is not self._stamped:
            self._stamped = facts
            self._server = b'{"%b":%b}' % (meta.SERVER.encode(), facts.members["serverInfo"]) if facts else b"{}"
            plain = b'{"resultType":"complete","_meta":%b' % self._server
            self._stamps = {False: plain, True: plain + HINTS}
        return self._stamps[is_cacheable]

    def _missing(self, exchange: Exchange) -> bytes:
        """The call failed after its child could not ask for what the client has not declared: there is a code for that."""
        names = sorted(exchange.missing or ())
        exchange.outbox.code = MISSING_CAPABILITY
        data = envelope.encode({"requiredCapabilities": {key: {} for key in names}})
        return error_body(exchange.client_id, MISSING_CAPABILITY, f"the server needs a client with {', '.join(names)}", data)

    def _error(self, exchange: Exchange, error: Raw) -> bytes:
        if not litellm_results.is_error(error) or (self.is_litellm and exchange.method == "tools/call"):
            return self.failure(exchange, INTERNAL_ERROR, litellm_results.error_text(error))
        code = shown_code = code_of(error)
        if code == WANTS_URL and (wanted := _elicitations(error)):
            declared = envelope.peek_meta(envelope.peek(exchange.message.params).meta).capabilities
            if not is_declared(envelope.object_or_none(declared) or {}, "elicitation", {"mode": Raw(b'"url"')}):
                exchange.missing = {*(exchange.missing or ()), "elicitation"}
                return self._missing(exchange)
            return envelope.result(exchange.client_id, b'{"resultType":"input_required","inputRequests":%b}' % wanted)
        if code == NO_RESOURCE:
            shown_code = INVALID_PARAMS
        elif code in _RESERVED:
            shown_code = INTERNAL_ERROR
        elif code == INVALID_PARAMS and _PYTHON_SAYS in bytes(error) and exchange.method not in _CORE:
            shown_code = METHOD_NOT_FOUND
        if exchange.missing:
            return self._missing(exchange)
        exchange.outbox.code = shown_code
        if shown_code != code:
            members = envelope.members(error)
            if code == NO_RESOURCE and "data" not in members and (uri := envelope.peek(exchange.message.params).uri):
                members["data"] = {"uri": uri}
            error = Raw(envelope.encode({**members, "code": shown_code}))
        return envelope.response(exchange.client_id, Envelope(error=error))


# What the Python SDK 1.x answers to a method that it does not know.
_PYTHON_SAYS = b'"Invalid request parameters"'
_CORE = frozenset(
    "tools/call tools/list prompts/get prompts/list resources/read resources/list resources/templates/list completion/complete".split()
)


class _Elicitation(msgspec.Struct):
    url: str
    message: str = ""


class _Data(msgspec.Struct):
    elicitations: list[_Elicitation]


class _UrlError(msgspec.Struct):
    data: _Data


def _elicitations(error: Raw) -> bytes:
    """The input requests that stand for a URL elicitation error of 2025-11-25 (client/elicitation). A retry is a new call."""
    try:
        wanted = msgspec.json.decode(error, type=_UrlError).data.elicitations
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return b""
    requests = {
        f"url-{number}": {"method": "elicitation/create", "params": {"mode": "url", "message": one.message, "url": one.url}}
        for number, one in enumerate(wanted, 1)
    }
    return envelope.encode(requests) if requests else b""
