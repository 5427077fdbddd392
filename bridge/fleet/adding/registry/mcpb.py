"""MCP bundles: a zip of a server with all that it imports, and a `manifest.json` (0.1 to 0.4; `.dxt` is what they were called).

The files come into the folder `bundle` beside the stanza, and so into the image. What the manifest asks of a user is read as the inputs of a
server.json are (`document.py`), which it resembles; it is a stranger's document as that one is.
Source: MANIFEST.md of modelcontextprotocol/mcpb.
"""

import hashlib
import json
import lzma
import re
import stat
import tempfile
import time
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import httpx2

from bridge.fleet import origins
from bridge.fleet.adding.draft import Draft, stanza_name
from bridge.fleet.adding.elsewhere import Entry
from bridge.fleet.adding.launchers import OF_A_PACKAGE, launched
from bridge.fleet.adding.registry.document import ODD, Refused, Said, line, with_inputs
from bridge.fleet.adding.wrapped import NotUnderstood, options_of, program_of
from bridge.fleet.parts import architecture, normalized
from bridge.printable import printable
from bridge.settings import UsageError

FOLDER, INSIDE = "bundle", "/app"  # beside the stanza, and in the image
MANIFEST = "manifest.json"
MOST_FILES, LARGEST, LONGEST = 200_000, 4 << 30, 1 << 20  # of a bundle, in bytes; of its manifest
LONGEST_TEXT = 16 << 20  # of what else is read of it: requirements, a project, its lock
PATIENCE = 300.0
DAMAGED = (OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError, IndexError)
_USER = re.compile(r"\$\{user_config\.([\w-]+)\}")
_DESK = re.compile(r"\$\{(?:HOME|DESKTOP|DOCUMENTS|DOWNLOADS)\}|~(?=/|$)")
_UV_VALUES = {"--directory", "--project", "--python", "-p", "--with", "--extra", "--group", "--env-file", "--cache-dir"}
_ELF = {62: "amd64", 183: "arm64"}  # e_machine
_NATIVE = re.compile(r"\.(?:node|pyd|so|dylib)$")
_OF_PYTHON = re.compile(r"\.cpython-(3)(\d+)[^.]*\.so$")


@dataclass(frozen=True)
class Bundle:
    path: Path
    manifest: Said
    names: tuple[str, ...]  # of its files
    sha256: str


def is_bundle(path: Path) -> bool:
    """Whether it is a zip: of files that describe MCPs, bundles alone are."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def read(path: Path) -> Bundle:
    """Raises UsageError if it is no bundle, or one that must not be unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = [one for one in archive.infolist() if not one.is_dir()]
            if wrong := next(filter(None, map(_wrong, files)), ""):
                raise UsageError(f"{path}: {wrong}")
            if len(files) > MOST_FILES or sum(one.file_size for one in files) > LARGEST:
                raise UsageError(f"{path}: it is larger than {MOST_FILES:,} files or {LARGEST >> 30} GB")
            with archive.open(MANIFEST) as file:
                manifest = json.loads(file.read(LONGEST))
    except KeyError:
        raise UsageError(f"{path}: there is no {MANIFEST} in it: it is not an MCP bundle") from None
    except DAMAGED as error:
        raise UsageError(f"{path}: it cannot be read as an MCP bundle: {error}") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("server"), dict) or not isinstance(manifest.get("name"), str):
        raise UsageError(f"{path}: its {MANIFEST} names no server")
    with path.open("rb") as content:
        return Bundle(path, manifest, tuple(one.filename for one in files), hashlib.file_digest(content, "sha256").hexdigest())


def _wrong(file: zipfile.ZipInfo) -> str:
    """Why this file must not be unpacked."""
    parts = PurePosixPath(file.filename).parts
    if (
        not parts
        or file.filename.startswith("/")
        or ".." in parts
        or "\\" in file.orig_filename
        or ":" in parts[0]
        or "\0" in file.orig_filename
    ):
        return f"the name {line(file.orig_filename)!r} leads out of it"
    if ".git" in (part.lower() for part in parts):  # git would obey its configuration, within yours
        return f"{line(file.filename)} is of a repository of git"
    if stat.S_IFMT(file.external_attr >> 16) not in (0, stat.S_IFREG):
        return f"{line(file.filename)} is no plain file"
    if file.flag_bits & 1:
        return f"{line(file.filename)} is encrypted"
    return ""


def unpack(bundle: Bundle, folder: Path, program: str) -> None:
    """All its files, into a folder that does not exist. `program` is the file that is executed, if one is. Raises UsageError."""
    try:
        with zipfile.ZipFile(bundle.path) as archive:
            for file in archive.infolist():
                archive.extract(file, folder)
                if not file.is_dir() and (file.external_attr >> 16 & 0o111 or file.filename == program):
                    (folder / file.filename).chmod(0o755)
    except DAMAGED as error:
        raise UsageError(f"{bundle.path}: it cannot be unpacked: {error}") from None


