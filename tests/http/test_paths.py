"""Where things are: with and without a slash, behind a prefix, several in one process."""

import json
import re

import httpx
import pytest
from support import Bridge, Http, Sse, Ws, text, zoo
from wire import head, initialize, open_socket, read_until


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
def test_both_forms_work_without_a_redirect(echo, path):
    """Edge case 61."""
    response = httpx.post(echo.url + path, json=initialize(), headers={"accept": "*/*"}, trust_env=False)
    session = {"mcp-session-id": response.headers["mcp-session-id"]}

    assert response.status_code == 200
    assert httpx.delete(echo.url + path, headers=session, trust_env=False).status_code == 200
    assert httpx.delete(echo.url + path, headers=session, trust_env=False).status_code == 404


def endpoint_event(bridge, path="/sse", **headers) -> str:
    with open_socket(bridge.url) as connection:
        connection.sendall(head("GET", bridge.url, path, accept="text/event-stream", **headers))
        seen = read_until(connection, b"session_id=")
        return seen.rpartition(b"data: ")[2].partition(b"session_id")[0].decode()


@pytest.fixture
def proxied(around):
    return around("echo", options=("--trusted-proxy", "127.0.0.1"))


def test_the_endpoint_event_has_the_prefix_of_a_proxy(proxied):
    """Edge case 61."""
    assert endpoint_event(proxied, x_forwarded_prefix="/tools/time/") == "/tools/time/messages?"
    assert endpoint_event(proxied, "/sse/") == "/messages?"


def test_a_prefix_that_nobody_trusted_says_is_ignored(echo):
    assert endpoint_event(echo, x_forwarded_prefix="/tools/time/") == "/messages?"


@pytest.mark.parametrize(
    "prefix",
    [
        "//evil.example.com",
        "https://evil.example.com/",
        "/a\tb",
        "/a?b",
        "/a#",
        "evil",
        '/a"b',
        "/é",
        "/",
        "/a//b",
        "/a/../b",
        "/..",
        "/a/./b",
        "/a/%2e%2E",
        "/a/%2",
        "/a..b",
        "/a<b>",
        "/a, b",
        "/a\\b",
        "/" + "a" * 200,
    ],
)
def test_a_prefix_that_is_no_path_is_ignored(proxied, prefix):
    assert endpoint_event(proxied, x_forwarded_prefix=prefix) == "/messages?"


@pytest.mark.parametrize("prefix", ["/time", "/a/b-c_d.e~f", "/a%20b", "/@scope/x:y", "/" + "a" * 199])
def test_any_path_is_a_prefix(proxied, prefix):
    assert endpoint_event(proxied, x_forwarded_prefix=prefix) == f"{prefix}/messages?"


def test_the_operators_prefix_is_used(start):
    """Edge case 61. A proxy that says what it stripped knows better."""
    bridge = start("echo", options=["--root-path", "/gateway", "--trusted-proxy", "127.0.0.1"])

    assert endpoint_event(bridge) == "/gateway/messages?"
    assert endpoint_event(bridge, x_forwarded_prefix="/other") == "/other/messages?"
    assert endpoint_event(bridge, x_forwarded_prefix="//evil") == "/gateway/messages?"


def test_the_page_asks_for_what_is_beside_it_wherever_a_proxy_puts_it(proxied):
    """And so it is the same for everybody."""
    page = proxied.get("/", **{"x-forwarded-prefix": "/a&b"})

    assert re.findall(r'(?:href|src)="([^"#][^":]*)"', page.text) and not re.search(r'(href|src)="/(?!")', page.text)
    assert page.content == proxied.get("/").content


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """What desktop clients keep in their file; one of them cannot work."""
    file = tmp_path_factory.mktemp("config") / "mcp.json"
    command, *arguments = zoo("echo")
    servers = {
        "one": {"command": command, "args": arguments, "env": {"WHO": "one"}},
        "two": {"command": command, "args": arguments},
        "broken": {"command": command, "args": zoo("dies_at_start")[1:]},
    }
    file.write_text(json.dumps({"mcpServers": servers}))
    with Bridge(None, "--config", file, ready=False) as bridge:
        yield bridge


@pytest.mark.parametrize("name", ["one", "two"])
def test_several_are_served_below_their_names(several, connect, transport, name):
    client = connect(transport, f"{several.url}/{name}")

    assert json.loads(text(client.call("env"))).get("WHO") == ("one" if name == "one" else None)
    assert several.ready(name)["status"] == "ready"


def test_a_broken_one_does_not_touch_the_others(several, connect):
    broken, whole = several.ready("broken"), several.ready()

    assert broken["code"] == 503
    assert "API_KEY is not set" in broken["reason"]
    assert whole["code"] == 200
    assert whole["status"] == "degraded"
    assert "broken" in whole["reason"]
    assert text(connect(Http, f"{several.url}/one").call("echo", message="hi")) == "hi"


def test_the_session_of_one_is_unknown_to_another(several, connect):
    client = connect(Http, f"{several.url}/one", listen=False)
    response = httpx.delete(f"{several.url}/two/mcp", headers={"mcp-session-id": client.session}, trust_env=False)

    assert response.status_code == 404


def test_the_stream_of_one_is_unknown_to_another(several, connect):
    client = connect(Sse, f"{several.url}/one")
    stolen = client.endpoint.replace("/one/", "/two/")

    assert client.endpoint_data.startswith("/one/messages?session_id=")
    assert httpx.post(stolen, json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, trust_env=False).status_code == 404


def test_without_a_name_there_is_nothing(several):
    assert httpx.post(f"{several.url}/mcp", json=initialize(), trust_env=False).status_code == 404
    assert several.get("/three/mcp").status_code == 404
    assert several.get("/one").status_code == 404


def test_metrics_name_each(several):
    metrics = several.metrics()

    assert metrics.value("mcp_bridge_child_up", mcp="one") == 1
    assert metrics.value("mcp_bridge_child_up", mcp="broken") == 0


def test_websockets_need_their_name_too(several, connect):
    assert text(connect(Ws, f"{several.url}/two").call("echo", message="hi")) == "hi"
