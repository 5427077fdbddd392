"""A child that is replaced while it is in use: what is under way ends at the old one, everything else goes to the new one."""

import pytest
from world import Outbox, World

from bridge.failure import Failure

SAFE = {"name": "safe", "annotations": {"readOnlyHint": True}}


def pair(**policy) -> tuple[World, World]:
    """The old child, and the new one, which has no session yet."""
    old = World(is_open=False, **policy)
    old.open(tools=[SAFE])
    new = World(beside=old, is_open=False)
    new.open(tools=[SAFE])
    return old, new


@pytest.fixture
def worlds():
    return pair()


def hand_over(old: World, new: World) -> list:
    """Returns what the new child gets at once."""
    old.relay.hand_over(new.relay, old.now)
    return new.sent()


def is_empty(world: World) -> bool:
    relay = world.relay
    return (
        relay.is_idle
        and not relay.dispatcher.turns._with_child
        and not relay.dispatcher.turns._lines
        and not relay.sessions
        and not relay.learning.reading
    )


# -- requests -----------------------------------------------------------------------------------------------------------------------


def test_what_is_under_way_ends_at_the_old_child(worlds):
    old, new = worlds
    session = old.session()
    outbox, line = old.ask_child(session, params={"_meta": {"progressToken": "p"}})
    assert hand_over(old, new) == []
    old.notice("progress", progressToken=line["id"], progress=1)
    old.answer(line, "from the old one")

    assert [message["params"]["progressToken"] for message in outbox.messages] == ["p"]
    assert outbox.answers == [{"jsonrpc": "2.0", "id": 1, "result": "from the old one"}]
    assert (old.counts.in_flight, session.exchanges, is_empty(old)) == (0, {}, True)


def test_what_comes_later_goes_to_the_new_one(worlds):
    old, new = worlds
    session = old.session()
    hand_over(old, new)
    outbox, line = new.ask_child(session)
    new.answer(line, "from the new one")

    assert outbox.answers[0]["result"] == "from the new one"
    assert old.sent() == []


def test_what_waits_goes_to_the_new_one():
    old, new = pair(max_in_flight=1)
    one, two = old.session(), old.session()
    old.ask_child(one, id=1)
    waiting = [old.request(session, id=id) for session, id in ((one, 2), (two, 1), (one, 3))]
    for _ in waiting:
        lines = new.sent() or hand_over(old, new)
        assert len(lines) == 1
        new.answer(lines[0], "from the new one")

    assert [outbox.answers[0]["result"] for outbox in waiting] == ["from the new one"] * 3
    assert old.sent() == []


def test_what_died_with_a_child_that_was_replaced_twice_is_tried_again_on_the_last_one(worlds):
    old, second = worlds
    outbox, _ = old.ask_child(old.session(), params={"name": "safe"})
    hand_over(old, second)
    second.relay.pause()
    third = World(beside=old, is_open=False)
    third.open(tools=[SAFE])
    hand_over(second, third)
    old.relay.lost(Failure("it died"), old.now)
    (line,) = third.sent()
    third.answer(line, "from the last one")

    assert outbox.answers[0]["result"] == "from the last one"
    assert second.sent() == []


def test_a_paused_child_gets_nothing_new_but_ends_what_it_has():
    old, new = pair()
    session = old.session()
    outbox, line = old.ask_child(session, id=1)
    old.relay.pause()
    waiting = old.request(session, id=2)
    assert old.sent() == []
    assert not old.relay.is_at_rest
    old.answer(line)
    assert (len(outbox.answers), old.sent(), old.relay.is_at_rest, old.relay.is_idle) == (1, [], True, False)
    (line,) = hand_over(old, new)
    new.answer(line)

    assert len(waiting.answers) == 1


def test_a_paused_child_that_starts_anew_is_paused_no_more():
    """The child of a server that must be the only one is stopped and started; also if it dies just before that."""
    world = World()
    session = world.session()
    world.relay.pause()
    world.request(session, id=1)
    world.relay.sleep()

    assert [line["method"] for line in world.open() if "id" in line] == ["tools/call"]
    world.relay.pause()
    world.request(session, id=2)
    world.die()
    assert [line["method"] for line in world.open() if "id" in line] == ["tools/call"]


def test_ids_are_never_given_to_both_children():
    """An exchange that moves keeps its id, which the new child must not know from elsewhere."""
    old, new = pair(max_in_flight=1)
    one = old.session()
    ids = [old.ask_child(one, id=1)[1]["id"]]
    old.request(one, id=2)
    for _ in range(3):
        ids.append(new.ask_child(new.session())[1]["id"])
        new.answer({"id": ids[-1]})
    (line,) = hand_over(old, new)

    assert line["id"] not in ids
    assert len(set(ids)) == len(ids)


