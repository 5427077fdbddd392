"""What one MCP is served with: the same for all of its children, sessions and calls."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bridge.budget import Budget
from bridge.child.lifecycle import Pace
from bridge.child.process import Command
from bridge.counts import Counts
from bridge.log import Log
from bridge.protocol.pinned import Pins
from bridge.protocol.policy import Policy
from bridge.protocol.profile import Strict, profile
from bridge.protocol.tools import Tools
from bridge.settings import Settings

LINE_PART = 4  # the longest line's part of the memory


@dataclass(frozen=True)
class Setup:
    name: str
    command: Command
    settings: Settings
    log: Log
    counts: Counts
    memory: Budget
    tools: Tools | None  # which of the child's tools clients see, and how they are called
    profile: Strict
    policy: Policy
    pace: Pace
    minted: Iterator[int]  # ids for children; one row for all, so that sessions can change theirs
    loop: asyncio.AbstractEventLoop
    now: Callable[[], float]

    @property
    def is_litellm(self) -> bool:
        return self.profile.is_litellm

    @property
    def is_remote(self) -> bool:
        """Whether its server is behind a bridge of its own, to which each caller connects with their own key."""
        return self.command.remote is not None

    @property
    def is_fair(self) -> bool:
        """Whether callers can be told apart, so that each gets its share."""
        return self.memory.is_fair

    @property
    def max_line(self) -> int:
        part = 2 if self.is_remote else LINE_PART
        return int(min(self.settings.max_line, self.memory.limit // part))

    @classmethod
    def of(cls, name: str, command: Command, settings: Settings, log: Log, memory: int, is_fair: bool) -> "Setup":
        loop = asyncio.get_running_loop()
        counts = Counts()
        counts.memory = Budget(memory, is_fair)
        counts.calls = Budget(settings.max_requests, is_fair)
        filters = (settings.tool_allow, settings.tool_deny, settings.tool_rename)
        tools = Tools(*filters) if any(filters) else None
        its_profile = profile(settings.profile, tools, name)
        policy = Policy(
            its_profile,
            settings.max_in_flight,
            settings.max_session_requests,
            settings.request_timeout,
            settings.request_timeout_max,
            settings.start_timeout or float("inf"),
            settings.client_roots == "withhold" or (settings.client_roots == "auto" and settings.isolation != "session"),
            settings.ping_interval,
            settings.ping_misses,
            tools,
            name,
            Pins(settings.pin == "hide") if settings.pin != "off" and (settings.pin_file or settings.pin == "hide") else None,
        )
        pace = Pace(settings.start_timeout, settings.backoff_initial, settings.backoff_max, settings.max_restarts)
        minted = itertools.count(1)
        return cls(name, command, settings, log, counts, counts.memory, tools, its_profile, policy, pace, minted, loop, loop.time)
