"""How fast and small the bridge is, in one run, as ratios to bare uvicorn and to its peers.

    python tests/bench/run.py [--quick] [--only NAME]...

Prints a Markdown table to stdout, its progress to stderr. Needs the project's dependencies, Node with npm, and
on the first run the package registries: wrk and the peers are put into a cache (install.py).
pytest does not collect it: figures need a quiet machine and some minutes.
"""

import argparse
import contextlib
import fcntl
import os
import platform
import resource
import signal
import sys
import time

import load
import measures
import servers
from table import Row, markdown

LIMIT = {measures.FULL: 12 * 60, measures.QUICK: 3 * 60}  # seconds, installing not counted


class TimeIsUp(BaseException):
    """Not an Exception: nothing that forgives a failing peer may swallow it."""


def main() -> int:
    options = _options()
    pace = measures.QUICK if options.quick else measures.FULL
    _be_alone()
    _allow_many_connections()
    for install_one in (servers.install.child, servers.install.wrk, servers.install.pypi_mcp_proxy,
                        servers.install.supergateway, servers.install.npm_mcp_proxy):  # fmt: skip
        install_one()
    begin = time.monotonic()
    rows: list[Row] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, _time_is_up)
    signal.alarm(LIMIT[pace])
    ended = ""
    try:
        bench = _prepare(pace)
        for name in options.only or measures.ALL:
            since = time.monotonic()
            try:
                rows += measures.ALL[name](bench)
            except Exception as error:  # one measure that breaks must not cost the others
                rows.append(Row(name, ours=f"failed: {type(error).__name__}", met=False))
                print(f"{name} failed: {error!r}", file=sys.stderr)
            print(f"--- {name}: {time.monotonic() - since:.0f} s", file=sys.stderr, flush=True)
    except TimeIsUp:
        ended = " The time was up: the table is not complete."
    signal.alarm(0)
    print(markdown(rows))
    print("\nA ratio is ours to the other's, of a 5 MiB result the other's time to ours; medians of interleaved windows.")
    print(f"{_circumstances()} {time.monotonic() - begin:.0f} s.{ended}")
    failed = bool(ended) or any(row.met is False for row in rows)
    return 1 if options.check and failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter windows: under three minutes")
    parser.add_argument("--only", action="append", choices=measures.ALL, metavar="NAME", help=", ".join(measures.ALL))
    parser.add_argument("--check", action="store_true", help="exit with 1 when a goal is not met")
    return parser.parse_args()


def _prepare(pace: measures.Pace) -> measures.Bench:
    """Asks the bridge for one answer, for the bare app to send the same bytes."""
    ours = servers.ours()
    try:
        with servers.running(ours) as [server]:
            _, sample = load.run(load.session(server.port))
        if not sample.carries(123456789, b'"content"'):
            raise RuntimeError(f"tools/call: {sample.status} {sample.body[:300]!r}")
    except Exception as error:
        print(f"the bridge cannot be measured: {error}", file=sys.stderr)
        headers, body = [("content-type", "application/json"), ("content-length", "96")], "x" * 96
        return measures.Bench(pace, None, servers.bare(headers, body))
    lines = sample.head.decode().strip().split("\r\n")[1:]
    headers = [tuple(line.split(": ", 1)) for line in lines]
    return measures.Bench(pace, ours, servers.bare(headers, sample.body.decode()))


def _be_alone() -> None:
    """Two runs at once would measure each other."""
    servers.install.CACHE.mkdir(parents=True, exist_ok=True)
    lock = os.open(servers.install.CACHE / "run.lock", os.O_CREAT | os.O_RDWR)  # held until the process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("another run is measuring on this machine: try again when it is done")


def _allow_many_connections() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _circumstances() -> str:
    cores = len(os.sched_getaffinity(0))
    child = "compiled child" if len(servers.install.child()) == 1 else "child in Python"
    return (
        f"{time.strftime('%Y-%m-%d')}, {cores} cores, load {os.getloadavg()[0]:.1f}, Python"
        f" {platform.python_version()}, {child}; mcp-proxy {servers.install.PYPI_MCP_PROXY} (PyPI), supergateway"
        f" {servers.install.SUPERGATEWAY}, mcp-proxy {servers.install.NPM_MCP_PROXY} (npm)."
    )


def _time_is_up(*_) -> None:
    raise TimeIsUp


if __name__ == "__main__":
    sys.exit(main())
