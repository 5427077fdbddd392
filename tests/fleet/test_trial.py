"""What a trial calls, what it takes for a success, and what follows from what it saw. Words in, words out."""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
import yaml

from bridge.fleet import lock, origins
from bridge.fleet.adding import add, eras, mends, notes, prove, publishers, tries
from bridge.fleet.adding.draft import MANY_BYTES, Draft
from bridge.fleet.adding.sdks import with_sdks
from bridge.fleet.adding.trial import arguments, container, dependencies, findings, needs, package_files, readmes, recorder, usage, witness
from bridge.fleet.adding.trial.attempt import CONTAINED, NotTried, placeholder, without_values
from bridge.fleet.adding.trial.calls import complaint, planned, sample
from bridge.fleet.adding.trial.container import Reach, Seen
from bridge.fleet.engines.programs import Failed
from bridge.settings import UsageError


def tool(name, required=(), properties=None, **hints):
    return {
        "name": name,
        "inputSchema": {"type": "object", "required": list(required), "properties": properties or {}},
        "annotations": hints,
    }


def made(name, complaint="", wrote=(), reads=True, harms=False, arguments=None, began=10.0, ended=11.0, printed=""):
    return {
        "tool": name,
        "arguments": arguments or {},
        "reads": reads,
        "said": True,
        "harms": harms,
        "began": began,
        "ended": ended,
        "complaint": complaint,
        "answer": "",
        "wrote": [list(one) for one in wrote],
        "printed": printed,
    }


def seen(
    *calls,
    reached=(),
    words=(),
    started=9.0,
    wrote=(),
    tools=None,
    why_not="",
    reads=(),
    help=(),
    documented=(),
    shown=(),
    patterns=(),
    published=(),
    misspelt=(),
    installs=(),
    program="",
    login="",
    browser="",
    platform="",
    elsewhere="",
    home="",
    starts=(),
    speaks_to=(),
    speaks_mcp=True,
    options=(),
    drives="",
    about="",
    commands=(),
    desk="",
    listens=(),
):
    report = {
        "began": 1.0,
        "started": started,
        "why_not": why_not,
        "server": {},
        "tools": tools if tools is not None else [tool(call["tool"]) for call in calls],
        "wrote": [list(one) for one in wrote],
        "calls": list(calls),
        "words": list(words),
        "help": list(help),
        "reads": list(reads),
        "documented": list(documented),
        "shown": list(shown),
        "patterns": list(patterns),
        "published": list(published),
        "misspelt": list(misspelt),
        "installs": list(installs),
        "program": program,
        "login": login,
        "browser": browser,
        "platform": platform,
        "elsewhere": elsewhere,
        "home": home,
        "starts": list(starts),
        "speaks_to": list(speaks_to),
        "speaks_mcp": speaks_mcp,
        "options": dict(options),
        "drives": drives,
        "about": about,
        "commands": list(commands),
        "desk": desk,
        "listens": list(listens),
    }
    return Seen(report, [Reach(*one) for one in reached])


