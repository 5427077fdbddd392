"""Warm spares: children that have shaken hands before anybody comes, for sessions that get one of their own."""

import json
import os
import signal
import time

import httpx
import pytest
from bent import bent, is_gone, pids, processes, shown
from support import Bridge, Http, Refused, Sse, Ws, eventually, text, zoo

OWN = ("--isolation", "session")
JSON = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}


def ready_spares(bridge) -> list[int]:
    return pids(bridge, "spare", "ready")


def pid_of(client) -> int:
    return int(text(client.call("pid")))


def lines_of(client) -> list[dict]:
    return [json.loads(line) for line in json.loads(text(client.call("received")))]


def test_spares_have_shaken_hands_before_anybody_comes_and_are_refilled(start, connect):
    bridge = start("echo", options=[*OWN, "--spares", "2"])
    for kind in (Http, Sse, Ws):
        waiting = eventually(lambda: len(ready_spares(bridge)) == 2 and ready_spares(bridge))
        client = connect(kind, bridge.url)

        assert pid_of(client) in waiting
        assert [line["method"] for line in lines_of(client)[:3]] == ["initialize", "notifications/initialized", "tools/list"]
        assert lines_of(client)[0]["params"]["clientInfo"]["name"] == "mcp-bridge"
    eventually(lambda: len(ready_spares(bridge)) == 2)


def test_a_session_gets_a_spare_though_a_new_child_would_need_long(start, connect):
    """Their start takes 3 s; three sessions with spares open in less than one of those."""
    bridge = start("slow_start", "3", options=[*OWN, "--spares", "3"])
    eventually(lambda: len(ready_spares(bridge)) == 3)
    begun = time.monotonic()
    clients = [connect(Http, bridge.url, listen=False) for _ in range(3)]
    answered = {pid_of(client) for client in clients}

    assert time.monotonic() - begun < 3
    assert len(answered) == 3


def test_a_client_that_did_not_wait_for_a_slow_start_finds_that_child_when_it_comes_again(start, connect):
    bridge = start("slow_start", "2", options=OWN)
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    with pytest.raises(httpx.TimeoutException):
        httpx.post(f"{bridge.url}/mcp", content=json.dumps(body), headers=JSON, timeout=0.5)
    (starting,) = eventually(lambda: pids(bridge, "spare"))
    client = connect(Http, bridge.url, capabilities={}, info=HELLO["clientInfo"])

    assert pid_of(client) == starting
    assert len(processes(bridge)) == 2, "its own and the one that tells whether the server is ready"


def test_litellm_s_sessions_that_only_list_share_one_start(start):
    """It opens one for each list, and is not kept waiting for it; the child goes to the first session that calls."""
    bridge = start("slow_start", "3", options=[*OWN, "--profile", "litellm"])
    for _ in range(5):
        with Http(bridge.url, listen=False) as client:
            assert "pid" in {tool["name"] for tool in client.request("tools/list")["result"]["tools"]}
    (starting,) = pids(bridge, "spare")
    with Http(bridge.url, listen=False) as client:
        assert pid_of(client) == starting

    assert len(bridge.logged("child started")) == 2, "its own and the one that tells whether the server is ready"


def test_a_used_child_is_stopped_and_never_given_to_anybody_else(start, connect):
    bridge = start("stateful", options=[*OWN, "--spares", "1"])
    eventually(lambda: ready_spares(bridge))
    seen = []
    for _ in range(4):
        with Http(bridge.url, listen=False) as client:
            told = json.loads(text(client.call("next")))
            client.call("remember", key="secret", value="mine")
        seen.append(told["pid"])
        assert told["count"] == 1

    assert len(set(seen)) == 4
    eventually(lambda: all(is_gone(pid) for pid in seen))
    eventually(lambda: len(processes(bridge)) == 2 and ready_spares(bridge))


def test_spares_and_children_in_use_stay_within_max_children(start, connect):
    bridge = start("echo", options=[*OWN, "--spares", "3", "--max-children", "4", "--child-wait", "0"])
    eventually(lambda: len(ready_spares(bridge)) == 3)
    counts = []
    clients = []
    for _ in range(4):
        clients.append(connect(Http, bridge.url, listen=False))
        counts.append(len(processes(bridge, "own")) + len(processes(bridge, "spare")))

    assert max(counts) <= 4
    assert len({pid_of(client) for client in clients}) == 4
    with pytest.raises(Refused) as refused:
        Http(bridge.url, listen=False).open()
    assert refused.value.status == 503


