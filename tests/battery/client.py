"""HTTP by hand: what odd clients really send, byte for byte, and what they get."""

import http.client
import json
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

PATIENCE = 8  # seconds for any one answer
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "odd", "version": "1"}}
JSON = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes
    seconds: float

    def json(self):
        """The JSON of the body, or of its last event."""
        if "event-stream" not in (self.headers["content-type"] or ""):
            return json.loads(self.body or b"null")
        events = [line[5:] for line in self.body.splitlines() if line.startswith(b"data:") and line[5:].strip()]
        return json.loads(events[-1])


def send(url: str, *segments: bytes, until: bytes | None = None, patience: float = PATIENCE, pause: float = 0.05) -> Answer:
    """Sends the segments one by one and reads one response; of an event stream as much as holds `until`."""
    place = urlsplit(url)
    began = time.monotonic()
    with socket.create_connection((place.hostname, place.port), patience) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, segment in enumerate(segments):
            if number:
                time.sleep(pause)
            connection.sendall(segment)
        response = http.client.HTTPResponse(connection, method=segments[0].split(b" ", 1)[0].decode())
        response.begin()
        body = b""
        if "event-stream" in (response.headers["content-type"] or ""):
            while until is None or until not in body:
                line = response.readline()
                body += line
                if not line or (until is None and line.startswith(b"data:")):
                    break
        else:
            body = response.read()
        return Answer(response.status, response.headers, body, time.monotonic() - began)


def head(url: str, method: str, path: str, *lines: str, host: str | None = "", version: str = "1.1") -> bytes:
    """A request's head. `host` is the URL's own if it is empty, and left out if it is None."""
    named = [f"Host: {host or urlsplit(url).netloc}"] if host is not None else []
    return ("\r\n".join([f"{method} {path} HTTP/{version}", *named, *lines]) + "\r\n\r\n").encode()


def post(url: str, message: dict, *lines: str, path: str = "/mcp", split: bool = False, **more) -> Answer:
    """One message, with these header lines added; `split`: head and body in two segments."""
    body = json.dumps(message).encode()
    start = head(url, "POST", path, *JSON.strip().split("\r\n"), f"Content-Length: {len(body)}", *lines, **more)
    return send(url, *((start, body) if split else (start + body,)), until=b'"id"')


def request(method: str, params: dict | None = None, id=1) -> dict:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}}


class Session:
    """A client of the handshake era, opened."""

    def __init__(self, url: str, *lines: str):
        self.url = url
        opened = post(url, request("initialize", HELLO), *lines)
        self.opening = opened.json()
        id = opened.headers["mcp-session-id"]
        self.lines = [*lines, "MCP-Protocol-Version: 2025-06-18", *([f"Mcp-Session-Id: {id}"] if id else [])]
        if "result" in self.opening:
            post(url, {"jsonrpc": "2.0", "method": "notifications/initialized"}, *self.lines)

    def call(self, text: str, **more) -> dict:
        return post(self.url, request("tools/call", {"name": "echo", "arguments": {"text": text}}, 7), *self.lines, **more).json()
