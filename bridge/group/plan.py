"""A group as the operator writes it: an address, and which MCPs are behind it."""

from dataclasses import dataclass

ALL = "all"  # the group of all MCPs, which is always there
WAIT = 3.0  # seconds; LiteLLM 1.77.3 waits for all of its servers together


@dataclass(frozen=True)
class Plan:
    """`members` in the order in which lists have them. `is_prefixed`: all names have a prefix, else those that several members have.
    `wait` is for how many seconds a list waits for a member."""

    name: str
    members: tuple[str, ...]
    is_prefixed: bool = True
    wait: float = WAIT
