"""What the transports need of the service behind them: its counts and rooms, and what can be asked of it.

`bridge.service.Service` is one. This stands here so that who reads a step or an adapter sees all that it can reach.
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Mapping
from typing import Any, Protocol

from msgspec import Raw

from bridge.budget import Budget
from bridge.callers.access import Access
from bridge.callers.audit import Audit
from bridge.callers.credentials import Credentials
from bridge.counts import Counts
from bridge.http.stream import OpenStreams
from bridge.protocol.envelope import Envelope, Params
from bridge.protocol.errors import Refusal
from bridge.protocol.exchange import Observer
from bridge.protocol.outbox import Outbox
from bridge.protocol.outcome import Outcome
from bridge.protocol.pinned import Pins
from bridge.protocol.profile import Strict
from bridge.protocol.replay import Replay
from bridge.protocol.session import Session, Sessions
from bridge.protocol.spans import Tracing
from bridge.settings import Settings

Opened = tuple[Session | None, bytes | Refusal]


class Entry(Observer, Protocol):
    """What is written down of one request: a line of the audit, a span, or both. It ends once, wherever that is known first."""

    client: Raw  # what it says of itself
    is_taken: bool  # whether somebody else ends it, who gets the answer

    def refuse(self, refusal: Refusal, rule: str = "") -> None: ...

    def end(self, outcome: str, size: int = 0) -> None: ...


class ModernCalls(Protocol):
    """The steps of a modern call that only the service knows. Each takes an `http.call.Call`."""

    def find_child(self, call: Any) -> Outcome: ...
    def tool(self, call: Any) -> Outcome: ...
    def special(self, call: Any) -> Outcome: ...
    def room(self, call: Any) -> Outcome: ...
    def send(self, call: Any) -> Outcome: ...


class Children(Protocol):
    """Those of one MCP, which sessions are connected to."""

    def connect(self, session: Session) -> Awaitable[Refusal | None]: ...


class Service(Protocol):
    """One address as it is served: an MCP's, or a group's of several."""

    name: str
    settings: Settings
    loop: asyncio.AbstractEventLoop
    counts: Counts
    memory: Budget
    profile: Strict
    is_litellm: bool
    sessions: Sessions
    replay: Replay
    draining: bool

    audit: Audit | None  # of calls, where they are written down
    credentials: Credentials | None  # that callers bring along for their own children
    tracing: Tracing | None  # where spans of its requests go
    access: Access | None  # what callers may do, where a file says so

    pins: Pins | None  # which tools were approved, where that is asked

    def principal_of(self, caller: str, headers: Mapping[bytes, bytes]) -> str | Refusal: ...

    @property
    def streams(self) -> OpenStreams: ...

    @property
    def older(self) -> object | None: ...

    def is_hidden_from(self, principal: str) -> bool: ...

    def shown(self, principal: str, method: str | None, answer: bytes) -> bytes: ...

    def not_now(self) -> Refusal | None: ...

    def no_memory(self, caller: str) -> Refusal: ...

    def initialize(
        self, transport: str, message: Envelope, principal: str, session: Session | None = None, caller: str = ""
    ) -> Opened | Awaitable[Opened]: ...

    def find_session(self, id: bytes | None, principal: str, headers: dict[bytes, bytes]) -> tuple[Session | None, Refusal | None]: ...

    def adopt(self, transport: str, principal: str) -> Session: ...

    def tell(self, session: Session, message: Envelope) -> None: ...

    def tell_older(self, id: str, principal: str, message: Envelope) -> bool: ...

    def end(self, session: Session) -> None: ...

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]": ...


class McpService(Service, Protocol):
    """One MCP."""

    @property
    def children(self) -> Children: ...

    @property
    def modern(self) -> ModernCalls: ...

    def request(
        self, session: Session, message: Envelope, params: Params, outbox: Outbox, headers: dict[bytes, bytes], entry: Entry | None
    ) -> Refusal | None: ...

    def is_full(self, session: Session) -> bool: ...

    def room(self, session: Session) -> Awaitable[Refusal | None]: ...

    def listed(self) -> list[bytes] | None: ...

    def offers(self, method: str) -> list[bytes]: ...

    def events(self, after: int) -> dict[str, Any]: ...

    def shown_command(self) -> list[str]: ...

    def readiness(self, is_shown: bool = True) -> dict[str, Any]: ...

    def status(self, is_shown: bool = True) -> dict[str, Any]: ...
