"""A folder for each environment, made once, even when several processes want it at the same moment.

The folder's name carries a digest of its definition, so a changed definition makes a new folder and two checkouts
can share the cache. The marker is written last: a folder without it is the rest of an attempt that was interrupted.
Folders are made in place, because a virtual environment does not survive being moved.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MARKER = ".complete"
LOCK_PATIENCE = 900  # the slowest environment takes well under a minute, but others may be ahead of us


def made(name: str, definition: str, make: Callable[[Path], None]) -> Path:
    """The folder of this definition; `make` fills it if it is not there yet."""
    digest = hashlib.sha256(definition.encode()).hexdigest()[:12]
    folder = cache() / f"{name}-{digest}"
    marker = folder / MARKER
    if marker.exists():
        return folder

    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(folder.name + ".lock")):
        if marker.exists():
            return folder
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        make(folder)
        marker.write_text(definition)
    return folder


def cache() -> Path:
    return Path(os.environ.get("MCP_BRIDGE_TEST_CACHE") or "~/.cache/mcp-bridge-tests").expanduser().resolve()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # The kernel releases the lock when its holder dies, so no stale lock can block the next run.
    deadline = time.monotonic() + LOCK_PATIENCE
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{path}: another process has held this lock for {LOCK_PATIENCE} s") from None
                time.sleep(0.2)
        yield
