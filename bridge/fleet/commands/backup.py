"""`mcp-bridge backup FILE`: the fleet in one file: its stanzas, what its MCPs keep, its database; secrets only where that is asked for."""

import argparse
import re
import sys
import tarfile
from pathlib import Path

from bridge import __version__
from bridge.fleet.alone import alone
from bridge.fleet.backup import archive, database, sealed
from bridge.fleet.backup.archive import Manifest
from bridge.fleet.backup.volumes import DockerVolumes, Folders, Volumes, of_project
from bridge.fleet.commands.common import load, progress
from bridge.fleet.dotenv import read_dotenv
from bridge.fleet.engines import EngineError, Say, checkout, choice, remembered
from bridge.fleet.engines.composed import DATABASE
from bridge.fleet.model import Fleet
from bridge.fleet.parts import REFERENCE
from bridge.fleet.project import Project, private
from bridge.fleet.transaction import PREFIX
from bridge.settings import UsageError

SETTINGS = (
    "MCP_PORT",
    "LITELLM_PORT",
    "PROMETHEUS_PORT",
    "GRAFANA_PORT",
    "LAN_BIND",
    "TZ",
    "COMPOSE_PROFILES",
)  # of compose/.env: no secrets
WRITTEN_ANEW = re.compile(
    rf"{checkout.VARIABLE}|LITELLM_CONFIG|PROMETHEUS_CONFIG|GROUPS_CONFIG|DOCKER_GROUP|\w+_(FILE|CALLERS)"
)  # lines of `up`


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the file to write: fleet.tar, or fleet.tar.gz")
    parser.add_argument("--with-secrets", action="store_true", help="also compose/.env and compose/secrets, encrypted by age or gpg")
    parser.add_argument("--recipient", default="", metavar="WHO", help="encrypt for this key: age1…, ssh-…, or what gpg knows it by")
    parser.add_argument(
        "--passphrase-file", default="", metavar="FILE", help="encrypt by gpg with the passphrase in this file (default: it is asked for)"
    )


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project, say = Project.find(arguments.project), progress()
    file = Path(arguments.file).absolute()
    keys = sealed.Keys(arguments.recipient, arguments.passphrase_file)
    if not arguments.with_secrets and (arguments.recipient or arguments.passphrase_file):
        raise UsageError("--recipient and --passphrase-file belong to --with-secrets")
    if not file.parent.is_dir():
        raise UsageError(f"{file.parent}: there is no such folder")
    if file.is_dir() or project.images in file.parents:
        raise UsageError(f"{file}: name a file, outside of images/")
    by = sealed.program(keys) if arguments.with_secrets else ""
    fleet = load(project)
    said = read_dotenv(project.env_file)
    with alone(project, "backup"), archive.workspace(private(project.state)) as staging:
        manifest = Manifest(fleet.name, "", __version__, sealed_by=by)
        engine = manifest.engine = _engine(project, manifest)
        manifest.settings = {name: said[name] for name in SETTINGS if name in said}
        manifest.names = _names(project, said)
        manifest.left_out += _folders_of_the_machine(fleet)
        with archive.written(file, manifest) as writer:
            for path in _own_files(project, manifest):
                writer.add(f"files/{path.relative_to(project.root).as_posix()}", path)
            if engine:
                _save_volumes(project, fleet, engine, writer, manifest, staging, say)
            if by:
                say(f"encrypting the secrets by {by}")
                _seal(project, by, keys, staging)
                writer.add(f"secrets.tar.{by}", staging / f"secrets.tar.{by}")
    _tell(file, manifest)
    return 0


def _own_files(project: Project, manifest: Manifest) -> list[Path]:
    """What is the operator's: all of images/, and what LiteLLM is told beside. The rest is rendered from that."""
    found = []
    for path in sorted(project.images.rglob("*")):
        inside = path.relative_to(project.images)
        if "__pycache__" in inside.parts or any(part.startswith(PREFIX) for part in inside.parts):
            continue
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            manifest.left_out.append(f"images/{inside.as_posix()}: it is no plain file")
        elif path.is_file():
            found.append(path)
    base = project.litellm / "base.yaml"
    return [*found, *([base] if base.is_file() else [])]


def _engine(project: Project, manifest: Manifest) -> str:
    """Whose volumes there are; empty where nothing was ever started. Raises EngineError where that cannot be told: a backup without them is none."""
    if memory := remembered(project):
        choice.engine(memory.engine, project, lambda _: None).refuse_another()
        return memory.engine
    has_folders = bool(Folders(project).names())
    if name := checkout.said_name(project):
        if why := choice.engine("compose", project, lambda _: None).unavailable():
            if not has_folders:
                raise EngineError(f"whether the fleet {name} has volumes, only Docker knows: {why}")
            manifest.left_out.append(f"volumes of Docker, if {name} has any: {why}")
        elif of_project(name):
            choice.engine("compose", project, lambda _: None).refuse_another()
            return "compose"
    return "embedded" if has_folders else ""


def _save_volumes(project: Project, fleet: Fleet, engine: str, writer: archive.Writer, manifest: Manifest, staging: Path, say: Say) -> None:
    volumes: Volumes = Folders(project)
    if engine == "compose":
        name = checkout.name_of(project)
        volumes = DockerVolumes(name, fleet.pinned(fleet.python_image))
        if DATABASE in of_project(name):
            say("dumping the database")
            for path in database.dump(name, fleet.pinned(fleet.postgres_image), staging / "database"):
                writer.add(f"database/{path.name}", path)
                path.unlink()
    for one in volumes.names():
        say(f"saving {one}")
        packed = staging / "volume.tar"
        manifest.left_out += volumes.save(one, packed)
        writer.add(f"volumes/{one}.tar", packed)
        packed.unlink()


def _names(project: Project, said: dict[str, str]) -> list[str]:
    files = [path.name for path in project.secrets.glob("*") if not path.name.startswith(".")] if project.secrets.is_dir() else []
    return sorted(name for name in {*said, *files} - {*SETTINGS} if not WRITTEN_ANEW.fullmatch(name))


def _folders_of_the_machine(fleet: Fleet) -> list[str]:
    """What MCPs see of the machine is the operator's own to save."""
    return [
        f"{stanza.name}: {REFERENCE.sub(lambda found: (found[2] or ':-')[2:], volume.source)} is a folder of this machine ({volume.target})"
        for stanza in fleet.sidecars
        for volume in stanza.volumes
        if volume.path
    ]


def _seal(project: Project, by: str, keys: sealed.Keys, staging: Path) -> None:
    plain = staging / "secrets.tar"
    plain.touch(0o600)
    with tarfile.open(plain, "w") as tar:
        if project.env_file.exists():
            tar.add(project.env_file, "env")
        for path in sorted(project.secrets.rglob("*")) if project.secrets.is_dir() else []:
            if path.is_file() and not path.is_symlink():
                tar.add(path, f"secrets/{path.relative_to(project.secrets).as_posix()}")
    sealed.seal(plain, staging / f"secrets.tar.{by}", by, keys)
    plain.unlink()


def _tell(file: Path, manifest: Manifest) -> None:
    kept = [name for name in manifest.files if name.startswith(("volumes/", "database/"))]
    size = file.stat().st_size
    print(f"{file}: {len(manifest.files) - len(kept)} files, {len(kept)} volumes and databases, {size / (1 << 20):.1f} MiB")
    for line in manifest.left_out:
        print(f"not in it: {line}", file=sys.stderr)
    if not manifest.sealed_by and manifest.names:
        print(f"not in it: secrets ({', '.join(manifest.names)}): --with-secrets takes them, encrypted", file=sys.stderr)
