"""The load that wrk cannot make: streams, sessions one after another, exact checks.

Raw sockets and asyncio protocols, because a client library would cost more than the servers under test.
An answer counts only when it carries the id of its call and a result.
"""

import asyncio
import re
import time
from dataclasses import dataclass, field

try:
    import uvloop as loops
except ImportError:
    loops = asyncio

VERSION = "2025-06-18"
PATIENCE = 30  # seconds for any one answer

INITIALIZE = (
    b'{"jsonrpc":"2.0","id":%d,"method":"initialize","params":{"protocolVersion":"2025-06-18",'
    b'"capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}'
)
INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
CALL = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%b","arguments":{"text":"hello"}}}'
ID = re.compile(rb'"id":\s*(\d+)')
LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
SESSION = re.compile(rb"\r\nmcp-session-id:\s*([^\r]+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
BLANK_LINE = re.compile(rb"\r?\n\r?\n")


@dataclass
class Tally:
    right: int = 0
    wrong: int = 0
    strays: int = 0  # answers that belong to somebody else
    seconds: float = 0.0
    reasons: set[str] = field(default_factory=set)

    def refuse(self, reason: str) -> None:
        self.wrong += 1
        if len(self.reasons) < 5:
            self.reasons.add(reason[:200])


def run(main):
    return loops.run(main)


# --- connections ------------------------------------------------------------------------------------------------------


@dataclass
class Answer:
    status: int
    head: bytes
    body: bytes

    def carries(self, id: int, member: bytes) -> bool:
        found = ID.search(self.body[:200]) or ID.search(self.body[-200:])
        return self.status == 200 and bool(found) and int(found[1]) == id and member in self.body[:400]


class Connection(asyncio.Protocol):
    """One keep-alive connection: a request out, its whole answer in, one at a time."""

    def __init__(self, port: int):
        self.host = b"Host: 127.0.0.1:%d\r\n" % port
        self.buffer = bytearray()
        self.answer: asyncio.Future[Answer] | None = None

    @classmethod
    async def open(cls, port: int):
        _, connection = await asyncio.get_running_loop().create_connection(lambda: cls(port), "127.0.0.1", port)
        return connection

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, error):
        if self.answer and not self.answer.done():
            self.answer.set_exception(error or ConnectionResetError("closed before the answer"))

    def post(self, path: bytes, body: bytes, session: bytes = b"") -> asyncio.Future[Answer]:
        return self.send(b"POST", path, body, session)

    def send(self, method: bytes, path: bytes, body: bytes, session: bytes = b"") -> asyncio.Future[Answer]:
        extra = b"Mcp-Session-Id: %b\r\nMCP-Protocol-Version: 2025-06-18\r\n" % session if session else b""
        self.transport.write(
            b"%b %b HTTP/1.1\r\n%bContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            b"%bContent-Length: %d\r\n\r\n%b" % (method, path, self.host, extra, len(body), body)
        )
        self.answer = asyncio.get_running_loop().create_future()
        return self.answer

    def data_received(self, data):
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head, start = bytes(self.buffer[: end + 2]), end + 4
        status = int(head[9:12])
        if CHUNKED.search(head):
            if not self.buffer.endswith(b"0\r\n\r\n"):
                return
            body = _dechunk(self.buffer, start)
        else:
            length = LENGTH.search(head)
            if len(self.buffer) < start + (size := int(length[1]) if length else 0):
                return
            body = bytes(self.buffer[start : start + size])
        self.buffer.clear()
        if not self.answer.done():
            self.answer.set_result(Answer(status, head, body))

    def close(self):
        self.transport.close()


