"""Batches, which only 2025-03-26 has: split for the child, answered together."""

import json

import pytest
from support import Http, Sse, Ws, eventually, text
from wire import call, initialize, message

OLD = "2025-03-26"


@pytest.fixture
def client(echo, connect) -> Http:
    return connect(Http, echo.url, version=OLD, listen=False)


def test_requests_and_notifications_of_a_batch_are_answered_together(client):
    """Edge case 35."""
    batch = [
        call("echo", id="a", message="1"),
        message("notifications/x"),
        call("slow", id=2, seconds=0.05),
        message("no/such", id=3),
        message("ping", id=4),
    ]
    answers = {answer["id"]: answer for answer in client.post(batch).json()}

    assert answers.keys() == {"a", 2, 3, 4}
    assert text(answers["a"]) == "1"
    assert text(answers[2]) == "slept 0.05"
    assert answers[3]["error"]["code"] == -32601
    assert answers[4]["result"] == {}


def test_the_child_sees_the_parts_of_a_batch_as_single_lines(around, connect):
    """Edge case 35. `strict_go` would exit at a batch."""
    client = connect(Http, around("strict_go").url, version=OLD)
    pretty = json.dumps([call("echo", id=1, message="p\nq"), call("received", id=2)], indent=1)
    lines = json.loads(text(next(answer for answer in client.post(pretty).json() if answer["id"] == 2)))

    assert not [line for line in lines if line.startswith("[")]
    assert [line for line in lines if "p\\nq" in line]


@pytest.mark.parametrize("transport", [Sse, Ws])
def test_a_batch_on_a_connection_is_answered_as_one(echo, connect, transport):
    """Edge case 35."""
    client = connect(transport, echo.url, version=OLD)
    came = []
    client.receive = came.append  # an event's parts one by one, a frame as it is
    client.deliver([call("echo", id=10, message="a"), call("echo", id=11, message="b")])
    if transport is Sse:
        eventually(lambda: len(came) == 2)
        came = (json.loads(client.stream.seen[-1].data),)
    (answers,) = eventually(lambda: came)

    assert {answer["id"]: text(answer) for answer in answers} == {10: "a", 11: "b"}


def test_a_batch_whose_parts_report_progress_becomes_one_stream(client):
    batch = [
        message("tools/call", {"name": "progress", "arguments": {"steps": 2}, "_meta": {"progressToken": token}}, token) for token in (1, 2)
    ]
    with client.post_stream(batch) as stream:
        seen = list(stream.messages())

    assert sorted(m["params"]["progressToken"] for m in seen if "method" in m) == [1, 1, 2, 2]
    assert sorted(m["id"] for m in seen if "id" in m) == [1, 2]
    assert ["method" in m for m in seen] == [True] * 4 + [False] * 2


@pytest.mark.parametrize("batch", [[message("notifications/x"), message("notifications/y")], [{"jsonrpc": "2.0", "id": 1, "result": {}}]])
def test_a_batch_without_requests_is_accepted(client, batch):
    """Edge case 36."""
    response = client.post(batch)

    assert response.status_code == 202
    assert response.content == b""


@pytest.mark.parametrize(
    "batch",
    [
        [],
        [[]],
        [1],
        [None],
        [initialize()],
        [call("echo", message="x"), initialize()],
        [call("echo", id=1, message="x"), call("echo", id=1, message="y")],
        [message("ping", id=1), {"jsonrpc": "2.0"}],
        [call("echo", id=1.5, message="never")],
    ],
)
def test_a_bad_batch_is_refused_as_a_whole(client, batch):
    """Edge case 36."""
    response = client.post(batch)

    assert response.status_code == 400
    assert response.json()["error"]["code"] == -32600


def test_an_id_that_is_in_use_fails_its_part_alone(client, echo, under_way):
    with client.post_stream(call("slow", id=1, seconds=30)):
        under_way(echo, 1)
        by_id = {part["id"]: part for part in client.post([call("slow", id=1, seconds=0), call("echo", id=2, message="fine")]).json()}

        assert by_id[1]["error"]["code"] == -32600
        assert text(by_id[2]) == "fine"


@pytest.mark.parametrize("version", ["2024-11-05", "2025-06-18", "2025-11-25"])
def test_other_revisions_have_no_batches(echo, connect, transport, version):
    """Edge case 35."""
    client = connect(transport, echo.url, version=version)
    batch = [call("echo", id=1, message="x")]
    if transport is Ws:
        client.send(batch)
        error = eventually_error(client)
    else:
        response = client.post(batch)
        assert response.status_code == 400
        error = response.json()["error"]

    assert error["code"] == -32600
    assert version in error["message"]


def eventually_error(client) -> dict:
    with client.arrived:
        assert client.arrived.wait_for(lambda: [m for m in client.inbox if "error" in m], 5)
        return next(m for m in client.inbox if "error" in m)["error"]


def test_a_batch_has_an_end(client):
    response = client.post([message("notifications/x")] * 100_000)

    assert response.status_code == 400
    assert "at most 1000" in response.json()["error"]["message"]


def test_a_large_batch_is_answered_whole(client):
    batch = [call("echo", id=n, message=str(n)) for n in range(500)]
    answers = client.post(batch).json()

    assert {answer["id"]: text(answer) for answer in answers} == {n: str(n) for n in range(500)}
