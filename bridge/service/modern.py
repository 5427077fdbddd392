"""Requests of modern clients: which child gets each of them, and what the bridge answers itself.

The methods without an underscore are steps of admission (`http/admission.py`): each looks at one call, and says None, a
Refusal, `DONE` or what has to be waited for.
"""

import asyncio

from bridge.child.process import FULL
from bridge.protocol import envelope
from bridge.protocol.envelope import ModernParams
from bridge.protocol.eras import MODERN, header_rules, listens, parking
from bridge.protocol.eras.caller import Caller
from bridge.protocol.eras.tasks import METHODS as TASKS
from bridge.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, Refusal
from bridge.protocol.outcome import DONE, Outcome
from bridge.service.child import Child
from bridge.service.eras import PATIENCE

SCHEMA_PATIENCE = 2.0  # seconds for its list of tools, which says what must stand in headers
DISCOVER = "server/discover"


class ModernCalls:
    """The modern side of one service."""

    def __init__(self, service):
        self.service = service
        self._callers: dict[str, Caller] = {}

    def find_child(self, call) -> Outcome:
        """The child that the call is for, once its era is known, and what it is."""
        call.child = child = self.service.children.modern_now(call.request.principal)
        if child is None or child.relay.facts is None or (call.message.method == listens.METHOD and not child.relay.is_modern):
            return self._wait_for_child(call)
        return None

    async def _wait_for_child(self, call) -> Outcome:
        service, method = self.service, call.message.method
        began = service.loop.time()
        await service.eras.settle(in_a_hurry=method == DISCOVER)
        child = call.child = service.children.modern_or_legacy(call.request.principal)
        asks_it = method == listens.METHOD and not child.relay.is_modern  # and does not wait for its start
        # A client that looks around must not wait long, nor be sent away.
        patience = began + PATIENCE - service.loop.time() if method == DISCOVER else service.policy.ready_wait
        why = await child.known(max(0.0, patience), by_itself=asks_it)
        return Refusal(200, INTERNAL_ERROR, why) if why else None

    def tool(self, call) -> Outcome:
        """The tool is one that clients see, and the headers agree with its arguments."""
        if call.message.method != "tools/call":
            return None
        tools, relay = self.service.tools, call.child.relay
        if tools and (why := tools.name_call(relay, call.message, call.params, MODERN)):
            return Refusal(400, INVALID_PARAMS, why)
        if not relay.catalogue.is_known and relay.facts.offers("tools"):
            return self._listed(call)
        return self._wrong_parameters(call) if relay.catalogue.headers else None

    def special(self, call) -> Outcome:
        """What a child of either era cannot be asked in so many words."""
        relay, method, params, reply = call.child.relay, call.message.method, call.params, call.outbox
        if reply.is_over:  # the client left while it waited
            return DONE
        principal = call.request.principal
        if relay.is_modern:
            if method == "tools/call":
                return None
            if method in TASKS:
                return relay.tasks.refusal(principal, params.taskId)
            if method == listens.METHOD:
                return self._listen(call.child, call.message, reply, principal) or DONE
            if method == DISCOVER and relay.lists.initialize and not relay.is_open:
                reply.answer(envelope.result(call.message.id, relay.lists.initialize))
                return DONE
            return None
        if refusal := _not_there(relay, method, params):
            return refusal
        if method == listens.METHOD:
            return self._listen(call.child, call.message, reply, principal) or DONE
        if method == DISCOVER:
            reply.answer(relay.modern_translator.discovered(bytes(call.message.id)))
            return DONE
        leases = self.service.leases
        if params.requestState and method in parking.METHODS:
            return leases.resume(call.message, params, call.meta, reply, principal) or DONE
        return self._lend(call) if leases.wants(method, call.meta) else None

    async def _lend(self, call) -> Outcome:
        if refusal := self.service.no_room(call.request.principal, len(call.message.params)):
            return refusal
        trace = call.request.headers.get(b"traceparent", b"").decode("latin-1")
        return await self.service.leases.call(call.message, call.params, call.meta, call.outbox, call.request.principal, trace) or DONE

    def room(self, call) -> Outcome:
        service = self.service
        if refusal := service.no_room(call.request.principal, len(call.message.params)):
            return refusal
        process = call.child.supervisor.process
        return service.room_in(process) if process is not None and process.backlog > FULL else None

    def send(self, call) -> Outcome:
        reply, message, meta, principal = call.outbox, call.message, call.meta, call.request.principal
        if reply.is_over:  # the client may have left while it waited
            return DONE
        child, relay = call.child, call.child.relay
        trace = call.request.headers.get(b"traceparent")
        caller = self._callers.get(principal) or self._new_caller(principal)
        reply.exchange = relay.call(
            caller,
            message,
            call.params,
            meta.progressToken,
            envelope.string(meta.level) if meta.level else "",
            reply,
            self.service.loop.time(),
            trace.decode("latin-1") if trace else "",
        )
        if call.entry is not None:
            reply.exchange.entry = call.entry
        if not relay.is_open and not relay.is_idle:
            child.wake()
        return DONE

    def _listen(self, child: Child, message: envelope.Envelope, reply, principal: str) -> Refusal | None:
        service = self.service
        if refusal := service.streams.refusal():
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

    def _wrong_parameters(self, call) -> Refusal | None:
        mirrored = call.child.relay.catalogue.mirrored(call.params.name)
        return header_rules.wrong_parameters(call.params, mirrored, call.request.headers, call.duplicates) if mirrored else None

    async def _listed(self, call) -> Outcome:
        """Wait until the child's tools are known. If they are not in time, their headers are not looked at."""
        child = call.child
        if not child.relay.is_open:
            child.wake()
        learning = child.relay.learning
        if not learning.has_failed:
            listed = self.service.loop.create_future()

            def told():
                return listed.done() or listed.set_result(None)

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
        return self._wrong_parameters(call)

    def _new_caller(self, principal: str) -> Caller:
        caller = self._callers[principal] = Caller(self.service.name, principal)
        return caller


def _not_there(relay, method: str, params: ModernParams) -> Refusal | None:
    """What a modern client cannot have of a legacy child."""
    if method in TASKS:
        return header_rules.unknown(
            method, "the server has no tasks of MCP 2026-07-28: it speaks the handshake era, whose tasks are others"
        )
    if method == "tools/call" and relay.catalogue.wants_task(params.name):
        return Refusal(200, INTERNAL_ERROR, "this tool can only be called as a task of MCP 2025-11-25: use a client of that revision")
    return None
