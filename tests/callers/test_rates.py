"""How often somebody may do something."""

from bridge.budget import network
from bridge.callers.rates import Attempts, Bucket


def test_a_burst_goes_through_and_then_so_much_a_second():
    bucket = Bucket(rate=2.0, burst=3.0, now=0.0)

    assert [bucket.take(0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert bucket.take(0.5) == 0.0
    assert bucket.take(0.5) == 0.5
    assert [bucket.take(100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_what_cannot_be_refused_is_missing_later():
    bucket = Bucket(rate=1.0, burst=2.0, now=0.0)
    for _ in range(100):
        bucket.spend(0.0)

    assert bucket.take(1.0) == 2.0
    assert bucket.take(3.5) == 0.0


def test_who_guesses_is_slowed_and_others_are_not():
    attempts = Attempts(rate=0.5, burst=2.0)

    assert [attempts.fail("one", 0.0) for _ in range(3)] == [0.0, 0.0, 2.0]
    assert attempts.wait("one", 0.0) == 2.0
    assert attempts.fail("two", 0.0) == 0.0
    assert attempts.wait("two", 0.0) == attempts.wait("three", 0.0) == 0.0
    assert attempts.fail("one", 2.0) == 0.0
    assert attempts.failed == 5


def test_addresses_are_remembered_up_to_a_number():
    attempts = Attempts(remembered=10)
    for number in range(100):
        attempts.fail(str(number), 0.0)

    assert len(attempts._by_address) == 10


def test_whoever_has_an_ipv6_network_is_one():
    attempts = Attempts(rate=0.5, burst=2.0)

    assert [attempts.fail(f"2001:db8::{number}", 0.0) for number in (1, 2, 3)] == [0.0, 0.0, 2.0]
    assert attempts.wait("2001:db8:0:0:ffff::9", 0.0) > 0
    assert attempts.fail("2001:db8:0:1::1", 0.0) == 0.0
    assert [network(one) for one in ("10.0.0.1", "::ffff:10.0.0.1", "local", "fe80::1%eth0")] == [
        "10.0.0.1",
        "10.0.0.1",
        "local",
        "fe80::/64",
    ]
