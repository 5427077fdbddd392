"""A message means the same whichever way it comes in: by the fast path, which takes a request with a length, or by ASGI, which takes one
in chunks; as a POST of HTTP+SSE or as a frame of a WebSocket.
"""

import json
import re
import socket
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import envelope
from websockets.sync.client import connect as connect_socket
from wire import ACCEPT, call, initialize, message, open_socket

META = envelope()
MODERN = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "echo", "arguments": {"message": "modern"}, "_meta": META}}
BODIES = [
    call("echo", message="hi"),
    call("nothing"),
    call("echo", id="1", message="é"),
    message("tools/list", id=2),
    message("ping", id=3),
    message("x-vendor/echo", {"io.modelcontextprotocol/protocolVersion": 1}, id=5),
    message("notifications/initialized"),
    message("notifications/cancelled", {"requestId": 1}),
    {"jsonrpc": "2.0", "id": 9, "result": {}},
    initialize(),
    initialize("2025-03-26", id=4),
    message("initialize", {}, id=6),
    message("initialize", {"protocolVersion": "2025-06-18"}),
    message("logging/setLevel", {"level": "loud"}, id=8),
    [message("ping", id=1), message("tools/list", id=2)],
    [],
    [initialize()],
    [MODERN],
    MODERN,
    MODERN | {"method": "tools/list"},
    MODERN | {"method": "initialize"},
    MODERN | {"method": "ping"},
    {**MODERN, "id": None},
    MODERN | {"method": "server/discover"},
    {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"_meta": META}},
    message("subscriptions/listen", {"_meta": {"a": 1}}, id=3),
    MODERN | {"params": {"name": "echo", "_meta": META | {"io.modelcontextprotocol/protocolVersion": "2027-01-01"}}},
    b"",
    b"{",
    b"null",
    b'"text"',
    b"\xef\xbb\xbf" + json.dumps(call("echo", message="bom")).encode(),
    b"[" * 2000,
    b'{"jsonrpc":"2.0","id":1,"method":"ping"} x',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":null}',
    b'{"id":1,"method":"ping"}',
    b"x" * 11_000,
]
HEADERS = {
    "accept": [ACCEPT, None, "application/json", "text/event-stream", "*/*", "text/html", "application/json;q=0, text/event-stream"],
    "content-type": ["application/json", "application/json; charset=utf-8", "application/json;charset=latin-1", "text/plain", None],
    "content-encoding": [None, "identity", "gzip"],
    "mcp-protocol-version": [None, "2025-11-25", "2025-11-25, 2025-11-25", "2026-07-28", "2099-01-01", "2024-01-01", "é"],
    "mcp-session-id": ["mine", None, "nobody's", ""],
    "mcp-method": [None, "tools/call", "tools/list", "server/discover"],
    "mcp-name": [None, "echo", "=?base64?ZWNobw==?=", "other"],
    "traceparent": [None, "00-1-2-3"],
    "origin": [None, "http://localhost", "http://evil.example.com"],
}


