"""Several children of one command that keeps nothing (`--replicas`): which of them gets a request.

Sessions belong to the first one: what is about more than one request stays with it (lists and news of them, subscriptions, tasks, pings), so
that a client is told of everything once. The others get work alone, whichever of all has the least of it. What waits for one that is away goes
to one that is there, and so does what one that died had to do, where that may be done twice.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bridge.protocol.completion import WORK
from bridge.protocol.exchange import Exchange
from bridge.protocol.known_lists import LISTS

if TYPE_CHECKING:
    from bridge.protocol.relay import Relay

SPREAD = frozenset((*WORK, "completion/complete"))
ELSEWHERE = SPREAD | frozenset(LISTS)  # what may go to another one where the first is away


class Replicas:
    """Their relays, the first one first."""

    def __init__(self, first: "Relay"):
        self._relays = [first]
        first.replicas = self

    def __iter__(self) -> "Iterator[Relay]":
        return iter(self._relays)

    @property
    def first(self) -> "Relay":
        return self._relays[0]

    def add(self, relay: "Relay") -> None:
        self._relays.append(relay)
        relay.replicas = self

    def replace(self, old: "Relay", new: "Relay") -> None:
        self._relays[self._relays.index(old)] = new
        old.replicas, new.replicas = None, self

    def of(self, method: str) -> "Relay":
        """That for a request."""
        first = self._relays[0]
        if method in SPREAD:
            return self.least_busy()
        if method in LISTS and not first.link.state.is_ready:
            return self.ready or first
        return first

    def least_busy(self) -> "Relay":
        """The first one of those with the least to do; where all have, one that sleeps is woken for what comes next."""
        least = self.ready
        if least is None:
            first = self._relays[0]
            return next((relay for relay in self._relays if relay.is_asleep), first) if first.link.is_gone else first
        if least.exchanges:
            for relay in self._relays:
                if not relay.link.state.is_open:
                    relay.child.wake(is_awaited=False)
        return least

    @property
    def ready(self) -> "Relay | None":
        """The same, of those who are there."""
        least, load = None, 0
        for relay in self._relays:
            if relay.link.state.is_ready:
                its = len(relay.exchanges) + relay.dispatcher.turns.waiting
                if least is None or its < load:
                    least, load = relay, its
        return least


def may_go_elsewhere(exchange: Exchange) -> bool:
    """Whether what waits for one child may as well be done by another one."""
    return exchange.session is not None and exchange.method in ELSEWHERE
