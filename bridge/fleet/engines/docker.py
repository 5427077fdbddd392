"""What Docker and Compose say to a command, and what it means: a state, a reason, a way out."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime

from bridge.fleet.engines import checkout
from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.engines.reason import plain, why

QUICK = 30.0


def state(state: str, status: str) -> tuple[str, str]:
    """up, starting or down, and Docker's words: `Up 2 minutes (healthy)`, `Exited (1) 3 seconds ago`."""
    if state == "running":
        return ("down" if "(unhealthy)" in status else "starting" if "(health: starting)" in status else "up"), status
    if state == "created":
        return "starting", status
    return "down", status


def asked(command: list[str], environment: dict[str, str] | None = None) -> str | Failed:
    """What a quick command says, or how it failed."""
    try:
        return run(command, QUICK, env=environment)
    except Failed as error:
        return error


def has_image(image: str) -> bool:
    return isinstance(asked(["docker", "image", "inspect", "--format", "{{.Id}}", image]), str)


def moment(said: str) -> float:
    """Docker's `2026-11-26T20:05:52.123456789Z` as Unix time."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", said.strip())).timestamp()


def images(*filters: str) -> dict[str, str]:
    """The images that have a name, with their ids."""
    words = [word for one in ("dangling=false", *filters) for word in ("--filter", one)]
    said = asked(["docker", "image", "ls", "--no-trunc", *words, "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"])
    return dict(line.split() for line in said.splitlines()) if isinstance(said, str) else {}


def for_all(names: list[str], do: Callable[[list[str]], object]) -> dict[str, str]:
    """Do it for all at once; where that fails for each on its own. Returns why it cannot be done for some."""
    if not names:
        return {}
    try:
        do(names)
    except Failed as error:
        if len(names) == 1:
            said = f"{compose_error(error.printed)}{way_out_of_a_taken_port(error.printed)}"
            refuse_without_engine({names[0]: said})
            return {names[0]: f"cannot be started: {said}{room_for(said)}"}
        return {name: said for one in names for name, said in for_all([one], do).items()}
    return {}


def compose_error(printed: str) -> str:
    return why(printed) or "Docker Compose does not say why"


def refuse_without_engine(failed: Mapping[str, str]) -> None:
    """Raises EngineError where it was no MCP that failed, but the engine that went away."""
    for reason in failed.values():
        if any(words in reason.lower() for words in checkout.GONE):
            raise checkout.broken("", reason)


def room_for(reason: str) -> str:
    """The way out of a full disk; empty where that is not the trouble."""
    return ": the disk is full; `mcp-bridge prune` frees what was built and is not used" if "no space left" in reason.lower() else ""


def printed(command: list[str], environment: dict[str, str]) -> int:
    """Let it print: to a terminal as it likes, elsewhere without control sequences. Ctrl-C ends it without a word of its own ("canceled")."""
    output = None if sys.stdout.isatty() else subprocess.PIPE
    with subprocess.Popen(command, stdout=output, text=True, errors="replace", env=environment, start_new_session=True) as process:
        try:
            for line in process.stdout or ():
                print(plain(line), end="", flush=True)
            return process.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            with suppress(ProcessLookupError):  # it has ended, and nothing of it is left
                os.killpg(process.pid, signal.SIGKILL)


def way_out_of_a_taken_port(printed: str) -> str:
    """The way out where a port is another program's; empty where that is not the trouble."""
    if not any(words in printed for words in ("port is already allocated", "address already in use", "ports are not available")):
        return ""
    return "\nend the program that has that port, or choose another with MCP_PORT=… (LITELLM_PORT=…, PROMETHEUS_PORT=…, GRAFANA_PORT=…) in compose/.env"
