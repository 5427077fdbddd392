"""What the fleet has beside its MCPs, newer: LiteLLM (images/fleet.yaml says its version), and the images that come from elsewhere (images/digests.lock).

Of an image only this can be asked: which one its tag means today, and when that says that it was made. So Postgres moves within the version that its
tag names, `postgres:17`, after a dump; another major one reads none of what this one wrote, and is refused.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bridge.fleet import digests, releases
from bridge.fleet.backup import database
from bridge.fleet.engines import checkout, docker
from bridge.fleet.engines.composed import DATABASE, LITELLM, PROMETHEUS
from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.files import File
from bridge.fleet.fleet_file import FleetFile
from bridge.fleet.litellm_releases import KNOWN_BAD
from bridge.fleet.load import FLEET
from bridge.fleet.lock import as_of_options, compiled
from bridge.fleet.model import Fleet
from bridge.fleet.origins import PYTHON
from bridge.fleet.project import Project, private
from bridge.fleet.update import Stays
from bridge.fleet.update.cool_down import CoolDown
from bridge.fleet.update.newest import NO_TIMES, why_not_asked

BASES = "base-images"
PARTS = (LITELLM, DATABASE, PROMETHEUS, BASES)
PATIENCE = 60.0


@dataclass(frozen=True)
class Part:
    """Newer versions of one part: by name what it is now and what it is to be. `files` say so."""

    name: str
    now: dict[str, str]
    then: dict[str, str]
    files: list[File]

    def told(self) -> list[str]:
        return [f"{what} {_short(self.now[what])} → {_short(new)}" for what, new in self.then.items()]


@dataclass(frozen=True)
class About:
    """What a registry says of a tag today."""

    digest: str
    made: datetime | None
    variables: dict[str, str]


def newer(project: Project, fleet: Fleet, name: str, cool_down: CoolDown) -> Part:
    """Raises Stays."""
    if name == LITELLM:
        return of(project, fleet, name, {LITELLM: fleet.litellm.version}, {LITELLM: _newest_litellm(fleet, cool_down)})
    now: dict[str, str] = {}
    then: dict[str, str] = {}
    for image in images(fleet, name):
        about = _asked(image)
        if about.digest == fleet.digests.get(image, ""):
            continue
        if cool_down.as_of and about.made is None:
            raise Stays(f"{image}: {NO_TIMES.format(cool_down.text)}")
        if not cool_down.allows(about.made):
            raise Stays(
                f"{image} was made anew at {about.made:%Y-%m-%d %H:%M} UTC, which is not older than {cool_down.text}", is_trouble=False
            )
        if name == DATABASE:
            _refuse_another_major(project, fleet, about)
        now[image], then[image] = fleet.digests.get(image, ""), about.digest
    if not then:
        raise Stays(f"{', '.join(images(fleet, name))}: the images that these tags mean today", is_trouble=False)
    return of(project, fleet, name, now, then)


def of(project: Project, fleet: Fleet, name: str, now: dict[str, str], then: dict[str, str]) -> Part:
    """The part with these versions, and the files that say so."""
    if name == LITELLM:
        return Part(name, now, then, [File(f"images/{FLEET}", FleetFile(project.images / FLEET).with_litellm(then[LITELLM]))])
    known = {image: digest for image, digest in (fleet.digests | then).items() if digest}
    return Part(name, now, then, [File(f"images/{digests.LOCK}", digests.text(known))])


def images(fleet: Fleet, name: str) -> list[str]:
    """The images of a part by their tags. Raises Stays where there is none that a tag names."""
    of_others = {fleet.postgres_image: DATABASE, fleet.prometheus_image: PROMETHEUS, fleet.alertmanager_image: PROMETHEUS}
    of_mcps = {stanza.image for stanza in fleet.stanzas} | {fleet.litellm.image_name}
    found = [one for one in digests.base_images(fleet) if one not in of_mcps and of_others.get(one, BASES) == name]
    if fixed := [one for one in found if "@" in one]:
        raise Stays(f"{fixed[0]}: its digest stands in images/{FLEET}: change it there", is_trouble=False)
    return found


def dump(project: Project, fleet: Fleet, now: datetime) -> Path | None:
    """The databases, before another Postgres sees them; None where there are none yet. Raises EngineError."""
    name = checkout.name_of(project)
    if not docker.asked(["docker", "volume", "ls", "--quiet", "--filter", f"name=^{name}_{DATABASE}$"]):
        return None
    folder = private(project.state / "dumps") / f"{DATABASE}-{now:%Y%m%dT%H%M%S.%fZ}"
    database.dump(name, fleet.pinned(fleet.postgres_image), folder)
    return folder


# ---- LiteLLM


def _newest_litellm(fleet: Fleet, cool_down: CoolDown) -> str:
    """Of its releases on PyPI, of which its images are made; none that is known to be bad."""
    if fleet.litellm.image:
        raise Stays(f"{fleet.litellm.image} is named in images/{FLEET}: change it there", is_trouble=False)
    bad = [f"litellm!={'.'.join(map(str, numbers))}{'.*' if len(numbers) < 3 else ''}" for numbers in KNOWN_BAD]
    options = ["--no-deps", "--python-version", PYTHON, "--no-header", "--no-annotate", *as_of_options(cool_down.as_of)]
    try:
        found = re.search(r"^litellm==(\S+)", compiled(["litellm"], options, constraints=bad), re.MULTILINE)
    except Failed as error:
        raise Stays(why_not_asked(error, cool_down)) from None
    if found is None or not releases.is_newer(found[1], fleet.litellm.version):
        raise Stays(f"LiteLLM {fleet.litellm.version}: there is no newer one{cool_down.told}", False)
    return found[1]


# ---- images


def _asked(image: str) -> About:
    """Raises Stays."""
    try:
        said = json.loads(run(["docker", "buildx", "imagetools", "inspect", image, "--format", "{{json .}}"], PATIENCE))
        digest, config = said["manifest"]["digest"], said.get("image") or {}
    except Failed as error:
        raise Stays(f"{image}: its registry cannot be asked: {error.reason}") from None
    except (ValueError, KeyError, TypeError):
        raise Stays(f"{image}: its registry does not say what it is") from None
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", str(digest)):
        raise Stays(f"{image}: its registry does not say what it is")
    one: dict[str, Any] = config if "config" in config else next((each for each in config.values() if isinstance(each, dict)), {})
    return About(str(digest), releases.moment(one.get("created")), _variables((one.get("config") or {}).get("Env") or []))


def _variables(said: list[str]) -> dict[str, str]:
    return dict(str(line).partition("=")[::2] for line in said)


def _refuse_another_major(project: Project, fleet: Fleet, about: About) -> None:
    """Raises Stays where the new Postgres could not read what there is."""
    running = [one.name for one in checkout.of_project(checkout.name_of(project)) if one.service == DATABASE]
    what = ["--type", "container", running[0]] if running else ["--type", "image", fleet.pinned(fleet.postgres_image)]
    said = docker.asked(["docker", "inspect", "--format", "{{json .Config.Env}}", *what])
    here = _variables(json.loads(said)).get("PG_MAJOR") if isinstance(said, str) else None
    there = about.variables.get("PG_MAJOR")
    if here and here != there:
        raise Stays(
            f"{fleet.postgres_image} is Postgres {there or 'of a version that it does not say'} today, which cannot read what Postgres {here} wrote: "
            f"write postgres:{here} into images/{FLEET} (postgres_image), or move by `mcp-bridge backup`, `down --volumes` and `restore`"
        )


def _short(version: str) -> str:
    return version[: len("sha256:") + 12] if version.startswith("sha256:") else version or "(not locked)"
