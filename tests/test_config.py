"""Config files: what they may say, and that a mistake is told with file, line and field."""

import json
import os

import pytest
from support import Bridge, Http, text, zoo

from bridge.config import read
from bridge.settings import Settings, UsageError


def planned(tmp_path, content: str, name: str = "mcps.yaml", **settings):
    path = tmp_path / name
    path.write_text(content)
    return read(Settings(config=str(path), **settings))


def refused(tmp_path, content: str) -> str:
    with pytest.raises(UsageError) as error:
        planned(tmp_path, content, strict=True)
    return str(error.value).removeprefix(f"{tmp_path}/")


def test_the_json_of_desktop_clients_is_read_as_it_is(tmp_path):
    document = {"mcpServers": {"time": {"command": "uvx", "args": ["mcp-server-time", 1], "env": {"TZ": "UTC"}, "autoApprove": []}}}

    command, settings = planned(tmp_path, json.dumps(document, indent="\t"), "mcps.json")["time"]

    assert command.argv == ("uvx", "mcp-server-time", "1")
    assert command.environment["TZ"] == "UTC"
    assert settings.profile == "strict"


def test_options_of_serve_may_stand_in_an_entry(tmp_path):
    content = "mcpServers: {notes: {command: npx, max-in-flight: 1, profile: litellm, request_timeout: 5}}"

    _, settings = planned(tmp_path, content, request_timeout=60.0)["notes"]

    assert (settings.max_in_flight, settings.profile, settings.request_timeout) == (1, "litellm", 5.0)


def test_repeatable_options_may_stand_in_an_entry_and_take_the_place_of_the_command_lines(tmp_path):
    content = """
mcpServers:
  a: {command: x, tool-allow: [get_*, 1], tool_deny: [], tool_rename: {get_a: a, get_b: b}}
  b: {command: x, tool_rename: [get_a=a]}
"""

    entries = {name: settings for name, (_, settings) in planned(tmp_path, content, tool_deny=("x",)).items()}

    assert (entries["a"].tool_allow, entries["a"].tool_deny, entries["a"].tool_rename) == (("get_*", "1"), (), ("get_a=a", "get_b=b"))
    assert (entries["b"].tool_allow, entries["b"].tool_deny, entries["b"].tool_rename) == ((), ("x",), ("get_a=a",))


def test_secrets_are_read_from_files_beside_the_config(tmp_path):
    (tmp_path / "key").write_text("hush\n")
    (tmp_path / "other").write_text("other")
    content = "mcpServers: {a: {command: x, env: {KEY: visible}, secrets: {KEY: key, OTHER: '%s'}}}" % (tmp_path / "other")

    command, _ = planned(tmp_path, content)["a"]

    assert (command.environment["KEY"], command.environment["OTHER"]) == ("hush", "other")


def test_variables_of_our_environment_are_put_in(tmp_path, monkeypatch):
    monkeypatch.setenv("BRIDGE_TEST_TOKEN", "s3cret")
    content = "mcpServers: {a: {command: x, args: ['${BRIDGE_TEST_NONE:-none}'], env: {TOKEN: '${env:BRIDGE_TEST_TOKEN}'}}}"

    command, _ = planned(tmp_path, content)["a"]

    assert command.argv == ("x", "none")
    assert command.environment["TOKEN"] == "s3cret"
    assert "BRIDGE_TEST_TOKEN" not in command.environment


