"""Who gets a message: between the sessions that share a child and that child, in both directions.

The child knows only integers that the bridge minted: request ids and progress tokens, so two clients that both use 1, 2, 3
never meet. What cannot be told from those is decided here by one rule (`owner_of_the_moment`): it belongs to the only
exchange under way, else to the only session, else to nobody in particular; and where the child has heard of more than one
caller, to nobody at all, because a server may well speak late.

Pure and synchronous: lines and times in, lines and messages out. A relay does not know whether its child is a process.
Beside it stand `turns` (whose turn it is), `rules` (requests that concern other sessions), `asks` (the child's requests),
`notices` (its notifications), `learning` (what the bridge asks for itself) and `upkeep` (what time does).
"""

import itertools
import re
from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from bridge.counts import Counts
from bridge.failure import NONE, Failure
from bridge.protocol import envelope, ids, memory, spelling, subscriptions
from bridge.protocol.asks import Asks
from bridge.protocol.catalogue import Catalogue
from bridge.protocol.envelope import NOTICE, Envelope
from bridge.protocol.eras import LEGACY, meta
from bridge.protocol.eras.caller import Caller
from bridge.protocol.eras.downgrade import Downgrade
from bridge.protocol.eras.passing import Listens
from bridge.protocol.eras.tasks import Tasks
from bridge.protocol.eras.translator import Same, Translator, Verbatim
from bridge.protocol.eras.upgrade import Upgrade
from bridge.protocol.errors import CANCELLED, INTERNAL_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, NO_REQUEST, Malformed, Refusal
from bridge.protocol.exchange import NEVER, Exchange
from bridge.protocol.facts import Facts
from bridge.protocol.handshake import Handshake, Refused
from bridge.protocol.learning import Learning
from bridge.protocol.link import Event, Link, State
from bridge.protocol.notices import Notices
from bridge.protocol.odd_lines import OddLines, is_json
from bridge.protocol.policy import Policy
from bridge.protocol.seams import Child, Log
from bridge.protocol.session import Session
from bridge.protocol.turns import Turns
from bridge.protocol.upkeep import Upkeep

