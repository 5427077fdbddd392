"""Which member a request is for: the step of a group's tables that puts it on its way there, or answers for all members."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Raw

from bridge.group.context import LONGEST, Context, View
from bridge.group.listens import Listens, works_at
from bridge.group.lists import LISTED, Lists
from bridge.group.member import Member
from bridge.group.names import ALIAS, alias, parted, prefixed
from bridge.group.seats import Seat, Seats, seats_of
from bridge.http.call import Call, ModernCall, admit, params_of
from bridge.http.modern import ModernReply
from bridge.http.record import written_down
from bridge.http.reply import OutboxWrapper, Reply
from bridge.protocol import envelope, spelling
from bridge.protocol.envelope import ModernParams
from bridge.protocol.eras.listens import METHOD as LISTEN
from bridge.protocol.errors import INVALID_PARAMS, METHOD_NOT_FOUND, Reason, Refusal, status_of
from bridge.protocol.outbox import Outbox
from bridge.protocol.outcome import DONE, Outcome
from bridge.protocol.subscriptions import LEVELS, too_much
from bridge.protocol.tools import named

NO_RESOURCE = -32002
Rule = Callable[[Call], Outcome]
OF_KIND = {"tools/call": ("tool", "tools/list"), "prompts/get": ("prompt", "prompts/list")}
URIS = ("resources/list", "resources/templates/list")


class Routes:
    def __init__(self, group: Context, lists: Lists, listens: Listens):
        self._group, self._lists = group, lists
        both: dict[str, Rule] = {
            "tools/call": self._named,
            "prompts/get": self._named,
            "resources/read": self._resource,
            "completion/complete": self._completion,
            **dict.fromkeys(LISTED, self._list),
        }
        tasks = dict.fromkeys(("tasks/get", "tasks/cancel"), self._task)
        self._rules = {
            **both,
            **tasks,
            "tasks/result": self._task,
            "ping": self._ping,
            "logging/setLevel": self._level,
            "resources/subscribe": self._resource,
            "resources/unsubscribe": self._resource,
        }
        self._modern_rules = {**both, **tasks, "tasks/update": self._task, "server/discover": self._discover, LISTEN: listens.open}
        del self._modern_rules["tasks/list"]

    def route(self, call: Call) -> Outcome:
        """The last step of a request: it goes to its member, or is answered for all."""
        rules = self._modern_rules if isinstance(call, ModernCall) else self._rules
        rule = rules.get(call.message.method or "")
        if rule is None:
            why = f"a group knows only what the specification names: ask {(call.message.method or '')[:100]} of the MCP at its own address"
            return self._refuse(call, METHOD_NOT_FOUND, why)
        if call.session is not None:
            call.session.touched = self._group.loop.time()
        outcome = rule(call)
        if outcome is DONE or not isinstance(outcome, Awaitable):  # DONE as nearly always: to ask what it is costs more than the rest here
            return outcome
        call.lets_pass = True  # what has an order keeps it by itself: `Seats.in_turn`
        return self._group.waited(outcome)

    def rate(self, call: Call) -> Outcome:
        """What is for no member (a session, a stream) counts for the first: limits are the same for all."""
        request = call.request
        member = next(iter(self._group.view(request.principal).members.values()), None)
        access = member.service.access if member is not None else None
        if access is None:
            return None
        who, now = request.caller or request.principal, self._group.loop.time()
        if self._group.is_litellm:
            access.spend(who, 1, now)
            return None
        return access.too_often(who, now)

    # -- of one member ----------------------------------------------------------------------------------------------------

    def _named(self, call: Call) -> Outcome:
        """What has a name: a tool or a prompt."""
        params = params_of(call)
        raw, view = bytes(params.name), self._group.view(call.request.principal)
        known = view.targets.get(raw)
        if known is not None and call.message.method == "tools/call":
            return self._send_named(call, *known)
        name = envelope.string(raw) if raw else None
        kind, listing = OF_KIND[call.message.method or ""]
        if name is None:
            return self._refuse(call, INVALID_PARAMS, f"Unknown {kind}: its name must be a text")
        if found := parted(name, view.members):
            member, own = view.members[found[0]], envelope.encode(found[1])
            if kind == "tool":
                view.remember(raw, member, own)
            return self._send_named(call, member, own)
        if self._group.plan.is_prefixed:
            return self._unknown(call, kind, name)
        if owners := view.directory.owners(kind, name):
            return self._of_owner(call, kind, name, owners, view)
        return self._look_up(call, kind, name, listing)

    async def _look_up(self, call: Call, kind: str, name: str, listing: str) -> Outcome:
        """The caller has not been shown it: perhaps it is new, or was never listed."""
        if not await self._is_listed(call, listing):
            return DONE
        view = self._group.view(call.request.principal)
        owners = view.directory.owners(kind, name)
        return self._of_owner(call, kind, name, owners, view) if owners else self._unknown(call, kind, name)

    async def _is_listed(self, call: Call, *methods: str) -> bool:
        """Wait for lists that say whose a name is; what looks one up goes on in the order in which it came. False if the client has left."""
        listed = asyncio.gather(*(self._lists.gather(call, method) for method in methods))
        await (listed if call.session is None else seats_of(call.session).in_turn(LOOKING_UP, _end(listed)))
        return not (isinstance(call.outbox, ModernReply) and call.outbox.is_over)

    def _of_owner(self, call: Call, kind: str, name: str, owners: tuple[str, ...], view: View) -> Outcome:
        if len(owners) > 1:
            whose = " or ".join(prefixed(owner, name) for owner in owners)
            return self._refuse(call, INVALID_PARAMS, f"several servers have a {kind} {name[:LONGEST]!r}: call it {whose[:1000]}")
        return self._send_named(call, view.members[owners[0]], envelope.encode(name))

    def _send_named(self, call: Call, member: Member, own: bytes) -> Outcome:
        """Under the member's own name."""
        message, params = call.message, params_of(call)
        begin = b'{"name":' + bytes(params.name)
        whole = bytes(message.params)
        if whole.startswith(begin):  # the member is there once: `spelling` has seen to that
            message.params = Raw(b'{"name":' + own + whole[len(begin) :])
        else:
            message.params = named(message.params, own)
        params.name = Raw(own)
        return self._send(call, member)

    def _resource(self, call: Call) -> Outcome:
        params, view = params_of(call), self._group.view(call.request.principal)
        uri = envelope.string(params.uri) if params.uri else None
        if uri is None:
            return self._refuse(call, INVALID_PARAMS, "a resource is named by a text")
        if uri.startswith(ALIAS) or (view.directory.knows("resource") and view.directory.knows("template")):
            return self._send_resource(call, uri, view)
        return self._look_up_uri(call, uri)

    async def _look_up_uri(self, call: Call, uri: str) -> Outcome:
        if not await self._is_listed(call, *URIS):
            return DONE
        return self._send_resource(call, uri, self._group.view(call.request.principal))

    def _send_resource(self, call: Call, uri: str, view: View) -> Outcome:
        found = view.member_of_uri(uri)
        if found is None:
            code = INVALID_PARAMS if isinstance(call, ModernCall) else NO_RESOURCE
            hint = f"{alias('MCP', uri)[:LONGEST]} names the server that has it"
            return self._refuse(call, code, f"Resource not found: {uri[:LONGEST]} ({hint})")
        member, own = found
        message, params = call.message, params_of(call)
        if own != uri:
            message.params = Raw(envelope.encode({**envelope.members(message.params), "uri": own}))
            params.uri = Raw(envelope.encode(own))
        if isinstance(call, ModernCall) or message.method == "resources/read":
            return self._send(call, member)
        assert call.session is not None
        return seats_of(call.session).in_turn(member.name, self._subscribe(call, member, own, is_aliased=own != uri))

    async def _subscribe(self, call: Call, member: Member, uri: str, is_aliased: bool) -> Outcome:
        """`resources/subscribe` and its end."""
        session = call.session
        assert session is not None
        seat = await self._group.seated(call, member)
        if isinstance(seat, Refusal):
            return seat
        if call.message.method == "resources/unsubscribe":
            session.subscriptions.discard(alias(member.name, uri))
        elif why := too_much(session, alias(member.name, uri)):
            return self._refuse(call, INVALID_PARAMS, why)
        else:
            session.subscriptions.add(alias(member.name, uri))  # which of its own token does not say
            if is_aliased:
                seat.aliased.add(uri)
            else:
                seat.aliased.discard(uri)
        return self._hand_over(call, member, seat)

    def _completion(self, call: Call) -> Outcome:
        """What an argument of a prompt or a template may be."""
        params_of(call)
        members = envelope.object_or_none(call.message.params) or {}
        ref = spelling.only(envelope.object_or_none(members.get("ref", b"")) or {}, "type", "name", "uri")
        view = self._group.view(call.request.principal)
        kind = envelope.string(ref.get("type", envelope.ABSENT))
        name = envelope.string(ref.get("name" if kind == "ref/prompt" else "uri", envelope.ABSENT))
        if kind not in ("ref/prompt", "ref/resource") or name is None:
            return self._refuse(call, INVALID_PARAMS, "ref must be a ref/prompt with a name, or a ref/resource with a uri")
        if kind == "ref/resource" and not view.directory.knows("template"):
            return self._complete_later(call, URIS)
        if (
            kind == "ref/prompt"
            and not parted(name, view.members)
            and not self._group.plan.is_prefixed
            and not view.directory.knows("prompt")
        ):
            return self._complete_later(call, ("prompts/list",))
        if kind == "ref/resource":
            found = view.member_of_uri(name)
        else:
            parts, owners = parted(name, view.members), view.directory.owners("prompt", name)
            if parts is None and len(owners) == 1 and not self._group.plan.is_prefixed:
                parts = owners[0], name
            found = (view.members[parts[0]], parts[1]) if parts else None
        if found is None:
            return self._unknown(call, kind.removeprefix("ref/"), name)
        member, own = found
        call.message.params = Raw(envelope.encode({**members, "ref": {**ref, "name" if kind == "ref/prompt" else "uri": own}}))
        return self._send(call, member)

    async def _complete_later(self, call: Call, listings: tuple[str, ...]) -> Outcome:
        return self._completion(call) if await self._is_listed(call, *listings) else DONE

    def _task(self, call: Call) -> Outcome:
        params_of(call)
        id = envelope.peek_modern(call.message.params).taskId
        text, view = envelope.string(id) if id else None, self._group.view(call.request.principal)
        member = None
        if isinstance(call, ModernCall):
            working = [one for one in view.members.values() if text and works_at(self._group, call, one, text)]
            member = working[0] if len(working) == 1 else None
        elif text and call.session is not None:
            member = view.members.get(seats_of(call.session).tasks.get(text, ""))
        if member is None:
            return self._refuse(call, INVALID_PARAMS, "no such task")
        return self._send(call, member)

    # -- of all -----------------------------------------------------------------------------------------------------------

    def _ping(self, call: Call) -> Outcome:
        return self.rate(call) or _answer(call, self._outbox(call), b"{}")

    async def _list(self, call: Call) -> Outcome:
        params_of(call)
        cursor = envelope.peek(call.message.params).cursor
        if cursor and not envelope.is_null(cursor) and envelope.string(cursor) != "":
            return self._refuse(call, INVALID_PARAMS, "the lists of a group have one page: it gives no cursors")
        outbox = self._outbox(call)
        return _answer(call, outbox, await self._lists.listed(call))

    async def _discover(self, call: Call) -> Outcome:
        if refusal := self.rate(call):
            return refusal
        return _answer(call, self._outbox(call), await self._group.discover(call))

    async def _level(self, call: Call) -> Outcome:
        """Each member that logs is told; those whose seats are taken later hear of it then."""
        session, level = call.session, envelope.string(params_of(call).level)
        assert session is not None
        if level not in LEVELS:
            return self._refuse(call, INVALID_PARAMS, f"level must be one of {', '.join(LEVELS)}")
        group, outbox = self._group, self._outbox(call)
        members = group.view(call.request.principal).members.values()
        logging = [member for member in members if member.facts is not None and member.facts.offers("logging")]
        if not logging:
            return self._refuse(call, METHOD_NOT_FOUND, "no member of the group has log messages")
        session.level = level
        waited = [group.loop.create_task(self._tell_level(call, member, level)) for member in logging]
        await asyncio.wait(waited, timeout=group.plan.wait)
        return _answer(call, outbox, b"{}")

    async def _tell_level(self, call: Call, member: Member, level: str) -> None:
        assert call.session is not None
        seats = seats_of(call.session)
        refusal = await seats.in_turn(member.name, self._seat(call, member))
        if refusal is None and (seat := seats.by_member.get(member.name)) is not None:
            await self._lists.set_level(call, member, seat.session, level)

    def _unknown(self, call: Call, kind: str, name: str) -> Outcome:
        return self._refuse(call, INVALID_PARAMS, f"Unknown {kind}: {name[:LONGEST]}")

    def _refuse(self, call: Call, code: int, why: str) -> Outcome:
        """A no that no member hears of, and which counts all the same."""
        status = status_of(code) if isinstance(call, ModernCall) else 200
        return self.rate(call) or Refusal(status, code, why, reason=Reason.REQUEST)

    # -- on its way -------------------------------------------------------------------------------------------------------

    def _send(self, call: Call, member: Member) -> Outcome:
        """To the member, through the steps that it would go through at that one's own address."""
        if isinstance(call, ModernCall):
            return self._send_modern(call, member)
        session = call.session
        assert session is not None
        seats = seats_of(session)
        seat = seats.by_member.get(member.name)
        if (
            seat is None
            or seat.member is not member
            or seat.session.relay is None
            or member.service.credentials is not None
            or not seat.is_good
            or member.name in seats.turns
        ):
            return self._group.waited(seats.in_turn(member.name, self._seat_and_send(call, member)))
        outcome = self._hand_over(call, member, seat)
        if outcome is DONE:
            return outcome
        return self._group.waited(seats.in_turn(member.name, _end(outcome))) if isinstance(outcome, Awaitable) else outcome

    async def _seat(self, call: Call, member: Member) -> Outcome:
        seat = await self._group.seated(call, member)
        return seat if isinstance(seat, Refusal) else None

    async def _seat_and_send(self, call: Call, member: Member) -> Outcome:
        seat = await self._group.seated(call, member)
        return seat if isinstance(seat, Refusal) else self._hand_over(call, member, seat)

    def _hand_over(self, call: Call, member: Member, seat: Seat) -> Outcome:
        request = self._group.request_for(call, member)
        if isinstance(request, Refusal):
            return request
        call.is_passed_on, call.entry = True, None
        message, session = call.message, call.session
        assert session is not None
        outbox = self._outbox(call)
        seats = seats_of(session)
        if seats.tasks or (message.method == "tools/call" and spelling.may_name(bytes(message.params), b'"task"')):
            outbox = TaskOutbox(outbox, seats, member.name, is_call=message.method == "tools/call")
        inner = Call(
            member.steps, member.service, request, call.response, call.head, message, outbox, session=seat.session, params=call.params
        )
        return admit(inner) or DONE

    def _send_modern(self, call: ModernCall, member: Member) -> Outcome:
        request = self._group.request_for(call, member)
        if isinstance(request, Refusal):
            return request
        call.is_passed_on, call.entry = True, None  # its outbox gets that of the member's line
        inner = ModernCall(
            member.modern_steps,
            member.service,
            request,
            call.response,
            call.head,
            call.message,
            call.outbox,
            params=call.params if isinstance(call.params, ModernParams) else envelope.peek_modern(call.message.params),
            meta=call.meta,
            is_familiar=call.is_familiar,
            duplicates=call.duplicates,
        )
        return admit(inner) or DONE

    def _outbox(self, call: Call) -> Outbox:
        """Where the answer to a call goes."""
        session, response, head, outbox = call.session, call.response, call.head, call.outbox
        if outbox is None:
            assert session is not None
            outbox = call.outbox = Reply(self._group, session, head.takes_json, head.takes_events, response)
            if response.on_gone is not None:
                response.on_gone = None  # a client of the handshake era that leaves has not cancelled (basic/transports)
        if call.entry is not None and session is not None:
            outbox = call.outbox = written_down(call.entry, session, outbox)
        return outbox


