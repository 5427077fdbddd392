"""WebSocket at `/ws`, subprotocol `mcp`: one message a frame, in both directions. The session is the connection."""

from collections.abc import Coroutine

import anyio

from bridge.http.answers import send_refusal_of_websocket
from bridge.http.conversation import Conversation
from bridge.http.stream import Stream, open_stream
from bridge.protocol.errors import INVALID_REQUEST, Malformed

TRANSPORT = "websocket"
GOING_AWAY, TOO_SLOW = 1001, 1008  # RFC 6455, 7.4.1
LAST_WORD = 1.0  # seconds for telling a slow reader that it is one


class WebSocket:
    """The `/ws` endpoint of one service."""

    def __init__(self, service):
        self.service = service

    async def __call__(self, scope, receive, send) -> None:
        await receive()  # websocket.connect
        service = self.service
        scope["bridge.hold"].pot = service.memory
        if refusal := service.not_now() or service.streams.refusal(scope["bridge.hold"].caller):
            return await send_refusal_of_websocket(send, refusal)
        subprotocol = "mcp" if "mcp" in scope.get("subprotocols", ()) else None
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        stream = open_stream(service, scope["bridge.principal"], scope["bridge.hold"].caller)
        stream.beats = False  # uvicorn's own pings keep the connection alive
        conversation = Conversation(service, TRANSPORT, scope["bridge.principal"], stream, bytes, scope["bridge.headers"])
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
                await self._say(send, {"type": "websocket.close", "code": TOO_SLOW, "reason": "reader too slow"})

    async def _hear_all(self, conversation: Conversation, receive, scope: anyio.CancelScope) -> None:
        async with anyio.create_task_group() as tasks:
            while True:
                event = await receive()
                if event["type"] == "websocket.disconnect":
                    break
                text = event.get("text")
                frame = event.get("bytes") if text is None else text.encode("utf-8", "surrogatepass")
                waits = self._hear(conversation, frame)
                if waits is not None and conversation.is_opening:
                    tasks.start_soon(_all_of, waits)  # what comes meanwhile is heard
                elif waits is not None:
                    await waits
            tasks.cancel_scope.cancel()
        scope.cancel()

    def _hear(self, conversation: Conversation, frame: bytes) -> Coroutine | None:
        try:
            if len(frame) > self.service.settings.max_body:
                raise Malformed(INVALID_REQUEST, f"the message is longer than {self.service.settings.max_body} bytes (--max-body)")
            return conversation.hear(frame)
        except Malformed as error:
            return conversation.refuse_malformed(error, frame)

    async def _say_all(self, stream: Stream, send) -> None:
        while messages := await stream.take():
            for message in messages:
                if not await self._say(send, {"type": "websocket.send", "text": message.decode(errors="replace")}):
                    return
        if not stream.overflowed:
            await self._say(send, {"type": "websocket.close", "code": GOING_AWAY, "reason": "the bridge is shutting down"})

    async def _say(self, send, event: dict) -> bool:
        """Send an event. False if the client has gone."""
        try:
            await send(event)
            return True
        except OSError:  # uvicorn's ClientDisconnected
            return False


async def _all_of(work: Coroutine) -> None:
    await work
