"""Which calls a trial makes, with which arguments, and what it takes for a success."""

import pytest
from trials import tool

from bridge.fleet.adding.trial.calls import chosen, complaint, one_refusal, planned, sample


def test_what_says_that_it_reads_comes_first_and_what_changes_things_last():
    order = planned(
        [
            tool("delete_all"),
            tool("do_it"),
            tool("list_them"),
            tool("look", readOnlyHint=True),
            tool("search", ["query"]),
            tool("createNote", ["text"]),
        ]
    )

    assert [call.tool for call in order] == ["look", "list_them", "search", "do_it", "delete_all", "createNote"]
    assert [call.reads for call in order] == [True, True, True, False, False, False]
    assert [call.harms for call in order] == [False, False, False, False, True, True]


def test_a_tool_that_tells_the_environment_is_no_proof():
    assert not planned([tool("get_env")])[0].reads
    assert not planned([tool("get_it", readOnlyHint=False)])[0].reads
    assert planned([tool("drop_look", readOnlyHint=True)])[0].reads


@pytest.mark.parametrize(
    "properties, arguments, said",
    [
        ({"zone": {"type": "string", "enum": ["UTC", "CET"]}}, {"zone": "UTC"}, True),
        ({"n": {"type": "integer", "default": 3}}, {"n": 3}, True),
        ({"n": {"type": "integer", "minimum": 2}}, {"n": 2}, False),
        ({"url": {"type": "string"}}, {"url": "https://example.com/"}, False),
        ({"issue_id_or_url": {"type": "string"}}, {"issue_id_or_url": "1"}, False),
        (
            {"path": {"type": "string", "description": "Path to PDF file (absolute, relative, or URL)"}},
            {"path": "https://example.com/"},
            False,
        ),
        ({"path": {"type": "string", "description": "A path below the URL of the site"}}, {"path": "/tmp"}, False),
        ({"fileKey": {"type": "string", "description": "the key in a URL like site.io/<fileKey>"}}, {"fileKey": "test"}, False),
        ({"timezone": {"anyOf": [{"type": "null"}, {"type": "string"}]}}, {"timezone": "UTC"}, False),
        ({"tags": {"type": "array", "items": {"type": "string"}}}, {"tags": ["test"]}, False),
        ({"at": {"type": "object", "required": ["x"], "properties": {"x": {"const": 1}}}}, {"at": {"x": 1}}, False),
        ({"odd": True}, {"odd": "test"}, False),
        (
            {"sources": {"type": "array", "items": {"type": "object", "properties": {"pages": {"type": "string"}, "path": {}, "url": {}}}}},
            {"sources": [{"url": "https://example.com/"}]},
            False,
        ),
        ({"query": {"type": "object", "properties": {"limit": {"type": "integer"}, "text": {}}}}, {"query": {"text": "test"}}, False),
        (
            {"it": {"type": "object", "properties": {"a": {}, "url": {}}, "oneOf": [{"required": ["a"]}, {"required": ["url"]}]}},
            {"it": {"a": "test"}},
            False,
        ),
        (
            {"it": {"anyOf": [{"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}, {"type": "string"}]}},
            {"it": {"id": 1}},
            False,
        ),
        (
            {"from_airport": {"type": "string"}, "departure_date": {"type": "string"}},
            {"from_airport": "JFK", "departure_date": "2026-01-02"},
            False,
        ),
        ({"latitude": {"type": "number", "minimum": -90}, "long": {"type": "number"}}, {"latitude": 51.5, "long": -0.1}, False),
    ],
)
def test_arguments_are_those_of_the_schema_or_a_guess_that_it_accepts(properties, arguments, said):
    assert sample({"type": "object", "required": list(properties), "properties": properties}) == (arguments, said)


def test_an_example_in_a_description_is_no_guess():
    schema = {
        "required": ["place", "when"],
        "properties": {"place": {"type": "string", "description": "a code, e.g. 'LAX'"}, "when": {"type": "string"}},
    }

    assert sample(schema, "Looks.\n\nArgs:\n    when: the day (for example `2027-01-02`)") == ({"place": "LAX", "when": "2027-01-02"}, True)
    assert sample(schema) == ({"place": "LAX", "when": "test"}, False)


@pytest.mark.parametrize(
    "name, part, about, value",
    [
        ("symbol", {"type": "string", "description": "Ticker (e.g., MSFT, AMD)"}, "", "MSFT"),
        ("repo", {"type": "string", "description": "Example: octo/hello"}, "", "octo/hello"),
        ("code", {"type": "string", "description": "An ISO code, e.g. pt-BR."}, "", "pt-BR"),
        ("symbols", {"type": "array", "items": {"type": "string"}, "description": "such as MSFT"}, "", ["MSFT"]),
        ("topic", {"type": "string", "description": "e.g. the Weather of today"}, "", None),
        ("names", {"type": "string", "description": 'Names of tools (e.g., ["one", ...])'}, "", None),
        ("name", {"type": "string", "description": "e.g. <YOUR_NAME>, or so"}, "", None),
        ("path", {"type": "string", "description": "e.g. '/home/me/x.txt'"}, "", None),
        ("url", {"type": "string"}, "Reads a page.\n- Example: https://docs.site.io/a/b.html.", "https://docs.site.io/a/b.html"),
        ("page_url", {"type": "string", "description": "(https://site.io/{id}) or so"}, "", "https://site.io/"),
        ("url", {"type": "string"}, "Such as https://example.com/x or https://your.site.io", None),
    ],
)
def test_an_example_needs_no_quotes_and_an_address_no_word_before_it(name, part, about, value):
    arguments, said = sample({"required": [name], "properties": {name: part}}, about)

    assert said is (value is not None)
    assert arguments[name] == value or not said


def test_what_adds_two_numbers_changes_nothing():
    def call(name, *arguments):
        return planned([tool(name, arguments, {one: {"type": "number"} for one in arguments})])[0]

    assert (call("add_numbers", "a", "b").harms, call("add", "num1", "num2").reads) == (False, True)
    assert call("delete_item", "id").harms and call("add_points", "player_id", "value").harms


def test_of_calls_that_need_nothing_one_for_all_that_there_is_comes_last():
    assert [call.tool for call in planned([tool("get_everything"), tool("get_all"), tool("get_market")])] == [
        "get_market",
        "get_everything",
        "get_all",
    ]


def test_a_schema_that_refers_to_itself_has_an_end():
    loop = {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"$ref": "#/$defs/A"}}}

    assert sample(loop) == ({"a": None}, False)
    assert sample(None) == ({}, True)


@pytest.mark.parametrize(
    "text",
    [
        "Error: no such thing",
        "An error occurred: x",
        "Failed to fetch page",
        "❌ Failed to load",
        "❌ LIGHT SCAN FAILED for x\n\nNo such file",
        '{"error": "Temporary network issue"}',
        '[{"error": "x"}]',
        '{"success": false, "message": "x"}',
        '{"status": "error"}',
        '{"/tmp": {"result": "error", "reason": "no such file"}}',
        "HTTP error 500",
        "Search failed: getaddrinfo ENOTFOUND host",
        "Please set the API key: missing API key",
        "FOO_API_KEY environment variable is not set",
        "Unable to connect",
        "Could not find it",
        "ValueError: x",
        "ADCIRC Error: ValueError: either path or content must be provided",
        "You need to register for the course first.",
        "Either file_path or content must be provided.",
    ],
)
def test_an_error_in_a_text_is_no_success(text):
    assert complaint({"content": [{"type": "text", "text": text}]})


@pytest.mark.parametrize(
    "text",
    [
        "12:00 UTC",
        "",
        "No notes yet",
        '{"error": null, "items": []}',
        '{"a": {"result": "fine"}, "b": {"result": "error"}}',
        "[]",
        "0 errors found",
        '{"errors": [], "ok": true}',
        "Errol Flynn was an actor",
        "Type of error: none",
    ],
)
def test_an_answer_that_only_sounds_like_one_is_a_success(text):
    assert complaint({"content": [{"type": "text", "text": text}]}) == ""


def test_an_error_is_known_by_its_structure_too():
    assert complaint({"content": [], "structuredContent": {"result": {"error": "x"}}}) == "x"
    assert complaint({"isError": True, "content": [{"type": "text", "text": "fine"}]}) == "fine"
    assert complaint(None, "unknown tool (-32602)") == "unknown tool (-32602)"


@pytest.mark.parametrize("name", ["pid", "target_pid", "processId"])
def test_a_tool_that_ends_processes_is_not_told_to_end_the_trial(name):
    [call] = planned([tool("kill_process", required=[name], properties={name: {"type": "number"}})])

    assert call.arguments == {name: 99_999_999}


def test_what_takes_a_path_or_an_address_is_asked_with_an_address():
    about = "Reads it.\n\nArgs:\n    input_data: File path, URL, or base64 encoded image data\n    size: how big\n"
    schema = {"required": ["input_data", "size"], "properties": {"input_data": {"type": "string"}, "size": {"type": "string"}}}

    assert sample(schema, about) == ({"input_data": "https://example.com/", "size": "test"}, False)
    alone = {"required": ["path"], "properties": {"path": {"type": "string"}}}
    assert sample(alone, "Load an image from a path or HTTP/HTTPS URL") == ({"path": "https://example.com/"}, False)
    assert sample(alone, "Load an image from a path") == ({"path": "/tmp"}, False)


def test_what_several_tools_answer_in_the_same_words_of_a_key_is_a_refusal():
    blocked = "[SETUP] No credentials are configured: SITE_KEY is unset. " + "How to set it up: … " * 60
    answers = [blocked, blocked, blocked, f"By hand: {blocked}", "nothing new", '{"version": 1}']

    assert one_refusal(answers) == [True] * 4 + [False] * 2
    assert one_refusal(["nothing new"] * 4) == [False] * 4
    assert one_refusal(["[SETUP] SITE_PLACE is unset"] * 3) == one_refusal(["503 failed to connect to it"] * 3) == [True] * 3


@pytest.mark.parametrize(
    "words, choice",
    [
        ("Available formats:\n- date: 2024-12-10\n- time: 12:00", "date"),
        ("Unknown scan. Available: top100, all", "top100"),
        ("Supported languages are: en, de", "en"),
        ("it must be one of ['fast', 'slow']", "fast"),
        ("it must be a string", ""),
        ("Valid: anything that you like", ""),
    ],
)
def test_what_may_be_chosen_is_given_where_it_is_described_or_a_refusal_says_it(words, choice):
    described = {"required": ["what"], "properties": {"what": {"type": "string", "description": words}}}

    assert sample(described)[0] == {"what": choice or "test"}
    assert chosen({"what": "test", "more": 1}, words) == ({"what": choice, "more": 1} if choice else None)
    assert chosen({"scan_type": "test", "target": "test"}, "Invalid target IP 'test'") == {"scan_type": "test", "target": "192.0.2.1"}
    assert sample({"required": ["url"], "properties": {"url": described["properties"]["what"]}})[0] != {"url": choice}
