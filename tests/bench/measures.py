"""What is measured, and against which goal.

The machine is noisy, so the candidates take turns in short windows and a ratio is the median of the ratios of
neighbouring windows, not the quotient of two medians. Only one candidate is under load at any time.
A wrong answer of ours fails the row; a peer's wrong answers are left out of its rate and shown.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median

import hammer
import load
import servers
from servers import MIB, Contender, Server, running, spawned
from table import NOTHING, Goal, Row, at_least, at_most, kibibytes, mebibytes, milliseconds, per_second

CLIENTS = 16
OURS, BARE = "ours", "bare uvicorn"


@dataclass(frozen=True)
class Pace:
    window: float  # seconds of load at a time
    rounds: int
    starts: int
    peer_calls: int  # before a peer's memory is read; ours always gets 10,000
    all_of_peers: bool  # their figures for goals that are about ours alone


FULL = Pace(window=2, rounds=7, starts=7, peer_calls=10_000, all_of_peers=True)
QUICK = Pace(window=1, rounds=3, starts=1, peer_calls=800, all_of_peers=False)


@dataclass
class Bench:
    pace: Pace
    ours: Contender | None  # None: the bridge does not start, only the others are measured
    bare: Contender

    def us(self) -> list[Contender]:
        return [self.ours] if self.ours else []

    def streamable_peers(self) -> list[Contender]:
        # --no-modern spares npm mcp-proxy the classification of each request: 1.3 times as fast
        return [
            servers.pypi_mcp_proxy(),
            servers.supergateway("streamableHttp"),
            servers.npm_mcp_proxy("--server", "stream", "--no-eventStore", "--no-modern"),
        ]

    def sse_peers(self) -> list[Contender]:
        return [servers.pypi_mcp_proxy(), servers.supergateway("sse"), servers.npm_mcp_proxy("--server", "sse")]


@dataclass
class Series:
    """One candidate's figures, one a round."""

    values: list[float] = field(default_factory=list)
    wrong: int = 0

    def add(self, value: float, wrong: int = 0) -> None:
        self.values.append(value)
        self.wrong += wrong

    @property
    def middle(self) -> float:
        return median(self.values)

    def over(self, other: "Series") -> float:
        return median(a / b for a, b in zip(self.values, other.values, strict=False) if b)


Results = dict[str, Series]
Measure = Callable[[Bench], Iterator[Row]]


# --- calls ------------------------------------------------------------------------------------------------------------


def http(bench: Bench) -> Iterator[Row]:
    """tools/call over Streamable HTTP at 16 connections."""

    def one(server: Server) -> tuple[float, int]:
        rate = hammer.calls(server, CLIENTS, bench.pace.window)
        return rate.per_second, rate.wrong

    with running(*bench.us(), bench.bare, *bench.streamable_peers()) as candidates:
        _check_every_answer(candidates)
        found = _in_turn(bench, "tools/call, 16 connections", candidates, one, per_second)
    title = "`tools/call`, Streamable HTTP, 16 connections"
    yield _against_bare(title, found, per_second, at_least(0.75))
    yield _against(title, found, "PyPI mcp-proxy", per_second, at_least(12))
    yield _against(title, found, "supergateway", per_second, at_least(5))
    yield _against(title, found, "npm mcp-proxy", per_second, at_least(5))


def latency(bench: Bench) -> Iterator[Row]:
    """One call at a time."""

    def one(server: Server) -> tuple[float, int]:
        rate = hammer.calls(server, 1, max(1, bench.pace.window / 2))
        return rate.median, rate.wrong

    peers = bench.streamable_peers() if bench.pace.all_of_peers else []
    with running(*bench.us(), bench.bare, *peers) as candidates:
        found = _in_turn(bench, "one call at a time", candidates, one, milliseconds)
    yield _against_bare("one call at a time, median", found, milliseconds, at_most(2), best=min)