@contextmanager
def fetched(url: str, sha256: str) -> Iterator[Path]:
    """The bundle that a registry names, which is what its sum says. Raises UsageError."""
    with tempfile.NamedTemporaryFile(suffix=".mcpb") as file:
        found, size, deadline = hashlib.sha256(), 0, time.monotonic() + PATIENCE
        try:
            with httpx2.Client(timeout=PATIENCE / 10, follow_redirects=True) as client, client.stream("GET", url) as response:
                response.raise_for_status()
                if url.startswith("https:") and response.url.scheme != "https":
                    raise UsageError(f"{url}: it leads to {response.url}, which is not https")
                for part in response.iter_bytes():
                    found.update(part)
                    file.write(part)
                    if (size := size + len(part)) > LARGEST:
                        raise UsageError(f"{url}: it is larger than {LARGEST >> 30} GB")
                    if time.monotonic() > deadline:
                        raise UsageError(f"{url}: it does not end within {PATIENCE:g} s")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise UsageError(f"{url}: it cannot be fetched: {error or type(error).__name__}") from None
        if found.hexdigest() != sha256:
            raise UsageError(
                f"{url}: its sha256 is {found.hexdigest()}, and the registry says {sha256}: look at both before you trust either"
            )
        file.flush()
        yield Path(file.name)


# ---- what its manifest says --------------------------------------------------------------------------------------------------


def entry(bundle: Bundle, name: str = "") -> Entry:
    """`name` is what the MCP is called here. Raises UsageError."""
    said = bundle.manifest
    full = printable(said["name"][:200])
    about = said.get("description")
    draft = Draft(name or stanza_name(full), files=FOLDER, description=line(about) if isinstance(about, str) else "")
    notes = [f"unpacked from {bundle.path.name}, {full} {line(said.get('version'))}, sha256 {bundle.sha256}"]
    try:
        draft, words, env = _started(bundle, draft, notes)
        asked = _inputs(bundle.manifest, words, env, notes)
        return with_inputs(draft, asked, {}, [], notes, draft.command)
    except (Refused, NotUnderstood) as why:
        raise UsageError(f"{full}: {why}") from None
    except ODD as why:
        raise UsageError(f"{full}: its {MANIFEST} is not as that of a bundle is: {line(why)}") from None


def _started(bundle: Bundle, draft: Draft, notes: list[str]) -> tuple[Draft, list[str], dict[str, str]]:
    """What runs it (the draft's command), the arguments for that, and its variables, as the manifest has them for Linux."""
    server = bundle.manifest["server"]
    kind, entry_point = str(server.get("type")), str(server.get("entry_point") or "")
    config = server.get("mcp_config") if isinstance(server.get("mcp_config"), dict) else {}
    overrides = config.get("platform_overrides")
    config = config | (overrides.get("linux") or {} if isinstance(overrides, dict) else {})
    default = {"node": ["node"], "python": ["python3"], "uv": ["uv", "run"], "binary": []}.get(kind)
    if default is None:
        raise Refused(f"its server is of the type {line(kind)!r}, which is not known here")
    started = [*default, f"${{__dirname}}/{entry_point}"]
    command = str(config.get("command") or started[0])
    words = [_here(str(word)) for word in config.get("args") or (started[1:] if command == started[0] else [])]
    env = {str(name): _here(str(value)) for name, value in (config.get("env") or {}).items()}
    command, program = _here(command), program_of(command)
    _check_platform(bundle, kind, notes)
    if program in OF_A_PACKAGE and not (program == "uv" and "run" in words[:1]):
        found, more = launched(replace(draft, files=""), [command, *words])
        if not found.source:
            raise Refused(f"it starts {program}, and names no package of npm or PyPI")
        notes += more
        return replace(found, command=("",)), list(found.command), env
    if program == "uv" or re.fullmatch(r"python[\d.]*|py", program):
        return _of_python(bundle, draft, words[program == "uv" :], env, program == "uv", notes)
    if program == "node":
        _check_files(bundle, [name for name in bundle.names if name.endswith(".node")])
        return replace(draft, apt=("nodejs",), command=("node",)), words, env
    path = command.removeprefix(f"{INSIDE}/")
    if command == path or path not in bundle.names:
        raise Refused(f"its command {line(command)!r} is neither node, Python nor a file in it")
    _check_files(bundle, [path])
    return replace(draft, command=(command,)), words, env


def _here(text: str) -> str:
    return re.sub(r"\$\{(?:/|pathSeparator)\}", "/", text.replace("${__dirname}", INSIDE))


