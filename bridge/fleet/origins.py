"""What registries, images and URLs say about a server: its newest version, its programs, what it is for.

Asked through uv, npm and docker, each with the configuration that this machine has for it.
"""

import io
import json
import re
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Any

from bridge.fleet.engines import contained, docker, packages
from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.lock import NoWheel, compiled, digest, has_no_wheel, npm, npm_says, unreached
from bridge.fleet.parts import ARCHITECTURES, architecture, normalized
from bridge.printable import printable
from bridge.settings import UsageError

PYTHON = "3.13"  # of the images
PATIENCE = 120
PULL_PATIENCE = 300
# In one line, and no option: it becomes a line of a file of requirements, in which uv reads those and fills in variables of this machine.
REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._ -]*\])?[A-Za-z0-9.,<>=!~*+ ()_-]*")
A_SERVER = re.compile(r"^(\w+)(?::\s*\w+)?\s*=\s*FastMCP\(", re.MULTILINE)  # which `mcp run` would run
RUN_AS_ONE = re.compile(r"""^if __name__ == ["']__main__["']""", re.MULTILINE)
# What a publisher says of a package that is not to be used any more, and of the one that is; that is a package's name, and no other word.
_ENDED = r"(?:deprecated|unmaintained|no longer (?:maintained|supported)|(?:renamed|moved|migrated) to|(?:replaced|superseded) by)\b"
ITS_END = re.compile(
    rf"^\W*deprecated\b(?=\s*(?:[\])}}:.!,;—–-]|$)|\s+(?:in|use|see|and|since|by|please)\b)|^\W*(?:package )?(?!deprecated){_ENDED}"
    rf"|\bthis (?:[\w-]+ ){{1,3}}(?:is|was|has been|is now|has) (?:now )?{_ENDED}",
    re.IGNORECASE,
)
SUCCESSOR = re.compile(
    r"\b(?:renamed to|moved to|migrated to|(?:replaced|super[sc]ee?ded) by|in favou?r of|use|using|install|migrate to|switch to|see)[: ]+(?:the )?(?:npm i(?:nstall)? |pip install |uvx |npx (?:-y )?)?"
    r"[`'\"]?(?!https?:)(@[a-z0-9][\w.-]*/[a-z0-9][\w.-]*\w|[a-z0-9.]*[a-z0-9](?:[-_][a-z0-9]+)+|(?<=[`'\"])[a-z0-9][\w.-]*\w)(?![\w.-]*(?:[^\x00-\x7f]|\.[a-z]{2}))",
    re.IGNORECASE | re.ASCII,
)
FOR_A_NEWER = re.compile(r"\bdepends? on Python>=(3\.\d+)")  # in the words of uv
SERVES = re.compile(r"\bFastMCP\b|\bMCPServer\b|\bmcp\.server\b|\bjsonrpc\b|\btools/list\b")
A_STUB = 1000  # bytes, in which there is no server: a version, a greeting
DEPRECATED = "its publisher calls it deprecated"
UNSEEN = ": its digest is not known, nor its entrypoint, with which `command` must begin"


@dataclass(frozen=True)
class About:
    """A package with its version, or an image with its digest, and what is in it."""

    package: str
    programs: list[str] = field(default_factory=list)
    description: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    is_empty: bool = False  # it brings next to nothing but what it says of itself
    brings: tuple[str, ...] = ()  # what an empty one is there for: the packages that it requires
    extra: str = ""  # with which alone it gets what speaks MCP
    serves: bool = True  # whether its code has anything of a server of MCP
    extras: dict[str, set[str]] = field(default_factory=dict)  # of each: the packages that it brings


class NewerPython(UsageError):
    """A package that is for a newer Python than the images have. `python`: which."""

    def __init__(self, package: str, python: str):
        super().__init__(f"{package} is for Python {python} and later")
        self.python = python


