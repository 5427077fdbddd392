"""A child that died or hangs: which calls are tried again on the next one, who is told what, and how hanging is found out."""

import pytest
from world import KEYS, Outbox, World

SAFE = {"name": "safe", "annotations": {"readOnlyHint": True}}
REPEATABLE = {"name": "again", "annotations": {"idempotentHint": True}}
WHY = "the server process exited (code 3)"


@pytest.fixture
def world():
    world = World(is_open=False)
    world.open(tools=[SAFE, REPEATABLE, "unsafe"])
    return world


def reopen(world) -> list:
    """The next child opens; returns what it gets beside our own questions."""
    return [line for line in world.open(tools=[SAFE, REPEATABLE, "unsafe"]) if line["method"] != "notifications/initialized"]


# -- trying again -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "params"),
    [
        *((method, {"cursor": "x"}) for method in KEYS),
        ("resources/read", {"uri": "x"}),
        ("prompts/get", {"name": "x"}),
        ("completion/complete", {}),
        ("tools/call", {"name": "safe"}),
        ("tools/call", b'{"name":"saf\\u0065"}'),
        ("tools/call", {"name": "again"}),
    ],
)
def test_what_is_safe_is_tried_again_on_the_next_child(world, method, params):
    outbox, first = world.ask_child(world.session(), method, params)
    world.die()
    assert outbox.answers == []
    (second,) = reopen(world)
    world.answer(second, "from the second")

    assert second == first
    assert outbox.answers == [{"jsonrpc": "2.0", "id": 1, "result": "from the second"}]
    assert world.counts.in_flight == 0


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {"name": "unsafe"}),
        ("tools/call", {"name": "unknown"}),
        ("tools/call", {}),
        ("resources/subscribe", {"uri": "x"}),
        ("resources/unsubscribe", {"uri": "x"}),
        ("x/unknown", {"name": "safe"}),
        ("", {}),
    ],
)
def test_what_may_not_be_done_twice_is_answered_at_once(world, method, params):
    outbox, _ = world.ask_child(world.session(), method, params)
    world.die(WHY)

    assert outbox.error == {"code": -32603, "message": WHY}
    assert method not in [line["method"] for line in reopen(world)]


def test_a_tool_without_a_name_makes_no_other_method_safe(world):
    world.notice("tools/list_changed")
    world.answer_own(tools=[{"name": "", "annotations": {"readOnlyHint": True}}])
    outbox, _ = world.ask_child(world.session(), "x/unknown")
    world.die()

    assert len(outbox.answers) == 1


def test_it_is_tried_again_once(world):
    outbox, _ = world.ask_child(world.session(), "resources/read")
    world.die()
    reopen(world)
    world.die(WHY)

    assert outbox.error["message"] == WHY
    assert reopen(world) == []


def test_it_is_answered_with_an_error_if_the_next_child_does_not_open(world):
    outbox, _ = world.ask_child(world.session(), "resources/read")
    world.die()
    world.spawn()
    world.die("exited (code 1) at once")

    assert outbox.error["message"] == "exited (code 1) at once"
    assert world.relay.is_idle


def test_it_is_answered_with_an_error_if_there_is_no_next_child(world):
    outbox, _ = world.ask_child(world.session(), "resources/read")
    world.die("given up", for_good=True)

    assert outbox.error["message"] == "given up"


def test_a_cancelled_request_is_not_tried_again(world):
    session = world.session()
    world.ask_child(session, "resources/read", id=1)
    world.notify(session, "cancelled", requestId=1)
    world.die()

    assert reopen(world) == []


def test_it_can_be_cancelled_while_it_waits_for_the_next_child(world):
    session = world.session()
    outbox, _ = world.ask_child(session, "resources/read", id=1)
    world.die()
    world.notify(session, "cancelled", requestId=1)

    assert outbox.error["code"] == -32800
    assert reopen(world) == []


def test_a_session_that_ended_is_not_tried_for(world):
    session = world.session()
    world.ask_child(session, "resources/read")
    world.die()
    world.leave(session)

    assert reopen(world) == []
    assert world.counts.in_flight == 0


