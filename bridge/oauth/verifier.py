"""One token against the keys: what it says, or why it is not believed. PyJWT does the work; here stands what must hold.

RFC 8725 is the list: the algorithm is one of ours and fits the key (3.1), issuer and audience are checked (3.8, 3.9), the type
is no other one's (3.11), and it needs no extension. A token without an expiry is none: nobody could ever take it back.
"""

from collections.abc import Sequence

import jwt

from bridge.oauth.audiences import Audiences
from bridge.oauth.claims import INVALID_TOKEN, Claims, Rejected
from bridge.oauth.keys import Keys

LONGEST = 16384  # bytes of a token; those with a list of groups have some thousands
TYPES = frozenset(("jwt", "at+jwt", "application/jwt", "application/at+jwt"))  # RFC 7519, 5.1; RFC 9068, 2.1


class UnknownKey(Exception):
    """The token names a key that we do not have: perhaps it is new."""


class Verifier:
    """What is asked of each token. `issuers` are spellings of one; without any, who signed is enough."""

    def __init__(self, algorithms: Sequence[str], audiences: Audiences, issuers: Sequence[str] = (), leeway: float = 0.0):
        self._algorithms = algorithms
        self._audiences = audiences
        self._issuers = list(issuers) or None
        self.leeway = leeway
        self._required = ["exp", "aud", *(["iss"] if issuers else [])]

    def verify(self, token: bytes, keys: Keys, mcp: str = "") -> Claims | Rejected:
        """Whether it is good for this MCP. Raises UnknownKey."""
        if len(token) > LONGEST:
            return Rejected(INVALID_TOKEN, f"the token is longer than {LONGEST} bytes")
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kind = header.get("alg"), header.get("typ")
            if not isinstance(algorithm, str) or algorithm not in self._algorithms:
                return Rejected(INVALID_TOKEN, f"the token is signed by none of {' '.join(self._algorithms)}")
            if kind is not None and (not isinstance(kind, str) or kind.lower() not in TYPES):
                return Rejected(INVALID_TOKEN, "the token is of a type that is no access token's")
            if "crit" in header or header.get("b64", True) is not True:  # RFC 7515, 4.1.11; RFC 7797, 3
                return Rejected(INVALID_TOKEN, "the token needs an extension that is not understood here")
            key = keys.find(header.get("kid"), algorithm)
            if key is None:
                raise UnknownKey
            return jwt.decode(
                token,
                key,
                [algorithm],
                {"require": self._required, "enforce_minimum_key_length": True},
                audience=self._audiences.of(mcp),
                issuer=self._issuers,
                leeway=self.leeway,
            )
        except jwt.ExpiredSignatureError:
            return Rejected(INVALID_TOKEN, "the token has expired")
        except jwt.InvalidAudienceError:
            return Rejected(INVALID_TOKEN, "the token is for somebody else: its audience is none of ours")
        except jwt.InvalidIssuerError:
            return Rejected(INVALID_TOKEN, "the token is of another issuer")
        except jwt.ImmatureSignatureError:
            return Rejected(INVALID_TOKEN, "the token is not valid yet: is a clock wrong?")
        except jwt.MissingRequiredClaimError as error:
            return Rejected(INVALID_TOKEN, f"the token says nothing of its {error.claim}")
        except jwt.InvalidSignatureError:
            return Rejected(INVALID_TOKEN, "the token's signature is wrong")
        except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, LookupError, RecursionError):
            return Rejected(INVALID_TOKEN, "not a token that can be read")
