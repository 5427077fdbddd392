"""What LiteLLM needs from a bridge, point by point, told by raw HTTP; test_matrix.py shows the same with LiteLLM itself.

The points: what a LiteLLM that was watched sends, and what wedges, stalls or cuts it.
"""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from support import Bridge, Http, Refused, Sse, eventually, text, zoo

from bridge.settings import Settings

KIND = ["--profile", "litellm"]
CLIENTS = [Http, Sse]


@pytest.fixture(scope="module")
def gentle() -> Iterator[Bridge]:
    """A bridge around `echo` in LiteLLM's profile, for tests that change nothing in it."""
    with Bridge(zoo("echo"), *KIND) as bridge:
        yield bridge


@pytest.fixture(scope="module")
def bad() -> Iterator[Bridge]:
    with Bridge(zoo("bad_results"), *KIND, "--request-timeout", 3) as bridge:
        yield bridge


# -- A. the protocol, tolerantly ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["litellm", "strict"])
def test_point_01_a_version_header_that_comes_twice_is_taken(gentle, echo, profile):
    """LiteLLM 1.77.3 adds its own to the SDK's; a TypeScript bridge answers 400 to that."""
    bridge = {"litellm": gentle, "strict": echo}[profile]
    with Http(bridge.url, version="2025-06-18", listen=False) as client:
        twice = [("mcp-protocol-version", "2025-06-18")] * 2
        joined = [("mcp-protocol-version", "2025-06-18, 2025-06-18")]
        statuses = [post(client, versions, ping(7)).status_code for versions in (twice, joined)]

        assert statuses == [200, 200]


def test_point_01_no_version_header_is_a_reason_to_fail_a_request(gentle, echo):
    odd = ["2099-01-01", "2025-06-18, 2024-11-05", "nonsense", ""]
    with Http(gentle.url, listen=False) as kind, Http(echo.url, listen=False) as strict:
        kinds = [post(kind, [("mcp-protocol-version", version)], ping(7)).status_code for version in odd]
        stricts = [post(strict, [("mcp-protocol-version", version)], ping(7)).status_code for version in odd]

        assert kinds == [200] * 4
        assert stricts == [400] * 4


@pytest.mark.parametrize("client", CLIENTS)
def test_point_02_zero_is_an_id_and_sessions_with_the_same_ids_get_their_own_answers(gentle, client):
    """A bridge without ids of its own gave 29 of 30 concurrent answers to the wrong caller."""

    def one(number: int) -> tuple[dict, dict]:
        with client(gentle.url, version="2025-06-18") as session:
            slow = session.begin("tools/call", {"name": "slow", "arguments": {"seconds": 0.02 * (number % 3)}}, id=1)
            echoed = session.request("tools/call", {"name": "echo", "arguments": {"message": f"for {number}"}}, id=0)
            return echoed, slow.result(10)

    with ThreadPoolExecutor(15) as callers:
        answers = list(callers.map(one, range(30)))

    assert [echoed["id"] for echoed, _ in answers] == [0] * 30
    assert [text(echoed) for echoed, _ in answers] == [f"for {number}" for number in range(30)]
    assert [text(slow) for _, slow in answers] == [f"slept {0.02 * (number % 3)}" for number in range(30)]


