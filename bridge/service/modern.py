"""Requests of modern clients: which child gets each of them, and what the bridge answers itself.

`now` is the short way, for what needs no waiting; `later` takes everything else.
"""

import asyncio

from bridge.child.process import FULL
from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope, Meta, ModernParams
from bridge.protocol.eras import MODERN, ladder, listens, parking
from bridge.protocol.eras.caller import Caller
from bridge.protocol.eras.tasks import METHODS as TASKS
from bridge.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, Refusal, busy
from bridge.service.child import Child
from bridge.service.eras import PATIENCE

SCHEMA_PATIENCE = 2.0  # seconds for its list of tools, which says what must stand in headers
DISCOVER = "server/discover"
NO_TWINS: frozenset = frozenset()


class ModernCalls:
    """The modern side of one service."""

    def __init__(self, service):
        self.service = service
        self._callers: dict[str, Caller] = {}

    def now(self, message: Envelope, params: ModernParams, meta: Meta, reply, headers: dict, principal: str) -> bool:
        """Put a request on its way at once. False, and nothing done, where something has to be waited for or refused."""
        service, method = self.service, message.method
        child = service.children.modern_now(principal)
        if child is None or service.draining or service.counts.in_flight >= service.max_requests:
            return False
        relay, process = child.relay, child.supervisor.process
        if process is None or process.backlog > FULL:
            return False
        if service.tools and method == "tools/call":
            return False
        catalogue = relay.catalogue
        if method == "tools/call":
            if not catalogue.is_known or catalogue.headers and self._wrong_parameters(catalogue, params, headers, NO_TWINS):
                return False
        elif method in ladder.REMOVED or method == listens.METHOD or method in TASKS:
            return False
        if not relay.is_modern:
            if relay.facts is None or params.requestState or self.service.leases.wants(method, meta) or catalogue.wants_task(params.name):
                return False
            if method == DISCOVER:
                reply.answer(relay.modern_words.discovered(bytes(message.id)))
                return True
        self._put(child, message, params, meta, reply, headers, principal)
        return True

    async def later(self, message: Envelope, params: ModernParams, meta: Meta, reply, headers: dict, twins: frozenset,
                    principal: str) -> Refusal | None:
        """The same with all that can be waited for or refused. The answer goes to `reply`, unless a refusal is returned."""
        service, method = self.service, message.method
        if refusal := service.not_now():
            return refusal
        began = service.loop.time()
        await service.eras.settle(in_a_hurry=method == DISCOVER)
        child = service.children.modern_or_legacy(principal)
        relay = child.relay
        asks_it = method == listens.METHOD and not relay.is_modern  # and does not wait for its start
        if method == DISCOVER or relay.facts is None or asks_it:  # a client that looks around must not wait long, nor be sent away
            patience = began + PATIENCE - service.loop.time() if method == DISCOVER else service.policy.ready_wait
            if why := await child.known(max(0.0, patience), by_itself=asks_it):
                return Refusal(200, INTERNAL_ERROR, why)
        if service.counts.in_flight >= service.max_requests:
            return busy("requests", "--max-requests")
        if service.tools and method == "tools/call" and (why := service.tools.name_call(relay, message, params, MODERN)):
            return Refusal(400, INVALID_PARAMS, why)
        if method == "tools/call":
            if not relay.catalogue.is_known and relay.facts.offers("tools"):
                await self._listed(child)
            if refusal := self._wrong_parameters(relay.catalogue, params, headers, twins):
                return refusal
        if reply.is_over:  # the client left while it waited
            return None
        if relay.is_modern and method in TASKS and (refusal := relay.tasks.refusal(principal, params.taskId)):
            return refusal
        if not relay.is_modern and (refusal := _not_there(relay, method, params)):
            return refusal
        if method == listens.METHOD:
            return self._listen(child, message, reply, principal)
        if method == DISCOVER and not relay.is_modern:
            reply.answer(relay.modern_words.discovered(bytes(message.id)))
            return None
        if method == DISCOVER and relay.memory.initialize and not relay.is_open:
            reply.answer(envelope.result(message.id, relay.memory.initialize))
            return None
        if not relay.is_modern and params.requestState and method in parking.METHODS:
            return service.leases.resume(message, params, meta, reply, principal)
        if not relay.is_modern and service.leases.wants(method, meta):
            trace = headers.get(b"traceparent", b"").decode("latin-1")
            return await service.leases.call(message, params, meta, reply, principal, trace)
        if (process := child.supervisor.process) is not None and process.backlog > FULL \
                and (refusal := await service.room_in(process)):
            return refusal
        if not reply.is_over:  # the client may have left while it waited
            self._put(child, message, params, meta, reply, headers, principal)
        return None

    def _put(self, child: Child, message: Envelope, params: ModernParams, meta: Meta, reply, headers: dict, principal: str) -> None:
        relay = child.relay
        trace = headers.get(b"traceparent")
        caller = self._callers.get(principal) or self._new_caller(principal)
        reply.exchange = relay.call(caller, message, params, meta.progressToken, envelope.string(meta.level) if meta.level else "",
                                    reply, self.service.loop.time(), trace.decode("latin-1") if trace else "")
        if not relay.is_open and not relay.is_idle:
            child.wake()

    def _listen(self, child: Child, message: Envelope, reply, principal: str) -> Refusal | None:
        service = self.service
        if refusal := service.no_stream_left():
            return refusal
        relay, clock = child.relay, service.loop.time
        if relay.is_modern:
            listen = relay.listens.open(bytes(message.id), relay.tasks.own_only(principal, message.params), reply, clock())
            reply.leave = lambda: listen.close()
        else:
            listen = listens.Listen(service.name, principal, bytes(message.id), message.params, relay.facts, reply)
            listen.begin(relay, clock())
            reply.leave = lambda: listen.relay.leave(listen, clock())
        if not child.relay.is_open:
            child.wake()
        return None

    def _wrong_parameters(self, catalogue, params: ModernParams, headers: dict, twins: frozenset) -> Refusal | None:
        mirrored = catalogue.mirrored(params.name)
        return ladder.wrong_parameters(params, mirrored, headers, twins) if mirrored else None

    async def _listed(self, child: Child) -> None:
        """Wait until the child's tools are known. If they are not in time, their headers are not looked at."""
        if not child.relay.is_open:
            child.wake()
        learning = child.relay.learning
        if not learning.has_failed:
            listed = self.service.loop.create_future()
            told = lambda: listed.done() or listed.set_result(None)
            learning.when_told(told)
            try:
                await asyncio.wait_for(listed, SCHEMA_PATIENCE)
            except TimeoutError:
                pass
            finally:
                learning.forget(told)
        if not child.relay.catalogue.is_known and not learning.is_missed:
            learning.is_missed = True
            self.service.log.warning("headers of calls are not checked: the server did not list its tools")

    def _new_caller(self, principal: str) -> Caller:
        caller = self._callers[principal] = Caller(self.service.name, principal)
        return caller


def _not_there(relay, method: str, params: ModernParams) -> Refusal | None:
    """What a modern client cannot have of a legacy child."""
    if method in TASKS:
        return ladder.unknown(method, "the server has no tasks of MCP 2026-07-28: it speaks the handshake era, whose tasks are others")
    if method == "tools/call" and relay.catalogue.wants_task(params.name):
        return Refusal(200, INTERNAL_ERROR, "this tool can only be called as a task of MCP 2025-11-25: use a client of that revision")
    return None
