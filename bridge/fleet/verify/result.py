"""What was found out: hop by hop for each MCP, and for what all of them share."""

import time
from dataclasses import dataclass, field
from typing import Any

OK, FAILED, SKIPPED, NONE = "ok", "failed", "skipped", "none"

# In the order in which a call comes along them, with what a person reads in the table.
HOPS = {
    "running": "running",  # its container or process is up
    "ready": "ready",  # its child answered a handshake
    "streamable-http": "http",  # handshake and tools on each transport
    "sse": "sse",
    "websocket": "ws",
    "modern": "2026",  # the same of the era without a handshake, with --era both
    "smoke": "call",  # the stanza's own call
    "listed": "LiteLLM lists",  # LiteLLM shows the same tools under the right names
    "called": "LiteLLM calls",  # the same call through LiteLLM's /mcp/
    "model": "model calls",  # a model's tool call through /v1/responses
    "counted": "counted",  # Prometheus scrapes it and has the calls
}


def since(began: float) -> float:
    return round(time.monotonic() - began, 3)


@dataclass(frozen=True)
class Hop:
    """One step of the way: how it went, what was seen, and what to do about it."""

    name: str
    state: str
    seen: str = ""
    todo: str = ""
    seconds: float = 0.0


@dataclass
class Report:
    """All hops of one MCP, or of something that all MCPs share."""

    name: str
    url: str = ""
    hops: list[Hop] = field(default_factory=list)
    tools: list[str] | None = None  # as a client sees them
    odd: list[str] = field(default_factory=list)  # what models may refuse of them, with the way out
    unapproved: list[str] = field(default_factory=list)  # how they differ from what was approved

    def add(self, hop: Hop) -> bool:
        """Note it. Returns whether the way goes on."""
        self.hops.append(hop)
        return hop.state != FAILED

    @property
    def failures(self) -> list[Hop]:
        return [hop for hop in self.hops if hop.state == FAILED]

    @property
    def is_ok(self) -> bool:
        return not self.failures

    @property
    def is_skipped(self) -> bool:
        """Whether it could not be asked everywhere, because something that all share does not work."""
        return any(hop.state == SKIPPED for hop in self.hops)

    def state(self, name: str) -> str:
        return next((hop.state for hop in self.hops if hop.name == name), SKIPPED)


@dataclass
class Verdict:
    """The whole. It is only good if every hop of everything is."""

    engine: str
    mcps: list[Report]
    shared: list[Report] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def is_ok(self) -> bool:
        return bool(self.mcps) and all(report.is_ok for report in (*self.mcps, *self.shared))

    def as_data(self) -> dict[str, Any]:
        def of(report: Report) -> dict[str, Any]:
            return {
                "name": report.name,
                "ok": report.is_ok,
                "url": report.url,
                **({"tools": report.tools} if report.tools is not None else {}),
                **({"odd": report.odd} if report.odd else {}),
                **({"unapproved": report.unapproved} if report.unapproved else {}),
                "hops": [{key: value for key, value in hop.__dict__.items() if value != ""} for hop in report.hops],
            }

        return {
            "ok": self.is_ok,
            "engine": self.engine,
            "seconds": round(self.seconds, 2),
            "mcps": [of(report) for report in self.mcps],
            "shared": [of(report) for report in self.shared],
            "left_out": self.left_out,
        }
