"""`tools.lock.json`: the tools of one MCP as they were approved, each with digests of what models read of it.

What counts is a tool's name, and of its members those that a client hands on: its text (title, description), its schemas (of what goes
in and what comes out), its annotations. Not `_meta` and `icons`: no model sees them, and servers put versions and times there.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "tools.lock.json"
VERSION = 1
DESCRIPTION, SCHEMA, ANNOTATIONS = "description", "schema", "annotations"
PARTS = {
    "title": DESCRIPTION,
    "description": DESCRIPTION,
    "inputschema": SCHEMA,
    "outputschema": SCHEMA,
    "annotations": ANNOTATIONS,
    "execution": ANNOTATIONS,
}  # by member, in lower case: clients written in Go read `Description` as well
NAME = "name"
Tool = Mapping[str, Any]
Digests = dict[str, str]


class BadLock(Exception):
    """The file is no lock; the message says why, and what to do."""


def digests(tool: Tool) -> Digests:
    """What counts of a tool, as three digests. The order of members means nothing, that of a list does."""
    parts: dict[str, dict[str, Any]] = {DESCRIPTION: {}, SCHEMA: {}, ANNOTATIONS: {}}
    for member, value in tool.items():
        part = part_of(member)
        if part and value is not None:  # a null is what servers write who have nothing to say
            parts[part][member] = value
    return {part: _digest(value) for part, value in parts.items()}


def part_of(member: str) -> str:
    """Which of the three this member of a tool belongs to; empty where it does not count."""
    lower = member.lower()
    return PARTS.get(lower, DESCRIPTION if lower == NAME != member else "")


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Lock:
    """Digests by the tool's name, as the server says it; `tools` has the whole ones where the file does."""

    digests: dict[str, Digests]
    tools: dict[str, Tool]

    @classmethod
    def of(cls, tools: Iterable[Tool]) -> "Lock":
        """Of two tools with one name the last one: a client may call either."""
        known = {str(tool["name"]): tool for tool in tools if isinstance(tool.get("name"), str)}
        return cls({name: digests(tool) for name, tool in known.items()}, known)

    @classmethod
    def read(cls, path: Path) -> "Lock | None":
        """None where there is no such file. Raises BadLock."""
        try:
            return cls.parse(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadLock(f"{path}: {error.strerror or error}") from None

    @classmethod
    def parse(cls, content: bytes, where: str = FILE) -> "Lock":
        try:
            document = json.loads(content)
            if document["version"] != VERSION:
                raise BadLock(f"{where}: its version is {document['version']!r}, and this mcp-bridge knows {VERSION}")
            known = {name: {part: entry[part] for part in (DESCRIPTION, SCHEMA, ANNOTATIONS)} for name, entry in document["tools"].items()}
            tools = {name: entry["tool"] for name, entry in document["tools"].items() if isinstance(entry.get("tool"), dict)}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise BadLock(f"{where}: it is no list of approved tools: `mcp-bridge approve NAME` writes it anew") from None
        return cls(known, tools)

    def text(self) -> str:
        """As it stands in the file: sorted, so that what changes in it is what has changed."""
        tools = {name: {**self.digests[name], "tool": self.tools[name]} for name in sorted(self.tools)}
        return json.dumps({"version": VERSION, "tools": tools}, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
