"""What a legacy client holds: who it is, what it was promised, and where messages for it go.

A session is known by a sealed token (`token.py`), so forgetting one that idles loses nothing, unless it holds what its
token does not say (a child of its own, subscriptions, a log level): such a session ends, and answers 404 from then on.
"""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from secrets import token_urlsafe
from sys import getsizeof
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

from msgspec import Raw

from bridge.budget import Budget, Reservation
from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope
from bridge.protocol.errors import INVALID_REQUEST, Reason, Refusal, no_room
from bridge.protocol.exchange import Ask, Exchange
from bridge.protocol.outbox import MessageStream
from bridge.protocol.revisions import WITHOUT_HEADER
from bridge.protocol.token import MAX_LENGTH, Opening, seal, unseal

if TYPE_CHECKING:
    from bridge.protocol.relay import Relay

WAITING_LIMIT = 256  # messages kept for a session that has no stream open
WAITING_BYTES = 4 * 1024 * 1024  # and their size; asks count, but stay
COST = 2048  # bytes that a session takes beside what its client makes longer
EACH = 128  # and each of its resources and messages
LOOK = 32  # sessions that are looked at for one that can be forgotten
ENDED_LIMIT = 20_000  # ids of ended sessions that are still remembered
NO_OBJECT = Raw(b"{}")
UNNAMED = "Mcp-Session-Id is missing: send initialize first and keep the id it answers with"
NO_SESSION = Refusal(404, INVALID_REQUEST, "no such session: it ended, or it never was; send initialize again", reason=Reason.SESSION)
ASKABLE = ("sampling", "elicitation", "roots")


class Pending(Protocol):
    """A request that waits for something before it goes to a child."""

    def cancel(self) -> None: ...


class Session:
    """One client's state. `streams` are the outboxes that carry unrelated messages, the newest last."""

    is_modern = False
    __slots__ = (
        "asks caller capabilities client dropped exchanges hold id initialized label level lost_state next_ask nonce own_child pending "
        "principal recordings relay revision streams subscriptions touched transport waiting"
    ).split()

    def __init__(self, transport: str, opening: Opening, id: str, now: float, caller: str = ""):
        self.id = id
        self.nonce = opening.nonce
        self.transport = transport
        self.revision = opening.revision
        self.capabilities = opening.capabilities
        self.client = opening.client
        self.principal = opening.principal
        self.own_child = opening.own_child
        self.relay: Relay | None = None
        self.level: str | None = None
        self.subscriptions: set[str] = set()
        self.exchanges: dict[bytes | int, Exchange] = {}
        self.pending: WeakValueDictionary[bytes, Pending] = WeakValueDictionary()  # requests by id; whoever waits holds them
        self.asks: dict[bytes, Ask] = {}
        self.next_ask = 1
        self.streams: list[Any] = []  # MessageStreams; those of `http` have more to them
        self.waiting: OrderedDict[object, bytes] = OrderedDict()
        self.dropped = 0
        self.touched = now
        self.recordings: list[Any] = []  # replay.py
        self.initialized = False
        self.lost_state = ""  # why its own child's state is gone, until it was told
        self.label = opening.nonce[:8]
        self.caller = caller or opening.principal
        self.hold: Reservation | None = None  # what it takes of the memory, once it is kept

    def deliver(self, message: bytes, exchange: Exchange | None = None) -> bool:
        """Put a message on exactly one stream: that of the exchange it belongs to, else the newest open one."""
        if exchange is not None and exchange.outbox.put(message):
            return True
        return any(outbox.put(message) for outbox in reversed(self.streams))

    def keep(self, key: object, message: bytes) -> None:
        """Hold a message until a stream opens. A second one with the same key takes the first one's place.

        The oldest give way to new ones, but asks do not: the child waits for them. The relay bounds their number.
        """
        before, self.waiting[key] = self.waiting.get(key, b""), message
        if len(before) == len(message):
            return  # as big as it was: what holds for this session still does
        size = sum(map(len, self.waiting.values()))
        while len(self.waiting) > WAITING_LIMIT or size > WAITING_BYTES or not self.fits():
            oldest = next((key for key in self.waiting if not (isinstance(key, tuple) and key[0] == "ask")), None)
            if oldest is None:
                return
            size -= len(self.waiting.pop(oldest))
            self.dropped += 1

    def fits(self) -> bool:
        """Whether the memory has room for what this session holds now; it is counted then."""
        return self.hold is None or self.hold.fits(self.weight())

    def weight(self) -> int:
        parts = (self.id, memoryview(self.capabilities), memoryview(self.client), *self.waiting.values())
        return COST + sum(map(len, parts)) + sum(map(getsizeof, self.subscriptions)) + EACH * (len(self.subscriptions) + len(self.waiting))

    def listen(self, outbox: MessageStream) -> None:
        """A stream for unrelated messages has opened; what waited for one goes there."""
        self.streams.append(outbox)
        for key, message in list(self.waiting.items()):
            if not outbox.put(message):
                return
            del self.waiting[key]
        self.fits()

    def unlisten(self, outbox: MessageStream) -> None:
        if outbox in self.streams:
            self.streams.remove(outbox)

    @property
    def is_busy(self) -> bool:
        return bool(self.streams or self.exchanges or self.pending)

    def cancel_pending(self, message: Envelope) -> bool:
        """Whether `notifications/cancelled` was about a request that has not gone to a child yet, and now will not."""
        pending = self.pending.get(envelope.key(envelope.peek(message.params).requestId)) if self.pending else None
        if pending is None:
            return False
        pending.cancel()
        return True

    @property
    def is_in_token(self) -> bool:
        """Whether the session's id says all that we know of it."""
        return not (self.own_child or self.subscriptions or self.level or self.id == self.nonce)

    @property
    def may_be_forgotten(self) -> bool:
        """Whether nobody would miss anything: its next request takes it up again."""
        return self.is_in_token and not (self.is_busy or self.recordings or self.waiting or self.asks)


