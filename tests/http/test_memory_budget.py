"""Whatever is flooded, the bridge stays within its memory (--memory) and a fifth, serves others, and lets go of all of it.

Each kind of buffer has a flood of several times the budget. Memory is the process's own high-water mark.
"""

from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from support import Bridge, eventually, zoo
from wire import call, head, initialize, message, open_socket, open_websocket, post, read_until

BUDGET = 48 << 20
LONG = 3 << 20
ENVELOPE = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
MUCH = 40  # times LONG: two and a half times the budget


class Flood:
    """Sockets that stay open until it ends; nobody reads from them but who says so."""

    def __init__(self, bridge: Bridge, stack: ExitStack):
        self.bridge, self.stack = bridge, stack

    def send(self, *parts: bytes):
        connection = self.stack.enter_context(open_socket(self.bridge.url))
        connection.settimeout(2)
        with suppress(OSError):  # refused, and perhaps cut off
            for part in parts:
                connection.sendall(part)
        return connection

    def session(self, **more) -> str:
        with open_socket(self.bridge.url) as connection:
            connection.sendall(post(self.bridge.url, initialize() | more))
            answer = read_until(connection, b"\r\n\r\n").lower()
        return answer.partition(b"mcp-session-id: ")[2].split()[0].decode()


def calls_that_wait(flood: Flood) -> None:
    session = flood.session()
    for id in range(MUCH):
        flood.send(post(flood.bridge.url, call("slow", id=id, seconds=60, more="x" * LONG), mcp_session_id=session))


def bodies_that_do_not_end(flood: Flood) -> None:
    for _ in range(MUCH):
        flood.send(
            head("POST", flood.bridge.url, "/mcp", content_type="application/json", accept="*/*", transfer_encoding="chunked"),
            b"%x\r\n" % LONG + b" " * LONG + b"\r\n",
        )


def bodies_with_a_length_that_do_not_end(flood: Flood) -> None:
    for _ in range(MUCH):
        flood.send(
            head("POST", flood.bridge.url, "/mcp", content_type="application/json", accept="*/*", content_length=str(LONG + 1)), b" " * LONG
        )


def notifications_that_the_child_does_not_read(flood: Flood) -> None:
    session = flood.session()
    flood.send(post(flood.bridge.url, call("stop_reading", id=1), mcp_session_id=session))
    for _ in range(MUCH):
        flood.send(post(flood.bridge.url, message("notifications/made_up", {"x": "x" * LONG}), mcp_session_id=session))


def answers_that_nobody_reads(flood: Flood) -> None:
    session = flood.session()
    for id in range(MUCH):
        flood.send(post(flood.bridge.url, call("huge", id=id, bytes=LONG), mcp_session_id=session))


def events_that_nobody_reads(flood: Flood) -> None:
    for _ in range(MUCH):
        session = flood.session()
        flood.send(head("GET", flood.bridge.url, "/mcp", accept="text/event-stream", mcp_session_id=session))
    for id in range(30):
        with suppress(OSError):
            read_until(
                flood.send(
                    post(
                        flood.bridge.url,
                        call("notify", id=id, method="notifications/tools/list_changed", params={"x": "x" * LONG}),
                        mcp_session_id=session,
                    )
                ),
                b"jsonrpc",
            )


