"""The log: one line a fact, for people or machines, with no payload and no secret in it."""

import json
import re

import pytest
from support import Http, eventually, text
from wire import call, message

HUMAN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warning|error) +\S.*")


@pytest.mark.parametrize("format", ["human", "json"])
def test_every_line_is_a_whole_fact(start, connect, format):
    bridge = start("dies", options=["--log-format", format, "--log-level", "debug", "--backoff-initial", "0.05"])
    client = connect(Http, bridge.url)
    client.call("echo", message="PAYLOAD")
    client.call("die")
    client.call("echo", message="PAYLOAD")
    client.post("not JSON: PAYLOAD")
    eventually(lambda: len(bridge.logged("child ready")) == 2)

    for line in list(bridge.log):
        if format == "json":
            fact = json.loads(line)
            assert {"time", "level", "event"} <= fact.keys()
        else:
            assert HUMAN.fullmatch(line), line
    assert not bridge.logged("PAYLOAD")


def test_a_failed_call_is_told_with_what_binds_it(start, connect):
    bridge = start("dies", options=["--log-format", "json", "--backoff-initial", "0.05"])
    client = connect(Http, bridge.url, listen=False)
    (pid,) = bridge.children()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    client.post(call("die", code=7), {"traceparent": trace})
    failed = json.loads(eventually(lambda: bridge.logged("call failed"))[0])
    died = json.loads(eventually(lambda: bridge.logged("starting it again"))[0])

    assert failed["tool"] == "die"
    assert failed["session"] and failed["exchange"] and failed["seconds"] >= 0
    assert failed["trace"] == trace
    assert "code 7" in failed["why"]
    assert "dying with code 7" in failed["why"]
    assert died["pid"] == pid


def test_debug_shows_each_call_and_info_none(around, connect):
    loud, quiet = around("echo", options=("--log-level", "debug")), around("echo")
    for bridge in (loud, quiet):
        connect(Http, bridge.url).call("add", a=1, b=2)

    assert eventually(lambda: [line for line in loud.logged("call") if "tool=add" in line and "outcome=ok" in line])
    assert not quiet.logged("tool=add")


def test_no_client_can_forge_a_line_or_fill_the_log(around, connect):
    bridge = around("echo", options=("--request-timeout", "0.3"))
    client = connect(Http, bridge.url, listen=False)
    forged = "x\n2026-01-01T00:00:00.000Z error    forged\u2028\x1b[31m\r"
    client.post(message(forged, {}, 1) | {"method": "logging/setLevel", "params": {"level": forged}})
    answers = [client.begin(method) for method in (forged, "m" * 200_000)]
    client.begin("tools/call", {"name": "slow", "arguments": {"seconds": 9}, "_meta": {"n": forged}}).result(20)
    client.post(call("slow", id=77, seconds=9), {"traceparent": "t" * 5000})
    for answer in answers:
        answer.result(20)

    assert not [line for line in bridge.log if line.startswith("2026-01-01")]
    assert not [line for line in bridge.log if "\x1b" in line or "\r" in line]
    assert max(map(len, bridge.log)) < 2000


def test_a_childs_stderr_is_logged_line_by_line_and_cut(start, connect):
    bridge = start("stderr_flood", "--start", 200_000, "--lines", 2000)
    client = connect(Http, bridge.url)
    client.call("echo", message="x")
    eventually(lambda: bridge.logged("not shown"))
    told = bridge.logged("stderr")

    assert bridge.metrics().value("mcp_bridge_child_stderr_lines_total") >= 2000
    assert len(told) < 1000
    assert max(map(len, bridge.log)) < 1500
    assert not [line for line in bridge.log if "\x1b" in line]
    assert text(client.call("echo", message="on")) == "on"


def test_traces_pass_to_the_log_only(echo, connect):
    client = connect(Http, echo.url, listen=False)
    client.post(call("echo", message="x"), {"traceparent": "00-trace-secret"})

    assert "trace-secret" not in text(client.call("received"))
