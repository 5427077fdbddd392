"""Writes one line of any size: tools/list of ha-mcp is 272 KB, screenshots are megabytes.

Tools: long {bytes} (a line of exactly that size, newline included), long_notice {bytes}, long_junk {bytes} (not a
message), endless {bytes} (no newline, then lives on and never answers).

    --id-last   {"result":…,"jsonrpc":"2.0","id":1}, as the TypeScript SDK writes; else in front, as Python does
"""

import sys

from echo import child

FRONT = b'{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"', b'"}]}}'
LAST = b'{"result":{"content":[{"type":"text","text":"', b'"}]},"jsonrpc":"2.0","id":%d}'
NOTICE = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"', b'"}}'


def fill(head, tail, bytes):
    return head + b"x" * (bytes - len(head) - len(tail) - 1) + tail


@child.tool(slow=True)
def long(bytes: int, call):
    head, tail = LAST if "--id-last" in sys.argv else FRONT
    head, tail = (head, tail % call.id) if "--id-last" in sys.argv else (head % call.id, tail)
    child.send_raw(fill(head, tail, bytes))


@child.tool(slow=True)
def long_notice(bytes: int):
    child.send_raw(fill(*NOTICE, bytes))
    return "sent"


@child.tool(slow=True)
def long_junk(bytes: int):
    child.send_raw(b"#" * (bytes - 1))
    return "sent"


@child.tool(slow=True)
def endless(bytes: int):
    with child.writing:
        child.write(b"#" * bytes)


child.run()
