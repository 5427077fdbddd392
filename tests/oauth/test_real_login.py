"""Real clients log in by themselves: a real authorization server, the SDK's OAuth client, and mcp-remote."""

import asyncio
import json
import re
import subprocess
import time
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import httpx2
import jwt
import pytest
from environments import authorizing, mcp_remote
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata
from support import Bridge, eventually, zoo

SCOPE = "mcp:call"
REDIRECT = "http://localhost:1/callback"


class Storage:
    """Of one client: what it was given."""

    def __init__(self):
        self.tokens = self.client = None
        self.issued: list[str] = []

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens
        self.issued.append(tokens.access_token)

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


def browse(url: str, until: str) -> str:
    """What a browser does whose user agrees to everything: the address that it is sent to in the end, which is not opened."""
    with httpx.Client(trust_env=False, timeout=20) as browser:
        for _ in range(20):
            response = browser.get(url)
            assert response.is_redirect, response.text[:500]
            url = urljoin(url, response.headers["location"])
            if url.startswith(until):
                return url
    raise AssertionError(f"sent around without end: {url}")


def client_of(url: str, storage: Storage) -> OAuthClientProvider:
    visited: list[str] = []

    async def redirect(address: str) -> None:
        visited.append(await asyncio.to_thread(browse, address, REDIRECT))

    async def callback() -> AuthorizationCodeResult:
        query = parse_qs(urlsplit(visited[-1]).query)
        return AuthorizationCodeResult(**{name: query[name][0] for name in ("code", "state", "iss") if name in query})

    told = OAuthClientMetadata(client_name="tests", redirect_uris=[REDIRECT], token_endpoint_auth_method="none")
    return OAuthClientProvider(url, told, storage, redirect, callback)


async def call_twice(url: str, storage: Storage, pause_until=lambda: True) -> list[str]:
    async with httpx2.AsyncClient(auth=client_of(url, storage), timeout=20, trust_env=False) as http:
        async with streamable_http_client(url, http_client=http) as streams, ClientSession(streams[0], streams[1]) as session:
            await session.initialize()
            first = await session.call_tool("echo", {"message": "one"})
            while not pause_until():
                await asyncio.sleep(0.05)
            second = await session.call_tool("echo", {"message": "two"})
            return [result.content[0].text for result in (first, second)]


@pytest.fixture(scope="module")
def issuer():
    with authorizing(SCOPE) as issuer:
        yield issuer


@pytest.fixture(scope="module")
def bridge(issuer):
    with bridge_for(issuer) as bridge:
        yield bridge


def bridge_for(issuer: str, port: int = 0) -> Bridge:
    """It takes tokens that are for its own address, which is known only when it listens: so it has a port of its own choice before."""
    from environments.processes import free_port

    port = port or free_port()
    audience = f"http://127.0.0.1:{port}/mcp"
    return Bridge(zoo("echo"), "--oidc-issuer", issuer, "--audience", audience, "--required-scope", SCOPE, "--jwt-leeway", "0", port=port)


def test_the_sdks_client_finds_the_issuer_registers_logs_in_and_calls(bridge):
    storage = Storage()

    assert asyncio.run(call_twice(f"{bridge.url}/mcp", storage)) == ["one", "two"]
    assert storage.tokens.scope == SCOPE
    assert len(storage.issued) == 1


def test_the_sdks_client_logs_in_anew_when_its_token_expires_and_its_session_goes_on():
    with authorizing(SCOPE, seconds=3) as issuer, bridge_for(issuer) as bridge:
        storage = Storage()

        def has_expired() -> bool:
            return time.time() > jwt.decode(storage.issued[-1], options={"verify_signature": False})["exp"] + 1

        assert asyncio.run(call_twice(f"{bridge.url}/mcp", storage, has_expired)) == ["one", "two"]
        assert len(storage.issued) >= 2


def test_a_token_for_another_service_of_the_same_issuer_is_none(bridge, issuer):
    """RFC 8707: it is what that other service would use here."""
    storage = Storage()
    with bridge_for(issuer) as other:
        asyncio.run(call_twice(f"{other.url}/mcp", storage))
    response = httpx.post(f"{bridge.url}/mcp", json={}, headers={"authorization": f"Bearer {storage.issued[0]}"}, trust_env=False)

    assert response.status_code == 401
    assert "audience is none of ours" in response.headers["www-authenticate"]


def test_mcp_remote_logs_in_by_a_browser_and_calls(bridge, tmp_path):
    """What desktop programs use."""
    (tmp_path / "xdg-open").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "xdg-open").chmod(0o755)
    env = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin", "BROWSER": "true"}
    with (tmp_path / "log").open("wb") as log:
        command = [*mcp_remote(), f"{bridge.url}/mcp", "--allow-http"]
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=env)
        try:
            say(client, "initialize", 1, protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "x", "version": "1"})
            address = eventually(lambda: re.search(rf"{'http://127.0.0.1'}:\d+/auth\?\S+", (tmp_path / "log").read_text()), 30)[0]
            done = browse(address, "http://localhost")
            assert httpx.get(done.replace("localhost", "127.0.0.1"), trust_env=False, timeout=20).status_code == 200
            assert answer(client, 1)["result"]["serverInfo"]["name"]
            say(client, "notifications/initialized")
            say(client, "tools/call", 2, name="echo", arguments={"message": "hi"})

            assert answer(client, 2)["result"]["content"][0]["text"] == "hi"
        finally:
            client.kill()
            client.wait(5)


def say(client: subprocess.Popen, method: str, id: int | None = None, **params) -> None:
    message = {"jsonrpc": "2.0", "method": method, "params": params} | ({"id": id} if id is not None else {})
    client.stdin.write(json.dumps(message).encode() + b"\n")
    client.stdin.flush()


def answer(client: subprocess.Popen, id: int) -> dict:
    for line in client.stdout:
        message = json.loads(line)
        if message.get("id") == id:
            return message
    raise AssertionError("mcp-remote left")
