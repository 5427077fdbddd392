"""What people really run into when they put a stdio MCP server behind a bridge: a line each, where it was seen, what is right.

A case gets the URL of a running bridge and raises where its answer is wrong. `way` is what is odd about the server
(odd_server.py). The same list runs against the bridge in the tests and against its peers in tests/bench/peers.py.
"""

import gzip
import json
import socket
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from battery.client import HELLO, JSON, Session, head, post, request, send


@dataclass(frozen=True)
class Case:
    name: str
    seen: str  # where
    right: Callable[[str], None]
    way: str = "plain"
    options: tuple[str, ...] = field(default=())  # what our bridge needs to be told
    theirs: bool = True  # False: says nothing about a peer, which has no such option


CASES: list[Case] = []


def case(seen: str, *, way: str = "plain", options: tuple[str, ...] = (), theirs: bool = True):
    def add(right):
        CASES.append(Case(right.__name__, seen, right, way, options, theirs))
        return right

    return add


HEALTH = ("/healthz", "/status", "/ping")  # ours and its peers'
UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA")


def _is_opened(answer) -> None:
    assert answer.status == 200, (answer.status, answer.body[:200])
    assert answer.json()["result"]["serverInfo"], answer.body[:200]


# ---- odd clients -----------------------------------------------------------------------------------------------------


@case("langchain4j#4582: Java's HttpClient offers HTTP/2 on every request")
def an_offer_of_h2c_is_ignored(url):
    _is_opened(post(url, request("initialize", HELLO), *UPGRADE))


@case("uvicorn#2722: the same, the body in a segment of its own")
def an_offer_of_h2c_is_ignored_and_the_body_that_follows_is_read(url):
    _is_opened(post(url, request("initialize", HELLO), *UPGRADE, split=True))


@case("the same with Transfer-Encoding: chunked")
def an_offer_of_h2c_is_ignored_with_a_chunked_body(url):
    body = json.dumps(request("initialize", HELLO)).encode()
    start = head(url, "POST", "/mcp", *JSON.strip().split("\r\n"), "Transfer-Encoding: chunked", *UPGRADE)
    _is_opened(send(url, start, b"%x\r\n%b\r\n" % (len(body), body), b"0\r\n\r\n", until=b'"id"'))


@case("RFC 9110, 7.8: a server ignores what it does not know")
def an_offer_of_any_other_protocol_is_ignored(url):
    _is_opened(post(url, request("initialize", HELLO), "Connection: Upgrade", "Upgrade: TLS/1.3"))


@case("RFC 9110, 7.8: WebSocket is offered where there is none")
def an_offer_of_websocket_on_a_post_is_ignored(url):
    _is_opened(
        post(
            url,
            request("initialize", HELLO),
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        )
    )


@case("typescript-sdk PR 231: a compressing proxy holds events back")
def an_event_stream_forbids_transformations(url):
    session = Session(url)
    start = head(url, "GET", "/mcp", "Accept: text/event-stream", *session.lines)
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), 8) as connection:
        connection.sendall(start)
        got = b""
        while b"\r\n\r\n" not in got:
            got += connection.recv(4096) or b"\r\n\r\n"
    assert b"no-transform" in got.lower() and b"no-cache" in got.lower(), got


@case("HAProxy httpchk: HTTP/1.0 without a Host")
def a_health_check_of_http_1_0_without_a_host_is_answered(url):
    answers = [send(url, head(url, "GET", path, host=None, version="1.0")) for path in HEALTH]
    assert any(answer.status == 200 for answer in answers)
    assert all(answer.headers["transfer-encoding"] is None for answer in answers), "HTTP/1.0 has no chunks"


@case("a load balancer asks by its own name")
def a_health_check_by_any_host_is_answered(url):
    assert any(send(url, head(url, "GET", path, host="10.0.0.7:31234")).status == 200 for path in HEALTH)


@case("a base URL that ends in a slash")
def a_doubled_slash_is_served(url):
    _is_opened(post(url, request("initialize", HELLO), path="//mcp"))


