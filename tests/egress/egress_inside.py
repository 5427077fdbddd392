"""In the network namespace of test_egress_proxy.py: an internet of one name server and some web servers, the proxy, and who asks it.

Reads plan.json; prints, as a line of JSON, what each question and each program got, and what the proxy logged and counted.
"""

import json
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(sys.argv[1])
PLAN = json.loads((FOLDER / "plan.json").read_text())
PUBLIC, SECURE, PRIVATE = "203.0.113.10", "203.0.113.20", "10.9.9.9"
NAMES = {
    **dict.fromkeys(("api.example.com", "a.b.below.example", "below.example", "odd.example", "other.example", "evil.example"), PUBLIC),
    "tls.example.com": SECURE,
    **dict.fromkeys(("inside.example", "plain.below.example"), PRIVATE),
}
lookups: Counter[str] = Counter()


def name_server() -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("203.0.113.53", 53))
    while True:
        query, client = server.recvfrom(4096)
        server.sendto(answer(query), client)


def answer(query: bytes) -> bytes:
    at, labels = 12, []
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode().lower())
        at += 1 + length
    name, kind = ".".join(labels), struct.unpack("!H", query[at + 1 : at + 3])[0]
    address = NAMES.get(name)
    if kind == 1:
        lookups[name] += 1
        if name == "rebind.example":  # another address each time, and good for no second
            address = PUBLIC if lookups[name] % 2 else PRIVATE
    known = address or name == "rebind.example"
    records = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + socket.inet_aton(address) if address and kind == 1 else b""
    head = query[:2] + struct.pack("!HHHHH", 0x8180 | (0 if known else 3), 1, bool(records), 0, 0)
    return head + query[12 : at + 5] + records


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"hello from {self.server.server_address[0]}".encode())

    def log_message(self, *_: object) -> None:
        pass


def serve(address: str, port: int) -> None:
    server = ThreadingHTTPServer((address, port), Page)
    if address == SECURE and port == 443:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(FOLDER / "cert.pem", FOLDER / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def ask(mcp: str, head: str) -> str:
    """What the proxy says to this, and (it is HTTP/1.0: to the end) what is behind the tunnel that it opens."""
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(10)
            peer.connect(str(FOLDER / "sockets" / mcp / "socket"))
            peer.sendall(f"{head}\r\n\r\n".encode())
            said = peer.recv(65536)
            if head.startswith("CONNECT") and said.startswith(b"HTTP/1.1 200"):
                peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while more := peer.recv(65536):
                said += more
            return said.decode(errors="replace")
    except OSError as error:
        return str(error)


def metrics() -> str:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(FOLDER / "metrics"))
        peer.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: peer.recv(65536), b"")).decode()


def rebound() -> list[str]:
    """The name with two addresses is asked for until it was looked up often, whatever was kept."""
    said, deadline = [], time.monotonic() + 30
    while lookups["rebind.example"] < 4 and time.monotonic() < deadline:
        said.append(ask("github", "CONNECT rebind.example:443 HTTP/1.0"))
        time.sleep(0.2)
    return said


def main() -> None:
    threading.Thread(target=name_server, daemon=True).start()
    for place in ((PUBLIC, 443), (PUBLIC, 80), (PUBLIC, 8443), (PUBLIC, 22), (SECURE, 443), (SECURE, 80), (PRIVATE, 443), (PRIVATE, 80)):
        serve(*place)
    with (FOLDER / "log").open("w") as log:
        proxy = subprocess.Popen([sys.executable, "-m", "bridge.egress", str(FOLDER)], stdout=log, stderr=sys.stderr, cwd=PLAN["root"])
    try:
        found = look()
    finally:
        proxy.terminate()
        code = proxy.wait(20)
    print(json.dumps({**found, "log": (FOLDER / "log").read_text(), "code": code}))


def look() -> dict[str, object]:
    deadline = time.monotonic() + 30
    while " 200 " not in ask("github", "CONNECT api.example.com:443 HTTP/1.0") and time.monotonic() < deadline:
        time.sleep(0.1)
    said = {head: ask(mcp, head) for mcp, head in PLAN["questions"]}
    of_other = {head: ask("other", head) for head in PLAN["of_other"]}
    with (FOLDER / "programs").open("w+") as printed:
        subprocess.run(
            ["unshare", "--user", "--map-root-user", "--net", "sh", "-ec", PLAN["alone"]], stdout=printed, check=True, timeout=60
        )
    programs = (FOLDER / "programs").read_text()
    return {"said": said, "of_other": of_other, "rebound": rebound(), "programs": programs, "lookups": lookups, "metrics": metrics()}


if __name__ == "__main__":
    main()
