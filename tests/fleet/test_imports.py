"""`add --from`: what people have in their files, a line each with where it was seen, and what becomes of it.

Values that must never be written where somebody reads them begin with "s3cr3t" here.
"""

import json
import os
import shlex
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.clients import document as documents
from bridge.fleet import environment as environments
from bridge.fleet import origins
from bridge.fleet.adding import add, desktop
from bridge.fleet.adding.elsewhere import Entry
from bridge.fleet.adding.mends import with_places
from bridge.fleet.adding.secrecy import reveals, url_reveals
from bridge.fleet.adding.sources import Asked, source_of
from bridge.fleet.adding.trial.findings import place_of
from bridge.fleet.adding.wrapped import NotUnderstood, unwrapped
from bridge.fleet.alone import alone
from bridge.fleet.commands.add import summary
from bridge.fleet.engines import served
from bridge.fleet.load import read_stanza
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets import compose, kubernetes
from bridge.settings import UsageError

S = "s3cr3t"
HOME = os.path.expanduser("~")


def entry(said: dict, path: str = "mcp.json", **more) -> Entry:
    return desktop.entries(documents.parse(json.dumps({"mcpServers": {"it": said}} | more), path))[0]


def line(text: str, **said) -> Entry:
    command, *args = shlex.split(text)
    return entry({"command": command, "args": args} | said)


# ---- command lines in command lines ------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "started", "env"),
    [
        (["cmd", "/c", "npx", "-y", "p"], ["npx", "-y", "p"], {}),  # every README for Windows
        (["cmd.exe", "/d", "/s", "/c", "npx -y p"], ["npx", "-y", "p"], {}),
        (["cmd", "/c", "set A_KEY=k&& npx -y p"], ["npx", "-y", "p"], {"A_KEY": "k"}),
        (["cmd", "/c", "C:\\Program Files\\nodejs\\npx.cmd -y p"], ["C:\\Program Files\\nodejs\\npx.cmd", "-y", "p"], {}),
        (["cmd", "/c", "chcp 65001 && npx -y p"], ["npx", "-y", "p"], {}),
        (
            ["powershell", "-NoProfile", "-ExecutionPolicy", "Bypass", "-Command", "$env:A_KEY='k'; npx -y p"],
            ["npx", "-y", "p"],
            {"A_KEY": "k"},
        ),
        (["pwsh", "-c", "& npx -y p --k $env:X"], ["npx", "-y", "p", "--k", "${X}"], {}),
        (["wsl.exe", "bash", "-ic", "npx -y p"], ["npx", "-y", "p"], {}),  # Claude Desktop on Windows
        (["wsl", "-d", "Ubuntu", "--", "env", "A=b", "npx", "p"], ["npx", "p"], {"A": "b"}),
        (["wsl.exe", "-e", "bash", "-lc", "cd ~/x && A_KEY='k l' exec npx -y p"], ["npx", "-y", "p"], {"A_KEY": "k l"}),
        (["bash", "-l", "-c", "source ~/.nvm/nvm.sh && nvm use 22 && npx -y p 2>/dev/null"], ["npx", "-y", "p"], {}),
        (["sh", "-c", 'export A=1 B=2; npx p --a $A --c "$C"'], ["npx", "p", "--a", "1", "--c", "${C}"], {"A": "1", "B": "2"}),
        (["env", "-u", "X", "A=b", "npx", "p"], ["npx", "p"], {"A": "b"}),
        (["/usr/bin/env", "-S", "A=b npx p"], ["npx", "p"], {"A": "b"}),
        (["A=b", "npx", "p"], ["npx", "p"], {"A": "b"}),
        (["sudo", "-E", "-u", "me", "nohup", "nice", "-n", "5", "npx", "p"], ["npx", "p"], {}),
        (["timeout", "-k", "5", "60", "npx", "p"], ["npx", "p"], {}),
        (["mise", "exec", "node@22", "--", "npx", "p"], ["npx", "p"], {}),
    ],
)
def test_what_is_started_in_the_end_comes_out(words, started, env):
    found = unwrapped(words)

    assert (found.words, found.env) == (started, env)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["bash", "-c", "npx p | tee log"], "'|'"),
        (["bash", "-c", "K=$(op read x) npx p"], "runs another program"),
        (["bash", "-c", 'npx "$@"'], "takes words from elsewhere"),
        (["bash", "run.sh"], "a script of bash"),
        (["bash", "-c", "npm i && npx p"], "'npm' runs before it"),
        (["powershell", "-File", "x.ps1"], "a script of PowerShell"),
        (["powershell", "-EncodedCommand", "x"], "a script of PowerShell"),
        (["cmd", "/c", "a && b"], "several commands"),
        (["env", "A=b"], "its command is empty"),
        (["bash", "-c", "npx 'p"], "No closing quotation"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused_with_the_reason(words, why):
    with pytest.raises(NotUnderstood, match=None) as error:
        unwrapped(words)
    assert why in str(error.value)


@pytest.mark.parametrize(
    ("text", "source", "command"),
    [
        ("wsl.exe bash -ic 'A_KEY=x npx -y @a/pkg --y'", {"npm": "@a/pkg"}, ("--y",)),
        ("C:\\\\Users\\\\me\\\\AppData\\\\Roaming\\\\npm\\\\npx.cmd -y pkg", {"npm": "pkg"}, ()),
        ("node C:\\\\Users\\\\me\\\\node_modules\\\\@a\\\\pkg\\\\dist\\\\index.js --y", {"npm": "@a/pkg"}, ("--y",)),
        ("node /usr/lib/node_modules/npm/bin/npx-cli.js -y pkg", {"npm": "pkg"}, ()),
        ("npx -y -p pkg -c 'the-server --y'", {"npm": "pkg"}, ("the-server", "--y")),
        ("deno run -A npm:@a/pkg --y", {"npm": "@a/pkg"}, ("--y",)),
        ("uv run --with pkg the-server --y", {"pypi": "pkg"}, ("the-server", "--y")),
        ("uvx --python 3.12 --refresh-package pkg pkg", {"pypi": "pkg"}, ("",)),
    ],
)
def test_the_package_is_found(text, source, command):
    made = line(text)

    assert (made.draft.source, made.draft.command, made.skipped) == (source, command, False)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("npx -y ${input:package}", "which only that client fills in"),
        ("uvx C:\\\\x", "does not come from a registry"),
        ("deno run jsr:@a/b", "does not come from a registry"),
        ("C:\\\\Tools\\\\server.exe --x", "not a Linux program"),
        ("go run github.com/x/y@latest", "builds or runs"),
        ("dnx Some.Server --yes", "builds or runs"),
        ("bash -c 'cd x && ./build && npx p'", "runs before it"),
        ("docker mcp gateway run", "names no image"),
        ("docker run -i ${input:image}", "which only that client fills in"),
    ],
)
def test_an_entry_that_nothing_can_be_made_of_says_where_and_why(text, why):
    made = line(text)

    assert made.skipped and made.notes[0].startswith("mcp.json:1: ") and why in made.notes[0]


