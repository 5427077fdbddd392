"""`mcp-bridge add`: a new MCP, from a package, an executable, an image, a URL or a desktop client's configuration.

It finds out what it can (the newest version, the real executable, which tools there are), writes the stanza and locks
it. A stanza that is there is never written over; what was not understood is said.
"""

import argparse
import json
import re
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bridge.clients import document as documents
from bridge.clients import formats
from bridge.fleet import desktop, lock, secret_values
from bridge.fleet.draft import Draft, stanza_name
from bridge.fleet.elsewhere import Entry, taken_out
from bridge.fleet.engines import contained
from bridge.fleet.engines.programs import Failed
from bridge.fleet.files import File, write
from bridge.fleet.launchers import OF_A_PACKAGE
from bridge.fleet.load import STANZA
from bridge.fleet.mends import with_places
from bridge.fleet.parts import VARIABLE, is_url
from bridge.fleet.project import Project
from bridge.fleet.prove import Proof, proved
from bridge.fleet.registry import client, document, mcpb
from bridge.fleet.sources import SOURCES, Asked, source_of
from bridge.fleet.stanza import Stanza
from bridge.fleet.transaction import whole_or_not_at_all
from bridge.fleet.trial import attempt
from bridge.fleet.wrapped import NotUnderstood, program_of
from bridge.pins.lock import FILE as PINS
from bridge.pins.lock import Lock
from bridge.settings import UsageError

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
            package = source if isinstance(source, str) else source[0]
            return self.as_started(_name_of(package.partition(":")[0]), words, env)
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
            _tell(line)
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
            with whole_or_not_at_all(folder):
                _tell(f"looking for {draft.name}")
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
        except Failed as error:
            raise UsageError(f"{draft.name}: {error.reason}") from None
        except OSError as error:
            raise UsageError(f"{draft.name}: {error}") from None
        wanted = dict.fromkeys([*secret_values.names(draft), *stanza.required_variables])
        optional = set(map(draft.stored_as, draft.optional))
        missing = [name for name in wanted if name not in optional]
        as_files = tuple(map(draft.stored_as, draft.as_files))
        told = [*notes, *proof.notes, *understood.notes]
        return Added(draft.name, folder / STANZA, dict(entry.values), missing, as_files, told, proof.tools)

    def _tried(self, draft: Draft, values: dict[str, str]) -> Proof:
        if not self.trial or "url" in draft.source:
            return Proof(draft)
        if where := attempt.place(self.project, self.here):
            _tell(f"trying {draft.name} {where}")
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "mcp-bridge add [options] [NAME] SOURCE [-- COMMAND ARGS… | -- ARGS…]\n       mcp-bridge add [NAME] -- npx|uvx|docker ARGS…\n"
        "       mcp-bridge add --from FILE\n       mcp-bridge add io.github.OWNER/SERVER[@VERSION]"
    )
    parser.add_argument(
        "name",
        nargs="?",
        default="",
        metavar="NAME",
        help="what it is called everywhere: lower-case letters, digits and '-' (default: as its package is)",
    )
    parser.add_argument("--pypi", metavar="PKG[==V]", help="a package of PyPI (the newest, and pinned)")
    parser.add_argument("--npm", metavar="PKG[@V]", help="a package of npm (the newest, and pinned)")
    parser.add_argument("--binary", metavar="URL", help="an executable, or an archive with one; {arch} stands for amd64 and arm64")
    parser.add_argument("--image", metavar="REF", help="an existing image with a stdio server in it")
    parser.add_argument("--command", metavar="LINE", help="a command of the base image (Debian packages: `apt` in the stanza)")
    parser.add_argument("--url", help="a remote MCP")
    parser.add_argument("--transport", choices=("http", "sse"), help="of --url (default: sse if it ends in /sse)")
    parser.add_argument("--token-env", metavar="VARIABLE", help="of --url: the variable of compose/.env that has its bearer token")
    parser.add_argument(
        "--from",
        dest="file",
        metavar="FILE",
        help="an MCP bundle (.mcpb), a server.json, or all servers of another client's file: mcpServers, VS Code, Zed, Codex, … (docs/adding-an-mcp.md)",
    )
    parser.add_argument(
        "--registry",
        default="",
        metavar="URL",
        help="of io.github.OWNER/SERVER: which registry says what it is (default: the official one)",
    )
    parser.add_argument(
        "--as", dest="called", default="", metavar="NAME", help="of io.github.OWNER/SERVER, server.json and bundles: what it is called here"
    )
    parser.add_argument("--strict", action="store_true", help="of --from: add nothing if an entry cannot be read")
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="a variable of the server; one that looks like a secret becomes one",
    )
    parser.add_argument("--path", default="", help="of --binary: where the executable is in the archive")
    parser.add_argument(
        "--secrets", action="store_true", help="also write the values of secrets to compose/.env (to compose/secrets/ what is no line)"
    )
    parser.add_argument(
        "--build",
        action="store_true",
        help="also take what does not come built (no wheel, native add-ons of npm): building it runs its code",
    )
    parser.add_argument(
        "--here", action="store_true", help="where there is no Docker: try it (and build it) on this machine, as you, without being asked"
    )
    parser.add_argument("--no-trial", action="store_true", help="do not start the server once to see its tools")


