"""A generated file, and the difference between what is generated and what is there."""

import errno
import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from bridge.fleet.project import write_private

MADE_BY = "Made by `mcp-bridge render`; do not edit: write images/NAME/stanza.yaml and render again."

OF_ONE_FILE = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY)  # any other trouble, as a full disk, is everybody's
GENERATED = ("compose/*.yaml", "compose/egress/*", "compose/groups/*", "images/*/Dockerfile")  # where files of ours may be left over


@dataclass(frozen=True)
class File:
    """Where it belongs below the project's root (with '/'), and what stands in it."""

    path: str
    text: str
    is_program: bool = False


def dump(data: object) -> str:
    """YAML with the keys in the order of `data`, long lines unbroken, no aliases."""
    return yaml.dump(data, Dumper=_Plain, sort_keys=False, width=4096, allow_unicode=True, default_flow_style=False)


def generated_yaml(path: str, data: object, note: str = "") -> File:
    lines = [MADE_BY, *note.splitlines()]
    return File(path, "".join(f"# {line}".rstrip() + "\n" for line in lines) + dump(data))


# What a reader of YAML 1.1 or 1.2 may take for a number, a time, a truth or nothing. PyYAML knows a part of YAML 1.1 only.
_AMBIGUOUS = re.compile(
    r"""
    [-+]? (\d[\d_]*(\.[\d_]*)? | \.\d[\d_]*) (e[-+]?\d+)?       # 1  1_000  .5  1e3
    | [-+]? 0[xob][\da-f_]+
    | [-+]? \d[\d_]* (:[0-5]?\d)+ (\.[\d_]*)?                    # 12:30
    | \d{4}-\d\d?-\d\d? ([t\s].*)?
    | [-+]? \.(inf|nan)
    | y|n|yes|no|on|off|true|false|null|~|<<|=
    """,
    re.IGNORECASE | re.VERBOSE,
)


class _Plain(yaml.SafeDumper):
    """Says a text of several lines as a block, and never refers to an earlier place."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else "'" if _AMBIGUOUS.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Plain.add_representer(str, _block)


def stale(root: Path, files: Iterable[File]) -> list[str]:
    """The paths whose file is missing or says something else than `files`."""
    return [file.path for file in files if _read(root / file.path) != file.text]


def write(root: Path, files: Iterable[File]) -> list[str]:
    """Write what changed, whole or not at all. Returns the paths that did change."""
    changed = []
    for file in files:
        target = root / file.path
        if _read(target) == file.text:
            continue
        write_private(target, file.text, 0o755 if file.is_program else 0o644)
        changed.append(file.path)
    return changed


def told(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}"


def left_over(root: Path, files: Iterable[File]) -> list[str]:
    """The paths of generated files that no stanza makes any more. What an operator wrote there has not our first line."""
    made = {file.path for file in files}
    found = sorted(path for pattern in GENERATED for path in root.glob(pattern) if path.is_file())
    return [name for path in found if (name := path.relative_to(root).as_posix()) not in made and _is_ours(path)]


def remove_left_over(root: Path, files: Iterable[File]) -> list[str]:
    """Remove them. Returns what was removed."""
    left = left_over(root, files)
    for path in left:
        (root / path).unlink()
    return left


def digest(paths: Iterable[Path], without: Collection[str] = ()) -> str:
    """Of files and all that is in folders, by name and content."""
    sum = hashlib.sha256()
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inside:
            if file.is_file() and "__pycache__" not in file.parts and file.name not in without:
                sum.update(f"{file.relative_to(path.parent)}\0".encode() + _content(file))
    return sum.hexdigest()[:32]


def _content(file: Path) -> bytes:
    """One that cannot be read is the trouble of who needs it: its build fails, and says so."""
    try:
        return file.read_bytes()
    except PermissionError:
        return b""


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline().rstrip() == f"# {MADE_BY}".encode()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
