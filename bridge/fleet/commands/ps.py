"""`mcp-bridge ps`: what runs."""

import argparse
import json
from collections.abc import Iterable

from bridge.fleet import environment as environments
from bridge.fleet import secrets_of_callers
from bridge.fleet.columns import columns
from bridge.fleet.commands.common import left_out_lines, load, progress, with_made_keys
from bridge.fleet.engines import Engine, LastUp, Running
from bridge.fleet.engines.choice import running
from bridge.fleet.project import Project
from bridge.settings import UsageError


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project = Project.find(arguments.project)
    engine, memory = running(project, progress())
    found = _found(project, engine)
    if arguments.json:
        print(json.dumps({"engine": engine.name, "services": [one.__dict__ for one in found], "left_out": memory.left_out}, indent=2))
    else:
        print("\n".join(columns([["name", "state", ""], *([one.name, one.state, one.detail] for one in found)])))
        for line in (*left_out_lines(memory.left_out), *_told(project, memory)):
            print(line)
    return 0 if found and all(one.is_up for one in found) else 1


def _told(project: Project, memory: LastUp) -> Iterable[str]:
    """Which callers have values of their own, where the stanzas can be read."""
    try:
        return secrets_of_callers.told(project, load(project, memory.litellm, is_quiet=True).only(memory.names))
    except UsageError:
        return ()


def _found(project: Project, engine: Engine) -> list[Running]:
    """Each MCP as its bridge sees it, where the stanzas can be read: they say where that is to be asked."""
    from bridge.fleet.engines.readiness import seen  # start-up time: it brings an HTTP client

    try:
        fleet, environment = load(project), with_made_keys(engine, environments.read(project))
        return seen(engine, engine.urls(fleet, environment), environment)
    except UsageError:
        return engine.ps()
