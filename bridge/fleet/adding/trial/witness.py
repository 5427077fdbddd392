"""Talks with a server, in the container that it is tried in: what it says, which calls work, what it writes.

Reads one JSON object from its input (`Wish`) and prints one (`Report`). Its calls are
those of `calls.planned` unless it is told which.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NotRequired, TypedDict, cast

import anyio
from pydantic import ValidationError

from bridge.child.environment import compose
from bridge.fleet.adding.trial.arguments import OF_A_PLACE, REFUSES, probes
from bridge.fleet.adding.trial.calls import AN_ENDING, NO_NETWORK, Call, chosen, complaint, one_refusal, planned
from bridge.fleet.adding.trial.package_files import SERVER, Variables, variables
from bridge.inspect.connect import visit
from bridge.inspect.connection import Connection
from bridge.inspect.plan import Endpoint, Plan
from bridge.inspect.show import result as shown
from bridge.inspect.survey import call, survey

START, CALL, WHOLE = 40.0, 12.0, 60.0  # seconds: to start (there is nothing to wait for), for one call, for all of them
SLOWEST = 4.0  # so much longer may it all take where others work, too
SETTLE = 1.0  # what it does by itself, it does soon after its start
LISTENS = 5.0  # seconds to answer, after it said that it listens somewhere
IDLES, IDLE_TICKS = 20.0, 20  # seconds in which it does nothing (proc(5): ticks of its processes), after which it will not answer either
ALONE = 6.0  # seconds that it may take to print its help
AFTER_A_SILENCE, NO_ANSWER, ENDED = 3.0, "no answer within", "the server ended"
WORDS, HELP = 60, 300  # lines
MANY = 200  # files that a server wrote, of which it is enough to know some
MOST_PLACES = 6  # arguments of tools that are given a path
SHORT = 300  # characters of an answer: a longer one may speak of anything
# Of a server that waits for clients elsewhere than at its input.
LISTENING = re.compile(  # not in a frame of a stack
    r"^(?!\s*at ).*?(?:listening|https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\])|\bon port \d+|Uvicorn running|\bHTTP (?:server|mode)|Streamable ?HTTP"
    r"|SSE (?:server|endpoint))",
    re.IGNORECASE | re.MULTILINE,
)
# What a file holds that only counts who uses it, or when: a UUID, a digest or a time, and beside it numbers, switches.
AN_ID = re.compile(r"\d{4}-\d\d-\d\d(?:T[\d:.+Z-]+)?|[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}|[0-9a-f]{64}", re.IGNORECASE)
OF_AN_ID = re.compile(r"\d[\d.,:TZ+-]*|true|false|none|null", re.IGNORECASE)
AN_ID_LONG = 500  # bytes
HOME, CWD = Path("/tmp/home"), Path("/tmp/cwd")  # apart from each other and from /tmp, so that what is written tells why


class Wish(TypedDict):
    """What is to be tried."""

    command: list[str]
    environment: dict[str, str]
    cwd: str
    places: list[str]  # folders that are watched for what it writes
    calls: list[dict[str, Any]] | None  # fields of `Call`; None: as `planned`
    package: NotRequired[str]
    files: NotRequired[dict[str, str]]  # secrets that are files: the path and what stands there
    root: NotRequired[str]  # where the package is, if not where images have it


class Made(TypedDict):
    """A call that was made: the fields of `Call`, and what came of it."""

    tool: str
    arguments: dict[str, Any]
    reads: bool
    said: bool
    harms: bool
    began: float
    ended: float
    complaint: str  # empty: it worked
    answer: str
    wrote: list[tuple[str, int]]  # what, and how big it is
    printed: str  # on its stderr meanwhile


class Report(Variables):
    began: float
    started: float  # when it had listed its tools and settled; 0 if it never did
    why_not: str
    server: dict[str, Any]
    tools: list[dict[str, Any]]
    wrote: list[tuple[str, int]]  # before the first call
    calls: list[Made]
    looked: dict[str, bool | None]  # arguments that are paths (path of read): whether it looked there; None: nothing was seen of that
    words: list[str]  # the last of its stderr; if that is empty, of all that it prints when nobody talks with it
    help: list[str]  # of one that did not start: how it says that it is used
    listens: list[str]  # where it waits for others than the client that started it: 127.0.0.1:3025


def _nothing_yet(why_not: str = "") -> Report:
    heard = {"began": time.time(), "started": 0.0, "why_not": why_not, "server": {}, "looked": {}}
    lists: dict[str, Any] = {name: [] for name in ("tools", "wrote", "calls", "words", "help", "listens")}
    return cast(Report, heard | lists | variables(""))


def main() -> None:
    wish = json.load(sys.stdin)
    for path, value in wish.get("files", {}).items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(value, encoding="utf-8")
    try:
        report = anyio.run(watch, wish)
    except BaseException as error:  # whatever it is, it is what is told
        report = _nothing_yet(f"the trial itself failed: {type(error).__name__}: {error}")
    print(json.dumps(report))


async def watch(wish: Wish) -> Report:
    environment = compose(named=("*",)) | wish["environment"]
    environment["HOME"], cwd = _own(environment.get("HOME", "/tmp"), HOME), _own(wish["cwd"] or os.getcwd(), CWD)
    endpoint = Endpoint("stdio", command=tuple(wish["command"]))
    plan = Plan(
        endpoints=(endpoint,),
        headers={},
        environment=environment,
        cwd=cwd,
        timeout=START * slowness(),
        call=None,
        expect="",
        json=False,
        openai=False,
    )
    report, written = _nothing_yet(), Written(wish["places"])
    report.update(variables(wish.get("package", ""), Path(wish.get("root", SERVER))))  # type: ignore[typeddict-item]  # its fields are some of a report's
    report["starts"] = [name for name in report["starts"] if not shutil.which(name, path=environment.get("PATH"))]

    if not wish["command"]:
        return report  # only what its files say
    answers, patience, sockets = anyio.Event(), anyio.CancelScope(), _listening()
    listens: list[str] = []  # what it says of that on its output, which is for messages

    def heard(why: Exception) -> None:
        line = str(why.errors()[0]["input"]).strip() if isinstance(why, ValidationError) else ""
        if LISTENING.search(line[:1000]) and len(listens) < WORDS:
            listens.append(line[:1000])

    async def talk(connection: Connection) -> bool:
        answers.set()
        facts = await survey(connection)
        report["server"], report["tools"] = facts.server, facts.lists["tools"]
        await anyio.sleep(SETTLE)
        report["wrote"], report["started"] = written.since(), time.time()
        report["listens"] = sorted(_listening() - sockets)
        for one in planned(report["tools"]) if wish["calls"] is None else [Call(**one) for one in wish["calls"]]:
            if time.time() - report["started"] < WHOLE:
                report["calls"].append(made := _not_answered(one))
                # Where one waits in vain the next often waits for it, and for the same.
                is_silent = any(one["complaint"].startswith(NO_ANSWER) for one in report["calls"])
                before = os.fstat(stderr.fileno()).st_size
                await _make(connection, made, AFTER_A_SILENCE if is_silent else CALL)
                while not made["said"] and (better := chosen(made["arguments"], made["complaint"])):
                    made["arguments"] = better
                    await _make(connection, made, AFTER_A_SILENCE)
                made["wrote"], made["printed"] = written.since(), os.pread(stderr.fileno(), 8192, before).decode(errors="replace")
        for made, is_refused in zip(report["calls"], one_refusal([made["answer"] for made in report["calls"]]), strict=True):
            made["complaint"] = made["complaint"] or (made["answer"] if is_refused else "")
        if wish["calls"] is None and not any(one["complaint"] == ENDED for one in report["calls"]):
            with suppress(OSError):  # that may be read-only
                kept = [
                    place for place in wish["places"] if place not in ("/tmp", environment["HOME"])
                ]  # what its command or a variable names
                await _look(connection, report, Path(next(iter(kept), cwd)))
        return True

    with tempfile.TemporaryFile() as stderr:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_give_up_if_it_listens, stderr, listens, answers, patience, report)
            tasks.start_soon(_give_up_if_it_idles, answers, patience, report)
            with patience:
                visited = await visit(endpoint, plan, talk, stderr, heard)
                if visited.failure and not report["started"]:
                    report["why_not"] = visited.failure.reason.partition("; it sees a small environment")[0]  # which the stanza says
            tasks.cancel_scope.cancel()
        end = stderr.seek(0, 2)
        stderr.seek(max(0, end - 65536))
        report["words"] = [line for line in stderr.read().decode(errors="replace").splitlines() if line.strip()][-WORDS:]
    report["words"] += ["Out of memory: the system ended it"] if _was_out_of_memory() else []
    if not report["started"]:
        words = report["words"] or _printed(wish["command"], environment, cwd)[-WORDS:]
        before = [*listens, *_logged(written.since()), *(_unlinked() if any("native add" in line for line in words) else [])]
        report["words"] = [*(line for line in before if line not in words), *words]
        report["help"] = _printed([*wish["command"], "--help"], environment, cwd)[:HELP]
    return report


async def _give_up_if_it_listens(
    stderr: IO[bytes], listens: list[str], answers: anyio.Event, patience: anyio.CancelScope, report: Report
) -> None:
    """Whoever says that he waits for clients at some address, and does not answer at once, will not."""
    while not (
        listens or LISTENING.search(os.pread(stderr.fileno(), 65536, 0).decode(errors="replace"))
    ):  # not `seek`: it is where the server writes, too
        await anyio.sleep(0.5)
    await anyio.sleep(LISTENS * slowness())
    if not answers.is_set():
        report["why_not"] = f"{NO_ANSWER} {LISTENS * slowness():.0f} s of saying that it listens"
        patience.cancel()


async def _give_up_if_it_idles(answers: anyio.Event, patience: anyio.CancelScope, report: Report) -> None:
    """Whoever computes nothing and waits for nobody will not answer."""
    ticks, since = _ticks(), time.monotonic()
    while time.monotonic() - since < IDLES:
        await anyio.sleep(1)
        if answers.is_set():
            return
        if _is_busy() or _ticks() - ticks > IDLE_TICKS:
            ticks, since = _ticks(), time.monotonic()
    report["why_not"] = f"{NO_ANSWER} {IDLES:.0f} s in which it did nothing"
    patience.cancel()


def _was_out_of_memory() -> bool:
    """Whether the system ended a process of this container because it took more memory than it may (cgroups(7): version 2 and version 1)."""
    for path in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        with suppress(OSError):
            if re.search(r"^oom_kill [1-9]", Path(path).read_text(), re.MULTILINE):
                return True
    return False


def _others() -> Iterator[list[str]]:
    """What the system says of each process but this one and the first, from its state on (proc(5))."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        if path.parent.name not in ("1", str(os.getpid())):
            with suppress(OSError):
                yield path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _ticks() -> int:
    """The time that they all computed. Of one that ended it is not known any more."""
    return sum(int(fields[11]) + int(fields[12]) for fields in _others())


