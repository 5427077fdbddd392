"""Reading the configuration again: SIGHUP, or POST /-/reload with the admin's token."""

import json
import os
import signal

import httpx
import pytest
from bent import bent, is_gone, pids, shown
from support import Bridge, Http, Modern, Refused, Sse, Ws, eventually, text, zoo

ADMIN = {"authorization": "Bearer admin-secret-0123456789"}


def entry(command: list[str], **more) -> dict:
    return {"command": command[0], "args": command[1:], **more}


class Fleet:
    """A bridge with a config file that the test changes."""

    def __init__(self, folder, *options, **mcps):
        self.file = folder / "mcps.json"
        self.admins = folder / "admins"
        self.admins.write_text("admin-secret-0123456789\n")
        self.write(**mcps)
        self.bridge = Bridge(None, "--config", self.file, "--admin-token-file", self.admins, *options)

    def __enter__(self):
        self.bridge.__enter__()
        return self

    def __exit__(self, *problem):
        return self.bridge.__exit__(*problem)

    def write(self, **mcps) -> None:
        self.file.write_text(json.dumps({"mcpServers": mcps}))

    def url(self, name: str) -> str:
        return f"{self.bridge.url}/{name}"

    def reload(self, headers: dict | None = None) -> httpx.Response:
        return self.bridge.http.post("/-/reload", headers=ADMIN if headers is None else headers)

    def hang_up(self) -> None:
        """SIGHUP, and wait until it has been heard."""
        before = len(self.heard)
        self.bridge.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(self.heard) > before)

    @property
    def heard(self) -> list[str]:
        return self.bridge.logged("reloaded")


ECHO, OTHER = entry(zoo("echo")), entry(zoo("stateful"))


@pytest.fixture
def fleet(tmp_path):
    with Fleet(tmp_path, keeps=OTHER, changes=ECHO, goes=ECHO) as fleet:
        yield fleet


@pytest.mark.parametrize("how", ["hang_up", "reload"])
def test_what_did_not_change_goes_on_and_the_rest_follows_the_file(fleet, connect, how):
    bridge = fleet.bridge
    keeps, changes, goes = (connect(Http, fleet.url(name)) for name in ("keeps", "changes", "goes"))
    ws = connect(Ws, fleet.url("keeps"))
    before = {name: pids(bridge, name=name)[0] for name in ("keeps", "changes", "goes")}
    keeps.call("next")
    fleet.write(keeps=OTHER, changes=entry(zoo("echo", "--instructions", "new")), comes=ECHO)
    getattr(fleet, how)()

    # unchanged: its process, its sessions, its streams
    assert json.loads(text(keeps.call("next"))) == {"count": 2, "pid": before["keeps"]}
    assert json.loads(text(ws.call("next")))["count"] == 3
    # changed: a new process, and sessions that go on, for their ids say what they are
    eventually(lambda: is_gone(before["changes"]))
    assert text(changes.call("arguments")) == '["--instructions", "new"]'
    assert connect(Http, fleet.url("changes")).initialized["instructions"] == "new"
    # added
    assert text(connect(Sse, fleet.url("comes")).call("echo", message="here")) == "here"
    # removed
    eventually(lambda: is_gone(before["goes"]))
    assert goes.post({"jsonrpc": "2.0", "id": 1, "method": "ping"}).status_code == 404
    assert [bridge.get(path).status_code for path in ("/goes/readyz", "/goes/sse", "/goes/status.json")] == [404] * 3
    with pytest.raises(Exception, match="404"):
        Ws(fleet.url("goes")).open()
    assert set(bridge.status()["mcps"]) == {"keeps", "changes", "comes"}
    assert bridge.metrics().value("mcp_bridge_child_up", mcp="goes") == 0
    assert bridge.metrics().value("mcp_bridge_child_up") == 3
    assert len(bridge.children()) == 3


def test_the_answer_says_what_became_of_each(fleet):
    fleet.write(keeps=OTHER, changes=entry(zoo("echo"), env={"A": "1"}), comes=ECHO)
    response = fleet.reload()

    assert response.status_code == 200
    assert response.json() == {"added": ["comes"], "changed": ["changes"], "removed": ["goes"], "unchanged": ["keeps"]}
    assert fleet.reload().json() == {"added": [], "changed": [], "removed": [], "unchanged": ["keeps", "changes", "comes"]}


