"""Streamable HTTP, as a client without an SDK sees it; ``post``, ``get_stream`` and ``delete`` are the raw parts."""

import json
import threading
from contextlib import suppress

import httpx

from support.client import Client, Message, Refused, key
from support.stream import Stream

ACCEPT = "application/json, text/event-stream"
Headers = dict[str, str | None]  # None leaves a default out


class Http(Client):
    """``listen=False`` opens no GET stream: then only what comes on POST streams reaches the inbox."""

    answers = (200,)  # the statuses with a JSON-RPC answer in them

    def __init__(self, url: str, *, listen: bool = True, **options):
        super().__init__(url, **options)
        self.endpoint, self.listen, self.session = f"{self.url}/mcp", listen, None
        self.http = httpx.Client(verify=False, trust_env=False, timeout=self.timeout, limits=httpx.Limits())
        self.standing: Stream | None = None

    def open(self) -> Message:
        result = super().open()
        if self.listen:
            self.standing = self.get_stream()
            if self.standing.status == 200:  # 405 is allowed
                threading.Thread(target=self.follow, args=[self.standing], daemon=True).start()
        return result

    def deliver(self, message, headers=None):
        """Returns once a request is sent, so that what follows comes after it; its answer is read on a thread."""
        if isinstance(message, dict) and "method" in message and "id" in message:
            stream = self.post_stream(message, headers)
            threading.Thread(target=self.read_answer, args=[stream, message["id"]], daemon=True).start()
        elif (response := self.post(message, headers)).status_code >= 300:
            raise Refused(response.status_code, response.text)

    def read_answer(self, stream: Stream, id) -> None:
        problem = ConnectionError("the response ended without the answer")
        try:
            self.session = stream.wait_for_status(None) and stream.headers.get("mcp-session-id", self.session)
            if stream.is_sse:
                self.follow(stream)
            elif stream.status in self.answers:
                self.receive(json.loads(stream.body))
            else:
                problem = Refused(stream.status, stream.body.decode())
        except Exception as failed:  # the one who waits gets it
            problem = failed
        if future := self.waiting.pop(key(id), None):
            future.set_exception(problem)

    def follow(self, stream: Stream) -> None:
        for message in stream.messages():
            self.receive(message)

    # The raw parts

    def post(self, body, headers: Headers | None = None, timeout: float | None = None) -> httpx.Response:
        """Posts bytes, a string, or anything else as JSON."""
        return self.http.post(self.endpoint, content=encode(body), headers=self.with_defaults(headers), timeout=timeout or self.timeout)

    def post_stream(self, body, headers: Headers | None = None) -> Stream:
        """The response as it comes; ``with`` or ``close()`` cuts the connection, whatever was still to come."""
        return Stream("POST", self.endpoint, self.with_defaults(headers), encode(body))

    def get_stream(self, last_event_id: str | None = None, headers: Headers | None = None) -> Stream:
        defaults = {"accept": "text/event-stream", "content-type": None, "last-event-id": last_event_id}
        return Stream("GET", self.endpoint, self.with_defaults(defaults | (headers or {})))

    def delete(self, headers: Headers | None = None) -> httpx.Response:
        return self.http.delete(self.endpoint, headers=self.with_defaults(headers))

    def close(self, delete: bool = True) -> None:
        if delete and self.session:
            with suppress(httpx.HTTPError, RuntimeError):  # the bridge may be gone, or we closed before: it is what the test is about
                self.delete()
        if self.standing:
            self.standing.close()
        self.http.close()

    def with_defaults(self, more: Headers | None = None) -> dict[str, str]:
        headers = {"accept": ACCEPT, "content-type": "application/json"} | lower(self.headers)
        headers |= {"mcp-session-id": self.session, "mcp-protocol-version": self.version} | lower(more or {})
        return {name: value for name, value in headers.items() if value is not None}


def lower(headers: Headers) -> Headers:
    return {name.lower(): value for name, value in headers.items()}


def encode(body) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()
