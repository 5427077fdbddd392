"""uvicorn's WebSocket protocol, with an end to each wait for a client. Imported by the first WebSocket: it takes 8 ms and 1 MB."""

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from bridge.budget import Reservation
from bridge.http.connection import WriteDeadline

A_WRITE = 64  # bytes that one takes beside its own, while it waits
LINGER = 10.0  # seconds in which a client may still take what was sent to it last


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A client that answers no pings, or takes nothing, is cut off: closing would wait until it has taken all."""

    def __init__(self, *args: Any, write_timeout: float, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.write_deadline = WriteDeadline(write_timeout)
        self.hold: Reservation | None = None
        self.fragments = bytearray()  # what has come of a message in several frames
        self.pongs = 0  # bytes of them that a client has not taken which goes on with its pings

    def handle_ping(self) -> None:
        pongs = b"".join(self.conn.data_to_send())
        self.transport.write(pongs)
        if not self.writable.is_set():
            self.pongs += len(pongs) + A_WRITE

    def pause_writing(self) -> None:
        super().pause_writing()
        self.write_deadline.start(self.transport, self.loop)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.write_deadline.stop()
        self.pongs = 0
        self._count()

    def handle_cont(self, event: Frame) -> None:
        """As uvicorn's, which keeps each fragment: one of a single byte takes fifty."""
        if not self.fragments:
            self.fragments += self.frames[0]
        self.fragments += event.data
        if event.fin:
            self.frames[0], self.fragments = bytes(self.fragments), bytearray()
            self.send_receive_event_to_app()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._count()

    def connection_lost(self, exc: Exception | None) -> None:
        self.write_deadline.stop()
        if self.hold is not None:
            self.hold.set(0)
        super().connection_lost(exc)

    def _count(self) -> None:
        """What has come of a message counts as memory, and pongs; where there is none the connection ends."""
        size = len(self.conn.reader.buffer) + (len(self.fragments) or sum(map(len, self.frames))) + self.pongs
        hold: Any = self.scope.get("bridge.hold")  # the connection's, which App has put there
        if size and self.hold is None and hold is not None:
            self.hold = Reservation(hold.pot, hold.caller)
        if self.hold is not None and not self.hold.fits(size):
            self.transport.abort()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self.loop.call_later(LINGER, self.transport.abort)
