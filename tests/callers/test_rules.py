"""Which rule decides, and what it says."""

import pytest

from bridge.callers.rules import BadRule, Level, Rule, Rules

SEED = {"filesystem/read_file": "execute", "database/*": "execute", "*/delete_*": "deny"}


def rules(may: dict[str, str], mcp: str, default: str = "deny") -> Rules:
    return Rules(tuple(Rule.parse(text, Level[level.upper()]) for text, level in may.items()), Level[default.upper()], mcp)


def level(may: dict[str, str], whole: str, default: str = "deny") -> str:
    mcp, _, name = whole.partition("/")
    kind, _, rest = name.partition(":") if name.startswith(("tool:", "prompt:", "resource:", "method:")) else ("tool", "", name)
    return rules(may, mcp, default).decide(kind, rest).level.word


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ("filesystem/read_file", "execute"),
        ("filesystem/write_file", "deny"),
        ("filesystem/delete_file", "deny"),
        ("database/query", "execute"),
        ("database/delete_rows", "deny"),
        ("database/delete", "execute"),
        ("time/now", "deny"),
    ],
)
def test_the_seed_has_its_answers(tool, expected):
    assert level(SEED, tool) == expected


def test_another_key_may_have_read_for_all_that_no_rule_is_about():
    assert level(SEED, "time/now", default="read") == "read"
    assert level(SEED, "time/delete_all", default="read") == "deny"
    assert level({}, "time/now", default="read") == "read"


@pytest.mark.parametrize(
    ("may", "what", "expected"),
    [
        ({"a/*": "read", "*/get": "execute"}, "a/get", "read"),
        ({"a*/get": "read", "ab*/get": "execute"}, "abc/get", "execute"),
        ({"a/get_*": "read", "a/get_one": "execute"}, "a/get_one", "execute"),
        ({"a/get_*": "execute", "a/*": "read"}, "a/get_one", "execute"),
        ({"a/tool:*": "read", "a/*": "execute"}, "a/get", "read"),
        ({"a/get": "read", "a/tool:get": "execute"}, "a/get", "read"),
        ({"a/get": "deny", "a/tool:get": "admin"}, "a/get", "deny"),
        ({"*/*": "deny", "a/get": "admin"}, "a/get", "deny"),
        ({"a/*_file": "execute"}, "a/file", "deny"),
        ({"a/*": "execute"}, "a/prompt:hello", "execute"),
        ({"a/hello": "execute"}, "a/prompt:hello", "deny"),
        ({"a/prompt:hello": "read"}, "a/prompt:hello", "read"),
        ({"a/resource:file:///srv/*": "read"}, "a/resource:file:///srv/one", "read"),
        ({"a/resource:file:///srv/*": "read"}, "a/resource:file:///etc/one", "deny"),
        ({"a/tool:prompt:x": "execute"}, "a/tool:prompt:x", "execute"),
        ({"A/get": "execute"}, "a/get", "deny"),
    ],
)
def test_the_most_specific_rule_decides_unless_one_denies(may, what, expected):
    assert level(may, what) == expected
    assert level(dict(reversed(may.items())), what) == expected


@pytest.mark.parametrize(
    "uri",
    [
        "file:///srv/public/../secret/x",
        "file:///srv/%73ecret/x",
        "file:///srv/%2573ecret/x",
        "FILE:///srv/secret/x",
        "file:///srv/./secret/x",
        "file:///srv//secret/x",
        "file:///srv/public\\..\\secret\\x",
        "file:///srv/public/%2e%2e/secret/x",
        "file:///srv/public/..%2fsecret/x",
    ],
)
def test_a_uri_that_is_written_in_another_way_is_still_denied(uri):
    may = {"files/resource:file:///srv/*": "read", "files/resource:file:///srv/secret/*": "deny"}

    assert rules(may, "files").decide("resource", uri).level is Level.DENY
    assert rules(may, "files").decide("resource", "file:///srv/public/x").level is Level.READ


@pytest.mark.parametrize(
    "uri",
    [
        "file:///srv/a%20secret.txt",
        "file:///srv/a secret.txt",
        "file:///srv/a%20secret.txt/",
        "file:///srv/a%20secret.txt/.",
        "file:///srv/a%20secret.txt?",
        "file:///srv/a%20secret.txt?x=1",
        "file:///srv/a%20secret.txt#x",
        "file:///srv/a%20sec\tret.txt",
        " file:///srv/a%20secret.txt\n",
        "file:/srv/a%20secret.txt",
        "file://localhost/srv/a%20secret.txt",
        "memo://Secrets",
        "memo://secrets",
        "memo://SECRETS/",
    ],
)
def test_a_rule_that_denies_one_uri_denies_all_that_servers_take_for_it(uri):
    denied = {"files/resource:file:///srv/a%20secret.txt": "deny", "files/resource:memo://Secrets": "deny"}
    may = {"files/resource:file:*": "read", "files/resource:memo:*": "read", **denied}

    assert level(may | {"files/resource: *": "read"} if uri.startswith(" ") else may, "files/resource:" + uri) == "deny"
    assert level(may, "files/resource:file:///srv/another.txt?x=1") == "read"


@pytest.mark.parametrize(
    "uri", ["file:///srv/my%20notes.txt", "memo://Notes", "memo://Notes/A/", "FILE:///x//y", "https://x/%E2%82%AC?q=%2F"]
)
def test_a_uri_that_stands_in_a_rule_as_the_server_lists_it_is_allowed(uri):
    assert level({f"files/resource:{uri}": "read"}, f"files/resource:{uri}") == "read"
    assert level({f"files/resource:{uri[:-3]}*": "read"}, f"files/resource:{uri}") == "read"


def test_a_star_that_is_written_as_an_escape_stands_for_nothing_else():
    may = {"files/resource:file:///a%2a/*": "read"}

    assert level(may, "files/resource:file:///a%2a/../abc/secret") == "deny"


def test_a_way_out_of_what_is_allowed_is_not_allowed():
    assert level({"files/resource:file:///srv/*": "read"}, "files/resource:file:///srv/../etc/shadow") == "deny"


def test_an_mcp_of_which_nothing_is_allowed_is_hidden():
    assert rules(SEED, "time").is_hidden
    assert not rules(SEED, "filesystem").is_hidden
    assert not rules({}, "time", "read").is_hidden
    assert rules({"time/*": "deny"}, "time", "read").is_hidden
    assert rules({"time/now": "deny"}, "time").is_hidden


def test_a_caller_who_may_do_everything_is_known_as_one():
    assert rules({"database/*": "execute"}, "database").allows_everything
    assert not rules(SEED, "database").allows_everything
    assert rules({"*/*": "admin", "database/x": "execute"}, "database").allows_everything


def test_a_decision_names_its_rule():
    assert rules(SEED, "database").decide("tool", "delete_rows").rule == "*/delete_*: deny"
    assert rules(SEED, "time").decide("tool", "now").rule == "default: deny"


def test_a_client_that_makes_up_names_costs_no_memory():
    made = rules(SEED, "database")
    for number in range(5000):
        made.decide("tool", f"tool{number}")

    assert len(made._decided) <= 2000


@pytest.mark.parametrize("text", ["time", "/now", "time/", "", " time/now", "time/now ", "time/prompt:"])
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(BadRule):
        Rule.parse(text, Level.READ)
