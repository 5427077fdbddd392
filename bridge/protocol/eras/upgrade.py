"""A legacy client and a modern child: each request says whose it is, each result loses what the client's SDK would refuse.

What a session had and the modern era has not, the bridge keeps: its log level goes along with each request, its
resource subscriptions are part of the bridge's own listen (`passing.py`), and a child that wants something of the client
asks for it here as a legacy server would (`rounds.py`).
"""

from functools import partial

from msgspec import Raw

from bridge.protocol import envelope, meta, rules, spelling, subscriptions
from bridge.protocol.envelope import Envelope, Params
from bridge.protocol.era import LEGACY, MODERN
from bridge.protocol.eras.passing import OwnListen
from bridge.protocol.eras.rounds import Round
from bridge.protocol.eras.translator import Translator, with_calls
from bridge.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, Reason, Refusal, error_body
from bridge.protocol.exchange import Exchange
from bridge.protocol.interfaces import Context
from bridge.protocol.link import Link
from bridge.protocol.outbox import Outbox
from bridge.protocol.policy import Policy
from bridge.protocol.revisions import FIRST_MODERN
from bridge.protocol.rules import Later, Rule
from bridge.protocol.session import NO_OBJECT, Session

_STAMPS = (b'"resultType"', b'"ttlMs"', b'"cacheScope"', b'"structuredContent"', b'"outputSchema"', b'serverInfo"')


class Upgrade(Translator):
    client = LEGACY
    child = MODERN

    def __init__(self, policy: Policy, link: Link):
        self._link = link
        self.profile, self.withholds_roots = policy.profile, policy.withhold_roots
        self.before = with_calls(BEFORE, policy)
        self._clients: dict[str, envelope.Members] = {}  # what stands in `_meta` for a client, by what it declared

    def params(self, exchange: Exchange, message: Envelope, params: Params) -> bytes:
        exchange.message, session = message, exchange.session
        exchange.level = session.level or ""
        members = envelope.object_or_none(message.params or b"{}") or {}
        inner: envelope.Members = spelling.without_tokens(meta.inner(members))
        inner.update(self._client(session))
        if session.level:
            inner[meta.LEVEL] = session.level
        if exchange.token:
            inner["progressToken"] = exchange.id
        members["_meta"] = inner
        return envelope.encode(members)

    def answer(self, exchange: Exchange, message: Envelope) -> bytes | None:
        if message.result and spelling.may_name(bytes(message.result), b'"input_required"'):
            members = envelope.object_or_none(message.result) or {}
            if envelope.string(members.get("resultType", b"")) == "input_required":
                failure = Round.begin(exchange, members, self._link.last_received)
                if failure:
                    message.result, message.error = envelope.ABSENT, Raw(b"{}")  # it is counted as what the client gets
                return failure
        if message.result:
            message.result = Raw(self._trimmed(exchange, message.result))
        return self.profile.answer(exchange, message)

    def failure(self, exchange: Exchange, code: int, why: str) -> bytes:
        return self.profile.failure(exchange, code, why)

    def _client(self, session: Session) -> envelope.Members:
        known = self._clients.get(session.nonce)
        if known is None:
            if len(self._clients) > 10_000:
                self._clients.clear()
            known = self._clients[session.nonce] = {
                meta.VERSION: FIRST_MODERN,
                meta.CAPABILITIES: self._capabilities(session),
                **({meta.CLIENT: session.client} if len(memoryview(session.client)) > 2 else {}),
            }
        return known

    def _capabilities(self, session: Session) -> envelope.Members:
        """What a client declared, as the modern era says it: elicitation names its modes, and nothing is said of changes."""
        offered = envelope.object_or_none(session.capabilities) or {}
        for name in ("tasks", "extensions"):  # whose results a client with a session could not take
            offered.pop(name, None)
        if bytes(offered.get("elicitation", b"")).replace(b" ", b"") == b"{}":
            offered["elicitation"] = Raw(b'{"form":{}}')
        if self.withholds_roots:
            offered.pop("roots", None)
        elif "roots" in offered:
            offered["roots"] = Raw(b"{}")
        return offered

    def _trimmed(self, exchange: Exchange, result: Raw) -> bytes:
        """The result without the modern era's own members, and without what older SDKs take for a broken result."""
        raw = bytes(result)
        if not spelling.may_name(raw, *_STAMPS):
            return raw
        members = envelope.object_or_none(raw)
        if members is None:
            return raw
        for name in ("resultType", "ttlMs", "cacheScope"):
            members.pop(name, None)
        inner = meta.inner(members)
        if inner.pop(meta.SERVER, None) is not None:
            if inner:
                members["_meta"] = inner
            else:
                del members["_meta"]
        if exchange.method == "tools/call" and not envelope.is_object(members.get("structuredContent", NO_OBJECT)):
            del members["structuredContent"]
        if exchange.method == "tools/list":
            members["tools"] = _tools(members.get("tools", Raw(b"[]")))
        return envelope.encode(members)


