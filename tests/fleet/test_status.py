"""`mcp-bridge status`: a line for each MCP, of a bridge by its URL."""

import json
import re
import signal
import subprocess
import sys

import pytest
from support import Bridge, Http, eventually, zoo

from bridge.cli import main
from bridge.counts import Histogram
from bridge.fleet.engines.readiness import of_one


@pytest.fixture
def bridge(tmp_path):
    entries = {name: {"command": zoo(name)[0], "args": zoo(name)[1:]} for name in ("echo", "dies_at_start")}
    entries["dies_at_start"]["max_restarts"] = 0
    (tmp_path / "mcps.json").write_text(json.dumps({"mcpServers": entries}))
    with Bridge(None, "--config", tmp_path / "mcps.json", ready=False) as bridge:
        eventually(lambda: bridge.status()["mcps"]["dies_at_start"]["state"] == "fatal")
        yield bridge


def test_each_mcp_is_a_line(bridge, capsys):
    with Http(f"{bridge.url}/echo") as client:
        for _ in range(3):
            client.call("echo", message="hi")
        client.call("error")
    assert main(["status", "--url", bridge.url]) == 1
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}

    assert re.fullmatch(r"echo +ready +4 +1 +[\d.]+ ms +\d+ MiB +\d\d:\d\d:\d\d .+", lines["echo"]), lines["echo"]
    assert re.match(r"dies_at_start +fatal +0 +0 .*\d\d:\d\d:\d\d .+", lines["dies_at_start"]), lines["dies_at_start"]
    assert main(["status", "echo", "--url", f"{bridge.url}/", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["echo"]
    assert main(["status", "nobody", "--url", bridge.url]) == 2
    assert "there are echo, dies_at_start" in capsys.readouterr().err
    assert main(["status", "--url", "http://127.0.0.1:1"]) == 2
    assert "is a bridge up there?" in capsys.readouterr().err


def test_watching_goes_on_until_it_is_interrupted_and_through_a_restart(bridge):
    watching = subprocess.Popen(
        [sys.executable, "-m", "bridge", "status", "--watch", "--url", bridge.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # wherever these tests run
    )
    try:
        assert watching.stdout.readline().startswith("name")
        seen = [watching.stdout.readline() for _ in range(2)]
        bridge.stop()
        assert "is a bridge up there?" in watching.stderr.readline()
        while not re.match("echo +down", line := watching.stdout.readline()):  # not what it was before
            assert line
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0
    finally:
        watching.kill()
        watching.wait(5)

    assert any(line.startswith("echo") for line in seen)


def test_a_percentile_is_estimated_as_prometheus_does_it():
    histogram = Histogram()
    assert histogram.quantile(0.95) == 0.0
    for _ in range(20):
        histogram.add(0.02)

    assert histogram.quantile(0.5) == pytest.approx(0.0175)
    histogram.add(1000)
    assert histogram.quantile(1.0) == 300.0


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_bridge_of_one_and_a_bridge_of_many_say_the_same_of_an_mcp(tmp_path, is_alone):
    (tmp_path / "mcps.json").write_text(json.dumps({"mcpServers": {"echo": {"command": zoo("echo")[0], "args": zoo("echo")[1:]}}}))
    with Bridge(zoo("echo"), "--name", "echo") if is_alone else Bridge(None, "--config", tmp_path / "mcps.json") as bridge:
        said = bridge.get("/status.json" if is_alone else "/echo/status.json").json()

        assert of_one("echo", said)["state"] == "ready"
        assert of_one("another", said) == {} or not is_alone
