"""What the machine, or the container that we run in, can bear: memory is limited by our control group, of version 1 or 2."""

import os
from pathlib import Path

STARTS = 2 + 2 * (os.cpu_count() or 2)  # servers that start at the same time: more of them all need longer than anybody waits
UNLIMITED = 1 << 60  # version 1 says "no limit" as a number close to 2^63


def memory_limit(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """The lowest limit of our group and those that it is in; None if there is none, or no such thing on this system."""
    try:
        groups = [line.split(":", 2) for line in proc.read_text().splitlines()]
    except OSError:
        return None
    found = []
    for _, controllers, path in (group for group in groups if len(group) == 3):
        if not controllers:
            found += _limits(root, path, "memory.max")
        elif "memory" in controllers.split(","):
            found += _limits(root / "memory", path, "memory.limit_in_bytes")
    return min(found, default=None)


def _limits(root: Path, path: str, name: str) -> list[int]:
    """Inside a container the group's path may be the host's, which is not there: then the root is our group."""
    folder = root / path.strip("/")
    limits = []
    for group in (folder, *folder.parents):
        try:
            text = (group / name).read_text().strip()
        except OSError:
            text = ""
        if text.isdecimal() and int(text) < UNLIMITED:
            limits.append(int(text))
        if group == root:
            break
    return limits
