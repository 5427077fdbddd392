"""What a group asks its members for itself: a request on its way to one, and the answer, which no connection waits for."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from msgspec import Raw

from bridge.group.member import Member
from bridge.http.call import Call, ModernCall, admitted
from bridge.http.modern import ModernReply
from bridge.http.reply import Reply
from bridge.http.request import Headers, Request, guarded
from bridge.http.service import Service
from bridge.http.stream import Stream
from bridge.protocol import envelope
from bridge.protocol.envelope import Envelope
from bridge.protocol.errors import INTERNAL_ERROR, Malformed, error_body
from bridge.protocol.session import Session


class Answer:
    """A `Response` whose body is `body`."""

    def __init__(self, service: Service):
        self.service = service
        self.on_gone: Callable[[], object] | None = None
        self.body: asyncio.Future[bytes] = service.loop.create_future()

    @property
    def is_answered(self) -> bool:
        return self.body.done()

    def json(self, body: bytes, headers: Headers = ()) -> None:
        if not self.body.done():
            self.body.set_result(body)

    def failed(self, status: int, body: bytes, headers: Headers = ()) -> None:
        self.json(body)

    def accepted(self) -> None:
        self.json(b"")

    def events(self, stream: Stream) -> None:
        stream.close()

    def nobody(self) -> None:
        self.json(b"")

    def slow_down(self) -> None:
        pass

    def later(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return self.service.spawn(guarded(self, work))


async def ask(call: Call, member: Member, session: Session | None, message: Envelope, request: Request) -> Envelope:
    """A member's answer to a request that was made in place of the one that `call` is. `session` is a seat's; None for the modern era."""
    service = member.service
    answer = Answer(service)
    inner: Call
    if session is None:
        assert isinstance(call, ModernCall)
        params = envelope.peek_modern(message.params)
        reply = ModernReply(service, request.principal, True, False, answer)
        given = (member.modern_steps, service, request, answer, call.head, message, reply)
        inner = ModernCall(*given, params=params, meta=call.meta, is_familiar=call.is_familiar, duplicates=call.duplicates)
    else:
        outbox = Reply(service, session, True, False, answer)
        inner = Call(member.steps, service, request, answer, call.head, message, outbox, session=session)
    refusal = await admitted(inner)
    if refusal is not None:
        return envelope.from_child(error_body(bytes(message.id), refusal.code, refusal.message))
    body = await answer.body
    try:
        return envelope.from_child(body)
    except Malformed as error:  # an answer of more members than we take apart
        return envelope.from_child(error_body(bytes(message.id), INTERNAL_ERROR, error.message))


def items_of(answer: Envelope, key: str) -> tuple[list[Raw], bytes] | None:
    """What one page of a list has, and the cursor of the next; None where it is no list."""
    members = envelope.object_or_none(answer.result) if answer.result else None
    if members is None or key not in members:
        return None
    items = envelope.array_or_none(members[key])
    cursor = bytes(members.get("nextCursor", b""))
    return None if items is None else (items, b"" if cursor in (b"null", b'""') else cursor)
