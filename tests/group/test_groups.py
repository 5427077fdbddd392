"""Several MCPs at one address: what clients of each transport and era find there."""

import json

import pytest
from configs import apart, config, entry, names
from support import SUBSCRIPTION, Bridge, Http, Modern, Sse, Ws, asks, eventually, text, zoo


@pytest.fixture(scope="module", params=["one bridge has them all", "each has its own"])
def bridge(request, tmp_path_factory):
    folder, groups = tmp_path_factory.mktemp("groups"), {"short": {"mcps": ["one", "notify"], "prefix": "when-needed"}}
    commands = {"one": zoo("echo"), "notify": zoo("notify"), "asks": zoo("asks"), "new": zoo("modern")}
    if request.param == "each has its own":
        with apart(folder, groups, **commands) as bridge:
            yield bridge
        return
    with Bridge(None, "--config", config(folder, groups, **{name: entry(command) for name, command in commands.items()})) as bridge:
        yield bridge


@pytest.fixture(params=[Http, Sse, Ws, Modern])
def client(request, bridge):
    with request.param(f"{bridge.url}/all") as client:
        yield client


def test_one_address_lists_and_calls_the_tools_of_all_its_members(client):
    tools = names(client.request("tools/list"))

    assert {"one-echo", "notify-notify", "asks-sample", "new-echo"} <= set(tools)
    assert text(client.call("one-echo", message="hi")) == "hi"
    assert text(client.call("new-echo", message="ho")) == "ho"


def test_names_are_those_of_the_member_whose_prefix_they_have(client):
    unknown = [client.call("echo", message="hi"), client.call("nobody-echo"), client.call("one"), client.call("one-")]

    assert [answer["error"]["code"] for answer in unknown] == [-32602] * 4
    assert "one-greet" in names(client.request("prompts/list"), "prompts")
    assert "Greet Ada" in str(client.request("prompts/get", {"name": "one-greet", "arguments": {"who": "Ada"}}))


def test_what_members_say_of_themselves_is_said_together(client):
    said = client.initialized

    assert {"tools", "resources", "prompts", "completions", "logging"} <= set(said["capabilities"])
    assert said["capabilities"]["resources"]["subscribe"] is True
    assert said["capabilities"]["tools"]["listChanged"] is True


def test_what_several_members_list_by_one_uri_is_had_of_each(client):
    uris = [item["uri"] for item in client.request("resources/list")["result"]["resources"]]
    ambiguous = client.request("resources/read", {"uri": "test://one"})

    assert "mcp-bridge://one/test://one" in uris and "test://one" not in uris
    assert "first" in str(client.request("resources/read", {"uri": "mcp-bridge://new/test://one"})["result"])
    assert "mcp-bridge://MCP/test://one" in ambiguous["error"]["message"]


def test_completion_goes_to_the_member_that_it_is_of(client):
    argument = {"name": "who", "value": "al"}
    for ref in ({"type": "ref/prompt", "name": "one-greet"}, {"type": "ref/resource", "uri": "mcp-bridge://new/test://{id}"}):
        answer = client.request("completion/complete", {"ref": ref, "argument": argument})

        assert answer["result"]["completion"]["values"] == ["alice", "alan"]


@pytest.mark.parametrize("tool", ["one-progress", "new-progress"])
def test_progress_comes_with_the_clients_own_token(client, tool):
    params = {"name": tool, "arguments": {"steps": 3}, "_meta": {"progressToken": "mine"}}
    answer = client.request("tools/call", params)
    told = [client.wait_for("notifications/progress")["params"] for _ in range(3)]

    assert text(answer) == "3 steps"
    assert [(notice["progressToken"], notice["progress"]) for notice in told] == [("mine", 1), ("mine", 2), ("mine", 3)]


@pytest.mark.parametrize("transport", [Http, Sse, Ws])
class TestASession:
    @pytest.fixture
    def client(self, transport, bridge):
        with transport(f"{bridge.url}/all") as client:
            yield client

    def test_cancels_at_the_member_that_works(self, client):
        future = client.begin("tools/call", {"name": "one-slow", "arguments": {"seconds": 20}}, id="long")
        assert text(client.call("asks-echo", message="meanwhile")) == "meanwhile"
        client.notify("notifications/cancelled", {"requestId": "long"})
        eventually(lambda: "long" in text(client.call("one-received")) or "cancelled" in text(client.call("one-received")))

        assert isinstance(client, Sse | Ws) or "error" in future.result(10)

    def test_hears_log_messages_as_it_wants_them(self, client):
        assert client.request("logging/setLevel", {"level": "warning"})["result"] == {}
        assert client.request("logging/setLevel", {"level": "loud"})["error"]["code"] == -32602
        client.call("one-log", level="info", message="too quiet")
        client.call("one-log", level="error", message="loud")

        assert client.wait_for("notifications/message")["params"]["data"] == "loud"
        assert client.messages() == []

    def test_subscribes_to_resources_of_a_member(self, client):
        uri = "mcp-bridge://one/test://one"
        assert client.request("resources/subscribe", {"uri": uri})["result"] == {}
        assert text(client.call("notify-touch", uri="test://one")) == "nobody subscribed"
        assert text(client.call("one-touch", uri="test://one")) == "told"

        assert client.wait_for("notifications/resources/updated")["params"]["uri"] == uri
        client.request("resources/unsubscribe", {"uri": uri})
        assert text(client.call("one-touch", uri="test://one")) == "nobody subscribed"

    def test_is_told_when_a_member_changes_its_list(self, client):
        client.request("tools/list")
        new = text(client.call("one-change"))
        client.wait_for("notifications/tools/list_changed")

        assert f"one-{new}" in names(client.request("tools/list"))