# ---- docker run --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "volumes"),
    [
        ("-v /me:/data:ro,z", ("/me:/data:ro",)),
        ("-v/me:/data:Z", ("/me:/data",)),
        ("--volume=/me:/data:cached", ("/me:/data",)),
        ("-v data:/data", ("data:/data",)),
        ("-v /data", ("it-data:/data",)),
        ("-v $PWD:/data", ("${WORKSPACE_FOLDER}:/data",)),
        ("-v '${workspaceFolder}/x:/data:ro'", ("${WORKSPACE_FOLDER}/x:/data:ro",)),
        ("-v '$(pwd):/data'", ("${WORKSPACE_FOLDER}:/data",)),
        ("-v ./x:/data", ("${IT_DATA}:/data",)),
        ("-v 'C:\\\\Users\\\\me:/data:ro'", ("${IT_ME}:/data:ro",)),
        ("-v '%APPDATA%\\x:/data'", ("${APPDATA}/x:/data",)),
        ("-v '~/x:/data'", (f"{HOME}/x:/data",)),
        ("-v '${HOME}/x:/data'", (f"{HOME}/x:/data",)),
        ("--mount type=bind,src=/me,dst=/data,readonly", ("/me:/data:ro",)),
        ("--mount type=bind,source=/me,target=/data,readonly=false", ("/me:/data",)),
        ("--mount=type=volume,src=vol,dst=/data", ("vol:/data",)),
    ],
)
def test_a_docker_line_keeps_its_volumes(text, volumes):
    made = line(f"docker run -i --rm {text} mcp/a --x")

    assert (made.draft.volumes, made.draft.source, made.draft.command, made.skipped) == (volumes, {"image": "mcp/a"}, ("--x",), False)
    add._checked(made.draft)


@pytest.mark.parametrize(
    "text",
    ["-e A_KEY", "-eA_KEY", "-e A_KEY=s3cr3t", "-eA_KEY=s3cr3t", "--env=A_KEY=s3cr3t", "--env A_KEY", "-ie A_KEY", "-itieA_KEY=s3cr3t"],
)
def test_docker_s_variables_are_seen_joined_or_not(text):
    made = entry({"command": "docker", "args": ["run", *shlex.split(text), "mcp/a"], "env": {"A_KEY": S}})

    assert (made.draft.secrets, made.values, made.draft.source) == (("A_KEY",), {"A_KEY": S}, {"image": "mcp/a"})


def test_an_input_in_a_docker_line_is_asked_for_in_compose_env():
    """Seen in GitHub's own README for VS Code."""
    made = entry(
        {
            "command": "docker",
            "args": [
                "run",
                "-i",
                "--rm",
                "-e",
                "GITHUB_PERSONAL_ACCESS_TOKEN=${input:github_token}",
                "-e",
                "TOOLSETS=${input:sets}",
                "-e",
                "X=${input:x}",
                "img",
            ],
        },
        inputs=[
            {"id": "github_token", "type": "promptString", "password": True},
            {"id": "sets", "type": "pickString", "default": "all"},
            {"id": "x", "password": True},
        ],
    )

    assert (made.draft.secrets, made.draft.env, made.values) == (("GITHUB_PERSONAL_ACCESS_TOKEN", "X"), {"TOOLSETS": "${SETS:-all}"}, {})


def test_an_entrypoint_takes_the_place_of_the_image_s_own(monkeypatch):
    made = line("docker run --entrypoint node -i mcp/a /app/x.js")
    monkeypatch.setattr(origins, "look_at_image", lambda _: origins.About("mcp/a", entrypoint=("tini",), command=("y",)))

    assert source_of(made.draft).pinned(made.draft, []).command == ("node", "/app/x.js")
    other = line("docker run mcp/a /app/x.js").draft
    assert source_of(other).pinned(other, []).command == ("tini", "/app/x.js")


