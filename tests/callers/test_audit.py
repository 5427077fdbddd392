"""What is written down of calls: by whom, of what, and how it ended; on every way in."""

import fcntl
import hashlib
import json
import os
import stat
import threading
from types import SimpleNamespace

import pytest
from msgspec import Raw
from support import Bridge, Http, Modern, Sse, Ws, eventually, text, zoo
from support.issuing import AUDIENCE, Issuer

from bridge.callers.audit import Audit
from bridge.callers.audit_log import AuditLog
from bridge.callers.audit_sums import MOST, WHOLE, Sums
from bridge.cli import main
from bridge.http.request import Request
from bridge.protocol.envelope import Envelope
from bridge.protocol.errors import Reason, Refusal
from bridge.settings import UsageError

TOKEN = "alice-0123456789-0123456789"
WAYS = {"http": Http, "sse": Sse, "ws": Ws, "modern": Modern}
SECRET = "hunter2-hunter2-hunter2"


class Lines(list):
    """A sink."""

    def write(self, line: bytes) -> bool:
        self.append(json.loads(line))
        return True

    def may_go_on(self) -> bool:
        return True


class Full(Lines):
    """A sink on a full disk."""

    def write(self, line: bytes) -> bool:
        return False


def entry(lines: Lines, params: bytes, method: str = "tools/call", **options):
    audit = Audit(lines, "echo", b"key", **options)
    request = Request(b"POST", {b"x-litellm-user-id": b"u1"}, b"", b"", "alice", [], address="192.0.2.1")
    return audit.begin(Envelope(method=method, params=Raw(params)), request, 99)


def test_an_entry_is_written_once_however_it_ends():
    lines = Lines()
    one = entry(lines, b'{"name":"add","arguments":{"a":1}}')
    one.ended("tool_error", True)
    one.end("ok", 12)
    one.end("cancelled")

    (line,) = lines
    assert {name: line[name] for name in ("caller", "address", "user", "mcp", "method", "tool", "outcome", "bytes_in", "bytes_out")} == {
        "caller": "alice",
        "address": "192.0.2.1",
        "user": "u1",
        "mcp": "echo",
        "method": "tools/call",
        "tool": "add",
        "outcome": "tool_error",
        "bytes_in": 99,
        "bytes_out": 12,
    }
    assert "arguments" not in line and line["time"].endswith("Z")


def test_arguments_are_told_by_a_hash_that_nobody_can_guess_from():
    lines = Lines()
    for params in (b'{"arguments":{"a":1}}', b'{"arguments":{"a":1}}', b'{"arguments":{"a":2}}'):
        entry(lines, params).end("ok")
    hashes = [line["arguments_hash"] for line in lines]

    assert hashes[0] == hashes[1] != hashes[2]
    assert hashes[0] not in (hashlib.blake2b(b'{"a":1}', digest_size=16).hexdigest(), hashlib.sha256(b'{"a":1}').hexdigest()[:32])


def test_arguments_are_written_out_without_what_looks_like_a_secret():
    lines = Lines()
    arguments = {
        "password": SECRET,
        "api_key": [SECRET],
        "deep": {"authToken": {"x": SECRET, "n": 5}},
        "text": f"token={SECRET}",
        "plain": "x",
    }
    entry(lines, json.dumps({"arguments": arguments}).encode(), shows_arguments=True).end("ok")
    entry(lines, b'{"arguments":"' + b"x" * 20_000 + b'"}', shows_arguments=True).end("ok")

    assert SECRET not in json.dumps(lines)
    assert lines[0]["arguments"]["plain"] == "x" and lines[0]["arguments"]["password"] == "[redacted]"
    assert lines[1]["arguments"] == "(20002 bytes)"


def test_a_resource_is_named_without_the_secrets_in_its_address():
    lines = Lines()
    entry(lines, b'{"uri": "https://user:hunter2-hunter2@host/x?access_token=hunter3-hunter3&page=2"}', "resources/read").end("ok")

    assert "hunter" not in json.dumps(lines)
    assert lines[0]["resource"].startswith("https://") and "host/x" in lines[0]["resource"]


def test_a_refusal_names_its_rule():
    lines = Lines()
    entry(lines, b"{}").refuse(Refusal(200, 0, "", reason=Reason.POLICY), "*/x: deny")
    entry(lines, b"{}").refuse(Refusal(429, 0, "", reason=Reason.LIMIT))
    entry(lines, b"{}").refuse(Refusal(404, 0, "", reason=Reason.SESSION))

    assert [(line["outcome"], line["rule"]) for line in lines] == [("denied", "*/x: deny"), ("limited", "limit"), ("refused", "session")]


