"""A bridge that lets JWTs in: on every way in, with keys that come, go and do not answer."""

import hashlib
import json
import signal
import time

import httpx
import jwt
import pytest
from support import Bridge, Http, Modern, Refused, Sse, Ws, eventually, text, zoo
from support.issuing import AUDIENCE, MADE, Issuer, Key
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as connect_socket

SCOPE = "mcp:call"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
}


@pytest.fixture(scope="module")
def issuer():
    with Issuer(Key("one"), Key("two", "ES256")).serving() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def bridge(issuer):
    with Bridge(zoo("echo"), *options(issuer), "--required-scope", SCOPE, "--trusted-proxy", "127.0.0.1") as bridge:
        yield bridge


def options(issuer: Issuer, *more: str) -> list[str]:
    return ["--oidc-issuer", issuer.url, "--audience", AUDIENCE, "--jwt-leeway", "0", *more]


def post(bridge, token: str | None = None, **headers) -> httpx.Response:
    named = {"authorization": f"Bearer {token}"} if token else {}
    headers = {"accept": "application/json, text/event-stream"} | named | headers
    return httpx.post(f"{bridge.url}/mcp", json=INITIALIZE, headers=headers, trust_env=False, timeout=20)


def challenge(response: httpx.Response) -> dict[str, str]:
    scheme, _, parameters = response.headers["www-authenticate"].partition(" ")
    assert scheme == "Bearer"
    return {name: value.strip('"') for name, _, value in (part.partition("=") for part in parameters.split(", "))}


@pytest.mark.parametrize("client", [Http, Sse, Ws, Modern])
@pytest.mark.parametrize("key", [0, 1])
def test_a_good_token_opens_every_way_in(bridge, issuer, connect, client, key):
    token = issuer.token(issuer.keys[key], scope=f"openid {SCOPE}")
    talk = connect(client, bridge.url, headers={"authorization": f"Bearer {token}"})

    assert [text(talk.call("echo", message=str(n))) for n in range(3)] == ["0", "1", "2"]


@pytest.mark.parametrize("client", [Sse, Ws])
def test_a_bad_token_opens_none(bridge, issuer, client):
    for token in (issuer.token(exp=1, scope=SCOPE), issuer.token(), "x.y.z", "x"):
        with (
            pytest.raises((Refused, InvalidStatus, httpx.HTTPError, AssertionError)),
            client(bridge.url, headers={"authorization": f"Bearer {token}"}),
        ):
            pass


def test_who_shows_nothing_is_told_where_to_get_a_token_and_of_no_error(bridge, issuer):
    """RFC 6750, 3.1; RFC 9728, 5.1."""
    response = post(bridge)

    assert response.status_code == 401
    assert challenge(response) == {
        "realm": "mcp-bridge",
        "scope": SCOPE,
        "resource_metadata": f"{bridge.url}/.well-known/oauth-protected-resource/mcp",
    }


@pytest.mark.parametrize(
    ("claims", "status", "error", "why"),
    [
        ({"exp": 1}, 401, "invalid_token", "the token has expired"),
        ({"aud": "https://other.example.com"}, 401, "invalid_token", "the token is for somebody else: its audience is none of ours"),
        ({}, 403, "insufficient_scope", f"the token lacks the scope {SCOPE}"),
        ({"scope": "openid"}, 403, "insufficient_scope", f"the token lacks the scope {SCOPE}"),
        ({"scope": SCOPE, "sub": None}, 401, "invalid_token", "the token has no subject"),
    ],
)
def test_a_token_that_does_not_do_is_refused_by_name(bridge, issuer, claims, status, error, why):
    response = post(bridge, issuer.token(**claims))
    told = challenge(response)

    assert (response.status_code, told["error"], told["error_description"], told["scope"]) == (status, error, why, SCOPE)
    assert response.json()["error"]["message"] == why
    assert "resource_metadata" in told


