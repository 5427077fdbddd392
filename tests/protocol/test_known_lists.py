"""What is known of a child that sleeps: which questions need not wake it, how it is learned, and what becomes of a file of it."""

import json

import pytest
from msgspec import Raw
from world import ALL, KEYS, Outbox, World

from bridge.protocol.envelope import Envelope
from bridge.protocol.eras.caller import Caller
from bridge.protocol.facts import Facts
from bridge.protocol.known_lists import PAGES, KnownLists, Reading

INITIALIZE = b'{"protocolVersion":"2025-06-18","capabilities":{"tools":{},"resources":{}},"serverInfo":{"name":"s","version":"1"}}'


def pages(*names: str) -> dict[bytes, bytes]:
    return {b"": json.dumps({"tools": [{"name": name} for name in names]}).encode()}


def known(memory: KnownLists, method="tools/list", cursor=b"") -> bytes | None:
    answer = memory.answer(method, cursor)
    return bytes(answer.result or answer.error) if answer else None


# -- reading a list ---------------------------------------------------------------------------------------------------------------


class Child:
    """Collects the questions of one reading; `answer` answers the last."""

    def __init__(self, method="tools/list"):
        self.asked, self.done, self.failed = [], [], []
        Reading(method, self.ask, self.done.append, self.failed.append).start()

    def ask(self, method, params, heard):
        self.asked.append((method, params))
        self.heard = heard

    def answer(self, *names, raw=None, **more):
        page = raw if raw is not None else json.dumps({"tools": [{"name": name} for name in names]} | more).encode()
        self.heard(Envelope(result=Raw(page)))
        return page


def test_a_list_is_read_page_by_page():
    child = Child("prompts/list")
    first = child.answer("a", nextCursor='é"2')
    assert child.done == []
    second = child.answer("b")

    assert child.asked == [("prompts/list", b""), ("prompts/list", b'{"cursor":"\\u00e9\\"2"}')]
    assert child.done == [{b"": first, b'"\\u00e9\\"2"': second}]
    assert child.failed == []


@pytest.mark.parametrize("cursor", [None, ""])
def test_a_cursor_that_says_nothing_ends_it(cursor):
    child = Child()
    child.answer(nextCursor=cursor)

    assert len(child.done) == 1


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"5", b'"x"', b'{"tools":[],"nextCursor":5}', b'{"nextCursor":{}}', b"[" * 5000])
def test_what_is_no_list_ends_it_with_nothing(raw):
    child = Child()
    child.answer("a", nextCursor="2")
    child.answer(raw=raw)

    assert (len(child.asked), child.done, len(child.failed)) == (2, [], 1)


def test_an_endless_list_is_known_as_far_as_it_was_read():
    child = Child()
    for number in range(PAGES):
        child.answer(f"t{number}", nextCursor=str(number))

    assert len(child.asked) == PAGES
    assert len(child.done[0]) == PAGES


def test_a_list_that_leads_back_to_itself_ends():
    child = Child()
    child.answer("a", nextCursor="again")
    child.answer("b", nextCursor="again")

    assert (len(child.asked), len(child.done)) == (2, 1)


# -- knowing ------------------------------------------------------------------------------------------------------------------------


def test_only_what_differs_from_before_is_news():
    memory = KnownLists()

    assert [memory.learn("tools/list", pages(*names)) for names in ("a", "a", "ab", "ab", "")] == [False, False, True, False, True]


def test_each_page_is_known_by_its_cursor():
    memory = KnownLists()
    memory.learn("tools/list", {b"": b'{"nextCursor":"2"}', b'"2"': b"{}"})

    assert known(memory) == b'{"nextCursor":"2"}'
    assert known(memory, cursor=b'"2"') == b"{}"
    assert known(memory, cursor=b'"3"') is None
    assert known(memory, "prompts/list") is None


def test_a_change_makes_us_forget_what_it_concerns():
    memory = KnownLists()
    for method in KEYS:
        memory.learn(method, {b"": b"{}"})
    memory.forget("resources")

    assert [known(memory, method) for method in KEYS] == [b"{}", b"{}", None, None]


