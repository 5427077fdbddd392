"""A request and its answer by ASGI: the task of the request waits until its answer is known, and sends it."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from starlette.types import Receive, Scope, Send

from bridge.budget import address
from bridge.http import body as bodies
from bridge.http.answers import JSON
from bridge.http.body import TooLong
from bridge.http.request import Headers, Request, guarded
from bridge.http.service import Service
from bridge.http.stream import EVENTS, Stream, pump

_Whole = tuple[int, Headers, bytes]  # status, headers and body


def request_from(scope: Scope, body: bytes | TooLong, transport: str) -> Request:
    """`App` has put what the gate found out into the scope."""
    return Request(
        scope.get("method", "GET").encode(),
        scope["bridge.headers"],
        scope["query_string"],
        body,
        scope["bridge.principal"],
        scope["headers"],
        scope["bridge.hold"].caller,
        transport,
        address(scope.get("client")),
    )


async def read_request(scope: Scope, receive: Receive, service: Service, transport: str) -> Request:
    """The request with its body, where it is a POST. Raises Disconnected."""
    body: bytes | TooLong = b""
    if scope["method"] == "POST":
        scope["bridge.hold"].pot = service.memory
        body = await bodies.read(
            receive, scope["bridge.headers"], service.settings.max_body, scope["bridge.hold"], to_the_end=service.is_litellm
        )
    return request_from(scope, body, transport)


class AsgiResponse:
    """A `request.Response`. `finish` returns when it has left, or its client has."""

    def __init__(self, service: Service):
        self.service = service
        self.on_gone: Callable[[], object] | None = None
        self._answer: asyncio.Future[_Whole | Stream | None] = service.loop.create_future()  # None for nobody

    @property
    def is_answered(self) -> bool:
        return self._answer.done()

    def json(self, body: bytes, headers: Headers = ()) -> None:
        self.failed(200, body, headers)

    def failed(self, status: int, body: bytes, headers: Headers = ()) -> None:
        self._set((status, (JSON, (b"content-length", b"%d" % len(body)), *headers), body))

    def accepted(self) -> None:
        self._set((202, ((b"content-length", b"0"),), b""))

    def events(self, stream: Stream) -> None:
        self._set(stream)

    def nobody(self) -> None:
        self._set(None)

    def slow_down(self) -> None:
        pass

    def later(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return self.service.spawn(guarded(self, work))

    async def finish(self, receive: Receive, send: Send) -> None:
        watch = self.service.loop.create_task(self._watch(receive))
        try:
            answer = await self._answer
            if isinstance(answer, Stream):
                await self._send_events(answer, send)
            elif answer is not None:
                status, headers, body = answer
                await send({"type": "http.response.start", "status": status, "headers": list(headers)})
                await send({"type": "http.response.body", "body": body})
        finally:
            watch.cancel()
            self._gone()

    async def _send_events(self, stream: Stream, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(EVENTS)})
        await pump(self.service, stream, send)
        if not stream.overflowed:  # else without an end, which its reader would be too slow for; uvicorn closes the connection
            await send({"type": "http.response.body", "body": b""})

    async def _watch(self, receive: Receive) -> None:
        with suppress(asyncio.CancelledError):
            while (await receive())["type"] != "http.disconnect":
                pass
            self._gone()

    def _gone(self) -> None:
        on_gone, self.on_gone = self.on_gone, None
        if on_gone is not None:
            on_gone()

    def _set(self, answer: _Whole | Stream | None) -> None:
        if not self._answer.done():
            self._answer.set_result(answer)
