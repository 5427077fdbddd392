"""A child of the handshake era asks in the middle of a call; its client of 2026-07-28 gets `input_required` instead.

The call is parked meanwhile, and the client's retry takes it up: multi-round-trip, docs/protocol.md 3.3.
"""

import base64
import json
import os
import time

import pytest
from support import Bridge, Http, Modern, asks, eventually, text, zoo

ALL = {"sampling": {}, "elicitation": {"form": {}, "url": {}}, "roots": {}}
YES = {"action": "accept", "content": {"name": "Ada"}}
SAMPLED = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "sampled"}}
ROOTS = {"roots": [{"uri": "file:///here"}]}
RELAY = ("--client-roots", "relay")
ANSWERS = {"elicitation/create": YES, "sampling/createMessage": SAMPLED, "roots/list": ROOTS}


@pytest.fixture
def bridge(around) -> Bridge:
    return around("asks", options=RELAY)


@pytest.fixture
def client(bridge, connect) -> Modern:
    return connect(Modern, bridge.url, capabilities=ALL)


def answered(asked: dict) -> dict:
    """An answer to each of the asks in it."""
    return {key: ANSWERS[ask["method"]] for key, ask in asks(asked).items()}


@pytest.mark.parametrize("tool, method, answer", [
    ("elicit", "elicitation/create", YES), ("sample", "sampling/createMessage", SAMPLED), ("roots", "roots/list", ROOTS),
    ("elicit", "elicitation/create", {"action": "decline"}), ("elicit_url", "elicitation/create", {"action": "cancel"}),
])  # fmt: skip
def test_what_the_child_asks_is_asked_of_the_client_and_its_answer_reaches_the_child(client, tool, method, answer):
    asked = client.call(tool)
    [(key, ask)] = asks(asked).items()
    done = client.call_again(tool, asked, **{key: answer})

    assert ask["method"] == method
    assert "id" not in ask and "jsonrpc" not in ask
    assert asked["result"]["requestState"]
    assert "ttlMs" not in asked["result"]
    assert done["result"]["resultType"] == "complete"
    assert json.loads(text(done))["result"] == answer


def test_the_words_of_an_ask_are_the_childs(client):
    [(_, ask)] = asks(client.call("elicit")).items()

    assert ask["params"]["message"] == "name?"
    assert ask["params"]["requestedSchema"] == {"type": "object", "properties": {"name": {"type": "string"}}}


def test_an_elicitation_by_url_has_no_id_any_more(client):
    [(_, ask)] = asks(client.call("elicit_url")).items()

    assert ask["params"]["url"] == "https://example.com/login"
    assert "elicitationId" not in ask["params"]


def test_two_asks_at_once_come_together(client):
    asked = client.call("two_asks")
    done = client.call_again("two_asks", asked, **answered(asked))

    assert sorted(ask["method"] for ask in asks(asked).values()) == ["elicitation/create", "sampling/createMessage"]
    assert [answer["result"] for answer in json.loads(text(done))] == [SAMPLED, YES]


def test_what_was_left_unanswered_is_asked_again(client):
    asked = client.call("two_asks")
    first, *_ = answered(asked).items()
    again = client.call_again("two_asks", asked, **dict([first]), unknown={"action": "accept"})
    done = client.call_again("two_asks", again, **answered(again))

    assert len(asks(again)) == 1
    assert len(json.loads(text(done))) == 2


def test_one_question_after_another(around, connect):
    client = connect(Modern, around("round_trips", options=RELAY).url, capabilities=ALL)
    tool = "test_input_required_result_multi_round"
    first = client.call(tool)
    second = client.call_again(tool, first, **{key: {"action": "accept", "content": {"name": "Ada"}} for key in asks(first)})
    done = client.call_again(tool, second, **{key: {"action": "accept", "content": {"color": "red"}} for key in asks(second)})

    assert text(done) == "Ada likes red."
    assert first["result"]["requestState"] != second["result"]["requestState"]