def test_a_folder_with_spaces_and_a_working_directory_are_kept():
    spaced, placed = line("npx -y files '/home/me/My Documents'").draft, line("docker run -w /srv/x mcp/a --x").draft

    assert (spaced.volumes, spaced.command, placed.cwd) == (
        ("/home/me/My Documents:/data/My-Documents",),
        ("/data/My-Documents",),
        "/srv/x",
    )
    assert add._checked(replace(spaced, source={}, command=("cat", *spaced.command))).volumes[0].source == "/home/me/My Documents"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("GOOGLE_APPLICATION_CREDENTIALS", "{}/sa.json"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "${{env:GOOGLE_APPLICATION_CREDENTIALS}}"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/absolute/path/to/your/key.json"),
        ("KUBECONFIG", "/home/me/.kube/config"),
        ("SSH_KEY_PATH", "/home/me/.ssh/id_ed25519"),
        ("CLIENT_SECRET_FILE", "C:\\Users\\me\\client_secret.json"),
        ("OAUTH", "/Users/me/gcp-oauth.keys.json"),
        ("TLS_CERT", "/etc/ssl/me.pem"),
        ("TLS_KEY_PATH", "/etc/ssl/private/me"),
    ],
)
def test_a_file_with_keys_is_handed_over_as_one_and_not_its_path(tmp_path, name, path):
    """The path leads nowhere in a container, and where it stood in compose/.env it was taken for the key itself."""
    (tmp_path / "sa.json").write_text(S)
    made = entry({"command": "npx", "args": ["p"], "env": {name: path.format(tmp_path)}})

    assert (made.draft.secrets, made.draft.as_files, made.draft.env, made.draft.volumes) == ((name,), (name,), {}, ())
    is_here = "sa.json" in path
    assert made.values == ({name: S} if is_here else {})
    is_only_shown = "$" in path or "your" in path
    assert made.notes == (() if is_here or is_only_shown else (f"{name} was the path of a file, {path}, that cannot be read here",))


@pytest.mark.parametrize(
    "env", [{"API_SECRET": f"/9j/4AAQSkZJRg{S}AAQ=="}, {"GOOGLE_CREDENTIALS": '{"type": "service_account"}'}, {"API_TOKEN": f"./{S}"}]
)
def test_a_key_that_looks_like_a_path_stays_a_value(env):
    made = entry({"command": "npx", "args": ["p"], "env": env})

    assert (made.draft.as_files, made.values) == ((), env)


def test_a_file_with_keys_among_the_arguments_is_mounted():
    made = line("npx -y p --credentials /home/me/sa.json --token-file=/home/me/token.json")

    assert made.draft.command == ("--credentials", "/data/sa.json", "--token-file=/data/token.json")
    assert made.draft.volumes == ("/home/me/sa.json:/data/sa.json", "/home/me/token.json:/data/token.json")
    assert (made.values, made.draft.talks) == ({}, True)


def test_a_file_with_keys_that_is_mounted_into_an_image_stays_where_it_is():
    made = line("docker run -i -v /home/me/sa.json:/sa.json:ro -e GOOGLE_APPLICATION_CREDENTIALS=/sa.json mcp/a")

    assert (made.draft.secrets, made.draft.env) == ((), {"GOOGLE_APPLICATION_CREDENTIALS": "/sa.json"})
    assert (made.draft.volumes, made.notes) == (("/home/me/sa.json:/sa.json:ro",), ())


def test_folders_of_people_among_the_variables_are_mounted_and_no_others(tmp_path):
    (tmp_path / "keys").mkdir()
    env = {
        "NOTES": "/home/me/notes",
        "VAULTS": "/Users/me/a,/Users/me/b",
        "HERE": str(tmp_path / "keys"),
        "BASE_PATH": "/api/v1",
        "CHROME_PATH": "/usr/bin/chromium",
    }
    made = entry({"command": "npx", "args": ["p"], "env": env})

    here = {} if place_of(str(tmp_path)) else {"HERE": str(tmp_path / "keys")}  # in /tmp, which nobody keeps
    assert made.draft.env == env | {"NOTES": "/data/notes", "VAULTS": "/data/a,/data/b"} | (here or {"HERE": "/data/keys"})
    assert made.draft.volumes[:3] == ("/home/me/notes:/data/notes", "/Users/me/a:/data/a", "/Users/me/b:/data/b")
    assert with_places(made.draft).volumes == made.draft.volumes
    assert not any("BASE_PATH" in note for note in made.notes)


def test_a_python_that_a_line_asks_for_is_told():
    made = entry({"command": "uvx", "args": ["--python=cpython@3.12.4", "--with", "other<2", "it"]})

    assert made.draft.source == {"pypi": ["it", "other<2"]}
    assert made.notes == ("it asks for Python 3.12: `python: '3.12'` takes that, where the newest of images is not as good",)


def test_variables_of_that_machine_stay_there():
    made = entry(
        {
            "command": "npx",
            "args": ["p"],
            "env": {"PATH": "/Users/me/.nvm/bin:${PATH}", "HOME": "/Users/me", "APPDATA": "C:\\x", "LEVEL": "1"},
        }
    )

    assert (made.draft.env, made.notes) == ({"LEVEL": "1"}, ("PATH, HOME, APPDATA: of that machine, left out",))


def test_a_variable_is_not_called_after_its_mcp_twice():
    assert entry({"command": "npx", "args": ["p", "--it-api-key=s3cr3t"]}).values == {"IT_API_KEY": S}


def test_a_jar_is_copied_into_the_image():
    draft = line("java -Xmx1g -jar /me/x.jar --y").draft

    assert (draft.command, draft.files, draft.apt) == (("java", "-Xmx1g", "-jar", "/app/x.jar", "--y"), "app", ("default-jre-headless",))


def test_an_env_file_is_read_where_it_is_here_and_told_where_not(tmp_path):
    (tmp_path / "it.env").write_text(f"A_KEY={S}\nLEVEL=1\n")
    for said in (
        {"command": "docker", "args": ["run", "--env-file", "it.env", "-e", "LEVEL=2", "mcp/a"]},
        {"command": "npx", "args": ["p"], "envFile": "it.env", "env": {"LEVEL": "2"}},
    ):
        made = entry(said, str(tmp_path / "mcp.json"))
        assert (made.draft.secrets, made.draft.env, made.values) == (("A_KEY",), {"LEVEL": "2"}, {"A_KEY": S})

    assert f"the variables of {HOME}/no.env are not known here" in line("docker run --env-file=~/no.env mcp/a").notes[0]


def test_what_a_stanza_says_otherwise_is_told():
    notes = "\n".join(
        line(
            "docker --context x run --network host --memory 1g --add-host host.docker.internal:host-gateway -p 80:80 --privileged --user 1 --network=mine -v /var/run/docker.sock:/s mcp/a"
        ).notes
    )

    for part in (
        "localhost is host.docker.internal",
        "-- limits",
        "limits: {memory",
        "-p 80:80",
        "--privileged",
        "--user 1",
        "--network mine",
        "whatever it likes",
        "host.docker.internal is known",
    ):
        assert part.removeprefix("-- ") in notes


