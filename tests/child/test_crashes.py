"""A child that dies: its calls fail at once with the reason, its sessions live on, and it is started again."""

import json
import os
import signal
import time

import pytest
from support import Bridge, Http, Sse, Ws, eventually, text, zoo

PACE = ("--backoff-initial", "0.05", "--backoff-max", "0.1", "--max-restarts", "1000")


@pytest.fixture
def dying(around) -> Bridge:
    return around("dies", options=PACE)


@pytest.mark.parametrize(
    "tool, arguments, word",
    [
        ("die", {"code": 7}, "code 7"),
        ("die", {"code": 0}, "code 0"),
        ("die", {"code": -9}, "SIGKILL"),
        ("die", {"code": -11}, "SIGSEGV"),
        ("die_mid_line", {}, "code 3"),
        ("close_stdout", {}, "exited"),
    ],
)
def test_a_call_in_flight_is_answered_soon_and_says_why(dying, connect, transport, tool, arguments, word):
    """Edge case 50."""
    client = connect(transport, dying.url)
    client.call("echo", message="ready")
    other = client.begin_call("slow", seconds=60)
    begun = time.monotonic()
    error = client.call(tool, **arguments)["error"]
    seconds = time.monotonic() - begun

    assert seconds < 10
    assert error["code"] == -32603
    assert word in error["message"] or tool == "close_stdout"
    assert other.result(20)["error"]["message"] == error["message"]


@pytest.mark.parametrize("pipe, name", [(0, "stdin"), (1, "stdout")])
def test_one_that_closes_a_pipe_and_ignores_sigterm_is_killed_and_started_again(dying, connect, pipe, name):
    """It would be READY for ever, and each call wait for --request-timeout."""
    client = connect(Http, dying.url)
    pid = text(client.call("pid"))
    lost = client.begin_call("slow", seconds=60)
    eventually(lambda: [mcp["in_flight"] for mcp in dying.status()["mcps"].values()] == [1])
    client.begin_call("close_for_good", pipe=pipe)

    def is_lost() -> bool:
        client.begin_call("echo", message="x")  # that stdin is closed shows when something is written to it
        return lost.done() or time.sleep(0.2)

    eventually(is_lost)
    assert lost.result()["error"]["message"] == f"the server closed its {name}"
    assert text(client.call("pid")) != pid


def test_a_session_survives_and_never_notices(dying, connect, transport):
    """Edge case 50."""
    client = connect(transport, dying.url)
    pid = text(client.call("pid"))
    client.call("die")

    assert text(client.call("echo", message="same session")) == "same session"
    assert text(client.call("pid")) != pid


def test_one_that_is_of_use_is_never_given_up(start, connect):
    """With the default of five: between two deaths somebody got a result."""
    bridge = start("echo", options=["--backoff-initial", "0.02"])
    client = connect(Http, bridge.url)
    pids = set()
    for _ in range(8):
        pid = int(text(client.call("pid")))
        pids.add(pid)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: bridge.status()["mcps"]["echo"]["pid"] != pid)

    assert text(client.call("echo", message="alive")) == "alive"
    assert len(pids) == 8
    assert not bridge.logged("FATAL")


def test_calls_while_it_is_down_wait_for_the_next_one(dying, connect, transport):
    client = connect(transport, dying.url)
    client.call("die")
    futures = [client.begin_call("echo", message=str(n)) for n in range(5)]

    assert [text(future.result(20)) for future in futures] == list("01234")


def test_a_child_that_is_killed_from_outside_is_started_again(dying, connect):
    client = connect(Http, dying.url)

    def restarts():
        return dying.metrics().value("mcp_bridge_child_restarts_total")

    before = restarts()
    os.kill(int(text(client.call("pid"))), signal.SIGKILL)
    eventually(lambda: restarts() == before + 1)

    assert text(client.call("echo", message="again")) == "again"
    assert dying.metrics().value("mcp_bridge_child_exits_total", cause="signal") >= 1


