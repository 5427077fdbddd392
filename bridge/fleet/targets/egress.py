"""compose/egress/: what squid and its resolver are told. One list for each MCP, which squid knows by the address that it asks from.

Names, ports and numbers are all that is written here, and `bridge/fleet/egress.py` has refused what is more than that. A name that
no list has is refused before anybody is asked for its address: a question to a name server can carry data out, too.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from bridge.egress import PORT
from bridge.egress.refusals import FORMAT
from bridge.fleet.egress import NEVER_4, NEVER_6, SQUIDS_6, Allowed, allowed
from bridge.fleet.files import MADE_BY, File
from bridge.fleet.model import Fleet
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets import dockerfile
from bridge.fleet.targets.template import fill, template

SOCKETS = "/run/egress"  # with a folder for each MCP in the proxy's container; an MCP sees its own only, there
FOLDER = "/etc/egress"
IMAGE = "egress.Dockerfile"
BELOW = r".+\."
NO_ADDRESS = "%H has no public address: there is no such name, or it has private addresses only, which no egress list opens"
PAGES = {  # what is read where a request is refused; the client's words in it are squid's to escape
    "ERR_NOT_LISTED": "%H at port %p is not in the egress list of this MCP: 'egress' in its stanza",
    "ERR_NOT_PUBLIC": "%H has a private address, and no egress list opens those: 'egress' in its stanza",
    "ERR_DNS_FAIL": NO_ADDRESS,
    "ERR_CANNOT_FORWARD": NO_ADDRESS,
}


def render(fleet: Fleet) -> Iterator[File]:
    for name, text in conf(fleet).items():
        yield File(f"compose/egress/{name}", text)
    values = {"python_image": fleet.pinned(fleet.python_image), "health": dockerfile.health("python"), "folder": FOLDER}
    for name, text in PAGES.items():
        yield File(f"compose/egress/errors/{name}", f"{text}\n")
    yield File("compose/egress/Dockerfile", f"# {MADE_BY}\n\n{fill(template(IMAGE), values)}")


def conf(fleet: Fleet, ports: dict[str, int] | None = None) -> dict[str, str]:
    """The files of FOLDER. `ports`: where each MCP asks, if not at a socket."""
    places = {name: str(port) for name, port in (ports or {}).items()}
    mcps = [f"{stanza.name} {_address(number)} {places.get(stanza.name) or socket(stanza)}" for number, stanza in enumerate(fleet.listed)]
    rules = "".join(_rules(number, stanza) for number, stanza in enumerate(fleet.listed))
    squid = {"port": str(PORT), "never": " ".join((*NEVER_4, *SQUIDS_6)), "rules": rules, "format": FORMAT}
    unbound = {"never": "\n".join(f"  private-address: {network}" for network in (*NEVER_4, *NEVER_6))}
    return {
        "mcps": f"# {MADE_BY}\n" + "".join(f"{line}\n" for line in mcps),
        "squid.conf": f"# {MADE_BY}\n\n{fill(template('squid.conf'), squid)}",
        "unbound.conf": f"# {MADE_BY}\n\n{fill(template('unbound.conf'), unbound)}",
    }


def socket(stanza: Stanza) -> str:
    return f"{SOCKETS}/{stanza.name}/socket"


def proxied(address: str, needs: Iterable[str]) -> dict[str, str]:
    """The variables by which programs find a proxy; they differ in which they read, and in which case."""
    own = ",".join(("localhost", "127.0.0.1", "::1", *needs))
    said = {"HTTP_PROXY": address, "HTTPS_PROXY": address, "ALL_PROXY": address, "NO_PROXY": own}
    return said | {name.lower(): value for name, value in said.items()} | {"NODE_USE_ENV_PROXY": "1"}


def _address(number: int) -> str:
    return f"127.{1 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


def _rules(number: int, stanza: Stanza) -> str:
    """What squid lets one MCP do: for each set of ports the names, and of these none that leads inside."""
    mcp = f"mcp{number}"
    lines = [f"\n# {stanza.name}", f"acl {mcp} src {_address(number)}"]
    by_ports: dict[tuple[int, ...], list[Allowed]] = defaultdict(list)
    for one in allowed(stanza.reaches):
        by_ports[one.ports].append(one)
    for ports, hosts in by_ports.items():
        suffix = "-".join(map(str, ports))
        lines.append(f"acl {mcp}-ports-{suffix} port {' '.join(map(str, ports))}")
        # -n: else the name that somebody has given to his address (PTR) would count.
        lines += [f"acl {mcp}-names-{suffix} dstdom_regex -n -i {_pattern(one)}" for one in hosts]
        rule = f"{mcp} {mcp}-ports-{suffix} {mcp}-names-{suffix}"
        lines += [f"http_access deny {rule} inside", f"http_access allow {rule}"]
    return "\n".join(lines) + "\n"


def _pattern(one: Allowed) -> str:
    return f"^{BELOW if one.below else ''}{re.escape(one.host)}$"
