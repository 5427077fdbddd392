"""Who may come in: Host, Origin and token, on every endpoint."""

import socket
from base64 import b64encode

import httpx
import psutil
import pytest
from support import Bridge, Http, Sse, Ws, text, zoo
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as connect_socket
from wire import call, head, initialize, open_socket, open_websocket, read_until

from bridge.http.gate import Gate
from bridge.protocol.errors import Reason, Refusal

ENDPOINTS = [
    ("POST", "/mcp"),
    ("GET", "/mcp"),
    ("DELETE", "/mcp"),
    ("POST", "/mcp/"),
    ("GET", "/sse"),
    ("POST", "/messages"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/"),
    ("GET", "/status.json"),
    ("GET", "/nowhere"),
    ("OPTIONS", "/mcp"),
    ("GET", "/.well-known/oauth-protected-resource"),
]

CLIENT = httpx.Client(trust_env=False, timeout=5)


def status(bridge, method, path, **headers) -> int:
    """The status alone, so that a stream is no trouble."""
    with CLIENT.stream(method, bridge.url + path, headers=headers) as response:
        return response.status_code


@pytest.mark.parametrize(
    "name, value",
    [
        ("host", "evil.example.com"),
        ("host", "evil.example.com:80"),
        ("host", "localhost.evil.example.com"),
        ("host", "127.0.0.1.nip.io"),
        ("host", ""),
        ("origin", "https://evil.example.com"),
        ("origin", "null"),
        ("origin", ""),
        ("origin", "http://localhost.evil.example.com"),
        ("origin", "http://[::1"),
        ("origin", "localhost"),
        ("origin", "http://user@localhost"),
    ],
)
def test_a_foreign_host_or_origin_is_forbidden_everywhere(echo, name, value):
    """Edge case 60. Health is constant, and checkers name any Host, or none."""
    statuses = {(method, path): status(echo, method, path, **{name: value}) for method, path in ENDPOINTS}
    health = {("GET", "/healthz"): 200, ("GET", "/readyz"): 200} if name == "host" else {}

    assert statuses == dict.fromkeys(ENDPOINTS, 403) | health


@pytest.mark.parametrize("name, value", [("host", "evil.example.com"), ("origin", "https://evil.example.com"), ("origin", "null")])
def test_a_foreign_host_or_origin_is_forbidden_for_websockets(echo, name, value):
    """Edge case 60."""
    connection, answer = open_websocket(echo.url, **{name: value})
    connection.close()

    assert answer.split()[1] == b"403"


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1", "127.0.0.1:9999", "[::1]", "[::1]:8000", "LOCALHOST"])
@pytest.mark.parametrize("path", ["/healthz", "/sse", "/metrics"])
def test_this_machines_loopback_names_are_welcome(echo, host, path):
    """Edge case 60."""
    assert status(echo, "GET", path, host=host) == 200


@pytest.mark.parametrize("origin", [None, "http://localhost", "http://127.0.0.1:3000", "https://[::1]:6274", "http://LOCALHOST:1"])
@pytest.mark.parametrize("transport", [Http, Sse])
def test_no_origin_or_a_local_one_is_welcome(echo, connect, transport, origin):
    """Edge case 60. What we answer a browser shows to none of those pages without CORS."""
    client = connect(transport, echo.url, headers={"origin": origin} if origin else None)

    assert text(client.call("echo", message="hi")) == "hi"


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:6274", "chrome-extension://localhost", "ftp://127.0.0.1"]
)
def test_a_page_of_another_local_server_opens_no_websocket(echo, origin):
    """No CORS keeps a page from reading a WebSocket: any page that some program on this machine serves could use the MCP."""
    connection, answer = open_websocket(echo.url, origin=origin)
    connection.close()

    assert answer.split()[1] == b"403"


def test_a_page_of_this_very_origin_opens_a_websocket(echo, connect):
    assert text(connect(Ws, echo.url, headers={"origin": echo.url}).call("echo", message="hi")) == "hi"


@pytest.mark.parametrize("scheme", ["chrome-extension", "ftp", "file", "ws"])
def test_the_scheme_of_an_origin_counts(echo, scheme):
    assert status(echo, "GET", "/healthz", origin=f"{scheme}://localhost") == 403


def test_a_request_without_any_host_gets_health_alone(echo):
    for path, expected in (("/healthz", b"200"), ("/status.json", b"403")):
        with open_socket(echo.url) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())

            assert read_until(connection, b"\r\n").split()[1] == expected


def test_whoever_names_another_host_gets_the_state_alone(echo):
    assert set(echo.get("/readyz", host="10.0.0.1").json()) == {"status", "state"}
    assert len(echo.get("/readyz").json()) > 2


