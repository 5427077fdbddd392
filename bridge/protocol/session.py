"""What a legacy client holds: who it is, what it was promised, and where messages for it go.

A session is known by a sealed token (`token.py`), so forgetting one that idles loses nothing, unless it holds what its
token does not say (a child of its own, subscriptions, a log level): such a session ends, and answers 404 from then on.
"""

from collections import OrderedDict
from secrets import token_urlsafe

from msgspec import Raw

from bridge.protocol import envelope
from bridge.protocol.revisions import WITHOUT_HEADER
from bridge.protocol.token import MAX_LENGTH, Opening, seal, unseal

WAITING_LIMIT = 256  # messages kept for a session that has no stream open
WAITING_BYTES = 4 * 1024 * 1024  # and their size; asks count, but stay
ENDED_LIMIT = 20_000  # ids of ended sessions that are still remembered
NO_OBJECT = Raw(b"{}")
ASKABLE = ("sampling", "elicitation", "roots")


class Session:
    """One client's state. `streams` are the outboxes that carry unrelated messages, the newest last."""

    is_modern = False
    __slots__ = ("id", "nonce", "transport", "revision", "capabilities", "client", "principal", "relay", "own_child",
                 "level", "subscriptions", "exchanges", "asks", "next_ask", "streams", "waiting", "dropped", "touched",
                 "recordings", "initialized", "label", "lost_state")

    def __init__(self, transport: str, opening: Opening, id: str, now: float):
        self.id = id
        self.nonce = opening.nonce
        self.transport = transport
        self.revision = opening.revision
        self.capabilities = opening.capabilities
        self.client = opening.client
        self.principal = opening.principal
        self.own_child = opening.own_child
        self.relay = None
        self.level: str | None = None
        self.subscriptions: set[str] = set()
        self.exchanges: dict[bytes, object] = {}
        self.asks: dict[bytes, object] = {}
        self.next_ask = 1
        self.streams: list = []
        self.waiting: OrderedDict[object, bytes] = OrderedDict()
        self.dropped = 0
        self.touched = now
        self.recordings: list = []
        self.initialized = False
        self.lost_state = ""  # why its own child's state is gone, until it was told
        self.label = opening.nonce[:8]

    def deliver(self, message: bytes, exchange=None) -> bool:
        """Put a message on exactly one stream: that of the exchange it belongs to, else the newest open one."""
        if exchange is not None and exchange.outbox.put(message):
            return True
        return any(outbox.put(message) for outbox in reversed(self.streams))

    def keep(self, key: object, message: bytes) -> None:
        """Hold a message until a stream opens. A second one with the same key takes the first one's place.

        The oldest give way to new ones, but asks do not: the child waits for them. The relay bounds their number.
        """
        self.waiting[key] = message
        size = sum(map(len, self.waiting.values()))
        while len(self.waiting) > WAITING_LIMIT or size > WAITING_BYTES:
            oldest = next((key for key in self.waiting if not (isinstance(key, tuple) and key[0] == "ask")), None)
            if oldest is None:
                return
            size -= len(self.waiting.pop(oldest))
            self.dropped += 1

    def listen(self, outbox) -> None:
        """A stream for unrelated messages has opened; what waited for one goes there."""
        self.streams.append(outbox)
        for key, message in list(self.waiting.items()):
            if not outbox.put(message):
                return
            del self.waiting[key]

    def unlisten(self, outbox) -> None:
        if outbox in self.streams:
            self.streams.remove(outbox)

    @property
    def is_busy(self) -> bool:
        return bool(self.streams or self.exchanges)

    @property
    def is_in_token(self) -> bool:
        """Whether the session's id says all that we know of it."""
        return not (self.own_child or self.subscriptions or self.level or self.id == self.nonce)


class Sessions:
    """All sessions of one MCP.

    `key` seals the ids, `mcp` tells whose they are. Connection-bound sessions (HTTP+SSE, WebSocket) are here too, under
    ids that are not sealed, because they end with their connection.
    """

    def __init__(self, mcp: str, key: bytes, limit: int, idle: float):
        self.mcp = mcp
        self.key = key
        self.limit = limit
        self.idle = idle
        self._open: dict[str, Session] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self):
        return iter(list(self._open.values()))

    @property
    def is_full(self) -> bool:
        return len(self._open) >= self.limit > 0

    def open(self, transport: str, now: float, *, revision: str = WITHOUT_HEADER, capabilities: Raw = NO_OBJECT,
             client: Raw = NO_OBJECT, principal: str = "", own_child: bool = False) -> Session:
        opening = Opening(self.mcp, revision, capabilities, client, principal, own_child, token_urlsafe(16))
        session = Session(transport, opening, opening.nonce, now)
        self._open[session.id] = session
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

    def lacks_room_for(self, id: str, principal: str) -> bool:
        """Whether a session that `find` did not find could be taken up from its token, if only there were not so many."""
        return self.is_full and self._opening(id, principal) is not None

    def known(self, id: str, principal: str) -> Session | None:
        """The session of an id if it is open here and this principal's."""
        session = self._open.get(id)
        return session if session is not None and session.principal == principal and session.relay is not None else None

    def seal(self, session: Session) -> None:
        """Give the session the id that says what was agreed on; connection-bound ones keep theirs."""
        if session.transport == "streamable-http":
            self._open.pop(session.id, None)
            session.id = self._token(session, session.client)
            if len(session.id) > MAX_LENGTH:  # a client's icons may be data: URIs
                session.id = self._token(session, NO_OBJECT)
            if len(session.id) > MAX_LENGTH:
                session.id = session.nonce
            self._open[session.id] = session

    def adopt(self, transport: str, id: str, revision: str, principal: str, now: float) -> Session:
        """A session that nobody opened. Without an id it is known to its one request only."""
        opening = Opening(self.mcp, revision, NO_OBJECT, NO_OBJECT, principal, False, token_urlsafe(16))
        session = Session(transport, opening, id, now)
        session.initialized = True
        if id:
            self._open[id] = session
        return session

    def may_adopt(self, id: str) -> bool:
        """Whether a session may be kept under this id: LiteLLM's last words may come after its DELETE, and nothing ends those."""
        opening = unseal(id, self.key)
        return len(id) <= MAX_LENGTH and id not in self._open and not self.is_full and (opening is None or opening.nonce not in self._ended)

    def end(self, session: Session) -> None:
        """The session is over; its id will not be taken up again."""
        if self._open.pop(session.id, None):
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
        self._open.pop(session.id, None)

    def idle_ones(self, now: float) -> list[Session]:
        return [session for session in self._open.values()
                if now - session.touched > self.idle and not session.is_busy] if self.idle else []

    def _token(self, session: Session, client: Raw) -> str:
        return seal(Opening(self.mcp, session.revision, session.capabilities, client, session.principal,
                            session.own_child, session.nonce), self.key)

    def _take_up(self, id: str, principal: str, now: float) -> Session | None:
        opening = None if self.is_full else self._opening(id, principal)
        if opening is None:
            return None
        session = self._open[id] = Session("streamable-http", opening, id, now)
        session.initialized = True
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
