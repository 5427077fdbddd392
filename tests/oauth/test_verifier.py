"""Which tokens are believed (RFC 7519, RFC 8725), and by which keys (RFC 7517)."""

import base64
import hashlib
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from support.issuing import AUDIENCE, MADE, Issuer, Key

from bridge.oauth.audiences import Audiences
from bridge.oauth.claims import INVALID_TOKEN, Rejected, scopes, subject
from bridge.oauth.keys import ALGORITHMS, BadKeys, Keys
from bridge.oauth.verifier import LONGEST, UnknownKey, Verifier

ISSUER = Issuer(Key("one"), Key("two", "ES256"), Key("three", "EdDSA"))
KEYS = Keys.read(ISSUER.jwks())
VERIFIER = Verifier(ALGORITHMS, Audiences([AUDIENCE]), [ISSUER.url], 30)


def at(claims: dict) -> dict:
    """Claims with times, which are said as seconds from now."""
    now = int(time.time())
    return {name: now + value if name in ("exp", "nbf", "iat") and type(value) is int else value for name, value in claims.items()}


def verify(token: str | bytes, keys: Keys = KEYS, verifier: Verifier = VERIFIER):
    return verifier.verify(token.encode() if isinstance(token, str) else token, keys)


def coded(value: bytes | dict) -> bytes:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


@pytest.mark.parametrize("number", range(3))
def test_a_token_of_each_kind_of_key_is_believed(number):
    claims = verify(ISSUER.token(ISSUER.keys[number]))

    assert claims["sub"] == "alice"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": -31}, "expired"),
        ({"exp": None}, "says nothing of its exp"),
        ({"exp": "soon"}, "not a token"),
        ({"exp": 1e400}, "not a token"),
        ({"exp": True}, "expired"),
        ({"nbf": 90}, "not valid yet"),
        ({"iat": 90}, "not valid yet"),
        ({"iss": "https://evil.example.com"}, "another issuer"),
        ({"iss": None}, "says nothing of its iss"),
        ({"aud": "https://other.example.com/mcp"}, "somebody else"),
        ({"aud": AUDIENCE + "/more"}, "somebody else"),
        ({"aud": []}, "nothing of its aud"),
        ({"aud": None}, "says nothing of its aud"),
        ({"aud": {"x": AUDIENCE}}, "somebody else"),
    ],
)
def test_a_token_that_says_something_wrong_is_refused_by_what_is_wrong(claims, why):
    rejected = verify(ISSUER.token(**at(claims)))

    assert isinstance(rejected, Rejected)
    assert rejected.error == INVALID_TOKEN and why in rejected.why


@pytest.mark.parametrize("claims", [{"exp": -20}, {"nbf": 20}, {"aud": [AUDIENCE, "x"]}, {"aud": AUDIENCE + "/"}, {"iat": None}])
def test_a_clock_may_be_a_little_wrong_and_an_audience_one_of_several(claims):
    assert verify(ISSUER.token(**at(claims)))["sub"] == "alice"


@pytest.mark.parametrize("type_", ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", None])
def test_an_access_token_may_say_that_it_is_one(type_):
    assert verify(ISSUER.token(headers={"typ": type_}))["sub"] == "alice"


@pytest.mark.parametrize("type_", ["logout+jwt", "dpop+jwt", "secevent+jwt", 7, ["JWT"]])
def test_a_token_of_another_type_is_none(type_):
    """RFC 8725, 3.11: each of these is signed by the same issuer, with the same key."""
    head = coded({"alg": "RS256", "kid": "one", "typ": type_})
    body = coded(ISSUER.claims())
    signed = MADE["RS256"][0]
    signature = jwt.get_algorithm_by_name("RS256").sign(head + b"." + body, signed)

    assert "type" in verify(b".".join((head, body, coded(signature)))).why


def test_nobody_signs_with_none_nor_with_a_public_key_as_a_secret():
    """RFC 8725, 2.1: who asks the token how it is to be verified is told what the attacker likes."""
    public = MADE["RS256"][0].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    body = coded(ISSUER.claims())
    none = [coded({"alg": alg, "kid": "one"}) + b"." + body + b"." for alg in ("none", "None", "NONE", "nOnE", "")]
    for secret in (pem, pem.strip(), ISSUER.jwks(), b""):
        head = coded({"alg": "HS256", "kid": "one"}) + b"." + body
        none.append(head + b"." + coded(hmac.digest(secret, head, "sha256")))

    assert {verify(token).error for token in none} == {INVALID_TOKEN}


def test_what_a_token_says_of_its_own_key_is_not_looked_at():
    """`jwk`, `jku` and `x5u` in its head (RFC 8725, 3.10)."""
    stranger = Key("one", private=MADE["RS256"][1])
    for headers in ({"jwk": stranger.public()}, {"jku": "https://evil.example.com/keys"}, {"x5u": "https://evil.example.com/x"}):
        assert "signature is wrong" in verify(ISSUER.token(stranger, headers)).why


def test_a_key_verifies_only_what_it_is_for():
    both = {"keys": [Key("enc").public(use="enc"), Key("ops").public(key_ops=["sign"]), Key("alg").public(alg="PS256"), Key("ok").public()]}
    keys = Keys.read(json.dumps(both).encode())
    for id in ("enc", "ops", "alg"):
        with pytest.raises(UnknownKey):
            verify(ISSUER.token(Key(id)), keys)

    assert verify(ISSUER.token(Key("ok")), keys)["sub"] == "alice"
    with pytest.raises(UnknownKey):
        verify(ISSUER.token(Key("one", "ES256")))  # the id of an RSA key


def test_a_token_that_names_no_key_means_the_only_one_there_is():
    assert verify(ISSUER.token(Key(None)))["sub"] == "alice"
    with pytest.raises(UnknownKey):
        verify(ISSUER.token(Key(None)), Keys.read(Issuer(Key("a"), Key("b")).jwks()))


def test_only_the_algorithms_that_the_operator_chose_are_good():
    verifier = Verifier(["ES256"], Audiences([AUDIENCE]))

    assert "none of ES256" in verify(ISSUER.token(), verifier=verifier).why
    assert verify(ISSUER.token(ISSUER.keys[1], iss=None), verifier=verifier)["sub"] == "alice"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<html>", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no JWK Set"),
        (b'{"keys":{}}', "no JWK Set"),
        (b'{"keys":[]}', "no key in it"),
        (b'{"keys":[7,{},{"kty":7},{"kty":"RSA"},{"kty":"EC","crv":["x"]}]}', "key 1:"),
        (b'{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"one"}]}', "no algorithm"),
        (b'{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}', "key 0:"),
    ],
)
def test_a_set_without_a_key_that_can_be_used_says_so(content, why):
    with pytest.raises(BadKeys) as refused:
        Keys.read(content)

    assert why in str(refused.value)


