"""POST of the modern era (2026-07-28, basic/transports): no session, one request, and its response is all there is.

A client cancels by closing the connection. Nothing can be resumed, so events have no ids.
"""

from functools import partial
from typing import Any, ClassVar

from msgspec import Raw, Struct

from bridge.http.admission import Call, not_draining, rate
from bridge.http.head import Head
from bridge.http.request import Request, Response
from bridge.http.stream import COMMENT, Stream, frame, open_stream
from bridge.protocol import envelope, spelling
from bridge.protocol.envelope import Envelope
from bridge.protocol.eras import header_rules, listens
from bridge.protocol.errors import INVALID_REQUEST, NULL_ID, Refusal, error_body, status_of
from bridge.protocol.outcome import DONE, Outcome


class Modern:
    """The modern side of one service's `/mcp`."""

    def __init__(self, service):
        self.service = service
        calls = service.modern
        self.request = (
            self.envelope_and_headers,
            not_draining,
            rate,
            calls.find_child,
            self.permit,
            calls.tool,
            calls.special,
            calls.room,
            calls.send,
        )
        self._known: dict[bytes, envelope.Meta] = {}  # a client says the same of itself with each request
        self._names: dict[bytes, bytes] = {}  # names of tools as they stand in bodies, and the headers that are right for them

    def call(self, request: Request, response: Response, head: Head, message: Envelope) -> Call | None:
        """The message as a call of this era, if it is of it: its body says so, or, where that says nothing, its header."""
        params = spelling.modern_params(message)
        meta = self._known.get(bytes(params.meta))
        is_familiar = meta is not None
        if not is_familiar:
            meta = envelope.peek_meta(params.meta)
            if not (meta.revision or head.says_modern):
                return None
        if message.method is None or not message.id:
            return Call((without_envelope,), self.service, request, response, head, message, None, params, meta)
        reply = ModernReply(self.service, request.principal, head.takes_json, head.takes_events, response)
        response.on_gone = reply.gone
        return Call(self.request, self.service, request, response, head, message, reply, params, meta, is_familiar)

    def refuse(self, call: Call, refusal: Refusal) -> None:
        if call.outbox is not None:
            if call.outbox.is_over:  # the client has left
                return
            call.outbox.is_over = True
            call.response.on_gone = None
        self.service.counts.refusals[str(refusal.status)] += 1
        body = error_body(bytes(call.message.id) or NULL_ID, refusal.code, refusal.message, refusal.data)
        call.response.failed(refusal.status, body, refusal.headers)

    def permit(self, call: Call) -> Outcome:
        """Its caller may do this, and sees of a list what the rules of --callers show (see `admission.permit`)."""
        access = self.service.access
        if access is None:
            return None
        view = access.view(call.request.principal)
        if view.sees_all:
            return None
        own_name = call.child.relay.policy.profile.own_name
        if view.shows(call.message.method):
            call.outbox.cut = partial(view.cut, call.message.method, own_name=own_name)
        denial = view.denial(call.message, call.params, own_name, is_modern=True)
        if denial is None:
            return None
        call.rule = denial.rule
        return denial.refusal

    def envelope_and_headers(self, call: Call) -> Outcome:
        """The envelope is whole, and the headers agree with it."""
        headers, message, params, meta = call.request.headers, call.message, call.params, call.meta
        name = headers.get(header_rules.NAME)
        if (
            call.is_familiar
            and headers.get(header_rules.VERSION) == header_rules.NEWEST
            and message.method == "tools/call"
            and headers.get(header_rules.METHOD) == b"tools/call"
            and name is not None
            and self._names.get(bytes(params.name)) == name
            and len(headers) == len(call.request.pairs)
        ):
            return None  # as nearly always: this was looked at before
        if not meta.revision and message.method == "initialize":
            return without_envelope(call)
        call.duplicates = header_rules.duplicate_headers(call.request.pairs)
        if refusal := header_rules.validate_headers(message, params, meta, headers, call.duplicates) or header_rules.removed(
            message.method
        ):
            return refusal
        if message.method == listens.METHOD and not call.head.takes_events:
            return Refusal(406, INVALID_REQUEST, f"{listens.METHOD} is answered by a stream: it needs Accept: text/event-stream")
        raw = bytes(params.meta)
        if len(raw) < MEMORABLE and header_rules.is_plain(meta):
            _remember(self._known, raw, envelope.peek_meta(Raw(raw)))  # a copy: a slice would keep the whole body
        if name is not None and message.method == "tools/call" and len(name) < MEMORABLE:
            _remember(self._names, bytes(params.name), name)
        return None


def without_envelope(call: Call) -> Outcome:
    """What is no request, or opens a session."""
    refusal = header_rules.without_envelope(call.message, call.request.headers.get(header_rules.VERSION, header_rules.NEWEST))
    if refusal is None:
        call.response.accepted()
    return refusal or DONE


class ModernReply(Struct, eq=False):
    """The outbox of one modern POST. Its words set `code` for an error, which decides about the status."""

    service: Any
    principal: str
    takes_json: bool
    takes_events: bool
    response: Any
    stream: Stream | None = None
    code: int = 0
    exchange: Any = None  # what is cancelled when the client leaves before its answer, or
    leave: Any = None  # what is called then
    is_over: bool = False
    cut: Any = None  # takes out of an answer what its caller may not see
    answers_cancelled: ClassVar = False

    def put(self, message: bytes) -> bool:
        if not self.takes_events or self.is_over:
            return False
        self._become_stream()
        return self.stream.push(frame(message))

    def answer(self, message: bytes) -> None:
        if self.is_over:
            return
        self._let_go()
        if self.cut is not None:
            message = self.cut(message)
        if self.stream is None and (self.takes_json or self.code):
            self.service.counts.bytes_out += len(message)
            if self.code:
                self.response.failed(status_of(self.code), message)
            else:
                self.response.json(message)
            return
        self._become_stream()
        self.stream.push(frame(message))
        self.stream.close()

    def refuse(self, id: bytes, refusal: Refusal) -> None:
        """A no that came late."""
        self.code = refusal.code
        self.answer(error_body(id, refusal.code, refusal.message, refusal.data))

    def wait(self) -> None:
        if self.takes_events and self.stream is None and not self.is_over:
            self._become_stream()
            self.stream.push(COMMENT)

    def end(self) -> None:
        """Nothing more comes, and no answer either."""
        if not self.is_over:
            self._let_go()
            self._become_stream()
            self.stream.close()

    def gone(self) -> None:
        """The client closed its connection."""
        if self.is_over:
            return
        leave, exchange = self.leave, self.exchange
        self._let_go()
        if self.stream:
            self.stream.close()
        else:
            self.response.nobody()
        if leave:
            leave()
        elif exchange is not None:
            exchange.relay.cancel(exchange, self.service.loop.time())

    def _let_go(self) -> None:
        """It is over. What refers to each other would wait for the garbage collector, which costs a call 5 us."""
        self.is_over = True
        self.leave = self.exchange = self.response.on_gone = None

    def _become_stream(self) -> None:
        if self.stream is None:
            self.stream = open_stream(self.service, self.principal)
            self.response.events(self.stream)


def _remember(known: dict, key: bytes, value) -> None:
    if len(known) >= KNOWN:
        known.clear()
    known[key] = value


KNOWN, MEMORABLE = 256, 2048  # how many, and bytes of each
