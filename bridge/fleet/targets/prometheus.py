"""compose/prometheus.yml and compose/alerts.yml: what is asked every five seconds, and when somebody should look.

All MCPs are fixed targets: the door answers to all their names. One with a profile has the label `optional` until `up` says
that it was started, so that nobody is woken by what is not wanted.
"""

from collections.abc import Iterator
from typing import Any

from bridge.fleet.files import File, generated_yaml
from bridge.fleet.model import PORT, Fleet

EVERY = "5s"


def render(fleet: Fleet) -> Iterator[File]:
    yield generated_yaml("compose/prometheus.yml", config(fleet))
    yield generated_yaml("compose/alerts.yml", alerts())


def config(fleet: Fleet, all_start: bool = False, tells: bool = True) -> dict[str, Any]:
    """Prometheus' config as data. `all_start`: these MCPs are all started, also those with a profile. `tells`: Alertmanager may be there."""
    job: dict[str, Any] = {
        "job_name": "mcp",
        "honor_labels": True,  # the bridge's own label `mcp` says the same
        "authorization": {"credentials_file": "/run/keys/PROMETHEUS_TOKEN"},
        "static_configs": [
            {
                "targets": [f"{stanza.name}:{PORT}"],
                "labels": {"mcp": stanza.name, **({"optional": "yes"} if stanza.profile and not all_start else {})},
            }
            for stanza in fleet.sidecars
        ],
    }
    egress = {"job_name": "egress", "static_configs": [{"targets": [f"egress:{PORT}"]}], "honor_labels": True}
    # What its members count, their own bridges have counted.
    groups = {
        "job_name": "groups",
        "authorization": {"credentials_file": "/run/keys/PROMETHEUS_TOKEN"},
        "static_configs": [{"targets": [f"groups:{PORT}"]}],
        "metric_relabel_configs": [{"source_labels": ["mcp"], "regex": "|".join(["", *fleet.group_names]), "action": "keep"}],
    }
    return {
        "global": {"scrape_interval": EVERY, "scrape_timeout": "4s", "evaluation_interval": "15s"},
        "rule_files": ["alerts.yml"],
        # Where nobody said ALERTS_TO there is none, and Prometheus says so in its log when an alarm has nowhere to go.
        **({"alerting": {"alertmanagers": [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]}} if tells else {}),
        "scrape_configs": [job, *([egress] if fleet.listed else []), *([groups] if fleet.groups else [])],
    }


def alerts() -> dict[str, Any]:
    calls = 'mcp_bridge_requests_total{method="tools/call"}'
    failed = 'mcp_bridge_requests_total{method="tools/call",outcome!~"ok|tool_error|error|cancelled|hidden"}'
    rules = [
        _alert(
            "McpAway",
            'up{job="mcp", optional=""} == 0',
            "1m",
            "critical",
            "{{ $labels.mcp }} does not answer",
            "Its container is stopped, starts again and again, or hangs: `mcp-bridge ps`, `mcp-bridge logs {{ $labels.mcp }}`.",
        ),
        _alert(
            "McpServerGivenUp",
            'mcp_bridge_child_state{state="fatal"} == 1',
            "1m",
            "critical",
            "{{ $labels.mcp }}: the server crashed so often that the bridge gave up",
            "/readyz of the sidecar says why; the server's last words are in `mcp-bridge logs {{ $labels.mcp }}`.",
        ),
        _alert(
            "McpServerCrashes",
            "increase(mcp_bridge_child_restarts_total[15m]) > 3",
            "0m",
            "warning",
            "{{ $labels.mcp }}: the server was restarted {{ $value | humanize }} times in 15 minutes",
            "Calls that were in flight failed. Its last words are in `mcp-bridge logs {{ $labels.mcp }}`.",
        ),
        _alert(
            "McpCallsFail",
            f"sum by (mcp) (rate({failed}[10m])) / sum by (mcp) (rate({calls}[10m])) > 0.1",
            "5m",
            "warning",
            "{{ $labels.mcp }}: {{ $value | humanizePercentage }} of the tool calls do not get an answer from the server",
            "What became of them is the label `outcome` of mcp_bridge_requests_total.",
        ),
        _alert(
            "McpSlow",
            'histogram_quantile(0.95, sum by (mcp, le) (rate(mcp_bridge_request_duration_seconds_bucket{method="tools/call"}[10m]))) > 30',
            "10m",
            "warning",
            "{{ $labels.mcp }}: one tool call in twenty takes more than {{ $value | humanizeDuration }}",
            "Either the server is slow, or too many calls wait for it: mcp_bridge_requests_in_flight.",
        ),
        _alert(
            "McpTurnsAway",
            'sum by (mcp) (rate(mcp_bridge_request_refusals_total{status="503"}[5m])) > 0',
            "5m",
            "warning",
            "{{ $labels.mcp }} turns clients away because it is full",
            "More sessions or calls than `max_children`, `max_sessions` or `max_requests` allow: see the stanza's `bridge`.",
        ),
        _alert(
            "McpToolsUnapproved",
            'sum by (mcp) (mcp_bridge_tools_unapproved{what!="gone"}) > 0',
            "0m",
            "critical",
            "{{ $labels.mcp }}: {{ $value }} tools are new, or say something else than what was approved",
            "Models read it. `mcp-bridge approve {{ $labels.mcp }}` shows the difference and asks; `pin: hide` in its stanza serves none before.",
        ),
        _alert(
            "McpWrongToken",
            'sum by (instance) (rate(mcp_bridge_gate_refusals_total{reason="token"}[5m])) > 0.1',
            "10m",
            "warning",
            "{{ $labels.instance }}: somebody keeps coming with a wrong token",
            "After a change of BRIDGE_TOKEN everything that has it must be started again: `mcp-bridge up`.",
        ),
        _alert(
            "GroupsAway",
            'up{job="groups"} == 0',
            "1m",
            "critical",
            "the bridge of the groups does not answer",
            "Nobody reaches an MCP by the address of a group; each is still at its own: `mcp-bridge logs groups` says why.",
        ),
        _alert(
            "EgressProxyAway",
            'up{job="egress"} == 0',
            "1m",
            "critical",
            "the egress proxy does not answer",
            "MCPs with a list of names (`egress: […]`) reach nothing without it: `mcp-bridge logs egress` says why.",
        ),
    ]
    return {"groups": [{"name": "mcp", "rules": rules}]}


def _alert(name: str, when: str, lasts: str, severity: str, summary: str, description: str) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": when,
        "for": lasts,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": description},
    }
