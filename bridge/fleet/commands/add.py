"""`mcp-bridge add`: a new MCP's stanza. All of it is in bridge/fleet/add.py."""

import argparse

from bridge.fleet import add
from bridge.fleet.project import Project

declare = add.add_arguments


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    return add.run(Project.find(arguments.project), arguments, words)
