"""Files and folders that change together: whole, or not at all, also where the process is killed half-way.

What was there before is kept in a folder `.before-…` beside it, with a journal of what is to be put back. The journal is there
only while things may be half done: taking it away is the moment from which all of it stays. A folder whose process lives is
locked; the kernel gives that back when it ends, however it ends, and the next command puts things back (`recover`).
"""

import fcntl
import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX, JOURNAL = ".before-", "journal.json"


@contextmanager
def whole_or_not_at_all(*paths: Path) -> Iterator[None]:
    """What is done to `paths` stays if it is done to its end. If it fails or is interrupted, each is as it was before.

    What is there meanwhile is replaced, never written into: the copies that we keep are other names of the same files.
    """
    place = Path(os.path.commonpath([path.parent for path in paths]))
    while not place.exists():
        place = place.parent
    kept = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    with _locked(kept):
        try:
            _keep(paths, kept)
            yield
        except BaseException:
            with _uninterrupted():
                _undo(kept)
            raise
        (kept / JOURNAL).unlink()
        shutil.rmtree(kept)


def recover(*places: Path) -> list[Path]:
    """Put back what a process that was killed has left half done in these folders. Returns what is as it was before."""
    undone: list[Path] = []
    for kept in (found for place in places for found in sorted(place.glob(f"{PREFIX}*"))):
        with _locked(kept, wait=False) as is_ours:
            if is_ours and kept.exists():
                undone += _undo(kept)
    return undone


def _keep(paths: tuple[Path, ...], kept: Path) -> None:
    """Remember each path, and which folders above it are not there yet."""
    journal = []
    for number, path in enumerate(paths):
        if os.path.lexists(path):
            _copy(path, kept / str(number))
        missing = [parent for parent in path.parents if not parent.exists()]
        journal.append([os.path.relpath(one, kept.parent) for one in (path, *missing)])
    beside = kept / f"{JOURNAL}.new"
    beside.write_text(json.dumps(journal), encoding="utf-8")
    beside.replace(kept / JOURNAL)


def _undo(kept: Path) -> list[Path]:
    """May be interrupted and done again: what is kept stays there until all is put back."""
    journal = json.loads((kept / JOURNAL).read_text(encoding="utf-8")) if (kept / JOURNAL).exists() else []
    for number, (name, *missing) in enumerate(journal):
        path, before = kept.parent / name, kept / str(number)
        if os.path.lexists(before):
            _put_back(path, before)
        else:
            _remove(path)
        for parent in (kept.parent / one for one in missing):  # the innermost first
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
    (kept / JOURNAL).unlink(missing_ok=True)
    shutil.rmtree(kept)
    return [kept.parent / name for name, *_ in journal]


def _copy(path: Path, to: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.copytree(path, to, symlinks=True, copy_function=_link)
    else:
        _link(path, to)


def _link(path: str | Path, to: str | Path) -> None:
    try:
        os.link(path, to, follow_symlinks=False)
    except OSError:  # a file system without links
        shutil.copy2(path, to, follow_symlinks=False)


def _put_back(path: Path, before: Path) -> None:
    """What did not change is left alone: somebody may have it open."""
    if before.is_dir() and not before.is_symlink():
        if not path.is_dir() or path.is_symlink():
            _remove(path)
            path.mkdir()
        for new in set(os.listdir(path)) - set(os.listdir(before)):
            _remove(path / new)
        for name in os.listdir(before):
            _put_back(path / name, before / name)
    elif not (os.path.lexists(path) and os.path.samestat(os.lstat(path), os.lstat(before))):
        if path.is_dir() and not path.is_symlink():
            _remove(path)
        beside = path.with_name(f".{path.name}.back")
        beside.unlink(missing_ok=True)
        _link(before, beside)
        os.replace(beside, path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path, wait: bool = True) -> Iterator[bool]:
    """Yields whether it is ours."""
    try:
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:  # another command was faster
        yield False
        return
    try:
        fcntl.flock(number, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        is_ours = False
    else:
        is_ours = True
    try:
        yield is_ours
    finally:
        os.close(number)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C again does not stop that things are put back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
