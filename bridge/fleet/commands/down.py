"""`mcp-bridge down`: ends what `up` started, and says what it kept."""

import argparse
import sys

from bridge.fleet.alone import alone
from bridge.fleet.commands.common import progress
from bridge.fleet.engines import NAMES, Engine, checkout, choice, forget
from bridge.fleet.engines.choice import running
from bridge.fleet.project import Project
from bridge.settings import UsageError


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--volumes", action="store_true", help="also delete what the MCPs and the database keep")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project = Project.find(arguments.project)
    try:
        engine, _ = running(project, progress())
    except UsageError:
        left = _that_kept_something(project) if arguments.volumes else None
        if left is None:
            print("nothing was started here", file=sys.stderr)
            return 0
        engine = left
    with alone(project, "down"):
        engine.down(arguments.volumes)
        forget(project)
    if kept := engine.kept():
        print(f"kept: {', '.join(kept)}\n`mcp-bridge down --volumes` deletes them")
    if note := engine.built():
        print(note)
    return 0


def _that_kept_something(project: Project) -> Engine | None:
    """The engine of which an earlier `down` left volumes. Without a name of our own in compose/.env, Docker's are not known to be ours."""
    engines = [choice.engine(name, project, progress()) for name in NAMES if name != "compose" or checkout.said_name(project)]
    return next((engine for engine in engines if engine.kept()), None)
