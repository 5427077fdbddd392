"""What was said on resumable streams: only the stream's own later events, only to its own session, within the limit."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.protocol.replay import EVENT_COST, RECORDING_COST, Replay


class Session:
    def __init__(self):
        self.recordings = []


def test_a_stream_is_replayed_from_where_its_client_lost_it():
    """Edge case 23."""
    replay, session = Replay(10**6), Session()
    recording = replay.open(session, "source")
    ids = [replay.add(recording, b"%d" % number) for number in range(4)]

    found, events = replay.find(session, ids[1])
    assert (found.source, events) == ("source", [(ids[2], b"2"), (ids[3], b"3")])
    assert replay.find(session, ids[3])[1] == []


def test_streams_of_one_session_do_not_mix():
    replay, session = Replay(10**6), Session()
    one, two = replay.open(session, 1), replay.open(session, 2)
    id = replay.add(one, b"a")
    replay.add(two, b"b")
    replay.add(one, b"c")

    assert [message for _, message in replay.find(session, id)[1]] == [b"c"]


def test_another_sessions_stream_is_unknown():
    """Edge case 25."""
    replay, mine, other = Replay(10**6), Session(), Session()
    id = replay.add(replay.open(mine, None), b"secret")

    assert replay.find(other, id) is None


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "-",
        "x-1",
        "{name}",
        "{name}-",
        "{name}-x",
        "{name}--1",
        "{name}-1.5",
        "{name}-1e3",
        "-1",
        "{name}-" + "9" * 5000,
        "{name}- 1",
        "\xff",
    ],
)
def test_odd_event_ids_are_unknown(wrong):
    """`Last-Event-ID` is whatever a client sends: int() refuses more than 4300 digits."""
    replay, session = Replay(10**6), Session()
    recording = replay.open(session, None)
    replay.add(recording, b"a")

    assert replay.find(session, wrong.format(name=recording.name)) is None


def test_ids_of_two_boots_differ():
    """An id from before a restart must not find a new stream."""
    names = {Replay(1).open(Session(), None).name for _ in range(20)}

    assert len(names) == 20


def test_an_ended_session_leaves_nothing():
    replay, session = Replay(10**6), Session()
    ids = [replay.add(replay.open(session, None), b"x") for _ in range(3)]
    replay.drop(session)

    assert [replay.find(session, id) for id in ids] == [None] * 3
    assert (replay.size, session.recordings) == (0, [])


def test_a_stream_that_said_nothing_is_nothing_to_keep():
    replay, session = Replay(10**6), Session()
    silent, spoken = replay.open(session, None), replay.open(session, None)
    replay.add(spoken, b"x")
    for recording in (silent, silent, spoken):
        replay.close(recording)

    assert session.recordings == [spoken]


def test_the_oldest_streams_are_forgotten_first_and_counted():
    replay, session = Replay(3 * (RECORDING_COST + EVENT_COST + 100)), Session()
    ids = [replay.add(replay.open(session, None), b"x" * 100) for _ in range(5)]

    assert [replay.find(session, id) is None for id in ids] == [True, True, False, False, False]
    assert replay.forgotten == 2


def test_one_long_stream_keeps_its_newest_events():
    replay, session = Replay(RECORDING_COST + 3 * (EVENT_COST + 100)), Session()
    recording = replay.open(session, None)
    ids = [replay.add(recording, b"x" * 100) for _ in range(10)]

    assert [id for id, _ in replay.find(session, ids[0])[1]] == ids[-3:]


def test_the_newest_event_is_kept_whatever_its_size():
    replay, session = Replay(1000), Session()
    recording = replay.open(session, None)
    first = replay.add(recording, b"small")
    last = replay.add(recording, b"x" * 10**6)

    assert [id for id, _ in replay.find(session, first)[1]] == [last]


def test_a_forgotten_stream_goes_on_without_being_kept():
    replay, session = Replay(RECORDING_COST + EVENT_COST + 10), Session()
    old = replay.open(session, None)
    replay.add(old, b"x")
    replay.add(replay.open(session, None), b"y")

    assert replay.find(session, replay.add(old, b"z")) is None
    replay.close(old)
    replay.drop(session)
    assert replay.size == 0


@settings(deadline=None)
@given(
    st.integers(0, 6000),
    st.lists(
        st.tuples(st.sampled_from(["open", "add", "add", "add", "drop", "close"]), st.integers(0, 5), st.integers(0, 1500)), max_size=60
    ),
)
def test_in_any_order_the_books_are_right_and_nothing_leaks(limit, script):
    replay, sessions = Replay(limit), [Session() for _ in range(3)]
    recordings, said = [], []
    for what, pick, size in script:
        session = sessions[pick % 3]
        if what == "open":
            recordings.append(replay.open(session, None))
        elif what == "drop":
            replay.drop(session)
        elif recordings and what == "close":
            replay.close(recordings[pick % len(recordings)])
        elif recordings:
            recording = recordings[pick % len(recordings)]
            said.append((recording, replay.add(recording, b"%d:" % len(said) + b"x" * size), len(said)))

        kept = list(replay._recordings.values())
        assert replay.size == sum(recording.size for recording in kept)
        assert sum(len(session.recordings) for session in sessions) == len(kept)
        newest = max((len(message) for recording in kept for _, message in recording.events), default=0)
        assert replay.size <= max(limit, RECORDING_COST + EVENT_COST + newest)
        for recording, id, number in said:
            for session in sessions:
                if found := replay.find(session, id):
                    assert recording.session is session
                    later = {b"%d" % n for r, _, n in said if r is recording and n > number}
                    assert {message.partition(b":")[0] for _, message in found[1]} <= later
