"""Traces, as a receiver of OTLP gets them from a bridge that is used; and that they cost nothing where nobody asked."""

import json
import subprocess
import sys
import time

import pytest
from msgspec import Raw
from support import Bridge, Http, Modern, Sse, Ws, asks, eventually, text, zoo
from support.receiver import Receiver

from bridge.otel import Allowance
from bridge.protocol import trace_context
from bridge.protocol.envelope import peek
from bridge.protocol.trace_context import TraceContext, of_meta, parse, told
from bridge.serve.tracing import traces
from bridge.settings import UsageError

TRACE, SPAN, OTHER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
SECRET = "hunter2-hunter2-hunter2"
WAYS = {"http": Http, "sse": Sse, "ws": Ws, "modern": Modern}


class Lines(list):
    """A log."""

    def warning(self, event: str, **facts) -> None:
        self.append(event)

    info = warning


def given(message: dict) -> dict:
    """The `_meta` that the child got with its last call but the one that asks."""
    lines = [json.loads(line) for line in json.loads(text(message))]
    return [line["params"].get("_meta", {}) for line in lines if line.get("method") == "tools/call"][-2]


@pytest.fixture(scope="module")
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def bridge(receiver):
    with Bridge(zoo("echo"), env=receiver.env | {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"}) as bridge:
        yield bridge


def last(receiver: Receiver, trace: str):
    """The spans of one trace: ours, and its child's part."""
    ours = eventually(lambda: next((one for one in receiver.spans if one.trace == trace and one.kind == "server"), None))
    return ours, receiver.part_of(ours)


def new_trace() -> tuple[str, str]:
    trace = f"{time.time_ns():032x}"
    return trace, f"00-{trace}-{SPAN}-01"


# -- what W3C says -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "is_one"),
    [
        (PARENT, True),
        (PARENT.replace("-01", "-00"), True),
        ("cc" + PARENT[2:] + "-what-the-future-will-be-like", True),
        ("cc" + PARENT[2:] + ".what", False),
        (PARENT + "-more", False),
        (PARENT + "\n", False),
        (PARENT.upper(), False),
        ("ff" + PARENT[2:], False),
        (PARENT.replace(TRACE, "0" * 32), False),
        (PARENT.replace(SPAN, "0" * 16), False),
        (PARENT[:-1], False),
        ("", False),
    ],
)
def test_a_trace_is_taken_on_only_from_a_well_formed_traceparent(said, is_one):
    assert (parse(said) is not None) is is_one


@pytest.mark.parametrize("state", ["a=1,b=2", "x" * 513, "a=\r\n1", "a=\N{SNOWMAN}"])
def test_a_tracestate_that_is_none_does_not_end_the_trace(state):
    found = parse(PARENT, state)

    assert found is not None and found.state in ("", "a=1,b=2")


OURS = TraceContext(int(TRACE, 16), int(SPAN, 16), 1)


@pytest.mark.parametrize(
    ("params", "meta", "became"),
    [
        (b"", b"", {"_meta": {"traceparent": PARENT}}),
        (b"{}", b"", {"_meta": {"traceparent": PARENT}}),
        (b'{"name":"x"} ', b"", {"name": "x", "_meta": {"traceparent": PARENT}}),
        (b'{"name":"x","_meta":{}}', b"{}", {"name": "x", "_meta": {"traceparent": PARENT}}),
        (b'{"_meta":{"a":1,"TraceParent":"x"}}', b'{"a":1,"TraceParent":"x"}', {"_meta": {"a": 1, "traceparent": PARENT}}),
        (b'{"_meta":{"traceparent":"theirs"}}', b'{"traceparent":"theirs"}', {"_meta": {"traceparent": "theirs"}}),
        (b'{"_meta":7}', b"7", {"_meta": 7}),
        (b"[1]", b"", [1]),
    ],
)
def test_the_child_is_told_in_meta_and_the_rest_stays_as_it_came(params, meta, became):
    assert json.loads(bytes(told(Raw(params), Raw(meta), OURS))) == became


def test_what_a_client_says_to_the_child_is_replaced_where_a_span_of_ours_is_between_them():
    theirs = b'{"traceparent":"00-%b-%b-01","tracestate":"a=1","kept":[1.0]}' % (TRACE.encode(), OTHER.encode())
    became = told(Raw(b'{"n":1e2,"_meta":%b}' % theirs), Raw(theirs), OURS, over=True)

    assert of_meta(peek(became).meta) == OURS
    assert b'"kept":[1.0]' in bytes(became) and b'"n":1e2' in bytes(became) and b"tracestate" not in bytes(became)


# -- off -----------------------------------------------------------------------------------------------------------------------


def test_nothing_of_opentelemetry_is_imported_where_nobody_asked_for_it():
    code = "import sys, bridge.serve, bridge.serve.tracing; print([m for m in sys.modules if m.startswith(('opentelemetry', 'google'))])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "given",
    [{}, {"OTEL_SERVICE_NAME": "x"}, {"OTEL_SDK_DISABLED": "TRUE"}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}],
)
def test_the_standard_variables_switch_it_off(given):
    to = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"} if "SDK" in str(given) or "TRACES" in str(given) else {}

    assert traces(Lines(), to | given) is None


