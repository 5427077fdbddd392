"""Answers strictly one at a time, ping too: mcp-server-sqlite and other event-loop blockers, dbhub --demo, motherduck.

--parallel-ping   only the calls wait for one another
"""

import sys
import threading

from echo import child

for name, (function, entry, _) in child.tools.items():
    child.tools[name] = function, entry, "--parallel-ping" in sys.argv
one_at_a_time, ordinary_work = threading.Lock(), child.work


def work(call, function):
    with one_at_a_time:
        ordinary_work(call, function)


child.work = work
child.run()
