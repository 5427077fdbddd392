"""What follows from what a trial saw: egress, storage, the smoke call."""

import pytest
import yaml
from trials import made, seen, tool

from bridge.fleet.adding import notes
from bridge.fleet.adding.draft import Draft
from bridge.fleet.adding.trial import dependencies, findings
from bridge.fleet.adding.trial.stand_ins import value as placeholder


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
            "at its start it tries a.example.org: false if it does without",
        ),
        (seen(reached=[(2.0, "dc.applicationinsights.azure.com:443")], started=0.0), False, False, "it did not start, and did not try"),
        (seen(made("send", "fetch failed"), reached=[(10.5, "api.mixpanel.com")]), False, True, "its tool send tried api.mixpanel.com"),
        (
            seen(made("look"), reached=[(2.0, "updates.example.org")]),
            False,
            False,
            "at its start it tries updates.example.org, and works without",
        ),
        (seen(made("look")), False, False, "1 of its 1 tools were called, and none tried to reach anything"),
        (seen(made("look", "no such city") | {"said": False}), False, False, "none tried to reach anything, but all failed: true if they"),
        (seen(made("look") | {"said": False}), False, False, "none tried to reach anything"),
        (
            seen(made("look"), reached=[(2.0, "registry.example.org")], tools=[tool("look"), tool("other")]),
            False,
            False,
            "none tried to reach",
        ),
        (
            seen(made("look"), reached=[(2.0, "registry.example.org"), (10.5, "registry.example.org")]),
            False,
            True,
            "its tool look tried registry",
        ),
        (
            seen(reached=[(2.0, "registry.example.org")], started=0.0, words=["fetch failed"]),
            False,
            True,
            "it did not start without registry",
        ),
        (
            seen(made("look"), reached=[(10.5, "pypi.example.org"), (10.6, "a.example.org")]),
            False,
            True,
            "its tool look tried a.example.org",
        ),
        (
            seen(made("install_package", "no"), made("look", began=20.0), reached=[(10.5, "pypi.example.org")]),
            False,
            False,
            "none tried to reach anything",
        ),
        (
            seen(made("connect", arguments={"region": "test"}) | {"said": False}, reached=[(10.5, "db.test.example.org")]),
            False,
            True,
            "its tool connect goes to what it is given",
        ),
        (seen(made("look", "no"), speaks_to=["api.site.io"]), True, True, "its code asks api.site.io"),
        (seen(made("look"), reached=[(10.5, "otheve.beacon.example.com")]), False, False, "none tried to reach anything"),
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
        (seen(made("list"), made("look", "401: credentials not found")), False, True, "its calls want an account or a key"),
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
        ([("/tmp/home/.it/audit.log", 10), ("/tmp/home/.it/logs/1f-audit.json", 10)], False, False),
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


def test_a_socket_is_no_place_to_keep_things_and_an_engine_of_docker_is_told_with_the_way_out():
    away = seen(words=["Error: connect ENOENT /var/run/docker.sock"], started=0.0)

    assert findings.storage(away).places == ()
    assert dependencies.not_in_a_package(away).startswith("it wants a Docker engine: tell it one by its address")
    assert findings.egress(away, False).allowed


def test_what_a_browser_asks_by_itself_is_nobody_that_a_server_needs():
    it = seen(made("look"), reached=[(10.5, "clients2.google.com:80", False), (10.6, "update.googleapis.com:443", False)])

    assert not findings.egress(it, False).allowed
    assert findings.smoke(it, None, True) == {"tool": "look", "build": True}


def test_of_one_whose_calls_all_fail_for_want_of_a_program_nobody_knows_whom_they_ask():
    egress = findings.egress(seen(made("look", "spawn site-cli ENOENT")), False)

    assert not egress.allowed and egress.why.endswith("but all failed without site-cli: true if they reach beyond the fleet's own network")
    assert "none tried" in findings.egress(seen(made("look", "spawn site-cli ENOENT"), made("list")), False).why
    quoted = made("look", 'Could not find the "site-cli" executable.')
    assert findings.egress(seen(quoted, made("ping") | {"answer": "Pong!"}), False).why == egress.why.replace("1 of its 1", "2 of its 2")
    refused = made("get_part", arguments={"key": "test"}) | {"said": False, "answer": "Invalid key."}
    assert findings.smoke(seen(refused, made("ping") | {"answer": "Pong!"}), None, True) == {"tool": "ping", "build": True}


