"""Of whom a name is: by the operator's names of members, and never by what a server says of itself."""

import random
from collections import OrderedDict
from functools import partial
from types import SimpleNamespace

import pytest
from support import Bridge, Http

from bridge.budget import Budget
from bridge.clients.document import parse
from bridge.config import groups
from bridge.group.context import View
from bridge.group.lists import CACHED, renamed
from bridge.group.names import MOST_BYTES, Directory, alias, of_alias, parted, prefixed
from bridge.group.plan import ALL, Plan
from bridge.group.service import Group
from bridge.settings import UsageError


@pytest.mark.parametrize(
    "name, found",
    [
        ("time-get_current_time", ("time", "get_current_time")),
        ("a-b-c", ("a-b", "c")),  # also where `a` has a tool b-c
        ("a-x-c", ("a", "x-c")),
        ("a-", ("a", "")),
        ("a", None),
        ("-a", None),
        ("b-a", None),
        ("A-x", None),
        ("-" * 100_000, None),
    ],
)
def test_a_prefix_is_the_longest_name_of_a_member(name, found):
    assert parted(name, {"a", "a-b", "time"}) == found


def test_what_is_listed_goes_back_to_whom_it_is_of_whatever_members_and_tools_are_called():
    """Or is not listed: no tool of one member can be called as another one's."""
    chance = random.Random(16)
    parts = ["a", "b", "-", "--", "ab", "é", ".", "_"]
    for _ in range(2000):
        members = {"".join(chance.choices(["a", "b", "-", "_"], k=chance.randint(1, 5))).strip("-") or "a" for _ in range(4)}
        for member in members:
            tool = "".join(chance.choices(parts, k=chance.randint(1, 5)))
            of, own = parted(prefixed(member, tool), members)

            assert (of, own) == (member, tool) or (len(of) > len(member) and prefixed(of, own) == prefixed(member, tool))


def test_a_uri_is_of_who_lists_it_else_of_whose_template_it_fits_else_of_the_only_one_with_its_scheme():
    directory = Directory()
    directory.learn("resource", {"a": ["test://one", "file:///x"], "b": ["test://one", "memo://1"]})
    directory.learn("template", {"c": ["test://{id}/more", "{anything}"]})
    found = {
        uri: set(directory.owners_of_uri(uri)) for uri in ("test://one", "file:///y", "memo://1", "test://7/more", "http://x", "test://7")
    }

    assert found == {
        "test://one": {"a", "b"},
        "file:///y": {"a"},
        "memo://1": {"b"},
        "test://7/more": {"c"},
        "http://x": set(),
        "test://7": {"a", "b", "c"},
    }
    assert of_alias(alias("a", "test://one?x#y"), {"a"}) == ("a", "test://one?x#y")
    assert of_alias(alias("b", "test://one"), {"a"}) is None


def test_a_group_is_a_list_of_mcps_or_says_more_of_itself():
    document = parse(
        '{"mcpServers": {"a": {"command": "x"}, "b": {"command": "x"}}, "groups": {"g": ["b", "a"], "h": {"mcps": ["a"], "prefix": false}}}'
    )

    assert groups(document, ["a", "b"]) == {
        ALL: Plan(ALL, ("a", "b")),
        "g": Plan("g", ("b", "a")),
        "h": Plan("h", ("a",), is_prefixed=False),
    }


@pytest.mark.parametrize(
    "said, why",
    [
        ('["a"]', "expected names"),
        ('{"a": ["a"]}', "there is an MCP of this name"),
        ('{"mcp": ["a"]}', "none of"),
        ('{"g": "a"}', "expected a list of MCPs"),
        ('{"g": ["z"]}', "there is no MCP 'z'"),
        ('{"g": {"mcps": ["a"], "prefix": "never"}}', "prefix: must be"),
        ('{"g": {"mcps": ["a"], "wait": 0}}', "wait: must be"),
        ('{"g": {"members": ["a"]}}', "unknown field 'members'"),
    ],
)
def test_a_group_that_is_none_is_refused_by_line_and_name(said, why):
    with pytest.raises(UsageError, match=why) as refused:
        groups(parse(f'{{"mcpServers": {{"a": {{"command": "x"}}}},\n"groups": {said}}}', "mcps.json"), ["a"])

    assert str(refused.value).startswith("mcps.json:2: groups")


def test_no_mcp_can_be_called_all(tmp_path):
    from configs import config, entry
    from support import zoo

    with Bridge(None, "--config", config(tmp_path, all=entry(zoo("echo")), one=entry(zoo("echo")))) as bridge:
        assert "/all/mcp is the address of all MCPs together: rename this one" in bridge.logged("not served")[0]
        with Http(f"{bridge.url}/all") as client:
            assert {tool["name"].partition("-")[0] for tool in client.request("tools/list")["result"]["tools"]} == {"one"}


def test_what_callers_were_shown_is_counted_in_the_memory_and_gives_way_where_that_is_short():
    memory = Budget(6 * MOST_BYTES)
    views = OrderedDict()
    group = SimpleNamespace(_views=views, memory=memory)
    memory.reclaim.append(partial(Group.forget_views, group))
    for caller in range(20):
        view = views[caller] = View({}, memory, str(caller))
        view.learn("tool", {name: [f"{name}-{number}" * 40 for number in range(6000)] for name in "abc"})
        view.learn("resource", {"a": ["x" * 3_000_000, "test://one"]})

    assert MOST_BYTES < view.hold.size < 3 * MOST_BYTES and view.directory.owners("tool", "a-1" * 40) == ("a",)
    assert memory.held == sum(view.hold.size for view in views.values()) <= memory.limit and len(views) > 1
    for number in range(3000):
        view.remember(b"%d" % number, None, b"own")
    assert len(view.targets) == 2000 and memory.held <= memory.limit
    Group.forget_views(group)
    view.remember(b"late", None, b"own")
    assert memory.held == 0


def test_tools_under_their_new_names_take_a_few_megabytes():
    assert renamed.cache_info().maxsize * (2 * CACHED + 400) < 5_000_000
