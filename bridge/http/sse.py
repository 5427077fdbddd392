"""HTTP+SSE, the transport of 2024-11-05: the stream at `/sse`, what the client says at `/messages`."""

from secrets import token_urlsafe
from urllib.parse import parse_qs

from bridge.http import body as bodies
from bridge.http.admission import method_not_allowed
from bridge.http.answers import send_refusal
from bridge.http.asgi import AsgiResponse
from bridge.http.conversation import Conversation
from bridge.http.prefix import prefix
from bridge.http.request import MOST, Request, Response
from bridge.http.stream import frame, open_stream, pump_listening
from bridge.protocol.errors import INVALID_REQUEST, NULL_ID, Malformed, Refusal, error_body

TRANSPORT = "sse"


class Sse:
    """The `/sse` and `/messages` endpoints of one service."""

    fast = (b"POST",)  # the methods of /messages that may go the fast path

    def __init__(self, service, prefix: str, older: "Sse | None" = None):
        self.service = service
        self.most = min(service.settings.max_body, MOST)
        self.prefix = prefix
        # With those whose streams a service before this one still serves.
        self._conversations: dict[str, Conversation] = older._conversations if older else {}

    async def listen(self, scope, receive, send) -> None:
        """GET /sse: a new connection. The first event names the URI to POST to, with the prefix a proxy took off."""
        service = self.service
        if scope["method"] != "GET":
            return await send_refusal(send, method_not_allowed(b"GET"))
        if refusal := service.not_now() or service.streams.refusal(scope["bridge.hold"].caller):
            return await send_refusal(send, refusal)
        headers = scope["bridge.headers"]
        stream = open_stream(service, scope["bridge.principal"], scope["bridge.hold"].caller)
        id = token_urlsafe(16)
        conversation = Conversation(service, TRANSPORT, scope["bridge.principal"], stream, frame, headers)
        self._conversations[id] = conversation
        stream.push(b"event: endpoint\ndata: %b/messages?session_id=%b\n\n" % (self._outer(scope, headers), id.encode()))
        try:
            await pump_listening(service, stream, scope, receive, send)
        finally:
            del self._conversations[id]
            conversation.close()

    async def post(self, scope, receive, send) -> None:
        """POST /messages by ASGI."""
        headers, service, method = scope["bridge.headers"], self.service, scope["method"].encode()
        body = b""
        if method == b"POST":
            scope["bridge.hold"].pot = service.memory
            body = await bodies.read(receive, headers, service.settings.max_body, scope["bridge.hold"], to_the_end=service.is_litellm)
        response = AsgiResponse(service)
        self.answer(
            Request(method, headers, scope["query_string"], body, scope["bridge.principal"], scope["headers"], scope["bridge.hold"].caller),
            response,
        )
        await response.finish(receive, send)

    def answer(self, request: Request, response: Response) -> None:
        """202 at once; the answer, and what is wrong with the message, come on the stream."""
        found = self._conversation(request)
        if type(found) is Refusal:
            return _refuse(response, found)
        if type(request.body) is not bytes:
            return self._refuse_too_long(found, request.body, response)
        found.headers = request.headers
        try:
            waits = found.hear(request.body)
        except Malformed as error:
            if not self.service.is_litellm:
                return _refuse(response, error.refusal(), error.id)
            found.refuse_malformed(error, request.body)
            waits = None
        if waits is None:
            return response.accepted()
        response.later(_accept(waits, response))
        if found.is_opening:
            response.accepted()  # at once, though it waits for a child
        return None

    def _conversation(self, request: Request) -> "Conversation | Refusal":
        if request.method != b"POST":
            return method_not_allowed(b"POST")
        id = request.query.removeprefix(b"session_id=").decode("latin-1")
        if id not in self._conversations:  # perhaps there is more in the query
            query = parse_qs(request.query.decode("latin-1"))
            id = (query.get("session_id") or query.get("sessionId") or [""])[0]
        if not id:
            return Refusal(400, INVALID_REQUEST, "session_id is missing: use the URI of the endpoint event")
        found = self._conversations.get(id)
        if found is None or found.principal != request.principal or found.stream.closed:
            return Refusal(404, INVALID_REQUEST, "no such session: its stream is closed")
        return found

    def _refuse_too_long(self, conversation: Conversation, body: bodies.TooLong, response: Response) -> None:
        service = self.service
        refusal = bodies.refusal(service, body, conversation.stream.hold.caller)
        service.counts.refusals[str(refusal.status)] += 1
        if not service.is_litellm:
            return _refuse(response, refusal)
        method = "tools/call" if body.is_call else None
        conversation.put(service.profile.refusal(body.id or NULL_ID, method if body.id else None, refusal.code, refusal.message))
        return response.accepted()

    def _outer(self, scope, headers: dict) -> bytes:
        """The path before ours, as the client sees it."""
        return prefix(headers, self.service.settings.root_path or scope.get("root_path", "")) + self.prefix.encode()


def _refuse(response: Response, refusal: Refusal, id: bytes = NULL_ID) -> None:
    response.failed(refusal.status, error_body(id, refusal.code, refusal.message), refusal.headers)


async def _accept(waits, response: Response) -> None:
    await waits
    if not response.is_answered:
        response.accepted()
