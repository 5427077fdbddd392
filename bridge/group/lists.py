"""What all members of a group offer, as one list, which is whole: it has one page.

Members are asked side by side, each for all of its pages. One that is dead is left out at once; one that does not answer in time is
left out, or shown as it was known last, and no list waits for it again until it has answered. When it is back, clients are told
that lists have changed.
"""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from functools import lru_cache

from msgspec import Raw

from bridge.callers.access import LISTS
from bridge.group.asked import ask, items_of
from bridge.group.context import Context
from bridge.group.member import Member
from bridge.group.names import LONGEST, Directory, alias, parted, prefixed
from bridge.http.call import Call, ModernCall
from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope
from bridge.protocol.errors import METHOD_NOT_FOUND, Refusal, code_of
from bridge.protocol.known_lists import PAGES
from bridge.protocol.session import Session

LISTED = {**{method: (key, naming) for method, (key, _, naming) in LISTS.items()}, "tasks/list": ("tasks", "taskId")}
KINDS = {"tools/list": "tool", "prompts/list": "prompt", "resources/list": "resource", "resources/templates/list": "template"}
Found = Mapping[Member, Sequence[Raw]]
SHOWN, TOLD = 200, 1000  # characters of a name that is logged, and how many are
# Items that are kept with their new names, and bytes of each: 1000 * (2 * 2048 + 400) are 4.5 MB for all groups together, outside of --memory.
KEPT, CACHED = 1000, 2048
SLOW = "it does not answer in time"


