"""Which engine it is: the one that was named, the one that runs already, or the best that works here."""

from collections.abc import Collection

from bridge.fleet.engines import Engine, EngineError, LastUp, Say, checkout, remembered
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project
from bridge.settings import UsageError


def engine(name: str, project: Project, say: Say) -> Engine:
    """The engine of that name."""
    if name == "embedded":
        from bridge.fleet.engines.embedded import Embedded  # start-up time: it brings an HTTP client

        return Embedded(project, say)
    from bridge.fleet.engines.compose import Compose  # start-up time: as above

    return Compose(project, say)


def choose(asked: str, project: Project, say: Say) -> tuple[Engine, bool]:
    """The engine that was asked for, else the one that runs already, else the best that works here; and whether another would do, too.
    Raises EngineError."""
    memory = remembered(project)
    if asked and memory and memory.engine != asked:
        raise EngineError(f"the fleet runs with --engine {memory.engine}: `mcp-bridge down` ends it first")
    if not asked and memory:
        asked = memory.engine
    if asked:
        chosen = engine(asked, project, say)
        if why := chosen.unavailable():
            raise EngineError(why)
        return chosen, False
    compose, name = engine("compose", project, say), checkout.said_name(project)
    if why := compose.unavailable():
        if name:
            raise EngineError(
                f"{why}\nthis folder's fleet ({name}) was Docker's before, and what it keeps is there: start Docker, "
                "or begin without all that by --engine embedded"
            )
        return _instead(why, project, say), False
    return compose, not name


def with_what_it_needs(chosen: Engine, may_be_another: bool, project: Project, fleet: Fleet, names: Collection[str], say: Say) -> Engine:
    """The chosen engine with what is missing fetched; another one if that cannot be had. Raises EngineError."""
    if not (why := chosen.fetch(chosen.missing(fleet, names))):
        return chosen
    if not may_be_another:
        raise EngineError(why)
    return _instead(why, project, say)


def _instead(why: str, project: Project, say: Say) -> Engine:
    say(f"{why}: using the embedded engine (--engine compose insists)")
    return engine("embedded", project, say)


def running(project: Project, say: Say, asked: str = "") -> tuple[Engine, LastUp]:
    """The engine that `up` started, or Compose where somebody did that by hand. Raises UsageError where nothing was, EngineError where
    that is another folder's: this one is a copy."""
    memory = remembered(project) or _by_hand(project, say)
    if memory is None:
        raise UsageError("nothing was started here: `mcp-bridge up` does that")
    if asked and asked != memory.engine:
        raise UsageError(f"the fleet was started with --engine {memory.engine}, not {asked}: `mcp-bridge down` ends it")
    found = engine(memory.engine, project, say)
    found.refuse_another()
    return found, memory


def _by_hand(project: Project, say: Say) -> LastUp | None:
    """The MCPs that plain `docker compose up` started here."""
    try:
        found = engine("compose", project, say).ps()
    except EngineError:
        return None
    return LastUp("compose", tuple(one.name for one in found if one.kind == "mcp"), {}, "") if found else None
