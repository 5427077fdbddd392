"""One MCP as it is served: joins what MCP says (`protocol/`) and the processes (`child/`). Knows nothing of HTTP.

opening.py    how a client comes to its session       children.py   which child a session gets; child.py: one of them
modern.py     calls of the era without sessions       pool.py       warm spares; leases.py: lent for one modern call
room.py       whether there is room for a call        eras.py       which era the child speaks
streams.py    the streams that are open               starting.py   what is seen of a child that has not answered yet
report.py     what the service says of itself         state_file.py what is known of a child that sleeps
history.py    how it was called in the last hour
setup.py      what all of them are made from
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from bridge.callers.access import Access
from bridge.callers.audit import Audit
from bridge.callers.credentials import Credentials
from bridge.child.environment import proxies
from bridge.child.process import Command
from bridge.failure import Failure
from bridge.log import Log
from bridge.protocol import envelope, trace_context
from bridge.protocol.envelope import Envelope, Params
from bridge.protocol.errors import INTERNAL_ERROR, INVALID_REQUEST, Reason, Refusal, no_room
from bridge.protocol.exchange import Observer
from bridge.protocol.outbox import Outbox
from bridge.protocol.replay import Replay
from bridge.protocol.session import Session, Sessions
from bridge.protocol.spans import Tracing
from bridge.redact import redacted
from bridge.service.child import relay_of, worker_of
from bridge.service.children import Children
from bridge.service.leases import Leases
from bridge.service.modern import ModernCalls
from bridge.service.opening import Initialize, Opened, Opening
from bridge.service.pin_file import PinFile
from bridge.service.report import Report
from bridge.service.room import Room
from bridge.service.setup import Setup
from bridge.service.streams import Streams
from bridge.settings import Settings

REPLAY_PART = 4  # the replay's part of the memory
DRAIN_TICK = 0.02  # seconds
FOLLOW_UP = 0.5  # seconds after a session's last message in which LiteLLM still sends one
LAST_TASKS = 1.0  # seconds


class Service:
    """One MCP. `on_fatal` is called when its shared child is given up."""

    def __init__(
        self,
        name: str,
        command: Command,
        settings: Settings,
        key: bytes,
        log: Log,
        on_fatal: Callable[[], None],
        *,
        memory: int = 0,
        is_fair: bool = False,
        access: Access | None = None,
        audit: Audit | None = None,
        tracing: Tracing | None = None,
        credentials: Credentials | None = None,
    ):
        has_secrets = bool(settings.caller_secret)
        if has_secrets:
            credentials = Credentials(settings.caller_secret, settings.caller_secret_missing == "fallback", key)
        self.credentials = credentials
        if has_secrets:
            settings = replace(settings, isolation="principal")  # which is a caller with its values, then
        setup = Setup.of(name, command, settings, log, memory, is_fair)
        self.name = name
        self.command = command
        self.settings = settings
        self.log = log
        self.loop = setup.loop
        self.counts = counts = setup.counts
        self.memory = setup.memory
        self.profile = setup.profile
        self.is_litellm = setup.is_litellm
        self.sessions = Sessions(name, key, settings.max_sessions, settings.session_idle, self.memory, is_fair)
        self.replay = Replay(int(min(settings.replay_buffer, self.memory.limit // REPLAY_PART)), self.memory)
        self.streams = Streams(settings.max_streams, is_fair, counts, log)
        self.children = Children(setup, self.sessions, on_fatal, self.spawn)
        self.report = Report(setup, self.children, self.sessions, self.streams, self.replay, audit)
        self.audit = audit  # of calls, where they are written down (--audit)
        self.tracing = tracing  # where its requests' spans go (bridge/otel.py), if anywhere
        self.access = access  # what callers may do, where a file says so (--callers)
        self.older: Service | None = None  # which this one replaces, while that finishes what it began
        self.draining = False
        self.pins = setup.policy.pins
        self._pin_file = PinFile(settings.pin_file, self.pins, log) if self.pins is not None and settings.pin_file else None
        self._now = setup.now
        self._room = Room(counts, settings.request_timeout)
        self._opening = Opening(setup, self.sessions, self.children, self.end)
        self._leases = Leases(setup, key, self.children)
        self.modern = ModernCalls(setup, self.children, self._leases, self._room, self.streams)
        self._tasks: set[asyncio.Task[None]] = set()
        if access is not None:
            self.hold_to(access)

    def principal_of(self, caller: str, headers: Mapping[bytes, bytes]) -> str | Refusal:
        """The principal that a caller's request is made by: the caller, and with --caller-secret what it brings along for its child."""
        if self.credentials is None:
            return caller
        principal, values = self.credentials.of(caller, headers)
        return (self.children.no_room_for(principal, values, self.streams) if values else None) or principal

    # -- for the transports ----------------------------------------------------------------------------------------------

    def initialize(
        self, transport: str, message: Envelope, principal: str, session: Session | None = None, caller: str = ""
    ) -> Opened | Awaitable[Opened]:
        """Open a session, or greet one again on its own connection: `Opening.initialize`."""
        if refusal := self.not_now():
            return None, self._opening.softened(refusal)
        return self._opening.initialize(transport, message, principal, session, caller or principal)

    def find_session(self, id: bytes | None, principal: str, headers: Mapping[bytes, bytes]) -> tuple[Session | None, Refusal | None]:
        return self._opening.find(id, principal, headers)

    def seat(self, guest: Session, principal: str) -> Session | Refusal:
        return self._opening.seat(guest, principal)

    def gives_own_child(self, asked: Initialize) -> bool:
        """Whether a client that opens a session so would get a child of its own."""
        return self._opening.gets_own_child(asked)

    def adopt(self, transport: str, principal: str) -> Session:
        return self._opening.adopt(transport, principal)

    def request(
        self, session: Session, message: Envelope, params: Params, outbox: Outbox, headers: Mapping[bytes, bytes], entry: Observer | None
    ) -> Refusal | None:
        """Put a client's request on its way. Its answer goes to `outbox`, unless a refusal is returned."""
        if refusal := self._room.refusal(session.caller, len(message.params)):
            return refusal
        if message.method == "initialize":
            return Refusal(400, INVALID_REQUEST, "initialize opens a session and cannot be part of one", reason=Reason.SESSION)
        relay = relay_of(session)
        if relay.replicas is not None:
            relay = relay.replicas.of(message.method or "")
        trace = ""
        if (parent := headers.get(b"traceparent")) is not None:
            trace, params = parent.decode("latin-1"), trace_context.passed_on(message, params, headers)
        if entry is not None and entry.trace:
            trace = entry.trace
        now = session.touched = self._now()
        refusal = relay.request(session, message, params, outbox, now, trace, entry)
        if not relay.is_open and relay.is_wanted:
            relay.child.wake()
        return refusal

    def tell(self, session: Session, message: Envelope) -> None:
        """A client's notification, or its answer to an ask."""
        if self.older is not None and self.tell_older(session.id, session.principal, message):
            return
        if message.method == "notifications/cancelled" and session.cancel_pending(message):
            return
        relay, now = relay_of(session), self._now()
        session.touched = now
        if message.method is None:
            relay.respond(session, message, now)
        else:
            relay.notify(session, message, now)

    def end(self, session: Session) -> None:
        """The session is over, and so is its own child."""
        self.sessions.end(session)
        self.replay.drop(session)
        if session.relay is None:
            return
        session.relay.leave(session, self._now())
        for outbox in list(session.streams):
            outbox.stream.close()
        self.children.release(session)

    def is_full(self, session: Session) -> bool:
        """Whether the child has not read enough of what was written to it for another request."""
        return worker_of(session).is_full

    async def room(self, session: Session) -> Refusal | None:
        """Wait while it is. A refusal if it stays so."""
        return await self._room.wait(worker_of(session))

    def no_memory(self, caller: str) -> Refusal:
        return no_room(self.memory, caller, "bytes", "--memory")

    def hold_to(self, access: Access) -> None:
        """Hold callers to these rules from now on, in place of others: there were rules from the beginning, or its tables know of none."""
        if self.access is None:
            raise ValueError("a service that was made without rules is held to none")
        self.access = access
        self.counts.calls.cap, self.sessions.pot.cap, self.children.budget.cap = map(access.cap, ("in_flight", "sessions", "children"))
        for session in self.sessions:
            may_read = access.view(session.principal).may_read
            session.subscriptions = {uri for uri in session.subscriptions if may_read("resource", uri)}

    def is_hidden_from(self, principal: str) -> bool:
        """Whether this caller may not know that there is this MCP."""
        return self.access is not None and self.access.view(principal).is_hidden

    def shown(self, principal: str, method: str | None, answer: bytes) -> bytes:
        """An answer that no request went on for (LiteLLM gets its last list again), as this caller may see it."""
        if self.access is None or method is None:
            return answer
        view = self.access.view(principal)
        return view.cut(method, answer, self.profile.own_name) if view.shows(method) else answer

    def not_now(self) -> Refusal | None:
        if not self.draining:
            return None
        return Refusal(503, INTERNAL_ERROR, "the bridge is shutting down", ((b"retry-after", b"5"),), reason=Reason.DRAINING)

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run something on the side; `stop` waits for it."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- for the bridge ---------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        return self.report.state

    @property
    def in_flight(self) -> int:
        return self.counts.in_flight

    def offers(self, method: str) -> list[bytes]:
        return self.report.offers(method)

    def shown_command(self) -> list[str]:
        return [redacted(word) for word in self.command.argv]

    def readiness(self, is_shown: bool = True) -> dict[str, Any]:
        return self.report.readiness(is_shown)

    def status(self, is_shown: bool = True) -> dict[str, Any]:
        return self.report.status(is_shown)

    def events(self, after: int) -> dict[str, Any]:
        """What its log says since the event of this number."""
        return {"mcp": self.name, "last": self.log.events.count, "events": self.log.events.since(after)}

    def listed(self) -> list[bytes] | None:
        """The pages of the shared child's list of tools, as it says them; None where they are not known."""
        relay = self.children.shared.relay
        if relay.facts is not None and not relay.facts.offers("tools"):
            return []
        return relay.lists.pages("tools/list") or None

    def start(self) -> None:
        if found := proxies(self.command.environment):
            self.log.info("the child is told of proxies", **found)
        self.children.start()

    def sweep(self, now: float) -> None:
        """What is due: time-outs, idle sessions, signs of life."""
        keepalive = self.settings.keepalive
        if self._pin_file is not None and self._pin_file.has_changed(now):
            self.log.info("other tools are approved now")
            for child in self.children:
                child.relay.learning.judge()
        self._leases.sweep(now)
        self.children.sweep(now)
        self.report.history.sweep(now)
        if keepalive:
            self.streams.beat(now, keepalive)
        for session in self.sessions.idle_ones(now):
            if session.is_in_token:
                relay_of(session).leave(session, now)
                self.sessions.forget(session)
            else:
                self.log.info("session ended: nobody used it", session=session.label, idle=round(now - session.touched))
                self.end(session)

    async def finish(self, out_of_time: Callable[[], bool], why: str = "the bridge is shutting down") -> None:
        """Let what clients wait for end, until `out_of_time()`; then say that it did not."""
        self.draining = self.report.is_draining = True
        self._leases.finish()
        while (self.in_flight or self._is_followed_up()) and not out_of_time():
            await asyncio.sleep(DRAIN_TICK)
        for child in self.children:
            child.relay.finish()
            child.relay.lost(Failure(why), self._now(), for_good=True)

    async def stop(self) -> None:
        await self.children.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=LAST_TASKS)
            for task in late:  # a stream whose reader does not read
                task.cancel()

    def _is_followed_up(self) -> bool:
        """LiteLLM's client lists the tools after a call, or the call has failed; only then it ends its session."""
        now = self._now()
        return self.is_litellm and any(now - FOLLOW_UP < session.touched <= now for session in self.sessions)

    # -- after a reload -----------------------------------------------------------------------------------------------------

    def succeed(self, older: "Service") -> None:
        """Take its place. What it began it finishes. Sessions of which the next child would have to know more than a token says
        begin anew; one that had a child of its own is told at its next call."""
        self.older = older
        for session in older.sessions:
            if not session.own_child and (session.subscriptions or session.level):
                self.sessions.refuse(session)

    def tell_older(self, id: str, principal: str, message: Envelope) -> bool:
        """Whether this answer or cancellation was for a call that the service before this one still finishes."""
        older = self.older
        if older is None or message.method not in (None, "notifications/cancelled"):
            return False
        session = older.sessions.known(id, principal)
        if session is None:
            return False
        if message.method is None:
            is_awaited = envelope.key(message.id) in session.asks
        else:
            is_awaited = envelope.key(envelope.peek(message.params).requestId) in session.exchanges
        if is_awaited:
            older.tell(session, message)
        return is_awaited
