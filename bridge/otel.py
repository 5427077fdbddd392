"""Spans for OpenTelemetry: the only module that imports it, and is imported only where it is switched on (`bridge/serve/tracing.py`).

The SDK reads the standard variables (where to, headers, certificates, time-outs, compression, batches, resource, sampler) and sends OTLP by
HTTP from a thread of its own. Spans are made when they are over, as the SDK's own would be handed to it: to have it start and end each takes 25 us.
Even so two spans cost about as much as the bridge takes for a whole call, most of it to encode them. So where no OTEL_TRACES_SAMPLER says
otherwise, a client's decision counts (`traceparent`), and no more than RATE requests a second are traced: all of them on most days, and a
hundredth of a processor on the others. A receiver that is away or slow is that thread's trouble: what waits for it is bounded
(OTEL_BSP_MAX_QUEUE_SIZE), and calls wait for nothing.
"""

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, set_span_in_context
from opentelemetry.trace.span import TraceState

from bridge import __version__
from bridge.log import Log
from bridge.protocol.spans import Part
from bridge.protocol.trace_context import TraceContext

RATE, MOST = 20.0, 20.0  # requests a second, and at once after a quiet time
GOODBYE, LOOK = 1.0, 0.02  # seconds for the last spans to leave at the end, and between two looks whether they have
SWITCH = 0.0005  # seconds that the thread which encodes may keep the interpreter from calls
_FINE, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class Allowance:
    """So many requests a second, and no more at once than `most`."""

    def __init__(self, rate: float, most: float):
        self._rate, self._most, self._left, self._then = rate, most, most, time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._left, self._then = min(self._most, self._left + (now - self._then) * self._rate), now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Traces:
    """A `protocol.spans.Tracing`. Raises ValueError where a variable says nothing of use."""

    def __init__(self, log: Log):
        resource = Resource.create({"service.version": __version__})
        if str(resource.attributes["service.name"]).startswith("unknown_service"):  # nobody has said it
            resource = resource.merge(Resource({"service.name": "mcp-bridge"}))
        self._resource, self._scope = resource, InstrumentationScope("mcp-bridge", __version__)
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler if os.environ.get("OTEL_TRACES_SAMPLER") else None
        self._allowance = Allowance(RATE, MOST)
        self._exporter = _Exporter(log)
        self._batches = BatchSpanProcessor(self._exporter)
        sys.setswitchinterval(SWITCH)

    def wants(self, parent: TraceContext | None, trace_id: int, name: str) -> bool:
        if self._sampler is not None:
            around = Context() if parent is None else set_span_in_context(NonRecordingSpan(_context(parent, True)), Context())
            return bool(self._sampler.should_sample(around, trace_id, name, SpanKind.SERVER).decision.is_sampled())
        return (parent is None or parent.is_sampled) and self._allowance.take()

    def emit(self, part: Part) -> None:
        parent, link = part.parent, part.link
        self._batches.on_end(
            ReadableSpan(
                part.name,
                _context(part.context),
                _context(parent, part.is_remote) if parent is not None else None,
                self._resource,
                part.attributes,
                links=[Link(_context(link, True))] if link is not None else (),
                kind=SpanKind.SERVER if part.is_server else SpanKind.CLIENT,
                status=_FAILED if part.error else _FINE,
                start_time=part.start,
                end_time=part.end,
                instrumentation_scope=self._scope,
            )
        )

    async def close(self) -> None:
        """Send what is left, or give it up."""
        thread = threading.Thread(target=self._batches.shutdown, daemon=True)
        thread.start()
        deadline = time.monotonic() + GOODBYE
        while thread.is_alive() and time.monotonic() < deadline:
            await asyncio.sleep(LOOK)
        self._exporter.is_over = True


class _Exporter(SpanExporter):
    """The SDK's, of whose troubles one line tells, and another one that they are over."""

    def __init__(self, log: Log) -> None:
        self._inner = OTLPSpanExporter()
        self._log = log
        self._has_failed = self.is_over = False
        self._words = _Words()
        theirs = logging.getLogger("opentelemetry")
        theirs.addHandler(self._words)
        theirs.propagate = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        has_failed = result is not SpanExportResult.SUCCESS
        if has_failed != self._has_failed and not self.is_over:
            self._has_failed = has_failed
            if has_failed:
                self._log.warning("traces do not arrive, and the oldest of them are given up", why=self._words.last)
            else:
                self._log.info("traces arrive again")
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True


class _Words(logging.Handler):
    """What the SDK would have had logged."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.last = record.getMessage()


def _context(context: TraceContext, is_remote: bool = False) -> SpanContext:
    state = TraceState.from_header([context.state]) if context.state else None
    return SpanContext(context.trace_id, context.span_id, is_remote, _SAMPLED if context.is_sampled else None, state)
