"""`mcp-bridge policy`: what a callers file means, in words, before somebody relies on it."""

import hashlib
import json

import pytest
from support import Bridge, eventually, zoo

from bridge.callers.passwords import Password
from bridge.cli import main

ADMIN = "an-admin-of-24-characters"
FILE = {
    "callers": {
        "alice": {"token_sha256": "0" * 64, "may": {"echo/echo": "execute", "*/p*": "deny", "echo/prompt:*": "read", "ehco/add": "deny"}},
        "admin": {"token_sha256": hashlib.sha256(ADMIN.encode()).hexdigest(), "may": {"*/*": "admin"}},
    }
}


@pytest.fixture
def file(tmp_path):
    (tmp_path / "callers.json").write_text(json.dumps(FILE))
    (tmp_path / "token").write_text(ADMIN + "\n")
    return str(tmp_path / "callers.json")


def test_without_a_bridge_the_rules_are_shown_in_the_order_that_they_are_asked(file, capsys):
    assert main(["policy", "check", file, "--as", "alice", "--mcp", "echo"]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert [line.split()[1:] for line in lines[1:]] == [
        ["*/p*", "deny"],
        ["echo/echo", "execute"],
        ["echo/prompt:*", "read"],
        ["(default)", "deny"],
    ]


def test_against_a_bridge_each_tool_has_its_level_and_rule_and_what_fits_nothing_is_warned_of(file, tmp_path, capsys):
    with Bridge(zoo("echo", "--pages", 3), "--callers", file, "--name", "echo", headers={"authorization": f"Bearer {ADMIN}"}) as bridge:
        code = main(["policy", "check", file, "--as", "alice", "--url", bridge.url, "--token-file", str(tmp_path / "token")])
    said = capsys.readouterr()
    table = {line.split()[2]: line.split()[3:] for line in said.out.splitlines()}

    assert code == 1
    assert table["echo"] == ["execute", "echo/echo:", "execute"]
    assert table["pid"] == ["deny", "*/p*:", "deny"]
    assert table["add"] == ["deny", "default:", "deny"]
    assert table["prompt:greet"] == ["read", "echo/prompt:*:", "read"]
    assert "alice: ehco/add: deny fits nothing that is listed" in said.err
    assert said.err.count("fits nothing") == 1


def test_tools_that_clients_know_by_other_names_are_checked_by_the_servers_own(file, tmp_path, capsys):
    """Those are what rules are about, with --tool-rename and where models take no such name."""
    options = ("--profile", "litellm", "--tool-rename", "echo=say")
    with Bridge(zoo("echo"), *options, "--callers", file, "--name", "echo", headers={"authorization": f"Bearer {ADMIN}"}) as bridge:
        eventually(lambda: bridge.status()["mcps"]["echo"].get("renamed") == {"say": "echo"})  # once it has seen the list of its child
        main(["policy", "check", file, "--as", "alice", "--url", bridge.url, "--token-file", str(tmp_path / "token")])
    said = capsys.readouterr()

    assert ["alice", "echo", "echo", "execute"] in [line.split()[:4] for line in said.out.splitlines()]
    assert "echo/echo: execute fits nothing" not in said.err


def test_who_does_not_see_everything_is_told_that_the_check_does_not_either(file, tmp_path, capsys):
    alice = "alice-0123456789-0123456789"
    callers = FILE["callers"] | {"alice": FILE["callers"]["alice"] | {"token_sha256": hashlib.sha256(alice.encode()).hexdigest()}}
    (tmp_path / "callers.json").write_text(json.dumps({"callers": callers}))
    (tmp_path / "token").write_text(alice)
    with Bridge(zoo("echo"), "--callers", file, "--name", "echo") as bridge:
        main(["policy", "check", file, "--url", bridge.url, "--token-file", str(tmp_path / "token")])
        assert "echo: the token's caller is no admin of it" in capsys.readouterr().err

        assert main(["policy", "check", file, "--url", bridge.url]) == 2
        assert "the token is not good there, or there is none: --token-file" in capsys.readouterr().err


def test_what_cannot_be_checked_is_told(file, capsys):
    assert main(["policy", "check", file, "--as", "nobody"]) == 2
    assert "no caller 'nobody': there are alice, admin" in capsys.readouterr().err
    assert main(["policy", "check", file, "--url", "http://127.0.0.1:1"]) == 2
    assert "is a bridge up there?" in capsys.readouterr().err


def test_a_password_becomes_a_line_for_the_file(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO("correct horse\n"))

    assert main(["policy", "password"]) == 0
    assert Password.parse(capsys.readouterr().out.strip()).fits(b"correct horse")
