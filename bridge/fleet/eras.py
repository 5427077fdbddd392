"""A package that dies of a dependency that grew up after it: which, and the version that it was made with.

Python says in which module a name was not found. The package's own age is found out by asking the resolver for it as of
a day, half by half; as of that day its dependency is what its author had. No package is known here by name.
"""

import re
from collections.abc import Set
from dataclasses import replace
from datetime import date, timedelta

from bridge.fleet.draft import Draft
from bridge.fleet.engines.programs import Failed
from bridge.fleet.lock import compiled
from bridge.fleet.trial.container import Seen

BLAMES = (
    re.compile(r"cannot import name '[^']*' from '(\w+)"),
    re.compile(r"No module named '(\w+)[.']"),
    re.compile(r"module '(\w+)[\w.]*' has no attribute"),
)
FRAME = re.compile(r"site-packages/(\w+)/")
OLDEST = date(2024, 11, 1)


def mended(draft: Draft, seen: Seen, tried: Set[str]) -> Draft | None:
    """The draft with a constraint that may let it start; None if there is nothing (else) to try."""
    package = draft.source.get("pypi")
    if not package:
        return None
    package = package if isinstance(package, str) else package[0]
    text = "\n".join(seen.report["words"])
    blamed = dict.fromkeys(found[1] for blame in BLAMES for found in blame.finditer(text))
    if "Traceback" in text and not blamed:  # an argument or an attribute that is not there any more: the last frame's module
        blamed = dict.fromkeys(reversed(FRAME.findall(text)))
    if not blamed:
        return None
    try:
        now = _versions(package, None)
        own = re.split(r"[\[=]", package)[0]
        for module in blamed:
            name = _distribution(module, now)
            if name and name != _normal(own):
                constraint = _constraint(package, name, now[name])
                if constraint and constraint not in tried and constraint not in draft.constraints:
                    return replace(draft, constraints=draft.constraints | {constraint: f"it dies with {name} {now[name]}"})
    except Failed:
        pass
    return None


def _constraint(package: str, name: str, now: str) -> str:
    """What keeps a dependency as it was when the package came out; empty if it is the same still."""
    then = _versions(package, _born(package)).get(name, now)
    if then == now:
        return ""
    major = then.partition(".")[0]
    if major != now.partition(".")[0] and major != "0":
        return f"{name}<{int(major) + 1}"
    return f"{name}<={then}"


def _born(package: str) -> date:
    """The first day on which it can be had."""
    early, late = OLDEST, date.today()
    while (late - early).days > 1:
        middle = early + (late - early) / 2
        if _is_there(package, middle):
            late = middle
        else:
            early = middle
    return late + timedelta(days=1)


def _is_there(package: str, day: date) -> bool:
    try:
        compiled([package], ["--no-deps", "--python-version", "3.13", "--exclude-newer", day.isoformat(), "--no-header"])
        return True
    except Failed:
        return False


def _versions(package: str, day: date | None) -> dict[str, str]:
    as_of = ["--exclude-newer", day.isoformat()] if day else []
    said = compiled([package], ["--python-version", "3.13", "--no-header", "--no-annotate", *as_of])
    return {_normal(found[1]): found[2] for found in re.finditer(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==(\S+)", said, re.MULTILINE)}


def _distribution(module: str, versions: dict[str, str]) -> str:
    name = _normal(module)
    return name if name in versions else ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
