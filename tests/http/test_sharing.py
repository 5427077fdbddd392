"""Sessions that share one child: whose progress, cancellation, log level, subscription and news is whose."""

import time

import pytest
from support import Http, Sse, Ws, eventually, text
from wire import message


def progress(client, token, steps=3, pause=0.02):
    params = {"name": "progress", "arguments": {"steps": steps, "pause": pause}, "_meta": {"progressToken": token}}
    return client.begin("tools/call", params)


def tokens_in(messages) -> list:
    return [m["params"]["progressToken"] for m in messages if m.get("method") == "notifications/progress"]


@pytest.mark.parametrize("token", [7, 0, "7", "p\u2028"])
def test_progress_goes_to_its_own_session_with_its_own_token(echo, connect, transport, token):
    """Edge case 20."""
    one, other = connect(transport, echo.url), connect(transport, echo.url)
    futures = progress(one, token, 3), progress(other, token, 2)
    for future in futures:
        future.result(20)

    assert tokens_in(one.messages(0.05)) == [token] * 3
    assert tokens_in(other.messages(0)) == [token] * 2


def test_no_progress_after_the_answer_and_none_for_strangers(around, connect, transport):
    """Edge case 20."""
    client, other = connect(transport, around("late").url), connect(transport, around("late").url)
    client.request("tools/call", {"name": "progress_after", "arguments": {}, "_meta": {"progressToken": "t"}})
    client.call("unknown_progress")

    assert tokens_in(client.messages(0.1)) == []
    assert tokens_in(other.messages(0)) == []


def test_a_cancellation_reaches_the_child_and_the_call_ends(around, connect, transport, under_way):
    client = connect(transport, around("late").url)
    future = client.begin("tools/call", {"name": "slow", "arguments": {"seconds": 30}}, id="c")
    under_way(around("late"), 1)
    client.notify("notifications/cancelled", {"requestId": "c", "reason": "enough"})
    if transport is Http:  # its response must end somehow
        assert future.result(20)["error"]
    pid = text(client.call("pid"))

    eventually(lambda: '"reason":"enough"' in text(client.call("received")).replace("\\", ""))
    assert text(client.call("pid")) == pid


def test_nobody_cancels_what_is_anothers(echo, connect, transport):
    """Edge case 21."""
    victim, attacker = connect(transport, echo.url), connect(transport, echo.url)
    future = victim.begin("tools/call", {"name": "slow", "arguments": {"seconds": 0.4}}, id=9)
    for id in (9, "9", *range(40)):
        attacker.notify("notifications/cancelled", {"requestId": id})

    assert text(future.result(20)) == "slept 0.4"


@pytest.mark.parametrize("params", [None, {}, {"requestId": None}, {"requestId": 1.5}, {"requestId": [1]}, {"requestId": "unknown"}])
def test_a_cancellation_of_nothing_is_ignored(echo, connect, transport, params):
    """Edge case 22."""
    client = connect(transport, echo.url)
    client.call("echo", message="answered")
    client.notify("notifications/cancelled", params)
    client.notify("notifications/cancelled", {"requestId": 1})

    assert text(client.call("echo", message="on")) == "on"


def test_a_late_answer_is_not_given_to_the_next_with_that_id(around, connect, transport, under_way):
    """Edge case 22."""
    client = connect(transport, around("late").url)
    first = client.begin("tools/call", {"name": "late", "arguments": {"seconds": 0.05}}, id="same")
    under_way(around("late"), 1)
    client.notify("notifications/cancelled", {"requestId": "same"})
    if transport is Http:
        first.result(20)
    second = client.begin("tools/call", {"name": "slow", "arguments": {"seconds": 0.2}}, id="same")

    assert text(second.result(20)) == "slept 0.2"
    assert not [m for m in client.messages(0.05) if "id" in m]


@pytest.mark.parametrize("tool, answer", [("twice", "first"), ("string_id", "for a string"), ("stranger", "mine"), ("null_id", "mine")])
def test_answers_of_a_confused_child_reach_who_asked(around, connect, transport, tool, answer):
    client = connect(transport, around("late").url)

    assert text(client.call(tool)) == answer
    assert [m for m in client.messages(0.05) if "id" in m] == []


def test_the_log_of_a_call_comes_with_it_though_nobody_listens(around, connect):
    """Edge case 44."""
    client = connect(Http, around("notify").url, listen=False)
    answer = client.call("log", message="during", count=3)

    assert text(answer) == "logged 3"
    assert [m["params"]["data"] for m in client.messages(0)] == ["during"] * 3


def test_the_log_of_a_call_is_not_shown_to_others(around, connect):
    bridge = around("notify")
    others = [connect(transport, bridge.url) for transport in (Http, Sse, Ws)]
    client = connect(Http, bridge.url)
    client.call("log", message="private")

    assert [m["params"]["data"] for m in client.messages(0.1)] == ["private"]
    assert [other.messages(0) for other in others] == [[], [], []]


