"""One client request until its answer: when it is over, and that it is answered exactly once."""

from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Raw, Struct

from bridge.protocol.envelope import Envelope

NEVER = float("inf")
OnAnswer = Callable[[Envelope, float], None]


class Observer(Protocol):
    """Whoever writes down what becomes of a request."""

    @property
    def trace(self) -> str:
        """The `traceparent` of its span, if it has one."""

    def sent(self, tool: str) -> None:
        """It is written to the child."""

    def ended(self, outcome: str, is_answered: bool, code: int = 0) -> None:
        """`is_answered`: whether its client is told. `code` is that of the error, where there is one."""


class Exchange(Struct, eq=False):
    """A request under way. `id` is what the child knows it by, `client_id` (raw JSON) what the client does.

    `line` is kept until it is written to the child, and if it is safe to write it to another one, until its answer.
    `hold` is set when the client has been answered but the child has not (cancelled, timed out): until then it occupies
    the child, because some lose data when they do two things at once. Times are seconds of the loop's clock.
    """

    id: int
    session: Any  # None for a request of the bridge itself
    client_id: bytes
    method: str
    tool: str
    token: Raw | None
    outbox: Any  # its client's (outbox.py); None for a request of the bridge itself, whose answer is for `on_answer`
    created: float
    deadline: float = NEVER
    limit: float = NEVER  # the hard maximum, whatever its progress
    relay: Any = None  # whose child has it
    translator: Any = None  # in which its answer goes to the client
    is_safe: bool = False  # whether it may be sent to a second child when the first died with it
    entry: Observer | None = None  # hears when it goes to the child, and how it ended
    line: bytes | None = None
    hold: float | None = None
    then: Any = None  # called with whether there is a result, before the answer goes out
    trace: str = ""
    key: bytes | int = b""  # in its session's exchanges: its client's id, or ours for a modern client
    cursor: bytes = b""  # raw JSON: which page of a list
    is_second_try: bool = False
    progress: float = float("-inf")  # how far its child has said that it is
    missing: set[str] | None = None  # capabilities that its child asked for in vain
    rounds: int = 0  # how often its child wanted something of the client
    message: Any = None  # the client's own, where its words may need it again
    level: str = ""  # of log messages that its client wants with it
    is_turned: bool = False  # whether `turns` counts it as with the child
    on_answer: Callable[[Envelope], None] | None = None
    size: int = 0  # bytes that it holds, if they are worth counting

    def restart(self, now: float, timeout: float, limit: float) -> None:
        """The child's time begins."""
        self.deadline = now + timeout if timeout else NEVER
        self.limit = now + limit if limit else NEVER

    def progressed(self, now: float, timeout: float) -> None:
        """Progress starts the clock again; the hard maximum stays (lifecycle, "Timeouts")."""
        if timeout:
            self.deadline = now + timeout

    def is_overdue(self, now: float) -> bool:
        return now >= self.deadline or now >= self.limit


class Ask:
    """A request of the child to a client: `child_id` (raw JSON) is what the child knows it by."""

    __slots__ = ("child_id", "created", "delivered", "exchange", "id", "method", "on_answer")

    def __init__(self, id: bytes, child_id: bytes, method: str, created: float):
        self.id = id
        self.child_id = child_id
        self.method = method
        self.created = created
        self.on_answer: OnAnswer | None = None  # called with the answer, where no child waits for it by `child_id`,
        self.exchange: Exchange | None = None  # but this call for the child
        self.delivered = False
