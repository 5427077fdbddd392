"""The servers that people really run, from PyPI and npm, each through every transport of one bridge."""

import http.server
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from environments import SERVERS, server
from support import Bridge, Client, Http, Ws, eventually, text

ENTITY = {"name": "bridge", "entityType": "program", "observations": ["relays bytes"]}
NO_NODE = ["--env", "PATH=/nowhere"]  # where it finds Node, its first call installs npm packages
NOTE, PAGE = "what the note says", "<html><title>t</title><body><article><p>A page on loopback.</p></article></body></html>"


@dataclass(frozen=True)
class Real:
    """How a server is started, who it says it is, and a call with what its answer must contain."""

    name: str
    tool: str
    arguments: dict
    answer: str
    command: list = field(default_factory=list)
    options: list = field(default_factory=list)


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Iterator[dict[str, Real]]:
    folder = tmp_path_factory.mktemp("real").resolve()
    (folder / "note.txt").write_text(NOTE)
    repository = commit(folder / "repository")
    with page() as url:
        read_note = {"path": str(folder / "note.txt")}
        memory = {"options": ["--env", f"MEMORY_FILE_PATH={folder / 'memory.jsonl'}", "--max-in-flight", "1"]}
        git = {"command": ["--repository", repository]}
        yield {
            "everything": Real("mcp-servers/everything", "get-sum", {"a": 2, "b": 40}, "42"),
            "filesystem": Real("secure-filesystem-server", "read_text_file", read_note, NOTE, [folder]),
            "memory": Real("memory-server", "create_entities", {"entities": [ENTITY]}, "", **memory),
            "time": Real("mcp-time", "get_current_time", {"timezone": "Asia/Tokyo"}, '"timezone": "Asia/Tokyo"'),
            "git": Real("mcp-git", "git_log", {"repo_path": str(repository)}, "the first commit", **git),
            "fetch": Real("mcp-fetch", "fetch", {"url": url}, "A page on loopback.", ["--allow-private-ips"], NO_NODE),
        }


def commit(repository: Path) -> Path:
    git = ["git", "-C", repository, "-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    repository.mkdir()
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "the first commit"], check=True)
    return repository


@contextmanager
def page() -> Iterator[str]:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/page" else 404)  # it also asks for robots.txt
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}/page"
        web.shutdown()


@pytest.fixture(scope="module")
def bridges(real) -> Iterator[dict[str, Bridge]]:
    """All of them, starting side by side. That nothing is left of one after its stop is checked at its exit."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(Bridge([*server(name), *its.command], *its.options, ready=False)) for name, its in real.items()}


@pytest.mark.parametrize("name", SERVERS)
def test_a_real_server_is_listed_and_called_through_every_transport(real, bridges, connect, transport, name):
    its = real[name]
    client = connect(transport, bridges[name].url, timeout=30)  # six of them are starting side by side

    tools = client.request("tools/list")["result"]["tools"]
    answer = client.call(its.tool, **its.arguments)

    assert client.initialized["serverInfo"]["name"] == its.name
    assert its.tool in [tool["name"] for tool in tools]
    assert answer["result"].get("isError", False) is False
    assert its.answer in text(answer)


# What they lose when two calls run at once


def test_memory_keeps_all_of_40_concurrent_writes_with_one_in_flight(bridges, connect):
    """With more it keeps one of them, and answers each as a success."""
    client = connect(Http, bridges["memory"].url)

    calls = [client.begin_call("create_entities", entities=[ENTITY | {"name": f"entity {number}"}]) for number in range(40)]
    answers = [call.result(10) for call in calls]

    graph = json.loads(text(client.call("read_graph")))
    assert not any(answer["result"].get("isError") for answer in answers)
    assert {f"entity {number}" for number in range(40)} <= {entity["name"] for entity in graph["entities"]}


def test_filesystem_keeps_all_of_24_concurrent_edits_with_one_in_flight(start_filesystem, connect, tmp_path):
    client = connect(Ws, start_filesystem("--max-in-flight", "1").url)
    file = tmp_path / "list.txt"
    file.write_text("".join(f"line {number:02}\n" for number in range(24)))

    def edit(number):
        edits = [{"oldText": f"line {number:02}", "newText": f"edited {number:02}"}]
        return client.begin_call("edit_file", path=str(file), edits=edits)

    answers = [call.result(10) for call in [edit(number) for number in range(24)]]

    assert not any(answer["result"].get("isError") for answer in answers)
    assert file.read_text() == "".join(f"edited {number:02}\n" for number in range(24))


# What a client could talk them into


@pytest.fixture
def start_filesystem(tmp_path) -> Iterator[Callable[..., Bridge]]:
    """A bridge around server-filesystem that may touch `tmp_path` only."""
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(Bridge([*server("filesystem"), tmp_path], *options))


def roots(method: str, params: dict) -> dict:
    return {"roots": [{"uri": "file:///etc", "name": "etc"}]}


Offering: Callable[..., Client] = partial(Http, capabilities={"roots": {"listChanged": True}}, on_ask=roots)


def test_a_client_cannot_replace_the_folders_of_filesystem_by_offering_roots(start_filesystem, connect, tmp_path):
    """It takes a client's roots in the place of the operator's folders."""
    client = connect(Offering, start_filesystem().url)
    (tmp_path / "mine.txt").write_text("mine")

    client.notify("notifications/roots/list_changed")
    allowed = text(client.call("list_allowed_directories"))
    refused = client.call("read_text_file", path="/etc/passwd")
    mine = client.call("read_text_file", path=str(tmp_path / "mine.txt"))

    assert "/etc" not in allowed
    assert refused["result"]["isError"] is True
    assert "Access denied" in text(refused)
    assert text(mine) == "mine"
    assert client.asked == []


def test_with_client_roots_relay_the_operator_lets_it(start_filesystem, connect):
    """So the test above would notice."""
    client = connect(Offering, start_filesystem("--client-roots", "relay").url)

    eventually(lambda: "/etc" in text(client.call("list_allowed_directories")))

    assert "root:" in text(client.call("read_text_file", path="/etc/passwd"))


# Their end


@pytest.mark.parametrize("name", ["everything", "time"])
def test_nothing_is_left_of_a_server_after_the_stop_whatever_it_waits_for(name, connect):
    """A TypeScript server lingers for 60 s after the end of its input while its roots/list is unanswered."""
    silent = {"capabilities": {"roots": {}, "sampling": {}}, "on_ask": lambda method, params: None}
    with Bridge(server(name), "--client-roots", "relay") as bridge:
        client = connect(Http, bridge.url, **silent)
        if name == "everything":
            eventually(lambda: client.asked, message="it asks for roots at once")
        children = bridge.children()

        code, seconds = bridge.stop()

        assert len(children) == 2  # the shared one and the client's own
        assert bridge.leftover() == []
        assert code == 0
        assert seconds < 10