def test_what_was_given_up_is_tried_again_and_by_nobody_s_request(fleet, tmp_path):
    """What was wrong may have been somewhere else: a network, a database."""
    heals = entry(zoo("dies_at_start", "--times", 1, "--count-file", tmp_path / "starts"), max_restarts=0, backoff_initial=0.01)
    fleet.write(keeps=OTHER, heals=heals)
    fleet.reload()
    eventually(lambda: shown(fleet.bridge, "heals")["state"] == "fatal")
    response = fleet.reload()

    assert (response.json()["changed"], response.json()["unchanged"]) == (["heals"], ["keeps"])
    eventually(lambda: shown(fleet.bridge, "heals")["state"] == "ready")


def test_what_is_in_flight_at_a_changed_or_removed_one_is_answered(fleet, connect):
    calls = [connect(kind, fleet.url(name)).begin_call("slow", seconds=0.8) for name in ("changes", "goes") for kind in (Http, Sse, Ws)]
    eventually(lambda: all(shown(fleet.bridge, name)["in_flight"] == 3 for name in ("changes", "goes")))
    fleet.write(keeps=OTHER, changes=entry(zoo("echo", "--instructions", "new")))
    fleet.hang_up()
    assert not any(call.done() for call in calls)
    assert text(connect(Http, fleet.url("changes")).call("echo", message="meanwhile")) == "meanwhile"

    assert [text(call.result(20)) for call in calls] == ["slept 0.8"] * 6


@pytest.mark.parametrize("name", ["asks", "modern_asks"])
def test_what_a_client_is_asked_before_a_reload_it_may_answer_after_it(tmp_path, connect, name):
    with Fleet(tmp_path, one=entry(zoo(name))) as fleet:
        clients = [
            connect(kind, fleet.url("one"), capabilities={"elicitation": {}}, on_ask=lambda method, params: None)
            for kind in (Http, Sse, Ws)
        ]
        calls = [client.begin_call("elicit") for client in clients]
        eventually(lambda: all(client.asked for client in clients))
        fleet.write(one=entry(zoo(name), env={"N": "2"}))
        fleet.hang_up()
        for client in clients:
            client.deliver({"jsonrpc": "2.0", "id": client.asked[0]["id"], "result": {"action": "accept", "content": {}}})

        assert ["accept" in text(call.result(10)) for call in calls] == [True] * 3


def test_what_is_given_up_after_a_reload_ends_at_once(tmp_path, connect):
    with Fleet(tmp_path, one=ECHO) as fleet:
        client = connect(Http, fleet.url("one"))
        client.begin_call("slow", seconds=60)
        id = client.last_id
        eventually(lambda: shown(fleet.bridge, "one")["in_flight"])
        fleet.write(one=entry(zoo("echo"), env={"N": "2"}))
        fleet.hang_up()
        client.notify("notifications/cancelled", {"requestId": id})

        eventually(lambda: len(fleet.bridge.children()) == 1, 4)


@pytest.mark.parametrize("what, params", [("resources/subscribe", {"uri": "test://1"}), ("logging/setLevel", {"level": "info"})])
def test_a_session_of_which_the_next_child_would_have_to_know_more_begins_anew(tmp_path, connect, what, params):
    with Fleet(tmp_path, one=ECHO) as fleet:
        knows, plain = connect(Http, fleet.url("one")), connect(Http, fleet.url("one"))
        knows.request(what, params)
        fleet.write(one=entry(zoo("echo"), env={"N": "2"}))
        fleet.hang_up()

        assert text(plain.call("echo", message="on")) == "on"
        assert knows.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).status_code == 404


