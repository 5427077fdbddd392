"""What the core needs of those around it, so that it need not know them: the child, and a log. (`outbox.py`: a client.)"""

from typing import TYPE_CHECKING, Any, Protocol

from bridge.counts import Counts
from bridge.failure import Failure

if TYPE_CHECKING:  # what follows names types of those who import this
    from bridge.protocol.audience import Audience
    from bridge.protocol.eras.passing import Listens
    from bridge.protocol.late_lists import LateLists
    from bridge.protocol.link import Link
    from bridge.protocol.policy import Policy


class Child(Protocol):
    """Whose relay it is. None of these may block, nor call the relay before it has returned."""

    def write(self, line: bytes) -> None:
        """Take one line for the child's stdin, newline included."""

    def is_stuck(self) -> bool:
        """Whether the child has not read much of what it was written."""

    def wake(self, is_awaited: bool = True) -> None:
        """Start it if it sleeps, or was given up and has cooled down. Where somebody waits for it in vain that is told."""

    def served(self) -> None:
        """A client got the first result of this child's work."""

    def learned(self) -> None:
        """All lists of the child are known."""

    def hung(self, why: Failure) -> None:
        """The child does not answer pings."""


class Log(Protocol):
    @property
    def is_debug(self) -> bool: ...
    def debug(self, event: str, **facts: Any) -> None: ...
    def info(self, event: str, **facts: Any) -> None: ...
    def warning(self, event: str, **facts: Any) -> None: ...
    def error(self, event: str, **facts: Any) -> None: ...


class Context(Protocol):
    """What a rule for requests (`rules.py`) may look at."""

    policy: "Policy"
    counts: Counts
    link: "Link"
    audience: "Audience"
    listens: "Listens"
    late_lists: "LateLists"