class Sessions:
    """All sessions of one MCP.

    `key` seals the ids, `mcp` tells whose they are. Connection-bound sessions (HTTP+SSE, WebSocket) are here too, under
    ids that are not sealed, because they end with their connection.
    """

    def __init__(
        self,
        mcp: str,
        key: bytes,
        limit: int,
        idle: float,
        memory: Budget | None = None,
        is_fair: bool = False,
        kind: type[Session] = Session,
    ):
        self._kind = kind
        self.mcp = mcp
        self.key = key
        self.idle = idle
        self.memory = memory or Budget()
        self.pot = Budget(limit, is_fair)
        self._of: dict[str, OrderedDict[str, Session]] = {}  # by caller and id, in the order in which they are forgotten
        self._open: dict[str, Session] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._open.values()))

    def make_room(self, caller: str, now: float, size: int = COST) -> bool:
        """Whether there is room for one more session of this caller, of so many bytes. What can be taken up again from its
        id is forgotten for it, as it loses nothing: the caller's own if that has its share, else of whoever has most."""
        for _ in range(LOOK):
            if self.pot.has_room(caller) and self.memory.has_room(caller, size):
                return True
            whose = max(self._of, key=lambda other: len(self._of[other]), default="") if self.pot.held >= self.pot.limit else caller
            if not self._forget_one(whose, now):
                break
        return False

    def _forget_one(self, caller: str, now: float) -> bool:
        mine = self._of.get(caller) or OrderedDict()
        for session in list(islice(mine.values(), LOOK)):
            if session.may_be_forgotten:
                if session.relay is not None:
                    session.relay.leave(session, now)
                self.forget(session)
                return True
            mine.move_to_end(session.id)
        return False

    def _keep(self, session: Session) -> None:
        self._open[session.id] = session
        self._of.setdefault(session.caller, OrderedDict())[session.id] = session
        self.pot.take(session.caller)
        session.hold = Reservation(self.memory, session.caller)
        session.hold.set(session.weight())

    def _drop(self, session: Session) -> bool:
        """Nothing of it stays. False if it was not kept."""
        if self._open.get(session.id) is not session:
            return False
        del self._open[session.id]
        mine = self._of[session.caller]
        del mine[session.id]
        if not mine:
            del self._of[session.caller]
        self.pot.give(session.caller)
        if session.hold is not None:
            session.hold.set(0)
            session.hold = None
        return True

    def open(
        self,
        transport: str,
        now: float,
        *,
        revision: str = WITHOUT_HEADER,
        capabilities: Raw = NO_OBJECT,
        client: Raw = NO_OBJECT,
        principal: str = "",
        own_child: bool = False,
        caller: str = "",
    ) -> Session:
        opening = Opening(self.mcp, revision, capabilities, client, principal, own_child, token_urlsafe(16))
        session = self._kind(transport, opening, opening.nonce, now, caller)
        self._keep(session)
        return session

    def find(self, id: str, principal: str, now: float) -> Session | None:
        """The session of an id, taken up again from its token if need be; None if it is unknown, ended, or another's.

        The caller connects a session without a relay to one.
        """
        session = self._open.get(id) or self._take_up(id, principal, now)
        if session is None or session.principal != principal:
            return None
        session.touched = now
        return session

    def missing(self, id: bytes | None, principal: str, now: float) -> Refusal:
        """Why a request has no session: it names none, there are too many to take it up from its token, or there is none of that name."""
        if id is None:
            return Refusal(400, INVALID_REQUEST, UNNAMED, reason=Reason.SESSION)
        if self._opening(id.decode("latin-1"), principal) is not None and not self.make_room(principal, now):
            return self.no_room(principal)
        return NO_SESSION

    def no_room(self, caller: str) -> Refusal:
        return no_room(self.pot, caller, "sessions", "--max-sessions")

    def known(self, id: str, principal: str) -> Session | None:
        """The session of an id if it is open here and this principal's."""
        session = self._open.get(id)
        return session if session is not None and session.principal == principal and session.relay is not None else None

    def seal(self, session: Session) -> None:
        """Give the session the id that says what was agreed on; connection-bound ones keep theirs."""
        if session.transport == "streamable-http":
            self._drop(session)
            session.id = self._token(session, session.client)
            if len(session.id) > MAX_LENGTH:  # a client's icons may be data: URIs
                session.id = self._token(session, NO_OBJECT)
            if len(session.id) > MAX_LENGTH:
                session.id = session.nonce
            self._keep(session)

    def adopt(self, transport: str, id: str, revision: str, principal: str, now: float) -> Session:
        """A session that nobody opened. Without an id it is known to its one request only."""
        opening = Opening(self.mcp, revision, NO_OBJECT, NO_OBJECT, principal, False, token_urlsafe(16))
        session = self._kind(transport, opening, id, now)
        session.initialized = True
        if id:
            self._keep(session)
        return session

    def may_adopt(self, id: str, principal: str, now: float) -> bool:
        """Whether a session may be kept under this id: LiteLLM's last words may come after its DELETE, and nothing ends those.
        Another caller's id stays his, while his session is forgotten, too."""
        opening = unseal(id, self.key)
        return (
            len(id) <= MAX_LENGTH
            and id not in self._open
            and (opening is None or (opening.principal == principal and opening.nonce not in self._ended))
            and self.make_room(principal, now)
        )

    def end(self, session: Session) -> None:
        """The session is over; its id will not be taken up again."""
        if self._drop(session):
            self._ended[session.nonce] = None
            if len(self._ended) > ENDED_LIMIT:
                self._ended.popitem(last=False)

    def refuse(self, session: Session) -> None:
        """Do not take up this session from its token: there was more to it."""
        self._ended[session.nonce] = None

    def holds(self, session: Session) -> bool:
        return self._open.get(session.id) is session

    def forget(self, session: Session) -> None:
        """Let go of what a session's token can bring back."""
        self._drop(session)

    def idle_ones(self, now: float) -> list[Session]:
        return (
            [session for session in self._open.values() if now - session.touched > self.idle and not session.is_busy] if self.idle else []
        )

    def _token(self, session: Session, client: Raw) -> str:
        return seal(
            Opening(self.mcp, session.revision, session.capabilities, client, session.principal, session.own_child, session.nonce), self.key
        )

    def _take_up(self, id: str, principal: str, now: float) -> Session | None:
        opening = self._opening(id, principal)
        if opening is None or not self.make_room(principal, now):
            return None
        session = self._kind("streamable-http", opening, id, now)
        session.initialized = True
        self._keep(session)
        return session

    def _opening(self, id: str, principal: str) -> Opening | None:
        """What an id says, if this principal may use it here and has not ended its session."""
        opening = unseal(id, self.key)
        if opening is None or opening.mcp != self.mcp or opening.nonce in self._ended or opening.principal != principal:
            return None
        return opening


def can_be_asked(capabilities: Raw) -> bool:
    """Whether a client declares any of sampling, elicitation and roots, and so needs a child of its own."""
    return any(name in ASKABLE for name in envelope.members(capabilities)) if len(memoryview(capabilities)) > 2 else False