class Stream(asyncio.Protocol):
    """GET /sse, held open: the endpoint event first, then the answers, each to whoever waits for its id."""

    def __init__(self, port: int, tally: Tally):
        self.port = port
        self.tally = tally
        self.raw = bytearray()
        self.text = bytearray()
        self.chunked: bool | None = None  # not known before the head is complete
        self.endpoint: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.waiting: dict[int, asyncio.Future[bytes]] = {}

    @classmethod
    async def open(cls, port: int, tally: Tally):
        loop = asyncio.get_running_loop()
        _, stream = await loop.create_connection(lambda: cls(port, tally), "127.0.0.1", port)
        await asyncio.wait_for(asyncio.shield(stream.endpoint), PATIENCE)
        return stream

    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n\r\n" % self.port)

    def connection_lost(self, error):
        lost = error or ConnectionResetError("stream ended")
        for future in (self.endpoint, *self.waiting.values()):
            if not future.done():
                future.set_exception(lost)
        if self.endpoint.done():
            self.endpoint.exception()  # nobody may be asking any more

    def expect(self, id: int) -> asyncio.Future[bytes]:
        """Taken out again in `_event`, by its answer."""
        future = self.waiting[id] = asyncio.get_running_loop().create_future()
        return future

    def data_received(self, data):
        self.raw += data
        if self.chunked is None:
            end = self.raw.find(b"\r\n\r\n")
            if end < 0:
                return
            self.chunked = bool(CHUNKED.search(self.raw[: end + 2]))
            del self.raw[: end + 4]
        if self.chunked:
            self._take_chunks()
        else:
            self.text += self.raw
            self.raw.clear()
        start = 0
        while blank := BLANK_LINE.search(self.text, start):
            self._event(bytes(self.text[start : blank.start()]))
            start = blank.end()
        del self.text[:start]

    def _take_chunks(self):
        start = 0
        while (end := self.raw.find(b"\r\n", start)) >= 0:
            size = int(self.raw[start:end], 16)
            if len(self.raw) < end + 2 + size + 2:
                break
            self.text += self.raw[end + 2 : end + 2 + size]
            start = end + 2 + size + 2
        del self.raw[:start]

    def _event(self, event: bytes):
        if not self.endpoint.done():
            path = event.partition(b"data:")[2].strip()
            self.endpoint.set_result(re.sub(rb"^https?://[^/]+", b"", path))
        elif found := ID.search(event):
            future = self.waiting.pop(int(found[1]), None)
            if future is None:
                self.tally.strays += 1
            elif not future.done():
                future.set_result(event)

    def close(self):
        self.transport.close()


def _dechunk(raw: bytearray, start: int) -> bytes:
    body = bytearray()
    while size := int(raw[start : (end := raw.find(b"\r\n", start))], 16):
        body += raw[end + 2 : end + 2 + size]
        start = end + 2 + size + 2
    return bytes(body)


# --- Streamable HTTP --------------------------------------------------------------------------------------------------


async def open_session(connection: Connection, id: int = 1) -> bytes:
    """A session that is ready for calls; its id is empty where the server has no sessions."""
    answer = await asyncio.wait_for(connection.post(b"/mcp", INITIALIZE % id), PATIENCE)
    if not answer.carries(id, b'"protocolVersion"'):
        raise RuntimeError(f"initialize: {answer.status} {answer.body[:300]!r}")
    found = SESSION.search(answer.head)
    session = found[1] if found else b""
    await asyncio.wait_for(connection.post(b"/mcp", INITIALIZED, session), PATIENCE)
    return session


async def session(port: int) -> tuple[str, Answer]:
    """One session for wrk, and the answer to one call as a sample of what the server sends."""
    connection = await Connection.open(port)
    opened = await open_session(connection)
    sample = await asyncio.wait_for(connection.post(b"/mcp", CALL % (123456789, b"echo"), opened), PATIENCE)
    connection.close()
    return opened.decode(), sample


async def calls(port: int, clients: int, each: int) -> Tally:
    """`clients` sessions at the same time, each on its own connection; every single answer is checked."""
    tally = Tally()

    async def client(index: int):
        connection = await Connection.open(port)
        opened = await open_session(connection)
        for id in range(index * 1_000_000, index * 1_000_000 + each):
            answer = await asyncio.wait_for(connection.post(b"/mcp", CALL % (id, b"echo"), opened), PATIENCE)
            if answer.carries(id, b'"content"'):
                tally.right += 1
            else:
                tally.refuse(f"call {id}: {answer.status} {answer.body[:150]!r}")
        await asyncio.wait_for(connection.send(b"DELETE", b"/mcp", b"", opened), PATIENCE)
        connection.close()

    await _together(tally, *(client(index) for index in range(1, clients + 1)))
    return tally


