"""An MCP that has a bridge of its own, in a process's place: a WebSocket to that bridge, by a Unix socket.

One message is one frame in both directions, so a connection is to its relay what a process's pipes are: it takes lines, gives lines, and
ends. Streamable HTTP was not taken: it needs a request for each line, a stream for what nobody asked for, and an order between them.

What comes may be as hostile as a child's words: whoever took that bridge's place says it. Nothing of it is kept without being counted.
"""

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from bridge.budget import Reservation
from bridge.child.process import FULL
from bridge.child.watch import Observation
from bridge.failure import Cause, Failure
from bridge.printable import printable

AWAY = "its bridge does not answer: is it started?"
PATIENCE = 10.0  # seconds until it has accepted the connection
WORDS = 300  # characters of what it says when it does not


@dataclass(frozen=True)
class Remote:
    """Where that bridge listens. `key_file` has the key by which the group itself asks what the server is; a caller's own is sent on, and
    what `headers` it brings along for this server. Of those that `keys_of` names, what is sent is derived from their key."""

    name: str
    path: str
    key_file: str = ""
    headers: tuple[str, ...] = ()
    keys_of: tuple[str, ...] = ()

    @property
    def has_key(self) -> bool:
        return bool(self.key_file)

    def connect(
        self,
        headers: Mapping[str, str],
        max_line: int,
        received: Callable[[list[bytes]], None],
        exited: Callable[[Failure], None],
        hold: Reservation,
    ) -> "Connection":
        """Raises OSError where nobody listens."""
        if not headers and self.key_file:
            headers = {"Authorization": f"Bearer {Path(self.key_file).read_text().strip()}"}
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            line.setblocking(False)
            _connect(line, self.path)
        except OSError as error:
            line.close()
            raise OSError(error.errno, AWAY) from None
        return Connection(line, headers, max_line, received, exited, hold)


def _connect(line: socket.socket, path: str) -> None:
    """Never by a link: a server that can write to its bridge's folder would lead to another one's socket. Raises OSError."""
    if not hasattr(os, "O_PATH"):  # not Linux
        return line.connect(path)
    found = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(found).st_mode):
            raise OSError(errno.ECONNREFUSED, "no socket")
        return line.connect(f"/proc/self/fd/{found}")
    finally:
        os.close(found)


def framed(line: bytes) -> bytes:
    """A text frame (RFC 6455, 5.2). By hand, because the library takes 40 us for one. The mask is of zeros: it is there against proxies
    that a web page could deceive, and here is a socket of our own."""
    size = len(line)
    if size < 126:
        return b"\x81%c\0\0\0\0%b" % (0x80 | size, line)
    if size < 1 << 16:
        return b"\x81\xfe%b\0\0\0\0%b" % (size.to_bytes(2, "big"), line)
    return b"\x81\xff%b\0\0\0\0%b" % (size.to_bytes(8, "big"), line)


def whole(data: bytes) -> bytes | None:
    """What is in it, where it is one whole text frame, as nearly always; all else is the library's."""
    if data[0] != 0x81 or len(data) < 4:
        return None
    size, start = data[1], 2
    if size == 126:
        size, start = int.from_bytes(data[2:4], "big"), 4
    elif size > 126:  # longer, or masked
        return None
    return data[start:] if len(data) == start + size else None


