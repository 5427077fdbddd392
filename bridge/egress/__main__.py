"""The proxy's container: `python -I -m bridge.egress FOLDER`, where FOLDER has squid.conf, unbound.conf and `mcps`.

A line of `mcps` is an MCP, the address that squid knows it by, and where it asks: a socket, or (Kubernetes) a port of this container.
All ends as soon as squid or unbound does, and is started anew then.
"""

import asyncio
import os
import re
import signal
import socket
import sys
import time
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

from bridge.egress import PORT
from bridge.egress.refusals import MINUTE, Refusals
from bridge.egress.relay import Connected, relay

RESOLVERS = Path("/tmp/resolvers.conf")  # unbound.conf includes it: whom to ask is known in the container only
METRICS = os.environ.get("MCP_BRIDGE_UDS") or "8000"
MOST, ALL = 128, 8000  # connections of one MCP, and of all, at once
AWAY = "the egress proxy is starting"


def main(folder: Path) -> int:
    lines = (folder / "mcps").read_text().splitlines()
    asked = re.findall(r"^nameserver\s+([0-9a-fA-F.:]+)", Path("/etc/resolv.conf").read_text(), re.MULTILINE)
    RESOLVERS.write_text("".join(['forward-zone:\n  name: "."\n', *(f"  forward-addr: {one}\n" for one in asked)]))
    return asyncio.run(_run(folder, [line.split() for line in lines if line and not line.startswith("#")]))


async def _run(folder: Path, mcps: list[list[str]]) -> int:
    refusals = Refusals({address: name for name, address, _ in mcps})
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with AsyncExitStack() as stack:
        unbound = await _started(stack, None, "unbound", "-d", "-c", str(folder / "unbound.conf"))
        squid = await _started(stack, asyncio.subprocess.PIPE, "squid", "-N", "-f", str(folder / "squid.conf"))
        for _, address, place in mcps:
            connect = partial(asyncio.open_connection, "127.0.0.1", PORT, local_addr=(address, 0))
            await _listen(place, relay(connect, AWAY, min(MOST, ALL // len(mcps))))
        await _listen(METRICS, partial(_answer, refusals))
        following = asyncio.gather(_follow(squid, refusals), _sum_up(refusals))
        ends = [asyncio.create_task(one) for one in (unbound.wait(), squid.wait(), stopped.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        following.cancel()
    return 0 if stopped.is_set() else 1


async def _started(stack: AsyncExitStack, stdout: int | None, *command: str) -> asyncio.subprocess.Process:
    """A process that is killed with the stack: neither keeps anything."""
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=stdout)
    stack.push_async_callback(_ended, process)
    return process


async def _ended(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _listen(place: str, connected: Connected) -> None:
    if place.isdecimal():
        await asyncio.start_server(connected, "0.0.0.0", int(place))
    else:
        await asyncio.start_unix_server(connected, sock=_bound(Path(place)))


def _bound(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # of the one before
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o666)  # who may ask is decided by who sees the folder
    return listener


async def _follow(squid: asyncio.subprocess.Process, refusals: Refusals) -> None:
    assert squid.stdout is not None
    while line := await squid.stdout.readline():
        for said in refusals.read(line.decode(errors="replace").strip(), time.monotonic()):
            print(said, flush=True)


async def _sum_up(refusals: Refusals) -> None:
    """Also where nothing more is refused after a flood."""
    while True:
        await asyncio.sleep(MINUTE)
        for said in refusals.sums(time.monotonic()):
            print(said, flush=True)


async def _answer(refusals: Refusals, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """/metrics, and whether squid lets somebody in."""
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError):  # it hears nothing then
        async with asyncio.timeout(5):
            wanted = (await reader.readuntil(b"\r\n\r\n")).split()[1]
            _, squid = await asyncio.open_connection("127.0.0.1", PORT)
            squid.close()
            text = refusals.metrics() if wanted == b"/metrics" else "ok\n"
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
            writer.write((head + text).encode())
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
