"""uvicorn's WebSocket protocol, with an end to each wait for a client. Imported by the first WebSocket: it takes 8 ms and 1 MB."""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from bridge.http.connection import WriteDeadline

LINGER = 10.0  # seconds in which a client may still take what was sent to it last


class WebSocketProtocol(WriteDeadline, WebSocketsSansIOProtocol):
    """A client that answers no pings, or takes nothing, is cut off: closing would wait until it has taken all."""

    def __init__(self, *args, write_timeout: float, **kwargs):
        super().__init__(*args, **kwargs)
        self.write_timeout = write_timeout

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    def on_task_complete(self, task) -> None:
        super().on_task_complete(task)
        self.loop.call_later(LINGER, self.transport.abort)
