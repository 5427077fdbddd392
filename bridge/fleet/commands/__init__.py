"""The commands of the fleet: what each takes, what it does, and its exit code (0 works, 1 does not, 2 wrong usage).

Answers go to stdout, progress and troubles to stderr. Imported only when one of them was chosen.
"""

import argparse
import importlib
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bridge.fleet import environment as environments
from bridge.fleet import files
from bridge.fleet.bounds import MEANING
from bridge.fleet.engines import NAMES, Broken, Engine, Memory, Started, choose, forget, remember, running
from bridge.fleet.environment import Environment
from bridge.fleet.model import Fleet, release
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets import litellm
from bridge.fleet.targets.compose import DEFAULT_KEY, DEFAULT_TOKEN
from bridge.settings import UsageError

Command = Callable[[argparse.Namespace, list[str]], int]


def add_arguments(name: str, parser: argparse.ArgumentParser) -> None:
    """Declare what command `name` takes, and what it does."""
    declare, command = COMMANDS[name]
    parser.add_argument("--project", default="", metavar="DIR", help="the folder with images/ (default: this one, or the nearest above)")
    declare(parser)
    parser.set_defaults(run=_at_the_edge(command))


def _at_the_edge(command: Command) -> Command:
    """What does not work is one line each, without a traceback."""

    def run(arguments: argparse.Namespace, words: list[str]) -> int:
        if words and command is not _add:
            raise UsageError(f"nothing belongs after '--' here: {' '.join(words)}")
        try:
            return command(arguments, words)
        except Broken as trouble:
            print(f"mcp-bridge: {trouble}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("mcp-bridge: interrupted; `mcp-bridge up` goes on where this ended", file=sys.stderr)
            return 1
        except BrokenPipeError:  # `mcp-bridge tools | head` has seen enough
            sys.stdout = None
            return 1

    return run


# ---- up, down, ps, logs


def _declare_up(parser: argparse.ArgumentParser) -> None:
    _names(parser, "only these (default: all that can start)")
    parser.add_argument("--engine", choices=NAMES, default="", help="compose: Docker; embedded: processes of this machine (default: what runs already, else what there is)")
    _litellm_version(parser)
    parser.add_argument("--no-verify", action="store_true", help="do not prove that it works")
    parser.add_argument("--model", default="", metavar="MODEL", help="when verifying, let this model of litellm/base.yaml call each MCP")


def _up(arguments: argparse.Namespace, words: list[str]) -> int:
    began = time.monotonic()
    say = _progress(began)
    project = Project.find(arguments.project)
    whole = _fleet(project, arguments.litellm_version)
    _known(whole, arguments.names)
    environment = environments.complete(project, whole)
    if not arguments.no_verify:  # importing the SDK takes a while: Docker and LiteLLM do too
        threading.Thread(target=importlib.import_module, args=["bridge.fleet.verify"], daemon=True).start()
    names = arguments.names or [stanza.name for stanza in whole.stanzas]
    _lock_what_changed(project, whole, names, say)
    engine = choose(arguments.engine, project, whole, names, say)
    say(f"engine {engine.name}, LiteLLM {whole.litellm.version}")
    litellm.refuse_patterns(whole)
    for warning in litellm.warnings(whole.only(names)):
        say(warning)
    for stanza in whole.only(names).stanzas:
        for grant in stanza.grants:
            say(f"{stanza.name}: 'grants: {grant}' in its stanza: {MEANING[grant]}")
    urls = engine.urls(whole, environment)  # a port that is none is told before anything is done
    remember(project, _memory(engine, Started(whole.only(names))))  # what fails half-way can be looked at and ended
    started = engine.up(whole, names, environment)
    remember(project, _memory(engine, started))
    say("it runs")
    code, tools = 0, {}
    if not arguments.no_verify:
        verdict = _verify_now(engine, started, environment, arguments.model, say)
        tools = {report.name: report for report in verdict.mcps}
        if not verdict.is_ok:
            code = 1
            _complain(verdict)
    _print_up(engine, started, environment, tools)
    key = f"$(cat {_short_path(project.state / environments.KEY)})"
    print(f"\nLiteLLM   {urls.litellm}   (its tools for any MCP client: {urls.litellm}/mcp/)")
    print(f"""  curl -s {urls.litellm}/mcp/ -H "x-litellm-api-key: Bearer {key}" -H 'accept: application/json, text/event-stream' \\
    -H 'content-type: application/json' -d '{{"jsonrpc":"2.0","id":1,"method":"tools/list"}}'""")
    if urls.prometheus:
        print(f"Prometheus  {urls.prometheus}")
    proved = "not verified (--no-verify)" if arguments.no_verify else "verified" if code == 0 else "NOT all of it works: see above, and `mcp-bridge verify`"
    print(f"\n{len(started.fleet.stanzas)} MCPs up and {proved} in {time.monotonic() - began:.1f} s")
    return code


def _lock_what_changed(project: Project, fleet: Fleet, names: list[str], say) -> None:
    """A stanza that is new, or says other packages than its lock, is locked first: nothing is installed without one."""
    from bridge.fleet import lock

    for name in lock.unlocked(project, fleet):
        is_shared = name in (lock.BRIDGE, lock.INSTALLER)
        if is_shared or name in names:
            say(f"locking {name}")
            lock.lock_bridge(project) if is_shared else lock.lock(project, fleet[name])


def _memory(engine: Engine, started: Started) -> Memory:
    return Memory(engine.name, tuple(stanza.name for stanza in started.fleet.stanzas), started.left_out, started.fleet.litellm.version)


def _print_up(engine: Engine, started: Started, environment: Environment, reports: dict) -> None:
    from bridge.fleet.verify.show import columns

    urls = engine.urls(started.fleet, environment)
    states = {one.name: one.state for one in engine.ps()}
    rows = [["MCP", "state", "tools", "URL"]]
    for stanza in started.fleet.stanzas:
        report = reports.get(stanza.name)
        state = "remote" if stanza.is_remote else states.get(stanza.name, "down")
        if report:
            state = "works" if report.is_ok else "BROKEN"
        tools = "" if report is None or report.tools is None else str(len(report.tools))
        rows.append([stanza.name, state, tools, stanza.url or f"{urls.of(stanza)}/mcp"])
    print("\n".join(columns(rows)))
    for name, why in started.left_out.items():
        print(f"{name}: not started: {why}")


def _declare_down(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--volumes", action="store_true", help="also delete what the MCPs and the database keep")


def _down(arguments: argparse.Namespace, words: list[str]) -> int:
    project = Project.find(arguments.project)
    try:
        engine, _ = running(project, _progress())
    except UsageError:
        print("nothing was started here", file=sys.stderr)
        return 0
    engine.down(arguments.volumes)
    forget(project)
    return 0


def _declare_ps(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _ps(arguments: argparse.Namespace, words: list[str]) -> int:
    from bridge.fleet.verify.show import columns

    engine, memory = running(Project.find(arguments.project), _progress())
    found = engine.ps()
    if arguments.json:
        print(json.dumps({"engine": engine.name, "services": [one.__dict__ for one in found], "left_out": memory.left_out}, indent=2))
    else:
        print("\n".join(columns([["name", "state", ""], *([one.name, one.state, one.detail] for one in found)])))
        for name, why in memory.left_out.items():
            print(f"{name}: not started: {why}")
    return 0 if found and all(one.is_up for one in found) else 1


def _declare_logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="an MCP, or litellm, prometheus, …")
    parser.add_argument("-f", "--follow", action="store_true", help="go on printing what comes")


def _logs(arguments: argparse.Namespace, words: list[str]) -> int:
    engine, _ = running(Project.find(arguments.project), _progress())
    return engine.logs(arguments.name, arguments.follow)


# ---- verify, tools, resources, prompts


def _declare_verify(parser: argparse.ArgumentParser) -> None:
    _names(parser, "only these (default: all that were started)")
    parser.add_argument("--json", action="store_true", help="print everything that was found out, as JSON")
    parser.add_argument("--model", default="", metavar="MODEL", help="let this model of litellm/base.yaml call each MCP through /v1/responses")
    parser.add_argument("--era", choices=("legacy", "both"), default="legacy", help="both: also as a client of MCP 2026-07-28, which has no handshake")
    parser.add_argument("--engine", choices=NAMES, default="", help="refuse if the fleet was started with another one")


def _verify(arguments: argparse.Namespace, words: list[str]) -> int:
    project, engine, started, environment = _running_fleet(arguments)
    verdict = _verify_now(engine, started, environment, arguments.model, _progress(), arguments.era == "both")
    if arguments.json:
        print(json.dumps(verdict.as_data(), ensure_ascii=False, indent=2))
    else:
        from bridge.fleet.verify.show import table
        print(table(verdict))
    return 0 if verdict.is_ok else 1


def _verify_now(engine: Engine, started: Started, environment: Environment, model: str, say, both_eras: bool = False):
    from bridge.fleet.verify import Subject, verify

    say("verifying")
    urls = engine.urls(started.fleet, environment)
    fleet = engine.as_here(started.fleet, environment)
    return verify(Subject(engine.name, fleet, environment, urls, engine.ps(), model, started.left_out, say, both_eras))


def _complain(verdict) -> None:
    from bridge.fleet.verify.show import table

    print(table(verdict), file=sys.stderr)


def _declare_listing(parser: argparse.ArgumentParser) -> None:
    _names(parser, "only these (default: all that were started)")
    parser.add_argument("--json", action="store_true", help="print them as the servers say them, as JSON")


def _listing(kind: str) -> Command:
    def command(arguments: argparse.Namespace, words: list[str]) -> int:
        from bridge.fleet import listing

        _, engine, started, environment = _running_fleet(arguments)
        offers = listing.ask(started.fleet, environment, engine.urls(started.fleet, environment), kind)
        print(listing.dump(offers, kind) if arguments.json else "\n".join(listing.as_table(offers, kind)))
        troubled = [offer for offer in offers if offer.trouble]
        for offer in troubled:
            print(f"mcp-bridge: {offer.stanza.name}: {offer.trouble}", file=sys.stderr)
        return 1 if troubled else 0

    return command


def _running_fleet(arguments: argparse.Namespace) -> tuple[Project, Engine, Started, Environment]:
    """What the last `up` started, or of that what was named."""
    project = Project.find(arguments.project)
    engine, memory = running(project, _progress(), getattr(arguments, "engine", ""))
    whole = _fleet(project, memory.litellm)
    _known(whole, arguments.names)
    names = arguments.names or [name for name in memory.names if any(stanza.name == name for stanza in whole.stanzas)]
    left_out = {name: why for name, why in memory.left_out.items() if not arguments.names or name in arguments.names}
    return project, engine, Started(whole.only(names), left_out), _with_public_defaults(environments.read(project))


def _with_public_defaults(environment: Environment) -> Environment:
    """What plain `docker compose up` takes where compose/.env says nothing; after our `up` it says all of it."""
    defaults = {"BRIDGE_TOKEN": DEFAULT_TOKEN, "LITELLM_MASTER_KEY": DEFAULT_KEY}
    return Environment({**environment.values, **{name: environment.values.get(name) or value for name, value in defaults.items()}})


# ---- add, lock, render


def _declare_add(parser: argparse.ArgumentParser) -> None:
    from bridge.fleet.add import add_arguments as declare

    declare(parser)


def _add(arguments: argparse.Namespace, words: list[str]) -> int:
    from bridge.fleet.add import run

    return run(Project.find(arguments.project), arguments, words)


def _declare_lock(parser: argparse.ArgumentParser) -> None:
    _names(parser, "only these (default: all, and the bridge's own)")
    parser.add_argument("--upgrade", action="store_true", help="resolve anew even what did not change")


def _lock(arguments: argparse.Namespace, words: list[str]) -> int:
    from bridge.fleet import lock

    project = Project.find(arguments.project)
    fleet = Fleet.load(project.images)
    _known(fleet, arguments.names)
    changed = lock.lock_all(project, fleet, arguments.names, arguments.upgrade)
    print("\n".join(changed) if changed else "nothing changed")
    return 0


def _declare_render(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is not as it would be written")
    parser.add_argument("--target", choices=("compose", "kubernetes"), default="compose", help="compose: all that is committed (default)")
    parser.add_argument("--output", default="", metavar="DIR", help="where to write (default: the project; for kubernetes its folder 'kubernetes')")
    _litellm_version(parser)


def _render(arguments: argparse.Namespace, words: list[str]) -> int:
    project = Project.find(arguments.project)
    fleet = _fleet(project, arguments.litellm_version)
    root = Path(arguments.output) if arguments.output else project.root
    made = list(fleet.render(arguments.target))
    left = files.left_over(root, made) if arguments.target == "compose" else []
    if arguments.check:
        wrong = files.stale(root, made) + left
        for path in wrong:
            print(path)
        if wrong:
            print(f"mcp-bridge: {len(wrong)} files are not what the stanzas say: `mcp-bridge render` writes them", file=sys.stderr)
        return 1 if wrong else 0
    changed = files.write(root, made)
    for path in left:
        (root / path).unlink()
        changed.append(f"{path} (removed)")
    print("\n".join(changed) if changed else "nothing changed")
    return 0


# ---- what they share


def _names(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help=help)


def _litellm_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--litellm-version", default="", metavar="V", help="instead of the one in images/fleet.yaml; decides what its config may say")


def _fleet(project: Project, version: str = "") -> Fleet:
    """All stanzas, with this version of LiteLLM. Raises UsageError."""
    if not version:
        return Fleet.load(project.images)
    try:
        wanted = ".".join(map(str, release(version)))
    except ValueError as error:
        raise UsageError(f"--litellm-version: {error}") from None
    return Fleet.load(project.images, litellm={"version": wanted})


def _known(fleet: Fleet, names: list[str]) -> list[Stanza]:
    try:
        return [fleet[name] for name in names]
    except KeyError as error:
        raise UsageError(error.args[0]) from None


def _progress(began: float | None = None):
    """Says what goes on, on stderr, with the seconds since the beginning."""
    start = time.monotonic() if began is None else began
    return lambda text: print(f"{time.monotonic() - start:6.1f} s  {text}", file=sys.stderr, flush=True)


def _short_path(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], Command]] = {
    "up": (_declare_up, _up),
    "down": (_declare_down, _down),
    "ps": (_declare_ps, _ps),
    "logs": (_declare_logs, _logs),
    "add": (_declare_add, _add),
    "lock": (_declare_lock, _lock),
    "render": (_declare_render, _render),
    "verify": (_declare_verify, _verify),
    **{kind: (_declare_listing, _listing(kind)) for kind in ("tools", "resources", "prompts")},
}