def _tools(raw: Raw) -> list[Raw | envelope.Members] | Raw:
    """Tools whose `outputSchema` is no object's lose it: to 2025-11-25 it had to be one."""
    tools = envelope.array_or_none(raw)
    if tools is None:
        return raw
    return [_tool(tool) if spelling.may_name(bytes(tool), b'"outputSchema"') else tool for tool in tools]


def _tool(raw: Raw) -> envelope.Members | Raw:
    tool = envelope.object_or_none(raw)
    schema = envelope.object_or_none((tool or {}).get("outputSchema", b"")) or {}
    if tool is None or bytes(schema.get("type", b"")) == b'"object"':
        return raw
    tool.pop("outputSchema", None)
    return tool


# -- what a session had ---------------------------------------------------------------------------------------------------


def set_level(relay: Context, session: Session, message: Envelope, params: Params) -> bytes | Refusal:
    level = envelope.string(params.level)
    if level not in subscriptions.LEVELS:
        return Refusal(200, INVALID_PARAMS, f"level must be one of {', '.join(subscriptions.LEVELS)}", reason=Reason.REQUEST)
    session.level = level
    return envelope.result(message.id, b"{}")


def subscribe(relay: Context, session: Session, message: Envelope, params: Params) -> Refusal | Later:
    uri = envelope.string(params.uri)
    if not uri:
        return Refusal(200, INVALID_PARAMS, "uri is missing", reason=Reason.REQUEST)
    if why := subscriptions.too_much(session, uri):
        return Refusal(200, INVALID_PARAMS, why, reason=Reason.REQUEST)
    return partial(_subscribe, relay, session, message, uri)


def _subscribe(relay: Context, session: Session, message: Envelope, uri: str, outbox: Outbox, now: float) -> None:
    session.subscriptions.add(uri)
    session.fits()
    own = relay.listens.own
    own.refresh(now, lambda: outbox.answer(_subscribed(relay.link, own, session, message, uri)))


def _subscribed(link: Link, own: OwnListen, session: Session, message: Envelope, uri: str) -> bytes:
    if uri in own.honoured:
        return envelope.result(message.id, b"{}")
    session.subscriptions.discard(uri)
    if not link.is_open:
        return error_body(message.id, INTERNAL_ERROR, f"the server is not ready: {link.reason}")
    return error_body(message.id, INTERNAL_ERROR, "the server does not tell about changes of this resource")


def unsubscribe(relay: Context, session: Session, message: Envelope, params: Params) -> bytes | Later:
    session.subscriptions.discard(envelope.string(params.uri) or "")
    if not relay.link.is_open:  # the next child is not asked for it
        return envelope.result(message.id, b"{}")
    return lambda outbox, now: relay.listens.own.refresh(now, lambda: outbox.answer(envelope.result(message.id, b"{}")))


def unknown(relay: Context, session: Session, message: Envelope, params: Params) -> Refusal:
    return Refusal(200, METHOD_NOT_FOUND, f"{message.method} is not a method of MCP {session.revision}", reason=Reason.REQUEST)


def tasks(relay: Context, session: Session, message: Envelope, params: Params) -> Refusal:
    return Refusal(
        200, METHOD_NOT_FOUND, "the server has the tasks of MCP 2026-07-28, which clients with a session cannot use", reason=Reason.ERA
    )


BEFORE: dict[str, Rule] = {
    "ping": rules.ping,
    "server/discover": unknown,
    "subscriptions/listen": unknown,
    "tools/list": rules.list_tools,
    "logging/setLevel": set_level,
    "resources/subscribe": subscribe,
    "resources/unsubscribe": unsubscribe,
    **dict.fromkeys(("tasks/get", "tasks/result", "tasks/list", "tasks/cancel", "tasks/update"), tasks),
}