def test_a_missing_package_is_a_line_of_log_with_the_way_out_and_no_end(monkeypatch):
    monkeypatch.setitem(sys.modules, "bridge.otel", None)
    log = Lines()

    assert traces(log, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}) is None
    assert "mcp-bridge-fleet[otel]" in log[0]


def test_a_variable_that_says_nothing_of_use_is_told_before_anything_starts(monkeypatch):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")

    with pytest.raises(UsageError, match="OTEL_"):
        traces(Lines(), {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})


def test_where_it_is_off_a_header_is_passed_on_to_the_child_all_the_same():
    with Bridge(zoo("echo")) as bridge:
        for way in (Http, Modern):
            with way(bridge.url, headers={"traceparent": PARENT, "tracestate": "a=1"}) as client:
                client.call("echo", message="x")
                assert given(client.call("received")) == {"traceparent": PARENT, "tracestate": "a=1"}


# -- on ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_call_is_a_span_of_ours_and_one_of_its_childs_part_that_the_child_knows(bridge, receiver, way):
    trace, parent = new_trace()
    with WAYS[way](bridge.url) as client:
        client.request(
            "tools/call", {"name": "echo", "arguments": {"message": SECRET}, "_meta": {"traceparent": parent, "tracestate": "a=1"}}
        )
        told = given(client.call("received"))
    ours, part = last(receiver, trace)

    assert (ours.name, ours.parent, ours.state, ours.has_failed) == ("tools/call echo", SPAN, "a=1", False)
    assert (part.name, part.trace, part.state, part.has_failed) == ("tools/call echo", trace, "a=1", False)
    assert told["traceparent"] == f"00-{trace}-{part.id}-01" and told["tracestate"] == "a=1"
    assert ours.start <= part.start <= part.end <= ours.end
    assert ours.attributes["mcp.method.name"] == part.attributes["mcp.method.name"] == "tools/call"
    assert ours.attributes["gen_ai.tool.name"] == part.attributes["gen_ai.tool.name"] == "echo"
    assert ours.attributes["gen_ai.operation.name"] == "execute_tool"
    assert ours.attributes["mcp.protocol.version"] == ("2026-07-28" if way == "modern" else "2025-11-25")
    assert ours.attributes["network.protocol.name"] == ("websocket" if way == "ws" else "http")
    assert (ours.attributes["network.transport"], part.attributes["network.transport"]) == ("tcp", "pipe")
    assert ("mcp.session.id" in ours.attributes) is (way != "modern")
    assert {"service.name": "mcp-bridge", "deployment.environment.name": "test"}.items() <= ours.resource.items()


def test_headers_say_the_parent_where_meta_says_nothing_and_are_a_link_where_it_does(bridge, receiver):
    trace, parent = new_trace()
    around = f"00-{trace}-{OTHER}-01"
    with Http(bridge.url, headers={"traceparent": around}) as client:
        client.call("echo", message="x")
        ours, _ = last(receiver, trace)
        assert (ours.parent, ours.links) == (OTHER, [])

        receiver.spans.clear()
        inner, parent = new_trace()
        client.request("tools/call", {"name": "echo", "arguments": {"message": "x"}, "_meta": {"traceparent": parent}})
        ours, _ = last(receiver, inner)

    assert (ours.parent, ours.links) == (SPAN, [(trace, OTHER)])