def run(project: Project, arguments: argparse.Namespace, command: list[str]) -> int:
    given = [name for name in SOURCES if getattr(arguments, name)]
    here = arguments.here or _may_run_here(project, arguments)
    adding = Adding(project, not arguments.no_trial, here, arguments.secrets)
    published = _published(Path(arguments.file)) if arguments.file else None
    variables = dict(text.partition("=")[::2] for text in arguments.env)
    if ("/" in arguments.name and not arguments.name.startswith("@")) or published is not None:
        if given or command or (arguments.name and arguments.file):
            raise UsageError("what is published says it all: leave the sources and the command out")
        described = published if published is not None else client.described(arguments.name, arguments.registry)
        every = [adding.published(described, arguments.called)]
    elif arguments.file:
        if given or arguments.name or command:
            raise UsageError("--from FILE says it all: leave the name and the sources out")
        every = adding.all_of(Path(arguments.file), arguments.strict)
    elif not given and command and program_of(command[0]) in OF_A_PACKAGE:
        every = [adding.as_started(arguments.name, command, variables)]
    else:
        _check_source(arguments.name, given, command)
        kind = given[0] if given else "command"
        value = getattr(arguments, kind) if given else ""
        name, transport, token = arguments.name or _name_of(value), arguments.transport or "", arguments.token_env or ""
        asked = Asked(name, value, tuple(command), arguments.build, transport, token, arguments.path)
        every = [adding.one(kind, asked, variables)]
    for added in every:
        print(summary(project, added, arguments.secrets))
    return 0 if any(added.path for added in every) else 1


def _check_source(name: str, given: list[str], command: list[str]) -> None:
    """One source, and a name where the source has none. Raises UsageError with the command that was meant."""
    options = ", ".join("--" + name for name in SOURCES)
    if len(given) > 1:
        raise UsageError(f"{' and '.join('--' + name for name in given)}: give one of {options}")
    if given or command:
        if not name and given not in (["npm"], ["pypi"]):
            raise UsageError(f"what is it called? mcp-bridge add NAME {f'--{given[0]} …' if given else '-- ' + shlex.join(command)}")
        return
    if not name:
        raise UsageError(f"what is to be added? mcp-bridge add --npm PACKAGE, or another of {options}, --from")
    package = shlex.quote(name)
    from_npm = f"mcp-bridge add --npm {package}"
    if name.startswith("@"):
        raise UsageError(f"{name}: a package of npm? `{from_npm}` adds that")
    raise UsageError(
        f"{name}: where from? `{from_npm}` or `mcp-bridge add --pypi {package}`: both may have one of that name, by different people. (Others: {options})"
    )


