"""Each phase of a connection ends in time and in bounds: its head, its body, what it is sent, and the pause until its next request.

uvicorn waits without end, for a head that comes byte by byte (slowloris), for a body, and for a reader that does not read, so
that a few clients would hold all file descriptors. What is read is timed from its first byte (the first head from the
connection's first moment); a request that comes in one piece, as nearly all do, is not timed. What waits to be sent must
shrink: a reader that takes next to nothing is cut off.

A connection has one timer for what is read, which is not set anew for each request: when it fires it looks at what is due.
uvicorn sets and cancels one after every answer, which costs as much as parsing the message, and forgets it when anything
comes, even the rest of a body whose request was refused long ago.

An offer to upgrade is ignored (RFC 9110, 7.8) unless it is a WebSocket handshake where there is a WebSocket. The parser
stops at each of them, and takes its request for one without a body, so the request is parsed a second time without the offer.
"""

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from bridge.http.app import App
from bridge.http.headers import combine, members
from bridge.protocol.errors import INVALID_REQUEST, NULL_ID, error_body

MAX_HEAD = 1 << 16  # bytes of a request's head
LEAST = 1 << 14  # bytes that a slow reader takes in --write-timeout, or it is none
NEVER = float("inf")
NOTHING, HEAD, BODY = "nothing", "head", "body"  # what is being read


class WriteDeadline:
    """A client takes what is sent to it, or its connection is cut. `start` and `stop` when writing pauses and goes on."""

    def __init__(self, seconds: float):
        self.seconds = seconds  # 0 is no limit
        self._unsent = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        if self.seconds:
            self._unsent = unsent(transport)
            self._timer = loop.call_later(self.seconds, self._look, transport, loop)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        if self._unsent - unsent(transport) < LEAST:
            transport.abort()
        else:
            self.start(transport, loop)


