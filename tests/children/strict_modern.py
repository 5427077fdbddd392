"""modern.py that exits with code 1 at the first line that is not exactly one valid JSON-RPC object, as strict_go.py does.

Also at what no server of this revision may get: an answer, a method or notification that is gone, a request without
its `_meta`. A test that runs against it proves that the bridge writes no such line.
"""

import json
import os

from modern import GONE, NAMESPACE, child, start
from strict_go import fault

GONE_NOTICES = ("notifications/initialized", "notifications/roots/list_changed")


def take(line):
    problem = fault(line)
    if problem := problem or breach(message := json.loads(line)):
        os.write(2, f"strict: {problem}: {line[:200]!r}\n".encode())
        os._exit(1)
    child.read(message)


def breach(message):
    method, meta = message.get("method"), (message.get("params") or {}).get("_meta") or {}
    if method is None:
        return "an answer"
    if "id" not in message:
        return "a notification that is gone" if method in GONE_NOTICES else None
    if method in GONE:
        return "a method that is gone"
    if NAMESPACE + "protocolVersion" not in meta or NAMESPACE + "clientCapabilities" not in meta:
        return "a request without its _meta"


child.take = take
start()
