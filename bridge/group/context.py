"""What the parts of a group need of it, and a group as one caller sees it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from bridge.group.member import Member
from bridge.group.names import Directory, of_alias
from bridge.group.plan import Plan
from bridge.group.seats import Seat
from bridge.http.call import Call
from bridge.http.request import Request
from bridge.http.service import Service
from bridge.log import Log
from bridge.protocol.errors import Refusal


class View:
    """The members that are not hidden from a caller, and what their lists said last."""

    def __init__(self, members: dict[str, Member]):
        self.members = members
        self.directory = Directory()
        self.targets: dict[bytes, tuple[Member, bytes]] = {}  # of names of tools, both as they stand in bodies

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

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]": ...
