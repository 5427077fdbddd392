"""A file that names several MCPs: the `mcpServers` JSON that desktop clients use, or the same as YAML.

    mcpServers:
      time: {command: uvx, args: [mcp-server-time]}
      notes:
        command: npx
        args: [-y, "@modelcontextprotocol/server-memory"]
        env: {MEMORY_FILE_PATH: /data/notes.jsonl}
        max_in_flight: 1                   # any per-MCP option of `serve`, with _ or -

Read with pydantic and PyYAML; a mistake is told with file, line and field.
"""

import os
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bridge.child.environment import BadEnvironment, compose
from bridge.child.process import Command
from bridge.settings import Settings, UsageError, check_tools

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
RESERVED = ("healthz", "readyz", "metrics", "status.json", "mcp", "sse", "messages", "ws")
KEYS = ("mcpServers", "servers")  # the second is what VS Code calls it
_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_PER_MCP = {item.name: item for item in fields(Settings) if item.metadata["per_mcp"]}


class Entry(BaseModel):
    """One MCP. Options of `serve` that are per MCP may stand beside these; others are refused."""

    model_config = ConfigDict(extra="allow")

    command: str | None = None
    args: list[str | int | float] = Field(default_factory=list)
    env: dict[str, str | int | float | bool] = Field(default_factory=dict)
    envFile: str = ""
    secrets: dict[str, str] = Field(default_factory=dict)
    cwd: str = ""
    url: str | None = None
    type: str | None = None
    disabled: bool = False


def read(settings: Settings) -> dict[str, tuple[Command, Settings]]:
    """The MCPs of `settings.config`, by name, each with its command and its settings. Raises UsageError."""
    path = settings.config
    try:
        text = Path(path).read_text()
        document, lines = _load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path}: {_first_line(error)}") from None
    key = next((key for key in KEYS if isinstance(document, dict) and key in document), None)
    if key is None:
        raise UsageError(f"{path}: no 'mcpServers' in it")
    entries = document[key]
    if not isinstance(entries, dict) or not entries:
        raise UsageError(f"{path}: '{key}' must name at least one server")
    planned = {}
    for name, raw in entries.items():
        where = f"{path}:{lines.get((key, name), 1)}: {name}"
        if entry := _entry(raw, where, lambda field, name=name: lines.get((key, name, field))):
            planned[_checked_name(str(name), where)] = _plan(entry, settings, where, Path(path).parent)
    if not planned:
        raise UsageError(f"{path}: every server in it is disabled or remote")
    return planned


def _entry(raw: Any, where: str, line_of) -> Entry | None:
    """The entry; None for one that is not ours to run."""
    try:
        entry = Entry.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{_at(where, line_of, first['loc'][:1])}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    for name in entry.model_extra or {}:
        if name.replace("-", "_") not in _PER_MCP and name not in _FOREIGN:
            known = ", ".join(sorted(_PER_MCP))
            raise UsageError(f"{_at(where, line_of, (name,))}: unknown field {name!r}; besides command, args, env, envFile, secrets and cwd: {known}")
    if entry.disabled:
        return None
    if entry.command is None:
        if entry.url:
            return None  # a remote server: there is nothing to wrap
        raise UsageError(f"{where}: 'command' is missing")
    return entry


# Fields of desktop clients that mean nothing here, and are not mistakes.
_FOREIGN = ("autoApprove", "alwaysAllow", "disabledTools", "timeout", "description", "headers", "transport", "trust", "gallery", "version")


def _plan(entry: Entry, settings: Settings, where: str, folder: Path) -> tuple[Command, Settings]:
    changes = {}
    for name, value in (entry.model_extra or {}).items():
        if (item := _PER_MCP.get(name.replace("-", "_"))) is not None:
            changes[item.name] = _option(item, value, where)
    own = replace(settings, cwd=_expanded(entry.cwd, where) or settings.cwd, **changes)
    if changes:
        _check(own, where)
    named = (*settings.env, *(f"{name}={_expanded(_text(value), where)}" for name, value in entry.env.items()))
    file = _expanded(entry.envFile, where)
    secrets = (*settings.secret, *(f"{name}={folder / _expanded(path, where)}" for name, path in entry.secrets.items()))
    try:
        environment = compose(named, str(folder / file) if file else settings.env_file, secrets=secrets)
    except (BadEnvironment, OSError) as error:
        raise UsageError(f"{where}: {error}") from None
    argv = tuple(_expanded(_text(word), where) for word in (entry.command, *entry.args))
    return Command(argv, environment, own.cwd or None), own


def _option(item, value: Any, where: str) -> Any:
    meta = item.metadata
    if meta["repeat"]:
        return _repeated(item, value, where)
    try:
        parsed = meta["type"](_text(value))
    except ValueError as error:
        raise UsageError(f"{where}: {item.name}: {error}") from None
    if meta["choices"] and parsed not in meta["choices"]:
        raise UsageError(f"{where}: {item.name}: {value!r} is none of {', '.join(meta['choices'])}")
    return parsed


def _repeated(item, value: Any, where: str) -> tuple[str, ...]:
    """A list of texts, or where the option is `A=B` a mapping."""
    if isinstance(value, dict) and "=" in item.metadata["metavar"]:
        value = [f"{left}={right}" for left, right in value.items()]
    if not isinstance(value, list) or not all(isinstance(word, str | int | float) for word in value):
        raise UsageError(f"{where}: {item.name}: expected a list" + (" or a mapping" if "=" in item.metadata["metavar"] else ""))
    return tuple(map(_text, value))


def _check(settings: Settings, where: str) -> None:
    try:
        check_tools(settings)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _expanded(text: str, where: str) -> str:
    """`${NAME}`, `${env:NAME}` and `${NAME:-default}` from the bridge's own environment."""
    def value(found: re.Match) -> str:
        if found[1] in os.environ:
            return os.environ[found[1]]
        if found[2] is None:
            raise UsageError(f"{where}: ${{{found[1]}}} is not set in the environment")
        return found[2]
    return _VARIABLE.sub(value, text)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _checked_name(name: str, where: str) -> str:
    if not NAME.fullmatch(name) or name in RESERVED:
        raise UsageError(f"{where}: a name stands in a path: letters, digits, '.', '_' and '-' only, and none of {', '.join(RESERVED)}")
    return name


def _at(where: str, line_of, loc: tuple) -> str:
    """`where`, with the line of the field if the file has it."""
    line = line_of(loc[0]) if loc else None
    return where if line is None else re.sub(r":\d+: ", f":{line}: ", where, count=1)


def _load(text: str) -> tuple[Any, dict[tuple, int]]:
    """The document, and the line of each key by its path of keys. JSON is YAML, but for tabs."""
    loader = yaml.SafeLoader(text.replace("\t", "  "))
    try:
        node = loader.get_single_node()
        lines: dict[tuple, int] = {}
        _note_lines(node, (), lines)
        return (loader.construct_document(node) if node else None), lines
    finally:
        loader.dispose()


def _note_lines(node, path: tuple, lines: dict[tuple, int]) -> None:
    if isinstance(node, yaml.MappingNode) and len(path) < 3:
        for key, value in node.value:
            lines[(*path, key.value)] = key.start_mark.line + 1
            _note_lines(value, (*path, key.value), lines)


def _first_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"line {mark.line + 1}: {error.problem}"
    return str(error).splitlines()[0]


