"""`verify --callers`: asked as each caller, of real bridges that look at their callers file; only LiteLLM is a stand-in here."""

import json

import pytest
from support import Bridge, zoo

from bridge.fleet import Fleet, Stanza, callers
from bridge.fleet.engines import Urls
from bridge.fleet.environment import Environment
from bridge.fleet.project import Project
from bridge.fleet.verify import as_callers
from bridge.fleet.verify.result import FAILED, OK, Hop

HASH = "a" * 64
SMOKE = {"tool": "echo", "arguments": {"message": "here"}}
STANZAS = [Stanza(name=name, command="x", smoke=SMOKE) for name in ("one", "two")]
SAID = {
    "alice": {"token_sha256": HASH, "may": {"one/*": "execute"}},
    "reader": {"token_sha256": "b" * 64, "may": {"one/echo": "read", "two/*": "execute", "two/pid": "deny"}},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A bridge with both MCPs, which is told of callers where the embedded engine tells it."""
    project = Project(tmp_path_factory.mktemp("fleet"))
    state = project.state / "embedded"
    state.mkdir(parents=True)
    command = list(map(str, zoo("echo")))
    servers = {name: {"command": command[0], "args": command[1:], "profile": "litellm"} for name in ("one", "two")}
    (state / "mcps.json").write_text(json.dumps({"mcpServers": servers}))
    (state / "tokens").write_text("operator an-operators-token-0123456789\nlitellm a-token-of-litellm-0123456789\n")
    (state / callers.SHIPPED).write_text(json.dumps(callers.shipped(SAID, with_prometheus=False)))
    with Bridge(None, "--config", state / "mcps.json", "--token-file", state / "tokens", "--callers", state / callers.SHIPPED) as bridge:
        project.__dict__["url"] = bridge.url
        yield project


@pytest.fixture
def through(monkeypatch):
    """What LiteLLM lets through: by default what the MCP would."""
    asked = []

    def call(self, stanza, smoke, more=None):
        asked.append((stanza.name, dict(more)))
        return Hop("called", OK if (stanza.name, len(asked)) in call.works else FAILED, "in LiteLLM's words")

    call.works = set()
    monkeypatch.setattr(as_callers.Gateway, "call", call)
    call.asked = asked
    return call


def outcomes(project, said=SAID) -> dict[tuple[str, str], as_callers.Outcome]:
    fleet = Fleet(stanzas=STANZAS, callers=said)
    found = as_callers.verify(project, fleet, Environment({}), Urls(project.__dict__["url"], "http://127.0.0.1:1"))
    return {(one.caller, one.mcp): one for one in found}


def test_each_sees_and_does_what_its_rules_say_and_no_more(project, through):
    through.works = {("one", 1), ("two", 4)}
    before = (project.state / "embedded" / callers.SHIPPED).read_text()

    found = outcomes(project)

    assert {pair: one.is_ok for pair, one in found.items()} == dict.fromkeys(
        [("alice", "one"), ("alice", "two"), ("reader", "one"), ("reader", "two")], True
    )
    assert [hop.seen for hop in found["alice", "two"].hops] == [
        f"0 of {found['alice', 'two'].hops[0].seen.split()[2]} tools",
        "is refused",
        "is refused",
    ]
    assert [hop.seen for hop in found["reader", "one"].hops][1:] == ["is refused", "is refused"]
    assert [hop.seen for hop in found["reader", "two"].hops][1:] == ["works", "works"]
    assert [name for name, _ in through.asked] == ["one", "two", "one", "two"]
    assert all(list(headers) == [f"x-mcp-{name}-authorization"] for name, headers in through.asked)
    assert json.loads((project.state / "embedded" / callers.SHIPPED).read_text()) == json.loads(before)  # no key of ours is left


def test_who_can_what_it_may_not_is_told(project, through):
    through.works = {("one", 1), ("two", 2), ("two", 4)}

    found = outcomes(project)

    assert [pair for pair, one in found.items() if not one.is_ok] == [("alice", "two")]
    assert found["alice", "two"].hops[2].seen == "may not, and can"
    said = as_callers.table(list(found.values()), lambda rows: iter("  ".join(row) for row in rows))
    assert "alice, two: through LiteLLM: may not, and can" in said


def test_without_callers_there_is_nothing_to_ask(project):
    assert outcomes(project, {}) == {}
