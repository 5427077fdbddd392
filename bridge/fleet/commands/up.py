"""`mcp-bridge up`: everything that is needed for the fleet to run as its stanzas say, and no more; then the proof.

What cannot be locked, built or started is told first, and the others run. What did not change is neither built, nor started
anew, nor verified again. Two at once would undo each other's work: the second is refused.
"""

import argparse
import importlib
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.fleet import definition, files, secrets_of_callers
from bridge.fleet import environment as environments
from bridge.fleet.alone import alone
from bridge.fleet.bounds import MEANING
from bridge.fleet.columns import columns
from bridge.fleet.commands.common import (
    declare_litellm_version,
    declare_names,
    known,
    left_out_lines,
    load,
    progress,
    short_path,
    tell_mistakes,
)
from bridge.fleet.commands.verify import verify_now
from bridge.fleet.doctor import examine, refuse
from bridge.fleet.doctor.finding import Patient
from bridge.fleet.engines import NAMES, Engine, EngineError, LastUp, Say, Started, choice, remember, remembered
from bridge.fleet.environment import Environment
from bridge.fleet.load import keep
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project
from bridge.fleet.targets import litellm

SHARED = ("litellm", "prometheus", "database")  # what an engine calls that all share


if TYPE_CHECKING:  # importing it takes the SDK, and half a second
    from bridge.fleet.verify.result import Verdict


def declare(parser: argparse.ArgumentParser) -> None:
    declare_names(parser, "only these (default: all that can start)")
    parser.add_argument(
        "--engine",
        choices=NAMES,
        default="",
        help="compose: Docker; embedded: processes of this machine (default: what runs already, else what there is)",
    )
    declare_litellm_version(parser)
    parser.add_argument("--no-verify", action="store_true", help="do not prove that it works")
    parser.add_argument("--verify-all", action="store_true", help="prove it also for what did not change")
    parser.add_argument("--model", default="", metavar="MODEL", help="when verifying, let this model of litellm/base.yaml call each MCP")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    began = time.monotonic()
    say = progress(began)
    project = Project.find(arguments.project)
    whole = load(project, arguments.litellm_version, is_quiet=True)
    known(whole, arguments.names)
    tell_mistakes(whole)
    with alone(project, "up"):
        return _up(arguments, project, whole, say, began)


def _up(arguments: argparse.Namespace, project: Project, whole: Fleet, say: Say, began: float) -> int:
    names = arguments.names or [stanza.name for stanza in whole.stanzas]
    environment = environments.complete(project, whole, choice.engine("compose", project, say).made_keys)
    if not arguments.no_verify:  # importing the SDK takes a while: Docker and LiteLLM do too
        threading.Thread(target=importlib.import_module, args=["bridge.fleet.verify"], daemon=True).start()
    engine, may_be_another = choice.choose(arguments.engine, project, say)
    engine.urls(whole, environment)  # a port that is none is told before anything is done
    _ask_the_doctor(Patient(project, whole.only(names), environment, engine), say)
    unfit = _unfit(project, whole, names, environment, say)
    engine = choice.with_what_it_needs(engine, may_be_another, project, whole, names, say)
    _tell_what_is_special(engine, whole.only(names), say)

    def unproved(started: Started, memory: LastUp) -> list[str]:
        return [] if arguments.no_verify else _unproved(started, memory, verify_all=arguments.verify_all or bool(arguments.model))

    started, memory, verdict = _started_and_proved(engine, project, whole, names, environment, unfit, say, unproved, arguments.model)
    if verdict and (not verdict.is_ok or any(report.unapproved for report in verdict.mcps)):
        _complain(verdict)
    _print(engine, started, environment, verdict, memory, project, tell_each=bool(arguments.names))
    print(f"\n{_summary(started, verdict, arguments.no_verify, time.monotonic() - began)}")
    is_missing = bool(arguments.names and started.left_out)  # who asks for all knows that some need keys
    return 1 if whole.unreadable or started.troubles or started.still or is_missing or (verdict and not verdict.is_ok) else 0