def test_a_prompt_may_ask_too(around, connect):
    client = connect(Modern, around("round_trips", options=RELAY).url, capabilities=ALL)
    params = {"name": "test_input_required_result_prompt"}
    asked = client.request("prompts/get", params)
    done = client.again("prompts/get", params, asked, **{key: {"action": "accept", "content": {"context": "c"}} for key in asks(asked)})

    assert done["result"]["messages"]


def test_progress_before_a_question_comes_with_the_first_answer_and_the_rest_with_the_last(client):
    """Each response is a stream of its own; the token of the retry counts from then on."""
    stream = client.stream("tools/call", {"name": "elicit", "arguments": {}, "_meta": {"progressToken": "p"}}, id="s")
    body = json.loads(stream.body) if not stream.is_sse else list(stream.messages())[-1]

    assert asks(body)


# The state


@pytest.mark.parametrize("first, second", [("a", "b"), ("a", None), (None, "b")])
def test_what_follows_a_question_comes_as_its_retry_wants_it(connect, written, first, second):
    with Bridge(written(TELLS)) as bridge:
        client = connect(Modern, bridge.url, capabilities={"elicitation": {}})
        meta = {token: {"_meta": {"progressToken": token}} if token else {} for token in (first, second)}
        asked = client.request("tools/call", {"name": "work", "arguments": {}} | meta[first])["result"]
        answers = {"requestState": asked["requestState"], "inputResponses": dict.fromkeys(asked["inputRequests"], YES)}
        stream = client.stream("tools/call", {"name": "work", "arguments": {}} | meta[second] | answers)
        heard = [message["params"]["progressToken"] for message in stream.messages() if "params" in message] if stream.is_sse else []

    assert heard == (["b"] * 3 if first and second else [])


def test_a_retry_that_can_be_asked_less_is_asked_less(client, connect, bridge):
    asked = client.call("two_asks")["result"]
    other = connect(Modern, bridge.url, capabilities={"elicitation": {"form": {}}})
    again = other.request("tools/call", {"name": "two_asks", "arguments": {}, "requestState": asked["requestState"], "inputResponses": {}})

    assert {ask["method"] for ask in asks(again).values()} == {"elicitation/create"}


@pytest.mark.parametrize("can", [{}, {"sampling": {}}, {"elicitation": {}}])
def test_a_login_by_an_error_is_no_question_to_who_cannot_be_asked(bridge, connect, can):
    client = connect(Modern, bridge.url, capabilities=can)

    assert client.call("url_required")["error"]["code"] == -32021


def test_the_end_of_a_login_is_not_told_in_an_era_that_has_no_ids_for_it(bridge, connect):
    stream = connect(Modern, bridge.url).stream("tools/call", {"name": "elicitation_complete", "arguments": {}})

    assert not stream.is_sse


@pytest.mark.parametrize("options", [("--isolation", "shared"), ("--max-in-flight", 1), ("--isolation", "shared", "--max-in-flight", 1)])
@pytest.mark.parametrize("kind", [Modern, Http])
def test_where_one_process_serves_all_nobody_gets_one_for_being_asked(start, connect, options, kind):
    bridge = start("stateful", options=options)
    for client in (connect(kind, bridge.url, capabilities=ALL), connect(kind, bridge.url)):
        client.call("next")

    assert json.loads(text(connect(kind, bridge.url, capabilities=ALL).call("next")))["count"] == 3


TELLS = """
from echo import child
FORM = {"message": "name?", "requestedSchema": {"type": "object", "properties": {}}}
@child.tool(slow=True)
def work(call):
    child.ask("elicitation/create", FORM).get()
    for step in range(3):
        child.notify("notifications/progress", progressToken=call.meta.get("progressToken"), progress=step, total=3)
    return "done"
child.run()
"""


def state_of(asked: dict) -> str:
    return asked["result"]["requestState"]


def retry(client, asked: dict, tool: str = "elicit", arguments: dict | None = None, state: str | None = None):
    params = {"name": tool, "arguments": arguments or {}, "inputResponses": answered(asked), "requestState": state or state_of(asked)}
    return client.send("tools/call", params)


def refused(response) -> bool:
    return (response.status_code, response.json().get("error", {}).get("code")) == (400, -32602)


