"""Multi-round-trip: a modern client's call that a legacy child interrupts, and a legacy client that a modern child asks."""

import json

import pytest
from world import ENVELOPE, Outbox, World

from bridge.protocol import envelope
from bridge.protocol.eras import parking, rounds
from bridge.protocol.eras.parking import Lease

KEY = b"k" * 32
FORM = {"message": "name?", "requestedSchema": {"type": "object", "properties": {}}}
ALL_ASKS = {"elicitation": {}, "sampling": {}, "roots": {}}


class Parked:
    """A lease and its world: `call()` begins, `ask()` is the child's question, `again()` the retry."""

    def __init__(self, capabilities=ALL_ASKS, **policy):
        self.world = world = World(spare=True, withhold_roots=False, **policy)
        self.over: list[bool] = []
        self.declared = {"io.modelcontextprotocol/clientCapabilities": capabilities}
        self.lease = Lease(
            "test",
            "ann",
            envelope.Raw(json.dumps(capabilities).encode()),
            envelope.Raw(b"{}"),
            KEY,
            soon=lambda lease: None,
            over=lambda lease, is_clean: self.over.append(is_clean),
        )
        world.relay.adopt(self.lease, world.now)

    def call(self, name="x", id=1) -> Outbox:
        message, params = self.message({"name": name}, id)
        outbox = Outbox()
        self.lease.begin(message, params, envelope.ABSENT, "", outbox, self.world.now, "")
        (self.line,) = self.world.sent()
        return outbox

    def ask(self, method="elicitation/create", id=0, **params) -> list:
        self.world.hear({"id": id, "method": method, "params": params or FORM})
        self.lease.flush(self.world.now)
        return self.world.sent()

    def again(self, state, answers, id=2, name="x", principal="ann", method="tools/call"):
        """The refusal, or the outbox of the retry."""
        message, params = self.message({"name": name, "inputResponses": answers, "requestState": state}, id, method)
        ticket = parking.unsealed(params.requestState, KEY)
        if ticket is None or not self.lease.is_for(ticket, method, message.params, principal):
            return "refused"
        outbox = Outbox()
        return self.lease.resume(bytes(message.id), params, envelope.peek_meta(params.meta), outbox, self.world.now) or outbox

    def message(self, params, id, method="tools/call"):
        message = envelope.from_client(
            json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params | {"_meta": ENVELOPE | self.declared}}).encode()
        )
        return message, envelope.peek_modern(message.params)


def asked(outbox) -> tuple[dict, str]:
    (answer,) = outbox.answers
    assert answer["result"]["resultType"] == "input_required"
    return answer["result"]["inputRequests"], answer["result"]["requestState"]


def test_a_call_is_parked_and_its_retry_goes_on_where_it_stopped():
    parked = Parked()
    first = parked.call(id=1)
    parked.ask()
    requests, state = asked(first)
    ((key, request),) = requests.items()
    second = parked.again(state, {key: {"action": "accept", "content": {"n": 1}}, "extra": {}}, id="two")
    (told,) = parked.world.sent()
    parked.world.answer(parked.line, {"content": []})

    assert request == {"method": "elicitation/create", "params": FORM}
    assert told == {"jsonrpc": "2.0", "id": 0, "result": {"action": "accept", "content": {"n": 1}}}
    assert second.answers[0]["id"] == "two" and second.answers[0]["result"]["resultType"] == "complete"
    assert parked.over == [True]


def test_what_the_child_asks_at_once_is_one_round():
    parked = Parked()
    first = parked.call()
    for id, method in enumerate(("elicitation/create", "sampling/createMessage", "roots/list")):
        parked.world.hear({"id": id, "method": method, "params": {}})
    parked.lease.flush(parked.world.now)

    assert sorted(request["method"] for request in asked(first)[0].values()) == [
        "elicitation/create",
        "roots/list",
        "sampling/createMessage",
    ]


def test_what_was_not_answered_is_asked_again():
    parked = Parked()
    first = parked.call()
    parked.ask()
    requests, state = asked(first)
    second = parked.again(state, {})
    parked.lease.flush(parked.world.now)
    again, other_state = asked(second)

    assert again == requests and other_state != state
    assert parked.again(state, {}) == "refused"  # an older round's


@pytest.mark.parametrize("change", [{"name": "y"}, {"principal": "bob"}, {"method": "prompts/get"}])
def test_a_state_belongs_to_one_caller_and_one_call(change):
    """Edge case 55."""
    parked = Parked()
    first = parked.call()
    parked.ask()
    _, state = asked(first)

    assert parked.again(state, {}, **change) == "refused"
    assert parked.again(("A" if state[0] != "A" else "B") + state[1:], {}) == "refused"
    assert parked.again("", {}) == "refused"