def test_a_child_of_one_session_is_not_asked_again():
    """Its answer may depend on what the session did before, which is lost."""
    world = World(own=True)
    outbox, _ = world.ask_child(world.owner, "resources/read")
    world.die(WHY)

    assert outbox.error["message"] == WHY


def test_its_time_goes_on(world):
    """A client's own limit does, too."""
    outbox, _ = world.ask_child(world.session(), "resources/read")
    world.now += 599
    world.die()
    reopen(world)
    world.sweep(2)

    assert outbox.error["code"] == -32001


def test_a_long_call_has_its_wait_for_the_next_child_from_the_death_on():
    """--start-timeout, and not what it needed before."""
    world = World(ready_wait=60)
    outbox, _ = world.ask_child(world.session(), "resources/read")
    world.sweep(100)
    world.die()
    world.sweep(59)
    assert outbox.answers == []
    world.sweep(1)

    assert outbox.error["code"] == -32001


def test_its_progress_still_has_its_address(world):
    outbox, _ = world.ask_child(world.session(), "resources/read", {"_meta": {"progressToken": "mine"}})
    world.die()
    (line,) = reopen(world)
    world.notice("progress", progressToken=line["params"]["_meta"]["progressToken"], progress=1)

    assert [message["params"]["progressToken"] for message in outbox.messages] == ["mine"]


def test_all_keep_their_order_and_go_before_what_waited():
    world = World(max_in_flight=3)
    one, two = world.session(), world.session()
    for session, id in ((one, 1), (two, 1), (one, 2), (two, 2)):
        world.request(session, "resources/read", {"who": [session.label, id]}, id=id)
    world.sent()
    world.die()

    assert [line["params"]["who"] for line in reopen(world)] == [[one.label, 1], [two.label, 1], [one.label, 2]]


def test_what_the_next_child_must_know_goes_before_what_is_tried_again(world):
    session = world.session()
    world.answer(world.ask_child(session, "resources/subscribe", {"uri": "x"}, id=1)[1])
    world.answer(world.ask_child(session, "logging/setLevel", {"level": "debug"}, id=2)[1])
    world.ask_child(session, "resources/read", id=3)
    world.die()

    assert [line["method"] for line in reopen(world)] == ["logging/setLevel", "resources/subscribe", "resources/read"]


def test_a_level_that_nobody_wants_any_more_is_not_told_again(world):
    loud, quiet = world.session(), world.session()
    world.answer(world.ask_child(quiet, "logging/setLevel", {"level": "error"})[1])
    world.answer(world.ask_child(loud, "logging/setLevel", {"level": "debug"})[1])
    world.leave(loud)
    world.die()

    assert [line["params"] for line in reopen(world)] == [{"level": "error"}]
    world.leave(quiet)
    world.die()
    assert reopen(world) == []


def test_a_child_without_logging_is_told_no_level(world):
    world.answer(world.ask_child(world.session(), "logging/setLevel", {"level": "error"})[1])
    world.capabilities = {"tools": {}}
    world.die()

    assert reopen(world) == []


def test_a_tool_list_that_its_client_did_not_wait_for_is_not_asked_again():
    world = World(profile_name="litellm", is_open=False)
    world.open(tools=["t"])
    session = world.session()
    world.answer(world.ask_child(session, "tools/list", id=1)[1], {"tools": []})
    outbox, _ = world.ask_child(session, "tools/list", id=2)
    world.sweep(2)
    assert len(outbox.answers) == 1
    world.die()

    assert world.relay.late_lists.cursors == set()
    assert reopen(world) == []


# -- clients hear of other lists ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "lists"),
    [
        ("tools", {"tools": ["x"]}),
        ("prompts", {"prompts": ["x"]}),
        ("resources", {"resources": ["x"]}),
        ("resources", {"resourceTemplates": ["x"]}),
    ],
)
def test_a_list_that_is_another_one_after_a_restart_is_news(kind, lists):
    world = World()
    waiting, listening = world.session(), Outbox()
    world.session(listening)
    world.die()
    world.open(**lists)

    assert listening.methods == [f"notifications/{kind}/list_changed"]
    assert list(waiting.waiting) == [f"notifications/{kind}/list_changed"]


def test_the_same_lists_after_a_restart_are_none(world):
    stream = Outbox()
    world.session(stream)
    world.die()
    reopen(world)

    assert stream.messages == []


