"""A shared child that is replaced in time: after so many calls, at an age, when it takes too much memory."""

import threading
import time

import pytest
from bent import bent, is_gone, pids, processes, shown
from support import Bridge, Client, Http, Modern, Sse, Ws, eventually, text, zoo


class Busy:
    """A client that calls without pause, and what was wrong with its answers."""

    def __init__(self, client: Client, number: int):
        self.client, self.number, self.done, self.wrong = client, number, 0, []
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self) -> None:
        while not self.is_over.is_set():
            said = f"{self.number}:{self.done}"
            tool = ("echo", {"message": said}) if self.done % 7 else ("slow", {"seconds": 0.05})
            try:
                answer = text(self.client.call(tool[0], **tool[1]))
                if answer not in (said, "slept 0.05"):
                    self.wrong.append(answer)
            except Exception as problem:  # told by the test
                self.wrong.append(repr(problem))
            self.done += 1

    def stop(self) -> None:
        self.is_over.set()
        self.thread.join(5)


def under_load(bridge: Bridge, connect, until, seconds: float = 10) -> list[Busy]:
    """Six clients over three transports call until the condition holds."""
    workers = [Busy(connect(kind, bridge.url), number) for number, kind in enumerate((Http, Http, Sse, Sse, Ws, Ws))]
    eventually(until, seconds)
    for worker in workers:
        worker.stop()
    return workers


def recycled(bridge: Bridge) -> int:
    return shown(bridge)["recycled"]


@pytest.mark.parametrize("options", [["--recycle-calls", "50"], ["--recycle-age", "0.5"]])
def test_a_child_is_replaced_under_load_without_one_failed_or_wrong_call(start, connect, options):
    bridge = start("echo", options=options)
    first = pids(bridge)[0]
    workers = under_load(bridge, connect, lambda: recycled(bridge) >= 3)

    assert [worker.wrong for worker in workers] == [[]] * 6
    assert all(worker.done for worker in workers)
    assert is_gone(first)
    metrics = bridge.metrics()
    assert metrics.value("mcp_bridge_child_recycles_total") >= 3
    assert metrics.value("mcp_bridge_child_restarts_total") == 0
    assert metrics.value("mcp_bridge_requests_in_flight") == 0
    assert not bridge.logged("bug in the bridge")


def test_one_that_takes_too_much_memory_is_replaced(tmp_path, connect):
    command = bent(
        tmp_path / "grows.py",
        """
hoard = []
@child.tool
def grow():
    hoard.append(b"x" * 150_000_000)
    return str(os.getpid())
""",
    )
    with Bridge(command, "--recycle-memory", "100m") as bridge:
        client = connect(Http, bridge.url)
        pid = text(client.call("grow"))
        eventually(lambda: is_gone(int(pid)), 8)

        assert recycled(bridge) == 1
        assert text(client.call("pid")) != pid


