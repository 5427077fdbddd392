"""Changing `callers:` and LiteLLM's version in images/fleet.yaml as an operator would: with what else stands there, comments too, as it was.

YAML is written by hand in many ways, and we know one. So each change is made in the text, at the lines that the parser names (clients/edit.py
finds them), and what comes out is read again: where that is not what was meant, nothing is written, and the operator is told what to write.
"""

from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

import yaml

from bridge.clients.edit import Yaml
from bridge.fleet.files import dump
from bridge.settings import UsageError

SECTION, LITELLM, VERSION = "callers", "litellm", "version"


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
        block, text = dump({name: dict(entry)}), self.text
        if self._section is None:
            before = text.rstrip("\n") + "\n" * 2 if text.strip() else ""
            return self._checked(f"{before}{SECTION}:\n{indent(block, '  ')}", wanted)
        start, end = self._lines.get(name, (self._section[1],) * 2)
        newline = "" if text[:start].endswith("\n") else "\n"
        return self._checked(f"{text[:start]}{newline}{indent(block, self._indent)}{text[end:]}", wanted)

    def without_caller(self, name: str) -> str:
        """Raises UsageError."""
        callers = {other: entry for other, entry in self.callers.items() if other != name}
        wanted = {key: value for key, value in self.data.items() if key != SECTION} | ({SECTION: callers} if callers else {})
        start, end = (self._lines.get(name) if callers else self._section) or (0, 0)  # an empty section means nothing
        return self._checked(self.text[:start] + self.text[end:], wanted)

    def with_litellm(self, version: str) -> str:
        """The text with this version of LiteLLM. Raises UsageError."""
        said = dict(self.data.get(LITELLM) or {})
        text, wanted = self.text, self.data | {LITELLM: said | {VERSION: version}}
        if LITELLM not in self.data:
            return self._checked(f"{text.rstrip(chr(10))}\n{LITELLM}: {{{VERSION}: {version}}}\n".lstrip("\n"), wanted)
        if VERSION in said:
            text = Yaml(text).removed((LITELLM,), VERSION)
        return self._checked(Yaml(text).added((LITELLM,), VERSION, version), wanted)

    # -- where things stand: where the lines of each begin, and where those of what follows it do ----------------------------

    @property
    def _section(self) -> tuple[int, int] | None:
        return Yaml(self.text).lines(()).get(SECTION)

    @property
    def _lines(self) -> dict[str, tuple[int, int]]:
        return Yaml(self.text).lines((SECTION,)) if self._section else {}

    @property
    def _indent(self) -> str:
        """That of the callers that are there."""
        first = next((self.text[start:] for start, _ in self._lines.values()), "  -")
        return first[: len(first) - len(first.lstrip(" "))]

    # -- what comes out -----------------------------------------------------------------------------------------------------

    def _parsed(self, text: str) -> dict[str, Any]:
        try:
            found = yaml.safe_load(text) or {}
        except (yaml.YAMLError, ValueError) as error:
            raise UsageError(f"{self.path}: {getattr(error, 'problem', None) or error}") from None
        if not isinstance(found, dict) or not isinstance(found.get(SECTION) or {}, dict):
            raise UsageError(f"{self.path}: must be a mapping, and '{SECTION}' in it a mapping of callers by name")
        return found

    def _checked(self, text: str, wanted: Mapping[str, Any]) -> str:
        text = text.rstrip("\n") + "\n" if text else ""
        try:
            is_right = self._parsed(text) == wanted
        except UsageError:
            is_right = False
        if not is_right:
            said = dump({key: value for key, value in wanted.items() if value != self.data.get(key)} or {SECTION: {}})
            what = "the callers" if SECTION in said else "this"
            raise UsageError(f"{self.path} is written in a way that this cannot change: write {what} there yourself:\n{said}")
        return text
