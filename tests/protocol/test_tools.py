"""Tools that are hidden and tools that are called something else: what clients see, what they may call, what a child gets."""

import json

import pytest
from msgspec import Raw
from world import Outbox, World

from bridge.protocol.tools import BadNames, Tools

SAFE = {"name": "read", "annotations": {"readOnlyHint": True}, "inputSchema": {"type": "object"}}


def world(tools=("read", "write", "delete"), profile_name="strict", own=False, **options) -> World:
    it = World(tools=Tools(**options), profile_name=profile_name, own=own, is_open=False)
    it.open(tools)
    return it


def listed(it: World, session, params=None, id=1) -> list:
    outbox, line = it.ask_child(session, "tools/list", params, id=id)
    it.answer(line, {"tools": [{"name": name} for name in ("read", "write", "delete")]})
    return [tool["name"] for tool in outbox.answers[0]["result"]["tools"]]


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"allow": ["read"]}, ["read"]),
        ({"allow": ["re*", "*te"]}, ["read", "write", "delete"]),
        ({"deny": ["*e*t*"]}, ["read", "write"]),
        ({"allow": ["*"], "deny": ["write", "delete"]}, ["read"]),
        ({"allow": ["read", "write"], "deny": ["re*"]}, ["write"]),
        ({"allow": ["READ", "rea", "r.ad", "[r]ead", "?ead"]}, []),
        ({"rename": ["read=fetch"]}, ["fetch", "write", "delete"]),
        ({"rename": ["read=write", "write=read"]}, ["write", "read", "delete"]),
        ({"rename": ["read=write"]}, ["write", "delete"]),
        ({"rename": ["read=fetch"], "deny": ["read"]}, ["write", "delete"]),
        ({"rename": ["read=write"], "deny": ["read"]}, ["write", "delete"]),
        ({"rename": ["read=fetch"], "allow": ["fetch"]}, []),
    ],
)
def test_what_is_shown(options, expected):
    tools = Tools(**options)

    actual = [new for name in ("read", "write", "delete") if (new := tools.shown(name))]

    assert actual == expected


