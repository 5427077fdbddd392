"""Whose X-Forwarded-For, -Proto, -Host and -Prefix count (`--trusted-proxy`), and what they say then.

Each proxy adds to the right of what it got, so only what trusted ones have added is true: the list is read from the right, for as long as
those who speak are trusted, and what stands further left was said by anybody. Of the others as many words count as there are
trusted proxies. What nobody trusted has said is taken away before anything reads it. RFC 7239's Forwarded is not read: the
proxies that people have here (nginx, Caddy, Traefik, HAProxy, ingresses) do not send it by themselves.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from bridge.settings import UsageError

SOCKET = "unix"  # for whoever comes by the Unix socket
LONGEST = 16  # proxies in a row
FOR, PROTO, HOST, PREFIX = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix"
NAMES = (FOR, PROTO, HOST, PREFIX)
_ADDRESS = re.compile(r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]+)\]|(?P<plain>[0-9.]+))(?::[0-9]{1,5})?|(?P<bare>[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)")

Headers = dict[bytes, bytes]


class Proxies:
    """Raises UsageError for what is no address and no network."""

    def __init__(self, trusted: Sequence[str]):
        self._socket = SOCKET in trusted
        self._networks = [_network(one) for one in trusted if one != SOCKET]

    def trusts(self, address: str) -> bool:
        """An empty address is that of a Unix socket."""
        if not address:
            return self._socket
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped:
            found = found.ipv4_mapped
        return any(found in network for network in self._networks)

    def heard(self, peer: str, headers: Headers) -> str:
        """The client's address. `headers` then have of all this what is true, and nothing else."""
        client, proxies = peer, 0
        left = headers.pop(FOR, b"").decode("latin-1").split(",")
        while proxies < LONGEST and self.trusts(client):
            proxies += 1
            if (before := _address(left.pop() if left else "")) is None:
                break
            client = before
        for name in (PROTO, HOST, PREFIX):
            said = headers.pop(name, None)
            if said is not None and proxies:
                words = [word.strip() for word in said.split(b",")][-proxies:]
                headers[name] = b"".join(word.rstrip(b"/") for word in words) if name is PREFIX else words[0]
        return client


def untrusted(headers: Headers) -> bytes:
    """Take away what nobody is trusted to say. Returns the name of one that was there."""
    found = b""
    for name in NAMES:
        if headers.pop(name, None) is not None:
            found = name
    return found


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise UsageError(f"--trusted-proxy {text}: an address, a network (10.0.0.0/8), or {SOCKET}: {error}") from None


def _address(text: str) -> str | None:
    """One entry of the list, as proxies write it: with a port or without. None for anything else (`unknown`, a name, nothing)."""
    found = _ADDRESS.fullmatch(text.strip())
    if found is None:
        return None
    try:
        address = ip_address(found["bracketed"] or found["plain"] or found["bare"])
    except ValueError:
        return None
    return str((isinstance(address, IPv6Address) and address.ipv4_mapped) or address)
