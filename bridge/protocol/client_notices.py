"""What clients tell: notifications, which are never refused, because nobody could be told; and that they want an answer no more."""

from msgspec import Raw

from bridge.counts import Counts
from bridge.protocol import envelope
from bridge.protocol.asks import Asks
from bridge.protocol.audience import Audience
from bridge.protocol.completion import Completion
from bridge.protocol.dispatch import Dispatcher
from bridge.protocol.envelope import NOTICE, Envelope
from bridge.protocol.errors import CANCELLED
from bridge.protocol.exchange import Exchange
from bridge.protocol.link import Link
from bridge.protocol.policy import Policy
from bridge.protocol.session import Session

SLOT_HOLD = 5.0  # seconds that a cancelled or timed-out request may still occupy a child that never answers it
_ROOTS = ("notifications/roots/list_changed",)
_OWNERS_ONLY = (*_ROOTS, "notifications/progress", "notifications/tasks/status")


class ClientNotices:
    def __init__(
        self, audience: Audience, link: Link, dispatcher: Dispatcher, completion: Completion, asks: Asks, policy: Policy, counts: Counts
    ):
        self._audience, self._link, self._dispatcher, self._completion, self._asks = audience, link, dispatcher, completion, asks
        self._policy, self._counts = policy, counts

    def notify(self, session: Session, message: Envelope, now: float) -> None:
        strays, method = self._counts.strays, message.method or ""
        if method == "notifications/cancelled":
            self._cancel(session, message, now)
        elif method == "notifications/initialized":
            session.initialized = True
        elif not method.startswith(NOTICE):
            strays["request_without_id"] += 1  # some servers would do it all the same, past every rule for requests
        elif method in _OWNERS_ONLY and (self._audience.owner is None or (method in _ROOTS and self._policy.withhold_roots)):
            strays[method] += 1
        elif self._link.is_modern:
            strays["notification_of_another_era"] += 1  # it knows no other than cancelling
        elif self._link.is_open:
            self._dispatcher.send(envelope.flat(envelope.notification(method, message.params)) + b"\n")
        else:
            strays["notification_without_child"] += 1

    def _cancel(self, session: Session, message: Envelope, now: float) -> None:
        request_id = envelope.peek(message.params).requestId
        # Only this session's own requests: another client's id is none of its business.
        exchange = session.exchanges.get(envelope.key(request_id)) if request_id else None
        if exchange is None or exchange.method == "initialize":
            self._counts.strays["cancelled"] += 1
            return
        exchange.relay.abandon(exchange, now, message.params)
        self._completion.fail(exchange, "cancelled", CANCELLED, "request cancelled by the client", now)

    def abandon(self, exchange: Exchange, now: float, params: bytes | Raw = b"") -> None:
        """Nobody waits for this answer any more: tell the child, and swallow the answer if it comes all the same."""
        dispatcher = self._dispatcher
        if exchange.id in self._asks.suspended:
            self._asks.withdraw(exchange, "nobody waits for the call any more that it was asked for")
        elif exchange.id in self._completion.unfinished:
            pass
        elif exchange.id not in dispatcher.exchanges:
            dispatcher.turns.remove(exchange)
        else:
            reason = envelope.members(params).get("reason") if params else None
            because = b',"reason":' + envelope.flat(reason) if reason else b""
            cancelled = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d%b}}\n'
            dispatcher.send(cancelled % (exchange.id, because))
            exchange.hold = now + SLOT_HOLD
