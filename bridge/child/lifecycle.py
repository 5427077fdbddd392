"""A child's life as a table: state x event -> method. Pure: time is an argument, actions are calls on `do`.

    STOPPED -> STARTING -> HANDSHAKING -> READY        the good way
    READY | HANDSHAKING -> BACKOFF -> STARTING         it died: again, after a pause that doubles
    READY | HANDSHAKING -> FATAL                       too often in a row without use; a request may try again later
    any -> STOPPING -> STOPPED                         escalating: close stdin, SIGTERM, SIGKILL

The names are Supervisor's. One timer; what it means depends on the state.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from bridge.failure import NONE, Cause, Failure


class State(StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    HANDSHAKING = "handshaking"
    READY = "ready"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    FATAL = "fatal"


class Event(StrEnum):
    START = "start"
    SPAWNED = "spawned"
    FETCHING = "fetching"  # it is a launcher that still downloads
    RUNS = "runs"  # what it downloaded has begun
    OPENED = "opened"
    SERVED = "served"
    REFUSED = "refused"
    CLOSED = "closed"
    EXITED = "exited"
    TIMER = "timer"
    STOP = "stop"


# How to stop a process group: what to do, and the seconds until the next step. The last one repeats.
# No single signal works on every server: Python ones ignore SIGINT, some ignore SIGTERM, some ignore EOF.
STOP_STEPS = (("close_stdin", 2.0), ("terminate", 1.5), ("kill", 0.5))
FETCH_PATIENCE = 900.0  # seconds for a download
LASTING = 10.0  # seconds in READY after which earlier failures no longer count
COOL_DOWN = 30.0  # seconds in FATAL after which a request may have it tried once more


class Actions(Protocol):
    """What a life cycle does to the world."""

    def spawn(self) -> None: ...
    def close_stdin(self) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def gone(self, why: Failure, for_good: bool) -> None:
        """The child is not there any more; it comes again unless `for_good`."""


@dataclass(frozen=True)
class Pace:
    """Seconds, and how many starts in a row may fail or come to no use."""

    start_timeout: float = 60.0
    backoff_initial: float = 0.5
    backoff_max: float = 30.0
    max_restarts: int = 5


class Lifecycle:
    def __init__(self, do: Actions, pace: Pace, jitter: Callable[[], float] = random.random):
        self.do = do
        self.pace = pace
        self.jitter = jitter
        self.state = State.STOPPED
        self.timer: float | None = None  # when TIMER is due
        self.failures = 0
        self.failure = Failure("not started")
        self.wanted = False
        self._step = 0
        self._late = ""  # what is said if the timer of the start goes off
        self._since = 0.0

    def on(self, event: Event, now: float, why: Failure = NONE) -> None:
        """Something happened. An event that a state does not know is no news to it."""
        method = TABLE[self.state].get(event)
        if method is not None:
            getattr(self, method)(now, why)

    def _enter(self, state: State, now: float, timer: float | None = None) -> None:
        self.state, self._since = state, now
        self.timer = None if timer is None else now + timer

    def _start(self, now: float, why: Failure) -> None:
        self.wanted = True
        self._enter(State.STARTING, now)
        self.do.spawn()

    def _start_if_cool(self, now: float, why: Failure) -> None:
        if now - self._since >= COOL_DOWN:
            self.failures = self.pace.max_restarts - 1  # one try
            self._start(now, why)

    def _fetch(self, now: float, why: Failure) -> None:
        self._late = f"{why.text} has started nothing within {FETCH_PATIENCE:g} s"
        self._enter(State.HANDSHAKING, now, FETCH_PATIENCE if self.pace.start_timeout else None)

    def _handshake(self, now: float, why: Failure) -> None:
        self._late = f"no answer to initialize within {self.pace.start_timeout:g} s (--start-timeout)"
        self._enter(State.HANDSHAKING, now, self.pace.start_timeout or None)

    def _ready(self, now: float, why: Failure) -> None:
        self.failure = NONE
        self._enter(State.READY, now, LASTING)

    def _lasted(self, now: float, why: Failure) -> None:
        self.failures = 0
        self.timer = None

    def _served(self, now: float, why: Failure) -> None:
        """A client got a result of this life: whatever ends it, starting it was worth while."""
        self.failures = 0

    def _too_slow(self, now: float, why: Failure) -> None:
        self._refused(now, Failure(self._late, why.said))

    def _refused(self, now: float, why: Failure) -> None:
        self.failure = why
        self._stop_by(now, 0)

    def _closed(self, now: float, why: Failure) -> None:
        """Nobody can talk to it any more: the first step is behind it."""
        self.failure = why
        self._stop_by(now, 1)

    def _died(self, now: float, why: Failure) -> None:
        self.failure = why
        self.failures += 1
        if self.failures >= self.pace.max_restarts:
            self.failure = replace(why, text=f"{self.failures} starts in a row failed, the last one: {why.text}")
            self._enter(State.FATAL, now)
            self.do.gone(self.failure, True)
            return
        pause = min(self.pace.backoff_initial * 2 ** min(self.failures - 1, 60), self.pace.backoff_max)
        self._enter(State.BACKOFF, now, pause * (0.75 + 0.5 * self.jitter()))
        self.do.gone(why, False)

    def _stop(self, now: float, why: Failure) -> None:
        self.wanted = False
        self.failure = Failure("stopped", cause=Cause.STOPPED)
        self._stop_by(now, 0)

    def _stop_by(self, now: float, step: int) -> None:
        action, patience = STOP_STEPS[min(step, len(STOP_STEPS) - 1)]
        self._step = step
        self._enter(State.STOPPING, now, patience)
        getattr(self.do, action)()

    def _escalate(self, now: float, why: Failure) -> None:
        self._stop_by(now, self._step + 1)

    def _ended(self, now: float, why: Failure) -> None:
        if self.wanted:
            self._died(now, self.failure)
        else:
            self._stopped(now, why)

    def _give_up(self, now: float, why: Failure) -> None:
        self.wanted = False

    def _stopped(self, now: float, why: Failure) -> None:
        self.wanted = False
        self.failure = Failure("stopped", cause=Cause.STOPPED)
        self._enter(State.STOPPED, now)
        self.do.gone(self.failure, True)


TABLE = {
    State.STOPPED: {Event.START: "_start"},
    State.STARTING: {Event.SPAWNED: "_handshake", Event.EXITED: "_died", Event.STOP: "_stop"},
    State.HANDSHAKING: {
        Event.FETCHING: "_fetch",
        Event.RUNS: "_handshake",
        Event.OPENED: "_ready",
        Event.REFUSED: "_refused",
        Event.CLOSED: "_closed",
        Event.EXITED: "_died",
        Event.TIMER: "_too_slow",
        Event.STOP: "_stop",
    },
    State.READY: {
        Event.SERVED: "_served",
        Event.REFUSED: "_refused",
        Event.CLOSED: "_closed",
        Event.EXITED: "_died",
        Event.TIMER: "_lasted",
        Event.STOP: "_stop",
    },
    State.BACKOFF: {Event.TIMER: "_start", Event.STOP: "_stopped"},
    State.STOPPING: {Event.EXITED: "_ended", Event.TIMER: "_escalate", Event.STOP: "_give_up"},
    State.FATAL: {Event.START: "_start_if_cool", Event.STOP: "_stopped"},
}
