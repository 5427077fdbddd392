"""Streamable HTTP at `/mcp`: POST of both eras, the GET stream, and DELETE (2025-03-26 to 2026-07-28, basic/transports).

What may go on its way is decided by the tables of `admission.py`.
"""

import asyncio
from collections.abc import Awaitable

from starlette.types import Receive, Scope, Send

from bridge.http.admission import Admission
from bridge.http.answers import send_refusal
from bridge.http.asgi import AsgiResponse, read_request
from bridge.http.call import NO_MESSAGE, Call, ModernCall, admit, admitted, request_of
from bridge.http.head import Head, Heads
from bridge.http.modern import ModernReply
from bridge.http.reply import Reply, StreamOutbox
from bridge.http.request import MOST, STREAMABLE_HTTP, Request, Response
from bridge.http.service import Service
from bridge.http.stream import COMMENT, frame, open_stream, pump_listening
from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope
from bridge.protocol.eras import header_rules
from bridge.protocol.errors import NULL_ID, Malformed, Reason, Refusal, error_body


class Streamable:
    """The `/mcp` endpoint of one service. Bare ASGI: Starlette's routing and Request cost more than the relay itself."""

    fast: tuple[bytes, ...] = (b"POST", b"DELETE")  # the methods that may go the fast path

    def __init__(self, service: Service, admission: Admission):
        self.service = service
        self.tables = admission
        self.most = min(service.settings.max_body, MOST)
        self.heads = Heads(lenient=service.is_litellm)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await read_request(scope, receive, self.service, STREAMABLE_HTTP)
        if request.method == b"GET":
            return await self.listen(request, scope, receive, send)
        response = AsgiResponse(self.service)
        self.answer(request, response)
        return await response.finish(receive, send)

    def answer(self, request: Request, response: Response) -> None:
        """A POST or a DELETE, however it came."""
        memory = request.memory
        head = memory.head
        if head is None:
            head = memory.head = self.heads.of(request.headers)
        if request.method == b"POST":
            call = self._post(request, response, head)
        else:
            steps = self.tables.delete if request.method == b"DELETE" else self.tables.other
            call = Call(steps, self.service, request, response, head, NO_MESSAGE)
        outcome = admit(call)
        if outcome is not None:
            self._not_at_once(outcome, call)

    def _post(self, request: Request, response: Response, head: Head) -> Call:
        """The message, and what it has to go through."""
        service, body, tables = self.service, request.body, self.tables
        if head.refusal is not None or not isinstance(body, bytes):
            return Call(tables.unreadable, service, request, response, head, NO_MESSAGE)
        service.counts.bytes_in += len(body)
        try:
            message = envelope.from_client(body)
        except Malformed as error:
            steps = tables.batch if envelope.is_batch(body) else tables.unreadable
            return Call(steps, service, request, response, head, NO_MESSAGE, malformed=error)
        # The era of a message is that of its body, and where that says nothing, of its header.
        if head.says_modern or body.find(header_rules.MARK) >= 0:  # twice as fast as `in`
            call = self._modern(request, response, head, message)
            if call is not None:
                return call
        if not message.is_request:
            steps = tables.notification
        elif message.method == "initialize":
            steps = tables.initialize
        else:
            steps = tables.request
        return Call(steps, service, request, response, head, message)

    def _modern(self, request: Request, response: Response, head: Head, message: Envelope) -> Call | None:
        """The message as a call of the modern era, if it is of it: its body says so, or, where that says nothing, its header."""
        params, meta, is_familiar = self.tables.modern.read(message)
        if not (is_familiar or meta.revision or head.says_modern):
            return None
        if not message.is_request:
            steps = self.tables.modern_notification
            return ModernCall(steps, self.service, request, response, head, message, params=params, meta=meta)
        reply = ModernReply(self.service, request.principal, head.takes_json, head.takes_events, response)
        response.on_gone = reply.gone
        steps = self.tables.modern_request
        return ModernCall(steps, self.service, request, response, head, message, reply, params=params, meta=meta, is_familiar=is_familiar)

    def _not_at_once(self, outcome: Refusal | Awaitable[Refusal | None], call: Call) -> None:
        if isinstance(outcome, Refusal):
            self._refuse(call, outcome)
            return
        task = call.response.later(self._wait(outcome, call))
        if call.outbox is None:  # a modern call has been told already what to do when its client leaves
            call.response.on_gone = task.cancel

    async def _wait(self, outcome: Awaitable[Refusal | None], call: Call) -> None:
        try:
            refusal = await outcome
        except asyncio.CancelledError:
            self._let_go(call)
            raise
        if refusal is not None:
            self._refuse(call, refusal)

    def _let_go(self, call: Call) -> None:
        """It has not gone on, and its answer ends no session that was for it alone."""
        if call.session is not None and not call.session.id:
            self.service.end(call.session)

    # -- GET --------------------------------------------------------------------------------------------------------------

    async def listen(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """The standing stream of a session, or the rest of one that its client lost (`Last-Event-ID`)."""
        service = self.service
        call = Call(self.tables.listen, service, request, AsgiResponse(service), self.heads.of(request.headers), NO_MESSAGE)
        if refusal := await admitted(call):
            return await send_refusal(send, refusal)
        session = call.session
        assert session is not None
        stream = open_stream(service, request.principal, request.caller)
        missed = service.replay.find(session, request.headers.get(b"last-event-id", b"").decode("latin-1"))
        if missed:
            recording, events = missed
            for event_id, message in events:
                if message:
                    stream.push(frame(message, event_id))
            if isinstance(recording.source, Reply):
                recording.source.resume(stream)
                response = AsgiResponse(service)
                response.events(stream)
                return await response.finish(receive, send)
        listening = StreamOutbox(service, session, stream)
        session.listen(listening)
        stream.push(COMMENT)  # at once: a proxy that compresses, or a client, may wait for the first byte
        try:
            await pump_listening(service, stream, scope, receive, send)
        finally:
            listening.close()
            if not session.id:
                service.end(session)

    # -- how it says no -----------------------------------------------------------------------------------------------------

    def _refuse(self, call: Call, refusal: Refusal) -> None:
        """Say no, in the words of the profile: to LiteLLM's client, nothing but 200 is safe for a request."""
        self._let_go(call)
        response, is_litellm = (
            call.response,
            self.service.is_litellm and call.request.method == b"POST" and not isinstance(call, ModernCall),
        )
        if refusal.reason is Reason.LIMIT:
            response.slow_down()
        if isinstance(call.outbox, ModernReply) and not call.outbox.refused():
            return None  # the client has left
        if call.message is not NO_MESSAGE or is_litellm:
            id, method, params = request_of(call)
        else:
            id, method, params = call.malformed.id if call.malformed else NULL_ID, None, envelope.ABSENT
        if is_litellm:
            if id != NULL_ID:
                said = self.service.profile.refusal(id, method, refusal.code, refusal.message, params)
                return response.json(self.service.shown(call.request.principal, method, said))
            if method:  # a notification: nobody waits for it, but its client ends its session at a status that says no
                return response.accepted()
        return response.failed(refusal.status, error_body(id, refusal.code, refusal.message, refusal.data), refusal.headers)
