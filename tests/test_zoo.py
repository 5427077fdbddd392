"""Each child of the zoo does what its docstring says. Over raw pipes: no bridge here."""

import json
import os
import queue
import signal
import subprocess
import threading
import time
from contextlib import suppress

import pytest
from support import eventually, text, zoo

HANDSHAKE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "zoo", "version": "1"}}


class Pipes:
    """A child, its lines as they come, and just enough MCP to call it."""

    def __init__(self, name, *arguments, handshake=True):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(zoo(name, *arguments), stdin=pipe, stdout=pipe, stderr=pipe)
        self.lines, self.last_id, self.others, self.errors = queue.SimpleQueue(), 0, [], []
        threading.Thread(target=self.read_lines, daemon=True).start()
        threading.Thread(target=self.read_errors, daemon=True).start()
        if handshake:
            self.initialized = self.request("initialize", HANDSHAKE)
            self.notify("notifications/initialized")

    def read_lines(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def read_errors(self):
        while block := self.process.stderr.read1(1 << 16):
            self.errors.append(block)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait(5)

    def send(self, message):
        line = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n"
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def notify(self, method, **params):
        self.send({"method": method, "params": params})

    def begin(self, method, params=None):
        self.last_id += 1
        self.send({"id": self.last_id, "method": method, "params": params or {}})
        return self.last_id

    def request(self, method, params=None):
        return self.answer(self.begin(method, params))

    def call(self, tool, **arguments):
        return self.request("tools/call", {"name": tool, "arguments": arguments})

    def begin_call(self, tool, **arguments):
        return self.begin("tools/call", {"name": tool, "arguments": arguments})

    def answer(self, id):
        while True:
            message = self.next()
            if message.get("id") == id and "method" not in message:
                return message
            self.others.append(message)

    def next(self, timeout=5):
        """The next line that is a message."""
        while True:
            line = self.next_line(timeout)
            if line is None:
                raise EOFError(b"".join(self.errors))
            with suppress(ValueError, RecursionError):
                message = json.loads(line)
                if isinstance(message, dict):
                    return message

    def next_line(self, timeout=5):
        return self.lines.get(timeout=timeout)

    def stderr(self):
        return b"".join(self.errors)


def test_echo_has_everything_that_a_server_of_the_handshake_era_can_have():
    with Pipes("echo", "--pages", 3, "--instructions", "be kind") as child:
        assert child.initialized["result"]["instructions"] == "be kind"
        assert text(child.call("echo", message="hi")) == "hi"
        assert text(child.call("add", a=2, b=3)) == "5"
        assert child.call("fail")["result"]["isError"] is True
        assert child.call("error")["error"]["code"] == -32000
        assert child.call("typed", value=4)["result"]["structuredContent"] == {"value": 4}
        assert json.loads(text(child.call("env")))["PATH"]
        assert int(text(child.call("pid"))) == child.process.pid
        assert len(text(child.call("huge", bytes=300_000))) == 300_000
        assert "\u2028" in text(child.call("unicode"))
        child.begin_call("raw", result='{"content": [],  "n": 1e400}')
        assert child.next_line().endswith(b'"result":{"content": [],  "n": 1e400}}\n')
        received = json.loads(text(child.call("received")))
        assert json.loads(received[0])["method"] == "initialize"
        assert child.request("resources/read", {"uri": "test://one"})["result"]["contents"][0]["text"] == "first"
        assert child.request("prompts/get", {"name": "greet"})["result"]["messages"]
        completion = {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": "al"}}
        assert child.request("completion/complete", completion)["result"]["completion"]["total"] == 2
        assert child.request("no/such")["error"]["code"] == -32601

        names, cursor = [], {}
        for _ in range(3):
            page = child.request("tools/list", cursor)["result"]
            names += [tool["name"] for tool in page["tools"]]
            cursor = {"cursor": page.get("nextCursor")}
        assert cursor == {"cursor": None}
        assert {"echo", "change", "received"} < set(names)


def test_echo_sends_every_notification():
    with Pipes("echo") as child:
        assert text(child.call("touch", uri="test://one")) == "nobody subscribed"
        child.request("resources/subscribe", {"uri": "test://one"})
        assert text(child.call("touch", uri="test://one")) == "told"
        child.call("log", level="info", count=2)
        child.request("logging/setLevel", {"level": "error"})
        child.call("log", level="info")
        child.call("change")
        child.request("tools/call", {"name": "progress", "arguments": {"steps": 2}, "_meta": {"progressToken": "t"}})
        slow, fast = child.begin_call("slow", seconds=30), child.begin("ping")
        assert child.next()["id"] == fast
        child.notify("notifications/cancelled", requestId=slow)
        child.request("ping")
    methods = [message["method"].rpartition("/")[2] for message in child.others]
    assert methods == ["updated", "message", "message", "list_changed", "progress", "progress"]


@pytest.mark.parametrize(
    ("options", "after_term", "after_eof"),
    [((), None, None), (("--only", "term"), None, 0), (("--only", "eof"), -15, None), (("--slow-eof", 0.2), -15, 0)],
)
def test_deaf_outlives_sigterm_and_the_end_of_its_input(options, after_term, after_eof):
    with Pipes("deaf", *options) as child:
        child.process.send_signal(signal.SIGTERM)
        assert exit_code(child, 0.25 if after_term is None else 5) == after_term
    with Pipes("deaf", *options) as child:
        child.process.stdin.close()
        assert exit_code(child, 0.25 if after_eof is None else 5) == after_eof


def exit_code(child, seconds=0.2):
    with suppress(subprocess.TimeoutExpired):
        return child.process.wait(seconds)


def test_dies_ends_in_the_middle_of_a_call():
    for call, code in [
        (("die", {"code": 7}), 7),
        (("die", {"code": -9}), -9),
        (("die_after", {"seconds": 0.05, "code": 4}), 4),
        (("die_mid_line", {}), 3),
    ]:
        with Pipes("dies") as child:
            child.begin_call(call[0], **call[1])
            assert exit_code(child, 5) == code
    with Pipes("dies") as child:
        child.begin_call("close_stdout")
        assert child.next_line() is None
        assert exit_code(child, 0.1) is None


def test_dies_at_start_exits_before_it_answers_for_the_first_times(tmp_path):
    file = tmp_path / "starts"
    options = ["--times", 2, "--count-file", file, "--code", 9, "--says", "no key", "--on-stdout"]
    for _ in range(2):
        with Pipes("dies_at_start", *options, handshake=False) as child:
            assert child.next_line() == b"no key\n"
            assert exit_code(child, 5) == 9
            eventually(lambda child=child: child.stderr() == b"no key\n")
    with Pipes("dies_at_start", *options) as child:
        assert text(child.call("echo", message="third")) == "third"
    with Pipes("dies_at_start", "--after", 0.05) as child:
        assert exit_code(child, 5) == 1


def test_never_answers_reads_initialize_and_says_nothing():
    with Pipes("never_answers", "--ignore-eof", handshake=False) as child:
        child.begin("initialize", HANDSHAKE)
        with pytest.raises(queue.Empty):
            child.next_line(0.2)
        child.process.stdin.close()
        assert exit_code(child) is None
    with Pipes("never_answers", "--wedged-after", 1) as child:
        child.request("ping")
        child.begin("ping")
        with pytest.raises(queue.Empty):
            child.next_line(0.2)


def test_slow_start_reads_nothing_before_its_time():
    started = time.monotonic()
    with Pipes("slow_start", 0.3):
        assert time.monotonic() - started > 0.3


def test_chatty_writes_noise_before_each_of_its_messages():
    with Pipes("chatty", handshake=False) as child:
        assert child.next_line() == b"\n"
        assert child.next()["params"]["data"] == "early"
        child.request("initialize", HANDSHAKE)
        for number in range(40):
            assert text(child.call("echo", message=str(number))) == str(number)
        assert int(text(child.call("noise"))) == 4 + 41  # not the one before this answer


def test_half_lines_cuts_its_messages_inside_of_characters():
    with Pipes("half_lines") as child:
        child.begin_call("unicode")
        line = child.next_line()
        assert line.endswith(b"}\r\n")
        assert "\U0001f600" in text(json.loads(line))


def test_flood_sends_thousands_of_log_notifications_in_one_call():
    with Pipes("flood") as child:
        child.call("flood", count=5000, bytes=50)
        assert len(child.others) == 5000
        assert len(child.others[0]["params"]["data"]) == 50


def test_asks_has_requests_of_its_own_with_ids_from_zero():
    with Pipes("asks", "--at-start", "--linger") as child:
        asked = child.next()
        assert asked == {"jsonrpc": "2.0", "id": 0, "method": "roots/list"}
        child.send({"id": 0, "result": {"roots": []}})
        answers = eventually(lambda: json.loads(text(child.call("answers"))))
        assert answers[0]["result"] == {"roots": []}

        call = child.begin_call("two_asks")
        first, second = child.next(), child.next()
        assert [first["method"], second["method"]] == ["sampling/createMessage", "elicitation/create"]
        child.send({"id": second["id"], "result": {"n": 2}})
        child.send({"id": first["id"], "error": {"code": -1, "message": "no"}})
        both = json.loads(text(child.answer(call)))
        assert [both[0]["error"]["code"], both[1]["result"]] == [-1, {"n": 2}]

        assert child.call("url_required")["error"]["code"] == -32042
        child.call("give_up")
        assert child.others[-1]["params"]["requestId"] == child.others[-2]["id"]
        child.process.stdin.close()
        assert exit_code(child) is None  # the ask that it gave up has no answer


def test_stateful_remembers_from_call_to_call():
    with Pipes("stateful") as child:
        child.call("next")
        assert json.loads(text(child.call("next"))) == {"count": 2, "pid": child.process.pid}
        child.call("remember", key="a", value="b")
        assert json.loads(text(child.call("recall", key="a")))["value"] == "b"


def test_stderr_flood_writes_a_megabyte_to_stderr_before_it_answers():
    with Pipes("stderr_flood", "--words", "hush") as child:
        child.call("echo", message="hi")
        assert eventually(lambda: child.stderr().count(b"hush") == 10)
        assert child.stderr().startswith(b"e" * (1 << 20))


@pytest.mark.parametrize("daemon", [False, True])
def test_grandchild_leaves_a_process_that_outlives_it(daemon):
    with Pipes("grandchild", *(["--daemon"] if daemon else [])) as child:
        own, below = json.loads(text(child.call("pids")))
        eventually(lambda: b"asleep" in child.stderr())
        assert (os.getpgid(below) == os.getpgid(own)) is not daemon
        child.begin_call("die")
        assert exit_code(child, 5) == 3
        os.kill(below, signal.SIGTERM)
        time.sleep(0.1)
        os.kill(below, 0)  # still there
        os.kill(below, signal.SIGKILL)


def test_wrapper_passes_no_signal_on():
    with Pipes("wrapper", "deaf", "--only", "eof") as child:
        below = int(text(child.call("pid")))
        child.process.send_signal(signal.SIGTERM)
        child.process.wait(5)
        child.process.stdin.close()
        time.sleep(0.1)
        os.kill(below, 0)
        os.kill(below, signal.SIGTERM)


def test_serial_answers_one_request_after_the_other():
    with Pipes("serial") as child:
        call, ping = child.begin_call("slow", seconds=0.2), child.begin("ping")
        assert [child.next()["id"], child.next()["id"]] == [call, ping]
    with Pipes("serial", "--parallel-ping") as child:
        calls = [child.begin_call("slow", seconds=0.1), child.begin_call("echo", message="waits")]
        ping = child.begin("ping")
        assert [child.next()["id"] for _ in range(3)] == [ping, *calls]


def test_loses_data_loses_increments_that_come_at_once(tmp_path):
    with Pipes("loses_data", tmp_path / "count") as child:
        for _ in range(10):
            child.begin_call("increment")
        for _ in range(10):
            assert child.next()["result"]["isError"] is False
        assert 1 <= int(text(child.call("value"))) < 10


@pytest.mark.parametrize("options", [[], ["--id-last"]])
def test_long_line_writes_as_long_a_line_as_it_is_asked_for(options):
    with Pipes("long_line", *options) as child:
        id = child.begin_call("long", bytes=200_000)
        line = child.next_line()
        assert len(line) == 200_000
        assert json.loads(line)["id"] == id
        assert line.startswith(b'{"result"' if options else b'{"jsonrpc"')
        child.begin_call("long_notice", bytes=1000)
        assert len(child.next_line()) == 1000


def test_late_answers_what_was_cancelled_and_what_nobody_asked():
    with Pipes("late") as child:
        call = child.begin_call("late", seconds=0.05)
        child.notify("notifications/cancelled", requestId=call)
        assert text(child.answer(call)) == "late"
        assert text(child.call("twice")) == "first"
        assert text(child.next()) == "second"
        id = child.begin_call("string_id")
        assert child.next()["id"] == str(id)
        child.call("stranger")
        child.call("null_id")
        assert [message.get("id") for message in child.others] == [987654321, "who", None]
        child.begin_call("never")
        child.request("ping")


def test_bad_results_has_a_line_for_each_kind_of_wrong_result():
    with Pipes("bad_results", "--bad-tools") as child:
        for number, kind in enumerate(json.loads(text(child.call("kinds")))):
            id = child.begin_call("bad_structured" if number % 2 else "bad", kind=kind)
            line = child.next_line()
            assert line.startswith(b'{"jsonrpc":"2.0","id":%d,' % id)
        assert "type" not in child.request("tools/list")["result"]["tools"][-4]["inputSchema"]
        child.call("break_list", how="error")
        assert child.request("tools/list")["error"]["code"] == -32603
        child.call("break_list", how="hang")
        child.begin("tools/list")
        child.call("break_list", how="fine")
        assert child.request("tools/list")["result"]["tools"]


def test_notify_sends_the_notifications_that_a_call_names():
    with Pipes("notify") as child:
        for tool in ("tools_changed", "prompts_changed", "resources_changed", "vendor"):
            child.call(tool)
        child.call("burst", method="notifications/tools/list_changed", count=3)
        assert len(child.others) == 7
        child.call("log_later", message="m", seconds=0.05)
        assert child.next()["params"]["data"] == "m"


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"[]\n",
        b'[{"jsonrpc":"2.0","method":"ping","id":5}]\n',
        b'\xef\xbb\xbf{"jsonrpc":"2.0","method":"ping","id":5}\n',
        b'{"method":"ping","id":5}\n',
        b'{"jsonrpc":"2.0","method":"ping","id":5,"params":null}\n',
        b'{"jsonrpc":"2.0","method":"ping","id":5,"params":[]}\n',
        b'{"jsonrpc":"2.0","method":"ping","id":5,"extra":1}\n',
        b'{"jsonrpc":"2.0","method":"ping","id":"5"}\n',
        b'{"jsonrpc":"2.0","method":"ping","id":1.5}\n',
        b'{"jsonrpc":"2.0","method":"ping","id":true}\n',
        b'{"jsonrpc":"2.0","method":"ping","id":5}{"jsonrpc":"2.0","method":"ping","id":6}\n',
        b'{"jsonrpc":"2.0","method":"ping","id":5,"params":{"x":' + b"[" * 600 + b"]" * 600 + b"}}\n",
        b'{"jsonrpc":"2.0","method":"ping","id":5,"params":{"x":"\xff"}}\n',
        b'{"jsonrpc":"2.0","id":77,"result":{}}\n',
        b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"m"}}\n',
    ],
    ids=lambda line: repr(line[:60]),
)
def test_strict_go_exits_at_a_line_that_is_not_one_message(line):
    with Pipes("strict_go", handshake=False) as child:
        child.send(line)
        assert exit_code(child, 5) == 1
        eventually(lambda: child.stderr().startswith(b"strict: "))


