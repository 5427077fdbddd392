"""What litellm/base.yaml and stanzas may not tell LiteLLM, because it would open doors that nobody sees. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

# LiteLLM takes its own users' keys from these, and hands on to an MCP what `extra_headers` names.
OF_LITELLMS_KEYS = ("authorization", "x-litellm-api-key")
WITHOUT_A_DATABASE = "allow_requests_on_db_unavailable"


def refused(base: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where it stands, and why it may not."""
    general = base.get("general_settings") or {}
    if general.get(WITHOUT_A_DATABASE):
        why = "while the database is away, LiteLLM 1.77.3 would let in whoever shows any key at all, to everything: take this out"
        yield ("general_settings", WITHOUT_A_DATABASE), why
    for name, entry in (base.get("mcp_servers") or {}).items():
        for header in keys_in((entry or {}).get("extra_headers") or ()) if isinstance(entry, dict) else ():
            yield ("mcp_servers", str(name), "extra_headers"), f"{header}: {HANDED_ON}"


def keys_in(headers: Iterable[object]) -> list[str]:
    """Those of these headers in which a user's key for LiteLLM stands."""
    return [str(header) for header in headers if str(header).strip().lower() in OF_LITELLMS_KEYS]


HANDED_ON = "LiteLLM would hand its users' own LiteLLM keys to this MCP: a caller's key for the MCP goes in x-mcp-NAME-authorization"
