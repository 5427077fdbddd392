"""A client on one connection (HTTP+SSE, WebSocket): messages come in one by one, everything goes out on its stream.

The session is the connection: it opens with `initialize` and ends when the connection does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from bridge.budget import Reservation
from bridge.http.admission import Admission
from bridge.http.body import TooLong
from bridge.http.call import ANY, NO_MESSAGE, Call, request_of
from bridge.http.request import Headers, Request
from bridge.http.service import Opened, Service
from bridge.http.stream import Stream
from bridge.protocol import envelope
from bridge.protocol.errors import INVALID_REQUEST, NULL_ID, Malformed, Reason, Refusal
from bridge.protocol.outcome import DONE, Outcome
from bridge.protocol.session import Session

MOST_PASSED = 100


class Conversation:
    """One connection's talk: the outbox of all its requests, and the `Response` to each message. `framed(message)` is how the
    transport writes one."""

    answers_cancelled = False
    is_answered = False
    on_gone: Callable[[], object] | None = None

    def __init__(self, service: Service, admission: Admission, request: Request, stream: Stream, framed: Callable[[bytes], bytes]):
        self.service = service
        self.admission = admission
        self.request = request  # that opened the connection
        self.principal = request.principal
        self.stream = stream
        self.framed = framed
        self.session: Session | None = None
        self.is_opening = False
        self.passed = 0  # messages that wait while what came after them is heard
        self.hold = Reservation(service.memory, request.caller)  # which their bytes take of the memory

    # -- what goes out --------------------------------------------------------------------------------------------------

    def put(self, message: bytes) -> bool:
        self.service.counts.bytes_out += len(message)
        return self.stream.push(self.framed(message))

    def answer(self, message: bytes) -> None:
        self.put(message)

    def wait(self) -> None:
        """The connection is kept alive anyway."""

    def json(self, body: bytes, headers: Headers = ()) -> None:
        self.put(body)

    def failed(self, status: int, body: bytes, headers: Headers = ()) -> None:
        self.put(body)

    def accepted(self) -> None:
        """Nothing is said on the stream to what nobody waits for."""

    def events(self, stream: Stream) -> None:
        """All answers are on one stream anyway."""

    def nobody(self) -> None:
        """The client is gone: `close` follows."""

    def slow_down(self) -> None:
        """Who reads the messages does so."""

    def later(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return self.service.spawn(work)

    def refuse(self, call: Call, refusal: Refusal) -> None:
        id, method, params = request_of(call)
        said = self.service.profile.refusal(id, method if id != NULL_ID else None, refusal.code, refusal.message, params)
        self.put(self.service.shown(self.principal, method, said))

    # -- what the client says -----------------------------------------------------------------------------------------------

    def call(self, body: bytes | TooLong, headers: dict[bytes, bytes]) -> Call:
        """A message as a call: one, or at 2025-03-26 a batch."""
        service, tables, opening = self.service, self.admission, self.request
        request = Request(b"", headers, b"", body, self.principal, [], opening.caller, opening.transport, opening.address)
        call = Call(tables.unreadable, service, request, self, ANY, NO_MESSAGE, self, session=self.session, connection=self)
        if isinstance(body, TooLong):
            return call
        service.counts.bytes_in += len(body)
        if envelope.is_batch(body):
            call.steps = tables.connected_batch
            return call
        try:
            message = call.message = envelope.from_client(body)
        except Malformed as error:
            call.malformed = error
            return call
        if not message.is_request:
            call.steps = tables.connected_notification
        else:
            call.steps = tables.connected_initialize if message.method == "initialize" else tables.connected_request
        return call

    def is_held_up(self, call: Call) -> bool:
        """Whether what comes after this message, which waits, must wait for it."""
        return not call.lets_pass or self.passed >= MOST_PASSED or not self.hold.may_be(self.hold.size + _size(call))

    async def finish(self, outcome: Awaitable[Refusal | None], call: Call) -> None:
        """Wait for what a message waits for."""
        self.passed += 1
        self.hold.set(self.hold.size + _size(call))
        try:
            refusal = await outcome
        finally:
            self.passed -= 1
            self.hold.set(self.hold.size - _size(call))
            self.is_opening = self.is_opening and call.message.method != "initialize"
        if refusal is not None:
            self.refuse(call, refusal)

    def open(self, call: Call) -> Outcome:
        """`initialize`."""
        if self.is_opening:
            return Refusal(400, INVALID_REQUEST, "initialize is under way already", reason=Reason.SESSION)
        request = call.request
        opening = self.service.initialize(request.transport, call.message, request.principal, self.session, request.caller)
        if isinstance(opening, tuple):
            return self._opened(*opening)
        self.is_opening = call.lets_pass = True
        return self._opened_later(opening)

    async def _opened_later(self, opening: Awaitable[Opened]) -> Outcome:
        return self._opened(*await opening)

    def _opened(self, session: Session | None, answer: bytes | Refusal) -> Outcome:
        if isinstance(answer, Refusal):
            return answer
        assert session is not None
        is_new = session is not self.session
        self.session = session
        if self.stream.closed:  # the client left while its child was starting
            self.close()
            return DONE
        self.put(answer)
        if is_new:
            session.listen(self)
        return DONE

    def adopt(self) -> Session:
        """A session that nobody has opened."""
        session = self.session = self.service.adopt(self.request.transport, self.principal)
        session.listen(self)
        return session

    def close(self) -> None:
        """The connection is gone, and with it the session."""
        self.stream.close()
        if self.session:
            self.session.unlisten(self)
            self.service.end(self.session)


def _size(call: Call) -> int:
    body = call.request.body
    return len(body) if isinstance(body, bytes) else 0
