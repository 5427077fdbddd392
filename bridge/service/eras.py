"""Which era the child speaks, and how that is found out.

A handshake-era server may die of a modern request, or of one that comes before its handshake, and one built on the
Python SDK 2.x speaks whatever its first request spoke, for the life of its process. So the question is put to a process
of its own, which serves modern clients if it answers rightly and is stopped if it does anything else; legacy clients
never notice. It is put when the first modern client comes, or when a child refuses `initialize`: whoever has
neither pays nothing. The verdict is kept beside the cache of sleeping children, for as long as the command, its
environment and the files that it names stay what they are, and the child still gives the same name and version.
"""

import asyncio
from typing import Protocol

import msgspec

from bridge.child.process import Command
from bridge.log import Log
from bridge.protocol.era import LEGACY, MODERN
from bridge.protocol.errors import INTERNAL_ERROR, UNSUPPORTED_VERSION
from bridge.protocol.facts import Facts
from bridge.service.state_file import StateFile
from bridge.settings import Settings

PROBE = 20.0  # seconds for an answer: `npx` and `uvx` may download first
PATIENCE = 4.0  # seconds for one that a client waits for: C# clients give up after 5, and then do not try the handshake
SLOWER = 3  # times as long as its sibling may a process take to start
LOOK = 0.2  # seconds between two looks at how long the sibling takes
AUTO, UNKNOWN, DUAL = "auto", "unknown", "dual"


class _Verdict(msgspec.Struct):
    identity: str
    legacy: bool | None
    modern: bool | None
    title: str = ""


class Prober(Protocol):
    """Who has the processes: the one that is asked, and those that depend on the answer."""

    def start_modern(self) -> object: ...

    def drop_modern(self) -> None: ...

    def refill_spares(self) -> None: ...

    @property
    def start_seconds(self) -> float:
        """How long the child took to start."""


class Eras:
    """What is known of one child's eras; None is not known."""

    def __init__(self, name: str, command: Command, settings: Settings, log: Log, processes: Prober):
        self._log = log
        self._processes = processes
        setting = settings.child_era
        self.is_pinned = setting != AUTO
        self.legacy: bool | None = setting == LEGACY or None if setting != MODERN else False
        self.modern: bool | None = {LEGACY: False, MODERN: True}.get(setting)
        # One call at a time is meant for all processes together: what they share, a file perhaps, breaks otherwise.
        self.is_alone = settings.max_in_flight == 1
        self._title = ""  # what the child called itself when this was found out
        self._state_file = None if self.is_pinned else StateFile(settings.cache_dir, f"{name}.era", command, log)
        self._asked: asyncio.Future[None] | None = None  # under way
        self._since = 0.0
        self._remember()

    @property
    def child_era(self) -> str:
        if self.modern is None:
            return UNKNOWN
        if not self.modern:
            return LEGACY
        return MODERN if self.legacy is False else DUAL

    @property
    def main(self) -> str:
        """The era of the child that serves clients with a session."""
        return MODERN if self.modern and self.legacy is False else LEGACY

    async def settle(self, in_a_hurry: bool) -> None:
        """Find out whether modern clients can be served by a modern child: for `PATIENCE`, or longer where it starts slowly.

        Whoever is not in a hurry would wait for the start of a legacy child as well.
        """
        if self.modern is None and self.is_alone:
            self.modern = False
        if self.modern is None:  # counted from when the question was put: all wait once, not each anew
            asked, now = self._ask(), asyncio.get_running_loop().time
            while (left := self._since + self._patience(in_a_hurry) - now()) > 0 and not asked.done():
                await asyncio.wait([asked], timeout=left if in_a_hurry else min(left, LOOK))

    async def refused(self, code: int) -> bool:
        """A child refused `initialize`. Whether that is because it is modern."""
        if self.is_pinned or self.legacy:
            return False
        if self.modern is False and not self.is_alone and code == INTERNAL_ERROR:  # it died, perhaps, and did so when it was asked
            return False
        if code == UNSUPPORTED_VERSION:
            self.modern = True
        else:
            self.modern = None
            await asyncio.wait([self._ask()])
        if self.modern:
            self.legacy = False
            self._processes.refill_spares()  # with none
            self._keep()
        return bool(self.modern)

    def opened(self, facts: Facts) -> None:
        """A child shook hands: whatever else it speaks, it speaks this."""
        if self.is_pinned:
            return
        if facts.era == MODERN:
            self.modern = True
        else:
            if self.modern is not None and self._title and self._title != facts.title:
                self._log.info("the server is another one than it was: its era is to be found out anew", server=facts.title)
                self.modern = None
                self._processes.drop_modern()
            self.legacy, self._title = True, facts.title
        if self.modern is not None:
            self._keep()

    def failed(self, why: str) -> None:
        """The process that was asked is gone, or did not answer as a modern server does."""
        if not self.is_pinned and self.modern is not False:
            self.modern = False
            self._log.info("the server speaks the handshake era only", why=why)
            if self.legacy and self._patience() < PROBE:  # else it may be that it cannot start at all just now, or not in time
                self._keep()

    def forget(self) -> None:
        """What was remembered is not true (any more)."""
        if not self.is_pinned:
            self.legacy = self.modern = None

    def answered(self) -> None:
        """The process that was asked has been heard of."""
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(None)
        self._asked = None

    def _ask(self) -> "asyncio.Future[None]":
        asked = self._asked
        if asked is None:
            loop = asyncio.get_running_loop()
            asked = self._asked = loop.create_future()
            self._since = loop.time()
            self._processes.start_modern()
        return asked

    def _patience(self, in_a_hurry: bool = False) -> float:
        """Seconds after which a process that was asked is silent, and not just slow to start."""
        return PATIENCE if in_a_hurry else max(PATIENCE, SLOWER * self._processes.start_seconds)

    def _keep(self) -> None:
        if self._state_file is not None:
            self._state_file.write(msgspec.json.encode(_Verdict(self._state_file.identity, self.legacy, self.modern, self._title)))

    def _remember(self) -> None:
        """What an earlier bridge found out."""
        if self._state_file is None:
            return
        try:
            verdict = msgspec.json.decode(self._state_file.read(), type=_Verdict)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if verdict.identity == self._state_file.identity:
            self.legacy, self.modern, self._title = verdict.legacy, verdict.modern, verdict.title
