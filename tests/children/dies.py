"""Dies in the middle of a call, as any server does that meets a bug (dbhub when its database goes away).

Tools: die {code} (negative: by that signal), die_after {seconds, code} (answers first), die_mid_line
(half an answer), close_stdout (stops talking, lives on until its input ends), close_for_good {pipe} (closes its stdin, 0, or
its stdout, 1, and lives on whatever happens but SIGKILL).
"""

import os
import signal
import sys
import threading
import time

from echo import child


def leave(code):
    print(f"dying with code {code}", file=sys.stderr, flush=True)
    if code < 0:
        os.kill(os.getpid(), -code)
        time.sleep(5)
    os._exit(code)


@child.tool
def die(code: int = 3):
    leave(code)


@child.tool
def die_after(seconds: float, code: int = 3):
    timer = threading.Timer(seconds, leave, [code])
    timer.daemon = True
    timer.start()
    return f"dying in {seconds}"


@child.tool
def die_mid_line(call):
    child.write(b'{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"te' % call.id)
    leave(3)


@child.tool
def close_stdout():
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@child.tool
def close_for_good(pipe: int):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child.ended = threading.Event().wait
    os.dup2(os.open(os.devnull, os.O_RDWR), pipe)
    return "closed"


child.run()