# ---- remote ones -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "url", "transport", "auth", "values"),
    [
        (
            "npx -y mcp-remote https://h/mcp --header 'Authorization: Bearer s3cr3t'",
            "https://h/mcp",
            "http",
            {"type": "bearer_token", "value_env": "IT_TOKEN"},
            {"IT_TOKEN": S},
        ),
        (
            "npx -y mcp-remote@latest https://h/sse --header 'X-API-Key:s3cr3t' --transport http-only",
            "https://h/sse",
            "http",
            {"type": "api_key", "value_env": "IT_X_API_KEY"},
            {"IT_X_API_KEY": S},
        ),
        ("npx mcp-remote --transport sse-only https://h/x 3334 --debug", "https://h/x", "sse", {}, {}),
        (
            "cmd /c npx mcp-remote https://h/mcp --header Authorization:${AUTH}",
            "https://h/mcp",
            "http",
            {"type": "bearer_token", "value_env": "IT_TOKEN"},
            {"IT_TOKEN": S},
        ),
        (
            "npx mcp-remote https://h/mcp --header 'Authorization: Bearer ${input:t}'",
            "https://h/mcp",
            "http",
            {"type": "bearer_token", "value_env": "IT_TOKEN"},
            {},
        ),
    ],
)
def test_a_way_to_a_url_becomes_that_url_with_its_headers(text, url, transport, auth, values):
    made = line(text, env={"AUTH": f"Bearer {S}"})

    assert (made.draft.source, made.draft.transport, made.draft.auth, made.values, made.draft.command) == (
        {"url": url},
        transport,
        auth,
        values,
        (),
    )
    add._checked(made.draft)


def test_a_way_to_a_url_with_a_secret_in_it_stays_a_program():
    made = line("npx -y mcp-remote 'https://h/mcp?api_key=s3cr3t'")

    assert (made.draft.source, made.draft.command, made.values) == (
        {"npm": "mcp-remote"},
        ("${IT_ARGUMENT}",),
        {"IT_ARGUMENT": "https://h/mcp?api_key=s3cr3t"},
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://h/mcp?api_key=s3cr3t",
        "https://h/mcp?x=1&token=s3cr3t#y",
        "https://me:s3cr3t@h/mcp",
        "https://s3cr3t@h/mcp",
        "https://h/s/A1b2C3d4E5f6G7/mcp",
        "https://h/123e4567-e89b-12d3-a456-426614174000/mcp",
        "https://h/?k=sk-live-abcdefghijklmnop",
    ],
)
def test_a_secret_anywhere_in_a_url_is_refused_and_not_shown(url, tmp_path):
    made = entry({"url": url})

    assert made.skipped and "its URL holds a secret" in made.notes[0] and url[10:] not in made.notes[0] and S not in made.notes[0]
    with pytest.raises(UsageError, match="a secret stands in it"):
        add.Adding(Project(tmp_path)).one("url", Asked("it", url))


@pytest.mark.parametrize(
    "url",
    ["https://h/mcp?key=YOUR_MCP_API_KEY", "https://h/<token>/mcp", "https://your-server/mcp?k={key}", "https://h/${input:tenant}/mcp"],
)
def test_a_url_that_is_to_be_filled_in_is_refused(url):
    made = entry({"url": url})

    assert made.skipped and "write the whole URL" in made.notes[0]


@pytest.mark.parametrize(
    "url",
    [
        "https://h/mcp",
        "https://mcp.example.com:8443/v1/sse?toolsets=all",
        "https://api.githubcopilot.com/mcp/x/pull_requests/readonly",
        "http://auth:8080/mcp",
    ],
)
def test_a_plain_url_is_none(url):
    assert not url_reveals(url)


# ---- what moves into a container -----------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        {"command": "npx", "args": ["p", "--url", "http://localhost:3000/x"]},
        {"command": "npx", "args": ["p"], "env": {"API": "http://127.0.0.1:3000"}},
        {"command": "npx", "args": ["p"], "env": {"DATABASE_URL": "postgres://me:s3cr3t@localhost:3000/db"}},
        {"url": "http://[::1]:3000/mcp"},
    ],
)
def test_localhost_is_told_with_what_to_write(said):
    (note,) = (note for note in entry(said).notes if "the container itself" in note)

    assert "host.docker.internal:3000" in note and "fleet's own" in note and S not in note


def test_what_is_to_be_written_instead_is_known_to_what_may_leave():
    """Docker on Linux knows the name only if it is told; without Docker, this machine is where the server runs."""
    it, far = (
        Stanza(name="it", command=["cat", "http://host.docker.internal:1"], egress=True),
        Stanza(name="far", url="http://host.docker.internal:1/mcp", transport="http"),
    )

    assert compose.sidecar(Fleet(stanzas=[it]), it)["services"]["it"]["extra_hosts"] == ["host.docker.internal:host-gateway"]
    assert "extra_hosts" not in compose.sidecar(Fleet(stanzas=[it]), it.model_copy(update={"egress": False}))["services"]["it"]
    assert compose.litellm(Fleet(stanzas=[far]))["extra_hosts"] and "extra_hosts" not in compose.litellm(Fleet(stanzas=[it]))


def test_a_list_of_what_needs_no_proxy_may_name_it():
    assert not entry({"command": "npx", "args": ["p"], "env": {"NO_PROXY": "localhost,127.0.0.1"}}).notes


@pytest.mark.parametrize("text", ["notlocalhost", "localhost.example.com", "my-localhost"])
def test_what_only_sounds_like_it_is_not(text):
    assert not line(f"npx p {text}").notes


@pytest.mark.parametrize(
    ("args", "egress"),
    [
        (["https://example.com/openapi.json"], "true"),
        (["--api=https://example.com"], "true"),
        (["wss://h/x"], "true"),
        (["--db", "postgresql://h/db"], "true"),
        (["file:///x"], "false"),
        (["--x"], "false"),
    ],
)
def test_a_url_in_the_arguments_counts_for_egress(args, egress):
    assert f"\negress: {egress} " in entry({"command": "npx", "args": ["p", *args]}).draft.text


# ---- secrets, wherever they stand -----------------------------------------------------------

JSON_KEY = json.dumps({"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\ns3cr3t\n-----END PRIVATE KEY-----\n"})


@pytest.mark.parametrize(
    ("said", "values"),
    [
        (
            {"env": {"HEADERS": '{"Authorization": "Bearer s3cr3t"}'}},
            {"HEADERS": '{"Authorization": "Bearer s3cr3t"}'},
        ),  # was taken for a placeholder, and lost
        ({"env": {"GOOGLE_CREDENTIALS": JSON_KEY}}, {"GOOGLE_CREDENTIALS": JSON_KEY}),
        (
            {"env": {"SMTP_PW": S, "GITHUB_PAT": S, "DB_PASS": S, "apiKey": S, "MYTOKEN": S}},
            {"SMTP_PW": S, "GITHUB_PAT": S, "DB_PASS": S, "apiKey": S, "MYTOKEN": S},
        ),
        ({"env": {"X_TOKEN": "$ecret"}}, {"X_TOKEN": "$ecret"}),
        ({"args": ["--header", "Authorization: Bearer s3cr3t"]}, {"IT_HEADER": "Authorization: Bearer s3cr3t"}),
        ({"args": ["-H", "x-api-key:s3cr3t"]}, {"IT_H": "x-api-key:s3cr3t"}),
        ({"args": ["-HAuthorization:s3cr3t"]}, {"IT_ARGUMENT": "-HAuthorization:s3cr3t"}),
        ({"args": ["--api-key", S]}, {"IT_API_KEY": S}),
        ({"args": [f"--api-key={S}"]}, {"IT_API_KEY": S}),
        ({"args": [f"--apiKey={S}"]}, {"IT_API_KEY": S}),
        ({"args": ["-eA_KEY=s3cr3t"]}, {"IT_E_A_KEY": S}),
        ({"args": ["A_KEY=s3cr3t"]}, {"IT_ARGUMENT": "A_KEY=s3cr3t"}),
        ({"args": ["--set", "auth.token=s3cr3t"]}, {"IT_SET": "auth.token=s3cr3t"}),
        ({"args": ["--config", '{"apiKey":"s3cr3t"}']}, {"IT_CONFIG": '{"apiKey":"s3cr3t"}'}),
        (
            {"args": ["--config", '"{\\"apiKey\\":\\"s3cr3t\\"}"']},
            {"IT_CONFIG": '"{\\"apiKey\\":\\"s3cr3t\\"}"'},
        ),  # as smithery's page has it for Windows
        ({"args": ['{"api\\u004bey":"s3cr3t"}']}, {"IT_ARGUMENT": '{"api\\u004bey":"s3cr3t"}'}),
        (
            {"args": ["https://h/x?config=%7B%22apiKey%22%3A%22s3cr3t%22%7D"]},
            {"IT_ARGUMENT": "https://h/x?config=%7B%22apiKey%22%3A%22s3cr3t%22%7D"},
        ),
        ({"args": ["https://h/x?api_key=s3cr3t"]}, {"IT_ARGUMENT": "https://h/x?api_key=s3cr3t"}),
        ({"args": ["Server=h;User=me;Password=s3cr3t;"]}, {"IT_ARGUMENT": "Server=h;User=me;Password=s3cr3t;"}),
        ({"args": ["postgres://me:s3/cr3t@h/db"]}, {"IT_ARGUMENT": "postgres://me:s3/cr3t@h/db"}),
        ({"args": ["ghp_abcdefghijklmnopqrst"]}, {"IT_ARGUMENT": "ghp_abcdefghijklmnopqrst"}),
        ({"args": ["--key", "${KEY:-s3cr3t}"]}, {"IT_KEY": S}),
        ({"args": ["config", "api_key", S]}, {"IT_API_KEY": S}),
        ({"args": ["-u", "me:s3cr3t"]}, {"IT_U": "me:s3cr3t"}),
        ({"args": ["--user=me:s3cr3t"]}, {"IT_USER": "me:s3cr3t"}),
        (
            {"env": {"HOOK": "https://hooks.example.com/services/T00/A1b2C3d4E5f6s3cr3t"}},
            {"HOOK": "https://hooks.example.com/services/T00/A1b2C3d4E5f6s3cr3t"},
        ),
        ({"env": {"AUTHKEY": S, "PASSCODE": S}}, {"AUTHKEY": S, "PASSCODE": S}),
        ({"env": {"DBPW": S, "SMTPPASS": S, "SEED_PHRASE": S}}, {"DBPW": S, "SMTPPASS": S, "SEED_PHRASE": S}),
        ({"env": {"A_KEY": "${KEY:-s3cr3t}"}}, {"A_KEY": S}),
    ],
)
def test_a_secret_is_taken_out_with_its_value(said, values):
    made = entry({"command": "npx", "args": ["pkg", *said.get("args", [])], "env": said.get("env", {})})

    assert (made.values, made.skipped) == (values, False)
    assert not reveals(made.draft.text.replace("secrets:", "")) and S not in made.draft.text + "".join(made.notes)


@pytest.mark.parametrize(
    ("said", "env", "command"),
    [
        ({"env": {"AUTH_HEADER": "Bearer ${env:TOKEN}"}}, {"AUTH_HEADER": "Bearer ${TOKEN}"}, ()),
        ({"env": {"DB_URL": "postgres://me:${DB_PASSWORD}@h/db"}}, {"DB_URL": "postgres://me:${DB_PASSWORD}@h/db"}, ()),
        ({"args": ["--header", "Authorization: Bearer ${input:my-token}"]}, {}, ("--header", "Authorization: Bearer ${MY_TOKEN}")),
        ({"args": ["--key", "${env:KEY}"]}, {}, ("--key", "${KEY}")),
        (
            {"env": {"LEVEL": "${env:LOG_LEVEL:-info}", "MODE": "%MODE%", "DEBUG": "true", "USE_AUTH": "false"}},
            {"LEVEL": "${LOG_LEVEL:-info}", "MODE": "${MODE}", "DEBUG": "true", "USE_AUTH": "false"},
            (),
        ),
        (
            {"args": ["auth", "login", "--user", "1000:1000", "-u", "me", "monkey", "x"]},
            {},
            ("auth", "login", "--user", "1000:1000", "-u", "me", "monkey", "x"),
        ),
        (
            {"args": ["--max-tokens", "100", "--model", "claude-3-5-sonnet-20241022", "<path to your file>"]},
            {},
            ("--max-tokens", "100", "--model", "claude-3-5-sonnet-20241022", "${IT_ARGUMENT}"),
        ),
    ],
)
def test_a_reference_stays_one_and_what_is_no_secret_stays_as_it_is(said, env, command):
    made = entry({"command": "npx", "args": ["pkg", *said.get("args", [])], "env": said.get("env", {})})

    assert (made.draft.env, made.draft.command, made.draft.secrets, made.values, made.skipped) == (env, command, (), {}, False)


def test_a_secret_beside_a_variable_is_refused_by_name():
    made = entry({"command": "npx", "args": ["pkg"], "env": {"A_KEY": "s3cr3t-${REST}"}})

    assert made.skipped and "A_KEY holds ${REST} beside something secret" in made.notes[0] and S not in made.notes[0]


_NAMES = st.sampled_from(
    [
        "API_KEY",
        "apiKey",
        "api-key",
        "x-api-key",
        "TOKEN",
        "GITHUB_PAT",
        "DB_PASSWORD",
        "smtp_pw",
        "CLIENT_SECRET",
        "access_token",
        "Authorization",
    ]
)
_SECRET = st.text("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789", min_size=8, max_size=40).map(lambda text: "Zq9" + text)
_FILLER = st.lists(st.sampled_from(["--verbose", "stdio", "--log-level=info", "--port", "8080"]), max_size=3)
_PLACES = {
    "env": lambda name, value: {"env": {name.replace("-", "_"): value}},
    "json env": lambda name, value: {"env": {"CONFIG": json.dumps({"a": {name: value}})}},
    "flag": lambda name, value: {"args": [f"--{name}", value]},
    "flag=": lambda name, value: {"args": [f"--{name}={value}"]},
    "header": lambda name, value: {"args": ["--header", f"{name}: {value}"]},
    "joined header": lambda name, value: {"args": [f"-H{name}:{value}"]},
    "assignment": lambda name, value: {"args": [f"{name}={value}"]},
    "joined -e": lambda name, value: {"args": [f"-e{name}={value}"]},
    "json": lambda name, value: {"args": [json.dumps({name: value})]},
    "json flag": lambda name, value: {"args": [f"--config={json.dumps({name: [value]})}"]},
    "json in json": lambda name, value: {"args": ["--config", json.dumps(json.dumps({"x": {name: value}}))]},
    "escaped query": lambda name, value: {"args": [f"https://h/mcp?config=%7B%22{name}%22%3A%22{value}%22%7D"]},
    "query": lambda name, value: {"args": [f"https://h/mcp?x=1&{name}={value}"]},
    "userinfo": lambda name, value: {"args": [f"--dsn=postgres://me:{value}@h/db"]},
    "user": lambda name, value: {"args": [f"https://{value}@h/repo.git"]},
    "connection string": lambda name, value: {"args": [f"Server=h;{name}={value};Timeout=3"]},
    "shell": lambda name, value: {
        "command": "bash",
        "args": ["-lc", f"cd /x && {name.replace('-', '_')}={value} npx -y pkg --k ${name.replace('-', '_')}"],
    },
    "env program": lambda name, value: {"command": "env", "args": [f"{name.replace('-', '_')}={value}", "npx", "pkg"]},
    "cmd": lambda name, value: {"command": "cmd", "args": ["/c", f"set {name.replace('-', '_')}={value}&& npx -y pkg"]},
    "whole line": lambda name, value: {"command": f"npx -y pkg --{name} {value}"},
    "docker -e": lambda name, value: {"command": "docker", "args": ["run", f"-e{name.replace('-', '_')}={value}", "img"]},
    "docker label": lambda name, value: {
        "command": "docker",
        "args": ["run", "--annotation", f"{name}={value}", "--build-arg", f"{name}={value}", "img"],
    },
    "url header": lambda name, value: {"url": "https://h/mcp", "headers": {name: value}},
    "url": lambda name, value: {"url": f"https://h/mcp?{name}={value}"},
    "url user": lambda name, value: {"url": f"https://{value}:x@h/mcp"},
    "mcp-remote": lambda name, value: {"command": "npx", "args": ["mcp-remote", "https://h/mcp", "--header", f"{name}: {value}"]},
    "description": lambda name, value: {"command": "npx", "args": ["pkg"], "description": f"use {name}={value}"},
    "cwd": lambda name, value: {"command": "npx", "args": ["pkg"], "cwd": f"https://me:{value}@h/x"},
    "wrong type": lambda name, value: {"command": "npx", "args": {name: value}},
    "unknown field": lambda name, value: {"command": "npx", "args": ["pkg"], "frob": value, name: value},
    "default": lambda name, value: {"env": {name.replace("-", "_"): f"${{X:-{value}}}"}},
}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(_PLACES)), _NAMES, _SECRET, _FILLER)
def test_a_planted_secret_never_stands_in_a_stanza_or_a_note(place, name, value, filler):
    said = _PLACES[place](name, value)
    said = (
        said
        if "command" in said or "url" in said
        else {"command": "npx", "args": ["-y", "pkg", *filler, *said.get("args", [])], "env": said.get("env", {})}
    )

    made = entry(said)

    shown = "" if made.skipped else made.draft.text
    assert value not in shown + "\n".join(made.notes) + repr(made.draft)
    if not made.skipped and place not in ("description", "cwd", "wrong type", "unknown field", "docker label"):
        assert any(value in kept for kept in made.values.values())  # and is not lost


