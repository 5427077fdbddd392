"""One running child: its three pipes and its process group.

Raw non-blocking pipes on the event loop rather than asyncio's subprocess: no 64 KiB line limit, one `write` for all lines
of a loop turn, and a `read` that takes what is there. Everything is a callback; nothing here waits.
"""

import asyncio
import contextlib
import fcntl
import itertools
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from bridge.budget import Budget, Reservation
from bridge.child import reaper
from bridge.child.environment import MARK
from bridge.child.frames import framed
from bridge.child.lines import Lines
from bridge.child.stderr import Stderr
from bridge.child.watch import Observation, Watch
from bridge.failure import NONE, Cause, Failure

READ_SIZE = 1 << 16  # malloc takes more than 128 KiB from the kernel each time: 3 system calls a read
READ_MORE = 1 << 20  # for a line that is longer than that
PIPE_SIZE = 1 << 20  # what Linux lets an unprivileged process ask for
AT_ONCE = 256  # lines that are taken while nobody else is served
FULL = 1 << 20  # bytes waiting for the child's stdin from which requests should wait
F_SETPIPE_SZ = 1031
LAST_MOMENT = 0.5  # seconds for a child that closed a pipe to exit by itself, with a code that says more
_number = itertools.count(1)


class Running(Protocol):
    """What takes lines and gives lines, until it ends: a `Process`, or a connection to a bridge that has one."""

    @property
    def pid(self) -> int | None: ...

    @property
    def backlog(self) -> int:
        """Bytes that it has not taken yet."""

    @property
    def pending(self) -> bytes: ...

    @property
    def writes_headers(self) -> bool: ...

    def write(self, line: bytes, alone: bool = False) -> None: ...

    def write_framed(self, line: bytes, alone: bool = False) -> None: ...

    async def room(self) -> None: ...

    def look(self, now: float) -> Observation: ...

    def close_stdin(self) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


class Remote(Protocol):
    """A server that has a bridge of its own. `has_key`: that is asked with a key also where no caller is behind it. `headers`: what callers
    bring along for it beside their keys; `keys_of`: the callers of whose keys it gets another one, which is derived."""

    @property
    def name(self) -> str: ...

    @property
    def has_key(self) -> bool: ...

    @property
    def headers(self) -> tuple[str, ...]: ...

    @property
    def keys_of(self) -> tuple[str, ...]: ...

    def connect(
        self,
        headers: Mapping[str, str],
        max_line: int,
        received: Callable[[list[bytes]], None],
        exited: Callable[[Failure], None],
        hold: Reservation,
    ) -> Running:
        """Raises OSError where nobody answers."""


@dataclass(frozen=True)
class Command:
    """What to run: `argv` as given, the whole environment, a directory or None. What is `remote` is connected to instead, and the
    environment then is what its bridge is told in headers."""

    argv: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    cwd: str | None = None
    remote: Remote | None = None


