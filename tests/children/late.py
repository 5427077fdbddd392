"""Answers too late, twice, never, or to somebody else.

After notifications/cancelled 7 servers never answer and 5 answer anyway (sqlite, dbhub-demo). SDKs write ids as they
got them, but read "7" for 7.

Tools: late {seconds} (answers that long after it was cancelled), never, twice, string_id, float_id, stranger (an answer
to an unknown id first), null_id (an error with id null first), progress_after (answers, then sends progress),
unknown_progress (progress for a token nobody gave), result_and_error (both members in one answer).
"""

import threading

from base import dumps, text
from echo import child


@child.tool(slow=True)
def late(call, seconds: float = 0.2):
    if not call.cancelled.wait(30):
        return "never cancelled"
    threading.Event().wait(seconds)
    return "late"


@child.tool
def never():
    return None


@child.tool
def twice(call):
    child.reply(call.id, result=text("first"))
    return "second"


@child.tool
def string_id(call):
    child.reply(str(call.id), result=text("for a string"))


@child.tool
def float_id(call):
    child.reply(float(call.id), result=text("for a float"))


@child.tool
def stranger():
    child.reply(987654321, result=text("for nobody"))
    child.reply("who", result=text("for nobody"))
    return "mine"


@child.tool
def null_id():
    child.reply(None, error={"code": -32600, "message": "whose?"})
    return "mine"


@child.tool
def progress_after(call):
    child.reply(call.id, result=text("done"))
    call.progress(1, 1)


@child.tool
def unknown_progress():
    for token in ("nobody's", 987654321):
        child.notify("notifications/progress", progressToken=token, progress=1)
    return "sent"


@child.tool
def result_and_error(call):
    body = {"jsonrpc": "2.0", "id": call.id, "result": text("yes"), "error": {"code": 1, "message": "no"}}
    child.send_raw(dumps(body))


child.run()
