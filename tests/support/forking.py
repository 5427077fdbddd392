"""Bridges that start in milliseconds: each is a fork of a process that has done the bridge's imports.

    start(arguments, env, cwd)   is `python -m bridge ARGUMENTS` with its output in a pipe
    python forking.py            is the process that is forked; its stdin is the socket on which it is asked to

The imports take 0.4 s of a processor, and the tests start more than a thousand bridges. Each is born twice, so that the
process that asked, a sub-reaper, becomes its parent and can wait for it like for any child.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LONGEST = 1 << 20  # bytes of a request
_one_at_a_time = threading.Lock()


class Forked:
    """As much of `subprocess.Popen` as a bridge's tests need."""

    def __init__(self, pid: int, stdout, arguments: list[str]):
        self.pid, self.stdout, self.args = pid, stdout, arguments
        self.returncode: int | None = None
        self._fd = os.pidfd_open(pid)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
                os.close(self._fd)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            select.select([self._fd], [], [], timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._fd, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(arguments: list[str], env: dict[str, str], cwd: Path | str) -> Forked:
    out, theirs = os.pipe()
    with _one_at_a_time:
        wire = _forker()
        socket.send_fds(wire, [json.dumps([arguments, env, str(cwd)]).encode()], [theirs])
        pid = int(wire.recv(100))
    os.close(theirs)
    return Forked(pid, open(out, "rb"), arguments)


@cache
def _forker() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST)
    process = subprocess.Popen([sys.executable, __file__], stdin=theirs, env=os.environ | {"PYTHONPATH": str(ROOT)})
    theirs.close()
    atexit.register(lambda: (ours.close(), process.wait(5)))
    return ours


def serve() -> None:
    import bridge.serve  # noqa: F401 - this is what takes so long

    wire = socket.socket(fileno=os.dup(0))
    while True:
        message, fds, _, _ = socket.recv_fds(wire, LONGEST, 1)
        if not message:
            return
        told, tell = os.pipe()
        first = os.fork()
        if first == 0:
            pid = os.fork()
            if pid:
                os.write(tell, b"%d" % pid)
                os._exit(0)
            for fd in (told, tell, wire.detach()):
                os.close(fd)
            be_a_bridge(*json.loads(message), *fds)
        os.waitpid(first, 0)
        wire.send(os.read(told, 100))
        for fd in (told, tell, *fds):
            os.close(fd)


def be_a_bridge(arguments: list[str], env: dict[str, str], cwd: str, output: int) -> None:
    os.setsid()
    for wanted, fd in ((0, os.open(os.devnull, os.O_RDONLY)), (1, output), (2, output)):
        os.dup2(fd, wanted)
        if fd > 2 and fd != output:
            os.close(fd)
    os.close(output)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1, errors="backslashreplace")
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = ["mcp-bridge", *arguments]
    from bridge.cli import main

    sys.exit(main())


if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # not this folder: it has a module named http
    serve()
