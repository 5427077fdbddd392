"""Legacy children lent to modern calls that may be asked things, one call at a time, and calls that are parked there.

A child whose call ended well is kept for the next call of the same caller with the same capabilities: a modern client
declares them with every request, and a spawn for each would cost more than the call. One whose call broke off is stopped.
"""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Protocol

from msgspec import Raw

from bridge.budget import Reservation
from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope, Meta, ModernParams
from bridge.protocol.eras import parking
from bridge.protocol.eras.parking import Lease
from bridge.protocol.errors import INVALID_PARAMS, Reason, Refusal, modern_refusal
from bridge.protocol.exchange import Observer
from bridge.protocol.outbox import ModernOutbox
from bridge.protocol.session import NO_OBJECT, Session
from bridge.service.child import Child, relay_of
from bridge.service.setup import Setup

COLLECT = 0.02  # seconds in which what a child asks is one round
KEPT = 60.0  # seconds that a child waits for the next call
INVALID = "requestState is not one of a call that is parked here: it expired, was used before, or is another call's"


class Reply(ModernOutbox, Protocol):
    """The outbox of a modern call."""

    is_over: bool
    leave: Callable[[], None] | None  # what is called if its client goes


class Lender(Protocol):
    """Who has the children."""

    async def lend(self, lease: Session) -> Child | Refusal: ...

    def release(self, session: Session) -> None: ...

    @property
    def shared(self) -> Child: ...

    @property
    def has_waiting(self) -> bool:
        """Whether sessions wait for a child."""


class Leases:
    """The leases of one service."""

    def __init__(self, setup: Setup, key: bytes, children: Lender):
        self._name = setup.name
        self._key = key
        self._children = children
        self._memory = setup.memory
        self._log = setup.log
        self._loop = setup.loop
        self._now = setup.now
        self._lent: dict[str, Lease] = {}  # by ticket
        self._free: dict[tuple[str, bytes], list[tuple[float, Lease]]] = defaultdict(list)
        settings = setup.settings
        self._may_lend = settings.isolation == "session" or (settings.isolation == "auto" and settings.max_in_flight != 1)
        self._may_keep = settings.isolation != "session"
        self._patience = min(parking.PARKED, settings.request_timeout_max or parking.PARKED)

    def wants(self, method: str, meta: Meta) -> bool:
        """Whether this call may be asked something."""
        return (
            self._may_lend
            and method in parking.METHODS
            and len(memoryview(meta.capabilities)) > 2
            and bool(parking.askable(meta.capabilities))
        )

    async def call(
        self, message: Envelope, params: ModernParams, meta: Meta, reply: Reply, principal: str, trace: str, entry: Observer | None = None
    ) -> Refusal | None:
        lease = await self._take(principal, meta)
        if isinstance(lease, Refusal):
            return lease
        if reply.is_over:
            self._over(lease, True)
            return None
        now = self._now()
        level = envelope.string(meta.level) or "" if meta.level else ""
        relay = relay_of(lease)
        if level and relay.facts is None and (known := self._children.shared.relay.facts) and known.offers("logging"):
            relay.audience.level = level  # it is still starting, so it will hear of this first
            relay.dispatcher.ask("logging/setLevel", b'{"level":"%b"}' % level.encode(), now)
        reply.leave = partial(self._left, lease)
        lease.begin(message, params, meta.progressToken, level, reply, now, trace, entry)
        if lease.exchange is not None:
            self._lent[lease.ticket] = lease
        return None

    def resume(
        self, message: Envelope, params: ModernParams, meta: Meta, reply: Reply, principal: str, entry: Observer | None = None
    ) -> Refusal | None:
        """The retry of a call that is parked."""
        now = self._now()
        ticket = parking.unsealed(params.requestState, self._key)
        if ticket is None or ticket.mcp != self._name or now >= ticket.expires:
            return modern_refusal(INVALID_PARAMS, INVALID, reason=Reason.SESSION)
        lease = self._lent.get(ticket.lease)
        if lease is None or not lease.is_for(ticket, message.method or "", message.params, principal):
            return modern_refusal(INVALID_PARAMS, INVALID, reason=Reason.SESSION)
        refusal = lease.resume(bytes(message.id), params, meta, reply, now, entry)
        if refusal is None and not reply.is_over:
            reply.leave = partial(self._left, lease)
        return refusal

    def sweep(self, now: float) -> None:
        """End what nobody came back for, and children that nobody needs."""
        for lease in [lease for lease in self._lent.values() if lease.parked and now - lease.parked >= self._patience]:
            self._log.info("parked call expired: its client did not come back", session=lease.label)
            lease.expire(now)
        pressed = self._children.has_waiting
        for kind, free in list(self._free.items()):
            for since, lease in list(free):
                if pressed or now - since >= KEPT or not relay_of(lease).is_open:
                    free.remove((since, lease))
                    self._give_back(lease)
            if not free:
                del self._free[kind]

    def finish(self) -> None:
        """The bridge is shutting down: nobody can come back for what is parked."""
        self._may_keep = False
        for lease in [lease for lease in self._lent.values() if lease.parked]:
            lease.expire(self._now())

    async def _take(self, principal: str, meta: Meta) -> Lease | Refusal:
        capabilities = envelope.encode(parking.askable(meta.capabilities))
        free = self._free.get((principal, capabilities))
        while free:
            _, lease = free.pop()
            if relay_of(lease).is_open:
                return lease
            self._give_back(lease)
        lease = Lease(
            self._name,
            principal,
            Raw(capabilities),
            meta.client.copy() if meta.client else NO_OBJECT,
            self._key,
            soon=lambda lease: self._loop.call_later(COLLECT, self._flush, lease),
            over=self._over,
            hold=Reservation(self._memory, principal),
        )
        child = await self._children.lend(lease)
        return child if isinstance(child, Refusal) else lease

    def _flush(self, lease: Lease) -> None:
        lease.flush(self._now())

    def _left(self, lease: Lease) -> None:
        lease.left(self._now())

    def _over(self, lease: Lease, is_clean: bool) -> None:
        self._lent.pop(lease.ticket, None)
        if is_clean and self._may_keep and relay_of(lease).is_open:
            self._free[lease.principal, bytes(lease.capabilities)].append((self._now(), lease))
        else:
            self._give_back(lease)

    def _give_back(self, lease: Lease) -> None:
        relay_of(lease).leave(lease, self._now())
        self._children.release(lease)
