"""From what runs to another version of it: made beside it, put in its place between two calls, proved; or all is as it was.

The files change first and for good last. Whoever ends us on the way leaves them as they were (transaction.py), and what runs is either
still the old version, or is told by the next `status` and put right by the next `up`: its image is kept.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.fleet.approved import NotListed, tools
from bridge.fleet.ask import Http, NoResponse
from bridge.fleet.engines import Engine, EngineError, LastUp, Say
from bridge.fleet.engines.readiness import of_one
from bridge.fleet.environment import Environment
from bridge.fleet.model import Fleet
from bridge.fleet.transaction import whole_or_not_at_all
from bridge.fleet.update import Stays

TICK = 0.25


@dataclass(frozen=True)
class Running:
    """The fleet that the last `up` started."""

    engine: Engine
    memory: LastUp
    environment: Environment
    headers: Mapping[str, str]
    bring_up: Callable[
        [Sequence[str], str], list[str]
    ]  # makes what runs be what the files say, LiteLLM of this version; why these MCPs are not well then

    def url(self, fleet: Fleet, name: str) -> str:
        return self.engine.urls(fleet, self.environment).of(fleet[name])

    def tools(self, fleet: Fleet, name: str) -> list[dict[str, Any]]:
        """Raises NotListed."""
        with Http() as http:
            return tools(http, self.url(fleet, name), self.headers)


@dataclass(frozen=True)
class Switch:
    """What is to be done, in this order. Each raises Stays where it must not go on."""

    name: str
    mcps: Sequence[str]  # nobody may be calling these, and they have to work afterwards
    paths: Sequence[Path]  # what may change on the disk
    write: Callable[[], None]
    reload: Callable[[], Fleet]  # as the files say then
    prepare: Callable[[Running, Fleet], None]
    bring_up: Callable[[Running], list[str]]
    put_back: Callable[[Running], list[str]]
    check: Callable[[Running, Fleet], None] = lambda *_: None


def switch(one: Switch, running: Running | None, patience: float, say: Say) -> None:
    """Raises Stays, and then it is as it was. Where nothing runs only the files change. A `patience` of 0 waits for no call and asks no
    bridge for any: one that an MCP took the place of may say that there always is one."""
    has_begun = False
    try:
        with whole_or_not_at_all(*one.paths):
            one.write()
            if running is None:
                return
            fleet = one.reload()
            one.prepare(running, fleet)
            urls = {name: running.url(fleet, name) for name in one.mcps if not fleet[name].is_remote}
            if patience:
                _wait_until_nobody_calls(urls, running.headers, patience, say)
            has_begun = True
            _prove(one, running, fleet)
    except BaseException as why:
        if has_begun and running is not None:
            say(f"{one.name}: putting back what ran before")
            if left := _put_back(one, running):
                raise Stays(f"{why or 'it was interrupted'}; and what ran before does not come back: {left}") from None
        raise


def _prove(one: Switch, running: Running, fleet: Fleet) -> None:
    try:
        if wrong := one.bring_up(running):
            raise Stays("; ".join(wrong))
        one.check(running, fleet)
    except (EngineError, NotListed) as why:
        raise Stays(str(why)) from None


def _put_back(one: Switch, running: Running) -> str:
    """Why it does not run; empty if it does."""
    try:
        return "; ".join(one.put_back(running))
    except EngineError as why:
        return str(why)


def _wait_until_nobody_calls(urls: Mapping[str, str], headers: Mapping[str, str], patience: float, say: Say) -> None:
    """A call that is in flight gets its answer from who has it. Raises Stays where there is always one."""
    deadline, is_told = time.monotonic() + patience, False
    with Http() as http:
        while calls := sum(_in_flight(http, name, url, headers) for name, url in urls.items()):
            if time.monotonic() > deadline:
                raise Stays(
                    f"{calls} calls are still in flight after {patience:g} s: try again when fewer come, --wait longer, or --wait 0, which loses them"
                )
            if not is_told:
                say(f"waiting for {calls} calls in flight")
                is_told = True
            time.sleep(TICK)


def _in_flight(http: Http, name: str, url: str, headers: Mapping[str, str]) -> int:
    """Raises Stays where its bridge lives and does not say it."""
    try:
        answer = http.get(f"{url}/status.json", headers)
    except NoResponse as silence:
        if silence.is_late:
            raise Stays(f"its bridge does not say whether anybody calls it: {silence}") from None
        return 0  # it does not run
    if answer.status in (401, 403):
        raise Stays(f"its bridge does not say whether anybody calls it: {answer.words}")
    try:
        return int(of_one(name, answer.json()).get("in_flight") or 0)
    except (ValueError, TypeError, LookupError, AttributeError):
        raise Stays(f"its bridge does not say whether anybody calls it: {answer.words[:200]}") from None
