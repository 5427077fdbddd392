"""What an MCP is made from, as a digest: to know whether what runs is still what its stanza says."""

import hashlib
import json

from bridge.fleet.files import digest
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza
from bridge.pins.lock import FILE as PINS

NOT_MADE_FROM = {"description", "smoke", "litellm", "tests_only"}  # what is only said about it


def of_all(project: Project, fleet: Fleet) -> dict[str, dict[str, str]]:
    """Of each that runs here: `runs` is a digest of what it is made from, `whole` of all that its stanza says, `packages` is for people."""
    return {stanza.name: _of(project, stanza) for stanza in fleet.sidecars}


def older(project: Project, fleet: Fleet, definitions: dict[str, dict[str, str]]) -> dict[str, str]:
    """Which MCPs run as an earlier stanza said, with what differs. `definitions` are those of the last `up`."""
    found = {}
    for name, now in of_all(project, fleet).items():
        then = definitions.get(name)
        if then and then.get("runs") != now["runs"]:
            differs = (
                f"{then['packages']} runs, the stanza says {now['packages']}"
                if then.get("packages") != now["packages"]
                else "its stanza, lock or files were changed"
            )
            found[name] = f"it runs as an earlier stanza said: {differs}"
    return found


def _of(project: Project, stanza: Stanza) -> dict[str, str]:
    said = stanza.model_dump(mode="json")
    files = digest([project.folder(stanza)], without=("stanza.yaml", "Dockerfile", PINS))  # what is approved is read while it runs
    runs = _sum([{name: value for name, value in said.items() if name not in NOT_MADE_FROM}, files])
    return {"runs": runs, "whole": _sum([said, files]), "packages": packages(stanza)}


def packages(stanza: Stanza) -> str:
    """The packages or the image that it is, for people."""
    binary = stanza.binary
    return (
        ", ".join([*stanza.pypi, *stanza.npm])
        or stanza.image
        or (binary and (binary.pypi or binary.npm or binary.url or binary.file))
        or " ".join(map(str, stanza.command))
    )


def _sum(data: object) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:32]
