"""`mcp-bridge rollback NAME`: the version before the last update, from what was kept of it; nothing is asked of any index."""

import argparse

from bridge.fleet.alone import alone
from bridge.fleet.commands.common import known, load, progress
from bridge.fleet.commands.update import declare_wait, running, told
from bridge.fleet.project import Project
from bridge.fleet.update import Stays, previous
from bridge.fleet.update.switch import switch
from bridge.printable import printable


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the MCP; a second time goes forth again")
    declare_wait(parser)


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project, say = Project.find(arguments.project), progress()
    fleet = load(project)
    [stanza] = known(fleet, [arguments.name])
    with alone(project, "rollback"):
        now = running(project, fleet, say)
        runs = now if now and stanza.name in now.memory.names else None
        try:
            change = previous.back(project, stanza)
            print(printable(f"{stanza.name}: {told(change.pins)}"), flush=True)
            switch(
                project, change, runs, lambda: load(project, runs.memory.litellm if runs else ""), arguments.wait, say, lambda listed: []
            )
        except Stays as why:
            print(printable(f"{stanza.name}: stays as it is: {why}"))
            return 1
    print(f"{stanza.name}: {'went back' if runs else 'went back; it does not run: `mcp-bridge up` starts it'} (again: goes forth)")
    return 0
