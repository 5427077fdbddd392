"""A folder for each thing that takes long to make, made once, even when several processes want it at the same moment.

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
VARIABLE = "MCP_BRIDGE_FLEET_CACHE"


def cache() -> Path:
    """Where packages of the embedded engine live; it can be deleted at any time while nothing runs."""
    given = os.environ.get(VARIABLE) or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "mcp-bridge", "packages")
    return Path(given).expanduser().resolve()


def made(name: str, definition: str, make: Callable[[Path], None], within: Path | None = None) -> Path:
    """The folder of this definition; `make` fills it if it is not there yet. What `make` raises leaves no folder behind."""
    folder = place(name, definition, within)
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


def place(name: str, definition: str, within: Path | None = None) -> Path:
    """Where the folder of this definition is, or will be."""
    digest = hashlib.sha256(definition.encode()).hexdigest()[:12]
    return (within or cache()) / f"{name}-{digest}"


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