def _name_of(package: str) -> str:
    """What an MCP is called that is given no name: as its package is, without what all are called."""
    scope, _, own = re.sub(r"(?<=.)@[^/]*$|==.*$|\[.*\]$", "", package).rpartition("/")
    parts = [re.sub(r"(^|[-_.])(mcp|server)(?=[-_.]|$)", "", one) for one in (own, scope.lstrip("@"), own)]
    return stanza_name(next(filter(None, parts[:2]), own))


def _may_run_here(project: Project, arguments: argparse.Namespace) -> bool:
    """Asked, where code of strangers would run with nothing around it."""
    if arguments.url or (arguments.no_trial and not arguments.build) or attempt.place(project, False) or not sys.stdin.isatty():
        return False
    print(
        "No Docker answers here: what is added is tried on this machine, as you, with nothing around it. Do that? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _published(path: Path) -> dict[str, Any] | mcpb.Bundle | None:
    """What its publisher says, where it is a bundle or a server.json. Raises UsageError."""
    if mcpb.is_bundle(path):
        return mcpb.read(path)
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return said if document.is_server(said) else None


def summary(project: Project, added: Added, keeps: bool) -> str:
    """What became of it, for people."""
    if added.path is None:
        return f"{added.name}: not added: {'; '.join(added.notes)}"
    lines = [f"{added.name}: {added.path.relative_to(project.root)}" + (f", {added.tools} tools" if added.tools is not None else "")]
    lines += [f"  {note}" for note in added.notes]
    if keeps:
        lines += [f"  {name}: its value is in {secret_values.place(name, value)}" for name, value in added.secrets.items()]
    elif added.secrets:
        values, files = _apart(added.secrets, added.files)
        lines += [f"  {', '.join(values)}: found, but not kept: write it to compose/.env (--secrets does that)"] if values else []
        lines += (
            [f"  {', '.join(files)}: found, but not kept: copy it to compose/secrets/ under that name (--secrets does that)"]
            if files
            else []
        )
    values, files = _apart([name for name in added.missing if name not in added.secrets], added.files)
    lines += [f"  compose/.env must say {', '.join(values)}"] if values else []
    lines += [f"  compose/secrets/ must have a file of that name: {', '.join(files)}"] if files else []
    return "\n".join(lines)


def _apart(names: Iterable[str], files: Collection[str]) -> tuple[list[str], list[str]]:
    """What a line of compose/.env says, and what is a file."""
    return [name for name in names if name not in files], [name for name in names if name in files]


def _with_build(draft: Draft) -> str:
    """The command that adds the same, and builds what is to be had as source only."""
    package = draft.source["pypi"]
    words = ["mcp-bridge", "add", draft.name, "--pypi", package if isinstance(package, str) else package[0], "--build"]
    words += [word for name in draft.secrets for word in ("--env", name)]
    words += [word for name, value in draft.env.items() for word in ("--env", f"{name}={value}")]
    given = [word for word in draft.command if word]
    return f"`{shlex.join([*words, *(['--', *given] if given else [])])}`"


def _locked(project: Project, draft: Draft) -> Draft:
    """Lock it, with the packages that npm itself forgets, and without a pin to a version that only its source is to be had of."""
    try:
        lock.lock(project, _checked(draft))
        return draft
    except lock.Incomplete as why:
        known = draft.source["npm"]
        known = [known] if isinstance(known, str) else known
        if not why.missing or set(why.missing) & set(known):
            raise
        return _locked(project, replace(draft, source={"npm": [*known, *why.missing]}))
    except lock.CannotLock as why:
        absent = NO_SUCH_WHEEL.search(str(why))
        own = draft.source.get("pypi", "")
        if not absent or draft.overrides or draft.build or (own if isinstance(own, str) else own[0]).startswith(f"{absent[1]}="):
            raise
        name, version, major = absent[1], absent[2], int(absent[3])
        _tell(f"{draft.name}: there is no wheel of {name} {version}: trying a newer one")
        try:
            return _locked(project, replace(draft, overrides={f"{name}>={version},<{major + 1}": f"there is no wheel of {name} {version}"}))
        except lock.CannotLock:
            raise why from None


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


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
