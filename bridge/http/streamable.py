"""Streamable HTTP at `/mcp`: POST of both eras, the GET stream, and DELETE (2025-03-26 to 2026-07-28, basic/transports).

What may go on its way is decided by the tables of `admission.py` and `modern.py`.
"""

import inspect
from functools import partial

from msgspec import Raw

from bridge.http import admission
from bridge.http import body as bodies
from bridge.http.admission import Call, admit
from bridge.http.answers import send_refusal
from bridge.http.asgi import AsgiResponse
from bridge.http.head import Head, Heads
from bridge.http.modern import Modern
from bridge.http.reply import Listening, Reply
from bridge.http.request import MOST, Request, Response
from bridge.http.stream import COMMENT, frame, open_stream, pump_listening
from bridge.protocol import envelope
from bridge.protocol.eras import header_rules
from bridge.protocol.errors import NULL_ID, Malformed, Refusal, error_body
from bridge.protocol.outcome import DONE, Outcome


class Streamable:
    """The `/mcp` endpoint of one service. Bare ASGI: Starlette's routing and Request cost more than the relay itself."""

    fast = (b"POST", b"DELETE")  # the methods that may go the fast path

    def __init__(self, service):
        self.service = service
        self.most = min(service.settings.max_body, MOST)
        self.heads = Heads(lenient=service.is_litellm)
        self.modern = Modern(service)

    async def __call__(self, scope, receive, send) -> None:
        headers, method, service = scope["bridge.headers"], scope["method"].encode(), self.service
        body = b""
        if method == b"POST":
            scope["bridge.hold"].pot = service.memory
            body = await bodies.read(receive, headers, service.settings.max_body, scope["bridge.hold"], to_the_end=service.is_litellm)
        request = Request(
            method, headers, scope["query_string"], body, scope["bridge.principal"], scope["headers"], scope["bridge.hold"].caller
        )
        if method == b"GET":
            return await self.listen(request, scope, receive, send)
        response = AsgiResponse(service)
        self.answer(request, response)
        return await response.finish(receive, send)

    def answer(self, request: Request, response: Response) -> None:
        """A POST or a DELETE, however it came."""
        head = self.heads.of(request.headers)
        if request.method == b"POST":
            call = self._post(request, response, head)
        else:
            steps = admission.DELETE if request.method == b"DELETE" else admission.OTHER
            call = Call(steps, self.service, request, response, head)
        outcome = admit(call)
        if outcome is not None:
            self._not_at_once(outcome, call)

    def _post(self, request: Request, response: Response, head: Head) -> Call:
        """The message, and what it has to go through."""
        service, body = self.service, request.body
        if head.refusal is not None or type(body) is not bytes:
            return Call((self._unread,), service, request, response, head)
        service.counts.bytes_in += len(body)
        try:
            message = envelope.from_client(body)
        except Malformed as error:
            steps = admission.BATCH if envelope.is_batch(body) else (partial(self._malformed, error),)
            return Call(steps, service, request, response, head)
        # The era of a message is that of its body, and where that says nothing, of its header.
        if head.says_modern or body.find(header_rules.MARK) >= 0:  # twice as fast as `in`
            call = self.modern.call(request, response, head, message)
            if call is not None:
                return call
        if message.method is None or not message.id:
            steps = admission.NOTIFICATION
        else:
            steps = admission.INITIALIZE if message.method == "initialize" else admission.REQUEST
        return Call(steps, service, request, response, head, message)

    def _not_at_once(self, outcome, call: Call) -> None:
        if type(outcome) is Refusal:
            self._refuse(call, outcome)
            return
        task = call.response.later(self._wait(outcome, call))
        if call.meta is None:  # a modern call has been told already what to do when its client leaves
            call.response.on_gone = task.cancel

    async def _wait(self, outcome, call: Call) -> None:
        refusal = await outcome
        if refusal is not None:
            self._refuse(call, refusal)

    # -- GET --------------------------------------------------------------------------------------------------------------

    async def listen(self, request: Request, scope, receive, send) -> None:
        """The standing stream of a session, or the rest of one that its client lost (`Last-Event-ID`)."""
        service = self.service
        call = Call(admission.GET, service, request, None, self.heads.of(request.headers))
        refusal = admit(call)
        if inspect.isawaitable(refusal):
            refusal = await refusal
        if refusal is not None:
            return await send_refusal(send, refusal)
        session = call.session
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
        listening = Listening(service, session, stream)
        session.listen(listening)
        stream.push(COMMENT)  # at once: a proxy that compresses, or a client, may wait for the first byte
        try:
            await pump_listening(service, stream, scope, receive, send)
        finally:
            listening.close()
            if not session.id:
                service.end(session)

    # -- how it says no -----------------------------------------------------------------------------------------------------

    def _unread(self, call: Call) -> Outcome:
        """The request is wrong before it is read: its size, its type, or what its client accepts."""
        service, body = self.service, call.request.body
        if not isinstance(body, bodies.TooLong):
            return call.head.refusal
        refusal = bodies.refusal(service, body, call.request.caller)
        if not (service.is_litellm and body.id):
            return refusal
        call.response.json(service.profile.refusal(body.id, "tools/call" if body.is_call else None, refusal.code, refusal.message))
        return DONE

    def _malformed(self, error: Malformed, call: Call) -> Outcome:
        self._refuse(call, error.refusal(), error.id)
        return DONE

    def _refuse(self, call: Call, refusal: Refusal, id: bytes = NULL_ID) -> None:
        """Say no, in the words of the profile: to LiteLLM's client, nothing but 200 is safe for a request."""
        if call.meta is not None:
            return self.modern.refuse(call, refusal)
        service, response, message, params = self.service, call.response, call.message, envelope.ABSENT
        service.counts.refusals[str(refusal.status)] += 1
        method = None
        if message is not None:
            id, method, params = bytes(message.id if message.method else b"") or NULL_ID, message.method, message.params
        elif service.is_litellm and type(call.request.body) is bytes and call.request.method == b"POST":
            id, method, params = request_in(call.request.body, id)
        if service.is_litellm:
            if id != NULL_ID:
                said = service.profile.refusal(id, method, refusal.code, refusal.message, params)
                return response.json(service.shown(call.request.principal, method, said))
            if method:  # a notification: nobody waits for it, but its client ends its session at a status that says no
                return response.accepted()
        return response.failed(refusal.status, error_body(id, refusal.code, refusal.message, refusal.data), refusal.headers)


def request_in(body: bytes, id: bytes) -> tuple[bytes, str | None, Raw]:
    """The id, method and params of the request that was refused, as far as they can be told."""
    try:
        message = envelope.from_client(body)
        return bytes(message.id if message.method else b"") or NULL_ID, message.method, message.params
    except Malformed as error:
        id = error.id if id == NULL_ID else id
        return id, "tools/call" if id != NULL_ID and b'"tools/call"' in body else None, envelope.ABSENT
