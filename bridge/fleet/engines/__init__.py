"""What runs the fleet: Docker Compose (`compose.py`), or processes of this machine (`embedded.py`).

    served.py, packages.py, litellm.py   what the embedded engine installs and serves
    keeper.py                            the process that keeps its processes alive
    cache.py, programs.py                folders that are made once; programs that are run to their end

Which one was chosen is remembered in compose/state, so that every other command finds it.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from bridge.fleet.environment import Environment
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project, private, write_private
from bridge.fleet.stanza import Stanza
from bridge.settings import UsageError

NAMES = ("compose", "embedded")
Say = Callable[[str], None]


class Broken(Exception):
    """The machine, Docker or a program does not do what it should; one line each for what was seen and the way out (exit code 1)."""


@dataclass(frozen=True)
class Running:
    """One service or process, as `ps` shows it."""

    name: str
    kind: str  # mcp, litellm, prometheus, …
    state: str  # up, starting, down
    detail: str = ""

    @property
    def is_up(self) -> bool:
        return self.state == "up"


@dataclass(frozen=True)
class Urls:
    """Where this machine reaches things. Empty: this engine has no such thing."""

    mcps: str
    litellm: str
    prometheus: str = ""

    def of(self, stanza: Stanza) -> str:
        """The base of an MCP's URLs: /mcp, /sse, /ws and /readyz follow."""
        return f"{self.mcps}/{stanza.name}"


@dataclass
class Started:
    """What `up` made of the fleet."""

    fleet: Fleet
    left_out: dict[str, str] = field(default_factory=dict)  # MCPs that were not started, and why


class Engine(Protocol):
    name: str

    def unavailable(self) -> str:
        """Why it cannot work on this machine, and the way out, in one line; empty if it can."""

    def lacks(self, fleet: Fleet, names: Collection[str]) -> str:
        """What these MCPs need and this machine cannot have, in one line; empty if nothing. It may fetch what can be had."""

    def up(self, fleet: Fleet, names: Collection[str], environment: Environment) -> Started:
        """Make what runs be these MCPs of the fleet; what is right already is not touched. Raises Broken."""

    def down(self, volumes: bool = False) -> None:
        """End all that `up` started."""

    def ps(self) -> list[Running]:
        """Everything that runs or should."""

    def logs(self, name: str, follow: bool) -> int:
        """Print what it logged. Returns an exit code."""

    def urls(self, fleet: Fleet, environment: Environment) -> Urls: ...

    def as_here(self, fleet: Fleet, environment: Environment) -> Fleet:
        """The same MCPs, with paths in their smoke calls as they are where they run."""


@dataclass(frozen=True)
class Memory:
    """What the last `up` decided."""

    engine: str
    names: tuple[str, ...]
    left_out: dict[str, str]
    litellm: str


def remember(project: Project, memory: Memory) -> None:
    private(project.state)
    write_private(project.state / "fleet.json", json.dumps(memory.__dict__, indent=1) + "\n")


def remembered(project: Project) -> Memory | None:
    try:
        said = json.loads((project.state / "fleet.json").read_text())
        return Memory(said["engine"], tuple(said["names"]), said["left_out"], said["litellm"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{project.state / 'fleet.json'} is damaged: delete it, and run `mcp-bridge up`") from None


def forget(project: Project) -> None:
    (project.state / "fleet.json").unlink(missing_ok=True)


def engine(name: str, project: Project, say: Say) -> Engine:
    """The engine of that name."""
    if name == "embedded":
        from bridge.fleet.engines.embedded import Embedded
        return Embedded(project, say)
    from bridge.fleet.engines.compose import Compose
    return Compose(project, say)


def choose(asked: str, project: Project, fleet: Fleet, names: Collection[str], say: Say) -> Engine:
    """The engine that was asked for, else the one that runs already, else the best that works here. Raises Broken."""
    memory = remembered(project)
    if asked and memory and memory.engine != asked:
        raise Broken(f"the fleet runs with --engine {memory.engine}: `mcp-bridge down` ends it first")
    if not asked and memory:
        asked = memory.engine
    if asked:
        chosen = engine(asked, project, say)
        if why := chosen.unavailable() or chosen.lacks(fleet, names):
            raise Broken(why)
        return chosen
    compose = engine("compose", project, say)
    if why := compose.unavailable() or compose.lacks(fleet, names):
        say(f"{why}: using the embedded engine (--engine compose insists)")
        return engine("embedded", project, say)
    return compose


def running(project: Project, say: Say, asked: str = "") -> tuple[Engine, Memory]:
    """The engine that `up` started, or Compose where somebody did that by hand. Raises UsageError where nothing was."""
    memory = remembered(project) or _by_hand(project, say)
    if memory is None:
        raise UsageError("nothing was started here: `mcp-bridge up` does that")
    if asked and asked != memory.engine:
        raise UsageError(f"the fleet was started with --engine {memory.engine}, not {asked}: `mcp-bridge down` ends it")
    return engine(memory.engine, project, say), memory


def _by_hand(project: Project, say: Say) -> Memory | None:
    """The MCPs that plain `docker compose up` started here."""
    try:
        found = engine("compose", project, say).ps()
    except Broken:
        return None
    return Memory("compose", tuple(one.name for one in found if one.kind == "mcp"), {}, "") if found else None