def _check_platform(bundle: Bundle, kind: str, notes: list[str]) -> None:
    compatibility = bundle.manifest.get("compatibility")
    said = compatibility if isinstance(compatibility, dict) else {}
    platforms = said.get("platforms")
    if isinstance(platforms, list) and platforms and "linux" not in platforms:
        names = ", ".join(map(line, platforms[:10]))
        if kind == "binary":
            raise Refused(f"its program is for {names}, not for Linux")
        notes.append(f"its manifest names {names} and not Linux")
    runtimes = said.get("runtimes")
    for runtime, wanted in (runtimes if isinstance(runtimes, dict) else {}).items():
        notes.append(f"it asks for {line(runtime)} {line(wanted)}")


# ---- the files -----------------------------------------------------------------------------------------------------------


def _check_files(bundle: Bundle, names: list[str]) -> None:
    """Whether these native files are for this machine; of add-ons that come for several platforms one is enough. Raises Refused."""
    machine = architecture()
    try:
        with zipfile.ZipFile(bundle.path) as archive:
            found = {name: _made_for(archive, name) for name in names}
    except DAMAGED as error:
        raise UsageError(f"{bundle.path}: it cannot be read as an MCP bundle: {error}") from None
    if names and not any(made_for in ("script", machine) for made_for in found.values()):
        name, made_for = next(iter(found.items()))
        raise Refused(f"{line(name)} in it is for {made_for}, and this machine is linux/{machine}")


def _made_for(archive: zipfile.ZipFile, name: str) -> str:
    with archive.open(name) as file:
        head = file.read(20)
    if head[:4] == b"\x7fELF":
        return _ELF.get(int.from_bytes(head[18:20], "little"), "another kind of processor")
    return "script" if head[:2] == b"#!" else "Windows" if head[:2] == b"MZ" else "macOS"


def _of_python(
    bundle: Bundle, draft: Draft, words: list[str], env: dict[str, str], is_uv: bool, notes: list[str]
) -> tuple[Draft, list[str], dict[str, str]]:
    """With the packages that it brings, or those that it says it needs."""
    natives = [name for name in bundle.names if _NATIVE.search(name)]
    try:
        _check_files(bundle, natives)
        versions = {found[1] + "." + found[2] for name in natives if (found := _OF_PYTHON.search(name))}
        own = is_uv
    except Refused:
        if not any(name in bundle.names for name in ("requirements.txt", "pyproject.toml", "server/requirements.txt")):
            raise
        own, versions = True, set()
        notes.append("the packages that it brings are for another kind of machine: they are taken from PyPI")
    project = _toml(bundle, "pyproject.toml").get("project", {})
    if is_uv:
        _, words = options_of(words, _UV_VALUES)
        words = _without_uv(words, project)
    if own or not any("/site-packages/" in name or "/lib/" in name or name.startswith("lib/") for name in bundle.names):
        wanted = _wanted(bundle, project)
        if wanted:
            draft = replace(draft, source={"pypi": wanted[0] if len(wanted) == 1 else wanted})
    if own:
        env = {name: value for name, value in env.items() if name != "PYTHONPATH"}
    if is_uv:
        packages = f"{INSIDE}/src" if any(name.startswith("src/") for name in bundle.names) else INSIDE
        env = {"PYTHONPATH": packages, **env}
    if len(versions) == 1 and not draft.source and versions != {origins.PYTHON}:
        draft = replace(draft, python=versions.pop())
    return replace(draft, command=("python3",)), words, env


def _without_uv(words: list[str], project: Said) -> list[str]:
    """The words behind `uv run` for Python itself: a file, a module, or a script that the project declares."""
    if not words:
        raise Refused("`uv run` of nothing")
    first, *rest = words
    if re.fullmatch(r"python[\d.]*", first):
        return rest
    if first.endswith(".py"):
        return [first if first.startswith("/") else f"{INSIDE}/{first}", *rest]
    scripts = project.get("scripts")
    target = scripts.get(first) if isinstance(scripts, dict) else None
    if first in ("-m", "--module"):
        return ["-m", *rest]
    if not isinstance(target, str) or not (found := re.fullmatch(r"([\w.]+)\s*:\s*([\w.]+)", target)):
        raise Refused(f"`uv run {line(first)}`: its pyproject.toml declares no such script")
    return ["-c", f"import sys; from {found[1]} import {found[2].partition('.')[0]}; sys.exit({found[2]}())", *rest]


