"""What an MCP registry says of one server: `GET /v0.1/servers/{name}/versions/{version|latest}` (the official registry's API).

Names are exact: a search is never an answer. What comes back is a stranger's word, so it must be of the server and the version that
was asked for, short, and there in time; a redirect is not followed.
"""

import json
import os
import time
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2

from bridge.printable import printable
from bridge.settings import UsageError

OFFICIAL = "https://registry.modelcontextprotocol.io"
VARIABLE = "MCP_BRIDGE_REGISTRY"
PATIENCE = 20.0  # seconds for the whole answer
LONGEST = 1 << 20
META = "io.modelcontextprotocol.registry/official"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def described(reference: str, base: str = "") -> dict[str, Any]:
    """The registry's answer on `io.github.owner/name[@version]`: `server`, and `_meta` with its status. Raises UsageError."""
    name, _, version = reference.partition("@")
    base = (base or os.environ.get(VARIABLE) or OFFICIAL).rstrip("/")
    parts = urlsplit(base)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise UsageError(f"--registry {base}: must begin with https://")
    url = f"{base}/v0.1/servers/{quote(name, safe='')}/versions/{quote(version or 'latest', safe='')}"
    status, body = _asked(url, base)
    if status == 404:
        raise UsageError(f"{reference}: {base} has no server of exactly this name" + (" and version" if version else ""))
    try:
        answer = json.loads(body) if status == 200 else None
        server = answer["server"] if isinstance(answer, dict) else None
    except (ValueError, KeyError, RecursionError):
        server = None
    if not isinstance(server, dict):
        words = printable(" ".join(body[:200].decode(errors="replace").split()))
        raise UsageError(f"{reference}: {base} answered {status} and no server: {words}")
    if server.get("name") != name or (version not in ("", "latest") and server.get("version") != version):
        told = printable(f"{server.get('name')!s:.200} {server.get('version')!s:.60}")
        raise UsageError(f"{reference}: {base} answered with another one: {told}")
    assert isinstance(answer, dict)
    return answer


def _asked(url: str, base: str) -> tuple[int, bytes]:
    deadline, body = time.monotonic() + PATIENCE, b""
    try:
        with httpx2.Client(timeout=PATIENCE / 2, follow_redirects=False) as client, client.stream("GET", url) as response:
            for part in response.iter_bytes():
                body += part
                if len(body) > LONGEST:
                    raise UsageError(f"{base}: its answer is longer than {LONGEST} bytes")
                if time.monotonic() > deadline:
                    raise UsageError(f"{base}: its answer does not end within {PATIENCE:g} s")
            return response.status_code, body
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise UsageError(f"{base}: it cannot be asked: {error or type(error).__name__} (--registry URL is another one)") from None
