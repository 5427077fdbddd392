"""The MCP revisions of the handshake era, and what each of them has.

Source: the "Transports" and "Lifecycle" pages of each revision of the specification.
"""

from collections.abc import Mapping

V2024_11_05 = "2024-11-05"
V2025_03_26 = "2025-03-26"
V2025_06_18 = "2025-06-18"
V2025_11_25 = "2025-11-25"

HANDSHAKE = (V2024_11_05, V2025_03_26, V2025_06_18, V2025_11_25)
NEWEST = HANDSHAKE[-1]
FIRST_MODERN = "2026-07-28"
MODERN = (FIRST_MODERN,)  # those that we serve

# 2025-03-26, basic/transports: "the server SHOULD assume protocol version 2025-03-26" without a header.
WITHOUT_HEADER = V2025_03_26


def negotiate(wanted: str | None, child: str) -> str:
    """The revision of a session: the client's if we know it and the child is not older, else the child's."""
    if wanted in HANDSHAKE and (child not in HANDSHAKE or wanted <= child):
        return wanted
    return child


def of_header(headers: Mapping[bytes, bytes]) -> str:
    """The revision of a session that nobody opened: what its request says, or the newest."""
    said = headers.get(b"mcp-protocol-version", b"").decode("latin-1").partition(",")[0].strip()
    return said if said in HANDSHAKE else NEWEST


def has_batches(revision: str) -> bool:
    """JSON-RPC batches came with 2025-03-26 and went with 2025-06-18."""
    return revision == V2025_03_26


def has_priming(revision: str) -> bool:
    """An empty first event makes a stream resumable from its start; older parsers choke on it."""
    return revision >= V2025_11_25


def is_modern(revision: str) -> bool:
    """A date of the era without a handshake, whether we know that revision or not."""
    return len(revision) == 10 and revision[4:8:3] == "--" and revision >= FIRST_MODERN
