"""Secrets that nobody has seen before are planted wherever one can come in, and searched for wherever something comes out, in each spelling."""

import base64
import hashlib
import json
import os
import secrets
import socket
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from support import Bridge, Http, Modern, Sse, Ws, eventually, text
from support.issuing import AUDIENCE, Issuer

from bridge.callers.passwords import hashed

# It tells its environment on standard error, as servers do that die of a wrong one.
CHILD = """
import os, sys
from urllib.parse import quote
from echo import child

def said(name):
    value = os.environ.get(name, "")
    return f"{name}={value} cannot log in as {value} at https://host/?q={quote(value)}"

@child.tool
def spill():
    for name in ("CHILD_TOKEN", "API_KEY", "PLAIN"):
        print(said(name), file=sys.stderr, flush=True)
    return "spilt"

@child.tool
def die():
    print("Traceback: " + said("CHILD_TOKEN"), file=sys.stderr, flush=True)
    os._exit(3)

child.run()
"""


class Planted:
    """What was planted, by where."""

    def __init__(self):
        self.values: dict[str, str] = {}

    def one(self, where: str) -> str:
        return self.values.setdefault(where, f"Pl4nted~{len(self.values)}~{secrets.token_urlsafe(18)}")

    def found_in(self, content: bytes, *but: str) -> list[str]:
        return [where for where, value in self.values.items() if where not in but and any(one in content for one in spellings(value))]


def spellings(value: str) -> set[bytes]:
    """Plain, in each alignment of base64, in hexadecimal, percent-encoded, escaped, and as hashes that could be guessed from."""
    raw = value.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode(), quote(value, safe="").encode(), json.dumps(value)[1:-1].encode()}
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            inside = encode(b"\0" * shift + raw)
            found.add(inside[4 if shift else 0 : len(inside) - 4])
    return found | {hashlib.new(name, raw).hexdigest().encode() for name in ("sha1", "md5")}


