"""`mcp-bridge approve`: the tools of an MCP as its server says them now are those that it may have."""

import argparse
import sys

from bridge.fleet.approved import NotListed, tools
from bridge.fleet.ask import Http
from bridge.fleet.commands.common import asked, declare_names, running_fleet
from bridge.fleet.engines.readiness import token
from bridge.fleet.files import File, write
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza
from bridge.pins.changes import shown
from bridge.pins.lock import FILE, BadLock, Lock
from bridge.printable import printable


def declare(parser: argparse.ArgumentParser) -> None:
    declare_names(parser, "only these (default: all that were started)")
    parser.add_argument("--yes", action="store_true", help="do not ask: approve what is shown")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project, engine, _, started, environment = running_fleet(arguments)
    urls, headers = engine.urls(started.fleet, environment), token(environment)
    is_done = True
    with Http() as http:
        for stanza in started.fleet.stanzas:
            if stanza.is_remote:
                if arguments.names:
                    print(f"{stanza.name}: it is remote: no bridge of ours sees what LiteLLM is told by it")
                    is_done = False
                continue
            try:
                is_done = _one(project, stanza, tools(http, urls.of(stanza), headers), arguments.yes) and is_done
            except NotListed as why:
                print(printable(f"mcp-bridge: {stanza.name}: {why}"), file=sys.stderr)
                is_done = False
    return 0 if is_done else 1


def _one(project: Project, stanza: Stanza, listed: list[dict[str, object]], is_sure: bool) -> bool:
    """Whether the tools that there are now are approved."""
    path = project.folder(stanza) / FILE
    try:
        before = Lock.read(path)
    except BadLock as why:
        print(f"{why} (it is written anew)", file=sys.stderr)
        before = None
    now = Lock.of(listed)
    lines = shown(before or Lock({}, {}), listed)
    if before is not None and not lines:
        print(f"{stanza.name}: {len(now.digests)} tools, all as they were approved")
        return True
    print(
        printable(
            "\n".join([f"{stanza.name}:" + (" nothing was approved before" if before is None else ""), *(f"  {line}" for line in lines)])
        )
    )
    if not is_sure and not asked(f"Approve these {len(now.digests)} tools of {stanza.name}? [y/N] "):
        print(f"{stanza.name}: not approved" + ("" if sys.stdin.isatty() else " (nobody is there to be asked: --yes)"))
        return False
    write(project.root, [File(f"images/{stanza.name}/{FILE}", now.text())])
    print(f"{stanza.name}: {len(now.digests)} tools approved (images/{stanza.name}/{FILE})")
    return True
