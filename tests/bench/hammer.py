"""wrk as a function: so many connections for so long, and out come the right answers per second and the median.

The Lua scripts check every answer; what was wrong is counted, never hidden in the rate.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import install
import load
from servers import Server


@dataclass(frozen=True)
class Rate:
    right: int
    wrong: int
    seconds: float
    median: float  # seconds a request took

    @property
    def per_second(self) -> float:
        return self.right / self.seconds


def calls(server: Server, connections: int, seconds: float) -> Rate:
    """tools/call in one session."""
    session = "" if server.kind.constant else load.run(load.session(server.port))[0]
    headers = {"MCP-Protocol-Version": load.VERSION} | ({"Mcp-Session-Id": session} if session else {})
    return _wrk("call.lua", server, connections, 1, seconds, headers)


def modern_calls(server: Server, connections: int, seconds: float) -> Rate:
    """tools/call of clients without a session."""
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "echo"}
    return _wrk("call.lua", server, connections, 1, seconds, headers, BENCH_MODERN="1")


def litellm(server: Server, connections: int, seconds: float) -> Rate:
    """initialize, initialized, tools/call, DELETE; one thread a connection, as the script asks."""
    return _wrk("litellm.lua", server, connections, connections, seconds, {})


def _wrk(script: str, server: Server, connections: int, threads: int, seconds: float, headers: dict[str, str], **more: str) -> Rate:
    headers |= {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    command = [*install.wrk(), f"-t{threads}", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "20s"]
    command += ["-s", str(Path(__file__).with_name(script))]
    command += [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    environment = os.environ | {"BENCH_CONSTANT": str(int(server.kind.constant))} | more
    done = subprocess.run(
        [*command, f"{server.url}/mcp"], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds + 60
    )
    figures = [line for line in done.stdout.splitlines() if line.startswith('{"right"')]
    if not figures:
        raise RuntimeError(f"wrk: {done.stdout[-500:]} {done.stderr[-500:]}")
    return Rate(**json.loads(figures[-1]))