def test_who_only_counts_how_a_library_is_used_is_nobody_that_it_needs():
    tried = seen(made("look"), reached=[(8.0, "mobile.events.data.example.com")], tools=[tool("look"), tool("send")])

    assert not findings.egress(tried, False).allowed


@pytest.mark.parametrize(
    "answer, is_nothing",
    [
        ("[]", True),
        ('{"success": true, "result": []}', True),
        ('{"success": true}', False),
        ('{"devices": [], "next": null}', True),
        ('{"n": 0}', False),
        ("none yet", True),
        ("", False),
    ],
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


def test_whom_the_operator_names_is_the_reason_and_in_no_list():
    """Before whoever counts its use."""
    told = seen(made("look", "timed out"), reached=[(10.2, "count.site.io"), (10.5, "lab-host.placeholder.invalid:9876")])

    assert findings.egress(told, True).why == "it asks what LAB_HOST says: false if that is inside the fleet"
    assert findings.names([told]) == []


@pytest.mark.parametrize("looked_up", ["site-conn-str.placeholder.invalid:27017", "_mongodb._tcp.site-conn-str.placeholder.invalid"])
def test_who_looks_up_a_service_of_the_operators_name_asks_what_its_variable_says(looked_up):
    it = seen(reached=[(10.5, looked_up)])

    assert findings.egress(it, True).why == "it asks what SITE_CONN_STR says: false if that is inside the fleet"
    assert findings.names([it]) == []


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


def test_a_host_that_has_a_name_of_the_operator_s_in_it_is_told_without():
    host = f"{placeholder('SITE_NAME')}.example.org"
    it = seen(made("look", "fetch failed"), reached=[(10.5, host), (10.6, f"{host}:8443")])

    assert findings.egress(it, False).why == "its tool look tried *.example.org"
    assert findings.names([it]) == ["*.example.org", "*.example.org:8443"]
    assert findings.names([seen(made("look"), reached=[(10.5, f"{placeholder('SITE_NAME')}-be.example.org")])]) == ["*.example.org"]


def test_a_key_that_it_works_without_opens_the_network_only_where_not_all_was_tried():
    every = findings.egress(seen(made("look"), made("write")), False, ["X_TOKEN"])
    some = findings.egress(seen(made("look"), tools=[tool("look"), tool("send")]), False, ["X_TOKEN"])
    none = findings.egress(seen(made("look", "unauthorized")), False, ["X_TOKEN"])
    asked = findings.egress(seen(made("look"), made("find", "Unable to locate credentials")), False, ["X_TOKEN"])

    assert [one.allowed for one in (every, some, none, asked)] == [False, True, True, True]
    assert "true if X_TOKEN is for somebody beyond" in every.why


def test_what_lists_no_tools_without_somebody_needs_him():
    assert findings.egress(seen(reached=[(8.0, "a.example.org")]), False).allowed


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
    back_end = seen(reached=[(9, "[::1]:6379")], reads=["SITE_URL", "SITE_MCP_HOST", "MCP_AUTH_URI", "SITE_ALLOWED_HOSTS"])
    assert findings.egress(back_end, False).why.endswith("(its code reads SITE_URL)")
    assert "looks for a service at [::1]:6379" in findings.egress(seen(reached=[(9, "[::1]:6379")], started=0.0), False).why


def test_what_it_tried_is_proposed_as_a_list_beside_egress_and_decides_nothing():
    """A trial sees a part of what a server does."""
    tried = ["API.x.org", "api.x.org:443", "db.x.org:5432", "10.0.0.1:443", "localhost", "telemetry.y.org", "8.8.8.8:443"]
    at_its_start = [(float(at), what) for at, what in enumerate(tried)]
    reached = tuple(findings.names([seen(made("look", began=0.0), reached=at_its_start)]))
    assert findings.names([seen(made("look", began=20.0, ended=21.0), reached=at_its_start)]) == []  # of whom its calls ask none was seen
    text = Draft("it", command=("it",), egress=True, reached=reached).text

    assert reached == ("api.x.org", "db.x.org:5432", "8.8.8.8")
    assert yaml.safe_load(text)["egress"] is True
    assert "\n# egress: [api.x.org, 'db.x.org:5432', 8.8.8.8]    what its trial tried" in text
    assert "# egress" not in Draft("it", command=("it",), egress=False, reached=reached).text


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
    [
        '{"status": "disconnected", "url": "http://x"}',
        "Search is unavailable.",
        "🔴 Not connected to the device",
        "It is not running",
        '{"status": "not_configured"}',
        "This is only available in the cloud",
    ],
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


def test_what_may_not_change_a_mode_was_not_kept_from_writing():
    denied = seen(
        words=["Could not set execute permissions on /opt/server/bin/it: EROFS: read-only file system, chmod '/opt/server/bin/it'"]
    )

    assert findings.storage(denied).inside == ""
    assert findings.storage(seen(words=["EROFS: read-only file system, open '/opt/server/it.db'"])).inside == "/opt/server/it.db"


def test_a_list_of_names_has_none_that_is_only_asked_what_is_newer():
    what = seen(made("look"), reached=[(2.0, "registry.example.org:443"), (10.5, "a.example.org:443")])

    assert findings.names([what]) == ["a.example.org"]
    assert findings.names([seen(made("look"), reached=[(10.5, "oauth2.example.org:443")])]) == []


def test_the_call_that_would_prove_it_elsewhere_is_the_most_harmless_and_the_simplest():
    deploys, guessed = made("deployPlan"), made("get_page", arguments={"id": "1"}, began=20.0, ended=21.0) | {"said": False}
    simple = made("list_pages", began=30.0, ended=31.0)
    what = seen(deploys, guessed, simple, reached=[(10.5, "a.example.org"), (20.5, "a.example.org"), (30.5, "b.example.org")])

    assert findings.unproved(what) == ({"tool": "list_pages"}, "b.example.org")
    told = made("read_page", arguments={"url": "https://example.com/"}, began=40.0, ended=41.0)
    other = [(40.5, "example.com"), (20.5, "a.example.org")]
    assert findings.unproved(seen(told, guessed, reached=other)) == ({"tool": "get_page", "arguments": {"id": "1"}}, "a.example.org")
    assert findings.unproved(seen(deploys)) == ({"tool": "deployPlan"}, "")


def test_a_guess_that_is_politely_refused_and_the_same_text_for_all_prove_little():
    refused = made("get_text") | {"said": False, "answer": "Document /tmp.docx does not exist"}
    alike = [made(name) | {"answer": "It is well."} for name in ("list_a", "list_b", "list_c")]

    assert findings.says_nothing(seen(refused), {"tool": "get_text"}) == "which says: Document /tmp.docx does not exist"
    assert findings.smoke(seen(refused, alike[0]), None, True) == {"tool": "list_a", "build": True}
    assert findings.says_nothing(seen(*alike), {"tool": "list_a"}) == "in the words in which others of its calls are answered, too"
    assert not findings.says_nothing(seen(*alike[:2]), {"tool": "list_a"})
    other = made("list_d") | {"answer": "Rome"}
    assert findings.smoke(seen(*alike, other), None, True) == {"tool": "list_d", "build": True}


def test_what_says_that_something_is_missing_is_no_answer():
    poor = made("get_snapshot") | {"answer": "Its own half is missing: install that."}

    assert findings.says_nothing(seen(poor), {"tool": "get_snapshot"}) == "which says: Its own half is missing: install that."


def test_one_that_ended_after_its_start_could_not_do_without_what_it_was_denied():
    words = ["Error: ENOENT: no such file or directory, mkdir '/opt/server/node_modules/it/dist/logs'"]

    ended = findings.storage(seen(made("look", "the server ended"), words=words))
    lives = findings.storage(seen(made("look"), words=words))

    assert (ended.inside, lives.inside) == ("/opt/server/node_modules/it/dist/logs", "")


def test_whom_an_operator_names_is_asked_rather_than_what_its_code_has():
    it = seen(made("look", "not configured"), speaks_to=["api.site.io"])

    assert findings.egress(it, True).why == "its code asks api.site.io"
    assert findings.egress(it, True, addresses=["SITE_URL"]).why == "it asks what SITE_URL says: false if that is inside the fleet"


@pytest.mark.parametrize(
    "looked, found",
    [
        ({"path of list": False, "path of read": True}, "path of read"),
        ({"local_path of send": False}, ""),  # it was refused, or nobody looked
        ({"local_path of send": None}, "local_path of send"),  # without its key, say
        ({"path of read": None}, ""),
    ],
)
def test_what_a_server_looked_at_says_whose_paths_its_tools_take_and_sure_words_only_where_nothing_was_seen(looked, found):
    tools = [tool("list", properties={"path": {}}), tool("read", properties={"path": {}})]
    tools.append(tool("send", properties={"local_path": {}}))

    assert findings.paths(seen(tools=tools if "send" in str(looked) else tools[:2], looked=looked)) == found


def test_calls_that_failed_of_the_path_that_they_were_given_leave_no_doubt_of_a_network():
    it = seen(made("read", "open /tmp/file.xlsx: no such file or directory"), made("list", "read /tmp: is a directory"))

    assert findings.egress(it, False).why == "2 of its 2 tools were called, and none tried to reach anything"
    refused = made("run", "Command not allowed: test", arguments={"command": ["test"]})
    assert not findings.complains_of_a_guess(made("read", "cannot open /tmp/home/.it/state.json"))
    assert not findings.complains_of_a_guess(refused) and findings.complains_of_a_guess(refused | {"said": False})


def test_a_service_that_a_call_did_without_is_none_that_it_looks_for():
    lists = seen(made("list") | {"answer": "eth0, lo"}, reached=[(10.5, "127.0.0.1:5037")])
    polite = seen(made("list") | {"answer": "is unreachable"}, reached=[(10.5, "127.0.0.1:5037")])

    assert not findings.egress(lists, False).allowed
    assert findings.egress(polite, False).why.startswith("it looks for a service at 127.0.0.1:5037")


def test_a_service_whose_port_is_an_argument_s_default_is_where_callers_say():
    connect = tool("connect", properties={"host": {"default": "localhost"}, "port": {"default": 4444}})
    it = seen(made("connect", "refused"), tools=[connect], reached=[(10.5, "127.0.0.1:4444")], reads=["IT_HOST"])

    url = tool("connect", properties={"url": {"default": "http://localhost:4444/"}})
    assert findings.egress(it, False).why == "its tool connect goes to what it is given"
    assert findings.egress(seen(*it.report["calls"], tools=[url], reached=[(10.5, "[::1]:4444")]), False).why.startswith("its tool connect")


def test_who_has_a_browser_for_some_tool_asks_whom_its_key_is_for():
    drawing = seen(made("look", "no"), speaks_to=["api.site.io"])

    assert findings.egress(drawing, True, browses=True).why == "its code asks api.site.io"
    assert findings.egress(drawing, False, browses=True).why == "it opens in a browser what it is asked to open"


def test_who_only_asks_what_is_newer_before_each_call_needs_no_network_for_that():
    newer = seen(
        made("look", "No property was given"),
        made("find", "Set SITE_ID", began=20.0, ended=21.0),
        reached=[(10.5, "pypi.site.example"), (20.5, "pypi.site.example")],
    )
    asks = seen(made("check_for_updates"), made("run", began=20.0), reached=[(10.5, "pypi.site.example")])
    pip = seen(
        made("install_package", "Max retries exceeded: pypi.site.example"), made("run", began=20.0), reached=[(10.5, "pypi.site.example")]
    )

    assert findings.reached(newer) == [] and not findings.egress(newer, False).why.startswith("its tool")
    assert not findings.egress(pip, False).allowed and not findings.egress(asks, False).allowed
    assert findings.reached(seen(made("search", "Max retries exceeded"), reached=[(10.5, "pypi.site.example")])) == ["pypi.site.example"]


def test_an_empty_folder_of_a_library_s_in_its_home_is_nothing_to_keep():
    def kept(path, who="wrote"):
        return findings.storage(seen(made("look", wrote=[(path, 0)])) if who == "call" else seen(wrote=[(path, 0)])).home

    assert not kept("/tmp/home/.site/")
    assert kept("/tmp/home/.site-mcp/") and kept("/tmp/home/.site/", "call") and kept("/tmp/home/.site/state.json")
