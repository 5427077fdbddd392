"""HTTP+SSE of 2024-11-05: a GET that brings the endpoint and every answer, and POSTs to that endpoint."""

import threading
from urllib.parse import urljoin

import httpx

from support.client import Client, Refused
from support.http import encode
from support.stream import Stream


class Sse(Client):
    """``.endpoint`` is the absolute POST address, ``.endpoint_data`` what the server wrote, ``.stream`` the GET."""

    stream: Stream | None = None

    def connect(self):
        self.http = httpx.Client(verify=False, trust_env=False, timeout=self.timeout)
        headers = {"accept": "text/event-stream"} | self.headers
        self.stream = Stream("GET", f"{self.url}/sse", headers)
        if self.stream.status != 200:
            raise Refused(self.stream.status, self.stream.body.decode())
        event = self.stream.next()
        if event is None or event.event != "endpoint":
            raise AssertionError(f"the first event is no endpoint: {event}")
        self.endpoint_data = event.data
        self.endpoint = urljoin(f"{self.url}/sse", event.data)
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        for message in self.stream.messages():
            self.receive(message)
        self.give_up()

    def give_up(self):
        while self.waiting:
            self.waiting.popitem()[1].set_exception(ConnectionError("the stream ended without the answer"))

    def deliver(self, message, headers=None):
        response = self.post(message, headers)
        if response.status_code != 202:
            raise Refused(response.status_code, response.text)

    def post(self, body, headers: dict[str, str] | None = None) -> httpx.Response:
        headers = {"content-type": "application/json"} | self.headers | (headers or {})
        if self.version:
            headers.setdefault("mcp-protocol-version", self.version)
        return self.http.post(self.endpoint, content=encode(body), headers=headers)

    def close(self):
        if self.stream:
            self.stream.close()
            self.http.close()
