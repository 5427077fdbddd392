"""What MCPs keep, each volume a tar: of folders (embedded), or by a container that sees nothing but the volume (Docker).

Owners are those of the images' user, so that a volume of one engine can be had by the other. What a tar may not hold when it is unpacked
(links that lead out of the volume, devices) is left out when it is made, and told.
"""

import os
import re
import shutil
import stat
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from bridge.fleet.backup.archive import why_refused
from bridge.fleet.engines import checkout, docker
from bridge.fleet.engines.composed import DATABASE, PROMETHEUS
from bridge.fleet.engines.programs import Failed, end, run
from bridge.fleet.parts import VOLUME
from bridge.fleet.project import Project, private
from bridge.fleet.targets.kubernetes import UID
from bridge.settings import UsageError

NOT_OURS = re.compile(rf"{DATABASE}|{PROMETHEUS}|keys-.*")  # dumped; measured anew; secrets, and made anew
ALONE = ("--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "0:0")
TO_READ, TO_WRITE = ("DAC_READ_SEARCH",), ("CHOWN", "DAC_OVERRIDE", "FOWNER")
PATIENCE = 3600.0  # for one volume
CHANGED = 1  # tar's exit code where a file changed while it was read


class Volumes(Protocol):
    def names(self) -> list[str]: ...

    def save(self, name: str, to: Path) -> list[str]:
        """Returns what was left out, and why. Raises EngineError."""

    def fill(self, name: str, source: Path) -> None:
        """Make it and put into it what is in this tar, which was checked. Raises EngineError."""

    def remove(self, name: str) -> None: ...


def check(path: Path) -> None:
    """Raises UsageError for a tar that is no volume's, or of which a member may not be unpacked."""
    if not VOLUME.fullmatch(path.name.removesuffix(".tar")):
        raise UsageError(f"volumes/{path.name}: no volume is called so")
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if why := why_refused(member):
                    raise UsageError(f"{path.name}: {member.name}: {why}")
    except tarfile.TarError as error:
        raise UsageError(f"{path.name}: {error}") from None


class Folders:
    def __init__(self, project: Project):
        self.place = project.state / "embedded" / "volumes"

    def names(self) -> list[str]:
        return sorted(one.name for one in self.place.glob("*") if one.is_dir())

    def save(self, name: str, to: Path) -> list[str]:
        left_out = []
        with tarfile.open(to, "w") as tar:
            for path, inside in _walk(self.place / name):
                if stat.S_ISSOCK(path.lstat().st_mode):
                    left_out.append(f"{name}/{inside}: it is a socket")
                    continue
                member = tar.gettarinfo(path, inside)
                if why := why_refused(member):
                    left_out.append(f"{name}/{inside}: {why}")
                    continue
                member.uid = member.gid = UID
                member.uname = member.gname = ""
                if member.isreg():
                    with path.open("rb") as file:
                        tar.addfile(member, file)
                else:
                    tar.addfile(member)
        return left_out

    def fill(self, name: str, source: Path) -> None:
        private(self.place.parent.parent)
        private(self.place.parent)
        to = self.place / name
        to.mkdir(parents=True)
        with tarfile.open(source, "r:") as tar:
            tar.extractall(to, filter="data")

    def remove(self, name: str) -> None:
        shutil.rmtree(self.place / name, ignore_errors=True)


class DockerVolumes:
    def __init__(self, project_name: str, image: str):
        self.project_name, self.image = project_name, image

    def names(self) -> list[str]:
        return sorted(name for name in of_project(self.project_name) if not NOT_OURS.fullmatch(name))

    def save(self, name: str, to: Path) -> list[str]:
        left_out = []
        words = ["--volume", f"{self.project_name}_{name}:/it:ro", *_caps(TO_READ), self.image]
        command = ["docker", "run", *ALONE, *words, "tar", "-C", "/it", "--numeric-owner", "-cf", "-", "."]
        with tempfile.TemporaryFile() as printed:
            with _reading(command, printed) as process:
                assert process.stdout
                try:
                    with tarfile.open(fileobj=process.stdout, mode="r|") as source, tarfile.open(to, "w") as tar:
                        for member in source:
                            if why := why_refused(member):
                                left_out.append(f"{name}/{member.name.removeprefix('./')}: {why}")
                            else:
                                tar.addfile(member, source.extractfile(member) if member.isreg() else None)
                    process.stdout.read()  # zeros
                    process.wait()
                    broken = ""
                except tarfile.TarError as error:
                    broken = str(error)
            printed.seek(0)
            said = printed.read().decode(errors="replace")
        if process.returncode not in (0, CHANGED) or broken:
            raise checkout.broken(f"the volume {name} cannot be read", _last_line(said) or broken)
        if process.returncode == CHANGED:
            left_out += [f"{name}: {line.partition(': ')[2]}" for line in said.splitlines() if "changed" in line or "removed" in line]
        return left_out

    def fill(self, name: str, source: Path) -> None:
        whole = create(self.project_name, name)
        words = ["--interactive", "--volume", f"{whole}:/it", *_caps(TO_WRITE), self.image]
        with source.open("rb") as file:
            command = ["docker", "run", *ALONE, *words, "tar", "-C", "/it", "--numeric-owner", "-xpf", "-"]
            try:
                run(command, PATIENCE, stdin=file)
            except Failed as error:
                raise checkout.broken(f"the volume {name} cannot be filled", _last_line(error.printed) or error.reason) from None

    def remove(self, name: str) -> None:
        docker.asked(["docker", "volume", "rm", f"{self.project_name}_{name}"])


def of_project(project_name: str) -> list[str]:
    """Its volumes by the names that its stanzas know, without those in memory. Raises EngineError."""
    label = f"label={checkout.LABEL}.project={project_name}"
    found = docker.asked(
        ["docker", "volume", "ls", "--filter", label, "--format", f'{{{{.Name}}}}\t{{{{.Label "{checkout.LABEL}.volume"}}}}']
    )
    if isinstance(found, Failed):
        raise checkout.broken("docker volume ls", found.reason)
    rows = dict(line.split("\t", 1) for line in found.splitlines() if "\t" in line)
    if not rows:
        return []
    said = docker.asked(["docker", "volume", "inspect", "--format", '{{.Name}}\t{{index .Options "type"}}', *rows])
    if isinstance(said, Failed):
        raise checkout.broken("docker volume inspect", said.reason)
    in_memory = {line.partition("\t")[0] for line in said.splitlines() if line.endswith("\ttmpfs")}
    return [short for name, short in rows.items() if short and name not in in_memory]


def create(project_name: str, name: str) -> str:
    """A new volume that Compose takes for the one it would have made itself. Raises EngineError."""
    whole = f"{project_name}_{name}"
    labels = [
        word for key, value in {"project": project_name, "volume": name}.items() for word in ("--label", f"{checkout.LABEL}.{key}={value}")
    ]
    if isinstance(made := docker.asked(["docker", "volume", "create", *labels, whole]), Failed):
        raise checkout.broken(f"the volume {whole} cannot be made", made.reason)
    return whole


@contextmanager
def _reading(command: list[str], printed: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A program that writes a tar; it ends with the reading of it, and with our patience. What else it says goes to a file: to a pipe
    that nobody reads meanwhile it would wait for ever."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=printed, start_new_session=True)
    limit = threading.Timer(PATIENCE, end, [process])
    limit.start()
    try:
        yield process
    finally:
        limit.cancel()
        end(process)


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    yield folder, "."
    for place, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            path = Path(place, name)
            yield path, path.relative_to(folder).as_posix()


def _caps(names: tuple[str, ...]) -> list[str]:
    return [word for name in names for word in ("--cap-add", name)]


def _last_line(said: str) -> str:
    return next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "")
