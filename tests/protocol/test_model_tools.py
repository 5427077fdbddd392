"""What models and LiteLLM choke on in a list of tools: mended by the profile `litellm` where the meaning stays, named else.

Each case: where it comes from, the tool, what LiteLLM is shown of it (None: nothing else), and words of what `verify`, `add` and
`lint` say (None: nothing is odd).
"""

import json

import pytest
from world import World

from bridge.protocol import model_names, schemas
from bridge.protocol.tool_checks import oddities, together

EMPTY = {"type": "object", "properties": {}}
STRING = {"type": "string"}
LONG = "a_tool_with_a_name_that_says_everything_that_there_is_to_say_about_it"


def tool(schema=EMPTY, name="x", **more) -> dict:
    return {"name": name, **({} if schema is ... else {"inputSchema": schema}), **more}


def takes(**properties) -> dict:
    return {"type": "object", "properties": properties}


CASES = {
    "nothing odd": (tool(takes(a=STRING, b={"type": "array", "items": STRING, "default": [True, {"$ref": "x"}]})), None, None),
    "additionalProperties is a boolean rightly": (tool({**takes(a=STRING), "additionalProperties": False}), None, None),
    "a property named $ref": (tool(takes(**{"$ref": STRING})), None, "'$ref' has a name that Anthropic's"),
    "no properties (tools without arguments; OpenAI)": (tool({"type": "object"}), tool(EMPTY), "no properties"),
    "no schema": (tool(...), tool(EMPTY), "no inputSchema"),
    "a boolean (JSON Schema allows it)": (tool(True), tool(EMPTY), "a boolean"),
    "no type (a note server)": (tool({"properties": {"a": STRING}}), tool(takes(a=STRING)), None),
    "an array without items (OpenAI)": (
        tool(takes(a={"type": "array"})),
        tool(takes(a={"type": "array", "items": {}})),
        "array without items",
    ),
    "a property that is true (zod's any)": (tool(takes(a=True, b=STRING)), tool(takes(a={}, b=STRING)), "booleans for schemas"),
    "a property that is false": (tool(takes(a=False)), tool(takes(a={"not": {}})), "booleans for schemas"),
    "a $ref (pydantic's models; Gemini)": (
        tool(
            {
                **takes(a={"$ref": "#/$defs/A", "description": "d"}),
                "$defs": {"A": {"type": "object", "properties": {"b": {"$ref": "#/$defs/B"}}}, "B": STRING},
            }
        ),
        tool(takes(a={"type": "object", "properties": {"b": STRING}, "description": "d"})),
        "$ref",
    ),
    "a $ref with rules beside it": (
        tool({**takes(a={"$ref": "#/definitions/A", "maxLength": 5}), "definitions": {"A": STRING}}),
        tool(takes(a={"allOf": [STRING], "maxLength": 5})),
        "$ref",
    ),
    "a $ref to a property (zod-to-json-schema)": (
        tool(takes(a=STRING, b={"$ref": "#/properties/a"})),
        tool(takes(a=STRING, b=STRING)),
        "$ref",
    ),
    "a $ref to itself (trees)": (
        tool({**takes(a={"$ref": "#/$defs/A"}), "$defs": {"A": takes(b={"$ref": "#/$defs/A"})}}),
        None,
        "points at itself",
    ),
    "a $ref to elsewhere": (tool(takes(a={"$ref": "https://example.com/a.json"})), None, "outside"),
    "a $ref to nothing": (tool(takes(a={"$ref": "#/$defs/A"})), None, "at nothing"),
    "a choice at the top (OpenAI, Anthropic)": (tool({**takes(a=STRING), "anyOf": [{"required": ["a"]}]}), None, "anyOf at its top"),
    "an argument's name (Anthropic)": (tool(takes(**{"filter[name]": STRING})), None, "'filter[name]'"),
    "a long description": (tool(description="x" * 2000), None, "longer than the 1024 characters"),
    "a point in the name": (tool(name="user.get"), tool(name="user_get"), "signs that models refuse"),
    "letters of other languages": (tool(name="café/größe"), tool(name="caf__gr__e"), "signs that models refuse"),
    "a long name": (tool(name=LONG), tool(name=LONG[:52] + "_" + model_names.mended([LONG], 59)[LONG][-6:]), "longer than 59 characters"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_models_choke_on_is_mended_or_named(case):
    given, becomes, says = CASES[case]
    world = World(profile_name="litellm", mcp="test")
    outbox, line = world.ask_child(world.session(), "tools/list")
    world.answer(line, {"tools": [given]})

    assert outbox.answers[0]["result"]["tools"] == [becomes or given]
    found = oddities([given], "test")
    assert (says is None and not found) or any(says in str(oddity) for oddity in found)
    assert all(oddity.way_out for oddity in found)
    if found:
        assert all(bool(oddity.mended) for oddity in found) == (becomes is not None)
    assert oddities([becomes or given], "test") == [oddity for oddity in found if not oddity.mended]


def test_a_tool_with_a_mended_name_is_called_by_its_own():
    world = World(profile_name="litellm")
    session = world.session()
    _, line = world.ask_child(session, "tools/list")
    world.answer(line, {"tools": [tool(name="user.get"), tool(name="user_get"), tool(name="user/get"), tool(name="fine")]})
    shown = model_names.mended(["user.get", "user_get", "user/get", "fine"], 60)

    assert len({"user_get", *shown.values()}) == 3
    for own, name in {**shown, "user_get": "user_get", "fine": "fine"}.items():
        _, line = world.ask_child(session, "tools/call", {"name": name, "arguments": {"a": [1.0]}, "_meta": {"x": 1}}, id=own)
        assert line["params"] == {"name": own, "arguments": {"a": [1.0]}, "_meta": {"x": 1}}
    _, line = world.ask_child(session, "tools/call", {"name": "user.get"}, id=9)  # who knows it by its own name may say it
    assert line["params"]["name"] == "user.get"


def test_two_tools_with_one_name_are_shown_once():
    """A call can only mean one of them, and the server decides which."""
    world = World(profile_name="litellm")
    outbox, line = world.ask_child(world.session(), "tools/list")
    both = [tool(description="first"), tool(description="second")]
    world.answer(line, {"tools": both})

    assert outbox.answers[0]["result"]["tools"] == both[:1]
    assert "2 tools have this name" in str(oddities(both)[0])


def test_strict_clients_get_what_the_child_says():
    world = World()
    outbox, line = world.ask_child(world.session(), "tools/list")
    given = [tool(True, name="a.b"), tool(...), tool(...)]
    world.answer(line, {"tools": given, "nextCursor": "2"})

    assert outbox.answers[0]["result"] == {"tools": given, "nextCursor": "2"}


@pytest.mark.parametrize("levels", [10, 30, 100_000])
def test_references_that_double_at_each_level_end(levels):
    """Each points twice at the next: 2^levels schemas, were all of them written out."""
    levels = min(levels, 3000)
    defs = {f"D{number}": takes(a={"$ref": f"#/$defs/D{number + 1}"}, b={"$ref": f"#/$defs/D{number + 1}"}) for number in range(levels)}
    schema = {**takes(a={"$ref": "#/$defs/D0"}), "$defs": {**defs, f"D{levels}": STRING}}

    assert schemas.inlined(schema) is None
    assert schemas.mended(schema) == schema
    assert "points at itself" in str(oddities([tool(schema)])[0])


@pytest.mark.parametrize(
    "raw",
    [
        b'{"tools":5}',
        b'{"tools":[5,{"name":5},{}]}',
        b'{"tools":[{"name":"x","inputSchema":{"type":"object","properties":{"a":{"maximum":1e999,"type":"array"}}}}]}',
    ],
)
def test_no_list_breaks_the_profile(raw):
    world = World(profile_name="litellm")
    outbox, line = world.ask_child(world.session(), "tools/list")
    world.hear(b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (line["id"], raw))

    assert len(outbox.raw_answers) == 1


def test_odd_lists_are_told_of_whatever_they_hold():
    assert oddities([{}, {"name": 5}, {"name": "x", "inputSchema": []}, {"name": "", "inputSchema": {"type": 5, "properties": []}}])
    assert oddities([{"name": "x", "inputSchema": {"type": "string"}}])[0].way_out
    assert json.dumps([str(oddity) for oddity in oddities([tool(takes(**{"a b": True}))])])


@pytest.mark.parametrize("tools, named, denied", [("a", "a", "a"), ("ab", "a, b", "NAME"), ("abcdef", "a, b, c and 3 more", "NAME")])
def test_what_is_odd_alike_in_many_tools_is_told_once(tools, named, denied):
    odd = oddities([tool(name=name, description="x" * 2000) for name in tools])

    assert [(str(one), one.way_out) for one in together(odd)] == [
        (
            f"{named}: a description longer than the 1024 characters that some OpenAI models take",
            f"where a model refuses it: tools: {{deny: [{denied}]}} in the stanza",
        )
    ]


def test_a_reference_into_a_list_is_followed():
    """zod-to-json-schema writes so whatever stands in two places (RFC 6901: an index of a list)."""
    text = {"type": "string"}
    schema = {"type": "object", "properties": {"one": {"anyOf": [{"type": "null"}, text]}, "two": {"$ref": "#/properties/one/anyOf/1"}}}

    assert schemas.mended(schema)["properties"]["two"] == text
    for nowhere in ("2", "01", "-1", "9" * 5000):
        broken = {"type": "object", "properties": {"one": {"anyOf": [text]}, "two": {"$ref": f"#/properties/one/anyOf/{nowhere}"}}}
        assert schemas.mended(broken) == broken
