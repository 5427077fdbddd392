"""`mcp-bridge outdated`: what runs, what is newest, how old both are, and what was taken back. It looks, and changes nothing."""

import argparse
import json
from datetime import UTC, datetime
from typing import Any

from bridge.fleet.columns import columns
from bridge.fleet.commands.common import declare_names, known, load
from bridge.fleet.project import Project
from bridge.fleet.releases import Release, releases
from bridge.printable import printable


def declare(parser: argparse.ArgumentParser) -> None:
    declare_names(parser, "only these (default: all, and what they share: LiteLLM and the base images)")
    parser.add_argument("--strict", action="store_true", help="exit with code 1 if anything is outdated or was taken back")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    fleet = load(Project.find(arguments.project))
    known(fleet, arguments.names)
    found, now = releases(fleet, arguments.names), datetime.now(UTC)
    if arguments.json:
        print(json.dumps({"releases": [_data(one) for one in found]}, ensure_ascii=False, indent=2))
    else:
        print(printable("\n".join(_lines(found, now))))
    return int(arguments.strict and any(one.is_outdated or one.troubles for one in found))


def _data(one: Release) -> dict[str, Any]:
    moments = {"here_since": one.here_since, "newest_since": one.newest_since}
    return (
        {"mcp": one.mcp, "source": one.source, "what": one.what, "here": one.here, "newest": one.newest}
        | {name: moment and moment.isoformat() for name, moment in moments.items()}
        | {"is_outdated": one.is_outdated, "troubles": list(one.troubles), "not_asked": one.not_asked}
    )


def _lines(found: list[Release], now: datetime) -> list[str]:
    rows = [["MCP", "what", "here", "age", "newest", "age", ""]]
    for one in found:
        rows.append(
            [one.mcp, one.what, _short(one.here) or "-", _age(one.here_since, now), _short(one.newest), _age(one.newest_since, now)]
        )
        rows[-1].append(_verdict(one))
    outdated, bad = sum(one.is_outdated for one in found), sum(bool(one.troubles) for one in found)
    unasked = sum(bool(one.not_asked) for one in found)
    lines = [line.rstrip() for line in columns(rows)]
    lines += [f"{one.mcp}: {one.what} {_short(one.here)}: {why}" for one in found for why in one.troubles]
    lines += [f"{one.mcp}: {one.what}: cannot be asked here: {one.not_asked}" for one in found if one.not_asked]
    lines.append(f"{outdated} of {len(found)} outdated; {bad} taken back or known to be bad; {unasked} could not be asked")
    if any(one.source == "image" for one in found):
        lines.append(
            "Of an image only this is told: whether its tag means another one today. Newer tags are nothing that Docker can be asked for."
        )
    return lines


def _verdict(one: Release) -> str:
    bad = [why.partition(":")[0] for why in one.troubles]
    if one.not_asked:
        bad.append("not asked")
    elif one.source == "image" and not one.here:
        bad.append("no digest is locked (`mcp-bridge lock`)")
    elif one.is_outdated:
        bad.append("rebuilt since" if one.source == "image" else "outdated")
    return ", ".join(bad)


def _short(version: str) -> str:
    return version[: len("sha256:") + 12] if version.startswith("sha256:") else version


def _age(since: datetime | None, now: datetime) -> str:
    if since is None:
        return ""
    days = (now - (since if since.tzinfo else since.replace(tzinfo=UTC))).days
    return f"{days} d" if days < 60 else f"{days // 30} months" if days < 720 else f"{days // 365} years"
