"""Callers as clients of every transport and both eras meet them: what one may not do, no way in lets it do."""

import hashlib
import json

import pytest
from support import Bridge, Http, Modern, Sse, Ws, eventually, zoo

TOKENS = {name: f"{name}-0123456789-0123456789" for name in ("all", "some", "reader", "nobody", "admin", "denied")}
FILE = {
    "callers": {
        name: {"token_sha256": hashlib.sha256(TOKENS[name].encode()).hexdigest(), **rights}
        for name, rights in {
            "all": {"may": {"echo/*": "execute"}},
            "some": {"may": {"echo/echo": "execute", "echo/tool:*": "read", "*/p*": "deny"}},
            "reader": {"default": "read"},
            "nobody": {"may": {"other/*": "execute"}},
            "admin": {"may": {"*/*": "admin"}},
            "denied": {"default": "execute", "may": {"*/*": "deny"}},
        }.items()
    }
}
WAYS = {"http": (Http, {}), "sse": (Sse, {}), "ws": (Ws, {}), "modern": (Modern, {})}
LEVELS = {  # of echo, add, pid
    "all": ("execute", "execute", "execute"),
    "some": ("execute", "read", "deny"),
    "reader": ("read", "read", "read"),
    "admin": ("execute", "execute", "execute"),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("callers") / "callers.json"
    path.write_text(json.dumps(FILE))
    return path


@pytest.fixture(scope="module", params=["strict", "litellm"])
def bridge(request, file):
    with Bridge(zoo("echo"), "--callers", file, "--profile", request.param, "--name", "echo") as running:
        yield running


def headers(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {TOKENS[name]}"}


def names(client) -> list[str]:
    return [tool["name"] for tool in client.request("tools/list")["result"]["tools"]]


def outcome(answer: dict) -> str:
    """In strict words: what became of a call."""
    result = answer.get("result")
    said = json.dumps(answer)
    if "Unknown tool" in said:
        return "deny"
    if "calls need execute" in said:
        return "read"
    assert result is not None and not result.get("isError"), answer
    return "execute"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("caller", LEVELS)
def test_a_caller_may_what_the_rules_say_on_every_way_in(bridge, connect, caller, way):
    kind, options = WAYS[way]
    client = connect(kind, bridge.url, headers=headers(caller), **options)
    expected = dict(zip(("echo", "add", "pid"), LEVELS[caller], strict=True))

    assert [name for name in names(client) if name in expected] == [name for name in ("echo", "add", "pid") if expected[name] != "deny"]
    for name, level in expected.items():
        arguments = {"message": "hi"} if name == "echo" else {"a": 1, "b": 2} if name == "add" else {}
        assert outcome(client.call(name, **arguments)) == level


@pytest.mark.parametrize("name", ["nobody", "denied"])
def test_an_mcp_that_is_hidden_is_as_one_that_is_not_there(bridge, name):
    for path in ("/mcp", "/sse", "/messages?session_id=x", "/ws"):
        hidden = bridge.http.get(path, headers=headers(name) | {"accept": "text/event-stream"})
        missing = bridge.http.get("/nothing" + path, headers=headers(name) | {"accept": "text/event-stream"})

        assert hidden.status_code == missing.status_code == 404
        assert hidden.text.replace(path.partition("?")[0], "") == missing.text.replace("/nothing" + path.partition("?")[0], "")
        assert "/mcp" not in hidden.json()["error"].partition("the MCP is at")[2]
    assert bridge.http.post("/mcp", headers=headers(name), json=INITIALIZE).status_code == 404
    assert bridge.http.get("/status.json", headers=headers(name)).json()["mcps"] == {}


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


def test_a_batch_is_looked_at_message_by_message(bridge, connect):
    client = connect(Http, bridge.url, headers=headers("some"), version="2025-03-26")
    calls = [
        {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
        for number, (name, arguments) in enumerate((("echo", {"message": "hi"}), ("add", {"a": 1, "b": 2}), ("pid", {})))
    ]
    lists = {"jsonrpc": "2.0", "id": 9, "method": "tools/list"}

    answers = {answer["id"]: answer for answer in client.post([*calls, lists]).json()}

    assert [outcome(answers[number]) for number in range(3)] == ["execute", "read", "deny"]
    assert "pid" not in [tool["name"] for tool in answers[9]["result"]["tools"]]


SMUGGLED = [
    '{"name": "p\\u0069d", "arguments": {}}',
    '{"name": "echo", "name": "pid", "arguments": {}}',
    '{"name": "pid", "Name": "echo", "arguments": {}}',
    '{"name": "pid", "arguments": {"name": "echo"}}',
    '{"\\u006eame": "pid", "arguments": {}}',
    '{"arguments": {}, "_meta": {"name": "echo"}, "name": "pid"}',
    '{"name": ["pid"], "arguments": {}}',
    '{"NAME": "pid", "arguments": {}}',
]


@pytest.mark.parametrize("params", SMUGGLED)
def test_no_spelling_smuggles_a_call_past_the_rules(bridge, connect, params):
    client = connect(Http, bridge.url, headers=headers("some"))

    answer = client.post('{"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": ' + params + "}").json()

    assert "error" in answer or answer["result"]["isError"]
    assert "Unknown tool" in json.dumps(answer) or "calls need execute" in json.dumps(answer)


@pytest.mark.parametrize("way", WAYS)
def test_methods_that_mcp_has_not_need_a_rule(bridge, connect, way):
    kind, options = WAYS[way]
    for caller in ("some", "reader"):
        client = connect(kind, bridge.url, headers=headers(caller), **options)
        for method in ("vendor/run", "Tools/Call", "tools/call/", "tools/x"):
            assert client.request(method, {"name": "pid"})["error"]["message"] == "Method not found"


SOME = {"token_sha256": FILE["callers"]["some"]["token_sha256"]}
RULES = {"echo/tool:echo": "execute", "echo/prompt:greet*": "read", "echo/resource:*": "read", "echo/resource:*two*": "deny"}


def write(path, **callers) -> None:
    path.write_text(json.dumps({"callers": callers}))


@pytest.fixture
def careful(start, tmp_path):
    """A bridge whose caller `some` may read what RULES say, and whose file may be changed."""
    write(tmp_path / "callers.json", some=SOME | {"may": RULES}, admin=FILE["callers"]["admin"])
    return start("echo", "--pages", 3, options=["--callers", tmp_path / "callers.json", "--name", "echo"])


@pytest.mark.parametrize("way", WAYS)
def test_resources_prompts_and_completions_are_held_to_the_rules(careful, connect, way):
    kind, options = WAYS[way]
    client = connect(kind, careful.url, headers=headers("some"), **options)

    def said(method: str, **params) -> str:
        answer = client.request(method, params)
        return answer["error"]["message"] if "error" in answer else "ok"

    listed = client.request("resources/list")["result"]["resources"]
    assert [one["uri"] for one in listed] == ["test://one", "file:///notes.txt"]
    assert said("resources/read", uri="test://one") == "ok"
    assert [said("resources/read", uri=uri) for uri in ("test://two", "test://t%77o", "TEST://two")] == [
        f"Resource not found: {uri}" for uri in ("test://two", "test://t%77o", "TEST://two")
    ]
    assert said("prompts/get", name="greet") == "ok"
    assert said("prompts/get", name="hidden") == "Unknown prompt: hidden"
    argument = {"name": "who", "value": "al"}
    assert said("completion/complete", ref={"type": "ref/prompt", "name": "greet"}, argument=argument) == "ok"
    for ref in (
        {"type": "ref/prompt", "name": "hidden"},
        {"type": "ref/resource", "uri": "test://two"},
        {"type": "ref/prompt", "name": "greet", "Name": "hidden"},
        {"type": "ref/tool", "name": "greet"},
        ["greet"],
    ):
        assert said("completion/complete", ref=ref, argument=argument) != "ok"
    if kind is not Modern:
        assert said("resources/subscribe", uri="test://two") == "Resource not found: test://two"
        assert said("resources/subscribe", uri="test://one") == "ok"


@pytest.mark.parametrize("way", WAYS)
def test_each_page_of_a_list_has_what_is_left_of_it(careful, connect, way):
    kind, options = WAYS[way]
    client = connect(kind, careful.url, headers=headers("some"), **options)
    cursors, found = [None], []
    while cursors[-1] is not None or len(cursors) == 1:
        result = client.request("tools/list", {"cursor": cursors[-1]} if cursors[-1] else {})["result"]
        found += [tool["name"] for tool in result["tools"]]
        cursors.append(result.get("nextCursor"))

    assert found == ["echo"]
    assert len(cursors) == 4


def test_a_modern_client_listens_for_no_resource_that_is_hidden(careful, connect):
    client = connect(Modern, careful.url, headers=headers("some"))
    with client.listen_to(resourceSubscriptions=["test://one", "test://two"], ResourceSubscriptions=["test://two"]) as stream:
        acknowledged = next(stream.messages())

    assert acknowledged["params"]["notifications"] == {"resourceSubscriptions": ["test://one"]}


def test_a_session_of_one_caller_is_of_no_use_to_another(careful, connect):
    client = connect(Http, careful.url, headers=headers("some"))

    assert client.post(call_of("echo"), {"authorization": f"Bearer {TOKENS['admin']}"}).status_code == 404
    assert outcome(client.post(call_of("echo")).json()) == "execute"


def call_of(name: str) -> dict:
    return {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": name, "arguments": {"message": "hi"}}}


def test_rules_change_for_open_sessions_with_a_reload(careful, connect, tmp_path):
    client = connect(Http, careful.url, headers=headers("some"))
    assert outcome(client.call("echo", message="hi")) == "execute"
    write(tmp_path / "callers.json", some=SOME | {"may": {"echo/*": "read"}}, admin=FILE["callers"]["admin"])

    assert careful.http.post("/-/reload", headers=headers("some")).status_code == 403
    assert careful.http.post("/-/reload", headers=headers("admin")).status_code == 200
    assert outcome(client.post(call_of("echo")).json()) == "read"

    write(tmp_path / "callers.json", some=SOME | {"may": {"echo/*": "what"}})
    refused = careful.http.post("/-/reload", headers=headers("admin"))
    assert refused.status_code == 400 and "callers.some.may.echo/*: expected one of" in refused.json()["error"]
    assert outcome(client.post(call_of("echo")).json()) == "read"

    write(tmp_path / "callers.json", admin=FILE["callers"]["admin"])
    assert careful.http.post("/-/reload", headers=headers("admin")).status_code == 200
    assert client.post(call_of("echo")).status_code == 401


def test_what_a_caller_has_open_ends_with_its_rights_though_its_mcp_is_replaced_too(connect, tmp_path):
    def configure(*arguments: str, **callers) -> None:
        command, *words = zoo("echo", *arguments)
        (tmp_path / "mcps.json").write_text(json.dumps({"mcpServers": {"echo": {"command": command, "args": words}}}))
        write(tmp_path / "callers.json", admin=FILE["callers"]["admin"], **callers)

    configure(some=SOME | {"default": "execute"})
    with Bridge(None, "--config", tmp_path / "mcps.json", "--callers", tmp_path / "callers.json", "--drain-timeout", "60") as bridge:
        open, other = (connect(Ws, f"{bridge.url}/echo", headers=headers(name)) for name in ("some", "admin"))
        other.begin_call("slow", seconds=60)  # for which the replaced service stays
        eventually(lambda: bridge.http.get("/status.json", headers=headers("admin")).json()["mcps"]["echo"]["in_flight"] == 1)
        configure("--pages", "2", some=SOME | {"default": "read"})
        assert bridge.http.post("/-/reload", headers=headers("admin")).json()["changed"] == ["echo"]

        eventually(lambda: open.closed)
        assert other.closed is None
        other.close()


def test_what_a_sleeping_child_is_known_to_list_is_cut_for_each_caller(start, connect, tmp_path):
    write(tmp_path / "callers.json", some=SOME | {"may": RULES}, all=FILE["callers"]["all"])
    bridge = start("echo", options=["--callers", tmp_path / "callers.json", "--name", "echo", "--idle-stop", "0.3"])
    full, some = (connect(Http, bridge.url, headers=headers(name), listen=False) for name in ("all", "some"))
    every = names(full)
    eventually(lambda: bridge.http.get("/status.json", headers=headers("all")).json()["mcps"]["echo"]["state"] == "asleep")

    assert names(some) == ["echo"]
    assert names(full) == every and len(every) > 5


def test_pages_show_a_caller_what_it_may_know(bridge):
    status, metrics = (
        {name: bridge.http.get(path, headers=headers(name)) for name in ("admin", "some", "reader")}
        for path in ("/status.json", "/metrics")
    )

    assert "pid" in status["admin"].json()["mcps"]["echo"] and "sessions" in status["admin"].json()["mcps"]["echo"]
    assert set(status["some"].json()["mcps"]["echo"]) == {"status", "state", "mcp", "tools"}
    assert "pid" not in status["some"].json()["mcps"]["echo"]["tools"]
    assert "pid" in status["reader"].json()["mcps"]["echo"]["tools"]
    assert [metrics[name].status_code for name in metrics] == [200, 403, 403]


def test_an_mcp_that_is_denied_is_hidden_from_an_admin_on_the_pages_too(start, tmp_path):
    write(tmp_path / "callers.json", admin=FILE["callers"]["admin"], some=SOME | {"may": {"*/*": "admin", "echo/*": "deny"}})
    bridge = start("echo", options=["--callers", tmp_path / "callers.json", "--name", "echo"])

    shown = {name: bridge.http.get("/status.json", headers=headers(name)).json()["mcps"] for name in ("admin", "some")}
    assert set(shown["admin"]) == {"echo"} and shown["some"] == {}
    assert bridge.http.get("/log.json", headers=headers("some")).json() == {"error": "no MCP named ''"}


def test_wrong_keys_are_counted_and_slowed_and_right_ones_are_not(careful):
    wrong = [careful.http.post("/mcp", headers={"authorization": f"Bearer wrong-{number}"}, json=INITIALIZE) for number in range(250)]

    assert {answer.status_code for answer in wrong} == {401, 429}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in wrong if answer.status_code == 429)
    assert careful.http.post("/mcp", headers=headers("some"), json=INITIALIZE).status_code == 200
    metrics = careful.http.get("/metrics", headers=headers("admin")).text
    assert 'mcp_bridge_gate_refusals_total{reason="attempt"} 250.0' in metrics
