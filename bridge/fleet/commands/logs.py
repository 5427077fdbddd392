"""`mcp-bridge logs`: what an MCP, LiteLLM, or all of them logged."""

import argparse

from bridge.fleet.commands.common import declare_names, progress
from bridge.fleet.engines import Excerpt
from bridge.fleet.engines.choice import running
from bridge.fleet.project import Project
from bridge.settings import UsageError


def declare(parser: argparse.ArgumentParser) -> None:
    declare_names(parser, "MCPs, or litellm, prometheus, … (default: all)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on printing what comes")
    parser.add_argument("--tail", type=int, default=None, metavar="N", help="only the last N lines of each")
    parser.add_argument("--since", default="", metavar="WHEN", help="only what is younger: 10m, 2h, 1d, or a time (2026-11-26T13:00:00)")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    try:
        excerpt = Excerpt.of(arguments.tail, arguments.since, arguments.follow)
    except ValueError as error:
        raise UsageError(str(error)) from None
    engine, _ = running(Project.find(arguments.project), progress())
    return engine.logs(arguments.names, excerpt)
