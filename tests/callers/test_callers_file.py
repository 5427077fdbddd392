"""The callers file: what it says, and what is told of one that is wrong."""

import hashlib
import json
from base64 import b64encode

import pytest

from bridge.callers.file import read
from bridge.callers.keys import Keys
from bridge.callers.passwords import Password, hashed
from bridge.callers.rules import Level
from bridge.callers.tokens import Tokens
from bridge.settings import UsageError

TOKEN, OTHER = "a-token-of-24-characters", "another-one-of-30-characters.."
HASH, OTHER_HASH = (hashlib.sha256(token.encode()).hexdigest() for token in (TOKEN, OTHER))


def callers(tmp_path, content: str, tokens: Tokens | None = None):
    (tmp_path / "callers.yaml").write_text(content)
    return read(str(tmp_path / "callers.yaml"), tokens)


def principal(found, header: str, name: bytes = b"authorization", tokens: Tokens | None = None) -> str | None:
    return Keys(found, tokens).principal({name: header.encode()} if header else {}, "192.0.2.1")


WHOLE = f"""
callers:
  alice:
    token_sha256: ["{HASH}"]
    token_file: more
    may: {{filesystem/read_file: execute, "*/delete_*": deny}}
    default: read
    limits: {{requests: 5, burst: 10, in_flight: 3, sessions: 4, children: 1}}
  robot:
    jwt: {{sub: robot, scope: mcp}}
    may: {{"*/*": admin}}
default: {{may: {{time/now: execute}}}}
"""


def test_a_caller_is_known_by_each_of_its_keys_and_may_what_stands_there(tmp_path):
    (tmp_path / "more").write_text(OTHER)
    found = callers(tmp_path, WHOLE)

    assert principal(found, f"Bearer {TOKEN}") == principal(found, OTHER, b"x-api-key") == "alice"
    assert principal(found, "Bearer something-else-of-24-letters") is None
    assert principal(found, "") == ""
    assert found.of("alice").on("filesystem").decide("tool", "read_file").level is Level.EXECUTE
    assert found.of("alice").on("time").decide("tool", "now").level is Level.READ
    assert found.of("").on("time").decide("tool", "now").level is Level.EXECUTE
    assert found.of("nobody-known").on("time").decide("tool", "later").level is Level.DENY
    assert found.of("alice").limits.in_flight == 3
    assert found.of("robot").is_admin and not found.of("alice").is_admin


def test_json_and_a_list_of_callers_say_the_same(tmp_path):
    content = {"callers": [{"name": "alice", "token_sha256": f"sha256:{HASH}", "default": "execute"}]}
    found = callers(tmp_path, json.dumps(content))

    assert principal(found, f"Bearer {TOKEN}") == "alice"
    assert principal(found, "") is None


def test_rights_may_be_shared_by_an_anchor(tmp_path):
    found = callers(
        tmp_path,
        f"x-rights: &rights {{time/*: execute, time/x: deny}}\ncallers:\n  a: &a {{token_sha256: '{HASH}', may: *rights}}\n"
        f"  b: {{<<: *a, token_sha256: '{OTHER_HASH}'}}\n",
    )

    assert [found.of(name).on("time").decide("tool", tool).level.word for name in "ab" for tool in "xy"] == ["deny", "execute"] * 2


def test_a_password_is_known_by_its_hash_and_asked_for_slowly_once(tmp_path):
    found = callers(tmp_path, f"callers: {{bob: {{basic: {{user: bob, password: '{hashed(b'correct horse')}'}}, default: read}}}}")
    right, wrong = (f"Basic {b64encode(pair).decode()}" for pair in (b"bob:correct horse", b"bob:wrong"))

    assert principal(found, wrong) is None
    assert principal(found, right) == "bob"
    assert principal(found, right.lower()) is None
    assert len(found._right) == 1


