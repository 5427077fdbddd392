"""`mcp-bridge lint`: what is odd in the tools of the fleet's MCPs, and what their lists cost a model."""

import argparse
import json
import sys
from typing import Any

from bridge.fleet.approved import NotListed, tools
from bridge.fleet.ask import Http
from bridge.fleet.commands.common import declare_names, known, load, running_fleet
from bridge.fleet.engines import remembered
from bridge.fleet.engines.readiness import token
from bridge.fleet.lint import Finding, Tools, findings
from bridge.fleet.lint.tokens import estimate
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project
from bridge.pins.lock import FILE, BadLock, Lock
from bridge.printable import printable


def declare(parser: argparse.ArgumentParser) -> None:
    declare_names(parser, "only these (default: all that run, and those of which it is written down what was approved)")
    parser.add_argument("--strict", action="store_true", help="exit with code 1 if anything is odd")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project = Project.find(arguments.project)
    fleet = load(project)
    known(fleet, arguments.names)
    listed, sources, troubles = _lists(project, fleet, arguments)
    wanted = [stanza for stanza in fleet.stanzas if stanza.name in listed and stanza.name in (arguments.names or listed)]
    found = {
        stanza.name: findings(stanza, listed[stanza.name], {name: other for name, other in listed.items() if name != stanza.name})
        for stanza in wanted
    }
    if arguments.json:
        print(json.dumps(_data(found, listed, sources), ensure_ascii=False, indent=2))
    else:
        print(printable("\n".join(_lines(found, listed, sources))))
    missing = [name for name in arguments.names if name not in listed]
    for name in missing:
        print(
            printable(f"mcp-bridge: {name}: {troubles.get(name, 'its tools are not known: start it, or `mcp-bridge approve` them')}"),
            file=sys.stderr,
        )
    if missing or not found:
        if not found and not missing:
            print("mcp-bridge: no list of tools is known: `mcp-bridge up` first", file=sys.stderr)
        return 1
    return int(arguments.strict and any(found.values()))


def _lists(project: Project, fleet: Fleet, arguments: argparse.Namespace) -> tuple[dict[str, Tools], dict[str, str], dict[str, str]]:
    """The tools by MCP as the servers say them, where each list is from, and why some do not say it."""
    listed: dict[str, Tools] = {}
    sources: dict[str, str] = {}
    troubles: dict[str, str] = {}
    if remembered(project) is not None:
        everybody = argparse.Namespace(**{**vars(arguments), "names": []})
        _, engine, _, started, environment = running_fleet(everybody, is_quiet=True)
        urls, headers = engine.urls(started.fleet, environment), token(environment)
        with Http() as http:
            for stanza in started.fleet.sidecars:
                try:
                    listed[stanza.name] = tools(http, urls.of(stanza), headers)
                    sources[stanza.name] = "as it runs"
                except NotListed as why:
                    troubles[stanza.name] = str(why)
    for stanza in fleet.sidecars:
        try:
            lock = None if stanza.name in listed else Lock.read(project.folder(stanza) / FILE)
        except BadLock as why:
            troubles[stanza.name] = str(why)
            continue
        if lock is not None:
            listed[stanza.name], sources[stanza.name] = list(lock.tools.values()), "as it was approved"
    troubles |= {stanza.name: "it is remote: no bridge of ours sees its tools" for stanza in fleet.stanzas if stanza.is_remote}
    return listed, sources, troubles


def _lines(found: dict[str, list[Finding]], listed: dict[str, Tools], sources: dict[str, str]) -> list[str]:
    lines = []
    for name, ones in found.items():
        cost = f"{len(listed[name])} tools, about {estimate(listed[name]):,} tokens"
        lines.append(f"{name} ({sources[name]}): {cost}" + ("" if ones else ", nothing odd"))
        for one in ones:
            lines.append(f"  {one.tool}: [{one.kind}] {one.why}")
            lines += [f"      {one.quote}"] * bool(one.quote)
    total = sum(estimate(listed[name]) for name in found)
    return [
        *lines,
        f"{sum(map(len, found.values()))} findings in {len(found)} MCPs; all lists together cost a model about {total:,} tokens (an estimate)",
    ]


def _data(found: dict[str, list[Finding]], listed: dict[str, Tools], sources: dict[str, str]) -> dict[str, Any]:
    return {
        "mcps": [
            {
                "name": name,
                "source": sources[name],
                "tools": len(listed[name]),
                "estimated_tokens": estimate(listed[name]),
                "findings": [{key: value for key, value in vars(one).items() if value} for one in ones],
            }
            for name, ones in found.items()
        ]
    }
