"""`subscriptions/listen` (2026-07-28, server/utilities/subscriptions) on a legacy child.

There the listen is the bridge's own: to the relay it is one more session, with one stream and subscriptions, which it
counts and restores as those of others. What goes through to a modern child is in `passing.py`.
"""

from functools import partial
from secrets import token_urlsafe
from typing import Any, Protocol

from msgspec import Raw

from bridge.protocol import envelope, meta, subscriptions
from bridge.protocol.audience import Audience
from bridge.protocol.dispatch import Dispatcher
from bridge.protocol.envelope import Envelope
from bridge.protocol.eras.caller import Caller
from bridge.protocol.facts import Facts
from bridge.protocol.outbox import ModernOutbox
from bridge.protocol.session import Session

METHOD = "subscriptions/listen"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
PATIENCE = 10.0  # seconds until a session is told that its wish was not acknowledged
KINDS = {"tools": "toolsListChanged", "prompts": "promptsListChanged", "resources": "resourcesListChanged"}


class Shared(Protocol):
    """The relay of the child, as a listen needs it."""

    audience: Audience
    dispatcher: Dispatcher

    def join(self, session: Session) -> None: ...


class Listen(Caller):
    """A modern client's listen on a legacy child. `outbox` is its response; what is put there is tagged with its id."""

    __slots__ = ("_missing", "client_id", "outbox", "wanted")
    answers_cancelled = False

    def __init__(self, mcp: str, principal: str, client_id: bytes, params: Raw, facts: Facts, outbox: ModernOutbox):
        super().__init__(mcp, principal, nonce=f"listen:{token_urlsafe(9)}")
        self.client_id = client_id
        self.outbox = outbox
        wishes = envelope.object_or_none(envelope.peek_modern(params).notifications or b"{}") or {}
        self.wanted = {
            f"notifications/{kind}/list_changed": name
            for kind, name in KINDS.items()
            if bytes(wishes.get(name, b"")) == b"true" and facts.offers(kind)
        }
        resources = envelope.object_or_none(facts.capabilities.get("resources", b"")) or {}
        if bytes(resources.get("subscribe", b"")) == b"true":
            try:
                for uri in envelope.strings(wishes.get("resourceSubscriptions", b"[]")):
                    if not subscriptions.too_much(self, uri):
                        self.subscriptions.add(uri)  # the acknowledgement says which ones these are
            except ValueError:
                pass  # nothing that could be honoured
        self._missing = 0  # resources that the child has not answered for yet

    def begin(self, relay: "Shared", now: float) -> None:
        """Have the child watch the resources, then acknowledge."""
        new = [uri for uri in sorted(self.subscriptions) if not subscriptions.is_held(relay.audience, uri)]
        relay.join(self)
        self._missing = len(new)
        for uri in new:
            on_answer = partial(self._subscribed, uri)
            relay.dispatcher.ask("resources/subscribe", b'{"uri":%b}' % envelope.encode(uri), now, on_answer, PATIENCE)
        if not new:
            self._acknowledge()

    def _subscribed(self, uri: str, message: Envelope) -> None:
        if not message.result:
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
            self.outbox.put(envelope.notification(notice.method or "", meta.with_subscription(notice.params, self.client_id)))
        return True

    def _acknowledge(self) -> None:
        honoured: dict[str, Any] = dict.fromkeys(self.wanted.values(), True)
        if self.subscriptions:
            honoured["resourceSubscriptions"] = sorted(self.subscriptions)
        params = envelope.encode({"notifications": honoured})
        self.outbox.put(envelope.notification(ACKNOWLEDGED, meta.with_subscription(params, self.client_id)))
        self.listen(self)
