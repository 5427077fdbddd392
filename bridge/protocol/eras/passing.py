"""`subscriptions/listen` on a modern child, and what legacy sessions have instead.

A modern client's listen goes through to the child under our own id, and survives that child: the next one is asked the
same, and its second acknowledgement is kept back. For legacy sessions, and for what we know of the child's lists, the
bridge has one listen of its own, for all of them; it changes with their wishes.
"""

import itertools
from collections.abc import Callable
from typing import Any

from msgspec import Raw

from bridge.protocol import envelope, meta
from bridge.protocol.audience import Audience
from bridge.protocol.dispatch import Dispatcher
from bridge.protocol.envelope import Envelope
from bridge.protocol.eras.listens import ACKNOWLEDGED, KINDS, METHOD, PATIENCE
from bridge.protocol.errors import code_of
from bridge.protocol.ids import minted
from bridge.protocol.link import Link
from bridge.protocol.outbox import ModernOutbox

Notified = Callable[[Envelope, float], None]  # for what a listen of the bridge itself brought


class PassedListen:
    """A modern client's listen. `answer`, `put` and `end` of its outbox are all it knows of the client."""

    def __init__(self, listens: "Listens", id: int, client_id: bytes, params: bytes, outbox: ModernOutbox, now: float):
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
        self.outbox.put(envelope.notification(message.method or "", meta.with_subscription(message.params, self.client_id)))

    def answered(self, message: Envelope) -> None:
        if message.result:
            message.result = Raw(meta.with_subscription(message.result, self.client_id))
        else:
            self.outbox.code = code_of(message.error)
        self.outbox.answer(envelope.response(self.client_id, message))


class Listens:
    """All listens of one modern child, by our own id; those of `own` among them."""

    def __init__(self, link: Link, dispatcher: Dispatcher, audience: Audience, ready_wait: float, notified: Notified):
        self._link, self._send, self._mint = link, dispatcher.send, dispatcher.mint
        self.passed: dict[int, PassedListen] = {}
        self.own = OwnListen(self, link, dispatcher.mint, audience, ready_wait, notified)

    def __len__(self) -> int:
        return len(self.passed)

    def open(self, client_id: bytes, params: bytes, outbox: ModernOutbox, now: float) -> PassedListen:
        listen = PassedListen(self, self._mint(), client_id, params, outbox, now)
        self.passed[listen.id] = listen
        if self._link.is_open:
            self.ask(listen.id, listen.params)
        return listen

    def ask(self, id: int, params: bytes) -> None:
        self._send(envelope.flat(envelope.request_line(id, METHOD, params)[:-1]) + b"\n")

    def close(self, listen: PassedListen) -> None:
        """The client left."""
        if self.passed.pop(listen.id, None) is not None and self._link.is_open:
            self.cancel(listen.id)

    def cancel(self, id: int) -> None:
        self._send(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}\n' % id)

    def opened(self, now: float) -> None:
        """A new child is there."""
        for listen in self.passed.values():
            self.ask(listen.id, listen.params)
        self.own.opened(now)

    @property
    def are_awaited(self) -> bool:
        """Whether somebody listens, or waits to hear that it does: a child that sleeps is needed."""
        return bool(self.passed) or self.own.is_awaited

    def lost(self, for_good: bool) -> None:
        self.own.lost(for_good)
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
        self.own.succeed(older.own)
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
        listen = self.passed.pop(id or 0, None)
        if listen is not None:
            listen.answered(message)
        return listen is not None or self.own.answered(id, message, now)

    def cancelled(self, message: Envelope, now: float) -> None:
        """The child breaks a listen off."""
        id = minted(envelope.peek(message.params).requestId)
        listen = self.passed.pop(id or 0, None)
        if listen is not None:
            listen.outbox.end()
        else:
            self.own.ended(id, now)

    def sweep(self, now: float, keepalive: float) -> None:
        for listen in self.passed.values() if keepalive else ():
            if not listen.is_acknowledged and now - listen.created >= keepalive:
                listen.outbox.wait()
        self.own.sweep(now)


LARGE, REST = 1 << 16, 1e-6  # bytes of all wishes together from which not each new one is told by itself, and seconds of pause for each


