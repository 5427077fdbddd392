"""Whose turn it is: requests that wait for a child, one session after the other.

A client that queues a thousand calls delays another's one call by one call, not by a thousand. `limit` bounds what one
session may have with the child at once (0: no bound; none for the bridge itself), so a slow caller leaves room for the others.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator

from bridge.protocol.exchange import Exchange

BRIDGE = "bridge"  # the bridge's own requests wait in a line of their own


class Turns:
    """Waiting exchanges, each session's in their order."""

    def __init__(self, limit: int = 0):
        self.limit = limit or float("inf")
        self.is_limited = limit > 0  # else nobody needs to be counted
        self._first: deque[Exchange] = deque()  # before all lines
        self._lines: OrderedDict[object, deque[Exchange]] = OrderedDict()
        self._with_child: dict[object, int] = {}  # how many each session has there; an entry goes when it is 0
        self.waiting = 0  # how many

    def __len__(self) -> int:
        return self.waiting

    def __iter__(self) -> Iterator[Exchange]:
        return (exchange for line in (self._first, *self._lines.values()) for exchange in line)

    def wait(self, exchange: Exchange, *, first: bool = False) -> None:
        """Stand in line; `first`, before everybody, is for one that was at the child already, and what it must be told."""
        if first:
            self._first.appendleft(exchange)
        else:
            self._lines.setdefault(_whose(exchange), deque()).append(exchange)
        self.waiting += 1

    def next(self) -> Exchange | None:
        """The one whose turn it is, taken out of its line; None if nobody may go now."""
        if self._first and self._has_room(_whose(self._first[0])):
            self.waiting -= 1
            return self._first.popleft()
        for whose, line in self._lines.items():
            if self._has_room(whose):
                break
        else:
            return None
        exchange = line.popleft()
        self.waiting -= 1
        if line:
            self._lines.move_to_end(whose)
        else:
            del self._lines[whose]
        return exchange

    def may_go(self, exchange: Exchange) -> bool:
        """Whether a new exchange need not wait: nobody does, and its session has not too much with the child."""
        return not self.waiting and self._has_room(_whose(exchange))

    def remove(self, exchange: Exchange) -> None:
        """Leave the line. Raises ValueError if it does not stand there."""
        whose = _whose(exchange)
        if exchange in self._first:
            self._first.remove(exchange)
        else:
            self._lines.get(whose, deque()).remove(exchange)
        self.waiting -= 1
        if not self._lines.get(whose, True):
            del self._lines[whose]

    def gone(self, exchange: Exchange) -> None:
        """It is with the child now."""
        whose = _whose(exchange)
        exchange.is_turned = True
        self._with_child[whose] = self._with_child.get(whose, 0) + 1

    def back(self, exchange: Exchange) -> None:
        """The child is done with it."""
        whose = _whose(exchange)
        exchange.is_turned = False
        left = self._with_child[whose] - 1
        if left:
            self._with_child[whose] = left
        else:
            del self._with_child[whose]

    def disown(self, exchange: Exchange) -> None:
        """It is the bridge's own from now on, wherever it is."""
        is_waiting = any(other is exchange for other in self)
        if is_waiting:
            self.remove(exchange)
        if exchange.is_turned:
            self.back(exchange)
            exchange.session = None
            self.gone(exchange)
        exchange.session = None
        if is_waiting:
            self.wait(exchange)

    def clear(self, is_meant: Callable[[Exchange], bool] = lambda exchange: True) -> list[Exchange]:
        """Send everybody away, or only those of which `is_meant(exchange)` is true. Returns them."""
        sent_away = [exchange for exchange in self if is_meant(exchange)]
        for exchange in sent_away:
            self.remove(exchange)
        return sent_away

    def _has_room(self, whose: object) -> bool:
        return whose is BRIDGE or self._with_child.get(whose, 0) < self.limit


def _whose(exchange: Exchange) -> object:
    return exchange.session.nonce if exchange.session is not None else BRIDGE
