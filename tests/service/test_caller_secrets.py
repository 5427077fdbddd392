"""--caller-secret: the same server, for each caller with its own credentials."""

import json
import os
import signal

import httpx
import pytest
from bent import pids
from support import Bridge, Http, Modern, Refused, Sse, Ws, eventually, text, zoo

from bridge.callers.credentials import Credentials, caller_of, is_own
from bridge.cli import main

KEYS = {"alice": "a-secret-0123456789", "bob": "b-secret-0123456789"}
ALICE, BOB = ({"authorization": f"Bearer {key}"} for key in KEYS.values())
HEADER = ("--caller-secret", "API_KEY=header:X-Api-Value")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    file.write_text("".join(f"{name} {key}\n" for name, key in KEYS.items()))
    return file


@pytest.fixture(scope="module")
def bridge(tokens):
    with Bridge(zoo("echo"), *HEADER, "--token-file", tokens, "--log-level", "debug", headers=ALICE) as bridge:
        yield bridge


def brings(value: str, who: dict[str, str] = ALICE, header: str = "x-api-value") -> dict[str, str]:
    return who | {header: value}


def key(client) -> str | None:
    return json.loads(text(client.call("env"))).get("API_KEY")


@pytest.mark.parametrize("client", [Http, Sse, Ws, Modern])
def test_each_value_reaches_a_child_of_its_own_on_every_way_in(bridge, connect, client):
    mine, other, bobs = (connect(client, bridge.url, headers=brings(*words)) for words in (("one-1",), ("two-2",), ("one-1", BOB)))

    assert [key(mine), key(other), key(bobs)] == ["one-1", "two-2", "one-1"]


def test_sessions_share_the_child_of_their_caller_and_value_and_nobody_elses(bridge, connect):
    """LiteLLM opens a session for every call."""
    before = set(pids(bridge, "principal"))
    seen = [key(connect(Http, bridge.url, headers=brings("shared-3"))) for _ in range(5)]
    new = set(pids(bridge, "principal")) - before
    connect(Http, bridge.url, headers=brings("shared-3", BOB)).call("env")

    assert seen == ["shared-3"] * 5
    assert len(new) == 1
    assert len(set(pids(bridge, "principal")) - before) == 2


@pytest.mark.parametrize("given", ["plain-4", "Bearer plain-4", "Bearer Bearer plain-4", "bearer  plain-4"])
def test_a_value_may_come_as_litellm_of_each_version_sends_it(bridge, connect, given):
    assert key(connect(Http, bridge.url, headers=brings(given))) == "plain-4"


@pytest.mark.parametrize("client", [Http, Sse, Ws, Modern])
def test_without_a_value_lists_are_shown_and_a_call_says_what_is_missing(bridge, connect, client):
    talk = connect(client, bridge.url, headers=ALICE)

    assert talk.request("tools/list")["result"]["tools"]
    answer = talk.call("env")
    assert "API_KEY: send it in the header x-api-value" in answer["error"]["message"]


def test_lists_are_known_before_the_child_of_a_value_is_there(tokens, connect):
    with Bridge(zoo("slow_start", "3"), *HEADER, "--token-file", tokens, headers=ALICE) as bridge:
        talk = connect(Http, bridge.url, headers=brings("slow-5"))

        assert talk.request("tools/list", timeout=2)["result"]["tools"]


def test_a_session_of_one_value_is_of_no_use_with_another(bridge):
    def post(headers: dict, **body) -> httpx.Response:
        return httpx.post(
            f"{bridge.url}/mcp", json={"jsonrpc": "2.0", "id": 1} | body, headers={"accept": "*/*"} | headers, trust_env=False
        )

    opening = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    session = {"mcp-session-id": post(brings("mine-6"), method="initialize", params=opening).headers["mcp-session-id"]}

    assert post(brings("mine-6") | session, method="ping").status_code == 200
    for other in (brings("else-6"), brings("mine-6", BOB), ALICE):
        assert post(other | session, method="ping").status_code == 404