def again(engine: Engine, project: Project, mcps: Sequence[str], say: Say, version: str = "") -> list[str]:
    """Let all that the last `up` started be as the files say now, LiteLLM as it was unless another `version` is wanted, and prove these
    MCPs. Returns why they are not well. Raises EngineError."""
    before = remembered(project)
    if before is None:
        return ["nothing runs: `mcp-bridge up`"]
    whole = load(project, version or before.litellm, is_quiet=True)
    names = [stanza.name for stanza in whole.stanzas if stanza.name in (*before.names, *before.left_out)]
    environment = environments.complete(project, whole, engine.made_keys)
    unfit = _unfit(project, whole, names, environment, say)
    started, _, verdict = _started_and_proved(engine, project, whole, names, environment, unfit, say, lambda *_: list(mcps))
    troubles = started.left_out | started.troubles
    shared = [name for name in SHARED if name not in before.troubles]  # what was broken before is not of this change
    if found := [f"{name}: {troubles[name]}" for name in (*mcps, *shared) if name in troubles]:
        return found
    return [f"{report.name}: {hop.name}: {hop.seen}" for report in (verdict.mcps if verdict else []) for hop in report.failures]


def _started_and_proved(
    engine: Engine,
    project: Project,
    whole: Fleet,
    names: list[str],
    environment: Environment,
    unfit: dict[str, str],
    say: Say,
    unproved: Callable[[Started, LastUp], list[str]],
    model: str = "",
) -> tuple[Started, LastUp, "Verdict | None"]:
    """What runs then, what is remembered of it, and the verdict on what was not proved yet."""
    before = remembered(project)
    started = _started(engine, project, whole, names, environment, unfit)
    memory = _memory(engine, started, before.verified if before else {}, definition.of_all(project, started.fleet))
    remember(project, memory)
    keep(whole, {stanza.name for stanza in started.fleet.stanzas} - started.troubles.keys(), project.images, project.last_good)
    say("it runs")
    started = _with_keys(engine, whole, started, environment, say)
    if not (todo := unproved(started, memory)):
        return started, memory, None
    wanted = replace(started, fleet=whole.only(todo), left_out={})
    verdict = verify_now(engine, wanted, environment, model, say, images=project.images)
    memory = _memory(engine, started, memory.verified | _proved(verdict, started, memory), memory.definitions)
    remember(project, memory)
    return started, memory, verdict


def _ask_the_doctor(patient: Patient, say: Say) -> None:
    """What cannot go well ends here, before anything is locked, fetched or built. Raises EngineError."""
    is_first = (
        remembered(patient.project) is None and not patient.project.last_good.exists()
    )  # after a `down` all is built, and no network is needed
    if is_first:
        say("looking whether this machine has what the fleet needs")
    refuse(examine(patient, is_thorough=is_first))


def _tell_what_is_special(engine: Engine, fleet: Fleet, say: Say) -> None:
    say(f"engine {engine.name}, LiteLLM {fleet.litellm.version}")
    for warning in litellm.warnings(fleet):
        say(warning)
    for stanza in fleet.stanzas:
        for grant in stanza.grants:
            say(f"{stanza.name}: 'grants: {grant}' in its stanza: {MEANING[grant]}")
    if engine.name == "embedded" and fleet.listed:
        names = ", ".join(stanza.name for stanza in fleet.listed)
        say(f"{names}: the list of names in 'egress' holds with Docker only: here nothing keeps a server from any address")


def _started(engine: Engine, project: Project, whole: Fleet, names: list[str], environment: Environment, unfit: dict[str, str]) -> Started:
    """What runs then. It is remembered before, too: what fails half-way can be looked at and ended."""
    good, left_out = environments.startable(environment, whole.only([name for name in names if name not in unfit]))
    fit = [stanza.name for stanza in good]
    planned = Started(whole.only([*fit, *unfit]), left_out, unfit)
    before = remembered(project)
    remember(project, replace(_memory(engine, planned, {}), verified=before.verified if before else {}))
    started = engine.up(whole, [*fit, *left_out], environment)
    to_run = planned.fleet.only([stanza.name for stanza in planned.fleet.stanzas if stanza.name not in started.left_out])
    return replace(started, fleet=to_run, troubles=unfit | started.troubles)


