"""What a server said, for people. Pure: values in, text out."""

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bridge.inspect.connect import Visit
from bridge.inspect.schema import arguments, one_line
from bridge.inspect.survey import Facts


def transports(visits: list[Visit[Facts]]) -> str:
    wide = max(len(visit.endpoint.name) for visit in visits)
    wider = max(len(visit.endpoint.target) for visit in visits)
    return "\n".join(f"{visit.endpoint.name:{wide}}  {visit.endpoint.target:{wider}}  {_outcome(visit)}" for visit in visits)


def _outcome(visit: Visit[Facts]) -> str:
    if visit.failure:
        joint = " because: " if visit.failure.state == "failed" else ": "
        return visit.failure.state + joint + visit.failure.reason
    assert visit.said is not None  # where there is no failure
    tools = len(visit.said.lists["tools"])
    return f"works: {visit.said.revision}, {tools} tool{'s' * (tools != 1)}, {visit.milliseconds} ms"


def facts(found: Facts) -> str:
    return "\n".join(_facts(found))


def _facts(found: Facts) -> Iterator[str]:
    server = found.server
    name = f"{server.get('name', '(it does not say its name)')} {server.get('version', '')}".strip()
    title = server.get("title")
    yield f"server        {name}" + (f" ({title})" if title and title != server.get("name") else "")
    yield f"revision      {found.revision}"
    yield f"capabilities  {', '.join(map(_capability, found.capabilities.items())) or '(none)'}"
    if found.instructions:
        yield "instructions  " + found.instructions.strip().replace("\n", "\n              ")
    yield from _section("tools", found.lists["tools"], _tool)
    yield from _section("resources", found.lists["resources"], lambda item: _resource(item, "uri"))
    yield from _section("resource templates", found.lists["resourceTemplates"], lambda item: _resource(item, "uriTemplate"))
    yield from _section("prompts", found.lists["prompts"], _prompt)


def _section(title: str, items: list[dict[str, Any]], lines_of: Callable[[dict[str, Any]], Iterable[str]]) -> Iterator[str]:
    if not items:
        return
    yield ""
    yield f"{title} ({len(items)})"
    for item in items:
        first, *rest = lines_of(item)
        yield "  " + first
        yield from ("      " + line for line in rest)


def _capability(item: tuple[str, Any]) -> str:
    name, settings = item
    settings = settings if isinstance(settings, dict) else {}
    details = [key for key, value in settings.items() if value is not False and value is not None]
    return name + (f" ({', '.join(details)})" if details else "")


def _tool(tool: dict[str, Any]) -> list[str]:
    return [_headline(tool), *arguments(tool.get("inputSchema"))]


def _headline(item: dict[str, Any]) -> str:
    description = one_line(item.get("description") or item.get("title"))
    return str(item.get("name") or "(no name)") + (f" - {description}" if description and description != item.get("name") else "")


def _resource(item: dict[str, Any], address: str) -> list[str]:
    kind = [str(item["mimeType"])] if item.get("mimeType") else []
    kind += [f"{item['size']} bytes"] if item.get("size") is not None else []
    words = [item.get(address), item.get("name"), f"({', '.join(kind)})" if kind else "", item.get("description")]
    return ["  ".join(one_line(word) for word in words if word)]


def _prompt(prompt: dict[str, Any]) -> list[str]:
    named = [argument for argument in prompt.get("arguments") or [] if isinstance(argument, dict)]
    return [_headline(prompt), *map(_prompt_argument, named)]


def _prompt_argument(argument: dict[str, Any]) -> str:
    line = f"{argument.get('name')}: string" + ("  (required)" if argument.get("required") else "")
    description = one_line(argument.get("description"))
    return f"{line}  {description}" if description else line


def result(answer: dict[str, Any]) -> str:
    """What a tool answered: text as it is, the rest as a note of its type and size."""
    blocks = [_block(block) for block in answer.get("content") or [] if isinstance(block, dict)]
    if not blocks and "structuredContent" in answer:
        return json.dumps(answer["structuredContent"], ensure_ascii=False, indent=2)
    return "\n".join(blocks)


def _block(block: dict[str, Any]) -> str:
    kind = block.get("type")
    if kind == "text":
        return str(block.get("text", ""))
    if kind in ("image", "audio"):
        return f"[{kind} {block.get('mimeType')}, {_size(block.get('data'))} bytes]"
    if kind == "resource_link":
        return f"[resource_link {block.get('uri')}]"
    if kind == "resource" and isinstance(resource := block.get("resource"), dict):
        amount = f"{len(resource['text'])} characters" if "text" in resource else f"{_size(resource.get('blob'))} bytes"
        return f"[resource {resource.get('uri')} {resource.get('mimeType') or ''}, {amount}]".replace(" ,", ",")
    return f"[{kind}, {len(json.dumps(block))} characters of JSON]"


def _size(encoded: Any) -> int:
    try:
        return len(base64.b64decode(encoded or "", validate=False))
    except (binascii.Error, TypeError, ValueError):
        return len(str(encoded))
