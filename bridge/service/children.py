"""Which child a session gets: the shared one, its own, or its principal's; when a child sleeps, and when it is replaced."""

import asyncio
import itertools
import time
from collections.abc import Callable, Container, Coroutine, Iterable, Iterator, Mapping
from typing import Any

from bridge.budget import GREED, Budget
from bridge.callers.credentials import caller_of, is_own
from bridge.child.lifecycle import COOL_DOWN, Pace, State
from bridge.protocol import envelope, spelling
from bridge.protocol.era import LEGACY, MODERN
from bridge.protocol.errors import INVALID_REQUEST, Reason, Refusal, busy, share_taken
from bridge.protocol.facts import initialize_params
from bridge.protocol.replicas import Replicas
from bridge.protocol.revisions import HANDSHAKE, NEWEST
from bridge.protocol.session import ASKABLE, Session, Sessions
from bridge.service.child import Child, child_of, relay_of
from bridge.service.eras import PROBE, Eras
from bridge.service.pool import Pool
from bridge.service.setup import Setup
from bridge.service.state_file import StateFile
from bridge.service.streams import OpenStream

LINGER = 300.0  # seconds that a principal's child stays without a session, because many clients open one for each call
SOON = 10.0  # in which a child is started whose values have come
NOTHING = b"{}"  # the capabilities of a client that can be asked nothing
LOOK = 5.0  # seconds between two looks at a child's memory