def test_a_modern_client_that_can_be_asked_does_not_stand_in_the_way_of_a_reload_or_the_end(tmp_path, connect):
    with Fleet(tmp_path, one=ECHO, other=ECHO) as fleet:
        connect(Modern, fleet.url("one"), capabilities={"elicitation": {}}).call("echo", message="hi")
        fleet.write(one=entry(zoo("echo"), env={"N": "2"}), other=ECHO)
        fleet.hang_up()
        client = connect(Modern, fleet.url("one"), capabilities={"elicitation": {}})

        assert text(client.call("echo", message="on")) == "on"
        assert fleet.bridge.stop()[0] == 0
        assert not fleet.bridge.logged("bug in the bridge")


def test_what_takes_longer_than_the_drain_is_told_so(tmp_path, connect):
    with Fleet(tmp_path, "--drain-timeout", "0.3", one=ECHO) as fleet:
        client = connect(Http, fleet.url("one"))
        call = client.begin_call("slow", seconds=60)
        eventually(lambda: shown(fleet.bridge, "one")["in_flight"])
        fleet.write(one=entry(zoo("echo", "--instructions", "new")))
        fleet.hang_up()

        assert "error" in call.result(20)
        assert text(client.call("echo", message="on")) == "on"
        eventually(lambda: len(fleet.bridge.children()) == 1)


@pytest.mark.parametrize("content", ['{"mcpServers": {"keeps": ', None])
def test_a_broken_file_changes_nothing_and_is_told(fleet, connect, content):
    client = connect(Http, fleet.url("keeps"))
    before = [shown(fleet.bridge, name)["pid"] for name in ("keeps", "changes", "goes")]
    fleet.file.unlink() if content is None else fleet.file.write_text(content)
    response = fleet.reload()
    fleet.bridge.process.send_signal(signal.SIGHUP)
    eventually(lambda: fleet.bridge.logged("not reloaded"))

    assert response.status_code == 400
    assert "mcps.json" in response.json()["error"]
    assert "mcps.json" in fleet.bridge.logged("not reloaded")[0]
    assert [shown(fleet.bridge, name)["pid"] for name in ("keeps", "changes", "goes")] == before
    assert json.loads(text(client.call("next")))["count"] == 1
    fleet.write(keeps=OTHER, changes=ECHO, goes=ECHO)
    assert fleet.reload().json()["unchanged"] == ["keeps", "changes", "goes"]


def test_one_that_cannot_start_says_so_and_does_not_touch_the_others(fleet, connect):
    client = connect(Http, fleet.url("keeps"))
    fleet.write(keeps=OTHER, changes={"command": "no-such-program"})

    assert fleet.reload().status_code == 200
    eventually(lambda: "no-such-program" in fleet.bridge.ready("changes")["reason"])
    assert fleet.bridge.ready()["code"] == 200
    assert text(client.call("next"))


def test_principals_without_tokens_are_refused_as_they_are_at_the_start(fleet):
    fleet.write(keeps=OTHER, changes=entry(zoo("echo"), isolation="principal"), goes=ECHO)
    response = fleet.reload()

    assert response.status_code == 400
    assert "--token-file" in response.json()["error"]
    assert shown(fleet.bridge, "changes")["isolation"] == "auto"


