"""Which era a request is of, and whether a modern one is what it says: the checks of 2026-07-28, basic/transports, in order.

The body decides about the era, headers have to agree with it: a proxy that looks only at headers and a server that looks
only at the body must never see two different requests.
"""

from collections import Counter

from msgspec import Raw

from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope, Meta, ModernParams
from bridge.protocol.errors import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NO_REQUEST,
    UNSUPPORTED_VERSION,
    Reason,
    Refusal,
    modern_refusal,
)
from bridge.protocol.mirrored_headers import Mirrored, decoded, mismatch
from bridge.protocol.revisions import MODERN, is_modern
from bridge.protocol.subscriptions import LEVELS

VERSION, METHOD, NAME = b"mcp-protocol-version", b"mcp-method", b"mcp-name"
NEWEST = MODERN[-1].encode()
MARK = b"io.modelcontextprotocol/protocolVersion"  # in every body of the modern era
_ROUTING = frozenset((VERSION, METHOD, NAME))
_NAMED = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    **dict.fromkeys(("tasks/get", "tasks/update", "tasks/cancel"), "taskId"),
}
REMOVED = frozenset(
    ("initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "tasks/list", "tasks/result")
)


def says_modern(header: bytes | None) -> bool:
    """Whether a `MCP-Protocol-Version` header names the modern era."""
    return header is not None and is_modern(header.strip(b" \t").decode("latin-1"))


def without_envelope(message: Envelope, header: bytes) -> Refusal | None:
    """A message whose header names the modern era and whose body does not say so. None: a notification, which is dropped."""
    if message.method is None:
        return modern_refusal(INVALID_REQUEST, "clients of the modern era have nothing to answer", reason=Reason.ERA)
    if not message.id:
        return unsupported(header.strip(b" \t").decode("latin-1"))
    if message.method == "initialize":
        return modern_refusal(
            HEADER_MISMATCH, "initialize belongs to the handshake era, MCP-Protocol-Version says otherwise", reason=Reason.ERA
        )
    return _no_envelope()


def validate_headers(
    message: Envelope, params: ModernParams, meta: Meta, headers: dict[bytes, bytes], duplicates: frozenset[bytes]
) -> Refusal | None:
    """What is wrong with a modern request. `headers` by lower-case name, `duplicates` the names that came more than once."""
    if duplicates and (double := duplicates & _ROUTING):
        return modern_refusal(HEADER_MISMATCH, f"header {min(double).decode()} is there more than once", reason=Reason.ERA)
    if not meta.revision or not meta.capabilities:
        return _no_envelope()
    version = headers.get(VERSION)
    if version is None or bytes(meta.revision) != b'"%b"' % version.strip(b" \t"):
        return modern_refusal(HEADER_MISMATCH, "header MCP-Protocol-Version is not what the body's _meta says", reason=Reason.ERA)
    method = headers.get(METHOD)
    if method is None or method.strip(b" \t") != (message.method or "").encode():
        return modern_refusal(HEADER_MISMATCH, "header Mcp-Method is not the body's method", reason=Reason.ERA)
    if (member := _NAMED.get(message.method or "")) and not _is_named(getattr(params, member), headers.get(NAME)):
        return modern_refusal(HEADER_MISMATCH, f"header Mcp-Name is not the body's {member}", reason=Reason.ERA)
    if (wanted := version.strip(b" \t").decode("latin-1")) not in MODERN:
        return unsupported(wanted)
    if not envelope.is_object(meta.capabilities):
        return modern_refusal(INVALID_PARAMS, "io.modelcontextprotocol/clientCapabilities must be an object", reason=Reason.ERA)
    if meta.level and envelope.string(meta.level) not in LEVELS:
        return modern_refusal(INVALID_PARAMS, f"io.modelcontextprotocol/logLevel must be one of {', '.join(LEVELS)}", reason=Reason.ERA)
    return None


def duplicate_headers(headers: list[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The names, in lower case as ASGI has them, that came more than once."""
    return frozenset(name for name, count in Counter(name for name, _ in headers).items() if count > 1)


def is_plain(meta: Meta) -> bool:
    """Whether a `_meta` that has passed the checks says nothing of its one request, so that it can be known again."""
    return not (meta.level or meta.progressToken) and bytes(meta.revision) == b'"%b"' % NEWEST


def wrong_parameters(params: ModernParams, mirrored: Mirrored, headers: dict[bytes, bytes], duplicates: frozenset[bytes]) -> Refusal | None:
    """The last check, which needs the child's own schema: `Mcp-Param-*`."""
    why = mismatch(mirrored, params.arguments, headers, duplicates)
    return modern_refusal(HEADER_MISMATCH, f"header {why}", reason=Reason.ERA) if why else None


def removed(method: str) -> Refusal | None:
    """A method that this era has no more, whatever the child has."""
    if method.startswith(envelope.NOTICE):
        return unknown(method, NO_REQUEST)
    return unknown(method) if method in REMOVED else None


def unknown(method: str, why: str = "") -> Refusal:
    return modern_refusal(METHOD_NOT_FOUND, why or f"{method[:100]} is not a method of MCP {MODERN[-1]}", reason=Reason.REQUEST)


def unsupported(wanted: str) -> Refusal | None:
    """None where the revision is served."""
    if wanted in MODERN:
        return None
    data = envelope.encode({"supported": MODERN, "requested": wanted})
    return modern_refusal(
        UNSUPPORTED_VERSION, f"unsupported protocol version {wanted[:80]!r}: use {MODERN[-1]}", data, reason=Reason.VERSION
    )


def _no_envelope() -> Refusal:
    return modern_refusal(
        INVALID_PARAMS,
        "params._meta must have io.modelcontextprotocol/protocolVersion and io.modelcontextprotocol/clientCapabilities",
        reason=Reason.ERA,
    )


def _is_named(member: Raw, header: bytes | None) -> bool:
    """Whether `Mcp-Name` is the member it mirrors. One that is missing in the body is the child's to refuse."""
    if not member or envelope.is_null(member):
        return True
    if header is None:
        return False
    header = header.strip(b" \t")
    if bytes(member) == b'"%b"' % header and header[:2] != b"=?" and b"\\" not in header:
        return True
    text = decoded(header)
    return text is not None and text == envelope.string(member)
