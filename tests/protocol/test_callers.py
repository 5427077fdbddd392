"""Nothing of one caller reaches another one through the child that they share: by no spelling, and not late either."""

import itertools
import json
import random

import msgspec
import pytest
from world import ENVELOPE, Outbox, World

from bridge.failure import Failure
from bridge.protocol import envelope, spelling
from bridge.protocol.asks import is_declared
from bridge.protocol.envelope import Envelope
from bridge.protocol.eras import header_rules
from bridge.protocol.eras.caller import Caller
from bridge.protocol.eras.tasks import Tasks
from bridge.protocol.mirrored_headers import mismatch
from bridge.protocol.profile import profile


def put_right(params: bytes, method: str = "tools/call") -> bytes:
    message = Envelope(method=method, params=msgspec.Raw(params))
    spelling.modern_params(message)
    return bytes(message.params)


@pytest.mark.parametrize(
    ("method", "given", "expected"),
    [
        ("tasks/get", rb'{"taskId":"mine","TaskId":"hers"}', b'{"taskId":"mine"}'),
        ("tasks/get", rb'{"TASKID":"hers","taskId":"mine"}', b'{"taskId":"mine"}'),
        ("tasks/get", rb'{"taskId":"mine","task\u0049d":"hers"}', b'{"taskId":"hers"}'),
        ("tasks/get", rb'{"task\u0049d":"hers"}', b'{"taskId":"hers"}'),
        ("tasks/get", '{"taſkId":"hers","taskId":"mine","taskID":"hers"}'.encode(), b'{"taskId":"mine"}'),
        ("tasks/get", rb'{"tas\u212aId":"hers","taskId":"mine"}', b'{"taskId":"mine"}'),
        ("tools/call", rb'{"name":"a","Name":"b","arguments":{"Name":1}}', b'{"name":"a","arguments":{"Name":1}}'),
        ("tools/call", rb'{"name":"a","_META":{"progressToken":3}}', b'{"name":"a"}'),
        ("tools/call", rb'{"name":"a", "_meta":{"a":1}, "_meta":{"b": 1}}', b'{"name":"a","_meta":{"b": 1}}'),
        ("tools/list", rb'{"Cursor":"2"}', b"{}"),
        ("tools/list", '{"curſor":"2"}'.encode(), b"{}"),
        ("resources/unsubscribe", rb'{"uri":"a:","URI":"b:"}', b'{"uri":"a:"}'),
        ("logging/setLevel", rb'{"level":"info","LeveL":"emergency"}', b'{"level":"info"}'),
        ("subscriptions/listen", rb'{"Notifications":{"taskIds":["hers"]},"notifications":{}}', b'{"notifications":{}}'),
        ("x/own", rb'{"_Meta":{},"Name":1,"name":2}', b'{"Name":1,"name":2}'),
    ],
)
def test_a_member_that_decides_is_there_once_and_spelled_as_it_should(method, given, expected):
    assert put_right(given, method) == expected


@pytest.mark.parametrize(
    "params",
    [
        b"{}",
        b'{"name":"a"}',
        b'{"name":"a","arguments":{"Name":1,"name":2,"\\u006eame":3}}',
        b'{ "name" : "a",\t"arguments":{"a" :1.50}}',
        b'{"arguments":{},"_meta":{"a":1e2},"name":"\\u0061"}',
        b'{"name":"a","task":{"ttl":1},"x":[ ]}',
    ],
)
def test_what_is_right_stays_byte_for_byte(params):
    assert put_right(params) == params


def test_whatever_is_sent_the_child_finds_what_we_have_decided_by_however_it_reads():
    """Readers that take the first, the last, or any case, as Go does, all find the same."""
    dice = random.Random(15)
    spellings = (
        "name",
        "Name",
        "NAME",
        r"n\u0061me",
        r"\u004eame",
        "_meta",
        "_META",
        r"\u005fmeta",
        "uri",
        "URI",
        "arguments",
        "cursor",
        "curſor",
        "x",
    )
    for _ in range(3000):
        white = dice.choice(("", "", " ", "\n "))
        members = [f'{white}"{dice.choice(spellings)}"{white}:{white}"{number}"' for number in range(dice.randint(0, 5))]
        message = Envelope(method="tools/call", params=msgspec.Raw(("{" + ",".join(members) + white + "}").encode()))
        decided = spelling.params(message)
        pairs = json.loads(bytes(message.params), object_pairs_hook=list)
        for name, value in (("name", decided.name), ("_meta", decided.meta), ("uri", decided.uri)):
            found = [text for key, text in pairs if key.casefold() == name]

            assert found == ([json.loads(bytes(value))] if value else []), members


