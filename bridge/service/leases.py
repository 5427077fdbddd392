"""Legacy children lent to modern calls that may be asked things, one call at a time, and calls that are parked there.

A child whose call ended well is kept for the next call of the same caller with the same capabilities: a modern client
declares them with every request, and a spawn for each would cost more than the call. One whose call broke off is stopped.
"""

from collections import defaultdict

from bridge.budget import Reservation
from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope, Meta, ModernParams
from bridge.protocol.eras import parking
from bridge.protocol.eras.parking import Lease
from bridge.protocol.errors import INVALID_PARAMS, Refusal, modern_refusal
from bridge.protocol.session import NO_OBJECT

COLLECT = 0.02  # seconds in which what a child asks is one round
KEPT = 60.0  # seconds that a child waits for the next call
INVALID = "requestState is not one of a call that is parked here: it expired, was used before, or is another call's"


class Leases:
    """The leases of one service."""

    def __init__(self, service, key: bytes):
        self.service = service
        self.key = key
        self._lent: dict[str, Lease] = {}  # by ticket
        self._free: dict[tuple[str, bytes], list[tuple[float, Lease]]] = defaultdict(list)
        settings = service.settings
        self._may_lend = settings.isolation == "session" or (settings.isolation == "auto" and settings.max_in_flight != 1)

    def wants(self, method: str, meta: Meta) -> bool:
        """Whether this call may be asked something."""
        return (
            self._may_lend
            and method in parking.METHODS
            and len(memoryview(meta.capabilities)) > 2
            and bool(parking.askable(meta.capabilities))
        )

    async def call(self, message: Envelope, params: ModernParams, meta: Meta, reply, principal: str, trace: str) -> Refusal | None:
        lease = await self._take(principal, meta)
        if isinstance(lease, Refusal):
            return lease
        if reply.is_over:
            self._over(lease, True)
            return None
        now = self.service.loop.time()
        level = envelope.string(meta.level) if meta.level else ""
        if level and lease.relay.facts is None and (known := self.service.shared.relay.facts) and known.offers("logging"):
            lease.relay.audience.level = level  # it is still starting, so it will hear of this first
            lease.relay.dispatcher.ask("logging/setLevel", b'{"level":"%b"}' % level.encode(), now)
        reply.leave = lambda: lease.left(self.service.loop.time())
        lease.begin(message, params, meta.progressToken, level, reply, now, trace)
        if lease.exchange is not None:
            self._lent[lease.ticket] = lease
        return None

    def resume(self, message: Envelope, params: ModernParams, meta: Meta, reply, principal: str) -> Refusal | None:
        """The retry of a call that is parked."""
        now = self.service.loop.time()
        ticket = parking.unsealed(params.requestState, self.key)
        lease = self._lent.get(ticket.lease) if ticket and ticket.mcp == self.service.name and now < ticket.expires else None
        if lease is None or not lease.is_for(ticket, message.method, message.params, principal):
            return modern_refusal(INVALID_PARAMS, INVALID)
        refusal = lease.resume(bytes(message.id), params, meta, reply, now)
        if refusal is None and not reply.is_over:
            reply.leave = lambda: lease.left(self.service.loop.time())
        return refusal

    def sweep(self, now: float) -> None:
        """End what nobody came back for, and children that nobody needs."""
        for lease in [lease for lease in self._lent.values() if lease.parked and now - lease.parked >= self._patience]:
            self.service.log.info("parked call expired: its client did not come back", session=lease.label)
            lease.expire(now)
        pressed = self.service.children.pool.has_waiting
        for kind, free in list(self._free.items()):
            for since, lease in list(free):
                if pressed or now - since >= KEPT or not lease.relay.is_open:
                    free.remove((since, lease))
                    self._give_back(lease)
            if not free:
                del self._free[kind]

    def finish(self) -> None:
        """The bridge is shutting down: nobody can come back for what is parked."""
        for lease in [lease for lease in self._lent.values() if lease.parked]:
            lease.expire(self.service.loop.time())

    @property
    def _patience(self) -> float:
        return min(parking.PARKED, self.service.settings.request_timeout_max or parking.PARKED)

    async def _take(self, principal: str, meta: Meta) -> Lease | Refusal:
        capabilities = envelope.encode(parking.askable(meta.capabilities))
        free = self._free.get((principal, capabilities))
        while free:
            _, lease = free.pop()
            if lease.relay.is_open:
                return lease
            self._give_back(lease)
        lease = Lease(self.service.name, principal, envelope.Raw(capabilities), meta.client.copy() if meta.client else NO_OBJECT, self.key)
        lease.soon = lambda: self.service.loop.call_later(COLLECT, self._flush, lease)
        lease.over = lambda is_clean: self._over(lease, is_clean)
        lease.hold = Reservation(self.service.memory, principal)  # for what its client is asked while its call is parked
        child = await self.service.children.lend(lease)
        return child if isinstance(child, Refusal) else lease

    def _flush(self, lease: Lease) -> None:
        lease.flush(self.service.loop.time())

    def _over(self, lease: Lease, is_clean: bool) -> None:
        self._lent.pop(lease.ticket, None)
        service = self.service
        if is_clean and lease.relay.is_open and service.settings.isolation != "session" and not service.draining:
            self._free[lease.principal, bytes(lease.capabilities)].append((service.loop.time(), lease))
        else:
            self._give_back(lease)

    def _give_back(self, lease: Lease) -> None:
        lease.relay.leave(lease, self.service.loop.time())
        self.service.children.release(lease)
