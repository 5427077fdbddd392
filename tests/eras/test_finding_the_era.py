"""Which era a child speaks is found out on a process of its own, and remembered. docs/protocol.md, 2.4."""

import json
import os
import time
from collections import defaultdict
from pathlib import Path

import pytest
from support import Bridge, Http, Modern, eventually, text, zoo

PROBES = ["DIE", "NONSENSE", "STRANGER", "EMPTY", "STRING", "NULL", "FLOOD", "-32601", "-32602", "-32000"]
SILENT = {"HANG": 6, "WEDGE": 3, "GARBAGE": 3, "HALF": 3}  # and --start-timeout: so long it is waited for


class Journal:
    """What each process of a child was told: {pid: [message…]}, in the order of the processes' first words."""

    def __init__(self, path: Path):
        self.path = path
        self.options = ("--env", f"ZOO_JOURNAL={path}")

    def read(self) -> dict[int, list[dict]]:
        told = defaultdict(list)
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            pid, _, message = line.partition(" ")
            told[int(pid)].append(json.loads(message))
        return dict(told)

    def methods(self) -> dict[int, list[str]]:
        return {pid: [message.get("method", "answer") for message in messages] for pid, messages in self.read().items()}

    def times(self, method: str) -> int:
        return sum(methods.count(method) for methods in self.methods().values())


@pytest.fixture
def journal(tmp_path) -> Journal:
    return Journal(tmp_path / "journal")


def era(bridge) -> str:
    [mcp] = bridge.status()["mcps"].values()
    return mcp["child_era"]


@pytest.mark.parametrize("how", PROBES)
def test_a_child_that_takes_the_question_badly_is_served_as_one_of_the_old_era(start, connect, journal, how):
    """Edge case 52. The client never notices, and the process that was asked is not the one that serves."""
    bridge = start("probed", "--probe", how, options=journal.options)
    began = time.monotonic()
    client = connect(Modern, bridge.url, timeout=8)

    assert time.monotonic() - began < 6  # a client may give up after 5 s, and one that got an error never asks again
    assert text(client.call("echo", message="hi")) == "hi"
    assert era(bridge) in ("legacy", "unknown")
    serving = int(text(client.call("pid")))
    assert "server/discover" not in journal.methods()[serving]
    assert not bridge.logged("Traceback")


def test_nobody_pays_for_it_who_has_no_client_of_the_new_era(start, connect, transport, journal):
    bridge = start("echo", options=journal.options)
    connect(transport, bridge.url).call("echo", message="hi")

    assert len(journal.read()) == 1
    assert journal.times("server/discover") == 0


def test_a_child_that_says_nothing_costs_its_clients_one_wait(start, connect, tmp_path):
    """Edge case 52, for all of them at once. The process that was asked is stopped in the end."""
    bridges = [
        start("probed", "--probe", how, options=("--start-timeout", limit, *Journal(tmp_path / how).options))
        for how, limit in SILENT.items()
    ]
    began = time.monotonic()
    clients = [Modern(bridge.url) for bridge in bridges]
    found = [client.begin("server/discover") for client in clients]
    took = [(future.result(20)["result"], time.monotonic() - began)[1] for future in found]
    again = time.monotonic()
    serving = [[int(text(client.call("pid"))) for _ in range(3)][-1] for client in clients]

    assert max(took) < 6
    assert time.monotonic() - again < 5
    for bridge, how, pid in zip(bridges, SILENT, serving, strict=True):
        assert "server/discover" not in Journal(tmp_path / how).methods()[pid]
        assert not bridge.logged("Traceback")
    for bridge, pid in zip(bridges, serving, strict=True):
        eventually(lambda bridge=bridge, pid=pid: bridge.children() == [pid], 10)


def test_a_child_of_the_old_era_is_asked_once(start, connect, journal):
    bridge = start("echo", options=journal.options)
    for _ in range(3):
        connect(Modern, bridge.url).call("echo", message="hi")

    assert journal.times("server/discover") == 1
    assert era(bridge) == "legacy"


