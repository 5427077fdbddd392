"""What is tried of a draft, and what is decided of it in the end."""

import json
from contextlib import contextmanager
from dataclasses import replace

import pytest
from trials import Table, made, seen, tool

from bridge.fleet import origins
from bridge.fleet.adding import add, image_parts, mends, notes, prove, sdks, secret_values, tries
from bridge.fleet.adding.draft import Draft
from bridge.fleet.adding.elsewhere import Entry
from bridge.fleet.adding.trial import arguments, dependencies, findings, needs, readmes, witness
from bridge.fleet.adding.trial.attempt import CONTAINED, NotTried
from bridge.fleet.adding.trial.container import Reach
from bridge.settings import UsageError

WITHOUT_PIP = "Error getting packages: Command '['/opt/server/bin/python', '-m', 'pip', 'list']' returned non-zero exit status 1."


NO_DRIVER = "('01000', \"[01000] [unixODBC][Driver Manager]Can't open lib '{}' : file not found\")"


@pytest.mark.parametrize(
    "file, to, volumes",
    [("it.log", "/dev/null", ()), ("state.json", "/data/state.json", ("it-data:/data",)), ("data", "", ()), ("logs", "/tmp", ())],
)
def test_a_file_that_it_insists_on_writing_in_its_own_package_leads_out_of_it(file, to, volumes):
    place = f"/opt/server/lib/{file}"
    dead = seen(words=[f"OSError: [Errno 30] Read-only file system: '{place}'"], started=0.0)

    draft = image_parts.with_more_in_its_image(Draft("it", {"pypi": "it==1.0"}, ("it",)), dead, set())

    assert (draft.links, draft.volumes) == ({place: to}, volumes) if to else draft is None
    assert not draft or (add._checked(draft).links == {place: to} and image_parts.with_more_in_its_image(draft, dead, {place}) is None)


def test_what_a_package_s_files_say_is_taken_where_no_image_of_it_can_be_had(monkeypatch, tmp_path):
    def unpack(package, folder, python):
        code, about = folder / "it", folder / "it-1.0.dist-info"
        code.mkdir(parents=True)
        about.mkdir()
        (code / "server.py").write_text("import httpx\nkey = os.environ['SITE_KEY']\nhttpx.get('https://api.site.io/x')\n")
        config = {"mcpServers": {"it": {"command": "uvx", "args": ["it"], "env": {"SITE_KEY": "<key>"}}}}
        (about / "METADATA").write_text(f"Name: it\nVersion: 1.0\n\n{json.dumps(config)}\n")
        (about / "RECORD").write_text("it/server.py,,\nit-1.0.dist-info/METADATA,,\n")

    monkeypatch.setattr(prove.origins, "unpack", unpack)
    draft = Draft("it", {"pypi": "it==1.0"}, ("it",), python="3.12")

    read = prove._by_its_files(draft, add._checked, ())

    assert (read.secrets, read.optional, read.talks) == (("SITE_KEY",), (), True)
    assert prove._by_its_files(draft, add._checked, {"SITE_KEY"}) == draft  # an operator who says what he sets knows what he needs


@pytest.mark.parametrize(
    "now, env, volumes",
    [
        (seen(made("list_notes"), reads=["NOTES_FILE_PATH", "HOME"]), {"NOTES_FILE_PATH": "/data/it.json"}, ("it-data:/data",)),
        (seen(made("list_notes", "Error: undefined"), reads=["NOTES_FILE_PATH"]), {}, ()),
    ],
)
def test_a_place_that_only_its_code_names_is_tried_where_nothing_works_and_kept_if_it_helps(now, env, volumes):
    first = seen(made("list_notes", "Error: undefined"), reads=["NOTES_FILE_PATH", "LOG_DIR", "PATH"])
    table = Table(now)

    draft, _ = tries._with_own_places(tries.Tries(table, {}, add._checked), Draft("it", command=("it",)), first)

    assert table.stanzas[0].env == {"NOTES_FILE_PATH": "/data/it.json"}
    assert (draft.env, draft.volumes) == (env, volumes)


def test_options_that_its_calls_want_are_tried_and_stay_where_they_are_wanted_no_more():
    refused = seen(made("run", "Error: missing required --host/--user, see --help"), shown=[["--host=1.2.3.4", "--user=root"]])
    elsewhere = seen(made("run", "Error: connect ECONNREFUSED"), reached=[(10.5, "it-host.placeholder.invalid:22")])
    draft = Draft("it", command=("it",))

    better, _ = tries._with_missed_options(tries.Tries(Table(elsewhere), {}, add._checked), draft, refused)
    vain, _ = tries._with_missed_options(tries.Tries(Table(refused), {}, add._checked), draft, refused)

    assert better.command == ("it", "--host=${IT_HOST}", "--user=${IT_USER}")
    assert (vain.command, vain.why["options"]) == (("it",), "its calls want --host, --user: that belongs into its `command`")
    assert needs.missed_options(seen(made("look"), made("run", "Error: missing --host"))) == []
    assert needs.missed_options(seen(made("look", "No login. Run: it setup --config <your-config>"))) == []


def test_a_place_that_is_an_operator_s_file_is_no_place_of_its_own():
    draft = Draft(
        "it", command=("it",), secrets=("SITE_CREDENTIAL_FILE",), as_files=("SITE_CREDENTIAL_FILE",), optional=("SITE_CREDENTIAL_FILE",)
    )
    failed = seen(made("list_notes", "Error: undefined"), reads=["SITE_CREDENTIAL_FILE"])

    assert tries._with_own_places(tries.Tries(Table(), {}, add._checked), draft, failed) == (draft, failed)


def test_what_no_stanza_can_be_is_not_guessed(capsys):
    """A volume over what is not the server's, say: `add` ended by that."""
    refused = seen(words=["EACCES: permission denied, open '/var/lib/it.db'"], started=0.0)
    table = Table(refused, refused, refused)

    def check(draft):
        if draft.volumes:
            raise UsageError("'/var/lib' is not the server's")
        return add._checked(draft)

    draft, _ = tries.mended(tries.Tries(table, {}, check), Draft("it", command=("it", "-x")))

    assert draft.volumes == ()
    assert "going on without" in capsys.readouterr().err


