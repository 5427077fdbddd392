"""The callers of images/fleet.yaml as LiteLLM's virtual keys and teams: what each shall be granted there. Pure.

A caller has one key for both doors. The fleet has its SHA-256 alone, and so has LiteLLM, whose keys begin with `sk-`: so `up` can make a key
that it has never seen, and needs no secret for it. LiteLLM grants servers and tools; who may see a tool and not call it is not granted it
there. A team holds what its callers may together, so that it takes nothing from them: it is there for budgets and models.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bridge.callers.caller import Caller
from bridge.callers.rules import Level, Rules
from bridge.fleet import callers
from bridge.fleet.model import Fleet
from bridge.fleet.stanza import Stanza

TEAM = "mcp-bridge:"  # begins the ids of ours
NOTHING = "none"  # no server's id. An empty list is all servers to 1.77.3


@dataclass(frozen=True)
class Grant:
    """Servers of LiteLLM by id, and the tools of those of which not all may be called."""

    servers: frozenset[str] = frozenset()
    tools: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def as_permission(self) -> dict[str, Any]:
        """As LiteLLM's `object_permission`. Groups would add to it."""
        tools = {server: list(names) for server, names in self.tools}
        return {"mcp_servers": sorted(self.servers) or [NOTHING], "mcp_access_groups": [], "mcp_tool_permissions": tools}

    def is_in(self, permission: Mapping[str, Any] | None) -> bool:
        """Whether that is what LiteLLM has."""
        said, wanted = permission or {}, self.as_permission()
        tools = {server: sorted(names) for server, names in (said.get("mcp_tool_permissions") or {}).items()}
        return (
            sorted(said.get("mcp_servers") or []) == wanted["mcp_servers"]
            and not said.get("mcp_access_groups")
            and ("mcp_tool_permissions" not in said or tools == wanted["mcp_tool_permissions"])  # 1.77.3 has no such column
        )


@dataclass(frozen=True)
class Key:
    caller: str
    team: str  # its id; empty for none
    grant: Grant


@dataclass(frozen=True)
class Wanted:
    keys: dict[str, Key]  # by the hash of the key
    teams: dict[str, Grant]  # by id


def wanted(fleet: Fleet, servers: Mapping[str, str], tools: Mapping[str, Iterable[str]] | None) -> Wanted:
    """`servers` are LiteLLM's ids by name, `tools` what it lists of each; None for a LiteLLM that grants no tools."""
    names = [name for name in fleet.callers if name != callers.LITELLM]
    known = callers.check(fleet.callers) if names else None
    keys: dict[str, Key] = {}
    teams: dict[str, list[Grant]] = {}
    for name in names if known else ():
        assert known is not None
        caller, team = known.of(name), callers.team_of(fleet.callers[name])
        grant = _grant(fleet, caller, servers, tools)
        if team:
            teams.setdefault(TEAM + team, []).append(grant)
        keys |= {digest.hex(): Key(name, TEAM + team if team else "", grant) for digest in sorted(caller.digests)}
    return Wanted(keys, {team: _together(grants) for team, grants in teams.items()})


def _grant(fleet: Fleet, caller: Caller, servers: Mapping[str, str], tools: Mapping[str, Iterable[str]] | None) -> Grant:
    granted: set[str] = set()
    some: dict[str, tuple[str, ...]] = {}
    for stanza in fleet.stanzas:
        server = servers.get(stanza.litellm_name)
        if not stanza.litellm.enabled or server is None:
            continue
        rules = caller.on(stanza.name)
        if tools is None:
            granted |= set() if rules.is_hidden else {server}
            continue
        if rules.decide("tool", "").level < Level.EXECUTE or any(rule.kind == "tool" for rule in rules.rules):
            names = tuple(sorted(tool for tool in tools.get(stanza.litellm_name, ()) if _may_call(rules, stanza, tool)))
            if not names:
                continue
            some[server] = names
        granted.add(server)
    return Grant(frozenset(granted), tuple(sorted(some.items())))


def _may_call(rules: Rules, stanza: Stanza, shown: str) -> bool:
    """Rules are about a tool's own name. Where the bridge had to mend that for models, the rules as they look mended count, too."""
    own = next((name for name, other in stanza.tools.rename.items() if other == shown), shown)
    mended = Rules(tuple(replace(rule, name=_mended(rule.name)) for rule in rules.rules), rules.default.level, stanza.name)
    return min(rules.decide("tool", own).level, mended.decide("tool", own).level) >= Level.EXECUTE


def _mended(pattern: str) -> str:
    return re.sub(r"[^A-Za-z0-9_*-]", "_", pattern)


def _together(grants: list[Grant]) -> Grant:
    servers = frozenset(server for grant in grants for server in grant.servers)
    whole = {server for grant in grants for server in grant.servers - {name for name, _ in grant.tools}}
    some: dict[str, set[str]] = {}
    for grant in grants:
        for server, names in grant.tools:
            some.setdefault(server, set()).update(names)
    return Grant(servers, tuple(sorted((server, tuple(sorted(names))) for server, names in some.items() if server not in whole)))
