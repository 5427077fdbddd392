"""The Compose project of a folder: its commands, its containers, and what is remembered of it in compose/state/compose.json."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from bridge.fleet.engines import EngineError, Say, Urls, checkout, docker
from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.engines.readiness import last_reason
from bridge.fleet.engines.reason import why
from bridge.fleet.project import Project, write_private
from bridge.fleet.targets import compose, groups
from bridge.fleet.targets.compose import LITELLM_DATABASE

DOOR, LITELLM, PROMETHEUS, DATABASE, KEYS = "door", "litellm", "prometheus", "database", "keys"
ALERTMANAGER, CERTIFICATE, EGRESS = "alertmanager", "certificate", "egress"
DASHBOARDS, GROUPS = compose.DASHBOARDS, groups.NAME
RUN_TO_THEIR_END = (KEYS, LITELLM_DATABASE)
QUICK, PULL, HEALTHY = 30.0, 1800.0, 240.0
PUBLISHED = ("LAN_BIND", "MCP_PORT", "LITELLM_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")
LATER = ("replaced", "passwords", "project", "kept")  # what earlier versions did not remember


class Composed:
    def __init__(self, project: Project, say: Say):
        self.project, self.say = project, say
        self.file = project.compose / "compose.yaml"
        self.flat_file = project.state / "services.json"  # the same, which Compose reads ten times faster
        self.memory_file = project.state / checkout.MEMORY
        self.project_name = ""  # known once `up` has claimed it
        self.urls_here = Urls("", "")
        self.values: Mapping[str, str] = {}  # of compose/.env
        self.headers: dict[str, str] = {}  # an MCP says why it is not ready to those who have the token only

    def _compose(self, file: Path | None = None) -> list[str]:
        chosen = file or (self.flat_file if self.flat_file.exists() else self.file)
        return ["docker", "compose", "--ansi", "never", "--project-directory", str(self.project.compose), "--file", str(chosen)]

    def _run(self, *words: str, patience: float) -> str:
        return run([*self._compose(), *words], patience, env=self._environment())

    def _environment(self) -> dict[str, str]:
        """Ours, but for what compose/.env says or leaves at its default: Compose would take a shell's variable instead."""
        said = self.project.env_file.read_text(encoding="utf-8") if self.project.env_file.exists() else ""
        names = {line.partition("=")[0].strip().removeprefix("export ") for line in said.splitlines()}
        return {
            name: value
            for name, value in os.environ.items()
            if name not in names and name not in PUBLISHED and not name.startswith("COMPOSE_")
        } | {"DOCKER_BUILDKIT": "1"}

    def refuse_another(self) -> None:
        if not checkout.said_name(self.project):
            return
        try:
            found = checkout.of_project(checkout.name_of(self.project))
        except EngineError:
            return  # where no Docker answers, nobody's fleet does: what only prints addresses goes on
        self._ours(found)

    def _ours(self, found: list[checkout.Container] | None = None) -> list[checkout.Container]:
        """This folder's containers. Raises EngineError where they are another folder's."""
        name, memory = checkout.name_of(self.project), self._memory()
        found = checkout.of_project(name) if found is None else found
        checkout.refuse_another(self.project, name, found, memory["project"].get("folder", ""))
        if memory["project"].get("folder", here := str(self.project.compose)) != here:  # it was moved: a copy shall know
            self._remember(memory | {"project": {"name": name, "folder": here}})
        return found

    def _containers(self) -> dict[str, tuple[str, str]]:
        """The state of each service that has a container, and Docker's words for it. Raises EngineError where they are another folder's."""
        return {
            one.service: docker.state(one.state, one.status)
            for one in self._ours()
            if one.service not in RUN_TO_THEIR_END or not _did_its_work(one)
        }

    def last_words(self, name: str) -> str:
        try:
            said = self._run("--profile", "*", "logs", "--no-color", "--no-log-prefix", "--tail", "200", name, patience=QUICK)
        except Failed:
            return ""
        if reason := last_reason(said.splitlines()):
            return reason
        return f"{line}{docker.room_for(line)}" if (line := why(said)) else "it logged nothing"

    def _memory(self) -> dict[str, dict[str, str]]:
        try:
            said = json.loads(self.memory_file.read_text())
            return {"built": dict(said["built"]), "mounted": dict(said["mounted"]), **{name: dict(said.get(name, {})) for name in LATER}}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return {"built": {}, "mounted": {}, **{name: {} for name in LATER}}

    def _remember(self, memory: dict[str, dict[str, str]]) -> None:
        write_private(self.memory_file, json.dumps(memory, indent=1) + "\n")

    def _volumes(self) -> dict[str, str]:
        """This project's volumes, with what Docker was told to mount there: nothing where they are folders of the disk."""
        found = docker.asked(
            ["docker", "volume", "ls", "--quiet", "--filter", f"label={checkout.LABEL}.project={checkout.name_of(self.project)}"]
        )
        if isinstance(found, Failed) or not found.strip():
            return {}
        said = docker.asked(["docker", "volume", "inspect", "--format", '{{.Name}} {{index .Options "type"}}', *found.split()])
        return dict(line.split(" ", 1) for line in said.splitlines()) if isinstance(said, str) else {}

    def _remove_sockets(self) -> None:
        """Remove the volumes in memory that no container has any more: each held an MCP's socket. Docker refuses for those that are in use."""
        if sockets := [name for name, kind in self._volumes().items() if kind == "tmpfs"]:
            docker.asked(["docker", "volume", "rm", *sockets])


def _did_its_work(one: checkout.Container) -> bool:
    """It runs to its end before the others start: only one that failed is worth a word."""
    return one.status.startswith("Exited (0)") or one.state in ("created", "running")
