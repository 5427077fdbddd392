"""LiteLLM, such that it takes another configuration within a second, or goes on with the one that it has. LiteLLM itself is as it was released.

    litellm_server.py [--keys DIR] --config FILE …   serves; the other options are LiteLLM's own
    litellm_server.py --take                         gives the serving one standard input as its configuration, until it is served

What takes long is importing it. So that is done once, and each server is a fork of the process that did it. On SIGHUP, or
with --take, a new one is made beside the old one, on the same socket: nobody is refused meanwhile. When it listens, the old one
may finish the calls that it has; if it ends before that, the old one goes on, and what it said is told.
What is taken is lost when the container ends: then FILE counts again.
"""

import sys

if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file has nothing that LiteLLM shall find

import argparse
import asyncio
import gc
import hashlib
import importlib.metadata
import os
import select
import signal
import socket
import threading
import time
from pathlib import Path

HOME = Path(os.environ.get("HOME", "/tmp"))
TAKEN = HOME / "litellm-taken.yaml"
SERVED = HOME / "litellm-served"  # whose process, how many servers before, of which configuration
REFUSED = HOME / "litellm-refused"  # which configuration was not taken, and what LiteLLM said of it
HEARD = {signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
NOBODY = b"0 0 -\n"  # it cannot be replaced
REFUSES = 3  # exit code
TICK, LETS_GO, FINISHES, TAKES = 0.05, 3.0, 30.0, 90.0  # seconds
REMEMBERED = 16000  # bytes of what it says while it starts


class Server:
    """One LiteLLM: a fork that serves with one configuration. What it says until it listens goes through us, so that we can tell it."""

    def __init__(self, run, given, options, listener, before):
        self.is_taken = TAKEN.exists()
        config = TAKEN if self.is_taken else Path(given.config)
        self.config = config.read_bytes()
        self.digest = hashlib.sha256(self.config).hexdigest()
        self.deadline, self.said = time.monotonic() + TAKES, b""
        self.output, output = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(output)
            os.set_blocking(self.output, False)
            return
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        kept = [os.dup(1), os.dup(2)]
        os.dup2(output, 1)
        os.dup2(output, 2)

        def listens():
            os.write(output, b"\0")  # nothing that LiteLLM says
            for number, copy in enumerate(kept, 1):
                os.dup2(copy, number)
                os.close(copy)

        os.environ.update(_keys(given.keys))
        _serve_on(listener, listens, lambda: os.close(output))
        sys.argv = _command(given, options, str(config))
        sys.exit(run())

    def is_ready(self) -> bool:
        """Pass on what it says. When it listens nothing more comes but the end: then it listens no more."""
        try:
            while said := os.read(self.output, 65536):
                text, mark, _ = said.partition(b"\0")
                self.said = (self.said + text)[-REMEMBERED:]
                os.write(2, text)
                if mark:
                    return True
        except BlockingIOError:
            pass
        return False


class Servers:
    """The LiteLLM that serves, the one that shall, and those that have calls to finish."""

    def __init__(self, run, given, options):
        self.given = given
        self.listener = _listener(given.host, given.port)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
        self.make = lambda: Server(run, given, options, self.listener, before)
        self.current, self.next = None, None
        self.count = 0
        self.finishing: dict[int, float] = {}  # when each is ended

    def begin(self) -> None:
        if self.next:
            self.end(self.next)
        self.next = self.make()

    def end(self, server: Server) -> None:
        """Let it finish its calls. Returns when it takes no new ones."""
        self.finishing[server.pid] = time.monotonic() + FINISHES
        _signal(server.pid, signal.SIGTERM)
        if not select.select([server.output], [], [], LETS_GO)[0]:
            _signal(server.pid, signal.SIGKILL)  # 1.77.3 may be wedged such that it does not end
        os.close(server.output)

    def take_over(self) -> None:
        if self.current:
            self.end(self.current)
        self.current, self.next = self.next, None
        self.count += 1
        REFUSED.unlink(missing_ok=True)
        _write(SERVED, f"{os.getpid()} {self.count} {self.current.digest}\n".encode())

    def refused(self, why: str) -> None:
        """The old one goes on, with what it was given."""
        if self.current.is_taken:
            _write(TAKEN, self.current.config)
        elif self.next.is_taken:
            TAKEN.unlink(missing_ok=True)
        _write(REFUSED, f"{self.next.digest}\n".encode() + self.next.said + f"\n{why}\n".encode())
        self.next = None

    def serve(self) -> int:
        """Until it ends, or shall. Returns its exit code."""
        self.begin()
        while True:
            found = signal.sigtimedwait(HEARD, TICK)
            if found and found.si_signo == signal.SIGHUP:
                self.begin()
            elif found and found.si_signo != signal.SIGCHLD:
                return self.leave()
            if self.next and self.next.is_ready():
                self.take_over()
            while (ended := _ended()) is not None:
                self.finishing.pop(ended[0], None)
                if self.next and ended[0] == self.next.pid:
                    self.next.is_ready()  # its last words
                    if not self.current:
                        return ended[1]
                    os.close(self.next.output)
                    self.refused(f"it ended with code {ended[1]}")
                elif self.current and ended[0] == self.current.pid:
                    return ended[1]
            if self.next and self.current and time.monotonic() > self.next.deadline:
                self.end(self.next)
                self.refused(f"it does not listen within {TAKES:g} s")
            for pid, deadline in self.finishing.items():
                if time.monotonic() > deadline:
                    _signal(pid, signal.SIGKILL)

    def leave(self) -> int:
        pids = [server.pid for server in (self.current, self.next) if server]
        for pid in (*pids, *self.finishing):
            _signal(pid, signal.SIGTERM)
        return [_code(os.waitpid(pid, 0)[1]) for pid in pids][0]


def _listener(host: str, port: int) -> socket.socket:
    """Bound, but nobody listens before LiteLLM does."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind((host, port))
    return found


def _serve_on(listener: socket.socket, listens, listens_no_more) -> None:
    """Let what LiteLLM starts serve on this socket, and say when it does."""
    import uvicorn  # after LiteLLM, which may be of any version, has been found

    class Telling(uvicorn.Server):
        async def startup(self, *arguments, **named):
            self.loop = asyncio.get_running_loop()
            await super().startup(*arguments, **named)
            if self.started:
                listens()

        def handle_exit(self, *arguments):
            super().handle_exit(*arguments)
            if self.started:
                self.loop.call_soon_threadsafe(self.let_go)  # uvicorn itself takes 0.1 s

        def let_go(self):
            if listener.fileno() != -1:
                for server in self.servers:
                    server.close()
                listener.close()
                listens_no_more()

    def run(app, **options):
        server = Telling(uvicorn.Config(app, **options))
        server.run(sockets=[listener])
        if not server.started:
            sys.exit(REFUSES)

    uvicorn.run = run


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


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").split()
    except FileNotFoundError:
        return []


def take() -> int | str:
    """Why it cannot be taken; 0 when it is served."""
    content, deadline = sys.stdin.buffer.read(), time.monotonic() + 2 * TAKES
    digest = hashlib.sha256(content).hexdigest()
    while not (now := _words(SERVED)):
        if time.monotonic() > deadline:
            return "LiteLLM does not start"
        time.sleep(TICK)
    if now[0] == "0":
        return "this LiteLLM has threads before it serves: it takes another configuration only when it is started"
    REFUSED.unlink(missing_ok=True)
    _write(TAKEN, content)
    os.kill(int(now[0]), signal.SIGHUP)
    while (later := _words(SERVED)) == now:
        if _words(REFUSED)[:1] == [digest]:
            print(REFUSED.read_text(errors="replace").partition("\n")[2])
            return REFUSES
        if time.monotonic() > deadline:
            return "LiteLLM does not say whether it takes its new configuration"
        time.sleep(TICK / 2)
    return 0 if later[2:] == [digest] else "LiteLLM serves another configuration"


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
    for path in (SERVED, REFUSED):
        path.unlink(missing_ok=True)
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
    return Servers(run, given, options).serve()


if __name__ == "__main__":
    sys.exit(main() or 0)
