"""`mcp-bridge inspect`, held against the zoo's children and against a server of the official SDK on all transports."""

import argparse
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bridge import inspect
from bridge.inspect import plan

CHILDREN = Path(__file__).parent / "children"

SERVER = '''
"""serve.py PORT [--sse-says-less] [--token T] [--no-websocket] [--modern-only] [--lost-messages] [--nothing]"""
import json, sys
import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter
import anyio
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

def demo(less=False):
    server = MCPServer("demo", version="1.2", instructions="Ask nicely.")
    @server.tool()
    def add(a: int, b: int = 3) -> int:
        """Adds two numbers."""
        return a + b
    if not less:
        @server.tool(name="shout.loud")
        def shout(text: str) -> str:
            return text.upper()
    @server.resource("demo://readme", mime_type="text/plain")
    def readme() -> str:
        return "hi"
    @server.resource("demo://people/{who}")
    def person(who: str) -> str:
        return who
    @server.prompt()
    def review(code: str, language: str = "any") -> str:
        """Reviews code."""
        return code
    return server

async def over_websocket(socket):
    await socket.accept("mcp")
    to_server, incoming = anyio.create_memory_object_stream(1)
    outgoing, from_server = anyio.create_memory_object_stream(1)
    lowlevel = server._lowlevel_server
    async def inward():
        async with to_server:
            async for text in socket.iter_text():
                await to_server.send(SessionMessage(jsonrpc_message_adapter.validate_json(text)))
    async def outward():
        async for item in from_server:
            await socket.send_text(item.message.model_dump_json(by_alias=True, exclude_unset=True))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(inward)
        tasks.start_soon(outward)
        await lowlevel.run(incoming, outgoing, lowlevel.create_initialization_options())
        tasks.cancel_scope.cancel()

class Gate:
    def __init__(self, app): self.app = app
    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        headers = dict(scope["headers"])
        if token and headers.get(b"authorization") != b"Bearer " + token.encode():
            return await PlainTextResponse("who are you?", 401)(scope, receive, send)
        if "--lost-messages" in sys.argv and scope["path"].startswith("/messages"):
            return await PlainTextResponse("no such page", 404)(scope, receive, send)
        if "--modern-only" in sys.argv and scope["type"] == "http" and b"mcp-method" not in headers:
            error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32601, "message": "Method not found"}}
            return await Response(json.dumps(error), 404, media_type="application/json")(scope, receive, send)
        return await self.app(scope, receive, send)

token = sys.argv[sys.argv.index("--token") + 1] if "--token" in sys.argv else ""
server = demo()
app = server.streamable_http_app()
if "--nothing" in sys.argv:
    app.router.routes.clear()
elif "--modern-only" not in sys.argv:
    app.router.routes += demo("--sse-says-less" in sys.argv).sse_app().routes
    if "--no-websocket" not in sys.argv:
        app.router.routes.append(WebSocketRoute("/ws", over_websocket))
uvicorn.run(Gate(app), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", timeout_graceful_shutdown=1)
'''


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """serve(*options) is the base URL of an SDK server with these options; one process for each set of options."""
    script = tmp_path_factory.mktemp("server") / "serve.py"
    script.write_text(SERVER)
    running: dict[tuple, tuple] = {}

    def start(*options: str) -> str:
        if options not in running:
            port = free_port()
            running[options] = port, subprocess.Popen([sys.executable, str(script), str(port), *options])
            wait_until_listening(port)
        return f"http://127.0.0.1:{running[options][0]}"

    yield start
    for _, process in running.values():
        process.terminate()
    for _, process in running.values():
        process.wait(5)


@pytest.fixture
def run(capsys):
    """run(*argv) is (exit code, stdout, stderr)."""

    def run(*argv: str) -> tuple[int, str, str]:
        options, _, command = (list(part) for part in partition(argv))
        code = inspect.run(parser().parse_args(options), command)
        return code, *capsys.readouterr()

    return run


