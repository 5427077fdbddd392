"""A span of a trace before it is OpenTelemetry's, and where spans go: `bridge/otel.py`, where that is switched on."""

from typing import Protocol

from msgspec import Struct

from bridge.protocol.trace_context import TraceContext

Attributes = dict[str, str]


class Part(Struct, frozen=True):
    """One span that is over: a server's (a client's request) or a client's (what our child did of it). Times are Unix nanoseconds."""

    name: str
    is_server: bool
    context: TraceContext
    parent: TraceContext | None
    is_remote: bool  # whether the parent is somebody else's
    link: TraceContext | None
    start: int
    end: int
    attributes: Attributes
    error: str  # its `error.type`; empty where nothing failed


class Tracing(Protocol):
    def wants(self, parent: TraceContext | None, trace_id: int, name: str) -> bool:
        """Whether a request is to be traced whose client has this span, if any."""

    def emit(self, part: Part) -> None: ...
