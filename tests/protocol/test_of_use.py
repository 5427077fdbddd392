"""When a child has been of use: what its life cycle is told, once in each life."""

import pytest
from world import World

LINES = {"tools/call": {"name": "x"}, "prompts/get": {"name": "x"}, "resources/read": {"uri": "x"}}


@pytest.fixture
def world():
    return World()


@pytest.mark.parametrize("method", LINES)
def test_the_first_result_of_each_life_is_told(world, method):
    session = world.session()
    for life in range(3):
        for id in range(3):
            _, line = world.ask_child(session, method, LINES[method], id=id)
            world.answer(line, {"isError": True})
        assert world.told_served == life + 1
        world.die()
        world.open()


@pytest.mark.parametrize("method", ["tools/list", "prompts/list", "completion/complete", "x-vendor/any"])
def test_other_answers_say_nothing_of_use(world, method):
    """A child that answers its handshake and its lists and dies at every call is of no use."""
    _, line = world.ask_child(world.session(), method)
    world.answer(line, {})

    assert world.told_served == 0


def test_an_error_is_no_use(world):
    _, line = world.ask_child(world.session())
    world.answer(line, code=-32603, message="no")

    assert world.told_served == 0


def test_an_answer_that_nobody_waits_for_is_no_use(world):
    session = world.session()
    _, line = world.ask_child(session)
    world.notify(session, "cancelled", requestId=1)
    world.sent()
    world.answer(line, {"content": []})

    assert world.told_served == 0
