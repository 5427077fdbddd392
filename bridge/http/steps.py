"""The steps of admission that Streamable HTTP of the handshake era goes through, and those that all transports share.

Those of the modern era are in `modern.py` and `service/modern.py`. In which order they come is said in `admission.py`, what a step
may say in `call.py`.
"""

import asyncio
from collections.abc import Awaitable, Sequence

from bridge.callers.access import LISTS
from bridge.http import body as bodies
from bridge.http import record
from bridge.http.call import Call, Steps, admit, params_of
from bridge.http.permission import shown
from bridge.http.reply import BatchOutbox, Reply
from bridge.http.service import McpService, Opened
from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope
from bridge.protocol.eras import header_rules
from bridge.protocol.errors import INVALID_REQUEST, Malformed, Reason, Refusal
from bridge.protocol.outcome import DONE, Outcome
from bridge.protocol.revisions import has_batches
from bridge.protocol.session import Session

# -- what is said of it ----------------------------------------------------------------------------------------------------


def size(call: Call) -> Outcome:
    """It has at most --max-body bytes, and the memory has room for them."""
    body = call.request.body
    return bodies.refusal(call.service, body, call.request.caller) if isinstance(body, bodies.TooLong) else None


def content(call: Call) -> Outcome:
    """Its client takes JSON or events, and it is JSON in UTF-8 (`head.py`)."""
    return call.head.refusal


def well_formed(call: Call) -> Outcome:
    """It is one JSON-RPC message."""
    return None if call.malformed is None else call.malformed.refusal()


def revision(call: Call) -> Outcome:
    """`MCP-Protocol-Version` must be one we know (2025-06-18, "Protocol Version Header")."""
    return call.head.bad_revision


def handshake_era(call: Call) -> Outcome:
    """The modern era has neither a stream to listen to nor a session to end."""
    if call.head.says_modern and b"mcp-session-id" not in call.request.headers:
        return method_not_allowed(b"POST")
    return None


def accepts_events(call: Call) -> Outcome:
    if call.head.takes_events:
        return None
    return Refusal(406, INVALID_REQUEST, "GET needs Accept: text/event-stream", reason=Reason.ACCEPT)


def batch_of_handshake_era(call: Call) -> Outcome:
    body = call.request.content
    if call.head.says_modern or (header_rules.MARK in body and _has_envelope(body)):
        return Refusal(400, INVALID_REQUEST, "batches are not part of MCP 2026-07-28", reason=Reason.ERA)
    return None


def split(call: Call) -> Outcome:
    """A batch is split for the child and answered together; all of it is refused if any part is."""
    assert call.session is not None
    try:
        call.messages = messages_of(call.request.content, call.session.revision)
        return None
    except Malformed as error:
        return error.refusal()


# -- whether there is room for it ---------------------------------------------------------------------------------------------


def not_draining(call: Call) -> Outcome:
    return call.service.not_now() if call.service.draining else None


def stream_left(call: Call) -> Outcome:
    return call.service.streams.refusal(call.request.caller)


def room(call: Call) -> Outcome:
    """The child has read enough of what was written to it for another request."""
    session = call.session
    service: McpService = call.service  # type: ignore[assignment]  # only an MCP's tables have this row
    return service.room(session) if session is not None and service.is_full(session) else None


# -- whose session it is ------------------------------------------------------------------------------------------------------


def initialize(call: Call) -> Outcome:
    """The message that opens a session."""
    request = call.request
    opened = call.service.initialize(request.transport, call.message, request.principal, caller=request.caller)
    return _greeted(call, *opened) if isinstance(opened, tuple) else _greeted_later(call, opened)


async def _greeted_later(call: Call, opening: Awaitable[Opened]) -> Outcome:
    return _greeted(call, *await opening)


def _greeted(call: Call, session: Session | None, answer: bytes | Refusal) -> Outcome:
    if isinstance(answer, Refusal):
        return answer
    assert session is not None
    call.response.json(answer, ((b"mcp-session-id", session.id.encode()),))
    return DONE


def session(call: Call) -> Outcome:
    """The session that it names (basic/transports, "Session Management"). One that was taken up from its id has no child yet."""
    request, service = call.request, call.service
    memory, id = request.memory, request.headers.get(b"mcp-session-id")
    if id is not None:
        named = memory.session_id
        if not named:
            named = memory.session_id = id.decode("latin-1")
        call.session = service.sessions.known(named, request.principal)
        if call.session is not None:
            return None
    call.session, refusal = service.find_session(id, request.principal, request.headers)
    if refusal is not None or call.session is None or call.session.relay is not None:
        return refusal
    mcp: McpService = service  # type: ignore[assignment]  # a group's sessions have no child to wait for
    return mcp.children.connect(call.session)


def older_service(call: Call) -> Outcome:
    """An answer or a cancellation may be meant for the service before this one, which a reload has replaced."""
    if call.service.older is None:
        return None
    id = call.request.headers.get(b"mcp-session-id", b"").decode("latin-1")
    if not call.service.tell_older(id, call.request.principal, call.message):
        return None
    call.response.accepted()
    return DONE


# -- whose session it is, on a connection -------------------------------------------------------------------------------------


def open_connection(call: Call) -> Outcome:
    """`initialize` on a connection, which is the session."""
    assert call.connection is not None
    return call.connection.open(call)


