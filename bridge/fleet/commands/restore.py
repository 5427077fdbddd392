"""`mcp-bridge restore FILE`: the fleet of a backup in this folder. All of it is checked before anything is changed."""

import argparse
import filecmp
import os
import shutil
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

from bridge.fleet.alone import alone
from bridge.fleet.backup import archive, database, sealed
from bridge.fleet.backup.archive import Manifest, why_refused
from bridge.fleet.backup.volumes import NOT_OURS, DockerVolumes, Folders, Volumes, check, of_project
from bridge.fleet.commands.common import load, progress
from bridge.fleet.dotenv import quoted, read_dotenv
from bridge.fleet.engines import NAMES, EngineError, Say, checkout, choice
from bridge.fleet.engines.composed import DATABASE
from bridge.fleet.environment import OWN
from bridge.fleet.project import Project, private, write_private
from bridge.fleet.transaction import recover, whole_or_not_at_all
from bridge.settings import UsageError

TOLD = 8  # differences


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="what `mcp-bridge backup` wrote")
    parser.add_argument("--engine", choices=NAMES, default="", help="where its volumes belong (default: where they were)")
    parser.add_argument("--replace", action="store_true", help="also where this folder has other stanzas: they are removed")
    parser.add_argument("--without-secrets", action="store_true", help="leave the secrets that are in it")
    parser.add_argument("--passphrase-file", default="", metavar="FILE", help="of secrets that gpg encrypted")
    parser.add_argument("--identity", default="", metavar="FILE", help="of secrets that age encrypted for a key")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project, say = _project(arguments.project), progress()
    file = Path(arguments.file)
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file")
    _refuse_running(project)
    with alone(project, "restore"):
        recover(project.root)  # of a restore that was killed while images/ was away: no other command knows that folder then
        with archive.workspace(project.state) as staging:
            _restore(arguments, project, file, staging, say)
    return 0


def _restore(arguments: argparse.Namespace, project: Project, file: Path, staging: Path, say: Say) -> None:
    unpacked = staging / "unpacked"
    say(f"checking {file}")
    manifest = archive.unpacked(file, unpacked)
    new = Project(unpacked / "files")
    if not new.images.is_dir():
        raise UsageError(f"{file}: it has no stanzas")
    fleet = load(new)
    packed = {
        name: path for path in sorted(unpacked.glob("volumes/*.tar")) if not NOT_OURS.fullmatch(name := path.name.removesuffix(".tar"))
    }
    for path in packed.values():
        check(path)
    dumps = sorted(unpacked.glob("database/*.dump"))
    for path in dumps:
        database.check(path)
    secrets = _opened(arguments, manifest, unpacked, staging)
    engine = arguments.engine or manifest.engine
    if engine == "compose" and (why := choice.engine("compose", project, say).unavailable()):
        raise EngineError(f"{why}\n--engine embedded takes its volumes without Docker, and no database")
    if not arguments.replace:
        _refuse_different(project, new, secrets)
    _refuse_kept(project, engine)

    volumes: Volumes = Folders(project)
    name = ""
    if engine == "compose":  # the name stays if this is killed: whose the volumes are is known then
        name = checkout.claim(project, fleet.name, {})
        volumes = DockerVolumes(name, fleet.pinned(fleet.python_image))
    with whole_or_not_at_all(project.images, project.litellm / "base.yaml", project.env_file, project.secrets):
        _put_files(project, new, manifest, secrets)
        made: list[str] = []
        try:
            for one, path in packed.items():
                say(f"filling {one}")
                made.append(one)
                volumes.fill(one, path)
            if dumps and engine == "compose":
                say(f"filling the database: {', '.join(path.stem for path in dumps)}")
                made.append(DATABASE)
                reader = next(one.text for one in fleet.render() if one.path == "compose/database/reader.sh")
                database.restore(name, fleet.pinned(fleet.postgres_image), dumps, reader, staging)
        except BaseException:
            for one in made:
                volumes.remove(one)
            raise
    _tell(project, manifest, bool(secrets), engine, bool(dumps))
    if fleet.litellm.database and not secrets:
        print(
            "what LiteLLM stored encrypted (credentials that were written into its pages) cannot be read with another LITELLM_SALT_KEY: "
            "write the one that was into compose/.env before `mcp-bridge up` makes a new one",
            file=sys.stderr,
        )


def _project(given: str) -> Project:
    """A folder that has no images/ yet is as good as another."""
    try:
        return Project.find(given)
    except UsageError:
        root = Path(given or Path.cwd()).resolve()
        if not root.is_dir():
            raise UsageError(f"--project {given}: there is no such folder") from None
        return Project(root)


