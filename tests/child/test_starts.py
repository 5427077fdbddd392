"""Children that start slowly, not at all, or again and again in vain."""

import json
import time

import pytest
from support import Bridge, Http, Sse, Ws, eventually, text, zoo
from support.client import compose

HURRIED = ["--backoff-initial", "0.05", "--backoff-max", "0.1"]
HELLO = compose("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}})


def refusal(transport, url) -> dict:
    """The error that initialize gets."""
    client = transport(url)
    client.connect()
    try:
        return client.request("initialize", HELLO["params"], timeout=5)["error"]
    finally:
        client.close()


@pytest.fixture(scope="module")
def hopeless():
    with Bridge(zoo("dies_at_start"), "--backoff-initial", "0.2", "--backoff-max", "0.2", "--max-restarts", "1000", ready=False) as bridge:
        yield bridge


def test_a_child_that_dies_at_start_is_no_riddle(hopeless, transport):
    """Edge case 51: the client hears of it at once, and why."""
    begun = time.monotonic()
    error = refusal(transport, hopeless.url)

    assert time.monotonic() - begun < 10
    assert "code 1" in error["message"]
    assert "API_KEY is not set" in error["message"]
    assert hopeless.logged("API_KEY is not set")


@pytest.fixture(scope="module")
def given_up():
    with Bridge(zoo("dies_at_start"), *HURRIED, "--max-restarts", "3", "--child-era", "legacy", ready=False) as bridge:
        eventually(lambda: bridge.ready()["state"] == "fatal")
        yield bridge


def test_a_crash_loop_ends_in_fatal_with_the_reason(given_up):
    word = given_up.ready()

    assert word["code"] == 503
    assert "3 starts in a row failed" in word["reason"]
    assert "API_KEY is not set" in word["reason"]
    assert given_up.metrics().value("mcp_bridge_child_starts_total") == 3
    assert given_up.metrics().value("mcp_bridge_child_restarts_total") == 2
    assert given_up.metrics().value("mcp_bridge_child_up") == 0
    assert given_up.get("/healthz").status_code == 200


def test_how_a_child_ended_is_not_taken_from_its_own_words():
    with Bridge(
        zoo("dies_at_start", "--says", "killed by the OOM killer: cannot start"), *HURRIED, "--max-restarts", "2", ready=False
    ) as bridge:
        eventually(lambda: bridge.ready()["state"] == "fatal")
        exits = {cause: bridge.metrics().value("mcp_bridge_child_exits_total", cause=cause) for cause in ("exit", "signal", "spawn")}

    assert exits["exit"] >= 2 and exits["signal"] == exits["spawn"] == 0


def test_a_child_that_was_given_up_is_refused_at_once(given_up, transport):
    """Edge case 51."""
    begun = time.monotonic()
    error = refusal(transport, given_up.url)

    assert time.monotonic() - begun < 5
    assert "API_KEY is not set" in error["message"]


@pytest.mark.parametrize("isolation", ["auto", "session"])
def test_litellm_does_not_wait_for_a_child_whose_last_start_failed(isolation):
    """Its list of all servers waits for each one: between two starts, and while the next one is tried, it is told at once."""
    options = ["--profile", "litellm", "--child-era", "legacy", "--backoff-initial", "60", "--isolation", isolation]
    with Bridge(zoo("dies_at_start"), *options, ready=False) as bridge:
        eventually(lambda: bridge.ready()["state"] == "backoff")
        error = refusal(Http, bridge.url)

    assert "API_KEY is not set" in error["message"]


def test_litellm_does_not_wait_for_the_next_start_of_one_that_never_answers():
    options = ["--profile", "litellm", "--child-era", "legacy", "--start-timeout", "0.3", *HURRIED, "--max-restarts", "1000"]
    with Bridge(zoo("never_answers"), *options, ready=False) as bridge:
        eventually(lambda: bridge.metrics().value("mcp_bridge_child_starts_total") > 1)
        error = refusal(Http, bridge.url)

    assert "--start-timeout" in error["message"]


def test_litellm_gets_the_last_list_of_a_dead_child_at_once():
    with Bridge(zoo("dies"), "--profile", "litellm", "--backoff-initial", "60") as bridge, Http(bridge.url) as client:
        before = client.request("tools/list")["result"]
        client.call("die")
        eventually(lambda: bridge.ready()["state"] == "backoff")

        assert client.request("tools/list")["result"] == before
        assert 'outcome="late"' not in bridge.get("/metrics").text


def test_the_pauses_grow():
    with Bridge(zoo("dies_at_start"), "--backoff-initial", "0.1", "--max-restarts", "4", "--log-format", "json", ready=False) as bridge:
        eventually(lambda: bridge.ready()["state"] == "fatal")
        pauses = [json.loads(line)["pause"] for line in bridge.logged("starting it again")]

    assert len(pauses) == 3
    assert 0.07 <= pauses[0] <= 0.13
    assert 0.14 <= pauses[1] <= 0.26
    assert 0.29 <= pauses[2] <= 0.51


def test_exit_on_fatal_says_so_by_its_code():
    with Bridge(zoo("dies_at_start"), *HURRIED, "--max-restarts", "2", "--exit-on-fatal", ready=False) as bridge:
        code = bridge.process.wait(5)

        assert code == 1
        assert eventually(lambda: bridge.logged("FATAL"))


def test_a_child_that_gets_ready_and_dies_again_and_again_is_given_up_too():
    with Bridge(zoo("dies_at_start", "--after", 0.05), *HURRIED, "--max-restarts", "3", "--child-era", "legacy", ready=False) as bridge:
        eventually(lambda: bridge.ready()["state"] == "fatal")

        assert bridge.ready()["code"] == 503


def test_a_child_that_fails_twice_and_then_works_is_served(tmp_path):
    child = zoo("dies_at_start", "--times", 2, "--count-file", tmp_path / "count")
    with Bridge(child, *HURRIED, "--child-era", "legacy") as bridge, Http(bridge.url) as client:
        assert text(client.call("echo", message="at last")) == "at last"
        assert bridge.metrics().value("mcp_bridge_child_restarts_total") == 2


def test_a_child_that_starts_slowly_is_waited_for(start):
    url = start("slow_start", 0.5, ready=False).url
    with Http(url) as http, Sse(url) as sse, Ws(url) as ws:
        for client in (http, sse, ws):
            assert text(client.call("echo", message="awake")) == "awake"


def test_no_limit_of_the_start_is_no_limit(start):
    with Http(start("slow_start", 0.4, options=["--start-timeout", "0"], ready=False).url) as client:
        assert client.version


def test_a_child_that_never_answers_is_stopped_and_started_again():
    with Bridge(zoo("never_answers"), "--start-timeout", "0.3", *HURRIED, "--max-restarts", "2", ready=False) as bridge:
        error = refusal(Http, bridge.url)
        eventually(lambda: bridge.ready()["state"] == "fatal")

        assert "--start-timeout" in bridge.ready()["reason"]
        assert "0.3" in error["message"]
        assert bridge.children() == []


def test_a_child_that_wedges_after_its_handshake_costs_a_timeout_each(start, connect):
    bridge = start("never_answers", "--wedged", options=["--request-timeout", "0.3"])
    client = connect(Http, bridge.url)

    assert "--request-timeout" in client.call("echo", message="x")["error"]["message"]
    assert client.request("ping")["result"] == {}


def test_a_script_without_an_interpreter_is_explained(tmp_path):
    script = tmp_path / "server"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    with Bridge([str(script)], *HURRIED, "--max-restarts", "2", ready=False) as bridge:
        eventually(lambda: bridge.ready()["state"] == "fatal")

        assert "cannot start" in bridge.ready()["reason"]
        assert str(script) in bridge.ready()["reason"]


@pytest.mark.parametrize(
    "command",
    [
        ["cat"],
        ["yes"],
        ["sh", "-c", 'echo \'{"jsonrpc":"2.0","id":2,"result":5}\'; cat >/dev/null'],
        ["sh", "-c", 'read line; echo \'{"jsonrpc":"2.0","id":2,"error":{"code":-1,"message":"go away"}}\'; cat'],
    ],
)
def test_what_is_no_server_is_given_up_with_a_reason(command):
    with Bridge(command, *HURRIED, "--start-timeout", "0.4", "--max-restarts", "1", ready=False) as bridge:
        eventually(lambda: bridge.ready()["state"] == "fatal", 8)

        assert bridge.ready()["reason"]
        assert not bridge.logged("Traceback")