class Children:
    """All children of one service. `on_fatal` is called when the shared one is given up."""

    def __init__(
        self, setup: Setup, sessions: Sessions, on_fatal: Callable[[], None], spawn: Callable[[Coroutine[Any, Any, None]], object]
    ):
        settings = setup.settings
        self._setup = setup
        self._settings = settings
        self._sessions = sessions
        self._on_fatal = on_fatal
        self.spawn = spawn
        self._log = setup.log
        self._counts = setup.counts
        self._now = setup.now
        self.is_by_principal = settings.isolation == "principal" or setup.is_remote
        self._has_values = bool(settings.caller_secret) or setup.is_remote
        self._values: dict[str, tuple[float, Mapping[str, str]]] = {}  # of principals whose children have values of their own, since when
        self._may_sleep = bool(settings.lazy or settings.idle_stop)
        self._state_file = StateFile(settings.cache_dir, setup.name, setup.command, setup.log) if self._may_sleep else None
        self.eras = Eras(setup.name, setup.command, settings, setup.log, self)
        self.wants_headers = False
        self.pool = Pool(
            self._make,
            spawn,
            self._are_own_needed,
            setup.log,
            setup.counts,
            spares=settings.spares,
            limit=settings.max_children,
            patience=settings.child_wait,
            is_fair=setup.is_fair,
        )
        self.shared = Child(setup, self, "shared", on_gone=self._shared_gone, on_opened=self._shared_opened)
        self._replicas: dict[Child, list[Child]] = {}  # that help the shared one, and the modern one
        self._add_replicas(self.shared)
        self.modern: Child | None = None  # that of a child which speaks both eras, or is asked whether it does
        self._headed: Child | None = None  # that of a silent server which is asked with headers
        self._has_tried_headers = False
        self._principals: dict[tuple[str, str], Child] = {}  # by principal and era
        self._retiring: list[Child] = []
        self._connecting: dict[str, asyncio.Task[Refusal | None]] = {}  # sessions that wait for their own child

    def __iter__(self) -> Iterator[Child]:
        for child in self._lasting():
            yield child
            if child.successor:
                yield child.successor
        yield from list(self._retiring)
        yield from self.pool

    def start(self) -> None:
        """Start what should be there before anybody asks."""
        settings, relay = self._settings, self.shared.relay
        if self._state_file is not None:
            self._state_file.clean(time.time())
            if facts := relay.lists.load(self._state_file.read(), self._state_file.identity):
                relay.remember(facts)
        if settings.lazy:
            for child in (self.shared, *self._replicas[self.shared]):
                child.relay.sleep()
        else:
            self.shared.start()
        if settings.isolation in ("session", "auto"):
            self.pool.refill()

    def _add_replicas(self, first: Child) -> None:
        """Others of the same kind (`--replicas`). They start when the first one has shown that it does."""
        group = Replicas(first.relay) if self._settings.replicas > 1 else None
        others = self._replicas[first] = []
        for _ in range(self._settings.replicas - 1):
            child = Child(self._setup, self, "replica", era=first.own_era, on_gone=self._shared_gone)
            assert group is not None
            group.add(child.relay)
            others.append(child)

    def _start_replicas(self, first: Child) -> None:
        for child in self._replicas.get(first, ()):
            if child.supervisor.state is State.STOPPED and not child.relay.is_asleep:
                child.start()

    def _shared_opened(self) -> None:
        self._start_replicas(self.shared)

    def learned(self, child: Child) -> None:
        """All lists of this child are known: keep them for the time when the shared one sleeps."""
        if self._state_file is not None and child is self.shared:
            self._state_file.write(child.relay.lists.dump(self._state_file.identity))

    def _make(self, role: str, params: bytes, owner: Session | None, on_gone: Callable[[Child], None]) -> Child:
        values = self._values[owner.principal][1] if owner is not None and owner.principal in self._values else None
        return Child(self._setup, self, role, params, owner, on_gone=on_gone, values=values)

    # -- for sessions -----------------------------------------------------------------------------------------------------------

    async def connect(self, session: Session) -> Refusal | None:
        """Give a session its relay. Its requests may come several at a time: they get the same one."""
        if not session.own_child or not self._are_own_needed():
            self.child_for(session).relay.join(session)
            return None
        task = self._connecting.get(session.nonce)
        if task is None:
            task = self._connecting[session.nonce] = self._setup.loop.create_task(self._give_own(session))
            task.add_done_callback(lambda task: self._connecting.pop(session.nonce))
        return await asyncio.shield(task)

    async def _give_own(self, session: Session) -> Refusal | None:
        capabilities, params = self._declared(session)
        child = await self.pool.take(session, capabilities, params)
        if isinstance(child, Refusal):
            return child
        if not self._sessions.holds(session):
            child.relay.leave(session, self._now())
            self.pool.set_aside(child)
            return Refusal(404, INVALID_REQUEST, "the session ended while it waited for its server process", reason=Reason.SESSION)
        if self._setup.is_litellm and capabilities == NOTHING:  # LiteLLM would not wait, and asks for lists before each call
            child.relay.presume(self.shared.relay)
        if session.initialized:  # taken up from its token: an earlier bridge had its child
            session.lost_state = "the bridge was restarted"
        return None

    async def lend(self, lease: Session) -> Child | Refusal:
        """A legacy child for one modern call that may be asked things."""
        return await self.pool.take(lease, *self._declared(lease))

    def child_for(self, session: Session) -> Child:
        """The child of a session that shares one."""
        return self._of_principal(session.principal, LEGACY) or self.shared

    def modern_now(self, principal: str) -> Child | None:
        """The child of a modern client's request; None where its era is not known yet."""
        eras = self.eras
        if eras.modern is None:
            return None
        is_beside = eras.modern and eras.legacy is not False
        if self.is_by_principal and (own := self._of_principal(principal, MODERN if is_beside else LEGACY)) is not None:
            return own
        return (self.modern or self.start_modern()) if is_beside else self.shared

    def modern_or_legacy(self, principal: str) -> Child:
        """The same, where a child whose era could not be found out in time is taken as a legacy one."""
        return self.modern_now(principal) or self._of_principal(principal, LEGACY) or self.shared

    def start_modern(self) -> Child:
        """Start the process that modern clients share. Whether it answers as it should says which era the child speaks."""
        child = self.modern
        if child is None:
            child = self.modern = Child(
                self._setup,
                self,
                "modern",
                on_gone=self._modern_gone,
                on_opened=self._modern_opened,
                era=MODERN,
                pace=self._pace_of_trial(),
                on_trial=True,
            )
            self._add_replicas(child)
            child.start()
        return child

    def _modern_opened(self) -> None:
        self.eras.answered()
        if self.modern is not None:
            self._start_replicas(self.modern)

    def try_headers(self, silent: Child) -> None:
        """A child says nothing, and may want a header with a length before each message. Another process is asked so, once:
        one that is only slow would be ended by bytes that it does not expect."""
        if silent is not self.shared or self._has_tried_headers or self._settings.max_in_flight == 1:
            return
        self._has_tried_headers = True
        self._headed = Child(
            self._setup,
            self,
            "headers",
            on_gone=self._headed_gone,
            on_opened=self._headed_opened,
            pace=self._pace_of_trial(),
            wants_headers=True,
            on_trial=True,
        )
        self._headed.start()

    def _headed_opened(self) -> None:
        child, self._headed = self._headed, None
        if child is None:
            return
        self._log.info("the server wants a Content-Length header before each message", pid=child.pid)
        self.wants_headers = True
        self._end(child)
        if not self.shared.relay.is_open:
            self.shared.restart()

    def _headed_gone(self, child: Child) -> None:
        if child is self._headed:
            self._headed = None
            self.spawn(child.stop())

    def _pace_of_trial(self) -> Pace:
        settings = self._settings
        return Pace(min(PROBE, settings.start_timeout or PROBE), settings.backoff_initial, settings.backoff_max, 1)

    def drop_modern(self) -> None:
        """The process that was asked is not needed: the main child speaks the same."""
        if self.modern is not None:
            child, self.modern = self.modern, None
            self._end(child)

    def refill_spares(self) -> None:
        """What they were started for may be another era's."""
        self.pool.refill()

    @property
    def budget(self) -> Budget:
        """How many may be sessions' own."""
        return self.pool.pot

    @property
    def at_work(self) -> Child:
        """The shared one, or where that is away one that does its work."""
        replicas = self.shared.relay.replicas
        ready = replicas.ready if replicas is not None and not self.shared.relay.is_open else None
        return self.shared if ready is None else next(child for child in self._replicas[self.shared] if child.relay is ready)

    @property
    def has_waiting(self) -> bool:
        """Whether sessions wait for a child of their own."""
        return self.pool.has_waiting

    @property
    def start_seconds(self) -> float:
        return self.shared.supervisor.start_seconds

    def _of_principal(self, name: str, era: str) -> Child | None:
        values = self._values[name][1] if is_own(name) else None
        if not self.is_by_principal or not name or (self._has_values and values is None):
            return None
        child = self._principals.get((name, era))
        if child is None:
            child = self._principals[name, era] = Child(self._setup, self, "principal", era=MODERN if era == MODERN else "", values=values)
            child.used = self._now()  # somebody asks for it
            child.start()
            if era == LEGACY and not self._setup.is_remote:
                child.relay.presume(self.shared.relay)  # which was told the same in its handshake
        return child

    def no_room_for(self, principal: str, values: Mapping[str, str], streams: Iterable[OpenStream]) -> Refusal | None:
        """Whether a child with these values is one too many; if not, it may be started from now on."""
        caller, most = caller_of(principal), self._settings.max_children
        if principal not in self._values and (len(self._values) >= most or self._has_its_share(caller)):
            self._forget_values({stream.principal for stream in streams})
            whose = caller if self._has_its_share(caller) else ""
            if (whose or len(self._values) >= most) and not self._end_longest_idle(whose):
                what = "children with callers' own secrets"
                return share_taken(what, "--max-children, or limits.children") if whose else busy(what, "--max-children")
        self._values[principal] = self._now(), values
        return None

    def _has_its_share(self, caller: str) -> bool:
        """Whether a caller has as many of these children as it may: it can bring any number of values along."""
        mine = 1 + sum(caller_of(name) == caller for name in self._values)
        cap = self.budget.cap(caller) if self.budget.cap is not None else 0
        free = max(1, self._settings.max_children - len(self._values))
        return 0 < cap < mine or (self.budget.is_fair and mine > GREED * free)

    def _forget_values(self, connected: Container[str]) -> None:
        """Those of principals who have no child, and no connection on which they may still ask for one."""
        late = [name for name, (since, _) in self._values.items() if self._now() - since >= SOON]
        for name in late:
            if name not in connected and not any(key[0] == name for key in self._principals):
                del self._values[name]

    def _end_longest_idle(self, whose: str) -> bool:
        """Make room: of this caller's, or of anybody's."""
        idle = [
            (child.used, key)
            for key, child in self._principals.items()
            if is_own(key[0]) and _is_unused(child) and whose in ("", caller_of(key[0]))
        ]
        if not idle:
            return False
        name = min(idle)[1][0]
        for key in [key for key in self._principals if key[0] == name]:
            self._end(self._principals.pop(key))
        del self._values[name]
        return True

    def _modern_gone(self, child: Child) -> None:
        """It is not there any more; if it never was, the child is no modern one."""
        if child is not self.modern or child.has_opened:
            return
        self.modern = None
        self.eras.failed(child.relay.reason)
        self.eras.answered()
        self._end(child)

    def release(self, session: Session) -> None:
        """The session is over, and so is its own child. One that has not started yet is kept for the client's next session."""
        if session.own_child and relay_of(session).is_private:
            child = child_of(session)
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
            self.spawn(child.stop())
        for key, child in list(self._principals.items()):
            if _is_unused(child) and now - child.used >= LINGER:
                del self._principals[key]
                self._end(child)

    async def stop(self) -> None:
        await asyncio.gather(*(child.stop() for child in self if child.role != "own" and child.role != "spare"), self.pool.close())

    # -- sleep --------------------------------------------------------------------------------------------------------------

    def _let_sleep(self, now: float) -> None:
        """Stop shared children that nobody used for long; subscriptions need theirs awake."""
        patience = self._settings.idle_stop
        for child in self._lasting() if patience else ():
            relay = child.relay
            if (
                relay.is_open
                and relay.is_idle
                and now - child.used >= patience
                and child.successor is None
                and not relay.listens
                and not relay.tasks.are_running(now)
                and not any(session.subscriptions for session in relay.sessions.values())
            ):
                self._log.info("child goes to sleep: nobody used it", pid=child.pid, idle=round(now - child.used))
                child.sleep()

    # -- replacing ------------------------------------------------------------------------------------------------------------

    def _recycle(self, now: float) -> None:
        """Replace children that have done enough, without one failed call: the new one is there first."""
        for child in self._lasting():
            if child.successor is not None:
                self._await_successor(child, child.successor, now)
            elif (why := self._is_due(child, now)) and now >= child.next_try:
                self._begin_replacing(child, why)

    def _begin_replacing(self, child: Child, why: str) -> None:
        self._log.info("child is replaced", pid=child.pid, role=child.role, why=why)
        if self._settings.max_in_flight == 1:
            self._counts.recycled += 1
            child.relay.pause()  # it must be the only one: calls wait until the next one is there
            return
        child.successor = Child(
            self._setup, self, child.role, era=child.own_era, on_gone=child.on_gone, on_opened=child.on_opened, values=child.values
        )
        child.successor.start()

    def _await_successor(self, child: Child, successor: Child, now: float) -> None:
        if successor.relay.is_open:
            self._replace(child, successor, now)
        elif successor.supervisor.state is State.FATAL:
            child.successor = None  # the old one is better than none
            child.next_try = now + COOL_DOWN

    def _replace(self, old: Child, new: Child, now: float) -> None:
        self._counts.recycled += 1
        old.successor = None
        if old.relay.replicas is not None:
            old.relay.replicas.replace(old.relay, new.relay)
        for others in self._replicas.values():
            others[:] = [new if child is old else child for child in others]
        if old in self._replicas:
            self._replicas[new] = self._replicas.pop(old)
        if old is self.shared:
            self.shared = new
        elif old is self.modern:
            self.modern = new
        else:
            self._principals = {key: new if child is old else child for key, child in self._principals.items()}
        old.relay.hand_over(new.relay, now)
        new.used = old.used  # nobody has used it yet: else it would never sleep
        old.role = "retiring"
        self._retiring.append(old)

    def _is_due(self, child: Child, now: float) -> str:
        settings = self._settings
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
            memory = child.memory
            if memory > settings.recycle_memory:
                return f"{memory} bytes of memory (--recycle-memory)"
        return ""

    # -- parts ----------------------------------------------------------------------------------------------------------------

    def _lasting(self) -> list[Child]:
        """Those that outlive a session: they may sleep, and are replaced."""
        shared = [self.shared, *([self.modern] if self.modern else ()), *([self._headed] if self._headed else ())]
        return [*shared, *itertools.chain.from_iterable(self._replicas.values()), *self._principals.values()]

    def _end(self, child: Child) -> None:
        """Stop it, the one that was to take its place, and those that help it."""
        for one in (child, *([child.successor] if child.successor else ()), *self._replicas.pop(child, ())):
            self.spawn(one.stop())
        child.successor = None

    def _are_own_needed(self) -> bool:
        """A modern child serves all sessions."""
        return self.eras.main != MODERN

    def _declared(self, session: Session) -> tuple[bytes, bytes]:
        """What a session's own child is told of its client: the capabilities, for a spare, and a new child's params."""
        offered = spelling.only(envelope.members(session.capabilities), *ASKABLE)  # a child may take "Roots" for roots
        if self._setup.policy.withhold_roots and "roots" in offered:
            del offered["roots"]
            self._log.info("client's roots are withheld from its child (--client-roots relay passes them)", session=session.label)
        capabilities = envelope.encode(dict(sorted(offered.items())))
        revision = session.revision if session.revision in HANDSHAKE else NEWEST
        client = bytes(session.client) if len(memoryview(session.client)) > 2 else b""
        return capabilities, initialize_params(revision, capabilities, client)

    def _shared_gone(self, child: Child) -> None:
        """The last one of them that could answer was given up."""
        if child.supervisor.state is State.FATAL and self.at_work.supervisor.state is State.FATAL:
            self._on_fatal()


def _is_unused(child: Child) -> bool:
    return not child.relay.sessions and child.relay.is_idle
