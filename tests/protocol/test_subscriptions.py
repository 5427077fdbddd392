"""Standing wishes on a shared child: who gets a resource's changes, who holds it, and whose log level is whose."""

from types import SimpleNamespace

import pytest
from world import Outbox, World

from bridge.protocol import subscriptions

URI = "test://one"


def holder(*uris, level=None):
    return SimpleNamespace(subscriptions=set(uris), level=level)


def subscribe(world, session, uri=URI, id=50):
    world.answer(world.ask_child(session, "resources/subscribe", {"uri": uri}, id=id)[1])


# -- resources ----------------------------------------------------------------------------------------------------------------


def test_only_subscribers_hear_of_a_resource():
    """Edge case 46."""
    world = World()
    streams = [Outbox(), Outbox()]
    one, _ = map(world.session, streams)
    subscribe(world, one)
    world.notice("resources/updated", uri=URI)
    world.notice("resources/updated", uri="test://two")

    assert [stream.methods for stream in streams] == [["notifications/resources/updated"], []]


def test_the_last_one_to_leave_unsubscribes():
    world = World()
    one, two = world.session(), world.session()
    for session in (one, two):
        subscribe(world, session)
    world.leave(one)
    assert world.sent() == []
    stream = Outbox()
    two.listen(stream)
    world.notice("resources/updated", uri=URI)
    assert len(stream.messages) == 1
    world.leave(two)

    assert [(line["method"], line["params"]) for line in world.sent()] == [("resources/unsubscribe", {"uri": URI})]


def test_an_unsubscription_reaches_the_child_only_from_the_last_holder():
    world = World()
    one, two = world.session(), world.session()
    for session in (one, two):
        subscribe(world, session)
    early = world.request(one, "resources/unsubscribe", {"uri": URI}, id="a")
    assert (early.answers, world.sent()) == ([{"jsonrpc": "2.0", "id": "a", "result": {}}], [])
    late, line = world.ask_child(two, "resources/unsubscribe", {"uri": URI}, id="b")
    world.answer(line)

    assert late.answers == [{"jsonrpc": "2.0", "id": "b", "result": {}}]
    world.leave(one)
    world.leave(two)
    assert world.sent() == []


def test_a_subscription_under_way_survives_another_ones_end():
    """The child would hear subscribe, then unsubscribe, and the second session would never hear of a change."""
    world = World()
    one, two = world.session(), world.session()
    subscribe(world, one)
    _, line = world.ask_child(two, "resources/subscribe", {"uri": URI})
    world.leave(one)
    assert world.sent() == []
    world.answer(line)
    stream = Outbox()
    two.listen(stream)
    world.notice("resources/updated", uri=URI)

    assert len(stream.messages) == 1


def test_a_session_that_ends_while_it_subscribes_leaves_nothing_behind():
    world = World()
    session = world.session()
    world.ask_child(session, "resources/subscribe", {"uri": URI})
    world.leave(session)

    assert [line["method"] for line in world.sent()] == ["notifications/cancelled", "resources/unsubscribe"]


@pytest.mark.parametrize("how", ["error", "die", "cancel", "timeout"])
def test_a_subscription_that_failed_is_none(how):
    world = World(request_timeout=10)
    stream = Outbox()
    session = world.session(stream)
    _, line = world.ask_child(session, "resources/subscribe", {"uri": URI})
    if how == "error":
        world.answer(line, code=-32002, message="no such resource")
    elif how == "die":
        world.die()
        world.open()
    elif how == "cancel":
        world.notify(session, "cancelled", requestId=1)
    else:
        world.sweep(10)
    world.notice("resources/updated", uri=URI)

    assert stream.messages == []
    assert session.subscriptions == set()


def test_updates_wait_for_a_stream_one_per_resource():
    world = World()
    session = world.session()
    for uri in (URI, "test://two"):
        subscribe(world, session, uri)
    for _ in range(3):
        world.notice("resources/updated", uri="test://two")
        world.notice("resources/updated", uri=URI)
    stream = Outbox()
    session.listen(stream)

    assert [message["params"]["uri"] for message in stream.messages] == ["test://two", URI]


@pytest.mark.parametrize("params", [{}, {"uri": 5}, {"uri": ""}, {"uri": None}, None])
def test_odd_uris_are_the_childs_affair(params):
    world = World()
    session = world.session()
    world.answer(world.ask_child(session, "resources/subscribe", params)[1])
    world.answer(world.ask_child(session, "resources/unsubscribe", params)[1])
    world.notice("resources/updated", **(params or {}))

    assert session.subscriptions == set()


