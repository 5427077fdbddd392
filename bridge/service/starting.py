"""What is told of a child that has not answered its handshake yet: what it does, what it wrote in place of an answer, and
what that looks like. Within a second or two, and not only when its time to start is over.

Nothing is decided by it: a child that prints a line of noise and then works, works. Only who waits for one that plainly is
no MCP server, and does nothing any more, is told so at once.
"""

from typing import Protocol

from bridge.child.supervisor import Supervisor
from bridge.child.watch import Observation
from bridge.failure import NONE, Failure
from bridge.log import Log
from bridge.protocol.odd_lines import readable
from bridge.protocol.relay import Relay
from bridge.service.output_kinds import OutputKind, output_kind, quote

LOOK = 0.5  # seconds between two looks
SOON = 1.5  # seconds in which most servers have answered
IDLE = 1.0  # seconds without any use of the processor
SILENT = 3.0  # seconds of them after which a child that has read our message may be waiting for another form of it
LOGGED = 4  # times in one start


class Starter(Protocol):
    """The child that starts."""

    log: Log
    relay: Relay
    supervisor: Supervisor

    def give_up_waiting(self, reason: str) -> None: ...

    def try_headers(self) -> None: ...


class Starting:
    def __init__(self, child: Starter):
        self._child = child
        self._relay = child.relay
        self._supervisor = child.supervisor
        self.begin()

    def begin(self) -> None:
        """A new process."""
        self.why = NONE  # what is told
        self.is_hopeless = False
        self._next = 0.0
        self._logged: list[str] = []

    @property
    def hint(self) -> str:
        return f": {self.why}" if self.why.text else ""

    def look(self, now: float) -> None:
        child, supervisor = self._child, self._supervisor
        if now < self._next:
            return
        self._next = now + LOOK
        sight = supervisor.look(now)
        age = now - (supervisor.started if sight.fetching else supervisor.ran)
        if age < SOON:
            return
        kind, self.why, is_plain = self._describe(sight, age)
        self._relay.link.reason = self.why
        if kind not in self._logged and len(self._logged) < LOGGED:
            self._logged.append(kind)
            child.log.warning("the server has not answered yet", pid=supervisor.pid, why=str(self.why))
        self.is_hopeless = is_plain and sight.idle >= IDLE
        if self.is_hopeless:
            child.give_up_waiting(str(self.why))
        self._consider_headers(sight)

    def explain(self) -> str:
        """What a child wrote that never answered, for the reason why it is gone."""
        if self._relay.is_open:
            return ""
        said = self._said()
        look = output_kind(said) or output_kind(self._supervisor.stderr.last)
        wrote = f"; it wrote to its stdout: {quote(said)}" if said else ""
        return f"{wrote}{_looks(look)}"

    def _describe(self, sight: Observation, age: float) -> tuple[str, Failure, bool]:
        """The kind of what is told, the text, and whether there is nothing to wait for."""
        stderr, process = self._supervisor.stderr, self._supervisor.process
        if sight.fetching:
            last = f"; its last words: {quote(stderr.last)}" if stderr.last else ""
            return "fetching", Failure(f"{sight.fetching} is still fetching what it is to start ({age:.0f} s)", last), False
        if said := self._said():
            look = output_kind(said)
            hint = "" if look or process is None or not process.pending else ": the line has no end"
            return (
                said,
                Failure("no answer to initialize yet", f"; it wrote to its stdout: {quote(said)}{hint}{_looks(look)}"),
                look is not None and look.is_plain,
            )
        waiting = "it has not read its stdin" if sight.is_unread else "it has read the message and says nothing"
        before = f"; the start before failed: {self._supervisor.life.failure.text}" if self._supervisor.life.failures else ""
        text = f"no answer to initialize yet ({age:.0f} s): {waiting}{before}"
        if stderr.last:
            look = output_kind(stderr.words)
            is_plain = (
                look is not None and look.is_plain and (sight.is_unread or "jsonrpc" in stderr.words)
            )  # it does not read, or does not understand
            return stderr.last, Failure(text, f"; its last words: {quote(stderr.last)}{_looks(look)}"), is_plain
        return waiting, Failure(text), False

    def _said(self) -> str:
        """What it wrote to its stdout, for people."""
        process = self._supervisor.process
        lines = [*self._relay.incoming.noted, process.pending[:400] if process else b""]
        return "\n".join(filter(None, map(readable, lines)))

    def _consider_headers(self, sight: Observation) -> None:
        """Perhaps it wants its messages behind a header, as the Language Server Protocol has them."""
        process, stderr = self._supervisor.process, self._supervisor.stderr
        if sight.fetching or process is None:
            return
        is_said = process.writes_headers or "content-length" in stderr.words.lower()
        is_silent = not sight.is_unread and sight.idle >= SILENT and not self._said() and not stderr.last
        if is_said or is_silent:
            self._child.try_headers()


def _looks(look: OutputKind | None) -> str:
    return f": this looks like {look.text}" if look else ""