def test_disabled_and_remote_servers_are_left_out(tmp_path):
    content = "mcpServers: {a: {command: x}, b: {command: x, disabled: true}, c: {url: 'http://x/mcp'}}"

    assert list(planned(tmp_path, content)) == ["a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("mcpServers:\n  a:\n    command: x\n    arg: [y]\n", "mcps.yaml:4: a: unknown field 'arg'"),
        ("mcpServers:\n  a:\n    command: x\n    args: y\n", "mcps.yaml:4: a: 'args' is not a list of texts"),
        ("mcpServers:\n  a:\n    args: [y]\n", "mcps.yaml:2: a: 'command' is missing"),
        (
            "mcpServers:\n  a/b: {command: x}\n  a-b: {command: [x y], enabled: maybe}\n",
            "mcps.yaml:3: a-b: 'enabled' is neither true nor false",
        ),
        ("mcpServers:\n  a/b: {command: x}\n  a b: {command: x}\n", "mcps.yaml:3: a b: would also be served as 'a-b'"),
        ("mcpServers:\n  a: {command: '${BRIDGE_TEST_UNSET}'}\n", "mcps.yaml:2: a: ${BRIDGE_TEST_UNSET} is not set"),
        ("mcpServers:\n  a: {command: x, isolation: none}\n", "mcps.yaml:2: a: isolation: must be one of"),
        ("mcpServers:\n  a: {command: x, env: {'1A': y}}\n", "mcps.yaml:2: a: --env 1A: not the name"),
        ("mcpServers:\n  a: {command: x, secrets: {KEY: /no/such}}\n", "mcps.yaml:2: a: --secret KEY=/no/such: No such file"),
        ("mcpServers:\n  a: {command: x, secrets: [KEY]}\n", "mcps.yaml:2: a: 'secrets' is not an object of texts"),
        ("mcpServers:\n  a: {command: x, tool_allow: get}\n", "mcps.yaml:2: a: tool_allow: expected a list"),
        ("mcpServers:\n  a: {command: x, tool_allow: [[get]]}\n", "mcps.yaml:2: a: tool_allow: expected a list"),
        ("mcpServers:\n  a: {command: x, tool_allow: {a: b}}\n", "mcps.yaml:2: a: tool_allow: expected a list"),
        ("mcpServers:\n  a: {command: x, tool_rename: 1}\n", "mcps.yaml:2: a: tool_rename: expected a list or a mapping"),
        ("mcpServers:\n  a: {command: x, tool_rename: {a: x, b: x}}\n", "mcps.yaml:2: a: --tool-rename b=x: 'a' is renamed to 'x' already"),
        ("mcpServers: {}\n", "mcps.yaml: 'mcpServers' must name at least one server"),
        ("tools: {}\n", "mcps.yaml: no 'mcpServers' in it"),
        ("mcpServers: [\n", "mcps.yaml:2:1: "),
        ("", "mcps.yaml: no 'mcpServers' in it"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_field(tmp_path, content, message):
    assert refused(tmp_path, content).startswith(message)


def test_one_bad_entry_stops_no_other_unless_it_is_to_be_strict(tmp_path, caplog):
    content = """{ // of an editor
  "servers": {
    "good": {"command": "x", "args": ["y",], "gallery": true, "frob": 1},
    "asks": {"command": "x", "env": {"A": "${input:a}"}},
    "typo": {"command": "x", "arg": ["y"]},
    "Far Away": {"command": "x"},
  },
}"""

    assert list(planned(tmp_path, content)) == ["good", "Far-Away"]
    said = caplog.text + "".join(str(getattr(record, "facts", "")) for record in caplog.records)
    for line in (
        "mcps.yaml:4: asks: ${input:a} is asked for by the client",
        "mcps.yaml:5: typo: unknown field 'arg'",
        "gallery (good)",
        "mcps.yaml:3: good: unknown field 'frob'",
        "Far-Away",
    ):
        assert line in said
    assert "mcps.yaml:3: good: unknown field 'frob' (and 2 more)" in refused(tmp_path, content)


@pytest.mark.parametrize(
    "text",
    [
        "${input:x}",
        "${env:BRIDGE_TEST_UNSET}",
        "${workspaceFolder}/x",
        "%APPDATA%\\\\x",
        "$BRIDGE_TEST_UNSET",
        "${config:x.y}",
        "${command:x}",
        "{env:BRIDGE_TEST_UNSET}",
        "{file:/no/such}",
        "os.environ/BRIDGE_TEST_UNSET",
        "${{ secrets.BRIDGE_TEST_UNSET }}",
        "{{user}}",
        "${odd one}",
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        '"command": "%s"',
        '"command": "x", "args": ["%s"]',
        '"command": "x", "env": {"A": "%s"}',
        '"command": "x", "cwd": "%s"',
        '"command": "x", "envFile": "%s"',
    ],
)
def test_what_a_client_would_have_filled_in_is_never_passed_on_as_it_stands(tmp_path, place, text):
    said = refused(tmp_path, '{{"mcpServers": {{\n"it": {{{}}}}}}}'.format(place.replace("%s", text)))

    assert said.startswith("mcps.yaml:2: it: ") and ("write" in said or "set " in said or "give" in said)


def test_a_mistake_in_an_entry_that_is_served_keeps_the_whole_file_from_being_read_again(tmp_path):
    path = tmp_path / "mcps.yaml"
    path.write_text("mcpServers: {a: {command: x}, b: {command: x, args: 1}}")

    assert list(read(Settings(config=str(path)), served=["a", "c"])) == ["a"]
    with pytest.raises(UsageError, match="b: 'args' is not a list"):
        read(Settings(config=str(path)), served=["a", "b"])


def test_tools_that_a_client_hides_or_shows_are_hidden_and_shown_here(tmp_path):
    content = "mcpServers: {a: {command: x, disabledTools: [rm], tool_deny: [x]}, b: {command: x, includeTools: [get]}}"

    entries = {name: settings for name, (_, settings) in planned(tmp_path, content).items()}

    assert (entries["a"].tool_deny, entries["b"].tool_allow) == (("x", "rm"), ("get",))


def test_in_a_file_that_says_that_it_is_literal_nothing_is_filled_in(tmp_path):
    content = json.dumps({"literal": True, "mcpServers": {"a": {"command": ["/a b/c -d", "$HOME", "~/x"], "env": {"A": "${X} {{y}}"}}}})

    command, _ = planned(tmp_path, content)["a"]

    assert (command.argv, command.environment["A"]) == (("/a b/c -d", "$HOME", "~/x"), "${X} {{y}}")


def test_one_failing_child_does_not_touch_the_others(tmp_path):
    program, *arguments = zoo("echo")
    path = tmp_path / "mcps.json"
    path.write_text(
        json.dumps(
            {
                "mcpServers": {
                    "echo": {"command": program, "args": arguments},
                    "missing": {"command": os.path.join(str(tmp_path), "no-such-command")},
                }
            }
        )
    )

    with Bridge(None, "--config", str(path), "--max-restarts", "1", "--exit-on-fatal", ready=False) as bridge:
        with Http(f"{bridge.url}/echo") as client:
            assert text(client.call("echo", message="hi")) == "hi"
        assert bridge.ready("missing")["code"] == 503
        assert "no-such-command" in bridge.ready("missing")["reason"]
        assert bridge.ready("echo")["code"] == 200
        assert bridge.ready()["status"] == "degraded"
        assert bridge.metrics().value("mcp_bridge_child_up", mcp="echo") == 1
