"""Stanzas from YAML files, with every mistake told by file, line and field."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from bridge.fleet.model import Fleet
from bridge.fleet.stanza import Stanza
from bridge.settings import UsageError

STANZA = "stanza.yaml"
FLEET = "fleet.yaml"


class StanzaError(UsageError):
    """One line for each mistake: `images/time/stanza.yaml:4: smoke.tool: Field required`."""


def load(folder: Path, **changes: Any) -> Fleet:
    """The fleet of `folder` (images/). `changes` are fields of the fleet that win over `fleet.yaml`. Raises StanzaError."""
    if not folder.is_dir():
        raise StanzaError(f"{folder}: no such folder: run this where 'images' is, or name the project with --project")
    stanzas, mistakes = [], []
    for path in sorted(folder.glob(f"*/{STANZA}")):
        try:
            stanzas.append(read_stanza(path))
        except StanzaError as error:
            mistakes.append(str(error))
    if mistakes:
        raise StanzaError("\n".join(mistakes))
    settings, lines = _read(folder / FLEET) if (folder / FLEET).exists() else ({}, {})
    for name, value in changes.items():
        settings[name] = {**settings.get(name, {}), **value} if isinstance(value, dict) else value
    base = folder.parent / "litellm" / "base.yaml"
    if base.exists():
        settings["litellm"] = {"base": _read(base)[0], **settings.get("litellm", {})}
    try:
        return Fleet.model_validate({"stanzas": stanzas, **settings})
    except ValidationError as error:
        raise StanzaError(told(folder / FLEET, error, lines)) from None


def read_stanza(path: Path) -> Stanza:
    """One stanza; its name is its folder's. Raises StanzaError."""
    document, lines = _read(path)
    if "name" in document and document["name"] != path.parent.name:
        raise StanzaError(f"{path}:{lines.get(('name',), 1)}: name: an MCP is called as its folder, {path.parent.name!r}: leave 'name' out")
    try:
        return Stanza.model_validate({**document, "name": path.parent.name})
    except ValidationError as error:
        raise StanzaError(told(path, error, lines)) from None


def told(path: Path, error: ValidationError, lines: dict[tuple, int]) -> str:
    """One line for each mistake, with the line of the field or of the nearest thing around it."""
    said = []
    for mistake in error.errors():
        place = tuple(str(step) for step in mistake["loc"])
        around = next((place[:end] for end in range(len(place), 0, -1) if place[:end] in lines), ())
        message = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            message = f"unknown field; there are {', '.join(_fields_at(place[:-1]))}"
        field = f"{'.'.join(place)}: " if place else ""
        said.append(f"{path}:{lines.get(around, 1)}: {field}{message}")
    return "\n".join(dict.fromkeys(said))


def _fields_at(place: tuple[str, ...]) -> list[str]:
    """The fields that a stanza may have at `place`."""
    model: Any = Stanza
    for step in place:
        field = getattr(model, "model_fields", {}).get(step)
        if field is None:
            return ["none of that name"]
        inner = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((one for one in inner if hasattr(one, "model_fields")), None)
    return [item.alias or name for name, item in model.model_fields.items() if name != "name"] if model else ["none of that name"]


def _read(path: Path) -> tuple[dict, dict[tuple, int]]:
    """The document, and the line of each key and list item by its path."""
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        try:
            node = loader.get_single_node()
            lines: dict[tuple, int] = {}
            _note(node, (), lines, path)
            document = loader.construct_document(node) if node else {}
        finally:
            loader.dispose()
    except OSError as error:
        raise StanzaError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StanzaError(f"{path}: not UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise StanzaError(f"{path}:{mark.line + 1 if mark else 1}: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(document, dict):
        raise StanzaError(f"{path}:1: expected fields, 'name: value' on each line")
    return document, lines


def _note(node, place: tuple[str, ...], lines: dict[tuple, int], path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*place, str(key.value))
            if here in lines:
                raise StanzaError(f"{path}:{key.start_mark.line + 1}: {'.'.join(here)}: already said in line {lines[here]}")
            lines[here] = key.start_mark.line + 1
            _note(value, here, lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            lines[(*place, str(number))] = value.start_mark.line + 1
            _note(value, (*place, str(number)), lines, path)
