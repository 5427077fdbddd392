"""The files that people have: a line each with whose it is, what stands there and what is read."""

import codecs
import json

import pytest

from bridge.clients import document as documents
from bridge.clients import formats
from bridge.clients.variables import Input, Resolver, Unresolved, Variable, fill, parts, workspace_of
from bridge.settings import UsageError

NPX = {"command": "npx", "args": ["-y", "pkg"]}


def read(said, path: str = "mcp.json") -> dict[str, formats.Entry]:
    text = said if isinstance(said, str) else json.dumps(said)
    return {entry.name: entry for entry in formats.entries(documents.parse(text, path))}


FILES = [
    ("Claude Desktop, Cursor, LM Studio, JetBrains", {"mcpServers": {"a": NPX}}),
    (
        "~/.claude.json of Claude Code: per project",
        {"numStartups": 3, "projects": {"/home/me/x": {"allowedTools": [], "mcpServers": {"a": {"type": "stdio", **NPX, "env": {}}}}}},
    ),
    ("VS Code's mcp.json", {"inputs": [], "servers": {"a": {"type": "stdio", **NPX}}}),
    ("VS Code's settings.json", {"editor.fontSize": 12, "mcp": {"inputs": [], "servers": {"a": NPX}}}),
    ("VS Code's settings.json, flat", {"mcp.servers": {"a": NPX}}),
    ("devcontainer.json", {"image": "x", "customizations": {"vscode": {"mcp": {"servers": {"a": NPX}}}}}),
    ("Zed", {"theme": "One", "context_servers": {"a": {"source": "custom", "enabled": True, **NPX}}}),
    ("Zed before 2025-07", {"context_servers": {"a": {"command": {"path": "npx", "args": ["-y", "pkg"], "env": None}, "settings": {}}}}),
    ("opencode", {"$schema": "x", "mcp": {"a": {"type": "local", "command": ["npx", "-y", "pkg"], "environment": {}, "enabled": True}}}),
    ("Crush", {"mcp": {"a": {"type": "stdio", **NPX}}}),
    ("Gemini", {"mcp": {"allowed": ["a"]}, "mcpServers": {"a": {**NPX, "trust": True, "timeout": 5000}, "b": NPX}}),
    ("Cline, Roo", {"mcpServers": {"a": {**NPX, "disabled": False, "alwaysAllow": ["x"], "timeout": 60}}}),
    ("Amp", {"amp.mcpServers": {"a": NPX}}),
    ("Augment", {"augment.advanced": {"mcpServers": [{"name": "a", **NPX}]}}),
    (
        "Continue's older config.json",
        {"experimental": {"modelContextProtocolServers": [{"name": "a", "transport": {"type": "stdio", **NPX}}]}},
    ),
    ("Warp: no key around it", {"a": {**NPX, "env": {}, "working_directory": None, "start_on_launch": True}}),
    ("Cherry Studio", {"mcpServers": {"a": {"name": "A", "type": "stdio", "isActive": True, **NPX}}}),
    ("Cherry Studio, by its own ids", {"mcpServers": {"JZx3kQw9_bV2nMt7yRp1L": {"name": "a", "isActive": True, **NPX}}}),
    ("5ire", {"servers": [{"key": "a", **NPX, "enabled": True}]}),
    ("Copilot's agent", {"mcpServers": {"a": {"type": "local", "tools": ["*"], **NPX}}}),
    (
        "TBXark's proxy",
        {
            "mcpProxy": {"baseURL": "x"},
            "mcpServers": {"a": {**NPX, "options": {"logEnabled": True}}, "b": {**NPX, "options": {"disabled": True}}},
        },
    ),
    ("a whole line in command", {"mcpServers": {"a": {"command": "npx -y pkg"}}}),
    (
        "empty values of a program that writes them all",
        {"mcpServers": {"a": {**NPX, "env": [], "url": None, "headers": None, "cwd": "", "envFile": None, "disabledTools": []}}},
    ),
    (
        "LibreChat",
        "version: 1.2.1\nmcpServers:\n  a:\n    type: stdio\n    command: npx\n    args: [-y, pkg]\n    timeout: 60000\n    initTimeout: 150000\n    serverInstructions: true\n",
    ),
    ("LiteLLM", "model_list: []\nmcp_servers:\n  a:\n    transport: stdio\n    command: npx\n    args: [-y, pkg]\n"),
    ("Continue's YAML", "name: x\nmcpServers:\n  - name: a\n    command: npx\n    args:\n      - -y\n      - pkg\n"),
    (
        "Goose",
        "extensions:\n  developer: {bundled: true, enabled: true, name: developer, type: builtin}\n  a:\n    type: stdio\n    cmd: npx\n    args: [-y, pkg]\n    envs: {}\n    enabled: true\n    timeout: 300\n",
    ),
    ("Goose, one level deeper", "extensions:\n  a:\n    enabled: true\n    config: {type: stdio, name: a, cmd: npx, args: [-y, pkg]}\n"),
]


