"""Whatever a client writes, what the child finds in it is what the rules have decided by."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from bridge.callers.access import LISTS, View
from bridge.callers.caller import Caller
from bridge.callers.rules import Level, Rule
from bridge.protocol import spelling
from bridge.protocol.envelope import Envelope

NAMES = ("read", "write", "delete_a", "delete_b", "Read")
PATTERNS = (
    "files/read",
    "files/*",
    "*/delete_*",
    "files/tool:*",
    "other/*",
    "files/prompt:read",
    "files/resource:read",
    "*/*",
    "files/method:x*",
)
RULES = st.dictionaries(st.sampled_from(PATTERNS), st.sampled_from(Level), max_size=5)
KEYS = ("name", "Name", "NAME", "uri", "URI", "cursor", "arguments", "_meta", "ref", "taskId")
MEMBERS = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from((*NAMES, ""))), max_size=5)
METHODS = {
    "tools/call": ("tool", "name", Level.EXECUTE),
    "prompts/get": ("prompt", "name", Level.READ),
    "resources/read": ("resource", "uri", Level.READ),
}


def view(may: dict[str, Level], default: Level = Level.DENY) -> View:
    return View(Caller("alice", tuple(Rule.parse(text, level) for text, level in may.items()), default), "files")


def escaped(text: str, how: int) -> str:
    """A JSON string with some of its letters as escapes."""
    return '"' + "".join(f"\\u{ord(char):04x}" if how >> place & 1 else char for place, char in enumerate(text)) + '"'


def readings(params: bytes, member: str) -> set[str]:
    """What servers find: those that take the first or the last of two, and those that take a member in any case."""
    pairs = json.loads(params, object_pairs_hook=list) if params else []
    same = [value for name, value in pairs if name == member]
    alike = [value for name, value in pairs if name.casefold() == member.casefold()]
    return {values[place] for values in (same, alike) for place in (0, -1) if values}


@settings(max_examples=150, deadline=None)
@given(RULES, st.sampled_from(Level), st.sampled_from(sorted(METHODS)), MEMBERS, st.integers(0, 255))
def test_no_child_finds_a_name_that_the_rules_have_not_let_through(may, default, method, members, how):
    kind, member, needed = METHODS[method]
    body = "{" + ",".join(f"{escaped(key, how)}: {escaped(value, how >> 2)}" for key, value in members) + "}"
    message = Envelope(id=Raw(b"1"), method=method, params=Raw(body.encode()))
    seen = view(may, default)

    denial = seen.denial(message, spelling.params(message), lambda name: name)

    if denial is None and not seen.sees_all:
        assert all(seen.rules.decide(kind, name).level >= needed for name in readings(bytes(message.params), member))
        assert not seen.is_hidden


@settings(max_examples=60, deadline=None)
@given(RULES, st.sampled_from(Level), st.sampled_from(sorted(LISTS)), st.lists(st.sampled_from(NAMES), max_size=6))
def test_a_list_shows_what_may_be_read_and_all_of_it(may, default, method, names):
    key, kind, naming = LISTS[method]
    answer = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {key: [{naming: name} for name in names], "nextCursor": "2"}})
    seen = view(may, default)

    cut = json.loads(seen.cut(method, answer.encode(), lambda name: name))

    assert [item[naming] for item in cut["result"][key]] == [name for name in names if seen.rules.decide(kind, name).level >= Level.READ]
    assert cut["result"]["nextCursor"] == "2" and cut["id"] == 1


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30), st.sampled_from(sorted(LISTS)))
def test_an_answer_that_is_no_list_shows_nothing(text, method):
    answer = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"other": text}}).encode()

    assert "result" not in json.loads(view({"files/*": Level.READ}).cut(method, answer, lambda name: name))


@pytest.mark.parametrize("name", ['["delete_a"]', "null", "7", '{"name": "delete_a"}', ""])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_name_that_is_no_text_names_nothing(method, name):
    """A server in JavaScript finds the tool `delete_a` by `tools[["delete_a"]]`."""
    member = METHODS[method][1]
    message = Envelope(id=Raw(b"1"), method=method, params=Raw(f'{{"{member}": {name}}}'.encode() if name else b"{}"))
    seen = view({"*/delete_*": Level.DENY}, Level.EXECUTE)

    assert seen.denial(message, spelling.params(message), lambda name: name) is not None
