"""The pool's rules, with children that are no processes: who gets which child, who waits, and how many there are."""

import asyncio
import json
import random
from types import SimpleNamespace

import pytest

from bridge.child.lifecycle import State
from bridge.counts import Counts
from bridge.log import Log
from bridge.protocol.errors import Refusal
from bridge.service.pool import KINDS, Pool


@pytest.fixture(autouse=True)
def no_delay(monkeypatch):
    monkeypatch.setattr("bridge.service.pool.REFILL_DELAY", 0)


class Child:
    """`stop` returns when the test says `end`, or at once in a `World` where nothing takes long."""

    def __init__(self, world, role, params, owner, on_gone):
        self.world, self.role, self.params, self.on_gone = world, role, params, on_gone
        self.sessions = [owner] if owner else []
        self.supervisor = SimpleNamespace(state=State.STOPPED)
        self.relay = SimpleNamespace(is_open=False, join=self.join, audience=SimpleNamespace(owner=owner))
        self.pid = len(world.made)
        self.ended = asyncio.Event()
        world.made.append(self)

    def join(self, session):
        assert session not in self.sessions[1:]
        self.sessions = [session] if session in self.sessions else [*self.sessions, session]
        assert len(self.sessions) == 1, "a child never has two sessions"

    def give_to(self, session, role, log):
        self.role, self.relay.audience.owner = role, session
        if session:
            self.join(session)

    def start(self):
        assert self.supervisor.state is State.STOPPED
        self.supervisor.state = State.HANDSHAKING
        self.world.most = max(self.world.most, len(self.world.living))

    def open(self):
        self.supervisor.state, self.relay.is_open = State.READY, True

    def die(self, state=State.FATAL):
        self.supervisor.state, self.relay.is_open = state, False
        self.on_gone(self)

    async def stop(self):
        self.relay.is_open = False
        if self.supervisor.state not in (State.STOPPED, State.FATAL):
            self.supervisor.state = State.STOPPING
            if self.world.is_slow:
                await self.ended.wait()
            self.supervisor.state = State.STOPPED
            self.on_gone(self)


class World:
    """A service as the pool sees it. `slow` children end when the test says so."""

    def __init__(self, spares=0, limit=0, patience=5.0, slow=False):
        self.loop = asyncio.get_running_loop()
        self.counts = Counts()
        self.are_own_needed = True
        self.is_slow = slow
        self.made: list[Child] = []
        self.most = 0
        self.tasks: set[asyncio.Task] = set()
        self.names = iter(range(10_000))
        self.pool = Pool(
            self.make, self.spawn, lambda: self.are_own_needed, Log(), self.counts, spares=spares, limit=limit, patience=patience
        )

    def make(self, role, params, owner, on_gone):
        return Child(self, role, params, owner, on_gone)

    def spawn(self, coroutine):
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def take(self, kind=b"{}"):
        child = await self.begin(kind)
        await turn(3)  # spares are started a moment later
        return child

    def begin(self, kind=b"{}", caller="") -> asyncio.Task:
        session = SimpleNamespace(label=f"s{next(self.names)}", caller=caller)
        return self.loop.create_task(self.pool.take(session, kind, b'{"capabilities":%b,"own":1}' % kind))

    def set_aside(self, child) -> None:
        child.sessions.clear()
        self.pool.set_aside(child)

    def spares(self, kind=b"{}") -> list[Child]:
        return [child for child in self.pool if child.role == "spare" and json.loads(child.params)["capabilities"] == json.loads(kind)]

    def open_spares(self):
        for child in self.spares():
            child.open()

    @property
    def living(self):
        return [child for child in self.made if child.supervisor.state not in (State.STOPPED, State.FATAL)]


def pooled(**options):
    """The test gets a World with these options and an event loop."""

    def decorate(test):
        def run():
            async def whole():
                await asyncio.wait_for(test(World(**options)), 5)

            asyncio.run(whole())

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorate


@pytest.fixture
def little_patience(monkeypatch):
    monkeypatch.setattr("bridge.service.pool.ASIDE", 0.01)


async def turn(times=10):
    for _ in range(times):
        await asyncio.sleep(0)


