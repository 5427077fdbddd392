"""MCPs added, listed and removed while the bridge runs, over HTTP and from Python."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from support import Bridge as Running
from support import Http, eventually, text, zoo

from bridge.client import Bridge, BridgeError, NotReady

ADMIN = {"authorization": "Bearer admin-secret-0123456789"}
ECHO = {"command": zoo("echo")[0], "args": zoo("echo")[1:]}
EMPTY = '{\n  // ours\n  "theme": "dark",\n  "mcpServers": {}\n}\n'


@pytest.fixture
def serve(tmp_path):
    """Start a bridge with this config file, and end it."""
    (tmp_path / "admins").write_text("admin-secret-0123456789\n")
    started = []

    def start(content: str = EMPTY, *options, name: str = "mcps.json") -> Running:
        file = tmp_path / name
        file.write_text(content)
        return again(file, *options)

    def again(file: Path, *options) -> Running:
        options = options or ("--admin-api", "--admin-token-file", tmp_path / "admins")
        bridge = Running(None, "--config", file, *options, ready=False)
        bridge.__enter__()
        started.append(bridge)
        bridge.file = file
        return bridge

    start.again = again
    yield start
    for bridge in started:
        bridge.__exit__(None, None, None)


def admin(bridge: Running, method: str, path: str, body: object = None, **headers):
    return bridge.http.request(method, f"/-/{path}", headers=ADMIN | headers, json=body)


def test_a_program_registers_lists_calls_and_unregisters(serve):
    bridge = serve()
    with Bridge(bridge.url, admin_token="admin-secret-0123456789") as client:
        assert client.servers() == []
        server = client.register("echo", ECHO["command"], ECHO["args"], env={"SAYS": "hello"}, max_in_flight=2)

        assert (server.name, server.url, server.is_ready) == ("echo", f"{bridge.url}/echo/mcp", True)
        assert client.call("echo", "echo", message="grüße").text == "grüße"
        assert json.loads(client.call("echo", "env").text)["SAYS"] == "hello"
        eventually(lambda: {"echo"} == {tool["mcp"] for tool in client.tools()})
        assert [one.name for one in client.servers()] == ["echo"]
        with pytest.raises(BridgeError, match="PUT") as taken:
            client.register("echo", ECHO["command"])
        assert taken.value.status == 409
        assert client.register("echo", ECHO["command"], [*ECHO["args"], "--instructions", "new"], replace=True).is_ready
        client.unregister("echo")
        assert client.servers() == []
        with pytest.raises(BridgeError, match="no MCP"):
            client.unregister("echo")


def test_a_restart_knows_them_and_the_file_keeps_what_else_is_in_it(serve):
    bridge = serve()
    assert admin(bridge, "POST", "servers", {"name": "echo", **ECHO, "max-in-flight": 3}).status_code == 201
    assert admin(bridge, "POST", "servers", {"name": "other", **ECHO}).status_code == 201
    assert admin(bridge, "DELETE", "servers/other").status_code == 204
    before = bridge.file.read_text()
    bridge.stop()
    again = serve.again(bridge.file)

    assert "// ours" in before and '"theme": "dark"' in before
    assert [server["name"] for server in admin(again, "GET", "servers").json()["servers"]] == ["echo"]
    with Http(f"{again.url}/echo") as client:
        assert text(client.call("echo", message="still")) == "still"
    assert [path.name for path in bridge.file.parent.iterdir() if path.name.startswith(".")] == []


def test_others_go_on_while_one_comes_and_goes(serve):
    bridge = serve(
        f"mcpServers:\n  stays:  # mine\n    command: {sys.executable}\n    args: {json.dumps(zoo('stateful')[1:])}\n", name="mcps.yaml"
    )
    with Http(f"{bridge.url}/stays") as client:
        first = json.loads(text(client.call("next")))
        assert admin(bridge, "PUT", "servers/comes", ECHO).status_code == 201
        assert admin(bridge, "PUT", "servers/comes", {**ECHO, "env": {"A": "1"}}).status_code == 200
        assert admin(bridge, "DELETE", "servers/comes").status_code == 204
        assert json.loads(text(client.call("next"))) == {"count": 2, "pid": first["pid"]}
    assert "stays:  # mine" in bridge.file.read_text()


@pytest.mark.parametrize(
    "definition, why",
    [
        ({}, "nothing is said"),
        ({"args": ["x"]}, "'command' is missing"),
        ({"command": "no-such-program"}, "command not found: 'no-such-program'"),
        ({**ECHO, "arg": ["x"]}, "unknown field 'arg'"),
        ({**ECHO, "colour": "red"}, "unknown field 'colour'"),
        ({**ECHO, "timeout": 5}, "unknown field 'timeout'"),
        ({**ECHO, "args": "x"}, "not a list"),
        ({**ECHO, "args": ["a\0b"]}, "null byte"),
        ({**ECHO, "isolation": "nobody"}, "must be one of"),
        ({**ECHO, "max_in_flight": -1}, "must be 0 or more"),
        ({**ECHO, "cwd": "${NO_SUCH_VARIABLE}"}, "NO_SUCH_VARIABLE"),
        ({**ECHO, "disabled": True}, "disabled"),
        ({"url": "http://127.0.0.1:1/mcp"}, "remote"),
        ({**ECHO, "isolation": "principal"}, "--token-file"),
    ],
)
def test_a_bad_definition_changes_nothing_and_says_what_is_wrong(serve, definition, why):
    bridge = serve(json.dumps({"mcpServers": {"kept": ECHO}}))
    before = bridge.file.read_bytes(), bridge.file.stat().st_ino
    for method, path, body in (("POST", "servers", {"name": "new", **definition}), ("PUT", "servers/kept", definition)):
        response = admin(bridge, method, path, body)
        assert (response.status_code, why in response.json()["error"]) == (400, True), response.text

    assert [server["name"] for server in admin(bridge, "GET", "servers").json()["servers"]] == ["kept"]
    if "--token-file" not in why:
        assert (bridge.file.read_bytes(), bridge.file.stat().st_ino) == before
    assert bridge.file.read_bytes() == before[0]


@pytest.mark.parametrize("name", ["", "-", "a/b", "..", "a b", "metrics", "mcp", "ä", "x" * 65, None, 5])
def test_a_name_that_is_none_is_refused(serve, name):
    assert admin(serve(), "POST", "servers", {"name": name, **ECHO}).status_code == 400


def test_a_server_that_does_not_start_says_so(serve):
    bridge = serve()
    dies = zoo("dies_at_start")
    with Bridge(bridge.url, admin_token="admin-secret-0123456789") as client, pytest.raises(NotReady, match="dies is not ready: .*exit"):
        client.register("dies", dies[0], dies[1:], max_restarts=0)


def test_nothing_is_possible_without_the_admins_right(serve, tmp_path):
    bridge = serve()
    body = {"name": "new", **ECHO}
    for path in ("servers", "servers/x", "tools", "resources", "prompts", "openapi.json"):
        for headers in ({}, {"authorization": "Bearer wrong-0123456789"}):
            assert bridge.http.get(f"/-/{path}", headers=headers).status_code == 401
    assert bridge.http.post("/-/servers", json=body).status_code == 401
    assert bridge.http.delete("/-/servers/new").status_code == 401
    assert admin(bridge, "GET", "servers").json() == {"servers": []}
    assert bridge.metrics().value("mcp_bridge_gate_refusals_total", reason="attempt") >= 6


def test_a_web_page_cannot_register_what_it_likes(serve):
    """Its simple requests have no JSON, and any other asks first; a rebound one has another Host."""
    bridge, body = serve(), json.dumps({"name": "new", **ECHO})
    for headers, status in (
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({}, 415),
        ({"content-type": "application/json", "origin": "https://evil.example"}, 403),
        ({"content-type": "application/json", "host": "evil.example"}, 403),
        ({"content-type": "text/plain; application/json"}, 415),
    ):
        assert bridge.http.post("/-/servers", content=body, headers=ADMIN | headers).status_code == status
    assert (
        bridge.http.options("/-/servers", headers={"origin": "http://localhost:9", "access-control-request-method": "PUT"}).status_code
        == 405
    )
    assert admin(bridge, "GET", "servers").json() == {"servers": []}


def test_it_is_off_unless_asked_for(serve, tmp_path):
    bridge = serve(json.dumps({"mcpServers": {"echo": ECHO}}), "--admin-token-file", tmp_path / "admins")

    assert admin(bridge, "GET", "servers").json()["servers"][0]["name"] == "echo"
    for method, path in (("POST", "servers"), ("PUT", "servers/echo"), ("DELETE", "servers/echo")):
        refused = admin(bridge, method, path, ECHO)
        assert refused.status_code == 403 and "--admin-api" in refused.json()["error"]
    with serve(json.dumps({"mcpServers": {"echo": ECHO}}), "--strict").http as http:
        assert http.get("/-/servers", headers=ADMIN).status_code == 404


@pytest.mark.parametrize("options", [["--admin-api"], ["--admin-api", "--config", "FILE"], ["--admin-api", "--admin-token-file", "ADMINS"]])
def test_it_is_for_admins_of_a_config_file_alone(tmp_path, options):
    (tmp_path / "FILE").write_text(EMPTY)
    (tmp_path / "ADMINS").write_text("admin-secret-0123456789\n")
    command = [sys.executable, "-m", "bridge", "serve", "--port", "0", *options, *([] if "--config" in options else ["--", "true"])]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=20, env=os.environ | {"PYTHONPATH": os.getcwd()})

    assert (ended.returncode, "--admin-api" in ended.stderr) == (2, True), ended.stderr


def test_callers_with_admin_of_everything_may_and_no_others(serve, tmp_path):
    may = {"root": {"*/*": "admin", "secret/*": "deny"}, "alice": {"echo/*": "admin"}}
    hashes = {name: sha256(f"{name}-secret-0123456789".encode()).hexdigest() for name in may}
    callers = {name: {"token_sha256": hashes[name], "may": may[name]} for name in may}
    (tmp_path / "callers.yaml").write_text(json.dumps({"callers": callers, "default": "deny"}))
    bridge = serve(json.dumps({"mcpServers": {"echo": ECHO, "secret": ECHO}}), "--admin-api", "--callers", tmp_path / "callers.yaml")
    root, alice = ({"authorization": f"Bearer {name}-secret-0123456789"} for name in ("root", "alice"))

    assert bridge.http.post("/-/servers", headers=alice, json={"name": "new", **ECHO}).status_code == 403
    assert bridge.http.post("/-/reload", headers=alice).status_code == 403
    assert bridge.http.post("/-/servers", headers=root, json={"name": "new", **ECHO}).status_code == 201
    assert [one["name"] for one in bridge.http.get("/-/servers", headers=root).json()["servers"]] == ["echo", "new"]
    assert bridge.http.get("/-/servers/secret", headers=root).status_code == 404
    assert bridge.http.delete("/-/servers/secret", headers=root).status_code == 404
    assert bridge.http.put("/-/servers/secret", headers=root, json=ECHO).status_code == 403
    eventually(lambda: {"echo", "new"} == {tool["mcp"] for tool in bridge.http.get("/-/tools", headers=root).json()["tools"]})


def test_lists_show_what_clients_see_and_who_is_not_known(serve):
    never = zoo("never_answers")
    servers = {"echo": {**ECHO, "tool_rename": ["echo=say"], "tool_deny": ["env"]}, "deaf": {"command": never[0], "args": never[1:]}}
    bridge = serve(json.dumps({"mcpServers": servers}))
    eventually(lambda: admin(bridge, "GET", "tools").json()["tools"])
    told = admin(bridge, "GET", "tools").json()
    names = {tool["name"] for tool in told["tools"]}

    assert "say" in names and not names & {"echo", "env"}
    assert list(told["unknown"]) == ["deaf"]
    assert set(admin(bridge, "GET", "resources").json()) == {"resources", "resourceTemplates", "unknown"}
    assert "deaf" in admin(bridge, "GET", "prompts").json()["unknown"]


def test_a_file_that_cannot_be_written_changes_nothing(serve, tmp_path):
    bridge = serve(f"[mcp_servers.echo]\ncommand = '{ECHO['command']}'\nargs = {json.dumps(ECHO['args'])}\n", name="mcps.toml")
    refused = admin(bridge, "POST", "servers", {"name": "new", **ECHO})

    assert (refused.status_code, "TOML" in refused.json()["error"]) == (400, True)
    assert admin(bridge, "DELETE", "servers/echo").status_code == 400
    assert len(admin(bridge, "GET", "servers").json()["servers"]) == 1


def test_its_own_description_holds_for_any_request(serve, tmp_path):
    """schemathesis makes requests from the description, good and bad, and looks whether the answers are as described. A PATH with
    nothing in it keeps what it makes up from being a program."""
    bridge = serve(EMPTY, "--admin-api", "--admin-token-file", tmp_path / "admins", "--env", "PATH=/var/empty")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{bridge.url}/-/openapi.json", "--max-examples", "12", "--seed", "1"),
        *("--phases", "examples,coverage,fuzzing", "--header", f"Authorization: {ADMIN['authorization']}", "--no-color"),
        *("--exclude-checks", "positive_data_acceptance"),  # a program that there is not is refused
    ]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
