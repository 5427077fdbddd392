"""An MCP that is hidden from a caller and one that does not exist are the same to it, byte for byte, whatever it asks and however."""

import hashlib
import json
import re
import socket
from itertools import product

import httpx
import pytest
from support import Bridge, eventually, zoo
from support.issuing import AUDIENCE, Issuer

TOKENS = {name: f"{name}-0123456789-0123456789" for name in ("part", "boss", "scrape", "full")}
RIGHTS = {
    "part": {"may": {"seen/*": "execute"}},
    "boss": {"may": {"*/*": "admin", "files/*": "deny", "*/tool:pid": "deny"}},
    "scrape": {"metrics": True},
    "full": {"may": {"*/*": "admin"}},
}
HIDDEN, ABSENT = "files", "filez"  # of the same length, for Content-Length
INITIALIZE = (
    b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},'
    b'"clientInfo":{"name":"t","version":"1"}}}'
)
MODERN = (
    b'{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    b'"io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}'
)
UPGRADE = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
PATHS = [
    *(f"/NAME{rest}" for rest in ("/mcp", "/mcp/", "/sse", "/messages?session_id=x", "/ws", "/readyz", "/healthz", "/status.json")),
    *(f"/NAME{rest}" for rest in ("", "/", "/metrics", "/mcp/mcp", "/register", "/readyz/", "/.well-known/oauth-protected-resource")),
    *("/NAME/NAME/mcp", "//NAME/mcp", "/NAME/MCP", "/metrics/NAME", "/-/reload/NAME", "/%66ile" + "{last}" + "/mcp"),
    *(f"/.well-known/oauth-protected-resource/NAME{rest}" for rest in ("/mcp", "/mcp/", "", "/sse", "/ws", "/readyz", "/x")),
    *("/.well-known/oauth-authorization-server/NAME/mcp", "/NAME/.well-known/openid-configuration"),
    *("/NAME/tools.json", "/-/servers/NAME", "/-/servers/NAME/", "/-/tools/NAME", "/-/openapi.json/NAME"),
]
KINDS = {  # method, more of the head, and body
    "get": ("GET", "accept: text/html\r\n", b""),
    "listen": ("GET", "accept: text/event-stream\r\n", b""),
    "head": ("HEAD", "", b""),
    "initialize": ("POST", "content-type: application/json\r\naccept: application/json, text/event-stream\r\n", INITIALIZE),
    "discover": ("POST", "content-type: application/json\r\naccept: */*\r\nmcp-protocol-version: 2026-07-28\r\n", MODERN),
    "garbage": ("POST", "content-type: text/plain\r\n", b"{"),
    "delete": ("DELETE", "mcp-session-id: x\r\n", b""),
    "put": ("PUT", "", b"x"),
    "options": ("OPTIONS", "origin: https://page.example.com\r\naccess-control-request-method: POST\r\n", b""),
    "socket": ("GET", UPGRADE, b""),
    "socket of a page": ("GET", UPGRADE + "origin: https://page.example.com\r\n", b""),
    "foreign": ("GET", "host: evil.example.com\r\n", b""),
}


def said(bridge: Bridge, path: str, kind: str, key: str | None) -> bytes:
    """Every byte of the answer, but for the time of day."""
    method, head, body = KINDS[kind]
    host = "" if "host:" in head else f"host: {bridge.url.removeprefix('http://')}\r\n"
    shown = f"authorization: Bearer {key}\r\n" if key else ""
    closing = "" if "upgrade" in head else "connection: close\r\n"
    whole = f"{method} {path} HTTP/1.1\r\n{host}{shown}{closing}{head}content-length: {len(body)}\r\n\r\n".encode() + body
    address, _, port = bridge.url.removeprefix("http://").partition(":")
    answer = b""
    with socket.create_connection((address, int(port)), 10) as connection:
        connection.sendall(whole)
        while not is_whole(answer, method) and (more := connection.recv(65536)):
            answer += more
    return re.sub(rb"date: [^\r]*\r\n", b"", answer, flags=re.IGNORECASE)


def is_whole(answer: bytes, method: str) -> bool:
    head, found, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(found) and (method == "HEAD" or (length is not None and len(body) >= int(length[1])))


def named(path: str, name: str) -> str:
    return path.replace("NAME", name).replace("{last}", name[-1])


@pytest.fixture(scope="module")
def issuer():
    with Issuer().serving() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hidden")
    callers = {name: {"token_sha256": hashlib.sha256(TOKENS[name].encode()).hexdigest(), **rights} for name, rights in RIGHTS.items()}
    (folder / "callers.json").write_text(json.dumps({"callers": callers}))
    configure(folder)
    return folder


