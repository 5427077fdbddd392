"""What a stanza takes from what a trial saw: its command, its variables, its storage."""

import base64
from dataclasses import replace

import pytest
from trials import made, seen, tool

from bridge.fleet.adding import add, mends, notes, publishers
from bridge.fleet.adding.draft import Draft
from bridge.fleet.adding.sdks import with_sdks
from bridge.fleet.adding.trial import code_facts, needs, package_files, readmes
from bridge.fleet.adding.trial.stand_ins import value as placeholder


def test_what_is_unpacked_to_be_executed_needs_a_home_on_a_volume():
    words = ["Failed to load /tmp/home/.net/x/lib.so: failed to map segment from shared object"]
    draft = mends.with_storage(Draft("it", command=("it",)), seen(words=words, started=0.0))

    assert (draft.volumes, draft.env) == (("it-data:/data",), {"HOME": "/data"})
    assert mends.with_storage(draft, seen(words=words, started=0.0)) == draft


def test_a_server_that_asks_for_a_key_gets_a_secret_and_for_an_address_a_variable():
    words = ["SITE_URL and SITE_KEY must be set", "set SITE_KEY"]
    draft = mends.with_variables(Draft("it"), seen(words=words, started=0.0))

    assert (draft.secrets, draft.optional, draft.env) == (("SITE_KEY",), (), {"SITE_URL": "${SITE_URL}"})


def test_a_key_that_only_some_calls_want_is_optional():
    some = mends.with_variables(Draft("it"), seen(made("look"), made("search", "SITE_KEY is not set")))
    every = mends.with_variables(Draft("it"), seen(made("search", "SITE_KEY is not set")))

    others = mends.with_variables(
        Draft("it"), seen(made("look", "connect ECONNREFUSED 127.0.0.1:11434"), made("search", "SITE_KEY is not set"))
    )

    assert some.optional == others.optional == some.secrets == others.secrets == ("SITE_KEY",)
    assert (every.secrets, every.optional) == (("SITE_KEY",), ())


@pytest.mark.parametrize("tool, optional", [("testConnection", ()), ("health_check", ()), ("read_notes", ("SITE_KEY",))])
def test_a_key_without_which_a_server_only_says_that_it_lives_is_needed(tool, optional):
    it = seen(made(tool), made("list_pages", "Not configured! Please set SITE_KEY"))

    draft = mends.with_variables(Draft("it"), it)

    assert (draft.secrets, draft.optional) == (("SITE_KEY",), optional)


def test_a_key_that_is_called_like_the_package_is_its_own_wherever_that_stands():
    read = ["DEFAULT_HF_TOKEN", "LOGGING_HF_TOKEN", "STRICT_TOKEN", "PAGE_PASSWORD", "NPM_TOKEN"]
    draft = mends.with_variables(Draft("it", {"npm": "@me/hf-mcp-server@1.0"}), seen(made("look"), reads=read))

    assert (draft.secrets, draft.optional) == (("DEFAULT_HF_TOKEN",), ("DEFAULT_HF_TOKEN",))


def test_a_key_that_its_code_reads_and_its_readme_or_a_tool_names_is_optional_whatever_else_is_required():
    reads = ["A_KEY", "WEB_PROXY_USERNAME", "PROXY_PASSWORD", "WEB_PROXY_PASSWORD", "LAB_API_KEY", "OTHER_KEY", "MCP_PROXY_AUTH_TOKEN"]
    tools = [tool("predict") | {"description": "Needs LAB_API_KEY"}]
    documented = [name for name in reads if name not in ("LAB_API_KEY", "OTHER_KEY")]
    draft = mends.with_variables(Draft("it", secrets=("A_KEY",)), seen(made("look"), tools=tools, reads=reads, documented=documented))

    assert draft.secrets == ("A_KEY", "WEB_PROXY_PASSWORD", "LAB_API_KEY", "WEB_PROXY_USERNAME")
    assert draft.optional == ("WEB_PROXY_PASSWORD", "LAB_API_KEY", "WEB_PROXY_USERNAME")
    called_so = mends.with_variables(
        Draft("it", {"pypi": "site-mcp==1"}, secrets=("SITE_CLIENT_SECRET",)), seen(reads=["SITE_ACCESS_TOKEN"])
    )
    assert called_so.optional == ("SITE_ACCESS_TOKEN",)


def test_the_path_of_a_key_s_file_that_its_code_reads_is_offered_and_demanded_as_a_file():
    source = {"npm": "site-mcp@1"}
    started = seen(made("look", "path should be a string, not None"), reads=["SITE_CREDENTIALS_PATH", "SITE_CACHE_PATH"])
    ended = seen(words=["GOOGLE_CREDENTIALS_PATH must be set"], started=0.0)

    offered = mends.with_variables(Draft("it", source, ("it",)), started)
    demanded = mends.with_variables(Draft("it", source, ("it",)), ended)

    assert offered.secrets == offered.optional == offered.as_files == ("SITE_CREDENTIALS_PATH",)
    assert (demanded.secrets, demanded.as_files, demanded.optional, demanded.env) == ((("GOOGLE_CREDENTIALS_PATH",),) * 2 + ((), {}))


