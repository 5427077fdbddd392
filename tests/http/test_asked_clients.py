"""A child that asks its client: only who declared it is asked, on the stream of the call, and its answer comes back."""

import json
import time

import pytest
from support import Http, Refused, Sse, Ws, eventually, text
from wire import call, message

SAMPLE = {"role": "assistant", "content": {"type": "text", "text": "sampled"}, "model": "m"}
FORM = {"action": "accept", "content": {"name": "Ada"}}
ROOTS = {"roots": [{"uri": "file:///home", "name": "home"}]}
CAPABILITIES = {"sampling": {}, "elicitation": {}, "roots": {}}


def answer(method, params):
    return {"sampling/createMessage": SAMPLE, "elicitation/create": FORM, "roots/list": ROOTS, "ping": {}}[method]


def asked(client, tool, **arguments):
    """What the child got for its question."""
    return json.loads(text(client.call(tool, **arguments)))


@pytest.fixture
def interactive(around, connect):
    return lambda transport, **more: connect(transport, around("asks").url, capabilities=CAPABILITIES, **{"on_ask": answer, **more})


def test_an_ask_with_the_id_0_is_answered(interactive, transport):
    """Edge case 17: the child's ids begin at 0, which is false to some."""
    client = interactive(transport)

    assert asked(client, "sample") == {"jsonrpc": "2.0", "id": 0, "result": SAMPLE}
    assert asked(client, "elicit") == {"jsonrpc": "2.0", "id": 1, "result": FORM}


def test_two_asks_at_once_get_their_own_answers(interactive, transport):
    sampled, elicited = asked(interactive(transport), "two_asks")

    assert (sampled["result"], elicited["result"]) == (SAMPLE, FORM)


def test_only_the_client_that_called_is_asked_and_on_its_calls_stream(interactive, connect, around):
    """Edge case 43."""
    capable, other = interactive(Http, listen=False), connect(Http, around("asks").url)
    with capable.post_stream(call("elicit", id="c")) as stream:
        question = stream.next_message()
        capable.answer(question)
        result = stream.next_message()

    assert question["method"] == "elicitation/create"
    assert json.loads(text(result))["result"] == FORM
    assert other.asked == []


def test_a_client_that_declared_nothing_is_not_asked(around, connect, transport):
    """Edge case 43."""
    client = connect(transport, around("asks").url, on_ask=answer)

    assert asked(client, "elicit")["error"]["code"] == -32601
    assert client.asked == []


def test_a_refusal_of_the_client_reaches_the_child(interactive, transport):
    def refuse(method, params):
        problem = RuntimeError("user said no")
        problem.code = -1
        raise problem

    answered = asked(interactive(transport, on_ask=refuse), "sample")
    assert answered["error"] == {"code": -1, "message": "user said no"}


@pytest.mark.parametrize("name, era", [("asks", "legacy"), ("modern_asks", "modern")])
def test_a_person_may_think_longer_than_the_childs_time_for_a_request(start, connect, transport, name, era):
    def think(method, params):
        time.sleep(1)
        return FORM

    bridge = start(name, options=("--child-era", era, "--request-timeout", "0.4"))
    client = connect(transport, bridge.url, capabilities=CAPABILITIES, on_ask=think)

    assert "Ada" in text(client.call("elicit"))


def test_a_child_that_asks_at_once_is_not_stuck(around, connect, transport):
    """Edge case 41: roots/list right after `initialized`, before any stream is open."""
    bridge = around("asks", "--at-start", options=("--client-roots", "relay"))
    client = connect(transport, bridge.url, capabilities=CAPABILITIES, on_ask=answer)

    eventually(lambda: asked(client, "answers"))
    assert asked(client, "answers")[0]["result"] == ROOTS


def test_a_shared_child_that_asks_at_once_is_answered_by_the_bridge(around, connect, transport):
    """Edge case 41."""
    client = connect(transport, around("asks", "--at-start").url)

    assert eventually(lambda: asked(client, "answers"))[0]["error"]["code"] == -32601


def test_a_clients_roots_are_withheld_unless_the_operator_says_otherwise(interactive, transport):
    assert "withheld" in asked(interactive(transport), "roots")["error"]["message"]


