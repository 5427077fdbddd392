"""Two ratios of one run: what tracing costs a plain call, and what a second replica brings a server that computes.

    python tests/bench/ratios.py [traces|replicas]... [--rounds N]

Both sides of a ratio are up at the same time and are asked in turns, so what else the machine does is in both. `traces`: one client, one call
at a time, against a receiver of OTLP that reads everything; with what nobody chose, and with every call traced. `replicas`: four clients at
once, each call a twentieth of a second of Python; the load of the machine is told, because two replicas need two free cores.
"""

import argparse
import asyncio
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).parents[1])]

import load
from load import CALL, Connection, open_session
from servers import CHECKOUT, _free_port
from support.receiver import Receiver

ECHO = [sys.executable, str(Path(__file__).with_name("echo.py"))]
STEADY = 6000  # calls in a turn: while the others have theirs, the sampler saves up spans for a hundred
COMPUTES = """
import sys, time
sys.path.insert(0, %r)
from base import Child
child = Child("computes")
@child.tool
def compute(text: str):
    end = time.process_time() + 0.05
    while time.process_time() < end:
        sum(range(1000))
    return text
child.run()
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", choices=[[], "traces", "replicas"])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    which = options.which or ["traces", "replicas"]
    if "traces" in which:
        _traces(options.rounds)
    if "replicas" in which:
        _replicas(max(3, options.rounds // 3))
    return 0


def _traces(rounds: int) -> None:
    ours, its = multiprocessing.Pipe()
    receiver = multiprocessing.Process(target=_receive, args=(its,), daemon=True)  # its work is not the client's
    receiver.start()
    to = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{ours.recv()}"}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        kinds = {"off": {}, "on": to, "every call": to | {"OTEL_TRACES_SAMPLER": "always_on"}}
        ports = {
            name: stack.enter_context(_Serving([*ECHO, str(Path(folder, "spawns"))], (), environment)).port
            for name, environment in kinds.items()
        }
        seconds = load.run(_in_turns(ports, rounds, calls=STEADY, at_once=1, tool=b"echo"))
        for name in ("on", "every call"):
            print(
                f"traces {name}: {median(a / b for a, b in zip(seconds[name], seconds['off'], strict=True)):.3f} x a call without; load {_load()}"
            )
    ours.send("how many")
    print(f"spans received: {ours.recv()}")


def _receive(pipe) -> None:
    with Receiver() as receiver:
        pipe.send(receiver.port)
        pipe.recv()
        pipe.send(len(receiver.spans))


def _replicas(rounds: int) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file, ExitStack() as stack:
        file.write(COMPUTES % str(CHECKOUT / "tests/children"))
        file.flush()
        child = [sys.executable, file.name]
        ports = {str(number): stack.enter_context(_Serving(child, ("--replicas", str(number)), {})).port for number in (1, 2)}
        time.sleep(2)  # the second one starts when the first has
        seconds = load.run(_in_turns(ports, rounds, calls=8, at_once=4, tool=b"compute"))
        gains = [a / b for a, b in zip(seconds["1"], seconds["2"], strict=True)]
        print(f"replicas: 2 give {median(gains):.2f} x the calls of 1 ({min(gains):.2f} to {max(gains):.2f}); load {_load()}")


async def _in_turns(ports: dict[str, int], rounds: int, calls: int, at_once: int, tool: bytes) -> dict[str, list[float]]:
    clients = {name: [await _client(port) for _ in range(at_once)] for name, port in ports.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ports}
    for number in range(rounds + 1):
        names = list(clients)
        for name in names[number % len(names) :] + names[: number % len(names)]:  # whoever comes first has it harder
            those = clients[name]
            began = time.perf_counter()
            await asyncio.gather(*(_calls(connection, session, calls, tool) for connection, session in those))
            if number:  # the first round is for caches
                seconds[name].append(time.perf_counter() - began)
    return seconds


async def _client(port: int):
    connection = await Connection.open(port)
    return connection, await open_session(connection)


async def _calls(connection: Connection, session: bytes, calls: int, tool: bytes) -> None:
    for id in range(10, 10 + calls):
        answer = await connection.post(b"/mcp", CALL % (id, tool), session)
        assert answer.carries(id, b"result"), answer


class _Serving:
    def __init__(self, child: list[str], options: tuple[str, ...], environment: dict[str, str]):
        self.port = _free_port()
        command = [sys.executable, "-m", "bridge", "serve", "--port", str(self.port), "--child-era", "legacy", *options, "--", *child]
        self.process = subprocess.Popen(command, cwd=CHECKOUT, env=os.environ | environment, stderr=subprocess.DEVNULL)

    def __enter__(self):
        asyncio.run(self._answers())
        return self

    async def _answers(self) -> None:
        for _ in range(400):
            try:
                return (await Connection.open(self.port)).transport.close()
            except OSError:
                await asyncio.sleep(0.05)
        raise SystemExit("it does not listen")

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait(20)


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    raise SystemExit(main())