CAN_BE_ASKED = {"sampling": {}, "elicitation": {}, "roots": {"listChanged": True}}


@pytest.mark.parametrize("transport, are_apart", [(Http, False), (Sse, False), (Ws, False), (Http, True)])
def test_members_ask_the_client_at_the_same_time_and_get_their_own_answers(transport, are_apart, tmp_path):
    """Each child counts its asks from 0, and what the client sees of them must not be one id for two."""

    def on_ask(method, params):
        return (
            {"roots": [{"uri": "file:///mine"}]}
            if method == "roots/list"
            else {"model": "m", "role": "assistant", "content": {"type": "text", "text": str(params)}}
        )

    mcps, roots = dict.fromkeys("abc", zoo("asks")), ("--client-roots", "relay")
    together = Bridge(None, "--config", config(tmp_path, **{name: entry(command) for name, command in mcps.items()}), *roots)
    with (
        apart(tmp_path, None, *roots, of_each=roots, **mcps) if are_apart else together as bridge,
        transport(f"{bridge.url}/all", capabilities=CAN_BE_ASKED, on_ask=on_ask) as client,
    ):
        calls = [client.begin_call(f"{name}-{tool}") for _ in range(5) for name in mcps for tool in ("sample", "roots")]
        answers = [json.loads(text(call.result(20))) for call in calls]

        assert all("result" in answer for answer in answers)
        assert ["roots" in answer["result"] for answer in answers] == [False, True] * 15
        assert len({ask["id"] for ask in client.asked}) == 30


def test_a_modern_client_is_asked_by_a_member_of_the_handshake_era(bridge):
    with Modern(f"{bridge.url}/all", capabilities=CAN_BE_ASKED) as client:
        asked = client.call("asks-elicit")
        ((key, request),) = asks(asked).items()
        answer = client.call_again("asks-elicit", asked, **{key: {"action": "accept", "content": {"name": "Ada"}}})

        assert request["method"] == "elicitation/create"
        assert json.loads(text(answer))["result"]["content"] == {"name": "Ada"}


def test_a_modern_client_listens_to_all_members_with_one_listen(bridge):
    with Modern(f"{bridge.url}/all") as client:
        client.request("tools/list")
        uris = ["mcp-bridge://one/test://one", "mcp-bridge://new/test://two"]
        with client.listen_to(toolsListChanged=True, resourceSubscriptions=uris) as stream:
            acknowledged = json.loads(stream.next().data)
            client.call("one-touch", uri="test://one")
            client.call("new-touch", uri="test://two")
            told = [json.loads(stream.next().data)["params"] for _ in range(2)]

        assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
        assert sorted(acknowledged["params"]["notifications"]["resourceSubscriptions"]) == sorted(uris)
        assert [notice["uri"] for notice in told] == uris
        assert {notice["_meta"][SUBSCRIPTION] for notice in told} == {"listen"}


def test_names_that_one_member_has_stand_alone_where_the_group_says_so(bridge):
    for transport in (Http, Modern):
        with transport(f"{bridge.url}/short") as client:
            listed = names(client.request("tools/list"))

            assert "log_later" in listed and "notify-log_later" not in listed
            assert "one-echo" in listed and "notify-echo" in listed and "echo" not in listed
            assert text(client.call("log_later")) == text(client.call("notify-log_later")) == "ok"
            assert "one-echo or notify-echo" in client.call("echo", message="whose?")["error"]["message"]
            assert client.call("sample")["error"]["code"] == -32602


def test_a_name_without_prefix_can_be_called_by_who_has_listed_nothing(bridge):
    with Http(f"{bridge.url}/short") as client:
        assert text(client.call("log_later")) == "ok"


def test_a_task_is_asked_for_where_it_was_begun(bridge, tmp_path):
    """Both servers count their tasks from 1."""
    mcps = {
        "a": entry(zoo("tasks"), isolation="session"),
        "b": entry(zoo("tasks"), isolation="session"),
        "liar": entry(zoo("notify"), isolation="session"),
    }
    with Bridge(None, "--config", config(tmp_path, **mcps)) as bridge, Http(f"{bridge.url}/all") as client:
        begun = client.request("tools/call", {"name": "b-work", "arguments": {"seconds": 0.1}, "task": {"ttl": 60_000}})["result"]["task"]
        id = {"taskId": begun["taskId"]}

        eventually(lambda: client.request("tasks/get", id)["result"]["status"] == "completed")
        assert "completed" in text(client.request("tasks/result", id))
        assert [task["taskId"] for task in client.request("tasks/list")["result"]["tasks"]] == [begun["taskId"]]
        assert client.request("tasks/get", {"taskId": "task-9"})["error"]["code"] == -32602
        client.wait_for("notifications/tasks/status")
        for seconds in (0, 0.05):  # in its call, and after it
            client.call("liar-notify", method="notifications/tasks/status", params=begun | {"status": "failed"}, seconds=seconds)
        assert not [message for message in client.messages() if message["method"] == "notifications/tasks/status"]


def test_a_task_of_the_modern_era_is_asked_for_where_it_was_begun(tmp_path):
    extension = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    with (
        Bridge(None, "--config", config(tmp_path, a=entry(zoo("modern_tasks")), b=entry(zoo("modern")))) as bridge,
        Modern(f"{bridge.url}/all", capabilities=extension) as client,
    ):
        id = {"taskId": client.call("a-work")["result"]["taskId"]}

        eventually(lambda: client.request("tasks/get", id)["result"]["status"] == "completed")
        assert client.request("tasks/get", {"taskId": "task-9"})["error"]["code"] == -32602
