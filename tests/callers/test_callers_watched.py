"""A callers file that is replaced counts without a signal: a fleet adds callers while its bridges run."""

import json
import os
import threading

import pytest
from support import Bridge, Http, eventually, zoo

from bridge.callers.tokens import hash_of
from bridge.watched_file import EVERY, WatchedFile

HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
ALICE, BOB = "alice-0123456789-0123456789", "bob-0123456789-0123456789"


def written(path, **keys: str) -> None:
    beside = path.with_name(".new")
    callers = {name: {"token_sha256": hash_of(key).removeprefix("sha256:"), "default": "execute"} for name, key in keys.items()}
    beside.write_text(json.dumps({"callers": callers}))
    os.replace(beside, path)


def test_a_bridge_knows_who_was_added_and_forgets_who_was_removed(tmp_path):
    file = tmp_path / "callers.json"
    written(file, alice=ALICE)
    with Bridge(zoo("echo"), "--callers", file, "--name", "echo") as bridge:

        def status(key: str) -> int:
            body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
            sent = {"authorization": f"Bearer {key}", "accept": "application/json, text/event-stream"}
            return bridge.http.post("/mcp", json=body, headers=sent).status_code

        assert (status(ALICE), status(BOB)) == (200, 401)
        written(file, bob=BOB)
        eventually(lambda: (status(ALICE), status(BOB)) == (401, 200))
        file.write_text("callers: [")  # a slip of the pen changes nothing
        written(file, alice=ALICE, bob=BOB)
        eventually(lambda: (status(ALICE), status(BOB)) == (200, 200))


def test_while_keys_are_made_rotated_and_removed_no_call_fails_that_should_not(tmp_path, connect):
    """Those in flight are finished, also of who is removed meanwhile; those of who stays go on, one behind the other, over one connection."""
    file, old, new = tmp_path / "callers.json", ALICE, "alice-new-0123456789-0123456789"
    written(file, alice=old, bob=BOB)
    with Bridge(zoo("echo"), "--callers", file, "--name", "echo", "--isolation", "shared") as bridge:
        alice, bob = (connect(Http, bridge.url, listen=False, headers={"authorization": f"Bearer {key}"}) for key in (old, BOB))
        answers: list[dict] = []
        done = threading.Event()

        def goes_on() -> None:
            while not done.is_set():
                answers.append(bob.call("echo", message="still here"))

        working = threading.Thread(target=goes_on)
        working.start()
        try:
            for keys in ({"alice": new, "bob": BOB, "carol": "carol-0123456789-0123456789"}, {"bob": BOB}):
                slow = alice.begin("tools/call", {"name": "slow", "arguments": {"seconds": 2}})
                written(file, **keys)
                eventually(lambda: refused(bridge, old) and ("alice" in keys or refused(bridge, new)))
                assert "result" in slow.result(20)
                if "alice" in keys:
                    alice = connect(Http, bridge.url, listen=False, headers={"authorization": f"Bearer {new}"})
        finally:
            done.set()
            working.join()

    assert len(answers) > 20 and all("result" in answer for answer in answers)


def refused(bridge, key: str) -> bool:
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    sent = {"authorization": f"Bearer {key}", "accept": "application/json, text/event-stream"}
    return bridge.http.post("/mcp", json=body, headers=sent).status_code == 401


@pytest.mark.parametrize("way", ["replaced", "written over", "a link that leads elsewhere"])
def test_a_file_is_another_one_however_it_was_replaced(tmp_path, way):
    file, other = tmp_path / "file", tmp_path / "other"
    other.write_text("one and more")
    if way == "a link that leads elsewhere":
        (tmp_path / "first").write_text("one")
        file.symlink_to("first")
    else:
        file.write_text("one")
    watch = WatchedFile(str(file))

    assert not watch.has_changed(0.0)
    if way == "replaced":
        os.replace(other, file)
    elif way == "written over":
        file.write_text("one and more")
    else:
        file.unlink()
        file.symlink_to("other")
    assert not watch.has_changed(EVERY / 2)  # it does not look at each sweep
    assert watch.has_changed(EVERY)
    assert not watch.has_changed(2 * EVERY)
    file.unlink()
    assert not watch.has_changed(3 * EVERY)


def test_no_file_never_changes():
    assert not WatchedFile("").has_changed(1.0)