SPEC_DEFAULTS = {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": False, "openWorldHint": True}

# ---- which calls -----------------------------------------------------------------------


def test_what_says_that_it_reads_comes_first_and_what_changes_things_last():
    order = planned(
        [
            tool("delete_all"),
            tool("do_it"),
            tool("list_them"),
            tool("look", readOnlyHint=True),
            tool("search", ["query"]),
            tool("createNote", ["text"]),
        ]
    )

    assert [call.tool for call in order] == ["look", "list_them", "search", "do_it", "delete_all", "createNote"]
    assert [call.reads for call in order] == [True, True, True, False, False, False]
    assert [call.harms for call in order] == [False, False, False, False, True, True]


def test_a_tool_that_tells_the_environment_is_no_proof():
    assert not planned([tool("get_env")])[0].reads
    assert not planned([tool("get_it", readOnlyHint=False)])[0].reads
    assert planned([tool("drop_look", readOnlyHint=True)])[0].reads


@pytest.mark.parametrize(
    "properties, arguments, said",
    [
        ({"zone": {"type": "string", "enum": ["UTC", "CET"]}}, {"zone": "UTC"}, True),
        ({"n": {"type": "integer", "default": 3}}, {"n": 3}, True),
        ({"n": {"type": "integer", "minimum": 2}}, {"n": 2}, False),
        ({"url": {"type": "string"}}, {"url": "https://example.com/"}, False),
        ({"timezone": {"anyOf": [{"type": "null"}, {"type": "string"}]}}, {"timezone": "UTC"}, False),
        ({"tags": {"type": "array", "items": {"type": "string"}}}, {"tags": ["test"]}, False),
        ({"at": {"type": "object", "required": ["x"], "properties": {"x": {"const": 1}}}}, {"at": {"x": 1}}, False),
        ({"odd": True}, {"odd": "test"}, False),
        (
            {"sources": {"type": "array", "items": {"type": "object", "properties": {"pages": {"type": "string"}, "path": {}, "url": {}}}}},
            {"sources": [{"url": "https://example.com/"}]},
            False,
        ),
        ({"query": {"type": "object", "properties": {"limit": {"type": "integer"}, "text": {}}}}, {"query": {"text": "test"}}, False),
        (
            {"it": {"type": "object", "properties": {"a": {}, "url": {}}, "oneOf": [{"required": ["a"]}, {"required": ["url"]}]}},
            {"it": {"a": "test"}},
            False,
        ),
        (
            {"it": {"anyOf": [{"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}, {"type": "string"}]}},
            {"it": {"id": 1}},
            False,
        ),
        (
            {"from_airport": {"type": "string"}, "departure_date": {"type": "string"}},
            {"from_airport": "JFK", "departure_date": "2026-01-02"},
            False,
        ),
        ({"latitude": {"type": "number", "minimum": -90}, "long": {"type": "number"}}, {"latitude": 51.5, "long": -0.1}, False),
    ],
)
def test_arguments_are_those_of_the_schema_or_a_guess_that_it_accepts(properties, arguments, said):
    assert sample({"type": "object", "required": list(properties), "properties": properties}) == (arguments, said)


def test_an_example_in_a_description_is_no_guess():
    schema = {
        "required": ["place", "when"],
        "properties": {"place": {"type": "string", "description": "a code, e.g. 'LAX'"}, "when": {"type": "string"}},
    }

    assert sample(schema, "Looks.\n\nArgs:\n    when: the day (for example `2027-01-02`)") == ({"place": "LAX", "when": "2027-01-02"}, True)
    assert sample(schema) == ({"place": "LAX", "when": "test"}, False)


@pytest.mark.parametrize(
    "name, part, about, value",
    [
        ("symbol", {"type": "string", "description": "Ticker (e.g., MSFT, AMD)"}, "", "MSFT"),
        ("repo", {"type": "string", "description": "Example: octo/hello"}, "", "octo/hello"),
        ("code", {"type": "string", "description": "An ISO code, e.g. pt-BR."}, "", "pt-BR"),
        ("symbols", {"type": "array", "items": {"type": "string"}, "description": "such as MSFT"}, "", ["MSFT"]),
        ("topic", {"type": "string", "description": "e.g. the Weather of today"}, "", None),
        ("name", {"type": "string", "description": "e.g. <YOUR_NAME>, or so"}, "", None),
        ("path", {"type": "string", "description": "e.g. '/home/me/x.txt'"}, "", None),
        ("url", {"type": "string"}, "Reads a page.\n- Example: https://docs.site.io/a/b.html.", "https://docs.site.io/a/b.html"),
        ("page_url", {"type": "string", "description": "(https://site.io/{id}) or so"}, "", "https://site.io/"),
        ("url", {"type": "string"}, "Such as https://example.com/x or https://your.site.io", None),
    ],
)
def test_an_example_needs_no_quotes_and_an_address_no_word_before_it(name, part, about, value):
    arguments, said = sample({"required": [name], "properties": {name: part}}, about)

    assert said is (value is not None)
    assert arguments[name] == value or not said


def test_what_adds_two_numbers_changes_nothing():
    def call(name, *arguments):
        return planned([tool(name, arguments, {one: {"type": "number"} for one in arguments})])[0]

    assert (call("add_numbers", "a", "b").harms, call("add", "num1", "num2").reads) == (False, True)
    assert call("delete_item", "id").harms and call("add_points", "player_id", "value").harms


def test_of_calls_that_need_nothing_one_for_all_that_there_is_comes_last():
    assert [call.tool for call in planned([tool("get_everything"), tool("get_all"), tool("get_market")])] == [
        "get_market",
        "get_everything",
        "get_all",
    ]


def test_a_schema_that_refers_to_itself_has_an_end():
    loop = {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"$ref": "#/$defs/A"}}}

    assert sample(loop) == ({"a": None}, False)
    assert sample(None) == ({}, True)


@pytest.mark.parametrize(
    "text",
    [
        "Error: no such thing",
        "An error occurred: x",
        "Failed to fetch page",
        "❌ Failed to load",
        '{"error": "Temporary network issue"}',
        '[{"error": "x"}]',
        '{"success": false, "message": "x"}',
        '{"status": "error"}',
        '{"/tmp": {"result": "error", "reason": "no such file"}}',
        "HTTP error 500",
        "Search failed: getaddrinfo ENOTFOUND host",
        "Please set the API key: missing API key",
        "FOO_API_KEY environment variable is not set",
        "Unable to connect",
        "Could not find it",
        "ValueError: x",
        "ADCIRC Error: ValueError: either path or content must be provided",
        "You need to register for the course first.",
        "Either file_path or content must be provided.",
    ],
)
def test_an_error_in_a_text_is_no_success(text):
    assert complaint({"content": [{"type": "text", "text": text}]})


@pytest.mark.parametrize(
    "text",
    [
        "12:00 UTC",
        "",
        "No notes yet",
        '{"error": null, "items": []}',
        '{"a": {"result": "fine"}, "b": {"result": "error"}}',
        "[]",
        "0 errors found",
        '{"errors": [], "ok": true}',
        "Errol Flynn was an actor",
        "Type of error: none",
    ],
)
def test_an_answer_that_only_sounds_like_one_is_a_success(text):
    assert complaint({"content": [{"type": "text", "text": text}]}) == ""


def test_an_error_is_known_by_its_structure_too():
    assert complaint({"content": [], "structuredContent": {"result": {"error": "x"}}}) == "x"
    assert complaint({"isError": True, "content": [{"type": "text", "text": "fine"}]}) == "fine"
    assert complaint(None, "unknown tool (-32602)") == "unknown tool (-32602)"


# ---- what follows ----------------------------------------------------------------------


def test_only_a_call_that_worked_is_proposed():
    assert findings.smoke(seen(made("list_a", "Error: x"), made("list_b")), None, True) == {"tool": "list_b", "build": True}
    assert findings.smoke(seen(made("list_a", "Error: x")), None, True) is None
    assert findings.smoke(seen(made("delete_a", reads=False, harms=True)), None, True) is None


def test_a_call_that_was_seen_to_do_nothing_is_harmless_whatever_it_is_called():
    assert findings.smoke(seen(made("divide", reads=False, arguments={"a": 1})), None, True) == {
        "tool": "divide",
        "arguments": {"a": 1},
        "build": True,
    }
    assert findings.smoke(seen(made("think", reads=False, wrote=[("/tmp/home/x", 1)])), None, True) is None
    assert findings.smoke(seen(made("think", reads=False), reached=[(10.5, "a.example.org:443")]), None, True) is None
    assert findings.smoke(seen(made("patchText", reads=False)), None, True) is None


def test_a_call_that_may_write_to_the_file_that_it_is_told_is_not_seen_to_do_nothing():
    """The file that it was told is none: with one it would have done something."""
    assert findings.smoke(seen(made("mend", reads=False, arguments={"file_path": "/tmp"})), None, True) is None
    assert findings.smoke(seen(made("mend", arguments={"file_path": "/tmp"})), None, True)


def test_what_is_said_to_a_guess_proves_nothing_where_other_calls_ask_somebody():
    guess, asking = made("compare", arguments={"places": [{}]}) | {"said": False}, made("find", "no network", began=20.0, ended=21.0)

    assert findings.smoke(seen(guess, asking, reached=[(20.5, "a.example.org")]), None, True) is None
    assert findings.smoke(seen(guess, asking), None, True)


@pytest.mark.parametrize(
    "first, second, works",
    [
        ({}, {}, True),
        ({}, {"said": False, "reads": False}, True),
        ({"said": False}, {"said": False}, False),
        ({"harms": True}, {"harms": True}, False),
        ({"wrote": [["/tmp/home/x", 1]]}, {"reads": False}, False),
        ({}, {"complaint": "Error: no network"}, False),
        ({"answer": "The service is unavailable"}, {}, False),
        ({"answer": "No answer: fetch failed"}, {}, False),
        ({"answer": "[]"}, {}, False),
        ({"answer": "just the same"}, {"answer": "just the same"}, False),
        ({}, {"began": 30.0, "ended": 31.0}, False),
    ],
)
def test_a_call_that_answers_though_somebody_was_kept_from_it_counts_where_another_does_so_too(first, second, works):
    one = made("list_zones") | {"answer": "Rome, Oslo"} | first
    other = made("get_zone", began=20.0, ended=21.0) | {"answer": "Oslo: +1"} | second
    found = findings.failing_open(seen(one, other, reached=[(10.5, "count.example.org"), (20.5, "count.example.org")]))

    assert found == ({"tool": "list_zones", "build": False} if works else None)


def test_who_asks_different_people_is_not_taken_for_one_that_counts_its_use():
    calls = [made("list_zones") | {"answer": "Rome"}, made("get_zone", began=20.0, ended=21.0) | {"answer": "Oslo: +1"}]

    assert findings.failing_open(seen(*calls, reached=[(10.5, "a.example.org"), (20.5, "b.example.org")])) is None
    assert findings.failing_open(seen(calls[0], reached=[(10.5, "a.example.org")])) is None


def test_a_call_that_reached_for_somebody_counts_only_where_it_was_answered():
    closed = seen(made("search"), reached=[(10.5, "a.example.org"), (10.6, "a.example.org:443")])
    answered = seen(made("search"), reached=[(10.5, "a.example.org"), (10.7, "1.2.3.4", True)])
    cut_off = seen(made("search"), reached=[(10.5, "a.example.org")])
    remembered = seen(made("search"))

    assert findings.smoke(closed, None, True) is None
    assert findings.smoke(closed, answered, True) == {"tool": "search", "build": False, "internet": True}
    assert findings.smoke(closed, remembered, True) is None
    assert findings.smoke(closed, cut_off, True) is None and findings.is_cut_off(cut_off) and not findings.is_cut_off(answered)


@pytest.mark.parametrize(
    "what, talks, allowed, why",
    [
        (
            seen(made("search"), reached=[(10.5, "a.example.org"), (10.5, "a.example.org:443")]),
            False,
            True,
            "its tool search tried a.example.org",
        ),
        (
            seen(reached=[(2.0, "a.example.org")], started=0.0, words=["fetch failed"]),
            False,
            True,
            "it did not start without a.example.org",
        ),
        (
            seen(reached=[(2.0, "a.example.org")], started=0.0, words=["a command is required"]),
            False,
            True,
            "it did not start for another reason",
        ),
        (seen(reached=[(2.0, "dc.applicationinsights.azure.com:443")], started=0.0), False, False, "it did not start, and did not try"),
        (seen(made("send", "fetch failed"), reached=[(10.5, "api.mixpanel.com")]), False, True, "its tool send tried api.mixpanel.com"),
        (seen(made("read", "no such file"), tools=[tool("read", **SPEC_DEFAULTS)]), False, False, "1 of its 1 tools were called"),
        (
            seen(made("look"), reached=[(2.0, "updates.example.org")]),
            False,
            False,
            "at its start it tries updates.example.org, and works without",
        ),
        (seen(made("look")), False, False, "1 of its 1 tools were called, and none tried to reach anything"),
        (seen(made("look") | {"said": False}), False, False, "(1 of them with guesses, which may have been refused: true if they"),
        (seen(made("look", "no")), True, True, "it has a key or an address"),
        (
            seen(made("look", "no"), reached=[(2.0, "127.0.0.1:6379")], reads=["DEBUG", "IT_HOST", "SECURITY"]),
            False,
            True,
            "it looks for a service at 127.0.0.1:6379, which in a container is itself: tell it where that is (its code reads IT_HOST)",
        ),
        (
            seen(made("look"), reached=[(2.0, "a.example.org")], tools=[tool("look"), tool("other")]),
            False,
            True,
            "at its start it tries a.example.org, and 1 of its 2 tools were not called",
        ),
        (seen(made("look", "Not authenticated: please log in")), False, True, "its calls want an account or a key"),
        (seen(made("run", "Please set ALLOW_PROGRAMS environment variable")), False, False, "none tried to reach anything"),
        (seen(made("run", "Please set SITE_HOST environment variable")), False, True, "its calls want an account or a key"),
        (seen(tools=[tool("look", openWorldHint=True)]), False, True, "openWorldHint"),
        (seen(made("list"), made("look", "401: credentials not found")), False, True, "some of its calls want an account or a key"),
        (seen(started=0.0), False, False, "it did not start, and did not try"),
        (seen(started=0.0, speaks_to=["api.example.io"]), False, True, "it did not start, its code asks api.example.io"),
        (
            seen(started=0.0, reached=[(2.0, "169.254.169.254:80"), (2.0, "100.100.100.200:80")]),
            False,
            False,
            "it did not start, and did not try",
        ),
    ],
)
def test_egress_is_decided_by_what_it_tried_to_reach_and_says_why(what, talks, allowed, why):
    egress = findings.egress(what, talks)

    assert egress.allowed is allowed and why in egress.why


@pytest.mark.parametrize(
    "wrote, home, cwd",
    [
        ([("/tmp/home/.notes/db.json", 10)], True, False),
        ([("/tmp/cwd/notes.db", 10)], False, True),
        ([("/tmp/home/.cache/x", 10)], False, False),
        ([("/tmp/home/.local/state/it/session.json", 10)], True, False),
        ([("/tmp/home/.local/state/it/logs/today", 10), ("/tmp/home/.local/state/it/it.log", 10)], False, False),
        ([("/tmp/home/.cache/model.bin", 5 << 20)], False, False),
        ([("/tmp/scratch", 10)], False, False),
        ([("/tmp/home/server.log", 10)], False, False),
        ([("/tmp/home/.local/share/it/telemetry_state.json", 10)], False, False),
        ([("/tmp/home/.net/it/x/lib.so", 9 << 20)], False, False),
        ([("/tmp/home/.config/matplotlib/", 0)], False, False),
        ([("/tmp/home/.it/combined_cache/data.json", 10)], False, False),
        ([("/tmp/home/.it/cached_notes.json", 10)], True, False),
        ([("/tmp/home/.it/tmp/.last-cache-maintenance", 10)], False, False),
        ([("/tmp/home/.it/audit.log", 10)], True, False),
        ([("/tmp/home/.it/templates/one", 10)], True, False),
        ([("/data/x", 1)], False, False),
    ],
)
def test_what_is_written_into_memory_is_noticed_but_not_what_comes_back_by_itself(wrote, home, cwd):
    found = findings.storage(seen(made("create_note", wrote=wrote)), ["/data"])

    assert (found.home, found.cwd) == (home, cwd)


def test_what_was_downloaded_into_a_cache_is_worth_to_be_kept():
    downloaded = seen(made("look", wrote=[("/tmp/home/.cache/model.bin", 5 << 20)]), reached=[(10.5, "1.2.3.4", True)])

    assert findings.storage(downloaded).home


def test_what_is_unpacked_to_be_executed_needs_a_home_on_a_volume():
    words = ["Failed to load /tmp/home/.net/x/lib.so: failed to map segment from shared object"]
    draft = mends.with_storage(Draft("it", command=("it",)), seen(words=words, started=0.0))

    assert (draft.volumes, draft.env) == (("it-data:/data",), {"HOME": "/data"})
    assert mends.with_storage(draft, seen(words=words, started=0.0)) == draft


@pytest.mark.parametrize(
    "words, place",
    [
        ("Error: EROFS: read-only file system, mkdir '/data/papers'", "/data"),
        ("PermissionError: [Errno 13] Permission denied: '/var/lib/it/x.db'", "/var/lib/it"),
        ("mkdir /storage: read-only file system", "/storage"),
        ("[Errno 2] No such file or directory: '/workspace/a'", "/workspace"),
        ("ENOENT: no such file or directory, open '/opt/server/node_modules/x/config.json'", ""),
        ("EACCES: permission denied, open '/etc/x'", ""),
        ("Error: spawn x ENOENT at onexit (node:internal/child_process:285:19)", ""),
    ],
)
def test_where_it_may_not_write_becomes_a_volume(words, place):
    assert findings.storage(seen(words=[words], started=0.0)).places == ((place,) if place else ())


@pytest.mark.parametrize(
    "words, beside",
    [
        (['  File "<frozen os>", line 227, in makedirs', "OSError: [Errno 30] Read-only file system: '/opt/server/lib/it/logs'"], True),
        (["Error: EROFS: read-only file system, mkdir '/opt/server/lib/it/logs'"], True),
        (["OSError: [Errno 30] Read-only file system: '/opt/server/lib/it/logs'"], False),
    ],
)
def test_a_folder_that_it_makes_in_its_own_package_becomes_a_volume_and_a_file_there_is_told(words, beside):
    it = seen(words=words, started=0.0)

    assert mends.with_storage(Draft("it"), it).volumes == (("it-opt-server-lib-it-logs:/opt/server/lib/it/logs",) if beside else ())
    assert bool(findings.storage(it).inside) is not beside
    started = seen(words=words)  # who started anyhow can do without its logs
    assert not mends.with_storage(Draft("it"), started).volumes and not findings.storage(started).inside


@pytest.mark.parametrize(
    "file, to, volumes", [("it.log", "/dev/null", ()), ("state.json", "/data/state.json", ("it-data:/data",)), ("data", "", ())]
)
def test_a_file_that_it_insists_on_writing_in_its_own_package_leads_out_of_it(file, to, volumes):
    place = f"/opt/server/lib/{file}"
    dead = seen(words=[f"OSError: [Errno 30] Read-only file system: '{place}'"], started=0.0)

    draft = prove._with_more_in_its_image(Draft("it", {"pypi": "it==1.0"}, ("it",)), dead, set())

    assert (draft.links, draft.volumes) == ({place: to}, volumes) if to else draft is None
    assert not draft or (add._checked(draft).links == {place: to} and prove._with_more_in_its_image(draft, dead, {place}) is None)


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


def test_a_stand_in_for_an_address_has_the_shape_that_was_seen_to_be_wanted():
    told = usage.schemes(seen(words=["ERROR: no database", "like postgres://user:pass@host:5432/db"], started=0.0))
    published = usage.schemes(seen(published=[{"name": "STORE_URL", "value": "mongodb+srv://you@host", "default": ""}]))

    assert placeholder("SITE_DSN", told) == "postgres://placeholder:placeholder@site-dsn.placeholder.invalid/0"
    assert placeholder("DB_HOST", told) == "db-host.placeholder.invalid"
    assert placeholder("SITE_URL", told) == "http://site-url.placeholder.invalid"
    assert placeholder("STORE_URL", published).startswith("mongodb+srv://")


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


def test_a_key_that_only_its_code_names_is_optional_unless_there_are_many():
    one = mends.with_variables(Draft("it"), seen(made("look"), reads=["DEBUG", "SITE_API_KEY"]))
    many = mends.with_variables(Draft("it"), seen(made("look"), reads=["A_KEY", "B_KEY", "C_KEY"]))
    dead = mends.with_variables(Draft("it"), seen(started=0.0, reads=["SITE_API_KEY"]))

    assert (one.secrets, one.optional, one.env) == (("SITE_API_KEY",), ("SITE_API_KEY",), {})
    assert many.secrets == dead.secrets == ()
    assert "SITE_API_KEY: {optional: true}" in one.text


def test_a_key_that_a_readme_never_names_that_shows_how_it_is_started_is_for_others():
    undocumented = seen(made("look"), reads=["SITE_API_KEY", "SITE_OWN_KEY"], documented=["SITE_OWN_KEY"], shown=[[]])

    assert mends.with_variables(Draft("it", {"npm": "site-mcp@1"}), undocumented).secrets == ("SITE_OWN_KEY",)
    assert not any("SITE_API_KEY" in line for line in notes._lacks(Draft("it", egress=True), undocumented))


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


class Table:
    """A trial that has seen everything."""

    asked: frozenset[str] = frozenset()

    def __init__(self, *seen):
        self.seen, self.stanzas = list(seen), []

    def known(self):
        return {}

    def look(self, stanza):
        return None

    def watch(self, stanza, values, calls=None, is_open=False):
        self.stanzas.append(stanza)
        return self.seen.pop(0)


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


def test_a_socket_is_no_place_to_keep_things_and_an_engine_of_docker_is_told_with_the_way_out():
    away = seen(words=["Error: connect ENOENT /var/run/docker.sock"], started=0.0)

    assert findings.storage(away).places == ()
    assert dependencies.not_in_a_package(away).startswith("it wants a Docker engine: tell it one by its address")
    assert findings.egress(away, False).allowed


def test_nobody_is_told_to_deny_most_of_the_tools():
    tools = (*(tool(name) | {"description": "x" * 2000} for name in ("a", "b")), tool("c"))
    lines = notes.of_a_started_one(Draft("it", tools=tools, why={"egress": "", "smoke": ""}), "it", seen(made("a")), [])

    assert [line.partition("; ")[2] for line in lines if "models may refuse" in line] == ["such a model needs another MCP"]


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


@pytest.mark.parametrize(
    "code, names",
    [
        ("const key = process.env.SITE_KEY ?? process.env['B_KEY']", ["B_KEY", "SITE_KEY"]),
        ('os.environ["A_KEY"]; os.environ.get( "B_KEY"); os.getenv(\'C_KEY\')', ["A_KEY", "B_KEY", "C_KEY"]),
        ("environment SITE_KEY", []),
        ("const { A_KEY, B_URL: url = 'x' } = process.env;", ["A_KEY", "B_URL"]),
        ("z.object({ENDPOINT: z.string().url(), SITE_KEY: z\n.string()}).parse(process.env)", ["ENDPOINT", "SITE_KEY"]),
        ("key: str = Field(alias='A_KEY'); @click.option('--b', envvar=\"B_KEY\")", ["A_KEY", "B_KEY"]),
        ("requireEnv('A_KEY'); import.meta.env.B_KEY; x.envelope.C_KEY", ["A_KEY", "B_KEY"]),
        ("def _env(name): return os.environ.get(name)\n_env('A_KEY')", ["A_KEY"]),
        (
            "def _env(end): return os.environ.get(f'{BEFORE}{end}')\n_env('KEY_END'); getenv('A_KEY'); os.getenv('B_KEY')",
            ["A_KEY", "B_KEY"],
        ),
    ],
)
def test_the_variables_that_code_asks_for_are_found(code, names):
    assert sorted(package_files.asked_for(code)) == names


def test_a_secret_that_it_opens_as_a_file_is_one():
    line = f"Error: ENOENT: no such file or directory, open '/tmp/cwd/{placeholder('OAUTH_CREDENTIALS')}'"

    draft = mends.with_files(Draft("it", secrets=("OAUTH_CREDENTIALS", "A_KEY")), seen(words=[line], started=0.0))

    assert draft.fields["secrets"] == {"OAUTH_CREDENTIALS": {"as": "file"}, "A_KEY": {}}


def test_of_guessed_variables_its_own_come_first():
    reads = ["OPENAI_API_KEY", "SITE_USER_API_KEY"]
    ended = seen(words=["RuntimeError: An API key is required to call it"], started=0.0, reads=reads, documented=["SITE_USER_API_KEY"])

    draft = tries._with_guesses(tries.Tries(Table(seen(made("look"))), {}, add._checked), Draft("it", command=("it",)), ended)

    assert draft.secrets == ("SITE_USER_API_KEY",)


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
    "file, code, readme, reads, patterns",
    [
        ("it.js", 'P(e.key,A("SITE_API_KEY"),"")', "Set SITE_API_KEY.", ["SITE_API_KEY"], []),
        ("it.js", 'P(e.key,A("SITE_API_KEY"),"")', "Nothing.", [], []),
        ("it.js", 'throw Error("no SITE_API_KEY")', "SITE_API_KEY, one day", [], []),
        ("it.py", "class Settings(BaseSettings):\n    SITE_TOKEN: SecretStr\n", "Set SITE_TOKEN.", ["SITE_TOKEN"], []),
        (
            "it.js",
            "env[`SITE_${name}_HOST`]; env[`SITE_${name}_PASSWORD`]; /^SITE_([A-Z]+)_USER$/; env('SITE_TIMEOUT_MS')",
            '"env": {"SITE_LONDON_HOST": "x", "SITE_LONDON_PASSWORD": "y"} SITE_TIMEOUT_MS',
            ["SITE_TIMEOUT_MS"],
            ["SITE_…_HOST", "SITE_…_PASSWORD"],
        ),
        ("it.py", 'os.environ[f"SITE_{name}_KEY"]; os.environ["SITE_B_KEY"]', "SITE_A_KEY=… SITE_B_KEY=…", ["SITE_B_KEY"], ["SITE_…_KEY"]),
    ],
)
def test_what_its_readme_names_is_a_variable_where_its_code_uses_it_and_names_of_an_example_are_none(
    tmp_path, monkeypatch, file, code, readme, reads, patterns
):
    (tmp_path / file).write_text(code)
    (tmp_path / "README.md").write_text(readme)
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / file, tmp_path / "README.md"])

    found = package_files.variables("it")

    assert (found.reads, found.patterns) == (reads, patterns)


