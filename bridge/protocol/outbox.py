"""The seam between the pure core and one HTTP task: where messages for a client are put."""

from typing import Protocol


class MessageStream(Protocol):
    def put(self, message: bytes) -> bool:
        """Send a message that is not an answer. False if this cannot carry one (any more)."""


class Outbox(MessageStream, Protocol):
    """One way to one client. Never blocks; a slow reader's outbox closes itself.

    `answers_cancelled`: whether a cancelled request must be answered all the same, because an HTTP response waits for it.
    """

    @property
    def answers_cancelled(self) -> bool: ...

    def put(self, message: bytes) -> bool:
        """Send a message that is not the answer. False if this outbox cannot carry one (any more)."""

    def answer(self, message: bytes) -> None:
        """Send the answer that this outbox was opened for; nothing follows it."""

    def wait(self) -> None:
        """The answer takes long: give a sign of life where the transport has one."""


class ModernOutbox(Outbox, Protocol):
    """One of a modern client, whose errors have a status: `code` is that of the JSON-RPC error that is its answer."""

    code: int

    def end(self) -> None:
        """Nothing follows, and there is no answer."""
