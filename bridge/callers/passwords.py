"""Hashed passwords of people (RFC 7617 sends the password itself): `scrypt:LOG2N:R:P:SALT:HASH`, both in base64.

scrypt (RFC 7914) is slow on purpose, for whoever got hold of the file. What was found right is remembered by a hash with a key of this
process, so a request costs one fast hash from then on; how often one may guess is bounded in `attempts.py`.
"""

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from dataclasses import dataclass
from secrets import token_bytes

LOG2N, R, P, SALT, LENGTH = 13, 8, 1, 16, 32  # 8 MiB and about 20 ms
LARGEST = 17  # a line that takes a gigabyte for each guess is a mistake


class BadHash(Exception):
    """No hash of a password as this module writes them."""


@dataclass(frozen=True)
class Password:
    log2n: int
    r: int
    p: int
    salt: bytes
    hash: bytes

    @classmethod
    def parse(cls, text: str) -> "Password":
        """Raises BadHash, which shows nothing of it."""
        words = text.split(":")
        try:
            if len(words) != 6 or words[0] != "scrypt":
                raise ValueError
            log2n, r, p = map(int, words[1:4])
            salt, hash = b64decode(words[4], validate=True), b64decode(words[5], validate=True)
            if not (1 <= log2n <= LARGEST and 1 <= r <= 16 and 1 <= p <= 4 and len(salt) >= 8 and len(hash) >= 16):
                raise ValueError
        except (ValueError, binascii.Error):
            raise BadHash("expected scrypt:LOG2N:R:P:SALT:HASH, as `mcp-bridge policy password` writes it") from None
        return cls(log2n, r, p, salt, hash)

    def fits(self, password: bytes) -> bool:
        return hmac.compare_digest(_scrypt(password, self.log2n, self.r, self.p, self.salt, len(self.hash)), self.hash)


def hashed(password: bytes) -> str:
    """The line that stands for a password."""
    salt = token_bytes(SALT)
    hash = _scrypt(password, LOG2N, R, P, salt, LENGTH)
    return f"scrypt:{LOG2N}:{R}:{P}:{b64encode(salt).decode()}:{b64encode(hash).decode()}"


def _scrypt(password: bytes, log2n: int, r: int, p: int, salt: bytes, length: int) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=1 << log2n, r=r, p=p, maxmem=1 << 28, dklen=length)
