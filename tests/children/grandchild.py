"""Has a process of its own below it, which ignores SIGTERM and holds the pipes open (a shell server leaves sh and sleep).

    --daemon   in a session of its own, where no signal to the group reaches it (ha-mcp 8.7's sidecar)
    --cooperative   it dies by SIGTERM

Tools: pids (JSON: [this, grandchild, …]), spawn (one more), die (leaves without them).
"""

import json
import os
import signal
import subprocess
import sys
import time

if "--sleep" in sys.argv:  # we are the grandchild
    if "--cooperative" not in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("asleep", file=sys.stderr, flush=True)
    time.sleep(120)
    sys.exit()

from echo import child

below = []


def start_one():
    command = [sys.executable, os.path.abspath(__file__), "--sleep", *sys.argv[1:]]
    sleeper = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session="--daemon" in sys.argv)
    below.append(sleeper)


@child.tool
def pids():
    return json.dumps([os.getpid(), *(sleeper.pid for sleeper in below)])


@child.tool
def spawn():
    start_one()
    return pids()


@child.tool
def die(code: int = 3):
    os._exit(code)


start_one()
child.run()
