"""The file that says which tools were approved, so that what is approved is served without a restart. Without one nothing is approved."""

from pathlib import Path

from bridge.log import Log
from bridge.pins.lock import BadLock, Lock
from bridge.protocol.pinned import Pins
from bridge.watched_file import WatchedFile


class PinFile:
    """Read when it is made, and whenever it is another file. One that is damaged changes nothing."""

    def __init__(self, path: str, pins: Pins, log: Log):
        self._path, self._pins, self._log = Path(path), pins, log
        self._file = WatchedFile(path, absence_counts=True)
        self._read()

    def has_changed(self, now: float) -> bool:
        """Whether something else is approved than before; then it is in `pins`."""
        return self._file.has_changed(now) and self._read()

    def _read(self) -> bool:
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
