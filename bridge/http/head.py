"""What an HTTP request says of itself, whatever its body: what it takes, what it brings, and which revision it speaks.

Clients say the same with each request, so what was read once is remembered.
"""

import re

from msgspec import Struct

from bridge.http.headers import members
from bridge.protocol.eras import header_rules
from bridge.protocol.errors import INVALID_REQUEST, Reason, Refusal
from bridge.protocol.revisions import HANDSHAKE

REMEMBERED, LONGEST = 256, 500  # heads, and bytes of each
_KNOWN = frozenset(version.encode() for version in HANDSHAKE)
_NOTHING = re.compile(rb";\s*q=0(?:\.0*)?\s*$", re.IGNORECASE)  # RFC 9110, 12.4.2: this is what I do not take
ENCODINGS = (b"", b"identity")
Said = tuple[bytes | None, bytes | None, bytes | None, bytes | None]  # Accept, Content-Type, the revision, Content-Encoding
CHARSETS = (b"", b"utf-8", b"utf8", b"us-ascii", b"ascii")


class Head(Struct, frozen=True, eq=False):
    """`refusal` is the first that is wrong with a POST, `bad_revision` what is wrong with one of the handshake era."""

    takes_json: bool
    takes_events: bool
    says_modern: bool
    refusal: Refusal | None
    bad_revision: Refusal | None


class Heads:
    """The heads of one service's requests. A `lenient` one serves LiteLLM, which says all kinds of things."""

    def __init__(self, lenient: bool):
        self.lenient = lenient
        self._read: dict[Said, Head] = {}

    def of(self, headers: dict[bytes, bytes]) -> Head:
        get = headers.get
        said = (get(b"accept"), get(b"content-type"), get(b"mcp-protocol-version"), get(b"content-encoding"))
        return self._read.get(said) or self._remember(said)

    def _remember(self, said: Said) -> Head:
        accept, content_type, version, encoding = said
        takes_json, takes_events = _accepted(accept)
        refusal = next(
            (why for why in (_not_acceptable(takes_json, takes_events), _not_json(content_type), _encoded(encoding)) if why), None
        )
        head = Head(
            takes_json,
            takes_events,
            not self.lenient and header_rules.says_modern(version),
            refusal,
            None if self.lenient else _bad_revision(version),
        )
        if len(self._read) < REMEMBERED and sum(map(len, filter(None, said))) < LONGEST:
            self._read[said] = head
        return head


def _accepted(accept: bytes | None) -> tuple[bool, bool]:
    """Whether the client takes JSON, and whether it takes an event stream. None said is all taken (RFC 9110, 12.5.1)."""
    if accept is None:
        return True, True
    ranges = {item.partition(b";")[0].strip().lower() for item in accept.split(b",") if not _NOTHING.search(item)}
    return (bool(ranges & {b"application/json", b"application/*", b"*/*"}), bool(ranges & {b"text/event-stream", b"text/*", b"*/*"}))


def _not_acceptable(takes_json: bool, takes_events: bool) -> Refusal | None:
    if takes_json or takes_events:
        return None
    return Refusal(406, INVALID_REQUEST, "Accept must name application/json or text/event-stream, better both", reason=Reason.ACCEPT)


def _not_json(content_type: bytes | None) -> Refusal | None:
    name, *parameters = [part.strip().lower() for part in (content_type or b"nothing").split(b";")]
    if name != b"application/json":
        return Refusal(
            415,
            INVALID_REQUEST,
            f"Content-Type must be application/json, not {content_type.decode('latin-1')[:80] if content_type else 'nothing'}",
            reason=Reason.CONTENT,
        )
    charset = next((part.partition(b"=")[2].strip(b' "') for part in parameters if part.startswith(b"charset")), b"")
    if charset not in CHARSETS:
        return Refusal(
            415, INVALID_REQUEST, f"JSON is UTF-8 here, not {charset.decode('latin-1')[:80]} (RFC 8259, 8.1)", reason=Reason.CONTENT
        )
    return None


def _encoded(encoding: bytes | None) -> Refusal | None:
    """RFC 9110, 12.5.3: a 415 for a coding says in Accept-Encoding which ones are read."""
    if encoding is None or all(coding in ENCODINGS for coding in members(encoding)):
        return None
    return Refusal(
        415,
        INVALID_REQUEST,
        f"Content-Encoding {encoding.decode('latin-1')[:80]} is not read here: send the body as it is (identity)",
        ((b"accept-encoding", b"identity"),),
        reason=Reason.CONTENT,
    )


def _bad_revision(value: bytes | None) -> Refusal | None:
    if value is None or value in _KNOWN:
        return None
    text = value.decode("latin-1")
    versions = {part.strip() for part in text.split(",")}
    if len(versions) == 1 and versions <= set(HANDSHAKE):
        return None  # sent twice and joined, as LiteLLM 1.77.3 does
    why = f"unsupported MCP-Protocol-Version {text[:80]!r}: use one of {', '.join(HANDSHAKE)}"
    return Refusal(400, INVALID_REQUEST, why, reason=Reason.VERSION)
