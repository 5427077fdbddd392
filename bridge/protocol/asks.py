"""Requests of a child to a client: sampling, elicitation, roots.

Such a request carries no word of the call that caused it, so only a child that belongs to one session may ask; it is
asked on the stream of the only call under way, else on any stream of the session, else as soon as one opens.
"""

import msgspec

from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope
from bridge.protocol.errors import INTERNAL_ERROR, METHOD_NOT_FOUND, error_body
from bridge.protocol.exchange import Ask, Exchange
from bridge.protocol.session import Session

PATIENCE = 30.0  # seconds until a child is told that its client has no open stream to be asked on
LIMIT = 100  # asks of one child that have no answer yet; fewer than a session keeps messages
NEEDS = {"sampling/createMessage": "sampling", "elicitation/create": "elicitation", "roots/list": "roots"}
KNOWN = tuple(NEEDS)


class Asks:
    """The asks of one relay's child."""

    def __init__(self, relay):
        self.relay = relay

    def asked(self, message: Envelope, now: float) -> None:
        """The child wants to know something. Pings are answered here: nobody else might be there."""
        relay, child_id = self.relay, bytes(message.id)
        if message.method == "ping":
            return relay.send(b'{"jsonrpc":"2.0","id":%b,"result":{}}\n' % child_id)
        if relay.is_modern:
            return self._refuse(child_id, METHOD_NOT_FOUND, "servers of the modern era ask nothing of their own", "request_of_child")
        if relay.owner is None and (need := NEEDS.get(message.method)) and (exchange := relay.only_exchange()):
            exchange.missing = {*(exchange.missing or ()), need}
        if relay.owner is None or (message.method == "roots/list" and relay.policy.withhold_roots):
            why = (
                "roots are withheld from this server (--client-roots relay passes them)"
                if relay.owner
                else "client capability not available through a shared child (--isolation session)"
            )
            return self._refuse(child_id, METHOD_NOT_FOUND, why, message.method if message.method in KNOWN else "request_of_child")
        session = relay.owner
        if len(session.asks) >= LIMIT:
            return self._refuse(child_id, INTERNAL_ERROR, f"{LIMIT} requests to the client have no answer yet", "too_many_asks")
        if session.is_modern:
            refusal = session.asked(message, now)
            return refusal and self._refuse(
                child_id, refusal.code, refusal.message, message.method if message.method in KNOWN else "request_of_child"
            )
        if not relay.counts.memory.has_room(session.caller, len(memoryview(message.params))):
            return self._refuse(child_id, INTERNAL_ERROR, "there is no memory for this request to the client (--memory)", "too_many_asks")
        self._put(session, relay.only_exchange(), Ask(b"%d" % session.next_ask, child_id, message.method, now), message.params)
        return None

    def ask(self, session: Session, exchange: Exchange, method: str, params: bytes, heard, now: float) -> None:
        """Ask a session's client in the name of a modern child. `heard(answer, now)` is called once."""
        ask = Ask(b"%d" % session.next_ask, b"null", method, now)
        ask.heard, ask.exchange = heard, exchange
        self._put(session, exchange, ask, params)

    def _put(self, session: Session, exchange: Exchange | None, ask: Ask, params: bytes) -> None:
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
            self.relay.counts.strays["client_response"] += 1
            return False
        if ask.heard is not None:
            message.method = ask.method
            ask.heard(message, now)
        else:
            self.relay.send(envelope.flat(envelope.response(ask.child_id, message)) + b"\n")
            for exchange in session.exchanges.values():  # now it is the child that takes its time
                exchange.progressed(now, self.relay.policy.request_timeout)
        return True

    def cancelled(self, message: Envelope) -> None:
        """The child takes back what it asked."""
        owner = self.relay.owner
        child_id = bytes(envelope.peek(message.params).requestId)
        ask = next((ask for ask in owner.asks.values() if ask.child_id == child_id), None) if owner else None
        if ask is None:
            self.relay.counts.strays["cancelled_by_child"] += 1
            return None
        del owner.asks[ask.id]
        if owner.is_modern:
            return owner.taken_back(ask)
        if owner.waiting.pop(("ask", ask.id), None) is None:
            members = envelope.members(message.params)
            members["requestId"] = msgspec.Raw(ask.id)
            owner.deliver(envelope.notification(message.method, envelope.encode(members)), self.relay.only_exchange())

    def lost(self) -> None:
        """The child is gone: its clients need not answer any more."""
        for session in self.relay.sessions.values():
            for ask in [ask for ask in session.asks.values() if ask.heard is None]:
                _take_back(session, ask, "the server process exited")

    def withdraw(self, exchange: Exchange, why: str) -> None:
        """A call that waits for its client's answers does so no more: the client need not give them."""
        del self.relay.asking[exchange.id]
        for ask in [ask for ask in exchange.session.asks.values() if ask.exchange is exchange]:
            _take_back(exchange.session, ask, why)

    def end(self, session: Session) -> None:
        """The session is over: its child gets an error for whatever it still waits for."""
        for ask in [ask for ask in session.asks.values() if ask.heard is None]:
            self._answer_with_error(ask, "the client's session ended")
        session.asks.clear()

    def sweep(self, now: float) -> None:
        """Give up asking a client that opens no stream."""
        for session in [self.relay.owner] if self.relay.owner else [s for s in self.relay.sessions.values() if s.asks]:
            self._sweep(session, now)

    def _sweep(self, owner: Session, now: float) -> None:
        for ask in [ask for ask in owner.asks.values() if not ask.delivered and now - ask.created > PATIENCE]:
            if owner.waiting.pop(("ask", ask.id), None) is None:
                ask.delivered = True  # to a stream that opened meanwhile; people may take long to answer
                continue
            del owner.asks[ask.id]
            why = "the client has no open stream to be asked on"
            if ask.heard is not None:
                ask.heard(
                    Envelope(method=ask.method, error=msgspec.Raw(b'{"code":%d,"message":"%b"}' % (METHOD_NOT_FOUND, why.encode()))), now
                )
            else:
                self._answer_with_error(ask, why)

    def _refuse(self, child_id: bytes, code: int, why: str, kind: str) -> None:
        self.relay.counts.strays[kind] += 1
        self.relay.send(error_body(child_id, code, why) + b"\n")

    def _answer_with_error(self, ask: Ask, why: str) -> None:
        if self.relay.is_open:
            self.relay.send(error_body(ask.child_id, INTERNAL_ERROR, why) + b"\n")


def _take_back(session: Session, ask: Ask, why: str) -> None:
    """Nobody waits for the answer any more; a client that was asked is told so."""
    del session.asks[ask.id]
    if session.waiting.pop(("ask", ask.id), None) is None:
        session.deliver(envelope.notification("notifications/cancelled", b'{"requestId":%b,"reason":%b}' % (ask.id, envelope.encode(why))))


def is_declared(declared: dict, need: str, params: dict) -> bool:
    """Whether a client that declared this may be asked that; elicitation has modes (2025-11-25 and later, client/elicitation)."""
    if need not in declared:
        return False
    if need != "elicitation":
        return True
    modes = envelope.object_or_none(declared[need]) or {}
    if envelope.string(params.get("mode", b"")) == "url":
        return "url" in modes
    return not modes or "form" in modes
