"""What a child asks a client: to whom it goes, how the answer comes back, and that the child is never left waiting."""

import json

import pytest
from world import Outbox, World

from bridge.protocol.asks import LIMIT


@pytest.fixture
def world():
    return World(own=True, withhold_roots=False)


def ask(world, id=0, method="elicitation/create", **params):
    world.hear({"id": id, "method": method, "params": params})


def listen(world) -> Outbox:
    stream = Outbox()
    world.owner.listen(stream)
    return stream


@pytest.mark.parametrize("id", [0, 1, "0", "é", 2**70, -1])
def test_an_answer_goes_back_under_the_childs_own_id(world, id):
    """Edge case 17: children start at 0, which is falsy."""
    stream = listen(world)
    ask(world, id, message="?")
    (asked,) = stream.messages

    assert (asked["method"], asked["params"]) == ("elicitation/create", {"message": "?"})
    assert world.respond(world.owner, asked["id"], result={"action": "accept"})
    assert world.sent() == [{"jsonrpc": "2.0", "id": id, "result": {"action": "accept"}}]


def test_an_error_is_an_answer_too(world):
    stream = listen(world)
    ask(world, 5)
    world.respond(world.owner, stream.messages[0]["id"], error={"code": -1, "message": "no"})

    assert world.sent() == [{"jsonrpc": "2.0", "id": 5, "error": {"code": -1, "message": "no"}}]


def test_asks_and_answers_pass_byte_for_byte(world):
    stream = listen(world)
    world.hear(b'{"jsonrpc":"2.0","id":0,"method":"sampling/createMessage","params":{"b":1e400, "a":1}}')

    assert stream.raw == [b'{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"b":1e400, "a":1}}']


def test_two_asks_are_answered_in_any_order(world):
    stream = listen(world)
    ask(world, 0, n=0)
    ask(world, 1, n=1)
    for message in reversed(stream.messages):
        world.respond(world.owner, message["id"], result={"n": message["params"]["n"]})

    assert [(line["id"], line["result"]["n"]) for line in world.sent()] == [(1, 1), (0, 0)]


def test_a_second_answer_is_dropped(world):
    stream = listen(world)
    ask(world)
    id = stream.messages[0]["id"]

    assert world.respond(world.owner, id, result={}) is True
    assert world.respond(world.owner, id, result={}) is False
    assert len(world.sent()) == 1


def test_an_ask_rides_the_stream_of_the_only_call(world):
    """Edge case 43."""
    stream = listen(world)
    call, _ = world.ask_child(world.owner)
    ask(world)

    assert (len(call.messages), stream.messages) == (1, [])


def test_an_ask_during_several_calls_takes_the_sessions_own_stream_or_any_of_theirs(world):
    first, second = Outbox(is_open=False), Outbox()
    world.ask_child(world.owner, id=1, outbox=second)
    world.ask_child(world.owner, id=2, outbox=first)
    ask(world)
    stream = listen(world)
    ask(world, 1)

    assert (len(second.messages), first.messages, len(stream.messages)) == (1, [], 1)


def test_an_ask_waits_for_a_stream_to_open(world):
    """Edge case 41: roots/list comes right after initialized, before any GET."""
    ask(world, 0, "roots/list")
    assert world.sent() == []
    stream = listen(world)

    assert stream.methods == ["roots/list"]
    world.respond(world.owner, stream.messages[0]["id"], result={"roots": []})
    assert world.sent()[0]["id"] == 0


def test_an_ask_that_waited_for_its_stream_may_still_be_answered_late(world):
    """A person fills in a form for longer than ASK_PATIENCE."""
    ask(world)
    world.sweep(5)
    stream = listen(world)
    world.sweep(60)
    assert world.sent() == []

    assert world.respond(world.owner, stream.messages[0]["id"], result={})
    assert world.sent() == [{"jsonrpc": "2.0", "id": 0, "result": {}}]


def test_a_child_is_told_when_no_stream_opens(world):
    ask(world, "a")
    world.sweep(30)
    assert world.sent() == []
    world.sweep(1)

    (line,) = world.sent()
    assert (line["id"], line["error"]["code"]) == ("a", -32603)
    assert listen(world).messages == []
    assert world.owner.asks == {}


def test_a_child_is_told_even_if_a_flood_of_other_messages_came_between(world):
    """Messages that wait for a stream are bounded; asks are not among those that give way."""
    ask(world, "a")
    for number in range(1000):
        world.notice("message", level="info", data=number)
    world.sweep(31)

    assert [line["id"] for line in world.sent()] == ["a"]


