"""Spans for OpenTelemetry: the only module that imports it, and is imported only where it is switched on (`bridge/serve/tracing.py`).

The SDK reads the standard variables (where to, headers, certificates, time-outs, compression, batches, resource, sampler) and sends OTLP by
HTTP from a thread of its own. A span costs it about as much as the bridge takes for a whole call. So where no OTEL_TRACES_SAMPLER says
otherwise, a client's decision counts (`traceparent`), and no more than RATE requests a second are traced: all of them on most days, and a
bounded part of a processor on the others. A receiver that is away or slow is that thread's trouble: what waits for it is bounded
(OTEL_BSP_MAX_QUEUE_SIZE), and calls wait for nothing.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, set_span_in_context
from opentelemetry.trace.span import TraceState

from bridge import __version__
from bridge.log import Log
from bridge.protocol.spans import Part
from bridge.protocol.trace_context import TraceContext

RATE, MOST = 100.0, 100.0  # requests a second, and at once after a quiet time
GOODBYE, LOOK = 1.0, 0.02  # seconds for the last spans to leave at the end, and between two looks whether they have
SMALL_BATCH, SOON = 64, 1000  # spans, milliseconds: the SDK's 512 would keep the interpreter busy for 20 ms on end
_FAILED = Status(StatusCode.ERROR)


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
        given = os.environ
        resource = Resource.create({"service.version": __version__})
        if str(resource.attributes["service.name"]).startswith("unknown_service"):  # nobody has said it
            resource = resource.merge(Resource({"service.name": "mcp-bridge"}))
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler if given.get("OTEL_TRACES_SAMPLER") else None
        self._allowance = Allowance(RATE, MOST)
        self._ids = _Ids()
        exporter = _Exporter(log)
        self._batches = BatchSpanProcessor(
            exporter,
            schedule_delay_millis=None if "OTEL_BSP_SCHEDULE_DELAY" in given else SOON,
            max_export_batch_size=None if "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" in given or "OTEL_BSP_MAX_QUEUE_SIZE" in given else SMALL_BATCH,
        )
        self._exporter = exporter
        provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=self._ids)  # it was decided in `wants`
        provider.add_span_processor(self._batches)
        self._tracer = provider.get_tracer("mcp-bridge", __version__)

    def wants(self, parent: TraceContext | None, trace_id: int, name: str) -> bool:
        if self._sampler is not None:
            around = _around(parent, True) if parent is not None else Context()
            return bool(self._sampler.should_sample(around, trace_id, name, SpanKind.SERVER).decision.is_sampled())
        return (parent is None or parent.is_sampled) and self._allowance.take()

    def emit(self, part: Part) -> None:
        self._ids.trace_id, self._ids.span_id = part.context.trace_id, part.context.span_id
        span = self._tracer.start_span(
            part.name,
            _around(part.parent, part.is_remote) if part.parent is not None else Context(),
            SpanKind.SERVER if part.is_server else SpanKind.CLIENT,
            part.attributes,
            [Link(_context(part.link, True))] if part.link is not None else (),
            part.start,
        )
        if part.error:
            span.set_status(_FAILED)
        span.end(part.end)

    async def close(self) -> None:
        """Send what is left, or give it up."""
        thread = threading.Thread(target=self._batches.shutdown, daemon=True)
        thread.start()
        deadline = time.monotonic() + GOODBYE
        while thread.is_alive() and time.monotonic() < deadline:
            await asyncio.sleep(LOOK)
        self._exporter.is_over = True


class _Ids(IdGenerator):
    """Ids that were given out before their spans are made."""

    def __init__(self) -> None:
        self.trace_id = self.span_id = 1

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id

    def is_trace_id_random(self) -> bool:
        return True


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


def _around(parent: TraceContext, is_remote: bool) -> Context:
    return set_span_in_context(NonRecordingSpan(_context(parent, is_remote)), Context())


def _context(context: TraceContext, is_remote: bool) -> SpanContext:
    state = TraceState.from_header([context.state]) if context.state else None
    return SpanContext(context.trace_id, context.span_id, is_remote, TraceFlags(context.flags), state)
