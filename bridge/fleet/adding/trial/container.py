"""A server in a container as `up` would run it, but where it can reach nothing, or nothing private.

Its image is made as `up` makes it (so that this is not done twice), without the smoke call that nobody knows yet. Beside it
runs the recorder, which owns the network namespace and has the rights over it that the server has not.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import bridge
from bridge.fleet.adding.trial.witness import CALL, NO_ANSWER, SLOWEST, START, WHOLE, Report, Wish
from bridge.fleet.engines import docker
from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets import dockerfile
from bridge.fleet.targets.sidecar import scratch

BUILD, QUICK = 900.0, 60.0
USER = "10001:10001"
LABEL = "mcp-bridge-trial"
HARDENED = f"--label {LABEL} --read-only --cap-drop ALL --security-opt no-new-privileges".split()


@dataclass(frozen=True)
class Reach:
    """Something that it tried to reach: a name, or an address (or the name that stood for it) with a port."""

    at: float
    what: str
    connected: bool = False


@dataclass(frozen=True)
class Seen:
    """What the witness reports, and what the recorder saw meanwhile."""

    report: Report
    reached: list[Reach] = field(default_factory=list)

    @property
    def is_silent(self) -> bool:
        """It lived, and did not answer."""
        return self.report["why_not"].startswith(NO_ANSWER)


def context(project: Project) -> Path | None:
    """A folder with the bridge and the locks that every image needs: the project's own, or that of this program."""
    for root in (project.root, Path(bridge.__file__).parents[1]):
        if all((root / path).exists() for path in ("bridge/__init__.py", "images/bridge.lock", "images/installer.lock")):
            return root
    return None


@contextmanager
def built(project: Project, stanza: Stanza) -> Iterator[str]:
    """An image of it, for as long as it is tried. Raises Failed."""
    source = context(project)
    if source is None:  # `place` asked already
        raise Failed(["docker", "build"], 1, "the bridge's own code and locks are not here")
    bare = stanza.model_copy(update={"smoke": None})
    text = dockerfile.dockerfile(Fleet(stanzas=[bare]), bare).text
    image = f"{LABEL}-{stanza.name}:{os.getpid()}"
    _remove_left_over(f"{LABEL}-{stanza.name}:")
    try:
        _build(source, project, stanza, text, image)
        yield image
    finally:
        _remove("image", "rm", "--force", image)


def _remove_left_over(prefix: str) -> None:
    """Images of trials that were killed: their tag is a process that is gone."""
    gone = [
        tag for tag in docker.images(f"label={LABEL}") if tag.startswith(prefix) and not Path("/proc", tag.removeprefix(prefix)).exists()
    ]
    if gone:
        _remove("image", "rm", "--force", *gone)


def _build(source: Path, project: Project, stanza: Stanza, text: str, image: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # Not the project itself: other stanzas are nobody's business, and a builder would be sent all of them.
        here = Path(folder)
        shutil.copytree(source / "bridge", here / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
        (here / "images").mkdir()
        for lock in ("bridge.lock", "installer.lock"):
            shutil.copy(source / "images" / lock, here / "images")
        shutil.copytree(project.folder(stanza), here / "images" / stanza.name)
        (here / "Dockerfile").write_text(text, encoding="utf-8")
        run(["docker", "build", "--progress", "plain", "--label", LABEL, "--tag", image, here], BUILD)


def watch(
    image: str,
    stanza: Stanza,
    environment: Mapping[str, str],
    command: list[str],
    calls: list[dict[str, Any]] | None = None,
    is_open: bool = False,
    secret_files: Mapping[str, str] | None = None,
) -> Seen:
    """Run it once, and let the witness talk with it. Raises Failed."""
    name = f"{LABEL}-{stanza.name}-{os.getpid()}"
    with _recorder(name, is_open) as log:
        places = ["/tmp", *(volume.target for volume in stanza.volumes)]
        half = scratch(stanza.limits.memory)
        mounts = ["--tmpfs", f"/tmp:mode=1777,size={half}"]
        for volume in stanza.volumes:
            mounts += ["--tmpfs", f"{volume.target}:exec,uid=10001,gid=10001,mode=0755,size={half}"]
        interpreter = dockerfile.PORTABLE if stanza.kind == "image" else (dockerfile.PYTHON,)
        wish: Wish = {
            "command": command,
            "environment": dict(environment),
            "cwd": stanza.cwd,
            "places": places,
            "calls": calls,
            "package": own_package(stanza),
            "files": dict(secret_files or {}),
        }
        limits = ["--memory", stanza.limits.memory, "--pids-limit", str(stanza.limits.pids)]
        limits += ["--shm-size", stanza.limits.shm] if stanza.limits.shm else []
        said = run(
            [
                *f"docker run --rm --interactive --init --no-healthcheck --name {name} --network container:{name}-network".split(),
                *HARDENED,
                *("--user", USER, *mounts, *limits, "--entrypoint", interpreter[0], image),
                *(*interpreter[1:], "-I", "-m", "bridge.fleet.adding.trial.witness"),
            ],
            SLOWEST * (START + CALL) + WHOLE + 60,
            stdin=json.dumps(wish),
        )
        try:
            report = json.loads(said[said.index('{"began"') :])
        except ValueError:
            raise Failed(["docker", "run", image], 0, said) from None
        return Seen(report, log())


def own_package(stanza: Stanza) -> str:
    """The name of what is tried, without its version."""
    first = (stanza.npm or stanza.pypi or [""])[0]
    return re.split(r"==|\[", first)[0] if stanza.pypi else first.rpartition("@")[0]


@contextmanager
def _recorder(name: str, is_open: bool) -> Iterator[Callable[[], list[Reach]]]:
    """The network namespace; gives a function that tells what was seen in it."""
    code = files("bridge.fleet.adding.trial").joinpath("recorder.py").read_text(encoding="utf-8")
    image = Fleet.model_fields["python_image"].default
    box, network = f"{name}-network", f"{name}-open"
    try:
        if is_open:
            run(["docker", "network", "create", "--label", LABEL, network], QUICK)
        run(
            [
                *f"docker run --rm --detach --name {box} --network {network if is_open else 'none'}".split(),
                *HARDENED,
                *"--user 0:0 --cap-add NET_ADMIN --cap-add NET_RAW --memory 128m --pids-limit 32 --entrypoint python3".split(),
                *(image, "-I", "-c", code, "open" if is_open else "closed"),
            ],
            QUICK,
        )
        run(["timeout", "50", "sh", "-c", f"until docker logs {box} 2>&1 | grep -q ready; do sleep 0.1; done"], QUICK)
        yield lambda: _reached(run(["docker", "logs", box], QUICK))
    finally:
        _remove("rm", "--force", name, box)
        if is_open:
            _remove("network", "rm", network)


def _reached(log: str) -> list[Reach]:
    return [_reach(json.loads(line)) for line in log.splitlines() if line.startswith("{")]


def _reach(one: dict[str, Any]) -> Reach:
    if "connected" in one:
        return Reach(one["at"], one["connected"], True)
    if "name" in one:
        return Reach(one["at"], one["name"])
    return Reach(one["at"], f"[{one['to']}]:{one['port']}" if ":" in one["to"] else f"{one['to']}:{one['port']}")


def _remove(*words: str) -> None:
    """What an engine under load does not do in time must not end what was found out."""
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(["docker", *words], capture_output=True, timeout=QUICK)
