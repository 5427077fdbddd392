"""From the version that runs to another one: made beside it, put in its place between two calls, proved; or all is as it was.

The files change first and for good last. Whoever ends us on the way leaves them as they were (transaction.py), and what runs is either
still the old version, or is told by the next `status` and put right by the next `up`: its image is kept.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.fleet import lock
from bridge.fleet.approved import NotListed, tools
from bridge.fleet.ask import Http, NoResponse
from bridge.fleet.engines import Engine, EngineError, LastUp, Say
from bridge.fleet.environment import Environment
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project
from bridge.fleet.transaction import whole_or_not_at_all
from bridge.fleet.update import Stays, previous
from bridge.fleet.update.previous import Change

TICK = 0.25
BringUp = Callable[[str], list[str]]  # makes what runs be what the stanzas say; why this MCP is not well then
Check = Callable[[list[dict[str, Any]]], list[str]]  # of the tools that it lists when it runs: what is wrong with them


@dataclass(frozen=True)
class Running:
    """The fleet that the last `up` started."""

    engine: Engine
    memory: LastUp
    environment: Environment
    headers: Mapping[str, str]
    bring_up: BringUp

    def url(self, fleet: Fleet, name: str) -> str:
        return self.engine.urls(fleet, self.environment).of(fleet[name])

    def tools(self, fleet: Fleet, name: str) -> list[dict[str, Any]]:
        """Raises NotListed."""
        with Http() as http:
            return tools(http, self.url(fleet, name), self.headers)


def switch(
    project: Project, change: Change, running: Running | None, reload: Callable[[], Fleet], patience: float, say: Say, check: Check
) -> None:
    """Raises Stays, and then it is as it was. `reload` gives the fleet as the files say."""
    name = change.stanza.name
    has_begun = False
    try:
        with whole_or_not_at_all(project.images / name, previous.place(project, name)):
            previous.make(project, change)
            if not lock.is_locked(project, change.stanza):
                raise Stays("its locks are not those of its stanza any more (constraints, Python): it was changed since")
            if running is None:
                return
            fleet = reload()
            if troubles := running.engine.prepare(fleet, [name], running.environment):
                raise Stays(next(iter(troubles.values())))
            _wait_until_nobody_calls(running.url(fleet, name), running.headers, patience, say)
            has_begun = True
            _prove(running, fleet, name, check)
    except BaseException as why:
        if has_begun and running is not None:
            say(f"{name}: putting back what ran before")
            if left := running.bring_up(name):
                raise Stays(f"{why}; and what ran before does not come back: {'; '.join(left)}") from None
        raise


def _prove(running: Running, fleet: Fleet, name: str, check: Check) -> None:
    try:
        if wrong := running.bring_up(name):
            raise Stays("; ".join(wrong))
        if wrong := check(running.tools(fleet, name)):
            raise Stays(f"it says other tools now than when it was tried: {', '.join(wrong[:5])}")
    except (EngineError, NotListed) as why:
        raise Stays(str(why)) from None


def _wait_until_nobody_calls(url: str, headers: Mapping[str, str], patience: float, say: Say) -> None:
    """A call that is in flight gets its answer from who has it. Raises Stays where there is always one."""
    deadline, is_told = time.monotonic() + patience, False
    with Http() as http:
        while calls := _in_flight(http, url, headers):
            if time.monotonic() > deadline:
                raise Stays(f"{calls} calls are still in flight after {patience:g} s: try again when fewer come, or --wait longer")
            if not is_told:
                say(f"waiting for {calls} calls in flight")
                is_told = True
            time.sleep(TICK)


def _in_flight(http: Http, url: str, headers: Mapping[str, str]) -> int:
    try:
        return int(http.get(f"{url}/status.json", headers).json().get("in_flight") or 0)
    except NoResponse:
        return 0  # it does not run
