"""Whose turn it is: one session after the other, each session's requests in their order, and nothing stays behind."""

from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import World

from bridge.protocol.exchange import Exchange
from bridge.protocol.turns import Turns

NAMES = ("a", "b", "c")


def call(who: str | None, number: int = 0) -> Exchange:
    """A request of the session called `who`; None is the bridge."""
    session = SimpleNamespace(nonce=who) if who else None
    return Exchange(number, session, b"1", "tools/call", "", None, None, 0)


def name(exchange: Exchange) -> str:
    return f"{exchange.session.nonce if exchange.session else '-'}{exchange.id}"


def order(turns: Turns) -> list[str]:
    """Everybody leaves, one after the other, each answered before the next one goes."""
    gone = []
    while exchange := turns.next():
        gone.append(name(exchange))
    return gone


def waiting(*calls: Exchange, limit=0) -> Turns:
    turns = Turns(limit)
    for exchange in calls:
        turns.wait(exchange)
    return turns


def test_one_sessions_requests_go_in_their_order():
    assert order(waiting(*(call("a", n) for n in range(4)))) == ["a0", "a1", "a2", "a3"]


def test_sessions_take_turns():
    turns = waiting(*(call("a", n) for n in range(4)), *(call("b", n) for n in range(2)), call("c"))

    assert order(turns) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


def test_who_comes_behind_a_thousand_calls_waits_for_one():
    turns = waiting(*(call("a", n) for n in range(1000)))
    turns.next()
    turns.wait(call("b"))

    assert order(turns)[:2] == ["a1", "b0"]


def test_one_that_comes_back_goes_before_everybody():
    turns = waiting(call("a", 1), call("b", 1))
    for exchange in reversed([call("c", 0), call("a", 0), call("c", 1)]):
        turns.wait(exchange, first=True)

    assert order(turns) == ["c0", "a0", "c1", "a1", "b1"]


def test_but_not_past_the_bound_of_its_session():
    turns = waiting(call("b", 1), limit=1)
    turns.gone(call("a", 0))
    turns.wait(call("a", 1), first=True)

    assert order(turns) == ["b1"]
    assert len(turns) == 1


def test_the_bridge_is_one_among_the_others():
    assert order(waiting(call(None, 0), call(None, 1), call("a", 0))) == ["-0", "a0", "-1"]


# -- the bound of one session ----------------------------------------------------------------------------------------------------


def test_nobody_has_more_with_the_child_than_allowed():
    turns = waiting(*(call("a", n) for n in range(4)), call("b", 0), limit=2)
    with_child = []
    while exchange := turns.next():
        turns.gone(exchange)
        with_child.append(exchange)

    assert [name(exchange) for exchange in with_child] == ["a0", "b0", "a1"]
    assert len(turns) == 2
    turns.back(with_child[0])
    assert name(turns.next()) == "a2"


def test_the_bridge_itself_has_no_bound():
    """Else what a new child must be told would wait for an answer to something else."""
    turns = Turns(1)
    for number in range(3):
        turns.gone(call(None, number))

    assert turns.may_go(call(None))


def test_a_new_request_need_not_wait_where_nobody_does():
    turns = Turns(1)
    first = call("a")
    assert turns.may_go(first)
    turns.gone(first)
    assert not turns.may_go(call("a"))
    assert turns.may_go(call("b"))
    turns.back(first)
    assert turns.may_go(call("a"))
    turns.wait(call("a"))
    assert not turns.may_go(call("b"))


# -- leaving the line ---------------------------------------------------------------------------------------------------------------


def test_whoever_leaves_the_line_is_not_called():
    middle = call("a", 1)
    turns = waiting(call("a", 0), middle, call("a", 2), call("b", 0))
    turns.remove(middle)

    assert order(turns) == ["a0", "b0", "a2"]


@pytest.mark.parametrize("stranger", [call("a"), call("z"), call(None)])
def test_who_does_not_stand_in_line_cannot_leave_it(stranger):
    with pytest.raises(ValueError):
        waiting(call("a")).remove(stranger)