def newest_of_pypi(package: str, build: bool = False, python: str = PYTHON) -> str:
    """`package` with a version: its own, or the newest that installs on that Python. Raises UsageError."""
    if not REQUIREMENT.fullmatch(package):
        raise UsageError(f"{printable(package[:200])!r}: not a name of PyPI")
    if "==" in package:
        return package
    try:
        # An older Python would silently be given an older version; one with pre-releases only has those.
        said = compiled([package], ["--no-deps", "--python-version", python, "--no-header", "--no-annotate"], build)
    except Failed as error:
        if python == PYTHON and (newer := FOR_A_NEWER.search(" ".join(error.printed.split()))):
            raise NewerPython(package, newer[1]) from None
        if why := unreached(error.printed):
            raise UsageError(f"{package}: PyPI cannot be reached ({why}): is this machine online?") from None
        if not build and has_no_wheel(error.printed):
            _refuse_withdrawn(package)
            raise NoWheel(f"{package}: there is no wheel of it (for Python {python})") from None
        raise UsageError(f"{package}: PyPI has no such package for Python {python}: {error.reason}") from None
    found = re.search(r"^[A-Za-z0-9._-]+(?:\[[^\]]*\])?==\S+", said, re.MULTILINE)
    if not found:
        raise UsageError(f"{package}: not a name of PyPI")
    return found[0]


def newest_together(wanted: Sequence[str], build: bool = False, python: str = PYTHON) -> list[str]:
    """Each of these with the newest version that goes with the others, as `uvx --with` takes them; each with its own newest where nothing goes
    together. Raises UsageError."""
    names = [found for one in wanted if (found := REQUIREMENT.fullmatch(one) and re.match(r"[\w.-]+(?:\[[^\]]*\])?", one))]
    if len(wanted) == len(names) > 1:
        with suppress(Failed):
            said = compiled([*wanted], ["--universal", "--python-version", python, "--no-header", "--no-annotate"], build)
            versions = {name: version for name, _, version in (line.partition(" ")[0].partition("==") for line in said.splitlines())}
            newest = [versions.get(normalized(name[0]), "") for name in names]
            if all(newest):
                return [f"{name[0]}=={version}" for name, version in zip(names, newest, strict=True)]
    return [newest_of_pypi(one, build, python) for one in wanted]


def with_extra(package: str, extra: str) -> str:
    """`it==1.0` as `it[extra]==1.0`, beside the extras that it has."""
    name, _, version = package.partition("==")
    bare, _, others = name.removesuffix("]").partition("[")
    return f"{bare}[{','.join(filter(None, (others, extra)))}]=={version}"


def _refuse_withdrawn(package: str) -> None:
    """Raises UsageError for a package all versions of which its publisher withdrew: uv takes none for one without a wheel, unless it is told
    which."""
    name = re.split(r"[\[<>=!~ ]", package)[0]
    options = ["--no-deps", "--only-binary", ":all:", "--python-version", PYTHON]
    with tempfile.TemporaryDirectory() as folder, suppress(Failed):
        try:
            compiled([f"{name}>99999999"], options)
        except Failed as error:
            newest = re.search(r"only \S+?[<=]=(\S+) is available", " ".join(error.printed.split()))
            loud = [word for word in packages.uv() if word != "--quiet"]  # it warns of that
            wanted = f"{name}=={newest[1] if newest else 0}"
            said = run([*loud, "pip", "install", "--dry-run", *options, "--target", folder, wanted], PATIENCE, env=packages.trusting())
            if yanked := re.search(r"is yanked(?: \(reason: \"([^\"]*)\")?", said):
                why = f" ({printable(yanked[1][:150])})" if yanked[1] else ""
                way = _successor("pypi", package, yanked[1] or "")
                raise UsageError(f"{package}: its publisher withdrew all its versions{why}{way}") from None


def deprecation(kind: str, package: str, said: str, surely: bool = False) -> list[str]:
    """A line of what its publisher says of its end, with the command that adds what he names in its place. `surely`: that is all he says there."""
    if not (surely or ITS_END.search(said)):
        return []
    return [f"{DEPRECATED} ({printable(' '.join(said.split())[:150])}){_successor(kind, package, said)}"]


def _successor(kind: str, package: str, said: str) -> str:
    """The command that adds what its publisher names in its place; empty if he names nothing."""
    own = re.sub(r"(?<=.)@[^/]*$|==.*$|\[.*\]$", "", package).lower()
    names = (found[1] for found in SUCCESSOR.finditer(said))
    new = next((name for name in names if name.lower() != own), "")
    return f": `mcp-bridge add --{kind} {new}` adds what that names" if new else ""


