"""MCP over WebSocket, one message a frame: the transport that the official SDK (2.x) has no client for.

It yields what the SDK's own transports yield, a stream of messages to read and one to write, so the rest cannot tell.
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

Incoming = SessionMessage | Exception
Streams = tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]


@asynccontextmanager
async def websocket_client(
    url: str, headers: Mapping[str, str], open_timeout: float, trust: ssl.SSLContext | None
) -> AsyncIterator[Streams]:
    received, incoming = anyio.create_memory_object_stream[Incoming](0)
    outgoing, pending = anyio.create_memory_object_stream[SessionMessage](0)
    async with (
        connect(
            url,
            subprotocols=[Subprotocol("mcp")],
            additional_headers=headers,
            max_size=None,
            open_timeout=open_timeout,
            close_timeout=2,
            ssl=(trust or True) if url.startswith("wss:") else None,
        ) as socket,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_read, socket, received)
        tasks.start_soon(_write, socket, pending)
        try:
            yield incoming, outgoing
        finally:
            tasks.cancel_scope.cancel()
            incoming.close()
            outgoing.close()


async def _read(socket: ClientConnection, received: MemoryObjectSendStream[Incoming]) -> None:
    async with received:
        try:
            async for frame in socket:
                try:
                    message = jsonrpc_message_adapter.validate_json(frame, by_name=False)
                except ValueError as noise:
                    await received.send(noise)
                else:
                    await received.send(SessionMessage(message))
        except (ConnectionClosed, anyio.BrokenResourceError):
            pass  # closing the stream tells the reader


async def _write(socket: ClientConnection, pending: MemoryObjectReceiveStream[SessionMessage]) -> None:
    async with pending:
        async for outgoing in pending:
            try:
                await socket.send(outgoing.message.model_dump_json(by_alias=True, exclude_unset=True))
            except ConnectionClosed:
                return
