"""Programs that are run to their end, in process groups of their own, so that a timeout ends all of it and nothing else."""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

STOP_PATIENCE = 3


class Failed(RuntimeError):
    """A program ended badly; the message has its command line, its exit code and the end of what it printed."""

    def __init__(self, command: Sequence[str | Path], code: object, printed: str):
        super().__init__(f"{' '.join(map(str, command))}\nexit code {code}\n{printed[-3000:]}")
        self.printed, self.code = printed, code
        # The line that says why, as well as that can be told: the last one that speaks of an error, else the last one.
        lines = [line.strip() for line in printed.splitlines() if line.strip()]
        ended = f"not done {str(code).removeprefix('none ')}" if str(code).startswith("none after") else f"exit code {code}"
        self.reason = next((line for line in reversed(lines) if "error" in line.lower() or "×" in line), lines[-1] if lines else ended)


def run(
    command: Sequence[str | Path],
    timeout: float = 600,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    codes: tuple[int, ...] = (0,),
    stdin: str | IO[bytes] = "",
    stdout: IO[bytes] | None = None,
) -> str:
    """Run a command to its end and return what it printed (without its stdout, where that has a file of its own); an exit code that
    is not in `codes` raises Failed."""
    with tempfile.TemporaryFile("w+", errors="replace") as output, tempfile.TemporaryFile("w+") as words:
        if isinstance(stdin, str):
            words.write(stdin)
            words.seek(0)
        source = words if isinstance(stdin, str) else stdin
        try:
            process = subprocess.Popen(
                command, stdin=source, stdout=stdout or output, stderr=output, cwd=cwd, env=env, start_new_session=True
            )
        except OSError as error:
            raise Failed(command, "none", f"{command[0]}: {error.strerror}") from None
        try:
            code: object = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = f"none after {timeout:g} s"
        finally:
            end(process)
        output.seek(0)
        printed = output.read()
    if code not in codes:
        raise Failed(command, code, printed)
    return printed


def end(process: subprocess.Popen[bytes]) -> None:
    """End the process and its group; the group may outlive its leader."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_PATIENCE)
    _signal(process, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):  # a disk that does not answer keeps it
        process.wait(STOP_PATIENCE)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