def test_point_03_get_and_delete_may_say_json_and_come_in_any_order(gentle):
    """The GET races `initialized`, and the DELETE races both; LiteLLM sends content-type with all of them."""
    json_type = {"content-type": "application/json"}
    with Http(gentle.url, version="2025-06-18", listen=False) as client:
        client.session = None
        with client.post_stream(initialize(0)) as opened:
            client.session = opened.headers["mcp-session-id"]
        before = client.get_stream(headers=json_type)
        initialized = client.post(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        deleted = client.delete(headers=json_type)
        after = client.get_stream(headers=json_type)
        late = client.post(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        again = client.delete(headers=json_type)
        statuses = [before.status, initialized.status_code, deleted.status_code, after.status, late.status_code, again.status_code]
        before.close()
        after.close()

        assert statuses == [200, 202, 200, 200, 202, 200]


def test_point_03_what_comes_after_the_delete_leaves_no_session_behind(start):
    """LiteLLM has a session for each call: one left over by each would fill --max-sessions in ten minutes."""
    bridge = start("echo", options=KIND)
    for _ in range(3):
        client = Http(bridge.url, version="2025-06-18", listen=False)
        client.open()
        client.delete()
        client.get_stream().close()
        client.notify("notifications/initialized")
        client.close(delete=False)

    eventually(lambda: status(bridge, "sessions") == 0, message="sessions stay after their DELETE")


def test_point_04_the_paths_answer_with_and_without_a_slash_and_the_endpoint_is_relative(gentle):
    """The SDK refuses an endpoint of another origin; behind a proxy ours would be one."""
    for path in ("/mcp", "/mcp/"):
        response = httpx.post(gentle.url + path, content=initialize(0), headers=HEADERS, follow_redirects=False)

        assert (response.status_code, response.json()["id"]) == (200, 0)

    for path in ("", "/"):
        with Sse(f"{gentle.url}") as client:
            response = client.http.send(client.http.build_request("GET", f"{gentle.url}/sse{path}"), stream=True)
            first = next(response.iter_lines()), response.status_code
            response.close()

            assert first == ("event: endpoint", 200)
            assert client.endpoint_data.startswith("/messages?session_id=")


def test_point_05_a_service_name_as_host_goes_where_it_is_allowed(start, gentle):
    """LiteLLM sends `Host: time:8000`. On loopback it has to be named: there a foreign Host is a rebound browser."""
    named = start("echo", options=[*KIND, "--allowed-host", "time"])
    statuses = []
    for bridge in (named, gentle):
        response = httpx.post(f"{bridge.url}/mcp", content=initialize(0), headers=HEADERS | {"host": "time:8000"})
        statuses.append(response.status_code)

    assert statuses == [200, 403]


@pytest.mark.parametrize("client", CLIENTS)
def test_point_06_initialize_and_ping_never_reach_the_child(gentle, client):
    for _ in range(5):
        with client(gentle.url, version="2025-06-18") as session:
            session.request("ping")
    with client(gentle.url, version="2025-06-18") as session:
        methods = [json.loads(line).get("method") for line in json.loads(text(session.call("received")))]

    assert methods.count("initialize") == 1
    assert methods.count("notifications/initialized") == 1
    assert "ping" not in methods


def test_point_06_a_list_does_not_wait_for_a_busy_child(start):
    """Every user's list asks every server, one after the other: a serial child in a long call would stall them all."""
    bridge = start("serial", options=KIND)
    with Http(bridge.url) as http, Sse(bridge.url) as sse:
        before = http.request("tools/list")["result"]
        busy = http.begin_call("slow", seconds=30)
        eventually(lambda: status(bridge, "in_flight") == 1)
        asked = time.monotonic()
        during = [client.request("tools/list")["result"] for client in (http, sse, http)]
        waited = time.monotonic() - asked

        assert during == [before] * 3
        assert waited < 10
        assert not busy.done()


# -- B. nothing ever makes LiteLLM's client raise ---------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
def test_point_07_every_failure_of_a_call_is_a_result(start, client):
    bridge = start(
        "dies",
        options=[
            *KIND,
            "--request-timeout",
            "2",
            "--backoff-initial",
            "0.01",
            "--backoff-max",
            "0.05",
            "--max-restarts",
            "50",
            "--max-line",
            "100k",
        ],
    )
    with client(bridge.url, version="2025-06-18") as session:
        failures = {
            "it broke": session.call("error"),
            "Unknown tool": session.call("nowhere"),
            "--request-timeout": session.call("slow", seconds=60),
            "--max-line": session.call("huge", bytes=200_000),
            "code 3": session.call("die"),
            "(code 4)": session.call("die", code=4),
            "SIGKILL": session.call("die", code=-9),
            "exit": session.call("die_mid_line"),
            "the server process": session.call("close_stdout"),
            "nested": session.call("echo", message=nested(200)),
        }

        for word, answer in failures.items():
            assert answer["result"]["isError"] is True, answer
            assert word in text(answer)
        assert text(session.call("echo", message="still there")) == "still there"


@pytest.mark.parametrize("client", CLIENTS)
def test_point_07_every_bad_result_becomes_a_good_one(bad, client):
    """What is good is said by the SDK's own models in tests/protocol; here: an answer comes, and it is a result."""
    with client(bad.url, version="2025-06-18") as session:
        for kind in json.loads(text(session.call("kinds"))):
            for tool in ("bad", "bad_structured"):
                answer = session.call(tool, kind=kind, timeout=5)

                assert isinstance(answer["result"]["content"], list), (tool, kind, answer)


def test_point_07_strict_passes_an_error_as_it_came(echo):
    with Http(echo.url) as client:
        assert client.call("error")["error"] == {"code": -32000, "message": "it broke", "data": {"kept": True}}


@pytest.mark.parametrize("client", CLIENTS)
def test_point_07_a_stop_answers_the_calls_that_are_under_way(start, client):
    bridge = start("echo", options=[*KIND, "--drain-timeout", "0.5"])
    with client(bridge.url, version="2025-06-18") as session:
        calls = [session.begin_call("slow", seconds=60) for _ in range(3)]
        eventually(lambda: status(bridge, "in_flight") == 3)
        bridge.stop()
        answers = [call.result(20) for call in calls]

        assert [answer["result"]["isError"] for answer in answers] == [True] * 3
        assert "shutting down" in text(answers[0])


@pytest.mark.parametrize("client", CLIENTS)
def test_point_08_no_tool_promises_an_output(gentle, echo, client):
    """LiteLLM's client raises where a result does not keep its tool's outputSchema."""
    tools = []
    for bridge in (gentle, echo):
        with client(bridge.url, version="2025-06-18") as session:
            tools.append({tool["name"]: tool for tool in session.request("tools/list")["result"]["tools"]})
            result = session.call("typed", value=3)["result"]

            assert result["structuredContent"] == {"value": 3}

    assert not any("outputSchema" in tool for tool in tools[0].values())
    assert "outputSchema" in tools[1]["typed"]
    own = [{name for name in listed if not name.startswith("added_")} for listed in tools]  # other tests add tools
    assert own[0] == own[1]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("how", ["error", "hang", "empty_result", "not_a_list"])
def test_point_09_a_list_that_worked_once_works_for_good(bad, client, how):
    """The SDK lists the tools after each call, and raises if that fails. In a session that never listed, too."""
    with client(bad.url, version="2025-06-18") as session:
        session.call("break_list", how="fine")
        before = session.request("tools/list")["result"]
        session.call("break_list", how=how)
        with client(bad.url, version="2025-06-18") as other:
            assert other.request("tools/list", id=4711)["result"] == before


@pytest.mark.parametrize("client", CLIENTS)
def test_point_09_a_list_that_only_the_bridge_has_seen_will_do(start, client):
    """After its restart LiteLLM may call before it lists; the child may have stopped listing by then."""
    bridge = start("bad_results", options=KIND)
    with client(bridge.url, version="2025-06-18") as session:
        session.call("break_list", how="error")

        assert "bad" in [tool["name"] for tool in session.request("tools/list")["result"]["tools"]]


@pytest.mark.parametrize("client", CLIENTS)
def test_point_09_a_list_is_answered_when_there_is_no_room_for_requests(start, client):
    bridge = start("echo", options=[*KIND, "--max-requests", "1"])
    with client(bridge.url, version="2025-06-18") as session:
        before = session.request("tools/list")["result"]
        busy = session.begin_call("slow", seconds=1)
        eventually(lambda: status(bridge, "in_flight") == 1)
        refused = session.call("echo", message="x")
        during = session.request("tools/list")["result"]

        assert refused["result"]["isError"] and "--max-requests" in text(refused)
        assert during == before
        assert text(busy.result(20)) == "slept 1"


@pytest.mark.parametrize("client", CLIENTS)
def test_point_09_a_list_is_answered_after_a_call_that_ended_in_the_drain(start, client):
    """A call that is finished in time must not fail by the list that LiteLLM sends after it."""
    bridge = start("echo", options=KIND)
    with client(bridge.url, version="2025-06-18") as session:
        before = session.request("tools/list")["result"]
        call = session.begin_call("slow", seconds=0.6)
        eventually(lambda: status(bridge, "in_flight") == 1)
        stopping = threading.Thread(target=bridge.stop)
        stopping.start()
        try:
            assert text(call.result(20)) == "slept 0.6"
            assert session.request("tools/list")["result"] == before
        finally:
            stopping.join()


def test_point_10_a_session_nobody_knows_is_served_all_the_same(gentle, echo):
    """LiteLLM does not open another one at a 404: the call fails, and 1.77.3 is wedged."""
    answers, refused = [], []
    for session in ("no-such-session", "x" * 500, None):
        for bridge, found in ((gentle, answers), (echo, refused)):
            headers = HEADERS | ({"mcp-session-id": session} if session else {})
            found.append(httpx.post(f"{bridge.url}/mcp", content=call(0, "echo", message="hi"), headers=headers))

    assert [text(answer.json()) for answer in answers] == ["hi"] * 3
    assert [answer.status_code for answer in refused] == [404, 404, 400]


def test_point_10_a_session_of_before_the_restart_goes_on_with_another_key(start):
    first = start("echo", options=KIND, env={"MCP_BRIDGE_SESSION_KEY": "a" * 32})
    client = Http(first.url, version="2025-06-18", listen=False)
    client.open()
    first.stop()
    port = first.url.rpartition(":")[2]
    start("echo", options=KIND, env={"MCP_BRIDGE_SESSION_KEY": "b" * 32}, port=port)

    assert text(client.call("echo", message="hi")) == "hi"
    assert "echo" in [tool["name"] for tool in client.request("tools/list")["result"]["tools"]]
    client.close()


def test_point_11_on_sse_a_post_is_accepted_and_what_is_wrong_comes_on_the_stream(start):
    """The SDK's SSE client does not look at a POST's status, and waits for the stream for ever."""
    bridge = start("echo", options=[*KIND, "--max-body", "10k", "--max-requests", "1"])
    with Sse(bridge.url, version="2025-06-18") as client:
        bodies = [
            call(11, "echo", message="x" * 20_000),
            call(12, "echo", message=nested(200)),
            call(13, "nowhere"),
            b'{"jsonrpc":"2.0","id":14,"method":"tools/call","params":[]}',
        ]
        for id, body in enumerate(bodies, 11):
            answered = client.waiting[str(id)] = type(client.begin("ping"))()
            status = client.post(body).status_code
            answer = answered.result(20)

            assert status == 202
            assert answer["result"]["isError"] is True
        statuses = [client.post(b"{no json").status_code, client.post(b'{"id":1}').status_code]

        assert statuses == [202, 202]
        assert client.request("ping")["result"] == {}


def test_point_11_strict_says_it_by_the_status(echo):
    with Sse(echo.url) as client:
        assert client.post(b"{no json").status_code == 400


# -- C. time --------------------------------------------------------------------------------------------------------------


def test_point_12_initialize_is_answered_soon_whatever_the_child_does(start):
    """A server that accepts and does not answer stalls every list by 30 s and more. 1.77.3 tries twice, each time."""
    bridge = start("never_answers", options=KIND, ready=False)
    asked = time.monotonic()
    for client in (Sse, Sse, Http, Http):
        session = client(bridge.url, version="2025-06-18")
        with pytest.raises(AssertionError, match="still starting"):  # a JSON-RPC error in a 200
            session.open()
        session.close()
    waited = time.monotonic() - asked

    assert waited < 10


def test_point_12_a_refusal_of_initialize_is_no_server_error(start):
    """A 503 there wedges LiteLLM 1.77.3."""
    kind = start("echo", options=[*KIND, "--max-sessions", "1"])
    strict = start("echo", options=["--max-sessions", "1"])
    statuses = {}
    for bridge in (kind, strict):
        with Http(bridge.url, listen=False, capabilities={"sampling": {}}):  # one that cannot be forgotten and taken up again
            response = httpx.post(f"{bridge.url}/mcp", content=initialize(0), headers=HEADERS)
            statuses[bridge] = response.status_code

            assert "--max-sessions" in response.json()["error"]["message"]

    assert statuses == {kind: 200, strict: 503}


def test_point_13_delete_is_quick_though_the_child_takes_its_time(start):
    bridge = start("deaf", "--only", "term", "--slow-eof", 2, options=[*KIND, "--isolation", "session"])
    with Http(bridge.url, version="2025-06-18") as client:
        client.request("ping")
        asked = time.monotonic()
        status = client.delete().status_code
        waited = time.monotonic() - asked

        assert status == 200
        assert waited < 1.8


@pytest.mark.parametrize("client", CLIENTS)
def test_point_13_idle_sessions_go_away_with_their_children(start, client):
    """A LiteLLM that is killed says no goodbye. (An SSE connection that is open is not idle.)"""
    bridge = start("echo", options=[*KIND, "--session-idle", "0.3", "--isolation", "session"])
    eventually(lambda: len(bridge.children()) == 1)
    session = client(bridge.url, version="2025-06-18", **({"listen": False} if client is Http else {}))
    session.open()
    session.call("echo", message="its child has started")
    if client is Sse:
        session.close()

    eventually(lambda: status(bridge, "sessions") == 0)
    eventually(lambda: len(bridge.children()) == 1)


def test_point_14_every_stream_shows_that_it_is_alive(start):
    """LiteLLM 1.77.3 gives up, and is wedged, after 300 s without a byte."""
    bridge = start("echo", options=[*KIND, "--keepalive", "0.3"])
    with Http(bridge.url, version="2025-06-18", listen=False) as client, Sse(bridge.url, version="2025-06-18") as sse:
        streams = [client.get_stream(headers={"content-type": "application/json"}), sse.stream]
        streams.append(client.post_stream(call(5, "slow", seconds=1.5)))
        sse_call = sse.begin_call("slow", seconds=1.5)
        for stream in streams:
            eventually(lambda stream=stream: sum(event.event == "comment" for event in stream.seen) >= 2)
        answer = streams[2].next_message()

        assert text(answer) == text(sse_call.result(20)) == "slept 1.5"
        assert streams[2].is_sse
        streams[0].close()

    assert Settings().keepalive <= 15


def test_point_14_what_is_quick_is_plain_json(gentle):
    with Http(gentle.url, version="2025-06-18", listen=False) as client:
        response = client.post(call(5, "echo", message="hi"))

        assert response.headers["content-type"] == "application/json"


def test_point_15_a_large_result_is_one_json_body(gentle):
    """SDK 2.x refuses a server-sent event above 1 MiB."""
    with Http(gentle.url, version="2025-06-18") as client:
        response = client.post(call(5, "huge", bytes=3 << 20))

        assert response.headers["content-type"] == "application/json"
        assert len(text(response.json())) == 3 << 20


# -- D. processes -----------------------------------------------------------------------------------------------------------


def test_point_16_one_child_is_there_before_anybody_asks_and_serves_all(start):
    bridge = start("echo", options=KIND)
    [warm] = bridge.children()
    pids = set()
    for client in CLIENTS * 5:
        with client(bridge.url, version="2025-06-18") as session:
            pids.add(int(text(session.call("pid"))))

    assert pids == {warm}
    assert bridge.children() == [warm]


def test_point_17_changes_of_lists_are_not_announced(start):
    """LiteLLM 1.109 opens four times the sessions when they are."""
    told = []
    for bridge in (start("echo", options=KIND), start("echo")):
        for client in CLIENTS:
            with client(bridge.url, version="2025-06-18") as session:
                capabilities = session.initialized["capabilities"]
                session.call("change")
                session.request("tools/list")
                told.append([capabilities["tools"].get("listChanged"), *(m["method"] for m in session.messages())])

    assert told == [[None]] * 2 + [[True, "notifications/tools/list_changed"]] * 2


@pytest.mark.parametrize("path", ["/mcp", "/sse"])
def test_point_18_a_token_comes_in_each_of_litellms_ways(start, tmp_path, path):
    (tmp_path / "tokens").write_text("litellm s3cret-0123456789\n")
    bridge = start("echo", options=[*KIND, "--token-file", tmp_path / "tokens"], headers={"x-api-key": "s3cret-0123456789"})
    ways = {
        "bearer_token": {"authorization": "Bearer s3cret-0123456789"},
        "api_key": {"x-api-key": "s3cret-0123456789"},
        "basic": {"authorization": "Basic czNjcmV0LTAxMjM0NTY3ODk="},
        "authorization": {"authorization": "s3cret-0123456789"},
        "nothing": {},
        "wrong": {"authorization": "Bearer guess"},
    }
    client, statuses = {"/mcp": Http, "/sse": Sse}[path], {}
    for way, headers in ways.items():
        try:
            with client(bridge.url, version="2025-06-18", headers=headers) as session:
                statuses[way] = text(session.call("echo", message="in"))
        except Refused as refused:
            statuses[way] = refused.status

    assert statuses == dict.fromkeys(["bearer_token", "api_key", "basic", "authorization"], "in") | {"nothing": 401, "wrong": 401}


# -- messages ---------------------------------------------------------------------------------------------------------------

HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


def initialize(id: int) -> bytes:
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "mcp", "version": "0.1.0"}}
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": params}).encode()


def ping(id: int) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": "ping"}).encode()


def call(id: int, tool: str, **arguments) -> bytes:
    """In the order in which LiteLLM's SDK writes it."""
    params = {"name": tool, "arguments": arguments}
    return json.dumps({"method": "tools/call", "params": params, "jsonrpc": "2.0", "id": id}).encode()


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def status(bridge: Bridge, what: str) -> int:
    [of_its_mcp] = bridge.status()["mcps"].values()
    return of_its_mcp[what]


def post(client: Http, versions: list[tuple[str, str]], body: bytes) -> httpx.Response:
    """With version headers just as they are given: also twice."""
    headers = [*HEADERS.items(), ("mcp-session-id", client.session), *versions]
    return client.http.post(client.endpoint, content=body, headers=headers)
