"""WebSocket at /ws, subprotocol mcp: one message a frame, the connection is the session."""

import json

import pytest
from support import Ws, eventually, text
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as connect_socket
from wire import call, initialize, message, open_websocket, send_frame


def test_the_subprotocol_is_mcp(echo, connect):
    assert connect(Ws, echo.url).socket.subprotocol == "mcp"


@pytest.mark.parametrize("offered, chosen", [(None, None), (["other"], None), (["other", "mcp"], "mcp")])
def test_a_client_with_another_subprotocol_is_served_too(echo, offered, chosen):
    with connect_socket("ws" + echo.url[4:] + "/ws", subprotocols=offered, proxy=None) as socket:
        assert socket.subprotocol == chosen
        socket.send(json.dumps(message("ping", id=1)))
        assert json.loads(socket.recv(5)) == {"jsonrpc": "2.0", "id": 1, "result": {}}


def test_binary_frames_are_messages_too(echo, connect):
    client = connect(Ws, echo.url)
    answers = []
    client.receive = answers.append
    client.send(json.dumps(call("echo", id=1, message="bytes")).encode())

    assert text(eventually(lambda: answers)[0]) == "bytes"


@pytest.mark.parametrize(
    "frame, code",
    [
        ("", -32700),
        ("{", -32700),
        (b"\xff\xfe", -32700),
        ("5", -32600),
        ("[]", -32600),
        ('{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600),
        ('"initialize"', -32600),
    ],
)
def test_a_frame_that_is_no_message_is_answered_with_an_error(echo, connect, frame, code):
    client = connect(Ws, echo.url)
    client.socket.send(frame)
    with client.arrived:
        assert client.arrived.wait_for(lambda: client.inbox, 5)

    assert client.messages(0)[0]["error"]["code"] == code
    assert text(client.call("echo", message="on")) == "on"


def test_one_message_a_frame_both_ways(around, connect):
    client = connect(Ws, around("strict_go").url)
    client.socket.send([json.dumps(call("echo", id=100, message="in pieces"))[n : n + 7] for n in range(0, 120, 7)])

    assert text(client.call("echo", message="whole")) == "whole"


def test_a_request_before_initialize_is_refused(echo):
    client = Ws(echo.url)
    client.connect()

    assert "initialize" in client.request("tools/list")["error"]["message"]
    client.close()


def test_a_second_initialize_greets_again_and_keeps_the_session(echo, connect):
    """Edge case 40."""
    client = connect(Ws, echo.url, version="2025-06-18")
    again = client.request("initialize", initialize("2025-11-25")["params"])

    assert again["result"]["protocolVersion"] == "2025-11-25"
    assert text(client.call("echo", message="hi")) == "hi"


def test_a_client_that_vanishes_in_a_flood_leaves_no_trace_but_its_absence(around):
    bridge = around("flood")
    for _ in range(5):
        connection, _ = open_websocket(bridge.url)
        with connection:
            send_frame(connection, initialize())
            connection.recv(1000)
            send_frame(connection, call("flood", count=5000, bytes=500))
            connection.recv(1 << 16)

    eventually(lambda: bridge.metrics().value("mcp_bridge_sessions", transport="websocket") == 0)
    eventually(lambda: bridge.metrics().value("mcp_bridge_streams") == 0)
    assert not bridge.logged("bug")
    assert not bridge.logged("Traceback")


def test_a_client_that_leaves_ends_its_own_child(around, connect):
    """Edge case 68."""
    bridge = around("asks")
    before = bridge.children()
    client = connect(Ws, bridge.url, capabilities={"elicitation": {}})
    assert len(bridge.children()) == len(before) + 1
    client.close()

    eventually(lambda: bridge.children() == before)


def test_too_many_are_refused(around, connect):
    bridge = around("echo", options=("--max-streams", "2"))
    with connect(Ws, bridge.url), connect(Ws, bridge.url), pytest.raises(InvalidStatus) as refused:
        Ws(bridge.url).connect()

    assert refused.value.response.status_code == 503


@pytest.mark.parametrize("path, status", [("/nowhere", 404), ("/mcp", 400)])
def test_there_is_no_websocket_at_another_path(echo, path, status):
    """The offer to become one is ignored (RFC 9110, 7.8): what is answered is a GET, which at /mcp lacks its session."""
    with pytest.raises(InvalidStatus) as refused:
        connect_socket("ws" + echo.url[4:] + path, proxy=None)

    assert refused.value.response.status_code == status


def test_a_frame_over_the_limit_is_refused_and_the_connection_stays(around, connect):
    client = connect(Ws, around("echo", options=("--max-body", "10k")).url)
    client.send(call("echo", message="x" * 20_000))
    with client.arrived:
        assert client.arrived.wait_for(lambda: client.inbox, 5)

    assert "--max-body" in client.messages(0)[0]["error"]["message"]
    assert text(client.call("echo", message="on")) == "on"


def test_a_message_far_over_the_limit_closes_its_connection(around):
    url = "ws" + around("echo", options=("--max-body", "10k")).url[4:] + "/ws"
    with connect_socket(url, proxy=None) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.send("x" * 200_000)
        socket.recv(10)

    assert closed.value.rcvd.code == 1009


def test_nothing_is_compressed(echo):
    """61 KB of deflate are 180 MiB."""
    with connect_socket("ws" + echo.url[4:] + "/ws", proxy=None, compression="deflate") as socket:
        assert socket.response.headers.get("Sec-WebSocket-Extensions") is None