def test_a_state_is_good_for_one_retry():
    parked = Parked()
    first = parked.call()
    parked.ask()
    requests, state = asked(first)
    parked.again(state, {key: {"action": "decline"} for key in requests})
    parked.world.answer(parked.line, {"content": []})

    assert parked.again(state, {}) == "refused"


def test_answers_that_are_no_objects_are_refused_and_the_call_stays_parked():
    parked = Parked()
    first = parked.call()
    parked.ask()
    requests, state = asked(first)
    refusal = parked.again(state, dict.fromkeys(requests, 5))

    assert (refusal.status, refusal.code) == (400, -32602)
    assert isinstance(parked.again(state, {key: {"action": "cancel"} for key in requests}), Outbox)


def test_only_what_the_client_declared_is_asked_and_a_failure_names_the_rest():
    parked = Parked(capabilities={"elicitation": {}})
    first = parked.call()
    (refused,) = parked.ask("sampling/createMessage", messages=[])
    parked.world.answer(parked.line, code=-32603, message="no sampling, no result")

    assert refused["error"]["code"] == -32601
    assert first.code == -32021
    assert first.error["data"] == {"requiredCapabilities": {"sampling": {}}}


def test_a_url_is_only_asked_of_who_can_open_one():
    for capabilities, may in ((ALL_ASKS, False), ({"elicitation": {"url": {}}}, True)):
        parked = Parked(capabilities=capabilities)
        outbox = parked.call()
        refused = parked.ask(mode="url", url="https://x.test", message="m", elicitationId="e")

        assert bool(outbox.answers) is may and bool(refused) is not may
        assert not may or "elicitationId" not in str(outbox.answers)


def test_a_parked_call_that_expires_tells_the_child_and_is_not_clean():
    """Edge case 56."""
    parked = Parked()
    parked.call()
    parked.ask()
    parked.lease.expire(parked.world.now)
    told = parked.world.sent()

    assert told[0] == {"jsonrpc": "2.0", "id": 0, "result": {"action": "cancel"}}
    assert told[1]["method"] == "notifications/cancelled"
    assert parked.over == [False]


def test_a_parked_call_does_not_time_out_while_its_client_thinks():
    parked = Parked(request_timeout=10)
    first = parked.call()
    parked.ask()
    requests, state = asked(first)
    parked.world.sweep(100)
    second = parked.again(state, {key: {"action": "accept"} for key in requests})
    parked.world.sweep(11)

    assert second.error["code"] == -32001


def test_a_parked_call_does_not_time_out_after_progress_either():
    parked = Parked(request_timeout=10)
    message, params = parked.message({"name": "x"}, 1)
    first = Outbox()
    parked.lease.begin(message, params, envelope.Raw(b'"t"'), "", first, parked.world.now, "")
    (line,) = parked.world.sent()
    parked.ask()
    parked.world.notice("progress", progressToken=line["id"], progress=1)
    requests, state = asked(first)
    for _ in range(3):
        parked.world.sweep(9)
    second = parked.again(state, {key: {"action": "accept"} for key in requests})
    parked.world.answer(line, {"content": []})

    assert second.answers[0]["result"]["content"] == []


def test_a_child_that_dies_is_told_with_the_retry():
    parked = Parked()
    first = parked.call()
    parked.ask()
    _, state = asked(first)
    parked.world.die()
    second = parked.again(state, {}, id=9)

    assert second.answers[0]["id"] == 9 and second.error["code"] == -32603
    assert len(parked.over) == 1


def test_answers_that_come_with_a_call_are_given_when_the_child_asks_for_them():
    parked = Parked()
    message, params = parked.message({"name": "x", "inputResponses": {"elicitation-1": {"action": "accept"}}}, 1)
    outbox = Outbox()
    parked.lease.begin(message, params, envelope.ABSENT, "", outbox, parked.world.now, "")
    (line,) = parked.world.sent()
    (told,) = parked.ask()

    assert "inputResponses" not in line["params"]
    assert told["result"] == {"action": "accept"} and outbox.answers == []


# -- a legacy client, a modern child ----------------------------------------------------------------------------------------


def asking(capabilities=b'{"sampling":{},"elicitation":{},"roots":{}}', **policy):
    world = World(era="modern", withhold_roots=False, **policy)
    world.sent()
    session = world.session()
    session.capabilities = envelope.Raw(capabilities)
    return world, session


