"""Files and folders that change together: whole, or not at all."""

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_or_not_at_all(*paths: Path) -> Iterator[None]:
    """What is done to `paths` stays if it is done to its end. If it fails or is interrupted, each is as it was before.

    What is there meanwhile is replaced, never written into: the copies that we keep are other names of the same files.
    """
    kept: dict[Path, Path] = {}
    folders: dict[Path, tempfile.TemporaryDirectory[str]] = {}  # beside what they keep: a file has names in one file system only
    missing = [path for path in paths if not path.exists()]
    above = [parent for path in missing for parent in path.parents if not parent.exists()]
    try:
        for path in paths:
            if path.exists():
                if path.parent not in folders:
                    folders[path.parent] = tempfile.TemporaryDirectory(prefix=".before-", dir=path.parent)
                _keep(path, kept.setdefault(path, Path(folders[path.parent].name, path.name)))
        try:
            yield
        except BaseException:
            with _uninterrupted():
                for path in missing:
                    _remove(path)
                for path, before in kept.items():
                    _put_back(path, before)
                for parent in above:  # the innermost first
                    if parent.is_dir() and not any(parent.iterdir()):
                        parent.rmdir()
            raise
    finally:
        for folder in folders.values():
            folder.cleanup()


def _keep(path: Path, before: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, before, symlinks=True, copy_function=_link)
    else:
        _link(path, before)


def _link(path: str | Path, before: str | Path) -> None:
    try:
        os.link(path, before, follow_symlinks=False)
    except OSError:  # a file system without links
        shutil.copy2(path, before, follow_symlinks=False)


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
        os.replace(before, path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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