def test_guesses_at_a_password_are_slowed_by_the_address_they_come_from(tmp_path, monkeypatch):
    monkeypatch.setattr("bridge.callers.keys.time.monotonic", lambda: 0.0)
    found = callers(tmp_path, f"callers: {{bob: {{basic: {{user: bob, password: '{hashed(b'correct horse')}'}}, default: read}}}}")
    keys = Keys(found)
    right, wrong = ({b"authorization": b"Basic " + b64encode(pair)} for pair in (b"bob:correct horse", b"bob:wrong"))
    for _ in range(25):
        assert keys.principal(wrong, "192.0.2.66") is None

    assert keys.principal(right, "192.0.2.66") is None
    assert keys.principal(right, "192.0.2.1") == "bob"
    assert keys.principal(right, "192.0.2.66") == "bob"
    assert found.attempts.failed == 20


def test_verified_claims_name_a_caller(tmp_path):
    (tmp_path / "more").write_text(OTHER)
    found = callers(tmp_path, WHOLE)

    assert found.of_claims({"sub": "robot", "scope": "openid mcp"}).name == "robot"
    assert found.of_claims({"sub": "robot", "scope": "openid"}) is None
    assert found.of_claims({"sub": "eve robot", "scope": "mcp"}) is None
    assert found.of_claims({"scope": "mcp"}) is None


def test_a_token_file_stays_the_short_form(tmp_path):
    (tmp_path / "tokens").write_text(f"alice {OTHER}\ncarol {TOKEN}xyz\n")
    tokens = Tokens.read(str(tmp_path / "tokens"))
    found = callers(tmp_path, f"callers: {{alice: {{may: {{time/*: read}}}}, bob: {{token_sha256: '{HASH}'}}}}", tokens)

    assert principal(found, f"Bearer {OTHER}", tokens=tokens) == "alice"
    assert found.of("alice").on("time").decide("tool", "now").level is Level.READ
    assert found.of("carol").on("time").decide("tool", "now").level is Level.EXECUTE
    assert found.of("bob").on("time").decide("tool", "now").level is Level.DENY


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("callers:\n  alice:\n    token_sha256: x\n", "callers.yaml:3: callers.alice.token_sha256: expected the SHA-256"),
        (
            "callers:\n  alice:\n    tokn_sha256: x\n",
            "callers.yaml:3: callers.alice.tokn_sha256: unknown field; did you mean token_sha256?",
        ),
        (f"callers:\n  a: {{token_sha256: '{HASH}'}}\n  b:\n    token_sha256: '{HASH}'\n", "a token of 'b' is also 'a''s"),
        (
            f"callers:\n  a:\n    token_sha256: '{HASH}'\n    may:\n      time/*: exec\n",
            "5: callers.a.may.time/*: expected one of deny, read",
        ),
        (f"callers:\n  a:\n    token_sha256: '{HASH}'\n    may:\n      time: read\n", "5: callers.a.may.time: expected MCP/TOOL"),
        (f"callers:\n  a:\n    token_sha256: '{HASH}'\n    may:\n      time/x: deny\n      time/x: admin\n", "6: 'time/x' is there twice"),
        (f'{{"callers": {{"a": {{"token_sha256": "{HASH}", "may": {{"t/x": "deny", "t/x": "read"}}}}}}}}', "'t/x' is there twice"),
        (
            f"callers:\n  a:\n    token_sha256: '{HASH}'\n    limits: {{request: 5}}\n",
            "4: callers.a.limits.request: unknown field; did you mean requests?",
        ),
        (
            f"callers:\n  a:\n    token_sha256: '{HASH}'\n    limits: {{requests: -1}}\n",
            "callers.a.limits.requests: expected a number above 0",
        ),
        (f"callers:\n  a:\n    token_sha256: '{HASH}'\n    limits: {{in_flight: 1.5}}\n", "expected a whole number above 0"),
        ("callers:\n  a: {may: {time/*: read}}\n", "2: callers.a: nobody can be this caller"),
        ("callers: {}\n", "nobody may come in"),
        ("default: maybe\n", "1: default: expected one of deny, read, execute, admin, not 'maybe'"),
        ("callers:\n  'a b': {default: read}\n", "a caller needs a name"),
        ("callers:\n  'jwt:eve': {default: read}\n", "jwt: begins the names"),
        (
            f"callers:\n  - {{name: a, token_sha256: '{HASH}'}}\n  - {{name: a, token_sha256: '{OTHER_HASH}'}}\n",
            "3: callers.1: there is another",
        ),
        ("callers:\n  a: {basic: {user: a, password: plain}}\n", "callers.a.basic.password: expected scrypt:"),
        ("callers:\n  a: {token_file: nowhere}\n", "callers.yaml:2: callers.a.token_file: "),
        ("callers:\n  a: {token_file: nowhere}\n", "nowhere: No such file"),
        ("callers:\n  a: {token_sha256: the-plain-token-itself}\n", "if it is the token itself, only its SHA-256 may stand here"),
        (f"callers:\n  a:\n    token_sha256: '{HASH}'\n    may:\n      */x: deny\n", "what begins with * needs quotes in YAML"),
        (f"callers:\n  12: {{token_sha256: '{HASH}'}}\n", "YAML wants quotes around a number"),
        (f"callers:\n  a: {{token_sha256: '{HASH}', limits: {{requests: '9'}}}}\n", "expected a number above 0, not '9'"),
        ("y-rights: {}\n", "1: y-rights: unknown field"),
        ("- a\n", "expected callers, default"),
        ("callers: &a [*a]\n", "a caller needs a name"),
        ("callers: {a: \n", "callers.yaml:2"),
    ],
)
def test_what_is_wrong_is_told_by_line_and_field(tmp_path, content, why):
    with pytest.raises(UsageError) as refused:
        callers(tmp_path, content)

    assert why in str(refused.value)
    assert HASH not in str(refused.value) and "plain" not in str(refused.value)