def test_many_clients_that_come_at_once_ask_once(start, connect, journal):
    bridge = start("echo", options=journal.options)
    clients = [Modern(bridge.url) for _ in range(8)]
    futures = [client.begin("tools/list") for client in clients]
    for future in futures:
        assert future.result(20)["result"]["tools"]

    assert journal.times("server/discover") == 1


def test_a_child_of_the_new_era_alone_serves_everybody(start, connect, transport, journal):
    """Edge case 54: an `initialize` that it refuses is proof of its era."""
    bridge = start("modern", options=journal.options)
    old = connect(transport, bridge.url)

    assert old.version == "2025-11-25"
    assert text(old.call("echo", message="old")) == "old"
    assert text(connect(Modern, bridge.url).call("echo", message="new")) == "new"
    assert era(bridge) == "modern"
    serving = int(text(old.call("pid")))
    assert "initialize" not in journal.methods()[serving]
    assert len(bridge.children()) == 1


@pytest.mark.parametrize("code", [-32601, -32600, -32602])
def test_a_child_of_the_new_era_may_refuse_initialize_in_any_words(start, connect, code):
    bridge = start("modern", "--refuses", code, ready=False)
    client = connect(Http, bridge.url)

    assert text(client.call("echo", message="hi")) == "hi"


@pytest.mark.parametrize("first", [Http, Modern])
def test_a_child_that_locks_itself_serves_each_era_by_a_process_of_its_own(start, connect, first, journal):
    """The Python SDK 2.x: one process cannot speak both."""
    bridge = start("modern", "--locked", options=journal.options)
    clients = [connect(kind, bridge.url) for kind in (first, {Http: Modern, Modern: Http}[first])]
    pids = {type(client): text(client.call("pid")) for client in clients}

    assert pids[Http] != pids[Modern]
    assert era(bridge) == "dual"
    for pid, methods in journal.methods().items():
        assert not {"initialize", "server/discover"} <= set(methods), (pid, methods)


@pytest.mark.parametrize("kind", ["--dual", "--locked"])
def test_a_child_of_both_eras_is_used_in_the_one_that_suits_the_client(start, connect, journal, kind):
    bridge = start("modern", kind, options=journal.options)
    old, new = connect(Http, bridge.url), connect(Modern, bridge.url)
    old.call("echo", message="old")
    new.call("echo", message="new")
    words = {
        m["params"]["arguments"]["message"]: "_meta" in m["params"]
        for told in journal.read().values()
        for m in told
        if m.get("method") == "tools/call"
    }

    assert words == {"old": False, "new": True}


def test_a_child_that_answers_late_gets_no_handshake_in_the_same_process(start, connect, journal):
    """Edge case 53: the client times out, and a late DiscoverResult must not lock a process that was initialized."""
    bridge = start("modern", "--locked", "--after", 1.5, options=journal.options, ready=False)
    client = connect(Modern, bridge.url, timeout=10)

    assert text(client.call("echo", message="hi")) == "hi"
    eventually(lambda: era(bridge) in ("dual", "modern"), 8)
    for methods in journal.methods().values():
        assert not {"initialize", "server/discover"} <= set(methods)


def test_a_child_that_starts_slowly_is_not_taken_for_one_that_says_nothing(start, connect, journal):
    """Who looks around is answered in time; a call waits for the process that suits its client, as it would for the other one."""
    bridge = start("modern", "--locked", "--after", 6, options=journal.options, ready=False)
    client = Modern(bridge.url, timeout=20)
    found = client.begin("server/discover")

    assert text(client.call("echo", message="hi")) == "hi"
    assert found.result(1)["error"]["message"].startswith("the server is still starting")
    assert era(bridge) == "dual"
    assert ["_meta" in m["params"] for told in journal.read().values() for m in told if m.get("method") == "tools/call"] == [True]


@pytest.mark.parametrize("name, pinned", [("echo", "legacy"), ("modern", "modern")])
def test_a_pinned_era_is_not_asked_for(start, connect, journal, name, pinned):
    bridge = start(name, options=("--child-era", pinned, *journal.options))

    for kind in (Http, Modern):
        assert text(connect(kind, bridge.url).call("echo", message="hi")) == "hi"
    assert era(bridge) == pinned
    assert journal.times({"legacy": "server/discover", "modern": "initialize"}[pinned]) == 0