def test_no_value_is_seen_by_anybody_but_its_child(bridge, connect):
    value = "s3cret-seven-seven"
    talk = connect(Http, bridge.url, headers=brings(value))
    assert key(talk) == value
    others = [pid for pid in bridge.children() if value.encode() not in open(f"/proc/{pid}/environ", "rb").read()]
    pages = [bridge.get(path).text for path in ("/log.json", "/status.json", "/metrics", "/readyz")]

    assert len(others) == len(bridge.children()) - 1
    assert not [page for page in pages if value in page]
    assert not bridge.logged(value)
    for pid in (bridge.process.pid, *bridge.children()):
        assert value.encode() not in open(f"/proc/{pid}/cmdline", "rb").read()


def test_a_client_that_can_be_asked_things_has_the_same_child(bridge, connect):
    """It would have one of the pool, which has nobody's value."""
    talk = connect(Http, bridge.url, headers=brings("asked-8"), capabilities={"sampling": {}, "elicitation": {}})

    assert key(talk) == "asked-8"


def test_a_crash_and_a_recycling_keep_the_value(tokens, connect):
    with Bridge(zoo("echo"), *HEADER, "--token-file", tokens, "--recycle-calls", "3", headers=ALICE) as bridge:
        talk = connect(Http, bridge.url, headers=brings("kept-9"))
        assert [key(talk) for _ in range(10)] == ["kept-9"] * 10
        (pid,) = eventually(lambda: len(found := pids(bridge, "principal")) == 1 and found, 10)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: pids(bridge, "principal") not in ([], [pid]), 10)

        assert key(talk) == "kept-9"


def test_children_of_values_are_bounded_and_the_longest_idle_one_makes_room(tokens, connect):
    with Bridge(zoo("echo"), *HEADER, "--token-file", tokens, "--max-children", "2", headers=ALICE) as bridge:
        for number in range(4):
            with Http(bridge.url, headers=brings(f"value-{number}")) as talk:
                assert key(talk) == f"value-{number}"
        eventually(lambda: len(pids(bridge, "principal")) == 2, 10)
        with Ws(bridge.url, headers=brings("open-1")) as one, Ws(bridge.url, headers=brings("open-2")) as two:
            assert [key(one), key(two)] == ["open-1", "open-2"]
            with pytest.raises(Refused) as refused, Http(bridge.url, headers=brings("open-3")):
                pass

            assert refused.value.status == 503 and "--max-children" in str(refused.value)


@pytest.mark.parametrize(("limit", "most"), [("limits: {children: 2}, ", 2), ("", 3)])
def test_no_caller_takes_the_children_of_all_others_with_values_that_it_makes_up(connect, tmp_path, limit, most):
    for name, value in KEYS.items():
        (tmp_path / name).write_text(value)
    (tmp_path / "callers.yaml").write_text(
        f"callers: {{alice: {{token_file: alice, {limit}default: execute}}, bob: {{token_file: bob, default: execute}}}}"
    )
    with Bridge(zoo("echo"), *HEADER, "--callers", tmp_path / "callers.yaml", "--max-children", "4", headers=ALICE) as bridge:
        for number in range(most):
            connect(Ws, bridge.url, headers=brings(f"held-{number}")).call("env")
        with pytest.raises(Refused) as refused, Http(bridge.url, headers=brings("one-more")):
            pass

        assert refused.value.status == 429 and "you have your share" in str(refused.value)
        assert key(connect(Http, bridge.url, headers=brings("bobs", BOB))) == "bobs"


def test_a_folder_has_a_file_for_each_caller_and_a_new_value_counts_at_once(tokens, connect, tmp_path):
    (tmp_path / "alice").write_text("from-a-file\n")
    with Bridge(zoo("echo"), "--caller-secret", f"API_KEY={tmp_path}", "--token-file", tokens, headers=ALICE) as bridge:
        assert key(connect(Http, bridge.url, headers=ALICE)) == "from-a-file"
        answer = connect(Http, bridge.url, headers=BOB).call("env")
        assert "API_KEY: the operator may keep it here for you" in answer["error"]["message"]
        (tmp_path / "alice").write_text("another")

        assert key(connect(Http, bridge.url, headers=ALICE)) == "another"