def test_what_a_cloud_s_sdk_misses_in_every_call_is_demanded_though_it_is_offered_unless_another_key_is():
    name = "GOOGLE_APPLICATION_CREDENTIALS"
    failed = seen(*(made(tool, "Could not load the default credentials") for tool in ("look", "find")), reads=["SITE_ID"])
    offering = Draft("it", command=("it",), secrets=(name,), optional=(name,), as_files=(name,), env={"SITE_ID": "${SITE_ID}"})

    assert mends.with_variables(offering, failed).optional == ()
    assert mends.with_variables(replace(offering, secrets=(name, "SITE_KEY")), failed).optional == (name,)


def test_a_made_up_key_that_is_refused_was_read_and_no_argument_is_guessed():
    refused = seen(words=["Error: Invalid API key format. Expected sk_*"], started=0.0, shown=[["--api-key=YOUR_SECRET_KEY"]])
    draft = Draft("it", {"npm": "it@1"}, ("it",), secrets=("IT_SECRET_KEY",))

    assert mends.with_options(draft, refused).command == ("it",)
    assert mends.with_options(replace(draft, secrets=()), refused).command != ("it",)


def test_a_short_option_is_known_by_what_stands_behind_it():
    shown = [["mcp", "-a", "<your_app_id>", "-s", "<your_app_secret>", "-x", "xxxx"]]
    ended = seen(words=["it ended"], started=0.0, shown=shown, reads=["APP_ID", "APP_SECRET"])
    draft = Draft("it", {"npm": "it@1"}, ("it",), secrets=("APP_SECRET",), env={"APP_ID": "${APP_ID}"})

    assert mends.with_options(draft, ended).command == ("it", "mcp", "-x", "${IT_X}")
    assert mends.with_options(draft, replace(ended, report=ended.report | {"reads": []})).command[1:5] == (
        "mcp",
        "-a",
        "${IT_APP_ID}",
        "-s",
    )


def test_what_only_a_help_names_is_not_demanded():
    lines = ["Usage: it [options]", "Options:", "  --key VALUE  must be set, or IT_API_KEY"]
    helping = seen(words=lines, help=lines, started=0.0)

    assert mends.with_variables(Draft("it", command=("it",)), helping).secrets == ()
    assert mends.with_variables(Draft("it", command=("it",)), seen(words=lines[2:], started=0.0)).secrets == ("IT_API_KEY",)


def test_what_its_arguments_have_is_not_offered_besides():
    started = seen(made("look"), reads=["SITE_API_TOKEN", "SITE_ACCOUNT_ID"], documented=["SITE_API_TOKEN"])
    draft = mends.with_variables(Draft("it", {"npm": "site-mcp@1"}, ("it", "run", "${SITE_ACCOUNT_ID}")), started)

    assert draft.secrets == ("SITE_API_TOKEN",)


def test_a_key_that_only_its_code_names_is_optional_unless_there_are_many():
    one = mends.with_variables(Draft("it"), seen(made("look"), reads=["DEBUG", "SITE_API_KEY"]))
    many = mends.with_variables(Draft("it"), seen(made("look"), reads=["A_KEY", "B_KEY", "C_KEY"]))
    dead = mends.with_variables(Draft("it"), seen(started=0.0, reads=["SITE_API_KEY"]))

    assert (one.secrets, one.optional, one.env) == (("SITE_API_KEY",), ("SITE_API_KEY",), {})
    assert many.secrets == dead.secrets == ()
    assert "SITE_API_KEY: {optional: true}" in one.text


def test_of_many_keys_those_count_that_its_readme_names_and_what_belongs_to_them_comes_along():
    reads = ["A_API_KEY", "A_URL", "B_API_KEY", "B_URL", "C_SECRET", "MCP_AUTH_TOKEN", "D_URL", "IT_TLS_KEY", "A_WEB_HOST"]
    it = mends.with_variables(
        Draft("it"), seen(made("look"), reads=reads, documented=["A_API_KEY", "A_URL", "B_API_KEY", "B_URL", "MCP_AUTH_TOKEN"])
    )

    assert it.secrets == it.optional == ("A_API_KEY", "B_API_KEY", "A_URL", "B_URL")


def test_a_key_that_its_tools_speak_of_is_its_own():
    tools = [
        tool("look") | {"description": "Looks; without limits with ZONE_API_KEY."},
        tool("sign", [], {"key": {"description": "SIGN_KEY"}}),
    ]
    reads = ["A_SECRET", "B_TOKEN", "OLD_ZONE_API_KEY", "SIGN_KEY", "ZONE_API_KEY"]
    draft = mends.with_variables(Draft("it", {"python": "other==1"}, ("it",)), seen(made("look"), tools=tools, reads=reads))

    assert draft.secrets == draft.optional == ("SIGN_KEY", "ZONE_API_KEY")