@case("Spring AI, FastAPI mounts: a slash at the end")
def a_slash_at_the_end_is_served(url):
    _is_opened(post(url, request("initialize", HELLO), path="/mcp/"))


@case("copied in capitals")
def a_path_in_capitals_is_served_or_the_right_one_is_named(url):
    _is_served_or_named(post(url, request("initialize", HELLO), path="/MCP"))


@case("only the host is configured")
def the_root_is_served_or_the_right_path_is_named(url):
    _is_served_or_named(post(url, request("initialize", HELLO), path="/"))


def _is_served_or_named(answer) -> None:
    if answer.status == 200:
        return _is_opened(answer)
    assert answer.status in (404, 405), answer.status
    assert "/mcp" in json.dumps(answer.json()), answer.body[:200]
    return None


@case("MCPJungle#289, mcp-remote: discovery goes on until something is JSON")
def there_is_no_oauth_and_it_is_said_in_json(url):
    for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-authorization-server/mcp", "/register"):
        body = b"{}"
        start = head(url, "POST" if path == "/register" else "GET", path, f"Content-Length: {len(body)}", "Content-Type: application/json")
        answer = send(url, start + body)
        assert answer.status == 404, (path, answer.status)
        assert answer.json(), (path, answer.body[:100])


@case("RFC 9110, 8.4: a body that is compressed")
def a_compressed_body_is_read_or_refused_by_name(url):
    for encoding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress), ("br", bytes)):
        body = pack(json.dumps(request("initialize", HELLO)).encode())
        start = head(url, "POST", "/mcp", *JSON.strip().split("\r\n"), f"Content-Length: {len(body)}", f"Content-Encoding: {encoding}")
        answer = send(url, start + body, until=b'"id"')
        if answer.status == 200 and encoding != "br":
            _is_opened(answer)
        else:
            assert answer.status == 415, (encoding, answer.status, answer.body[:100])


@case("RFC 8259, 8.1: a charset that JSON has not")
def a_charset_is_read_or_refused(url):
    for charset, right in (("utf-8", 200), ("UTF-8", 200), ("utf-16", 415)):
        body = json.dumps(request("initialize", HELLO)).encode(charset)
        start = head(
            url,
            "POST",
            "/mcp",
            f"Content-Type: application/json; charset={charset}",
            "Accept: application/json, text/event-stream",
            f"Content-Length: {len(body)}",
        )
        answer = send(url, start + body, until=b'"id"')
        assert answer.status == right, (charset, answer.status, answer.body[:100])


@case("curl without -N: Expect: 100-continue")
def a_client_that_waits_for_100_gets_it(url):
    body = json.dumps(request("initialize", HELLO)).encode()
    start = head(url, "POST", "/mcp", *JSON.strip().split("\r\n"), f"Content-Length: {len(body)}", "Expect: 100-continue")
    _is_opened(send(url, start, body, until=b'"id"'))


@case("slow uplinks: a body in many segments")
def a_body_in_pieces_is_one_body(url):
    body = json.dumps(request("initialize", HELLO)).encode()
    start = head(url, "POST", "/mcp", *JSON.strip().split("\r\n"), f"Content-Length: {len(body)}")
    pieces = [body[at : at + 9] for at in range(0, len(body), 9)]
    _is_opened(send(url, start, *pieces, until=b'"id"', pause=0.01))


@case("ids larger than a double holds")
def an_id_comes_back_as_it_was(url):
    session = Session(url)
    body = b'{"jsonrpc":"2.0","id":9007199254740993,"method":"tools/list"}'
    start = head(url, "POST", "/mcp", *JSON.strip().split("\r\n"), f"Content-Length: {len(body)}", *session.lines)
    assert b'"id":9007199254740993' in send(url, start + body, until=b'"id"').body.replace(b" ", b"")


