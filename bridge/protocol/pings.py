"""Whether a silent child lives: one that does not answer pings is given up."""

from bridge.failure import Failure
from bridge.protocol.audience import Audience
from bridge.protocol.dispatch import Dispatcher
from bridge.protocol.envelope import Envelope
from bridge.protocol.interfaces import Child
from bridge.protocol.link import Event, Link
from bridge.protocol.policy import Policy


class Pings:
    """`misses` are those in a row without an answer; any answer of the child sets them back."""

    def __init__(self, child: Child, link: Link, dispatcher: Dispatcher, audience: Audience, policy: Policy):
        self._child, self._link, self._dispatcher, self._audience = child, link, dispatcher, audience
        self._interval, self._most = policy.ping_interval, policy.ping_misses
        self.misses = 0
        self._is_under_way = False

    def sweep(self, now: float) -> None:
        """Ask a child that was silent for long; never one that works: many answer nothing meanwhile."""
        if (
            self._interval
            and self._link.state.is_ready
            and not self._is_under_way
            and not self._audience.has_clients_waiting
            and not self._dispatcher.turns
            and now - self._link.last_received >= self._interval
        ):
            self._is_under_way = True
            self._dispatcher.ask("server/discover" if self._link.is_modern else "ping", b"", now, self._receive, self._interval)

    def lost(self) -> None:
        self._is_under_way = False

    def _receive(self, message: Envelope) -> None:
        """Any answer is one, an error too; only silence, which has no id, is none."""
        self._is_under_way = False
        if message.id or not self._link.is_open:
            return
        self.misses += 1
        if self.misses >= self._most:
            self.misses = 0
            self._link.on(Event.PAUSE)  # what comes now is for the next child
            self._child.hung(Failure(f"no answer to {self._most} pings (--ping-interval)"))
