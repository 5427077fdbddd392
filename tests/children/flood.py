"""Sends log notifications as fast as the pipe takes them (a verbose server; sequential-thinking logs each thought).

Tools: flood {count, bytes} (during the call), flood_later {count, bytes} (answers first),
progress_flood {count}.
"""

import threading

from echo import child


def send(count, bytes):
    for number in range(count):
        child.notify("notifications/message", level="info", logger="flood", data=f"{number} ".ljust(bytes, "x"))


@child.tool(slow=True)
def flood(count: int, bytes: int = 100):
    send(count, bytes)
    return f"sent {count}"


@child.tool
def flood_later(count: int, bytes: int = 100):
    threading.Timer(0.1, send, [count, bytes]).start()
    return "will do"


@child.tool(slow=True)
def progress_flood(count: int, call):
    for step in range(1, count + 1):
        call.progress(step, count)
    return f"sent {count}"


child.run()
