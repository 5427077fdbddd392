"""Requests of modern clients: which child gets each of them, and what the bridge answers itself.

The methods without an underscore are steps of admission (`http/admission.py`): each looks at one call, and says None, a
Refusal, `DONE` or what has to be waited for.
"""

import asyncio
from typing import Any, Protocol, cast

from bridge.protocol import envelope, trace_context
from bridge.protocol.envelope import Envelope, Meta, ModernParams
from bridge.protocol.era import MODERN
from bridge.protocol.eras import header_rules, listens, parking
from bridge.protocol.eras.caller import Caller
from bridge.protocol.eras.downgrade import Downgrade
from bridge.protocol.eras.tasks import METHODS as TASKS
from bridge.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, Reason, Refusal
from bridge.protocol.exchange import Observer
from bridge.protocol.outcome import DONE, Outcome
from bridge.protocol.relay import Relay
from bridge.service.child import Child, relay_of
from bridge.service.children import Children
from bridge.service.eras import PATIENCE
from bridge.service.leases import Leases, Reply
from bridge.service.room import Room
from bridge.service.setup import Setup
from bridge.service.streams import Streams

SCHEMA_PATIENCE = 2.0  # seconds for its list of tools, which says what must stand in headers
DISCOVER = "server/discover"
TASKS_EXTENSION = b"modelcontextprotocol/tasks"
REMEMBERED = 5000  # callers, those with calls under way apart


class Request(Protocol):
    principal: str
    headers: dict[bytes, bytes]


class ModernReply(Reply, Protocol):
    exchange: Any  # what is cancelled when the client leaves before its answer


class ModernCall(Protocol):
    """A call on its way in, as far as the steps here look at it."""

    request: Request
    message: Envelope
    params: ModernParams
    meta: Meta
    outbox: ModernReply
    child: Child
    duplicates: frozenset[bytes]
    entry: Observer | None


