"""Tasks: 2026-07-28 has them as an extension, 2025-11-25 as a part of its own. Each passes within its era; they do not cross."""

import json
import os
import signal
import time

import pytest
from support import Bridge, Http, Modern, eventually, text, zoo

EXTENSION = "io.modelcontextprotocol/tasks"
DECLARED = {"extensions": {EXTENSION: {}}}


@pytest.fixture
def client(around, connect) -> Modern:
    return connect(Modern, around("modern_tasks").url, capabilities=DECLARED)


# 2026-07-28


def test_a_child_may_offer_the_extension(client):
    assert client.initialized["capabilities"]["extensions"] == {EXTENSION: {}}


def test_a_call_may_be_answered_with_a_task(client):
    begun = client.call("work", seconds=0)["result"]
    id = begun["taskId"]
    done = eventually(lambda: (got := client.request("tasks/get", {"taskId": id})["result"])["status"] == "completed" and got)

    assert begun["resultType"] == "task"
    assert text({"result": done["result"]}) == "done in a task"


def test_a_task_may_ask_and_be_told(client):
    id = client.call("question")["result"]["taskId"]
    asked = client.request("tasks/get", {"taskId": id})["result"]
    client.request("tasks/update", {"taskId": id, "inputResponses": {"go": {"action": "accept"}}})

    assert asked["status"] == "input_required" and "go" in asked["inputRequests"]
    assert client.request("tasks/get", {"taskId": id})["result"]["status"] == "completed"


def test_a_task_is_cancelled_by_its_id(client):
    id = client.call("only_task")["result"]["taskId"]
    client.request("tasks/cancel", {"taskId": id})

    assert client.request("tasks/get", {"taskId": id})["result"]["status"] == "cancelled"


def test_the_id_of_a_task_is_its_name_in_the_headers(client):
    id = client.call("only_task")["result"]["taskId"]

    assert client.send("tasks/get", {"taskId": id}, headers={"mcp-name": "task-999"}).json()["error"]["code"] == -32020
    assert client.send("tasks/get", {"taskId": id}, headers={"mcp-name": None}).json()["error"]["code"] == -32020
    assert client.send("tasks/get", {"taskId": "task-999"}).status_code == 400


def test_who_declares_no_extension_gets_the_result_itself(around, connect):
    plain = connect(Modern, around("modern_tasks").url)

    assert text(plain.call("work")) == "done at once"
    assert plain.send("tools/call", {"name": "only_task", "arguments": {}}).json()["error"]["code"] == -32021


def test_news_of_tasks_come_by_listening(client):
    """An unknown wish is the child's to take."""
    id = client.call("only_task")["result"]["taskId"]
    with client.listen_to(taskIds=[id], toolsListChanged=True) as stream:
        assert stream.next_message()["method"].endswith("acknowledged")
        client.request("tasks/cancel", {"taskId": id})
        news = stream.next_message()

    assert (news["method"], news["params"]["taskId"]) == ("notifications/tasks", id)


@pytest.mark.parametrize("options", [("--idle-stop", 0.5), ("--recycle-calls", 2)])
def test_a_child_stays_while_it_works_at_a_task(start, connect, options):
    bridge = start("modern_tasks", options=options)
    client, other = connect(Modern, bridge.url, capabilities=DECLARED), connect(Modern, bridge.url)
    task = client.call("work", seconds=2)["result"]["taskId"]
    for _ in range(3):
        other.call("echo", message="hi")
    pids = bridge.children()
    time.sleep(1.2)  # nobody asks meanwhile
    done = eventually(lambda: (found := client.request("tasks/get", {"taskId": task})["result"])["status"] == "completed" and found)

    assert text({"result": done["result"]}) == "done in a task"
    for _ in range(3):
        other.call("echo", message="hi")
    eventually(lambda: bridge.children() != pids)


