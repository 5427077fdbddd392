"""What a switch consists of: of an MCP, and of a part of the fleet itself."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bridge.fleet import lock
from bridge.fleet.backup.database import restoring
from bridge.fleet.engines import Say
from bridge.fleet.engines.composed import DATABASE, LITELLM
from bridge.fleet.files import File, write
from bridge.fleet.load import load
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project, private
from bridge.fleet.update import Stays, own, previous
from bridge.fleet.update.own import Part
from bridge.fleet.update.previous import RECORD, Change
from bridge.fleet.update.switch import Running, Switch

Reload = Callable[[], Fleet]
Check = Callable[[list[dict[str, Any]]], list[str]]  # of the tools that it lists when it runs: what is wrong with them


def of_mcp(project: Project, change: Change, reload: Reload, check: Check) -> Switch:
    name = change.stanza.name

    def make() -> None:
        previous.make(project, change)
        if not lock.is_locked(project, change.stanza):
            raise Stays("its locks are not those of its stanza any more (constraints, Python): it was changed since")

    def prepare(running: Running, fleet: Fleet) -> None:
        if troubles := running.engine.prepare(fleet, [name], running.environment):
            raise Stays(next(iter(troubles.values())))

    def compare(running: Running, fleet: Fleet) -> None:
        if wrong := check(running.tools(fleet, name)):
            raise Stays(f"it says other tools than those that were agreed to: {', '.join(wrong[:5])}")

    def bring_up(running: Running) -> list[str]:
        return running.bring_up([name], "")

    paths = (project.images / name, previous.place(project, name))
    return Switch(name, [name], paths, make, reload, prepare, bring_up, bring_up, compare)


def of_part(project: Project, fleet: Fleet, part: Part, running: Running | None, say: Say) -> Switch:
    """All MCPs have to work with it that worked before, or those that use the database."""
    there = previous.place(project, part.name)
    proved = [name for name in (running.memory.verified if running else {}) if any(one.name == name for one in fleet.stanzas)]
    of_litellm = fleet.litellm.database
    mcps = [name for name in proved if part.name != DATABASE or of_litellm or DATABASE in fleet[name].needs]

    def reload() -> Fleet:
        version = part.then.get(LITELLM) or (running.memory.litellm if running else "")
        return load(project.images, Fleet, project.last_good, **({"litellm": {"version": version}} if version else {}))

    def make() -> None:
        is_at_risk = part.name == DATABASE or (
            part.name == LITELLM and of_litellm
        )  # a newer LiteLLM changes the tables that it keeps there
        if is_at_risk and (folder := own.dump(project, fleet, datetime.now(UTC))):
            say(f"dumped into {folder.relative_to(project.root)} ({restoring(project)})")
        private(there)
        write(there, [File(RECORD, json.dumps({"before": part.now, "after": part.then}, indent=1) + "\n")])
        write(project.root, part.files)

    def prepare(running: Running, changed: Fleet) -> None:
        if why := running.engine.fetch(running.engine.missing(changed, running.memory.names)):
            raise Stays(why)
        failed = running.engine.prepare(changed, [name for name in mcps if not fleet[name].is_remote], running.environment)
        if failed:
            raise Stays("; ".join(f"{name}: {why}" for name, why in failed.items()))

    def bring_up(running: Running) -> list[str]:
        return running.bring_up(mcps, part.then.get(LITELLM, ""))

    def put_back(running: Running) -> list[str]:
        return running.bring_up(mcps, "")

    paths = (*(project.root / file.path for file in part.files), there)
    return Switch(part.name, mcps, paths, make, reload, prepare, bring_up, put_back)


def back(project: Project, fleet: Fleet, name: str) -> Part:
    """The way back of a part. Raises Stays."""
    try:
        said = json.loads((previous.place(project, name) / RECORD).read_text(encoding="utf-8"))
        now, then = dict(said["after"]), dict(said["before"])
    except FileNotFoundError:
        raise Stays("nothing is kept of an earlier version: `mcp-bridge update` keeps the last one") from None
    except (ValueError, KeyError, TypeError):
        raise Stays(f"{previous.place(project, name) / RECORD} is damaged: the earlier version is not known any more") from None
    known = fleet.digests | {LITELLM: fleet.litellm.version}
    if changed := [what for what, version in now.items() if known.get(what, "") != version]:
        raise Stays(f"{', '.join(changed)} is not what the last update made of it: it was changed since")
    return own.of(project, fleet, name, now, then)
