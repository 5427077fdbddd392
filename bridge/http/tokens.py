"""Whose token a request carries: the operator's file of tokens, read once."""

import hashlib
import hmac
from base64 import b64decode
from pathlib import Path

from bridge.settings import UsageError


class Tokens:
    """Static tokens by principal. Read once; compared in constant time."""

    def __init__(self, tokens: dict[str, str]):
        self._tokens = [(token.encode(), principal) for token, principal in tokens.items()]

    @classmethod
    def read(cls, path: str) -> "Tokens":
        """Lines of `TOKEN` or `NAME TOKEN`; blank lines and `#` comments are skipped. Raises UsageError."""
        tokens = {}
        try:
            lines = Path(path).read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: {error}") from None
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) > 2:
                raise UsageError(f"{path}:{number}: expected TOKEN or NAME TOKEN")
            tokens[words[-1]] = words[0] if len(words) == 2 else "token-" + hashlib.sha256(words[0].encode()).hexdigest()[:8]
        if not tokens:
            raise UsageError(f"{path}: no token in it")
        return cls(tokens)

    @staticmethod
    def revoked(before: "Tokens | None", after: "Tokens | None") -> set[str]:
        """The principals of whom a token, or having none, is not good for anything any more."""
        had, have = (set(tokens._tokens) if tokens else {(b"", "")} for tokens in (before, after))
        return {principal for _, principal in had - have}

    def principal(self, headers: dict) -> str | None:
        """Whose token the request carries: as a bearer token, as X-API-Key, or bare or Basic as LiteLLM may send it."""
        given = headers.get(b"authorization") or headers.get(b"x-api-key") or b""
        kind, _, rest = given.partition(b" ")
        if kind.lower() == b"bearer":
            given = rest.strip()
        elif kind.lower() == b"basic":
            try:
                given = b64decode(rest)
            except ValueError:
                return None
        found = None
        for token, principal in self._tokens:
            if hmac.compare_digest(token, given):
                found = principal
        return found