@pytest.mark.parametrize(
    "header",
    [
        {"authorization": "Bearer {}"},
        {"authorization": "bearer  {}"},
        {"authorization": "{}"},
        {"authorization": "Bearer Bearer {}"},
        {"x-api-key": "{}"},
        {"x-api-key": "Bearer {}"},
    ],
)
def test_a_token_may_come_as_litellm_of_each_version_sends_it(bridge, issuer, header):
    token = issuer.token(scope=SCOPE)

    assert post(bridge, **{name: value.format(token) for name, value in header.items()}).status_code == 200


def test_a_session_belongs_to_the_subject_not_to_the_token(bridge, issuer):
    id = post(bridge, issuer.token(scope=SCOPE)).headers["mcp-session-id"]
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}

    def status(**claims) -> int:
        headers = {"accept": "*/*", "mcp-session-id": id, "authorization": f"Bearer {issuer.token(scope=SCOPE, **claims)}"}
        return httpx.post(f"{bridge.url}/mcp", json=ping, headers=headers, trust_env=False).status_code

    assert status(jti="another") == 200
    assert status(sub="mallory") == 404


@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "", "/sse", "/ws", "//mcp"])
@pytest.mark.parametrize(
    ("headers", "before"),
    [
        ({}, "{url}"),
        (
            {"x-forwarded-proto": "https", "x-forwarded-host": "gw.example.com", "x-forwarded-prefix": "/time"},
            "https://gw.example.com/time",
        ),
        (
            {
                "x-forwarded-for": "198.51.100.7, 127.0.0.1",
                "x-forwarded-proto": "https,http",
                "x-forwarded-host": "gw.example.com:8443, inner",
            },
            "https://gw.example.com:8443",
        ),
        ({"x-forwarded-for": "198.51.100.7", "x-forwarded-host": "evil.example.com, gw.example.com"}, "http://gw.example.com"),
        ({"x-forwarded-host": 'evil"\\'}, None),
    ],
)
def test_the_metadata_names_the_resource_as_its_client_typed_it(bridge, issuer, path, headers, before):
    """RFC 9728, 3.1 and 3.3: who does not find its own address in it must not use it."""
    response = bridge.get(f"/.well-known/oauth-protected-resource{path}", **headers)
    if before is None:
        assert response.status_code == 404
        return

    assert response.json() == {
        "resource": before.format(url=bridge.url) + path,
        "authorization_servers": [issuer.url],
        "bearer_methods_supported": ["header"],
        "scopes_supported": [SCOPE],
    }
    assert response.headers["cache-control"] == "no-store"


def test_the_challenge_leads_through_the_proxy_that_the_client_came_by(bridge):
    response = post(bridge, **{"x-forwarded-proto": "https", "x-forwarded-host": "gw.example.com", "x-forwarded-prefix": "/time"})

    assert challenge(response)["resource_metadata"] == "https://gw.example.com/time/.well-known/oauth-protected-resource/mcp"


def test_the_operator_may_say_what_the_proxy_does_not(issuer):
    with Bridge(zoo("echo"), *options(issuer, "--public-url", "https://gw.example.com/time/")) as bridge:
        told = bridge.get("/.well-known/oauth-protected-resource/mcp", **{"x-forwarded-host": "evil.example.com"}).json()

        assert told["resource"] == "https://gw.example.com/time/mcp"
        assert challenge(post(bridge))["resource_metadata"] == "https://gw.example.com/time/.well-known/oauth-protected-resource/mcp"


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/register",
        "/authorize",
        "/token",
        "/.well-known/oauth-protected-resource/nowhere",
    ],
)
def test_what_an_authorization_server_has_is_not_here(bridge, issuer, path):
    response = httpx.post(bridge.url + path, json={}, trust_env=False) if path == "/register" else bridge.get(path)

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json"
    assert "error" in response.json()


def test_a_page_of_state_and_the_metrics_need_a_token_too(bridge, issuer):
    token = issuer.token(scope=SCOPE)
    for path in ("/status.json", "/metrics", "/log.json"):
        assert bridge.get(path).status_code == 401
        assert bridge.get(path, authorization=f"Bearer {token}").status_code == (403 if path == "/log.json" else 200)
    assert set(bridge.ready()) == {"status", "state", "code"}