def look_at_pypi(package: str, build: bool = False, python: str = PYTHON) -> About:
    """Unpack it alone, as an image would have it, and see which programs it brings: entry points, scripts and executables
    alike. A wheel's code does not run; what is built is built in a container, where there is Docker. Raises UsageError."""
    is_empty, serves, command = False, True, tuple[str, ...]()
    try:
        if build and contained.is_there():
            said = contained.run(["python", "-c", _LOOK, package], PATIENCE)
            metadata, programs = json.loads(said[said.index(_FOUND) + len(_FOUND) :])
        else:
            with tempfile.TemporaryDirectory() as folder:
                unpack(package, Path(folder), python, build)
                [path] = Path(folder).glob("*.dist-info/METADATA")
                metadata, programs = path.read_text(encoding="utf-8"), [one.name for one in Path(folder, "bin").glob("*") if one.is_file()]
                command = _module(Path(folder)) if not programs else ()
                code = [one for one in Path(folder).rglob("[!.]*") if one.is_file() and path.parent not in one.parents]
                is_empty = not (programs or command) and sum(one.stat().st_size for one in code) < A_STUB
                serves = any(SERVES.search(one.read_text(encoding="utf-8", errors="replace")) for one in code if one.suffix == ".py")
    except Failed as error:
        if not build and has_no_wheel(error.printed):
            raise NoWheel(f"{package}: there is no wheel of it (for Python {python})") from None
        raise UsageError(f"{package}: it cannot be had for Python {python}: {error.reason}") from None
    about = HeaderParser().parsestr(metadata)
    requires = about.get_all("Requires-Dist") or []
    brings = tuple(one for one in requires if "extra ==" not in one) if is_empty else ()
    summary = about.get("Summary") or ""
    told = deprecation("pypi", package, summary)
    return About(package, sorted(programs), summary, (), command, told, is_empty, brings, _extra(requires), serves, _extras(requires))


