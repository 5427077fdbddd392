"""What an MCP was before its last update or rollback, kept in compose/state/previous/NAME: its versions, its locks, its approved tools.

Going back changes the versions in the stanza, not the stanza: what its operator has written there since stays. What is gone back
from is kept in its place, so a second rollback goes forth again.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from bridge.fleet.files import File, write
from bridge.fleet.load import STANZA
from bridge.fleet.project import Project, private
from bridge.fleet.stanza import Stanza
from bridge.fleet.update import Stays
from bridge.fleet.update.candidate import LOCKS
from bridge.fleet.update.newest import Pins
from bridge.fleet.update.pins import replaced
from bridge.fleet.update.pins import said as said_pins
from bridge.pins.lock import FILE as PINS

FOLDER, RECORD = "previous", "versions.json"
KEPT = (*LOCKS, PINS)


@dataclass(frozen=True)
class Change:
    """Another version of an MCP, ready to be written: `before` is the text of the stanza that it was made of, `pins` are those of now with
    the new ones, `gone` the files that it has not."""

    before: str
    stanza: Stanza
    pins: Pins
    files: list[File]
    gone: tuple[str, ...] = ()


def place(project: Project, name: str) -> Path:
    return project.state / FOLDER / name


def make(project: Project, change: Change) -> None:
    """Write it, with what was there before kept. Its caller sees to it that this is done whole or not at all. Raises Stays."""
    name = change.stanza.name
    here, there = project.images / name, place(project, name)
    if (here / STANZA).read_text(encoding="utf-8") != change.before:
        raise Stays("its stanza was changed meanwhile: try again")
    private(there)
    for file in KEPT:
        (there / file).unlink(missing_ok=True)
    now = [File(file, (here / file).read_text(encoding="utf-8")) for file in KEPT if (here / file).exists()]
    write(there, [*now, File(RECORD, json.dumps({"before": list(change.pins), "after": list(change.pins.values())}, indent=1) + "\n")])
    write(project.root, change.files)
    for file in change.gone:
        (here / file).unlink(missing_ok=True)


def back(project: Project, stanza: Stanza) -> Change:
    """The way back. Raises Stays."""
    there = place(project, stanza.name)
    try:
        said = json.loads((there / RECORD).read_text(encoding="utf-8"))
        pins = dict(zip(said["after"], said["before"], strict=True))
    except FileNotFoundError:
        raise Stays("nothing is kept of an earlier version: `mcp-bridge update` keeps the last one") from None
    except (ValueError, KeyError, TypeError):
        raise Stays(f"{there / RECORD} is damaged: the earlier version is not known any more") from None
    if absent := [pin for pin in pins if pin not in said_pins(stanza)]:
        raise Stays(f"its stanza does not say {', '.join(absent)} any more, which the last update wrote: it was changed since")
    before = (project.folder(stanza) / STANZA).read_text(encoding="utf-8")
    text, earlier = replaced(before, stanza.name, pins)
    here = f"images/{stanza.name}"
    kept = [File(f"{here}/{file}", (there / file).read_text(encoding="utf-8")) for file in KEPT if (there / file).exists()]
    gone = tuple(file for file in KEPT if not (there / file).exists())
    return Change(before, earlier, pins, [*kept, File(f"{here}/{STANZA}", text)], gone)
