"""The callers as LiteLLM's virtual keys and teams: what is granted, and that only what differs is told to LiteLLM."""

import re

import pytest

from bridge.fleet import Fleet, Stanza, callers
from bridge.fleet.engines import virtual_keys
from bridge.fleet.engines.virtual_keys import Database, _agree
from bridge.fleet.litellm_keys import NOTHING, Grant, Key, Wanted, wanted
from bridge.fleet.model import LiteLLM
from bridge.settings import UsageError

ONE, TWO, THREE = (f"{number}" * 64 for number in (1, 2, 3))
SERVERS = {"clock": "id-clock", "files": "id-files", "notes": "id-notes"}
TOOLS = {"clock": ["now", "set"], "files": ["read_file", "write_file", "delete_file", "user_get"], "notes": ["add"]}


def fleet(said: dict, **litellm: object) -> Fleet:
    return Fleet(stanzas=[Stanza(name=name, command="x") for name in SERVERS], callers=said, litellm=LiteLLM(database=True, **litellm))


def grant(may: dict | None = None, tools: dict | None = TOOLS, **more: object) -> dict:
    """What a caller with these rules is granted."""
    said = {"alice": {"token_sha256": ONE, "may": may or {}, **more}}
    return wanted(fleet(said), SERVERS, tools).keys[ONE].grant.as_permission()


def test_who_may_call_all_of_an_mcp_is_granted_that_server():
    assert grant({"clock/*": "execute"}) == {"mcp_servers": ["id-clock"], "mcp_access_groups": [], "mcp_tool_permissions": {}}
    assert grant(default="execute")["mcp_servers"] == sorted(SERVERS.values())


def test_who_may_call_some_tools_is_granted_these():
    may = {"files/*": "execute", "*/delete_*": "deny", "clock/now": "execute"}

    assert grant(may)["mcp_tool_permissions"] == {"id-files": ["read_file", "user_get", "write_file"], "id-clock": ["now"]}
    assert grant(may)["mcp_servers"] == ["id-clock", "id-files"]


def test_who_may_call_nothing_is_granted_what_is_no_server():
    """An empty list is all servers to 1.77.3. LiteLLM knows nothing between seeing a tool and calling it."""
    assert grant({"clock/*": "read"})["mcp_servers"] == grant({"clock/now": "read"})["mcp_servers"] == [NOTHING]


def test_a_name_that_was_mended_for_models_is_not_granted_by_its_new_spelling():
    assert "user_get" not in grant({"files/*": "execute", "files/user.get": "deny"})["mcp_tool_permissions"]["id-files"]


def test_an_mcp_whose_tools_are_not_known_is_granted_whole_or_not_at_all():
    assert grant({"clock/*": "execute", "files/read_file": "execute"}, {})["mcp_servers"] == ["id-clock"]


def test_a_litellm_that_grants_no_tools_is_told_of_what_may_be_seen():
    assert grant({"clock/now": "execute", "files/*": "read", "notes/*": "deny"}, None)["mcp_servers"] == ["id-clock", "id-files"]


def test_a_team_is_what_its_callers_may_together():
    said = {
        "alice": {"token_sha256": ONE, "team": "kitchen", "may": {"files/read_file": "execute", "clock/*": "execute"}},
        "bob": {"token_sha256": [TWO, THREE], "team": "kitchen", "may": {"files/write_file": "execute", "clock/now": "execute"}},
    }
    want = wanted(fleet(said), SERVERS, TOOLS)

    assert want.teams["mcp-bridge:kitchen"].as_permission() == {
        "mcp_servers": ["id-clock", "id-files"],
        "mcp_access_groups": [],
        "mcp_tool_permissions": {"id-files": ["read_file", "write_file"]},
    }
    assert {token: (key.caller, key.team) for token, key in want.keys.items()} == {
        ONE: ("alice", "mcp-bridge:kitchen"),
        TWO: ("bob", "mcp-bridge:kitchen"),
        THREE: ("bob", "mcp-bridge:kitchen"),
    }


def test_bridges_know_nothing_of_teams_and_a_team_has_a_name():
    said = {"alice": {"token_sha256": ONE, "team": "kitchen", "default": "read"}}

    assert "team" not in callers.shipped(said)["callers"]["alice"]
    assert callers.check(said).of("alice").default.word == "read"
    with pytest.raises(UsageError, match="callers.alice: team: expected a name"):
        callers.check({"alice": {"token_sha256": ONE, "team": "a b"}})