def _extras(requires: list[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in requires:
        for extra in re.findall(r"\bextra == ['\"]([\w.-]+)['\"]", one):
            found.setdefault(extra, set()).update(re.findall(r"^[\w.-]+", one))
    return found


def _extra(requires: list[str]) -> str:
    """The extra that brings a package which is called like the protocol, where nothing else does; empty if there is none."""
    of_mcp = [one for one in requires if re.match(r"(?:[\w.-]+[-_.])?(?:fast)?mcp\b", one, re.IGNORECASE)]
    extras = [found[1] if (found := re.search(r"\bextra == ['\"]([\w.-]+)['\"]", one)) else "" for one in of_mcp]
    named = [one for one in extras if not re.search(r"^all|dev|tests?$|docs", one)]
    return sorted(named, key=lambda one: "mcp" not in one)[0] if named and all(extras) else ""


def unpack(package: str, folder: Path, python: str = PYTHON, build: bool = False) -> None:
    """It alone, without what it uses; nothing of a wheel runs. Raises Failed."""
    binary = ["--only-binary", ":all:"] * (not build)
    words = [*packages.uv(), "pip", "install", "--no-deps", *binary, "--python-version", python, "--target", str(folder), package]
    run(words, PATIENCE, env=packages.trusting())


def _module(folder: Path) -> tuple[str, ...]:
    """How the one module of it is run that can be; of one without `__main__` that which is called like a server, or the only one."""
    modules = [path.parent.name for path in folder.glob("*/__main__.py")]
    if not modules:
        named = [path for pattern in ("*/server.py", "*/main.py", "*.py") for path in folder.glob(pattern)]
        texts = {
            ".".join(path.relative_to(folder).with_suffix("").parts): path.read_text(encoding="utf-8", errors="replace") for path in named
        }
        modules = [name for name, text in texts.items() if RUN_AS_ONE.search(text)]
        servers = [(name, found[1]) for name, text in texts.items() if (found := A_SERVER.search(text))]
        if not modules and len(servers) == 1:
            return ("python", "-c", f"from {servers[0][0]} import {servers[0][1]} as it; it.run()")
    return ("python", "-m", modules[0]) if len(modules) == 1 else ()


_FOUND = "what was found: "
_LOOK = f"""
import glob, json, os, subprocess, sys
subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--target", "/tmp/it", sys.argv[1]], check=True)
[metadata] = glob.glob("/tmp/it/*.dist-info/METADATA")
print({_FOUND!r} + json.dumps([open(metadata, encoding="utf-8").read(), os.listdir("/tmp/it/bin") if os.path.isdir("/tmp/it/bin") else []]))
"""


def look_at_npm(package: str) -> About:
    """Raises UsageError."""
    if package.startswith("-"):
        raise UsageError(f"{package[:200]!r}: not a name of npm")
    try:
        said = npm("view", package, "name", "version", "bin", "description", "deprecated", "--json")
        about = json.loads(said)
        about = about[-1] if isinstance(about, list) else about  # a range has several
        programs = about.get("bin") or {}  # a path alone is a program that is called like the package
        programs = [about["name"]] if isinstance(programs, str) else list(programs)
        programs = [one.rpartition("/")[2] for one in programs]  # as npm links them
        description = about.get("description", "")
        told = deprecation("npm", about["name"], str(about.get("deprecated") or description), bool(about.get("deprecated")))
        return About(f"{about['name']}@{about['version']}", programs, description, notes=told)
    except Failed as error:
        if why := unreached(error.printed):
            raise UsageError(f"{package}: npm cannot reach what it asks for ({why}): is this machine online?") from None
        raise UsageError(
            f"{package}: npm {'has no such package' if 'E404' in str(error) else 'cannot be asked: ' + npm_says(error)}"
        ) from None
    except (ValueError, LookupError, TypeError):
        raise UsageError(f"{package}: npm does not say what it is") from None


def look_at_image(reference: str) -> About:
    """Its digest and what it runs. An image that cannot be had is taken as it is named. Raises UsageError."""
    if reference.startswith("-"):
        raise UsageError(f"{reference[:200]!r}: not the name of an image")
    if not contained.is_there():
        return About(reference, notes=[f"there is no Docker here to look at the image with{UNSEEN}"])
    try:
        if not docker.has_image(reference):
            run(["docker", "pull", "--quiet", reference], PULL_PATIENCE)
        image = json.loads(run(["docker", "image", "inspect", reference], docker.QUICK))[0]
    except Failed as error:
        return About(reference, notes=[f"{reference} is not here and cannot be pulled ({error.reason}){UNSEEN}"])
    config = image.get("Config") or {}
    notes, named = [], reference
    if "@sha256:" not in reference:
        repository = re.sub(r":[^/:]*$", "", reference)
        digests = [
            one.partition("@")[2] for one in image.get("RepoDigests") or [] if _repository(one.partition("@")[0]) == _repository(repository)
        ]
        if digests:
            named = f"{reference}@{digests[0]}"
        else:
            notes.append(f"{reference} was built here, or never pulled by this name: it has no digest to pin it by")
    labels = config.get("Labels") or {}
    return About(
        named,
        description=labels.get("org.opencontainers.image.description", ""),
        notes=notes,
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or (config.get("Entrypoint") and ()) or ()),
    )


def look_at_binary(url: str, path: str = "") -> tuple[dict[str, Any], str]:
    """The `binary` of a stanza, with what its files' sums are now, and the name of the program. Raises UsageError."""
    sums, program = {}, ""
    for arch in ARCHITECTURES if "{arch}" in url else (architecture() or "amd64",):
        there = url.replace("{arch}", arch)
        sums[arch] = digest(there)
        if re.search(r"\.(tar\.\w+|tgz|zip)$", there):
            inside = [path.replace("{arch}", arch)] if path else _programs(there)
            if len(inside) != 1:
                raise UsageError(f"{there}: which of these is the server? --path {', '.join(inside[:8]) or 'PATH'}")
            path = path or inside[0].replace(arch, "{arch}")
            program = PurePosixPath(inside[0]).name
        else:
            program = PurePosixPath(there).name
    program = re.sub(r"[-_.]?(linux|darwin|windows|amd64|arm64|x86_64|aarch64)", "", program) or "server"
    return {"url": url, "sha256": sums, **({"path": path} if path else {})}, program


def _repository(name: str) -> str:
    """Docker's short names in full."""
    return name.removeprefix("docker.io/").removeprefix("library/")


def _programs(url: str) -> list[str]:
    """The executables of an archive."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        whole = io.BytesIO(answer.read())
    if zipfile.is_zipfile(whole):
        return [one.filename for one in zipfile.ZipFile(whole).infolist() if one.external_attr >> 16 & 0o111 and not one.is_dir()]
    with tarfile.open(fileobj=io.BytesIO(whole.getvalue())) as packed:
        return [one.name for one in packed if one.isfile() and one.mode & 0o111]
