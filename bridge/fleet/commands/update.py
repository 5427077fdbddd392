"""`mcp-bridge update`: newer versions, each proved beside the one that runs, and shown, before it takes its place."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from bridge.fleet import Fleet
from bridge.fleet import environment as environments
from bridge.fleet.adding.trial import attempt
from bridge.fleet.alone import alone
from bridge.fleet.approved import NotListed
from bridge.fleet.commands.common import asked, chosen, declare_names, load, progress, with_made_keys
from bridge.fleet.commands.up import again
from bridge.fleet.engines import EngineError, Say, choice, remembered
from bridge.fleet.engines.composed import LITELLM
from bridge.fleet.engines.readiness import token
from bridge.fleet.files import File, write
from bridge.fleet.lint import Tools
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza
from bridge.fleet.update import Stays, own
from bridge.fleet.update.candidate import Candidate, beside, locked, tried, untried
from bridge.fleet.update.compare import agreed, compared
from bridge.fleet.update.cool_down import CoolDown
from bridge.fleet.update.newest import Pins, newer, parts, shown
from bridge.fleet.update.previous import Change
from bridge.fleet.update.steps import of_mcp, of_part
from bridge.fleet.update.switch import Running, switch
from bridge.pins.lock import FILE as PINS
from bridge.pins.lock import BadLock, Lock
from bridge.printable import printable

WAIT = 60.0


def declare(parser: argparse.ArgumentParser) -> None:
    declare_names(parser, "only these (default: all MCPs); also litellm, database, prometheus, base-images")
    parser.add_argument(
        "--cool-down", default="7d", metavar="7d", help="take nothing younger, of what a package needs neither (7d; 12h; 0d: the newest)"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask, also where its tools differ")
    parser.add_argument("--dry-run", action="store_true", help="try and show what would come, and change nothing")
    declare_wait(parser)


def declare_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        type=float,
        default=WAIT,
        metavar="SECONDS",
        help=f"so long for calls in flight, before it stays as it is ({WAIT:g}; 0: do not wait, and lose them)",
    )


@dataclass
class Update:
    """One run of the command."""

    project: Project
    fleet: Fleet
    cool_down: CoolDown
    say: Say
    running: Running | None
    is_sure: bool
    is_dry: bool
    wait: float

    def one(self, stanza: Stanza) -> bool:
        """Whether there is nothing left to do or to know."""
        return _goes_on(stanza.name, lambda: self._one(stanza))

    def part(self, name: str) -> bool:
        """The same of something that is no MCP."""
        return _goes_on(name, lambda: self._part(name))

    def _one(self, stanza: Stanza) -> bool:
        name = stanza.name
        pins = newer(stanza, self.cool_down)
        print(printable(f"{name}: {told(pins)}"), flush=True)
        approved = self._approved(stanza)
        candidate = self._tried(stanza, pins, approved)
        comparison = compared(candidate.stanza, approved, candidate.tools, self._others(name))
        print(printable("\n".join(f"  {line}" for line in (candidate.proof, *comparison.lines))), flush=True)
        if self.is_dry:
            return True
        if comparison.is_changed and not self.is_sure and not asked(f"Switch {name} to {told(pins)}, and approve these tools? [y/N] "):
            raise Stays("nobody agreed to its tools" + ("" if sys.stdin.isatty() else " (nobody is there to be asked: --yes)"))
        pinned = [File(f"images/{name}/{PINS}", Lock.of(candidate.tools).text())] if stanza.pin != "off" else []
        change = Change(candidate.before, candidate.stanza, pins, [*candidate.files, *pinned])
        runs = self.running if self.running and name in self.running.memory.names else None

        def check(listed: list[dict[str, Any]]) -> list[str]:
            """What it lists now, its volumes being there, is what is approved, if nothing of it is unseen."""
            wrong = [] if self.is_sure and not candidate.is_tried else agreed(approved, candidate.tools, listed)
            if pinned and not wrong:
                write(self.project.root, [File(pinned[0].path, Lock.of(listed).text())])
            return wrong

        reload = partial(load, self.project, runs.memory.litellm if runs else "", is_quiet=True)
        switch(of_mcp(self.project, change, reload, check), runs, self.wait, self.say)
        print(
            f"{name}: {'updated' if runs else 'updated; it does not run: `mcp-bridge up` starts it'} (`mcp-bridge rollback {name}` goes back)"
        )
        return True

    def _part(self, name: str) -> bool:
        if self.running and self.running.engine.name != "compose" and name != LITELLM:
            raise Stays("the embedded engine has no such image", is_trouble=False)
        part = own.newer(self.project, self.fleet, name, self.cool_down)
        print(printable(f"{name}: {', '.join(part.told())}"), flush=True)
        if not self.is_dry:
            switch(of_part(self.project, self.fleet, part, self.running, self.say), self.running, self.wait, self.say)
            print(f"{name}: updated (`mcp-bridge rollback {name}` goes back)")
        return True

    def _tried(self, stanza: Stanza, pins: Pins, approved: Lock | None) -> Candidate:
        """Where it is to run: in a container with Compose, and as processes of this machine where those run already."""
        embedded = self.running is not None and self.running.engine.name == "embedded"
        where = attempt.HERE if embedded else attempt.place(self.project, here=False)
        if not where:
            raise Stays("no Docker answers that could contain a trial of it, and nothing runs on this machine yet: `mcp-bridge up` first")
        with beside(self.project, stanza) as other:
            self.say(f"{stanza.name}: locking")
            candidate = locked(self.project, other, stanza, pins, self.cool_down.as_of)
            self.say(f"{stanza.name}: trying it {where}")
            try:
                return tried(self.project, other, candidate, where)
            except Stays as why:
                return untried(candidate, approved, why)

    def _approved(self, stanza: Stanza) -> Lock | None:
        """What was approved; where nothing was, what the running one says."""
        try:
            if lock := Lock.read(self.project.folder(stanza) / PINS):
                return lock
            if self.running and stanza.name in self.running.memory.names:
                return Lock.of(self.running.tools(self.fleet, stanza.name))
        except (BadLock, NotListed) as why:
            self.say(f"{stanza.name}: {why}")
        return None

    def _others(self, name: str) -> dict[str, Tools]:
        """The approved tools of the other MCPs."""
        found: dict[str, Tools] = {}
        for stanza in self.fleet.sidecars:
            try:
                lock = Lock.read(self.project.folder(stanza) / PINS) if stanza.name != name else None
            except BadLock:
                continue
            if lock is not None:
                found[stanza.name] = list(lock.tools.values())
        return found


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project, say = Project.find(arguments.project), progress()
    cool_down = CoolDown.of(arguments.cool_down, datetime.now(UTC))
    fleet = load(project)
    parts = [name for name in arguments.names if name in own.PARTS and not any(one.name == name for one in fleet.stanzas)]
    mcps = [name for name in arguments.names if name not in parts]
    wanted = chosen(fleet, mcps) if mcps or not parts else []
    with alone(project, "update"):
        given = (running(project, fleet, say), arguments.yes, arguments.dry_run, arguments.wait)
        update = Update(project, fleet, cool_down, say, *given)
        left = [stanza.name for stanza in wanted if not update.one(stanza)]
        left += [name for name in parts if not update.part(name)]
        return 1 if left or (fleet.unreadable and not arguments.names) else 0


def running(project: Project, fleet: Fleet, say: Say) -> Running | None:
    """The fleet as the last `up` started it; None where nothing was started."""
    memory = remembered(project)
    if memory is None:
        return None
    engine = choice.engine(memory.engine, project, say)
    engine.refuse_another()
    environment = with_made_keys(engine, environments.read(project))
    return Running(engine, memory, environment, token(environment), lambda names, litellm: again(engine, project, names, say, litellm))


def told(pins: Pins) -> str:
    return ", ".join(f"{shown(old)} → {parts(new)[1]}" for old, new in pins.items())


def _goes_on(name: str, work: Callable[[], bool]) -> bool:
    """Whether the work is done: what stands in one's way is told, and the others go on."""
    try:
        return work()
    except Stays as why:
        return told_why(name, why)
    except EngineError as trouble:
        return told_why(name, Stays(str(trouble)))
    except OSError as error:
        return told_why(name, Stays(f"{error.filename or 'this machine'}: {error.strerror or error}"))


def told_why(name: str, why: Stays) -> bool:
    """Whether that is nothing to worry about."""
    print(printable(f"{name}: stays as it is: {why}" if why.is_trouble else f"{name}: {why}"))
    return not why.is_trouble
