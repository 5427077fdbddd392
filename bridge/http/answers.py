"""Sending whole HTTP responses over bare ASGI. Starlette's Response would do; it takes a third of a call's time."""

from bridge.protocol.errors import NULL_ID, Refusal, error_body

JSON = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")


async def send_json(send, body: bytes, status: int = 200, headers: tuple = ()) -> None:
    await send({"type": "http.response.start", "status": status,
                "headers": [JSON, (b"content-length", b"%d" % len(body)), *headers]})
    await send({"type": "http.response.body", "body": body})


async def send_accepted(send) -> None:
    """202 without a body, for notifications and responses (basic/transports, "Sending Messages to the Server")."""
    await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def send_refusal(send, refusal: Refusal, id: bytes = NULL_ID) -> None:
    await send_json(send, error_body(id, refusal.code, refusal.message, refusal.data), refusal.status, refusal.headers)


async def send_refusal_of_websocket(send, refusal: Refusal) -> None:
    """The same before a WebSocket is accepted: an HTTP response in place of the handshake's."""
    async def send_instead(event: dict) -> None:
        await send({**event, "type": f"websocket.{event['type']}"})

    await send_refusal(send_instead, refusal)


async def send_method_not_allowed(send, allow: bytes) -> None:
    refusal = Refusal(405, -32600, f"method not allowed: use {allow.decode()}", ((b"allow", allow),))
    await send_refusal(send, refusal)
