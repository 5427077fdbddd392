"""A group as the transports see it: a service whose sessions are seats with its members. What a request is for says `routes.py`."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from math import inf
from typing import Any

from msgspec import structs

from bridge.budget import Budget
from bridge.callers.access import Access
from bridge.callers.audit import Audit
from bridge.callers.credentials import Credentials
from bridge.counts import Counts
from bridge.group.context import View
from bridge.group.greeting import Known, discovery_result, initialize_result
from bridge.group.listens import Listens
from bridge.group.lists import Lists
from bridge.group.member import Member
from bridge.group.plan import Plan
from bridge.group.routes import Routes
from bridge.group.seats import GroupSession, Seat, Seats, seats_of
from bridge.http.call import Call
from bridge.http.request import Memory, Request
from bridge.log import Log
from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope
from bridge.protocol.errors import INTERNAL_ERROR, Reason, Refusal, no_room
from bridge.protocol.facts import LIST_CHANGED
from bridge.protocol.outcome import Outcome
from bridge.protocol.pinned import Pins
from bridge.protocol.profile import profile
from bridge.protocol.replay import Replay
from bridge.protocol.revisions import NEWEST, WITHOUT_HEADER, of_header
from bridge.protocol.session import NO_SESSION, Session, Sessions, can_be_asked
from bridge.protocol.spans import Tracing
from bridge.service import DRAIN_TICK, LAST_TASKS, REPLAY_PART, Service
from bridge.service.opening import STREAMABLE, Initialize, Opened
from bridge.service.streams import Streams
from bridge.settings import Settings

REMEMBERED = 1000  # callers, with what they were shown
_PROGRESS = ("notifications/progress", "notifications/tasks/status")
_ROOTS = "notifications/roots/list_changed"


class Group:
    """`services` are the MCPs of now, by name: a reload changes them, and calls `renew`."""

    # Those of its members hold for what is theirs.
    access: Access | None = None
    tracing: Tracing | None = None
    credentials: Credentials | None = None
    pins: Pins | None = None
    older: object | None = None
    draining = False

    def __init__(
        self,
        plan: Plan,
        services: Mapping[str, Service],
        settings: Settings,
        key: bytes,
        memory: Budget,
        log: Log,
        audit: Audit | None = None,
    ):
        self.plan = plan
        self.name = plan.name
        self.settings = settings
        self.log = log
        self.audit = audit  # of what it answers or refuses by itself
        self.loop = asyncio.get_running_loop()
        self.counts = Counts()
        self.memory = self.counts.memory = memory
        self.profile = profile(settings.profile)
        self.is_litellm = self.profile.is_litellm
        is_fair = memory.is_fair
        self.sessions = Sessions(plan.name, key, settings.max_sessions, settings.session_idle, memory, is_fair, kind=GroupSession)
        self.replay = Replay(int(min(settings.replay_buffer, memory.limit // REPLAY_PART)), memory)
        self.streams = Streams(settings.max_streams, is_fair, self.counts, log)
        self.lists = Lists(self)
        self.listens = Listens(self, self.lists)
        self.routes = Routes(self, self.lists, self.listens)
        self._services = services
        self._views: OrderedDict[str, View] = OrderedDict()  # of callers, whoever came last last
        memory.reclaim.append(self.forget_views)
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls: set[asyncio.Future[Outcome]] = set()  # what waits for a list or a seat, or is such a list
        self.members: dict[str, Member] = {}
        self._join()

    # -- members ----------------------------------------------------------------------------------------------------------

    def _join(self) -> None:
        before = self.members
        self.members = {}
        for name in self.plan.members:
            service = self._services[name]
            kept = before.get(name)
            self.members[name] = kept if kept is not None and kept.service is service else Member(name, service)
        access = next((member.service.access for member in self.members.values()), None)
        self.sessions.pot.cap = access.cap("sessions") if access is not None else None

    def renew(self, plan: Plan) -> None:
        """A reload has changed its members, or what callers may do. A replaced one finishes what it began; a session that had a child of its
        own there is told so at its next call, and one that had subscriptions begins anew."""
        before = self.members
        self.plan = plan
        self.forget_views()
        self._join()
        gone = [name for name, member in before.items() if self.members.get(name) is not member]
        for session in self.sessions:
            seats = seats_of(session)
            lost = [seats.by_member[name] for name in gone if name in seats.by_member]
            if any(seat.session.subscriptions for seat in lost):
                self.end(session)
                continue
            for seat in lost:
                if self._services.get(seat.member.name) is seat.member.service:
                    seats.give_up(seat.member.name)  # only the group has changed
                else:
                    seats.lose(seat.member.name)
        if gone or len(before) != len(self.members):
            self.changed(LIST_CHANGED)
            self.listens.renew()

    def view(self, principal: str) -> View:
        found = self._views.get(principal)
        if found is None:
            visible = {name: member for name, member in self.members.items() if not member.service.is_hidden_from(principal)}
            found = self._views[principal] = View(visible, self.memory, principal)
            if len(self._views) > REMEMBERED:
                self._views.popitem(last=False)[1].forget()
        else:
            self._views.move_to_end(principal)
        return found

    def forget_views(self, missing: float = inf) -> None:
        """Give back so many bytes, or all: what the callers were shown who came longest ago. Where all goes, they are shown it anew."""
        keeps = 0 if missing == inf else 1  # whoever asks for room is somebody's
        while missing > 0 and len(self._views) > keeps:
            missing -= self._views.popitem(last=False)[1].forget()

    def waited(self, awaited: Awaitable[Outcome]) -> "asyncio.Future[Outcome]":
        """What a call waits for: `finish` lets it end."""
        future = asyncio.ensure_future(awaited)
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)
        return future

    async def finish(self, out_of_time: Callable[[], bool], *, for_good: bool = False) -> None:
        """Let what waits go on, until `out_of_time()`: before its members begin to finish, which take nothing more then. `for_good`: the
        group alone goes, so what its members do for it ends here, too."""
        self.draining = True
        while (self._calls or (for_good and self._is_answering())) and not out_of_time():
            await asyncio.sleep(DRAIN_TICK)

    def _is_answering(self) -> bool:
        return any(seats_of(session).are_busy for session in self.sessions) or any(not stream.is_standing for stream in self.streams)

    def close(self) -> None:
        """A reload has taken it away."""
        for session in self.sessions:
            self.end(session)
        self.streams.close()
        self.forget_views()
        self.memory.reclaim.remove(self.forget_views)

    def miss(self, member: Member, why: str) -> None:
        """Lists do not wait for this member from now on."""
        if not member.absent:
            self.log.warning("a member is missing from the group, or shown as it was known last", of=member.name, why=why)
        member.absent = why

    def answered(self, member: Member) -> None:
        """It is there, and answers."""
        if member.absent:
            member.absent = ""
            self.log.info("a member is back in the group", of=member.name)
            self.changed([kind for kind in LIST_CHANGED if member.facts is None or member.facts.offers(kind)], member.name)

    def changed(self, kinds: Iterator[str] | tuple[str, ...] | list[str], member: str = "") -> None:
        """Tell clients that lists are not what they were; of one member, those who may know of it."""
        for kind in kinds:
            method = f"notifications/{kind}/list_changed"
            text = envelope.notification(method, b"")
            for session in self.sessions if not self.is_litellm else ():
                is_visible = not member or member in self.view(session.principal).members
                if is_visible and not any(outbox.put(text) for outbox in reversed(session.streams)):
                    session.keep(method, text)
            self.listens.changed(kind, member)

    async def known(self, principal: str) -> tuple[Known, list[str]]:
        """What the members have told of themselves, and the names of those that have not, and for which nobody waits."""
        members = list(self.view(principal).members.values())
        asked = [member for member in members if member.facts is None and not member.absent and not member.is_dead]
        if asked:
            children = [member.service.children.shared for member in asked]
            tasks = [self.loop.create_task(child.known(self.plan.wait)) for child in children]
            await asyncio.wait(tasks)
            for member in asked:
                if member.facts is None:
                    self.miss(member, member.reason or "it has not told what it is yet")
        known = [(member.name, facts) for member in members if (facts := member.facts) is not None and not member.is_dead]
        names = [name for name, _ in known]
        return known, [member.name for member in members if member.name not in names]

    def request_for(self, call: Call, member: Member) -> Request | Refusal:
        """The request that a call came with, as that member's own: whose it is may hang on what it brings along for that MCP."""
        request, service = call.request, member.service
        if service.credentials is None and service.audit is None:
            return request
        principal = service.principal_of(request.principal, request.headers)
        if isinstance(principal, Refusal):
            return principal
        # Nothing is remembered of it yet: an MCP's audit has lines of its own.
        return structs.replace(request, principal=principal, memory=Memory(request.memory.head))

    async def seated(self, call: Call, member: Member) -> Seat | Refusal:
        """The seat of a call's session with this member, taken where there is none."""
        guest = call.session
        assert guest is not None
        seats, request = seats_of(guest), self.request_for(call, member)
        if isinstance(request, Refusal):
            return request
        if seats.is_over:
            return NO_SESSION
        seat = seats.by_member.get(member.name)
        if seat is None or seat.member is not member or not seat.is_good or seat.session.principal != request.principal:
            was_there = seat is not None or seats.is_taken_up or member.name in seats.lost
            seats.lost.discard(member.name)
            seats.give_up(member.name)
            session = member.service.seat(guest, request.principal)
            if isinstance(session, Refusal):
                return session
            session.initialized = was_there  # then whatever its own child knew is lost, which the client is told
            seat = seats.take(member, session)
        if seat.session.relay is None:
            refusal = await member.service.children.connect(seat.session)
            if refusal is None and not seat.is_good:
                refusal = NO_SESSION
            if refusal is not None:
                seats.give_up(member.name)
                return refusal
            seat.session.initialized = True
            if guest.level is not None and member.facts is not None and member.facts.offers("logging"):
                self.spawn(self.lists.set_level(call, member, seat.session, guest.level))
        return seat

    # -- for the transports ----------------------------------------------------------------------------------------------

    def principal_of(self, caller: str, headers: Mapping[bytes, bytes]) -> str | Refusal:
        return caller  # what it brings along is looked at by each member

    def is_hidden_from(self, principal: str) -> bool:
        return bool(self.members) and not self.view(principal).members

    def initialize(
        self, transport: str, message: Envelope, principal: str, session: Session | None = None, caller: str = ""
    ) -> Opened | Awaitable[Opened]:
        asked = Initialize.of(message)
        if isinstance(asked, Refusal):
            return None, asked
        if refusal := self.not_now():
            return None, self._softened(refusal)
        return self._greet(transport, message, asked, principal, session, caller or principal)

    async def _greet(
        self, transport: str, message: Envelope, asked: Initialize, principal: str, session: Session | None, caller: str
    ) -> Opened:
        known, absent = await self.known(principal)
        if not known and absent:
            reasons = "; ".join(f"{name}: {self.members[name].reason}" for name in absent)
            return None, self._softened(Refusal(200, INTERNAL_ERROR, f"no member of the group is there: {reasons}", reason=Reason.CHILD))
        own = [name for name, _ in known if self.members[name].service.gives_own_child(asked)]
        revision, result = initialize_result(self.name, known, absent, asked.revision, own, self.is_litellm)
        if session is None:
            if not self.sessions.make_room(caller, self.loop.time(), asked.size):
                return None, self._softened(self.sessions.no_room(caller))
            session = self.sessions.open(
                transport,
                self.loop.time(),
                revision=asked.revision or WITHOUT_HEADER,
                capabilities=asked.capabilities,
                client=asked.client,
                principal=principal,
                own_child=can_be_asked(asked.capabilities),
                caller=caller,
            )
            self._seat(session)
            session.revision = revision
            self.sessions.seal(session)
            self.counts.sessions[(transport, revision)] += 1
        session.revision = revision
        return session, envelope.result(message.id, result)

    async def discover(self, call: Call) -> bytes:
        return discovery_result(self.name, *await self.known(call.request.principal))

    def find_session(self, id: bytes | None, principal: str, headers: Mapping[bytes, bytes]) -> tuple[Session | None, Refusal | None]:
        text, now = (id or b"").decode("latin-1"), self.loop.time()
        session = self.sessions.find(text, principal, now) if text else None
        if session is not None:
            if session.relay is None:
                self._seat(session, is_taken_up=True)
            return session, None
        if self.is_litellm:
            kept = text if text and self.sessions.may_adopt(text, principal, now) else ""
            return self.adopt(STREAMABLE, principal, of_header(headers), kept), None
        return None, self.sessions.missing(id, principal, now)

    def adopt(self, transport: str, principal: str, revision: str = NEWEST, id: str = "") -> Session:
        """A session that nobody opened (LiteLLM)."""
        session = self.sessions.adopt(transport, id, revision, principal, self.loop.time())
        self._seat(session)
        return session

    def _seat(self, session: Session, is_taken_up: bool = False) -> None:
        session.relay = Seats(session, is_taken_up)  # type: ignore[assignment]  # a session of a group has them in a relay's place

    def tell(self, session: Session, message: Envelope) -> None:
        """A client's notification goes to whom it is for, an answer to whoever asked, and anything else to nobody."""
        session.touched = self.loop.time()
        seats, method = seats_of(session), message.method
        if method == "notifications/initialized":
            session.initialized = True
            return
        found: list[Seat | None]
        if method is None:
            found = [seats.asking(message.id)]
        elif method == "notifications/cancelled":
            working = seats.working_at(envelope.peek(message.params).requestId)
            if working is None:
                session.cancel_pending(message)
            found = [working]
        elif method in _PROGRESS:  # of something that a child asked: the only one that did, or nobody's
            asking = [seat for seat in seats.by_member.values() if seat.session.asks]
            found = [asking[0]] if len(asking) == 1 else [None]
        elif method == _ROOTS:
            found = [*seats.by_member.values()]
        else:
            found = [None]
        for seat in found:
            if seat is not None and seat.session.relay is not None:
                seat.tell(message, self.loop.time())

    def end(self, session: Session) -> None:
        self.sessions.end(session)
        self.replay.drop(session)
        if session.relay is not None:
            session.relay.leave(session, self.loop.time())
        for outbox in list(session.streams):
            outbox.stream.close()

    def shown(self, principal: str, method: str | None, answer: bytes) -> bytes:
        return answer

    def tell_older(self, id: str, principal: str, message: Envelope) -> bool:
        return False

    def no_memory(self, caller: str) -> Refusal:
        return no_room(self.memory, caller, "bytes", "--memory")

    def not_now(self) -> Refusal | None:
        if not self.draining:
            return None
        return Refusal(503, INTERNAL_ERROR, "the bridge is shutting down", ((b"retry-after", b"5"),), reason=Reason.DRAINING)

    def _softened(self, refusal: Refusal) -> Refusal:
        return refusal.softened() if self.is_litellm else refusal

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- for the bridge ---------------------------------------------------------------------------------------------------

    def readiness(self, principal: str | None = None, is_shown: bool = True) -> dict[str, Any]:
        """Ready while one member is. `principal`: as that caller sees it."""
        members = self.members if principal is None else self.view(principal).members
        each = {name: member.service.readiness(is_shown) for name, member in members.items()}
        ready = sum(word["status"] == "ready" for word in each.values())
        status = "ready" if ready == len(each) else "degraded" if ready else "not ready"
        said = {
            name: {key: word[key] for key in ("status", "state", "reason") if is_shown or key != "reason"} for name, word in each.items()
        }
        absent = {name: members[name].absent for name in members if is_shown and members[name].absent}
        return {"status": status, "group": self.name, "mcps": said, **({"not_waited_for": absent} if absent else {})}

    def sweep(self, now: float) -> None:
        for member in self.members.values():
            if member.absent and not member.pending and member.has_told():
                self.answered(member)
        if self.settings.keepalive:
            self.streams.beat(now, self.settings.keepalive)
        for session in self.sessions.idle_ones(now):
            if session.is_in_token and session.relay is not None:
                session.relay.leave(session, now)
                self.sessions.forget(session)
            else:
                self.end(session)

    async def stop(self) -> None:
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=LAST_TASKS)
            for task in late:  # a stream whose reader does not read
                task.cancel()
