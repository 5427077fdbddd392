"""How a server is tried: in its container, seen by a recorder and a witness."""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
import yaml
from trials import made, seen, tool

from bridge.fleet import lock
from bridge.fleet.adding import add, eras, notes
from bridge.fleet.adding.draft import MANY_BYTES, Draft
from bridge.fleet.adding.trial import attempt, container, dependencies, recorder, usage, witness
from bridge.fleet.adding.trial.attempt import without_values
from bridge.fleet.adding.trial.stand_ins import value as placeholder
from bridge.fleet.engines.programs import Failed


def question(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0" + labels + b"\0" + struct.pack(">HH", kind, 1)


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


def test_a_stand_in_for_an_address_has_the_shape_that_was_seen_to_be_wanted():
    told = usage.schemes(seen(words=["ERROR: no database", "like postgres://user:pass@host:5432/db"], started=0.0))
    published = usage.schemes(seen(published=[{"name": "STORE_URL", "value": "mongodb+srv://you@host", "default": ""}]))

    assert placeholder("SITE_DSN", told) == "postgres://placeholder:placeholder@site-dsn.placeholder.invalid/0"
    assert placeholder("DB_HOST", told) == "db-host.placeholder.invalid"
    assert placeholder("SITE_URL", told) == "http://site-url.placeholder.invalid"
    assert placeholder("STORE_URL", published).startswith("mongodb+srv://")


@pytest.mark.parametrize(
    ("shown", "begins"),
    [
        ("graph+s://xxxx.databases.graph.io", "graph+s://site-url."),  # a user in it may be refused where none is shown
        ("graph://localhost:7687", "graph://site-url."),
        ("graph://user:secret@host.example/0", "graph://placeholder:placeholder@site-url."),
        ("graph://…", "graph://placeholder:placeholder@site-url."),
    ],
)
def test_a_stand_in_names_a_user_unless_a_whole_address_is_shown_without(shown: str, begins: str):
    published = usage.schemes(seen(published=[{"name": "SITE_URL", "value": shown, "default": ""}]))

    assert placeholder("SITE_URL", published).startswith(begins)


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


@pytest.mark.parametrize("load, slowness", [(0.1, 1.0), (4.0, 2.0), (80.0, 4.0)])
def test_where_others_work_too_a_server_may_take_longer(monkeypatch, load, slowness):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)

    assert witness.slowness() == slowness


def test_what_stood_in_for_a_value_is_shown_to_nobody():
    words = [f"Error: missing SITE_{placeholder('SITE_NAMES')}_URL for {placeholder('SITE_HOST')}"]
    told = notes.of_one_that_did_not_start(Draft("it", egress=True, why={"egress": "x"}), seen(words=words, started=0.0), [], [])

    assert any("SITE_…_URL" in line for line in told) and "placeholder" not in " ".join(told)


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
        (["It failed: No module named 'lib.server.old'"], "lib<2"),
        (["Not installed. Please use 'uv add lib[cli]'."], "lib<2"),  # which it has
        (["ImportError: cannot import name 'x' from 'deep' (/opt/…)"], "deep<=0.9"),
        (["AttributeError: module 'other' has no attribute 'x'"], "lib<2"),  # `other` is as it was: it may be the only one left
    ],
)
def test_a_server_that_dies_of_something_newer_than_itself_gets_what_it_was_made_with(resolver, words, constraint):
    mended = eras.mended(Draft("it", {"pypi": "it==1.0"}), seen(words=words, started=0.0), set())

    assert list(mended.constraints) == [constraint] and "it dies with" in mended.text
    assert eras.mended(mended, seen(words=words[-1:], started=0.0), {constraint, "lib<2", "lib<=1.6.0"}) is None


@pytest.mark.parametrize(
    "said", ["ImportError: cannot import name 'x' from 'lib.server' (/opt/…)", "TypeError: Server() got an unexpected 'x'"]
)
def test_where_the_last_of_a_major_version_is_too_new_too_the_very_version_is_tried_that_its_author_had(resolver, said):
    before = Draft("it", {"pypi": "it==1.0"}, constraints={"lib<2": "it dies with lib 2.0", "other<3": "…"})

    mended = eras.mended(before, seen(words=[said], started=0.0), {"lib<2"})

    assert list(mended.constraints) == ["other<3", "lib<=1.6.0"]


def test_where_the_version_of_its_time_has_the_same_fault_the_major_version_before_is_tried(monkeypatch):
    monkeypatch.setattr(eras, "_versions", lambda _: ({"lib": "2.3", "fast": "4.0"}, ["fast"]))
    monkeypatch.setattr(eras, "_born", lambda _: eras.OLDEST)
    monkeypatch.setattr(eras, "_newest", lambda name, _: {"lib": "2.3", "fast": "4.0"}[name])

    dead = seen(words=["ModuleNotFoundError: No module named 'lib.server.fast'"], started=0.0)
    assert [*eras.mended(Draft("it", {"pypi": "it==1.0"}), dead, set()).constraints] == ["lib<2"]


