"""SIGTERM: what is in flight ends, streams end properly, children go, and the exit code says that all is well."""

import signal
import time

import httpx
import pytest
from slow_readers import slow_post
from support import Bridge, Http, Sse, Ws, eventually, text, zoo
from wire import message, open_socket


def begin(bridge, transport, seconds):
    client = transport(bridge.url)
    client.open()
    future = client.begin_call("slow", seconds=seconds)
    eventually(lambda: bridge.metrics().value("mcp_bridge_requests_in_flight") >= 1)
    return client, future


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_calls_in_flight_are_answered_first(number):
    """Edge case 67."""
    with Bridge(zoo("echo")) as bridge:
        begun = [begin(bridge, transport, 0.5) for transport in (Http, Sse, Ws)]
        code, seconds = bridge.signal(number, 10)
        answers = [text(future.result(20)) for _, future in begun]

    assert code == 0
    assert seconds < 10
    assert answers == ["slept 0.5"] * 3


def test_calls_that_take_too_long_get_an_error_and_streams_end():
    """Edge case 67."""
    with Bridge(zoo("echo"), "--drain-timeout", "0.3") as bridge:
        begun = [begin(bridge, transport, 60) for transport in (Http, Sse, Ws)]
        code, seconds = bridge.stop()
        errors = [future.result(20)["error"]["message"] for _, future in begun]
        http, sse, ws = (client for client, _ in begun)
        ended = [http.standing.ended.wait(2), sse.stream.ended.wait(2), eventually(lambda: ws.closed)]

    assert code == 0
    assert seconds < 10
    assert ["shutting down" in error for error in errors] == [True] * 3
    assert ended[:2] == [True, True]
    assert ended[2] == (1001, "the bridge is shutting down")


def test_nothing_new_is_taken_while_it_drains():
    with Bridge(zoo("echo")) as bridge, httpx.Client(base_url=bridge.url, trust_env=False) as kept:
        kept.get("/healthz")
        client, future = begin(bridge, Http, 0.7)
        answered = client.post(message("ping", id="p1"))
        bridge.process.send_signal(signal.SIGTERM)
        eventually(lambda: bridge.logged("stopping"))
        ready = kept.get("/readyz")
        with pytest.raises(OSError):
            open_socket(bridge.url).close()

        assert answered.status_code == 200
        assert client.post(message("ping", id="p2")).status_code == 503
        assert ready.status_code == 503
        assert "shutting down" in ready.json()["reason"]
        assert text(future.result(20)) == "slept 0.7"


def test_a_second_signal_stops_at_once():
    with Bridge(zoo("echo"), "--drain-timeout", "60") as bridge:
        _, future = begin(bridge, Http, 60)
        begun = time.monotonic()
        bridge.process.send_signal(signal.SIGTERM)
        eventually(lambda: bridge.logged("stopping"))
        code, _ = bridge.stop(5)

    assert code == 0
    assert time.monotonic() - begun < 10
    assert future.result(20)["error"]


def test_nobody_waits_for_what_nobody_waits_for():
    """A call that was cancelled, and a child that never shook hands, once held up the drain."""
    with Bridge(zoo("never_answers"), ready=False) as bridge:
        eventually(bridge.children)
        code, seconds = bridge.stop()
        assert code == 0
        assert seconds < 4.5
    with Bridge(zoo("late")) as bridge, Sse(bridge.url) as client:
        client.begin("tools/call", {"name": "never", "arguments": {}}, id="n")
        client.notify("notifications/cancelled", {"requestId": "n"})
        client.call("echo", message="x")
        code, seconds = bridge.stop()

        assert code == 0
        assert seconds < 4.5


def test_own_children_of_sessions_go_too():
    """Edge case 67."""
    with Bridge(zoo("asks")) as bridge:
        clients = [transport(bridge.url, capabilities={"sampling": {}}) for transport in (Http, Sse, Ws)]
        for client in clients:
            client.open()
            client.begin_call("sample")
        children = bridge.children()
        code, seconds = bridge.stop()

        assert len(children) == 4
        assert code == 0
        assert seconds < 14
        assert bridge.leftover() == []


def test_a_reader_that_does_not_read_does_not_hold_up_the_end():
    with Bridge(zoo("flood"), "--stream-buffer", "100m", "--drain-timeout", "0.3") as bridge:
        client = Http(bridge.url, listen=False)
        client.open()
        with slow_post(bridge, client):
            eventually(lambda: bridge.metrics().value("mcp_bridge_child_stdout_bytes_total") > 10_000_000)
            code, seconds = bridge.stop()

    assert code == 0
    assert seconds < 10