def test_a_token_of_the_file_is_good_beside(issuer, tmp_path):
    own = jwt.encode({"sub": "an operator who pastes a JWT"}, "k" * 40, "HS256")
    (tmp_path / "tokens").write_text(f"robot {own}\nbob a-token-of-24-characters\n")
    (tmp_path / "tokens").chmod(0o600)
    with Bridge(zoo("echo"), *options(issuer, "--token-file", str(tmp_path / "tokens"))) as bridge:
        statuses = [
            post(bridge, token).status_code for token in (own, "a-token-of-24-characters", issuer.token(), issuer.token(exp=1), "x")
        ]

    assert statuses == [200, 200, 200, 401, 401]


# -- callers -----------------------------------------------------------------------------------------------------------------

CALLERS = """
callers:
  reader: {jwt: {scope: "mcp:read"}, may: {"echo/*": read}}
  operator: {jwt: {realm_access.roles: [staff, operator], scope: "mcp:call"}, may: {"echo/*": execute}}
  robot: {token_sha256: %s, jwt: {sub: robot}, may: {"echo/echo": execute}}
"""


def called(bridge, token: str) -> str:
    """What comes of a call of the tool `echo` with this token: "ok", or how the bridge says no."""
    headers = {"authorization": f"Bearer {token}"}
    try:
        with Http(bridge.url, headers=headers) as client:
            return text(client.call("echo", message="ok"))
    except (Refused, AssertionError) as refused:
        return str(refused)


def test_claims_say_which_caller_it_is_and_its_rules_what_it_may(issuer, tmp_path):
    (tmp_path / "callers.yaml").write_text(CALLERS % hashlib.sha256(b"a-token-of-24-characters").hexdigest())
    with Bridge(zoo("echo"), "--name", "echo", *options(issuer, "--callers", tmp_path / "callers.yaml")) as bridge:
        roles = {"realm_access": {"roles": ["operator", "staff", "user"]}}

        assert called(bridge, issuer.token(scope="mcp:call", **roles)) == "ok"
        assert "and not call it: the rule that decides is" in called(bridge, issuer.token(scope="openid mcp:read"))
        assert called(bridge, issuer.token(sub="robot")) == called(bridge, "a-token-of-24-characters") == "ok"
        for stranger in ({}, {"scope": "mcp:call"}, {"scope": "mcp:reader"}):
            response = post(bridge, issuer.token(**stranger))
            told = challenge(response)
            assert (response.status_code, told["error"], told["scope"]) == (403, "insufficient_scope", "mcp:read mcp:call")


def test_after_a_reload_claims_mean_whom_the_file_says_now(issuer, tmp_path):
    file = tmp_path / "callers.yaml"
    file.write_text('callers: {alice: {jwt: {sub: alice}, may: {"*/*": execute}}}')
    with Bridge(zoo("echo"), *options(issuer, "--callers", file)) as bridge:
        token = issuer.token()
        assert called(bridge, token) == "ok"
        file.write_text('callers: {bob: {jwt: {sub: bob}, may: {"*/*": execute}}}')
        bridge.process.send_signal(signal.SIGHUP)
        eventually(lambda: bridge.logged("reloaded"), 10)

        assert post(bridge, token).status_code == 403
        assert called(bridge, issuer.token(sub="bob")) == "ok"


def test_a_caller_whom_nobody_could_be_is_refused_at_the_start(tmp_path, capsys):
    from bridge.cli import main

    (tmp_path / "callers.yaml").write_text("callers: {alice: {jwt: {sub: alice}}}")

    assert main(["serve", "--port", "0", "--callers", str(tmp_path / "callers.yaml"), "--", "true"]) == 2
    assert "--oidc-issuer" in capsys.readouterr().err


# -- keys ---------------------------------------------------------------------------------------------------------------------


def test_after_a_rotation_the_first_token_with_the_new_key_waits_for_it_and_is_good():
    with Issuer(Key("old")).serving() as issuer, Bridge(zoo("echo"), *options(issuer)) as bridge:
        gone = issuer.token()
        assert post(bridge, gone).status_code == 200
        issuer.keys = [Key("new", private=MADE["RS256"][1])]
        eventually(lambda: post(bridge, issuer.token()).status_code == 200, 20, "the bridge never asks again")

        assert post(bridge, gone).status_code == 401


