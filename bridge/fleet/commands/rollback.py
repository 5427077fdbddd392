"""`mcp-bridge rollback NAME`: the version before the last update, from what was kept of it; nothing is asked of any index."""

import argparse
from functools import partial

from bridge.fleet.alone import alone
from bridge.fleet.commands.common import known, load, progress
from bridge.fleet.commands.update import declare_wait, running, told, told_why
from bridge.fleet.project import Project
from bridge.fleet.update import Stays, own, previous
from bridge.fleet.update.steps import back, of_mcp, of_part
from bridge.fleet.update.switch import switch
from bridge.printable import printable


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="NAME", help="the MCP, or litellm, database, prometheus, base-images; a second time goes forth again"
    )
    declare_wait(parser)


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project, say = Project.find(arguments.project), progress()
    fleet = load(project)
    name = arguments.name
    is_part = name in own.PARTS and not any(one.name == name for one in fleet.stanzas)
    stanza = None if is_part else known(fleet, [name])[0]
    with alone(project, "rollback"):
        now = running(project, fleet, say)
        runs = now if now and (stanza is None or name in now.memory.names) else None
        try:
            if stanza is None:
                part = back(project, fleet, name)
                lines, one = part.told(), of_part(project, fleet, part, runs, say)
            else:
                change = previous.back(project, stanza)
                reload = partial(load, project, runs.memory.litellm if runs else "", is_quiet=True)
                lines, one = [told(change.pins)], of_mcp(project, change, reload, lambda listed: [])
            print(printable(f"{name}: {', '.join(lines)}"), flush=True)
            switch(one, runs, arguments.wait, say)
        except Stays as why:
            told_why(name, why)
            return 1
    print(f"{name}: {'went back' if runs else 'went back; it does not run: `mcp-bridge up` starts it'} (again: goes forth)")
    return 0
