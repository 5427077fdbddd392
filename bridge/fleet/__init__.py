"""The fleet: a stanza becomes a running MCP behind an untouched LiteLLM.

    stanza.py, model.py   what an operator says: one MCP, all of them (pydantic)
    load.py               that, from images/NAME/stanza.yaml
    targets/              stanzas → Dockerfiles, compose, LiteLLM, Prometheus, Kubernetes (pure: no disk is touched)
    files.py              generated files: written, compared
    lock.py, add.py       locks with hashes; new stanzas (sources.py, desktop.py: where from; transaction.py: whole or not at all)
    engines/              what runs the fleet: Docker Compose, or one bridge process and a LiteLLM of its own
    verify/               is it true that it works? hop by hop
    commands.py           `mcp-bridge up`, `add`, `render`, `verify`, …

In Python: `Fleet(stanzas=[Stanza(name="time", pypi="mcp-server-time==…", command="mcp-server-time")]).render()`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from bridge.fleet import model, targets
from bridge.fleet.files import File
from bridge.fleet.load import StanzaError, load
from bridge.fleet.model import LiteLLM
from bridge.fleet.parts import Auth, Binary, Limits, Registration, Secret, Smoke, Tools, Volume
from bridge.fleet.stanza import Stanza

__all__ = [
    "Auth",
    "Binary",
    "File",
    "Fleet",
    "Limits",
    "LiteLLM",
    "Registration",
    "Secret",
    "Smoke",
    "Stanza",
    "StanzaError",
    "Tools",
    "Volume",
]


class Fleet(model.Fleet):
    """The fleet, with where it comes from and what follows from it: `Fleet(stanzas=[…])` in Python, `Fleet.load("images")` from files."""

    @classmethod
    def load(cls, folder: str | Path = "images", last_good: Path | None = None, **changes: Any) -> Self:
        """All stanzas of `folder`, with `fleet.yaml` there and `../litellm/base.yaml`. Raises StanzaError; with `last_good` (load.py) only
        where it is not the mistake of some stanzas."""
        return load(Path(folder), cls, last_good, **changes)

    def render(self, target: str = "compose") -> Iterator[File]:
        """The generated files: `compose` (all that is committed) or `kubernetes`."""
        return targets.render(self, target)
