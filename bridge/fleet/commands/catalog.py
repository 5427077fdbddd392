"""`mcp-bridge catalog`: every MCP that has a stanza, whether it can start, and what it needs."""

import argparse
import json
from collections.abc import Collection

from bridge.fleet import environment as environments
from bridge.fleet.columns import columns
from bridge.fleet.commands.common import load
from bridge.fleet.engines import LastUp, remembered
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project = Project.find(arguments.project)
    fleet, memory = load(project, is_quiet=True), remembered(project)
    environment = environments.with_keys(environments.read(project))
    good, _ = environments.startable(environment, fleet)
    rows = [
        {
            "name": stanza.name,
            "state": _state(stanza, good, memory),
            "about": stanza.description,
            "needs": fleet.unreadable.get(stanza.name)
            or environments.absent(stanza, environment)
            or (memory.left_out if memory else {}).get(stanza.name, ""),
        }
        for stanza in fleet.stanzas
    ]
    rows += [{"name": name, "state": "BROKEN", "about": "", "needs": fleet.unreadable[name]} for name in fleet.lost]
    if arguments.json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        print("\n".join(columns([["MCP", "state", "what it does"], *([row["name"], row["state"], row["about"]] for row in rows)])))
        for row in rows:
            if row["needs"]:
                print(f"{row['name']}: {row['needs']}")
    return 0


def _state(stanza: Stanza, good: Collection[Stanza], memory: LastUp | None) -> str:
    if memory and stanza.name in memory.names:
        return "BROKEN" if stanza.name in memory.troubles else "started"
    return "can start" if stanza in good else "for tests" if stanza.tests_only else "needs something"
