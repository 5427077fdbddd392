"""A member that is dead, hangs, is slow or comes back: the others are as they would be without it."""

import json
import sys
import time

from configs import config, entry, names
from support import Bridge, Http, Modern, eventually, text, zoo

WAIT = 1
SLOW = """
import json, os, sys, time
sys.argv = ["echo"]
sys.path.insert(0, {folder!r})
from echo import child
ordinary = child.methods["tools/list"]
def listed(params):
    while not os.path.exists({file!r}):
        time.sleep(0.05)
    return ordinary(params)
child.methods["tools/list"] = listed
child.run()
"""


def served(folder, **mcps):
    return Bridge(None, "--config", config(folder, {"all": {"wait": WAIT}}, **mcps), ready=False)


def test_members_that_do_not_answer_are_missing_and_slow_nobody_twice(tmp_path):
    broken = {"dead": zoo("dies_at_start"), "deaf": zoo("never_answers"), "wedged": zoo("never_answers", "--wedged")}
    with served(tmp_path, well=entry(zoo("echo")), **{name: entry(command) for name, command in broken.items()}) as bridge:
        eventually(lambda: bridge.get("/well/readyz").status_code == 200)
        with Http(f"{bridge.url}/all") as client, Modern(f"{bridge.url}/all") as modern:
            for either in (client, modern):
                first = either.request("tools/list")["result"]["tools"]
                began = time.monotonic()
                again = [either.request("tools/list")["result"]["tools"] for _ in range(40)]

                assert time.monotonic() - began < 20  # half of what they take if each waits
                assert {tool["name"].partition("-")[0] for tool in first} == {"well"}
                assert again == [first] * 40
                assert text(either.call("well-echo", message="hi")) == "hi"
        missing = bridge.get("/all/readyz").json()

        assert {name for name in broken if any(f"of={name}" in line for line in bridge.logged("missing from the group"))} == broken.keys()
        assert missing["not_waited_for"].keys() == broken.keys() and missing["status"] == "degraded"


def test_clients_are_told_when_a_member_is_back(tmp_path):
    begin = tmp_path / "begin"
    code = SLOW.format(folder=str(zoo("echo")[1]).rpartition("/")[0], file=str(begin))
    with served(tmp_path, well=entry(zoo("echo")), late=entry([sys.executable, "-c", code])) as bridge:
        eventually(lambda: bridge.get("/readyz").json()["status"] == "ready")
        with Http(f"{bridge.url}/all") as client, Modern(f"{bridge.url}/all") as modern, modern.listen_to(toolsListChanged=True) as stream:
            assert json.loads(stream.next().data)["params"]["notifications"] == {"toolsListChanged": True}
            assert "late-echo" not in names(client.request("tools/list"))
            begin.touch()
            client.wait_for("notifications/tools/list_changed")

            assert "late-echo" in names(client.request("tools/list"))
            assert json.loads(stream.next().data)["method"] == "notifications/tools/list_changed"


def test_who_is_not_there_when_a_client_comes_is_named_in_the_instructions(tmp_path):
    with served(tmp_path, well=entry(zoo("echo", "--instructions", "Be kind.")), broken=entry(zoo("dies_at_start"))) as bridge:
        eventually(lambda: bridge.get("/well/readyz").status_code == 200)
        with Http(f"{bridge.url}/all") as client:
            assert client.initialized["instructions"] == "# well\n\nBe kind.\n\nNot there at the moment: broken."


def test_without_any_member_a_client_is_told_why(tmp_path):
    with served(tmp_path, broken=entry(zoo("dies_at_start"))) as bridge:
        client = Http(f"{bridge.url}/all")
        client.connect()
        answer = client.request(
            "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        )
        client.close()

        assert "broken" in answer["error"]["message"]


def test_a_member_is_not_called_late_because_a_client_left_before(tmp_path):
    begin = tmp_path / "begin"
    code = SLOW.format(folder=str(zoo("echo")[1]).rpartition("/")[0], file=str(begin))
    file = config(tmp_path, {"all": {"prefix": "when-needed", "wait": 30}}, late=entry([sys.executable, "-c", code]))
    with Bridge(None, "--config", file) as bridge, Http(f"{bridge.url}/all", listen=False) as client:
        before = bridge.files()
        with client.post_stream({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "nobody", "arguments": {}}}):
            eventually(lambda: bridge.status()["mcps"]["late"]["in_flight"] == 1)
        eventually(lambda: bridge.files() <= before)
        assert "not_waited_for" not in bridge.get("/all/readyz").json()
        begin.touch()
        assert "echo" in names(client.request("tools/list"))
