"""Whatever comes in a POST, of either era or none: never a 5xx, never silence, never a line to the child that is none.

The children exit at the first line that any SDK would stumble over (strict_go.py, strict_modern.py).
MCP_BRIDGE_FUZZ_SECONDS=600 makes it a longer search.
"""

import json
import os
import socket
import time
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import Bridge, Http, Modern, envelope, eventually, spelled, text
from support.modern import NAMED

SECONDS = float(os.environ.get("MCP_BRIDGE_FUZZ_SECONDS", "6"))  # for each child
ANSWERS = (200, 202, 400, 404, 405, 406, 413, 415)  # and never one of ours: 5xx
EXAMPLES = 400 if SECONDS <= 6 else int(SECONDS * 25)
NS = "io.modelcontextprotocol/"
METHODS = ["tools/call", "tools/list", "server/discover", "subscriptions/listen", "initialize", "ping", "prompts/get", "resources/read",
           "resources/subscribe", "logging/setLevel", "completion/complete", "tasks/get", "x-vendor/echo", "notifications/cancelled",
           "notifications/initialized", "notifications/x", "", "\u2028\n"]  # fmt: skip
VERSIONS = ["2026-07-28", "2025-11-25", "2025-03-26", "2024-11-05", "2099-01-01", "", "x"]

scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([2**53, 10**30, -0.0, 1e300]) | st.text(max_size=6)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=6
)
names = st.sampled_from(["echo", "add", "typed", "no_such", "test://one", "greet", "task-1", "\u00fc", "a\tb", ""]) | st.text(max_size=5)
ids = st.integers(-3, 3) | st.text(max_size=4) | st.sampled_from([2**60, "\u2028", "", 0])


often = st.sampled_from([True, True, True, True, False])  # most of a post has to be right, or it is refused before it gets far
seldom = often.map(lambda it: not it)


@st.composite
def messages(draw, is_modern: bool):
    method = draw(st.sampled_from(METHODS[:1] * 6 + METHODS))
    params = {NAMED.get(method, "x"): draw(names)}
    if method == "tools/call":
        params["arguments"] = draw(st.just({"message": "hi"}) | anything)
    if method == "subscriptions/listen":
        params["notifications"] = draw(st.sampled_from([{"toolsListChanged": True}, {"resourceSubscriptions": ["test://one"]}]) | anything)
    if is_modern:
        params["_meta"] = envelope() | {f"{NS}clientCapabilities": draw(st.sampled_from([{}, {"elicitation": {}}]))}
        for name in draw(st.lists(st.sampled_from([*params["_meta"], "progressToken", f"{NS}logLevel", "x"]), max_size=1)):
            params["_meta"][name] = draw(anything)
    if draw(seldom):
        params |= {
            draw(st.sampled_from(["inputResponses", "requestState", "cursor", "task", "_meta", "protocolVersion", "uri"])): draw(anything)
        }
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    if not method.startswith("notifications/"):
        message["id"] = draw(ids)
    if draw(seldom):
        message[draw(st.sampled_from(["jsonrpc", "method", "params", "id", "result", "error", "extra"]))] = draw(anything)
    if draw(seldom):
        message.pop(draw(st.sampled_from(["jsonrpc", "method", "params", "id"])), None)
    return message


@st.composite
def bodies(draw, is_modern: bool):
    """Mostly messages, often written in an odd way; sometimes cut, spliced, or no JSON at all."""
    message = draw(messages(is_modern))
    if draw(seldom) and draw(seldom):
        message = [message, *draw(st.lists(messages(is_modern), max_size=2))]
    indent = draw(st.sampled_from([None, None, 1, "\t\r\n"]))
    body = json.dumps(message, indent=indent, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    at, more = draw(st.integers(0, len(body))), draw(st.binary(max_size=4))
    odd = [body[:at], body[:at] + more + body[at:], b"\xef\xbb\xbf" + body + b"\r\n", more]
    return draw(st.sampled_from(odd)) if draw(seldom) else body, message


@st.composite
def posts(draw):
    """Headers as a list, because some come twice, and the body."""
    is_modern = draw(st.booleans())
    body, message = draw(bodies(is_modern))
    first = message[0] if isinstance(message, list) else message
    method = first.get("method") if isinstance(first.get("method"), str) else None
    params = first.get("params") if isinstance(first.get("params"), dict) else {}
    name = params.get(NAMED.get(method, ""))
    headers = [("accept", "application/json, text/event-stream"), ("content-type", "application/json")]
    if is_modern:
        headers += [("mcp-protocol-version", "2026-07-28"), ("mcp-method", method or "x")]
        headers += [("mcp-name", spelled(name))] if isinstance(name, str) else []
    else:
        headers += [("mcp-protocol-version", "2025-11-25"), ("mcp-session-id", "SESSION")]
    if draw(seldom):
        odd = [
            "",
            " ",
            "x",
            "=?base64?ZWNobw==?=",
            "=?base64?%?=",
            "\xff\xfe",
            "1" * 300,
            "application/*",
            "2026-07-28, 2026-07-28",
            *VERSIONS,
        ]
        name = draw(st.sampled_from([name for name, _ in headers] + ["mcp-param-region", "mcp-param-", "last-event-id", "mcp-session-id"]))
        if draw(st.booleans()):
            headers = [pair for pair in headers if pair[0] != name]
        if draw(st.booleans()):
            headers.append((name, draw(st.sampled_from(odd))))
    return headers, body


def post(url: str, headers: list[tuple[str, str]], body: bytes, session: str) -> int:
    """The status. A stream that goes on is cut, as a client would that leaves."""
    parts = urlsplit(url)
    lines = [f"{name}: {session if value == 'SESSION' else value}" for name, value in headers]
    lines = [line.replace("\r", " ").replace("\n", " ").replace("\0", " ") for line in lines]
    head = "\r\n".join([f"POST /mcp HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-length: {len(body)}\r\nconnection: close", *lines, "", ""])
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as connection:
        connection.sendall(head.encode("utf-8", "replace") + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = connection.recv(1 << 16)
            assert part, f"closed after {answer!r}"
            answer += part
    return int(answer.split(b" ", 2)[1])


@pytest.fixture(scope="module", params=["strict_go", "strict_modern"])
def bridge(request, around) -> Bridge:
    return around(request.param)


@pytest.mark.timeout(SECONDS + 60)
def test_whatever_comes_is_answered_and_harms_nobody(bridge):
    with Http(bridge.url, listen=False) as client, Modern(bridge.url) as modern:
        before, end = text(client.call("pid")), time.monotonic() + SECONDS
        deaths = len(bridge.logged("strict:"))  # before, it may have died of the question for its era

        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(posts())
        def any_post(request):
            if time.monotonic() > end:
                return
            headers, body = request
            status = post(bridge.url, headers, body, client.session)

            assert status in ANSWERS, status
            assert not bridge.logged("strict:")[deaths:]

        any_post()
        assert text(client.call("pid")) == before
        assert text(modern.call("echo", message="on")) == "on"
    assert not bridge.logged("Traceback")
    eventually(lambda: bridge.metrics().value("mcp_bridge_requests_in_flight") == 0)
