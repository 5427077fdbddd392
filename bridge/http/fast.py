"""The fast path of a request: from uvicorn's HTTP parser to its endpoint and back, without a task, a scope or a future.

An ASGI call costs uvicorn about 30 us before and after our first line (scope, event, task, wake-up, two writes to the
socket), which is more than the relay takes for the whole message. So a request that comes as nearly all do, with a length, alone
on its connection, welcome at the gate, is handed to its endpoint here. Any other goes by ASGI (`app.py`) to the same
`answer` of the same endpoint: the two differ in nothing but how bytes leave. `tests/bench/instructions.py` counts what a call takes.

Clients say the same with each request of a connection, but for the length of its body. One whose head is that of the last one, byte
for byte, and that comes in one piece, or in two between head and body, is not parsed: what its head says is known (`repeated_head.py`). Whether
it may come in is asked anew where anything is not what it was (`remembered.py`).

It leans on uvicorn's HttpToolsProtocol by inheritance, with `connection.py` in between: `cycle` is what uvicorn asks whether a
response is under way, and `on_response_complete` starts what a client has pipelined behind it.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sized
from http import HTTPStatus
from typing import Any, ClassVar

from msgspec import Struct
from starlette.types import Message
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from bridge.budget import Reservation, address, network
from bridge.http.connection import BODY, HEAD, NEVER, NOTHING, ConnectionProtocol, UntilClosed
from bridge.http.gate import Admitted
from bridge.http.headers import members
from bridge.http.remembered import Remembered, shown
from bridge.http.repeated_head import LONGEST, RepeatedHead, repeated_head
from bridge.http.request import BUG, LIMITED, REST, STREAMABLE_HTTP, FastEndpoint, Headers, Memory, Request, guarded
from bridge.http.service import Service
from bridge.http.stream import EVENTS, Stream, pump

_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n"
_FAILED = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n"
_ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
Head = tuple[bytes, bytes, bytes, dict[bytes, bytes]]  # method, path, query, and the headers
LARGE = 1 << 16  # bytes from which a body is written by itself rather than copied behind its head


class FastProtocol(ConnectionProtocol):
    """uvicorn's HTTP protocol with a fast path to `app.endpoints`."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fast: FastResponse | None = None  # to the request that is being read, if it goes the fast path
        self.served: RequestResponseCycle | None = None  # the request under way by ASGI
        self.unsent: Reservation | None = None  # what waits for the client to read
        self.taken: FastResponse | None = None  # the last one on the fast path
        self.head: Head = (b"", b"", b"", {})  # what it says
        self.memory = Memory()  # what was found out about that
        self.body: bytes | bytearray = b""  # what has come of it
        self.principal = ""  # whose it is
        self.chunk = b""  # what is being parsed, where a request may begin and end with it
        self.repeated: RepeatedHead | None = None  # what the next request looks like if it says the same
        self.waiting = b""  # the head of such a one, whose body has not come yet
        self.remembered: Remembered | None = None  # what the gate said of the last one that it let in
        self.limited = 0  # requests in a row whose caller asks too often

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        self.peer = self.client[0] if self.client else ""
        self.address = address(self.client)

    def pause_writing(self) -> None:
        """The client does not take what it is sent: that counts as memory, and where there is none the connection ends."""
        super().pause_writing()
        service = self.taken.service if self.taken is not None else self.bridge.any_service()
        if service is None:
            return
        self.unsent = self.unsent or Reservation(service.memory, self.principal or self.address)
        if not self.unsent.fits(self.transport.get_write_buffer_size()):
            service.counts.drops["memory"] += 1
            self.transport.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._sent()

    def _sent(self) -> None:
        unsent, self.unsent = self.unsent, None
        if unsent is not None:
            unsent.set(0)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sent()
        # uvicorn tells only the newest of pipelined requests; the others would write to a closed transport.
        if self.pipeline:
            for cycle in [cycle for cycle, _ in self.pipeline] + ([self.served] if self.served else []):
                cycle.disconnected = True
            self.pipeline.clear()
            if self.taken is not None and not self.taken.response_complete:
                self.taken.disconnected = True
                self.taken.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.served = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        if self.waiting:
            data, self.waiting = self.waiting + data, b""
            self.reading, self.read_due = NOTHING, NEVER
        is_new = self.reading is NOTHING
        if is_new and self.repeated is not None and self.refusal is None:
            body = self.repeated.body(data)
            if body and (response := self._welcome(len(body))):
                self.idle_due = NEVER
                return self._answer(response, body)
            if body == b"" and self._endpoint(0) is not None:
                self.waiting, self.reading, self.idle_due = data, BODY, NEVER
                return self._owe(self.bridge.body_timeout)
        self.chunk = data if is_new else self.chunk and self.chunk + data
        super().data_received(data)
        if not is_new or self.reading is not BODY or len(data) > LONGEST:
            self.chunk = b""  # else the head has come, and the body may be the next piece
        return None

    def on_message_begin(self) -> None:
        """As uvicorn's, but for the scope, which nobody needs on the fast path."""
        self.reading, self.unmoved, self.idle_due = HEAD, 0, NEVER
        self.url, self.headers, self.repeated = b"", [], None

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def _go_by_asgi(self) -> None:
        """What uvicorn does at the begin of a request and at each header, then what it does at the end of its head."""
        self.name_host()
        url, headers = self.url, self.headers
        HttpToolsProtocol.on_message_begin(self)
        self.url = url
        self.headers += headers  # this list is the scope's
        self.scope["bridge.protocol"] = self  # type: ignore[typeddict-unknown-key]  # ASGI allows keys of one's own
        self.expect_100_continue = any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)
        super().on_headers_complete()
        if self.scope["http_version"] != "1.1":
            self.cycle.__class__ = UntilClosed
        self.headers = []  # for trailers, at which nobody looks: what was decided by the head must not change behind it

    def writer(self) -> Callable[[bytes], bool]:
        """What writes a part of the response under way at once, past its task. It says False where that has to wait."""
        cycle, flow, transport = self.served, self.flow, self.transport
        assert cycle is not None

        def write(part: bytes) -> bool:
            if flow.write_paused or cycle.disconnected or cycle.response_complete or not cycle.chunked_encoding or transport.is_closing():
                return False
            transport.write(b"%x\r\n%b\r\n" % (len(part), part))
            return True

        return write

    def on_headers_complete(self) -> None:
        self.fast = None
        if self.parser.should_upgrade():
            return None  # read again without that offer, or by another protocol
        self.reading, self.unmoved, self.read_due = BODY, 0, NEVER
        if self.is_long:
            self._refuse_long_head()
        path, _, query = self.url.partition(b"?")
        headers = dict(self.headers)
        if b"transfer-encoding" in headers:
            self._refuse_unknown_coding(
                [coding for name, value in self.headers if name == b"transfer-encoding" for coding in members(value)]
            )
        self.head, self.memory = (self.parser.get_method(), path, query, headers), Memory()
        if (proxies := self.bridge.proxies) is not None:
            self.address = network(proxies.heard(self.peer, dict(headers)))  # a list that comes in several headers goes by ASGI
        if self.remembered is not None and self.remembered.shown != shown(path, headers):
            self.remembered = None
        self.fast = self._welcome(int(headers.get(b"content-length", 0))) if self._is_plain(headers) else None
        if self.fast is None:
            return self._go_by_asgi()
        self.body = b""
        return None

    def _is_plain(self, headers: dict[bytes, bytes]) -> bool:
        """Whether the head says nothing that only uvicorn's cycle knows how to do."""
        if len(headers) != len(self.headers) or b"expect" in headers or not self.parser.should_keep_alive():
            return False
        if b"content-length" not in headers and (b"transfer-encoding" in headers or self.parser.get_method() == b"POST"):
            return False
        return b"connection" not in headers or self.parser.get_http_version() == "1.1"

    def _welcome(self, size: int) -> "FastResponse | None":
        """The response to a request with this head and a body of so many bytes, if it may go the fast path now."""
        endpoint = self._endpoint(size)
        if endpoint is None:
            return None
        response = FastResponse(self, endpoint.service, endpoint)
        self.cycle = response  # type: ignore[assignment]  # it has what uvicorn asks of a cycle
        return response

    def _endpoint(self, size: int) -> FastEndpoint | None:
        """Who answers it, if it may come in. Its `principal` is known then."""
        bridge, (method, path, _, _) = self.bridge, self.head
        # The answers of a client that does not read them wait for it, and its next requests too.
        if (self.cycle is not None and not self.cycle.response_complete) or self.flow.write_paused:
            return None
        endpoint = bridge.fast.get(path)
        if endpoint is None or method not in endpoint.fast or size > endpoint.most:
            return None
        if self.remembered is None or not self.remembered.holds(bridge.gate, endpoint):
            self.remembered, self.memory = self._admit(endpoint), Memory()
            if self.remembered is None:
                return None
            self.principal = self.remembered.principal
        return endpoint

    def _admit(self, endpoint: FastEndpoint) -> Remembered | None:
        """Ask the gate. None where it has to wait, or to say no: by ASGI."""
        gate, (_, path, _, headers), service = self.bridge.gate, self.head, endpoint.service
        verified = gate.oauth.verified if gate.oauth is not None else None
        found = gate.admit(path, headers, self.server)
        if not isinstance(found, Admitted) or (self.bridge.has_cors and b"origin" in headers) or service.is_hidden_from(found.principal):
            return None
        return Remembered(shown(path, headers), found.principal, found.until, endpoint, service.access, gate.tokens, verified)

    def rest(self) -> None:
        """Its caller asks too often, and is told so. Where it goes on all the same, what it sends is read later: to say no costs others
        as much as a call. A connection that a gateway shares among callers is not slowed, as long as any of them gets an answer."""
        self.limited += 1
        if self.limited > LIMITED and not self.flow.read_paused and not self.transport.is_closing():
            self.flow.pause_reading()
            self.loop.call_later(REST, self._read_on)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def on_body(self, body: bytes) -> None:
        self.unmoved = 0
        if self.fast is None:
            return super().on_body(body)
        if not self.body:
            self.body = body
        else:  # however many parts it comes in, they are copied once or twice
            if type(self.body) is bytes:
                self.body = bytearray(self.body)
            self.body += body
        return None

    def on_message_complete(self) -> None:
        response, self.fast = self.fast, None
        if response is None:
            if not self.parser.should_upgrade():
                self.reading, self.read_due = NOTHING, NEVER
                super().on_message_complete()
            return
        self.reading, self.read_due = NOTHING, NEVER
        body, self.body = bytes(self.body), b""
        self.repeated = repeated_head(self.chunk, body) if body else None
        self._answer(response, body)

    def _answer(self, response: "FastResponse", body: bytes) -> None:
        self.taken = response
        method, _, query, headers = self.head
        principal, address = self.principal, self.address
        try:
            response.endpoint.answer(
                Request(method, headers, query, body, principal, self.headers, principal or address, STREAMABLE_HTTP, address, self.memory),
                response,
            )
        except Exception:  # a promise of ours was broken; uvicorn would take it for a bad request, and say nothing
            logging.getLogger("mcp-bridge").exception("bug in the bridge", extra={"facts": {"path": self.url.decode("latin-1")}})
            if not response.response_complete:
                response.failed(500, BUG)


