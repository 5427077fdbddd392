"""Children that download what they are before they start it: that is said, and their time to start begins when it runs."""

import json
import os

import pytest
from support import Bridge, Http, eventually, text, zoo

from bridge.child.watch import launcher_of

SLOW = ["--start-timeout", "1", "--max-restarts", "1", "--child-era", "legacy"]


@pytest.mark.parametrize(
    ("command", "launcher"),
    [
        ("npx -y @scope/server --flag", "npx"),
        ("/usr/local/bin/npx some-server", "npx"),
        ("node /usr/lib/node_modules/npm/bin/npx-cli.js -y x", "npx"),
        ("npm exec some-server", "npm exec"),
        ("npm --yes exec some-server", "npm exec"),
        ("npm run start", ""),
        ("npm start", ""),
        ("node /usr/bin/npm exec x", "npm exec"),
        ("pnpm dlx x", "pnpm dlx"),
        ("pnpm run x", ""),
        ("yarn dlx x", "yarn dlx"),
        ("bunx x", "bunx"),
        ("bun x y", "bun x"),
        ("bun run server.ts", ""),
        ("uvx mcp-server-time", "uvx"),
        ("/root/.local/bin/uv tool uvx x", "uv tool"),
        ("uv run server.py", "uv run"),
        ("uv --version", ""),
        ("pipx run x", "pipx run"),
        ("/venv/bin/python /venv/bin/pipx run x", "pipx run"),
        ("pipx list", ""),
        ("go run ./cmd/server", "go run"),
        ("cargo run --release", "cargo run"),
        ("dotnet run", "dotnet run"),
        ("dotnet server.dll", ""),
        ("dnx Some.Server", "dnx"),
        ("node server.js", ""),
        ("python -m mcp_server_uv", ""),
        ("my-npx-server", ""),
        ("node /srv/npx/server.js", ""),
        ("", ""),
    ],
)
def test_a_launcher_is_told_by_its_command(command, launcher):
    assert launcher_of(command.split(" ")) == launcher


def launcher(folder, name: str, fetches: str, starts: str) -> dict:
    """A program of this name that downloads for as long as `wait` is there, and then starts the server as launchers do."""
    (folder / "wait").touch()
    program = folder / name
    server = " ".join(json.dumps(word) for word in zoo("echo"))
    program.write_text(f"#!/bin/sh\n{fetches}\n" + starts.replace("SERVER", server) + "\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


WAIT = 'while test -e "$(dirname "$0")/wait"; do sleep 0.1 </dev/null >/dev/null; done'
WAYS = {
    "by a child (uvx)": ("uvx", WAIT, "SERVER"),
    "through a shell (npm)": ("npx", WAIT, "sh -c 'SERVER; exit $?'"),
    "in its own place (pipx)": ("bunx", WAIT, "exec SERVER"),
    "with an install script at work": ("npx", f"sh -c 'cat </dev/null | sleep 0.2 | cat >/dev/null'; {WAIT}", "SERVER"),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_time_to_start_begins_when_something_runs(tmp_path, way):
    name, fetches, starts = WAYS[way]
    env = launcher(tmp_path, name, fetches, starts)
    with Bridge([name, "some-server"], *SLOW, env=env, ready=False) as bridge:
        eventually(lambda: f"{name} is still fetching" in bridge.ready()["reason"] and bridge.ready()["reason"].count("(2 s)"), 8)
        assert bridge.ready()["state"] == "handshaking"  # --start-timeout is one second
        (tmp_path / "wait").unlink()
        with Http(bridge.url) as client:
            assert text(client.call("echo", message="hi")) == "hi"

        assert bridge.logged("is still fetching")
        assert bridge.metrics().value("mcp_bridge_child_starts_total") == 1


def test_a_server_that_was_downloaded_and_does_not_answer_has_its_time(tmp_path):
    env = launcher(tmp_path, "npx", "sleep 1.2 </dev/null >/dev/null", "exec sleep 60")
    with Bridge(["npx", "some-server"], *SLOW, env=env, ready=False) as bridge:
        eventually(lambda: bridge.ready()["state"] == "fatal", 10)

        assert "--start-timeout" in bridge.ready()["reason"]


def test_what_a_launcher_says_while_it_downloads_is_told(tmp_path):
    env = launcher(tmp_path, "uvx", "echo 'Downloading torch (800.1MiB)' >&2; " + WAIT, "SERVER")
    with Bridge(["uvx", "some-server"], *SLOW, env=env, ready=False) as bridge:
        eventually(lambda: "uvx is still fetching" in bridge.ready()["reason"] and "Downloading torch" in bridge.ready()["reason"], 8)
