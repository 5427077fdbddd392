"""--isolation principal: one child for each token."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bent import bent, is_gone, pids, processes
from support import ROOT, Bridge, Http, Modern, Refused, Sse, Ws, eventually, text, zoo
from support.modern import routing

ALICE, ALSO_ALICE, BOB = (
    {"authorization": f"Bearer {token}"} for token in ("a-secret-0123456789", "a-second-0123456789", "b-secret-0123456789")
)
PRINCIPAL = ("--isolation", "principal", "--token-file")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    file.write_text("alice a-secret-0123456789\nalice a-second-0123456789\nbob b-secret-0123456789\n")
    return file


@pytest.fixture(scope="module")
def bridge(tokens) -> Iterator[Bridge]:
    with Bridge(zoo("stateful"), *PRINCIPAL, tokens, headers=ALICE) as bridge:
        yield bridge


def remembered(client, key: str = "it") -> str | None:
    return json.loads(text(client.call("recall", key=key)))["value"]


def test_every_principal_has_a_child_of_its_own_and_its_sessions_share_it(bridge, connect):
    alice, sse, ws = (connect(kind, bridge.url, headers=ALICE) for kind in (Http, Sse, Ws))
    also_alice, bob = (connect(Http, bridge.url, headers=headers) for headers in (ALSO_ALICE, BOB))
    alice.call("remember", key="it", value="alice's")

    assert [remembered(client) for client in (alice, sse, ws, also_alice)] == ["alice's"] * 4
    assert remembered(bob) is None
    assert len(set(pids(bridge, "principal"))) == 2


def test_a_child_of_a_principal_outlives_its_sessions(bridge, connect):
    """Many clients open a session for each call."""
    with Http(bridge.url, headers=ALICE) as client:
        client.call("remember", key="again", value="kept")

    assert remembered(connect(Http, bridge.url, headers=ALICE), "again") == "kept"


def test_a_principal_is_greeted_and_told_the_tools_while_its_child_is_still_starting(start, tokens, connect):
    """What the shared child said in the same handshake is known. A call waits for the principal's own."""
    bridge = start("slow_start", "3", options=[*PRINCIPAL, tokens], headers=ALICE)
    client = connect(Http, bridge.url, headers=ALICE, listen=False)
    tools = client.request("tools/list")["result"]["tools"]

    assert processes(bridge, "principal", "handshaking")
    assert "pid" in {tool["name"] for tool in tools}
    assert text(client.call("pid")) == str(pids(bridge, "principal", "ready")[0])


def test_a_modern_client_that_listens_to_a_child_that_dies_while_it_starts_is_not_told_that_it_is_subscribed(
    start, tokens, connect, tmp_path
):
    """The second process, which is the principal's first, dies; the shared one has told that it has resources."""
    command = bent(
        tmp_path / "child.py",
        f"""
with open({str(tmp_path / "starts")!r}, "a+") as starts:
    starts.write("x"); starts.flush(); starts.seek(0)
    is_second = len(starts.read()) == 2
if is_second:
    time.sleep(1); sys.exit(1)
""",
    )
    with Bridge(command, *PRINCIPAL, tokens, "--child-era", "legacy", headers=ALICE) as bridge:
        alice = connect(Modern, bridge.url, headers=ALICE)
        said = alice.post(*_listening(alice)).json()
        again = alice.listen_to(resourceSubscriptions=["test://one"])
        told = again.next_message()

        assert "exited" in said["error"]["message"]
        assert told["params"]["notifications"] == {"resourceSubscriptions": ["test://one"]}
        again.close()


def _listening(client: Modern) -> tuple[dict, dict]:
    message = client.enveloped(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "subscriptions/listen",
            "params": {"notifications": {"resourceSubscriptions": ["test://one"]}},
        }
    )
    return message, routing(message)


def test_the_death_of_one_principals_child_concerns_nobody_else(bridge, connect):
    alice, bob = connect(Http, bridge.url, headers=ALICE), connect(Http, bridge.url, headers=BOB)
    for client in (alice, bob):
        client.call("remember", key="it", value="mine")
    pid = json.loads(text(alice.call("next")))["pid"]
    os.kill(pid, signal.SIGKILL)

    assert remembered(bob) == "mine"
    eventually(lambda: is_gone(pid) and pid not in pids(bridge))
    assert remembered(alice) is None  # answered by its next child


def test_without_a_token_nobody_gets_a_child(bridge):
    before = pids(bridge)
    with pytest.raises(Refused) as refused:
        Http(bridge.url).open()

    assert refused.value.status == 401
    assert pids(bridge) == before


def refused_start(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "bridge", "serve", "--port", "0", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )


def test_principals_need_a_token_file():
    done = refused_start("--isolation", "principal", "--", *zoo("echo"))

    assert done.returncode == 2
    assert "--token-file" in done.stderr


def test_principals_of_one_mcp_in_a_config_need_a_token_file_too(tmp_path):
    config = tmp_path / "mcps.json"
    command, *arguments = zoo("echo")
    config.write_text(json.dumps({"mcpServers": {"one": {"command": command, "args": arguments, "isolation": "principal"}}}))
    done = refused_start("--config", config)

    assert done.returncode == 2
    assert "--token-file" in done.stderr


def test_a_sleeping_principals_child_wakes_for_its_own(start, tokens, connect):
    bridge = start("stateful", options=[*PRINCIPAL, tokens, "--idle-stop", "0.3"], headers=ALICE)
    alice = connect(Http, bridge.url, headers=ALICE, listen=False)
    alice.call("next")
    eventually(lambda: processes(bridge, "principal", "asleep") and not pids(bridge, "principal")[0])

    assert json.loads(text(alice.call("next")))["count"] == 1
    assert len(processes(bridge, "principal", "ready")) == 1
