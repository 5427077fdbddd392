"""compose/prometheus.yml and the alert rules, judged by Prometheus' own tool."""

import re
import subprocess

import yaml
from environments import promtool
from kinds import FLEET

from bridge.fleet.targets import prometheus
from bridge.metrics import _families

JOB = prometheus.config(FLEET)["scrape_configs"][0]


def test_what_always_starts_is_missed_when_it_is_away():
    assert {"targets": ["clock:8000"], "labels": {"mcp": "clock"}} in JOB["static_configs"]


def test_nobody_is_woken_by_what_may_not_be_started():
    """The door answers to all names; what has a profile may well be away."""
    assert [one["labels"]["mcp"] for one in JOB["static_configs"] if one["labels"].get("optional")] == ["git-host", "query", "script"]


def test_all_are_fixed_targets_where_all_are_started():
    job = prometheus.config(FLEET, all_start=True)["scrape_configs"][0]

    assert len(job["static_configs"]) == len(FLEET.sidecars)
    assert not any("optional" in one["labels"] for one in job["static_configs"])


def test_the_token_is_a_file():
    assert JOB["authorization"] == {"credentials_file": "/run/keys/PROMETHEUS_TOKEN"}


def test_alerts_are_about_metrics_that_the_bridge_has():
    used = {name for rule in prometheus.alerts()["groups"][0]["rules"] for name in re.findall(r"mcp_bridge_\w+", rule["expr"])}
    known = {family.made.name for family in _families()} | {"mcp_bridge_gate_refusals"}

    assert used and {re.sub(r"_(total|bucket)$", "", name) for name in used} <= known


def test_promtool_accepts_both(tmp_path):
    for file in prometheus.render(FLEET):
        (tmp_path / file.path.removeprefix("compose/")).write_text(file.text)

    judged(tmp_path, "check", "config", "--syntax-only", "prometheus.yml")
    judged(tmp_path, "check", "rules", "--lint-fatal", "alerts.yml")


CALLS = 'mcp_bridge_requests_total{mcp="time",method="tools/call",tool="t",outcome="%s"}'
SLOWEST = 'mcp_bridge_request_duration_seconds_bucket{mcp="time",method="tools/call",le="%s"}'
CALM = {
    'up{job="mcp",mcp="absent",optional="yes"}': "0x120",
    CALLS % "ok": "0+1x120",
    'up{job="mcp",mcp="good"}': "1x120",
    SLOWEST % "60.0": "0x120",
    'mcp_bridge_tools_unapproved{mcp="good",what="gone"}': "1x120",
}
TROUBLE = {
    'up{job="mcp",mcp="time"}': "1 0x120",
    'mcp_bridge_child_state{mcp="time",state="fatal"}': "0 1x120",
    'mcp_bridge_child_restarts_total{mcp="time"}': "0+0.2x120",
    CALLS % "lost": "0+1x120",
    'mcp_bridge_request_refusals_total{mcp="time",status="503"}': "0+1x120",
    'mcp_bridge_gate_refusals_total{instance="time:8000",reason="token"}': "0+10x120",
    SLOWEST % "+Inf": "0+10x120",
    'mcp_bridge_tools_unapproved{mcp="time",what="new"}': "0 1x120",
    'up{job="egress"}': "0x120",
    'up{job="groups"}': "0x120",
}


def test_no_alert_fires_while_all_is_well(tmp_path):
    assert fired(tmp_path, CALM) == set()


def test_each_alert_fires_when_it_should(tmp_path):
    assert fired(tmp_path, CALM | TROUBLE) == set(NAMES)


NAMES = [rule["alert"] for rule in prometheus.alerts()["groups"][0]["rules"]]


def fired(folder, series: dict[str, str]) -> set[str]:
    """The alerts that fire after half an hour of Prometheus' own time, in which a step is 15 s. Nothing is waited for."""
    given = [{"series": name, "values": values} for name, values in series.items()]
    expected = [{"eval_time": "29m", "alertname": name, "exp_alerts": []} for name in NAMES]  # what fires is a complaint
    (folder / "alerts.yml").write_text(yaml.safe_dump(prometheus.alerts()))
    (folder / "test.yml").write_text(
        yaml.safe_dump({"rule_files": ["alerts.yml"], "tests": [{"interval": "15s", "input_series": given, "alert_rule_test": expected}]})
    )
    ran = subprocess.run([promtool(), "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, check=False)
    complaints = set(re.findall(r'alertname="(\w+)"', ran.stdout + ran.stderr)) - {""}

    assert (ran.returncode == 0) == (not complaints), ran.stdout + ran.stderr
    return complaints


def judged(folder, *words) -> None:
    ran = subprocess.run([promtool(), *words], cwd=folder, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
