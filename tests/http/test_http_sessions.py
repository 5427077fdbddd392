"""Sessions: opened, kept apart, outliving things, forgotten, ended."""

import json
import threading
from http.client import HTTPConnection

import httpx
import pytest
from support import Bridge, Http, Refused, Sse, Ws, eventually, text, zoo
from wire import ACCEPT, call, initialize, message

ALICE, BOB = {"authorization": "Bearer alice-secret-0123456789"}, {"authorization": "Bearer bob-secret-0123456789"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory) -> Bridge:
    file = tmp_path_factory.mktemp("guarded") / "tokens"
    file.write_text("alice alice-secret-0123456789\nbob bob-secret-0123456789\n")
    with Bridge(zoo("echo"), "--token-file", file, "--session-idle", "0.1", headers=ALICE) as bridge:
        yield bridge


def test_a_session_id_is_visible_ascii_and_new_each_time(echo):
    ids = set()
    for _ in range(20):
        client = Http(echo.url, listen=False)
        client.open()
        ids.add(client.session)
        client.close()

    assert len(ids) == 20
    assert all(0x21 <= ord(char) <= 0x7E for id in ids for char in id)


def test_a_session_id_changed_in_any_place_is_unknown(echo, connect):
    client = connect(Http, echo.url, listen=False)
    id = client.session
    for place in range(0, len(id), max(1, len(id) // 40)):
        other = "A" if id[place] != "A" else "B"
        changed = id[:place] + other + id[place + 1 :]

        assert client.post(message("ping", id=1), {"mcp-session-id": changed}).status_code == 404, place
    assert client.post(message("ping", id=1)).status_code == 200


def test_the_session_of_another_principal_looks_like_none(guarded, connect):
    """Edge case 14."""
    alice = connect(Http, guarded.url, headers=ALICE)
    bob = connect(Http, guarded.url, headers=BOB)
    unknown = bob.post(call("echo", message="x"), {"mcp-session-id": "unknown"})
    stolen = bob.post(call("echo", message="x"), {"mcp-session-id": alice.session})

    assert stolen.status_code == 404
    assert stolen.content == unknown.content
    assert bob.delete({"mcp-session-id": alice.session}).status_code == 404
    with bob.get_stream(headers={"mcp-session-id": alice.session}) as stream:
        assert stream.status == 404
    assert text(alice.call("echo", message="mine")) == "mine"


def test_the_stream_of_another_principal_looks_like_none(guarded, connect):
    """Edge case 14, over HTTP+SSE."""
    alice = connect(Sse, guarded.url, headers=ALICE)

    assert alice.post(call("echo", message="x"), BOB).status_code == 404
    assert alice.post(call("echo", message="x"), {"authorization": "Bearer wrong"}).status_code == 401


def test_a_forgotten_session_that_another_principal_names_does_no_harm(guarded, connect):
    """It once was taken up without a child, and the sweep that found it idle ended the bridge."""
    alice = connect(Http, guarded.url, headers=ALICE, listen=False)

    def sessions():
        return guarded.metrics().value("mcp_bridge_sessions")

    eventually(lambda: sessions() == 0)

    assert alice.post(message("ping", id=1), BOB).status_code == 404
    assert sessions() == 0
    assert text(alice.call("echo", message="still mine")) == "still mine"
    eventually(lambda: sessions() == 0)
    assert guarded.get("/healthz").status_code == 200


def test_an_idle_session_is_forgotten_and_taken_up_again(guarded, connect):
    """Its id says all that there is to know of it."""
    client = connect(Http, guarded.url, listen=False, headers=ALICE)
    eventually(lambda: guarded.metrics().value("mcp_bridge_sessions") == 0)

    assert text(client.call("echo", message="again")) == "again"


def test_an_idle_session_with_a_child_of_its_own_is_ended(around, connect):
    bridge = around("asks", options=("--session-idle", "0.1"))
    client = connect(Http, bridge.url, listen=False, capabilities={"sampling": {}})
    eventually(lambda: bridge.logged("nobody used it"))

    assert client.post(message("ping", id=1)).status_code == 404
    eventually(lambda: len(bridge.children()) == 1)


def test_a_session_does_not_idle_while_its_child_starts(start, connect):
    bridge = start("slow_start", 3, options=["--isolation", "session", "--session-idle", "1.5"], ready=False)

    assert text(connect(Http, bridge.url).call("echo", message="patient")) == "patient"


def test_a_session_is_not_idle_while_it_listens_or_waits(around, connect):
    bridge = around("asks", options=("--session-idle", "1"))
    listening = connect(Http, bridge.url, capabilities={"sampling": {}})
    waiting = connect(Http, bridge.url, capabilities={"sampling": {}}, listen=False)

    assert text(waiting.call("slow", seconds=2.5)) == "slept 2.5"
    assert text(listening.call("echo", message="here")) == "here"


@pytest.mark.parametrize("transport", [Http, Sse, Ws])
def test_a_hundred_calls_at_once_with_the_same_ids_are_not_mixed_up(echo, connect, transport):
    """Edge case 16."""
    clients = [connect(transport, echo.url) for _ in range(10)]
    futures = [
        (f"{who} {id}", client.begin("tools/call", {"name": "echo", "arguments": {"message": f"{who} {id}"}}, id=id + 1000))
        for id in range(10)
        for who, client in enumerate(clients)
    ]

    assert [text(future.result(10)) for _, future in futures] == [said for said, _ in futures]


def test_clients_of_all_transports_share_one_child(echo, connect):
    pids = {text(connect(transport, echo.url).call("pid")) for transport in (Http, Sse, Ws)}

    assert len(pids) == 1
    assert len(echo.children()) == 1


def test_a_second_initialize_leaves_other_sessions_as_they_are(around, connect, transport):
    """Edge case 40. This child would die of it."""
    bridge = around("refuses_second_initialize", "--exit")
    old = connect(transport, bridge.url, version="2025-03-26", info={"name": "old", "version": "1"})
    new = connect(transport, bridge.url, version="2025-11-25")

    assert old.version == "2025-03-26"
    assert new.version == "2025-11-25"
    assert text(old.call("echo", message="hi")) == "hi"
    assert [line for line in json.loads(text(new.call("received"))) if '"initialize"' in line] == json.loads(text(new.call("received")))[:1]


def test_initialize_in_a_session_opens_another_one(echo, connect):
    client = connect(Http, echo.url, listen=False)
    first = client.session
    response = client.post(initialize())

    assert response.status_code == 200
    assert response.headers["mcp-session-id"] != first
    assert client.post(message("ping", id=1), {"mcp-session-id": first}).status_code == 200


def test_a_session_is_forgotten_for_another_one_and_its_client_does_not_notice(start, connect):
    bridge = start("echo", options=["--max-sessions", "2"])
    clients = [connect(Http, bridge.url, listen=False) for _ in range(6)]

    assert [text(client.call("echo", message="here")) for client in clients] == ["here"] * 6
    assert bridge.metrics().value("mcp_bridge_sessions", transport="streamable-http", revision="2025-11-25") == 2


def test_too_many_sessions_are_refused_and_room_is_made_by_leaving(start):
    bridge = start("echo", options=["--max-sessions", "3"])
    clients = [Http(bridge.url, listen=False) for _ in range(3)]
    for client in clients:
        client.open()
        client.request("logging/setLevel", {"level": "debug"})  # which its id alone does not bring back
    with pytest.raises(Refused) as refused:
        Http(bridge.url).open()
    clients[0].close()
    with Http(bridge.url) as late:
        assert text(late.call("echo", message="room")) == "room"

    assert refused.value.status == 503
    assert "--max-sessions" in refused.value.body
    for client in clients[1:]:
        client.close()


def test_a_session_of_an_earlier_bridge_is_told_to_come_again_when_all_places_are_taken(start, tmp_path):
    """404 would mean that it is lost; few clients get over that."""
    options = ["--max-sessions", "1", "--session-key-file", tmp_path / "key"]
    first = start("echo", options=options)
    earlier = Http(first.url, listen=False)
    earlier.open()
    first.stop()
    bridge = start("echo", options=options)
    other = Http(bridge.url, listen=False)
    other.open()
    other.request("logging/setLevel", {"level": "debug"})  # which its id alone does not bring back

    def ask():
        return httpx.post(
            f"{bridge.url}/mcp",
            json=message("tools/list", id=1),
            trust_env=False,
            headers={"accept": "*/*", "mcp-session-id": earlier.session},
        )

    full = ask()
    other.close()

    assert (full.status_code, full.headers["retry-after"]) == (503, "2")
    assert "--max-sessions" in full.json()["error"]["message"]
    assert "result" in ask().json()
    assert (
        httpx.post(f"{bridge.url}/mcp", json=message("ping", id=1), headers={"mcp-session-id": "unknown"}, trust_env=False).status_code
        == 404
    )


def test_no_limit_of_sessions_is_no_limit(start, connect):
    assert connect(Http, start("echo", options=["--max-sessions", "0"]).url).version


def test_too_many_children_are_refused(start, connect):
    bridge = start("asks", options=["--max-children", "1"])
    connect(Http, bridge.url, capabilities={"sampling": {}})
    with pytest.raises(Refused) as refused:
        Http(bridge.url, capabilities={"sampling": {}}).open()

    assert refused.value.status == 503
    assert "--max-children" in refused.value.body
    assert text(connect(Http, bridge.url).call("echo", message="shared")) == "shared"


@pytest.mark.parametrize(
    "isolation, capabilities, own",
    [
        ("auto", {}, False),
        ("auto", {"roots": {}}, True),
        ("auto", {"elicitation": {}}, True),
        ("auto", {"x": {}}, False),
        ("shared", {"sampling": {}}, False),
        ("session", {}, True),
    ],
)
def test_who_gets_a_child_of_its_own(around, connect, isolation, capabilities, own):
    bridge = around("stateful", options=("--isolation", isolation))
    one, other = (connect(Http, bridge.url, capabilities=capabilities) for _ in range(2))
    one.call("remember", key=isolation, value="mine")

    assert (json.loads(text(other.call("recall", key=isolation)))["value"] is None) is own


def test_a_session_with_its_own_child_keeps_its_state(around, connect, transport):
    client = connect(transport, around("stateful", options=("--isolation", "session")).url)
    counts = [json.loads(text(client.call("next")))["count"] for _ in range(5)]

    assert counts == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "params",
    [
        None,
        {},
        {"protocolVersion": 5, "capabilities": {}, "clientInfo": {}},
        {"protocolVersion": "2025-11-25", "capabilities": []},
        {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": "me"},
    ],
)
def test_a_bad_initialize_opens_nothing(echo, params):
    client = Http(echo.url, listen=False)
    opened = echo.metrics().value("mcp_bridge_sessions_opened_total")
    response = client.post(message("initialize", params, 1))

    assert response.json()["error"]["code"] == -32602
    assert "mcp-session-id" not in response.headers
    assert echo.metrics().value("mcp_bridge_sessions_opened_total") == opened
    client.close()


def test_a_client_with_very_much_to_say_of_itself_gets_a_session_that_works(echo, connect):
    """The id carries what it said, and proxies let no endless header pass."""
    info = {"name": "n" * 20_000, "version": "1"}
    client = connect(Http, echo.url, info=info, listen=False)

    assert text(client.call("echo", message="hi")) == "hi"
    assert len(client.session) <= 4096


def talk(url: str, times: int) -> None:
    """LiteLLM's pattern over one connection: initialize, initialized, list, call, DELETE."""
    connection = HTTPConnection(url.removeprefix("http://"))
    headers = {"accept": ACCEPT, "content-type": "application/json"}

    def send(method, body=None, expected=200, **more):
        connection.request(method, "/mcp", body and json.dumps(body), headers | more)
        response = connection.getresponse()
        response.read()
        assert response.status == expected
        return response

    for _ in range(times):
        session = {"mcp-session-id": send("POST", initialize()).headers["mcp-session-id"]}
        send("POST", message("notifications/initialized"), 202, **session)
        send("POST", message("tools/list", id=1), **session)
        send("POST", call("echo", id=2, message="hi"), **session)
        send("DELETE", **session)
    connection.close()


def test_a_thousand_sessions_one_after_another_leave_nothing(start):
    """Edge case 70."""
    bridge = start("echo")
    talk(bridge.url, 200)
    children, memory = bridge.children(), bridge.rss()
    talk(bridge.url, 1000)

    assert bridge.children() == children
    assert bridge.metrics().value("mcp_bridge_sessions") == 0
    assert bridge.rss() - memory < 2 << 20


def test_sessions_opened_and_ended_in_a_rush_leave_nothing(start):
    bridge = start("echo")
    threads = [threading.Thread(target=talk, args=(bridge.url, 30)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert bridge.metrics().value("mcp_bridge_sessions_opened_total") == 240
    assert bridge.metrics().value("mcp_bridge_sessions") == 0
    assert bridge.metrics().value("mcp_bridge_streams") == 0


def test_requests_without_a_session_leave_nothing_with_the_litellm_profile(start, connect):
    """Each was once remembered for ever, as a session for which every later notification was."""
    bridge = start("notify", options=["--profile", "litellm"])
    client = connect(Http, bridge.url, listen=False)
    stranger = {"mcp-session-id": None}
    for _ in range(20):
        client.post(message("notifications/x"), stranger)
        client.post([message("ping", id=1)], stranger)
        client.post(call("echo", message="x"), stranger)
    client.get_stream(headers=stranger).close()
    client.call("log_later", seconds=0.01)

    eventually(lambda: bridge.metrics().value("mcp_bridge_drops_total", reason="no_stream") >= 1)
    assert bridge.metrics().value("mcp_bridge_drops_total", reason="no_stream") == 1
    assert bridge.metrics().value("mcp_bridge_sessions") == 1