def test_whose_rights_changed_is_known(tmp_path):
    def of(alice: str, more: str = ""):
        return callers(tmp_path, f"callers: {{alice: {{token_sha256: '{HASH}', {alice}}}, bob: {{token_sha256: '{OTHER_HASH}'}} {more}}}")

    before = of("default: read")

    assert before.changed(of("default: read")) == set()
    assert before.changed(of("default: execute")) == {"alice"}
    assert before.changed(of("default: read, limits: {requests: 5}")) == set()
    assert before.changed(callers(tmp_path, f"callers: {{alice: {{token_sha256: '{HASH}', default: read}}}}")) == {"bob"}


def test_a_user_who_does_not_exist_takes_as_long_as_one_who_does(tmp_path, monkeypatch):
    """Or the time of an answer would tell who does."""
    asked = []
    monkeypatch.setattr(Password, "fits", lambda self, password: asked.append(password) or False)
    found = callers(tmp_path, f"callers: {{alice: {{basic: {{user: alice, password: '{hashed(b'right password')}'}}}}}}")
    for user in (b"alice", b"mallory"):
        assert found.of_basic(b64encode(user + b":wrong"), "10.0.0.1", 0.0) is None

    assert asked == [b"wrong", b"wrong"]
    assert found.attempts.failed == 2


def test_subjects_of_jwts_have_the_rights_of_everybody_and_lose_them(tmp_path):
    some, none = (callers(tmp_path, f"callers: {{a: {{token_sha256: '{HASH}'}}}}\ndefault: {level}") for level in ("read", "deny"))

    assert some.changed(none, {"jwt:alice"}) == {"", "jwt:alice"}
    assert some.changed(some, {"jwt:alice"}) == set()


def test_whom_claims_name_is_asked_anew_where_others_come_before(tmp_path):
    def of(*names: str):
        return callers(tmp_path, "callers:\n" + "".join(f"  {name}: {{jwt: {{{name}: x}}, default: read}}\n" for name in names))

    before = of("a", "b", "c")
    assert before.changed(of("a", "new", "b", "c"), {"jwt:x"}) == {"new", "b", "c", "jwt:x"}
    assert before.changed(of("a", "b", "c", "new"), {"jwt:x"}) == {"new", "jwt:x"}
    assert before.changed(of("a", "b", "c"), {"jwt:x"}) == set()


def test_who_is_known_by_other_claims_is_another(tmp_path):
    before, same, after = (callers(tmp_path, f"callers: {{alice: {{jwt: {{sub: {sub}}}, default: read}}}}") for sub in ("a", "a", "b"))

    assert before.changed(same) == set()
    assert before.changed(after) == {"alice"}


def test_a_hash_that_would_take_a_gigabyte_a_guess_is_refused():
    with pytest.raises(Exception, match="expected scrypt"):
        Password.parse("scrypt:30:8:1:c2FsdHNhbHQ=:aGFzaGhhc2hoYXNoaGFzaA==")