def test_only_the_admin_may_reload_over_http(fleet, tmp_path):
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer"}, {"x-api-key": "no"}):
        refused = fleet.reload(headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
    assert fleet.bridge.get("/-/reload", **ADMIN).status_code == 405
    assert fleet.reload({**ADMIN, "origin": "https://evil.example"}).status_code == 403
    assert fleet.heard == []
    assert fleet.reload().status_code == 200
    fleet.admins.write_text("another-secret-0123456789\n")
    assert fleet.reload().status_code == 200
    assert fleet.reload().status_code == 401
    assert fleet.reload({"authorization": "Bearer another-secret-0123456789"}).status_code == 200


def test_without_an_admins_file_there_is_no_reload_over_http(start, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("user-secret-0123456789\n")
    bridge = start("echo", options=["--token-file", tokens])

    for headers in ({}, {"authorization": "Bearer user-secret-0123456789"}):
        assert bridge.http.post("/-/reload", headers=headers).status_code == 404


def test_the_tokens_are_read_again(start, tmp_path, connect):
    tokens = tmp_path / "tokens"
    tokens.write_text("alice first-secret-0123456789\nbob b-secret-0123456789\n")
    old, new, bob = (
        {"authorization": f"Bearer {token}"} for token in ("first-secret-0123456789", "second-secret-0123456789", "b-secret-0123456789")
    )
    bridge = start("stateful", options=["--token-file", tokens], headers=bob)
    pid = pids(bridge)[0]
    alice, also_bob = connect(Http, bridge.url, headers=old), connect(Http, bridge.url, headers=bob)
    tokens.write_text("alice second-secret-0123456789\nbob b-secret-0123456789\n")
    bridge.process.send_signal(signal.SIGHUP)
    eventually(lambda: bridge.logged("reloaded"))

    assert alice.post({"jsonrpc": "2.0", "id": 7, "method": "ping"}).status_code == 401
    alice.headers = new
    assert json.loads(text(alice.call("next"))) == {"count": 1, "pid": pid}
    assert text(also_bob.call("next"))
    tokens.write_text("one two three\n")
    bridge.process.send_signal(signal.SIGHUP)
    eventually(lambda: bridge.logged("not reloaded"))
    assert text(alice.call("next"))


@pytest.mark.parametrize("child", ["echo", "modern"])
def test_who_loses_a_token_loses_the_streams_that_came_with_it(start, tmp_path, connect, child):
    tokens = tmp_path / "tokens"
    tokens.write_text("alice a-secret-0123456789\nbob b-secret-0123456789\n")
    alice, bob = ({"authorization": f"Bearer {token}"} for token in ("a-secret-0123456789", "b-secret-0123456789"))
    bridge = start(child, options=["--token-file", tokens], headers=bob)
    gone, kept = ([connect(kind, bridge.url, headers=whose) for kind in (Http, Sse, Ws, Modern)] for whose in (alice, bob))
    gone_listen, kept_listen = (modern.listen_to(toolsListChanged=True) for *_, modern in (gone, kept))
    assert gone_listen.next_message() and kept_listen.next_message()
    tokens.write_text("bob b-secret-0123456789\n")
    bridge.process.send_signal(signal.SIGHUP)
    http, sse, ws, _ = gone

    assert gone_listen.ended.wait(5) and http.standing.ended.wait(5) and sse.stream.ended.wait(5)
    eventually(lambda: ws.closed)
    eventually(lambda: bridge.metrics().value("mcp_bridge_streams") == 4)
    assert not kept_listen.ended.is_set() and not kept[0].standing.ended.is_set()
    assert all(text(client.call("echo", message="still here")) == "still here" for client in kept)


def test_a_child_hears_that_who_lost_a_token_listens_no_more(start, tmp_path, connect):
    tokens = tmp_path / "tokens"
    tokens.write_text("alice a-secret-0123456789\nbob b-secret-0123456789\n")
    alice, bob = ({"authorization": f"Bearer {token}"} for token in ("a-secret-0123456789", "b-secret-0123456789"))
    bridge = start("modern", options=["--token-file", tokens], headers=bob)
    stays = connect(Modern, bridge.url, headers=bob)
    assert connect(Modern, bridge.url, headers=alice).listen_to(resourceSubscriptions=["test://one"]).next_message()
    assert "test://one" in text(stays.call("listens"))
    tokens.write_text("bob b-secret-0123456789\n")
    bridge.process.send_signal(signal.SIGHUP)

    eventually(lambda: "test://one" not in text(stays.call("listens")))


def test_a_single_mcp_whose_environment_file_changed_is_restarted(start, tmp_path, connect):
    environment = tmp_path / "env"
    environment.write_text("WHAT=first\n")
    bridge = start("echo", options=["--env-file", environment])
    client = connect(Http, bridge.url)
    assert json.loads(text(client.call("env")))["WHAT"] == "first"
    pid = pids(bridge)[0]
    bridge.process.send_signal(signal.SIGHUP)
    eventually(lambda: bridge.logged("reloaded"))
    assert pids(bridge)[0] == pid
    environment.write_text("WHAT=second\n")
    bridge.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(bridge.logged("reloaded")) == 2)

    assert json.loads(text(client.call("env")))["WHAT"] == "second"
    eventually(lambda: is_gone(pid))


def test_a_session_with_its_own_child_is_told_when_its_mcp_changed(tmp_path, connect):
    with Fleet(tmp_path, one=entry(zoo("stateful"), isolation="session", spares=1)) as fleet:
        client = connect(Http, fleet.url("one"), listen=False)
        old = json.loads(text(client.call("next")))["pid"]
        fleet.write(one=entry(zoo("stateful"), isolation="session", spares=2))
        fleet.reload()

        assert "lost" in client.call("next")["error"]["message"]
        assert json.loads(text(client.call("next")))["count"] == 1
        eventually(lambda: is_gone(old))
        eventually(lambda: len(fleet.bridge.children()) == 4)  # shared, own, two spares


def test_a_session_that_waits_for_a_child_is_not_given_one_of_a_removed_mcp(tmp_path, connect):
    own = entry(zoo("stateful"), isolation="session", max_children=1, child_wait=5)
    with Fleet(tmp_path, "--drain-timeout", "0.2", one=own, two=ECHO) as fleet:
        connect(Http, fleet.url("one"), listen=False)
        waiter = Http(fleet.url("one"), listen=False)
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "late", "version": "1"}}
        opening = waiter.begin("initialize", params)
        eventually(lambda: shown(fleet.bridge, "one")["waits"] == 1)
        fleet.write(two=ECHO)
        fleet.reload()

        with pytest.raises(Refused) as refused:
            opening.result(20)
        assert refused.value.status == 503
        eventually(lambda: len(fleet.bridge.children()) == 1)
        waiter.close()


