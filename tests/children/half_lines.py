r"""Writes its messages in pieces of a few bytes, cut inside characters, and ends its lines with \r\n.

No server does so on purpose; a pipe may do it to any of them (a write above 64 KiB is never one read),
and servers on .NET end their lines so.

    --piece BYTES (3)
"""

import os
import sys
import time

from echo import child

size = int(sys.argv[sys.argv.index("--piece") + 1]) if "--piece" in sys.argv else 3


def write(line):
    line = line.removesuffix(b"\n") + b"\r\n"
    for start in range(0, len(line), size):
        os.write(1, line[start : start + size])
        if start < 100 * size:
            time.sleep(0.0005)  # lets the reader see the piece; not for all of a long line


child.write = write
child.run()
