"""Children that write their messages in another form, and programs that are no servers and are taken for one.

The forms' lines are in tests/protocol/test_odd_lines.py; here they go the whole way. Each program: what it is, what the
bridge says it looks like, and whether clients that wait are told at once because nothing is to be waited for.
"""

import json
import sys

import pytest
from support import Bridge, Http, eventually, text, zoo
from support.client import compose

HELLO = compose("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}})


def greeting(url: str) -> dict:
    client = Http(url)
    try:
        return client.request("initialize", HELLO["params"], timeout=8)
    finally:
        client.close()


def serving(tmp_path_factory, commands: dict[str, list[str]], **options) -> Bridge:
    """One bridge for all of these commands; their names are numbers."""
    file = tmp_path_factory.mktemp("config") / "mcps.json"
    file.write_text(
        json.dumps(
            {"mcpServers": {f"n{number}": {"command": command[0], "args": command[1:]} for number, command in enumerate(commands.values())}}
        )
    )
    return Bridge(None, "--config", file, **options)


FORMS = {
    form: zoo("writes_oddly", "--form", form)
    for form in ("bom", "utf16", "ansi", "prompt", "pretty", "array", "pair", "cr", "crlf", "nul", "floats", "pino", "headers")
}


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    with serving(tmp_path_factory, FORMS) as bridge:
        yield bridge


@pytest.mark.parametrize("form", FORMS)
def test_a_child_that_writes_oddly_is_understood(forms, form):
    with Http(f"{forms.url}/n{list(FORMS).index(form)}") as client:
        assert text(client.call("echo", message="hi")) == "hi"
        assert {tool["name"] for tool in client.request("tools/list")["result"]["tools"]} >= {"echo", "add"}
        assert client.call("error")["error"]["code"] == -32000


@pytest.mark.parametrize("form", ["lsp", "lsp_loud"])
def test_a_child_that_wants_headers_is_spoken_to_with_headers(form):
    """Another process is asked so, because a child that is only slow may die of them."""
    with Bridge(zoo("writes_oddly", "--form", form)) as bridge, Http(bridge.url) as client:
        assert text(client.call("echo", message="hé")) == "hé"
        assert bridge.logged("the server wants a Content-Length header")
        assert len(bridge.children()) == 1


def said(words: str, then: str = "exec sleep 60") -> list[str]:
    return ["sh", "-c", f"printf '%b' \"$1\"; {then}", "sh", words]


def complained(words: str, then: str = "exec sleep 60") -> list[str]:
    return ["sh", "-c", f"printf '%b' \"$1\" >&2; {then}", "sh", words]


PROGRAMS = {  # the command, what is said of it, and whether clients are told at once
    "help text": (said("usage: server [-h] --db PATH\\n\\noptions:\\n  -h, --help  show this help\\n"), "help text", True),
    "an HTTP server": ([sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"], "an HTTP server", True),
    "an HTTP server that says so on stderr": (
        complained("INFO: Uvicorn running on http://127.0.0.1:8000\\n", "exec sleep 60"),
        "an HTTP server",
        True,
    ),
    "an HTTP answer": (said("HTTP/1.1 400 Bad Request\\r\\nContent-Type: text/plain\\r\\n\\r\\n"), "HTTP server's answer", True),
    "a web page": (said("<!DOCTYPE html>\\n<html>\\n"), "web page", True),
    "Python's prompt": (said('Python 3.13.1 (main)\\nType "help" for more.\\n>>> '), "interpreter", True),
    "npx that asks": (said("Need to install the following packages:\\nx@1.0.0\\nOk to proceed? (y) "), "add -y", True),
    "a password prompt": (said("Enter passphrase for key: "), "asks a question", True),
    "a log on stdout": (said('{"level":30,"time":1,"msg":"starting"}\\n'), "log as JSON", False),
    "a banner": (said("* My MCP Server v1.2 *\\n"), "My MCP Server v1.2", False),
    "no end of a line": (said('{"jsonrpc":"2.0","id":1'), "no end", False),
    "control characters": (said("\\033[2Jhello\\001\\n"), "“hello\\x01”", False),
    "a secret": (said("API_KEY=hush-hush-hush loaded\\n"), "API_KEY=[redacted]", False),
    "binary data": (said("\\001\\002\\003\\004x\\001\\002\\n"), "binary data", False),
    "an error without an id": (said('{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batch"}}\\n'), "no batch", False),
    "silence, unread": (["sleep", "60"], "has not read its stdin", False),
    "silence, read": (["sh", "-c", "read line; exec sleep 60"], "says nothing", False),
    "a shell": (["sh"], "takes our messages for commands", True),
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    with serving(tmp_path_factory, {name: command for name, (command, _, _) in PROGRAMS.items()}, ready=False) as bridge:
        yield bridge


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_no_server_is_told_within_seconds(programs, program):
    _, looks_like, at_once = PROGRAMS[program]
    name = f"n{list(PROGRAMS).index(program)}"
    reason = eventually(lambda: looks_like in (word := programs.ready(name)["reason"]) and word, 8)

    assert reason.isprintable()
    assert "hush" not in reason
    assert any(looks_like.replace("\\", "\\\\") in line for line in programs.logged("the server has not answered yet"))
    assert not any("hush" in line for line in programs.logged("the server has not answered yet"))
    if at_once:
        assert looks_like in greeting(f"{programs.url}/{name}")["error"]["message"]  # although --start-timeout is a minute


@pytest.mark.parametrize(
    ("command", "looks_like"),
    [
        (said("usage: server [-h] PATH\\n", "exit 2"), "usage: server [-h] PATH”: this looks like help text"),
        (["sh", "-c", "no-such-mcp-server"], "a shell that does not find a command"),
        ([sys.executable, "-c", "import no_such_package"], "not installed"),
        (complained("Error: Cannot find module '/app/index.js'\\n", "exit 1"), "not installed"),
    ],
)
def test_what_a_program_wrote_before_it_ended_is_in_the_reason(command, looks_like):
    with Bridge(command, "--max-restarts", "1", ready=False) as bridge:
        eventually(lambda: bridge.ready()["state"] == "fatal")

        assert looks_like in bridge.ready()["reason"]
        assert "exited (code" in bridge.ready()["reason"]


@pytest.mark.parametrize("words", ["Server listening on http://localhost:3000\\n", "usage: none needed\\n"])
def test_a_child_whose_first_words_look_like_no_server_works_all_the_same(words):
    server = " ".join(json.dumps(word) for word in zoo("echo"))
    with Bridge(said(words, f"sleep 2.5; exec {server}")) as bridge, Http(bridge.url) as client:
        assert text(client.call("echo", message="hi")) == "hi"
        assert bridge.metrics().value("mcp_bridge_child_starts_total") == 1


def test_a_child_that_is_busy_is_waited_for_whatever_it_printed():
    """It uses the processor: it may well be an import that takes long."""
    busy = "import time; print('Serving on port 80', flush=True); end = time.time() + 3\nwhile time.time() < end: pass"
    server = " ".join(json.dumps(word) for word in zoo("echo"))
    with Bridge(["sh", "-c", f'{json.dumps(sys.executable)} -c "$1"; exec {server}', "sh", busy], ready=False) as bridge:
        assert "result" in greeting(bridge.url)


def test_the_reason_of_a_start_that_took_too_long_says_what_came_instead():
    with Bridge(said("hello there\\n"), "--start-timeout", "0.5", "--max-restarts", "1", ready=False) as bridge:
        eventually(lambda: bridge.ready()["state"] == "fatal")

        assert "--start-timeout" in bridge.ready()["reason"]
        assert "“hello there”" in bridge.ready()["reason"]


def test_that_the_start_before_was_too_slow_is_in_the_reason_of_the_next():
    """One that needs longer than it has would be called "still starting" for ever."""
    with Bridge(["sleep", "60"], "--start-timeout", "2", "--backoff-initial", "0.01", ready=False) as bridge:
        reason = eventually(lambda: "before failed" in (word := bridge.ready()["reason"]) and word, 10)

    assert "the start before failed: no answer to initialize within 2 s (--start-timeout)" in reason
