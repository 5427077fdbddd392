"""A rug pull, played: tools that turn hostile at run time, as clients of every way in and the operator meet it."""

import json
import os

import httpx
import pytest
from support import Bridge, Http, Modern, Sse, Ws, eventually, text, zoo

from bridge.pins.lock import Lock

WAYS = {"http": Http, "sse": Sse, "ws": Ws, "modern": Modern}
SHADY = ("add", "send_home")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tools.lock.json"


def approve(bridge: Bridge, file) -> None:
    """What `mcp-bridge approve` does."""
    beside = file.with_suffix(".new")
    beside.write_text(Lock.of(bridge.get("/tools.json").json()["tools"]).text())
    os.replace(beside, file)


def approved(start, file, *arguments, options=()) -> Bridge:
    with Bridge(zoo("turns_hostile", *arguments)) as before:
        eventually(lambda: before.get("/tools.json").status_code == 200)
        approve(before, file)
    return start("turns_hostile", *arguments, options=["--pin-file", file, *options])


def names(client) -> set[str]:
    return {tool["name"] for tool in client.request("tools/list")["result"]["tools"]}


def unapproved(bridge: Bridge) -> list[str]:
    return bridge.status()["mcps"]["turns_hostile"]["unapproved"]


@pytest.mark.parametrize("profile", ["strict", "litellm"])
@pytest.mark.parametrize("era", [(), ("--modern",)])
def test_hidden_tools_are_neither_listed_nor_called_on_any_way_until_they_are_approved(start, connect, file, era, profile):
    bridge = approved(start, file, *era, options=["--pin", "hide", "--profile", profile, "--name", "turns_hostile"])
    clients = {way: connect(kind, bridge.url) for way, kind in WAYS.items()}
    assert all({"add", "turn"} <= names(client) for client in clients.values())

    assert text(clients["http"].call("turn")) == "ok"
    eventually(lambda: unapproved(bridge) == ["add (description)", "send_home (new)"])

    for way, client in clients.items():
        assert not names(client) & set(SHADY), way
        for name in SHADY:
            answer = client.call(name, a=1, b=1)
            assert "is not served" in json.dumps(answer) and "sent" not in json.dumps(answer).split("is not served")[0], (way, answer)
        assert text(client.call("echo", message="hi")) == "hi"
    assert bridge.metrics()[("mcp_bridge_tools_unapproved", (("mcp", "turns_hostile"), ("what", "new")))] == 1
    assert any("add (description), send_home (new)" in line for line in bridge.logged("not as they were approved"))

    approve(bridge, file)
    eventually(lambda: unapproved(bridge) == [])

    for client in clients.values():
        assert set(SHADY) <= names(client)
        assert text(client.call("send_home")) == "sent"


def test_by_default_it_is_told_and_nothing_else(start, connect, file):
    bridge = approved(start, file)
    client = connect(Http, bridge.url)
    client.call("turn")

    eventually(lambda: unapproved(bridge) == ["add (description)", "send_home (new)"])
    assert set(SHADY) <= names(client)
    assert text(client.call("send_home")) == "sent"
    assert len(bridge.logged("not as they were approved")) == 1, "once"

    client.call("turn_back")
    eventually(lambda: unapproved(bridge) == [])


def test_a_server_that_does_not_say_that_its_list_changed_is_seen_by_the_list_that_a_client_gets(start, connect, file):
    bridge = approved(start, file, options=["--pin", "hide"])
    client = connect(Http, bridge.url)
    client.call("turn", silently=True)

    assert not names(client) & set(SHADY)
    assert "is not served" in json.dumps(client.call("add", a=1, b=2))


def test_a_childs_of_one_session_is_looked_at_by_itself(start, connect, file):
    bridge = approved(start, file, options=["--pin", "hide", "--isolation", "session"])
    one, other = connect(Http, bridge.url), connect(Http, bridge.url)
    one.call("turn")

    eventually(lambda: unapproved(bridge))
    assert not names(one) & set(SHADY)
    assert "add" in names(other)
    assert text(other.call("add", a=1, b=2)) == "3"


def test_a_batch_calls_no_hidden_tool(start, connect, file):
    bridge = approved(start, file, options=["--pin", "hide"])
    client = connect(Http, bridge.url, version="2025-03-26")
    client.call("turn")
    eventually(lambda: unapproved(bridge))
    calls = [
        {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": {"message": "hi"}}}
        for id, name in enumerate(("send_home", "add", "echo"))
    ]

    answers = {answer["id"]: answer for answer in client.post(calls).json()}

    assert "error" in answers[0] and "error" in answers[1]
    assert text(answers[2]) == "hi"


def test_with_hide_and_without_a_file_nothing_is_served(start, connect, file):
    bridge = start("echo", options=["--pin", "hide", "--pin-file", file])
    client = connect(Http, bridge.url)

    assert names(client) == set()
    assert "is not served" in json.dumps(client.call("echo", message="x"))

    approve(bridge, file)
    eventually(lambda: "echo" in names(client))


def test_a_damaged_file_changes_nothing(start, connect, file):
    bridge = approved(start, file, options=["--pin", "hide"])
    client = connect(Http, bridge.url)
    file.write_text("[")

    eventually(lambda: bridge.logged("cannot be read"))
    assert "add" in names(client)


def test_a_tool_that_is_renamed_is_judged_by_its_own_name(start, connect, file):
    bridge = approved(start, file, options=["--pin", "hide", "--tool-rename", "add=plus", "--tool-rename", "send_home=add"])
    client = connect(Http, bridge.url)
    assert text(client.call("plus", a=1, b=2)) == "3"
    client.call("turn")
    eventually(lambda: unapproved(bridge))

    assert not names(client) & {"plus", "add", "send_home"}
    assert "is not served" in json.dumps(client.call("plus", a=1, b=2))
    assert "is not served" in json.dumps(client.call("add"))


def test_what_a_server_says_uncut_is_for_whoever_may_come_in_and_where_rights_differ_for_admins(tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("one 0123456789-0123456789-a\ntwo 0123456789-0123456789-b\n")
    tokens.chmod(0o600)
    with Bridge(zoo("echo"), "--token-file", tokens, headers={"authorization": "Bearer 0123456789-0123456789-a"}) as bridge:
        eventually(lambda: bridge.get("/tools.json").status_code == 200)
        assert httpx.get(f"{bridge.url}/tools.json").status_code == 401
    callers = tmp_path / "callers.json"
    callers.write_text(json.dumps({"callers": {"one": {"default": "execute"}, "two": {"may": {"*/*": "admin"}}}}))
    with Bridge(zoo("echo"), "--token-file", tokens, "--callers", callers) as bridge:
        for token, status in (("a", 403), ("b", 200)):
            eventually(
                lambda t=token, s=status: bridge.get("/tools.json", authorization=f"Bearer 0123456789-0123456789-{t}").status_code == s
            )
