"""Sessions: who is still there, whose they are, and what waits for a stream."""

import pytest
from msgspec import Raw
from world import Outbox

from bridge.protocol import session as module
from bridge.protocol.session import NO_SESSION, WAITING_BYTES, WAITING_LIMIT, Sessions, can_be_asked
from bridge.protocol.token import MAX_LENGTH

HTTP = "streamable-http"


@pytest.fixture
def sessions():
    return Sessions("time", b"k" * 32, 3, 100.0)


def opened(sessions, principal="", now=0.0, **more):
    session = sessions.open(HTTP, now, principal=principal, **more)
    sessions.seal(session)
    return session


def restarted(**more):
    """Another bridge with the same key: a restart, or a replica."""
    return Sessions(**({"mcp": "time", "key": b"k" * 32, "limit": 3, "idle": 100.0} | more))


# -- finding ------------------------------------------------------------------------------------------------------------------


def test_a_session_is_found_by_its_id_and_its_principal_only(sessions):
    """Edge case 14: another one's session looks like none."""
    session = opened(sessions, "alice")

    assert sessions.find(session.id, "alice", 1.0) is session
    assert sessions.find(session.id, "bob", 1.0) is None
    assert sessions.find(session.id, "", 1.0) is None


@pytest.mark.parametrize("id", ["", "x", ".", "a.b", "\xff" * 10, "x" * 100_000])
def test_unknown_ids_find_nothing(sessions, id):
    """Edge case 13."""
    opened(sessions)

    assert sessions.find(id, "", 1.0) is None


def test_an_id_is_known_after_a_restart():
    session = opened(restarted(), "alice", revision="2025-06-18", capabilities=Raw(b'{"roots":{}}'), own_child=True)
    again = restarted().find(session.id, "alice", 5.0)

    assert (again.id, again.revision, bytes(again.capabilities), again.own_child, again.initialized, again.relay) == (
        session.id,
        "2025-06-18",
        b'{"roots":{}}',
        True,
        True,
        None,
    )


def test_an_id_taken_up_by_the_wrong_principal_takes_no_room():
    """A session without a relay in the books would make the next look for idle ones stumble."""
    id = opened(restarted(), "alice").id
    sessions = restarted()

    assert sessions.find(id, "bob", 5.0) is None
    assert len(sessions) == 0
    assert sessions.idle_ones(1000.0) == []
    assert sessions.find(id, "alice", 5.0) is not None


def test_an_id_of_another_mcp_or_another_key_is_unknown():
    id = opened(restarted()).id

    assert restarted(mcp="git").find(id, "", 1.0) is None
    assert restarted(key=b"x" * 32).find(id, "", 1.0) is None


def test_an_id_is_not_taken_up_when_all_places_are_taken():
    id = opened(restarted()).id
    sessions = restarted(limit=1)
    opened(sessions, own_child=True)  # which its id alone does not bring back

    assert not sessions.make_room("", 1.0)
    assert sessions.find(id, "", 1.0) is None
    assert sessions.missing(id.encode(), "", 1.0).status == 503


def test_no_room_would_help_an_id_that_is_no_good():
    """Its client must open another session, and not come again and again."""
    older = restarted()
    ended, alices = opened(older), opened(older, "alice")
    sessions = restarted(limit=1)
    assert sessions.missing(ended.id.encode(), "", 1.0) == NO_SESSION, "there is room"
    sessions.end(sessions.find(ended.id, "", 1.0))
    mine = opened(sessions, "bob", own_child=True)

    assert not sessions.make_room("", 1.0)
    for id, principal in ((ended.id, ""), (alices.id, "bob"), (mine.id, "alice"), ("x", ""), (opened(restarted(key=b"x" * 32)).id, "")):
        assert sessions.find(id, principal, 1.0) is None
        assert sessions.missing(id.encode(), principal, 1.0) == NO_SESSION


def test_an_ended_session_stays_ended(sessions):
    """Edge case 13: DELETE, then POST, then DELETE again: 404."""
    session = opened(sessions)
    sessions.end(session)
    sessions.end(session)

    assert sessions.find(session.id, "", 1.0) is None
    assert len(sessions) == 0


def test_a_forgotten_session_comes_back(sessions):
    session = opened(sessions)
    sessions.forget(session)
    again = sessions.find(session.id, "", 1.0)

    assert again is not session
    assert again.nonce == session.nonce