def test_when_all_children_are_taken_a_new_session_waits_and_then_gets_503(start, connect):
    bridge = start("echo", options=[*OWN, "--max-children", "1", "--child-wait", "0.3"])
    holder = connect(Http, bridge.url, listen=False)
    late = Http(bridge.url, listen=False)
    begun = time.monotonic()
    response = late.post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO})
    waited = time.monotonic() - begun
    late.close()

    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert "--max-children" in response.json()["error"]["message"]
    assert 0.3 <= waited < 10
    assert text(holder.call("echo", message="undisturbed")) == "undisturbed"
    assert shown(bridge)["waits"] == 1
    assert shown(bridge)["sessions"] == 1


def test_a_child_that_gets_free_lets_a_waiting_session_in(start):
    bridge = start("stateful", options=[*OWN, "--max-children", "1", "--child-wait", "5"])
    holder = Http(bridge.url, listen=False)
    holder.open()
    before = json.loads(text(holder.call("next")))["pid"]
    for number, late in enumerate((Http, Sse, Ws), 1):
        waiter = late(bridge.url)
        waiter.connect()
        opening = waiter.begin("initialize", HELLO)
        eventually(lambda: shown(bridge)["waits"] == number)
        holder.close()

        assert opening.result(20)["result"]["serverInfo"]
        told = json.loads(text(waiter.call("next")))
        assert told["count"] == 1
        assert told["pid"] != before
        holder, before = waiter, told["pid"]
    holder.close()


def test_those_who_wait_get_in_one_after_the_other(start):
    bridge = start("stateful", options=[*OWN, "--max-children", "2", "--child-wait", "5"])
    answers = []
    first = [Http(bridge.url, listen=False) for _ in range(2)]
    for client in first:
        client.open()
    late = [Http(bridge.url, listen=False) for _ in range(5)]
    openings = {client: client.begin("initialize", HELLO) for client in late}
    eventually(lambda: shown(bridge)["waits"] == 5)
    for client in first:
        client.close()
    while openings:
        done = eventually(lambda: [client for client, opening in openings.items() if opening.done()])
        for client in done:
            assert "result" in openings.pop(client).result()
            answers.append(json.loads(text(client.call("next")))["count"])
            client.close()

    assert answers == [1] * 5
    eventually(lambda: len(processes(bridge)) == 1)


def test_a_client_that_left_while_it_waited_takes_no_child(start, connect):
    bridge = start("echo", options=[*OWN, "--max-children", "1", "--child-wait", "5"])
    holder = Http(bridge.url, listen=False)
    holder.open()
    leaver = Ws(bridge.url)
    leaver.connect()
    leaver.begin("initialize", HELLO)
    eventually(lambda: shown(bridge)["waits"] == 1)
    leaver.close()
    holder.close()

    eventually(lambda: shown(bridge)["sessions"] == 0)
    assert text(connect(Http, bridge.url, listen=False).call("echo", message="room")) == "room"


def test_clients_that_left_while_their_children_were_starting_leave_none(start):
    bridge = start("slow_start", "0.7", options=[*OWN])
    clients = [leaver(bridge.url) for leaver in (Http, Sse, Ws)]
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    for client in clients:
        client.connect()
    stream, *_ = [client.post_stream(body) if type(client) is Http else client.deliver(body) for client in clients]
    eventually(lambda: len(processes(bridge, "own")) == 3)
    stream.close()
    for client in clients:
        client.close()

    eventually(lambda: not processes(bridge, "own") and shown(bridge)["sessions"] == 0)


def test_clients_get_spares_that_know_their_capabilities(start, connect):
    """The second client of a kind, at the latest: a server may decide at the handshake which tools it has."""
    bridge = start("asks", options=["--spares", "1"])
    able = {
        "capabilities": {"sampling": {}, "elicitation": {}},
        "on_ask": lambda method, params: {"role": "assistant", "content": {"type": "text", "text": "yes"}, "model": "m"},
    }
    connect(Http, bridge.url, **able)
    spares = eventually(lambda: len(ready_spares(bridge)) >= 2 and ready_spares(bridge))
    client = connect(Http, bridge.url, **able)

    assert pid_of(client) in spares
    assert lines_of(client)[0]["params"]["capabilities"] == {"elicitation": {}, "sampling": {}}
    assert json.loads(text(client.call("sample")))["result"]["content"]["text"] == "yes"


def test_a_client_never_gets_a_spare_of_other_capabilities(start, connect):
    bridge = start("asks", options=[*OWN, "--spares", "1"])
    for capabilities in ({}, {"sampling": {}}, {"elicitation": {"form": {}}}, {"sampling": {}, "x": {"y": 1}}, {}, {"sampling": {}}):
        eventually(lambda: not processes(bridge, "spare", "starting") and not processes(bridge, "spare", "handshaking"))
        client = connect(Http, bridge.url, capabilities=capabilities, listen=False)
        assert lines_of(client)[0]["params"]["capabilities"] == capabilities


