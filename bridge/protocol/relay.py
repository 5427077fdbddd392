"""Who gets a message: between the sessions that share a child and that child, in both directions.

The child knows only integers that the bridge minted: request ids and progress tokens, so two clients that both use 1, 2, 3
never meet. Pure and synchronous: lines and times in, lines and messages out. A relay does not know whether its child is a process.

It joins its parts, and takes them through the child's life:

    link        how it stands with the child             audience    who shares it, and whose something is
    dispatch    what waits for the child, or is with it  incoming    what the child's lines are
    completion  how requests of clients end              rules       requests that concern other sessions
    asks        the child's requests                     notices     its notifications; client_notices: those of clients
    learning    what the bridge asks for itself          upkeep      what time does
"""

import itertools
from collections.abc import Callable, Iterator
from functools import partial

from msgspec import Raw

from bridge.counts import Counts
from bridge.failure import NONE, Failure
from bridge.protocol import envelope, ids, meta, subscriptions
from bridge.protocol.asks import Asks
from bridge.protocol.audience import Audience
from bridge.protocol.catalogue import Catalogue
from bridge.protocol.client_notices import ClientNotices
from bridge.protocol.completion import WORK, Completion
from bridge.protocol.dispatch import Dispatcher
from bridge.protocol.early import EarlyMessages
from bridge.protocol.envelope import NOTICE, Envelope
from bridge.protocol.era import LEGACY
from bridge.protocol.eras.caller import Caller
from bridge.protocol.eras.downgrade import Downgrade
from bridge.protocol.eras.passing import Listens
from bridge.protocol.eras.tasks import Tasks
from bridge.protocol.eras.translator import Same, Translator, Verbatim
from bridge.protocol.eras.upgrade import Upgrade
from bridge.protocol.errors import CANCELLED, INTERNAL_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, NO_REQUEST, Reason, Refusal
from bridge.protocol.exchange import NEVER, Exchange, Observer
from bridge.protocol.facts import Facts
from bridge.protocol.handshake import Handshake, Refused
from bridge.protocol.incoming import Incoming
from bridge.protocol.interfaces import Child, Log
from bridge.protocol.known_lists import LISTS, KnownLists
from bridge.protocol.late_lists import LateLists
from bridge.protocol.learning import Learning
from bridge.protocol.link import Event, Link, State
from bridge.protocol.notices import Notices
from bridge.protocol.outbox import Outbox
from bridge.protocol.pings import Pings
from bridge.protocol.pinned import Pinned
from bridge.protocol.policy import Policy
from bridge.protocol.replicas import Replicas, may_go_elsewhere
from bridge.protocol.session import Session
from bridge.protocol.upkeep import Upkeep

SAFE_METHODS = frozenset((*LISTS, "resources/read", "prompts/get", "completion/complete"))
_IN_BOTH_ERAS = frozenset((*LISTS, *WORK, "completion/complete"))
_ASLEEP = State.ASLEEP


