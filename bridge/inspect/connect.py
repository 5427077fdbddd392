"""An endpoint, visited: open it, hold a talk, close it; or say why that was not possible.

The SDK's transports carry the messages (websocket.py where it has none). Nothing is raised for what the other side
does: an inspector that is told "connection refused" has its answer.
"""

import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import IO, Any, Generic, TextIO, TypeVar, cast

import anyio
import httpx2
from mcp.client._transport import TransportStreams  # what all transports of the SDK yield: it has no public name
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import McpHttpClientFactory
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp_types import METHOD_NOT_FOUND

from bridge.inspect.connection import Connection
from bridge.inspect.failure import Failure, explain
from bridge.inspect.plan import Endpoint, Plan
from bridge.inspect.trace import Trace
from bridge.inspect.websocket import websocket_client

Said = TypeVar("Said")
GOODBYE = 10.0  # closing may take: a child lingers, a DELETE stays unanswered


@dataclass(frozen=True)
class Visit(Generic[Said]):
    """How it went at one endpoint: what was said, or the failure."""

    endpoint: Endpoint
    said: Said | None = None
    failure: Failure | None = None
    milliseconds: int = 0
    noise: int = 0
    last_words: tuple[str, ...] = ()


async def visit(
    endpoint: Endpoint,
    plan: Plan,
    talk: Callable[[Connection], Awaitable[Said]],
    keep: IO[bytes] | None = None,
    heard: Callable[[Exception], None] | None = None,
) -> Visit[Said]:
    """`keep`: a file for all that a command says on stderr. `heard` is told of each line of its output that is no message."""
    said, trouble, milliseconds = None, None, 0
    started = time.monotonic()
    with nullcontext(keep) if keep else tempfile.TemporaryFile() as stderr:
        trace = Trace(endpoint, plan.timeout, stderr, heard)
        try:
            with trace.scope:
                trace.wait_for("a connection")
                async with _dispatcher(endpoint, plan, trace) as dispatcher:
                    connection = Connection(dispatcher, trace)
                    await connection.open(endpoint.era)
                    said = await talk(connection)
                    milliseconds = round((time.monotonic() - started) * 1000)
                    trace.scope.deadline = anyio.current_time() + GOODBYE
        except Exception as raised:  # whatever transports and strange servers come up with: see explain()
            trouble = raised
        if said is not None:
            return Visit(endpoint, said, milliseconds=milliseconds, noise=trace.noise)
        return Visit(endpoint, failure=explain(trace, trouble), noise=trace.noise, last_words=trace.last_words())


@asynccontextmanager
async def _dispatcher(endpoint: Endpoint, plan: Plan, trace: Trace) -> AsyncIterator[JSONRPCDispatcher]:
    async with _streams(endpoint, plan, trace) as (incoming, outgoing), anyio.create_task_group() as tasks:
        dispatcher = JSONRPCDispatcher(incoming, outgoing, on_stream_exception=trace.note_noise)
        await tasks.start(dispatcher.run, _answer, _ignore)
        yield dispatcher
        tasks.cancel_scope.cancel()


def _streams(endpoint: Endpoint, plan: Plan, trace: Trace) -> AbstractAsyncContextManager[TransportStreams]:
    match endpoint.transport:
        case "streamable-http":
            return _streamable_http(endpoint, plan, trace)
        case "sse":
            return sse_client(endpoint.url, timeout=plan.timeout, httpx_client_factory=_factory(plan, trace))
        case "websocket":
            return websocket_client(endpoint.url, plan.headers, plan.timeout, plan.trust)
        case "stdio":
            program, *rest = endpoint.command
            parameters = StdioServerParameters(
                command=program,
                args=rest,
                env=dict(plan.environment),
                cwd=plan.cwd,
                encoding_error_handler="replace",  # one wrong byte shall not end the inspection
            )
            return stdio_client(parameters, errlog=cast(TextIO, trace.stderr))  # which only a process writes to
    raise ValueError(endpoint.transport)


@asynccontextmanager
async def _streamable_http(endpoint: Endpoint, plan: Plan, trace: Trace) -> AsyncIterator[TransportStreams]:
    async with (
        _http_client(plan, trace) as client,
        # No limit on an event: real tool lists come in one, and some are larger than the SDK's 1 MiB.
        streamable_http_client(endpoint.url, http_client=client, max_sse_event_size=None) as streams,
    ):
        yield streams


def _factory(plan: Plan, trace: Trace) -> McpHttpClientFactory:
    """What the SDK calls with settings of its own, in place of which ours hold."""

    def make(
        headers: dict[str, str] | None = None, timeout: httpx2.Timeout | None = None, auth: httpx2.Auth | None = None
    ) -> httpx2.AsyncClient:
        return _http_client(plan, trace)

    return make


def _http_client(plan: Plan, trace: Trace) -> httpx2.AsyncClient:
    # Reading may take longer than our patience, so that it is our own deadline that ends it, with our own words.
    timeout = httpx2.Timeout(plan.timeout, read=plan.timeout + 300)
    hooks: dict[str, list[Callable[..., Any]]] = {"response": [trace.note_response]}
    return httpx2.AsyncClient(headers=dict(plan.headers), timeout=timeout, event_hooks=hooks, verify=plan.trust or True)


async def _answer(_: Any, method: str, params: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a server may ask of us: we declare no capability, so nothing but a ping."""
    if method == "ping":
        return {}
    raise MCPError(METHOD_NOT_FOUND, f"mcp-bridge inspect does not offer {method}")


async def _ignore(_: Any, method: str, params: Mapping[str, Any] | None) -> None:
    pass
