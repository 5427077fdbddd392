"""The way to the child: which requests wait, which go out when, and which have not come back."""

from collections.abc import Callable, Iterator

from bridge.counts import Counts
from bridge.protocol import envelope, meta
from bridge.protocol.audience import MANY
from bridge.protocol.envelope import Envelope
from bridge.protocol.exchange import Exchange
from bridge.protocol.interfaces import Child
from bridge.protocol.link import Link
from bridge.protocol.policy import Policy
from bridge.protocol.turns import Turns

OWN_TIMEOUT = 60.0  # seconds for requests of the bridge itself


class Dispatcher:
    """`exchanges` are written to the child and not yet answered by it, `turns` those that wait: the child is not open, or
    busy. `minted` gives ids; `callers` are those whom the child has heard of."""

    def __init__(
        self,
        child: Child,
        link: Link,
        policy: Policy,
        counts: Counts,
        minted: Iterator[int],
        exchanges: dict[int, Exchange],
        callers: set[str],
    ):
        self.exchanges = exchanges
        self.turns = Turns(policy.max_session_requests)
        self.calls = 0  # requests of clients that this child got
        self._is_stuck, self._write = child.is_stuck, child.write
        self._link, self._limit, self._counts, self._minted, self._callers = link, policy.max_in_flight, counts, minted, callers

    def mint(self) -> int:
        return next(self._minted)

    def send(self, line: bytes) -> None:
        """Write one line that is nobody's turn. A child that reads nothing for long does not get it: it would wait for ever."""
        if self._is_stuck():
            self._counts.drops["stdin_full"] += 1
            return
        self._counts.to_child += len(line)
        self._write(line)

    def submit(self, exchange: Exchange) -> None:
        limit, turns = self._limit, self.turns
        if (
            self._link.state.is_ready
            and (not limit or len(self.exchanges) < limit)
            and ((not turns.waiting and not turns.is_limited) or turns.may_go(exchange))
        ):
            self._put(exchange)  # at once, as nearly always
        else:
            turns.wait(exchange)
            self.pump()

    def pump(self) -> None:
        """Write what may be written: the child is open and has a slot free."""
        limit = self._limit
        while self.turns.waiting and self._link.state.is_ready and (not limit or len(self.exchanges) < limit):
            exchange = self.turns.next()
            if exchange is None:
                return
            self._put(exchange)

    def _put(self, exchange: Exchange) -> None:
        self.exchanges[exchange.id] = exchange
        if self.turns.is_limited:
            self.turns.gone(exchange)
        if exchange.session is not None:
            self.calls += 1
            if len(self._callers) < MANY:
                self._callers.add(exchange.session.principal)
        if exchange.entry is not None:
            exchange.entry.sent(exchange.tool)
        line = exchange.line or b""
        if not exchange.is_safe:
            exchange.line = None
        self._counts.to_child += len(line)
        self._write(line)

    def take_back(self, id: int | None) -> Exchange | None:
        """The child is done with it."""
        exchange = self.exchanges.pop(id or 0, None)
        if exchange is not None and exchange.is_turned:
            self.turns.back(exchange)
        return exchange

    def ask(
        self, method: str, params: bytes, now: float, on_answer: Callable[[Envelope], None] | None = None, timeout: float = OWN_TIMEOUT
    ) -> None:
        """A request of the bridge itself."""
        self.submit(self.own(method, params, now, on_answer, timeout))

    def ask_first(self, method: str, params: bytes, now: float) -> None:
        """The same before all that waits."""
        self.turns.wait(self.own(method, params, now), first=True)

    def own(
        self, method: str, params: bytes, now: float, on_answer: Callable[[Envelope], None] | None = None, timeout: float = OWN_TIMEOUT
    ) -> Exchange:
        exchange = Exchange(next(self._minted), None, b"0", method, "", None, None, now, now + timeout)
        exchange.on_answer = on_answer
        exchange.line = envelope.request_line(exchange.id, method, meta.own(params) if self._link.is_modern else params)
        return exchange
