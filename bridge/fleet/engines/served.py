"""Stanzas as `mcpServers` of one bridge on this machine: installed from their locks, with the same paths meant.

What a stanza says is said for a container: /data is a volume, /app are its files, /opt/server is what was installed.
Here each of these is another folder, and every mention of it in the command and the environment is reworded. What a
container adds beside (no egress, read-only volumes, memory limits) does not exist here.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import tarfile
import urllib.request
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.fleet.engines import packages
from bridge.fleet.engines.cache import made
from bridge.fleet.engines.programs import Failed
from bridge.fleet.engines.reason import why
from bridge.fleet.environment import DATABASE_HOST, Environment
from bridge.fleet.parts import Binary, Volume, architecture
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets.sidecar import HOST, caller_secret
from bridge.pins.lock import FILE as PINS

SERVER, FILES = "/opt/server", "/app"  # where an image has what was installed, and the stanza's own files
QUIET = {"FASTMCP_CHECK_FOR_UPDATES": "off", "PYTHONUNBUFFERED": "1", "NO_UPDATE_NOTIFIER": "1"}
FETCH_PATIENCE = 60


class LeftOut(Exception):
    """This MCP cannot run here; the reason and the way out, in one line."""


class NotInstalled(LeftOut):
    """It could run here, but something went wrong: the operator has to know."""


@dataclass
class Installed:
    """What was installed for a stanza: the folder that an image has as /opt/server, and where executables are."""

    home: Path | None = None
    bins: list[Path] = field(default_factory=list)
    executable: Path | None = None  # of a binary: it may have any name


def entry(project: Project, stanza: Stanza, environment: Environment, state: Path) -> dict[str, Any]:
    """Its entry in `mcpServers`; what it needs is installed on the way. Raises LeftOut."""
    _check_machine(stanza, environment)
    try:
        installed = _install(project, stanza)
    except Failed as error:
        raise NotInstalled(f"cannot be installed: {why(error.printed) or error.reason}") from None
    places = _places(project, stanza, environment, state, installed)
    home = state / "home" / stanza.name
    home.mkdir(parents=True, exist_ok=True)

    def here(text: object) -> str:
        return _reworded(environment.expanded(str(text)), places).replace(HOST, "127.0.0.1")

    path = [*map(str, installed.bins), os.environ.get("PATH", os.defpath)]
    argv = [here(word) for word in stanza.command]
    argv[0] = str(installed.executable or _which(argv[0], path, stanza))
    own = {name: here(str(value).lower() if isinstance(value, bool) else value) for name, value in stanza.env.items()}
    files = {
        kind: {
            name: str(project.secret(stanza, name))
            for name, secret in stanza.secrets.items()
            if secret.kind == kind and not secret.copy_to and environment.values.get(stanza.stored(name))
        }
        for kind in ("value", "file")
    }
    copies = {
        name: f"{project.secret(stanza, name) if environment.values.get(stanza.stored(name)) else os.devnull}:{here(copy)}"
        for name, copy in stanza.copies.items()
    }
    made_of = {
        "command": argv[0],
        "args": argv[1:],
        "env": {"HOME": str(home), **QUIET, "PATH": ":".join(path), **own, **files["file"]},
        "secrets": files["value"],
        "secret_copy": copies,
        "caller_secret": caller_secret(stanza, lambda name: str(project.secrets / stanza.stored(name))),
        "caller_secret_missing": next((stanza.secrets[name].missing for name in stanza.caller_secrets), ""),
        "cwd": here(stanza.cwd) if stanza.cwd else str(home),
        "profile": "litellm",
        **stanza.bridge,
        "pin": stanza.pin,
        "pin_file": str(project.folder(stanza) / PINS) if stanza.pin != "off" else "",
        "tool_allow": stanza.tools.allow,
        "tool_deny": stanza.tools.deny,
        "tool_rename": stanza.tools.rename,
    }
    if not Path(made_of["cwd"]).is_dir():
        raise NotInstalled(f"its working directory {made_of['cwd']} does not exist")
    return {key: value for key, value in made_of.items() if value not in ({}, [], "")}


def as_here(project: Project, stanza: Stanza, environment: Environment, state: Path) -> Stanza:
    """The same with the paths of its smoke call as they are on this machine."""
    if stanza.smoke is None:
        return stanza
    places = _places(project, stanza, environment, state, Installed())

    def here(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: here(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [here(inner) for inner in value]
        return _reworded(value, places) if isinstance(value, str) else value

    smoke = stanza.smoke.model_copy(update={"arguments": here(stanza.smoke.arguments), "expect": here(stanza.smoke.expect)})
    return stanza.model_copy(update={"smoke": smoke})


def _check_machine(stanza: Stanza, environment: Environment) -> None:
    if stanza.kind == "image":
        raise LeftOut(f"is the image {stanza.image}: that needs Docker (--engine compose)")
    if "database" in stanza.needs and f"@{DATABASE_HOST}:" in environment.values.get("DATABASE_URI", ""):
        raise LeftOut("needs the fleet's own Postgres (--engine compose), or a DATABASE_URI of yours in compose/.env")
    missing = [package for package in stanza.apt if not (shutil.which(package) or _has_debian(package))]
    if missing:
        raise LeftOut(f"needs {', '.join(missing)} on this machine: apt-get install {' '.join(missing)}")


def _install(project: Project, stanza: Stanza) -> Installed:
    folder = project.folder(stanza)
    if stanza.kind == "python":
        return _python(stanza, folder)
    if stanza.kind == "node":
        return _node(stanza, folder)
    if stanza.binary:
        return _binary(stanza, stanza.binary, folder)
    return Installed()


def _python(stanza: Stanza, folder: Path) -> Installed:
    python = packages.locked(stanza.name, _lock(stanza, folder / "requirements.lock"), stanza.python, stanza.build)
    return Installed(python.parent.parent, [python.parent])


def _node(stanza: Stanza, folder: Path) -> Installed:
    home = packages.node_modules(
        stanza.name, _lock(stanza, folder / "package.json"), _lock(stanza, folder / "package-lock.json"), stanza.build
    )
    return Installed(home, [home / "node_modules/.bin", packages.node().parent])


def _lock(stanza: Stanza, path: Path) -> Path:
    if not path.exists():
        raise NotInstalled(f"has no {path.name} yet: mcp-bridge lock {stanza.name}")
    return path


def _binary(stanza: Stanza, binary: Binary, folder: Path) -> Installed:
    machine = architecture()

    def here(text: str) -> str:
        return text.replace("{arch}", machine)

    if binary.file:
        found = folder / here(binary.file)
    elif binary.pypi:
        python = packages.locked(stanza.name, _lock(stanza, folder / "requirements.lock"), stanza.python, stanza.build)
        found = next(
            (
                path
                for root in (*python.parent.parent.glob("lib/python*/site-packages"), python.parent.parent)
                if (path := root / here(binary.path)).exists()
            ),
            python.parent / here(binary.path),
        )
    elif binary.npm:
        home = packages.node_modules(
            stanza.name, _lock(stanza, folder / "package.json"), _lock(stanza, folder / "package-lock.json"), stanza.build
        )
        found = home / "node_modules" / here(binary.npm).rpartition("@")[0] / here(binary.path)
    else:
        found = _fetched(
            stanza.name,
            here(binary.url),
            next((digest for name, digest in binary.sha256.items() if name == machine), ""),
            here(binary.path),
            machine,
        )
    if not found.is_file():
        raise LeftOut(f"has no executable for this machine ({machine or platform.machine()}): {found} does not exist")
    return Installed(found.parent, [found.parent], found)


def _fetched(name: str, url: str, digest: str, path: str, machine: str) -> Path:
    if not digest:
        raise LeftOut(f"has no executable for {machine or platform.machine()}: its stanza gives no sha256 for that")

    def make(folder: Path) -> None:
        archive = folder / url.rpartition("/")[2]
        try:
            with urllib.request.urlopen(url, timeout=FETCH_PATIENCE) as answer, archive.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except OSError as error:
            raise NotInstalled(f"cannot be fetched from {url}: {error}") from None
        if hashlib.sha256(archive.read_bytes()).hexdigest() != digest:
            raise NotInstalled(f"{url} is not what its stanza's sha256 says: look at both before you trust either")
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(folder)
        else:
            archive.rename(folder / path)
        if (folder / path).is_file():
            (folder / path).chmod(0o755)

    path = path or url.rpartition("/")[2]
    return made(name, f"{url}\n{digest}\n{path}", make) / path


def _places(project: Project, stanza: Stanza, environment: Environment, state: Path, installed: Installed) -> dict[str, Path]:
    """Where each folder of the container is on this machine."""
    places = {volume.target.rstrip("/"): _source(project, volume, environment, state) for volume in stanza.volumes}
    if stanza.files:
        places[FILES] = (project.folder(stanza) / stanza.files).resolve()
    if installed.home:
        places[SERVER] = installed.home
    return places


def _source(project: Project, volume: Volume, environment: Environment, state: Path) -> Path:
    source = environment.expanded(volume.source)
    if not source or source[0] not in "/.~":
        folder = state / "volumes" / (source or volume.named)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    path = (project.compose / Path(source).expanduser()).resolve()  # compose reads it from where its file is
    if not path.exists():
        raise NotInstalled(f"{path} does not exist: it is what the MCP sees as {volume.target}")
    return path


def _reworded(text: str, places: dict[str, Path]) -> str:
    for target in sorted(places, key=len, reverse=True):
        text = re.sub(rf"(?<![\w./-]){re.escape(target)}(?![\w.-])", str(places[target]).replace("\\", r"\\"), text)
    return text


def _which(program: str, path: list[str], stanza: Stanza) -> str:
    if "/" in program:
        if Path(program).is_file():
            return program
        raise NotInstalled(f"{program} does not exist on this machine")
    found = shutil.which(program, path=":".join(path))
    if found is None:
        raise NotInstalled(
            f"{program!r} is not installed{f' by {stanza.kind} packages of its stanza' if stanza.kind != 'command' else ''}: is its 'command' right?"
        )
    return found


def _has_debian(package: str) -> bool:
    try:
        said = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", package], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return said.stdout.endswith(" installed")
