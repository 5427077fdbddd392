"""One command at a time changes a fleet."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bridge.fleet.engines import EngineError
from bridge.fleet.project import Project, private


@contextmanager
def alone(project: Project, command: str, mcp: str = "") -> Iterator[None]:
    """While no other command changes the fleet of this folder (or this one MCP). Raises EngineError at once where one does.

    The kernel gives the lock back when its holder ends, however it ends.
    """
    with open(private(project.state) / (f"lock-{mcp}" if mcp else "lock"), "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise EngineError(
                f"{file.read().strip() or 'another command'} is at work on {mcp or 'this fleet'}: wait until it is done"
            ) from None
        file.truncate(0)
        with suppress(OSError):  # a full disk, which `prune` and `down` may be the way out of
            os.write(file.fileno(), f"`mcp-bridge {command}` (pid {os.getpid()}, since {time.strftime('%H:%M:%S')})".encode())
        yield
