"""Ports that the fleet is published on: whether they are to be had, whose they are, and which are free."""

import errno
import socket
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from bridge.fleet.engines import EngineError


@dataclass(frozen=True)
class Port:
    variable: str  # of compose/.env, which chooses it
    host: str
    number: int


def refuse_taken(
    ports: Iterable[Port], is_ours: Callable[[int], bool] = lambda port: False, whose: Callable[[int], str] = lambda port: "another program"
) -> None:
    """Raises EngineError where some are not to be had, with whose they are and which are free."""
    ports = list(ports)
    taken = [port for port in ports if not is_ours(port.number) and not _is_free(port.host, port.number)]
    if not taken:
        return
    chosen = {port.variable: port.number for port in ports}
    for port in taken:
        chosen[port.variable] = _free(port.host, port.number, chosen.values())
    ways = " ".join(f"{port.variable}={chosen[port.variable]}" for port in taken)
    raise EngineError(
        "; ".join(f"port {port.number} is taken by {whose(port.number)}" for port in taken)
        + f"\nend that, or write free ones into compose/.env: {ways}"
    )


def _is_free(host: str, port: int) -> bool:
    """Only a port that is in use is not: what we may not bind, Docker may."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True


def _free(host: str, port: int, given: Collection[int]) -> int:
    """One that is free, and that nothing of ours shall have."""
    return next((other for other in range(port + 1, min(port + 1000, 65536)) if other not in given and _is_free(host, other)), port)
