"""A package that dies of a dependency that grew up after it: which, and the version that it was made with.

Python says in which module a name was not found, or at least whose lines ask for it. The resolver knows when the
package was published; as of that day its dependency is what its author had. No package is known here by name.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from bridge.fleet.adding.draft import Draft
from bridge.fleet.adding.trial.container import Seen
from bridge.fleet.engines.programs import Failed
from bridge.fleet.lock import compiled, npm
from bridge.fleet.parts import listed, normalized

BLAMES = (
    re.compile(r"cannot import name '[^']*' from '(\w+)"),
    re.compile(r"No module named '(\w+)[.']"),
    re.compile(r"module '(\w+)[\w.]*' has no attribute"),
    re.compile(r"\b(?:pip3? install|uv add) (?:-U |--upgrade )?['\"`]?([\w-]+)"),  # what is there, and could not be imported
)
ERROR = re.compile(r"\b(Import|ModuleNotFound|Attribute|Type|Name)Error\b")
NODE_ERROR = re.compile(
    r"does not provide an export|ERR_PACKAGE_PATH_NOT_EXPORTED|ERR_MODULE_NOT_FOUND|Cannot find module|is not a (function|constructor)|ERR_UNSUPPORTED_DIR_IMPORT"
    r"|Server does not support \w+ \(required for"  # as MCP's TypeScript SDK refuses the handlers of a framework that is older
)
NODE_FRAME = re.compile(r"node_modules/((?:@[\w.-]+/)?[\w.-]+)/")
BARE = re.compile(r"(?:module|package) '((?:@[\w.-]+/)?[\w.-]+)")
FRAME = re.compile(r"site-packages/(\w+)/")
OLDEST = date(2024, 11, 1)


def mended(draft: Draft, seen: Seen, tried: set[str]) -> Draft | None:
    """The draft with constraints or an override that may let it start, which count as tried then; None if there is nothing (else) to try."""
    text = "\n".join(seen.report["words"])
    try:
        if any(one.search(text) for one in (ERROR, *BLAMES)) and (package := draft.source.get("pypi")):
            found = _python(listed(package)[0], text)
            known = draft.constraints
        elif NODE_ERROR.search(text) and (package := draft.source.get("npm")):
            found = _node(listed(package)[0], text)
            known = draft.overrides
        else:
            return None
        for wanted in found:
            key = ", ".join(sorted(wanted))
            if key not in tried and not wanted.keys() <= known.keys():
                tried.add(key)
                names = set(map(_name, wanted))
                more = {one: why for one, why in known.items() if _name(one) not in names} | wanted
                return replace(draft, constraints=more) if "pypi" in draft.source else replace(draft, overrides=more)
    except (Failed, ValueError):
        pass
    return None


def _python(package: str, text: str) -> Iterator[dict[str, str]]:
    now, direct = _versions(package)
    born = _born(package)
    own = normalized(package.partition("==")[0])
    blamed = [found[1] for blame in BLAMES for found in blame.finditer(text)] + FRAME.findall(text)[::-1]
    for name in dict.fromkeys(map(normalized, blamed)):
        if name != own and name in now:
            major, older = now[name].partition(".")[0], [*_constraints(name, born, now)]
            yield from older or [{f"{name}<{major}": f"it dies with {name} {now[name]}"}] * (major not in ("0", "1"))
    # Where the fault shows in the package's own lines it is of something that they use: of a new major version before all, else of what is
    # newer than the package, all of that at once.
    every = [[*_constraints(name, born, now)] for name in direct]
    yield from (found[0] for found in every if len(found) > 1)
    why = f"as of its release ({born - timedelta(days=2)}): it does not start with what is newer"
    yield {constraint: why for found in every if found for constraint in found[-1]}


def _constraints(name: str, born: date, now: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """What makes it older: the last of the major version that its author had, where there is a new one, and the version that he had."""
    then = _newest(name, born)
    if constraint := _constraint(name, then, now[name]):
        yield {constraint: f"it dies with {name} {now[name]}"}
        if "<=" not in constraint:
            yield {f"{name}<={then}": f"it dies with {name} {now[name]}"}


def _name(constraint: str) -> str:
    """Of what it is about; of an override of npm all of it."""
    return constraint.partition("<")[0]


def _node(package: str, text: str) -> Iterator[dict[str, str]]:
    name, _, version = package.rpartition("@")
    born = json.loads(npm("view", name, "time", "--json"))[version][:10]
    until = (date.fromisoformat(born) + timedelta(days=2)).isoformat()
    now, then = (_tree(package, *words) for words in ((), ("--before", until)))
    for blamed in dict.fromkeys([*NODE_FRAME.findall(text), *BARE.findall(text)]):
        if blamed != name and blamed in then and then[blamed] != now.get(blamed):
            yield {f"{blamed}@{then[blamed]}": f"it dies with {blamed} {now.get(blamed)}"}


def _tree(package: str, *words: str) -> dict[str, str]:
    """The version of each package that it gets."""
    name, _, version = package.rpartition("@")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "package.json").write_text(json.dumps({"private": True, "dependencies": {name: version}}))
        npm("install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", *words, folder=folder)
        tree = json.loads(Path(folder, "package-lock.json").read_text())["packages"]
    return {place.removeprefix("node_modules/"): entry["version"] for place, entry in tree.items() if place.count("node_modules/") == 1}


def _constraint(name: str, then: str, now: str) -> str:
    """What keeps a dependency as it was when the package came out; empty if it is the same still."""
    if not then or _numbers(then) >= _numbers(now):
        return ""
    major = then.partition(".")[0]
    return f"{name}<{int(major) + 1}" if major not in ("0", now.partition(".")[0]) else f"{name}<={then}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:4])


def _newest(name: str, day: date) -> str:
    """The newest version as of that day, by itself: all together may not be had any more."""
    try:
        said = compiled(
            [name], ["--no-deps", "--python-version", "3.13", "--no-header", "--no-annotate", "--exclude-newer", day.isoformat()]
        )
    except Failed:
        return ""
    found = re.search(r"==(\S+)", said)
    return found[1] if found else ""


def _born(package: str) -> date:
    """The day after that on which it was published: uv says that when it is asked for it as of a day long before; older ones
    are asked day by day, half by half."""
    if found := re.search(r"published at (\d{4}-\d\d-\d\d)", _why_not_there(package, OLDEST)):
        return date.fromisoformat(found[1]) + timedelta(days=2)
    early, late = OLDEST, datetime.now(UTC).date()
    while (late - early).days > 1:
        middle = early + (late - early) / 2
        early, late = (middle, late) if _why_not_there(package, middle) else (early, middle)
    return late + timedelta(days=1)


def _why_not_there(package: str, day: date) -> str:
    try:
        compiled([package], ["--no-deps", "--python-version", "3.13", "--exclude-newer", day.isoformat(), "--no-header"])
        return ""
    except Failed as error:
        return " ".join(error.printed.split())


def _versions(package: str) -> tuple[dict[str, str], list[str]]:
    """What it gets now, and what it asks for itself."""
    said = compiled([package], ["--python-version", "3.13", "--no-header", "--annotation-style", "line"])
    found = [
        (normalized(one[1]), one[2], map(normalized, one[3].split(", ")))
        for one in re.finditer(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==([^\s;]+)[^#\n]*#? ?(?:via )?(.*)$", said, re.MULTILINE)
    ]
    own = normalized(package.partition("==")[0])
    return {name: version for name, version, _ in found}, [name for name, _, via in found if own in via]