def test_a_state_that_was_tampered_with_is_refused(client):
    """Edge case 55."""
    asked = client.call("elicit")
    state = state_of(asked)
    flipped = [state[:n] + ("A" if state[n] != "A" else "B") + state[n + 1 :] for n in (0, len(state) // 2, len(state) - 2)]
    for bad in (*flipped, state + "x", state[:-4], "made up", base64.b64encode(b"{}").decode(), "\u2028"):
        assert refused(retry(client, asked, state=bad)), bad
    assert json.loads(text(retry(client, asked).json()))["result"] == YES  # the true one still holds


def test_a_state_is_good_for_its_own_call_only(client):
    """Edge case 55: another tool, other arguments, another method."""
    asked = client.call("elicit")

    assert refused(retry(client, asked, tool="sample"))
    assert refused(retry(client, asked, arguments={"x": 1}))
    assert refused(client.send("prompts/get", {"name": "elicit", "inputResponses": answered(asked), "requestState": state_of(asked)}))
    assert json.loads(text(retry(client, asked).json()))["result"] == YES


def test_a_state_is_good_once(client):
    """Edge case 55: a replay after the end."""
    asked = client.call("elicit")
    first = retry(client, asked)

    assert "result" in first.json()
    assert refused(retry(client, asked))


def test_a_state_of_an_earlier_round_is_spent(around, connect):
    client = connect(Modern, around("round_trips", options=RELAY).url, capabilities=ALL)
    tool = "test_input_required_result_multi_round"
    first = client.call(tool)
    answers = {key: {"action": "accept", "content": {"name": "Ada", "color": "red"}} for key in asks(first)}
    second = client.call_again(tool, first, **answers)
    params = {"name": tool, "arguments": {}, "inputResponses": answers, "requestState": state_of(first)}

    assert asks(second)
    assert refused(client.send("tools/call", params))


def test_a_state_is_good_for_its_own_caller_only(tmp_path):
    """Edge case 14, for states: other callers' look like made-up ones."""
    (tmp_path / "tokens").write_text("alice a-secret-0123456789\nbob b-secret-0123456789\n")
    alice, bob = ({"authorization": f"Bearer {name}-secret-0123456789"} for name in "ab")
    with (
        Bridge(zoo("asks"), "--token-file", tmp_path / "tokens", headers=alice) as bridge,
        Modern(bridge.url, capabilities=ALL, headers=alice) as hers,
        Modern(bridge.url, capabilities=ALL, headers=bob) as his,
    ):
        asked = hers.call("elicit")
        stolen, made_up = retry(his, asked), retry(his, asked, state="made up")

        assert refused(stolen)
        assert stolen.json()["error"]["message"] == made_up.json()["error"]["message"]
        assert json.loads(text(retry(hers, asked).json()))["result"] == YES


def test_a_state_says_nothing_to_whoever_reads_it(client):
    state = state_of(client.call("elicit"))

    assert "elicit" not in state
    payload = state.partition(".")[0]  # its seal is behind the dot
    assert b"elicit" not in base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))


def test_a_retry_with_other_json_of_the_same_parameters_is_the_same(client):
    """Its client may write the object anew."""
    asked = client.call("ask", method="elicitation/create", params={"message": "m", "requestedSchema": {}})
    arguments = {"params": {"requestedSchema": {}, "message": "m"}, "method": "elicitation/create"}

    assert "result" in retry(client, asked, tool="ask", arguments=arguments).json()


# What is no answer


@pytest.mark.parametrize("responses", [{"wrong_key": YES}, {}, {"wrong_key": 5}])
def test_answers_without_a_state_begin_a_fresh_call(client, responses):
    """Edge case 57."""
    answer = client.request("tools/call", {"name": "elicit", "arguments": {}, "inputResponses": responses})

    assert asks(answer)


@pytest.mark.parametrize("responses", [5, "x", [], {"": 5}])
def test_answers_that_are_none_are_refused_or_asked_for_again(client, responses):
    asked = client.call("elicit")
    params = {"name": "elicit", "arguments": {}, "inputResponses": responses, "requestState": state_of(asked)}
    response = client.send("tools/call", params)

    assert refused(response) or asks(response.json())


