"""Which packages an image gets, to the last one and with the hash of each: `mcp-bridge lock`.

A lock depends on its stanza only, and says so in itself; what has not changed is not resolved again. Locks are made by
uv and npm; uv (or pip) and npm install from them. No lock names the registry that it was made with: an image built inside
a company takes the same packages, checked by the same hashes, from the company's mirror.

Only wheels are looked at unless the stanza says `build: true`: a package without one is asked what it needs by running its
code. That happens in a container without anything of this machine where there is Docker.

Surprising: a Python lock is made for every Python from 3.11 on where its packages allow that, and not only for that of
the image, because the embedded engine installs from the same lock with the Python that the machine has.
"""

import hashlib
import itertools
import json
import os
import re
import shlex
import sys
import tempfile
import tomllib
import urllib.request
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from bridge.fleet.engines import contained, packages
from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.files import File, write
from bridge.fleet.model import Fleet
from bridge.fleet.parts import ARCHITECTURES, Binary, architecture
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets.dockerfile import REQUIREMENTS
from bridge.settings import UsageError

MANIFEST, TREE = "package.json", "package-lock.json"
BRIDGE, INSTALLER = "images/bridge.lock", "images/installer.lock"
OLDEST = "3.11"  # what the bridge itself needs
PATIENCE = 300
OF_A_PYTHON = re.compile(r"matching Python|Python ABI|does not satisfy Python")  # in the words of uv: another one may have wheels
OF_SYSTEMS = re.compile(r"Wheels are available for `([^`]+)` \([^)]*\) on the following platforms?: ([^\n]+)")
OF_SYSTEMS_OF_NPM = re.compile(r'Unsupported platform for (\S+): wanted \{[^}]*"os":\[?("[^\]}]*")')
NO_WHEEL = "what has no wheel must be built, which runs its code: --build (`build: true` in a stanza) allows that"


class CannotLock(UsageError):
    """There is no set of packages that does what the stanza says; the message has the resolver's reason."""


class Incomplete(CannotLock):
    """npm's lock leaves packages out (peers that are optional for one and not for another); naming them in the stanza completes it."""

    def __init__(self, words: str, missing: list[str]):
        super().__init__(words)
        self.missing = missing


class NoWheel(CannotLock):
    """Something is to be had as source only. `reason`: what, without the way out; `for_any_python`: there is no wheel of it at all."""

    def __init__(self, reason: str, for_any_python: bool = False):
        super().__init__(f"{reason}: {NO_WHEEL}")
        self.reason, self.for_any_python = reason, for_any_python


def lock(project: Project, stanza: Stanza, upgrade: bool = False, as_of: datetime | None = None) -> list[str]:
    """Make the locks of one MCP. Returns the paths that changed; nothing is asked of anybody if the stanza did not change.
    `as_of`: of nothing that came later than that."""
    if not upgrade and is_locked(project, stanza):
        return []
    if stanza.binary and stanza.binary.url:
        _check_digests(stanza.name, stanza.binary)
    if wanted := python_packages(stanza):
        return write(project.root, [File(f"images/{stanza.name}/{REQUIREMENTS}", _python_lock(stanza, wanted, as_of))])
    if manifest := node_manifest(stanza):
        return write(project.root, _node_lock(stanza.name, manifest, as_of))
    return []


def lock_bridge(project: Project, upgrade: bool = False) -> list[str]:
    """Make the locks of what every image needs: what the bridge imports, from pyproject.toml, and what installs packages."""
    changed = []
    for path, wanted in _shared(project).items():
        if upgrade or not _says(project.root / path, shared_header(wanted)):
            tell(f"locking {path}")
            changed += write(project.root, [File(path, shared_header(wanted) + _resolve(path, wanted, OLDEST))])
    return changed


