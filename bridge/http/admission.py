"""Whether a message may go on its way: each rule stands here once, and each transport goes through a table of them in order.

    host and origin, caller          gate.py, before a body is read
    size, accept, content type       head.py, for what an HTTP request says of itself
    everything else                  the tables at the end of this file, for each message

A step looks at a `Call` and says one of four things: None, and the next step has its turn; a `Refusal`; `DONE`, the message is
answered or on its way; or something to be waited for, which says one of the first three. Nothing is waited for where nothing has to be,
so a plain call goes through without a task. The transports differ in how they say no (`refuse`) and in what their answers
leave by; they decide nothing.
"""

from collections.abc import Awaitable
from typing import Any

from msgspec import Struct

from bridge.callers.access import LISTS
from bridge.http.reply import Gather, Reply, Shown
from bridge.http.request import Request, Response
from bridge.protocol import envelope, spelling
from bridge.protocol.envelope import Envelope
from bridge.protocol.eras import header_rules
from bridge.protocol.errors import INVALID_REQUEST, Malformed, Refusal
from bridge.protocol.outcome import DONE, Outcome
from bridge.protocol.revisions import has_batches

TRANSPORT = "streamable-http"


class Call(Struct, eq=False):
    """One message on its way in, and what the steps find out about it. (msgspec sets a member later at four times the price.)"""

    steps: tuple  # that it has to go through
    service: Any
    request: Request
    response: Response | None  # None where answers leave by a connection's stream
    head: Any = None
    message: Envelope | None = None
    outbox: Any = None  # where its answer goes
    params: Any = None  # these three of a modern call
    meta: Any = None
    is_familiar: bool = False  # the same was said before
    duplicates: frozenset = frozenset()
    session: Any = None
    child: Any = None
    messages: Any = None  # of a batch
    connection: Any = None  # the Conversation that it came on
    rule: str = ""  # of the callers file, which refused it


def admit(call: Call) -> Outcome:
    """Go through the steps. Returns None if the message is on its way, a refusal, or a coroutine that returns one of these."""
    for step in call.steps:
        outcome = step(call)
        if outcome is not None:
            if outcome is DONE:
                return None
            if type(outcome) is Refusal:
                return outcome
            call.steps = call.steps[call.steps.index(step) + 1 :]
            return _go_on(outcome, call)
    return None


async def _go_on(awaited: Awaitable, call: Call) -> Refusal | None:
    outcome = await awaited
    if outcome is DONE:
        return None
    if outcome is None:
        outcome = admit(call)
    return outcome if outcome is None or type(outcome) is Refusal else await outcome


# -- what is said of it ----------------------------------------------------------------------------------------------------


def revision(call: Call) -> Outcome:
    """`MCP-Protocol-Version` must be one we know (2025-06-18, "Protocol Version Header")."""
    return call.head.bad_revision


def handshake_era(call: Call) -> Outcome:
    """The modern era has neither a stream to listen to nor a session to end."""
    if call.head.says_modern and b"mcp-session-id" not in call.request.headers:
        return method_not_allowed(b"POST")
    return None


def accepts_events(call: Call) -> Outcome:
    return None if call.head.takes_events else Refusal(406, INVALID_REQUEST, "GET needs Accept: text/event-stream")


def batch_of_handshake_era(call: Call) -> Outcome:
    if call.head.says_modern or (header_rules.MARK in call.request.body and _has_envelope(call.request.body)):
        return Refusal(400, INVALID_REQUEST, "batches are not part of MCP 2026-07-28")
    return None


def split(call: Call) -> Outcome:
    """A batch is split for the child and answered together; all of it is refused if any part is."""
    try:
        call.messages = messages_of(call.request.body, call.session.revision)
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
    return call.service.room(call.session) if call.service.is_full(call.session) else None


def rate(call: Call) -> Outcome:
    """The caller has not asked too often (--callers)."""
    access = call.service.access
    return None if access is None else access.too_often(_caller(call), call.service.loop.time())


def _caller(call: Call) -> str:
    return call.request.caller or call.request.principal


# -- whether its caller may do this ------------------------------------------------------------------------------------------


def permit(call: Call) -> Outcome:
    """Its caller may do this, by the rules of --callers, and sees of a list what those show. The last thing that is asked: what it
    decides by is what the child gets."""
    return None if call.service.access is None else _permitted(call, call.message)


def _permitted(call: Call, message: Envelope) -> Refusal | None:
    """The same for one of a batch."""
    service, session = call.service, call.session
    view = service.access.view(call.request.principal)
    denial = None if view.sees_all else view.denial(message, spelling.params(message), session.relay.policy.profile.own_name)
    if denial is None:
        return None
    call.rule = denial.rule
    return denial.refusal


def permit_notice(call: Call) -> Outcome:
    """A notification goes on, or to nobody: its client is not told what becomes of it."""
    if _may_tell(call, call.message):
        return None
    if call.response is not None:
        call.response.accepted()
    return DONE


def _may_tell(call: Call, message: Envelope) -> bool:
    service = call.service
    if service.access is None or message.method is None:
        return True
    service.access.spend(_caller(call), 1, service.loop.time())
    if service.access.view(call.request.principal).may_notify(message.method):
        return True
    service.counts.strays["denied"] += 1
    return False