@pytest.mark.parametrize(
    "words", ["SITE_API_KEY 环境变量未设置", "falta SITE_API_KEY: añádela", "SITE_API_KEYが設定されていません", "SITE_API_KEY не задан"]
)
def test_what_is_asked_for_in_any_language_is_asked_for(words):
    it = mends.with_variables(Draft("it"), seen(made("look", words), reads=["SITE_API_KEY"]))

    assert (it.secrets, it.optional) == (("SITE_API_KEY",), ())


def test_a_setting_that_was_optional_is_no_secret_once_it_is_demanded():
    ended = seen(words=["Missing SITE_USER, SITE_KEY"], started=0.0)
    it = mends.with_variables(Draft("it", secrets=("SITE_USER", "SITE_KEY"), optional=("SITE_USER", "SITE_KEY")), ended)

    assert (it.secrets, it.optional, it.env) == (("SITE_KEY",), (), {"SITE_USER": "${SITE_USER}"})


def test_what_a_call_asks_for_is_not_asked_for_twice():
    it = mends.with_variables(Draft("it"), seen(made("look", "A_URL is required"), reads=["A_TOKEN", "A_URL"], documented=["A_TOKEN"]))

    assert (it.secrets, it.env) == (("A_TOKEN",), {"A_URL": "${A_URL}"})


def test_where_every_call_fails_for_want_of_it_a_key_is_needed_and_the_log_says_which():
    only_code = mends.with_variables(
        Draft("it"), seen(made("look", "Error: Missing required database configuration"), reads=["DB_PASSWORD", "DB_HOST"])
    )
    log = mends.with_variables(
        Draft("it"), seen(made("look", "Error: Missing required database configuration"), words=["DB_USER and DB_PASSWORD are required"])
    )
    offline = mends.with_variables(
        Draft("it"), seen(made("look", "Error: unauthorized"), reads=["A_KEY"], reached=[(10.5, "a.example.org")])
    )

    assert (only_code.secrets, only_code.optional, only_code.env) == (("DB_PASSWORD",), (), {"DB_HOST": "${DB_HOST}"})
    assert (log.secrets, log.optional, log.env) == (("DB_PASSWORD",), (), {"DB_USER": "${DB_USER}"})
    assert offline.optional == ("A_KEY",)


def test_a_secret_that_it_opens_as_a_file_is_one():
    line = f"Error: ENOENT: no such file or directory, open '/tmp/cwd/{placeholder('OAUTH_CREDENTIALS')}'"

    draft = mends.with_files(Draft("it", secrets=("OAUTH_CREDENTIALS", "A_KEY")), seen(words=[line], started=0.0))

    assert draft.fields["secrets"] == {"OAUTH_CREDENTIALS": {"as": "file"}, "A_KEY": {}}


def test_a_home_that_is_written_to_becomes_a_volume_and_says_why():
    draft = mends.with_storage(Draft("my-notes", command=("it",)), seen(made("create_note", wrote=[("/tmp/home/.notes/db", 1)])))

    assert (draft.volumes, draft.env, draft.cwd) == (("my-notes-data:/data",), {"HOME": "/data"}, "")
    assert "create_note wrote ~/.notes/db: kept" in draft.text
    add._checked(draft)


@pytest.mark.parametrize(
    "words, volumes",
    [
        (("it", "--storage-path", "/data/papers"), ("it-data:/data",)),
        (("it", "--db=/srv/x/a.db"), ("it-srv-x:/srv/x",)),
        (("it", "--vault", "notes=/data"), ("it-data:/data",)),
        (("it", "/app/x", "/tmp/y", "/etc/z", "-v"), ()),
        (("it", "/docs"), ("it-docs:/docs",)),
    ],
)
def test_a_folder_that_a_command_names_becomes_a_volume(words, volumes):
    draft = mends.with_places(Draft("it", command=words))

    assert draft.volumes == volumes
    assert mends.with_places(draft) == draft


def test_an_option_that_must_name_a_file_names_one_in_a_volume():
    draft = mends.with_options(
        Draft("it", command=("it",)), seen(words=["it: error: the following arguments are required: --db-path"], started=0.0)
    )

    assert (draft.command, draft.volumes) == (("it", "--db-path", "/data/it.db"), ("it-data:/data",))


@pytest.mark.parametrize(
    "words", [["--site-api-key=<KEY>", "--stdio"], ["--site-api-key", "<KEY>", "--stdio"], ["--site-api-key", "api-1234", "--stdio"]]
)
def test_a_key_among_the_arguments_of_a_readme_is_given_by_a_variable_that_its_code_reads(words):
    draft = mends.with_options(Draft("it", command=("it",)), seen(started=0.0, shown=[words], reads=["SITE_API_KEY"]))

    assert (draft.command, draft.secrets) == (("it", "--stdio"), ("SITE_API_KEY",))
    spelt = mends.with_options(
        Draft("it", command=("it",), secrets=("site_api_key",)), seen(started=0.0, shown=[words], reads=["SITE_API_KEY"])
    )
    assert spelt.secrets == ("SITE_API_KEY",)  # which its README has in small letters


