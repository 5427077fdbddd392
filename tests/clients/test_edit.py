"""Adding and removing a server in a file that somebody wrote by hand."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from bridge.clients.document import parse
from bridge.clients.edit import added, removed
from bridge.settings import UsageError

NEW = {"command": "uvx", "args": ["mcp-server-time", "--local-timezone=Europe/Zürich"], "env": {"A": "1"}}


def change(text: str, path: str = "mcps.json") -> str:
    return added(parse(text, path), "new", NEW).text


def test_in_json_with_comments_everything_else_stays_as_it_was_written():
    text = """{
    // ours
    "theme": "dark",
    "mcpServers": {
        "time": {"command": "a", "x-mine": [1, 2]}, // by hand
        /* the notes */
        "notes": {"command": "b"} // last
    }
}
"""
    after = change(text)

    assert after.startswith(text[: text.index("} // last")] + '}, // last\n        "new": {\n            "command": "uvx"')
    assert removed(parse(after, "mcps.json"), ("mcpServers", "new")).text == text
    assert removed(parse(text, "mcps.json"), ("mcpServers", "time")).text == text.replace(
        '        "time": {"command": "a", "x-mine": [1, 2]}, // by hand\n', "         // by hand\n"
    )


YAML = """# ours
mcpServers:
  time: {command: a}   # by hand
  # the notes
  notes:
    command: b
    env:
      TEXT: |
        one
        two

# the end
other: 1
"""


def test_in_yaml_everything_else_stays_as_it_was_written():
    after = change(YAML, "mcps.yaml")

    assert all(line in after.splitlines() for line in YAML.splitlines())
    assert removed(parse(after, "mcps.yaml"), ("mcpServers", "new")).text == YAML
    assert "notes" not in removed(parse(YAML, "mcps.yaml"), ("mcpServers", "notes")).text.replace("# the notes", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"mcpServers": {}}',
        '{"mcpServers": {\n}}',
        '{\n  "mcpServers": {\n    // none yet\n  }\n}',
        '{"mcpServers":{"a":{"command":"x"}}}',
        '{"mcpServers": {"a": {"command": "x"},}, }',
        '{\n\t"servers": {\n\t\t"a": {\n\t\t\t"command": "x",\n\t\t},\n\t},\n}',
        "{mcpServers: {a: {command: 'x'}}}",
        '{"a": {"command": "x"}}',
        '{"mcp": {"servers": {"a": {"command": "x"}}}}',
        "mcpServers: {}",
        "mcpServers: {} # none\nother: 1\n",
        "mcpServers:\n  a: {command: x}",
        "mcpServers:\n  a:\n    command: x\n    args:\n    - y\n\n\nother: 1",
        "mcpServers: {a: {command: x}, }\n",
        "mcpServers: {a: {command: x}}\n",
        "common: &c {command: x}\nmcpServers:\n  a: *c\n",
    ],
)
def test_what_is_added_and_removed_again_leaves_what_was_there(text):
    document = parse(text, "mcps")
    after = added(document, "new", NEW)
    place = next((key for key in ("mcpServers", "servers") if key in after.data), None)
    path = (place, "new") if place else ("mcp", "servers", "new") if "mcp" in after.data else ("new",)
    again = removed(after, path)

    assert again.data == document.data if document.data else not again.data.get("mcpServers")
    for first in [path for path in (("mcpServers", "a"), ("servers", "a")) if path[0] in after.data and "a" in after.data[path[0]]]:
        only = removed(after, first)
        assert list(only.data[first[0]]) == ["new"]


@pytest.mark.parametrize(
    "text, path, why",
    [
        ('[mcp_servers.a]\ncommand = "x"\n', "config.toml", "TOML"),
        ("mcpServers:\n- name: a\n  command: x\n", "mcps.yaml", "mapping"),
        ("mcpServers:\n  a:\n\tcommand: x\n", "mcps.yaml", "tabs"),
    ],
)
def test_a_file_that_cannot_be_changed_says_why(text, path, why):
    with pytest.raises(UsageError, match=why):
        added(parse(text, path), "new", NEW)


words = some.text(some.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)
values = some.recursive(
    some.none() | some.booleans() | some.integers(-9, 9) | words, lambda inner: some.dictionaries(words, inner, max_size=3)
)


@settings(max_examples=60, deadline=None)
@given(
    servers=some.dictionaries(
        words, some.dictionaries(words, values, max_size=3).map(lambda more: {**more, "command": "x"}), min_size=1, max_size=4
    ),
    indent=some.sampled_from([None, 2, "\t"]),
    data=some.data(),
)
def test_any_json_is_changed_as_it_was_meant(servers, indent, data):
    document = parse(json.dumps({"a": 1, "mcpServers": servers, "z": [{}]}, indent=indent), "mcps.json")
    name = data.draw(some.sampled_from(sorted(servers)))

    assert removed(document, ("mcpServers", name)).data["mcpServers"] == {key: one for key, one in servers.items() if key != name}
    assert added(document, "the new", NEW).data["mcpServers"] == {**servers, "the new": NEW}
    assert added(document, name, NEW).data["mcpServers"] == {**servers, name: NEW}
