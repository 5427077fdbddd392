"""--uds: the bridge on a Unix socket, as the door of the fleet reaches it."""

import os
import signal
import subprocess
import sys

import httpx
import pytest
from support import ROOT, eventually
from support.running import zoo

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
ACCEPT = {"accept": "application/json, text/event-stream"}


@pytest.fixture
def start(tmp_path):
    """Starts a bridge on `socket`; every one is ended."""
    started = []

    def run() -> subprocess.Popen:
        command = [sys.executable, "-m", "bridge", "serve", "--uds", str(tmp_path / "socket"), "--", *zoo("echo")]
        started.append(
            subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=os.environ | {"MCP_BRIDGE_CACHE_DIR": str(tmp_path)})
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def client(tmp_path) -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(tmp_path / "socket")), base_url="http://localhost", headers=ACCEPT)


def answers(tmp_path) -> bool:
    try:
        with client(tmp_path) as http:
            return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_all_transports_are_behind_a_unix_socket_and_nothing_is_left_of_it(start, tmp_path):
    bridge = start()
    eventually(lambda: answers(tmp_path), 30)

    with client(tmp_path) as http:
        assert http.post("/mcp", json=HELLO).status_code == 200
        with http.stream("GET", "/sse") as events:
            assert "/messages" in next(line for line in events.iter_lines() if line.startswith("data:"))
        assert http.post("/mcp", json=HELLO, headers={"host": "evil.example"}).status_code == 403
    bridge.send_signal(signal.SIGTERM)
    assert bridge.wait(15) == 0
    assert not (tmp_path / "socket").exists()


def test_what_a_killed_bridge_left_is_replaced_and_one_that_answers_is_not(start, tmp_path):
    killed = start()
    eventually(lambda: answers(tmp_path), 30)
    killed.kill()
    killed.wait()
    assert (tmp_path / "socket").is_socket()

    start()
    eventually(lambda: answers(tmp_path), 30)
    second = start()

    assert second.wait(30) == 2 and "another bridge listens there" in second.stderr.read()
    assert answers(tmp_path)