def test_an_example_of_a_setting_that_its_code_reads_from_a_variable_is_not_taken():
    words = [
        "--transport",
        "stdio",
        "--dsn",
        "postgres://user:password@host:5432/mydb",
        "--schema",
        "my_schema",
        "--mode=x",
        "--ssh-key",
        "~/.ssh/k",
    ]
    read = ["DSN", "SCHEMA", "SITE_MODE", "SSH_KEY", "TRANSPORT"]

    draft = mends.with_options(Draft("it", command=("it",)), seen(started=0.0, shown=[words], reads=read))

    assert (draft.command, draft.secrets, draft.volumes) == (("it", "--transport", "stdio"), ("DSN", "SSH_KEY"), ())


def test_who_looks_for_somebody_that_he_was_told_of_needs_no_arguments_of_an_example():
    looks = seen(words=["Error: ENOTFOUND"], started=0.0, shown=[["--schema", "x"]], reached=[(1.0, "dsn.placeholder.invalid")])

    assert mends.with_options(Draft("it", command=("it",)), looks).command == ("it",)


def test_what_only_an_operator_knows_of_its_arguments_becomes_a_variable():
    given = mends.with_options(Draft("my-it", command=("it",)), seen(words=["Usage: it <organization> [options]"], started=0.0))
    option = mends.with_options(
        Draft("my-it", command=("it",)), seen(words=["it: error: the following arguments are required: --site"], started=0.0)
    )
    named = mends.with_options(
        Draft("it", command=("it",)),
        seen(words=["usage: it [-h] site", "it: error: the following arguments are required: site"], started=0.0),
    )

    address = mends.with_options(Draft("it", command=("it",)), seen(words=["Usage: it redis://host:port"], started=0.0))

    assert address.command == ("it", "${IT_URL}")
    assert given.command == ("it", "${MY_IT_ORGANIZATION}")
    assert option.command == ("it", "--site", "${MY_IT_SITE}")
    assert named.command == ("it", "${IT_SITE}")


@pytest.mark.parametrize(
    "args, command",
    [
        ('["-y", "@me/it@latest", "my-org", "--mode=x"]', ("it", "${IT_ORG}", "--mode=x")),
        ('["-y", "@me/it", "--site", "<your-site>", "/Users/you/notes",]', ("it", "--site", "${IT_SITE}", "/data")),
        ('["--from", "@me/it==1.2", "it", "--db=/path/to/x.db"]', ("it", "--db=/data/data.db")),
        ('["--from", "@me/it", "--with", "x", "--refresh-package", "@me/it", "@me/it", "org-of-x"]', ("it", "org-of-x")),
        ('["run", "-i", "me/it"]', ("it",)),
        ('["@me/it", "--report=x${LITELLM_MASTER_KEY}"]', ("it",)),
        ('["@me/it", "redis://10.1.2.3:6379", "--at=https://api.example.com"]', ("it", "${IT_URL}", "--at=${IT_AT}")),
        (
            '["@me/it-mcp@1.0", "https://api.site.io", "--host", "bastion.example.com"]',
            ("it", "https://api.site.io", "--host", "${IT_HOST}"),
        ),
        ('["@me/items", "-x"]', ("it",)),
        ('["@me/it", "-t", "abcd123", "SITE_KEY=<your-key>"]', ("it", "-t", "${IT_T}", "SITE_KEY=${IT_SITE_KEY}")),
        ('["--package", "@me/it", "--", "it", "start"]', ("it", "start")),
        ('["@me/it", "--port=9010"]', ("it",)),
        ('["@me/it", "--sse"]', ("it",)),
        ('["@me/it", "<path-to-your-sqlite-database.db>", "${input:org}"]', ("it", "/data/data.db", "${IT_ORG}")),
        ('["-y", "@me/it"]', ("it",)),
        ("[nonsense", ("it",)),
    ],
)
def test_the_arguments_that_its_readme_shows_are_tried_where_it_does_not_start(args, command):
    arguments = package_files.shown_arguments(f'{{"mcpServers": {{"it": {{"command": "npx", "args": {args}}}}}}}', "@me/it")

    broken = seen(words=["ImportError: libx.so.1: cannot open shared object file"], started=0.0, shown=arguments)

    assert mends.with_options(Draft("it", command=("it",)), seen(started=0.0, shown=arguments)).command == command
    assert mends.with_options(Draft("it", command=("it",)), broken).command == ("it",)


def test_an_option_is_known_by_its_longer_name():
    assert code_facts.long_options("`--token`, `-t`; '-m, --mode'; ['-k', '--api-key']; --yes -n") == {
        "-t": "--token",
        "-m": "--mode",
        "-k": "--api-key",
    }


def test_a_client_s_secret_is_not_offered_without_who_that_client_is():
    def offered(*reads):
        it = Draft("it", {"npm": "it@1"}, secrets=("IT_KEY",))
        return mends.with_variables(it, seen(reads=reads, documented=reads, started=1.0)).optional

    assert offered("IT_CLIENT_SECRET") == () and offered("IT_CLIENT_ID", "IT_CLIENT_SECRET") == ("IT_CLIENT_SECRET", "IT_CLIENT_ID")


