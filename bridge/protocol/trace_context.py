"""Which trace a request belongs to (W3C Trace Context), where it says so, and how its child is told.

MCP has it in `params._meta`, under `traceparent` and `tracestate` without a prefix (SEP-414); HTTP in headers of these names. What `_meta`
says is about the message, so it goes before the headers, which are about the request that carries it.
"""

import re
from collections.abc import Mapping

from msgspec import Raw, Struct

from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope, ModernParams, Params

PARENT, STATE = "traceparent", "tracestate"
LONGEST_STATE = 512  # characters (W3C Trace Context, 3.3.1.5)
SAMPLED = 1
_FIELDS = r"-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
_PARENT = re.compile(rf"00{_FIELDS}|(?!00|ff)[0-9a-f]{{2}}{_FIELDS}(?:-.*)?")  # of a version to come, what we know of it counts (3.2.4)
_MARK = b'"traceparent"'


class TraceContext(Struct, frozen=True):
    """A span that is somewhere else, or one of ours as others are told of it."""

    trace_id: int
    span_id: int
    flags: int = SAMPLED
    state: str = ""

    @property
    def is_sampled(self) -> bool:
        return bool(self.flags & SAMPLED)

    @property
    def parent(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.flags & SAMPLED:02x}"


def parse(parent: str, state: str = "") -> TraceContext | None:
    """None where it is not well formed: then there is no trace."""
    found = _PARENT.fullmatch(parent)
    if found is None:
        return None
    trace_id, span_id, flags = filter(None, found.groups())
    is_plain = len(state) <= LONGEST_STATE and state.isascii() and state.isprintable()
    return TraceContext(int(trace_id, 16), int(span_id, 16), int(flags, 16), state if is_plain else "")


def of_headers(headers: Mapping[bytes, bytes]) -> TraceContext | None:
    parent = headers.get(b"traceparent")
    return parse(parent.decode("latin-1"), headers.get(b"tracestate", b"").decode("latin-1")) if parent else None


def of_meta(meta: Raw) -> TraceContext | None:
    raw = bytes(meta)
    if _MARK not in raw:
        return None
    inner = envelope.object_or_none(raw) or {}
    return parse(*(envelope.string(inner.get(name, envelope.ABSENT)) or "" for name in (PARENT, STATE)))


def told(params: Raw, meta: Raw, context: TraceContext, *, over: bool = False) -> Raw:
    """`params` with this context in its `_meta`, in place of one that stands there only if `over`; everything else as it came.

    `meta` is what `_meta` is now. What is no object is left alone: it is the child's to refuse.
    """
    ours = {PARENT: context.parent, **({STATE: context.state} if context.state else {})}
    if not meta:
        body = bytes(params).rstrip()
        if body and (not body.endswith(b"}") or body[:1] != b"{"):
            return params
        rest = body[:-1].rstrip() or b"{"
        return Raw(b'%b%b"_meta":%b}' % (rest, b"" if rest == b"{" else b",", envelope.encode(ours)))
    inner = envelope.object_or_none(meta)
    if inner is None or (PARENT in inner and not over):
        return params
    inner = {name: value for name, value in inner.items() if name.casefold() not in (PARENT, STATE)}
    return Raw(envelope.encode({**envelope.members(params), "_meta": {**inner, **ours}}))


def put(message: Envelope, params: Params, context: TraceContext, *, over: bool = False) -> Params:
    """Put this context in the `_meta` of a request. Returns its `params`, found anew."""
    right = told(message.params, params.meta, context, over=over)
    if right is message.params:
        return params
    message.params = right
    return envelope.peek_modern(right) if isinstance(params, ModernParams) else envelope.peek(right)


def passed_on(message: Envelope, params: Params, headers: Mapping[bytes, bytes]) -> Params:
    """What the headers say, for the child, where the message says nothing: it never sees a header."""
    context = of_headers(headers)
    return params if context is None else put(message, params, context)
