"""Lists of tools that a busy child is late with: LiteLLM lists many servers, and must not be stalled by one."""

from functools import partial

from bridge.protocol.completion import Completion
from bridge.protocol.dispatch import Dispatcher
from bridge.protocol.envelope import Envelope
from bridge.protocol.exchange import Exchange
from bridge.protocol.pinned import Pinned
from bridge.protocol.profile import Strict

PATIENCE = 1.5  # seconds that LiteLLM waits for a list of tools where an older one will do


class LateLists:
    """`cursors` are those of the lists that the child is late with, until it answers."""

    def __init__(self, dispatcher: Dispatcher, completion: Completion, profile: Strict, pinned: Pinned):
        self._dispatcher, self._completion, self._profile, self._pinned = dispatcher, completion, profile, pinned
        self.cursors: set[bytes] = set()

    def sweep(self, now: float) -> None:
        if self._profile.is_litellm:
            for exchange in [e for e in (*self._dispatcher.exchanges.values(), *self._dispatcher.turns) if _is_late(e, now)]:
                self._give_last(exchange, now)

    def _give_last(self, exchange: Exchange, now: float) -> None:
        """The last one will do. What the child says later is for the next ones."""
        last = self._profile.last_list(exchange.client_id, exchange.cursor)
        if last is None:
            return
        session, outbox = exchange.session, exchange.outbox
        del session.exchanges[exchange.key]
        session.touched = now
        self._completion.end(exchange)
        self._completion.count(exchange, "late", now)
        self._dispatcher.turns.disown(exchange)
        exchange.token, exchange.is_safe = None, False
        exchange.outbox, exchange.on_answer = None, partial(self._receive, exchange.cursor)
        self.cursors.add(exchange.cursor)
        outbox.answer(last)

    def _receive(self, cursor: bytes, message: Envelope) -> None:
        self.cursors.discard(cursor)
        self._profile.record_list(cursor, self._pinned.cut(message))


def _is_late(exchange: Exchange, now: float) -> bool:
    return (
        exchange.method == "tools/list"
        and exchange.session is not None
        and exchange.hold is None
        and not exchange.session.is_modern
        and now - exchange.created >= PATIENCE
    )
