"""`verify` names the hop that broke, says what it saw and what to do: a real bridge, and everything else broken on purpose."""

import json
import time

import pytest
from environments.processes import free_port
from fake_litellm import KEY, FakeLiteLLM, FakePrometheus, served
from support import Bridge, zoo

from bridge.fleet import Fleet, Stanza
from bridge.fleet.engines import Running, Urls
from bridge.fleet.environment import Environment
from bridge.fleet.verify import Subject, direct, verify
from bridge.fleet.verify import counted as counting
from bridge.fleet.verify import gateway as gateways
from bridge.fleet.verify.result import FAILED, OK, SKIPPED
from bridge.fleet.verify.show import table

TOKEN = "the-token-of-all"
CHILDREN = {
    "echo": (["echo"], {}),
    "reconnects": (["reconnects"], {}),
    "odd": (["odd_tools"], {}),
    "broken": (["dies_at_start"], {"max_restarts": 0, "backoff_initial": 0.01}),
}


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    servers = {
        name: {"command": zoo(*child)[0], "args": zoo(*child)[1:], "profile": "litellm", **own} for name, (child, own) in CHILDREN.items()
    }
    (folder / "mcps.json").write_text(json.dumps({"mcpServers": servers}))
    (folder / "token").write_text(TOKEN)
    with Bridge(
        None, "--config", folder / "mcps.json", "--token-file", folder / "token", headers={"Authorization": f"Bearer {TOKEN}"}
    ) as bridge:
        yield bridge


@pytest.fixture
def litellm(bridge):
    fake = FakeLiteLLM(bridge.url, TOKEN, ["echo", "reconnects"])
    with served(fake) as fake.url:
        yield fake


@pytest.fixture
def prometheus():
    fake = FakePrometheus()
    with served(fake) as fake.url:
        yield fake


def stanza(name: str = "echo", tool: str = "echo", expect: str = "here", message: str = "I am here", **more) -> Stanza:
    return Stanza(name=name, command="x", smoke={"tool": tool, "arguments": {"message": message}, "expect": expect}, **more)


@pytest.fixture
def check(bridge, litellm):
    """Verify stanzas; what is not said is right."""

    def run(*stanzas: Stanza, token: str = TOKEN, key: str = KEY, running=None, prometheus: str = "", **more):
        groups = more.pop("groups", {})
        fleet = Fleet(stanzas=list(stanzas) or [stanza()], litellm={"version": more.pop("version", "1.77.3")}, groups=groups)
        ran = [Running(one.name, "mcp", "up") for one in fleet.stanzas] if running is None else running
        engine = more.pop("engine", "embedded")  # one bridge with one /metrics
        return verify(
            Subject(
                engine,
                fleet,
                Environment({"BRIDGE_TOKEN": token, "LITELLM_MASTER_KEY": key} | more.pop("variables", {})),
                Urls(more.pop("url", bridge.url), more.pop("gateway", litellm.url), prometheus),
                ran,
                **more,
            )
        )

    return run


def broke(verdict, name: str = "echo") -> tuple[str, str, str]:
    """The hop that broke, what was seen, and what to do; there must be exactly one."""
    assert not verdict.is_ok
    [hop] = next(report for report in (*verdict.mcps, *verdict.shared) if report.name == name).failures
    assert hop.seen and hop.todo and "\n" not in hop.seen + hop.todo
    assert hop.seen in table(verdict) and hop.todo in table(verdict)
    return hop.name, hop.seen, hop.todo


def test_a_database_that_was_restarted_does_not_fail_the_first_call(check):
    assert check(stanza("reconnects", "query")).is_ok


def test_an_error_in_a_text_is_called_one_and_the_expectation_is_not_blamed(check):
    hop, seen, todo = broke(check(stanza(expect="rows", message="Error: could not connect to server: Connection refused")))

    assert hop == "smoke" and "echo answered with an error: Error: could not connect" in seen
    assert "does it reach what it needs" in todo and "smoke.expect" not in todo


def test_beside_a_call_that_failed_stands_what_the_egress_proxy_refused(check, prometheus):
    prometheus.refused = ["evil.example", "api.example.com"]
    _, _, todo = broke(check(stanza(expect="rows", egress=["other.example"]), prometheus=prometheus.url))
    _, _, alone = broke(check(stanza(expect="rows", egress=True), prometheus=prometheus.url))

    assert "the egress proxy refused it api.example.com, evil.example ('egress' in images/echo/stanza.yaml); " in todo
    assert "egress proxy" not in alone


