"""Changing `callers:` of images/fleet.yaml as an operator would: with what else stands there, comments too, as it was.

YAML is written by hand in many ways, and we know one. So each change is made in the text, at the lines that the parser names, and what
comes out is read again: where that is not what was meant, nothing is written, and the operator is told what to write.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bridge.fleet.files import dump
from bridge.settings import UsageError

SECTION = "callers"


class FleetFile:
    def __init__(self, path: Path):
        """Raises UsageError."""
        self.path = path
        self.text = path.read_text(encoding="utf-8") if path.exists() else ""
        self.data: dict[str, Any] = self._parsed(self.text)

    @property
    def callers(self) -> dict[str, Any]:
        return dict(self.data.get(SECTION) or {})

    def with_caller(self, name: str, entry: Mapping[str, Any]) -> str:
        """The text with this caller, in the place of one of the same name. Raises UsageError."""
        wanted = self.data | {SECTION: self.callers | {name: dict(entry)}}
        lines = self._without(name)
        indent = self._indent
        block = [f"{indent}{line}" for line in dump({name: dict(entry)}).splitlines()]
        at = self._place(name)
        if at is None:
            lines = [*lines, *([""] if lines and lines[-1].strip() else []), f"{SECTION}:", *block]
        else:
            lines[at:at] = block
        return self._checked(lines, wanted)

    def without_caller(self, name: str) -> str:
        """Raises UsageError."""
        callers = {other: entry for other, entry in self.callers.items() if other != name}
        lines = self._without(name)
        if not callers and self._section:  # an empty section means nothing
            del lines[self._section[0]]
        wanted = {key: value for key, value in self.data.items() if key != SECTION} | ({SECTION: callers} if callers else {})
        return self._checked(lines, wanted)

    # -- where things stand -------------------------------------------------------------------------------------------------

    def _entries(self) -> dict[str, tuple[int, int, int]]:
        """Of each caller its first line, the one behind its last, and how far it is indented."""
        found = {}
        section = self._mapping(yaml.compose(self.text), SECTION)
        if isinstance(section, yaml.MappingNode) and not section.flow_style:
            for key, value in section.value:
                end = value.end_mark.line + (1 if value.end_mark.column else 0)
                found[str(key.value)] = (key.start_mark.line, self._trimmed(key.start_mark.line, end), key.start_mark.column)
        return found

    @property
    def _section(self) -> tuple[int, int] | None:
        """The line of `callers:`, and the one behind its last."""
        root = yaml.compose(self.text) if self.text.strip() else None
        for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
            if key.value == SECTION:
                end = value.end_mark.line + (1 if value.end_mark.column else 0)
                return key.start_mark.line, self._trimmed(key.start_mark.line, end)
        return None

    @property
    def _indent(self) -> str:
        return " " * next((column for *_, column in self._entries().values()), 2) if self._section else "  "

    def _place(self, name: str) -> int | None:
        """Where the lines of this caller go: where they were, else behind the last one."""
        entries = self._entries() if self._section else {}
        if name in entries:
            return entries[name][0]
        return self._section[1] if self._section else None

    def _without(self, name: str) -> list[str]:
        lines = self.text.splitlines()
        if self._section and name in (entries := self._entries()):
            start, end, _ = entries[name]
            del lines[start:end]
        return lines

    def _trimmed(self, start: int, end: int) -> int:
        """Without the blank lines and comments behind it, which are about what follows."""
        lines = self.text.splitlines()
        while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
            end -= 1
        return end

    @staticmethod
    def _mapping(node: yaml.Node | None, name: str) -> yaml.Node | None:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        return next((value for key, value in pairs if key.value == name), None)

    # -- what comes out -----------------------------------------------------------------------------------------------------

    def _parsed(self, text: str) -> dict[str, Any]:
        try:
            found = yaml.safe_load(text) or {}
        except (yaml.YAMLError, ValueError) as error:
            raise UsageError(f"{self.path}: {getattr(error, 'problem', None) or error}") from None
        if not isinstance(found, dict) or not isinstance(found.get(SECTION) or {}, dict):
            raise UsageError(f"{self.path}: must be a mapping, and '{SECTION}' in it a mapping of callers by name")
        return found

    def _checked(self, lines: list[str], wanted: Mapping[str, Any]) -> str:
        text = "\n".join(lines).rstrip("\n") + "\n" if lines else ""
        try:
            is_right = self._parsed(text) == wanted
        except UsageError:
            is_right = False
        if not is_right:
            said = dump({SECTION: wanted.get(SECTION) or {}})
            raise UsageError(f"{self.path} is written in a way that this cannot change: write the callers there yourself:\n{said}")
        return text
