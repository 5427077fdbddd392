"""The callers of a fleet: what stands in images/fleet.yaml, what bridges are told, and `mcp-bridge caller`."""

import re

import pytest
import yaml
from kinds import PYTHON, of
from pydantic import ValidationError
from support import Bridge, zoo

from bridge.callers import file as callers_file
from bridge.callers.rules import Level
from bridge.callers.tokens import Tokens, hash_of
from bridge.cli import main
from bridge.fleet import Fleet
from bridge.fleet.engines import LastUp, remember
from bridge.fleet.project import Project
from bridge.fleet.targets import compose, kubernetes
from bridge.settings import UsageError

SAID = """\
# our fleet
name: home     # short

callers:
  # the family
  alice:
    token_sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    may: {"clock/*": execute}   # she wants the time
  # the cellar
  robot: {token_sha256: "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752", default: read}

# about the ports
port: 8100
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images/clock").mkdir(parents=True)
    (tmp_path / "images/clock/stanza.yaml").write_text("command: clock\n")
    (tmp_path / "images/fleet.yaml").write_text(SAID)
    return tmp_path


@pytest.fixture
def types(root, capsys):
    def run(*words: str, code: int = 0) -> str:
        ended = main([*words, "--project", str(root)])
        said = capsys.readouterr()
        assert ended == code, said.err
        return said.out + said.err

    return run


def shipped(root) -> dict:
    return yaml.safe_load((root / "compose/callers/callers.yaml").read_text())["callers"]


def test_a_bridge_is_told_of_all_by_hash_and_takes_it(root):
    fleet = Fleet.load(root / "images")
    (text,) = [file.text for file in compose.render(fleet) if file.path == "compose/callers/callers.yaml"]
    (root / "callers.yaml").write_text(text)
    tokens = Tokens({bytes([n]) * 32: name for n, name in enumerate(("operator", "litellm", "prometheus", "groups"))})

    callers = callers_file.read(str(root / "callers.yaml"), tokens)

    assert set(callers.by_name) == {"operator", "litellm", "prometheus", "groups", "alice", "robot"}
    assert not callers.of("groups").on("clock").is_hidden and callers.of("groups").on("clock").decide("tool", "now").level is Level.DENY
    assert callers.of("operator").is_admin and not callers.of("litellm").is_admin
    watch = callers.of("prometheus")
    assert watch.sees_metrics and not watch.may_anything
    assert not callers.everybody.may_anything
    assert callers.of("litellm").on("clock").allows_everything


def test_files_of_tokens_are_hashes_when_they_leave_the_machine(root):
    (root / "images/key").write_text("a-token-of-seventeen\n")
    (root / "images/fleet.yaml").write_text("callers: {ci: {token_file: key, default: read}}\n")

    fleet = Fleet.load(root / "images")

    assert fleet.callers["ci"] == {"default": "read", "token_sha256": [hash_of("a-token-of-seventeen").removeprefix("sha256:")]}


@pytest.mark.parametrize(
    ("callers", "words"),
    [
        ("alice: {default: read}", r"fleet\.yaml:2: callers\.alice: nobody can be this caller"),
        ("operator: {default: read}", "the fleet's own"),
        ("prometheus: {metrics: true}", "the fleet's own"),
        ("litellm: {token_sha256: 'aa', default: read}", "the fleet makes LiteLLM's key"),
        ("alice: {token_sha256: 'aa'}", r"fleet\.yaml:2: callers\.alice\.token_sha256"),
        ("alice: {jwt: {sub: alice}, default: read}", "the bridges of a fleet ask no issuer"),
        ("alice: {token_sha256: 'aa', mays: x}", "did you mean may"),
    ],
)
def test_a_mistake_is_told_with_its_line(root, callers, words):
    (root / "images/fleet.yaml").write_text(f"callers:\n  {callers}\n")

    with pytest.raises(UsageError, match=words):
        Fleet.load(root / "images")


def test_python_is_told_the_same():
    with pytest.raises(ValidationError, match="nobody can be this caller"):
        Fleet(stanzas=[PYTHON], callers={"alice": {"default": "read"}})


def test_litellm_may_be_told_to_do_less(root):
    (root / "images/fleet.yaml").write_text("callers: {litellm: {may: {'clock/*': read}}}\n")

    assert compose.known.shipped(Fleet.load(root / "images").callers)["callers"]["litellm"] == {"may": {"clock/*": "read"}}


def test_a_sidecar_sees_the_folder_so_that_a_replaced_file_is_seen():
    service = compose.sidecar(of("1.77.3"), PYTHON)["services"]["clock"]

    assert "./callers:/run/callers:ro" in service["volumes"]
    assert service["environment"]["MCP_BRIDGE_CALLERS"] == "/run/callers/callers.yaml"


def test_kubernetes_has_them_in_a_config_map_and_three_tokens_by_hash(tmp_path):
    fleet = of("1.77.3", PYTHON)
    told = yaml.safe_load(kubernetes.callers(fleet)["data"]["callers.yaml"])["callers"]
    pod = next(one for one in kubernetes.sidecar(fleet, PYTHON) if one["kind"] == "Deployment")["spec"]["template"]["spec"]

    assert told["prometheus"] == {"metrics": True, "token_file": "/run/secrets/prometheus_token"}
    assert {one["name"]: one["value"] for one in pod["containers"][0]["env"]}["MCP_BRIDGE_CALLERS"] == "/run/callers/callers.yaml"
    assert not any(one["name"] == "MCP_BRIDGE_TOKEN_FILE" for one in pod["containers"][0]["env"])
    (secrets,) = [one["projected"]["sources"] for one in pod["volumes"] if one["name"] == "secrets"]
    assert [(item["key"], item["path"]) for item in secrets[0]["secret"]["items"]] == [
        (f"{name}_hash", name) for name in ("operator_token", "bridge_token", "prometheus_token")
    ]
    monitor = next(one for one in kubernetes.monitoring(fleet) if one["kind"] == "PodMonitor")
    assert monitor["spec"]["podMetricsEndpoints"][0]["authorization"]["credentials"]["key"] == "prometheus_token"


def test_a_new_caller_is_written_beside_the_others_and_its_key_is_shown_once(types, root):
    said = types("caller", "add", "bob", "--may", "clock/*=execute", "--may", "*/delete_*=deny")
    key = said.split()[0]
    text = (root / "images/fleet.yaml").read_text()

    assert len(key) == 46 and key.startswith("sk-") and key not in text
    assert yaml.safe_load(text)["callers"]["bob"] == {
        "token_sha256": hash_of(key).removeprefix("sha256:"),
        "may": {"clock/*": "execute", "*/delete_*": "deny"},
    }
    for line in SAID.splitlines():
        assert line in text.splitlines()  # comments too
    assert text.index("robot") < text.index("bob") < text.index("# about the ports")
    assert shipped(root)["bob"]["may"] == {"clock/*": "execute", "*/delete_*": "deny"}
    assert key not in (root / "compose/callers/callers.yaml").read_text()


def test_a_key_is_rotated_and_a_caller_removed_and_the_rest_stays(types, root):
    types("caller", "rotate", "robot")
    after = yaml.safe_load((root / "images/fleet.yaml").read_text())["callers"]
    assert after["robot"]["default"] == "read" and not after["robot"]["token_sha256"].startswith("60303ae")
    types("caller", "remove", "robot")
    types("caller", "remove", "alice")

    text = (root / "images/fleet.yaml").read_text()
    assert yaml.safe_load(text) == {"name": "home", "port": 8100}
    assert "# our fleet" in text and "# about the ports" in text
    assert set(shipped(root)) == {"operator", "litellm", "prometheus", "groups"}


@pytest.mark.parametrize("names", [("operator", "litellm", "prometheus"), ("operator", "litellm", "prometheus", "groups")])
def test_who_runs_and_does_not_take_a_new_caller_is_told(types, root, tmp_path, names):
    """Bridges of an earlier version have no key of a caller that the fleet has of its own since: they refuse the whole file, a removal too."""
    (root / "compose/callers").mkdir(parents=True)
    (root / "compose/callers/callers.yaml").write_text("callers: {operator: {may: {'*/*': admin}}}\n")
    keys = {name: f"{name}-{'k' * 32}" for name in names}
    (tmp_path / "tokens").write_text("".join(f"{name} {hash_of(key)}\n" for name, key in keys.items()))
    options = ("--name", "clock", "--callers", root / "compose/callers/callers.yaml", "--token-file", tmp_path / "tokens")
    with Bridge(zoo("echo"), *options) as bridge:
        port = bridge.url.rpartition(":")[2]
        (root / "compose/.env").write_text(f"MCP_PORT={port}\nBRIDGE_TOKEN={keys['operator']}\nLITELLM_MASTER_KEY=sk-1234567890\n")
        remember(Project(root), LastUp("embedded", ("clock",), {}, "1.77.3"))
        added, removed = types("caller", "add", "bob"), types("caller", "remove", "alice")

    is_told = "groups" not in names
    assert ("callers.groups: nobody can be this caller" in added) == ("callers.groups: nobody" in removed) == is_told
    assert ("It counts at the next `mcp-bridge up`" if is_told else "It counts within seconds") in added
    assert ("ends, at the next `mcp-bridge up`" if is_told else "ends, within seconds") in removed


def test_the_first_caller_of_a_fleet_that_has_no_file_of_its_own(types, root):
    (root / "images/fleet.yaml").unlink()

    types("caller", "add", "alice")

    assert re.fullmatch(
        r"callers:\n  alice:\n    token_sha256: [0-9a-f]{64}\n    default: execute\n", (root / "images/fleet.yaml").read_text()
    )


def test_of_two_callers_that_were_added_the_first_is_rotated_and_removed_too(types, root):
    types("caller", "add", "bob")
    types("caller", "add", "carol")
    before = (root / "images/fleet.yaml").read_text().splitlines()
    types("caller", "rotate", "bob")
    after = (root / "images/fleet.yaml").read_text().splitlines()
    types("caller", "remove", "bob")

    assert [old.split(":")[0] for old, new in zip(before, after, strict=True) if old != new] == ["    token_sha256"]
    assert list(yaml.safe_load((root / "images/fleet.yaml").read_text())["callers"]) == ["alice", "robot", "carol"]


@pytest.mark.parametrize("text", ["callers: {alice: {default: read, token_sha256: '" + "a" * 64 + "'}}\n", "{port: 8100}\n"])
def test_a_file_written_in_another_way_is_left_alone_with_what_to_write(types, root, text):
    (root / "images/fleet.yaml").write_text(text)

    said = types("caller", "add", "bob", code=2)

    assert "write the callers there yourself" in said and "bob" in said
    assert (root / "images/fleet.yaml").read_text() == text


@pytest.mark.parametrize(
    "words",
    [
        ("add", "operator"),
        ("add", "alice"),
        ("add", "bob", "--may", "clock=execute"),
        ("add", "bob", "--may", "clock/*=all"),
        ("rotate", "bob"),
        ("rotate", "litellm"),
        ("remove", "bob"),
        ("add", "b b"),
        ("add",),
    ],
)
def test_what_cannot_be_done_changes_nothing(types, root, words):
    types("caller", *words, code=2)

    assert (root / "images/fleet.yaml").read_text() == SAID


def test_what_bridges_cannot_be_told_of_is_not_kept_either(types, root):
    (root / "compose").mkdir()
    (root / "compose/callers").write_text("a file in the place of a folder")

    types("caller", "add", "bob", code=1)

    assert (root / "images/fleet.yaml").read_text() == SAID


def test_who_there_is_is_listed_without_a_key(types, root):
    said = types("caller", "list")

    assert (
        re.search(r"alice +clock/\*: execute", said)
        and re.search(r"prometheus +metrics", said)
        and re.search(r"operator +\*/\*: admin", said)
    )
    assert "9f86d" not in said + types("caller", "list", "--json")
