"""One attempt to run a new MCP: in a container where there is Docker; on this machine only for who allowed that."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from bridge.child.environment import compose
from bridge.fleet import environment as environments
from bridge.fleet.adding.trial import container, stand_ins
from bridge.fleet.adding.trial.calls import planned
from bridge.fleet.adding.trial.container import Seen
from bridge.fleet.adding.trial.findings import OWN_HOME
from bridge.fleet.adding.trial.usage import schemes
from bridge.fleet.adding.trial.witness import CALL, SLOWEST, START, WHOLE, Report, Wish
from bridge.fleet.engines import contained, reason, served
from bridge.fleet.engines.programs import Failed
from bridge.fleet.environment import Environment
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets.sidecar import variables

FILES = "/tmp/secrets"  # where secrets are that are files
T = TypeVar("T")
CONTAINED, HERE, NOWHERE = "in a container without network", "on this machine, as you", ""


class NotTried(Exception):
    """It cannot be tried; the reason, in one line. `printed`: all that a builder said."""

    def __init__(self, why: str, printed: str = ""):
        super().__init__(why)
        self.printed = printed


def place(project: Project, here: bool) -> str:
    """Where it can be tried. `here`: the operator allows what no container holds."""
    if contained.is_there() and container.context(project):
        return CONTAINED
    return HERE if here else NOWHERE


@contextmanager
def bench(project: Project, stanza: Stanza, where: str, asked: frozenset[str] = frozenset()) -> Iterator["Bench"]:
    """What it is tried on, made once for all that is tried of it. Raises NotTried."""
    folder = project.folder(stanza)
    for wanted in (stanza.files, stanza.binary.file.replace("{arch}", "amd64") if stanza.binary else ""):
        if wanted and not (folder / wanted).exists():
            raise NotTried(f"its files are not there yet: {(folder / wanted).relative_to(project.root)}")
    if where == HERE:
        yield Bench(project, "", asked)
        return
    try:
        with container.built(project, stanza) as image:
            yield Bench(project, image, asked)
    except Failed as error:
        raise NotTried(f"its image cannot be built: {reason.why(error.printed) or error.reason}", error.printed) from None


@dataclass(frozen=True)
class Bench:
    project: Project
    image: str  # empty: on this machine
    asked: frozenset[str] = (
        frozenset()
    )  # the names of compose/.env that the operator gave it; what it asks for itself gets no value of others
    schemes: dict[str, str] = field(default_factory=dict)  # what the addresses begin with that it was seen to want
    shapes: dict[str, str] = field(default_factory=dict)  # of its variables: values of the shape that it said they must have
    watched: dict[str, Seen] = field(default_factory=dict)  # what was tried already

    def known(self) -> dict[str, str]:
        """What compose/ says of what the operator gave it."""
        values = environments.read(self.project).values if self.project.env_file.exists() else {}
        return {name: value for name, value in values.items() if name in self.asked}

    def look(self, stanza: Stanza) -> Seen | None:
        """What its files say, without a start of it."""
        try:
            return container.watch(self.image, stanza, {}, []) if self.image else None
        except Failed:
            return None

    def watch(self, stanza: Stanza, values: Mapping[str, str], calls: list[dict[str, Any]] | None = None, is_open: bool = False) -> Seen:
        """What is seen of it, or was seen of the same before. Raises NotTried."""
        known = self.known()
        wanted = [*map(stanza.stored, stanza.secrets), *stanza.required_variables]
        given = {name: value for name, value in {**known, **values}.items() if name in wanted or f"${{{name}:-" in str(stanza.model_dump())}
        if not self.image:
            return _on_this_machine(self.project, stanza, {**known, **values}, calls)
        in_command = {
            name: self.schemes[""] for name in wanted if f"${{{name}}}" in stanza.command and name.endswith("_URL") and self.schemes.get("")
        }
        filled = Environment({name: stand_ins.value(name, self.schemes | in_command) for name in wanted} | self.shapes | given)
        environment = {name: filled.expanded(value) for name, value in variables(stanza).items()} | {
            name: filled.values[stanza.stored(name)]
            for name in stanza.secrets
            if not stanza.secrets[name].optional or stanza.stored(name) in given
        }
        files = {
            name: f"{FILES}/{name.lower()}" for name, secret in stanza.secrets.items() if secret.kind == "file" and name in environment
        }
        contents = {path: environment[name] if stanza.stored(name) in given else stand_ins.file(name) for name, path in files.items()}
        command = [filled.expanded(word) for word in stanza.command]
        same = f"{environment | files} {command} {contents} {stanza.volumes} {stanza.cwd} {stanza.limits} {calls} {is_open}"
        try:
            if same not in self.watched:
                self.watched[same] = container.watch(self.image, stanza, environment | files, command, calls, is_open, contents)
        except Failed as error:
            raise NotTried(f"its container ended: {hidden(error.reason, given)}") from None
        seen = self.watched[same]
        shapes = stand_ins.shapes(seen.report["words"], [name for name in wanted if name not in given])
        new = (schemes(seen).keys() - self.schemes.keys()) | (
            shapes.keys() - self.shapes.keys()
        )  # the same again may be about the last one
        self.schemes.update(schemes(seen))
        self.shapes.update(shapes)
        if new and not seen.report["started"]:  # it was given what it does not take
            return self.watch(stanza, values, calls, is_open)
        return Seen(without_values(seen.report, given), seen.reached)


def hidden(text: str, values: Mapping[str, str]) -> str:
    """Without the values, which a server may well print."""
    for name, value in values.items():
        for piece in (value, *value.splitlines(), json.dumps(value)[1:-1]):
            text = text.replace(piece, f"${{{name}}}") if len(piece.strip()) > 3 else text
    return text


def without_values(seen: T, values: Mapping[str, str], home: str = "") -> T:
    """The same, with texts that have no values in them, and `home` as it is in a container. (A value may well be `true` or 8080.)"""

    def of(part: Any) -> Any:
        if isinstance(part, str):
            text = hidden(part, values)
            return text.replace(home, OWN_HOME) if home else text
        if isinstance(part, dict):
            return {key: of(value) for key, value in part.items()}
        return [of(one) for one in part] if isinstance(part, list | tuple) else part

    return cast(T, of(seen))


def _on_this_machine(project: Project, stanza: Stanza, values: dict[str, str], smoke: list[dict[str, Any]] | None = None) -> Seen:
    """As the embedded engine would start it. Nothing is called but its smoke call, where that is known; else what says that it only reads,
    and needs no guess."""
    if lacking := stanza.missing(values):
        raise NotTried(f"needs {', '.join(lacking)}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            entry = served.entry(project, stanza, Environment(values), Path(folder))
        except served.LeftOut as why:
            raise NotTried(str(why)) from None
        secrets = {name: values[name] for name in entry.get("secrets", {}) if name in values}
        wish: Wish = {
            "command": [entry["command"], *entry.get("args", [])],
            "environment": entry.get("env", {}) | secrets,
            "cwd": entry["cwd"],
            "places": [folder],
            "calls": [],
        }
        if smoke is not None:
            known = served.as_here(project, stanza, Environment(values), Path(folder)).smoke
            wish["calls"] = [{**call, "arguments": known.arguments} for call in smoke] if known else []
            return Seen(without_values(_witness(wish), secrets, f"{folder}/home/{stanza.name}"), [])
        listed = _witness(wish)
        calls = [asdict(call) for call in planned(listed["tools"]) if call.reads and call.said][:3]
        report = _witness({**wish, "calls": calls}) if calls else listed
        return Seen(without_values(report, secrets, f"{folder}/home/{stanza.name}"), [])


def of_files(package: str, root: Path) -> Seen:
    """What the files of a package say, without a start of it and on this machine: `root` is laid out as an image has it. Raises NotTried."""
    return Seen(_witness({"command": [], "environment": {}, "cwd": "/", "places": [], "calls": [], "package": package, "root": str(root)}))


def _witness(wish: Wish) -> Report:
    """Its environment is not ours: what a child inherits, and what the stanza says."""
    patience = SLOWEST * (START + CALL) + WHOLE
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bridge.fleet.adding.trial.witness"],
            input=json.dumps(wish),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience,
            env=compose(),
            cwd=wish["cwd"],
        )
        report: Report = json.loads(done.stdout[done.stdout.index('{"began"') :])
        return report
    except subprocess.TimeoutExpired:
        raise NotTried(f"it did not end within {patience:g} s") from None
    except (OSError, ValueError) as error:
        raise NotTried(f"it cannot be started: {error}") from None
