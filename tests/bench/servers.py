"""The servers that are measured: how each is started, asked how it is, and stopped.

Every bridge runs in its fastest mode around the same child. Each server is a process group of its own and is ended
by its id; the child counts its own starts in a file, so that no spawn goes unseen.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import install

CHECKOUT = Path(__file__).parents[2]
MIB = 1024 * 1024


@dataclass(frozen=True)
class Contender:
    name: str
    command: Callable[[int, list[str]], list[str]]  # (port, child) -> argv
    health: str
    constant: bool = False  # answers the same to everything: no session, no ids
    peer: bool = False  # may fail without ending the run


def ours(*options: str) -> Contender:
    def command(port, child):
        return [sys.executable, "-m", "bridge", "serve", "--port", str(port), *options, "--", *child]

    return Contender("ours", command, "/healthz")


def bare(headers: list[tuple[str, str]], body: str) -> Contender:
    def command(port, child):
        return [sys.executable, str(Path(__file__).with_name("bare.py")), str(port), json.dumps(headers), body]

    return Contender("bare uvicorn", command, "/", constant=True)


def pypi_mcp_proxy() -> Contender:
    """Its default with sessions answers in JSON; --stateless takes twice the time for a call."""
    program = install.pypi_mcp_proxy()

    def command(port, child):
        return [*program, "--port", str(port), "--log-level", "ERROR", "--", *child]

    return Contender("PyPI mcp-proxy", command, "/status", peer=True)


def supergateway(transport: str) -> Contender:
    """One transport a process: `streamableHttp` (a child a session; stateless it is a child a call) or `sse`."""
    program = install.supergateway()
    options = ["--outputTransport", transport, "--logLevel", "none", "--healthEndpoint", "/healthz"]
    options += ["--stateful"] * (transport == "streamableHttp")

    def command(port, child):
        return [*program, "--stdio", " ".join(child), "--port", str(port), *options]

    return Contender("supergateway", command, "/healthz", peer=True)


def npm_mcp_proxy(*options: str) -> Contender:
    program = install.npm_mcp_proxy()

    def command(port, child):
        return [*program, "--host", "127.0.0.1", "--port", str(port), *options, "--", *child]

    return Contender("npm mcp-proxy", command, "/ping", peer=True)


@dataclass
class Server:
    kind: Contender
    port: int
    process: subprocess.Popen
    spawns: Path
    log: Path
    started: float

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def children_started(self) -> int:
        return self.spawns.stat().st_size if self.spawns.exists() else 0

    def children_alive(self) -> int:
        return len(_descendants(self.pid))

    def memory(self) -> int:
        """Resident bytes of the server's own process, without its children."""
        try:
            return _kib(f"/proc/{self.pid}/smaps_rollup", "Rss") * 1024
        except OSError:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def forget_peak(self) -> None:
        with contextlib.suppress(OSError):  # where it is not allowed, the peak counts from the start
            Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak_memory(self) -> int:
        """The most that was resident since `forget_peak`."""
        return _kib(f"/proc/{self.pid}/status", "VmHWM") * 1024

    def wait_until_healthy(self, patience: float = 20) -> float:
        """Seconds from the spawn to the first 200."""
        request = f"GET {self.kind.health} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n".encode()
        while self.age() < patience:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.sendall(request)
                if connection.recv(4096).startswith(b"HTTP/1.1 200"):
                    return self.age()
            time.sleep(0.003)
        raise RuntimeError(f"{self.name} does not start: {self.log.read_text(errors='replace')[-2000:]}")

    def cpu_seconds(self) -> float:
        """CPU time of the server's own process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def age(self) -> float:
        return time.monotonic() - self.started

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(7)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(5)


@contextlib.contextmanager
def spawned(kind: Contender) -> Iterator[Server]:
    """A server that has just been spawned and may not listen yet."""
    with tempfile.TemporaryDirectory(prefix="mcp-bench-") as folder:
        log, spawns = Path(folder, "log"), Path(folder, "spawns")
        port = _free_port()
        command = kind.command(port, [*install.child(), str(spawns)])
        with log.open("wb") as output:
            begin = time.monotonic()
            process = subprocess.Popen(
                command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        server = Server(kind, port, process, spawns, log, begin)
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def running(*kinds: Contender) -> Iterator[list[Server]]:
    """Servers that answer; the idle ones cost nothing while one of them is under load."""
    with contextlib.ExitStack() as stack:
        servers = []
        for kind in kinds:
            server = stack.enter_context(spawned(kind))
            try:
                server.wait_until_healthy()
                servers.append(server)
            except RuntimeError as error:
                if not kind.peer:
                    raise
                print(error, file=sys.stderr)
        yield servers


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _kib(path: str, name: str) -> int:
    return int(re.search(rf"^{name}:\s+(\d+) kB", Path(path).read_text(), re.MULTILINE)[1])


def _descendants(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        children += map(int, task.read_text().split())
    return children + [deeper for child in children for deeper in _descendants(child)]