def _is_busy() -> bool:
    """Whether one wants to compute or waits for a disk (R, D), or is connected, or about to be, with somebody (01, 02)."""
    return any(fields[0] in "RD" for fields in _others()) or bool(_addresses("01", "02"))


def _listening() -> set[str]:
    """The addresses at which somebody waits for TCP connections in this network."""
    return _addresses("0A")


def _addresses(*states: str) -> set[str]:
    """Those of the sockets of TCP in one of these states (proc(5)), which has them in the machine's byte order."""
    found = set()
    for family, path in ((socket.AF_INET, "/proc/net/tcp"), (socket.AF_INET6, "/proc/net/tcp6")):
        with suppress(OSError):
            for _, at, _, state, *_ in (line.split() for line in Path(path).read_text().splitlines()[1:]):
                address, port = at.split(":")
                packed = b"".join(bytes.fromhex(address[n : n + 8])[::-1] for n in range(0, len(address), 8))
                if state in states:
                    host = socket.inet_ntop(family, packed)
                    found.add(f"[{host}]:{int(port, 16)}" if ":" in host else f"{host}:{int(port, 16)}")
    return found


def _printed(command: list[str], environment: dict[str, str], cwd: str) -> list[str]:
    """What a program prints when nobody talks with it, on whichever of its outputs."""
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment, cwd=cwd, start_new_session=True
            )
        except OSError:
            return []
        with suppress(subprocess.TimeoutExpired):
            process.wait(ALONE * slowness())
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        said.seek(0)
        return [line for line in said.read(65536).decode(errors="replace").splitlines() if line.strip()]


