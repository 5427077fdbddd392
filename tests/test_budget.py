"""Shares of what there is: nobody gets all of it, and nothing is lost or counted twice."""

import random

import pytest

from bridge.budget import LEAST, MOST, Budget, Reservation, address, share_of
from bridge.container import memory_limit
from bridge.protocol.errors import no_room


def filled(pot: Budget, caller: str) -> int:
    taken = 0
    while pot.has_room(caller):
        pot.take(caller)
        taken += 1
    return taken


def test_one_alone_gets_all_where_callers_cannot_be_told_apart():
    assert filled(Budget(1000), "") == 1000


def test_one_alone_gets_three_quarters_where_others_may_come():
    assert filled(Budget(1000, is_fair=True), "a") == 750


def test_whoever_comes_later_finds_a_rest():
    pot = Budget(1000, is_fair=True)
    shares = [filled(pot, str(caller)) for caller in range(5)]

    assert shares[0] == 750
    assert all(shares)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_very_small_pot_is_whole(limit):
    assert filled(Budget(limit, is_fair=True), "a") == limit


def test_what_is_given_back_is_forgotten():
    pot, chance = Budget(10_000, is_fair=True), random.Random(4)
    holds = [Reservation(pot, str(number % 7)) for number in range(30)]
    for _ in range(3000):
        chance.choice(holds).fits(chance.randrange(900))
    assert pot.held == sum(hold.size for hold in holds) == sum(pot.by_caller.values()) <= 10_000
    for hold in holds:
        hold.set(0)

    assert (pot.held, pot.by_caller) == (0, {})


def test_what_can_be_had_again_makes_room_for_what_cannot():
    pot = Budget(100)
    pot.take("replay", 90)
    pot.reclaim.append(lambda missing: pot.give("replay", missing))

    assert pot.has_room("a", 30)
    assert pot.held == 70


def test_a_caller_hears_whether_it_or_the_bridge_has_too_much():
    pot = Budget(100, is_fair=True)
    filled(pot, "greedy")

    assert no_room(pot, "greedy", "calls", "--max-requests").status == 429
    assert no_room(pot, "other", "calls", "--max-requests").status == 503


def test_addresses_of_one_ipv6_network_are_one_caller():
    assert address(("2001:db8:1:2:3:4:5:6", 1)) == address(("2001:db8:1:2:ffff::1", 1)) != address(("2001:db8:1:3::1", 1))
    assert (address(("10.0.0.1", 1)), address(("::1", 1)), address(None)) == ("10.0.0.1", "::1", "")
    assert address(("2001:db8::1", 1)) == address(("2001:db8::2", 1)) == address(("2001:db8::1:2:3:4", 1))
    assert address(("2001:db8:1::5", 1)) == address(("2001:db8:1:0:5:6:7:8", 1)) == "2001:db8:1::/64"
    assert address(("::ffff:10.0.0.1", 1)) == "10.0.0.1"


def group(tmp_path, lines: str, **files: str):
    (tmp_path / "cgroup").write_text(lines)
    for name, text in files.items():
        path = tmp_path / "fs" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return memory_limit(tmp_path / "cgroup", tmp_path / "fs")


def test_the_limit_of_a_container_is_found_in_either_version(tmp_path):
    for name, lines, files in (
        ("v2", "0::/\n", {"memory_DOT_max": "268435456\n"}),
        ("nested", "0::/one/two\n", {"one__memory_DOT_max": "268435456\n", "one__two__memory_DOT_max": "max\n"}),
        ("v1", "5:cpu,memory:/docker/x\n0::/\n", {"memory__memory_DOT_limit_in_bytes": "268435456\n"}),
    ):
        (tmp_path / name).mkdir()
        assert group(tmp_path / name, lines, **files) == 256 << 20, name
    (tmp_path / "none").mkdir()
    assert group(tmp_path / "none", "5:memory:/\n", memory__memory_DOT_limit_in_bytes="9223372036854771712\n") is None


def test_a_quarter_of_the_container_is_the_bridges():
    assert [share_of(None), share_of(256 << 20), share_of(8 << 20), share_of(64 << 30)] == [MOST, 64 << 20, LEAST, MOST]
