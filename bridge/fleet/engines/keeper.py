"""Keeps the embedded engine's programs alive: the bridge and LiteLLM. Run as a file of its own, with nothing but Python:

    python -I keeper.py STATE        STATE/plan.json says which programs; STATE/keeper.json says how they are

A program that ends is started again, after a pause that doubles. One with a `probe` is asked now and then; LiteLLM 1.77.3
can wedge such that its process lives and answers nothing, and does not end on SIGTERM either, so after three silences
in a row it is killed. SIGHUP: read the plan again; programs that changed are replaced, those whose `reload` changed get
a SIGHUP themselves. SIGTERM: end them all, and go. They end with us, however we end.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

TICK = 0.2
PAUSE_FIRST, PAUSE_LONGEST, SETTLED = 0.5, 30.0, 60.0
PROBE_EVERY, PROBE_PATIENCE, SILENCES, START_PATIENCE = 10.0, 5.0, 3, 120.0  # a probe may say `every` and `patience` itself
LOG_LIMIT = 20 * 1024 * 1024
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "mcp-bridge-keeper", "version": "1"}},
}


def identity(pid: int) -> str:
    """What tells this process from a later one with the same pid; empty if there is none, or only its remains."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        if fields[0] == b"Z":
            return ""
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()}:{fields[19].decode()}"
    except FileNotFoundError:
        if os.path.exists("/proc/self/stat"):
            return ""
        said = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
        return said.stdout.strip()
    except ProcessLookupError:
        return ""


def place(folder: Path) -> str:
    """What tells this folder from a copy of it; it stays the same when the folder is moved."""
    status = folder.stat()
    return f"{status.st_dev}:{status.st_ino}"


