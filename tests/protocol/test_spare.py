"""A child that belongs to nobody yet: what it says waits for the session that gets it."""

import pytest
from world import Outbox, World

from bridge.protocol.early import LIMIT


@pytest.fixture
def spare():
    world = World(spare=True, withhold_roots=False)
    world.sent()
    return world


def adopt(world: World, stream: Outbox | None = None):
    session = world.sessions.open("sse", world.now, own_child=True)
    if stream is not None:
        session.listen(stream)
    world.relay.adopt(session, world.now)
    return session


def test_what_it_said_early_is_heard_by_its_session_in_order(spare):
    spare.hear({"id": 0, "method": "roots/list"})
    spare.notice("message", level="info", data="hello")
    spare.notice("tools/list_changed")
    assert spare.sent() == []
    stream = Outbox()
    session = adopt(spare, stream)

    assert stream.methods == ["roots/list", "notifications/message", "notifications/tools/list_changed"]
    spare.answer_own()
    assert spare.respond(session, stream.messages[0]["id"], result={"roots": []})
    assert spare.sent() == [{"jsonrpc": "2.0", "id": 0, "result": {"roots": []}}]


def test_it_waits_for_a_stream_if_the_session_has_none(spare):
    spare.hear({"id": 0, "method": "roots/list"})
    session = adopt(spare)
    stream = Outbox()
    session.listen(stream)

    assert stream.methods == ["roots/list"]


def test_what_it_took_back_is_not_asked(spare):
    spare.hear({"id": 0, "method": "roots/list"})
    spare.notice("cancelled", requestId=0)
    session = adopt(spare)

    assert (session.asks, session.waiting) == ({}, {})


def test_its_pings_are_answered_at_once(spare):
    spare.hear({"id": 0, "method": "ping"})

    assert spare.sent() == [{"jsonrpc": "2.0", "id": 0, "result": {}}]
    assert adopt(spare).asks == {}


def test_what_is_kept_is_bounded(spare):
    for number in range(LIMIT + 50):
        spare.notice("message", level="info", data=number)
    stream = Outbox()
    adopt(spare, stream)

    assert [message["params"]["data"] for message in stream.messages] == list(range(LIMIT))
    assert spare.counts.drops["early"] == 50


def test_it_is_heard_once(spare):
    spare.notice("message", level="info", data="x")
    stream = Outbox()
    adopt(spare, stream)
    spare.notice("message", level="info", data="y")

    assert [message["params"]["data"] for message in stream.messages] == ["x", "y"]


def test_what_a_dead_spare_said_is_forgotten(spare):
    """The next process knows nothing of an answer to it."""
    spare.hear({"id": 0, "method": "roots/list"})
    spare.die()
    spare.open()

    assert adopt(spare).asks == {}


def test_its_death_was_no_loss_to_the_session_that_gets_it(spare):
    spare.die()
    spare.open()

    assert spare.ask_child(adopt(spare))[0].answers == []


def test_a_session_may_have_it_before_it_is_open():
    world = World(spare=True, is_open=False)
    handshake = world.spawn()
    world.notice("message", level="info", data="starting")
    stream = Outbox()
    outbox = world.request(adopt(world, stream))
    world.answer(handshake, {})
    *_, line = world.sent()
    world.answer(line, "fine")

    assert outbox.answers[0]["result"] == "fine"
    assert stream.methods == ["notifications/message"]


def test_the_requests_of_its_session_are_those_of_an_owner(spare):
    session = adopt(spare)

    assert spare.ask_child(session, "tasks/get", {"taskId": "1"})[0].refusal is None
    outbox, _ = spare.ask_child(session, "resources/read", id=2)
    spare.die("died")
    assert outbox.error["message"] == "died", "and they are not tried again"
