"""`python -m bridge inspect URL` against a bridge that runs; what inspect does with other servers is in test_inspect.py."""

import json
import subprocess
import sys

import pytest
from support import ROOT, eventually

ENDPOINTS = {"streamable-http": "/mcp", "sse": "/sse", "websocket": "/ws"}
HI = ("--call", "echo", '{"message": "h\u00ef"}')


def inspect(*arguments: str) -> str:
    """What it prints. Nothing on stderr, and a code other than 0 raises."""
    command = [sys.executable, "-m", "bridge", "inspect", *arguments]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=30, check=False)
    assert (printed.returncode, printed.stderr) == (0, "")
    return printed.stdout


def test_a_base_url_shows_every_transport_and_that_they_agree(echo):
    report = json.loads(inspect(echo.url, "--json"))

    endpoints = {endpoint["transport"]: endpoint for endpoint in report["transports"]}
    assert {name: endpoint["url"].partition(":")[2] for name, endpoint in endpoints.items()} == {
        name: echo.url.removeprefix("http:") + path for name, path in ENDPOINTS.items()
    }
    assert {(endpoint["state"], endpoint["revision"]) for endpoint in endpoints.values()} == {("works", "2025-11-25")}
    assert report["differences"] == {}
    assert report["server"] == {"name": "echo", "version": "1"}
    assert {"name": "greet", "description": "A greeting"}.items() <= report["prompts"][0].items()
    assert "test://one" in [resource["uri"] for resource in report["resources"]]


def test_people_see_the_tools_with_their_arguments(echo):
    shown = inspect(echo.url)

    assert shown.count("works: 2025-11-25") == 3
    assert "all that work say the same:" in shown
    assert "  echo\n      message: string  (required)\n" in shown


@pytest.mark.parametrize("path", ENDPOINTS.values())
def test_a_tool_is_called_over_each_transport(echo, path):
    assert inspect(echo.url + path, *HI) == "h\u00ef\n"


def test_the_whole_result_of_a_call_as_json(echo):
    result = json.loads(inspect(echo.url, "--call", "typed", '{"value": 3}', "--json"))

    assert result["structuredContent"] == {"value": 3}


def test_tools_as_openai_functions(echo):
    functions = [entry["function"] for entry in json.loads(inspect(echo.url, "--openai"))]

    assert {"name": "echo", "description": "echo"}.items() <= functions[0].items()
    assert functions[0]["parameters"]["properties"] == {"message": {"type": "string"}}


def test_it_leaves_nothing_behind(start):
    bridge = start("echo")

    inspect(bridge.url)

    eventually(lambda: bridge.metrics().value("mcp_bridge_sessions_opened_total") == 3)
    eventually(lambda: bridge.metrics().value("mcp_bridge_sessions") == 0)
    eventually(lambda: bridge.metrics().value("mcp_bridge_streams") == 0)


TRIMMED = {"streamable-http (modern)": ["tools: listed is not the same"]}  # its outputSchema is no object's


@pytest.mark.parametrize("child, differences", [("echo", {}), ("modern", TRIMMED)])
def test_both_eras_of_a_bridge_say_the_same(around, child, differences):
    told = json.loads(inspect(around(child).url, "--era", "both", "--json"))
    works = [(one["transport"], one["era"], one["revision"]) for one in told["transports"]]

    assert works == [
        ("streamable-http", "legacy", "2025-11-25"),
        ("streamable-http", "modern", "2026-07-28"),
        ("sse", "legacy", "2025-11-25"),
        ("websocket", "legacy", "2025-11-25"),
    ]
    assert told["problems"] == []
    assert told["differences"] == differences


def test_a_call_that_may_have_been_done_is_not_made_again_on_another_transport(echo):
    """It may have written something: the first one's answer was only late."""
    command = [sys.executable, "-m", "bridge", "inspect", echo.url, "--call", "slow", '{"seconds": 2.125}', "--timeout", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=30, check=False)
    received = inspect(echo.url, "--call", "received", "{}")

    assert done.returncode == 1
    assert "no answer within 1 s while waiting for" in done.stderr
    assert "slow may have been done: it is not called again on another transport" in done.stderr
    assert received.count("2.125") == 1