def lock_all(project: Project, fleet: Fleet, names: Iterable[str] = (), upgrade: bool = False) -> list[str]:
    """Make all locks, or those of `names`, whose stanzas changed (all of these, to the newest, with `upgrade`)."""
    names = list(names)
    chosen = [fleet[name] for name in names] or fleet.sidecars
    changed = [] if names else lock_bridge(project, upgrade)
    for stanza in chosen:
        changed += lock(project, stanza, upgrade)
    return changed


def is_locked(project: Project, stanza: Stanza) -> bool:
    """Do its locks belong to the stanza as it is now? Asks the disk only."""
    folder = project.folder(stanza)
    if python_packages(stanza):
        return _says(folder / REQUIREMENTS, header(stanza))
    if manifest := node_manifest(stanza):
        return (folder / TREE).is_file() and _says(folder / MANIFEST, manifest)
    return not (stanza.binary and stanza.binary.url)


def unlocked(project: Project, fleet: Fleet) -> list[str]:
    """What has no lock, or that of an earlier stanza."""
    shared = [path for path, wanted in _shared(project).items() if not _says(project.root / path, shared_header(wanted))]
    return shared + [
        stanza.name for stanza in fleet.sidecars if (python_packages(stanza) or node_manifest(stanza)) and not is_locked(project, stanza)
    ]


# ---- what is wanted (pure) -----------------------------------------------------------


def python_packages(stanza: Stanza) -> list[str]:
    return stanza.pypi or ([stanza.binary.pypi] if stanza.binary and stanza.binary.pypi else [])


def header(stanza: Stanza) -> str:
    """The first lines of its Python lock: who made it, and from what."""
    return _header(
        f"`mcp-bridge lock {stanza.name}`; do not edit: change the stanza and lock again.",
        Python=[stanza.python],
        Packages=python_packages(stanza),
        Constraints=stanza.constraints,
        Overrides=stanza.overrides,
        Build=["yes"] if stanza.build else [],
    )


def shared_header(wanted: list[str]) -> str:
    return _header("`mcp-bridge lock`; do not edit: change pyproject.toml and lock again.", Packages=wanted)


def _header(made_by: str, **made_from: list[str]) -> str:
    lines = [f"Made by {made_by}", *(f"{what}: {', '.join(said)}" for what, said in made_from.items() if said)]
    return "".join(f"# {line}\n" for line in lines)


def node_manifest(stanza: Stanza) -> str:
    """The package.json of its image; empty if nothing comes from npm. A binary may come in one package for each architecture."""
    made_by = {"//": f"Made by `mcp-bridge lock {stanza.name}`; do not edit: change the stanza and lock again.", "private": True}
    if stanza.npm:
        wanted = {"dependencies": dict(map(_split, stanza.npm))}
    elif stanza.binary and stanza.binary.npm:
        each = dict.fromkeys(stanza.binary.npm.replace("{arch}", arch) for arch in ARCHITECTURES)
        wanted = {"dependencies" if len(each) == 1 else "optionalDependencies": dict(map(_split, each))}
    else:
        return ""
    if stanza.overrides:
        wanted["overrides"] = dict(map(_split, stanza.overrides))
    return json.dumps({**made_by, **wanted}, indent=2) + "\n"


def _split(package: str) -> tuple[str, str]:
    name, _, version = package.rpartition("@")
    return name, version


