"""Lines of the child's stdout, read: messages go to the relay, and what is none is counted, or fails the call that it was
the answer to."""

from collections.abc import Callable

from bridge.counts import Counts
from bridge.protocol import envelope, ids
from bridge.protocol.envelope import Envelope
from bridge.protocol.errors import Malformed
from bridge.protocol.link import Link
from bridge.protocol.odd_lines import OddLines, is_json

NOTED, NOTED_WIDTH = 8, 400  # lines, and bytes of each, kept of what a child says in place of its handshake
ODD_PATIENCE = 1.0  # seconds for the next line of a message over many


class Incoming:
    """`answered(message, line, now)` gets responses, `said(message, now)` requests and notifications,
    `failed(id, outcome, why, now)` what cannot be given to anybody."""

    def __init__(
        self,
        link: Link,
        counts: Counts,
        is_awaited: Callable[[int | None], bool],
        answered: Callable[[Envelope, bytes, float], None],
        said: Callable[[Envelope, float], None],
        failed: Callable[[int | None, str, str, float], None],
    ):
        self._link, self._counts, self._answered, self._said, self._failed = link, counts, answered, said, failed
        self._odd = OddLines(is_awaited)
        self.noted: list[bytes] = []  # by a child that has not answered its handshake: what was no answer to it

    def received(self, line: bytes, now: float) -> None:
        """One line of the child's stdout."""
        self._counts.from_child += len(line)
        self._link.last_received = now
        if self._odd.parts:
            return self._received_on(line, now)
        if envelope.BRACE not in line:
            return self._noise(line)  # at once: a child may write nothing else, and as fast as it can
        if not line.isascii() and (clean := envelope.repaired(line)) and b"\0" not in line:
            self._counts.noise["bad_utf8"] += 1
            line = clean
        try:
            message = envelope.from_child(line)
        except envelope.TooWide as error:
            return self._unreadable(line, error.message, now)
        except Malformed as error:
            return self._read_odd(line, error.message, now)
        if message.method is None:
            return self._answered(message, line, now)
        return self._said(message, now)

    def _read_odd(self, line: bytes, why: str, now: float) -> None:
        """A line that is no message as it stands."""
        found = self._odd.read(line)
        if found is None:
            self._unreadable(line, why, now)
        elif found:
            self._take_all(found, now)

    def _received_on(self, line: bytes, now: float) -> None:
        """The same while a message goes on over lines."""
        if line[:1] == b"{" and (alone := self._odd.whole(line)):
            self._end_odd(now)  # what had begun was none
            return self._take_all(alone, now)
        found = self._odd.read(line)
        if found is None:
            self._end_odd(now)
            self._read_odd(line, "it is an end without a beginning", now)
        elif found:
            self._take_all(found, now)

    def _end_odd(self, now: float) -> None:
        """What had begun as a message over many lines was none, or does not go on."""
        self._unreadable(self._odd.give_up(), "it does not end", now)

    def sweep(self, now: float) -> None:
        if self._odd.parts and now - self._link.last_received >= ODD_PATIENCE:
            self._end_odd(now)

    def too_long(self, head: bytes, tail: bytes, size: int, now: float) -> None:
        """The child wrote a line over the limit, which was thrown away: fail the call that it belongs to."""
        self._counts.noise["too_long"] += 1
        self._link.log.warning("line too long", bytes=size)
        why = f"the server's answer is too long: {size} bytes in one line (raise --max-line)"
        self._failed(ids.of_answer(head, tail), "too_long", why, now)

    def note(self, line: bytes) -> None:
        """Keep what may say why a child does not open."""
        if not self._link.is_open and len(self.noted) < NOTED:
            self.noted.append(line[:NOTED_WIDTH])

    def _take_all(self, found: list[tuple[Envelope, bytes]], now: float) -> None:
        self._counts.noise["odd_message"] += 1
        for message, line in found:
            if message.method is None:
                self._answered(message, line, now)
            else:
                self._said(message, now)

    def _unreadable(self, line: bytes, why: str, now: float) -> None:
        self._noise(line)
        if b'"jsonrpc"' in line or not is_json(line):  # else a record of a log
            id = ids.of_answer(line[: ids.ENDS], line[-ids.ENDS :])
            self._failed(id, "unreadable", f"the server's answer is not a JSON-RPC message: {why}", now)

    def _noise(self, line: bytes) -> None:
        kind = "not_json_rpc" if line.strip() else "blank"
        self._counts.noise[kind] += 1
        if kind != "blank":
            self.note(line)
            self._link.log.debug("noise on the child's stdout", bytes=len(line))
