"""One client request until its answer: when it is over, and that it is answered exactly once."""

from msgspec import Raw


class Exchange:
    """A request under way. `id` is what the child knows it by, `client_id` (raw JSON) what the client does.

    `line` is kept until it is written to the child, and if it is safe to write it to another one, until its answer.
    `hold` is set when the client has been answered but the child has not (cancelled, timed out): until then it occupies
    the child, because some lose data when they do two things at once.
    """

    __slots__ = ("id", "session", "client_id", "method", "tool", "token", "outbox", "line", "created", "deadline",
                 "limit", "hold", "then", "trace", "key", "cursor",
                 "relay", "is_safe", "is_second_try", "is_turned", "words", "message", "level",
                 "rounds", "missing")

    def __init__(self, id: int, session, client_id: bytes, method: str, tool: str, token: Raw | None, outbox,
                 created: float, timeout: float, limit: float):
        self.id = id
        self.session = session
        self.client_id = client_id
        self.method = method
        self.tool = tool
        self.token = token
        self.outbox = outbox
        self.line: bytes | None = None
        self.created = created
        self.restart(created, timeout, limit)
        self.hold: float | None = None
        self.then = None
        self.trace = ""
        self.key = client_id
        self.cursor = b""  # raw JSON: which page of a list
        self.relay = None  # whose child has it
        self.is_safe = False  # whether it may be sent to a second child when the first died with it
        self.is_second_try = False
        self.missing: set[str] | None = None  # capabilities that its child asked for in vain
        self.rounds = 0  # how often its child wanted something of the client
        self.words = None  # in which its answer goes to the client
        self.message = None  # the client's own, where its words may need it again
        self.level = ""  # of log messages that its client wants with it
        self.is_turned = False  # whether `turns` counts it as with the child

    def restart(self, now: float, timeout: float, limit: float) -> None:
        """The child's time begins."""
        self.deadline = now + timeout if timeout else float("inf")
        self.limit = now + limit if limit else float("inf")

    def progressed(self, now: float, timeout: float) -> None:
        """Progress starts the clock again; the hard maximum stays (lifecycle, "Timeouts")."""
        if timeout:
            self.deadline = now + timeout

    def is_overdue(self, now: float) -> bool:
        return now >= self.deadline or now >= self.limit


class Ask:
    """A request of the child to a client: `child_id` (raw JSON) is what the child knows it by."""

    __slots__ = ("id", "child_id", "method", "created", "delivered", "heard")

    def __init__(self, id: bytes, child_id: bytes, method: str, created: float):
        self.id = id
        self.child_id = child_id
        self.method = method
        self.created = created
        self.heard = None  # called with the answer, where no child waits for it by `child_id`
        self.delivered = False
