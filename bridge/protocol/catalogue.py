"""The child's own tool names, read through its pages, so that a metric's label can only be one of them."""

import msgspec
from msgspec import Raw

from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope

PAGES = 100
NAMES = 2000
UNKNOWN = "(unknown)"


class _Named(msgspec.Struct):
    name: str


class _Page(msgspec.Struct):
    tools: list[_Named]
    nextCursor: str | None = None


class Catalogue:
    """Names by raw JSON string. `read` replaces them when the last page is in."""

    def __init__(self):
        self.names: dict[bytes, str] = {}
        self.is_known = False
        self._reading: "_Reading | None" = None
        self._next: tuple | None = None

    def label(self, name: Raw) -> str:
        return self.names.get(bytes(name), UNKNOWN)

    def read(self, ask, changed) -> None:
        """Fetch all pages by `ask(params, outbox)`; call `changed()` if the names are not those known before.

        One reading at a time: however often it is called meanwhile, one more follows.
        """
        if self._reading:
            self._next = ask, changed
            return
        self._reading = _Reading(self, ask, changed)
        self._reading.next(None)

    def over(self, is_complete: bool) -> None:
        self._reading, again, self._next = None, self._next, None
        if again and is_complete:
            self.read(*again)


class _Reading:
    """One walk through the pages; the outbox of each page's request."""

    def __init__(self, catalogue: Catalogue, ask, changed):
        self.catalogue, self.ask, self.changed = catalogue, ask, changed
        self.names: dict[bytes, str] = {}
        self.pages = 0

    def next(self, cursor: str | None) -> None:
        self.pages += 1
        self.ask(b'{"cursor":%b}' % envelope.encode(cursor) if cursor else b"", self)

    def answer(self, message: Envelope) -> None:
        try:
            page = msgspec.json.decode(message.result, type=_Page)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self.catalogue.over(False)  # an error, or no tool list: what was known stays
        self.names.update((envelope.encode(tool.name), tool.name) for tool in page.tools[:NAMES - len(self.names)])
        if page.nextCursor and self.pages < PAGES:
            return self.next(page.nextCursor)
        catalogue = self.catalogue
        is_news = catalogue.is_known and catalogue.names != self.names
        catalogue.names, catalogue.is_known = self.names, True
        if is_news:
            self.changed()
        catalogue.over(True)
