"""The file of the audit, or standard output: a line is one write, so a crash loses at most the one that is being written.

A disk that is full loses lines, which are counted, and the log says so; with --audit-required calls are refused from then on, until a
line can be written again.
"""

import os
import select
import sys
from collections.abc import Callable
from pathlib import Path

from bridge.settings import UsageError

RETRY = 1.0  # seconds between two tries to write again, while calls are refused
REPORT_EVERY = 60.0  # seconds between two words about lost lines


class AuditLog:
    """`tell(text, facts)` tells the operator. Files are kept as PATH, PATH.1 (the one before) and so on, `kept` of them."""

    def __init__(self, path: str, longest: int, kept: int, is_required: bool, clock: Callable[[], float], tell: Callable[..., None]):
        self.path, self.longest, self.kept, self.is_required = path, longest, kept, is_required
        self.lines = self.lost = 0
        self._clock, self._tell = clock, tell
        self._is_failing, self._is_torn = False, False
        self._tried = self._reported = float("-inf")
        self._fd, self._size = self._open()
        self._poll = select.poll() if path == "-" else None
        if self._poll is not None:
            self._poll.register(self._fd, select.POLLOUT)

    def _open(self) -> tuple[int, int]:
        """Raises UsageError."""
        if self.path == "-":
            return sys.stdout.fileno(), 0
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
            return fd, os.fstat(fd).st_size
        except OSError as error:
            raise UsageError(f"--audit: {self.path}: {error.strerror}") from None

    def write(self, line: bytes) -> bool:
        """False where the line is lost."""
        if self._is_torn:
            line = b"\n" + line  # ends what was written of another one
        try:
            if self._poll is not None and not self._poll.poll(0):
                raise BlockingIOError(0, "nobody reads standard output")
            if self.longest and self._size and self._size + len(line) > self.longest and self._poll is None:
                self._rotate()
            written = os.write(self._fd, line) if self._poll is None else self._put(self._poll, line)
        except OSError as error:
            return self._fail(error.strerror or str(error))
        self._size += written
        self._is_torn = written < len(line)
        if self._is_torn:
            return self._fail("no space for a whole line")
        if self._is_failing:
            self._is_failing = False
            self._tell("the audit is written again", lost=self.lost)
        self.lines += 1
        return True

    def _put(self, poll: select.poll, line: bytes) -> int:
        """Standard output blocks, and of a pipe's room only PIPE_BUF bytes are sure: more of them go piece by piece."""
        written = 0
        while written < len(line) and poll.poll(0):
            written += os.write(self._fd, line[written : written + select.PIPE_BUF])
        return written

    def may_go_on(self) -> bool:
        """Whether calls are let through: not while they could not be written down and must be (--audit-required)."""
        if not (self._is_failing and self.is_required):
            return True
        now = self._clock()
        if now - self._tried < RETRY:
            return False
        self._tried = now
        return self.write(b'{"outcome":"audit resumed","lost":%d}\n' % self.lost)

    def reopen(self) -> None:
        """After a reload: somebody else may have moved the file away (logrotate). Raises UsageError."""
        if self._poll is None:
            fd, size = self._open()
            os.close(self._fd)
            self._fd, self._size = fd, size

    def _rotate(self) -> None:
        """Raises OSError."""
        for number in range(self.kept - 1, 0, -1):
            older = Path(f"{self.path}.{number}")
            if older.exists():
                os.replace(older, f"{self.path}.{number + 1}")
        if self.kept:
            os.replace(self.path, f"{self.path}.1")
        else:
            os.truncate(self.path, 0)
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        os.close(self._fd)
        self._fd, self._size = fd, 0

    def _fail(self, why: str) -> bool:
        self.lost += 1
        now = self._clock()
        if not self._is_failing or now - self._reported >= REPORT_EVERY:
            self._reported = now
            self._tell(
                "the audit cannot be written", path=self.path, why=why, lost=self.lost, calls="refused" if self.is_required else "go on"
            )
        self._is_failing, self._tried = True, now
        return False
