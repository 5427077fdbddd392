"""`mcp-bridge lock`: pins the packages of MCPs, with hashes."""

import argparse
import sys

from bridge.fleet import digests, lock
from bridge.fleet.commands.common import chosen, declare_names, load
from bridge.fleet.project import Project


def declare(parser: argparse.ArgumentParser) -> None:
    declare_names(parser, "only these (default: all, and the bridge's own)")
    parser.add_argument("--upgrade", action="store_true", help="resolve anew even what did not change")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project = Project.find(arguments.project)
    fleet = load(project)
    readable = fleet.only([stanza.name for stanza in chosen(fleet, arguments.names)])
    changed = lock.lock_all(project, readable, arguments.names, arguments.upgrade)
    if not arguments.names:
        more, why = digests.lock(project, fleet, arguments.upgrade)
        changed += more
        for image, reason in why.items():
            print(f"{image}: stays without a digest: {reason}", file=sys.stderr)
    print("\n".join(changed) if changed else "nothing changed")
    return 1 if fleet.unreadable and not arguments.names else 0