class Connection(asyncio.Protocol):
    """A `Running`: see bridge/child/process.py."""

    pid = None
    pending = b""
    writes_headers = False

    def __init__(
        self,
        line: socket.socket,
        headers: Mapping[str, str],
        max_line: int,
        received: Callable[[list[bytes]], None],
        exited: Callable[[Failure], None],
        hold: Reservation,
    ):
        self._received, self._exited, self._hold, self._max_line = received, exited, hold, max_line
        self._loop = asyncio.get_running_loop()
        self._socket = line
        self._web = ClientProtocol(WebSocketURI(False, "localhost", 80, "/ws", ""), subprotocols=[Subprotocol("mcp")], max_size=None)
        request = self._web.connect()
        for name, value in headers.items():
            request.headers[name] = value
        self._web.send_request(request)
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []  # lines for when it is open
        self._parts = bytearray()  # of a message in several frames
        self._room: list[asyncio.Future[None]] = []
        self._is_paused = False
        self._why = Failure("its bridge has closed the connection", cause=Cause.EXIT)
        self._is_over = False
        self._late = self._loop.call_later(PATIENCE, self._give_up, "its bridge does not accept a connection")
        self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        try:
            await self._loop.create_unix_connection(lambda: self, sock=self._socket)
        except OSError as error:
            self._give_up(f"its bridge does not answer: {error.strerror or error}")

    # -- lines for it -----------------------------------------------------------------------------------------------------

    @property
    def backlog(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def write(self, line: bytes, alone: bool = False) -> None:
        if self._web.state is State.OPEN and self._transport is not None:
            self._transport.write(framed(line))
        elif self._web.state is State.CONNECTING:
            self._early.append(line)

    write_framed = write

    async def room(self) -> None:
        while self.backlog > FULL and self._is_paused:
            waiter = self._loop.create_future()
            self._room.append(waiter)
            await waiter

    def _flush(self) -> None:
        if self._transport is None:
            return
        for data in self._web.data_to_send():
            if data:
                self._transport.write(data)
            else:  # the end of what we have to say
                self._transport.close()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        waiting, self._room = self._room, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    # -- lines from it ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a socket's is one
        if self._is_over:
            transport.abort()  # type: ignore[attr-defined]  # as above
        self._flush()

    def data_received(self, data: bytes) -> None:
        web = self._web
        if web.state is State.OPEN and not web.reader.buffer and not self._parts:
            line = whole(data)
            if line is not None and len(line) <= self._max_line:
                return self._received([line])
        web.receive_data(data)
        lines: list[bytes] = []
        for event in web.events_received():
            if isinstance(event, Frame):
                self._hear(event, lines)
            elif isinstance(event, Response):
                self._opened()
        size = len(web.reader.buffer) + len(self._parts)
        longest = max((size, *map(len, lines)))
        if longest > self._max_line or ((size or self._hold.size) and not self._hold.fits(size)):
            return self._give_up(f"it sent a message of more than {min(longest, self._max_line)} bytes (--max-line, --memory)")
        if lines:
            self._received(lines)
        self._flush()
        return None

    def _hear(self, frame: Frame, lines: list[bytes]) -> None:
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY or frame.opcode is Opcode.CONT:
            if frame.fin and not self._parts:
                lines.append(bytes(frame.data))
                return
            self._parts += frame.data
            if frame.fin:
                lines.append(bytes(self._parts))
                self._parts = bytearray()
        elif frame.opcode is Opcode.CLOSE and self._web.close_rcvd is not None and self._web.close_rcvd.reason:
            self._why = Failure("its bridge has closed the connection", f": {printable(self._web.close_rcvd.reason)}", Cause.EXIT)

    def _opened(self) -> None:
        self._late.cancel()
        refused = self._web.handshake_exc
        if refused is not None:
            body = refused.response.body if isinstance(refused, InvalidStatus) else b""
            self._why = Failure(f"its bridge refuses: {refused}", f": {printable((body or b'').decode(errors='replace'))[:WORDS]}")
            return
        early, self._early = self._early, []
        for line in early:
            self.write(line)

    # -- its end ----------------------------------------------------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        self._over()

    def close_stdin(self) -> None:
        """Say goodbye, and end."""
        if self._transport is None:
            return self._give_up("closed")
        if self._web.state is State.OPEN:
            self._web.send_close(1000)
            self._flush()
        self._transport.close()
        return None

    def terminate(self) -> None:
        self._give_up("closed")

    kill = terminate

    def _give_up(self, why: str) -> None:
        self._why = Failure(why, cause=Cause.EXIT)
        if self._transport is not None:
            self._transport.abort()  # and then it is lost
        elif not self._is_over:
            self._opening.cancel()
            self._socket.close()
            self._loop.call_soon(self._over)

    def _over(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._late.cancel()
        self._early.clear()
        self._hold.set(0)
        self.resume_writing()
        self._exited(self._why)

    def look(self, now: float) -> Observation:
        return Observation()
