"""What is known of a child that sleeps: its handshake and its lists, so that most questions need not wake it.

Learned while it was awake, and worth keeping over a restart of the bridge: `dump` and `load` turn it into one JSON
object, whose `identity` says of which command, environment and package it is true.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec import Raw

from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope
from bridge.protocol.errors import METHOD_NOT_FOUND
from bridge.protocol.facts import Facts

LISTS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resources",
}  # method: the capability that it belongs to
PAGES = 100
LONGEST = 8 << 20  # bytes of all pages of a list


class _Stored(msgspec.Struct):
    identity: str
    initialize: Raw
    lists: dict[str, dict[str, Raw]]
    refusals: dict[str, Raw] = {}


class _Error(msgspec.Struct):
    code: int


class KnownLists:
    """Results of lists by method and cursor (raw JSON, empty for the first page), and errors of those that it has not."""

    def __init__(self) -> None:
        self.initialize: bytes = b""
        self._lists: dict[str, dict[bytes, bytes]] = {}
        self._refusals: dict[str, bytes] = {}

    def answer(self, method: str, cursor: bytes) -> Envelope | None:
        """The child's answer to a question for a list, if it is known."""
        if method in self._refusals:
            return Envelope(error=Raw(self._refusals[method]))
        page = self._lists.get(method, {}).get(cursor)
        return None if page is None else Envelope(result=Raw(page))

    def pages(self, method: str) -> list[bytes]:
        return list(self._lists.get(method, {}).values())

    def learn(self, method: str, pages: dict[bytes, bytes]) -> bool:
        """Take in all pages of a list. Returns whether they say something else than before."""
        before = self._lists.get(method)
        self._lists[method] = pages
        self._refusals.pop(method, None)
        return before is not None and before != pages

    def refused(self, method: str, error: Raw) -> None:
        """The child has no such list: many offer resources and have no templates. Other errors may be gone next time."""
        try:
            code = msgspec.json.decode(error, type=_Error).code
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if code == METHOD_NOT_FOUND:
            self._lists.pop(method, None)
            self._refusals[method] = bytes(error)

    def record_answer(self, method: str, message: Envelope) -> None:
        """The child's answer to a client, who may ask for lists that we do not: the child has not said that it has them."""
        if message.result:
            self._refusals.pop(method, None)
        elif method not in self._lists:
            self.refused(method, message.error)

    def limit_to(self, facts: Facts) -> set[str]:
        """A new child has answered: drop the lists that it does not offer. Returns the capabilities that went."""
        gone = [method for method in self._lists if not facts.offers(LISTS[method])]
        for method in gone:
            del self._lists[method]
        return {LISTS[method] for method in gone}

    def succeed(self, older: "KnownLists") -> set[str]:
        """Take an older child's place: what is not known yet is compared once it is. Returns the capabilities that differ."""
        return {LISTS[method] for method, pages in older._lists.items() if self._lists.setdefault(method, pages) != pages}

    def forget(self, capability: str) -> None:
        """The child said that its lists changed."""
        for method in [method for method, of in LISTS.items() if of == capability]:
            self._lists.pop(method, None)
            self._refusals.pop(method, None)

    def dump(self, identity: str) -> bytes:
        lists = {method: {cursor.decode(): Raw(page) for cursor, page in pages.items()} for method, pages in self._lists.items()}
        refusals = {method: Raw(error) for method, error in self._refusals.items()}
        return msgspec.json.encode(_Stored(identity, Raw(self.initialize or b"null"), lists, refusals))

    def load(self, content: bytes, identity: str) -> Facts | None:
        """Remember what was dumped, if it is of this identity. Returns the child's facts; None if nothing is known."""
        try:
            kept = msgspec.json.decode(content, type=_Stored)
            if kept.identity != identity:
                return None
            facts = Facts.of(kept.initialize)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError):
            return None  # written by another version of ours, or damaged: learn anew
        self.initialize = bytes(kept.initialize)
        self._lists = {
            method: {cursor.encode(): bytes(page) for cursor, page in pages.items()}
            for method, pages in kept.lists.items()
            if method in LISTS
        }
        self._refusals = {method: bytes(error) for method, error in kept.refusals.items() if method in LISTS}
        return facts


class Ask(Protocol):
    """Puts a request of the bridge itself to the child; `on_answer` gets its answer."""

    def __call__(self, method: str, params: bytes, on_answer: Callable[[Envelope], None]) -> None: ...


class Reading:
    """One walk through the pages of a list. `done(pages)` or `failed(error)` ends it."""

    def __init__(self, method: str, ask: Ask, done: Callable[[dict[bytes, bytes]], None], failed: Callable[[Raw], None]):
        self.method, self.ask, self.done, self.failed = method, ask, done, failed
        self.pages: dict[bytes, bytes] = {}
        self._cursor = b""
        self._size = 0

    def start(self) -> None:
        self.ask(self.method, b"", self.receive)

    def receive(self, message: Envelope) -> None:
        try:
            members = envelope.members(message.result)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self.failed(message.error)
        cursor = bytes(members.get("nextCursor", b""))
        if cursor not in (b"", b"null") and envelope.string(cursor) is None:
            return self.failed(message.error)
        self._size += len(memoryview(message.result)) + len(self._cursor)
        if self._size > LONGEST:  # as far as it was read, too
            return self.done(self.pages)
        self.pages[self._cursor] = bytes(message.result)
        if cursor in (b"", b"null", b'""') or cursor in self.pages or len(self.pages) >= PAGES:
            return self.done(self.pages)  # an endless list is known as far as it was read
        self._cursor = cursor
        self.ask(self.method, b'{"cursor":%b}' % cursor, self.receive)
