"""compose/door/: what the door's nginx is told. It knows the MCPs' names, LiteLLM and Prometheus, and nothing else.

Names, hosts and origins are all that is written into its configuration, and each is of letters that mean nothing to nginx:
the model refuses others. So there is nothing to escape here but the dots of a pattern.
"""

import json
import re
from typing import Any

from bridge.fleet.files import MADE_BY
from bridge.fleet.model import PORT, Fleet
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets import groups, registry
from bridge.fleet.targets.template import fill, template
from bridge.page import PLACE, POLICY, SAFE

SOCKETS = "/run/mcp"  # with a folder for each MCP; an MCP sees its own only, there
PUBLISHED, LITELLM, PROMETHEUS = 8080, 4000, 9090
PAGE_HEADERS = {"Content-Security-Policy": POLICY, **SAFE, "Cache-Control": "no-cache"}
BODIES = "100m"  # to LiteLLM: files of models
EGRESS_UPSTREAM = f"  upstream mcp-egress {{ server unix:{SOCKETS}/egress/socket; }}"
EGRESS = f"""
  server {{
    listen {PORT};
    server_name egress;
    location = /metrics {{ proxy_pass http://mcp-egress; }}
    location / {{ return 404 "the egress proxy has /metrics only\\n"; }}
  }}
"""
AWAY = """    location @away {{
      add_header Retry-After 2 always;
      return 503 "{who} does not answer: is it started? (docker compose ps)\\n";
    }}"""


def socket(stanza: Stanza) -> str:
    return f"{SOCKETS}/{stanza.name}/socket"


def conf(fleet: Fleet) -> str:
    names = [stanza.name for stanza in fleet.sidecars]
    return fill(
        template("door.conf"),
        {
            "port": str(fleet.port),
            "hosts": "".join(f"\n    '~*^{re.escape(host)}(:\\d+)?$' 1;" for host in fleet.hosts),
            "origins": "".join(f"\n    '~*^{re.escape(origin)} ' 1;" for origin in fleet.origins),
            "upstreams": "\n".join(f"  upstream mcp-{stanza.name} {{ server unix:{socket(stanza)}; }}" for stanza in fleet.sidecars)
            + ("\n" + EGRESS_UPSTREAM if fleet.listed else "")
            + (f"\n  upstream mcp-{groups.NAME} {{ server unix:{SOCKETS}/{groups.NAME}/socket; }}" if fleet.groups else ""),
            "inside": "".join(map(_inside, [*names, *([groups.NAME] if fleet.groups else [])])) + (EGRESS if fleet.listed else ""),
            "published": "".join([*map(_published, names), *(_published(name, groups.NAME, f"/{name}") for name in fleet.group_names)]),
            "namespace": re.escape(registry.NAMESPACE),
            "address": registry.ADDRESS,
            "time": registry.TIME,
            "page": PLACE,
            "page_headers": "\n".join(f'      add_header {name} "{value}" always;' for name, value in PAGE_HEADERS.items()),
            "gateways": _gateway("litellm", LITELLM, BODIES, f"\n    listen 1{LITELLM} ssl;") + _gateway("prometheus", PROMETHEUS, "1m"),
        },
    )


def facts(fleet: Fleet) -> str:
    """What the page for people tells of each MCP that its bridge does not know: for the operator, and without any value."""
    said: dict[str, Any] = {"made_by": MADE_BY, "mcps": {stanza.name: _facts(stanza) for stanza in fleet.stanzas}}
    if fleet.groups:
        said["groups"] = {name: fleet.members_of(name) for name in fleet.group_names}
    return json.dumps(said, indent=1, ensure_ascii=False) + "\n"


def _facts(stanza: Stanza) -> dict[str, Any]:
    said = {
        "description": stanza.description,
        "package": ", ".join([*stanza.pypi, *stanza.npm]) or stanza.image,
        "needs": [*stanza.required_secrets, *stanza.required_variables, *stanza.needs],
        "remote": stanza.is_remote,
    }
    return {name: value for name, value in said.items() if value}


def _inside(name: str) -> str:
    return f"""
  server {{
    listen {PORT};
    server_name {name};
    set $prefix '';
    location / {{ proxy_pass http://mcp-{name}; error_page 502 504 = @away; }}
{AWAY.format(who=name)}
  }}
"""


def _published(name: str, bridge: str = "", path: str = "") -> str:
    """`path`: what the bridge itself has before the paths of this one."""
    return f"""
    location /{name}/ {{
      set $prefix /{name};
      proxy_pass http://mcp-{bridge or name}{path}/;
      error_page 502 504 = @away;
    }}
"""


def _gateway(name: str, port: int, bodies: str, secure: str = "") -> str:
    return f"""
  server {{
    listen {port};{secure}
    limit_conn callers 1024;
    client_max_body_size {bodies};
    set $prefix '';
    set $to {name}:{port};
    if ($is_foreign) {{ return 403 "a Host or an Origin of another place: images/fleet.yaml has 'hosts' and 'origins' for those that are yours\\n"; }}
    location / {{ proxy_pass http://$to; error_page 502 504 = @away; }}
{AWAY.format(who=name)}
  }}
"""
