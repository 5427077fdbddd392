"""How an entry of a desktop client, a package, an image or a URL becomes a stanza. Most of it is words in, words out."""

import json
import os
import tarfile
from dataclasses import replace

import pytest
import yaml

from bridge.child.environment import read_secret
from bridge.cli import main
from bridge.clients import document as documents
from bridge.fleet import environment as environments
from bridge.fleet import lock, origins
from bridge.fleet.adding import add, desktop, secret_values
from bridge.fleet.adding.draft import Draft, executable, holds_secret, is_blank, is_secret, stanza_name
from bridge.fleet.adding.elsewhere import Entry
from bridge.fleet.adding.sources import SOURCES, Asked
from bridge.fleet.adding.trial.attempt import Bench
from bridge.fleet.commands.add import summary
from bridge.fleet.engines.programs import Failed
from bridge.fleet.load import read_stanza
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project
from bridge.settings import UsageError


def entry(name="it", **said) -> Entry:
    return desktop.entries(documents.parse(json.dumps({"mcpServers": {name: said}})))[0]


def program(line: str, **said) -> Draft:
    command, *args = line.split()
    return entry(command=command, args=args, **said).draft


@pytest.mark.parametrize(
    "line, source, command",
    [
        ("npx -y pkg", {"npm": "pkg"}, ()),
        ("npx -y @a/pkg@latest /data --x", {"npm": "@a/pkg"}, ("/data/data", "--x")),
        ("npx --yes @a/pkg@1.2.3", {"npm": "@a/pkg@1.2.3"}, ()),
        ("npx -p @a/pkg@^1 the-server --x", {"npm": "@a/pkg"}, ("the-server", "--x")),
        ("npx --package=pkg the-server", {"npm": "pkg"}, ("the-server",)),
        ("cmd /c npx -y pkg --x", {"npm": "pkg"}, ("--x",)),
        ("C:\\node\\npx.cmd -y pkg", {"npm": "pkg"}, ()),
        ("bunx pkg", {"npm": "pkg"}, ()),
        ("pnpm dlx pkg", {"npm": "pkg"}, ()),
        ("uvx pkg --x", {"pypi": "pkg"}, ("", "--x")),
        ("uvx pkg@latest", {"pypi": "pkg"}, ("",)),
        ("uvx pkg@1.0", {"pypi": "pkg==1.0"}, ("",)),
        ("uvx --python 3.12 --from pkg[all]==2.0 the-server --x", {"pypi": "pkg[all]==2.0"}, ("the-server", "--x")),
        ("uvx --with other pkg", {"pypi": ["pkg", "other"]}, ("",)),
        ("uv tool run pkg", {"pypi": "pkg"}, ("",)),
        ("pipx run pkg", {"pypi": "pkg"}, ("",)),
        ("docker run -i --rm mcp/a --x", {"image": "mcp/a"}, ("--x",)),
        ("docker run -i --rm --network host --name it mcp/a:1", {"image": "mcp/a:1"}, ()),
        ("node /home/me/it/index.js --x", {}, ("node", "/app/index.js", "--x")),
        ("python -u C:\\me\\it.py", {}, ("python3", "-u", "/app/it.py")),
        ("python3.12 -m it --x", {}, ("python3", "-m", "it", "--x")),
        ("/opt/it/server --x", {"binary": {"file": "server"}}, ("server", "--x")),
    ],
)
def test_what_a_desktop_client_runs_becomes_a_source_and_a_command(line, source, command):
    draft = program(line)

    assert (draft.source, draft.command) == (source, command)


@pytest.mark.parametrize(
    "said, why",
    [
        ({"command": "uvx", "args": ["git+https://host/a"]}, "does not come from a registry"),
        ({"command": "npx", "args": ["-y", "github:a/b"]}, "does not come from a registry"),
        ({"command": "uv", "args": ["--directory", "/me/it", "run", "it.py"]}, "`uv run` in /me/it"),
        ({"command": "npx", "args": ["-y"]}, "npx without a package"),
        ({"command": "docker", "args": ["run", "-i"]}, "docker without an image"),
        ({"args": ["x"]}, "'command' is missing, and 'url' too"),
        ({"command": "npx", "args": ["a"], "disabled": True}, "disabled there"),
        ({"url": "https://host/mcp?api_key=x"}, "its URL holds a secret"),
        ({"command": "docker", "args": ["exec", "-i", "box", "server"]}, "`docker exec` names no image"),
        ({"command": "docker", "args": ["compose", "run", "it"]}, "`docker compose` names no image"),
        ({"url": 5}, "'url' is not a text"),
        ({"url": ["https://h"]}, "'url' is not a text"),
        ({"command": ["npx", {}]}, "'command' is not a list of texts"),
        ({"command": "a 'b"}, "'command': No closing quotation"),
        ({"command": "npx", "args": "-y @model/x"}, "'args' is not a list"),
        ({"command": "npx", "args": 5}, "'args' is not a list"),
        ({"command": "npx", "args": [["a"]]}, "'args' is not a list"),
        ({"command": "cat", "env": ["A=b"]}, "'env' is not an object"),
        ({"command": "cat", "env": {"A": {}}}, "'env' is not an object"),
        ({"command": "cat", "disabledTools": 5}, "'disabledTools' is not a list"),
        ({"command": "cat", "env": {"A_KEY": "a\0b"}}, "a null byte"),
        ({"command": "cat", "env": {"A_KEY": "\ud800"}}, "half a character"),
        ({"url": "https://h", "headers": ["a"]}, "'headers' is not an object"),
    ],
)
def test_what_cannot_become_a_stanza_says_why(said, why):
    made = entry(**said)

    assert made.skipped and why in made.notes[0]


def test_what_looks_like_a_secret_never_stands_in_a_stanza():
    made = entry(
        command="npx",
        args=["-y", "pkg", "--api-key=s3", "--dsn", "postgres://me:s4@host/db"],
        env={"GITHUB_TOKEN": "s1", "DATABASE_URL": "postgres://me:s2@host/db", "KEY_FILE": "/k", "LEVEL": "info", "A_KEY": "<your key>"},
    )

    assert made.values == {
        "GITHUB_TOKEN": "s1",
        "DATABASE_URL": "postgres://me:s2@host/db",
        "IT_API_KEY": "s3",
        "IT_DSN": "postgres://me:s4@host/db",
    }
    assert made.draft.secrets == ("GITHUB_TOKEN", "DATABASE_URL", "KEY_FILE", "A_KEY")
    assert made.draft.as_files == ("KEY_FILE",)
    assert not any(secret in made.draft.text for secret in ("s1", "s2", "s3", "s4", "your key"))
    assert "${IT_API_KEY}" in made.draft.text and made.draft.env["LEVEL"] == "info"


