"""`subscriptions/listen` of the modern era on a group: one listen with each member, which together are the client's one.

It is acknowledged when all members have acknowledged theirs, or after the time that lists wait for a member; what one honours later
still comes.
"""

import asyncio
from functools import partial
from typing import Any

from msgspec import Raw

from bridge.group.asked import Answer
from bridge.group.context import Context
from bridge.group.lists import Lists
from bridge.group.member import Member
from bridge.group.names import ALIAS
from bridge.group.seats import renamed_update
from bridge.http.call import Call, ModernCall, admitted
from bridge.http.modern import ModernReply
from bridge.protocol import envelope, meta, spelling
from bridge.protocol.envelope import Envelope
from bridge.protocol.eras.listens import ACKNOWLEDGED, KINDS, METHOD
from bridge.protocol.errors import Refusal
from bridge.protocol.outcome import DONE, Outcome

TASKS = "notifications/tasks"
EARLY = 100  # messages that wait for the acknowledgement


class Listens:
    """All of one group."""

    def __init__(self, group: Context, lists: Lists):
        self._group, self._lists = group, lists
        self._open: set[Listen] = set()

    async def open(self, call: Call) -> Outcome:
        assert isinstance(call, ModernCall) and isinstance(call.outbox, ModernReply)
        group, reply = self._group, call.outbox
        if refusal := group.streams.refusal(call.request.caller):
            return refusal
        members = envelope.members(call.message.params)
        wishes = spelling.only(
            envelope.object_or_none(members.get("notifications", b"")) or {}, *KINDS.values(), "resourceSubscriptions", "taskIds"
        )
        uris = _strings(wishes.pop("resourceSubscriptions", Raw(b"[]")))
        tasks = _strings(wishes.pop("taskIds", Raw(b"[]")))
        if uris:
            await asyncio.gather(*(self._lists.gather(call, method) for method in ("resources/list", "resources/templates/list")))
        if reply.is_over:
            return DONE
        view = group.view(call.request.principal)
        listen = Listen(self, group, bytes(call.message.id), reply, {name for name, value in wishes.items() if bytes(value) == b"true"})
        self._open.add(listen)
        reply.leave = partial(self._leave, listen)
        whose = [(uri, found) for uri in uris if (found := view.member_of_uri(uri)) is not None]
        for member in view.members.values():
            own = {own: uri for uri, (of, own) in whose if of is member}
            working = [task for task in tasks if works_at(group, call, member, task)]
            wanted = {**wishes, **({"resourceSubscriptions": list(own)} if own else {}), **({"taskIds": working} if working else {})}
            part = Part(group, call.request.principal, True, True, Answer(group), listen=listen, member=member, uris=own, tasks=working)
            listen.parts.append(part)
            params = Raw(envelope.encode({**members, "notifications": wanted}))
            group.spawn(self._begin(call, member, part, Envelope("2.0", call.message.id, METHOD, params)))
        group.loop.call_later(group.plan.wait, listen.acknowledge)
        listen.settle()
        return DONE

    async def _begin(self, call: ModernCall, member: Member, part: "Part", message: Envelope) -> None:
        request = self._group.request_for(call, member)
        refusal: Refusal | None
        if isinstance(request, Refusal):
            refusal = request
        else:
            given = (member.modern_steps, member.service, request, part.response, call.head, message, part)
            params = envelope.peek_modern(message.params)
            refusal = await admitted(ModernCall(*given, params=params, meta=call.meta, duplicates=call.duplicates))
        if refusal is not None:
            part.end()

    def _leave(self, listen: "Listen") -> None:
        """The client closed its connection."""
        self._open.discard(listen)
        for part in listen.parts:
            part.gone()

    def over(self, listen: "Listen") -> None:
        self._open.discard(listen)

    def renew(self) -> None:
        """The members are others: what is open is with those of before, and its client listens again."""
        for listen in list(self._open):
            listen.finish()

    def changed(self, kind: str, member: str) -> None:
        for listen in list(self._open):
            if KINDS[kind] in listen.wishes and (not member or any(part.member.name == member for part in listen.parts)):
                listen.say(envelope.notification(f"notifications/{kind}/list_changed", meta.with_subscription(b"{}", listen.id)))


