"""Whether a file is another one than before, however it was replaced: whole, in a folder of links (Kubernetes), or written over."""

import os

EVERY = 1.0  # seconds between two looks


class Watch:
    """An empty path is never another file. What is not there for a moment is no change."""

    def __init__(self, path: str):
        self._path = path
        self._seen = self._state()
        self._due = 0.0

    def has_changed(self, now: float) -> bool:
        if not self._path or now < self._due:
            return False
        self._due = now + EVERY
        before, self._seen = self._seen, self._state() or self._seen
        return before != self._seen

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path) if self._path else None
        except OSError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns) if found else None
