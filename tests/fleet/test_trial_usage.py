"""How a server says that it is used."""

import pytest
from trials import seen

from bridge.fleet.adding.trial import usage


@pytest.mark.parametrize(
    "help, commands",
    [
        (["Usage: it [command]", "Commands:", "  config   Set it up", "  mcp      Start the server", "", "Options:", "  -h"], ["mcp"]),
        (["USAGE", "  it <command>", "Available Commands:", "  serve-http   HTTP", "  serve-mcp    over stdio"], ["serve-mcp"]),
        (["Commands:", "  it stdio [options]  Start a server using stdio", "  it http  By HTTP"], ["stdio"]),
        (["╭─ Commands ─────╮", "│ index  Index   │", "│ run    Runs it │", "╰────────────────╯"], ["run"]),
        (["usage: it [-h] {index,serve} ...", "positional arguments:", "  {index,serve}"], ["serve"]),
        (
            [
                "Usage:",
                "  it [command]",
                "MCP:",
                "  server    MCP Server operations",
                "             MCP Server.",
                "Services:",
                "  aks   clusters",
            ],
            ["server"],
        ),
        (["Recommended Tools:", "  ask_mcp    asks an MCP"], []),
        (["Options:", "  --serve  it"], []),
        (["Commands:", "  publish   Publish an MCP server", "  connect   Connect an MCP"], []),
    ],
)
def test_the_command_that_is_the_server_is_found_in_the_help(help, commands):
    ended = seen(words=["Missing it"], started=0.0, help=help)

    assert usage.with_command(ended, ("it",)) == ("it", *commands)


def test_a_command_has_commands_and_one_of_the_same_help_takes_the_place_of_another():
    whole = ["Usage: it [command]", "Commands:", "  server   operations", "  run   run it"]
    own = ["Usage: it server [command]", "Commands:", "  start  Starts it"]

    assert usage.with_command(seen(words=["Missing it"], started=0.0, help=own), ("it", "server")) == ("it", "server", "start")
    assert usage.with_command(seen(words=whole, started=0.0, help=whole), ("it", "server")) == ("it", "run")
    assert usage.with_command(seen(words=["no key"], started=0.0, help=whole), ("it", "server")) == ("it", "server")


@pytest.mark.parametrize(
    "line, arguments",
    [
        ("Usage: it serve --vault notes=/absolute/path/to/vault", ["serve", "--vault", "notes=/data"]),
        ("Usage: it <allowed-directory> [additional-directories...]", ["/data"]),
        ("usage: npx -y it <db-file-path>", ["/data/data.db"]),
        ("Usage: it <url>", ["${MY_IT_URL}"]),
        ("Usage: it --org=<organization> [options]", ["--org=${MY_IT_ORGANIZATION}"]),
        ("Usage: it --token TOKEN", []),
        ("Usage: it [options] [command]", []),
        ("Usage: other <folder>", []),
    ],
)
def test_the_arguments_that_it_tells_itself_are_taken_where_they_are_words_and_places(line, arguments):
    assert usage.arguments(seen(words=["Error", line], started=0.0), "it", "/data", "MY_IT") == arguments


def test_an_address_with_a_password_among_its_arguments_is_called_what_it_is():
    assert usage.shown(seen(shown=[["postgresql://me:pw@localhost:5432/db"]]), "/data", "IT") == ["${IT_DATABASE_URL}"]
    assert usage.shown(seen(shown=[["redis://10.1.2.3:6379"]]), "/data", "IT") == ["${IT_URL}"]


def test_a_folder_that_has_a_name_of_its_own_among_the_arguments_is_one():
    assert usage.shown(seen(shown=[["serve", "--vault", "notes=/absolute/path/to/vault"]]), "/data", "IT") == [
        "serve",
        "--vault",
        "notes=/data",
    ]


def test_an_option_that_is_called_without_its_dashes_is_one_where_its_help_has_it():
    ended = seen(words=["Missing required argument: url"], started=0.0, help=["Usage: it start", "Options:", "  --url  Where [required]"])

    assert usage.options(ended) == ["--url"]
    assert usage.options(seen(words=["Missing required argument: url"], started=0.0)) == []


def test_an_argument_of_several_values_is_put_together_from_as_many_variables():
    assert usage.shown(seen(shown=[["YOUR_SITE_ID/YOUR_API_KEY:YOUR_SECRET"]]), "/data", "IT") == [
        "${IT_SITE_ID}/${IT_API_KEY}:${IT_SECRET}"
    ]


def test_what_stands_behind_an_option_for_a_key_is_never_taken_as_it_is():
    said = seen(shown=[["--site-token", "SEU TOKEN", "--limit", "5"]])

    assert usage.shown(said, "/data", "IT") == ["--site-token", "${IT_SITE_TOKEN}", "--limit", "5"]
