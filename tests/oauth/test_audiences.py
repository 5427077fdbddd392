"""A token for one MCP of a bridge opens no other (RFC 8707; MCP "Authorization": a server accepts tokens for itself alone)."""

import json

import httpx
import pytest
from support import Bridge, Http, Sse, Ws, text, zoo
from support.issuing import Issuer
from websockets.exceptions import InvalidStatus

from bridge.oauth.audiences import Audiences

BASE = "https://mcp.example.com/tools"


@pytest.mark.parametrize(
    ("given", "good", "bad"),
    [
        ("https://h/time/mcp", ["time"], ["files", "", "mcp"]),
        ("https://h/deep/prefix/time/sse/", ["time"], ["files", "prefix"]),
        ("https://h/{mcp}/mcp", ["time", "files"], [""]),
        ("https://h/mcp", ["time", "files", ""], []),
        ("https://h", ["time", ""], []),
        ("api://bridge", ["time", ""], []),
        ("http://[bad", ["time", ""], []),
    ],
)
def test_an_audience_is_of_the_mcp_that_its_path_names_or_of_all(given, good, bad):
    audiences = Audiences([given], has_names=True)

    assert all(audiences.of(mcp) for mcp in good)
    assert not any(audiences.of(mcp) for mcp in bad)
    assert Audiences([given]).of("")  # of a bridge with one MCP


def test_an_audience_that_ends_with_a_name_could_mean_either():
    assert Audiences(["https://h/time/"], has_names=True).ambiguous(["time"]) == "https://h/time/"
    assert Audiences(["https://h/time/mcp", "https://h"], has_names=True).ambiguous(["time"]) is None
    assert Audiences(["https://h/time"]).ambiguous(["time"]) is None


@pytest.fixture(scope="module")
def issuer():
    with Issuer().serving() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def bridge(issuer, tmp_path_factory):
    file = tmp_path_factory.mktemp("audiences") / "mcps.json"
    command, *words = zoo("echo")
    file.write_text(json.dumps({"mcpServers": {name: {"command": command, "args": words} for name in ("time", "files")}}))
    audiences = ("--audience", BASE + "/{mcp}/mcp", "--audience", "api://whole", "--public-url", BASE)
    with Bridge(None, "--config", file, "--oidc-issuer", issuer.url, *audiences) as bridge:
        yield bridge


@pytest.mark.parametrize("client", [Http, Sse, Ws])
def test_a_token_for_one_mcp_opens_that_one_alone_on_every_way_in(bridge, issuer, connect, client):
    headers = {"authorization": f"Bearer {issuer.token(aud=f'{BASE}/time/mcp')}"}

    assert text(connect(client, f"{bridge.url}/time", headers=headers).call("echo", message="hi")) == "hi"
    with (
        pytest.raises((InvalidStatus, AssertionError, httpx.HTTPError, Exception)) as refused,
        client(f"{bridge.url}/files", headers=headers),
    ):
        pass
    assert "401" in str(refused.value)


def test_it_opens_no_page_of_all_and_the_pages_of_its_own(bridge, issuer):
    def status(path: str, audience: str | list[str]) -> int:
        return bridge.get(path, authorization=f"Bearer {issuer.token(aud=audience)}").status_code

    one, both, whole = f"{BASE}/time/mcp", [f"{BASE}/time/mcp", f"{BASE}/files/mcp"], "api://whole"
    assert [status(path, one) for path in ("/time/status.json", "/time/readyz")] == [200, 200]
    assert [status(path, one) for path in ("/files/status.json", "/files/readyz", "/status.json", "/metrics", "/files/log.json")] == [
        401
    ] * 5
    assert [status(path, both) for path in ("/time/status.json", "/files/status.json", "/status.json")] == [200, 200, 401]
    assert [status(path, whole) for path in ("/time/status.json", "/files/status.json", "/status.json", "/metrics")] == [200] * 4


def test_what_was_found_good_for_one_is_not_remembered_for_another(bridge, issuer):
    token = f"Bearer {issuer.token(aud=f'{BASE}/time/mcp')}"
    asked = [bridge.get(path, authorization=token).status_code for path in ("/time/readyz", "/files/readyz") * 2]

    assert asked == [200, 401, 200, 401]


def test_a_client_is_led_to_a_token_for_the_address_that_it_typed(bridge):
    """RFC 9728, 3.3: the challenge's metadata names the resource that its path stands in."""
    for name in ("time", "files"):
        challenge = bridge.http.post(f"/{name}/mcp", json={}).headers["www-authenticate"]
        where = f"{BASE}/.well-known/oauth-protected-resource/{name}/mcp"

        assert f'resource_metadata="{where}"' in challenge
        assert bridge.get(where.removeprefix(BASE)).json()["resource"] == f"{BASE}/{name}/mcp"


def test_an_audience_that_would_be_good_for_all_by_mistake_is_refused_at_the_start(tmp_path, capsys):
    from bridge.cli import main

    (tmp_path / "mcps.json").write_text(json.dumps({"mcpServers": {"time": {"command": "true"}}}))
    words = ["serve", "--config", str(tmp_path / "mcps.json"), "--oidc-issuer", "https://x.example.com", "--audience", "https://h/time"]

    assert main(words) == 2
    assert "https://h/time/mcp for that one, or {mcp}" in capsys.readouterr().err