def test_how_it_ended_is_its_status(bridge, receiver):
    def call(name: str, **arguments):
        trace, parent = new_trace()
        said = client.request("tools/call", {"name": name, "arguments": arguments, "_meta": {"traceparent": parent}})
        return said, *last(receiver, trace)

    with Http(bridge.url) as client:
        _, ours, part = call("fail", message=SECRET)
        assert ours.has_failed and part.has_failed and ours.attributes["error.type"] == "tool_error"

        _, ours, part = call("error", message=SECRET, code=-32001)
        assert ours.has_failed and part.has_failed
        assert ours.attributes["error.type"] == ours.attributes["rpc.response.status_code"] == "-32001"

        _, ours, _ = call("made-up-" + "x" * 50, message=SECRET)
        assert ours.has_failed and ours.name == "tools/call"  # names of spans are few, whatever clients make up

        trace, parent = new_trace()
        client.request("prompts/get", {"name": "greet", "_meta": {"traceparent": parent}})
        assert last(receiver, trace)[0].name == "prompts/get greet"

        trace, parent = new_trace()
        client.request("resources/read", {"uri": f"test://one?token={SECRET}#x", "_meta": {"traceparent": parent}})
        assert last(receiver, trace)[0].attributes["mcp.resource.uri"] == "test://one"
    said = json.dumps([[one.name, one.said, one.attributes, one.resource] for one in receiver.spans])

    assert SECRET not in said and client.session not in said  # neither arguments nor results nor what opens a session


def test_who_cancels_has_not_failed(bridge, receiver):
    trace, parent = new_trace()
    with Http(bridge.url) as client:
        client.begin("tools/call", {"name": "slow", "arguments": {"seconds": 20}, "_meta": {"traceparent": parent}}, id=77)
        eventually(lambda: bridge.status()["mcps"]["echo"]["in_flight"])
        client.notify("notifications/cancelled", {"requestId": 77})
        ours, part = last(receiver, trace)

    assert not ours.has_failed and "error.type" not in ours.attributes
    assert ours.attributes["mcp_bridge.outcome"] == part.attributes["mcp_bridge.outcome"] == "cancelled"


def test_a_child_that_dies_with_a_call_fails_both_spans_and_a_refusal_never_reaches_the_child(receiver):
    with Bridge(zoo("dies"), env=receiver.env) as bridge, Http(bridge.url) as client:
        trace, parent = new_trace()
        client.request("tools/call", {"name": "die", "arguments": {}, "_meta": {"traceparent": parent}})
        ours, part = last(receiver, trace)
        assert ours.has_failed and part is not None and ours.attributes["error.type"] == "lost"

        trace, parent = new_trace()
        call = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "die", "_meta": {"traceparent": parent}}}
        assert client.post(call, {"mcp-session-id": "made up"}).status_code == 404
        ours, part = last(receiver, trace)

    assert ours.has_failed and part is None and ours.attributes["mcp_bridge.refused"] == "session"


def test_a_modern_call_that_is_asked_something_has_a_span_for_each_of_its_requests(receiver):
    with Bridge(zoo("asks"), env=receiver.env) as bridge, Modern(bridge.url, capabilities={"sampling": {}}) as client:
        trace, parent = new_trace()
        asked = client.request("tools/call", {"name": "sample", "arguments": {}, "_meta": {"traceparent": parent}})
        (key,) = asks(asked)
        first, part = last(receiver, trace)
        again, parent = new_trace()
        params = {"name": "sample", "arguments": {}, "requestState": asked["result"]["requestState"], "_meta": {"traceparent": parent}}
        client.request(
            "tools/call", params | {"inputResponses": {key: {"role": "assistant", "content": {"type": "text", "text": "x"}, "model": "m"}}}
        )
        second, rest = last(receiver, again)

    assert not first.has_failed and not second.has_failed and part is not None and rest is not None


def test_a_client_that_wants_no_trace_gets_none_and_the_child_is_told_so(bridge, receiver):
    trace, parent = new_trace()
    with Http(bridge.url, headers={"traceparent": parent[:-2] + "00"}) as client:
        client.call("echo", message="x")
        told = given(client.call("received"))
    with Http(bridge.url) as client:
        other, parent = new_trace()
        client.request("tools/call", {"name": "echo", "arguments": {"message": "x"}, "_meta": {"traceparent": parent}})
    last(receiver, other)

    assert told["traceparent"] == f"00-{trace}-{SPAN}-00" and trace not in {one.trace for one in receiver.spans}


