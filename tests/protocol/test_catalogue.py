"""The child's tools by name: metric labels are only ever its own names, and only what it calls safe is called twice."""

import json

import pytest
from msgspec import Raw

from bridge.protocol.catalogue import NAMES, UNKNOWN, Catalogue


def page(*tools) -> bytes:
    return json.dumps({"tools": [tool if isinstance(tool, dict) else {"name": tool, "inputSchema": {}} for tool in tools]}).encode()


@pytest.fixture
def catalogue():
    catalogue = Catalogue()
    catalogue.learn([page("a", "é"), page("c")])
    return catalogue


def test_all_pages_are_known(catalogue):
    assert sorted(catalogue.names.values()) == ["a", "c", "é"]


def test_a_label_is_one_of_the_childs_own_names(catalogue):
    assert catalogue.of(Raw(b'"a"'))[0] == "a"
    assert catalogue.of(Raw('"é"'.encode()))[0] == "é"
    for unknown in (b'"b"', b"", b"5", b"null", b"\xff"):
        assert catalogue.of(Raw(unknown))[0] == UNKNOWN


@pytest.mark.parametrize(
    "spelling", [rb'"caf\u00e9/a"', rb'"caf\u00E9\/a"', rb'"\u0063af\u00e9\u002fa"', '"café\\/a"'.encode(), '"café/a"'.encode()]
)
def test_a_name_is_the_same_however_it_is_spelled(spelling):
    """Python writes every letter beyond ASCII as an escape, PHP every slash; a header's check must not be got round so."""
    schema = {"properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    tool = {"name": "café/a", "inputSchema": schema, "annotations": {"readOnlyHint": True}, "execution": {"taskSupport": "required"}}
    catalogue = Catalogue()
    catalogue.learn([page(tool)])
    name = Raw(spelling)

    assert (catalogue.of(name), catalogue.wants_task(name)) == (("café/a", True), True)
    assert catalogue.mirrored(name) == ((("region",), "Region", "string"),)


def test_a_name_with_escapes_of_its_own_is_known():
    catalogue = Catalogue()
    catalogue.learn([page({"name": 'a"\\b', "annotations": {"readOnlyHint": True}})])

    assert catalogue.of(Raw(rb'"a\"\\b"'))[0] == catalogue.of(Raw(rb'"\u0061\"\\b"'))[0] == 'a"\\b'
    assert catalogue.of(Raw(rb'"a\"\\b"'))[1]


def test_what_was_learned_before_is_forgotten(catalogue):
    catalogue.learn([page("b")])

    assert list(catalogue.names.values()) == ["b"]
    catalogue.learn([])
    assert list(catalogue.names.values()) == []


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"{}", b"[]", b'{"tools":5}', b'{"tools":[5]}', b'{"tools":[{"name":5}]}', b'{"tools":[{}]}', b"[" * 5000]
)
def test_a_page_that_is_none_changes_nothing(catalogue, raw):
    catalogue.learn([page("new"), raw])

    assert sorted(catalogue.names.values()) == ["a", "c", "é"]


def test_names_are_bounded():
    catalogue = Catalogue()
    catalogue.learn([page(*(f"a{number}" for number in range(NAMES - 1))), page(*(f"b{number}" for number in range(1000)))])

    assert len(catalogue.names) == NAMES


# -- what may be called twice -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotations", "is_safe"),
    [
        ({"readOnlyHint": True}, True),
        ({"idempotentHint": True}, True),
        ({"readOnlyHint": False, "idempotentHint": True, "destructiveHint": True}, True),
        ({"readOnlyHint": False}, False),
        ({"destructiveHint": False}, False),
        ({"title": "readOnlyHint"}, False),
        ({"readOnlyHint": 1}, False),
        ({"readOnlyHint": "true"}, False),
        ({"readOnlyHint": None}, False),
        ({}, False),
        ([], False),
        (None, False),
        (5, False),
        ("readOnlyHint", False),
    ],
)
def test_a_tool_is_safe_only_if_it_says_so(annotations, is_safe):
    catalogue = Catalogue()
    catalogue.learn([page({"name": "t", "annotations": annotations}, "other")])

    assert catalogue.of(Raw(b'"t"'))[1] is is_safe
    assert not catalogue.of(Raw(b'"other"'))[1]


@pytest.mark.parametrize("name", [b"", b'""', b'"other"', b'"T"', b"null", b"5"])
def test_only_the_very_name_is_safe(name):
    """Not one that we do not know, even where a child calls a tool as we call those."""
    catalogue = Catalogue()
    catalogue.learn([page({"name": UNKNOWN, "annotations": {"readOnlyHint": True}}, {"name": "t", "annotations": {"readOnlyHint": True}})])

    assert not catalogue.of(Raw(name))[1]


@pytest.mark.parametrize("deep", range(900, 1010, 3))
def test_no_depth_of_nesting_makes_it_raise(deep):
    """The first parser may pass what the second one refuses."""
    nest = "[" * deep + "]" * deep
    Catalogue().learn([b'{"tools":[{"name":"t","annotations":{"readOnlyHint":%b}}]}' % nest.encode()])
