"""What may come in a flood is written down in sums: wrong keys, foreign Hosts, requests over a limit, MCPs that are not there.

The first ones of a kind, from an address or of a caller, have lines of their own; how many more came is a line a minute, with their `count`. So
whoever has no key cannot fill the disk, nor push out of the kept files what others did.
"""

import time
from collections.abc import Callable

from msgspec import Struct, structs

from bridge.budget import network
from bridge.callers.audit import Line, Sink, clock, encode
from bridge.protocol.errors import Reason, Refusal
from bridge.redact import redacted

WINDOW = 60.0  # seconds that one sum is for
MOST = 100  # kinds at once; all others of a rule together are one more
WHOLE = 20  # of a caller's, whom its key names, have lines of their own
MANY = "many"  # in place of an address


class _Sum(Struct, eq=False):
    line: Line
    since: float
    seen: int = 1
    more: int = 0  # than were written down


class Sums:
    """Of one bridge. `now` is a monotonic clock."""

    def __init__(self, sink: Sink, now: Callable[[], float]):
        self._sink, self._now = sink, now
        self._sums: dict[tuple[str, ...], _Sum] = {}  # removed by `sweep`

    def refused(self, refusal: Refusal, address: str, caller: str = "") -> None:
        """A request that came no further than the gate, where mostly nobody knows whose it is."""
        why = redacted(refusal.message) if refusal.status != 429 else "too many wrong keys"
        line = Line(clock(time.time()), caller, address, outcome="refused", rule=refusal.reason.value, why=why)
        self.note(line, line.rule, why if refusal.reason is Reason.TOKEN else "")

    def not_there(self, mcp: str, caller: str, address: str, denial: str = "") -> None:
        """A request for an MCP that does not exist, or not for this caller."""
        outcome, rule = ("denied", denial) if denial else ("refused", "unknown MCP")
        self.note(Line(clock(time.time()), caller, address, mcp=mcp, outcome=outcome, rule=rule), rule)

    def note(self, line: Line, *kind: str) -> bool:
        """Write it down, or count it with those of its kind that are of the same caller and address. False where it is lost."""
        which = (*kind, line.caller, network(line.address))
        if which not in self._sums and len(self._sums) >= MOST:
            which, line = (line.outcome, line.rule), structs.replace(line, caller="", address=MANY, mcp="", why="")
        known = self._sums.get(which)
        if known is None:
            self._sums[which] = _Sum(line, self._now())
        elif known.seen < (WHOLE if line.caller else 1):
            known.seen += 1
        else:
            known.more += 1
            return True
        return self._sink.write(encode(line) + b"\n")

    def sweep(self) -> None:
        """Write down what was counted for a whole minute; what did not come again is forgotten."""
        over = self._now() - WINDOW
        for kind, sum in [(kind, sum) for kind, sum in self._sums.items() if sum.since <= over]:
            if not sum.more:
                del self._sums[kind]
            self._write(sum)
            sum.since, sum.more = self._now(), 0

    def flush(self) -> None:
        """At the end."""
        for sum in self._sums.values():
            self._write(sum)
        self._sums.clear()

    def _write(self, sum: _Sum) -> None:
        if sum.more:
            was = sum.line
            who = (was.caller, was.address)
            line = Line(clock(time.time()), *who, mcp=was.mcp, outcome=was.outcome, rule=was.rule, why=was.why, count=sum.more)
            self._sink.write(encode(line) + b"\n")
