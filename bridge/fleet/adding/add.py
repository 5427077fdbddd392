"""A new MCP, from a package, an executable, an image, a URL or a desktop client's configuration.

It finds out what it can (the newest version, the real executable, which tools there are), writes the stanza and locks
it. A stanza that is there is never written over; what was not understood is said.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bridge.clients import document as documents
from bridge.clients import formats
from bridge.fleet import lock, origins
from bridge.fleet.adding import desktop, secret_values
from bridge.fleet.adding.draft import Draft, stanza_name
from bridge.fleet.adding.elsewhere import Entry, taken_out
from bridge.fleet.adding.mends import with_places
from bridge.fleet.adding.prove import Proof, proved
from bridge.fleet.adding.registry import document, mcpb
from bridge.fleet.adding.sources import SOURCES, Asked, source_of
from bridge.fleet.adding.trial import attempt
from bridge.fleet.adding.wrapped import NotUnderstood
from bridge.fleet.alone import alone
from bridge.fleet.engines import EngineError, contained
from bridge.fleet.engines.programs import Failed
from bridge.fleet.files import File, write
from bridge.fleet.load import STANZA
from bridge.fleet.parts import VARIABLE, is_url, listed
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza
from bridge.fleet.transaction import whole_or_not_at_all
from bridge.pins.lock import FILE as PINS
from bridge.pins.lock import Lock
from bridge.settings import UsageError

OLDER_PYTHONS = ("3.12", "3.11")
# Of a dependency, in the words of uv, where only wheels are looked at.
NO_SUCH_WHEEL = re.compile(
    r"(?:there is no version of |because )([A-Za-z0-9._-]+)==((\d+)[\w.]*)(?= and | has no (?:usable )?wheels)", re.IGNORECASE
)


@dataclass(frozen=True)
class Added:
    """What became of one MCP. `secrets` are values that were found and stand nowhere yet."""

    name: str
    path: Path | None = None  # of the stanza that was written
    secrets: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    files: tuple[str, ...] = ()  # of `secrets` and `missing`: those that are files, in compose/secrets/
    notes: list[str] = field(default_factory=list)
    tools: int | None = None


@dataclass(frozen=True)
class Adding:
    """How MCPs come into a project: with `trial` each is tried, with `here` on this machine where no Docker could contain it, and
    with `keep` the values of its secrets are written, too."""

    project: Project
    trial: bool = True
    here: bool = False
    keep: bool = False

    def one(self, kind: str, asked: Asked, env: Mapping[str, str] = {}) -> Added:
        """One MCP from one source: `kind` is one of SOURCES. The words of `asked` replace what would be run, or are added to it if
        they begin with an option. Raises UsageError if nothing can come of it."""
        draft = SOURCES[kind].draft(asked)
        for variable in env:
            if not VARIABLE.fullmatch(variable):
                raise UsageError(f"--env {variable!r}: not the name of a variable")
        try:
            understood = taken_out(draft, env)
        except NotUnderstood as why:
            raise UsageError(str(why)) from None
        return self._entry(understood)

    def as_started(self, name: str, words: list[str], env: dict[str, str]) -> Added:
        """One MCP from the line by which a client starts it: `npx -y PACKAGE`, `uvx PACKAGE`, `docker run …`. Raises UsageError."""
        said = {"mcpServers": {name or "it": {"command": words[0], "args": words[1:], "env": env}}}
        [entry] = desktop.entries(documents.parse(json.dumps(said)))
        if entry.skipped:
            raise UsageError(f"{shlex.join(words)}: {entry.notes[0].partition(': ')[2] or entry.notes[0]}")
        if not name:
            [source] = entry.draft.source.values() or [""]
            return self.as_started(name_of(listed(source)[0].partition(":")[0], self.project), words, env)
        return self._entry(entry)

    def published(self, described: dict[str, Any] | mcpb.Bundle, name: str = "") -> Added:
        """One MCP as its publisher describes it. Raises UsageError."""
        if isinstance(described, mcpb.Bundle):
            return self._entry(mcpb.entry(described, name), described)
        entry = document.entry(described, name)
        if "mcpb" not in entry.draft.source:
            return self._entry(entry)
        self._free(entry.draft.name)  # before it is fetched
        with mcpb.fetched(**entry.draft.source["mcpb"]) as path:
            bundle = mcpb.read(path)
            found = mcpb.entry(bundle, entry.draft.name)
            return self._entry(replace(found, notes=(*entry.notes, *found.notes)), bundle)

    def all_of(self, file: Path, strict: bool = False) -> list[Added]:
        """All entries of a desktop client's file. One that cannot be added says why; the others are added. The values of each are
        kept as soon as its stanza stands; with `strict` nothing is added if one cannot be read. Raises UsageError."""
        read = documents.read(str(file))
        entries = desktop.entries(read)
        if strict and (wrong := [entry for entry in entries if entry.skipped and not entry.off]):
            raise UsageError(f"{wrong[0].draft.name}: {wrong[0].notes[0]}" + (f" (and {len(wrong) - 1} more)" if wrong[1:] else ""))
        for line in formats.ignored_fields(formats.entries(read)):
            lock.tell(line)
        known = secret_values.there(self.project)
        given: dict[str, str] = {}
        return [self._one_of_many(entry, known, given) for entry in entries]

    def _one_of_many(self, entry: Entry, known: dict[str, str], given: dict[str, str]) -> Added:
        """`given` are the names that entries before it took, and then those of this one too."""
        if entry.skipped:
            return Added(entry.draft.name, notes=list(entry.notes))
        try:
            self._free(entry.draft.name)
            entry = secret_values.with_own_names(entry, known, given, secret_values.FLEETS_OWN)
            added = self._finish(entry)
        except UsageError as error:
            return Added(entry.draft.name, notes=[*entry.notes, str(error)])
        given |= {
            name: entry.values.get(name, "") for name in secret_values.names(entry.draft) if name in entry.values or name not in known
        }
        return added

    def _entry(self, entry: Entry, bundle: mcpb.Bundle | None = None) -> Added:
        self._free(entry.draft.name)
        return self._finish(secret_values.with_own_names(entry, secret_values.there(self.project), {}), bundle)

    def _free(self, name: str) -> None:
        """Raises UsageError if no new MCP can be called so."""
        if stanza_name(name) != name:
            raise UsageError(f"{name!r} cannot be the name of an MCP: call it {stanza_name(name)}")
        path = self.project.images / name / STANZA
        if path.exists():
            raise UsageError(f"{path.relative_to(self.project.root)} is there already: change that, or choose another name")

    # -- from a draft to a stanza with its lock --

    def _finish(self, entry: Entry, bundle: mcpb.Bundle | None = None) -> Added:
        """Pin it, lock it, try it, write it, with the files of a bundle. Leaves nothing behind if it fails."""
        project, draft, notes = self.project, entry.draft, list(entry.notes)
        folder = project.images / draft.name
        try:
            # Another one that fails would take away what this one wrote.
            with alone(project, "add", draft.name), whole_or_not_at_all(folder):
                self._free(draft.name)
                lock.tell(f"looking for {draft.name}")
                draft = source_of(draft).pinned(draft, notes)
                _checked(draft)
                folder.mkdir(parents=True, exist_ok=True)
                if bundle and draft.files:
                    mcpb.unpack(bundle, folder / draft.files, draft.command[0].removeprefix(f"{mcpb.INSIDE}/"))
                draft = with_places(_locked(project, draft))
                known = {name: value for name, value in entry.values.items() if name not in map(draft.stored_as, draft.as_files)}
                proof = self._tried(draft, known)  # a file of keys is handed to no package that nobody has looked at
                understood = self._with_own_names(draft, proof.draft)
                draft = understood.draft
                stanza = _checked(draft)
                files = [File(f"images/{draft.name}/{STANZA}", draft.text)]
                if draft.tools and not secret_values.names(draft):  # what it lists without its keys may not be all
                    files.append(File(f"images/{draft.name}/{PINS}", Lock.of(draft.tools).text()))
                write(project.root, files)
                if self.keep:
                    with whole_or_not_at_all(project.env_file, project.secrets):
                        secret_values.keep(project, entry.values)
        except lock.NoWheel as why:
            if "pypi" not in entry.draft.source:
                raise
            where = "in a container" if contained.is_there() else "on this machine, as you"
            raise UsageError(f"{why.reason}, only its source: {_with_build(entry.draft)} builds it, which runs its code {where}") from None
        except lock.CannotLock as why:
            raise UsageError("; ".join([str(why), *(one for one in notes if origins.DEPRECATED in one)])) from None
        except Failed as error:
            raise UsageError(f"{draft.name}: {error.reason}") from None
        except EngineError as error:
            raise UsageError(str(error)) from None
        except OSError as error:
            raise UsageError(f"{draft.name}: {error}") from None
        wanted = dict.fromkeys([*secret_values.names(draft), *stanza.required_variables])
        optional = set(map(draft.stored_as, draft.optional))
        missing = [name for name in wanted if name not in optional]
        as_files = tuple(map(draft.stored_as, draft.as_files))
        taken = [draft.why["taken"]] if "taken" in draft.why and proof.tools is None else []  # one that started is the right one
        told = [*notes, *taken, *proof.notes, *filter(None, [draft.why.get("apart")]), *understood.notes]
        return Added(draft.name, folder / STANZA, dict(entry.values), missing, as_files, told, proof.tools)

    def _tried(self, draft: Draft, values: dict[str, str]) -> Proof:
        if not self.trial or "url" in draft.source:
            return Proof(draft)
        if where := attempt.place(self.project, self.here):
            lock.tell(f"trying {draft.name} {where}")
            return proved(self.project, draft, values, where, _checked, lambda other: _locked(self.project, other))
        return Proof(draft, notes=["not tried: no Docker answers that could contain it; --here runs it on this machine, as you"])

    def _with_own_names(self, asked: Draft, draft: Draft) -> Entry:
        """What the trial found that it wants gets names of its own where compose/.env has a value by that name already: that is for
        whom the operator gave it; and where a name is anybody's (API_KEY)."""
        known, own = secret_values.there(self.project), secret_values.names(asked)
        taken = [
            name for name in secret_values.names(draft) if name not in own and (name in known or secret_values.ANYBODYS.fullmatch(name))
        ]
        return secret_values.with_own_names(Entry(draft), known, {}, taken)


