"""A child that is a container engine's client (`docker run -i IMAGE`): its container goes with it.

Killing the client leaves the container running, and without `--rm` even a clean end leaves one behind. So each container of
ours gets a label that says whose it is, and whatever has it is removed when the client is gone, however it went. A bridge
that was killed itself is followed by the next one: containers whose bridge does not run any more are removed at its start.
"""

import itertools
import os
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass

from bridge.child import reaper

LABEL = "io.mcp-bridge.child"
PATIENCE = 15.0  # seconds for one command of an engine
_ENGINES = ("docker", "podman", "nerdctl", "finch")
_BEFORE = ("sudo", "-n", "-E", "doas", "env")  # what may stand before it, and variables
_WITH_VALUE = frozenset(
    (  # options before `run` whose value is the next word
        "-H",
        "--host",
        "-c",
        "--context",
        "--config",
        "-l",
        "--log-level",
        "--tlscacert",
        "--tlscert",
        "--tlskey",  # docker
        "--url",
        "--connection",
        "--identity",
        "--root",
        "--runroot",
        "--runtime",
        "--storage-driver",
        "--storage-opt",
        "--cgroup-manager",
        "--module",  # podman
        "-a",
        "--address",
        "-n",
        "--namespace",
        "--snapshotter",
        "--data-root",
        "--hosts-dir",  # nerdctl
        "-f",
        "--file",
        "-p",
        "--project-name",
        "--profile",
        "--env-file",
        "--project-directory",
        "--parallel",
        "--progress",
    )
)  # compose
_number = itertools.count(1)


@dataclass(frozen=True)
class Engine:
    """How to reach it, and where in the command the options of `run` begin."""

    argv: tuple[str, ...]
    options_at: int
    is_compose: bool = False


@dataclass(frozen=True)
class Run:
    """One start: the command to run in place of the given one; the file that names the container once there is one."""

    engine: Engine
    argv: tuple[str, ...]
    mark: str
    file: str


def engine_of(argv: tuple[str, ...]) -> Engine | None:
    """The engine of `docker run`, `podman container run`, `sudo docker compose run` …; None for any other command."""
    start = next((place for place, word in enumerate(argv[:4]) if os.path.basename(word) in _ENGINES), None)
    if start is None or any(word not in _BEFORE and "=" not in word for word in argv[:start]):
        return None
    place, end, is_compose = start + 1, 0, False
    while place < len(argv):
        word = argv[place]
        if word.startswith("-"):
            place += 2 if word in _WITH_VALUE else 1
            continue
        end = end or place
        if word == "run":
            return Engine(argv[:end], place + 1, is_compose)
        if word not in ("container", "compose"):
            return None
        is_compose = word == "compose"
        place += 1
    return None


def run(engine: Engine, argv: tuple[str, ...]) -> Run:
    """The command with our label, and with a file for the container's id where it has none of its own."""
    mark = f"{_owner(os.getpid())}.{next(_number)}"
    more = [f"--label={LABEL}={mark}"]
    file = ""
    if not engine.is_compose and not any(word.startswith("--cidfile") for word in argv):
        file = os.path.join(tempfile.gettempdir(), f"mcp-bridge-{mark}.cid")
        with suppress(OSError):
            os.unlink(file)
        more.append(f"--cidfile={file}")
    return Run(engine, (*argv[: engine.options_at], *more, *argv[engine.options_at :]), mark, file)


def remove(this: Run, environment: dict[str, str]) -> str:
    """Remove what the client left. Blocks. Returns what went wrong, or an empty string."""
    try:
        left = _ask(this.engine, environment, "ps", "-aq", "--no-trunc", "--filter", f"label={LABEL}={this.mark}").split()
        if left:
            _ask(this.engine, environment, "rm", "-f", *left)
        return ""
    except (OSError, subprocess.SubprocessError) as error:
        return _reason(error)
    finally:
        if this.file:
            with suppress(OSError):
                os.unlink(this.file)


def remove_stale(engine: Engine, environment: dict[str, str]) -> int:
    """Remove containers of bridges on this machine that do not run any more. Blocks. Returns how many; errors are no news."""
    try:
        ids = _ask(engine, environment, "ps", "-aq", "--no-trunc", "--filter", f"label={LABEL}").split()
        if not ids:
            return 0
        lines = _ask(engine, environment, "inspect", "--format", '{{.Id}} {{index .Config.Labels "' + LABEL + '"}}', *ids).splitlines()
        stale = [id for id, _, mark in (line.partition(" ") for line in lines) if _is_stale(mark.strip())]
        if stale:
            _ask(engine, environment, "rm", "-f", *stale)
        return len(stale)
    except (OSError, subprocess.SubprocessError):
        return 0


def _is_stale(mark: str) -> bool:
    """Whether the bridge of this mark was one of this boot and process namespace, and is gone. Others' cannot be judged."""
    owner = mark.rpartition(".")[0]
    place, _, pid = owner.rpartition(".")[0].rpartition(".")
    return place == _place() and pid.isdigit() and _owner(int(pid)) != owner


def _owner(pid: int) -> str:
    """A process by where it runs, its id and its start: an id alone may be somebody else's by now."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            started = file.read().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        started = "0"
    return f"{_place()}.{pid}.{started}"


def _place() -> str:
    """This boot of this machine, and this namespace of process ids."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()}-{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return "unknown"


def _ask(engine: Engine, environment: dict[str, str], *words: str) -> str:
    process = subprocess.Popen(
        [*engine.argv, *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    reaper.know(process.pid, "")
    try:
        out, error = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    finally:
        reaper.forget(process.pid)
    if process.returncode:
        raise subprocess.SubprocessError(error.decode(errors="replace").strip()[-500:])
    return out.decode(errors="replace")


def _reason(error: Exception) -> str:
    return f"no answer from the container engine within {PATIENCE:g} s" if isinstance(error, subprocess.TimeoutExpired) else str(error)
