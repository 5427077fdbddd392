"""HTTP+SSE of 2024-11-05: the stream is the session."""

import httpx
import pytest
from support import Refused, Sse, eventually, text
from wire import call, head, initialize, message, open_socket, read_until


def test_the_first_event_is_a_relative_uri_to_post_to(echo, connect):
    client = connect(Sse, echo.url)

    assert client.endpoint_data.startswith("/messages?session_id=")
    assert client.stream.headers["content-type"].startswith("text/event-stream")
    assert client.stream.headers["cache-control"] == "no-cache, no-store, no-transform"


def test_an_answer_comes_on_the_stream_and_only_there(echo, connect):
    """Edge case 69."""
    client = connect(Sse, echo.url)
    answers = []
    client.receive = answers.append
    response = client.post(call("echo", id="only", message="there"))

    assert response.status_code == 202
    assert "there" not in response.text
    assert text(eventually(lambda: answers)[0]) == "there"
    assert len(answers) == 1


def test_a_post_after_the_stream_is_closed_is_404(echo, connect):
    """Edge case 69."""
    client = connect(Sse, echo.url)
    client.stream.close()

    eventually(lambda: client.post(message("ping", id=1)).status_code == 404)


@pytest.mark.parametrize(
    "query, status",
    [
        ("", 400),
        ("?session_id=", 400),
        ("?other=1", 400),
        ("?session_id=unknown", 404),
        ("?session_id=" + "x" * 5000, 404),
        ("?session_id=%ff%00", 404),
    ],
)
def test_a_post_to_no_session_is_refused(echo, query, status):
    assert httpx.post(f"{echo.url}/messages{query}", json=message("ping", id=1), trust_env=False).status_code == status


@pytest.mark.parametrize(
    "method, path, allow", [("GET", "/messages", "POST"), ("DELETE", "/messages", "POST"), ("POST", "/sse", "GET"), ("PUT", "/sse", "GET")]
)
def test_other_methods_are_405(echo, method, path, allow):
    response = httpx.request(method, f"{echo.url}{path}", trust_env=False)

    assert response.status_code == 405
    assert response.headers["allow"] == allow


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b"\xff", b"5", b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', b"[]"])
def test_a_body_that_is_no_message_is_400_and_the_stream_goes_on(echo, connect, body):
    client = connect(Sse, echo.url)

    assert client.post(body).status_code == 400
    assert text(client.call("echo", message="on")) == "on"


def test_broken_json_with_initialize_in_it_does_no_harm(echo):
    client = Sse(echo.url)
    client.connect()
    bodies = (b'{"jsonrpc":"2.0","id":1,"method":"initialize"', b'"initialize"', b'\xff"initialize"', b'["initialize"]')
    answers = [client.post(body) for body in bodies]

    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in answers] == [
        (400, -32700),
        (400, -32600),
        (400, -32700),
        (400, -32600),
    ]
    assert "result" in client.request("initialize", initialize()["params"])
    client.close()


def test_a_request_before_initialize_is_refused_and_ping_is_not(echo):
    client = Sse(echo.url)
    client.connect()

    assert "initialize" in client.request("tools/list")["error"]["message"]
    assert client.request("ping")["result"] == {}
    client.close()


def test_ten_initializes_at_once_open_one_session(echo):
    client = Sse(echo.url)
    client.connect()
    futures = [client.begin("initialize", initialize()["params"]) for _ in range(10)]

    assert all("result" in future.result(20) or future.result()["error"] for future in futures)
    assert sum("result" in future.result() for future in futures) >= 1
    assert echo.metrics().value("mcp_bridge_sessions", transport="sse") == 1
    client.close()


def test_posts_are_served_in_the_order_they_came(echo, connect):
    client = connect(Sse, echo.url)
    answers = []
    client.receive = answers.append
    for number in range(100):
        client.post(call("echo", id=number, message=str(number)))

    eventually(lambda: len(answers) == 100)
    assert [answer["id"] for answer in answers] == list(range(100))


def test_a_silent_stream_is_kept_open_by_comments(around, connect):
    """Edge case 66."""
    client = connect(Sse, around("echo", options=("--keepalive", "0.3")).url)

    eventually(lambda: len([event for event in client.stream.seen if event.event == "comment"]) >= 2)
    assert text(client.call("echo", message="hi")) == "hi"


def test_a_client_that_leaves_ends_its_own_child_and_not_the_shared_one(around, connect):
    """Edge case 68."""
    bridge = around("asks")
    shared = bridge.children()
    with_own_child = connect(Sse, bridge.url, capabilities={"sampling": {}})
    eventually(lambda: len(bridge.children()) == len(shared) + 1)
    with_own_child.stream.close()

    eventually(lambda: bridge.children() == shared)
    assert text(connect(Sse, bridge.url).call("echo", message="hi")) == "hi"


def test_a_client_that_leaves_cancels_what_it_had_under_way(echo, connect):
    client, other = connect(Sse, echo.url), connect(Sse, echo.url)
    client.begin_call("slow", seconds=30)
    eventually(lambda: echo.metrics().value("mcp_bridge_requests_in_flight") == 1)
    client.stream.close()

    eventually(lambda: echo.metrics().value("mcp_bridge_requests_in_flight") == 0)
    assert text(other.call("echo", message="hi")) == "hi"


def test_a_client_that_leaves_while_its_child_starts_leaves_nothing(around):
    bridge = around("slow_start", 0.4)
    before = bridge.children()
    client = Sse(bridge.url)
    client.connect()
    client.begin("initialize", initialize(sampling={})["params"])
    eventually(lambda: len(bridge.children()) == len(before) + 1)
    client.close()

    eventually(lambda: bridge.children() == before)
    assert bridge.metrics().value("mcp_bridge_sessions") == 0
    assert not bridge.logged("bug")


def test_a_connection_without_initialize_is_no_session(echo):
    before = echo.metrics().value("mcp_bridge_sessions")
    with open_socket(echo.url) as connection:
        connection.sendall(head("GET", echo.url, "/sse", accept="text/event-stream"))
        read_until(connection, b"session_id")

        assert echo.metrics().value("mcp_bridge_sessions") == before
        assert echo.metrics().value("mcp_bridge_streams") >= 1


def test_headers_of_later_revisions_are_no_trouble(echo, connect):
    """LiteLLM 1.77.3 sends its static version header everywhere."""
    client = connect(Sse, echo.url, headers={"mcp-protocol-version": "2025-06-18", "mcp-session-id": "whatever"})

    assert text(client.call("echo", message="hi")) == "hi"


def test_too_many_streams_are_refused(around):
    bridge = around("echo", options=("--max-streams", "2"))
    with Sse(bridge.url), Sse(bridge.url), pytest.raises(Refused) as refused:
        Sse(bridge.url).connect()

    assert refused.value.status == 503
    assert "--max-streams" in refused.value.body