def partition(argv):
    at = argv.index("--") if "--" in argv else len(argv)
    return argv[:at], argv[at : at + 1], argv[at + 1 :]


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    inspect.add_arguments(parser)
    return parser


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


def child(name: str, *options: str) -> list[str]:
    return ["--", sys.executable, str(CHILDREN / name), *options]


# A base URL: every transport


def test_a_base_url_reports_every_transport_and_the_facts_once(run, serve):
    code, out, err = run(serve())

    assert (code, err) == (0, "")
    first, second, third, same, *facts = out.splitlines()
    assert first.startswith(f"streamable-http  {serve()}/mcp") and "works: 2025-11-25, 2 tools, " in first
    assert second.startswith(f"sse              {serve()}/sse") and "works: " in second
    assert third.startswith(f"websocket        {serve().replace('http', 'ws')}/ws") and "works: " in third
    assert same == "all that work say the same:"
    assert facts == FACTS.splitlines()


FACTS = """
server        demo 1.2
revision      2025-11-25
capabilities  prompts, resources, tools
instructions  Ask nicely.

tools (2)
  add - Adds two numbers.
      a: integer  (required)
      b: integer = 3
  shout.loud
      text: string  (required)

resources (1)
  demo://readme  readme  (text/plain)

resource templates (1)
  demo://people/{who}  person  (text/plain)

prompts (1)
  review - Reviews code.
      code: string  (required)
      language: string
"""


def test_a_transport_that_is_not_offered_is_no_failure(run, serve):
    code, out, _ = run(serve("--no-websocket"))

    assert code == 0
    assert out.splitlines()[2].startswith("websocket ")
    assert out.splitlines()[2].endswith("/ws     not offered: HTTP 403, or refused")


def test_transports_that_disagree_are_named_with_the_difference(run, serve):
    code, out, _ = run(serve("--sse-says-less"))

    assert code == 0
    assert "differs on sse: tools: shout.loud is missing" in out
    assert "say the same" not in out


def test_json_has_everything_raw(run, serve):
    code, out, _ = run(serve(), "--json")
    told = json.loads(out)

    assert code == 0
    assert [(endpoint["transport"], endpoint["state"], endpoint["tools"]) for endpoint in told["transports"]] == [
        ("streamable-http", "works", 2),
        ("sse", "works", 2),
        ("websocket", "works", 2),
    ]
    assert told["differences"] == {} and told["problems"] == []
    assert told["server"] == {"name": "demo", "version": "1.2"}
    assert [tool["name"] for tool in told["tools"]] == ["add", "shout.loud"]
    assert told["tools"][0]["outputSchema"]["type"] == "object"
    assert told["opening"]["protocolVersion"] == "2025-11-25"


# One endpoint


@pytest.mark.parametrize("endpoint", ["/mcp", "/sse", "/ws"])
def test_an_endpoint_is_visited_alone(run, serve, endpoint):
    code, out, err = run(serve() + endpoint, "--call", "add", '{"a": 4}')

    assert (code, out, err) == (0, "7\n", "")


def test_a_transport_can_be_forced(run, serve):
    code, out, _ = run(serve(), "--transport", "sse", "--json")

    assert code == 0
    assert [endpoint["transport"] for endpoint in json.loads(out)["transports"]] == ["sse"]


def test_a_server_without_handshake_is_asked_the_modern_way(run, serve):
    code, out, _ = run(serve("--modern-only") + "/mcp")
    called = run(serve("--modern-only") + "/mcp", "--call", "shout.loud", '{"text": "a"}')

    assert code == 0
    assert "works: 2026-07-28, 2 tools" in out and "server        demo 1.2" in out
    assert called == (0, "A\n", "")


# A command


