"""What a process that has not answered yet is doing: fetching its package, working, or waiting. Linux only; elsewhere nothing
is known.

A launcher (`npx`, `uvx`, `docker run` …) downloads first, and then starts the server with the pipes that it got from us. So
something runs as soon as a process that has both our pipes is neither a launcher nor the shell that it works through; install
scripts and builds have pipes of the launcher's own. Nothing here knows a package by its name.
"""

import array
import fcntl
import os
import re
import termios
from dataclasses import dataclass

_LAUNCHER = re.compile(
    r"(?:^|[ /])(?P<name>npx|npm|pnpm|pnpx|yarn|bunx|bun|uvx|uv|pipx|cargo|go|dotnet|dnx)(?:-cli)?(?:\.[cm]?js)?(?:$| )(?P<rest>.{0,200})",
    re.DOTALL,
)
_VERBS = {  # of launchers that also do other things
    "npm": ("exec", "x", "init", "install", "i", "ci", "create"),
    "pnpm": ("dlx", "install", "add"),
    "yarn": ("dlx", "install", "add"),
    "bun": ("x", "add", "install"),
    "uv": ("run", "tool", "x"),
    "pipx": ("run",),
    "cargo": ("run", "install"),
    "go": ("run",),
    "dotnet": ("run", "tool", "dnx"),
}
_SHELLS = ("sh", "bash", "dash", "ash", "zsh", "busybox", "env", "tini", "dumb-init", "time", "nice", "stdbuf", "timeout", "script")
LOOKED_AT = 64  # processes


@dataclass(frozen=True)
class Observation:
    """`fetching` is the launcher that has not started anything yet; `idle` the seconds in which nothing used the processor;
    `is_unread` whether there is something in the child's stdin that it has not read."""

    fetching: str = ""
    idle: float = 0.0
    is_unread: bool = False


class Watch:
    """Looks at one process and what it started. `stdin` and `stdout` are our ends of its pipes; `container_file` is written
    by `docker run` once it has the image."""

    def __init__(self, pid: int, stdin: int, stdout: int, container_file: str = ""):
        self._pid = pid
        self._pipes = tuple(f"pipe:[{os.fstat(fd).st_ino}]" for fd in (stdin, stdout))
        self._container_file = container_file
        self._ticks = -1
        self._since = 0.0

    def look(self, now: float, stdin: int) -> Observation:
        processes = _tree(self._pid)
        ticks = sum(map(_ticks, processes))
        if ticks != self._ticks:
            self._ticks, self._since = ticks, now
        return Observation(self._fetching(processes), now - self._since, _unread(stdin) > 0)

    def _fetching(self, processes: list[int]) -> str:
        if self._container_file:
            return "" if _has_content(self._container_file) else "the container engine"
        launcher = ""
        for pid in processes:
            words = _command(pid)
            if name := launcher_of(words):
                launcher = launcher or name
            elif words and os.path.basename(words[0]).lstrip("-") not in _SHELLS and self._has_our_pipes(pid):
                return ""
        return launcher

    def _has_our_pipes(self, pid: int) -> bool:
        try:
            return all(os.readlink(f"/proc/{pid}/fd/{fd}") == pipe for fd, pipe in enumerate(self._pipes))
        except OSError:
            return False


def launcher_of(words: list[str]) -> str:
    """The launcher that this command is, if it may download first: `npx`, also as `node /usr/bin/npx` or `npm exec`."""
    found = _LAUNCHER.search(" ".join(words[:4]))
    if found is None:
        return ""
    name, rest = found["name"], found["rest"].split()
    if name not in _VERBS:
        return name
    verb = next((word for word in rest if not word.startswith("-")), "")
    return f"{name} {verb}" if verb in _VERBS[name] else ""


def _tree(pid: int) -> list[int]:
    """The process and what it started, nearest first."""
    found = [pid]
    for one in found:
        try:
            for thread in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{thread}/children", "rb") as file:
                    found += map(int, file.read().split())
        except OSError:
            continue
        if len(found) >= LOOKED_AT:
            break
    return found[:LOOKED_AT]


def _ticks(pid: int) -> int:
    """What it used of the processor."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):
        return 0


def _command(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # npm writes a title with spaces over it
            return file.read(4096).decode(errors="replace").rstrip("\0").replace("\0", " ").split(" ")
    except OSError:
        return []


def _unread(stdin: int) -> int:
    """Bytes that the child's stdin holds."""
    count = array.array("i", [0])
    try:
        fcntl.ioctl(stdin, termios.FIONREAD, count)
    except OSError:
        return 0
    return count[0]


def _has_content(path: str) -> bool:
    try:
        return os.path.getsize(path) > 0
    except OSError:
        return False
