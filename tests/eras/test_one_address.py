"""One address for both eras: each request shows by itself to which it belongs. docs/protocol.md, 1.4."""

import json

import pytest
from support import Bridge, Http, Modern, Ws, envelope, text

VERSION = {"mcp-protocol-version": "2026-07-28"}
INITIALIZE = {
    "jsonrpc": "2.0", "id": "hello", "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}},
}  # fmt: skip


@pytest.fixture(params=["modern", "echo"])
def bridge(request, around) -> Bridge:
    return around(request.param)


@pytest.fixture
def raw(bridge) -> Http:
    """Never opened: it only posts."""
    return Http(bridge.url, listen=False)


def code(response) -> tuple[int, int | None]:
    return response.status_code, response.json().get("error", {}).get("code")


def test_initialize_with_an_envelope_is_a_modern_request(raw):
    """Edge case 2: and as such it is not found."""
    body = INITIALIZE | {"params": INITIALIZE["params"] | {"_meta": envelope()}}
    response = raw.post(body, VERSION | {"mcp-method": "initialize"})

    assert code(response) == (404, -32601)
    assert response.json()["id"] == "hello"
    assert "mcp-session-id" not in response.headers


def test_initialize_without_an_envelope_may_not_name_the_new_revision(raw):
    """Edge case 3."""
    response = raw.post(INITIALIZE, VERSION)

    assert code(response) in [(400, -32020), (400, -32602)]
    assert "mcp-session-id" not in response.headers


@pytest.mark.parametrize("headers", [{}, {"mcp-protocol-version": "2025-06-18"}, {"mcp-method": "initialize"}])
def test_any_other_initialize_opens_a_session(raw, headers):
    response = raw.post(INITIALIZE, headers)

    assert response.status_code == 200
    assert response.headers["mcp-session-id"]


@pytest.mark.parametrize("wanted", ["2026-07-28", "2099-01-01"])
def test_a_handshake_never_ends_in_the_new_revision(bridge, connect, transport, wanted):
    assert connect(transport, bridge.url, version=wanted).version == "2025-11-25"


@pytest.mark.parametrize("version", ["garbage", "2025-13-45", "1999-01-01", "2099-01-01", "9999"])
def test_a_header_that_names_no_revision_is_refused(raw, version):
    response = raw.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, {"mcp-protocol-version": version})

    assert response.status_code == 400


@pytest.mark.parametrize("version", [None, "2025-03-26", "2025-06-18", "2025-11-25"])
def test_a_request_of_the_old_revisions_needs_a_session(raw, version):
    response = raw.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, {"mcp-protocol-version": version})

    assert response.status_code == 400


def test_clients_of_both_eras_are_served_side_by_side(bridge, connect, transport):
    old, new = connect(transport, bridge.url), connect(Modern, bridge.url)
    for number in range(3):
        assert text(old.call("echo", message=f"old {number}")) == f"old {number}"
        assert text(new.call("echo", message=f"new {number}")) == f"new {number}"


def test_one_that_has_a_session_may_go_over_to_the_new_era_and_back(bridge, connect):
    old, new = connect(Http, bridge.url, listen=False), connect(Modern, bridge.url)
    carried = new.send("tools/call", {"name": "echo", "arguments": {"message": "new"}}, headers={"mcp-session-id": old.session})

    assert text(carried.json()) == "new"
    assert text(old.call("echo", message="still")) == "still"


def test_a_hundred_calls_of_both_eras_with_the_same_ids_are_not_mixed_up(bridge, connect):
    """Edge case 16, across the eras."""
    clients = [
        connect(kind, bridge.url, **more)
        for kind, more in ((Http, {"listen": False}), (Modern, {}), (Http, {"listen": False}), (Modern, {}))
    ]
    called = [
        (client, n, client.begin("tools/call", {"name": "echo", "arguments": {"message": f"{i} {n}"}}, id=n))
        for n in range(25)
        for i, client in enumerate(clients)
    ]
    answers = [(text(future.result(10)), f"{clients.index(client)} {n}") for client, n, future in called]

    assert [got for got, _ in answers] == [wanted for _, wanted in answers]


def test_an_envelope_does_not_hide_behind_an_old_header(raw, bridge, connect):
    """The body decides, and then its headers have to agree."""
    client = connect(Modern, bridge.url)

    assert code(client.send("tools/list", headers={"mcp-protocol-version": "2025-11-25"})) == (400, -32020)
    assert code(client.send("tools/list", headers={"mcp-protocol-version": None})) == (400, -32020)


def test_the_new_era_has_no_other_transport(bridge, connect):
    """An envelope on /sse or /ws is only a `_meta`: these transports end with 2025-11-25."""
    client = connect(Ws, bridge.url)
    answer = client.request("tools/call", {"name": "echo", "arguments": {"message": "hi"}, "_meta": envelope()})

    assert "error" in answer or text(answer) == "hi"
    assert text(client.call("echo", message="on")) == "on"


def test_status_and_metrics_name_both_eras(bridge, connect):
    connect(Http, bridge.url, listen=False).call("echo", message="x")
    connect(Modern, bridge.url).call("echo", message="x")
    [mcp] = bridge.status()["mcps"].values()
    metrics = bridge.metrics()

    assert mcp["child_era"] in ("legacy", "modern", "dual"), json.dumps(mcp)[:500]
    for era in ("legacy", "modern"):
        assert metrics.value("mcp_bridge_requests_total", method="tools/call", client_era=era) >= 1
