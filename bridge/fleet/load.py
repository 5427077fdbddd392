"""Stanzas from YAML files, with every mistake told by file, line and field."""

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from bridge.fleet import callers, digests, litellm_base
from bridge.fleet.bounds import why_not_mounted
from bridge.fleet.model import Fleet, secret_of_two_kinds, secrets_of_two_cases
from bridge.fleet.parts import ARCHITECTURES, Part
from bridge.fleet.project import write_private
from bridge.fleet.stanza import Stanza
from bridge.settings import UsageError

STANZA = "stanza.yaml"
FLEET = "fleet.yaml"

AnyFleet = TypeVar("AnyFleet", bound=Fleet)
Lines = dict[tuple[str, ...], int]  # the line of each key and list item, by its path


class StanzaError(UsageError):
    """One line for each mistake: `images/time/stanza.yaml:4: smoke.tool: Field required`."""


def load(folder: Path, kind: type[AnyFleet], last_good: Path | None = None, **changes: Any) -> AnyFleet:
    """The fleet of `folder` (images/), as a `kind` of fleet. `changes` are fields of the fleet that win over `fleet.yaml`. Raises StanzaError.

    With `last_good`, where `keep` put them, a stanza with a mistake is no reason to go without the others: it counts as it was before, or not
    at all, and `unreadable` says what is wrong with it.
    """
    if not folder.is_dir():
        raise StanzaError(f"{folder}: no such folder: run this where 'images' is, or name the project with --project")
    settings, lines = _read(folder / FLEET) if (folder / FLEET).exists() else ({}, {})
    groups = settings.get("groups")
    stanzas: list[Stanza] = []
    mistakes: dict[str, str] = {}
    for path in sorted(folder.glob(f"*/{STANZA}"), key=lambda path: (not _has_run(path, last_good), path)):
        try:
            if isinstance(groups, dict) and path.parent.name in groups and not _has_run(path, last_good):
                raise StanzaError(f"{path}:1: name: {FLEET} has a group {path.parent.name!r}: give one another name")
            stanzas.append(_checked(path, read_stanza(path), stanzas))
        except StanzaError as error:
            mistakes[path.parent.name] = str(error)
    if last_good is not None:
        for name in mistakes:
            with suppress(StanzaError):
                stanzas.append(_checked(folder / name / STANZA, read_stanza(last_good / name / STANZA), stanzas))
    if mistakes and (last_good is None or not stanzas):
        raise StanzaError("\n".join(mistakes.values()))
    for field in ("stanzas", "unreadable"):
        if field in settings:
            raise StanzaError(
                f"{folder / FLEET}:{lines.get((field,), 1)}: {field}: each stands in {folder.name}/NAME/{STANZA}: take this out"
            )
    if "digests" in settings:
        raise StanzaError(
            f"{folder / FLEET}:{lines.get(('digests',), 1)}: digests: they stand in {folder.name}/{digests.LOCK}: take this out"
        )
    settings["digests"] = digests.read(folder)
    if not isinstance(settings.setdefault("litellm", {}), dict):
        raise StanzaError(f"{folder / FLEET}:{lines.get(('litellm',), 1)}: litellm: must be a mapping: litellm: {{version: 1.80.0}}")
    if said := settings.get("callers"):
        callers.check(said, str(folder / FLEET), (folder / FLEET).read_text(encoding="utf-8"))
        settings["callers"] = callers.with_hashes(said, folder)
    for name, value in changes.items():
        settings[name] = {**settings.get(name, {}), **value} if isinstance(value, dict) else value
    base = folder.parent / "litellm" / "base.yaml"
    if base.exists():
        settings["litellm"] = {"base": _read_base(base), **settings["litellm"]}
    try:
        return kind.model_validate({"stanzas": stanzas, "unreadable": mistakes, **settings})
    except ValidationError as error:
        raise StanzaError("\n".join([*mistakes.values(), explain(folder / FLEET, error, lines, Fleet)])) from None


