"""`mcp-bridge serve`: where HTTP, the protocol and the child processes of all MCPs meet.

    configuration.py   what to serve, and to whom         listener.py, server.py   the socket, and uvicorn on it
    process.py         from the first line of log to the exit code
    services.py        the MCPs that are served, and what becomes of them at a reload

Order matters: check what can be checked, bind, start the children, listen, wait for a signal, drain. Exit codes: 0 stopped as
asked, 1 given up (`--exit-on-fatal`), 2 wrong usage.
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bridge import log
from bridge.certificate import Certificate
from bridge.private import close_memory
from bridge.serve.configuration import read, resource_server
from bridge.serve.listener import bind
from bridge.serve.process import Process
from bridge.serve.session_key import session_key
from bridge.settings import Settings


def serve(settings: Settings, argv: list[str]) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code. Raises UsageError before anything was started."""
    close_memory()
    log.set_up(settings.log_format, settings.log_level)
    configuration = read(settings, argv)
    oauth = resource_server(settings, configuration.tokens)
    key = session_key(settings)
    certificate = Certificate(settings.tls_cert, settings.tls_key) if settings.tls_cert else None
    listener = bind(settings)
    try:
        return _runner()(Process(settings, argv, configuration, oauth, key, certificate, listener).run())
    finally:
        if settings.uds:
            Path(settings.uds).unlink(missing_ok=True)


def _runner() -> Callable[[Coroutine[Any, Any, int]], int]:
    try:
        import uvloop  # an optional package: there is none for PyPy
    except ImportError:
        return asyncio.run
    return uvloop.run
