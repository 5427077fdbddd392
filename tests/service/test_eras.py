"""What is concluded about a child's era from what happens, and what is kept of it. The processes are in tests/eras."""

import asyncio

import pytest

from bridge.child.process import Command
from bridge.log import Log
from bridge.protocol.facts import Facts
from bridge.service import eras
from bridge.service.eras import Eras
from bridge.settings import Settings

OLD = b'{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"%d"}}'
NEW = b'{"supportedVersions":["2026-07-28"],"capabilities":{}}'


class Asked:
    """A service with nothing but what `Eras` looks at; `said` is what the process that is asked does: Eras -> None."""

    def __init__(self, folder, said=lambda asked: None, **settings):
        self.asked = self.dropped = 0
        self.said = said
        self.start_seconds = 0.0
        self.eras = Eras("x", Command(("echo",)), Settings(cache_dir=str(folder), **settings), Log(), self)

    def start_modern(self):
        self.asked += 1
        self.said(self.eras)

    def drop_modern(self):
        self.dropped += 1

    def refill_spares(self):
        pass

    def waited(self):
        return asyncio.get_running_loop().time() - self.eras._since


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(eras, "PATIENCE", 0.05)


def modern(asked):
    asked.opened(Facts.of(NEW))
    asked.answered()


def dead(asked):
    asked.failed("it died")
    asked.answered()


def in_loop(test):
    """Run an async test without a plugin."""

    def run(tmp_path):
        asyncio.run(test(tmp_path))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@in_loop
async def test_a_verdict_is_asked_for_once_and_kept(tmp_path):
    one = Asked(tmp_path, modern)
    one.eras.opened(Facts.of(OLD % 1))
    await one.eras.settle(in_a_hurry=False)
    await one.eras.settle(in_a_hurry=False)
    next_one = Asked(tmp_path)

    assert (one.asked, one.eras.child_era, one.eras.main) == (1, "dual", "legacy")
    assert next_one.eras.child_era == "dual"


@in_loop
async def test_silence_is_waited_for_once(tmp_path):
    one = Asked(tmp_path)
    for _ in range(3):
        await one.eras.settle(in_a_hurry=False)

    assert (one.asked, one.eras.child_era) == (1, "unknown")
    assert one.waited() < 0.5


@in_loop
async def test_a_process_may_start_more_slowly_than_its_sibling(tmp_path):
    one = Asked(tmp_path)
    one.start_seconds = 0.2
    await one.eras.settle(in_a_hurry=True)
    hurried = one.waited()
    await one.eras.settle(in_a_hurry=False)

    assert hurried < 0.2 * eras.SLOWER <= one.waited()


@pytest.mark.parametrize("seconds, kept", [(1, "legacy"), (10, "unknown")])
def test_silence_is_kept_only_if_the_child_does_not_start_slowly_anyway(tmp_path, seconds, kept):
    async def run():
        one = Asked(tmp_path, dead)
        one.start_seconds = seconds
        one.eras.opened(Facts.of(OLD % 1))
        await one.eras.settle(in_a_hurry=False)
        assert (one.eras.child_era, Asked(tmp_path).eras.child_era) == ("legacy", kept)

    asyncio.run(run())


@in_loop
async def test_a_death_is_kept_only_if_the_child_can_live_at_all(tmp_path):
    one = Asked(tmp_path, dead)
    await one.eras.settle(in_a_hurry=False)
    assert (one.eras.child_era, Asked(tmp_path).eras.child_era) == ("legacy", "unknown")
    other = Asked(tmp_path, dead)
    other.eras.opened(Facts.of(OLD % 1))
    await other.eras.settle(in_a_hurry=False)
    assert Asked(tmp_path).eras.child_era == "legacy"


@in_loop
async def test_what_is_no_verdict_is_none(tmp_path):
    one = Asked(tmp_path, dead)
    one.eras.opened(Facts.of(OLD % 1))
    await one.eras.settle(in_a_hurry=False)
    [file] = tmp_path.iterdir()
    for content in (b"\xff" + file.read_bytes(), file.read_bytes().replace(b"s 1", b"\xff 1"), b"[" * 100_000, b"", b"{}"):
        file.write_bytes(content)
        assert Asked(tmp_path).eras.child_era == "unknown"


@in_loop
async def test_a_death_says_nothing_once_the_handshake_is_refused(tmp_path):
    """It may have been for a passing reason."""
    one = Asked(tmp_path, dead)
    await one.eras.settle(in_a_hurry=False)
    one.said = modern

    assert await one.eras.refused(-32601)
    assert one.eras.main == "modern"


@in_loop
async def test_another_version_of_the_server_is_asked_anew(tmp_path):
    one = Asked(tmp_path, modern)
    one.eras.opened(Facts.of(OLD % 1))
    await one.eras.settle(in_a_hurry=False)
    one.eras.opened(Facts.of(OLD % 1))
    before = one.eras.child_era
    one.eras.opened(Facts.of(OLD % 2))

    assert (before, one.eras.child_era, one.dropped) == ("dual", "unknown", 1)


@in_loop
async def test_a_refused_handshake_is_modern_if_it_says_so_or_if_asking_shows_it(tmp_path):
    said, shown, neither = Asked(tmp_path / "a"), Asked(tmp_path / "b", modern), Asked(tmp_path / "c", dead)

    assert await said.eras.refused(-32022) and said.asked == 0
    assert await shown.eras.refused(-32601) and shown.asked == 1
    assert not await neither.eras.refused(-32601)
    assert [one.eras.main for one in (said, shown, neither)] == ["modern", "modern", "legacy"]


@in_loop
async def test_one_that_may_do_one_thing_at_a_time_gets_no_second_process(tmp_path):
    one = Asked(tmp_path, modern, max_in_flight=1)
    one.eras.opened(Facts.of(OLD % 1))
    await one.eras.settle(in_a_hurry=False)

    assert (one.asked, one.eras.child_era) == (0, "legacy")


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_what_is_pinned_is_never_asked(tmp_path, era):
    async def run():
        one = Asked(tmp_path, dead, child_era=era)
        await one.eras.settle(in_a_hurry=False)
        refused = await one.eras.refused(-32022)
        assert (one.asked, refused, one.eras.child_era, one.eras.main) == (0, False, era, era)

    asyncio.run(run())
