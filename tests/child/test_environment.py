"""What a child sees of our environment."""

import os

import pytest

from bridge.child.environment import BadEnvironment, compose, proxies, read_file

OURS = {
    "PATH": "/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "SSL_CERT_FILE": "/ca.pem",
    "API_KEY": "secret",
    "MCP_BRIDGE_TOKEN_FILE": "/tokens",
    "LD_PRELOAD": "x.so",
    "PYTHONPATH": "/x",
    "TWICE": "ours",
}


@pytest.fixture
def env_file(tmp_path):
    def write(text) -> str:
        path = tmp_path / "child.env"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def test_a_child_gets_a_small_set_and_none_of_our_secrets():
    assert compose(ours=OURS) == {"PATH": "/bin", "HOME": "/root", "LANG": "C.UTF-8", "SSL_CERT_FILE": "/ca.pem"}


def test_a_child_gets_the_proxies_in_both_cases_and_a_flag_wins():
    ours = {
        "HTTP_PROXY": "http://a:1",
        "https_proxy": "http://b:2",
        "all_proxy": "socks5://c:3",
        "NO_PROXY": "lan",
        "no_proxy": "lan",
        "FTP_PROXY": "x",
    }

    assert compose(ours=ours) == {name: value for name, value in ours.items() if name != "FTP_PROXY"}
    assert compose(["https_proxy="], ours=ours)["https_proxy"] == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("http://me:hush@proxy:3128/", "http://[redacted]@proxy:3128/"),
        ("me:hush@proxy:3128", "[redacted]@proxy:3128"),
        ("http://me:hu@sh@proxy", "http://[redacted]@proxy"),
        ("http://me:hu/sh@proxy", "http://[redacted]@proxy"),
        ("SOCKS5H://hush@[::1]:9", "SOCKS5H://[redacted]@[::1]:9"),
        ("localhost,.lan,10.0.0.0/8", "localhost,.lan,10.0.0.0/8"),
    ],
)
def test_a_proxy_is_shown_without_its_password(value, shown):
    assert proxies({"HTTPS_PROXY": value, "PATH": "/bin", "NO_PROXY": ""}) == {"HTTPS_PROXY": shown}


def test_what_is_named_is_added():
    result = compose(["API_KEY", "A=1", "B=", "C=x=y", "D= z "], ours=OURS)

    assert {name: result[name] for name in ("API_KEY", "A", "B", "C", "D")} == {
        "API_KEY": "secret",
        "A": "1",
        "B": "",
        "C": "x=y",
        "D": " z ",
    }


def test_a_container_may_pass_everything_but_what_is_the_bridges_own():
    result = compose(["*", "TWICE=named"], ours=OURS)

    assert result == {name: value for name, value in OURS.items() if name != "MCP_BRIDGE_TOKEN_FILE"} | {"TWICE": "named"}


def test_later_ones_win(env_file):
    file = env_file("PATH=/file\nA=file\n")

    assert compose(file=file, ours=OURS)["PATH"] == "/file"
    assert compose(["A=flag", "A=again"], file, OURS)["A"] == "again"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"key", "key"),
        (b"key\n", "key"),
        (b"key\r\n", "key"),
        (b"key\n\n", "key\n"),
        (b" key \n", " key "),
        (b"key\r", "key\r"),
        (b"", ""),
        (b"\n", ""),
        (b"a=b\nc", "a=b\nc"),
        ("é".encode(), "é"),
        (b"\xff", "\udcff"),
        (b"x" * 131_000, "x" * 131_000),
    ],
)
def test_a_secret_is_what_stands_in_its_file(tmp_path, content, expected):
    path = tmp_path / "a=b"
    path.write_bytes(content)

    assert compose(["KEY=flag"], secrets=[f"KEY={path}"], ours=OURS)["KEY"] == expected


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"hush\0hush", "a value cannot hold a null byte"),
        (b"hush" * 40_000, "longer than a variable can be (131072 bytes)"),
        (None, "No such file or directory"),
    ],
)
def test_a_secret_that_cannot_be_is_refused_by_both_its_names(tmp_path, content, why):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadEnvironment) as caught:
        compose(secrets=[f"KEY={path}"], ours=OURS)

    assert str(caught.value) == f"--secret KEY={path}: {why}"


