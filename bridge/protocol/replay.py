"""What was said on resumable streams, so that a client that lost one hears the rest (`Last-Event-ID`).

Bounded in bytes over all sessions; the oldest streams are forgotten first. An event id names its stream, so only that
stream's later events are ever replayed, and only to the session that owns it (2025-11-25, basic/transports,
"Resumability and Redelivery").
"""

from collections import OrderedDict, deque
from secrets import token_hex
from typing import Any

from bridge.budget import Budget
from bridge.protocol.session import Session

Source = Any  # whoever feeds the stream; `http` knows
KEPT = "replay"  # who holds it, as far as the memory is concerned

RECORDING_COST = 512  # bytes that a recording takes beside its messages, roughly
EVENT_COST = 128


class Recording:
    """The events of one stream, as (number, message); `source` is whoever feeds the stream."""

    __slots__ = ("count", "events", "name", "session", "size", "source")

    def __init__(self, session: Session, name: str, source: Source):
        self.session = session
        self.name = name
        self.events: deque[tuple[int, bytes]] = deque()
        self.count = 0
        self.size = RECORDING_COST
        self.source = source


class Replay:
    """All recordings of one MCP. `limit` is in bytes; the newest event is kept whatever its size."""

    def __init__(self, limit: int, memory: Budget | None = None):
        self.limit = limit
        self.memory = memory or Budget()
        self.memory.reclaim.append(self._give_back)
        self.size = 0
        self.forgotten = 0
        self._boot = token_hex(3)
        self._next = 0
        self._recordings: OrderedDict[str, Recording] = OrderedDict()

    def open(self, session: Session, source: Source) -> Recording:
        self._next += 1
        recording = Recording(session, f"{self._boot}-{self._next}", source)
        self._recordings[recording.name] = recording
        session.recordings.append(recording)
        self._grow(recording.size)
        self._shrink(recording)
        return recording

    def add(self, recording: Recording, message: bytes) -> str:
        """Keep one event. Returns its id."""
        recording.count += 1
        if recording.name in self._recordings:
            recording.events.append((recording.count, message))
            recording.size += len(message) + EVENT_COST
            self._grow(len(message) + EVENT_COST)
            self._shrink(recording)
        return f"{recording.name}-{recording.count}"

    def find(self, session: Session, event_id: str) -> tuple[Recording, list[tuple[str, bytes]]] | None:
        """The recording of an event id and its later events; None if unknown, forgotten or another session's."""
        name, _, number = event_id.rpartition("-")
        recording = self._recordings.get(name)
        if recording is None or recording.session is not session or not (number.isdecimal() and len(number) < 19):
            return None
        return recording, [(f"{name}-{n}", message) for n, message in recording.events if n > int(number)]

    def drop(self, session: Session) -> None:
        """Forget all of a session that ended."""
        for recording in session.recordings:
            self._recordings.pop(recording.name)
            self._grow(-recording.size)
        session.recordings.clear()

    def close(self, recording: Recording) -> None:
        """The stream is over for good; nothing said on it is nothing to keep."""
        if not recording.events and recording.name in self._recordings:
            self._forget(recording)

    def _grow(self, size: int) -> None:
        self.size += size
        if size < 0:
            self.memory.give(KEPT, -size)
        else:
            self.memory.take(KEPT, size)

    def _give_back(self, size: float) -> None:
        """The memory is needed for what cannot be had again."""
        wanted = self.size - size
        while self._recordings and self.size > wanted:
            self._forget(next(iter(self._recordings.values())))
            self.forgotten += 1

    def _shrink(self, newest: Recording) -> None:
        while self.size > self.limit or self.memory.held > self.memory.limit:
            oldest = next(iter(self._recordings.values()))
            if oldest is not newest:
                self._forget(oldest)
            elif len(newest.events) > 1:
                size = len(newest.events.popleft()[1]) + EVENT_COST
                newest.size -= size
                self._grow(-size)
            elif len(self._recordings) > 1:
                self._recordings.move_to_end(newest.name)
                continue
            else:
                return
            self.forgotten += 1

    def _forget(self, recording: Recording) -> None:
        del self._recordings[recording.name]
        recording.session.recordings.remove(recording)
        self._grow(-recording.size)