# Progress


@pytest.mark.parametrize(
    "meta",
    [
        b'"_META":{"progressToken":%d}',
        b'"_meta":{"ProgressToken":%d}',
        rb'"_meta":{"progress\u0054oken":%d,"PROGRESSTOKEN":%d}',
        b'"_meta":{"progressToken":"mine","progresstoken":%d}',
        '"_meta":{"progreſſToKen":%d}'.encode(),
        b'"_meta":{"progressToken":1},"_Meta":{"progressToken":%d}',
    ],
)
def test_no_spelling_of_a_progress_token_gives_the_child_one_that_is_another_callers(meta):
    world = World()
    hers = world.request(world.session(), "tools/call", {"name": "x", "_meta": {"progressToken": "hers"}}, id=1)
    target = world.sent()[-1]["id"]
    world.request(world.session(), "tools/call", b'{"name":"x",%b}' % (meta % ((target,) * meta.count(b"%d"))), id=1)
    sent = world.sent()[-1]
    tokens = [
        token
        for key, value in sent["params"].items()
        if key.casefold() == "_meta"
        for name, token in value.items()
        if name.casefold() == "progresstoken"
    ]

    assert set(tokens) <= {sent["id"]}
    assert hers.raw == []


def call(world: World, caller: Caller, members: dict, level: str = "") -> Outbox:
    """A modern client's call."""
    meta = {**ENVELOPE, **members.get("_meta", {})}
    message = Envelope(id=msgspec.Raw(b"1"), method="tools/call", params=msgspec.Raw(json.dumps({**members, "_meta": meta}).encode()))
    found, outbox = spelling.modern_params(message), Outbox()
    world.relay.call(caller, message, found, envelope.peek_meta(found.meta).progressToken, level, outbox, world.now)
    return outbox


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_modern_callers_token_is_ours_on_either_child(era):
    world = World(era=era)
    call(world, Caller("test"), {"name": "x", "_meta": {"progressToken": "hers", "ProgressToken": 1, "progresstoken": 2}})
    sent = world.sent()[-1]

    assert {name: token for name, token in sent["params"]["_meta"].items() if name.casefold() == "progresstoken"} == {
        "progressToken": sent["id"]
    }


# Tasks


@pytest.mark.parametrize(
    "wishes",
    [
        rb'{"notifications":{"taskIds":["hers"]}}',
        rb'{"notifications":{"task\u0049ds":["hers"]}}',
        rb'{"notifications":{"TaskIds":["hers"]}}',
        rb'{"notifications":{"taskIds":["hers"],"taskids":["hers"]}}',
        '{"notifications":{"taſkIds":["hers"]}}'.encode(),
        rb'{"Notifications":{"taskIds":["hers"]}}',
        rb'{"notifications":{},"notification\u0073":{"taskIds":["hers"]}}',
    ],
)
def test_nobody_listens_to_anothers_task_however_it_is_spelled(wishes):
    tasks = Tasks()
    tasks.record_call("alice", msgspec.Raw(b'{"resultType":"task","taskId":"hers","status":"working"}'), 0.0)
    asked = tasks.own_only("bob", msgspec.Raw(put_right(wishes, "subscriptions/listen")))

    assert b"hers" not in asked
    assert b"hers" in tasks.own_only("alice", msgspec.Raw(b'{"notifications":{"taskIds":["hers"]}}'))


def test_a_task_that_a_child_spells_oddly_has_an_owner_all_the_same():
    tasks = Tasks()
    tasks.record_call("alice", msgspec.Raw(rb'{"resultType":"t\u0061sk","task\u0049d":"hers"}'), 0.0)

    assert tasks.refusal("alice", msgspec.Raw(b'"hers"')) is None
    assert tasks.refusal("bob", msgspec.Raw(b'"hers"'))


