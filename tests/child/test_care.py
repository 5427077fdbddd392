"""No child outlives its bridge, whatever becomes of either, and none stays a zombie."""

import json
import os
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil
import pytest
from support import CHILDREN, Bridge, Http, Sse, Ws, eventually, text, zoo

# What only a PID namespace ends: it shook off its parent, its session and its environment.
DAEMON_WITHOUT_MARK = ["sh", "-c", f"env -i setsid sleep 60 & exec {sys.executable} {CHILDREN}/echo.py"]
KINDS = {
    "echo": zoo("echo"),
    "deaf": zoo("deaf"),
    "deaf to SIGTERM": zoo("deaf", "--only", "term"),
    "deaf to EOF": zoo("deaf", "--only", "eof"),
    "grandchild": zoo("grandchild"),
    "daemon": zoo("grandchild", "--daemon"),
    "daemon without a mark": DAEMON_WITHOUT_MARK,
    "wrapper": zoo("wrapper", "echo"),
    "wrapper of a deaf one": zoo("wrapper", "deaf"),
    "wrapper of a daemon": zoo("wrapper", "grandchild", "--daemon"),
    "shell": ["sh", "-c", f"{sys.executable} {CHILDREN}/echo.py; true"],
    "never answers": zoo("never_answers", "--ignore-eof"),
    "chatty": zoo("chatty"),
    "dies at start": zoo("dies_at_start"),
}


def end_of(kind: str, number: int):
    """The bridge's exit code, how long it took, and what it left."""
    ready = kind not in ("never answers", "dies at start")
    bridge = Bridge(KINDS[kind], ready=ready, limit=20)
    with suppress(AssertionError):  # what is left is told below
        with bridge:
            if ready:
                eventually(bridge.children)
                time.sleep(0.1)  # a grandchild may just be starting
                bridge.tree()
            code, seconds = bridge.signal(number, 20)
            left = [process.pid for process in bridge.leftover()]
            bridge.kill_all()
    return code, seconds, left