@case("DNS rebinding: PEERS' row 'evil Host'")
def a_foreign_host_is_refused(url):
    assert post(url, request("initialize", HELLO), host="evil.example").status in (400, 403, 421)


@case("DNS rebinding: PEERS' row 'evil Origin'")
def a_foreign_origin_is_refused(url):
    assert post(url, request("initialize", HELLO), "Origin: https://evil.example").status == 403


@case("RFC 9112, 3.2: two Hosts")
def two_hosts_are_refused(url):
    answer = post(url, request("initialize", HELLO), "Host: evil.example")
    assert answer.status in (400, 403), answer.status


@case("browser chats", options=("--allowed-origin", "https://chat.example"), theirs=False)
def a_page_that_was_let_in_may_use_every_header(url):
    asked = (
        "Content-Type, Authorization, X-API-Key, Mcp-Session-Id, Mcp-Protocol-Version, Last-Event-ID, Mcp-Method, Mcp-Name, "
        "Mcp-Param-Region"
    )
    answer = send(
        url,
        head(
            url,
            "OPTIONS",
            "/mcp",
            "Origin: https://chat.example",
            "Access-Control-Request-Method: POST",
            f"Access-Control-Request-Headers: {asked.lower()}",
        ),
    )
    assert answer.status in (200, 204), answer.status
    allowed = (answer.headers["access-control-allow-headers"] or "").lower().replace(" ", "").split(",")
    assert set(asked.lower().replace(" ", "").split(",")) <= set(allowed), allowed
    opened = post(url, request("initialize", HELLO), "Origin: https://chat.example")
    assert opened.headers["access-control-allow-origin"] == "https://chat.example"
    assert "mcp-session-id" in (opened.headers["access-control-expose-headers"] or "").lower()


# ---- odd servers -----------------------------------------------------------------------------------------------------


def _works(url) -> None:
    session = Session(url)
    assert session.opening.get("result", {}).get("serverInfo", {}).get("name") == "odd", session.opening
    for text in ("hello", "ä {\\n"):
        answer = session.call(text)
        assert answer.get("result", {}).get("content") == [{"type": "text", "text": text}], answer


for way, seen in {
    "bom": "PowerShell and .NET write a BOM before what they print",
    "crlf": "Windows line ends",
    "cr": "old line ends",
    "pretty": "json.dumps(..., indent=2)",
    "array": "a batch as the answer (2025-03-26)",
    "text_ids": "ids come back as strings",
    "float_ids": "ids come back as floats (Lua, JavaScript through a C library)",
    "pino": "a JSON logger on stdout whose lines have an id",
    "coloured": "a logger that colours stdout",
    "noise": "progress bars and broken UTF-8 on stdout",
    "blank_lines": "blank lines between messages",
    "content_length": "framing as in LSP",
    "in_pieces": "unbuffered output, a byte at a time",
}.items():
    CASES.append(Case(f"a_server_with_{way}_works", seen, _works, way))


@case("a wrong argument: the program prints its help and waits", way="help")
def a_server_that_prints_help_is_told_soon(url):
    answer = post(url, request("initialize", HELLO))
    assert answer.seconds < 6, answer.seconds
    assert "Usage" in answer.body.decode(), answer.body[:300]


@case("a missing key: the program exits at once", way="no_key")
def a_server_that_exits_at_once_says_why(url):
    answer = post(url, request("initialize", HELLO))
    assert answer.seconds < 6, answer.seconds
    assert "ODD_API_KEY" in answer.body.decode(), answer.body[:300]


@case("PEERS' row: a child dies, and later calls fail for good")
def a_server_that_dies_in_a_call_costs_that_call_only(url):
    session = Session(url)
    answer = session.call("die")
    assert "error" in answer or answer["result"].get("isError"), answer
    assert session.call("hello")["result"]["content"][0]["text"] == "hello"


@case("PEERS' row: results of 5 MB")
def a_large_result_comes_whole(url):
    assert len(Session(url).call("x")["result"]["content"][0]["text"]) == 5 << 20
