"""Telling the bridges that run who the callers are, on both engines: they see it within seconds, and nothing is started anew."""

import json

from bridge.fleet import callers, files
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project, write_private
from bridge.fleet.targets.compose import callers_file


def write_shipped(project: Project, fleet: Fleet) -> None:
    """What bridges are told of the callers, of both engines: they see it within seconds."""
    files.write(project.root, [callers_file(fleet)])
    embedded = project.state / "embedded" / callers.SHIPPED
    if embedded.exists():
        write_private(embedded, json.dumps(callers.shipped(fleet.callers, with_prometheus=False), indent=1) + "\n")
