"""`serve --tls-cert --tls-key`: every transport over https, a renewal that no call notices, and files that are not good told by name."""

import os
import shutil
import socket
import ssl
import subprocess
import sys
from urllib.parse import urlsplit

import httpx
import pytest
import slow_readers
from cryptography.hazmat.primitives.asymmetric import ec
from support import Bridge, Http, eventually, zoo
from support.certificates import Authority, any_certificate, private, serial_of
from wire import call, head, message, open_socket, post, read_to_end, read_until

from bridge.certificate import Certificate
from bridge.cli import main
from bridge.settings import UsageError


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(authority, tmp_path_factory):
    certificate, key = authority.issue(tmp_path_factory.mktemp("secure"))
    with Bridge(zoo("echo"), "--tls-cert", certificate, "--tls-key", key) as bridge:
        yield bridge


def serial(bridge) -> int:
    parts = urlsplit(bridge.url)
    return serial_of(parts.hostname, parts.port)


def test_every_transport_speaks_tls(secure, connect, transport):
    client = connect(transport, secure.url)

    assert secure.url.startswith("https://")
    assert client.call("echo", message="ü" * 100_000)["result"]["content"][0]["text"] == "ü" * 100_000


def test_a_client_that_looks_at_certificates_gets_through_all_transports(secure, authority):
    command = [sys.executable, "-m", "bridge", "inspect", secure.url]
    trusting = subprocess.run([*command, "--ca", authority.file], capture_output=True, text=True)
    careful = subprocess.run([*command, "--transport", "sse"], capture_output=True, text=True)

    assert trusting.returncode == 0, trusting.stdout + trusting.stderr
    assert trusting.stdout.count("  works: ") == 3
    assert careful.returncode == 1
    assert "(--ca FILE)" in careful.stdout + careful.stderr


def test_a_token_is_shown_to_no_bridge_whose_certificate_nobody_vouches_for(secure, authority, tmp_path, monkeypatch, capsys):
    """`status --url` asks a bridge that may be anywhere."""
    token = tmp_path / "token"
    token.write_text("a-token-for-tests\n")
    words = ["status", "--url", secure.url, "--token-file", str(token)]
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert main(words) != 0
    assert "certificate" in capsys.readouterr().err.lower()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    assert main(words) == 0


def test_only_newer_tls_and_http_1_1_are_spoken(secure, authority, tmp_path):
    parts = urlsplit(secure.url)
    modern = any_certificate()
    modern.set_alpn_protocols(["h2", "http/1.1"])
    with modern.wrap_socket(socket.create_connection((parts.hostname, parts.port))) as connection:
        assert connection.version() == "TLSv1.3"
        assert connection.selected_alpn_protocol() == "http/1.1"
    assert Certificate(*map(str, authority.issue(tmp_path))).now().minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("size", [1 << 16, 1], ids=["in one piece", "byte by byte"])
def test_plain_http_is_sent_to_https(secure, size):
    plain = secure.url.replace("https:", "http:")
    request = post(plain, message("ping", id=1), path="/mcp?a=1")
    with open_socket(plain) as connection:
        for begin in range(0, len(request), size):
            connection.sendall(request[begin : begin + size])
        answer = read_until(connection, b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 308 ")
    assert f"\r\nlocation: {secure.url}/mcp?a=1\r\n".encode() in answer
    assert httpx.get(f"{plain}/healthz", follow_redirects=True, verify=False).text == "ok\n"


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: evil\\@host\r\n\r\n",
        b"GET http://other/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"A" * 20_000,
        b"GET / HTTP/1.1\r\nhost: a\rLocation: b\r\n\r\n",
    ],
    ids=["no host", "no name", "a proxy's", "no end", "a lone CR"],
)
def test_a_plain_request_that_names_no_place_here_is_sent_nowhere(secure, request_head):
    with open_socket(secure.url.replace("https:", "http:")) as connection:
        connection.sendall(request_head)
        head, _, body = read_until(connection, b"//\n").partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ") and f"\r\ncontent-length: {len(body)}\r\n".encode() in head
    assert b"ocation" not in head