@pytest.mark.parametrize(("whose", "said"), FILES, ids=[whose for whose, _ in FILES])
def test_the_file_of_each_client_is_read(whose, said):
    entry = read(said)["a"]

    assert (entry.command, entry.off, entry.wrong, entry.unknown) == (
        ("npx", "-y", "pkg"),
        "",
        "",
        ("start_on_launch",) if "Warp" in whose else (),
    )
    assert all(other.off or other.wrong for name, other in read(said).items() if name != "a")


def test_codex_s_toml_is_read():
    entry = read(
        'model = "o3"\n\n[mcp_servers.a]\ncommand = "npx"\nargs = ["-y", "pkg"]\nenv_vars = ["X_KEY"]\n[mcp_servers.a.env]\nL = "1"\n'
        '[mcp_servers.far]\nurl = "https://h/mcp"\nbearer_token_env_var = "T"\nenabled = false\n',
        "config.toml",
    )

    assert (entry["a"].command, entry["a"].env) == (("npx", "-y", "pkg"), {"X_KEY": "${X_KEY}", "L": "1"})
    assert (entry["far"].off, entry["a"].where("args")) == ("enabled: false", "config.toml:5")


def test_a_catalog_of_docker_is_read_as_the_line_that_its_gateway_runs():
    said = (
        "registry:\n  github:\n    title: GitHub\n    type: server\n    image: mcp/github@sha256:ab\n    secrets:\n      - name: github.token\n        env: GITHUB_TOKEN\n"
        "    env:\n      - {name: LEVEL, value: '{{github.level}}'}\n    volumes: ['/me:/data']\n    command: [--x]\n"
    )

    entry = read(said, "catalog.yaml")["github"]

    assert entry.command == (
        "docker",
        "run",
        "-i",
        "--rm",
        "-e",
        "GITHUB_TOKEN",
        "-e",
        "LEVEL",
        "-v",
        "/me:/data",
        "mcp/github@sha256:ab",
        "--x",
    )
    assert entry.env == {"GITHUB_TOKEN": "${GITHUB_TOKEN}", "LEVEL": "{{github.level}}"}


@pytest.mark.parametrize(
    ("said", "url", "transport", "headers"),
    [
        ({"url": "https://h/mcp"}, "https://h/mcp", "http", {}),
        ({"serverUrl": "https://h/sse"}, "https://h/sse", "sse", {}),  # Windsurf
        ({"httpUrl": "https://h/sse", "headers": {"A": "b"}}, "https://h/sse", "http", {"A": "b"}),  # Gemini
        ({"type": "remote", "url": "https://h/mcp", "enabled": True}, "https://h/mcp", "http", {}),  # opencode
        ({"type": "streamable_http", "uri": "https://h/mcp"}, "https://h/mcp", "http", {}),  # Goose
        ({"type": "streamableHttp", "baseUrl": "https://h/sse"}, "https://h/sse", "http", {}),  # Cherry Studio
        (
            {"url": "https://h/mcp", "http_headers": {"A": "b"}, "bearer_token_env_var": "T"},
            "https://h/mcp",
            "http",
            {"A": "b", "Authorization": "Bearer ${T}"},
        ),  # Codex
        (
            {"url": "https://h/mcp", "transport": "sse", "auth_type": "api_key", "auth_value": "os.environ/K"},
            "https://h/mcp",
            "sse",
            {"X-API-Key": "os.environ/K"},
        ),  # LiteLLM
        ({"type": "sse", "url": "https://h/x", "requestInit": {"headers": {"A": "b"}}}, "https://h/x", "sse", {"A": "b"}),
    ],
)
def test_a_remote_server_is_known_by_each_client_s_word_for_its_address(said, url, transport, headers):
    entry = read({"mcpServers": {"a": said}})["a"]

    assert (entry.url, entry.transport, entry.headers, entry.command, entry.wrong) == (url, transport, headers, (), "")


