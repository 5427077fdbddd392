"""A modern POST as raw bytes on a socket: headers that come twice, or are spelled as no HTTP library would."""

import json
import socket
from urllib.parse import urlsplit

from support import envelope
from support.modern import routing


def post_raw(url: str, method: str, params: dict, *, twice: str = "", spelling: dict | None = None, pad: str = " ") -> tuple[int, dict]:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params | {"_meta": envelope()}}
    content = json.dumps(message).encode()
    headers = {"host": urlsplit(url).netloc, "content-type": "application/json", "accept": "application/json, text/event-stream"}
    headers |= {name: value for name, value in routing(message).items() if value is not None}
    lines = [(spelling or {}).get(name, name) + f":{pad}{value}{pad}" for name, value in headers.items() if name not in ("host",)]
    lines += [line for line in lines if line.lower().startswith(f"{twice.lower()}:")] if twice else []
    head = "\r\n".join(
        [f"POST /mcp HTTP/1.1\r\nhost: {headers['host']}", *lines, f"content-length: {len(content)}", "connection: close", "", ""]
    )
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as connection:
        connection.sendall(head.encode() + content)
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    start, _, body = answer.partition(b"\r\n\r\n")
    return int(start.split()[1]), json.loads(body)
