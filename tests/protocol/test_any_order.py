"""Whatever is said, in whatever order: nothing raises, and who is owed an answer gets exactly one."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from world import ALL, KEYS, Outbox, World

from bridge.protocol import envelope, spelling
from bridge.protocol.errors import Malformed

values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.sampled_from(["", "1", "2", "info", "test://a", "x", 1e300, "é\ud800", 2**70]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["requestId", "progressToken", "uri", "level", "_meta", "name", "id", "tools", "nextCursor", "content", "reason"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
METHODS = [
    "ping",
    "roots/list",
    "sampling/createMessage",
    "elicitation/create",
    "tools/call",
    "tools/list",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "tasks/get",
    "initialize",
    "x",
    "",
    "notifications/progress",
    "notifications/cancelled",
    "notifications/message",
    "notifications/tools/list_changed",
    "notifications/resources/updated",
    "notifications/initialized",
    "notifications/roots/list_changed",
    "notifications/x",
    None,
    5,
]
messages = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["2.0", "1.0"]),
        "id": values,
        "method": st.sampled_from(METHODS),
        "params": values,
        "result": values,
        "error": values,
    },
)


@settings(max_examples=80, deadline=None)
@given(
    st.booleans(),
    st.sampled_from(["strict", "litellm"]),
    st.lists(st.tuples(st.sampled_from(["child", "client", "line", "long", "die"]), messages), max_size=12),
)
def test_nobody_can_make_the_relay_raise(own, profile_name, script):
    """Whatever a child writes and whatever a client posts."""
    world = World(own=own, profile_name=profile_name)
    session = world.owner or world.session()
    for number in range(4):
        world.request(session, ["tools/call", "tools/list", "resources/subscribe", "x"][number], {"_meta": {"progressToken": 1}}, id=number)
    for who, message in script:
        line = json.dumps({"jsonrpc": "2.0"} | message).encode()
        if who == "child":
            world.hear(line)
        elif who == "line":
            world.hear(line[:-3])
        elif who == "long":
            world.relay.incoming.too_long(line[:1024], line[-1024:], len(line), world.now)
        elif who == "die":
            world.die()
            world.open()
        else:
            try:
                told = envelope.from_client(line)
            except Malformed:
                continue
            if told.method is None:
                world.relay.respond(session, told, world.now)
            elif told.id:
                world.relay.request(session, told, spelling.params(told), Outbox(), world.now)
            else:
                world.relay.notify(session, told, world.now)
        world.sweep(7, keepalive=1)
    world.leave(session)


@pytest.mark.parametrize("profile_name", ["strict", "litellm"])
@pytest.mark.parametrize("method", ["tools/call", "tools/list", "resources/read"])
def test_no_depth_of_nesting_makes_it_raise(profile_name, method):
    """Near the interpreter's own limit, the first parser passes what the second one refuses."""
    world = World(profile_name=profile_name)
    session = world.session()
    for number, deep in enumerate(range(900, 1010)):
        for shape in (
            b'"result":{"content":[NEST],"tools":[NEST]}',
            b'"result":{"content":NEST}',
            b'"error":{"message":NEST}',
            b'"error":NEST',
        ):
            outbox, line = world.ask_child(session, method, {}, id=number)
            nest = b"[" * deep + b"]" * deep
            world.hear(b'{"jsonrpc":"2.0","id":%d,%b}' % (line["id"], shape.replace(b"NEST", nest)))
            world.hear(b'{"method":"notifications/progress","params":{"progressToken":%b}}' % nest)
            world.hear(b'{"method":"notifications/message","params":{"level":%b}}' % nest)
            world.hear(b'{"method":"notifications/cancelled","params":{"requestId":%b}}' % nest)
            assert len(outbox.raw_answers) == 1


def test_a_child_cannot_grow_our_counts_by_inventing_names():
    """Each key is a time series in Prometheus."""
    world = World()
    for number in range(50):
        world.hear({"id": number, "method": f"made/up{number}"})
        world.hear({"method": f"notifications/made/up{number}"})

    assert sum(map(len, (world.counts.strays, world.counts.drops, world.counts.noise))) < 10


# -- any order of events -------------------------------------------------------------------------------------------------------------------

TOOLS = [{"name": "safe", "annotations": {"readOnlyHint": True}}, {"name": "unsafe"}]
SAFE = ("safe", "list")


