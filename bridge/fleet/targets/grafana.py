"""compose/dashboards/: what Grafana shows of the fleet, and of one MCP. It is the profile `dashboards`: `grafana` is the MCP of that name.

Files that Grafana reads at its start (https://grafana.com/docs/grafana/latest/administration/provisioning/): a data source, a provider, and two
dashboards as JSON. Nobody logs in: who may use this machine may look, as with Prometheus, and nobody may change anything.
"""

import json
from collections.abc import Iterator
from typing import Any

from bridge.fleet.files import MADE_BY, File, generated_yaml

FOLDER = "compose/dashboards"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT = 24, 8  # Grafana's grid, and a row of ours
CALLS = 'mcp_bridge_requests_total{method="tools/call"%s}'
FAILED = ',outcome!~"ok|cancelled|hidden"'
SECONDS = 'mcp_bridge_request_duration_seconds_bucket{method="tools/call"%s}'

Panel = dict[str, Any]


def render() -> Iterator[File]:
    yield generated_yaml(f"{FOLDER}/datasource.yml", _source())
    yield generated_yaml(f"{FOLDER}/provider.yml", _provider())
    for name, dashboard in (("fleet", fleet()), ("mcp", mcp())):
        yield File(f"{FOLDER}/{name}.json", json.dumps(dashboard, indent=1) + "\n")


def fleet() -> dict[str, Any]:
    """All MCPs."""
    calls, failed = (f"sum by (mcp) (rate({CALLS % more}[$__rate_interval]))" for more in ("", FAILED))
    whole, wrong = (f"sum(rate({CALLS % more}[$__rate_interval]))" for more in ("", FAILED))
    panels = [
        _stat("MCPs that answer", 'sum(up{job="mcp"})', "short"),
        _stat("MCPs that do not", 'count(up{job="mcp", optional=""} == 0) or vector(0)', "short", bad=1),
        _stat("Alarms", 'count(ALERTS{alertstate="firing"}) or vector(0)', "short", bad=1),
        _stat("Calls a second", whole, "reqps"),
        _stat("Calls that failed", f"({wrong} or vector(0)) / {whole}", "percentunit", bad=0.05),
        _stat("95 % of calls take less than", f"histogram_quantile(0.95, sum by (le) (rate({SECONDS % ''}[$__rate_interval])))", "s"),
        _graph("Calls", calls, "{{mcp}}", "reqps"),
        _graph("Calls that failed, by what became of them", failed.replace("(mcp)", "(mcp, outcome)"), "{{mcp}}: {{outcome}}", "reqps"),
        _graph("95th percentile", f"histogram_quantile(0.95, sum by (mcp, le) (rate({SECONDS % ''}[$__rate_interval])))", "{{mcp}}", "s"),
        _graph("Calls under way", "sum by (mcp) (mcp_bridge_requests_in_flight)", "{{mcp}}", "short"),
        _graph("Servers that are ready", "min by (mcp) (mcp_bridge_child_up)", "{{mcp}}", "short"),
        _graph("Restarts in an hour", "sum by (mcp) (increase(mcp_bridge_child_restarts_total[1h]))", "{{mcp}}", "short"),
        _graph("Memory", "sum by (mcp) (mcp_bridge_child_resident_memory_bytes)", "{{mcp}}", "bytes"),
        _graph("Processors", "sum by (mcp) (rate(mcp_bridge_child_cpu_seconds_total[$__rate_interval]))", "{{mcp}}", "short"),
        _graph("Sessions", "sum by (mcp) (mcp_bridge_sessions)", "{{mcp}}", "short"),
        _graph(
            "Requests that were turned away",
            "sum by (mcp, status) (rate(mcp_bridge_request_refusals_total[$__rate_interval]))",
            "{{mcp}}: {{status}}",
            "reqps",
        ),
        _graph("Tools that nobody has approved", 'sum by (mcp) (mcp_bridge_tools_unapproved{what!="gone"})', "{{mcp}}", "short"),
    ]
    return _dashboard("mcp-fleet", "MCP: the fleet", panels)


