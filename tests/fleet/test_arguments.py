"""Which arguments of tools are paths, and what tools save."""

from trials import tool

from bridge.fleet.adding.trial import arguments
from bridge.fleet.adding.trial.calls import sample


def test_what_a_docstring_says_of_an_argument_counts_as_its_description():
    parse = tool("parse") | {
        "description": "Parse it.\n\nArgs:\n    source: Path to the model on disk.\n    name: A name",
        "inputSchema": {"properties": {"source": {"type": "string"}, "name": {"type": "string"}}},
    }

    assert arguments.paths([parse], surely=True) == "source of parse"
    assert arguments.paths([parse | {"description": "Parse it."}], surely=True) == ""


def test_an_argument_that_may_be_an_address_is_given_one_and_paths_of_any_words_are_paths():
    said = {"type": "string", "description": "Path or URL to the OpenAPI/Swagger specification"}

    assert sample({"required": ["input"], "properties": {"input": said}})[0] == {"input": "https://example.com/"}
    for about in (said["description"], "Path to kubb.config file", "Output directory path"):
        assert arguments.paths([tool("look", [], {"input": {"type": "string", "description": about}})]) == "input of look"


def test_where_a_socket_is_is_no_path_of_files():
    assert arguments.paths([tool("connect", properties={"socket_path": {"description": "Path to the socket file"}})]) == ""
    assert arguments.paths([tool("open", properties={"file_path": {}})]) == "file_path of open"


def test_a_number_is_no_path_whatever_its_words_speak_of():
    about = "Resolution in which a page becomes an image file path"
    optional = {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": about}

    assert arguments.paths([tool("read", properties={"dpi": {"type": "integer", "description": about}, "size": optional})]) == ""
    assert arguments.paths([tool("read", properties={"at": {"anyOf": [{"type": "string"}, {"type": "null"}], "description": about}})])