def keep(fleet: Fleet, running: Iterable[str], folder: Path, last_good: Path) -> None:
    """Keep the stanzas of `folder` that these run by, as they are now; those of MCPs that are gone are forgotten."""
    for name in set(running) - fleet.unreadable.keys():
        with suppress(FileNotFoundError):  # it was removed meanwhile
            write_private(last_good / name / STANZA, (folder / name / STANZA).read_text(encoding="utf-8"))
    for gone in set(last_good.glob("*")) - {last_good / name for name in (*(stanza.name for stanza in fleet.stanzas), *fleet.unreadable)}:
        shutil.rmtree(gone)


def _has_run(path: Path, last_good: Path | None) -> bool:
    """Of two that cannot be together it is the newcomer that has to change."""
    return last_good is not None and (last_good / path.parent.name).exists()


def _checked(path: Path, stanza: Stanza, others: list[Stanza]) -> Stanza:
    """The stanza, if it fits what is beside it, and the other stanzas. Raises StanzaError."""
    _refuse_missing(path, stanza)
    _refuse_links(path, stanza)
    for other in others:
        there = path.parent.parent / other.name / STANZA
        if stanza.litellm.enabled and other.litellm.enabled and stanza.litellm_name == other.litellm_name:
            raise StanzaError(
                f"{path}:1: litellm.alias: {there} has the name {stanza.litellm_name!r} in LiteLLM too: give one another alias"
            )
        if name := secret_of_two_kinds([stanza, other]):
            raise StanzaError(
                f"{path}:1: secrets: {name!r} is per: caller here or in {there}, and not in both: give one another name with 'from'"
            )
        if names := secrets_of_two_cases([stanza, other]):
            raise StanzaError(
                f"{path}:1: secrets: {names[0]!r} and {names[1]!r}, here and in {there}, differ in their case only: give one another name with 'from'"
            )
    return stanza


def _read_base(path: Path) -> dict[str, Any]:
    """The operator's own settings for LiteLLM, as far as we look into them."""
    document, lines = _read(path)
    for name, kind, expected in (
        ("model_list", list, "a list"),
        ("general_settings", dict, "a mapping"),
        ("mcp_servers", dict, "a mapping"),
    ):
        if document.get(name) is not None and not isinstance(document[name], kind):
            raise StanzaError(f"{path}:{lines.get((name,), 1)}: {name}: must be {expected}")
    for place, why in litellm_base.refused(document):
        raise StanzaError(f"{path}:{lines.get(place, 1)}: {'.'.join(place)}: {why}")
    return document


def read_stanza(path: Path) -> Stanza:
    """One stanza; its name is its folder's. Raises StanzaError."""
    document, lines = _read(path)
    if "name" in document and document["name"] != path.parent.name:
        raise StanzaError(f"{path}:{lines.get(('name',), 1)}: name: an MCP is called as its folder, {path.parent.name!r}: leave 'name' out")
    try:
        return Stanza.model_validate({**document, "name": path.parent.name})
    except ValidationError as error:
        raise StanzaError(explain(path, error, lines)) from None


def _refuse_missing(path: Path, stanza: Stanza) -> None:
    """What a stanza says to stand beside it must be there: an image of all MCPs is built at once."""
    binary = stanza.binary.file if stanza.binary else ""
    names = [binary.replace("{arch}", arch) for arch in ARCHITECTURES]
    for place, name, there in (
        (("files",), stanza.files, (path.parent / stanza.files).is_dir()),
        (("binary", "file"), binary, any((path.parent / one).is_file() for one in names)),
    ):
        if name and not there:
            kind = "folder" if place == ("files",) else "file"
            raise StanzaError(f"{path}:{_read(path)[1].get(place, 1)}: {'.'.join(place)}: there is no {kind} {name!r} in {path.parent}")


