"""Who gets a message: answers, progress, news and logs of a child that several sessions share; and a child that is lost."""

import json

import pytest
from world import ALL, Outbox, World

from bridge.protocol import envelope

LOG = {"level": "info", "data": "x"}


@pytest.fixture
def world():
    return World()


# -- ids and answers ------------------------------------------------------------------------------------------------------


def test_two_clients_with_the_same_id_get_their_own_answers(world):
    """Edge case 16."""
    calls = [world.ask_child(world.session(), params={"name": f"t{n}"}, id=1) for n in range(3)]

    assert len({line["id"] for _, line in calls}) == 3
    for outbox, line in reversed(calls):
        world.answer(line, {"for": line["params"]["name"]})
    assert [outbox.answers for outbox, _ in calls] == [[{"jsonrpc": "2.0", "id": 1, "result": {"for": f"t{n}"}}] for n in range(3)]


def test_one_client_may_use_1_and_the_string_1_at_once(world):
    """Edge case 15: an SDK that calls str() on ids mixes these up."""
    session = world.session()
    number, first = world.ask_child(session, id=1)
    string, second = world.ask_child(session, id="1")
    world.answer(second, "b")
    world.answer(first, "a")

    assert number.answers == [{"jsonrpc": "2.0", "id": 1, "result": "a"}]
    assert string.answers == [{"jsonrpc": "2.0", "id": "1", "result": "b"}]


@pytest.mark.parametrize("id", [b"0", b"-1", b"%d" % 2**70, b"%d" % (2**53 + 1), b'"%b"' % (b"x" * 300), b'""', rb'"\u00e9\"\\"'])
def test_an_id_comes_back_as_it_went(world, id):
    """Edge case 19; 0 is falsy in many languages."""
    outbox, line = world.ask_child(world.session(), id=id)
    world.answer(line)

    assert isinstance(line["id"], int)
    assert outbox.raw_answers == [b'{"jsonrpc":"2.0","id":%b,"result":{}}' % id]


def test_an_id_that_is_in_use_is_refused_and_the_first_call_goes_on(world):
    session = world.session()
    first, line = world.ask_child(session, id="é")
    again = world.request(session, id=b'"\\u00e9"')

    assert again.refusal.code == -32600
    assert (again.answers, world.sent()) == ([], [])
    world.answer(line, "done")
    assert first.answers[0]["result"] == "done"
    reused, line = world.ask_child(session, id="é")
    world.answer(line, "second")
    assert reused.answers[0]["result"] == "second"


@pytest.mark.parametrize("form", ["%d", '"%d"'])
def test_a_child_may_send_its_id_back_as_a_string(world, form):
    outbox, line = world.ask_child(world.session())
    world.hear(b'{"jsonrpc":"2.0","result":{},"id":%b}' % (form % line["id"]).encode())

    assert len(outbox.answers) == 1


@pytest.mark.parametrize("id", [b"null", b"987654321", b'"who"', b"1.0", b"{}", b"-1", b"9" * 5000, b'"\\u0031"', b"true"])
def test_answers_to_nobody_are_dropped_and_counted(world, id):
    outbox, _ = world.ask_child(world.session())
    world.hear(b'{"jsonrpc":"2.0","id":%b,"result":{}}' % id)

    assert outbox.answers == []
    assert world.counts.strays["answer"] == 1


def test_a_second_answer_is_dropped(world):
    session = world.session()
    outbox, line = world.ask_child(session, id=5)
    world.answer(line, "first")
    again, _ = world.ask_child(session, id=5)
    world.answer(line, "second")

    assert [answer["result"] for answer in outbox.answers] == ["first"]
    assert again.answers == []


def test_errors_are_answers_too(world):
    outbox, line = world.ask_child(world.session())
    world.hear(b'{"id":%d,"jsonrpc":"2.0","error":{"message":"no" , "code":-1}}' % line["id"])

    assert outbox.raw_answers == [b'{"jsonrpc":"2.0","id":1,"error":{"message":"no" , "code":-1}}']


def test_ping_is_answered_without_the_child(world):
    pong = world.request(world.session(), "ping", id="p")

    assert pong.answers == [{"jsonrpc": "2.0", "id": "p", "result": {}}]
    assert world.sent() == []


