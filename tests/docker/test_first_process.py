"""The bridge as PID 1 of a real container: it has to do what an init does, because nobody else is there."""

import json
import os
import subprocess
import time

import pytest
from support import ROOT, Http, eventually, text

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

HARDENED = {
    "read_only": True,
    "user": "65534",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "mem_limit": "256m",
    "pids_limit": 64,
}
PROCESSES = """
import json, os
found = []
for pid in filter(str.isdigit, os.listdir('/proc')):
    try:
        state = open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[0]
        found.append([int(pid), state, open(f'/proc/{pid}/cmdline').read().replace(chr(0), ' ')])
    except OSError:
        pass
print(json.dumps([entry for entry in found if entry[0] != os.getpid()]))
"""


def has_docker() -> bool:
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.fixture(scope="module")
def image():
    if not has_docker():
        if os.environ.get("MCP_BRIDGE_REQUIRE_DOCKER"):
            pytest.fail("no Docker engine answers, and MCP_BRIDGE_REQUIRE_DOCKER is set")
        pytest.skip("no Docker engine answers here")
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    from testcontainers.core.image import DockerImage

    with DockerImage(path=ROOT, dockerfile_path="tests/docker/Dockerfile", tag="mcp-bridge-test:latest", clean_up=False) as built:
        yield str(built)


class Box:
    """A running container: its address from here, and what runs in it."""

    def __init__(self, container):
        self.container = container
        self.wrapped = container.get_wrapped_container()
        self.wrapped.reload()
        address = next(iter(self.wrapped.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"]
        self.url = f"http://{address}:8000"

    def processes(self) -> list:
        return json.loads(self.wrapped.exec_run(["python", "-c", PROCESSES]).output)

    def log(self) -> str:
        return self.wrapped.logs().decode()


@pytest.fixture
def start(image):
    """Starts a hardened container with this child; everything is removed afterwards."""
    from testcontainers.core.container import DockerContainer

    containers = []

    def run(*child: str) -> Box:
        container = DockerContainer(image, **HARDENED).with_tmpfs_mount("/tmp").with_env("HOME", "/tmp").with_command(list(child))
        containers.append(container)
        container.start()
        box = Box(container)
        eventually(lambda: "child ready" in box.log(), 20, "the child does not get ready")
        return box

    yield run
    for container in containers:
        container.stop()


def test_it_serves_from_a_hardened_container_under_its_own_address(start):
    box = start("python", "children/echo.py")

    with Http(box.url) as client:
        assert text(client.call("echo", message="hi")) == "hi"
    assert box.processes()[0][0] == 1
    assert "mcp-bridge" in box.processes()[0][2]


def test_orphans_of_a_dead_child_are_reaped_and_none_is_left(start):
    """npx-like wrappers, grandchildren that ignore SIGTERM and daemons in sessions of their own."""
    box = start("python", "children/wrapper.py", "grandchild", "--daemon")

    with Http(box.url) as client:
        first = {pid for pid, _, _ in box.processes()}
        client.call("die")
        assert text(client.call("echo", message="again", timeout=15)) == "again"

        def settled() -> bool:
            now = box.processes()
            return not [entry for entry in now if entry[1] == "Z"] and not (first - {1}) & {pid for pid, _, _ in now}

        eventually(settled, 5)


def test_it_stops_in_time_with_code_0_and_a_deaf_child(start):
    box = start("python", "children/deaf.py")

    since = time.monotonic()
    box.wrapped.stop(timeout=15)
    seconds = time.monotonic() - since

    box.wrapped.reload()
    assert box.wrapped.attrs["State"]["ExitCode"] == 0
    assert seconds < 10
    assert "stopped" in box.log()