def sse(bench: Bench) -> Iterator[Row]:
    """Each of 16 clients posts to its endpoint and waits for the answer on its own stream."""

    def one(server: Server) -> tuple[float, int]:
        tally = load.run(load.sse_calls(server.port, CLIENTS, 0.5, bench.pace.window))
        return tally.right / tally.seconds, _wrong(server.name, tally)

    with running(*bench.us(), *bench.sse_peers()) as candidates:
        found = _in_turn(bench, "tools/call over HTTP+SSE, 16 clients", candidates, one, per_second)
    yield _against(f"`tools/call`, HTTP+SSE, {CLIENTS} clients", found, _best(found, max), per_second, at_least(3))


def litellm(bench: Bench) -> Iterator[Row]:
    """initialize, initialized, tools/call and DELETE for every call."""
    plain = Series()

    def one(server: Server) -> tuple[float, int]:
        if server.name == OURS:
            rate = hammer.calls(server, CLIENTS, bench.pace.window)
            plain.add(rate.per_second, rate.wrong)
            del plain.values[: -bench.pace.rounds]  # the warm-up
        rate = hammer.litellm(server, CLIENTS, bench.pace.window)
        return rate.per_second, rate.wrong

    with running(*bench.us(), *bench.streamable_peers()) as candidates:
        before = [server.children_started() for server in candidates]
        found = _in_turn(bench, "LiteLLM's pattern", candidates, one, per_second)
        spawns = {server.name: server.children_started() - was for server, was in zip(candidates, before, strict=True)}
    title = "LiteLLM's pattern, 16 connections"
    if ours := found.get(OURS):
        goal = at_least(0.18)
        share = ours.over(plain)
        yield Row(
            f"{title}: share of plain calls",
            f"{_shown(ours, per_second)} of {_shown(plain, per_second)}",
            ratio=f"{share:.2f}",
            goal=goal.text,
            met=goal.holds(share) and not ours.wrong + plain.wrong,
        )
    yield _against(title, found, _best(found, max), per_second, at_least(4))
    yield _plain("LiteLLM's pattern: children spawned", spawns, _least(spawns), str, at_most(0))


# --- time and memory --------------------------------------------------------------------------------------------------


