"""Log files, shown: some lines of each, from a time on, and what comes."""

import os
import re
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from bridge.fleet.engines import Excerpt
from bridge.fleet.engines.reason import plain

STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?")
TICK = 0.2


def show(files: Sequence[tuple[Path, Collection[str]]], excerpt: Excerpt) -> int:
    """Print lines of `files`: all, or those in which one of the marks stands. Several files get their name before each line."""
    opened = [(path.stem, path.open("rb"), marks) for path, marks in files if path.exists()]
    try:
        for name, log, marks in opened:
            for line in _chosen(log, marks, excerpt):
                _print(name, line, len(opened) > 1)
        while excerpt.follow:
            for name, log, marks in opened:
                if Path(log.name).stat().st_size < log.tell():
                    log.seek(0)  # it was cut
                for line in _marked(log, marks):
                    _print(name, line, len(opened) > 1)
            time.sleep(TICK)
    except KeyboardInterrupt:
        pass
    finally:
        for _, log, _ in opened:
            log.close()
    return 0


def _chosen(log: IO[bytes], marks: Collection[str], excerpt: Excerpt) -> list[str]:
    lines = list(_since(_marked(log, marks, not excerpt.follow), excerpt.since))
    return lines if excerpt.tail is None else lines[max(len(lines) - excerpt.tail, 0) :]


def _marked(log: IO[bytes], marks: Collection[str], with_rest: bool = False) -> Iterator[str]:
    """Whole lines: what is half written comes with its rest, or at once where nobody waits for that."""
    while read := log.readline():
        if not read.endswith(b"\n") and not with_rest:
            log.seek(-len(read), os.SEEK_CUR)
            return
        line = read.decode("utf-8", "replace").rstrip("\r\n")
        if not marks or any(mark in f"{line.rstrip()} " for mark in marks):
            yield line


def _since(lines: Iterator[str], since: float) -> Iterator[str]:
    """From the first line on that is young enough. Lines without a time belong to the one before."""
    is_young = not since
    for line in lines:
        if not is_young and (found := STAMP.search(line[:40])):
            is_young = datetime.fromisoformat(found[0]).replace(tzinfo=UTC).timestamp() >= since
        if is_young:
            yield line


def _print(name: str, line: str, with_name: bool) -> None:
    said = line if sys.stdout.isatty() else plain(line)
    print(f"{name}  | {said}" if with_name else said, flush=True)