SLOT_HOLD = 5.0  # seconds that a cancelled or timed-out request may still occupy a child that never answers it
OWN_TIMEOUT = 60.0  # seconds for requests of the bridge itself
NOTED, NOTED_WIDTH = 8, 400  # lines, and bytes of each, kept of what a child says in place of its handshake
SMALL = 4096  # bytes of a call that are not counted as memory
EARLY_LIMIT = 100  # messages kept of a spare child that nobody has yet
EARLY_BYTES = 1 << 20  # and the length of what they say
WORK = ("tools/call", "prompts/get", "resources/read")  # what a child is there for; a crashing one may well answer lists
SAFE_METHODS = frozenset((*memory.LISTS, "resources/read", "prompts/get", "completion/complete"))


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
        self.write = child.write
        self.link = Link(era, log)
        self.policy = policy
        self.counts = counts
        self.is_debug = log.is_debug
        self.owner = owner
        self.is_private = owner is not None if private is None else private
        self.catalogue = Catalogue(counts.labels)
        self.memory = memory.Memory()
        self.asks = Asks(self)
        self.notices = Notices(self)
        self.listens = Listens(self)
        self.tasks = Tasks()
        self.learning = Learning(self)
        self.upkeep = Upkeep(self)
        self.odd = OddLines(lambda id: id in self.exchanges)
        self.sessions: dict[str, Session] = {}
        self.callers: set[str] = set()  # the principals of whom this child may have something to say
        self.level: str | None = None  # what the child was told last
        self.used = 0.0  # when a client last asked for something; before that, when the child opened
        self.successor: Relay | None = None  # whose child the sessions go on with
        self.calls = 0  # requests of clients that this child got
        self.said: list[bytes] = []  # by a child that has not answered its handshake: what was no answer to it
        self.asking: dict[int, Exchange] = {}  # taken back from the child, whose client is asked something first
        self.unfinished: set[int] = set()  # answered by the child in part: `finish_late` takes them out
        self.postponed: list = []  # what is called at the next sweep
        self._early: list[Envelope] = []
        self.exchanges: dict[int, Exchange] = {}  # written to the child and not yet answered by it
        self._patience, self._longest = policy.request_timeout or NEVER, policy.request_timeout_max or NEVER
        self.turns = Turns(policy.max_session_requests)  # not yet written: the child is not open, or busy
        self._mint = minted or itertools.count(1)
        self.speak(era)

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

    # -- the child's life -------------------------------------------------------------------------------------------

    def speak(self, era: str) -> None:
        """Take the child as one of this era, from its next handshake on."""
        self.link.set_era(era)
        self.translator: Translator = Upgrade(self) if self.link.is_modern else Same(self.policy)  # for clients with a session
        self.modern_translator: Translator = Verbatim(self.policy) if self.link.is_modern else Downgrade(self)
        for exchange in self.turns.clear():  # worded for another era
            if exchange.session is not None and not exchange.session.is_modern and exchange.method in _IN_BOTH_ERAS:
                self.word_anew(exchange, exchange.message or envelope.from_client(exchange.line))
                self.turns.wait(exchange)
            else:
                self.conclude(exchange, "lost", INTERNAL_ERROR, "the server speaks another era than it seemed: try again", self.link.heard)

    def open(self, params: bytes, now: float, opened: Callable[[Facts], None], refused: Refused) -> None:
        """A new child runs: shake hands. `opened(facts)` or `refused(why, code)` is called when it answered."""

        def answered(facts: Facts, result: bytes) -> None:
            opened(facts)
            self._opened(facts, result, self.link.heard)

        self.said = []
        method = "server/discover" if self.link.is_modern else "initialize"
        handshake = Exchange(next(self._mint), None, b"0", method, "", None, None, now)
        handshake.outbox = Handshake(self.link.era, answered, refused)
        self.exchanges[handshake.id] = handshake
        self.send(envelope.request_line(handshake.id, method, meta.own() if self.link.is_modern else params))

    def _opened(self, facts: Facts, result: bytes, now: float) -> None:
        """The child answered the handshake."""
        if not self.link.is_modern:
            # `initialized` goes out at once: Rust servers refuse anything else in between.
            self.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        link = self.link
        is_new_child, link.has_opened = link.has_opened, True
        self.callers = {session.principal for session in self.sessions.values()}
        link.facts, link.reason = facts, NONE
        link.on(Event.OPENED)
        self.memory.initialize = result
        self.calls = self.upkeep.misses = 0
        self.learning.is_missed = False
        self.used = max(self.used, now)
        for capability in self.memory.limit_to(facts):
            self.notices.changed(capability)
        if self.link.is_modern:
            self.listens.opened(now)
        elif is_new_child:
            self._restore(now)
        self.pump()
        self.learning.learn([method for method, capability in memory.LISTS.items() if facts.offers(capability)], now)

    def _restore(self, now: float) -> None:
        """Tell a new child what its predecessor knew of the sessions, before anything else."""
        sessions = self.sessions.values()
        wishes = [
            ("resources/subscribe", b'{"uri":%b}' % envelope.encode(uri))
            for uri in sorted({uri for session in sessions for uri in session.subscriptions})
        ]
        is_asked_for_more = any(exchange.session is None and exchange.method == "logging/setLevel" for exchange in self.turns)
        if not is_asked_for_more:  # by a modern call, which has woken the child
            self.level = subscriptions.level_of(sessions) if self.link.facts.offers("logging") else None
            if self.level:
                wishes.insert(0, ("logging/setLevel", b'{"level":"%b"}' % self.level.encode()))
        for method, params in reversed(wishes):
            self.turns.wait(self._own_exchange(method, params, now), first=True)

    def remember(self, facts: Facts) -> None:
        """Take the child as known, and asleep, from what was kept of it."""
        self.link.facts = facts
        self.sleep()
        self.catalogue.learn(self.memory.pages("tools/list"))

    def presume(self, other: "Relay") -> None:
        """Take the child, which is still starting, as another one is known to be, and answer questions for lists at once."""
        if (
            self.link.facts is None
            and not self.link.missing
            and other.facts is not None
            and (other.catalogue.is_known or not other.facts.offers("tools"))
        ):
            self.memory.succeed(other.memory)
            self.remember(other.facts)

    def sleep(self) -> None:
        """The child, which has nothing to do, is being stopped for want of work."""
        self.link.on(Event.SLEEP)
        self.link.reason = Failure("asleep")

    def forget(self, capability: str, now: float) -> None:
        """The child's lists of this capability are not what they were: read them again."""
        self.memory.forget(capability)
        self.learning.learn([method for method, of in memory.LISTS.items() if of == capability], now, tell=False)

    def lost(self, failure: Failure, now: float, *, for_good: bool = False) -> None:
        """The child is gone. What it had is answered now, or tried again on the next one where that is safe; what it
        never saw waits for the next one, unless that one failed to open, too."""
        was_open = self.is_open
        self.link.on(Event.LOST)
        self.link.reason, self.link.missing = failure, now
        why = str(failure)
        gone, again = [], []
        for exchange in self.exchanges.values():
            if exchange.is_turned:
                self.turns.back(exchange)
            (again if was_open and not for_good and self._may_try_again(exchange) else gone).append(exchange)
        self.exchanges.clear()
        self.upkeep.is_pinging = False
        self.learning.reading.clear()
        self._early.clear()
        # Our own questions are asked anew; what an own child's session asked on the ground of what is lost, is not asked.
        gone += self.turns.clear(
            lambda exchange: (
                for_good or not was_open or exchange.session is None or (self.is_private and exchange.method not in SAFE_METHODS)
            )
        )
        told = False
        for exchange in gone:
            told = told or (exchange.session is not None and exchange.hold is None)
            self.conclude(exchange, "lost", INTERNAL_ERROR, why, now)
        self._try_again(again)
        if self.owner is not None and was_open and self.calls and not told:
            self.owner.lost_state = why
        self.asks.lost()
        self.listens.lost(for_good)
        self.tasks.lost()
        for exchange in list(self.asking.values()) if for_good else ():
            self.asks.withdraw(exchange, why)
            self.conclude(exchange, "lost", INTERNAL_ERROR, why, now)

    def _may_try_again(self, exchange: Exchange) -> bool:
        return (
            exchange.is_safe
            and not exchange.is_second_try
            and exchange.hold is None
            and exchange.session is not None
            and not self.is_private
        )

    def _try_again(self, exchanges: list[Exchange]) -> None:
        heir = self.heir
        for exchange in reversed(exchanges):
            exchange.is_second_try = True
            heir.inherit(exchange)
            heir.turns.wait(exchange, first=True)
        heir.pump()

    def inherit(self, exchange: Exchange) -> None:
        """A request that is with no child goes on with ours."""
        exchange.relay = self
        exchange.translator = self.modern_translator if exchange.session.is_modern else self.translator

    def word_anew(self, exchange: Exchange, message: Envelope) -> None:
        """The same, with another line: `message` in the words that our child wants."""
        self.inherit(exchange)
        line = envelope.request_line(
            exchange.id, exchange.method, exchange.translator.params(exchange, message, envelope.peek(message.params))
        )
        exchange.line = envelope.flat(line[:-1]) + b"\n"

    @property
    def is_quiet(self) -> bool:
        """Whether at most one request is with the child."""
        return len(self.exchanges) < 2

    @property
    def is_idle(self) -> bool:
        """Whether the child has nothing to do and nobody waits for it."""
        return not self.exchanges and not self.turns and not self.asking

    @property
    def is_wanted(self) -> bool:
        """Whether a child that is not there should be: somebody waits for it, or listens to it."""
        return not self.is_idle or self.listens.are_awaited

    @property
    def is_gone(self) -> bool:
        """Whether the child was lost and has not come back yet."""
        return self.link.state is State.LOST

    @property
    def is_at_rest(self) -> bool:
        """Whether the child has nothing to do."""
        return not self.exchanges

    def finish(self) -> None:
        """The bridge is shutting down: subscriptions end with a word."""
        self.listens.finish()
        for session in self.sessions.values():
            if session.is_modern:
                session.finish()

    def pause(self) -> None:
        """Requests wait from now on; what is under way ends."""
        self.link.on(Event.PAUSE)

    def stop(self) -> None:
        """The child is being stopped for good."""
        self.link.on(Event.STOP)

    @property
    def has_clients_waiting(self) -> bool:
        return any(exchange.session for exchange in self.exchanges.values())

    # -- sessions -------------------------------------------------------------------------------------------------------

    def join(self, session: Session) -> None:
        session.relay = self
        self.callers.add(session.principal)
        self.sessions[session.nonce] = session

    def adopt(self, session: Session, now: float) -> None:
        """A spare child's relay gets its session, and with it whatever the child said before."""
        self.owner = session
        self.join(session)
        early, self._early = self._early, []
        for message in early:
            self._heard(message, now)

    def leave(self, session: Session, now: float) -> None:
        """The session is over: nothing of it stays here."""
        self.sessions.pop(session.nonce, None)
        uris, session.subscriptions = session.subscriptions, set()
        for exchange in list(session.exchanges.values()):
            exchange.relay.abandon(exchange, b"", now)
            self.conclude(exchange, "cancelled", CANCELLED, "the session ended", now)
        self.asks.end(session)
        if uris and self.link.is_modern:
            return self.listens.own.refresh(now)
        for uri in sorted(subscriptions.not_held(self.sessions.values(), uris)) if self.is_open else ():
            self.ask_child("resources/unsubscribe", b'{"uri":%b}' % envelope.encode(uri), now)

    def hand_over(self, other: "Relay", now: float) -> None:
        """All sessions go on with another child of the same command, which is open; requests with this one end here."""
        self.successor = other
        for session in self.sessions.values():
            other.join(session)
        self.sessions.clear()
        for exchange in self.turns.clear(lambda exchange: exchange.session is None):
            self.conclude(exchange, "lost", INTERNAL_ERROR, "another child is asked", now)
        for exchange in self.turns.clear():
            other.inherit(exchange)
            other.turns.wait(exchange)
        if other.is_modern:
            other.listens.succeed(self.listens, now)
            other.listens.own.refresh(now)
        else:
            other._restore(now)
        other.pump()
        for capability in other.memory.succeed(self.memory):
            other.notices.changed(capability)
        other.learning.tell()

    # -- from clients -----------------------------------------------------------------------------------------------

    def request(self, session: Session, message: Envelope, outbox, now: float, trace: str = "") -> Refusal | None:
        """A client's request. The answer goes to `outbox`, unless a refusal is returned."""
        if self.successor is not None:
            session.relay = self.successor
            return session.relay.request(session, message, outbox, now, trace)
        params = spelling.params(message)
        key = envelope.key(message.id)
        if key in session.exchanges:
            return Refusal(400, INVALID_REQUEST, f"id {key.decode()[:80]} is in use by a request of this session that is under way")
        if session.lost_state and message.method not in SAFE_METHODS and message.method != "ping":
            why, session.lost_state = session.lost_state, ""
            why = f"what the server knew of this session is lost: {why}; from now on a new process answers"
            # An answer and no refusal: a refused request is tried a second time, the long way (http/shortcut.py).
            outbox.answer(self.policy.profile.refusal(bytes(message.id), message.method, INTERNAL_ERROR, why, message.params))
            return None
        rule = self.translator.before.get(message.method)
        if rule is None and message.method.startswith(NOTICE):
            return Refusal(200, METHOD_NOT_FOUND, NO_REQUEST)
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
        exchange = self._exchange(session, message, params, outbox, now, self.translator, token)
        if self.link.state is _ASLEEP and (known := self.memory.answer(message.method, bytes(params.cursor))):
            return self._answer_from_memory(exchange, known, now)
        self.used = now
        session.exchanges[key] = exchange
        exchange.key = key
        if trace:  # a member that is set later costs as much as four that are set at first
            exchange.trace = trace
        self._begin(exchange)
        self.submit(exchange)
        return None

    def call(
        self,
        caller: Caller,
        message: Envelope,
        params: envelope.ModernParams,
        token: msgspec.Raw,
        level: str,
        outbox,
        now: float,
        trace: str = "",
    ) -> Exchange:
        """A modern client's request, which has climbed the header_rules. The answer goes to `outbox`."""
        if self.successor is not None:
            return self.successor.call(caller, message, params, token, level, outbox, now, trace)
        exchange = self._exchange(caller, message, params, outbox, now, self.modern_translator, token)
        exchange.key = exchange.id
        if level:
            exchange.level = level
        if trace:
            exchange.trace = trace
        if self.link.state is _ASLEEP and (known := self.memory.answer(message.method, bytes(params.cursor))):
            self._answer_from_memory(exchange, known, now)
            return exchange
        if level and not self.link.is_modern:
            self._have_logged(level, now)
        self.used = now
        caller.exchanges[exchange.id] = exchange
        self._begin(exchange)
        self.submit(exchange)
        return exchange

    def _have_logged(self, level: str, now: float) -> None:
        """A modern request wants log messages that a legacy child perhaps does not send. Nobody else gets more for it."""
        if self.link.facts is None or not self.link.facts.offers("logging"):
            return
        if self.level is None or subscriptions.LEVELS.index(level) < subscriptions.LEVELS.index(self.level):
            self.level = level
            self.ask_child("logging/setLevel", b'{"level":"%b"}' % level.encode(), now)

    def cancel(self, exchange: Exchange, now: float) -> None:
        """A modern client closed its connection, which is how it cancels. Nothing more is for it."""
        if exchange.session.exchanges.get(exchange.key) is exchange:
            exchange.relay.abandon(exchange, b"", now)
            self.conclude(exchange, "cancelled", CANCELLED, "the client left", now)

    @property
    def heir(self) -> "Relay":
        return self.successor.heir if self.successor else self

    def mint(self) -> int:
        return next(self._mint)

    def _exchange(
        self,
        session: Session,
        message: Envelope,
        params: envelope.Params,
        outbox,
        now: float,
        translator: Translator,
        token: msgspec.Raw | None,
    ) -> Exchange:
        id = next(self._mint)
        method = message.method
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
        )
        if method == "tools/list":
            exchange.cursor = bytes(params.cursor)
        line = envelope.request_line(id, method, translator.params(exchange, message, params))
        exchange.line = line if line.find(b"\n", 0, -1) < 0 and envelope.RETURN not in line else envelope.flat(line[:-1]) + b"\n"
        if method in translator.after:
            exchange.then = partial(translator.after[method], session, message)
        return exchange

    def _begin(self, exchange: Exchange) -> None:
        """It is under way, until `end`. Its bytes count where they are many: the number of calls bounds the others."""
        counts, caller = self.counts, exchange.session.caller
        counts.calls.take(caller)
        size = len(exchange.line) + len(exchange.token or b"")
        if size > SMALL:
            exchange.size = size if exchange.message is None else 2 * size
            counts.memory.take(caller, exchange.size)

    def end(self, exchange: Exchange) -> None:
        counts, caller = self.counts, exchange.session.caller
        counts.calls.give(caller)
        if exchange.size:
            counts.memory.give(caller, exchange.size)
            exchange.size = 0

    def _answer_from_memory(self, exchange: Exchange, known: Envelope, now: float) -> None:
        exchange.session.touched = now
        self.count(exchange, "error" if known.error else "ok", now)
        exchange.outbox.answer(exchange.translator.answer(exchange, known))

    def notify(self, session: Session, message: Envelope, now: float) -> None:
        """A client's notification; never refused, because nobody could be told."""
        method = message.method
        if method == "notifications/cancelled":
            self._cancel(session, message, now)
        elif method == "notifications/initialized":
            session.initialized = True
        elif not method.startswith(NOTICE):
            self.counts.strays["request_without_id"] += 1  # some servers would do it all the same, past every rule for requests
        elif method in _OWNERS_ONLY and (self.owner is None or (method in _ROOTS and self.policy.withhold_roots)):
            self.counts.strays[method] += 1
        elif self.link.is_modern:
            self.counts.strays["notification_of_another_era"] += 1  # it knows no other than cancelling
        elif self.is_open:
            self.send(envelope.flat(envelope.notification(method, message.params)) + b"\n")
        else:
            self.counts.strays["notification_without_child"] += 1

    def respond(self, session: Session, message: Envelope, now: float) -> bool:
        """A client's answer to an ask. False if nobody asked."""
        return self.asks.answered(session, message, now)

    def _cancel(self, session: Session, message: Envelope, now: float) -> None:
        request_id = envelope.peek(message.params).requestId
        # Only this session's own requests: another client's id is none of its business.
        exchange = session.exchanges.get(envelope.key(request_id)) if request_id else None
        if exchange is None or exchange.method == "initialize":
            self.counts.strays["cancelled"] += 1
            return
        exchange.relay.abandon(exchange, message.params, now)
        self.conclude(exchange, "cancelled", CANCELLED, "request cancelled by the client", now)

    # -- from the child -----------------------------------------------------------------------------------------------

    def received(self, line: bytes, now: float) -> None:
        """One line of the child's stdout."""
        self.counts.from_child += len(line)
        self.link.heard = now
        if envelope.BRACE not in line:
            return self._noise(line)  # at once: a child may write nothing else, and as fast as it can
        if not line.isascii() and (clean := envelope.repaired(line)) and b"\0" not in line:
            self.counts.noise["bad_utf8"] += 1
            line = clean
        try:
            message = envelope.from_child(line)
        except envelope.TooWide as error:
            return self._unreadable(line, error.message, now)
        except Malformed as error:
            return self._odd(line, error.message, now)
        self._take(message, line, now)

    def _take(self, message: Envelope, line: bytes, now: float) -> None:
        if message.method is None:
            self._answered(message, line, now)
        else:
            self._heard(message, now)

    def _odd(self, line: bytes, why: str, now: float) -> None:
        """A line that is no message as it stands."""
        found = self.odd.read(line, now)
        if found is None:
            self._unreadable(line, why, now)
        elif found:
            self._take_all(found, now)
        else:
            self.received = self._received_on  # an attribute that hides the method, which then has nothing to ask

    def _received_on(self, line: bytes, now: float) -> None:
        """The same while a message goes on over lines."""
        self.counts.from_child += len(line)
        self.link.heard = now
        if line[:1] == b"{" and (alone := self.odd.whole(line)):
            self.end_odd(now)  # what had begun was none
            return self._take_all(alone, now)
        found = self.odd.read(line, now)
        if found is None:
            self.end_odd(now)
            self._odd(line, "it is an end without a beginning", now)
        elif found:
            del self.received
            self._take_all(found, now)

    def end_odd(self, now: float) -> None:
        """What had begun as a message over many lines was none, or does not go on."""
        del self.received
        self._unreadable(self.odd.give_up(), "it does not end", now)

    def _take_all(self, found: list[tuple[Envelope, bytes]], now: float) -> None:
        self.counts.noise["odd_message"] += 1
        for message, line in found:
            self._take(message, line, now)

    def _unreadable(self, line: bytes, why: str, now: float) -> None:
        self._noise(line)
        if b'"jsonrpc"' in line or not is_json(line):  # else a record of a log
            self._fail(line[: ids.ENDS], line[-ids.ENDS :], "unreadable", f"the server's answer is not a JSON-RPC message: {why}", now)

    def _heard(self, message: Envelope, now: float) -> None:
        """The child asks or tells something."""
        if self.is_private and self.owner is None and message.method != "ping":
            said = sum(len(memoryview(early.params)) for early in (*self._early, message))
            if len(self._early) < EARLY_LIMIT and said <= EARLY_BYTES:
                self._early.append(Envelope(id=message.id.copy(), method=message.method, params=message.params.copy()))
            else:
                self.counts.drops["early"] += 1
        elif message.id:
            self.asks.asked(message, now)
        else:
            self.notices.notified(message, now)

    def too_long(self, head: bytes, tail: bytes, size: int, now: float) -> None:
        """The child wrote a line over the limit, which was thrown away: fail the call that it belongs to."""
        self.counts.noise["too_long"] += 1
        self.link.log.warning("line too long", bytes=size)
        why = f"the server's answer is too long: {size} bytes in one line (raise --max-line)"
        self._fail(head, tail, "too_long", why, now)

    def _fail(self, head: bytes, tail: bytes, outcome: str, why: str, now: float) -> None:
        """The child wrote what nobody can be given: fail the call that it was the answer to, if that can be told."""
        exchange = self.take_back(ids.of_answer(head, tail))
        if exchange is None:
            return
        if exchange.hold is None:
            self.conclude(exchange, outcome, INTERNAL_ERROR, why, now)
        self.pump()

    def _answered(self, message: Envelope, line: bytes, now: float) -> None:
        exchange = self.take_back(ids.minted(message.id))
        if exchange is None:
            if not self.link.is_modern or not self.listens.answered(ids.minted(message.id), message, now):
                self.counts.strays["answer"] += 1
                self._note(line)
            return
        self.upkeep.misses = 0
        if exchange.hold is None:
            self._finish(exchange, message, line, now)
        if self.turns.waiting:
            self.pump()

    def _finish(self, exchange: Exchange, message: Envelope, line: bytes, now: float) -> None:
        session = exchange.session
        if session is None:
            return exchange.outbox.answer(message)
        answer = exchange.translator.answer(exchange, message)
        if answer is None:
            return None
        del session.exchanges[exchange.key]
        session.touched = self.used = now
        self.end(exchange)
        self.count(exchange, _outcome(exchange, message, line), now)
        if exchange.then:
            exchange.then(bool(message.result))
        if self.link.state is not _SERVING and message.result and exchange.method in WORK:
            self.link.on(Event.SERVED)
            self.child.served()
        if exchange.method in memory.LISTS:
            self.memory.overheard(exchange.method, message)
        exchange.outbox.answer(answer)
        return None

    def finish_late(self, exchange: Exchange, message: Envelope) -> None:
        """The same for an answer that its words could not give at once, unless nobody waits for it any more."""
        self.unfinished.discard(exchange.id)
        if exchange.session.exchanges.get(exchange.key) is exchange:
            self._finish(exchange, message, b"", self.link.heard)

    # -- whose is it ------------------------------------------------------------------------------------------------------

    def exchange(self, id: int | None) -> Exchange | None:
        return self.exchanges.get(id)

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
        return None, [session for session in self.sessions.values() if not session.is_modern]

    @property
    def has_many_callers(self) -> bool:
        return len(self.callers) > 1

    def only_listener(self) -> tuple[Exchange | None, list[Session]]:
        """Whom a modern child's log message is for: it logs only for requests that want it to."""
        if self.has_many_callers:
            return None, []
        wanting = [exchange for exchange in self.exchanges.values() if exchange.level and exchange.hold is None]
        return (wanting[0], [wanting[0].session]) if len(wanting) == 1 else (None, [])

    def only_exchange(self) -> Exchange | None:
        """The client's request that is with the child, if there is just one."""
        under_way = list(itertools.islice((e for e in self.exchanges.values() if e.session), 2))
        return under_way[0] if len(under_way) == 1 and under_way[0].hold is None else None

    def sweep(self, now: float, keepalive: float) -> None:
        self.upkeep.sweep(now, keepalive)

    # -- the pipe ---------------------------------------------------------------------------------------------------------

    def send(self, line: bytes) -> None:
        """Write one line that is nobody's turn. A child that reads nothing for long does not get it: it would wait for ever."""
        if self.child.is_stuck():
            self.counts.drops["stdin_full"] += 1
            return
        self.counts.to_child += len(line)
        self.write(line)

    def submit(self, exchange: Exchange) -> None:
        limit, turns = self.policy.max_in_flight, self.turns
        if (
            self.link.state.is_ready
            and (not limit or len(self.exchanges) < limit)
            and ((not turns.waiting and not turns.is_limited) or turns.may_go(exchange))
        ):
            self._put(exchange)  # at once, as nearly always
        else:
            turns.wait(exchange)
            self.pump()

    def pump(self) -> None:
        """Write what may be written: the child is open and has a slot free."""
        limit = self.policy.max_in_flight
        while self.turns and self.link.state.is_ready and (not limit or len(self.exchanges) < limit):
            exchange = self.turns.next()
            if exchange is None:
                return
            self._put(exchange)

    def _put(self, exchange: Exchange) -> None:
        self.exchanges[exchange.id] = exchange
        if self.turns.is_limited:
            self.turns.gone(exchange)
        if exchange.session is not None:
            self.calls += 1
            self.callers.add(exchange.session.principal)
        line = exchange.line
        if not exchange.is_safe:
            exchange.line = None
        self.counts.to_child += len(line)
        self.write(line)

    def take_back(self, id: int | None) -> Exchange | None:
        exchange = self.exchanges.pop(id, None)
        if exchange is not None and exchange.is_turned:
            self.turns.back(exchange)
        return exchange

    def ask_child(self, method: str, params: bytes, now: float, outbox=None, timeout: float = OWN_TIMEOUT) -> None:
        """A request of the bridge itself."""
        self.submit(self._own_exchange(method, params, now, outbox, timeout))

    def _own_exchange(self, method: str, params: bytes, now: float, outbox=None, timeout: float = OWN_TIMEOUT) -> Exchange:
        exchange = Exchange(next(self._mint), None, b"0", method, "", None, outbox or _Nobody(), now, now + timeout)
        exchange.line = envelope.request_line(exchange.id, method, meta.own(params) if self.link.is_modern else params)
        return exchange

    def abandon(self, exchange: Exchange, params: bytes, now: float) -> None:
        """Nobody waits for this answer any more: tell the child, and swallow the answer if it comes all the same."""
        if exchange.id in self.asking:
            return self.asks.withdraw(exchange, "nobody waits for the call any more that it was asked for")
        if exchange.id in self.unfinished:
            return None
        if exchange.id not in self.exchanges:
            self.turns.remove(exchange)
            return None
        reason = envelope.members(params).get("reason") if params else None
        because = b',"reason":' + envelope.flat(reason) if reason else b""
        self.send(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d%b}}\n' % (exchange.id, because))
        exchange.hold = now + SLOT_HOLD

    def conclude(self, exchange: Exchange, outcome: str, code: int, why: str, now: float) -> None:
        """Answer an exchange that the child did not answer."""
        if exchange.hold is not None and outcome == "lost":
            return  # answered long ago
        session = exchange.session
        if session is None:
            exchange.outbox.answer(Envelope(error=msgspec.Raw(b'{"message":%b}' % envelope.encode(why))))
            return
        session.exchanges.pop(exchange.key, None)
        session.touched = now
        if exchange.then:
            exchange.then(False)
        self.end(exchange)
        self.count(exchange, outcome, now)
        if outcome != "cancelled":
            self.link.log.warning(
                "call failed",
                method=exchange.method,
                tool=exchange.tool,
                outcome=outcome,
                why=why,
                session=session.label,
                exchange=exchange.id,
                seconds=round(now - exchange.created, 3),
                trace=exchange.trace,
            )
        if outcome != "cancelled" or exchange.outbox.answers_cancelled:
            exchange.outbox.answer(exchange.translator.failure(exchange, code, why))

    def count(self, exchange: Exchange, outcome: str, now: float) -> None:
        method = exchange.method if exchange.method in KNOWN_METHODS else "other"
        translator = exchange.translator
        self.counts.requests[(method, exchange.tool, outcome, translator.client, translator.child)] += 1
        self.counts.latency[method].add(now - exchange.created)
        if self.is_debug:
            self.link.log.debug(
                "call",
                method=exchange.method,
                tool=exchange.tool,
                outcome=outcome,
                exchange=exchange.id,
                session=exchange.session.label,
                seconds=round(now - exchange.created, 6),
                trace=exchange.trace,
            )

    def _noise(self, line: bytes) -> None:
        kind = "blank" if not line.strip() else "not_json_rpc"
        self.counts.noise[kind] += 1
        if kind != "blank":
            self._note(line)
            self.link.log.debug("noise on the child's stdout", bytes=len(line))

    def _note(self, line: bytes) -> None:
        if not self.is_open and len(self.said) < NOTED:
            self.said.append(line[:NOTED_WIDTH])


