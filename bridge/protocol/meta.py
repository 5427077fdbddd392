"""`_meta` of the modern era: what every request says of its client, and every result of its server."""

from msgspec import Raw

from bridge import __version__
from bridge.protocol import envelope
from bridge.protocol.revisions import FIRST_MODERN

PREFIX = "io.modelcontextprotocol/"
VERSION, CAPABILITIES, CLIENT, LEVEL = (PREFIX + name for name in ("protocolVersion", "clientCapabilities", "clientInfo", "logLevel"))
SERVER, SUBSCRIPTION = PREFIX + "serverInfo", PREFIX + "subscriptionId"
OF_REQUESTS = (VERSION, CAPABILITIES, CLIENT, LEVEL)
_OWN = b'"%b":"%b","%b":{},"%b":{"name":"mcp-bridge","version":"%b"}' % tuple(
    text.encode() for text in (VERSION, FIRST_MODERN, CAPABILITIES, CLIENT, __version__)
)


def own(params: bytes = b"") -> bytes:
    """The params of one of the bridge's own requests, as a modern child wants them."""
    rest = params[1:] if len(params) > 2 else b"}"
    return b'{"_meta":{%b}%b%b' % (_OWN, b"" if rest == b"}" else b",", rest)


def inner(members: envelope.Members) -> envelope.Members:
    """The members of `_meta`; none where there is no such object."""
    return envelope.object_or_none(members.get("_meta", b"{}")) or {}


def with_subscription(params: Raw | bytes, id: bytes) -> bytes:
    """A notification's or a result's members, tagged with the id of the `subscriptions/listen` that it belongs to."""
    members = envelope.object_or_none(params or b"{}") or {}
    members["_meta"] = {**inner(members), SUBSCRIPTION: Raw(id)}
    return envelope.encode(members)


def without_subscription(params: Raw | bytes) -> bytes:
    members = envelope.object_or_none(params or b"{}") or {}
    tags = inner(members)
    tags.pop(SUBSCRIPTION, None)
    if tags:
        members["_meta"] = tags
    else:
        members.pop("_meta", None)
    return envelope.encode(members)