@pytest.fixture(scope="module")
def ends():
    """All kinds, four at a time: stopping is mostly waiting."""
    with ThreadPoolExecutor(4) as pool:
        begun = {
            (kind, number): pool.submit(end_of, kind, number)
            for kind in KINDS
            for number in (signal.SIGTERM, signal.SIGINT)
            if number == signal.SIGTERM or kind in ("echo", "daemon")
        }
        return {key: future.result() for key, future in begun.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_after_sigterm_nothing_is_left(ends, kind):
    """Edge case 67."""
    code, seconds, left = ends[kind, signal.SIGTERM]

    assert left == []
    assert code == 0
    assert seconds < 14


@pytest.mark.parametrize("kind", ["echo", "daemon"])
def test_after_sigint_nothing_is_left(ends, kind):
    code, seconds, left = ends[kind, signal.SIGINT]

    assert left == []
    assert code == 0
    assert seconds < 14


@pytest.mark.parametrize("kind", ["echo", "grandchild", "daemon", "wrapper", "wrapper of a deaf one"])
def test_after_sigkill_of_the_bridge_its_child_is_gone(kind):
    """As an OOM killer does. What the child started itself hears of it only by its pipes; a container takes the rest."""
    bridge = Bridge(KINDS[kind])
    with suppress(AssertionError), bridge:
        child = next(process for process in bridge.tree() if process.ppid() == bridge.process.pid)
        if kind in ("grandchild", "daemon"):
            eventually(lambda: bridge.logged("asleep"))
        bridge.kill()
        eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
        left = bridge.leftover(0.5)
        bridge.kill_all()

    assert child.pid not in [process.pid for process in left]
    assert (left == []) is (kind in ("echo", "wrapper"))


def pid_one(kind: str):
    """The bridge as PID 1 of a namespace of its own, as in a container, with /proc to match."""
    bridge = Bridge(KINDS[kind])
    bridge.wrapper = ["unshare", "--pid", "--fork", "--mount-proc"]
    return bridge


def can_unshare() -> bool:
    return shutil.which("unshare") is not None and os.system("unshare --pid --fork --mount-proc true 2>/dev/null") == 0


@pytest.mark.skipif(not can_unshare(), reason="this machine lets nobody make a PID namespace")
@pytest.mark.parametrize("kind", ["echo", "wrapper of a daemon"])
def test_as_pid_1_it_reaps_what_it_inherits_and_leaves_at_sigterm(kind):
    """Edge case 67."""
    with pid_one(kind) as bridge:
        inner = psutil.Process(bridge.process.pid).children()[0]
        with Http(bridge.url) as client:
            assert text(client.call("echo", message="inside")) == "inside"
            if kind == "wrapper of a daemon":
                for _ in range(3):
                    client.call("spawn")
                client.begin_call("die")
                eventually(lambda: bridge.metrics().value("mcp_bridge_child_restarts_total") == 1)
                eventually(lambda: len(bridge.children()) == 4)  # itself, wrapper, server, its daemon
                eventually(lambda: not bridge.zombies())
        begun = time.monotonic()
        inner.send_signal(signal.SIGTERM)
        code = bridge.process.wait(10)

    assert code == 0
    assert time.monotonic() - begun < 14
    assert bridge.logged("stopped")


def test_a_child_that_dies_takes_along_what_it_had_started(around, connect):
    for arguments in ((), ("--daemon",)):
        bridge = around("grandchild", *arguments, options=("--backoff-initial", "0.05"))
        client = connect(Http, bridge.url)
        before = json.loads(text(client.call("spawn")))
        bridge.watch(before)
        client.call("die")
        eventually(lambda: not [pid for pid in before if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"])
        eventually(lambda: not bridge.zombies())

        assert set(json.loads(text(client.call("pids")))).isdisjoint(before)


def test_many_crashes_leave_no_zombie_and_no_file_open(around, connect):
    bridge = around("dies", options=("--backoff-initial", "0.05", "--backoff-max", "0.1", "--max-restarts", "1000"))
    client = connect(Http, bridge.url, listen=False)
    client.call("die")
    client.call("echo", message="again")
    files = psutil.Process(bridge.process.pid).num_fds()
    for _ in range(8):
        client.call("die")
    client.call("echo", message="again")

    assert len(bridge.children()) == 1
    eventually(lambda: not bridge.zombies())
    assert psutil.Process(bridge.process.pid).num_fds() <= files + 1


def test_a_daemon_of_a_living_child_is_left_alone(around, connect):
    bridge = around("grandchild", "--daemon", options=("--backoff-initial", "0.05"))
    client = connect(Http, bridge.url)
    pids = json.loads(text(client.call("pids")))
    eventually(lambda: len(bridge.children()) == 2)
    time.sleep(0.6)  # two sweeps

    assert all(psutil.pid_exists(pid) for pid in pids)
    assert json.loads(text(client.call("pids"))) == pids


def test_the_own_child_of_a_session_goes_with_it_however_deaf(start):
    """Edge case 68."""
    bridge = start("deaf", "--only", "eof", options=["--isolation", "session"])
    shared = bridge.children()
    clients = [transport(bridge.url) for transport in (Http, Sse, Ws)]
    for client in clients:
        client.open()
    assert len(bridge.children()) == 4
    for client in clients:
        client.close()

    eventually(lambda: bridge.children() == shared, 6)


def test_the_child_is_the_leader_of_its_own_group(echo):
    (pid,) = echo.children()

    assert os.getpgid(pid) == os.getsid(pid) == pid
    assert os.getsid(echo.process.pid) != pid


def test_the_child_has_no_file_of_the_bridge(around, connect):
    """Sockets of clients, say: it could answer in the bridge's name."""
    bridge = around("asks")
    clients = [connect(transport, bridge.url, capabilities={"sampling": {}}) for transport in (Http, Sse, Ws)]
    for pid in bridge.children():
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        assert not [link for link in links if "socket" in link]
        assert len(links) <= 5
    assert clients
