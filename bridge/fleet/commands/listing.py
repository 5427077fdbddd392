"""`mcp-bridge tools`, `resources`, `prompts`: what the whole fleet offers."""

import argparse
import sys

from bridge.fleet.commands.common import declare_names, running_fleet
from bridge.printable import printable


def declare(parser: argparse.ArgumentParser) -> None:
    declare_names(parser, "only these (default: all that were started)")
    parser.add_argument("--json", action="store_true", help="print them as the servers say them, as JSON")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    from bridge.fleet import listing  # start-up time: it takes the MCP SDK

    kind = arguments.word
    _, engine, _, started, environment = running_fleet(arguments)
    offers = listing.ask(started.fleet, environment, engine.urls(started.fleet, environment), kind)
    print(listing.dump(offers, kind) if arguments.json else "\n".join(listing.as_table(offers, kind)))
    troubled = [offer for offer in offers if offer.trouble]
    for offer in troubled:
        print(printable(f"mcp-bridge: {offer.stanza.name}: {offer.trouble}"), file=sys.stderr)
    return 1 if troubled else 0
