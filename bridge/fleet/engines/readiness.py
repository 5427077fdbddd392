"""What the bridge of each MCP says of it at /readyz. Docker and a list of processes know only that it lives: one whose server was
given up looks as if it started, or even as if all were well.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from bridge.fleet.ask import Http, NoResponse, Response
from bridge.fleet.engines import Engine, Running, Urls
from bridge.fleet.environment import Environment

AT_ONCE = 8
PATIENCE = 2.0
GIVEN_UP = re.compile(r'child is FATAL, giving up .*?why="(.*)"')
FAILED, STARTING = "failed", "starting"


def given_up(said: Response, last_words: Callable[[], str]) -> str:
    """Why the server was given up, as /readyz says; empty if it was not. A bridge that has several callers tells that to its log only."""
    word = said.json()
    return str(word.get("reason") or last_words() or "it does not say why") if word.get("state") == "fatal" else ""


def last_reason(log: Iterable[str]) -> str:
    """Why a server was given up the last time, as the log of its bridge says; empty if it does not."""
    found = [match[1] for line in log if (match := GIVEN_UP.search(line))]
    return found[-1] if found else ""


def token(environment: Environment) -> dict[str, str]:
    """The operator's own: who has it is told why an MCP is not ready, and what its server says uncut."""
    return {"Authorization": f"Bearer {environment.values.get('BRIDGE_TOKEN', '')}"}


def asked(http: Http, url: str, headers: Mapping[str, str]) -> Response | None:
    try:
        return http.get(url, headers, PATIENCE)
    except NoResponse:
        return None


def seen(engine: Engine, urls: Urls, environment: Environment) -> list[Running]:
    """What runs, each MCP as its bridge sees it."""
    found = engine.ps()
    lives = [one for one in found if one.kind == "mcp" and not one.is_lost]
    with Http() as http, ThreadPoolExecutor(AT_ONCE) as pool:
        said = dict(
            zip(
                (one.name for one in lives), pool.map(lambda one: asked(http, urls.ready(one.name), token(environment)), lives), strict=True
            )
        )
    return [_with_its_word(one, said.get(one.name), engine) for one in found]


def _with_its_word(one: Running, said: Response | None, engine: Engine) -> Running:
    if said is None:
        return one
    if why := given_up(said, lambda: engine.last_words(one.name)):
        return replace(one, state=FAILED, detail=why)
    if said.status == 200 and said.json().get("status") == "ready":
        return replace(one, state="up")
    return replace(one, state=STARTING, detail=str(said.json().get("reason") or one.detail))


def of_one(name: str, said: dict[str, Any]) -> dict[str, Any]:
    """What is said of this MCP: by a bridge of its own, below `mcps`, and by one of many at once."""
    mcps = said.get("mcps")
    found = mcps.get(name) if isinstance(mcps, dict) else said
    return found if isinstance(found, dict) else {}


def that_were_given_up(names: Iterable[str], url: Callable[[str], str], headers: Mapping[str, str]) -> list[str]:
    """Of these MCPs. A busy machine makes healthy ones look unhealthy to Docker."""
    mcps = [name for name in names if url(name).endswith("/readyz")]
    with Http() as http, ThreadPoolExecutor(AT_ONCE) as pool:
        said = pool.map(lambda name: asked(http, url(name), headers), mcps)
        return [name for name, one in zip(mcps, said, strict=True) if one is not None and one.json().get("state") == "fatal"]