def mcp() -> dict[str, Any]:
    """One MCP, which is chosen above."""
    its, of_it = '{mcp="$mcp"%s}', SECONDS % ', mcp="$mcp"'

    def quantile(part: float) -> str:
        return f"histogram_quantile({part}, sum by (le) (rate({of_it}[$__rate_interval])))"

    def rate(metric: str, by: str = "", more: str = "") -> str:
        return f"sum{f' by ({by})' if by else ''} (rate({metric}{its % more}[$__rate_interval]))"

    panels = [
        _stat("It answers", f'max(up{{job="mcp", mcp="$mcp"}}) * max(mcp_bridge_child_up{its % ""})', "bool_yes_no"),
        _stat("Its server runs for", f"time() - max(mcp_bridge_child_start_time_seconds{its % ''})", "s"),
        _stat("Restarts", f"sum(mcp_bridge_child_restarts_total{its % ''})", "short", bad=1),
        _stat("Calls a second", rate("mcp_bridge_requests_total", more=', method="tools/call"'), "reqps"),
        _stat("Sessions", f"sum(mcp_bridge_sessions{its % ''}) or vector(0)", "short"),
        _stat("Start", f"max(mcp_bridge_child_ready_seconds{its % ''})", "s"),
        _graph("Calls by tool", rate("mcp_bridge_requests_total", "tool", ', method="tools/call"'), "{{tool}}", "reqps"),
        _graph(
            "Calls by what became of them", rate("mcp_bridge_requests_total", "outcome", ', method="tools/call"'), "{{outcome}}", "reqps"
        ),
        _graph("Time of a call", quantile(0.5), "half of them", "s", (quantile(0.95), "95 %"), (quantile(0.99), "99 %")),
        _graph("Requests by method", rate("mcp_bridge_requests_total", "method"), "{{method}}", "reqps"),
        _graph(
            "Under way",
            f"sum(mcp_bridge_requests_in_flight{its % ''})",
            "requests",
            "short",
            (f"sum(mcp_bridge_streams{its % ''})", "streams"),
        ),
        _graph("Sessions", f"sum by (transport, revision) (mcp_bridge_sessions{its % ''})", "{{transport}} {{revision}}", "short"),
        _graph("Processes", f"sum by (role, state) (mcp_bridge_children{its % ''})", "{{role}}: {{state}}", "short"),
        _graph(
            "Processes that ended, in an hour",
            f"sum by (cause) (increase(mcp_bridge_child_exits_total{its % ''}[1h]))",
            "{{cause}}",
            "short",
        ),
        _graph(
            "Memory",
            f"sum(mcp_bridge_child_resident_memory_bytes{its % ''})",
            "processes",
            "bytes",
            (f"sum(mcp_bridge_memory_held_bytes{its % ''})", "what waits, is read, sent or remembered"),
        ),
        _graph("Processors", rate("mcp_bridge_child_cpu_seconds_total"), "processes", "short"),
        _graph(
            "Bytes",
            rate("mcp_bridge_http_received_bytes_total"),
            "from clients",
            "Bps",
            (rate("mcp_bridge_http_sent_bytes_total"), "to clients"),
        ),
        _graph(
            "What its server writes beside messages",
            rate("mcp_bridge_child_stderr_lines_total"),
            "lines of stderr",
            "short",
            (rate("mcp_bridge_child_noise_lines_total", "kind"), "on stdout: {{kind}}"),
        ),
        _graph("Requests that were turned away", rate("mcp_bridge_request_refusals_total", "status"), "{{status}}", "reqps"),
    ]
    choice = {
        "name": "mcp",
        "label": "MCP",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": "label_values(mcp_bridge_child_up, mcp)", "refId": "mcp"},
        "refresh": 2,  # also when the time is changed
        "sort": 1,
    }
    return _dashboard("mcp-one", "MCP: one server", panels, choice)


def queries(dashboard: dict[str, Any]) -> list[tuple[str, str]]:
    """Each query of a dashboard, with its panel's title."""
    return [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"]]


def _dashboard(uid: str, title: str, panels: list[Panel], *choices: dict[str, Any]) -> dict[str, Any]:
    x = y = 0
    for number, panel in enumerate(panels, 1):
        width, height = (4, 4) if panel["type"] == "stat" else (WIDTH // 2, HEIGHT)
        if x + width > WIDTH:
            x, y = 0, y + panels[number - 2]["gridPos"]["h"]
        panel["id"], panel["gridPos"] = number, {"x": x, "y": y, "w": width, "h": height}
        x += width
    return {
        "description": MADE_BY,
        "uid": uid,
        "title": title,
        "tags": ["mcp"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": list(choices)},
        "links": [{"type": "dashboards", "tags": ["mcp"], "title": "MCP", "asDropdown": True, "includeVars": True, "keepTime": True}],
        "panels": panels,
    }


def _stat(title: str, expr: str, unit: str, bad: float | None = None) -> Panel:
    """One number; from `bad` on it is red."""
    steps = [{"color": "green", "value": None}, *([{"color": "red", "value": bad}] if bad is not None else [])]
    return _panel("stat", title, unit, [(expr, "")], {"thresholds": {"mode": "absolute", "steps": steps}})


def _graph(title: str, expr: str, legend: str, unit: str, *more: tuple[str, str]) -> Panel:
    return _panel("timeseries", title, unit, [(expr, legend), *more], {"min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}})


def _panel(kind: str, title: str, unit: str, wanted: list[tuple[str, str]], defaults: dict[str, Any]) -> Panel:
    return {
        "type": kind,
        "title": title,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, **defaults}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": expr,
                "legendFormat": legend,
                "instant": kind == "stat",
                "range": kind != "stat",
            }
            for number, (expr, legend) in enumerate(wanted)
        ],
    }


def _source() -> dict[str, Any]:
    prometheus = {"name": "Prometheus", **SOURCE, "access": "proxy", "url": "http://prometheus:9090", "isDefault": True, "editable": False}
    return {"apiVersion": 1, "datasources": [prometheus | {"jsonData": {"timeInterval": "5s", "httpMethod": "POST"}}]}


def _provider() -> dict[str, Any]:
    files = {"path": "/etc/grafana/dashboards"}
    return {
        "apiVersion": 1,
        "providers": [{"name": "mcp", "type": "file", "disableDeletion": True, "allowUiUpdates": False, "options": files}],
    }
