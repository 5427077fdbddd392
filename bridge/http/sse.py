"""HTTP+SSE, the transport of 2024-11-05: the stream at `/sse`, what the client says at `/messages`."""

from collections.abc import Coroutine
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from bridge.http.admission import Admission
from bridge.http.answers import send_refusal
from bridge.http.asgi import AsgiResponse, read_request, request_from
from bridge.http.call import ANY, NO_MESSAGE, Call, admit, admitted
from bridge.http.conversation import Conversation
from bridge.http.prefix import prefix
from bridge.http.request import MOST, Request, Response
from bridge.http.service import Service
from bridge.http.steps import method_not_allowed
from bridge.http.stream import frame, open_stream, pump_listening
from bridge.protocol.errors import INVALID_REQUEST, NULL_ID, Reason, Refusal, error_body

TRANSPORT = "sse"


class Sse:
    """The `/sse` and `/messages` endpoints of one service."""

    fast: tuple[bytes, ...] = (b"POST",)  # the methods of /messages that may go the fast path

    def __init__(self, service: Service, admission: Admission, prefix: str, older: "Sse | None" = None):
        self.service = service
        self.admission = admission
        self.most = min(service.settings.max_body, MOST)
        self.prefix = prefix
        # With those whose streams a service before this one still serves.
        self._conversations: dict[str, Conversation] = older._conversations if older else {}

    async def listen(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /sse: a new connection. The first event names the URI to POST to, with the prefix a proxy took off."""
        service, request = self.service, request_from(scope, b"", TRANSPORT)
        if request.method != b"GET":
            return await send_refusal(send, method_not_allowed(b"GET"))
        if refusal := await admitted(Call(self.admission.connect, service, request, AsgiResponse(service), ANY, NO_MESSAGE)):
            return await send_refusal(send, refusal)
        stream = open_stream(service, request.principal, request.caller)
        id = token_urlsafe(16)
        conversation = Conversation(service, self.admission, request, stream, frame)
        self._conversations[id] = conversation
        stream.push(b"event: endpoint\ndata: %b/messages?session_id=%b\n\n" % (self._outer(scope, request.headers), id.encode()))
        try:
            await pump_listening(service, stream, scope, receive, send)
        finally:
            del self._conversations[id]
            conversation.close()

    async def post(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /messages by ASGI."""
        response = AsgiResponse(self.service)
        self.answer(await read_request(scope, receive, self.service, TRANSPORT), response)
        await response.finish(receive, send)

    def answer(self, request: Request, response: Response) -> None:
        """202 at once; the answer, and what is wrong with the message, come on the stream."""
        found = self._conversation(request)
        if isinstance(found, Refusal):
            return _refuse(response, found)
        call = found.call(request.body, request.headers)
        outcome = admit(call)
        if isinstance(outcome, Refusal):
            if outcome.reason is Reason.LIMIT:
                response.slow_down()
            if call.message is NO_MESSAGE and not self.service.is_litellm:  # nobody waits for it on the stream
                return _refuse(response, outcome, call.malformed.id if call.malformed else NULL_ID)
            found.refuse(call, outcome)
        elif outcome is not None:
            is_held_up = found.is_held_up(call)
            response.later(_accept(found.finish(outcome, call), response))
            if is_held_up:
                return None  # accepted when there is room; at once, though it waits for a child
        return response.accepted()

    def _conversation(self, request: Request) -> Conversation | Refusal:
        if request.method != b"POST":
            return method_not_allowed(b"POST")
        id = request.query.removeprefix(b"session_id=").decode("latin-1")
        if id not in self._conversations:  # perhaps there is more in the query
            query = parse_qs(request.query.decode("latin-1"))
            id = (query.get("session_id") or query.get("sessionId") or [""])[0]
        if not id:
            return Refusal(400, INVALID_REQUEST, "session_id is missing: use the URI of the endpoint event", reason=Reason.SESSION)
        found = self._conversations.get(id)
        if found is None or found.principal != request.principal or found.stream.closed:
            return Refusal(404, INVALID_REQUEST, "no such session: its stream is closed", reason=Reason.SESSION)
        return found

    def _outer(self, scope: Scope, headers: dict[bytes, bytes]) -> bytes:
        """The path before ours, as the client sees it."""
        return prefix(headers, self.service.settings.root_path or scope.get("root_path", "")) + self.prefix.encode()


def _refuse(response: Response, refusal: Refusal, id: bytes = NULL_ID) -> None:
    response.failed(refusal.status, error_body(id, refusal.code, refusal.message), refusal.headers)


async def _accept(waits: Coroutine[Any, Any, None], response: Response) -> None:
    await waits
    if not response.is_answered:
        response.accepted()
