"""images/digests.lock: which base images are meant by their names, `NAME sha256:DIGEST` a line.

`mcp-bridge lock` asks their registries, by Docker, for those that are not there yet (for all, with --upgrade), and the
generated files name what it says. Where no registry can be asked, names stay as they are: a machine that has its images from elsewhere
(a mirror, an archive) knows them by name only.
"""

import re
from pathlib import Path

from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project
from bridge.fleet.targets.dockerfile import python_image
from bridge.settings import UsageError

LOCK = "digests.lock"
HEAD = (
    "# Made by `mcp-bridge lock`: what the names of base images mean. Without a line here a name means what its registry says that day.\n"
)
LINE = re.compile(r"(\S+) (sha256:[0-9a-f]{64})")
PATIENCE = 60.0


def read(folder: Path) -> dict[str, str]:
    """By name; empty where there is no lock. Raises UsageError."""
    try:
        lines = (folder / LOCK).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    found = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            if not (said := LINE.fullmatch(line.strip())):
                raise UsageError(f"{folder / LOCK}:{number}: expected IMAGE sha256:DIGEST (`mcp-bridge lock` writes it)")
            found[said[1]] = said[2]
    return found


def lock(project: Project, fleet: Fleet, upgrade: bool = False) -> tuple[list[str], dict[str, str]]:
    """Ask for what is not known (for all, with `upgrade`). Returns the files that changed, and why images stay without a digest."""
    known, why = read(project.images), {}
    wanted = [image for image in base_images(fleet) if "@" not in image]
    digests = {image: known[image] for image in wanted if image in known}
    for image in wanted:
        if image not in digests or upgrade:
            try:
                digests[image] = digest(image)
            except Failed as error:
                why[image] = error.reason
    path = project.images / LOCK
    if digests == known:
        return [], why
    path.write_text(text(digests), encoding="utf-8")
    return [path.relative_to(project.root).as_posix()], why


def text(digests: dict[str, str]) -> str:
    return HEAD + "".join(f"{image} {digests[image]}\n" for image in sorted(digests))


def base_images(fleet: Fleet) -> list[str]:
    """Every image that is not built here."""
    pythons = [python_image(fleet, stanza.python) for stanza in fleet.sidecars]
    nodes = [fleet.node_image] if any(stanza.kind == "node" or (stanza.binary and stanza.binary.npm) for stanza in fleet.sidecars) else []
    return list(
        dict.fromkeys(
            [
                fleet.python_image,
                *pythons,
                *nodes,
                *(stanza.image for stanza in fleet.sidecars if stanza.image),
                fleet.litellm.image_name,
                fleet.prometheus_image,
                fleet.alertmanager_image,
                fleet.grafana_image,
                fleet.postgres_image,
            ]
        )
    )


def digest(image: str) -> str:
    """What its registry says that it is, for all architectures. Raises Failed."""
    command: list[str | Path] = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    said = run(command, PATIENCE).strip()
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", said):
        raise Failed(command, 0, said)
    return said
