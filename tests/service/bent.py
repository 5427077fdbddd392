"""Children that a test bends for itself, and what the bridge says of its children."""

import sys
from pathlib import Path

from support import CHILDREN, Bridge

HEAD = f"""import json, os, sys, time
sys.path.insert(0, {str(CHILDREN)!r})
from echo import child
from pathlib import Path
"""


def bent(file: Path, code: str, *arguments) -> list[str]:
    """The command of `echo` in a file of its own, with this code run before it listens."""
    file.write_text(f"{HEAD}\n{code}\nchild.run()\n")
    return [sys.executable, str(file), *map(str, arguments)]


def processes(bridge: Bridge, role: str = "", state: str = "", name: str = "") -> list[dict]:
    """What /status.json says of the children with this role and state."""
    mcps = bridge.status()["mcps"]
    [mcp] = [mcps[name]] if name else mcps.values()
    return [p for p in mcp["processes"] if role in ("", p["role"]) and state in ("", p["state"])]


def pids(bridge: Bridge, role: str = "", state: str = "", name: str = "") -> list[int]:
    return [process["pid"] for process in processes(bridge, role, state, name)]


def shown(bridge: Bridge, name: str = "") -> dict:
    """The only MCP's part of /status.json, or a named one's."""
    mcps = bridge.status()["mcps"]
    [mcp] = [mcps[name]] if name else mcps.values()
    return mcp


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()