def test_no_more_are_traced_than_are_allowed_a_second(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("bridge.otel.time.monotonic", lambda: now[0])
    allowance = Allowance(10, 5)
    at_once = [allowance.take() for _ in range(7)]
    now[0] += 0.125
    later = [allowance.take() for _ in range(2)]

    assert (at_once, later) == ([True] * 5 + [False] * 2, [True, False])


def test_the_standard_sampler_decides_where_one_is_named(receiver):
    with Bridge(zoo("echo"), env=receiver.env | {"OTEL_TRACES_SAMPLER": "always_off"}) as bridge, Http(bridge.url) as client:
        assert text(client.call("echo", message="x")) == "x"
        trace, parent = new_trace()
        client.request("tools/call", {"name": "echo", "arguments": {"message": "x"}, "_meta": {"traceparent": parent}})
        told = given(client.call("received"))
    assert told["traceparent"] == parent and trace not in {one.trace for one in receiver.spans}


@pytest.mark.parametrize("trouble", ["nobody listens", "it never answers"])
def test_a_receiver_in_trouble_slows_no_call_and_is_one_line(trouble):
    with Receiver(delay=60.0 if trouble == "it never answers" else 0.0) as receiver:
        env = receiver.env | {"OTEL_EXPORTER_OTLP_TIMEOUT": "1", "OTEL_BSP_MAX_QUEUE_SIZE": "64", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8"}
        if trouble == "nobody listens":
            receiver.__exit__()
        with Bridge(zoo("echo"), env=env | {"OTEL_TRACES_SAMPLER": "always_on"}) as bridge, Http(bridge.url) as client:
            for number in range(300):  # many times what may wait
                assert text(client.call("echo", message=str(number))) == str(number)
            eventually(lambda: bridge.logged("traces do not arrive"))
            for number in range(50):
                client.call("echo", message=str(number))
            eventually(lambda: len(bridge.logged("otel") + bridge.logged("OTLP") + bridge.logged("Export")) == 0)
            began = time.monotonic()
            bridge.stop()
        assert time.monotonic() - began < 10 and len(bridge.logged("traces do not arrive")) == 1
        if trouble == "nobody listens":
            receiver.server.server_close = receiver.server.shutdown = lambda: None


def test_it_is_told_when_they_arrive_again_and_the_last_ones_leave_before_the_end(receiver):
    with Receiver(status=400) as receiver, Bridge(zoo("echo"), env=receiver.env) as bridge:
        with Http(bridge.url) as client:
            client.call("echo", message="x")
            eventually(lambda: bridge.logged("traces do not arrive"))
            receiver.status = 200
            client.call("echo", message="x")
            eventually(lambda: bridge.logged("traces arrive again"))
            trace, parent = new_trace()
            client.request("tools/call", {"name": "echo", "arguments": {"message": "x"}, "_meta": {"traceparent": parent}})
        bridge.stop()

    assert trace in {one.trace for one in receiver.spans}


def test_the_audits_lines_and_spans_are_of_the_same_calls(receiver, tmp_path):
    file = tmp_path / "audit.jsonl"
    with Bridge(zoo("echo"), "--audit", file, env=receiver.env) as bridge, Http(bridge.url) as client:
        trace, parent = new_trace()
        client.request("tools/call", {"name": "fail", "arguments": {}, "_meta": {"traceparent": parent}})
        ours, _ = last(receiver, trace)
        lines = eventually(lambda: [json.loads(line) for line in file.read_text().splitlines() if '"fail"' in line])

    assert ours.has_failed and lines[0]["outcome"] == "tool_error" and lines[0]["client"] == "raw"
    assert trace_context.parse(parent) is not None


def test_a_call_at_the_address_of_many_is_a_span_of_the_mcp_that_it_is_for(receiver, tmp_path):
    entries = {name: {"command": zoo("echo")[0], "args": zoo("echo")[1:]} for name in ("one", "two")}
    (tmp_path / "mcps.json").write_text(json.dumps({"mcpServers": entries}))
    with Bridge(None, "--config", tmp_path / "mcps.json", env=receiver.env) as bridge:
        for way in (Http, Modern):
            with way(f"{bridge.url}/all") as client:
                trace, parent = new_trace()
                call = {"name": "two-echo", "arguments": {"message": "x"}, "_meta": {"traceparent": parent}}
                assert text(client.request("tools/call", call)) == "x"
                ours, part = last(receiver, trace)

                assert (ours.name, ours.parent, ours.attributes["mcp_bridge.mcp"]) == ("tools/call echo", SPAN, "two") and part is not None