def _opened(arguments: argparse.Namespace, manifest: Manifest, unpacked: Path, staging: Path) -> Path | None:
    """The folder with `env` and `secrets/`; None if there is none, or it is not wanted."""
    if not manifest.sealed_by or arguments.without_secrets:
        return None
    source, plain, folder = unpacked / f"secrets.tar.{manifest.sealed_by}", staging / "secrets.tar", staging / "secrets"
    if not source.is_file():
        raise UsageError("its manifest says that it has secrets, and it has none")
    sealed.open_(source, plain, manifest.sealed_by, sealed.Keys("", arguments.passphrase_file, arguments.identity))
    with tarfile.open(plain, "r:") as tar:
        members = tar.getmembers()
        for member in members:
            if why := why_refused(member) or ("" if member.isreg() else "it is no plain file"):
                raise UsageError(f"secrets: {member.name}: {why}")
        tar.extractall(folder, members, filter="data")
    plain.unlink()
    return folder


# ---- what is refused


def _refuse_running(project: Project) -> None:
    try:
        engine, _ = choice.running(project, lambda _: None)
    except UsageError:
        return
    raise UsageError(f"a fleet runs here (--engine {engine.name}): `mcp-bridge down` ends it first")


def _refuse_different(project: Project, new: Project, secrets: Path | None) -> None:
    """What is here and is not what the backup has is the operator's."""
    different = [f"images/{name}" for name in sorted(_files(project.images)) if not _is_same(project.images / name, new.images / name)]
    base = "litellm/base.yaml"
    if (project.root / base).exists() and not _is_same(project.root / base, new.root / base):
        different.append(base)
    there = read_dotenv(secrets / "env") if secrets else {}
    if secrets and any(there.get(name) != value for name, value in read_dotenv(project.env_file).items() if name != checkout.VARIABLE):
        different.append("compose/.env")
    if different:
        more = f" and {len(different) - TOLD} more" if len(different) > TOLD else ""
        raise UsageError(
            f"another fleet is here: {', '.join(different[:TOLD])}{more} would change or go: --replace does that, "
            "and another folder (--project DIR) needs none of it"
        )


def _refuse_kept(project: Project, engine: str) -> None:
    """No volume is ever written over."""
    kept = Folders(project).names() if engine != "compose" else []
    if engine == "compose" and checkout.said_name(project):
        kept = of_project(checkout.name_of(project))
    if kept:
        raise UsageError(f"a fleet of this folder has left volumes: {', '.join(kept)}: `mcp-bridge down --volumes` deletes them first")


def _files(folder: Path) -> Iterable[str]:
    paths = folder.rglob("*") if folder.is_dir() else ()
    return [path.relative_to(folder).as_posix() for path in paths if path.is_file() and "__pycache__" not in path.parts]


def _is_same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


# ---- what is changed


def _put_files(project: Project, new: Project, manifest: Manifest, secrets: Path | None) -> None:
    beside, old = project.root / ".images.new", project.root / ".images.old"
    for left in (beside, old):  # of one that was killed
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(new.images, beside)
    if project.images.exists():
        os.rename(project.images, old)
        os.rename(beside, project.images)
        shutil.rmtree(old)
    else:
        os.rename(beside, project.images)
    base = new.litellm / "base.yaml"
    if base.exists():
        write_private(project.litellm / base.name, base.read_text(encoding="utf-8"), 0o644)
    before = project.env_file.read_text(encoding="utf-8") if project.env_file.exists() else ""
    name = checkout.said_name(project)
    if secrets and (secrets / "env").exists():
        lines = (secrets / "env").read_text(encoding="utf-8").splitlines(keepends=True)
        before = "".join(line for line in lines if line.partition("=")[0].strip().removeprefix("export ") != checkout.VARIABLE)
        before = f"{before.rstrip()}\n" + (f"{checkout.VARIABLE}={name}\n" if name else "")
    if before:
        write_private(project.env_file, before)
    known = read_dotenv(project.env_file)
    if missing := {name: value for name, value in manifest.settings.items() if name not in known}:
        lines_of_ours = "".join(f"{name}={quoted(value)}\n" for name, value in missing.items())
        write_private(project.env_file, (f"{before.rstrip()}\n" if before else "") + lines_of_ours)
    if secrets and (secrets / "secrets").is_dir():
        for path in sorted((secrets / "secrets").rglob("*")):
            if path.is_file():
                to = project.secrets / path.relative_to(secrets / "secrets")
                private(project.secrets)
                to.parent.mkdir(parents=True, exist_ok=True)
                to.unlink(missing_ok=True)
                shutil.copy2(path, to)


def _tell(project: Project, manifest: Manifest, has_secrets: bool, engine: str, has_dumps: bool) -> None:
    print(f"restored into {project.root}: the fleet of {manifest.made} ({manifest.project}, mcp-bridge {manifest.release})")
    if has_dumps and engine != "compose":
        print("not restored: its database: the embedded engine has none", file=sys.stderr)
    known = {*read_dotenv(project.env_file), *(path.name for path in project.secrets.glob("*"))}
    if wanted := [name for name in manifest.names if name not in known and name not in (*OWN, "DATABASE_URI")]:
        print(f"it had also: {', '.join(wanted)}: write what MCPs need of these into compose/.env", file=sys.stderr)
    if not has_secrets:
        print("its keys (BRIDGE_TOKEN, LITELLM_MASTER_KEY) are made anew: clients get them from `mcp-bridge connect`", file=sys.stderr)
    print(f"`mcp-bridge up{f' --engine {engine}' if engine else ''}` starts it")
