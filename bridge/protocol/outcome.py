"""What one step of admission says of a message: nothing, a refusal, that it is done, or something to wait for."""

from collections.abc import Awaitable
from enum import Enum, auto
from typing import Final

from bridge.protocol.errors import Refusal


class Done(Enum):
    DONE = auto()


DONE: Final = Done.DONE  # the message is answered, or on its way
Outcome = Refusal | Done | Awaitable["Outcome"] | None  # None: the next step has its turn
