"""What the gate found out about a request, for the next one of its connection that shows the same.

A client shows the same token with each request of a connection: to hash it again for each, or to look a JWT up by its hash, costs more
than the rest of the gate. What is remembered holds for as long as everything that it was found out by: the tokens and callers, what is
known of JWTs, the MCP at this path and the rules for it, and the end of the token. A reload, a revocation and other keys of an issuer put
another object in place of each of them, and none is ever changed in place, so that nobody has to tell any connection.
"""

from time import time

from msgspec import Struct

from bridge.callers.access import Access
from bridge.callers.tokens import Tokens
from bridge.http.gate import NEVER, Gate
from bridge.http.request import FastEndpoint

Shown = tuple[bytes, bytes | None, bytes | None, bytes | None, bytes | None]


class Remembered(Struct, frozen=True, eq=False):
    """A request that came in: what it showed, whose it was, and what both were looked up in."""

    shown: Shown
    principal: str
    until: float  # when its token ends, by `time.time`
    endpoint: FastEndpoint
    access: Access | None
    tokens: Tokens | None
    verified: object | None  # by its resource server

    def holds(self, gate: Gate, endpoint: FastEndpoint) -> bool:
        """Whether the same would be found out now."""
        return (
            self.endpoint is endpoint
            and self.access is endpoint.service.access
            and self.tokens is gate.tokens
            and (gate.oauth is None or self.verified is gate.oauth.verified)
            and (self.until is NEVER or time() < self.until)
        )


def shown(path: bytes, headers: dict[bytes, bytes]) -> Shown:
    """All that the gate decides by, beside the address that the connection was made to."""
    get = headers.get
    return path, get(b"host"), get(b"origin"), get(b"authorization"), get(b"x-api-key")
