"""The file: a tar of plain files, and behind them a manifest that has the size and the hash of each.

    files/images/…  files/litellm/base.yaml    as they stand in the project
    volumes/NAME.tar  database/NAME.dump       what is kept, each as its own program wrote it
    secrets.tar.age (or .gpg)                  only where it was asked for
    manifest.json                              the last one: a file that was cut off has none

It is written beside its place, and put there when it is whole. Whoever reads one believes none of it: members are plain files below the
folder, and each is what the manifest says, before anything is done with them.
"""

import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Self

from bridge.settings import UsageError

FORMAT = 1
MANIFEST = "manifest.json"
LARGEST_MANIFEST = 64 << 20
PIECE = 1 << 20
WORKSPACE = ".packing-"


@dataclass
class Manifest:
    project: str
    engine: str  # which its volumes are of; empty where nothing was ever started
    release: str  # of mcp-bridge
    made: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    format: int = FORMAT
    settings: dict[str, str] = field(default_factory=dict)  # of compose/.env, those that are no secrets
    names: list[str] = field(default_factory=list)  # of compose/.env and compose/secrets/: what the restored fleet wants, too
    sealed_by: str = ""  # age or gpg
    left_out: list[str] = field(default_factory=list)
    files: dict[str, dict[str, int | str]] = field(default_factory=dict)

    @classmethod
    def parsed(cls, text: bytes) -> Self:
        """Raises UsageError."""
        try:
            said = json.loads(text)
            number = said["format"]
            if number != FORMAT:
                raise UsageError(
                    f"it is of format {number}, and this mcp-bridge reads {FORMAT}: take the release that made it ({said.get('release')})"
                )
            made = cls(**said)
            for one in made.files.values():
                int(one["size"]), str(one["sha256"])
            return made
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"its {MANIFEST} cannot be read: {error}") from None


class Writer:
    def __init__(self, file: IO[bytes], manifest: Manifest, is_zipped: bool):
        self._manifest = manifest
        self._tar = tarfile.open(fileobj=file, mode="w:gz" if is_zipped else "w")  # noqa: SIM115  # closed by `end`

    def add(self, name: str, path: Path) -> None:
        with path.open("rb") as source:
            found = os.fstat(source.fileno())
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = found.st_size, int(found.st_mtime), found.st_mode & 0o755
            counted = _Hashing(source)
            self._tar.addfile(member, counted)
        self._manifest.files[name] = {"size": member.size, "sha256": counted.sum.hexdigest()}

    def end(self) -> None:
        text = json.dumps(asdict(self._manifest), indent=1, ensure_ascii=False).encode()
        member = tarfile.TarInfo(MANIFEST)
        member.size, member.mtime, member.mode = len(text), int(time.time()), 0o644
        self._tar.addfile(member, io.BytesIO(text))
        self._tar.close()


class _Hashing(io.RawIOBase):
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes]):
        self.file, self.sum = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self.file.read(size)
        self.sum.update(piece)
        return piece


@contextmanager
def workspace(state: Path) -> Iterator[Path]:
    """A folder for what is packed or unpacked, and gone after it; those of commands that were killed go, too."""
    for left in state.glob(f"{WORKSPACE}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=WORKSPACE, dir=state) as folder:
        yield Path(folder)


@contextmanager
def written(path: Path, manifest: Manifest) -> Iterator[Writer]:
    """The archive at `path`, whole or not at all, for its owner only."""
    beside = path.with_name(f".{path.name}.new")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            writer = Writer(file, manifest, path.suffix in (".gz", ".tgz"))
            yield writer
            writer.end()
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def unpacked(path: Path, folder: Path) -> Manifest:
    """What is in the archive, in `folder`, each compared with the manifest. Raises UsageError where anything is not as it must be."""
    try:
        return _unpacked(path, folder)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UsageError(f"{path}: it is no backup, or not whole: {error}") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _unpacked(path: Path, folder: Path) -> Manifest:
    found: dict[str, dict[str, int | str]] = {}
    manifest = None
    with tarfile.open(path, "r:*") as tar:
        for member in tar:
            if manifest is not None:
                raise UsageError(f"{member.name} stands behind its {MANIFEST}: it is no backup of ours")
            if why := why_refused(member) or ("" if member.isreg() else "it is no plain file"):
                raise UsageError(f"{member.name}: {why}")
            if member.name in found:
                raise UsageError(f"{member.name} is in it twice")
            source = tar.extractfile(member)
            assert source is not None  # it is a plain file
            if member.name == MANIFEST:
                if member.size > LARGEST_MANIFEST:
                    raise UsageError(f"its {MANIFEST} is too large")
                manifest = Manifest.parsed(source.read())
            else:
                found[member.name] = _copied(source, folder / member.name, member.mode)
    if manifest is None:
        raise UsageError(f"it has no {MANIFEST}: it is no backup, or not whole")
    for name in sorted(found.keys() | manifest.files.keys()):
        if found.get(name) != manifest.files.get(name):
            raise UsageError(f"{name} is not what the {MANIFEST} says: the file was damaged or changed")
    return manifest


def _copied(source: IO[bytes], to: Path, mode: int) -> dict[str, int | str]:
    to.parent.mkdir(parents=True, exist_ok=True)
    summed, size = hashlib.sha256(), 0
    with to.open("xb") as file:
        while piece := source.read(PIECE):
            summed.update(piece)
            size += len(piece)
            file.write(piece)
    to.chmod(0o600 | (mode & 0o111) | (mode & 0o044))
    return {"size": size, "sha256": summed.hexdigest()}


def why_refused(member: tarfile.TarInfo) -> str:
    """Why a member of any tar is not unpacked: it leads out of its folder, or is a device; empty if it may be."""
    if member.name.startswith("/") or ".." in member.name.split("/"):  # the filter would reword it, and another name is another file
        return "it leads out of its folder"
    try:
        tarfile.data_filter(member, "/nowhere/at/all")
    except tarfile.FilterError as error:
        return str(error)
    return "" if member.name.isprintable() else "its name has characters that cannot be printed"