def _seen(call: Call, message: Envelope, outbox):
    """The outbox of a request, which shows its caller no more of a list than it may see."""
    access = call.service.access
    if access is None or message.method not in LISTS:
        return outbox
    view = access.view(call.request.principal)
    return Shown(outbox, view, message.method, call.session.relay.policy.profile.own_name) if view.shows(message.method) else outbox


# -- whose session it is ------------------------------------------------------------------------------------------------------


def initialize(call: Call) -> Outcome:
    """The message that opens a session."""
    opened = call.service.initialize(TRANSPORT, call.message, call.request.principal, caller=call.request.caller)
    return _greeted(call, *opened) if type(opened) is tuple else _greeted_later(call, opened)


async def _greeted_later(call: Call, opening: Awaitable) -> Outcome:
    return _greeted(call, *await opening)


def _greeted(call: Call, session, answer: bytes | Refusal) -> Outcome:
    if type(answer) is Refusal:
        return answer
    call.response.json(answer, ((b"mcp-session-id", session.id.encode()),))
    return DONE


def session(call: Call) -> Outcome:
    """The session that it names (basic/transports, "Session Management"). One that was taken up from its id has no child yet."""
    id, service, principal = call.request.headers.get(b"mcp-session-id"), call.service, call.request.principal
    if id is not None:
        call.session = service.sessions.known(id.decode("latin-1"), principal)
        if call.session is not None:
            return None
    message = call.message
    if service.older is not None and message and service.tell_older((id or b"").decode("latin-1"), principal, message):
        call.response.accepted()
        return DONE
    call.session, refusal = service.find_session(id, principal, call.request.headers)
    if refusal is not None or call.session.relay is not None:
        return refusal
    return service.children.connect(call.session)


# -- and on its way -----------------------------------------------------------------------------------------------------------


def notification(call: Call) -> Outcome:
    """A notification, or an answer to the child: nobody waits for it."""
    call.service.tell(call.session, call.message)
    call.response.accepted()
    return DONE


def request(call: Call) -> Outcome:
    response = call.response
    if response is None:
        outbox = call.outbox
    else:
        outbox = Reply(call.service, call.session, call.head.takes_json, call.head.takes_events, response)
        if response.on_gone is not None:
            response.on_gone = None  # a client of the handshake era that leaves has not cancelled (basic/transports)
    return call.service.request(call.session, call.message, _seen(call, call.message, outbox), call.request.headers) or DONE


def batch(call: Call) -> Outcome:
    reply = Reply(call.service, call.session, call.head.takes_json, call.head.takes_events, call.response)
    if not put_batch(call, reply):
        call.response.accepted()
    return DONE


def put_batch(call: Call, outbox) -> int:
    """Put the messages of a batch on their way, and their answers together into one. Returns how many are requests."""
    service, requests = call.service, sum(message.method is not None and bool(message.id) for message in call.messages)
    gather = Gather(outbox, requests)
    if service.access is not None:
        service.access.spend(_caller(call), requests - 1, service.loop.time())
    for message in call.messages:
        if not message.id or message.method is None:
            if _may_tell(call, message):
                service.tell(call.session, message)
            continue
        one = _seen(call, message, gather)
        refusal = None if service.access is None else _permitted(call, message)
        if refusal := refusal or service.request(call.session, message, one, call.request.headers):
            one.answer(service.profile.refusal(bytes(message.id), message.method, refusal.code, refusal.message, message.params))
    return requests


def other_method(call: Call) -> Outcome:
    return method_not_allowed(b"GET, POST, DELETE")


def end(call: Call) -> Outcome:
    call.service.end(call.session)
    call.response.json(b"{}")
    return DONE


def messages_of(body: bytes, revision: str) -> list[Envelope]:
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
    ids = [bytes(message.id) for message in messages if message.id and message.method is not None]
    if len(set(ids)) < len(ids):
        raise Malformed(INVALID_REQUEST, "two requests of the batch have the same id")
    return messages


def _has_envelope(body: bytes) -> bool:
    """Whether any part of a batch is of the era that has none."""
    try:
        parts = [envelope.from_client(part) for part in envelope.split(body)]
    except Malformed:
        return False  # refused for that
    return any(envelope.peek_meta(envelope.peek(part.params).meta).revision for part in parts)


def method_not_allowed(allow: bytes) -> Refusal:
    return Refusal(405, INVALID_REQUEST, f"method not allowed: use {allow.decode()}", ((b"allow", allow),))


# -- the tables -----------------------------------------------------------------------------------------------------------------

# Streamable HTTP of the handshake era. (That of the modern one is in modern.py, those of a connection in conversation.py.)
REQUEST = (revision, not_draining, rate, session, room, permit, request)
INITIALIZE = (revision, not_draining, rate, initialize)
NOTIFICATION = (revision, not_draining, session, room, permit_notice, notification)
BATCH = (batch_of_handshake_era, revision, not_draining, rate, session, split, room, batch)
GET = (handshake_era, accepts_events, revision, not_draining, rate, stream_left, session)
DELETE = (handshake_era, revision, session, end)
OTHER = (handshake_era, other_method)
