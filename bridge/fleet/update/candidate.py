"""A newer version, locked and tried beside the one that runs, in folders of its own.

It is started as `up` would, with the MCP's secrets, but with an empty folder where that has a volume, and reaches the internet only
where its stanza says `egress`: a new version that begins by rewriting what the old one keeps must not do that before anybody has agreed.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bridge.fleet import environment as environments
from bridge.fleet import lock
from bridge.fleet.adding.trial import attempt, needs
from bridge.fleet.adding.trial.calls import Call
from bridge.fleet.adding.trial.witness import Made
from bridge.fleet.files import File
from bridge.fleet.load import STANZA
from bridge.fleet.lock import MANIFEST, TREE
from bridge.fleet.parts import REFERENCE, Volume
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets.dockerfile import REQUIREMENTS
from bridge.fleet.update import Stays
from bridge.fleet.update.newest import Pins
from bridge.fleet.update.pins import replaced
from bridge.pins.lock import Lock

LOCKS = (REQUIREMENTS, MANIFEST, TREE)
SHORTENED = 600  # characters that a trial tells of an answer


@dataclass(frozen=True)
class Candidate:
    before: str  # the text of the stanza that it was made of
    stanza: Stanza
    files: list[File]  # the stanza and its locks, as they are to stand in the project
    tools: list[dict[str, Any]] = field(default_factory=list)
    proof: str = ""  # what its smoke call came to, for people
    is_tried: bool = True


@contextmanager
def beside(project: Project, stanza: Stanza) -> Iterator[Project]:
    """A project with this MCP alone, whose secrets are those of the real one."""
    with tempfile.TemporaryDirectory(prefix="mcp-bridge-update-") as folder:
        other = Project(Path(folder))
        there = other.folder(stanza)
        there.mkdir(parents=True)
        for path in project.folder(stanza).iterdir():
            if path.name not in (*LOCKS, STANZA):
                (there / path.name).symlink_to(path.resolve())
        for shared in ("bridge", lock.BRIDGE, lock.INSTALLER):  # what an image is made of beside
            if (project.root / shared).exists():
                (other.root / shared).symlink_to(project.root / shared)
        other.compose.mkdir()
        other.secrets.symlink_to(project.secrets)
        yield other


def locked(project: Project, other: Project, stanza: Stanza, pins: Pins, as_of: datetime | None) -> Candidate:
    """The stanza with these versions, and its locks. Raises Stays."""
    before = (project.folder(stanza) / STANZA).read_text(encoding="utf-8")
    text, newer = replaced(before, stanza.name, pins)
    try:
        lock.lock(other, newer, as_of=as_of)
    except lock.CannotLock as why:
        raise Stays(str(why).removeprefix(f"{stanza.name}: ")) from None
    paths = [other.folder(stanza) / name for name in LOCKS]
    locks = [File(f"images/{stanza.name}/{path.name}", path.read_text(encoding="utf-8")) for path in paths if path.exists()]
    return Candidate(before, newer, [*locks, File(f"images/{stanza.name}/{STANZA}", text)])


def tried(project: Project, other: Project, one: Candidate, where: str) -> Candidate:
    """Started once: its tools, and its smoke call where that needs no volume. Raises Stays."""
    stanza, smoke = _without_volumes(one.stanza), one.stanza.smoke
    if stanza.reaches and smoke and not smoke.build:
        smoke = None  # a trial reaches everything public or nothing, and not what a list of names says: so nothing
    calls = [asdict(Call(smoke.tool, smoke.arguments))] if smoke else []
    try:
        with attempt.bench(other, stanza, where) as table:
            seen = table.watch(stanza, _values(project, stanza), calls, is_open=stanza.egress is True)
    except attempt.NotTried as why:
        raise Stays(f"it cannot be tried: {why}") from None
    if not seen.report["started"]:
        raise Stays(f"it does not start: {needs.last_words(seen) or seen.report['why_not']}")
    if not seen.report["tools"]:
        raise Stays("it lists no tools")
    proof = _proof(one.stanza, seen.report["calls"])
    return replace(one, tools=seen.report["tools"], proof=proof)


def untried(one: Candidate, approved: Lock | None, why: Stays) -> Candidate:
    """Of one that may need what a trial has not to start (a service of the fleet, the names of its own list): it may have the tools that
    were approved, and no others. Raises Stays where none were."""
    needed = [*(f"the fleet's {name}" for name in one.stanza.needs), *one.stanza.reaches]
    if not needed or approved is None or len(approved.tools) != len(approved.digests):
        raise why
    proof = (
        f"it cannot be tried without {', '.join(needed)}: it is switched to, and goes back if its tools are not the approved ones ({why})"
    )
    return replace(one, tools=[dict(tool) for tool in approved.tools.values()], proof=proof, is_tried=False)


def _proof(stanza: Stanza, calls: list[Made]) -> str:
    """Raises Stays where its smoke call fails that needs nothing but the server."""
    if not calls or stanza.smoke is None:
        return f"it lists its tools; its stanza {'lets no trial reach what its smoke call asks' if stanza.smoke else 'names no smoke call'}"
    made, expected = calls[0], stanza.smoke.expect
    said = made["complaint"] or (
        "" if expected in made["answer"] or len(made["answer"]) >= SHORTENED else f"it answers without {expected!r}"
    )
    if not said:
        return f"its smoke call {made['tool']} works"
    if stanza.smoke.build and not (stanza.volumes or stanza.needs):
        raise Stays(f"its smoke call {made['tool']} fails: {' '.join(said.split())[:300]}")
    return f"it lists its tools; its smoke call {made['tool']} needs what a trial has not, and is made after the switch ({' '.join(said.split())[:120]})"


def _without_volumes(stanza: Stanza) -> Stanza:
    """Each place is there, and is empty: nothing of the machine's is."""
    volumes = [Volume(source=f"trial-{number}", target=volume.target) for number, volume in enumerate(stanza.volumes)]
    return stanza.model_copy(update={"volumes": volumes})


def _values(project: Project, stanza: Stanza) -> dict[str, str]:
    """What the operator gave this MCP, and of other MCPs' nothing."""
    known = environments.read(project).values
    wanted = {*map(stanza.stored, stanza.secrets), *(found[1] for text in stanza.with_references for found in REFERENCE.finditer(text))}
    return {name: known[name] for name in wanted if known.get(name)}
