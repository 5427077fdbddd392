"""Bytes in, data out, whatever the file is: JSON, JSON with comments, YAML, TOML. Errors name file, line and column.

Python's own parser reads plain JSON. Only what it refuses goes to pyjson5, and only YAML loads PyYAML, so that a start
pays for none of them. Of the parsers for JSON5 it is the one that joins surrogate pairs, survives any depth and reads 100 KB
in 2 ms (the pure Python `json5` takes 2.6 s, and leaves the halves of a pair).
"""

import codecs
import json
import re
from bisect import bisect
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bridge.clients.json_text import TOKEN, Keys, containers, key_of
from bridge.settings import UsageError

_BAD_ESCAPE = re.compile(r"""\\(?!["'\\/bfnrtv0\n\r]|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2})""")
_WRITE_TWICE = "in JSON a backslash is written twice: C:\\\\Users"
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # PowerShell writes the second


@dataclass(frozen=True)
class Document:
    path: str
    text: str
    data: Any

    def where(self, *keys: str | int) -> str:
        """`FILE:LINE` of the value at `keys`, or of the nearest place above it."""
        while keys and keys not in self._lines:
            keys = keys[:-1]
        return f"{self.path}:{self._lines.get(keys, 1)}"

    @cached_property
    def _lines(self) -> dict[Keys, int]:
        """Found only when somebody must be told: that takes longer than the parsing."""
        if is_json(self.text):
            return _lines_of_json(self.text)
        return _lines_of_toml(self.text) if self.path.endswith(".toml") else _lines_of_yaml(self.text)


def read(path: str) -> Document:
    """Raises UsageError."""
    try:
        raw = Path(path).expanduser().read_bytes()
        encoding = next((name for mark, name in _BOMS if raw.startswith(mark)), "utf-8")
        text = raw.decode(encoding).replace("\r\n", "\n")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    return parse(text, path)


def parse(text: str, path: str = "FILE") -> Document:
    """Raises UsageError."""
    try:
        return Document(path, text, json.loads(text))
    except RecursionError:
        raise UsageError(f"{path}: nested too deeply") from None
    except ValueError as plain:
        error = plain
    if path.endswith(".toml"):
        return Document(path, text, _toml(text, path))
    if text.lstrip().startswith("<"):
        raise UsageError(f"{path}: XML (JetBrains keeps its settings so): in its dialog choose JSON, and save what stands there to a file")
    return Document(path, text, _json5(text, path, error) if is_json(text) else _yaml(text, path))


def _json5(text: str, path: str, plain: ValueError) -> Any:
    import pyjson5  # start-up time: most documents are plain JSON

    try:
        data = pyjson5.decode(text)
    except pyjson5.Json5DecoderException as error:
        said = str(error.args[0]) if error.args else ""  # its other arguments are what it has read so far: never shown
        found = re.search(r"near (\d+)", said)
        at = min(int(found[1]) if found else 0, len(text))
        if "NestingTooDeep" in type(error).__name__:
            raise UsageError(f"{path}: nested too deeply") from None
        if said.startswith("Extra data") and (after := re.compile(r"\S").search(text, at)):
            at = after.start() + 1
        raise UsageError(f"{path}:{_place(text, max(at - 1, 0))}: {_said(said)}") from None
    for token in TOKEN.finditer(text):
        # JSON5 would read C:\Program as C:Program.
        if token["text"] and (wrong := _BAD_ESCAPE.search(re.sub(r"\\\\", "~~", token["text"]))):
            raise UsageError(f"{path}:{_place(text, token.start() + wrong.start())}: {_WRITE_TWICE}")
    return data


def _said(words: str) -> str:
    """pyjson5's words for people."""
    if "hexadecimal" in words:
        return _WRITE_TWICE
    words = re.sub(
        r"b'([^']*)'",
        lambda found: {"comma": "','", "colon": "':'", "JSON5Value": "a value", "IdentifierStart": "a name"}.get(found[1], found[1]),
        words,
    )
    words = re.sub(r"U\+([0-9A-Fa-f]{4,6})", lambda found: repr(chr(int(found[1], 16))), words)
    words = re.sub(r",? ?(starting )?near \d+", "", words)
    return f"not JSON: {words[:1].lower()}{words[1:]}"


def _yaml(text: str, path: str) -> Any:
    import yaml  # start-up time: most documents are JSON

    loader = yaml.SafeLoader(text.replace("\t", "  "))
    try:
        return loader.get_single_data()
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        hint = " (what begins with * needs quotes in YAML)" if "alias" in str(getattr(error, "context", "")) else ""
        raise UsageError(f"{path}{place}: {getattr(error, 'problem', None) or 'not YAML'}{hint}") from None
    finally:
        loader.dispose()


def _toml(text: str, path: str) -> Any:
    import tomllib  # start-up time: most documents are JSON

    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        raise UsageError(f"{path}{f':{found[1]}:{found[2]}' if found else ''}: not TOML: {str(error).partition(' (at')[0]}") from None


def is_json(text: str) -> bool:
    """Does it begin as JSON does? Comments may stand before."""
    return re.match(r"(?:\s|//[^\n]*|/\*.*?\*/)*[{\[]", text, re.DOTALL) is not None


def _place(text: str, at: int) -> str:
    return f"{text.count(chr(10), 0, at) + 1}:{at - text.rfind(chr(10), 0, at)}"


# ---- on which line a key stands ---------------------------------------------------------


def _lines_of_json(text: str) -> dict[Keys, int]:
    ends = [found.start() for found in re.finditer("\n", text)]
    lines: dict[Keys, int] = {}
    for path, container in containers(text):
        if path and isinstance(path[-1], int):  # an item of a list has no name to stand at
            lines[path] = bisect(ends, container.open) + 1
        lines |= {(*path, name): bisect(ends, member.start) + 1 for name, member in container.members.items()}
    return lines


def _lines_of_yaml(text: str) -> dict[Keys, int]:
    import yaml  # start-up time: most documents are JSON

    lines: dict[Keys, int] = {}

    def note(node: yaml.Node | None, path: Keys) -> None:
        if len(path) > 4:
            return
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                lines[(*path, key.value)] = key.start_mark.line + 1
                note(value, (*path, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                lines[(*path, number)] = value.start_mark.line + 1
                note(value, (*path, number))

    note(yaml.compose(text.replace("\t", "  "), yaml.SafeLoader), ())
    return lines


def _lines_of_toml(text: str) -> dict[Keys, int]:
    """Of tables and of plain keys in them."""
    lines: dict[Keys, int] = {}
    table: Keys = ()
    for number, line in enumerate(text.split("\n"), 1):
        if found := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line):
            table = tuple(key_of(part).strip("'") for part in re.findall(r"\"[^\"]*\"|'[^']*'|[^.\s]+", found[1]))
            lines[table] = number
        elif found := re.match(r"""\s*("[^"]*"|'[^']*'|[\w-]+)\s*=""", line):
            lines[(*table, key_of(found[1]))] = number
    return lines
