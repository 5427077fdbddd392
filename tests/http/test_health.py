"""/healthz, /readyz, /metrics, / and /status.json: what a probe, Prometheus and a person see."""

import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import Http, Sse, Ws, eventually, text
from wire import call, message

NEVER = ("--start-timeout", "60")


def test_healthz_is_about_the_process_alone(around):
    """Whatever becomes of the child."""
    for bridge in (around("echo"), around("never_answers", options=NEVER, ready=False)):
        assert bridge.get("/healthz").text == "ok\n"
        assert bridge.http.head("/healthz").status_code == 200


def test_readyz_says_ready(echo):
    assert echo.ready() == {"code": 200, "status": "ready", "state": "ready", "reason": "", "mcp": "echo"}


def test_readyz_says_why_not(around):
    word = around("never_answers", options=NEVER, ready=False).ready()

    assert word["code"] == 503
    assert word["status"] == "not ready"
    assert word["state"] == "handshaking"
    assert word["reason"]


def test_status_json_says_what_there_is_to_see(echo, connect):
    connect(Http, echo.url).call("echo", message="hi")
    status = echo.status()["mcps"]["echo"]

    assert status["server"] == "echo 1"
    assert status["pid"] == echo.children()[0]
    assert {"echo", "add", "slow"} <= set(status["tools"])
    assert status["calls"] >= 1
    assert sum(status["history"]["calls"]) >= 1 and status["history"]["p95"][-1] > 0


def test_the_log_is_told_from_where_one_knows_it(start, connect):
    bridge = start("hostile", options=["--name", "it"])
    client = connect(Http, bridge.url)
    first = bridge.get("/log.json").json()
    client.call("say", message="\x1b[2J password=hunter2 \u202e")
    more = eventually(lambda: bridge.get(f"/log.json?after={first['last']}").json()["events"])

    assert first["mcp"] == "it" and "child ready" in [event["event"] for event in first["events"]]
    assert [event["number"] for event in more] == list(range(first["last"] + 1, first["last"] + 1 + len(more)))
    assert more[-1]["facts"]["line"] == "\ufffd[2J password=[redacted] \ufffd"
    assert bridge.get("/log.json?after=x").json()["last"] == bridge.get("/log.json?after=99999999999999999999").json()["last"]


def test_troubles_stay_when_a_chatty_server_pushes_everything_else_out(start, connect):
    bridge = start("hostile", options=["--name", "it"])
    client = connect(Http, bridge.url)
    client.call("crash", message="x")
    eventually(lambda: bridge.status()["mcps"]["it"]["restarts"] == 1)
    for number in range(250):
        client.call("say", message=number)
    eventually(lambda: bridge.get("/log.json").json()["last"] > 250)

    assert len(bridge.get("/log.json").json()["events"]) == 200
    assert any("starting it again" in one["event"] and "exited" in one["why"] for one in bridge.status()["mcps"]["it"]["troubles"])


@pytest.mark.parametrize("path", ["/nowhere", "/healthz/", "/mcp/x", "/../etc/passwd", "/%2e%2e/", "/readyz/readyz"])
def test_elsewhere_there_is_nothing(echo, path):
    response = echo.get(path)

    assert response.status_code == 404
    assert "error" in response.json()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/status.json"])
def test_pages_are_only_read(echo, path):
    assert httpx.post(echo.url + path, trust_env=False).status_code == 405


def test_metrics_follow_the_conventions(echo):
    """What `promtool check metrics` looks for, and what issue 2 asks for."""
    response = echo.get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    counters = re.findall(r"^# TYPE (\S+) counter", response.text, re.M)

    assert response.headers["content-type"].startswith("text/plain")
    assert all(name.startswith("mcp_bridge_") for name in families)
    assert all(family.documentation for family in families.values())
    assert all(name.endswith("_total") for name in counters)
    assert {
        "mcp_bridge_" + name
        for name in (
            "requests",
            "request_duration_seconds",
            "requests_in_flight",
            "sessions",
            "streams",
            "child_state",
            "child_restarts",
            "start_time_seconds",
            "child_resident_memory_bytes",
            "child_cpu_seconds",
            "http_received_bytes",
            "http_sent_bytes",
            "child_stdin_bytes",
            "child_stdout_bytes",
            "child_noise_lines",
            "strays",
            "drops",
            "build_info",
        )
    } <= families.keys()


