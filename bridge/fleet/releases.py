"""How old is what runs, and what is newer: asked of the indexes, through the programs that install from them.

uv and npm ask with the configuration that this machine has for them (mirrors, credentials, certificates), so what they call the newest is
what `mcp-bridge add` would take: for PyPI the newest with a wheel for the image's Python. Docker says only what a tag means today;
that there is a newer tag is nothing that it can be asked. Nothing is fetched or changed.
"""

import json
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from bridge.fleet import digests
from bridge.fleet.engines import packages
from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.litellm_releases import why_not
from bridge.fleet.lock import npm, python_packages
from bridge.fleet.model import Fleet
from bridge.fleet.origins import PYTHON
from bridge.fleet.parts import ARCHITECTURES
from bridge.fleet.stanza import Stanza

AT_ONCE = 4
PATIENCE = 60
SHARED = "(fleet)"  # in the place of an MCP's name: what all share


@dataclass(frozen=True)
class Release:
    """One thing of the fleet: what its stanza pins, what is newest. Empty is what nobody said."""

    mcp: str
    source: str  # pypi, npm, image, binary, url, command
    what: str
    here: str = ""
    newest: str = ""
    here_since: datetime | None = None
    newest_since: datetime | None = None
    troubles: tuple[str, ...] = ()  # yanked, deprecated, withdrawn, known to be bad
    not_asked: str = ""  # why nothing is known

    @property
    def is_outdated(self) -> bool:
        if self.source == "image":
            return bool(self.here and self.newest) and self.here != self.newest
        return bool(self.newest) and is_newer(self.newest, self.here)


def releases(fleet: Fleet, names: Iterable[str] = ()) -> list[Release]:
    """Of these MCPs, or of all and of what they share."""
    questions = [one for name in names for one in _of_mcp(fleet, fleet[name])] or list(_of_all(fleet))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda question: question(), questions))


Question = Callable[[], Release]


def _of_all(fleet: Fleet) -> Iterator[Question]:
    for stanza in fleet.stanzas:
        yield from _of_mcp(fleet, stanza)
    yield partial(_of_litellm, fleet.litellm.version)
    of_mcps = {stanza.image for stanza in fleet.stanzas}
    yield from (partial(of_image, fleet, SHARED, image) for image in digests.base_images(fleet) if image not in of_mcps)


def _of_mcp(fleet: Fleet, stanza: Stanza) -> Iterator[Question]:
    name, binary = stanza.name, stanza.binary
    in_parts = [binary.npm.replace("{arch}", arch) for arch in ARCHITECTURES] if binary and binary.npm else []
    of_python, of_node = python_packages(stanza), [*stanza.npm, *dict.fromkeys(in_parts)]
    yield from (partial(of_pypi, name, one, stanza.python, stanza.build) for one in of_python)
    yield from (partial(of_npm, name, one) for one in of_node)
    if stanza.image:
        yield partial(of_image, fleet, name, stanza.image)
    elif stanza.is_remote:
        yield partial(Release, name, "url", stanza.url, not_asked="it runs elsewhere, as the version that its operator likes")
    elif binary and not (of_python or of_node):
        yield partial(
            Release, name, "binary", binary.url or stanza.command[0], not_asked="no index lists its releases: look where it is from"
        )
    elif not (of_python or of_node):
        yield partial(Release, name, "command", stanza.command[0], not_asked="it comes from no index")


# ---- PyPI, by uv


def of_pypi(mcp: str, package: str, python: str = PYTHON, build: bool = False) -> Release:
    name, _, version = package.partition("==")
    try:
        newest, newest_since, _ = _compiled(name, python, build)
    except Failed as error:
        return Release(mcp, "pypi", name, version, not_asked=first_line(error))
    try:
        _, since, troubles = _compiled(package, python, build)
    except Failed as error:
        if "no version of" not in _unwrapped(error.printed):
            return Release(mcp, "pypi", name, version, newest, None, newest_since, not_asked=first_line(error))
        since, troubles = None, ("withdrawn: the index has this version no more",)
    return Release(mcp, "pypi", name, version, newest, since, newest_since, troubles)


