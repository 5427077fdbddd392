"""The short way of a tool call: from uvicorn's HTTP parser to the relay and back, without a task, a scope or a future.

An ASGI call costs uvicorn about 30 us before and after our first line (scope, event, task, wake-up, two writes to the
socket), which is more than the relay takes for the whole message. So a request that is nothing special is
taken here: its session is known (or opens at once), its body is one message, its child has room. Anything else, and anything
that is wrong with it, goes the long way (`app.py`), which alone knows how to refuse. Measured with callgrind: 148,000
instructions a call this way, with both pipes of the child; 115,000 for a bare ASGI application that returns a constant.

It leans on uvicorn's HttpToolsProtocol by inheritance, with `connection.py` in between: `cycle` is what uvicorn asks whether a
response is under way, and `on_response_complete` starts what a client has pipelined behind it.
"""

import logging
from http import HTTPStatus
from typing import Any, ClassVar

from msgspec import Struct
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bridge.http.connection import BODY, ConnectionProtocol

_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n"
_FAILED = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
_EVENTS = (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\nx-accel-buffering: no\r\n"
           b"transfer-encoding: chunked\r\n\r\n")
LARGE = 1 << 16  # bytes from which a body is written by itself rather than copied behind its head


class ShortcutProtocol(ConnectionProtocol):
    """uvicorn's HTTP protocol with a short way for what `app.lanes` take."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.short: ShortWay | None = None  # the request that is being read, if it may go the short way
        self.served = None  # the request under way on the long way
        self.taken: ShortWay | None = None  # the last one that went the short way

    def connection_made(self, transport) -> None:
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn tells only the newest of pipelined requests; the others would write to a closed transport.
        if self.pipeline:
            for cycle in [cycle for cycle, _ in self.pipeline] + ([self.served] if self.served else []):
                cycle.disconnected = True
            self.pipeline.clear()
            if self.taken is not None and not self.taken.response_complete:
                self.taken.disconnected = True
                self.taken.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle, app) -> None:
        self.served = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_begin(self) -> None:
        """As uvicorn's, but for the scope, which nobody needs on the short way."""
        self.head_begins()
        self.url, self.headers = b"", []

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.reading is not BODY:  # nobody looks at trailers: what was decided by the head must not change behind it
            self.headers.append((name.lower(), value))

    def _go_the_long_way(self) -> None:
        """What uvicorn does at the begin of a request and at each header, then what it does at the end of its head."""
        url, headers = self.url, self.headers
        HttpToolsProtocol.on_message_begin(self)
        self.url = url
        self.headers += headers  # this list is the scope's
        self.scope["bridge.protocol"] = self
        self.expect_100_continue = any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)
        super().on_headers_complete()

    def writer(self):
        """What writes a part of the response under way at once, past its task. It says False where that has to wait."""
        cycle, flow, transport = self.served, self.flow, self.transport

        def write(part: bytes) -> bool:
            if flow.write_paused or cycle.disconnected or cycle.response_complete or not cycle.chunked_encoding or transport.is_closing():
                return False
            transport.write(b"%x\r\n%b\r\n" % (len(part), part))
            return True

        return write

    def on_headers_complete(self) -> None:
        self.short = None
        if self.parser.should_upgrade():
            return None  # read again without that offer, or by another protocol
        self.body_begins()
        # A client that does not read its answers goes the long way, where they wait for it, and its next requests too.
        if self.cycle is not None and not self.cycle.response_complete or self.flow.write_paused:
            return self._go_the_long_way()
        method = self.parser.get_method()
        path, _, query = self.url.partition(b"?")
        lane = self.bridge.lanes.get(path)
        if lane is None:
            self.name_host()
            return self._go_the_long_way()
        if method not in lane.short or not self.parser.should_keep_alive():
            return self._go_the_long_way()
        headers = dict(self.headers)
        if len(headers) != len(self.headers):
            return self._go_the_long_way()
        length = headers.get(b"content-length", b"" if method == b"POST" else b"0")
        principal = self.bridge.gate.principal(headers, self.server)
        if principal is None or b"expect" in headers or b"transfer-encoding" in headers or not length.isdigit() or int(length) > lane.service.settings.max_body:
            return self._go_the_long_way()
        self.cycle = self.short = ShortWay(self, lane, method, headers, query, principal)
        return None

    def on_body(self, body: bytes) -> None:
        self.has_moved = True
        if self.short is None:
            return super().on_body(body)
        if self.short.body:
            self.short.add(body)
        else:
            self.short.body = body
        return None

    def on_message_complete(self) -> None:
        short, self.short = self.short, None
        if short is None:
            if not self.parser.should_upgrade():
                self.is_read()
                super().on_message_complete()
            return None
        self.is_read()
        self.taken = short
        try:
            is_taken = short.lane.take(short.method, short.headers, short.query, bytes(short.body), short.principal, short)
        except Exception:  # a promise of ours was broken; uvicorn would take it for a bad request, and say nothing
            logging.getLogger("mcp-bridge").exception("bug in the bridge", extra={"facts": {"path": self.url.decode("latin-1")}})
            is_taken = True
            if not short.response_complete:
                short.failed(500, b'{"error":"bug in the bridge: see its log"}')
        if not is_taken:
            self.cycle = None
            self._go_the_long_way()
            if short.body:
                super().on_body(short.body)
            super().on_message_complete()
        return None


