"""What is odd in a list of tools: what models, their interfaces or LiteLLM choke on, each with the way out. Pure.

`mended` says what the profile `litellm` makes of it, with the same meaning: then nothing is to be done. In a list that has come
through a bridge of that profile nothing of this kind is left. `verify`, `add` and `lint` ask the same.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bridge.protocol import model_names, schemas

DESCRIPTION = 1024  # characters of a tool's description that OpenAI's interface takes
LONG = f"a description longer than the {DESCRIPTION} characters that some OpenAI models take"
MANY = 3  # tools that are named
_ARGUMENT = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True)
class Oddity:
    """`tool` by the server's own name; `what` is odd about it, what the profile `litellm` makes of it, and `way_out` for the
    operator where that is nothing."""

    tool: str
    what: str
    way_out: str
    mended: str = ""

    def __str__(self) -> str:
        return f"{self.tool}: {self.what}"


def oddities(tools: list[schemas.Schema], server: str = "") -> list[Oddity]:
    """All that is odd in these tools (as `tools/list` gives them, of all pages) of a server that LiteLLM calls `server`."""
    found = [*_names([tool.get("name") for tool in tools], server)]
    for tool in tools:
        if isinstance(tool.get("name"), str):
            found += _schema(tool["name"], tool.get("inputSchema"))
            found += _description(tool)
    return found


def together(odd: list[Oddity]) -> list[Oddity]:
    """One for all tools of which the same is odd: the first of them are named, and the way out has NAME in their place."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for one in odd:
        alike.setdefault((one.what, one.way_out.replace(f"[{one.tool}]", "[NAME]"), one.mended), []).append(one.tool)
    return [
        Oddity(_some(tools), what, way_out if tools[1:] else way_out.replace("[NAME]", f"[{tools[0]}]"), mended)
        for (what, way_out, mended), tools in alike.items()
    ]


def _some(names: list[str]) -> str:
    return ", ".join(names[:MANY]) + (f" and {len(names) - MANY} more" if len(names) > MANY else "")


def _names(names: list[Any], server: str) -> Iterator[Oddity]:
    longest = model_names.room(server)
    texts = [name for name in names if isinstance(name, str)]
    if len(texts) < len(names):
        yield Oddity(f"{len(names) - len(texts)} tools", "without a name: no client can call them", _TELL, "they are left out")
    shown = model_names.mended(texts, longest)
    for name, count in Counter(texts).items():
        if count > 1:
            yield Oddity(name, f"{count} tools have this name, and the server decides which one is called", _TELL, "the first one is shown")
        if name in shown:
            why = (
                f"is longer than {longest} characters, which is what models take of it after {server + model_names.SEPARATOR!r}"
                if len(name) > longest
                else "has signs that models refuse"
            )
            yield Oddity(
                name, f"its name {why}", f"tools: {{rename: {{{name}: NAME}}}} gives it one of your own", f"it is shown as {shown[name]!r}"
            )


def _schema(name: str, schema: Any) -> Iterator[Oddity]:
    if not isinstance(schema, dict):
        flaw = "no inputSchema" if schema is None else f"an inputSchema that is {'a boolean' if isinstance(schema, bool) else 'no object'}"
        yield Oddity(name, f"it has {flaw}", _TELL, "models are told that it takes an object")
        return
    if schema.get("type", "object") != "object":
        yield Oddity(name, f"its arguments are {schema['type']!r} and no object, which nothing but an object can be", _TELL)
    elif not isinstance(schema.get("properties"), dict):
        yield Oddity(name, "its inputSchema has no properties, which OpenAI's interface refuses", _TELL, "it gets empty ones")
    if any(isinstance(part, bool) for one in schemas.walk(schema) for part in _judged(one)):
        yield Oddity(name, "its inputSchema has booleans for schemas", _TELL, "they are spelled as objects")
    if any(one.get("type") == "array" and "items" not in one and "prefixItems" not in one for one in schemas.walk(schema)):
        yield Oddity(
            name, "its inputSchema has an array without items, which OpenAI's interface refuses", _TELL, "it gets items of any kind"
        )
    if schemas.has_references(schema):
        if schemas.inlined(schema) is not None:
            yield Oddity(name, "its inputSchema has $ref, which some models refuse", _TELL, "what it points at stands in its place")
        else:
            yield Oddity(
                name,
                "its inputSchema has a $ref that points at itself, outside or at nothing: some models refuse the whole list",
                _deny(name),
            )
    if outside := [word for word in ("anyOf", "oneOf", "allOf", "not", "enum") if word in schema]:
        yield Oddity(
            name,
            f"its inputSchema has {outside[0]} at its top, which OpenAI's and Anthropic's interfaces refuse with the whole list",
            _deny(name),
        )
    properties = schema.get("properties")
    if bad := [argument for argument in (properties if isinstance(properties, dict) else ()) if not _ARGUMENT.fullmatch(argument)]:
        yield Oddity(name, f"its argument {bad[0][:80]!r} has a name that Anthropic's interface refuses with the whole list", _deny(name))


def _judged(schema: schemas.Schema) -> Iterator[Any]:
    """The parts of a schema in whose place a boolean is odd."""
    return schemas.parts({name: value for name, value in schema.items() if name not in schemas.BOOLEAN})


def _description(tool: schemas.Schema) -> Iterator[Oddity]:
    description = tool.get("description")
    if isinstance(description, str) and len(description) > DESCRIPTION:
        yield Oddity(tool["name"], LONG, _deny(tool["name"]))


def _deny(name: str) -> str:
    return f"where a model refuses it: tools: {{deny: [{name}]}} in the stanza"


_TELL = "tell the server's makers"
