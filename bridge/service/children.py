"""Which child a session gets: the shared one, its own, or its principal's; when a child sleeps, and when it is replaced."""

import asyncio

from bridge.child.lifecycle import COOL_DOWN, Pace, State
from bridge.child.usage import usage
from bridge.protocol import envelope, spelling
from bridge.protocol.eras import LEGACY, MODERN
from bridge.protocol.errors import INVALID_REQUEST, Refusal
from bridge.protocol.facts import initialize_params
from bridge.protocol.revisions import HANDSHAKE, NEWEST
from bridge.protocol.session import ASKABLE, Session
from bridge.service.child import Child
from bridge.service.eras import PROBE
from bridge.service.pool import Pool

LINGER = 300.0  # seconds that a principal's child stays without a session, because many clients open one for each call
NOTHING = b"{}"  # the capabilities of a client that can be asked nothing
LOOK = 5.0  # seconds between two looks at a child's memory


class Children:
    """All children of one service."""

    def __init__(self, service, on_fatal):
        self.service = service
        self.on_fatal = on_fatal
        self.is_by_principal = service.settings.isolation == "principal"
        settings = service.settings
        self.shared = Child(service, "shared", on_gone=self._shared_gone)
        self.pool = Pool(service, settings.spares, settings.max_children, settings.child_wait, is_fair=service.memory.is_fair)
        self.modern: Child | None = None  # that of a child which speaks both eras, or is asked whether it does
        self.headed: Child | None = None  # that of a silent server which is asked with headers
        self._has_tried_headers = False
        self._principals: dict[tuple[str, str], Child] = {}  # by principal and era
        self._retiring: list[Child] = []
        self._connecting: dict[str, asyncio.Task] = {}  # sessions that wait for their own child

    def __iter__(self):
        for child in self._lasting():
            yield child
            if child.successor:
                yield child.successor
        yield from list(self._retiring)
        yield from self.pool

    def start(self) -> None:
        """Start what should be there before anybody asks."""
        settings = self.service.settings
        if settings.lazy:
            self.shared.relay.sleep()
        else:
            self.shared.start()
        if settings.isolation in ("session", "auto"):
            self.pool.refill()

    def is_shared_by(self, session: Session) -> bool:
        return not session.own_child and not self._principal_of(session)

    async def connect(self, session: Session) -> Refusal | None:
        """Give a session its relay. Its requests may come several at a time: they get the same one."""
        if not session.own_child or self.service.eras.main == MODERN:
            self.child_for(session).relay.join(session)
            return None
        task = self._connecting.get(session.nonce)
        if task is None:
            task = self._connecting[session.nonce] = self.service.loop.create_task(self._give_own(session))
            task.add_done_callback(lambda task: self._connecting.pop(session.nonce))
        return await asyncio.shield(task)

    async def _give_own(self, session: Session) -> Refusal | None:
        kind, params = self._wishes(session)
        child = await self.pool.take(session, kind, params)
        if isinstance(child, Refusal):
            return child
        if not self.service.sessions.holds(session):
            child.relay.leave(session, self.service.loop.time())
            self.pool.set_aside(child)
            return Refusal(404, INVALID_REQUEST, "the session ended while it waited for its server process")
        if self.service.is_litellm and kind == NOTHING:  # LiteLLM would not wait, and asks for lists before each call
            child.relay.presume(self.shared.relay)
        if session.initialized:  # taken up from its token: an earlier bridge had its child
            session.lost_state = "the bridge was restarted"
        return None

    async def lend(self, lease: Session) -> Child | Refusal:
        """A legacy child for one modern call that may be asked things."""
        kind, params = self._wishes(lease)
        return await self.pool.take(lease, kind, params)

    def child_for(self, session: Session) -> Child:
        """The child of a session that shares one."""
        return self._of_principal(session.principal, LEGACY) or self.shared

    def modern_now(self, principal: str) -> Child | None:
        """The child of a modern client's request; None where its era is not known yet."""
        eras = self.service.eras
        if eras.modern is None:
            return None
        is_beside = eras.modern and eras.legacy is not False
        if self.is_by_principal and principal:
            return self._of_principal(principal, MODERN if is_beside else LEGACY)
        return (self.modern or self.start_modern()) if is_beside else self.shared

    def modern_or_legacy(self, principal: str) -> Child:
        """The same, where a child whose era could not be found out in time is taken as a legacy one."""
        return self.modern_now(principal) or self._of_principal(principal, LEGACY) or self.shared

    def start_modern(self) -> Child:
        """Start the process that modern clients share. Whether it answers as it should says which era the child speaks."""
        if self.modern is None:
            settings = self.service.settings
            patience = min(PROBE, settings.start_timeout or PROBE)
            pace = Pace(patience, settings.backoff_initial, settings.backoff_max, 1)
            self.modern = Child(self.service, "modern", on_gone=self._modern_gone, era=MODERN, pace=pace)
            self.modern.supervisor.is_on_trial = True
            self.modern.on_opened = self.service.eras.answered
            self.modern.start()
        return self.modern

    def try_headers(self, silent: Child) -> None:
        """A child says nothing, and may want a header with a length before each message. Another process is asked so, once:
        one that is only slow would be ended by bytes that it does not expect."""
        settings = self.service.settings
        if silent is not self.shared or self._has_tried_headers or settings.max_in_flight == 1:
            return
        self._has_tried_headers = True
        patience = min(PROBE, settings.start_timeout or PROBE)
        child = self.headed = Child(
            self.service, "headers", on_gone=self._headed_gone, pace=Pace(patience, settings.backoff_initial, settings.backoff_max, 1)
        )
        child.wants_headers = child.supervisor.is_on_trial = True
        child.on_opened = self._headed_opened
        child.start()

    def _headed_opened(self) -> None:
        self.service.log.info("the server wants a Content-Length header before each message", pid=self.headed.pid)
        self.service.wants_headers = True
        child, self.headed = self.headed, None
        child.on_gone = lambda child: None
        self._end(child)
        if not self.shared.relay.is_open:
            self.shared.restart()

    def _headed_gone(self, child: Child) -> None:
        self.headed = None
        self.service.spawn(child.stop())

    def drop_modern(self) -> None:
        """The process that was asked is not needed: the main child speaks the same."""
        if self.modern is not None:
            child, self.modern = self.modern, None
            child.on_gone = lambda child: None
            self._end(child)

    def _of_principal(self, name: str, era: str) -> Child | None:
        if not self.is_by_principal or not name:
            return None
        child = self._principals.get((name, era))
        if child is None:
            child = self._principals[name, era] = Child(self.service, "principal", era=MODERN if era == MODERN else "")
            child.relay.link.used = self.service.loop.time()  # somebody asks for it
            child.start()
            if era == LEGACY:
                child.relay.presume(self.shared.relay)  # which was told the same in its handshake
        return child

    def _modern_gone(self, child: Child) -> None:
        """It is not there any more; if it never was, the child is no modern one."""
        if child.has_opened:
            return
        self.modern = None
        self.service.eras.failed(child.relay.reason)
        self.service.eras.answered()
        self.service.spawn(child.stop())

    def release(self, session: Session) -> None:
        """The session is over, and so is its own child. One that has not started yet is kept for the client's next session."""
        if session.own_child and session.relay.is_private:
            child = session.relay.child
            if child.has_opened or session.is_modern:
                self.pool.give_back(child)
            else:
                self.pool.set_aside(child)

    def sweep(self, now: float) -> None:
        for child in self:
            child.sweep(now)
        self._let_sleep(now)
        self._recycle(now)
        for child in [child for child in self._retiring if child.relay.is_idle]:
            self._retiring.remove(child)
            self.service.spawn(child.stop())
        for key, child in list(self._principals.items()):
            if not child.relay.sessions and child.relay.is_idle and now - child.relay.link.used >= LINGER:
                del self._principals[key]
                self._end(child)

    async def stop(self) -> None:
        await asyncio.gather(*(child.stop() for child in self if child.role != "own" and child.role != "spare"), self.pool.close())

    # -- sleep --------------------------------------------------------------------------------------------------------------

    def _let_sleep(self, now: float) -> None:
        """Stop shared children that nobody used for long; subscriptions need theirs awake."""
        patience = self.service.settings.idle_stop
        for child in self._lasting() if patience else ():
            relay = child.relay
            if (
                relay.is_open
                and relay.is_idle
                and now - relay.link.used >= patience
                and child.successor is None
                and not relay.listens
                and not relay.tasks.are_running(now)
                and not any(session.subscriptions for session in relay.sessions.values())
            ):
                self.service.log.info("child goes to sleep: nobody used it", pid=child.pid, idle=round(now - relay.link.used))
                child.sleep()

    # -- replacing ------------------------------------------------------------------------------------------------------------

    def _recycle(self, now: float) -> None:
        """Replace children that have done enough, without one failed call: the new one is there first."""
        for child in self._lasting():
            if child.successor is not None:
                self._await_successor(child, now)
            elif (why := self._is_due(child, now)) and now >= child.next_try:
                self._begin_replacing(child, why)

    def _begin_replacing(self, child: Child, why: str) -> None:
        self.service.log.info("child is replaced", pid=child.pid, role=child.role, why=why)
        if self.service.settings.max_in_flight == 1:
            self.service.counts.recycled += 1
            child.relay.pause()  # it must be the only one: calls wait until the next one is there
            return
        child.successor = Child(self.service, child.role, era=child.own_era)
        child.successor.start()

    def _await_successor(self, child: Child, now: float) -> None:
        if child.successor.relay.is_open:
            self._replace(child, now)
        elif child.successor.supervisor.state is State.FATAL:
            child.successor = None  # the old one is better than none
            child.next_try = now + COOL_DOWN

    def _replace(self, old: Child, now: float) -> None:
        self.service.counts.recycled += 1
        new, old.successor = old.successor, None
        if old is self.shared:
            self.shared = new
        elif old is self.modern:
            self.modern = new
        else:
            self._principals = {key: new if child is old else child for key, child in self._principals.items()}
        new.on_gone, new.on_opened, old.on_gone = old.on_gone, old.on_opened, lambda child: None
        old.relay.hand_over(new.relay, now)
        new.relay.link.used = old.relay.link.used  # nobody has used it yet: else it would never sleep
        old.role = "retiring"
        self._retiring.append(old)

    def _is_due(self, child: Child, now: float) -> str:
        settings = self.service.settings
        relay = child.relay
        if relay.is_paused:
            if relay.is_at_rest and child.supervisor.state is State.READY:
                child.restart()
            return ""
        if not relay.is_open or relay.tasks.are_running(now):  # they would end with it
            return ""
        if settings.recycle_calls and relay.dispatcher.calls >= settings.recycle_calls:
            return f"{relay.dispatcher.calls} calls (--recycle-calls)"
        if settings.recycle_age and now - child.supervisor.started >= settings.recycle_age:
            return f"{now - child.supervisor.started:.0f} s old (--recycle-age)"
        if settings.recycle_memory and now - child.looked >= LOOK:
            child.looked = now
            memory = usage([child.pid])[0]
            if memory > settings.recycle_memory:
                return f"{memory} bytes of memory (--recycle-memory)"
        return ""

    # -- parts ----------------------------------------------------------------------------------------------------------------

    def _lasting(self) -> list[Child]:
        """Those that outlive a session: they may sleep, and are replaced."""
        return [self.shared, *([self.modern] if self.modern else ()), *([self.headed] if self.headed else ()), *self._principals.values()]

    def _end(self, child: Child) -> None:
        """Stop it, and the one that was to take its place."""
        for one in (child, child.successor) if child.successor else (child,):
            self.service.spawn(one.stop())
        child.successor = None

    def _principal_of(self, session: Session) -> str:
        return session.principal if self.service.settings.isolation == "principal" else ""

    def _wishes(self, session: Session) -> tuple[bytes, bytes]:
        """What a session's own child is told of its client: the kind of spare that will do, and a new child's params."""
        offered = spelling.only(envelope.members(session.capabilities), *ASKABLE)  # a child may take "Roots" for roots
        if self.service.policy.withhold_roots and offered.pop("roots", None):
            self.service.log.info("client's roots are withheld from its child (--client-roots relay passes them)", session=session.label)
        capabilities = envelope.encode(dict(sorted(offered.items())))
        revision = session.revision if session.revision in HANDSHAKE else NEWEST
        client = bytes(session.client) if len(memoryview(session.client)) > 2 else b""
        return capabilities, initialize_params(revision, capabilities, client)

    def _shared_gone(self, child: Child) -> None:
        if child.supervisor.state is State.FATAL:
            self.on_fatal()
