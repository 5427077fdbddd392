"""What the parts of a group need of it, and a group as one caller sees it."""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from typing import Any, Protocol

from bridge.budget import Budget, Reservation
from bridge.group.member import Member
from bridge.group.names import Directory, of_alias
from bridge.group.plan import Plan
from bridge.group.seats import Seat
from bridge.http.call import Call
from bridge.http.request import Request
from bridge.http.service import Service
from bridge.log import Log
from bridge.protocol.errors import Refusal
from bridge.protocol.outcome import Outcome

REMEMBERED, LONGEST = 2000, 256  # names of tools, and bytes of each
COST, EACH = 1000, 400  # bytes that a view takes by itself, and a name of a tool beside its own


class View:
    """The members that are not hidden from a caller, and what their lists said last. What it takes of the memory is counted there."""

    def __init__(self, members: dict[str, Member], memory: Budget, principal: str):
        self.members = members
        self.directory = Directory()
        self.targets: dict[bytes, tuple[Member, bytes]] = {}  # of names of tools, both as they stand in bodies
        self.hold: Reservation | None = Reservation(memory, principal)  # None: it is forgotten, and somebody still looks at it
        self._size = COST  # but for the directory
        self.hold.set(COST)

    def learn(self, kind: str, listed: Mapping[str, Iterable[str]]) -> None:
        """The names of now, by member. They are needed: where there is no room other views give way (`Group.forget_views`)."""
        self.directory.learn(kind, listed)
        size = self._size + self.directory.size
        if self.hold is not None and not self.hold.fits(size):
            self.hold.set(size)

    def remember(self, raw: bytes, member: Member, own: bytes) -> None:
        """Which tool a name is, where there is room: else it is found out again."""
        size = len(raw) + len(own) + EACH
        if len(self.targets) < REMEMBERED and len(raw) <= LONGEST and self.hold is not None and self.hold.fits(self.hold.size + size):
            self._size += size
            self.targets[raw] = member, own

    def forget(self) -> int:
        """Nobody finds it any more. Returns what it took."""
        if self.hold is None:
            return 0
        size = self.hold.size
        self.hold.set(0)
        self.hold = None
        return size

    def member_of_uri(self, uri: str) -> tuple[Member, str] | None:
        """Whose resource it is, and what its member calls it. None where nobody has it, or several could."""
        if found := of_alias(uri, self.members):
            return self.members[found[0]], found[1]
        owners = [owner for owner in self.directory.owners_of_uri(uri) if owner in self.members]
        if not owners:
            owners = [name for name, member in self.members.items() if member.facts is not None and member.facts.offers("resources")]
        return (self.members[owners[0]], uri) if len(owners) == 1 else None


class Context(Service, Protocol):
    """The group."""

    plan: Plan
    log: Log

    def view(self, principal: str) -> View: ...

    def miss(self, member: Member, why: str) -> None:
        """Lists do not wait for this member from now on."""

    def answered(self, member: Member) -> None:
        """It is there, and answers."""

    def request_for(self, call: Call, member: Member) -> Request | Refusal:
        """The request that a call came with, as that member's own."""

    async def seated(self, call: Call, member: Member) -> Seat | Refusal:
        """The seat of a call's session with this member, taken where there is none."""

    async def discover(self, call: Call) -> bytes:
        """The result of `server/discover`."""

    def waited(self, awaited: Awaitable[Outcome]) -> "asyncio.Future[Outcome]":
        """What a call waits for, which ends before the bridge does."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]": ...
