"""POST of the modern era (2026-07-28, basic/transports): no session, one request, and its response is all there is.

A client cancels by closing the connection. Nothing can be resumed, so events have no ids.
"""

from collections.abc import Callable
from typing import ClassVar, TypeVar

from msgspec import Raw, Struct

from bridge.http.call import Call, ModernCall
from bridge.http.request import Response
from bridge.http.service import Entry, Service
from bridge.http.stream import COMMENT, Stream, frame, open_stream
from bridge.protocol import envelope, spelling
from bridge.protocol.envelope import Envelope, Meta, ModernParams
from bridge.protocol.eras import header_rules, listens
from bridge.protocol.errors import INVALID_REQUEST, Reason, Refusal, error_body, status_of
from bridge.protocol.exchange import Exchange
from bridge.protocol.outcome import DONE, Outcome

Value = TypeVar("Value")


class Modern:
    """What is remembered of modern requests: clients say the same with each one."""

    def __init__(self) -> None:
        self._known: dict[bytes, Meta] = {}  # what a client says of itself
        self._names: dict[bytes, bytes] = {}  # names of tools as they stand in bodies, and the headers that are right for them

    def read(self, message: Envelope) -> tuple[ModernParams, Meta, bool]:
        """The params of a message, their `_meta`, and whether that was seen, and right, before."""
        params = spelling.modern_params(message)
        meta = self._known.get(bytes(params.meta))
        return (params, envelope.peek_meta(params.meta), False) if meta is None else (params, meta, True)

    def envelope_and_headers(self, call: Call) -> Outcome:
        """The envelope is whole, and the headers agree with it."""
        assert isinstance(call, ModernCall)
        message, params, memory = call.message, call.params, call.request.memory
        if call.is_familiar and message.method == "tools/call" and memory.tool and bytes(params.name) == memory.tool:
            return None  # as nearly always: the head is the last one's, in which this tool was named
        headers, meta = call.request.headers, call.meta
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
            memory.tool = bytes(params.name)
            return None  # this was looked at before
        if not meta.revision and message.method == "initialize":
            return without_envelope(call)
        call.duplicates = header_rules.duplicate_headers(call.request.pairs)
        if refusal := header_rules.validate_headers(message, params, meta, headers, call.duplicates) or header_rules.removed(
            message.method or ""
        ):
            return refusal
        if message.method == listens.METHOD and not call.head.takes_events:
            return Refusal(
                406, INVALID_REQUEST, f"{listens.METHOD} is answered by a stream: it needs Accept: text/event-stream", reason=Reason.ACCEPT
            )
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

    service: Service
    principal: str
    takes_json: bool
    takes_events: bool
    response: Response
    stream: Stream | None = None
    code: int = 0
    exchange: Exchange | None = None  # what is cancelled when the client leaves before its answer, or
    leave: Callable[[], object] | None = None  # what is called then
    is_over: bool = False
    entry: Entry | None = None
    cut: Callable[[bytes], bytes] | None = None  # takes out of an answer what its caller may not see
    answers_cancelled: ClassVar[bool] = False

    def put(self, message: bytes) -> bool:
        if not self.takes_events or self.is_over:
            return False
        return self._become_stream().push(frame(message))

    def answer(self, message: bytes) -> None:
        if self.is_over:
            return
        self._let_go()
        if self.cut is not None:
            message = self.cut(message)
        if self.entry is not None:
            self.entry.end("error" if self.code else "ok", len(message))
        if self.stream is None and (self.takes_json or self.code):
            self.service.counts.bytes_out += len(message)
            if self.code:
                self.response.failed(status_of(self.code), message)
            else:
                self.response.json(message)
            return
        stream = self._become_stream()
        stream.push(frame(message))
        stream.close()

    def refused(self) -> bool:
        """It is over, for its response says no. False if it was before, because its client has left."""
        if self.is_over:
            return False
        self._let_go()
        return True

    def refuse(self, id: bytes, refusal: Refusal) -> None:
        """A no that came late."""
        self.code = refusal.code
        self.answer(error_body(id, refusal.code, refusal.message, refusal.data))

    def wait(self) -> None:
        if self.takes_events and self.stream is None and not self.is_over:
            self._become_stream().push(COMMENT)

    def end(self) -> None:
        """Nothing more comes, and no answer either."""
        if not self.is_over:
            self._let_go()
            self._become_stream().close()

    def gone(self) -> None:
        """The client closed its connection."""
        if self.is_over:
            return
        leave, exchange = self.leave, self.exchange
        self._let_go()
        if self.entry is not None:
            self.entry.end("cancelled")
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

    def _become_stream(self) -> Stream:
        stream = self.stream
        if stream is None:
            stream = self.stream = open_stream(self.service, self.principal)
            stream.is_standing = self.leave is not None  # a subscription
            self.response.events(stream)
        return stream


def _remember(known: dict[bytes, Value], key: bytes, value: Value) -> None:
    if len(known) >= KNOWN:
        known.clear()
    known[key] = value


KNOWN, MEMORABLE = 256, 2048  # how many, and bytes of each
