"""The path that a reverse proxy took off before it passed the request on, so that what we point to is found again.

A proxy that strips `/time` (Traefik, nginx, ingresses) says so in `X-Forwarded-Prefix`; `--root-path` says it for those
that do not. Two proxies behind each other join theirs by a comma, the outer one first. Anybody can send the header, and mislead nobody but themselves, because no answer of ours is cached. It must
be a plain path all the same: it stands in an event stream and in a page.
"""

import re

HEADER = b"x-forwarded-prefix"
LONGEST = 200
# RFC 3986's pchar without the comma, which joins two headers to one that is no path.
_PATH = re.compile(rb"(?:/(?:[A-Za-z0-9._~!$&'()*+;=:@-]|%[0-9A-Fa-f]{2})+)+/?")
HOST = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")
_DOTS = re.compile(rb"/(?:\.|%2e){1,2}(?:/|$)|\.\.", re.IGNORECASE)


def prefix(headers: dict[bytes, bytes], otherwise: str) -> bytes:
    """What stands before our own paths for this client: no slash at its end, empty where nothing does."""
    given = headers.get(HEADER, b"")
    parts = [part.strip() for part in given.split(b",")]
    if all(part.startswith(b"/") for part in parts):
        given = b"".join(part.rstrip(b"/") for part in parts)
    if len(given) > LONGEST or not _PATH.fullmatch(given) or _DOTS.search(given):
        given = otherwise.encode()
    return given.rstrip(b"/")


def base(public_url: str, root_path: str, own_scheme: str, headers: dict[bytes, bytes]) -> str:
    """The address that the client has for our "/", without a slash at its end: --public-url, or what proxies say (the outermost
    one, where several do). Empty where that is no address."""
    if public_url:
        return public_url.rstrip("/")
    host = _outermost(headers, b"x-forwarded-host") or headers.get(b"host", b"").decode("latin-1")
    scheme = {"https": "https", "wss": "https", "http": "http", "ws": "http"}.get(
        _outermost(headers, b"x-forwarded-proto").lower(), own_scheme
    )
    return f"{scheme}://{host}{prefix(headers, root_path).decode()}" if HOST.fullmatch(host) else ""


def _outermost(headers: dict[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").partition(",")[0].strip()
