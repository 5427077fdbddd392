"""Secrets that each caller has its own of: what stanzas say, what is written where, and what operators are told."""

import json
import stat

import pytest
import yaml
from kinds import of
from pydantic import ValidationError

from bridge.cli import main
from bridge.config import read as read_config
from bridge.fleet import Fleet, Stanza, secrets_of_callers
from bridge.fleet import environment as environments
from bridge.fleet.engines import served
from bridge.fleet.environment import for_compose
from bridge.fleet.project import Project
from bridge.fleet.targets import compose, kubernetes
from bridge.fleet.targets.litellm import config
from bridge.settings import Settings

SAID = {"GITHUB_TOKEN": {"per": "caller", "header": "X-GitHub-Token"}}


def hub(**secrets) -> Stanza:
    return Stanza(name="hub", command="python3 server.py", secrets=secrets or SAID, smoke={"tool": "me", "build": False})


@pytest.fixture
def project(tmp_path):
    (tmp_path / "images/hub").mkdir(parents=True)
    (tmp_path / "images/hub/stanza.yaml").write_text(yaml.safe_dump({"command": "python3 server.py", "secrets": SAID}))
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ({"header": "X-A"}, "per: caller"),
        ({"missing": "fallback"}, "per: caller"),
        ({"per": "caller", "as": "file"}, "as: file"),
        ({"per": "caller", "header": "Authorization"}, "says who calls"),
        ({"per": "caller", "header": "X_A"}, "the door passes no other on"),  # nginx drops names with '_'
        ({"per": "caller", "header": "X-A: b"}, "the door passes no other on"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_way_out(secret, words):
    with pytest.raises(ValidationError, match=words):
        hub(KEY=secret)


def test_one_mcp_refuses_or_falls_back_and_does_not_do_both():
    with pytest.raises(ValidationError, match="the same for all"):
        hub(A={"per": "caller"}, B={"per": "caller", "missing": "fallback"})


def test_the_bridges_own_word_for_it_is_not_a_second_way():
    with pytest.raises(ValidationError, match="per: caller"):
        Stanza(name="hub", command="a", bridge={"caller-secret": ["A=header:X-A"]})


def test_a_process_for_each_caller_and_an_isolation_contradict_each_other():
    with pytest.raises(ValidationError, match=r"bridge\.isolation"):
        Stanza(name="hub", command="a", secrets=SAID, bridge={"isolation": "shared"})


def test_a_name_is_a_file_or_a_folder_in_all_stanzas():
    other = Stanza(name="other", command="a", secrets=["GITHUB_TOKEN"])

    with pytest.raises(ValidationError, match="another name with 'from'"):
        Fleet(stanzas=[hub(), other])
    assert Fleet(stanzas=[hub(), Stanza(name="other", command="a", secrets={"GITHUB_TOKEN": {"from": "BOTS_TOKEN"}})])


def test_it_starts_without_a_value_of_its_own():
    assert hub().missing({}) == [] and hub().profile == ""


def test_the_sidecar_sees_the_folder_and_is_told_where_values_come_from():
    service = compose.sidecar(of("1.77.3", hub()), hub())["services"]["hub"]

    assert "${GITHUB_TOKEN_CALLERS:-./defaults/callers}:/run/caller-secrets/GITHUB_TOKEN:ro" in service["volumes"]
    assert (
        service["environment"]["MCP_BRIDGE_CALLER_SECRET"]
        == "GITHUB_TOKEN=header:X-GitHub-Token,GITHUB_TOKEN=/run/caller-secrets/GITHUB_TOKEN"
    )
    assert service["environment"]["MCP_BRIDGE_CALLER_SECRET_MISSING"] == "refuse"
    assert "compose/defaults/callers/.nobody" in {file.path for file in of("1.77.3", hub()).render()}


def test_in_kubernetes_the_folder_is_a_secret_that_may_come_later():
    documents = kubernetes.sidecar(of("1.77.3", hub()), hub())
    pod = next(one for one in documents if one["kind"] == "Deployment")["spec"]["template"]["spec"]

    volume = {"secretName": "mcp-hub-github-token-callers", "optional": True, "defaultMode": 0o444}
    assert {"name": "mcp-hub-github-token-callers", "secret": volume} in pod["volumes"]
    mounts = pod["containers"][0]["volumeMounts"]
    assert {"name": "mcp-hub-github-token-callers", "mountPath": "/run/caller-secrets/GITHUB_TOKEN", "readOnly": True} in mounts


def test_litellm_passes_the_header_on_as_far_as_it_can():
    old = config(of("1.77.3", hub()))["mcp_servers"]["hub"]
    new = config(of("1.106.2", hub()))["mcp_servers"]["hub"]

    assert (old["auth_type"], old["auth_value"]) == ("bearer_token", "os.environ/BRIDGE_TOKEN") and "extra_headers" not in old
    assert new["auth_type"] == "none" and "auth_value" not in new
    assert new["static_headers"] == {"X-API-Key": "os.environ/BRIDGE_TOKEN"} and new["extra_headers"] == ["x-github-token"]


def test_values_lie_where_containers_can_read_them_and_the_mcps_own_is_no_callers(project):
    fleet = Fleet.load(project.images)
    folder = project.secrets / "GITHUB_TOKEN"
    folder.mkdir(parents=True)
    (folder / "alice").write_text("hers")
    (folder / "alice").chmod(0o600)  # as an operator with a careful umask makes it
    project.compose.joinpath(".env").write_text("GITHUB_TOKEN=its-own\n")

    environment = environments.complete(project, fleet)

    assert stat.S_IMODE((folder / "alice").stat().st_mode) == 0o444 and stat.S_IMODE(project.secrets.stat().st_mode) == 0o700
    assert (folder / ".own").read_text() == "its-own"
    assert secrets_of_callers.owners(project, "GITHUB_TOKEN") == ["alice"]
    lines = for_compose(environment, fleet, fleet.stanzas)
    assert lines["GITHUB_TOKEN_CALLERS"] == "./secrets/GITHUB_TOKEN" and lines["GITHUB_TOKEN_FILE"] == "./secrets/GITHUB_TOKEN/.own"

    project.env_file.write_text(project.env_file.read_text().replace("GITHUB_TOKEN=its-own\n", ""))
    environments.complete(project, fleet)

    assert not (folder / ".own").exists() and (folder / "alice").exists()


def test_a_file_in_the_folders_place_is_told_of_the_mcp_that_it_is_for_and_is_left_alone(project):
    project.secrets.mkdir(parents=True)
    (project.secrets / "GITHUB_TOKEN").write_text("a-value")
    fleet = Fleet.load(project.images)

    refused = environments.complete(project, fleet).refused

    assert list(refused) == [stanza.name for stanza in fleet.stanzas if "GITHUB_TOKEN" in stanza.caller_secrets]
    assert all("compose/secrets/GITHUB_TOKEN/CALLER" in why for why in refused.values())
    assert (project.secrets / "GITHUB_TOKEN").read_text() == "a-value"


def test_without_docker_the_bridge_is_told_the_same(project, tmp_path):
    fleet = Fleet.load(project.images)
    environment = environments.complete(project, fleet)
    (tmp_path / "mcps.json").write_text(json.dumps({"mcpServers": {"hub": served.entry(project, fleet["hub"], environment, tmp_path)}}))

    _, settings = read_config(Settings(config=str(tmp_path / "mcps.json"), strict=True))["hub"]

    assert settings.caller_secret == ("GITHUB_TOKEN=header:X-GitHub-Token", f"GITHUB_TOKEN={project.secrets}/GITHUB_TOKEN")
    assert settings.caller_secret_missing == "refuse"


def test_a_value_is_set_listed_and_removed(project, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin.read", lambda: "ghp_planted\n", raising=False)
    where = ["--project", str(project.root)]

    assert main(["secret", "set", "GITHUB_TOKEN", "--caller", "alice", *where]) == 0
    assert (project.secrets / "GITHUB_TOKEN/alice").read_text() == "ghp_planted"
    assert main(["secret", "list", *where]) == 0
    said = capsys.readouterr()
    assert "GITHUB_TOKEN is each caller's own (compose/secrets/GITHUB_TOKEN/CALLER or the header X-GitHub-Token): alice has one" in said.out
    assert "ghp_planted" not in said.out + said.err
    assert main(["secret", "remove", "GITHUB_TOKEN", "--caller", "alice", *where]) == 0
    assert secrets_of_callers.owners(project, "GITHUB_TOKEN") == []
    assert main(["secret", "set", "OTHER", "--caller", "alice", *where]) == 2
    assert main(["secret", "set", "GITHUB_TOKEN", "--caller", "../alice", *where]) == 2


def test_who_lacks_a_value_is_told_with_what_becomes_of_its_calls(project):
    keys = {name: {"token_sha256": 64 * name[0], "default": "execute"} for name in ("alice", "bob")}
    others = {"carol": {"token_sha256": 64 * "c", "may": {"other/*": "execute"}}, "litellm": {"default": "execute"}}
    (project.images / "fleet.yaml").write_text(yaml.safe_dump({"callers": keys | others}))
    fleet = Fleet.load(project.images)
    secrets_of_callers.keep(project, "GITHUB_TOKEN", "alice", "x")

    (line,) = secrets_of_callers.told(project, fleet)

    assert line.endswith("alice has one; bob: not here, so they are refused without")
    assert secrets_of_callers.lacking(project, fleet["hub"], "bob") == ["GITHUB_TOKEN"]
    assert secrets_of_callers.lacking(project, fleet["hub"], "alice") == []
