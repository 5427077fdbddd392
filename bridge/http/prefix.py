"""The path that a reverse proxy took off before it passed the request on, so that what we point to is found again.

A proxy that strips `/time` (Traefik, nginx, ingresses) says so in `X-Forwarded-Prefix`; `--root-path` says it for those
that do not. It counts where a proxy is trusted to say it (`proxies.py`), and must be a plain path all the same: it stands in an
event stream and in a page.
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
    if len(given) > LONGEST or not _PATH.fullmatch(given) or _DOTS.search(given):
        given = otherwise.encode()
    return given.rstrip(b"/")


def base(public_url: str, root_path: str, own_scheme: str, headers: dict[bytes, bytes]) -> str:
    """The address that the client has for our "/", without a slash at its end: --public-url, or what trusted proxies say.
    Empty where that is no address."""
    if public_url:
        return public_url.rstrip("/")
    host = headers.get(b"x-forwarded-host", b"").decode("latin-1") or headers.get(b"host", b"").decode("latin-1")
    scheme = {"https": "https", "wss": "https", "http": "http", "ws": "http"}.get(
        headers.get(b"x-forwarded-proto", b"").decode("latin-1").lower(), own_scheme
    )
    return f"{scheme}://{host}{prefix(headers, root_path).decode()}" if HOST.fullmatch(host) else ""