class OwnListen:
    """The bridge's own listen. `current` is acknowledged; `next` takes its place once it is, so that nothing is missed."""

    def __init__(self, listens: Listens, link: Link, mint: Callable[[], int], audience: Audience, ready_wait: float, notified: Notified):
        self._listens, self._link, self._mint, self._audience = listens, link, mint, audience
        self._ready_wait, self._notified = ready_wait, notified
        self.current: int | None = None
        self.next: int | None = None
        self.honoured: set[str] = set()  # resources
        self._asked: bytes = b""
        self._since = 0.0  # when the child was asked last, or somebody began to wait for a child that is not there
        self._refused: bytes = b""  # what the child would not listen for
        self._is_ended = False  # by the child, and not asked for again yet
        self._rests_until, self._is_due = 0.0, False  # while all wishes together are large, and whether there are new ones meanwhile
        self._waiting: list[Callable[[], object]] = []  # called with no argument once it is settled what is honoured

    def opened(self, now: float) -> None:
        self.current = self.next = None
        self._asked = self._refused = b""
        self._rests_until = 0.0
        self.refresh(now)

    def lost(self, for_good: bool) -> None:
        self.current = self.next = None
        self._asked = b""
        if for_good:
            self._settle()

    def succeed(self, older: "OwnListen") -> None:
        """Another child takes over."""
        self._waiting += older._waiting
        older._waiting.clear()

    @property
    def is_awaited(self) -> bool:
        return bool(self._waiting)

    def refresh(self, now: float, then: Callable[[], object] | None = None) -> None:
        """The sessions' wishes are not what they were. `then()` is called once the child knows."""
        if then is not None:
            self._waiting.append(then)
        if not self._link.is_open:
            self._since = now
            return None
        self._is_due = now < self._rests_until
        if self._is_due:
            return None
        wanted = self._wanted()
        if len(wanted) > LARGE:
            self._rests_until = now + len(wanted) * REST
        if wanted in (self._asked, self._refused) or not wanted:
            if not wanted:
                self._drop()
            return None if self.next is not None else self._settle()
        if self.next is not None:
            self._listens.cancel(self.next)
        self._asked, self._since, self._is_ended = wanted, now, False
        self.next = self._mint()
        self._listens.ask(self.next, meta.own(b'{"notifications":%b}' % wanted))

    def notified(self, id: int, message: Envelope, now: float) -> None:
        if message.method == ACKNOWLEDGED:
            return self._acknowledged(id, message)
        if id == self.current:
            message.params = Raw(meta.without_subscription(message.params))
            self._notified(message, now)

    def answered(self, id: int | None, message: Envelope, now: float) -> bool:
        return self.ended(id, now, is_refused=bool(message.error))

    def ended(self, id: int | None, now: float, is_refused: bool = False) -> bool:
        """The child listens no more. It is asked again, but not at once if it has just been asked: it may end each one."""
        if id is None or id not in (self.current, self.next):
            return False
        if id == self.next:
            self.next = None
            self._settle()
            if is_refused:
                self._asked, self._refused = b"", self._asked
        else:
            self.current, self._asked, self._is_ended = None, b"", not is_refused
            self._renew(now)
        return True

    def sweep(self, now: float) -> None:
        is_open = self._link.is_open
        if self._waiting and now - self._since >= (PATIENCE if is_open else self._ready_wait):
            self._settle()
        if is_open:
            if self._is_due:
                self.refresh(now)
            self._renew(now)

    def _renew(self, now: float) -> None:
        if self._is_ended and now - self._since >= PATIENCE:
            self.refresh(now)

    def _acknowledged(self, id: int, message: Envelope) -> None:
        if id != self.next:
            return
        if self.current is not None:
            self._listens.cancel(self.current)
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
                self._listens.cancel(id)
        self.current = self.next = None
        self._asked, self.honoured = b"", set()

    def _wanted(self) -> bytes:
        """The filter for all that somebody here wants; empty for nothing."""
        facts = self._link.facts
        wanted: dict[str, Any] = {KINDS[kind]: True for kind in KINDS if facts and facts.tells(kind)}
        uris = sorted(set(itertools.chain.from_iterable(session.subscriptions for session in self._audience)))
        if uris:
            wanted["resourceSubscriptions"] = uris
        return envelope.encode(wanted) if wanted else b""