async def big_result(port: int, times: int) -> list[float]:
    """Seconds from the request to the last byte of a 5 MiB result."""
    connection = await Connection.open(port)
    opened = await open_session(connection)
    seconds = []
    for id in range(10, 10 + times):
        begin = time.perf_counter()
        answer = await asyncio.wait_for(connection.post(b"/mcp", CALL % (id, b"big"), opened), PATIENCE)
        seconds.append(time.perf_counter() - begin)
        whole = answer.body.count(b"dog, then sits down to count to ninety.\\n") == 65536
        if not whole or not answer.carries(id, b'"content"'):
            raise RuntimeError(f"big result: {answer.status}, {len(answer.body)} bytes: {answer.body[:200]!r}")
    await asyncio.wait_for(connection.send(b"DELETE", b"/mcp", b"", opened), PATIENCE)
    connection.close()
    return seconds


async def sequential_sessions(port: int, number: int, delete: bool) -> Tally:
    """Sessions one after another, each with one call, as LiteLLM opens them."""
    tally = Tally()
    connection = await Connection.open(port)
    begin = time.perf_counter()
    for id in range(number):
        opened = await open_session(connection, id)
        answer = await asyncio.wait_for(connection.post(b"/mcp", CALL % (id, b"echo"), opened), PATIENCE)
        if answer.carries(id, b'"content"'):
            tally.right += 1
        else:
            tally.refuse(f"call {id}: {answer.status} {answer.body[:150]!r}")
        if delete:
            await asyncio.wait_for(connection.send(b"DELETE", b"/mcp", b"", opened), PATIENCE)
    tally.seconds = time.perf_counter() - begin
    connection.close()
    return tally


# --- HTTP+SSE ---------------------------------------------------------------------------------------------------------


async def open_stream(port: int, tally: Tally, connection: Connection, id: int) -> tuple[Stream, bytes]:
    stream = await Stream.open(port, tally)
    path = stream.endpoint.result()
    welcome = stream.expect(id)
    await asyncio.wait_for(connection.post(path, INITIALIZE % id), PATIENCE)
    await asyncio.wait_for(welcome, PATIENCE)
    await asyncio.wait_for(connection.post(path, INITIALIZED), PATIENCE)
    return stream, path


async def sse_calls(port: int, clients: int, warm_up: float, seconds: float) -> Tally:
    """Each client posts a call, waits for the answer on its own stream, and posts the next."""
    tally = Tally()
    ready = asyncio.Barrier(clients)

    async def client(index: int):
        connection = await Connection.open(port)
        stream, path = await open_stream(port, tally, connection, index * 1_000_000)
        id = index * 1_000_000
        async with asyncio.timeout(PATIENCE):
            await ready.wait()
        begin = time.perf_counter() + warm_up
        end = begin + seconds
        while (now := time.perf_counter()) < end:
            id += 1
            answer = stream.expect(id)
            accepted = await connection.post(path, CALL % (id, b"echo"))
            event = await answer
            now = time.perf_counter()
            if accepted.status not in (200, 202) or b'"content"' not in event:
                tally.refuse(f"call {id}: {accepted.status} {event[:150]!r}")
            elif begin <= now < end:
                tally.right += 1
        stream.close()
        connection.close()

    async with asyncio.timeout(warm_up + seconds + PATIENCE):
        await _together(tally, *(client(index) for index in range(1, clients + 1)))
    tally.seconds = seconds
    return tally


async def idle_streams(port: int, number: int, measure) -> Tally:
    """Clients that said hello and then only listen; `measure` is called while all of them are connected."""
    tally = Tally()
    streams: list[Stream] = []
    connection = await Connection.open(port)
    try:
        for id in range(number):
            stream, _ = await open_stream(port, tally, connection, id)
            streams.append(stream)
            tally.right += 1
        await asyncio.sleep(0.5)  # let the server finish what the last one began
        measure()
        if dead := sum(stream.transport.is_closing() for stream in streams):
            tally.wrong += dead
    finally:
        for stream in streams:
            stream.close()
        connection.close()
    return tally


async def _together(tally: Tally, *clients) -> None:
    for error in await asyncio.gather(*clients, return_exceptions=True):
        if error is not None:
            tally.refuse(repr(error))
