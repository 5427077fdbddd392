"""`mcp-bridge secret list|set|remove`: the values that each caller has its own of. They count at once: nothing is started anew."""

import argparse
import getpass
import sys

from bridge.fleet import secrets_of_callers
from bridge.fleet.commands.common import load
from bridge.fleet.project import Project
from bridge.settings import UsageError

ACTIONS = ("list", "set", "remove")


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="set asks for the value, or takes it from standard input")
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="of the secret: GITHUB_TOKEN")
    parser.add_argument("--caller", default="", metavar="NAME", help="whose value it is")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project = Project.find(arguments.project)
    fleet = load(project)
    if arguments.action == "list":
        lines = [line for line in secrets_of_callers.told(project, fleet) if not arguments.name or f": {arguments.name} " in line]
        print("\n".join(lines) or "no stanza has a secret that is `per: caller`")
        return 0
    name, caller = arguments.name, arguments.caller
    if not (name and caller):
        raise UsageError(f"mcp-bridge secret {arguments.action} NAME --caller CALLER")
    if name not in fleet.caller_secrets:
        there = ", ".join(sorted(fleet.caller_secrets)) or "none"
        raise UsageError(f"no stanza has a secret {name!r} that is `per: caller`; there is {there}")
    if name in (misplaced := secrets_of_callers.misplaced(project, fleet)):
        raise UsageError(misplaced[name])
    if arguments.action == "remove":
        is_gone = secrets_of_callers.forget(project, name, caller)
        print(f"{caller} has no {name} any more" if is_gone else f"{caller} had no {name}")
        return 0
    value = (getpass.getpass(f"{name} of {caller}: ") if sys.stdin.isatty() else sys.stdin.read()).removesuffix("\n")
    if not value:
        raise UsageError("an empty value: nothing was written")
    secrets_of_callers.keep(project, name, caller, value)
    print(f"{caller} has its own {name} from now on")
    return 0
