"""A server's tools as OpenAI function definitions. Pure."""

import re
from typing import Any

LONGEST = 64
RULE = f"OpenAI takes letters, digits, _ and -, up to {LONGEST}"
FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]")


def functions(tools: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The definitions, and what had to be changed."""
    definitions, notes = [], []
    taken: set[str] = set()
    for tool in tools:
        name = _valid(str(tool.get("name") or ""), taken)
        taken.add(name)
        if name != tool.get("name"):
            notes.append(f"tool {tool.get('name')!r} is called {name!r}: {RULE}")
        definitions.append({"type": "function", "function": _function(name, tool)})
    return definitions, notes


def _function(name: str, tool: dict[str, Any]) -> dict[str, Any]:
    schema = tool.get("inputSchema")
    schema = dict(schema) if isinstance(schema, dict) else {}
    # OpenAI refuses an object schema without either, and MCP servers leave them out for tools without arguments.
    parameters = {"type": "object"} | schema
    parameters.setdefault("properties", {})
    return {"name": name, "description": tool.get("description") or tool.get("title") or "", "parameters": parameters}


def _valid(name: str, taken: set[str]) -> str:
    plain = FORBIDDEN.sub("_", name)[:LONGEST] or "tool"
    candidate, number = plain, 1
    while candidate in taken:
        number += 1
        candidate = f"{plain[: LONGEST - len(str(number)) - 1]}_{number}"
    return candidate
