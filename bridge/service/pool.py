"""Warm children for sessions that want one of their own, so that nobody waits for a spawn.

A spare has shaken hands with the capabilities that clients lately declared; it is given to one session and stopped after
it, never handed on. One that a client did not wait for until it had started is set aside, because the same client mostly
comes again: LiteLLM's sessions that only ask for a list are over before their child has started. All children of sessions,
spares and those that are just ending included, are at most `limit`. A server of the modern era only needs none of them.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol

from bridge.budget import Budget
from bridge.child.lifecycle import State
from bridge.counts import Counts
from bridge.log import Log
from bridge.protocol.errors import Refusal, busy, no_room
from bridge.protocol.facts import initialize_params
from bridge.protocol.session import Session
from bridge.service.child import Child

KINDS = 2  # sets of capabilities for which spares are kept; those asked for last
REFILL_DELAY = 0.1  # seconds between a spare that was taken and the start of the next one
ASIDE = 60.0  # seconds that a child which a client did not wait for is kept
COMING = (State.STARTING, State.HANDSHAKING)


class Maker(Protocol):
    """Makes a child that nobody has started yet."""

    def __call__(self, role: str, params: bytes, owner: Session | None, on_gone: Callable[[Child], None]) -> Child: ...


class Pool:
    """`kind` is a client's capabilities as JSON: what a spare's handshake was made with. `is_needed()`: whether sessions get
    children of their own at all.
    """

    def __init__(
        self,
        make: Maker,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        is_needed: Callable[[], bool],
        log: Log,
        counts: Counts,
        *,
        spares: int,
        limit: int,
        patience: float,
        is_fair: bool = False,
    ):
        self._make = make
        self._spawn = spawn
        self._is_needed = is_needed
        self._log = log
        self._counts = counts
        self._loop = asyncio.get_running_loop()
        self.wanted = spares
        self.limit = limit or float("inf")
        self.pot = Budget(limit, is_fair)  # what sessions have of it
        self.patience = patience
        self.taken: set[Child] = set()
        self._spares: OrderedDict[bytes, list[Child]] = OrderedDict({b"{}": []} if spares else {})
        self._aside: list[Child] = []
        self._ending: set[Child] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_closed = False

    def __iter__(self) -> Iterator[Child]:
        yield from list(self.taken)
        for spares in self._shelves():
            yield from list(spares)
        yield from list(self._ending)

    @property
    def spares(self) -> int:
        return sum(len(spares) for spares in self._spares.values())

    @property
    def has_waiting(self) -> bool:
        return bool(self._waiting)

    async def take(self, session: Session, kind: bytes, params: bytes) -> Child | Refusal:
        """A child for a session: a spare if there is one, else a new one, else what another session leaves in time."""
        if self.pot.is_fair and self.pot.held < self.limit and not self.pot.has_room(session.caller):
            return no_room(self.pot, session.caller, "sessions with a child of their own", "--max-children")
        child = self._take_now(session, kind, params, may_start=not self._waiting)
        if child is None:
            self._counts.waits += 1
            try:
                child = await asyncio.wait_for(self._wait(session, kind, params), self.patience)
            except TimeoutError:
                return busy("sessions with a child of their own", "--max-children")
        # Later: a fork takes 10 ms in which this session's first requests would wait.
        self._loop.call_later(REFILL_DELAY, self.refill)
        return child

    def give_back(self, child: Child) -> None:
        """The session is over. Its child is stopped: what it knows is nobody else's business."""
        if child in self.taken:
            self._untake(child)
            self._end(child)

    def _untake(self, child: Child) -> None:
        self.taken.discard(child)
        self.pot.give(child.caller)

    def set_aside(self, child: Child) -> None:
        """Its session did not wait until it had started, so nobody has used it: the same client may come again."""
        if child not in self.taken or child.supervisor.state not in COMING or self._waiting or self._is_closed or not self._is_needed():
            self.give_back(child)
            return
        self._untake(child)
        self._aside.append(child)
        child.give_to(None, "spare", self._log)
        self._loop.call_later(ASIDE, self._end_aside, child)

    def refill(self) -> None:
        """Start spares until there are enough of the kinds asked for lately, and nobody else needs the room."""
        if not self._is_needed():
            for spares in self._shelves():
                while spares:
                    self._end(spares.pop())
            return
        for kind, spares in self._spares.items():
            while len(spares) < self.wanted and self._has_room() and not self._waiting and not self._is_closed:
                child = self._make("spare", initialize_params(capabilities=kind), None, self._lost)
                spares.append(child)
                child.start()

    async def close(self) -> None:
        self._is_closed = True
        while self._wake_next():
            pass
        await asyncio.gather(*(child.stop() for child in self))

    # -- taking -------------------------------------------------------------------------------------------------------------

    async def _wait(self, session: Session, kind: bytes, params: bytes) -> Child:
        """Stand in line until a child ends. Whoever is woken goes first; if it left meanwhile, the next one is."""
        is_new = True
        while not self._is_closed:
            waiter = self._loop.create_future()
            (self._waiting.append if is_new else self._waiting.appendleft)(waiter)
            is_new = False
            self._make_room()
            try:
                await waiter
                if child := self._take_now(session, kind, params):
                    return child
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake_next()
                raise
            finally:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
        raise TimeoutError

    def _take_now(self, session: Session, kind: bytes, params: bytes, may_start: bool = True) -> Child | None:
        if self._is_closed:
            return None
        self._note(kind)
        child = self._pick_spare(kind, params)
        if child is not None:
            child.give_to(session, "own", self._log.bind(session=session.label))
        elif may_start and self._has_room():
            child = self._make("own", params, session, self._lost)
            child.relay.join(session)
            child.start()
        else:
            return None
        self.taken.add(child)
        child.caller = session.caller
        self.pot.take(session.caller)
        return child

    def _pick_spare(self, kind: bytes, params: bytes) -> Child | None:
        """One that is ready, else one that will be ready before a new one would."""
        fitting = params, initialize_params(capabilities=kind)
        spares = [child for child in self._aside if child.params in fitting] + self._spares.get(kind, [])
        child = next((spare for spare in spares if spare.relay.is_open), None) or next(
            (spare for spare in spares if spare.supervisor.state in COMING), None
        )
        if child is not None:
            self._remove(child)
        return child

    def _has_room(self) -> bool:
        return len(self.taken) + self.spares + len(self._aside) + len(self._ending) < self.limit

    def _make_room(self) -> None:
        """Give up a spare that is not what is wanted, unless enough children are ending already."""
        if len(self._ending) < len(self._waiting) and (spares := next(filter(None, self._shelves()), None)):
            self._end(spares.pop())

    # -- spares -------------------------------------------------------------------------------------------------------------

    def _note(self, kind: bytes) -> None:
        if self.wanted:
            self._spares.setdefault(kind, [])
            self._spares.move_to_end(kind)
            while len(self._spares) > KINDS:
                for spare in self._spares.popitem(last=False)[1]:
                    self._end(spare)

    def _lost(self, child: Child) -> None:
        """A spare that will not live is given up; the next session that takes one starts the next try."""
        if child.supervisor.state in (State.FATAL, State.STOPPED) and self._remove(child):
            self._wake_next()

    def _shelves(self) -> tuple[list[Child], ...]:
        """Where children wait for a session; first to be given up first."""
        return (self._aside, *self._spares.values())

    def _remove(self, child: Child) -> bool:
        for spares in self._shelves():
            if child in spares:
                spares.remove(child)
                return True
        return False

    def _end_aside(self, child: Child) -> None:
        """Nobody came for it."""
        if child in self._aside:
            self._aside.remove(child)
            self._end(child)

    # -- ending -------------------------------------------------------------------------------------------------------------

    def _end(self, child: Child) -> None:
        self._ending.add(child)
        self._spawn(self._stop(child))

    async def _stop(self, child: Child) -> None:
        try:
            await child.stop()
        finally:
            self._ending.discard(child)
            if not self._wake_next():
                self.refill()

    def _wake_next(self) -> bool:
        """There may be room for one more: whoever waits longest has it. False if nobody waits."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return True
        return False