# -- who gets which child -----------------------------------------------------------------------------------------------------------------


@pooled()
async def test_without_spares_each_session_gets_a_new_child_made_for_it(world):
    one, two = await world.take(b'{"roots":{}}'), await world.take()

    assert [child.role for child in world.made] == ["own", "own"]
    assert one is not two
    assert json.loads(one.params) == {"capabilities": {"roots": {}}, "own": 1}
    assert set(world.pool) == {one, two}


@pooled(spares=2)
async def test_a_session_gets_a_spare_that_is_ready_and_another_one_is_started(world):
    world.pool.refill()
    first, second = world.spares()
    second.open()
    child = await world.take()

    assert child is second
    assert (child.role, len(child.sessions)) == ("own", 1)
    assert world.spares()[0] is first
    assert (len(world.spares()), len(world.made)) == (2, 3)


@pooled(spares=1)
async def test_a_spare_that_is_still_starting_is_better_than_a_new_child(world):
    world.pool.refill()
    (spare,) = world.spares()

    assert await world.take() is spare


@pooled(spares=1)
async def test_a_spare_that_keeps_dying_is_given_to_nobody(world):
    world.pool.refill()
    (spare,) = world.spares()
    spare.supervisor.state = State.BACKOFF

    assert await world.take() is not spare


@pooled(spares=1)
async def test_a_spare_is_only_for_those_who_declare_what_it_was_told(world):
    world.pool.refill()
    world.open_spares()
    (plain,) = world.spares()
    child = await world.take(b'{"sampling":{}}')

    assert (child is not plain, child.role, json.loads(child.params)["own"]) == (True, "own", 1)
    assert len(world.spares(b'{"sampling":{}}')) == 1, "the next one of its kind need not wait"
    world.spares(b'{"sampling":{}}')[0].open()
    assert (await world.take(b'{"sampling":{}}')).role == "own"
    assert len(world.made) == 4


@pooled(spares=1)
async def test_spares_are_kept_for_the_kinds_asked_for_last(world):
    world.pool.refill()
    for number in range(5):
        await world.take(b'{"x":%d}' % number)
    await turn()

    assert world.pool.spares == KINDS
    assert [len(world.spares(b'{"x":%d}' % number)) for number in range(5)] == [0, 0, 0, 1, 1]
    assert len(world.living) == 5 + KINDS


@pooled(spares=2)
async def test_a_used_child_is_stopped_and_never_handed_on(world):
    world.pool.refill()
    world.open_spares()
    child = await world.take()
    world.pool.give_back(child)
    await turn()
    others = [await world.take() for _ in range(4)]

    assert child.supervisor.state is State.STOPPED
    assert child not in others
    assert child not in set(world.pool)


@pooled()
async def test_one_that_is_given_back_twice_ends_once(world):
    child = await world.take()
    world.pool.give_back(child)
    world.pool.give_back(child)
    await turn()

    assert list(world.pool) == []
    assert world.tasks == set()


@pooled()
async def test_who_did_not_wait_for_a_slow_start_finds_that_child_the_next_time(world):
    child = await world.take()
    world.set_aside(child)
    assert (child.role, child.relay.audience.owner) == ("spare", None)
    other = await world.take(b'{"sampling":{}}')
    again = await world.take()

    assert again is child is not other
    assert (child.role, len(world.made)) == ("own", 2)


@pooled(spares=1)
async def test_a_spare_that_was_not_waited_for_is_found_again_too(world):
    world.pool.refill()
    child = await world.take()
    world.set_aside(child)

    assert await world.take() is child


@pooled()
async def test_one_that_has_started_is_not_set_aside(world):
    child = await world.take()
    child.open()
    world.set_aside(child)
    await turn()

    assert child.supervisor.state is State.STOPPED
    assert list(world.pool) == []


@pytest.mark.usefixtures("little_patience")
@pooled()
async def test_nobody_comes_again(world):
    child = await world.take()
    world.set_aside(child)
    await asyncio.sleep(0.03)
    await turn()

    assert child.supervisor.state is State.STOPPED
    assert list(world.pool) == []


