"""Sends notifications on demand, during a call or outside any: sequential-thinking, everything, a shell server do.

Tools: notify {method, params, seconds} (seconds > 0: that long after the answer, so outside the call), burst {method,
count} (many at once), log_later {level, message, seconds}, updated_later {uri, seconds} (to subscribers or not),
tools_changed, prompts_changed, resources_changed, vendor.
"""

import threading

from base import dumps
from echo import child


def send(method, params=None):
    child.send_raw(dumps({"jsonrpc": "2.0", "method": method} | ({"params": params} if params is not None else {})))


def send_after(seconds, method, params=None):
    if seconds <= 0:
        return send(method, params)
    timer = threading.Timer(seconds, send, [method, params])
    timer.daemon = True
    timer.start()


@child.tool
def notify(method: str, params: dict | None = None, seconds: float = 0):
    send_after(seconds, method, params)
    return "ok"


@child.tool
def burst(method: str, count: int):
    for _ in range(count):
        send(method)
    return "ok"


@child.tool
def log_later(level: str = "info", message: str = "later", seconds: float = 0.1):
    send_after(seconds, "notifications/message", {"level": level, "data": message})
    return "ok"


@child.tool
def updated_later(uri: str, seconds: float = 0.1):
    send_after(seconds, "notifications/resources/updated", {"uri": uri})
    return "ok"


@child.tool
def tools_changed():
    send("notifications/tools/list_changed")
    return "ok"


@child.tool
def prompts_changed():
    send("notifications/prompts/list_changed")
    return "ok"


@child.tool
def resources_changed():
    send("notifications/resources/list_changed")
    return "ok"


@child.tool
def vendor():
    send("notifications/x-vendor/news", {"kept": [1, "\u2028"], "_meta": {"x": 1}})
    return "ok"


child.run()
