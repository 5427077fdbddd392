"""Who calls: the callers of one file, by what they show, and what each of them may do. Pure."""

import hashlib
import hmac
from base64 import b64decode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from secrets import token_bytes

from bridge.callers.credentials import caller_of
from bridge.callers.passwords import Password
from bridge.callers.rates import Attempts
from bridge.callers.rules import Level, Rule, Rules

REMEMBERED = 1000  # passwords that were found right
SCOPES = ("scope", "scp")
JWT = "jwt:"  # begins the names of those whom only their JWT names (bridge/oauth/claims.py)


@dataclass(frozen=True)
class Limits:
    """Of one caller on one MCP; 0 is no limit of its own."""

    requests: float = 0.0  # a second
    burst: float = 0.0
    in_flight: int = 0
    sessions: int = 0
    children: int = 0


@dataclass(frozen=True)
class Caller:
    """`name` is the principal everywhere else. An empty one stands for everybody who shows no key (`default`)."""

    name: str
    rules: tuple[Rule, ...] = ()
    default: Level = Level.DENY
    limits: Limits = Limits()
    digests: frozenset[bytes] = frozenset()  # SHA-256 of its tokens
    passwords: Mapping[str, Password] = field(default_factory=dict)  # by user
    claims: Mapping[str, object] = field(default_factory=dict)  # of a JWT, which must all be so
    sees_metrics: bool = False

    def on(self, mcp: str) -> Rules:
        return Rules(self.rules, self.default, mcp)

    @property
    def may_anything(self) -> bool:
        return self.default > Level.DENY or any(rule.level > Level.DENY for rule in self.rules)

    @property
    def is_admin(self) -> bool:
        """Of the bridge: reload, and the state of all MCPs."""
        everywhere = [rule for rule in self.rules if not rule.kind and rule.mcp.strip("*") == ""]
        level = min((rule.level for rule in everywhere), default=self.default)
        return level is Level.ADMIN

    def differs(self, after: "Caller") -> bool:
        """Whether what was opened by it has to end."""
        rights = (self.rules, self.default) != (after.rules, after.default)
        return rights or bool(self.digests - after.digests) or dict(self.passwords) != dict(after.passwords) or self.claims != after.claims


class Callers:
    """Those of one file. `others` are the names of --token-file, who may call everything where the file has no caller of the name."""

    def __init__(self, callers: tuple[Caller, ...] = (), everybody: Caller | None = None, others: frozenset[str] = frozenset()):
        self.by_name = {caller.name: caller for caller in callers}
        self.everybody = everybody or Caller("")
        self.others = others
        self.attempts = Attempts()  # at passwords
        self._by_user = {user: (caller.name, password) for caller in callers for user, password in caller.passwords.items()}
        self._key = token_bytes(32)
        self._right: dict[bytes, str] = {}

    @property
    def have_claims(self) -> bool:
        """Whether any of them is known by a JWT."""
        return any(caller.claims for caller in self.by_name.values())

    @property
    def scopes(self) -> tuple[str, ...]:
        """Those that a JWT may need to be one of them."""
        wanted = (caller.claims.get(name) for caller in self.by_name.values() for name in SCOPES)
        texts = [" ".join(map(str, value)) if isinstance(value, list) else value for value in wanted]
        return tuple(dict.fromkeys(word for text in texts if isinstance(text, str) for word in text.split()))

    def of(self, principal: str) -> Caller:
        """The caller of this name. One that is known by --token-file alone may call everything, as without --callers."""
        principal = caller_of(principal)
        known = self.by_name.get(principal)
        if known is None:
            return Caller(principal, default=Level.EXECUTE) if principal in self.others else self.everybody
        return known

    def of_claims(self, claims: Mapping[str, object]) -> Caller | None:
        """The first caller of the file all of whose `jwt` claims are so in a token that was verified. None: nobody in particular.

        A claim that is a list has to hold what is asked for, and so has `scope`, whose text is a list (RFC 8693, 4.2).
        """
        for caller in self.by_name.values():
            if caller.claims and all(_holds(name, _claim(claims, name), wanted) for name, wanted in caller.claims.items()):
                return caller
        return None

    def of_basic(self, encoded: bytes, address: str, now: float) -> str | None:
        """Whose user and password these are (RFC 7617). The slow hash is asked once for each that is right, seldom for guesses, and never
        without an address."""
        if not self._by_user:
            return None
        remembered = hmac.digest(self._key, encoded, "sha256")
        name = self._right.get(remembered)
        if name is not None or not address:
            return name
        try:
            user, colon, password = b64decode(encoded, validate=True).partition(b":")
            known = self._by_user.get(user.decode())
        except ValueError:
            return None
        if not colon or self.attempts.wait(address, now):
            return None
        _, asked = known or next(iter(self._by_user.values()))  # who does not exist takes as long, so that nobody learns who does
        if not asked.fits(password) or known is None:
            self.attempts.fail(address, now)
            return None
        if len(self._right) < REMEMBERED:
            self._right[remembered] = known[0]
        return known[0]

    def changed(self, after: "Callers", others: Collection[str] = ()) -> set[str]:
        """Those whose rights or keys are not the same in another file: what was opened with them ends. `others` are names that this file may
        not have (subjects of JWTs). Where JWTs name callers by other claims, or in another order, whoever was named may be somebody else."""
        names = set(self.by_name) | set(after.by_name) | self.others | after.others | {"", *others}
        claims = [[(caller.name, caller.claims) for caller in each.by_name.values() if caller.claims] for each in (self, after)]
        same = {name for (name, _), _ in takewhile(lambda pair: pair[0] == pair[1], zip(*claims, strict=False))}
        named = {name for name in names if name.startswith(JWT) or self.of(name).claims} - same if claims[0] != claims[1] else set()
        return named | {name for name in names if self.of(name).differs(after.of(name))}


def digest_of(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _claim(claims: Mapping[str, object], name: str) -> object:
    """The claim of this name; `realm_access.roles` is the member `roles` of `realm_access` where none has the whole name."""
    if name in claims or "." not in name:
        return claims.get(name)
    outer, _, inner = name.partition(".")
    there = claims.get(outer)
    return _claim(there, inner) if isinstance(there, Mapping) else None


def _holds(name: str, claim: object, wanted: object) -> bool:
    if isinstance(wanted, list):
        return all(_holds(name, claim, one) for one in wanted)
    if isinstance(claim, str) and isinstance(wanted, str) and name in SCOPES:
        return set(wanted.split()) <= set(claim.split())
    if isinstance(claim, list):
        return any(_is_same(one, wanted) for one in claim)
    return _is_same(claim, wanted)


def _is_same(claim: object, wanted: object) -> bool:
    """Python takes `true` for 1, JSON does not."""
    return claim is not None and type(claim) is type(wanted) and claim == wanted
