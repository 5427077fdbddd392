"""No zombie and no orphan: whatever a child leaves behind comes to us, is reaped, and is ended if its child is gone.

We are sub-reaper (or PID 1), so a process whose parent died becomes our child, even one in a session of its own. Which
of our children it came from stands in its environment (`MARK`). Linux only; elsewhere all of this does nothing.
"""

import contextlib
import ctypes
import os
import signal
import sys

from bridge.child.environment import MARK

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
IS_LINUX = sys.platform == "linux"

_libc = ctypes.CDLL(None, use_errno=True) if IS_LINUX else None
_children: dict[int, str] = {}  # pid -> mark of the children that run; each Process takes its own entry out


def become_subreaper() -> None:
    if _libc:
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """Runs in the child before exec: SIGKILL when the bridge is gone, however it went."""
    if _libc:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # it went before we asked


def know(pid: int, mark: str) -> None:
    _children[pid] = mark


def forget(pid: int) -> None:
    _children.pop(pid, None)


def sweep(*, unmarked: bool = False) -> int:
    """Reap what died, and kill what a dead child left behind. Returns how many of those are still there.

    A process with an environment of its own making has no mark: it is ended too, but only if `unmarked` says that no
    child runs any more which could need it.
    """
    if not IS_LINUX:
        return 0
    _reap()
    marks = set(_children.values())
    left = 0
    for pid in _adopted():
        mark = _mark_of(pid)
        if unmarked if mark is None else mark not in marks:
            left += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return left


def _reap() -> None:
    while True:
        try:
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if dead is None or dead.si_pid in _children:
            return  # its Process reaps it, and wants its exit code
        try:
            os.waitpid(dead.si_pid, os.WNOHANG)
        except ChildProcessError:
            return


def _adopted() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
            return [pid for pid in map(int, file.read().split()) if pid not in _children]
    except OSError:
        return []


def _mark_of(pid: int) -> str | None:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            for item in file.read().split(b"\0"):
                if item.startswith(MARK.encode() + b"="):
                    return item.partition(b"=")[2].decode(errors="replace")
    except OSError:
        pass
    return None
