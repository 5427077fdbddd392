# Made by `mcp-bridge render`; do not edit: write images/NAME/stanza.yaml and render again.
"""LiteLLM, such that it takes another configuration within a second. LiteLLM itself is as it was released.

    litellm_server.py [--keys DIR] --config FILE …   serves; the other options are LiteLLM's own
    litellm_server.py --take                         gives the serving one standard input as its configuration, until it is served

What takes long is importing it. So that is done once, and each server is a fork of the process that did it. On SIGHUP, or
with --take, a new one is made; the old one lets go of the port at once, and may finish the calls that it has. What is
taken is lost when the container ends: then FILE counts again.
"""

import sys

if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file has nothing that LiteLLM shall find

import argparse
import gc
import hashlib
import importlib.metadata
import os
import signal
import socket
import threading
import time
from pathlib import Path

HOME = Path(os.environ.get("HOME", "/tmp"))
TAKEN, SERVED = HOME / "litellm-taken.yaml", HOME / "litellm-served"  # SERVED: whose process, how many servers before, of which configuration
HEARD = {signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
NOBODY = b"0 0 -\n"  # it cannot be replaced
TICK, LETS_GO, FINISHES, TAKES = 0.1, 3.0, 30.0, 90.0  # seconds


class Server:
    """The LiteLLM that serves, and those before it that have calls to finish."""

    def __init__(self, run, given, options: list[str]):
        self.run, self.given, self.options = run, given, options
        self.address = ("127.0.0.1" if given.host in ("0.0.0.0", "::") else given.host, given.port)
        self.before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
        self.finishing: dict[int, float] = {}  # when each is ended
        self.pid, self.count, self.is_announced = 0, 0, False

    def start(self) -> None:
        config = TAKEN if TAKEN.exists() else Path(self.given.config)
        self.digest = hashlib.sha256(config.read_bytes()).hexdigest()
        self.count, self.is_announced = self.count + 1, False
        self.pid = os.fork()
        if self.pid:
            return
        signal.pthread_sigmask(signal.SIG_SETMASK, self.before)
        os.environ.update(_keys(self.given.keys))
        sys.argv = _command(self.given, self.options, str(config))
        sys.exit(self.run())

    def replace(self) -> None:
        self.finishing[self.pid] = time.monotonic() + FINISHES
        _signal(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + LETS_GO
        while self.listens():
            if time.monotonic() > deadline:
                _signal(self.pid, signal.SIGKILL)  # 1.77.3 may be wedged such that it does not end
            time.sleep(TICK / 2)
        self.start()

    def listens(self) -> bool:
        with socket.socket(socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET) as probe:
            probe.settimeout(1)
            return probe.connect_ex(self.address) == 0

    def serve(self) -> int:
        """Until it ends, or shall. Returns its exit code."""
        self.start()
        while True:
            found = signal.sigtimedwait(HEARD, TICK)
            if found and found.si_signo == signal.SIGHUP:
                self.replace()
            elif found and found.si_signo != signal.SIGCHLD:
                for pid in (self.pid, *self.finishing):
                    _signal(pid, signal.SIGTERM)
                return _code(os.waitpid(self.pid, 0)[1])
            while (ended := _ended()) is not None:
                self.finishing.pop(ended[0], None)
                if ended[0] == self.pid:
                    return ended[1]
            for pid, deadline in self.finishing.items():
                if time.monotonic() > deadline:
                    _signal(pid, signal.SIGKILL)
            if not self.is_announced and self.listens():
                self.is_announced = True
                _write(SERVED, f"{os.getpid()} {self.count} {self.digest}\n".encode())


def _keys(folder: str) -> dict[str, str]:
    """Variables that are files, as they are now."""
    found = {path.name: path.read_text() for path in sorted(Path(folder).glob("*"))} if folder else {}
    return {name: value for name, value in found.items() if value}


def _command(given, options: list[str], config: str) -> list[str]:
    return ["litellm", "--config", config, "--host", given.host, "--port", str(given.port), *options]


def _ended():
    """A child that ended, and its exit code; None if there is none."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, _code(status)) if pid else None


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    beside.replace(path)


def served() -> list[str]:
    try:
        return SERVED.read_text().split()
    except FileNotFoundError:
        return []


def take() -> str:
    """Why it cannot be taken; empty when it is served."""
    content, deadline = sys.stdin.buffer.read(), time.monotonic() + TAKES
    while not (now := served()):
        if time.monotonic() > deadline:
            return "LiteLLM does not start"
        time.sleep(TICK)
    if now[0] == "0":
        return "this LiteLLM has threads before it serves: it takes another configuration only when it is started"
    _write(TAKEN, content)
    os.kill(int(now[0]), signal.SIGHUP)
    while (later := served()) == now:
        if time.monotonic() > deadline:
            return f"LiteLLM does not listen {TAKES:g} s after it was given a new configuration"
        time.sleep(TICK / 2)
    return "" if later[2:] == [hashlib.sha256(content).hexdigest()] else "LiteLLM serves another configuration"


def main() -> int | str:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--take", action="store_true")
    parser.add_argument("--keys", default="")
    parser.add_argument("--config", default="")
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=4000)
    given, options = parser.parse_known_args()
    if given.take:
        return take()
    SERVED.unlink(missing_ok=True)
    [entry] = importlib.metadata.entry_points(group="console_scripts", name="litellm")
    run = entry.load()
    import litellm.proxy.proxy_server  # noqa: F401  (what `run` imports, and takes long)

    if threading.active_count() > 1:  # a fork would not have them
        _write(SERVED, NOBODY)
        os.environ.update(_keys(given.keys))
        sys.argv = _command(given, options, given.config)
        return run()
    gc.collect()
    gc.freeze()  # what the collector does not touch stays shared between the servers
    return Server(run, given, options).serve()


if __name__ == "__main__":
    sys.exit(main() or 0)
