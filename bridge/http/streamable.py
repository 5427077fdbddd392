"""Streamable HTTP: where a POST comes in, the GET stream, and DELETE (2025-03-26 to 2025-11-25, basic/transports)."""

from msgspec import Raw

from bridge.http import body as bodies
from bridge.http.answers import NO_STORE, send_accepted, send_json, send_method_not_allowed, send_refusal
from bridge.http.modern import Modern
from bridge.http.reply import Awaited, Gather, Listening, Reply
from bridge.http.stream import Stream, frame
from bridge.protocol import envelope
from bridge.protocol.eras import ladder
from bridge.protocol.errors import INVALID_REQUEST, NULL_ID, Malformed, Refusal
from bridge.protocol.revisions import HANDSHAKE, has_batches

EVENT_STREAM = ((b"content-type", b"text/event-stream"), NO_STORE, (b"x-accel-buffering", b"no"))
TRANSPORT = "streamable-http"
_KNOWN_VERSIONS = frozenset(version.encode() for version in HANDSHAKE)


class Streamable:
    """The `/mcp` endpoint of one service. Bare ASGI: Starlette's routing and Request cost more than the relay itself."""

    short = (b"POST", b"DELETE")  # the methods that may go the short way

    def __init__(self, service):
        self.service = service
        self.modern = Modern(service)
        self._accepts: dict[bytes, tuple[bool, bool]] = {}

    async def __call__(self, scope, receive, send) -> None:
        """Where a POST comes in; GET and DELETE go on to methods of their own."""
        headers = scope["bridge.headers"]
        if scope["method"] != "POST":
            return await self._other(scope, headers, receive, send)
        service = self.service
        takes_json, takes_events = self._accepted(headers.get(b"accept"))
        body = await bodies.read(receive, headers, service.settings.max_body, to_the_end=service.is_kind)
        if type(body) is not bytes or not (takes_json or takes_events) or not _is_json(headers):
            return await self._refuse_outside(send, body, headers, takes_json or takes_events)
        service.counts.bytes_in += len(body)
        may_be_modern = ladder.MARK in body or ladder.says_modern(headers.get(ladder.VERSION)) and not service.is_kind
        refusal = None if may_be_modern else self._bad_version(headers) or service.not_now()
        if refusal is not None:
            return await self._refuse(send, refusal, body)
        if envelope.is_batch(body):
            return await self._post_batch(scope, headers, body, send, takes_json, takes_events)
        try:
            message = envelope.from_client(body)
        except Malformed as error:
            return await self._refuse(send, error.refusal(), body, error.id)
        if may_be_modern:
            if self._is_modern(message, headers):
                refusal = await self.modern.post(scope, message, headers, receive, send, takes_json, takes_events)
                return await self._refuse_modern(send, refusal, message) if refusal else None
            if refusal := self._bad_version(headers) or service.not_now():
                return await self._refuse(send, refusal, body)
        if message.method == "initialize" and message.id:
            return await self._initialize(scope, message, receive, send)
        if service.older is not None and service.tell_older(headers.get(b"mcp-session-id", b"").decode("latin-1"), scope["bridge.principal"], message):
            return await send_accepted(send)
        session, refusal = await service.find_session(headers.get(b"mcp-session-id"), scope["bridge.principal"], headers)
        if refusal is not None:
            return await self._refuse(send, refusal, body, bytes(message.id) or NULL_ID)
        if message.method is None or not message.id:
            service.tell(session, message)
            return await send_accepted(send)
        way = Awaited(service.loop)
        reply = Reply(service, session, takes_json, takes_events, way)
        refusal = await service.room(session) if service.is_full(session) else None
        refusal = refusal or service.request(session, message, reply, headers)
        if refusal is not None:
            return await self._refuse(send, refusal, body, bytes(message.id))
        answer = await way.waiter
        if answer is None:
            await self._stream(reply.stream, send)
        else:
            await send_json(send, answer)
        if not session.id:
            service.end(session)

    def take(self, method: bytes, headers: dict, query: bytes, body: bytes, principal: str, way) -> bool:
        """The same for a request with nothing special about it, at once. False, and nothing done, if it needs the long way."""
        service = self.service
        id = headers.get(b"mcp-session-id")
        session = service.sessions.known(id.decode("latin-1"), principal) if id else None
        takes_json, takes_events = self._accepted(headers.get(b"accept"))
        if body.find(ladder.MARK) >= 0:  # twice as fast as `in`
            return takes_json and _is_json(headers) and self.modern.take(headers, body, takes_events, principal, way)
        if self._bad_version(headers) or service.draining or id and session is None or not takes_json:
            return False
        if method == b"DELETE":
            return session is not None and self._end_now(session, way)
        if not _is_json(headers):
            return False
        try:
            message = envelope.from_client(body)
        except Malformed:
            return False
        if session is None:
            return message.method == "initialize" and self._open_now(message, principal, way)
        if service.is_full(session):
            return False
        if message.method is None or not message.id:
            service.tell(session, message)
            way.accepted()
        elif message.method == "initialize" or service.request(
                session, message, Reply(service, session, True, takes_events, way), headers) is not None:
            return False
        service.counts.bytes_in += len(body)
        return True

    def _is_modern(self, message: envelope.Envelope, headers: dict) -> bool:
        """The era of a message: that of its body, and where that says nothing, of its header."""
        meta = envelope.peek_meta(envelope.peek(message.params).meta)
        return bool(meta.revision) or ladder.says_modern(headers.get(ladder.VERSION)) and not self.service.is_kind

    def _open_now(self, message: envelope.Envelope, principal: str, way) -> bool:
        opened = self.service.initialize_now(TRANSPORT, message, principal) if message.id else None
        if opened is None:
            return False
        session, answer = opened
        way.whole(answer, b"mcp-session-id: %b\r\n" % session.id.encode())
        return True

    def _end_now(self, session, way) -> bool:
        self.service.end(session)
        way.whole(b"{}")
        return True

    async def _other(self, scope, headers: dict, receive, send) -> None:
        is_modern = ladder.says_modern(headers.get(ladder.VERSION)) and b"mcp-session-id" not in headers
        if is_modern and not self.service.is_kind:  # that era has neither a stream to listen to nor a session to end
            await send_method_not_allowed(send, b"POST")
        elif scope["method"] == "GET":
            await self.listen(scope, headers, receive, send)
        elif scope["method"] == "DELETE":
            await self.delete(scope, headers, receive, send)
        else:
            await send_method_not_allowed(send, b"GET, POST, DELETE")

    async def _initialize(self, scope, message, receive, send) -> None:
        done = await bodies.unless_left(receive, self.service.initialize(TRANSPORT, message, scope["bridge.principal"]))
        if done is None:
            return
        opened, answer = done
        if isinstance(answer, Refusal):
            return await send_refusal(send, answer, bytes(message.id))
        headers = ((b"mcp-session-id", opened.id.encode()),) if opened else ()
        await send_json(send, answer, 200, headers)

    async def _post_batch(self, scope, headers, body: bytes, send, takes_json: bool, takes_events: bool) -> None:
        """A batch is split for the child and answered together; all of it is refused if any part is."""
        service = self.service
        if ladder.MARK in body and _has_envelope(body) or ladder.says_modern(headers.get(ladder.VERSION)) and not service.is_kind:
            return await self._refuse(send, Refusal(400, INVALID_REQUEST, "batches are not part of MCP 2026-07-28"), body)
        session, refusal = await service.find_session(headers.get(b"mcp-session-id"), scope["bridge.principal"], headers)
        if refusal:
            return await self._refuse(send, refusal, body)
        try:
            messages = batch(body, session.revision)
        except Malformed as error:
            return await self._refuse(send, error.refusal(), body)
        requests = [message for message in messages if message.method is not None and message.id]
        way = Awaited(service.loop)
        reply = Reply(service, session, takes_json, takes_events, way)
        gather = Gather(reply, len(requests))
        if service.is_full(session) and (refusal := await service.room(session)):
            return await self._refuse(send, refusal, body)
        put_batch(service, session, messages, gather, headers)
        if not requests:
            return await send_accepted(send)
        answer = await way.waiter
        if answer is None:
            return await self._stream(reply.stream, send)
        await send_json(send, answer)

    async def _stream(self, stream: Stream | None, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(EVENT_STREAM)})
        if stream is not None:
            await self.service.pump(stream, send)
            if stream.overflowed:
                return  # without an end, which its reader would be too slow for; uvicorn then closes the connection
        await send({"type": "http.response.body", "body": b""})

    # -- GET --------------------------------------------------------------------------------------------------------------

    async def listen(self, scope, headers: dict, receive, send) -> None:
        """The standing stream of a session, or the rest of one that its client lost (`Last-Event-ID`)."""
        service = self.service
        _, takes_events = self._accepted(headers.get(b"accept"))
        if not takes_events:
            return await send_refusal(send, Refusal(406, INVALID_REQUEST, "GET needs Accept: text/event-stream"))
        refusal = self._bad_version(headers) or service.not_now() or service.no_stream_left()
        session = None
        if not refusal:
            session, refusal = await service.find_session(headers.get(b"mcp-session-id"), scope["bridge.principal"], headers)
        if refusal:
            return await send_refusal(send, refusal)
        stream = service.open_stream(scope["bridge.principal"])
        missed = service.replay.find(session, headers.get(b"last-event-id", b"").decode("latin-1"))
        if missed:
            recording, events = missed
            for event_id, message in events:
                if message:
                    stream.push(frame(message, event_id))
            if isinstance(recording.source, Reply):
                recording.source.resume(stream)
                return await self._stream(stream, send)
        listening = Listening(service, session, stream)
        session.listen(listening)
        try:
            await service.pump_listening(stream, scope, receive, send)
        finally:
            listening.close()
            if not session.id:
                service.end(session)

    # -- DELETE -----------------------------------------------------------------------------------------------------------

    async def delete(self, scope, headers: dict, receive, send) -> None:
        refusal = self._bad_version(headers)
        session = None
        if not refusal:
            session, refusal = await self.service.find_session(headers.get(b"mcp-session-id"), scope["bridge.principal"], headers)
        if refusal:
            return await send_refusal(send, refusal)
        self.service.end(session)
        await send_json(send, b"{}")

    # -- what is wrong with it ----------------------------------------------------------------------------------------------

    def _accepted(self, accept: bytes | None) -> tuple[bool, bool]:
        """Whether the client takes JSON, and whether it takes an event stream. None said is all taken (RFC 9110, 12.5.1)."""
        if accept is None:
            return True, True
        known = self._accepts.get(accept)
        if known is None:
            ranges = {item.partition(b";")[0].strip().lower() for item in accept.split(b",") if b"q=0" != item.replace(b" ", b"")[-3:]}
            json = bool(ranges & {b"application/json", b"application/*", b"*/*"})
            events = bool(ranges & {b"text/event-stream", b"text/*", b"*/*"})
            known = json, events
            if len(self._accepts) < 100:
                self._accepts[accept] = known
        return known

    def _bad_version(self, headers: dict) -> Refusal | None:
        """`MCP-Protocol-Version` must be one we know (2025-06-18, "Protocol Version Header")."""
        value = headers.get(b"mcp-protocol-version")
        if value is None or value in _KNOWN_VERSIONS or self.service.is_kind:
            return None
        versions = {part.strip() for part in value.decode("latin-1").split(",")}
        if len(versions) == 1 and versions <= set(HANDSHAKE):
            return None  # sent twice and joined, as LiteLLM 1.77.3 does
        return Refusal(400, INVALID_REQUEST, f"unsupported MCP-Protocol-Version {value.decode('latin-1')[:80]!r}: "
                                             f"use one of {', '.join(HANDSHAKE)}")

    async def _refuse_outside(self, send, body, headers: dict, is_accepted: bool) -> None:
        """The request is wrong before it is read: its size, its type, or what its client accepts."""
        limit = self.service.settings.max_body
        if isinstance(body, bodies.TooLong):
            refusal = Refusal(413, INVALID_REQUEST, f"the body is longer than {limit} bytes (--max-body)")
            if self.service.is_kind and body.id:
                answer = self.service.profile.refusal(body.id, "tools/call" if body.is_call else None,
                                                      refusal.code, refusal.message)
                return await send_json(send, answer)
            self.service.counts.refusals["413"] += 1
            return await send_refusal(send, refusal)
        if not is_accepted:
            return await self._refuse(send, Refusal(406, INVALID_REQUEST, "Accept must name application/json or "
                                                    "text/event-stream, better both"), body)
        given = headers.get(b"content-type", b"nothing").decode("latin-1")[:80]
        await self._refuse(send, Refusal(415, INVALID_REQUEST, f"Content-Type must be application/json, not {given}"), body)

    async def _refuse_modern(self, send, refusal: Refusal, message: envelope.Envelope) -> None:
        self.service.counts.refusals[str(refusal.status)] += 1
        await send_refusal(send, refusal, bytes(message.id) or NULL_ID)

    async def _refuse(self, send, refusal: Refusal, body: bytes, id: bytes = NULL_ID) -> None:
        """Say no, in the words of the profile: to LiteLLM's client, nothing but 200 is safe for a request."""
        service = self.service
        service.counts.refusals[str(refusal.status)] += 1
        if service.is_kind:
            id, method, params = request_in(body, id)
            if id != NULL_ID:
                return await send_json(send, service.profile.refusal(id, method, refusal.code, refusal.message, params))
            if method:  # a notification: nobody waits for it, but its client ends its session at a status that says no
                return await send_accepted(send)
        await send_refusal(send, refusal, id)


