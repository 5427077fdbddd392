"""Whatever a request shows as its token, password or key, it is let in or refused, soon, by a status below 500, and the bridge goes on."""

import base64
import hashlib
import json
import time

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import Bridge, zoo
from support.issuing import AUDIENCE, MADE, Issuer, Key

ISSUER = Issuer(Key("one"), Key("ed", "EdDSA"))
TOKEN = "alice-0123456789-0123456789"
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "keys").write_bytes(ISSUER.jwks())
    callers = {
        "static": {"token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "default": "execute"},
        "bob": {"basic": {"user": "bob", "password": "scrypt:1:1:1:MDEyMzQ1Njc4OWFiY2RlZg==:" + base64.b64encode(bytes(32)).decode()}},
        "staff": {"jwt": {"realm_access.roles": "staff", "scope": "mcp"}, "default": "execute"},
        "listed": {"jwt": {"groups": ["a", "b"]}, "default": "execute"},
    }
    (folder / "callers.json").write_text(json.dumps({"callers": callers}))
    with Bridge(zoo("echo"), "--callers", folder / "callers.json", "--jwks", folder / "keys", "--audience", AUDIENCE) as bridge:
        yield bridge


def coded(part: dict | bytes | str) -> str:
    raw = part if isinstance(part, bytes) else (part if isinstance(part, str) else json.dumps(part)).encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(head: dict | bytes | str, body: dict | bytes | str) -> str:
    """By the issuer, whatever it says."""
    text = f"{coded(head)}.{coded(body)}"
    return f"{text}.{coded(MADE['EdDSA'][0].sign(text.encode()))}"


def status(bridge: Bridge, name: str, value: str | bytes) -> int:
    raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    began = time.monotonic()
    try:
        answer = bridge.http.post("/mcp", headers=[(b"accept", b"*/*"), (name.encode(), raw)], json=PING)
    except httpx.LocalProtocolError:  # no client sends that
        return 400
    assert time.monotonic() - began < 10, "a token that takes so long is an attack"
    return answer.status_code


TOMORROW = int(time.time()) + 86400  # the tests may run long after they were collected
GOOD, HEAD = ISSUER.claims(scope="mcp", realm_access={"roles": ["staff"]}, exp=TOMORROW), {"alg": "EdDSA", "kid": "ed"}
DEEP = '{"a":' * 5000 + "1" + "}" * 5000
REFUSED = {
    "none": f"{coded({'alg': 'none'})}.{coded(GOOD)}.",
    "a list of algorithms": signed(HEAD | {"alg": ["EdDSA"]}, GOOD),
    "another key's algorithm": signed(HEAD | {"alg": "RS256"}, GOOD),
    "kid is a path": signed(HEAD | {"kid": "../../../dev/null"}, GOOD),
    "kid is a statement": signed(HEAD | {"kid": "x' UNION SELECT 'secret"}, GOOD),
    "kid is a list": signed(HEAD | {"kid": ["ed"]}, GOOD),
    "kid is an object": signed(HEAD | {"kid": {"ed": 1}}, GOOD),
    "kid is long": signed(HEAD | {"kid": "k" * 9000}, GOOD),
    "crit": signed(HEAD | {"crit": ["exp"]}, GOOD),
    "crit of nothing": signed(HEAD | {"crit": []}, GOOD),
    "crit is a text": signed(HEAD | {"crit": "b64"}, GOOD),
    "b64": signed(HEAD | {"b64": False, "crit": ["b64"]}, GOOD),
    "b64 without crit": signed(HEAD | {"b64": False}, GOOD),
    "b64 is odd": signed(HEAD | {"b64": 0}, GOOD),
    "encrypted": ".".join([coded({"alg": "RSA-OAEP", "enc": "A256GCM"}), *[coded(b"xxxxxxxx")] * 4]),
    "huge": signed(HEAD, GOOD | {"x": "x" * 20000}),
    "deep head": signed(DEEP[:9000], GOOD),
    "deep body": signed(HEAD, DEEP[:9000]),
    "no object": signed(HEAD, "[1,2]"),
    "no JSON": signed(HEAD, b"\xff\xfe"),
    "not a number": signed(HEAD, json.dumps(GOOD).replace(str(GOOD["exp"]), "NaN")),
    "infinite": signed(HEAD, json.dumps(GOOD).replace(str(GOOD["exp"]), "1e999")),
    "digits": signed(HEAD, json.dumps(GOOD).replace(str(GOOD["exp"]), "9" * 5000)),
    "exp is a list": signed(HEAD, GOOD | {"exp": [GOOD["exp"]]}),
    "nbf is an object": signed(HEAD, GOOD | {"nbf": {}}),
    "the wrong audience": signed(HEAD, GOOD | {"aud": [["x"], {"y": 1}, None, AUDIENCE + "x"]}),
    "nobody": signed(HEAD, ISSUER.claims(realm_access="staff", scope={"mcp": 1}, groups={"a": 1, "b": 1})),
    "half a group": signed(HEAD, ISSUER.claims(groups=["a"])),
    "roles are no object": signed(HEAD, ISSUER.claims(realm_access=["roles", "staff"], scope="mcp")),
    "dots": "." * 8000,
    "empty parts": "..",
    "another alphabet": signed(HEAD, GOOD).replace("-", "+").replace("_", "/") + "==",
    "a signature cut off": signed(HEAD, GOOD)[:-1],
    "a second signature": signed(HEAD, GOOD) + ".x",
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_token_of_a_hostile_make_opens_nothing(bridge, what):
    assert status(bridge, "authorization", f"Bearer {REFUSED[what]}") in (401, 403, 429)


def test_the_same_make_without_the_trick_opens_the_door(bridge):
    """Or the tests above would prove nothing."""
    assert status(bridge, "authorization", f"Bearer {signed(HEAD, GOOD)}") == 400  # no session: it was let in
    twice = json.dumps(GOOD)[:-1] + ', "sub": "mallory", "scope": "none"}'  # of two the last one counts, as JSON's readers do
    assert status(bridge, "authorization", f"Bearer {signed(HEAD, twice)}") == 403
    twice = '{"scope": "none", ' + json.dumps(GOOD)[1:]
    assert status(bridge, "authorization", f"Bearer {signed(HEAD, twice)}") == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=8), part, max_size=4),
    max_leaves=6,
)
CLAIMS = st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "sub", "jti", "scope", "scp", "groups", "realm_access"]), JSON)
HEADS = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5c", "cty", "zip"]), JSON)
TOKENS = st.builds(lambda head, body: signed(HEAD | head, GOOD | body), HEADS, CLAIMS)
WORDS = TOKENS | st.text(max_size=200) | st.text(alphabet="eyJ.-_=", max_size=300)
SCHEMES = st.sampled_from(["Bearer ", "bearer", "Bearer Bearer ", "Basic ", "Digest ", "Negotiate ", "", " ", "Bearer\t", "BASIC  "])


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(["authorization", "x-api-key", "proxy-authorization"]), scheme=SCHEMES, word=WORDS, is_coded=st.booleans())
def test_nothing_that_a_request_shows_is_an_error_of_ours(bridge, name, scheme, word, is_coded):
    shown = base64.b64encode(word.encode("utf-8", "surrogatepass")).decode() if is_coded else word

    assert status(bridge, name, scheme + shown) < 500


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    value=st.binary(max_size=300),
    name=st.sampled_from(["authorization", "x-api-key", "host", "origin", "x-forwarded-host", "x-forwarded-prefix"]),
)
def test_no_bytes_in_a_header_are(bridge, name, value):
    assert status(bridge, name, value.translate(None, b"\r\n\0")) < 500


def test_the_bridge_goes_on_and_calls_nothing_a_bug(bridge):
    assert status(bridge, "authorization", f"Bearer {TOKEN}") == 400
    assert not bridge.logged("bug in the bridge") and not bridge.logged("Traceback")
