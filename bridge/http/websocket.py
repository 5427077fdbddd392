"""WebSocket at `/ws`, subprotocol `mcp`: one message a frame, in both directions. The session is the connection."""

import anyio
from starlette.types import Message, Receive, Scope, Send

from bridge.http.admission import Admission
from bridge.http.answers import send_refusal_of_websocket
from bridge.http.asgi import AsgiResponse, request_from
from bridge.http.body import KEPT, TooLong
from bridge.http.call import ANY, NO_MESSAGE, Call, admit, admitted
from bridge.http.conversation import Conversation
from bridge.http.request import LIMITED, REST
from bridge.http.service import Service
from bridge.http.stream import Stream, open_stream
from bridge.protocol.errors import Reason, Refusal

TRANSPORT = "websocket"
GOING_AWAY, POLICY = 1001, 1008  # RFC 6455, 7.4.1
TOKEN_ENDED = "the token has expired or is not good any more: connect again with another one"
LAST_WORD = 1.0  # seconds for telling a slow reader that it is one


class WebSocket:
    """The `/ws` endpoint of one service."""

    def __init__(self, service: Service, admission: Admission):
        self.service = service
        self.admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        service, request = self.service, request_from(scope, b"", TRANSPORT)
        scope["bridge.hold"].pot = service.memory
        if refusal := await admitted(Call(self.admission.connect, service, request, AsgiResponse(service), ANY, NO_MESSAGE)):
            return await send_refusal_of_websocket(send, refusal)
        subprotocol = "mcp" if "mcp" in scope.get("subprotocols", ()) else None
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        stream = open_stream(service, request.principal, request.caller)
        stream.beats = False  # uvicorn's own pings keep the connection alive
        conversation = Conversation(service, self.admission, request, stream, bytes)
        try:
            with stream.sending():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._hear_all, conversation, receive, tasks.cancel_scope)
                    await self._say_all(stream, send)
                    tasks.cancel_scope.cancel()
        finally:
            conversation.close()
        if stream.overflowed:
            with anyio.move_on_after(LAST_WORD):
                await self._say(send, {"type": "websocket.close", "code": POLICY, "reason": "reader too slow"})

    async def _hear_all(self, conversation: Conversation, receive: Receive, scope: anyio.CancelScope) -> None:
        limited = 0  # messages in a row
        async with anyio.create_task_group() as tasks:
            while True:
                event = await receive()
                if event["type"] == "websocket.disconnect":
                    break
                text = event.get("text")
                frame: bytes = event["bytes"] if text is None else text.encode("utf-8", "surrogatepass")
                is_too_long = len(frame) > self.service.settings.max_body
                call = conversation.call(TooLong(frame[:KEPT], frame[-KEPT:]) if is_too_long else frame, conversation.request.headers)
                outcome = admit(call)
                limited = limited + 1 if isinstance(outcome, Refusal) and outcome.reason is Reason.LIMIT else 0
                if isinstance(outcome, Refusal):
                    conversation.refuse(call, outcome)
                    if limited > LIMITED:  # it goes on though it was told: what it sends is read later, as on the fast path
                        await anyio.sleep(REST)
                elif outcome is not None and conversation.is_held_up(call):
                    await conversation.finish(outcome, call)
                elif outcome is not None:
                    tasks.start_soon(conversation.finish, outcome, call)  # what comes meanwhile is heard
            tasks.cancel_scope.cancel()
        scope.cancel()

    async def _say_all(self, stream: Stream, send: Send) -> None:
        while messages := await stream.take():
            for message in messages:
                if not await self._say(send, {"type": "websocket.send", "text": message.decode(errors="replace")}):
                    return
        if stream.overflowed:
            return
        if self.service.draining:
            await self._say(send, {"type": "websocket.close", "code": GOING_AWAY, "reason": "the bridge is shutting down"})
        else:
            await self._say(send, {"type": "websocket.close", "code": POLICY, "reason": TOKEN_ENDED})

    async def _say(self, send: Send, event: Message) -> bool:
        """Send an event. False if the client has gone."""
        try:
            await send(event)
            return True
        except OSError:  # uvicorn's ClientDisconnected
            return False
