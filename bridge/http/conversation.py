"""A client on one connection (HTTP+SSE, WebSocket): messages come in one by one, everything goes out on its stream.

The session is the connection: it opens with `initialize` and ends when the connection does.
"""

from bridge.http.reply import Gather
from bridge.http.stream import Stream
from bridge.http.streamable import batch, put_batch, request_in
from bridge.protocol import envelope
from bridge.protocol.errors import INVALID_REQUEST, NULL_ID, Malformed, Refusal, error_body


class Conversation:
    """One connection's talk, and the outbox of all its requests. `framed(message)` is how the transport writes one."""

    answers_cancelled = False

    def __init__(self, service, transport: str, principal: str, stream: Stream, framed, headers: dict):
        self.service = service
        self.transport = transport
        self.principal = principal
        self.stream = stream
        self.framed = framed
        self.headers = headers
        self.session = None
        self._is_opening = False

    # -- the outbox -----------------------------------------------------------------------------------------------------

    def put(self, message: bytes) -> bool:
        self.service.counts.bytes_out += len(message)
        return self.stream.push(self.framed(message))

    answer = put

    def wait(self) -> None:
        """The connection is kept alive anyway."""

    # -- what the client says -----------------------------------------------------------------------------------------------

    async def hear(self, body: bytes) -> None:
        """One message, or at 2025-03-26 a batch. Raises Malformed if it is neither; other refusals go out as answers."""
        self.service.counts.bytes_in += len(body)
        if envelope.is_batch(body):
            return self._hear_batch(body)
        message = envelope.from_client(body)
        if message.method is None or not message.id:
            if self.session:
                self.service.tell(self.session, message)
        elif message.method == "initialize":
            await self._open(message)
        else:
            await self._request(message)

    def hear_now(self, body: bytes, headers: dict) -> bool:
        """The same for a plain message of an open session. False, and nothing done, if it is not one."""
        service, session = self.service, self.session
        if session is None or service.draining or service.is_full(session) or envelope.is_batch(body):
            return False
        try:
            message = envelope.from_client(body)
        except Malformed:
            return False
        if message.method == "initialize":
            return False
        if message.method is None or not message.id:
            service.tell(session, message)
        elif service.request(session, message, self, headers) is not None:
            return False
        service.counts.bytes_in += len(body)
        return True

    def refuse(self, refusal: Refusal, id: bytes = NULL_ID) -> None:
        """A no that nobody asked for in particular, as a message on the stream."""
        self.put(error_body(id, refusal.code, refusal.message))

    def refuse_malformed(self, error: Malformed, body: bytes) -> None:
        """A no to what is not a message, though it may well be seen whose request it was meant to be."""
        id, method, _ = request_in(body, error.id)
        self.put(self.service.profile.refusal(id, method, error.code, error.message))

    def close(self) -> None:
        """The connection is gone, and with it the session."""
        self.stream.close()
        if self.session:
            self.session.unlisten(self)
            self.service.end(self.session)

    async def _open(self, message: envelope.Envelope) -> None:
        if self._is_opening:
            return self.refuse(Refusal(400, INVALID_REQUEST, "initialize is under way already"), bytes(message.id))
        self._is_opening = True
        try:
            session, answer = await self.service.initialize(self.transport, message, self.principal, self.session)
        finally:
            self._is_opening = False
        if isinstance(answer, Refusal):
            return self.refuse(answer, bytes(message.id))
        is_new = session is not self.session
        self.session = session
        if self.stream.closed:  # the client left while its child was starting
            return self.close()
        self.put(answer)
        if is_new:
            session.listen(self)

    async def _request(self, message: envelope.Envelope) -> None:
        service, id = self.service, bytes(message.id)
        if self.session is None and not self._take_as_known(message):
            return None
        refusal = await service.room(self.session) if service.is_full(self.session) else None
        if refusal := refusal or service.not_now() or service.request(self.session, message, self, self.headers):
            self.put(service.profile.refusal(id, message.method, refusal.code, refusal.message, message.params))

    def _take_as_known(self, message: envelope.Envelope) -> bool:
        """A request before `initialize`: only LiteLLM's profile serves it."""
        if self.service.is_kind:
            self.session = self.service.adopt(self.transport, self.principal)
            self.session.listen(self)
            return True
        if message.method == "ping":
            self.put(envelope.result(message.id, b"{}"))
        else:
            self.refuse(Refusal(400, INVALID_REQUEST, "the session is not open yet: send initialize first"), bytes(message.id))
        return False

    def _hear_batch(self, body: bytes) -> None:
        if self.session is None:
            raise Malformed(INVALID_REQUEST, "the session is not open yet: send initialize first, alone")
        messages = batch(body, self.session.revision)
        requests = [message for message in messages if message.method is not None and message.id]
        put_batch(self.service, self.session, messages, Gather(self, len(requests)), self.headers)
