"""The file that says which tools were approved: looked at every second, so that what is approved is served without a restart.

Its time and size are asked, and not the kernel to tell: what is mounted into a container from elsewhere tells nothing.
"""

import os
from pathlib import Path

from bridge.log import Log
from bridge.pins.lock import BadLock, Lock
from bridge.protocol.pinned import Pins

EVERY = 1.0  # seconds


class PinFile:
    def __init__(self, path: str, pins: Pins, log: Log):
        self._path, self._pins, self._log = Path(path), pins, log
        self._stamp: tuple[int, ...] = ()
        self._due = 0.0

    def has_changed(self, now: float) -> bool:
        """Whether something else is approved than before; then it is in `pins`. A file that is damaged changes nothing."""
        if now < self._due:
            return False
        self._due = now + EVERY
        try:
            stat = os.stat(self._path)
            stamp = stat.st_mtime_ns, stat.st_size, stat.st_ino
        except OSError:
            stamp = 0, 0, 0
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            lock = Lock.read(self._path)
        except BadLock as why:
            self._log.error("what is approved of the tools cannot be read, and stays as it was", why=str(why))
            return False
        if lock == self._pins.lock:
            return False
        self._pins.lock = lock
        self._pins.told.clear()
        return True
