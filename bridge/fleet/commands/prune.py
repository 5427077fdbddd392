"""`mcp-bridge prune`: frees what was built or installed for this project and is not used."""

import argparse

from bridge.fleet.commands.common import load, progress
from bridge.fleet.engines import engine, remembered
from bridge.fleet.project import Project, alone


def declare(parser: argparse.ArgumentParser) -> None:
    pass


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project = Project.find(arguments.project)
    memory = remembered(project)
    with alone(project, "prune"):
        print(engine(memory.engine if memory else "compose", project, progress()).prune(load(project)))
    return 0
