"""A request with the same head as the one before it is not parsed: it means the same all the same."""

import json

import pytest
from wire import call, initialize, open_socket, post, read_until

from bridge.http.repeated_head import repeated_head

HEAD = b"POST /mcp HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\nAccept: */*\r\n\r\n"


def request(body: bytes) -> bytes:
    return HEAD % len(body) + body


@pytest.mark.parametrize("body", [b"{}", b'{"id":1}', b"x" * 12_345, b"\r\nContent-Length: 7\r\n\r\n"])
def test_the_next_body_is_found_behind_the_same_head(body):
    assert repeated_head(request(b"first"), b"first").body(request(body)) == body


@pytest.mark.parametrize(
    "data",
    [
        HEAD % 3 + b"{}",
        HEAD % 1 + b"{}",
        request(b"{}") * 2,
        request(b"{}")[:-1],
        request(b"{}")[:40],
        b"\r\n" + request(b"{}"),
        b"{}",
        b"",
        HEAD % 0,
        request(b"{}").replace(b": 2", b": 2 "),
        request(b"{}").replace(b": 2", b":  2"),
        request(b"{}").replace(b": 2", b": "),
        request(b"{}").replace(b": 2", b": +2"),
        request(b"{}").replace(b"here", b"Here"),
        request(b"{}").replace(b"*/*", b"*/*\r\nContent-Length: 2"),
        request(b"{}").replace(b": 2", b": 2\r\nTransfer-Encoding: chunked"),
    ],
)
def test_what_is_not_just_one_such_request_goes_to_the_parser(data):
    assert not repeated_head(request(b"{}"), b"{}").body(data)


@pytest.mark.parametrize(
    "data",
    [
        request(b"{}") * 2,
        request(b"{}").replace(b": 2", b":  2"),
        request(b"{}").replace(b": 2", b": 02"),
        b"{}",
        b"POST /mcp HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        request(b"{}").replace(b"here", b"h" * 5000),
    ],
)
def test_an_odd_head_is_not_remembered(data):
    assert repeated_head(data, b"{}") is None


def test_of_two_requests_with_one_head_each_is_asked_anew_whether_it_may_come_in(echo):
    """Its session was ended between them."""
    with open_socket(echo.url) as connection:
        connection.sendall(post(echo.url, initialize()))
        id = read_until(connection, b"}}}").partition(b"mcp-session-id: ")[2].split()[0].decode()
        statuses = []
        for text in ("a", "bb"):
            connection.sendall(post(echo.url, call("echo", message=text), mcp_session_id=id))
            statuses.append(read_until(connection, b"}").split()[1])
            echo.http.delete("/mcp", headers={"mcp-session-id": id})

    assert statuses == [b"200", b"404"]


@pytest.mark.parametrize("cut", [1, 20, -20, -1, None], ids=["line", "head", "body", "last-byte", "whole"])
def test_the_same_head_in_pieces_or_with_another_request_behind_it(echo, cut):
    with open_socket(echo.url) as connection:
        connection.sendall(post(echo.url, initialize()))
        id = read_until(connection, b"}}}").partition(b"mcp-session-id: ")[2].split()[0].decode()
        answers = []
        for number in range(3):
            connection.sendall(post(echo.url, call("echo", message="first" * number, id=number), mcp_session_id=id))
            answers.append(read_until(connection, b"}}"))
        data = post(echo.url, call("echo", message="second", id=3), mcp_session_id=id)
        behind = post(echo.url, call("echo", message="third", id=4), mcp_session_id=id)
        connection.sendall(data[:cut] if cut else data + behind)
        if cut:
            connection.sendall(data[cut:])
            answers.append(read_until(connection, b"}}"))
            connection.sendall(behind)
        last = read_until(connection, b"third")

    assert [json.loads(answer.partition(b"\r\n\r\n")[2])["id"] for answer in answers] == list(range(4 if cut else 3))
    assert b"second" in answers[-1] + last
