"""What was refused, and to whom: read from squid's log, counted, with a line for each. Pure: the time is an argument.

Names come from MCPs, and an MCP may be anybody's: each has so many labels and lines, and the others go into a sum.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

FORMAT = "%>a %#>rd %>rP %<a %err_code"  # squid's, for a line of its log
NO_ADDRESS = ("ERR_DNS_FAIL", "ERR_CANNOT_FORWARD", "ERR_READ_ERROR")  # where no server was reached
REASONS = {  # by the page that squid answers with
    "ERR_NOT_LISTED": "not in its egress list",
    "ERR_NOT_PUBLIC": "a private address",
    "ERR_ACCESS_DENIED": "asked by no way that the proxy takes (CONNECT, plain HTTP)",
    **dict.fromkeys(NO_ADDRESS, "no public address has that name"),
}
NAMES = 50  # labels of one MCP
LINES, MINUTE = 30, 60.0
LONGEST = 128
HOST = re.compile(r"[a-z0-9._:-]+")
OTHERS = "(other)"
METRIC = "mcp_bridge_egress_refusals_total"


@dataclass
class Refusals:
    """`mcps`: the MCP behind each address that squid sees."""

    mcps: Mapping[str, str]
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # by MCP, host and reason; bounded by NAMES and REASONS
    _said: Counter[str] = field(default_factory=Counter)  # lines of this minute, by MCP
    _minute: float = 0.0

    def read(self, line: str, now: float) -> Iterator[str]:
        """What the operator should read of a line of squid's log."""
        words = line.split(" ")
        if len(words) != 5 or words[0] not in self.mcps:
            return
        address, host, port, server, error = words
        if error not in REASONS or (error in NO_ADDRESS and server != "-"):
            return
        mcp, reason = self.mcps[address], REASONS[error]
        yield from self.sums(now)
        shown = host.lower().removeprefix("%5b").removesuffix("%5d")[:LONGEST]
        self.counts[mcp, self._label(mcp, shown), reason] += 1
        self._said[mcp] += 1
        if self._said[mcp] <= LINES:
            yield f"mcp={mcp} host={shown}{f':{port}' if port not in ('80', '443') else ''} refused: {reason}"

    def sums(self, now: float) -> Iterator[str]:
        """After a minute, how many lines were left out in it."""
        if now - self._minute < MINUTE:
            return
        for mcp, count in self._said.items():
            if count > LINES:
                yield f"mcp={mcp} {count - LINES} more refused: /metrics counts them"
        self._said.clear()
        self._minute = now

    def metrics(self) -> str:
        """In Prometheus' text format."""
        lines = [f"# HELP {METRIC} What an MCP asked its egress proxy for and did not get.", f"# TYPE {METRIC} counter"]
        for (mcp, host, reason), count in sorted(self.counts.items()):
            lines.append(f'{METRIC}{{mcp="{mcp}",host="{host}",reason="{reason}"}} {count}')
        return "\n".join(lines) + "\n"

    def _label(self, mcp: str, host: str) -> str:
        """The host, where it is one of the first of its MCP and is spelled as hosts are."""
        known = {label for one, label, _ in self.counts if one == mcp}
        return host if HOST.fullmatch(host) and (host in known or len(known) < NAMES) else OTHERS