def test_strict_go_takes_what_is_right():
    with Pipes("strict_go") as child:
        brackets = '{"[' * 1000
        assert text(child.call("echo", message=brackets)) == brackets
        call = child.begin_call("sample")
        assert child.next()["id"] == 0
        child.send({"id": 0, "result": {"role": "assistant"}})
        assert "assistant" in text(child.answer(call))


def test_needs_initialized_exits_at_a_request_that_comes_too_early():
    with Pipes("needs_initialized") as child:
        assert text(child.call("echo", message="in order")) == "in order"
    with Pipes("needs_initialized", handshake=False) as child:
        child.begin("server/discover")
        assert exit_code(child, 5) == 1
    with Pipes("needs_initialized", handshake=False) as child:
        child.request("ping")
        child.request("initialize", HANDSHAKE)
        child.begin("logging/setLevel", {"level": "info"})
        assert exit_code(child, 5) == 1


def test_refuses_second_initialize_answers_it_with_an_error_or_exits():
    with Pipes("refuses_second_initialize") as child:
        assert child.request("initialize", HANDSHAKE)["error"]["code"] == 0
        assert child.request("ping")["result"] == {}
    with Pipes("refuses_second_initialize", "--exit") as child:
        child.begin("initialize", HANDSHAKE)
        assert exit_code(child, 5) == 1


