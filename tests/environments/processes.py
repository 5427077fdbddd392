"""Programs in process groups of their own, so that stopping one also stops whatever it started, and nothing else."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

START_PATIENCE = 30
STOP_PATIENCE = 3


def run(
    command: list[str | Path],
    timeout: float = 600,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    codes: tuple[int, ...] = (0,),
) -> str:
    """Run a command to its end and return what it printed; an exit code that is not in `codes` raises."""
    with tempfile.TemporaryFile("w+") as output:
        process = start(command, output, cwd=cwd, env=env)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = f"none after {timeout} s"
        finally:
            stop(process)
        output.seek(0)
        printed = output.read()
    if code not in codes:
        raise RuntimeError(f"{' '.join(map(str, command))}\nexit code {code}\n{printed[-3000:]}")
    return printed


def start(command: list[str | Path], output, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> subprocess.Popen:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd, env=env, start_new_session=True)


def stop(process: subprocess.Popen) -> None:
    """End the process and its group; the group may outlive its leader."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        try:
            process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            pass
    _signal(process, signal.SIGKILL)
    process.wait(STOP_PATIENCE)


def _signal(process: subprocess.Popen, number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


@contextmanager
def listening(command: list[str | Path], port: int, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen]:
    """The command's process, from when it accepts connections on the port until the end of the block."""
    with tempfile.TemporaryFile("w+") as output:
        process = start(command, output, env=env)
        try:
            deadline = time.monotonic() + START_PATIENCE
            while not _accepts(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    raise RuntimeError(f"{' '.join(map(str, command))} does not listen on {port}\n{output.read()[-3000:]}")
                time.sleep(0.05)
            yield process
        finally:
            stop(process)


def _accepts(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
