"""A sealed session id says what was sealed and nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from bridge.protocol.token import MAX_LENGTH, Opening, seal, unseal

KEY = b"k" * 32
OPENING = Opening("time", "2025-11-25", Raw(b'{"roots":{"x":1e400}}'), Raw(b'{"name":"c"}'), "alice", True, "nonce")
TOKEN = seal(OPENING, KEY)


def fields(opening):
    return [
        bytes(value) if isinstance(value, Raw) else value
        for value in (
            opening.mcp,
            opening.revision,
            opening.capabilities,
            opening.client,
            opening.principal,
            opening.own_child,
            opening.nonce,
        )
    ]


def test_what_was_sealed_comes_back_byte_for_byte():
    assert fields(unseal(TOKEN, KEY)) == ["time", "2025-11-25", b'{"roots":{"x":1e400}}', b'{"name":"c"}', "alice", True, "nonce"]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(texts, texts, texts, texts, st.booleans())
def test_any_opening_survives_as_visible_ascii(mcp, revision, principal, nonce, own_child):
    opening = Opening(mcp, revision, Raw(b"{}"), Raw(b"{\n}"), principal, own_child, nonce)
    token = seal(opening, KEY)

    assert re.fullmatch(r"[\x21-\x7e]+", token)
    assert fields(unseal(token, KEY)) == fields(opening)


@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_one_changed_character_breaks_the_seal(where, char):
    changed = TOKEN[:where] + char + TOKEN[where + 1 :]

    assert changed == TOKEN or unseal(changed, KEY) is None


@given(st.integers(0, len(TOKEN)), st.integers(0, len(TOKEN)), st.text(max_size=3))
def test_a_token_cut_or_stretched_breaks_the_seal(start, end, more):
    changed = TOKEN[:start] + more + TOKEN[end:]

    assert changed == TOKEN or unseal(changed, KEY) is None


@given(st.text(max_size=60))
def test_made_up_ids_are_none(id):
    assert unseal(id, KEY) is None


def test_another_key_opens_nothing():
    assert unseal(TOKEN, b"x" * 32) is None


def test_parts_of_two_tokens_make_none():
    other = seal(Opening("time", "2025-11-25", Raw(b"{}"), Raw(b"{}"), "bob", False, "n2"), KEY)

    assert unseal(TOKEN.partition(".")[0] + "." + other.partition(".")[2], KEY) is None


@pytest.mark.parametrize("tail", ["", ".", "=", "A", " ", "\n", ".x"])
def test_nothing_may_follow(tail):
    assert (unseal(TOKEN + tail, KEY) is None) == bool(tail)


def test_a_seal_around_something_else_is_none():
    """Sealed by another version of ours, with other members."""
    from base64 import urlsafe_b64encode

    from bridge.protocol import token

    for payload in (b"[]", b"{}", b"[1,2,3,4,5,6,7]", b"", b"[" * 1000, b"\xff"):
        encoded = urlsafe_b64encode(payload).rstrip(b"=")
        assert unseal((encoded + b"." + token._seal_of(encoded, KEY)).decode(), KEY) is None


def test_what_no_proxy_would_pass_is_not_even_read():
    assert unseal("A" * (MAX_LENGTH + 1), KEY) is None
