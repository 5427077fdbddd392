"""Who may come in: the Host and Origin that a request names, and its token. On every endpoint, before anything else.

Host and Origin keep a web page in somebody's browser from reaching us by DNS rebinding (basic/transports, "Security
Warning"): a page can make a browser send any request, but not with a Host that is ours and an Origin that is not its own.
"""

import math
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from bridge.callers.audit_sums import Sums
from bridge.callers.keys import Keys
from bridge.callers.rates import Attempts
from bridge.callers.tokens import Tokens, presented
from bridge.oauth.claims import Pending, Verified
from bridge.protocol.errors import INVALID_REQUEST, Reason, Refusal

if TYPE_CHECKING:
    from bridge.oauth.resource import ResourceServer

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ADMIN = "/-/"  # what admins do: `refusal_of_admin`, whatever else a request shows
RELOAD = f"{ADMIN}reload"
OPEN_PATHS = (b"/healthz", b"/readyz", b"/")  # / is the page for people, which is the same for everybody
PAGES = (b"/status.json", b"/tools.json", b"/log.json", b"/metrics", b"/readyz")
HEALTH = (b"/healthz", b"/readyz")
PROTECTED_RESOURCE = b"/.well-known/oauth-protected-resource"  # the metadata of RFC 9728, for who has no token yet
OAUTH = (b"register", b"authorize", b"token")
NO_OAUTH = (
    "there is no OAuth here: send a static token (Authorization: Bearer TOKEN, or X-API-Key: TOKEN), which the operator of this bridge has"
)
REMEMBERED, LONGEST = 1000, 500  # Hosts with their Origins, and bytes of each: nobody has shown a token yet
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
NEVER = math.inf
Headers = dict[bytes, bytes]
Address = tuple[str, int | None] | None  # that the request came to
Named = tuple[bytes | None, bytes | None, Address, bool]  # Host, Origin, that address, and whether it is a WebSocket's


class Admitted(NamedTuple):
    """Whose request it is (who is anonymous has no name), and when its token ends, by `time.time`."""

    principal: str
    until: float = NEVER


ANONYMOUS = Admitted("")


