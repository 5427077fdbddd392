"""One message on its way in, and how it goes through the steps of its table. The tables are in `admission.py`.

A step looks at a `Call` and says one of four things: None, and the next step has its turn; a `Refusal`; `DONE`, the message is
answered or on its way; or something to be waited for, which says one of the first three. Nothing is waited for where nothing has to be,
so a plain call goes through without a task.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

from msgspec import Raw, Struct

from bridge.callers.audit import Audit
from bridge.http.body import TooLong
from bridge.http.head import Head
from bridge.http.request import Request, Response
from bridge.http.service import Entry, Service
from bridge.protocol import envelope, spelling
from bridge.protocol.envelope import ABSENT, Envelope, Meta, ModernParams, Params, from_client, is_batch, split
from bridge.protocol.errors import CANCELLED, NULL_ID, Malformed, Reason, Refusal
from bridge.protocol.outbox import Outbox
from bridge.protocol.outcome import DONE, Outcome
from bridge.protocol.relay import Relay
from bridge.protocol.session import Session

NO_MESSAGE = Envelope()
ANY = Head(True, True, False, None, None)


class Child(Protocol):
    """What steps need of the child that a modern call is for."""

    @property
    def relay(self) -> Relay: ...


class Connection(Protocol):
    """What steps need of a `conversation.Conversation`."""

    session: Session | None

    def open(self, call: "Call") -> Outcome: ...

    def adopt(self) -> Session: ...


class Call(Struct, eq=False):
    """One message on its way in, and what the steps find out about it. (msgspec sets a member later at four times the price.)"""

    steps: "Steps"  # that it has to go through
    service: Service
    request: Request
    response: Response
    head: Head  # what the HTTP request says of itself
    message: Envelope  # NO_MESSAGE: a batch, or what cannot be read, or has no body
    outbox: Outbox | None = None  # where its answer goes, if not to a Reply: a connection, a batch, or a ModernReply
    session: Session | None = None  # from the step `session` or `connection_session` on
    messages: tuple[Envelope, ...] = ()  # of a batch
    connection: Connection | None = None  # that it came on
    malformed: Malformed | None = None  # why it is no message
    params: Params | None = None  # of the message, once somebody has asked for them: `params_of`
    rule: str = ""  # of the callers file, which refused it
    is_passed_on: bool = False  # from a group to a member, whose steps have counted it and written it down
    lets_pass: bool = False  # what comes after it on its connection need not wait until it has gone on
    entry: Entry | None = None


class ModernCall(Call, kw_only=True, eq=False):
    """One of the era without a handshake."""

    params: ModernParams
    meta: Meta
    is_familiar: bool = False  # the same was said before
    duplicates: frozenset[bytes] = frozenset()  # names of headers that came more than once
    child: Child | None = None  # which the service has found for it


def params_of(call: Call) -> Params:
    """The members of its params that rules look at, found once for all steps."""
    params = call.params
    if params is None:
        params = call.params = spelling.params(call.message)
    return params


CANCELLED_BY_CLIENT = Refusal(200, CANCELLED, "request cancelled by the client", reason=Reason.REQUEST)
Step = Callable[[Call], Outcome]
Steps = tuple[Step, ...]


def admit(call: Call) -> Refusal | Coroutine[Any, Any, Refusal | None] | None:
    """Go through the steps. Returns None if the message is on its way, a refusal, or a coroutine that returns one of these."""
    for step in call.steps:
        outcome = step(call)
        if outcome is not None:
            if outcome is DONE:
                _done(call)
                return None
            if isinstance(outcome, Refusal):
                return _refused(call, outcome)
            call.steps = call.steps[call.steps.index(step) + 1 :]
            return _go_on(outcome, call, Pending.of(call))
    return None


async def admitted(call: Call) -> Refusal | None:
    """The same for who has to wait anyway."""
    outcome = admit(call)
    return outcome if outcome is None or isinstance(outcome, Refusal) else await outcome


class Pending:
    """A request of a session that waits between two steps: its client may cancel it. The session knows it from the moment on in which it
    began to wait, though its task has its first turn later, and for as long as that holds it."""

    __slots__ = ("__weakref__", "is_cancelled", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None
        self.is_cancelled = False

    @classmethod
    def of(cls, call: Call) -> "Pending | None":
        if call.session is None or not call.message.is_request or call.message.method == "initialize":
            return None
        pending = cls()
        call.session.pending[envelope.key(call.message.id)] = pending
        return pending

    def cancel(self) -> None:
        if self.task is not None and not self.is_cancelled:
            self.task.cancel()
        self.is_cancelled = True

    async def wait(self, awaited: Awaitable[Outcome]) -> Outcome:
        if self.is_cancelled:
            awaited.close() if isinstance(awaited, Coroutine) else asyncio.ensure_future(awaited).cancel()
            raise asyncio.CancelledError
        self.task = asyncio.current_task()
        return await awaited

    def was_cancelled(self) -> bool:
        """Whether it was its client who ended the wait: then its task goes on."""
        if self.is_cancelled and self.task is not None:
            self.task.uncancel()
        return self.is_cancelled


async def _go_on(awaited: Awaitable[Outcome], call: Call, pending: Pending | None) -> Refusal | None:
    try:
        outcome = await (awaited if pending is None else pending.wait(awaited))
    except asyncio.CancelledError:  # its client has left, or says so
        _done(call, "cancelled")
        if pending is None or not pending.was_cancelled():
            raise
        return CANCELLED_BY_CLIENT if call.outbox is None or call.outbox.answers_cancelled else None
    del pending  # it waits no more
    if outcome is None:
        return await admitted(call)
    if outcome is DONE:
        _done(call)
        return None
    return _refused(call, outcome) if isinstance(outcome, Refusal) else await _go_on(outcome, call, Pending.of(call))


def _done(call: Call, outcome: str = "ok") -> None:
    """It is on its way, or was answered by one of the steps: then nobody else ends its entry."""
    if call.entry is not None and not call.entry.is_taken:
        if call.session is not None:
            call.entry.client = call.session.client
        call.entry.end(outcome)


def _refused(call: Call, refusal: Refusal) -> Refusal:
    """All refusals of all transports come by here once; what an operator wants to know of each has its place here."""
    if call.is_passed_on:
        return refusal
    call.service.counts.refusals[str(refusal.status)] += 1
    if call.entry is not None:
        if call.session is not None:
            call.entry.client = call.session.client
        call.entry.refuse(refusal, call.rule)
    elif call.service.audit is not None and call.message is NO_MESSAGE:
        _write_down(call, call.service.audit, refusal)
    return refusal


def _write_down(call: Call, audit: Audit, refusal: Refusal) -> None:
    """The requests in what was refused as a whole: each part of a batch, and what is too long or of no use."""
    if not audit.may_go_on():
        return
    request = call.request
    for message in call.messages or _requests_in(call) or ([NO_MESSAGE] if refusal.reason is Reason.LIMIT else ()):
        if message.is_request or message is NO_MESSAGE:
            entry = audit.begin(message, request, len(message.params))
            entry.client = call.session.client if call.session is not None else ABSENT
            entry.refuse(refusal, call.rule)


def _requests_in(call: Call) -> list[Envelope]:
    """As far as they can be told."""
    body = call.request.body
    found: list[Envelope] = []
    try:
        parts = split(body) if isinstance(body, bytes) and is_batch(body) else []
    except Malformed:
        return found
    for part in parts:
        with suppress(Malformed):
            found.append(from_client(part))
    if not parts:
        id, method, params = request_of(call)
        if id != NULL_ID:
            found.append(Envelope(id=Raw(id), method=method, params=params))
    return found


def request_of(call: Call) -> tuple[bytes, str | None, Raw]:
    """The id, method and params of the request that is refused, as far as they can be told."""
    message, body = call.message, call.request.body
    if message is NO_MESSAGE:
        if isinstance(body, TooLong):
            return body.id or NULL_ID, "tools/call" if body.id and body.is_call else None, ABSENT
        try:
            message = from_client(body)
        except Malformed as error:
            return error.id, "tools/call" if error.id != NULL_ID and b'"tools/call"' in body else None, ABSENT
    return bytes(message.id if message.method else b"") or NULL_ID, message.method, message.params
