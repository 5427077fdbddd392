"""Streamable HTTP at /mcp: what a POST may look like, and what its answer does."""

import json
import time
from concurrent.futures import Future

import httpx
import pytest
from support import Http, Refused, Sse, eventually, text
from wire import call, initialize, message, open_socket, post, read_until

UNICODE = "one\ntwo\u2028three\u2029four\u0085five\U0001f600"


def post_to(bridge, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body)
    defaults = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    return httpx.post(f"{bridge.url}/mcp", content=content, headers=defaults | headers, trust_env=False)


@pytest.fixture
def client(echo, connect) -> Http:
    return connect(Http, echo.url, listen=False)


# What is negotiated


@pytest.mark.parametrize("header", ["2024-11-05", "2025-06-18", "2025-06-18, 2025-06-18"])
def test_initialize_is_negotiated_by_its_body_whatever_known_version_the_header_names(echo, header):
    """Edge case 1."""
    response = post_to(echo, initialize("2025-11-25"), **{"mcp-protocol-version": header})

    assert response.status_code == 200
    assert response.json()["result"]["protocolVersion"] == "2025-11-25"
    assert response.headers["mcp-session-id"]


@pytest.mark.parametrize("wanted", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_a_client_gets_the_revision_that_it_asks_for(echo, connect, transport, wanted):
    client = connect(transport, echo.url, version=wanted)

    assert client.version == wanted
    assert text(client.call("echo", message="hi")) == "hi"


@pytest.mark.parametrize("wanted", ["1999-01-01", "2099-01-01", "x" * 1000])
def test_a_client_that_asks_for_an_unknown_revision_gets_the_childs(echo, connect, transport, wanted):
    assert connect(transport, echo.url, version=wanted).version == "2025-11-25"


def test_a_child_of_an_old_revision_is_not_made_newer(around, connect, transport):
    assert connect(transport, around("echo", "--version", "2024-11-05").url).version == "2024-11-05"


@pytest.mark.parametrize("version", ["1999-01-01", "garbage", "", "2025-06-18, 2025-11-25", "\xff"])
def test_an_unknown_version_header_is_refused(client, version):
    """Streamable HTTP, 2025-06-18: "MUST respond with 400 Bad Request"."""
    response = client.post(call("echo", message="hi"), {"mcp-protocol-version": version.encode("latin-1")})

    assert response.status_code == 400
    assert "2025-11-25" in response.json()["error"]["message"]


def test_no_version_header_is_fine(client):
    assert client.post(call("echo", message="hi"), {"mcp-protocol-version": None}).status_code == 200


# Ways in that lead nowhere


def test_get_without_a_session_is_refused_at_once(echo):
    """Edge case 12."""
    assert echo.get("/mcp", accept="text/event-stream").status_code == 400


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "HEAD"])
def test_other_methods_get_405_and_the_allowed_ones(echo, method):
    """Edge case 12."""
    response = httpx.request(method, f"{echo.url}/mcp", trust_env=False)

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST, DELETE"


def test_a_request_without_a_session_is_refused(echo):
    response = post_to(echo, call("echo", id="mine", message="hi"))

    assert response.status_code == 400
    assert response.json()["id"] == "mine"
    assert "initialize" in response.json()["error"]["message"]


def test_an_unknown_session_is_404_for_each_method(echo):
    """Edge case 13."""
    headers = {"mcp-session-id": "unknown"}

    assert post_to(echo, call("echo", message="hi"), **headers).status_code == 404
    assert echo.get("/mcp", accept="text/event-stream", **headers).status_code == 404
    assert httpx.delete(f"{echo.url}/mcp", headers=headers, trust_env=False).status_code == 404


@pytest.mark.parametrize("id", [b"\xff\xfe", b"x" * 5000, b"a.b", b".", b"=.=", b"eyJ9.AAAA", "é".encode()])
def test_a_session_id_that_is_garbage_is_unknown(echo, id):
    assert post_to(echo, call("echo", message="hi"), **{"mcp-session-id": id}).status_code == 404


def test_a_session_is_gone_after_delete(echo):
    """Edge case 13."""
    client = Http(echo.url, listen=False)
    client.open()

    assert client.delete().status_code == 200
    assert client.post(call("echo", message="hi")).status_code == 404
    assert client.delete().status_code == 404
    client.close(delete=False)