def unsent(transport: asyncio.Transport) -> int:
    """Bytes that the client has not taken yet, those in the kernel included: it asks for more only when megabytes have left."""
    size: int = transport.get_write_buffer_size()
    with suppress(OSError):  # where there is no such thing
        size += struct.unpack("i", fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    return size


class ConnectionProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with deadlines. Who inherits it says what is `reading`, and sets `unmoved` to 0 when that came further.

    `bridge` has the time limits in seconds, 0 is none, and the paths of its WebSockets. The pause between two requests
    is uvicorn's `timeout_keep_alive`.
    """

    def __init__(self, *args: Any, bridge: App, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.bridge = bridge
        self.write_deadline = WriteDeadline(bridge.write_timeout)
        self.reading = NOTHING
        self.unmoved = 0  # bytes read since it came further than just more of the same part
        self.is_long = False  # whether the head that is being read may be
        self.refusal: bytes | None = None  # waits for the answers to earlier requests
        self.read_due = NEVER  # when what is being read must be whole
        self.idle_due = NEVER  # when the next request must have begun
        self.timer: asyncio.TimerHandle | None = None
        self.looks = NEVER  # when it fires

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._owe(self.bridge.head_timeout)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.write_deadline.start(self.transport, self.loop)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.write_deadline.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        self.write_deadline.stop()
        if self.timer is not None:
            self.timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.refusal is not None:
            return
        if self.reading is not NOTHING or len(data) > MAX_HEAD:
            self.is_long = True  # it began before this read, or may be too long for itself
            self.unmoved += len(data)
        elif self.is_long:
            self.is_long = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._refuse_unparsed(error)
        except httptools.HttpParserUpgrade as offer:
            self._parse_on(data, offer)
        if self.reading is not NOTHING:
            self._owe(self.bridge.head_timeout if self.reading is HEAD else self.bridge.body_timeout)
            if self.unmoved > MAX_HEAD:  # the parser would collect it without end, be it a head, an extension of a chunk or a trailer
                self.refuse(431, "the head of the request is too long" if self.reading is HEAD else "the body has no end in sight")

    def on_response_complete(self) -> None:
        """As uvicorn's, but for the timer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():  # when it has sent what it has
            if self.transport.get_write_buffer_size():
                self._idle()
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self.refusal is not None:
            self._send_refusal()
        else:
            self.idle_due = self.loop.time() + self.timeout_keep_alive
            if self.idle_due < self.looks:
                self._set_timer()

    def _refuse_long_head(self) -> None:
        """Raises where the head that has been read is too long: not for what came behind it in the same read."""
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD:
            raise HeadRefused(431, f"the head of the request is longer than {MAX_HEAD} bytes")

    def _refuse_unknown_coding(self, codings: list[bytes]) -> None:
        """Raises where the body comes in a transfer coding that is not read here: 501 (RFC 9112, 6.1). The parser looks at the last
        one only, and what is unpacked by nobody would be taken for the body itself."""
        if codings != [b"chunked"]:
            raise HeadRefused(501, "Transfer-Encoding: only chunked is read here")

    def name_host(self) -> None:
        """Of a target with a host of its own that is the Host (RFC 9112, 3.2.2)."""
        target = httptools.parse_url(self.url) if b"://" in self.url else None
        if target is not None and target.host:
            host = target.host + (b":%d" % target.port if target.port else b"")
            self.headers[:] = [header for header in self.headers if header[0] != b"host"] + [(b"host", host)]

    def refuse(self, status: int, why: str) -> None:
        """Say no to what is being read, behind the answers to earlier requests, and close."""
        if self.transport.is_closing():
            return
        body = error_body(NULL_ID, INVALID_REQUEST, why)
        self.refusal = b"%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (
            STATUS_LINE[status],
            len(body),
            body,
        )
        if not self._is_answering():
            self._send_refusal()

    def _send_refusal(self) -> None:
        self.reading = NOTHING
        self.transport.write(self.refusal or b"")
        self._close()

    # -- parsing, and offers to upgrade ----------------------------------------------------------------------------------

    def _parse_on(self, data: bytes | memoryview, offer: httptools.HttpParserUpgrade) -> None:
        """The parser stopped behind the head that the offer stands in."""
        while True:
            data = memoryview(data)[offer.args[0] :]
            if self.parser.get_method() == b"CONNECT":  # which is one, whatever its headers say
                return self.refuse(405, "there is no proxy here: CONNECT is not served")
            if self._is_websocket():
                return self._become_websocket(data)
            try:
                self.parser.feed_data(self._head_without_offer())
                return self.parser.feed_data(data)
            except httptools.HttpParserError as error:
                return self._refuse_unparsed(error)
            except httptools.HttpParserUpgrade as another:
                offer = another

    def _refuse_unparsed(self, error: httptools.HttpParserError) -> None:
        if isinstance(error.__context__, HeadRefused):
            self.refuse(*error.__context__.args)
        else:
            self.refuse(400, f"not an HTTP/1.1 request: {error}")

    def _head_without_offer(self) -> bytes:
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                value = b", ".join(option for option in members(value) if option != b"upgrade") or b"keep-alive"
            if name != b"upgrade":
                lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join((*lines, b"", b""))

    def _is_websocket(self) -> bool:
        """Whether this is a handshake, and there is a WebSocket at its path."""
        headers, refusal = combine(self.headers)
        return (
            refusal is None
            and self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and b"websocket" in members(headers.get(b"upgrade"))
            and not self._is_answering()
            and self.bridge.is_socket(unquote(self.url.partition(b"?")[0].decode("latin-1")))
        )

    def _become_websocket(self, rest: memoryview) -> None:
        """As uvicorn's, which forgets what came behind the handshake."""
        self.reading = NOTHING
        if self.timer is not None:
            self.timer.cancel()
        self.connections.discard(self)
        made: Callable[..., asyncio.Protocol] | None = self.ws_protocol_class
        assert made is not None  # there is a WebSocket at this path
        protocol = made(config=self.config, server_state=self.server_state, app_state=self.app_state)
        protocol.connection_made(self.transport)
        lines = [b"GET %b HTTP/1.1" % self.url, *(b"%b: %b" % header for header in self.headers), b"", b""]
        self.transport.set_protocol(protocol)
        protocol.data_received(b"\r\n".join(lines))
        if rest:
            protocol.data_received(bytes(rest))

    # -- what is due ------------------------------------------------------------------------------------------------------

    def _owe(self, timeout: float) -> None:
        if self.read_due == NEVER and timeout and not self.transport.is_closing():
            self.read_due = self.loop.time() + timeout
            if self.read_due < self.looks:
                self._set_timer()

    def _idle(self) -> None:
        self.idle_due = self.loop.time() + self.timeout_keep_alive
        if self.idle_due < self.looks:
            self._set_timer()

    def _set_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.looks = min(self.read_due, self.idle_due)
        self.timer = self.loop.call_at(self.looks, self._look)

    def _look(self) -> None:
        """Something was due when the timer was set, and perhaps is no more."""
        self.timer, self.looks = None, NEVER
        now = self.loop.time()
        if self.read_due <= now and self._is_behind_another():
            self.read_due = now + (self.bridge.head_timeout or self.bridge.body_timeout)
        due = min(self.read_due, self.idle_due)
        if due < NEVER and due > now:
            self._set_timer()
        elif self.read_due <= now and self.reading is BODY:
            self.refuse(408, "the body of the request did not come in time (--body-timeout)")
        elif due <= now:
            self._close()

    def _is_behind_another(self) -> bool:
        """Whether what is being read waits for the answer to an earlier request, behind which it was sent."""
        return bool(self.pipeline) or (self.reading is not BODY and self._is_answering())

    def _is_answering(self) -> bool:
        """Whether there is an answer, begun or to come, before that to what is being read, or this has begun."""
        if self.pipeline:
            return True
        return (
            self.cycle is not None
            and not self.cycle.response_complete
            and (self.reading is not BODY or getattr(self.cycle, "response_started", False))
        )

    def _close(self) -> None:
        """Once what there is to send is sent, or at once if nobody takes it."""
        if self.transport.is_closing() or self.transport.get_write_buffer_size() > LEAST:
            self.transport.abort()
        else:
            self.transport.close()
            self._idle()


class UntilClosed(RequestResponseCycle):
    """An answer to HTTP/1.0, which knows no chunks: a body without a length ends with its connection (RFC 9112, 6.3)."""

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            self.chunked_encoding = False
        elif message["type"] == "http.response.body":
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


class HeadRefused(Exception):
    """Raised in a callback of the parser, which stops it, with the status and why."""
