"""What the bridge asks a child for itself: its lists, for the labels of metrics, and for the time when the child sleeps.

A list is read again when the child says that it changed. One that changes while it is being read is read once more.
"""

from functools import partial

import msgspec

from bridge.protocol import memory
from bridge.protocol.envelope import Envelope
from bridge.protocol.pages import joined


class Learning:
    """The readings of one relay's child; what they bring stands in the relay's `catalogue` and `memory`."""

    def __init__(self, relay):
        self.relay = relay
        self._waiting: list = []
        self.is_missed = False  # a call to this child went on without the list of its tools
        self.reading: dict[str, bool] = {}  # lists that are being read, and whether they changed meanwhile

    def learn(self, methods: list[str], now: float, *, tell: bool = True) -> None:
        """Read these lists. `tell` is whether clients hear of a difference."""
        relay = self.relay
        if not relay.is_open or relay.successor:
            return  # `opened` will, or another child is asked
        if relay.is_private:
            methods = [method for method in methods if method == "tools/list"]
        for method in methods:
            if method in self.reading:
                self.reading[method] = True  # once more, when this walk is over
                continue
            self.reading[method] = False

            def ask(method, params, outbox):
                return relay.ask_child(method, params, max(now, relay.link.heard), outbox)

            memory.Reading(method, ask, partial(self._learned, method, tell), partial(self._not_learned, method)).start()

    def when_told(self, then) -> None:
        """Call `then()` once when the lists that are being read are known, or will not be."""
        self._waiting.append(then)

    def forget(self, then) -> None:
        """Nobody waits for it any more."""
        if then in self._waiting:
            self._waiting.remove(then)

    @property
    def has_failed(self) -> bool:
        """Whether the child's tools are not known, and nothing is under way that could tell them."""
        return self.relay.is_open and not self.relay.catalogue.is_known and "tools/list" not in self.reading

    def tell(self) -> None:
        """Say so if all is known now."""
        if not self.reading:
            waiting, self._waiting = self._waiting, []
            for then in waiting:
                then()
        if self.relay.is_open and not self.reading and not self.relay.is_private:
            self.relay.child.learned()

    def _learned(self, method: str, tell: bool, pages: dict[bytes, bytes]) -> None:
        if self._is_outdated(method):
            return
        relay = self.relay
        if method == "tools/list":
            relay.catalogue.learn(pages.values())
            for why in relay.policy.tools.complaints(relay.catalogue.names.values()) if relay.policy.tools else ():
                relay.link.log.error("an option about tools does not fit this server", why=why)
            if relay.policy.profile.is_litellm and (whole := joined(list(pages.values()))):
                relay.policy.profile.heard(b"", Envelope(result=msgspec.Raw(whole)))
        if relay.memory.learn(method, pages) and tell:
            relay.notices.changed(memory.LISTS[method])
        self.tell()

    def _not_learned(self, method: str, error: msgspec.Raw) -> None:
        """A list that the child would not give: what was known of it stays."""
        if self._is_outdated(method):
            return
        self.relay.memory.refused(method, error)
        self.tell()

    def _is_outdated(self, method: str) -> bool:
        """A walk through a list is over. Whether its result is out of date already, and the next one has begun."""
        if not self.reading.pop(method, False):
            return False
        self.learn([method], self.relay.link.heard, tell=False)
        return True
