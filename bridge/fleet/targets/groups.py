"""compose/groups/: the bridge before the bridges, which has the MCPs of a group at one address (docs/fleet.md). There is one where fleet.yaml says `groups`.

It reaches each MCP's bridge by the socket that the door uses, and sends it the caller's key. Of the fleet's own callers it gets keys that open
groups only, and sends on what it derives from them for each MCP. What it holds itself is, for each MCP, a key by which that says what it is, and no more.
"""

from collections.abc import Iterator
from typing import Any

from bridge.fleet import callers as known
from bridge.fleet.files import MADE_BY, File, generated_yaml
from bridge.fleet.model import Fleet
from bridge.fleet.targets import dockerfile
from bridge.fleet.targets.template import fill, template

NAME = known.OF_GROUPS  # the service, the door's name for it, and its caller
MEMBERS = "/run/members"  # with the folder of each MCP's socket
KEYS = "/run/keys-of-members"
FOLDER = f"compose/{NAME}"
CONFIG = "config.yaml"


def render(fleet: Fleet) -> Iterator[File]:
    yield generated_yaml(
        f"{FOLDER}/{CONFIG}", config(fleet), "All MCPs, for who starts them by hand; `mcp-bridge up` writes down those that run."
    )
    values = dockerfile.of_bridge(fleet)
    yield File(f"{FOLDER}/Dockerfile", f"# {MADE_BY}\n\n{fill(template('groups.Dockerfile'), values)}")


def config(fleet: Fleet) -> dict[str, Any]:
    """What that bridge is told of the MCPs that run."""
    here = [stanza.name for stanza in fleet.sidecars]
    return {
        "mcpServers": {},
        "bridges": {
            stanza.name: {
                "socket": f"{MEMBERS}/{stanza.name}/socket",
                "key_file": f"{KEYS}/{stanza.name}",
                "keys_of": [known.OPERATOR, known.LITELLM],
                **({"headers": list(stanza.secret_headers)} if stanza.secret_headers else {}),
            }
            for stanza in fleet.sidecars
        },
        "groups": fleet.groups_of(here),
    }


def memory(fleet: Fleet) -> str:
    """What the container may take: each MCP's part of it bounds how long a message may be."""
    return f"{256 + 16 * len(fleet.sidecars)}m"
