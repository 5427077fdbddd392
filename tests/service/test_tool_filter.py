"""Hidden and renamed tools as clients of every transport meet them."""

import json

import pytest
from support import Bridge, Http, Modern, eventually, text, zoo

FILTER = ("--tool-allow", "e*", "--tool-allow", "add", "--tool-deny", "env", "--tool-rename", "add=plus", "--tool-rename", "echo=add")


@pytest.fixture(scope="module")
def filtered():
    with Bridge(zoo("echo"), *FILTER) as bridge:
        yield bridge


def names(client) -> list[str]:
    return [tool["name"] for tool in client.request("tools/list")["result"]["tools"]]


def test_clients_see_and_call_what_is_allowed_by_its_new_name(filtered, connect, transport):
    client = connect(transport, filtered.url)

    assert names(client) == ["add", "plus", "error"]
    assert text(client.call("plus", a=1, b=2)) == "3"
    assert text(client.call("add", message="hi")) == "hi"
    for hidden in ("env", "echo", "pid", "nothing"):
        assert client.call(hidden)["error"] == {"code": -32602, "message": f"Unknown tool: {hidden}"}


def test_a_tool_keeps_all_but_its_name(filtered, echo, connect):
    before = {tool["name"]: tool for tool in connect(Http, echo.url).request("tools/list")["result"]["tools"]}
    after = {tool["name"]: tool for tool in connect(Http, filtered.url).request("tools/list")["result"]["tools"]}

    assert after == {"add": before["echo"] | {"name": "add"}, "plus": before["add"] | {"name": "plus"}, "error": before["error"]}


def test_the_status_shows_what_clients_see(filtered):
    eventually(lambda: filtered.status()["mcps"]["echo"]["tools"] == ["add", "error", "plus"])


@pytest.mark.parametrize("listening", [False, True])
def test_a_batch_has_both(filtered, connect, listening):
    client = connect(Http, filtered.url, version="2025-03-26", listen=listening)
    batch = [
        {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": {"message": "hi"}}}
        for id, name in ((1, "add"), (2, "echo"))
    ]

    answers = {answer["id"]: answer for answer in client.post(batch).json()}

    assert text(answers[1]) == "hi"
    assert answers[2]["error"]["code"] == -32602


def test_litellm_gets_a_result_for_a_hidden_tool(start, connect, transport):
    client = connect(transport, start("echo", "--pages", 5, options=["--profile", "litellm", *FILTER]).url)

    result = client.call("env")["result"]

    assert result == {"content": [{"type": "text", "text": "Unknown tool: env"}], "isError": True}


def test_a_sleeping_childs_list_follows_the_filter_of_today(start, connect, tmp_path):
    """The file says what the child has; a bridge with another filter reads the same file."""
    sleepy = ["--idle-stop", "0.05", "--cache-dir", tmp_path]
    first = start("echo", options=[*sleepy, "--tool-allow", "echo"])
    eventually(lambda: first.status()["mcps"]["echo"]["state"] == "asleep")
    first.stop()
    second = start("echo", options=[*sleepy, "--lazy", "--tool-allow", "add", "--tool-rename", "add=plus"])

    client = connect(Http, second.url, listen=False)

    assert names(client) == ["plus"]
    assert second.status()["mcps"]["echo"]["state"] == "asleep"
    assert client.call("echo", message="x")["error"]["code"] == -32602
    assert second.status()["mcps"]["echo"]["state"] == "asleep", "a hidden tool wakes nobody"
    assert text(client.call("plus", a=1, b=1)) == "2"


def test_what_does_not_fit_the_server_is_logged(start):
    bridge = start("echo", options=["--tool-rename", "add=echo", "--tool-allow", "ad*", "--tool-allow", "echo", "--tool-allow", "ehco"])
    lines = eventually(lambda: bridge.logged("does not fit"))

    assert "the server has a tool 'echo' of its own" in "\n".join(lines)
    assert "--tool-allow ehco: the server has no such tool" in "\n".join(lines)
    assert len(lines) == 2


def test_each_mcp_of_a_file_has_its_own_and_a_reload_changes_it(connect, tmp_path):
    file, admins = tmp_path / "mcps.json", tmp_path / "admins"
    admins.write_text("secret-0123456789\n")
    program, *arguments = zoo("echo")

    def write(**one):
        entry = {"command": program, "args": arguments}
        file.write_text(json.dumps({"mcpServers": {"one": entry | one, "two": entry}}))

    write(tool_allow=["add"], tool_rename={"add": "plus"})
    with Bridge(None, "--config", file, "--admin-token-file", admins, "--tool-deny", "a*") as bridge:
        one, two = (names(connect(Http, f"{bridge.url}/{name}", listen=False)) for name in ("one", "two"))
        write(tool_rename=["echo=say"], tool_deny=[])
        reloaded = bridge.http.post("/-/reload", headers={"authorization": "Bearer secret-0123456789"}).json()
        again = names(connect(Http, f"{bridge.url}/one", listen=False))

    assert one == [], "the command line's --tool-deny still counts where the entry has none"
    assert "echo" in two
    assert "add" not in two
    assert reloaded["changed"] == ["one"]
    assert again[:2] == ["say", "add"]


@pytest.mark.parametrize("child", [("echo",), ("modern", "--like-echo")], ids=["legacy child", "modern child"])
def test_modern_clients_see_and_call_the_same(child):
    with Bridge(zoo(*child), *FILTER) as bridge, Modern(bridge.url) as client:
        shown = [tool["name"] for tool in client.request("tools/list")["result"]["tools"]]
        assert set(shown) <= {"add", "plus", "error"} and "add" in shown
        assert text(client.call("add", message="hi")) == "hi"
        assert client.call("env")["error"] == {"code": -32602, "message": "Unknown tool: env"}
        assert client.call("echo", message="hi")["error"]["code"] == -32602


def test_clients_with_a_session_see_the_same_of_a_modern_child(connect, transport):
    with Bridge(zoo("modern"), *FILTER) as bridge:
        client = connect(transport, bridge.url)
        assert "echo" not in names(client)
        assert text(client.call("add", message="hi")) == "hi"
        assert client.call("env")["error"]["code"] == -32602