def _refuse_links(path: Path, stanza: Stanza) -> None:
    """A link may lead to what a stanza may not name."""
    root = path.absolute().parent.parent.parent
    for number, volume in enumerate(stanza.volumes):
        if volume.path and (why := why_not_mounted(str((root / "compose" / volume.path).resolve()), str(root.resolve()))):
            raise StanzaError(f"{path}:{_read(path)[1].get(('volumes', str(number)), 1)}: volumes.{number}: {volume.path}: {why}")


def explain(path: Path, error: ValidationError, lines: Lines, model: type[Part] = Stanza) -> str:
    """One line for each mistake, with the line of the field or of the nearest thing around it."""
    said = []
    for mistake in error.errors():
        place = tuple(str(step) for step in mistake["loc"])
        around = next((place[:end] for end in range(len(place), 0, -1) if place[:end] in lines), ())
        message = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            message = f"unknown field; there are {', '.join(_fields_at(place[:-1], model))}"
        elif place[:1] == ("env",) and len(place) > 2:  # one mistake for each type that it could have had
            place, message = place[:2], f"must be a string, a number or a boolean, not {_shown(mistake['input'])}; quote it"
        elif mistake["type"] == "string_type":
            message = f"must be a string, not {_shown(mistake['input'])}; quote it{_UNITS.get(place, '')}"
        elif mistake["type"] in ("model_type", "model_attributes_type"):
            message = f"must be a mapping, not {_shown(mistake['input'])}; its fields are {', '.join(_fields_at(place, model))}"
        elif place == ("limits", "memory"):
            message = f"{_shown(mistake['input'])}: write a number with a unit: 256m, 1g"
        field = f"{'.'.join(place)}: " if place else ""
        said.append(f"{path}:{lines.get(around, 1)}: {field}{message}")
    return "\n".join(dict.fromkeys(said))


_FROM_FOLDERS: dict[type[Part], tuple[str, ...]] = {Stanza: ("name",), Fleet: ("stanzas", "unreadable", "digests")}  # what no file says
_UNITS: dict[tuple[str, ...], str] = {("limits", "memory"): ", with a unit (256m, 1g)", ("limits", "shm"): ", with a unit (256m, 1g)"}


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value) if isinstance(value, str) else str(value)[:60]


def _fields_at(place: tuple[str, ...], model: type[Part] = Stanza) -> list[str]:
    """The fields that `model` may have at `place`."""
    for step in place:
        field = getattr(model, "model_fields", {}).get(step)
        if field is None:
            return ["none of that name"]
        inner = [field.annotation, *getattr(field.annotation, "__args__", ())]
        part = next((one for one in inner if hasattr(one, "model_fields")), None)
        if part is None:
            return ["none of that name"]
        model = part
    return [item.alias or name for name, item in model.model_fields.items() if name not in _FROM_FOLDERS.get(model, ())]


def _read(path: Path) -> tuple[dict[str, Any], Lines]:
    """The document, and the line of each key and list item by its path."""
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        try:
            node = loader.get_single_node()
            lines: Lines = {}
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
    except ValueError as error:  # of a date that is none
        raise StanzaError(f"{path}:1: {error}: a string that looks like a date or a number must be quoted") from None
    if not isinstance(document, dict):
        raise StanzaError(f"{path}:1: must be a mapping: 'name: value' on each line")
    return document, lines


def _note(node: yaml.Node | None, place: tuple[str, ...], lines: Lines, path: Path, around: tuple[yaml.Node, ...] = ()) -> None:
    if node is None:
        return
    if any(node is one for one in around):
        raise StanzaError(f"{path}:{node.start_mark.line + 1}: {'.'.join(place)}: contains itself")
    around = (*around, node)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*place, str(key.value))
            if here in lines:
                raise StanzaError(
                    f"{path}:{key.start_mark.line + 1}: {'.'.join(here)}: duplicate field; the first is in line {lines[here]}"
                )
            lines[here] = key.start_mark.line + 1
            _note(value, here, lines, path, around)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            lines[(*place, str(number))] = value.start_mark.line + 1
            _note(value, (*place, str(number)), lines, path, around)