def _logged(wrote: list[tuple[str, int]]) -> list[str]:
    """The last lines of the logs among what it wrote."""
    lines: list[str] = []
    for path in (path for path, size in wrote if path.endswith(".log") and size < 1 << 20 and os.path.isfile(path)):
        with suppress(OSError):
            lines += Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if line.strip()][-WORDS // 2 :]


def _unlinked() -> list[str]:
    """The libraries of the system that native add-ons of npm do not find, in the words of who loads one."""
    said = ""
    for path in SERVER.rglob("*.node"):
        with suppress(OSError):
            said += subprocess.run(["ldd", path], capture_output=True, text=True, errors="replace").stdout
    names = dict.fromkeys(name for name in re.findall(r"(\S+) => not found", said) if "musl" not in name)
    return [f"{name}: cannot open shared object file" for name in names]


def _not_answered(one: Call) -> Made:
    return Made(
        tool=one.tool,
        arguments=one.arguments,
        reads=one.reads,
        said=one.said,
        harms=one.harms,
        began=time.time(),
        ended=0.0,
        complaint=ENDED,
        answer="",
        wrote=[],
        printed="",
    )


def slowness() -> float:
    """How much longer than alone a process takes on this machine now: by how many want each processor."""
    return min(max(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0), SLOWEST)


async def _make(connection: Connection, made: Made, patience: float) -> None:
    try:
        with anyio.fail_after(patience * slowness()):
            answer = await call(connection, made["tool"], made["arguments"])
    except TimeoutError:
        made["complaint"] = f"{NO_ANSWER} {patience:g} s"
        return
    finally:
        made["ended"] = time.time()
    made["complaint"] = complaint(answer.result, answer.error)[:600]
    made["answer"] = shown(answer.result)[:600] if answer.result else ""


async def _look(connection: Connection, report: Report, place: Path) -> None:
    """Give tools a path below that place until the server was seen to look there. A link keeps when it was followed last (its atime)."""
    link, folder = place / "yours", place / "there"
    folder.mkdir()
    link.symlink_to(folder.name)
    for argument, one in list(probes(report["tools"], str(link)))[:MOST_PLACES]:
        if True in report["looked"].values() or time.time() - report["started"] > WHOLE:
            break
        os.utime(link, ns=(0, time.time_ns()), follow_symlinks=False)
        made = _not_answered(one)
        await _make(connection, made, AFTER_A_SILENCE)
        if not link.lstat().st_atime_ns and (ending := AN_ENDING.search(made["complaint"].replace(str(link), ""))):  # which it wants
            with_it = re.sub(rf"{re.escape(str(link))}[\w/.]*", f"{link}/file{ending[0]}", json.dumps(one.arguments))
            made = _not_answered(replace(one, arguments=json.loads(with_it)))
            await _make(connection, made, AFTER_A_SILENCE)
        has_looked = link.lstat().st_atime_ns != 0
        said = f"{made['complaint']} {made['answer'][:SHORT]}".replace(str(link), "path").replace("_", " ")
        is_refused = bool(REFUSES.search(said) and OF_A_PLACE.search(said))
        is_known = has_looked or is_refused or not made["complaint"] or NO_NETWORK.search(made["complaint"])  # which it asked instead
        report["looked"][argument] = has_looked and not is_refused if is_known else None
    link.unlink()
    shutil.rmtree(folder)


def _own(place: str, instead: Path) -> str:
    """The fleet's containers have all in /tmp: there it is told apart."""
    if place != "/tmp":
        return place
    instead.mkdir(exist_ok=True)
    return str(instead)


class Written:
    """Files and folders below some places that are new or changed."""

    def __init__(self, places: list[str]) -> None:
        self._places = places
        self._known = self._look()

    def since(self) -> list[tuple[str, int]]:
        now, before = self._look(), self._known
        self._known = now
        new = sorted((path, stamp[0]) for path, stamp in now.items() if before.get(path) != stamp)
        return [one for one in new[:MANY] if not holds_only_an_id(one[0])]

    def _look(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for place in self._places:
            for folder, folders, files in os.walk(place):
                folders[:] = [one for one in folders if one not in ("node_modules", "__pycache__")]
                for name in files:
                    path = os.path.join(folder, name)
                    try:
                        stat = os.lstat(path)
                    except OSError:
                        continue
                    found[path] = (stat.st_size, stat.st_mtime_ns)
                if not files and not folders:
                    found[folder + "/"] = (0, 0)
        return found


def holds_only_an_id(path: str) -> bool:
    """Whether a file has nothing but what somebody is counted by, or when something was done last: random numbers and times, and switches beside them."""
    try:
        is_one = os.path.isfile(path) and os.path.getsize(path) < AN_ID_LONG  # who opens a pipe waits for its writer
        text = Path(path).read_text(encoding="utf-8") if is_one else ""
    except (OSError, ValueError):
        return False
    words = re.findall(r"[^\s{},\"']+", re.sub(r"\"[\w-]+\"\s*:|(?m:^\s*[\w-]+:(?=\s))", " ", text))
    return any(map(AN_ID.fullmatch, words)) and all(AN_ID.fullmatch(one) or OF_AN_ID.fullmatch(one) for one in words)


if __name__ == "__main__":
    main()
