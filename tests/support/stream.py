"""One HTTP response as it comes, read by a thread, on a connection of its own.

Made with http.client instead of httpx, because here the socket is at hand before the response is: a test can
cut the connection while the bridge still holds the headers back.
"""

import http.client
import json
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

from support.certificates import any_certificate
from support.client import Message
from support.sse_events import Event, events


class Stream:
    """``.status``, ``.headers`` and ``.is_sse`` wait for the headers, ``.body`` for all of a response that is no SSE."""

    def __init__(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None):
        parts = urlsplit(url)
        if parts.scheme == "https":
            self.connection = http.client.HTTPSConnection(parts.hostname, parts.port, context=any_certificate())
        else:
            self.connection = http.client.HTTPConnection(parts.hostname, parts.port)
        self.connection.request(method, parts.path + ("?" + parts.query if parts.query else ""), body, headers)
        self.socket = self.connection.sock
        self.response: http.client.HTTPResponse | None = None
        self.seen: list[Event] = []  # every event so far, comments too
        self.queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()  # None: the end
        self.opened, self.ended, self.content = threading.Event(), threading.Event(), b""
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        with suppress(OSError, http.client.HTTPException, ValueError, AttributeError):  # cut off: the end, too
            self.response = self.connection.getresponse()
            self.opened.set()
            if not self.response.headers.get("content-type", "").startswith("text/event-stream"):
                self.content = self.response.read()
            else:
                for event in events(iter(lambda: self.response.read1(1 << 16), b"")):
                    self.seen.append(event)
                    self.queue.put(event)
        self.ended.set()
        self.opened.set()
        self.queue.put(None)

    # The head

    def wait_for_status(self, timeout: float | None = 30) -> int:
        if not self.opened.wait(timeout):
            raise TimeoutError(f"no response within {timeout} s")
        if self.response is None:
            raise ConnectionError("closed without a response")
        return self.response.status

    @property
    def status(self) -> int:
        return self.wait_for_status()

    @property
    def headers(self) -> http.client.HTTPMessage:
        self.wait_for_status()
        return self.response.headers

    @property
    def is_sse(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def body(self) -> bytes:
        if not self.ended.wait(30):
            raise TimeoutError("the body does not end")
        return self.content

    # The events

    def next(self, timeout: float | None = 20, *, comments: bool = False) -> Event | None:
        """The next event, None at the end of the stream; TimeoutError if there is neither."""
        while True:
            try:
                event = self.queue.get(timeout=timeout)
            except queue.Empty:
                raise TimeoutError(f"no event within {timeout} s; before: {str(self.seen)[:1000]}") from None
            if event is None:
                self.queue.put(None)
            if event is None or comments or event.event != "comment":
                return event

    def next_message(self, timeout: float = 20) -> Message:
        """The next JSON-RPC message; events without data are skipped."""
        while event := self.next(timeout):
            if event.event == "message" and event.data:
                return json.loads(event.data)
        raise AssertionError("the stream ended")

    def messages(self) -> Iterator[Message]:
        """All messages until the end; the parts of a batch one by one."""
        while event := self.next(timeout=None):
            if event.event == "message" and event.data:
                message = json.loads(event.data)
                yield from message if isinstance(message, list) else [message]

    # The end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self) -> None:
        """Cuts the connection. A shutdown, because close alone would not wake the reading thread."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.ended.wait(2)
        if self.response:
            self.response.close()
        self.connection.close()
        self.socket.close()
