"""Whose JWT a request carries, and how a client learns where to get one.

A token that was verified is known by its hash until it expires, or until the keys change: a signature is checked once for
each token, not for each request. What a client reads of us names the address as the client wrote it: it compares the `resource`
of the metadata with that (RFC 9728, 3.3), and its token is for that audience (RFC 8707).
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Sequence

from bridge.log import Log
from bridge.oauth.audiences import Audiences
from bridge.oauth.claims import INSUFFICIENT_SCOPE, INVALID_TOKEN, CallerOf, Claims, Pending, Rejected, Verified, scopes
from bridge.oauth.issuer import KeyStore, Unavailable, is_url, read_file
from bridge.oauth.keys import ALGORITHMS, BadKeys
from bridge.oauth.verifier import UnknownKey, Verifier
from bridge.protocol.errors import INTERNAL_ERROR, INVALID_REQUEST, Reason, Refusal
from bridge.settings import Settings, UsageError

WELL_KNOWN = "/.well-known/oauth-protected-resource"  # RFC 9728, 3
Headers = dict[bytes, bytes]
LONGEST = 200  # characters of a path
REMEMBERED = 4096  # tokens that are known to be good
UNKNOWN_KEY = Rejected(INVALID_TOKEN, "the token is signed with a key that its issuer does not publish")
NO_TOKEN = "a bearer token is needed (Authorization: Bearer TOKEN)"
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*")


class ResourceServer:
    """The part of the gate that knows JWTs. `caller_of` says who is meant by verified claims."""

    def __init__(
        self,
        keys: KeyStore,
        verifier: Verifier,
        base_of: Callable[[Headers], str],
        caller_of: CallerOf,
        required: Sequence[str] = (),
        issuer: str = "",
        has_names: bool = False,
    ):
        self._caller_of = caller_of
        self.keys = keys
        self._verifier = verifier
        self._required = tuple(required)
        self._issuer, self._base_of = issuer, base_of
        self._has_names = has_names  # paths begin with that of their MCP
        self.verified: dict[
            tuple[str, bytes], Verified
        ] = {}  # by MCP and the tokens' hashes; another one once they may not be good any more
        self._ends: dict[str, float] = {}  # when the last token of a principal ends; removed by `expired`
        self._leeway = verifier.leeway
        keys.on_change = self.forget

    def now_means(self, caller_of: CallerOf) -> None:
        """After a reload: other callers may be meant by the same claims, and other keys stand in the file."""
        self._caller_of = caller_of
        self.forget()
        self.keys.ask_again()

    def forget(self) -> None:
        """What was found out about tokens may not hold any more: keys or callers are others."""
        self.verified = {}

    def admit(self, token: bytes, path: bytes) -> Verified | Rejected | Pending | None:
        """Whose token it is, if it lets its bearer in here. None if it is no JWT at all."""
        mcp = path.split(b"/", 2)[1].decode("latin-1") if self._has_names and path[:1] == b"/" else ""
        known = self.verified.get((mcp, hashlib.sha256(token).digest()))
        if known is not None and time.time() < known.until:
            return known
        return self._verify(token, mcp) if token.count(b".") == 2 else None

    def _verify(self, token: bytes, mcp: str) -> Verified | Rejected | Pending:
        keys = self.keys.keys
        try:
            if keys is None:
                raise UnknownKey
            claims = self._verifier.verify(token, keys, mcp)
        except UnknownKey:
            if keys is not None and not self.keys.may_change():
                return UNKNOWN_KEY
            return Pending(self.keys.changed, self._without_key)
        return claims if isinstance(claims, Rejected) else self._remember(token, claims, mcp)

    def _without_key(self, headers: Headers, path: str) -> Refusal:
        if self.keys.keys is not None:
            return self.refusal(UNKNOWN_KEY, headers, path)
        why = f"no token can be verified: {self.keys.why}"
        return Refusal(503, INTERNAL_ERROR, why, ((b"retry-after", b"5"),), reason=Reason.TOKEN)

    def _remember(self, token: bytes, claims: Claims, mcp: str) -> Verified | Rejected:
        if missing := [scope for scope in self._required if scope not in scopes(claims)]:
            return Rejected(INSUFFICIENT_SCOPE, f"the token lacks the scope {' '.join(missing)}", self._required)
        principal = self._caller_of(claims)
        if isinstance(principal, Rejected):
            return principal
        end = float(str(claims["exp"])) + self._leeway
        if len(self.verified) >= REMEMBERED:
            del self.verified[next(iter(self.verified))]
        found = self.verified[mcp, hashlib.sha256(token).digest()] = Verified(principal, end)
        self._ends[principal] = max(end, self._ends.get(principal, 0.0))
        return found

    def expired(self) -> set[str]:
        """The principals whose last token has ended since this was asked last: what they keep open ends with it."""
        now = time.time()
        ended = {principal for principal, end in self._ends.items() if end <= now}
        for principal in ended:
            del self._ends[principal]
        return ended

    # -- how it says no, and where to go ----------------------------------------------------------------------------------

    def refusal(self, found: Rejected | None, headers: Headers, path: str) -> Refusal:
        """The no to a request for this path: RFC 6750, 3, with the metadata's address (RFC 9728, 5.1)."""
        parts, wanted = ['realm="mcp-bridge"'], self._required
        if found is not None:  # where nothing was shown there is no error either (3.1)
            parts += [f'error="{found.error}"', f'error_description="{_quotable(found.why)}"']
            wanted = found.scopes or wanted
        if wanted:
            parts.append(f'scope="{_quotable(" ".join(wanted))}"')
        if self._issuer and (base := self._base_of(headers)):
            parts.append(f'resource_metadata="{base}{WELL_KNOWN}{_plain(path)}"')
        status = 403 if found is not None and found.error == INSUFFICIENT_SCOPE else 401
        challenge = (b"www-authenticate", f"Bearer {', '.join(parts)}".encode())
        return Refusal(status, INVALID_REQUEST, found.why if found else NO_TOKEN, (challenge,), reason=Reason.TOKEN)

    def metadata(self, headers: Headers, path: str) -> bytes | None:
        """The document of the resource at this path, as its client wrote it (RFC 9728, 2); None where nobody gives tokens out."""
        base = self._base_of(headers)
        if not self._issuer or not base:
            return None
        document: dict[str, object] = {
            "resource": base + _plain(path),
            "authorization_servers": [self._issuer],
            "bearer_methods_supported": ["header"],
        }
        if self._required:
            document["scopes_supported"] = list(self._required)
        return json.dumps(document).encode()

    @property
    def hint(self) -> str:
        """For who looks for an authorization server here."""
        return f"the authorization server is {self._issuer}: see {WELL_KNOWN}" if self._issuer else ""