def test_a_handshake_ends_in_time(authority, tmp_path, start):
    certificate, key = authority.issue(tmp_path)
    bridge = start("echo", options=["--tls-cert", certificate, "--tls-key", key, "--head-timeout", 0.5])
    plain = bridge.url.replace("https:", "http:")
    for begin in (b"", b"\x16\x03\x01", b"GET / HT"):
        with open_socket(plain) as connection:
            connection.sendall(begin)
            assert read_to_end(connection) == 0


@pytest.mark.parametrize("kind", [slow_readers.slow_post, slow_readers.slow_get, slow_readers.slow_ws])
def test_a_client_that_does_not_read_is_cut_off_over_tls_too(authority, tmp_path, start, connect, kind):
    """What waits for it must be seen behind TLS: the event loop's own TLS hides it."""
    certificate, key = authority.issue(tmp_path)
    bridge = start("flood", options=["--tls-cert", certificate, "--tls-key", key, "--write-timeout", 0.5, "--stream-buffer", "64m"])
    client = connect(Http, bridge.url, listen=False)
    before = bridge.files()
    connection = kind(bridge, client)
    try:
        eventually(lambda: bridge.files() <= before, 5, "the slow reader holds its connection")
    finally:
        connection.close()


def test_one_large_answer_that_nobody_reads_ends_its_connection_too(authority, tmp_path, start, connect):
    """The event loop's own TLS hands it on whole, holds it where nobody counts it, and says that there is room."""
    certificate, key = authority.issue(tmp_path)
    bridge = start("echo", options=["--tls-cert", certificate, "--tls-key", key, "--write-timeout", 0.5, "--memory", "400m"])
    client = connect(Http, bridge.url, listen=False)
    before = bridge.files()
    with open_socket(bridge.url) as connection:
        connection.sendall(post(bridge.url, call("huge", bytes=30_000_000), mcp_session_id=client.session))
        eventually(lambda: bridge.files() > before)
        eventually(lambda: bridge.metrics().value("mcp_bridge_requests_in_flight") == 0)
        eventually(lambda: bridge.files() <= before, 5, "it is held")


# Renewal


def renewed_by_rename(authority, folder):
    """As acme.sh and most hooks do it: beside, then in its place; first one, then the other."""
    certificate, key = authority.issue(folder / "new")
    os.replace(certificate, folder / "cert.pem")
    os.replace(key, folder / "key.pem")


def renewed_in_place(authority, folder):
    authority.issue(folder)


def renewed_behind_links(authority, folder):
    """As certbot does it: live/NAME/*.pem are links to archive/NAME/*N.pem, and change one by one."""
    for number, name in enumerate(authority.issue(folder / "archive2")):
        link = folder / ("cert.pem", "key.pem")[number]
        beside = folder / ".beside"
        beside.symlink_to(name)
        os.replace(beside, link)


@pytest.mark.parametrize("renew", [renewed_by_rename, renewed_in_place, renewed_behind_links])
def test_a_renewed_certificate_is_taken_and_no_call_notices(authority, tmp_path, start, connect, renew):
    for path in authority.issue(tmp_path / "archive1"):
        (tmp_path / path.name).symlink_to(path)
    bridge = start("echo", options=["--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem"])
    client = connect(Http, bridge.url)
    first = serial(bridge)
    under_way = client.begin("tools/call", {"name": "slow", "arguments": {"seconds": 2}})
    with open_socket(bridge.url) as old:
        renew(authority, tmp_path)
        eventually(lambda: serial(bridge) != first, 10, "the certificate is not taken")
        old.sendall(head("GET", bridge.url, "/healthz"))

        assert b"200 OK" in read_until(old, b"ok\n")
    assert "result" in under_way.result(20)
    assert bridge.logged("certificate reloaded")


