"""What the counts look like to Prometheus. Read when it asks; nothing is registered or updated on a call's way.

Names follow the conventions: base units, `_total` for what only grows, `mcp_bridge_` before all.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bridge import __version__
from bridge.callers.audit import Audit
from bridge.counts import BUCKETS, Counts
from bridge.service.report import Report

STATES = ("stopped", "asleep", "starting", "handshaking", "ready", "backoff", "stopping", "fatal")


class Reporting(Protocol):
    """A service."""

    @property
    def report(self) -> Report: ...


class Group(Protocol):
    """Several MCPs at one address. It counts what it refuses by itself; all else is counted by the MCP that it is for."""

    name: str
    counts: Counts
    audit: Audit | None


Rows = list[tuple[tuple[str, ...], float]]


def registry(services: Iterable[Reporting], gate_refusals: Mapping[str, int], groups: Iterable[Group] = ()) -> CollectorRegistry:
    """A registry that shows `services` and `groups` (iterables that may change) and what the gate refused, by reason."""
    made = CollectorRegistry()
    made.register(_Collector(services, gate_refusals, groups))
    return made


class _Collector(Collector):
    def __init__(self, services: Iterable[Reporting], gate_refusals: Mapping[str, int], groups: Iterable[Group]):
        self.services = services
        self.groups = groups
        self.gate_refusals = gate_refusals
        self.started = time.time()

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("mcp_bridge_build_info", "The bridge's version, as a label.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        start = GaugeMetricFamily("mcp_bridge_start_time_seconds", "When the bridge started, in Unix time.")
        start.add_metric([], self.started)
        yield start
        refused = CounterMetricFamily("mcp_bridge_gate_refusals", "Requests refused for their Host, Origin or token.", labels=["reason"])
        for reason, count in self.gate_refusals.items():
            refused.add_metric([reason], count)
        yield refused
        for family in _families():
            for service in self.services:
                family.fill(service.report)
            if isinstance(family, _Family) and family.of_group is not None:
                for group in self.groups:
                    for labels, value in family.of_group(group):
                        family.made.add_metric([group.name, *labels], value)
            yield family.made


class _Family:
    """One metric of all services: `rows(report)` gives (labels, value) pairs, `of_group` those of a group."""

    def __init__(
        self,
        kind: type[CounterMetricFamily | GaugeMetricFamily],
        name: str,
        help: str,
        labels: list[str],
        rows: Callable[[Report], Rows],
        of_group: Callable[[Group], Rows] | None = None,
    ):
        self.made = kind(name, help, labels=["mcp", *labels])
        self.rows, self.of_group = rows, of_group

    def fill(self, report: Report) -> None:
        for labels, value in self.rows(report):
            self.made.add_metric([report.name, *labels], value)


class _Latency:
    def __init__(self) -> None:
        self.made = HistogramMetricFamily(
            "mcp_bridge_request_duration_seconds", "Time from a request to its answer.", labels=["mcp", "method"]
        )

    def fill(self, report: Report) -> None:
        for method, histogram in list(report.counts.latency.items()):
            total, buckets = 0, []
            for bound, count in zip((*BUCKETS, None), histogram.counts, strict=False):
                total += count
                buckets.append(("+Inf" if bound is None else str(bound), total))
            self.made.add_metric([report.name, method], buckets, histogram.sum)


def _families() -> list[_Family | _Latency]:
    counter, gauge = CounterMetricFamily, GaugeMetricFamily
    return [
        _Family(
            counter,
            "mcp_bridge_requests",
            "Requests of clients by what became of them.",
            ["method", "tool", "outcome", "client_era", "child_era"],
            lambda s: list(s.counts.requests.items()),
        ),
        _Latency(),
        _Family(gauge, "mcp_bridge_requests_in_flight", "Requests under way, waiting ones included.", [], lambda s: [((), s.in_flight)]),
        _Family(
            counter,
            "mcp_bridge_request_refusals",
            "Requests that never reached the child, by HTTP status; of a group (its name is `mcp`) those that it refused itself.",
            ["status"],
            lambda s: _by_one(s.counts.refusals),
            lambda group: _by_one(group.counts.refusals),
        ),
        _Family(
            gauge, "mcp_bridge_sessions", "Sessions that are open.", ["transport", "revision"], lambda s: list(s.open_sessions().items())
        ),
        _Family(
            counter,
            "mcp_bridge_sessions_opened",
            "Sessions ever opened.",
            ["transport", "revision"],
            lambda s: list(s.counts.sessions.items()),
        ),
        _Family(gauge, "mcp_bridge_streams", "SSE and WebSocket streams that are open.", [], lambda s: [((), s.streams)]),
        _Family(
            gauge,
            "mcp_bridge_child_state",
            "1 for the state that the shared child is in.",
            ["state"],
            lambda s: [((state,), int(s.state == state)) for state in STATES],
        ),
        _Family(gauge, "mcp_bridge_child_up", "Whether the shared child is ready.", [], lambda s: [((), int(s.state == "ready"))]),
        _Family(
            gauge,
            "mcp_bridge_children",
            "Children by role (shared, replica, modern, own, principal, spare, retiring) and state.",
            ["role", "state"],
            lambda s: list(s.children_by_state().items()),
        ),
        _Family(
            counter,
            "mcp_bridge_child_waits",
            "Sessions that waited for a child because all were taken.",
            [],
            lambda s: [((), s.counts.waits)],
        ),
        _Family(counter, "mcp_bridge_child_wakes", "Times that a sleeping child was woken.", [], lambda s: [((), s.counts.wakes)]),
        _Family(
            counter,
            "mcp_bridge_child_recycles",
            "Times that the shared child was replaced in time.",
            [],
            lambda s: [((), s.counts.recycled)],
        ),
        _Family(counter, "mcp_bridge_child_starts", "Processes started.", [], lambda s: [((), s.counts.starts)]),
        _Family(
            counter, "mcp_bridge_child_restarts", "Processes started again after one had died.", [], lambda s: [((), s.counts.restarts)]
        ),
        _Family(counter, "mcp_bridge_child_exits", "Processes that ended, by cause.", ["cause"], lambda s: _by_one(s.counts.exits)),
        _Family(
            gauge,
            "mcp_bridge_child_ready_seconds",
            "How long the last start took, handshake included.",
            [],
            lambda s: [((), s.counts.ready_seconds)],
        ),
        _Family(
            gauge,
            "mcp_bridge_child_start_time_seconds",
            "When the shared child was started, in Unix time.",
            [],
            lambda s: [((), s.child_start_time())] if s.child_start_time() else [],
        ),
        _Family(
            gauge,
            "mcp_bridge_child_resident_memory_bytes",
            "Resident memory of all processes and theirs.",
            [],
            lambda s: [((), s.usage()[0])],
        ),
        _Family(counter, "mcp_bridge_child_cpu_seconds", "CPU time of the processes that run.", [], lambda s: [((), s.usage()[1])]),
        _Family(counter, "mcp_bridge_http_received_bytes", "Bodies of messages from clients.", [], lambda s: [((), s.counts.bytes_in)]),
        _Family(counter, "mcp_bridge_http_sent_bytes", "Answers and messages to clients.", [], lambda s: [((), s.counts.bytes_out)]),
        _Family(counter, "mcp_bridge_child_stdin_bytes", "Bytes written to children.", [], lambda s: [((), s.counts.to_child)]),
        _Family(counter, "mcp_bridge_child_stdout_bytes", "Bytes of lines read from children.", [], lambda s: [((), s.counts.from_child)]),
        _Family(counter, "mcp_bridge_child_stderr_lines", "Lines on the children's stderr.", [], lambda s: [((), s.counts.stderr_lines)]),
        _Family(
            counter,
            "mcp_bridge_child_noise_lines",
            "Lines on stdout that are no message, by kind.",
            ["kind"],
            lambda s: _by_one(s.counts.noise),
        ),
        _Family(
            gauge,
            "mcp_bridge_memory_limit_bytes",
            "What may wait, be read, sent or remembered (--memory).",
            [],
            lambda s: [((), s.memory.limit)],
        ),
        _Family(gauge, "mcp_bridge_memory_held_bytes", "What waits, is read, sent or remembered.", [], lambda s: [((), s.memory.held)]),
        _Family(
            counter,
            "mcp_bridge_budget_refusals",
            "What was refused or cut off because there was no room, or its caller had its share.",
            ["what"],
            lambda s: [((what,), pot.refused) for what, pot in s.budgets()],
        ),
        _Family(
            gauge,
            "mcp_bridge_tools_unapproved",
            "Tools that are not as they were approved (--pin-file), by what they are: new, changed, gone.",
            ["what"],
            lambda s: _by_one(s.unapproved_by_kind()),
        ),
        _Family(counter, "mcp_bridge_strays", "Messages that belong to nobody, by kind.", ["kind"], lambda s: _by_one(s.counts.strays)),
        _Family(
            counter,
            "mcp_bridge_drops",
            "Messages for clients that were lost, by reason.",
            ["reason"],
            lambda s: _by_one(s.drops()),
            lambda group: _by_one({**group.counts.drops, **({"audit": group.audit.lost} if group.audit is not None else {})}),
        ),
    ]


def _by_one(counts: Mapping[str, int]) -> Rows:
    return [((kind,), count) for kind, count in list(counts.items())]
