"""Prometheus' own judge of metrics on /metrics, after traffic of every kind: names, help texts, types, units."""

import subprocess

from environments import promtool
from support import Http, Sse, Ws, eventually, text

AWKWARD = {"name": 'quo"ted\\ and \n broken', "version": "1"}  # what a client says of itself may become a label


def test_promtool_finds_nothing_to_say_about_the_metrics(start, connect):
    bridge = start("dies")
    for kind in (Http, Sse, Ws):
        client = connect(kind, bridge.url, info=AWKWARD)
        client.request("tools/list")
        client.call("echo", message="\u00e4")
        client.call("fail")
        client.call("error")
        client.call('no such "tool"')
        client.request('x-vendor/\u00e4 "quoted"')
        client.call("progress", steps=2)
    refused = connect(Http, bridge.url).post({"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"mcp-session-id": "none"})
    client.call("die")
    eventually(lambda: text(client.call("echo", message="the next child")))

    exposition = bridge.get("/metrics").text

    assert refused.status_code == 404
    assert bridge.metrics().value("mcp_bridge_requests_total", outcome="tool_error") == 3
    assert judgement(exposition) == ("", 0)


def test_promtool_does_judge():
    """It would say nothing to what it cannot find, either."""
    words, code = judgement("# TYPE some_milliseconds_count gauge\nsome_milliseconds_count 1\n")

    assert "no help text" in words
    assert code != 0


def judgement(exposition: str) -> tuple[str, int]:
    command = [promtool(), "check", "metrics"]
    checked = subprocess.run(command, input=exposition, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return checked.stdout, checked.returncode