def open_resource_server(settings: Settings, log: Log, base_of: Callable[[Headers], str], caller_of: CallerOf) -> ResourceServer:
    """Of what the operator said; `base_of` is the address that a client has for "/". Raises UsageError, and warns of what is risky."""
    issuer, jwks = settings.oidc_issuer, settings.jwks
    if issuer and not is_url(issuer):
        raise UsageError(f"--oidc-issuer {issuer!r} must be an address, as the tokens name it (https://…)")
    if not settings.audience:
        raise UsageError(
            "tokens for other services would be good here: say with --audience whom ours are for, as the issuer writes it "
            "(MCP clients ask for the address that they connect to: https://HOST/mcp)"
        )
    if settings.public_url and not is_url(settings.public_url):
        raise UsageError(f"--public-url {settings.public_url!r} must be an address (https://…)")
    algorithms = settings.jwt_algorithm or ALGORITHMS
    for name in algorithms:
        if name not in ALGORITHMS:
            raise UsageError(f"--jwt-algorithm {name!r}: choose from {', '.join(ALGORITHMS)} (neither none nor HMAC: keys are public)")
    keys = KeyStore(issuer, jwks, algorithms, log)
    if jwks and not is_url(jwks):
        try:
            keys.take(read_file(jwks))
        except (BadKeys, Unavailable) as error:
            raise UsageError(f"--jwks {jwks}: {error}") from None
    elif (jwks or issuer).startswith("http:"):
        log.warning("keys for tokens come over plain http: who is on the way can let anybody in", of=jwks or issuer)
    issuers = (issuer.rstrip("/"), issuer.rstrip("/") + "/") if issuer else ()
    has_names = bool(settings.config)
    verifier = Verifier(algorithms, Audiences(settings.audience, has_names), issuers, settings.jwt_leeway)
    return ResourceServer(keys, verifier, base_of, caller_of, settings.required_scope, issuer, has_names)


def _plain(path: str) -> str:
    """The path, if it may stand in a header and in a document as it is."""
    return path if len(path) <= LONGEST and _PATH.fullmatch(path) else ""


def _quotable(text: str) -> str:
    """RFC 6750, 3: neither quotes nor backslashes, and ASCII."""
    return re.sub(r"[^ !#-\[\]-~]", "'", text)