def test_tools_that_models_may_refuse_are_named_with_the_way_out(tmp_path):
    self_pointing = tool("walk_it") | {"inputSchema": {"type": "object", "properties": {"next": {"$ref": "#"}}}}
    table = Table()

    proof = prove._decided(
        tries.Tries(table, {}, add._checked),
        Draft("it", {"pypi": "it==1"}, command=("it",)),
        seen(made("look"), tools=[tool("look"), self_pointing]),
        "",
    )

    assert [note for note in proof.notes if "walk_it" in note] == [
        (
            "models may refuse walk_it: its inputSchema has a $ref that points at itself, outside or at nothing: some models refuse the whole list; "
            "where a model refuses it: tools: {deny: [walk_it]} in the stanza"
        )
    ]
    assert not [note for note in proof.notes if "refuse look" in note]


def test_of_guessed_variables_its_own_come_first():
    reads = ["OPENAI_API_KEY", "SITE_USER_API_KEY"]
    ended = seen(words=["RuntimeError: An API key is required to call it"], started=0.0, reads=reads, documented=["SITE_USER_API_KEY"])

    draft = tries._with_guesses(tries.Tries(Table(seen(made("look"))), {}, add._checked), Draft("it", command=("it",)), ended)

    assert draft.secrets == ("SITE_USER_API_KEY",)


@pytest.mark.parametrize(
    "again, env",
    [
        (seen(made("look")), {"ES_URL": "${ES_URL}"}),
        (seen(words=["Error: a key is required"], started=0.0), {"ES_URL": "${ES_URL}"}),
        (seen(words=["URL cannot be empty"], started=0.0), {}),
    ],
)
def test_a_guessed_variable_stays_where_it_starts_or_says_something_else_then(again, env):
    ended = seen(words=["URL cannot be empty"], started=0.0, reads=["ES_URL", "ES_API_KEY", "DEBUG"])

    assert tries._with_guesses(tries.Tries(Table(again), {}, add._checked), Draft("it", command=("it",)), ended).env == env


@pytest.mark.parametrize(
    "words, kept, instead",
    [
        ("", ("B_KEY",), "instead of B_KEY it may take API_KEY, A_KEY"),
        ("Error: the endpoint is unreachable", ("B_KEY",), "instead of B_KEY it may take API_KEY, A_KEY"),
        ("Error: an api key is missing", ("A_KEY", "API_KEY", "B_KEY"), ""),
    ],
)
def test_of_guessed_variables_only_those_are_asked_for_without_which_it_does_otherwise(words, kept, instead):
    ended = seen(words=["Error: an api key is missing"], started=0.0, reads=["A_KEY", "API_KEY", "B_KEY"])
    with_all = seen(words=["Error: the endpoint is unreachable"], started=0.0) if words else seen(made("look"))
    with_less = seen(words=[words], started=0.0) if words else seen(made("look"))

    draft = tries._with_guesses(
        tries.Tries(Table(with_all, with_less, with_less, with_less), {}, add._checked), Draft("it", command=("it",)), ended
    )

    assert (tuple(name for name in draft.secrets if name not in draft.optional), draft.why.get("instead", "")) == (kept, instead)


@pytest.mark.parametrize("host", ["http://es-url.placeholder.invalid/v1", "es-url.placeholder.invalid:443"])
def test_a_guess_that_only_changed_the_host_in_its_words_does_not_stay(host):
    ended = seen(words=["Error: no answer of the server URL https://api.site.io, is it up?"], started=0.0, reads=["ES_URL"])
    again = seen(words=[f"Error: no answer of the server URL {host}, is it up?"], started=0.0)

    assert tries._with_guesses(tries.Tries(Table(again), {}, add._checked), Draft("it", command=("it",)), ended).env == {}


def test_where_it_asked_somebody_real_an_address_is_not_guessed_but_a_key():
    words, reads = ["Error: getaddrinfo ENOTFOUND api.site.io"], ["SITE_URL", "SITE_API_KEY"]
    ended = seen(words=words, started=0.0, reads=reads, reached=[(2.0, "api.site.io")])
    elsewhere = seen(words=words, started=0.0, reads=reads, reached=[(2.0, "updates.site.io")])
    draft = Draft("it", command=("it",))

    with_key = tries._with_guesses(tries.Tries(Table(seen(made("look"))), {}, add._checked), draft, ended)

    assert (with_key.env, with_key.secrets) == ({}, ("SITE_API_KEY",))
    without_url = seen(words=["Error: a URL is missing"], started=0.0)
    with_both = tries._with_guesses(
        tries.Tries(Table(seen(made("look")), without_url, seen(made("look"))), {}, add._checked), draft, elsewhere
    )
    assert (with_both.env, with_both.secrets) == ({"SITE_URL": "${SITE_URL}"}, ("SITE_API_KEY",))


@pytest.mark.parametrize(
    "library, package",
    [("libxcb.so.1", "libxcb1"), ("libGL.so.1", "libgl1"), ("libgthread-2.0.so.0", "libglib2.0-0"), ("libsecret-1.so.0", "libsecret-1-0")],
)
def test_a_library_that_it_does_not_find_comes_from_debian(library, package):
    words = [f"ImportError: {library}: cannot open shared object file: No such file or directory"]

    assert image_parts.with_more_in_its_image(Draft("it"), seen(words=words, started=0.0), set()).apt == (package,)


@pytest.mark.parametrize(
    "readme, wants",
    [
        ("## Requirements\n\n- macOS 14.5 or later\n- Xcode 16", "macOS 14.5 or later"),
        ("## Requirements\n\n- macOS 14\n- or Linux", ""),
        ("## Prerequisites\n- macOS, Windows or a browser\n", ""),
        ("## Prerequisites\n- Node 20\n\n## Install\n- macOS: brew", ""),
        ("This server is macOS-only.", "This server is macOS-only."),
        ("Requires macOS for Safari.", ""),
        ("You need macOS and Node.js 24 or newer.", "You need macOS and Node.js 24 or newer."),
        ("You need Windows 10 or Linux.", ""),
        ("## Requirements\n\n- Python 3.10 or higher\n- Notes application (macOS)\n", "Notes application (macOS)"),
        ("Classifier: Operating System :: Microsoft :: Windows\nClassifier: Operating System :: MacOS\n", "Windows, MacOS"),
        ("Classifier: Operating System :: MacOS\nClassifier: Operating System :: POSIX :: Linux\n", ""),
        ("Classifier: Operating System :: OS Independent\n", ""),
        ("A test of this gap is Windows-only.", ""),
    ],
)
def test_a_system_that_no_container_is_is_told_and_no_program_of_it_looked_for(readme, wants):
    it = seen(made("look", "spawn ps ENOENT"), platform=readmes.platform(readme))
    draft = Draft("it", {"npm": "it@1"}, ("it",), smoke={"tool": "look"}, why={"egress": "x"})
    lines = notes.of_a_started_one(draft, "it", it)
    told = [line for line in lines if "what no container is" in line]

    assert it.report["platform"] == wants
    assert (lines == told) is bool(wants)  # and nothing besides
    assert (image_parts.with_more_in_its_image(draft, it, set()) is None) is bool(wants)


