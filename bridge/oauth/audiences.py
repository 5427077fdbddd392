"""Whom a token must be for (RFC 8707; MCP "Authorization", Token Handling): one for an MCP opens no other one of the same bridge.

https://mcp.example.com/time/mcp       the MCP `time` alone: so clients name the resource that they connect to
https://mcp.example.com/{mcp}/mcp      each MCP by its name
api://mcp-bridge                       all of them
"""

from collections.abc import Collection, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

NAME = "{mcp}"
ENDPOINTS = ("mcp", "sse", "messages", "ws")


class Audiences:
    """Those of a bridge. `has_names`: it has several MCPs, below their names; else each audience is good for the only one."""

    def __init__(self, given: Sequence[str], has_names: bool = False):
        self._given = given
        self._has_names = has_names
        self._known = lru_cache(1000)(self._of)

    def of(self, mcp: str) -> list[str]:
        """Those that are good for this MCP; for what is none ("", a page) those that are good for all."""
        return self._known(mcp)

    def _of(self, mcp: str) -> list[str]:
        good = [audience for audience in self._given if self._is_good(audience, mcp)]
        named = [audience.replace(NAME, mcp) for audience in good]
        # An authorization server may write the root of a host with its slash, and clients without.
        return sorted({spelling for audience in named for spelling in (audience, audience.rstrip("/"), audience + "/")})

    def _is_good(self, audience: str, mcp: str) -> bool:
        if not self._has_names:
            return True
        if NAME in audience:
            return bool(mcp)
        parts = _parts(audience)
        return len(parts) < 2 or parts[-1] not in ENDPOINTS or parts[-2] == mcp

    def ambiguous(self, names: Collection[str]) -> str | None:
        """One that ends with the name of an MCP, and would be good for all of them."""
        return next((audience for audience in self._given if self._has_names and _parts(audience)[-1:] in ([name] for name in names)), None)


def _parts(audience: str) -> list[str]:
    """Of its path."""
    try:
        return [part for part in urlsplit(audience).path.split("/") if part]
    except ValueError:  # it may be any text
        return []
