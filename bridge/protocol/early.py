"""What a spare child says before it belongs to anybody: kept, within bounds, for the session that gets it."""

from bridge.counts import Counts
from bridge.protocol.envelope import Envelope

LIMIT = 100  # messages
BYTES = 1 << 20  # and the length of what they say


class EarlyMessages:
    def __init__(self, counts: Counts):
        self._counts = counts
        self._kept: list[Envelope] = []

    def keep(self, message: Envelope) -> None:
        said = sum(len(early.params) for early in (*self._kept, message))
        if len(self._kept) < LIMIT and said <= BYTES:
            self._kept.append(Envelope(id=message.id.copy(), method=message.method, params=message.params.copy()))
        else:
            self._counts.drops["early"] += 1

    def take(self) -> list[Envelope]:
        """They are kept no more."""
        kept, self._kept = self._kept, []
        return kept