@pytest.mark.parametrize("answer", [12345, None, "yes", [1]])
def test_an_answer_that_is_no_object_never_reaches_the_child(client, answer):
    asked = client.call("elicit")
    params = {"name": "elicit", "arguments": {}, "inputResponses": dict.fromkeys(asks(asked), answer), "requestState": state_of(asked)}
    response = client.send("tools/call", params)

    assert refused(response) or asks(response.json())


@pytest.mark.parametrize("state", [5, [], {}, True])
def test_a_state_that_is_no_string_is_refused(client, state):
    assert refused(client.send("tools/call", {"name": "elicit", "arguments": {}, "requestState": state}))


# Capabilities


def test_a_client_is_asked_only_for_what_it_declared_with_this_request(bridge, connect):
    """The child is told no, and its tool may go on without."""
    client = connect(Modern, bridge.url, capabilities={"sampling": {}})
    response = client.send("tools/call", {"name": "elicit", "arguments": {}})
    body = response.json()

    if "error" in body:  # then the exact one
        assert (response.status_code, body["error"]["code"]) == (400, -32021)
        assert body["error"]["data"]["requiredCapabilities"].keys() == {"elicitation"}
    else:
        assert json.loads(text(body))["error"]["code"] == -32601


@pytest.mark.parametrize("can, tool", [({"url": {}}, "elicit"), ({"form": {}}, "elicit_url"), ({}, "elicit_url")])
def test_a_client_is_asked_only_in_the_modes_that_it_declared(bridge, connect, can, tool):
    """elicitation: {} means forms alone."""
    body = connect(Modern, bridge.url, capabilities={"elicitation": can}).send("tools/call", {"name": tool, "arguments": {}}).json()

    assert body.get("error", {}).get("code") == -32021 or json.loads(text(body))["error"]


def test_a_child_that_fails_for_a_missing_capability_says_which(around, connect):
    """Then the exact modern answer is -32021."""
    client = connect(Modern, around("round_trips", options=RELAY).url, capabilities={"elicitation": {}})
    response = client.send("tools/call", {"name": "test_missing_capability", "arguments": {}})

    assert (response.status_code, response.json()["error"]["code"]) == (400, -32021)
    assert response.json()["error"]["data"]["requiredCapabilities"].keys() == {"sampling"}


def test_who_declares_nothing_is_never_asked(bridge, connect):
    client = connect(Modern, bridge.url)
    answer = client.call("elicit")

    assert "error" in answer or json.loads(text(answer))["error"]["code"] == -32601


def test_a_login_that_the_child_asks_for_by_an_error_is_a_question_too(client):
    """-32042 of 2025-11-25; the retry is a plain call, and this child never changes its mind."""
    asked = client.call("url_required")
    [(_, ask)] = asks(asked).items()
    again = client.call_again("url_required", asked, **{key: {"action": "accept"} for key in asks(asked)})

    assert ask["method"] == "elicitation/create"
    assert (ask["params"]["mode"], ask["params"]["url"]) == ("url", "https://example.com/login")
    assert "elicitationId" not in ask["params"]
    assert asks(again)


def test_vendor_asks_are_refused_to_the_child(client):
    """input_required knows three methods."""
    answer = json.loads(text(client.call("ask", method="x-vendor/ask")))

    assert answer["error"]["code"] == -32601


def test_a_childs_ping_in_mid_call_is_answered(client):
    assert json.loads(text(client.call("ping_client")))["result"] == {}


def test_an_ask_of_no_call_is_answered_by_the_bridge(client):
    client.call("ask_later", method="sampling/createMessage", seconds=0)

    assert text(client.call("echo", message="on")) == "on"


def test_an_ask_that_the_child_takes_back_is_no_question(client):
    assert text(client.call("give_up")).startswith("gave up")


# Parked calls