def test_what_may_be_left_out_and_no_code_spells_is_somebody_else_s(tmp_path, monkeypatch):
    files = {
        "package/it.js": "new Failure('KEY_MISMATCH', 'it'); config.siteUrl; `${kind}_USER_TOKEN`; new Sdk()",
        "package/README.md": shown_variables("IT_KEY", "SITE_URL", "OPEN_USER_TOKEN", "SDK_KEY", "GITHUB_TOKEN")
        + shown_variables("IT_KEY")
        + "KEY_MISMATCH",
        "package/part/README.md": shown_variables("OPENAI_API_KEY"),
        "package/tests/it.js": "process.env.TEST_KEY",
        "sdk/sdk.js": "process.env.SDK_KEY",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(package_files, "SERVER", tmp_path)
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / name for name in files if name.startswith("package/")])

    found = package_files.variables("it")

    assert {one["name"]: one["needed"] for one in found.published} == {
        "IT_KEY": True,
        "SITE_URL": False,
        "OPEN_USER_TOKEN": False,
        "SDK_KEY": False,
    }
    assert {"TEST_KEY", "KEY_MISMATCH"}.isdisjoint(found.reads)


@pytest.mark.parametrize(
    "file, code",
    [
        ("it.js", "/**\n * const it = process.env['OLD_KEY'];\n * fetch('https://api.old.io/'); spawn('ffmpeg')\n */"),
        ("it.d.ts", "  // process.env.OLD_KEY, fetch(`https://api.old.io/`), exec('ffmpeg')"),
        ("it.py", '"""os.environ["OLD_KEY"]\n\nrequests.get("https://api.old.io/"); run(["ffmpeg"])\n"""'),
        ("it.py", "pass  # os.environ['OLD_KEY'] requests.get('https://api.old.io/') run(['ffmpeg'])"),
        ("vendor/it.py", "os.environ['OLD_KEY']; requests.get('https://api.old.io/'); run(['ffmpeg'])"),
        ("lib/python3.12/site-packages/pip/_vendor/it.py", "os.environ['OLD_KEY']; requests.get('https://api.old.io/'); run(['ffmpeg'])"),
    ],
)
def test_comments_and_what_it_brings_of_others_are_not_its_code(tmp_path, monkeypatch, file, code):
    own = tmp_path / "node_modules/it"
    (own / file).parent.mkdir(parents=True)
    (own / file).write_text(code)
    (own / "main.py").write_text("""x =   # a
os.environ['NEW_KEY']; url = "https://api.new.io/#it"; httpx.get(url); run(['jq', ])
""")
    (own / "main.js").write_text("const glob = '/*'; x = /['\"]/; // it\n/*! it */ process.env.A_KEY; fetch('https://api.a.io/')")
    (own / "README.md").write_text("It wants jq, ffmpeg.")
    monkeypatch.setattr(package_files, "SERVER", tmp_path)

    found = package_files.variables("it")

    assert (found.reads, sorted(found.speaks_to), found.starts) == (["A_KEY", "NEW_KEY"], ["api.a.io", "api.new.io"], ["jq"])


@pytest.mark.parametrize(
    "file, code, home",
    [
        ("a.js", "const d = join(homedir(), '.config', 'site-it'); writeFileSync(join(d, 'config.json'), x)", ".config/site-it"),
        ("a.js", "const d = process.env.HOME || process.env.USERPROFILE || '', f = path.join(os.homedir(), '.site-it/state.json'); writeFile(f)", ".site-it"),
        ("a.js", "new Database(`${os.homedir()}/.site-it/db/it.sqlite`)", ".site-it/db"),
        ("a.py", "p = Path.home() / '.site-it' / 'boards.json'\np.write_text(x)", ".site-it"),
        ("a.py", "p = os.path.expanduser('~/.site-it')\nopen(p, 'w')", ".site-it"),
        ("a.js", "join(homedir(), '.site-it', 'cache'); writeFile(f)", ""),
        ("a.js", "join(homedir(), '.aws', 'credentials'); writeFile(f)", ""),
        ("a.js", "readFile(join(homedir(), '.site-it'))", ""),
    ],
)  # fmt: skip
def test_what_its_code_writes_in_its_home_is_kept_whatever_its_readme_says(tmp_path, monkeypatch, file, code, home):
    (tmp_path / file).write_text(code)
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / file])

    assert package_files.variables("site-it").home == home


def test_what_is_started_with_a_list_of_arguments_is_a_program_whatever_its_readme_names(tmp_path, monkeypatch):
    (tmp_path / "it.js").write_text("await executeCommand('git', ['clone', url]); spawn('rg', words); z.enum('jq', ['a'])")
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.js"])

    assert package_files.variables("it").starts == ["git"]


@pytest.mark.parametrize("starts, hosts", [("", ["api.site.io"]), ("subprocess.run(['node', 'web.js'])", ["api.site.io", "pages.site.io"])])
def test_the_scripts_of_a_package_of_python_are_for_browsers_unless_it_starts_node(tmp_path, monkeypatch, starts, hosts):
    place = tmp_path / "site-packages" / "it"
    place.mkdir(parents=True)
    (place / "it.py").write_text(f"import httpx, subprocess\n{starts}\nhttpx.get('https://api.site.io/x')\n")
    (place / "web.js").write_text("fetch('https://pages.site.io/x')")
    monkeypatch.setattr(package_files, "_files", lambda *_: [place / "it.py", place / "web.js"])

    assert package_files.variables("it").speaks_to == hosts


def test_who_only_has_text_of_a_client_asks_nobody(tmp_path, monkeypatch):
    (tmp_path / "it.py").write_text("FOUND = {'x': 'import requests; requests.get()', 'y': 'https://api.old.io/'}\n")
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.py"])

    assert package_files.variables("it").speaks_to == []


@pytest.mark.parametrize(
    "file, readme, starts",
    [
        ("it.js", "git clone https://git.site.io/it", []),
        ("it.js", "It needs git.", ["git"]),
        ("test-helper.js", "It needs git.", []),
        ("it.spec.js", "It needs git.", []),
    ],
)
def test_a_program_by_which_one_gets_it_or_that_a_test_starts_is_none_that_it_starts(tmp_path, monkeypatch, file, readme, starts):
    (tmp_path / file).write_text("execSync('git diff')")
    (tmp_path / "README.md").write_text(readme)
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / file, tmp_path / "README.md"])

    assert package_files.variables("it").starts == starts


def shown_variables(*names):
    return json.dumps({"mcpServers": {"it": {"command": "npx", "args": ["it"], "env": dict.fromkeys(names, "your-own")}}}, indent=1) + "\n"


@pytest.mark.parametrize(
    "words", [["--site-api-key=<KEY>", "--stdio"], ["--site-api-key", "<KEY>", "--stdio"], ["--site-api-key", "api-1234", "--stdio"]]
)
def test_a_key_among_the_arguments_of_a_readme_is_given_by_a_variable_that_its_code_reads(words):
    draft = mends.with_options(Draft("it", command=("it",)), seen(started=0.0, shown=[words], reads=["SITE_API_KEY"]))

    assert (draft.command, draft.secrets) == (("it", "--stdio"), ("SITE_API_KEY",))


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


def test_a_program_that_only_prints_its_help_gets_the_option_by_which_it_is_a_server():
    helps = ["Usage: it [options]", "  -p, --port N  listen", "      --mcp     be an MCP server"]
    printed = seen(words=helps, started=0.0, help=helps)

    assert mends.with_options(Draft("it", command=("it",)), printed).command == ("it", "--mcp")
    assert needs.last_words(printed) == "it only prints how it is used: its command lacks something"
    assert needs.last_words(seen(words=[*helps, "error: no site"], started=0.0, help=helps)) == "error: no site"


def test_a_build_that_has_expired_says_so():
    words = ["numpy not available, using pure Python", "Early Access Build (v1.0.4) Expired.", "Expiry: 2026-03-25"]

    assert needs.last_words(seen(words=words, started=0.0)) == words[1]


def test_a_crash_that_is_printed_beside_its_help_is_why_it_does_not_start():
    crash = [
        "node:internal/deps/undici:1",
        "Error.captureStackTrace(err);",
        "^",
        "TypeError: fetch failed",
        "at node:internal/deps/undici:1:2",
    ]
    it = seen(words=crash, started=0.0, help=["usage: it [-h]", *crash], reached=[(2.0, "api.example.org:443")])
    notes_of = notes.of_one_that_did_not_start(Draft("it", reached=("api.example.org",), why={"egress": "it did not"}), it, [], [])

    assert needs.last_words(it) == "TypeError: fetch failed"
    assert (
        notes_of[0] == "it did not start: at its start it asks api.example.org, which cannot be reached from here: TypeError: fetch failed"
    )


def test_what_it_says_of_itself_in_its_help_too_is_why_it_does_not_start():
    words = ["This server is not maintained any more.", "Use https://it.example/mcp instead."]

    assert needs.last_words(seen(words=words, started=0.0, help=["usage: it [-h]", *words, "options:", "  -h"])) == " ".join(words)


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


@pytest.mark.parametrize(
    "words",
    [
        "x\n# smoke: {tool: evil}\nimage: evil",
        "a\u2028b\x1b[2J",
        "a\u2028image: evil",
        "a\x85image: evil",
        "os.environ/KEY",
        "x" * 5000,
        "a: b # c",
    ],
)
def test_what_a_server_says_stays_a_comment(words):
    why = {"egress": words, "volumes": words, "smoke": words}
    draft = Draft("it", command=("it",), volumes=("a:/b",), egress=True, constraints={"a<2": words}, unproved={"tool": words}, why=why)

    said = yaml.safe_load(draft.text)

    assert set(said) == {"constraints", "command", "volumes", "egress", "bridge"}
    assert all(len(line) < 6000 and line.isprintable() for line in draft.text.splitlines())


@pytest.mark.parametrize("end", ["\n", "\x85", "\u2028", "\u2029"])
def test_the_name_of_a_tool_is_no_field_of_the_stanza(end):
    """Each of these ends a comment of YAML: `grants: docker` would be whatever follows."""
    tool = {"name": f"it{end}grants: docker{end}#", "description": "x" * MANY_BYTES}
    draft = Draft("it", command=("it",), egress=False, tools=(tool,))

    said = yaml.safe_load(draft.text)

    assert set(said) == {"command", "egress", "bridge"} and "# tools: {allow: [" in draft.text


# ---- what it says that it lacks ---------------------------------------------------------


@pytest.mark.parametrize(
    "line, first, others",
    [
        ("Either (X_URL and X_KEY) or (X_URL, X_USER, and X_PASS) are required", ["X_URL", "X_KEY"], ["X_USER", "X_PASS"]),
        ("Set X_KEY or both X_USER and X_PASS", ["X_KEY"], ["X_USER", "X_PASS"]),
        ("X_KEY, Y_KEY or Z_KEY is required", ["X_KEY"], ["Y_KEY", "Z_KEY"]),
        ("X_URL and X_KEY must be set", ["X_URL", "X_KEY"], []),
        ("set X_TOKEN or X_TOKEN_FILE", ["X_TOKEN"], []),
        ("X_URL must be set (or set X_ALLOW_FALLBACK=true)", ["X_URL"], []),
        ("botocore: Unable to locate credentials", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], []),
    ],
)
def test_of_variables_that_stand_for_each_other_the_first_are_taken_and_the_others_told(line, first, others):
    ended = seen(words=[line], started=0.0)

    assert (needs.missing(ended), needs.instead(ended)) == (first, others)


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


def test_a_key_that_stands_for_another_is_not_asked_for_where_a_log_breaks_the_line_that_says_so():
    said = ["ValueError: Environment variable A_TOKEN (or A_KEY) is not set", "| Environment variable A_TOKEN (or", "| A_KEY) is not set"]

    assert needs.missing_for_calls(seen(made("look", said[0]), words=said))[0] == ["A_TOKEN"]


def test_what_a_complaint_says_to_be_optional_is_not_asked_for():
    said = "Not configured! Please set:\n• A_KEY (required)\n• A_REGION (optional, defaults to x)\n• B_URL (optional)\nOr leave B_URL empty"

    assert needs.missing_for_calls(seen(made("look", said)))[0] == ["A_KEY"]


def test_what_can_stand_instead_of_a_key_is_told():
    draft = mends.with_variables(Draft("it"), seen(words=["Set X_KEY or both X_USER and X_PASSWORD"], started=0.0))

    assert (draft.secrets, draft.env) == (("X_KEY",), {})
    assert draft.why["instead"] == "instead of X_KEY it takes X_USER, X_PASSWORD"


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


def test_a_folder_of_its_usage_becomes_a_volume():
    draft = mends.with_options(Draft("it", command=("it",)), seen(words=["Usage: it <vault-directory>"], started=0.0))

    assert (draft.command, draft.volumes) == (("it", "/data"), ("it-data:/data",))


@pytest.mark.parametrize(
    "words, packages",
    [
        ("Error: spawn git ENOENT", ["git"]),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'ffprobe'", ["ffmpeg"]),
        ('exec: "rg": executable file not found in $PATH', ["ripgrep"]),
        ("/bin/sh: 1: pandoc: not found", ["pandoc"]),
        ("tesseract is not installed or it's not in your PATH", ["tesseract-ocr"]),
        ("Unable to get page count. Is poppler installed and in PATH?", ["poppler-utils"]),
        ("Page not found", []),
        ("No such file or directory: 'notes.txt'", []),
    ],
)
def test_a_program_that_it_looks_for_comes_from_debian(words, packages):
    failed = seen(made("look", words))

    assert dependencies.debian_packages(dependencies.programs(failed)) == packages


def test_where_a_program_is_that_debian_has_is_nothing_that_an_operator_is_asked_for():
    failed = seen(made("cut", "Error: set the FFMPEG_PATH environment variable"), reads=["FFMPEG_PATH"])

    assert (needs.missing_for_calls(failed)[0], dependencies.programs(failed)) == ([], ["ffmpeg"])


@pytest.mark.parametrize(
    "library, package",
    [("libxcb.so.1", "libxcb1"), ("libGL.so.1", "libgl1"), ("libgthread-2.0.so.0", "libglib2.0-0"), ("libsecret-1.so.0", "libsecret-1-0")],
)
def test_a_library_that_it_does_not_find_comes_from_debian(library, package):
    words = [f"ImportError: {library}: cannot open shared object file: No such file or directory"]

    assert prove._with_more_in_its_image(Draft("it"), seen(words=words, started=0.0), set()).apt == (package,)


def test_the_headers_that_a_build_does_not_find_come_from_debian():
    printed = "Package libsecret-1 was not found in the pkg-config search path.\nNo package 'cairo' found\nPackage udev, required by 'virtual:world', not found"

    assert dependencies.headers(printed) == ["libsecret-1-dev", "libcairo2-dev", "libudev-dev"]


def test_what_a_browser_asks_by_itself_is_nobody_that_a_server_needs():
    it = seen(made("look"), reached=[(10.5, "clients2.google.com:80", False), (10.6, "update.googleapis.com:443", False)])

    assert not findings.egress(it, False).allowed
    assert findings.smoke(it, None, True) == {"tool": "look", "build": True}


