"""Which key an MCP gets to see from the door: a real nginx with the configuration of the fleet, and sockets that write down what they hear."""

import json
import os
import socket
import ssl
import subprocess
import sys
from datetime import datetime

import httpx
import pytest
from kinds import Stanza
from support import eventually, zoo
from support.certificates import Authority, serial_of
from support.door import Door, header

from bridge.callers.tokens import hash_of
from bridge.fleet import Fleet
from bridge.fleet.adding.registry import document
from bridge.fleet.callers import shipped
from bridge.fleet.targets import registry
from bridge.fleet.targets.template import template
from bridge.http.proxies import Proxies

MCPS = ("time", "git")
FLEET = Fleet(
    stanzas=[Stanza(name="time", command="a", pypi="time-mcp==1.2.3"), Stanza(name="git", command="a", description='No "words" $host')]
)


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    front = Door(tmp_path_factory.mktemp("door"), FLEET)
    places = [front.listen(name) for name in MCPS]
    with front.run() as process:
        try:
            eventually(lambda: socket.socket().connect_ex(("127.0.0.1", front.published)) == 0)
            yield front
        finally:
            process.terminate()
            for place in places:
                place.close()


def test_litellm_is_known_by_the_fleets_token_however_it_sends_it(front):
    for sent in ({"Authorization": f"Bearer {front.token}"}, {"Authorization": front.token}, {"X_API_Key": front.token}):
        assert front.ask(front.inside, "/mcp", "time:8000", **sent) == ("time", "litellm", None)


def test_the_operator_is_another_caller_and_sends_no_mcp_the_token_either(front):
    for sent in ({"Authorization": f"Bearer {front.token}"}, {"X_API_Key": front.token}):
        assert front.ask(front.published, "/git/mcp", "nas", **sent) == ("git", "operator", None)


def test_prometheus_is_a_caller_of_its_own_and_inside_only(front):
    sent = {"Authorization": f"Bearer {front.watch}"}

    assert front.ask(front.inside, "/metrics", "git", **sent) == ("git", "prometheus", None)


@pytest.mark.parametrize("place", ["inside", "published"])
def test_a_callers_own_key_is_passed_as_it_is_and_litellms_beside_it_is_not(front, place):
    port, path = (front.inside, "/mcp") if place == "inside" else (front.published, "/git/mcp")

    assert front.ask(port, path, "git", Authorization="Bearer alices", X_API_Key=front.token) == ("git", "Bearer alices", None)
    assert front.ask(port, path, "git", X_API_Key="alices") == ("git", "", "alices")
    assert front.ask(port, path, "git") == ("git", "", None)


def test_a_callers_own_secrets_are_passed_on(front):
    front.ask(front.published, "/git/mcp", "nas", Authorization="Bearer alices", X_GitHub_Token="ghp_hers")

    assert header("x-github-token", front.seen[-1][1]) == "ghp_hers"


HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


def test_a_real_bridge_behind_it_knows_its_callers_by_what_the_fleet_tells_it(front, tmp_path):
    """The same files as in a container: hashes of derived keys, and compose/callers/callers.yaml."""
    alice, name = "alice-0123456789-0123456789", "time"
    (front.folder / name / "socket").unlink()
    rules = {"alice": {"token_sha256": hash_of(alice).removeprefix("sha256:"), "may": {"time/echo": "execute"}}}
    (tmp_path / "callers.yaml").write_text(json.dumps(shipped(rules)))
    told = [
        "--token-file",
        front.folder / "keys/mcp" / name,
        "--callers",
        tmp_path / "callers.yaml",
        "--uds",
        front.folder / name / "socket",
    ]
    words = [
        sys.executable,
        "-m",
        "bridge",
        "serve",
        "--name",
        name,
        "--allowed-host",
        "*",
        "--session-key-file",
        tmp_path / "key",
        *told,
        "--",
        *zoo("echo"),
    ]
    with subprocess.Popen(list(map(str, words)), stderr=subprocess.DEVNULL) as bridge:
        try:

            def status(port: int, path: str, method: str = "POST", **headers: str) -> int:
                named = {"host": name, "accept": "application/json, text/event-stream"}
                named |= {key.replace("_", "-"): value for key, value in headers.items()}
                body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO} if method == "POST" else None
                return httpx.request(method, f"http://127.0.0.1:{port}{path}", json=body, headers=named, trust_env=False).status_code

            eventually(lambda: status(front.inside, "/mcp", Authorization=f"Bearer {front.token}") == 200)
            assert status(front.inside, "/mcp", X_API_Key=front.token) == 200
            assert status(front.inside, "/mcp", X_API_Key=front.token, Authorization=f"Bearer {alice}") == 200
            assert status(front.published, "/time/mcp", Authorization=f"Bearer {front.token}") == 200
            assert status(front.published, "/time/mcp", Authorization=f"Bearer {alice}") == 200
            assert status(front.published, "/time/mcp") == 401
            assert status(front.published, "/time/mcp", Authorization=f"Bearer {front.watch}") == 401
            assert status(front.inside, "/mcp", Authorization=f"Bearer {front.watch}") in (401, 403, 404)
            assert status(front.inside, "/metrics", "GET", Authorization=f"Bearer {front.watch}") == 200
            assert status(front.published, "/time/metrics", "GET", Authorization=f"Bearer {front.token}") == 200
            assert status(front.published, "/time/metrics", "GET", Authorization=f"Bearer {alice}") in (401, 403, 404)
        finally:
            bridge.terminate()