@pytest.mark.parametrize(
    "options",
    [
        {"allow": ["r*"]},
        {"deny": ["write"]},
        {"rename": ["read=write"]},
        {"rename": ["read=a", "write=b"], "deny": ["write"]},
        {"rename": ["read=write", "write=read"]},
    ],
)
def test_what_is_shown_is_what_may_be_called(options):
    tools = Tools(**options)

    for name in ("read", "write", "delete"):
        assert (new := tools.shown(name)) is None or tools.meant(new) == name
    for name in ("read", "write", "delete", "a", "b"):
        assert (old := tools.meant(name)) is None or tools.shown(old) == name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rename": ["a=x", "b=x"]}, "--tool-rename b=x: 'a' is renamed to 'x' already"),
        ({"rename": ["a=x", "a=y"]}, "--tool-rename a=y: 'a' is renamed to 'x' already"),
        ({"rename": ["a"]}, "--tool-rename a: expected OLD=NEW"),
        ({"rename": ["a="]}, "--tool-rename a=: expected OLD=NEW"),
        ({"rename": ["a*=b"]}, "--tool-rename a*=b: expected OLD=NEW"),
        ({"allow": [""]}, "--tool-allow '': expected the name of a tool"),
        ({"deny": [" a"]}, "--tool-deny ' a': expected the name of a tool"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(BadNames) as caught:
        Tools(**options)

    assert str(caught.value).startswith(message)


def test_what_does_not_fit_the_server_is_told_once():
    tools = Tools(allow=["read", "write", "gone", "x*"], deny=["never"], rename=["read=write", "gone=there"])

    told = tools.complaints(["read", "write"])

    assert told == [
        "--tool-rename read=write: the server has a tool 'write' of its own, which is hidden now",
        "--tool-rename gone=there: the server has no tool 'gone'",
        "--tool-allow gone: the server has no such tool",
        "--tool-allow x*: the server has no such tool",
        "--tool-deny never: the server has no such tool",
    ]
    assert tools.complaints(["read", "write"]) == []


# --- lists ------------------------------------------------------------------------------------------------------------


def test_what_is_shown_of_a_tool_keeps_its_bytes():
    """Numbers, escapes, members that nobody knows: only the name is another one."""
    kept = b'{"name":"read", "x":1.0e0,"description":"\\u00e9 \xc3\xa9","inputSchema":{"type":"object", "n":12345678901234567890}}'
    renamed = b'{"x":1.0e0,"name":"write","description":"\\u00e9","inputSchema":{"a" : 1}}'
    page = Raw(b'{"nextCursor":"2","tools":[%b,{"name":"delete"},%b],"_meta":{"a":1.50}}' % (kept, renamed))

    cut = bytes(Tools(deny=["delete"], rename=["write=put"]).page(page))

    assert cut == b'{"nextCursor":"2","tools":[%b,%b],"_meta":{"a":1.50}}' % (kept, renamed.replace(b"write", b"put"))


def test_a_list_of_which_nothing_is_hidden_is_not_touched():
    page = Raw(b'{ "tools" : [ {"name":"read"} ] }')

    assert Tools(deny=["write"]).page(page) is page


@pytest.mark.parametrize("page", [b"[]", b"{}", b'{"tools":{}}', b'{"tools":', b"null"])
def test_what_is_no_list_of_tools_is_left_to_others(page):
    assert bytes(Tools(deny=["write"]).page(Raw(page))) == page


def test_a_tool_without_a_name_is_not_shown():
    page = Raw(b'{"tools":[{"name":1},{},3,null,{"name":"read"}]}')

    assert bytes(Tools(allow=["*"]).page(page)) == b'{"tools":[{"name":"read"}]}'


@pytest.mark.parametrize("profile_name", ["strict", "litellm"])
def test_each_page_is_cut(profile_name):
    it = world(deny=["delete"], rename=["write=put"], profile_name=profile_name)
    one = it.session()

    assert listed(it, one) == ["read", "put"]
    assert listed(it, one, {"cursor": "2"}, id=2) == ["read", "put"]


def test_a_sleeping_childs_list_is_cut_and_what_is_kept_of_it_is_not():
    """Another filter after a restart must find all tools in the file."""
    it = world(deny=["delete"], rename=["write=put"])
    one = it.session()
    it.relay.sleep()

    (answer,) = it.request(one, "tools/list").answers

    assert [tool["name"] for tool in answer["result"]["tools"]] == ["read", "put"]
    assert b"delete" in it.relay.lists.dump("identity")
    assert it.sent() == []


def test_the_list_that_litellm_gets_from_a_dead_child_is_cut():
    it = world(deny=["delete"], profile_name="litellm")
    one = it.session()
    it.die(for_good=True)
    outbox = Outbox()
    it.request(one, "tools/list", outbox=outbox)
    it.die(for_good=True)

    names = [tool["name"] for tool in outbox.answers[0]["result"]["tools"]]

    assert names == ["read", "write"]


def test_a_late_list_is_cut():
    it = world(deny=["delete"], profile_name="litellm")
    one = it.session()
    first, line = it.ask_child(one, "tools/list", {"cursor": "2"})
    it.answer(line, {"tools": [{"name": "delete"}, {"name": "old"}]})
    late, line = it.ask_child(one, "tools/list", {"cursor": "2"}, id=2)
    it.sweep(2.0)
    it.answer(line, {"tools": [{"name": "delete"}, {"name": "new"}]})
    it.die(for_good=True)
    after = it.request(one, "tools/list", {"cursor": "2"}, id=3)
    it.die(for_good=True)

    names = [[tool["name"] for tool in outbox.answers[0]["result"]["tools"]] for outbox in (first, late, after)]

    assert names == [["old"], ["old"], ["new"]]


def test_an_error_of_a_list_stays():
    it = world(deny=["delete"])
    outbox, line = it.ask_child(it.session(), "tools/list")
    it.answer(line, code=-32000, message="no")

    assert outbox.error == {"code": -32000, "message": "no"}


# --- calls ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {"name": "delete"},
        {"name": "write"},
        {"name": "unheard of"},
        {},
        {"name": 1},
        {"name": None},
        None,
        {"name": ["read"]},
        {"name": ""},
        b'{"name":"delet\\u0065"}',
        b'{"name":"read","name":"delete"}',
        b'{"name":"read","nam\\u0065":"delete"}',
        {"name": "r" * 1000},
    ],
)
def test_a_call_of_a_hidden_tool_never_reaches_the_child(params):
    it = world(allow=["re*", "write"], rename=["write=put"])
    outbox = it.request(it.session(), "tools/call", params)

    assert outbox.error["code"] == -32602
    assert outbox.error["message"].startswith("Unknown tool: ")
    assert it.sent() == []
    assert it.counts.in_flight == 0
    assert it.counts.requests == {("tools/call", "(unknown)", "hidden", "legacy", "legacy"): 1}


def test_the_refusal_names_what_the_client_called():
    it = world(allow=["read"])

    assert it.request(it.session(), "tools/call", b'{"name":"d\\u00e9l"}').error == {"code": -32602, "message": "Unknown tool: dél"}


def test_litellm_hears_of_a_hidden_tool_in_a_result():
    it = world(allow=["read"], profile_name="litellm")

    (answer,) = it.request(it.session(), "tools/call", {"name": "delete"}).answers

    assert answer["result"] == {"content": [{"type": "text", "text": "Unknown tool: delete"}], "isError": True}
    assert it.sent() == []


