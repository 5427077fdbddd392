"""A request with the same head as the one before it on its connection, which needs no parser.

Pure: bytes in, bytes out. Only the digits of Content-Length may differ, and must be the length of what follows the head. Many clients
write the head and the body apart, so the head may come alone.
"""

from msgspec import Struct

LONGEST = 4096  # bytes of a head
DIGITS = 5  # of a length on the fast path


class RepeatedHead(Struct, frozen=True):
    """The bytes around the digits of Content-Length in the head, and how many come before them."""

    before: bytes
    after: bytes
    start: int

    def body(self, data: bytes) -> bytes | None:
        """The body of such a request, empty where just its head has come; None if the data are anything else."""
        start, after = self.start, self.after
        end = data.find(b"\r", start, start + DIGITS + 1)
        if end < 0 or not data.startswith(self.before) or not data.startswith(after, end):
            return None
        digits, body = data[start:end], data[end + len(after) :]
        if not digits.isdigit() or not (size := int(digits)):
            return None
        return body if not body or len(body) == size else None


def repeated_head(data: bytes, body: bytes) -> RepeatedHead | None:
    """What the next one looks like, where the parser found one request in the data, which ends with this body."""
    end = len(data) - len(body)
    if end > LONGEST or data.find(b"\r\n\r\n") != end - 4:  # it came in pieces, or in chunks, or behind something
        return None
    length = b"\r\ncontent-length: %d\r\n" % len(body)
    at = data[:end].lower().find(length)
    if at < 0:
        return None
    start = at + len(b"\r\ncontent-length: ")
    return RepeatedHead(data[:start], data[at + len(length) - 2 : end], start)