def test_the_arguments_of_its_own_program_are_shown_by_its_readme_too():
    readme = '{"mcpServers": {"it": {"command": "it", "args": ["--mcp"], "cwd": "/x"}, "other": {"command": "jq", "args": ["-x"]}}}'

    assert package_files.shown_arguments(readme, "@me/items", ["it", "it-cli"]) == [["--mcp"]]


def test_the_arguments_of_a_configuration_in_a_link_are_shown_by_its_readme_too(tmp_path, monkeypatch):
    configuration = base64.b64encode(b'{"command":"npx","args":["-y","@me/it","mcp"]}').decode()
    (tmp_path / "README.md").write_text(f"[Install](https://it.example/install?name=it&config={configuration})")
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "README.md"])

    assert package_files.variables("@me/it")["shown"] == [["mcp"]]


def test_a_program_that_wants_a_command_is_tried_with_those_that_servers_have():
    draft, tried = Draft("it", command=("it", "-v")), []
    for _ in range(7):
        draft = mends.with_options(draft, seen(words=["Usage: it [OPTIONS] COMMAND [ARGS]...", "Error: Missing command."], started=0.0))
        tried.append(draft.command[2:])

    assert tried == [("stdio",), ("mcp",), ("serve",), ("server",), ("start",), ("run",), ()]


@pytest.mark.parametrize(
    "command, said, then",
    [
        (("it",), "Error: Unknown command: undefined. Expected 'init' or 'run'.", ("it", "run")),
        (("it", "stdio"), "Error: Unknown command: stdio. Expected 'init' or 'run'.", ("it", "run")),
        (("it", "stdio"), "error: unknown command 'stdio'", ("it", "mcp")),
        (("it", "run"), "Missing account ID. Usage: npx @they/it run [account_id]", ("it", "run", "${IT_ACCOUNT_ID}")),
        (("it", "run"), "Missing token. Usage: npx @they/it run [account_id]", ("it", "run")),
    ],
)
def test_a_command_and_an_argument_that_its_last_words_miss_are_given(command, said, then):
    assert mends.with_options(Draft("it", command=command), seen(words=[said], started=0.0)).command == then


@pytest.mark.parametrize(
    "readme, programs, program",
    [
        ('{"mcpServers": {"it": {"command": "it-mcp"}}}', ["it", "it-mcp"], "it-mcp"),
        ("npx it", ["it", "it-server"], "it-server"),
        ('{"command": "npx", "args": ["it"]}', ["it", "it-doctor"], ""),
        ('{"command": "uvx", "args": ["--from", "it", "it-stdio"]}', ["it", "it-stdio", "it-web"], "it-stdio"),
        ('{"command": "it"}', ["it"], ""),
    ],
)
def test_of_several_programs_the_one_that_its_readme_starts_is_tried_where_another_does_not_start(readme, programs, program):
    ended = seen(words=["help"], started=0.0, program=readmes.program(readme, programs))

    assert mends.with_options(Draft("it", command=("it",)), ended).command == (program or "it",)
    assert mends.with_options(Draft("it", command=("it",)), seen(made("look"), program=program)).command == ("it",)


def test_an_argument_that_its_code_reads_from_a_variable_too_has_the_name_of_that():
    ended = seen(words=["Usage: it run <account_id>"], started=0.0, reads=["SITE_ACCOUNT_ID", "SITE_TOKEN"])

    assert mends.with_options(Draft("it", command=("it",)), ended).command == ("it", "run", "${SITE_ACCOUNT_ID}")


def test_a_demanded_option_stands_once_and_before_a_command_where_its_readme_has_it_there():
    shown = [["--spec-url=https://x.example/spec.json", "stdio"]]
    ended = seen(words=["Missing option '--spec-url'."], started=0.0, shown=shown)
    given = Draft("it", command=("it", "--spec-url=${IT_SPEC_URL}", "stdio"))

    assert mends.with_demanded(Draft("it", command=("it", "stdio")), ended, "--spec-url") == given
    assert mends.with_demanded(given, ended, "--spec-url") == given


def test_a_place_that_it_must_be_told_is_one_in_a_volume():
    draft = mends.with_variables(
        Draft("it"),
        seen(
            words=["ALLOWED_DIR must be set", "X_DATABASE must be set", "X_CONFIG_DIR must be set", "X_CONFIG_PATH must be set"],
            started=0.0,
        ),
    )

    assert (draft.env, draft.volumes) == (
        {"ALLOWED_DIR": "/data", "X_DATABASE": "${X_DATABASE}", "X_CONFIG_DIR": "/data", "X_CONFIG_PATH": "${X_CONFIG_PATH}"},
        ("it-data:/data",),
    )