def test_the_ids_of_ended_sessions_are_remembered_in_bounds(sessions, monkeypatch):
    monkeypatch.setattr(module, "ENDED_LIMIT", 3)
    ended = [opened(sessions) for _ in range(1)]
    for _ in range(3):
        sessions.end(ended[-1])
        ended.append(opened(sessions))
    sessions.end(ended[-1])

    assert len(sessions._ended) == 3


def test_a_connection_keeps_its_own_id(sessions):
    session = sessions.open("sse", 0.0)
    id = session.id
    sessions.seal(session)

    assert session.id == id
    assert sessions.find(id, "", 1.0) is session


def test_sealing_leaves_one_entry(sessions):
    session = opened(sessions)

    assert len(sessions) == 1
    assert list(sessions) == [session]


def test_iterating_survives_sessions_that_end(sessions):
    for _ in range(3):
        opened(sessions)
    for session in sessions:
        sessions.end(session)

    assert len(sessions) == 0


@pytest.mark.parametrize(
    ("client", "capabilities"),
    [
        (b'{"name":"c","icons":[{"src":"data:%b"}]}' % (b"x" * 50_000), b"{}"),
        (b'{"name":"c"}', b'{"experimental":{"x":"%b"}}' % (b"x" * 50_000)),
    ],
)
def test_an_id_fits_into_a_header_whatever_the_client_says_of_itself(client, capabilities):
    """clientInfo.icons (2025-11-25) may be data: URIs of any size."""
    sessions = restarted()
    session = opened(sessions, client=Raw(client), capabilities=Raw(capabilities))

    assert len(session.id) <= MAX_LENGTH
    assert sessions.find(session.id, "", 1.0) is session
    if session.is_in_token:
        assert restarted().find(session.id, "", 1.0) is not None
    else:
        assert restarted().find(session.id, "", 1.0) is None


# -- adopted: sessions that nobody opened ------------------------------------------------------------------------------------------


def test_an_adopted_session_is_found_by_its_id_again(sessions):
    session = sessions.adopt(HTTP, "stale", "2025-06-18", "alice", 0.0)

    assert sessions.find("stale", "alice", 1.0) is session
    assert sessions.find("stale", "bob", 1.0) is None


def test_without_an_id_it_is_known_to_nobody(sessions):
    session = sessions.adopt(HTTP, "", "2025-06-18", "", 0.0)

    assert len(sessions) == 0
    assert sessions.find("", "", 1.0) is None
    sessions.end(session)


# -- idle ------------------------------------------------------------------------------------------------------------------------------


def test_a_session_idles_when_nobody_uses_it(sessions):
    session = opened(sessions, now=0.0)

    assert sessions.idle_ones(100.0) == []
    assert sessions.idle_ones(100.1) == [session]
    sessions.find(session.id, "", 100.0)
    assert sessions.idle_ones(150.0) == []


def test_an_open_stream_or_a_request_keeps_it_alive(sessions):
    session = opened(sessions)
    stream = Outbox()
    session.listen(stream)
    assert sessions.idle_ones(1e6) == []
    session.unlisten(stream)
    session.exchanges[b"1"] = object()
    assert sessions.idle_ones(1e6) == []
    session.exchanges.clear()

    assert sessions.idle_ones(1e6) == [session]


def test_no_idle_time_is_for_ever():
    sessions = restarted(idle=0)
    opened(sessions)

    assert sessions.idle_ones(1e9) == []


@pytest.mark.parametrize(("name", "value"), [("own_child", True), ("subscriptions", {"x"}), ("level", "info")])
def test_a_session_may_be_forgotten_only_if_its_token_says_it_all(sessions, name, value):
    session = opened(sessions)
    assert session.is_in_token
    setattr(session, name, value)

    assert not session.is_in_token


# -- streams ---------------------------------------------------------------------------------------------------------------------------


def test_a_message_takes_exactly_one_stream_the_newest_that_is_open(sessions):
    """basic/transports: "The server MUST send each of its JSON-RPC messages on only one of the connected streams"."""
    session = opened(sessions)
    old, new, closed = Outbox(), Outbox(), Outbox(is_open=False)
    for stream in (old, new, closed):
        session.listen(stream)

    assert session.deliver(b'{"a":1}')
    assert [stream.messages for stream in (old, new, closed)] == [[], [{"a": 1}], []]


def test_without_a_stream_it_is_not_delivered(sessions):
    session = opened(sessions)
    stream = Outbox()
    session.listen(stream)
    session.unlisten(stream)
    session.unlisten(stream)

    assert session.deliver(b"{}") is False