@pytest.mark.parametrize(
    "said",
    [
        {"disabled": True},
        {"disabled": "true"},
        {"disabled": 1},
        {"enabled": False},
        {"enabled": "false"},
        {"enabled": "no"},
        {"enabled": 0},
        {"isActive": False},
        {"isActive": "False"},
        {"active": "off"},
        {"disable": "yes"},
        {"options": {"disabled": True}},
        {"config": {"enabled": False}},
    ],
)
def test_off_means_off_in_every_spelling(said):
    assert read({"mcpServers": {"a": NPX | said}})["a"].off


def test_an_empty_entry_is_no_mistake():
    assert [entry.off for entry in read({"mcpServers": {"a": None, "b": {}, "c": [], "d": NPX}}).values()] == [
        "nothing is said about it"
    ] * 3 + [""]


@pytest.mark.parametrize(
    "said",
    [
        {"disabled": False},
        {"disabled": "false"},
        {"disabled": None},
        {"disabled": []},
        {"enabled": "true"},
        {"enabled": 1},
        {"isActive": True},
        {"disabled": "no"},
    ],
)
def test_on_means_on_in_every_spelling(said):
    entry = read({"mcpServers": {"a": NPX | said}})["a"]

    assert (entry.off, entry.wrong) == ("", "")


@pytest.mark.parametrize(
    "more",
    [
        {"disabledMcpServers": ["a"]},
        {"disabledMcpjsonServers": ["a"]},
        {"mcp": {"excluded": ["a"]}},
        {"deniedMcpServers": [{"serverName": "a"}]},
        {"mcp": {"allowed": ["b"]}},
    ],
)
def test_a_list_of_what_is_off_counts_too(more):
    assert read({"mcpServers": {"a": NPX, "b": NPX | {"args": []}}} | more)["a"].off


def test_a_project_s_list_is_for_its_own_servers():
    every = read(
        {
            "mcpServers": {"a": NPX},
            "projects": {
                "/me/one": {"mcpServers": {"b": NPX}, "disabledMcpServers": ["a", "b"]},
                "/me/two": {"mcpServers": {"b": NPX | {"args": ["x"]}, "a": NPX}},
            },
        }
    )

    assert {name: bool(entry.off) for name, entry in every.items()} == {"a": False, "b": True, "b-two": False}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("<application><component/></application>", "JetBrains"),
        ({"manifest_version": "0.3", "name": "x", "server": {"type": "node"}}, "an MCP bundle"),
        ({"$schema": "x", "name": "io.x/y", "packages": [{}]}, "server.json of the MCP registry"),
        ({"startCommand": {"type": "stdio"}}, "smithery.yaml"),
        ("services:\n  a: {image: x}\n", "a Compose file"),
        ({"enabledMcpjsonServers": ["a"]}, "settings of Claude Code"),
        ("registry:\n  github: {ref: ''}\n", "list of names for Docker's gateway"),
        ({}, "no 'mcpServers' in it"),
        ([], "no 'mcpServers' in it"),
        ("", "no 'mcpServers' in it"),
        ({"mcp": "x"}, "no 'mcpServers'"),
        ({"mcpServers": {}}, "'mcpServers' must name at least one"),
        ({"mcpServers": [1]}, "no 'mcpServers'"),
    ],
)
def test_what_is_not_read_is_refused_by_its_name(said, why):
    with pytest.raises(UsageError, match=why):
        read(said)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"context_servers": {"a": {"settings": {"token": "s3"}}, "b": NPX}}, "an extension of that editor"),
        ({"extensions": {"a": {"type": "builtin", "name": "a"}, "b": NPX}}, "a builtin extension"),
        ({"mcpServers": {"a": "s3"}}, "mcp.json:1: a: not an object"),
        ({"mcpServers": {"a": {"command": {"x": "s3"}}}}, "'command' is missing"),
        ({"mcpServers": {"a": {"command": 5}}}, "'command' is not a text"),
        ({"mcpServers": {"a": {"command": ["npx", {"s3": 1}]}}}, "'command' is not a list of texts"),
        ({"mcpServers": {"a": NPX | {"args": "-y s3"}}}, "'args' is not a list of texts"),
        ({"mcpServers": {"a": NPX | {"env": {"A": {"s3": 1}}}}}, "'env' is not an object of texts"),
        ({"mcpServers": {"a": NPX | {"env": {"A": "s3\0"}}}}, "null byte"),
        ({"mcpServers": {"a": NPX | {"args": ["\ud800"]}}}, "half a character"),
        ({"mcpServers": {"a": NPX | {"disabled": "s3"}}}, "neither true nor false"),
        ({"mcpServers": {"a": {"command": "npx", "arg": ["s3"]}}}, "unknown field 'arg': is it 'args'"),
        ({"mcpServers": {"a": {"command": "npx 's3"}}}, "No closing quotation"),
        ({"mcpServers": {"a": {"type": "ws", "url": "wss://h/s3"}}}, "a WebSocket server"),
    ],
)
def test_a_mistake_is_that_entry_s_and_quotes_no_value(said, why):
    entry = read(said)["a"]

    assert why in entry.wrong and "s3" not in entry.wrong


