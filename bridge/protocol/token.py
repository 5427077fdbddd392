"""A session id that says what the session was opened with, sealed against forgery.

So a restarted bridge, or another replica with the same key, can take the session up again: the client never notices.
The payload is readable by its holder, who sent all of it; the seal (HMAC-SHA256, cut to 128 bits) keeps it unchanged.
Visible ASCII only, as the specification demands of `Mcp-Session-Id` (2025-03-26, basic/transports).
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TypeVar

import msgspec
from msgspec import Raw

MAX_LENGTH = 4096  # what proxies let pass as one header

T = TypeVar("T")


class Opening(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a session was opened with. `capabilities` and `client` are raw JSON objects as the client sent them."""

    mcp: str
    revision: str
    capabilities: Raw
    client: Raw
    principal: str
    own_child: bool
    nonce: str


def seal(opening: Opening, key: bytes) -> str:
    payload = urlsafe_b64encode(msgspec.json.encode(opening)).rstrip(b"=")
    return (payload + b"." + _seal_of(payload, key)).decode()


def unseal(token: str, key: bytes) -> Opening | None:
    """What was sealed with this key; None for anything else."""
    if len(token) > MAX_LENGTH or not token.isascii():
        return None
    payload, _, given = token.encode().partition(b".")
    if not hmac.compare_digest(given, _seal_of(payload, key)):
        return None
    try:
        return msgspec.json.decode(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)), type=Opening)
    except (msgspec.MsgspecError, ValueError):
        return None  # sealed by another version of ours


def seal_state(state: msgspec.Struct, key: bytes) -> str:
    """The same for what a modern client carries between two requests (`requestState`)."""
    payload = urlsafe_b64encode(msgspec.json.encode(state)).rstrip(b"=")
    return (payload + b"." + _seal_of(b"state:" + payload, key)).decode()


def unseal_state(text: str, key: bytes, kind: type[T]) -> T | None:
    if len(text) > MAX_LENGTH or not text.isascii():
        return None
    payload, _, given = text.encode().partition(b".")
    if not hmac.compare_digest(given, _seal_of(b"state:" + payload, key)):
        return None
    try:
        return msgspec.json.decode(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)), type=kind)
    except (msgspec.MsgspecError, ValueError):
        return None


def _seal_of(payload: bytes, key: bytes) -> bytes:
    return urlsafe_b64encode(hmac.digest(key, payload, "sha256")[:16]).rstrip(b"=")
