"""What is pasted into clients: read again by what reads such files, and never with a key that was not asked for."""

import json
import re

import pytest
import yaml

from bridge.cli import main
from bridge.clients import document, formats
from bridge.fleet.clients import CLIENTS
from bridge.fleet.engines import LastUp, remember
from bridge.fleet.project import Project

TOKEN, HASH = "0123456789abcdef-the-operators", "a" * 64


@pytest.fixture
def project(tmp_path):
    for name in ("clock", "git-host"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "stanza.yaml").write_text("command: server\n")
    fleet = {"callers": {"alice": {"token_sha256": HASH, "may": {"clock/*": "execute"}}, "nobody": {"token_sha256": "b" * 64}}}
    (tmp_path / "images/fleet.yaml").write_text(yaml.safe_dump(fleet))
    (tmp_path / "compose").mkdir()
    (tmp_path / "compose/.env").write_text(f"BRIDGE_TOKEN={TOKEN}\nLITELLM_MASTER_KEY=sk-0123456789abcdef\nMCP_PORT=8123\n")
    remember(Project(tmp_path), LastUp("embedded", ("clock", "git-host"), {}, "1.77.3"))
    return tmp_path


@pytest.fixture
def types(project, capsys):
    def run(*words: str, code: int = 0) -> str:
        ended = main(["connect", *words, "--project", str(project)])
        said = capsys.readouterr()
        assert ended == code, said.err
        return said.out if code == 0 else said.err

    return run


@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_is_told_the_address_of_each_mcp_and_no_key(types, client):
    said = types(client)

    assert "http://127.0.0.1:8123/clock/mcp" in said and "http://127.0.0.1:8123/git-host/mcp" in said
    assert TOKEN not in said and "KEY: BRIDGE_TOKEN of compose/.env" in said


@pytest.mark.parametrize("client", ["claude-desktop", "cursor", "vscode"])
def test_files_are_what_readers_of_such_files_understand(types, client):
    said = types(client, "--with-key")
    text = said[said.index("{") : said.rindex("}") + 1]
    entries = {entry.name: entry for entry in formats.entries(document.parse(text, "x.json"))}

    assert set(entries) == {"clock", "git-host"} and not any(entry.wrong for entry in entries.values())
    if client == "claude-desktop":
        assert entries["clock"].command[:4] == ("npx", "-y", "mcp-remote", "http://127.0.0.1:8123/clock/mcp")
        assert json.loads(text)["mcpServers"]["clock"]["env"] == {"MCP_FLEET_KEY": f"Bearer {TOKEN}"}
    else:
        assert entries["clock"].url == "http://127.0.0.1:8123/clock/mcp"
    assert (TOKEN in text) == (client != "vscode")  # which asks for it


def test_litellms_entry_is_yaml_with_a_name_that_it_takes(types):
    said = types("litellm")
    servers = yaml.safe_load(said[said.index("mcp_servers:") : said.index("\nKEY")])["mcp_servers"]

    assert set(servers) == {"clock", "git_host"} and servers["clock"]["auth_value"] == "os.environ/MCP_FLEET_KEY"


def test_a_caller_is_told_of_what_it_may_see_and_where_its_key_is(types):
    said = types("curl", "--as", "alice")

    assert re.findall(r"http://\S+/mcp", said) == ["http://127.0.0.1:8123/clock/mcp"]
    assert "KEY: alice's, shown when alice was added" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--as", "bob"), "no such caller; there are alice"),
        (("--as", "litellm"), "no such caller"),
        (("--as", "alice", "--with-key"), "caller rotate alice"),
        (("--as", "nobody"), "may see none"),
        (("there-is-none",), "no MCP 'there-is-none'"),
    ],
)
def test_what_cannot_be_is_told(types, words, told):
    assert told in types("curl", *words, code=2)


def test_a_group_is_one_address_for_who_may_see_any_of_its_members(types, project):
    file = project / "images/fleet.yaml"
    file.write_text(file.read_text() + "groups: {both: [clock, git-host], host: [git-host]}\n")

    assert "http://127.0.0.1:8123/both/mcp" in types("curl", "--group", "both")
    assert "git-host" not in types("curl", "--group", "both", "--as", "alice")
    assert "may see none of git-host" in types("curl", "--group", "host", "--as", "alice", code=2)
    assert "there are all, both, host" in types("curl", "--group", "other", code=2)