def _shared(project: Project) -> dict[str, list[str]]:
    """The locks that all images share, and what each is made from."""
    try:
        own = tomllib.loads((project.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
        return {BRIDGE: own, INSTALLER: ["uv"]}
    except (OSError, KeyError):
        return {}  # a folder of stanzas elsewhere: its images take the bridge from its own release


def _says(path: Path, expected: str) -> bool:
    """Is that its whole text, or its whole heading?"""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    heading = "".join(itertools.takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))
    return expected in (text, heading)


# ---- who knows which packages go together ---------------------------------------------


def _python_lock(stanza: Stanza, wanted: list[str], as_of: datetime | None = None) -> str:
    place = (
        ""
        if not stanza.build
        else "; what has no wheel is built in a container"
        if contained.is_there()
        else "; what has no wheel is built on this machine, as you"
    )
    tell(f"locking {stanza.name}: {', '.join(wanted)}{place}")
    lines = ""
    try:
        lines = _resolve(stanza.name, wanted, OLDEST, stanza.constraints, stanza.overrides, stanza.build, as_of)
        if stanza.build or stanza.python == OLDEST or not _without_wheels(lines, stanza.python):
            return header(stanza) + lines
    except CannotLock:
        if stanza.python == OLDEST:
            raise
    try:
        lines = _resolve(stanza.name, wanted, stanza.python, stanza.constraints, stanza.overrides, stanza.build, as_of)
    except NoWheel as why:
        raise NoWheel(why.reason, why.for_any_python and not lines) from None  # an older one has some
    only = None if stanza.build else OF_SYSTEMS.search(_without_wheels(lines, stanza.python))
    if only and "linux" not in only[2]:
        raise _of_another_system(stanza.name, only[1], only[2])
    return header(stanza) + lines


def _of_another_system(name: str, package: str, systems: str) -> CannotLock:
    only = systems.replace("`", "").replace('"', "")
    return CannotLock(
        f"{name}: {package} is to be had for {only} only, and a container is Linux: let it run there, behind `mcp-bridge serve`, and add it by --url"
    )


def _without_wheels(lines: str, python: str) -> str:
    """What uv says of those of a lock that have no wheel for this Python here; empty if all have one. A lock for every Python is content with
    one for the oldest, and one for every system with one for Windows."""
    platform = f"{'aarch64' if architecture() == 'arm64' else 'x86_64'}-manylinux_2_40"
    pins = [line.removesuffix("\\").strip() for line in lines.splitlines() if re.match(r"[A-Za-z0-9]", line)]
    try:
        compiled(pins, ["--no-deps", "--python-version", python, "--python-platform", platform])
        return ""
    except Failed as error:
        return error.printed if has_no_wheel(error.printed) else ""


def _resolve(
    name: str,
    wanted: list[str],
    python: str,
    constraints: Iterable[str] = (),
    overrides: Iterable[str] = (),
    build: bool = False,
    as_of: datetime | None = None,
) -> str:
    """The lines of a requirements file with hashes, for this Python and every later one, on every machine."""
    options = ["--universal", "--python-version", python, "--generate-hashes", "--no-header", "--no-emit-index-url", "--no-emit-find-links"]
    options += as_of_options(as_of)
    try:
        return compiled(wanted, options, build, constraints, overrides)
    except Failed as error:
        if why := unreached(error.printed):
            raise CannotLock(f"{name}: the index of Python's packages cannot be reached ({why}): is this machine online?") from None
        if not build and has_no_wheel(error.printed):
            blamed = re.search(
                r"(?:[Bb]ecause|\band) (?:all versions of )?([A-Za-z0-9._-]+(?:\[[^\]]*\])?(?:[=<>!~]\S+)?) ha(?:s|ve) no (?:usable )?wheels",
                _said(error),
            )
            why = f"it cannot be had, because {blamed[1]} has no usable wheels" if blamed else _said(error)
            raise NoWheel(f"{name}: {why}", not OF_A_PYTHON.search(error.printed)) from None
        raise CannotLock(f"{name}: no packages for Python {python} fit together: {_said(error)}") from None


def as_of_options(as_of: datetime | None) -> list[str]:
    """What uv is told so that it resolves as it would have at that time. Files of which the index does not say since when it has them do not count."""
    return ["--exclude-newer", _zulu(as_of)] if as_of else []


def _zulu(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def compiled(
    wanted: list[str], options: list[str], build: bool = False, constraints: Iterable[str] = (), overrides: Iterable[str] = ()
) -> str:
    """What `uv pip compile` makes of it. Raises Failed."""
    inputs = {"constraints": constraints, "overrides": overrides, "stanza": wanted}
    texts = {file: "\n".join(requirements) + "\n" for file, requirements in inputs.items() if requirements}
    options = [*options, *(word for file in texts if file != "stanza" for word in (f"--{file.removesuffix('s')}", file))]
    if build and contained.is_there():
        return _compiled_contained(texts, options)
    return _compiled(texts, options + ["--only-binary", ":all:"] * (not build))


def has_no_wheel(printed: str) -> bool:
    """By the words of uv."""
    return bool(re.search(r"no (usable )?wheels|building source distributions .* disabled", " ".join(printed.split())))


def unreached(printed: str) -> str:
    """Why an index was not reached, in the words of uv or npm, if possible with its host; empty if it answered."""
    every = re.findall(
        r"\b(?:ECONN[A-Z]+|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ERR_SOCKET_TIMEOUT)\b(?: [a-z0-9.-]+\.[a-z]+)?|[Cc]onnection (?:refused|reset|timed out)|dns error|failed to lookup address|operation timed out",
        printed,
    )
    return next((one for one in every if "." in one), next(iter(every), ""))


def _said(error: Failed) -> str:
    return " ".join(line.strip() for line in str(error).splitlines()[1:] if line.strip())[-1500:]


def _compiled(texts: dict[str, str], options: list[str]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        for file, text in texts.items():
            Path(folder, file).write_text(text)
        run(
            [*_uv(), "pip", "compile", "stanza", *options, "--output-file", "lock"],
            PATIENCE,
            Path(folder),
            {"UV_PYTHON_DOWNLOADS": "never", **packages.trusting()},
        )
        return Path(folder, "lock").read_text()


def _compiled_contained(texts: dict[str, str], options: list[str]) -> str:
    """The same where code of packages runs on the way: nothing of this machine is in there but the network."""
    files = "".join(f"printf %s {shlex.quote(text)} > {file}; " for file, text in texts.items())
    script = (
        f"cd /tmp && mkdir work && cd work && pip install --quiet --disable-pip-version-check --target /tmp/uv uv >&2 && {files}"
        f"UV_SYSTEM_CERTS=1 /tmp/uv/bin/uv --quiet pip compile stanza {shlex.join(options)} --output-file lock >&2 && echo {shlex.quote(_CUT)} && cat lock"
    )
    return contained.run(["sh", "-c", script], PATIENCE).partition(_CUT + "\n")[2]


_CUT = "==== lock"


def _uv() -> list[str]:
    if uv := packages.uv():
        return uv
    raise CannotLock("uv is needed for a Python lock and cannot be had: pip install uv")


def _node_lock(name: str, manifest: str, as_of: datetime | None = None) -> list[File]:
    tell(f"locking {name}")
    try:
        node = packages.node()
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, MANIFEST).write_text(manifest)
            before = [f"--before={_zulu(as_of)}"] if as_of else []
            _npm_lock(node, folder, *before)
            _refused_by_npm(name, node, folder)
            tree = json.loads(Path(folder, TREE).read_text())
    except Failed as error:
        if why := unreached(error.printed):
            raise CannotLock(f"{name}: npm cannot reach what it asks for ({why}): is this machine online?") from None
        if only := OF_SYSTEMS_OF_NPM.search(error.printed):
            raise _of_another_system(name, only[1], only[2]) from None
        raise CannotLock(f"{name}: npm finds no packages that fit together: {npm_says(error)}") from None
    if absent := [
        package for package in json.loads(manifest).get("optionalDependencies", {}) if f"node_modules/{package}" not in tree["packages"]
    ]:
        raise CannotLock(
            f"{name}: npm has no {', '.join(absent)} of that version: take a version that is there for both architectures, or name one package without {{arch}}"
        )
    tree["name"] = name  # npm takes it from the folder, which is a temporary one
    for place, package in tree["packages"].items():
        package.pop("funding", None)  # who wants money for it: nothing that npm needs
        # What is in a package's own archive (`inBundle`) is covered by the hash of that.
        if place and not {"integrity", "link", "inBundle"} & package.keys():
            raise CannotLock(f"{name}: {place.removeprefix('node_modules/')} has no hash: it does not come from a registry")
    return [
        File(f"images/{name}/{TREE}", json.dumps(tree, indent=2, ensure_ascii=False) + "\n"),
        File(f"images/{name}/{MANIFEST}", manifest),  # the last: where it is, both are of one stanza
    ]


def _npm_lock(node: Path, folder: str, *options: str) -> None:
    """Write the lock. Where npm itself ends in the middle (10.9: "Cannot read properties of null (reading 'edgesOut')"), it is the peers that it
    stumbles over: as before npm 7 it then takes those that are asked for and looks at no others, and `npm ci` says whether that will do."""
    words = ("install", "--package-lock-only", "--omit-lockfile-registry-resolved", *options, *_QUIETLY)
    try:
        _npm(node, folder, *words)
    except Failed as error:
        if "Cannot read properties of" not in error.printed:
            raise
        _npm(node, folder, *words, "--legacy-peer-deps")


def _npm(node: Path, folder: str, *words: str, patience: float = PATIENCE) -> str:
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", os.defpath)])
    return run([*packages.npm(node), *words, "--loglevel=error"], patience, cwd=Path(folder), env={**packages.trusting(), "PATH": path})


def npm_says(error: Failed) -> str:
    """Its reason: not where it wrote a log, nor a code."""
    lines = [
        re.sub(r"^npm error(?: (?:404|notarget)\b)?", "", line).strip()
        for line in error.printed.splitlines()
        if line.startswith("npm error")
    ]
    telling = [
        line
        for line in lines
        if line
        and not re.match(
            r"A complete log|code |errno |syscall |path |dest |For a full report|Could not resolve dependency|While resolving|Found:"
            r"|Note that you can also install|tarball, folder, |In most cases you or one of your dependencies|a package version that doesn't exist",
            line,
        )
    ]
    return " ".join(telling)[:300] or error.reason


def npm(*words: str, folder: str = "", patience: float = PATIENCE) -> str:
    """What npm answers, asked in an empty folder. Raises Failed."""
    with tempfile.TemporaryDirectory() as empty:
        return _npm(packages.node(), folder or empty, *words, patience=patience)


_QUIETLY = ("--ignore-scripts", "--no-audit", "--no-fund")


def _refused_by_npm(name: str, node: Path, folder: str) -> None:
    """`npm ci`, as in the image, but without installing: it is stricter than the `npm install` that made the lock. Raises CannotLock."""
    try:
        _npm(node, folder, "ci", "--omit=dev", "--dry-run", *_QUIETLY)
    except Failed as error:
        missing = dict.fromkeys(re.findall(r"Missing: (\S+@\S+) from lock file", error.printed))
        raise Incomplete(
            f"{name}: `npm ci` refuses the lock that `npm install` made"
            + (f": {', '.join(missing)} is missing: name it in the stanza, too" if missing else f": {npm_says(error)}"),
            list(missing),
        ) from None


def _check_digests(name: str, binary: Binary) -> None:
    """Is what is fetched what the stanza says? The stanza is the lock of such a binary."""
    for arch, expected in binary.sha256.items():
        url = binary.url.replace("{arch}", arch)
        tell(f"checking {name}: {url}")
        actual = digest(url)
        if actual != expected:
            raise CannotLock(f"{name}: {url} has sha256 {actual}, but binary.sha256.{arch} says {expected}")


def digest(url: str) -> str:
    """The sha256 of what is there. Raises CannotLock."""
    summed = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            while piece := answer.read(1 << 20):
                summed.update(piece)
    except (OSError, ValueError) as error:
        raise CannotLock(f"{url} cannot be fetched: {error}") from None
    return summed.hexdigest()


def tell(what: str) -> None:
    """What goes on, or was found out, while somebody waits."""
    print(what, file=sys.stderr, flush=True)
