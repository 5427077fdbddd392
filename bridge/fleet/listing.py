"""`mcp-bridge tools`, `resources`, `prompts`: what the whole fleet offers, each with the MCP that has it."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import anyio

from bridge.fleet.columns import columns
from bridge.fleet.engines import Urls
from bridge.fleet.environment import Environment
from bridge.fleet.model import Fleet
from bridge.fleet.stanza import Stanza
from bridge.fleet.verify import headers_for
from bridge.fleet.verify.direct import endpoints, plan
from bridge.inspect.connect import visit
from bridge.inspect.schema import arguments, one_line
from bridge.inspect.survey import Facts, survey
from bridge.printable import printable

PATIENCE = 10.0
AT_ONCE = 8
KINDS = {"tools": ("tools",), "resources": ("resources", "resourceTemplates"), "prompts": ("prompts",)}


@dataclass(frozen=True)
class Offer:
    """What one MCP has of a kind, or why it does not say."""

    stanza: Stanza
    items: list[dict[str, Any]]
    trouble: str = ""


def ask(fleet: Fleet, environment: Environment, urls: Urls, kind: str) -> list[Offer]:
    """The offers of all MCPs, in their order."""
    for name in ("mcp", "client"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return anyio.run(_ask, fleet, environment, urls, kind)


async def _ask(fleet: Fleet, environment: Environment, urls: Urls, kind: str) -> list[Offer]:
    offers: dict[str, Offer] = {}
    limit = anyio.CapacityLimiter(AT_ONCE)

    async def one(stanza: Stanza) -> None:
        endpoint = endpoints(stanza, stanza.url or urls.of(stanza))[0]
        async with limit:
            visited = await visit(endpoint, plan(endpoint, headers_for(stanza, environment), PATIENCE), survey)
        offers[stanza.name] = _offer(stanza, visited.said, visited.failure.reason if visited.failure else "", kind)

    async with anyio.create_task_group() as tasks:
        for stanza in fleet.stanzas:
            tasks.start_soon(one, stanza)
    return [offers[stanza.name] for stanza in fleet.stanzas]


def _offer(stanza: Stanza, facts: Facts | None, trouble: str, kind: str) -> Offer:
    return Offer(stanza, [item for key in KINDS[kind] for item in facts.lists[key]] if facts else [], trouble)


def as_data(offers: list[Offer], kind: str) -> list[dict[str, Any]]:
    """One object for each, as the server said it, with the server's name and, for a tool, its name in LiteLLM."""
    return [
        {
            "server": offer.stanza.name,
            **({"litellm_name": f"{offer.stanza.litellm_name}-{item.get('name')}"} if kind == "tools" else {}),
            **item,
        }
        for offer in offers
        for item in offer.items
    ]


def as_table(offers: list[Offer], kind: str) -> Iterator[str]:
    rows = [["MCP", *HEADS[kind]]]
    rows += [[offer.stanza.name, *(printable(cell) for cell in CELLS[kind](item))] for offer in offers for item in offer.items]
    if len(rows) == 1:
        yield f"no {kind}"
        return
    yield from columns(rows)


def _tool(item: dict[str, Any]) -> list[str]:
    taken = [line.partition(":")[0] for line in arguments(item.get("inputSchema"))]
    return [str(item.get("name")), ", ".join(taken), _short(item.get("description") or item.get("title"))]


def _resource(item: dict[str, Any]) -> list[str]:
    return [
        str(item.get("uri") or item.get("uriTemplate")),
        str(item.get("mimeType") or ""),
        _short(item.get("description") or item.get("name")),
    ]


def _prompt(item: dict[str, Any]) -> list[str]:
    taken = [str(argument.get("name")) for argument in item.get("arguments") or [] if isinstance(argument, dict)]
    return [str(item.get("name")), ", ".join(taken), _short(item.get("description") or item.get("title"))]


HEADS = {
    "tools": ("tool", "arguments", "what it does"),
    "resources": ("resource", "type", "what it is"),
    "prompts": ("prompt", "arguments", "what it does"),
}
CELLS = {"tools": _tool, "resources": _resource, "prompts": _prompt}


def _short(text: Any) -> str:
    line = one_line(str(text or ""))
    return line if len(line) <= 80 else line[:79] + "…"


def dump(offers: list[Offer], kind: str) -> str:
    return json.dumps(as_data(offers, kind), ensure_ascii=False, indent=2)