def test_what_can_stand_instead_of_a_key_is_told():
    draft = mends.with_variables(Draft("it"), seen(words=["Set X_KEY or both X_USER and X_PASSWORD"], started=0.0))

    assert (draft.secrets, draft.env) == (("X_KEY",), {})
    assert draft.why["instead"] == "instead of X_KEY it takes X_USER and X_PASSWORD"
    free = Draft(
        "it", secrets=("X_KEY", "X_USER", "X_PASSWORD"), optional=("X_KEY", "X_USER", "X_PASSWORD"), why={"instead": "one of these"}
    )
    said = seen(made("look", "Set X_KEY or both X_USER and X_PASSWORD"), reads=["X_TOKEN"], documented=["X_TOKEN"])
    assert mends.with_variables(free, said).why["instead"] == "one of these"  # which its README says of optional ones


def test_a_folder_of_its_usage_becomes_a_volume():
    draft = mends.with_options(Draft("it", command=("it",)), seen(words=["Usage: it <vault-directory>"], started=0.0))

    assert (draft.command, draft.volumes) == (("it", "/data"), ("it-data:/data",))


@pytest.mark.parametrize("constant", ["key", "SITE_KEY"])
def test_a_name_that_only_its_readme_has_gives_way_to_the_one_that_its_code_asks_for(tmp_path, monkeypatch, constant):
    (tmp_path / "it.js").write_text(f"const {constant} = process.env.SITE_API_KEY; if (!it) throw new Error('SITE_API_KEY is required')")
    (tmp_path / "README.md").write_text(
        '{"mcpServers": {"it": {"command": "npx", "args": ["it"], "env": {"SITE_KEY": "x", "SITE_API_KEY": "x"}}}}'
    )
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.js", tmp_path / "README.md"])
    monkeypatch.setattr(package_files, "SERVER", tmp_path)
    report = package_files.variables("it")
    ended = seen(words=["Error: SITE_API_KEY is required"], started=0.0, misspelt=report["misspelt"])

    assert report["misspelt"] == ["SITE_KEY"]
    assert mends.with_variables(Draft("it", secrets=("SITE_KEY", "OTHER_KEY")), ended).secrets == ("OTHER_KEY", "SITE_API_KEY")
    assert mends.with_variables(Draft("it", secrets=("SITE_KEY",)), seen(made("look"), misspelt=["SITE_KEY"])).secrets == ("SITE_KEY",)
    failed = seen(made("look", "SITE_API_KEY is required"), misspelt=["SITE_KEY"])
    assert mends.with_variables(Draft("it", secrets=("SITE_KEY",)), failed).secrets == ("SITE_API_KEY",)
    again = seen(misspelt=["SITE_KEY"], published=report["published"])
    assert publishers.with_published(Draft("it", secrets=("SITE_API_KEY",)), again).secrets == ("SITE_API_KEY",)


def test_one_that_says_nothing_gets_the_option_by_which_its_code_serves(tmp_path, monkeypatch):
    (tmp_path / "it.py").write_text("if '--mcp' in sys.argv:\n    serve()")
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.py"])
    flag = package_files.variables("it")["flag"]
    silent, ended = {"why_not": "no answer within 40 s", "started": 0.0}, {"words": ["Error: x"], "started": 0.0}

    assert mends.with_options(Draft("it", command=("it",)), seen(flag=flag, **silent)).command == ("it", "--mcp")
    assert mends.with_options(Draft("it", command=("it",)), seen(flag=flag, **ended)).command == ("it",)


def test_an_entry_point_that_is_a_coroutine_is_run():
    ended = seen(words=["<coroutine object main at 0x7f>", "sys:1: RuntimeWarning: coroutine 'main' was never awaited"], started=0.0)

    draft = mends.with_options(Draft("it", {"pypi": "it-mcp==1"}, ("it-mcp", "--x")), ended)

    assert (draft.command[:2], draft.command[3:]) == (("python", "-c"), ("--x",))
    assert "asyncio.run(" in draft.command[2] and "['it-mcp'].load()()" in draft.command[2]
    assert add._checked(draft).command == list(draft.command) and "# as published it-mcp makes a coroutine" in draft.text
    assert mends.with_options(draft, seen(words=["Other"], started=0.0)) == draft


def test_a_script_of_npm_that_does_not_say_by_what_it_is_run_is_run_by_node():
    ended = seen(why_not="cannot start it: Exec format error", started=0.0)

    command = mends.with_options(Draft("it", {"npm": "it@1"}, ("it", "--x")), ended).command
    assert command == ("node", "/opt/server/node_modules/.bin/it", "--x")
    assert mends.with_options(Draft("it", {"pypi": "it==1"}, ("it",)), ended).command == ("it",)


