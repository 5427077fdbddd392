"""Chunks in, whole lines out.

The child may cut its output anywhere, even inside a character, so this works on bytes and never decodes. Lines end at
`\\n`: U+2028 and friends are ordinary characters of a JSON string. A chunk that ends in `}\\r` ends one, too: some end lines
so, and where it was half of `\\r\\n` an empty line follows. A header with a message's length hands all that comes to `frames`.
It does not know what a line means.
"""

from bridge.child.frames import Frames, TooLong, is_header

_C = b"Cc"
HEAD = 1024  # bytes kept of each end of a line that is too long


class Lines:
    """Collects lines of at most `limit` bytes. A longer one is thrown away but for its two ends.

    Linear in the length of a line, in time and in memory: a list of chunks would take 50 bytes for one of a single byte.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self._begun = bytearray()  # of a line whose end has not come; its last bytes where it is too long
        self._size = 0
        self._head = b""
        self.frames: Frames | None = None

    def feed(self, chunk: bytes) -> tuple[list[bytes], list[TooLong]]:
        """The lines that this chunk completes, and (head, tail, size) of those that were too long."""
        end = len(chunk) - 1
        if 0 < chunk.find(b"\n") == end <= self.limit and chunk[0] == 123 and not self._begun:  # one whole object, as nearly always
            return [chunk[:-1]], []
        first, *rest = chunk.split(b"\n")
        if not rest and first.endswith(b"}\r"):
            rest = [b""]
        if not rest:
            self._keep(first)
            return [], []
        lines: list[bytes] = []
        long_ones: list[TooLong] = []
        if self._begun or self._head:
            self._keep(first)
            first = bytes(self._begun)
            if self._head:
                long_ones.append((self._head, first[-HEAD:], self._size))
                first = b""
            self._begun, self._size, self._head = bytearray(), 0, b""
        last = rest.pop()
        for number, line in enumerate((first, *rest)):
            if len(line) > self.limit:
                long_ones.append((line[:HEAD], line[-HEAD:], len(line)))
            elif line:
                if line[0] in _C and is_header(line):
                    return self._by_headers(b"\n".join((line, *rest[number:], last)), lines, long_ones)
                lines.append(line)
        if last:
            self._keep(last)
        return lines, long_ones

    @property
    def size(self) -> int:
        """Bytes that are kept of it."""
        return len(self._begun)

    @property
    def pending(self) -> bytes:
        """What has come of a line whose end has not, as far as it is kept."""
        return self.frames.pending if self.frames else self._head or bytes(self._begun)

    def _by_headers(self, tail: bytes, lines: list[bytes], long_ones: list[TooLong]) -> tuple[list[bytes], list[TooLong]]:
        """From this header on messages are framed by headers."""
        self.frames = Frames(self.limit)
        self.feed = self.frames.feed  # type: ignore[method-assign]  # asked for each chunk, and there is no way back
        more, too_long = self.feed(tail)
        return lines + more, long_ones + too_long

    def _keep(self, part: bytes) -> None:
        self._begun += part
        self._size += len(part)
        if self._size > self.limit:
            self._head = self._head + part[: HEAD - len(self._head)] if self._head else bytes(self._begun[:HEAD])
            del self._begun[:-HEAD]
