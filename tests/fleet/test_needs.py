"""What a server says that it lacks."""

import sys

import anyio
import pytest
from trials import made, seen

from bridge.fleet.adding import mends
from bridge.fleet.adding.draft import Draft
from bridge.fleet.adding.trial import needs, witness
from bridge.fleet.adding.trial.container import Seen


@pytest.mark.parametrize(
    "words, names",
    [
        ("Error: BRAVE_API_KEY environment variable is required", ["BRAVE_API_KEY"]),
        ("KeyError: 'MY_TOKEN'", ["MY_TOKEN"]),
        ("Missing app_id. Set EXA_APP_ID or add it to ~/.exa.toml", ["EXA_APP_ID"]),
        ("Error: getaddrinfo EAI_AGAIN is not found", []),
        ("Please set A_TOKEN or B_TOKEN", ["A_TOKEN"]),
        ("set SITE_URL and SITE_KEY", ["SITE_URL", "SITE_KEY"]),
        ("give A_KEY, or A_KEY_FILE, which is required", ["A_KEY"]),
        ("code: 'ERR_MODULE_NOT_FOUND', required", []),
        ("listening with LOG_LEVEL info", []),
        ("SSH_KEY_INVALID: PG_KEY must be set", ["PG_KEY"]),
        ('Error: give one of these:\n1. --dsn="…"\n2. Environment variable: export DSN="…"', ["DSN"]),
        ("Error: the ID of a DSN is wrong", []),
        ("Unable to connect to 'site:9092': [AddressFamily.AF_UNSPEC]: not provided", []),
    ],
)
def test_the_variables_that_it_asks_for_are_read_from_its_last_words(words, names):
    assert needs.missing(seen(words=[words], started=0.0, reads=["ID", "DSN"])) == names


@pytest.mark.parametrize(
    "words, why_not, told",
    [
        (["first", "no access with it"], "the command ended", "no access with it"),
        (["Access denied for you", "bye"], "the command ended", "Access denied for you"),
        (["usage: it FOLDER", "  FOLDER: what it may see"], "the command ended", "usage: it FOLDER"),
        (["Error: no token", "running without cache"], "the command ended", "Error: no token"),
        (["quota used up"], "the command ended", "the command ended; its last words: quota used up"),
        (["it listens on port 3000"], "no answer within 40 s", "no answer within 40 s; its last words: it listens on port 3000"),
        ([], "the command ended", "the command ended"),
    ],
)
def test_why_it_did_not_start_is_the_line_that_denies_something_or_what_was_seen_of_it(words, why_not, told):
    assert needs.last_words(seen(words=words, started=0.0, why_not=why_not)) == told


def test_a_program_that_only_prints_its_help_gets_the_option_by_which_it_is_a_server():
    helps = ["Usage: it [options]", "  -p, --port N  listen", "      --mcp     be an MCP server"]
    printed = seen(words=helps, started=0.0, help=helps)

    assert mends.with_options(Draft("it", command=("it",)), printed).command == ("it", "--mcp")
    assert needs.last_words(printed) == "it only prints how it is used: its command lacks something"
    assert needs.last_words(seen(words=[*helps, "error: no site"], started=0.0, help=helps)) == "error: no site"


def test_a_program_that_does_something_else_gets_the_option_of_its_help_that_speaks_of_mcp():
    helps = ["Usage: it [options]", "Options:", "  --stdio   read files from the input", "  --mcp     be an MCP server"]
    ended = seen(words=["No files found."], started=0.0, help=helps)

    assert mends.with_options(Draft("it", command=("it",)), ended).command == ("it", "--mcp")


def test_where_more_is_to_be_read_is_no_reason():
    words = ["No module named 'lib.server'", "Use the --verbose option to see detailed error information"]

    assert needs.last_words(seen(words=words, started=0.0)) == words[0]


def test_what_is_printed_beside_an_end_is_no_reason_for_it():
    warning = ["/opt/x/client.py:5: ApiDeprecationWarning: it failed to be new", "  from ._compat import error"]
    reason = "TypeError: 'NoneType' object is not iterable"

    assert needs.last_words(seen(words=[*warning, reason, "3 - asyncio - ERROR - Unclosed SiteProducer"], started=0.0)) == reason
    assert needs.last_words(seen(words=warning, started=0.0, why_not="the command ended")) == "the command ended"


@pytest.mark.parametrize(
    "line, told",
    [
        ('{"level":50,"msg":"Error: no credentials"}', "Error: no credentials"),
        ('{"jsonrpc":"2.0","method":"log","params":{"message":"Invalid SiteId"}}', "Invalid SiteId"),
        ('{"event": "cannot start", "error": "no key"}', "cannot start: no key"),
        ("{ not json: error }", "the command ended"),
    ],
)
def test_a_line_of_a_log_that_is_an_object_is_told_by_its_message(line, told):
    assert needs.last_words(seen(words=[line], started=0.0, why_not="the command ended")) == told


