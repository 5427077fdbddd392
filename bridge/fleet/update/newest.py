"""The newest version that is older than the cool-down, asked through uv and npm, as `outdated` does. Nothing is changed."""

import re
from datetime import datetime

from bridge.fleet import digests, releases
from bridge.fleet.engines.programs import Failed
from bridge.fleet.lock import as_of_options, compiled, python_packages
from bridge.fleet.parts import normalized
from bridge.fleet.stanza import Stanza
from bridge.fleet.update import Stays
from bridge.fleet.update.cool_down import CoolDown

NO_TIMES = "its index does not say since when it has its releases, so {} cannot be kept to: --cool-down 0d takes the newest"
Pins = dict[str, str]  # NAME==VERSION or NAME@VERSION as the stanza has it: the newer one


def newer(stanza: Stanza, cool_down: CoolDown) -> Pins:
    """What is to be said instead of what the stanza says. Raises Stays."""
    if stanza.is_remote:
        raise Stays("it runs elsewhere, as the version that its operator likes", is_trouble=False)
    if pins := python_packages(stanza):
        found = _of_pypi(stanza, pins, cool_down)
    elif pins := [*stanza.npm, *([stanza.binary.npm] if stanza.binary and stanza.binary.npm else [])]:
        found = {pin: _of_npm(pin, cool_down) for pin in pins}
    elif stanza.image:
        found = {stanza.image: _of_image(stanza.image, cool_down)}
    elif stanza.binary and stanza.binary.url:
        raise Stays("no index lists the releases of what is fetched by its URL: write the new one and its sha256 into the stanza", False)
    else:
        raise Stays("it comes from no index: what it runs is a file or a command of yours", is_trouble=False)
    changed = {pin: new for pin, new in found.items() if new != pin}
    if not changed:
        raise Stays(f"{', '.join(map(shown, pins or found))}: there is no newer one{cool_down.told}", is_trouble=False)
    return changed


def shown(pin: str) -> str:
    """`NAME VERSION`, for people."""
    name, version = parts(pin)
    return f"{name} {version}"


def parts(pin: str) -> tuple[str, str]:
    if "@sha256:" in pin:
        name, _, digest = pin.partition("@")
        return name, digest[: len("sha256:") + 12]
    name, _, version = pin.partition("==") if "==" in pin else pin.rpartition("@")
    return name, version


# ---- PyPI


def _of_pypi(stanza: Stanza, pins: list[str], cool_down: CoolDown) -> Pins:
    """All packages of the stanza at once, because they have to fit together."""
    names = [pin.partition("==")[0] for pin in pins]
    options = ["--python-version", stanza.python, "--no-header", "--no-annotate", *as_of_options(cool_down.as_of)]
    try:
        said = compiled(names, options, stanza.build, stanza.constraints, stanza.overrides)
    except Failed as error:
        raise Stays(why_not_asked(error, cool_down)) from None
    versions = dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", said, re.MULTILINE))
    chosen = {pin: versions.get(normalized(name), "") for pin, name in zip(pins, names, strict=True)}
    return {
        pin: f"{pin.partition('==')[0]}=={new}" if releases.is_newer(new, pin.partition("==")[2]) else pin for pin, new in chosen.items()
    }


def why_not_asked(error: Failed, cool_down: CoolDown) -> str:
    """By the words of uv."""
    printed = " ".join(error.printed.split())
    found = re.search(r"latest version satisfying the requirement is v?(\S+?)(?:, published at ([0-9T:-]+)|\. )", printed)
    if not (found and cool_down.as_of):
        return f"its index cannot be asked: {releases.first_line(error)}"
    if found[2]:
        return f"there is none older than {cool_down.text}: the newest is {found[1]}, of {found[2]}Z"
    return NO_TIMES.format(cool_down.text)


# ---- npm


def _of_npm(pin: str, cool_down: CoolDown) -> str:
    """No pre-release, nothing newer than what npm calls the latest, and nothing that its maker has taken back."""
    name, _, here = pin.rpartition("@")
    asked = name.replace("{arch}", "amd64")
    try:
        said = releases.viewed(asked)
    except (Failed, ValueError) as error:
        raise Stays(f"npm cannot be asked: {releases.first_line(error)}") from None
    latest = str((said.get("dist-tags") or {}).get("latest", ""))
    times: dict[str, datetime | None] = {version: releases.moment(since) for version, since in (said.get("time") or {}).items()}
    versions = [said["versions"]] if isinstance(said.get("versions"), str) else said.get("versions") or []
    if cool_down.as_of and not any(times.get(version) for version in versions):
        raise Stays(NO_TIMES.format(cool_down.text))
    fit = [
        version
        for version in versions
        if "-" not in version
        and not releases.is_newer(version, latest)
        and releases.is_newer(version, here)
        and cool_down.allows(times.get(version))
    ]
    for version in sorted(fit, key=releases.key, reverse=True):
        if not releases.of_npm("", f"{asked}@{version}").troubles:
            return f"{name}@{version}"
    return pin


# ---- images


def _of_image(image: str, cool_down: CoolDown) -> str:
    name, _, fixed = image.partition("@")
    if not fixed:
        raise Stays("its image has no digest in the stanza: `mcp-bridge lock --upgrade` takes what its tag means today", is_trouble=False)
    if cool_down.as_of:
        raise Stays(
            f"no registry says since when a tag means an image, so {cool_down.text} cannot be kept to: --cool-down 0d takes the one of today",
            False,
        )
    try:
        return f"{name}@{digests.digest(name)}"
    except Failed as error:
        raise Stays(f"its registry cannot be asked: {error.reason}") from None
