"""Who gets a message: between the sessions that share a child and that child, in both directions.

The child knows only integers that the relay minted: request ids and progress tokens, so two clients that both use 1, 2, 3
never meet. What cannot be told from those is decided here by one rule (`_owner`): it belongs to the only exchange under
way, else to the only session, else to nobody in particular.

Pure and synchronous: lines and times in, lines and messages out. A relay does not know whether its child is a process.
"""

import re
from collections import deque
from dataclasses import dataclass
from functools import partial
from itertools import islice

import msgspec

from bridge.counts import Counts
from bridge.protocol import envelope, subscriptions
from bridge.protocol.catalogue import Catalogue
from bridge.protocol.envelope import Envelope
from bridge.protocol.errors import (CANCELLED, INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND,
                                    TIMED_OUT, Malformed, Refusal, error_body)
from bridge.protocol.exchange import Ask, Exchange
from bridge.protocol.facts import Facts
from bridge.protocol.profile import Strict
from bridge.protocol.session import Session

LIST_CHANGES = {f"notifications/{kind}/list_changed": kind for kind in ("tools", "prompts", "resources")}
SLOT_HOLD = 5.0  # seconds that a cancelled or timed-out request may still occupy a child that never answers it
OWN_TIMEOUT = 60.0  # seconds for requests of the bridge itself
LIST_PATIENCE = 1.5  # seconds that LiteLLM waits for a list of tools where an older one will do
ASK_PATIENCE = 30.0  # seconds until a child is told that its client has no open stream to be asked on
ASKS_LIMIT = 100  # asks of one child that have no answer yet; fewer than a session keeps messages


@dataclass(frozen=True)
class Policy:
    """What the operator chose. Times in seconds; 0 is no limit."""

    profile: Strict
    max_in_flight: int = 0
    request_timeout: float = 600.0
    request_timeout_max: float = 3600.0
    ready_wait: float = 60.0
    withhold_roots: bool = True