def _with_keys(engine: Engine, whole: Fleet, started: Started, environment: Environment, say: Say) -> Started:
    """The callers have their keys in LiteLLM then, where it has a database."""
    if "litellm" in started.troubles:
        return started
    try:
        if changed := engine.give_keys(whole, environment):
            say(f"LiteLLM was told of the callers: {changed} of its keys and teams changed")
    except EngineError as error:
        return replace(started, troubles=started.troubles | {"litellm": str(error)})
    return started


def _unproved(started: Started, memory: LastUp, verify_all: bool) -> list[str]:
    """Those that run, and changed since they were verified, or never were."""
    runs = [stanza.name for stanza in started.fleet.stanzas if stanza.name not in (*started.troubles, *started.still)]
    return [name for name in runs if verify_all or name not in memory.verified]


def _proved(verdict: "Verdict", started: Started, memory: LastUp) -> dict[str, str]:
    good = [report.name for report in verdict.mcps if report.is_ok and not report.is_skipped]
    return {name: _stamp(started, memory.definitions, name) for name in good}


def _stamp(started: Started, definitions: dict[str, dict[str, str]], name: str) -> str:
    """What tells what was verified from what runs now. A remote MCP may change at any time without our knowing: it has none."""
    one = definitions.get(name, {})
    return f"{started.stamps[name]} {one['whole']} {started.fleet.litellm.version}" if name in started.stamps and one else "-"


def _memory(engine: Engine, started: Started, verified: dict[str, str], definitions: dict[str, dict[str, str]] | None = None) -> LastUp:
    """`verified` are stamps of what was proved: those of something that does not run any more count for nothing."""
    names, definitions = tuple(stanza.name for stanza in started.fleet.stanzas), definitions or {}
    proved = {name: stamp for name, stamp in verified.items() if stamp == _stamp(started, definitions, name)}
    return LastUp(engine.name, names, started.left_out, started.fleet.litellm.version, started.troubles, proved, definitions)


def _unfit(project: Project, fleet: Fleet, names: list[str], environment: Environment, say: Say) -> dict[str, str]:
    """Which of these cannot be started, and why. The others can."""
    refused = {name: why for name, why in environment.refused.items() if name in names}
    for name, why in refused.items():
        say(f"{name}: {why}")
    return refused | _lock_what_changed(project, fleet, [name for name in names if name not in refused], say)


def _lock_what_changed(project: Project, fleet: Fleet, names: list[str], say: Say) -> dict[str, str]:
    """A stanza that is new, or says other packages than its lock, is locked first: nothing is installed without one. Returns why some cannot be."""
    from bridge.fleet import lock  # start-up time: only for what is new

    failed = {}
    for name in lock.unlocked(project, fleet):
        is_shared = name in (lock.BRIDGE, lock.INSTALLER)
        if not is_shared and name not in names:
            continue
        say(f"locking {name}")
        try:
            lock.lock_bridge(project) if is_shared else lock.lock(project, fleet[name])
        except lock.CannotLock as error:
            if is_shared:
                raise
            failed[name] = f"cannot be locked: {str(error).removeprefix(f'{name}: ')}"
            say(f"{name}: {failed[name]}")
        except OSError as error:
            if is_shared or error.errno not in files.OF_ONE_FILE:
                raise
            failed[name] = f"cannot be locked: {files.told(error)}"
            say(f"{name}: {failed[name]}")
    return failed


# ---- what is told


