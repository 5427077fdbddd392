"""Streams that break: nothing is lost that was said on one, and nobody else hears it."""

import pytest
from support import Http, eventually, text
from wire import call, message


def slow_progress(steps=3, pause=0.15, id=1) -> dict:
    return message("tools/call", {"name": "progress", "arguments": {"steps": steps, "pause": pause}, "_meta": {"progressToken": "p"}}, id)


@pytest.fixture
def client(echo, connect) -> Http:
    return connect(Http, echo.url, listen=False)


def test_a_stream_lost_in_mid_call_is_resumed_and_the_child_works_on(client):
    """Edge case 23."""
    with client.post_stream(slow_progress()) as stream:
        first = stream.next()
        assert first.id and first.data == ""
        seen = stream.next()
    with client.get_stream(last_event_id=seen.id) as resumed:
        rest = list(resumed.messages())

    assert [m["params"]["progress"] for m in rest if "method" in m] == [2, 3]
    assert [text(m) for m in rest if "id" in m] == ["3 steps"]


def test_an_answer_that_nobody_heard_is_delivered_later_as_often_as_asked_for(client):
    """Edge case 23: the whole stream is said again after its first event."""
    with client.post_stream(slow_progress(2, 0.02)) as stream:
        start = stream.next().id
        stream.close()
    with client.get_stream(last_event_id=start) as resumed:
        first = list(resumed.messages())
    with client.get_stream(last_event_id=start) as resumed:
        again = list(resumed.messages())

    assert text(first[-1]) == "2 steps"
    assert len(first) == 3
    assert again == first


def test_two_who_resume_at_once_leave_one_stream_the_newer(client):
    with client.post_stream(slow_progress(3, 0.2)) as stream:
        start = stream.next().id
        with client.get_stream(last_event_id=start) as older:
            older.next()
            with client.get_stream(last_event_id=start) as newer:
                answer = list(newer.messages())[-1]
            while older.next() is not None:
                pass

    assert text(answer) == "3 steps"


def test_an_event_id_of_another_session_gives_nothing_of_it(client, connect, echo):
    """Edge case 25."""
    with client.post_stream(slow_progress(2, 0.02)) as stream:
        start = stream.next().id
        list(stream.messages())
    thief = connect(Http, echo.url, listen=False)
    with thief.get_stream(last_event_id=start) as stolen:
        assert stolen.status == 200
        client.call("change")
        assert stolen.next_message()["method"] == "notifications/tools/list_changed"


@pytest.mark.parametrize("end", ["", "-", "-x", "-1-1", "-99999999", "-" + "9" * 5000, "--1", "-\u00b2", "-1e3"])
def test_an_event_id_that_is_garbage_gives_an_empty_stream(client, echo, end):
    with client.post_stream(slow_progress(1, 0)) as stream:
        name = stream.next().id.rpartition("-")[0]
        list(stream.messages())
    with client.get_stream(headers={"last-event-id": (name + end).encode("latin-1")}) as resumed:
        assert resumed.status == 200
    assert not echo.logged("bug")


@pytest.mark.parametrize("version, primed", [("2025-03-26", False), ("2025-06-18", False), ("2025-11-25", True)])
def test_only_the_newest_revision_gets_an_empty_first_event(echo, connect, version, primed):
    """Edge case 26: older parsers choke on it."""
    client = connect(Http, echo.url, version=version, listen=False)
    with client.post_stream(slow_progress(1, 0)) as stream:
        first = stream.next()

    assert (first.data == "") is primed
    assert first.id


def test_what_was_missed_on_the_get_stream_is_said_on_the_next(echo, connect):
    client = connect(Http, echo.url, listen=False)
    with client.get_stream() as stream:
        eventually(lambda: stream.status == 200)
        client.call("change")
        seen = stream.next()
        client.call("change")
        stream.next()
    with client.get_stream(last_event_id=seen.id) as resumed:
        assert resumed.next_message()["method"] == "notifications/tools/list_changed"


def test_event_ids_are_unique_in_a_session(client):
    ids = []
    for _ in range(3):
        with client.post_stream(slow_progress(2, 0)) as stream:
            while event := stream.next():
                ids.append(event.id)

    assert len(set(ids)) == len(ids) > 6


def test_a_lost_stream_with_more_than_the_buffer_can_be_resumed(around, connect):
    """The replay is not what --stream-buffer is for: its reader has had no time to be slow."""
    bridge = around("echo", options=("--stream-buffer", "20k"))
    client = connect(Http, bridge.url, listen=False)
    with client.post_stream(message("tools/call", {"name": "log", "arguments": {"count": 20, "message": "x" * 5000}}, 1)) as stream:
        start = stream.next().id
        stream.close()
    eventually(lambda: bridge.metrics().value("mcp_bridge_requests_in_flight") == 0)
    with client.get_stream(last_event_id=start) as resumed:
        assert text(list(resumed.messages())[-1]) == "logged 20"


def test_what_is_kept_for_lost_streams_is_bounded(start, connect):
    bridge = start("echo", options=["--replay-buffer", "100k"])
    client = connect(Http, bridge.url, listen=False)
    starts = []
    for _ in range(5):
        with client.post_stream(message("tools/call", {"name": "log", "arguments": {"count": 1, "message": "y" * 50_000}}, 1)) as stream:
            starts.append(stream.next().id)
            list(stream.messages())
    with client.get_stream(last_event_id=starts[-1]) as resumed:
        assert text(list(resumed.messages())[-1]) == "logged 1"

    assert bridge.metrics().value("mcp_bridge_drops_total", reason="replay_buffer") > 0


def test_nothing_of_a_deleted_session_can_be_heard_again(echo):
    client = Http(echo.url, listen=False)
    client.open()
    with client.post_stream(slow_progress(1, 0)) as stream:
        start = stream.next().id
    client.delete()
    with client.get_stream(last_event_id=start) as resumed:
        assert resumed.status == 404
    client.close(delete=False)


def test_a_large_message_right_before_the_answer_reaches_a_quick_reader(start, connect):
    """More than --stream-buffer at once is not yet a slow reader."""
    client = connect(Http, start("flood").url, listen=False)
    with client.post_stream(call("flood", count=1, bytes=5_000_000)) as stream:
        notice, answer = stream.messages()

    assert len(notice["params"]["data"]) == 5_000_000
    assert text(answer) == "sent 1"


def test_a_stream_without_anything_before_the_answer_is_no_stream(client):
    assert client.post(call("echo", message="x")).headers["content-type"] == "application/json"