# --- the fleet as a registry ------------------------------------------------------------------------------------------------


def listed(front, path: str, host: str = "localhost", status: int = 200, **more) -> dict:
    answer = httpx.get(f"http://127.0.0.1:{front.published}/v0.1/servers{path}", headers={"host": host, **more}, trust_env=False)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    return answer.json()


def test_the_door_is_a_registry_of_the_mcps_at_the_address_by_which_it_was_asked(front):
    said = listed(front, "?limit=30", host="127.0.0.1:8000")

    assert said["metadata"] == {"count": 2}
    git, time = (one["server"] for one in said["servers"])
    assert (git["name"], git["description"], git["version"]) == ("local.mcp-fleet/git", 'No "words" $host', "0.0.0")
    assert (time["version"], [one["url"] for one in time["remotes"]]) == (
        "1.2.3",
        ["http://127.0.0.1:8000/time/mcp", "http://127.0.0.1:8000/time/sse"],
    )
    [official] = said["servers"][0]["_meta"].values()
    assert datetime.fromisoformat(official["publishedAt"]).year > 2000 and official["isLatest"]


@pytest.mark.parametrize(("said", "scheme"), [("https", "https"), ("http, HTTPS", "https"), ("https, http", "http"), ("x", "http")])
def test_where_tls_ends_at_a_proxy_before_the_door_the_registrys_addresses_are_https(front, said, scheme):
    [_, time] = listed(front, "", "127.0.0.1:8000", **{"x-forwarded-proto": said})["servers"]

    assert time["server"]["remotes"][0]["url"] == f"{scheme}://127.0.0.1:8000/time/mcp"


@pytest.mark.parametrize("name", ["local.mcp-fleet%2Ftime", "local.mcp-fleet/time"])
def test_each_is_asked_for_by_its_name_and_version(front, name):
    host = "localhost:8000"
    one = listed(front, f"/{name}/versions/latest", host)

    assert one["server"]["remotes"][0]["url"] == "http://localhost:8000/time/mcp"
    assert listed(front, f"/{name}/versions/1.2.3", host)["server"] == one["server"]
    assert [two["server"] for two in listed(front, f"/{name}/versions", host)["servers"]] == [one["server"]]


@pytest.mark.parametrize(
    "path", ["/local.mcp-fleet%2Fnobody/versions/latest", "/local.mcp-fleet%2Ftime/versions/9", "/other%2Ftime/versions/latest", "/x"]
)
def test_a_server_or_version_that_is_not_there_is_told_as_the_api_says(front, path):
    assert listed(front, path, "localhost", 404) == {"error": "no such server, or no such version"}


def test_what_the_registry_says_can_be_added_to_another_fleet(front):
    entry = document.entry(listed(front, "/local.mcp-fleet%2Ftime/versions/latest", "127.0.0.1:8000"))

    assert entry.draft.source == {"url": "http://127.0.0.1:8000/time/mcp"} and entry.draft.auth["type"] == "bearer_token"


def test_no_page_of_another_place_reads_the_registry(front):
    for headers in ({"host": "evil.example"}, {"host": "127.0.0.1", "origin": "https://evil.example"}):
        assert httpx.get(f"http://127.0.0.1:{front.published}/v0.1/servers", headers=headers, trust_env=False).status_code == 403


