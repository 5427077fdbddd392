"""A server of 2025-11-25 with that revision's own tasks: a call with `task` is answered with one, the rest comes later.

Tools: work {seconds} (taskSupport optional), must (required: a call without `task` is refused with -32601), and echo's.
tasks/list names all of them, whoever asks: a task's id is known to the whole process.
"""

import itertools
import threading

from base import Refusal, text
from echo import child, configure

numbers, tasks, results = itertools.count(1), {}, {}
child.capabilities |= {"tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}}
ordinary_call = child.call


def call(call):
    support = child.tools.get(call.tool, (None, {}, False))[1].get("execution", {}).get("taskSupport")
    if "task" in call.params and support:
        child.answer(call.id, lambda: begin(float(call.arguments.get("seconds", 0.1))))
    elif support == "required":
        child.reply(call.id, error={"code": -32601, "message": f"{call.tool} needs a task"})
    else:
        ordinary_call(call)


def begin(seconds):
    id = f"task-{next(numbers)}"
    tasks[id] = {
        "taskId": id,
        "status": "working",
        "createdAt": "2026-01-01T00:00:00Z",
        "lastUpdatedAt": "2026-01-01T00:00:00Z",
        "ttl": 60_000,
    }
    timer = threading.Timer(seconds, end, [id, "completed"])
    timer.daemon = True
    timer.start()
    return {"task": tasks[id]}


def end(id, status):
    if tasks[id]["status"] == "working":
        tasks[id] = tasks[id] | {"status": status}
        results[id] = text(f"{id} {status}", _meta={"io.modelcontextprotocol/related-task": {"taskId": id}})
        child.notify("notifications/tasks/status", **tasks[id])
    return tasks[id]


@child.tool(execution={"taskSupport": "optional"})
def work(seconds: float = 0.1):
    return "done at once"


@child.tool(execution={"taskSupport": "required"})
def must(seconds: float = 0.1):
    return "never without a task"


def task(params):
    if params.get("taskId") not in tasks:
        raise Refusal(-32602, "no such task")
    return tasks[params["taskId"]]


def result(params):
    return results[task(params)["taskId"]] if params["taskId"] in results else refuse()


def refuse():
    raise Refusal(-32603, "not done yet")


child.methods |= {
    "tasks/get": task,
    "tasks/list": lambda params: {"tasks": list(tasks.values())},
    "tasks/result": result,
    "tasks/cancel": lambda params: end(task(params)["taskId"], "cancelled"),
}
child.call = call
configure()
child.run()
