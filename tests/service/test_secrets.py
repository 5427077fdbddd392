"""Secrets that stand in files: the child gets them, and nobody else sees them."""

import json
import os

import pytest
from support import Bridge, Http, eventually, text, zoo

VALUE = "s3cret-in-a-file"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "key"
    path.write_text(VALUE + "\n")
    return path


def seen(connect, url: str) -> str | None:
    return json.loads(text(connect(Http, url, listen=False).call("env"))).get("API_KEY")


def test_the_child_gets_what_stands_in_the_file_and_nobody_else_sees_it(start, connect, file):
    bridge = start("echo", options=["--secret", f"API_KEY={file}", "--log-level", "debug"])

    assert seen(connect, bridge.url) == VALUE
    for pid in (bridge.process.pid, bridge.status()["mcps"]["echo"]["pid"]):
        with open(f"/proc/{pid}/cmdline") as argv:
            assert VALUE not in argv.read()
    assert VALUE not in bridge.get("/log.json").text + bridge.get("/status.json").text + bridge.get("/metrics").text
    assert not bridge.logged(VALUE)


def test_a_reload_reads_the_file_again(connect, file, tmp_path):
    program, *arguments = zoo("echo")
    config = tmp_path / "mcps.json"
    config.write_text(
        json.dumps(
            {
                "mcpServers": {
                    name: {"command": program, "args": arguments} | more
                    for name, more in (("one", {"secrets": {"API_KEY": "key"}}), ("two", {}))
                }
            }
        )
    )
    admins = tmp_path / "admins"
    admins.write_text("admin-0123456789\n")
    with Bridge(None, "--config", config, "--admin-token-file", admins) as bridge:

        def reload():
            return bridge.http.post("/-/reload", headers={"authorization": "Bearer admin-0123456789"})

        before = seen(connect, f"{bridge.url}/one"), seen(connect, f"{bridge.url}/two")
        unchanged = reload().json()["changed"]
        file.write_text("another")
        changed = reload().json()["changed"]
        after = seen(connect, f"{bridge.url}/one")
        file.unlink()
        refused = reload()

        assert before == (VALUE, None)
        assert (unchanged, changed) == ([], ["one"])
        assert after == "another"
        assert refused.status_code == 400
        assert f"one: --secret API_KEY={file}: No such file or directory" in refused.text
        assert seen(connect, f"{bridge.url}/one") == "another", "a broken file changes nothing"


def test_a_server_that_calls_itself_and_its_tools_by_a_secret_is_not_shown_so(file, written):
    child = written("""
import os
from base import Child
child = Child(os.environ["API_KEY"])
child.tool(lambda: "", name=os.environ["API_KEY"])
child.run()
""")
    with Bridge(child, "--secret", f"API_KEY={file}") as bridge:
        eventually(lambda: [status["tools"] for status in bridge.status()["mcps"].values()] != [[]])
        shown = bridge.get("/status.json").text + bridge.get("/log.json").text + bridge.get("/metrics").text

        assert "[redacted]" in shown
        assert VALUE not in shown


def test_sighup_reads_the_file_of_a_single_one_again(start, connect, file):
    bridge = start("echo", options=["--secret", f"API_KEY={file}"])
    file.write_text("another")
    os.kill(bridge.process.pid, 1)
    eventually(lambda: bridge.logged("reloaded"))

    assert eventually(lambda: seen(connect, bridge.url) == "another")
