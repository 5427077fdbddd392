"""Sessions with a group: what they outlive, and that nothing of one client or member comes to another."""

import asyncio
import json
import random
import signal
import threading
from types import SimpleNamespace

from configs import config, entry, names
from msgspec import Raw
from support import Bridge, Http, Modern, Sse, Ws, eventually, text, zoo

from bridge.group.seats import GroupSession, Seats
from bridge.group.service import Group
from bridge.protocol.errors import Refusal
from bridge.protocol.token import Opening

ADMIN = {"authorization": "Bearer admin-secret-0123456789"}
CAN_BE_ASKED = {"sampling": {}, "roots": {}}


def test_of_many_calls_with_the_same_ids_and_tokens_each_gets_its_own_answer_and_progress(tmp_path):
    chance = random.Random(16)
    mcps = {"a": entry(zoo("echo")), "a-b": entry(zoo("echo")), "b": entry(zoo("modern")), "c": entry(zoo("asks"))}
    with Bridge(None, "--config", config(tmp_path, **mcps)) as bridge:
        url = f"{bridge.url}/all"
        with Http(url) as one, Http(url) as two, Sse(url) as three, Ws(url) as four, Modern(url) as five:
            clients, calls = [one, two, three, four, five], []
            for number in range(60):
                for client in clients:
                    member, steps = chance.choice(list(mcps)), chance.randint(1, 3)
                    said = f"{number} of {clients.index(client)} to {member}"
                    echo = {"name": f"{member}-echo", "arguments": {"message": said}, "_meta": {"progressToken": number}}
                    work = {"name": f"{member}-progress", "arguments": {"steps": steps}, "_meta": {"progressToken": f"p{number}"}}
                    calls.append((said, client.begin("tools/call", echo, id=number)))
                    calls.append((f"{steps} steps", client.begin("tools/call", work, id=f"p{number}")))
            answers = [(said, text(call.result(30))) for said, call in calls]
            told = [[message for message in client.messages() if message["method"] == "notifications/progress"] for client in clients]

        assert [said for said, _ in answers] == [answer for _, answer in answers]
        for notices in told:
            by_token = {}
            for notice in notices:
                by_token.setdefault(notice["params"]["progressToken"], []).append(notice["params"]["progress"])
            assert all(steps == sorted(steps) and len(set(steps)) == len(steps) for steps in by_token.values())
            assert by_token.keys() == {f"p{number}" for number in range(60)}


def test_a_reload_of_one_member_is_noticed_by_nobody_who_calls_another(tmp_path):
    (tmp_path / "admins").write_text("admin-secret-0123456789\n")
    mcps = {"stays": entry(zoo("stateful")), "goes": entry(zoo("echo")), "old": entry(zoo("echo"))}
    file = config(tmp_path, {"dev": ["stays", "goes"]}, **mcps)
    with (
        Bridge(None, "--config", file, "--admin-token-file", tmp_path / "admins") as bridge,
        Http(f"{bridge.url}/all", capabilities=CAN_BE_ASKED) as client,
        Http(f"{bridge.url}/dev") as other,
    ):
        client.call("stays-remember", key="k", value="kept")
        before = text(client.call("goes-pid"))
        client.request("tools/list")
        slow = client.begin_call("goes-slow", seconds=2)
        eventually(lambda: bridge.status()["mcps"]["goes"]["in_flight"] == 1)
        del mcps["old"]
        config(tmp_path, {"few": ["goes"]}, **(mcps | {"goes": entry(zoo("echo"), max_in_flight=3), "new": entry(zoo("echo"))}))
        assert bridge.http.post("/-/reload", headers=ADMIN).status_code == 200
        client.wait_for("notifications/tools/list_changed")

        assert text(slow.result(20)) == "slept 2"
        assert json.loads(text(client.call("stays-recall", key="k")))["value"] == "kept"
        assert "is lost" in client.call("goes-pid")["error"]["message"]
        assert text(client.call("goes-pid")) != before
        assert {name.partition("-")[0] for name in names(client.request("tools/list"))} == {"stays", "goes", "new"}
        assert other.post({"jsonrpc": "2.0", "id": 1, "method": "ping"}).status_code == 404
        with Http(f"{bridge.url}/few") as few:
            assert text(few.call("goes-echo", message="hi")) == "hi"


