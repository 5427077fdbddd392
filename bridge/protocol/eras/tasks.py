"""Whose task is it: the tasks extension of 2026-07-28 (io.modelcontextprotocol/tasks) on a child that several callers share.

A child knows a task by an id that anybody may name. Where callers are known (tokens), each sees its own only; where they
are not, there is nobody to keep anything from. What a bridge has not seen begin, its child cannot have either.
"""

from collections import OrderedDict

import msgspec
from msgspec import Raw

from bridge.protocol import envelope, spelling
from bridge.protocol.errors import INVALID_PARAMS, Reason, Refusal, modern_refusal

METHODS = ("tasks/get", "tasks/update", "tasks/cancel")
LIMIT = 10_000
LONGEST = 3600.0  # seconds that a child is kept for a task of which nothing is heard
_OVER = ("completed", "failed", "cancelled")


class _Task(msgspec.Struct):
    resultType: str = ""
    taskId: str = ""
    status: str = ""
    ttlMs: float | None = None


class Tasks:
    """The tasks of one child, by id: who began each. The oldest are forgotten first."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str, str] = OrderedDict()
        self._running: dict[str, float] = {}  # until when to wait for those that are not over

    def record_call(self, principal: str, result: Raw, now: float) -> None:
        """The child answered a call; perhaps with a task."""
        if not spelling.may_name(bytes(result), b'"task"') or (task := _task(result)) is None:
            return
        if task.resultType == "task" and task.taskId:
            self._owners[task.taskId] = principal
            self._note(task, now)
            if len(self._owners) > LIMIT:
                self._running.pop(self._owners.popitem(last=False)[0], None)

    def record_status(self, result: Raw, now: float) -> None:
        """The child said how a task is."""
        if (task := _task(result)) is not None and task.taskId in self._running:
            self._note(task, now)

    def lost(self) -> None:
        """The child is gone, and with it whatever it worked at."""
        self._running.clear()

    def are_running(self, now: float) -> bool:
        """Whether there are tasks that would end with their child."""
        for id in [id for id, until in self._running.items() if now >= until]:
            del self._running[id]
        return bool(self._running)

    def _note(self, task: _Task, now: float) -> None:
        if task.status in _OVER:
            self._running.pop(task.taskId, None)
        else:
            self._running[task.taskId] = now + min(LONGEST, LONGEST if task.ttlMs is None else task.ttlMs / 1000)

    def owner(self, id: str) -> str | None:
        """Who began it; None for a task that this child has not begun."""
        return self._owners.get(id)

    def refusal(self, principal: str, id: Raw) -> Refusal | None:
        """The same for a task that is another's and for one that there is not."""
        if not principal or self._owners.get(envelope.string(id) or "") == principal:
            return None
        return modern_refusal(INVALID_PARAMS, "no such task", reason=Reason.REQUEST)

    def own_only(self, principal: str, params: Raw) -> bytes:
        """The params of a `subscriptions/listen` without tasks of others, and without a progress token, which nobody minted."""
        members = envelope.members(params)
        members["_meta"] = spelling.without_tokens(envelope.object_or_none(members.get("_meta", b"")) or {})
        wishes: envelope.Members | None = envelope.object_or_none(members.get("notifications", b""))
        if principal and wishes is not None:
            members["notifications"] = wishes = {**spelling.only(wishes, "taskIds")}
            if "taskIds" in wishes:
                wanted = envelope.array_or_none(wishes["taskIds"]) or []
                wishes["taskIds"] = [id for id in wanted if self.refusal(principal, id) is None]
        return envelope.encode(members)


def _task(result: Raw) -> _Task | None:
    try:
        return msgspec.json.decode(result, type=_Task)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