class _Flow(FlowControl):
    """Reads nothing more while requests wait in the pipeline: uvicorn's reads on with each answer, however many wait."""

    def __init__(self, transport: asyncio.Transport, pipeline: Sized):
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if not self._pipeline:
            super().resume_reading()


class FastResponse(Struct, eq=False):
    """A `request.Response` that is written to the socket. uvicorn sees it as the connection's `cycle`."""

    protocol: FastProtocol
    service: Service
    endpoint: FastEndpoint
    response_complete: bool = False
    is_stream: bool = False
    keep_alive: bool = True
    disconnected: bool = False
    is_limited: bool = False
    on_gone: Callable[[], object] | None = None
    more_body: ClassVar[bool] = False

    @property
    def is_answered(self) -> bool:
        return self.response_complete or self.is_stream

    @property
    def message_event(self) -> "FastResponse":
        return self

    def set(self) -> None:
        """uvicorn wakes whoever reads a body, which nobody does here, and whoever may care that the client has left."""
        if self.disconnected:
            self._gone()

    def json(self, body: bytes, headers: Headers = ()) -> None:
        head = _JSON % (len(body), _lines(headers) if headers else b"")
        if len(body) < LARGE:
            self._write(head + body)
        else:
            self._write(head)
            self._write(body)
        self._complete()

    def failed(self, status: int, body: bytes, headers: Headers = ()) -> None:
        self._write(_FAILED % (status, HTTPStatus(status).phrase.encode(), len(body), _lines(headers)) + body)
        self._complete()

    def accepted(self) -> None:
        self._write(_ACCEPTED)
        self._complete()

    def nobody(self) -> None:
        self._complete()

    def slow_down(self) -> None:
        self.is_limited = True

    def events(self, stream: Stream) -> None:
        self.is_stream = True
        self._write(_EVENTS)
        self.service.spawn(self._pump(stream))

    def later(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return self.service.spawn(guarded(self, work))

    async def _pump(self, stream: Stream) -> None:
        await pump(self.service, stream, self._send_chunk)
        if stream.overflowed:
            self.protocol.transport.abort()
            return
        self._write(b"0\r\n\r\n")
        self._complete()
        self._gone()  # it was ended for its client: a stream whose answer has come has nobody to tell

    def _gone(self) -> None:
        on_gone, self.on_gone = self.on_gone, None
        if on_gone is not None:
            on_gone()

    async def _send_chunk(self, message: Message) -> None:
        protocol = self.protocol
        if protocol.flow.write_paused and not self.disconnected:
            await protocol.flow.drain()
        body = message["body"]
        self._write(b"%x\r\n%b\r\n" % (len(body), body))

    def _write(self, data: bytes) -> None:
        if not self.protocol.transport.is_closing():
            self.protocol.transport.write(data)

    def _complete(self) -> None:
        protocol = self.protocol
        if protocol.transport.is_closing():
            self.service.counts.drops["client_gone"] += 1
        self.response_complete = True
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()
        if self.is_limited:
            protocol.rest()
        elif protocol.limited:
            protocol.limited = 0


def _lines(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


_EVENTS = b"HTTP/1.1 200 OK\r\n%btransfer-encoding: chunked\r\n\r\n" % _lines(EVENTS)
