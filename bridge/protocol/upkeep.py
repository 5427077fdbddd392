"""What time does to requests and to the child: everything that is due is done when the relay is swept, now and then."""

from collections.abc import Callable

from bridge.protocol.asks import Asks
from bridge.protocol.completion import Completion
from bridge.protocol.dispatch import Dispatcher
from bridge.protocol.eras.passing import Listens
from bridge.protocol.errors import TIMED_OUT
from bridge.protocol.exchange import Exchange
from bridge.protocol.incoming import Incoming
from bridge.protocol.late_lists import PATIENCE as LIST_PATIENCE
from bridge.protocol.late_lists import LateLists
from bridge.protocol.link import Link
from bridge.protocol.notices import Notices
from bridge.protocol.pings import Pings
from bridge.protocol.policy import Policy


class Upkeep:
    """`abandon(exchange, now)` takes a request back from the child."""

    def __init__(
        self,
        link: Link,
        policy: Policy,
        dispatcher: Dispatcher,
        completion: Completion,
        asks: Asks,
        parts: tuple[Incoming, Notices, Pings, LateLists],
        listens: Listens,
        abandon: Callable[[Exchange, float], None],
    ):
        self._link, self._policy, self._dispatcher, self._completion, self._asks = link, policy, dispatcher, completion, asks
        self._incoming, self._notices, self._pings, self._late_lists = parts
        self._listens, self._abandon = listens, abandon

    def sweep(self, now: float, keepalive: float) -> None:
        """What is due: time-outs, slots held too long, asks that nobody can be asked, signs of life, pings."""
        dispatcher, suspended = self._dispatcher, self._asks.suspended
        self._late_lists.sweep(now)
        self._asks.go_on(now)
        self._notices.sweep(now)
        self._incoming.sweep(now)
        self._asks.let_clients_think(now)
        for exchange in [e for e in (*dispatcher.exchanges.values(), *suspended.values()) if e.hold is None and e.is_overdue(now)]:
            self._abandon(exchange, now)
            self._time_out(exchange, now)
        for exchange in [e for e in dispatcher.exchanges.values() if e.hold is not None and now >= e.hold]:
            dispatcher.take_back(exchange.id)
        late = dispatcher.turns.clear(lambda exchange: exchange.is_overdue(now) or self._waited_too_long(exchange, now))
        for exchange in late:  # only now that all of them have left: it may be the next one's turn
            self._time_out(exchange, now)
        if keepalive:
            for exchange in [*dispatcher.exchanges.values(), *dispatcher.turns, *suspended.values()]:
                if exchange.hold is None and exchange.session and now - exchange.created >= keepalive:
                    exchange.outbox.wait()
        self._asks.sweep(now)
        self._listens.sweep(now, keepalive)
        self._pings.sweep(now)
        dispatcher.pump()

    def _waited_too_long(self, exchange: Exchange, now: float) -> bool:
        link, patience = self._link, self._policy.ready_wait
        if link.is_gone and self._policy.profile.is_litellm and exchange.method == "tools/list":
            patience = min(patience, LIST_PATIENCE)
        return not link.is_open and now - max(exchange.created, link.missing) >= patience

    def _time_out(self, exchange: Exchange, now: float) -> None:
        waited = f"{round(now - exchange.created, 1):g} s"
        if self._link.is_open:
            why = f"no answer from the server within {waited} (--request-timeout)"
        else:
            why = f"the server is not ready after {waited}: {self._link.reason}"
        self._completion.fail(exchange, "timeout", TIMED_OUT, why, now)
