"""`subscriptions/listen` (2026-07-28, server/utilities/subscriptions), and what legacy sessions have instead.

On a legacy child the listen is the bridge's own: to the relay it is one more session, with one stream and
subscriptions. On a modern one a modern client's listen goes through to the child under our own id, and survives that child: the next one is asked the
same, and its second acknowledgement is kept back. For legacy sessions, and for what we know of the child's lists, the
bridge has one listen of its own, for all of them; it changes with their wishes.
"""

import itertools
from secrets import token_urlsafe

from msgspec import Raw

from bridge.protocol import envelope, subscriptions
from bridge.protocol.envelope import Envelope
from bridge.protocol.eras import meta
from bridge.protocol.eras.caller import Caller
from bridge.protocol.errors import code_of
from bridge.protocol.facts import Facts
from bridge.protocol.ids import minted

METHOD = "subscriptions/listen"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
PATIENCE = 10.0  # seconds until a session is told that its wish was not acknowledged
_KINDS = {"tools": "toolsListChanged", "prompts": "promptsListChanged", "resources": "resourcesListChanged"}


class Listen(Caller):
    """A modern client's listen on a legacy child. `outbox` is its response; what is put there is tagged with its id."""

    __slots__ = ("client_id", "outbox", "wanted", "_missing")
    answers_cancelled = False

    def __init__(self, mcp: str, principal: str, client_id: bytes, params: Raw, facts: Facts, outbox):
        super().__init__(mcp, principal, nonce=f"listen:{token_urlsafe(9)}")
        self.client_id = client_id
        self.outbox = outbox
        wishes = envelope.object_or_none(envelope.peek_modern(params).notifications or b"{}") or {}
        self.wanted = {f"notifications/{kind}/list_changed": name for kind, name in _KINDS.items()
                       if bytes(wishes.get(name, b"")) == b"true" and facts.offers(kind)}
        resources = envelope.object_or_none(facts.capabilities.get("resources", b"")) or {}
        if bytes(resources.get("subscribe", b"")) == b"true":
            try:
                self.subscriptions.update(envelope.strings(wishes.get("resourceSubscriptions", b"[]")))
            except ValueError:
                pass  # nothing that could be honoured
        self._missing = 0  # resources that the child has not answered for yet

    def begin(self, relay, now: float) -> None:
        """Have the child watch the resources, then acknowledge."""
        new = [uri for uri in sorted(self.subscriptions) if not subscriptions.is_held(relay.sessions.values(), uri)]
        relay.join(self)
        self._missing = len(new)
        for uri in new:
            relay.ask_child("resources/subscribe", b'{"uri":%b}' % envelope.encode(uri), now, _Subscribed(self, uri), PATIENCE)
        if not new:
            self._acknowledge()

    def subscribed(self, uri: str, is_done: bool) -> None:
        if not is_done:
            self.subscriptions.discard(uri)
        self._missing -= 1
        if not self._missing:
            self._acknowledge()

    def finish(self) -> None:
        """The end, said so that it is not taken for a broken line."""
        self.outbox.answer(envelope.result(self.client_id, meta.with_subscription(b'{"resultType":"complete"}', self.client_id)))

    def put(self, message: bytes) -> bool:
        """The relay's news for this session: those that were wished for go out, the others are none of its business."""
        notice = envelope.from_child(message)
        if notice.method in self.wanted or notice.method == "notifications/resources/updated":
            self.outbox.put(envelope.notification(notice.method, meta.with_subscription(notice.params, self.client_id)))
        return True

    def _acknowledge(self) -> None:
        honoured: dict = dict.fromkeys(self.wanted.values(), True)
        if self.subscriptions:
            honoured["resourceSubscriptions"] = sorted(self.subscriptions)
        params = envelope.encode({"notifications": honoured})
        self.outbox.put(envelope.notification(ACKNOWLEDGED, meta.with_subscription(params, self.client_id)))
        self.listen(self)


class _Subscribed:
    """The outbox of the bridge's own `resources/subscribe`."""

    def __init__(self, listen: Listen, uri: str):
        self.listen, self.uri = listen, uri

    def answer(self, message: Envelope) -> None:
        self.listen.subscribed(self.uri, bool(message.result))


class Passed:
    """A modern client's listen. `answer`, `put` and `end` of its outbox are all it knows of the client."""

    def __init__(self, listens, id: int, client_id: bytes, params: bytes, outbox, now: float):
        self.listens = listens
        self.id, self.client_id, self.params, self.outbox, self.created = id, client_id, params, outbox, now
        self.is_acknowledged = False

    def close(self) -> None:
        """The client left."""
        self.listens.close(self)

    def notified(self, message: Envelope) -> None:
        if message.method == ACKNOWLEDGED:
            if self.is_acknowledged:
                return  # another child's
            self.is_acknowledged = True
        self.outbox.put(envelope.notification(message.method, meta.with_subscription(message.params, self.client_id)))

    def answered(self, message: Envelope) -> None:
        if message.result:
            message.result = Raw(meta.with_subscription(message.result, self.client_id))
        else:
            self.outbox.code = code_of(message.error)
        self.outbox.answer(envelope.response(self.client_id, message))