# The revision 2026-07-28

MODERN = "io.modelcontextprotocol/"


def envelope(**capabilities):
    return {f"{MODERN}protocolVersion": "2026-07-28", f"{MODERN}clientCapabilities": capabilities}


class Modern(Pipes):
    """Pipes whose requests carry what a request of that revision must."""

    def __init__(self, name, *arguments):
        super().__init__(name, *arguments, handshake=False)
        self.can, self.meta = {}, {}

    def begin(self, method, params=None):
        params = params or {}
        return super().begin(method, params | {"_meta": envelope(**self.can) | self.meta | params.get("_meta", {})})


def test_modern_needs_no_handshake():
    with Modern("modern", "--instructions", "be kind") as child:
        found = child.request("server/discover")["result"]
        assert found["supportedVersions"] == ["2026-07-28"]
        assert found["instructions"] == "be kind"
        assert {"ttlMs", "cacheScope", "resultType", "capabilities", "_meta"} <= found.keys()
        assert found["_meta"][f"{MODERN}serverInfo"]["name"] == "modern"
        called = child.call("echo", message="hi")
        assert text(called) == "hi"
        assert called["result"]["resultType"] == "complete"
        assert child.request("tools/list")["result"]["ttlMs"] >= 0
        assert child.call("listed")["result"]["structuredContent"] == [1, 2]
        assert json.loads(text(child.call("headers", region="eu", count=3))) == {"region": "eu", "count": 3}
        assert json.loads(text(child.call("meta")))[f"{MODERN}clientCapabilities"] == {}
        child.begin_call("raw", result='{"content": [],  "n": 1e400}')
        assert child.next_line().endswith(b'"result":{"content": [],  "n": 1e400}}\n')
        assert child.request("resources/read", {"uri": "test://nowhere"})["error"]["code"] == -32602