def test_reloading_again_and_again_leaks_nothing(tmp_path, connect):
    with Fleet(tmp_path, "--drain-timeout", "0.2", one=ECHO, two=ECHO) as fleet:
        client = connect(Http, fleet.url("one"), listen=False)

        def descriptors():
            return len(os.listdir(f"/proc/{fleet.bridge.process.pid}/fd"))

        before = descriptors()
        for number in range(8):
            fleet.write(one=entry(zoo("echo", "--instructions", number)), two=ECHO)
            assert fleet.reload().json()["changed"] == ["one"]
            assert text(client.call("echo", message=str(number))) == str(number)
        eventually(lambda: len(fleet.bridge.children()) == 2)

        assert descriptors() <= before + 4
        assert fleet.bridge.zombies() == []
        assert not fleet.bridge.logged("bug in the bridge")


def test_a_stop_during_a_reload_ends_everything(tmp_path):
    stubborn = entry(zoo("deaf", "--slow-eof", "1"))
    with Fleet(tmp_path, one=stubborn) as fleet:
        fleet.write(one=entry(zoo("deaf", "--slow-eof", "1", "--new")), two=ECHO)
        fleet.reload()
        fleet.bridge.process.send_signal(signal.SIGTERM)
        fleet.bridge.process.send_signal(signal.SIGHUP)
        code, seconds = fleet.bridge.stop()

        assert code == 0
        assert seconds < 10
        assert fleet.bridge.leftover() == []


def test_a_sleeping_mcp_sleeps_on_and_a_changed_one_is_not_known_any_more(tmp_path, connect):
    lazy = {"lazy": True, "idle_stop": 0.2}
    command = bent(tmp_path / "child.py", "if '--more' in sys.argv: child.tool(lambda: 'x', name='more')")
    with Fleet(tmp_path, "--cache-dir", tmp_path / "cache", same=entry(command, **lazy), other=entry(command, **lazy)) as fleet:
        for name in ("same", "other"):
            connect(Http, fleet.url(name), listen=False).call("pid")
        eventually(lambda: fleet.bridge.children() == [])
        fleet.write(same=entry(command, **lazy), other=entry([*command, "--more"], **lazy))
        fleet.reload()
        listed = {
            name: {tool["name"] for tool in connect(Http, fleet.url(name), listen=False).request("tools/list")["result"]["tools"]}
            for name in ("same", "other")
        }

        assert "more" in listed["other"] - listed["same"]
        assert shown(fleet.bridge, "same")["wakes"] == 1