def test_that_a_list_does_not_exist_is_known_too():
    """Many servers offer resources and have no templates."""
    memory = KnownLists()
    memory.refused("resources/templates/list", Raw(b'{"code":-32601,"message":"Method not found"}'))

    assert known(memory, "resources/templates/list") == b'{"code":-32601,"message":"Method not found"}'
    memory.learn("resources/templates/list", {b"": b"{}"})
    assert known(memory, "resources/templates/list") == b"{}"


@pytest.mark.parametrize("error", [b'{"code":-32603,"message":"try later"}', b'{"code":"-32601"}', b'"no"', b"null", b"", b"[" * 5000])
def test_other_errors_may_be_gone_next_time(error):
    memory = KnownLists()
    memory.learn("tools/list", pages("a"))
    memory.refused("tools/list", Raw(error))

    assert known(memory) == pages("a")[b""]


def test_a_client_cannot_make_us_forget_a_list():
    """It may send what the server's own list method refuses."""
    memory = KnownLists()
    memory.learn("tools/list", pages("a"))
    memory.record_answer("tools/list", Envelope(error=Raw(b'{"code":-32601,"message":"odd params"}')))

    assert known(memory) == pages("a")[b""]


# -- keeping ------------------------------------------------------------------------------------------------------------------------


def test_what_is_kept_comes_back_byte_for_byte():
    memory, again = KnownLists(), KnownLists()
    memory.initialize = INITIALIZE
    memory.learn("tools/list", {b"": b'{"a" : 1e400,"b":"\\u0041"}', '"é"'.encode(): b"{}"})
    memory.refused("resources/templates/list", Raw(b'{"code":-32601,"message":"x"}'))
    facts = again.load(memory.dump("id"), "id")

    assert facts.title == "s 1"
    assert again.initialize == INITIALIZE
    assert known(again) == b'{"a" : 1e400,"b":"\\u0041"}'
    assert known(again, cursor='"é"'.encode()) == b"{}"
    assert known(again, "resources/templates/list") == b'{"code":-32601,"message":"x"}'
    assert again.dump("id") == memory.dump("id")


def test_what_is_kept_of_another_command_is_not_believed():
    memory, again = KnownLists(), KnownLists()
    memory.initialize = INITIALIZE
    memory.learn("tools/list", pages("a"))

    assert again.load(memory.dump("one"), "other") is None
    assert known(again) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"{}",
        b"[" * 5000,
        b"\xff\xfe",
        b'{"identity":"id"}',
        b'{"identity":"id","initialize":null,"lists":{}}',
        b'{"identity":"id","initialize":[],"lists":{}}',
        b'{"identity":"id","initialize":{},"lists":[]}',
        b'{"identity":"id","initialize":{"capabilities":5},"lists":{}}',
        b'{"identity":"id","initialize":{},"lists":{"tools/list":{"":5',
        b'{"identity":"id","initialize":{},"lists":{"tools/list":5}}',
        b'{"identity":5,"initialize":{},"lists":{}}',
    ],
)
def test_a_damaged_file_is_as_good_as_none(content):
    memory = KnownLists()

    assert memory.load(content, "id") is None
    assert known(memory) is None


@pytest.mark.parametrize("deep", range(900, 1010, 3))
def test_no_depth_of_nesting_makes_it_raise(deep):
    nest = b"[" * deep + b"]" * deep
    KnownLists().load(
        b'{"identity":"id","initialize":{"capabilities":{"x":%b},"serverInfo":%b},"lists":{"tools/list":{"":%b}}}' % (nest, nest, nest),
        "id",
    )


# -- a child that sleeps ---------------------------------------------------------------------------------------------------------


def asleep(**lists) -> World:
    world = World(is_open=False)
    world.open(**lists)
    world.relay.sleep()
    return world