def test_of_all_that_it_uses_what_has_a_new_major_version_is_tried_first_and_then_all_as_of_its_release(monkeypatch):
    monkeypatch.setattr(eras, "_versions", lambda _: ({"a": "1.9", "lib": "2.0", "z": "3.1"}, ["a", "lib", "z"]))
    monkeypatch.setattr(eras, "_born", lambda _: eras.OLDEST)
    monkeypatch.setattr(eras, "_newest", lambda name, _: {"a": "1.8", "lib": "1.5", "z": "3.0"}[name])

    assert [[*wanted] for wanted in eras._python("it==1.0", "AttributeError: 'Server' object has no attribute 'x'")] == [
        ["lib<2"],
        ["a<=1.8", "lib<=1.5", "z<=3.0"],
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
    "said, is_it", [("low 0\noom 1\noom_kill 1\n", True), ("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", False), ("", False)]
)
def test_who_was_ended_for_want_of_memory_is_known(said, is_it, monkeypatch):
    monkeypatch.setattr(witness.Path, "read_text", lambda self: said)

    assert witness._was_out_of_memory() is is_it


def test_who_listens_is_seen():
    before = witness._listening()
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        expected = {f"127.0.0.1:{one.getsockname()[1]}", f"[::1]:{other.getsockname()[1]}"}
        assert expected <= witness._listening() - before


@pytest.mark.parametrize(
    "ticks, is_busy, given_up",
    [([5] * 9, False, True), ([5] * 9, True, False), (range(0, 900, 100), False, False), ([9, 3, 3, 3, 3, 3, 3, 3, 3], False, True)],
)
def test_who_does_nothing_and_waits_for_nobody_is_given_up(ticks, is_busy, given_up, monkeypatch):
    monkeypatch.setattr(witness, "IDLES", 1.5)
    counted, report = iter(ticks), witness._nothing_yet()
    monkeypatch.setattr(witness, "_ticks", lambda: next(counted))
    monkeypatch.setattr(witness, "_is_busy", lambda: is_busy)

    async def wait():
        with anyio.move_on_after(3.5), anyio.CancelScope() as patience:
            await witness._give_up_if_it_idles(anyio.Event(), patience, report)
        return patience.cancel_called

    assert anyio.run(wait) is given_up
    assert report["why_not"] == ("no answer within 2 s in which it did nothing" if given_up else "")


def test_what_others_compute_and_whether_they_want_to_is_seen():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            time.sleep(0.5)
            assert witness._ticks() > 0 and witness._is_busy()
        finally:
            busy.kill()


@pytest.mark.parametrize(
    "looks, says, expected",
    [
        (lambda path: os.path.exists(path), "", True),
        (lambda path: os.path.exists(path), "no such file", True),
        (lambda path: path.upper(), "", False),  # of somebody else
        (lambda path: path.upper(), "a key is required", None),
        (lambda path: path.upper(), "getaddrinfo ENOTFOUND api.site.io", False),
        (lambda path: path.upper(), "command not allowed: test", None),
        (lambda path: path.endswith(".xlsx") and os.path.exists(path), "only: .xlsm, .xlsx", None),
        (lambda path: path.endswith(".xlsx") and os.path.exists(path), "wants .xlsx", True),
        (lambda path: os.path.realpath(path), "PATH_OUTSIDE_EXPORTS", False),
    ],
)
def test_a_path_is_known_as_one_of_where_it_runs_by_being_looked_at(tmp_path, monkeypatch, looks, says, expected):
    async def make(connection, call, patience):
        looks(call["arguments"]["path"])
        call["complaint"] = says if not (says.endswith(".xlsx") and call["arguments"]["path"].endswith("/file.xlsx")) else ""

    monkeypatch.setattr(witness, "_make", make)
    report = {"tools": [tool("read", properties={"path": {}})], "looked": {}, "started": witness.time.time()}

    anyio.run(witness._look, None, report, tmp_path)

    assert report["looked"] == {"path of read": expected} and not [*tmp_path.iterdir()]