@pooled(limit=1)
async def test_what_is_set_aside_makes_room_for_another_kind(world):
    child = await world.take()
    world.set_aside(child)
    other = await world.take(b'{"sampling":{}}')

    assert (other is not child, world.most) == (True, 1)


@pooled(limit=1)
async def test_nothing_is_set_aside_while_somebody_waits(world):
    child = await world.take()
    waiting = world.begin(b'{"sampling":{}}')
    await turn()
    world.set_aside(child)

    assert await waiting is not child


@pooled()
async def test_one_that_is_set_aside_and_dies_is_forgotten(world):
    child = await world.take()
    world.set_aside(child)
    child.die()

    assert list(world.pool) == []
    assert await world.take() is not child


# -- how many there are ----------------------------------------------------------------------------------------------------------------


@pooled(spares=5, limit=3)
async def test_spares_count_against_the_limit(world):
    world.pool.refill()

    assert len(world.spares()) == 3


@pooled(limit=2, slow=True)
async def test_one_that_is_just_ending_counts_too(world):
    """A server may need seconds to stop, and two of them more memory than there is."""
    one, _ = await world.take(), await world.take()
    world.pool.give_back(one)
    waiting = world.begin()
    await turn()
    assert not waiting.done()
    one.ended.set()
    await waiting

    assert world.most == 2


@pooled(limit=1)
async def test_a_session_waits_for_one_that_another_leaves(world):
    child = await world.take()
    waiting = world.begin()
    await turn()
    assert not waiting.done()
    world.pool.give_back(child)
    other = await waiting

    assert other is not child
    assert world.counts.waits == 1


@pooled(limit=1, patience=0.02)
async def test_but_not_for_ever(world):
    child = await world.take()
    refusal = await world.take()

    assert isinstance(refusal, Refusal)
    assert (refusal.status, dict(refusal.headers)) == (503, {b"retry-after": b"2"})
    assert "--max-children" in refusal.message
    assert list(world.pool) == [child]
    assert not world.pool._waiting, "and nothing of it stays"


@pooled(limit=1, patience=0)
async def test_without_patience_it_is_refused_at_once(world):
    await world.take()

    assert isinstance(await world.take(), Refusal)


@pooled(limit=1)
async def test_who_waits_longest_comes_first(world):
    child = await world.take()
    waiting = [world.begin() for _ in range(3)]
    for task in waiting:
        await turn()
        assert not task.done()
        world.pool.give_back(child)
        child = await task

    assert world.most == 1


@pooled(limit=1)
async def test_a_newcomer_does_not_take_what_another_waited_for(world):
    child = await world.take()
    waiting, *others = [world.begin() for _ in range(3)]
    await turn()
    world.pool.give_back(child)
    while len(world.made) == 1 and world.living:
        await asyncio.sleep(0)
    newcomer = world.begin()
    await turn()

    assert (waiting.done(), newcomer.done()) == (True, False)
    for task in (*others, newcomer):
        task.cancel()


@pooled(limit=1)
async def test_the_place_of_one_that_left_just_when_it_was_its_turn_goes_to_the_next(world):
    child = await world.take()
    gone, next_one = world.begin(), world.begin()
    await turn()
    world.pool.give_back(child)
    while world.pool._ending:
        await asyncio.sleep(0)
    gone.cancel()
    (left,) = await asyncio.gather(gone, return_exceptions=True)
    if isinstance(left, Child):
        world.pool.give_back(left)  # it had it already
    await asyncio.wait_for(next_one, 1)

    assert len(world.pool.taken) == 1


@pooled(spares=2, limit=2)
async def test_a_spare_of_another_kind_makes_room(world):
    world.pool.refill()
    world.open_spares()
    child = await world.take(b'{"roots":{}}')

    assert json.loads(child.params)["capabilities"] == {"roots": {}}
    assert (len(world.living), world.most) == (2, 2)


@pooled(spares=3, limit=4, slow=True)
async def test_no_more_spares_are_given_up_than_sessions_wait(world):
    world.pool.refill()
    await world.take(b'{"a":1}')
    assert len(world.spares()) == 3
    waiting = world.begin(b'{"a":1}')
    await turn()
    ending = [child for child in world.made if child.supervisor.state is State.STOPPING]

    assert len(ending) == 1
    ending[0].ended.set()
    await waiting
    for child in world.made:
        child.ended.set()