def wants(world, line, state="s", **requests):
    world.answer(line, {"resultType": "input_required", "inputRequests": requests} | ({"requestState": state} if state else {}))


def test_the_client_is_asked_by_requests_and_the_call_made_again_with_its_answers():
    world, session = asking()
    outbox, line = world.ask_child(session, params={"name": "x"})
    wants(world, line, one={"method": "elicitation/create", "params": FORM}, two={"method": "roots/list"})
    questions = outbox.messages
    world.respond(session, questions[0]["id"], result={"action": "accept"})
    early = world.sent()
    world.respond(session, questions[1]["id"], result={"roots": []})
    (again,) = world.sent()
    world.answer(again, {"resultType": "complete", "content": []})

    assert [question["method"] for question in questions] == ["elicitation/create", "roots/list"]
    assert early == [] and again["id"] != line["id"]
    assert again["params"]["inputResponses"] == {"one": {"action": "accept"}, "two": {"roots": []}}
    assert (again["params"]["requestState"], again["params"]["name"]) == ("s", "x")
    assert outbox.answers == [{"jsonrpc": "2.0", "id": 1, "result": {"content": []}}]
    assert (world.relay.asks.suspended, session.exchanges, session.asks) == ({}, {}, {})


def test_a_client_that_cannot_be_asked_is_told_what_is_missing():
    """Edge case 58."""
    world, session = asking(b"{}")
    outbox, line = world.ask_child(session)
    wants(world, line, one={"method": "sampling/createMessage", "params": {}})

    assert "sampling" in outbox.error["message"]


def test_a_client_that_refuses_declines_an_elicitation_and_fails_sampling():
    world, session = asking()
    outbox, line = world.ask_child(session, id=1)
    wants(world, line, one={"method": "elicitation/create", "params": FORM})
    world.respond(session, outbox.messages[0]["id"], error={"code": -1, "message": "no"})
    (again,) = world.sent()
    other, line = world.ask_child(session, id=2)
    wants(world, line, one={"method": "sampling/createMessage", "params": {}})
    world.respond(session, other.messages[0]["id"], error={"code": -1, "message": "no"})

    assert again["params"]["inputResponses"] == {"one": {"action": "decline"}}
    assert other.error["code"] == -32603


def test_a_state_alone_is_called_again_a_moment_later():
    world, session = asking()
    _, line = world.ask_child(session)
    wants(world, line)
    at_once = world.sent()
    world.sweep()
    (again,) = world.sent()

    assert at_once == []
    assert again["params"]["requestState"] == "s" and "inputResponses" not in again["params"]


def test_a_server_that_is_never_content_is_given_up():
    world, session = asking()
    outbox, line = world.ask_child(session)
    for _ in range(rounds.ROUNDS + 1):
        if line is None:
            break
        wants(world, line)
        world.sweep()
        line = next(iter(world.sent()), None)

    assert "10 times" in outbox.error["message"]


def test_a_call_does_not_time_out_while_its_client_is_asked():
    """The child's time begins when it is called again; a call beside it that the child does not answer is nothing to wait for."""
    world, session = asking(request_timeout=10)
    outbox, line = world.ask_child(session, id=1)
    wants(world, line, one={"method": "elicitation/create", "params": FORM})
    beside, _ = world.ask_child(session, id=2)
    for _ in range(3):
        world.sweep(9)
    assert outbox.answers == []
    assert beside.error["code"] == -32001
    world.now += 9
    world.respond(session, outbox.messages[0]["id"], result={"action": "accept"})
    world.sweep(9.9)
    assert outbox.answers == []
    world.sweep(0.1)

    assert outbox.error["code"] == -32001


def test_a_client_that_never_answers_has_its_call_until_the_hard_limit():
    world, session = asking(request_timeout=10, request_timeout_max=25)
    outbox, line = world.ask_child(session)
    wants(world, line, one={"method": "elicitation/create", "params": FORM})
    world.sweep(24)
    assert outbox.answers == []
    world.sweep(1)

    assert outbox.error["code"] == -32001
    assert (world.relay.asks.suspended, session.exchanges, session.asks) == ({}, {}, {})


def test_a_call_that_is_cancelled_while_its_client_is_asked_is_over():
    world, session = asking()
    outbox, line = world.ask_child(session)
    wants(world, line, one={"method": "elicitation/create", "params": FORM})
    world.notify(session, "cancelled", requestId=1)
    world.respond(session, outbox.messages[0]["id"], result={"action": "accept"})

    assert world.sent() == []
    assert (world.relay.asks.suspended, session.exchanges) == ({}, {})