@pytest.mark.parametrize(
    "readme, wants",
    [
        ("## Requirements\n\n- macOS 14.5 or later\n- Xcode 16", "macOS 14.5 or later"),
        ("## Requirements\n\n- macOS 14\n- or Linux", ""),
        ("## Prerequisites\n- macOS, Windows or a browser\n", ""),
        ("## Prerequisites\n- Node 20\n\n## Install\n- macOS: brew", ""),
        ("This server is macOS-only.", "This server is macOS-only."),
        ("Requires macOS for Safari.", ""),
        ("A test of this gap is Windows-only.", ""),
    ],
)
def test_a_system_that_no_container_is_is_told_and_no_program_of_it_looked_for(readme, wants):
    it = seen(made("look", "spawn ps ENOENT"), platform=readmes.platform(readme))
    draft = Draft("it", {"npm": "it@1"}, ("it",), smoke={"tool": "look"})
    told = [line for line in notes._lacks(draft, it) if "what no container is" in line]

    assert it.report["platform"] == wants
    assert bool(told) is bool(wants)
    assert (prove._with_more_in_its_image(draft, it, set()) is None) is bool(wants)


def test_a_folder_of_an_operator_s_is_offered_where_its_working_directory_is_what_its_tools_read():
    tools = ({"name": "read", "inputSchema": {"properties": {"path": {}}}},)
    kept = Draft("it", volumes=("it-data:/data",), cwd="/data", why={"egress": "", "volumes": "write wrote ./a: kept"})
    told = [list(notes._decisions(replace(kept, tools=one), []))[1] for one in (tools, ({"name": "now"},))]

    assert told[0] == "storage: it-data:/data: write wrote ./a: kept; /a/folder/of/yours:/data in its place gives it yours"
    assert told[1] == "storage: it-data:/data: write wrote ./a: kept"


def test_prose_and_a_desk_name_no_program_that_is_missing():
    failed = seen(
        made("look", "It is configured but is not installed"), made("open", "spawn xdg-open ENOENT"), made("run", "spawn frobnicate ENOENT")
    )

    assert dependencies.programs(failed) == ["frobnicate"]


def test_an_image_gets_what_was_looked_for_once():
    absent, tried = seen(made("log", "spawn git ENOENT")), set()
    addon = ["Error: Could not locate the bindings file. Tried:", " /opt/server/node_modules/better-x/build/better_x.node"]
    draft = Draft("it", {"npm": "it@1.0.0"}, command=("it",))

    with_git = prove._with_more_in_its_image(draft, absent, tried)
    assert with_git.apt == ("git",)
    assert prove._with_more_in_its_image(draft, absent, tried) is None
    assert prove._with_more_in_its_image(draft, seen(words=addon, started=0.0), tried).build
    assert prove._with_more_in_its_image(draft, seen(words=addon, started=0.0), tried) is None


@pytest.mark.parametrize("constant", ["key", "SITE_KEY"])
def test_a_name_that_only_its_readme_has_gives_way_to_the_one_that_its_code_asks_for(tmp_path, monkeypatch, constant):
    (tmp_path / "it.js").write_text(f"const {constant} = process.env.SITE_API_KEY; if (!it) throw new Error('SITE_API_KEY is required')")
    (tmp_path / "README.md").write_text(
        '{"mcpServers": {"it": {"command": "npx", "args": ["it"], "env": {"SITE_KEY": "x", "SITE_API_KEY": "x"}}}}'
    )
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.js", tmp_path / "README.md"])
    monkeypatch.setattr(package_files, "SERVER", tmp_path)
    report = package_files.variables("it")
    ended = seen(words=["Error: SITE_API_KEY is required"], started=0.0, misspelt=report.misspelt)

    assert report.misspelt == ["SITE_KEY"]
    assert mends.with_variables(Draft("it", secrets=("SITE_KEY", "OTHER_KEY")), ended).secrets == ("OTHER_KEY", "SITE_API_KEY")
    assert mends.with_variables(Draft("it", secrets=("SITE_KEY",)), seen(made("look"), misspelt=["SITE_KEY"])).secrets == ("SITE_KEY",)
    failed = seen(made("look", "SITE_API_KEY is required"), misspelt=["SITE_KEY"])
    assert mends.with_variables(Draft("it", secrets=("SITE_KEY",)), failed).secrets == ("SITE_API_KEY",)
    again = seen(misspelt=["SITE_KEY"], published=report.published)
    assert publishers.with_published(Draft("it", secrets=("SITE_API_KEY",)), again).secrets == ("SITE_API_KEY",)


def test_a_script_of_npm_that_does_not_say_by_what_it_is_run_is_run_by_node():
    ended = seen(why_not="cannot start it: Exec format error", started=0.0)

    command = mends.with_options(Draft("it", {"npm": "it@1"}, ("it", "--x")), ended).command
    assert command == ("node", "/opt/server/node_modules/.bin/it", "--x")
    assert mends.with_options(Draft("it", {"pypi": "it==1"}, ("it",)), ended).command == ("it",)


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
    assert prove._with_its_package(Draft("it", {"pypi": "it==1"}), absent, set()) is None


WITHOUT_PIP = "Error getting packages: Command '['/opt/server/bin/python', '-m', 'pip', 'list']' returned non-zero exit status 1."


@pytest.mark.parametrize(
    "line, package",
    [
        (WITHOUT_PIP, "pip"),
        ("/opt/server/bin/python: No module named pip", "pip"),
        ("/opt/server/bin/python3: No module named build.__main__; 'build' is a package", None),
        ("[Errno 2] No such file or directory: 'uvx'", "uv"),
        ("Command '['/opt/server/bin/python', '-m', 'pip', 'install', 'x']' returned non-zero exit status 1.", None),
        ("No module named 'pipelines'", None),
    ],
)
def test_what_of_pythons_own_tools_is_missed_comes_from_pypi(line, package):
    assert dependencies.of_python(seen(made("look"), words=[line])) == [package] * bool(package)


@pytest.mark.parametrize("helps, source", [(True, ["it==1.0", "pip==26.1"]), (False, "it==1.0")])
def test_a_tool_of_pythons_that_a_server_runs_is_beside_it_and_stays_if_it_is_missed_no_more(monkeypatch, helps, source):
    absent, tool = seen(made("list_packages"), words=[WITHOUT_PIP]), made("install_package", "it is read-only")

    @contextmanager
    def bench(project, stanza, where, asked):
        yield Table(seen(made("list_packages"), tool) if helps and len(stanza.pypi) == 2 else absent)

    monkeypatch.setattr(prove, "bench", bench)
    monkeypatch.setattr(origins, "newest_of_pypi", lambda name: f"{name}==26.1")

    proof = prove.proved(None, Draft("it", {"pypi": "it==1.0"}, command=("it",)), {}, CONTAINED, add._checked, lambda draft: draft)

    assert proof.draft.source["pypi"] == source
    assert any("its tool install_package can install nothing, as its environment is read-only" in one for one in proof.notes) == helps


def test_a_program_that_a_call_did_without_is_none_that_it_needs():
    tells = "Error getting environments: [Errno 2] No such file or directory: 'conda'"
    without = seen(made("list_environments", printed=f"{tells}\n"), made("look"), words=[tells])

    assert dependencies.programs(without) == []
    assert dependencies.programs(seen(made("list_environments", "it failed", printed=tells), made("look"), words=[tells])) == ["conda"]
    assert dependencies.programs(seen(made("look"), words=[tells])) == ["conda"]  # at its start
    assert findings.smoke(without, None, True)["tool"] == "look"  # and prints no error


def test_of_one_whose_calls_all_fail_for_want_of_a_program_nobody_knows_whom_they_ask():
    egress = findings.egress(seen(made("look", "spawn site-cli ENOENT")), False)

    assert not egress.allowed and egress.why.startswith("without site-cli all its calls fail, so nobody knows whom they ask")
    assert "none tried" in findings.egress(seen(made("look", "spawn site-cli ENOENT"), made("list")), False).why


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
    "words, flag",
    [
        ("Error: In-memory databases require the --read-write flag.", "--read-write"),
        ("Error: you must pass '--accept-terms'", "--accept-terms"),
        ("error: the following arguments are required: --db-path", ""),
        ("Error: use --help for more information", ""),
    ],
)
def test_an_option_that_its_last_words_ask_for_is_given(words, flag):
    ended = seen(words=[words], started=0.0)

    assert needs.flag(ended) == flag
    assert not flag or mends.with_options(Draft("it", command=("it",)), ended).command == ("it", flag)


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
    assert not needs.listens(seen(words=["listening"], why_not="the command ended", started=0.0))


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


def test_a_runtime_that_can_do_without_a_library_is_told_to():
    ended = seen(
        words=["Couldn't find a valid ICU package installed on the system. Please install libicu", *["   at System.X()"] * 30], started=0.0
    )

    assert mends.with_variables(Draft("it"), ended).env == {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}


def test_who_only_counts_how_a_library_is_used_is_nobody_that_it_needs():
    tried = seen(made("look"), reached=[(8.0, "mobile.events.data.example.com")], tools=[tool("look"), tool("send")])

    assert not findings.egress(tried, False).allowed


@pytest.mark.parametrize("load, slowness", [(0.1, 1.0), (4.0, 2.0), (80.0, 4.0)])
def test_where_others_work_too_a_server_may_take_longer(monkeypatch, load, slowness):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)

    assert witness.slowness() == slowness


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


def test_of_a_package_that_only_starts_another_the_files_of_that_count_too(tmp_path):
    site = tmp_path / "lib/python3.13/site-packages"
    for name, requires, code in (("old", "Requires-Dist: new>=2\n", "import new.main"), ("new", "Requires-Dist: old\n", "x" * 9000)):
        (site / f"{name}-1.0.dist-info").mkdir(parents=True)
        (site / f"{name}-1.0.dist-info/METADATA").write_text(f"Name: {name}\nVersion: 1.0\n{requires}")
        (site / f"{name}-1.0.dist-info/RECORD").write_text(f"{name}.py,,\n")
        (site / f"{name}.py").write_text(code)

    assert [path.name for path in package_files._files("old", tmp_path)] == ["old.py", "new.py"]
    assert [path.name for path in package_files._files("new", tmp_path)] == ["new.py"]


@pytest.mark.parametrize(
    "answer, is_nothing", [("[]", True), ('{"devices": [], "next": null}', True), ('{"n": 0}', False), ("none yet", True), ("", False)]
)
def test_a_call_whose_answer_has_nothing_in_it_is_taken_last_and_said_so(answer, is_nothing):
    empty, full = made("list_devices") | {"answer": answer}, made("get_version") | {"answer": "1.0"}
    called = {"tool": "list_devices", "build": True}

    assert findings.smoke(seen(empty, full), None, True)["tool"] == ("get_version" if is_nothing else "list_devices")
    assert findings.smoke(seen(empty), None, True) == called
    assert findings.says_nothing(seen(empty), called) == ("with nothing in its answer" if is_nothing else "")
    assert findings.smoke(seen(made("ping"), full), None, True)["tool"] == "get_version"
    assert notes._end(Draft("it", smoke=called, why={"answer": "with nothing in its answer"})).startswith(
        "answers: list_devices was called, with"
    )


def test_an_address_with_a_password_among_its_arguments_is_called_what_it_is():
    assert usage.shown(seen(shown=[["postgresql://me:pw@localhost:5432/db"]]), "/data", "IT") == ["${IT_DATABASE_URL}"]
    assert usage.shown(seen(shown=[["redis://10.1.2.3:6379"]]), "/data", "IT") == ["${IT_URL}"]


def test_what_stands_behind_an_option_for_a_key_is_never_taken_as_it_is():
    said = seen(shown=[["--site-token", "SEU TOKEN", "--limit", "5"]])

    assert usage.shown(said, "/data", "IT") == ["--site-token", "${IT_SITE_TOKEN}", "--limit", "5"]


def test_what_may_also_be_set_is_advice():
    advice = "Error: Provide one of: coordinates, city. The operator can also set the SITE_DEFAULT_LOCATION environment variable."

    assert needs.missing_for_calls(seen(made("look", advice)))[0] == []
    assert needs.missing_for_calls(seen(made("look", "Error: set the SITE_DEFAULT_LOCATION environment variable")))[0] == [
        "SITE_DEFAULT_LOCATION"
    ]


def test_where_a_browser_is_is_nothing_that_an_operator_is_asked_for():
    assert needs.missing_for_calls(seen(made("audit", "The CHROME_PATH environment variable must be set")))[0] == []


def test_what_a_docstring_says_of_an_argument_counts_as_its_description():
    parse = tool("parse") | {
        "description": "Parse it.\n\nArgs:\n    source: Path to the model on disk.\n    name: A name",
        "inputSchema": {"properties": {"source": {"type": "string"}, "name": {"type": "string"}}},
    }

    assert arguments.paths([parse], surely=True) == "source of parse"
    assert arguments.paths([parse | {"description": "Parse it."}], surely=True) == ""


def test_what_stood_in_for_a_value_is_shown_to_nobody():
    words = [f"Error: missing SITE_{placeholder('SITE_NAMES')}_URL for {placeholder('SITE_HOST')}"]
    told = notes.of_one_that_did_not_start(Draft("it", egress=True, why={"egress": "x"}), seen(words=words, started=0.0), [], [])

    assert any("SITE_…_URL" in line for line in told) and "placeholder" not in " ".join(told)
    assert any("its code reads SITE_…_URL, with a name of yours" in line for line in told)


@pytest.mark.parametrize(
    "code, starts", [("executeShellCommand('git', args)", ["git"]), ("await runCommand('helm', x)", []), ("find('git', x)", [])]
)
def test_a_program_that_is_started_by_a_function_of_its_own_is_seen(tmp_path, monkeypatch, code, starts):
    (tmp_path / "it.js").write_text(code)
    (tmp_path / "README.md").write_text("It wants git.")
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.js", tmp_path / "README.md"])

    assert package_files.variables("it").starts == starts


def test_who_goes_wherever_it_is_told_has_no_list_of_names():
    fetching = seen(made("fetch", "fetch failed"), reached=[(10.5, "example.com:443")])
    asking = seen(made("fetch", "fetch failed"), reached=[(10.5, "example.com:443"), (10.6, "api.site.io:443")])

    assert findings.egress(fetching, False).why == "its tool fetch goes to what it is given"
    assert findings.egress(asking, False).why == "its tool fetch tried api.site.io"
    assert findings.names([fetching]) == findings.names([asking]) == []