# -- the file -------------------------------------------------------------------------------------------------------------------


class Told(list):
    def __call__(self, text: str, **facts) -> None:
        self.append((text, facts))


def log(path, told=None, longest=0, kept=2, is_required=False, clock=lambda: 0.0) -> AuditLog:
    return AuditLog(str(path), longest, kept, is_required, clock, told if told is not None else Told())


def test_files_are_rotated_by_size_and_so_many_kept(tmp_path):
    path = tmp_path / "audit"
    audit = log(path, longest=20)
    for number in range(9):
        assert audit.write(b"line %d..\n" % number)

    assert sorted(os.listdir(tmp_path)) == ["audit", "audit.1", "audit.2"]
    assert [(tmp_path / name).read_text().split() for name in ("audit.2", "audit.1", "audit")] == [
        ["line", "4..", "line", "5.."],
        ["line", "6..", "line", "7.."],
        ["line", "8.."],
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_full_disk_is_counted_and_told_once_and_calls_go_on(tmp_path):
    told = Told()
    audit = log("/dev/full", told)

    assert [audit.write(b"x\n") for _ in range(3)] == [False] * 3
    assert audit.may_go_on()
    assert audit.lost == 3 and len(told) == 1
    assert told[0][1]["why"] == "No space left on device"


def test_a_long_line_for_a_pipe_that_nobody_reads_holds_nobody_up(monkeypatch):
    """A pipe that takes a byte may not take more than PIPE_BUF of them at once (pipe(7))."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 16384)
    monkeypatch.setattr("sys.stdout", SimpleNamespace(fileno=lambda: writing))
    log = AuditLog("-", 0, 0, False, lambda: 0.0, lambda *words, **facts: None)
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.extend(log.write(b"x" * 8999 + b"\n") for _ in range(3)), daemon=True)
    thread.start()
    thread.join(10)

    assert found == [True, False, False]
    assert os.read(reading, 1 << 16).count(b"\n") == 1
    assert log.write(b"next\n")
    assert os.read(reading, 1 << 16) == b"\nnext\n"
    os.close(reading)
    os.close(writing)


def test_calls_are_refused_while_a_required_audit_cannot_be_written(tmp_path):
    now, told = [0.0], Told()
    audit = log("/dev/full", told, is_required=True, clock=lambda: now[0])
    assert audit.may_go_on()
    audit.write(b"x\n")

    assert not audit.may_go_on()
    audit.path = str(tmp_path / "audit")
    audit.reopen()
    assert not audit.may_go_on()
    now[0] = 2.0
    assert audit.may_go_on()
    assert json.loads((tmp_path / "audit").read_text()) == {"outcome": "audit resumed", "lost": 1}
    assert told[-1][0] == "the audit is written again"


def test_a_place_that_is_none_is_refused_by_name(tmp_path):
    with pytest.raises(UsageError, match="--audit: .*nowhere/audit: No such file"):
        log(tmp_path / "nowhere" / "audit")


# -- the command ------------------------------------------------------------------------------------------------------------------


def test_the_command_reads_all_files_in_order_and_skips_what_a_crash_left(tmp_path, capsys):
    one, two = tmp_path / "one", tmp_path / "two"
    (tmp_path / "one.1").write_text('{"time":"2026-01-01T00:00:00.000Z","tool":"a","caller":"x"}\n')
    one.write_text('{"time":"2026-01-03T00:00:00.000Z","tool":"b\\nforged","caller":"y"}\n{"time":"2026-01-04T0')
    two.write_text('{"time":"2026-01-02T00:00:00.000Z","tool":"c","caller":"x"}\n\n[]\n')

    def read(*options: str) -> list[str]:
        assert main(["audit", str(one), str(two), *options]) == 0
        return capsys.readouterr().out.splitlines()

    assert [json.loads(line)["tool"] for line in read("--json")] == ["a", "c", "b\nforged"]
    assert [json.loads(line)["tool"] for line in read("--json", "--caller", "x", "--since", "2026-01-02")] == ["c"]
    assert [json.loads(line)["tool"] for line in read("--json", "--tool", "b*")] == ["b\nforged"]
    assert len(read()) == 3
    assert main(["audit", str(tmp_path / "missing")]) == 2
    assert main(["audit", str(one), "--since", "yesterday"]) == 2


def test_calls_that_overlapped_are_told_in_the_order_in_which_they_began(tmp_path, capsys):
    """Each is written down when it ends."""
    file, ended = tmp_path / "audit", [3, 1, 2, None, 0, 4]
    lines = [{"outcome": "audit resumed"} if second is None else {"time": f"2026-11-26T08:00:0{second}.000Z"} for second in ended]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert main(["audit", "--json", str(file)]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told == [lines[number] for number in (4, 1, 2, 3, 0, 5)]


# -- served -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["strict", "litellm"])
def audited(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    hash = hashlib.sha256(TOKEN.encode()).hexdigest()
    may = {"echo/*": "execute", "echo/add": "read", "echo/pid": "deny"}
    (folder / "callers.json").write_text(json.dumps({"callers": {"alice": {"token_sha256": hash, "may": may}}}))
    options = ("--callers", folder / "callers.json", "--audit", folder / "audit", "--name", "echo", "--profile", request.param)
    with Bridge(zoo("echo"), *options) as bridge:
        bridge.audit = folder / "audit"
        yield bridge


def written(bridge, count: int) -> list[dict]:
    lines = bridge.audit.read_text().splitlines()
    return [json.loads(line) for line in lines[count:]]


@pytest.mark.parametrize("way", WAYS)
def test_each_call_leaves_one_line_on_every_way_in(audited, connect, way):
    before = len(audited.audit.read_text().splitlines())
    client = connect(WAYS[way], audited.url, headers={"authorization": f"Bearer {TOKEN}", "x-litellm-user-id": "bob"})
    assert text(client.call("echo", message=SECRET)) == SECRET
    client.call("fail", message="no")
    client.call("add", a=1, b=2)
    client.call("pid")
    client.request("tools/list")

    lines = eventually(lambda: len(found := written(audited, before)) >= 6 and found)
    calls = [(line["method"], line.get("tool"), line["outcome"], line.get("rule")) for line in lines]
    assert calls == [
        ("server/discover" if way == "modern" else "initialize", None, "ok", None),
        ("tools/call", "echo", "ok", None),
        ("tools/call", "fail", "tool_error", None),
        ("tools/call", "add", "denied", "echo/add: read"),
        ("tools/call", "pid", "denied", "echo/pid: deny"),
        ("tools/list", None, "ok", None),
    ]
    assert {(line["caller"], line["address"], line["mcp"], line["client"], line["user"]) for line in lines} == {
        ("alice", "127.0.0.1", "echo", lines[0]["client"], "bob")
    }
    assert all(line["ms"] > 0 and line["bytes_in"] > 0 for line in lines)
    assert lines[1]["bytes_out"] > len(SECRET)
    assert SECRET not in audited.audit.read_text() and TOKEN not in audited.audit.read_text()


def test_a_batch_leaves_a_line_for_each_of_its_calls(audited, connect):
    client = connect(Http, audited.url, headers={"authorization": f"Bearer {TOKEN}"}, version="2025-03-26")
    before = len(audited.audit.read_text().splitlines())
    names = ("echo", "pid", "echo")
    client.post(
        [
            {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": name, "arguments": {"message": "hi"}}}
            for number, name in enumerate(names)
        ]
    )

    lines = eventually(lambda: len(found := written(audited, before)) >= 3 and found)
    assert sorted((line["tool"], line["outcome"]) for line in lines) == [("echo", "ok"), ("echo", "ok"), ("pid", "denied")]


@pytest.mark.parametrize("way", [Http, Ws])
def test_a_batch_that_is_refused_as_a_whole_leaves_a_line_for_each_of_its_calls(audited, connect, way):
    client = connect(way, audited.url, headers={"authorization": f"Bearer {TOKEN}"}, version="2025-06-18")
    before = len(audited.audit.read_text().splitlines())
    batch = [call_of("echo", 1), {"jsonrpc": "2.0", "method": "notifications/cancelled"}, call_of("pid", 2)]
    client.send(batch) if way is Ws else client.post(batch)

    lines = eventually(lambda: len(found := written(audited, before)) >= 2 and found)
    assert [(line["tool"], line["outcome"], line["caller"], line["client"]) for line in lines] == [
        ("echo", "refused", "alice", lines[0]["client"]),
        ("pid", "refused", "alice", lines[0]["client"]),
    ]


def call_of(name: str, id: int) -> dict:
    return {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": {"message": "hi"}}}


def test_a_call_that_is_refused_unread_leaves_a_line(audited, connect):
    client = connect(Http, audited.url, headers={"authorization": f"Bearer {TOKEN}"})
    before = len(audited.audit.read_text().splitlines())
    client.post(call_of("echo", 1), {"content-type": "text/plain", "accept": "text/html"})
    client.post(call_of("echo", 2) | {"params": {"name": "echo", "arguments": {"message": "x" * 8_400_000}}})
    client.post("no JSON at all")

    lines = eventually(lambda: len(found := written(audited, before)) >= 2 and found)
    assert {(line["method"], line["outcome"]) for line in lines} <= {("tools/call", "refused"), ("tools/call", "ok")}
    assert lines[-1] == lines[-1] | {"method": "tools/call", "outcome": "refused"}


def test_who_asks_for_an_mcp_that_is_hidden_from_him_is_written_down(start, tmp_path):
    hash = hashlib.sha256(TOKEN.encode()).hexdigest()
    callers = {"alice": {"token_sha256": hash, "default": "read", "may": {"echo/*": "deny"}}}
    (tmp_path / "callers.json").write_text(json.dumps({"callers": callers}))
    bridge = start("echo", options=["--callers", tmp_path / "callers.json", "--audit", tmp_path / "audit", "--name", "echo"])
    for path in ("/mcp", "/sse"):
        bridge.http.post(path, headers={"authorization": f"Bearer {TOKEN}"}, json=call_of("echo", 1))

    lines = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    assert [(line["caller"], line["mcp"], line["outcome"], line["rule"]) for line in lines] == [
        ("alice", "echo", "denied", "echo/*: deny")
    ] * 2


def test_calls_are_refused_where_they_must_be_written_down_and_cannot(start, connect):
    bridge = start("echo", options=["--audit", "/dev/full", "--audit-required"])
    client = connect(Http, bridge.url)

    answer = client.post({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "echo", "arguments": {"message": "x"}}})

    assert answer.status_code == 503
    assert "--audit-required" in answer.json()["error"]["message"]
    assert any("the audit cannot be written" in line for line in bridge.log)


# -- what may come in a flood -------------------------------------------------------------------------------------------------------


def test_a_flood_is_a_line_at_once_and_a_sum_a_minute_and_bounded_however_many_take_part():
    lines, now = Lines(), [0.0]
    sums = Sums(lines, lambda: now[0])
    wrong = Refusal(401, -32600, "a bearer token is needed", reason=Reason.TOKEN)
    for number in range(5000):
        sums.refused(wrong, f"10.0.{number % 250}.1")
    assert len(lines) == MOST + 1
    assert lines[0] == lines[0] | {"address": "10.0.0.1", "outcome": "refused", "rule": "token", "why": wrong.message}
    assert (lines[-1]["address"], lines[-1].get("count")) == ("many", None)

    now[0] = 59
    sums.sweep()
    assert len(lines) == MOST + 1
    now[0] = 61
    sums.sweep()
    counted = lines[MOST + 1 :]
    assert sum(line["count"] for line in counted) == 5000 - (MOST + 1)
    assert {line["count"] for line in counted if line["address"] != "many"} == {19}

    now[0] = 200
    sums.sweep()
    assert len(lines) == 2 * (MOST + 1)  # nobody came again, so all are forgotten
    sums.refused(wrong, "10.0.0.1")
    sums.refused(wrong, "10.0.0.1")
    sums.flush()
    assert [line.get("count") for line in lines[-2:]] == [None, 1]


def test_of_a_caller_that_asks_too_often_some_lines_are_whole_and_the_rest_is_a_sum():
    lines = Lines()
    audit = Audit(lines, "time", b"k", sums=Sums(lines, lambda: 0.0))
    for number in range(100):
        request = Request(b"POST", {}, b"", b"", "alice" if number % 2 else "bob", [], address="10.0.0.1")
        audit.begin(Envelope(method="ping"), request, 10).refuse(Refusal(429, -32603, "often", reason=Reason.LIMIT))
    audit.sums.flush()

    assert [line["outcome"] for line in lines] == ["limited"] * (2 * WHOLE + 2)
    assert [(line["caller"], line["count"]) for line in lines[-2:]] == [("bob", 50 - WHOLE), ("alice", 50 - WHOLE)]


def test_of_ipv6_a_network_counts_as_one_address_for_each_kind_of_flood():
    """Whoever has one address has 2^64, and would take the lines of a hundred others."""
    lines = Lines()
    sums = Sums(lines, lambda: 0.0)
    audit = Audit(lines, "time", b"k", sums=sums)
    for number in range(3 * MOST):
        address = f"2001:db8::{number:x}" if number else "2001:db8::"
        sums.refused(Refusal(403, -32600, "Host 'x' is not allowed here", reason=Reason.HOST), address)
        sums.not_there("nowhere", "", address)
        request = Request(b"POST", {}, b"", b"", "", [], address=address)
        audit.begin(Envelope(method="ping"), request, 10).refuse(Refusal(429, -32603, "often", reason=Reason.LIMIT))
    sums.flush()

    assert [line["address"] for line in lines] == ["2001:db8::"] * 6
    assert [line.get("count") for line in lines] == [None] * 3 + [3 * MOST - 1] * 3


def test_a_line_of_a_flood_that_is_lost_is_counted_as_any_other():
    audit = Audit(Full(), "time", b"k", sums=Sums(Full(), lambda: 0.0))
    for _ in range(2):
        request = Request(b"POST", {}, b"", b"", "", [], address="10.0.0.1")
        audit.begin(Envelope(method="ping"), request, 10).refuse(Refusal(429, -32603, "often", reason=Reason.LIMIT))

    assert audit.lost == 1


def test_what_comes_no_further_than_the_gate_has_a_line(tmp_path, capsys):
    """A wrong key, none, an expired JWT, a foreign Host and Origin, a header twice, an MCP that is not there or hidden, one's rate."""
    command, *words = zoo("echo")
    (tmp_path / "mcps.json").write_text(
        json.dumps({"mcpServers": {name: {"command": command, "args": words} for name in ("echo", "other")}})
    )
    hash = hashlib.sha256(TOKEN.encode()).hexdigest()
    alice = {"token_sha256": hash, "may": {"echo/*": "execute"}, "limits": {"requests": 0.001, "burst": 1}}
    (tmp_path / "callers.json").write_text(json.dumps({"callers": {"alice": alice}}))
    audit = tmp_path / "audit"
    with Issuer().serving() as issuer:
        options = ("--callers", tmp_path / "callers.json", "--audit", audit, "--oidc-issuer", issuer.url, "--audience", AUDIENCE)
        with Bridge(None, "--config", tmp_path / "mcps.json", *options) as bridge:

            def ask(path: str = "/echo/mcp", key: str = TOKEN, method: str = "POST", **headers) -> int:
                shown = [("authorization", f"Bearer {key}")] if key else []
                more = [(name.replace("_", "-"), value) for name, value in headers.items()]
                return bridge.http.request(method, path, headers=[*shown, *more], json=call_of("echo", 1)).status_code

            assert [ask(key="wrong-0123456789-0123456789") for _ in range(3)] == [401] * 3
            assert [ask(key=""), ask(key=issuer.token(exp=1)), ask(host="evil.example.com")] == [401, 401, 403]
            assert [ask(origin="https://evil.example.com"), ask(path="/nothing/mcp"), ask(path="/other/ws", method="GET")] == [
                403,
                404,
                404,
            ]
            assert [ask(authorization="Bearer two")] == [400]
            assert [ask("/-/reload", key="wrong-admin-0123456789"), ask("/-/reload")] == [401, 403]
            ask()
            assert [ask(), ask(method="GET", accept="text/event-stream")] == [429, 429]
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    found = [(line["outcome"], line.get("rule"), line.get("caller"), line.get("mcp"), line.get("count")) for line in lines]

    assert found == [
        ("refused", "token", None, None, None),  # a wrong key
        ("refused", "token", None, None, None),  # an expired one
        ("refused", "host", None, None, None),
        ("refused", "origin", None, None, None),
        ("refused", "unknown MCP", "alice", "nothing", None),
        ("denied", "default: deny", "alice", "other", None),
        ("refused", found[6][1], None, None, None),
        ("refused", "token", None, None, None),  # of no admin
        ("refused", "token", "alice", None, None),
        ("refused", "session", "alice", "echo", None),
        ("limited", "limit", "alice", "echo", None),
        ("limited", "limit", "alice", "echo", None),
        ("refused", "token", None, None, 3),  # two of the wrong keys, and none
    ]
    assert all(line["address"] == "127.0.0.1" for line in lines)
    assert (lines[1]["why"], "evil.example.com" in lines[2]["why"]) == ("the token has expired", True)
    assert TOKEN not in audit.read_text() and "wrong-0123" not in audit.read_text()
    assert main(["audit", str(audit), "--outcome", "refused"]) == 0
    assert "3 more" in capsys.readouterr().out
