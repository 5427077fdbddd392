"""Images, each built on its own: one that cannot be built costs the others nothing, and the line that says why is found.

What images have in common is made once: BuildKit knows a step again. Each build has a log of its own.
"""

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bridge.fleet.engines import Say
from bridge.fleet.engines.programs import end
from bridge.fleet.engines.reason import why

AT_ONCE = max(2, min(4, os.cpu_count() or 2))
PATIENCE = 3600.0
EVERY = 5.0  # seconds between two lines of progress
TICK = 0.05
# What is done while BuildKit says this of a step, in words for people who never saw the Dockerfile. The first that fits.
STEPS = (
    ("inspect", "trying its call"),
    ("exporting", "writing the image"),
    ("naming to", "writing the image"),
    ("load metadata", "looking for its base image"),
    ("apt-get", "installing Debian packages"),
    ("npm ci", "installing its packages"),
    ("/opt/server", "installing its packages"),
    ("/opt/bridge", "preparing the bridge"),
    ("/opt/uv", "preparing the bridge"),
    ("FROM", "fetching its base image"),
)


@dataclass(frozen=True)
class Build:
    """One image: the command that makes it, and where its output goes."""

    name: str
    command: list[str]
    log: Path


def build(
    builds: list[Build], environment: Mapping[str, str], say: Say, built: Callable[[str], None], make_room: Callable[[], object]
) -> dict[str, str]:
    """Make them, a few at a time; `built` is told of each that is done. Returns why the others are not.

    One that fills the disk fails others that would fit, and leaves there what it had until then: these are made again, each alone.
    """
    failed = _at_once(builds, environment, say, built)
    again = [one for one in builds if one.name in failed and _filled_the_disk(_text(one.log))]
    if again:
        make_room()
    for one in again:
        say(f"{one.name}: once more, by itself")
        del failed[one.name]
        failed |= _at_once([one], environment, say, built)
        if one.name in failed:
            make_room()
    return failed


def _at_once(builds: list[Build], environment: Mapping[str, str], say: Say, built: Callable[[str], None]) -> dict[str, str]:
    todo, failed, done = list(builds), {}, 0
    running: list[tuple[Build, subprocess.Popen[bytes], float]] = []
    shown = time.monotonic()
    try:
        while todo or running:
            while todo and len(running) < AT_ONCE:
                running.append((todo[0], _start(todo.pop(0), environment), time.monotonic()))
            for one, process, began in running.copy():
                if process.poll() is None and time.monotonic() - began < PATIENCE:
                    continue
                end(process)
                running.remove((one, process, began))
                if process.returncode == 0:
                    done += 1
                    built(one.name)
                else:
                    failed[one.name] = _reason(one.log)
                    say(f"{one.name}: cannot be built: {failed[one.name]}")
            if running and time.monotonic() - shown > EVERY:
                shown = time.monotonic()
                say(f"{done} of {len(builds)} built; {', '.join(f'{one.name}: {step(_text(one.log))}' for one, _, _ in running)}")
            time.sleep(TICK)
    finally:
        for _, process, _ in running:
            end(process)
    return failed


def _start(one: Build, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    one.log.parent.mkdir(parents=True, exist_ok=True)
    with one.log.open("wb") as output:
        return subprocess.Popen(
            one.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(environment), start_new_session=True
        )


def step(printed: str) -> str:
    """What a build does now, from what BuildKit printed: `#12 [server 3/4] RUN …`."""
    lines = [line for line in printed.splitlines() if line.startswith("#") and (" [" in line or "exporting" in line)]
    return next((said for word, said in STEPS if lines and word in lines[-1]), "building")


def _reason(log: Path) -> str:
    """A full disk is the reason, whatever it led to."""
    printed = _text(log)
    full = "\n".join(line for line in printed.splitlines() if _filled_the_disk(line))
    return why(full or printed) or f"nothing was said why: {log}"


def _filled_the_disk(printed: str) -> bool:
    return "no space left on device" in printed.lower()


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")
