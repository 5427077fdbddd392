"""What clients, proxies and checkers really send, a line each: where it comes from, the request, and what is right."""

import json
import shutil
import socket
import subprocess
import textwrap
from pathlib import Path

import httpx
import pytest
from environments import mcp_remote, sdk1
from support import Bridge, Http, eventually, zoo
from wire import ACCEPT, call, initialize, open_socket, read_until

OPEN = json.dumps(initialize()).encode()
SECRET = "a-token-for-tests"
PAGE = "https://app.example.com"


@pytest.fixture(scope="module")
def bridges(tmp_path_factory, around):
    """By the word that stands in the table."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "tokens").write_text(f"{SECRET}\n")
    command, *arguments = zoo("echo")
    (folder / "mcp.json").write_text(
        json.dumps({"mcpServers": {name: {"command": command, "args": arguments} for name in ("time", "notes")}})
    )
    with (
        Bridge(zoo("echo"), "--token-file", folder / "tokens", headers={"authorization": f"Bearer {SECRET}"}) as guarded,
        Bridge(None, "--config", folder / "mcp.json", ready=False) as several,
        Bridge(zoo("echo"), "--root-path", "/gateway/time", "--allowed-origin", PAGE) as prefixed,
    ):
        yield {
            "plain": around("echo", options=("--trusted-proxy", "127.0.0.1")),
            "guarded": guarded,
            "several": several,
            "prefixed": prefixed,
        }


def request(method: str, path: str, body: bytes = b"", version: str = "1.1", **headers) -> bytes:
    usual = {"host": "localhost", "content-type": "application/json", "accept": ACCEPT} if body else {"host": "localhost"}
    headers = usual | {name.replace("_", "-"): value for name, value in headers.items()}
    headers |= {"content-length": str(len(body))} if body else {}
    lines = [f"{method} {path} HTTP/{version}", *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode() + body


CASES = [  # where it comes from, which bridge, the request, the status, and what stands in the answer
    # checkers
    ("HAProxy httpchk: HTTP/1.0 without a Host", "plain", request("GET", "/healthz", version="1.0", host=None), 200, "ok"),
    (
        "HAProxy httpchk for readiness: the state alone",
        "plain",
        request("GET", "/readyz", version="1.0", host=None),
        200,
        '{"status":"ready","state":"ready"}',
    ),
    ("AWS load balancer: the address of a target as Host", "plain", request("GET", "/healthz", host="10.1.2.3:8000"), 200, "ok"),
    ("another Host gets nothing else", "plain", request("GET", "/status.json", host="10.1.2.3"), 403, "--allowed-host"),
    (
        "ApacheBench: HTTP/1.0 that keeps its connection",
        "plain",
        request("POST", "/mcp", OPEN, version="1.0", connection="keep-alive"),
        200,
        "serverInfo",
    ),
    # URLs that are nearly right
    ("a base URL with a slash joined to /mcp", "plain", request("POST", "//mcp", OPEN), 200, "serverInfo"),
    ("a base URL without /mcp", "plain", request("POST", "/", OPEN), 200, "serverInfo"),
    ("capitals", "plain", request("POST", "/MCP", OPEN), 200, "serverInfo"),
    ("/mcp added to an address that has it", "plain", request("POST", "/mcp/mcp", OPEN), 200, "serverInfo"),
    ("the name without /mcp", "several", request("POST", "/time", OPEN), 200, "serverInfo"),
    ("the name with capitals", "several", request("POST", "/Time/mcp/", OPEN), 200, "serverInfo"),
    ("a doubled name", "several", request("POST", "/time/time/mcp", OPEN), 200, "serverInfo"),
    ("no name at all", "several", request("POST", "/mcp", OPEN), 404, "/notes/mcp, /time/mcp"),
    ("another name", "several", request("GET", "/tine/mcp"), 404, "/time/mcp"),
    ("a prefix that nobody strips", "prefixed", request("POST", "/gateway/time/mcp", OPEN), 200, "serverInfo"),
    (
        "two proxies, each with a prefix",
        "plain",
        request("GET", "/sse", accept="text/event-stream", x_forwarded_prefix="/a, /b/", x_forwarded_for="198.51.100.7, 127.0.0.1"),
        200,
        "data: /a/b/messages?",
    ),
    ("a person at a wrong page", "plain", request("GET", "/help"), 404, "the MCP is at /mcp"),
    # a missing token is no OAuth maze
    ("mcp-remote after a 401: dynamic registration", "guarded", request("POST", "/register", b"{}"), 404, "there is no OAuth here"),
    ("… its authorization page", "guarded", request("GET", "/authorize?x=1"), 404, "there is no OAuth here"),
    ("… its token endpoint", "guarded", request("POST", "/token", b"{}"), 404, "there is no OAuth here"),
    ("… and all it looks for before", "guarded", request("GET", "/.well-known/oauth-authorization-server"), 404, "there is no OAuth here"),
    ("the 401 says what is missing", "guarded", request("POST", "/mcp", OPEN), 401, "Authorization: Bearer TOKEN"),
    # bodies
    ("a proxy that compresses requests", "plain", request("POST", "/mcp", OPEN, content_encoding="gzip"), 415, "accept-encoding: identity"),
    ("a coding that is none", "plain", request("POST", "/mcp", OPEN, content_encoding="identity"), 200, "serverInfo"),
    ("a charset that JSON has not", "plain", request("POST", "/mcp", OPEN, content_type="application/json; charset=utf-16"), 415, "UTF-8"),
    (
        "charset=UTF8 in quotes, as .NET says it",
        "plain",
        request("POST", "/mcp", OPEN, content_type='application/json; charset="utf-8"'),
        200,
        "serverInfo",
    ),
    # browsers
    (
        "a page that was let in asks first",
        "prefixed",
        request(
            "OPTIONS",
            "/mcp",
            origin=PAGE,
            access_control_request_method="POST",
            access_control_request_headers="authorization,content-type,last-event-id,mcp-method,mcp-name,mcp-param-city,mcp-protocol-version,mcp-session-id,x-api-key",
        ),
        200,
        "mcp-param-city",
    ),
    (
        "… reads its session's id",
        "prefixed",
        request("POST", "/mcp", OPEN, origin=PAGE),
        200,
        "access-control-expose-headers: Mcp-Session-Id",
    ),
    (
        "… and one that was not is refused",
        "prefixed",
        request("POST", "/mcp", OPEN, origin="https://evil.example.com"),
        403,
        "--allowed-origin",
    ),
    ("desktop web views have no origin to be let in by", "plain", request("POST", "/mcp", OPEN, origin="null"), 403, "--allowed-origin"),
]


@pytest.mark.parametrize("where, sent, status, said", [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_people_send_is_understood_or_refused_by_name(bridges, where, sent, status, said):
    with open_socket(bridges[where].url) as connection:
        connection.sendall(sent)
        connection.settimeout(5)
        seen = b""
        while said.encode() not in seen and (part := connection.recv(1 << 16)):
            seen += part

    assert seen.split()[1] == b"%d" % status, seen
    assert said in seen.decode()
    if b"HTTP/1.0" in sent.partition(b"\r\n")[0]:
        assert b"chunked" not in seen


@pytest.mark.parametrize("method, path", [("GET", "/sse"), ("GET", "/mcp"), ("POST", "/mcp")])
def test_an_event_stream_says_that_it_must_not_be_transformed_and_begins_at_once(echo, connect, method, path):
    """typescript-sdk#231: what compresses would hold events back until its block is full."""
    client = connect(Http, echo.url, listen=False)
    for id, version in enumerate(("1.1", "1.0"), 1):
        params = {"name": "progress", "arguments": {"steps": 3}, "_meta": {"progressToken": id}}
        body = json.dumps(call("progress", steps=3) | {"id": id, "params": params}).encode()
        with open_socket(echo.url) as connection:
            connection.sendall(
                request(method, path, body if method == "POST" else b"", version, accept="text/event-stream", mcp_session_id=client.session)
            )
            first = read_until(connection, b"\r\n\r\n")
            first += b"" if first.partition(b"\r\n\r\n")[2] else connection.recv(1 << 16)

        assert b"cache-control: no-cache, no-store, no-transform\r\n" in first
        assert b"x-accel-buffering: no\r\n" in first
        assert first.partition(b"\r\n\r\n")[2]
        assert (b"chunked" in first) == (version == "1.1")


