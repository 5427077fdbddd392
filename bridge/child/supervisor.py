"""Keeps one child alive: the life cycle's hands. It spawns, signals, keeps the timer, and tells its user what happened."""

import asyncio
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from bridge.budget import Reservation
from bridge.child import containers
from bridge.child.lifecycle import Event, Lifecycle, Pace, State
from bridge.child.process import Command, Process, Running
from bridge.child.stderr import Stderr
from bridge.child.watch import Observation
from bridge.counts import Counts
from bridge.failure import NONE, Cause, Failure
from bridge.log import Log


class User(Protocol):
    """Who hears of a child."""

    def spawned(self) -> None: ...
    def received(self, lines: list[bytes]) -> None: ...
    def too_long(self, head: bytes, tail: bytes, size: int) -> None: ...
    def gone(self, why: Failure, for_good: bool) -> None: ...
    def explain(self) -> str:
        """What else is known of a child that did not answer."""


class Supervisor:
    """`user` hears of it, and answers `spawned` with `opened` or `refused` when the handshake is over, and says `served` when the child was of use."""

    def __init__(self, command: Command, pace: Pace, max_line: int, user: User, log: Log, counts: Counts):
        self.command = command
        self.max_line = max_line
        self.user = user
        self.log = log
        self.counts = counts
        self.life = Lifecycle(self, pace)
        self.process: Running | None = None
        self.stderr = Stderr(lambda text: log.info("stderr", pid=self.pid, line=text), self._count_stderr)
        self.started = 0.0  # loop time of the last start
        self._opened = 0.0  # loop time of the last handshake's end
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._has_run = False
        self.is_on_trial = False  # whether its failure is an answer and no accident
        self.is_one_of_many = False  # connections to the same bridge, of which another one tells what becomes of that
        self._idle: list[asyncio.Future[None]] = []
        self.fetching = ""  # the launcher that still downloads
        self.ran = 0.0  # loop time at which the server itself began
        self._engine = containers.engine_of(command.argv)
        self._container: containers.Run | None = None
        self._removal: asyncio.Future[int | str] | None = None  # of what an engine's client left behind

    @property
    def state(self) -> State:
        return self.life.state

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    @property
    def start_seconds(self) -> float:
        """How long the last start took, or has taken so far; 0 without one."""
        if self._opened > self.started:
            return self._opened - self.started
        return self._loop.time() - self.started if self.process else 0.0

    # -- what its user says -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._on(Event.START)

    def prove(self, pace: Pace) -> None:
        """It answers: from now on its failure is an accident, and its restarts have this pace."""
        self.life.pace, self.is_on_trial = pace, False

    def opened(self) -> None:
        self._opened = self._loop.time()
        self.counts.ready_seconds = self._opened - self.started
        self._on(Event.OPENED)

    def served(self) -> None:
        """A client got a result. Said once in a life."""
        self._on(Event.SERVED)

    def refused(self, why: Failure) -> None:
        self._on(Event.REFUSED, why)

    def end(self) -> None:
        """Begin to stop the child."""
        self._on(Event.STOP)

    async def stop(self) -> None:
        """Stop the child; returns when it is gone."""
        self.end()
        while self.life.state not in (State.STOPPED, State.FATAL):
            waiter = self._loop.create_future()
            self._idle.append(waiter)
            await waiter
        if self._removal:
            await asyncio.wait([self._removal])

    def look(self, now: float) -> Observation:
        """What a child that has not answered is doing. A launcher's time is not the server's."""
        sight = self.process.look(now) if self.process else Observation()
        if sight.fetching and not self.fetching:
            self._on(Event.FETCHING, Failure(sight.fetching))
        elif self.fetching and not sight.fetching:
            self.log.info("child runs: its time to start begins now", pid=self.pid, fetched=round(now - self.started, 1))
            self.ran = now
            self._on(Event.RUNS)
        self.fetching = sight.fetching
        return sight

    # -- what the life cycle does --------------------------------------------------------------------------------------------

    def spawn(self) -> None:
        if self._engine and not self._has_run:
            self._remove(containers.remove_stale, self._engine)
        if self._removal and not self._removal.done():  # its name may be that of the next one
            self._removal.add_done_callback(lambda removal: self._spawn())
        else:
            self._spawn()

    def _spawn(self) -> None:
        if self.life.state is not State.STARTING:  # stopped meanwhile
            return self._on(Event.EXITED, Failure("it was not started"))
        self.started = self.ran = self._loop.time()
        self.counts.starts += 1
        self.counts.restarts += self._has_run
        self._has_run = True
        self.fetching = ""
        self.stderr.begin()
        command = self.command
        if self._engine:
            self._container = containers.run(self._engine, command.argv)
            command = replace(command, argv=self._container.argv)
        hold = Reservation(self.counts.memory, "child")
        try:
            if command.remote is not None:
                self.process = command.remote.connect(command.environment, self.max_line, self.user.received, self._exited, hold)
            else:
                self.process = Process(
                    command,
                    self.max_line,
                    self.user.received,
                    self.user.too_long,
                    self._closed,
                    self._exited,
                    self.stderr,
                    self._container.file if self._container else "",
                    hold,
                )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            reason = f"cannot start {self.command.argv[0]!r}: {getattr(error, 'strerror', None) or error}"
            self._loop.call_soon(self._exited, Failure(reason, cause=Cause.SPAWN))
            return None
        if command.remote is None:
            self.log.info("child started", pid=self.pid, command=os.path.basename(self.command.argv[0]))
        self._on(Event.SPAWNED)
        self.user.spawned()

    def _remove(self, remover: Callable[[Any, dict[str, str]], int | str], what: Any) -> None:
        """Have the container engine remove something, in a thread: its client may take long."""
        self._removal = self._loop.run_in_executor(None, remover, what, self.command.environment)
        self._removal.add_done_callback(self._removed)

    def _removed(self, removal: asyncio.Future[int | str]) -> None:
        if removal.cancelled() or not (removed := removal.result()):
            return
        if isinstance(removed, int):
            self.log.info("containers of a bridge that was killed are removed", containers=removed)
        else:
            self.log.warning("the container of the child is perhaps still there", why=removed)

    def close_stdin(self) -> None:
        if self.process:
            self.process.close_stdin()

    def terminate(self) -> None:
        if self.process:
            self.log.info("child does not end by itself: SIGTERM", pid=self.pid)
            self.process.terminate()

    def kill(self) -> None:
        if self.process:
            self.log.warning("child ignores SIGTERM: SIGKILL", pid=self.pid)
            self.process.kill()

    def gone(self, why: Failure, for_good: bool) -> None:
        self.user.gone(why, for_good)

    # -- what the world does --------------------------------------------------------------------------------------------------

    def _closed(self, why: Failure) -> None:
        self._on(Event.CLOSED, why)

    def _exited(self, why: Failure) -> None:
        pid, self.process = self.pid, None
        is_expected = self.life.state is State.STOPPING
        if not is_expected:
            why = replace(why, said=self._last_words())
        if self._container:
            self._remove(containers.remove, self._container)
            self._container = None
        self.counts.exits[Cause.STOPPED if is_expected else why.cause] += 1
        self._on(Event.EXITED, why)
        if self.command.remote is not None:
            if self.life.state is State.BACKOFF and self.life.failures == 1 and not self.is_one_of_many:
                self.log.warning("its bridge is not there: it is tried again and again", why=str(self.life.failure))
        elif self.life.state is State.BACKOFF:
            pause = (self.life.timer or 0.0) - self._loop.time()
            self.log.warning(
                "child died, starting it again", pid=pid, why=str(self.life.failure), pause=round(pause, 2), failures=self.life.failures
            )
        elif self.life.state is State.FATAL:
            if not self.is_on_trial:
                self.log.error("child is FATAL, giving up", pid=pid, why=str(self.life.failure))
        else:
            self.log.info("child stopped", pid=pid)

    def _last_words(self) -> str:
        last = f"; its last words: {self.stderr.last}" if self.stderr.last else ""
        return last + self.user.explain()

    def _on(self, event: Event, why: Failure = NONE) -> None:
        if event is Event.TIMER and self.life.state is State.HANDSHAKING:
            why = Failure("", said=self._last_words())
        self.life.on(event, self._loop.time(), why)
        self._set_timer()
        if self.life.state in (State.STOPPED, State.FATAL):
            waiting, self._idle = self._idle, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self.life.timer is not None:
            self._timer = self._loop.call_at(self.life.timer, self._on, Event.TIMER)

    def _count_stderr(self) -> None:
        self.counts.stderr_lines += 1
