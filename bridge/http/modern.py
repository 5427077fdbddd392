"""POST of the modern era (2026-07-28, basic/transports): no session, one request, and its response is all there is.

A client cancels by closing the connection. Nothing can be resumed, so events have no ids.
"""

import asyncio
from contextlib import suppress
from typing import Any, ClassVar

from msgspec import Struct

from bridge.http.answers import send_accepted, send_json
from bridge.http.reply import GONE, Awaited
from bridge.http.stream import COMMENT, Stream, frame
from bridge.protocol import envelope, spelling
from bridge.protocol.envelope import Envelope
from bridge.protocol.eras import ladder, listens
from bridge.protocol.errors import INVALID_REQUEST, Malformed, Refusal, error_body, status_of


class Modern:
    """The modern side of one service's `/mcp`."""

    def __init__(self, service):
        self.service = service
        self.calls = service.modern
        self._known: dict[bytes, envelope.Meta] = {}  # a client says the same of itself with each request
        self._names: dict[bytes, bytes] = {}  # names of tools as they stand in bodies, and the headers that are right for them

    def take(self, headers: dict, body: bytes, takes_events: bool, principal: str, way) -> bool:
        """A request with nothing special about it, at once. False, and nothing done, if it needs the long way."""
        try:
            message = envelope.from_client(body)
        except Malformed:
            return False
        if not message.id or message.method is None:
            return False
        params = spelling.modern_params(message)
        raw = bytes(params.meta)
        meta = self._known.get(raw)
        name = headers.get(ladder.NAME)
        # In one function, because a call costs as much as what is done here for most requests.
        if (meta is None or headers.get(ladder.VERSION) != ladder.NEWEST or message.method != "tools/call"
                or headers.get(ladder.METHOD) != b"tools/call" or name is None or self._names.get(bytes(params.name)) != name):
            meta = envelope.peek_meta(params.meta)
            if ladder.climb(message, params, meta, headers, NO_TWINS) is not None:
                return False
            if len(raw) < MEMORABLE and ladder.is_plain(meta):
                _remember(self._known, raw, meta)
            if name is not None and message.method == "tools/call" and len(name) < MEMORABLE:
                _remember(self._names, bytes(params.name), name)
        reply = ModernReply(self.service, principal, True, takes_events, way)
        if not self.calls.now(message, params, meta, reply, headers, principal):
            return False
        if not reply.is_over:
            way.on_gone = reply.gone
        self.service.counts.bytes_in += len(body)
        return True

    async def post(self, scope, message: Envelope, headers: dict, receive, send, takes_json: bool, takes_events: bool) -> Refusal | None:
        """Any message that has an envelope or whose header says so. Returns why it is refused; otherwise it is answered."""
        if message.method is None or not message.id:
            refusal = ladder.without_envelope(message, headers.get(ladder.VERSION, ladder.NEWEST))
            return refusal if refusal else await send_accepted(send)
        params = spelling.modern_params(message)
        meta = envelope.peek_meta(params.meta)
        if not meta.revision and message.method == "initialize":
            return ladder.without_envelope(message, headers[ladder.VERSION])
        twins = ladder.twins(scope["headers"])
        if refusal := ladder.climb(message, params, meta, headers, twins) or ladder.removed(message.method):
            return refusal
        if message.method == listens.METHOD and not takes_events:
            return Refusal(406, INVALID_REQUEST, f"{listens.METHOD} is answered by a stream: it needs Accept: text/event-stream")
        way = Awaited(self.service.loop)
        reply = ModernReply(self.service, scope["bridge.principal"], takes_json, takes_events, way)
        watch = self.service.loop.create_task(_watch(receive, reply))
        try:
            refusal = await self.calls.later(message, params, meta, reply, headers, twins, scope["bridge.principal"])
            if refusal is not None:
                return refusal
            answer = await way.waiter
            if answer is None:
                await self._stream(reply.stream, send)
            elif answer is not GONE:
                await send_json(send, answer, way.status)
        finally:
            watch.cancel()
            reply.gone()
        return None

    async def _stream(self, stream: Stream, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(EVENT_STREAM)})
        await self.service.pump(stream, send)
        if not stream.overflowed:
            await send({"type": "http.response.body", "body": b""})


class ModernReply(Struct, eq=False):
    """The outbox of one modern POST. Its words set `code` for an error, which decides about the status."""

    service: Any
    principal: str
    takes_json: bool
    takes_events: bool
    way: Any
    stream: Stream | None = None
    code: int = 0
    exchange: Any = None  # what is cancelled when the client leaves before its answer, or
    leave: Any = None  # what is called then
    is_over: bool = False
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
        if self.stream is None and (self.takes_json or self.code):
            self.service.counts.bytes_out += len(message)
            if self.code:
                self.way.failed(status_of(self.code), message)
            else:
                self.way.whole(message)
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
            self.way.nobody()
        if leave:
            leave()
        elif exchange is not None:
            exchange.relay.cancel(exchange, self.service.loop.time())

    def _let_go(self) -> None:
        """It is over. What refers to each other would wait for the garbage collector, which costs a call 5 us."""
        self.is_over = True
        self.leave = self.exchange = self.way.on_gone = None

    def _become_stream(self) -> None:
        if self.stream is None:
            self.stream = self.service.open_stream(self.principal)
            self.way.events(self.stream)


def _remember(known: dict, key: bytes, value) -> None:
    if len(known) >= KNOWN:
        known.clear()
    known[key] = value


async def _watch(receive, reply: ModernReply) -> None:
    with suppress(asyncio.CancelledError):
        while (await receive())["type"] != "http.disconnect":
            pass
        reply.gone()


KNOWN, MEMORABLE = 256, 2048  # how many, and bytes of each
NO_TWINS: frozenset = frozenset()
EVENT_STREAM = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))
