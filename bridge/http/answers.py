"""Sending whole HTTP responses over bare ASGI. Starlette's Response would do; it takes a third of a call's time."""

from starlette.types import Message, Send

from bridge.http.request import Headers
from bridge.protocol.errors import NULL_ID, Refusal, error_body

JSON = (b"content-type", b"application/json")


async def send_json(send: Send, body: bytes, status: int = 200, headers: Headers = ()) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [JSON, (b"content-length", b"%d" % len(body)), *headers]})
    await send({"type": "http.response.body", "body": body})


async def send_refusal(send: Send, refusal: Refusal, id: bytes = NULL_ID) -> None:
    await send_json(send, error_body(id, refusal.code, refusal.message, refusal.data), refusal.status, refusal.headers)


async def send_refusal_of_websocket(send: Send, refusal: Refusal) -> None:
    """The same before a WebSocket is accepted: an HTTP response in place of the handshake's."""

    async def send_instead(event: Message) -> None:
        await send({**event, "type": f"websocket.{event['type']}"})

    await send_refusal(send_instead, refusal)