def name_of(package: str, project: Project | None = None) -> str:
    """What an MCP is called that is given no name: as its package is, without what all are called; with that, or with its scope, where another
    package has that name in `project`."""
    bare = re.sub(r"(?<=.)@[^/]*$|==.*$|\[.*\]$", "", package)
    scope, _, own = bare.rpartition("/")
    parts = [re.sub(r"(^|[-_.])(mcp|server)(?=[-_.]|$)", "", one) for one in (own, scope.lstrip("@"))]
    short = stanza_name(next(filter(None, parts), own))
    names = [short, stanza_name(own), stanza_name(bare)]
    return next((name for name in names if not (project and _is_of_another(project.images / name / STANZA, bare))), short)


def _is_of_another(path: Path, package: str) -> bool:
    return path.exists() and package not in path.read_text(encoding="utf-8", errors="replace")


def _with_build(draft: Draft) -> str:
    """The command that adds the same, and builds what is to be had as source only."""
    words = ["mcp-bridge", "add", draft.name, "--pypi", listed(draft.source["pypi"])[0], "--build"]
    words += [word for name in draft.secrets for word in ("--env", name)]
    words += [word for name, value in draft.env.items() for word in ("--env", f"{name}={value}")]
    given = [word for word in draft.command if word]
    return f"`{shlex.join([*words, *(['--', *given] if given else [])])}`"


