"""How often somebody may do something: a bucket that fills by so much a second, up to its burst. Pure: the time is an argument."""

from collections import OrderedDict

from bridge.budget import network


class Bucket:
    """Starts full. `take` says for how many seconds to wait, 0 if there was enough."""

    __slots__ = ("burst", "left", "rate", "since")

    def __init__(self, rate: float, burst: float, now: float):
        self.rate, self.burst, self.left, self.since = rate, burst, burst, now

    def take(self, now: float, amount: float = 1.0) -> float:
        left = min(self.burst, self.left + (now - self.since) * self.rate)
        self.since = now
        if left < amount:
            self.left = left
            return (amount - left) / self.rate
        self.left = left - amount
        return 0.0

    def under(self, rate: float, burst: float) -> "Bucket":
        """The same, or what is left of it under other limits: a reload gives nobody anything back."""
        if (rate, burst) == (self.rate, self.burst):
            return self
        bucket = Bucket(rate, burst, self.since)
        bucket.left = min(self.left, burst)
        return bucket

    def spend(self, now: float, amount: float = 1.0) -> None:
        """The same for what cannot be refused; it is missing later."""
        self.left = max(-self.burst, min(self.burst, self.left + (now - self.since) * self.rate) - amount)
        self.since = now


class Attempts:
    """Failed attempts to log in, by the address that they came from. Who guesses more than `burst` times is slowed to `rate` a second.

    Keys that are right are never slowed: many come from the address of one proxy or gateway. Of IPv6 the network counts.
    """

    def __init__(self, rate: float = 0.5, burst: float = 20.0, remembered: int = 10_000):
        self.rate, self.burst, self.remembered = rate, burst, remembered
        self.failed = 0
        self._by_address: OrderedDict[str, Bucket] = OrderedDict()

    def fail(self, address: str, now: float) -> float:
        """One more. Returns the seconds that this address has to wait for its next, 0 for none."""
        self.failed += 1
        address = network(address)
        bucket = self._by_address.get(address)
        if bucket is None:
            bucket = self._by_address[address] = Bucket(self.rate, self.burst, now)
            if len(self._by_address) > self.remembered:
                self._by_address.popitem(last=False)
        else:
            self._by_address.move_to_end(address)
        return bucket.take(now)

    def wait(self, address: str, now: float) -> float:
        """The seconds that this address has to wait for before it is worth looking at a slow hash for it."""
        bucket = self._by_address.get(network(address))
        if bucket is None:
            return 0.0
        left = bucket.left + (now - bucket.since) * bucket.rate
        return 0.0 if left >= 1.0 else (1.0 - left) / bucket.rate
