"""Remembers: a browser's tabs (playwright), a history of thoughts (sequential-thinking), an SQL session (dbhub).

Tools: next (a counter), remember {key, value}, recall {key}; each answer is JSON and names the pid.
"""

import json
import os

from echo import child

memory = {"count": 0}


@child.tool
def next():
    memory["count"] += 1
    return json.dumps({"count": memory["count"], "pid": os.getpid()})


@child.tool
def remember(key: str, value: str):
    memory[key] = value
    return json.dumps({"pid": os.getpid()})


@child.tool
def recall(key: str):
    return json.dumps({"value": memory.get(key), "pid": os.getpid()})


child.run()
