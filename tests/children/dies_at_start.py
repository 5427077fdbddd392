"""Exits before it ever answers: brave, gitlab and sentry without their key, dbhub with its database down.

--code N        (1)
--times N       only the first N starts fail, counted in --count-file FILE; later ones are `echo`
--after S       answers the handshake, then dies after S seconds: a crash loop of a server that gets ready
--says TEXT     the last words on stderr;  --on-stdout: there too, as ha-mcp 3.5.1 does
--pause S       takes S seconds to fail (mcp-server-qdrant without a network: 41.9)
"""

import argparse
import os
import sys
import threading
import time

from echo import child

parser = argparse.ArgumentParser()
parser.add_argument("--code", type=int, default=1)
parser.add_argument("--times", type=int)
parser.add_argument("--count-file")
parser.add_argument("--after", type=float)
parser.add_argument("--says", default="fatal: API_KEY is not set")
parser.add_argument("--on-stdout", action="store_true")
parser.add_argument("--pause", type=float, default=0)
options = parser.parse_args()


def starts_so_far():
    """Counts this start too; one byte a start, appended in one go."""
    with open(options.count_file, "ab") as file:
        file.write(b".")
    return os.path.getsize(options.count_file)


def leave():
    if options.on_stdout:
        print(options.says, flush=True)
    print(options.says, file=sys.stderr, flush=True)
    os._exit(options.code)


starts = starts_so_far() if options.count_file else 1
if options.times is None or starts <= options.times:
    time.sleep(options.pause)
    if options.after is None:
        leave()
    timer = threading.Timer(options.after, leave)
    timer.daemon = True
    timer.start()
child.run()