class Relay:
    """One child's relay. `owner` is its only session, or None where it is shared by all that ask for nothing."""

    def __init__(self, write, policy: Policy, counts: Counts, log, owner: Session | None = None):
        self.write = write  # takes one line, newline included; never blocks
        self.child = None  # whose relay this is, for those who know it; nothing to us
        self.is_debug = log.is_debug
        self.policy = policy
        self.counts = counts
        self.log = log
        self.owner = owner
        self.facts: Facts | None = None
        self.catalogue = Catalogue()
        self.sessions: dict[str, Session] = {}
        self.is_open = False
        self.reason = "starting"
        self.heard = 0.0  # when the child last said something
        self._exchanges: dict[int, Exchange] = {}  # written to the child and not yet answered by it
        self._queue: deque[Exchange] = deque()  # not yet written: the child is not open, or busy
        self._next_id = 1
        self._level: str | None = None  # what the child was told last
        self._late: set[bytes] = set()  # cursors of tool lists that the child is late with; `_Late` takes them out

    # -- the child's life -------------------------------------------------------------------------------------------

    def open(self, params: bytes, now: float, opened, refused) -> None:
        """A new child runs: shake hands. `opened()` or `refused(why)` is called when it answered."""
        self._next_id += 1
        handshake = Exchange(self._next_id, None, b"0", "initialize", "", None, None, now, 0, 0)
        handshake.outbox = _Handshake(self, opened, refused)
        self._exchanges[handshake.id] = handshake
        self._send(envelope.request_line(handshake.id, "initialize", params))

    def _opened(self, facts: Facts, now: float) -> None:
        # `initialized` goes out at once: Rust servers refuse anything else in between.
        self._send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        is_new_child = self.facts is not None
        self.facts, self.is_open, self.reason = facts, True, ""
        waiting, self._queue = self._queue, deque()
        if is_new_child:
            self._restore(now)  # before anything that waited for it, and may rely on it
        self._queue += waiting
        if facts.offers("tools"):
            self.learn(now, lambda: self._changed("tools"))
        self._pump(now)

    def _restore(self, now: float) -> None:
        """Tell a new child what its predecessor knew of the sessions."""
        if self._level:
            self._ask_child("logging/setLevel", b'{"level":"%b"}' % self._level.encode(), now)
        for uri in sorted({uri for session in self.sessions.values() for uri in session.subscriptions}):
            self._ask_child("resources/subscribe", b'{"uri":%b}' % envelope.encode(uri), now)

    def learn(self, now: float, changed=lambda: None) -> None:
        """Read the child's tool list, for the names in metrics; `changed()` is called if it is not the one known."""
        def ask(params: bytes, outbox) -> None:
            self._ask_child("tools/list", params, now, _Overheard(self.policy.profile, params, outbox))
        self.catalogue.read(ask, changed)

    def lost(self, why: str, now: float, *, for_good: bool = False) -> None:
        """The child is gone: whatever it had is answered now; what it never saw waits for the next one, unless that
        one failed to open, too."""
        was_open, self.is_open, self.reason = self.is_open, False, why
        gone = list(self._exchanges.values())
        self._exchanges.clear()
        if for_good or not was_open:
            gone += self._queue
            self._queue.clear()
        for exchange in gone:
            self._conclude(exchange, "lost", INTERNAL_ERROR, why, now)
        for session in self.sessions.values():
            for ask in session.asks.values():
                if session.waiting.pop(("ask", ask.id), None) is None:
                    session.deliver(envelope.notification(
                        "notifications/cancelled", b'{"requestId":%b,"reason":"the server process exited"}' % ask.id))
            session.asks.clear()

    @property
    def is_quiet(self) -> bool:
        """Whether at most one request is with the child."""
        return len(self._exchanges) < 2



    # -- from clients -----------------------------------------------------------------------------------------------

    def join(self, session: Session) -> None:
        session.relay = self
        self.sessions[session.nonce] = session

    def request(self, session: Session, message: Envelope, outbox, now: float, trace: str = "") -> Refusal | None:
        """A client's request. The answer goes to `outbox`, unless a refusal is returned."""
        params = envelope.peek(message.params)
        key = envelope.key(message.id)
        if key in session.exchanges:
            return Refusal(400, INVALID_REQUEST, f"id {key.decode()[:80]} is in use by a request of this session that is under way")
        rule = _RULES.get(message.method)
        if rule is not None:
            done = rule(self, session, message, params)
            if isinstance(done, Refusal):
                return done
            if done is not None:
                outbox.answer(done)
                return None
        session.exchanges[key] = exchange = self._exchange(session, message, params, outbox, now)
        exchange.key = key
        exchange.trace = trace
        self.counts.in_flight += 1
        self._submit(exchange, now)
        return None

    def _exchange(self, session: Session, message: Envelope, params: envelope.Params, outbox, now: float) -> Exchange:
        self._next_id += 1
        token = envelope.peek_meta(params.meta).progressToken if params.meta else None
        tool = self.catalogue.label(params.name) if message.method == "tools/call" else ""
        exchange = Exchange(self._next_id, session, bytes(message.id), message.method, tool, token or None, outbox, now,
                            self.policy.request_timeout, self.policy.request_timeout_max)
        if message.method == "tools/list":
            exchange.cursor = bytes(params.cursor)
        line_params = message.params
        if token:
            line_params = _with_token(line_params, params.meta, exchange.id)
        line = envelope.request_line(exchange.id, message.method, line_params)
        exchange.line = line if line.find(b"\n", 0, -1) < 0 and b"\r" not in line else envelope.flat(line[:-1]) + b"\n"
        if message.method in _AFTER:
            exchange.then = partial(_AFTER[message.method], self, session, message)
        return exchange

    def notify(self, session: Session, message: Envelope, now: float) -> None:
        """A client's notification; never refused, because nobody could be told."""
        method = message.method
        if method == "notifications/cancelled":
            self._cancel(session, message, now)
        elif method == "notifications/initialized":
            session.initialized = True
        elif method in _OWNERS_ONLY and (self.owner is None or method in _ROOTS and self.policy.withhold_roots):
            self.counts.strays[method] += 1
        elif self.is_open:
            self._send(envelope.flat(envelope.notification(method, message.params)) + b"\n")
        else:
            self.counts.strays["notification_without_child"] += 1

    def respond(self, session: Session, message: Envelope) -> bool:
        """A client's answer to an ask. False if nobody asked."""
        ask = session.asks.pop(envelope.key(message.id), None)
        if ask is None:
            self.counts.strays["client_response"] += 1
            return False
        self._send(envelope.flat(envelope.response(ask.child_id, message)) + b"\n")
        return True

    def _cancel(self, session: Session, message: Envelope, now: float) -> None:
        request_id = envelope.peek(message.params).requestId
        # Only this session's own requests: another client's id is none of its business.
        exchange = session.exchanges.get(envelope.key(request_id)) if request_id else None
        if exchange is None or exchange.method == "initialize":
            self.counts.strays["cancelled"] += 1
            return
        self._abandon(exchange, message.params, now)
        self._conclude(exchange, "cancelled", CANCELLED, "request cancelled by the client", now)

    def leave(self, session: Session, now: float) -> None:
        """The session is over: nothing of it stays here."""
        self.sessions.pop(session.nonce, None)
        uris, session.subscriptions = session.subscriptions, set()
        for exchange in list(session.exchanges.values()):
            self._abandon(exchange, b"", now)
            self._conclude(exchange, "cancelled", CANCELLED, "the session ended", now)
        for ask in session.asks.values():
            self._answer_ask_with_error(ask, INTERNAL_ERROR, "the client's session ended")
        session.asks.clear()
        for uri in uris:
            if self.is_open and not subscriptions.is_held(self.sessions.values(), uri):
                self._ask_child("resources/unsubscribe", b'{"uri":%b}' % envelope.encode(uri), now)

    # -- requests with a rule of their own: bytes answer, a refusal refuses, None lets pass -----------------------------

    def _ping(self, session, message, params) -> bytes:
        return envelope.result(message.id, b"{}")

    def _set_level(self, session, message, params) -> Refusal | None:
        if not (self.facts and self.facts.offers("logging")):
            return None
        level = envelope.string(params.level)
        if level not in subscriptions.LEVELS:
            return Refusal(200, INVALID_PARAMS, f"level must be one of {', '.join(subscriptions.LEVELS)}")
        session.level = level
        needed = subscriptions.level_needed(self.sessions.values(), level)
        if needed != level:
            members = envelope.members(message.params)
            members["level"] = needed
            message.params = msgspec.Raw(envelope.encode(members))
        return None

    def _level_set(self, session: Session, message: Envelope, is_done: bool) -> None:
        # `_set_level` has put what all sessions need in the place of what this one said.
        if is_done:
            self._level = envelope.string(envelope.peek(message.params).level)

    def _subscribe(self, session, message, params) -> None:
        # From the wish on, not from its answer: else another session that leaves in between would end it.
        if uri := envelope.string(params.uri):
            session.subscriptions.add(uri)

    def _subscribed(self, session: Session, message: Envelope, is_done: bool) -> None:
        if not is_done:
            session.subscriptions.discard(envelope.string(envelope.peek(message.params).uri))

    def _unsubscribe(self, session, message, params) -> bytes | None:
        uri = envelope.string(params.uri)
        session.subscriptions.discard(uri)
        if subscriptions.is_held(self.sessions.values(), uri):
            return envelope.result(message.id, b"{}")
        return None

    def _list_tools(self, session, message, params) -> bytes | None:
        """A list that the child is late with is not asked for a second time."""
        cursor = bytes(params.cursor)
        return self.policy.profile.last_list(bytes(message.id), cursor) if cursor in self._late else None

    def _tasks(self, session, message, params) -> Refusal | None:
        if self.owner is not None:
            return None
        return Refusal(200, METHOD_NOT_FOUND, "tasks need a child of their own (--isolation session): their ids "
                                              "would be open to every client of a shared one")

    # -- from the child -----------------------------------------------------------------------------------------------

    def received(self, line: bytes, now: float) -> None:
        """One line of the child's stdout."""
        self.counts.from_child += len(line)
        self.heard = now
        if b"{" not in line:
            return self._noise(line)  # at once: a child may write nothing else, and as fast as it can
        if not line.isascii() and (clean := envelope.repaired(line)):
            self.counts.noise["bad_utf8"] += 1
            line = clean
        try:
            message = envelope.from_child(line)
        except Malformed as error:
            self._noise(line)
            why = f"the server's answer is not a JSON-RPC message: {error.message}"
            return self._fail(line[:HEAD], line[-HEAD:], "unreadable", why, now)
        if message.method is None:
            self._answered(message, line, now)
        elif message.id:
            self._asked(message, now)
        else:
            self._notified(message, now)

    def too_long(self, head: bytes, tail: bytes, size: int, now: float) -> None:
        """The child wrote a line over the limit, which was thrown away: fail the call that it belongs to."""
        self.counts.noise["too_long"] += 1
        self.log.warning("line too long", bytes=size)
        why = f"the server's answer is too long: {size} bytes in one line (raise --max-line)"
        self._fail(head, tail, "too_long", why, now)

    def _fail(self, head: bytes, tail: bytes, outcome: str, why: str, now: float) -> None:
        """The child wrote what nobody can be given: fail the call that it was the answer to, if that can be told."""
        exchange = self._exchanges.pop(_id_of_answer(head, tail), None)
        if exchange is None:
            return
        if exchange.hold is None:
            self._conclude(exchange, outcome, INTERNAL_ERROR, why, now)
        self._pump(now)

    def _answered(self, message: Envelope, line: bytes, now: float) -> None:
        exchange = self._exchanges.pop(_minted(message.id), None)
        if exchange is None:
            self.counts.strays["answer"] += 1
            return
        if exchange.hold is None:
            self._finish(exchange, message, line, now)
        if self._queue:
            self._pump(now)

    def _finish(self, exchange: Exchange, message: Envelope, line: bytes, now: float) -> None:
        session = exchange.session
        if session is None:
            return exchange.outbox.answer(message)
        del session.exchanges[exchange.key]
        session.touched = now
        self.counts.in_flight -= 1
        self._count(exchange, _outcome(exchange, message, line), now)
        if exchange.then:
            exchange.then(bool(message.result))
        exchange.outbox.answer(self.policy.profile.answer(exchange, message))

    def _asked(self, message: Envelope, now: float) -> None:
        child_id = bytes(message.id)
        if message.method == "ping":
            self._send(b'{"jsonrpc":"2.0","id":%b,"result":{}}\n' % child_id)
            return
        if self.owner is None or message.method == "roots/list" and self.policy.withhold_roots:
            self.counts.strays[message.method if message.method in _ASKS else "request_of_child"] += 1
            why = ("roots are withheld from this server (--client-roots relay passes them)" if self.owner
                   else "client capability not available through a shared child (--isolation session)")
            self._send(error_body(child_id, METHOD_NOT_FOUND, why) + b"\n")
            return
        session = self.owner
        if len(session.asks) >= ASKS_LIMIT:
            self.counts.strays["too_many_asks"] += 1
            self._send(error_body(child_id, INTERNAL_ERROR, f"{ASKS_LIMIT} requests to the client have no answer yet") + b"\n")
            return
        ask = Ask(b"%d" % session.next_ask, child_id, message.method, now)
        session.next_ask += 1
        session.asks[ask.id] = ask
        self._deliver_ask(session, ask, envelope.request(ask.id, message.method, message.params))

    def _deliver_ask(self, session: Session, ask: Ask, request: bytes) -> None:
        exchange = self._only_exchange()
        under_way = reversed(session.exchanges.values())
        ask.delivered = (session.deliver(request, exchange)
                         or any(other.outbox.put(request) for other in under_way))
        if not ask.delivered:
            session.keep(("ask", ask.id), request)

    def _notified(self, message: Envelope, now: float) -> None:
        method = message.method
        if method == "notifications/progress":
            self._progress(message, now)
        elif method in LIST_CHANGES:
            if LIST_CHANGES[method] == "tools":
                self.learn(now)
            self._changed(LIST_CHANGES[method], message.params)
        elif method == "notifications/resources/updated":
            uri = envelope.string(envelope.peek(message.params).uri)
            for session in subscriptions.holders(self.sessions.values(), uri or ""):
                self._announce(session, (method, uri), envelope.notification(method, message.params))
        elif method == "notifications/cancelled":
            self._ask_cancelled(message)
        else:
            self._unowned(message)

    def _progress(self, message: Envelope, now: float) -> None:
        exchange = self._exchanges.get(_minted(envelope.peek(message.params).progressToken))
        if exchange is None or exchange.hold is not None or exchange.token is None:
            self.counts.strays["progress"] += 1
            return
        exchange.progressed(now, self.policy.request_timeout)
        members = envelope.members(message.params)
        members["progressToken"] = exchange.token
        text = envelope.notification("notifications/progress", envelope.encode(members))
        if not exchange.session.deliver(text, exchange):
            self.counts.drops["no_stream"] += 1

    def _changed(self, kind: str, params: bytes = b"") -> None:
        if self.policy.profile.is_kind:
            return  # not advertised: LiteLLM 1.109 opens four times the sessions when it is
        method = f"notifications/{kind}/list_changed"
        for session in self.sessions.values():
            self._announce(session, method, envelope.notification(method, params))

    def _announce(self, session: Session, key: object, message: bytes) -> None:
        """News that any stream of the session will do for, and that waits for one. Sent again, it is still one piece."""
        if any(outbox.put(message) for outbox in reversed(session.streams)):
            return
        session.keep(key, message)

    def _ask_cancelled(self, message: Envelope) -> None:
        """The child takes back what it asked."""
        child_id = bytes(envelope.peek(message.params).requestId)
        ask = next((ask for ask in self.owner.asks.values() if ask.child_id == child_id), None) if self.owner else None
        if ask is None:
            self.counts.strays["cancelled_by_child"] += 1
            return
        del self.owner.asks[ask.id]
        if self.owner.waiting.pop(("ask", ask.id), None) is None:
            members = envelope.members(message.params)
            members["requestId"] = msgspec.Raw(ask.id)
            self.owner.deliver(envelope.notification(message.method, envelope.encode(members)), self._only_exchange())

    def _unowned(self, message: Envelope) -> None:
        """Log messages and notifications we do not know carry no word of whose they are."""
        text = envelope.notification(message.method, message.params)
        level = envelope.string(envelope.peek(message.params).level) if message.method == "notifications/message" else None
        exchange, sessions = self._owner()
        if exchange is None and len(sessions) > 1 and any(e.session for e in self._exchanges.values()):
            # Several sessions' requests are under way: to give it to all would show one client another's business.
            self.counts.drops["unattributable"] += 1
            return
        anyone_set = self._level is not None
        for session in sessions:
            if not subscriptions.lets_through(session, level, anyone_set):
                continue
            if session.deliver(text, exchange):
                continue
            if self.owner is not None:
                session.keep(object(), text)
            else:
                self.counts.drops["no_stream"] += 1

    def _owner(self) -> tuple[Exchange | None, list[Session]]:
        """Whom something without an address is for: an exchange with its session, or sessions."""
        exchange = self._only_exchange()
        if exchange is not None:
            return exchange, [exchange.session]
        under_way = {exchange.session.nonce: exchange.session for exchange in self._exchanges.values() if exchange.session}
        if len(under_way) == 1:
            session, = under_way.values()
            newest = next(reversed(session.exchanges.values()), None)
            return newest, [session]
        return None, list(self.sessions.values())

    def _only_exchange(self) -> Exchange | None:
        under_way = list(islice((e for e in self._exchanges.values() if e.session), 2))
        return under_way[0] if len(under_way) == 1 and under_way[0].hold is None else None

    # -- time -----------------------------------------------------------------------------------------------------------

    def sweep(self, now: float, keepalive: float) -> None:
        """What is due: time-outs, slots held too long, asks that nobody can be asked, signs of life."""
        if self.policy.profile.is_kind:
            for exchange in [e for e in (*self._exchanges.values(), *self._queue) if _is_late_list(e, now)]:
                self._give_last_list(exchange, now)
        for exchange in [e for e in self._exchanges.values() if e.hold is None and e.is_overdue(now)]:
            self._abandon(exchange, b"", now)
            self._time_out(exchange, now)
        for exchange in [e for e in self._exchanges.values() if e.hold is not None and now >= e.hold]:
            del self._exchanges[exchange.id]
        for exchange in [e for e in self._queue if e.is_overdue(now) or self._waited_too_long(e, now)]:
            self._queue.remove(exchange)
            self._time_out(exchange, now)
        if keepalive:
            for exchange in [*self._exchanges.values(), *self._queue]:
                if exchange.hold is None and exchange.session and now - exchange.created >= keepalive:
                    exchange.outbox.wait()
        for ask in [a for a in self.owner.asks.values() if not a.delivered and now - a.created > ASK_PATIENCE] if self.owner else ():
            if self.owner.waiting.pop(("ask", ask.id), None) is None:
                ask.delivered = True  # to a stream that opened meanwhile; people may take long to answer
                continue
            del self.owner.asks[ask.id]
            self._answer_ask_with_error(ask, INTERNAL_ERROR, "the client has no open stream to be asked on")
        if self._queue:
            self._pump(now)

    def _give_last_list(self, exchange: Exchange, now: float) -> None:
        """A busy child must not stall a client that lists many servers. What it says later is for the next ones."""
        last = self.policy.profile.last_list(exchange.client_id, exchange.cursor)
        if last is None:
            return
        session, outbox = exchange.session, exchange.outbox
        del session.exchanges[exchange.key]
        session.touched = now
        self.counts.in_flight -= 1
        self._count(exchange, "late", now)
        exchange.session, exchange.token, exchange.outbox = None, None, _Late(self, exchange.cursor)
        self._late.add(exchange.cursor)
        outbox.answer(last)

    def _waited_too_long(self, exchange: Exchange, now: float) -> bool:
        return not self.is_open and now - exchange.created >= self.policy.ready_wait

    def _time_out(self, exchange: Exchange, now: float) -> None:
        waited = f"{now - exchange.created:.0f} s"
        if self.is_open:
            why = f"no answer from the server within {waited} (--request-timeout)"
        else:
            why = f"the server is not ready after {waited}: {self.reason}"
        self._conclude(exchange, "timeout", TIMED_OUT, why, now)

    # -- the pipe ---------------------------------------------------------------------------------------------------------

    def _submit(self, exchange: Exchange, now: float) -> None:
        limit = self.policy.max_in_flight
        if self.is_open and not self._queue and (not limit or len(self._exchanges) < limit):
            self._put(exchange)
        else:
            self._queue.append(exchange)
            self._pump(now)

    def _pump(self, now: float) -> None:
        """Write what may be written: the child is open and has a slot free."""
        limit = self.policy.max_in_flight
        while self._queue and self.is_open and (not limit or len(self._exchanges) < limit):
            self._put(self._queue.popleft())

    def _put(self, exchange: Exchange) -> None:
        self._exchanges[exchange.id] = exchange
        line, exchange.line = exchange.line, None
        self.counts.to_child += len(line)
        self.write(line)

    def _send(self, line: bytes) -> None:
        self.counts.to_child += len(line)
        self.write(line)

    def _ask_child(self, method: str, params: bytes, now: float, outbox=None) -> None:
        """A request of the bridge itself."""
        self._next_id += 1
        exchange = Exchange(self._next_id, None, b"0", method, "", None, outbox or _Nobody(), now, OWN_TIMEOUT, 0)
        exchange.line = envelope.request_line(exchange.id, method, params)
        self._submit(exchange, now)

    def _abandon(self, exchange: Exchange, params: bytes, now: float) -> None:
        """Nobody waits for this answer any more: tell the child, and swallow the answer if it comes all the same."""
        if exchange.id not in self._exchanges:
            self._queue.remove(exchange)
            return
        reason = envelope.members(params).get("reason") if params else None
        because = b',"reason":' + envelope.flat(reason) if reason else b""
        self._send(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d%b}}\n'
                   % (exchange.id, because))
        exchange.hold = now + SLOT_HOLD

    def _conclude(self, exchange: Exchange, outcome: str, code: int, why: str, now: float) -> None:
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
        self.counts.in_flight -= 1
        self._count(exchange, outcome, now)
        if outcome != "cancelled":
            self.log.warning("call failed", method=exchange.method, tool=exchange.tool, outcome=outcome, why=why,
                             session=session.label, exchange=exchange.id, seconds=round(now - exchange.created, 3),
                             trace=exchange.trace)
        if outcome != "cancelled" or exchange.outbox.answers_cancelled:
            exchange.outbox.answer(self.policy.profile.failure(exchange, code, why))

    def _answer_ask_with_error(self, ask: Ask, code: int, why: str) -> None:
        if self.is_open:
            self._send(error_body(ask.child_id, code, why) + b"\n")

    def _count(self, exchange: Exchange, outcome: str, now: float) -> None:
        method = exchange.method if exchange.method in KNOWN_METHODS else "other"
        self.counts.requests[(method, exchange.tool, outcome)] += 1
        self.counts.latency[method].add(now - exchange.created)
        if self.is_debug:
            self.log.debug("call", method=exchange.method, tool=exchange.tool, outcome=outcome, exchange=exchange.id,
                           session=exchange.session.label, seconds=round(now - exchange.created, 6), trace=exchange.trace)

    def _noise(self, line: bytes) -> None:
        kind = "blank" if not line.strip() else "not_json_rpc"
        self.counts.noise[kind] += 1
        if kind != "blank":
            self.log.debug("noise on the child's stdout", bytes=len(line))


