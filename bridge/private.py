"""The bridge's memory is its own: a child runs as the same user, and Linux lets that user read and stop what is "dumpable".

What is not dumpable has no readable /proc/PID/environ, mem, maps, fd and cwd, cannot be traced, gives up no file descriptor
(pidfd_getfd), and leaves no core file; only root (CAP_SYS_PTRACE) still sees it. A new program is dumpable again, so children
are as ever, and so would be a bridge that ran another program in its place, or changed its user: it does neither.
"""

import ctypes
import sys

PR_SET_DUMPABLE = 4


def close_memory() -> None:
    """From now on nobody else of our user can read us. To be called before any secret is read. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