class Process:
    """Raises OSError from the constructor where the command cannot be started."""

    def __init__(
        self,
        command: Command,
        max_line: int,
        received: Callable[[list[bytes]], None],
        too_long: Callable[[bytes, bytes, int], None],
        closed: Callable[[Failure], None],
        exited: Callable[[Failure], None],
        stderr: Stderr,
        container_file: str = "",
        hold: Reservation | None = None,
    ):
        self._received, self._too_long, self._closed, self._exited, self._stderr = received, too_long, closed, exited, stderr
        self._lines = Lines(max_line)
        self._max_line = max_line
        self._hold = hold or Reservation(Budget(), "")  # of the memory, for what it has not read and for what it has begun to write
        self._loop = asyncio.get_running_loop()
        self._unsent: deque[bytes | memoryview] = deque()
        self._read_size = READ_SIZE
        self._is_blocked = False
        self._room: list[asyncio.Future[None]] = []
        self._late: asyncio.TimerHandle | None = None
        self._rest: list[bytes] = []  # lines that were read and not taken yet, the last one first
        self._reads_left = 0  # once it is dead, and one more
        self._ended = NONE  # and how that was
        self.backlog = 0  # bytes not yet taken by the child's stdin
        mark = f"{os.getpid()}-{next(_number)}"
        self._popen = subprocess.Popen(
            command.argv,
            env={**command.environment, MARK: mark},
            cwd=command.cwd or None,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            preexec_fn=partial(reaper.die_with_parent, os.getpid()),
        )
        stdin, stdout, stderr_end = self._popen.stdin, self._popen.stdout, self._popen.stderr
        assert stdin and stdout and stderr_end  # all are pipes
        self._ends = stdin, stdout, stderr_end
        self.pid = self._popen.pid
        reaper.know(self.pid, mark)
        self._stdin = stdin.fileno()
        self._stdout = stdout.fileno()
        self._stderr_fd = stderr_end.fileno()
        for fd in (self._stdin, self._stdout, self._stderr_fd):
            os.set_blocking(fd, False)
        for fd in (self._stdin, self._stdout):
            _widen(fd)
        self._watch = Watch(self.pid, self._stdin, self._stdout, container_file)
        self._loop.add_reader(self._stdout, self._read)
        self._loop.add_reader(self._stderr_fd, self._read_stderr)
        self._watch_exit()

    # -- stdin ----------------------------------------------------------------------------------------------------------

    def write(self, line: bytes, alone: bool = False) -> None:
        """Queue one line. All lines of one turn of the event loop leave in one system call; one that is known to be
        `alone` leaves at once."""
        if self._stdin < 0:
            return None  # its end is near, and answers everybody
        if alone and not self._unsent:
            return self._send(line)
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self.backlog += len(line)
        self._unsent.append(line)
        return None

    def write_framed(self, line: bytes, alone: bool = False) -> None:
        """The same for a child that wants a header before each message."""
        Process.write(self, framed(line), alone)

    async def room(self) -> None:
        """Wait until the child has read enough for another request."""
        while self.backlog > FULL and self._stdin >= 0:
            waiter = self._loop.create_future()
            self._room.append(waiter)
            await waiter

    def _flush(self) -> None:
        if self._stdin < 0 or not self._unsent:
            return
        self._send(self._next_piece())
        if self._unsent and not self._is_blocked and self._stdin >= 0:
            self._is_blocked = True
            self._loop.add_writer(self._stdin, self._flush)
        elif self._is_blocked and not self._unsent and self._stdin >= 0:
            self._is_blocked = False
            self._loop.remove_writer(self._stdin)
            self._wake()

    def _next_piece(self) -> bytes | memoryview:
        """Lines for one system call: no more than a pipe holds, or what it did not take would be copied again each time."""
        piece = self._unsent.popleft()
        size = len(piece)
        if self._unsent and size < PIPE_SIZE:
            pieces = [piece]
            while self._unsent and size + len(self._unsent[0]) <= PIPE_SIZE:
                pieces.append(self._unsent.popleft())
                size += len(pieces[-1])
            piece = b"".join(pieces)
        self.backlog -= size
        return piece

    def _send(self, data: bytes | memoryview) -> None:
        """Write what the pipe takes. The rest goes when it takes more."""
        try:
            sent = os.write(self._stdin, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return self._shut_down("stdin")
        if sent < len(data):
            self._unsent.appendleft(memoryview(data)[sent:])
            self.backlog += len(data) - sent
            if not self._is_blocked:
                self._is_blocked = True
                self._loop.add_writer(self._stdin, self._flush)
        if self._is_blocked:
            self._hold.set(self.backlog + self._lines.size)
        return None

    def close_stdin(self) -> None:
        if self._stdin >= 0:
            self._loop.remove_writer(self._stdin)
            self._stdin = -1
            self._ends[0].close()
            self._unsent.clear()
            self.backlog = 0
            self._hold.set(0)
        self._wake()

    def _wake(self) -> None:
        waiting, self._room = self._room, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    # -- while it starts ---------------------------------------------------------------------------------------------------

    def look(self, now: float) -> Observation:
        """What it is doing, while it does not answer."""
        return self._watch.look(now, self._stdin) if reaper.IS_LINUX and self._stdin >= 0 else Observation()

    @property
    def pending(self) -> bytes:
        """What it has written of a line without an end."""
        return self._lines.pending

    @property
    def writes_headers(self) -> bool:
        """Whether it has written a header with a message's length."""
        return self._lines.frames is not None

    # -- stdout and stderr ------------------------------------------------------------------------------------------------

    def _read(self) -> bool:
        """Take what is there. False when there is nothing (any more)."""
        try:
            chunk = os.read(self._stdout, self._read_size)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if not chunk:
            self._close_stdout()
            return False
        lines, long_ones = self._lines.feed(chunk)
        self._read_size = READ_MORE if self._lines.size >= len(chunk) == self._read_size else READ_SIZE
        if not lines or self._hold.size:  # of a line that is too long for the memory the two ends are kept, too
            self._lines.limit = self._max_line if self._hold.fits(self.backlog + self._lines.size) else 0
        if len(lines) > AT_ONCE:
            self._loop.remove_reader(self._stdout)
            self._rest = lines[::-1]
            self._take_rest()
        elif lines:
            self._received(lines)
        for head, tail, size in long_ones:
            self._too_long(head, tail, size)
        return True

    def _take_rest(self) -> None:
        """The next of a read's lines, which may have a byte or two each. Others have their turn before those behind them."""
        lines = self._rest[: -AT_ONCE - 1 : -1]
        del self._rest[-AT_ONCE:]
        self._received(lines)
        if self._rest:
            self._loop.call_soon(self._take_rest)
        elif self._reads_left:
            self._loop.call_soon(self._take_last_words)
        else:
            self._loop.add_reader(self._stdout, self._read)

    def _close_stdout(self) -> None:
        self._loop.remove_reader(self._stdout)
        if self._popen.returncode is None:
            self._shut_down("stdout")

    def _shut_down(self, pipe: str) -> None:
        """A child that closed its stdin or its stdout has shut down. It may still have to tidy up, and its exit code to
        give; one that goes on living has to be ended."""
        self.close_stdin()
        if self._late is None:
            self._late = self._loop.call_later(LAST_MOMENT, self._closed, Failure(f"the server closed its {pipe}"))

    def _read_stderr(self) -> bool:
        try:
            chunk = os.read(self._stderr_fd, READ_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if not chunk:
            self._loop.remove_reader(self._stderr_fd)
            return False
        self._stderr.feed(chunk)
        return True

    # -- the end ----------------------------------------------------------------------------------------------------------

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._popen.returncode is not None:
            return  # its id may be somebody else's by now
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _watch_exit(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # not Linux, or an old kernel
            self._pidfd = -1
            self._loop.call_later(0.1, self._poll_exit)
            return
        self._loop.add_reader(self._pidfd, self._bury)

    def _poll_exit(self) -> None:
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            self._loop.call_later(0.1, self._poll_exit)
        else:
            self._bury()

    def _bury(self) -> None:
        """The child is dead: take its last words, end what is left of its group, and say how it ended."""
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        self._signal(signal.SIGKILL)  # before it is reaped, while its group's id cannot be anybody else's
        code = self._popen.wait()
        reaper.forget(self.pid)
        if self._late:
            self._late.cancel()
        self._ended = _failure(code)
        self._loop.remove_reader(self._stdout)
        self._reads_left = PIPE_SIZE // READ_SIZE + 2  # a grandchild outside the group may hold the pipe and go on writing
        if not self._rest:
            self._take_last_words()

    def _take_last_words(self) -> None:
        while self._reads_left > 1 and self._read():
            self._reads_left -= 1
            if self._rest:
                return  # and then this goes on
        for _ in range(64):
            if not self._read_stderr():
                break
        self.close_stdin()
        for fd, stream in ((self._stdout, self._ends[1]), (self._stderr_fd, self._ends[2])):
            self._loop.remove_reader(fd)
            stream.close()
        self._stderr.end()
        reaper.sweep()
        self._exited(self._ended)


def _failure(code: int) -> Failure:
    if code >= 0:
        return Failure(f"the server process exited (code {code})", cause=Cause.EXIT)
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return Failure(f"the server process was killed by {name}", cause=Cause.SIGNAL)


def _widen(fd: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE)  # not Linux, or over the user's allowance: the default does