# -- the lost state of an own child -------------------------------------------------------------------------------------------------


@pytest.fixture
def own():
    """A session whose own child has answered a call."""
    world = World(own=True)
    world.answer(world.ask_child(world.owner)[1])
    return world


def is_told(world, id=9) -> bool:
    """Whether the next call is answered at once, with an error that says so."""
    outbox = world.request(world.owner, id=id)
    if not outbox.answers:
        world.notify(world.owner, "cancelled", requestId=id)
        world.sent()
        return False
    return outbox.refusal is None and WHY in outbox.error["message"]


def test_the_next_call_is_told_that_the_state_is_lost_once(own):
    own.die(WHY)
    own.open()
    outbox = own.request(own.owner, id="mine")
    assert (outbox.answers[0]["id"], outbox.error["code"]) == ("mine", -32603)
    assert WHY in outbox.error["message"]
    assert (own.sent(), own.owner.exchanges, own.counts.in_flight) == ([], {}, 0)
    fine, line = own.ask_child(own.owner, id="mine")
    own.answer(line, "fine")

    assert fine.answers[0]["result"] == "fine"


def test_litellm_is_told_so_that_it_survives_it():
    world = World(own=True, profile_name="litellm")
    world.answer(world.ask_child(world.owner)[1], {"content": []})
    world.die(WHY)
    (answer,) = world.request(world.owner, id=2).answers

    assert answer["result"]["isError"] is True
    assert WHY in answer["result"]["content"][0]["text"]


def test_it_is_told_before_the_next_child_is_there(own):
    own.die(WHY)

    assert is_told(own)
    assert own.request(own.owner, id=3).answers == []


@pytest.mark.parametrize("method", ["ping", *KEYS, "resources/read", "prompts/get", "completion/complete"])
def test_what_asks_for_no_state_is_answered_and_tells_nothing(own, method):
    own.die(WHY)
    own.open()

    outbox = own.request(own.owner, method, id=2)
    assert (method != "ping" and outbox.answers == []) or "result" in outbox.answers[0]
    assert is_told(own)


def test_one_that_was_in_flight_was_told(own):
    outbox, _ = own.ask_child(own.owner, id=2)
    own.die(WHY)
    own.open()

    assert outbox.error["message"] == WHY
    assert not is_told(own)


def test_one_that_was_in_flight_but_cancelled_was_not(own):
    own.ask_child(own.owner, id=2)
    own.notify(own.owner, "cancelled", requestId=2)
    own.die(WHY)

    assert is_told(own)


def test_calls_that_wait_are_not_done_on_a_child_that_knows_nothing():
    """A browser's click would hit another page."""
    world = World(own=True, max_in_flight=1)
    world.ask_child(world.owner, id=1)
    click, read = world.request(world.owner, id=2), world.request(world.owner, "resources/read", id=3)
    world.die(WHY)

    assert click.error["message"] == WHY
    assert read.answers == []
    assert [line["method"] for line in world.open() if "id" in line] == ["resources/read"]


def test_a_child_that_was_never_asked_had_no_state():
    world = World(own=True)
    world.die(WHY)
    world.open()

    assert not is_told(world)


def test_two_deaths_are_told_once(own):
    for _ in range(2):
        own.die(WHY)
        own.open()

    assert is_told(own)
    assert not is_told(own)


def test_a_child_that_was_given_up_and_tried_again_lost_its_state_too(own):
    own.die(WHY, for_good=True)
    own.open()

    assert is_told(own)


def test_sessions_of_a_shared_child_lose_no_state(world):
    session = world.session()
    world.answer(world.ask_child(session)[1])
    world.die()

    assert world.request(session, id=2).answers == []


# -- pings --------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pinged():
    return World(ping_interval=10, ping_misses=3)


def pings(world) -> list:
    return [line for line in world.sent() if line["method"] == "ping"]


def ask(world) -> dict:
    """The child is silent until it is pinged."""
    world.sweep(10)
    (ping,) = pings(world)
    return ping


def miss(world) -> dict:
    """The ping that is with the child is not answered in time; returns the next one, if there is one."""
    world.sweep(10)
    return (pings(world) or [None])[0]