# Behind proxies that compress

NGINX = """
    daemon off; pid {folder}/pid; error_log stderr; worker_processes 1;
    events {{ worker_connections 64; }}
    http {{
        access_log off; gzip on; gzip_min_length 0; gzip_proxied any; gzip_types *;
        client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
        server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {url}; {more} }} }}
    }}
"""
CADDY = """
    {{
        admin off
        auto_https off
    }}
    http://127.0.0.1:{port} {{
        encode gzip
        reverse_proxy {address}
    }}
"""
PROXIES = {"nginx": (NGINX, "proxy_http_version 1.1;"), "nginx, speaking HTTP/1.0": (NGINX, ""), "caddy": (CADDY, "")}


@pytest.fixture(params=PROXIES)
def proxied(request, echo, tmp_path):
    """The URL of a proxy in front of `echo` that compresses whatever it may."""
    template, more = PROXIES[request.param]
    program = request.param.partition(",")[0]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file = tmp_path / "config"
    file.write_text(
        textwrap.dedent(template.format(folder=tmp_path, port=port, url=echo.url, address=echo.url.partition("//")[2], more=more))
    )
    found = shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/bin:/bin")
    command = [found, "-c", file] if program == "nginx" else [found, "run", "--adapter", "caddyfile", "--config", file]
    with subprocess.Popen(
        list(map(str, command)), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    ) as process:
        try:
            eventually_answers(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def eventually_answers(port: int) -> None:
    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    eventually(answers)


def test_events_come_at_once_behind_a_proxy_that_compresses(proxied):
    with httpx.Client(base_url=proxied, trust_env=False, timeout=10) as client:
        opened = client.post("/mcp", json=initialize(), headers={"accept": ACCEPT})
        session = {"mcp-session-id": opened.headers["mcp-session-id"], "accept": ACCEPT}
        slow = call("progress", steps=2, pause=0.3, delay=0.2)  # Caddy 2.6 cuts answers off that begin before it saw the end of the body
        slow["params"]["_meta"] = {"progressToken": "p"}
        with client.stream("GET", "/sse", headers={"accept": "text/event-stream", "accept-encoding": "gzip"}) as stream:
            first = next(stream.iter_text())
        with client.stream("POST", "/mcp", json=slow, headers=session | {"accept-encoding": "gzip"}) as answer:
            parts = list(answer.iter_text())

    assert "event: endpoint" in first
    assert len(parts) > 1  # not all of it together
    assert "progressToken" in parts[0] or "id: " in parts[0]
    assert "2 steps" in parts[-1]


# The HTTP client of the JDK, which offers h2c with every request


def test_the_http_client_of_java_is_served(bridges):
    """uvicorn#2722, langchain4j#4582: its offers to upgrade hung, or lost the body."""
    source = Path(__file__).with_name("JavaClient.java")
    for where, token in (("plain", ""), ("guarded", SECRET), ("guarded", "wrong")):
        done = subprocess.run(
            ["java", "-XX:TieredStopAtLevel=1", str(source), bridges[where].url, token], capture_output=True, text=True, timeout=60
        )
        said = done.stdout.splitlines()

        assert said[:3] == (["initialize 401"] if token == "wrong" else ["initialize 200", "call 200", "large 200"]), (
            done.stdout + done.stderr
        )


# Clients without their token

SDK = """
import asyncio, sys
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.auth import OAuthClientMetadata

class Nothing:
    async def get_tokens(self): return None
    async def set_tokens(self, tokens): pass
    async def get_client_info(self): return None
    async def set_client_info(self, info): pass

async def main():
    told = OAuthClientMetadata(client_name="x", redirect_uris=["http://localhost:1/callback"])
    oauth = OAuthClientProvider(server_url=sys.argv[1], client_metadata=told, storage=Nothing(), redirect_handler=None, callback_handler=None)
    async with streamablehttp_client(sys.argv[1], auth=oauth) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()

asyncio.run(main())
"""


@pytest.mark.parametrize("client", ["mcp-remote", "the SDK"])
def test_a_client_without_its_token_ends_soon_and_says_why(bridges, tmp_path, client):
    """MCPJungle#289: after a 401 it looked for an authorization server, registered itself, and waited for a browser."""
    url = f"{bridges['guarded'].url}/mcp"
    command = [*mcp_remote(), url] if client == "mcp-remote" else [str(sdk1()), "-c", SDK, url]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    )

    assert done.returncode != 0
    assert "there is no OAuth here: send a static token" in done.stdout + done.stderr
