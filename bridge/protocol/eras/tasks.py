"""Whose task is it: the tasks extension of 2026-07-28 (io.modelcontextprotocol/tasks) on a child that several callers share.

A child knows a task by an id that anybody may name. Where callers are known (tokens), each sees its own only; where they
are not, there is nobody to keep anything from. What a bridge has not seen begin, its child cannot have either.
"""

from collections import OrderedDict

import msgspec
from msgspec import Raw

from bridge.protocol import envelope
from bridge.protocol.errors import INVALID_PARAMS, Refusal, modern_refusal

METHODS = ("tasks/get", "tasks/update", "tasks/cancel")
LIMIT = 10_000


class _Begun(msgspec.Struct):
    resultType: str = ""
    taskId: str = ""


class Tasks:
    """The tasks of one child, by id: who began each. The oldest are forgotten first."""

    def __init__(self):
        self._owners: OrderedDict[str, str] = OrderedDict()

    def heard(self, principal: str, result: Raw) -> None:
        """The child answered a call; perhaps with a task."""
        if b'"task"' not in bytes(result):
            return
        try:
            begun = msgspec.json.decode(result, type=_Begun)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if begun.resultType == "task" and begun.taskId:
            self._owners[begun.taskId] = principal
            if len(self._owners) > LIMIT:
                self._owners.popitem(last=False)

    def refusal(self, principal: str, id: Raw) -> Refusal | None:
        """The same for a task that is another's and for one that there is not."""
        if not principal or self._owners.get(envelope.string(id) or "") == principal:
            return None
        return modern_refusal(INVALID_PARAMS, "no such task")

    def own_only(self, principal: str, params: Raw) -> bytes:
        """The params of a `subscriptions/listen` without tasks of others."""
        raw = bytes(params)
        if not principal or b'"taskIds"' not in raw:
            return raw
        members = envelope.members(raw)
        wishes = envelope.object_or_none(members.get("notifications", b"")) or {}
        wanted = envelope.array_or_none(wishes.get("taskIds", b"")) or []
        wishes["taskIds"] = [id for id in wanted if self.refusal(principal, id) is None]
        return envelope.encode({**members, "notifications": wishes})
