"""What to paste into a client so that it reaches the MCPs of the fleet. Pure: addresses and the word for the key in, text out.

`bridge/clients` reads such files; the tests let it read these.
"""

import json
from collections.abc import Callable, Mapping

Urls = Mapping[str, str]  # of each MCP's /mcp, by its name
VARIABLE = "MCP_FLEET_KEY"


def _claude_code(urls: Urls, key: str) -> str:
    return "\n".join(f'claude mcp add --transport http {name} {url} --header "Authorization: Bearer {key}"' for name, url in urls.items())


def _claude_desktop(urls: Urls, key: str) -> str:
    """It starts programs only, so a small one stands between. A space in an argument is lost on Windows: it is in the variable."""
    words = {name: ["-y", "mcp-remote", url, *_plain(url), "--header", f"Authorization:${{{VARIABLE}}}"] for name, url in urls.items()}
    servers = {name: {"command": "npx", "args": args, "env": {VARIABLE: f"Bearer {key}"}} for name, args in words.items()}
    return "claude_desktop_config.json (Settings, Developer, Edit Config):\n" + _json({"mcpServers": servers})


def _cursor(urls: Urls, key: str) -> str:
    servers = {name: {"url": url, "headers": {"Authorization": f"Bearer {key}"}} for name, url in urls.items()}
    return "~/.cursor/mcp.json:\n" + _json({"mcpServers": servers})


def _vscode(urls: Urls, key: str) -> str:
    asked = {"type": "promptString", "id": "mcp-fleet-key", "description": "The key of the MCP fleet", "password": True}
    headers = {"Authorization": "Bearer ${input:mcp-fleet-key}"}
    servers = {name: {"type": "http", "url": url, "headers": headers} for name, url in urls.items()}
    return f".vscode/mcp.json (it asks for {key} once, and keeps it):\n" + _json({"inputs": [asked], "servers": servers})


def _open_webui(urls: Urls, key: str) -> str:
    head = "Admin Settings, External Tools, Add Connection, for each; type MCP (Streamable HTTP), authentication Bearer:"
    return "\n".join([head, *(f"  {name}: URL {url}, key {key}" for name, url in urls.items()), IN_A_CONTAINER])


def _n8n(urls: Urls, key: str) -> str:
    head = "MCP Client Tool, for each; server transport HTTP Streamable, authentication Bearer Auth:"
    return "\n".join([head, *(f"  {name}: endpoint {url}, bearer token {key}" for name, url in urls.items()), IN_A_CONTAINER])


def _litellm(urls: Urls, key: str) -> str:
    entry = "  {name}:\n    url: {url}\n    transport: http\n    auth_type: bearer_token\n    auth_value: os.environ/" + VARIABLE
    servers = [entry.format(name=name.replace("-", "_"), url=url) for name, url in urls.items()]
    return "\n".join(
        [f"config.yaml, with {VARIABLE}={key} in its environment (the fleet's own LiteLLM needs none of this):", "mcp_servers:", *servers]
    )


def _curl(urls: Urls, key: str) -> str:
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "curl", "version": "1"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}, separators=(",", ":"))
    return "\n".join(
        f"curl -si {url} -H 'authorization: Bearer {key}' -H 'accept: application/json, text/event-stream' \\\n"
        f"  -H 'content-type: application/json' -d '{body}'     # then with -H 'mcp-session-id: …' of its answer"
        for url in urls.values()
    )


CLIENTS: dict[str, Callable[[Urls, str], str]] = {
    "claude-code": _claude_code,
    "claude-desktop": _claude_desktop,
    "cursor": _cursor,
    "vscode": _vscode,
    "open-webui": _open_webui,
    "n8n": _n8n,
    "litellm": _litellm,
    "curl": _curl,
}
IN_A_CONTAINER = "(if it runs in a container of this machine, write host.docker.internal for 127.0.0.1)"


def _plain(url: str) -> list[str]:
    """mcp-remote wants to be told that a key goes over the network in clear."""
    is_here = url.startswith(("http://127.0.0.1:", "http://localhost:"))
    return ["--allow-http"] if url.startswith("http:") and not is_here else []


def _json(data: object) -> str:
    return json.dumps(data, indent=2)
