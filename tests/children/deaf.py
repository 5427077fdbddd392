"""Ignores SIGTERM and the end of its input.

--only term   ignores SIGTERM, leaves at the end of input (mcp-atlassian)
--only eof    ignores the end of input, dies by SIGTERM (slack-mcp-server, a vector-store server)
--slow-eof S  leaves S seconds after the end of its input (gitlab: 1.8 s)
"""

import os
import signal
import sys
import time

from echo import child

only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else "both"
linger = float(sys.argv[sys.argv.index("--slow-eof") + 1]) if "--slow-eof" in sys.argv else 300

if only != "eof" and "--slow-eof" not in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def ended():
    if only != "term":
        time.sleep(linger)  # long, not endless: a test that fails must not leave it behind for good
    os._exit(0)


child.ended = ended
child.run()
