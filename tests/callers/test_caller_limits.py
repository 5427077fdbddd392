"""Limits that the operator gives a caller, beside the fair shares that all have."""

import hashlib
import json
import time
from types import SimpleNamespace

import pytest
from support import Bridge, Http, Modern, Sse, Ws, eventually, text, zoo

from bridge.http.fast import FastProtocol, FastResponse
from bridge.http.request import LIMITED, REST

TOKENS = {name: f"{name}-0123456789-0123456789" for name in ("slow", "free", "few", "boss")}
LIMITS = {"slow": {"requests": 0.01, "burst": 5}, "few": {"sessions": 2, "in_flight": 1}, "free": {}, "boss": {}}
CALL = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "echo", "arguments": {"message": "hi"}}}


@pytest.fixture
def limited(start, tmp_path):
    callers = {
        name: {
            "token_sha256": hashlib.sha256(token.encode()).hexdigest(),
            "default": "admin" if name == "boss" else "execute",
            "limits": LIMITS[name],
        }
        for name, token in TOKENS.items()
    }
    (tmp_path / "callers.json").write_text(json.dumps({"callers": callers}))
    return lambda *options: start("echo", options=["--callers", tmp_path / "callers.json", *options])


def headers(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {TOKENS[name]}"}


def test_who_asks_too_often_is_told_when_to_come_again_and_others_are_not(limited, connect):
    bridge = limited()
    slow, free = (connect(Http, bridge.url, headers=headers(name), listen=False) for name in ("slow", "free"))

    answers = [slow.post(CALL) for _ in range(6)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429, 429]
    assert int(answers[-1].headers["retry-after"]) > 50
    assert "you may ask 0.01 times a second here" in answers[-1].json()["error"]["message"]
    assert {free.post(CALL).status_code for _ in range(20)} == {200}


@pytest.mark.parametrize("profile", ["strict", "litellm"])
def test_who_asks_on_by_a_websocket_though_told_is_read_later(limited, connect, profile):
    client = connect(Ws, limited("--profile", profile).url, headers=headers("slow"))
    began = time.monotonic()
    for _ in range(5 + LIMITED + 5):
        client.call("echo", message="hi")

    assert time.monotonic() - began > 3 * REST


def test_a_connection_on_which_others_are_answered_is_not_slowed():
    """A gateway's, which sends what all of its users say."""
    paused = []
    protocol = SimpleNamespace(
        limited=0,
        transport=SimpleNamespace(is_closing=lambda: False, write=lambda data: None),
        flow=SimpleNamespace(read_paused=False, pause_reading=lambda: paused.append(True)),
        loop=SimpleNamespace(call_later=lambda *args: None),
        on_response_complete=lambda: None,
        _read_on=None,
    )
    protocol.rest = lambda: FastProtocol.rest(protocol)

    def answer(is_limited: bool) -> None:
        response = FastResponse(protocol, SimpleNamespace(), SimpleNamespace())
        if is_limited:
            response.slow_down()
        response.json(b"{}")

    for number in range(10 * LIMITED):
        answer(is_limited=number % LIMITED > 0)
    assert not paused

    for _ in range(LIMITED + 1):
        answer(is_limited=True)
    assert paused


def test_the_messages_of_a_batch_count_each(limited, connect):
    client = connect(Http, limited().url, headers=headers("slow"), listen=False, version="2025-03-26")
    batch = [CALL | {"id": number} for number in range(1000)]

    refused = client.post(batch)
    assert refused.status_code == 429 and "a batch counts as many as it has" in refused.json()["error"]["message"]
    assert client.post(batch[:2]).status_code == 200
    assert client.post(CALL).status_code == 429


@pytest.mark.parametrize("kind", [Http, Ws])
def test_litellm_gets_a_result_that_says_so(limited, connect, kind):
    client = connect(kind, limited("--profile", "litellm").url, headers=headers("slow"))
    answers = [client.call("echo", message="hi") for _ in range(6)]

    assert answers[-1]["result"]["isError"]
    assert "you may ask 0.01 times a second here" in answers[-1]["result"]["content"][0]["text"]


@pytest.mark.parametrize("kind", [Http, Sse, Ws])
def test_litellm_may_open_a_session_for_a_call_that_is_refused(limited, connect, kind):
    """It opens one for each; a refusal of anything but the call itself ends the whole gateway of 1.77.3."""
    bridge = limited("--profile", "litellm")
    for _ in range(8):
        client = connect(kind, bridge.url, headers=headers("slow"), **({"listen": False} if kind is Http else {}))
        assert client.request("tools/list")["result"]["tools"]
        answer = client.call("echo", message="hi")

    assert answer["result"]["isError"] and "you may ask 0.01 times a second here" in text(answer)
    assert "you may ask" in client.request("resources/read", {"uri": "test://one"})["error"]["message"]  # it is no part of opening one


def test_modern_calls_have_the_same_limits(limited, connect):
    client = connect(Modern, limited().url, headers=headers("slow"))
    answers = [client.send("tools/call", {"name": "echo", "arguments": {"message": "hi"}}) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429]


def test_a_caller_has_no_more_calls_under_way_than_it_may(limited, connect):
    bridge = limited()
    few, free = (connect(Http, bridge.url, headers=headers(name), listen=False) for name in ("few", "free"))
    few.begin_call("slow", seconds=30)

    eventually(
        lambda: [one for one in bridge.http.get("/status.json", headers=headers("boss")).json()["mcps"].values() if one["in_flight"]]
    )
    refused = few.post(CALL)

    assert refused.json()["error"]["message"].startswith("you may have 1 requests at once")
    assert free.post(CALL).status_code == 200


def test_a_reload_gives_nobody_back_what_it_has_spent(connect, tmp_path):
    """Neither one of the callers file, nor one that replaces the MCP."""

    def configure(pages: int, **limits) -> None:
        command, *words = zoo("echo", "--pages", pages)
        (tmp_path / "mcps.json").write_text(json.dumps({"mcpServers": {"echo": {"command": command, "args": words}}}))
        slow = {"token_sha256": digest("slow"), "default": "execute", "limits": {"requests": 0.01, "burst": 5} | limits}
        callers = {"slow": slow, "free": {"token_sha256": digest("free"), "may": {"*/*": "admin"}}}
        (tmp_path / "callers.json").write_text(json.dumps({"callers": callers}))

    configure(pages=1)
    with Bridge(None, "--config", tmp_path / "mcps.json", "--callers", tmp_path / "callers.json") as bridge:
        client = connect(Http, f"{bridge.url}/echo", headers=headers("slow"), listen=False)
        while client.post(CALL).status_code == 200:
            pass
        for pages, limits in ((1, {}), (2, {}), (2, {"burst": 50}), (3, {"burst": 2})):
            configure(pages, **limits)
            assert bridge.http.post("/-/reload", headers=headers("free")).status_code == 200

            assert client.post(CALL).status_code == 429


def digest(name: str) -> str:
    return hashlib.sha256(TOKENS[name].encode()).hexdigest()
