"""One MCP as it is served: its children, their relays, its sessions. Here the three rooms meet.

`http/` calls what stands under "for the ways in"; nothing here knows of a request's path or of a signal's number.
`children.py` decides which child a session gets, `pool.py` keeps spares, `kept.py` remembers a child that sleeps.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from bridge.budget import Budget
from bridge.callers.access import Access
from bridge.callers.audit import Audit
from bridge.child.environment import proxies
from bridge.child.lifecycle import Pace
from bridge.child.process import FULL, Command
from bridge.child.usage import usage
from bridge.counts import Counts
from bridge.failure import Failure
from bridge.printable import shortened
from bridge.protocol import envelope
from bridge.protocol.completion import SMALL
from bridge.protocol.eras import MODERN
from bridge.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, TIMED_OUT, Refusal, no_room
from bridge.protocol.policy import Policy
from bridge.protocol.profile import profile
from bridge.protocol.replay import Replay
from bridge.protocol.revisions import HANDSHAKE, NEWEST, WITHOUT_HEADER
from bridge.protocol.session import COST, NO_OBJECT, Session, Sessions, can_be_asked
from bridge.protocol.tools import Tools
from bridge.redact import redacted
from bridge.service.child import Child
from bridge.service.children import Children
from bridge.service.eras import Eras
from bridge.service.leases import Leases
from bridge.service.modern import ModernCalls
from bridge.service.state_file import StateFile
from bridge.service.streams import Streams

SHOWN = 200  # characters of a name that the child made up
PART = 4  # the replay's part of the memory, and the longest line's
LONGEST_SELF = 1 << 20  # bytes of what a client says of itself, which is kept for as long as its session; icons may be in it
LITELLM_PATIENCE = 4.0  # seconds that LiteLLM may wait for `initialize`: one slow server delays all of its list


class InitializeParams(msgspec.Struct):
    protocolVersion: str
    capabilities: Raw = NO_OBJECT
    clientInfo: Raw = NO_OBJECT


@dataclass(frozen=True)
class InitializeWish:
    """What a client asked for when it opened its session."""

    revision: str | None
    capabilities: Raw
    client: Raw

    @property
    def size(self) -> int:
        return COST + len(memoryview(self.capabilities)) + len(memoryview(self.client))


Opened = tuple[Session | None, bytes | Refusal]


class Service:
    """One MCP. `on_fatal` is called when its shared child is given up."""

    def __init__(
        self,
        name: str,
        command: Command,
        settings,
        key: bytes,
        log,
        on_fatal: Callable[[], None],
        *,
        memory: int = 0,
        is_fair: bool = False,
    ):
        self.name = name
        self.command = command
        self.settings = settings
        self.log = log
        self.loop = asyncio.get_running_loop()
        self.counts = counts = Counts()
        counts.memory = self.memory = Budget(memory, is_fair)
        counts.calls = Budget(settings.max_requests, is_fair)
        self.streams = Streams(settings.max_streams, is_fair, counts, log)
        tools = (settings.tool_allow, settings.tool_deny, settings.tool_rename)
        self.tools = Tools(*tools) if any(tools) else None
        self.profile = profile(settings.profile, self.tools, name)
        self.is_litellm = self.profile.is_litellm
        self.policy = Policy(
            self.profile,
            settings.max_in_flight,
            settings.max_session_requests,
            settings.request_timeout,
            settings.request_timeout_max,
            settings.start_timeout or float("inf"),
            settings.client_roots == "withhold" or (settings.client_roots == "auto" and settings.isolation != "session"),
            settings.ping_interval,
            settings.ping_misses,
            self.tools,
            name,
        )
        self.pace = Pace(settings.start_timeout, settings.backoff_initial, settings.backoff_max, settings.max_restarts)
        self.sessions = Sessions(name, key, settings.max_sessions, settings.session_idle, self.memory, is_fair)
        self.replay = Replay(int(min(settings.replay_buffer, self.memory.limit // PART)), self.memory)
        self.minted = itertools.count(1)  # ids for children; one row for all, so that sessions can change theirs
        self.eras = Eras(self)
        self.eras.start()
        self.children = Children(self, on_fatal)
        self.leases = Leases(self, key)
        self.modern = ModernCalls(self)
        self._state_file = StateFile(settings.cache_dir, name, command, log) if settings.lazy or settings.idle_stop else None
        self.wants_headers = False  # the server wants a Content-Length header before each message
        self.draining = False
        self._waiting_for_room = 0
        self._tasks: set[asyncio.Task] = set()
        self.audit: Audit | None = None  # of calls, where they are written down (--audit)
        self.access: Access | None = None  # what callers may do, where a file says so (--callers)
        self.older: Service | None = None  # which this one replaces, while that finishes what it began

    # -- for the ways in ------------------------------------------------------------------------------------------------

    def initialize(
        self, transport: str, message: envelope.Envelope, principal: str, session: Session | None = None, caller: str = ""
    ) -> Opened | Awaitable[Opened]:
        """Open a session, or greet one again on its own connection. It comes with its answer, or a refusal instead of both; at
        once where nothing has to be waited for."""
        if refusal := self.not_now():
            return None, self._softened(refusal)
        wish = _wish(message)
        if isinstance(wish, Refusal):
            return None, wish
        if session is not None:
            session.revision, answer = self._greeting(session, wish)
            return session, envelope.result(message.id, answer)
        caller = caller or principal
        if not self.sessions.make_room(caller, self.loop.time(), wish.size):
            return None, self._softened(self._no_session(caller))
        session = self._open_session(transport, wish, principal, caller)
        if session.own_child or self.settings.isolation == "principal" or self.shared.relay.facts is None:
            return self._connect(session, wish, message)
        self.shared.relay.join(session)
        return session, self._greet(session, wish, message)

    async def _connect(self, session: Session, wish: InitializeWish, message: envelope.Envelope) -> Opened:
        try:
            refusal = await self.children.connect(session)
            if not refusal and (why := await session.relay.child.known(self._patience)):
                refusal = Refusal(200, INTERNAL_ERROR, why)
        except asyncio.CancelledError:  # its connection is gone
            self.end(session)
            raise
        if refusal:
            self.end(session)
            return None, self._softened(refusal)
        return session, self._greet(session, wish, message)

    def find_session(self, id: bytes | None, principal: str, headers: dict) -> tuple[Session | None, Refusal | None]:
        """The session that a request names (basic/transports, "Session Management"). One without a relay is to be connected."""
        if id is None:
            if self.is_litellm:
                return self.adopt("streamable-http", principal, headers), None
            return None, Refusal(400, INVALID_REQUEST, "Mcp-Session-Id is missing: send initialize first and keep the id it answers with")
        text = id.decode("latin-1")
        session = self.sessions.find(text, principal, self.loop.time())
        if session is None:
            if self.is_litellm:
                return self.adopt(
                    "streamable-http", principal, headers, text if self.sessions.may_adopt(text, principal, self.loop.time()) else ""
                ), None
            if self.sessions.lacks_room_for(text, principal, self.loop.time()):
                return None, self._no_session(principal)
            return None, Refusal(404, INVALID_REQUEST, "no such session: it ended, or it never was; send initialize again")
        return session, None

    def adopt(self, transport: str, principal: str, headers: dict | None = None, id: str = "") -> Session:
        """A session for a client that has none, or one that we do not know. Without an id it is for one request."""
        given = (headers or {}).get(b"mcp-protocol-version", b"").decode("latin-1").partition(",")[0].strip()
        revision = given if given in HANDSHAKE else NEWEST
        session = self.sessions.adopt(transport, id, revision, principal, self.loop.time())
        relay = self.children.child_for(session).relay
        if session.id or transport != "streamable-http":
            relay.join(session)
        else:  # for one request: news are not for it, and nothing of it stays
            session.relay = relay
        return session

    def request(self, session: Session, message: envelope.Envelope, outbox, headers: dict) -> Refusal | None:
        """Put a client's request on its way. Its answer goes to `outbox`, unless a refusal is returned."""
        if refusal := self.no_room(session.caller, len(message.params)):
            return refusal
        if message.method == "initialize":
            return Refusal(400, INVALID_REQUEST, "initialize opens a session and cannot be part of one")
        relay = session.relay
        trace = headers.get(b"traceparent")
        now = session.touched = self.loop.time()
        refusal = relay.request(session, message, outbox, now, trace.decode("latin-1") if trace else "")
        if not relay.is_open and relay.is_wanted:
            relay.child.wake()
        return refusal

    def succeed(self, older: "Service") -> None:
        """Take its place. What it began it finishes. Sessions of which the next child would have to know more than a token says
        begin anew; one that had a child of its own is told at its next call."""
        self.older = older
        for session in older.sessions:
            if not session.own_child and (session.subscriptions or session.level):
                self.sessions.refuse(session)

    def tell_older(self, id: str, principal: str, message: envelope.Envelope) -> bool:
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
        if not is_awaited:
            return False
        older.tell(session, message)
        return True

    def tell(self, session: Session, message: envelope.Envelope) -> None:
        """A client's notification, or its answer to an ask."""
        if self.older is not None and self.tell_older(session.id, session.principal, message):
            return
        session.touched = self.loop.time()
        if message.method is None:
            session.relay.respond(session, message, self.loop.time())
        else:
            session.relay.notify(session, message, self.loop.time())

    def end(self, session: Session) -> None:
        """The session is over, and so is its own child."""
        self.sessions.end(session)
        self.replay.drop(session)
        if session.relay is None:
            return
        session.relay.leave(session, self.loop.time())
        for outbox in list(session.streams):
            outbox.stream.close()
        self.children.release(session)

    def is_full(self, session: Session) -> bool:
        """Whether the child has not read enough of what was written to it for another request."""
        process = session.relay.child.supervisor.process
        return process is not None and process.backlog > FULL

    async def room(self, session: Session) -> Refusal | None:
        """Wait while the child's stdin is full. A refusal if it stays so: a child that does not read."""
        process = session.relay.child.supervisor.process
        return None if process is None else await self.room_in(process)

    async def room_in(self, process) -> Refusal | None:
        if self._waiting_for_room >= self.counts.calls.limit:
            return no_room(self.counts.calls, "", "requests", "--max-requests")
        self._waiting_for_room += 1
        try:
            await asyncio.wait_for(process.room(), self.settings.request_timeout or None)
            return None
        except TimeoutError:
            return Refusal(503, TIMED_OUT, "the server does not read its requests (--request-timeout)")
        finally:
            self._waiting_for_room -= 1

    def no_room(self, caller: str, size: int) -> Refusal | None:
        """Why there is no room for one more call of this caller, of so many bytes."""
        counts = self.counts
        if not counts.calls.has_room(caller):
            return no_room(counts.calls, caller, "requests", "--max-requests")
        if size > SMALL and not counts.memory.has_room(caller, size):
            return self.no_memory(caller)
        return None

    def no_memory(self, caller: str) -> Refusal:
        return no_room(self.memory, caller, "bytes", "--memory")

    def hold_to(self, access: Access | None) -> None:
        """Hold callers to these rules from now on."""
        self.access = access
        for budget, what in ((self.counts.calls, "in_flight"), (self.sessions.pot, "sessions"), (self.children.pool.pot, "children")):
            budget.cap = access.cap(what) if access else None
        for session in self.sessions if access else ():
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
        return Refusal(503, INTERNAL_ERROR, "the bridge is shutting down", ((b"retry-after", b"5"),))

    def spawn(self, coroutine) -> asyncio.Task:
        """Run something on the side; `stop` waits for it."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- for the bridge ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        if found := proxies(self.command.environment):
            self.log.info("the child is told of proxies", **found)
        relay = self.shared.relay
        if self._state_file is not None:
            self._state_file.clean(time.time())
            if facts := relay.lists.load(self._state_file.read(), self._state_file.identity):
                relay.remember(facts)
        self.children.start()

    def learned(self, child: Child) -> None:
        """All lists of this child are known: keep them for the time when the shared one sleeps."""
        if self._state_file is not None and child is self.shared:
            self._state_file.write(self.shared.relay.lists.dump(self._state_file.identity))

    def sweep(self, now: float) -> None:
        """What is due: time-outs, idle sessions, signs of life."""
        keepalive = self.settings.keepalive
        self.leases.sweep(now)
        self.children.sweep(now)
        if keepalive:
            self.streams.beat(now, keepalive)
        for session in self.sessions.idle_ones(now):
            if session.is_in_token:
                session.relay.leave(session, now)
                self.sessions.forget(session)
            else:
                self.log.info("session ended: nobody used it", session=session.label, idle=round(now - session.touched))
                self.end(session)

    async def finish(self, out_of_time, why: str = "the bridge is shutting down") -> None:
        """Let what clients wait for end, until `out_of_time()`; then say that it did not."""
        self.draining = True
        self.leases.finish()
        while (self.in_flight or self._is_followed_up()) and not out_of_time():
            await asyncio.sleep(DRAIN_TICK)
        for child in self.children:
            child.relay.finish()
            child.relay.lost(Failure(why), self.loop.time(), for_good=True)

    async def stop(self) -> None:
        await self.children.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=LAST_TASKS)
            for task in late:  # a stream whose reader does not read
                task.cancel()

    # -- what it is asked about itself --------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        return self.shared.state

    @property
    def shared(self):
        return self.children.shared

    @property
    def in_flight(self) -> int:
        """Requests of clients that have no answer yet."""
        return self.counts.in_flight

    def readiness(self, is_shown: bool = True) -> dict:
        """Why it can be used or not: a handshake with the child was made and it lives. `is_shown`: what the child wrote, too."""
        shared = self.shared.relay
        # One that is restarted because it speaks the other era has not shown yet that it works.
        is_asleep = shared.is_asleep and not (self.shared.is_restarting and shared.facts is None)
        is_ready = (shared.is_open or is_asleep) and not self.draining
        why = shared.link.reason
        reason = "" if is_ready else "the bridge is shutting down" if self.draining else str(why) if is_shown else why.text
        return {"status": "ready" if is_ready else "not ready", "state": self.state, "reason": reason, "mcp": self.name}

    def status(self, is_shown: bool = True) -> dict:
        """All that there is to see, for people and machines. `is_shown`: what the child wrote, too."""
        relay, counts = self.shared.relay, self.counts
        histogram = counts.latency.get("tools/call")
        calls = sum(histogram.counts) if histogram else 0
        return {
            **self.readiness(is_shown),
            "server": redacted(shortened(relay.facts.title, SHOWN)) if relay.facts else "",
            "revision": relay.facts.revision if relay.facts else "",
            "child_era": self.eras.child_era,
            "pid": self.shared.supervisor.pid,
            "restarts": counts.restarts,
            "profile": self.profile.name,
            "isolation": self.settings.isolation,
            "children": len(self.pids()),
            "sessions": len(self.sessions),
            "streams": len(self.streams),
            "in_flight": self.in_flight,
            "calls": calls,
            "mean_call_seconds": round(histogram.sum / calls, 6) if calls else 0.0,
            "processes": [child.status(self.loop.time()) for child in self.children],
            "waits": counts.waits,
            "wakes": counts.wakes,
            "recycled": counts.recycled,
            "spares": self.children.pool.spares,
            "tools": self._shown_tools(),
            "stderr": list(self.shared.supervisor.stderr.tail) if is_shown else [],
        }

    def open_sessions(self) -> dict[tuple[str, str], int]:
        result: dict[tuple[str, str], int] = {}
        for session in self.sessions:
            key = (session.transport, session.revision)
            result[key] = result.get(key, 0) + 1
        return result

    def children_by_state(self) -> dict[tuple[str, str], int]:
        result: dict[tuple[str, str], int] = {}
        for child in self.children:
            result[(child.role, child.state)] = result.get((child.role, child.state), 0) + 1
        return result

    def pids(self) -> list[int]:
        return [child.supervisor.pid for child in self.children if child.supervisor.pid]

    def usage(self) -> tuple[int, float]:
        """Resident bytes and CPU seconds of all its processes."""
        return usage(self.pids())

    def budgets(self) -> list[tuple[str, Budget]]:
        return [
            ("bytes", self.memory),
            ("calls", self.counts.calls),
            ("sessions", self.sessions.pot),
            ("streams", self.streams.budget),
            ("children", self.children.pool.pot),
        ]

    def drops(self) -> dict[str, int]:
        audit = {"audit": self.audit.lost} if self.audit is not None else {}
        return {**self.counts.drops, "replay_buffer": self.replay.forgotten, **audit}

    def child_start_time(self) -> float:
        started = self.shared.supervisor.started
        return time.time() - (self.loop.time() - started) if self.shared.supervisor.pid else 0.0

    # -- parts ------------------------------------------------------------------------------------------------------------

    def _shown_tools(self) -> list[str]:
        names = self.shared.relay.catalogue.names.values()
        shown = filter(None, map(self.tools.shown, names)) if self.tools else names
        return sorted(redacted(shortened(name, SHOWN)) for name in shown)

    def _wants_own_child(self, wish: InitializeWish) -> bool:
        if self.eras.main == MODERN:
            return False  # a modern child keeps nothing of a client, and asks through the bridge
        if self.settings.isolation == "auto":
            return self.settings.max_in_flight != 1 and can_be_asked(wish.capabilities)
        return self.settings.isolation == "session"

    def _no_session(self, caller: str) -> Refusal:
        return no_room(self.sessions.pot, caller, "sessions", "--max-sessions")

    def _open_session(self, transport: str, wish: InitializeWish, principal: str, caller: str) -> Session:
        # Nobody can use it before it is greeted, which may take its child's whole start: until then it does not idle.
        return self.sessions.open(
            transport,
            float("inf"),
            revision=wish.revision or WITHOUT_HEADER,
            capabilities=wish.capabilities,
            client=wish.client,
            principal=principal,
            own_child=self._wants_own_child(wish),
            caller=caller,
        )

    def _greet(self, session: Session, wish: InitializeWish, message: envelope.Envelope) -> bytes:
        """Agree on a revision, seal that into the session's id, and answer."""
        session.touched = self.loop.time()
        session.revision, answer = self._greeting(session, wish)
        self.sessions.seal(session)
        self.counts.sessions[(session.transport, session.revision)] += 1
        if self.log.is_debug:
            self.log.debug(
                "session opened",
                session=session.label,
                transport=session.transport,
                revision=session.revision,
                own_child=session.own_child,
                client=_client_name(wish.client),
            )
        return envelope.result(message.id, answer)

    def _greeting(self, session: Session, wish: InitializeWish) -> tuple[str, bytes]:
        return session.relay.facts.answer(wish.revision, hide_tasks=not session.own_child, hide_list_changed=self.is_litellm)

    @property
    def _patience(self) -> float:
        return min(LITELLM_PATIENCE, self.policy.ready_wait) if self.is_litellm else self.policy.ready_wait

    def _is_followed_up(self) -> bool:
        """LiteLLM's client lists the tools after a call, or the call has failed; only then it ends its session."""
        now = self.loop.time()
        return self.is_litellm and any(now - FOLLOW_UP < session.touched <= now for session in self.sessions)

    def _softened(self, refusal: Refusal) -> Refusal:
        """LiteLLM's gateway is wedged by a 5xx on `initialize`, not by an error in a 200."""
        return Refusal(200, refusal.code, refusal.message) if self.is_litellm else refusal


DRAIN_TICK = 0.02  # seconds
FOLLOW_UP = 0.5  # seconds after a session's last message in which LiteLLM still sends one
LAST_TASKS = 1.0  # seconds


def _wish(message: envelope.Envelope) -> InitializeWish | Refusal:
    try:
        params = msgspec.json.decode(message.params, type=InitializeParams)
        for raw in (params.capabilities, params.clientInfo):
            if len(memoryview(raw)) > LONGEST_SELF:
                return Refusal(200, INVALID_PARAMS, f"initialize: capabilities and clientInfo may have {LONGEST_SELF} bytes each")
            envelope.members(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Refusal(200, INVALID_PARAMS, f"initialize: {error}" if message.params else "initialize needs params")
    wanted = params.protocolVersion
    # Copies: the session keeps them, and a slice would keep the whole body.
    return InitializeWish(wanted if wanted in HANDSHAKE else None, params.capabilities.copy(), params.clientInfo.copy())


def _client_name(client: Raw) -> str:
    info = envelope.members(client)
    return (envelope.string(info.get("name", Raw(b'""'))) or "")[:80]