@pytest.mark.parametrize("format", ["human", "json"])
def test_no_secret_comes_out_anywhere(written, tmp_path, connect, format):
    planted, issuer = Planted(), Issuer()
    folder, private = tmp_path / "out", tmp_path / "in"
    folder.mkdir()
    private.mkdir()

    def keep(name: str, content: str) -> Path:
        (private / name).write_text(content)
        (private / name).chmod(0o600)
        return private / name

    hash = hashlib.sha256(planted.one("token").encode()).hexdigest()
    callers = {
        "hashed": {"token_sha256": hash, "may": {"*/*": "execute", "*/pid": "deny", "*/add": "read"}},
        "plain": {"token_file": str(keep("plain", planted.one("token file"))), "may": {"*/*": "admin"}},
        "basic": {"basic": {"user": "bob", "password": hashed(planted.one("password").encode())}, "default": "execute"},
        "jwt": {"jwt": {"sub": "alice"}, "default": "execute"},
    }
    options = [
        *(
            "--callers",
            keep("callers.json", json.dumps({"callers": callers})),
            "--name",
            "zoo",
            "--log-level",
            "debug",
            "--log-format",
            format,
        ),
        *(
            "--token-file",
            keep("tokens", f"other {planted.one('old token')}\n"),
            "--admin-token-file",
            keep("admin", planted.one("admin token")),
        ),
        *("--jwks", keep("keys", issuer.jwks().decode()), "--audience", AUDIENCE),
        *("--caller-secret", "API_KEY=header:X-Api-Value", "--secret", f"CHILD_TOKEN={keep('child', planted.one('child secret'))}"),
        *("--caller-secret-missing", "fallback", "--env", f"PLAIN={planted.one('plain environment')}"),
        *("--audit", folder / "audit", "--audit-arguments", "--session-key-file", folder / "key"),
    ]
    env = {"XDG_STATE_HOME": str(folder), "HOME": str(folder), "TMPDIR": str(folder), "MCP_BRIDGE_CACHE_DIR": str(folder)}
    jwt = planted.values.setdefault("JWT", issuer.token())
    planted.values["signature"] = jwt.rpartition(".")[2]
    basic = base64.b64encode(f"bob:{planted.one('password')}".encode()).decode()
    answers = bytearray()
    with Bridge(written(CHILD), *options, env=env) as bridge:
        for key in ("token", "token file", "old token", "JWT"):
            for way in (Http, Sse, Ws, Modern):
                shown = {"authorization": f"Bearer {planted.values[key]}", "x-api-value": planted.one("credential")}
                client = connect(way, bridge.url, headers=shown)
                client.call("echo", message="hi", password=planted.one("argument"), nested=[{"apiKey": planted.one("nested argument")}])
                client.call("echo", message=f"Authorization: Bearer {planted.one('argument that looks like one')}")
                answers += json.dumps([client.call("pid"), client.call("add", a=1, b=2), client.call("nowhere")]).encode()
                client.request(
                    "resources/read", {"uri": f"https://u:{planted.one('URL password')}@h/?access_token={planted.one('URL query')}"}
                )
                assert text(client.call("spill")) == "spilt"
        http = bridge.http
        good = {"authorization": f"Basic {basic}"}
        query = f"?token={planted.one('query')}&api_key={planted.one('query')}"
        for path in (
            "/mcp",
            "/sse",
            "/status.json",
            "/nowhere",
            "/ws",
            "/zoo/readyz",
            "/.well-known/oauth-protected-resource/mcp",
            "/-/reload",
        ):
            for method in ("GET", "POST"):
                for shown in (
                    good,
                    {"authorization": f"Bearer {planted.one('wrong token')}"},
                    {"authorization": f"Basic {base64.b64encode(('bob:' + planted.one('wrong password')).encode()).decode()}"},
                    {"x-api-key": planted.one("wrong API key")},
                    {"authorization": f"Bearer {planted.values.setdefault('expired JWT', issuer.token(exp=1))}"},
                    good | {"cookie": f"session={planted.one('cookie')}", "mcp-session-id": planted.one("session id")},
                    good | {"last-event-id": planted.one("event id"), "mcp-protocol-version": "2025-06-18"},
                ):
                    with http.stream(method, path + query, headers=shown, json={"jsonrpc": "2.0", "id": 1, "method": "ping"}) as answer:
                        answers += repr(answer.headers.raw).encode()
                        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                            answers += answer.read()
        answers += (
            http.get("/mcp", headers={"origin": f"https://u:{planted.one('origin')}@evil.example.com"}).headers["content-type"].encode()
        )
        answers += raw(bridge, b"POST http://u:%b@localhost/mcp HTTP/1.1\r\nhost: localhost\r\n\r\n" % planted.one("target").encode())
        answers += raw(
            bridge, b"GET /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer %b\x01\r\n\r\n" % planted.one("bad head").encode()
        )
        admin = {"authorization": f"Bearer {planted.one('token file')}"}
        pages = b"".join(
            http.get(path, headers=admin).content for path in ("/zoo/log.json", "/status.json", "/readyz", "/metrics", "/zoo/status.json")
        )
        assert b"mcp_bridge_requests_total" in pages and b"spill" in pages
        entitled = look_at_processes(bridge, planted)
        assert {"child secret", "credential"} <= entitled  # or nothing was looked for
        with Http(bridge.url, headers=admin) as client:
            client.call("die")
        eventually(lambda: bridge.logged("Traceback"))
        pages += b"".join(http.get(path, headers=admin).content for path in ("/log.json", "/status.json", "/readyz", "/metrics"))
    log = "\n".join(bridge.log).encode()

    assert len(planted.values) > 20
    assert not planted.found_in(bytes(answers))
    assert not planted.found_in(pages, "plain environment")  # as below: of the pages one is the log
    assert b"cannot log in as" in log and not planted.found_in(log, "plain environment")  # which is not said to be secret
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert len((folder / "audit").read_text().splitlines()) > 40
    assert {str(path): found for path, content in files.items() if (found := planted.found_in(content))} == {}


def raw(bridge: Bridge, request: bytes) -> bytes:
    address, _, port = bridge.url.removeprefix("http://").partition(":")
    with socket.create_connection((address, int(port)), 10) as connection:
        connection.sendall(request)
        return connection.recv(65536)


def look_at_processes(bridge: Bridge, planted: Planted) -> set[str]:
    """No command line has one, and of environments only that of the child that it is for. What those have is returned."""
    entitled: set[str] = set()
    for pid in (bridge.process.pid, *bridge.children()):
        command, environment = (Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
        if pid != bridge.process.pid:
            assert not planted.found_in(command), psutil.Process(pid).cmdline()
            entitled.update(planted.found_in(environment))
        else:
            assert not planted.found_in(environment)
            assert planted.found_in(command) in ([], ["plain environment"])  # which its operator wrote there
    assert entitled <= {"child secret", "credential", "plain environment"}
    assert not planted.found_in(os.fsencode("\0".join(os.environ.values())))
    return entitled
