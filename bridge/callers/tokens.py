"""Whose token a request carries: the operator's file of tokens, read once and known by hash from then on.

A line is `TOKEN` or `NAME TOKEN`; in place of TOKEN may stand `sha256:HEX`, its hash, so that who reads the file, a child
above all, can open nothing with it (`mcp-bridge token` writes such lines). Requests are looked up by the hash of what they
carry: nobody can choose how much of that agrees with a token's, so the time that a look takes tells nothing of one.
"""

import hashlib
import os
import re
import sys
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from secrets import token_urlsafe

from bridge.settings import UsageError

SHORTEST = 16  # characters of a token; those of `mcp-bridge token` have 43
HASHED = "sha256:"
_HASH = re.compile(r"sha256:[0-9a-f]{64}", re.IGNORECASE)
_OF_NOTHING = frozenset(
    hashlib.sha256(text).digest() for text in (b"", b"\n", b"\r\n")
)  # what `sha256sum` says of a variable that is not set
_TOKEN = re.compile(r"[!-~]+")  # what a header can carry


class Tokens:
    """Static tokens by principal. `exposed` says who else may read them, where somebody may."""

    def __init__(self, principals: dict[bytes, str], exposed: str = ""):
        self._principals = principals  # by the token's SHA-256
        self.exposed = exposed

    @classmethod
    def read(cls, path: str) -> "Tokens":
        """Blank lines and what follows a `#` are skipped. Raises UsageError, which shows no token."""
        principals: dict[bytes, str] = {}
        lines: dict[bytes, int] = {}
        has_plain = False
        for number, line in enumerate(_text(path).splitlines(), 1):
            words = _words(line)
            if not words:
                continue
            where = f"{path}:{number}"
            if len(words) > 2:
                raise UsageError(f"{where}: expected TOKEN or NAME TOKEN")
            digest = digest_of(words[-1], where)
            if not words[0].isprintable():
                raise UsageError(f"{where}: a name is made of letters, digits and signs: {words[0]!r}")
            name = words[0] if len(words) == 2 else f"token-{digest.hex()[:8]}"
            if principals.setdefault(digest, name) != name:
                raise UsageError(f"{where}: the token of line {lines[digest]} under another name: whose is it?")
            lines[digest] = number
            has_plain = has_plain or not _HASH.fullmatch(words[-1])
        if not principals:
            raise UsageError(f"{path}: no token in it")
        return cls(principals, exposed(path) if has_plain else "")

    @property
    def by_digest(self) -> Mapping[bytes, str]:
        return self._principals

    @property
    def digests(self) -> set[bytes]:
        return set(self._principals)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._principals.values())

    @property
    def has_one_caller(self) -> bool:
        return len(set(self._principals.values())) == 1

    @staticmethod
    def revoked(before: "Tokens | None", after: "Tokens | None") -> set[str]:
        """The principals of whom a token, or having none, is not good for anything any more."""
        had, have = (set(tokens._principals.items()) if tokens else {(b"", "")} for tokens in (before, after))
        return {principal for _, principal in had - have}

    def principal(self, headers: Mapping[bytes, bytes], client: str = "") -> str | None:
        """Whose token the request carries."""
        return self._principals.get(hashlib.sha256(presented(headers)).digest())


def presented(headers: Mapping[bytes, bytes]) -> bytes:
    """The token that a request carries: bare, as a bearer token, or as LiteLLM sends what was one already (`Bearer Bearer
    TOKEN`), in Authorization or X-API-Key; of Basic the user and the password. Empty where there is none."""
    given = headers.get(b"authorization") or headers.get(b"x-api-key") or b""
    kind, _, rest = given.partition(b" ")
    while kind.lower() == b"bearer":
        given = rest.strip()
        kind, _, rest = given.partition(b" ")
    if kind.lower() == b"basic":
        try:
            return b64decode(rest)
        except ValueError:
            return b""
    return given


def hash_of(token: str) -> str:
    """What may stand in the file in place of the token."""
    return HASHED + hashlib.sha256(token.encode()).hexdigest()


def check(token: str, where: str) -> None:
    """Raises UsageError where it is none that is hard to guess and that a header can carry."""
    if not _TOKEN.fullmatch(token):
        raise UsageError(f"{where}: a token has letters, digits and signs of ASCII only: no header carries others as they are")
    if token.lower().startswith(HASHED):
        raise UsageError(
            f"{where}: {HASHED} is followed by the 64 hexadecimal digits of a token's hash (mcp-bridge token writes such lines)"
        )
    if len(token) < SHORTEST:
        raise UsageError(f"{where}: a token of {len(token)} characters can be guessed: at least {SHORTEST} (mcp-bridge token makes one)")


def write_line(name: str, file: str | None) -> int:
    """`mcp-bridge token`: print the line of the token in `file`, or of a new one, which is told on standard error. Raises UsageError."""
    if len(name.split()) > 1 or name.startswith("#") or not name.isprintable():
        raise UsageError(f"{name!r}: a name is one word, and no comment")
    if file:
        token = (sys.stdin.read() if file == "-" else _text(file)).strip()
        check(token, file)
    else:
        token = token_urlsafe(32)
        print(token, file=sys.stderr)
    print(*filter(None, (name, hash_of(token))))
    return 0


def exposed(path: str) -> str:
    """Who but its owner may read a file of secrets; empty for nobody.

    On a read-only mount nobody is named: that is how containers get their secrets, with a mode that nobody inside chose.
    """
    try:
        mode = os.stat(path).st_mode & 0o777
        is_given = os.statvfs(path).f_flag & os.ST_RDONLY
    except (OSError, AttributeError):
        return ""
    if is_given or not mode & 0o077:
        return ""
    return f"{path} has mode {mode:04o}: others on this machine may read or change it (chmod 600 {path})"


def digest_of(word: str, where: str) -> bytes:
    """The hash by which a word of a file is known. Raises UsageError where it is neither a good token nor its hash."""
    if _HASH.fullmatch(word):
        digest = bytes.fromhex(word[len(HASHED) :])
        if digest in _OF_NOTHING:
            raise UsageError(f"{where}: this is the hash of an empty text: was the token's variable not set?")
        return digest
    check(word, where)
    return hashlib.sha256(word.encode()).digest()


def _words(line: str) -> list[str]:
    """The words before a comment."""
    words = line.split()
    return words[: next((index for index, word in enumerate(words) if word.startswith("#")), len(words))]


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8: {error.reason} at byte {error.start}: save it as plain text in UTF-8") from None
