"""A program of somebody else, run to its end in a container that has nothing of this machine: no mounts, none of our
environment, no capabilities. It has the network, because what it does is to fetch packages.
"""

import shutil
import subprocess
from functools import cache as remembered

from bridge.fleet.engines.programs import run as run_program
from bridge.fleet.model import Fleet

BARE = ("--rm", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "2g", "--pids-limit", "512")


@remembered
def is_there() -> bool:
    """Whether a Docker engine answers."""
    if not shutil.which("docker"):
        return False
    try:
        return subprocess.run(["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def run(command: list[str], patience: float) -> str:
    """What it prints, in an image of the fleet's Python. Raises Failed."""
    image = Fleet.model_fields["python_image"].default
    return run_program(["docker", "run", *BARE, "--user", "65534:65534", "--env", "HOME=/tmp", image, *command], patience)
