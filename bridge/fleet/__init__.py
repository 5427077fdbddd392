"""The fleet: a stanza becomes a running MCP behind an untouched LiteLLM.

    stanza.py, model.py   what an operator says: one MCP, all of them (pydantic)
    load.py               that, from images/NAME/stanza.yaml
    targets/              stanzas → Dockerfiles, compose, LiteLLM, Prometheus, Kubernetes (pure: no disk is touched)
    files.py              generated files: written, compared
    lock.py, add.py       locks with hashes; new stanzas (secret_values.py: the values of their secrets)
    engines/              what runs the fleet: Docker Compose, or one bridge process and a LiteLLM of its own
    verify/               is it true that it works? hop by hop
    commands.py           `mcp-bridge up`, `add`, `render`, `verify`, …

In Python: `Fleet(stanzas=[Stanza(name="time", pypi="mcp-server-time==…", command="mcp-server-time")]).render()`.
"""

from bridge.fleet.files import File
from bridge.fleet.load import StanzaError
from bridge.fleet.model import Fleet, LiteLLM
from bridge.fleet.stanza import Auth, Binary, Limits, Registration, Secret, Smoke, Stanza, Tools, Volume

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