def test_an_image_gets_what_its_code_starts_and_its_readme_names():
    it = seen(made("look"), starts=["tshark", "git", "helm"])
    draft = image_parts.with_more_in_its_image(Draft("it", {"pypi": "it==1"}, ("it",)), it, set())

    assert draft and draft.apt == ("tshark",)
    assert image_parts.with_more_in_its_image(draft, it, {"tshark"}) is None


def test_an_image_gets_what_was_looked_for_once():
    absent, tried = seen(made("log", "spawn git ENOENT")), set()
    addon = ["Error: Could not locate the bindings file. Tried:", " /opt/server/node_modules/better-x/build/better_x.node"]
    draft = Draft("it", {"npm": "it@1.0.0"}, command=("it",))

    with_git = image_parts.with_more_in_its_image(draft, absent, tried)
    assert with_git.apt == ("git",)
    assert image_parts.with_more_in_its_image(draft, absent, tried) is None
    assert image_parts.with_more_in_its_image(draft, seen(words=addon, started=0.0), tried).build
    assert image_parts.with_more_in_its_image(draft, seen(words=addon, started=0.0), tried) is None


@pytest.mark.parametrize("is_it, source", [(True, ["it@1.0.0", "@they/site-cli@2.0.0"]), (False, "it@1.0.0")])
def test_a_program_that_its_readme_installs_from_npm_comes_with_that_package_and_stays_if_it_is_there_then(monkeypatch, is_it, source):
    readme = "npm install -g it\n```\nnpm i -g @they/site-cli@latest\n```"
    absent = seen(made("look", "spawn site ENOENT"), installs=[one for one in readmes.installs(readme) if one != "it"])
    locked = []

    @contextmanager
    def bench(project, stanza, where, asked):
        yield Table(seen(made("look")) if is_it and len(stanza.npm) == 2 else absent)

    monkeypatch.setattr(prove, "bench", bench)
    monkeypatch.setattr(origins, "look_at_npm", lambda name: origins.About(f"{name}@2.0.0", ["site"]))

    proof = prove.proved(
        None, Draft("it", {"npm": "it@1.0.0"}, command=("it",)), {}, CONTAINED, add._checked, lambda draft: locked.append(draft) or draft
    )

    assert proof.draft.source["npm"] == source
    assert [one.source["npm"] for one in locked] == [["it@1.0.0", "@they/site-cli@2.0.0"], *([] if is_it else ["it@1.0.0"])]
    assert image_parts.with_its_package(Draft("it", {"pypi": "it==1"}), absent, set()) is None


@pytest.mark.parametrize("package, better", [("it==1.0", "it[small]==1.0"), ("it[mcp]==1.0", "it[mcp,small]==1.0")])
def test_a_module_that_an_extra_brings_is_had_by_that(package, better, monkeypatch):
    extras = {"all": {"fast-api", "other"}, "small": {"Fast.API"}, "mcp": {"mcp"}}
    monkeypatch.setattr(origins, "look_at_pypi", lambda *_: origins.About(package, extras=extras))
    dead = seen(words=["ModuleNotFoundError: No module named 'fast_api'"], started=0.0)
    draft = Draft("it", {"pypi": package}, ("it",))

    assert image_parts.with_its_package(draft, dead, tried := set()).source == {"pypi": [better]}
    assert image_parts.with_its_package(draft, dead, tried) is None
    assert image_parts.with_its_package(draft, seen(words=["ModuleNotFoundError: No module named 'else'"], started=0.0), set()) is None


@pytest.mark.parametrize("helps, source", [(True, ["it==1.0", "pip==26.1"]), (False, "it==1.0")])
def test_a_tool_of_pythons_that_a_server_runs_is_beside_it_and_stays_if_it_is_missed_no_more(monkeypatch, helps, source):
    absent, tool = seen(made("list_packages"), words=[WITHOUT_PIP]), made("install_package", "it is read-only")

    @contextmanager
    def bench(project, stanza, where, asked):
        yield Table(seen(made("list_packages"), tool) if helps and len(stanza.pypi) == 2 else absent)

    monkeypatch.setattr(prove, "bench", bench)
    monkeypatch.setattr(origins, "newest_together", lambda names, *_: [names[0], f"{names[1]}==26.1", *names[2:]])

    proof = prove.proved(None, Draft("it", {"pypi": "it==1.0"}, command=("it",)), {}, CONTAINED, add._checked, lambda draft: draft)

    assert proof.draft.source["pypi"] == source
    assert any("its tool install_package can install nothing, as its environment is read-only" in one for one in proof.notes) == helps


@pytest.mark.parametrize("is_it, apt", [(True, ["shelllint"]), (False, [])])
def test_a_program_that_no_table_knows_is_tried_from_a_package_of_its_name_and_kept_if_it_is_there_then(monkeypatch, is_it, apt):
    absent = seen(made("look"), made("lint", "[Errno 2] No such file or directory: 'shelllint'"))
    tables = []

    @contextmanager
    def bench(project, stanza, where, asked):
        tables.append(stanza.apt)
        yield Table(seen(made("look"), made("lint")) if stanza.apt and is_it else absent)

    monkeypatch.setattr(prove, "bench", bench)

    proof = prove.proved(None, Draft("it", {"npm": "it@1.0.0"}, command=("it",)), {}, CONTAINED, add._checked, lambda draft: draft)

    assert tables == [[], ["shelllint"]]
    assert list(proof.draft.apt) == apt
    assert not dependencies.perhaps_of_debian(seen(made("look", "spawn docker ENOENT"))) and "docker" in dependencies.NOT_OF_DEBIAN
    assert not dependencies.perhaps_of_debian(seen(made("look", "spawn bash- ENOENT")))  # which would remove that