def test_a_listen_carries_no_progress_token():
    asked = Tasks().own_only("", msgspec.Raw(b'{"_meta":{"progressToken":7,"PROGRESSTOKEN":8,"x":1},"notifications":{"taskIds":["a"]}}'))

    assert json.loads(asked) == {"_meta": {"x": 1}, "notifications": {"taskIds": ["a"]}}


# What has no address


LOG = {"method": "notifications/message", "params": {"level": "error", "data": "of alice"}}


def a_session(world: World, principal: str):
    """A session of this caller, with a stream open."""
    session = world.sessions.open("sse", world.now, principal=principal)
    world.relay.join(session)
    stream = Outbox()
    session.listen(stream)
    return session, stream


@pytest.mark.parametrize("method", ["notifications/cancelled", "notifications/initialized", "notifications/x"])
@pytest.mark.parametrize("is_alone", [True, False])
def test_nobodys_call_is_cancelled_by_a_request_that_is_called_like_a_notification(method, is_alone):
    """The SDK of Go cancels for it whatever its id is, and ids of calls at the child are small numbers."""
    world = World(own=is_alone)
    hers, line = world.ask_child(world.session(), id=1)
    his = world.request(world.owner or world.session(), method, {"requestId": line["id"]}, id=1)

    assert world.sent() == []
    assert (his.refusal.status, his.refusal.code) == (200, -32601)
    assert not hers.answers
    assert header_rules.removed(method).code == -32601


@pytest.mark.parametrize(
    "method", ["tools/call", "tasks/cancel", "initialize", "resources/unsubscribe", "logging/setLevel", "$/cancelRequest", "x"]
)
def test_no_request_reaches_the_child_without_an_id(method):
    """It would pass by whatever is asked of requests: which tools are hidden, whose task it is, how many there may be at once."""
    world = World()
    world.relay.notify(
        world.session(), envelope.from_client(json.dumps({"jsonrpc": "2.0", "method": method, "params": {"name": "hidden"}}).encode()), 0
    )

    assert world.sent() == []
    assert world.counts.strays["request_without_id"] == 1


def test_late_words_of_a_shared_child_are_for_nobody_once_it_knows_two_callers():
    world = World()
    alice, her_stream = a_session(world, "alice")
    bob, his_stream = a_session(world, "bob")
    world.request(alice, "tools/call", {"name": "x"}, id=1)
    world.answer(world.sent()[-1], {})
    world.hear(LOG)  # alice's call is over
    his = world.request(bob, "tools/call", {"name": "x"}, id=1)
    world.hear(LOG)  # and bob's is the only one under way

    assert her_stream.raw == his_stream.raw == his.raw == []
    assert world.counts.drops["unattributable"] == 2


def test_a_caller_who_has_left_is_not_forgotten_as_long_as_its_child_lives():
    world = World()
    alice, _ = a_session(world, "alice")
    world.request(alice, "tools/call", {"name": "x"}, id=1)
    world.answer(world.sent()[-1], {})
    world.relay.leave(alice, world.now)
    _, his_stream = a_session(world, "bob")
    world.hear(LOG)
    world.relay.lost(Failure("it died"), world.now)
    world.open()
    world.hear(LOG)

    assert len(his_stream.raw) == 1  # of the new child, which knows him alone


@pytest.mark.parametrize("principals", [("alice", "alice"), ("", "")])
def test_where_all_are_one_caller_they_hear_what_has_no_owner(principals):
    world = World()
    streams = [a_session(world, principal)[1] for principal in principals]
    world.hear(LOG)

    assert [len(stream.raw) for stream in streams] == [1, 1]


