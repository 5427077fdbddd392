"""Who shares a child: its sessions, and whose it is what comes from the child without an address.

The child knows only integers that the bridge minted. What cannot be told from those is decided by one rule
(`owner_of_the_moment`): it belongs to the only exchange under way, else to the only session, else to nobody in particular;
and where the child has heard of more than one caller, to nobody at all, because a server may well speak late.
"""

from collections.abc import Iterator
from itertools import islice

from bridge.protocol.exchange import Exchange
from bridge.protocol.session import Session

MANY = 2  # more need not be told apart, and tokens of an issuer name any number


class Audience:
    """`exchanges` are those that are with the child. `owner` is the only session where the child is nobody else's."""

    def __init__(self, exchanges: dict[int, Exchange], owner: Session | None):
        self.exchanges = exchanges
        self.owner = owner
        self.sessions: dict[str, Session] = {}
        self.callers: set[str] = set()  # whom this child may have something to say of: principals, no more than MANY of them
        self.level: str | None = None  # of log messages, as the child was told last

    def __iter__(self) -> Iterator[Session]:
        return iter(self.sessions.values())

    def join(self, session: Session) -> None:
        if len(self.callers) < MANY:
            self.callers.add(session.principal)
        self.sessions[session.nonce] = session

    def renew(self) -> None:
        """A new child has heard of nobody yet."""
        self.callers.clear()
        self.callers.update(session.principal for session in self)

    @property
    def has_many_callers(self) -> bool:
        return len(self.callers) >= MANY

    @property
    def has_clients_waiting(self) -> bool:
        return any(exchange.session for exchange in self.exchanges.values())

    def owner_of_the_moment(self) -> tuple[Exchange | None, list[Session]]:
        """Whom something without an address is for: an exchange with its session, or sessions."""
        if self.has_many_callers:
            return None, []
        exchange = self.only_exchange()
        if exchange is not None:
            return exchange, [exchange.session]
        under_way = {exchange.session.nonce: exchange.session for exchange in self.exchanges.values() if exchange.session}
        if any(session.is_modern for session in under_way.values()):
            return None, []  # those of several clients, for all we know
        if len(under_way) == 1:
            (session,) = under_way.values()
            newest = next(reversed(session.exchanges.values()), None)
            return newest, [session]
        return None, [session for session in self if not session.is_modern]

    def only_listener(self) -> tuple[Exchange | None, list[Session]]:
        """Whom a modern child's log message is for: it logs only for requests that want it to."""
        if self.has_many_callers:
            return None, []
        wanting = [exchange for exchange in self.exchanges.values() if exchange.level and exchange.hold is None]
        return (wanting[0], [wanting[0].session]) if len(wanting) == 1 else (None, [])

    def only_exchange(self) -> Exchange | None:
        """The client's request that is with the child, if there is just one."""
        under_way = list(islice((e for e in self.exchanges.values() if e.session), 2))
        return under_way[0] if len(under_way) == 1 and under_way[0].hold is None else None
