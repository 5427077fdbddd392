"""Limits with clear refusals, and readers too slow for what they asked for."""

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import product
from types import SimpleNamespace

import pytest
import uvicorn
from slow_readers import slow_get, slow_post, slow_sse, slow_ws
from support import Http, Refused, Sse, Ws, eventually, text
from wire import call, head, message, open_socket, post, read_to_end, read_until

from bridge.http.fast import FastProtocol
from bridge.http.gate import Admitted

# Bodies


def long_call(size: int, id=1) -> bytes:
    return json.dumps(call("echo", id=id, message="x" * size)).encode()


@pytest.fixture
def small(around):
    return around("echo", options=("--max-body", "10k"))


@pytest.mark.parametrize("transport", [Http, Sse])
def test_a_long_body_is_413_and_a_body_at_the_limit_is_not(small, connect, transport):
    """Edge case 64."""
    client = connect(transport, small.url)
    fitting = long_call(10_240 - len(long_call(0, 900)), 900)

    assert client.post(long_call(10_240)).status_code == 413
    assert "--max-body" in client.post(long_call(10_240)).json()["error"]["message"]
    assert len(fitting) == 10_240
    assert client.post(fitting).status_code == (202 if transport is Sse else 200)
    assert text(client.call("echo", message="on")) == "on"


@pytest.mark.parametrize("path", ["/mcp", "/messages?session_id={}"])
def test_a_long_body_without_a_length_is_413_before_it_ends(small, connect, path):
    """Edge case 64: what never ends is cut off, too."""
    client = connect(Sse, small.url)
    path = path.format(client.endpoint.rpartition("=")[2])
    with open_socket(small.url) as connection:
        connection.sendall(head("POST", small.url, path, content_type="application/json", accept="*/*", transfer_encoding="chunked"))
        chunk = b"400\r\n" + b"x" * 0x400 + b"\r\n"
        for _ in range(12):
            connection.sendall(chunk)

        assert b" 413 " in read_until(connection, b"--max-body")


def test_a_long_body_is_refused_by_what_its_head_says_of_it(small):
    """Edge case 64: before it is read."""
    with open_socket(small.url) as connection:
        connection.sendall(head("POST", small.url, "/mcp", content_type="application/json", accept="*/*", content_length="5000000") + b"{")

        assert b" 413 " in read_until(connection, b"--max-body")


def test_refused_bodies_are_counted_and_take_no_memory(small):
    def count():
        return small.metrics().value("mcp_bridge_request_refusals_total", status="413")

    before, memory = count(), small.rss()
    for _ in range(5):
        with open_socket(small.url) as connection:
            connection.sendall(head("POST", small.url, "/mcp", content_type="application/json", accept="*/*", content_length="8000000"))
            try:
                connection.sendall(b"x" * 8_000_000)
            except OSError:
                pass  # it may close early

    eventually(lambda: count() == before + 5)
    assert small.rss() - memory < 8 << 20


def test_the_default_limit_takes_almost_8_mib(around, connect):
    client = connect(Http, around("late").url, listen=False)

    assert len(text(client.post(long_call(8_000_000)).json())) == 8_000_000
    assert client.post(long_call(8 << 20)).status_code == 413


# Requests in flight and their time


def test_too_many_requests_are_refused_and_the_others_go_on(around, connect, transport):
    client = connect(transport, around("echo", options=("--max-requests", "2")).url)
    busy = [client.begin_call("slow", seconds=0.3) for _ in range(2)]
    if transport is Http:
        with pytest.raises(Refused) as refused:
            client.call("echo", message="x")
        assert refused.value.status == 503
        why = refused.value.message["error"]
    else:
        why = client.call("echo", message="x")["error"]

    assert "--max-requests" in why["message"]
    assert [text(future.result(20)) for future in busy] == ["slept 0.3"] * 2
    assert text(client.call("echo", message="room")) == "room"


@pytest.fixture
def impatient(around):
    return around("echo", options=("--request-timeout", "0.4", "--request-timeout-max", "1"))


def test_a_request_without_an_answer_ends_with_an_error_and_the_child_is_told(impatient, connect, transport):
    client = connect(transport, impatient.url)
    begun = time.monotonic()
    error = client.call("slow", seconds=30)["error"]

    assert "--request-timeout" in error["message"]
    assert 0.3 < time.monotonic() - begun < 10
    assert "notifications/cancelled" in text(client.call("received"))