class Relay:
    """One child's relay. A `private` one belongs to a single session (`owner`, None until it has one); the others are
    shared by sessions that ask for nothing. `minted` gives ids; relays that hand sessions over share it."""

    def __init__(
        self,
        child: Child,
        policy: Policy,
        counts: Counts,
        log: Log,
        owner: Session | None = None,
        *,
        private: bool | None = None,
        minted: Iterator[int] | None = None,
        era: str = LEGACY,
    ):
        self.child = child
        self.policy = policy
        self.counts = counts
        self.is_private = owner is not None if private is None else private
        self.successor: Relay | None = None  # whose child the sessions go on with
        self.replicas: Replicas | None = None  # among which it is one
        self.exchanges: dict[int, Exchange] = {}  # written to the child and not yet answered by it
        self._patience, self._longest = policy.request_timeout or NEVER, policy.request_timeout_max or NEVER
        self._early = EarlyMessages(counts)
        self.catalogue = Catalogue(counts.labels)
        self.lists = KnownLists()
        self.tasks = Tasks()
        link = self.link = Link(era, log)
        audience = self.audience = Audience(self.exchanges, owner)
        minted = minted or itertools.count(1)
        dispatcher = self.dispatcher = Dispatcher(child, link, policy, counts, minted, self.exchanges, audience.callers)
        self.pinned = Pinned(policy.pins, log)  # whether its tools are those that were approved
        self.completion = Completion(child, link, self.lists, self.pinned, counts)
        self.asks = Asks(audience, dispatcher, link, policy, counts)
        self.notices = Notices(audience, link, self.asks, policy, counts, self._forget)
        self.listens = Listens(link, dispatcher, audience, policy.ready_wait, self.notices.notified)
        learned = None if self.is_private else child.learned
        self.learning = Learning(link, dispatcher, self.lists, self.catalogue, policy, self.notices.changed, learned, self.pinned)
        self.incoming = Incoming(link, counts, self.exchanges.__contains__, self._answered, self._said, self._failed)
        self.received = self.incoming.received  # one line of the child's stdout; the same object, as it is called for each
        self.late_lists = LateLists(dispatcher, self.completion, policy.profile, self.pinned)
        self._pings = Pings(child, link, dispatcher, audience, policy)
        parts = (self.incoming, self.notices, self._pings, self.late_lists)
        told = ClientNotices(audience, link, dispatcher, self.completion, self.asks, policy, counts)
        self.notify, self.abandon = told.notify, told.abandon
        self.respond = self.asks.answered  # a client's answer to an ask: False if nobody asked
        self._upkeep = Upkeep(link, policy, dispatcher, self.completion, self.asks, parts, self.listens, self.abandon)
        self.switch_era(era)

    @property
    def is_open(self) -> bool:
        return self.link.state.is_open

    @property
    def is_asleep(self) -> bool:
        return self.link.state is State.ASLEEP

    @property
    def is_paused(self) -> bool:
        return self.link.state is State.PAUSED

    @property
    def is_modern(self) -> bool:
        return self.link.is_modern

    @property
    def facts(self) -> Facts | None:
        return self.link.facts

    @property
    def reason(self) -> str:
        """Why it is not open."""
        return str(self.link.reason)

    @property
    def sessions(self) -> dict[str, Session]:
        return self.audience.sessions

    @property
    def is_quiet(self) -> bool:
        """Whether at most one request is with the child."""
        return len(self.exchanges) < 2

    @property
    def is_at_rest(self) -> bool:
        """Whether the child has nothing to do."""
        return not self.exchanges

    @property
    def is_idle(self) -> bool:
        """Whether the child has nothing to do and nobody waits for it."""
        return not self.exchanges and not self.dispatcher.turns and not self.asks.suspended

    @property
    def is_wanted(self) -> bool:
        """Whether a child that is not there should be: somebody waits for it, or listens to it."""
        return not self.is_idle or self.listens.are_awaited

    # -- the child's life -------------------------------------------------------------------------------------------

    def switch_era(self, era: str) -> None:
        """Take the child as one of this era, from its next handshake on."""
        self.link.set_era(era)
        policy, link, turns = self.policy, self.link, self.dispatcher.turns
        self.translator: Translator = Upgrade(policy, link) if link.is_modern else Same(policy)  # for clients with a session
        self.modern_translator: Verbatim | Downgrade = Verbatim(policy, link, self.tasks) if link.is_modern else Downgrade(policy, link)
        for exchange in turns.clear():  # worded for another era
            if exchange.session is not None and not exchange.session.is_modern and exchange.method in _IN_BOTH_ERAS:
                self.reword(exchange, exchange.message or envelope.from_client(exchange.line or b""))
                turns.wait(exchange)
            else:
                self.completion.fail(
                    exchange, "lost", INTERNAL_ERROR, "the server speaks another era than it seemed: try again", link.last_received
                )

    def open(self, params: bytes, now: float, opened: Callable[[Facts], None], refused: Refused) -> None:
        """A new child runs: shake hands. `opened(facts)` or `refused(why, code)` is called when it answered."""

        def answered(facts: Facts, result: bytes) -> None:
            opened(facts)
            self._opened(facts, result, self.link.last_received)

        self.incoming.noted = []
        method = "server/discover" if self.link.is_modern else "initialize"
        handshake = Exchange(self.dispatcher.mint(), None, b"0", method, "", None, None, now)
        handshake.on_answer = Handshake(self.link.era, answered, refused).receive
        self.exchanges[handshake.id] = handshake
        self.dispatcher.send(envelope.request_line(handshake.id, method, meta.own() if self.link.is_modern else params))

    def _opened(self, facts: Facts, result: bytes, now: float) -> None:
        """The child answered the handshake."""
        if not self.link.is_modern:
            # `initialized` goes out at once: Rust servers refuse anything else in between.
            self.dispatcher.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        link = self.link
        is_new_child, link.has_opened = link.has_opened, True
        self.audience.renew()
        link.facts, link.reason = facts, NONE
        link.on(Event.OPENED)
        self.lists.initialize = result
        self.dispatcher.calls = self._pings.misses = 0
        self.learning.is_missed = False
        link.used = max(link.used, now)
        for capability in self.lists.limit_to(facts):
            self.notices.changed(capability)
        if self.link.is_modern:
            self.listens.opened(now)
        elif is_new_child:
            self._restore(now)
        self.dispatcher.pump()
        for other in self.replicas or ():
            if not other.link.state.is_ready:
                self._take_over(other)
        self.learning.learn([method for method, capability in LISTS.items() if facts.offers(capability)], now)

    def _restore(self, now: float) -> None:
        """Tell a new child what its predecessor knew of the sessions, before anything else."""
        sessions = self.sessions.values()
        wishes = [
            ("resources/subscribe", b'{"uri":%b}' % envelope.encode(uri))
            for uri in sorted({uri for session in sessions for uri in session.subscriptions})
        ]
        is_asked_for_more = any(exchange.session is None and exchange.method == "logging/setLevel" for exchange in self.dispatcher.turns)
        if not is_asked_for_more:  # by a modern call, which has woken the child
            listening = sessions if self.replicas is None else self.replicas.first.sessions.values()
            level = self.audience.level = subscriptions.level_of(listening) if self.link.offers("logging") else None
            if level:
                wishes.insert(0, ("logging/setLevel", b'{"level":"%b"}' % level.encode()))
        for method, params in reversed(wishes):
            self.dispatcher.ask_first(method, params, now)

    def remember(self, facts: Facts) -> None:
        """Take the child as known, and asleep, from what was kept of it."""
        self.link.facts = facts
        self.sleep()
        pages = self.lists.pages("tools/list")
        self.catalogue.learn(pages)
        if pages:
            self.pinned.learned(pages)

    def presume(self, other: "Relay") -> None:
        """Take the child, which is still starting, as another one is known to be, and answer questions for lists at once."""
        if (
            self.link.facts is None
            and not self.link.missing
            and other.link.facts is not None
            and (other.catalogue.is_known or not other.link.offers("tools"))
        ):
            self.lists.succeed(other.lists)
            self.remember(other.link.facts)

    def sleep(self) -> None:
        """The child, which has nothing to do, is being stopped for want of work."""
        self.link.on(Event.SLEEP)
        self.link.reason = Failure("asleep")

    def _forget(self, capability: str, now: float) -> None:
        """The child's lists of this capability are not what they were: read them again."""
        self.lists.forget(capability)
        self.learning.learn([method for method, of in LISTS.items() if of == capability], now, tell=False)

    def lost(self, failure: Failure, now: float, *, for_good: bool = False) -> None:
        """The child is gone. What it had is answered now, or tried again on the next one where that is safe; what it
        never saw waits for the next one, unless that one failed to open, too."""
        link, turns, why = self.link, self.dispatcher.turns, str(failure)
        was_open = link.is_open
        link.on(Event.LOST)
        link.reason, link.missing = failure, now
        elsewhere = self.replicas.ready if self.replicas is not None else None
        is_lasting = was_open and (not for_good or elsewhere is not None)
        gone: list[Exchange] = []
        again: list[Exchange] = []
        for exchange in self.exchanges.values():
            if exchange.is_turned:
                turns.back(exchange)
            (again if is_lasting and self._may_try_again(exchange) else gone).append(exchange)
        self.exchanges.clear()
        self._pings.lost()
        self.learning.reading.clear()
        self._early.take()
        if elsewhere is not None:
            elsewhere._take_over(self)
        # Our own questions are asked anew; what an own child's session asked on the ground of what is lost, is not asked.
        gone += turns.clear(
            lambda exchange: (
                for_good or not was_open or exchange.session is None or (self.is_private and exchange.method not in SAFE_METHODS)
            )
        )
        is_answered = False
        for exchange in gone:
            is_answered = is_answered or (exchange.session is not None and exchange.hold is None)
            self.completion.fail(exchange, "lost", INTERNAL_ERROR, why, now)
        self._try_again(again, elsewhere or self.heir)
        if (owner := self.audience.owner) is not None and was_open and self.dispatcher.calls and not is_answered:
            owner.lost_state = why
        self.asks.lost()
        self.listens.lost(for_good)
        self.tasks.lost()
        for exchange in list(self.asks.suspended.values()) if for_good else ():
            self.asks.withdraw(exchange, why)
            self.completion.fail(exchange, "lost", INTERNAL_ERROR, why, now)

    def pause(self) -> None:
        """Requests wait from now on; what is under way ends."""
        self.link.on(Event.PAUSE)

    def stop(self) -> None:
        """The child is being stopped for good."""
        self.link.on(Event.STOP)

    def finish(self) -> None:
        """The bridge is shutting down: subscriptions end with a word."""
        self.listens.finish()
        for session in self.sessions.values():
            if isinstance(session, Caller):
                session.finish()

    def sweep(self, now: float, keepalive: float) -> None:
        self._upkeep.sweep(now, keepalive)

    def _may_try_again(self, exchange: Exchange) -> bool:
        is_first = not exchange.is_second_try and exchange.hold is None
        return exchange.is_safe and is_first and exchange.session is not None and not self.is_private

    def _take_over(self, other: "Relay") -> None:
        """What waits for another one of the same command goes on here."""
        for exchange in other.dispatcher.turns.clear(may_go_elsewhere):
            self.inherit(exchange)
            self.dispatcher.turns.wait(exchange)
        self.dispatcher.pump()

    def _try_again(self, exchanges: list[Exchange], heir: "Relay") -> None:
        for exchange in reversed(exchanges):
            exchange.is_second_try = True
            heir.inherit(exchange)
            heir.dispatcher.turns.wait(exchange, first=True)
        heir.dispatcher.pump()

    def inherit(self, exchange: Exchange) -> None:
        """A request that is with no child goes on with ours."""
        exchange.relay = self
        exchange.translator = self.modern_translator if exchange.session.is_modern else self.translator

    def reword(self, exchange: Exchange, message: Envelope) -> None:
        """The same, with another line: `message` in the words that our child wants."""
        self.inherit(exchange)
        line = envelope.request_line(
            exchange.id, exchange.method, exchange.translator.params(exchange, message, envelope.peek(message.params))
        )
        exchange.line = envelope.flat(line[:-1]) + b"\n"

    # -- sessions -------------------------------------------------------------------------------------------------------

    def join(self, session: Session) -> None:
        session.relay = self
        self.audience.join(session)

    def adopt(self, session: Session, now: float) -> None:
        """A spare child's relay gets its session, and with it whatever the child said before."""
        self.audience.owner = session
        self.join(session)
        for message in self._early.take():
            self._said(message, now)

    def leave(self, session: Session, now: float) -> None:
        """The session is over: nothing of it stays here."""
        self.sessions.pop(session.nonce, None)
        uris, session.subscriptions = session.subscriptions, set()
        for exchange in list(session.exchanges.values()):
            exchange.relay.abandon(exchange, now)
            self.completion.fail(exchange, "cancelled", CANCELLED, "the session ended", now)
        self.asks.end(session)
        if uris and self.link.is_modern:
            return self.listens.own.refresh(now)
        for uri in sorted(subscriptions.not_held(self.sessions.values(), uris)) if self.is_open else ():
            self.dispatcher.ask("resources/unsubscribe", b'{"uri":%b}' % envelope.encode(uri), now)

    def hand_over(self, other: "Relay", now: float) -> None:
        """All sessions go on with another child of the same command, which is open; requests with this one end here."""
        self.successor, turns = other, self.dispatcher.turns
        self.learning.is_over = True
        for session in self.sessions.values():
            other.join(session)
        self.sessions.clear()
        for exchange in turns.clear(lambda exchange: exchange.session is None):
            self.completion.fail(exchange, "lost", INTERNAL_ERROR, "another child is asked", now)
        for exchange in turns.clear():
            other.inherit(exchange)
            other.dispatcher.turns.wait(exchange)
        if other.is_modern:
            other.listens.succeed(self.listens, now)
            other.listens.own.refresh(now)
        else:
            other._restore(now)
        other.dispatcher.pump()
        for capability in other.lists.succeed(self.lists):
            other.notices.changed(capability)
        other.learning.tell()

    # -- from clients -----------------------------------------------------------------------------------------------

    def request(
        self,
        session: Session,
        message: Envelope,
        params: envelope.Params,
        outbox: Outbox,
        now: float,
        trace: str = "",
        entry: Observer | None = None,
    ) -> Refusal | None:
        """A client's request. The answer goes to `outbox`, unless a refusal is returned. `params` are what `spelling` made of the message's."""
        if self.successor is not None:
            session.relay = self.successor
            return self.successor.request(session, message, params, outbox, now, trace, entry)
        method = message.method or ""
        key = envelope.key(message.id)
        if key in session.exchanges:
            return Refusal(
                400,
                INVALID_REQUEST,
                f"id {key.decode()[:80]} is in use by a request of this session that is under way",
                reason=Reason.REQUEST,
            )
        if session.lost_state and method not in SAFE_METHODS and method != "ping":
            why, session.lost_state = session.lost_state, ""
            why = f"what the server knew of this session is lost: {why}; from now on a new process answers"
            outbox.answer(self.policy.profile.refusal(bytes(message.id), message.method, INTERNAL_ERROR, why, message.params))
            return None
        rule = self.translator.before.get(method)
        if rule is None and method.startswith(NOTICE):
            return Refusal(200, METHOD_NOT_FOUND, NO_REQUEST, reason=Reason.REQUEST)
        if rule is not None:
            done = rule(self, session, message, params)
            if isinstance(done, Refusal):
                return done
            if callable(done):  # what is to be done about it, to be answered later
                done(outbox, now)
                return None
            if done is not None:
                outbox.answer(done)
                return None
        token = envelope.peek_meta(params.meta).progressToken if params.meta else None
        exchange = self._exchange(session, message, params, outbox, now, self.translator, token, entry)
        if self.link.state is _ASLEEP and (known := self.lists.answer(message.method or "", bytes(params.cursor))):
            self.completion.complete_known(exchange, known, now)
            return None
        self.link.used = now
        session.exchanges[key] = exchange
        exchange.key = key
        if trace:  # a member that is set later costs as much as four that are set at first
            exchange.trace = trace
        self.completion.begin(exchange)
        self.dispatcher.submit(exchange)
        return None

    def call(
        self,
        caller: Caller,
        message: Envelope,
        params: envelope.ModernParams,
        token: Raw,
        level: str,
        outbox: Outbox,
        now: float,
        trace: str = "",
        entry: Observer | None = None,
    ) -> Exchange:
        """A modern client's request, which has passed `header_rules`. The answer goes to `outbox`."""
        if self.successor is not None:
            return self.successor.call(caller, message, params, token, level, outbox, now, trace, entry)
        exchange = self._exchange(caller, message, params, outbox, now, self.modern_translator, token, entry)
        exchange.key = exchange.id
        if level:
            exchange.level = level
        if trace:
            exchange.trace = trace
        if self.link.state is _ASLEEP and (known := self.lists.answer(message.method or "", bytes(params.cursor))):
            self.completion.complete_known(exchange, known, now)
            return exchange
        if level and not self.link.is_modern:
            self._have_logged(level, now)
        self.link.used = now
        caller.exchanges[exchange.id] = exchange
        self.completion.begin(exchange)
        self.dispatcher.submit(exchange)
        return exchange

    def log_from(self, level: str, now: float) -> None:
        """Another one of the same command was told to log from this level on: it is the same for all of them."""
        self.audience.level = level
        if self.is_open and self.link.offers("logging"):
            self.dispatcher.ask("logging/setLevel", b'{"level":"%b"}' % level.encode(), now)

    def _have_logged(self, level: str, now: float) -> None:
        """A modern request wants log messages that a legacy child perhaps does not send. Nobody else gets more for it."""
        if not self.link.offers("logging"):
            return
        if self.audience.level is None or subscriptions.LEVELS.index(level) < subscriptions.LEVELS.index(self.audience.level):
            self.audience.level = level
            self.dispatcher.ask("logging/setLevel", b'{"level":"%b"}' % level.encode(), now)

    def cancel(self, exchange: Exchange, now: float) -> None:
        """A modern client closed its connection, which is how it cancels. Nothing more is for it."""
        if exchange.session.exchanges.get(exchange.key) is exchange:
            exchange.relay.abandon(exchange, now)
            self.completion.fail(exchange, "cancelled", CANCELLED, "the client left", now)

    @property
    def heir(self) -> "Relay":
        return self.successor.heir if self.successor else self

    def _exchange(
        self,
        session: Session,
        message: Envelope,
        params: envelope.Params,
        outbox: Outbox,
        now: float,
        translator: Translator,
        token: Raw | None,
        entry: Observer | None,
    ) -> Exchange:
        id = self.dispatcher.mint()
        method = message.method or ""
        tool, is_safe = self.catalogue.of(params.name) if method == "tools/call" else ("", method in SAFE_METHODS)
        exchange = Exchange(
            id,
            session,
            bytes(message.id),
            method,
            tool,
            token.copy() if token else None,
            outbox,
            now,
            now + self._patience,
            now + self._longest,
            self,
            translator,
            is_safe,
            entry,
        )
        if method == "tools/list":
            exchange.cursor = bytes(params.cursor)
        line = envelope.request_line(id, method, translator.params(exchange, message, params))
        exchange.line = line if line.find(b"\n", 0, -1) < 0 and envelope.RETURN not in line else envelope.flat(line[:-1]) + b"\n"
        if method in translator.after:
            exchange.then = partial(translator.after[method], session, message)
        return exchange

    # -- from the child -----------------------------------------------------------------------------------------------

    def _answered(self, message: Envelope, line: bytes, now: float) -> None:
        exchange = self.dispatcher.take_back(ids.minted(message.id))
        if exchange is None:
            if not self.link.is_modern or not self.listens.answered(ids.minted(message.id), message, now):
                self.counts.strays["answer"] += 1
                self.incoming.note(line)
            return
        self._pings.misses = 0
        if exchange.hold is None:
            self.completion.complete(exchange, message, line, now)
        if self.dispatcher.turns.waiting:
            self.dispatcher.pump()

    def _said(self, message: Envelope, now: float) -> None:
        """The child asks or tells something."""
        if self.is_private and self.audience.owner is None and message.method != "ping":
            self._early.keep(message)
        elif message.id:
            self.asks.asked(message, now)
        elif self.link.is_modern and message.method == "notifications/cancelled":
            self.listens.cancelled(message, now)
        elif not self.link.is_modern or not self.listens.notified(message, now):
            self.notices.notified(message, now)

    def _failed(self, id: int | None, outcome: str, why: str, now: float) -> None:
        """The child wrote what nobody can be given: fail the call that it was the answer to, if that can be told."""
        exchange = self.dispatcher.take_back(id)
        if exchange is None:
            return
        if exchange.hold is None:
            self.completion.fail(exchange, outcome, INTERNAL_ERROR, why, now)
        self.dispatcher.pump()