@pytest.mark.parametrize("method", KEYS)
def test_lists_are_answered_while_it_sleeps(method):
    world = asleep(tools=["t"], **{KEYS[method]: ["x"]} if method != "tools/list" else {})
    outbox = world.request(world.session(), method, {"_meta": {"progressToken": 1}}, id="é")

    assert outbox.answers == [{"jsonrpc": "2.0", "id": "é", "result": {KEYS[method]: [{"name": "t"}] if method == "tools/list" else ["x"]}}]
    assert (world.relay.is_idle, world.sent()) == (True, [])


def test_ping_is_answered_while_it_sleeps():
    world = asleep()

    assert world.request(world.session(), "ping").answers
    assert world.relay.is_idle


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {"name": "t"}),
        ("resources/read", {"uri": "x"}),
        ("prompts/get", {"name": "x"}),
        ("completion/complete", {}),
        ("resources/subscribe", {"uri": "x"}),
        ("logging/setLevel", {"level": "info"}),
        ("x/unknown", {}),
        ("tools/list", {"cursor": "unknown"}),
    ],
)
def test_everything_else_waits_for_it_to_wake(method, params):
    world = asleep(tools=["t"])
    outbox = world.request(world.session(), method, params)

    assert outbox.answers == []
    assert not world.relay.is_idle, "so the service wakes it"
    *_, line = (line for line in world.open() if line["method"] == method)  # after what a new child is told anyway
    world.answer(line, "done")
    assert outbox.answers == [{"jsonrpc": "2.0", "id": 1, "result": "done"}]


def test_lists_are_still_answered_from_memory_while_it_wakes():
    world = asleep(tools=["t"])
    session = world.session()
    world.request(session, id=1)
    world.spawn()

    assert world.request(session, "tools/list", id=2).answers


def test_a_call_may_use_an_id_again_that_memory_answered():
    world = asleep(tools=["t"])
    session = world.session()
    world.request(session, "tools/list", id=1)
    again = world.request(session, "tools/list", id=1)

    assert (len(again.answers), session.exchanges, world.counts.in_flight) == (1, {}, 0)


def test_that_there_is_no_such_list_wakes_it_only_once():
    """A client that polls for prompts which the server does not have would else keep it awake."""
    world = World(capabilities={"tools": {}})
    session = world.session()
    _, line = world.ask_child(session, "prompts/list")
    world.answer(line, code=-32601, message="Method not found")
    world.relay.sleep()
    outbox = world.request(session, "prompts/list")

    assert outbox.error == {"code": -32601, "message": "Method not found"}
    assert world.relay.is_idle


def test_a_child_that_wakes_with_other_lists_is_news():
    world = asleep(tools=["old"], prompts=["p"], resources=["same"])
    stream = Outbox()
    session = world.session(stream)
    world.request(session)
    world.open(tools=["new"], prompts=[], resources=["same"])

    assert sorted(stream.methods) == ["notifications/prompts/list_changed", "notifications/tools/list_changed"]


def test_a_child_that_wakes_with_the_same_lists_is_none():
    world = asleep(tools=["t"])
    stream = Outbox()
    world.request(world.session(stream))
    world.open(tools=["t"])

    assert stream.messages == []


def test_a_child_that_no_longer_offers_what_it_did_is_news():
    world = asleep(prompts=["p"])
    stream = Outbox()
    session = world.session(stream)
    world.request(session)
    world.capabilities = {"tools": {}, "resources": {}}
    world.open()
    world.relay.sleep()

    assert stream.methods == ["notifications/prompts/list_changed"]
    assert world.request(session, "prompts/list", id=2).answers == []


def test_what_the_child_says_while_it_goes_to_sleep_does_not_wake_it():
    """Some tell of list changes while they shut down."""
    world = asleep(tools=["t"])
    world.notice("tools/list_changed")

    assert world.relay.is_idle
    assert world.request(world.session(), "tools/list").answers == [], "but what was known is not true any more"


def test_what_a_modern_call_has_logged_by_the_child_that_it_wakes_is_not_for_sessions_that_never_asked():
    world = asleep(tools=["t"])
    stream = Outbox()
    world.session(stream)
    world.call(Caller("test"), params={"name": "t"}, level="debug")
    told = world.open(tools=["t"])
    for line in told:
        if "id" in line:
            world.answer(line, {})
    world.notice("message", level="debug", data="later")

    assert [line["params"]["level"] for line in told if line["method"] == "logging/setLevel"] == ["debug"]
    assert stream.methods == []


