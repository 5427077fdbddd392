"""Everything a server says about itself, and where it says something else on another transport."""

from dataclasses import dataclass, field
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp_types import METHOD_NOT_FOUND, SERVER_INFO_META_KEY

from bridge.inspect.connection import Connection, is_closed

# What to call it, who lists it, under which key, under which capability, and what identifies one.
LISTS = (
    ("tools", "tools/list", "tools", "tools", "name"),
    ("resources", "resources/list", "resources", "resources", "uri"),
    ("resourceTemplates", "resources/templates/list", "resourceTemplates", "resources", "uriTemplate"),
    ("prompts", "prompts/list", "prompts", "prompts", "name"),
)


@dataclass(frozen=True)
class Facts:
    opening: dict[str, Any]
    revision: str
    lists: dict[str, list[dict[str, Any]]]
    problems: list[str] = field(default_factory=list)

    @property
    def server(self) -> dict[str, Any]:
        stamped = (self.opening.get("_meta") or {}).get(SERVER_INFO_META_KEY)  # where the modern era has it
        return self.opening.get("serverInfo") or stamped or {}

    @property
    def is_modern(self) -> bool:
        return "supportedVersions" in self.opening

    @property
    def capabilities(self) -> dict[str, Any]:
        return self.opening.get("capabilities") or {}

    @property
    def instructions(self) -> str:
        return self.opening.get("instructions") or ""


@dataclass(frozen=True)
class Answer:
    """To a tool call: a result, or an error; and the tools there are, when it went wrong."""

    result: dict[str, Any] | None = None
    error: str = ""
    tools: tuple[str, ...] | None = None


async def survey(connection: Connection) -> Facts:
    facts = Facts(connection.opening, connection.revision or "", {})
    for name, method, key, capability, _ in LISTS:
        # Tools are asked for in any case: some servers have them and do not say so.
        asked = capability == "tools" or capability in facts.capabilities
        facts.lists[name] = await _listed(connection, method, key, facts.problems) if asked else []
    return facts


async def _listed(connection: Connection, method: str, key: str, problems: list[str]) -> list[dict[str, Any]]:
    try:
        return await connection.pages(method, key)
    except MCPError as error:
        if is_closed(error):
            raise
        if error.code != METHOD_NOT_FOUND:  # declared but missing is common (templates!), and means: none
            problems.append(f"{method}: {error.message} ({error.code})")
        return []


async def call(connection: Connection, tool: str, arguments: dict[str, Any]) -> Answer:
    result, error = None, ""
    try:
        result = await connection.call(tool, arguments)
    except MCPError as refusal:
        if is_closed(refusal):
            raise
        error = f"{refusal.message} ({refusal.code})"
    if result is not None and not result.get("isError"):
        return Answer(result)
    problems: list[str] = []
    tools = await _listed(connection, "tools/list", "tools", problems)
    return Answer(result, error, None if problems else tuple(str(known.get("name")) for known in tools))


def differences(first: Facts, other: Facts) -> list[str]:
    """What `other` says differently."""
    found = [
        f"{name} {theirs!r} instead of {ours!r}"
        for name, ours, theirs in (
            ("revision", first.revision, other.revision if first.is_modern == other.is_modern else first.revision),
            ("server", first.server, other.server),
            ("capabilities", first.capabilities, other.capabilities),
            ("instructions", first.instructions, other.instructions),
        )
        if ours != theirs
    ]
    for name, *_, identity in LISTS:
        ours = {item.get(identity): item for item in first.lists[name]}
        theirs = {item.get(identity): item for item in other.lists[name]}
        found += [f"{name}: {key} is missing" for key in ours if key not in theirs]
        found += [f"{name}: {key} is only here" for key in theirs if key not in ours]
        found += [f"{name}: {key} is not the same" for key in ours if key in theirs and ours[key] != theirs[key]]
    return found
