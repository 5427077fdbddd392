"""Clients that ask for 20 MB, each on another kind of stream, and do not read: the functions give the socket to read from."""

from wire import call, head, initialize, open_socket, open_websocket, post, read_until, send_frame

FLOOD = call("flood", id=2, count=10_000, bytes=2_000)  # 20 MB; the buffers of a socket take 6


def slow_post(bridge, client):
    connection = open_socket(bridge.url)
    connection.sendall(post(bridge.url, FLOOD, mcp_session_id=client.session))
    return connection


def slow_get(bridge, client):
    connection = open_socket(bridge.url)
    connection.sendall(head("GET", bridge.url, "/mcp", accept="text/event-stream", mcp_session_id=client.session))
    read_until(connection, b"\r\n\r\n")
    client.call("flood_later", count=10_000, bytes=2_000)
    return connection


def slow_sse(bridge, client):
    connection = open_socket(bridge.url)
    connection.sendall(head("GET", bridge.url, "/sse", accept="text/event-stream"))
    path = read_until(connection, b"session_id").partition(b"data: ")[2]
    path = (path if b"\n" in path else path + read_until(connection, b"\n")).split()[0].decode()
    with open_socket(bridge.url) as other:
        other.sendall(post(bridge.url, initialize(), path=path))
        read_until(other, b"202")
        read_until(connection, b"protocolVersion")
        other.sendall(post(bridge.url, FLOOD, path=path))
        read_until(other, b"202")
    return connection


def slow_ws(bridge, client):
    connection, _ = open_websocket(bridge.url)
    send_frame(connection, initialize())
    read_until(connection, b"protocolVersion")
    send_frame(connection, FLOOD)
    return connection
