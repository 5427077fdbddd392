r"""What a line of a child means that is not one JSON-RPC message as it stands. Well-formed lines never come here.

Understood is what can mean only one thing: a message behind a byte order mark, colours or a prompt, in UTF-16, as a number
of messages on one line, as an array, or pretty-printed over many lines. An answer is told by an id that we gave and wait
for; a request or a notice must be the whole line or an element of an array, because programs also log what they send. JSON
without `"jsonrpc":"2.0"` is a log record (pino, bunyan) unless it is nothing but an awaited answer.

Linear in what comes: one look at each byte by the `re` module, lines over `LONGEST` are not looked into.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from bridge.protocol import envelope, ids
from bridge.protocol.envelope import Envelope
from bridge.protocol.errors import Malformed

LONGEST = 1 << 20  # bytes of a line, or of one message over many lines, that are looked into
_ESCAPES = re.compile(  # what terminals obey: CSI, OSC with its end, and the short ones. JSON has none of them raw.
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
)
_CONTROLS = bytes(range(32)) + b" \x7f"
_CONTROL = re.compile(rb"[\x00-\x1f]")
_ESCAPED = tuple((bytes([code]), b"\\u%04x" % code) for code in range(32))
_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'  # one that has no end is the rest: else each quote in it would begin another
_STRING = re.compile(_TEXT, re.DOTALL)
_BEGIN = re.compile(rb'\{\s*"(?:jsonrpc|id|method|params|result|error)"\s*:')
_TOKEN = re.compile(_TEXT + rb"|[{}\[\]]", re.DOTALL)
_OPENER = re.compile(rb"\s*[\[,]?\s*\{")
_ANSWER = {"jsonrpc", "id", "result", "error"}


class OddLines:
    """`is_awaited(id)` says whether a number is the id of a request that the child has."""

    def __init__(self, is_awaited: Callable[[int | None], bool]):
        self.is_awaited = is_awaited
        self.parts: list[bytes] = []  # of a message that has begun, whose end is on a later line
        self._size = self._depth = 0
        self._refused = b""

    def read(self, line: bytes) -> list[tuple[Envelope, bytes]] | None:
        """The messages in this line, or that it completes; none if its message goes on. None: it is no message at all."""
        if self.parts:
            return self._go_on(clean(line))
        if envelope.BRACE not in line or len(line) > LONGEST:
            return None  # at once: a child may write nothing else, and as fast as it can
        self._refused = line.strip()  # once is enough: it may be long
        line = clean(line)
        if line.strip(b" \t\r,") in (b"[", b"]"):
            return None  # of an array with a message on each line: those are read by themselves
        if messages := self._whole(line):
            return messages
        if _OPENER.match(line) and (depth := _depth(line)) > 0:
            self.parts, self._size, self._depth = [line], len(line), depth
            return []
        return self._answers_in(line) or None

    def whole(self, line: bytes) -> list[tuple[Envelope, bytes]]:
        """The messages that the line is by itself, whatever stands around it."""
        return self._whole(clean(line))

    def give_up(self) -> bytes:
        """The message that has begun will not end. Returns its first line."""
        first = self.parts[0] if self.parts else b""
        self.parts = []
        return first

    def _go_on(self, line: bytes) -> list[tuple[Envelope, bytes]] | None:
        """The next line of a message that has begun. None where it is not to be one."""
        last = self.parts[-1].rstrip()[-1:]
        self.parts.append(line)
        self._size += len(line)
        self._depth += _depth(line)
        if self._size > LONGEST or (line[:1] == b"{" and last not in (b"[", b",", b":")):
            return None
        if self._depth > 0:
            return []
        whole = self._whole(b"\n".join(self.parts))
        if whole:
            self.parts = []
        return whole or None

    def _whole(self, line: bytes) -> list[tuple[Envelope, bytes]]:
        """The line as a message, as an array of messages, or as an element of one that is written over many lines."""
        line = line.strip(b" \t\r\n,")
        if line[:1] == b"[" and (items := envelope.array_or_none(line)) is not None:
            return self._of(map(bytes, items[: envelope.LONGEST_BATCH]))
        alone = line.strip(b" \t,[]")
        return (self._of([line]) if line[:1] == b"{" else []) or (self._of([alone]) if alone != line and alone[:1] == b"{" else [])

    def _answers_in(self, line: bytes) -> list[tuple[Envelope, bytes]]:
        """Several messages on a line, or answers with something else before or behind them."""
        spans = list(_spans(line))
        found = self._of(line[start:end] for start, end in spans)
        between = b"".join(line[end:start] for (_, end), (start, _) in pairwise([(0, 0), *spans, (len(line), 0)]))
        if between.strip(b" \t\r,"):
            return [(message, piece) for message, piece in found if message.method is None]  # others are perhaps a log of what it does
        return found

    def _of(self, pieces: Iterable[bytes]) -> list[tuple[Envelope, bytes]]:
        found = []
        for piece in pieces:
            piece = envelope.flat(piece)
            message = self._message(piece)
            if message is not None:
                found.append((message, piece))
        return found

    def _message(self, piece: bytes) -> Envelope | None:
        try:
            message = None if piece == self._refused else envelope.from_child(piece)
        except Malformed:
            message = None
        if message is None:
            return self._awaited_answer(piece)
        if message.method is not None or self.is_awaited(ids.minted(message.id)):
            return message
        return None

    def _awaited_answer(self, piece: bytes) -> Envelope | None:
        """An answer whose `jsonrpc` is missing or a number: nothing else has an awaited id and a result, and no more."""
        members = envelope.object_or_none(piece)
        if not members or not members.keys() <= _ANSWER or not self.is_awaited(ids.minted(members.get("id", envelope.ABSENT))):
            return None
        result, error = members.get("result", envelope.ABSENT), members.get("error", envelope.ABSENT)
        return (
            Envelope("2.0", members["id"], None, envelope.ABSENT, result, envelope.ABSENT if result else error) if result or error else None
        )


def is_json(line: bytes) -> bool:
    """Whether it is a JSON object, whatever it says: then it is a record of a log, and no answer that was cut off."""
    return envelope.object_or_none(line) is not None


def clean(line: bytes) -> bytes:
    """The line as UTF-8, without what only a terminal or an editor wants, and with its control characters escaped: JSON has
    none of them raw."""
    if b"\0" in line:
        line = _from_utf16(line)
    if line[:3] == b"\xef\xbb\xbf":
        line = line[3:]
    if b"\x1b" in line:
        line = _ESCAPES.sub(b"", line)
    line = line.strip(_CONTROLS)
    return _STRING.sub(_escaped, line) if _CONTROL.search(line) else line


def readable(line: bytes) -> str:
    """The line for people: without colours, but with its other control characters."""
    return (_from_utf16(line) if b"\0" in line else _ESCAPES.sub(b"", line)).decode(errors="replace").strip()


def _escaped(string: re.Match[bytes]) -> bytes:
    text: bytes = string[0]
    if _CONTROL.search(text):
        for raw, escaped in _ESCAPED:  # not one call for each that is there: it may be megabytes of them
            text = text.replace(raw, escaped)
    return text


def _from_utf16(line: bytes) -> bytes:
    """UTF-16 that was cut at its newline's first or second byte; where it is none, the same without null bytes."""
    for codec, text in (("utf-16-le", line.removeprefix(b"\0")), ("utf-16-be", line[:-1] if len(line) % 2 else line)):
        try:
            decoded = text[: len(text) // 2 * 2].decode(codec).lstrip("\ufeff")
        except UnicodeDecodeError:
            continue
        if decoded.isprintable() and sum(map(str.isascii, decoded)) * 2 > len(decoded):
            return decoded.encode()
    return line.replace(b"\0", b"")


def _spans(line: bytes) -> Iterator[tuple[int, int]]:
    """Where the outermost braces of each message that is in the line stand."""
    place = 0
    while (begin := _BEGIN.search(line, place)) is not None:
        depth = 0
        for token in _TOKEN.finditer(line, begin.start()):
            depth += _STEP.get(token[0], 0)
            if depth == 0:
                place = token.end()
                yield begin.start(), place
                break
        else:
            return


def _depth(line: bytes) -> int:
    """How many more brackets it opens than it closes, those in strings left out; 0 where a string does not end on the line."""
    outside = envelope.brackets(line)
    return 0 if outside is None else outside.count(b"[") - outside.count(b"]")


_STEP = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