def test_a_server_that_waits_for_http_is_told_to_use_its_input():
    waits = seen(words=["HTTP server listening on port 3333"], why_not="no answer within 40 s while waiting for initialize", started=0.0)
    told = seen(words=waits.report["words"], why_not=waits.report["why_not"], started=0.0, reads=["MCP_TRANSPORT"])
    draft, tried = Draft("it", command=("it",)), []
    for _ in range(4):
        draft = mends.with_options(draft, waits)
        tried.append(draft.command[1:])

    assert tried == [("--stdio",), ("--transport", "stdio"), ("stdio",), ()]
    assert mends.with_options(Draft("it", command=("it",)), told).env == {"MCP_TRANSPORT": "stdio"}
    refused = seen(words=["error: unknown option '--stdio'"], why_not="the command ended", started=0.0)
    assert mends.with_options(Draft("it", command=("it", "--stdio")), refused).command == ("it", "--transport", "stdio")
    boxed = ["Usage: it [OPTIONS]", "│ No such option: --stdio │"]
    refused = seen(words=boxed, why_not="the command ended", started=0.0, help=boxed)
    assert mends.with_options(Draft("it", command=("it", "--stdio")), refused).command == ("it", "--transport", "stdio")
    listens = seen(
        words=["listening on http://127.0.0.1:8000"], why_not="no answer within 40 s", started=0.0, help=["--transport [stdio|sse]"]
    )
    assert mends.with_options(Draft("it", command=("it",)), listens).command == ("it", "--transport", "stdio")
    assert not needs.listens(seen(words=["listening"], why_not="the command ended", started=0.0))


def test_a_runtime_that_can_do_without_a_library_is_told_to():
    ended = seen(
        words=["Couldn't find a valid ICU package installed on the system. Please install libicu", *["   at System.X()"] * 30], started=0.0
    )

    assert mends.with_variables(Draft("it"), ended).env == {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}


def test_what_is_written_below_a_working_directory_is_kept_beside_a_home_that_is():
    kept = Draft("it", volumes=("it-data:/data",), env={"HOME": "/data"})

    assert mends.with_storage(kept, seen(made("note", wrote=[("/tmp/cwd/notes.db", 9)]))).cwd == "/data"


def test_who_asks_a_machine_of_google_who_it_is_wants_its_account_where_that_call_failed():
    asks = [(10.5, "metadata.google.internal:80")]

    failed = mends.with_variables(Draft("it"), seen(made("look", "no answer within 12 s"), reached=asks))
    worked = mends.with_variables(Draft("it"), seen(made("look"), reached=asks))

    assert (failed.secrets, failed.optional) == (("GOOGLE_APPLICATION_CREDENTIALS",), ())
    assert with_sdks(failed).as_files == failed.secrets and worked.secrets == ()
    said = "Project missing: set it by the project parameter or the IT_PROJECT environment variable"
    beyond = mends.with_variables(Draft("it"), seen(made("look", "connect ECONNREFUSED"), made("list", said), reached=asks))
    assert (beyond.secrets, beyond.optional, beyond.env) == (("GOOGLE_APPLICATION_CREDENTIALS",), (), {})  # whom it asks all the same


def test_an_option_that_ends_the_command_and_wants_a_value_gets_one_of_the_operator_s():
    it = Draft("it", {"npm": "it@1"}, ("it", "--project-id"))
    said = seen(words=["Error: Missing value for argument: --project-id"], started=0.0)

    assert mends.with_options(it, said).command == ("it", "--project-id", "${IT_PROJECT_ID}")


def test_what_it_names_when_it_reaches_for_what_it_was_told_is_advice():
    told = "Connection failed: is X_PORT set to the right port? check that X_SECURE is set"
    first = mends.with_variables(Draft("it"), seen(made("look", told)))
    later = mends.with_variables(Draft("it"), seen(made("look", told), reached=[(10.5, "placeholder.invalid:443")]))

    assert (sorted(first.env), sorted(later.env)) == (["X_PORT", "X_SECURE"], [])


@pytest.mark.parametrize(
    "command, words",
    [
        (("it",), ["Usage: it [OPTIONS]", "Error: Missing option '--site-api-key'."]),
        (("it", "--site-api-key"), ["Error: Option '--site-api-key' requires an argument."]),
    ],
)
def test_a_key_that_is_demanded_as_an_option_is_given_by_the_variable_that_its_code_reads(command, words):
    draft = Draft("it", {"python": "it==1"}, command, secrets=("SITE_API_KEY",), optional=("SITE_API_KEY",))
    one = seen(started=0, words=words, reads=["OTHER_SITE_API_KEY", "SITE_API_KEY"])

    given = mends.with_options(draft, one)
    assert (given.command, given.secrets, given.optional) == (("it",), ("SITE_API_KEY",), ())
    in_vain = mends.with_options(replace(given, command=command), one)
    assert (in_vain.command, in_vain.secrets) == (("it", "--site-api-key", "${SITE_API_KEY}"), ())
    told = list(notes._decisions(replace(in_vain, why=in_vain.why | {"egress": "it"})))
    assert any("as a variable SITE_API_KEY did not do" in line for line in told) and "no variable was found" not in str(told)


def test_what_it_demands_as_options_is_given_by_variables_all_at_once():
    words = ["it: error: the following arguments are required: --account, --auth-token, --db-path, --x"]
    demanding = seen(started=0, words=words, reads=["SITE_ACCOUNT", "SITE_TOKEN"], options={"--auth-token": "SITE_TOKEN"})

    draft = mends.with_options(Draft("it", {"python": "it==1"}, ("it",)), demanding)

    assert draft.command == ("it", "--db-path", "/data/it.db", "--x", "${IT_X}")
    assert (draft.secrets, draft.env) == (("SITE_TOKEN",), {"SITE_ACCOUNT": "${SITE_ACCOUNT}"})