class _Nobody:
    """The outbox of requests whose answer only matters to the child."""

    def answer(self, message: Envelope) -> None:
        pass


class _Late:
    """The outbox of a tool list whose client has been given the last one."""

    def __init__(self, relay: Relay, cursor: bytes):
        self.relay, self.cursor = relay, cursor

    def answer(self, message: Envelope) -> None:
        self.relay._late.discard(self.cursor)
        self.relay.policy.profile.heard(self.cursor, message)


class _Overheard:
    """The outbox of a tool list that the bridge asked for itself: the profile keeps it for later."""

    def __init__(self, profile: Strict, params: bytes, outbox):
        self.profile, self.cursor, self.outbox = profile, bytes(envelope.peek(params).cursor), outbox

    def answer(self, message: Envelope) -> None:
        self.profile.heard(self.cursor, message)
        self.outbox.answer(message)


class _Handshake:
    """The outbox of our own `initialize`."""

    def __init__(self, relay: Relay, opened, refused):
        self.relay, self.opened, self.refused = relay, opened, refused

    def answer(self, message: Envelope) -> None:
        if message.error:
            return self.refused(f"the server refused initialize: {bytes(message.error).decode(errors='replace')[:500]}")
        try:
            facts = Facts.of(message.result)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError) as error:
            return self.refused(f"the server's initialize result is not one: {error}")
        self.opened(facts)
        self.relay._opened(facts, self.relay.heard)


