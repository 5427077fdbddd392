"""Messages behind a header with their length (`Content-Length: 85`, an empty line, 85 bytes), as the Language Server
Protocol frames them. Some servers were made from one.

What stands between such messages is taken line by line as ever, and a header that is followed by no message was a line.
"""

import re

_HEADER = re.compile(rb"content-(?:length|type)[ \t]*:", re.IGNORECASE)
_HEADERS = re.compile(rb"(?:content-(?:length|type)[ \t]*:[^\n]*\n)+\r?\n", re.IGNORECASE)
_LENGTH = re.compile(rb"content-length[ \t]*:[ \t]*([0-9]{1,12})[ \t\r]*\n", re.IGNORECASE)
_MAY_GO_ON = re.compile(rb"(?:content-(?:length|type)[ \t]*:[^\n]*\n)*(?:\r|[a-z-]*|content-(?:length|type)[ \t]*:[^\n]*)", re.IGNORECASE)
_SPACE = bytes.maketrans(b"\r\n\t", b"   ")
HEAD = 1024  # bytes kept of each end of a message that is too long
LONGEST_HEADERS = 4096
TooLong = tuple[bytes, bytes, int]  # head and tail of what was too long, and its size


def is_header(line: bytes) -> bool:
    return _HEADER.match(line) is not None


def framed(line: bytes) -> bytes:
    """One message for a child that wants a header; its newline is left out."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(line) - 1, line[:-1])


class Frames:
    """Takes the place of `Lines` from the first header on. Linear, also in memory: a list of chunks takes 50 bytes for a small one."""

    def __init__(self, limit: int):
        self.limit = limit
        self._read = self._header  # what the next bytes are
        self._begun = bytearray()
        self._size = 0  # of the message or the line that is being read, so far
        self._missing = 0  # bytes of the message that have not come

    @property
    def pending(self) -> bytes:
        return bytes(self._begun)

    def feed(self, chunk: bytes) -> tuple[list[bytes], list[TooLong]]:
        """As `Lines.feed`."""
        lines: list[bytes] = []
        long_ones: list[TooLong] = []
        while chunk:
            chunk = self._read(chunk, lines, long_ones)
        return lines, long_ones

    def _header(self, chunk: bytes, lines: list[bytes], long_ones: list[TooLong]) -> bytes:
        """Look for a message's header. Returns the rest of the chunk."""
        text = (bytes(self._begun) + chunk).lstrip(b"\r\n")
        self._begun.clear()
        found = _HEADERS.match(text)
        body = text[found.end() :] if found else b""
        if found and body:  # the first byte behind it tells whether it is a message
            length = _LENGTH.search(found[0])
            if length and int(length[1]) and body[:1] in b"{[ \t\r\n":
                self._read, self._size, self._missing = self._message, 0, int(length[1])
                return body
        elif found or (len(text) < LONGEST_HEADERS and _MAY_GO_ON.fullmatch(text)):
            self._begun += text
            return b""
        self._read, self._size = self._line, 0
        return text

    def _message(self, chunk: bytes, lines: list[bytes], long_ones: list[TooLong]) -> bytes:
        part, rest = chunk[: self._missing], chunk[self._missing :]
        self._missing -= len(part)
        self._keep(part)
        if not self._missing:
            self._end(lines, long_ones)
        return rest

    def _line(self, chunk: bytes, lines: list[bytes], long_ones: list[TooLong]) -> bytes:
        part, newline, rest = chunk.partition(b"\n")
        self._keep(part)
        if newline:
            self._end(lines, long_ones)
        return rest

    def _keep(self, part: bytes) -> None:
        """Of what is too long, the two ends."""
        self._begun += part
        self._size += len(part)
        if self._size > self.limit:
            del self._begun[HEAD:-HEAD]

    def _end(self, lines: list[bytes], long_ones: list[TooLong]) -> None:
        whole, self._begun, self._read = bytes(self._begun), bytearray(), self._header
        if self._size > self.limit:
            long_ones.append((whole[:HEAD], whole[-HEAD:], self._size))
        elif whole:
            lines.append(whole.translate(_SPACE))  # newlines of a message: in its strings JSON has none