class _Flow(FlowControl):
    """Reads nothing more while requests wait in the pipeline: uvicorn's reads on with each answer, however many wait."""

    def __init__(self, transport, pipeline):
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if not self._pipeline:
            super().resume_reading()


class ShortWay(Struct, eq=False):
    """One request on its short way, and how its answer leaves. uvicorn sees it as the connection's `cycle`."""

    protocol: ShortcutProtocol
    lane: Any
    method: bytes
    headers: dict
    query: bytes
    principal: str
    body: bytes | bytearray = b""
    response_complete: bool = False
    keep_alive: bool = True
    disconnected: bool = False
    on_gone: Any = None  # called when the client closes its connection before it is answered
    more_body: ClassVar = False

    def add(self, part: bytes) -> None:
        """One more part of the body. Together they are copied once or twice, in however many it comes."""
        if type(self.body) is bytes:
            self.body = bytearray(self.body)
        self.body += part

    @property
    def message_event(self):
        return self

    def set(self) -> None:
        """uvicorn wakes whoever reads a body, which nobody does here, and whoever may care that the client has left."""
        if self.disconnected and self.on_gone is not None:
            on_gone, self.on_gone = self.on_gone, None
            on_gone()

    def whole(self, body: bytes, headers: bytes = b"") -> None:
        """The answer as a JSON body. `headers` are whole lines."""
        if len(body) < LARGE:
            self._write(_JSON % (len(body), headers) + body)
        else:
            self._write(_JSON % (len(body), headers))
            self._write(body)
        self._complete()

    def failed(self, status: int, body: bytes) -> None:
        self._write(_FAILED % (status, HTTPStatus(status).phrase.encode(), len(body)) + body)
        self._complete()

    def nobody(self) -> None:
        """The client is gone."""
        self._complete()

    def accepted(self) -> None:
        self._write(_ACCEPTED)
        self._complete()

    def events(self, stream) -> None:
        """The answer becomes an event stream, which needs a task after all."""
        self._write(_EVENTS)
        self.lane.service.spawn(self._pump(stream))

    async def _pump(self, stream) -> None:
        await self.lane.service.pump(stream, self._send_chunk)
        if stream.overflowed:
            self.protocol.transport.abort()
            return
        self._write(b"0\r\n\r\n")
        self._complete()

    async def _send_chunk(self, message: dict) -> None:
        protocol = self.protocol
        if protocol.flow.write_paused and not self.disconnected:
            await protocol.flow.drain()
        body = message["body"]
        self._write(b"%x\r\n%b\r\n" % (len(body), body))

    def _write(self, data: bytes) -> None:
        if not self.protocol.transport.is_closing():
            self.protocol.transport.write(data)

    def _complete(self) -> None:
        if self.protocol.transport.is_closing():
            self.lane.service.counts.drops["client_gone"] += 1
        self.response_complete = True
        if not self.keep_alive:
            self.protocol.transport.close()
        self.protocol.on_response_complete()