def test_the_spare_of_an_old_client_serves_its_revision(start, connect):
    bridge = start("echo", options=[*OWN, "--spares", "1"])
    eventually(lambda: ready_spares(bridge))
    client = connect(Http, bridge.url, version="2024-11-05", listen=False)

    assert client.version == "2024-11-05"
    assert text(client.call("echo", message="old")) == "old"


def test_what_a_spare_says_early_reaches_its_session(start, connect):
    """server-everything asks for roots as soon as it is initialized, long before a client comes."""
    bridge = start("asks", "--at-start", options=[*OWN, "--spares", "1"])
    for kind in (Http, Http, Sse, Ws):  # the first one's capabilities are those of the next spares
        root = {"roots": [{"uri": f"file:///{kind.__name__}", "name": "mine"}]}
        spares = eventually(lambda: ready_spares(bridge))
        client = connect(kind, bridge.url, capabilities={"roots": {}}, on_ask=lambda method, params, root=root: root)

        assert pid_of(client) in spares or len(spares) == 1
        eventually(lambda: [ask["method"] for ask in client.asked] == ["roots/list"])
        eventually(lambda: f"file:///{kind.__name__}" in text(client.call("answers")))
        eventually(lambda: len(ready_spares(bridge)) == 2)


def test_a_spare_that_dies_is_replaced_before_anybody_notices(start, connect):
    bridge = start("echo", options=[*OWN, "--spares", "1", "--backoff-initial", "0.1"])
    [first] = eventually(lambda: ready_spares(bridge))
    os.kill(first, signal.SIGKILL)
    [second] = eventually(lambda: ready_spares(bridge) != [first] and ready_spares(bridge))
    client = connect(Http, bridge.url, listen=False)

    assert pid_of(client) == second
    assert text(client.call("echo", message="fine")) == "fine"


def test_a_session_that_comes_when_the_spare_has_just_died_gets_a_child(start, connect):
    bridge = start("echo", options=[*OWN, "--spares", "1", "--backoff-initial", "30"])
    [first] = eventually(lambda: ready_spares(bridge))
    os.kill(first, signal.SIGKILL)
    eventually(lambda: is_gone(first))  # who comes before the bridge has noticed waits as after any death: 30 s here
    client = connect(Http, bridge.url, listen=False)

    assert text(client.call("echo", message="fine")) == "fine"


def test_spares_that_cannot_start_are_given_up_and_cost_no_more(tmp_path, connect):
    broken = tmp_path / "broken"
    command = bent(tmp_path / "child.py", f"if Path({str(broken)!r}).exists(): sys.exit('no licence')")
    with Bridge(command, *OWN, "--spares", "1", "--max-restarts", "2", "--backoff-initial", "0.05") as bridge:
        [spare] = eventually(lambda: ready_spares(bridge))
        starts = bridge.metrics().value("mcp_bridge_child_starts_total")
        broken.touch()
        os.kill(spare, signal.SIGKILL)
        eventually(lambda: processes(bridge, "spare") == [])
        with pytest.raises(AssertionError, match="no licence"):
            Http(bridge.url, listen=False).open()
        eventually(lambda: len(processes(bridge)) == 1)
        cost = bridge.metrics().value("mcp_bridge_child_starts_total") - starts
        broken.unlink()

        assert cost <= 5
        assert text(connect(Http, bridge.url, listen=False).call("echo", message="cured")) == "cured"


def test_a_burst_of_sessions_all_get_children_of_their_own(start, connect):
    bridge = start("stateful", options=[*OWN, "--spares", "2", "--max-children", "16"])
    clients = [Http(bridge.url, listen=False) for _ in range(10)]
    for opening in [client.begin("initialize", HELLO) for client in clients]:
        assert "result" in opening.result(10)
    answers = [json.loads(text(client.call("next"))) for client in clients]
    for client in clients:
        client.close()

    assert [answer["count"] for answer in answers] == [1] * 10
    assert len({answer["pid"] for answer in answers}) == 10
    eventually(lambda: processes(bridge, "own") == [])


def test_a_server_of_the_modern_era_only_has_no_spares(tmp_path, connect):
    """Its one process serves all sessions. The second bridge knows that before it starts."""
    for _ in range(2):
        with Bridge(zoo("modern"), "--spares", "2", "--cache-dir", tmp_path) as bridge:
            connect(Http, bridge.url, capabilities={"roots": {}}).close()
            eventually(lambda: [process["role"] for process in processes(bridge)] == ["shared"])
            starts = bridge.metrics().value("mcp_bridge_child_starts_total")
    assert starts == 1


def test_nothing_is_left_of_spares_after_the_stop():
    with Bridge(zoo("deaf", "--only", "term"), *OWN, "--spares", "3") as bridge, Http(bridge.url, listen=False):
        eventually(lambda: len(ready_spares(bridge)) == 3)
        code, _ = bridge.stop()

        assert code == 0
        assert bridge.leftover() == []