class TaskOutbox(OutboxWrapper):
    """The outbox of a request of a session that has tasks, or may get one by it (2025-11-25, basic/utilities/tasks): whose a task is has to
    be known later, and nobody else has news of it."""

    __slots__ = ("is_call", "member", "seats")

    def __init__(self, outbox: Outbox, seats: Seats, member: str, is_call: bool):
        super().__init__(outbox)
        self.seats, self.member, self.is_call = seats, member, is_call

    def put(self, message: bytes) -> bool:
        return super().put(message) if self.seats.may_say(self.member, message) else True

    def answer(self, message: bytes) -> None:
        if not self.is_call:
            return super().answer(message)
        result = envelope.object_or_none((envelope.object_or_none(message) or {}).get("result", b"")) or {}
        task = envelope.object_or_none(result.get("task", b"")) or {}
        if (id := envelope.string(task.get("taskId", envelope.ABSENT))) and len(self.seats.tasks) < MOST_TASKS:
            self.seats.tasks.setdefault(id, self.member)  # another member that names the same one does not get it
        return super().answer(message)


MOST_TASKS = 10_000
LOOKING_UP = ""  # what waits for a list goes behind what does so already: no member is called so


async def _end(waited: Awaitable[Any]) -> Any:
    return await waited


def _answer(call: Call, outbox: Outbox, result: bytes) -> Outcome:
    if not (isinstance(outbox, ModernReply) and outbox.is_over):
        outbox.answer(envelope.result(bytes(call.message.id), result))
    return DONE