def test_a_child_that_does_not_wake_sleeps_no_more():
    """Its lists would else be there, and /readyz good, while every call fails."""
    world = asleep(tools=["t"])
    world.request(world.session())
    world.die("cannot start 'npx'")

    assert not world.relay.is_asleep
    assert world.relay.reason == "cannot start 'npx'"


def test_a_child_that_was_kept_answers_before_its_first_start():
    kept = World(is_open=False)
    kept.open(tools=[{"name": "t", "annotations": {"readOnlyHint": True}}])
    content = kept.relay.lists.dump("id")
    world = World(is_open=False)
    world.relay.remember(world.relay.lists.load(content, "id"))
    outbox = world.request(world.session(), "tools/list")

    assert outbox.answers[0]["result"]["tools"][0]["name"] == "t"
    assert world.relay.catalogue.of(Raw(b'"t"'))[0] == "t"
    assert isinstance(world.relay.facts, Facts)


# -- when all of it is known ---------------------------------------------------------------------------------------------------------


def test_it_is_told_once_all_lists_are_known():
    world = World(is_open=False)
    world.answer(world.spawn(), {"capabilities": ALL})
    _, *questions = world.sent()
    assert [question["method"] for question in questions] == list(KEYS)
    for question in questions:
        assert world.told_learned == 0
        world.answer(question, {KEYS[question["method"]]: []})

    assert world.told_learned == 1


def test_a_list_that_the_child_refuses_does_not_keep_the_others_from_being_kept():
    world = World(is_open=False)
    world.answer(world.spawn(), {"capabilities": ALL})
    for question in world.sent()[1:]:
        error = question["method"] == "resources/templates/list"
        world.answer(question, *() if error else ({},), **{"code": -32601, "message": "x"} if error else {})

    assert world.told_learned == 1


def test_that_the_tools_will_not_be_known_is_known():
    """So that no call waits for them: while they are asked for, and before there is a child, they may yet come."""
    world = World(is_open=False, capabilities={"tools": {}})
    learning = world.relay.learning
    handshake = world.spawn()
    assert not learning.has_failed
    world.answer(handshake, {"capabilities": {"tools": {}}})
    *_, question = world.sent()
    assert not learning.has_failed
    world.answer(question, code=-32603, message="upstream is down")
    assert learning.has_failed
    world.die()
    assert not learning.has_failed
    world.open(["a"])

    assert not learning.has_failed


def test_who_does_not_wait_any_more_is_not_told():
    world = World(is_open=False)
    world.answer(world.spawn(), {"capabilities": ALL})
    told = []
    learning = world.relay.learning
    waits, left = (lambda: told.append("waits")), (lambda: told.append("left"))
    learning.when_told(waits)
    learning.when_told(left)
    learning.forget(left)
    world.answer_own()

    assert (told, learning._waiting) == (["waits"], [])


def test_a_child_that_dies_while_it_is_read_tells_nothing():
    world = World(is_open=False)
    world.answer(world.spawn(), {"capabilities": ALL})
    world.die()

    assert world.told_learned == 0


def test_old_questions_are_not_asked_of_the_next_child():
    """They waited for a slot; the new child's lists are read anyway."""
    world = World(is_open=False, max_in_flight=1)
    world.answer(world.spawn(), {"capabilities": ALL})
    world.sent()
    world.die()
    world.answer(world.spawn(), {"capabilities": ALL})
    asked = []
    while lines := world.sent():
        for line in lines:
            asked.append(line["method"])
            if line["method"] in KEYS:
                world.answer(line, {})

    assert asked == ["notifications/initialized", *KEYS]


def test_of_an_own_child_only_the_tools_are_read():
    """Its lists are never asked of memory; tool names are for metrics."""
    world = World(own=True, is_open=False)
    world.answer(world.spawn(), {"capabilities": ALL})

    assert [line["method"] for line in world.sent()] == ["notifications/initialized", "tools/list"]