def test_without_keys_yet_nobody_is_called_wrong():
    """The issuer starts later than the bridge."""
    with Issuer().serving() as issuer:
        issuer.is_down = True
        with Bridge(zoo("echo"), *options(issuer)) as bridge:
            early = post(bridge, issuer.token())
            issuer.is_down = False

            assert early.status_code == 503
            assert early.headers["retry-after"]
            assert "HTTP 503" in early.json()["error"]["message"]
            assert eventually(lambda: post(bridge, issuer.token()).status_code == 200, 20)


def test_keys_may_stand_in_a_file_and_then_there_is_no_issuer_to_go_to(tmp_path):
    issuer = Issuer()
    (tmp_path / "jwks").write_bytes(issuer.jwks())
    with Bridge(zoo("echo"), "--jwks", tmp_path / "jwks", "--audience", AUDIENCE) as bridge:
        assert post(bridge, issuer.token()).status_code == 200
        assert "resource_metadata" not in challenge(post(bridge))
        assert bridge.get("/.well-known/oauth-protected-resource/mcp").status_code == 404


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--oidc-issuer", "https://issuer.example.com"], "--audience"),
        (["--oidc-issuer", "issuer.example.com", "--audience", "x"], "must be an address"),
        (["--audience", "x"], "--oidc-issuer"),
        (["--jwks", "/no/such", "--audience", "x"], "/no/such"),
        (["--jwks", "/dev/null", "--audience", "x"], "not JSON"),
        (["--oidc-issuer", "https://i.example.com", "--audience", "x", "--jwt-algorithm", "HS256"], "choose from RS256"),
        (["--oidc-issuer", "https://i.example.com", "--audience", "x", "--jwt-algorithm", "none"], "neither none nor HMAC"),
    ],
)
def test_what_would_let_in_too_many_or_nobody_is_refused_at_the_start(words, why, capsys):
    from bridge.cli import main

    assert main(["serve", "--port", "0", *words, "--", "true"]) == 2
    said = capsys.readouterr().err
    assert why in said and len(said.splitlines()) == 1


# -- expiry -------------------------------------------------------------------------------------------------------------------


def test_standing_streams_end_when_the_last_token_of_their_principal_does(issuer):
    with Bridge(zoo("echo"), *options(issuer)) as bridge:

        def headers(seconds: float, sub: str) -> dict[str, str]:
            return {"authorization": f"Bearer {issuer.token(exp=time.time() + seconds, sub=sub)}"}

        address = bridge.url.replace("http:", "ws:") + "/ws"
        with connect_socket(address, additional_headers=headers(2, "short")) as short, Ws(bridge.url, headers=headers(600, "long")) as long:
            with pytest.raises(ConnectionClosed) as closed:
                short.recv(timeout=10)

            assert closed.value.rcvd.code == 1008
            assert "the token has expired" in closed.value.rcvd.reason
            assert text(long.call("echo", message="hi")) == "hi"


def test_a_stream_goes_on_when_its_client_showed_a_newer_token(issuer):
    with Bridge(zoo("echo"), *options(issuer)) as bridge:
        old = {"authorization": f"Bearer {issuer.token(exp=time.time() + 2)}"}
        with Sse(bridge.url, headers=dict(old)) as client:
            client.headers["authorization"] = f"Bearer {issuer.token(jti='newer')}"
            assert text(client.call("echo", message="now")) == "now"
            eventually(lambda: post(bridge, **old).status_code == 401, 5)

            assert text(client.call("echo", message="later")) == "later"


def test_no_secret_of_a_token_is_told(issuer, bridge):
    token = issuer.token(scope=SCOPE, sub="alice")
    bad = token[:-8] + "AAAAAAAA"
    answers = [
        post(bridge, token).text,
        post(bridge, bad).text,
        json.dumps(bridge.get("/status.json", authorization=f"Bearer {token}").json()),
    ]

    assert not [text for text in [*answers, *bridge.log] if token[-40:-8] in text or bad[:60] in text]
