"""What a stanza's `egress` may say: yes, no, or the names that its server may reach. Pure.

A list is never a way to an address of the operator's own network, of this machine or of a cloud's metadata, by whatever name:
that is what `egress: true` is for, where it is meant.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

PORTS = (80, 443)  # where none is written
MOST = 200
WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
HOST = re.compile(rf"(?P<any>\*\.)?(?P<name>({LABEL}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?)")  # squid takes 0x7f.1 for an address
OF_NOBODY = re.compile(r"(^|\.)(localhost|local|localdomain|internal|lan|home\.arpa)$")
PLACE = re.compile(r"(?P<host>[^:\[\]/]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?")
# Of IPv4, what is nobody's in the internet (IANA's special-purpose registry), and where Azure has its machines' own service.
NEVER_4 = tuple(
    """0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.88.99.0/24 192.168.0.0/16
    198.18.0.0/15 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32""".split()
)
# Of IPv6, all but 2000::/3: loopback, unique local, link-local, multicast, IPv4 in IPv6 (::ffff:0:0/96) and in NAT64 (64:ff9b::/96);
# and of that, what carries an IPv4 address inside: Teredo and 6to4.
NEVER_6 = ("::/3", "4000::/2", "8000::/1", "2001::/32", "2002::/16")
SQUIDS_6 = ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", *NEVER_6[1:])  # to squid all of IPv4 is in ::/3
NEVER = tuple(map(ipaddress.ip_network, (*NEVER_4, *NEVER_6)))


@dataclass(frozen=True)
class Allowed:
    """A name, or with `below` all names below it; or an address, as a client writes it in a URL."""

    host: str
    ports: tuple[int, ...]
    below: bool = False


def checked(value: Any) -> bool | list[str]:
    """`egress` as it was written, a list in one spelling and never empty. Raises ValueError."""
    if isinstance(value, str):
        value = WORDS.get(value.lower(), [value])
    if isinstance(value, bool):
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValueError("write true, false, or a list of names: [api.example.com, '*.example.org', 'example.net:8443']")
    if len(value) > MOST:
        raise ValueError(f"more than {MOST} names: '*.' before a name means all below it, and 'true' means everything")
    names = list(dict.fromkeys(one.lower() for one in value))
    allowed(names)
    return names or False


def allowed(names: Iterable[str]) -> list[Allowed]:
    return [_parsed(name) for name in names]


def _parsed(text: str) -> Allowed:
    found = PLACE.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r}: write a name as api.example.com, *.example.com or api.example.com:8443, without a scheme or a path")
    host, port = found["host"], int(found["port"] or 0)
    if found["port"] and not 0 < port < 65536:
        raise ValueError(f"{text!r}: a port is 1 to 65535")
    ports = (port,) if port else PORTS
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return _named(text, host, ports)
    if any(address in network for network in NEVER if network.version == address.version):
        raise ValueError(f"{text!r} is nobody's address in the internet: a list never opens those; 'egress: true' does")
    return Allowed(f"[{address}]" if address.version == 6 else str(address), ports)


def _named(text: str, host: str, ports: tuple[int, ...]) -> Allowed:
    if host == "*" or re.fullmatch(r"\*\.[^.]+", host):
        raise ValueError(f"{text!r} is almost everything: write *.example.com, or 'egress: true' where that is meant")
    found = HOST.fullmatch(host)
    if not found or len(host) > 253:
        raise ValueError(
            f"{text!r}: a name is of letters, digits, '-' and dots (others as xn--…), and a '*' stands alone before its first dot"
        )
    if OF_NOBODY.search(found["name"]):
        raise ValueError(f"{text!r} is a name of your own network or machine: a list never opens those; 'egress: true' does")
    return Allowed(found["name"], ports, below=bool(found["any"]))