def test_who_prints_his_help_only_when_he_is_asked_ended_without_a_word():
    silent = seen(words=[], started=0.0, why_not="the command ended", help=["Usage: it [command]", "Commands:", "  add   Adds one"])

    assert needs.last_words(silent) == "the command ended"


def test_the_title_of_a_box_is_no_reason():
    boxed = ["╭─ Error ─────────────╮", "│ Got unexpected extra argument (stdio) │", "╰──────────╯"]

    assert needs.last_words(seen(words=boxed, started=0.0)) == "Got unexpected extra argument (stdio)"


def test_a_build_that_has_expired_says_so():
    words = ["numpy not available, using pure Python", "Early Access Build (v1.0.4) Expired.", "Expiry: 2026-03-25"]

    assert needs.last_words(seen(words=words, started=0.0)) == words[1]


def test_what_it_says_of_itself_in_its_help_too_is_why_it_does_not_start():
    words = ["This server is not maintained any more.", "Use https://it.example/mcp instead."]

    assert needs.last_words(seen(words=words, started=0.0, help=["usage: it [-h]", *words, "options:", "  -h"])) == " ".join(words)


@pytest.mark.parametrize(
    "line, first, others",
    [
        ("Either (X_URL and X_KEY) or (X_URL, X_USER, and X_PASS) are required", ["X_URL", "X_KEY"], ["X_USER", "X_PASS"]),
        ("Set X_KEY or both X_USER and X_PASS", ["X_KEY"], ["X_USER", "X_PASS"]),
        ("X_KEY, Y_KEY or Z_KEY is required", ["X_KEY"], ["Y_KEY", "Z_KEY"]),
        ("X_URL and X_KEY must be set", ["X_URL", "X_KEY"], []),
        ("[SETUP_BLOCKED: ask a human] X_KEY is not set", ["X_KEY"], []),
        ("set X_TOKEN or X_TOKEN_FILE", ["X_TOKEN"], []),
        ("X_URL must be set (or set X_ALLOW_FALLBACK=true)", ["X_URL"], []),
        ("botocore: Unable to locate credentials", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], []),
    ],
)
def test_of_variables_that_stand_for_each_other_the_first_are_taken_and_the_others_told(line, first, others):
    ended = seen(words=[line], started=0.0)

    assert (needs.missing(ended), needs.ways(ended, first)[0]) == (first, others)
    assert needs.ways(ended, ["ANOTHER_KEY"]) == ([], "")  # which is another's complaint


def test_a_key_that_stands_for_another_is_not_asked_for_where_a_log_breaks_the_line_that_says_so():
    said = ["ValueError: Environment variable A_TOKEN (or A_KEY) is not set", "| Environment variable A_TOKEN (or", "| A_KEY) is not set"]

    assert needs.missing_for_calls(seen(made("look", said[0]), words=said))[0] == ["A_TOKEN"]


def test_what_a_complaint_says_to_be_optional_is_not_asked_for():
    said = "Not configured! Please set:\n• A_KEY (required)\n• A_REGION (optional, defaults to x)\n• B_URL (optional)\nOr leave B_URL empty"

    assert needs.missing_for_calls(seen(made("look", said)))[0] == ["A_KEY"]


@pytest.mark.parametrize(
    "words, reads, likely",
    [
        (['"message": "Search URL cannot be empty"'], ["ES_URL", "ES_API_KEY"], ["ES_URL"]),
        (["You must specify a region."], ["AWS_REGION", "AWS_PROFILE"], ["AWS_REGION"]),
        (["invalid api key"], ["ES_URL", "ES_API_KEY"], ["ES_API_KEY"]),
        (["it crashed"], ["A_URL", "A_KEY"], ["A_URL", "A_KEY"]),
        (["it crashed"], ["A_KEY", "B_KEY", "C_KEY", "D_KEY", "E_KEY"], []),
    ],
)
def test_a_variable_is_guessed_by_what_the_last_words_speak_of(words, reads, likely):
    assert needs.likely(seen(words=words, started=0.0), reads) == likely


@pytest.mark.parametrize(
    "words, flag",
    [
        ("Error: In-memory databases require the --read-write flag.", "--read-write"),
        ("Error: you must pass '--accept-terms'", "--accept-terms"),
        ("error: the following arguments are required: --db-path", ""),
        ("Error: use --help for more information", ""),
        ("Error: --accept-terms is required", "--accept-terms"),
        ("The '--accept-terms' option is mandatory.", "--accept-terms"),
    ],
)
def test_an_option_that_its_last_words_ask_for_is_given(words, flag):
    ended = seen(words=[words], started=0.0)

    assert needs.flag(ended) == flag
    assert not flag or mends.with_options(Draft("it", command=("it",)), ended).command == ("it", flag)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("file", ["stderr", "stdout"])