def test_a_client_can_ping_while_the_child_starts():
    world = World(is_open=False)

    assert world.request(world.session(), "ping").answers


def test_a_child_that_pings_is_answered_at_once(world):
    """Edge case 42; its ids start at 0."""
    world.hear({"id": 0, "method": "ping"})

    assert world.sent() == [{"jsonrpc": "2.0", "id": 0, "result": {}}]


@pytest.mark.parametrize("method", ["tasks/get", "tasks/list", "tasks/result", "tasks/cancel"])
def test_tasks_of_a_shared_child_are_open_to_nobody(world, method):
    """Their ids can be guessed across sessions."""
    assert world.request(world.session(), method, {"taskId": "1"}).refusal.code == -32601
    assert world.sent() == []


def test_tasks_of_an_own_child_pass():
    world = World(own=True)

    assert world.ask_child(world.owner, "tasks/get", {"taskId": "1"})[1]["method"] == "tasks/get"


# -- bytes ---------------------------------------------------------------------------------------------------------------------


def test_payloads_pass_byte_for_byte(world):
    """Edge cases 32 and 33."""
    payload = rb'{"b":1e400, "a" : [1e2,123456789012345678901234567890],"s":"\u0041\/"}'
    outbox = world.request(world.session(), "x/unknown", payload)

    assert payload in world.lines[0]
    line = world.sent()[0]
    world.hear(b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (line["id"], payload))
    assert outbox.raw_answers == [b'{"jsonrpc":"2.0","id":1,"result":%b}' % payload]


def test_a_token_changes_its_own_place_only(world):
    world.request(
        world.session(), "x", b'{"z":1e400,"_meta":{"a":1e2,"progressToken":"t","\xc3\xa9":[1 ,2]},"b": {"c":01}}'.replace(b"01", b"1")
    )
    line = world.lines[0]
    world.sent()

    assert b'"params":{"z":1e400,"_meta":{"a":1e2,"progressToken":%d,"\xc3\xa9":[1 ,2]},"b":{"c":1}}' % json.loads(line)["id"] in line


@pytest.mark.parametrize("params", [b'{\n"a":\r\n1}', b'{"_meta":{\r"progressToken":\n1}}'])
def test_the_child_always_gets_one_line(world, params):
    """Edge case 31; `sent` checks."""
    world.ask_child(world.session(), params=params)


@pytest.mark.parametrize("method", ["notifications/x", "notifications/cancelled", "notifications/\n\r"])
def test_a_notification_is_one_line_too(world, method):
    session = world.session()
    world.ask_child(session)
    body = b'{"jsonrpc":"2.0",\r\n"method":%b,"params":{"requestId":1,\n"reason":\r{\n"a":1}}}' % json.dumps(method).encode()
    world.relay.notify(session, envelope.from_client(body), world.now)

    assert len(world.sent()) == 1


@pytest.mark.parametrize(
    ("result", "client_gets"),
    [
        (rb'"lone \ud800"', rb'"lone \ufffd"'),
        (b'"bad \xff\xc3"', '"bad \ufffd\ufffd"'.encode()),
        ('"\u2028\x7f"'.encode(), '"\u2028\x7f"'.encode()),
        (b'{"a":\r1}', b'{"a":\r1}'),
    ],
)
def test_odd_text_of_the_child_is_delivered(world, result, client_gets):
    """Edge case 34."""
    outbox, line = world.ask_child(world.session())
    world.hear(b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (line["id"], result))

    assert outbox.raw_answers == [b'{"jsonrpc":"2.0","id":1,"result":%b}' % client_gets]


# -- progress ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [7, "7", 0, "", 'é"\n', 2**70])
def test_each_session_sees_its_own_progress_with_its_own_token(world, token):
    """Edge case 20."""
    calls = [world.ask_child(world.session(), params={"_meta": {"progressToken": token}}) for _ in range(2)]
    for step, (_, line) in enumerate(calls):
        world.notice("progress", progressToken=line["params"]["_meta"]["progressToken"], progress=step)

    for step, (outbox, line) in enumerate(calls):
        assert outbox.messages == [
            {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": step}}
        ]
        world.answer(line)
        world.notice("progress", progressToken=line["params"]["_meta"]["progressToken"], progress=9)
        assert len(outbox.messages) == 1, "none after the answer"


def test_progress_keeps_the_bytes_of_its_other_members(world):
    outbox, line = world.ask_child(world.session(), params={"_meta": {"progressToken": 1}})
    world.hear(b'{"method":"notifications/progress","params":{"total":1e2,"progressToken":%d,"x":{"a" : 1e400}}}' % line["id"])

    assert outbox.raw == [b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"total":1e2,"progressToken":1,"x":{"a" : 1e400}}}']


