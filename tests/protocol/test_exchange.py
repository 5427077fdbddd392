"""When a request is over: its answer, its client's or its session's end, its time. What still occupies the child then."""

import json

import pytest
from world import Outbox, World

from bridge.failure import Failure

PROGRESS = {"_meta": {"progressToken": 1}}


# -- cancelling -------------------------------------------------------------------------------------------------------------


def test_a_cancellation_names_the_childs_id():
    world = World()
    session = world.session()
    call, line = world.ask_child(session, id="mine")
    world.notify(session, "cancelled", requestId="mine", reason="no more")

    assert world.sent() == [
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": line["id"], "reason": "no more"}}
    ]
    assert call.error["code"] == -32800


def test_where_nobody_waits_for_a_response_a_cancelled_request_gets_none():
    """Basic/utilities/cancellation: "The receiver SHOULD NOT send a response"; an HTTP POST has to get one."""
    world = World()
    session = world.session()
    call, _ = world.ask_child(session, outbox=Outbox(answers_cancelled=False))
    world.notify(session, "cancelled", requestId=1)

    assert call.answers == []
    assert session.exchanges == {}


def test_another_sessions_id_cannot_be_cancelled():
    """Edge case 21."""
    world = World()
    call, line = world.ask_child(world.session(), id=1)
    world.notify(world.session(), "cancelled", requestId=1)

    assert world.sent() == []
    world.answer(line, "fine")
    assert call.answers[0]["result"] == "fine"


@pytest.mark.parametrize("id", [2, "1", None, 1.0, True, [1], {"a\n": 1}, "\n", ""])
def test_only_the_very_id_is_cancelled(id):
    world = World()
    session = world.session()
    world.ask_child(session, id=1)
    world.notify(session, "cancelled", requestId=id)

    assert world.sent() == []
    assert world.counts.strays["cancelled"] == 1


@pytest.mark.parametrize("params", [{}, {"reason": "x"}])
def test_a_cancellation_of_nothing_is_counted(params):
    world = World()
    world.notify(world.session(), "cancelled", **params)

    assert world.counts.strays["cancelled"] == 1


def test_a_late_answer_is_swallowed_and_not_given_to_a_later_request_with_that_id():
    """Edge case 22."""
    world = World()
    session = world.session()
    first, line = world.ask_child(session, id=7)
    world.notify(session, "cancelled", requestId=7)
    world.sent()
    second, _ = world.ask_child(session, id=7)
    world.answer(line, "late")

    assert len(first.answers) == 1
    assert second.answers == []


def test_a_cancellation_after_the_answer_is_ignored():
    world = World()
    session = world.session()
    call, line = world.ask_child(session)
    world.answer(line)
    world.notify(session, "cancelled", requestId=1)

    assert world.sent() == []
    assert len(call.answers) == 1


def test_progress_and_a_second_cancellation_after_the_first_are_ignored():
    world = World()
    session = world.session()
    call, line = world.ask_child(session, params=PROGRESS)
    world.notify(session, "cancelled", requestId=1)
    world.notify(session, "cancelled", requestId=1)
    world.notice("progress", progressToken=line["id"], progress=1)

    assert len(world.sent()) == 1
    assert (len(call.answers), call.messages) == (1, [])


def test_what_the_child_never_saw_is_cancelled_without_it():
    world = World(max_in_flight=1)
    session = world.session()
    _, line = world.ask_child(session, id=1)
    waiting = world.request(session, id=2)
    world.notify(session, "cancelled", requestId=2)
    world.answer(line)

    assert world.sent() == []
    assert waiting.error["code"] == -32800


def test_a_session_that_ends_takes_its_requests_along():
    world = World(max_in_flight=1)
    session, other = world.session(), world.session()
    written, line = world.ask_child(session, id=1)
    queued = world.request(session, id=2)
    others = world.request(other, id=1)
    world.leave(session)

    assert [outbox.error["code"] for outbox in (written, queued)] == [-32800, -32800]
    assert [sent["method"] for sent in world.sent()] == ["notifications/cancelled"]
    world.answer(line)
    assert len(world.sent()) == 1, "the slot is free"
    assert others.answers == []
    assert world.counts.in_flight == 1


# -- slots: some servers lose data when they do two things at once ----------------------------------------------------------------


def test_a_child_gets_no_more_than_it_may_have():
    world = World(max_in_flight=2)
    sessions = [world.session() for _ in range(4)]
    calls = [world.request(session) for session in sessions]
    first, second = world.sent()

    world.answer(second)
    (third,) = world.sent()
    world.answer(first)
    (fourth,) = world.sent()
    for line in (fourth, third):
        world.answer(line)
    assert all(len(call.answers) == 1 for call in calls)
    assert world.sent() == []


def test_calls_wait_in_the_order_they_came():
    world = World(max_in_flight=1)
    session = world.session()
    for number in range(5):
        world.request(session, params={"n": number}, id=number)
    order = []
    while lines := world.sent():
        order.append(lines[0]["params"]["n"])
        world.answer(lines[0])

    assert order == [0, 1, 2, 3, 4]


