"""How much of something there is, who holds it, and whether there is room for more. Values only: no clock, no I/O.

A `Budget` is one thing: bytes of memory, calls under way, sessions, streams, children. Whoever takes from it gives back the same.
Where callers can be told apart (by token, else by address) none of them gets all: what one may hold is a multiple of what is
free then, so it ends at three quarters where it is alone, and somebody who comes later always finds a rest (the dynamic
thresholds of Choudhury and Hahne, 1998, which switches share their buffers by). Nobody has to be known beforehand.
"""

from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_network
from typing import Any

GREED = 3  # times what is free, as much may one caller hold


class Budget:
    """One thing of which there is `limit` (0: no limit). Amounts are bytes or pieces, callers any key.

    `reclaim` are called with an amount that is missing, and give back what can be had again.
    """

    __slots__ = ("by_caller", "cap", "held", "is_fair", "limit", "reclaim", "refused")

    def __init__(self, limit: float = 0, is_fair: bool = False):
        self.limit = limit or float("inf")
        self.held = 0
        self.is_fair = is_fair
        self.by_caller: dict[str, int] = {}  # where that matters
        self.cap: Callable[[str], int] | None = None  # what the operator lets a caller have (limits of --callers), 0 for no limit
        self.reclaim: list[Callable[[float], object]] = []
        self.refused = 0

    def has_room(self, caller: str, amount: int = 1) -> bool:
        free = self.limit - self.held
        if amount > free:
            for give_back in self.reclaim:
                give_back(amount - free)
            free = self.limit - self.held
        if not self.is_fair or amount > free:
            return amount <= free
        has = self.by_caller.get(caller, 0) + amount
        return has <= GREED * free and (self.cap is None or has <= (self.cap(caller) or has))

    def take(self, caller: str, amount: int = 1) -> None:
        """Whether there is room or not: who can refuse has asked before."""
        self.held += amount
        if self.is_fair:
            self.by_caller[caller] = self.by_caller.get(caller, 0) + amount

    def give(self, caller: str, amount: int = 1) -> None:
        self.held -= amount
        if self.is_fair:
            left = self.by_caller[caller] - amount
            if left:
                self.by_caller[caller] = left
            else:
                del self.by_caller[caller]


class Reservation:
    """What one thing of a caller's takes from a pot, while that changes: a stream's queue, a body that is being read."""

    __slots__ = ("caller", "pot", "size")

    def __init__(self, pot: Budget, caller: str):
        self.pot, self.caller, self.size = pot, caller, 0

    def fits(self, size: int) -> bool:
        """Hold as much as this, if there is room for what is more of it."""
        more = size - self.size
        if more > 0 and not self.pot.has_room(self.caller, more):
            self.pot.refused += 1
            return False
        self.set(size)
        return True

    def may_be(self, size: int) -> bool:
        """Whether there is room for so much, all in all."""
        return self.pot.has_room(self.caller, max(0, size - self.size))

    def set(self, size: int) -> None:
        """The same for what is there already, and cannot be refused."""
        if size > self.size:
            self.pot.take(self.caller, size - self.size)
        elif size < self.size:
            self.pot.give(self.caller, self.size - size)
        self.size = size


def address(client: Sequence[Any] | None) -> str:
    """By what callers without a token are told apart."""
    return network(client[0]) if client else ""


def network(address: str) -> str:
    """Who may have all addresses that this one belongs to: whoever has one of IPv6 has 2^64 (RFC 4291, 2.5.4)."""
    if ":" not in address:
        return address
    try:
        found = IPv6Address(address)
    except ValueError:  # a network already, or a Unix socket's
        return address
    if found.is_loopback:
        return address
    return str(found.ipv4_mapped or ip_network((int(found) >> 64 << 64, 64)))


NOWHERE = Budget()  # of a hold that has no service yet


def share_of(limit: int | None) -> int:
    """What a bridge may hold of this much memory, which is its children's, too. None: there is no limit."""
    return MOST if limit is None else max(LEAST, min(MOST, limit // 4))


LEAST, MOST = 16 << 20, 512 << 20