def test_a_call_by_the_new_name_reaches_the_child_by_its_own():
    it = world(rename=["write=put"])
    raw = b'{"_meta":{"a":1.0},"arguments":{"name":"put","n":1.50,"s":"\\u00e9"},"name":"put"}'
    outbox = it.request(it.session(), "tools/call", raw)
    line = it.lines[-1]

    assert line.endswith(b'"params":{"_meta":{"a":1.0},"arguments":{"name":"put","n":1.50,"s":"\\u00e9"},"name":"write"}}\n')
    it.answer(json.loads(line), {"content": []})
    assert outbox.answers == [{"jsonrpc": "2.0", "id": 1, "result": {"content": []}}]
    assert it.counts.requests == {("tools/call", "write", "ok", "legacy", "legacy"): 1}, "metrics have the child's own names"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b'{"name":"put"}', b'{"name":"write"}'),
        (b'{ "arguments" : {"a":"put", "b":1.50} , "name" :  "put" }', b'{"arguments":{"a":"put", "b":1.50},"name":"write"}'),
        (b'{"arguments":{"put":"put"},"name":"put","_meta":{"put":[]}}', b'{"arguments":{"put":"put"},"name":"write","_meta":{"put":[]}}'),
        (b'{"name":"read","arguments":{"a":1.0,"b":"\xc3\xa9"}, "x":{}}', b'{"name":"read","arguments":{"a":1.0,"b":"\xc3\xa9"}, "x":{}}'),
        (b'{ "name":"read","arguments":{"name":1.0} }', b'{ "name":"read","arguments":{"name":1.0} }'),
        (b'{ "name":"read","a":"%b"}' % (b"a" * 3000), b'{ "name":"read","a":"%b"}' % (b"a" * 3000)),
        (b'{"name":"p\\u0075t","arguments":{"a":1.0}}', b'{"name":"write","arguments":{"a":1.0}}'),
        (b'{"\\u006eame":"put","arguments":{"a":"\\u00e9"}}', b'{"name":"write","arguments":{"a":"\\u00e9"}}'),
    ],
)
def test_only_the_name_of_a_call_is_another_one(given, expected):
    it = world(rename=["write=put"])
    it.request(it.session(), "tools/call", given)

    assert it.lines[-1].endswith(b'"params":' + expected + b"}\n")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"name":"read","n\\u0061me":"delete","name":"read"}',
        b'{"name":"read","N\\u0061me":"delete"}',
        b'{"name":"read","Name":"delete"}',
        b'{"NAME":"delete","name":"read"}',
        b'{"name":"delete","name":"read"}',
    ],
)
def test_a_second_name_does_not_reach_the_child(raw):
    """Go takes `Name` for `name`, and some parsers take the first of two: the child must not see another one than we did."""
    it = world(allow=["read"])
    it.request(it.session(), "tools/call", raw)

    assert b"delete" not in it.lines[-1]
    assert json.loads(it.lines[-1])["params"] == {"name": "read"}


def test_progress_of_a_renamed_tool_still_has_its_token():
    it = world(rename=["write=put"])
    outbox, line = it.ask_child(it.session(), "tools/call", {"name": "put", "_meta": {"progressToken": "mine"}})
    it.notice("progress", progressToken=line["params"]["_meta"]["progressToken"], progress=1)

    assert line["params"]["name"] == "write"
    assert outbox.messages[0]["params"]["progressToken"] == "mine"


def test_a_safe_tool_is_tried_again_under_its_new_name():
    it = world([SAFE, "write"], rename=["read=fetch", "write=read"])
    one = it.session()
    fetch, _ = it.ask_child(one, "tools/call", {"name": "fetch"}, id=1)
    read, _ = it.ask_child(one, "tools/call", {"name": "read"}, id=2)
    it.die()
    again = [line for line in it.open([SAFE, "write"]) if line["method"] == "tools/call"]

    assert [line["params"]["name"] for line in again] == ["read"]
    assert read.error["message"].startswith("the server process exited")
    it.answer(again[0], {"content": []})
    assert fetch.answers[0]["result"] == {"content": []}


@pytest.mark.parametrize("own", [False, True])
def test_names_that_clients_make_up_are_not_collected(own):
    it = world(deny=["delete"], own=own)
    session = it.owner or it.session()
    for number in range(2500):
        it.request(session, "tools/call", {"name": f"delete{number}"}, id=number)

    assert len(it.relay.policy.tools._meant) <= 2000


def test_without_a_filter_nothing_is_asked():
    it = World()
    plain = World(tools=Tools(deny=["x"]))

    assert "tools/call" not in it.relay.translator.before
    assert it.relay.translator.before.keys() == plain.relay.translator.before.keys() - {"tools/call"}