def test_a_child_cannot_pile_up_asks(world):
    """Neither in `asks` nor in what waits; each one beyond the limit is answered at once."""
    stream = listen(world)
    for number in range(1000):
        ask(world, number)

    assert len(world.owner.asks) == len(stream.messages) == LIMIT
    assert [line["id"] for line in world.sent()] == list(range(LIMIT, 1000))
    world.respond(world.owner, stream.messages[0]["id"], result={})
    ask(world, "again")
    assert len(stream.messages) == LIMIT + 1


def test_waiting_asks_leave_room_for_news(world):
    for number in range(1000):
        ask(world, number)
        world.notice("message", level="info", data=number)

    assert listen(world).methods.count("notifications/message") > 100


def test_the_child_takes_back_what_it_asked(world):
    stream = listen(world)
    ask(world, 3)
    world.notice("cancelled", requestId=3, reason="never mind")
    id = stream.messages[0]["id"]

    assert stream.messages[1] == {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": id, "reason": "never mind"},
    }
    assert world.respond(world.owner, id, result={}) is False
    assert world.sent() == []


def test_the_child_takes_back_what_nobody_saw(world):
    ask(world, "x")
    world.notice("cancelled", requestId="x")

    assert listen(world).messages == []
    assert world.owner.asks == {}


@pytest.mark.parametrize("params", [{"requestId": 4}, {"requestId": "3"}, {}, {"requestId": None}])
def test_the_child_takes_back_nothing_else(world, params):
    stream = listen(world)
    ask(world, 3)
    world.notice("cancelled", **params)

    assert len(stream.messages) == 1
    assert len(world.owner.asks) == 1


def test_the_session_ends_and_the_child_is_told(world):
    listen(world)
    ask(world, 0)
    ask(world, 1)
    world.leave(world.owner)

    assert [(line["id"], line["error"]["code"]) for line in world.sent()] == [(0, -32603), (1, -32603)]
    assert world.owner.asks == {}


def test_the_child_is_lost_and_the_client_is_told_of_what_it_saw(world):
    ask(world, 0)
    first = listen(world)
    world.owner.unlisten(first)
    ask(world, 1)
    world.die()
    second = listen(world)
    world.open()

    assert first.methods == ["elicitation/create"]
    assert second.messages == [], "what it never saw is gone, too"
    assert world.respond(world.owner, first.messages[0]["id"], result={}) is False


def test_a_client_that_sees_an_ask_is_told_that_the_child_is_lost(world):
    stream = listen(world)
    ask(world, 0)
    world.die()

    assert stream.messages[1]["params"]["requestId"] == stream.messages[0]["id"]
    assert world.owner.asks == {}


def test_asks_of_two_children_never_get_the_same_id(world):
    stream = listen(world)
    ask(world, 0)
    world.die()
    world.open()
    ask(world, 0)
    ids = [message["id"] for message in stream.messages if message["method"] == "elicitation/create"]

    assert len(set(ids)) == 2
    assert world.respond(world.owner, ids[0], result={}) is False


@pytest.mark.parametrize("method", ["roots/list", "sampling/createMessage", "elicitation/create", "made/up"])
def test_a_shared_child_is_refused_at_once(method):
    """Its requests carry no link to the client that caused them."""
    world = World()
    call, _ = world.ask_child(world.session())
    ask(world, 0, method)

    (line,) = world.sent()
    assert (line["id"], line["error"]["code"]) == (0, -32601)
    assert call.messages == []


def test_roots_are_withheld_unless_the_operator_relays_them():
    """server-filesystem would replace the operator's directories by the client's."""
    world = World(own=True)
    stream = listen(world)
    ask(world, 0, "roots/list")
    world.notify(world.owner, "roots/list_changed")
    ask(world, 1, "sampling/createMessage")

    (line,) = world.sent()
    assert (line["id"], line["error"]["code"]) == (0, -32601)
    assert stream.methods == ["sampling/createMessage"]


def test_relayed_roots_are_told_of_changes(world):
    world.notify(world.owner, "roots/list_changed")

    assert world.sent() == [{"jsonrpc": "2.0", "method": "notifications/roots/list_changed", "params": {}}]


def test_an_ask_before_the_handshake_is_over_is_passed_on():
    world = World(own=True, is_open=False)
    stream = listen(world)
    ask(world, 0)
    world.respond(world.owner, stream.messages[0]["id"], result={})

    assert [line["id"] for line in world.sent()] == [0]


@pytest.mark.parametrize("id", [b"null", b'{"a":1}', b"[1]", b"1e400", rb'"\u00e9\\"'])
def test_whatever_its_id_the_child_gets_it_back(world, id):
    stream = listen(world)
    world.hear(b'{"jsonrpc":"2.0","id":%b,"method":"elicitation/create"}' % id)
    world.respond(world.owner, stream.messages[0]["id"], result={})

    assert world.lines == [b'{"jsonrpc":"2.0","id":%b,"result":{}}\n' % id]
    json.loads(world.lines[0])