def test_an_address_that_was_given_is_no_reason_and_one_that_was_refused_leaves_the_list_open():
    given = made("read", "timed out", arguments={"url": "https://docs.site.io/a"})
    asked = made("search", "timed out", began=20.0, ended=21.0)
    both = seen(given, asked, reached=[(10.5, "docs.site.io"), (20.5, "api.site.io")])
    refused = seen(made("read", "not allowed", arguments={"url": "https://example.com/"}), asked, reached=[(20.5, "api.site.io")])
    known = seen(given, reached=[(10.5, "docs.site.io")], speaks_to=["docs.site.io"])

    assert findings.egress(both, False).why == "its tool search tried api.site.io"
    assert findings.names([both]) == findings.names([refused]) == []
    assert findings.names([known]) == ["docs.site.io"]
    assert findings.unproved(refused) == ({"tool": "search"}, "api.site.io")


def test_a_call_that_its_own_container_refused_proves_nothing():
    """Whatever it answers then: {"healthy": false}, say."""
    assert findings.smoke(seen(made("check"), reached=[(10.5, "[::1]:7700")]), None, True) is None
    assert findings.smoke(seen(made("check"), reached=[(8.0, "[::1]:7700")]), None, True) == {"tool": "check", "build": True}


@pytest.mark.parametrize(
    "name, properties, about, home, cwd",
    [
        ("download_paper", {"save_path": {"default": "./downloads"}}, "", False, True),
        ("export", {"outputPath": {"type": "string"}}, "Exports.\n  outputPath: where to (default: ~/Pictures/it)", True, False),
        ("generate_report", {"filename": {"default": "report.pdf"}}, "", False, True),
        ("save", {"directory": {"default": "."}}, "", False, True),
        ("exchange_code", {}, "Exchanges that code for a token and saves it\nto the .env file for future use.", False, True),
        ("note", {}, "Notes are stored in `~/.it/notes.json`.", True, False),
        ("look", {}, "Reads it. To save a file, use another.", False, False),
        ("get", {}, "What it gets is stored in ~/.cache/it.", False, False),
        ("read", {"path": {"default": "."}}, "", False, False),
        ("download", {"save_path": {"default": "/data/x"}}, "", False, False),
        ("export", {"output_format": {"default": "json"}}, "", False, False),
    ],
)
def test_what_a_tool_saves_by_its_default_is_kept(name, properties, about, home, cwd):
    draft = mends.with_storage(Draft("it"), seen(tools=[tool(name, properties=properties) | {"description": about}]))

    assert ("HOME" in draft.env, bool(draft.cwd), bool(draft.volumes)) == (home, cwd, home or cwd)
    assert not draft.volumes or draft.why["volumes"].startswith(f"its tool {name} saves to ")


def test_what_is_written_below_a_working_directory_is_kept_beside_a_home_that_is():
    kept = Draft("it", volumes=("it-data:/data",), env={"HOME": "/data"})

    assert mends.with_storage(kept, seen(made("note", wrote=[("/tmp/cwd/notes.db", 9)]))).cwd == "/data"


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


def test_whom_the_operator_names_is_the_reason_and_in_no_list():
    """Before whoever counts its use."""
    told = seen(made("look", "timed out"), reached=[(10.2, "count.site.io"), (10.5, "lab-host.placeholder.invalid:9876")])

    assert findings.egress(told, True).why == "it asks what LAB_HOST says: false if that is inside the fleet"
    assert findings.names([told]) == []


def test_who_asks_nobody_takes_paths_of_where_it_runs():
    draft = Draft("it", tools=(tool("index", properties={"repo_path": {}}),), egress=False, env={"HOME": "/data"}, volumes=("it:/data",))

    def told(one):
        return [
            line for line in notes.of_a_started_one(replace(one, why={"egress": "", "smoke": ""}), "it", seen(), []) if "of yours" in line
        ]

    assert told(draft) and not told(replace(draft, egress=True))


def test_what_answered_and_is_no_proof_is_not_said_to_be_uncalled():
    assert "it was not called" not in prove._why_unproved([], "", None, seen(made("add_note")))
    assert prove._why_unproved([], "", None, seen(tools=[tool("add_note")])) == "it was not called"


@pytest.mark.parametrize(
    "name, is_place", [("STORE_FILE", True), ("DB_PATH", True), ("DATA_DIR", True), ("PROFILE", False), ("AWS_PROFILE", False)]
)
def test_a_profile_is_no_file(name, is_place):
    assert bool(tries.PLACE.search(name)) is is_place