# -- cancelling and leaving -----------------------------------------------------------------------------------------------------------


def test_a_cancellation_reaches_the_child_that_has_the_call(worlds):
    old, new = worlds
    session = old.session()
    first, at_old = old.ask_child(session, id=1)
    hand_over(old, new)
    second, at_new = new.ask_child(session, id=2)
    old.notify(session, "cancelled", requestId=1)
    assert [line["params"]["requestId"] for line in old.sent()] == [at_old["id"]]
    assert new.sent() == []
    old.notify(session, "cancelled", requestId=2)

    assert [line["params"]["requestId"] for line in new.sent()] == [at_new["id"]]
    assert old.sent() == []
    assert [outbox.error["code"] for outbox in (first, second)] == [-32800] * 2
    old.answer(at_old)
    new.answer(at_new)
    assert is_empty(old)


def test_one_that_moved_while_it_waited_can_be_cancelled():
    old, new = pair(max_in_flight=1)
    session = old.session()
    old.ask_child(session, id=1)
    waiting = old.request(session, id=2)
    new.ask_child(new.session(), id=1)
    hand_over(old, new)
    old.notify(session, "cancelled", requestId=2)

    assert waiting.error["code"] == -32800
    assert (old.sent(), new.sent(), len(new.relay.dispatcher.turns)) == ([], [], 0)


def test_a_session_that_ends_is_gone_from_both(worlds):
    old, new = worlds
    session = old.session()
    calls = [old.ask_child(session, id=1)]
    hand_over(old, new)
    calls.append(new.ask_child(session, id=2))
    old.leave(session)

    assert [outbox.error["code"] for outbox, _ in calls] == [-32800] * 2
    assert [[line["method"] for line in world.sent()] for world in worlds] == [["notifications/cancelled"]] * 2
    old.answer(calls[0][1])
    new.answer(calls[1][1])
    assert is_empty(old) and is_empty(new)
    assert old.counts.in_flight == 0


def test_an_id_in_use_at_the_old_child_is_in_use(worlds):
    old, new = worlds
    session = old.session()
    old.ask_child(session, id=1)
    hand_over(old, new)

    assert old.request(session, id=1).refusal.code == -32600


def test_time_runs_out_at_the_old_child_too():
    old, new = pair(request_timeout=10)
    outbox, _ = old.ask_child(old.session())
    hand_over(old, new)
    old.sweep(10)
    new.sweep(10)

    assert outbox.error["code"] == -32001
    old.sweep(5)
    assert is_empty(old)


# -- what the new child must know -----------------------------------------------------------------------------------------------------


def test_the_new_child_hears_of_subscriptions_and_level_first():
    old, new = pair(max_in_flight=1)
    one, two = old.session(), old.session()
    for session, method, params in (
        (one, "resources/subscribe", {"uri": "test://a"}),
        (two, "resources/subscribe", {"uri": "test://a"}),
        (one, "logging/setLevel", {"level": "debug"}),
    ):
        old.answer(old.ask_child(session, method, params)[1])
    old.ask_child(one, id=1)
    old.request(two, id=1)
    heard = []
    lines = hand_over(old, new)
    while lines:
        heard += [(line["method"], line.get("params")) for line in lines]
        for line in lines:
            new.answer(line)
        lines = new.sent()

    assert heard == [("logging/setLevel", {"level": "debug"}), ("resources/subscribe", {"uri": "test://a"}), ("tools/call", None)]


def test_what_is_being_set_at_the_old_child_holds_at_the_new_one(worlds):
    """Both are on their way when the children change."""
    old, new = worlds
    stream = Outbox()
    session = old.session(stream)
    _, level = old.ask_child(session, "logging/setLevel", {"level": "error"}, id=1)
    _, subscription = old.ask_child(session, "resources/subscribe", {"uri": "test://a"}, id=2)
    told = hand_over(old, new)
    old.answer(level)
    old.answer(subscription)
    for line in told:
        new.answer(line)
    new.notice("message", level="info", data="x")
    new.notice("resources/updated", uri="test://a")

    assert [line["method"] for line in told] == ["logging/setLevel", "resources/subscribe"]
    assert stream.methods == ["notifications/resources/updated"]


def test_a_subscription_that_the_old_child_refuses_in_the_end_is_none(worlds):
    old, new = worlds
    session = old.session()
    _, line = old.ask_child(session, "resources/subscribe", {"uri": "test://a"})
    hand_over(old, new)
    old.answer(line, code=-32602, message="no such resource")

    assert session.subscriptions == set()


