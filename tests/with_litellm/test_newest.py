"""The newest LiteLLM that can be had, in front of the same bridges: it lists and calls, and every failure is an error.

It never wedged here, whatever a bridge did; so this is not the whole matrix of test_matrix.py.
"""

from collections.abc import Iterator

import environments
import pytest
from gateways import PATHS, Gateway, fleet, words

MCPS = {
    "plain": (["echo"], {}),
    "hang": (["echo"], {"request_timeout": 1}),
    "bad": (["bad_results", "--bad-tools"], {"request_timeout": 1}),
    "dies": (["dies"], {"backoff_initial": 0.05, "backoff_max": 0.1, "max_restarts": 100}),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory) -> Iterator[Gateway]:
    python = environments.litellm_newest()
    with (
        fleet(tmp_path_factory.mktemp("newest"), MCPS, "--keepalive", "0.3") as bridge,
        Gateway(python, {name: f"{bridge.url}/{name}" for name in MCPS}) as gateway,
    ):
        yield gateway


@pytest.fixture(params=PATHS)
def by(request) -> str:
    return request.param


def test_it_lists_the_tools_and_calls_them(gateway, by):
    listed = {tool["name"] for tool in gateway.proxy.tools()}

    assert {f"{mcp}_{by}-echo" for mcp in MCPS} <= listed
    for mcp in MCPS:
        assert gateway.call(by, mcp, "echo", message=f"to {mcp}") == f"to {mcp}"
    gateway.check(by)


FAILURES = {
    "an error": (("plain", "error", {"message": "no such file"}), "no such file"),
    "isError": (("plain", "fail", {"message": "it failed"}), "it failed"),
    "a crash": (("dies", "die", {}), "code 3"),
    "no answer": (("hang", "slow", {"seconds": 60}), "--request-timeout"),
    "no content": (("bad", "bad", {"kind": "no_content"}), "without content"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_is_an_error_of_the_tool(gateway, by, case):
    (mcp, tool, arguments), says = FAILURES[case]
    result = gateway.result(by, mcp, tool, **arguments)

    assert result["isError"] is True
    assert says in words(result)
    gateway.check(by, case)
    assert gateway.call(by, mcp, "echo", message="again") == "again"


def test_structure_and_progress_go_through(gateway, by):
    assert gateway.result(by, "plain", "typed", value=3)["structuredContent"] == {"value": 3}
    assert gateway.call(by, "plain", "progress", steps=20) == "20 steps"
    assert gateway.call(by, "plain", "slow", seconds=1.5) == "slept 1.5"


def test_a_large_result_goes_through_by_http(gateway):
    """By sse, SDK 2.x refuses an event above 1 MiB: HTTP+SSE has no other form for it."""
    assert len(gateway.call("http", "plain", "huge", bytes=3_000_000)) == 3_000_000
    assert gateway.result("sse", "plain", "huge", bytes=3_000_000)["isError"] is True
    gateway.check("sse")