def _wanted(bundle: Bundle, project: Said) -> list[str]:
    """The packages that it says it needs, each with the version of its lock, or else the newest that it allows."""
    texts = [one for one in project.get("dependencies", []) if isinstance(one, str)]
    for name in ("requirements.txt", "server/requirements.txt"):
        if not texts and name in bundle.names:
            texts = _text(bundle, name).splitlines()
    locked = {one.get("name"): one.get("version") for one in _toml(bundle, "uv.lock").get("package", []) if isinstance(one, dict)}
    wanted = []
    for text in texts:
        if not (found := re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)(\[[\w,. -]*\])?\s*([^;#]*)", text)):
            continue
        package, version = f"{found[1]}{(found[2] or '').replace(' ', '')}", locked.get(normalized(found[1]))
        if "@" in found[3] or "/" in found[3]:
            raise Refused(f"it needs {line(text)!r}, which does not come from an index")
        wanted.append(f"{package}=={version}" if version else origins.newest_of_pypi(f"{package}{found[3].strip()}".replace(" ", "")))
    return wanted


def _toml(bundle: Bundle, name: str) -> Said:
    if name not in bundle.names:
        return {}
    try:
        return tomllib.loads(_text(bundle, name))
    except (ValueError, RecursionError) as error:
        raise Refused(f"its {name} cannot be read: {error}") from None


def _text(bundle: Bundle, name: str) -> str:
    """Raises Refused."""
    try:
        with zipfile.ZipFile(bundle.path) as archive, archive.open(name) as file:
            text = file.read(LONGEST_TEXT + 1)
    except DAMAGED as error:
        raise Refused(f"{name} in it cannot be read: {error}") from None
    if len(text) > LONGEST_TEXT:
        raise Refused(f"{name} in it cannot be read: it is longer than {LONGEST_TEXT:,} bytes")
    return text.decode(errors="replace")


# ---- what a user is asked for --------------------------------------------------------------------------------------------------


def _inputs(manifest: Said, words: list[str], env: dict[str, str], notes: list[str]) -> Said:
    """Arguments and variables as those of a package in a server.json."""
    asked = manifest.get("user_config")
    known = {key: _input(key, said) for key, said in asked.items() if isinstance(said, dict)} if isinstance(asked, dict) else {}

    def of(text: str) -> list[Said]:
        """One input; an argument that may be several is one for each of its defaults."""
        names = _USER.findall(text)
        if unknown := [name for name in names if name not in known]:
            raise Refused(f"it uses user_config.{line(unknown[0])}, which its {MANIFEST} does not describe")
        if wrong := _DESK.search(text):
            raise Refused(f"it uses {wrong[0]}, a folder of somebody's desk")
        whole = known[names[0]] if names and _USER.fullmatch(text) else None
        if whole is None:
            value = _USER.sub(lambda found: f"{{{found[1].replace('-', '_')}}}", text)
            return [{"value": value, "variables": {name.replace("-", "_"): known[name] for name in names}}]
        return [{**whole, "default": one} for one in whole["default"]] if isinstance(whole.get("default"), list) else [whole]

    arguments: list[Said] = []
    for word in words:
        names = _USER.findall(word)
        if names and _USER.fullmatch(word) and arguments and re.fullmatch(r"--?[\w-]+", str(arguments[-1].get("value", ""))):
            option = arguments.pop()["value"]
            arguments += [{"type": "named", "name": option, **one} for one in of(word)]
        else:
            arguments += [{"type": "positional", "valueHint": names[0] if names else "argument", **one} for one in of(word)]
    variables = []
    for name, text in env.items():
        absent = [one for one in _USER.findall(text) if one in known and _may_be_left_out(known[one])]
        if absent and not _USER.fullmatch(text):
            notes.append(f"it also reads {line(name)}, made of {', '.join(map(line, absent))}")
            continue
        value = of(text)
        if len(value) > 1:
            value = [{**value[0], "default": ",".join(str(one["default"]) for one in value)}]
        variables.append({**value[0], "name": name})
    return {"packageArguments": arguments, "environmentVariables": variables}


def _may_be_left_out(said: Said) -> bool:
    return not said["isRequired"] and said.get("default") is None


def _input(key: str, said: Said) -> Said:
    default: Any = said.get("default")
    kind = str(said.get("type", "string"))
    is_path = kind in ("directory", "file")
    several = default if isinstance(default, list) else [default]
    on_a_desk = any(isinstance(one, str) and _DESK.search(one) for one in several)
    if kind == "file" and on_a_desk and not said.get("required"):  # what it makes for itself: that may be anywhere
        default, is_path, on_a_desk = f"/data/{PurePosixPath(str(several[0])).name}", False, False
    if is_path or on_a_desk:
        default = None
    about = " ".join(str(said[name]) for name in ("title", "description") if said.get(name))
    return {
        "isRequired": bool(said.get("required")) or on_a_desk or (is_path and bool(said.get("default"))),
        "isSecret": bool(said.get("sensitive")),
        "format": "filepath" if is_path else "string",
        "valueHint": key,
        "description": about,
        **({} if default is None or default == [] else {"default": default}),
    }
