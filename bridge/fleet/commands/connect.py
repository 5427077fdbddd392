"""`mcp-bridge connect CLIENT [NAME… | --group GROUP] [--as CALLER]`: what to paste, so that a client reaches the MCPs that this caller may see."""

import argparse

from bridge.fleet import callers
from bridge.fleet.clients import CLIENTS
from bridge.fleet.commands.common import declare_names, running_fleet
from bridge.fleet.model import Fleet
from bridge.fleet.stanza import Stanza
from bridge.group.plan import ALL
from bridge.settings import UsageError

KEY = "KEY"


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("client", choices=tuple(CLIENTS))
    declare_names(parser, "only these MCPs (default: all that were started and that the caller may see)")
    parser.add_argument(
        "--as", dest="caller", default=callers.OPERATOR, metavar="CALLER", help="who the client is (default: you, the operator)"
    )
    parser.add_argument("--group", metavar="GROUP", help="one address for many: that of this group of images/fleet.yaml, or of `all`")
    parser.add_argument("--with-key", action="store_true", help="with the operator's key in it, which stands in compose/.env")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    _, engine, _, started, environment = running_fleet(arguments)
    who, fleet = arguments.caller, started.fleet
    if arguments.with_key and who != callers.OPERATOR:
        raise UsageError(
            f"only the hash of {who}'s key is kept: it was shown when {who} was added; `mcp-bridge caller rotate {who}` makes another"
        )
    if who not in (callers.OPERATOR, *fleet.callers) or who == callers.LITELLM:
        there = ", ".join(name for name in fleet.callers if name != callers.LITELLM) or "none yet: mcp-bridge caller add NAME"
        raise UsageError(f"--as {who}: no such caller; there are {there}")
    known = callers.check(fleet.callers)
    seen = [one for one in fleet.sidecars if who == callers.OPERATOR or not known.of(who).on(one.name).is_hidden]
    if not seen:
        raise UsageError(f"{who} may see none of {', '.join(one.name for one in fleet.sidecars)}: what it may stands in images/fleet.yaml")
    at = engine.urls(fleet, environment.as_shown())
    key = environment.values.get("BRIDGE_TOKEN", KEY) if arguments.with_key else KEY
    urls = {one.name: f"{at.of(one)}/mcp" for one in seen}
    if arguments.group:
        seen = _members(fleet, arguments.group, engine.name, seen)
        urls = {arguments.group: f"{at.mcps}/{arguments.group}/mcp"}
    print(CLIENTS[arguments.client](urls, key))
    if key == KEY:
        place = "BRIDGE_TOKEN of compose/.env (--with-key writes it)" if who == callers.OPERATOR else f"{who}'s, shown when {who} was added"
        print(f"\n{KEY}: {place}")
    for one in seen:
        if headers := one.secret_headers:
            print(f"{one.name} takes {who}'s own secrets in the headers {', '.join(headers)}, if they are not kept here")
    return 0


def _members(fleet: Fleet, group: str, engine: str, seen: list[Stanza]) -> list[Stanza]:
    """Those of the group that the caller may see. Raises UsageError."""
    there = [ALL] if engine == "embedded" and not fleet.groups else fleet.group_names
    if group not in there:
        raise UsageError(
            f"--group {group}: no such group; "
            + (f"there are {', '.join(there)}" if there else "`groups: {all: {}}` in images/fleet.yaml makes one")
        )
    members = [one for one in seen if one.name in fleet.members_of(group)]
    if not members:
        raise UsageError(f"--group {group}: this caller may see none of {', '.join(fleet.members_of(group))}")
    return members
