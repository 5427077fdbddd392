"""What is odd in the tools of MCPs, each with the reason: findings, and never a verdict. Pure.

texts.py    what stands in a text that a model reads and a person does not see, or would not expect there
tokens.py   what a list costs a model
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.fleet.lint import texts
from bridge.fleet.stanza import Stanza
from bridge.protocol.tool_checks import oddities

Tools = Sequence[Mapping[str, Any]]
MOST = 5  # findings of one kind in one tool: a text of a thousand zero-width characters is one finding


@dataclass(frozen=True)
class Finding:
    """`kind` is a word for machines, `why` says what is odd and what it may do, `quote` where it stands."""

    tool: str
    kind: str
    why: str
    quote: str = ""


def findings(stanza: Stanza, tools: Tools, others: Mapping[str, Tools]) -> list[Finding]:
    """All that is odd in these tools of an MCP. `others` are the tools of the other MCPs of the fleet, by their names."""
    return [*_shape(stanza, tools), *_texts(tools, others), *_twins(stanza.name, tools, others)]


def _shape(stanza: Stanza, tools: Tools) -> Iterator[Finding]:
    """What models' interfaces refuse, by the names that clients see (but for what the profile `litellm` mends)."""
    renamed = stanza.tools.rename
    shown = [{**tool, "name": renamed.get(str(tool.get("name")), tool.get("name"))} for tool in tools]
    for one in oddities(shown, stanza.litellm_name):
        mended = f"; with the profile litellm {one.mended}" if one.mended else ""
        yield Finding(one.tool, "shape", f"{one.what}{mended}", one.way_out if not one.mended else "")


def _texts(tools: Tools, others: Mapping[str, Tools]) -> Iterator[Finding]:
    foreign = {name: mcp for mcp, listed in others.items() for name in names_of(listed) if texts.is_distinctive(name)}
    for name in names_of(tools):
        foreign.pop(name, None)
    for tool in tools:
        found: dict[tuple[str, str], int] = {}
        for where, text in _words(tool):
            for kind, why, quote in texts.odd(text, foreign):
                found[kind, where] = found.get((kind, where), 0) + 1
                if found[kind, where] <= MOST:
                    yield Finding(str(tool.get("name")), kind, f"{where}: {why}", quote)


def _twins(mcp: str, tools: Tools, others: Mapping[str, Tools]) -> Iterator[Finding]:
    for name in dict.fromkeys(names_of(tools)):
        if twins := sorted(other for other, listed in others.items() if name in names_of(listed)):
            why = f"{', '.join(twins)} has a tool of this name, too: LiteLLM's prefix tells them apart, and a client of both without it does not"
            yield Finding(name, "duplicate", why, f"tools: {{rename: {{{name}: {mcp.replace('-', '_')}_{name}}}}}")


def names_of(tools: Tools) -> list[str]:
    return [name for tool in tools if isinstance(name := tool.get("name"), str)]


def _words(value: object, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a tool with the way there, names of arguments too. Its own `_meta` and icons no model sees."""
    if isinstance(value, str):
        yield where or "it", value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if where or name not in ("_meta", "icons"):
                yield f"{where}.{name}".lstrip("."), str(name)
                yield from _words(inner, f"{where}.{name}".lstrip("."))
    elif isinstance(value, Iterable):
        for item in value:
            yield from _words(item, where)
