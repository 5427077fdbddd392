"""`mcp-bridge status`: how each MCP is, a line each, once or as long as somebody looks. Of the fleet, or of any bridge by its URL."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bridge.fleet.columns import columns
from bridge.fleet.commands.common import declare_names, left_out_lines, running_fleet
from bridge.printable import printable, shortened
from bridge.settings import UsageError

EVERY = 2.0  # seconds between two looks
AT_ONCE = 8
LONGEST = 100  # characters of the last event
HEAD = ["name", "state", "calls", "errors", "p95", "memory", "last event"]
CLEAR = "\x1b[H\x1b[2J"
Said = dict[str, dict[str, Any]]  # by MCP, what its bridge says of it; empty where nobody answers


def declare(parser: argparse.ArgumentParser) -> None:
    declare_names(parser, "only these (default: all that were started)")
    parser.add_argument("--watch", action="store_true", help=f"show it again every {EVERY:g} seconds, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print what the bridges say, as JSON")
    parser.add_argument("--url", default="", metavar="URL", help="of this bridge (`mcp-bridge serve`), and not of the fleet")
    parser.add_argument(
        "--token-file", metavar="FILE", help="with --url: send its last word as the bearer token (default: $MCP_BRIDGE_TOKEN, if it is set)"
    )


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    look, more = _of_bridge(arguments) if arguments.url else _of_fleet(arguments)
    said = look()
    try:
        while True:
            if arguments.json:
                print(json.dumps(said), flush=True)
            else:
                clear = CLEAR if arguments.watch and sys.stdout.isatty() else ""
                print(clear + "\n".join([*_table(said), *more]), flush=True)
            if not arguments.watch:
                return 0 if said and all(one.get("status") == "ready" for one in said.values()) else 1
            time.sleep(EVERY)
            try:
                said = look()
            except UsageError as why:  # it is started anew, perhaps
                print(f"mcp-bridge: {why}", file=sys.stderr)
                said = {name: {} for name in said}
    except KeyboardInterrupt:
        return 0


def _of_fleet(arguments: argparse.Namespace) -> tuple[Callable[[], Said], list[str]]:
    from bridge.fleet.ask import Http  # start-up time: it brings an HTTP client
    from bridge.fleet.engines.readiness import asked, of_one, token  # as above

    _, engine, _, started, environment = running_fleet(arguments)
    urls, headers, http = engine.urls(started.fleet, environment), token(environment), Http()
    mcps = [stanza for stanza in started.fleet.stanzas if not stanza.is_remote]

    def look() -> Said:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = pool.map(lambda stanza: asked(http, f"{urls.of(stanza)}/status.json", headers), mcps)
            return {
                stanza.name: of_one(stanza.name, one.json()) if one is not None and one.status == 200 else {}
                for stanza, one in zip(mcps, answers, strict=True)
            }

    return look, left_out_lines(started.left_out)


def _of_bridge(arguments: argparse.Namespace) -> tuple[Callable[[], Said], list[str]]:
    from bridge.callers.check import sent_token  # start-up time: only with --url
    from bridge.fleet.ask import Http, NoResponse  # as above

    token, http, url = sent_token(arguments.token_file), Http(is_here=False), arguments.url.rstrip("/").removesuffix("/mcp")
    headers = {"authorization": f"Bearer {token}"} if token else {}

    def look() -> Said:
        try:
            answer = http.get(f"{url}/status.json", headers)
        except NoResponse as why:
            raise UsageError(f"{url}: {why}: is a bridge up there?") from None
        mcps = answer.json().get("mcps")
        if answer.status != 200 or not isinstance(mcps, dict):
            raise UsageError(f"{url}/status.json: {answer.words}")
        for name in arguments.names:
            if name not in mcps:
                raise UsageError(f"no MCP {name!r} at {url}; there are {', '.join(mcps)}")
        return {name: one for name, one in mcps.items() if not arguments.names or name in arguments.names}

    return look, []


def _table(said: Said) -> Iterable[str]:
    return columns([HEAD, *(_row(name, one) for name, one in said.items())]) if said else ["no MCPs"]


def _row(name: str, one: dict[str, Any]) -> list[str]:
    if not one:
        return [name, "down", "", "", "", "", "its bridge does not answer: `mcp-bridge ps`"]
    event = one.get("last_event") or {}
    last = " ".join(
        filter(None, [str(event.get("time", ""))[11:19], str(event.get("event", "")), f"({event['why']})" if "why" in event else ""])
    )
    calls = one.get("calls")
    return [
        name,
        str(one.get("state", "")),
        _count(calls),
        _count(one.get("errors")),
        _duration(one.get("p95_call_seconds")) if calls else "",
        _size(one.get("memory_bytes")),
        shortened(printable(" ".join(last.split())), LONGEST),
    ]


def _count(value: object) -> str:
    return str(value) if isinstance(value, int) else ""


def _duration(value: object) -> str:
    if not isinstance(value, int | float):
        return ""
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def _size(value: object) -> str:
    return f"{value / (1 << 20):.0f} MiB" if isinstance(value, int) and value else ""
