"""What was called in each of the last sixty minutes: for who opens a page now. Taken from the counts once a minute, at no call's cost."""

from collections import deque
from typing import NamedTuple

from bridge.counts import Counts, Histogram

STEP, KEPT = 60.0, 60  # seconds of an entry, and entries
FINE = ("ok", "cancelled")  # what became of a call that is no error


class Minute(NamedTuple):
    calls: int
    errors: int
    p95: float  # seconds


NOTHING = Minute(0, 0, 0.0)


class History:
    def __init__(self, counts: Counts, now: float):
        self._counts = counts
        self._next = now + STEP
        self._minutes: deque[Minute] = deque(maxlen=KEPT - 1)
        self._before = Histogram()  # as it was when this minute began
        self._errors = 0

    def sweep(self, now: float) -> None:
        """Once a minute."""
        if now < self._next:
            return
        self._minutes.append(self._minute())
        missed = min(int((now - self._next) // STEP), KEPT)  # the machine slept
        self._minutes.extend([NOTHING] * missed)
        self._next = now + STEP if missed == KEPT else self._next + (1 + missed) * STEP
        if (seen := self._counts.latency.get("tools/call")) is not None:
            self._before.counts = list(seen.counts)
        self._errors = errors(self._counts)
        self._counts.forget_callers()

    def told(self) -> dict[str, list[float]]:
        """By what it is, the oldest first; the last one is the minute that is not over yet."""
        minutes = [*self._minutes, self._minute()]
        return {
            "calls": [minute.calls for minute in minutes],
            "errors": [minute.errors for minute in minutes],
            "p95": [round(minute.p95, 6) for minute in minutes],
        }

    def _minute(self) -> Minute:
        now, of_it = self._counts.latency.get("tools/call"), Histogram()
        if now is None:
            return NOTHING
        of_it.counts = [count - before for count, before in zip(now.counts, self._before.counts, strict=True)]
        return Minute(sum(of_it.counts), errors(self._counts) - self._errors, of_it.quantile(0.95))


def errors(counts: Counts) -> int:
    """Calls of tools that ended in one."""
    return sum(count for labels, count in counts.requests.items() if labels[0] == "tools/call" and labels[2] not in FINE)
