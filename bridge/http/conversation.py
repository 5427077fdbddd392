"""A client on one connection (HTTP+SSE, WebSocket): messages come in one by one, everything goes out on its stream.

The session is the connection: it opens with `initialize` and ends when the connection does.
"""

from collections.abc import Coroutine

from bridge.http import admission
from bridge.http.admission import Call, admit
from bridge.http.request import Request
from bridge.http.stream import Stream
from bridge.http.streamable import request_in
from bridge.protocol import envelope
from bridge.protocol.errors import INVALID_REQUEST, NULL_ID, Malformed, Refusal, error_body
from bridge.protocol.outcome import DONE, Outcome


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
        self.is_opening = False

    # -- the outbox -----------------------------------------------------------------------------------------------------

    def put(self, message: bytes) -> bool:
        self.service.counts.bytes_out += len(message)
        return self.stream.push(self.framed(message))

    answer = put

    def wait(self) -> None:
        """The connection is kept alive anyway."""

    # -- what the client says -----------------------------------------------------------------------------------------------

    def hear(self, body: bytes) -> Coroutine | None:
        """One message, or at 2025-03-26 a batch. Returns what has to be waited for. Raises Malformed if it is neither; other
        refusals go out as answers."""
        self.service.counts.bytes_in += len(body)
        request = Request(b"", self.headers, b"", body, self.principal, [], self.stream.hold.caller)
        if envelope.is_batch(body):
            if self.session is None:
                raise Malformed(INVALID_REQUEST, "the session is not open yet: send initialize first, alone")
            call = Call(BATCH, self.service, request, None, session=self.session, connection=self)
            call.messages = admission.messages_of(body, self.session.revision)
        else:
            message = envelope.from_client(body)
            steps = NOTIFICATION if message.method is None or not message.id else INITIALIZE if message.method == "initialize" else REQUEST
            call = Call(steps, self.service, request, None, message=message, outbox=self, session=self.session, connection=self)
        outcome = admit(call)
        if outcome is None:
            return None
        if type(outcome) is Refusal:
            return self._say_no(call, outcome)
        return self._wait(outcome, call)

    async def _wait(self, outcome, call: Call) -> None:
        try:
            refusal = await outcome
        finally:
            self.is_opening = self.is_opening and (call.message is None or call.message.method != "initialize")
        if refusal is not None:
            self._say_no(call, refusal)

    def _say_no(self, call: Call, refusal: Refusal) -> None:
        message = call.message
        if message is None or not message.id:
            return self.refuse(refusal)
        said = self.service.profile.refusal(bytes(message.id), message.method, refusal.code, refusal.message, message.params)
        self.put(self.service.shown(self.principal, message.method, said))
        return None

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

    def opened(self, session, answer: bytes | Refusal) -> Outcome:
        """`initialize` has an answer."""
        if isinstance(answer, Refusal):
            return answer
        is_new = session is not self.session
        self.session = session
        if self.stream.closed:  # the client left while its child was starting
            self.close()
            return DONE
        self.put(answer)
        if is_new:
            session.listen(self)
        return DONE


def room(call: Call) -> Outcome:
    return admission.room(call) if call.session else None


def notification(call: Call) -> Outcome:
    """A notification or an answer to the child: nobody waits for it."""
    if call.session:
        call.service.tell(call.session, call.message)
    return DONE


def initialize(call: Call) -> Outcome:
    connection = call.connection
    if connection.is_opening:
        return Refusal(400, INVALID_REQUEST, "initialize is under way already")
    opening = call.service.initialize(
        connection.transport, call.message, connection.principal, connection.session, connection.stream.hold.caller
    )
    if type(opening) is tuple:
        return connection.opened(*opening)
    connection.is_opening = True
    return _opened_later(connection, opening)


async def _opened_later(connection: Conversation, opening) -> Outcome:
    return connection.opened(*await opening)


def open_session(call: Call) -> Outcome:
    """A request before `initialize`: only LiteLLM's profile serves it, but a ping needs no session."""
    connection, message = call.connection, call.message
    if call.session is not None:
        return None
    if call.service.is_litellm:
        call.session = connection.session = call.service.adopt(connection.transport, connection.principal)
        call.session.listen(connection)
        return None
    if message.method == "ping":
        connection.put(envelope.result(message.id, b"{}"))
        return DONE
    return Refusal(400, INVALID_REQUEST, "the session is not open yet: send initialize first")


def batch(call: Call) -> Outcome:
    admission.put_batch(call, call.connection)
    return DONE


REQUEST = (admission.rate, open_session, admission.room, admission.not_draining, admission.permit, admission.request)
INITIALIZE = (admission.rate, initialize)
NOTIFICATION = (room, admission.permit_notice, notification)
BATCH = (admission.rate, admission.room, batch)
