"""How many instructions a call takes, which no noise moves: the whole process under callgrind, without the kernel's part.

    python tests/bench/instructions.py [--checkout DIR] [--calls N] [handshake|tokens|callers|audit|modern|two-pieces|bare]...

Two runs of the same server, one with N calls more than the other; the difference is theirs. One connection, one call
at a time. `tokens`, `callers` and `audit` are `handshake` with --token-file, with --callers and rules that have to be looked at, and
with --audit. `two-pieces` is `modern`, head and body sent apart. `group` and `group-modern` call the same tool by the address of a group. Needs valgrind (Debian's). Prints one line a case.
"""

import argparse
import contextlib
import functools
import hashlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import install
import load
import servers

WARM = 300  # calls before anything counts: caches are full, the code is specialised
APART = 0.02  # seconds between two pieces: as long as it takes under callgrind to read the first one
MODERN = (
    b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"},"_meta":{'
    b'"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},'
    b'"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"}}}}'
)
MODERN_HEADERS = b"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n"
CONSTANT = '{"jsonrpc":"2.0","id":123456789,"result":{"content":[{"type":"text","text":"hello"}]}}'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--checkout", type=Path, default=servers.CHECKOUT, help="the checkout whose bridge is measured")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for the bridge: OTEL_TRACES_SAMPLER=always_off")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is needed: apt-get install valgrind")
    for case in options.cases or CASES:
        more = dict(one.split("=", 1) for one in options.env)
        _instructions(case, options.checkout, 1, more)  # compiles the modules
        few, many = (_instructions(case, options.checkout, WARM + calls, more) for calls in (0, options.calls))
        print(f"{case}: {(many - few) / options.calls:,.0f} instructions a call", flush=True)
    return 0


def _instructions(case: str, checkout: Path, calls: int, more: dict[str, str]) -> int:
    with tempfile.TemporaryDirectory(prefix="mcp-bench-") as folder:
        port, counted = servers._free_port(), Path(folder, "counted")
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counted}", sys.executable, *CASES[case](port)]
        child = [*install.child(), str(Path(folder, "spawns"))]
        if case.startswith("group"):
            eras = {"echo": "modern" if case == "group-modern" else "legacy", "other": "legacy"}
            mcps = {name: {"command": child[0], "args": child[1:], "child_era": era} for name, era in eras.items()}
            command += ["--config", _file(case, json.dumps({"mcpServers": mcps}))]
        elif case != "bare":
            command += child
        environment = {"PATH": "/usr/bin:/bin", "HOME": folder, "PYTHONHASHSEED": "0", **more}
        with Path(folder, "log").open("w+b") as log:
            process = subprocess.Popen(command, cwd=checkout, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                _call(case, port, calls)
            except OSError as error:
                log.seek(0)
                raise SystemExit(f"{case}: {error}: {log.read()[-2000:].decode()}") from None
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)
        return int(re.search(r"^(?:summary|totals): (\d+)", counted.read_text(), re.MULTILINE)[1])


def _call(case: str, port: int, calls: int) -> None:
    connection = _connected(port, patience=300)
    with connection, connection.makefile("rb") as answers:
        headers, body = b"", load.CALL
        path, name = (b"/all/mcp", b"echo-echo") if case.startswith("group") else (b"/mcp", b"echo")
        if case in ("modern", "two-pieces", "group-modern"):
            headers, body = MODERN_HEADERS.replace(b": echo", b": " + name), MODERN.replace(b'"echo"', b'"%b"' % name)
        elif case != "bare":
            shown = _jwt()[0] if case == "jwt" else TOKEN if case in ("tokens", "callers") else ""
            token = b"Authorization: Bearer %b\r\n" % shown.encode() if shown else b""
            opened, _ = _post(connection, answers, token, load.INITIALIZE % 1, path)
            headers = token + b"MCP-Protocol-Version: 2025-06-18\r\nMcp-Session-Id: %b\r\n" % load.SESSION.search(opened)[1]
            _post(connection, answers, headers, load.INITIALIZED, path)
        for id in range(100_000_000, 100_000_000 + calls):
            content = body % ((id, name) if body is load.CALL else (id,))
            head, answer = _post(connection, answers, headers, content, path, apart=case == "two-pieces")
            if b" 200 " not in head.partition(b"\r\n")[0] or b'"content"' not in answer:
                raise SystemExit(f"{case}: a wrong answer: {head!r} {answer[:300]!r}")


def _post(connection: socket.socket, answers, headers: bytes, body: bytes, path: bytes, apart: bool = False) -> tuple[bytes, bytes]:
    head = (
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\n%bContent-Type: application/json\r\n"
        b"Accept: application/json, text/event-stream\r\nContent-Length: %d\r\n\r\n" % (path, headers, len(body))
    )
    for piece in (head, body) if apart else (head + body,):
        connection.sendall(piece)
        time.sleep(APART if apart else 0)
    head = b"".join(iter(answers.readline, b"\r\n"))
    return head, answers.read(int(load.LENGTH.search(b"\r\n" + head)[1]))


def _connected(port: int, patience: int) -> socket.socket:
    for _ in range(patience * 20):
        with contextlib.suppress(OSError):
            connection = socket.create_connection(("127.0.0.1", port), 30)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        time.sleep(0.05)
    raise OSError("it does not listen")


def _serve(era: str, *options: str):
    return lambda port: ["-m", "bridge", "serve", "--port", str(port), "--child-era", era, "--name", "echo", *options, "--"]


TOKEN = "a-token-of-the-bench-0123456789"
HASHED = f"sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}"
RULES = {"callers": {"bench": {"token_sha256": HASHED, "may": {"echo/ec*": "execute", "echo/tool:*": "read", "*/delete_*": "deny"}}}}
FOLDER = tempfile.TemporaryDirectory(prefix="mcp-bench-")


def _file(name: str, content: str) -> str:
    path = Path(FOLDER.name, name)
    path.write_text(content)
    return str(path)


@functools.cache
def _jwt() -> tuple[str, str]:
    """A token as issuers write them, of some 700 bytes, and the file of its key."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = jwt.get_algorithm_by_name("RS256").to_jwk(private.public_key(), as_dict=True) | {"kid": "bench", "use": "sig"}
    claims = {"iss": "https://issuer.example.com/realms/team", "aud": "bench", "sub": "0b0e9c7e-4f2b-4d62-9a59-1b3f2f8b9d11"}
    claims |= {"exp": int(time.time()) + 86400, "scope": "openid profile email mcp:call", "azp": "bench", "jti": "c" * 36}
    return jwt.encode(claims, private, "RS256", {"kid": "bench"}), _file("jwks", json.dumps({"keys": [public]}))


CASES = {
    "handshake": _serve("legacy"),
    "tokens": _serve("legacy", "--token-file", _file("tokens", f"bench {HASHED}")),
    "callers": _serve("legacy", "--callers", _file("callers", json.dumps(RULES))),
    "audit": _serve("legacy", "--audit", _file("audit", "")),
    "jwt": lambda port: _serve("legacy", "--jwks", _jwt()[1], "--audience", "bench")(port),
    "modern": _serve("modern"),
    "two-pieces": _serve("modern"),
    "group": lambda port: ["-m", "bridge", "serve", "--port", str(port)],
    "group-modern": lambda port: ["-m", "bridge", "serve", "--port", str(port)],
    "bare": lambda port: [
        str(Path(__file__).with_name("bare.py")),
        str(port),
        json.dumps([["content-type", "application/json"], ["content-length", str(len(CONSTANT))]]),
        CONSTANT,
    ],
}

if __name__ == "__main__":
    sys.exit(main())
