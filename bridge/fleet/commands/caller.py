"""`mcp-bridge caller add|list|rotate|remove`: who may come in, in images/fleet.yaml, with a key that is shown once. Nothing is started anew:
bridges read who there is again within seconds."""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bridge.callers.tokens import hash_of
from bridge.fleet import callers
from bridge.fleet import environment as environments
from bridge.fleet.alone import alone
from bridge.fleet.columns import columns
from bridge.fleet.commands.common import load, progress, short_path, with_made_keys
from bridge.fleet.engines import Engine, EngineError, choice, remembered
from bridge.fleet.environment import Environment
from bridge.fleet.fleet_file import FleetFile
from bridge.fleet.load import FLEET
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project, write_private
from bridge.fleet.ship import write_shipped
from bridge.fleet.transaction import whole_or_not_at_all
from bridge.printable import printable, shortened
from bridge.settings import UsageError

ACTIONS = ("add", "list", "rotate", "remove")
BYTES = 32
LONGEST = 300  # of what a bridge says, or what took its place
AT_NEXT_UP = "at the next `mcp-bridge up`"


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="rotate makes another key in the place of the one that was")
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="who it is: alice, ci, litellm")
    parser.add_argument(
        "--may",
        action="append",
        default=[],
        metavar="PATTERN=LEVEL",
        help="time/*=execute, */delete_*=deny (docs/callers.md); repeat it for more; without it everything may be called",
    )
    parser.add_argument("--team", default="", metavar="TEAM", help="of LiteLLM, where it has a database (docs/litellm.md)")
    parser.add_argument("--json", action="store_true", help="of list: print JSON")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    project = Project.find(arguments.project)
    if arguments.action == "list":
        return _list(project, arguments.json)
    if not arguments.name:
        raise UsageError(f"mcp-bridge caller {arguments.action} NAME")
    if (arguments.may or arguments.team) and arguments.action != "add":
        raise UsageError(f"--may and --team belong to `caller add`; what {arguments.name} may stands in images/{FLEET}")
    with alone(project, "caller"):
        if arguments.action == "add":
            return _add(project, arguments.name, arguments.may, arguments.team)
        return {"rotate": _rotate, "remove": _remove}[arguments.action](project, arguments.name)


def _list(project: Project, as_json: bool) -> int:
    fleet = load(project)
    said = callers.shipped(fleet.callers, litellm_may=fleet.litellm_may)["callers"]
    teams = {name: team for name, entry in fleet.callers.items() if (team := callers.team_of(entry))}
    there = _in_litellm(project, fleet) if fleet.litellm.database else {}
    more = [(word, values) for word, values in (("team", teams), ("LiteLLM", there)) if values]
    rows = [(name, "; ".join(_rights(entry)), *(values.get(name, "") for _, values in more)) for name, entry in said.items()]
    if as_json:
        print(
            json.dumps(
                {
                    name: {key: value for key, value in entry.items() if key not in callers.KEYS}
                    | ({"team": teams[name]} if name in teams else {})
                    for name, entry in said.items()
                },
                indent=2,
            )
        )
    else:
        print("\n".join(columns([["caller", "may", *(word for word, _ in more)], *map(list, rows)])))
    return 0


def _in_litellm(project: Project, fleet: Fleet) -> dict[str, str]:
    """Who has a key there, where it can be asked."""
    memory = remembered(project)
    try:
        given = choice.engine(memory.engine, project, progress()).given_keys() if memory else set()
    except EngineError:
        given = set()
    known = callers.check(fleet.callers)
    digests = {name: {digest.hex() for digest in known.of(name).digests} for name in fleet.callers if name != callers.LITELLM}
    return {name: "has a key" if of and of <= given else "has no key: mcp-bridge up" for name, of in digests.items()}


def _rights(entry: dict[str, Any]) -> list[str]:
    rules = [f"{pattern}: {level}" for pattern, level in (entry.get("may") or {}).items()]
    rest = (
        [f"everything else: {entry['default']}"]
        if rules and "default" in entry
        else [f"everything: {entry['default']}"]
        if "default" in entry
        else []
    )
    return [*rules, *rest, *(["metrics"] if entry.get("metrics") else [])] or ["nothing"]


def _add(project: Project, name: str, may: list[str], team: str) -> int:
    file = FleetFile(project.images / FLEET)
    if name in file.callers:
        raise UsageError(f"there is a caller {name!r} already: `mcp-bridge caller rotate {name}` gives it another key")
    rights: dict[str, Any] = ({"team": team} if team else {}) | ({"may": dict(map(_rule, may))} if may else {"default": "execute"})
    if name == callers.LITELLM:
        _write(project, file.with_caller(name, rights))
        print("LiteLLM keeps its key; whoever comes through it without a key of their own may do this from now on")
        return 0
    key = _new_key()
    _show(name, key, _write(project, file.with_caller(name, {"token_sha256": hash_of(key).removeprefix("sha256:")} | rights)))
    if not may:
        print(f"{name} may call everything; with --may time/*=execute it may what that says, and nothing else")
    return 0