def test_parked_calls_of_many_clients_are_not_mixed_up(bridge, connect):
    clients = [connect(Modern, bridge.url, capabilities=ALL) for _ in range(4)]
    asked = [(client, client.call("elicit")) for client in clients]
    for number, (client, question) in enumerate(asked):
        answer = {"action": "accept", "content": {"name": str(number)}}
        done = client.call_again("elicit", question, **dict.fromkeys(asks(question), answer))
        assert json.loads(text(done))["result"] == answer


def test_other_calls_go_on_beside_a_parked_one(client):
    asked = client.call("elicit")

    assert text(client.call("echo", message="meanwhile")) == "meanwhile"
    assert "result" in retry(client, asked).json()


def test_a_parked_call_that_nobody_takes_up_is_cancelled_cleanly(start, connect, tmp_path):
    """Edge case 56."""
    journal = tmp_path / "journal"
    bridge = start("asks", options=(*RELAY, "--request-timeout-max", "0.6", "--env", f"ZOO_JOURNAL={journal}"))
    client = connect(Modern, bridge.url, capabilities=ALL)
    forgotten = client.call("elicit")
    told = eventually(
        lambda: [line for line in journal.read_text().splitlines() if '"cancel"' in line or "notifications/cancelled" in line]
    )

    assert refused(retry(client, forgotten))
    assert told
    asked = client.call("elicit")
    assert "result" in retry(client, asked).json()


def test_a_parked_call_outlives_the_childs_time_for_a_request(start, connect):
    client = connect(Modern, start("asks", options=(*RELAY, "--request-timeout", "0.3")).url, capabilities=ALL)
    asked = client.call("elicit")
    time.sleep(1)

    assert json.loads(text(retry(client, asked).json()))["result"] == YES


def test_a_parked_call_whose_child_dies_is_told_with_its_retry(start, connect):
    bridge = start("asks", options=(*RELAY, "--backoff-initial", "0.05"))
    client = connect(Modern, bridge.url, capabilities=ALL)
    asked = client.call("elicit")
    for pid in bridge.children():
        os.kill(pid, 9)
    response = retry(client, asked)

    assert (response.status_code, response.json()["error"]["code"]) == (200, -32603)
    again = client.call("elicit")
    assert "result" in retry(client, again).json()


def test_parked_calls_do_not_hold_up_the_end(start, connect):
    bridge = start("asks", options=RELAY)
    asked = connect(Modern, bridge.url, capabilities=ALL).call("elicit")
    code, seconds = bridge.stop()

    assert asks(asked)
    assert code == 0 and seconds < 10


def test_many_parked_calls_stay_within_max_children(start, connect):
    bridge = start("asks", options=(*RELAY, "--max-children", "3", "--drain-timeout", "0.2"))
    client = connect(Modern, bridge.url, capabilities=ALL)
    futures = [client.begin_call("elicit") for _ in range(5)]
    eventually(lambda: sum(future.done() for future in futures) >= 2)

    assert len(bridge.children()) <= 4
    for future in futures:  # some wait, some may be refused; none hangs for ever
        if future.done():
            answer = future.result()
            assert "error" in answer or asks(answer)


def test_who_asks_and_who_does_not_are_served_by_different_children(bridge, connect):
    """The shared child's asks could not be told apart."""
    plain, asking = connect(Modern, bridge.url), connect(Modern, bridge.url, capabilities=ALL)
    shared = text(connect(Http, bridge.url, listen=False).call("pid"))

    assert text(plain.call("pid")) == shared
    assert text(asking.call("pid")) != shared


def test_a_leased_child_is_reused_by_the_same_caller(client):
    """A spawn for every call would cost seconds."""
    first = text(client.call("pid"))
    began = time.monotonic()

    assert text(client.call("pid")) == first
    assert time.monotonic() - began < 5


def test_logs_of_a_leased_child_come_with_its_call(bridge, connect):
    client = connect(Modern, bridge.url, capabilities=ALL, meta={"io.modelcontextprotocol/logLevel": "warning"})
    client.call("log", level="info")
    client.call("log", level="error")

    assert [m["params"]["level"] for m in client.messages(0.05)] == ["error"]
