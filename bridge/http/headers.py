"""The headers of a request, read by one function for every transport: a proxy, a check and an endpoint must not each see another one.

RFC 9110, 5.3: a header that came more than once is one list. Those that are no lists are refused: whichever of two Hosts or
two tokens is looked at, somebody else has looked at the other.
"""

from collections import defaultdict

from bridge.protocol.errors import INVALID_REQUEST, Reason, Refusal

Pairs = list[tuple[bytes, bytes]]
# No lists, and something is decided by each of them. (MCP-Protocol-Version comes twice from real clients.)
SINGLE = (b"host", b"authorization", b"x-api-key", b"origin", b"content-length", b"content-type", b"mcp-session-id", b"last-event-id")


def combine(pairs: Pairs) -> tuple[dict[bytes, bytes], Refusal | None]:
    """Headers by lower-case name, and a refusal where one is there twice that must not be."""
    headers = dict(pairs)
    if len(headers) == len(pairs):  # as nearly always
        return headers, None
    lists: dict[bytes, list[bytes]] = defaultdict(list)
    for name, value in pairs:
        lists[name].append(value)
    double = next((name.decode() for name in SINGLE if len(lists.get(name, ())) > 1), None)
    refusal = Refusal(400, INVALID_REQUEST, f"header {double} is there more than once", reason=Reason.MALFORMED) if double else None
    return {name: b", ".join(parts) for name, parts in lists.items()}, refusal


def members(header: bytes | None) -> list[bytes]:
    """The members of a list, in lower case."""
    return [member.strip().lower() for member in header.split(b",")] if header else []