def test_a_short_key_is_none():
    """RFC 7518, 3.3."""
    short = Key("one", private=rsa.generate_private_key(public_exponent=65537, key_size=1024))
    with pytest.raises(BadKeys, match="1024 bits"):
        Keys.read(Issuer(short).jwks())


def test_a_secret_key_that_was_published_by_mistake_verifies_and_does_no_more():
    plain = jwt.get_algorithm_by_name("RS256").to_jwk(MADE["RS256"][0], as_dict=True) | {"kid": "one", "key_ops": ["verify"]}
    keys = Keys.read(json.dumps({"keys": [plain]}).encode())

    assert verify(ISSUER.token(), keys)["sub"] == "alice"
    assert not hasattr(keys.find("one", "RS256").key, "sign")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda part: st.lists(part) | st.dictionaries(st.text(), part),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(
    head=JSON
    | st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk"]), JSON | st.sampled_from(["RS256", "one", "JWT", "b64"])),
    body=JSON | st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "sub", "jti", "scope"]), JSON),
    tail=st.binary(max_size=300),
)
def test_no_token_whatever_it_says_is_more_than_refused(head, body, tail):
    try:
        outcome = verify(b".".join((coded(json.dumps(head).encode()), coded(json.dumps(body).encode()), coded(tail))))
    except UnknownKey:
        return

    assert isinstance(outcome, Rejected)


@settings(max_examples=100, deadline=None)
@given(claims=st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "sub", "jti", "scope", "azp"]), JSON))
def test_no_signed_token_whatever_it_says_is_an_error_of_ours(claims):
    """An issuer's mistake must not be ours."""
    head, body = coded({"alg": "EdDSA", "kid": "three"}), coded(json.dumps(ISSUER.claims() | claims).encode())
    token = b".".join((head, body, coded(MADE["EdDSA"][0].sign(head + b"." + body))))
    outcome = verify(token)

    assert isinstance(outcome, Rejected) or (isinstance(subject(outcome), str | Rejected) and scopes(outcome) is not None)


@settings(max_examples=100, deadline=None)
@given(token=st.binary(max_size=400) | st.text(alphabet="ey.J0=-_", max_size=200).map(str.encode))
def test_no_bytes_whatever_they_are_are_more_than_refused(token):
    assert isinstance(verify(token), Rejected)


def test_a_token_is_not_longer_than_a_head_may_well_be():
    assert "longer" in verify(b"e" * (LONGEST + 1)).why
    assert isinstance(verify(b"." * LONGEST), Rejected)
    assert isinstance(verify(coded(b'{"a":' * 2000) + b".."), Rejected)


@pytest.mark.parametrize(
    ("claims", "principal"),
    [
        ({"sub": "alice"}, "jwt:alice"),
        ({"sub": "", "client_id": "robot"}, "jwt:robot"),
        ({"sub": 7, "azp": "robot"}, "jwt:robot"),
        ({"sub": "a" * 201}, f"jwt:{hashlib.sha256(b'a' * 201).hexdigest()}"),
        ({"sub": "a\nb"}, f"jwt:{hashlib.sha256(b'a%cb' % 10).hexdigest()}"),
    ],
)
def test_the_principal_is_the_subject_and_never_a_name_of_the_operators(claims, principal):
    assert subject(claims) == principal


def test_a_token_without_a_subject_is_nobodys():
    assert isinstance(subject({"scope": "x"}), Rejected)