@pytest.mark.parametrize(
    "params",
    [b"{}", b"[]", b"null", b'{"progressToken":1e400}', b'{"progressToken":"7"}', b'{"progressToken":null}', b'{"progressToken":{}}'],
)
def test_progress_for_nobody_is_dropped(world, params):
    outbox, _ = world.ask_child(world.session(), params={"_meta": {"progressToken": 7}})
    world.hear(b'{"method":"notifications/progress","params":%b}' % params)

    assert outbox.messages == []
    assert world.counts.strays["progress"] == 1


def test_progress_of_a_call_that_asked_for_none_is_dropped(world):
    outbox, line = world.ask_child(world.session())
    world.notice("progress", progressToken=line["id"], progress=1)

    assert outbox.messages == []


# -- news ------------------------------------------------------------------------------------------------------------------------


def test_a_list_change_reaches_each_session_once(world):
    """Edge case 45: whatever streams are open."""
    posts, gets = [], []
    for _ in range(3):
        gets += [Outbox(), Outbox()]
        session = world.session(gets[-2])
        session.listen(gets[-1])
        posts.append(world.ask_child(session)[0])
    world.notice("prompts/list_changed")

    assert [outbox.methods for outbox in gets] == [[], ["notifications/prompts/list_changed"]] * 3
    assert not any(outbox.messages for outbox in posts)


def test_a_list_change_waits_for_a_stream_as_one_piece(world):
    session = world.session()
    for _ in range(5):
        world.notice("tools/list_changed")
        world.notice("resources/list_changed")
        world.answer_own()
    stream, second = Outbox(), Outbox()
    session.listen(stream)
    session.listen(second)

    assert sorted(stream.methods) == ["notifications/resources/list_changed", "notifications/tools/list_changed"]
    assert second.messages == []


def test_a_flood_of_list_changes_does_not_flood_the_child(world):
    """Each one makes us read the list again, but not before the last reading is over; and the last change is not missed."""
    for _ in range(100):
        world.notice("tools/list_changed")
    first = world.sent()

    assert [line["method"] for line in first] == ["tools/list"]
    world.answer(first[0], {"tools": [{"name": "old"}]})
    (again,) = world.sent()
    world.answer(again, {"tools": [{"name": "new"}]})
    assert world.sent() == []
    assert list(world.relay.catalogue.names.values()) == ["new"]


def test_the_kind_profile_keeps_list_changes_to_itself():
    """LiteLLM 1.109 opens four times the sessions where they are advertised."""
    world = World(profile_name="litellm")
    stream = Outbox()
    world.session(stream)
    world.notice("prompts/list_changed")

    assert stream.messages == []


# -- logs and other things without an address ------------------------------------------------------------------------------------


def test_a_log_goes_to_the_only_call_under_way(world):
    """Edge case 44: on its own stream, because most clients open no other."""
    stream = Outbox()
    other, one = world.session(stream), world.session()
    call, line = world.ask_child(one)
    world.notice("message", **LOG)
    world.answer(line)

    assert call.messages == [{"jsonrpc": "2.0", "method": "notifications/message", "params": LOG}]
    assert stream.messages == []
    assert other.waiting == {}


def test_a_log_goes_to_the_only_session_with_calls_under_way(world):
    other, one = world.session(Outbox()), world.session()
    first, _ = world.ask_child(one, id=1)
    second, _ = world.ask_child(one, id=2)
    world.notice("message", **LOG)

    assert (first.messages, len(second.messages)) == ([], 1)
    assert other.streams[0].messages == []


def test_a_log_while_two_sessions_call_is_dropped_and_counted(world):
    """It would show one client another's business."""
    streams = [Outbox(), Outbox()]
    calls = [world.ask_child(world.session(stream))[0] for stream in streams]
    world.notice("message", **LOG)
    world.notice("something/else", a=1)

    assert not any(outbox.messages for outbox in [*streams, *calls])
    assert world.counts.drops["unattributable"] == 2