class Gate:
    """Asked before any endpoint: whose request it is, or why it may not come in."""

    def __init__(
        self,
        allowed_hosts: tuple[str, ...] = (),
        allowed_origins: tuple[str, ...] = (),
        tokens: Tokens | None = None,
        is_loopback: bool = True,
        admins: Tokens | None = None,
        oauth: "ResourceServer | None" = None,
        sums: Sums | None = None,
    ):
        self.tokens = tokens
        self.sums = sums  # where refusals are written down (--audit)
        self.oauth = oauth  # knows JWTs
        self.admins = admins  # those that may reload, and see all pages
        self.allowed_origins = {origin.rstrip("/").lower() for origin in allowed_origins}
        self.any_host = "*" in allowed_hosts
        self.hosts = {host.lower() for host in (*LOOPBACK, *allowed_hosts)}
        if not is_loopback:
            self.hosts.add(socket.gethostname().lower())
        self.is_loopback = is_loopback
        self.attempts = Attempts(rate=2.0, burst=200.0)  # of any kind; passwords, which people choose, have a bound of their own
        self.refused = Counter({"host": 0, "origin": 0, "token": 0, "attempt": 0})  # an attempt shows a token or password that is wrong
        self._checked: dict[Named, Refusal | None] = {}  # what was found out about a Host and an Origin

    @property
    def is_open(self) -> bool:
        """Whether nobody needs a token."""
        return self.tokens is None and self.oauth is None

    def admit(
        self, path: bytes, headers: Headers, server: Address, is_websocket: bool = False, client: str = "", typed: str = ""
    ) -> Admitted | Refusal | Pending:
        """Whose request it is. `client` is the address that it comes from, by which guesses are slowed; without it no password is looked
        at that was not right before. `typed` is its path as the client wrote it."""
        named = (headers.get(b"host"), headers.get(b"origin"), server, is_websocket)
        try:
            refusal = self._checked[named]
        except KeyError:
            refusal = self._remember(named)
        if refusal is not None:
            return ANONYMOUS if refusal.reason is Reason.HOST and path in HEALTH else refusal  # which is constant and reveals nothing
        if self.oauth is not None:
            return self._with_jwt(self.oauth, path, headers, client, typed)
        if self.tokens is None:
            return ANONYMOUS
        principal = self.tokens.principal(headers, client)
        return self._without_token(path, headers) if principal is None else Admitted(principal)

    def refuse(self, refusal: Refusal, headers: Headers, client: str) -> Refusal:
        """The no that a request gets: it is counted, and who shows many wrong tokens or passwords is told to wait."""
        self.refused[refusal.reason.value] += 1
        if refusal.status == 401 and (b"authorization" in headers or b"x-api-key" in headers):
            self.refused["attempt"] += 1
            if wait := self.attempts.fail(client, time.monotonic()):
                why = f"too many wrong tokens or passwords from {client}: wait {math.ceil(wait)} s"
                refusal = Refusal(429, INVALID_REQUEST, why, ((b"retry-after", b"%d" % math.ceil(wait)),), reason=Reason.TOKEN)
        if self.sums is not None:
            self.sums.refused(refusal, client)
        return refusal

    def has_admin_token(self, headers: Headers) -> bool:
        return self.admins is not None and self.admins.principal(headers) is not None

    def refusal_of_admin(self, headers: Headers, principal: str, client: str) -> Refusal | None:
        """Why somebody may not do what admins do: those with a token of --admin-token-file, and callers with admin on everything."""
        callers = self.tokens.callers if isinstance(self.tokens, Keys) else None
        if self.admins is None and callers is None:
            return Refusal(404, INVALID_REQUEST, "this is off (--admin-token-file, or a caller with admin)", reason=Reason.TOKEN)
        if self.has_admin_token(headers) or (callers is not None and callers.of(principal).is_admin):
            return None
        if callers is not None and principal:
            refusal = Refusal(403, INVALID_REQUEST, "only a caller with admin on */* may do this", reason=Reason.TOKEN)
            if self.sums is not None:
                self.sums.refused(refusal, client, principal)
            return refusal
        realm = ((b"www-authenticate", b'Bearer realm="mcp-bridge admin"'),)
        return self.refuse(Refusal(401, INVALID_REQUEST, "the admin token is needed", realm, reason=Reason.TOKEN), headers, client)

    def _with_jwt(self, oauth: "ResourceServer", path: bytes, headers: Headers, client: str, typed: str) -> Admitted | Refusal | Pending:
        """A JWT, or else a token of the file: some of those look like one."""
        token = presented(headers)
        found = oauth.admit(token, path) if token else None
        if isinstance(found, Verified):
            return Admitted(found.principal, found.until)
        if self.tokens is not None and (principal := self.tokens.principal(headers, client)) is not None:
            return Admitted(principal)
        refusal = self._without_token(path, headers)
        if isinstance(refusal, Admitted) or path.startswith(PROTECTED_RESOURCE):
            return ANONYMOUS
        if refusal.status == 404:
            return Refusal(404, INVALID_REQUEST, oauth.hint or refusal.message, reason=Reason.TOKEN)
        if isinstance(found, Pending):
            return found
        return oauth.refusal(found, headers, typed)

    def _remember(self, named: Named) -> Refusal | None:
        refusal = self._check(*named)
        if len(self._checked) < REMEMBERED and len(named[0] or b"") + len(named[1] or b"") < LONGEST:
            self._checked[named] = refusal
        return refusal

    def is_foreign(self, headers: Headers, server: Address) -> bool:
        """Whether the Host is none of ours: a checker's, which may ask for the state alone."""
        return self._check(headers.get(b"host"), None, server, False) is not None

    def _without_token(self, path: bytes, headers: Headers) -> Admitted | Refusal:
        if path in OPEN_PATHS or path.startswith(ADMIN.encode()):  # of the process; /NAME/readyz would say that there is such an MCP
            return ANONYMOUS
        if path.endswith(PAGES) and self.has_admin_token(headers):
            return ANONYMOUS
        if path.startswith(b"/.well-known/") or path.rpartition(b"/")[2] in OAUTH:
            # Anything but 404 here leads clients on in an OAuth dance, at whose end is nothing.
            return Refusal(404, INVALID_REQUEST, NO_OAUTH, reason=Reason.TOKEN)
        return Refusal(
            401,
            INVALID_REQUEST,
            "a bearer token is needed (Authorization: Bearer TOKEN, or X-API-Key: TOKEN)",
            ((b"www-authenticate", b'Bearer realm="mcp-bridge"'),),
            reason=Reason.TOKEN,
        )

    def _check(self, host: bytes | None, origin: bytes | None, server: Address, is_websocket: bool) -> Refusal | None:
        whole = (host or b"").decode("latin-1").lower()
        name = _host_name(whole)
        if not self._is_ours(name, whole, server):
            return _forbidden(Reason.HOST, f"Host {name[:100]!r} is not allowed here (--allowed-host {name[:100] or 'NAME'})")
        if origin is not None and not self._is_welcome(origin.decode("latin-1").lower(), whole, is_websocket):
            shown = origin.decode("latin-1")[:100]
            return _forbidden(Reason.ORIGIN, f"Origin {shown!r} is not allowed here (--allowed-origin {shown})")
        return None

    def _is_welcome(self, origin: str, host: str, is_websocket: bool) -> bool:
        """Whether a page of this origin may call: one that is listed, one of ours, or one from the very host it calls.

        The last says nothing where any Host goes: a rebound page's own host is what it calls. A browser shows our answers
        only to pages that we let in by CORS, whatever their port, but what comes on a WebSocket to any page: that must be of
        this very origin. (Its scheme may be https all the same, with a proxy in front of us.)
        """
        if origin.rstrip("/") in self.allowed_origins or "*" in self.allowed_origins:
            return True
        try:
            page = urlsplit(origin)
        except ValueError:  # "http://[::1": not an address
            return False
        if page.scheme not in DEFAULT_PORTS or not page.netloc:
            return False
        if is_websocket:
            port = DEFAULT_PORTS[page.scheme]
            return page.netloc.removesuffix(port) == host.removesuffix(port) and not self.any_host
        name = _host_name(page.netloc)
        return name in self.hosts or (name == _host_name(host) and not self.any_host)

    def _is_ours(self, name: str, whole: str, server: Address) -> bool:
        if self.any_host or name in self.hosts or whole in self.hosts:
            return True
        # An address that we are reached by cannot be a name that somebody made point here.
        # (An IPv4 client of an IPv6 socket reaches "::ffff:192.0.2.1".)
        return not self.is_loopback and server is not None and name.strip("[]") == server[0].removeprefix("::ffff:")


def _forbidden(reason: Reason, why: str) -> Refusal:
    return Refusal(403, INVALID_REQUEST, why, reason=reason)


def _host_name(host: str) -> str:
    """`[::1]:8000` -> `[::1]`, `time:8000` -> `time`."""
    return host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
