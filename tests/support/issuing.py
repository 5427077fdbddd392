"""An issuer of JWTs in this process: its keys, the tokens it signs, and the documents that it publishes, over real HTTP."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

AUDIENCE = "https://bridge.example.com/mcp"
_RSA = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]  # which takes a while
MADE = {"RS256": _RSA, "ES256": [ec.generate_private_key(ec.SECP256R1())], "EdDSA": [ed25519.Ed25519PrivateKey.generate()]}


class Key:
    def __init__(self, id: str | None, algorithm: str = "RS256", private=None):
        self.id, self.algorithm = id, algorithm
        self.private = private or MADE[algorithm][0]

    def public(self, **members) -> dict:
        plain = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key(), as_dict=True)
        return {name: value for name, value in (plain | {"kid": self.id, "use": "sig"} | members).items() if value is not None}


class Issuer:
    """`keys` are published; what is signed by another one of `Key` is a stranger's. `asked` are the paths that were asked for."""

    url = "https://issuer.example.com"

    def __init__(self, *keys: Key):
        self.keys = list(keys) or [Key("one")]
        self.asked: list[str] = []
        self.is_down = False
        self.document: dict = {}

    def claims(self, **claims) -> dict:
        now = int(time.time())
        whole = {"iss": self.url, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 600} | claims
        return {name: value for name, value in whole.items() if value is not None}

    def token(self, key: Key | None = None, headers: dict | None = None, **claims) -> str:
        key = key or self.keys[0]
        named = {"kid": key.id} if key.id is not None else {}
        return jwt.encode(self.claims(**claims), key.private, key.algorithm, named | (headers or {}))

    def jwks(self) -> bytes:
        return json.dumps({"keys": [key.public() for key in self.keys]}).encode()

    def answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        if self.is_down:
            return 503, b"down"
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"} | self.document).encode()
        return (200, self.jwks()) if path == "/keys" else (404, b"")

    @contextmanager
    def serving(self):
        """At an address of this machine, which is its name from then on."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = issuer.answer(self.path)
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
