"""What is examined, and what a check finds."""

from collections.abc import Callable
from dataclasses import dataclass

from bridge.fleet.engines import Engine
from bridge.fleet.environment import Environment
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project

OK, FAILED, SKIPPED = "ok", "failed", "-"


@dataclass(frozen=True)
class Finding:
    name: str
    state: str
    seen: str
    todo: str = ""


@dataclass(frozen=True)
class Patient:
    """What is examined."""

    project: Project
    fleet: Fleet  # what shall run
    environment: Environment
    engine: Engine


Check = Callable[[Patient], tuple[str, str, str]]  # its state, what was seen, what to do