def test_the_libraries_that_a_native_add_on_does_not_find_are_heard(tmp_path, monkeypatch):
    (tmp_path / "node_modules/it").mkdir(parents=True)
    (tmp_path / "node_modules/it/it.node").write_text("")
    linked = "\tlibsecret-1.so.0 => not found\n\tlibc.so.6 => /lib/libc.so.6\n\tlibc.musl-x86_64.so.1 => not found\n"
    monkeypatch.setattr(witness, "SERVER", tmp_path)
    monkeypatch.setattr(witness.subprocess, "run", lambda *_, **__: witness.subprocess.CompletedProcess([], 0, linked))

    heard = witness._unlinked()

    assert heard == ["libsecret-1.so.0: cannot open shared object file"]
    assert dependencies.libraries(seen(words=heard, started=0.0)) == ["libsecret-1-0"]


def test_the_log_that_it_wrote_before_it_ended_is_heard_too(tmp_path):
    (tmp_path / "it.log").write_text("starting\n\nServer does not support logging (required for logging/setLevel)\n")
    wrote = [(str(tmp_path / "it.log"), 70), (str(tmp_path / "gone.log"), 9), (str(tmp_path / "big.log"), 9 << 20), ("/x/data.db", 4)]

    assert witness._logged(wrote) == ["starting", "Server does not support logging (required for logging/setLevel)"]


def test_a_server_that_says_what_its_addresses_begin_with_is_tried_with_such_at_once(monkeypatch):
    given = []

    def watch(image, stanza, environment, *_):
        given.append(environment["STORE_DATABASE_URL"])
        return seen(words=["no database: like postgres://user:pass@host:5432/db"], started=9.0 * given[-1].startswith("postgres:"))

    monkeypatch.setattr(attempt.container, "watch", watch)
    monkeypatch.setattr(attempt.Bench, "known", lambda self: {})
    stanza = add._checked(Draft("it", command=("it",), secrets=("STORE_DATABASE_URL",)))

    assert attempt.Bench(None, "image").watch(stanza, {}).report["started"]
    assert [one.partition(":")[0] for one in given] == ["http", "postgres"]


def test_a_server_that_says_otherwise_each_time_is_not_tried_for_ever(monkeypatch):
    given = []

    def watch(image, stanza, environment, *_):
        given.append(environment["STORE_DATABASE_URL"])
        other = "mongodb" if given[-1].startswith("postgres:") else "postgres"
        return seen(words=[f"no database: like {other}://user:pass@host:5432/db"], started=0.0)

    monkeypatch.setattr(attempt.container, "watch", watch)
    monkeypatch.setattr(attempt.Bench, "known", lambda self: {})
    stanza = add._checked(Draft("it", command=("it",), secrets=("STORE_DATABASE_URL",)))

    assert not attempt.Bench(None, "image").watch(stanza, {}).report["started"]
    assert len(given) == 2


@pytest.mark.parametrize(
    "text, is_id",
    [
        ("3f2b1c9e-8a41-4c1d-9e0f-2b7d5c6a1e90\n", True),
        ('{"id": "3f2b1c9e8a414c1d9e0f2b7d5c6a1e90", "since": "2026-11-27T10:00:00.000Z", "told": true}', True),
        ('{"id": "3f2b1c9e-8a41-4c1d-9e0f-2b7d5c6a1e90", "notes": ["milk"]}', False),
        ("update:\n  last_check: '2026-11-27T10:00:00'\n  auto-upgrade: false\n", True),
        ("due: 2026-11-27\nwhat: milk\n", False),
        ('{"count": 1}', False),
        ("{}", False),
        ("", False),
    ],
)
def test_a_file_that_holds_only_an_id_is_nothing_that_it_wrote(tmp_path, text, is_id):
    written = witness.Written([str(tmp_path)])
    (tmp_path / "it").write_text(text)

    assert (written.since() == []) is is_id


def test_the_same_is_tried_once(monkeypatch):
    given = []

    def watch(image, stanza, environment, *_):
        given.append(environment)
        return seen(made("look"))

    monkeypatch.setattr(attempt.container, "watch", watch)
    monkeypatch.setattr(attempt.Bench, "known", lambda self: {})
    bench, draft = attempt.Bench(None, "image"), Draft("it", command=("it",))
    first = bench.watch(add._checked(draft), {})

    may_have_one = replace(draft, secrets=("IT_KEY",), optional=("IT_KEY",))
    assert bench.watch(add._checked(draft), {}) == bench.watch(add._checked(may_have_one), {}) == first and len(given) == 1
    assert bench.watch(add._checked(draft), {}, [], True) and bench.watch(add._checked(replace(draft, cwd="/data")), {}) and len(given) == 3


@pytest.mark.timeout(10)
def test_a_pipe_that_it_made_is_not_read(tmp_path):
    """.NET makes one for its debugger: who opens it waits for somebody who never writes."""
    os.mkfifo(tmp_path / "it.log")

    assert not witness.holds_only_an_id(str(tmp_path / "it.log"))
    assert witness._logged([(str(tmp_path / "it.log"), 0)]) == []
