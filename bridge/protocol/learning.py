"""What the bridge asks a child for itself: its lists, for the labels of metrics, and for the time when the child sleeps.

A list is read again when the child says that it changed. One that changes while it is being read is read once more.
"""

from collections.abc import Callable, Iterable
from functools import partial

from msgspec import Raw

from bridge.protocol.catalogue import Catalogue
from bridge.protocol.dispatch import Dispatcher
from bridge.protocol.envelope import Envelope
from bridge.protocol.known_lists import LISTS, KnownLists, Reading
from bridge.protocol.link import Link
from bridge.protocol.pages import joined
from bridge.protocol.pinned import Pinned
from bridge.protocol.policy import Policy


class Learning:
    """The readings of one child; what they bring stands in `lists` and `catalogue`. `changed(capability)` is called where a
    list is not what it was, `learned()` when all are known. Of a `private` child only the tools are asked for."""

    def __init__(
        self,
        link: Link,
        dispatcher: Dispatcher,
        lists: KnownLists,
        catalogue: Catalogue,
        policy: Policy,
        changed: Callable[[str], None],
        learned: Callable[[], None] | None,
        pinned: Pinned,
    ):
        self._link, self._dispatcher, self._lists, self._catalogue, self._policy = link, dispatcher, lists, catalogue, policy
        self._changed, self._all_learned, self._pinned = changed, learned, pinned
        self._waiting: list[Callable[[], object]] = []
        self.is_missed = False  # a call to this child went on without the list of its tools
        self.is_over = False  # another child is asked
        self.reading: dict[str, bool] = {}  # lists that are being read, and whether they changed meanwhile

    def learn(self, methods: Iterable[str], now: float, *, tell: bool = True) -> None:
        """Read these lists. `tell` is whether clients hear of a difference."""
        link = self._link
        if not link.is_open or self.is_over:
            return  # opening will
        if self._all_learned is None:
            methods = [method for method in methods if method == "tools/list"]
        for method in methods:
            if method in self.reading:
                self.reading[method] = True  # once more, when this walk is over
                continue
            self.reading[method] = False

            def ask(method: str, params: bytes, on_answer: Callable[[Envelope], None]) -> None:
                self._dispatcher.ask(method, params, max(now, link.last_received), on_answer)

            Reading(method, ask, partial(self._learned, method, tell), partial(self._not_learned, method)).start()

    def when_told(self, then: Callable[[], object]) -> None:
        """Call `then()` once when the lists that are being read are known, or will not be."""
        self._waiting.append(then)

    def forget(self, then: Callable[[], object]) -> None:
        """Nobody waits for it any more."""
        if then in self._waiting:
            self._waiting.remove(then)

    @property
    def has_failed(self) -> bool:
        """Whether the child's tools are not known, and nothing is under way that could tell them."""
        return self._link.is_open and not self._catalogue.is_known and "tools/list" not in self.reading

    def tell(self) -> None:
        """Say so if all is known now."""
        if self.reading:
            return
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()
        if self._link.is_open and self._all_learned is not None:
            self._all_learned()

    def _learned(self, method: str, tell: bool, pages: dict[bytes, bytes]) -> None:
        if self._is_outdated(method):
            return
        tools = self._policy.tools
        if method == "tools/list":
            self._catalogue.learn(pages.values())
            for why in tools.complaints(self._catalogue.names.values()) if tools else ():
                self._link.log.error("an option about tools does not fit this server", why=why)
            self._look_at(list(pages.values()))
        if self._lists.learn(method, pages) and tell:
            self._changed(LISTS[method])
        self.tell()

    def judge(self) -> None:
        """Something else is approved of its tools: those that are known are looked at again, and clients are told."""
        self._pinned.renew()
        if pages := self._lists.pages("tools/list"):
            self._look_at(pages)
            self._changed("tools")

    def _look_at(self, pages: list[bytes]) -> None:
        """What the tools of a list mean for those that keep one."""
        self._pinned.learned(pages)
        profile = self._policy.profile
        if profile.is_litellm and (whole := joined(pages)):
            profile.record_list(b"", self._pinned.cut(Envelope(result=Raw(whole))))

    def _not_learned(self, method: str, error: Raw) -> None:
        """A list that the child would not give: what was known of it stays."""
        if self._is_outdated(method):
            return
        self._lists.refused(method, error)
        self.tell()

    def _is_outdated(self, method: str) -> bool:
        """A walk through a list is over. Whether its result is out of date already, and the next one has begun."""
        if not self.reading.pop(method, False):
            return False
        self.learn([method], self._link.last_received, tell=False)
        return True
