"""Why a server is not there, as a value: how its process ended, what the bridge says of it, and what the server said itself."""

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """How a process ended."""

    EXIT = "exit"
    SIGNAL = "signal"
    SPAWN = "spawn"  # it never began
    STOPPED = "stopped"  # by the bridge
    UNKNOWN = "unknown"  # it did not end, or not yet


@dataclass(frozen=True)
class Failure:
    """`text` is the bridge's; `said` the server's own words, which are not for everybody and decide nothing."""

    text: str
    said: str = ""
    cause: Cause = Cause.UNKNOWN

    def __str__(self) -> str:
        return self.text + self.said


NONE = Failure("")
