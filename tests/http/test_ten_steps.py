"""docs/architecture.md says how one call goes through the bridge: a real one is watched, and compared."""

import os
import re
import signal
import subprocess
import sys

import httpx
from support import eventually
from support.running import ROOT, zoo

# A bridge that notes each function of its own from SIGUSR1 on.
WATCHED = """
import signal, sys
from bridge import cli
def note(frame, event, _):
    if event == "call" and "/bridge/" in frame.f_code.co_filename:
        print(frame.f_code.co_qualname, flush=True)
def watch(*_):
    sys.setprofile(note)
    print("WATCHED", flush=True)
signal.signal(signal.SIGUSR1, watch)
sys.exit(cli.main(["serve", "--port", "0", "--log-level", "info", "--", *sys.argv[1:]]))
"""
HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}
CLIENT = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}


def test_a_call_takes_the_ten_steps_of_the_architecture(tmp_path):
    page = (ROOT / "docs" / "architecture.md").read_text()
    steps = [re.findall(r"`(\w+(?:\.\w+)?)`", line.partition(":")[0]) for line in re.findall(r"^\d+\. (.*)", page, re.MULTILINE)]
    functions = [name for names in steps for name in names if re.fullmatch(r"[A-Z]\w+\.\w+|[a-z]+", name)]
    log, trace = tmp_path / "log", tmp_path / "trace"
    with log.open("w") as errors, trace.open("w") as output:
        bridge = subprocess.Popen([sys.executable, "-c", WATCHED, *zoo("echo")], cwd=ROOT, stdout=output, stderr=errors)
    try:
        url = eventually(lambda: re.search(r"url=(\S+)", log.read_text()))[1]
        with httpx.Client(base_url=url, headers=HEADERS) as client:
            opened = client.post("/mcp", json=request("initialize", CLIENT))
        os.kill(bridge.pid, signal.SIGUSR1)
        eventually(lambda: "WATCHED" in trace.read_text())
        with httpx.Client(base_url=url, headers={**HEADERS, "mcp-session-id": opened.headers["mcp-session-id"]}) as client:
            answer = client.post("/mcp", json=request("tools/call", {"name": "echo", "arguments": {"message": "hello"}}))
    finally:
        bridge.send_signal(signal.SIGTERM)
        bridge.wait(20)

    calls = trace.read_text().partition("WATCHED")[2].split()
    assert answer.json()["result"]["content"][0]["text"] == "hello"
    assert len(steps) == 10
    assert functions == in_order(functions, calls)


def request(method: str, params: dict) -> dict:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def in_order(wanted: list[str], calls: list[str]) -> list[str]:
    """Those that were called one after the other."""
    found, rest = [], iter(calls)
    for name in wanted:
        if name in rest:
            found.append(name)
    return found
