"""Wrong usage: one clear line, exit code 2, before anything was started."""

import json
import os
import subprocess
import sys

import pytest
from support import ROOT, Bridge, zoo

TRUE = ["--", "true"]


def run(*arguments, **environment) -> subprocess.CompletedProcess:
    """The real thing, as a process of its own."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MCP_BRIDGE_")}
    return subprocess.run(
        [sys.executable, "-m", "bridge", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=10, env=ours | environment
    )


FORKS = """
import json, os, sys, tempfile, traceback
from bridge import serve
from bridge.cli import main
for line in sys.stdin:
    arguments, environment = json.loads(line)
    files = [tempfile.TemporaryFile() for _ in range(2)]
    if not (pid := os.fork()):
        for number, file in enumerate(files, 1):
            os.dup2(file.fileno(), number)
        os.environ.update(environment)
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    told = [(file.seek(0), file.read().decode())[1] for file in files]
    print(json.dumps([code, *told]), flush=True)
"""


@pytest.fixture(scope="module")
def quickly():
    """The same in a fork of a process that has imported everything: forty starts would take 20 s."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MCP_BRIDGE_")}
    forks = subprocess.Popen([sys.executable, "-c", FORKS], cwd=ROOT, env=ours, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run_quickly(*arguments, **environment) -> subprocess.CompletedProcess:
        forks.stdin.write(json.dumps([[*map(str, arguments)], environment]) + "\n")
        forks.stdin.flush()
        return subprocess.CompletedProcess(arguments, *json.loads(forks.stdout.readline()))

    yield run_quickly
    forks.stdin.close()
    forks.wait(5)
    forks.stdout.close()


def refused(result: subprocess.CompletedProcess) -> str:
    """The one line that says why."""
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("mcp-bridge: ")
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


@pytest.mark.parametrize(
    "arguments, word",
    [
        ([], "COMMAND"),
        (["bogus"], "bogus"),
        (["serve"], "no command"),
        (["serve", "--"], "no command"),
        (["serve", "echo", "hi"], "echo hi"),
        (["serve", "--bogus", *TRUE], "--bogus"),
        (["serve", "--port", "99999", *TRUE], "--port"),
        (["serve", "--port", "abc", *TRUE], "abc"),
        (["serve", "--port", "-1", *TRUE], "--port"),
        (["serve", "--profile", "kind", *TRUE], "litellm"),
        (["serve", "--log-level", "loud", *TRUE], "loud"),
        (["serve", "--request-timeout", "soon", *TRUE], "soon"),
        (["serve", "--request-timeout", "nan", *TRUE], "nan"),
        (["serve", "--max-body", "9m", *TRUE], "8 MiB"),
        (["serve", "--max-body", "-1", *TRUE], "-1"),
        (["serve", "--host", "nowhere.invalid", *TRUE], "nowhere.invalid"),
        (["serve", "--root-path", "x", *TRUE], "--root-path"),
        (["serve", "--cwd", "/no/such", *TRUE], "/no/such"),
        (["serve", "--env-file", "/no/such", *TRUE], "/no/such"),
        (["serve", "--token-file", "/no/such", *TRUE], "/no/such"),
        (["serve", "--token-file", "/tmp", *TRUE], "/tmp"),
        (["serve", "--session-key-file", "/proc/no/such", *TRUE], "/proc/no"),
        (["serve", "--env", "1A=2", *TRUE], "1A"),
        (["serve", "--env", "NOT_SET_ANYWHERE", *TRUE], "NOT_SET_ANYWHERE"),
        (["serve", "--env", "=x", *TRUE], "--env"),
        (["serve", "--config", "/no/such"], "/no/such"),
        (["serve", "--config", __file__, *TRUE], "--config"),
        (["serve", "--", "no-such-command-anywhere"], "no-such-command-anywhere"),
        (["serve", "--", __file__], "test_usage"),
    ],
)
def test_a_wrong_word_is_named(quickly, arguments, word):
    assert word in refused(quickly(*arguments))


@pytest.mark.parametrize(
    "name, value, word",
    [
        ("MCP_BRIDGE_PORT", "x", "MCP_BRIDGE_PORT"),
        ("MCP_BRIDGE_PROFILE", "kind", "litellm"),
        ("MCP_BRIDGE_EXIT_ON_FATAL", "maybe", "MCP_BRIDGE_EXIT_ON_FATAL"),
        ("MCP_BRIDGE_TOKEN_FILE", "/no/such", "/no/such"),
        ("MCP_BRIDGE_MAX_BODY", "much", "MCP_BRIDGE_MAX_BODY"),
        ("MCP_BRIDGE_SESSION_KEY", "short", "MCP_BRIDGE_SESSION_KEY"),
    ],
)
def test_a_wrong_variable_is_named(quickly, name, value, word):
    assert word in refused(quickly("serve", *TRUE, **{name: value}))


@pytest.mark.parametrize(
    "option, content",
    [
        ("--token-file", b""),
        ("--token-file", b"# nobody\n"),
        ("--token-file", b"a b c\n"),
        ("--token-file", b"\xff\xfe"),
        ("--token-file", b"alice short\n"),
        ("--admin-token-file", b"x\n"),
        ("--env-file", b"no equals sign\n"),
        ("--env-file", b"1A=2\n"),
        ("--env-file", b"\xff\xfe"),
        ("--session-key-file", b"short"),
        ("--session-key-file", b""),
    ],
)
def test_a_file_that_is_wrong_is_named(quickly, tmp_path, option, content):
    file = tmp_path / "wrong"
    file.write_bytes(content)

    assert str(file) in refused(quickly("serve", option, file, *TRUE))


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["--tool-rename", "a"], {}, "--tool-rename a: expected OLD=NEW"),
        (["--tool-rename", "a=x", "--tool-rename", "b=x"], {}, "--tool-rename b=x: 'a' is renamed to 'x' already"),
        ([], {"MCP_BRIDGE_TOOL_RENAME": "a=x,a=y"}, "--tool-rename a=y: 'a' is renamed to 'x' already"),
        (["--tool-deny", ""], {}, "--tool-deny '': expected the name of a tool"),
        (["--secret", "KEY=/no/such"], {}, "--secret KEY=/no/such: No such file or directory"),
        ([], {"MCP_BRIDGE_SECRET": "KEY=/no/such"}, "--secret KEY=/no/such: No such file or directory"),
    ],
)
def test_what_cannot_be_of_tools_and_secrets_is_named(quickly, arguments, environment, expected):
    assert expected in refused(quickly("serve", *arguments, *TRUE, **environment))


def test_a_port_in_use_is_named(echo):
    port = echo.url.rpartition(":")[2]

    assert port in refused(run("serve", "--port", port, *TRUE))


def test_a_flag_wins_over_its_variable():
    with Bridge(zoo("echo"), "--name", "by-flag", env={"MCP_BRIDGE_NAME": "by-variable", "MCP_BRIDGE_PROFILE": "litellm"}) as bridge:
        status = bridge.status()["mcps"]

    assert status["by-flag"]["profile"] == "litellm"


def test_help_shows_each_option_with_its_variable():
    result = run("serve", "--help")

    assert result.returncode == 0
    for word in ("--request-timeout", "MCP_BRIDGE_REQUEST_TIMEOUT", "--allowed-host", "MCP_BRIDGE_ALLOWED_HOST", "--exit-on-fatal"):
        assert word in result.stdout


def test_the_version_is_said():
    assert run("--version").stdout.startswith("mcp-bridge ")


def test_a_missing_command_never_listens():
    """It exits at once instead of trying again and again."""
    result = run("serve", "--port", "0", "--", "no-such-command-anywhere")

    assert "listening" not in refused(result)
