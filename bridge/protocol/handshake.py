"""The first answer of a child: what it is, or why it will not do."""

from collections.abc import Callable

import msgspec

from bridge.failure import Failure
from bridge.protocol.envelope import Envelope
from bridge.protocol.era import LEGACY
from bridge.protocol.errors import code_of
from bridge.protocol.facts import Facts

Refused = Callable[[Failure, int], None]


class Handshake:
    """Hears the answer to our own `initialize` or `server/discover`. `opened(facts, result)` or `refused(why, code)` is called,
    where `code` is that of its JSON-RPC error, and 0 where it is something else that will not do."""

    def __init__(self, era: str, opened: Callable[[Facts, bytes], None], refused: Refused):
        self.era, self.opened, self.refused = era, opened, refused

    def receive(self, message: Envelope) -> None:
        if message.error:
            # Also where it died of it, which is what some servers without a handshake do: then this is our own error.
            asked = "initialize" if self.era == LEGACY else "server/discover"
            said = bytes(message.error).decode(errors="replace")[:500]
            return self.refused(Failure(f"the server refused {asked}", f": {said}"), code_of(message.error))
        try:
            facts = Facts.of(message.result)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError, ValueError) as error:
            return self.refused(Failure(f"the server's initialize result is not one: {error}"), 0)
        if facts.era != self.era:
            return self.refused(Failure("the server's initialize result is that of server/discover, or the other way round"), 0)
        return self.opened(facts, bytes(message.result))
