"""WebSocket, subprotocol mcp: one message a frame."""

import json
import threading
from contextlib import ExitStack

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from support.certificates import any_certificate
from support.client import Client
from support.http import encode


class Ws(Client):
    """``.socket`` is the websockets connection, ``.closed`` its (code, reason) once it is over."""

    socket = None
    closed: tuple[int, str] | None = None

    def connect(self):
        address = "ws" + self.url.removeprefix("http") + "/ws"
        self.opened = ExitStack()
        options = {"subprotocols": ["mcp"], "additional_headers": self.headers, "max_size": None, "proxy": None, "close_timeout": 1}
        if address.startswith("wss:"):
            options["ssl"] = any_certificate()
        connection = connect(address, **options)
        self.socket = self.opened.enter_context(connection)
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        try:
            for frame in self.socket:
                self.receive(json.loads(frame))
        except ConnectionClosed:
            pass
        self.closed = self.socket.close_code, self.socket.close_reason
        while self.waiting:
            self.waiting.popitem()[1].set_exception(ConnectionError(f"closed without the answer: {self.closed}"))

    def deliver(self, message, headers=None):
        self.send(message)

    def send(self, body) -> None:
        """One frame: bytes as a binary one, a string or JSON as text."""
        self.socket.send(body if isinstance(body, bytes) else encode(body).decode())

    def close(self):
        if self.socket:
            self.opened.close()
