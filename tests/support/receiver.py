"""A receiver of traces: OTLP over HTTP as the specification has it, read with OpenTelemetry's own protobuf messages."""

import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from support.waiting import eventually


class Span:
    def __init__(self, resource: dict, span):
        self.resource, self.name, self.kind = resource, span.name, {2: "server", 3: "client"}.get(span.kind, span.kind)
        self.trace, self.id, self.parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
        self.state, self.links = span.trace_state, [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]
        self.has_failed, self.said = span.status.code == 2, span.status.message
        self.start, self.end = span.start_time_unix_nano, span.end_time_unix_nano
        self.attributes = {one.key: one.value.string_value for one in span.attributes}


class Receiver:
    """``with Receiver() as receiver: ... env=receiver.env``. `delay`: seconds until it answers; `status`: what."""

    def __init__(self, port: int = 0, delay: float = 0.0, status: int = 200):
        self.spans: list[Span] = []
        self.requests: list[dict[str, str]] = []  # headers
        self.sizes: list[int] = []  # spans of each
        self.delay, self.status, self.port = delay, status, port

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver.take(self.path, dict(self.headers), body)
                time.sleep(receiver.delay)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(receiver.status)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()

    @property
    def env(self) -> dict[str, str]:
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}", "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        assert path == "/v1/traces" and headers["content-type"] == "application/x-protobuf"
        self.requests.append({name.lower(): value for name, value in headers.items()})
        found = [
            Span({one.key: one.value.string_value for one in resource.resource.attributes}, span)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        self.sizes.append(len(found))
        if self.status == 200:
            self.spans += found

    def server_span(self, name: str) -> Span:
        """The last one of this name, as soon as there is one."""
        return eventually(lambda: next((one for one in reversed(self.spans) if one.name == name and one.kind == "server"), None))

    def part_of(self, span: Span) -> Span | None:
        """The child's part of it."""
        return next((one for one in self.spans if one.parent == span.id and one.kind == "client"), None)
