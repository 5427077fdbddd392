"""A stdio MCP server that is odd in one way: `odd_server.py WAY`. Its tool `echo` gives its text back."""

import json
import sys
import time

WAY = sys.argv[1]
INITIALIZE = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "odd", "version": "1"}}
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
out = sys.stdout.buffer


def write(data: bytes) -> None:
    out.write(data)
    out.flush()


def answer(id, result) -> None:
    message = {"jsonrpc": "2.0", "id": id, "result": result}
    match WAY:
        case "bom":
            write(b"\xef\xbb\xbf" + json.dumps(message).encode() + b"\n")
        case "crlf":
            write(json.dumps(message).encode() + b"\r\n")
        case "cr":
            write(json.dumps(message).encode() + b"\r")
        case "pretty":
            write(json.dumps(message, indent=2).encode() + b"\n")
        case "array":
            write(json.dumps([message]).encode() + b"\n")
        case "text_ids":
            write(json.dumps(message | {"id": str(id)}).encode() + b"\n")
        case "float_ids":
            write(json.dumps(message | {"id": float(id)}).encode() + b"\n")
        case "pino":
            write(
                json.dumps({"level": 30, "time": 1, "id": id, "msg": "request done"}).encode()
                + b"\n"
                + json.dumps(message).encode()
                + b"\n"
            )
        case "coloured":
            write(b"\x1b[32mINFO\x1b[0m answering\n\x1b[0m" + json.dumps(message).encode() + b"\x1b[0m\n")
        case "noise":
            write(b"Loading {model}: 100%|####| [00:00<00:00]\n\xff\xfe\n" + json.dumps(message).encode() + b"\n")
        case "blank_lines":
            write(b"\n\r\n" + json.dumps(message).encode() + b"\n\n")
        case "content_length":
            body = json.dumps(message).encode()
            write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        case "in_pieces":
            for byte in json.dumps(message).encode() + b"\n":
                write(bytes([byte]))
        case _:
            write(json.dumps(message).encode() + b"\n")


def requests():
    if WAY != "content_length":
        yield from map(json.loads, filter(bytes.strip, sys.stdin.buffer))
        return
    while header := sys.stdin.buffer.readline():  # as language servers speak: nothing but framed messages
        if not header.lower().startswith(b"content-length:"):
            continue
        sys.stdin.buffer.readline()
        yield json.loads(sys.stdin.buffer.read(int(header.split(b":")[1])))


match WAY:
    case "help":
        write(b"Usage: odd_server [OPTIONS] COMMAND\n\n  --stdio   speak MCP\n")
        time.sleep(60)
    case "no_key":
        sys.exit("Error: ODD_API_KEY is not set")
    case "silent":
        time.sleep(60)
for request in requests():
    match request.get("method"):
        case "initialize":
            answer(request["id"], INITIALIZE)
        case "tools/list":
            answer(request["id"], {"tools": [{"name": "echo", "description": "Gives it back", "inputSchema": SCHEMA}]})
        case "tools/call":
            text = request["params"]["arguments"]["text"]
            if text == "die":
                sys.exit(3)
            answer(request["id"], {"content": [{"type": "text", "text": text * (5 << 20) if text == "x" else text}]})
        case _:
            if "id" in request:
                answer(request["id"], {})