def test_docker_s_variables_and_folders_are_taken_over_and_the_rest_is_said():
    made = entry(
        command="docker",
        env={"TOKEN": "s1"},
        args=[
            "run",
            "-i",
            "--rm",
            "-e",
            "TOKEN",
            "--env",
            "LEVEL=info",
            "-v",
            "/me:/data:ro",
            "--mount",
            "type=bind,src=/you,dst=/more",
            "--gpus=all",
            "mcp/a",
        ],
    )

    assert (made.draft.secrets, made.values, made.draft.env) == (("TOKEN",), {"TOKEN": "s1"}, {"LEVEL": "info"})
    assert made.draft.volumes == ("/me:/data:ro", "/you:/more")
    assert made.notes == ("not taken over: --gpus all",)


def test_a_folder_of_that_machine_becomes_a_volume():
    made = program("npx -y files /home/me/Documents --log=/tmp/log C:\\x ${workspaceFolder} ${userHome}/Documents $HOME/y")

    home = os.path.expanduser("~")
    assert made.volumes == (
        "/home/me/Documents:/data/Documents",
        "/tmp/log:/data/log",
        "${IT_X}:/data/x",
        "${WORKSPACE_FOLDER}:/data/workspace",
        f"{home}/Documents:/data/Documents-2",
        f"{home}/y:/data/y",
    )
    assert made.command == ("/data/Documents", "--log=/data/log", "/data/x", "/data/workspace", "/data/Documents-2", "/data/y")