def test_what_runs_as_an_earlier_stanza_said_does_not_work(check):
    hop, seen, todo = broke(check(older={"echo": "it runs as an earlier stanza said: x==1 runs, the stanza says x==2"}))

    assert (hop, todo) == ("running", "mcp-bridge up")
    assert "x==1 runs, the stanza says x==2" in seen


def test_why_up_could_not_start_it_is_said_again(check):
    _, seen, _ = broke(check(running=[], troubles={"echo": "cannot be built: no such package"}))

    assert seen == "cannot be built: no such package"


def test_all_hops_of_what_works(check, litellm):
    said = []
    verdict = check(say=said.append)
    [report] = verdict.mcps

    assert verdict.is_ok
    assert [(hop.name, hop.state) for hop in report.hops] == [
        (name, OK) for name in ("running", "ready", "streamable-http", "sse", "websocket", "smoke", "listed", "called", "counted")
    ]
    assert litellm.called == ["echo-echo"]
    assert "echo" in report.tools
    assert table(verdict).splitlines()[-1].startswith("all 1 work")
    assert json.loads(json.dumps(verdict.as_data()))["mcps"][0]["hops"][-1]["name"] == "counted"
    assert any(line.startswith("echo: ") for line in said)


def test_a_group_is_listed_and_a_call_goes_through_it(check):
    verdict = check(groups={"all": {}})
    [report] = [one for one in verdict.shared if one.name == "group all"]

    assert verdict.is_ok and [(hop.name, hop.state) for hop in report.hops] == [("streamable-http", OK), ("called", OK)]
    assert "echo-echo" in report.tools


def test_a_group_that_is_away_does_not_work(check):
    _, seen, todo = broke(check(groups={"nowhere": ["echo"]}), "group nowhere")

    assert "404" in seen and "mcp-bridge logs groups" in todo


def test_tools_that_models_may_refuse_are_named_with_the_way_out(check, bridge):
    """What the profile can mend is mended: of it there is nothing to say. The smoke call goes by the name that clients see."""
    fake = FakeLiteLLM(bridge.url, TOKEN, ["odd"])
    with served(fake) as fake.url:
        verdict = check(stanza("odd", tool="user.get", expect='["user.get", {"message"'), gateway=fake.url)
    [report] = verdict.mcps

    assert verdict.is_ok, table(verdict)
    assert fake.called == ["odd-user_get"]
    assert {line.partition(":")[0] for line in report.odd} == {"tree", "choice"}
    assert any(line.startswith("odd: models may refuse tree: ") and "deny: [tree]" in line for line in table(verdict).splitlines())
    assert json.loads(json.dumps(verdict.as_data()))["mcps"][0]["odd"] == report.odd


def test_what_does_not_run(check):
    hop, seen, todo = broke(check(running=[Running("echo", "mcp", "down", "Exited (1)")]))
    assert (hop, seen) == ("running", "Exited (1)")
    assert "mcp-bridge logs echo" in todo

    hop, _, todo = broke(check(running=[]))
    assert (hop, todo) == ("running", "mcp-bridge up")


def test_a_database_that_is_down_is_named_before_those_that_need_it(check):
    running = [Running("echo", "mcp", "up"), Running("database", "database", "down", "Exited (0) 2 minutes ago")]
    hop, seen, todo = broke(check(stanza(needs=["database"]), running=running, engine="compose"))

    assert (hop, seen) == ("running", "database, which it needs, is down: Exited (0) 2 minutes ago")
    assert "mcp-bridge logs database" in todo and "mcp-bridge up" in todo


def test_without_docker_the_database_is_the_operators_own(check):
    assert check(stanza(needs=["database"])).is_ok


def test_of_an_unhealthy_container_the_bridge_says_why(check):
    hop, seen, _ = broke(check(stanza("broken"), running=[Running("broken", "mcp", "down", "Up 2 minutes (unhealthy)")]), "broken")

    assert hop == "ready"
    assert "exited" in seen or "code" in seen


def test_a_bridge_that_is_away(check):
    hop, seen, _ = broke(check(url=f"http://127.0.0.1:{free_port()}"))

    assert hop == "ready"
    assert "connection refused" in seen


