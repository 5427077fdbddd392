"""Chunks in, whole lines out.

The child may cut its output anywhere, even inside a character, so this works on bytes and never decodes. Lines end at
`\\n` alone: U+2028 and friends are ordinary characters of a JSON string. It does not know what a line means.
"""

HEAD = 1024  # bytes kept of each end of a line that is too long


class Lines:
    """Collects lines of at most `limit` bytes. A longer one is thrown away but for its two ends.

    Linear in the length of a line: chunks are joined once, when its end has come.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._head = b""

    def feed(self, chunk: bytes) -> tuple[list[bytes], list[tuple[bytes, bytes, int]]]:
        """The lines that this chunk completes, and (head, tail, size) of those that were too long."""
        end = len(chunk) - 1
        if chunk.find(b"\n") == end <= self.limit and end > 0 and not self._parts:  # one whole line, as nearly always
            return [chunk[:-1]], []
        first, *rest = chunk.split(b"\n")
        if not rest:
            self._keep(first)
            return [], []
        lines, long_ones = [], []
        if self._parts or self._head:
            self._keep(first)
            first = b"".join(self._parts)
            if self._head:
                long_ones.append((self._head, first[-HEAD:], self._size))
                first = b""
            self._parts, self._size, self._head = [], 0, b""
        last = rest.pop()
        for line in (first, *rest):
            if len(line) > self.limit:
                long_ones.append((line[:HEAD], line[-HEAD:], len(line)))
            elif line:
                lines.append(line)
        if last:
            self._keep(last)
        return lines, long_ones

    def _keep(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)
        if self._size > self.limit:
            joined = b"".join(self._parts)
            self._head = self._head + part[:HEAD - len(self._head)] if self._head else joined[:HEAD]
            self._parts = [joined[-HEAD:]]