def test_as_long_as_certificate_and_key_do_not_fit_the_pair_of_before_is_used(authority, tmp_path, start):
    certificate, key = authority.issue(tmp_path)
    bridge = start("echo", options=["--tls-cert", certificate, "--tls-key", key])
    first = serial(bridge)
    other, _ = authority.issue(tmp_path / "new")
    os.replace(other, certificate)
    eventually(lambda: bridge.logged("certificate not reloaded"), 10)
    why = bridge.logged("certificate not reloaded")[0]

    assert serial(bridge) == first
    assert str(key) in why
    os.replace(tmp_path / "new" / "key.pem", key)
    eventually(lambda: serial(bridge) != first, 10)


# What is not good


def bad(authority, folder, what: str) -> tuple:
    """Certificate, key, which of the two is named, and a word of the way out."""
    certificate, key = authority.issue(folder)
    if what == "missing certificate":
        return folder / "nothing.pem", key, folder / "nothing.pem", "no such file"
    if what == "missing key":
        return certificate, folder / "nothing.pem", folder / "nothing.pem", "no such file"
    if what == "another key":
        key.write_bytes(private(ec.generate_private_key(ec.SECP256R1())))
        return certificate, key, key, "first certificate"
    if what == "issuer first":
        certificate.write_bytes(authority.file.read_bytes() + certificate.read_bytes())
        return certificate, key, key, "the server's own"
    if what == "encrypted key":
        key.write_bytes(private(ec.generate_private_key(ec.SECP256R1()), b"secret"))
        return certificate, key, key, "openssl pkey"
    if what == "swapped":
        return key, certificate, key, "-----BEGIN CERTIFICATE-----"
    if what == "no key":
        key.write_text("nothing")
        return certificate, key, key, "-----BEGIN PRIVATE KEY-----"
    if what == "a folder":
        return folder, key, folder, "directory"
    days = {"expired": (-60, -1), "not yet": (1, 60)}[what]
    certificate, key = authority.issue(folder, since=days[0], until=days[1])
    return certificate, key, certificate, {"expired": "renew it", "not yet": "clock"}[what]


BAD = (
    "missing certificate",
    "missing key",
    "another key",
    "issuer first",
    "encrypted key",
    "swapped",
    "no key",
    "a folder",
    "expired",
    "not yet",
)


@pytest.mark.parametrize("what", BAD)
def test_files_that_are_not_good_are_told_by_name_with_the_way_out(authority, tmp_path, what):
    certificate, key, named, word = bad(authority, tmp_path, what)
    with pytest.raises(UsageError) as refused:
        Certificate(str(certificate), str(key))

    assert str(refused.value).startswith(f"{named}: ")
    assert word in str(refused.value)


def test_nothing_starts_with_a_certificate_that_is_not_good(authority, tmp_path):
    certificate, key = authority.issue(tmp_path, until=-1, since=-3)
    command = [sys.executable, "-m", "bridge", "serve", "--tls-cert", certificate, "--tls-key", key, "--", "touch", tmp_path / "started"]
    ended = subprocess.run(command, capture_output=True, text=True)

    assert ended.returncode == 2
    assert "expired" in ended.stderr
    assert not (tmp_path / "started").exists()


def test_one_file_may_hold_both(authority, tmp_path):
    certificate, key = authority.issue(tmp_path)
    shutil.copyfileobj(key.open("rb"), certificate.open("ab"))

    assert Certificate(str(certificate), "").validity.hosts == ("localhost", "127.0.0.1")


def test_a_key_without_a_certificate_is_refused():
    ended = subprocess.run([sys.executable, "-m", "bridge", "serve", "--tls-key", "x", "--", "true"], capture_output=True, text=True)

    assert (ended.returncode, "--tls-cert FILE" in ended.stderr) == (2, True)