class Listen:
    """One client's. `id` is its request's."""

    def __init__(self, listens: Listens, group: Context, id: bytes, reply: ModernReply, wishes: set[str]):
        self._listens, self._group, self.id, self._reply = listens, group, id, reply
        self.wishes = wishes  # the kinds of lists of which it wants to know when they change
        self.parts: list[Part] = []
        self._honoured: dict[str, Any] = {}
        self._is_acknowledged = False
        self._early: list[bytes] = []

    def acknowledged(self, part: "Part", message: Envelope) -> None:
        part.is_settled = True
        if self._is_acknowledged:
            return
        said = envelope.object_or_none((envelope.object_or_none(message.params) or {}).get("notifications", b"")) or {}
        for name, value in said.items():
            if (listed := envelope.array_or_none(value)) is None:
                self._honoured[name] = value
            elif name == "resourceSubscriptions":
                uris = [part.uris.get(uri, uri) for raw in listed if (uri := envelope.string(raw)) is not None]
                self._honoured[name] = [*self._honoured.get(name, ()), *uris]
            else:
                self._honoured[name] = [*self._honoured.get(name, ()), *listed]
        self.settle()

    def settle(self) -> None:
        if all(part.is_settled for part in self.parts):
            self.acknowledge()

    def acknowledge(self) -> None:
        if self._is_acknowledged or self._reply.is_over:
            return
        self._is_acknowledged = True
        for name in self.wishes:  # the group's own lists change when a member comes or goes
            self._honoured[name] = True
        params = envelope.encode({"notifications": self._honoured})
        self._reply.put(envelope.notification(ACKNOWLEDGED, meta.with_subscription(params, self.id)))
        early, self._early = self._early, []
        for message in early:
            self._reply.put(message)
        self.ended()

    def say(self, message: bytes) -> bool:
        if self._is_acknowledged:
            return self._reply.put(message)
        if len(self._early) < EARLY:
            self._early.append(message)
        return True

    def ended(self) -> None:
        """A part is over: the whole is, where the bridge is shutting down and all are."""
        if self._is_acknowledged and self._group.draining and all(part.is_over for part in self.parts):
            self.finish()

    def finish(self) -> None:
        self.acknowledge()
        self._listens.over(self)
        for part in self.parts:
            part.gone()
        self._reply.answer(envelope.result(self.id, meta.with_subscription(b'{"resultType":"complete"}', self.id)))


class Part(ModernReply, kw_only=True, eq=False):
    """The outbox of a listen with one member. `uris` are its resources, with what the client calls them; `tasks` are with it."""

    listen: Listen
    member: Member
    uris: dict[str, str]
    tasks: list[str]
    is_settled: bool = False  # acknowledged, or it will not be

    def put(self, message: bytes) -> bool:
        if self.is_over:
            return False
        if message.find(b"subscriptions/acknowledged") >= 0:
            notice = envelope.from_child(message)
            if notice.method == ACKNOWLEDGED:
                self.listen.acknowledged(self, notice)
                return True
        if message.find(b"notifications/tasks") >= 0:
            notice = envelope.from_child(message)
            if notice.method == TASKS and envelope.string(envelope.peek_modern(notice.params).taskId) not in self.tasks:
                return True  # news of what another member works at, for all we know
        aliased = {own for own, uri in self.uris.items() if uri.startswith(ALIAS)}
        return self.listen.say(renamed_update(message, self.member.name, aliased) if aliased else message)

    def answer(self, message: bytes) -> None:
        self.end()

    def wait(self) -> None:
        """The group's stream has signs of life of its own."""

    def end(self) -> None:
        if self.is_over:
            return
        self.is_settled = True
        self._let_go()
        self.listen.settle()
        self.listen.ended()


def _strings(raw: Raw) -> list[str]:
    try:
        return envelope.strings(raw)
    except ValueError:
        return []


def works_at(group: Context, call: Call, member: Member, task: str) -> bool:
    """Whether it is this member that the caller's task is with."""
    request = group.request_for(call, member)
    if isinstance(request, Refusal):
        return False
    child = member.service.children.modern_now(request.principal)
    return child is not None and child.relay.tasks.owner(task) == request.principal