def test_metrics_come_as_openmetrics_to_who_asks(echo):
    response = echo.get("/metrics", accept="application/openmetrics-text; version=1.0.0")

    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


def test_requests_are_counted_by_method_tool_and_outcome(start, connect):
    bridge = start("echo", options=["--request-timeout", "0.4"])
    client = connect(Http, bridge.url)
    client.call("echo", message="x")
    client.call("fail")
    client.call("error")
    client.call("slow", seconds=9)
    client.call("no_such_tool_" + "x" * 100)
    client.request("x-made/up")

    def count(**labels):
        return bridge.metrics().value("mcp_bridge_requests_total", **labels)

    assert count(method="tools/call", tool="echo", outcome="ok") == 1
    assert count(tool="fail", outcome="tool_error") == 1
    assert count(tool="error", outcome="error") == 1
    assert count(tool="slow", outcome="timeout") == 1
    assert count(method="other", outcome="error") == 1
    assert "no_such_tool" not in bridge.get("/metrics").text
    assert "x-made" not in bridge.get("/metrics").text
    assert bridge.metrics().value("mcp_bridge_request_duration_seconds_count", method="tools/call") == 5
    assert bridge.metrics().value("mcp_bridge_request_duration_seconds_sum", method="tools/call") > 0.4


def test_no_client_and_no_child_can_make_labels_without_end(start, connect):
    bridge = start("asks")
    client = connect(Http, bridge.url, listen=False)
    for number in range(60):
        client.request(f"method/{number}")
        client.notify(f"notifications/{number}")
        client.call(f"tool_{number}")
        client.call("ask", method=f"ask/{number}")

    assert len(bridge.get("/metrics").text.splitlines()) < 400


def test_sessions_and_streams_are_shown_by_transport_and_revision(around, connect):
    bridge = around("late")
    for transport, name, streams in ((Http, "streamable-http", 1), (Sse, "sse", 1), (Ws, "websocket", 1)):
        with transport(bridge.url, version="2025-06-18"):
            assert eventually(lambda: bridge.metrics().value("mcp_bridge_streams")) == streams
            assert bridge.metrics().value("mcp_bridge_sessions", transport=name, revision="2025-06-18") == 1
        eventually(lambda: bridge.metrics().value("mcp_bridge_sessions") == 0)
        eventually(lambda: bridge.metrics().value("mcp_bridge_streams") == 0)


def test_the_childs_memory_and_time_are_shown(echo):
    metrics = echo.metrics()

    assert metrics.value("mcp_bridge_child_resident_memory_bytes") > 1 << 20
    assert metrics.value("mcp_bridge_child_cpu_seconds_total") > 0
    assert metrics.value("mcp_bridge_child_up") == 1
    assert metrics.value("mcp_bridge_child_state") == 1
    assert metrics.value("mcp_bridge_children") == 1
    assert metrics.value("mcp_bridge_child_start_time_seconds") > metrics.value("mcp_bridge_start_time_seconds") - 1


def test_noise_and_strays_are_counted_by_kind(around, connect):
    bridge = around("chatty")
    client = connect(Http, bridge.url)
    for _ in range(40):
        client.call("echo", message="x")
    metrics = bridge.metrics()

    assert metrics.value("mcp_bridge_child_noise_lines_total", kind="not_json_rpc") > 10
    assert metrics.value("mcp_bridge_strays_total", kind="answer") >= 1


def test_bytes_are_counted_each_way(around, connect):
    bridge = around("late")
    client = connect(Http, bridge.url, listen=False)
    before = bridge.metrics()
    assert len(text(client.post(call("huge", bytes=100_000)).json())) == 100_000
    client.post(message("notifications/x", {"y": "z" * 50_000}))
    after = bridge.metrics()
    grown = {
        name: after.value(f"mcp_bridge_{name}_total") - before.value(f"mcp_bridge_{name}_total")
        for name in ("http_received_bytes", "http_sent_bytes", "child_stdin_bytes", "child_stdout_bytes")
    }

    assert 50_000 < grown["http_received_bytes"] < 52_000
    assert 100_000 < grown["http_sent_bytes"] < 102_000
    assert 50_000 < grown["child_stdin_bytes"] < 52_000
    assert 100_000 < grown["child_stdout_bytes"] < 102_000