KNOWN_METHODS = frozenset((
    "tools/call", "tools/list", "resources/list", "resources/read", "resources/templates/list", "resources/subscribe",
    "resources/unsubscribe", "prompts/list", "prompts/get", "completion/complete", "logging/setLevel", "ping",
    "initialize", "tasks/get", "tasks/result", "tasks/list", "tasks/cancel"))
_ASKS = ("sampling/createMessage", "elicitation/create", "roots/list")
_ROOTS = ("notifications/roots/list_changed",)
_OWNERS_ONLY = (*_ROOTS, "notifications/progress", "notifications/tasks/status")
_RULES = {
    "ping": Relay._ping,
    "tools/list": Relay._list_tools,
    "logging/setLevel": Relay._set_level,
    "resources/subscribe": Relay._subscribe,
    "resources/unsubscribe": Relay._unsubscribe,
    **dict.fromkeys(("tasks/get", "tasks/result", "tasks/list", "tasks/cancel"), Relay._tasks),
}
_AFTER = {"resources/subscribe": Relay._subscribed, "logging/setLevel": Relay._level_set}


def _minted(id: msgspec.Raw) -> int | None:
    """The integer that we minted, which some SDKs send back as a string."""
    digits = bytes(id)
    if not digits.isdigit():
        digits = digits.strip(b'"')
    return int(digits) if digits.isdigit() and len(digits) < 19 else None