def test_a_cancelled_call_holds_its_slot_until_the_child_answers_it():
    world = World(max_in_flight=1)
    session = world.session()
    _, line = world.ask_child(session, id=1)
    world.request(session, id=2)
    world.notify(session, "cancelled", requestId=1)
    assert [sent["method"] for sent in world.sent()] == ["notifications/cancelled"]
    world.sweep(1)
    assert world.sent() == []
    world.answer(line)

    assert [sent["method"] for sent in world.sent()] == ["tools/call"]


def test_a_child_that_does_not_answer_cancelled_calls_gets_the_next_one_after_a_while():
    world = World(max_in_flight=1)
    session = world.session()
    world.ask_child(session, id=1)
    world.request(session, id=2)
    world.notify(session, "cancelled", requestId=1)
    world.sent()
    world.sweep(5)

    assert [sent["method"] for sent in world.sent()] == ["tools/call"]


def test_an_answer_after_the_hold_is_still_swallowed():
    world = World()
    session = world.session()
    call, line = world.ask_child(session, id=1)
    world.notify(session, "cancelled", requestId=1)
    world.sweep(5)
    world.sent()
    again, _ = world.ask_child(session, id=1)
    world.answer(line)

    assert (len(call.answers), again.answers) == (1, [])
    assert world.counts.strays["answer"] == 1


# -- time ---------------------------------------------------------------------------------------------------------------------------


