"""What a verified token says of its bearer. Pure, and without a library: whoever maps claims to callers may import it.

The hook for that is `CallerOf`: verified claims in, a principal out, or a `Rejected` that says which scope is missing.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bridge.protocol.errors import Refusal

Claims = Mapping[str, object]
LONGEST = 200  # characters of a principal made of a token's words: it stands in session ids and logs
PREFIX = "jwt:"  # so that no subject that somebody chose at the issuer is a name of the operator's
INVALID_TOKEN, INSUFFICIENT_SCOPE = "invalid_token", "insufficient_scope"  # RFC 6750, 3.1


@dataclass(frozen=True)
class Rejected:
    """Why a token does not let its bearer in: an error of RFC 6750, 3.1, and words that reveal nothing of the token."""

    error: str
    why: str
    scopes: tuple[str, ...] = ()  # that would do


@dataclass(frozen=True)
class Verified:
    """Whose token it is, and until when it is good, by `time.time`."""

    principal: str
    until: float


@dataclass(frozen=True)
class Pending:
    """Nobody knows yet: the keys are being fetched. Wait for `changed()`, and ask again; if that does not help, it is a `refusal`."""

    changed: Callable[[], Awaitable[None]]
    refusal: Callable[[dict[bytes, bytes], str], Refusal]  # to a request with these headers, for this path


class CallerOf(Protocol):
    """Who is meant by verified claims. The answer is kept until the token expires."""

    def __call__(self, claims: Claims) -> str | Rejected: ...


def subject(claims: Claims) -> str | Rejected:
    """The principal that the token itself names: its subject, or the client that got it for itself (RFC 9068, 2.2)."""
    for name in ("sub", "client_id", "azp"):
        value = claims.get(name)
        if isinstance(value, str) and value:
            is_plain = value.isprintable() and len(value) <= LONGEST
            return PREFIX + (value if is_plain else hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest())
    return Rejected(INVALID_TOKEN, "the token has no subject")


def scopes(claims: Claims) -> frozenset[str]:
    """What the token is good for: `scope` (RFC 8693, 4.2), or `scp` as Okta and Entra ID call it; words in a text, or a list."""
    return frozenset(word for name in ("scope", "scp") for word in _words(claims.get(name)))


def _words(value: object) -> list[str]:
    if isinstance(value, str):
        return value.split()
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []
