"""What is seen on the way to a server, kept for the reason if it fails; and how long we wait for the next step."""

from collections.abc import Callable
from typing import IO

import anyio
import httpx2

from bridge.inspect.plan import Endpoint

STDERR_SHOWN = 16384


class Trace:
    def __init__(self, endpoint: Endpoint, timeout: float, stderr: IO[bytes], heard: Callable[[Exception], None] | None = None) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self.stderr = stderr
        self.heard = heard
        self.scope = anyio.CancelScope()
        self.step = ""
        self.opened = False
        self.refusal: httpx2.Response | None = None
        self.noise = 0

    def wait_for(self, step: str) -> None:
        """Each step has the whole patience for itself: one deadline, pushed on."""
        self.step = step
        self.scope.deadline = anyio.current_time() + self.timeout

    async def note_response(self, response: httpx2.Response) -> None:
        posted = response.request.method == "POST"
        if self.endpoint.transport == "streamable-http" and not posted:
            return  # a server may refuse the GET stream and the DELETE
        self.refusal = response if response.status_code >= 400 else None
        if self.refusal and self.endpoint.transport == "sse" and posted:
            # The SDK only logs it, and the answer would never come: typically a proxy that hides /messages.
            self.scope.cancel()

    async def note_noise(self, why: Exception) -> None:
        self.noise += 1
        if self.heard:
            self.heard(why)

    def last_words(self, lines: int = 15) -> tuple[str, ...]:
        """The end of what the child wrote to stderr; empty for a URL."""
        end = self.stderr.seek(0, 2)
        self.stderr.seek(max(0, end - STDERR_SHOWN))
        return tuple(self.stderr.read().decode(errors="replace").splitlines()[-lines:])
