"""One HTTP response in progress that carries messages: a bounded queue of frames, and how a message becomes one.

The core puts frames in without ever waiting; one task takes them out, or is passed by where it has nothing to do. A reader
that is slower than its messages loses its stream (what was on it can be had again by `Last-Event-ID`), and nobody else
waits for it.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from bridge.budget import Budget, Reservation
from bridge.counts import Counts
from bridge.protocol.envelope import RETURN
from bridge.protocol.errors import Refusal
from bridge.settings import Settings

COMMENT = b": keep-alive\n\n"
# Of every response that is an event stream. no-transform: a proxy that compresses would hold events back until its block is
# full (RFC 9111, 5.2.2.6); x-accel-buffering: nginx hands on what comes, when it comes.
EVENT_STREAM = {"content-type": "text/event-stream", "cache-control": "no-cache, no-store, no-transform", "x-accel-buffering": "no"}
EVENTS = tuple((name.encode(), value.encode()) for name, value in EVENT_STREAM.items())
_BREAKS = ((b"\xe2\x80\xa8", rb"\u2028"), (b"\xe2\x80\xa9", rb"\u2029"), (b"\xc2\x85", rb"\u0085"))


def frame(message: bytes, event_id: str = "", event: str = "message") -> bytes:
    """One server-sent event (WHATWG HTML, 9.2). `message` is JSON without a newline.

    Real readers also break lines at U+2028, U+2029 and U+0085, which JSON may hold: those are escaped here.
    """
    if not message.isascii():
        for char, escaped in _BREAKS:
            message = message.replace(char, escaped)
    if RETURN in message:
        message = message.replace(b"\r", b" ")
    if event_id:
        return b"event: %b\nid: %b\ndata: %b\n\n" % (event.encode(), event_id.encode(), message)
    return b"event: %b\ndata: %b\n\n" % (event.encode(), message)


class OpenStreams(Protocol):
    """Who counts streams, and ends them."""

    def refusal(self, caller: str = "") -> Refusal | None: ...

    def opened(self, stream: "Stream") -> None: ...

    def closed(self, stream: "Stream") -> None: ...


class Owner(Protocol):
    """What a stream needs of the service that it belongs to."""

    settings: Settings
    memory: Budget
    counts: Counts
    loop: asyncio.AbstractEventLoop

    @property
    def streams(self) -> OpenStreams: ...


def open_stream(service: Owner, principal: str, caller: str = "") -> "Stream":
    hold = Reservation(service.memory, caller or principal)
    stream = Stream(service.settings.stream_buffer, service.loop.time(), service.streams.closed, hold)
    stream.principal = principal
    service.streams.opened(stream)
    return stream


async def pump(service: Owner, stream: "Stream", send: Send) -> None:
    """Write a stream's frames to its client until it is over. A reader too slow for them is given up."""
    with stream.sending():
        async for frames in stream:
            service.counts.bytes_out += len(frames)
            await send({"type": "http.response.body", "body": frames, "more_body": True})


async def pump_listening(service: Owner, stream: "Stream", scope: Scope, receive: Receive, send: Send) -> None:
    """The same for a stream that lives until its client leaves. A reader that takes nothing at all is given up, too."""
    if protocol := scope.get("bridge.protocol"):
        stream.write_now = protocol.writer()
    with stream.sending():
        try:
            response = EventSourceResponse(stream, ping=0, send_timeout=service.settings.keepalive or None, headers=EVENT_STREAM)
            await response(scope, receive, send)
        except SendTimeoutError:
            stream.give_up()


class Stream:
    """Frames on their way to one reader. `limit` is in bytes, for what piles up while the reader has not taken what was
    sent before; it may be exceeded by one frame, be it a long one.
    """

    __slots__ = "_frames _is_sending _on_close _size _waiter beats closed hold is_standing limit overflowed principal task touched write_now".split()

    def __init__(self, limit: int, now: float, on_close: Callable[["Stream"], None] | None = None, hold: Reservation | None = None):
        self.limit = limit
        self.overflowed = False
        self.closed = False
        self.principal = ""  # whose it is
        self.is_standing = True  # it carries more than the answer to one request
        self.touched = now  # when something was last sent
        self.beats = True  # whether it needs signs of life from us
        self.task: asyncio.Task[Any] | None = None  # ended if its reader is too slow
        self.write_now: Callable[[bytes], bool] | None = (
            None  # writes a frame past the task, which costs half as much; False if it has to wait
        )
        self._frames: list[bytes] = []
        self._size = 0
        self.hold = hold or Reservation(Budget(), "")  # of the memory, for what is queued and what is being sent
        self._waiter: asyncio.Future[None] | None = None
        self._on_close = on_close
        self._is_sending = False

    def push(self, frame: bytes) -> bool:
        """Queue a frame. False if the stream is closed, be it because of this very frame."""
        if self.closed:
            return False
        waiter = self._waiter
        if waiter is not None and not waiter.done() and self.write_now is not None and self.write_now(frame):
            self.touched = waiter.get_loop().time()
            return True  # the task has nothing to do, and the frame has left
        hold = self.hold
        if (self._is_sending and self._size > self.limit) or not hold.fits(hold.size + len(frame)):
            self.give_up()
            if self.task:
                self.task.cancel()
            return False
        self._frames.append(frame)
        self._size += len(frame)
        self._wake()
        return True

    def give_up(self) -> None:
        """The reader is too slow: what is queued is not sent any more."""
        self.overflowed = True
        self.close()

    @contextmanager
    def sending(self) -> Iterator[None]:
        """The current task writes this stream out. It is cut short, here and without a word, if its reader is too slow."""
        self.task = task = asyncio.current_task()
        try:
            yield
        except asyncio.CancelledError:
            if not self.overflowed:
                raise
            if task is not None:
                task.uncancel()
        finally:
            self.task = self.write_now = None
            self.close()
            self.hold.set(0)

    def close(self) -> None:
        """Nothing more comes; what is queued is still sent."""
        if not self.closed:
            self.closed = True
            if self._on_close:
                self._on_close(self)
            if not self._is_sending and not self._frames:
                self.hold.set(0)
            self._wake()

    def beat(self, now: float, keepalive: float, sign: bytes = COMMENT) -> None:
        """Send a sign of life if the stream was silent for too long."""
        if now - self.touched >= keepalive and not self._frames:
            self.touched = now
            self.push(sign)

    async def take(self) -> list[bytes]:
        """The frames that are there, at least one; none when the stream is over."""
        self._is_sending = False
        self.hold.set(self._size)  # what was taken before has been sent
        while not self._frames and not self.closed:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self._is_sending = True
        frames, self._frames, self._size = self._frames, [], 0
        return [] if self.overflowed else frames

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> bytes:
        frames = await self.take()
        if not frames:
            raise StopAsyncIteration
        self.touched = asyncio.get_running_loop().time()
        return frames[0] if len(frames) == 1 else b"".join(frames)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
