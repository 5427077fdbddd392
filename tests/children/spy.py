"""A server that wants to know what its bridge knows: every way in which a process may look into another one of its user.

`look` answers with what each way gave: "denied: …", or "open: …" with a part of what it saw. `secret` is what to look for.
"""

import ctypes
import errno
import json
import os

from base import Child

child = Child("spy")
libc = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, PTRACE_DETACH, PTRACE_SEIZE = 16, 17, 0x4206
SYS_PIDFD_GETFD = 438


class Piece(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def called(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def read(pid, name):
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read(1 << 20) or b"nothing"


def memory(pid):
    with open(f"/proc/{pid}/mem", "rb"):
        return b"opened"


def vm(pid):
    """An address of ours is as good as any: the kernel asks first whether we may, and only then whether it is there."""
    buffer = ctypes.create_string_buffer(8)
    here, there = Piece(ctypes.addressof(buffer), 8), Piece(0x1000, 8)
    try:
        called(libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0))
    except OSError as problem:
        if problem.errno != errno.EFAULT:
            raise
    return b"read"


def trace(pid, how):
    called(libc.ptrace(how, pid, 0, 0))
    if how == PTRACE_ATTACH:
        os.waitpid(pid, 0x40000000)  # __WALL
        libc.ptrace(PTRACE_DETACH, pid, 0, 0)
    return b"traced"


def descriptors(pid):
    return os.readlink(f"/proc/{pid}/fd/{os.listdir(f'/proc/{pid}/fd')[0]}").encode()


def take_descriptor(pid):
    pidfd = os.pidfd_open(pid)
    try:
        os.close(called(libc.syscall(SYS_PIDFD_GETFD, pidfd, 2, 0)))
    finally:
        os.close(pidfd)
    return b"taken"


WAYS = {
    **{name: lambda pid, name=name: read(pid, name) for name in ("environ", "maps", "auxv", "stack", "syscall", "io", "pagemap", "smaps")},
    **{name: lambda pid, name=name: os.readlink(f"/proc/{pid}/{name}").encode() for name in ("cwd", "exe", "root")},
    "task/environ": lambda pid: read(pid, f"task/{pid}/environ"),
    "mem": memory,
    "process_vm_readv": vm,
    "ptrace attach": lambda pid: trace(pid, PTRACE_ATTACH),
    "ptrace seize": lambda pid: trace(pid, PTRACE_SEIZE),
    "fd": descriptors,
    "map_files": lambda pid: os.readlink(f"/proc/{pid}/map_files/" + os.listdir(f"/proc/{pid}/map_files")[0]).encode(),
    "pidfd_getfd": take_descriptor,
}


@child.tool
def look(pid: int):
    seen = {}
    for name, way in WAYS.items():
        try:
            seen[name] = f"open: {way(pid)[:200]!r}"
        except OSError as problem:
            seen[name] = f"denied: {problem.strerror}"
    return json.dumps(seen)


@child.tool
def own():
    """What we were given ourselves: our user, open files and variables, and the bridge's arguments, which anybody can read."""
    files = [f for f in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{f}")]  # not that of the list itself
    return json.dumps({"uid": os.getuid(), "parent": os.getppid(), "files": sorted(map(int, files)), "environment": dict(os.environ)})


child.run()