def test_fields_of_others_are_told_once_for_the_whole_file():
    every = read(
        {
            "mcpServers": {name: NPX | {"autoApprove": ["x"], "gallery": True} for name in "abcd"}
            | {"off": NPX | {"trust": True, "disabled": True}}
        }
    )

    assert formats.ignored_fields(list(every.values())) == [
        "mcp.json: fields of other programs that mean nothing here: autoApprove (a, b, c, …), gallery (a, b, c, …)"
    ]


# ---- as text ----------------------------------------------------------------------------


def test_comments_trailing_commas_and_what_looks_like_them_in_values():
    text = """// mine
{
  /* "mcpServers": {} */
  "mcpServers": {
    "a": {
      "command": "npx", // the runner
      "args": ["-y", "pkg", "http://h//x", "/* no comment */", "a,]", "\\ud83d\\ude00",],
    },
  },
}
"""
    entry = read(text)["a"]

    assert entry.command == ("npx", "-y", "pkg", "http://h//x", "/* no comment */", "a,]", "😀")
    assert (entry.where(), entry.where("args"), entry.where("env")) == ("mcp.json:5", "mcp.json:7", "mcp.json:5")


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"), (b"", "utf-8")],
)
def test_a_byte_order_mark_says_the_encoding(tmp_path, mark, encoding):
    (tmp_path / "mcp.json").write_bytes(mark + '{"mcpServers": {"ü": {"command": "x"}}}\r\n'.encode(encoding))

    assert documents.read(str(tmp_path / "mcp.json")).data == {"mcpServers": {"ü": {"command": "x"}}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n "a": "x"\n "b": 2}', "f.json:3:2: not JSON: expected ',' or '}', found '\"'"),
        ('{"a": "hush}\n', "f.json:1:7: not JSON: unclosed string"),
        ('{"a": hush}', "f.json:1:7: not JSON: expected a value, found 'h'"),
        ('{\n"C:\\Users": 1}', "f.json:2:5: in JSON a backslash is written twice"),
        ('{// x\n"a": "C:\\Program Files"}', "f.json:2:9: in JSON a backslash is written twice"),
        ('{"a": 1} hush', "f.json:1:10: not JSON: extra data 'h'"),
        ("[" * 100_000, "f.json: nested too deeply"),
        ("a: [\n", "f.json:2:1: expected the node content"),
    ],
)
def test_a_mistake_in_the_text_has_its_line_and_column_and_quotes_nothing(text, message):
    with pytest.raises(UsageError) as error:
        documents.parse(text, "f.json")
    assert str(error.value).startswith(message) and "hush" not in str(error.value)