def test_a_dead_child_is_named_and_never_called_through_litellm(check, litellm):
    litellm.names = ["echo", "broken"]
    began = time.monotonic()
    verdict = check(stanza(), stanza("broken"))

    hop, seen, todo = broke(verdict, "broken")
    assert hop == "ready"
    assert seen.startswith("given up: ") and "exited" in seen and "API_KEY is not set" in seen
    assert "images/broken/stanza.yaml" in todo and "mcp-bridge up" in todo and "mcp-bridge logs broken" in todo
    assert verdict.mcps[0].state("listed") == SKIPPED  # broken
    assert verdict.mcps[1].is_ok  # echo
    assert litellm.called == ["echo-echo"]
    assert time.monotonic() - began < 40


def test_a_wrong_token(check):
    hop, seen, todo = broke(check(token="another"))

    assert hop == "streamable-http"
    assert "401" in seen
    assert "another token than compose/.env says" in todo


def test_a_tool_that_is_not_there(check):
    hop, seen, todo = broke(check(stanza(tool="ekko")))

    assert hop == "smoke"
    assert "there is no tool 'ekko'" in seen and "echo" in seen
    assert "images/echo/stanza.yaml" in todo


def test_a_tool_that_fails(check):
    hop, seen, _ = broke(check(stanza(tool="fail")))

    assert hop == "smoke"
    assert "I am here" in seen


def test_an_answer_that_is_not_the_expected_one(check):
    hop, seen, todo = broke(check(stanza(expect="there")))

    assert hop == "smoke"
    assert seen == "echo answered 'I am here', without 'there'"
    assert "smoke.expect" in todo


def test_litellm_that_is_away(check):
    verdict = check(gateway=f"http://127.0.0.1:{free_port()}")

    hop, seen, _ = broke(verdict, "litellm")
    assert hop == "running" and "connection refused" in seen
    assert verdict.mcps[0].state("called") == SKIPPED
    assert verdict.mcps[0].state("counted") == OK


def test_a_wedged_litellm(check, litellm, monkeypatch):
    monkeypatch.setattr(gateways, "ALIVE", 0.5)
    litellm.wrong = "wedged"

    hop, seen, todo = broke(check(), "litellm")
    assert hop == "gateway"
    assert "wedged" in seen
    assert "restart" in todo


def test_a_litellm_that_is_wedged_by_the_call(check, litellm, monkeypatch):
    monkeypatch.setattr(gateways, "ALIVE", 0.5)
    monkeypatch.setattr(gateways, "CALL", 0.5)
    litellm.wrong = "wedged-by-call"
    verdict = check()

    assert broke(verdict)[0] == "called"
    assert broke(verdict, "litellm")[0] == "gateway afterwards"


def test_another_master_key(check):
    hop, seen, todo = broke(check(key="sk-wrong"), "litellm")

    assert hop == "gateway"
    assert "500" in seen
    assert "LITELLM_MASTER_KEY" in todo


def test_a_list_that_hangs(check, litellm, monkeypatch):
    monkeypatch.setattr(gateways, "LIST", 0.5)
    litellm.wrong = "list"

    hop, seen, todo = broke(check(), "litellm")
    assert hop == "tools" and "no answer within" in seen
    assert "does not answer" in todo


@pytest.mark.parametrize(("wrong", "says"), [("fewer", "does not show echo"), ("more", "has besides invented")])
def test_tools_that_are_not_the_same_in_litellm(check, litellm, wrong, says):
    litellm.wrong = wrong
    hop, seen, _ = broke(check())

    assert hop == "listed"
    assert says in seen
    assert litellm.called == []


def test_an_mcp_that_litellm_does_not_know(check, litellm):
    litellm.names = []
    hop, seen, _ = broke(check())

    assert (hop, seen) == ("listed", "LiteLLM shows no tool echo-…")


def test_a_failure_that_1_77_calls_a_success(check, litellm):
    litellm.wrong = "call"
    hop, seen, _ = broke(check())

    assert hop == "called"
    assert "not initialized" in seen


def test_a_renamed_tool_is_called_by_the_name_that_clients_see(check, litellm):
    """(The bridge here does not rename: that the new name is unknown shows that it was asked for.)"""
    hop, seen, _ = broke(check(stanza(tools={"rename": {"echo": "say"}})))

    assert hop == "smoke"
    assert "no tool 'say'" in seen


