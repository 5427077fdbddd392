"""What the door serves as a registry of MCP servers that can only be read, so that clients with a gallery find the fleet's own.

Source: the generic registry API v0.1 of modelcontextprotocol/registry, and server.json of 2025-12-11. The door writes where it was asked, and
when, in the place of `ADDRESS` and `TIME`: a file that is rendered knows neither.
"""

import json
import re
from typing import Any

from bridge.fleet.files import MADE_BY
from bridge.fleet.model import Fleet
from bridge.fleet.stanza import Stanza

NAMESPACE = "local.mcp-fleet"
ADDRESS, TIME = "http://the.door", "1970-01-01T00:00:00Z"
_SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
_SHORT = 100  # characters of a description, by the schema


def is_served(fleet: Fleet) -> bool:
    """Unless it is said: where everybody with a key may use every MCP, their names are no secret."""
    return not fleet.callers if fleet.registry is None else fleet.registry


def document(fleet: Fleet) -> str:
    """The answer to `GET /v0.1/servers`, with all of them."""
    servers = [_server(stanza) for stanza in fleet.sidecars if not stanza.tests_only] if is_served(fleet) else []
    answer = {"$comment": MADE_BY, "servers": servers, "metadata": {"count": len(servers)}}
    return json.dumps(answer, indent=1, ensure_ascii=False) + "\n"


def _server(stanza: Stanza) -> dict[str, Any]:
    about = stanza.description or f"The MCP server {stanza.name}"
    return {
        "server": {
            "$schema": _SCHEMA,
            "name": f"{NAMESPACE}/{stanza.name}",
            "title": stanza.name,
            "description": about if len(about) <= _SHORT else f"{about[: _SHORT - 1]}…",
            "version": _version(stanza),
            "remotes": [_remote(stanza, "streamable-http", "mcp"), _remote(stanza, "sse", "sse")],
        },
        "_meta": {
            "io.modelcontextprotocol.registry/official": {
                "status": "active",
                "statusChangedAt": TIME,
                "publishedAt": TIME,
                "updatedAt": TIME,
                "isLatest": True,
            }
        },
    }


def _remote(stanza: Stanza, kind: str, path: str) -> dict[str, Any]:
    key = {"description": "Your key of the fleet", "isRequired": True, "isSecret": True}
    header = {"name": "Authorization", "value": "Bearer {key}", "isRequired": True, "isSecret": True, "variables": {"key": key}}
    return {"type": kind, "url": f"{ADDRESS}/{stanza.name}/{path}", "headers": [header]}


def _version(stanza: Stanza) -> str:
    """Of the package that its image is made of; of what has none, one that says so."""
    for text in (*stanza.pypi[:1], *stanza.npm[:1], re.sub(r"@sha256:.*", "", stanza.image)):
        if found := re.search(r"(?<=.)(?:==|@|:)([^/:@=]+)$", text):
            return found[1]
    return "0.0.0"
