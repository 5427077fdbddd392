"""`mcp-bridge doctor`: whether this machine has what a fleet needs, and what to do where it has not."""

import argparse
import json

from bridge.fleet import environment as environments
from bridge.fleet.columns import columns
from bridge.fleet.commands.common import load, progress
from bridge.fleet.doctor import examine
from bridge.fleet.doctor.finding import FAILED, OK, Patient
from bridge.fleet.engines import NAMES, choice, remembered
from bridge.fleet.project import Project
from bridge.printable import printable


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine", choices=NAMES, default="", help="the one that shall run the fleet (default: what runs already, else compose)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project = Project.find(arguments.project)
    memory = remembered(project)
    engine = choice.engine(arguments.engine or (memory.engine if memory else "compose"), project, progress())
    environment = environments.with_keys(environments.read(project))
    good, _ = environments.startable(environment, fleet := load(project))
    found = examine(Patient(project, fleet.only([stanza.name for stanza in good]), environment, engine))
    is_ok = all(one.state != FAILED for one in found)
    if arguments.json:
        print(json.dumps({"ok": is_ok, "engine": engine.name, "checks": [one.__dict__ for one in found]}, ensure_ascii=False, indent=2))
    else:
        marks = {OK: "ok", FAILED: "FAILED"}
        print(printable("\n".join(columns([[one.name, marks.get(one.state, one.state), one.seen] for one in found]))))
        print(printable("".join(f"{one.name}: {one.todo}\n" for one in found if one.todo)), end="")
    return 0 if is_ok else 1
