"""What a child told in its handshake, and what each client is told of it."""

import json

import msgspec
import pytest

from bridge.protocol.facts import Facts, initialize_params
from bridge.protocol.revisions import HANDSHAKE, NEWEST, has_batches, has_priming, is_modern, negotiate

RESULT = (
    b'{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true,"x":1e400},"tasks":{},"logging":{}},'
    b'"serverInfo":{"name":"s","version":"2","title":"S"},"instructions":"be kind","_meta":{"a":1e2}}'
)


def answer(facts, wanted="2025-06-18", hide_tasks=False, hide_list_changed=False):
    return facts.answer(wanted, hide_tasks=hide_tasks, hide_list_changed=hide_list_changed)


def test_facts():
    facts = Facts.of(RESULT)

    assert (facts.revision, facts.title, facts.offers("tools"), facts.offers("prompts")) == ("2025-06-18", "s 2", True, False)


def test_a_client_gets_the_childs_own_words():
    revision, result = answer(Facts.of(RESULT))

    assert (revision, result) == ("2025-06-18", RESULT)


def test_tasks_and_list_changes_can_be_hidden_and_the_rest_keeps_its_bytes():
    _, result = answer(Facts.of(RESULT), hide_tasks=True, hide_list_changed=True)

    assert b'"capabilities":{"tools":{"x":1e400},"logging":{}}' in result
    assert b'"_meta":{"a":1e2}' in result


def test_hiding_for_one_client_hides_nothing_from_the_next():
    facts = Facts.of(RESULT)
    answer(facts, hide_tasks=True, hide_list_changed=True)

    assert answer(facts)[1] == RESULT


@pytest.mark.parametrize(
    ("wanted", "child", "gets"),
    [
        ("2025-06-18", "2025-11-25", "2025-06-18"),
        ("2025-11-25", "2025-06-18", "2025-06-18"),
        ("2024-11-05", "2025-11-25", "2024-11-05"),
        ("2025-11-25", "2025-11-25", "2025-11-25"),
        (None, "2025-06-18", "2025-06-18"),
        ("2099-01-01", "2025-06-18", "2025-06-18"),
        ("garbage", "2025-06-18", "2025-06-18"),
        ("2025-06-18", "made up", "2025-06-18"),
        (None, "made up", "made up"),
    ],
)
def test_the_revision_is_the_clients_unless_the_child_is_older(wanted, child, gets):
    assert negotiate(wanted, child) == gets
    assert answer(Facts.of(json.dumps({"protocolVersion": child}).encode()), wanted)[0] == gets


def test_a_child_may_say_little():
    facts = Facts.of(b"{}")

    assert (facts.revision, facts.title) == (NEWEST, "unnamed")
    assert json.loads(answer(facts, None)[1]) == {
        "protocolVersion": NEWEST,
        "capabilities": {},
        "serverInfo": {"name": "unnamed", "version": ""},
    }


@pytest.mark.parametrize(
    "result",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b'{"protocolVersion":null}',
        b'{"capabilities":null}',
        b'{"serverInfo":[]}',
        b'{"serverInfo":{"name":null}}',
    ],
)
def test_what_is_no_handshake_raises(result):
    with pytest.raises(msgspec.MsgspecError):
        Facts.of(result)


@pytest.mark.parametrize("value", [b"null", b"false"])
def test_null_is_not_offered(value):
    """Go servers without `omitempty` write null for each capability that they do not have."""
    facts = Facts.of(b'{"capabilities":{"tools":%b,"logging":%b}}' % (value, value))

    assert not facts.offers("tools")
    assert not facts.offers("logging")
    assert json.loads(answer(facts, hide_list_changed=True)[1])["capabilities"] == {
        "tools": json.loads(value),
        "logging": json.loads(value),
    }


def test_our_own_initialize_is_one_line_of_valid_json():
    params = initialize_params("2025-06-18", b'{\n"roots":{}}', b'{"name":\r\n"c\\n"}')

    assert b"\n" not in params
    assert b"\r" not in params
    assert json.loads(params) == {"protocolVersion": "2025-06-18", "capabilities": {"roots": {}}, "clientInfo": {"name": "c\n"}}
    assert json.loads(initialize_params())["clientInfo"]["name"] == "mcp-bridge"


def test_what_each_revision_has():
    assert [has_batches(revision) for revision in HANDSHAKE] == [False, True, False, False]
    assert [has_priming(revision) for revision in HANDSHAKE] == [False, False, False, True]
    assert not any(map(is_modern, HANDSHAKE))
    assert [is_modern(text) for text in ("2026-07-28", "2099-01-01", "garbage", "", "2026-07-28x", "9999999999")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