@pytest.mark.parametrize(
    "line, place",
    [
        ("Shadcn UI MCP server running on port 3176", " on port 3176"),
        ("Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C to quit)", " on port 8000"),
        ("Listening at [::1]:8080", " on port 8080"),
        ("SSE server is up since 10:30:12", ""),
    ],
)
def test_a_server_that_only_serves_http_is_told_so_and_keeps_its_own_command(line, place):
    waits = [
        seen(words=[line], why_not=f"no answer within {seconds} s", started=0.0) for seconds in range(40, 47)
    ]  # which differs by how much else works

    draft, last = tries.mended(tries.Tries(Table(*waits), {}, add._checked), Draft("it", command=("it", "-x"), why={"egress": ""}))
    told = notes.of_one_that_did_not_start(draft, last, [], [])

    assert draft.command == ("it", "-x")
    assert told[0] == f"it did not start: it serves HTTP{place}, not its input and output: let it run elsewhere, and add it by --url"


@pytest.mark.parametrize("command", [("it",), ("it", "--stdio")])
def test_what_told_it_in_vain_to_use_its_input_goes_but_for_what_an_operator_said(monkeypatch, command):
    """Also where the rounds were over before the last of it was tried."""
    monkeypatch.setattr(tries, "ROUNDS", 3)
    waits = [
        seen(words=["HTTP server on port 3333"], why_not=f"no answer within {seconds} s", started=0.0, reads=["A_TRANSPORT"])
        for seconds in (40, 41, 42)
    ]

    draft, _ = tries.mended(tries.Tries(Table(*waits), {}, add._checked), Draft("it", command=command))

    assert (draft.command, draft.env) == (command, {})


@pytest.mark.parametrize("reached, env", [("x-host.placeholder.invalid:5432", {"X_HOST": "${X_HOST}"}), ("127.0.0.1:5432", {})])
def test_what_makes_it_look_for_its_back_end_elsewhere_is_asked_for(reached, env):
    reads = ["X_HOST", "MCP_HTTP_HOST", "X_BIND_ADDR", "X_URL", "DEBUG"]
    alone = seen(made("look", "refused"), reached=[(10.5, "127.0.0.1:5432")], reads=reads)
    table = Table(seen(made("look", "refused"), reached=[(10.5, reached)]), seen(started=0.0))

    draft, _ = tries._with_back_end(tries.Tries(table, {}, add._checked), Draft("it", command=("it",)), alone)

    assert (table.stanzas[0].env, draft.env) == ({"X_HOST": "${X_HOST}", "X_URL": "${X_URL}"}, env)


def test_an_address_that_may_be_its_own_door_is_tried_where_no_other_is():
    alone = seen(made("check"), reached=[(10.5, "[::1]:7700")], reads=["MEILI_HTTP_ADDR", "MCP_HTTP_HOST", "LOG_LEVEL"])
    table = Table(seen(made("check"), reached=[(10.5, "meili-http-addr.placeholder.invalid:7700")]))

    assert tries._with_back_end(tries.Tries(table, {}, add._checked), Draft("it", command=("it",)), alone)[0].env == {
        "MEILI_HTTP_ADDR": "${MEILI_HTTP_ADDR}"
    }


@pytest.mark.parametrize(
    "lines, words",
    [
        (["  --rpc RPC   Its server (default:", "              http://127.0.0.1:1337)"], ("--rpc", "${IT_RPC_URL}")),
        (["  -u, --url <url>  Where it is [default: http://localhost:1337/]"], ("--url", "${IT_URL}")),
        (["  --at AT  (default: localhost:1337)"], ("--at", "${IT_AT_HOST}:1337")),
        (["  --host H  (default: 127.0.0.1)", "  --port N  (default: 1337)"], ("--host", "${IT_HOST}")),
        (["  --host H  (default: 127.0.0.1)", "  --port N  (default: 8000)"], ()),
        (["  --url U  (default: http://localhost:13370)"], ()),
    ],
)
def test_an_option_whose_default_is_the_very_address_that_was_refused_takes_the_operator_s(lines, words):
    alone = seen(made("look", "refused"), reached=[(10.5, "127.0.0.1:1337")])
    helping = seen(started=0.0, help=["usage: it [-h]", "options:", *lines, "  -h, --help  show this"])
    found = seen(made("look", "refused"), reached=[(10.5, "it-rpc-url.placeholder.invalid"), (10.6, "it-url.placeholder.invalid")])
    found.reached.extend([Reach(10.7, "it-host.placeholder.invalid"), Reach(10.8, "it-at-host.placeholder.invalid:1337")])
    table = Table(helping, found)

    draft, now = tries._with_back_end(tries.Tries(table, {}, add._checked), Draft("it", command=("it",)), alone)

    assert table.stanzas[0].command[-1] == "--help"
    assert (draft.command, now) == (("it", *words), found if words else alone)


def test_who_insists_on_a_port_is_given_a_host_beside_it():
    alone = seen(made("look", "refused"), reached=[(10.5, "127.0.0.1:1337")])
    helping = seen(started=0.0, help=["usage: it [-h]", "options:", "  --rpc RPC  (default: http://127.0.0.1:1337)"])
    found = seen(made("look", "refused"), reached=[(10.5, "it-rpc-host.placeholder.invalid:1337")])

    draft, _ = tries._with_back_end(
        tries.Tries(Table(helping, seen(started=0.0), found), {}, add._checked), Draft("it", command=("it",)), alone
    )

    assert draft.command == ("it", "--rpc", "http://${IT_RPC_HOST}:1337")


def test_what_answered_and_is_no_proof_is_not_said_to_be_uncalled():
    assert "it was not called" not in prove._why_unproved([], "", None, seen(made("add_note")))
    assert prove._why_unproved([], "", None, seen(tools=[tool("add_note")])) == "it was not called"
    refused = seen(made("look", "Output validation error: None is not of type 'object'"))
    assert prove._why_unproved([], "", None, refused).startswith("what it answers is not what it says of its answers: broken as published")