@pytest.mark.parametrize(
    "said, transport, auth, values",
    [
        ({"url": "https://h/mcp"}, "http", {}, {}),
        ({"url": "https://h/sse"}, "sse", {}, {}),
        ({"type": "sse", "url": "https://h/x"}, "sse", {}, {}),
        (
            {"url": "https://h/mcp", "headers": {"Authorization": "Bearer s1"}},
            "http",
            {"type": "bearer_token", "value_env": "IT_TOKEN"},
            {"IT_TOKEN": "s1"},
        ),
        (
            {"url": "https://h/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}},
            "http",
            {"type": "bearer_token", "value_env": "IT_TOKEN"},
            {},
        ),
        (
            {"url": "https://h/mcp", "headers": {"X-API-Key": "s1"}},
            "http",
            {"type": "api_key", "value_env": "IT_X_API_KEY"},
            {"IT_X_API_KEY": "s1"},
        ),
        ({"command": "npx", "args": ["-y", "mcp-remote@latest", "https://h/sse"]}, "sse", {}, {}),
    ],
)
def test_a_url_becomes_a_remote_mcp(said, transport, auth, values):
    made = entry(**said)

    assert made.draft.source == {"url": made.draft.source["url"]} and made.draft.command == ()
    assert (made.draft.transport, made.draft.auth, made.values) == (transport, auth, values)
    add._checked(made.draft)


def test_a_remote_mcp_keeps_all_its_headers():
    draft = entry(url="https://h/mcp", headers={"X-API-Key": "s1", "Authorization": "Bearer s2"}).draft

    assert (draft.auth["value_env"], draft.static_headers) == ("IT_TOKEN", {"X-API-Key": "os.environ/IT_X_API_KEY"})


def test_what_is_not_understood_is_said():
    made = entry(command="npx", args=["pkg", "😀 \\u0000"], frob=True, cwd="/me", disabledTools=["rm"])

    assert [note.partition(":")[0] for note in made.notes] == [
        "cwd /me is a folder of that machine",
        "not understood",
        "tools that were hidden there",
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"mcpServers": {}}', '{"mcp": "x"}', '{"mcpServers": [1]}'])
def test_a_file_without_servers_is_refused(text):
    with pytest.raises(UsageError):
        desktop.entries(documents.parse(text))


@pytest.mark.parametrize(
    "name, made",
    [("Memory Bank", "memory-bank"), ("@a/b_c", "a-b-c"), ("42", "mcp-server"), ("metrics", "my-metrics"), ("ü", "mcp-server")],
)
def test_any_name_becomes_one(name, made):
    assert stanza_name(name) == made


@pytest.mark.parametrize(
    "name, secret",
    [
        ("GITHUB_TOKEN", True),
        ("API_KEY", True),
        ("OPENAI_API_KEY", True),
        ("DB_PASSWORD", True),
        ("REDIS_PWD", True),
        ("CLIENT_SECRET", True),
        ("DSN", True),
        ("DATABASE_URI", True),
        ("apikey", True),
        ("KEYBOARD", False),
        ("TOKEN_FILE", False),
        ("SSH_AUTH_SOCK", False),
        ("X_NO_AUTH", False),
        ("X_REQUIRE_CHAIN_KEY", False),
        ("X_USE_KEY", False),
        ("MAX_TOKENS", False),
        ("EMBEDDING_RATE_LIMIT_TOKENS", False),
        ("ADMIN_TOKENS", True),
        ("AUTH_RATE_LIMIT_MAX", False),
        ("TOKEN_REFRESH_INTERVAL", False),
        ("PASSTHROUGH", False),
        ("URL", False),
        ("SLACK_WEBHOOK_URL", True),
        ("SLACK_WEBHOOK", True),
        ("WEBHOOK_PORT", False),
    ],
)
def test_a_secret_is_known_by_its_name(name, secret):
    assert is_secret(name) is secret


@pytest.mark.parametrize("name, secret", [("DATABASE_URL", True), ("MY_REDIS_URL", True), ("API_URL", False), ("REDIS_URL_PATH", False)])
def test_an_address_that_may_have_a_password_in_it_is_a_secret_where_there_is_no_value_to_look_at(name, secret):
    given = entry(command="cat", env={name: "redis://cache:6379"}).draft

    assert holds_secret(name) is secret
    assert given.env == {name: "redis://cache:6379"}


@pytest.mark.parametrize(
    "value, blank",
    [
        ("", True),
        ("<YOUR_KEY>", True),
        ("your-api-key", True),
        ("YOUR_TOKEN_HERE", True),
        ("${TOKEN}", True),
        ("xxx", True),
        ("SEU TOKEN", True),
        ("tu_clave_api", True),
        ("votre-clé", True),
        ("你的密钥", True),
        ("ghp_abc", False),
        ("info", False),
        ("su-madrid", False),
        ("ton-tokyo", False),
    ],
)
def test_a_placeholder_is_no_value(value, blank):
    assert is_blank(value) is blank


def test_the_server_is_the_program_that_is_called_like_its_package():
    assert executable("mcp-server-time", ["mcp-server-time"]) == "mcp-server-time"
    assert executable("@zereight/mcp-gitlab", ["zereight-mcp-gitlab", "mcp-gitlab"]) == "mcp-gitlab"
    assert executable("filing-tools", ["filing-tools", "filing-tools-mcp"]) == "filing-tools-mcp"
    assert executable("mcp-voice", ["mcp-voice-server", "mcp-voice-server-stdio", "publish"]) == "mcp-voice-server-stdio"
    assert executable("markitdown-mcp", ["markitdown", "x"]) == "markitdown"
    assert executable("@a/server", ["setup", "mcp-a"]) == "mcp-a"


def test_the_text_of_a_stanza_says_what_the_draft_says_and_what_is_to_be_decided():
    draft = Draft(
        "it",
        {"npm": "@a/b@1.0.0"},
        ("b", "--at", "${WHERE}", "x: y"),
        'It "is" #1',
        {"LEVEL": "1"},
        ("KEY",),
        ("data:/data",),
        ("git",),
        smoke={"tool": "look", "build": False},
    )

    said = yaml.safe_load(draft.text)

    assert said["command"] == ["b", "--at", "${WHERE}", "x: y"] and said["description"] == 'It "is" #1'
    assert said["egress"] is True and said["secrets"] == {"KEY": {}} and said["env"] == {"LEVEL": "1"}
    assert add._checked(draft).smoke.tool == "look"
    assert "max_in_flight: 1 if calls at once may hurt" in draft.text


@pytest.mark.parametrize(
    "words",
    [
        ["cat", word]
        for word in (
            "x: y",
            "foo:",
            "-",
            "--",
            "a #b",
            "#b",
            "😀",
            "'",
            '"',
            "it's",
            "a\\b",
            "[a",
            "{a}",
            "&a",
            "*a",
            "!a",
            "|",
            ">",
            "%a",
            "@a",
            "`a`",
            "?",
            "? a",
            "",
            " ",
            "ü",
            "~",
            "=",
            "<<",
            "yes",
            "null",
            "$A",
            ",",
            "a;b",
            "(a)",
        )
    ]
    + [
        [word]
        for word in (
            "true",
            "no",
            "null",
            "~",
            "5",
            "1e3",
            "0x1f",
            "12:30:45",
            "2020-01-01",
            "-",
            "---",
            "...",
            "=",
            "a:",
            ":a",
            "<<",
            "x y",
            ".5",
        )
    ],
)
def test_any_word_stands_in_a_stanza_as_it_was_said(words, tmp_path):
    """By the loader of stanzas, in each place that takes words."""
    draft = Draft(
        "it", command=tuple(words), description=words[-1], env={"yes": words[-1], "N": words[-1], "null": "x"}, secrets=("no", "on")
    )
    (tmp_path / "it").mkdir()
    (tmp_path / "it/stanza.yaml").write_text(draft.text, encoding="utf-8")

    stanza = read_stanza(tmp_path / "it/stanza.yaml")

    assert (stanza.command, stanza.description, stanza.env) == (words, words[-1].strip(), {"yes": words[-1], "N": words[-1], "null": "x"})
    assert list(stanza.secrets) == ["no", "on"]


@pytest.mark.parametrize("word", ["\t", "a\nb", "a\n---\nb", "a\u2028b", "\x7f"])
def test_what_would_begin_a_line_of_its_own_gets_into_no_stanza(word):
    with pytest.raises(UsageError, match=f"command.1: {'a tab' if word == chr(9) else '.* in '}"):
        add._checked(Draft("it", command=("cat", word)))
    assert add._checked(Draft("it", command=("cat",), description=f"a {word} b\nLITELLM_MASTER_KEY=x")).description.count("\n") == 0


def test_what_a_package_says_of_itself_is_nothing_that_litellm_looks_up():
    assert (
        add._checked(Draft("it", command=("cat",), description="os.environ/LITELLM_MASTER_KEY")).description
        == "'os.environ/LITELLM_MASTER_KEY'"
    )


# ---- written to a disk -----------------------------------------------------------------


@pytest.fixture
def project(tmp_path):
    (tmp_path / "images").mkdir()
    return Project(tmp_path)


def test_a_stanza_that_is_there_is_never_written_over(project):
    made = add.Adding(project, trial=False).one("command", Asked("own", "", ("cat",)))
    made.path.write_text("mine")

    with pytest.raises(UsageError, match="is there already"):
        add.Adding(project, trial=False).one("command", Asked("own", "", ("sort",)))
    assert made.path.read_text() == "mine"


def test_what_cannot_be_added_leaves_nothing_behind(project):
    with pytest.raises(UsageError, match="installs at every start"):
        add.Adding(project, trial=False).one("command", Asked("own", "", ("npx", "-y", "x")))
    with pytest.raises(UsageError, match="call it my-own"):
        add.Adding(project, trial=False).one("command", Asked("My Own", "cat"))
    assert list(project.images.iterdir()) == []


def test_of_a_deprecated_package_that_cannot_be_locked_the_one_that_helps_is_told(project, monkeypatch):
    said = {"name": "it", "version": "1.0.0", "bin": "./x.js", "description": "DEPRECATED: renamed to @they/it-mcp."}
    monkeypatch.setattr(origins, "npm", lambda *_: json.dumps(said))

    def refused(*_):
        raise lock.CannotLock("it: npm finds no packages that fit together")

    monkeypatch.setattr(lock, "lock", refused)

    with pytest.raises(UsageError, match="fit together; its publisher calls it deprecated .* `mcp-bridge add --npm @they/it-mcp` adds"):
        add.Adding(project, trial=False).one("npm", Asked("it", "it"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_folder_that_was_there_is_as_it_was_when_adding_fails_half_way(project, monkeypatch, error):
    folder = project.images / "it"
    (folder / "app").mkdir(parents=True)
    (folder / "requirements.lock").write_text("of an earlier stanza")

    def locked(project, stanza, upgrade=False):
        (folder / "package.json").write_text("{}")
        (folder / ".new").write_text("of this one")
        (folder / ".new").replace(folder / "requirements.lock")

    monkeypatch.setattr(add.lock, "lock", locked)
    monkeypatch.setattr(add.Adding, "_tried", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else UsageError):
        add.Adding(project).one("command", Asked("it", "cat"))

    assert sorted(path.name for path in project.images.rglob("*")) == ["app", "it", "requirements.lock"]
    assert (folder / "requirements.lock").read_text() == "of an earlier stanza"


def test_a_stanza_does_not_stand_without_the_secrets_that_were_to_be_kept(project, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(secret_values, "write_private", full)
    with pytest.raises(UsageError, match="No space left on device"):
        add.Adding(project, trial=False, keep=True).one("command", Asked("it", "cat"), {"A_KEY": "s1"})

    assert list(project.images.iterdir()) == [] and not project.env_file.exists()


def test_a_file_is_imported_entry_by_entry_and_its_secrets_are_kept_on_demand(project, tmp_path):
    file = tmp_path / "claude_desktop_config.json"
    file.write_text(
        json.dumps(
            {
                "mcpServers": {
                    "Far Away": {"url": "https://h/mcp", "headers": {"Authorization": "Bearer it's s1"}},
                    "own": {"command": "node", "args": ["/me/it.js"], "env": {"A_TOKEN": "s2"}},
                    "odd": {"command": "uvx", "args": ["git+https://h/x"]},
                }
            }
        )
    )
    project.compose.mkdir()
    project.env_file.write_text("A_TOKEN=mine")

    every = add.Adding(project, trial=False, keep=True).all_of(file)

    assert [(added.name, bool(added.path)) for added in every] == [("far-away", True), ("own", True), ("odd", False)]
    assert project.env_file.read_text() == 'A_TOKEN=mine\nFAR_AWAY_TOKEN="it\'s s1"\nOWN_A_TOKEN=s2\n'
    assert os.stat(project.env_file).st_mode & 0o777 == 0o600
    own = read_stanza(project.images / "own/stanza.yaml")
    assert (own.env, own.stored("A_TOKEN"), own.required_secrets) == ({}, "OWN_A_TOKEN", ["OWN_A_TOKEN"])
    assert "s2" not in (project.images / "own/stanza.yaml").read_text()
    assert [added.path for added in add.Adding(project, trial=False).all_of(file)] == [None, None, None]


def imported(project, servers) -> list[add.Added]:
    file = project.root / "desktop.json"
    file.write_text(json.dumps({"mcpServers": servers}))
    return add.Adding(project, trial=False, keep=True).all_of(file)


def test_two_mcps_that_call_different_keys_the_same_each_get_their_own(project):
    one, two, three, blank = imported(
        project,
        {
            "one": {"command": "cat", "env": {"API_KEY": "s1"}},
            "two-2": {"command": "cat", "env": {"API_KEY": "s2"}},
            "three": {"command": "cat", "env": {"API_KEY": "s1"}},
            "blank": {"command": "cat", "env": {"API_KEY": "<your key>"}},
        },
    )

    assert environments.read(project).values == {"API_KEY": "s1", "TWO_2_API_KEY": "s2"}
    assert read_stanza(one.path).required_secrets == read_stanza(three.path).required_secrets == ["API_KEY"]
    assert (read_stanza(two.path).env, read_stanza(two.path).stored("API_KEY"), read_stanza(blank.path).stored("API_KEY")) == (
        {},
        "TWO_2_API_KEY",
        "BLANK_API_KEY",
    )
    assert "API_KEY is taken by another value: here it is TWO_2_API_KEY" in summary(project, two, True)
    assert "TWO_2_API_KEY: its value is in compose/.env" in summary(project, two, True)
    assert "s2" not in summary(project, two, True) + two.path.read_text()


def test_a_value_of_the_operator_or_of_the_fleet_is_never_given_to_a_new_mcp(project):
    (project.secrets).mkdir(parents=True)
    (project.secrets / "API_KEY").write_text("mine\n")
    project.env_file.write_text("export IT_KEY='also mine'\n")

    same, other, _ = imported(
        project,
        {
            "same": {"command": "cat", "env": {"API_KEY": "mine"}},
            "it": {"command": "cat", "args": ["--key=s2"], "env": {"API_KEY": "s1"}},
            "db": {"command": "cat", "env": {"POSTGRES_PASSWORD": "s3"}},
        },
    )

    assert environments.read(project).values == {
        "API_KEY": "mine\n",
        "IT_KEY": "also mine",
        "IT_KEY_2": "s2",
        "IT_API_KEY": "s1",
        "DB_POSTGRES_PASSWORD": "s3",
    }
    assert read_stanza(same.path).required_secrets == ["API_KEY"]
    assert (read_stanza(other.path).command, read_stanza(other.path).required_secrets) == (["cat", "--key=${IT_KEY_2}"], ["IT_API_KEY"])


def test_what_a_trial_finds_that_a_package_wants_gets_no_value_that_others_have(project):
    """A package may name any variable: in its last words, its code and its README."""
    project.env_file.parent.mkdir(parents=True, exist_ok=True)
    project.env_file.write_text("OPENAI_API_KEY=mine\nSITE=there\nGIVEN_KEY=its\n")
    asked = Draft("it", secrets=("GIVEN_KEY",))
    found = Draft("it", secrets=("GIVEN_KEY", "OPENAI_API_KEY", "LITELLM_MASTER_KEY", "NEW_KEY"), env={"SITE": "${SITE}"})

    own = add.Adding(project)._with_own_names(asked, found).draft

    assert own.stored == {"OPENAI_API_KEY": "IT_OPENAI_API_KEY", "LITELLM_MASTER_KEY": "IT_LITELLM_MASTER_KEY"}
    assert own.env == {"SITE": "${IT_SITE}"}
    assert Bench(project, "image", frozenset(secret_values.names(asked))).known() == {"GIVEN_KEY": "its"}


@pytest.mark.parametrize(
    "name, stored",
    [("API_KEY", "IT_API_KEY"), ("DATABASE_URL", "IT_DATABASE_URL"), ("SITE_API_KEY", "SITE_API_KEY"), ("IT_TOKEN", "IT_TOKEN")],
)
def test_a_name_that_says_nothing_of_whose_it_is_gets_that_of_the_mcp(project, name, stored):
    """Two packages that both read API_KEY would else be given one and the same."""
    found = add.Adding(project)._with_own_names(Draft("it"), Draft("it", secrets=(name,)))
    asked = add.Adding(project)._with_own_names(Draft("it", secrets=(name,)), Draft("it", secrets=(name,)))

    assert (secret_values.names(found.draft), secret_values.names(asked.draft)) == ([stored], [name])
    assert list(found.notes) == ([f"{name} does not say whose it is: here it is {stored}"] if name != stored else [])


def test_two_secrets_of_one_entry_do_not_become_one():
    made = entry(command="cat", args=["--token", "s2", "--token=s3"], env={"IT_TOKEN": "s1"})

    assert made.values == {"IT_TOKEN": "s1", "IT_TOKEN_2": "s2", "IT_TOKEN_3": "s3"}
    assert made.draft.command == ("cat", "--token", "${IT_TOKEN_2}", "--token=${IT_TOKEN_3}")


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "it's",
        "a b",
        "a #b",
        "a$HOME $X",
        'say "x"',
        "a`b",
        "#",
        " lead",
        "x'",
        "'",
        "a=b",
        "ü",
        "both ' and \"",
        "it's $5",
        "it's \\n",
        "C:\\dir\\",
        "a\\",
        "tab\tbed",
        "-----BEGIN KEY-----\nabc\n-----END KEY-----\n",
        "two\nlines",
        "a\u2028b",
        "x\n\n",
    ],
)
def test_a_value_of_a_secret_is_read_back_as_it_was(project, value):
    (made,) = imported(project, {"it": {"command": "cat", "env": {"A_KEY": value}}})

    environments.complete(project, Fleet(stanzas=[read_stanza(made.path)]))
    assert read_secret("A_KEY", str(project.secrets / "A_KEY")) == value
    assert secret_values.there(project)["A_KEY"] == value


def test_a_value_that_is_no_line_becomes_a_file_that_only_its_owner_reads(project):
    (made,) = imported(project, {"it": {"command": "cat", "env": {"A_KEY": "two\nlines"}}})

    assert (project.secrets / "A_KEY").read_text() == "two\nlines" and not project.env_file.exists()
    assert os.stat(project.secrets / "A_KEY").st_mode & 0o777 == 0o600
    assert "A_KEY: its value is in compose/secrets/A_KEY" in summary(project, made, True)


def test_a_value_that_can_stand_nowhere_is_refused_in_one_line(project):
    one, two, three = imported(
        project,
        {
            **{name: {"command": "cat", "env": {"A_KEY": f"{name}\nlines"}} for name in ("one", "two")},
            "three": {"command": "cat", "args": ["--key=3\nlines"]},
        },
    )

    assert one.path and two.path and (project.secrets / "TWO_A_KEY").read_text() == "two\nlines"
    assert not three.path and "THREE_KEY: no line of compose/.env can hold this value" in three.notes[-1]


def test_one_bad_entry_stops_no_other(project):
    every = imported(
        project,
        {
            "args": {"command": "npx", "args": "-y @a/b"},
            "good": {"command": "cat", "env": {"A_KEY": "s1"}},
            "env": {"command": "cat", "env": {"A B: c": "d"}},
            "quote": {"command": "cat 'x"},
            "five": {"url": 5},
            "nowhere": {"url": "notaurl"},
            "odd": {"command": "uvx", "args": ["pkg@^1"]},
            "none": None,
            "fine": {"command": "cat", "args": ["--x", "foo: bar"]},
        },
    )

    assert [added.name for added in every if added.path] == ["good", "fine"]
    assert all(added.notes and "\n" not in added.notes[-1] for added in every if not added.path)
    assert {path.name for path in project.images.iterdir()} == {"good", "fine"}
    assert environments.read(project).values == {"A_KEY": "s1"}


def test_secrets_of_stanzas_that_stand_are_kept_when_the_import_is_broken_off(project, monkeypatch):
    real = add.lock.lock

    def lock_one(project, stanza):
        if stanza.name == "two":
            raise KeyboardInterrupt
        return real(project, stanza)

    monkeypatch.setattr(add.lock, "lock", lock_one)
    with pytest.raises(KeyboardInterrupt):
        imported(project, {"one": {"command": "cat", "env": {"A_KEY": "s1"}}, "two": {"command": "cat"}})

    assert environments.read(project).values == {"A_KEY": "s1"}
    assert {path.name for path in project.images.iterdir()} == {"one"}


@pytest.mark.parametrize(
    "url", ["notaurl", "ftp://h/x", "http://", "https:///mcp", "http://h:port/", "http://[::1/", "", "http://a b/", "file:///etc/passwd"]
)
def test_a_remote_mcp_has_an_http_url_with_a_host(project, url):
    with pytest.raises(UsageError, match="is not http://HOST"):
        add.Adding(project).one("url", Asked("far", url))
    assert list(project.images.iterdir()) == []


def test_options_are_added_to_a_command_line_and_a_command_replaces_it(project):
    added = add.Adding(project, trial=False).one("command", Asked("one", "cat -u", ("--x",)))
    replaced = add.Adding(project, trial=False).one("command", Asked("two", "cat -u", ("sort", "--x")))

    assert (read_stanza(added.path).command, read_stanza(replaced.path).command) == (["cat", "-u", "--x"], ["sort", "--x"])


def test_a_command_line_with_an_open_quote_is_refused(project):
    with pytest.raises(UsageError, match="--command .*: No closing quotation"):
        add.Adding(project).one("command", Asked("own", "foo 'bar"))


@pytest.mark.parametrize("words", [["--x"], []])
def test_a_package_without_a_program_wants_a_command(project, monkeypatch, words):
    monkeypatch.setattr(origins, "newest_of_pypi", lambda *_: "requests==2.32.0")
    monkeypatch.setattr(origins, "look_at_pypi", lambda *_: origins.About("requests==2.32.0", [], "HTTP"))
    monkeypatch.setattr(add.lock, "lock", lambda *_: None)

    made = add.Adding(project, trial=False).one("pypi", Asked("reqs", "requests", ("python3", "-m", "requests")))

    assert read_stanza(made.path).command == ["python3", "-m", "requests"]
    with pytest.raises(UsageError, match="installs no program: is it a server\\? It says of itself: HTTP. Name what runs it after"):
        add.Adding(project, trial=False).one("pypi", Asked("other", "requests", tuple(words)))


@pytest.mark.parametrize(
    "files, command",
    [
        (["it/__main__.py", "it/server.py"], ("python", "-m", "it")),
        (["it/server.py", "it/tools.py"], ("python", "-m", "it.server")),
        (["it/server.py", "it/main.py"], ()),
        (["it/tools.py"], ()),
        (["calculator.py"], ("python", "-m", "calculator")),
    ],
)
def test_a_package_of_python_without_a_program_is_run_as_its_module(project, monkeypatch, tmp_path, files, command):
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("if __name__ == '__main__':\n    main()\n")
    monkeypatch.setattr(origins, "newest_of_pypi", lambda *_: "it==1.0")
    monkeypatch.setattr(origins, "look_at_pypi", lambda *_: origins.About("it==1.0", [], "It", command=command))
    monkeypatch.setattr(add.lock, "lock", lambda *_: None)

    assert origins._module(tmp_path) == command
    if command:
        made = add.Adding(project, trial=False).one("pypi", Asked("it", "it", ("--x",)))
        assert tuple(read_stanza(made.path).command) == (*command, "--x")
        assert f"`{' '.join(command)}` was taken" in made.notes[0]


def test_a_server_that_no_module_runs_is_run_as_the_sdk_would(tmp_path):
    (tmp_path / "it").mkdir()
    (tmp_path / "it/server.py").write_text("from mcp.server.fastmcp import FastMCP\nits: FastMCP = FastMCP('it')\n")
    (tmp_path / "it/tools.py").write_text("other = FastMCP('not looked at')\n")

    assert origins._module(tmp_path) == ("python", "-c", "from it.server import its as it; it.run()")
    (tmp_path / "main.py").write_text("if __name__ == '__main__':\n    main()\n")
    assert origins._module(tmp_path) == ("python", "-m", "main")


def test_an_empty_package_stands_for_the_one_that_it_requires(project, monkeypatch):
    alias = origins.About("old-mcp==2.0", [], "Use new-mcp", is_empty=True, brings=("new-mcp>=2.0",))
    found = {"old-mcp==2.0": alias, "new-mcp==2.1": origins.About("new-mcp==2.1", ["new-mcp"], "It")}
    monkeypatch.setattr(origins, "newest_of_pypi", lambda package, *_: {"old-mcp": "old-mcp==2.0", "new-mcp>=2.0": "new-mcp==2.1"}[package])
    monkeypatch.setattr(origins, "look_at_pypi", lambda package, *_: found[package])
    monkeypatch.setattr(add.lock, "lock", lambda *_: None)

    made = add.Adding(project, trial=False).one("pypi", Asked("it", "old-mcp"))

    assert read_stanza(made.path).pypi == ["new-mcp==2.1"] and read_stanza(made.path).command == ["new-mcp"]
    assert made.notes[0] == "old-mcp is empty, and only brings new-mcp==2.1: that was taken"

    found["old-mcp==2.0"] = replace(alias, brings=("a", "b"))
    with pytest.raises(UsageError, match="old-mcp is empty: it brings no program and next to no code"):
        add.Adding(project, trial=False).one("pypi", Asked("other", "old-mcp"))


def test_a_package_whose_server_is_an_extra_gets_that(project, monkeypatch):
    requires = ["httpx>=1", "pytest-mcp>=1; extra == 'dev'", "mcp<2.0.0,>=1.28.1; extra == 'ai'", "uvicorn; extra == 'ai'"]
    about = origins.About("it==1.0", ["it"], "It", extra=origins._extra(requires))
    monkeypatch.setattr(origins, "newest_of_pypi", lambda *_: "it==1.0")
    monkeypatch.setattr(origins, "look_at_pypi", lambda *_: about)
    monkeypatch.setattr(add.lock, "lock", lambda *_: None)

    made = add.Adding(project, trial=False).one("pypi", Asked("it", "it"))

    assert read_stanza(made.path).pypi == ["it[ai]==1.0"] and read_stanza(made.path).command == ["it"]
    assert origins._extra([*requires, "fastmcp>=2"]) == "" and origins._extra(requires[:2]) == ""


@pytest.mark.parametrize("code, is_empty", [("__version__ = '0.1'", True), ("def serve():\n    pass\n" * 60, False)])
def test_a_package_that_only_holds_a_name_is_empty(monkeypatch, code, is_empty):
    def unpack(package, folder, python, build):
        for path, text in (("it/__init__.py", code), ("it-0.1.dist-info/METADATA", "Name: it\nSummary: A placeholder\n")):
            (folder / path).parent.mkdir(parents=True)
            (folder / path).write_text(text)

    monkeypatch.setattr(origins, "unpack", unpack)

    about = origins.look_at_pypi("it==0.1")
    assert about.is_empty is is_empty and not about.serves
    with pytest.raises(
        UsageError, match="is empty" if is_empty else "^it is no MCP server: it installs no program, and its code serves nothing. It"
    ):
        SOURCES["pypi"].pinned(Draft("it", {"pypi": "it==0.1"}), [])


def test_a_package_for_a_newer_python_gets_that(monkeypatch):
    asked = []

    def compiled(wanted, options, build=False):
        asked.append(options[2])
        if options[2] == origins.PYTHON:
            raise Failed(["uv"], 1, "error: No solution found\n  cause: Because all versions of it-mcp depend on\n Python>=3.14, we can")
        return "it-mcp==1.0\n"

    monkeypatch.setattr(origins, "compiled", compiled)
    monkeypatch.setattr(origins, "look_at_pypi", lambda *said: origins.About("it-mcp==1.0", ["it-mcp"], f"For {said[2]}"))

    draft = SOURCES["pypi"].pinned(Draft("it", {"pypi": "it-mcp"}), [])

    assert asked == [origins.PYTHON, "3.14"]
    assert (draft.source["pypi"], draft.python, draft.description) == ("it-mcp==1.0", "3.14", "For 3.14")
    assert "python: '3.14'    # it-mcp is for Python 3.14 and later" in draft.text


def test_a_package_of_npm_without_a_program_is_told_and_no_file_of_a_library_is_guessed(project, monkeypatch):
    said = {"name": "@me/it", "version": "1.0.0", "main": "./build/it.js"}
    monkeypatch.setattr(origins, "npm", lambda *_: json.dumps(said))

    with pytest.raises(UsageError, match=r"is it a server\? Name what runs it after '--'$"):
        add.Adding(project, trial=False).one("npm", Asked("it", "@me/it@1.0.0"))


def test_an_executable_or_an_archive_with_one_is_pinned_by_its_sum(project, tmp_path):
    program = tmp_path / "some-server_linux_amd64"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    archive, two = tmp_path / "some.tar.gz", tmp_path / "two.tar.gz"
    for path, names in ((archive, ["bin/server"]), (two, ["bin/a", "bin/b"])):
        with tarfile.open(path, "w:gz") as packed:
            for name in names:
                packed.add(program, name)

    plain = read_stanza(add.Adding(project, trial=False).one("binary", Asked("plain", program.as_uri(), ("--x",))).path)
    packed = read_stanza(add.Adding(project, trial=False).one("binary", Asked("packed", archive.as_uri())).path)

    assert plain.binary.sha256 in ({"amd64": lock.digest(program.as_uri())}, {"arm64": lock.digest(program.as_uri())})
    assert (plain.command, packed.command, packed.binary.path) == (["some-server", "--x"], ["server"], "bin/server")
    with pytest.raises(UsageError, match="which of these is the server"):
        add.Adding(project, trial=False).one("binary", Asked("two", two.as_uri()))


@pytest.mark.docker
@pytest.mark.timeout(300)
def test_a_server_that_dies_when_it_is_tried_has_its_last_words_without_its_secrets(project):
    file = project.root / "desktop.json"
    file.write_text(
        json.dumps(
            {
                "mcpServers": {
                    "it": {
                        "command": "env",
                        "args": ["perl", "-e", 'print STDERR "first\\nno access with $ENV{A_KEY}\\n"; exit 3'],
                        "env": {"A_KEY": "it's s1"},
                    }
                }
            }
        )
    )

    (made,) = add.Adding(project, keep=True).all_of(file)

    assert made.path and "it did not start: no access with ${A_KEY}" in made.notes
    assert "s1" not in summary(project, made, True)


def test_where_nothing_can_contain_it_nothing_runs_unless_that_is_allowed(project, monkeypatch):
    monkeypatch.setattr(add.attempt.contained, "is_there", lambda: False)
    monkeypatch.setenv("A_TOKEN_OF_MINE", "s1")
    script = "touch ran; echo cannot start with ${A_TOKEN_OF_MINE:-nothing} in $PWD >&2; exit 3"

    untried = add.Adding(project).one("command", Asked("one", "", ("sh", "-c", script)))
    tried = add.Adding(project, here=True).one("command", Asked("two", "", ("sh", "-c", script)))

    assert untried.path and "--here runs it on this machine, as you" in untried.notes[-1]
    assert any(note.startswith("it did not start: cannot start with nothing in ") for note in tried.notes)


@pytest.mark.docker
@pytest.mark.timeout(300)
def test_what_is_tried_sees_nothing_of_this_machine_and_reaches_nothing(project, monkeypatch, capsys):
    """Its words come back as the reason why it did not start: those of a place where every name is somebody, not of one that has no such name."""
    monkeypatch.setenv("A_TOKEN_OF_MINE", "s1")
    code = (
        "import os, socket, sys\ntry: socket.create_connection(('nobody.invalid', 80), 5)\nexcept OSError as error: why = error.strerror\n"
        f"print('error:', why, os.environ.get('A_TOKEN_OF_MINE'), os.path.exists({str(project.root)!r}), os.getuid(), os.access('/etc', os.W_OK), file=sys.stderr)"
    )

    made = add.Adding(project).one("command", Asked("nosy", "", ("python3", "-c", f"exec({code!r})")))

    assert made.notes == [
        "it did not start: at its start it asks nobody.invalid, which cannot be reached from here: error: Connection refused None False 10001 False",
        "egress: true: it did not start without nobody.invalid",
    ]
    assert "trying nosy in a container without network" in capsys.readouterr().err
    assert "egress: true    # it did not start without nobody.invalid" in made.path.read_text()


@pytest.mark.docker
@pytest.mark.timeout(300)
def test_a_package_of_npm_is_pinned_locked_and_tried(project):
    made = add.Adding(project).one("npm", Asked("things", "@modelcontextprotocol/server-everything@2026.8.31", ("stdio",)))

    stanza = read_stanza(made.path)
    assert (stanza.npm, stanza.command) == (["@modelcontextprotocol/server-everything@2026.8.31"], ["mcp-server-everything", "stdio"])
    assert made.tools > 5 and stanza.smoke and (project.images / "things/package-lock.json").exists()


@pytest.mark.docker
@pytest.mark.timeout(300)
def test_a_package_of_pypi_without_a_version_gets_the_newest(project):
    made = add.Adding(project).one("pypi", Asked("clock", "mcp-server-time", ("--local-timezone=UTC",)), {"LEVEL": "1"})

    stanza = read_stanza(made.path)
    assert stanza.pypi[0] >= "mcp-server-time==2026.10.19" and stanza.command == ["mcp-server-time", "--local-timezone=UTC"]
    assert (made.tools, stanza.env) == (2, {"LEVEL": "1"})
    assert stanza.smoke.tool == "get_current_time" and stanza.egress is False and "works: get_current_time was called" in made.notes


def test_the_command_line_takes_each_source_by_itself(project, capsys):
    """`--command` is one of them: nothing else may be called `command` among the arguments."""
    assert main(["add", "--project", str(project.root), "own", "--command", "cat -u", "--no-trial"]) == 0
    assert main(["add", "--project", str(project.root), "far", "--url", "https://h/mcp"]) == 0
    assert main(["add", "--project", str(project.root), "two", "--command", "cat", "--url", "https://h/mcp"]) == 2
    assert "--url and --command: give one" in capsys.readouterr().err.replace("--command and --url", "--url and --command")
    assert {path.name for path in project.images.iterdir() if path.is_dir()} >= {"own", "far"}


@pytest.mark.parametrize(
    "words, told",
    [
        (["some-mcp"], "some-mcp: where from? `mcp-bridge add --npm some-mcp` or `mcp-bridge add --pypi some-mcp`"),
        (["@me/some-mcp"], "a package of npm? `mcp-bridge add --npm @me/some-mcp` adds that"),
        ([], "what is to be added? mcp-bridge add --npm PACKAGE"),
        (["--url", "https://h/mcp"], "what is it called? mcp-bridge add NAME --url …"),
        (["--", "my-server", "--x"], "what is it called? mcp-bridge add NAME -- my-server --x"),
        (["it", "--", "npx", "-y", "github:a/b"], "npx -y github:a/b: "),
        (["it", "npx", "-y", "a/b"], "npx -y a/b: a/b does not come from a registry"),
        (["--npm", "a/b"], "a/b does not come from a registry: build it into an image of yours, and use `image` (--image)"),
        (["--npm", "https://github.com/a/b"], "https://github.com/a/b does not come from a registry"),
        (["--pypi", "git+https://github.com/a/b"], "does not come from a registry"),
        (["https://github.com/a/b"], "https://github.com/a/b: where source code lies: name the package that comes of it (--npm, --pypi)"),
        (["git@git.example:a/b.git"], "where source code lies"),
        (["https://mcp.example/mcp"], "`mcp-bridge add NAME --url https://mcp.example/mcp` adds that"),
    ],
)
def test_who_says_too_little_is_told_the_command_that_was_meant(project, capsys, words, told):
    assert main(["add", "--project", str(project.root), *words]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "package, name",
    [
        ("n8n-mcp", "n8n"),
        ("mcp-server-time==2026.10.19", "time"),
        ("@modelcontextprotocol/server-memory@1.2.3", "memory"),
        ("@azure/mcp@latest", "azure"),
        ("@me/mcp.server", "me"),
        ("mcp", "my-mcp"),
        ("docs_mcp_server[all]", "docs"),
        ("mcpify", "mcpify"),
    ],
)
def test_without_a_name_an_mcp_is_called_as_its_package(package, name):
    assert add.name_of(package) == name


def test_what_is_given_no_name_is_called_otherwise_where_another_package_has_that(project):
    for name, package in (("redis", "server-redis@1.0"), ("redis-mcp", "redis-mcp@2.0")):
        (project.images / name).mkdir(parents=True)
        (project.images / name / "stanza.yaml").write_text(f"npm: '{package}'")

    assert add.name_of("server-redis", project) == "redis"  # which is then said to be there
    assert add.name_of("@me/redis-mcp-server@1.0", project) == "redis-mcp-server"
    assert add.name_of("@me/redis", project) == "me-redis"


@pytest.mark.parametrize(
    "words, name, source, command, secrets",
    [
        ("-- npx -y @me/some-mcp@1.2.3 --stdio", "some", {"npm": "@me/some-mcp@1.2.3"}, ("--stdio",), ()),
        ("mine --env SITE_TOKEN -- uvx some-mcp", "mine", {"pypi": "some-mcp"}, ("",), ("SITE_TOKEN",)),
        ("-- docker run -i --rm -e SITE_TOKEN me/some-mcp:1.2", "some", {"image": "me/some-mcp:1.2"}, (), ("SITE_TOKEN",)),
    ],
)
def test_the_line_by_which_a_client_starts_it_adds_it(project, monkeypatch, words, name, source, command, secrets):
    made = []
    monkeypatch.setattr(
        add.Adding, "_finish", lambda _, entry, *rest: made.append(entry.draft) or add.Added(entry.draft.name, project.images / "x")
    )

    assert main(["add", "--project", str(project.root), "--no-trial", *words.split()]) == 0

    [draft] = made
    assert (draft.name, draft.source, draft.command, draft.secrets) == (name, source, command, secrets)


def test_of_what_is_to_be_had_as_source_only_the_last_line_is_the_command_that_builds_it(project, monkeypatch, capsys):
    def locked(project, stanza):
        raise lock.NoWheel("it: it cannot be had, because old==1.0 has no wheels")

    monkeypatch.setattr(lock, "lock", locked)
    monkeypatch.setattr(add, "source_of", lambda draft: add.SOURCES["command"])
    monkeypatch.setattr(add.contained, "is_there", lambda: True)

    assert main(["add", "--project", str(project.root), "it", "--pypi", "some-mcp==1.0", "--env", "SITE_TOKEN", "--", "stdio"]) == 2

    said = "it cannot be had, because old==1.0 has no wheels, only its source: `mcp-bridge add it --pypi some-mcp==1.0 --build --env SITE_TOKEN -- stdio` builds it"
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not (project.images / "it").exists()


def test_where_only_an_older_python_has_wheels_of_all_that_one_is_taken_and_why_is_said(project, monkeypatch):
    """numpy 1.26 has none for 3.13: that stood in the lock, which is made for every Python, and the image could not be built."""

    def locked(_, stanza):
        if stanza.python != "3.12":
            raise lock.NoWheel("it: it cannot be had, because numpy<=1.26.4 has no usable wheels")

    monkeypatch.setattr(lock, "lock", locked)

    draft = add._locked(project, add.Draft("it", {"pypi": "some-mcp==1.0"}, ("some-mcp",)))

    assert "python: '3.12'    # with the newest, numpy<=1.26.4 has no usable wheels" in draft.text


def test_no_older_python_is_tried_for_what_has_no_wheel_for_any(project, monkeypatch):
    pythons = []

    def locked(_, stanza):
        pythons.append(stanza.python)
        raise lock.NoWheel("it: it cannot be had, because old==1.0 has no usable wheels", for_any_python=True)

    monkeypatch.setattr(lock, "lock", locked)

    with pytest.raises(lock.NoWheel):
        add._locked(project, add.Draft("it", {"pypi": "old==1.0"}, ("old",)))
    assert pythons == ["3.13"]


def test_a_file_with_keys_is_not_given_to_the_trial_and_copied_with_secrets(project, monkeypatch, tmp_path, capsys):
    (tmp_path / "sa.json").write_text('{\n"private_key": "k"\n}')
    given = []
    monkeypatch.setattr(lock, "lock", lambda *_: [])
    monkeypatch.setattr(add, "source_of", lambda draft: add.SOURCES["command"])
    monkeypatch.setattr(add.Adding, "_tried", lambda _, draft, values: given.append(values) or add.Proof(draft))
    words = ["--env", f"GOOGLE_APPLICATION_CREDENTIALS={tmp_path / 'sa.json'}", "--env", "SITE_TOKEN=s1", "--", "some-mcp"]

    assert main(["add", "--project", str(project.root), "it", "--secrets", "--pypi", "some-mcp==1.0", *words]) == 0

    assert given == [{"SITE_TOKEN": "s1"}]
    assert (project.secrets / "GOOGLE_APPLICATION_CREDENTIALS").read_text() == '{\n"private_key": "k"\n}'
    assert "GOOGLE_APPLICATION_CREDENTIALS: its value is in compose/secrets/GOOGLE_APPLICATION_CREDENTIALS" in capsys.readouterr().out


@pytest.mark.parametrize(
    "said, kept", [("Add your description here", ""), ("Adds a description to pictures,", "Adds a description to pictures")]
)
def test_a_description_that_nobody_wrote_is_none(monkeypatch, said, kept):
    monkeypatch.setattr(origins, "newest_of_pypi", lambda package, *_: f"{package}==1.0")
    monkeypatch.setattr(origins, "look_at_pypi", lambda *_: origins.About("it==1.0", ["it"], said))

    assert SOURCES["pypi"].pinned(Draft("it", {"pypi": "it"}), []).description == kept
