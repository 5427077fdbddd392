"""`mcp-bridge prune`: frees what was built or installed for this project and is not used."""

import argparse

from bridge.fleet.alone import alone
from bridge.fleet.commands.common import progress
from bridge.fleet.engines import remembered
from bridge.fleet.engines.choice import engine
from bridge.fleet.project import Project


def declare(parser: argparse.ArgumentParser) -> None:
    pass


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project = Project.find(arguments.project)
    memory = remembered(project)
    with alone(project, "prune"):
        print(engine(memory.engine if memory else "compose", project, progress()).prune())
    return 0
