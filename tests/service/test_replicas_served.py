"""`--replicas`: several shared children of a server that keeps nothing, as clients and operators see them."""

import json
import os
import signal

import pytest
from bent import pids, processes, shown
from support import Bridge, Http, Modern, eventually, text, zoo

from bridge.cli import main
from bridge.fleet.policy import check_policy


@pytest.fixture(scope="module")
def bridge():
    with Bridge(zoo("echo"), "--replicas", 2) as bridge:
        eventually(lambda: len(processes(bridge, state="ready")) == 2)
        yield bridge


def whole(bridge: Bridge) -> list[int]:
    """Their process ids, as soon as both are there."""
    return eventually(lambda: len(found := pids(bridge, "shared", "ready") + pids(bridge, "replica", "ready")) == 2 and found)


@pytest.mark.parametrize("way", [Http, Modern])
def test_two_calls_at_once_are_with_two_processes(bridge, way):
    whole(bridge)
    with way(bridge.url) as client:
        first = client.begin_call("slow", seconds=0.5)
        eventually(lambda: shown(bridge)["in_flight"] == 1)
        second = text(client.call("pid"))
        assert text(first.result(10)) == "slept 0.5"
        alone = text(client.call("pid"))

    assert alone != second and {int(alone), int(second)} <= set(pids(bridge))


@pytest.mark.parametrize("arguments", [(), ("--dual",)])
def test_a_server_of_the_modern_era_has_replicas_too_and_one_of_both_has_them_for_each(arguments):
    with Bridge(zoo("modern", *arguments), "--replicas", 2) as bridge, Modern(bridge.url) as client:
        eventually(lambda: len(processes(bridge, state="ready")) == (4 if arguments else 2))
        slow = client.begin_call("slow", seconds=0.5)
        eventually(lambda: shown(bridge)["in_flight"])
        assert text(client.call("echo", message="x")) == "x"
        assert text(slow.result(10)) == "slept 0.5"
        calls = [process["calls"] for process in processes(bridge, state="ready") if process["era"] == "modern"]

    assert len(calls) == 2 and all(calls)


@pytest.mark.parametrize("role", ["shared", "replica"])
def test_one_dies_and_nobody_notices(bridge, role):
    whole(bridge)
    (victim,) = pids(bridge, role, "ready")
    with Http(bridge.url) as client:
        os.kill(victim, signal.SIGKILL)
        assert [text(client.call("echo", message=str(number))) for number in range(20)] == list(map(str, range(20)))  # it may be done twice
        eventually(lambda: victim not in pids(bridge))
        answers = [text(client.call("pid")) for _ in range(5)]
        assert bridge.ready()["code"] == 200
        assert len(client.request("tools/list")["result"]["tools"]) > 10

    assert str(victim) not in answers
    assert victim not in whole(bridge)


def test_a_call_that_may_not_be_done_twice_fails_with_its_process(bridge):
    whole(bridge)
    (victim,) = pids(bridge, "shared", "ready")
    with Http(bridge.url) as client:
        slow = client.begin_call("slow", seconds=20)  # nobody says that it changes nothing
        eventually(lambda: shown(bridge)["in_flight"] == 1)
        os.kill(victim, signal.SIGKILL)
        lost = slow.result(10)

    assert "error" in lost and "SIGKILL" in json.dumps(lost)


def test_both_are_replaced_while_they_are_used(connect):
    with Bridge(zoo("echo"), "--replicas", 2, "--recycle-age", "0.3") as bridge, Http(bridge.url) as client:
        before = set(whole(bridge))
        eventually(lambda: shown(bridge)["recycled"] >= 4 or text(client.call("echo", message="x")) != "x")
        assert not before & set(whole(bridge)) and shown(bridge)["restarts"] == 0


def test_those_that_nobody_needs_sleep_and_are_woken_by_work():
    with Bridge(zoo("echo"), "--replicas", 2, "--idle-stop", "0.3") as bridge, Http(bridge.url) as client:
        eventually(lambda: len(processes(bridge, state="asleep")) == 2)
        assert text(client.call("echo", message="x")) == "x"
        slow = [client.begin_call("slow", seconds=0.5) for _ in range(3)]
        eventually(lambda: not processes(bridge, state="asleep"))
        assert [text(one.result(10)) for one in slow] == ["slept 0.5"] * 3


@pytest.mark.parametrize("options", [["--max-in-flight", "1"], ["--isolation", "session"], ["--isolation", "principal"]])
def test_what_contradicts_it_is_told_before_anything_starts(capsys, options):
    assert main(["serve", "--replicas", "2", *options, "--", "true"]) == 2
    assert options[0] in capsys.readouterr().err


def test_a_config_file_and_a_stanza_may_say_it_and_their_contradictions_are_told_by_name(tmp_path, capsys):
    def config(**more) -> str:
        file = tmp_path / "mcp.json"
        file.write_text(json.dumps({"mcpServers": {"echo": {"command": zoo("echo")[0], "args": zoo("echo")[1:], "replicas": 2, **more}}}))
        return str(file)

    with Bridge(None, "--config", config()) as bridge:
        eventually(lambda: len(processes(bridge, state="ready")) == 2)
    assert main(["serve", "--strict", "--config", config(max_in_flight=1)]) == 2
    assert "echo" in capsys.readouterr().err

    assert check_policy({"replicas": 2}) == {"replicas": 2}
    for contradiction in ({"max-in-flight": 1}, {"isolation": "session"}):
        with pytest.raises(ValueError, match="replicas"):
            check_policy({"replicas": 2} | contradiction)
