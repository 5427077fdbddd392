"""The fleet with Docker Compose: the generated files of compose/, started as anybody could by hand.

    checkout.py   whose a fleet is, and what this folder's is called
    composed.py   the commands, the containers, and what is remembered
    images.py     what is built, fetched and pruned; builds.py: each image on its own
    starting.py   what is created, started or told of changes; waves.py: a few at a time

Beside what `docker compose up -d` does, it knows what to build (nothing, where the inputs of an image are as they were),
which MCPs can start, and what to start anew because a mounted file changed: Compose sees neither. What was built and
mounted is remembered in compose/state/compose.json. LiteLLM comes last, and is told of what runs.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from bridge.fleet import files, targets
from bridge.fleet.audits import AUDIT_FILE
from bridge.fleet.engines import EngineError, Excerpt, Running, Started, Urls, checkout, docker
from bridge.fleet.engines.composed import (
    ALERTMANAGER,
    CERTIFICATE,
    DASHBOARDS,
    DATABASE,
    DOOR,
    EGRESS,
    GROUPS,
    KEYS,
    LITELLM,
    PROMETHEUS,
    QUICK,
)
from bridge.fleet.engines.ports import Port, refuse_taken
from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.engines.readiness import token
from bridge.fleet.engines.starting import Starting
from bridge.fleet.engines.virtual_keys import agree, given
from bridge.fleet.engines.waves import Outcome, is_lost
from bridge.fleet.environment import Environment, for_compose, own_lines, startable
from bridge.fleet.model import Fleet, release
from bridge.fleet.project import write_private
from bridge.fleet.targets import groups, litellm, prometheus
from bridge.fleet.targets.compose import LITELLM_DATABASE, flat
from bridge.settings import UsageError

OLDEST = (2, 23, 1)  # the first whose configs have a content


class Compose(Starting):
    name = "compose"

    def unavailable(self) -> str:
        if not shutil.which("docker"):
            return "Docker is not installed"
        with ThreadPoolExecutor(3) as pool:  # each takes a moment
            engine, version, buildx = pool.map(
                docker.asked,
                (
                    ["docker", "version", "--format", "{{.Server.Version}}"],
                    ["docker", "compose", "version", "--short"],
                    ["docker", "buildx", "version"],
                ),
            )
        if isinstance(engine, Failed):
            return f"no Docker engine answers ({engine.reason}): is it started, and may this user use it?"
        if isinstance(version, Failed):
            return "Docker has no 'compose' command: install docker-compose-plugin (v2)"
        if release(version) < OLDEST:
            return f"Docker Compose {version.strip()} is too old ({'.'.join(map(str, OLDEST))} is needed): update docker-compose-plugin"
        if isinstance(buildx, Failed):
            return "Docker has no BuildKit ('docker buildx'): install docker-buildx-plugin"
        return ""

    def urls(self, fleet: Fleet, environment: Environment) -> Urls:
        host = environment.reached_at
        return Urls(
            f"{environment.scheme}://{host}:{environment.port('MCP_PORT', fleet.port)}",
            f"{environment.scheme}://{host}:{environment.port('LITELLM_PORT', 4000)}",
            f"http://127.0.0.1:{environment.port('PROMETHEUS_PORT', 9090)}",
            f"http://localhost:{environment.port('GRAFANA_PORT', 3000)}" if DASHBOARDS in environment.profiles else "",
        )

    def as_here(self, fleet: Fleet, environment: Environment) -> Fleet:
        return fleet

    def refuse_taken_ports(self, fleet: Fleet, environment: Environment) -> None:
        here = self._ours() if checkout.said_name(self.project) else checkout.of_project(checkout.name_of(self.project))
        ours = (
            Port("MCP_PORT", environment.host, environment.port("MCP_PORT", fleet.port)),
            Port("LITELLM_PORT", environment.host, environment.port("LITELLM_PORT", 4000)),
            Port("PROMETHEUS_PORT", "127.0.0.1", environment.port("PROMETHEUS_PORT", 9090)),
            *([Port("GRAFANA_PORT", "127.0.0.1", environment.port("GRAFANA_PORT", 3000))] if DASHBOARDS in environment.profiles else []),
        )
        refuse_taken(ours, lambda port: any(one.publishes(port) and one.state == "running" for one in here), checkout.whose)

    def audits(self, folder: Path) -> list[Path]:
        """Out of the volumes, which the container that makes the keys has all of; it need not run for that."""
        found = [one.name for one in self._ours() if one.service == KEYS]
        if found and not isinstance(docker.asked(["docker", "cp", "--quiet", f"{found[0]}:/audit", str(folder)]), Failed):
            return sorted(folder.glob(f"audit/*/{AUDIT_FILE}"))
        return []

    def prepare(self, fleet: Fleet, names: Collection[str], environment: Environment) -> dict[str, str]:
        self.project_name = self._claim(fleet)
        failed = self._render(fleet)
        self.leaves_door = True
        self._keep(names)
        return failed | self._build([fleet[name] for name in names if name not in failed])

    def up(self, fleet: Fleet, names: Collection[str], environment: Environment) -> Started:
        wanted, left_out = startable(environment, fleet.only(names))
        self.project_name = self._claim(fleet)
        unwritten = self._render(fleet)
        write_private(self.flat_file, json.dumps(flat(fleet, [stanza.name for stanza in wanted]), indent=1) + "\n")
        if not (self.project.state / "litellm.yaml").exists():  # Docker makes a folder of a file that is missing where it is mounted
            self._write_state("litellm.yaml", litellm.config(fleet.only([stanza.name for stanza in wanted])))
        tells = bool(environment.values.get("ALERTS_TO"))
        self._write_state("prometheus.yml", prometheus.config(fleet.only([stanza.name for stanza in wanted]), all_start=True, tells=tells))
        own_lines(self.project, for_compose(environment, fleet, wanted))
        sidecars = [stanza for stanza in wanted if not stanza.is_remote]
        has_groups = bool(fleet.groups and sidecars)
        if has_groups:
            self._write_state("groups.yaml", groups.config(fleet.only([stanza.name for stanza in sidecars])))
        troubles = unwritten | self._build([stanza for stanza in sidecars if stanza.name not in unwritten], has_groups)
        own = [LITELLM_DATABASE] if fleet.litellm.database else []
        needed = {
            DATABASE: bool(own) or any(stanza.needs for stanza in sidecars),
            ALERTMANAGER: tells,
            DASHBOARDS: DASHBOARDS in environment.profiles,
            EGRESS: EGRESS not in troubles and any(stanza.reaches for stanza in sidecars),
        }
        secure = [CERTIFICATE] if environment.is_secure else []
        first = [*secure, DOOR, PROMETHEUS, *(name for name, is_needed in needed.items() if is_needed)]
        self.values = environment.values
        self._renew_keys()
        others_removed = self._end_others(
            [*first, *([GROUPS] if has_groups else []), KEYS, *own, LITELLM, *(stanza.name for stanza in sidecars), *fleet.unreadable]
        )
        if DATABASE in first:
            self._agree_on_passwords(self.project_name)
        self._take_ports(fleet, environment)
        self.urls_here = self.urls(fleet, environment)
        self.headers = token(environment)
        hashes = self._hashes()
        outcome = self._start(first, sidecars, hashes)
        if DOOR in outcome.failed or DOOR in outcome.still:
            raise EngineError(f"door: {outcome.failed.get(DOOR, 'it does not start')}\nmcp-bridge logs door")
        fit = [stanza.name for stanza in sidecars if stanza.name not in troubles]
        outcome = outcome | self._start(fit, sidecars, hashes)
        runs = [name for name, state in self._containers().items() if not is_lost(*state)]
        reachable = fleet.only([stanza.name for stanza in wanted if stanza.is_remote or stanza.name in runs])
        if has_groups and GROUPS not in troubles and any(not stanza.is_remote for stanza in reachable.stanzas):
            outcome = outcome | self._start([GROUPS], [], hashes)
        if own:
            self._agree_with_litellm()
        outcome = outcome | self._start_litellm(litellm.config(reachable), hashes)
        others_removed()
        self._forget_replaced()
        return Started(fleet.only([stanza.name for stanza in wanted]), left_out, troubles | outcome.failed, outcome.still, self._stamps())

    def give_keys(self, fleet: Fleet, environment: Environment) -> int:
        if not fleet.litellm.database:
            return 0
        key = environment.values.get("LITELLM_MASTER_KEY", "")
        return agree(fleet, self.urls(fleet, environment).litellm, key, self._litellms_database())

    def given_keys(self) -> set[str]:
        return given(self._litellms_database())

    def _litellms_database(self) -> Callable[[str], str]:
        """What runs SQL there. Raises EngineError."""
        found = {one.service: one for one in self._ours()}
        for name in (DATABASE, LITELLM):
            if name not in found or found[name].state != "running":
                raise EngineError(f"{name} does not run, so LiteLLM is told nothing of the callers")
        # As its own role: who took LiteLLM over may lay a view in a table's place, and a superuser would run the functions in that.
        psql = ["docker", "exec", "--interactive", found[DATABASE].name, "psql", "--username", "litellm", "--dbname", "litellm"]

        def query(sql: str) -> str:
            try:
                return run([*psql, "-v", "ON_ERROR_STOP=1", "-Atq"], QUICK, stdin=sql).strip()
            except Failed as error:
                raise EngineError(f"LiteLLM's database cannot be asked: {error.reason}") from None

        return query

    def _start_litellm(self, config: dict[str, Any], hashes: dict[str, str]) -> Outcome:
        """Start it with this configuration, or give it that; where it does not take it, with the one before."""
        file = self.project.state / "litellm.yaml"
        before = file.read_text(encoding="utf-8")
        self._write_state(file.name, config)
        outcome = self._start([LITELLM], [], hashes)
        if LITELLM in outcome.failed and before != file.read_text(encoding="utf-8"):
            write_private(file, before, 0o644)
            self._start([LITELLM], [], hashes)
        return outcome

    def _render(self, fleet: Fleet) -> dict[str, str]:
        """Write what follows from the stanzas, and remove what followed from those that are gone. Returns why the files of some MCPs cannot
        be written."""
        made, changed, failed = list(targets.render(fleet)), [], {}
        for file in made:
            try:
                changed += files.write(self.project.root, [file])
            except OSError as error:
                if error.errno not in files.OF_ONE_FILE or not file.path.startswith(f"{self.project.images.name}/"):
                    raise
                failed[file.path.split("/")[1]] = f"cannot be built: {files.told(error)}"
        changed += files.remove_left_over(self.project.root, made)
        if changed:
            self.say(f"rendered {len(changed)} files")
        return failed

    def _write_state(self, name: str, config: dict[str, Any]) -> None:
        """What LiteLLM is told (of the MCPs that run), and Prometheus (of all that should: it complains of the others)."""
        write_private(self.project.state / name, files.dump(config), 0o644)  # read by other users, in containers

    def _claim(self, fleet: Fleet) -> str:
        """The name of this folder's project, in compose/.env from now on. Raises EngineError where it is another folder's."""
        before = self._memory()
        known = before["project"] or ({"name": fleet.name} if self.memory_file.exists() else {})  # that of versions before 0.3
        name = checkout.claim(self.project, fleet.name, known)
        self._remember(before | {"project": {"name": name, "folder": str(self.project.compose)}})
        return name

    def _take_ports(self, fleet: Fleet, environment: Environment) -> None:
        """End what has a port that is the door's: in versions before 0.3 LiteLLM and Prometheus published their own, and the door could not start."""
        ports = [environment.port(*one) for one in (("MCP_PORT", fleet.port), ("LITELLM_PORT", 4000), ("PROMETHEUS_PORT", 9090))]
        if old := [one for one in self._ours() if one.service != DOOR and any(map(one.publishes, ports))]:
            self.say(f"ending {', '.join(one.service for one in old)}, of an earlier version: the door has their ports now")
            with suppress(Failed):  # then the door says what is in its way
                run(["docker", "rm", "--force", *(one.name for one in old)], QUICK)

    def _end_others(self, services: list[str]) -> Callable[[], None]:
        """Begin to end containers of ours that shall not run any more, by what Docker knows of them: their stanza may be gone.

        Returns what waits for that, because a server may take its time, and nothing else has to.
        """
        others = {one.name: one.service for one in checkout.of_project(self.project_name) if one.service not in services}
        if not others:
            return lambda: None
        self.say(f"ending {', '.join(dict.fromkeys(others.values()))}")
        mounted = docker.asked(["docker", "inspect", "--format", "{{range .Mounts}}{{.Name}} {{end}}", *others])
        stopping = subprocess.Popen(
            ["docker", "stop", "--time", "15", *others],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

        def removed() -> None:
            with suppress(subprocess.TimeoutExpired):
                stopping.wait(QUICK)
            try:
                run(["docker", "rm", "--force", *others], 60)
            except Failed as error:
                if left := {one.name for one in checkout.of_project(self.project_name)} & others.keys():
                    raise EngineError(f"Docker cannot end {', '.join(sorted(left))}: {error.reason}") from None
            self._remove_sockets()
            self._tell_of_unused(mounted.split() if isinstance(mounted, str) else [])

        return removed

    def _tell_of_unused(self, volumes: Collection[str]) -> None:
        """Which of these hold something that no container uses any more."""
        unused = docker.asked(["docker", "volume", "ls", "--quiet", "--filter", "dangling=true"])
        if left := sorted({*volumes} & {*unused.split()}) if isinstance(unused, str) else []:
            self.say(f"kept what the ended ones stored: `docker volume rm {' '.join(left)}` deletes it")

    def down(self, volumes: bool = False) -> None:
        """By its name, from where there is no file: whatever compose/.env and the stanzas say by now."""
        self._containers()  # refuses where they are another folder's
        command: list[str | Path] = ["docker", "compose", "--ansi", "never", "--project-name", checkout.name_of(self.project), "down"]
        try:
            run([*command, "--remove-orphans", *(["--volumes"] if volumes else [])], 180, Path("/"), self._environment())
        except Failed as error:
            raise checkout.broken("docker compose down", error.reason) from None
        self._remove_sockets()
        if volumes and (left := [*self._volumes()]):  # of MCPs that were removed: Compose does not know them any more
            docker.asked(["docker", "volume", "rm", *left])
        memory = self._memory()
        memory["mounted"] = {}
        with suppress(OSError):  # a full disk; nothing depends on it
            self._remember(memory)

    def kept(self) -> list[str]:
        return [f"volume {name}" for name, kind in self._volumes().items() if kind != "tmpfs"]

    def ps(self) -> list[Running]:
        kinds = {
            DOOR: "door",
            LITELLM: "litellm",
            PROMETHEUS: "prometheus",
            DATABASE: "database",
            ALERTMANAGER: "alertmanager",
            DASHBOARDS: "grafana",
            EGRESS: "egress",
            GROUPS: "groups",
            CERTIFICATE: "certificate",
        }
        found = [Running(name, kinds.get(name, "mcp"), *state) for name, state in self._containers().items()]
        return sorted(found, key=lambda one: (one.kind != "mcp", one.name))

    def logs(self, names: Collection[str], excerpt: Excerpt) -> int:
        there = self._containers()
        for name in names:
            if name not in there:
                raise UsageError(f"no log of {name!r} here; there are those of {', '.join(sorted(there))}")
        options = [
            *(["--follow"] if excerpt.follow else []),
            *(["--tail", str(excerpt.tail)] if excerpt.tail is not None else []),
            *(["--since", f"{excerpt.since:.3f}"] if excerpt.since else []),
            *(["--no-log-prefix"] if len(names) == 1 else []),
        ]
        return docker.printed([*self._compose(), "--profile", "*", "logs", "--no-color", *options, *names], self._environment())
