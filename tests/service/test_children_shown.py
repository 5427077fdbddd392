"""What /status.json and /metrics say of the children."""

import json

import psutil
from bent import processes, shown
from support import Http, eventually, text


def test_every_child_is_shown_with_its_state_pid_era_age_calls_and_memory(start, connect):
    bridge = start("stateful", options=["--isolation", "session", "--spares", "1"])
    client = connect(Http, bridge.url)
    for _ in range(3):
        told = json.loads(text(client.call("next")))
    eventually(lambda: len(processes(bridge, "", "ready")) == 3)
    [own], [spare], [shared] = (processes(bridge, role) for role in ("own", "spare", "shared"))

    assert own["pid"] == told["pid"]
    assert (own["calls"], spare["calls"], shared["calls"]) == (3, 0, 0)
    assert (own["sessions"], spare["sessions"], shared["sessions"]) == (1, 0, 0)
    assert {child["pid"] for child in (own, spare, shared)} == set(bridge.children())
    for child in (own, spare, shared):
        assert child["era"] == "legacy"
        assert child["state"] == "ready"
        assert 0 <= child["age"] < 60
        assert abs(child["memory"] - psutil.Process(child["pid"]).memory_info().rss) < 5_000_000
    mcp = shown(bridge)
    assert [mcp[name] for name in ("spares", "waits", "wakes", "recycled", "children")] == [1, 0, 0, 0, 3]


def test_metrics_count_children_by_role_and_state(start, connect):
    bridge = start("echo", options=["--isolation", "session", "--spares", "2"])
    connect(Http, bridge.url)
    eventually(lambda: bridge.metrics().value("mcp_bridge_children", role="spare", state="ready") == 2)
    metrics = bridge.metrics()

    assert metrics.value("mcp_bridge_children", role="shared", state="ready") == 1
    assert metrics.value("mcp_bridge_children", role="own", state="ready") == 1
    assert metrics.value("mcp_bridge_children") == 4
    assert metrics.value("mcp_bridge_child_starts_total") == 4
    rss = sum(psutil.Process(pid).memory_info().rss for pid in bridge.children())
    assert abs(metrics.value("mcp_bridge_child_resident_memory_bytes") - rss) < 10_000_000


def test_a_sleeping_child_is_shown_without_a_process(start, tmp_path):
    bridge = start("echo", options=["--lazy", "--cache-dir", tmp_path])
    [child] = processes(bridge)

    assert child | {"state": "asleep", "pid": None, "age": None, "memory": 0} == child
    metrics = bridge.metrics()
    assert metrics.value("mcp_bridge_child_state", state="asleep") == 1
    assert metrics.value("mcp_bridge_children", role="shared", state="asleep") == 1
    assert metrics.value("mcp_bridge_child_resident_memory_bytes") == 0