def test_a_command_is_started_and_asked(run):
    code, out, err = run(*child("echo.py", "--instructions", "Be kind", "--version", "2024-11-05"))

    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("stdio  ") and "works: 2024-11-05, " in out
    assert "\ninstructions  Be kind\n" in out
    assert "  add\n      a: number  (required)\n      b: number  (required)\n" in out


def test_all_pages_are_fetched(run):
    one = json.loads(run("--json", *child("echo.py"))[1])
    many = json.loads(run("--json", *child("echo.py", "--pages", "5"))[1])

    assert many["tools"] == one["tools"] and len(one["tools"]) > 10


def test_a_tool_that_the_sdk_refuses_is_shown_as_it_is(run):
    """The SDK's session raises on an inputSchema without `type`: then nobody would see which tool it is."""
    code, out, _ = run("--json", *child("bad_results.py", "--bad-tools"))
    tools = json.loads(out)["tools"]

    assert code == 0
    assert any("type" not in (tool.get("inputSchema") or {}) for tool in tools)


def test_noise_on_stdout_is_skipped_and_counted(run):
    code, out, err = run(*child("chatty.py"))

    assert code == 0 and "works: " in out
    assert "message(s) that are not MCP were skipped" in err


def test_the_environment_and_directory_of_a_command_can_be_set(run, monkeypatch, tmp_path):
    monkeypatch.setenv("PASSED", "on")
    monkeypatch.setenv("KEPT", "back")
    options = ["--env", "PASSED", "--env", "SET=a=b", "--cwd", str(tmp_path)]
    env = json.loads(run("--call", "env", "{}", *options, *child("echo.py"))[1])
    cwd = run("--call", "cwd", "{}", *options, *child("echo.py"))[1]
    everything = json.loads(run("--call", "env", "{}", "--env", "*", *child("echo.py"))[1])

    assert (everything["PASSED"], everything["KEPT"]) == ("on", "back")
    assert (env["PASSED"], env["SET"], "KEPT" in env) == ("on", "a=b", False)
    assert cwd == f"{tmp_path}\n"


# --call


def test_what_a_tool_returns_is_printed_as_text(run):
    code, out, err = run("--call", "echo", '{"message": "Grüße"}', *child("echo.py"))

    assert (code, out, err) == (0, "Grüße\n", "")


def test_other_content_is_a_note_of_type_and_size(run):
    content = [
        {"type": "image", "mimeType": "image/png", "data": "AAAA"},
        {"type": "resource", "resource": {"uri": "file:///a", "mimeType": "text/plain", "text": "four"}},
        {"type": "resource_link", "uri": "file:///b", "name": "b"},
        {"type": "hologram"},
    ]
    result = json.dumps({"content": content})
    code, out, _ = run("--call", "raw", json.dumps({"result": result}), *child("echo.py"))

    assert code == 0
    assert out.splitlines() == [
        "[image image/png, 3 bytes]",
        "[resource file:///a text/plain, 4 characters]",
        "[resource_link file:///b]",
        "[hologram, 20 characters of JSON]",
    ]


def test_json_prints_the_whole_result(run):
    code, out, _ = run("--json", "--call", "typed", '{"value": 5}', *child("echo.py"))

    assert (code, json.loads(out)["structuredContent"]) == (0, {"value": 5})


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        ("fail", "fail answered with an error"),
        ("error", "error failed: it broke (-32000)"),
        ("ech", "there is no tool 'ech'; there are: add, "),
    ],
)
def test_a_failed_call_exits_with_1_and_says_why(run, tool, says):
    code, _, err = run("--call", tool, "{}", *child("echo.py"))

    assert code == 1
    assert err.startswith(f"mcp-bridge inspect: {says}") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "code", "says"), [("hello", 0, ""), ("good bye", 1, "mcp-bridge inspect: echo answered without 'good bye' in it\n")]
)
def test_a_call_may_have_to_answer_something_certain(run, text, code, says):
    ended, _, err = run("--call", "echo", '{"message": "hello you"}', "--expect", text, *child("echo.py"))

    assert (ended, err) == (code, says)


