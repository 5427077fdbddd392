"""Starts the real bridge as a process of its own, and sees to it that nothing of it is left.

This process becomes a sub-reaper, so that what a bridge leaves behind turns up among our own children
instead of vanishing under init.
"""

import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from support import forking
from support.waiting import eventually

ROOT = Path(__file__).parent.parent.parent
CHILDREN = ROOT / "tests" / "children"
CACHE = tempfile.TemporaryDirectory(prefix="mcp-bridge-tests-")  # what one run learns is not for the next one
PR_SET_CHILD_SUBREAPER = 36
LISTENING = re.compile(r"\blistening\b.*?\burl[\"']?[=:]\s*[\"']?(https?://[^\s\"',]+)")

if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def zoo(name: str, *arguments) -> list[str]:
    """The command of a child from tests/children."""
    return [sys.executable, str(CHILDREN / f"{name}.py"), *map(str, arguments)]


class Bridge:
    """``with Bridge(zoo("echo"), "--profile", "litellm") as bridge:``; no command for --config.

    Attributes: ``url``, ``process``, ``log`` (the lines so far), ``seconds_to_listen``.
    """

    running: ClassVar[set[int]] = set()  # the pids of all bridges: their command lines name children too

    def __init__(
        self,
        command: list[str] | None,
        *options,
        env: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        cwd: Path | str = ROOT,
        port: int = 0,
        ready: bool = True,
        limit: float = 30,
    ):
        """``ready=False`` waits only until it listens, not for /readyz; ``headers`` go with every ``get``: a token."""
        tail = ["--", *map(str, command)] if command else []
        self.arguments = ["serve", "--port", str(port), *map(str, options), *tail]
        self.wrapper: list[str] = []  # what to start it with: `unshare …`
        self.env, self.cwd, self.wants_ready, self.limit = env or {}, cwd, ready, limit
        self.headers, self.log = headers, []
        self.url = ""
        self.seen: set[psutil.Process] = set()  # every process of its tree that we ever saw

    def __enter__(self) -> Self:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MCP_BRIDGE_")}
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        started = time.monotonic()
        env = inherited | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "MCP_BRIDGE_CACHE_DIR": CACHE.name} | self.env
        self.process = self.wrapped(env) if self.wrapper else forking.start(self.arguments, env, self.cwd)
        self.running.add(self.process.pid)
        self.drain = threading.Thread(target=self.read_log, daemon=True)
        self.drain.start()
        try:
            self.url = eventually(self.listening, self.limit, "the bridge does not listen")
            self.seconds_to_listen = time.monotonic() - started
            self.http = self.open_http()
            if self.wants_ready:
                eventually(lambda: self.get("/readyz").status_code == 200, self.limit, "the bridge does not get ready")
        except BaseException as problem:
            problem.add_note("log:\n" + "\n".join(self.log[-40:]))
            self.kill_all()
            self.running.discard(self.process.pid)
            raise
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.stop()
        self.http.close()
        left = self.leftover()
        self.running.discard(self.process.pid)
        if left:
            names = [describe(process) for process in left]
            self.kill_all()
            raise AssertionError(f"the bridge left behind: {names}")

    def open_http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=self.headers, verify=False, trust_env=False, timeout=20)

    def wrapped(self, env: dict[str, str]) -> subprocess.Popen:
        command = [*self.wrapper, sys.executable, "-m", "bridge", *self.arguments]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, cwd=self.cwd, env=env, start_new_session=True, **pipes)

    def read_log(self) -> None:
        for line in self.process.stdout:
            self.log.append(line.decode("utf-8", "replace").rstrip("\n"))

    def listening(self) -> str | None:
        for line in list(self.log):
            if found := LISTENING.search(line):
                return found[1].rstrip("/")
        if self.process.poll() is not None:
            self.drain.join(1)
            raise RuntimeError(f"the bridge left with code {self.process.returncode}")
        return None

    # What it says

    def get(self, path: str, **headers) -> httpx.Response:
        return self.http.get(path, headers=headers)

    def ready(self, name: str | None = None) -> dict:
        """The JSON of /readyz with its HTTP status as ``code``."""
        response = self.get(f"/{name}/readyz" if name else "/readyz")
        return response.json() | {"code": response.status_code}

    def status(self) -> dict:
        return self.get("/status.json").json()

    def metrics(self) -> "Metrics":
        families = text_string_to_metric_families(self.get("/metrics").text)
        samples = (sample for family in families for sample in family.samples)
        return Metrics({(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples})

    def logged(self, word: str) -> list[str]:
        return [line for line in list(self.log) if word in line]

    # Its processes

    def children(self) -> list[int]:
        """The pids below the bridge, however deep, zombies left out."""
        return [process.pid for process in self.tree() if lives(process)]

    def zombies(self) -> list[int]:
        return [process.pid for process in self.tree() if not lives(process) and process.is_running()]

    def tree(self) -> list[psutil.Process]:
        try:
            found = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        self.seen.update(found)
        return [process for process in found if process.is_running()]

    def rss(self) -> int:
        return psutil.Process(self.process.pid).memory_info().rss

    def files(self) -> int:
        """Its open file descriptors: a connection is one."""
        return psutil.Process(self.process.pid).num_fds()

    def watch(self, pids: list[int]) -> None:
        """Processes to be gone at the end, though we may not see them below the bridge (a daemon's)."""
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                self.seen.add(psutil.Process(pid))

    # Its end

    def stop(self, patience: float = 15) -> tuple[int, float]:
        """SIGTERM; returns the exit code and the seconds it took. Kills its tree if it does not leave."""
        return self.signal(signal.SIGTERM, patience)

    def kill(self) -> tuple[int, float]:
        """SIGKILL for the bridge alone, as an OOM killer does; its children are then on their own."""
        return self.signal(signal.SIGKILL, 5)

    def signal(self, number: int, patience: float) -> tuple[int, float]:
        self.tree()
        begun = time.monotonic()
        self.process.send_signal(number)
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise AssertionError(f"the bridge did not leave within {patience} s; log: {self.log[-20:]}") from None
        self.drain.join(1)
        return code, time.monotonic() - begun

    def leftover(self, patience: float = 5) -> list[psutil.Process]:
        """What of its tree still runs, after a moment in which the last ones may go."""
        with suppress(AssertionError):
            eventually(lambda: not self.alive(), patience)
        return self.alive()

    def alive(self) -> list[psutil.Process]:
        return sorted(filter(lives, self.seen | orphans()), key=lambda process: process.pid)

    def kill_all(self) -> None:
        self.tree()
        for process in [self.process, *self.alive()]:
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                process.kill()
        self.process.wait(5)


class Metrics(dict):
    """{(name, ((label, value), …)): number}, and sums over the labels that are not named."""

    def value(self, name: str, **labels) -> float:
        wanted = {(label, str(value)) for label, value in labels.items()}
        return sum(value for (found, pairs), value in self.items() if found == name and wanted <= set(pairs))


def lives(process: psutil.Process) -> bool:
    """Neither gone, be it just now, nor a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def orphans() -> set[psutil.Process]:
    """Zoo processes that a bridge left to us, its sub-reaper."""
    found = set()
    for process in psutil.Process().children():
        with suppress(psutil.Error):
            if process.pid not in Bridge.running and any(str(CHILDREN) in argument for argument in process.cmdline()):
                found.add(process)
    return found


def describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline())}"
    except psutil.Error:
        return str(process.pid)