def test_the_gate_does_not_forget_whom_it_refused(echo):
    """The verdict on a Host is kept; a thousand others do not wash it away, nor fill the memory."""
    assert status(echo, "GET", "/metrics", host="first.example.com") == 403
    with httpx.Client(base_url=echo.url, trust_env=False) as client:
        statuses = {client.get("/metrics", headers={"host": f"h{n}.example.com"}).status_code for n in range(1100)}

    assert statuses == {403}
    assert status(echo, "GET", "/metrics", host="first.example.com") == 403
    assert status(echo, "GET", "/metrics", host="localhost") == 200


def test_refusals_are_counted(echo):
    def count(reason):
        return echo.metrics().value("mcp_bridge_gate_refusals_total", reason=reason)

    hosts, origins = count("host"), count("origin")
    status(echo, "GET", "/", host="evil")
    status(echo, "GET", "/", origin="null")

    assert (count("host"), count("origin")) == (hosts + 1, origins + 1)


def test_allowed_hosts_and_origins_are_welcome(start, connect):
    bridge = start(
        "echo", options=["--allowed-host", "time", "--allowed-host", "mcp.example.com:443", "--allowed-origin", "https://app.example.com/"]
    )

    assert status(bridge, "GET", "/metrics", host="time:8000") == 200
    assert status(bridge, "GET", "/metrics", host="TIME") == 200
    assert status(bridge, "GET", "/metrics", host="mcp.example.com:443") == 200
    assert status(bridge, "GET", "/metrics", host="mcp.example.com") == 403
    assert status(bridge, "GET", "/metrics", host="timer") == 403
    assert status(bridge, "GET", "/metrics", origin="https://app.example.com") == 200
    assert status(bridge, "GET", "/metrics", origin="http://app.example.com") == 403
    assert status(bridge, "GET", "/metrics", origin="https://app.example.com.evil.example.com") == 403
    assert text(connect(Ws, bridge.url, headers={"origin": "https://app.example.com"}).call("echo", message="hi")) == "hi"


def test_a_web_page_that_is_allowed_gets_its_cors_headers(around):
    bridge = around("echo", options=("--allowed-origin", "https://app.example.com"))
    asking = {
        "origin": "https://app.example.com",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,mcp-session-id,authorization,last-event-id,mcp-protocol-version",
    }
    asked = httpx.options(f"{bridge.url}/mcp", headers=asking, trust_env=False)
    posted = httpx.post(
        f"{bridge.url}/mcp", json=initialize(), headers={"origin": "https://app.example.com", "accept": "*/*"}, trust_env=False
    )

    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == "https://app.example.com"
    assert posted.status_code == 200
    assert posted.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "mcp-session-id" in posted.headers["access-control-expose-headers"].lower()


def test_nobody_gets_cors_headers_unasked(echo):
    response = httpx.post(
        f"{echo.url}/mcp", json=initialize(), headers={"origin": "http://localhost:3000", "accept": "*/*"}, trust_env=False
    )

    assert not [name for name in response.headers if name.startswith("access-control")]


def test_any_host_lets_no_rebound_page_in(around):
    """With `--allowed-host '*'` a page's own Host says nothing about it."""
    bridge = around("echo", options=("--allowed-host", "*"))

    assert status(bridge, "GET", "/metrics", host="anything.example.com") == 200
    assert status(bridge, "GET", "/metrics", host="evil.example.com", origin="http://evil.example.com") == 403


# Other addresses


def own_address() -> str | None:
    addresses = (address.address for found in psutil.net_if_addrs().values() for address in found if address.family.name == "AF_INET")
    return next((address for address in addresses if not address.startswith("127.")), None)


def test_bound_to_everything_its_own_address_and_name_are_welcome(start):
    """What a probe of Kubernetes or Prometheus asks for."""
    bridge = start("echo", options=["--host", "0.0.0.0"])
    port = bridge.url.rpartition(":")[2]

    assert status(bridge, "GET", "/metrics", host=f"{socket.gethostname()}:{port}") == 200
    assert status(bridge, "GET", "/metrics", host="evil.example.com") == 403
    assert status(bridge, "GET", "/metrics", host="8.8.8.8") == 403
    if own := own_address():
        assert httpx.get(f"http://{own}:{port}/metrics", trust_env=False).status_code == 200
        assert httpx.get(f"http://{own}:{port}/metrics", headers={"host": "evil.example.com"}, trust_env=False).status_code == 403
    assert bridge.logged("open to the network")


