"""Where each client's file has its servers, and what it calls them and their fields. Pure: data in, places in it out."""

import re
from collections.abc import Iterator
from typing import Any

from bridge.clients.json_text import Keys

_MADE_UP = re.compile(
    r"(?=.*[0-9])(?=.*[A-Z])(?=.*[a-z])[A-Za-z0-9_-]{20,22}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)  # ids of Cherry Studio and others
# Where servers stand; '*' is any key.
PLACES = (
    ("mcpServers",),  # Claude, Cursor, Windsurf, Cline, Roo, Gemini, LibreChat, LM Studio, JetBrains, Copilot …
    ("servers",),  # VS Code's mcp.json
    ("mcp", "servers"),
    ("mcp.servers",),  # its settings.json
    ("customizations", "vscode", "mcp", "servers"),  # devcontainer.json
    ("context_servers",),  # Zed
    ("mcp_servers",),
    ("litellm_settings", "mcp_servers"),  # Codex, LiteLLM
    ("extensions",),  # Goose
    ("mcp", "mcpServers"),
    ("mcp",),  # opencode, Crush
    ("amp.mcpServers",),
    ("augment.advanced", "mcpServers"),
    ("experimental", "modelContextProtocolServers"),  # Continue's older config.json
    ("registry",),  # a catalog of Docker's
    ("projects", "*", "mcpServers"),  # ~/.claude.json
)
_PUBLISHED = "a server.json of the MCP registry, as JSON: mcp-bridge add --from FILE makes a stanza of it"
# Files in which MCPs stand, or that look like it, and that are for something else.
NOT_READ = (
    (("manifest_version", "server"), "the manifest of an MCP bundle (MCPB): `mcp-bridge add --from` takes the bundle itself"),
    (("dxt_version",), "the manifest of a desktop extension: unpack that, and name what its `server.mcp_config` starts"),
    (("startCommand",), "a smithery.yaml: it says how to build one server; name its package: mcp-bridge add NAME --npm PACKAGE"),
    (("packages", "name"), _PUBLISHED),
    (("remotes", "name"), _PUBLISHED),
    (("services",), "a Compose file: name its image: mcp-bridge add NAME --image IMAGE"),
    (
        ("enabledMcpjsonServers",),
        "settings of Claude Code, which only switch servers on and off: they stand in .mcp.json and ~/.claude.json",
    ),
    (
        ("disabledMcpjsonServers",),
        "settings of Claude Code, which only switch servers on and off: they stand in .mcp.json and ~/.claude.json",
    ),
)
NAMES = {
    "command": ("command", "cmd"),
    "args": ("args", "arguments"),
    "env": ("env", "environment", "envs"),
    "env_file": ("envFile", "env_file"),
    "cwd": ("cwd", "workingDirectory", "working_directory"),
    "url": ("url", "serverUrl", "httpUrl", "uri", "baseUrl", "endpoint"),
    "headers": ("headers", "http_headers", "static_headers"),
    "type": ("type", "transport", "transportType", "transport_type"),
    "description": ("description",),
    "secrets": ("secrets",),
    "hidden": ("disabledTools", "excludeTools", "disabled_tools", "disallowed_tools"),
    "shown": ("includeTools", "enabled_tools", "enabledTools", "allowed_tools", "available_tools"),
}
OFF_LISTS = (("disabledMcpServers",), ("disabledMcpjsonServers",), ("mcp", "excluded"), ("excludeMCPServers",), ("excludedMcpServers",))
NESTED = ("transport", "config", "command", "stdio")  # some clients put the fields one level deeper


def servers(data: dict[str, Any]) -> Iterator[tuple[Keys, Any]]:
    seen: list[int] = []
    for place in PLACES:
        for path, value in at(data, place):
            if _is_servers(place, value) and id(value) not in seen:
                seen.append(id(value))
                yield path, value
    if not seen and data and all(_is_server(value) for value in data.values()):
        yield (), data  # Warp


def at(data: Any, place: Keys, path: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    if not place:
        yield path, data
    elif isinstance(data, dict):
        for key in data if place[0] == "*" else (place[0],) if place[0] in data else ():
            yield from at(data[key], place[1:], (*path, key))


def _is_servers(place: Keys, value: Any) -> bool:
    """These keys are often used for something else too: there it counts what stands below."""
    if not isinstance(value, dict | list) or not value:
        return False
    if place in (("mcp",), ("extensions",), ("servers",), ("registry",), ("mcp", "servers")) or isinstance(value, list):
        return any(_is_server(one) for one in (value if isinstance(value, list) else value.values()))
    return True


def _is_server(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    inner = [value, *(value[name] for name in NESTED if isinstance(value.get(name), dict))]
    return any(one.get(name) for one in inner for name in (*NAMES["command"], *NAMES["url"], "image"))


def named(servers: Any) -> Iterator[tuple[str | int, str, Any]]:
    if isinstance(servers, dict):
        for key, value in servers.items():
            name = value.get("name") if isinstance(value, dict) and _MADE_UP.fullmatch(str(key)) else None
            yield key, name if isinstance(name, str) and name else str(key), value
    else:
        for number, value in enumerate(servers):
            said = value if isinstance(value, dict) else {}
            yield (
                number,
                str(next((said[key] for key in ("name", "id", "key") if isinstance(said.get(key), str)), f"server-{number + 1}")),
                value,
            )


def what_else(data: dict[str, Any]) -> str:
    for keys, words in NOT_READ:
        if all(key in data for key in keys):
            return f"this is {words}"
    if isinstance(data.get("registry"), dict):
        return "this is a list of names for Docker's gateway: give the catalog that it names (~/.docker/mcp/catalogs/*.yaml)"
    for place in PLACES:
        for path, value in at(data, place):
            if isinstance(value, dict | list) and not value:
                return f"'{path[0]}' must name at least one server"
    return 'no \'mcpServers\' in it: expected {"mcpServers": {NAME: {"command": …}}}, or what another client has (docs/adding-an-mcp.md names them)'


def switched_off(data: dict[str, Any]) -> set[str]:
    off = set(texts(data, *OFF_LISTS))
    for denied in data.get("deniedMcpServers") or () if isinstance(data.get("deniedMcpServers"), list) else ():
        off |= {denied["serverName"]} if isinstance(denied, dict) and isinstance(denied.get("serverName"), str) else set()
    allowed = texts(data, ("mcp", "allowed"), ("allowMCPServers",))
    return off | ({str(name) for name in data.get("mcpServers") or ()} - set(allowed) if allowed else set())


def last_part(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def texts(data: Any, *places: Keys) -> list[str]:
    return [one for place in places for _, value in at(data, place) if isinstance(value, list) for one in value if isinstance(one, str)]