# Accept and Content-Type


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "application/*, text/*",
        "text/event-stream, application/json",
        "APPLICATION/JSON",
        "application/json;q=0.5",
        "text/html, */*;q=0.1",
        None,
    ],
)
def test_a_client_that_takes_json_gets_json(client, accept):
    """Edge case 63."""
    response = client.post(call("echo", message="hi"), {"accept": accept})

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"


def test_a_client_that_takes_only_events_gets_its_answer_as_one(client):
    """Edge case 63."""
    with client.post_stream(call("echo", message="hi"), {"accept": "text/event-stream"}) as stream:
        assert stream.is_sse
        assert text(stream.next_message()) == "hi"
        assert stream.next() is None


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0, text/event-stream;q=0", "image/*"])
def test_a_client_that_takes_neither_is_refused(client, accept):
    assert client.post(call("echo", message="hi"), {"accept": accept}).status_code == 406


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/json;x=y"])
def test_json_with_parameters_is_json(client, kind):
    """Edge case 63."""
    assert client.post(call("echo", message="hi"), {"content-type": kind}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None, "json"])
def test_another_content_type_is_refused(client, kind):
    """Edge case 63. A web page can send these three without being asked for permission (CORS)."""
    assert client.post(call("echo", message="hi"), {"content-type": kind}).status_code == 415


# The body


def lines_at_child(client) -> list[str]:
    return json.loads(text(client.call("received")))


def test_a_pretty_printed_body_reaches_the_child_as_one_line(client, transport, connect, echo):
    """Edge case 31."""
    other = connect(transport, echo.url)
    body = json.dumps(call("echo", id=77, message=UNICODE), indent=2, ensure_ascii=False).replace("\n", "\r\n")
    future = other.waiting["77"] = Future()
    if isinstance(other, Http):
        future.set_result(other.post(body.encode()).json())
    else:
        (other.post if isinstance(other, Sse) else other.send)(body)

    assert text(future.result(20)) == UNICODE
    assert [line for line in lines_at_child(client) if "two" in line and "\n" not in line]


@pytest.mark.parametrize(
    "body, code",
    [
        (b"", -32700),
        (b"  \n", -32700),
        (b"{", -32700),
        (b"nonsense", -32700),
        (b"\xff\xfe{}", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"} x', -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"a\x01b"}', -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\xc3"}}', -32700),
        (b"null", -32600),
        (b"5", -32600),
        (b'"text"', -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
        (b'{"id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[1]}', -32602),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', -32600),
        (b"[" * 100_000, -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b'{"a":' * 5000 + b"1" + b"}" * 5001, -32600),
    ],
)
def test_a_body_that_is_no_message_is_refused(client, body, code):
    response = client.post(body)

    assert response.status_code == 400
    assert response.json()["error"]["code"] in (code, -32600)
    assert text(client.call("echo", message="still there")) == "still there"


def test_a_byte_order_mark_is_taken_off(client):
    assert text(client.post(b"\xef\xbb\xbf" + json.dumps(call("echo", message="hi")).encode()).json()) == "hi"


@pytest.mark.parametrize("id", ["null", "1.5", "true", "1e3", "{}", "[1]", "-0.0"])
def test_an_id_that_is_no_string_or_integer_never_reaches_the_child(client, id):
    """Edge case 18."""
    body = f'{{"jsonrpc":"2.0","id":{id},"method":"x-vendor/echo","params":{{"never":"{id[:2]} sent"}}}}'
    response = client.post(body)

    assert response.status_code == 400
    assert response.json()["error"]["code"] == -32600
    assert not [line for line in lines_at_child(client) if f"{id[:2]} sent" in line and '"x-vendor/echo"' in line]


@pytest.mark.parametrize("id", [2**53 + 1, 2**70, -1, 0, "x" * 300, "", 'ünï \u2028 "quoted" \\ \n'])
def test_any_valid_id_is_echoed_exactly(echo, connect, transport, id):
    """Edge case 19."""
    client = connect(transport, echo.url)

    assert client.request("x-vendor/echo", {"a": 1}, id=id) == {"jsonrpc": "2.0", "id": id, "result": {"a": 1}}


def test_the_ids_1_and_text_1_are_two_requests(echo, connect, transport):
    """Edge case 15."""
    client = connect(transport, echo.url)
    number = client.begin("tools/call", {"name": "slow", "arguments": {"seconds": 0.2}}, id=1)
    string = client.begin("tools/call", {"name": "slow", "arguments": {"seconds": 0.1}}, id="1")

    assert text(number.result(20)) == "slept 0.2"
    assert text(string.result(20)) == "slept 0.1"


def test_an_id_that_is_in_use_is_refused_and_the_first_request_goes_on(around, connect, transport, under_way):
    bridge = around("late")
    client = connect(transport, bridge.url)
    first = client.begin("tools/call", {"name": "slow", "arguments": {"seconds": 0.3}}, id=5)
    under_way(bridge, 1)
    del client.waiting["5"]
    second = client.begin("tools/call", {"name": "slow", "arguments": {"seconds": 0.0}}, id=5)
    if transport is Http:
        with pytest.raises(Refused) as refused:
            second.result(20)
        assert refused.value.status == 400
        assert refused.value.message["error"]["code"] == -32600
    else:
        assert second.result(20)["error"]["code"] == -32600
        client.waiting["5"] = first
    if transport is not Http:
        assert text(first.result(20)) == "slept 0.3"


# What passes through


def test_what_the_bridge_does_not_know_passes_unchanged(around, connect, transport):
    """Edge case 32. The child dies of an unknown member of the envelope, so that one is dropped."""
    client = connect(transport, around("strict_go").url)
    params = {"unknown": [1, {"x": None}], "_meta": {"x-vendor/key": "kept"}}
    echoed = client.request("x-vendor/echo", params)
    client.deliver(message("notifications/x-vendor", {"kept": True}) | {"x-top": 1})
    content = {"content": [{"type": "hologram", "x": 1}], "x-more": {"y": [2]}}

    assert echoed["result"] == params
    assert client.call("raw", result=json.dumps(content))["result"] == content
    assert '{"jsonrpc":"2.0","method":"notifications/x-vendor","params":{"kept": true}}' in lines_at_child(client)


NUMBERS = '{"content": [],  "z":1e400,"a":1e2, "big":123456789012345678901234567890, "e":"\\u00e9\\/", "f":1.0}'


def test_numbers_escapes_and_key_order_are_the_childs(client):
    """Edge case 33."""
    answer = client.post(call("raw", id=1, result=NUMBERS)).content

    assert answer == b'{"jsonrpc":"2.0","id":1,"result":' + NUMBERS.encode() + b"}"


def test_numbers_escapes_and_key_order_are_the_clients(client):
    """Edge case 33."""
    client.post(f'{{"method":"notifications/x-numbers","params":{NUMBERS},"jsonrpc":"2.0"}}')

    assert f'{{"jsonrpc":"2.0","method":"notifications/x-numbers","params":{NUMBERS}}}' in lines_at_child(client)


def test_a_lone_surrogate_in_a_result_does_not_hang_the_call(around, connect, transport):
    """Edge case 34."""
    answer = connect(transport, around("bad_results").url).call("bad", kind="surrogate")

    assert text(answer).startswith("lone ")


def test_a_large_result_is_a_json_body(client):
    """Edge case 27: clients of SDK 2.x refuse a single event above 1 MiB."""
    response = client.post(call("huge", bytes=3_000_000))

    assert response.headers["content-type"] == "application/json"
    assert len(text(response.json())) == 3_000_000


@pytest.mark.parametrize("size", [200_000, 5_000_000])
def test_a_long_line_of_the_child_arrives_whole(echo, connect, transport, size):
    """Edge case 28."""
    assert len(text(connect(transport, echo.url).call("huge", bytes=size))) == size


def test_any_character_survives_both_ways(echo, connect, transport):
    every = "".join(map(chr, [*range(1, 0xD800, 37), 0x2028, 0x2029, 0x85, 0xFEFF, 0x10FFFF, *range(32), 34, 92]))

    assert text(connect(transport, echo.url).call("echo", message=every)) == every


# Notifications and responses


@pytest.mark.parametrize("method", ["notifications/x-unknown", "notifications/cancelled", "notifications/initialized", "x"])
def test_a_notification_is_accepted_without_a_body(client, method):
    """Edge case 37."""
    response = client.post(message(method, {"n": 1}))

    assert response.status_code == 202
    assert response.content == b""
    assert response.headers["content-length"] == "0"


def test_an_unknown_notification_reaches_the_child(echo, connect, transport):
    """Edge case 37."""
    client = connect(transport, echo.url)
    name = f"notifications/x-{transport.__name__}"
    client.notify(name, {"n": 1})

    eventually(lambda: [line for line in lines_at_child(client) if name in line])


@pytest.mark.parametrize("id", [0, 1, 7, "x", 2**60])
def test_an_answer_that_nobody_asked_for_goes_nowhere(client, id):
    """Edge case 38."""
    response = client.post({"jsonrpc": "2.0", "id": id, "result": {"stray": f"{id} went"}})

    assert response.status_code == 202
    assert not [line for line in lines_at_child(client) if f'"stray": "{id} went"' in line]


def test_a_call_before_initialized_is_served(around, connect, transport):
    """Edge case 39: to the child, the bridge has long said `initialized`; it would exit otherwise."""
    bridge = around("needs_initialized")
    if transport is Http:
        session = post_to(bridge, initialize()).headers["mcp-session-id"]
        answer = post_to(bridge, call("echo", message="early"), **{"mcp-session-id": session}).json()
    else:
        client = transport(bridge.url)
        client.connect()
        client.request("initialize", initialize()["params"])
        answer = client.call("echo", message="early")
        client.close()

    assert text(answer) == "early"


def test_a_ping_is_answered_though_the_child_is_busy(around, connect, transport):
    client = connect(transport, around("serial").url)
    slow = client.begin_call("slow", seconds=0.5)

    assert client.request("ping", timeout=0.4)["result"] == {}
    assert text(slow.result(20)) == "slept 0.5"


# Connections


def test_pipelined_requests_are_answered_in_their_order(client, echo):
    with open_socket(echo.url) as connection:
        slow, fast = call("slow", id="slow", seconds=0.2), call("echo", id="fast", message="x")
        sent = b"".join(post(echo.url, body, mcp_session_id=client.session) for body in (slow, fast, message("notifications/x")))
        connection.sendall(sent)
        seen = read_until(connection, b"202 Accepted")

    assert seen.index(b'"slow"') < seen.index(b'"fast"') < seen.index(b"202 Accepted")


def test_a_request_may_come_byte_by_byte(client, echo):
    with open_socket(echo.url) as connection:
        for byte in post(echo.url, call("echo", message="slowly"), mcp_session_id=client.session):
            connection.sendall(bytes([byte]))
        assert b"slowly" in read_until(connection, b"}}")


def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing(client, echo):
    whole = post(echo.url, call("echo", message="x" * 1000), mcp_session_id=client.session)
    for end in (10, 100, len(whole) - 10):
        with open_socket(echo.url) as connection:
            connection.sendall(whole[:end])

    assert text(client.call("echo", message="next")) == "next"
    eventually(lambda: echo.metrics().value("mcp_bridge_requests_in_flight") == 0)
    assert not echo.logged("bug")


def test_a_client_that_leaves_before_its_answer_costs_nothing_after_it(client, echo):
    for _ in range(10):
        with open_socket(echo.url) as connection:
            connection.sendall(post(echo.url, call("slow", seconds=0.2), mcp_session_id=client.session))
            time.sleep(0.01)  # so that it is under way; else there would be nothing to leave
        client.post(message("notifications/cancelled", {"requestId": 1}))

    eventually(lambda: echo.metrics().value("mcp_bridge_requests_in_flight") == 0)
    assert not echo.logged("bug")


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01 not HTTP\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_closed(echo, raw):
    with open_socket(echo.url) as connection:
        connection.sendall(raw)
        assert read_until(connection, b"\r\n").split()[1] in (b"400", b"403", b"505")


def test_a_client_that_expects_100_continue_is_told_to(client, echo):
    with open_socket(echo.url) as connection:
        whole = post(echo.url, call("echo", message="patient"), mcp_session_id=client.session, expect="100-continue")
        head, body = whole.split(b"\r\n\r\n", 1)
        connection.sendall(head + b"\r\n\r\n")
        assert b"100 Continue" in read_until(connection, b"\r\n\r\n")
        connection.sendall(body)
        assert b"patient" in read_until(connection, b"}}")
