"""--trusted-proxy: who the client is and which address it has for us, behind one proxy, two, and somebody who would like to be another."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Bridge, eventually, zoo
from wire import initialize, open_socket, post, read_until

from bridge.http.proxies import Proxies, untrusted
from bridge.settings import UsageError

TRUSTED = Proxies(["10.0.0.0/8", "192.0.2.1", "2001:db8::/64", "unix"])


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        ("203.0.113.9", "198.51.100.7", "203.0.113.9"),  # nobody's proxy
        ("192.0.2.1", "198.51.100.7", "198.51.100.7"),  # one proxy
        ("192.0.2.1", "198.51.100.7, 10.1.2.3", "198.51.100.7"),  # and one before it
        ("192.0.2.1", "6.6.6.6, 198.51.100.7, 10.1.2.3", "198.51.100.7"),  # the client's own words, left of what is true
        ("192.0.2.1", "10.9.9.9, 198.51.100.7", "198.51.100.7"),  # it says it is one of the proxies
        ("192.0.2.1", "198.51.100.7, 203.0.113.8", "203.0.113.8"),  # a proxy that nobody trusts is the client
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "unknown", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7, _hidden, 10.1.2.3", "10.1.2.3"),  # what is no address ends the list
        ("192.0.2.1", "198.51.100.7,, 10.1.2.3", "10.1.2.3"),
        ("192.0.2.1", "10.1.1.1, 10.1.2.3", "10.1.1.1"),  # all are proxies: the first of them asked
        ("", "198.51.100.7:55555", "198.51.100.7"),
        ("", "[2001:db8:1::7]:443", "2001:db8:1::7"),
        ("", "2001:DB8:1::7", "2001:db8:1::7"),
        ("", "2001:db8:1::7, 2001:db8::1", "2001:db8:1::7"),
        ("", "::ffff:198.51.100.7", "198.51.100.7"),
        ("", '"198.51.100.7"', ""),
        ("", "198.51.100.7; drop", ""),
        ("", "1.2.3", ""),
        ("", "fe80::1%eth0", ""),
        ("", "198.51.100.7 10.1.2.3", ""),
    ],
)
def test_the_client_is_the_first_from_the_right_who_is_no_proxy(peer, said, client):
    assert TRUSTED.heard(peer, {b"x-forwarded-for": said.encode()}) == client


@given(st.lists(st.sampled_from(["198.51.100.7", "10.0.0.1", "unknown", "", "[", "2001:db8::1", "x" * 99, "\xff"])))
def test_whatever_a_client_writes_before_the_proxies_words_changes_nothing(own):
    said = ", ".join([*own, "203.0.113.5"]).encode("latin-1")

    assert TRUSTED.heard("192.0.2.1", {b"x-forwarded-for": said}) == "203.0.113.5"


def test_a_list_of_proxies_without_end_ends():
    assert TRUSTED.heard("10.0.0.1", {b"x-forwarded-for": b"10.0.0.2," * 100_000 + b"10.0.0.3"}) == "10.0.0.2"


@pytest.mark.parametrize(
    ("chain", "said", "left"),
    [
        ("198.51.100.7", {"proto": "https", "host": "mcp.example.org"}, {"proto": "https", "host": "mcp.example.org"}),
        ("198.51.100.7", {"proto": "http, https", "host": "evil, mcp.example.org"}, {"proto": "https", "host": "mcp.example.org"}),
        ("198.51.100.7, 10.0.0.1", {"proto": "x, https, http", "prefix": "/evil, /a/, /b"}, {"proto": "https", "prefix": "/a/b"}),
        ("198.51.100.7, 10.0.0.1", {"proto": "https"}, {"proto": "https"}),  # the first proxy said it, and the second passed it on
        ("198.51.100.7", {"prefix": "/evil, "}, {"prefix": ""}),
    ],
)
def test_of_scheme_host_and_prefix_as_many_words_count_as_there_are_trusted_proxies(chain, said, left):
    headers = {f"x-forwarded-{name}".encode(): value.encode() for name, value in {"for": chain, **said}.items()}
    TRUSTED.heard("", headers)

    assert headers == {f"x-forwarded-{name}".encode(): value.encode() for name, value in left.items()}


def test_what_nobody_trusted_says_is_taken_away():
    headers = {b"x-forwarded-for": b"1.2.3.4", b"x-forwarded-host": b"evil", b"host": b"a"}
    TRUSTED.heard("203.0.113.9", headers)
    again = {b"x-forwarded-proto": b"https", b"host": b"a"}

    assert headers == {b"host": b"a"}
    assert (untrusted(again), again) == (b"x-forwarded-proto", {b"host": b"a"})


@pytest.mark.parametrize("wrong", ["10.0.0.1/8", "proxy.local", "10.0.0.0/33", ""])
def test_what_is_no_address_and_no_network_is_refused_by_name(wrong):
    with pytest.raises(UsageError, match="--trusted-proxy"):
        Proxies([wrong])


# A bridge


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """A bridge that trusts this machine, and where it writes down who called."""
    file = tmp_path_factory.mktemp("audited") / "audit"
    with Bridge(zoo("echo"), "--trusted-proxy", "127.0.0.1", "--audit", file) as bridge:
        yield bridge, file


def lines(file, count: int) -> list[dict]:
    eventually(lambda: file.exists() and len(file.read_text().splitlines()) >= count)
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("framing", ["fast", "asgi"])
def test_the_audit_has_the_client_s_address_and_not_the_proxy_s(audited, framing):
    """By both ways that a request can take; on one connection, as proxies keep them, for two clients."""
    bridge, file = audited
    before = len(file.read_text().splitlines()) if file.exists() else 0
    hello = initialize()
    more = {"expect": "100-continue"} if framing == "asgi" else {}
    with open_socket(bridge.url) as connection:
        for client in ("198.51.100.7", "6.6.6.6, 198.51.100.8", "198.51.100.8"):
            connection.sendall(post(bridge.url, hello, x_forwarded_for=client, **more))
            read_until(connection, b"}}}")
    found = lines(file, before + 3)[before:]

    assert [line["address"] for line in found] == ["198.51.100.7", "198.51.100.8", "198.51.100.8"]


def test_without_the_option_nothing_is_trusted_and_the_log_says_the_way_out(start, tmp_path):
    bridge = start("echo", options=["--audit", tmp_path / "audit"])
    with open_socket(bridge.url) as connection:
        connection.sendall(post(bridge.url, initialize(), x_forwarded_for="198.51.100.7"))
        read_until(connection, b"}}}")
    bridge.get("/status.json", **{"x-forwarded-proto": "https"})
    bridge.get("/status.json", **{"x-forwarded-proto": "https"})

    assert lines(tmp_path / "audit", 1)[0]["address"] == "127.0.0.1"
    assert len(bridge.logged("--trusted-proxy 127.0.0.1")) == 1