def test_progress_gives_a_request_more_time(impatient, connect, transport):
    client = connect(transport, impatient.url)
    arguments = {"steps": 3, "pause": 0.25}
    answer = client.request("tools/call", {"name": "progress", "arguments": arguments, "_meta": {"progressToken": 1}})

    assert text(answer) == "3 steps"


def test_no_progress_gives_more_than_the_hard_maximum(impatient, connect):
    client = connect(Http, impatient.url)
    begun = time.monotonic()
    arguments = {"steps": 100, "pause": 0.1}
    answer = client.request("tools/call", {"name": "progress", "arguments": arguments, "_meta": {"progressToken": 1}})

    assert answer["error"]
    assert 0.9 < time.monotonic() - begun < 8


def test_a_child_that_does_not_read_is_not_waited_for_without_end(start, connect):
    """Its stdin is full; what comes then waits no longer than any request."""
    bridge = start("echo", options=["--request-timeout", "0.5"])
    clients = [connect(transport, bridge.url) for transport in (Http, Sse, Ws)]
    (child,) = bridge.children()
    os.kill(child, signal.SIGSTOP)
    try:
        for _ in range(2):
            clients[0].begin_call("echo", message="x" * 4_000_000)
        eventually(lambda: bridge.metrics().value("mcp_bridge_child_stdin_bytes_total") > 4_000_000)
        begun = time.monotonic()
        answers = [client.begin_call("echo", message="y") for client in clients]
        with pytest.raises(Refused) as refused:
            answers[0].result(20)
        errors = [refused.value.message["error"], *(future.result(20)["error"] for future in answers[1:])]

        assert time.monotonic() - begun < 10
        assert all("--request-timeout" in error["message"] for error in errors)
        assert bridge.get("/healthz").status_code == 200
    finally:
        os.kill(child, signal.SIGCONT)
    assert text(clients[0].call("echo", message="awake")) == "awake"


# Slow readers


@pytest.fixture
def flooded(start):
    """A bridge of its own: somebody else's call under way would make the flood nobody's."""
    return start("flood", options=["--stream-buffer", "1500k"])


@pytest.mark.parametrize("begin", [slow_post, slow_get, slow_sse, slow_ws])
def test_the_stream_of_a_slow_reader_is_closed_and_counted_and_nobody_waits_for_it(flooded, connect, begin):
    """Edge case 65."""
    own, other = connect(Http, flooded.url, listen=False), connect(Http, flooded.url, listen=False)
    before = flooded.metrics()
    connection = begin(flooded, own)
    eventually(lambda: flooded.metrics().value("mcp_bridge_drops_total", reason="slow_reader") == 1)
    begun = time.monotonic()
    other.call("echo", message="quick")
    quick = time.monotonic() - begun

    eventually(lambda: flooded.metrics().value("mcp_bridge_streams") == before.value("mcp_bridge_streams"))
    eventually(lambda: flooded.metrics().value("mcp_bridge_sessions") == before.value("mcp_bridge_sessions"))
    assert quick < 5
    with connection:
        if begin is slow_ws:
            read_until(connection, b"reader too slow")
        else:
            assert read_to_end(connection) < 15_000_000
    assert flooded.logged("too slow")
    assert not flooded.logged("bug")
    assert not flooded.logged("Traceback")


@pytest.mark.parametrize("begin", [slow_get, slow_sse])
def test_a_reader_that_catches_up_gets_everything_in_its_order(start, connect, begin):
    """Some of it is written at once, and some of it has to wait."""
    bridge = start("flood", options=["--stream-buffer", "100m"])
    with begin(bridge, connect(Http, bridge.url, listen=False)) as connection:
        time.sleep(1)
        seen = bytearray()
        while b'"9999 ' not in seen[-5000:]:
            seen += connection.recv(1 << 20)

    assert [int(number) for number in re.findall(rb'"data":"(\d+) x', seen)] == list(range(10_000))


def test_a_reader_that_takes_nothing_is_given_up_with_the_signs_of_life(start):
    """Less than the buffer waits, but nothing of it leaves."""
    bridge = start("flood", options=["--stream-buffer", "100m", "--keepalive", "0.5"])
    with slow_sse(bridge, None) as connection:
        eventually(lambda: bridge.metrics().value("mcp_bridge_drops_total", reason="slow_reader") == 1)
        eventually(lambda: bridge.metrics().value("mcp_bridge_sessions") == 0)
        read_to_end(connection)

    assert not bridge.logged("bug")