@pytest.mark.parametrize(
    "name, is_place", [("STORE_FILE", True), ("DB_PATH", True), ("DATA_DIR", True), ("PROFILE", False), ("AWS_PROFILE", False)]
)
def test_a_profile_is_no_file(name, is_place):
    assert bool(tries.PLACE.search(name)) is is_place


def test_a_service_that_is_no_longer_looked_for_here_when_one_variable_is_given_is_where_that_says():
    alone = seen(made("look", "refused"), reached=[(10.5, "127.0.0.1:102")], reads=["S7_HOST"])
    table = Table(seen(made("look", "not an address")))

    assert tries._with_back_end(tries.Tries(table, {}, add._checked), Draft("it", command=("it",)), alone)[0].env == {
        "S7_HOST": "${S7_HOST}"
    }

    more = seen(made("look", "refused"), reached=[(10.5, "127.0.0.1:102")], reads=["S7_HOST", "X_URL"])
    said = [{"name": "S7_HOST", "default": "127.0.0.1"}, {"name": "X_URL", "default": "https://x.example"}]
    table = Table(seen(made("look", "not an address"), published=said))

    assert tries._with_back_end(tries.Tries(table, {}, add._checked), Draft("it", command=("it",)), more)[0].env == {
        "S7_HOST": "${S7_HOST}"
    }


def test_where_no_variable_does_an_argument_that_its_readme_shows_makes_it_look_elsewhere():
    alone = seen(
        made("get", "Error: connect ECONNREFUSED 127.0.0.1:6379"), reached=[(1.0, "127.0.0.1:6379")], shown=[["redis://10.1.2.3:6379"]]
    )
    table = Table(seen(made("get", "Error: timeout"), reached=[(1.0, "it-url.placeholder.invalid")]))

    draft, _ = tries._with_back_end(tries.Tries(table, {}, add._checked), Draft("it", command=("it",)), alone)

    assert draft.command == ("it", "${IT_URL}")


def test_an_address_that_may_be_left_out_is_asked_for_where_it_would_look_for_itself():
    alone = seen(made("look", "refused"), reached=[(10.5, "[::1]:8080")], reads=["X_API_URL", "X_TELEMETRY_API_URL"])
    table = Table(seen(made("look", "refused"), reached=[(10.5, "x-api-url.placeholder.invalid:8080")]))

    draft, _ = tries._with_back_end(
        tries.Tries(table, {}, add._checked), Draft("it", command=("it",), secrets=("X_API_URL",), optional=("X_API_URL",)), alone
    )

    assert (draft.secrets, draft.optional, draft.env) == ((), (), {"X_API_URL": "${X_API_URL}"})


def test_what_cannot_be_built_is_tried_without(monkeypatch):
    """The Debian package may not be to be had: the server is tried all the same."""
    tables, absent = [], seen(made("look"), made("draw", "spawn mmdraw ENOENT"))

    @contextmanager
    def bench(project, stanza, where, asked):
        tables.append(stanza.apt)
        if stanza.apt:
            raise NotTried("its image cannot be built")
        table = Table(absent)
        yield table

    monkeypatch.setattr(prove, "bench", bench)

    proof = prove.proved(None, Draft("it", {"npm": "it@1.0.0"}, command=("it",)), {}, CONTAINED, add._checked, lambda draft: draft)

    assert tables == [[], ["mmdraw"], []]
    assert (proof.draft.apt, proof.called) == ((), True)
    assert any("it starts mmdraw, which its image has not: Debian has no package of that name" in note for note in proof.notes)


@pytest.mark.parametrize(
    "words, reached, command",
    [
        ("Error: no account", (), ("it",)),
        ("Error: it reads it.toml", (), ("it", "run")),
        ("Error: no account", ((5.0, "it-url.placeholder.invalid:6379"),), ("it", "run")),  # it ends in the same words, elsewhere
    ],
)
def test_a_command_that_changed_nothing_does_not_stay(words, reached, command):
    help = ["Usage: it [options] [command]", "Commands:", "  run    Runs the MCP server"]
    later = [seen(words=[words], started=0.0, help=help, reached=reached) for _ in range(tries.ROUNDS)]
    table = Table(seen(words=["Error: no account"], started=0.0, help=help), *later)

    draft, _ = tries.mended(tries.Tries(table, {}, add._checked), Draft("it", command=("it",)))

    assert draft.command == command