def test_a_task_that_died_with_its_child_keeps_nobody_awake(start, connect):
    bridge = start("modern_tasks", options=("--idle-stop", 0.5))
    client = connect(Modern, bridge.url, capabilities=DECLARED)
    client.call("work", seconds=60)
    os.kill(int(text(client.call("pid"))), signal.SIGKILL)

    eventually(lambda: bridge.logged("goes to sleep"))


def test_a_task_is_its_callers_alone(tmp_path):
    """Where callers are known: their ids are global to the child, and easy to guess."""
    (tmp_path / "tokens").write_text("alice a-secret-0123456789\nbob b-secret-0123456789\n")
    alice, bob = ({"authorization": f"Bearer {name}-secret-0123456789"} for name in "ab")
    with (
        Bridge(zoo("modern_tasks"), "--token-file", tmp_path / "tokens", headers=alice) as bridge,
        Modern(bridge.url, capabilities=DECLARED, headers=alice) as hers,
        Modern(bridge.url, capabilities=DECLARED, headers=bob) as his,
    ):
        id = hers.call("only_task")["result"]["taskId"]
        for method in ("tasks/get", "tasks/cancel", "tasks/update"):
            stolen = his.send(method, {"taskId": id, "inputResponses": {}})
            unknown = his.send(method, {"taskId": "task-999", "inputResponses": {}})
            told = stolen.json()["error"], unknown.json()["error"]

            assert (stolen.status_code, told[0]["code"]) == (400, -32602), method
            assert told[0]["code"] == told[1]["code"]
        assert hers.request("tasks/get", {"taskId": id})["result"]["status"] == "working"


# 2025-11-25


@pytest.fixture
def own(around, connect) -> Http:
    """A session with a child of its own: only there a task has an owner."""
    return connect(Http, around("tasks", options=("--isolation", "session")).url)


def test_tasks_of_the_handshake_era_pass_on_own_children(own):
    begun = own.request("tools/call", {"name": "must", "arguments": {"seconds": 0}, "task": {"ttl": 1000}})["result"]["task"]
    eventually(lambda: own.request("tasks/get", {"taskId": begun["taskId"]})["result"]["status"] == "completed")

    assert own.initialized["capabilities"]["tasks"]["cancel"] == {}
    assert "completed" in text(own.request("tasks/result", {"taskId": begun["taskId"]}))
    assert own.request("tasks/list")["result"]["tasks"]
    assert own.wait_for("notifications/tasks/status")["params"]["taskId"] == begun["taskId"]


def test_on_a_shared_child_they_are_not_offered(around, connect):
    client = connect(Http, around("tasks").url)

    assert "tasks" not in client.initialized["capabilities"]
    assert client.request("tasks/list")["error"]["code"] == -32601


# Across


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
def test_a_modern_client_finds_no_tasks_at_a_child_of_the_handshake_era(around, connect, method):
    client = connect(Modern, around("tasks").url, capabilities=DECLARED)
    response = client.send(method, {"taskId": "task-1"})

    assert (response.status_code, response.json()["error"]["code"]) == (404, -32601)


def test_a_tool_that_wants_a_task_says_so(around, connect):
    client = connect(Modern, around("tasks").url, capabilities=DECLARED)
    response = client.send("tools/call", {"name": "must", "arguments": {}})

    assert (response.status_code, response.json()["error"]["code"]) == (200, -32603)
    assert "task" in response.json()["error"]["message"]
    assert text(client.call("work")) == "done at once"


def test_a_client_of_the_handshake_era_gets_results_and_no_tasks_of_a_modern_child(around, connect, transport):
    client = connect(transport, around("modern_tasks").url, capabilities={"tasks": {"list": {}, "cancel": {}}})
    error = client.call("only_task")["error"]

    assert text(client.call("work")) == "done at once"
    assert error["code"] in (-32021, -32603) and "task" in json.dumps(error)
    assert client.request("tasks/get", {"taskId": "task-1"})["error"]["code"] == -32601
