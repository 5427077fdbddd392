"""Which key an MCP gets to see from the door: a real nginx with the configuration of the fleet, and sockets that write down what they hear."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading

import httpx
import pytest
from kinds import Stanza
from support import eventually, zoo

from bridge.callers.tokens import hash_of
from bridge.fleet import Fleet
from bridge.fleet.callers import shipped
from bridge.fleet.targets import door
from bridge.fleet.targets.template import template

MCPS = ("time", "git")


class Door:
    """`seen` is what each MCP's socket heard, the newest last."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("said", *(f"keys/{reader}" for reader in ("litellm", "prometheus", "database", "door", "mcp")), *MCPS):
            (folder / name).mkdir(parents=True)
        (folder / "names").write_text("".join(f"{name}\n" for name in MCPS))
        for name in ("LITELLM_MASTER_KEY", "BRIDGE_TOKEN", "POSTGRES_PASSWORD", "POSTGRES_READER_PASSWORD"):
            (folder / "said" / name).write_text("=")
        program = template("keys.py")
        for name in ("said", "keys", "names"):
            program = program.replace(f'Path("/{name}")', f"Path({str(folder / name)!r})")
        exec(compile(program, "keys.py", "exec"), {"__name__": "__main__"})
        self.token = (folder / "keys/litellm/BRIDGE_TOKEN").read_text()
        self.watch = (folder / "keys/prometheus/PROMETHEUS_TOKEN").read_text()
        self.seen: list[tuple[str, str]] = []
        self.inside, self.published = free_ports(2)
        conf = door.conf(Fleet(stanzas=[Stanza(name=name, command="a") for name in MCPS]))
        conf = conf.replace("/tmp/", f"{folder}/").replace("/run/keys/", f"{folder}/keys/door/").replace("/run/mcp/", f"{folder}/")
        for port, here in ((8000, self.inside), (8080, self.published)):
            conf = conf.replace(f"listen {port}", f"listen 127.0.0.1:{here}").replace(f" {port}'", f" {here}'")
        for port in (4000, 9090):
            conf = conf.replace(f"listen {port}", f"listen unix:{folder}/{port}")
        (folder / "door.conf").write_text("user root;\n" * (os.geteuid() == 0) + conf)

    def listen(self, name: str) -> socket.socket:
        place = socket.socket(socket.AF_UNIX)
        place.bind(str(self.folder / name / "socket"))
        place.listen(9)

        def answer() -> None:
            while True:
                try:
                    peer, _ = place.accept()
                except OSError:
                    return
                with peer:
                    self.seen.append((name, peer.recv(9999).decode()))
                    peer.sendall(b"HTTP/1.0 200 OK\r\n\r\nok")

        threading.Thread(target=answer, daemon=True).start()
        return place

    def ask(self, port: int, path: str, host: str, **headers: str) -> tuple[str, str, str | None]:
        """Which MCP heard it, by whose key as this MCP knows it (or in which words), and what it saw as X-API-Key."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        assert httpx.get(f"http://127.0.0.1:{port}{path}", headers={"host": host, **named}, trust_env=False).status_code == 200
        name, heard = self.seen[-1]
        assert self.token not in heard and self.watch not in heard
        lines = (self.folder / "keys/mcp" / name).read_text().splitlines()
        who = {line.split()[1]: line.split()[0] for line in lines}
        sent = header("authorization", heard) or ""
        return name, who.get(hash_of(sent.removeprefix("Bearer ")), sent), header("x-api-key", heard)


def header(name: str, heard: str) -> str | None:
    found = re.search(rf"(?im)^{name}: (.*?)\r?$", heard)
    return found[1] if found else None


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    front = Door(tmp_path_factory.mktemp("door"))
    places = [front.listen(name) for name in MCPS]
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    words = [nginx, "-e", "stderr", "-c", str(front.folder / "door.conf"), "-g", "daemon off;"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
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
