"""A server that is out to get whoever looks at its bridge: its name, its tools and its stderr are markup, escapes and far too long.

--dies   ends at once, with such words and a database's password
"""

import os
import sys

from echo import child

MARKUP = "</pre><script>alert(1)</script><img src=//evil.example/x onerror=alert(2)>"
TERMINAL = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\u2066"

if "--dies" in sys.argv:
    sys.stderr.write(f"cannot reach postgres://joe:hunter2@db/x {TERMINAL}\n")
    sys.exit(3)
child.name = MARKUP + TERMINAL + "n" * 100_000


def list_tools(params):
    names = [MARKUP, TERMINAL, "t" * 100_000, *(f"long-{number}-" + "x" * 1000 for number in range(50))]
    return {"tools": [{"name": name, "description": MARKUP, "inputSchema": {"type": "object"}} for name in (*names, "echo", "say")]}


@child.tool
def say(message: str):
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
    return "said"


@child.tool
def crash(message: str):
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
    os._exit(7)


child.methods["tools/list"] = list_tools
sys.stderr.write(f"{MARKUP} {TERMINAL} password=hunter2\n")
sys.stderr.flush()
child.run()
