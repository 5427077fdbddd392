"""Starts, reads, and never answers initialize (slack-mcp-server with a wrong token).

--wedged       answers the handshake, then nothing any more (SDK 1.6 after an unknown method)
--wedged-after N   answers N requests after the handshake first
--ignore-eof   as slack does
"""

import sys
import time

from echo import child

if "--wedged" in sys.argv or "--wedged-after" in sys.argv:
    answers = 1 + (int(sys.argv[sys.argv.index("--wedged-after") + 1]) if "--wedged-after" in sys.argv else 0)
else:
    answers = 0
ordinary_read = child.read


def read(message):
    global answers
    if "method" in message and "id" in message:
        if answers == 0:
            return
        answers -= 1
    ordinary_read(message)


child.read = read
if "--ignore-eof" in sys.argv:
    child.ended = lambda: time.sleep(300)
child.run()