def test_unsubscribing_reaches_the_new_child(worlds):
    old, new = worlds
    session = old.session()
    old.answer(old.ask_child(session, "resources/subscribe", {"uri": "test://a"})[1])
    hand_over(old, new)
    old.leave(session)

    assert [line["method"] for line in new.sent()] == ["resources/unsubscribe"]


def test_news_of_the_new_child_reach_all_and_those_of_the_old_one_nobody(worlds):
    old, new = worlds
    streams = [Outbox(), Outbox()]
    sessions = [old.session(stream) for stream in streams]
    hand_over(old, new)
    old.notice("prompts/list_changed")
    old.notice("message", level="info", data="x")
    assert not any(stream.messages for stream in streams)
    assert old.sent() == [], "nor is it asked for lists any more"
    new.notice("prompts/list_changed")

    assert [stream.methods for stream in streams] == [["notifications/prompts/list_changed"]] * 2
    assert all(session.relay is new.relay for session in sessions)


# -- lists --------------------------------------------------------------------------------------------------------------------------


def test_other_lists_of_the_new_child_are_news():
    old, new = World(is_open=False), None
    old.open(tools=["old"], prompts=["same"])
    new = World(beside=old, is_open=False)
    new.open(tools=["new"], prompts=["same"])
    stream = Outbox()
    old.session(stream)
    hand_over(old, new)

    assert stream.methods == ["notifications/tools/list_changed"]


@pytest.mark.parametrize(("tools", "news"), [(["old"], []), (["new"], ["notifications/tools/list_changed"])])
def test_lists_that_the_new_child_has_not_told_yet_are_compared_when_it_does(tools, news):
    old = World(is_open=False)
    old.open(tools=["old"])
    new = World(beside=old, is_open=False)
    new.answer(new.spawn(), {"capabilities": {"tools": {}}})
    question = new.sent()[-1]
    stream = Outbox()
    old.session(stream)
    hand_over(old, new)
    assert (stream.messages, new.told_learned, old.told_learned) == ([], 0, 1)
    new.answer(question, {"tools": [{"name": name} for name in tools]})

    assert stream.methods == news
    assert (new.told_learned, old.told_learned) == (1, 1), "whose lists are kept is not for the relay to know"


def test_our_own_questions_do_not_move():
    """Nobody would know what to do with the answer."""
    old, new = pair(max_in_flight=1)
    old.ask_child(old.session())
    old.notice("tools/list_changed")
    old.sweep(1)

    assert hand_over(old, new) == []
    assert old.relay.learning.reading == {}


# -- the old child dies ---------------------------------------------------------------------------------------------------------------


def test_what_is_safe_is_tried_again_on_the_new_child(worlds):
    old, new = worlds
    one, two = old.session(), old.session()
    safe, line = old.ask_child(one, params={"name": "safe"})
    unsafe, _ = old.ask_child(two, params={"name": "unsafe"})
    hand_over(old, new)
    old.die("killed")
    (again,) = new.sent()
    new.answer(again, "fine")

    assert again == line
    assert unsafe.error["message"] == "killed"
    assert safe.answers[0]["result"] == "fine"
    assert is_empty(old)


def test_one_that_was_tried_again_can_be_cancelled(worlds):
    old, new = worlds
    session = old.session()
    outbox, _ = old.ask_child(session, "resources/read")
    hand_over(old, new)
    old.die()
    (line,) = new.sent()
    old.notify(session, "cancelled", requestId=1)

    assert [cancelled["params"]["requestId"] for cancelled in new.sent()] == [line["id"]]
    assert len(outbox.answers) == 1


def test_one_without_a_session_of_its_own_goes_on_too(worlds):
    """A client of LiteLLM's kind without a session: it has the old relay, which does not know of it."""
    old, new = worlds
    session = old.sessions.open("sse", old.now)
    session.relay = old.relay
    outbox, line = old.ask_child(session, id=1)
    hand_over(old, new)
    late = old.request(session, id=2)
    (moved,) = new.sent()
    old.answer(line)
    new.answer(moved)

    assert [len(outbox.answers), len(late.answers)] == [1, 1]
    old.leave(session)
    assert is_empty(old) and is_empty(new)


def test_children_may_be_replaced_again_and_again():
    world = World(is_open=False)
    world.open(tools=["t"])
    session = world.session()
    worlds = [world]
    calls = []
    for number in range(5):
        calls.append(worlds[-1].ask_child(session, id=number))
        worlds.append(World(beside=worlds[-1], is_open=False))
        worlds[-1].open(tools=["t"])
        hand_over(worlds[-2], worlds[-1])
    for world, (outbox, line) in zip(worlds, calls, strict=False):
        world.answer(line, "fine")

    assert [outbox.answers[0]["result"] for outbox, _ in calls] == ["fine"] * 5
    assert all(is_empty(world) for world in worlds[:-1])
