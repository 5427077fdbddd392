"""Requests as raw bytes on a socket: for what no well-behaved client does."""

import base64
import json
import os
import socket
import time
from contextlib import suppress
from urllib.parse import urlsplit

from support.certificates import any_certificate

ACCEPT = "application/json, text/event-stream"


def message(method: str, params: dict | None = None, id=None) -> dict:
    """A request, or without an id a notification."""
    parts = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
    return {name: value for name, value in parts.items() if value is not None}


def call(tool: str, *, id=1, **arguments) -> dict:
    return message("tools/call", {"name": tool, "arguments": arguments}, id)


def initialize(version: str = "2025-11-25", id=0, **capabilities) -> dict:
    client = {"name": "raw", "version": "1"}
    return message("initialize", {"protocolVersion": version, "capabilities": capabilities, "clientInfo": client}, id)


def open_socket(url: str) -> socket.socket:
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return any_certificate().wrap_socket(connection) if parts.scheme == "https" else connection


def post(url: str, body, *, path: str = "/mcp", **headers: str) -> bytes:
    """A POST as bytes; header names with `_` for `-`."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head("POST", url, path, content_type="application/json", accept=ACCEPT, content_length=str(len(content)), **headers) + content


def head(method: str, url: str, path: str, **headers: str) -> bytes:
    headers = {"host": urlsplit(url).netloc} | headers
    lines = [f"{method} {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def read_until(connection: socket.socket, sign: bytes) -> bytes:
    """What comes, up to and with this sign, and perhaps a bit more."""
    seen = b""
    while sign not in seen:
        part = connection.recv(1 << 16)
        if not part:
            raise ConnectionError(f"closed after {seen[-500:]!r}")
        seen += part
    return seen


def read_to_end(connection: socket.socket) -> int:
    """How many bytes come until the other side closes. TimeoutError if it does not."""
    size = 0
    with suppress(ConnectionResetError):
        while part := connection.recv(1 << 20):
            size += len(part)
    return size


def open_websocket(url: str, path: str = "/ws", **headers: str) -> tuple[socket.socket, bytes]:
    """The socket after a WebSocket handshake, and the head of the answer."""
    connection = open_socket(url)
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        head(
            "GET",
            url,
            path,
            upgrade="websocket",
            connection="Upgrade",
            sec_websocket_version="13",
            sec_websocket_key=key,
            sec_websocket_protocol="mcp",
            **headers,
        )
    )
    return connection, read_until(connection, b"\r\n\r\n")


def send_frame(connection: socket.socket, body) -> None:
    """One masked text frame of up to 64 KiB."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.sendall(bytes([0x81, 0x80 | 126]) + len(content).to_bytes(2, "big") + bytes(4) + content)


class Connection:
    """One connection, on which each request says the same but for what a test says otherwise. `is_apart`: the body comes by itself."""

    def __init__(self, url: str, is_apart: bool = False, path: str = "/mcp"):
        self.url, self.is_apart, self.path = url, is_apart, path
        self.socket = open_socket(url)
        self.last = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def post(self, body: dict, token: str = "", **headers: str) -> int:
        named = {"authorization": f"Bearer {token}"} if token else {}
        data = post(self.url, body, path=self.path, **named, **headers)
        cut = data.index(b"\r\n\r\n") + 4
        for part in (data[:cut], data[cut:]) if self.is_apart else (data,):
            self.socket.sendall(part)
            time.sleep(0.02 if self.is_apart else 0)
        self.last = read_until(self.socket, b"\r\n\r\n")
        length = int(self.last.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(self.last.partition(b"\r\n\r\n")[2]) < length:
            self.last += self.socket.recv(1 << 16)
        return int(self.last.split()[1])

    def open(self, token: str = "", **headers: str) -> str:
        """A session of this token's."""
        assert self.post(initialize(), token, **headers) == 200
        return self.last.partition(b"mcp-session-id: ")[2].split()[0].decode()

    def calls(self, token: str, session: str, times: int = 1, **headers: str) -> list[int]:
        return [self.post(call("echo", message="x" * (number + 1)), token, mcp_session_id=session, **headers) for number in range(times)]
