"""A child's stderr: always read, because a full pipe stops it; logged line by line; the last lines kept for messages."""

from collections import deque
from collections.abc import Callable

from bridge.redact import redacted

TAIL = 20  # lines kept
WIDTH = 500  # characters of a line that are shown
RATE = 200  # lines a sweep that are logged; the others are counted


class Stderr:
    """`log(text)` is called for each line; `count()` for every one."""

    def __init__(self, log: Callable[[str], None], count: Callable[[], None]):
        self._log = log
        self._count = count
        self._rest = b""
        self._logged = 0
        self.unlogged = 0
        self._last = ""
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._ours = 0  # lines of the tail that this process wrote

    def begin(self) -> None:
        """A new process."""
        self._rest, self._last, self._ours = b"", "", 0

    @property
    def last(self) -> str:
        """The last line of this process that says something."""
        return _shown(self._last)

    @property
    def tail(self) -> list[str]:
        """The last lines, those of earlier processes among them."""
        return [_shown(text) for text in self._tail]

    @property
    def words(self) -> str:
        """The last lines of this process."""
        return "\n".join(self.tail[len(self._tail) - self._ours :])

    def feed(self, chunk: bytes) -> None:
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[: 4 * WIDTH]  # a line without an end must not grow for ever
        for line in lines:
            self._say(line)

    def end(self) -> None:
        if self._rest:
            self._say(self._rest)
            self._rest = b""

    def next_sweep(self) -> None:
        if self.unlogged:
            self._log(f"({self.unlogged} more lines not shown)")
        self._logged = self.unlogged = 0

    def _say(self, line: bytes) -> None:
        self._count()
        text = line[: 4 * WIDTH].decode(errors="replace").rstrip()
        self._tail.append(text)
        self._ours = min(self._ours + 1, TAIL)
        if not text.strip():
            return
        self._last = text
        if self._logged >= RATE:
            self.unlogged += 1
            return
        self._logged += 1
        self._log(_shown(text))


def _shown(text: str) -> str:
    """Without secrets: what is cut off afterwards, lest half of one be left."""
    text = redacted(text[: 2 * WIDTH])
    return text if len(text) <= WIDTH else text[:WIDTH] + "…"