def _compiled(wanted: str, python: str, build: bool) -> tuple[str, datetime | None, tuple[str, ...]]:
    """The version that uv would install, since when it is there, and what uv warns of. Raises Failed."""
    if not (uv := [word for word in packages.uv() if word != "--quiet"]):  # it would not warn
        raise Failed(["uv"], "none", "uv is needed for this and cannot be had: pip install uv")
    options = ["--no-deps", "--no-header", "--python-version", python, "--format", "pylock.toml", "--output-file", "pylock.toml"]
    environment = {"UV_PYTHON_DOWNLOADS": "never", **packages.trusting()}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "wanted.txt").write_text(f"{wanted}\n", encoding="utf-8")
        only_wheels = ["--only-binary", ":all:"] * (not build)
        said = run([*uv, "pip", "compile", "wanted.txt", *options, *only_wheels], PATIENCE, Path(folder), environment)
        [found] = tomllib.loads(Path(folder, "pylock.toml").read_text(encoding="utf-8"))["packages"]
    files = [*found.get("wheels", ()), *([found["sdist"]] if "sdist" in found else [])]
    since = min((file["upload-time"] for file in files if "upload-time" in file), default=None)
    yanked = re.search(r" is yanked(?: \(reason: \"(.*?)\"\))?", _unwrapped(said))
    return found["version"], since, (f"yanked: {yanked[1] or 'without a reason'}",) if yanked else ()


# ---- npm


def of_npm(mcp: str, package: str) -> Release:
    name, _, version = package.rpartition("@")
    try:
        try:
            said, troubles = viewed(package), tuple[str, ...]()
        except Failed as error:
            if "E404" not in error.printed:
                raise
            said, troubles = viewed(name) | {"deprecated": ""}, ("withdrawn: the index has this version no more",)
        times, newest = said.get("time") or {}, str((said.get("dist-tags") or {}).get("latest", ""))
    except (Failed, ValueError, AttributeError) as error:
        return Release(mcp, "npm", name, version, not_asked=first_line(error))
    troubles = (f"deprecated: {said['deprecated']}",) if said.get("deprecated") else troubles
    return Release(mcp, "npm", name, version, newest, moment(times.get(version)), moment(times.get(newest)), troubles)


def viewed(package: str) -> dict[str, Any]:
    """Raises Failed, or ValueError where npm says nothing that can be read."""
    said = json.loads(npm("view", package, "name", "version", "versions", "dist-tags", "time", "deprecated", "--json", patience=PATIENCE))
    if not isinstance(said, dict):
        raise ValueError("npm does not say what it is")
    return said


# ---- LiteLLM, and images


def _of_litellm(version: str) -> Release:
    """Its image is made of the release of the same number."""
    found = of_pypi(SHARED, f"litellm=={version}")
    bad = [why for why in (why_not(version), why_not(found.newest) and f"the newest is none to take: {why_not(found.newest)}") if why]
    return replace(found, troubles=(*found.troubles, *bad))


def of_image(fleet: Fleet, mcp: str, image: str) -> Release:
    """Whether its tag means another image today than the one that is locked."""
    name, _, fixed = image.partition("@")
    here = fixed or fleet.digests.get(name, "")
    try:
        newest = digests.digest(name)
    except Failed as error:
        return Release(mcp, "image", name, here, not_asked=first_line(error))
    return Release(mcp, "image", name, here, newest)


# ---- small print


def is_newer(one: str, other: str) -> bool:
    return key(one) > key(other)


def key(version: str) -> tuple[list[int], int, list[int]]:
    """The numbers in front; then whether it came before that release, is it, or came after it; then the numbers behind."""
    version = version.partition("+")[0]
    front = re.match(r"v?(\d+(?:\.\d+)*)", version)
    numbers = [int(part) for part in front[1].split(".")] if front else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    behind = version[front.end() :] if front else version
    stage = 0 if not behind else 1 if "post" in behind else -1
    return numbers, stage, [int(part) for part in re.findall(r"\d+", behind)]


def moment(said: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(said))
    except ValueError:
        return None


def _unwrapped(printed: str) -> str:
    """uv breaks its lines where a terminal would end."""
    return " ".join(printed.split())


def first_line(error: Exception) -> str:
    if not isinstance(error, Failed):
        return "npm does not say what it is"
    if str(error.code).startswith("none after"):
        return f"no answer with{str(error.code).removeprefix('none after').replace(' ', 'in ', 1)}"
    said = re.sub(r"^(npm )?error:? ?", "", error.reason.strip(), flags=re.IGNORECASE)
    if "E404" in error.printed:
        return "npm has no such package"
    return said[:300] or "it cannot be asked"