def test_the_next_child_knows_what_the_sessions_had_wished(dying, connect, transport):
    """Edge case 50. Before anything else that waited for it."""
    client = connect(transport, dying.url)
    client.request("resources/subscribe", {"uri": "test://one"})
    client.request("logging/setLevel", {"level": "error"})
    client.call("die")

    assert text(client.call("subscriptions")) == '["test://one"]'
    assert any('"logging/setLevel"' in line for line in json.loads(text(client.call("received"))))


@pytest.fixture(scope="module")
def separate():
    with Bridge(zoo("dies"), *PACE, "--isolation", "session") as bridge:
        yield bridge


def test_the_own_child_of_a_session_is_started_again_for_it(separate, connect, transport):
    client, other = connect(transport, separate.url, version="2025-03-26"), connect(transport, separate.url)
    pid, others = text(client.call("pid")), text(other.call("pid"))
    client.call("die")

    assert text(client.call("pid")) != pid
    assert text(other.call("pid")) == others
    assert '"protocolVersion":"2025-03-26"' in json.loads(text(client.call("received")))[0]


# Sessions outlive the bridge


def test_a_session_survives_a_restart_of_the_bridge(tmp_path):
    key = tmp_path / "key"
    options = ["--session-key-file", str(key), "--name", "same"]
    with Bridge(zoo("echo"), *options) as bridge:
        client = Http(bridge.url, listen=False, version="2025-06-18")
        client.open()
        port = bridge.url.rpartition(":")[2]
    with Bridge(zoo("echo"), *options, port=int(port)) as bridge:
        assert text(client.call("echo", message="again")) == "again"
        with client.get_stream() as stream:
            assert stream.status == 200
        assert bridge.metrics().value("mcp_bridge_sessions", revision="2025-06-18") == 1
        assert client.delete().status_code == 200
        assert client.post({"jsonrpc": "2.0", "id": 1, "method": "ping"}).status_code == 404
    client.close(delete=False)
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_bytes()) >= 32


def test_a_session_with_its_own_child_survives_a_restart_with_a_new_one(tmp_path):
    options = ["--session-key-file", str(tmp_path / "key"), "--name", "same"]
    with Bridge(zoo("asks"), *options) as bridge:
        client = Http(bridge.url, listen=False, capabilities={"elicitation": {}})
        client.open()
        port = bridge.url.rpartition(":")[2]
    with Bridge(zoo("asks"), *options, port=int(port)) as bridge:
        client.on_ask = lambda method, params: {"action": "accept"}
        assert "lost" in client.call("elicit")["error"]["message"]  # what its child knew; told once
        assert json.loads(text(client.call("elicit")))["result"] == {"action": "accept"}
        assert len(bridge.children()) == 2
    client.close(delete=False)


def test_replicas_with_the_same_key_know_each_others_sessions(tmp_path):
    key = tmp_path / "key"
    key.write_text("0123456789abcdef0123456789abcdef\n")
    options = ["--session-key-file", str(key), "--name", "same"]
    with Bridge(zoo("echo"), *options) as one, Bridge(zoo("echo"), *options) as two, Http(one.url, listen=False) as client:
        client.endpoint = f"{two.url}/mcp"
        assert text(client.call("echo", message="over there")) == "over there"
        client.endpoint = f"{one.url}/mcp"
        assert text(client.call("echo", message="and here")) == "and here"


@pytest.mark.parametrize("other", [["--name", "other"], ["--session-key-file", "{}/other"]])
def test_a_session_of_another_name_or_key_is_unknown(tmp_path, other):
    options = ["--session-key-file", str(tmp_path / "key"), "--name", "same"]
    with Bridge(zoo("echo"), *options) as one, Bridge(zoo("echo"), *options, *(word.format(tmp_path) for word in other)) as two:
        with Http(one.url, listen=False) as client:
            client.endpoint = f"{two.url}/mcp"
            assert client.post({"jsonrpc": "2.0", "id": 1, "method": "ping"}).status_code == 404
            client.endpoint = f"{one.url}/mcp"


@pytest.mark.parametrize("transport", [Sse, Ws])
def test_a_connection_does_not_survive_its_bridge(transport):
    with Bridge(zoo("echo")) as bridge:
        client = transport(bridge.url)
        client.open()
        future = client.begin_call("slow", seconds=60)
        bridge.kill()
        with pytest.raises(ConnectionError):
            future.result(20)
