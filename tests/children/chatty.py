"""Talks on stdout: a banner before the handshake and junk before each of its messages.

A vector-store server prints two lines and a log record first, ha-mcp 3.5.1 one; a shell server sends
notifications before it is initialized; server-everything sends four list changes right with it.
Tool `noise` returns how many lines so far were no message.

    --quiet-start   no banner     --banner-only   no junk later
"""

import sys

from echo import child

BANNER = [b"", b"  * Starting MCP server v1.2 *", b"\xe2\x96\x88\xe2\x96\x88 unicode art", b"loading\rloading\rdone\r"]
JUNK = [
    b"",
    b"   ",
    b"Server started!",
    b"\xff\xfe\x00 bad UTF-8 \x80",
    b"[]",
    b'[{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"in an array"}}]',
    b'{"level":"info","msg":"a log record as JSON"}',
    b'{"jsonrpc":"2.0"}',
    b'{"jsonrpc":"2.0","id":1,"result":{',
    b'{"jsonrpc":"2.0","id":987654321,"result":{"content":[]}}',
    b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}',
    b'{"jsonrpc":"2.0","id":[1],"result":{}}',
    b"null",
    b"42",
    b'"text"',
    b"\xef\xbb\xbfwith a byte order mark",
    b"\x1b[31mred\x1b[0m",
    b"[" * 3000,
]
noise = 0
write_message = child.write


def print_junk(line):
    global noise
    noise += 1
    write_message(line + b"\n")


def write(line):
    if "--banner-only" not in sys.argv:
        print_junk(JUNK[noise % len(JUNK)])
    write_message(line)


@child.tool(name="noise")
def count_noise():
    return str(noise)


if "--quiet-start" not in sys.argv:
    for line in BANNER:
        print_junk(line)
    write_message(b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"early"}}\n')
    for _ in range(4):
        write_message(b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n')
child.write = write
child.run()