@dataclass
class Path:
    """A connection whose requests go one of the two ways, and the session that was opened on it."""

    url: str
    is_chunked: bool
    session: str = ""
    rest: bytes = b""
    connection: socket.socket = field(init=False)

    def __post_init__(self):
        self.connection = open_socket(self.url)
        head, _ = self.send("POST", {"accept": ACCEPT, "content-type": "application/json"}, initialize("2025-03-26"))
        self.session = re.search(rb"mcp-session-id: (\S+)", head)[1].decode()

    def send(self, method: str, headers: dict, body, path: str = "/mcp") -> tuple[bytes, bytes]:
        """The head and the body of the answer."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"host: {self.url.partition('//')[2]}"]
        lines += [f"{name}: {self.session if value == 'mine' else value}" for name, value in headers.items() if value is not None]
        if self.is_chunked:
            content = (b"%x\r\n%b\r\n" % (len(content), content) if content else b"") + b"0\r\n\r\n"
            lines.append("transfer-encoding: chunked")
        else:
            lines.append(f"content-length: {len(content)}")
        self.connection.sendall("\r\n".join([*lines, "", ""]).encode() + content)
        return self.read()

    def read(self) -> tuple[bytes, bytes]:
        head = self.until(b"\r\n\r\n")
        if found := re.search(rb"content-length: (\d+)", head):
            while len(self.rest) < int(found[1]):
                self.more()
            body, self.rest = self.rest[: int(found[1])], self.rest[int(found[1]) :]
            return head, body
        body = b""
        while size := int(self.until(b"\r\n"), 16):
            while len(self.rest) < size + 2:
                self.more()
            body, self.rest = body + self.rest[:size], self.rest[size + 2 :]
        self.until(b"\r\n")
        return head, body

    def until(self, sign: bytes) -> bytes:
        while sign not in self.rest:
            self.more()
        found, _, self.rest = self.rest.partition(sign)
        return found

    def more(self) -> None:
        part = self.connection.recv(1 << 16)
        if not part:
            raise ConnectionError(f"closed after {self.rest!r}")
        self.rest += part


def seen(path: Path, answer: tuple[bytes, bytes]) -> tuple[list[bytes], bytes]:
    """An answer without what is another one in each session."""
    head, body = answer
    lines = [re.sub(rb"^(mcp-session-id: ).*", rb"\1ID", line) for line in head.split(b"\r\n")]
    return sorted(lines), re.sub(rb"id: \S+-\d+\n", b"id: ID\n", body).replace(path.session.encode(), b"MINE")


PLAIN = {name: values[0] for name, values in HEADERS.items()}
OF_MODERN = PLAIN | {"mcp-session-id": None, "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "echo"}
odd = st.one_of([st.tuples(st.just(name), st.sampled_from(values)) for name, values in HEADERS.items()])
headers = st.builds(lambda usual, odd: usual | dict(odd), st.sampled_from([PLAIN, OF_MODERN]), st.lists(odd, max_size=2))
requests = st.lists(
    st.tuples(st.sampled_from(["POST", "POST", "DELETE", "PUT"]), headers, st.sampled_from(BODIES + [MODERN] * 8)), min_size=1, max_size=5
)


@pytest.mark.parametrize(
    "child, options", [("echo", ()), ("echo", ("--profile", "litellm")), ("modern", ())], ids=["strict", "litellm", "modern"]
)
def test_a_request_is_answered_the_same_by_the_fast_path_and_by_asgi(around, child, options):
    """Status, headers and body. Of 6,000 requests 8 had not been, when each rule stood twice: a DELETE with a modern body ran the call."""
    bridge = around(child, options=(*options, "--max-body", "10k"))

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(requests)
    def compare(them):
        paths = [Path(bridge.url, False), Path(bridge.url, True)]
        try:
            for method, headers, body in them:
                fast, asgi = (seen(path, path.send(method, headers, body)) for path in paths)

                assert fast == asgi, (method, headers, body)
        finally:
            for path in paths:
                path.connection.close()

    compare()
    assert not bridge.logged("bug in the bridge")


@pytest.mark.parametrize("is_chunked", [False, True], ids=["fast", "asgi"])
def test_a_delete_runs_no_call_whatever_its_body_says(around, is_chunked):
    path = Path(around("modern").url, is_chunked)
    headers = {name: value for name, value in OF_MODERN.items() if value is not None}
    answers = [path.send("DELETE", more, MODERN) for more in (headers, {"mcp-session-id": "mine"})]
    path.connection.close()

    assert [head.split()[1] for head, _ in answers] == [b"405", b"200"]
    assert answers[1][1] == b"{}"


class OverSse:
    """A client of HTTP+SSE: what it posts goes the fast path, or by ASGI."""

    def __init__(self, url: str, is_chunked: bool):
        self.events, self.posts = open_socket(url), Path(url, is_chunked)
        self.events.sendall(f"GET /sse HTTP/1.1\r\nhost: {url.partition('//')[2]}\r\naccept: text/event-stream\r\n\r\n".encode())
        self.seen = b""
        self.path = self.next().decode()

    def next(self) -> bytes:
        while not (found := re.search(rb"data: (.*)\n\n", self.seen)):
            self.seen += self.events.recv(1 << 16)
        self.seen = self.seen[found.end() :]
        return found[1]

    def send(self, content: bytes) -> list:
        """What is said to it."""
        headers = {"content-type": "application/json"}
        head, body = self.posts.send("POST", headers, content, self.path)
        self.posts.send("POST", headers, PING, self.path)
        is_refused = head.split()[1] != b"202"
        said = heard(self.next, content if not is_refused else b"")
        assert not (is_refused and said)
        return [json.loads(body)] if is_refused else said

    def close(self) -> None:
        self.events.close()
        self.posts.connection.close()


class OverWebSocket:
    def __init__(self, url: str):
        self.connection = connect_socket(f"{url.replace('http', 'ws')}/ws", subprotocols=["mcp"], max_size=None).__enter__()

    def send(self, content: bytes) -> list:
        self.connection.send(content)
        self.connection.send(PING)
        return heard(lambda: self.connection.recv(timeout=5), content)

    def close(self) -> None:
        self.connection.close()


def heard(receive, content: bytes) -> list:
    """What comes, until the ping that was sent behind the content is answered, and the content if it wants an answer."""
    said, is_answered = [], False
    is_request = b'"id"' in content and b'"method"' in content
    while not is_answered or (is_request and not said):
        message = json.loads(receive())
        if isinstance(message, dict) and message.get("id") == "after":
            is_answered = True
        else:
            said.append(message)
    return said


PING = b'{"jsonrpc":"2.0","id":"after","method":"ping"}'
OPENED = [initialize("2025-03-26", id="open")]
said = st.lists(st.sampled_from(BODIES), min_size=1, max_size=6)
opening = st.sampled_from([OPENED, OPENED, [initialize("2025-11-25", id="open")], []])


@pytest.mark.parametrize("options", [(), ("--profile", "litellm")], ids=["strict", "litellm"])
def test_a_message_is_answered_the_same_by_http_sse_and_on_a_websocket(around, options):
    """What is no message is refused in the response to its POST where the profile is strict, which a WebSocket has not: the error is the same."""
    bridge = around("echo", options=(*options, "--max-body", "10k"))

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(opening, said)
    def compare(first, them):
        with (
            closing(OverSse(bridge.url, False)) as fast,
            closing(OverSse(bridge.url, True)) as asgi,
            closing(OverWebSocket(bridge.url)) as socket,
        ):
            for body in first + [body for body in them if first or "initialize" not in str(body)]:
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                answers = fast.send(content), asgi.send(content), socket.send(content)

                assert answers[0] == answers[1] == answers[2], content

    compare()
    assert not bridge.logged("bug in the bridge")
