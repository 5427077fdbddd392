"""A request as the endpoints see it, and how its answer leaves: the same by the fast path of the parser and by ASGI.

An endpoint's `answer(request, response)` calls one of the response's methods, at once or later, and returns nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from msgspec import Struct, field

from bridge.callers.access import View
from bridge.callers.audit import Prefix
from bridge.http.body import TooLong
from bridge.http.head import Head
from bridge.http.headers import Pairs
from bridge.http.service import Service
from bridge.http.stream import Stream

STREAMABLE_HTTP = "streamable-http"
LIMITED, REST = 8, 0.1  # refusals in a row for asking too often, and seconds of a pause for each further one
MOST = 1 << 16  # bytes of a body on the fast path; longer ones are counted while they are read
Headers = tuple[tuple[bytes, bytes], ...]


class Memory(Struct, eq=False):
    """What steps found out about a head alone, for all requests of a connection that have the same."""

    head: Head | None = None
    session_id: str = ""  # the one that it names
    view: View | None = None  # what its caller may do, by the rules of now
    prefix: Prefix | None = None  # of the audit's lines
    tool: bytes = b""  # the tool that it names, as its name stands in a body; empty where nobody has looked


class Request(Struct, eq=False):
    """One HTTP request, or a message on a connection, that the gate has let in."""

    method: bytes
    headers: dict[bytes, bytes]  # read by `headers.combine`
    query: bytes
    body: bytes | TooLong
    principal: str  # whose it is
    pairs: Pairs  # the headers as they came
    caller: str = ""  # of whom it is one of several that share what there is: the principal, else its address
    transport: str = STREAMABLE_HTTP
    address: str = ""  # where its client is
    memory: Memory = field(default_factory=Memory)

    @property
    def content(self) -> bytes:
        """The body, behind the step that refuses one that is too long."""
        assert isinstance(self.body, bytes)
        return self.body


class Response(Protocol):
    """How one answer leaves. `fast.FastResponse` writes to the socket, `asgi.AsgiResponse` sends events."""

    service: Service
    on_gone: Callable[[], object] | None  # called when the client closes its connection before it is answered

    @property
    def is_answered(self) -> bool: ...

    def json(self, body: bytes, headers: Headers = ()) -> None: ...

    def failed(self, status: int, body: bytes, headers: Headers = ()) -> None: ...

    def accepted(self) -> None:
        """202 without a body, for notifications and responses (basic/transports, "Sending Messages to the Server")."""

    def events(self, stream: Stream) -> None:
        """The answer becomes this stream of events."""

    def nobody(self) -> None:
        """The client is gone."""

    def slow_down(self) -> None:
        """What is about to be said is that the caller asks too often. (By ASGI it is said as fast as it is asked.)"""

    def later(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run what has to be waited for before there is an answer, as a task, which is returned."""


class FastEndpoint(Protocol):
    """An endpoint that the parser may call: `fast` are the methods, `most` the bytes of a body."""

    service: Service
    fast: tuple[bytes, ...]
    most: int

    def answer(self, request: Request, response: Response) -> None: ...


async def guarded(response: Response, work: Coroutine[Any, Any, None]) -> None:
    """Run what an answer waits for. It is answered, whatever comes of it."""
    try:
        await work
    except asyncio.CancelledError:  # its client has left
        if not response.is_answered:
            response.nobody()
        raise
    except Exception:  # a promise of ours was broken
        logging.getLogger("mcp-bridge").exception("bug in the bridge", extra={"facts": {"mcp": response.service.name}})
        if not response.is_answered:
            response.failed(500, BUG)


BUG = b'{"error":"bug in the bridge: see its log"}'
