"""No zombie and no orphan. Each test is a small bridge-like process of its own, because a sub-reaper is one for good."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support import ROOT, eventually

PRELUDE = r"""
import asyncio, json, os, subprocess, sys, time
from bridge.child import reaper
from bridge.child.process import Command, Process
from bridge.child.stderr import Stderr

reaper.become_subreaper()
lines, ends = [], []

def start(script):
    stderr = Stderr(lambda text: None, lambda: None)
    return Process(Command(("sh", "-c", script), dict(os.environ)), 1000, lines.extend, print, print, ends.append, stderr)

async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)

async def leave_behind(how):
    # A child that exits once its daemon is out of its group.
    child = start(how + " sh -c 'echo $$; exec sleep 60' & read go; exit 0")
    await until(lambda: lines)
    child.write(b"go\n")
    await until(lambda: ends)
    return int(lines[0])

def state(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"

def below():
    return open(f"/proc/self/task/{os.getpid()}/children").read().split()

"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sub-reapers are Linux only")


def run(body: str) -> object:
    """What the script's `main` returns, as JSON."""
    script = PRELUDE + textwrap.dedent(body) + "\nprint(json.dumps(asyncio.run(main())))\n"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_a_daemon_goes_with_its_child_wherever_it_hides():
    """In a session of its own no signal to the group reaches it (ha-mcp's sidecar)."""
    assert run("""
        async def main():
            pid = await leave_behind("setsid")
            await until(lambda: reaper.sweep() == 0 and state(pid) == "gone")
            return [[str(end) for end in ends], below()]
    """) == [["the server process exited (code 0)"], []]


def test_a_daemon_of_a_child_that_lives_is_left_alone():
    assert run("""
        async def main():
            child = start("(setsid sh -c 'echo $$; exec sleep 60' &) ; exec sleep 60")
            await until(lambda: lines)
            pid = int(lines[0])
            await until(lambda: str(pid) in below())
            left = [reaper.sweep() for _ in range(3)]
            alive = state(pid)
            child.kill()
            await until(lambda: ends)
            await until(lambda: reaper.sweep() == 0 and state(pid) == "gone")
            return [left, alive in "SRD"]
    """) == [[0, 0, 0], True]


def test_a_stranger_is_left_alone():
    """A process below us that no child of ours started."""
    assert run("""
        async def main():
            pid = await leave_behind("env -u MCP_BRIDGE_CHILD setsid")
            await until(lambda: str(pid) in below())
            left, alive = reaper.sweep(), state(pid)
            os.kill(pid, 9)
            return [left, alive in "SRD"]
    """) == [0, True]


def test_a_mark_that_is_no_text_stops_nobody():
    """A child may give its daemons any environment it likes."""
    assert (
        run("""
        async def main():
            pid = await leave_behind(r"MCP_BRIDGE_CHILD=$(printf '\377') setsid")
            await until(lambda: reaper.sweep() == 0 and state(pid) == "gone")
            return below()
    """)
        == []
    )


def test_zombies_are_reaped_and_exit_codes_are_not_stolen():
    assert run("""
        async def main():
            children = [start("(sh -c 'exit 0' & ) ; exit %d" % code) for code in range(5)]
            await until(lambda: (reaper.sweep(), len(ends) == 5)[1])
            await until(lambda: (reaper.sweep(), below() == [])[1])
            return sorted(map(str, ends))
    """) == [f"the server process exited (code {code})" for code in range(5)]


def test_children_die_with_a_bridge_that_is_killed():
    """SIGKILL leaves it no time to stop them."""
    script = PRELUDE + textwrap.dedent("""
        async def main():
            child = start("trap '' TERM; echo ready; while :; do sleep 0.05; done")
            await until(lambda: lines)
            print(child.pid, flush=True)
            os.kill(os.getpid(), 9)
        asyncio.run(main())
    """)
    bridge = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    pid = int(bridge.stdout.readline())
    bridge.communicate(timeout=5)

    eventually(lambda: not is_running(pid))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