def silent(url: str, key: str, patience: float = PROBE_PATIENCE) -> bool:
    """Whether an MCP gateway does not answer `initialize` in time. A refusal is an answer."""
    request = urllib.request.Request(
        url,
        json.dumps(INITIALIZE).encode(),
        {"content-type": "application/json", "accept": "application/json, text/event-stream", "x-litellm-api-key": f"Bearer {key}"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=patience) as answer:
            answer.read(1)
    except urllib.error.HTTPError:
        return False
    except OSError:
        return True
    return False


class Program:
    """One entry of the plan, and the process that it is now."""

    def __init__(self, spec: dict[str, Any], folder: Path):
        self.spec, self.folder = spec, folder
        self.process: subprocess.Popen[bytes] | None = None
        self.began, self.due, self.pause = 0.0, 0.0, PAUSE_FIRST
        self.restarts, self.why = -1, ""
        self.asking: threading.Thread | None = None
        self.answers: list[bool] = []
        self.silences, self.answered, self.asked = 0, False, 0.0

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    def start(self, now: float) -> None:
        log = self.folder / f"{self.name}.log"
        self.began, self.silences, self.answered = now, 0, False
        self.restarts += 1
        with open(log, "ab") as output:
            try:
                self.process = subprocess.Popen(
                    self.spec["argv"],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=self.spec["env"],
                    cwd=self.spec["cwd"],
                    start_new_session=True,
                    preexec_fn=_die_with(os.getpid(), self.spec.get("last_signal", signal.SIGTERM)),
                )
            except OSError as error:
                self.process, self.why = None, f"cannot be started: {error.strerror}"
                self.wait(now)
                return
        say(f"{self.name} started, pid {self.process.pid}")

    def wait(self, now: float) -> None:
        if now - self.began > SETTLED:
            self.pause = PAUSE_FIRST
        self.due = now + self.pause
        self.pause = min(self.pause * 2, PAUSE_LONGEST)

    def look(self, now: float) -> bool:
        """Start it, notice its end, ask it. Returns whether anything changed."""
        if self.process is None:
            if now < self.due:
                return False
            self.start(now)
            return True
        code = self.process.poll()
        if code is not None:
            self.why = f"ended with signal {-code}" if code < 0 else f"ended with code {code}"
            if self.silences >= SILENCES:
                self.why = "was wedged: it answered nothing any more"
            say(f"{self.name} {self.why}; starting it again in {self.pause:g} s")
            _kill(self.process.pid, signal.SIGKILL)  # what it may have left of its group
            self.process = None
            self.wait(now)
            return True
        if probe := self.spec.get("probe"):
            self.ask(probe, now)
        return False

    def ask(self, probe: dict[str, Any], now: float) -> None:
        if self.asking is None:
            every = probe.get("every", PROBE_EVERY)
            if now - self.asked >= (every if self.answered and not self.silences else min(every, 1.0)):
                self.asked, self.answers = now, []
                patience = probe.get("patience", PROBE_PATIENCE)
                key = self.spec["env"].get(probe["key"], "")
                self.asking = threading.Thread(
                    target=lambda answers=self.answers: answers.append(not silent(probe["url"], key, patience)), daemon=True
                )
                self.asking.start()
            return
        if self.asking.is_alive():
            return
        self.asking = None
        if self.answers == [True]:
            self.answered, self.silences = True, 0
        elif self.answered or now - self.began > START_PATIENCE:
            self.silences += 1
            if self.silences >= SILENCES and self.process:
                say(f"{self.name} answered nothing {SILENCES} times in a row: killing it")
                _kill(self.process.pid, signal.SIGKILL)

    def stop(self) -> None:
        if self.process is None:
            return
        _kill(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(self.spec.get("stop_patience", 5))
        except subprocess.TimeoutExpired:
            say(f"{self.name} does not end: killing it")
        _kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def reload(self) -> None:
        if self.process is not None:
            _kill(self.process.pid, signal.SIGHUP, group=False)

    def trim(self) -> None:
        log = self.folder / f"{self.name}.log"
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)  # it is open for appending in the program

    def report(self) -> dict[str, Any]:
        process = self.process
        return {
            "pid": process.pid if process else None,
            "identity": identity(process.pid) if process else "",
            "since": time.time() - (time.monotonic() - self.began) if process else None,
            "restarts": max(self.restarts, 0),
            "why": self.why,
        }


class Keeper:
    def __init__(self, folder: Path):
        self.folder = folder
        self.programs: dict[str, Program] = {}
        self.digest = ""
        self.woken, self.leaving, self.rereading = threading.Event(), False, True
        signal.signal(signal.SIGTERM, self.on_term)
        signal.signal(signal.SIGINT, self.on_term)
        signal.signal(signal.SIGHUP, self.on_hup)

    def on_term(self, *_: object) -> None:
        self.leaving = True
        self.woken.set()

    def on_hup(self, *_: object) -> None:
        self.rereading = True
        self.woken.set()

    def run(self) -> None:
        ticks = 0
        while not self.leaving:
            changed = self.rereading and self.reread()
            for program in self.programs.values():
                changed |= program.look(time.monotonic())
            if changed:
                self.tell()
            ticks += 1
            if ticks % 300 == 0:
                for program in self.programs.values():
                    program.trim()
            self.woken.wait(TICK)
            self.woken.clear()
        say("stopping")
        enders = [threading.Thread(target=program.stop) for program in self.programs.values()]
        for ender in enders:
            ender.start()
        for ender in enders:
            ender.join()
        (self.folder / "keeper.json").unlink(missing_ok=True)
        say("stopped")

    def reread(self) -> bool:
        self.rereading = False
        try:
            plan = json.loads((self.folder / "plan.json").read_text())
        except (OSError, ValueError) as error:
            say(f"plan.json: {error}; going on as before")
            return False
        wanted = {spec["name"]: spec for spec in plan["programs"]}
        for name in [name for name in self.programs if name not in wanted]:
            self.programs.pop(name).stop()
        for name, spec in wanted.items():
            program = self.programs.get(name)
            if program is None:
                self.programs[name] = Program(spec, self.folder)
                continue
            before, program.spec = program.spec, spec
            if {**before, "reload": ""} != {**spec, "reload": ""}:
                say(f"{name} changed: replacing it")
                program.stop()
                program.due, program.pause, program.restarts = 0.0, PAUSE_FIRST, -1
            elif before["reload"] != spec["reload"]:
                program.reload()
        self.digest = plan["digest"]
        return True

    def tell(self) -> None:
        beside = self.folder / ".keeper.json.new"
        report = {
            "pid": os.getpid(),
            "identity": identity(os.getpid()),
            "place": place(self.folder),
            "plan": self.digest,
            "programs": {name: program.report() for name, program in self.programs.items()},
        }
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(report, file, indent=1)
        beside.replace(self.folder / "keeper.json")


def say(text: str) -> None:
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), text, file=sys.stderr, flush=True)


def _kill(pid: int, number: int, group: bool = True) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        (os.killpg if group else os.kill)(pid, number)


def _die_with(parent: int, number: int) -> Callable[[], None] | None:
    """Called in the new process: end when the keeper does. Linux only; elsewhere `down` and `up` find what is left by its pid."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def ask_for_the_signal() -> None:
        libc.prctl(1, number, 0, 0, 0)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)  # it went before we asked

    return ask_for_the_signal


if __name__ == "__main__":
    os.chdir(sys.argv[1])  # and stay in it, wherever it is moved
    Keeper(Path()).run()
