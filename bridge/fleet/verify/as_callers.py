"""Does each caller of images/fleet.yaml see and do what its rules say, and no more? Asked as that caller, at the door and through LiteLLM.

Nobody has the callers' keys, so each gets one more for as long as this takes: at random, known to the bridges by hash, and gone afterwards.
Where LiteLLM has a database, that is its key there as well; it is shown to LiteLLM with and without the one for the MCP.
What a rule denies is called only if it is the stanza's smoke call, which is harmless: another tool is looked for in the list.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any

import anyio

from bridge.callers.caller import Caller
from bridge.callers.rules import Level
from bridge.callers.tokens import hash_of
from bridge.fleet import callers
from bridge.fleet.ask import Http
from bridge.fleet.engines import Urls
from bridge.fleet.environment import Environment
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project
from bridge.fleet.ship import write_shipped
from bridge.fleet.stanza import Stanza
from bridge.fleet.verify import direct
from bridge.fleet.verify.gateway import Gateway
from bridge.fleet.verify.result import FAILED, NONE, OK, Hop
from bridge.inspect.connect import visit
from bridge.inspect.connection import Connection
from bridge.inspect.survey import Answer, Facts, call, survey

KNOWN_WITHIN = 30.0  # seconds in which every bridge has looked at its callers file
ALONE = "LiteLLM's key alone"
NEEDS = "needs x-mcp-NAME-authorization, too"
EVERYBODY = "verify-sees-all"  # who is there to tell when that is so


@dataclass(frozen=True)
class Outcome:
    caller: str
    mcp: str
    hops: tuple[Hop, ...]

    @property
    def is_ok(self) -> bool:
        return all(hop.state != FAILED for hop in self.hops)


def verify(
    project: Project,
    fleet: Fleet,
    environment: Environment,
    urls: Urls,
    give_keys: Callable[[dict[str, Any]], object] = lambda callers: None,
) -> list[Outcome]:
    """For each caller and each MCP. `fleet`: the MCPs that run. `give_keys` makes LiteLLM's keys those of such callers, where it has any."""
    names = [name for name in fleet.callers if name != callers.LITELLM]
    known = callers.check(fleet.callers) if names else None
    if known is None:
        return []
    with Http() as http, _with_more_keys(project, fleet, [*names, EVERYBODY], give_keys) as keys:
        master = environment.values.get("LITELLM_MASTER_KEY", "")
        gateways = {name: Gateway(urls.litellm, keys[name] if fleet.litellm.database else master, http) for name in names}
        pairs = [(known.of(name), stanza) for name in names for stanza in fleet.sidecars]

        async def run() -> list[Outcome]:
            tools = {stanza.name: await _tools(stanza, urls, keys[EVERYBODY]) for stanza in fleet.sidecars}
            return [
                await _as(caller, stanza, tools[stanza.name], urls, keys[caller.name], gateways[caller.name], fleet.litellm.database)
                for caller, stanza in pairs
            ]

        return anyio.run(run)


async def _as(caller: Caller, stanza: Stanza, tools: list[str] | None, urls: Urls, key: str, gateway: Gateway, has_own: bool) -> Outcome:
    if tools is None:
        return Outcome(caller.name, stanza.name, (Hop("lists", FAILED, "it does not work for anybody", "mcp-bridge verify"),))
    own = {shown: name for name, shown in stanza.tools.rename.items()}
    rules = caller.on(stanza.name)
    levels = {tool: Level.DENY if rules.is_hidden else rules.decide("tool", own.get(tool, tool)).level for tool in tools}
    smoke = direct.seen_as(stanza, stanza.smoke) if stanza.smoke else ""
    facts, answer = await _visited(stanza, urls, key, smoke)
    seen = sorted(str(tool.get("name")) for tool in facts.lists["tools"]) if facts else []
    right = sorted(tool for tool in tools if levels[tool] >= Level.READ)
    hops = [
        Hop("lists", OK, f"{len(seen)} of {len(tools)} tools")
        if seen == right
        else Hop(
            "lists",
            FAILED,
            f"shows {', '.join(seen) or 'nothing'}, and the rules say {', '.join(right) or 'nothing'}",
            "mcp-bridge caller list",
        )
    ]
    if (said := stanza.smoke) is None:
        return Outcome(caller.name, stanza.name, (*hops, Hop("calls", NONE, "the stanza names no smoke call")))
    may = levels.get(smoke, Level.DENY) >= Level.EXECUTE
    if may and stanza.refuses_without:
        return Outcome(caller.name, stanza.name, (*hops, Hop("calls", NONE, "it works with each caller's own secrets")))
    hops.append(_judged("calls", may, answer is not None and _worked(answer), _words(answer)))
    if stanza.litellm.enabled:
        header = {f"x-mcp-{stanza.litellm_name}-authorization": f"Bearer {key}"}
        through = await anyio.to_thread.run_sync(lambda: gateway.call(stanza, said, header))
        hops.append(_judged("through LiteLLM", may, through.state == OK, through.seen))
    if stanza.litellm.enabled and has_own:
        alone = (await anyio.to_thread.run_sync(lambda: gateway.call(stanza, said))).state == OK
        hops.append(Hop(ALONE, NONE, NEEDS) if may and not alone else _judged(ALONE, may, alone, ""))
    return Outcome(caller.name, stanza.name, tuple(hops))


