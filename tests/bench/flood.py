"""What one caller's flood does to another one: the median of a caller who calls now and then, alone and beside it, in turns.

    python tests/bench/flood.py [--rounds N] [--seconds S]

The flood is a caller with a limit (100 requests a second) that sends as fast as it is answered, over 32 connections, from a process of
its own; who is measured is in a third one. `elsewhere` is the same flood against a second bridge: what it costs to share the
machine's processors with it. Prints the medians and their ratios to the round's own median alone.
"""

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import install
import load
import servers

TOKENS = {name: f"a-token-of-the-bench-of-{name}" for name in ("calm", "flood")}
CONNECTIONS = 32
PAUSE = 0.005  # seconds between two calls of the one who is measured


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    with _bridge() as one, _bridge() as other:
        medians: dict[str, list[float]] = {"alone": [], "elsewhere": [], "beside": []}
        for _ in range(options.rounds):
            for where, flooded in (("alone", None), ("elsewhere", other), ("beside", one)):
                with _flood(flooded) as answered:
                    medians[where].append(_median(one, options.seconds))
                if flooded is not None:
                    print(f"{where}: {answered.value / options.seconds:,.0f} answers a second to the flood", file=sys.stderr)
        for where, found in medians.items():
            ratios = [median / alone for median, alone in zip(found, medians["alone"], strict=True)]
            print(
                f"{where}: median {statistics.median(found) * 1000:.2f} ms, "
                f"ratio {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})"
            )
    return 0


@contextlib.contextmanager
def _bridge():
    """The port of one."""
    port = servers._free_port()
    with tempfile.TemporaryDirectory(prefix="mcp-bench-") as folder, Path(folder, "log").open("w+b") as log:
        callers = {
            name: {"token_sha256": hashlib.sha256(token.encode()).hexdigest(), "may": {"echo/*": "execute"}}
            for name, token in TOKENS.items()
        }
        callers["flood"]["limits"] = {"requests": 100, "burst": 100}
        Path(folder, "callers").write_text(json.dumps({"callers": callers}))
        command = [sys.executable, "-m", "bridge", "serve", "--port", str(port), "--name", "echo", "--callers", f"{folder}/callers", "--"]
        command += [*install.child(), f"{folder}/spawns"]
        process = subprocess.Popen(command, cwd=servers.CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _Caller(port, "calm").call()
            yield port
        finally:
            process.terminate()
            process.wait(30)


class _Caller:
    """One connection with a session."""

    def __init__(self, port: int, name: str, session: bytes = b""):
        self.connection = _connected(port)
        self.answers = self.connection.makefile("rb")
        self.head = b"Authorization: Bearer %b\r\n" % TOKENS[name].encode()
        self.session = session
        while not self.session:
            head = self._post(load.INITIALIZE % 1)
            found = load.SESSION.search(head)
            if found:
                self.session = found[1]
            else:  # it asked too often
                time.sleep(0.1)
        self.head += b"MCP-Protocol-Version: 2025-06-18\r\nMcp-Session-Id: %b\r\n" % self.session

    def call(self) -> bytes:
        return self._post(load.CALL % (7, b"echo"))

    def _post(self, body: bytes) -> bytes:
        self.connection.sendall(
            b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n%bContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (self.head, len(body), body)
        )
        head = b"".join(iter(self.answers.readline, b"\r\n"))
        self.answers.read(int(load.LENGTH.search(b"\r\n" + head)[1]))
        return head


def _connected(port: int) -> socket.socket:
    for _ in range(400):
        with contextlib.suppress(OSError):
            connection = socket.create_connection(("127.0.0.1", port), 30)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        time.sleep(0.05)
    raise SystemExit("the bridge does not listen")


@contextlib.contextmanager
def _flood(port: int | None):
    """A flood of this bridge while it lasts; how many answers it got."""
    answered, over = multiprocessing.Value("q", 0), multiprocessing.Event()
    flood = multiprocessing.Process(target=_send, args=(port, answered, over)) if port else None
    if flood:
        flood.start()
        time.sleep(1.0)  # its burst is spent
        with answered.get_lock():
            answered.value = 0
    try:
        yield answered
    finally:
        over.set()
        if flood:
            flood.join(30)


def _send(port: int, answered, over) -> None:
    first = _Caller(port, "flood")

    def send(caller: _Caller) -> None:
        with contextlib.suppress(OSError, TypeError):
            while not over.is_set():
                caller.call()
                with answered.get_lock():
                    answered.value += 1

    threads = [threading.Thread(target=send, args=(_Caller(port, "flood", first.session),), daemon=True) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _median(port: int, seconds: float) -> float:
    """Of the seconds that a call takes."""
    caller, waits = _Caller(port, "calm"), []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        if b" 200 " not in caller.call().partition(b"\r\n")[0]:
            raise SystemExit("a wrong answer")
        waits.append(time.perf_counter() - began)
        time.sleep(PAUSE)
    return statistics.median(waits)


if __name__ == "__main__":
    sys.exit(main())