def test_all_may_be_sent_away_or_some():
    calls = [call("a", 0), call("b", 0), call("a", 1), call(None, 0)]
    turns = waiting(*calls)
    bridge = turns.clear(lambda exchange: exchange.session is None)
    assert [name(exchange) for exchange in bridge] == ["-0"]
    assert len(turns) == 3
    assert sorted(map(name, turns.clear())) == ["a0", "a1", "b0"]

    assert (len(turns), order(turns)) == (0, [])


def test_one_that_becomes_the_bridges_own_is_counted_there():
    turns = Turns(1)
    at_child, in_line = call("a", 0), call("a", 1)
    turns.gone(at_child)
    turns.wait(in_line)
    turns.disown(at_child)
    turns.disown(in_line)

    assert turns._with_child == {"bridge": 1}
    assert order(turns) == ["-1"]
    turns.back(at_child)
    assert (turns._with_child, turns._lines) == ({}, {})


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 3),
    st.lists(
        st.tuples(
            st.sampled_from(["wait", "first", "next", "back", "remove", "disown"]), st.sampled_from([*NAMES, None]), st.integers(0, 9)
        ),
        max_size=40,
    ),
)
def test_in_any_order_the_books_are_right_and_empty_at_the_end(limit, script):
    turns, in_line, with_child = Turns(limit), [], []
    for number, (what, who, pick) in enumerate(script):
        if what in ("wait", "first"):
            in_line.append(call(who, number))
            turns.wait(in_line[-1], first=what == "first")
        elif what == "next" and (exchange := turns.next()):
            in_line.remove(exchange)
            turns.gone(exchange)
            with_child.append(exchange)
        elif what == "back" and with_child:
            turns.back(with_child.pop(pick % len(with_child)))
        elif what == "remove" and in_line:
            turns.remove(in_line.pop(pick % len(in_line)))
        elif what == "disown" and (in_line or with_child):
            turns.disown((in_line + with_child)[pick % len(in_line + with_child)])
        assert len(turns) == len(list(turns)) == len(in_line)
        assert set(turns) == set(in_line)
        counted = Counter(exchange.session.nonce for exchange in with_child if exchange.session)
        assert not limit or all(count <= limit for count in counted.values())
    while in_line:
        exchange = turns.next()
        if exchange is None:
            turns.back(with_child.pop())
            continue
        in_line.remove(exchange)
    for exchange in with_child:
        turns.back(exchange)
    assert (list(turns._first), turns._lines, turns._with_child, len(turns)) == ([], {}, {}, 0)


# -- beside a child --------------------------------------------------------------------------------------------------------------------


def test_a_client_that_queues_a_thousand_calls_delays_anothers_by_one():
    world = World(max_in_flight=1)
    greedy, modest = world.session(), world.session()
    for number in range(1000):
        world.request(greedy, id=number)
    (at_child,) = world.sent()
    world.request(modest, params={"name": "modest"}, id=0)
    answered = 0
    while at_child.get("params") != {"name": "modest"}:
        world.answer(at_child)
        answered += 1
        (at_child,) = world.sent()

    assert answered <= 2


def test_a_session_has_no_more_with_the_child_than_allowed_and_others_go_past():
    world = World(max_session_requests=2)
    greedy, modest = world.session(), world.session()
    calls = [world.request(greedy, id=number) for number in range(5)]
    first, second = world.sent()
    assert world.ask_child(modest)[1]["method"] == "tools/call"
    world.answer(second, "second")

    assert [call.answers for call in calls[:2]] == [[], [{"jsonrpc": "2.0", "id": 1, "result": "second"}]]
    assert len(world.sent()) == 1
    world.answer(first)
    assert len(world.sent()) == 1


def test_a_cancelled_call_still_counts_until_the_child_has_answered_it():
    """Else cancelling would be a way around the bound."""
    world = World(max_session_requests=1)
    session = world.session()
    _, line = world.ask_child(session, id=1)
    world.notify(session, "cancelled", requestId=1)
    world.sent()
    world.request(session, id=2)

    assert world.sent() == []
    world.answer(line)
    assert len(world.sent()) == 1


def test_a_call_that_waits_behind_its_own_session_times_out():
    world = World(max_session_requests=1, request_timeout=5.0)
    session = world.session()
    for id in (1, 2):
        outbox = world.request(session, id=id)
    world.sweep(5)

    assert outbox.error["code"] == -32001
    assert len(world.relay.dispatcher.turns) == 0
