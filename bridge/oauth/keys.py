"""The public keys of an issuer, by their id and the algorithm that each may verify. From the bytes of a JWK Set (RFC 7517).

What a key may be used for is decided here, once, by what kind of key it is: a token that names another algorithm finds no
key, so none can have a public key taken for the secret of an HMAC (RFC 8725, 2.1 and 3.1).
"""

import json
from collections.abc import Iterable, Mapping
from typing import Self

import jwt

KINDS = {  # algorithms by kind of key and its curve (RFC 7518, 3.1; RFC 8037)
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}
ALGORITHMS = tuple(dict.fromkeys(name for names in KINDS.values() for name in names))
PUBLIC = ("kty", "crv", "n", "e", "x", "y")  # members of a key that are not its secret, should an issuer publish that
MOST = 100  # keys of a set


class BadKeys(Exception):
    """These are no keys; the message says why, for the operator."""


class Keys:
    """Those of one JWK Set."""

    def __init__(self, by_name: Mapping[tuple[str | None, str], jwt.PyJWK], content: bytes = b""):
        self._by_name = by_name  # by key id and algorithm
        self.content = content  # that they were read from

    @classmethod
    def read(cls, content: bytes, algorithms: Iterable[str] = ALGORITHMS) -> Self:
        """Raises BadKeys where not one of them can be used. (Issuers publish keys for encryption beside those for signatures.)"""
        try:
            document = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BadKeys(f"not JSON: {error}") from None
        keys = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(keys, list):
            raise BadKeys('no JWK Set: it has no list "keys" (RFC 7517, 5)')
        by_name: dict[tuple[str | None, str], jwt.PyJWK] = {}
        problems: list[str] = []
        for number, key in enumerate(keys[:MOST]):
            try:
                found = list(_usable(key, frozenset(algorithms)))
            except BadKeys as why:
                problems.append(f"key {number}: {why}")
                continue
            for algorithm, usable in found:
                by_name.setdefault((key.get("kid"), algorithm), usable)
        if not by_name:
            raise BadKeys("; ".join(["no key in it can be used", *problems[:5]]))
        return cls(by_name, content)

    def __len__(self) -> int:
        return len({id for id, _ in self._by_name})

    def find(self, id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key that a token names. One that names none means the only one there is for its algorithm."""
        if id is not None:
            return self._by_name.get((id, algorithm))
        fitting = [key for (_, of), key in self._by_name.items() if of == algorithm]
        return fitting[0] if len(fitting) == 1 else None


def _usable(key: object, allowed: frozenset[str]) -> Iterable[tuple[str, jwt.PyJWK]]:
    """The key once for each algorithm that it may verify. Raises BadKeys."""
    if not isinstance(key, dict):
        raise BadKeys("not an object")
    id, kind, curve, operations = key.get("kid"), key.get("kty"), key.get("crv"), key.get("key_ops", ["verify"])
    if not (id is None or isinstance(id, str)) or not isinstance(kind, str) or not isinstance(curve, str | None):
        raise BadKeys('"kid", "kty" and "crv" must be strings')
    if key.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise BadKeys("not for signatures")
    named = key.get("alg")
    fitting = [name for name in KINDS.get((kind, curve), ()) if name in allowed and named in (None, name)]
    if not fitting:
        raise BadKeys(f"no algorithm that is allowed here fits a key of kind {kind} {curve or named or ''}".rstrip())
    public = {name: key[name] for name in PUBLIC if name in key}
    for name in fitting:
        try:
            usable = jwt.PyJWK(public, algorithm=name)
            too_short = usable.Algorithm.check_key_length(usable.key)
        except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError) as error:
            raise BadKeys(str(error)) from None
        if too_short:
            raise BadKeys(too_short)
        yield name, usable