def _rotate(project: Project, name: str) -> int:
    file = FleetFile(project.images / FLEET)
    entry = _known(file, name)
    key = _new_key()
    rest = {word: value for word, value in entry.items() if word not in ("token_sha256", "token_file")}
    when = _write(project, file.with_caller(name, {"token_sha256": hash_of(key).removeprefix("sha256:")} | rest))
    _show(name, key, when)
    print(f"the key before it opens nothing any more {when}")
    return 0


def _remove(project: Project, name: str) -> int:
    file = FleetFile(project.images / FLEET)
    _known(file, name, must_have_key=False)
    when = _write(project, file.without_caller(name))
    print(
        f"{name} may do nothing any more, and what it had open ends, {when}"
        if name != callers.LITELLM
        else "LiteLLM may call everything again"
    )
    return 0


def _known(file: FleetFile, name: str, must_have_key: bool = True) -> dict[str, Any]:
    there = file.callers
    if name not in there:
        raise UsageError(f"no caller {name!r} in {short_path(file.path)}; there are {', '.join(there) or 'none'}")
    if must_have_key and name == callers.LITELLM:
        raise UsageError(
            "LiteLLM's key follows from BRIDGE_TOKEN: take that line out of compose/.env, and `mcp-bridge up` makes another one"
        )
    return dict(there[name] or {})


def _rule(text: str) -> tuple[str, str]:
    pattern, equals, level = text.rpartition("=")
    if not equals or "/" not in pattern:
        raise UsageError(f"--may {text}: expected MCP/TOOL=LEVEL: time/*=execute")
    return pattern, level


def _write(project: Project, text: str) -> str:
    """Both files, or none: what cannot be read is told before. Returns when it counts. Raises UsageError."""
    path = project.images / FLEET
    with whole_or_not_at_all(path):
        write_private(path, text, (path.stat().st_mode & 0o777) if path.exists() else 0o644)
        write_shipped(project, load(project))
    memory = remembered(project)
    if memory is None:
        return AT_NEXT_UP
    engine, fleet = choice.engine(memory.engine, project, progress()), load(project, memory.litellm, is_quiet=True)
    _tell_litellm(project, engine, fleet)
    try:
        why = _refusal(engine, fleet.only(memory.names), with_made_keys(engine, environments.read(project)))
    except (EngineError, UsageError) as error:  # its key is to be shown all the same: nobody can tell it later
        why = str(error)
    if why:
        print(printable(f"what runs does not take it, and goes on with the callers of before: {shortened(why, LONGEST)}"), file=sys.stderr)
        return AT_NEXT_UP
    return "within seconds"


def _tell_litellm(project: Project, engine: Engine, fleet: Fleet) -> None:
    """Its keys are those of the callers, where it has a database and runs."""
    if not fleet.litellm.database:
        return
    try:
        engine.give_keys(fleet, environments.read(project))
    except EngineError as error:
        print(f"LiteLLM does not know yet, `mcp-bridge up` tells it: {error}", file=sys.stderr)


def _refusal(engine: Engine, fleet: Fleet, environment: Environment) -> str:
    """Why a bridge that runs does not take the callers of now: it may be of an earlier version. One that does not answer reads them when it starts."""
    from bridge.fleet.ask import Http, NoResponse  # start-up time: it brings an HTTP client
    from bridge.fleet.engines.readiness import AT_ONCE, token  # as above

    urls, headers = engine.urls(fleet, environment), token(environment)

    def asked(url: str) -> str:
        try:
            answer = http.post(f"{url}/-/reload", None, headers)
        except NoResponse:
            return ""
        if answer.status in (404, 405):
            return f"{url} is a bridge of an earlier version, which knows no callers"
        return str(answer.json().get("error", answer.words)) if answer.status == 400 else ""

    with Http() as http, ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(asked, [urls.mcps] if engine.name == "embedded" else [urls.of(stanza) for stanza in fleet.sidecars])
        return next(filter(None, found), "")


def _new_key() -> str:
    from secrets import token_urlsafe  # start-up time: `list` needs none

    return f"sk-{token_urlsafe(BYTES)}"  # LiteLLM takes no other keys


def _show(name: str, key: str, when: str) -> None:
    print(key)
    print(
        f"that is {name}'s key, shown this once: only its hash is kept, in images/{FLEET}. It counts {when}. `mcp-bridge connect CLIENT --as {name}` says where it goes"
    )