def test_with_one_in_flight_there_are_never_two_at_once(tmp_path, connect):
    """Two of some servers on one file lose what was written (children/loses_data.py)."""
    lives = tmp_path / "lives"
    command = bent(
        tmp_path / "alone.py",
        f"""
lives, tally = Path({str(lives)!r}), Path({str(tmp_path / "tally")!r})
def note(word):
    with lives.open("a") as file: file.write(word + "\\n")
note("begins")
def ended():
    note("ends")
    os._exit(0)
child.ended = ended
@child.tool(slow=True)
def increment():
    value = int(tally.read_text()) + 1 if tally.exists() else 1
    time.sleep(0.002)
    tally.write_text(str(value))
    return str(value)
""",
    )
    with Bridge(command, "--max-in-flight", "1", "--recycle-calls", "40") as bridge:
        clients = [connect(kind, bridge.url) for kind in (Http, Sse, Ws)]
        calls = [client.begin_call("increment") for _ in range(60) for client in clients]
        answers = sorted(int(text(call.result(20))) for call in calls)
        eventually(lambda: shown(bridge)["state"] == "ready")

        assert answers == list(range(1, 181))
        assert recycled(bridge) >= 2
    words = lives.read_text().split()
    assert words == ["begins", "ends"] * (len(words) // 2)


def test_with_one_in_flight_an_idle_child_is_replaced_and_there_again(start, connect):
    bridge = start("echo", options=["--max-in-flight", "1", "--recycle-calls", "3"])
    client = connect(Http, bridge.url)
    before = text(client.call("pid"))
    for _ in range(3):
        client.call("pid")
    eventually(lambda: shown(bridge)["state"] == "ready" and pids(bridge) not in ([int(before)], [None]))

    assert shown(bridge)["wakes"] == 0


def test_what_is_under_way_ends_on_the_old_one_with_its_progress(start, connect):
    bridge = start("echo", options=["--recycle-calls", "2"])
    client, other = connect(Http, bridge.url), connect(Ws, bridge.url)
    old = text(client.call("pid"))
    params = {"name": "progress", "arguments": {"steps": 10, "pause": 0.15}, "_meta": {"progressToken": "t"}}
    long = client.begin("tools/call", params)
    eventually(lambda: recycled(bridge) == 1 and text(other.call("pid")) != old, 1.4)

    assert not long.done()
    assert text(long.result(20)) == "10 steps"
    steps = [m["params"]["progress"] for m in client.messages() if m["method"] == "notifications/progress"]
    assert steps == list(range(1, 11))
    eventually(lambda: is_gone(int(old)))


def test_a_call_on_the_old_one_can_be_cancelled(start, connect):
    bridge = start("echo", options=["--recycle-calls", "2"])
    client = connect(Http, bridge.url)
    old = text(client.call("pid"))
    long = client.begin("tools/call", {"name": "slow", "arguments": {"seconds": 60}}, id="long")
    eventually(lambda: recycled(bridge) == 1 and str(pids(bridge, "shared")[0]) != old)
    client.notify("notifications/cancelled", {"requestId": "long"})

    assert "error" in long.result(20)


def test_subscriptions_and_levels_go_on_with_the_new_one(start, connect):
    bridge = start("echo", options=["--recycle-age", "0.4"])
    client = connect(Http, bridge.url)
    client.request("resources/subscribe", {"uri": "test://one"})
    client.request("logging/setLevel", {"level": "error"})
    eventually(lambda: recycled(bridge) >= 2)

    assert text(client.call("touch", uri="test://one")) == "told"
    client.wait_for("notifications/resources/updated")
    client.call("log", level="warning")
    client.call("log", level="critical")
    assert client.wait_for("notifications/message")["params"]["level"] == "critical"


def test_clients_hear_of_it_when_the_new_one_has_other_tools(tmp_path, connect):
    extra = tmp_path / "extra"
    command = bent(tmp_path / "child.py", f"if Path({str(extra)!r}).exists(): child.tool(lambda: 'new', name='extra')")
    with Bridge(command, "--recycle-calls", "3") as bridge:
        clients = [connect(kind, bridge.url) for kind in (Http, Sse, Ws)]
        extra.touch()
        for client in clients:
            client.call("pid")
        for client in clients:
            client.wait_for("notifications/tools/list_changed")

        assert text(clients[0].call("extra")) == "new"


def test_one_that_cannot_be_replaced_goes_on(tmp_path, connect):
    broken = tmp_path / "broken"
    command = bent(tmp_path / "child.py", f"if Path({str(broken)!r}).exists(): sys.exit('no licence')")
    with Bridge(command, "--recycle-calls", "2", "--max-restarts", "2", "--backoff-initial", "0.05") as bridge:
        client = connect(Http, bridge.url)
        broken.touch()
        pid = text(client.call("pid"))
        client.call("pid")
        eventually(lambda: bridge.metrics().value("mcp_bridge_child_exits_total", cause="exit") >= 2)
        begun = time.monotonic()

        assert text(client.call("pid")) == pid
        assert bridge.ready()["code"] == 200
        assert time.monotonic() - begun < 5
        assert recycled(bridge) == 0


def test_the_modern_process_of_a_server_of_both_eras_is_replaced_too(start, connect):
    bridge = start("modern", "--dual", options=["--recycle-calls", "5"])
    client = connect(Modern, bridge.url)
    stream = client.listen_to(resourceSubscriptions=["test://one"])
    assert next(stream.messages())["method"] == "notifications/subscriptions/acknowledged"
    seen = set()
    eventually(lambda: seen.add(text(client.call("pid"))) or len(seen) >= 3)
    eventually(lambda: pids(bridge, "retiring") == [])

    assert [process["era"] for process in processes(bridge, "modern")] == ["modern"]
    assert len(processes(bridge)) == 2
    assert all(is_gone(int(pid)) for pid in seen - set(map(str, pids(bridge))))
    text(client.call("touch", uri="test://one"))
    assert next(stream.messages())["method"] == "notifications/resources/updated"
    stream.close()
    assert bridge.metrics().value("mcp_bridge_child_restarts_total") == 0
    assert not bridge.logged("bug in the bridge")


@pytest.mark.parametrize("options", [[], ["--max-in-flight", "1"]])
def test_each_principals_child_is_replaced_too(tmp_path, connect, options):
    """Each for itself, and what is replaced is still its principal's."""
    (tmp_path / "tokens").write_text("alice a-secret-0123456789\nbob b-secret-0123456789\n")
    alice, bob = ({"authorization": f"Bearer {name}-secret-0123456789"} for name in "ab")
    options = ["--isolation", "principal", "--token-file", tmp_path / "tokens", "--recycle-calls", "5", *options]
    with Bridge(zoo("echo"), *options, headers=alice) as bridge:
        hers, his = connect(Http, bridge.url, headers=alice), connect(Http, bridge.url, headers=bob)
        seen, his_pid = set(), text(his.call("pid"))
        eventually(lambda: seen.add(text(hers.call("pid"))) or len(seen) >= 3)
        eventually(lambda: len(processes(bridge, "principal", "ready")) == len(processes(bridge)) - 1 == 2)

        assert text(his.call("pid")) == his_pid
        assert text(connect(Http, bridge.url, headers=alice).call("pid")) in map(str, pids(bridge, "principal"))
        assert bridge.metrics().value("mcp_bridge_child_exits_total", cause="exit") == 0
        assert not bridge.logged("bug in the bridge")


def test_a_child_that_is_often_replaced_sleeps_when_nobody_uses_it(start, connect):
    """A new one begins where the old one was: it has not been used."""
    bridge = start("echo", options=["--recycle-age", "0.3", "--idle-stop", "1"])
    connect(Http, bridge.url).call("pid")

    eventually(lambda: shown(bridge)["state"] == "asleep")
    assert recycled(bridge) >= 1
