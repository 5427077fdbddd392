"""TLS on a connection: what is read is decrypted for the HTTP protocol above, what that writes is encrypted at once.

The event loop could do it, but hides what it holds: an answer that a client does not take would wait in a buffer that counts
nowhere and has no deadline (`connection.py`, `budget.py`). Here all that waits is in the socket's own transport, and the
protocol above hears when that is full. OpenSSL does the rest (`ssl.SSLObject`).

Plain HTTP, which begins with a letter as TLS never does (RFC 8446, 5.1), is sent to https (308).
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bridge.http.prefix import HOST

Make = Callable[..., asyncio.Protocol]
CHUNK = 1 << 18  # bytes that are decrypted or encrypted in one go
LONGEST_HEAD = 1 << 14
LINGER = 5.0  # seconds in which a client of plain HTTP may take its answer
NO_PLACE = b"this port speaks https://\n"
_HEAD = re.compile(rb"[A-Z]+ (/[!-~]*) HTTP/1\.[01]\r\n(?:.*\r\n)*?host:[ \t]*([!-~]+)[ \t]*\r\n", re.IGNORECASE)


class TlsProtocol(asyncio.Protocol):
    """Below the protocol that `make` makes, which hears of the connection once the handshake is over.

    `context` gives the context of now. `timeout` is for the handshake, in seconds; 0 is no limit.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext], timeout: float, make: Callable[[], asyncio.Protocol]):
        self._context = context
        self._timeout = timeout
        self._make = make
        self._timer: asyncio.TimerHandle | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._has_begun = False
        self._plain: bytearray | None = None  # what has come of a request without TLS
        self._is_answered = False
        self.is_paused = False
        self.above: asyncio.Protocol | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a stream's is one
        self.transport = transport
        self.context = self._context()
        self.tls = self.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        if self._timeout:
            self._end_in(self._timeout)

    def data_received(self, data: bytes) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._plain = bytearray() if data[:1].isupper() else None
        if self._plain is not None:
            return self._receive_plain(data)
        self._incoming.write(data)
        if self.above is None and not self._shake_hands():
            return None
        return self.read()

    def read(self) -> None:
        """Hand on what has come, until there is no more, or the protocol above wants no more now."""
        while self.above is not None and not self.is_paused and not self.transport.is_closing():
            try:
                data = self.tls.read(CHUNK)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError:
                return self.transport.abort()
            if not data:  # its close_notify
                self.above.eof_received()
                return self.close()
            self.above.data_received(data)
        return self._flush()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.transport.is_closing():
            return
        with memoryview(data) as whole:
            for begin in range(0, len(whole), CHUNK):
                part = whole[begin : begin + CHUNK]
                while part:
                    part = part[self.tls.write(part) :]
                self._flush()

    def close(self) -> None:
        """What was written leaves first, and that this was all (RFC 8446, 6.1); the client's word that it has heard is not waited for."""
        if not self.transport.is_closing():
            with suppress(ssl.SSLError):
                self.tls.unwrap()
            self._flush()
            self.transport.close()

    def pause_writing(self) -> None:
        if self.above is not None:
            self.above.pause_writing()

    def resume_writing(self) -> None:
        if self.above is not None:
            self.above.resume_writing()

    def eof_received(self) -> bool | None:
        return self.above.eof_received() if self.above is not None else None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        above, self.above = self.above, None
        if above is not None:
            above.connection_lost(exc)

    def _shake_hands(self) -> bool:
        """Whether that is done."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError:
            self._flush()  # an alert, which says why
            self.transport.close()
            return False
        self._flush()
        if self._timer is not None:
            self._timer.cancel()
        self.above = self._make()
        self.above.connection_made(TlsTransport(self))
        return True

    def _flush(self) -> None:
        if self._outgoing.pending and not self.transport.is_closing():
            self.transport.write(self._outgoing.read())

    def _end_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.transport.abort)

    # -- plain HTTP ---------------------------------------------------------------------------------------------------------

    def _receive_plain(self, data: bytes) -> None:
        """What comes behind the head is read and forgotten: a close before it would take the answer back."""
        assert self._plain is not None
        if self._is_answered:
            return
        self._plain += data[: LONGEST_HEAD - len(self._plain)]
        head, end, _ = self._plain.partition(b"\r\n\r\n")
        if not end and len(self._plain) < LONGEST_HEAD:
            return
        self._is_answered = True
        self.transport.write(_to_https(bytes(head + b"\r\n")))
        self.transport.write_eof()
        self._end_in(LINGER)


class TlsTransport(asyncio.Transport):
    """What the protocol above sees: the socket's transport, with TLS on what is written."""

    def __init__(self, connection: TlsProtocol):
        super().__init__()
        self._connection = connection
        self._socket = connection.transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        try:
            self._connection.write(data)
        except ssl.SSLError:
            self._socket.abort()

    def close(self) -> None:
        self._connection.close()

    def abort(self) -> None:
        self._socket.abort()

    def is_closing(self) -> bool:
        return self._socket.is_closing()

    def pause_reading(self) -> None:
        if not self._connection.is_paused:
            self._connection.is_paused = True
            self._socket.pause_reading()

    def resume_reading(self) -> None:
        if self._connection.is_paused:
            self._connection.is_paused = False
            self._socket.resume_reading()
            asyncio.get_running_loop().call_soon(self._connection.read)  # what has been decrypted already

    def is_reading(self) -> bool:
        return self._socket.is_reading()

    def get_write_buffer_size(self) -> int:
        return self._socket.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._socket.set_write_buffer_limits(high, low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._connection.above = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._connection.above is not None
        return self._connection.above

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        own = {"sslcontext": self._connection.context, "ssl_object": self._connection.tls}
        return own.get(name) or self._socket.get_extra_info(name, default)


def with_tls(context: Callable[[], ssl.SSLContext], timeout: float, make: Make, **its: Any) -> TlsProtocol:
    """For uvicorn, which says to a protocol what it needs to know when it makes one."""
    return TlsProtocol(context, timeout, lambda: make(**its))


def _to_https(head: bytes) -> bytes:
    found = _HEAD.match(head)
    host = found[2].decode() if found is not None else ""
    if found is None or not HOST.fullmatch(host):
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        return head % len(NO_PLACE) + NO_PLACE
    where = b"https://%b%b" % (host.encode(), found[1])
    return b"HTTP/1.1 308 Permanent Redirect\r\nlocation: %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % where