def test_an_ipv6_address_is_bound_and_welcome(tmp_path):
    """Edge case 60."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with Bridge(zoo("echo"), "--host", "::1") as bridge:
        assert bridge.url.startswith("http://[::1]:")
        for transport in (Http, Sse, Ws):
            with transport(bridge.url) as client:
                assert text(client.call("echo", message="six")) == "six"
        assert status(bridge, "GET", "/metrics", host="evil.example.com") == 403


def test_bound_to_everything_in_ipv6_its_own_ipv4_address_is_welcome():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    if not (own := own_address()):
        pytest.skip("this machine has only its loopback address")
    with Bridge(zoo("echo"), "--host", "::") as bridge:
        assert httpx.get(f"http://{own}:{bridge.url.rpartition(':')[2]}/metrics", trust_env=False).status_code == 200


# Tokens

SECRET = "s3cret-token-of-the-first"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    file = tmp_path_factory.mktemp("guarded") / "tokens"
    file.write_text(f"# who may\n\n{SECRET}\nbob bobs-token-is-another\n")
    with Bridge(zoo("echo"), "--token-file", file, headers={"authorization": f"Bearer {SECRET}"}) as bridge:
        yield bridge


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {SECRET}x"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer bob"},
        {"x-api-key": "wrong"},
        {"authorization": "Basic !!!"},
        {"cookie": SECRET},
    ],
)
def test_without_a_token_there_is_a_challenge_on_everything(guarded, headers):
    for method, path in [pair for pair in ENDPOINTS if "z" not in pair[1] and "well-known" not in pair[1] and pair[1] != "/"]:
        with CLIENT.stream(method, guarded.url + path, headers=headers) as response:
            assert response.status_code == 401, (method, path)
            assert response.headers["www-authenticate"].startswith("Bearer")


def test_the_page_for_people_needs_no_token_and_tells_nobody_anything(guarded, echo):
    """It is the same file everywhere, and asks for the token itself."""
    pages = [CLIENT.get(url + "/", headers={"authorization": "Bearer wrong"}).content for url in (guarded.url, echo.url)]

    assert pages[0] == pages[1] and b"echo" not in pages[0]


def test_without_a_token_there_is_no_websocket(guarded):
    for headers in ({}, {"authorization": "Bearer wrong"}):
        with pytest.raises(InvalidStatus) as refused:
            connect_socket("ws" + guarded.url[4:] + "/ws", additional_headers=headers, proxy=None)

        assert refused.value.response.status_code == 401
        assert refused.value.response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {SECRET}"},
        {"authorization": f"bearer  {SECRET}"},
        {"authorization": SECRET},
        {"x-api-key": SECRET},
        {"authorization": "Basic " + b64encode(SECRET.encode()).decode()},
        {"authorization": "Bearer bobs-token-is-another"},
    ],
)
def test_a_token_opens_everything_however_it_is_sent(guarded, connect, transport, headers):
    client = connect(transport, guarded.url, headers=headers)

    assert text(client.call("echo", message="hi")) == "hi"
    assert status(guarded, "GET", "/metrics", **headers) == 200


def test_a_token_in_the_query_is_none(guarded):
    assert status(guarded, "GET", f"/metrics?token={SECRET}&access_token={SECRET}") == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_needs_neither_token_nor_host(guarded, path):
    assert status(guarded, "GET", path) == 200
    assert status(guarded, "GET", path, host="evil.example.com") == 200


@pytest.mark.parametrize("path", ["/.well-known/oauth-protected-resource", "/.well-known/oauth-authorization-server", "/.well-known/x/mcp"])
def test_there_is_no_oauth_to_be_discovered(guarded, echo, path):
    """Edge case 62: anything but a 404 starts a dance."""
    for bridge in (guarded, echo):
        response = httpx.get(bridge.url + path, trust_env=False)
        assert response.status_code == 404
        assert response.json()


def test_a_token_is_asked_for_with_every_request_of_a_connection(guarded):
    with open_socket(guarded.url) as connection:
        connection.sendall(head("GET", guarded.url, "/metrics", authorization=f"Bearer {SECRET}"))
        read_until(connection, b"mcp_bridge_drops")
        connection.sendall(head("GET", guarded.url, "/status.json"))

        assert b"401" in read_until(connection, b"www-authenticate")


def test_no_token_is_ever_logged_or_given_to_the_child(guarded, connect):
    client = connect(Http, guarded.url, headers={"authorization": f"Bearer {SECRET}"})
    seen = (
        text(client.call("env"))
        + text(client.call("received"))
        + "\n".join(guarded.log)
        + guarded.get("/status.json").text
        + guarded.get("/metrics").text
    )

    assert SECRET not in seen
    assert "bobs-token" not in seen


def test_the_session_of_a_call_is_checked_after_its_token(guarded, connect):
    client = connect(Http, guarded.url, headers={"authorization": f"Bearer {SECRET}"}, listen=False)

    assert client.post(call("echo", message="x"), {"authorization": None}).status_code == 401
    assert client.post(call("echo", message="x"), {"mcp-session-id": None}).status_code == 400


def test_an_origin_that_is_called_like_another_header_is_counted_as_an_origin():
    """What is counted is the refusal's reason, not a word in it."""
    gate = Gate()
    refusal = gate.admit(b"/mcp", {b"host": b"localhost", b"origin": b"https://Host.example"}, None)

    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.ORIGIN
