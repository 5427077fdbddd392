"""What a child learns of its bridge, whose user it shares: nothing. It really tries."""

import json
import os
import shutil

import pytest
from support import Bridge, Http, text, zoo

TOKEN, KEY = "a-token-that-nobody-may-see", "a-session-key-that-nobody-may-see"
NOBODY = 65534
# Not as root, who may look at everything. Where the tests run as root, Python may be in a folder that only root can read.
AS_NOBODY = [
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--no-new-privs",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
    "--bounding-set=-all,+dac_read_search",
]
NOT_OFFERED = ("stack", "syscall")  # by kernels that were built without


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("private")
    folder.chmod(0o777)
    (folder / "tokens").write_text(f"alice {TOKEN}\n")
    bridge = Bridge(
        ["env", *zoo("spy")],
        "--token-file",
        folder / "tokens",
        env={"MCP_BRIDGE_SESSION_KEY": KEY, "HOME": str(folder)},
        headers={"authorization": f"Bearer {TOKEN}"},
    )
    bridge.wrapper = ["env"] if os.getuid() else AS_NOBODY
    assert shutil.which(bridge.wrapper[0])
    with bridge:
        yield bridge


@pytest.fixture
def client(bridge):
    with Http(bridge.url, headers=bridge.headers) as client:
        yield client


def test_a_child_of_the_same_user_can_neither_read_nor_trace_its_bridge(bridge, client):
    """Memory, environment, maps, open files, in each way that Linux has; all of them are open to a child of a dumpable bridge."""
    own = json.loads(text(client.call("own")))
    seen = json.loads(text(client.call("look", pid=own["parent"])))

    assert own["uid"] != 0 and own["parent"] == bridge.process.pid
    assert {name: said for name, said in seen.items() if not said.startswith("denied: ") and name not in NOT_OFFERED} == {}


def test_the_ways_are_open_to_a_child_where_nothing_forbids_them(bridge, client):
    """So that the test before this one means something: it looks at a process of the same user that is dumpable, itself."""
    (child,) = bridge.children()
    seen = json.loads(text(client.call("look", pid=child)))

    assert {name for name, said in seen.items() if said.startswith("open: ")} >= {
        "environ",
        "maps",
        "mem",
        "process_vm_readv",
        "fd",
        "cwd",
        "pidfd_getfd",
    }


def test_a_child_inherits_neither_open_files_nor_variables_of_the_bridge(client):
    own = json.loads(text(client.call("own")))

    assert own["files"] == [0, 1, 2]
    assert not [name for name in own["environment"] if name.startswith("MCP_BRIDGE_") and name != "MCP_BRIDGE_CHILD"]
    assert TOKEN not in str(own) and KEY not in str(own)


def test_a_bridge_that_crashes_leaves_no_memory_behind(bridge):
    """A core file would hold the keys. Where a core may be written, proc(5), /proc/PID belongs to the process's user."""
    assert os.stat(f"/proc/{bridge.process.pid}/environ").st_uid == 0