@pooled(spares=1, limit=2)
async def test_places_are_for_those_who_wait_before_they_are_for_spares(world):
    one, two = await world.take(b'{"a":1}'), await world.take(b'{"b":1}')
    waiting = [world.begin(b'{"a":1}') for _ in range(2)]
    await turn()
    assert not any(task.done() for task in waiting)
    world.pool.give_back(one)
    world.pool.give_back(two)
    await asyncio.gather(*waiting)

    assert len(world.pool.taken) == 2


@pooled(spares=2)
async def test_once_the_server_is_known_to_be_modern_only_there_are_no_spares(world):
    world.pool.refill()
    left = await world.take()
    world.are_own_needed = False
    world.pool.refill()
    await turn()

    assert world.living == [left]
    world.set_aside(left)
    world.pool.refill()
    await turn()
    assert world.living == []


# -- spares that die, and the end ---------------------------------------------------------------------------------------------------------


@pooled(spares=1)
async def test_a_spare_that_is_given_up_is_not_started_again_before_somebody_comes(world):
    """A server that cannot start would else be started for ever."""
    world.pool.refill()
    world.spares()[0].die()
    await turn()
    assert (world.spares(), len(world.made)) == ([], 1)
    await world.take()

    assert len(world.spares()) == 1


@pooled(spares=1)
async def test_a_spare_that_will_come_back_stays(world):
    world.pool.refill()
    world.spares()[0].die(State.BACKOFF)

    assert len(world.spares()) == 1


@pooled(spares=2, limit=5)
async def test_at_the_end_all_are_stopped_and_nobody_waits(world):
    for number in range(5):
        await world.take(b'{"x":%d}' % number)
    waiting = world.begin()
    await turn()
    await world.pool.close()

    assert isinstance(await waiting, Refusal)
    assert isinstance(await world.take(), Refusal)
    assert world.living == []


@pooled()
async def test_whatever_happens_the_limit_holds_and_nobody_shares(_):
    for seed in range(30):
        await anything(World(spares=2, limit=4), random.Random(seed))


async def anything(world: World, chance: random.Random):
    tasks, taken = [], []
    for _ in range(150):
        match chance.choice(["take", "take", "give", "cancel", "open", "die", "turn"]):
            case "take":
                tasks.append(world.begin(chance.choice([b"{}", b'{"a":1}', b'{"b":1}'])))
            case "give" if taken:
                world.pool.give_back(taken.pop(chance.randrange(len(taken))))
            case "cancel" if tasks:
                chance.choice(tasks).cancel()
            case "open" if starting := [child for child in world.living if child.supervisor.state is State.HANDSHAKING]:
                chance.choice(starting).open()
            case "die" if spares := [child for child in world.living if child.role == "spare"]:
                chance.choice(spares).die()
            case "turn":
                await turn(chance.randrange(4))
        for task in [task for task in tasks if task.done()]:
            tasks.remove(task)
            if not task.cancelled() and isinstance(task.result(), Child):
                taken.append(task.result())
        assert len(world.living) <= 4
    for task in tasks:
        if not task.done():
            task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    taken += [result for result in results if isinstance(result, Child)]
    assert world.pool.taken == set(taken)
    for child in taken:
        world.pool.give_back(child)
    await turn(20)
    pool = world.pool

    assert (pool.taken, pool._ending, list(pool._waiting), world.tasks) == (set(), set(), [], set())
    assert set(world.living) == {child for child in pool if child.supervisor.state is not State.FATAL}


@pooled(limit=4)
async def test_no_caller_has_all_children(world):
    world.pool.pot.is_fair = True
    mine = [await world.begin(caller="greedy") for _ in range(4)]
    other = await world.begin(caller="other")

    assert [type(child) for child in mine] == [Child, Child, Child, Refusal]
    assert mine[3].status == 429
    assert type(other) is Child
    world.pool.give_back(mine[0])
    assert world.pool.pot.by_caller == {"greedy": 2, "other": 1}