@pytest.mark.parametrize(
    "said, expected", [({}, True), ({"callers": {"anna": {"token_sha256": "1" * 64}}}, False), ({"registry": False}, False)]
)
def test_where_callers_differ_nobody_is_told_the_names_without_a_key(said, expected):
    fleet = Fleet(stanzas=[Stanza(name="time", command="a"), Stanza(name="probe", command="a", tests_only=True)], **said)

    assert [one["server"]["title"] for one in json.loads(registry.document(fleet))["servers"]] == ["time"] * expected
    assert registry.is_served(fleet.model_copy(update={"registry": True}))


@pytest.mark.parametrize(
    ("trusted", "client", "host", "path"),
    [(["unix"], "127.0.0.1", b"nas", b"/git"), (["unix", "127.0.0.1"], "198.51.100.7", b"mcp.example.org", b"/tools/git")],
    ids=["nobody before the door is trusted", "a proxy is"],
)
def test_the_bridge_behind_it_knows_what_the_proxies_before_the_door_said(front, trusted, client, host, path):
    """What came is passed on with the door's own words behind it: of a client that is no proxy these alone count."""
    before = {"X_Forwarded_For": "6.6.6.6, 198.51.100.7", "X_Forwarded_Host": "mcp.example.org", "X_Forwarded_Prefix": "/tools"}
    front.ask(front.published, "/git/mcp", "nas", X_Forwarded_Proto="https", **before)
    names = ("for", "host", "prefix", "proto")
    headers = {f"x-forwarded-{name}".encode(): header(f"x-forwarded-{name}", front.seen[-1][1]).encode() for name in names}

    assert Proxies(trusted).heard("", headers) == client
    assert headers == {
        b"x-forwarded-host": host,
        b"x-forwarded-prefix": path,
        b"x-forwarded-proto": b"https" if len(trusted) > 1 else b"http",
    }


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def renewing(front, authority, tmp_path_factory):
    """A folder with cert.pem and key.pem, which the fleet's program gives to the door for as long as the tests run."""
    folder = tmp_path_factory.mktemp("renewing")
    certificate, key = authority.issue(folder)
    program = front.folder / "certificate.py"
    program.write_text(
        template("certificate.py")
        .replace("/run/tls/", f"{front.folder}/tls/")
        .replace("EVERY = 1.0", "EVERY = 0.05")
        .replace("TURN = 10", "TURN = 1")
    )
    variables = {"TLS_CERT": str(certificate), "TLS_KEY": str(key)}
    with subprocess.Popen([sys.executable, "-I", str(program)], env=variables, stderr=subprocess.PIPE, text=True) as process:
        try:
            eventually(lambda: (front.folder / "tls/1.pem").exists())
            yield folder, process
        finally:
            process.terminate()


def test_over_https_the_operator_is_known_and_an_mcp_hears_so(front, renewing, authority):
    trust = ssl.create_default_context(cafile=authority.file)
    answer = httpx.get(f"https://127.0.0.1:{front.secure}/git/mcp", headers={"authorization": f"Bearer {front.token}"}, verify=trust)
    name, heard = front.seen[-1]

    assert (answer.status_code, name, header("x-forwarded-proto", heard)) == (200, "git", "https")
    assert front.token not in heard


def test_plain_http_on_a_port_with_tls_is_sent_to_https(front, renewing):
    answer = httpx.post(f"http://127.0.0.1:{front.secure}/git/mcp?a=1", content=b"{}")

    assert (answer.status_code, answer.headers["location"]) == (308, f"https://127.0.0.1:{front.secure}/git/mcp?a=1")


def test_a_renewed_certificate_is_shown_and_the_connections_of_before_go_on(front, renewing, authority):
    """By nginx as it runs: a reload would end calls after `worker_shutdown_timeout`."""
    folder, process = renewing
    with httpx.Client(base_url=f"https://127.0.0.1:{front.secure}", verify=False) as client:
        assert client.get("/healthz").text == "ok\n"
        before = serial_of("127.0.0.1", front.secure)
        certificate, key = authority.issue(folder / "new")
        os.replace(certificate, folder / "cert.pem")
        assert next(line for line in process.stderr if "not taken" in line)  # as long as they do not fit
        assert serial_of("127.0.0.1", front.secure) == before
        os.replace(key, folder / "key.pem")
        eventually(lambda: [serial_of("127.0.0.1", front.secure) for _ in range(9)].count(before) == 0)  # and no handshake fails meanwhile
        stream = client._transport._pool.connections[0]

        assert client.get("/healthz").text == "ok\n"
        assert client._transport._pool.connections == [stream]  # the same connection
