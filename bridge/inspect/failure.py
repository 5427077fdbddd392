"""Why an endpoint did not lead to a server: one clear line that names the thing and the way out."""

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import httpx2
from mcp.shared.exceptions import MCPError
from websockets.exceptions import InvalidHandshake, InvalidStatus

from bridge.inspect.connection import is_closed
from bridge.inspect.trace import Trace

NOT_OFFERED = {404, 405, 501}
NO_WEBSOCKET = NOT_OFFERED | {200, 400, 403, 426}  # 403 is what ASGI servers say for an unknown path
# The SDK's words for a refusal without a JSON-RPC error in it, not the server's.
STAND_INS = {"Server returned an error response", "Not Found", "Session terminated"}


@dataclass(frozen=True)
class Failure:
    state: str  # "not offered" or "failed"
    reason: str
    unreachable: bool = False  # so the other transports of that host need no try
    refused: bool = False  # by HTTP, before the server saw it


def explain(trace: Trace, trouble: Exception | None) -> Failure:
    """`trouble` is None when the deadline, or a refused POST, ended it."""
    cause = _cause(trouble) if trouble else None
    if status := _status(trace, cause):
        return replace(_refused(trace, status, cause), refused=400 <= status < 500)
    if cause is None or isinstance(cause, TimeoutError | httpx2.TimeoutException):
        return Failure("failed", f"no answer within {trace.timeout:g} s while waiting for {trace.step} (--timeout)")
    if isinstance(cause, MCPError):
        return Failure("failed", _said_no(trace, cause))
    if trace.endpoint.transport == "stdio" and isinstance(cause, OSError):
        return Failure("failed", f"cannot start {trace.endpoint.command[0]}: {cause.strerror}")
    if isinstance(cause, OSError | httpx2.ConnectError) and not trace.opened:
        host = urlsplit(trace.endpoint.url).netloc.rpartition("@")[2]
        words = _plainly(cause)
        hint = (
            "is it http://, or is its certificate not known here (--ca FILE)?"
            if "SSL" in words or "certificate" in words
            else "is it running, and on this port?"
        )
        return Failure("failed", f"cannot connect to {host}: {words}; {hint}", unreachable=True)
    words = str(cause) or type(cause).__name__
    if isinstance(cause, InvalidHandshake):
        return Failure("not offered", words)
    if "byte limit" in words:  # of the SDK's SSE client, so other clients built on it stop there too
        words += " That is a limit of the official SDK's client; /mcp has none here"
    return Failure("failed", f"{words} (while waiting for {trace.step})")


def _refused(trace: Trace, status: int, cause: BaseException | None) -> Failure:
    websocket = trace.endpoint.transport == "websocket"
    if not trace.opened and status in (NO_WEBSOCKET if websocket else NOT_OFFERED):
        request = trace.refusal.request if trace.refusal else None
        if trace.endpoint.transport == "sse" and request and request.method == "POST":
            where = f"its message endpoint {request.url}"
            return Failure("failed", f"{where} answers HTTP {status}: is a proxy in between?")
        return Failure("not offered", f"HTTP {status}" + (", or refused" if status == 403 else ""))
    if status == 401:
        return Failure("failed", "HTTP 401: it wants a token; give one with --token-file FILE or --header NAME:VALUE")
    if status in (403, 421):
        return Failure("failed", f"HTTP {status}: it refuses this host name, origin or token (serve: --allowed-host)")
    words = f": {cause.message}" if isinstance(cause, MCPError) and cause.message not in STAND_INS else ""
    return Failure("failed", f"HTTP {status}{words} (in answer to {trace.step})")


def _said_no(trace: Trace, error: MCPError) -> str:
    if not is_closed(error):
        return f"{trace.step}: {error.message} ({error.code})"
    if trace.endpoint.transport == "stdio":
        ended = f"the command ended, or closed its output, before it answered {trace.step}"
        return ended + "; it sees a small environment only: --env NAME passes more"
    return f"it closed the connection before it answered {trace.step}"


def _cause(trouble: BaseException) -> BaseException:
    """The exception that began it: task groups wrap it, and a closed connection is often only its echo."""
    leaves = _leaves(trouble)
    return next((leaf for leaf in leaves if not (isinstance(leaf, MCPError) and is_closed(leaf))), leaves[0])


def _leaves(trouble: BaseException) -> list[BaseException]:
    if isinstance(trouble, BaseExceptionGroup):
        return [leaf for inner in trouble.exceptions for leaf in _leaves(inner)]
    return [trouble]


def _status(trace: Trace, cause: BaseException | None) -> int | None:
    if isinstance(cause, InvalidStatus):
        return cause.response.status_code
    return trace.refusal.status_code if trace.refusal else None


def _plainly(cause: BaseException | None) -> str:
    """The operating system's words, which HTTP libraries wrap several times over."""
    first, seen = cause, set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if isinstance(cause, OSError) and cause.strerror and not cause.strerror.startswith("Multiple exceptions"):
            return cause.strerror
        if isinstance(cause, BaseExceptionGroup):
            return _plainly(cause.exceptions[0])
        cause = cause.__cause__ or cause.__context__
    return str(first)