def test_whatever_happens_in_whatever_order_no_message_crosses_callers():
    """Alice and Bob share a child that says all kinds of things at all kinds of moments. Each thing it says is about one of
    them, as its text says: the other one must not have got it, on any stream."""
    for seed in range(150):
        dice = random.Random(seed)
        world = World(era=dice.choice(("legacy", "legacy", "modern")))
        people = {name: [a_session(world, name) for _ in range(dice.randint(1, 2))] for name in ("alice", "bob")}
        heard = {name: [stream for _, stream in pairs] for name, pairs in people.items()}
        callers = {name: Caller("test", name) for name in people}  # their modern clients
        ids, open_calls = itertools.count(1), []
        world.sent()
        for _ in range(40):
            name = dice.choice(("alice", "bob"))
            deed = dice.randrange(6)
            if deed == 0:
                session, _ = dice.choice(people[name])
                token = dice.choice(
                    ({}, {"progressToken": "t"}, {"ProgressToken": dice.randint(1, 60)}, {"progress\u0054oken": dice.randint(1, 60)})
                )
                twin = dice.choice(("", "_META", "_Meta"))
                members = {"name": "x", "_meta": token} | ({twin: {"progressToken": dice.randint(1, 60)}} if twin else {})
                if dice.random() < 0.5:
                    heard[name].append(world.request(session, "tools/call", members, id=next(ids)))
                else:
                    heard[name].append(call(world, callers[name], members, dice.choice(("", "debug"))))
                lines = [line for line in world.sent() if line.get("method") == "tools/call"]
                open_calls += [(line, name) for line in lines]
            elif deed == 1 and open_calls:
                line, owner = open_calls.pop(dice.randrange(len(open_calls)))
                world.hear({"id": line["id"], "result": {"content": [], "of": owner}})
            elif deed == 2 and open_calls:
                line, owner = dice.choice(open_calls)
                found = [
                    value
                    for key, meta in line["params"].items()
                    if key.casefold() == "_meta"
                    for inner, value in meta.items()
                    if inner.casefold() == "progresstoken"
                ]
                for token in found:  # all that a server could take for the token of this call
                    world.hear(
                        {"method": "notifications/progress", "params": {"progressToken": token, "progress": 1, "message": f"of {owner}"}}
                    )
            elif deed == 3:
                world.hear({"method": "notifications/message", "params": {"level": "error", "data": f"of {name}"}})
            elif deed == 4:
                world.hear({"method": "notifications/x-own", "params": {"data": f"of {name}"}})
            elif deed == 5:
                session, _ = dice.choice(people[name])
                world.request(session, "resources/subscribe", {"uri": f"of {name}:", "URI": "of bob:"}, id=next(ids))
                world.hear({"method": "notifications/resources/updated", "params": {"uri": f"of {name}:"}})

        for name, other in (("alice", "bob"), ("bob", "alice")):
            got = b"".join(message for box in heard[name] for message in (*box.raw, *box.raw_answers))
            assert b"of " + other.encode() not in got, seed


def test_a_list_of_one_callers_own_child_is_nobody_elses_and_that_of_the_shared_child_is_everybodys():
    """LiteLLM gets the last good list where a child fails."""
    shared = profile("litellm")
    alice, bob = shared.for_one(), shared.for_one()

    def listed(name):
        return Envelope(result=msgspec.Raw(b'{"tools":[{"name":"%b","inputSchema":{"type":"object"}}]}' % name))

    alice.record_list(b"", listed(b"of_alice"))

    assert b"of_alice" in alice.last_list(b"1", b"")
    assert bob.last_list(b"1", b"") is shared.last_list(b"1", b"") is None
    shared.record_list(b"", listed(b"of_all"))
    assert b"of_alice" in alice.last_list(b"1", b"") and b"of_all" in bob.last_list(b"1", b"")


@pytest.mark.parametrize("mode", [b'"url"', rb'"ur\u006c"'])
def test_a_client_that_takes_forms_only_is_not_asked_for_a_url_however_it_is_spelled(mode):
    assert not is_declared({"elicitation": msgspec.Raw(b'{"form":{}}')}, "elicitation", {"mode": msgspec.Raw(mode)})


@pytest.mark.parametrize(
    ("arguments", "is_refused"),
    [
        (b'{"region":"eu"}', False),
        (rb'{"gr\u00f6\u00dfe":1,"region":"eu","regions":2}', False),
        (rb'{ "r\u0065gion" : "eu" }', False),
        (b'{"region":"eu","Region":"us"}', True),
        (b'{"region":"us","region":"eu"}', True),
        (rb'{"region":"us","re\u0067ion":"eu"}', True),
        (b'{"REGION":"us"}', True),
        (b'{"region":"eu","x":{"Region":"us","region":1}}', False),
    ],
)
def test_an_argument_that_a_header_mirrors_is_the_one_that_the_server_finds(arguments, is_refused):
    """A proxy routes by the header: nobody gets another region by spelling it twice."""
    why = mismatch(((("region",), "Region", "string"),), msgspec.Raw(arguments), {b"mcp-param-region": b"eu"}, frozenset())

    assert bool(why) is is_refused, why
