"""A connection: each of its phases ends in time, and what stands in its heads means one thing."""

import itertools
import json
import socket
import time
from contextlib import suppress

import pytest
from support import Bridge, Http, eventually, zoo
from wire import ACCEPT, call, head, initialize, message, open_socket, open_websocket, post, read_to_end, read_until, send_frame

# Offers to upgrade

SECRET = "a-token-for-tests"
H2C = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2_settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"}
OFFERS = {
    "h2c": H2C,
    "a websocket": {"connection": "keep-alive, Upgrade", "upgrade": "websocket"},
    "TLS": {"connection": "upgrade", "upgrade": "TLS/1.2"},
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    file = tmp_path_factory.mktemp("guarded") / "tokens"
    file.write_text(f"{SECRET}\n")
    with Bridge(zoo("echo"), "--token-file", file, headers={"authorization": f"Bearer {SECRET}"}) as bridge:
        yield bridge


def chunked(body: bytes, *parts: int) -> bytes:
    """A body in chunks that end there."""
    ends = [0, *parts, len(body)]
    chunks = [body[begin:end] for begin, end in itertools.pairwise(ends)]
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


@pytest.mark.parametrize("token", [SECRET, "wrong"])
@pytest.mark.parametrize("size", [1 << 16, 40, 1], ids=["in one segment", "in many", "byte by byte"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("offer", OFFERS)
def test_an_offer_to_upgrade_is_ignored(guarded, connect, offer, framing, size, token):
    """RFC 9110, 7.8. Java's HTTP client offers h2c with every request; it got no answer, or lost its body."""
    body = json.dumps(initialize()).encode()
    headers = OFFERS[offer] | {"authorization": f"Bearer {token}", "content_type": "application/json", "accept": "*/*"}
    headers |= {"content_length": str(len(body))} if framing == "length" else {"transfer_encoding": "chunked"}
    request = head("POST", guarded.url, "/mcp", **headers) + (body if framing == "length" else chunked(body, 7, 50))
    with open_socket(guarded.url) as connection:
        for begin in range(0, len(request), size):
            connection.sendall(request[begin : begin + size])
        answer = read_until(connection, b"}}}" if token == SECRET else b"}}")
        connection.sendall(head("GET", guarded.url, "/healthz"))

        assert (b"200 OK" in answer and b"serverInfo" in answer) if token == SECRET else b" 401 " in answer
        assert b"200 OK" in read_until(connection, b"ok\n")


def test_requests_behind_an_offer_are_answered_in_their_order(echo):
    requests = [head("GET", echo.url, "/healthz", **offer) for offer in (*OFFERS.values(), {})] * 3
    with open_socket(echo.url) as connection:
        connection.sendall(b"".join(requests))
        seen = b""
        while seen.count(b"ok\n") < len(requests):
            seen += connection.recv(1 << 16)

    assert seen.count(b"200 OK") == len(requests)


def test_a_websocket_without_its_handshake_says_what_it_is(echo):
    response = echo.get("/ws")

    assert response.status_code == 426
    assert response.headers["upgrade"] == "websocket"


def test_there_is_no_proxy(echo):
    with open_socket(echo.url) as connection:
        connection.sendall(b"CONNECT example.com:443 HTTP/1.1\r\nHost: localhost\r\n\r\n")

        assert b" 405 " in read_until(connection, b"}}")
        read_to_end(connection)


def test_what_comes_behind_a_websockets_handshake_in_one_segment_is_heard(echo):
    frame = json.dumps(initialize()).encode()
    frame = bytes([0x81, 0x80 | 126]) + len(frame).to_bytes(2, "big") + bytes(4) + frame
    shake = head(
        "GET",
        echo.url,
        "/ws",
        upgrade="WebSocket",
        connection="keep-alive, Upgrade",
        sec_websocket_version="13",
        sec_websocket_key="AAAAAAAAAAAAAAAAAAAAAA==",
        sec_websocket_protocol="mcp",
    )
    with open_socket(echo.url) as connection:
        connection.sendall(shake + frame)

        assert b"serverInfo" in read_until(connection, b"serverInfo")


# One reading of each header


@pytest.mark.parametrize("name", ["Host", "Authorization", "Origin", "Mcp-Session-Id", "Content-Type", "X-API-Key"])
@pytest.mark.parametrize("path", ["/mcp", "/messages", "/metrics", "/ws"])
def test_a_header_that_decides_something_is_refused_when_it_is_there_twice(echo, path, name):
    more = {"Host": "localhost", "Origin": "http://localhost", "Content-Type": "application/json"}.get(name, "x")
    lines = f"{name}: {more}\r\n{name.upper()}: {more}\r\n".encode()
    request = post(echo.url, initialize(), path=path)
    if path == "/ws":
        request = head(
            "GET",
            echo.url,
            "/ws",
            upgrade="websocket",
            connection="upgrade",
            sec_websocket_version="13",
            sec_websocket_key="AAAAAAAAAAAAAAAAAAAAAA==",
        )
    with open_socket(echo.url) as connection:
        connection.sendall(request.replace(b"\r\n", b"\r\n" + lines, 1))
        answer = read_until(connection, b"}}")

    assert answer.split()[1] == b"400"
    assert f"header {name.lower()} is there more than once" in answer.decode()


def test_a_list_that_comes_in_two_headers_is_one_list(echo):
    with open_socket(echo.url) as connection:
        connection.sendall(post(echo.url, initialize()).replace(b"accept: ", b"accept: text/html\r\naccept: "))

        assert b"200 OK" in read_until(connection, b"}}}")


@pytest.mark.parametrize("first, trailer, status", [("localhost", "evil.example.com", b"200"), ("evil.example.com", "localhost", b"403")])
def test_a_host_in_a_trailer_is_none(echo, first, trailer, status):
    body = chunked(json.dumps(initialize()).encode())[:-2] + f"Host: {trailer}\r\n\r\n".encode()
    with open_socket(echo.url) as connection:
        connection.sendall(
            head("POST", echo.url, "/mcp", host=first, content_type="application/json", accept="*/*", transfer_encoding="chunked") + body
        )

        assert read_until(connection, b"}}").split()[1] == status


@pytest.mark.parametrize("target, status", [("http://evil.example.com/status.json", b"403"), ("http://localhost/status.json", b"200")])
def test_the_host_of_an_absolute_target_is_the_host(echo, target, status):
    """RFC 9112, 3.2.2: the Host header is then ignored."""
    host = "localhost" if status == b"403" else "evil.example.com"
    with open_socket(echo.url) as connection:
        connection.sendall(head("GET", echo.url, target, host=host))

        assert read_until(connection, b"\r\n").split()[1] == status


# Heads


@pytest.mark.parametrize("size", [1 << 20, 1000], ids=["in large segments", "in small segments"])
@pytest.mark.parametrize("long", [60_000, 70_000])
def test_the_limit_of_a_head_is_for_one_request(echo, long, size):
    """Many requests behind each other may be longer than that together."""
    requests = b"".join(head("GET", echo.url, "/healthz", x_long="y" * 900) for _ in range(200)) + head(
        "GET", echo.url, "/healthz", x_long="y" * long
    )
    with open_socket(echo.url) as connection:
        seen = b""
        with suppress(OSError):
            for begin in range(0, len(requests), size):
                connection.sendall(requests[begin : begin + size])
            while seen.count(b"HTTP/1.1 ") < 201:
                part = connection.recv(1 << 16)
                seen += part
                if not part:
                    break

    assert seen.count(b"200 OK") == 200 + (long < 1 << 16)
    assert seen.count(b" 431 ") == (long > 1 << 16)


@pytest.mark.parametrize("path", ["/mcp", "/healthz"])
@pytest.mark.parametrize(
    "lines, status",
    [
        (["Transfer-Encoding: gzip, chunked"], b"501"),
        (["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"], b"501"),
        (["Transfer-Encoding: x-own, Chunked"], b"501"),
        (["Transfer-Encoding: identity, chunked"], b"501"),
        (["Transfer-Encoding: gzip"], b"501"),
        (["Transfer-Encoding: chunked, chunked"], b"400"),  # which must not come twice
        (["Transfer-Encoding: Chunked"], b"200"),
    ],
)
def test_a_transfer_coding_that_is_not_read_here_is_not_implemented(echo, path, lines, status):
    """RFC 9112, 6.1. gzip was taken for the body itself, which is no JSON, or for a page's request without one."""
    more = "\r\n".join([*lines, "Content-Type: application/json", f"Accept: {ACCEPT}", "", ""])
    with open_socket(echo.url) as connection:
        method = "POST" if path == "/mcp" else "GET"
        connection.sendall(head(method, echo.url, path)[:-2] + more.encode() + chunked(json.dumps(initialize()).encode()))
        answer = read_until(connection, b"\r\n\r\n")
        is_closed = status != b"200" and bool(read_to_end(connection) + 1)

    assert answer.split()[1] == status
    assert is_closed == (status != b"200")


@pytest.mark.parametrize("endless", [b"5;" + b"x" * 1000, b"0\r\nx: " + b"y" * 1000])
def test_a_chunk_extension_or_a_trailer_without_end_is_refused(echo, endless):
    memory = echo.rss()
    with open_socket(echo.url) as connection, suppress(OSError):
        connection.sendall(head("POST", echo.url, "/healthz", transfer_encoding="chunked") + endless)
        for _ in range(20_000):
            connection.sendall(endless[-1:] * 1000)

    assert echo.rss() - memory < 8 << 20


# Deadlines


@pytest.fixture
def hurried(around):
    return around("echo", options=("--body-timeout", "0.4", "--write-timeout", "0.4"))


@pytest.mark.parametrize("parts", [[], [b"{"] * 20])
@pytest.mark.parametrize("framing", [{"content_length": "500"}, {"transfer_encoding": "chunked"}], ids=["length", "chunks"])
@pytest.mark.parametrize("path, status", [("/mcp", 408), ("/nowhere", 404)])
def test_a_body_that_does_not_come_whole_in_time_closes_its_connection(hurried, path, status, framing, parts):
    """A byte now and then buys no more time, nor does an answer that was given before the body's end."""
    with open_socket(hurried.url) as connection:
        begun = time.monotonic()
        connection.sendall(head("POST", hurried.url, path, content_type="application/json", accept="*/*", **framing))
        with suppress(OSError):  # closed meanwhile
            for part in parts:
                connection.sendall(b"1\r\n%b\r\n" % part if "transfer_encoding" in framing else part)
                time.sleep(0.05)
        answer = b""
        with suppress(ConnectionResetError):
            while part := connection.recv(1 << 16):
                answer += part

    assert time.monotonic() - begun < 8
    assert answer.split()[1] == b"%d" % status


def test_a_body_behind_a_request_waits_for_its_answer(hurried, connect):
    client = connect(Http, hurried.url, listen=False)
    last = post(hurried.url, call("echo", message="last"), mcp_session_id=client.session)
    with open_socket(hurried.url) as connection:
        connection.sendall(post(hurried.url, call("slow", seconds=1), mcp_session_id=client.session) + last[:-9])
        read_until(connection, b"slept 1")
        connection.sendall(last[-9:])

        assert b"last" in read_until(connection, b"last")


def test_a_client_that_does_not_read_its_answer_is_cut_off(hurried, connect):
    client = connect(Http, hurried.url, listen=False)
    with open_socket(hurried.url) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.sendall(head("GET", hurried.url, "/healthz"))
        read_until(connection, b"ok")
        files = hurried.files()
        connection.sendall(post(hurried.url, call("echo", message="x" * 8_000_000), mcp_session_id=client.session))
        eventually(lambda: hurried.files() < files)

        assert read_to_end(connection) < 8_000_000


def test_a_client_that_reads_slowly_is_not_cut_off(hurried, connect):
    client = connect(Http, hurried.url, listen=False)
    with open_socket(hurried.url) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.sendall(post(hurried.url, call("echo", message="x" * 8_000_000), mcp_session_id=client.session))
        size = 0
        while size < 8_000_000 and (part := connection.recv(1 << 18)):
            size += len(part)
            time.sleep(0.02)

    assert size > 8_000_000


def test_a_websocket_that_does_not_read_is_cut_off(hurried):
    files = hurried.files()
    connection, _ = open_websocket(hurried.url)
    with connection:
        send_frame(connection, initialize())
        read_until(connection, b"serverInfo")
        with suppress(OSError):
            connection.settimeout(1)
            for id in range(1, 300):
                send_frame(connection, message("x-vendor/echo", {"back": "z" * 60_000}, id))

        eventually(lambda: hurried.files() <= files)
