"""What processes use, as /proc tells it."""

import os
from collections.abc import Iterable

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def usage(pids: Iterable[int]) -> tuple[int, float]:
    """Resident bytes and CPU seconds of processes and everything below them. What cannot be read counts nothing."""
    memory, cpu = 0, 0.0
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
                waiting += map(int, file.read().split())
        except (OSError, ValueError):
            continue
        memory += int(fields[21]) * _PAGE
        cpu += (int(fields[11]) + int(fields[12])) / _TICKS
    return memory, cpu
