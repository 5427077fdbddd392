r"""Fills stderr, and hangs when nobody reads it: mcp-server-fetch after 480 calls, a vector-store server after 397.

--start BYTES   that much without a newline at start (1 MiB); 0: nothing
--lines N       lines on stderr for each tool call (10)
--words TEXT    prints it in each line
"""

import argparse
import os

from echo import child

parser = argparse.ArgumentParser()
parser.add_argument("--start", type=int, default=1 << 20)
parser.add_argument("--lines", type=int, default=10)
parser.add_argument("--words", default="")
options = parser.parse_args()


def complain(data):
    while data:
        data = data[os.write(2, data) :]


ordinary_call = child.call


def call(call):
    for number in range(options.lines):
        complain(f"\x1b[33mWARN\x1b[0m {number} {call.tool} \u2500\u2500 {options.words}\n".encode().ljust(134, b"."))
    ordinary_call(call)


child.call = call
complain(b"e" * options.start)
child.run()
