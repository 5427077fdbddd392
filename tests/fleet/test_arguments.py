"""Which arguments of tools are paths, and what tools save."""

from trials import tool

from bridge.fleet.adding.trial import arguments
from bridge.fleet.adding.trial.calls import sample


def test_what_a_docstring_says_of_an_argument_counts_as_its_description():
    parse = tool("parse") | {
        "description": "Parse it.\n\nArgs:\n    source: Path to the model on disk.\n    name: A name",
        "inputSchema": {"properties": {"source": {"type": "string"}, "name": {"type": "string"}}},
    }

    assert arguments.paths([parse], surely=True) == ["source of parse"]
    assert arguments.paths([parse | {"description": "Parse it."}], surely=True) == []


def test_an_argument_that_may_be_an_address_is_given_one_and_paths_of_any_words_are_paths():
    said = {"type": "string", "description": "Path or URL to the OpenAPI/Swagger specification"}

    assert sample({"required": ["input"], "properties": {"input": said}})[0] == {"input": "https://example.com/"}
    for about in (said["description"], "Path to kubb.config file", "Output directory path"):
        assert arguments.paths([tool("look", [], {"input": {"type": "string", "description": about}})]) == ["input of look"]


def test_where_a_socket_is_is_no_path_of_files():
    assert arguments.paths([tool("connect", properties={"socket_path": {"description": "Path to the socket file"}})]) == []
    assert arguments.paths([tool("open", properties={"file_path": {}})]) == ["file_path of open"]


def test_a_number_is_no_path_whatever_its_words_speak_of():
    about = "Resolution in which a page becomes an image file path"
    optional = {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": about}

    assert arguments.paths([tool("read", properties={"dpi": {"type": "integer", "description": about}, "size": optional})]) == []
    assert arguments.paths([tool("read", properties={"at": {"anyOf": [{"type": "string"}, {"type": "null"}], "description": about}})])


def test_whose_path_is_none_of_where_it_runs_its_words_say():
    for about in (
        "Path to the notebook, relative to the server root, not an absolute filesystem path",
        "Absolute path on the remote host",
        "Absolute path of the file in the repository",
    ):
        assert arguments.paths([tool("look", properties={"at": {"type": "string", "description": about}})], surely=True) == []


def test_a_path_is_given_as_a_file_where_one_is_named_and_first_where_it_is_surely_of_this_machine():
    save = {"type": "string", "description": "Absolute path of the sheet (.xlsx)"}
    tools = [
        tool("find", ["where", "what"], {"where": {"description": "folder path"}, "what": {"type": "string"}}),
        tool("open", ["sheet_file"], {"sheet_file": save, "more": {"type": "array", "description": "a local file"}}),
    ]

    assert [(argument, one.arguments) for argument, one in arguments.probes(tools, "/tmp/yours")] == [
        ("sheet_file of open", {"sheet_file": "/tmp/yours/file.xlsx"}),
        ("more of open", {"sheet_file": "/tmp/file.xlsx", "more": ["/tmp/yours"]}),
        ("where of find", {"where": "/tmp/yours", "what": "test"}),
    ]


def test_a_refusal_of_a_place_is_told_from_other_complaints():
    for words in (
        "Path is outside of the exports directory",
        "Access denied - path outside allowed directories",
        "Only allowed in ~/Desktop",
    ):
        assert arguments.REFUSES.search(words)
    for words in ("ENOENT: no such file or directory, open 'x'", "A key is required", "not a zip file"):
        assert not arguments.REFUSES.search(words)


def test_a_path_inside_of_what_a_list_holds_is_given_in_one():
    source = {"type": "object", "properties": {"url": {"type": "string"}, "path": {"type": "string"}}}
    read = tool("read", ["sources"], {"sources": {"type": "array", "items": source}})

    assert [(argument, one.arguments) for argument, one in arguments.probes([read], "/x")] == [
        ("path of read", {"sources": [{"path": "/x"}]})
    ]