def test_a_childs_ping_is_answered_though_nobody_is_there(around, connect):
    """Edge case 42: by the bridge, at once."""
    client = connect(Http, around("asks").url)
    begun = time.monotonic()

    assert asked(client, "ping_client")["result"] == {}
    assert time.monotonic() - begun < 5
    assert client.asked == []
    client.call("ask_later", method="ping", seconds=0.05)
    eventually(lambda: {} in [answered.get("result") for answered in asked(client, "answers")])


def test_an_ask_that_belongs_to_no_call_comes_on_the_get_stream(interactive):
    client = interactive(Http)
    client.call("ask_later", method="sampling/createMessage")

    assert eventually(lambda: asked(client, "answers"))[0]["result"] == SAMPLE


def test_an_ask_waits_until_a_stream_is_open(interactive, around):
    client = interactive(Http, listen=False)

    def written():
        return around("asks").metrics().value("mcp_bridge_child_stdout_bytes_total")

    client.call("ask_later", method="elicitation/create", seconds=0.1)
    before = written()
    eventually(lambda: written() > before)
    with client.get_stream() as stream:
        client.answer(stream.next_message())

    assert eventually(lambda: asked(client, "answers"))[0]["result"] == FORM


def test_an_ask_that_the_child_takes_back_is_taken_back_at_the_client(interactive, transport):
    client = interactive(transport, on_ask=lambda method, params: None)
    client.call("give_up")
    taken_back = client.wait_for("notifications/cancelled")

    assert taken_back["params"]["requestId"] == client.asked[0]["id"]
    client.deliver({"jsonrpc": "2.0", "id": client.asked[0]["id"], "result": SAMPLE})
    assert text(client.call("echo", message="on")) == "on"


def test_nobody_answers_for_another(interactive, transport):
    """Edge case 38: ids of asks are easy to guess."""
    victim = interactive(transport, on_ask=lambda method, params: None)
    attacker = interactive(transport)
    future = victim.begin_call("sample")
    eventually(lambda: victim.asked)
    for id in (0, 1, 2, "0", "1"):
        attacker.deliver({"jsonrpc": "2.0", "id": id, "result": {"stolen": True}})
    victim.deliver({"jsonrpc": "2.0", "id": victim.asked[0]["id"], "result": SAMPLE})

    assert json.loads(text(future.result(20)))["result"] == SAMPLE


def test_a_client_that_answers_twice_is_heard_once(interactive, transport):
    client = interactive(transport)
    assert asked(client, "sample")["result"] == SAMPLE
    client.deliver({"jsonrpc": "2.0", "id": client.asked[0]["id"], "result": {"again": True}})

    assert asked(client, "sample")["result"] == SAMPLE


@pytest.mark.parametrize("bad", [{"result": {}, "error": {}}, {}, {"error": "no"}])
def test_an_answer_that_is_none_is_refused_and_the_child_waits_on(interactive, bad):
    client = interactive(Http, on_ask=lambda method, params: None)
    future = client.begin_call("sample")
    id = eventually(lambda: client.asked)[0]["id"]
    with pytest.raises(Refused) as refused:
        client.deliver({"jsonrpc": "2.0", "id": id} | bad)
    client.deliver({"jsonrpc": "2.0", "id": id, "result": SAMPLE})

    assert refused.value.status == 400
    assert json.loads(text(future.result(20)))["result"] == SAMPLE


def test_errors_and_notices_of_elicitation_by_url_pass(interactive, transport):
    client = interactive(transport)
    error = client.call("url_required")["error"]
    client.call("elicitation_complete", id="e-9")

    assert error["code"] == -32042
    assert error["data"]["elicitations"][0]["elicitationId"] == "e-1"
    assert client.wait_for("notifications/elicitation/complete")["params"] == {"elicitationId": "e-9"}


def test_a_notice_of_changed_roots_does_not_reach_a_shared_child(around, connect, transport):
    client = connect(transport, around("strict_go").url)
    client.notify("notifications/roots/list_changed")
    client.deliver(message("notifications/tasks/status", {"taskId": "x"}))

    assert "roots/list_changed" not in text(client.call("received"))


def test_a_client_that_leaves_in_mid_ask_ends_its_child(start):
    bridge = start("asks", "--linger")
    for transport in (Http, Sse, Ws):
        client = transport(bridge.url, capabilities=CAPABILITIES, on_ask=lambda method, params: None)
        client.open()
        client.begin_call("sample")
        eventually(lambda: client.asked)
        client.close()

    eventually(lambda: len(bridge.children()) == 1, 8)