def test_a_request_without_an_answer_times_out_and_the_child_is_told():
    world = World(request_timeout=10)
    session = world.session()
    call, line = world.ask_child(session)
    world.sweep(9.9)
    assert call.answers == []
    world.sweep(0.1)

    assert call.error == {"code": -32001, "message": "no answer from the server within 10 s (--request-timeout)"}
    assert world.sent() == [{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": line["id"]}}]
    world.sweep(1)
    world.answer(line)
    assert len(call.answers) == 1
    assert (session.exchanges, world.counts.in_flight) == ({}, 0)


def test_a_timed_out_call_holds_its_slot_too():
    world = World(max_in_flight=1, request_timeout=10)
    session = world.session()
    world.ask_child(session, id=1)
    world.now += 5
    later = world.request(session, id=2)
    world.sweep(5)

    assert [line["method"] for line in world.sent()] == ["notifications/cancelled"]
    assert later.answers == []


def test_progress_starts_the_clock_again_up_to_the_hard_limit():
    world = World(request_timeout=10, request_timeout_max=25)
    call, line = world.ask_child(world.session(), params=PROGRESS)
    for step in range(2):
        world.sweep(9)
        world.notice("progress", progressToken=line["id"], progress=step)
    assert call.answers == []
    world.sweep(7)

    assert call.error["code"] == -32001


def asked_in_mid_call(**policy):
    world = World(own=True, withhold_roots=False, **policy)
    call, line = world.ask_child(world.owner, id="c")
    world.hear({"id": 0, "method": "elicitation/create", "params": {}})
    return world, call, line


def test_a_client_that_is_asked_may_think_longer_than_the_child():
    """And then the child's time begins."""
    world, call, _ = asked_in_mid_call(request_timeout=10)
    beside = world.request(world.owner, id="beside")
    for _ in range(3):
        world.sweep(9)
    world.now += 9
    world.respond(world.owner, call.messages[0]["id"], result={"action": "accept"})
    world.sweep(9.9)
    assert call.answers == beside.answers == []
    world.sweep(0.1)

    assert call.error["code"] == beside.error["code"] == -32001


def test_a_client_that_is_asked_may_not_think_longer_than_the_hard_limit():
    world, call, _ = asked_in_mid_call(request_timeout=10, request_timeout_max=25)
    world.sweep(9)
    world.sweep(9)
    assert call.answers == []
    world.sweep(7)

    assert call.error["code"] == -32001


def test_what_was_asked_for_an_earlier_call_gives_a_later_one_no_time():
    """A child may forget what it asked, and its client never answer."""
    world, _, line = asked_in_mid_call(request_timeout=10)
    world.answer(line)
    world.now += 1
    later = world.request(world.owner, id="later")
    world.sweep(10)

    assert world.owner.asks
    assert later.error["code"] == -32001


def test_zero_is_no_limit():
    world = World(request_timeout=0, request_timeout_max=0)
    call, line = world.ask_child(world.session(), params=PROGRESS)
    world.notice("progress", progressToken=line["id"], progress=1)
    world.sweep(1e8)

    assert call.answers == []


def test_a_request_that_waits_for_its_slot_times_out_without_the_child():
    world = World(max_in_flight=1, request_timeout=10)
    session = world.session()
    world.ask_child(session, id=1)
    waiting = world.request(session, id=2)
    world.sweep(10)

    assert waiting.error["code"] == -32001
    assert [line["method"] for line in world.sent()] == ["notifications/cancelled"]
    world.sweep(5)
    assert world.sent() == []


def test_a_request_waits_only_so_long_for_a_child_to_be_ready():
    world = World(is_open=False, ready_wait=4)
    call = world.request(world.session())
    world.relay.link.reason = Failure("starting")
    world.sweep(4)

    assert call.error == {"code": -32001, "message": "the server is not ready after 4 s: starting"}
    world.open()


def test_what_was_answered_while_it_waited_is_not_sent_later():
    world = World(is_open=False, ready_wait=4)
    world.request(world.session())
    world.sweep(4)
    world.relay.open(b"{}", world.now, world._opened, world._refused)
    world.answer(world.sent()[0])

    assert [line["method"] for line in world.sent()] == ["notifications/initialized"]


def test_a_long_call_gives_signs_of_life_while_someone_waits():
    world = World(max_in_flight=1)
    session = world.session()
    written, _ = world.ask_child(session, id=1)
    queued = world.request(session, id=2)
    world.sweep(14, keepalive=15)
    assert (written.waits, queued.waits) == (0, 0)
    world.sweep(1, keepalive=15)
    assert (written.waits, queued.waits) == (1, 1)
    world.notify(session, "cancelled", requestId=1)
    world.sweep(1, keepalive=15)

    assert (written.waits, queued.waits) == (1, 2)


def test_all_that_wait_too_long_are_told_even_if_it_is_their_turn_just_then():
    """Our own question, out of date when its time is over, is asked anew, which lets the next one go."""
    world = World(max_in_flight=1, request_timeout=60.0)
    session = world.session()
    world.ask_child(session, id=1)
    for _ in range(2):
        world.notice("tools/list_changed")
    waiting = world.request(session, id=2)
    world.sweep(30)
    world.sweep(29)
    world.notify(session, "cancelled", requestId=1)
    world.sweep(6)

    assert waiting.error["code"] == -32001


def test_our_own_questions_time_out_too():
    world = World()
    world.notice("tools/list_changed")
    world.sweep(60)

    assert [line["method"] for line in world.sent()] == ["tools/list", "notifications/cancelled"]
    world.sweep(5)
    assert world.relay.exchanges == {}


# -- counting ---------------------------------------------------------------------------------------------------------------------------


def test_each_outcome_is_counted_once_by_method_and_known_tool():
    world = World(request_timeout=10)
    world.notice("tools/list_changed")
    world.answer_own(["known"])
    session = world.session()
    for id, (name, answer) in enumerate(
        [
            ("known", b'"result":{"content":[],"isError":false}'),
            ("known", b'"result":{"content":[], "isError" : true}'),
            ("known", b'"result":{"content":[{"type":"text","text":"\\"isError\\":true"}]}'),
            ("made up", b'"result":{}'),
            ("known", b'"error":{}'),
        ]
    ):
        _, line = world.ask_child(session, params={"name": name}, id=id)
        world.hear(b'{"jsonrpc":"2.0","id":%d,%b}' % (line["id"], answer))
    world.ask_child(session, params={"name": "known"}, id=10)
    world.notify(session, "cancelled", requestId=10)
    world.sent()
    world.ask_child(session, "made/up")
    world.sweep(10)

    assert {key[:3]: count for key, count in world.counts.requests.items()} == {
        ("tools/call", "known", "ok"): 2,
        ("tools/call", "known", "tool_error"): 1,
        ("tools/call", "(unknown)", "ok"): 1,
        ("tools/call", "known", "error"): 1,
        ("tools/call", "known", "cancelled"): 1,
        ("other", "", "timeout"): 1,
    }
    assert world.counts.in_flight == 0


@pytest.mark.parametrize("end", ["answer", "error", "cancel", "timeout", "leave", "die", "too_long", "unreadable", "late"])
def test_however_a_request_ends_it_is_not_in_flight_any_more(end):
    world = World(request_timeout=10)
    session = world.session()
    call, line = world.ask_child(session)
    assert world.counts.in_flight == 1
    if end == "answer":
        world.answer(line)
    elif end == "error":
        world.answer(line, code=-1, message="x")
    elif end == "cancel":
        world.notify(session, "cancelled", requestId=1)
    elif end == "timeout":
        world.sweep(10)
    elif end == "leave":
        world.leave(session)
    elif end == "die":
        world.die()
    elif end == "too_long":
        world.relay.incoming.too_long(b'{"jsonrpc":"2.0","id":%d,"result":' % line["id"], b"}", 10**9, world.now)
    elif end == "unreadable":
        world.hear(b'{"jsonrpc":"2.0","id":%d,"result":NaN}' % line["id"])
    else:
        world.notify(session, "cancelled", requestId=1)
        world.relay.incoming.too_long(b'{"jsonrpc":"2.0","id":%d,"result":' % line["id"], b"}", 10**9, world.now)

    assert (world.counts.in_flight, session.exchanges) == (0, {})
    assert len(call.answers) == 1
    assert json.loads(call.raw_answers[0])["id"] == 1