def sessions_with_much_to_say_of_themselves(flood: Flood) -> None:
    client = {"name": "raw", "version": "1", "icons": ["x" * (1 << 20)]}
    for _ in range(3 * MUCH):
        flood.send(
            post(flood.bridge.url, initialize() | {"params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}})
        )


def subscriptions(flood: Flood) -> None:
    for _ in range(8):
        session, connection = flood.session(), flood.send()
        for id in range(0, 900, 50):
            connection.sendall(
                b"".join(
                    post(
                        flood.bridge.url, message("resources/subscribe", {"uri": "x" * 8000 + str(number)}, number), mcp_session_id=session
                    )
                    for number in range(id, id + 50)
                )
            )
            answers = 0
            while answers < 50:
                answers += connection.recv(1 << 16).count(b'"jsonrpc"')


def news_that_wait_for_a_stream(flood: Flood) -> None:
    sessions = [flood.session() for _ in range(MUCH)]
    for session in sessions:
        for number in range(10):
            read_until(
                flood.send(post(flood.bridge.url, message("resources/subscribe", {"uri": f"x:{number}"}, 1), mcp_session_id=session)),
                b"jsonrpc",
            )
    for number in range(10):
        news = {"uri": f"x:{number}", "x": "x" * LONG}
        with suppress(OSError):
            read_until(
                flood.send(
                    post(
                        flood.bridge.url,
                        call("notify", id=2, method="notifications/resources/updated", params=news),
                        mcp_session_id=sessions[0],
                    )
                ),
                b"jsonrpc",
            )


def fragments_of_messages(flood: Flood) -> None:
    for _ in range(MUCH):
        connection, _ = open_websocket(flood.bridge.url)
        flood.stack.enter_context(connection)
        connection.settimeout(2)
        part = b"\x00\xfe\xff\xff\x00\x00\x00\x00" + b"x" * 0xFFFF
        with suppress(OSError):
            connection.sendall(b"\x01\x81\x00\x00\x00\x00x")
            for _ in range(LONG >> 16):
                connection.sendall(part)


def calls_with_long_ids(flood: Flood) -> None:
    """On a stream, where the request that brought it is over at once."""
    for _ in range(4):
        listening = flood.send(head("GET", flood.bridge.url, "/sse", accept="text/event-stream"))
        path = read_until(listening, b"\n\n").rpartition(b"data: ")[2].split()[0].decode()
        for body in (initialize(), *(call("slow", id=f"{id}" + "x" * LONG, seconds=60) for id in range(MUCH // 4))):
            read_until(flood.send(post(flood.bridge.url, body, path=path)), b"\r\n\r\n")


def modern_calls_that_say_something_new_of_themselves(flood: Flood) -> None:
    for id in range(MUCH):
        body = message("tools/call", {"name": "echo", "arguments": {"message": "", "more": "x" * LONG}, "_meta": ENVELOPE | {"x": id}}, id)
        headers = {"mcp_protocol_version": "2026-07-28", "mcp_method": "tools/call", "mcp_name": "echo"}
        read_until(flood.send(post(flood.bridge.url, body, **headers)), b"jsonrpc")


def hosts_that_are_none(flood: Flood) -> None:
    for host in range(1000):
        read_until(flood.send(head("GET", flood.bridge.url, "/mcp", host=f"{host}" + "x" * 60_000)), b"not allowed")
        flood.stack.close()


def pings_whose_pongs_nobody_reads(flood: Flood) -> None:
    connection, _ = open_websocket(flood.bridge.url)
    flood.stack.enter_context(connection)
    connection.settimeout(2)
    with suppress(OSError):
        for _ in range(MUCH * LONG >> 17):
            connection.sendall((b"\x89\xfd\x00\x00\x00\x00" + b"x" * 125) * 1000)


FLOODS = [
    pings_whose_pongs_nobody_reads,
    calls_that_wait,
    calls_with_long_ids,
    modern_calls_that_say_something_new_of_themselves,
    hosts_that_are_none,
    bodies_that_do_not_end,
    bodies_with_a_length_that_do_not_end,
    notifications_that_the_child_does_not_read,
    answers_that_nobody_reads,
    events_that_nobody_reads,
    sessions_with_much_to_say_of_themselves,
    subscriptions,
    news_that_wait_for_a_stream,
    fragments_of_messages,
]
CHILD = """
import threading, time
from notify import child
@child.tool
def stop_reading():
    time.sleep(60)
child.run()
"""


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__)
def test_the_bridge_stays_within_its_memory(written, flood):
    budget = BUDGET // 3 if flood in (subscriptions, hosts_that_are_none) else BUDGET
    options = ["--memory", budget, "--max-in-flight", 1 if flood is calls_that_wait else 0, "--keepalive", 0, "--ping-interval", 0]
    child = written(CHILD) if "notif" in flood.__name__ or "news" in flood.__name__ or "events" in flood.__name__ else zoo("echo")
    with Bridge(child, *options) as bridge:
        idle = high_water(bridge)
        with ExitStack() as stack:
            flood(Flood(bridge, stack))
            held = bridge.metrics().value("mcp_bridge_memory_held_bytes")

            assert bridge.get("/healthz").status_code == 200
            assert high_water(bridge) - idle < 1.2 * budget
            assert held <= budget * 1.01
        if flood is not subscriptions:
            eventually(lambda: bridge.metrics().value("mcp_bridge_memory_held_bytes") < budget / 2, 10, "it keeps what is over")


def high_water(bridge: Bridge) -> int:
    status = Path(f"/proc/{bridge.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10
