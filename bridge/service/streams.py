"""The streams of one service that are open: how many there may be, their signs of life, and their end.

What a stream is, and how it reaches its client, the transports know (`http/stream.py`).
"""

from collections.abc import Iterator
from typing import Protocol

from bridge.budget import Budget, Reservation
from bridge.callers.credentials import caller_of
from bridge.counts import Counts
from bridge.log import Log
from bridge.protocol.errors import Refusal, no_room


class OpenStream(Protocol):
    """What a service needs of a stream."""

    principal: str
    beats: bool
    is_standing: bool
    limit: int
    overflowed: bool
    hold: Reservation

    def beat(self, now: float, keepalive: float) -> None: ...

    def close(self) -> None: ...


class Streams:
    """All open streams of a service, at most `limit` (0: any number)."""

    def __init__(self, limit: int, is_fair: bool, counts: Counts, log: Log):
        self.budget = Budget(limit, is_fair)
        self._open: set[OpenStream] = set()
        self._counts = counts
        self._log = log

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[OpenStream]:
        return iter(list(self._open))

    def refusal(self, caller: str = "") -> Refusal | None:
        """Why this caller may not open one more."""
        return None if self.budget.has_room(caller) else no_room(self.budget, caller, "streams", "--max-streams")

    def opened(self, stream: OpenStream) -> None:
        self.budget.take(stream.hold.caller)
        self._open.add(stream)

    def closed(self, stream: OpenStream) -> None:
        self._open.discard(stream)
        self.budget.give(stream.hold.caller)
        if stream.overflowed:
            self._counts.drops["slow_reader"] += 1
            self._log.warning("stream closed: its reader is too slow (--stream-buffer)", buffer=stream.limit)

    def beat(self, now: float, keepalive: float) -> None:
        """Send a sign of life on each stream that was silent for so many seconds."""
        for stream in self:
            if stream.beats:
                stream.beat(now, keepalive)

    def close(self, principals: set[str] | None = None, only_standing: bool = False) -> None:
        """End the streams of these principals, or all; or only those that are not the answer to one request, which was let in."""
        for stream in self:
            if (principals is None or caller_of(stream.principal) in principals) and (stream.is_standing or not only_standing):
                stream.close()
