"""uvicorn, as a bridge runs it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn

from bridge.certificate import Certificate
from bridge.http.app import App
from bridge.http.fast import FastProtocol
from bridge.serve.listener import BACKLOG

if TYPE_CHECKING:
    from bridge.http.websocket_protocol import WebSocketProtocol

KEEP_ALIVE = 75  # seconds; longer than clients keep idle connections, so that none is closed under a request
A_LITTLE = 1 << 16  # bytes by which a WebSocket message may be too long to be refused in words; others close their connection


class Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: signals mean a drain here, which is ours."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop_listening(self) -> None:
        for listening in self.servers:
            listening.close()


def server_of(app: App, max_body: int, certificate: Certificate | None) -> Server:
    protocol: Callable[..., asyncio.Protocol] = partial(FastProtocol, bridge=app)
    if certificate is not None:
        from bridge.http.tls import with_tls  # start-up time: only for those who use it

        protocol = partial(with_tls, certificate.now, app.head_timeout, protocol)
    return Server(
        uvicorn.Config(
            app.asgi,
            http=protocol,  # type: ignore[arg-type]  # uvicorn only calls it, and wants a class to be named
            ws=partial(_websocket_protocol, write_timeout=app.write_timeout),  # type: ignore[arg-type]  # as above
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=2,
            # No deflate: 61 KB of it are 180 MiB, and no client of ours needs it.
            ws_max_size=max_body + A_LITTLE,
            ws_per_message_deflate=False,
            backlog=BACKLOG,
        )
    )


def _websocket_protocol(*args: Any, **kwargs: Any) -> "WebSocketProtocol":
    from bridge.http.websocket_protocol import WebSocketProtocol  # start-up time: by the first WebSocket

    return WebSocketProtocol(*args, **kwargs)