# --openai


def test_openai_prints_function_definitions_with_valid_names(run, serve):
    code, out, err = run(serve(), "--openai")
    add, shout = json.loads(out)

    assert code == 0
    assert (add["type"], add["function"]["name"], add["function"]["description"]) == ("function", "add", "Adds two numbers.")
    assert add["function"]["parameters"]["required"] == ["a"]
    assert shout["function"]["name"] == "shout_loud"
    assert "tool 'shout.loud' is called 'shout_loud'" in err


def test_openai_names_stay_apart_and_schemas_get_a_type():
    from bridge.inspect.openai import functions

    definitions, notes = functions([{"name": "a.b"}, {"name": "a/b", "inputSchema": {}}, {"name": "é" * 70}])

    assert [each["function"]["name"] for each in definitions] == ["a_b", "a_b_2", "_" * 64]
    assert {json.dumps(each["function"]["parameters"]) for each in definitions} == {'{"type": "object", "properties": {}}'}
    assert len(notes) == 3


# What goes wrong


def test_nobody_listens(run):
    port = free_port()
    code, out, err = run(f"http://127.0.0.1:{port}")

    assert (code, out) == (1, "")
    expected = f"http://127.0.0.1:{port}/mcp: cannot connect to 127.0.0.1:{port}: connection refused; is it running"
    assert err.startswith(f"mcp-bridge inspect: {expected}") and err.count("\n") == 1


def test_a_token_is_asked_for_and_taken_from_a_file(run, serve, tmp_path):
    base = serve("--token", "s3cret")
    (tmp_path / "tokens").write_text("# ours\nme s3cret\nyou other\n")

    without, with_token = run(base), run(base, "--token-file", str(tmp_path / "tokens"))
    with_header = run(base, "--header", "Authorization: Bearer s3cret")

    assert without[0] == 1 and without[2].count("HTTP 401: it wants a token; give one with --token-file") == 3
    assert with_token[0] == with_header[0] == 0
    assert with_token[1].count("works: ") == 3


def test_a_url_that_serves_no_mcp_says_so(run, serve):
    code, out, err = run(serve("--nothing"))

    assert (code, out) == (1, "")
    assert "/mcp: streamable-http is not offered there (HTTP 404)" in err


def test_a_message_endpoint_that_a_proxy_hides_does_not_make_us_wait(run, serve):
    """The SDK's SSE client only logs a refused POST, and the request hangs until its time is over."""
    started = time.monotonic()
    code, _, err = run(serve("--lost-messages") + "/sse")

    assert code == 1 and "answers HTTP 404: is a proxy in between?" in err
    assert time.monotonic() - started < 20


def test_a_child_that_dies_shows_its_last_words(run):
    code, out, err = run(*child("dies_at_start.py"))

    assert (code, out) == (1, "")
    assert "the command ended, or closed its output, before it answered initialize" in err
    assert err.endswith("  stderr: fatal: API_KEY is not set\n")