class _Nobody:
    """The outbox of requests whose answer only matters to the child."""

    def answer(self, message: Envelope) -> None:
        pass


KNOWN_METHODS = frozenset(
    (
        "tools/call",
        "tools/list",
        "resources/list",
        "resources/read",
        "resources/templates/list",
        "resources/subscribe",
        "resources/unsubscribe",
        "prompts/list",
        "prompts/get",
        "completion/complete",
        "logging/setLevel",
        "ping",
        "initialize",
        "server/discover",
        "subscriptions/listen",
        "tasks/update",
        "tasks/get",
        "tasks/result",
        "tasks/list",
        "tasks/cancel",
    )
)
_ASLEEP, _SERVING = State.ASLEEP, State.SERVING
_IN_BOTH_ERAS = frozenset((*memory.LISTS, *WORK, "completion/complete"))
_ROOTS = ("notifications/roots/list_changed",)
_OWNERS_ONLY = (*_ROOTS, "notifications/progress", "notifications/tasks/status")
END = 250  # bytes of each end of an answer in which `isError` is looked for
_MARK = b'"isError"'
_IS_ERROR = re.compile(rb'"isError"\s*:\s*true')


def _outcome(exchange: Exchange, message: Envelope, line: bytes) -> str:
    if message.error:
        return "error"
    # SDKs write it first or last; inside a string its quotes would be escaped.
    if (
        exchange.method == "tools/call"
        and (line.find(_MARK, -END) >= 0 or (len(line) > END and line.find(_MARK, 0, END) >= 0))
        and (_IS_ERROR.search(line[-END:]) or _IS_ERROR.search(line[:END]))
    ):
        return "tool_error"
    return "ok"