def batch(body: bytes, revision: str) -> list[envelope.Envelope]:
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


def put_batch(service, session, messages: list[envelope.Envelope], gather: Gather, headers: dict) -> None:
    for message in messages:
        if not message.id or message.method is None:
            service.tell(session, message)
        elif refusal := service.request(session, message, gather, headers):
            gather.answer(service.profile.refusal(bytes(message.id), message.method, refusal.code, refusal.message,
                                                  message.params))


def _has_envelope(body: bytes) -> bool:
    """Whether any part of a batch is of the era that has none."""
    try:
        parts = [envelope.from_client(part) for part in envelope.split(body)]
    except Malformed:
        return False  # refused for that
    return any(envelope.peek_meta(envelope.peek(part.params).meta).revision for part in parts)


def _is_json(headers: dict) -> bool:
    kind = headers.get(b"content-type")
    return kind == b"application/json" or kind is not None and kind.partition(b";")[0].strip().lower() == b"application/json"


def request_in(body: bytes, id: bytes) -> tuple[bytes, str | None, Raw]:
    """The id, method and params of the request that was refused, as far as they can be told."""
    try:
        message = envelope.from_client(body)
        return bytes(message.id if message.method else b"") or NULL_ID, message.method, message.params
    except Malformed as error:
        id = error.id if id == NULL_ID else id
        return id, "tools/call" if id != NULL_ID and b'"tools/call"' in body else None, envelope.ABSENT
