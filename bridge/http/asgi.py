"""An answer by ASGI: the task of its request waits until it is known, and sends it."""

import asyncio
from contextlib import suppress

from bridge.http.answers import EVENTS, JSON
from bridge.http.request import Headers, guarded
from bridge.http.stream import pump


class AsgiResponse:
    """A `request.Response`. `finish` returns when it has left, or its client has."""

    def __init__(self, service):
        self.service = service
        self.on_gone = None
        self._answer: asyncio.Future = service.loop.create_future()  # its status, headers and body; a stream; None for nobody

    @property
    def is_answered(self) -> bool:
        return self._answer.done()

    def json(self, body: bytes, headers: Headers = ()) -> None:
        self.failed(200, body, headers)

    def failed(self, status: int, body: bytes, headers: Headers = ()) -> None:
        self._set((status, (JSON, (b"content-length", b"%d" % len(body)), *headers), body))

    def accepted(self) -> None:
        self._set((202, ((b"content-length", b"0"),), b""))

    def events(self, stream) -> None:
        self._set(stream)

    def nobody(self) -> None:
        self._set(None)

    def later(self, work) -> asyncio.Task:
        return self.service.spawn(guarded(self, work))

    async def finish(self, receive, send) -> None:
        watch = self.service.loop.create_task(self._watch(receive))
        try:
            answer = await self._answer
            if type(answer) is tuple:
                status, headers, body = answer
                await send({"type": "http.response.start", "status": status, "headers": list(headers)})
                await send({"type": "http.response.body", "body": body})
            elif answer is not None:
                await self._send_events(answer, send)
        finally:
            watch.cancel()
            self._gone()

    async def _send_events(self, stream, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(EVENTS)})
        await pump(self.service, stream, send)
        if not stream.overflowed:  # else without an end, which its reader would be too slow for; uvicorn closes the connection
            await send({"type": "http.response.body", "body": b""})

    async def _watch(self, receive) -> None:
        with suppress(asyncio.CancelledError):
            while (await receive())["type"] != "http.disconnect":
                pass
            self._gone()

    def _gone(self) -> None:
        on_gone, self.on_gone = self.on_gone, None
        if on_gone is not None:
            on_gone()

    def _set(self, answer) -> None:
        if not self._answer.done():
            self._answer.set_result(answer)