@pytest.mark.parametrize("secret", ["KEY", "KEY=", "=/dev/null", "1A=/dev/null", "KEY=/", "KEY=a\0b"])
def test_what_names_no_secret_is_refused(secret):
    with pytest.raises(BadEnvironment) as caught:
        compose(secrets=[secret], ours=OURS)

    assert str(caught.value).startswith("--secret ")


@pytest.mark.parametrize("named", ["NOT_SET", "=x", "1A=x", "A B=x", "A-B=x", "", "é=x", "A\n=x"])
def test_what_names_no_variable_is_refused(named):
    with pytest.raises(BadEnvironment) as caught:
        compose([named], ours=OURS)

    assert "--env" in str(caught.value)


def test_a_refusal_says_nothing_of_the_value():
    with pytest.raises(BadEnvironment) as caught:
        compose(["MY-KEY=hush"], ours=OURS)

    assert "hush" not in str(caught.value)


def test_a_file_may_have_comments_quotes_and_exports(env_file):
    path = env_file("# comment\n\n  A = 1 \nexport B=2\r\nC=\"with space\"\nD='it''s'\nE=\"\nF=a#b\nG=\nH==\nI=\"a' \n")

    assert read_file(path) == {"A": "1", "B": "2", "C": "with space", "D": "it''s", "E": '"', "F": "a#b", "G": "", "H": "=", "I": "\"a'"}


@pytest.mark.parametrize("value", ["é", "a\u2028b", "a\x85b", "a\x0cb"])
def test_a_value_may_hold_any_character_but_newlines(env_file, value):
    """str.splitlines would cut it."""
    assert read_file(env_file(f"A={value}\nB=1")) == {"A": value, "B": "1"}


@pytest.mark.parametrize(("text", "line"), [("A=1\nnothing", ":2"), ("=x", ":1"), ("A B=1", ":1"), ("A=a\0b", ":1"), (b"A=\xff", "UTF-8")])
def test_a_wrong_line_is_named(env_file, text, line):
    path = env_file(text)
    with pytest.raises(BadEnvironment) as caught:
        read_file(path)

    assert path in str(caught.value)
    assert line in str(caught.value)


def test_a_missing_file_is_an_error():
    with pytest.raises(OSError):
        compose(file="/nowhere/at/all", ours=OURS)


def test_a_copy_is_the_childs_until_another_file_is_given(tmp_path):
    """A token that its server refreshes must outlive a restart, and one that the operator replaced must not be the old one."""
    given, copy = tmp_path / "token", tmp_path / "data/token.json"
    wish = {"copies": [f"TOKEN_PATH={given}:{copy}"], "ours": OURS}
    given.write_text("first")

    assert compose(**wish)["TOKEN_PATH"] == str(copy)
    assert (copy.read_text(), copy.stat().st_mode & 0o777) == ("first", 0o600)
    copy.write_text("refreshed")
    compose(**wish)
    assert copy.read_text() == "refreshed"
    given.write_text("second")
    compose(**wish)
    assert copy.read_text() == "second"
    given.write_text("")
    copy.unlink()
    assert compose(**wish)["TOKEN_PATH"] == str(copy) and not copy.exists()  # its server makes one itself


@pytest.mark.parametrize(
    "laid", [os.mkfifo, os.mkdir, lambda path: path.write_bytes(b"\xff" * 64), lambda path: path.symlink_to("/dev/zero")]
)
def test_what_a_child_lays_beside_its_copy_holds_nobody_up(tmp_path, laid):
    given, copy = tmp_path / "token", tmp_path / "data/token.json"
    given.write_text("first")
    copy.parent.mkdir()
    copy.write_text("what a child wrote")
    laid(tmp_path / "data/.token.json.made-of")
    try:
        compose(copies=[f"TOKEN_PATH={given}:{copy}"], ours=OURS)
    except BadEnvironment as told:  # a folder is in the way
        assert "token.json.made-of" in str(told)
    else:
        assert copy.read_text() == "first"


@pytest.mark.parametrize(
    "item, why", [("A=x", "expected NAME=FILE:COPY"), ("A=/nowhere/x:/tmp/y", "/nowhere/x: No such file"), ("1=a:b", "not the name")]
)
def test_what_cannot_be_copied_is_told(item, why):
    with pytest.raises(BadEnvironment, match=why):
        compose(copies=[item], ours=OURS)
