"""The fleet's Postgres as dumps, one for each database: asked where it runs, else in a container of its image that has only its volume.

Roles are not in them, because their passwords would be: `mcp_reader` is made anew, others are the operator's.
"""

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.fleet.backup.volumes import create
from bridge.fleet.engines import EngineError, checkout, docker
from bridge.fleet.engines.composed import DATABASE, LITELLM
from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.project import Project, write_private
from bridge.settings import UsageError

DATA = "/var/lib/postgresql/data"
USER = "postgres"
SERVICE = f"{DATABASE}-backup"
PATIENCE = 120.0
DUMP_PATIENCE = 3600.0  # for one database
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
LIST = "select datname from pg_database where datallowconn and not datistemplate order by datname"


def dump(project_name: str, image: str, folder: Path) -> list[Path]:
    """A file for each database. Raises EngineError."""
    running = [one.name for one in checkout.of_project(project_name) if one.service == DATABASE and one.state == "running"]
    if running:
        return _dumped(running[0], folder)
    with _server(project_name, image) as container:
        return _dumped(container, folder)


def restore(project_name: str, image: str, dumps: list[Path], reader: str, place: Path) -> None:
    """A new volume with these databases. `reader` is the script that makes the role for MCPs; `place` a folder for what it reads.
    Raises EngineError."""
    key, script = place / "POSTGRES_READER_PASSWORD", place / "reader.sh"
    write_private(key, secrets.token_hex(24), 0o444)  # `up` gives it the one of compose/.env
    write_private(script, reader, 0o555)
    mounts = [f"{key}:/run/keys/{key.name}:ro", f"{script}:/docker-entrypoint-initdb.d/reader.sh:ro"]
    create(project_name, DATABASE)
    with _server(project_name, image, mounts) as container:
        for path in dumps:
            name = path.name.removesuffix(".dump")
            owner = LITELLM if name == LITELLM else USER
            if owner == LITELLM:  # what it laid there (a function in an index) runs as itself; `up` gives it its password
                _said(["docker", "exec", container, "createuser", "--username", USER, "--", owner])
            if name != USER:
                _said(["docker", "exec", container, "createdb", "--username", USER, "--owner", owner, "--", name])
            words = ["pg_restore", "--username", owner, "--clean", "--if-exists", "--no-owner", "--exit-on-error", "--dbname", name]
            try:
                with path.open("rb") as file:
                    run(["docker", "exec", "--interactive", container, *words], DUMP_PATIENCE, stdin=file)
            except Failed as error:
                raise EngineError(f"the database {name} cannot be restored: {_first_line(error)}") from None


def restoring(project: Project) -> str:
    """How one of its dumps is put back, for people."""
    file = project.compose / "compose.yaml"
    words = f"pg_restore --username {USER} --clean --if-exists --no-owner --dbname NAME < NAME.dump"
    return f"docker compose -f {file} --profile '*' exec -T {DATABASE} {words} puts one back ({LITELLM}.dump: --username {LITELLM})"


def check(path: Path) -> None:
    """Raises UsageError for a dump that none of ours can be."""
    if not NAME.fullmatch(path.name.removesuffix(".dump")):
        raise UsageError(f"database/{path.name}: no database is called so")
    with path.open("rb") as file:
        if file.read(5) != b"PGDMP":
            raise UsageError(f"database/{path.name}: it is no dump of Postgres")


def _dumped(container: str, folder: Path) -> list[Path]:
    folder.mkdir()
    made = []
    for name in _said(
        ["docker", "exec", container, "psql", "--username", USER, "--no-align", "--tuples-only", "--command", LIST]
    ).splitlines():
        if not NAME.fullmatch(name):  # to libpq, one with '=' says where to connect
            raise EngineError(f"the database {name!r} has a name that no file of a backup can have: rename it")
        path = folder / f"{name}.dump"
        command = ["docker", "exec", container, "pg_dump", "--username", USER, "--format", "custom", "--dbname", name]
        try:
            with path.open("wb") as file:
                run(command, DUMP_PATIENCE, stdout=file)
        except Failed as error:
            raise checkout.broken(f"the database {name} cannot be dumped", _first_line(error)) from None
        made.append(path)
    return made


@contextmanager
def _server(project_name: str, image: str, mounts: list[str] | None = None) -> Iterator[str]:
    """Postgres on the volume of this fleet, reached by nobody but `docker exec`; ended as it should be. Raises EngineError.

    It has the labels of a service, so that `up` and `down` end what a command that was killed has left.
    """
    volume = f"{project_name}_{DATABASE}"
    labels = {"project": project_name, "service": SERVICE, "oneoff": "False", "container-number": "1", "config-hash": SERVICE}
    words = ["--volume", f"{volume}:{DATA}", *(word for mount in mounts or [] for word in ("--volume", mount))]
    words += [word for name, value in labels.items() for word in ("--label", f"{checkout.LABEL}.{name}={value}")]
    # A password has to be said, and opens nothing: there is no network.
    words += ["--env", f"POSTGRES_PASSWORD={secrets.token_hex(16)}", "--user", USER, "--cap-drop", "ALL", "--network", "none"]
    if left := [one.name for one in checkout.of_project(project_name) if one.service == SERVICE]:
        _end(*left)
    container = _said(["docker", "run", "--detach", "--init", *words, image]).split()[-1]
    try:
        deadline = time.monotonic() + PATIENCE
        while isinstance(why := docker.asked(["docker", "exec", container, "pg_isready", "-q", "-h", "127.0.0.1", "-U", USER]), Failed):
            if time.monotonic() > deadline or "no such container" in why.printed.lower() or "is not running" in why.printed:
                raise EngineError(f"Postgres does not start on the volume {volume}: {why.reason}")
            time.sleep(0.2)
        yield container
    finally:
        _end(container)


def _end(*containers: str) -> None:
    """They are gone then, which `--rm` would only begin: the volume is free."""
    docker.asked(["docker", "stop", "--time", "25", *containers])
    docker.asked(["docker", "rm", "--force", *containers])


def _said(command: list[str]) -> str:
    try:
        return run(command, PATIENCE).strip()
    except Failed as error:
        raise checkout.broken(" ".join(command[:2]), error.reason) from None


def _first_line(error: Failed) -> str:
    return next((line.strip() for line in error.printed.splitlines() if line.strip()), error.reason)