def test_what_waits_for_a_session_that_never_listens_is_bounded(around, connect):
    client = connect(Http, around("flood", options=("--isolation", "session")).url, listen=False)
    assert text(client.call("flood_later", count=2000)) == "will do"
    eventually(
        lambda: around("flood", options=("--isolation", "session")).metrics().value("mcp_bridge_child_stdout_bytes_total") > 2000 * 150
    )
    with client.get_stream() as stream:
        waited = [stream.next_message() for _ in range(256)]
        with pytest.raises(TimeoutError):
            stream.next(0.1)

    assert waited[-1]["params"]["data"].startswith("1999 ")


# Long lines


@pytest.mark.parametrize("arguments", [(), ("--id-last",)])
def test_a_line_over_the_limit_fails_its_call_alone(around, connect, transport, arguments):
    bridge = around("long_line", *arguments, options=("--max-line", "1m"))
    client = connect(transport, bridge.url)
    fitting, long = client.begin_call("long", bytes=1 << 20), client.begin_call("long", bytes=(1 << 20) + 2)

    assert "--max-line" in long.result(20)["error"]["message"]
    assert len(text(fitting.result(20))) > 1_000_000
    assert text(client.call("echo", message="on")) == "on"


def test_long_lines_of_nobodys_are_dropped_and_counted(around, connect):
    bridge = around("long_line", options=("--max-line", "1m"))
    client = connect(Http, bridge.url)

    def count():
        return bridge.metrics().value("mcp_bridge_child_noise_lines_total", kind="too_long")

    before = count()
    client.call("long_notice", bytes=3 << 20)
    client.call("long_junk", bytes=3 << 20)

    assert count() == before + 2


def test_a_line_without_an_end_takes_no_memory(start, connect):
    bridge = start("long_line", options=["--max-line", "1m", "--request-timeout", "1"])
    client = connect(Http, bridge.url, listen=False)
    memory = bridge.rss()
    future = client.begin_call("endless", bytes=100 << 20)
    future.exception(6)

    assert bridge.rss() - memory < 16 << 20


# Connections that say nothing


def test_a_hundred_silent_connections_hinder_nobody(echo, connect):
    silent = [open_socket(echo.url) for _ in range(100)]
    for connection in silent[::2]:
        connection.sendall(b"POST /mcp HTTP/1.1\r\nHost: loc")

    assert text(connect(Http, echo.url).call("echo", message="hi")) == "hi"
    for connection in silent:
        connection.close()


def test_a_head_without_an_end_is_refused(echo):
    """Nothing else bounds what uvicorn keeps of it."""
    memory = echo.rss()
    with open_socket(echo.url) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        try:
            for number in range(20_000):
                connection.sendall(b"x-%d: %b\r\n" % (number, b"y" * 1000))
            answer = read_until(connection, b"\r\n")
        except OSError:
            answer = b"closed"

    assert answer == b"closed" or answer.split()[1] in (b"400", b"431")
    assert echo.rss() - memory < 8 << 20


HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def hurried(around):
    return around("echo", options=("--head-timeout", "0.4"))


@pytest.mark.parametrize(
    "parts", [[], [HEAD], [b"\r\n"], [HEAD, *[b"x"] * 20], [b"\r\n"] * 20, [HEAD + b"\r\n", b"G"], [HEAD + b"\r\n" + HEAD]]
)
def test_a_head_that_does_not_come_whole_in_time_closes_its_connection(hurried, parts):
    """A byte now and then buys no more time; a request before it neither."""
    with open_socket(hurried.url) as connection:
        begun = time.monotonic()
        with suppress(OSError):  # closed meanwhile
            for part in parts:
                connection.sendall(part)
                time.sleep(0.05)
        read_to_end(connection)
        seconds = time.monotonic() - begun

    assert 0.3 < seconds < 8


def test_between_two_requests_a_connection_may_idle(hurried):
    """It has another limit, longer than the one that clients have."""
    with open_socket(hurried.url) as connection:
        for _ in range(2):
            connection.sendall(HEAD + b"\r\n")
            assert b"200 OK" in read_until(connection, b"ok\n")
            time.sleep(0.6)
        connection.sendall(HEAD + b"\r\n")

        assert b"200 OK" in read_until(connection, b"ok\n")