def test_prometheus_has_the_target_and_the_calls(check, prometheus):
    verdict = check(prometheus=prometheus.url)

    assert verdict.is_ok
    assert verdict.mcps[0].hops[-1].seen == "target up, 1000 calls"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"targets": []}, "no such target"),
        ({"health": "down"}, "cannot scrape http://echo:8000/metrics: server returned HTTP status 401"),
        ({"calls": 0}, "Prometheus knows of 0 calls"),
    ],
)
def test_what_prometheus_does_not_have(check, prometheus, monkeypatch, change, says):
    monkeypatch.setattr(counting, "SCRAPES", 0.2)
    for name, value in change.items():
        setattr(prometheus, name, value)
    hop, seen, _ = broke(check(prometheus=prometheus.url))

    assert hop == "counted"
    assert says in seen


def test_one_scrape_that_failed_on_a_busy_machine_is_not_the_last_word(check, prometheus):
    prometheus.health = ["down", "up"]  # of one scrape, and of all that follow

    assert check(prometheus=prometheus.url).is_ok


def test_prometheus_that_is_away(check):
    verdict = check(prometheus=f"http://127.0.0.1:{free_port()}")

    assert broke(verdict, "prometheus")[0] == "running"
    assert verdict.mcps[0].state("counted") == SKIPPED
    assert verdict.mcps[0].state("called") == OK


def test_a_remote_mcp_is_asked_directly_and_through_litellm(check, bridge, litellm):
    verdict = check(remote(bridge))

    assert verdict.is_ok
    assert [hop.name for hop in verdict.mcps[0].hops] == ["streamable-http", "smoke", "listed", "called"]


def remote(bridge, **more) -> Stanza:
    return Stanza(
        **{
            "name": "echo",
            "url": f"{bridge.url}/echo/mcp",
            "transport": "http",
            "auth": {"value": TOKEN},
            "smoke": {"tool": "echo", "arguments": {"message": "I am here"}, "expect": "here"},
        }
        | more
    )


@pytest.mark.parametrize("tools", [{"deny": ["fail"]}, {"allow": ["echo"]}])
def test_litellm_shows_of_a_remote_mcp_what_the_stanza_lets_through(check, bridge, litellm, tools):
    whole = litellm.tools("echo")
    litellm.hidden = tools.get("deny") or [name for name in whole if name != "echo"]

    assert check(remote(bridge, tools=tools), version="1.106.2").is_ok

    litellm.hidden = []
    hop, seen, _ = broke(check(remote(bridge, tools=tools), version="1.106.2"))
    assert hop == "listed" and "has besides" in seen


def test_tools_of_a_remote_mcp_keep_their_names(check, bridge, litellm):
    assert check(remote(bridge, tools={"rename": {"echo": "say"}})).is_ok
    assert litellm.called == ["echo-echo"]


@pytest.mark.parametrize("value", [f"Bearer {TOKEN}", "os.environ/FAR_KEY"])
def test_a_remote_mcp_gets_its_static_headers(check, bridge, value):
    far = remote(bridge, auth=None, litellm={"static_headers": {"Authorization": value}})

    assert check(far, version="1.106.2", variables={"FAR_KEY": f"Bearer {TOKEN}"}).is_ok


def test_a_filter_that_this_litellm_does_not_know_is_not_green(check, bridge, litellm):
    hop, seen, todo = broke(check(remote(bridge, tools={"allow": ["echo"]})))

    assert hop == "listed"
    assert "tools.allow is not in force" in seen and "1.77.3" in seen
    assert "--litellm-version" in todo and "sidecar" in todo
    assert litellm.called == []


def test_one_that_litellm_is_not_told_of_is_not_asked_for_there(check, litellm):
    litellm.names = []
    verdict = check(stanza(litellm={"enabled": False}))

    assert verdict.is_ok
    assert verdict.mcps[0].state("listed") == SKIPPED
    assert FAILED not in {hop.state for hop in verdict.mcps[0].hops}


def test_nothing_to_verify_is_no_success(check):
    fleet = Fleet(stanzas=[])
    verdict = verify(Subject("embedded", fleet, Environment({}), Urls("http://127.0.0.1:1", "http://127.0.0.1:1"), []))

    assert not verdict.is_ok


@pytest.mark.parametrize("isolation, patience", [("principal", direct.START), ("session", direct.START), ("shared", direct.TALK)])
def test_who_gets_a_child_of_its_own_is_given_the_time_to_start_it(isolation, patience):
    assert direct._patience(Stanza(name="it", command=["it"], bridge={"isolation": isolation})) == patience
