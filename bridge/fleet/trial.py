"""A server, started once on this machine, to see whether it starts and which tools it has."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bridge.fleet import environment as environments
from bridge.fleet.engines import served
from bridge.fleet.environment import Environment
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza

PATIENCE = 60


@dataclass(frozen=True)
class Trial:
    tools: list[dict] | None = None
    description: str = ""
    why_not: str = ""


def try_once(project: Project, stanza: Stanza, values: dict[str, str]) -> Trial:
    """Start it as the embedded engine would, with these values of secrets and variables. Raises nothing for what goes wrong."""
    if stanza.files and not (project.folder(stanza) / stanza.files).exists():
        return Trial(why_not="its files are not there yet")
    with tempfile.TemporaryDirectory() as folder:
        try:
            known = environments.read(project).values if project.env_file.exists() else {}
            entry = served.entry(project, stanza, Environment({**known, **values}), Path(folder))
        except served.LeftOut as why:
            return Trial(why_not=str(why))
        env = entry.get("env", {}) | {name: value for name, value in {**known, **values}.items() if name in entry.get("secrets", {})}
        # Values go through our environment, where `ps` does not show them.
        command = [sys.executable, "-m", "bridge", "inspect", "--json", "--timeout", str(PATIENCE), "--cwd", entry["cwd"],
                   *(word for name in env for word in ("--env", name)), "--", entry["command"], *entry.get("args", [])]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PATIENCE + 20, env={**os.environ, **env})
            said = json.loads(done.stdout or "{}")
        except OSError as error:
            return Trial(why_not=f"it cannot be started: {error.strerror}")
        except (subprocess.TimeoutExpired, ValueError):
            return Trial(why_not="it did not answer as an MCP server does: `mcp-bridge inspect` shows more")
    if done.returncode or not said.get("server"):
        secret = {name: value for name, value in {**known, **values}.items() if name in values or name in stanza.secrets}
        return Trial(why_not=_hidden(_why(said, done.stderr), secret))
    return Trial(said["tools"], (said["server"].get("title") or "") if isinstance(said["server"], dict) else "")


def _why(said: dict, stderr: str) -> str:
    """What `inspect` found, and the last that the server said itself."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    words = [line.removeprefix("stderr: ") for line in lines if line.startswith("stderr: ")]
    reasons = [way["reason"] for way in said.get("transports", ()) if way.get("reason")]
    why = (reasons or [lines[0].removeprefix("mcp-bridge inspect: ") if lines else "it did not start"])[0]
    return why + (f"; its last words: {words[-1]}" if words else "")


def _hidden(text: str, secrets: dict[str, str]) -> str:
    """Without the values, which a server may well print."""
    for name, value in secrets.items():
        for piece in (value, *value.splitlines()):
            text = text.replace(piece, f"${{{name}}}") if piece.strip() else text
    return text
