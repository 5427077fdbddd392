"""What runs the fleet: Docker Compose (`compose.py`), or processes of this machine (`embedded.py`).

    served.py, packages.py, litellm.py   what the embedded engine installs and serves
    readiness.py, waves.py               what an MCP's bridge says of it; starting many, and waiting for them
    keeper.py                            the process that keeps its processes alive
    choice.py                            which of the two it is, by name, by memory or by what works here
    cache.py, programs.py                folders that are made once; programs that are run to their end

Which one was chosen is remembered in compose/state, so that every other command finds it.
"""

import json
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from bridge.fleet.environment import Environment
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project, private, write_private
from bridge.fleet.stanza import Stanza
from bridge.settings import UsageError

NAMES = ("compose", "embedded")
Say = Callable[[str], None]
UNHEALTHY = "(unhealthy)"  # Docker's word: the container lives, and may only be slow


class EngineError(Exception):
    """The machine, Docker or a program does not do what it should; one line each for what was seen and the way out (exit code 1)."""


@dataclass(frozen=True)
class Running:
    """One service or process, as `ps` shows it."""

    name: str
    kind: str  # mcp, litellm, prometheus, …
    state: str  # up, starting, down; failed: it lives, and its server was given up
    detail: str = ""

    @property
    def is_up(self) -> bool:
        return self.state == "up"

    @property
    def is_lost(self) -> bool:
        return self.state == "down" and UNHEALTHY not in self.detail


@dataclass(frozen=True)
class Urls:
    """Where this machine reaches things. Empty: this engine has no such thing."""

    mcps: str
    litellm: str
    prometheus: str = ""
    grafana: str = ""

    def of(self, stanza: Stanza) -> str:
        """The base of an MCP's URLs: /mcp, /sse, /ws and /readyz follow."""
        return f"{self.mcps}/{stanza.name}"

    def ready(self, name: str) -> str:
        return f"{self.mcps}/{name}/readyz"


@dataclass(frozen=True)
class Excerpt:
    """Which lines of a log."""

    tail: int | None = None  # the last so many
    since: float = 0.0  # Unix time
    follow: bool = False

    @classmethod
    def of(cls, tail: int | None, since: str, follow: bool) -> "Excerpt":
        """As an operator writes it. Raises ValueError."""
        if tail is not None and tail < 0:
            raise ValueError(f"--tail {tail}: a number of lines")
        if not since:
            return cls(tail, 0.0, follow)
        if found := re.fullmatch(r"(\d+)([smhd])", since):
            return cls(tail, time.time() - int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]], follow)
        try:
            return cls(tail, datetime.fromisoformat(since).timestamp(), follow)
        except ValueError:
            raise ValueError(f"--since {since}: write 10m, 2h, 1d, or a time: 2026-11-26T13:00:00") from None


@dataclass
class Started:
    """What `up` made of the fleet."""

    fleet: Fleet
    left_out: dict[str, str] = field(default_factory=dict)  # MCPs that were not to be started, and why
    troubles: dict[str, str] = field(default_factory=dict)  # what does not run though it should, and why
    still: list[str] = field(default_factory=list)  # what is still starting
    stamps: dict[str, str] = field(
        default_factory=dict
    )  # of each MCP that runs: another one as soon as it is another process, or configured anew


class Engine(Protocol):
    name: str

    def unavailable(self) -> str:
        """Why it cannot work on this machine, and the way out, in one line; empty if it can."""

    def refuse_another(self) -> None:
        """Raises EngineError where what runs by this folder's name is another folder's."""

    def refuse_taken_ports(self, fleet: Fleet, environment: Environment) -> None:
        """Raises EngineError where another has a port of the fleet."""

    def missing(self, fleet: Fleet, names: Collection[str]) -> list[str]:
        """What these MCPs need and is not here."""

    def fetch(self, images: Collection[str]) -> str:
        """Fetch what is missing. Returns why that cannot be, in one line; empty if it can."""

    def prepare(self, fleet: Fleet, names: Collection[str], environment: Environment) -> dict[str, str]:
        """Make what these MCPs need to run, beside what runs, and keep what that was made from. Returns why it cannot be for some."""

    def up(self, fleet: Fleet, names: Collection[str], environment: Environment) -> Started:
        """Make what runs be these MCPs of the fleet; what is right already is not touched. Raises EngineError."""

    def give_keys(self, fleet: Fleet, environment: Environment) -> int:
        """Make LiteLLM's virtual keys and teams those of the callers, where it has a database. Returns how many changed. Raises EngineError."""

    def given_keys(self) -> set[str]:
        """The hashes of the callers' keys that LiteLLM has. Raises EngineError."""

    def down(self, volumes: bool = False) -> None:
        """End all that `up` started."""

    def ps(self) -> list[Running]:
        """Everything that runs or should."""

    def last_words(self, name: str) -> str:
        """Why an MCP was given up, as its log says; empty if it does not."""

    def logs(self, names: Collection[str], excerpt: Excerpt) -> int:
        """Print what these logged; all, if none is named. Returns an exit code."""

    def kept(self) -> list[str]:
        """What of the MCPs' own outlives `down`."""

    def built(self) -> str:
        """What of ours does, and how it is freed, in a line; empty if nothing."""

    def prune(self) -> str:
        """Free what was built for this project and is not used. Returns what was freed, in a line."""

    def urls(self, fleet: Fleet, environment: Environment) -> Urls: ...

    def made_keys(self) -> dict[str, str]:
        """The fleet's own keys that were made without compose/.env, by name."""

    def audits(self, folder: Path) -> list[Path]:
        """The files in which calls were written down; those that have to be fetched are put into `folder`."""

    def as_here(self, fleet: Fleet, environment: Environment) -> Fleet:
        """The same MCPs, with paths in their smoke calls as they are where they run."""


@dataclass(frozen=True)
class LastUp:
    """What the last `up` decided, and what became of it."""

    engine: str
    names: tuple[str, ...]  # that shall run
    left_out: dict[str, str]  # that shall not, and why
    litellm: str
    troubles: dict[str, str] = field(default_factory=dict)  # that do not, and why
    verified: dict[str, str] = field(default_factory=dict)  # that were proved to work, each with the stamp of what was proved
    definitions: dict[str, dict[str, str]] = field(default_factory=dict)  # what they were made from: definition.py


def remember(project: Project, memory: LastUp) -> None:
    private(project.state)
    write_private(project.state / "fleet.json", json.dumps(memory.__dict__, indent=1) + "\n")


def remembered(project: Project) -> LastUp | None:
    try:
        said = json.loads((project.state / "fleet.json").read_text())
        later = {name: dict(said.get(name, {})) for name in ("troubles", "verified", "definitions")}
        return LastUp(said["engine"], tuple(said["names"]), said["left_out"], said["litellm"], **later)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{project.state / 'fleet.json'} is damaged: delete it, and run `mcp-bridge up`") from None


def forget(project: Project) -> None:
    (project.state / "fleet.json").unlink(missing_ok=True)