def test_nothing_of_it_is_on_the_disk_or_on_the_screen(tmp_path, capsys, monkeypatch):
    """All places at once, through the files that are written; only compose/.env has the values."""
    monkeypatch.setattr(origins, "look_at_npm", lambda package: origins.About(f"{package}@1.0.0", ["it"]))
    monkeypatch.setattr(origins, "look_at_image", lambda image: origins.About(image, command=("it",)))
    monkeypatch.setattr(add.lock, "lock", lambda *_: None)
    (tmp_path / "images").mkdir()
    project, file = Project(tmp_path), tmp_path.parent / f"{tmp_path.name}.json"
    servers = {f"it-{number}": _PLACES[place]("API_KEY", f"Zq9planted{number}x7") for number, place in enumerate(sorted(_PLACES))}
    servers = {
        name: said if "command" in said or "url" in said else {"command": "cat", "args": [], **said} for name, said in servers.items()
    }
    file.write_text(json.dumps({"mcpServers": servers}))

    every = add.Adding(project, trial=False, keep=True).all_of(file)

    printed = "\n".join(summary(project, added, True) for added in every) + "".join(capsys.readouterr())
    written = {
        path: path.read_text() for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "secrets" and path.name != ".env"
    }
    assert sum(added.path is not None for added in every) >= 15 and len(written) >= 15
    assert "Zq9planted" not in printed + "".join(written.values())


def test_a_header_that_litellm_would_read_from_its_own_environment_is_the_mcp_s(tmp_path):
    """`os.environ/X` in a file of LiteLLM's is that file's X, not the fleet's master key."""
    for said in (
        {"url": "https://h/mcp", "headers": {"X-A": "os.environ/LITELLM_MASTER_KEY"}},
        {"command": "npx", "args": ["mcp-remote", "https://h/mcp", "--header", "X-A: os.environ/LITELLM_MASTER_KEY"]},
    ):
        draft = entry(said).draft
        assert draft.static_headers == {"X-A": "os.environ/IT_X_A"}


def test_a_reference_to_a_value_of_the_fleet_itself_gets_a_name_of_its_own(tmp_path):
    (tmp_path / "images").mkdir()
    project, file = Project(tmp_path), tmp_path / "mcp.json"
    file.write_text(
        json.dumps(
            {
                "mcpServers": {
                    "it": {"command": "cat", "args": ["${LITELLM_MASTER_KEY}"], "env": {"POSTGRES_PASSWORD": "${POSTGRES_PASSWORD}"}}
                }
            }
        )
    )

    (made,) = add.Adding(project, trial=False).all_of(file)

    assert read_stanza(made.path).command == ["cat", "${IT_LITELLM_MASTER_KEY}"]
    assert "LITELLM_MASTER_KEY" not in made.missing and "${POSTGRES_PASSWORD}" not in made.path.read_text()


def test_a_token_that_its_server_refreshes_is_a_copy_that_it_may_write(tmp_path, monkeypatch):
    """As a file of compose/secrets/, which nobody in a container can write, it was lost with each refresh."""
    (tmp_path / "images").mkdir()
    project, file, token = Project(tmp_path), tmp_path / "mcp.json", tmp_path / "token.json"
    token.write_text('{"refresh_token": "1//given"}')
    env = {"TOKEN_PATH": str(token), "OTHER_TOKEN_FILE": "C:\\\\me\\\\token.json", "SSH_KEY_PATH": "~/.ssh/nobody"}
    file.write_text(json.dumps({"mcpServers": {"mail": {"command": "cat", "env": env}}}))

    (made,) = add.Adding(project, trial=False, keep=True).all_of(file)

    stanza = read_stanza(made.path)
    assert stanza.copies == {"TOKEN_PATH": "/tokens/token.json", "OTHER_TOKEN_FILE": "/tokens/other_token_file-token.json"}
    assert [volume.source for volume in stanza.volumes] == ["mail-tokens"]
    assert any(note.startswith("TOKEN_PATH: its server may write this file anew") for note in made.notes)
    said = compose.sidecar(Fleet(stanzas=[stanza]), stanza)["services"]["mail"]["environment"]
    assert "TOKEN_PATH=/run/secrets/token_path:/tokens/token.json" in said["MCP_BRIDGE_SECRET_COPY"] and "TOKEN_PATH" not in said
    here = served.entry(project, stanza, environments.complete(project, Fleet(stanzas=[stanza])), tmp_path / "state")["secret_copy"]
    assert here["TOKEN_PATH"] == f"{project.secrets}/TOKEN_PATH:{tmp_path}/state/volumes/mail-tokens/token.json"


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ({"copy_to": "/data/x"}, "write as: file"),
        ({"as": "file", "copy_to": "/x"}, "none of its volumes"),
        ({"as": "file", "copy_to": "/d/../x"}, "without"),
    ],
)
def test_a_copy_of_a_secret_lies_in_a_volume(secret, why):
    with pytest.raises(ValueError, match=why):
        Stanza(name="it", command=["cat"], secrets={"TOKEN_PATH": secret}, volumes=["it-data:/data", "it-fixed:/x:ro"])


def test_strict_adds_nothing_if_one_entry_cannot_be_read(tmp_path):
    (tmp_path / "images").mkdir()
    project, file = Project(tmp_path), tmp_path / "mcp.json"
    file.write_text(
        '{"servers": {"good": {"command": "cat"}, "off": {"command": "x", "disabled": true},\n "bad": {"command": "uvx", "args": ["git+https://x/y"]}}}'
    )

    with pytest.raises(UsageError, match=r"bad: .*mcp.json:2: .*does not come from a registry"):
        add.Adding(project, trial=False).all_of(file, strict=True)
    assert list(project.images.iterdir()) == []
    assert [bool(added.path) for added in add.Adding(project, trial=False).all_of(file)] == [True, False, False]