def test_a_dual_child_that_is_pinned_to_the_old_era_speaks_only_that(start, connect, journal):
    bridge = start("modern", "--dual", options=("--child-era", "legacy", *journal.options))
    connect(Modern, bridge.url).call("echo", message="hi")

    assert all("_meta" not in m.get("params", {}) for told in journal.read().values() for m in told)


def test_the_verdict_is_remembered_for_the_next_bridge(connect, tmp_path, journal):
    """By command, environment and version."""
    options = ("--cache-dir", tmp_path / "cache", *journal.options)
    for _ in range(2):
        with Bridge(zoo("echo"), *options) as bridge, Modern(bridge.url) as client:
            client.call("echo", message="hi")
    with Bridge(zoo("echo", "--another"), *options) as bridge, Modern(bridge.url) as client:
        client.call("echo", message="hi")

    assert journal.times("server/discover") == 2


def test_a_remembered_verdict_that_is_no_longer_true_harms_nobody(connect, tmp_path, journal):
    """The server was replaced under the same command; its clients must not pay for it."""
    script = tmp_path / "server.py"
    for name, other in (("echo", "modern"), ("modern", "echo")):
        script.unlink(missing_ok=True)
        command = [*zoo(name)[:1], str(script)]
        cache = tmp_path / f"cache-{name}"
        for child in (name, other):
            script.write_text(f"import os, sys; os.execv(sys.executable, [sys.executable, {zoo(child)[1]!r}])")
            os.utime(script, (1, 1))  # as good as unchanged
            with Bridge(command, "--cache-dir", cache, ready=False) as bridge:
                for kind in (Modern, Http):
                    with kind(bridge.url, timeout=8) as client:
                        assert text(client.call("echo", message=child)) == child


def test_a_session_of_an_earlier_bridge_is_served_at_its_first_call(tmp_path):
    """The next bridge, perhaps another replica, takes the server for a legacy one until it refuses the handshake."""
    key = tmp_path / "key"
    key.write_text("k" * 32)
    clients = []
    for cache in "ab":
        with Bridge(
            zoo("modern", "--refuses", -32601), "--session-key-file", key, "--cache-dir", tmp_path / cache, ready=cache == "a"
        ) as bridge:
            client = Http(bridge.url, listen=False)
            if clients:
                client.session, client.version = clients[0].session, clients[0].version
            else:
                client.open()
            clients.append(client)

            assert text(client.call("echo", message="hi")) == "hi"


def test_a_lazy_child_is_asked_when_the_first_client_comes(start, connect, journal):
    bridge = start("modern", options=("--lazy", *journal.options), ready=False)
    assert journal.read() == {}
    client = connect(Modern, bridge.url)

    assert text(client.call("echo", message="hi")) == "hi"


def test_readyz_and_initialize_do_not_wait_for_a_child_that_hangs_at_the_question(start, connect, journal):
    bridge = start("probed", "--probe", "HANG", options=("--start-timeout", 3, *journal.options))
    new = Modern(bridge.url)
    asked = new.begin("tools/list")
    eventually(lambda: len(journal.read()) == 2)
    began = time.monotonic()
    old = connect(Http, bridge.url, listen=False)
    old.call("echo", message="hi")

    assert time.monotonic() - began < 2.9
    assert bridge.ready()["code"] == 200
    assert asked.result(20)["result"]["tools"]


def test_an_sdk_2_client_that_asks_first_is_answered_by_every_child(start, connect):
    """server/discover is the bridge's to answer: facts of the child, in the words of the revision."""
    for child in (
        ["echo", "--instructions", "be kind"],
        ["modern", "--instructions", "be kind"],
        ["modern", "--locked", "--instructions", "be kind"],
    ):
        found = connect(Modern, start(*child).url).initialized

        assert found["supportedVersions"] == ["2026-07-28"]
        assert found["instructions"] == "be kind"
        assert found["resultType"] == "complete"
        assert found["cacheScope"] in ("public", "private") and found["ttlMs"] >= 0
        assert found["capabilities"]["resources"] == {"subscribe": True, "listChanged": True}
        assert "tasks" not in found["capabilities"]
        assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == child[0]
