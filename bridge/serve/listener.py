"""The socket that clients connect to."""

import ipaddress
import socket
from pathlib import Path

from bridge.settings import Settings, UsageError

BACKLOG = 2048


def bind(settings: Settings) -> socket.socket:
    if settings.uds:
        return _bind_unix(settings.uds)
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        raise UsageError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error} (--port, --host)") from None
    listener.setblocking(False)
    return listener


def _bind_unix(path: str) -> socket.socket:
    """A socket that is left over from a bridge that died is replaced, one that answers is not."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if Path(path).is_socket():
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
                if other.connect_ex(path) == 0:
                    raise UsageError(f"--uds {path}: another bridge listens there")
            Path(path).unlink()
        listener.bind(path)
        Path(path).chmod(0o666)  # who may reach it is decided by its folder
        listener.listen(BACKLOG)
    except OSError as error:
        raise UsageError(f"cannot listen on {path}: {error.strerror or error} (--uds)") from None
    listener.setblocking(False)
    return listener


def is_private(settings: Settings) -> bool:
    """Whether only this machine can reach it."""
    return bool(settings.uds) or _is_loopback(settings.host)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_of(listener: socket.socket, settings: Settings) -> str:
    """An address that works where the log is read."""
    if settings.uds:
        return f"http+unix:{settings.uds}"
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
