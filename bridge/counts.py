"""Plain numbers, counted with `+=` where things happen; `metrics.py` knows how to show them."""

from bisect import bisect_left
from collections import defaultdict

from bridge.budget import Budget

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)  # seconds


MOST_LABELS, LONGEST_LABEL = 2000, 128  # SEP-986: names of tools have up to 128 characters
MOST_CALLERS = 500
OTHER = "(other)"  # the label of all other names


class Histogram:
    """Seconds by bucket: `counts[i]` are those up to `BUCKETS[i]`, the last one is the rest."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds

    def quantile(self, part: float) -> float:
        """As Prometheus' histogram_quantile estimates it: evenly spread within a bucket, and never above the last bound."""
        wanted, below = part * sum(self.counts), 0
        for number, count in enumerate(self.counts):
            if count and below + count >= wanted:
                if number == len(BUCKETS):
                    return BUCKETS[-1]
                start = BUCKETS[number - 1] if number else 0.0
                return start + (BUCKETS[number] - start) * (wanted - below) / count
            below += count
        return 0.0


class Labels:
    """Names of tools as labels of metrics: a bounded number of short ones. A server may list any, and others all the time."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def of(self, name: str) -> str:
        if name in self._known:
            return name
        if len(self._known) >= MOST_LABELS or len(name) > LONGEST_LABEL or not name.isprintable():
            return OTHER
        self._known.add(name)
        return name


class Counts:
    """All that one MCP counts."""

    def __init__(self) -> None:
        self.labels = Labels()
        self.requests: dict[tuple[str, ...], int] = defaultdict(int)  # (method, tool, outcome, client's era, child's era)
        self.latency: dict[str, Histogram] = defaultdict(Histogram)  # method
        self.callers: dict[str, int] = defaultdict(int)  # requests by who made them; bounded by `forget_callers`
        self.sessions: dict[tuple[str, str], int] = defaultdict(int)  # (transport, revision), ever opened
        self.noise: dict[str, int] = defaultdict(int)  # lines from the child that are no message, by kind
        self.strays: dict[str, int] = defaultdict(int)  # messages that belong to nobody, by kind
        self.drops: dict[str, int] = defaultdict(int)  # messages for clients that were lost, by reason
        self.refusals: dict[str, int] = defaultdict(int)  # requests that never reached the child, by reason
        self.calls = Budget()  # requests of clients under way, waiting ones included
        self.memory = Budget()  # bytes that wait, are read or sent, or are remembered
        self.bytes_in = 0  # request bodies
        self.bytes_out = 0  # answers and messages
        self.to_child = 0
        self.from_child = 0
        self.stderr_lines = 0
        self.starts = 0
        self.waits = 0  # sessions that waited for a child of their own
        self.wakes = 0
        self.recycled = 0
        self.restarts = 0
        self.exits: dict[str, int] = defaultdict(int)  # by cause
        self.ready_seconds = 0.0  # how long the last handshake took

    def forget_callers(self) -> None:
        """Those that asked least, where there are many: JWTs name any number."""
        if len(self.callers) > 2 * MOST_CALLERS:
            for caller in sorted(self.callers, key=self.callers.__getitem__)[:-MOST_CALLERS]:
                del self.callers[caller]

    @property
    def in_flight(self) -> int:
        return self.calls.held