class Lists:
    def __init__(self, group: Context):
        self._group = group
        self._ids = itertools.count(1)
        self._told: set[str] = set()  # what was logged of names

    async def listed(self, call: Call) -> bytes:
        """The result of a request for a list."""
        method = call.message.method or ""
        key, naming = LISTED[method]
        found = await self.gather(call, method)
        if method not in KINDS:
            return envelope.encode({key: [item for items in found.values() for item in items]})
        view = self._group.view(call.request.principal)
        named = {member: [(name, item) for item in items if (name := _name(item, naming)) is not None] for member, items in found.items()}
        shown: list[bytes | Raw] = []
        for member, pairs in named.items():
            for name, item in pairs:
                new = self._shown(KINDS[method], member.name, name, view.directory, view.members)
                if new is not None:
                    rename = renamed if len(memoryview(item)) < CACHED else renamed.__wrapped__
                    shown.append(item if new == name else rename(bytes(item), naming, new))
        result = {key: [Raw(item) for item in shown]}
        if isinstance(call, ModernCall):
            return envelope.encode({"resultType": "complete", "ttlMs": 0, "cacheScope": "private", **result})
        return envelope.encode(result)

    async def gather(self, call: Call, method: str) -> Found:
        """What each member has; one that is missing is not in it. The caller's directory knows it from now on."""
        group = self._group
        found = await self._gather(call, method)
        # Where all names have their prefix nobody asks of whom a tool or a prompt is.
        if method in KINDS and not (group.plan.is_prefixed and KINDS[method] in ("tool", "prompt")):
            _, naming = LISTED[method]
            names = {member.name: [name for item in items if (name := _name(item, naming)) is not None] for member, items in found.items()}
            group.view(call.request.principal).learn(KINDS[method], names)
        return found

    async def _gather(self, call: Call, method: str) -> Found:
        group = self._group
        asked = [member for member in group.view(call.request.principal).members.values() if member.offers(method)]
        waited: dict[Member, asyncio.Task[list[Raw] | None]] = {}
        try:
            for member in asked:
                if member.is_dead:
                    group.miss(member, member.reason)
                    member.service.children.shared.wake(is_awaited=False)  # it is tried again if it has cooled down
                elif not (member.absent and member.pending):
                    task = group.loop.create_task(self._all_pages(call, member, method))
                    if member.absent:
                        self._leave_behind(member, task)
                    else:
                        waited[member] = task
            if waited:
                await asyncio.wait(waited.values(), timeout=group.plan.wait)
        finally:
            for member, task in waited.items():
                if not task.done():
                    self._leave_behind(member, task)
        found: dict[Member, Sequence[Raw]] = {}
        for member in asked:
            given = waited.get(member)
            if given is not None and not given.done():  # in time; a client that left has not waited so long
                group.miss(member, member.reason or SLOW)
            items = given.result() if given is not None and given.done() else self._known(call, member, method)
            if items is not None:
                found[member] = items
        return found

    async def _all_pages(self, call: Call, member: Member, method: str) -> list[Raw] | None:
        """None where the member does not give its list."""
        key, _ = LISTED[method]
        request = self._group.request_for(call, member)
        if isinstance(request, Refusal):
            return None
        items: list[Raw] = []
        params = envelope.members(call.message.params) if call.message.params else {}
        params = {"_meta": params["_meta"]} if "_meta" in params and isinstance(call, ModernCall) else {}
        for _ in range(PAGES):
            session = None
            if not isinstance(call, ModernCall):
                seat = await self._group.seated(call, member)
                if isinstance(seat, Refusal):
                    self._group.log.warning("a member is missing from a list", of=member.name, method=method, why=seat.message)
                    return None
                session = seat.session
            message = Envelope("2.0", self.own_id(), method, Raw(envelope.encode(params)) if params else envelope.ABSENT)
            answer = await ask(call, member, session, message, request)
            if answer.error and code_of(answer.error) == METHOD_NOT_FOUND:
                return items
            page = items_of(answer, key)
            if page is None:
                if why := member.reason:
                    self._group.miss(member, why)
                return None
            more, cursor = page
            items += more
            if not cursor:
                break
            params = {**params, "cursor": Raw(cursor)}
        self._group.answered(member)
        return items

    async def set_level(self, call: Call, member: Member, session: Session, level: str) -> None:
        """Tell a member which log messages a client wants."""
        request = self._group.request_for(call, member)
        if not isinstance(request, Refusal):
            params = Raw(envelope.encode({"level": level}))
            await ask(call, member, session, Envelope("2.0", self.own_id(), "logging/setLevel", params), request)

    def own_id(self) -> Raw:
        return Raw(b'"mcp-bridge/%d"' % next(self._ids))

    def _leave_behind(self, member: Member, task: "asyncio.Task[list[Raw] | None]") -> None:
        """Nobody waits for it any more, but it is heard: a member that answers is back."""
        member.pending += 1

        def done(task: "asyncio.Task[list[Raw] | None]") -> None:
            member.pending -= 1
            if not task.cancelled():
                task.exception()  # which was logged where it came from

        task.add_done_callback(done)

    def _known(self, call: Call, member: Member, method: str) -> list[Raw] | None:
        """What is known of the list of a member that is there, and late."""
        if member.reason or method not in LISTS:
            return None
        key, _ = LISTED[method]
        items: list[Raw] = []
        try:
            pages = member.service.offers(method)
        except LookupError:
            return None
        for page in pages:
            answer = member.service.shown(call.request.principal, method, envelope.result(b"0", page))
            read = items_of(envelope.from_child(answer), key)
            if read is None:
                return None
            items += read[0]
        return items

    # -- names ------------------------------------------------------------------------------------------------------------

    def _shown(self, kind: str, member: str, name: str, directory: Directory, members: Mapping[str, Member]) -> str | None:
        """What clients call it. None for what they could not name."""
        is_shared = len(directory.owners(kind, name)) > 1
        if kind in ("resource", "template"):
            return alias(member, name) if is_shared else name
        if not (self._group.plan.is_prefixed or is_shared or parted(name, members)):
            return name
        new = prefixed(member, name)
        if parted(new, members) != (member, name):
            self._warn(new, f"{new[:SHOWN]} would be another member's: call {member}'s {kind} {name[:SHOWN]!r} otherwise (--tool-rename)")
            return None
        if len(new) > LONGEST and kind == "tool":
            self._warn(
                new, f"{new[:SHOWN]} has {len(new)} characters: many models take {LONGEST} (--tool-rename, or a shorter name of the MCP)"
            )
        return new

    def _warn(self, name: str, why: str) -> None:
        """Once."""
        if name[:SHOWN] not in self._told and len(self._told) < TOLD:
            self._told.add(name[:SHOWN])
            self._group.log.warning("a name does not fit", why=why)


def _name(item: Raw, naming: str) -> str | None:
    return envelope.string((envelope.object_or_none(item) or {}).get(naming, envelope.ABSENT))


@lru_cache(KEPT)  # the same tools are listed again and again
def renamed(item: bytes, naming: str, name: str) -> bytes:
    return envelope.encode({**envelope.members(item), naming: name})