def test_a_session_outlives_the_bridge(tmp_path):
    (tmp_path / "key").write_text("0123456789abcdef0123456789abcdef")
    options = ("--config", config(tmp_path, a=entry(zoo("echo"))), "--session-key-file", tmp_path / "key")
    with Bridge(None, *options) as bridge:
        client = Http(f"{bridge.url}/all", listen=False)
        client.__enter__()
        port = int(bridge.url.rpartition(":")[2])
        assert text(client.call("a-echo", message="before")) == "before"
    with Bridge(None, *options, port=port):
        eventually(lambda: text(client.call("a-echo", message="after")) == "after")
        client.close()


def test_litellm_without_a_session_lists_and_calls(tmp_path):
    with Bridge(
        None, "--config", config(tmp_path, a=entry(zoo("echo")), dead=entry(zoo("dies_at_start"))), "--profile", "litellm", ready=False
    ) as bridge:
        eventually(lambda: bridge.get("/a/readyz").status_code == 200)
        headers = {"accept": "application/json, text/event-stream"}

        def ask(method, params):
            message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            return bridge.http.post("/all/mcp", headers=headers, json=message).json()["result"]

        assert "a-echo" in [tool["name"] for tool in ask("tools/list", {})["tools"]]
        assert ask("tools/call", {"name": "a-echo", "arguments": {"message": "hi"}})["content"][0]["text"] == "hi"
        assert ask("tools/call", {"name": "nobody", "arguments": {}})["isError"] is True


def test_a_batch_goes_to_several_members_and_is_answered_together(tmp_path):
    mcps = {"a": entry(zoo("echo")), "b": entry(zoo("echo"))}
    with Bridge(None, "--config", config(tmp_path, **mcps)) as bridge, Http(f"{bridge.url}/all", version="2025-03-26") as client:
        calls = [
            {"jsonrpc": "2.0", "id": name, "method": "tools/call", "params": {"name": f"{name}-echo", "arguments": {"message": name}}}
            for name in ("a", "b", "nobody")
        ]
        answers = {answer["id"]: answer for answer in client.post(calls).json()}

        assert text(answers["a"]) == "a" and text(answers["b"]) == "b" and answers["nobody"]["error"]["code"] == -32602


def reloaded(bridge):
    assert bridge.http.post("/-/reload", headers=ADMIN).status_code == 200


def with_admin(folder):
    (folder / "admins").write_text("admin-secret-0123456789\n")
    return "--admin-token-file", folder / "admins"


def test_what_a_member_asked_is_answered_though_a_reload_has_replaced_it(tmp_path):
    asked, go = threading.Event(), threading.Event()

    def on_ask(method, params):
        asked.set()
        assert go.wait(20)
        return {"model": "m", "role": "assistant", "content": {"type": "text", "text": "yes"}}

    with (
        Bridge(None, "--config", config(tmp_path, a=entry(zoo("asks"))), *with_admin(tmp_path)) as bridge,
        Http(f"{bridge.url}/all", capabilities={"sampling": {}}, on_ask=on_ask) as client,
    ):
        call = client.begin_call("a-sample")
        assert asked.wait(20)
        config(tmp_path, a=entry(zoo("asks"), max_in_flight=3))
        reloaded(bridge)
        go.set()

        assert json.loads(text(call.result(20)))["result"]["content"]["text"] == "yes"


def test_a_modern_listen_ends_when_the_members_are_others(tmp_path):
    with (
        Bridge(None, "--config", config(tmp_path, a=entry(zoo("echo"))), *with_admin(tmp_path)) as bridge,
        Modern(f"{bridge.url}/all") as client,
        client.listen_to(toolsListChanged=True) as stream,
    ):
        said = [stream.next_message()]
        config(tmp_path, a=entry(zoo("echo"), max_in_flight=3))
        reloaded(bridge)
        while "result" not in said[-1]:
            said.append(stream.next_message(10))

        assert said[1]["method"] == "notifications/tools/list_changed"
        assert (said[-1]["id"], said[-1]["result"]["resultType"]) == ("listen", "complete")


