"""All pages of a tool list as one, for clients that ask for the first only (LiteLLM 1.77).

Known pages are joined at once; others are asked for before the client is answered.
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Raw

from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope
from bridge.protocol.exchange import Exchange
from bridge.protocol.known_lists import Reading

MARK = b'"nextCursor"'


def cursor_of(result: bytes | Raw) -> bytes:
    """The raw cursor of the page that follows; empty if there is none."""
    if MARK not in bytes(result):
        return b""
    cursor = bytes((envelope.object_or_none(result) or {}).get("nextCursor", b""))
    return b"" if cursor in (b"null", b'""') else cursor


def joined(pages: Sequence[bytes | Raw]) -> bytes | None:
    """One `tools/list` result with the tools of all. None where one of them is none."""
    tools: list[Raw] = []
    for page in pages:
        try:
            tools += msgspec.json.decode(envelope.members(page)["tools"], type=list[Raw])
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError):
            return None
    first = {name: value for name, value in envelope.members(pages[0]).items() if name != "nextCursor"}
    return envelope.encode({**first, "tools": tools})


def whole(exchange: Exchange, message: Envelope) -> Envelope | None:
    """The child's answer with the pages that follow. None if they have to be asked for: the exchange is finished then."""
    if exchange.method != "tools/list" or exchange.cursor or not message.result or not (cursor := cursor_of(message.result)):
        return message
    relay = exchange.relay
    pages = [message.result]
    while cursor:
        known = relay.lists.answer("tools/list", cursor)
        if known is None or not known.result or len(pages) > LONGEST:
            break
        pages.append(relay.pinned.cut(known).result)
        cursor = cursor_of(known.result)
    if not cursor or not relay.is_open:
        return _as_one(pages, message)

    def done(pages: dict[bytes, bytes]) -> None:
        relay.completion.complete_late(exchange, _as_one(list(pages.values()), message))

    relay.completion.unfinished.add(exchange.id)

    def ask(method: str, params: bytes, on_answer: Callable[[Envelope], None]) -> None:
        relay.dispatcher.ask(method, params, relay.link.last_received, on_answer)

    Reading("tools/list", ask, done, lambda error: done({b"": bytes(message.result)})).receive(message)
    return None


def _as_one(pages: Sequence[bytes | Raw], message: Envelope) -> Envelope:
    result = joined(pages) or joined(pages[:1])
    return message if result is None else Envelope(message.jsonrpc, message.id, None, envelope.ABSENT, Raw(result), envelope.ABSENT)


LONGEST = 100