def connection_session(call: Call) -> Outcome:
    """A request before `initialize`: only LiteLLM's profile serves it, but a ping needs no session."""
    if call.session is not None:
        return None
    if call.service.is_litellm:
        assert call.connection is not None
        call.session = call.connection.adopt()
        return None
    if call.message.method == "ping":
        call.response.json(envelope.result(call.message.id, b"{}"))
        return DONE
    return Refusal(400, INVALID_REQUEST, "the session is not open yet: send initialize first", reason=Reason.SESSION)


def is_open(call: Call) -> Outcome:
    """A batch needs a session, which says whether there are batches."""
    if call.session is not None:
        return None
    return Refusal(400, INVALID_REQUEST, "the session is not open yet: send initialize first, alone", reason=Reason.SESSION)


# -- and on its way -----------------------------------------------------------------------------------------------------------


def notification(call: Call) -> Outcome:
    """A notification, or an answer to the child: nobody waits for it."""
    tell(call)
    call.response.accepted()
    return DONE


def tell(call: Call) -> Outcome:
    """The same without an answer, for one in a batch. (On a connection it may come before its session.)"""
    if call.session is not None:
        call.service.tell(call.session, call.message)
    return DONE


def request(call: Call) -> Outcome:
    response, session, outbox = call.response, call.session, call.outbox
    assert session is not None
    if outbox is None:
        outbox = Reply(call.service, session, call.head.takes_json, call.head.takes_events, response)
        if response.on_gone is not None:
            response.on_gone = None  # a client of the handshake era that leaves has not cancelled (basic/transports)
    if call.entry is not None:
        outbox = record.written_down(call.entry, session, outbox)
    if call.service.access is not None and call.message.method in LISTS:
        outbox = shown(call, outbox)
    service: McpService = call.service  # type: ignore[assignment]  # only an MCP's tables have this row
    return service.request(session, call.message, params_of(call), outbox, call.request.headers, call.entry) or DONE


class Batch:
    """The step that puts the messages of a batch on their way, each through its own table, and their answers together into one."""

    def __init__(self, request: Steps, notification: Steps):
        self.request, self.notification = request, notification

    def __call__(self, call: Call) -> Outcome:
        assert call.session is not None
        requests = sum(message.is_request for message in call.messages)
        outbox = call.outbox or Reply(call.service, call.session, call.head.takes_json, call.head.takes_events, call.response)
        gather, waiting = BatchOutbox(outbox, requests), []
        for message in call.messages:
            steps = self.request if message.is_request else self.notification
            part = Call(steps, call.service, call.request, call.response, call.head, message, gather, session=call.session)
            outcome = admit(part)
            if isinstance(outcome, Refusal):
                _refuse_part(part, outcome)
            elif outcome is not None:
                waiting.append((part, outcome))
        if not requests:
            call.response.accepted()
        if not waiting:
            return DONE
        call.lets_pass = all(part.lets_pass for part, _ in waiting)
        return self._wait(waiting)

    async def _wait(self, waiting: Sequence[tuple[Call, Awaitable[Refusal | None]]]) -> Outcome:
        async with asyncio.TaskGroup() as tasks:  # none of them waits for another one
            for part, outcome in waiting:
                tasks.create_task(self._finish(part, outcome))
        return DONE

    async def _finish(self, part: Call, outcome: Awaitable[Refusal | None]) -> None:
        if refusal := await outcome:
            _refuse_part(part, refusal)


def _refuse_part(part: Call, refusal: Refusal) -> None:
    message, gather = part.message, part.outbox
    if gather is not None and message.is_request:
        profile = part.service.profile
        answer = profile.refusal(bytes(message.id), message.method, refusal.code, refusal.message, message.params)
        shown(part, gather).answer(answer)


def other_method(call: Call) -> Outcome:
    return method_not_allowed(b"GET, POST, DELETE")


def end(call: Call) -> Outcome:
    assert call.session is not None
    call.service.end(call.session)
    call.response.json(b"{}")
    return DONE


def messages_of(body: bytes, revision: str) -> tuple[Envelope, ...]:
    """The messages of a batch. Raises Malformed, for all of it, where any part may not stand in one."""
    if not has_batches(revision):
        raise Malformed(INVALID_REQUEST, f"batches are not part of MCP {revision}: send one message at a time")
    parts = envelope.split(body)
    if not parts:
        raise Malformed(INVALID_REQUEST, "an empty batch")
    messages = []
    for number, part in enumerate(parts):
        try:
            messages.append(envelope.from_client(part))
        except Malformed as error:
            raise Malformed(error.code, f"item {number} of the batch: {error.message}") from None
    if any(message.method == "initialize" for message in messages):
        raise Malformed(INVALID_REQUEST, "initialize must not be part of a batch")
    ids = [bytes(message.id) for message in messages if message.is_request]
    if len(set(ids)) < len(ids):
        raise Malformed(INVALID_REQUEST, "two requests of the batch have the same id")
    return tuple(messages)


def _has_envelope(body: bytes) -> bool:
    """Whether any part of a batch is of the era that has none."""
    try:
        parts = [envelope.from_client(part) for part in envelope.split(body)]
    except Malformed:
        return False  # refused for that
    return any(envelope.peek_meta(envelope.peek(part.params).meta).revision for part in parts)


def method_not_allowed(allow: bytes) -> Refusal:
    return Refusal(405, INVALID_REQUEST, f"method not allowed: use {allow.decode()}", ((b"allow", allow),), reason=Reason.METHOD)