def _locked(project: Project, draft: Draft) -> Draft:
    """Lock it, with the packages that npm itself forgets, without a pin to a version that only its source is to be had of, and for an older
    Python where only that has wheels of all."""
    try:
        lock.lock(project, _checked(draft))
        return draft
    except lock.Incomplete as why:
        known = listed(draft.source["npm"])
        if not why.missing or set(why.missing) & set(known):
            raise
        return _locked(project, replace(draft, source={"npm": [*known, *why.missing]}))
    except lock.CannotLock as why:
        if draft.overrides or draft.build or draft.python:
            raise
        for other in _with_other_wheels(draft, why):
            with suppress(lock.CannotLock):
                return _locked(project, other)
        raise


def _with_other_wheels(draft: Draft, why: lock.CannotLock) -> Iterator[Draft]:
    """With a newer version of what has no wheel in the one that is pinned; for an older Python."""
    absent = NO_SUCH_WHEEL.search(str(why))
    if absent and not listed(draft.source.get("pypi", ""))[0].startswith(f"{absent[1]}="):
        name, version, major = absent[1], absent[2], int(absent[3])
        lock.tell(f"{draft.name}: there is no wheel of {name} {version}: trying a newer one")
        yield replace(draft, overrides={f"{name}>={version},<{major + 1}": f"there is no wheel of {name} {version}"})
    if isinstance(why, lock.NoWheel) and not why.for_any_python and "pypi" in draft.source:
        reason = why.reason.partition("because ")[2] or why.reason
        for python in OLDER_PYTHONS:
            lock.tell(f"{draft.name}: {reason}: trying Python {python}")
            yield replace(draft, python=python, why=draft.why | {"python": f"with the newest, {reason}"})


def _checked(draft: Draft) -> Stanza:
    if "url" in draft.source and not is_url(draft.source["url"]):
        raise UsageError(f"{draft.name}: url: {draft.source['url']!r} is not http://HOST/… or https://HOST/…")
    try:
        return Stanza.model_validate(draft.fields)
    except ValidationError as error:
        raise _refused(draft, error) from None


def _refused(draft: Draft, error: ValidationError) -> UsageError:
    mistake = error.errors()[0]
    return UsageError(f"{draft.name}: {'.'.join(map(str, mistake['loc']))}: {mistake['msg'].removeprefix('Value error, ')}")
