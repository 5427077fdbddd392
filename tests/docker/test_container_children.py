"""A child that is `docker run`: on the real engine, with the base image that the fleet's Python images have."""

import os
import signal
import subprocess
import time

import pytest
from support import Bridge, Http, eventually, text
from support.running import CHILDREN

IMAGE = "python:3.13-slim"
IGNORES_ALL = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; time.sleep(600)"


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False).stdout


def containers(mark: str) -> list[str]:
    return docker("ps", "-aq", "--filter", f"label={mark}").split()


@pytest.fixture
def mark():
    mark = f"mcp-bridge-test={os.getpid()}-{time.monotonic_ns()}"
    yield mark
    for left in containers(mark):
        docker("rm", "-f", left)


def running(mark: str, *words: str, options=()) -> list[str]:
    return [
        "docker",
        "run",
        "-i",
        "--network",
        "none",
        "--label",
        mark,
        *options,
        "-v",
        f"{CHILDREN}:/children:ro",
        IMAGE,
        "python",
        *words,
    ]


ENDS = {  # how the client or the bridge ends
    "the bridge is stopped": lambda bridge: bridge.stop(),
    "the client is killed": lambda bridge: os.kill(client_of(bridge), signal.SIGKILL),
}


def client_of(bridge) -> int:
    return bridge.status()["mcps"].popitem()[1]["pid"]


@pytest.mark.parametrize("options", [[], ["--rm"]], ids=["", "--rm"])
@pytest.mark.parametrize("end", ENDS)
def test_no_container_is_left_however_its_client_ends(mark, end, options):
    with Bridge(running(mark, "/children/echo.py", options=options), limit=60) as bridge, Http(bridge.url) as client:
        assert text(client.call("echo", message="hi")) == "hi"
        before = containers(mark)
        assert len(before) == 1
        ENDS[end](bridge)

        eventually(lambda: not set(containers(mark)) & set(before), 20)
        bridge.stop()
    assert containers(mark) == []


def test_a_container_that_ignores_everything_is_killed_in_the_end(mark):
    with Bridge(running(mark, "-c", IGNORES_ALL), ready=False) as bridge:
        eventually(lambda: docker("ps", "-q", "--filter", f"label={mark}"))
        bridge.stop()

    assert containers(mark) == []


def test_a_container_with_a_name_can_be_started_again_at_once(mark):
    name = mark.replace("=", "-")
    with (
        Bridge(running(mark, "/children/dies.py", options=["--name", name]), "--backoff-initial", "0.05") as bridge,
        Http(bridge.url) as client,
    ):
        client.call("die")

        assert text(client.call("echo", message="again")) == "again"


def test_the_next_bridge_removes_what_one_that_was_killed_left(mark):
    with Bridge(running(mark, "-c", IGNORES_ALL), ready=False) as bridge:
        eventually(lambda: docker("ps", "-q", "--filter", f"label={mark}"))
        bridge.kill()
    left = containers(mark)
    assert len(left) == 1
    with Bridge(running(mark, "/children/echo.py")) as bridge:
        now = containers(mark)

        assert len(now) == 1
        assert now != left
        assert bridge.logged("containers of a bridge that was killed are removed")