def test_who_comes_without_a_key_of_their_own_calls_nothing_where_litellm_does_not_hold_keys_to_grants():
    said = {"alice": {"token_sha256": ONE, "default": "execute"}}

    def may(one: Fleet) -> list[str]:
        rules = callers.check({callers.LITELLM: one.litellm_may}).of(callers.LITELLM).on("clock")
        return [rules.decide(kind, "x").level.word for kind in ("tool", "prompt", "resource")]

    assert may(fleet(said)) == ["read", "deny", "deny"]
    assert may(fleet(said, version="1.106.2")) == ["execute", "deny", "deny"]  # which grants no prompts and no resources
    all_of_it = ["execute"] * 3
    assert may(fleet({})) == may(fleet({"litellm": {"may": {"clock/*": "read"}}})) == may(Fleet(stanzas=[], callers=said)) == all_of_it


# ---- what LiteLLM is told


class Told:
    """A LiteLLM that writes down what it is told, and a database that writes down what is added."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict]] = []
        self.added: list[str] = []
        self.database = Database(lambda sql: self.added.append(sql) or "")

    def tell(self, path: str, **body: object) -> None:
        self.said.append((path, body))

    def after(self, want: Wanted, keys: list[dict], teams: list[dict] | None = None) -> list[str]:
        _agree(want, {"keys": keys, "teams": teams or []}, self.database, self)  # type: ignore[arg-type]  # a fake
        return [path for path, _ in self.said]


CLOCK = Grant(frozenset({"id-clock"}))
ALICE = Wanted({ONE: Key("alice", "", CLOCK)}, {})


def row(token: str = ONE, ours: bool = True, team: str | None = None, **permission: object) -> dict:
    said = {"mcp_servers": ["id-clock"], "mcp_access_groups": [], "mcp_tool_permissions": None} | permission
    return {"token": token, "team": team, "ours": ours, "permission": said}


def test_what_is_right_is_left_alone():
    told = Told()
    assert told.after(ALICE, [row(), row(TWO, ours=False, mcp_servers=["id-files"])]) == [] and told.added == []


def test_a_key_that_is_not_there_is_written_by_its_hash_and_then_granted():
    told = Told()

    assert told.after(ALICE, []) == ["/key/update"]
    assert ONE in told.added[0] and "on conflict do nothing" in told.added[0]
    assert told.said[0][1] == {"key": ONE, "team_id": None, "object_permission": CLOCK.as_permission()}


@pytest.mark.parametrize(
    "changed",
    [
        {"mcp_servers": ["id-clock", "id-files"]},
        {"mcp_servers": []},
        {"mcp_access_groups": ["everyone"]},
        {"mcp_tool_permissions": {"id-clock": ["now"]}},
        {"team": "of-an-operator"},
    ],
)
def test_what_was_altered_by_hand_is_repaired(changed):
    assert Told().after(ALICE, [row(**changed)]) == ["/key/update"]


def test_what_no_caller_has_any_more_goes_first_and_others_keys_stay():
    told = Told()

    assert told.after(ALICE, [row(TWO), row(THREE, ours=False)])[0] == "/key/delete"
    assert told.said[0][1] == {"keys": [TWO]}


def test_a_team_is_made_repaired_and_removed_but_not_with_keys_that_are_not_ours():
    want = Wanted({ONE: Key("alice", "mcp-bridge:kitchen", CLOCK)}, {"mcp-bridge:kitchen": CLOCK})
    right = {"id": "mcp-bridge:kitchen", "permission": row()["permission"]}

    assert Told().after(want, [row()]) == ["/team/new", "/key/update"]
    assert Told().after(want, [row(team="mcp-bridge:kitchen")], [right]) == []
    assert Told().after(want, [row(team="mcp-bridge:kitchen")], [right | {"permission": None}]) == ["/team/update"]
    assert Told().after(ALICE, [row()], [right]) == ["/team/delete"]
    assert Told().after(ALICE, [row(), row(TWO, ours=False, team="mcp-bridge:kitchen")], [right]) == []


def test_a_callers_name_is_no_sql():
    told = Told()
    told.database.add(ONE, Key("o'reilly\\", "", CLOCK))

    assert "'o''reilly\\'" in told.added[0] and re.search(r"%L, %L, nullif", virtual_keys.NEW)