def _is_late_list(exchange: Exchange, now: float) -> bool:
    return (exchange.method == "tools/list" and exchange.session is not None and exchange.hold is None
            and now - exchange.created >= LIST_PATIENCE)


def _outcome(exchange: Exchange, message: Envelope, line: bytes) -> str:
    if message.error:
        return "error"
    if exchange.method == "tools/call":
        # SDKs write it first or last; inside a string its quotes would be escaped.
        for end in (line[-250:], line[:250]):
            if b'"isError"' in end and _IS_ERROR.search(end):
                return "tool_error"
    return "ok"


def _with_token(params: msgspec.Raw, meta: msgspec.Raw, token: int) -> bytes:
    """`params` with our own progress token in its `_meta`; everything else as it came."""
    inner = envelope.members(meta)
    inner["progressToken"] = token
    members = envelope.members(params)
    members["_meta"] = inner
    return envelope.encode(members)


def _id_of_answer(head: bytes, tail: bytes) -> int | None:
    """The id in a line that was too long to keep, or no JSON: Python servers write it first, TypeScript servers last."""
    if _IS_NO_ANSWER.match(head):
        return None
    found = _ID_FIRST.match(head) or _ID_LAST.search(tail)
    return int(found[1]) if found else None


HEAD = 1024  # bytes of each end of a line that are looked at
_IS_ERROR = re.compile(rb'"isError"\s*:\s*true')
_IS_NO_ANSWER = re.compile(  # a method or params before anything else but jsonrpc and id, whose ids are the child's own
    rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?(?:"id"\s*:\s*[^,]{1,300},\s*)?(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"(?:method|params)"')
_ID_FIRST = re.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*"?([0-9]{1,18})"?\s*[,}]')
_ID_LAST = re.compile(rb'"id"\s*:\s*"?([0-9]{1,18})"?\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')
