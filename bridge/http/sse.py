"""HTTP+SSE, the transport of 2024-11-05: the stream at `/sse`, what the client says at `/messages`."""

from secrets import token_urlsafe
from urllib.parse import parse_qs

from bridge.http import body as bodies
from bridge.http.answers import send_json, send_method_not_allowed, send_refusal
from bridge.http.conversation import Conversation
from bridge.http.prefix import prefix
from bridge.http.stream import frame
from bridge.protocol.errors import INVALID_REQUEST, NULL_ID, Malformed, Refusal, error_body

TRANSPORT = "sse"


class Sse:
    """The `/sse` and `/messages` endpoints of one service."""

    short = (b"POST",)  # the methods of /messages that may go the short way

    def __init__(self, service, prefix: str, older: "Sse | None" = None):
        self.service = service
        self.prefix = prefix
        # With those whose streams a service before this one still serves.
        self._conversations: dict[str, Conversation] = older._conversations if older else {}

    async def listen(self, scope, receive, send) -> None:
        """GET /sse: a new connection. The first event names the URI to POST to, with the prefix a proxy took off."""
        service = self.service
        if scope["method"] != "GET":
            return await send_method_not_allowed(send, b"GET")
        if refusal := service.not_now() or service.no_stream_left():
            return await send_refusal(send, refusal)
        headers = scope["bridge.headers"]
        stream = service.open_stream(scope["bridge.principal"])
        id = token_urlsafe(16)
        conversation = Conversation(service, TRANSPORT, scope["bridge.principal"], stream, frame, headers)
        self._conversations[id] = conversation
        stream.push(b"event: endpoint\ndata: %b/messages?session_id=%b\n\n" % (self._outer(scope, headers), id.encode()))
        try:
            await service.pump_listening(stream, scope, receive, send)
        finally:
            del self._conversations[id]
            conversation.close()

    async def post(self, scope, receive, send) -> None:
        """POST /messages: 202 at once; the answer, and what is wrong with the request, come on the stream."""
        service = self.service
        if scope["method"] != "POST":
            return await send_method_not_allowed(send, b"POST")
        query = parse_qs(scope["query_string"].decode("latin-1"))
        id = (query.get("session_id") or query.get("sessionId") or [""])[0]
        if not id:
            return await send_refusal(send, Refusal(400, INVALID_REQUEST, "session_id is missing: use the URI of the endpoint event"))
        conversation = self._conversations.get(id)
        if conversation is None or conversation.principal != scope["bridge.principal"] or conversation.stream.closed:
            return await send_refusal(send, Refusal(404, INVALID_REQUEST, "no such session: its stream is closed"))
        body = await bodies.read(receive, scope["bridge.headers"], service.settings.max_body, to_the_end=service.is_kind)
        if isinstance(body, bodies.TooLong):
            return await self._refuse_too_long(conversation, body, send)
        conversation.headers = scope["bridge.headers"]
        try:
            if b'"initialize"' in body:
                service.spawn(self._open(conversation, body))  # it may wait for a child
            else:
                await conversation.hear(body)
        except Malformed as error:
            if not service.is_kind:
                return await send_json(send, error_body(error.id, error.code, error.message), 400)
            conversation.refuse_malformed(error, body)
        await send({"type": "http.response.start", "status": 202,
                    "headers": [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"8")]})
        await send({"type": "http.response.body", "body": b"Accepted"})

    def take(self, method: bytes, headers: dict, query: bytes, body: bytes, principal: str, way) -> bool:
        """The same for a message with nothing special about it, at once. False if it needs the long way."""
        conversation = self._conversations.get(query.removeprefix(b"session_id=").decode("latin-1"))
        if conversation is None or conversation.principal != principal or conversation.stream.closed \
                or not conversation.hear_now(body, headers):
            return False
        way.accepted()
        return True

    async def _open(self, conversation: Conversation, body: bytes) -> None:
        try:
            await conversation.hear(body)
        except Malformed as error:
            conversation.refuse_malformed(error, body)

    async def _refuse_too_long(self, conversation: Conversation, body: bodies.TooLong, send) -> None:
        service = self.service
        why = f"the body is longer than {service.settings.max_body} bytes (--max-body)"
        service.counts.refusals["413"] += 1
        if not service.is_kind:
            return await send_refusal(send, Refusal(413, INVALID_REQUEST, why))
        method = "tools/call" if body.is_call else None
        conversation.put(service.profile.refusal(body.id or NULL_ID, method if body.id else None, INVALID_REQUEST, why))
        await send_json(send, b"{}", 202)

    def _outer(self, scope, headers: dict) -> bytes:
        """The path before ours, as the client sees it."""
        return prefix(headers, self.service.settings.root_path or scope.get("root_path", "")) + self.prefix.encode()