def test_older_versions_are_tried_for_a_while(monkeypatch):
    now = [0.0]
    dies = seen(words=["ImportError: x"], started=0.0)

    @contextmanager
    def bench(project, stanza, where, asked):
        now[0] += 60.0
        yield Table(*[dies] * tries.ROUNDS)

    monkeypatch.setattr(prove, "bench", bench)
    monkeypatch.setattr(prove.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(prove, "slowness", lambda: 1.0)
    monkeypatch.setattr(prove.eras, "mended", lambda draft, seen, tried: replace(draft, constraints={f"a<{9 - len(tried)}": "it dies"}))

    proof = prove.proved(None, Draft("it", {"pypi": "it==1.0"}, command=("it",)), {}, CONTAINED, add._checked, lambda draft: draft)

    assert (proof.tools, now[0]) == (None, 180.0)  # once as it is, and twice with older ones


def test_what_surely_is_no_server_is_refused_and_what_may_fetch_or_start_one_is_not():
    draft, tried = Draft("it", {"pypi": "it==1.0"}, ("it",), description="A toolbox"), tries.Tries(Table(), {}, add._checked)
    ended = {"words": ["No files found."], "started": 0.0, "speaks_mcp": False}

    with pytest.raises(
        UsageError, match=r"^it==1.0 is no MCP server: nothing that it installs speaks MCP \(it says of itself: A toolbox\)$"
    ):
        prove._decided(tried, draft, seen(**ended), "")
    for other in ({"reached": [(2.0, "releases.it.example")]}, {"starts": ["docker"]}, {"installer": "node get.js"}):
        assert prove._decided(tried, draft, seen(**ended, **other), "").tools is None


def test_nothing_is_guessed_for_one_that_waits_for_its_operators_address():
    waits = seen(why_not="no answer within 40 s", started=0.0, reads=["IT_MODE"], reached=[(10.5, "it-url.placeholder.invalid:80")])
    table = Table(*[waits] * 9)

    tries.mended(tries.Tries(table, {}, add._checked), Draft("it", {"pypi": "it==1.0"}, ("it",), env={"IT_URL": "${IT_URL}"}))

    assert len(table.stanzas) == 1


def test_nothing_is_guessed_for_one_that_ends_as_its_operators_address_does_not_answer():
    ended = seen(
        words=["[WARNING] host failed its check"], started=0.0, reads=["IT_TOKEN"], reached=[(10.5, "it-url.placeholder.invalid:80")]
    )

    assert tries._with_guesses(tries.Tries(Table(), {}, add._checked), Draft("it", command=("it",)), ended).secrets == ()


def test_a_server_of_http_that_knows_no_other_way_is_told_as_one_and_keeps_its_command():
    listens = seen(
        words=["it listening on http://127.0.0.1:5756/mcp"], why_not="no answer within 5 s of saying that it listens", started=0.0
    )
    refuses = seen(words=["it: error: unrecognized arguments: --transport stdio"], started=0.0)

    draft, last = tries.mended(tries.Tries(Table(listens, *[refuses] * 9), {}, add._checked), Draft("it", {"pypi": "it==1.0"}, ("it",)))

    assert draft.command == ("it",) and "it serves HTTP on port 5756" in notes._obstacle(draft, last, [])


def test_what_was_tried_and_is_refused_is_neither_kept_nor_told():
    shows = seen(words=["Error: no config"], help=["Usage: it", "Commands:", "  stdio  Serves MCP"], started=0.0)
    refuses = seen(words=["Unknown argument: stdio"], started=0.0)

    draft, last = tries.mended(tries.Tries(Table(shows, *[refuses] * 9), {}, add._checked), Draft("it", {"npm": "it@1.0.0"}, ("it",)))

    assert (draft.command, last) == (("it",), shows)


def test_a_client_of_mcp_is_refused_whatever_it_starts_and_asks():
    draft, tried = Draft("it", {"npm": "it@1.0.0"}, ("it",), description="Inspects servers"), tries.Tries(Table(), {}, add._checked)
    ended = seen(words=["No server"], started=0.0, is_client=True, starts=["npm"], reached=[(2.0, "it.example")])

    with pytest.raises(UsageError, match=r"^it@1.0.0 is a client of MCP, and serves nothing \(it says of itself: Inspects servers\)$"):
        prove._decided(tried, draft, ended, "")
    assert prove._decided(tried, draft, seen(made("look"), is_client=True), "").tools == 1


@pytest.mark.parametrize(
    "words",
    [
        "RuntimeError: Platform Unsupported (linux) is not supported.",
        "Error: Unsupported platform: linux",
        "This server only runs on macOS",
        "ModuleNotFoundError: No module named 'winreg'",
    ],
)
def test_who_says_that_it_runs_on_another_system_is_refused_with_where_to_run_it(words):
    draft, tried = Draft("it", {"pypi": "it==1.0"}, ("it",)), tries.Tries(Table(), {}, add._checked)

    with pytest.raises(UsageError) as refused:
        prove._decided(tried, draft, seen(words=[words], started=0.0), "")

    way = "let it run there, behind `mcp-bridge serve`, and add it by --url"
    assert str(refused.value) == f"it==1.0 does not run on Linux, as containers do ({words.rstrip('.')}): {way}"


def test_who_has_no_call_that_works_without_a_program_of_another_system_is_refused_too():
    draft, tried = Draft("it", {"pypi": "it==1.0"}, ("it",)), tries.Tries(Table(), {}, add._checked)
    absent = "Error executing tool list_notes: [Errno 2] No such file or directory: 'osascript'"

    with pytest.raises(UsageError, match="does not run on Linux, as containers do .*osascript"):
        prove._decided(tried, draft, seen(made("list_notes", absent), made("find_notes", absent)), "")
    for others in (made("tips"), made("search", "no key")):
        assert prove._decided(tried, draft, seen(made("list_notes", absent), others), "").tools == 2
    assert prove._decided(tried, draft, seen(made("post", "Unsupported platform: test")), "").tools == 1


def test_arguments_of_its_readme_with_values_of_the_operator_stay_where_it_refuses_those():
    refuses = seen(words=["Error: Invalid SiteId"], started=0.0, shown=[["YOUR_SITE_ID/YOUR_KEY"]])

    draft, _ = tries.mended(tries.Tries(Table(*[refuses] * 9), {}, add._checked), Draft("it", {"npm": "it@1.0.0"}, ("it",)))

    assert draft.command == ("it", "${IT_SITE_ID}/${IT_KEY}")


@pytest.mark.parametrize(
    "older, last_words, kept",
    [
        (["a<9"], "no longer maintained", ["a<9"]),
        (["a<9"], "[2] ImportError: x at 0x7ffe", []),
        (["a<9", "b<=1.2"], "no longer maintained", []),  # several at once are only worth it if it starts
    ],
)
def test_an_older_version_that_made_it_say_something_else_is_kept(older, last_words, kept, monkeypatch):
    says = iter(["[1] ImportError: x at 0x7fff", last_words])

    @contextmanager
    def bench(project, stanza, where, asked):
        yield Table(*[seen(words=[next(says)], started=0.0)] * tries.ROUNDS)

    def mended(draft, seen, tried):
        return None if tried else tried.update(older) or replace(draft, constraints=dict.fromkeys(older, "it dies"))

    monkeypatch.setattr(prove, "bench", bench)
    monkeypatch.setattr(prove.eras, "mended", mended)

    proof = prove.proved(None, Draft("it", {"pypi": "it==1.0"}, command=("it",)), {}, CONTAINED, add._checked, lambda draft: draft)

    assert [*proof.draft.constraints] == kept


def test_tools_that_take_paths_get_a_volume_to_find_and_keep_files_in():
    reader, writer = (tool(name, properties={"pdfFilePath": {"type": "string"}}) for name in ("read_pdf", "rotate_and_save_pdf"))

    table = Table()
    lost = seen(words=["Error: connect ECONNREFUSED 20.0.0.1:80"], reached=[(2.0, "x-url.placeholder.invalid:80")], started=0.0)
    dead = prove._decided(
        tries.Tries(table, {}, add._checked), Draft("it", {"pypi": "it==1"}, ("it",), env={"X_URL": "${X_URL}"}), lost, ""
    )
    local = prove._decided(
        tries.Tries(table, {}, add._checked),
        Draft("it", {"pypi": "it==1"}, command=("it",)),
        seen(made("look"), tools=[tool("look"), reader, writer], looked={"pdfFilePath of read_pdf": True}),
        "",
    )

    assert (local.draft.volumes, local.draft.cwd, local.draft.smoke) == (("it-data:/data",), "/data", {"tool": "look", "build": False})
    assert any("its tools take paths (pdfFilePath of read_pdf)" in note for note in local.notes)
    assert not arguments.makes([tool("look"), reader])
    assert arguments.paths([tool("look"), reader]) == ["pdfFilePath of read_pdf"]
    source = {"$defs": {"S": {"properties": {"more": {"$ref": "#/$defs/S"}, "localPath": {"type": "string"}}}}}
    inner = tool("read", properties={"sources": {"items": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/S"}]}}})
    assert arguments.paths([inner | {"inputSchema": inner["inputSchema"] | source}], surely=True) == ["localPath of read"]
    assert dead.notes[0] == "it did not start without a real X_URL: it wants to reach that at its start"
    assert arguments.paths([tool("look", properties={"profile": {}, "query": {}}), {"name": "odd", "inputSchema": None}]) == []
    choice = {"description": "upload a local file, or list", "enum": ["upload", "list"]}
    assert arguments.paths([tool("files", properties={"action": choice})], surely=True) == []


@pytest.mark.parametrize("helps", [True, False])
@pytest.mark.parametrize(
    "words, package",
    [
        ("Error: Could not find Chrome (ver. 131.0.6778.204).", "chromium-headless-shell"),
        ("NoSuchDriverException: Unable to obtain driver for chrome", "chromium-driver"),
    ],
)
def test_who_wants_a_browser_is_tried_with_debian_s_which_stays_if_that_helped(monkeypatch, helps, words, package):
    tables = []

    @contextmanager
    def bench(project, stanza, where, asked):
        tables.append(stanza.apt)
        yield Table(seen(made("look")) if stanza.apt and helps else seen(made("look", words)))

    monkeypatch.setattr(prove, "bench", bench)

    proof = prove.proved(None, Draft("it", {"npm": "it@1.0.0"}, command=("it",)), {}, CONTAINED, add._checked, lambda draft: draft)

    assert tables == [[], [package]]
    assert proof.draft.apt == ((package,) if helps else ())
    assert (proof.draft.egress, proof.draft.why["egress"]) == (True, "it opens in a browser what it is asked to open")
    assert proof.draft.fields["bridge"]["isolation"] == ("principal" if helps else "auto")
    assert proof.draft.fields.get("limits", {}).get("memory") == ("2g" if helps else None)


@pytest.mark.parametrize(
    "names, looked, volumes",
    [
        (["file_path", "content"], {"file_path of look_up": True}, ("it-data:/data",)),
        (["file_path", "content"], {"file_path of look_up": False}, ()),  # a path there
        (["file_path"], {"file_path of look_up": True}, ()),
    ],
)
def test_who_asks_somebody_and_writes_files_where_it_runs_keeps_them(names, looked, volumes):
    tools = [tool("look"), tool("look_up", [], {name: {"type": "string"} for name in names})]
    asking = seen(made("look", "fetch failed"), tools=tools, reached=[(10.5, "site.org:443")], looked=looked)
    draft = Draft("it", {"pypi": "it==1"}, command=("it",))

    proof = prove._decided(prove.Tries(Table(asking, asking, asking), {}, add._checked), draft, asking, CONTAINED)

    assert proof.draft.egress and proof.draft.volumes == volumes


@pytest.mark.parametrize("profile, env", [("default", {}), ("work", {"AWS_PROFILE": "default"})])
def test_who_takes_a_profile_of_aws_and_no_keys_gets_a_file_of_them(profile, env):
    says = f"botocore.exceptions.ProfileNotFound: The config profile ({profile}) could not be found"
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    ended, lists = seen(words=[says], started=0.0), seen(made("list_it"))

    table = Table(ended, ended, lists)
    draft, last = tries.mended(tries.Tries(table, {}, add._checked), Draft("it", {"pypi": "it==1"}, ("it",)))

    assert last is lists and (draft.secrets, draft.as_files, draft.optional) == (("AWS_SHARED_CREDENTIALS_FILE",),) * 2 + ((),)
    assert {name: value for name, value in draft.env.items() if "REGION" not in name} == env
    assert any("takes a profile of AWS, and no keys" in one for one in notes._decisions(replace(draft, why=draft.why | {"egress": "x"})))
    assert set(keys) <= set(
        tries.mended(tries.Tries(Table(ended, lists), {}, add._checked), Draft("it", {"pypi": "it==1"}, ("it",)))[0].secrets
    )


def test_who_has_a_file_of_profiles_and_was_told_another_name_is_told_its_own():
    says = "botocore.exceptions.ProfileNotFound: The config profile (placeholder) could not be found"
    draft = Draft("it", {"pypi": "it==1"}, ("it",), secrets=(sdks.PROFILES,), env={"AWS_PROFILE": "${AWS_PROFILE}"})

    assert sdks.with_profile(draft, says).env == {"AWS_PROFILE": "default"}


@pytest.mark.parametrize(
    "package, reads, again, apt, env",
    [
        ("mssql-mcp", ["DB_DRIVER"], "Login timeout expired", ("tdsodbc",), {"DB_DRIVER": "${DB_DRIVER:-FreeTDS}"}),
        ("it-mcp", ["SQLSERVER_HOST"], "Login timeout expired", ("tdsodbc",), {}),
        ("it-postgres", ["ODBC_DRIVER"], "no such host", ("odbc-postgresql",), {"ODBC_DRIVER": "${ODBC_DRIVER:-PostgreSQL Unicode}"}),
        ("mssql-mcp", ["DB_DRIVER"], NO_DRIVER, (), {}),
        ("mssql-mysql-mcp", ["DB_DRIVER"], "", (), {}),  # which of these nobody knows
    ],
)
def test_an_odbc_driver_of_debians_is_tried_for_the_one_database_that_it_is_for(monkeypatch, package, reads, again, apt, env):
    without = seen(made("query", NO_DRIVER), reads=reads)

    @contextmanager
    def bench(project, stanza, where, asked):
        yield Table(*[seen(made("query", again), reads=reads) if stanza.apt else without] * 9)

    monkeypatch.setattr(prove, "bench", bench)

    draft = Draft("it", {"pypi": f"{package}==1.0"}, command=("it",))
    proof = prove.proved(None, draft, {}, CONTAINED, add._checked, lambda draft: draft)

    assert (proof.draft.apt, proof.draft.env) == (apt, env)
    assert any("its ODBC driver is Debian's" in one for one in proof.notes) == bool(apt)
    assert any("it wants an ODBC driver, and its image has none" in one for one in proof.notes) == (not apt)


@pytest.mark.parametrize(
    "full",
    [
        seen(words=["FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory"], started=0.0),
        seen(words=["… is deprecated", "Out of memory: the system ended it"], started=0.0),
        seen(made("look", witness.ENDED), words=["Out of memory: the system ended it"]),
    ],
)
def test_who_ends_for_want_of_memory_is_tried_with_more_and_keeps_what_helps(full):
    table = Table(full, full, seen(made("look")))

    draft, _ = tries.mended(tries.Tries(table, {}, add._checked), Draft("it", command=("it",)))

    assert [one.limits.memory for one in table.stanzas] == ["512m", "1g", "2g"]
    assert draft.memory == "2g" and "limits: {memory: 2g}    # it ended for want of memory with less" in draft.text


def test_an_optional_secret_that_its_end_speaks_of_is_required_where_it_starts_with_it():
    draft = Draft("it", command=("it",), secrets=("SITE_CREDENTIALS_PATH", "OTHER_KEY"), optional=("SITE_CREDENTIALS_PATH", "OTHER_KEY"))
    ended = seen(words=["Credentials not found. Please run with 'auth' argument first."], started=0.0)

    assert tries._with_guesses(tries.Tries(Table(seen(made("look"))), {}, add._checked), draft, ended).optional == ("OTHER_KEY",)
    of_a_file = tries._with_guesses(
        tries.Tries(Table(seen(made("look"))), {}, add._checked), replace(draft, as_files=("SITE_CREDENTIALS_PATH",)), ended
    )
    assert (of_a_file.secrets, of_a_file.as_files, of_a_file.env) == (
        ("OTHER_KEY", "SITE_CREDENTIALS_PATH"),
        ("SITE_CREDENTIALS_PATH",),
        {},
    )
    assert tries._with_guesses(tries.Tries(Table(ended, ended), {}, add._checked), draft, ended).optional == draft.optional


def test_a_call_that_asks_nobody_where_the_others_do_is_said_to_be_that():
    others = [made("find", "fetch failed", began=10.2, ended=10.4), made("list", "fetch failed", began=10.5, ended=10.6)]
    asking = seen(
        made("get_author", ended=10.1) | {"answer": "somebody"}, *others, reached=[(10.3, "site.org:443"), (10.55, "site.org:443")]
    )

    proof = prove._decided(tries.Tries(Table(), {}, add._checked), Draft("it", command=("it",)), asking, CONTAINED)

    assert proof.notes[-1] == "answers: get_author was called, which asks nobody, though others of its tools do"
    assert not findings.asks_nobody(seen(made("now"), made("convert")), {"tool": "now"})
    assert not findings.asks_nobody(seen(made("now"), made("read", "no such file")), {"tool": "now"})


def test_what_the_fleet_calls_so_itself_has_another_name_in_compose_env():
    """A server that says it wants POSTGRES_PASSWORD gets that, and never the fleet's own."""
    ended = seen(words=["Error: POSTGRES_PASSWORD and LITELLM_API_BASE must be set"], started=0.0)
    lists = seen(made("list_it"))
    draft, _ = tries.mended(tries.Tries(Table(ended, lists), {}, add._checked), Draft("it", {"pypi": "it==1"}, ("it",)))

    stanza = add._checked(draft)
    assert stanza.stored("POSTGRES_PASSWORD") == "IT_POSTGRES_PASSWORD" and stanza.env == {"LITELLM_API_BASE": "${IT_LITELLM_API_BASE}"}
    assert "POSTGRES_PASSWORD is the fleet's own: here it is IT_POSTGRES_PASSWORD" in draft.why["apart"]
    given = Entry(Draft("postgres", secrets=("POSTGRES_PASSWORD",)), values={"POSTGRES_PASSWORD": "hers"})  # from another client's file
    assert secret_values.with_own_names(given, {}, {}).values == {"POSTGRES_POSTGRES_PASSWORD": "hers"}
    named_alike = secret_values.apart(Draft("litellm-it", secrets=("LITELLM_KEY",)))
    assert named_alike.stored == {"LITELLM_KEY": "MY_LITELLM_IT_LITELLM_KEY"}


def test_a_link_to_where_it_may_write_goes_where_its_package_has_that_file_itself():
    denied = seen(made("update", "PermissionError: [Errno 13] Permission denied: '/opt/server/lib/python3.13/site-packages/it/kinds.json'"))
    linked = mends.with_links(Draft("it", {"pypi": "it==1"}, ("it",)), denied)
    assert list(linked.links.values()) == ["/data/kinds.json"] and linked.volumes == ("it-data:/data",)

    bare = image_parts.without_what_was_in_vain(linked, denied, set())
    assert (bare.links, bare.volumes, bare.why) == ({}, (), {})
    kept = image_parts.without_what_was_in_vain(replace(linked, why={"volumes": "it wrote ~/notes"}), denied, set())
    assert (kept.links, kept.volumes) == ({}, ("it-data:/data",))
    assert image_parts.without_what_was_in_vain(linked, seen(made("update")), set()) == linked


def test_those_of_its_optional_variables_without_which_it_does_not_start_are_required():
    ended, starts = seen(words=["TypeError: 'NoneType' object is not iterable"], started=0.0), seen(made("look"))
    asks = seen(reached=[(2.0, "a-host.placeholder.invalid:9092")], started=0.0)
    draft = Draft("it", command=("it",), secrets=("A_HOST", "A_TOPIC", "A_NOTE"), optional=("A_HOST", "A_TOPIC", "A_NOTE"))

    # with all; without the host, the topic, the note
    other = tries._with_guesses(tries.Tries(Table(starts, ended, ended, asks), {}, add._checked), draft, ended)
    assert (other.optional, list(other.env)) == (("A_NOTE",), ["A_HOST", "A_TOPIC"])
    assert tries._with_guesses(tries.Tries(Table(ended), {}, add._checked), draft, ended) == draft
