"""How a relay stands with its child: one state with a name, and since when. What everybody beside the relay may know of it."""

from enum import Enum, auto

from bridge.failure import Failure
from bridge.protocol.era import MODERN
from bridge.protocol.facts import Facts
from bridge.protocol.interfaces import Log


class State(Enum):
    """`is_open`: a child runs that has answered its handshake. `is_ready`: requests go out to it."""

    STARTING = ("starting", False, False)  # none has answered yet
    OPEN = ("open", True, True)  # one has, and no client got a result of its work
    SERVING = ("serving", True, True)  # a client did
    PAUSED = ("paused", True, False)  # what is under way ends, and requests wait: the child is to be replaced
    ASLEEP = ("asleep", False, False)  # stopped for want of work: what is known of it is still true
    LOST = ("lost", False, False)  # it is gone, and the next one has not answered yet

    def __init__(self, word: str, is_open: bool, is_ready: bool):
        self.word, self.is_open, self.is_ready = word, is_open, is_ready


class Event(Enum):
    OPENED = auto()
    SERVED = auto()
    PAUSE = auto()
    SLEEP = auto()
    STOP = auto()  # for good: what sleeps will not wake again
    LOST = auto()


_NOT_OPEN = {Event.OPENED: State.OPEN, Event.SLEEP: State.ASLEEP, Event.LOST: State.LOST}
_OPEN = {Event.PAUSE: State.PAUSED, Event.SLEEP: State.ASLEEP, Event.LOST: State.LOST}
TABLE = {
    State.STARTING: _NOT_OPEN,
    State.OPEN: {Event.SERVED: State.SERVING, **_OPEN},
    State.SERVING: _OPEN,
    State.PAUSED: _OPEN,
    State.ASLEEP: {Event.STOP: State.LOST, **_NOT_OPEN},
    State.LOST: _NOT_OPEN,
}


class Link:
    """The state, and the facts that go with it: what the child is, who it was when it opened, since when it is missing."""

    __slots__ = ("era", "facts", "has_opened", "is_modern", "last_received", "log", "missing", "reason", "state", "used")

    def __init__(self, era: str, log: Log):
        self.state = State.STARTING
        self.has_opened = False  # some child of this relay has answered, now or earlier
        self.facts: Facts | None = None  # of the handshake: the child's, or what was kept of an earlier one
        self.reason = Failure("starting")  # why it is not open
        self.last_received = 0.0  # when the child last said something
        self.used = 0.0  # when a client last asked for something; before that, when the child opened
        self.missing = 0.0  # since when there is no child
        self.log = log
        self.set_era(era)

    def set_era(self, era: str) -> None:
        """Of the child, from its next handshake on."""
        self.era, self.is_modern = era, era == MODERN

    def on(self, event: Event) -> None:
        """Something happened. An event that a state does not know is no news to it."""
        self.state = TABLE[self.state].get(event, self.state)

    @property
    def is_open(self) -> bool:
        return self.state.is_open

    @property
    def is_gone(self) -> bool:
        """Whether the child was lost and has not come back yet."""
        return self.state is State.LOST

    def offers(self, capability: str) -> bool:
        return self.facts is not None and self.facts.offers(capability)
