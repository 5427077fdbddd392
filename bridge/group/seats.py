"""The sessions that one session with a group has with the group's members: a seat with each, taken when it is first needed.

To a member a seat is a session like any other: it shares that MCP's child or gets its own, counts for its caller, and is told news. What a
child says goes to the group's client as it is. Ids of what children ask come from another range for each seat, and ids of requests are the
client's own, so nothing has to be renamed on the way, and an answer finds whoever asked.
"""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from msgspec import Raw

from bridge.group.names import alias
from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope
from bridge.protocol.notices import UPDATED
from bridge.protocol.outbox import MessageStream
from bridge.protocol.outcome import Outcome
from bridge.protocol.session import Session

if TYPE_CHECKING:
    from bridge.group.member import Member

RANGE = 1 << 32  # ids of what one seat's child may ask
TASK_NEWS = "notifications/tasks/status"
_UPDATED, _TASK_NEWS = UPDATED.encode(), TASK_NEWS.encode()


class Seat:
    """A session with one member. It is a stream of that session, which has no other."""

    __slots__ = ("aliased", "guest", "member", "session")

    def __init__(self, guest: Session, member: "Member", session: Session):
        self.guest, self.member, self.session = guest, member, session
        self.aliased: set[str] = set()  # resources that its client knows by another URI
        session.listen(self)

    @property
    def is_good(self) -> bool:
        return self.member.service.sessions.holds(self.session)

    def tell(self, message: Envelope, now: float) -> None:
        """What its client says, if a caller's rules let it be said here."""
        service, method = self.member.service, message.method
        if method is not None and service.access is not None:
            service.access.spend(self.session.caller, 1, now)
            if not service.access.view(self.session.principal).may_notify(method):
                service.counts.strays["denied"] += 1
                return
        service.tell(self.session, message)

    def end(self) -> None:
        self.session.unlisten(self)
        self.member.service.end(self.session)

    def put(self, message: bytes) -> bool:
        """What the member tells its session, and no request of it."""
        if not seats_of(self.guest).may_say(self.member.name, message):
            return True
        if self.aliased and message.find(_UPDATED) >= 0:
            message = renamed_update(message, self.member.name, self.aliased)
        return any(outbox.put(message) for outbox in reversed(self.guest.streams))


class Seats:
    """All seats of one session, in place of the relay that a session with one MCP has."""

    def __init__(self, guest: Session, is_taken_up: bool = False):
        self.guest = guest
        self.is_taken_up = is_taken_up  # from its token: an earlier bridge had the children of its seats
        self.by_member: dict[str, Seat] = {}
        self.is_over = False  # then no seat is taken any more: nobody would give it up
        self.lost: set[str] = set()  # members that were replaced since they had a seat
        self.leaving: list[Seat] = []  # with those, which finish what they began
        self.tasks: dict[str, str] = {}  # the member, by task
        self.turns: dict[str, asyncio.Task[Outcome]] = {}  # by member, the last of what waits to go there, each for the one before it
        self._taken = 0

    def take(self, member: "Member", session: Session) -> Seat:
        session.next_ask = self._taken * RANGE + 1
        self._taken += 1
        seat = self.by_member[member.name] = Seat(self.guest, member, session)
        return seat

    def in_turn(self, name: str, work: Coroutine[Any, Any, Outcome]) -> "asyncio.Task[Outcome]":
        """Do this behind all that waits for the same member: what one client says to one server arrives in the order in which it said it."""
        task = asyncio.get_running_loop().create_task(_behind(self.turns.get(name), work))
        self.turns[name] = task
        task.add_done_callback(lambda task: self.turns.pop(name) if self.turns.get(name) is task else None)
        return task

    def asking(self, id: Raw) -> Seat | None:
        """Whose child asked what a client answers."""
        key = envelope.key(id)
        return next((seat for seat in self._all() if key in seat.session.asks), None)

    def working_at(self, id: Raw) -> Seat | None:
        """Who has the request of this id."""
        key = envelope.key(id)
        return next((seat for seat in self._all() if key in seat.session.exchanges), None)

    @property
    def are_busy(self) -> bool:
        """Whether any of them has a request under way."""
        return any(seat.session.exchanges for seat in self._all())

    def may_say(self, member: str, message: bytes) -> bool:
        """Whether this is not news of a task that another member works at."""
        if not self.tasks or message.find(_TASK_NEWS) < 0:
            return True
        notice: Envelope = envelope.from_child(message)
        id = envelope.string(envelope.peek_modern(notice.params).taskId)
        return notice.method != TASK_NEWS or self.tasks.get(id or "", member) == member

    def flush(self) -> None:
        """A stream of the client's has opened: what its seats have kept goes there."""
        for seat in self._all():
            seat.session.unlisten(seat)
            seat.session.listen(seat)

    def leave(self, session: Session, now: float) -> None:
        """The session is over, or forgotten."""
        self.is_over = True
        for seat in self._all():
            seat.end()
        self.by_member.clear()
        self.leaving.clear()

    def lose(self, name: str) -> None:
        """The member was replaced: that one finishes what it began, and the next call takes a seat with the new one."""
        self.leaving = [seat for seat in self.leaving if seat.session.exchanges]
        self.leaving.append(self.by_member.pop(name))
        self.lost.add(name)

    def give_up(self, name: str) -> None:
        seat = self.by_member.pop(name, None)
        if seat is not None:
            seat.end()

    def _all(self) -> list[Seat]:
        return [*self.by_member.values(), *self.leaving]


async def _behind(before: "asyncio.Task[Outcome] | None", work: Coroutine[Any, Any, Outcome]) -> Outcome:
    try:
        if before is not None:
            await asyncio.wait([before])
        outcome = await work
        while isinstance(outcome, Awaitable):
            outcome = await outcome
        return outcome
    finally:
        work.close()


class GroupSession(Session):
    """A client's session with a group."""

    __slots__ = ()

    @property
    def is_busy(self) -> bool:
        return bool(self.streams or self.pending) or (self.relay is not None and seats_of(self).are_busy)

    def listen(self, outbox: MessageStream) -> None:
        super().listen(outbox)
        if self.relay is not None:
            seats_of(self).flush()


def seats_of(session: Session) -> Seats:
    return cast(Seats, session.relay)


def renamed_update(message: bytes, member: str, aliased: set[str]) -> bytes:
    """News of a resource, by the URI that the client knows it by."""
    notice: Envelope = envelope.from_child(message)
    uri = envelope.string(envelope.peek(notice.params).uri)
    if notice.method != UPDATED or uri not in aliased:
        return message
    return envelope.notification(UPDATED, envelope.encode({**envelope.members(notice.params), "uri": alias(member, uri)}))