def memory(bench: Bench) -> Iterator[Row]:
    """Resident memory of the bridge's own process after 10,000 calls."""
    found = {}
    for kind in (*bench.us(), *bench.streamable_peers()):
        number = 10_000 if kind.name == OURS else bench.pace.peer_calls
        with _peers_may_fail(kind), running(kind) as [server]:
            tally = load.run(load.calls(server.port, CLIENTS, number // CLIENTS))
            _demand_right(kind.name, tally)
            found[kind.name] = server.memory()
            _say(f"memory after {tally.right:,} calls: {kind.name} {mebibytes(found[kind.name])}")
    yield _plain("memory after 10,000 calls", found, _least(found), mebibytes, at_most(42 * MIB), " 42 MiB")


def start(bench: Bench) -> Iterator[Row]:
    """From the spawn until health is answered, and until the first tool call is answered."""
    listening: Results = {}
    first_call: Results = {}
    for round in range(bench.pace.starts + 1):
        for kind in (*bench.us(), *bench.streamable_peers()):
            with _peers_may_fail(kind), spawned(kind) as server:
                healthy = server.wait_until_healthy()
                load.run(load.session(server.port))
                called = server.age()
                if round:  # the first one only warms the disk's cache
                    listening.setdefault(kind.name, Series()).add(healthy)
                    first_call.setdefault(kind.name, Series()).add(called)
    for name in listening:
        _say(f"start: {name} {milliseconds(listening[name].middle)}, called {milliseconds(first_call[name].middle)}")
    middles = {name: series.middle for name, series in listening.items()}
    yield _plain("start until it listens", middles, _least(middles), milliseconds, at_most(0.35), " 350 ms")
    middles = {name: series.middle for name, series in first_call.items()}
    yield _plain("start until the first call is answered", middles, _least(middles), milliseconds)


def big(bench: Bench) -> Iterator[Row]:
    """A 5 MiB tool result: its time, and the peak of memory over what was resident before."""

    def one(server: Server) -> tuple[float, int]:
        return median(load.run(load.big_result(server.port, 1))), 0

    with running(*bench.us(), *bench.streamable_peers()) as candidates:
        _check_every_answer(candidates)
        bases = {server.name: server.memory() for server in candidates}
        for server in candidates:
            server.forget_peak()
        found = _in_turn(bench, "5 MiB result", candidates, one, milliseconds)
        peaks = {server.name: server.peak_memory() - bases[server.name] for server in candidates}
    for name, peak in peaks.items():
        _say(f"5 MiB result: {name} peak {mebibytes(peak)} over {mebibytes(bases[name])}")
    fastest = _best(found, min)
    yield _against("5 MiB tool result", found, fastest, milliseconds, at_least(3), inverse=True)
    yield _plain("5 MiB tool result: peak memory over the base", peaks, _least(peaks), mebibytes,
                 at_most(6 * 5 * MIB), " 6 × 5 MiB")  # fmt: skip


def sessions(bench: Bench) -> Iterator[Row]:
    """1,000 sessions one after another: with DELETE at their end, and abandoned."""
    peers = bench.streamable_peers() if bench.pace.all_of_peers else []
    for delete, ending in ((True, "closed"), (False, "abandoned")):
        growth, children = {}, {}
        for kind in (*bench.us(), *peers):
            with _peers_may_fail(kind), running(kind) as [server]:
                load.run(load.sequential_sessions(server.port, 200, True))
                memory_before, children_before = server.memory(), server.children_alive()
                tally = load.run(load.sequential_sessions(server.port, 1000, delete))
                _demand_right(kind.name, tally)
                growth[kind.name] = server.memory() - memory_before
                children[kind.name] = server.children_alive() - children_before
                _say(f"1,000 sessions {ending}: {kind.name} {mebibytes(growth[kind.name])},"
                     f" {children[kind.name]:+} children, {tally.seconds:.1f} s")  # fmt: skip
        title = f"1,000 sequential sessions, {ending}"
        flat = (at_most(MIB), " 1 MiB") if delete else (None, "")
        yield _plain(f"{title}: memory growth", growth, _least(growth), mebibytes, *flat)
        yield _plain(f"{title}: children left", children, _least(children), str, at_most(0))


def idle(bench: Bench) -> Iterator[Row]:
    """1,000 clients of HTTP+SSE that said hello and only listen (200 for the peers: the cost of each is the same)."""
    cost = {}
    peers = bench.sse_peers() if bench.pace.all_of_peers else []
    for kind in (*bench.us(), *peers):
        number = 1000 if kind.name == OURS else 200
        with _peers_may_fail(kind), running(kind) as [server]:
            load.run(load.idle_streams(server.port, 32, lambda: None))
            before, full = server.memory(), []
            tally = load.run(load.idle_streams(server.port, number, lambda: full.append(server.memory())))
            _demand_right(kind.name, tally)
            cost[kind.name] = (full[0] - before) / number
            _say(f"{number} idle SSE clients: {kind.name} {kibibytes(cost[kind.name])} each")
    yield _plain("1,000 idle SSE clients: memory each", cost, _least(cost), kibibytes, at_most(40 * 1024), " 40 KiB")


ALL: dict[str, Measure] = {measure.__name__: measure for measure in (http, latency, sse, litellm, memory, start, big, sessions, idle)}


# --- rows -------------------------------------------------------------------------------------------------------------


def _against_bare(title: str, found: Results, show: Callable[[float], str], goal: Goal, best=max) -> Row:
    ours, bare, peer = found.get(OURS), found[BARE], _best(found, best)
    ratio = ours.over(bare) if ours else None
    return Row(
        title,
        _shown(ours, show),
        _shown(bare, show),
        _named(found.get(peer), show, peer),
        f"{ratio:.2f}" if ours else NOTHING,
        f"{goal.text} × bare",
        goal.holds(ratio) and not ours.wrong if ours else None,
    )


def _against(title: str, found: Results, peer: str | None, show: Callable[[float], str], goal: Goal, inverse=False) -> Row:
    """`inverse` for times: how many times as fast is their time over ours."""
    ours, theirs = found.get(OURS), found.get(peer)
    known = bool(ours and theirs)
    ratio = (theirs.over(ours) if inverse else ours.over(theirs)) if known else None
    return Row(
        title,
        _shown(ours, show),
        peer=_named(theirs, show, peer),
        ratio=f"{ratio:.1f}" if known else NOTHING,
        goal=f"{goal.text} × {peer}",
        met=goal.holds(ratio) and not ours.wrong if known else None,
    )


def _plain(title: str, found: dict, peer: str | None, show, goal: Goal | None = None, limit: str = "") -> Row:
    """A row whose goal is about our own figure."""
    ours = found.get(OURS)
    return Row(
        title,
        NOTHING if ours is None else show(ours),
        peer=f"{show(found[peer])} ({peer})" if peer in found else NOTHING,
        ratio=f"{ours / found[peer]:.2f}" if ours and peer in found and found[peer] > 0 else NOTHING,
        goal=NOTHING if goal is None else f"≤{limit}" if limit else goal.text,
        met=None if goal is None or ours is None else goal.holds(ours),
    )


def _shown(series: Series | None, show: Callable[[float], str]) -> str:
    if not series:
        return NOTHING
    return show(series.middle) + (f" ({series.wrong} wrong)" if series.wrong else "")


def _named(series: Series | None, show: Callable[[float], str], peer: str | None) -> str:
    return f"{_shown(series, show)} ({peer})" if series else NOTHING


def _best(found: Results, choose) -> str | None:
    peers = [name for name in found if name not in (OURS, BARE)]
    return choose(peers, key=lambda name: found[name].middle, default=None)


def _least(found: dict[str, float]) -> str | None:
    return min((name for name in found if name not in (OURS, BARE)), key=found.get, default=None)


# --- rounds -----------------------------------------------------------------------------------------------------------


def _in_turn(bench: Bench, title: str, candidates: list[Server], one, show: Callable[[float], str]) -> Results:
    """A warm-up of everyone, then round after round; who fails is out, and said to be."""
    found: Results = {}
    out = set()
    for round in range(bench.pace.rounds + 1):
        for server in candidates:
            if server.name in out:
                continue
            try:
                value, wrong = one(server)
            except Exception as error:
                if server.name == OURS:
                    raise
                out.add(server.name)
                found.pop(server.name, None)
                _say(f"{title}: {server.name} failed: {error!r}")
                continue
            if round:
                found.setdefault(server.name, Series()).add(value, wrong)
    for name, series in found.items():
        each = " ".join(show(value) for value in series.values)
        _say(f"{title}: {name} {_shown(series, show)}   [{each}]")
    return found


def _check_every_answer(candidates: list[Server]) -> None:
    """Sixteen sessions with ids of their own, before it is about speed: wrk cannot see who got which answer."""
    for server in candidates:
        if not server.kind.constant:
            tally = load.run(load.calls(server.port, CLIENTS, 30))
            if _wrong(server.name, tally) and server.name == OURS:
                raise AssertionError(f"wrong answers: {tally.reasons}")


@contextlib.contextmanager
def _peers_may_fail(kind: Contender):
    try:
        yield
    except Exception as error:
        if kind.name == OURS:
            raise
        _say(f"{kind.name} failed: {error!r}")


def _wrong(name: str, tally: load.Tally) -> int:
    """How many answers were wrong. Somebody else's answer on a stream is a fault of ours, of a peer only remarkable."""
    if tally.wrong or tally.strays:
        reasons = " ".join(sorted(tally.reasons))
        _say(f"{name}: {tally.right} right, {tally.wrong} wrong, {tally.strays} answers of others {reasons}")
    return tally.wrong + (tally.strays if name == OURS else 0)


def _demand_right(name: str, tally: load.Tally) -> None:
    if wrong := _wrong(name, tally):
        raise AssertionError(f"{wrong} wrong answers")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