def test_news_of_the_lists_reach_each_session_once(around, connect):
    """Edge case 45, with GET and POST streams open."""
    bridge = around("notify")
    clients = [connect(transport, bridge.url) for transport in (Http, Http, Sse, Ws)]
    busy = [client.begin_call("slow", seconds=0.3) for client in clients]
    connect(Sse, bridge.url).call("change")
    for future in busy:
        future.result(20)

    changes = [[m["method"] for m in client.messages(0.05)] for client in clients]
    assert changes == [["notifications/tools/list_changed"]] * 4


def test_news_wait_for_a_session_that_has_no_stream_open(echo, connect):
    client = connect(Http, echo.url, listen=False)
    client.call("change")
    client.call("change")
    with client.get_stream() as stream:
        assert stream.next_message()["method"] == "notifications/tools/list_changed"
        with pytest.raises(TimeoutError):
            stream.next(0.1)


def test_only_subscribers_hear_of_a_resource(around, connect, transport):
    """Edge case 46."""
    bridge = around("notify")
    two, other = (connect(transport, bridge.url) for _ in range(2))
    one = transport(bridge.url)
    one.open()

    def heard():
        return [[m["params"]["uri"] for m in client.messages(0.05)] for client in (one, two, other)]

    def subscribed():
        return text(other.call("subscriptions"))

    for client in (one, two):
        client.request("resources/subscribe", {"uri": "test://one"})
    one.request("resources/subscribe", {"uri": "test://two"})
    other.call("touch", uri="test://one")
    assert heard() == [["test://one"], ["test://one"], []]

    one.close()
    eventually(lambda: subscribed() == '["test://one"]')
    other.call("touch", uri="test://one")
    assert two.messages(0.05)[0]["params"]["uri"] == "test://one"

    two.request("resources/unsubscribe", {"uri": "test://one"})
    eventually(lambda: subscribed() == "[]")


def test_each_session_has_its_own_log_level(around, connect, transport):
    """Edge case 47."""
    bridge = around("notify")
    talkative, quiet = connect(transport, bridge.url), connect(transport, bridge.url)
    talkative.request("logging/setLevel", {"level": "debug"})
    quiet.request("logging/setLevel", {"level": "error"})
    for client in (talkative, quiet):
        for level in ("debug", "warning", "error"):
            client.call("log", level=level, message=level)

    assert [m["params"]["level"] for m in talkative.messages(0.1)] == ["debug", "warning", "error"]
    assert [m["params"]["level"] for m in quiet.messages(0)] == ["error"]


def test_a_bad_log_level_is_refused(echo, connect, transport):
    client = connect(transport, echo.url)

    assert client.request("logging/setLevel", {"level": "shout"})["error"]["code"] == -32602
    assert client.request("logging/setLevel", {"level": 5})["error"]["code"] == -32602


def test_a_vendors_notification_passes_unchanged(around, connect, transport):
    client = connect(transport, around("notify").url)
    client.call("vendor")

    news = client.wait_for("notifications/x-vendor/news")
    assert news == message("notifications/x-vendor/news", {"kept": [1, "\u2028"], "_meta": {"x": 1}})


def test_calls_of_a_child_that_takes_one_at_a_time_wait_their_turn(tmp_path, start, connect):
    bridge = start("loses_data", tmp_path / "n", options=["--max-in-flight", "1"])
    clients = [connect(transport, bridge.url) for transport in (Http, Sse, Ws)]
    futures = [client.begin_call("increment") for _ in range(7) for client in clients]
    for future in futures:
        future.result(10)

    assert text(clients[0].call("value")) == "21"


def test_a_call_that_is_cancelled_while_it_waits_never_reaches_the_child(around, connect, transport, under_way):
    bridge = around("echo", options=("--max-in-flight", "1"))
    client = connect(transport, bridge.url)
    busy = client.begin_call("slow", seconds=0.4)
    under_way(bridge, 1)
    waiting = client.begin("tools/call", {"name": "echo", "arguments": {"message": f"never {transport.__name__}"}}, id="w")
    under_way(bridge, 2)
    client.notify("notifications/cancelled", {"requestId": "w"})

    assert text(busy.result(20)) == "slept 0.4"
    assert f"never {transport.__name__}" not in text(client.call("received"))
    if transport is Http:
        assert waiting.result(20)["error"]


def test_a_child_that_reads_slowly_does_not_hold_up_the_bridge(around, connect):
    """Latency of others, while megabytes wait for the child."""
    busy, other = connect(Http, around("serial").url), connect(Http, around("echo").url)
    futures = [busy.begin_call("echo", message="x" * 1_000_000) for _ in range(8)]
    begun = time.monotonic()
    other.call("echo", message="quick")

    assert time.monotonic() - begun < 5
    assert [len(text(future.result(10))) for future in futures] == [1_000_000] * 8
