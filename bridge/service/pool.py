"""Warm children for sessions that want one of their own, so that nobody waits for a spawn.

A spare has shaken hands with the capabilities that clients lately declared; it is given to one session and stopped after
it, never handed on. All children of sessions, spares included, are at most `limit`.
"""

import asyncio
from collections import OrderedDict, deque

from bridge.child.lifecycle import State
from bridge.protocol.errors import Refusal, busy
from bridge.protocol.facts import initialize_params
from bridge.protocol.session import Session
from bridge.service.child import Child

KINDS = 2  # sets of capabilities for which spares are kept; those asked for last


class Pool:
    """`kind` is a client's capabilities as JSON: what a spare's handshake was made with."""

    def __init__(self, service, spares: int, limit: int, patience: float):
        self.service = service
        self.wanted = spares
        self.limit = limit or float("inf")
        self.patience = patience
        self.taken: set[Child] = set()
        self._spares: OrderedDict[bytes, list[Child]] = OrderedDict({b"{}": []} if spares else {})
        self._waiting: deque[asyncio.Future] = deque()
        self._is_closed = False

    def __iter__(self):
        yield from list(self.taken)
        for spares in list(self._spares.values()):
            yield from list(spares)

    @property
    def spares(self) -> int:
        return sum(len(spares) for spares in self._spares.values())

    async def take(self, session: Session, kind: bytes, params: bytes) -> Child | Refusal:
        """A child for a session: a spare if there is one, else a new one, else what another session leaves in time."""
        deadline = self.service.loop.time() + self.patience
        while (child := self._take_now(session, kind, params)) is None:
            self.service.counts.waits += 1
            waiter = self.service.loop.create_future()
            self._waiting.append(waiter)
            try:
                await asyncio.wait_for(waiter, max(0, deadline - self.service.loop.time()))
            except TimeoutError:
                return busy("sessions with a child of their own", "--max-children")
        self.refill()
        return child

    def give_back(self, child: Child) -> None:
        """The session is over. Its child is stopped: what it knows is nobody else's business."""
        self.service.spawn(self._end(child))

    def refill(self) -> None:
        """Start spares until there are enough of the kinds asked for lately."""
        for kind, spares in self._spares.items():
            while len(spares) < self.wanted and self._count() < self.limit and not self._is_closed:
                child = Child(self.service, "spare", initialize_params(capabilities=kind), on_gone=self._lost_spare)
                spares.append(child)
                child.start()

    async def close(self) -> None:
        self._is_closed = True
        await asyncio.gather(*(child.stop() for child in self))

    def _count(self) -> int:
        return len(self.taken) + self.spares

    def _take_now(self, session: Session, kind: bytes, params: bytes) -> Child | None:
        self._note(kind)
        spares = self._spares.get(kind, [])
        child = next((spare for spare in spares if spare.relay.is_open), None)
        if child is not None:
            spares.remove(child)
            child.role = "own"
            child.on_gone = lambda child: None
            child.log = child.relay.log = self.service.log.bind(session=session.label, pid=child.pid)
            child.relay.adopt(session, self.service.loop.time())
        elif self._count() < self.limit or self._make_room():
            child = Child(self.service, "own", params, session)
            child.relay.join(session)
            child.start()
        else:
            return None
        self.taken.add(child)
        return child

    def _note(self, kind: bytes) -> None:
        if self.wanted:
            self._spares.setdefault(kind, [])
            self._spares.move_to_end(kind)
            while len(self._spares) > KINDS:
                for spare in self._spares.popitem(last=False)[1]:
                    self.service.spawn(spare.stop())

    def _make_room(self) -> bool:
        """Give up a spare that is not what is wanted."""
        for spares in self._spares.values():
            if spares:
                self.service.spawn(spares.pop().stop())
                return True
        return False

    def _lost_spare(self, child: Child) -> None:
        """A spare that will not live is given up; the next session that takes one starts the next try."""
        if child.supervisor.state in (State.FATAL, State.STOPPED):
            for spares in self._spares.values():
                if child in spares:
                    spares.remove(child)

    async def _end(self, child: Child) -> None:
        await child.stop()
        self.taken.discard(child)
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.refill()
