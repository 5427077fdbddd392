"""The file of tokens: what opens the door, and what does not although it stands there."""

import hashlib
import os

import pytest
from support import Bridge, eventually, zoo

from bridge.callers.tokens import Tokens, exposed
from bridge.cli import main
from bridge.settings import UsageError

TOKEN, OTHER = "a-token-of-24-characters", "another-one-of-30-characters.."
HASH = "sha256:" + hashlib.sha256(TOKEN.encode()).hexdigest()


def read(tmp_path, content: str | bytes) -> Tokens:
    (tmp_path / "tokens").write_bytes(content.encode() if isinstance(content, str) else content)
    return Tokens.read(str(tmp_path / "tokens"))


def principal(tokens: Tokens, token: str, header: bytes = b"authorization") -> str | None:
    return tokens.principal({header: token.encode()})


@pytest.mark.parametrize("line", [TOKEN, HASH, HASH.upper().replace("SHA256", "sha256")])
def test_a_token_is_known_by_itself_or_by_its_hash_under_the_same_name(tmp_path, line):
    named, unnamed = read(tmp_path, f"alice {line}\n"), read(tmp_path, line)

    assert principal(named, f"Bearer {TOKEN}") == "alice"
    assert principal(unnamed, TOKEN, b"x-api-key") == f"token-{HASH[7:15]}"


@pytest.mark.parametrize("given", [HASH, HASH[7:], f"alice {HASH}", "alice", "", "#", "work"])
def test_nothing_that_stands_in_a_file_of_hashes_opens_the_door(tmp_path, given):
    tokens = read(tmp_path, f"# ours\nalice {HASH}  # work laptop\n")

    assert principal(tokens, f"Bearer {given}") is None
    assert principal(tokens, given) is None


def test_a_byte_order_mark_and_comments_are_no_part_of_a_token(tmp_path):
    tokens = read(tmp_path, b"\xef\xbb\xbf" + f"{TOKEN} # the first\r\nbob {OTHER} #x\r\n  # {'c' * 20}\r\n".encode())

    assert principal(tokens, TOKEN) and principal(tokens, OTHER) == "bob"
    assert [principal(tokens, word) for word in ("#", "# the first", "#x", "c" * 20, "first", "﻿" + TOKEN)] == [None] * 6


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("x\n", "1: a token of 1 characters can be guessed: at least 16"),
        (f"\n{TOKEN} alice\n", "2: a token of 5 characters can be guessed"),
        ("alice fifteen-letters\n", "1: a token of 15 characters"),
        (f"alice {TOKEN}\nbob {OTHER}\ncarol {HASH}\n", "3: the token of line 1 under another name"),
        (f"{TOKEN}\nbob {TOKEN}\n", "2: the token of line 1 under another name"),
        (f"alice sha256:{hashlib.sha256().hexdigest()}\n", "1: this is the hash of an empty text"),
        (f"sha256:{hashlib.sha256(b'%c' % 10).hexdigest()}\n", "1: this is the hash of an empty text"),
        ("sha256:1234\n", "1: sha256: is followed by the 64 hexadecimal digits"),
        (f"alice SHA256:{'g' * 64}\n", "1: sha256: is followed by"),
        ("alice pässwörter-und-mehr\n", "1: a token has letters, digits and signs of ASCII only"),
        ("alice a-zero-width\u200b-space-in-it\n", "1: a token has letters"),
        (f"al\x1bice {TOKEN}\n", "1: a name is made of"),
        (f"a b {TOKEN}\n", "1: expected TOKEN or NAME TOKEN"),
        (f"{TOKEN}\n".encode("utf-16"), ": not UTF-8"),
    ],
)
def test_a_line_that_opens_too_easily_or_not_at_all_is_refused_by_its_number_and_shows_no_token(tmp_path, content, why):
    with pytest.raises(UsageError) as refused:
        read(tmp_path, content)

    assert str(refused.value).startswith(f"{tmp_path}/tokens:" if why[0] != ":" else f"{tmp_path}/tokens") and why in str(refused.value)
    assert TOKEN not in str(refused.value) and "fifteen" not in str(refused.value)


def test_one_name_may_have_several_tokens_and_who_lost_one_is_known(tmp_path):
    before, after = read(tmp_path, f"alice {TOKEN}\nalice {OTHER}\nalice {TOKEN}\n"), read(tmp_path, f"alice {HASH}\n")

    assert principal(before, OTHER) == principal(before, TOKEN) == "alice"
    assert Tokens.revoked(before, after) == {"alice"}
    assert Tokens.revoked(after, read(tmp_path, f"alice {TOKEN}\n")) == set()


@pytest.mark.parametrize(
    ("mode", "content", "is_exposed"),
    [(0o600, TOKEN, False), (0o400, TOKEN, False), (0o640, TOKEN, True), (0o644, TOKEN, True), (0o602, TOKEN, True), (0o644, HASH, False)],
)
def test_a_file_of_tokens_that_others_may_read_is_told_but_not_one_of_hashes(tmp_path, mode, content, is_exposed):
    read(tmp_path, content)
    os.chmod(tmp_path / "tokens", mode)

    assert bool(Tokens.read(str(tmp_path / "tokens")).exposed) is is_exposed


def test_nobody_is_told_of_the_mode_of_what_was_mounted_read_only(tmp_path, monkeypatch):
    file = tmp_path / "secret"
    file.write_text(TOKEN)
    file.chmod(0o444)
    mounted = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, os.ST_RDONLY, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: mounted)

    assert exposed(str(file)) == ""


def test_the_bridge_warns_once_of_each_file_that_others_may_read(tmp_path):
    for name in ("tokens", "admins", "key"):
        (tmp_path / name).write_text(f"{name}-{TOKEN}\n")
        (tmp_path / name).chmod(0o644)
    options = ["--token-file", tmp_path / "tokens", "--admin-token-file", tmp_path / "admins", "--session-key-file", tmp_path / "key"]
    with Bridge(zoo("echo"), *options) as bridge:
        warned = eventually(lambda: [line for line in bridge.log if "chmod 600" in line], 5, "nothing is told")

    assert [sum(f"/{name} has mode 0644" in line for line in warned) for name in ("tokens", "admins", "key")] == [1, 1, 1]


def test_the_command_writes_a_line_that_lets_its_token_in(tmp_path, capsys):
    assert main(["token", "alice"]) == 0
    line, token = capsys.readouterr()
    (tmp_path / "token").write_text(f"{OTHER}\n")
    assert main(["token", "--of", str(tmp_path / "token")]) == 0
    tokens = read(tmp_path, line + capsys.readouterr().out)

    assert principal(tokens, token.strip()) == "alice"
    assert principal(tokens, OTHER)
    assert token.strip() not in line


@pytest.mark.parametrize("arguments", [["two words"], ["#x"], ["--of", "/no/such"], ["--of", "/dev/null"]])
def test_the_command_refuses_what_could_not_be_read_again(arguments, capsys):
    assert main(["token", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
