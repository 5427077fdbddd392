"""What time does to requests and to the child: time-outs, slots held too long, signs of life, pings.

The relay is swept now and then; everything that is due then is done here.
"""

from bridge.failure import Failure
from bridge.protocol.envelope import Envelope
from bridge.protocol.errors import TIMED_OUT
from bridge.protocol.exchange import Exchange

ODD_PATIENCE = 1.0  # seconds for the next line of a message over many
LIST_PATIENCE = 1.5  # seconds that LiteLLM waits for a list of tools where an older one will do


class Upkeep:
    """The clock of one relay. `late` are the cursors of tool lists that the child is late with; `_Late` takes them out."""

    def __init__(self, relay):
        self.relay = relay
        self.misses = 0  # pings in a row without an answer
        self.is_pinging = False
        self.late: set[bytes] = set()

    def sweep(self, now: float, keepalive: float) -> None:
        """What is due: time-outs, slots held too long, asks that nobody can be asked, signs of life, pings."""
        relay = self.relay
        if relay.policy.profile.is_litellm:
            for exchange in [e for e in (*relay.exchanges.values(), *relay.turns) if _is_late_list(e, now)]:
                self._give_last_list(exchange, now)
        postponed, relay.postponed = relay.postponed, []
        for again in postponed:
            again(now)
        if relay.odd.is_open and now - relay.link.heard >= ODD_PATIENCE:
            relay.end_odd(now)
        self._let_clients_think(now)
        for exchange in [e for e in (*relay.exchanges.values(), *relay.asking.values()) if e.hold is None and e.is_overdue(now)]:
            relay.abandon(exchange, b"", now)
            self._time_out(exchange, now)
        for exchange in [e for e in relay.exchanges.values() if e.hold is not None and now >= e.hold]:
            relay.take_back(exchange.id)
        late = relay.turns.clear(lambda exchange: exchange.is_overdue(now) or self._waited_too_long(exchange, now))
        for exchange in late:  # only now that all of them have left: it may be the next one's turn
            self._time_out(exchange, now)
        if keepalive:
            for exchange in [*relay.exchanges.values(), *relay.turns, *relay.asking.values()]:
                if exchange.hold is None and exchange.session and now - exchange.created >= keepalive:
                    exchange.outbox.wait()
        relay.asks.sweep(now)
        relay.listens.sweep(now, keepalive)
        self._ping(now)
        if relay.turns:
            relay.pump()

    def _let_clients_think(self, now: float) -> None:
        """People may take long to answer, and the child can do nothing about it. The hard maximum stays."""
        relay, owner = self.relay, self.relay.owner
        thinking = list(relay.asking.values())
        if owner is not None and owner.asks and any(_is_asked_in(exchange) for exchange in relay.exchanges.values()):
            thinking += owner.exchanges.values()
        for exchange in thinking:
            exchange.progressed(now, relay.policy.request_timeout)

    def _give_last_list(self, exchange: Exchange, now: float) -> None:
        """A busy child must not stall a client that lists many servers. What it says later is for the next ones."""
        relay = self.relay
        last = relay.policy.profile.last_list(exchange.client_id, exchange.cursor)
        if last is None:
            return
        session, outbox = exchange.session, exchange.outbox
        del session.exchanges[exchange.key]
        session.touched = now
        relay.end(exchange)
        relay.count(exchange, "late", now)
        relay.turns.disown(exchange)
        exchange.token, exchange.outbox, exchange.is_safe = None, _Late(self, exchange.cursor), False
        self.late.add(exchange.cursor)
        outbox.answer(last)

    def _waited_too_long(self, exchange: Exchange, now: float) -> bool:
        relay = self.relay
        patience = relay.policy.ready_wait
        if relay.is_gone and relay.policy.profile.is_litellm and exchange.method == "tools/list":
            patience = min(patience, LIST_PATIENCE)
        return not relay.is_open and now - max(exchange.created, relay.link.missing) >= patience

    def _time_out(self, exchange: Exchange, now: float) -> None:
        relay = self.relay
        waited = f"{round(now - exchange.created, 1):g} s"
        if relay.is_open:
            why = f"no answer from the server within {waited} (--request-timeout)"
        else:
            why = f"the server is not ready after {waited}: {relay.reason}"
        relay.conclude(exchange, "timeout", TIMED_OUT, why, now)

    def _ping(self, now: float) -> None:
        """Ask a child that was silent for long whether it lives; never one that works: many answer nothing meanwhile."""
        relay = self.relay
        interval = relay.policy.ping_interval
        if (
            interval
            and relay.link.state.is_ready
            and not self.is_pinging
            and not relay.has_clients_waiting
            and not relay.turns
            and now - relay.link.heard >= interval
        ):
            self.is_pinging = True
            relay.ask_child("server/discover" if relay.is_modern else "ping", b"", now, _Pong(self), interval)

    def pong(self, has_answered: bool) -> None:
        relay = self.relay
        self.is_pinging = False
        if not relay.is_open or has_answered:
            return
        self.misses += 1
        if self.misses >= relay.policy.ping_misses:
            self.misses = 0
            relay.pause()  # what comes now is for the next child
            relay.child.hung(Failure(f"no answer to {relay.policy.ping_misses} pings (--ping-interval)"))


class _Late:
    """The outbox of a tool list whose client has been given the last one."""

    def __init__(self, upkeep: Upkeep, cursor: bytes):
        self.upkeep, self.cursor = upkeep, cursor

    def answer(self, message: Envelope) -> None:
        self.upkeep.late.discard(self.cursor)
        self.upkeep.relay.policy.profile.heard(self.cursor, message)


class _Pong:
    """The outbox of our own `ping`: any answer is one, an error too; only silence is none."""

    def __init__(self, upkeep: Upkeep):
        self.upkeep = upkeep

    def answer(self, message: Envelope) -> None:
        self.upkeep.pong(bool(message.id))


def _is_late_list(exchange: Exchange, now: float) -> bool:
    return (
        exchange.method == "tools/list"
        and exchange.session is not None
        and exchange.hold is None
        and not exchange.session.is_modern
        and now - exchange.created >= LIST_PATIENCE
    )


def _is_asked_in(exchange: Exchange) -> bool:
    """Whether its client is asked something that may be for this call: an ask that was left over from an earlier one is not."""
    session = exchange.session
    return (
        session is not None
        and exchange.hold is None
        and any(ask.heard is None and ask.created >= exchange.created for ask in session.asks.values())
    )
