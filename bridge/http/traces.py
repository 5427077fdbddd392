"""The steps of admission that make a trace of each request: a span of ours, and under it one of what its child does.

What the spans say follows OpenTelemetry's semantic conventions for MCP: github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/mcp.md
(status "Development"; until 1.41 they were part of the semantic conventions themselves). Left out is what they leave to choice or what is not
ours to tell: arguments, results, texts of errors. A session is named by its label, as in the log: its id would open it to whoever reads traces.

A span is an `Entry` around that of the audit: it hears when its request is written to the child, and how it ended. Nothing here imports
OpenTelemetry: `Tracing` (`bridge/otel.py`) is there only where it is switched on, and this table's rows with it.
"""

import random
import re
import time

from msgspec import Raw, Struct

from bridge.callers.audit import LONGEST, NAMED, OF_RESOURCE
from bridge.http.call import Call, ModernCall, params_of
from bridge.http.modern import ModernReply
from bridge.http.request import Request
from bridge.http.service import Entry
from bridge.protocol import envelope, trace_context
from bridge.protocol.completion import KNOWN_METHODS
from bridge.protocol.envelope import Envelope, Params
from bridge.protocol.errors import Refusal
from bridge.protocol.outcome import Outcome
from bridge.protocol.spans import Attributes, Part, Tracing
from bridge.protocol.trace_context import TraceContext
from bridge.redact import redacted

LONGEST_ID = 64  # characters of a client's id of a request
OF_CLIENT = ("client.address", "jsonrpc.request.id", "mcp.session.id", "network.protocol.name")  # of what the child knows nothing
_DROPPED = re.compile(r"[?#].*", re.DOTALL)


class Span(Struct, eq=False):
    """One request, from its first step to its answer; `audit` is its entry there, if it has one."""

    tracing: Tracing
    audit: Entry | None
    method: str
    attributes: Attributes
    parent: TraceContext | None
    link: TraceContext | None
    context: TraceContext
    child: TraceContext  # of the child's part
    start: int
    client: Raw = envelope.ABSENT
    is_taken: bool = False
    is_over: bool = False
    tool: str = ""  # as the server lists it
    sent_at: int = 0
    answered_at: int = 0
    outcome: str = ""
    code: int = 0

    @property
    def trace(self) -> str:
        return self.context.parent

    def sent(self, tool: str) -> None:
        self.sent_at, self.tool = time.time_ns(), tool
        if self.audit is not None:
            self.audit.sent(tool)

    def ended(self, outcome: str, is_answered: bool, code: int = 0) -> None:
        self.outcome, self.code, self.answered_at = outcome, code, time.time_ns()
        if self.audit is not None:
            self.audit.ended(outcome, is_answered, code)
        if not is_answered:
            self.end(outcome)

    def refuse(self, refusal: Refusal, rule: str = "") -> None:
        if self.audit is not None:
            self.audit.client = self.client
            self.audit.refuse(refusal, rule)
        if not self.is_over:
            self.outcome, self.code = "refused", refusal.code
            self.attributes["mcp_bridge.refused"] = refusal.reason.value
            self._emit(self.outcome)

    def end(self, outcome: str, size: int = 0) -> None:
        if self.audit is not None:
            self.audit.client = self.client
            self.audit.end(outcome, size)
        if not self.is_over:
            self._emit(self.outcome or outcome)

    def _emit(self, outcome: str) -> None:
        self.is_over = True
        now, attributes, error = time.time_ns(), self.attributes, ""
        if outcome != "ok":
            attributes["mcp_bridge.outcome"] = outcome
        if outcome not in ("ok", "cancelled"):  # that was the client's will: nobody has failed
            error = attributes["error.type"] = str(self.code) if self.code and outcome in ("error", "refused") else outcome
            if self.code:
                attributes["rpc.response.status_code"] = str(self.code)
        name = self._name(outcome)
        if self.sent_at:
            ours = {key: value for key, value in attributes.items() if key not in OF_CLIENT}
            ours["network.transport"] = "pipe"
            self.tracing.emit(Part(name, False, self.child, self.context, False, None, self.sent_at, self.answered_at or now, ours, error))
        is_remote = self.parent is not None
        self.tracing.emit(Part(name, True, self.context, self.parent, is_remote, self.link, self.start, now, attributes, error))

    def _name(self, outcome: str) -> str:
        """The method, and what it is about where the server knows that: names of spans must be few, and clients may make any up."""
        prompt = self.attributes.get("gen_ai.prompt.name", "") if outcome == "ok" else ""
        target = self.tool if self.tool and not self.tool.startswith("(") else prompt
        return f"{self.method} {target}" if target else self.method


def trace(call: Call) -> Outcome:
    """Begin its span, if it is to be traced."""
    tracing = call.service.tracing
    assert tracing is not None
    message, request = call.message, call.request
    # What `initialize` says is not for a child, and stays as it is.
    params = params_of(call) if message.method != "initialize" else envelope.peek(message.params)
    around, own = trace_context.of_headers(request.headers), trace_context.of_meta(params.meta)
    parent = own or around
    method = message.method if message.method in KNOWN_METHODS else "other"
    trace_id = parent.trace_id if parent is not None else random.getrandbits(128) or 1
    if not tracing.wants(parent, trace_id, method):
        return None
    state = parent.state if parent is not None else ""
    context, child = (TraceContext(trace_id, random.getrandbits(64) or 1, state=state) for _ in range(2))
    link = around if around is not None and own is not None and around != own else None
    attributes = _attributes(call.service.name, message, params, request)
    entry = call.entry = Span(tracing, call.entry, method, attributes, parent, link, context, child, time.time_ns())
    if isinstance(call, ModernCall) and isinstance(call.outbox, ModernReply):
        attributes["mcp.protocol.version"] = (envelope.string(call.meta.revision or b'""') or "")[:LONGEST_ID]
        entry.client, entry.is_taken, call.outbox.entry = call.meta.client, True, entry
    return None


def tell_child(call: Call) -> Outcome:
    """Tell the child which span its part of it is. The last step before it goes there: until then its words were looked at."""
    entry, session = call.entry, call.session
    if not isinstance(entry, Span):
        return None
    if session is not None:
        entry.attributes["mcp.session.id"], entry.attributes["mcp.protocol.version"] = session.label, session.revision
    call.params = trace_context.put(call.message, params_of(call), entry.child, over=True)
    return None


def _attributes(mcp: str, message: Envelope, params: Params, request: Request) -> Attributes:
    method = (message.method or "")[:LONGEST]
    attributes = {
        "mcp.method.name": method,
        "jsonrpc.request.id": bytes(message.id)[:LONGEST_ID].decode("utf-8", "replace").strip('"'),
        "network.transport": "tcp",
        "network.protocol.name": "websocket" if request.transport == "websocket" else "http",
        "mcp_bridge.mcp": mcp,
    }
    if request.address:
        attributes["client.address"] = request.address
    if method in NAMED:
        attributes[f"gen_ai.{NAMED[method]}.name"] = (envelope.string(params.name) or "")[:LONGEST]
        if method == "tools/call":
            attributes["gen_ai.operation.name"] = "execute_tool"
    elif method in OF_RESOURCE:
        uri = _DROPPED.sub("", (envelope.string(params.uri) or "")[: 16 * LONGEST])
        attributes["mcp.resource.uri"] = redacted(uri)[:LONGEST]
    return attributes
