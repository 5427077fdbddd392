"""`mcp-bridge ps`: what runs."""

import argparse
import json

from bridge.fleet.commands.common import left_out_lines, progress
from bridge.fleet.engines.choice import running
from bridge.fleet.project import Project


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    from bridge.fleet.verify.show import columns  # start-up time: it takes the MCP SDK

    engine, memory = running(Project.find(arguments.project), progress())
    found = engine.ps()
    if arguments.json:
        print(json.dumps({"engine": engine.name, "services": [one.__dict__ for one in found], "left_out": memory.left_out}, indent=2))
    else:
        print("\n".join(columns([["name", "state", ""], *([one.name, one.state, one.detail] for one in found)])))
        for line in left_out_lines(memory.left_out):
            print(line)
    return 0 if found and all(one.is_up for one in found) else 1
