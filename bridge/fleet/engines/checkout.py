"""Which fleet is this folder's: the name of its Compose project, and whose the others of this Docker engine are.

Compose takes over or removes whatever runs under its project's name, wherever that was started. So each folder's fleet
has a name of its own. It stands in compose/.env, where plain `docker compose` finds it too, and so goes along when the folder is moved.
A copied folder has the name of the first one: that is told, and nothing is done.
"""

import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bridge.fleet.dotenv import read_dotenv
from bridge.fleet.engines import EngineError
from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.project import Project, write_private

VARIABLE = "COMPOSE_PROJECT_NAME"
LABEL = "com.docker.compose"
MEMORY = "compose.json"  # in compose/state: what `up` remembers
COLUMNS = (
    "{{.Names}}",
    f'{{{{.Label "{LABEL}.service"}}}}',
    f'{{{{.Label "{LABEL}.project"}}}}',
    f'{{{{.Label "{LABEL}.project.working_dir"}}}}',
    "{{.State}}",
    "{{.Status}}",
    "{{.Ports}}",
)
QUICK = 30.0
GONE = (
    "cannot connect to the docker daemon",
    "error during connect",
    "is the docker daemon running",
    "docker.sock: connect",
    "error reading from server: eof",
)


def broken(what: str, reason: str) -> EngineError:
    """What to say of a Docker command that failed: it may be the engine that went away."""
    if any(words in reason.lower() for words in GONE):
        return EngineError(f"the Docker engine went away ({reason[:120]}): when it is back, the same command goes on where this ended")
    return EngineError(f"{what}: {reason}")


@dataclass(frozen=True)
class Container:
    """A line of `docker ps`."""

    name: str
    service: str
    project: str
    folder: str  # of the compose file that it was started with
    state: str
    status: str
    ports: str

    def publishes(self, port: int) -> bool:
        return re.search(rf":{port}->", self.ports) is not None


def containers(*filters: str) -> list[Container]:
    """All containers, also stopped ones. Ten times faster than Compose's `ps`. Raises EngineError."""
    words = [word for one in filters for word in ("--filter", one)]
    try:
        said = run(["docker", "ps", "--all", *words, "--format", "\t".join(COLUMNS)], QUICK)
    except Failed as error:
        raise broken("docker ps", error.reason) from None
    rows = (line.split("\t") for line in said.splitlines())
    return [Container(*row) for row in rows if len(row) == len(COLUMNS)]


@dataclass(frozen=True)
class Detail:
    """What `docker inspect` knows of a service's container."""

    hash: str  # of what Compose made it from
    image: str
    stamp: str  # another one for each container, and each start of it
    restarts: str  # how often Docker started it again by itself


def details(name: str) -> dict[str, Detail]:
    """Of each service of a project. Raises EngineError."""
    found = {one.name: one.service for one in of_project(name)}
    if not found:
        return {}
    columns = (
        "{{.Name}}",
        f'{{{{index .Config.Labels "{LABEL}.config-hash"}}}}',
        "{{.Image}}",
        "{{.Id}} {{.State.StartedAt}}",
        "{{.RestartCount}}",
    )
    try:
        said = run(["docker", "inspect", "--type", "container", "--format", "\t".join(columns), *found], QUICK)
    except Failed as error:
        raise broken("docker inspect", error.reason) from None
    rows = (line.split("\t") for line in said.splitlines())
    return {found[row[0].lstrip("/")]: Detail(*row[1:]) for row in rows if len(row) == len(columns)}


def of_project(name: str) -> list[Container]:
    return containers(f"label={LABEL}.project={name}", f"label={LABEL}.oneoff=False")


def of_folder(project: Project) -> list[Container]:
    """What was started from this folder, whatever its project is called."""
    return containers(f"label={LABEL}.project.working_dir={project.compose}")


def said_name(project: Project) -> str:
    """What compose/.env calls this folder's project; empty if nothing."""
    return read_dotenv(project.env_file).get(VARIABLE, "")


def name_of(project: Project) -> str:
    """What Compose calls this folder's project: by compose/.env, by what was started from here (before each had a name there), by its file."""
    if said := said_name(project):
        return said
    with suppress(EngineError):  # no Docker
        if (project.state / MEMORY).exists() and (running := of_folder(project)):  # else they may be of a folder that was here, and moved
            return running[0].project
    file = project.compose / "compose.yaml"
    found = re.search(r"^name: ['\"]?([^'\"\n]+)", file.read_text(encoding="utf-8"), re.MULTILINE) if file.exists() else None
    return found[1] if found else "mcp"


def claim(project: Project, prefix: str, before: dict[str, str]) -> str:
    """The name of this folder's project, made and kept if it has none yet. Raises EngineError where it is another folder's.

    `before`: the name and the folder of the last `up`. A fleet that was started without a name keeps the one that it has.
    """
    if name := said_name(project):
        refuse_another(project, name, of_project(name), before.get("folder", ""))
        return name
    known = [*(one.project for one in of_folder(project)), *([before["name"]] if "name" in before else [])]
    free = (name for name in known if not owner(project, name, of_project(name), before.get("folder", "")))
    name = next(free, None) or f"{prefix}-{secrets.token_hex(3)}"
    _keep(project, name)
    return name


def refuse_another(project: Project, name: str, found: Iterable[Container], folder: str = "") -> None:
    """Raises EngineError where the project of this name is another folder's."""
    if other := owner(project, name, found, folder):
        raise EngineError(
            f"the fleet {name} is that of {other}, and compose/.env here has the same name: take its line {VARIABLE} out, "
            "and `mcp-bridge up` starts a fleet of this folder's own"
        )


def owner(project: Project, name: str, found: Iterable[Container], folder: str = "") -> str:
    """The other folder that this project is of; empty if it is ours. One that was moved away from is nobody's any more."""
    for place in dict.fromkeys([*(one.folder for one in found), folder]):
        if place and _calls_it(Path(place), name) and not os.path.samefile(place, project.compose):
            return str(Path(place).parent)
    return ""


def _calls_it(compose: Path, name: str) -> bool:
    """Whether the fleet of this folder has that name."""
    return (compose / "compose.yaml").exists() and name_of(Project(compose.parent)) == name


def _keep(project: Project, name: str) -> None:
    text = project.env_file.read_text(encoding="utf-8") if project.env_file.exists() else ""
    write_private(project.env_file, f"{text.rstrip(chr(10))}\n{VARIABLE}={name}\n".lstrip("\n"))


def whose(port: int) -> str:
    """Who has this port of the machine, as far as Docker knows."""
    for one in containers("status=running"):
        if one.publishes(port):
            return _fleet(one) if one.folder else f"the container {one.name}"
    return "another program"


def _fleet(one: Container) -> str:
    """Whose it is, and how it is ended where nobody can say `down` there any more."""
    folder = Path(one.folder)
    gone = "" if folder.exists() else f", a folder that is gone or was moved: `docker compose --project-name {one.project} down` ends it"
    return f"the fleet of {folder.parent} ({one.project}{gone})"
