"""Bytes from here to there and back, until there is nothing to come. It does not know what they mean."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

CHUNK = 1 << 16
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def relay(connect: Connect, away: str, most: int) -> Connected:
    """What serves one connection by another one that `connect` makes, `most` at a time. `away`: what is said where there is none."""
    count = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        try:
            if count > most:
                await _say(writer, f"more than {most} connections at once")
                return
            try:
                back, there = await connect()
            except OSError:
                await _say(writer, away)
                return
            sending = asyncio.create_task(_copy(reader, there))
            try:
                await _copy(back, writer)  # when the proxy has said all, nobody listens any more
            finally:
                sending.cancel()
                there.close()
        finally:
            count -= 1
            writer.close()

    return connected


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # one of them is gone
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def _say(writer: asyncio.StreamWriter, why: str) -> None:
    """As a proxy does that cannot serve, to whatever was asked."""
    writer.write(f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n{why}\n".encode())
    with suppress(OSError):
        await writer.drain()