def test_a_call_that_was_given_up_but_still_runs_makes_logs_unattributable(world):
    streams = [Outbox(), Outbox()]
    one, two = map(world.session, streams)
    world.ask_child(one)
    world.notify(one, "cancelled", requestId=1)
    world.sent()
    call, _ = world.ask_child(two)
    world.notice("message", **LOG)

    assert not any(outbox.messages for outbox in [*streams, call])


def test_a_log_while_nothing_is_under_way_goes_to_all_streams(world):
    streams = [Outbox(), Outbox()]
    for stream in streams:
        world.session(stream)
    world.session()
    world.notice("message", **LOG)

    assert [len(stream.messages) for stream in streams] == [1, 1]
    assert world.counts.drops["no_stream"] == 1


def test_our_own_questions_make_no_log_unattributable(world):
    """While only the bridge itself asks (tools/list after a change), a log is nobody's secret."""
    streams = [Outbox(), Outbox()]
    for stream in streams:
        world.session(stream)
    world.notice("tools/list_changed")
    world.notice("message", **LOG)

    assert [stream.methods for stream in streams] == [["notifications/tools/list_changed", "notifications/message"]] * 2


def test_the_logs_of_an_own_child_wait_for_a_stream_and_are_bounded():
    world = World(own=True)
    for number in range(300):
        world.notice("message", level="info", data=number)
    stream = Outbox()
    world.owner.listen(stream)

    assert [message["params"]["data"] for message in stream.messages] == list(range(44, 300))
    assert world.owner.dropped == 44


# -- from clients to nobody in particular -------------------------------------------------------------------------------------------


def test_initialized_is_the_bridges_own_affair(world):
    session = world.session()
    world.notify(session, "initialized")

    assert session.initialized
    assert world.sent() == []


def test_unknown_notifications_pass(world):
    """Edge case 37."""
    world.notify(world.session(), "x/unknown", a=1)

    assert world.sent() == [{"jsonrpc": "2.0", "method": "notifications/x/unknown", "params": {"a": 1}}]


def test_a_notification_without_a_child_is_counted():
    world = World(is_open=False)
    world.notify(world.session(), "x")

    assert world.sent() == []
    assert world.counts.strays["notification_without_child"] == 1


@pytest.mark.parametrize("method", ["roots/list_changed", "progress", "tasks/status"])
def test_what_only_an_owner_may_say_does_not_reach_a_shared_child(world, method):
    world.notify(world.session(), method)

    assert world.sent() == []


def test_an_answer_that_nobody_asked_for_is_dropped(world):
    """Edge case 38."""
    assert world.respond(world.session(), 0, result={}) is False
    assert world.sent() == []


# -- the child is lost ------------------------------------------------------------------------------------------------------------


def test_what_was_written_is_answered_and_what_was_not_waits_for_the_next_child():
    """Edge case 50: sessions stay."""
    world = World(max_in_flight=1)
    one, two = world.session(), world.session()
    written, _ = world.ask_child(one)
    waiting = world.request(two)
    world.die("the server process exited (code 3)")

    assert written.error == {"code": -32603, "message": "the server process exited (code 3)"}
    assert waiting.answers == []
    world.open()


def test_a_waiting_request_goes_to_the_next_child():
    world = World(max_in_flight=1, is_open=True)
    one = world.session()
    world.ask_child(one, id=1)
    waiting = world.request(one, params={"name": "later"}, id=2)
    world.die()
    world.relay.open(b"{}", world.now, world._opened, world._refused)
    world.answer(world.sent()[0], {"capabilities": {}})
    lines = world.sent()

    assert [line["method"] for line in lines] == ["notifications/initialized", "tools/call"]
    world.answer(lines[1], "late but there")
    assert waiting.answers == [{"jsonrpc": "2.0", "id": 2, "result": "late but there"}]


def test_requests_that_wait_are_answered_if_the_start_fails_too():
    """Edge case 51."""
    world = World(is_open=False)
    waiting = world.request(world.session())
    world.die("cannot start 'nope'")

    assert waiting.error["message"] == "cannot start 'nope'"
    assert world.counts.in_flight == 0


