"""A modern client as the relay sees it. It holds no session, so this stands for all requests of one principal, or of one
call that may be asked things.
"""

from msgspec import Raw

from bridge.protocol.revisions import FIRST_MODERN
from bridge.protocol.session import NO_OBJECT, Session
from bridge.protocol.token import Opening


class Caller(Session):
    """Never among the sessions that a relay tells news: nothing is for it but what belongs to a request of its own.

    Its exchanges go by our own ids, because different clients may use the same ones.
    """

    __slots__ = ()
    is_modern = True

    def __init__(
        self,
        mcp: str,
        principal: str = "",
        *,
        capabilities: Raw = NO_OBJECT,
        client: Raw = NO_OBJECT,
        nonce: str = "",
        own_child: bool = False,
    ):
        nonce = nonce or f"modern:{principal}"
        opening = Opening(mcp, FIRST_MODERN, capabilities, client, principal, own_child, nonce)
        super().__init__("streamable-http", opening, nonce, 0.0)
        self.initialized = True

    def finish(self) -> None:
        """The bridge is shutting down. Its calls are answered one by one."""