def test_what_waited_comes_in_order_and_the_latest_of_a_kind_only(sessions):
    session = opened(sessions)
    for key, message in [("a", b"1"), ("b", b"2"), ("a", b"3")]:
        session.keep(key, message)
    stream = Outbox()
    session.listen(stream)

    assert stream.raw == [b"3", b"2"]
    assert not session.waiting


def test_a_stream_that_closes_meanwhile_leaves_the_rest_in_order(sessions):
    session = opened(sessions)
    for number in range(4):
        session.keep(number, b"%d" % number)

    class Short(Outbox):
        def put(self, message):
            self.is_open = len(self.raw) < 2
            return super().put(message)

    first, second = Short(), Outbox()
    session.listen(first)
    session.listen(second)

    assert (first.raw, second.raw) == ([b"0", b"1"], [b"2", b"3"])


def test_what_waits_is_bounded_and_the_oldest_goes_first(sessions):
    session = opened(sessions)
    for number in range(WAITING_LIMIT + 10):
        session.keep(number, b"x")

    assert list(session.waiting) == list(range(10, WAITING_LIMIT + 10))
    assert session.dropped == 10


def test_what_waits_is_bounded_in_bytes_too(sessions):
    session = opened(sessions)
    for number in range(10):
        session.keep(number, b"x" * (WAITING_BYTES // 3))

    assert list(session.waiting) == [7, 8, 9]
    session.keep("huge", b"x" * (WAITING_BYTES + 1))
    assert not session.waiting


@pytest.mark.parametrize(
    ("capabilities", "answer"),
    [
        (b"{}", False),
        (b'{"experimental":{},"tasks":{}}', False),
        (b'{"roots":{}}', True),
        (b'{"sampling":{},"x":1}', True),
        (b'{ "elicitation" : {"form":{}} }', True),
        (b'{"x":{"roots":{}}}', False),
    ],
)
def test_who_can_be_asked(capabilities, answer):
    assert can_be_asked(Raw(capabilities)) == answer


def test_an_id_that_no_bridge_of_ours_made_is_not_adopted_whatever_its_length(sessions):
    assert sessions.may_adopt("x" * 4096, "", 1.0)
    assert not sessions.may_adopt("x" * 4097, "", 1.0)


# -- shares --------------------------------------------------------------------------------------------------------------------------


def test_ten_thousand_sessions_of_one_caller_lock_nobody_out():
    """10,000 in 1.3 s, and then 503 for everybody for half an hour."""
    sessions = restarted(limit=100, is_fair=True)
    for number in range(1000):
        assert sessions.make_room("flood", float(number))
        opened(sessions, now=float(number), caller="flood")
    others = [opened(sessions, caller=str(number)) for number in range(20) if sessions.make_room(str(number), 2000.0)]

    assert len(others) == 20
    assert len(sessions) <= 100


def test_what_was_forgotten_for_others_is_taken_up_again():
    sessions = restarted(limit=2)
    first, second = opened(sessions), opened(sessions)

    assert sessions.make_room("", 1.0)
    third = opened(sessions)
    assert not sessions.holds(first)
    assert sessions.find(first.id, "", 2.0).nonce == first.nonce
    assert not sessions.holds(second)
    assert sessions.holds(third)


def test_what_would_be_missed_is_not_forgotten():
    sessions = restarted(limit=5)
    _own, level, watching, busy, waiting = (opened(sessions, own_child=number == 0) for number in range(5))
    level.level = "debug"
    watching.subscriptions.add("x:y")
    busy.streams.append(Outbox())
    waiting.keep("x", b"{}")

    assert not sessions.make_room("", 1.0)
    assert len(sessions) == 5


def test_memory_that_a_session_took_is_given_back():
    sessions = restarted()
    session = opened(sessions)
    session.keep("x", b"x" * 1000)
    session.subscriptions.add("x:y")
    session.fits()
    held = sessions.memory.held
    session.listen(Outbox())
    assert sessions.memory.held < held
    sessions.end(session)

    assert (sessions.memory.held, sessions.pot.held, sessions._of) == (0, 0, {})


def test_nobody_adopts_the_id_of_another_callers_session_that_was_forgotten(sessions):
    """It would be his from then on, and its owner could not take it up again."""
    session = opened(sessions, "alice")
    sessions.forget(session)

    assert not sessions.may_adopt(session.id, "bob", 1.0)
    assert sessions.may_adopt(session.id, "alice", 1.0)