def test_a_child_that_never_answers_is_given_up(run):
    code, _, err = run("--timeout", "0.5", *child("never_answers.py"))

    assert code == 1
    assert "no answer within 0.5 s while waiting for initialize (--timeout)" in err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "nothing to inspect"),
        (["http://h", "--", "cat"], "not both"),
        (["host:8000"], "not a URL that can be inspected"),
        (["http://h:port"], "not a URL"),
        (["--", "no-such-command"], "no-such-command: there is no such command"),
        (["--cwd", "/nowhere", "--", "cat"], "--cwd /nowhere: there is no such directory"),
        (["--header", "X: y", "--", "cat"], "--header has no meaning for a command"),
        (["--expect", "a", "http://h"], "--expect is about the answer to a --call"),
        (["--env", "A=b", "http://h"], "--env has no meaning for a URL"),
        (["--env", "NOT_SET_ANYWHERE", "--", "cat"], "--env NOT_SET_ANYWHERE: it is not set here"),
        (["--transport", "stdio", "http://h"], "--transport stdio does not lead to a URL"),
        (["--transport", "sse", "--", "cat"], "--transport sse does not lead to a command"),
        (["--call", "add", "{a: 1}", "http://h"], "--call add: the arguments are not JSON"),
        (["--call", "add", "[1]", "http://h"], "must be one JSON object"),
        (["--call", "add", "{}", "--openai", "http://h"], "two questions"),
        (["--header", "nonsense", "http://h"], "--header nonsense: it must be NAME:VALUE"),
        (["--token-file", "/nowhere", "http://h"], "--token-file /nowhere: No such file"),
        (["--timeout", "0", "http://h"], "--timeout 0: it must be more than 0"),
    ],
)
def test_bad_usage_is_one_clear_line_and_exit_code_2(run, argv, says):
    code, out, err = run(*argv)

    assert (code, out) == (2, "")
    assert says in err and err.count("\n") == 1


# The pure parts


@pytest.mark.parametrize(
    ("url", "transport", "expected"),
    [
        ("http://h:1", None, ["streamable-http http://h:1/mcp", "sse http://h:1/sse", "websocket ws://h:1/ws"]),
        ("https://h/time/", None, ["streamable-http https://h/time/mcp", "sse https://h/time/sse", "websocket wss://h/time/ws"]),
        ("http://h/mcp/", None, ["streamable-http http://h/mcp/"]),
        ("http://h/sse?key=1", None, ["sse http://h/sse?key=1"]),
        ("http://h/ws", None, ["websocket ws://h/ws"]),
        ("wss://h", None, ["websocket wss://h/ws"]),
        ("ws://h/elsewhere", None, ["websocket ws://h/elsewhere"]),
        ("http://h", "sse", ["sse http://h/sse"]),
        ("http://h/events", "sse", ["sse http://h/events"]),
        ("ws://h/mcp", "streamable-http", ["streamable-http http://h/mcp"]),
    ],
)
def test_a_url_leads_to_these_ways(url, transport, expected):
    endpoints = plan.endpoints_of_url(url, transport)

    assert [f"{endpoint.transport} {endpoint.url}" for endpoint in endpoints] == expected


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "string"),
        ({}, "any"),
        (True, "any"),
        ({"type": ["string", "null"]}, "string|null"),
        ({"enum": ["a", 1]}, '"a"|1'),
        ({"const": "x"}, '"x"'),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer|null"),
        ({"type": "array", "items": {"type": "string"}}, "string[]"),
        ({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, "(string|null)[]"),
        ({"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]}, "{a: string, b?: any}"),
        ({"$ref": "#/$defs/Pair"}, "{left?: integer}"),
        ({"$ref": "http://elsewhere/Thing"}, "Thing"),
        ({"type": "object", "properties": []}, "object"),
    ],
)
def test_a_schema_in_a_few_characters(schema, expected):
    from bridge.inspect.schema import type_of

    pair = {"type": "object", "properties": {"left": {"$ref": "#/$defs/Leaf"}}}
    root = {"$defs": {"Pair": pair, "Leaf": {"type": "integer"}}}

    assert type_of(schema, root) == expected


def test_a_schema_that_contains_itself_comes_to_an_end():
    from bridge.inspect.schema import arguments

    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    (line,) = arguments({"properties": {"list": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": node}})

    assert line.startswith("list: {next?: ")


def test_the_sdk_is_imported_only_when_the_command_runs():
    program = "import sys, bridge.inspect; print([m for m in ('mcp', 'mcp_types', 'httpx2', 'pydantic') if m in sys.modules])"
    out = subprocess.check_output([sys.executable, "-c", program], text=True, timeout=20)

    assert out == "[]\n"