class Listens:
    """All listens of one relay's modern child, by our own id; those of `own` among them."""

    def __init__(self, relay):
        self.relay = relay
        self.passed: dict[int, Passed] = {}
        self.own = Own(self)

    def __len__(self) -> int:
        return len(self.passed)

    def open(self, client_id: bytes, params: bytes, outbox, now: float) -> Passed:
        listen = Passed(self, self.relay.mint(), client_id, params, outbox, now)
        self.passed[listen.id] = listen
        if self.relay.is_open:
            self.ask(listen.id, listen.params)
        return listen

    def ask(self, id: int, params: bytes) -> None:
        self.relay.send(envelope.flat(envelope.request_line(id, METHOD, params)[:-1]) + b"\n")

    def close(self, listen: Passed) -> None:
        """The client left."""
        if self.passed.pop(listen.id, None) is not None and self.relay.is_open:
            self.cancel(listen.id)

    def cancel(self, id: int) -> None:
        self.relay.send(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}\n' % id)

    def opened(self, now: float) -> None:
        """A new child is there."""
        for listen in self.passed.values():
            self.ask(listen.id, listen.params)
        self.own.opened(now)

    def lost(self, for_good: bool) -> None:
        self.own.lost()
        if for_good:
            passed, self.passed = self.passed, {}
            for listen in passed.values():
                listen.outbox.end()

    def finish(self) -> None:
        """The bridge is shutting down: say that this is the end, which lets clients tell it from a broken line."""
        passed, self.passed = self.passed, {}
        for listen in passed.values():
            listen.answered(Envelope(result=Raw(b'{"resultType":"complete"}')))

    def succeed(self, older: "Listens", now: float) -> None:
        """Another child takes over."""
        passed, older.passed = older.passed, {}
        self.passed.update(passed)
        for listen in passed.values():
            listen.listens = self
        for listen in passed.values():
            self.ask(listen.id, listen.params)

    def notified(self, message: Envelope, now: float) -> bool:
        """Something that a listen brought. False if it belongs to none."""
        id = minted(envelope.peek_meta(envelope.peek(message.params).meta).subscription)
        if id is None:
            return False
        if id in self.passed:
            self.passed[id].notified(message)
        else:
            self.own.notified(id, message, now)
        return True

    def answered(self, id: int | None, message: Envelope, now: float) -> bool:
        """The child ends a listen, or refuses it."""
        listen = self.passed.pop(id, None)
        if listen is not None:
            listen.answered(message)
        return listen is not None or self.own.answered(id, message, now)

    def cancelled(self, message: Envelope) -> None:
        """The child breaks a listen off."""
        listen = self.passed.pop(minted(envelope.peek(message.params).requestId), None)
        if listen is not None:
            listen.outbox.end()

    def sweep(self, now: float, keepalive: float) -> None:
        for listen in self.passed.values() if keepalive else ():
            if not listen.is_acknowledged and now - listen.created >= keepalive:
                listen.outbox.wait()
        self.own.sweep(now)


class Own:
    """The bridge's own listen. `current` is acknowledged; `next` takes its place once it is, so that nothing is missed."""

    def __init__(self, listens: Listens):
        self.listens = listens
        self.current: int | None = None
        self.next: int | None = None
        self.honoured: set[str] = set()  # resources
        self._asked: bytes = b""
        self._since = 0.0
        self._is_refused = False
        self._waiting: list = []  # called with no argument once it is settled what is honoured

    def opened(self, now: float) -> None:
        self.current = self.next = None
        self._asked, self._is_refused = b"", False
        self.refresh(now)

    def lost(self) -> None:
        self.current = self.next = None
        self._asked = b""
        self._settle()

    def refresh(self, now: float, then=None) -> None:
        """The sessions' wishes are not what they were. `then()` is called once the child knows."""
        wanted = self._wanted()
        if then is not None:
            self._waiting.append(then)
        if not self.listens.relay.is_open:
            return
        if self._is_refused or wanted == self._asked or not wanted:
            if not wanted:
                self._drop()
            return None if self.next is not None else self._settle()
        if self.next is not None:
            self.listens.cancel(self.next)
        self._asked, self._since = wanted, now
        self.next = self.listens.relay.mint()
        self.listens.ask(self.next, meta.own(b'{"notifications":%b}' % wanted))

    def notified(self, id: int, message: Envelope, now: float) -> None:
        if message.method == ACKNOWLEDGED:
            return self._acknowledged(id, message)
        if id == self.current:
            message.params = Raw(meta.without_subscription(message.params))
            self.listens.relay.notices.told(message, now)

    def answered(self, id: int | None, message: Envelope, now: float) -> bool:
        if id is None or id not in (self.current, self.next):
            return False
        if id == self.next:
            self.next, self._is_refused = None, bool(message.error)
            self._settle()
        else:
            self.current, self._asked = None, b""
            if message.result:
                self.refresh(now)
        return True

    def sweep(self, now: float) -> None:
        if self._waiting and now - self._since >= PATIENCE:
            self._settle()

    def _acknowledged(self, id: int, message: Envelope) -> None:
        if id != self.next:
            return
        if self.current is not None:
            self.listens.cancel(self.current)
        self.current, self.next = id, None
        honoured = envelope.object_or_none((envelope.object_or_none(message.params) or {}).get("notifications", b"")) or {}
        try:
            self.honoured = set(envelope.strings(honoured.get("resourceSubscriptions", b"[]")))
        except ValueError:
            self.honoured = set()
        self._settle()

    def _settle(self) -> None:
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()

    def _drop(self) -> None:
        for id in (self.current, self.next):
            if id is not None:
                self.listens.cancel(id)
        self.current = self.next = None
        self._asked, self.honoured = b"", set()

    def _wanted(self) -> bytes:
        """The filter for all that somebody here wants; empty for nothing."""
        relay = self.listens.relay
        wanted: dict = {_KINDS[kind]: True for kind in _KINDS if relay.facts and relay.facts.tells(kind)}
        uris = sorted(set(itertools.chain.from_iterable(session.subscriptions for session in relay.sessions.values())))
        if uris:
            wanted["resourceSubscriptions"] = uris
        return envelope.encode(wanted) if wanted else b""