def test_a_server_that_says_that_it_listens_and_does_not_answer_is_not_waited_for(tmp_path, monkeypatch, file):
    """It would be waited for forty seconds and more at each attempt to tell it to use its input."""
    monkeypatch.setattr(witness, "LISTENS", 0.1)
    monkeypatch.setattr(witness, "ALONE", 0.1)
    code = f"import sys, time; print('a'); print('Server listening on port 3333', file=sys.{file}, flush=True); time.sleep(60)"
    wish = {
        "command": [sys.executable, "-c", code],
        "environment": {"HOME": str(tmp_path)},
        "cwd": str(tmp_path),
        "places": [],
        "calls": None,
    }

    seen = Seen(anyio.run(witness.watch, wish), [])

    assert needs.listens(seen)
    assert seen.report["why_not"].endswith("of saying that it listens")


def test_where_more_stands_is_no_reason_for_an_end():
    words = [
        "ValidationError: 1 validation error",
        "  Value error, no credentials",
        "    For further information visit https://errors.it.example",
    ]

    assert needs.last_words(seen(words=words, started=0.0)) == "Value error, no credentials"


def test_who_only_counts_its_use_is_no_reason_for_an_end():
    counts = "ConnectionError: HTTPSConnectionPool(host='telemetry.it.example', port=443): Max retries exceeded"

    assert needs.last_words(seen(words=["ValueError: no rules", counts], started=0.0)) == "ValueError: no rules"
    assert needs.last_words(seen(words=[counts], started=0.0, why_not="no answer within 40 s")) == "no answer within 40 s"


def test_a_client_of_somebody_elses_http_listens_nowhere():
    frame = "    at async StreamableHTTPClientTransport.send (/opt/server/node_modules/sdk/client/streamableHttp.js:324:30)"

    assert not needs.listens(seen(words=["running on stdio", frame], started=0.0, why_not="no answer within 40 s"))


def test_what_options_there_are_is_no_reason():
    printed = [
        "Error: no configuration of a cluster was found",
        "Flags:",
        "  -h, --help",
        "      --tls-key string   Must be used together with --tls-cert.",
    ]
    ended = seen(words=printed, started=0.0)

    assert needs.last_words(ended) == printed[0]
    assert needs.flag(ended) == ""


def test_what_may_also_be_set_is_advice():
    advice = "Error: Provide one of: coordinates, city. The operator can also set the SITE_DEFAULT_LOCATION environment variable."

    assert needs.missing_for_calls(seen(made("look", advice)))[0] == []
    assert needs.missing_for_calls(seen(made("look", "Error: set the SITE_DEFAULT_LOCATION environment variable")))[0] == [
        "SITE_DEFAULT_LOCATION"
    ]


def test_where_a_browser_is_is_nothing_that_an_operator_is_asked_for():
    assert needs.missing_for_calls(seen(made("audit", "The CHROME_PATH environment variable must be set")))[0] == []


def test_what_a_server_of_http_advises_is_not_why_it_does_not_answer():
    words = ["set IT_TOOLS to reduce context", "listening on http://0.0.0.0:3000/mcp"]

    assert needs.missing(seen(words=words, started=0.0, why_not="no answer within 5 s of saying that it listens")) == []
    assert needs.missing(seen(words=words[:1], started=0.0, why_not="it ended")) == []
    assert needs.missing(seen(words=["set IT_KEY"], started=0.0, why_not="it ended")) == ["IT_KEY"]


def test_a_refusal_in_a_box_is_what_it_ended_with():
    boxed = ["Usage: it [OPTIONS]", "╭─ Error ──────╮", "│ No such option: --stdio │", "╰─────╯"]

    assert needs.last_words(seen(words=boxed, help=boxed, started=0.0)) == "No such option: --stdio"


@pytest.mark.parametrize("time", ["2026-11-27 20:51:34.907 | ", "2026-11-27T20:51:34,907Z ", "[2026-11-27 20:51:34] "])
def test_the_time_of_a_log_is_no_part_of_what_is_told(time):
    assert needs.last_words(seen(words=[f"{time}CRITICAL | it - Invalid key"], started=0.0)) == "CRITICAL | it - Invalid key"


def test_what_one_that_lives_says_is_not_told_as_its_end_nor_is_the_code_that_a_stack_shows():
    words = [
        "Exception while exporting Span batch.",
        "Traceback (most recent call last):",
        '  File "/opt/server/lib/python3.13/site-packages/opentelemetry/exporter/otlp/proto/http/trace_exporter/__init__.py", line 7, in export',
        "    raise ConnectionError(e, request=request)",
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='telemetry.it.example', port=443)",
    ]
    waits = seen(words=words, why_not="no answer within 40 s", started=0.0)

    assert needs.last_words(waits) == "no answer within 40 s; its last words: Exception while exporting Span batch."
    assert needs.settings(waits) == {"OTEL_SDK_DISABLED": "true"}