def test_a_second_value_of_the_same_name_is_a_secret_too_whatever_runs_it(tmp_path):
    """Its server knows it as API_KEY; compose/.env, the file and the mount have the name that is its own."""
    (tmp_path / "images").mkdir()
    project, file = Project(tmp_path), tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {name: {"command": "cat", "env": {"API_KEY": f"{S}-{name}"}} for name in ("one", "two")}}))
    fleet = Fleet(stanzas=[read_stanza(made.path) for made in add.Adding(project, trial=False, keep=True).all_of(file)])
    two = fleet.stanzas[1]

    values = environments.complete(project, fleet)
    document, manifests = compose.sidecar(fleet, two), json.dumps(kubernetes.sidecar(fleet, two))

    service = document["services"]["two"]
    assert service["secrets"] == ["two_api_key"] and document["secrets"] == {"two_api_key": {"file": "./secrets/TWO_API_KEY"}}
    assert service["environment"]["MCP_BRIDGE_SECRET"] == "API_KEY=/run/secrets/two_api_key" and "API_KEY" not in service["environment"]
    assert "API_KEY=/run/secrets/two_api_key" in manifests and '"key": "API_KEY", "path": "two_api_key"' in manifests
    assert served.entry(project, two, values, tmp_path / "state")["secrets"] == {"API_KEY": str(project.secrets / "TWO_API_KEY")}
    assert (project.secrets / "TWO_API_KEY").read_text() == f"{S}-two" and (project.secrets / "API_KEY").read_text() == f"{S}-one"
    assert two.missing({"API_KEY": "x"}) == ["TWO_API_KEY"]


@pytest.mark.parametrize("said", [{"A": {"from": "a b"}}, {"A": {"from": "LITELLM_MASTER_KEY"}}, {"A": {"from": "X"}, "B": {"from": "x"}}])
def test_another_name_of_a_secret_is_checked_like_its_own(said):
    with pytest.raises(ValueError):
        Stanza(name="it", command=["cat"], secrets=said)


def test_a_value_that_is_there_already_is_told_before_another_mcp_gets_it(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "compose").mkdir()
    project, file = Project(tmp_path), tmp_path / "mcp.json"
    project.env_file.write_text("A_KEY=mine\n")
    file.write_text(json.dumps({"mcpServers": {"it": {"command": "cat", "env": {"A_KEY": "<your key>"}}}}))

    (made,) = add.Adding(project, trial=False).all_of(file)

    assert "A_KEY: it gets the value that is there already" in made.notes[-1] and "mine" not in made.notes[-1]


_KEYS = st.sampled_from(
    [
        "mcpServers",
        "servers",
        "mcp",
        "projects",
        "registry",
        "extensions",
        "inputs",
        "a",
        "command",
        "args",
        "env",
        "url",
        "headers",
        "type",
        "transport",
        "config",
        "disabled",
        "enabled",
        "options",
        "allowed",
        "deniedMcpServers",
        "disabledMcpServers",
        "image",
        "secrets",
        "volumes",
        "remote",
        "env_http_headers",
        "env_keys",
        "name",
        "description",
        "requestInit",
        "tools",
        "default",
        "id",
        "envFile",
        "cwd",
        "context_servers",
        "mcp_servers",
    ]
)
_TEXTS = st.sampled_from(
    [
        "npx",
        "docker",
        "run",
        "bash",
        "-c",
        "cmd",
        "/c",
        "env",
        "wsl",
        "powershell",
        "-Command",
        "-v",
        "--mount",
        "-e",
        "sudo",
        "uv",
        "uvx",
        "mcp-remote",
        "https://h/",
        "${X}",
        "${",
        "{{x}}",
        "$(x)",
        "'",
        '"',
        "\\",
        "-",
        "--",
        "=",
        "",
        " ",
        "C:\\",
        "~",
        "\ud800",
        "\0",
        "a=b",
        "http://[",
        "java",
        "-jar",
        "node",
        "type=bind",
        ":",
        "/:/",
        "'a",
        "x y",
    ]
)
_LEAVES = st.one_of(_TEXTS, st.none(), st.booleans(), st.integers(-1, 2), st.floats(allow_nan=False), st.lists(_TEXTS, max_size=5))


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(_LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_KEYS, inner, max_size=6)), max_leaves=40),
    st.dictionaries(_KEYS, _LEAVES, max_size=6),
)
def test_whatever_stands_in_a_file_is_an_entry_or_one_line_that_says_why_not(document, server):
    for said in (
        document,
        {"mcpServers": {"a": server, "b": document}},
        {"servers": {"a": server}, "inputs": document, "projects": document, "mcp": document},
        {"registry": {"a": server | {"image": "x"}}},
    ):
        try:
            every = desktop.entries(documents.parse(json.dumps(said)))
        except UsageError as error:
            assert "\n" not in str(error)
            continue
        assert all(made.notes and "\n" not in made.notes[0] for made in every if made.skipped)


def test_two_that_add_the_same_at_once_do_not_write_over_each_other(tmp_path):
    """The second wrote over the first, and where it failed it took away what the first had written."""
    (tmp_path / "images").mkdir()
    project, file = Project(tmp_path), tmp_path / "mcp.json"
    file.write_text('{"mcpServers": {"good": {"command": "cat"}}}')

    with alone(project, "add", "good"):
        [refused] = add.Adding(project, trial=False).all_of(file)

    assert not refused.path and "at work on good: wait" in str(refused)
    assert not list(project.images.iterdir())
    assert [bool(added.path) for added in add.Adding(project, trial=False).all_of(file)] == [True]
