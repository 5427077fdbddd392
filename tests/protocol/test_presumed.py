"""A child that is still starting, taken as another one of the same command is known to be."""

from world import World

LEVEL, URI = {"level": "error"}, {"uri": "test://one"}


def starting(beside: World, **more) -> World:
    world = World(is_open=False, beside=beside, **more)
    world.relay.presume(beside.relay)
    return world


def test_questions_for_lists_are_answered_and_calls_wait():
    known = World(is_open=False)
    known.open(tools=["t"])
    world = starting(known)
    session = world.session()
    listed, called = world.request(session, "tools/list", id=1), world.request(session, "tools/call", {"name": "t"}, id=2)
    world.spawn()

    assert [tool["name"] for tool in listed.answers[0]["result"]["tools"]] == ["t"]
    assert called.answers == []


def test_what_is_not_known_of_the_other_one_yet_is_not_presumed():
    """Without its tools nobody knows which arguments must stand in headers."""
    unknown, half_known = World(is_open=False), World(is_open=False)
    half_known.answer(half_known.spawn(), {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s"}})

    assert half_known.relay.facts is not None
    for other in (unknown, half_known):
        assert starting(other).relay.facts is None


def test_one_that_has_died_before_it_opened_is_not_presumed_to_be_well():
    world = World(is_open=False)
    world.spawn()
    world.die("it exited (code 1)")
    world.relay.presume(World().relay)

    assert world.relay.facts is None


def test_what_clients_asked_for_meanwhile_reaches_it_once():
    world = starting(World())
    session = world.session()
    world.request(session, "resources/subscribe", URI, id=1)
    world.request(session, "logging/setLevel", LEVEL, id=2)
    asked = [line["method"] for line in world.open() if "id" in line]

    assert asked == ["resources/subscribe", "logging/setLevel"]


def test_the_next_process_is_told_what_it_knew():
    world = starting(World())
    session = world.session()
    world.request(session, "resources/subscribe", URI, id=1)
    (line,) = [line for line in world.open() if "id" in line]
    world.answer(line, {})
    world.die("it exited (code 1)")

    assert "resources/subscribe" in [line["method"] for line in world.open()]
