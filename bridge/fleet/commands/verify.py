"""`mcp-bridge verify`: proves hop by hop that every MCP works."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.fleet import definition
from bridge.fleet.alone import alone
from bridge.fleet.columns import columns
from bridge.fleet.commands.common import declare_names, load, progress, running_fleet
from bridge.fleet.engines import NAMES, Engine, Say, Started
from bridge.fleet.environment import Environment
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project

if TYPE_CHECKING:  # importing it takes the SDK, and half a second
    from bridge.fleet.verify.result import Verdict


def declare(parser: argparse.ArgumentParser) -> None:
    declare_names(parser, "only these (default: all that were started)")
    parser.add_argument("--json", action="store_true", help="print everything that was found out, as JSON")
    parser.add_argument(
        "--model", default="", metavar="MODEL", help="let this model of litellm/base.yaml call each MCP through /v1/responses"
    )
    parser.add_argument(
        "--era", choices=("legacy", "both"), default="legacy", help="both: also as a client of MCP 2026-07-28, which has no handshake"
    )
    parser.add_argument(
        "--callers", action="store_true", help="ask as each caller of images/fleet.yaml: what it may works, what it may not is refused"
    )
    parser.add_argument("--engine", choices=NAMES, default="", help="refuse if the fleet was started with another one")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    from bridge.fleet.verify.show import table  # start-up time: it takes the MCP SDK

    project, engine, memory, started, environment = running_fleet(arguments)
    if arguments.callers:
        return _as_callers(project, engine, started, environment, load(project, memory.litellm, is_quiet=True), arguments.json)
    older = definition.older(project, started.fleet, memory.definitions)
    verdict = verify_now(engine, started, environment, arguments.model, progress(), arguments.era == "both", older, project.images)
    print(json.dumps(verdict.as_data(), ensure_ascii=False, indent=2) if arguments.json else table(verdict))
    return 0 if verdict.is_ok and (arguments.names or not started.fleet.unreadable) else 1


def _as_callers(project: Project, engine: Engine, started: Started, environment: Environment, whole: Fleet, as_json: bool) -> int:
    from bridge.fleet.verify import as_callers  # start-up time: it takes the MCP SDK

    with alone(project, "verify"):
        outcomes = as_callers.verify(
            project,
            engine.as_here(started.fleet, environment),
            environment,
            engine.urls(started.fleet, environment),
            lambda callers: engine.give_keys(whole.model_copy(update={"callers": callers}), environment),
        )
    if as_json:
        print(
            json.dumps(
                [{"caller": one.caller, "mcp": one.mcp, "ok": one.is_ok, "hops": [hop.__dict__ for hop in one.hops]} for one in outcomes],
                indent=2,
            )
        )
    else:
        print(as_callers.table(outcomes, columns) if outcomes else "images/fleet.yaml has no callers: mcp-bridge caller add NAME")
    return 0 if all(one.is_ok for one in outcomes) else 1


def verify_now(
    engine: Engine,
    started: Started,
    environment: Environment,
    model: str,
    say: Say,
    both_eras: bool = False,
    older: dict[str, str] | None = None,
    images: Path | None = None,
) -> "Verdict":
    """The verdict on all of `started`. `older`: which of them run as an earlier stanza said; `images`: where it stands what was approved."""
    from bridge.fleet.engines.readiness import seen  # start-up time: it brings an HTTP client
    from bridge.fleet.verify import Subject, verify  # start-up time: it takes the MCP SDK

    say(f"verifying {len(started.fleet.stanzas)} MCPs")
    urls = engine.urls(started.fleet, environment)
    fleet = engine.as_here(started.fleet, environment)
    running = seen(engine, urls, environment)
    return verify(
        Subject(
            engine.name,
            fleet,
            environment,
            urls,
            running,
            model,
            started.left_out,
            say,
            both_eras,
            started.troubles,
            older=older or {},
            images=images,
        )
    )