def test_yaml_s_halves_of_a_character_become_one():
    assert read('mcpServers: {a: {command: "x \\ud83d\\ude00"}}')["a"].command == ("x", "😀")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/opt/my tools/server", ("/opt/my tools/server",)),
        ("~/my tools/server", ("~/my tools/server",)),
        ("C:\\Program Files\\nodejs\\npx.cmd", ("C:\\Program Files\\nodejs\\npx.cmd",)),
        ("C:\\Program Files\\nodejs\\npx.cmd -y pkg", ("C:\\Program Files\\nodejs\\npx.cmd", "-y", "pkg")),
        ('"C:\\my tools\\x" --y', ("C:\\my tools\\x", "--y")),
        ("/opt/x/server --y 'a b'", ("/opt/x/server", "--y", "a b")),
        ("npx -y 'a b'", ("npx", "-y", "a b")),
        (" npx ", ("npx",)),
    ],
)
def test_a_command_may_be_a_line_and_a_path_may_have_spaces(command, words):
    assert read({"mcpServers": {"a": {"command": command, "args": ["z"]}}})["a"].command == (*words, "z")


# ---- variables ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("${X}", ("env", "X", None)),
        ("${env:X}", ("env", "X", None)),
        ("${env:X:-d e}", ("env", "X", "d e")),
        ("${X:-${Y}}", ("env", "X", "${Y}")),
        ("${env.X}", ("env", "X", None)),
        ("$X_Y", ("env", "X_Y", None)),
        ("%X_Y%", ("env", "X_Y", None)),
        ("%APPDATA%", ("env", "APPDATA", None)),
        ("{env:X}", ("env", "X", None)),
        ("os.environ/X", ("env", "X", None)),
        ("${{ secrets.X }}", ("env", "X", None)),
        ("${input:a-b}", ("input", "a-b", None)),
        ("{file:~/k}", ("file", "~/k", None)),
        ("${file:k}", ("file", "k", None)),
        ("${workspaceFolder}", ("place", "workspaceFolder", None)),
        ("${workspaceFolder:x}", ("place", "workspaceFolder:x", None)),
        ("${userHome}", ("place", "userHome", None)),
        ("~", ("place", "userHome", None)),
        ("${HOME}", ("place", "userHome", None)),
        ("${config:a.b}", ("unknown", "a.b", None)),
        ("{{user.x}}", ("unknown", "user.x", None)),
        ("${user_config.x}", ("unknown", "user_config.x", None)),
        ("${weird thing}", ("unknown", "weird thing", None)),
    ],
)
def test_what_stands_for_something_else(text, found):
    (variable,) = parts(text)

    assert isinstance(variable, Variable) and (variable.kind, variable.name, variable.default) == found


@pytest.mark.parametrize(
    "text",
    [
        "pa$$word",
        "a$HOME b",
        "p$X",
        "$ecret",
        "50%",
        "%2F%E2%82%AC",
        "https://h/%20%20",
        "a~b",
        "~x",
        '{"a":{"b":1}}',
        "${",
        "$",
        "{x}",
        "${}x"[1:],
        "x{env}",
    ],
)
def test_what_is_meant_as_it_stands(text):
    assert list(parts(text)) == [text]


def test_what_can_be_known_is_filled_in_and_the_rest_is_refused_by_name(tmp_path):
    (tmp_path / "key").write_text("k\n")
    here = Resolver({"X": "x"}, {"level": Input("info"), "key": Input("s3", is_password=True)}, tmp_path / "w", tmp_path)

    assert fill("${X}-${Y:-${X}}-${input:level}-{file:key}-${workspaceFolderBasename}${/}~", here) == "x-x-info-k-w/~"
    for text, why in (
        ("${Y}", "set Y"),
        ("${input:key}", r"write \$\{env:KEY\}"),
        ("${config:x}", "only"),
        ("{file:none}", "cannot be read"),
        ("%APPDATA%\\x", "APPDATA"),
    ):
        with pytest.raises(Unresolved, match=why) as error:
            fill(text, here)
        assert "s3" not in str(error.value)
    with pytest.raises(Unresolved, match="write its path"):
        fill("${workspaceFolder}", Resolver({}))


def test_the_folder_of_an_editor_is_known_by_where_its_file_stands(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))

    assert [workspace_of(str(tmp_path / name)) for name in ("x/.vscode/mcp.json", "x/.mcp.json", ".cursor/mcp.json", "x/mcp.json")] == [
        tmp_path / "x",
        tmp_path / "x",
        None,
        None,
    ]