async def answer(scope, receive, send) -> None:
    """An application that looks at nothing, and takes its time on /slow."""
    await asyncio.sleep(2 if scope["path"] == "/slow" else 0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def idling(head_timeout: float = 100) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server that lets one idle for 1 s, where the bridge does for 75. /now goes the fast path."""
    now = SimpleNamespace(
        fast=(b"GET",),
        most=1,
        service=SimpleNamespace(is_hidden_from=lambda principal: False, access=None),
        answer=lambda request, response: response.accepted(),
    )
    bridge = SimpleNamespace(
        head_timeout=head_timeout,
        body_timeout=100,
        write_timeout=0,
        sockets={},
        fast={b"/now": now},
        has_cors=False,
        proxies=None,
        gate=SimpleNamespace(admit=lambda path, headers, server: Admitted(""), tokens=None, oauth=None),
    )
    server = uvicorn.Server(
        uvicorn.Config(answer, port=0, http=partial(FastProtocol, bridge=bridge), timeout_keep_alive=1, log_config=None)
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
    yield reader, writer
    writer.close()
    server.should_exit = True
    await serving


def get(path: str) -> bytes:
    return HEAD.replace(b"/healthz", path.encode()) + b"\r\n"


def test_a_connection_that_idles_too_long_is_closed_however_often_it_was_used():
    half_a_body = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nof 9"  # of what is answered
    cases = list(product([0, 0.2, 100], [b"", b"\r\n", half_a_body]))

    async def visit(head_timeout: float, after: bytes) -> bytes:
        async with idling(head_timeout) as (reader, writer):
            for _ in range(3):
                writer.write(get("/"))
                assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(0.6)
            writer.write(after)
            await asyncio.sleep(0.2)
            if after.endswith(b"of 9"):
                writer.write(b"bytes")
            return await asyncio.wait_for(reader.read(), 8)

    async def all_at_once() -> list[bytes]:
        return await asyncio.gather(*(visit(*case) for case in cases))

    answers = dict(zip(cases, asyncio.run(all_at_once()), strict=True))

    assert {case: answer.count(b"200 OK") for case, answer in answers.items()} == {case: case[1].count(b"POST") for case in cases}


def test_a_connection_does_not_idle_while_the_second_of_two_requests_is_answered():
    """The first one is answered at once, before the second is looked at."""

    async def visit() -> tuple[bytes, bytes]:
        async with idling() as (reader, writer):
            writer.write(get("/now") + get("/slow"))
            return await reader.readuntil(b"\r\n\r\n"), await reader.read()

    assert [b" 202 " in part or b" 200 " in part for part in asyncio.run(visit())] == [True, True]


def test_a_slow_answer_and_a_stream_are_not_slow_heads(hurried, connect, transport):
    client = connect(transport, hurried.url)

    assert text(client.call("slow", seconds=0.8)) == "slept 0.8"
    client.call("log", message="still here")
    assert client.wait_for("notifications/message")["params"]["data"] == "still here"


def test_half_a_head_behind_a_request_waits_for_its_answer(hurried, connect):
    client = connect(Http, hurried.url, listen=False)
    with open_socket(hurried.url) as connection:
        connection.sendall(post(hurried.url, call("slow", seconds=0.8), mcp_session_id=client.session) + HEAD)

        assert b"slept 0.8" in read_until(connection, b"slept 0.8")
        read_to_end(connection)  # and then it is closed


def test_requests_of_a_client_that_never_reads_do_not_pile_up(around, connect):
    """Pipelined: the answers wait for their reader, and so do the next requests."""
    echo = around("late")
    client = connect(Http, echo.url, listen=False)
    memory = echo.rss()
    with open_socket(echo.url) as connection:
        connection.settimeout(0.3)
        ping = post(echo.url, message("x-vendor/echo", {"back": "z" * 20_000}, 1), mcp_session_id=client.session)
        try:
            for _ in range(3000):
                connection.sendall(ping)
        except TimeoutError:
            pass

        assert echo.rss() - memory < 24 << 20
        assert text(client.call("echo", message="on")) == "on"


def test_a_delete_with_a_body_without_an_end_takes_no_memory(small, connect):
    """A chunked DELETE has no length that could be held against --max-body."""
    client = connect(Http, small.url, listen=False)
    memory = small.rss()
    with open_socket(small.url) as connection:
        connection.settimeout(1)
        connection.sendall(head("DELETE", small.url, "/mcp", mcp_session_id=client.session, transfer_encoding="chunked"))
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        with suppress(OSError):  # it answers, and reads no more
            for _ in range(500):
                connection.sendall(chunk)

    assert small.rss() - memory < 4 << 20
