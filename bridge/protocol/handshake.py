"""The first answer of a child: what it is, or why it will not do."""

import msgspec

from bridge.protocol.envelope import Envelope
from bridge.protocol.errors import code_of
from bridge.protocol.facts import Facts


class Handshake:
    """The outbox of our own `initialize` or `server/discover`. `opened(facts)` or `refused(why)` is called."""

    def __init__(self, relay, opened, refused):
        self.relay, self.opened, self.refused = relay, opened, refused

    def answer(self, message: Envelope) -> None:
        if message.error:
            # Also where it died of it, which is what some servers without a handshake do: then this is our own error.
            self.relay.refused_with = code_of(message.error)
            return self.refused(
                f"the server refused {'server/discover' if self.relay.is_modern else 'initialize'}: {bytes(message.error).decode(errors='replace')[:500]}"
            )
        try:
            facts = Facts.of(message.result)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError, ValueError) as error:
            return self.refused(f"the server's initialize result is not one: {error}")
        if facts.era != self.relay.link.era:
            return self.refused("the server's initialize result is that of server/discover, or the other way round")
        self.opened(facts)
        self.relay.opened(facts, bytes(message.result), self.relay.link.heard)
