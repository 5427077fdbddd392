"""A server of 2026-07-28 with the extension io.modelcontextprotocol/tasks: a call may be answered with a task.

Tools: work {seconds} (a task if the client declared the extension with this request, otherwise the result itself),
only_task (-32021 without the extension), question (a task that wants an elicitation's answer by tasks/update), and
modern.py's. tasks/get, tasks/update and tasks/cancel know the ids task-1, task-2, … whoever asks.
"""

import itertools
import threading

from base import Refusal, text
from modern import NAMESPACE, SUBSCRIPTION, child, start

EXTENSION = NAMESPACE + "tasks"
FORM = {"mode": "form", "message": "go on?", "requestedSchema": {"type": "object", "properties": {}}}
numbers, tasks = itertools.count(1), {}
child.capabilities = child.capabilities | {"extensions": {EXTENSION: {}}}


def declared(call):
    return EXTENSION in call.meta.get(NAMESPACE + "clientCapabilities", {}).get("extensions", {})


def begin(status="working", **more):
    id = f"task-{next(numbers)}"
    tasks[id] = {"taskId": id, "status": status, "ttlMs": 60_000, "pollIntervalMs": 50} | more
    return {"resultType": "task"} | tasks[id]


def end(id, status="completed", **more):
    if tasks[id]["status"] in ("working", "input_required"):
        tasks[id] = {name: value for name, value in tasks[id].items() if name != "inputRequests"} | {"status": status} | more
        for listen, honoured in list(child.listens.items()):
            if id in honoured.get("taskIds", []):
                child.notify("notifications/tasks", **tasks[id], _meta={SUBSCRIPTION: listen})


@child.tool
def work(call, seconds: float = 0.1):
    if not declared(call):
        return "done at once"
    task = begin()
    timer = threading.Timer(seconds, end, [task["taskId"]], {"result": text("done in a task")})
    timer.daemon = True
    timer.start()
    return task


@child.tool
def only_task(call):
    if not declared(call):
        raise Refusal(-32021, "this needs tasks", {"requiredCapabilities": {"extensions": {EXTENSION: {}}}})
    return begin()


@child.tool
def question(call):
    asks = {"go": {"method": "elicitation/create", "params": FORM}}
    return begin("input_required", inputRequests=asks) if declared(call) else "done without asking"


def task(params):
    if params.get("taskId") not in tasks:
        raise Refusal(-32602, "no such task")
    return tasks[params["taskId"]]


def update(params):
    id = task(params)["taskId"]
    end(id, result=text(str(params.get("inputResponses"))))
    return {}


def cancel(params):
    end(task(params)["taskId"], "cancelled")
    return {}


child.methods |= {"tasks/get": task, "tasks/update": update, "tasks/cancel": cancel}
start()
