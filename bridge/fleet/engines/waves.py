"""Starting many at a time, but no more than the machine can bear, and waiting for them as long as anything moves.

Fifty servers that start at once on two processors all need longer than anybody waits; so the next ones are started when
earlier ones are there. Nobody is given up because others are slow: the wait ends when nothing has changed for a while.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from bridge.container import STARTS
from bridge.fleet.ask import Http
from bridge.fleet.engines import UNHEALTHY, Say
from bridge.fleet.engines.readiness import asked, given_up

STILL = 120.0  # seconds without any change, after which those that are starting are not waited for any more
EVERY = 5.0  # seconds between two lines of progress, more where nothing changes
LOOK, ASK = 1.0, 0.25  # seconds between two looks at the containers, at the MCPs


@dataclass
class Outcome:
    """What became of them; those that are in none of these are up."""

    failed: dict[str, str] = field(default_factory=dict)  # and why
    still: list[str] = field(default_factory=list)  # starting

    def __or__(self, other: "Outcome") -> "Outcome":
        return Outcome(self.failed | other.failed, self.still + other.still)


@dataclass
class Waves:
    """`create(names)` starts some, and says which cannot be; `states()` says up, starting or down of all; `url(name)` is asked whether it is ready."""

    create: Callable[[list[str]], dict[str, str]]
    states: Callable[[], dict[str, tuple[str, str]]]
    url: Callable[[str], str]
    last_words: Callable[[str], str]
    say: Say
    headers: Mapping[str, str]  # for asking an MCP why it is not ready
    room: int = STARTS

    def run(self, todo: Collection[str], waiting: Collection[str] = ()) -> Outcome:
        """Start `todo`, and wait for them and for those of `waiting`, which were started before."""
        outcome, queue, starting = Outcome(), list(todo), [name for name in waiting if name not in todo]
        total = len(queue) + len(starting)
        moved = shown = looked = time.monotonic()
        every = EVERY
        states: dict[str, tuple[str, str]] = {} if not starting else self.states()
        with Http() as http:
            while queue or starting:
                if queue and (room := self.room - len(starting)) >= min(len(queue), self.room // 2):
                    wave, queue = queue[:room], queue[room:]
                    outcome.failed |= self.create(wave)
                    starting += [name for name in wave if name not in outcome.failed]
                    states, looked, moved = self.states(), time.monotonic(), time.monotonic()
                settled = [name for name in starting if self._is_settled(http, name, states.get(name, ("starting", "")), outcome)]
                starting = [name for name in starting if name not in settled]
                now = time.monotonic()
                if settled:
                    moved = now
                if now - moved > STILL:
                    outcome.still += starting
                    starting, moved = [], now
                if starting and now - shown > every:
                    shown, every = now, EVERY if settled else min(2 * every, 30)
                    self.say(f"{total - len(queue) - len(starting)} of {total} started; waiting for {', '.join(starting)}")
                if starting:
                    time.sleep(ASK)
                if starting and now - looked > LOOK:
                    looked, states = now, self.states()
        return outcome

    def _is_settled(self, http: Http, name: str, now: tuple[str, str], outcome: Outcome) -> bool:
        """Whether it is ready, or never will be: then its reason is noted. Docker looks at its health every half minute only, so it is asked."""
        state, detail = now
        url = self.url(name)
        said = asked(http, url, self.headers if url.endswith("/readyz") else {}) if url else None
        if said and said.status == 200:
            return True
        if said and (why := given_up(said, lambda: self.last_words(name))):
            outcome.failed[name] = f"given up: {why}"
            return True
        if is_lost(state, detail):
            outcome.failed[name] = f"{detail}: {self.last_words(name)}"
            return True
        return state == "up"


def is_lost(state: str, detail: str) -> bool:
    """Whether its container does not run. An unhealthy one lives: it may only be slow."""
    return state == "down" and UNHEALTHY not in detail
