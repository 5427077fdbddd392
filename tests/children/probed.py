"""A server of the handshake era that takes server/discover badly; in all else it is echo.

--probe HANG       no answer, ever, but all else works (Python SDK 1.x takes what it does not know in silence)
        WEDGE      no answer, and from then on to nothing (rmcp 3.1.2)
        DIE        exits with code 1 (rmcp below 3)
        NONSENSE   a result that is no DiscoverResult: {"hello": "world"}
        STRANGER   a DiscoverResult that names no revision we know
        EMPTY      a DiscoverResult with an empty list of revisions
        GARBAGE    a line that is no JSON
        STRING     a result that is a string
        HALF       a line without an end, and then nothing
        NULL       result null
        FLOOD      a thousand notifications, then -32601
        a number   that code, as an error (-32601: TypeScript SDK; -32602: Python SDK 1.30; -32022 without data)
"""

import os
import sys

from base import Refusal
from echo import child, configure

how = sys.argv[sys.argv.index("--probe") + 1]
ordinary_read, wedged = child.read, False
DISCOVERED = {"capabilities": {"tools": {}}, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
RESULTS = {
    "NONSENSE": {"hello": "world"},
    "STRANGER": DISCOVERED | {"supportedVersions": ["2099-01-01"]},
    "EMPTY": DISCOVERED | {"supportedVersions": []},
    "STRING": "modern",
    "NULL": None,
}


def read(message):
    global wedged
    if message.get("method") == "server/discover":
        wedged = how == "WEDGE"
        probed(message["id"])
    elif not wedged:
        ordinary_read(message)


def probed(id):
    if how == "DIE":
        os.write(2, b"Error: ExpectedInitializeRequest\n")
        os._exit(1)
    elif how in RESULTS:
        child.reply(id, result=RESULTS[how])
    elif how == "GARBAGE":
        child.send_raw(b"server/discover? what is that?")
    elif how == "HALF":
        child.write(b'{"jsonrpc":"2.0","id":')
    elif how not in ("HANG", "WEDGE"):
        for number in range(1000 if how == "FLOOD" else 0):
            child.notify("notifications/message", level="info", data=number)
        child.answer(id, lambda: refuse(-32601 if how == "FLOOD" else int(how)))


def refuse(code):
    raise Refusal(code, "Invalid request parameters")


child.read = read
configure()
child.run()
