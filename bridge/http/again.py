"""A request with the same head as the one before it on its connection, which needs no parser.

Pure: bytes in, bytes out. Only the digits of Content-Length may differ, and must be the length of what follows the head.
"""

from msgspec import Struct

LONGEST = 4096  # bytes of a head
DIGITS = 5  # of a length on the fast path


class Again(Struct, frozen=True):
    """The bytes around the digits of Content-Length in the head."""

    before: bytes
    after: bytes
    end: int  # where `after` ends at the latest

    def body(self, data: bytes) -> bytes | None:
        """The body of such a request; None if the data are anything but one, from its first byte to its last."""
        before, after = self.before, self.after
        if not data.startswith(before):
            return None
        start = len(before)
        digits_end = data.find(after, start, self.end)
        if digits_end < 0:
            return None
        body = data[digits_end + len(after):]
        return body if data[start:digits_end] == b"%d" % len(body) else None


def again(data: bytes, body: bytes) -> Again | None:
    """What the next one looks like, where the parser found one request in the data, which ends with this body."""
    end = len(data) - len(body)
    if end > LONGEST or data.find(b"\r\n\r\n") != end - 4:  # it came in pieces, or in chunks, or behind something
        return None
    length = b"\r\ncontent-length: %d\r\n" % len(body)
    at = data[:end].lower().find(length)
    if at < 0:
        return None
    start, after = at + len(b"\r\ncontent-length: "), data[at + len(length) - 2:end]
    return Again(data[:start], after, start + DIGITS + len(after))
