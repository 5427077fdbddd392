"""Whatever is said, in whatever order: nothing raises, and who is owed an answer gets exactly one."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from world import Outbox, World

from bridge.protocol import envelope
from bridge.protocol.errors import Malformed

values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.sampled_from(["", "1", "2", "info", "test://a", "x", 1e300, "é\ud800", 2**70]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(
        ["requestId", "progressToken", "uri", "level", "_meta", "name", "id", "tools", "nextCursor", "content", "reason"]), inner, max_size=3), max_leaves=6)
METHODS = ["ping", "roots/list", "sampling/createMessage", "elicitation/create", "tools/call", "tools/list", "logging/setLevel",
           "resources/subscribe", "resources/unsubscribe", "tasks/get", "initialize", "x", "", "notifications/progress",
           "notifications/cancelled", "notifications/message", "notifications/tools/list_changed", "notifications/resources/updated",
           "notifications/initialized", "notifications/roots/list_changed", "notifications/x", None, 5]
messages = st.fixed_dictionaries({}, optional={
    "jsonrpc": st.sampled_from(["2.0", "1.0"]), "id": values, "method": st.sampled_from(METHODS), "params": values, "result": values, "error": values})


@settings(max_examples=80, deadline=None)
@given(st.booleans(), st.sampled_from(["strict", "litellm"]), st.lists(st.tuples(st.sampled_from(["child", "client", "line", "long", "die"]), messages), max_size=12))
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
            world.relay.too_long(line[:1024], line[-1024:], len(line), world.now)
        elif who == "die":
            world.die()
            world.open()
        else:
            try:
                told = envelope.from_client(line)
            except Malformed:
                continue
            if told.method is None:
                world.relay.respond(session, told)
            elif told.id:
                world.relay.request(session, told, Outbox(), world.now)
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
        for shape in (b'"result":{"content":[NEST],"tools":[NEST]}', b'"result":{"content":NEST}', b'"error":{"message":NEST}', b'"error":NEST'):
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

class AnyOrder(RuleBasedStateMachine):
    """Requests, answers, cancellations, crashes, time and departures in any order: who is owed an answer gets exactly one.

    The model: for each request, whose it was and whether it must have been answered by now.
    """

    @initialize(own=st.booleans(), limit=st.sampled_from([0, 1, 2]))
    def begin(self, own, limit):
        self.world = World(own=own, max_in_flight=limit, request_timeout=50.0, ready_wait=30.0)
        self.sessions = [self.world.owner] if own else [self.world.session() for _ in range(3)]
        self.asked = []  # (session, id, outbox)
        self.at_child = {}  # the child's id -> (session's number, id), as the payload says
        self.is_open = True

    def take(self):
        for line in self.world.sent():
            if line.get("method") == "tools/call":
                assert line["id"] not in self.at_child
                self.at_child[line["id"]] = line["params"]["who"]

    @rule(who=st.integers(0, 2), id=st.sampled_from([0, 1, "1", "0"]))
    def request(self, who, id):
        session = self.sessions[who % len(self.sessions)]
        is_busy = any(s is session and i == id and type(i) is type(id) and not o.answers for s, i, o in self.asked)
        outbox = self.world.request(session, params={"who": [session.label, id]}, id=id)
        assert bool(outbox.refusal) == is_busy
        if not is_busy:
            self.asked.append((session, id, outbox))
        self.take()

    @rule(pick=st.integers(0, 100), keeps=st.booleans())
    def answer(self, pick, keeps):
        """The child answers something, once or (if it `keeps` its note) again."""
        if not self.at_child:
            return
        id = sorted(self.at_child)[pick % len(self.at_child)]
        self.world.answer({"id": id}, self.at_child[id])
        if not keeps:
            del self.at_child[id]
        self.take()

    @rule(pick=st.integers(0, 100), by=st.integers(0, 2))
    def cancel(self, pick, by):
        if not self.asked:
            return
        _, id, _ = self.asked[pick % len(self.asked)]
        sender = self.sessions[by % len(self.sessions)]
        before = [len(o.answers) for s, _, o in self.asked if s is not sender]
        self.world.notify(sender, "cancelled", requestId=id)
        assert before == [len(o.answers) for s, _, o in self.asked if s is not sender]
        self.take()

    @rule(seconds=st.sampled_from([1.0, 6.0, 31.0, 51.0]))
    def pass_time(self, seconds):
        self.world.sweep(seconds, keepalive=1)
        self.take()

    @rule(for_good=st.booleans())
    def crash(self, for_good):
        was_open, self.is_open = self.is_open, False
        self.world.die(for_good=for_good)
        waits = any(not o.answers for _, _, o in self.asked)
        assert not waits or was_open and not for_good and self.world.relay.policy.max_in_flight
        self.at_child.clear()

    @rule()
    def open(self):
        if not self.is_open:
            self.world.relay.open(b"{}", self.world.now, self.world._opened, self.world.refused.append)
            self.world.answer(next(line for line in self.world.sent() if line.get("method") == "initialize"), {})
            self.is_open = True
            self.take()

    @rule(who=st.integers(0, 2))
    def leave(self, who):
        if self.world.owner:
            return
        index = who % len(self.sessions)
        gone = self.sessions[index]
        self.world.leave(gone)
        assert all(o.answers for s, _, o in self.asked if s is gone)
        self.sessions[index] = self.world.session()
        self.take()

    @invariant()
    def each_is_answered_at_most_once_and_by_its_own(self):
        if not hasattr(self, "world"):
            return
        for session, id, outbox in self.asked:
            assert len(outbox.answers) <= 1
            for answer in outbox.answers:
                assert (answer["id"], type(answer["id"])) == (id, type(id))
                assert answer.get("result", [session.label, id]) == [session.label, id]

    @invariant()
    def the_books_are_right(self):
        if not hasattr(self, "world"):
            return
        for session in self.sessions:
            owed = {json.dumps(i).encode() for s, i, o in self.asked if s is session and not o.answers}
            assert set(session.exchanges) == owed
        limit = self.world.relay.policy.max_in_flight
        assert not limit or len(self.world.relay._exchanges) <= max(limit, 1)

    def teardown(self):
        if hasattr(self, "world"):
            self.world.die(for_good=True)
            assert all(len(o.answers) == 1 for _, _, o in self.asked)
            assert self.world.counts.in_flight == 0


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
