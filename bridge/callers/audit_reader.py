"""`mcp-bridge audit`: read what was written down, of one file or of all files of a fleet's bridges, the oldest first."""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from glob import glob
from heapq import heappush, heappushpop, merge
from pathlib import Path
from typing import Any

from bridge.printable import printable
from bridge.settings import UsageError

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
NOWHERE = "no file: name one (mcp-bridge audit FILE…), which is what --audit of `serve` says"
Line = dict[str, Any]
AHEAD = 1000  # lines that are looked at before the oldest of them is told


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="what --audit names; those before it (FILE.1) are read too, '-' is standard input (default: what the fleet of this folder wrote down)",
    )
    parser.add_argument(
        "--project", default="", metavar="DIR", help="the folder with images/, without FILE (default: this one, or the nearest above)"
    )
    for name in ("mcp", "caller", "tool", "outcome"):
        parser.add_argument(f"--{name}", metavar="NAME", help=f"only this {name}; '*' stands for anything")
    parser.add_argument("--since", metavar="WHEN", help="only from then on: 2h, 3d, 2026-11-26 or 2026-11-26T08:00:00Z")
    parser.add_argument("--json", action="store_true", help="the lines as they are")


def run(arguments: argparse.Namespace) -> int:
    """Raises UsageError."""
    if not arguments.files:
        raise UsageError(NOWHERE)
    since = _when(arguments.since) if arguments.since else ""
    wanted = {name: pattern for name in ("mcp", "caller", "tool", "outcome") if (pattern := getattr(arguments, name))}
    try:
        for line in merge(*map(_in_order, arguments.files), key=_time):
            if str(line.get("time", "")) >= since and all(fnmatchcase(str(line.get(name, "")), wanted[name]) for name in wanted):
                print(json.dumps(line, ensure_ascii=False) if arguments.json else _shown(line))
    except BrokenPipeError:  # `| head`
        sys.stderr.close()
    return 0


def _time(line: Line) -> str:
    return str(line.get("time", ""))


def _in_order(path: str) -> Iterator[Line]:
    """A line says when its call began, and is written when that ends: calls that were made meanwhile stand before it."""
    if path == "-":  # somebody may be waiting for each
        yield from _lines(path)
        return
    ahead: list[tuple[str, int, Line]] = []
    began = ""
    for number, line in enumerate(_lines(path)):
        began = _time(line) or began  # what is no call stays behind the one before it
        if len(ahead) < AHEAD:
            heappush(ahead, (began, number, line))
        else:
            yield heappushpop(ahead, (began, number, line))[2]
    yield from (line for _, _, line in sorted(ahead, key=lambda one: one[:2]))


def _lines(path: str) -> Iterator[Line]:
    """The objects in a file and in those before it. What a crash left of a line is none."""
    for text in _texts(path):
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line


def _texts(path: str) -> Iterable[str]:
    if path == "-":
        yield from sys.stdin
        return
    before = sorted((int(found[1]), name) for name in glob(f"{glob_escaped(path)}.*") if (found := re.search(r"\.(\d+)$", name)))
    try:
        for name in (*(name for _, name in reversed(before)), path):
            with Path(name).open(encoding="utf-8", errors="replace") as file:
                yield from file
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def glob_escaped(path: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", path)


def _when(text: str) -> str:
    """As times stand in the file. Raises UsageError."""
    now = datetime.now(UTC)
    if found := re.fullmatch(r"(\d+)([smhd])", text):
        return _written(now - timedelta(**{UNITS[found[2]]: int(found[1])}))
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since {text}: expected 2h, 3d, 2026-11-26 or 2026-11-26T08:00:00Z") from None
    return _written(given if given.tzinfo else given.replace(tzinfo=UTC))


def _written(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"


def _shown(line: Line) -> str:
    """One line for people; a client chose many of these words."""
    what = " ".join(str(line[name]) for name in ("tool", "prompt", "resource") if name in line)
    who = str(line.get("caller") or line.get("address") or "-")
    if "user" in line:
        who += f" for {line['user']}"
    how = f"{line.get('outcome', '')}" + (f" ({line['rule']})" if "rule" in line else "")
    how = ": ".join(str(word) for word in (how, line.get("why")) if word)
    took = f"{line['count']} more" if "count" in line else f"{line.get('ms', 0):g} ms"
    words = (line.get("time", "-"), who, line.get("mcp", ""), line.get("method", ""), what, how, took)
    return " ".join(printable("  ".join(str(word) for word in words if word)).splitlines())
