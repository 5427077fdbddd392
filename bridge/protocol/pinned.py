"""Whether a child's tools are those that were approved (`--pin`): what each relay knows of it, and what clients are shown.

Every list that a child says is looked at, the bridge's own and each that a client gets, since a server may tell one what it does not
tell the other. With `warn` it stays as it is. With `hide` a tool that is new or differs is neither in lists nor called (`http/permission.py`)
until it is approved. A call goes on before the child has said its list: what the model has read of it is what was approved.
"""

from collections.abc import Iterable

import msgspec
from msgspec import Raw

from bridge.pins.changes import GONE, NEW, Change, difference
from bridge.pins.lock import Digests, Lock, digests
from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope
from bridge.protocol.interfaces import Log

REMEMBERED = 4  # pages of which is known what is shown
LONGEST = 8 << 20  # bytes of such a page
TOLD = 2000  # differences that are told once
NAMED = 10  # tools in one line of the log
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, UnicodeEncodeError, RecursionError, ValueError)


class Pins:
    """What was approved of one MCP. `lock` is None where nothing ever was: then all is as it was, but with `hides` nothing is shown."""

    def __init__(self, hides: bool, lock: Lock | None = None):
        self.hides = hides
        self.lock = lock
        self.told: set[tuple[str, ...]] = set()

    @property
    def mode(self) -> str:
        return "hide" if self.hides else "warn"

    def approved(self, name: str) -> Digests | None:
        return self.lock.digests.get(name) if self.lock is not None else None


class Pinned:
    """The same for one child: `changes` are its tools that differ, by their own names, and how. Without pins nothing ever does."""

    def __init__(self, pins: Pins | None, log: Log):
        self.changes: dict[str, tuple[str, ...]] = {}
        self._pins, self._log = pins or Pins(hides=False), log
        self._pages: dict[bytes, tuple[Raw, dict[str, tuple[str, ...]]]] = {}

    def may_call(self, name: str | None) -> bool:
        """Whether a client may call the child's tool of this name."""
        return not self._pins.hides or (name is not None and self._pins.approved(name) is not None and name not in self.changes)

    @property
    def _is_off(self) -> bool:
        """Nothing is approved, and nothing hidden: there is nothing to look for."""
        return self._pins.lock is None and not self._pins.hides

    def learned(self, pages: Iterable[bytes]) -> None:
        """All pages of the child's list are known."""
        self.changes = {}
        if self._is_off:
            return
        names: set[str] = set()
        for page in pages:
            _, found = self._judged(Raw(page))
            self.changes.update({name: what for name, what in found.items() if what})
            names.update(found)
        if self._pins.lock is not None:
            self.changes.update({name: (GONE,) for name in self._pins.lock.digests if name not in names})
        self._tell()

    def renew(self) -> None:
        """Something else is approved."""
        self._pages.clear()

    def cut(self, message: Envelope) -> Envelope:
        """The child's answer to `tools/list`, as clients may see it."""
        if self._is_off or not message.result:
            return message
        shown, found = self._judged(message.result)
        for name, what in found.items():
            if what:
                self.changes[name] = what
            else:
                self.changes.pop(name, None)
        self._tell()
        return message if shown is message.result else Envelope(result=shown)

    def _judged(self, raw: Raw) -> tuple[Raw, dict[str, tuple[str, ...]]]:
        """What is shown of a page, and what differs of each tool on it."""
        content = bytes(raw)
        known = self._pages.get(content)
        if known is None:
            known = self._judge(raw)
            if len(content) <= LONGEST:
                if len(self._pages) >= REMEMBERED:
                    self._pages.clear()
                self._pages[content] = known[0].copy(), known[1]
        shown, found = known
        return (raw if bytes(shown) == content else shown), found

    def _judge(self, raw: Raw) -> tuple[Raw, dict[str, tuple[str, ...]]]:
        found: dict[str, tuple[str, ...]] = {}
        try:
            members = envelope.members(raw)
            tools = envelope.array_or_none(members["tools"])
        except (*_UNREADABLE, KeyError):
            return raw, found  # no list of tools: whoever reads it says so
        shown = []
        for tool in tools or ():
            name, what = self._difference(tool)
            found[name] = found.get(name) or what  # of two with one name, the one that differs
            if not what:
                shown.append(tool)
        if not self._pins.hides or (tools is not None and len(shown) == len(tools)):
            return raw, found
        return Raw(envelope.encode({**members, "tools": shown})), found

    def _difference(self, raw: Raw) -> tuple[str, tuple[str, ...]]:
        try:
            tool = msgspec.json.decode(raw, type=dict[str, object])
            name = tool.get("name")
            if isinstance(name, str):
                return name, difference(self._pins.approved(name), digests(tool))
        except _UNREADABLE:
            pass
        return "(unreadable)", (NEW,)

    def _tell(self) -> None:
        """Say once what differs."""
        told = self._pins.told
        news = [Change(name, what) for name, what in self.changes.items() if (name, *what) not in told]
        if not news or self._pins.lock is None:
            return
        if len(told) < TOLD:
            told.update((one.tool, *one.what) for one in news)
        is_gone = all(one.what == (GONE,) for one in news)
        say = self._log.info if is_gone else self._log.warning
        say(
            "tools are not as they were approved",
            tools=", ".join(map(str, news[:NAMED])) + (f" and {len(news) - NAMED} more" if len(news) > NAMED else ""),
            then="hidden until `mcp-bridge approve`" if self._pins.hides and not is_gone else "served as they are",
        )