class ModernCalls:
    """The modern side of one service."""

    def __init__(self, setup: Setup, children: Children, leases: Leases, room: Room, streams: Streams):
        self._name = setup.name
        self._tools = setup.tools
        self._ready_wait = setup.policy.ready_wait
        self._log = setup.log
        self._now = setup.now
        self._children = children
        self._leases = leases
        self._room = room
        self._streams = streams
        self._callers: dict[str, Caller] = {}

    def find_child(self, call: ModernCall) -> Outcome:
        """The child that the call is for, once its era is known, and what it is."""
        child = self._children.modern_now(call.request.principal)
        if child is None or (link := child.relay.link).facts is None or (call.message.method == listens.METHOD and not link.is_modern):
            return self._wait_for_child(call)
        call.child = _worker(call, child)
        return None

    async def _wait_for_child(self, call: ModernCall) -> Outcome:
        children, method, now = self._children, call.message.method, self._now
        began = now()
        await children.eras.settle(in_a_hurry=method == DISCOVER)
        child = call.child = children.modern_or_legacy(call.request.principal)
        asks_it = method == listens.METHOD and not child.relay.is_modern  # and does not wait for its start
        # A client that looks around must not wait long, nor be sent away.
        patience = began + PATIENCE - now() if method == DISCOVER else self._ready_wait
        why = await child.known(max(0.0, patience), by_itself=asks_it)
        call.child = _worker(call, child)
        return Refusal(200, INTERNAL_ERROR, why, reason=Reason.CHILD) if why else None

    def tool(self, call: ModernCall) -> Outcome:
        """The tool is one that clients see, and the headers agree with its arguments."""
        if call.message.method != "tools/call":
            return None
        tools, relay = self._tools, call.child.relay
        if tools and (why := tools.name_call(relay, call.message, call.params, MODERN)):
            return Refusal(400, INVALID_PARAMS, why, reason=Reason.REQUEST)
        catalogue = relay.catalogue
        if not catalogue.is_known and relay.facts is not None and relay.facts.offers("tools"):
            return self._listed(call)
        return _wrong_parameters(call) if catalogue.headers else None

    def special(self, call: ModernCall) -> Outcome:
        """What a child of either era cannot be asked in so many words."""
        relay, method, params, reply = call.child.relay, call.message.method or "", call.params, call.outbox
        if reply.is_over:  # the client left while it waited
            return DONE
        if relay.link.is_modern and method == "tools/call":  # as nearly always
            return None
        principal = call.request.principal
        if relay.is_modern:
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
            reply.answer(cast(Downgrade, relay.modern_translator).discovered(bytes(call.message.id)))
            return DONE
        leases = self._leases
        if params.requestState and method in parking.METHODS:
            return leases.resume(call.message, params, call.meta, reply, principal, call.entry) or DONE
        return self._lend(call) if leases.wants(method, call.meta) else None

    async def _lend(self, call: ModernCall) -> Outcome:
        request, message = call.request, call.message
        if refusal := self._room.refusal(request.principal, len(message.params)):
            return refusal
        trace = _trace(call)
        return await self._leases.call(message, call.params, call.meta, call.outbox, request.principal, trace, call.entry) or DONE

    def room(self, call: ModernCall) -> Outcome:
        if refusal := self._room.refusal(call.request.principal, len(call.message.params)):
            return refusal
        return self._room.wait(call.child) if call.child.is_full else None

    def send(self, call: ModernCall) -> Outcome:
        reply, message, meta, request = call.outbox, call.message, call.meta, call.request
        principal = request.principal
        if reply.is_over:  # the client may have left while it waited
            return DONE
        child = call.child
        if child.relay.replicas is not None and not child.relay.is_open:  # it may have gone since it was found
            child = _worker(call, child)
        relay = child.relay
        trace = _trace(call) if b"traceparent" in request.headers or call.entry is not None else ""
        caller = self._callers.get(principal) or self._new_caller(principal)
        reply.exchange = relay.call(
            caller,
            message,
            call.params,
            meta.progressToken,
            envelope.string(meta.level) or "" if meta.level else "",
            reply,
            self._now(),
            trace,
            call.entry,
        )
        if not relay.link.state.is_open and not relay.is_idle:
            child.wake()
        return DONE

    def _listen(self, child: Child, message: Envelope, reply: ModernReply, principal: str) -> Refusal | None:
        if refusal := self._streams.refusal():
            return refusal
        relay, now = child.relay, self._now
        if relay.is_modern:
            reply.leave = relay.listens.open(bytes(message.id), relay.tasks.own_only(principal, message.params), reply, now()).close
        else:
            assert relay.facts is not None  # `find_child` has waited for them
            listen = listens.Listen(self._name, principal, bytes(message.id), message.params, relay.facts, reply)
            listen.begin(relay, now())
            reply.leave = lambda: relay_of(listen).leave(listen, now())
        if not relay.is_open:
            child.wake()
        return None

    async def _listed(self, call: ModernCall) -> Outcome:
        """Wait until the child's tools are known. If they are not in time, their headers are not looked at."""
        child, relay = call.child, call.child.relay
        if not relay.is_open:
            child.wake()
        learning = relay.learning
        if not learning.has_failed:
            listed = asyncio.Event()
            learning.when_told(listed.set)
            try:
                await asyncio.wait_for(listed.wait(), SCHEMA_PATIENCE)
            except TimeoutError:
                pass
            finally:
                learning.forget(listed.set)
        if not relay.catalogue.is_known and not learning.is_missed:
            learning.is_missed = True
            self._log.warning("headers of calls are not checked: the server did not list its tools")
        return _wrong_parameters(call)

    def _new_caller(self, principal: str) -> Caller:
        if len(self._callers) >= REMEMBERED:  # tokens of an issuer name any number of them
            self._callers = {name: caller for name, caller in self._callers.items() if caller.exchanges}
        caller = self._callers[principal] = Caller(self._name, principal)
        return caller


def _worker(call: ModernCall, child: Child) -> Child:
    """Of replicas the one that gets this call. Tasks are known to one child alone, so whoever may be given one asks the first."""
    replicas = child.relay.replicas
    if replicas is None or TASKS_EXTENSION in bytes(call.meta.capabilities):
        return child
    return cast(Child, replicas.of(call.message.method or "").child)


def _trace(call: ModernCall) -> str:
    """Its trace, of which the child is told, too."""
    headers = call.request.headers
    call.params = cast(ModernParams, trace_context.passed_on(call.message, call.params, headers))
    ours = call.entry.trace if call.entry is not None else ""
    return ours or headers.get(b"traceparent", b"").decode("latin-1")


def _wrong_parameters(call: ModernCall) -> Refusal | None:
    """Whether its headers say the same as its arguments."""
    catalogue, params = call.child.relay.catalogue, call.params
    mirrored = catalogue.mirrored(params.name)
    return header_rules.wrong_parameters(params, mirrored, call.request.headers, call.duplicates) if mirrored else None


def _not_there(relay: Relay, method: str, params: ModernParams) -> Refusal | None:
    """What a modern client cannot have of a legacy child."""
    if method in TASKS:
        return header_rules.unknown(
            method, "the server has no tasks of MCP 2026-07-28: it speaks the handshake era, whose tasks are others"
        )
    if method == "tools/call" and relay.catalogue.wants_task(params.name):
        return Refusal(
            200,
            INTERNAL_ERROR,
            "this tool can only be called as a task of MCP 2025-11-25: use a client of that revision",
            reason=Reason.ERA,
        )
    return None