def _judged(hop: str, may: bool, did: bool, words: str) -> Hop:
    if may == did:
        return Hop(hop, OK, "works" if may else "is refused")
    if may:
        return Hop(hop, FAILED, f"may, and cannot: {words}", "mcp-bridge verify says whether it works for you")
    return Hop(hop, FAILED, "may not, and can", "is the bridge told of the callers? mcp-bridge up")


async def _tools(stanza: Stanza, urls: Urls, key: str) -> list[str] | None:
    """All that there are, for who may see all; None if the bridge does not know such a one in time."""
    deadline = time.monotonic() + KNOWN_WITHIN
    while True:
        facts, _ = await _visited(stanza, urls, key, "")
        if facts is not None or time.monotonic() > deadline:
            return [str(tool.get("name")) for tool in facts.lists["tools"]] if facts else None
        await anyio.sleep(0.5)


async def _visited(stanza: Stanza, urls: Urls, key: str, smoke: str) -> tuple[Facts | None, Answer | None]:
    """What this key sees, and what its call comes to; None for who is not let in."""

    async def talk(connection: Connection) -> tuple[Facts, Answer | None]:
        facts = await survey(connection)
        return facts, await call(connection, smoke, stanza.smoke.arguments) if smoke and stanza.smoke else None

    endpoint = direct.endpoints(stanza, urls.of(stanza))[0]
    visited = await visit(endpoint, direct.plan(endpoint, {"Authorization": f"Bearer {key}"}, direct.CALL), talk)
    return visited.said if visited.failure is None and visited.said is not None else (None, None)


def _worked(answer: Answer) -> bool:
    return answer.result is not None and not answer.result.get("isError")


def _words(answer: Answer | None) -> str:
    return "it is not let in" if answer is None else answer.error or json.dumps(answer.result)[:160]


@contextmanager
def _with_more_keys(
    project: Project, fleet: Fleet, names: list[str], give_keys: Callable[[dict[str, Any]], object]
) -> Iterator[dict[str, str]]:
    """A key more for each of these callers, as long as this lasts."""
    keys = {name: f"sk-{token_urlsafe(32)}" for name in names}
    said: dict[str, dict[str, Any]] = {**fleet.callers, EVERYBODY: {"default": "read"}}
    for name, key in keys.items():
        before = said[name].get("token_sha256", [])
        said[name] = said[name] | {
            "token_sha256": [*(before if isinstance(before, list) else [before]), hash_of(key).removeprefix("sha256:")]
        }
    try:
        write_shipped(project, fleet.model_copy(update={"callers": said}))
        give_keys({name: entry for name, entry in said.items() if name != EVERYBODY})
        yield keys
    finally:
        write_shipped(project, fleet)
        give_keys(fleet.callers)


def table(outcomes: list[Outcome], columns: Callable[[list[list[str]]], Iterator[str]]) -> str:
    marks = {OK: "ok", FAILED: "FAILED", NONE: "."}
    names = ("lists", "calls", "through LiteLLM", *([ALONE] if any(hop.name == ALONE for one in outcomes for hop in one.hops) else []))
    rows = [["caller", "MCP", *names]]
    for one in outcomes:
        found = {hop.name: hop for hop in one.hops}
        rows.append([one.caller, one.mcp, *(f"{marks[found[name].state]} {found[name].seen}" if name in found else "" for name in names)])
    lines = [*columns(rows)]
    lines += [
        f"{one.caller}, {one.mcp}: {hop.name}: {hop.seen}\n  → {hop.todo}" for one in outcomes for hop in one.hops if hop.state == FAILED
    ]
    return "\n".join(lines)
