"""A supervised process and its relay: what one hears, the other is told."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Protocol

from bridge import redact
from bridge.child.lifecycle import Pace, State
from bridge.child.process import FULL
from bridge.child.supervisor import Supervisor
from bridge.child.usage import usage
from bridge.failure import Failure
from bridge.log import Log
from bridge.protocol.era import LEGACY
from bridge.protocol.facts import Facts, initialize_params
from bridge.protocol.relay import Relay
from bridge.protocol.session import Session
from bridge.redact import redacted
from bridge.service.eras import Eras
from bridge.service.setup import Setup
from bridge.service.starting import Starting

STUCK = 16 << 20  # bytes that a child has not read, beside those for which clients wait


class Siblings(Protocol):
    """The other children of the service, and what has been found out about all of them."""

    eras: Eras
    wants_headers: bool  # the server wants a Content-Length header before each message

    @property
    def shared(self) -> "Child": ...

    def learned(self, child: "Child") -> None: ...

    def try_headers(self, silent: "Child") -> None: ...

    def drop_modern(self) -> None: ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> object: ...


class Child:
    """One child of a service. `role` is shared, modern, own, principal or spare; `params` are those of its `initialize`.

    `era` is set for a process that speaks another one than clients with a session need. `wants_headers`: it is asked with
    headers before its messages, whatever the others are. `on_trial`: it is asked something, and may well not answer.
    `values` are a caller's own, for its environment.
    """

    def __init__(
        self,
        setup: Setup,
        siblings: Siblings,
        role: str,
        params: bytes = b"",
        owner: Session | None = None,
        *,
        on_gone: Callable[["Child"], None] = lambda child: None,
        on_opened: Callable[[], None] = lambda: None,
        era: str = "",
        pace: Pace | None = None,
        wants_headers: bool = False,
        on_trial: bool = False,
        values: Mapping[str, str] | None = None,
    ):
        self._setup = setup
        self._siblings = siblings
        self._eras = siblings.eras
        self._counts = setup.counts
        self._clock = setup.now
        self.role = role
        self.params = params or initialize_params()
        self.on_gone = on_gone
        self.on_opened = on_opened
        self.own_era = era
        self.wants_headers = wants_headers
        self.log = setup.log.bind(session=owner.label) if owner else setup.log
        is_of_one = role in ("own", "spare", "principal")
        policy = replace(setup.policy, profile=setup.profile.for_one()) if is_of_one else setup.policy
        self.relay = Relay(
            self, policy, setup.counts, self.log, owner, private=role in ("own", "spare"), minted=setup.minted, era=era or self._eras.main
        )
        self.values = values or {}
        command = setup.command
        if values:
            command = replace(command, environment={**command.environment, **values})
            redact.know(dict(values), list(values))
        self.supervisor = Supervisor(command, pace or setup.pace, setup.max_line, self, self.log, setup.counts)
        self.supervisor.is_on_trial = on_trial
        self.supervisor.is_one_of_many = role != "shared"
        self.starting = Starting(self)
        self.caller = ""  # whose session has it
        self.is_over = False  # stopped for good
        self.is_restarting = False
        self.successor: Child | None = None  # which starts, to take its place
        self.next_try = 0.0  # when it may be replaced, after a new one failed
        self.looked = 0.0  # at its memory, when
        self._waiting: list[asyncio.Future[str]] = []
        self._waited_since = 0.0  # when the first of those began to wait that this start has kept waiting

    @property
    def state(self) -> str:
        return (
            "asleep" if self.relay.is_asleep and self.supervisor.state in (State.STOPPING, State.STOPPED) else self.supervisor.state.value
        )

    @property
    def has_opened(self) -> bool:
        """Whether a process of it has ever answered the handshake."""
        return self.relay.link.has_opened

    @property
    def used(self) -> float:
        """When a client last asked it for something; before that, when it opened."""
        return self.relay.link.used

    @used.setter
    def used(self, now: float) -> None:
        self.relay.link.used = now

    @property
    def pid(self) -> int | None:
        return self.supervisor.pid

    @property
    def memory(self) -> int:
        """Resident bytes of its processes."""
        return usage([self.pid])[0] if self.pid else 0

    def start(self) -> None:
        self.supervisor.start()

    def wake(self, is_awaited: bool = True) -> None:
        """A request waits for it, or it may be of use. One that sleeps starts; one that was given up is tried again if it has cooled down."""
        if self.supervisor.state not in (State.STOPPED, State.FATAL):
            return
        if self.is_over:  # the session that it was for has ended, whoever still speaks for it
            self.relay.lost(Failure("the server process was stopped"), self._clock(), for_good=True)
            return
        if self.relay.is_asleep:
            self._counts.wakes += 1
            self.log.info("child woken")
        self.start()
        if is_awaited and self.supervisor.state is State.FATAL:  # not yet
            self.relay.lost(self.relay.link.reason, self._clock(), for_good=True)

    def give_to(self, session: Session | None, role: str, log: Log) -> None:
        """Make a spare one the child of this session, or what was a session's a spare."""
        self.role, self.log = role, log
        self.relay.link.log = log.bind(pid=self.pid)
        if session is None:
            self.relay.audience.owner = None
        else:
            self.relay.adopt(session, self._clock())

    def sleep(self) -> None:
        """Stop it for want of work. Whoever comes meanwhile waits until it is there again."""
        self.relay.sleep()
        self.supervisor.end()

    def restart(self) -> None:
        """Stop it, and start it again when it is gone. Whoever comes meanwhile waits."""
        self.is_restarting = True
        self.sleep()

    async def stop(self) -> None:
        """Stop it for good."""
        self.is_over = True
        self.relay.stop()
        await self.supervisor.stop()

    async def known(self, patience: float, by_itself: bool = False) -> str:
        """Wait until the child is known; `by_itself`: until it has told of itself. Returns why it is not, or an empty string."""
        if self.relay.facts is not None and (self.has_opened or not by_itself):
            return ""
        if self.supervisor.state in (State.STOPPED, State.FATAL):
            self.wake()
            if self.supervisor.state is State.FATAL:
                return self.relay.reason
        if self.starting.is_hopeless:
            return self.relay.reason
        if self._setup.is_litellm:
            # LiteLLM 1.77.3 tries twice, and for each list and call again: all of it must not wait anew. Nor where no start
            # has come to anything yet: one slow server delays the list of all, the next start is for the next client.
            shared = self._siblings.shared
            first = shared if shared.relay.facts is None else self  # all run the same command
            relay = first.relay
            if relay.link.missing and relay.facts is None:
                return relay.reason
            first._waited_since = first._waited_since or self._clock()
            patience = max(0.0, first._waited_since + patience - self._clock())
        waiter = self._setup.loop.create_future()
        self._waiting.append(waiter)
        try:
            return await asyncio.wait_for(waiter, patience)
        except TimeoutError:
            return f"the server is still starting{f' after {patience:g} s' if patience else ''}{self.starting.hint}"

    def status(self, now: float) -> dict[str, Any]:
        """What there is to see: age in seconds, memory in bytes."""
        return {
            "role": self.role,
            "state": self.state,
            "pid": self.pid,
            "era": self.relay.link.era,
            "calls": self.relay.dispatcher.calls,
            "age": round(now - self.supervisor.started, 1) if self.pid else None,
            "memory": self.memory,
            "sessions": len(self.relay.sessions),
        }

    @property
    def is_full(self) -> bool:
        """Whether it has not read enough of what was written to it for another request."""
        process = self.supervisor.process
        return process is not None and process.backlog > FULL

    async def until_read(self) -> None:
        """Wait while it has not."""
        process = self.supervisor.process
        if process is not None:
            await process.room()

    # -- what its relay needs of it (`protocol/interfaces.py`) --------------------------------------------------------------------

    def write(self, line: bytes) -> None:
        process = self.supervisor.process
        if process is not None:
            process.write(line, self.relay.is_quiet)

    def is_stuck(self) -> bool:
        process = self.supervisor.process
        return process is not None and process.backlog > STUCK

    def served(self) -> None:
        self.supervisor.served()

    def learned(self) -> None:
        self._siblings.learned(self)

    def hung(self, why: Failure) -> None:
        self.supervisor.refused(why)

    # -- what the supervisor tells --------------------------------------------------------------------------------------

    def spawned(self) -> None:
        self.relay.link.log = self.log.bind(pid=self.pid)
        era = self.own_era or self._eras.main
        if self.relay.link.era != era:
            self.relay.switch_era(era)
        self.starting.begin()
        process = self.supervisor.process
        if process is not None and (self.wants_headers or self._siblings.wants_headers):
            process.write = process.write_framed  # type: ignore[method-assign]  # an attribute that hides the method: it is called for each line
        self.relay.open(self.params, self._clock(), self._opened, self._refused)

    def received(self, lines: list[bytes]) -> None:
        now = self._clock()
        for line in lines:
            try:
                self.relay.received(line, now)
            except Exception:  # the other lines must not be lost by a bug of ours in this one
                logging.getLogger("mcp-bridge").exception("bug in the bridge", extra={"facts": {"bytes": len(line)}})

    def explain(self) -> str:
        return self.starting.explain()

    def sweep(self, now: float) -> None:
        self.relay.sweep(now, self._setup.settings.keepalive)
        self.supervisor.stderr.next_sweep()
        if self.supervisor.state is State.HANDSHAKING:
            self.starting.look(now)

    def give_up_waiting(self, reason: str) -> None:
        """Nothing is to be waited for: whoever does is told why."""
        self._tell_waiting(reason)

    def try_headers(self) -> None:
        """It may want a header before each message."""
        if not (self.wants_headers or self._siblings.wants_headers):
            self._siblings.try_headers(self)

    def too_long(self, head: bytes, tail: bytes, size: int) -> None:
        self.relay.incoming.too_long(head, tail, size, self._clock())

    def gone(self, why: Failure, for_good: bool) -> None:
        if self.relay.is_asleep and self.supervisor.state is State.STOPPED:
            was_restarting, self.is_restarting = self.is_restarting, False
            if was_restarting:
                self._setup.loop.call_soon(self._start_again)
            elif self.relay.is_wanted:
                self._setup.loop.call_soon(self.wake)  # somebody came while it was going to sleep
            return
        if self.relay.is_modern and not self.own_era and not self.has_opened:
            self._eras.forget()  # it was modern when that was written down
        # One caller's data may be in what it said for another; the log has it.
        is_shown = not (self.relay.is_open and self.relay.audience.has_many_callers)
        why = replace(why, text=redacted(why.text), said=redacted(why.said) if is_shown else "")
        self.relay.lost(why, self._clock(), for_good=for_good)
        self._tell_waiting(str(why))
        self.on_gone(self)

    def _opened(self, facts: Facts) -> None:
        self.supervisor.prove(self._setup.pace)
        self.supervisor.opened()
        self._eras.opened(facts)
        self.on_opened()
        is_known = self._setup.is_remote and self.role != "shared"
        (self.log.debug if is_known else self.log.info)(
            "child ready", pid=self.pid, server=facts.title, revision=facts.revision, seconds=round(self._counts.ready_seconds, 3)
        )
        self._setup.loop.call_soon(self._tell_waiting, "")

    def _refused(self, why: Failure, code: int) -> None:
        if self.relay.link.era == LEGACY and code and not self.has_opened:
            self._siblings.spawn(self._try_modern(why, code))
        else:
            self.supervisor.refused(why)

    async def _try_modern(self, why: Failure, code: int) -> None:
        """Perhaps it refused the handshake because it is of the other era."""
        pid = self.pid
        is_modern = await self._eras.refused(code)
        if self.pid != pid or self.supervisor.state is not State.HANDSHAKING:
            return
        if is_modern:
            self.log.info("the server speaks the modern era only", pid=pid)
            self._siblings.drop_modern()
            self.restart()
        else:
            self.supervisor.refused(why)

    def _start_again(self) -> None:
        if not self.is_over:
            self.start()

    def _tell_waiting(self, reason: str) -> None:
        waiting, self._waiting, self._waited_since = self._waiting, [], 0.0
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(reason)


def relay_of(session: Session) -> Relay:
    """The relay of a session that is connected."""
    assert session.relay is not None
    return session.relay


def child_of(session: Session) -> Child:
    """The child that its requests go to."""
    return relay_of(session).child  # type: ignore[return-value]  # the relays of a service are its children's


def worker_of(session: Session) -> Child:
    """That which gets its next call: of replicas the one with the least to do."""
    replicas = relay_of(session).replicas
    return child_of(session) if replicas is None else replicas.least_busy().child  # type: ignore[return-value]  # as above
