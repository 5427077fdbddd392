"""Sending whole HTTP responses over bare ASGI. Starlette's Response would do; it takes a third of a call's time."""

from bridge.protocol.errors import NULL_ID, Refusal, error_body

JSON = (b"content-type", b"application/json")
# no-transform: a proxy that compresses would hold events back until its block is full (RFC 9111, 5.2.2.6).
# x-accel-buffering: nginx hands on what comes, when it comes.
EVENT_STREAM = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache, no-store, no-transform"), (b"x-accel-buffering", b"no"))


async def send_json(send, body: bytes, status: int = 200, headers: tuple = ()) -> None:
    await send({"type": "http.response.start", "status": status,
                "headers": [JSON, (b"content-length", b"%d" % len(body)), *headers]})
    await send({"type": "http.response.body", "body": body})


async def send_refusal(send, refusal: Refusal, id: bytes = NULL_ID) -> None:
    await send_json(send, error_body(id, refusal.code, refusal.message, refusal.data), refusal.status, refusal.headers)


async def send_refusal_of_websocket(send, refusal: Refusal) -> None:
    """The same before a WebSocket is accepted: an HTTP response in place of the handshake's."""
    async def send_instead(event: dict) -> None:
        await send({**event, "type": f"websocket.{event['type']}"})

    await send_refusal(send_instead, refusal)