def test_modern_refuses_what_is_gone_and_what_has_no_envelope():
    with Modern("modern") as child:
        for method in ("initialize", "ping", "logging/setLevel", "resources/subscribe"):
            assert child.request(method)["error"]["code"] == -32601
        old = child.request("tools/list", {"_meta": {f"{MODERN}protocolVersion": "2099-01-01"}})
        assert old["error"]["data"] == {"supported": ["2026-07-28"], "requested": "2099-01-01"}
        assert child.request("tools/list", {"_meta": {f"{MODERN}logLevel": "loud"}})["error"]["code"] == -32602
    for options, code in [((), -32022), (("--refuses", -32601), -32601)]:
        with Pipes("modern", *options) as child:
            assert child.initialized["error"]["code"] == code
            assert child.request("tools/list")["error"]["code"] == -32602


def test_modern_logs_only_for_who_asked():
    with Modern("modern") as child:
        child.call("log", level="error")
        child.meta = {f"{MODERN}logLevel": "warning", "progressToken": 7}
        child.call("log", level="info")
        child.call("log", level="error", count=2)
        child.call("progress", steps=1)
    assert [m["method"].rpartition("/")[2] for m in child.others] == ["message", "message", "progress"]


def test_modern_tells_changes_to_who_listens():
    with Modern("modern", "--no", "prompts") as child:
        child.call("change")
        wishes = {"toolsListChanged": True, "promptsListChanged": True, "resourceSubscriptions": ["test://one"]}
        listen = child.begin("subscriptions/listen", {"notifications": wishes})
        acknowledged = child.next()
        assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
        assert acknowledged["params"]["notifications"] == {"toolsListChanged": True, "resourceSubscriptions": ["test://one"]}
        child.call("change")
        child.call("touch", uri="test://one")
        assert text(child.call("touch", uri="test://two")) == "nobody subscribed"
        assert [m["method"].rpartition("/")[2] for m in child.others] == ["list_changed", "updated"]
        assert {m["params"]["_meta"][f"{MODERN}subscriptionId"] for m in child.others} == {listen}
        child.notify("notifications/cancelled", requestId=listen)
        assert json.loads(text(child.call("listens"))) == []
        child.others.clear()
        listen = child.begin("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        child.call("end_listens")
        ended = child.others[-1]
        assert [ended["id"], ended["result"]["_meta"][f"{MODERN}subscriptionId"]] == [listen, listen]


def test_a_dual_child_speaks_both_eras():
    with Pipes("modern", "--dual") as child:
        assert child.initialized["result"]["protocolVersion"] == "2025-11-25"
        assert child.request("server/discover", {"_meta": envelope()})["result"]["supportedVersions"]
        assert "resultType" not in child.call("echo", message="hi")["result"]
        called = child.request("tools/call", {"name": "echo", "arguments": {"message": "hi"}, "_meta": envelope()})
        assert called["result"]["resultType"] == "complete"
        child.call("log", level="info")
        child.call("change")
        assert [m["method"].rpartition("/")[2] for m in child.others] == ["message", "list_changed"]


def test_a_locked_child_stays_with_the_era_of_its_first_request():
    with Pipes("modern", "--locked") as child:
        assert child.request("ping")["result"] == {}
        assert child.request("server/discover", {"_meta": envelope()})["error"]["code"] == -32600
    with Pipes("modern", "--locked", handshake=False) as child:
        child.request("server/discover", {"_meta": envelope()})
        assert child.request("initialize", HANDSHAKE)["error"]["code"] == -32022


@pytest.mark.parametrize(
    "how", ["HANG", "WEDGE", "HALF", "DIE", "NONSENSE", "STRANGER", "EMPTY", "STRING", "NULL", "GARBAGE", "FLOOD", "-32601"]
)
def test_probed_takes_server_discover_badly_and_a_handshake_well(how):
    with Pipes("probed", "--probe", how, handshake=False) as child:
        probe = child.begin("server/discover", {"_meta": envelope()})
        if how == "DIE":
            assert exit_code(child, 5) == 1
        elif how in ("HANG", "WEDGE", "HALF"):
            with pytest.raises(queue.Empty):
                child.next_line(0.1)
        elif how == "GARBAGE":
            assert child.next_line().startswith(b"server/discover?")
        else:
            answer = child.answer(probe)
            assert ("error" in answer) == (how in ("FLOOD", "-32601"))
    with Pipes("probed", "--probe", how) as child:
        assert text(child.call("echo", message="as ever")) == "as ever"


def test_modern_asks_wants_input_before_it_answers():
    with Modern("modern_asks") as child:
        assert child.call("elicit")["error"]["data"] == {"requiredCapabilities": {"elicitation": {}}}
        child.can = {"elicitation": {}, "sampling": {}, "roots": {}}
        first = child.call("two")["result"]
        assert first["resultType"] == "input_required"
        assert first["inputRequests"].keys() == {"elicit", "sample"}
        assert "ttlMs" not in first
        given = {"elicit": {"action": "accept", "content": {}}, "sample": {"role": "assistant"}}
        again = {"name": "two", "arguments": {}, "inputResponses": given, "requestState": first["requestState"]}
        told = json.loads(text(child.request("tools/call", again)))
        assert told == {"answers": given, "state": first["requestState"]}

        state, answers = {}, {"inputResponses": {"elicit": {"action": "accept"}}}
        for _ in range(3):
            asked = child.request("tools/call", {"name": "rounds", "arguments": {}} | state)["result"]
            state = {"requestState": asked["requestState"]} | answers
        assert text(child.request("tools/call", {"name": "rounds", "arguments": {}} | state)) == "3 rounds"
        assert "inputRequests" not in child.call("state_only")["result"]
        assert child.request("prompts/get", {"name": "asking"})["result"]["inputRequests"]
        assert child.request("resources/read", {"uri": "ask://resource"})["result"]["inputRequests"]


def test_modern_tasks_answers_a_call_with_a_task():
    with Modern("modern_tasks") as child:
        assert text(child.call("work")) == "done at once"
        assert child.call("only_task")["error"]["code"] == -32021
        child.can = {"extensions": {f"{MODERN}tasks": {}}}
        begun = child.call("work")["result"]
        assert [begun["resultType"], begun["taskId"], begun["status"]] == ["task", "task-1", "working"]
        child.begin("subscriptions/listen", {"notifications": {"taskIds": ["task-1"]}})
        eventually(lambda: child.request("tasks/get", {"taskId": "task-1"})["result"]["status"] == "completed")
        asked = child.call("question")["result"]
        child.request("tasks/update", {"taskId": asked["taskId"], "inputResponses": {"go": {"action": "accept"}}})
        done = child.request("tasks/get", {"taskId": asked["taskId"]})["result"]
        assert "accept" in text(done)
        only = child.call("only_task")["result"]["taskId"]
        child.request("tasks/cancel", {"taskId": only})
        assert child.request("tasks/get", {"taskId": only})["result"]["status"] == "cancelled"
        assert child.request("tasks/get", {"taskId": "task-9"})["error"]["code"] == -32602


def test_tasks_answers_a_call_for_a_task_with_one():
    with Pipes("tasks") as child:
        assert text(child.call("work")) == "done at once"
        assert child.call("must")["error"]["code"] == -32601
        begun = child.request("tools/call", {"name": "must", "arguments": {"seconds": 0}, "task": {"ttl": 1000}})["result"]["task"]
        eventually(lambda: child.request("tasks/get", begun)["result"]["status"] == "completed")
        assert text(child.request("tasks/result", begun)) == "task-1 completed"
        assert child.request("tasks/list")["result"]["tasks"]
        assert child.others[0]["method"] == "notifications/tasks/status"


def test_round_trips_really_ask():
    with Pipes("round_trips", handshake=False) as child:
        child.request("initialize", HANDSHAKE | {"capabilities": {"elicitation": {}}})
        for method, name in [
            ("tools/call", "test_input_required_result_elicitation"),
            ("prompts/get", "test_input_required_result_prompt"),
            ("tools/call", "test_input_required_result_capabilities"),
        ]:
            request, asked = child.begin(method, {"name": name}), child.next()
            assert asked["method"] == "elicitation/create"
            child.send({"id": asked["id"], "result": {"action": "accept", "content": {"name": "Alice", "context": "c"}}})
            assert "result" in child.answer(request)
        call = child.begin_call("test_input_required_result_multiple_inputs")
        asks = [child.next() for _ in range(3)]
        assert [ask["params"]["_meta"]["mcp-bridge/key"] for ask in asks] == ["user_name", "greeting", "client_roots"]
        for ask in asks:
            child.send({"id": ask["id"], "error": {"code": -1, "message": "no"}})
        assert child.answer(call)["error"]["code"] == -32603


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","method":"tools/list","id":5}\n',
        b'{"jsonrpc":"2.0","method":"ping","id":5,"params":{"_meta":%b}}\n' % json.dumps(envelope()).encode(),
        b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n',
        b'{"jsonrpc":"2.0","id":0,"result":{}}\n',
        b"\n",
    ],
)
def test_strict_modern_exits_at_a_line_that_is_not_one_modern_message(line):
    with Modern("strict_modern") as child:
        assert text(child.call("echo", message="fine")) == "fine"
        child.send(line)
        assert exit_code(child, 5) == 1
        eventually(lambda: child.stderr().startswith(b"strict: "))


def test_the_journal_has_the_lines_of_all_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_JOURNAL", str(tmp_path / "journal"))
    for _ in range(2):
        with Pipes("echo", handshake=False) as child:
            child.request("ping")
    lines = [line.split(" ", 1) for line in (tmp_path / "journal").read_text().splitlines()]
    assert len({pid for pid, _ in lines}) == 2
    assert [json.loads(line)["method"] for _, line in lines] == ["ping", "ping"]
