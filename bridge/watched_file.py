"""Whether a file is another one than before, however it was replaced: whole, in a folder of links (Kubernetes), or written over.

Its number, size and time are asked each second, and not the kernel to tell: what is mounted into a container from elsewhere tells nothing.
"""

import os

EVERY = 1.0  # seconds between two looks


class WatchedFile:
    """An empty path is never another file. Whether it is a change that the file is not there, who watches it says: `absence_counts`."""

    def __init__(self, path: str, *, absence_counts: bool = False):
        self._path = path
        self._absence_counts = absence_counts
        self._seen = self._state()
        self._due = 0.0

    def has_changed(self, now: float) -> bool:
        if not self._path or now < self._due:
            return False
        self._due = now + EVERY
        state = self._state()
        if state is None and not self._absence_counts:
            return False
        before, self._seen = self._seen, state
        return before != state

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path) if self._path else None
        except OSError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns) if found else None