def test_all_are_answered_when_it_is_lost_for_good():
    world = World(max_in_flight=1)
    session = world.session()
    outboxes = [world.request(session, id=n) for n in range(3)]
    world.die("FATAL", for_good=True)

    assert [outbox.error["message"] for outbox in outboxes] == ["FATAL"] * 3
    assert (world.counts.in_flight, session.exchanges) == (0, {})


def test_a_new_child_hears_initialized_first_and_then_what_the_old_one_knew(world):
    """docs/protocol.md 4, "Child crash"; 2.2: Rust servers refuse anything before `initialized`."""
    one, two = world.session(), world.session()
    for session, uri in ((one, "test://b"), (two, "test://b"), (two, "test://a")):
        world.answer(world.ask_child(session, "resources/subscribe", {"uri": uri})[1])
    world.answer(world.ask_child(one, "logging/setLevel", {"level": "error"})[1])
    world.die()
    world.relay.open(b"{}", world.now, world._opened, world._refused)
    world.answer(world.sent()[0], {"capabilities": ALL})
    lines = [(line["method"], line.get("params")) for line in world.sent()]

    assert lines == [
        ("notifications/initialized", None),
        ("logging/setLevel", {"level": "info"}),
        ("resources/subscribe", {"uri": "test://a"}),
        ("resources/subscribe", {"uri": "test://b"}),
        *((f"{kind}/list", None) for kind in ("tools", "prompts", "resources", "resources/templates")),
    ]


def test_a_new_child_with_other_tools_is_news(world):
    stream = Outbox()
    world.session(stream)
    world.die()
    world.open(tools=["new"])

    assert stream.methods == ["notifications/tools/list_changed"]


def test_late_words_of_a_dead_child_are_nobodys(world):
    session = world.session()
    outbox, line = world.ask_child(session)
    world.die()
    world.open()
    again, _ = world.ask_child(session)
    world.answer(line, "too late")

    assert len(outbox.answers) == 1
    assert again.answers == []


# -- the handshake ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b'"error":{"code":-32022,"message":"too old"}',
        b'"error":"no"',
        b'"error":null',
        b'"result":null',
        b'"result":[]',
        b'"result":5',
        b'"result":{"protocolVersion":5}',
        b'"result":{"capabilities":[]}',
        b'"result":{"serverInfo":5}',
        b'"result":{"serverInfo":{"name":5}}',
    ],
)
def test_a_handshake_that_is_none_is_refused_with_a_reason(answer):
    """Edge case 54."""
    world = World(is_open=False)
    world.relay.open(b"{}", world.now, world._opened, world._refused)
    world.hear(b'{"jsonrpc":"2.0","id":%d,%b}' % (world.sent()[0]["id"], answer))

    assert len(world.refused) == 1
    assert (world.opened, world.relay.is_open, world.sent()) == (0, False, [])


@pytest.mark.parametrize(
    "capabilities",
    [
        '{"tools":null,"logging":null,"resources":false}',
        '{"tools":true}',
        '{"tools":[]}',
        '{"tools":5,"prompts":"x"}',
        '{"x":%s}' % ("[" * 900 + "]" * 900),
    ],
)
def test_odd_capabilities_break_nothing(capabilities):
    world = World(is_open=False)
    world.relay.open(b"{}", world.now, world._opened, world._refused)
    world.hear(b'{"jsonrpc":"2.0","id":%d,"result":{"capabilities":%b}}' % (world.sent()[0]["id"], capabilities.encode()))

    assert world.opened + len(world.refused) == 1
    if world.opened:
        for hide in (False, True):
            json.loads(world.relay.facts.answer("2025-06-18", hide_tasks=hide, hide_list_changed=hide)[1])


def test_before_the_handshake_is_over_the_child_gets_nothing_else():
    world = World(is_open=False)
    session = world.session()
    early = world.request(session)
    world.relay.open(b"{}", world.now, world._opened, world._refused)
    world.request(session, id=2)
    world.notice("message", **LOG)
    world.notice("tools/list_changed")
    (handshake,) = world.sent()
    world.hear({"id": 0, "method": "ping"})
    world.answer(handshake, {"capabilities": {"tools": {}}})

    assert [line.get("method", "pong") for line in world.sent()] == [
        "pong",
        "notifications/initialized",
        "tools/call",
        "tools/call",
        "tools/list",
    ]
    assert early.answers == []