def test_a_session_whose_call_is_under_way_is_not_forgotten_for_another_one(tmp_path):
    with (
        Bridge(None, "--config", config(tmp_path, a=entry(zoo("echo"))), "--max-sessions", "2") as bridge,
        Http(f"{bridge.url}/all", listen=False) as busy,
    ):
        slow = busy.begin_call("a-slow", seconds=3)
        eventually(lambda: bridge.status()["mcps"]["a"]["in_flight"] == 1)
        with Http(f"{bridge.url}/all", listen=False), Http(f"{bridge.url}/all", listen=False):
            assert text(slow.result(20)) == "slept 3"


def test_nothing_stays_with_members_of_a_request_without_a_session_that_is_refused(tmp_path):
    file = config(tmp_path, {"all": {"prefix": "when-needed"}}, a=entry(zoo("echo")))
    with Bridge(None, "--config", file, "--profile", "litellm") as bridge:
        headers = {"accept": "application/json, text/event-stream"}
        for _ in range(3):
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "nobody", "arguments": {}}}
            assert bridge.http.post("/all/mcp", headers=headers, json=message).json()["result"]["isError"] is True

        assert bridge.metrics().value("mcp_bridge_sessions_opened_total", mcp="a") == 3
        assert bridge.status()["mcps"]["a"]["sessions"] == 0


def test_a_session_that_is_over_takes_no_seat():
    guest = GroupSession("streamable-http", Opening("all", "2025-11-25", Raw(b"{}"), Raw(b"{}"), "", False, "nonce"), "id", 0.0)
    seats = guest.relay = Seats(guest)
    seats.leave(guest, 0.0)
    group = SimpleNamespace(request_for=lambda call, member: "its request")

    assert isinstance(asyncio.run(Group.seated(group, SimpleNamespace(session=guest), SimpleNamespace(name="a"))), Refusal)


def test_a_group_that_a_reload_takes_away_finishes_what_it_began(tmp_path):
    config(tmp_path, {"few": ["a"]}, a=entry(zoo("echo")), b=entry(zoo("echo")))
    with (
        Bridge(None, "--config", tmp_path / "mcps.json", *with_admin(tmp_path)) as bridge,
        Http(f"{bridge.url}/few") as http,
        Modern(f"{bridge.url}/few") as modern,
    ):
        calls = [http.begin_call("a-slow", seconds=1.5)]
        work = {"name": "a-progress", "arguments": {"steps": 3, "pause": 0.5}, "_meta": {"progressToken": "p"}}
        calls += [client.begin("tools/call", work) for client in (http, modern)]
        http.wait_for("notifications/progress")
        config(tmp_path, a=entry(zoo("echo")), b=entry(zoo("echo")))
        reloaded(bridge)

        assert bridge.http.post("/few/mcp", json={}).status_code == 404
        assert [text(call.result(20)) for call in calls] == ["slept 1.5", "3 steps", "3 steps"]
        eventually(lambda: bridge.status()["mcps"]["a"]["sessions"] == 0)


def test_a_call_that_waits_for_a_seat_when_the_bridge_stops_is_still_made(tmp_path):
    file = config(tmp_path, taken=entry(zoo("echo"), isolation="session", max_children=1))
    with Bridge(None, "--config", file) as bridge, Http(f"{bridge.url}/taken", listen=False) as holder:
        with Http(f"{bridge.url}/all", listen=False) as client:
            call = client.begin_call("taken-echo", message="waited")
            eventually(lambda: bridge.status()["mcps"]["taken"]["sessions"] == 2)
            bridge.process.send_signal(signal.SIGTERM)
            eventually(lambda: bridge.logged("stopping"))
            holder.delete()

            assert text(call.result(20)) == "waited"
