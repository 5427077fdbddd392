"""What is known of a child, kept in a small file, so that it can sleep over a restart of the bridge.

The file says of which command it speaks: arguments, environment, directory, and the size and time of every file that the
command names. A child whose package is not named by a file (`npx -y PACKAGE`) is read anew whenever it wakes. Each change
of those makes another file; the old ones go when nobody has used them for long.
"""

import hashlib
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from bridge.child.process import Command
from bridge.log import Log

UNUSED = 30 * 24 * 3600.0  # seconds after which a file is of no use to anybody
_OURS = re.compile(r"[A-Za-z0-9_.-]{0,80}-[0-9a-f]{12}\.(?:json|[0-9]+)")  # and the drafts of those; the folder may hold others' files


def identity(command: Command) -> str:
    """A digest of the command and of the files that it names; nothing of it can be read back."""
    program = shutil.which(command.argv[0], path=command.environment.get("PATH", os.defpath)) or command.argv[0]
    parts = [*command.argv, command.cwd or "", *(f"{name}={value}" for name, value in sorted(command.environment.items()))]
    for word in (program, *command.argv[1:]):
        if "\0" in word:
            continue  # no file has such a name, and no process will start with it
        path = os.path.realpath(os.path.join(command.cwd or ".", word))
        for file in (path, _manifest_of(path)):
            if file and os.path.isfile(file):
                stat = os.stat(file)
                parts += [file, str(stat.st_size), str(stat.st_mtime_ns)]
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()


class StateFile:
    """One MCP's file in a directory; unreadable or unwritable ones are as good as none."""

    def __init__(self, directory: str, name: str, command: Command, log: Log):
        self.identity = identity(command)
        self.log = log
        base = directory or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "mcp-bridge")
        self.path = Path(base, f"{re.sub(r'[^A-Za-z0-9_.-]', '_', name)[:80]}-{self.identity[:12]}.json")

    def read(self) -> bytes:
        try:
            content = self.path.read_bytes()
        except OSError:
            return b""
        with suppress(OSError):
            os.utime(self.path)  # still in use
        return content

    def clean(self, now: float) -> None:
        """Remove what no bridge has used for long, of any MCP. `now` is the time of day, as the files' times are."""
        with suppress(OSError), os.scandir(self.path.parent) as files:
            for file in files:
                with suppress(OSError):
                    if _OURS.fullmatch(file.name) and file.is_file(follow_symlinks=False) and now - file.stat().st_mtime > UNUSED:
                        os.unlink(file.path)

    def write(self, content: bytes) -> None:
        """Whole or not at all; nothing where it says so already. Only for us: clients are shown what stands there."""
        if content == self.read():
            return
        draft = self.path.with_suffix(f".{os.getpid()}")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.touch(mode=0o600)
            draft.write_bytes(content)
            draft.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            self.log.warning("what is known of the child cannot be kept over a restart (--cache-dir)", why=str(error))


def _manifest_of(path: str) -> str:
    """The package.json above a script of an npm package: its version changes when the package does."""
    folder = os.path.dirname(path)
    while "node_modules" in folder and os.path.basename(folder) != "node_modules":
        candidate = os.path.join(folder, "package.json")
        if os.path.isfile(candidate):
            return candidate
        folder = os.path.dirname(folder)
    return ""
