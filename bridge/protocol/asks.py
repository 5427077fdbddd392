"""Requests of a child to a client: sampling, elicitation, roots.

Such a request carries no word of the call that caused it, so only a child that belongs to one session may ask; it is
asked on the stream of the only call under way, else on any stream of the session, else as soon as one opens.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Raw

from bridge.counts import Counts
from bridge.protocol import envelope
from bridge.protocol.audience import Audience
from bridge.protocol.dispatch import Dispatcher
from bridge.protocol.envelope import Envelope
from bridge.protocol.errors import INTERNAL_ERROR, METHOD_NOT_FOUND, error_body
from bridge.protocol.exchange import Ask, Exchange, OnAnswer
from bridge.protocol.link import Link
from bridge.protocol.policy import Policy
from bridge.protocol.session import Session

PATIENCE = 30.0  # seconds until a child is told that its client has no open stream to be asked on
LIMIT = 100  # asks of one child that have no answer yet; fewer than a session keeps messages
NEEDS = {"sampling/createMessage": "sampling", "elicitation/create": "elicitation", "roots/list": "roots"}


class Asks:
    """The asks of one child. `suspended` are calls that were taken back from it until their client has answered what it wants to know."""

    def __init__(self, audience: Audience, dispatcher: Dispatcher, link: Link, policy: Policy, counts: Counts):
        self._audience, self._link, self._policy, self._counts = audience, link, policy, counts
        self._send = dispatcher.send
        self.suspended: dict[int, Exchange] = {}
        self._postponed: list[Callable[[float], None]] = []

    def asked(self, message: Envelope, now: float) -> None:
        """The child wants to know something. Pings are answered here: nobody else might be there."""
        child_id, method, owner = bytes(message.id), message.method or "", self._audience.owner
        if method == "ping":
            return self._send(b'{"jsonrpc":"2.0","id":%b,"result":{}}\n' % child_id)
        if self._link.is_modern:
            return self._refuse(child_id, METHOD_NOT_FOUND, "servers of the modern era ask nothing of their own", "request_of_child")
        kind = method if method in NEEDS else "request_of_child"
        if owner is None:
            if (need := NEEDS.get(method)) and (exchange := self._audience.only_exchange()):
                exchange.missing = {*(exchange.missing or ()), need}
            why = "client capability not available through a shared child (--isolation session)"
            return self._refuse(child_id, METHOD_NOT_FOUND, why, kind)
        if method == "roots/list" and self._policy.withhold_roots:
            return self._refuse(child_id, METHOD_NOT_FOUND, "roots are withheld from this server (--client-roots relay passes them)", kind)
        if len(owner.asks) >= LIMIT:
            return self._refuse(child_id, INTERNAL_ERROR, f"{LIMIT} requests to the client have no answer yet", "too_many_asks")
        if owner.is_modern:
            lease: Any = owner  # parking.Lease, which collects them
            if refusal := lease.asked(message, now):
                self._refuse(child_id, refusal.code, refusal.message, kind)
            return None
        if not self._counts.memory.has_room(owner.caller, len(message.params)):
            return self._refuse(child_id, INTERNAL_ERROR, "there is no memory for this request to the client (--memory)", "too_many_asks")
        return self._put(owner, self._audience.only_exchange(), Ask(b"%d" % owner.next_ask, child_id, method, now), message.params)

    def ask(self, session: Session, exchange: Exchange, method: str, params: Raw, on_answer: OnAnswer, now: float) -> None:
        """Ask a session's client in the name of a modern child. `heard(answer, now)` is called once."""
        ask = Ask(b"%d" % session.next_ask, b"null", method, now)
        ask.on_answer, ask.exchange = on_answer, exchange
        self._put(session, exchange, ask, params)

    def _put(self, session: Session, exchange: Exchange | None, ask: Ask, params: Raw) -> None:
        session.next_ask += 1
        session.asks[ask.id] = ask
        request = envelope.request(ask.id, ask.method, params)
        ask.delivered = session.deliver(request, exchange) or any(
            exchange.outbox.put(request) for exchange in reversed(session.exchanges.values())
        )
        if not ask.delivered:
            session.keep(("ask", ask.id), request)

    def answered(self, session: Session, message: Envelope, now: float) -> bool:
        """A client's answer. False if nobody asked."""
        ask = session.asks.pop(envelope.key(message.id), None)
        if ask is None:
            self._counts.strays["client_response"] += 1
            return False
        if ask.on_answer is not None:
            message.method = ask.method
            ask.on_answer(message, now)
        else:
            self._send(envelope.flat(envelope.response(ask.child_id, message)) + b"\n")
            for exchange in session.exchanges.values():  # now it is the child that takes its time
                exchange.progressed(now, self._policy.request_timeout)
        return True

    def cancelled(self, message: Envelope) -> None:
        """The child takes back what it asked."""
        owner = self._audience.owner
        child_id = bytes(envelope.peek(message.params).requestId)
        ask = next((ask for ask in owner.asks.values() if ask.child_id == child_id), None) if owner else None
        if owner is None or ask is None:
            self._counts.strays["cancelled_by_child"] += 1
            return
        del owner.asks[ask.id]
        if owner.is_modern:
            lease: Any = owner
            lease.taken_back(ask)
        elif owner.waiting.pop(("ask", ask.id), None) is None:
            members = envelope.members(message.params)
            members["requestId"] = Raw(ask.id)
            owner.deliver(envelope.notification(message.method or "", envelope.encode(members)), self._audience.only_exchange())

    def lost(self) -> None:
        """The child is gone: its clients need not answer any more."""
        for session in self._audience:
            for ask in [ask for ask in session.asks.values() if ask.on_answer is None]:
                _take_back(session, ask, "the server process exited")

    def withdraw(self, exchange: Exchange, why: str) -> None:
        """A call that waits for its client's answers does so no more: the client need not give them."""
        del self.suspended[exchange.id]
        for ask in [ask for ask in exchange.session.asks.values() if ask.exchange is exchange]:
            _take_back(exchange.session, ask, why)

    def end(self, session: Session) -> None:
        """The session is over: its child gets an error for whatever it still waits for."""
        for ask in [ask for ask in session.asks.values() if ask.on_answer is None]:
            self._answer_with_error(ask, "the client's session ended")
        session.asks.clear()

    def postpone(self, again: Callable[[float], None]) -> None:
        """Have this called at the next sweep."""
        self._postponed.append(again)

    def go_on(self, now: float) -> None:
        postponed, self._postponed = self._postponed, []
        for again in postponed:
            again(now)

    def let_clients_think(self, now: float) -> None:
        """People may take long to answer, and the child can do nothing about it. The hard maximum stays."""
        owner, thinking = self._audience.owner, list(self.suspended.values())
        if owner is not None and owner.asks and any(_is_asked_in(exchange) for exchange in self._audience.exchanges.values()):
            thinking += owner.exchanges.values()
        for exchange in thinking:
            exchange.progressed(now, self._policy.request_timeout)

    def sweep(self, now: float) -> None:
        """Give up asking a client that opens no stream."""
        for session in [owner] if (owner := self._audience.owner) else [session for session in self._audience if session.asks]:
            self._sweep(session, now)

    def _sweep(self, owner: Session, now: float) -> None:
        for ask in [ask for ask in owner.asks.values() if not ask.delivered and now - ask.created > PATIENCE]:
            if owner.waiting.pop(("ask", ask.id), None) is None:
                ask.delivered = True  # to a stream that opened meanwhile; people may take long to answer
                continue
            del owner.asks[ask.id]
            why = "the client has no open stream to be asked on"
            if ask.on_answer is not None:
                ask.on_answer(Envelope(method=ask.method, error=Raw(b'{"code":%d,"message":"%b"}' % (METHOD_NOT_FOUND, why.encode()))), now)
            else:
                self._answer_with_error(ask, why)

    def _refuse(self, child_id: bytes, code: int, why: str, kind: str) -> None:
        self._counts.strays[kind] += 1
        self._send(error_body(child_id, code, why) + b"\n")

    def _answer_with_error(self, ask: Ask, why: str) -> None:
        if self._link.is_open:
            self._send(error_body(ask.child_id, INTERNAL_ERROR, why) + b"\n")


def _take_back(session: Session, ask: Ask, why: str) -> None:
    """Nobody waits for the answer any more; a client that was asked is told so."""
    del session.asks[ask.id]
    if session.waiting.pop(("ask", ask.id), None) is None:
        session.deliver(envelope.notification("notifications/cancelled", b'{"requestId":%b,"reason":%b}' % (ask.id, envelope.encode(why))))


def _is_asked_in(exchange: Exchange) -> bool:
    """Whether its client is asked something that may be for this call: an ask that was left over from an earlier one is not."""
    session = exchange.session
    return (
        session is not None
        and exchange.hold is None
        and any(ask.on_answer is None and ask.created >= exchange.created for ask in session.asks.values())
    )


def is_declared(declared: dict[str, Raw], need: str, params: dict[str, Raw]) -> bool:
    """Whether a client that declared this may be asked that; elicitation has modes (2025-11-25 and later, client/elicitation)."""
    if need not in declared:
        return False
    if need != "elicitation":
        return True
    modes = envelope.object_or_none(declared[need]) or {}
    if envelope.string(params.get("mode", envelope.ABSENT)) == "url":
        return "url" in modes
    return not modes or "form" in modes