@pytest.mark.parametrize(
    "complaint, package",
    [
        ("[Errno 2] No such file or directory: 'soffice'", "libreoffice-nogui"),
        ("spawn aws ENOENT", "awscli"),
        ('exec: "gh": executable file not found in $PATH', "gh"),
        ("/bin/sh: 1: Rscript: not found", "r-base-core"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'curl'", "curl"),
    ],
)
def test_a_program_comes_from_the_debian_package_that_has_it(complaint, package):
    assert dependencies.debian_packages(dependencies.programs(seen(made("look", complaint)))) == [package]


def test_kubectl_is_debian_s_and_what_it_says_without_a_cluster_asks_for_a_kubeconfig():
    refused = "The connection to the server localhost:8080 was refused - did you specify the right host or port?"

    assert dependencies.debian_packages(["kubectl"]) == ["kubernetes-client"]
    assert needs.missing_for_calls(seen(made("get", refused), made("list", refused)))[0] == ["KUBECONFIG"]


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


def test_who_asks_a_machine_of_google_who_it_is_wants_its_account_where_that_call_failed():
    asks = [(10.5, "metadata.google.internal:80")]

    failed = mends.with_variables(Draft("it"), seen(made("look", "no answer within 12 s"), reached=asks))
    worked = mends.with_variables(Draft("it"), seen(made("look"), reached=asks))

    assert (failed.secrets, failed.optional) == (("GOOGLE_APPLICATION_CREDENTIALS",), ())
    assert with_sdks(failed).as_files == failed.secrets and worked.secrets == ()


def test_a_server_that_takes_no_address_but_its_own_machine_s_is_told_to_run_there():
    refusal = "ValueError: SITE_URL must look like http://127.0.0.1:<port> (localhost only), got 'http://x'"
    alone = seen(made("look", "refused"), reached=[(10.5, "127.0.0.1:8765")], reads=["SITE_URL"])
    table = Table(seen(made("look", refusal), words=["starting"]))
    known = Draft("it", command=("it",), secrets=("SITE_KEY", "SITE_URL"), optional=("SITE_KEY", "SITE_URL"))

    draft, now = tries._with_back_end(tries.Tries(table, {}, add._checked), known, alone)

    assert (draft.secrets, draft.optional, now) == (("SITE_KEY",), ("SITE_KEY",), alone)
    told = notes.of_a_started_one(replace(draft, egress=True, why=draft.why | {"egress": "x", "smoke": "y"}), "it", alone, [])
    assert any("no address but that of its own machine" in line and "mcp-bridge serve" in line for line in told)
    assert findings.egress(alone, False, (), False).why == "it looks for a service at 127.0.0.1:8765, which in a container is itself"


def test_where_no_variable_does_an_argument_that_its_readme_shows_makes_it_look_elsewhere():
    alone = seen(
        made("get", "Error: connect ECONNREFUSED 127.0.0.1:6379"), reached=[(1.0, "127.0.0.1:6379")], shown=[["redis://10.1.2.3:6379"]]
    )
    table = Table(seen(made("get", "Error: timeout"), reached=[(1.0, "it-url.placeholder.invalid")]))

    draft, _ = tries._with_back_end(tries.Tries(table, {}, add._checked), Draft("it", command=("it",)), alone)

    assert draft.command == ("it", "${IT_URL}")


def test_what_a_server_of_http_advises_is_not_why_it_does_not_answer():
    words = ["set IT_TOOLS to reduce context", "listening on http://0.0.0.0:3000/mcp"]

    assert needs.missing(seen(words=words, started=0.0, why_not="no answer within 5 s of saying that it listens")) == []
    assert needs.missing(seen(words=words[:1], started=0.0, why_not="it ended")) == []
    assert needs.missing(seen(words=["set IT_KEY"], started=0.0, why_not="it ended")) == ["IT_KEY"]


def test_an_option_that_ends_the_command_and_wants_a_value_gets_one_of_the_operator_s():
    it = Draft("it", {"npm": "it@1"}, ("it", "--project-id"))
    said = seen(words=["Error: Missing value for argument: --project-id"], started=0.0)

    assert mends.with_options(it, said).command == ("it", "--project-id", "${IT_PROJECT_ID}")


@pytest.mark.parametrize(
    "calls, speaks_to, login, allowed",
    [
        ([made("look")], [], "", False),
        ([made("look")], ["api.site.io"], "", True),
        ([made("look"), made("find", "Invalid id")], ["api.site.io"], "", True),
        ([made("look"), made("find")], ["api.site.io"], "", False),
        ([made("look"), made("find") | {"said": False}], ["api.site.io"], "", True),
        ([made("look"), made("find")], [], "npx it auth", True),
    ],
)
def test_a_network_that_its_code_asks_and_no_call_disproved_is_allowed(calls, speaks_to, login, allowed):
    it = findings.egress(seen(*calls, tools=[tool("look"), tool("find")], speaks_to=speaks_to, login=login), False)

    assert it.allowed is allowed


def test_a_server_elsewhere_is_told_where_the_package_starts_none():
    readme = '{"url": "http://localhost:3000/mcp"} {"type": "http", "url": "https://mcp.site.io/mcp?a=1&b", "headers": {}}'
    silent = seen(started=0.0, why_not="no answer", elsewhere=readmes.elsewhere(readme))

    told = notes.of_one_that_did_not_start(Draft("it", why={"egress": ""}), silent, [], [])

    assert told[1].endswith("take this stanza away, and `mcp-bridge add it --url 'https://mcp.site.io/mcp?a=1&b'` adds that")


@pytest.mark.parametrize(
    "own, beside, speaks",
    [
        ("app.listen(3176)", "node_modules/express/index.js", False),
        ("app.listen(3176)", "node_modules/@modelcontextprotocol/sdk/index.js", True),
        ("app.listen(3176)", "node_modules/@me/fast-mcp/index.js", True),
        ("app.listen(3176)", "lib/python3.13/site-packages/fastmcp/server.py", True),
        ("app.listen(3176)", "node_modules/express/mcp.js", False),
        ("write({ jsonrpc: '2.0', id })", "node_modules/express/index.js", True),
    ],
)
def test_whether_anything_that_is_installed_speaks_mcp_is_seen_in_names_and_code(tmp_path, monkeypatch, own, beside, speaks):
    monkeypatch.setattr(package_files, "SERVER", tmp_path)
    for path, code in (("node_modules/it-mcp/index.js", own), (beside, "1")):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(code)

    assert package_files.variables("it-mcp").speaks_mcp is speaks


def test_other_code_than_that_of_a_package_of_that_name_may_speak_mcp(tmp_path, monkeypatch):
    monkeypatch.setattr(package_files, "SERVER", tmp_path)
    for path, code in (("node_modules/it-mcp/index.js", "run()"), ("node_modules/kit/index.js", 'on("tools/list")')):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(code)

    assert package_files.variables("it-mcp").speaks_mcp
    assert package_files.variables("").speaks_mcp


def test_a_module_that_it_neither_has_nor_requires_is_told_with_the_way_out():
    broken = seen(words=["Traceback", "ModuleNotFoundError: No module named 'it_server'"], started=0.0)
    draft = Draft("it", {"pypi": "it==1.0"}, ("it",), why={"egress": "x"})

    [told, *_] = notes.of_one_that_did_not_start(draft, broken, [], [])

    assert "it imports it_server, which it neither has nor requires" in told and "`pypi: [it==1.0, NAME]` brings it" in told


def test_where_nothing_speaks_mcp_that_is_said_in_the_place_of_what_it_lacks():
    draft = Draft("it", command=("it",), why={"egress": ""})
    help = ["Usage: it [OPTIONS] COMMAND", "Commands:", "  serve  Start the server"]
    ended = seen(words=["Missing command", "✗ Web dependencies missing"], help=help, started=0.0, speaks_mcp=False)

    told = notes.of_one_that_did_not_start(draft, ended, [], ["OPENAI_API_KEY"])

    assert told[0] == "it did not start, and nothing that it installs speaks MCP: is it a server?"
    assert not any("OPENAI_API_KEY" in one for one in told)
    assert mends.with_options(draft, ended) == draft


def test_who_asks_somebody_at_his_start_with_a_made_up_key_is_told_so_and_nothing_of_other_variables():
    draft = Draft("it", secrets=("SITE_KEY",), reached=("api.site.io",), why={"egress": ""})
    ended = seen(words=["TypeError: cannot read 'status' of undefined"], started=0.0)

    told = notes.of_one_that_did_not_start(draft, ended, ["SITE_KEY"], ["API_URL"])

    assert told[0] == (
        "it did not start without a real SITE_KEY: at its start it asks api.site.io, which the trial keeps from it: "
        "TypeError: cannot read 'status' of undefined"
    )
    assert not any("API_URL" in one for one in told)


def test_a_program_that_it_does_not_start_without_is_told_with_the_way_out():
    ended = seen(words=["ERROR: Error: gcloud executable not found"], started=0.0)
    told = notes.of_one_that_did_not_start(Draft("it", why={"egress": ""}), ended, [], [])

    assert told[1].startswith("it starts gcloud, which its image has not: Debian has no package of that name: let it run where that is")
    assert dependencies.programs(seen(words=["Chrome executable not found", "browser binary was not found"])) == []


def test_a_login_by_hand_is_told_with_the_place_of_what_it_leaves():
    it = seen(words=["Error: no credentials"], started=0.0, login="npx it-mcp auth", home=".it-mcp/tokens.json")
    draft = mends.with_home(Draft("it", {"npm": "it@1"}, ("it",), why={"egress": ""}), it)
    told = notes.of_one_that_did_not_start(draft, it, [], [])

    assert (draft.env, draft.volumes) == ({"HOME": "/data"}, ("it-data:/data",))
    assert any("`npx it-mcp auth`" in line and "/your/home/.it-mcp:/data/.it-mcp" in line for line in told)

    without = notes.of_one_that_did_not_start(Draft("it", why={"egress": ""}), it, [], [])  # its home is /tmp then, as everybody's
    assert any("/your/home/.it-mcp:/tmp/.it-mcp" in line for line in without)


@pytest.mark.parametrize(
    "complaint, command",
    [
        ("It isn't signed in on this device yet. Run `site login` to sign in.", "site login"),
        ("Not configured. Run: site-mcp setup", "site-mcp setup"),
        ("To get started with GitHub CLI, please run:  gh auth login", "gh auth login"),
        ("No token: run 'npx -y @me/site-mcp auth' first", "npx -y @me/site-mcp auth"),
        ("Please run the setup again", ""),
        ("Not built. Run `npm run setup`", ""),
    ],
)
def test_a_login_that_a_failed_call_asks_for_is_told(complaint, command):
    it = seen(made("look", complaint), login="other login")
    told = [*notes._login(Draft("it"), it)]

    assert needs.login(it) == command
    assert told[0].startswith(f"it wants a login by hand, once: run `{command}`" if command else "its README logs in by hand")


def test_a_folder_that_a_login_leaves_is_brought_and_not_all_that_is_beside_it():
    it = seen(words=["Error: no session"], started=0.0, login="it-mcp login", home=".local/state/it-mcp")

    told = notes.of_one_that_did_not_start(Draft("it", why={"egress": ""}), it, [], [])
    assert any("volumes: [/your/home/.local/state/it-mcp:/tmp/.local/state/it-mcp]" in line for line in told)


def test_a_login_in_a_browser_that_its_readme_only_tells_is_told_unless_it_has_a_key():
    readme = "Drop this in.\n- A browser opens on first run for sign-in; later starts reuse `~/.it-mcp/{version}`, where it is stored."
    said = {"browser": readmes.browser(readme), "home": readmes.home(readme, "it-mcp")}
    line = notes._login(Draft("it", why={"egress": ""}), seen(**said))
    with_keys = notes._login(Draft("it", secrets=("IT_TOKEN",), optional=("IT_TOKEN",)), seen(**said))

    assert said == {"browser": "A browser opens on first run for sign-in;", "home": ".it-mcp"}
    assert all("a container has none" in one and "bring ~/.it-mcp by a volume" in one for one in (*line, *with_keys))
    assert not [*notes._login(Draft("it", secrets=("IT_TOKEN",)), seen(**said))]
    assert [*notes._login(Draft("it", secrets=("GOOGLE_CLIENT_SECRET",)), seen(**said))]  # with which a login begins
    assert findings.egress(seen(made("look"), **said), False).allowed
    assert not readmes.browser("Your client opens your browser to log in. Open the docs in a browser. **Browser doesn't open to log in:**")
    assert not readmes.browser("2. Open the provided URL in your browser to authorize it.\n3. Then open your browser and sign in")
    assert readmes.browser("It opens the sign-in page in your browser")
    of_a_client = notes._login(Draft("it", secrets=("IT_CLIENT_SECRET",), optional=("IT_CLIENT_SECRET",)), seen(browser="A browser opens"))
    assert [one.partition("log in elsewhere")[2] for one in of_a_client] == [", and bring what that leaves by a volume"]


def test_a_setup_by_hand_is_not_told_where_a_key_says_the_same():
    setup = readmes.login("```\nnpx it-mcp setup\n```\n1. **Authenticate** your account", ["it-mcp"])
    it = seen(words=["Error: no credentials"], started=0.0, login=setup)

    def told(draft):
        return any("npx it-mcp setup" in line for line in notes.of_one_that_did_not_start(draft, it, [], []))

    assert told(Draft("it", why={"egress": ""}))
    assert not told(Draft("it", secrets=("IT_KEY",), why={"egress": ""}))


def test_a_program_that_its_code_starts_and_its_readme_names_is_told_with_its_debian_package():
    it = seen(made("look"), starts=["ffmpeg", "helm", "create"])

    assert [line for line in notes._lacks(Draft("it"), it) if "starts" in line] == [
        "it starts ffmpeg, helm, which its image has not: `apt: [ffmpeg]` gives it what Debian has"
    ]
    assert not [line for line in notes._lacks(Draft("it", apt=("ffmpeg",)), it) if "ffmpeg" in line]


def test_a_program_that_debian_has_not_is_told_so():
    it = Draft("it", egress=True, why={"egress": "x", "smoke": "y"})

    told = notes.of_a_started_one(it, "it", seen(made("look", "helm: command not found"), starts=["helm"]), [])

    assert any("starts helm" in line and "Debian has no package" in line for line in told)


def test_a_host_that_has_a_name_of_the_operator_s_in_it_is_told_without():
    host = f"{placeholder('SITE_NAME')}.example.org"
    it = seen(made("look", "fetch failed"), reached=[(10.5, host), (10.6, f"{host}:8443")])

    assert findings.egress(it, False).why == "its tool look tried *.example.org"
    assert findings.names([it]) == ["*.example.org", "*.example.org:8443"]


def test_an_address_that_may_be_left_out_is_asked_for_where_it_would_look_for_itself():
    alone = seen(made("look", "refused"), reached=[(10.5, "[::1]:8080")], reads=["X_API_URL", "X_TELEMETRY_API_URL"])
    table = Table(seen(made("look", "refused"), reached=[(10.5, "x-api-url.placeholder.invalid:8080")]))

    draft, _ = tries._with_back_end(
        tries.Tries(table, {}, add._checked), Draft("it", command=("it",), secrets=("X_API_URL",), optional=("X_API_URL",)), alone
    )

    assert (draft.secrets, draft.optional, draft.env) == ((), (), {"X_API_URL": "${X_API_URL}"})


def test_a_pin_to_what_has_no_wheel_is_loosened_and_says_why(monkeypatch):
    said = "it: no packages fit together: Because there is no version of pgx==7.2.0 and it>=0.3.0 depends on pgx==7.2.0, we can conclude …"
    seen_overrides = []

    def locked(project, stanza):
        seen_overrides.append(stanza.overrides)
        if not stanza.overrides:
            raise lock.CannotLock(said)

    monkeypatch.setattr(lock, "lock", locked)
    draft = add._locked(None, Draft("it", {"pypi": "it==0.3.0"}, command=("it",)))

    assert seen_overrides == [[], ["pgx>=7.2.0,<8"]]
    assert draft.overrides == {"pgx>=7.2.0,<8": "there is no wheel of pgx 7.2.0"}


def test_a_package_that_has_no_wheel_itself_is_refused_with_the_reason(monkeypatch):
    def locked(project, stanza):
        raise lock.CannotLock("it: Because it==0.3.0 has no usable wheels: " + lock.NO_WHEEL)

    monkeypatch.setattr(lock, "lock", locked)
    with pytest.raises(lock.CannotLock, match="--build"):
        add._locked(None, Draft("it", {"pypi": "it==0.3.0"}, command=("it",)))


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


def test_older_versions_are_tried_for_a_while_and_told(monkeypatch):
    now = [0.0]
    dies = seen(words=["ImportError: x"], started=0.0)

    @contextmanager
    def bench(project, stanza, where, asked):
        now[0] += 60.0
        yield Table(*[dies] * tries.ROUNDS)

    monkeypatch.setattr(prove, "bench", bench)
    monkeypatch.setattr(prove.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(prove.eras, "mended", lambda draft, seen, tried: replace(draft, constraints={f"a<{9 - len(tried)}": "it dies"}))

    proof = prove.proved(None, Draft("it", {"pypi": "it==1.0"}, command=("it",)), {}, CONTAINED, add._checked, lambda draft: draft)

    assert proof.tools is None and proof.notes[-1] == "older versions changed nothing: a<9, a<8"


def test_an_older_version_that_made_it_say_something_else_is_not_told_as_one_that_changed_nothing(monkeypatch):
    says = iter(["ImportError: x", "no longer maintained", "no longer maintained"])

    @contextmanager
    def bench(project, stanza, where, asked):
        yield Table(*[seen(words=[next(says)], started=0.0)] * tries.ROUNDS)

    monkeypatch.setattr(prove, "bench", bench)
    monkeypatch.setattr(
        prove.eras, "mended", lambda draft, seen, tried: None if tried else replace(draft, constraints={"a<9": "it dies with a 9"})
    )

    proof = prove.proved(None, Draft("it", {"pypi": "it==1.0"}, command=("it",)), {}, CONTAINED, add._checked, lambda draft: draft)

    assert proof.draft.constraints and not any("changed nothing" in line for line in proof.notes)


def test_what_it_names_when_it_reaches_for_what_it_was_told_is_advice():
    told = "Connection failed: is X_PORT set to the right port? check that X_SECURE is set"
    first = mends.with_variables(Draft("it"), seen(made("look", told)))
    later = mends.with_variables(Draft("it"), seen(made("look", told), reached=[(10.5, "placeholder.invalid:443")]))

    assert (sorted(first.env), sorted(later.env)) == (["X_PORT", "X_SECURE"], [])


def test_a_key_that_it_works_without_opens_the_network_only_where_not_all_was_tried():
    every = findings.egress(seen(made("look"), made("write")), False, ["X_TOKEN"])
    some = findings.egress(seen(made("look"), tools=[tool("look"), tool("send")]), False, ["X_TOKEN"])
    none = findings.egress(seen(made("look", "unauthorized")), False, ["X_TOKEN"])
    asked = findings.egress(seen(made("look"), made("find", "Unable to locate credentials")), False, ["X_TOKEN"])

    assert [one.allowed for one in (every, some, none, asked)] == [False, True, True, True]
    assert "true if X_TOKEN is for somebody beyond" in every.why


def test_what_lists_no_tools_without_somebody_needs_him():
    assert findings.egress(seen(reached=[(8.0, "a.example.org")]), False).allowed


def test_tools_that_take_paths_get_a_volume_to_find_and_keep_files_in():
    reader = tool("read_pdf", properties={"pdfFilePath": {"type": "string"}})

    table = Table()
    lost = seen(words=["Error: connect ECONNREFUSED 20.0.0.1:80"], reached=[(2.0, "x-url.placeholder.invalid:80")], started=0.0)
    dead = prove._decided(
        tries.Tries(table, {}, add._checked), Draft("it", {"pypi": "it==1"}, ("it",), env={"X_URL": "${X_URL}"}), lost, ""
    )
    local = prove._decided(
        tries.Tries(table, {}, add._checked),
        Draft("it", {"pypi": "it==1"}, command=("it",)),
        seen(made("look"), tools=[tool("look"), reader]),
        "",
    )

    assert (local.draft.volumes, local.draft.cwd, local.draft.smoke) == (("it-data:/data",), "/data", {"tool": "look", "build": False})
    assert any("its tools take paths (pdfFilePath of read_pdf)" in note for note in local.notes)
    assert arguments.paths([tool("look"), reader]) == "pdfFilePath of read_pdf"
    source = {"$defs": {"S": {"properties": {"more": {"$ref": "#/$defs/S"}, "localPath": {"type": "string"}}}}}
    inner = tool("read", properties={"sources": {"items": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/S"}]}}})
    assert arguments.paths([inner | {"inputSchema": inner["inputSchema"] | source}], surely=True) == "localPath of read"
    assert dead.notes[0] == "it did not start without a real X_URL: it wants to reach that at its start"
    assert arguments.paths([tool("look", properties={"profile": {}, "query": {}}), {"name": "odd", "inputSchema": None}]) == ""
    choice = {"description": "upload a local file, or list", "enum": ["upload", "list"]}
    assert arguments.paths([tool("files", properties={"action": choice})], surely=True) == ""


@pytest.mark.parametrize(
    "name, about, is_here",
    [
        ("front_image", "Absolute path to the front image", True),
        ("output_dir", "", True),
        ("savePath", "", True),
        ("builtFolderPath", "Provide the absolute path to the built frontend folder", True),
        ("path", "Path of the file in the repository", False),
        ("file_path", "", False),
        ("url", "Absolute URL of the page", False),
    ],
)
def test_of_one_with_a_network_only_paths_of_where_it_runs_are_told(name, about, is_here):
    tools = (tool("send", properties={name: {"type": "string", "description": about}}),)
    draft = Draft("it", command=("it",), egress=True, tools=tools, why={"egress": "it asks api.example.org", "smoke": ""})

    told = " ".join(notes.of_a_started_one(draft, "it", seen(), []))
    at_home = replace(draft, volumes=("it-data:/data",), env={"HOME": "/data"}, why=draft.why | {"volumes": "it wrote ~/.it/state.json"})
    beside = " ".join(notes.of_a_started_one(at_home, "it", seen(), []))

    assert ("of where it runs, which has none of yours: `/a/folder/of/yours:/data`" in told) == is_here
    assert ("`/a/folder/of/yours:/files`" in beside) == is_here


# ---- the recorder ----------------------------------------------------------------------


def question(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0" + labels + b"\0" + struct.pack(">HH", kind, 1)


def test_a_name_is_answered_with_an_address_that_stands_for_it(monkeypatch):
    monkeypatch.setattr(recorder, "names", {})
    one, two, again = (recorder._answer(question(name)) for name in ("a.example.org", "b.example.org", "a.example.org"))

    assert one[:2] == b"\x12\x34" and one[-4:] == again[-4:] != two[-4:]
    assert recorder._answer(question("a.example.org", 28))[6:8] == b"\0\0"  # there is no IPv6


@pytest.mark.parametrize("datagram", [b"", b"\0" * 12, question("a.b")[:14], b"\x12\x34\x81\x80" + question("a.b")[4:], b"\xff" * 64])
def test_what_is_no_question_is_none(datagram):
    assert recorder._question(datagram) is None


def test_attempts_are_told_by_the_name_that_was_looked_up(monkeypatch, capsys):
    monkeypatch.setattr(recorder, "names", {"a.example.org": "20.0.0.1"})

    def packet(source, to, port, flags):
        return (
            b"\x45"
            + bytes(8)
            + b"\x06"
            + bytes(2)
            + bytes(source)
            + bytes(to)
            + struct.pack(">HHLLBB", 5000, port, 0, 0, 0x50, flags)
            + bytes(6)
        )

    recorder._note(packet((1, 0, 0, 1), (20, 0, 0, 1), 443, 2))
    recorder._note(packet((1, 0, 0, 1), (20, 0, 0, 1), 443, 0x10))
    recorder._note(packet((127, 0, 0, 1), (127, 0, 0, 1), 40000, 0x14))

    assert [(line["to"], line["port"]) for line in map(json.loads, capsys.readouterr().out.splitlines())] == [
        ("a.example.org", 443),
        ("127.0.0.1", 5000),
    ]


def test_attempts_by_ipv6_are_told_too(monkeypatch, capsys):
    def packet(source, to, port, flags, protocol=6):
        addresses = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, to)
        return b"\x60\0\0\0\0\x14" + bytes([protocol, 64]) + addresses + struct.pack(">HHLLBB", 6379, port, 0, 0, 0x50, flags) + bytes(6)

    recorder._note(packet("::1", "2606:4700::1111", 443, 2))
    recorder._note(packet("::1", "2606:4700::1111", 443, 0x10))
    recorder._note(packet("::1", "::1", 6379, 2))
    recorder._note(packet("::1", "::1", 40000, 0x14))
    recorder._note(packet("fe80::1", "2001:4860::8888", 4433, 0, protocol=17))

    told = [(line["to"], line["port"]) for line in map(json.loads, capsys.readouterr().out.splitlines())]
    assert told == [("2606:4700::1111", 443), ("::1", 6379), ("2001:4860::8888", 4433)]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root has network namespaces to give away")
def test_a_closed_namespace_refuses_and_sees_every_address():
    """Both families, literal addresses too: nothing needs to be looked up for them."""
    tries = (
        "import socket, sys, subprocess, time\n"
        "log = subprocess.Popen([sys.executable, '-I', sys.argv[1], 'closed'], stdout=subprocess.PIPE, text=True)\n"
        "assert log.stdout.readline() == 'ready\\n'\n"
        "for family, where in ((2, ('192.0.2.9', 443)), (10, ('2001:db8::9', 443)), (10, ('::1', 6379))):\n"
        "    print(socket.socket(family).connect_ex(where), log.stdout.readline().strip(), flush=True)\n"
        "log.kill()\n"
    )
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("no network namespaces here")

    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$0" "$@"', sys.executable, "-c", tries, recorder.__file__],
        capture_output=True,
        text=True,
        timeout=60,
    )

    seen = [line.partition(" ")[::2] for line in done.stdout.splitlines()]
    assert [(code, json.loads(line)["to"]) for code, line in seen] == [("111", "192.0.2.9"), ("111", "2001:db8::9"), ("111", "::1")], (
        done.stderr
    )


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root has namespaces to give away")
def test_a_recorder_that_nobody_stops_ends_itself_as_the_first_process_of_its_container():
    """Whoever started it may have been killed, and nothing else would remove that container."""
    code = Path(recorder.__file__).read_text().replace("LONGEST = 600", "LONGEST = 1")
    if subprocess.run(["unshare", "-n", "-p", "-f", "--kill-child", "true"], capture_output=True).returncode:
        pytest.skip("no namespaces here")

    done = subprocess.run(
        [
            "unshare",
            "-n",
            "-p",
            "-f",
            "--kill-child",
            "sh",
            "-c",
            'ip link set lo up && exec "$0" "$@"',
            sys.executable,
            "-I",
            "-c",
            code,
            "closed",
        ],
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert (done.stdout, done.stderr) == ("ready\n", "whoever started it is gone\n")


@pytest.mark.parametrize(
    "what, host",
    [
        ("[2606:4700::1111]:443", "2606:4700::1111"),
        ("[::1]:6379", ""),
        ("[ff02::fb]:5353", ""),
        ("[fe80::1]:80", ""),
        ("239.255.255.250:1900", ""),
        ("169.254.169.254:80", ""),
        ("100.100.100.200:80", ""),
        ("192.0.2.9:443", "192.0.2.9"),
        ("api.example.org", "api.example.org"),
        ("api.example.org:443", "api.example.org"),
        ("printer.local", ""),
    ],
)
def test_who_is_somebody_beyond(what, host):
    assert findings._host(what) == host


def test_a_back_end_on_the_loopback_of_ipv6_is_one_too():
    assert "looks for a service at [::1]:6379" in findings.egress(seen(reached=[(9, "[::1]:6379")], started=0.0), False).why


# ---- older than what it uses -----------------------------------------------------------

NOW = "it==1.0   # via -r stanza\nlib==2.3.0    # via it\nother==1.5    # via it, lib\ndeep==4.0    # via lib\n"
THEN = {"lib": "1.6.0", "other": "1.5", "deep": "0.9", "it": "1.0"}


@pytest.fixture
def resolver(monkeypatch):
    def compiled(wanted, options, *_):
        if "2025-04-27" in options:
            return f"{wanted[0]}=={THEN[wanted[0]]}\n"
        if "--no-deps" in options:
            raise Failed(["uv"], 1, "hint: `it` was filtered: The requested version, v1.0,\nwas published at 2025-04-25T08:27:27Z")
        return NOW

    monkeypatch.setattr(eras, "compiled", compiled)


@pytest.mark.parametrize(
    "words, constraint",
    [
        (
            [
                "Traceback",
                'File "/opt/server/lib/python3.13/site-packages/it/server.py", line 1',
                "AttributeError: 'Server' object has no attribute 'x'",
            ],
            "lib<2",
        ),
        (["ImportError: cannot import name 'x' from 'lib.server' (/opt/…)"], "lib<2"),
        (["ModuleNotFoundError: No module named 'lib.server.old'"], "lib<2"),
        (["ImportError: cannot import name 'x' from 'deep' (/opt/…)"], "deep<=0.9"),
        (["AttributeError: module 'other' has no attribute 'x'"], "lib<2"),  # `other` is as it was: it may be the only one left
    ],
)
def test_a_server_that_dies_of_something_newer_than_itself_gets_what_it_was_made_with(resolver, words, constraint):
    mended = eras.mended(Draft("it", {"pypi": "it==1.0"}), seen(words=words, started=0.0), set())

    assert list(mended.constraints) == [constraint] and "it dies with" in mended.text
    assert eras.mended(mended, seen(words=words[-1:], started=0.0), {constraint, "lib<2"}) is None


def test_of_all_that_it_uses_what_has_a_new_major_version_is_tried_first(monkeypatch):
    monkeypatch.setattr(eras, "_versions", lambda _: ({"a": "1.9", "lib": "2.0", "z": "3.1"}, ["a", "lib", "z"]))
    monkeypatch.setattr(eras, "_born", lambda _: eras.OLDEST)
    monkeypatch.setattr(eras, "_newest", lambda name, _: {"a": "1.8", "lib": "1.5", "z": "3.0"}[name])

    assert [wanted for wanted, _ in eras._python("it==1.0", "AttributeError: 'Server' object has no attribute 'x'")] == [
        "lib<2",
        "a<=1.8",
        "z<=3.0",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["file:///opt/server/node_modules/it/index.js:1", "SyntaxError: The requested module 'lib' does not provide an export named 'x'"],
        ["Error [ERR_PACKAGE_PATH_NOT_EXPORTED]: Package subpath './x' is not defined in /opt/server/node_modules/lib/package.json"],
    ],
)
def test_a_package_of_npm_that_dies_of_something_newer_gets_an_override(monkeypatch, words):
    monkeypatch.setattr(eras, "npm", lambda *_, **__: json.dumps({"1.0.0": "2025-04-25T08:27:27Z"}))
    monkeypatch.setattr(
        eras, "_tree", lambda package, *words: {"it": "1.0.0", "lib": "1.9.0" if words == ("--before", "2025-04-27") else "2.0.0"}
    )

    mended = eras.mended(Draft("it", {"npm": "it@1.0.0"}, ("it",)), seen(words=words, started=0.0), set())

    assert mended.overrides == {"lib@1.9.0": "it dies with lib 2.0.0"} and add._checked(mended).overrides == ["lib@1.9.0"]


def test_a_server_that_dies_of_something_else_is_left_as_it_is(resolver):
    assert eras.mended(Draft("it", {"pypi": "it==1.0"}), seen(words=["Error: API_KEY is required"], started=0.0), set()) is None
    assert eras.mended(Draft("it", {"npm": "it@1.0.0"}), seen(words=["ImportError: x"], started=0.0), set()) is None


def test_values_go_out_of_texts_and_leave_numbers_and_truths_alone():
    """MODE=true and PORT=8080 in compose/.env once made what was seen unreadable."""
    seen = {"started": True, "began": 8080.5, "words": ["sesame, true", 'its \\"key\\" is sesame at /tmp/x/home/it/notes'], "why_not": None}

    assert without_values(seen, {"MODE": "true", "PORT": "8080", "KEY": "sesame"}, "/tmp/x/home/it") == {
        "started": True,
        "began": 8080.5,
        "words": ["${KEY}, ${MODE}", 'its \\"key\\" is ${KEY} at /tmp/home/notes'],
        "why_not": None,
    }


def test_a_key_that_must_stand_among_its_arguments_and_variables_with_a_name_of_the_operators_are_told():
    draft = Draft(
        "it",
        command=("it", "--key=${IT_API_KEY}", "${IT_URL}"),
        smoke={"tool": "look"},
        egress=True,
        why={"egress": "its tool look tried x.org"},
    )
    told = notes.of_a_started_one(draft, "it", seen(made("look"), patterns=["SITE_…_HOST", "SITE_…_COLOUR"]), ["x.org", "y.org"])

    assert told == [
        "egress: true: its tool look tried x.org (names that it looked up: x.org, y.org)",
        "IT_API_KEY stands among its arguments, which every process in its container sees: no variable was found that it reads instead",
        "its code reads SITE_…_HOST, with a name of yours in the middle: each that you have belongs into its 'env' or 'secrets'",
        "works: look was called",
    ]


def test_what_it_tried_is_proposed_as_a_list_beside_egress_and_decides_nothing():
    """A trial sees a part of what a server does."""
    tried = ["API.x.org", "api.x.org:443", "db.x.org:5432", "10.0.0.1:443", "localhost", "telemetry.y.org", "8.8.8.8:443"]
    reached = tuple(findings.names([seen(reached=[(float(at), what) for at, what in enumerate(tried)])]))
    text = Draft("it", command=("it",), egress=True, reached=reached).text

    assert reached == ("api.x.org", "db.x.org:5432", "8.8.8.8")
    assert yaml.safe_load(text)["egress"] is True
    assert "\n# egress: [api.x.org, 'db.x.org:5432', 8.8.8.8]    what its trial tried" in text
    assert "# egress" not in Draft("it", command=("it",), egress=False, reached=reached).text


def test_a_server_of_which_an_operator_names_the_hosts_talks_to_somebody():
    it = seen(made("look"), tools=[tool("look"), tool("connect")], patterns=["SITE_…_HOST"])

    assert findings.egress(it, False, mends.with_a_name(it)).allowed


@pytest.mark.parametrize(
    "words, told",
    [
        (
            "Error: Configuration file not found: /tmp/home/.it/config.json",
            "Error: Configuration file not found: ~/.it/config.json (volumes: [/a/file/of/yours:/tmp/.it/config.json:ro] gives it that)",
        ),
        ("Error: cannot lock /tmp/home/.it/config.json", "Error: cannot lock ~/.it/config.json"),
        ("Error: /etc/it.json not found", "Error: /etc/it.json not found"),
    ],
)
def test_a_file_that_it_wants_in_its_home_is_told_with_where_that_is_in_the_fleet(words, told):
    notes_of_it = notes.of_one_that_did_not_start(
        Draft("it", egress=False, why={"egress": "none"}), seen(words=[words], started=0.0), [], []
    )

    assert notes_of_it[0] == f"it did not start: {told}"


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
    assert in_vain.command == ("it", "--site-api-key", "${IT_SITE_API_KEY}")
    told = list(notes._decisions(replace(in_vain, why={"egress": "it"}), []))
    assert any("SITE_API_KEY did not do instead" in line for line in told) and "no variable was found" not in str(told)


@pytest.mark.parametrize(
    "code, options",
    [
        ('@click.option("--auth-token", "token", envvar="SITE_TOKEN", required=True)', {"--auth-token": "SITE_TOKEN"}),
        ("p.add_argument('--base-url', help=f(g(1)), default=os.environ.get('SITE_URL'))", {"--base-url": "SITE_URL"}),
        ("p.option('-k, --key <key>', 'the key', process.env.SITE_KEY)", {"--key": "SITE_KEY"}),
        ("p.add_argument('--key')\nos.getenv('SITE_KEY')", {}),
        ("p.add_argument('--port', default=80 if os.getenv('SITE_KEY') else 81)", {}),
    ],
)
def test_the_variable_of_an_option_stands_in_the_same_call(tmp_path, monkeypatch, code, options):
    file = tmp_path / "it.py"
    file.write_text(code)
    monkeypatch.setattr(package_files, "_files", lambda *_: [file])

    assert package_files.variables("it").options == options


@pytest.mark.parametrize(
    "code, readme, reads",
    [
        ('os.getenv("A_TOKEN") or os.environ.get("A_KEY", "")', "", ["A_TOKEN"]),
        ('os.getenv("A_TOKEN") or os.getenv("A_KEY")', "set A_KEY", ["A_KEY"]),
        ('os.getenv("A_TOKEN") or os.getenv("A_KEY")', "set A_TOKEN or A_KEY", ["A_KEY", "A_TOKEN"]),
        ('os.getenv("A_TOKEN"), os.getenv("A_KEY")', "", ["A_KEY", "A_TOKEN"]),
        ('os.getenv("A_TKN") or os.getenv("A_TOKEN")', "", ["A_TKN", "A_TOKEN"]),
        ('[os.getenv("LOG_TOKEN") or os.getenv("A_TOKEN"), os.getenv("A_TOKEN")]', "", ["A_TOKEN", "LOG_TOKEN"]),
    ],
)
def test_of_variables_of_which_one_is_read_in_the_place_of_the_other_one_counts(tmp_path, monkeypatch, code, readme, reads):
    (tmp_path / "it.py").write_text(f"import os\nx = {code}\n")
    (tmp_path / "README.md").write_text(readme)
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.py", tmp_path / "README.md"])

    assert package_files.variables("it").reads == reads


def test_what_it_demands_as_options_is_given_by_variables_all_at_once():
    words = ["it: error: the following arguments are required: --account, --auth-token, --db-path, --x"]
    demanding = seen(started=0, words=words, reads=["SITE_ACCOUNT", "SITE_TOKEN"], options={"--auth-token": "SITE_TOKEN"})

    draft = mends.with_options(Draft("it", {"python": "it==1"}, ("it",)), demanding)

    assert draft.command == ("it", "--db-path", "/data/it.db", "--x", "${IT_X}")
    assert (draft.secrets, draft.env) == (("SITE_TOKEN",), {"SITE_ACCOUNT": "${SITE_ACCOUNT}"})


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


@pytest.mark.parametrize("name", ["pid", "target_pid", "processId"])
def test_a_tool_that_ends_processes_is_not_told_to_end_the_trial(name):
    [call] = planned([tool("kill_process", required=[name], properties={name: {"type": "number"}})])

    assert call.arguments == {name: 99_999_999}


def test_images_that_killed_trials_have_left_are_removed_by_the_next_trial_of_the_same_mcp(monkeypatch):
    tags = {
        "mcp-bridge-trial-clock:999999999": "a",
        f"mcp-bridge-trial-clock:{os.getpid()}": "b",
        "mcp-bridge-trial-clock-2:999999999": "c",
    }
    removed = []
    monkeypatch.setattr(container.docker, "images", lambda *_: tags)
    monkeypatch.setattr(container, "_remove", lambda *words: removed.append(words[-1]))
    container._remove_left_over("mcp-bridge-trial-clock:")

    assert removed == ["mcp-bridge-trial-clock:999999999"]


@pytest.mark.parametrize(
    "words, told",
    [
        ("browserType.launch: Executable doesn't exist at /tmp/home/.cache/ms-playwright/chromium-1169/chrome-linux/chrome", "a browser"),
        ("Error: Could not find Chrome (ver. 131.0.6778.204).", "a browser"),
        ("The CHROME_PATH environment variable must be set to a Chrome/Chromium executable no older than Chrome stable.", "a browser"),
        ("Could not find Google Chrome executable for channel 'stable' at:\n - /opt/google/chrome/chrome.", "a browser"),
        ("Chromium distribution 'chrome' is not found at /opt/google/chrome/chrome", "a browser"),
        ("An `executablePath` or `channel` must be specified for `puppeteer-core`", "a browser"),
        ("Browser was not found at the configured executablePath (/usr/bin/x)", "a browser"),
        ("No Chrome installations found.", "a browser"),
        ("The CHROME_PATH environment variable must be set to a Chrome executable", "a browser"),
        ('Xlib.error.DisplayConnectionError: Can\'t connect to display ":0"', "a desktop"),
        ("KeyError: 'DISPLAY'", "a desktop"),
        ('exec: "dbus-launch": executable file not found in $PATH', "the keyring"),
        ("[unixODBC][Driver Manager]Can't open lib 'SQL Server' : file not found (0) (SQLDriverConnect)", "an ODBC driver"),
        ("EOFError: EOF when reading a line", "an answer in a terminal"),
        ("the DISPLAY_NAME of a browser is wrong", ""),
    ],
)
def test_what_no_package_brings_is_told_with_the_way_out(words, told):
    draft = Draft("it", egress=False, why={"egress": "", "smoke": ""})

    [first, *_] = notes.of_one_that_did_not_start(draft, seen(words=[words], started=0.0), [], [])
    running = notes.of_a_started_one(draft, "it", seen(made("look", words)), [])

    assert (f"it wants {told}" in first) is bool(told)
    assert findings.egress(seen(made("look", words)), False).allowed is (told == "a browser")
    assert any(f"it wants {told}" in note for note in running) is bool(told)


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
    "complaint, drives, packages",
    [
        ("Error getting cookies: No active browser session", "chromium-driver", ["chromium-driver"]),
        ("Error: Browser not launched: call launch first", "chromium-headless-shell", ["chromium-headless-shell"]),
        ("Error: Browser not launched: call launch first", "", []),
        ("'NoneType' object has no attribute 'title'", "chromium-headless-shell", ["chromium-headless-shell"]),
        ("", "chromium-headless-shell", []),
    ],
)
def test_whose_code_starts_a_browser_and_whose_calls_miss_one_gets_that(complaint, drives, packages):
    assert dependencies.browser(seen(made("look", complaint), drives=drives)) == packages


@pytest.mark.parametrize(
    "code, drives",
    [
        ("import puppeteer from 'puppeteer'; b = await puppeteer.launch({headless: true})", "chromium-headless-shell"),
        ("import {chromium} from 'playwright'; b = await chromium.launchPersistentContext(dir)", "chromium-headless-shell"),
        ("from playwright.async_api import x\nb = await getattr(p, kind).launch(headless=True)", "chromium-headless-shell"),
        ("import {connect} from 'puppeteer-real'; connect(process.env.CHROME_PATH)", "chromium-headless-shell"),
        ("import rocket; rocket.launch()", ""),
        ("driver = webdriver.Chrome(options=options)", "chromium-driver"),
        ("new Builder().forBrowser('chrome')", "chromium-driver"),
        ("import {chromium} from 'playwright'; await chromium.connectOverCDP(url)", ""),
    ],
)
def test_how_code_starts_a_browser(tmp_path, monkeypatch, code, drives):
    (tmp_path / "it.py").write_text(code)
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.py"])

    assert package_files.variables("it").drives == drives


def test_who_has_the_library_of_odbc_wants_a_driver():
    draft = Draft("it", apt=("libodbc2",), egress=False, why={"egress": "", "smoke": ""})

    assert any(
        "it wants an ODBC driver" in note and note.endswith("names it")
        for note in notes.of_a_started_one(draft, "it", seen(made("look")), [])
    )


@pytest.mark.parametrize(
    "code, defaults",
    [
        ('process.env.A_URL || "https://x.io"', {"A_URL": "https://x.io"}),
        ('process.env["A_URL"] ?? DEFAULT_URL', {"A_URL": "DEFAULT_URL"}),
        ('const Ab="https://q.io";f(e.env.A_URL||Ab)', {"A_URL": "https://q.io"}),
        ('process.env.A_ONE ?? process.env.B_ONE ?? "x"', {"A_ONE": "x", "B_ONE": "x"}),
        ('A_X: z.string().optional(), B_X: z.enum(["p", "q"]).default("q")', {"B_X": "q"}),
        ('os.environ.get("A_X", "y"); os.getenv("B_X") or "z"; env("C_X", default=5)', {"A_X": "y", "B_X": "z", "C_X": "5"}),
        ('process.env.A_X || ""; os.getenv("B_X", None); process.env.C_X || options.c; requireEnv("D_X", "no D_X")', {}),
        ('process.env.A_X || "y"; if (!process.env.A_X) exit()', {}),
        ('process.env.A_KIND || "sqlite"', {}),
    ],
)
def test_a_variable_that_has_a_value_in_the_code_is_not_needed(tmp_path, monkeypatch, code, defaults):
    (tmp_path / "it.js").write_text(code)
    (tmp_path / "README.md").write_text('{"command": "npx", "args": ["it"], "env": {"A_URL": "https://other.io", "A_KIND": "mysql"}}')
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.js", tmp_path / "README.md"])

    found = package_files.variables("it")
    draft = publishers.with_published(Draft("it"), seen(published=found.published))

    assert {one["name"]: one["default"] for one in found.published if one["default"]} == defaults
    assert "A_URL" not in defaults or (
        "A_URL" not in draft.env and mends.unsaid(Draft("it"), seen(reads=["A_URL"], published=found.published)) == []
    )


def test_who_waits_for_somebody_of_a_desk_is_told():
    waiting = seen(made("look"), listens=["127.0.0.1:3025"])
    draft = Draft("it", {"npm": "it@1"}, ("it",), egress=True)

    assert any("waits at 127.0.0.1:3025, where nobody outside" in line for line in notes._lacks(draft, waiting))
    assert not any("waits" in line for line in notes._lacks(draft, seen(made("look"))))


def test_who_listens_is_seen():
    before = witness._listening()
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        expected = {f"127.0.0.1:{one.getsockname()[1]}", f"::1:{other.getsockname()[1]}"}
        assert expected <= witness._listening() - before


def test_an_argument_that_may_be_an_address_is_given_one_and_paths_of_any_words_are_paths():
    said = {"type": "string", "description": "Path or URL to the OpenAPI/Swagger specification"}

    assert sample({"required": ["input"], "properties": {"input": said}})[0] == {"input": "https://example.com/"}
    for about in (said["description"], "Path to kubb.config file", "Output directory path"):
        assert arguments.paths([tool("look", [], {"input": {"type": "string", "description": about}})]) == "input of look"


@pytest.mark.parametrize(
    "names, secrets, volumes",
    [
        (["file_path", "content"], (), ("it-data:/data",)),
        (["file_path", "content"], ("SITE_TOKEN",), ()),  # a path there
        (["file_path"], (), ()),
    ],
)
def test_who_asks_somebody_without_an_account_and_writes_files_keeps_them(names, secrets, volumes):
    tools = [tool("look"), tool("write_it", [], {name: {"type": "string"} for name in names})]
    asking = seen(made("look", "fetch failed"), tools=tools, reached=[(10.5, "site.org:443")])
    draft = Draft("it", {"pypi": "it==1"}, command=("it",), secrets=secrets)

    proof = prove._decided(prove.Tries(Table(asking, asking, asking), {}, add._checked), draft, asking, CONTAINED)

    assert proof.draft.egress and proof.draft.volumes == volumes


def test_an_answer_of_nothing_proves_nothing_where_others_ask_somebody():
    empty = made("get_earnings", began=9.1, ended=9.2) | {"answer": "[]"}
    asking = made("get_prices", "fetch failed")

    assert findings.smoke(seen(empty, asking, reached=[(10.5, "site.org:443")]), None, True) is None
    assert findings.smoke(seen(empty), None, True)["tool"] == "get_earnings"


def test_a_call_that_only_says_that_it_lives_is_taken_where_no_other_works():
    alive, works = (made(name) | {"answer": "it is so"} for name in ("check_connection", "look"))

    assert findings.smoke(seen(alive, works), None, True)["tool"] == "look"
    assert findings.smoke(seen(alive), None, True)["tool"] == "check_connection"


@pytest.mark.parametrize(
    "answer",
    ['{"status": "disconnected", "url": "http://x"}', "Search is unavailable.", "🔴 Not connected to the device", "It is not running"],
)
def test_a_status_that_says_that_nobody_is_there_gives_way_to_a_call_that_answers(answer):
    status, listed = made("get_status") | {"answer": answer}, made("list_units") | {"answer": "metres, feet"}

    assert findings._says_nothing(status) and not findings._says_nothing(made("read") | {"answer": f"{answer} {'x' * 300}"})
    assert findings.smoke(seen(status, listed), None, True) == {"tool": "list_units", "build": True}
    assert findings.says_nothing(seen(status), {"tool": "get_status"}) == f"which says: {answer}"


def test_a_count_of_nothing_beside_an_empty_list_is_no_answer():
    for answer, is_nothing in (
        ("No packages found in environment 'system'.", True),
        ('{"connected": false}', True),
        ("Notes: a, b", False),
        ('{"tabs": [], "id": null, "count": 0}', True),
        ('{"count": 0}', False),
        ('{"tabs": [], "state": "on"}', False),
    ):
        assert findings._says_nothing(made("look") | {"answer": answer}) is is_nothing


def test_who_lists_no_tools_or_works_with_no_call_is_shown_what_its_readme_gives_it():
    draft = Draft("it", {"npm": "it@1"}, ("it", "--stdio"), egress=True, why={"egress": "", "smoke": ""})
    says = "its README starts it as `npx it --prebuilt <source> --stdio`: what it needs of that belongs into `command`"
    commands = ["npx -y it --stdio", "npx it --prebuilt <source> --stdio"]

    assert says in list(notes._lacks(draft, seen(tools=[], commands=commands)))
    assert says in list(notes._lacks(draft, seen(made("look", "missing required --host"), commands=commands)))
    assert says in notes.of_one_that_did_not_start(draft, seen(words=["usage: it [-x]"], started=0.0, commands=commands), [], [])
    assert says not in list(notes._lacks(draft, seen(made("look"), commands=commands)))
    assert says not in list(notes._lacks(replace(draft, secrets=("A_KEY",)), seen(made("look", "no key"), commands=commands)))


def test_what_may_not_change_a_mode_was_not_kept_from_writing():
    denied = seen(
        words=["Could not set execute permissions on /opt/server/bin/it: EROFS: read-only file system, chmod '/opt/server/bin/it'"]
    )

    assert findings.storage(denied).inside == ""
    assert findings.storage(seen(words=["EROFS: read-only file system, open '/opt/server/it.db'"])).inside == "/opt/server/it.db"


@pytest.mark.parametrize(
    "text, is_one",
    [
        ("The MCP server communicates with a running Drawit instance by its API. Start Drawit first, then run the server:", True),
        ("- Drawit must be running with the add-on", True),
        ("Works on a running Drawit editor.", True),
        ("It connects to a running Redis instance, or to your running Docker Desktop.", False),
        ("Start Ollama first. The server must be running.", False),
        ("```\n# Start Drawit first\n```", False),
    ],
)
@pytest.mark.parametrize(
    "code, has_socket", [('os.environ.get("DRAWIT_API_SOCKET")', True), ('connect("ipc:///tmp/it")', True), ("x = 1", False)]
)
def test_a_program_of_a_desk_behind_a_socket_is_told_with_the_ways_to_it(tmp_path, monkeypatch, text, is_one, code, has_socket):
    (tmp_path / "it.py").write_text(code)
    (tmp_path / "README.md").write_text(text)
    monkeypatch.setattr(package_files, "_files", lambda *_: [tmp_path / "it.py", tmp_path / "README.md"])
    report = package_files.variables("it")
    it = seen(made("check_connection"), desk=report.desk, reads=report.reads)
    told = [line for line in notes._lacks(Draft("it"), it) if "runs on a desk" in line]

    assert bool(told) == bool(report.desk) == (is_one and has_socket)
    if told:
        assert "behind `mcp-bridge serve`" in told[0] and ("DRAWIT_API_SOCKET, which its code reads, says where" in told[0]) == (
            "SOCKET" in code
        )


def test_where_a_socket_is_is_no_path_of_files():
    assert arguments.paths([tool("connect", properties={"socket_path": {"description": "Path to the socket file"}})]) == ""
    assert arguments.paths([tool("open", properties={"file_path": {}})]) == "file_path of open"


def test_the_key_of_an_instance_beside_it_is_of_nobody_beyond():
    it = seen(made("look"), tools=[tool("look"), tool("draw")], desk="Start Drawit first")

    assert not findings.egress(it, False, ["DRAWIT_API_TOKEN"]).allowed
    assert findings.egress(seen(made("look"), tools=[tool("look"), tool("draw")]), False, ["DRAWIT_API_TOKEN"]).allowed


@pytest.mark.parametrize("profile, env", [("default", {}), ("work", {"AWS_PROFILE": "default"})])
def test_who_takes_a_profile_of_aws_and_no_keys_gets_a_file_of_them(profile, env):
    says = f"botocore.exceptions.ProfileNotFound: The config profile ({profile}) could not be found"
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    ended, lists = seen(words=[says], started=0.0), seen(made("list_it"))

    table = Table(ended, ended, lists)
    draft, last = tries.mended(tries.Tries(table, {}, add._checked), Draft("it", {"pypi": "it==1"}, ("it",)))

    assert last is lists and (draft.secrets, draft.as_files, draft.optional) == (("AWS_SHARED_CREDENTIALS_FILE",),) * 2 + ((),)
    assert {name: value for name, value in draft.env.items() if "REGION" not in name} == env
    assert any(
        "takes a profile of AWS, and no keys" in one for one in notes._decisions(replace(draft, why=draft.why | {"egress": "x"}), [])
    )
    assert set(keys) <= set(
        tries.mended(tries.Tries(Table(ended, lists), {}, add._checked), Draft("it", {"pypi": "it==1"}, ("it",)))[0].secrets
    )


@pytest.mark.parametrize(
    "words, says",
    [
        ("SyntaxError: Unexpected token", "it did not start: SyntaxError: Unexpected token"),
        ("Error: the key is invalid", "it did not start without a real A_KEY: Error: the key is invalid"),
        ("Error: 401 from the API", "it did not start without a real A_KEY: Error: 401 from the API"),
        ("TypeError: x is not a function", "it did not start with what stood in for A_KEY: TypeError: x is not a function"),
    ],
)
def test_only_of_an_end_that_is_about_a_key_it_is_said_that_it_was_for_want_of_that(words, says):
    assert notes._why_not(Draft("it", {"npm": "it@1"}, secrets=("A_KEY",)), seen(words=[words], started=0.0), ["A_KEY"]) == says


NO_DRIVER = "('01000', \"[01000] [unixODBC][Driver Manager]Can't open lib '{}' : file not found\")"


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


def test_the_library_alone_is_no_driver():
    it = Draft("it", {"pypi": "mssql-mcp==1.0"}, command=("it",), env={"MSSQL_DRIVER": "${MSSQL_DRIVER}"}, apt=("libodbc2",))

    assert mends.with_driver(it, seen(made("look"))).apt == ("libodbc2", "tdsodbc")
    assert mends.with_driver(it, seen(made("look"))).env == {"MSSQL_DRIVER": "${MSSQL_DRIVER:-FreeTDS}"}
    assert mends.with_driver(replace(it, apt=("libodbc2", "tdsodbc")), seen(made("look"))).apt == ("libodbc2", "tdsodbc")