def test_an_option_that_it_demands_is_given_where_its_usage_says_no_more_than_is_there():
    demanding = seen(
        started=0.0, words=["error: required option '--app <app>' not specified"], help=["Usage: it stdio [options]", "Options:"]
    )

    draft = mends.with_options(Draft("it", {"npm": "it@1"}, ("it", "stdio")), demanding)

    assert draft.command == ("it", "stdio", "--app", "${IT_APP}")


def test_an_option_that_has_a_key_is_not_given_without_one():
    words = ["Please provide an access token with the --access-token flag or set the SITE_ACCESS_TOKEN environment variable"]
    ended = seen(words=words, started=0.0)
    draft = mends.with_variables(mends.with_options(Draft("it", command=("it",)), ended), ended)

    assert (draft.command, draft.secrets) == (("it",), ("SITE_ACCESS_TOKEN",))


def test_what_belongs_to_the_address_of_a_back_end_comes_along():
    it = seen(reads=["SITE_DB", "SITE_HOST", "SITE_PASS", "SITE_POOL", "SITE_SSL_KEY", "SITE_USER", "OTHER_PASS"], started=0.0)
    draft = mends.with_beside(Draft("it", env={"SITE_HOST": "${SITE_HOST}"}), it, ["SITE_HOST"])

    assert draft.secrets == draft.optional == ("SITE_DB", "SITE_PASS", "SITE_USER")


def test_a_client_s_id_is_guessed_with_its_secret():
    assert mends.unsaid(Draft("it"), seen(reads=["SITE_CLIENT_ID", "SITE_CLIENT_SECRET"])) == ["SITE_CLIENT_ID", "SITE_CLIENT_SECRET"]


def test_the_library_alone_is_no_driver():
    it = Draft("it", {"pypi": "mssql-mcp==1.0"}, command=("it",), env={"MSSQL_DRIVER": "${MSSQL_DRIVER}"}, apt=("libodbc2",))

    assert mends.with_driver(it, seen(made("look"))).apt == ("libodbc2", "tdsodbc")
    assert mends.with_driver(it, seen(made("look"))).env == {"MSSQL_DRIVER": "${MSSQL_DRIVER:-FreeTDS}"}
    assert mends.with_driver(replace(it, apt=("libodbc2", "tdsodbc")), seen(made("look"))).apt == ("libodbc2", "tdsodbc")


def test_what_its_command_names_may_not_be_left_out():
    draft = Draft(
        "it",
        command=("it", "${SITE_ACCOUNT_ID}", "${SITE_KEY}"),
        secrets=("SITE_ACCOUNT_ID", "SITE_KEY", "B_KEY"),
        optional=("SITE_ACCOUNT_ID", "SITE_KEY", "B_KEY"),
    )
    named = mends.without_what_is_named_twice(draft)

    assert (named.secrets, named.optional) == (("SITE_KEY", "B_KEY"), ("B_KEY",))


def test_who_reads_a_key_beside_a_host_talks_to_somebody_though_his_readme_is_silent():
    reads = ["MCP_IT_IMAP_HOST", "MCP_IT_IMAP_PASSWORD", "MCP_HOST", "MCP_PASSWORD", "IT_MCP_URL", "IT_MCP_TOKEN", "OTHER_KEY"]

    assert mends.beside_a_host(seen(reads=reads)) == ["MCP_IT_IMAP_PASSWORD"]


def test_a_file_that_would_give_the_same_is_not_offered_beside_a_variable():
    draft = Draft(
        "it", secrets=("IT_KEY", "IT_KEY_FILE", "CERT_FILE"), optional=("IT_KEY_FILE", "CERT_FILE"), as_files=("IT_KEY_FILE", "CERT_FILE")
    )

    once = mends.without_what_is_named_twice(draft)

    assert (once.secrets, once.optional, once.as_files) == (("IT_KEY", "CERT_FILE"), ("CERT_FILE",), ("CERT_FILE",))


@pytest.mark.parametrize(
    "reads, command, secrets", [([], ("it", "--api-key", "${IT_API_KEY}"), ()), (["SITE_API_KEY"], ("it",), ("SITE_API_KEY",))]
)
def test_a_key_that_its_last_words_want_by_an_option_is_the_operator_s(reads, command, secrets):
    ended = seen(
        words=["Error: --api-key is required"], started=0.0, reads=reads, options=dict.fromkeys(["--api-key"][: len(reads)], "SITE_API_KEY")
    )

    better = mends.with_options(Draft("it", {"npm": "it@1"}, ("it",)), ended)

    assert (better.command, better.secrets) == (command, secrets)


def test_an_option_whose_readme_shows_a_command_without_arguments_is_given():
    ended = seen(made("look", "pass --region"), shown=[[], ["--region=eu"]])

    assert mends.with_demanded(Draft("it", command=("it",)), ended, "--region").command == ("it", "--region=${IT_REGION}")
