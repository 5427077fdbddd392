"""The same child as echo.c, for machines without a C compiler.

Raw reads and writes, constant results; only the envelope is parsed.
"""

import json
import os
import sys

RESULTS = {
    "initialize": b'{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"bench-echo","version":"1"}}',
    "server/discover": b'{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},'
    b'"ttlMs":0,"cacheScope":"private"}',
    "tools/list": b'{"tools":[{"name":"echo","description":"A constant","inputSchema":{"type":"object"}},'
    b'{"name":"big","description":"5 MiB of text","inputSchema":{"type":"object"}}]}',
    "ping": b"{}",
}
ECHOED = b'{"content":[{"type":"text","text":"hello from the child"}]}'
BIG_LINE = b"The quick brown fox jumps over the lazy dog, then sits down to count to ninety.\\n"
BIG = b'{"content":[{"type":"text","text":"' + BIG_LINE * 65536 + b'"}]}'


def main() -> None:
    if len(sys.argv) > 1:
        with open(sys.argv[1], "ab") as spawns:
            spawns.write(b".")
    rest = b""
    while chunk := os.read(0, 65536):
        *lines, rest = (rest + chunk).split(b"\n")
        out = memoryview(b"".join(map(answer, lines)))
        while out:
            out = out[os.write(1, out) :]


def answer(line: bytes) -> bytes:
    message = json.loads(line)
    if "id" not in message or "method" not in message:
        return b""
    return b'{"jsonrpc":"2.0","id":%b,%b}\n' % (json.dumps(message["id"]).encode(), outcome(message))


def outcome(message: dict) -> bytes:
    if message["method"] == "tools/call":
        return b'"result":' + (BIG if message["params"]["name"] == "big" else ECHOED)
    if result := RESULTS.get(message["method"]):
        return b'"result":' + result
    return b'"error":{"code":-32601,"message":"Method not found"}'


main()
