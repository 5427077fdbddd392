"""`mcp-bridge render`: writes the files that follow from the stanzas."""

import argparse
import sys
from pathlib import Path

from bridge.fleet import files
from bridge.fleet.commands.common import declare_litellm_version, load
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project
from bridge.settings import UsageError


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is not as it would be written")
    parser.add_argument("--target", choices=("compose", "kubernetes"), default="compose", help="compose: all that is committed (default)")
    parser.add_argument(
        "--output", default="", metavar="DIR", help="where to write (default: the project; for kubernetes its folder 'kubernetes')"
    )
    declare_litellm_version(parser)


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project = Project.find(arguments.project)
    fleet = load(project, arguments.litellm_version)
    _refuse_to_drop(project, fleet, arguments.target)
    root = Path(arguments.output) if arguments.output else project.root
    made = list(fleet.render(arguments.target))
    if arguments.check:
        wrong = files.stale(root, made) + (files.left_over(root, made) if arguments.target == "compose" else [])
        for path in wrong:
            print(path)
        if wrong:
            print(f"mcp-bridge: {len(wrong)} files are not what the stanzas say: `mcp-bridge render` writes them", file=sys.stderr)
        return 1 if wrong or fleet.unreadable else 0
    changed = files.write(root, made)
    if arguments.target == "compose":
        changed += [f"{path} (removed)" for path in files.remove_left_over(root, made)]
    print("\n".join(changed) if changed else "nothing changed")
    return 1 if fleet.unreadable else 0


def _refuse_to_drop(project: Project, fleet: Fleet, target: str) -> None:
    """These files are committed: an MCP that they have does not go from them unseen because of a mistake in its stanza. Raises UsageError."""
    if gone := [name for name in fleet.lost if target != "compose" or (project.compose / f"{name}.yaml").exists()]:
        raise UsageError(
            f"nothing is written: {', '.join(gone)} would go from the files of all (the stanza has a mistake, and was never started here): "
            "mend the stanza, or remove its folder"
        )
