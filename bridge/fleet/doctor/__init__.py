"""What of this machine a fleet needs, looked at before anything is built: each with what was seen, and the way out.

    machine.py      the disk, the ports, the certificate, the clock, the registries as this machine reaches them
    containers.py   Docker itself, room for its networks, names and registries as a container sees them

`up` asks for what takes a moment, and at its first time for all of it, as `mcp-bridge doctor` does.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from bridge.fleet import tls
from bridge.fleet.doctor import containers, machine
from bridge.fleet.doctor.finding import FAILED, Check, Finding, Patient
from bridge.fleet.engines import EngineError


def examine(patient: Patient, is_thorough: bool = True) -> list[Finding]:
    """What was found. Without Docker nothing is asked of it."""
    checks: dict[str, Check] = {"disk": machine.disk, "ports": machine.ports, "clock": machine.clock}
    if tls.is_said(patient.environment.values):
        checks["certificate"] = machine.certificate
    found = []
    if patient.engine.name == "compose":
        found = [_finding(("Docker", containers.engine), patient)]
        if found[0].state == FAILED:
            return found
        checks["networks"] = containers.networks
        more: dict[str, Check] = {"names": containers.names, "registries": containers.registries}
    else:
        more = {"registries": machine.registries}
    with ThreadPoolExecutor() as pool:
        return found + list(pool.map(lambda one: _finding(one, patient), (checks | (more if is_thorough else {})).items()))


def _finding(named: tuple[str, Check], patient: Patient) -> Finding:
    name, check = named
    try:
        return Finding(name, *check(patient))
    except EngineError as error:
        seen, _, todo = str(error).partition("\n")
        return Finding(name, FAILED, seen, todo)


def refuse(findings: Iterable[Finding]) -> None:
    """Raises EngineError where something is wrong: what was seen and what to do, a line each."""
    lines = [line for one in findings if one.state == FAILED for line in (one.seen, one.todo) if line]
    if lines:
        raise EngineError("\n".join(lines))
