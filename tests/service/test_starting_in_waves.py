"""Many MCPs of one bridge: no more of them start at a time than the machine can bear, and nobody is given up for that."""

import json

import psutil
from support import Bridge, Http, eventually, text, zoo

from bridge.container import STARTS

NAMES = [f"m{number:02}" for number in range(3 * STARTS)]


def entries(*command) -> dict:
    return {"command": zoo(*command)[0], "args": zoo(*command)[1:]}


def states(bridge: Bridge) -> list[str]:
    return [one["state"] for one in bridge.get("/status.json").json()["mcps"].values()]


def test_forty_start_a_few_at_a_time_and_all_come_up(tmp_path):
    (tmp_path / "mcps.json").write_text(json.dumps({"mcpServers": dict.fromkeys(NAMES, entries("slow_start", 0.7))}))
    with Bridge(None, "--config", tmp_path / "mcps.json", ready=False) as bridge:
        most, seen = 0, set()

        def all_are_ready() -> bool:
            nonlocal most
            children = len(
                psutil.Process(bridge.process.pid).children()
            )  # first: who gets ready meanwhile is counted for less, not for more
            said = [bridge.get(f"/{name}/readyz").json() for name in NAMES]
            seen.update(one["state"] for one in said)
            most = max(most, children - sum(one["state"] == "ready" for one in said))
            return all(one["state"] == "ready" for one in said)

        eventually(all_are_ready, 60)

    assert most <= STARTS + 1 and "stopped" not in seen  # one may get ready between the two looks


def test_one_that_is_asked_for_does_not_wait_for_its_turn_nor_for_those_that_hang(tmp_path, connect):
    hang = {name: entries("never_answers") for name in NAMES}
    (tmp_path / "mcps.json").write_text(json.dumps({"mcpServers": {**hang, "last": entries("echo")}}))
    with Bridge(None, "--config", tmp_path / "mcps.json", ready=False) as bridge:
        assert bridge.get("/last/readyz").json() | {"mcp": ""} == {
            "status": "not ready",
            "state": "starting",
            "reason": "others are started before it",
            "mcp": "",
        }
        assert text(connect(Http, f"{bridge.url}/last").call("echo", message="here")) == "here"


def test_those_that_hang_keep_nobody_long(tmp_path):
    """What uses no processor is no reason to wait: twelve that hang delay the next by two looks, not by twice ten seconds."""
    hang = {name: entries("never_answers") for name in NAMES[: 2 * STARTS]}
    (tmp_path / "mcps.json").write_text(json.dumps({"mcpServers": {**hang, "last": entries("echo")}}))
    with Bridge(None, "--config", tmp_path / "mcps.json", ready=False) as bridge:
        eventually(lambda: bridge.get("/last/readyz").json()["state"] == "ready", 15)