def test_our_own_questions_have_their_full_time_after_a_slow_start():
    """The clock of what is asked after the handshake starts when the handshake ends."""
    world = World(is_open=False)
    world.relay.open(b"{}", world.now, world._opened, world._refused)
    (handshake,) = world.sent()
    world.now += 59
    world.answer(handshake, {"capabilities": {"tools": {}}})
    _, question = world.sent()
    world.sweep(2)
    world.answer(question, {"tools": [{"name": "x"}]})

    assert list(world.relay.catalogue.names.values()) == ["x"]


# -- lines that are too long or no JSON ------------------------------------------------------------------------------------------------

LONG = [
    b'{"jsonrpc":"2.0","id":%d,"result":{"content":"..."}}',
    b'{"id":%d,"jsonrpc":"2.0","result":"..."}',
    b' { "id" : "%d" , "result":"..."}',
    b'{"result":{"content":"..."},"jsonrpc":"2.0","id":%d}',
    b'{"result":"...","id":"%d","jsonrpc":"2.0"}\r',
    b'{"jsonrpc":"2.0","result":"...","id":%d}',
]


def ends(line: bytes, id: int) -> tuple[bytes, bytes]:
    line = (line % id).replace(b"...", b'\\"id\\":1}' * 1000)
    return line[:1024], line[-1024:]


@pytest.mark.parametrize("line", LONG)
def test_a_line_over_the_limit_fails_its_own_call_at_once(world, line):
    """Python servers write the id first, TypeScript ones last."""
    session = world.session()
    others = [world.ask_child(session, id=1)[0]]
    outbox, request = world.ask_child(session, id=2)
    world.relay.incoming.too_long(*ends(line, request["id"]), 70_000_000, world.now)

    assert "70000000 bytes" in outbox.error["message"]
    assert others[0].answers == []
    assert world.counts.in_flight == 1


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","id":%d,"method":"sampling/createMessage","params":{}}',
        b'{"method":"sampling/createMessage","params":{},"jsonrpc":"2.0","id":%d}',
        b'{"jsonrpc":"2.0","method":"notifications/message","params":{"id":%d}}',
        b"garbage",
        b'{"result":{"id":%d},"more":[]',
    ],
)
def test_a_long_line_that_is_no_answer_fails_no_call(world, line):
    """A child's own requests have ids that mean something else."""
    outbox, request = world.ask_child(world.session())
    text = line % request["id"] if b"%d" in line else line
    world.relay.incoming.too_long(text[:1024], text[-1024:], 70_000_000, world.now)

    assert outbox.answers == []


@pytest.mark.parametrize("line", LONG)
def test_a_long_late_answer_is_swallowed_like_any_other(world, line):
    session = world.session()
    outbox, request = world.ask_child(session, id=1)
    world.notify(session, "cancelled", requestId=1)
    world.sent()
    again, _ = world.ask_child(session, id=1)
    world.relay.incoming.too_long(*ends(line, request["id"]), 70_000_000, world.now)

    assert len(outbox.answers) == 1
    assert again.answers == []
    assert world.counts.in_flight == 1
    world.die()
    assert len(again.answers) == 1


@pytest.mark.parametrize("result", [b'{"value":NaN}', b"[" * 3000 + b"]" * 3000, b'{"a":1,}', b'"cut'])
def test_an_answer_that_is_no_json_fails_its_call_at_once(world, result):
    """Python's json writes NaN. Without this the client would wait for --request-timeout."""
    outbox, line = world.ask_child(world.session())
    world.hear(b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (line["id"], result))

    assert outbox.error["code"] == -32603
    assert world.counts.in_flight == 0


@pytest.mark.parametrize(
    "line", [b"", b"\r", b"hello", b'{"a":1}', b"[]", b'{"jsonrpc":"2.0","id":1}', b"\xff\xfe", b"\0", b'{"method":5}']
)
def test_noise_is_dropped_and_counted(world, line):
    """Edge case 29."""
    outbox, _ = world.ask_child(world.session())
    world.hear(line)

    assert sum(world.counts.noise.values()) >= 1
    assert outbox.answers == []
