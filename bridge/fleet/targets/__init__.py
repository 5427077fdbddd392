"""Stanzas become files. Each module makes the files of one thing; none reads or writes any (`files.py` does).

dockerfile.py, templates/   images/NAME/Dockerfile
compose.py                  compose/NAME.yaml, compose.yaml, the door, the database
litellm.py                  litellm/config.yaml
prometheus.py               compose/prometheus.yml, alerts.yml
grafana.py                  compose/dashboards/: Grafana's data source and dashboards
schema.py                   images/stanza.schema.json
kubernetes.py               manifests for a cluster
sidecar.py, template.py     what several of them need
"""

from collections.abc import Iterator

from bridge.fleet.files import File
from bridge.fleet.model import Fleet
from bridge.fleet.targets import compose, dockerfile, grafana, kubernetes, litellm, prometheus, schema

TARGETS = ("compose", "kubernetes")


def render(fleet: Fleet, target: str = "compose") -> Iterator[File]:
    """The files of a target: `compose` (all that is committed) or `kubernetes`."""
    if target == "kubernetes":
        yield from kubernetes.render(fleet)
        return
    if target != "compose":
        raise ValueError(f"no target {target!r}; there are {', '.join(TARGETS)}")
    for stanza in fleet.sidecars:
        yield dockerfile.dockerfile(fleet, stanza)
    yield from compose.render(fleet)
    yield from litellm.render(fleet)
    yield from prometheus.render(fleet)
    yield from grafana.render()
    yield schema.schema()
