"""A real LiteLLM 1.77.3 in front of bridges: whatever a child or its bridge does, the gateway survives it.

Each failure of a child or a bridge that was found to matter. With any other bridge, most of these cases end LiteLLM's MCP
gateway until it is restarted. By `sse` all of it is shown; by `http` what a bridge can prevent while it is up.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import environments
import pytest
from environments.processes import free_port
from gateways import KIND, PATHS, Balancer, Gateway, fleet
from support import Bridge, Http, eventually, zoo

QUICK = {"backoff_initial": 0.05, "backoff_max": 0.1, "max_restarts": 100}
MCPS = {  # the MCPs of one bridge: child, options
    "plain": (["echo"], {}),
    "hang": (["echo"], {"request_timeout": 1, "max_line": "100k"}),
    "bad": (["bad_results", "--bad-tools"], {"request_timeout": 1}),
    "lists": (["bad_results"], {}),
    "dies": (["dies"], QUICK),
    "late": (["late"], {"request_timeout": 1}),
    "chatty": (["chatty"], {}),
    "flood": (["flood"], {}),
    "deep": (["notify"], {}),
    "serial": (["serial"], {}),
    "modern": (["modern"], {}),  # of 2026-07-28 alone, which LiteLLM has never heard of
    "odd": (["odd_tools"], {}),
    "wishes": (["modern_asks"], {}),
}
NOT_THERE = "MCP client session is not initialized"  # what LiteLLM says when it cannot open a session


@pytest.fixture(scope="module")
def fleet_bridge(tmp_path_factory) -> Iterator[Bridge]:
    with fleet(tmp_path_factory.mktemp("fleet"), MCPS, "--keepalive", "0.3") as bridge:
        yield bridge


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    """Where a bridge stands that tests start and stop, and one that stands behind a balancer."""
    return {"phoenix": free_port(), "balanced": free_port()}


@pytest.fixture(scope="module")
def narrow() -> Iterator[Bridge]:
    with Bridge(zoo("echo"), *KIND, "--max-requests", 2, "--max-sessions", 3, "--max-streams", 3, "--max-body", "100k") as bridge:
        yield bridge


@pytest.fixture(scope="module")
def once(tmp_path_factory) -> Iterator[Bridge]:
    """Its child starts only once."""
    flag = tmp_path_factory.mktemp("once") / "started"
    command = ["sh", "-c", f'test ! -e {flag} && touch {flag} && exec "$@"', "sh", *zoo("dies")]
    with Bridge(command, *KIND, "--max-restarts", 2, "--backoff-initial", 0.05) as bridge:
        yield bridge


@pytest.fixture(scope="module")
def running(fleet_bridge, ports, narrow, once) -> Iterator[Gateway]:
    urls = {name: f"{fleet_bridge.url}/{name}" for name in MCPS}
    urls |= {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    urls |= {"narrow": narrow.url, "once": once.url}
    # A POST of HTTP+SSE that does not reach the replica with the stream is lost, and LiteLLM waits for it.
    with Gateway(environments.litellm_1773(), urls, without=("balanced_sse",)) as gateway:
        yield gateway


@pytest.fixture
def gateway(running) -> Gateway:
    running.restart_if_wedged()
    return running


@pytest.fixture(params=PATHS)
def by(request) -> str:
    """The transport between LiteLLM and the bridge."""
    return request.param


@pytest.fixture
def phoenix(ports) -> Iterator[Callable[..., Bridge]]:
    """``phoenix("echo", "--option", ...)`` starts a bridge, always on the same port; the one before is stopped."""
    with ExitStack() as stack:

        def rise(child: str | list, *options, **more) -> Bridge:
            stack.close()
            command = zoo(child) if isinstance(child, str) else child
            return stack.enter_context(Bridge(command, *KIND, *options, port=ports["phoenix"], **more))

        yield rise


# -- what works -------------------------------------------------------------------------------------------------------------


def test_it_lists_the_tools_of_every_child_and_calls_them(gateway):
    tools = {tool["name"]: tool for tool in gateway.proxy.tools()}

    for by in PATHS:
        assert tools[f"plain_{by}-add"]["inputSchema"]["required"] == ["a", "b"]
        assert {f"{mcp}_{by}-echo" for mcp in MCPS} <= tools.keys()
        assert gateway.call(by, "plain", "add", a=2, b=3) == "5"
        for mcp in MCPS:
            assert gateway.call(by, mcp, "echo", message=f"to {mcp}") == f"to {mcp}"
        gateway.check(by)


def test_tools_that_models_choke_on_are_listed_as_they_take_them_and_called_by_their_own_names(gateway, by):
    tools = {tool["name"].removeprefix(f"odd_{by}-"): tool for tool in gateway.proxy.tools() if tool["name"].startswith(f"odd_{by}-")}

    assert len(tools) > 20  # of all pages; the bridge knows the MCP as odd
    assert all(len(f"odd-{name}") <= 64 and re.fullmatch("[A-Za-z0-9_-]+", name) for name in tools)
    assert all(tool["inputSchema"]["type"] == "object" and isinstance(tool["inputSchema"]["properties"], dict) for tool in tools.values())
    assert tools["reference"]["inputSchema"]["properties"]["who"]["properties"] == {"name": {"type": "string"}}
    long = next(name for name in tools if name.startswith("a_tool_with"))
    for name, own in {
        "user_get": "user.get",
        long: "a_tool_with_a_name_that_says_everything_that_there_is_to_say_about_it",
        "boolean": "boolean",
    }.items():
        assert json.loads(gateway.call(by, "odd", name, id="7")) == [own, {"id": "7"}]


def test_callers_at_once_get_their_own_answers(gateway, by):
    """LiteLLM gives all of them the same JSON-RPC ids."""
    with ThreadPoolExecutor(16) as callers:
        answers = list(callers.map(lambda n: gateway.call(by, "plain", "echo", message=f"for {n}"), range(16)))

    assert answers == [f"for {n}" for n in range(16)]
    gateway.check(by)


# -- what a child can do ------------------------------------------------------------------------------------------------------

NESTED = {"deep": None}
for _ in range(150):
    NESTED = {"deep": NESTED}

CASES = {  # MCP, tool, arguments: what LiteLLM's caller reads of it
    "an error": (("plain", "error", {"message": "no such file"}), "no such file"),
    "isError": (("plain", "fail", {"message": "it failed"}), "it failed"),
    "a crash": (("dies", "die", {}), "code 3"),
    "a crash by a signal": (("dies", "die", {"code": -9}), "SIGKILL"),
    "a crash in the middle of an answer": (("dies", "die_mid_line", {}), "code 3"),
    "a crash after the answer": (("dies", "die_after", {"seconds": 0}), "dying"),
    "an end of its output": (("dies", "close_stdout", {}), "server"),
    "no answer": (("hang", "slow", {"seconds": 60}), "--request-timeout"),
    "a line over --max-line": (("hang", "huge", {"bytes": 200_000}), "--max-line"),
    "an answer after its cancellation": (("late", "late", {}), "--request-timeout"),
    "two answers": (("late", "twice", {}), "first"),
    "an id as a string": (("late", "string_id", {}), "for a string"),
    "answers for nobody": (("late", "stranger", {}), "mine"),
    "an error without an id": (("late", "null_id", {}), "mine"),
    "progress after the answer": (("late", "progress_after", {}), "done"),
    "result and error at once": (("late", "result_and_error", {}), "yes"),
    "junk on stdout": (("chatty", "echo", {"message": "through"}), "through"),
    "a flood of notifications": (("flood", "flood", {"count": 500}), "sent 500"),
    "progress": (("plain", "progress", {"steps": 20}), "20 steps"),
    "logs": (("plain", "log", {"count": 20}), "logged 20"),
    "a slow answer": (("plain", "slow", {"seconds": 0.9}), "slept 0.9"),
    "odd characters": (("plain", "unicode", {}), "line\u2028para\u2029next\u0085"),
    "a promise of structure, kept": (("plain", "typed", {"value": 3}), '{"value": 3}'),
    "nothing at all": (("plain", "raw", {"result": '{"content":[]}'}), ""),
    "arguments nested too deep": (("deep", "notify", {"method": "x", "params": NESTED}), "nested"),
    "an error of a modern child": (("modern", "error", {"message": "no such file"}), "no such file"),
    "a modern child's list where old clients want an object": (("modern", "listed", {}), "1, 2"),
    "progress of a modern child": (("modern", "progress", {"steps": 20}), "20 steps"),
    "a modern child that asks, as it must not": (("modern", "ask", {}), "-32601"),
    "a modern child that wants what LiteLLM cannot give": (("wishes", "elicit", {}), "elicitation"),
    "a modern child that wants to be called again": (("wishes", "state_only", {"times": 2}), "2 times"),
    "a result of 2 MB": (("plain", "huge", {"bytes": 2_000_000}), "x" * 2_000_000),
}


@pytest.mark.parametrize("case", CASES)
def test_a_call_ends_in_a_result_after(gateway, by, case):
    (mcp, tool, arguments), says = CASES[case]
    answer = gateway.call(by, mcp, tool, **arguments)

    assert says in answer, answer[:1000]
    assert gateway.proxy.alive(), gateway.proxy.log[-6000:]
    assert gateway.call(by, mcp, "echo", message="again") == "again"


@pytest.mark.parametrize("tool", ["bad", "bad_structured"])
def test_a_call_ends_in_a_result_after_every_bad_result(gateway, by, tool):
    """`bad_structured` promises a structure in its outputSchema."""
    kinds = json.loads(gateway.call(by, "bad", "kinds"))
    if tool == "bad_structured":
        kinds = [kind for kind in kinds if kind.startswith("structured") or kind in ("no_content", "nan", "deep")]

    assert len(kinds) > 5
    for kind in kinds:  # each is the normal call that has to work after the one before it
        gateway.result(by, "bad", tool, kind=kind)

        assert gateway.proxy.alive(), f"wedged by {kind}"
    gateway.check(by)


def test_a_call_survives_a_list_that_fails_after_it(gateway, by):
    """The SDK lists the tools after each good call; LiteLLM waits for that with its answer."""
    for how in ("error", "empty_result", "not_a_list", "hang"):
        assert gateway.call(by, "lists", "break_list", how=how) == how
        assert gateway.call(by, "lists", "echo", message="still there") == "still there"
        gateway.check(by, f"after {how}")
    assert "echo" in gateway.tools("lists", by)
    gateway.call(by, "lists", "break_list", how="fine")


def test_a_child_in_a_long_call_does_not_stall_the_list_of_all(gateway, fleet_bridge):
    with Http(f"{fleet_bridge.url}/serial") as client:
        client.request("tools/list")
        busy = client.begin_call("slow", seconds=60)
        eventually(lambda: in_flight(fleet_bridge, "serial") == 1)
        listed = {tool["name"] for tool in gateway.proxy.tools(timeout=15)}

        assert {"serial_sse-echo", "serial_http-echo"} <= listed
        assert not busy.done()
    gateway.check("sse")


def test_a_child_that_is_given_up_for_good(gateway, by, once):
    """FATAL: its first start works, the next ones do not. A call to it says so, and so do all later ones."""
    died = gateway.call(by, "once", "die")
    eventually(lambda: once.ready()["state"] == "fatal")

    assert "exited" in died
    assert "exited" in gateway.call(by, "once", "echo", message="x")
    gateway.check(by)


# -- what a bridge can do -----------------------------------------------------------------------------------------------------


def test_a_call_that_the_end_of_the_bridge_cuts_short_is_answered(gateway, by, phoenix):
    bridge = phoenix("echo", "--drain-timeout", 0.3)
    gateway.call(by, "phoenix", "echo", message="known")
    with ThreadPoolExecutor(1) as caller:
        call = caller.submit(gateway.call, by, "phoenix", "slow", seconds=60)
        eventually(lambda: in_flight(bridge) == 1, 10)
        bridge.stop()

        assert "shutting down" in call.result(10)
    assert gateway.proxy.alive()
    phoenix("echo")
    assert gateway.call(by, "phoenix", "echo", message="risen") == "risen"
    gateway.check(by)


def test_a_call_that_ends_while_the_bridge_stops_is_a_good_one(gateway, by, phoenix):
    """The list that LiteLLM sends after it has to be answered, too."""
    bridge = phoenix("echo")
    gateway.call(by, "phoenix", "echo", message="known")
    with ThreadPoolExecutor(5) as callers:
        calls = [callers.submit(gateway.call, by, "phoenix", "slow", seconds=seconds) for seconds in (1, 1.2, 1.4, 1.6, 1.8)]
        eventually(lambda: in_flight(bridge) == 5, 10)
        bridge.stop()

        assert [call.result(10) for call in calls] == ["slept 1", "slept 1.2", "slept 1.4", "slept 1.6", "slept 1.8"]
    gateway.check(by)


def test_a_call_that_comes_while_the_bridge_stops_is_refused_softly(gateway, by, phoenix):
    bridge = phoenix("echo")
    gateway.call(by, "phoenix", "echo", message="known")
    with ThreadPoolExecutor(1) as caller:
        first = caller.submit(gateway.call, by, "phoenix", "slow", seconds=1.2)
        eventually(lambda: in_flight(bridge) == 1, 10)
        stopping = threading.Thread(target=bridge.stop)
        stopping.start()
        eventually(lambda: bridge.logged("stopping"))
        second = gateway.call(by, "phoenix", "echo", message="too late")
        stopping.join()

        assert second == NOT_THERE
        assert first.result(10) == "slept 1.2"
    gateway.check(by)


def test_a_bridge_that_is_down_costs_only_its_own_calls(gateway, phoenix):
    """By sse. By http it wedges 1.77.3: nobody is there who could prevent it."""
    phoenix("echo")
    gateway.call("sse", "phoenix", "echo", message="known")
    phoenix("echo").stop()

    assert gateway.call("sse", "phoenix", "echo", message="x") == NOT_THERE
    assert not any(tool["name"].startswith("phoenix") for tool in gateway.proxy.tools())
    gateway.check("sse")


def test_a_bridge_whose_child_does_not_start(gateway, by, phoenix):
    phoenix("echo")
    gateway.call(by, "phoenix", "echo", message="known")
    bridge = phoenix("dies_at_start", "--max-restarts", 1, "--backoff-initial", 0.05, ready=False)
    eventually(lambda: bridge.ready()["state"] == "fatal")

    assert gateway.call(by, "phoenix", "echo", message="x") == NOT_THERE
    gateway.check(by)


def test_a_bridge_whose_child_never_answers_is_waited_for_once(gateway, phoenix):
    phoenix("echo")
    gateway.call("sse", "phoenix", "echo", message="known")
    phoenix("never_answers", ready=False)

    assert gateway.call("sse", "phoenix", "echo", timeout=7, message="x") == NOT_THERE
    assert gateway.call("http", "phoenix", "echo", timeout=3, message="x") == NOT_THERE
    gateway.check("http")


def test_a_bridge_whose_child_starts_slowly_is_waited_for(gateway, by, phoenix):
    phoenix("echo")
    gateway.call(by, "phoenix", "echo", message="known")
    phoenix(zoo("slow_start", 1), ready=False)

    assert gateway.call(by, "phoenix", "echo", message="at last") == "at last"
    gateway.check(by)


def test_a_call_waits_for_a_child_of_its_own_that_starts_slower_than_litellm_may_be_kept_waiting(gateway, by, phoenix):
    """LiteLLM opens a session for every call, so that each of them is a start."""
    bridge = phoenix(zoo("slow_start", 6), "--isolation", "session")

    assert f"phoenix_{by}-echo" in {tool["name"] for tool in gateway.proxy.tools()}
    assert gateway.call(by, "phoenix", "echo", message="at last") == "at last"
    assert gateway.call(by, "phoenix", "pid") not in {"", NOT_THERE, str(bridge.children()[0])}
    gateway.check(by)


def test_sessions_go_on_at_a_bridge_that_does_not_know_them(gateway, ports):
    """Two replicas with different keys and no sticky sessions: the same as a restart in the middle of a session."""
    keys = [{"MCP_BRIDGE_SESSION_KEY": letter * 32} for letter in "ab"]
    with (
        Bridge(zoo("echo"), *KIND, env=keys[0]) as one,
        Bridge(zoo("echo"), *KIND, env=keys[1]) as two,
        Balancer(one.url, two.url, port=ports["balanced"]),
    ):
        pids = {gateway.call("http", "balanced", "pid") for _ in range(8)}

    assert len(pids) == 2
    gateway.check("http")


def test_too_many_requests(gateway, by, narrow):
    with Http(narrow.url) as client:
        gateway.call(by, "narrow", "echo", message="known")
        for _ in range(2):
            client.begin_call("slow", seconds=60)
        eventually(lambda: in_flight(narrow) == 2)

        assert "--max-requests" in gateway.call(by, "narrow", "echo", message="x")
    eventually(lambda: in_flight(narrow) == 0)
    gateway.check(by)


def test_a_storm_of_calls_to_a_bridge_that_takes_two(gateway, by, narrow):
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda n: gateway.call(by, "narrow", "slow", seconds=0.05), range(16)))

    told = {"slept 0.05", NOT_THERE}
    assert all(answer in told or "--max-" in answer for answer in answers), set(answers) - told
    eventually(lambda: gateway.call(by, "narrow", "echo", message="over") == "over")
    gateway.check(by)


def test_too_many_sessions(gateway, by, narrow):
    gateway.call(by, "narrow", "echo", message="known")
    with ExitStack() as stack:
        for _ in range(3):  # of clients that cannot be forgotten and taken up again
            stack.enter_context(Http(narrow.url, listen=False, capabilities={"sampling": {}}))

        assert gateway.call(by, "narrow", "echo", message="x") == NOT_THERE
        gateway.check(by)
    assert gateway.call(by, "narrow", "echo", message="again") == "again"


def test_too_many_streams(gateway, by, narrow):
    gateway.call(by, "narrow", "echo", message="known")
    with Http(narrow.url, listen=False) as client, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(client.get_stream())
        eventually(lambda: status(narrow)["streams"] == 3)
        said = gateway.call(by, "narrow", "echo", message="by post alone")

        assert said == {"sse": NOT_THERE, "http": "by post alone"}[by]
        gateway.check(by)


def test_a_body_over_max_body(gateway, by):
    assert "--max-body" in gateway.call(by, "narrow", "echo", message="x" * 300_000)
    gateway.check(by)
    assert gateway.call(by, "narrow", "echo", message="short") == "short"


def in_flight(bridge: Bridge, mcp: str = "echo") -> int:
    return status(bridge, mcp)["in_flight"]


def status(bridge: Bridge, mcp: str = "echo") -> dict:
    return bridge.status()["mcps"][mcp]
