"""What the operator chose for one MCP, as far as its relay needs to know."""

from dataclasses import dataclass

from bridge.protocol.pinned import Pins
from bridge.protocol.profile import Strict
from bridge.protocol.tools import Tools


@dataclass(frozen=True)
class Policy:
    """Times in seconds; 0 is no limit."""

    profile: Strict
    max_in_flight: int = 0
    max_session_requests: int = 0
    request_timeout: float = 600.0
    request_timeout_max: float = 3600.0
    ready_wait: float = 60.0
    withhold_roots: bool = True
    ping_interval: float = 0.0
    ping_misses: int = 3
    tools: Tools | None = None  # which ones are shown and how they are called; None: all as they are
    mcp: str = ""
    pins: Pins | None = None  # which tools were approved; None: nobody asks
