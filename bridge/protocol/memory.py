"""What is known of a child that sleeps: its handshake and its lists, so that most questions need not wake it.

Learned while it was awake, and worth keeping over a restart of the bridge: `dump` and `load` turn it into one JSON
object, whose `identity` says of which command, environment and package it is true.
"""

import msgspec
from msgspec import Raw

from bridge.protocol import envelope
from bridge.protocol.facts import Facts

LISTS = {"tools/list": "tools", "prompts/list": "prompts", "resources/list": "resources",
         "resources/templates/list": "resources"}  # method: the capability that it belongs to
PAGES = 100


class _Kept(msgspec.Struct):
    identity: str
    initialize: Raw
    lists: dict[str, dict[str, Raw]]


class Memory:
    """Results of lists by method and cursor (raw JSON, empty for the first page)."""

    def __init__(self):
        self.initialize: bytes = b""
        self._lists: dict[str, dict[bytes, bytes]] = {}

    def answer(self, method: str, cursor: bytes) -> bytes | None:
        """The result of a list, if it is known."""
        return self._lists.get(method, {}).get(cursor)

    def pages(self, method: str) -> list[bytes]:
        return list(self._lists.get(method, {}).values())

    def knows_lists_of(self, facts: Facts) -> bool:
        return all(method in self._lists for method, capability in LISTS.items() if facts.offers(capability))

    def learn(self, method: str, pages: dict[bytes, bytes]) -> bool:
        """Take in all pages of a list. Returns whether they say something else than before."""
        before = self._lists.get(method)
        self._lists[method] = pages
        return before is not None and before != pages

    def forget(self, capability: str) -> None:
        """The child said that its lists changed."""
        for method in [method for method, of in LISTS.items() if of == capability]:
            self._lists.pop(method, None)

    def dump(self, identity: str) -> bytes:
        lists = {method: {cursor.decode(): Raw(page) for cursor, page in pages.items()} for method, pages in self._lists.items()}
        return msgspec.json.encode(_Kept(identity, Raw(self.initialize or b"null"), lists))

    def load(self, content: bytes, identity: str) -> Facts | None:
        """Remember what was dumped, if it is of this identity. Returns the child's facts; None if nothing is known."""
        try:
            kept = msgspec.json.decode(content, type=_Kept)
            if kept.identity != identity:
                return None
            facts = Facts.of(kept.initialize)
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError):
            return None  # written by another version of ours, or damaged: learn anew
        self.initialize = bytes(kept.initialize)
        self._lists = {method: {cursor.encode(): bytes(page) for cursor, page in pages.items()} for method, pages in kept.lists.items()}
        return facts


class Reading:
    """One walk through the pages of a list; the outbox of each page's request. `done(pages)` or `failed()` ends it."""

    def __init__(self, method: str, ask, done, failed=lambda: None):
        self.method, self.ask, self.done, self.failed = method, ask, done, failed
        self.pages: dict[bytes, bytes] = {}
        self._cursor = b""

    def start(self) -> None:
        self.ask(self.method, b"", self)

    def answer(self, message: envelope.Envelope) -> None:
        try:
            members = envelope.members(message.result)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self.failed()
        self.pages[self._cursor] = bytes(message.result)
        cursor = bytes(members.get("nextCursor", b""))
        if cursor in (b"", b"null", b'""'):
            return self.done(self.pages)
        if cursor in self.pages or len(self.pages) >= PAGES:
            return self.failed()
        self._cursor = cursor
        self.ask(self.method, b'{"cursor":%b}' % cursor, self)