def _print(
    engine: Engine, started: Started, environment: Environment, verdict: "Verdict | None", memory: LastUp, project: Project, tell_each: bool
) -> None:
    unreadable = started.fleet.unreadable
    for line in (*unreadable.values(), *(f"{name}: {why}" for name, why in started.troubles.items())):
        print(line)
    for line in _still_lines(engine, started, environment):
        print(line)
    states = {one.name: one.state for one in engine.ps()}
    shown = engine.urls(started.fleet, environment.as_shown())
    reports = {report.name: report for report in verdict.mcps} if verdict else {}
    rows = [["MCP", "state", "tools", "URL"]]
    for stanza in started.fleet.stanzas:
        report = reports.get(stanza.name)
        state = "remote" if stanza.is_remote else states.get(stanza.name, "down")
        if stanza.name in started.troubles or (report and not report.is_ok):
            state = "BROKEN"
        elif stanza.name in started.still:
            state = "starting"
        elif state == "starting":  # to Docker, which looks at its health every half minute only: its bridge said that it is ready
            state = "up"
        if state == "up" and (stanza.name in memory.verified or (report and not report.is_skipped)):
            state = "works"
        tools = "" if report is None or report.tools is None else str(len(report.tools))
        rows.append([stanza.name, state, tools, stanza.url or f"{shown.of(stanza)}/mcp"])
    rows += [[name, "BROKEN", "", ""] for name in started.fleet.lost]
    print("\n".join(columns(rows)))
    for line in (*left_out_lines(started.left_out, tell_each), *secrets_of_callers.told(project, started.fleet)):
        print(line)
    key = f"$(cat {short_path(project.state / environments.KEY)})"
    print(f"\nPage      {shown.mcps}/   (the BRIDGE_TOKEN of compose/.env opens it)")
    print(f"LiteLLM   {shown.litellm}   (its tools for any MCP client: {shown.litellm}/mcp/)")
    print(f"""  curl -s {shown.litellm}/mcp/ -H "x-litellm-api-key: Bearer {key}" -H 'accept: application/json, text/event-stream' \\
    -H 'content-type: application/json' -d '{{"jsonrpc":"2.0","id":1,"method":"tools/list"}}'""")
    if shown.prometheus:
        print(f"Prometheus  {shown.prometheus}")
    if shown.grafana:
        print(f"Grafana     {shown.grafana}")


def _still_lines(engine: Engine, started: Started, environment: Environment) -> list[str]:
    """What is still starting, with what it is about."""
    if not started.still:
        return []
    from bridge.fleet.engines.readiness import seen  # start-up time: it brings an HTTP client

    details = {one.name: one.detail for one in seen(engine, engine.urls(started.fleet, environment), environment)}
    more = " (it may take longer with `bridge: {start_timeout: 180}` in its stanza)"
    lines = [f"{name}: still starting: {why}{more * ('--start-timeout' in why)}" for name in started.still if (why := details.get(name))]
    return [*lines, f"still starting: {', '.join(started.still)} (`mcp-bridge ps` and `mcp-bridge verify` say how it went on)"]


def _summary(started: Started, verdict: "Verdict | None", not_verified: bool, seconds: float) -> str:
    reports = verdict.mcps if verdict else []
    shared = verdict.shared if verdict else []
    lost = started.fleet.lost
    bad = list(dict.fromkeys([*lost, *started.troubles, *(report.name for report in (*shared, *reports) if not report.is_ok)]))
    total = len(started.fleet.stanzas) + len(lost)
    there = [stanza.name for stanza in started.fleet.stanzas if stanza.name not in (*bad, *started.still)]
    count = f"{len(there)} of {total}" if len(there) < total else str(total)
    proved = "not verified (--no-verify)" if not_verified else "verified"
    if not not_verified and len(reports) < len(there):
        proved += f" ({len(reports) or 'none'} of them now: the others did not change)"
    as_before = [name for name in started.fleet.unreadable if name not in bad]
    not_well = [f"as before, because of a mistake in their stanzas: {', '.join(as_before)}"] * bool(as_before)
    not_well += [f"NOT working: {', '.join(bad)}"] * bool(bad) + [f"still starting: {', '.join(started.still)}"] * bool(started.still)
    return "; ".join([f"{count} MCPs up and {proved} in {seconds:.1f} s", *not_well])


def _complain(verdict: "Verdict") -> None:
    from bridge.fleet.verify.show import table  # start-up time: it takes the MCP SDK

    print(table(verdict), file=sys.stderr)
