"""How tools differ from the approved ones, for machines and for people. Pure."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bridge.pins.lock import Digests, Lock, Tool, digests, part_of

NEW, GONE = "new", "gone"
SHORT = 120  # characters of a line of a difference


@dataclass(frozen=True)
class Change:
    """One tool. `what` is `new`, `gone`, or the parts that differ: description, schema, annotations."""

    tool: str
    what: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.tool} ({', '.join(self.what)})"


def difference(approved: Digests | None, now: Digests) -> tuple[str, ...]:
    """What differs of one tool; nothing where nothing does."""
    if approved is None:
        return (NEW,)
    return tuple(part for part, digest in now.items() if approved.get(part) != digest)


def changes(lock: Lock, tools: Iterable[Tool]) -> list[Change]:
    """What differs between the lock and all tools that there are now: new ones first, then changed, then gone ones."""
    now = [(str(tool.get("name")), digests(tool)) for tool in tools]
    found = {name: what for name, digest in now if (what := difference(lock.digests.get(name), digest))}
    gone = [Change(name, (GONE,)) for name in lock.digests if name not in dict(now)]
    return sorted((Change(name, what) for name, what in found.items()), key=lambda one: (one.what != (NEW,), one.tool)) + gone


def shown(lock: Lock, tools: Iterable[Tool]) -> list[str]:
    """The same as lines for people: `+ tool` with its text, `- tool`, and of a changed one the lines that differ."""
    now = {str(tool.get("name")): tool for tool in tools}
    lines: list[str] = []
    for change in changes(lock, now.values()):
        if change.what == (GONE,):
            lines.append(f"- {change.tool}: gone")
            continue
        is_new = change.what == (NEW,)
        lines.append(f"{'+' if is_new else '~'} {change.tool}: {', '.join(change.what)}")
        before = None if is_new else lock.tools.get(change.tool)
        lines += [f"    {line}" for line in _text(before, now[change.tool], change.what)]
    return lines


def _text(before: Tool | None, after: Tool, what: tuple[str, ...]) -> Iterator[str]:
    old, new = (list(_lines(tool, what)) if tool is not None else [] for tool in (before, after))
    if before is None and what != (NEW,):
        yield "(the lock has no text of it to compare with)"
    for line in difflib.ndiff(old, new):
        if line[:2] in ("+ ", "- "):
            yield line


def _lines(tool: Tool, what: tuple[str, ...]) -> Iterator[str]:
    """What counts of a tool, a line for each part of it: of a new one its text and the names of its arguments."""
    for member, value in tool.items():
        part = part_of(member)
        if not part or value is None or not (part in what or (what == (NEW,) and isinstance(value, str))):
            continue
        if isinstance(value, str):
            yield from (f"{member}: {piece}" for line in value.splitlines() or [""] for piece in _pieces(line))
        else:
            yield from (piece for line in _leaves(value) for piece in _pieces(f"{member}{line}"))


def _pieces(line: str) -> Iterator[str]:
    """A long line in sentences, and those in what fits on a screen: all of it is shown, because what is cut off is what somebody would
    hide, and a word more in the first sentence changes none of the others."""
    sentences = re.split(r"(?<=[.!?;])\s+", line.strip()) if len(line) > SHORT else [line]
    for number, sentence in enumerate(sentences):
        for start in range(0, len(sentence) or 1, SHORT):
            yield "  " * bool(number or start) + sentence[start : start + SHORT]


def _leaves(value: object, path: str = "") -> Iterator[str]:
    """Each value in it with the way there, in the order of the alphabet."""
    if isinstance(value, dict) and value:
        for name in sorted(value):
            yield from _leaves(value[name], f"{path}.{name}")
    elif isinstance(value, list) and value and any(isinstance(item, dict | list) for item in value):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}[{number}]")
    else:
        yield f"{path}: {json.dumps(value, ensure_ascii=False)}"