def test_by_fallback_who_brings_nothing_has_the_servers_own(tokens, connect, tmp_path):
    (tmp_path / "own").write_text("the operator's")
    options = (*HEADER, "--caller-secret-missing", "fallback", "--secret", f"API_KEY={tmp_path / 'own'}", "--token-file", tokens)
    with Bridge(zoo("echo"), *options, headers=ALICE) as bridge:
        assert key(connect(Http, bridge.url, headers=ALICE)) == "the operator's"
        assert key(connect(Http, bridge.url, headers=brings("mine-10"))) == "mine-10"
        assert key(connect(Modern, bridge.url, headers=ALICE)) == "the operator's"


def test_rules_and_limits_are_the_callers_whatever_it_brings(connect, tmp_path):
    (tmp_path / "callers.yaml").write_text(
        'callers: {alice: {token_file: alice, may: {"echo/env": execute}}, bob: {token_file: bob, may: {"echo/add": execute}}}'
    )
    for name, value in KEYS.items():
        (tmp_path / name).write_text(value)
    with Bridge(zoo("echo"), "--name", "echo", *HEADER, "--callers", tmp_path / "callers.yaml", headers=ALICE) as bridge:
        assert key(connect(Http, bridge.url, headers=brings("ruled-11"))) == "ruled-11"
        assert "error" in connect(Http, bridge.url, headers=brings("ruled-11", BOB)).call("env")


@pytest.mark.parametrize("caller", ["..", "../alice", "a/b", "", ".hidden", "alice\x1f", "a" * 300, "jwt:x/../../alice"])
def test_no_name_leads_out_of_the_folder(tmp_path, caller):
    (tmp_path / "alice").write_text("secret")
    (tmp_path / "in").mkdir()
    credentials = Credentials((f"API_KEY={tmp_path / 'in'}",), False, b"k" * 32)

    assert credentials.of(caller, {})[1] == {}


def test_a_principal_says_whose_it_is_and_nothing_of_its_values():
    credentials = Credentials(("A=header:x-a", "B=header:x-b"), False, b"k" * 32)
    principal, values = credentials.of("alice", {b"x-a": b"one", b"x-b": b"two"})
    lacking, nothing = credentials.of("alice", {b"x-a": b"one"})

    assert (caller_of(principal), is_own(principal), values) == ("alice", True, {"A": "one", "B": "two"})
    assert "one" not in principal and "two" not in principal
    assert (caller_of(lacking), is_own(lacking), nothing) == ("alice", False, {})
    assert credentials.missing(lacking) == "B: send it in the header x-b"
    assert credentials.missing(principal) == ""
    assert Credentials(("A=header:x-a",), False, b"another key")._key != credentials._key


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--caller-secret", "API_KEY"], "expected NAME=header:HEADER"),
        (["--caller-secret", "API_KEY=header:"], "expected NAME=header:HEADER"),
        (["--caller-secret", "API-KEY=x"], "not the name of an environment variable"),
        ([*HEADER, "--isolation", "session"], "--isolation session"),
        (["--caller-secret", "API_KEY=header:Authorization", "--token-file", "TOKENS"], "say who calls"),
    ],
)
def test_what_could_not_work_is_refused_at_the_start(words, why, tokens, capsys):
    words = [str(tokens) if word == "TOKENS" else word for word in words]

    assert main(["serve", "--port", "0", *words, "--", "true"]) == 2
    assert why in capsys.readouterr().err


def test_the_requests_of_a_caller_are_counted_together_whatever_values_came_with_them():
    with Bridge(zoo("echo"), *HEADER) as bridge:
        for value in ("one", "two"):
            with Modern(bridge.url, headers={"x-api-value": value}) as client:
                assert key(client) == value

        (status,) = bridge.status()["mcps"].values()
        assert sum(status["callers"].values()) == bridge.metrics().value("mcp_bridge_requests_total")
