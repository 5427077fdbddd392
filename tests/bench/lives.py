"""What children cost: a session of one's own, a child that is killed, a million calls, a slow neighbour, a fleet that sleeps.

    python tests/bench/lives.py [--quick] [--only pool|kills|soak|slow|fleet]...

Prints a Markdown table. Bounded: 10 minutes at most, 2 with --quick. The children are the bench's compiled one, the zoo's
echo, and for the fleet six real servers (tests/environments), some of them more than once.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).parents[1])]

import load
from load import CALL, PATIENCE, Connection, Tally, open_session
from servers import CHECKOUT, MIB, Contender, Server, _descendants, running
from table import Row, at_most, markdown, mebibytes, milliseconds

ECHO = [sys.executable, str(CHECKOUT / "tests/children/echo.py")]
LIST = b'{"jsonrpc":"2.0","id":%d,"method":"tools/list"}'
SLOW = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"slow","arguments":{"seconds":%d}}}'


def bridge(*options: str, child: list[str] | None = None, name: str = "ours") -> Contender:
    """Our bridge with these options around `child` (the compiled one where none is given)."""

    def command(port: int, compiled: list[str]) -> list[str]:
        return [sys.executable, "-m", "bridge", "serve", "--port", str(port), *options, "--", *(child or compiled)]

    return Contender(name, command, "/readyz")


# --- a session of one's own -----------------------------------------------------------------------------------------------


def pool(quick: bool):
    """initialize, initialized and the first tools/list of a new session: shared, from warm spares, and with a spawn."""
    times = 5 if quick else 15
    seconds = {}
    for name, options in (("shared", ()), ("spares", ("--isolation", "session", "--spares", "2")), ("spawn", ("--isolation", "session"))):
        with running(bridge(*options, child=ECHO)) as [server]:
            time.sleep(1)
            seconds[name] = load.run(_first_lists(server.port, times))
            _say(f"first tools/list: {name} {milliseconds(seconds[name])}")
    ratio = seconds["spares"] / seconds["shared"]
    goal = at_most(3, " × shared")
    yield Row("new session to its first `tools/list`: shared child", milliseconds(seconds["shared"]))
    yield Row("… own child from a warm pool", milliseconds(seconds["spares"]), ratio=f"{ratio:.1f}", goal=goal.text, met=goal.holds(ratio))
    yield Row("… own child, spawned", milliseconds(seconds["spawn"]), ratio=f"{seconds['spawn'] / seconds['shared']:.0f}")


async def _first_lists(port: int, times: int) -> float:
    seconds = []
    for id in range(times):
        connection = await Connection.open(port)
        begin = time.perf_counter()
        session = await open_session(connection, id)
        answer = await asyncio.wait_for(connection.post(b"/mcp", LIST % id, session), PATIENCE)
        seconds.append(time.perf_counter() - begin)
        if not answer.carries(id, b'"tools"'):
            raise RuntimeError(f"tools/list: {answer.status} {answer.body[:200]!r}")
        await asyncio.wait_for(connection.send(b"DELETE", b"/mcp", b"", session), PATIENCE)
        connection.close()
        await asyncio.sleep(0.5)  # clients do not come in a crowd; spares need a moment to be refilled
    return median(seconds)


# --- a child that is killed --------------------------------------------------------------------------------------------------


def kills(quick: bool):
    """SIGKILL the child again and again under 16 busy clients."""
    times = 10 if quick else 100
    with running(bridge()) as [server]:
        load.run(load.calls(server.port, 16, 50))
        files, children = _files(server), server.children_alive()
        result = load.run(_killed(server, times))
        time.sleep(1)
        more_files, more_children = _files(server) - files, server.children_alive() - children
    _say(f"{times} kills: {result}")
    yield Row(f"child killed {times} times under 16 clients: wrong answers", str(result["wrong"]), goal="≤ 0", met=result["wrong"] == 0)
    yield Row("… sessions lost", str(result["lost"]), goal="≤ 0", met=result["lost"] == 0)
    yield Row("… calls answered with the reason", f"{result['told']:,} of {result['calls']:,}")
    yield Row(
        "… longest wait of a call that was in flight", milliseconds(result["told_after"]), goal="≤ 1 s", met=result["told_after"] <= 1
    )
    yield Row(
        "… children and descriptors more than before",
        f"{more_children}, {more_files}",
        goal="≤ 0, 0",
        met=more_children <= 0 and more_files <= 0,
    )


async def _killed(server: Server, times: int) -> dict:
    result = {"calls": 0, "told": 0, "wrong": 0, "lost": 0, "told_after": 0.0}
    is_over = asyncio.Event()

    async def client(index: int):
        connection = await Connection.open(server.port)
        session = await open_session(connection)
        id = index * 10_000_000
        while not is_over.is_set():
            id += 1
            begin = time.perf_counter()
            answer = await asyncio.wait_for(connection.post(b"/mcp", CALL % (id, b"echo"), session), PATIENCE)
            result["calls"] += 1
            if answer.carries(id, b'"error"') and b"killed by SIGKILL" in answer.body:
                result["told"] += 1
                result["told_after"] = max(result["told_after"], time.perf_counter() - begin)
            elif answer.status == 404:
                result["lost"] += 1
            elif not answer.carries(id, b'"content"'):
                result["wrong"] += 1
                _say(f"wrong: {answer.status} {answer.body[:200]!r}")
        connection.close()

    async def killer():
        killed = set()
        for _ in range(times):
            while not (pids := set(_descendants(server.pid)) - killed):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.25)  # of use meanwhile: one that dies at its start again and again would be FATAL
            killed |= pids
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)  # a child of the bridge that we started
        is_over.set()

    async with asyncio.timeout(times * 2 + 30), asyncio.TaskGroup() as tasks:
        for index in range(1, 17):
            tasks.create_task(client(index))
        tasks.create_task(killer())
    return result


# --- a million calls ----------------------------------------------------------------------------------------------------------


def soak(quick: bool):
    """Many calls over many sessions, 16 at a time; each session ends with DELETE."""
    sessions, each = (1000, 100) if quick else (10_000, 100)
    with running(bridge()) as [server]:
        load.run(_sessions(server.port, 100, each))  # the first 10,000 calls
        before = server.memory()
        tally = load.run(_sessions(server.port, sessions - 100, each))
        growth = server.memory() - before
    _say(f"{tally.right:,} calls in {tally.seconds:.0f} s: {mebibytes(growth)}, {tally.wrong} wrong {tally.reasons or ''}")
    goal = at_most(5 * MIB)
    yield Row(
        f"{sessions * each:,} calls over {sessions:,} sessions: memory growth after the first 10,000",
        mebibytes(growth),
        goal="≤ 5 MiB",
        met=goal.holds(growth) and not tally.wrong,
    )


async def _sessions(port: int, number: int, each: int) -> Tally:
    tally = Tally()
    left = iter(range(number))
    begin = time.perf_counter()

    async def client():
        connection = await Connection.open(port)
        for index in left:
            session = await open_session(connection, index)
            for id in range(index * each, (index + 1) * each):
                answer = await asyncio.wait_for(connection.post(b"/mcp", CALL % (id, b"echo"), session), PATIENCE)
                if answer.carries(id, b'"content"'):
                    tally.right += 1
                else:
                    tally.refuse(f"call {id}: {answer.status} {answer.body[:150]!r}")
            await asyncio.wait_for(connection.send(b"DELETE", b"/mcp", b"", session), PATIENCE)
        connection.close()

    await asyncio.gather(*(client() for _ in range(16)))
    tally.seconds = time.perf_counter() - begin
    return tally


# --- a slow neighbour -----------------------------------------------------------------------------------------------------------


def slow(quick: bool):
    """15 busy clients, without and with a slow call beside them, in turns; ratio of their medians."""
    seconds, rounds = (3, 2) if quick else (10, 3)
    with running(bridge(child=ECHO)) as [server]:
        pairs = [load.run(_neighbours(server.port, seconds)) for _ in range(rounds)]
    ratio = median(beside / alone for alone, beside in pairs)
    alone, beside = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
    _say(f"slow neighbour: {pairs}")
    yield Row(
        f"median of 15 busy clients beside a call of {rounds * seconds} s in all",
        milliseconds(beside),
        ratio=f"{ratio:.2f}",
        goal="≤ 1.2 × alone",
        met=ratio <= 1.2,
    )
    yield Row("… alone", milliseconds(alone))


async def _neighbours(port: int, seconds: int) -> tuple[float, float]:
    async def busy(index: int, until: float, waits: list[float]):
        connection = await Connection.open(port)
        session = await open_session(connection)
        id = index * 1_000_000
        while time.perf_counter() < until:
            id += 1
            begin = time.perf_counter()
            body = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hi"}}}' % id
            answer = await asyncio.wait_for(connection.post(b"/mcp", body, session), PATIENCE)
            waits.append(time.perf_counter() - begin)
            if not answer.carries(id, b'"content"'):
                raise RuntimeError(f"{answer.status} {answer.body[:200]!r}")
        connection.close()

    async def crowd(with_slow: bool) -> float:
        waits: list[float] = []
        until = time.perf_counter() + seconds
        async with asyncio.TaskGroup() as tasks:
            if with_slow:
                connection = await Connection.open(port)
                session = await open_session(connection)
                connection.post(b"/mcp", SLOW % (7, seconds), session)
            for index in range(1, 16):
                tasks.create_task(busy(index, until, waits))
        if with_slow:
            await asyncio.wait_for(connection.answer, PATIENCE)
            connection.close()
        return median(waits)

    return await crowd(False), await crowd(True)


# --- a fleet that sleeps ------------------------------------------------------------------------------------------------------------


def fleet(quick: bool):
    """Fifteen real servers in one bridge: resident memory of everything (PSS), awake and asleep."""
    from environments import server as real

    with tempfile.TemporaryDirectory(prefix="mcp-bench-fleet-") as folder:
        arguments = {"filesystem": [folder], "git": ["--repository", str(CHECKOUT)]}
        names = ["time", "git", "fetch", "everything", "filesystem", "memory"]
        entries = {}
        for number in range(15):
            name = names[number % len(names)]
            program, *rest = [*real(name), *arguments.get(name, [])]
            entries[f"{name}-{number}"] = {"command": program, "args": rest, "env": {"MEMORY_FILE_PATH": f"{folder}/{number}.jsonl"}}
        config = Path(folder, "mcps.json")
        config.write_text(json.dumps({"mcpServers": entries}))
        options = ("--config", str(config), "--idle-stop", "5", "--cache-dir", folder)

        def command(port: int, compiled: list[str]) -> list[str]:
            return [sys.executable, "-m", "bridge", "serve", "--port", str(port), *options]

        with running(Contender("fleet", command, "/healthz")) as [server]:
            awake = _peak_of(server, 15)
            deadline = time.monotonic() + 60
            while _descendants(server.pid) and time.monotonic() < deadline:
                time.sleep(0.5)
            asleep, left = _pss(server), len(_descendants(server.pid))
    _say(f"fleet: awake {mebibytes(awake)}, asleep {mebibytes(asleep)}, {left} processes left")
    yield Row("fifteen real servers, all awake: memory of everything", mebibytes(awake))
    yield Row("… all asleep", mebibytes(asleep), ratio=f"{asleep / awake:.3f}", goal="no process left", met=left == 0)


def _peak_of(server: Server, children: int) -> int:
    """Memory when all children are there and their lists are read."""
    most, deadline = 0, time.monotonic() + 60
    while time.monotonic() < deadline:
        if len(_descendants(server.pid)) >= children:
            most = max(most, _pss(server))
        elif most:
            return most
        time.sleep(0.5)
    return most


def _pss(server: Server) -> int:
    total = 0
    for pid in (server.pid, *_descendants(server.pid)):
        with contextlib.suppress(OSError):
            total += int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)[1]) * 1024
    return total


def _files(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.pid}/fd"))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


ALL = {measure.__name__: measure for measure in (pool, kills, soak, slow, fleet)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", choices=ALL)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.alarm(120 if options.quick else 600)
    rows = [row for name in options.only or ALL for row in ALL[name](options.quick)]
    print(markdown(rows))
    return int(any(row.met is False for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