def configure(folder, **more) -> None:
    mcps = {"seen": zoo("echo"), HIDDEN: zoo("slow_start", "600"), **more}
    servers = {name: {"command": command, "args": words} for name, (command, *words) in mcps.items()}
    (folder / "mcps.json").write_text(json.dumps({"mcpServers": servers}))


@pytest.fixture(scope="module")
def bridge(folder, issuer):
    options = ("--config", folder / "mcps.json", "--callers", folder / "callers.json")
    tokens = ("--oidc-issuer", issuer.url, "--audience", AUDIENCE, "--drain-timeout", "0")
    with Bridge(None, *options, *tokens, headers={"authorization": f"Bearer {TOKENS['full']}"}) as bridge:
        eventually(lambda: bridge.ready("seen")["state"] == "ready")
        yield bridge


@pytest.mark.parametrize("caller", ["part", "boss", "scrape", "nobody", "wrong", "stranger"])
def test_nothing_tells_a_hidden_mcp_from_one_that_does_not_exist(bridge, issuer, caller):
    """part may use another one, boss is admin of all others, stranger has a good JWT and is no caller."""
    keys = TOKENS | {"nobody": None, "wrong": "wrong-0123456789-0123456789", "stranger": issuer.token()}
    different = []
    for path, kind in product(PATHS, KINDS):
        hidden, absent = (said(bridge, named(path, name), kind, keys[caller]) for name in (HIDDEN, ABSENT))
        if hidden.replace(b"iles", b"ilez") != absent and b"HTTP/1.1 429" not in (hidden[:12], absent[:12]):
            different.append((kind, path, hidden, absent))
        assert hidden.startswith(b"HTTP/1.1 4") or b"oauth-protected" in path.encode() or kind == "options", (path, kind, hidden)

    assert not different


def test_no_page_names_what_is_hidden(bridge):
    pages = (
        "/",
        "/status.json",
        "/readyz",
        "/metrics",
        "/nowhere",
        "/-/servers",
        "/-/tools",
        "/-/resources",
        "/-/prompts",
        "/seen/tools.json",
        "/seen/log.json",
    )
    for caller in ("part", "boss", "nobody"):
        headers = {"authorization": f"Bearer {TOKENS[caller]}"} if caller != "nobody" else {"authorization": ""}
        for path in pages:
            said = bridge.http.get(path, headers=headers).text

            assert HIDDEN not in said, (caller, path)
            if caller == "boss":  # to whom this tool is denied
                assert '"pid"' not in said.replace('"pid":', "") and "\npid\n" not in said, path


def test_metrics_of_an_admin_leave_out_what_is_denied_and_those_of_who_may_scrape_do_not(bridge):
    def metrics(caller: str) -> str:
        return bridge.http.get("/metrics", headers={"authorization": f"Bearer {TOKENS[caller]}"}).text

    assert 'mcp="seen"' in metrics("boss") and HIDDEN not in metrics("boss")
    assert "mcp_bridge_build_info" in metrics("boss")
    assert f'mcp="{HIDDEN}"' in metrics("full") and f'mcp="{HIDDEN}"' in metrics("scrape")


def test_a_reload_tells_an_admin_nothing_of_what_is_denied(bridge, folder):
    def reload(caller: str):
        return bridge.http.post("/-/reload", headers={"authorization": f"Bearer {TOKENS[caller]}"})

    assert reload("boss").json() == {"added": [], "changed": [], "removed": [], "unchanged": ["seen"]}
    assert reload("full").json()["unchanged"] == ["seen", HIDDEN]
    configure(folder, files=["/no/such/program"])
    try:
        refused = reload("boss")
        assert refused.status_code == 200 and HIDDEN not in refused.text
        (folder / "mcps.json").write_text("{")
        refused = reload("boss")
        assert refused.status_code == 400 and str(folder) not in refused.text
        assert str(folder) in reload("full").json()["error"]
        assert bridge.logged(str(folder / "mcps.json"))
    finally:
        configure(folder)
        assert reload("full").status_code == 200


def test_probes_without_a_key_see_the_process_and_no_mcp(bridge):
    """Docker and Kubernetes ask them."""
    asked = {path: httpx.get(bridge.url + path, trust_env=False) for path in ("/healthz", "/readyz", "/seen/readyz")}

    assert (asked["/healthz"].status_code, asked["/healthz"].text) == (200, "ok\n")
    assert (asked["/readyz"].status_code, asked["/readyz"].json()) == (200, {"status": "ready"})
    assert asked["/seen/readyz"].status_code == 401
    for caller, seen in {"part": {"status", "state"}, "full": {"status", "state", "reason", "mcp"}}.items():
        assert set(bridge.http.get("/seen/readyz", headers={"authorization": f"Bearer {TOKENS[caller]}"}).json()) == seen
