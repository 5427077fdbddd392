"""What the output of a program looks like that was taken for an MCP server and is none: one line for who has to mend it.

`is_plain` says that nothing is to be waited for: such a program does not begin to speak MCP by itself. Whether its process
works on all the same is for others to see.
"""

import re
from dataclasses import dataclass
from functools import cache

from bridge.printable import shortened
from bridge.redact import redacted

QUOTED = 200  # characters


@dataclass(frozen=True)
class OutputKind:
    text: str
    is_plain: bool = False


_KINDS = (
    (r"^content-length: *\d+", "messages with Content-Length headers, as the Language Server Protocol has them", False),
    (r"^HTTP/\d(\.\d)? \d{3}\b", "an HTTP server's answer: this server is to be reached by its URL, or has an option for stdio", True),
    (r"^\s*(<!doctype html|<html\b|<\?xml\b)", "a web page or XML: is this the right program?", True),
    (r"^(event|data): ", "an event stream of HTTP: this server has perhaps an option for stdio", True),
    (
        r"jsonrpc.{0,300}(not found|syntax error|unexpected|no such file)|(not found|syntax error|unexpected|no such file).{0,300}jsonrpc",
        "a shell that takes our messages for commands: is the server missing in the command?",
        True,
    ),
    (
        r"(^|: )((command )?not found$|.{0,200}: (command )?not found$)|executable file not found|is not recognized as an internal",
        "a shell that does not find a command: is it installed here, and on PATH?",
        True,
    ),
    (r"cannot find module|module ?not ?found ?error|no module named", "a program of which a part is not installed", True),
    (
        r"^(python \d+\.\d+|welcome to node\.js|type \"help\"|>>>( |$)|in \[\d+\]:|irb\(|iex\(|julia>|sqlite>|mysql>|\w+=[#>] ?$)|^> ?$|[$#] $",
        "an interpreter or a shell that waits for somebody to type: is the server's file missing in the command?",
        True,
    ),
    (r"ok to proceed\?|need to install the following packages", "npx, which asks before it installs: add -y", True),
    (r"^npm (err!|error|warn)|^npm notice", "npm's own messages", False),
    (
        r"(cannot|failed to) connect to the docker( daemon| api)|is the docker daemon running|docker\.sock",
        "a container engine's client without its engine",
        True,
    ),
    (r"unable to find image|pulling (from|fs layer)|^digest: sha256:", "an image that is being pulled", False),
    (r"^(resolved|downloading|downloaded|prepared|installed|collecting|fetching|building|compiling|added) ", "an installer at work", False),
    (
        r"(passphrase|password|passcode)( for [^:]{0,80})?: ?$|\(yes/no|\[y/n\]|press (any key|enter)|continue\? ?$",
        "a program that asks a question: nobody is there to answer it",
        True,
    ),
    (
        r"(open|visit|go to|navigate to)\b.{0,80}https?://|(enter|use) the code|log ?in (at|with|to)\b|authori[sz]e this",
        "a program that waits for somebody to log in: it needs a token instead, or a file that a login left",
        False,
    ),
    (r"^\s*usage:|^(options|commands|arguments):\s*$|^\s+-h, --help|show this help", "help text: is an argument missing or wrong?", True),
    (
        r"(listening|running|started|serving|server|available|ready)\b.{0,60}(https?://|\bport\b|localhost:|127\.0\.0\.1:|0\.0\.0\.0:|\[::\]:)|uvicorn running on",
        "an HTTP server: it has perhaps an option for stdio (--stdio, --transport stdio), or is to be reached by its URL",
        True,
    ),
    (r"^traceback \(most recent call last\)|^\s+at .+\(.+:\d+:\d+\)$|^panic: |^thread '.*' panicked", "a program that met an error", False),
    (r"permission denied|operation not permitted|read-only file system|EACCES|EROFS", "a program that may not do what it wants to", False),
    (r"address already in use|EADDRINUSE", "a server whose port is taken: an HTTP server, or a second one of its kind", False),
    (r"^\s*\{.*\"(level|severity|msg|message|time|timestamp)\"\s*:", "a log as JSON: a server's log belongs on its stderr", False),
)


def output_kind(text: str) -> OutputKind | None:
    """What this output looks like; None where nothing is known of it."""
    if not text.strip():
        return None
    if sum(not (char.isprintable() or char.isspace()) for char in text) * 4 > len(text):
        return OutputKind("binary data: compressed, encrypted or of another protocol")
    return next((kind for pattern, kind in _kinds() if pattern.search(text)), None)


@cache
def _kinds() -> tuple[tuple[re.Pattern[str], OutputKind], ...]:
    """Compiled when the first such program is met: that takes some 8 ms, which no start should wait for."""
    return tuple((re.compile(pattern, re.IGNORECASE | re.MULTILINE), OutputKind(text, is_plain)) for pattern, text, is_plain in _KINDS)


def quote(text: str, limit: int = QUOTED) -> str:
    """The text for a message of ours: on one line, bounded, nothing in it that a terminal obeys, and no secret that shows."""
    text = " ⏎ ".join(filter(None, (line.strip() for line in redacted(text[: 8 * limit]).splitlines())))
    text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[: 4 * limit])
    return f"“{shortened(text, limit)}”"  # signs that nothing takes for a string's: logs look for secrets once more