def test_a_child_that_is_silent_is_asked_whether_it_lives(pinged):
    pinged.sweep(9)
    assert pings(pinged) == []
    pinged.sweep(1)
    (ping,) = pings(pinged)
    pinged.sweep(9)
    assert pings(pinged) == [], "one at a time"
    pinged.answer(ping)
    pinged.sweep(9)
    assert pings(pinged) == []
    pinged.sweep(1)

    assert len(pings(pinged)) == 1


def test_whoever_does_not_want_pings_gets_none(world):
    world.sweep(100_000)

    assert world.sent() == []


def test_a_child_that_says_anything_is_not_asked(pinged):
    for _ in range(5):
        pinged.sweep(6)
        pinged.notice("message", level="info", data="x")

    assert pings(pinged) == []


def test_a_child_that_works_is_not_asked(pinged):
    """Many answer nothing meanwhile."""
    _, line = pinged.ask_child(pinged.session())
    pinged.sweep(300)
    assert pings(pinged) == []
    pinged.answer(line)
    pinged.sweep(10)

    assert len(pings(pinged)) == 1


def test_after_some_misses_in_a_row_it_hangs(pinged):
    ask(pinged)
    for number in range(3):
        assert pinged.told_hung == []
        miss(pinged)

    (why,) = pinged.told_hung
    assert "3 pings" in str(why)


@pytest.mark.parametrize(
    "answer", [{"result": {}}, {"error": {"code": -32601, "message": "Method not found"}}, {"result": None}, {"error": "odd"}]
)
def test_any_answer_is_a_sign_of_life(pinged, answer):
    for _ in range(4):
        ask(pinged)
        miss(pinged)
        ping = miss(pinged)
        pinged.hear({"id": ping["id"]} | answer)

    assert pinged.told_hung == []


def test_an_answer_that_comes_too_late_is_a_sign_of_life(pinged):
    for _ in range(6):
        ping = ask(pinged)
        pinged.sweep(12)
        pinged.answer(ping)
        pinged.sent()

    assert pinged.told_hung == []


def test_the_answer_to_a_call_is_one_too(pinged):
    for _ in range(4):
        ask(pinged)
        miss(pinged)
        miss(pinged)
        _, line = pinged.ask_child(pinged.session())
        pinged.answer(line)
        pinged.answer(miss(pinged))

    assert pinged.told_hung == []


def test_calls_wait_for_the_child_that_follows_a_hung_one(pinged):
    """Until it is gone they would be written to a child that is being stopped, and be lost."""
    ask(pinged)
    for _ in range(3):
        miss(pinged)
    outbox = pinged.request(pinged.session(), params={"name": "patient"})
    assert pinged.sent() == []
    pinged.die("hung")
    (line,) = (line for line in pinged.open() if "id" in line)
    pinged.answer(line, "fine")

    assert outbox.answers[0]["result"] == "fine"


def test_a_ping_that_died_with_its_child_is_no_miss(pinged):
    for _ in range(5):
        ask(pinged)
        pinged.die()
        pinged.open()

    assert pinged.told_hung == []


def test_a_child_that_starts_or_sleeps_is_not_asked():
    world = World(ping_interval=10, is_open=False)
    world.sweep(100)
    assert world.sent() == []
    world.spawn()
    world.sweep(100)
    assert world.sent() == []
    world = World(ping_interval=10)
    world.relay.sleep()
    world.sweep(100)

    assert world.sent() == []


# -- nothing is left ------------------------------------------------------------------------------------------------------------------


def test_a_hundred_deaths_leave_nothing_behind(world):
    sessions = [world.session() for _ in range(4)]
    for number in range(100):
        for session in sessions:
            for method in ("tools/call", "resources/read", "tools/list"):
                world.request(session, method, id=f"{method}{number}")
        world.sent()
        world.die()
        for line in world.open():
            if "id" in line:
                world.answer(line, {})
        world.answer_own()
    for session in sessions:
        world.leave(session)

    relay = world.relay
    assert world.counts.in_flight == 0
    assert (relay.exchanges, relay.dispatcher.turns._lines, relay.dispatcher.turns._with_child, relay.learning.reading, relay.sessions) == (
        {},
        {},
        {},
        {},
        {},
    )
