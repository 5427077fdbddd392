"""Whether there is room for one more call: in the counts of its caller, in the memory, and in its child's stdin."""

import asyncio
from typing import Protocol

from bridge.counts import Counts
from bridge.protocol.completion import SMALL
from bridge.protocol.errors import TIMED_OUT, Reason, Refusal, no_room


class Reader(Protocol):
    """A child, which reads what is written to it, or does not."""

    @property
    def is_full(self) -> bool: ...

    async def until_read(self) -> None: ...


class Room:
    def __init__(self, counts: Counts, patience: float):
        self._counts = counts
        self._patience = patience or None  # seconds that a call waits for a child that does not read
        self._waiting = 0

    def refusal(self, caller: str, size: int) -> Refusal | None:
        """Why there is no room for one more call of this caller, of so many bytes."""
        calls, memory = self._counts.calls, self._counts.memory
        if not calls.has_room(caller):
            return no_room(calls, caller, "requests", "--max-requests")
        if size > SMALL and not memory.has_room(caller, size):
            return no_room(memory, caller, "bytes", "--memory")
        return None

    async def wait(self, child: Reader) -> Refusal | None:
        """Wait while the child's stdin is full. A refusal if it stays so: a child that does not read."""
        calls = self._counts.calls
        if self._waiting >= calls.limit:
            return no_room(calls, "", "requests", "--max-requests")
        self._waiting += 1
        try:
            await asyncio.wait_for(child.until_read(), self._patience)
            return None
        except TimeoutError:
            return Refusal(503, TIMED_OUT, "the server does not read its requests (--request-timeout)", reason=Reason.CHILD)
        finally:
            self._waiting -= 1
