"""What several commands share: names, the fleet of the folder, what runs, and progress."""

import argparse
import sys
import time
from pathlib import Path

from bridge.fleet import Fleet
from bridge.fleet import environment as environments
from bridge.fleet.engines import Engine, LastUp, Say, Started
from bridge.fleet.engines.choice import running
from bridge.fleet.environment import Environment
from bridge.fleet.model import release
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza
from bridge.settings import UsageError


def declare_names(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help=help)


def declare_litellm_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--litellm-version", default="", metavar="V", help="instead of the one in images/fleet.yaml; decides what its config may say"
    )


def load(project: Project, version: str = "", is_quiet: bool = False) -> Fleet:
    """All stanzas, with this version of LiteLLM. Raises UsageError.

    One with a mistake stops no command that does not name it: it is told (unless that was done), and counts as it was when it was started, or not at all.
    """
    try:
        changes = {"litellm": {"version": ".".join(map(str, release(version)))}} if version else {}
    except ValueError as error:
        raise UsageError(f"--litellm-version: {error}") from None
    fleet = Fleet.load(project.images, last_good=project.last_good, **changes)
    if not is_quiet:
        tell_mistakes(fleet)
    return fleet


def tell_mistakes(fleet: Fleet) -> None:
    for mistake in fleet.unreadable.values():
        print(mistake, file=sys.stderr)


def chosen(fleet: Fleet, names: list[str]) -> list[Stanza]:
    """Those that are named, or all of which the stanza can be read. Raises UsageError."""
    return known(fleet, names) or [stanza for stanza in fleet.stanzas if stanza.name not in fleet.unreadable]


def known(fleet: Fleet, names: list[str]) -> list[Stanza]:
    try:
        if unreadable := [fleet.unreadable[name] for name in names if name in fleet.unreadable]:
            raise UsageError("\n".join(unreadable))
        return [fleet[name] for name in names]
    except KeyError as error:
        raise UsageError(error.args[0]) from None


def progress(began: float | None = None) -> Say:
    """Says what goes on, on stderr, with the seconds since the beginning."""
    start = time.monotonic() if began is None else began
    return lambda text: print(f"{time.monotonic() - start:6.1f} s  {text}", file=sys.stderr, flush=True)


def asked(question: str) -> bool:
    """Whether somebody is there and says yes."""
    if not sys.stdin.isatty():
        return False
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def short_path(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def running_fleet(arguments: argparse.Namespace, is_quiet: bool = False) -> tuple[Project, Engine, LastUp, Started, Environment]:
    """What the last `up` started, or of that what was named."""
    project = Project.find(arguments.project)
    engine, memory = running(project, progress(), getattr(arguments, "engine", ""))
    whole = load(project, memory.litellm, is_quiet=True)
    known(whole, arguments.names)
    if not is_quiet:
        tell_mistakes(whole)
    names = arguments.names or [name for name in memory.names if any(stanza.name == name for stanza in whole.stanzas)]
    left_out = {name: why for name, why in memory.left_out.items() if not arguments.names or name in arguments.names}
    return (
        project,
        engine,
        memory,
        Started(whole.only(names), left_out, memory.troubles),
        with_made_keys(engine, environments.read(project)),
    )


def with_made_keys(engine: Engine, environment: Environment) -> Environment:
    """What plain `docker compose up` made where compose/.env says nothing; after our `up` it says all of it."""
    if all(environment.values.get(name) for name in ("BRIDGE_TOKEN", "LITELLM_MASTER_KEY")):
        return environment
    return Environment(
        {**environment.values, **{name: value for name, value in engine.made_keys().items() if not environment.values.get(name)}}
    )


def left_out_lines(left_out: dict[str, str], tell_each: bool = False) -> list[str]:
    """What was not to be started: one line for all, unless they were asked for."""
    if tell_each or len(left_out) == 1:
        return [f"{name}: not started: {why}" for name, why in left_out.items()]
    return [f"not started, because something is missing: {', '.join(left_out)} (`mcp-bridge catalog` says what)"] if left_out else []