def test_a_session_cannot_subscribe_without_end():
    world = World()
    session, other = world.session(), world.session()
    session.subscriptions.update(f"test://{number}" for number in range(subscriptions.MOST))
    refused = world.request(session, "resources/subscribe", {"uri": URI}, id=1).refusal
    too_long = world.request(other, "resources/subscribe", {"uri": "x" * (subscriptions.LONGEST + 1)}, id=2).refusal

    assert (refused.code, too_long.code, world.sent()) == (-32602, -32602, [])
    assert "unsubscribe" in refused.message
    assert "longer" in too_long.message
    subscribe(world, session, "test://5")  # it has that one
    world.ask_child(session, "resources/unsubscribe", {"uri": "test://5"}, id=3)
    subscribe(world, session)


def test_leaving_while_the_child_is_down_asks_nobody():
    world = World()
    session = world.session()
    subscribe(world, session)
    world.die()
    world.leave(session)
    world.open()

    assert world.relay.sessions == {}


@pytest.mark.parametrize(
    ("uri", "whole", "is_part"),
    [
        ("file:///a/b", "file:///a", True),
        ("file:///a/b", "file:///a/", True),
        ("file:///a#x", "file:///a", True),
        ("file:///a?x", "file:///a", True),
        ("file:///ab", "file:///a", False),
        ("file:///a", "file:///a/b", False),
        ("file:///a", "file:///a", True),
    ],
)
def test_a_subscription_covers_the_parts_of_a_resource(uri, whole, is_part):
    """server/resources, "Subscriptions": the updated URI may be a sub-resource of the one subscribed to."""
    one, other = holder(whole), holder("x:y")

    assert subscriptions.holders([one, other], uri) == ([one] if is_part else [])
    assert subscriptions.is_held([one], uri) == (uri == whole)


# -- log levels ------------------------------------------------------------------------------------------------------------------


def set_level(world, session, level, id=60):
    _, line = world.ask_child(session, "logging/setLevel", {"level": level}, id=id)
    world.answer(line)
    return line["params"]["level"]


def test_each_session_gets_its_own_level_and_the_child_the_most_talkative():
    """Edge case 47."""
    world = World()
    streams = [Outbox(), Outbox(), Outbox()]
    talkative, quiet, _ = map(world.session, streams)

    assert set_level(world, talkative, "debug") == "debug"
    assert set_level(world, quiet, "error") == "debug"
    for level in subscriptions.LEVELS:
        world.notice("message", level=level, data=level)
    assert [[message["params"]["data"] for message in stream.messages] for stream in streams] == [
        list(subscriptions.LEVELS),
        ["error", "critical", "alert", "emergency"],
        list(subscriptions.LEVELS[1:]),
    ]


def test_an_only_session_sets_the_level_it_wants():
    world = World()
    session = world.session()

    assert set_level(world, session, "error") == "error"
    assert set_level(world, session, "debug") == "debug"
    assert set_level(world, session, "emergency") == "emergency"


def test_nobody_is_silenced_by_another_ones_level():
    """One that never asked still gets what servers say unasked."""
    world = World()
    stream = Outbox()
    one, _ = world.session(), world.session(stream)

    assert set_level(world, one, "emergency") == "info"
    world.notice("message", level="info", data=1)
    assert len(stream.messages) == 1


def test_the_level_also_holds_on_the_stream_of_a_call():
    world = World()
    session = world.session()
    set_level(world, session, "error")
    call, _ = world.ask_child(session)
    world.notice("message", level="info", data=1)
    world.notice("message", level="alert", data=2)

    assert [message["params"]["data"] for message in call.messages] == [2]


@pytest.mark.parametrize("level", ["loud", "INFO", None, 5, ""])
def test_a_level_that_is_none_is_refused(level):
    world = World()
    session = world.session()

    assert world.request(session, "logging/setLevel", {"level": level}).refusal.code == -32602
    assert (session.level, world.sent()) == (None, [])


def test_a_child_without_logging_answers_for_itself():
    world = World(capabilities={"tools": {}})

    assert world.ask_child(world.session(), "logging/setLevel", {"level": "loud"})[1]["params"] == {"level": "loud"}


@pytest.mark.parametrize("level", ["loud", None, 5])
def test_a_log_of_unknown_level_passes(level):
    world = World()
    stream = Outbox()
    set_level(world, world.session(stream), "error")
    world.notice("message", level=level, data=1)

    assert len(stream.messages) == 1


def test_news_of_a_list_that_wait_for_a_stream_are_without_the_childs_params():
    """4 MB of them were kept for each of 10,000 sessions."""
    world = World()
    waiting, listening = world.session(), world.session(stream := Outbox())
    world.notice("tools/list_changed", x="x" * 1000)
    waiting.listen(late := Outbox())

    assert listening.waiting == {}
    assert stream.messages[0]["params"] == {"x": "x" * 1000}
    assert late.messages == [{"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}]