class Call:
    """A request as its client knows it. `times` counts how often a child got it."""

    def __init__(self, number, session, id, kind, outbox):
        self.number, self.session, self.id, self.kind, self.outbox = number, session, id, kind, outbox
        self.times = 0
        self.is_cancelled = False

    @property
    def is_owed(self):
        return not self.outbox.answers


class AnyOrder(RuleBasedStateMachine):
    """Calls, answers, progress, cancellations, departures, crashes, restarts, sleep, replaced children and time in any order.

    The model knows each call's number, which its payload carries, and what each child was given. It finds cross-talk (an
    answer or progress of another call), calls that are answered twice or never, that reach a child more often than they may,
    and whatever is left when all is over.
    """

    @initialize(own=st.booleans(), limit=st.sampled_from([0, 1, 2]), session_limit=st.sampled_from([0, 0, 1]), pings=st.booleans())
    def begin(self, own, limit, session_limit, pings):
        self.world = World(
            own=own,
            is_open=False,
            max_in_flight=limit,
            max_session_requests=session_limit,
            request_timeout=50.0,
            ready_wait=30.0,
            ping_interval=20.0 if pings else 0.0,
        )
        self.worlds = [self.world]  # all children that there ever were, the one in use last
        self.given = {self.world: {}}  # what each child has to answer: our id -> the call
        self.own = {self.world: []}  # and of what the bridge asks by itself
        self.handshake = None
        self.sessions = [self.world.owner] if own else [self.world.session() for _ in range(3)]
        self.gone = []
        self.calls = []
        self.used_child = self.must_tell = False
        self.start()
        self.finish_start()

    # -- the model's hands ----------------------------------------------------------------------------------------------------

    @property
    def relay(self):
        return self.world.relay

    @property
    def owed(self):
        return [call for call in self.calls if call.is_owed]

    def take(self):
        """Note what the children were given."""
        for world in self.worlds:
            for line in world.sent():
                number = line.get("params", {}).get("number")
                if number is not None:
                    call = self.calls[number]
                    call.times += 1
                    assert line["id"] not in self.given[world]
                    assert not call.is_cancelled and call.is_owed
                    assert call.times == 1 or (call.kind in SAFE and call.times == 2 and not self.world.owner)
                    self.given[world][line["id"]] = call
                    self.used_child = self.used_child or world is self.world
                elif line.get("method") != "initialize" and "id" in line:
                    self.own[world].append(line)

    def give(self, world, line_id, result):
        world.answer({"id": line_id}, result)

    def answer_own_of(self, world):
        lines, self.own[world] = self.own[world], []
        for line in lines:
            key = KEYS.get(line["method"])
            world.answer(line, {key: TOOLS if key == "tools" else []} if key else {})

    # -- clients ----------------------------------------------------------------------------------------------------------------

    @rule(
        who=st.integers(0, 2), id=st.sampled_from([0, 1, "1", "0"]), kind=st.sampled_from(["safe", "unsafe", "unsafe", "list", "subscribe"])
    )
    def request(self, who, id, kind):
        session = self.sessions[who % len(self.sessions)]
        is_busy = any(call.session is session and (call.id, type(call.id)) == (id, type(id)) for call in self.owed)
        number = len(self.calls)
        params = {"number": number, "name": kind, "_meta": {"progressToken": f"token {number}"}} | (
            {"uri": "x"} if kind == "subscribe" else {}
        )
        method = {"list": "tools/list", "subscribe": "resources/subscribe"}.get(kind, "tools/call")
        call = Call(number, session, id, kind, Outbox())
        self.calls.append(call)
        was_asleep = self.relay.is_asleep
        self.world.request(session, method, params, id, call.outbox)
        is_told = self.must_tell and not is_busy and kind != "list"
        self.must_tell = self.must_tell and not is_told
        assert bool(call.outbox.refusal) == is_busy
        if is_busy:
            assert call.is_owed
            call.outbox.raw_answers.append(b'{"id":%b}' % json.dumps(id).encode())
        elif is_told:
            assert "is lost" in call.outbox.error["message"]
        elif not call.is_owed:
            assert was_asleep and kind == "list" and call.outbox.answers[0]["result"] == {"tools": TOOLS}
            call.outbox.raw_answers[:] = [json.dumps({"id": id, "result": number}).encode()]
        self.take()

    @rule(pick=st.integers(0, 100), by=st.integers(0, 2))
    def cancel(self, pick, by):
        """Somebody cancels an id that may be its own, or another's."""
        if not self.owed:
            return
        id = self.owed[pick % len(self.owed)].id
        sender = self.sessions[by % len(self.sessions)]
        meant = [call for call in self.owed if call.session is sender and (call.id, type(call.id)) == (id, type(id))]
        others = [call for call in self.owed if call not in meant]
        self.world.notify(sender, "cancelled", requestId=id)
        assert all(call.is_owed for call in others)
        for call in meant:
            assert call.outbox.error["code"] == -32800
            call.is_cancelled = True
        self.take()

    @rule(who=st.integers(0, 2))
    def leave(self, who):
        if self.world.owner:
            return
        index = who % len(self.sessions)
        gone = self.sessions[index]
        self.world.leave(gone)
        assert not any(call.is_owed for call in self.calls if call.session is gone)
        self.gone.append(gone)
        self.sessions[index] = self.world.session()
        for call in self.calls:
            call.is_cancelled = call.is_cancelled or call.session is gone
        self.take()

    # -- children ---------------------------------------------------------------------------------------------------------------

    @rule(pick=st.integers(0, 100), which=st.integers(0, 3), keeps=st.booleans(), error=st.booleans())
    def answer(self, pick, which, keeps, error):
        """A child answers something, once or (if it `keeps` its note) again."""
        world = self.worlds[-1 - which % len(self.worlds)]
        given = self.given[world]
        if not given:
            return
        id = sorted(given)[pick % len(given)]
        if error:
            world.answer({"id": id}, code=-1, message=given[id].number)
        else:
            world.answer({"id": id}, given[id].number)
        if not keeps:
            del given[id]
        self.take()

    @rule(pick=st.integers(0, 100), which=st.integers(0, 3))
    def progress(self, pick, which):
        world = self.worlds[-1 - which % len(self.worlds)]
        given = self.given[world]
        if given:
            id = sorted(given)[pick % len(given)]
            world.notice("progress", progressToken=id, progress=given[id].number)

    @rule(which=st.integers(0, 3))
    def answer_own(self, which):
        self.answer_own_of(self.worlds[-1 - which % len(self.worlds)])
        self.take()

    @rule(kind=st.sampled_from(["tools", "prompts", "resources"]))
    def list_changes(self, kind):
        if self.handshake is None:
            self.world.notice(f"{kind}/list_changed")
            self.take()

    @precondition(lambda self: self.handshake is None and not self.relay.is_open)
    @rule()
    def start(self):
        self.relay.open(b"{}", self.world.now, self.world._opened, self.world._refused)
        self.handshake = next(line for line in self.world.sent() if line.get("method") == "initialize")

    @precondition(lambda self: self.handshake is not None)
    @rule()
    def finish_start(self):
        handshake, self.handshake = self.handshake, None
        self.used_child = False
        self.world.answer(handshake, {"capabilities": ALL})
        self.take()

    @rule(for_good=st.booleans())
    def crash(self, for_good):
        was_open = self.relay.is_open
        before = list(self.owed)
        given = set(self.given[self.world].values())
        self.world.die(for_good=for_good)
        self.given[self.world].clear()
        self.own[self.world].clear()
        self.handshake = None
        answered = [call for call in before if not call.is_owed]
        if for_good or not was_open:
            elsewhere = {call for world in self.worlds[:-1] for call in self.given[world].values()}
            assert set(self.owed) <= elsewhere
        for call in self.owed:
            assert (
                call not in given
                or (call.kind in SAFE and call.times == 1)
                or any(call in self.given[w].values() for w in self.worlds[:-1])
            )
        if self.world.owner and was_open and self.used_child and not answered:
            self.must_tell = True
        self.take()

    @precondition(lambda self: len(self.worlds) > 1)
    @rule(which=st.integers(0, 3))
    def old_child_crashes(self, which):
        world = self.worlds[which % (len(self.worlds) - 1)]
        had = {call for call in self.given[world].values() if call.is_owed}
        world.die()
        self.given[world].clear()
        self.own[world].clear()
        assert all(call.kind in SAFE for call in had if call.is_owed)
        self.take()

    @precondition(lambda self: self.relay.is_open and self.relay.is_idle and not self.must_tell)
    @rule()
    def sleep(self):
        self.relay.sleep()
        self.own[self.world].clear()
        self.given[self.world].clear()

    @precondition(lambda self: not self.world.owner and self.handshake is None and len(self.worlds) < 4)
    @rule(knows_lists=st.booleans())
    def replace(self, knows_lists):
        """Whatever the old child does: it works, sleeps, is paused or has just died."""
        old, new = self.world, World(beside=self.world, is_open=False)
        self.given[new], self.own[new] = {}, []
        handshake = new.spawn()
        new.answer(handshake, {"capabilities": ALL})
        self.worlds.append(new)
        self.take()
        if knows_lists:
            self.answer_own_of(new)
        old.relay.hand_over(new.relay, old.now)
        self.world = new
        self.take()

    @rule()
    def pause(self):
        self.relay.pause()

    @precondition(lambda self: self.relay.is_open and self.relay.is_paused and self.relay.is_at_rest)
    @rule()
    def restart(self):
        """As the service does with a child that was paused, once it has nothing to do."""
        self.relay.sleep()
        self.given[self.world].clear()
        self.start()
        self.finish_start()

    @rule(seconds=st.sampled_from([1.0, 6.0, 21.0, 31.0, 51.0]))
    def pass_time(self, seconds):
        for world in self.worlds:
            world.sweep(seconds, keepalive=1)
        self.take()

    # -- what must hold -----------------------------------------------------------------------------------------------------------

    @invariant()
    def each_hears_only_what_is_its_own(self):
        for call in getattr(self, "calls", ()):
            assert len(call.outbox.answers) <= 1
            for answer in call.outbox.answers:
                assert (answer["id"], type(answer["id"])) == (call.id, type(call.id))
                assert answer.get("result", call.number) == call.number
                assert answer.get("error", {}).get("code") != -1 or answer["error"]["message"] == call.number
            assert all(
                message["params"] == {"progressToken": f"token {call.number}", "progress": call.number}
                for message in call.outbox.messages
                if message["method"] == "notifications/progress"
            )

    @invariant()
    def the_books_are_right(self):
        if not hasattr(self, "worlds"):
            return
        assert self.world.counts.in_flight == len(self.owed)
        for session in self.sessions:
            owed = {json.dumps(call.id).encode() for call in self.owed if call.session is session}
            assert set(session.exchanges) == owed
        policy = self.relay.policy
        for world in self.worlds:
            with_child = list(world.relay.exchanges.values())
            assert not policy.max_in_flight or len(with_child) <= policy.max_in_flight
            for session in self.sessions:
                assert not policy.max_session_requests or sum(e.session is session for e in with_child) <= policy.max_session_requests

    def teardown(self):
        if not hasattr(self, "worlds"):
            return
        self.everybody_is_answered()
        for session in self.sessions:
            self.world.leave(session)
        self.take()
        for world in self.worlds:
            self.answer_everything(world)
            world.sweep(100)
            self.answer_everything(world)
        self.nothing_is_left()

    def everybody_is_answered(self):
        """As long as children answer and come back, nobody waits for ever."""
        for _ in range(300):
            if self.handshake is None and not self.relay.is_open:
                self.start()
            if self.handshake is not None:
                self.finish_start()
            for world in self.worlds:
                self.answer_everything(world)
            if self.relay.is_paused and self.relay.is_at_rest:
                self.restart()
            if not self.owed and not self.relay.is_paused:
                break
        assert not self.owed
        self.each_hears_only_what_is_its_own()

    def answer_everything(self, world):
        for _ in range(300):
            self.answer_own_of(world)
            for id, call in list(self.given[world].items()):
                world.answer({"id": id}, call.number)
            self.given[world].clear()
            self.take()
            if not self.own[world] and not self.given[world]:
                return
        raise AssertionError("it never ends")

    def nothing_is_left(self):
        assert self.world.counts.in_flight == 0
        for session in (*self.sessions, *self.gone):
            assert (session.exchanges, session.asks, session.subscriptions) == ({}, {}, set())
        for world in self.worlds:
            relay = world.relay
            assert (relay.exchanges, relay.sessions, relay.learning.reading, relay._early.take(), relay.late_lists.cursors) == (
                {},
                {},
                {},
                [],
                set(),
            )
            assert (
                list(relay.dispatcher.turns),
                relay.dispatcher.turns._lines,
                relay.dispatcher.turns._with_child,
                len(relay.dispatcher.turns),
            ) == ([], {}, {}, 0)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
