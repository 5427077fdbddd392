"""The fleet with Docker Compose: the generated files of compose/, started as anybody could by hand.

    checkout.py   whose a fleet is, and what this folder's is called
    builds.py     the images, each on its own
    waves.py      starting no more at a time than the machine can bear

Beside what `docker compose up -d` does, it knows what to build (nothing, where the inputs of an image are as they were),
which MCPs can start, and what to start anew because a mounted file changed: Compose sees neither. What was built and
mounted is remembered in compose/state/compose.json. LiteLLM comes last, and is told of what runs.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from bridge.fleet import files, targets
from bridge.fleet.audits import AUDIT_FILE
from bridge.fleet.engines import EngineError, Excerpt, Running, Say, Started, Urls, build_cache, checkout, docker
from bridge.fleet.engines import litellm as engines_litellm
from bridge.fleet.engines.builds import Build, build
from bridge.fleet.engines.ports import Port, refuse_taken
from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.engines.readiness import last_reason, that_were_given_up, token
from bridge.fleet.engines.reason import why
from bridge.fleet.engines.waves import Outcome, Waves, is_lost
from bridge.fleet.environment import PASSWORDS, Environment, for_compose, own_lines, startable
from bridge.fleet.model import Fleet, release
from bridge.fleet.project import Project, private, write_private
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets import litellm, prometheus
from bridge.fleet.targets.compose import OWN_KEYS, flat, named_in
from bridge.settings import UsageError

OLDEST = (2, 23, 1)  # the first whose configs have a content
DOOR, LITELLM, PROMETHEUS, DATABASE, KEYS = "door", "litellm", "prometheus", "database", "keys"
QUICK, PULL, HEALTHY = 30.0, 1800.0, 240.0
NEW_PASSWORDS = """psql -v ON_ERROR_STOP=1 -q -U "$POSTGRES_USER" -d "$POSTGRES_DB" \\
--set own="$(cat /run/keys/POSTGRES_PASSWORD)" --set reader="$(cat /run/keys/POSTGRES_READER_PASSWORD)" <<'SQL'
alter role :"USER" password :'own';
alter role mcp_reader password :'reader';
SQL
"""  # by its socket, where the image trusts everybody who is inside
PUBLISHED = ("LAN_BIND", "MCP_PORT", "LITELLM_PORT", "PROMETHEUS_PORT")
TOO_OFTEN = 2  # restarts in one `up`, after which a container is not waited for
NEVER_STARTED = "Created"  # Docker's word; an `up` that was interrupted leaves such
LATER = ("replaced", "passwords", "project")  # what earlier versions did not remember


class Compose:
    name = "compose"

    def __init__(self, project: Project, say: Say):
        self.project, self.say = project, say
        self.file = project.compose / "compose.yaml"
        self.flat_file = project.state / "services.json"  # the same, which Compose reads ten times faster
        self.memory_file = project.state / "compose.json"
        self.project_name = ""  # known once `up` has claimed it
        self.urls_here = Urls("", "")
        self.headers: dict[str, str] = {}  # an MCP says why it is not ready to those who have the token only

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
            f"http://{host}:{environment.port('MCP_PORT', fleet.port)}",
            f"http://{host}:{environment.port('LITELLM_PORT', 4000)}",
            f"http://127.0.0.1:{environment.port('PROMETHEUS_PORT', 9090)}",
        )

    def as_here(self, fleet: Fleet, environment: Environment) -> Fleet:
        return fleet

    def refuse_taken_ports(self, fleet: Fleet, environment: Environment) -> None:
        here = checkout.of_project(checkout.name_of(self.project))
        ours = (
            Port("MCP_PORT", environment.host, environment.port("MCP_PORT", fleet.port)),
            Port("LITELLM_PORT", environment.host, environment.port("LITELLM_PORT", 4000)),
            Port("PROMETHEUS_PORT", "127.0.0.1", environment.port("PROMETHEUS_PORT", 9090)),
        )
        refuse_taken(ours, lambda port: any(one.publishes(port) and one.state == "running" for one in here), checkout.whose)

    def missing(self, fleet: Fleet, names: Collection[str]) -> list[str]:
        """Images that many need. What is built already needs none; what one MCP alone needs is its own trouble."""
        wanted = [stanza for stanza in fleet.sidecars if stanza.name in names]
        bases = [fleet.python_image, *([fleet.node_image] if any(stanza.kind == "node" for stanza in wanted) else [])]
        here, project = docker.images(), checkout.name_of(self.project)
        is_built = all(f"{project}-{name}:latest" in here for name in (DOOR, *(stanza.name for stanza in wanted)))
        needed = [
            *([] if is_built else bases),
            fleet.python_image,
            fleet.litellm.image_name,
            fleet.prometheus_image,
            *([fleet.postgres_image] if any(stanza.needs for stanza in wanted) else []),
        ]
        return [
            image
            for image in map(fleet.pinned, dict.fromkeys(needed))
            if not (image in here or f"{image}:latest" in here or docker.has_image(image))
        ]

    def fetch(self, images: Collection[str]) -> str:
        for image in images:
            self.say(f"pulling {image}")
            try:
                run(["docker", "pull", "--quiet", image], PULL)
            except Failed as error:
                return f"the image {image} is not here and cannot be pulled ({error.reason})"
        return ""

    def made_keys(self) -> dict[str, str]:
        """The fleet's own keys as they were made by a start without compose/.env; empty where there were none.

        Asked of the containers of this folder, whatever their project is called, because only they show whose volumes those are.
        """
        try:
            found = checkout.containers(
                f"label={checkout.LABEL}.project.working_dir={self.project.compose}", f"label={checkout.LABEL}.service={KEYS}"
            )
        except EngineError:  # no Docker
            return {}
        with tempfile.TemporaryDirectory() as folder:
            if not found or isinstance(docker.asked(["docker", "cp", "--quiet", f"{found[0].name}:/keys", folder]), Failed):
                return {}
            return {path.name: path.read_text() for path in Path(folder).glob("keys/*/*") if path.name in OWN_KEYS}

    def audits(self, folder: Path) -> list[Path]:
        """Out of the volumes, which the container that makes the keys has all of; it need not run for that."""
        found = [one.name for one in checkout.of_project(checkout.name_of(self.project)) if one.service == KEYS]
        if found and not isinstance(docker.asked(["docker", "cp", "--quiet", f"{found[0]}:/audit", str(folder)]), Failed):
            return sorted(folder.glob(f"audit/*/{AUDIT_FILE}"))
        return []

    # ---- up

    def up(self, fleet: Fleet, names: Collection[str], environment: Environment) -> Started:
        wanted, left_out = startable(environment, fleet.only(names))
        self.project_name = self._claim(fleet)
        self._render(fleet)
        if not (self.project.state / "litellm.yaml").exists():  # Docker makes a folder of a file that is missing where it is mounted
            self._write_state("litellm.yaml", litellm.config(fleet.only([stanza.name for stanza in wanted])))
        self._write_state("prometheus.yml", prometheus.config(fleet.only([stanza.name for stanza in wanted]), all_start=True))
        own_lines(self.project, for_compose(environment, fleet, wanted))
        sidecars = [stanza for stanza in wanted if not stanza.is_remote]
        troubles = self._build(sidecars)
        first = [DOOR, PROMETHEUS, *([DATABASE] if any(stanza.needs for stanza in sidecars) else [])]
        self.values = environment.values
        self._renew_keys()
        others_removed = self._end_others([*first, KEYS, LITELLM, *(stanza.name for stanza in sidecars)])
        if DATABASE in first:
            self._agree_on_passwords(self.project_name)
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
        outcome = outcome | self._start_litellm(litellm.config(reachable), hashes)
        others_removed()
        self._forget_replaced()
        return Started(fleet.only([stanza.name for stanza in wanted]), left_out, troubles | outcome.failed, outcome.still, self._stamps())

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

    def _render(self, fleet: Fleet) -> None:
        """Write what follows from the stanzas, and remove what followed from those that are gone."""
        made = list(targets.render(fleet))
        changed = files.write(self.project.root, made) + files.remove_left_over(self.project.root, made)
        write_private(self.flat_file, json.dumps(flat(fleet), indent=1) + "\n")
        if changed:
            self.say(f"rendered {len(changed)} files")

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

    def _build(self, sidecars: list[Stanza]) -> dict[str, str]:
        """Build the images whose inputs are not what they were made from. Returns why some cannot be. Raises EngineError if the door cannot."""
        memory, here = self._memory(), docker.images()
        shared = files.digest([self.project.root / "bridge", self.project.images / "bridge.lock", self.project.images / "installer.lock"])
        inputs = {
            DOOR: files.digest([self.project.compose / "door"]),
            **{stanza.name: shared + files.digest([self.project.folder(stanza)], ("stanza.yaml",)) for stanza in sidecars},
        }
        todo = [name for name, digest in inputs.items() if memory["built"].get(name) != digest or self._image(name) not in here]
        if not todo:
            return {}
        if not (self.project.root / "bridge").is_dir():
            raise EngineError(
                f"images are built from a clone of mcp-bridge, and {self.project.root} has no 'bridge' in it: --engine embedded needs none"
            )
        self.say(f"building {', '.join(todo)}")
        tags = {self._image(name) for name in todo}
        memory["replaced"] |= {id: tag for tag, id in here.items() if tag in tags}
        logs = private(self.project.state / "build")

        def built(name: str) -> None:
            memory["built"][name] = inputs[name]
            self._remember(memory)

        def command(name: str) -> list[str]:
            return [*self._compose(self.project.compose / f"{name}.yaml"), "--profile", "*", "--progress", "plain", "build", name]

        self._remember(memory)
        failed = build([Build(name, command(name), logs / f"{name}.log") for name in todo], self._environment(), self.say, built)
        docker.refuse_without_engine(failed)
        if DOOR in failed:
            raise EngineError(
                f"the image of the door, which all MCPs stand behind, cannot be built: {failed[DOOR]}\nall of it: {logs / 'door.log'}"
            )
        return {name: f"cannot be built: {said}{docker.room_for(said)} (all of it: {logs / name}.log)" for name, said in failed.items()}

    def _image(self, name: str) -> str:
        return f"{self.project_name}-{name}:latest"

    def _forget_replaced(self) -> None:
        """Remove the images that newer ones have replaced, but those that somebody has given another name, or uses."""
        memory = self._memory()
        if not memory["replaced"]:
            return
        for id in memory["replaced"].keys() - docker.images().values():
            docker.asked(["docker", "image", "rm", id])
        memory["replaced"] = {}
        self._remember(memory)

    def _end_others(self, services: list[str]) -> Callable[[], None]:
        """Begin to end containers of ours that shall not run any more, by what Docker knows of them: their stanza may be gone.

        Returns what waits for that, because a server may take its time, and nothing else has to.
        """
        others = {one.name: one.service for one in checkout.of_project(self.project_name) if one.service not in services}
        if not others:
            return lambda: None
        self.say(f"ending {', '.join(dict.fromkeys(others.values()))}")
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

        return removed

    def _agree_on_passwords(self, project: str) -> None:
        """Give a database that is older than compose/.env (that of an earlier checkout) the passwords of now."""
        memory = self._memory()
        now = self._digest_of(PASSWORDS)
        if memory["passwords"].get(DATABASE) == now:
            return None
        volume = docker.asked(["docker", "volume", "ls", "--quiet", "--filter", f"name=^{project}_{DATABASE}$"])
        if volume:
            self.say("the database may be older than compose/.env: it gets the passwords of now")
            try:
                self._run("up", "--detach", "--no-build", "--force-recreate", "--wait", DATABASE, patience=HEALTHY)
                self._run("exec", "--no-TTY", DATABASE, "bash", "-c", NEW_PASSWORDS, patience=QUICK)
            except Failed as error:
                return self.say(f"the database does not take the passwords of compose/.env: {error.reason}")
        memory["passwords"] = {DATABASE: now}
        return self._remember(memory)

    def _start(self, services: list[str], sidecars: list[Stanza], hashes: dict[str, str]) -> Outcome:
        """Create and start those that are not as they should be, and wait for all."""
        mounted = self._mounted(services, sidecars)
        there, memory = checkout.details(self.project_name), self._memory()
        images, states = docker.images(), self._containers()
        stale = [name for name in services if name in there and memory["mounted"].get(name, mounted[name]) != mounted[name]]
        given_up = that_were_given_up([name for name in services if name in states], self._asked_at, self.headers)

        def is_changed(name: str) -> bool:
            one = there.get(name)
            return one is None or one.hash != hashes.get(name) or one.image != images.get(self._image(name), one.image)

        def create(wave: list[str]) -> dict[str, str]:
            anew = [name for name in wave if name in (*stale, *given_up) and not is_changed(name)]
            others = [name for name in wave if name not in (*made, *anew)]
            failed = self._begun([name for name in wave if name in made]) | self._renewed(anew) | self._created(others)
            now = self._memory()
            self._remember(now | {"mounted": now["mounted"] | {name: mounted[name] for name in wave if name not in failed}})
            return failed

        def is_right(name: str) -> bool:
            state, detail = states.get(name, ("down", ""))
            return not (is_changed(name) or name in (*stale, *given_up) or is_lost(state, detail) or detail == NEVER_STARTED)

        todo = [name for name in services if not is_right(name)]
        if todo:
            self.say(f"starting {', '.join(todo)}{f' (because its files changed: {chr(44).join(stale)})' if stale else ''}")
        new = [stanza.name for stanza in sidecars if stanza.name in todo and stanza.name not in there]
        failed = self._created(new, "--no-start")  # all at once: Compose reads and asks anew of the whole fleet each time
        made = [name for name in new if name not in failed]
        waves = Waves(create, self._watched(), self._asked_at, self.last_words, self.say, self.headers)
        waiting = [name for name in services if name not in todo and states[name][0] != "up"]
        return Outcome(failed) | waves.run([name for name in todo if name not in failed], waiting)

    def _watched(self) -> Callable[[], dict[str, tuple[str, str]]]:
        """The containers' states; one that ends again and again while it is looked at is down: between two ends each looks as if it started."""
        first: dict[str, int] = {}

        def states() -> dict[str, tuple[str, str]]:
            found = self._containers()
            for name, one in checkout.details(self.project_name).items():
                more = int(one.restarts) - first.setdefault(name, int(one.restarts))
                if more >= TOO_OFTEN and found.get(name, ("", ""))[0] == "starting":
                    found[name] = "down", f"ended {more} times as soon as it was started"
            return found

        return states

    def _created(self, names: list[str], *options: str) -> dict[str, str]:
        """Let Compose create and start these. Returns why some cannot be."""
        # With --no-deps Compose makes containers that it takes for changed at the next plain `docker compose up`.
        return docker.for_all(
            names, lambda some: self._run("--profile", "*", "up", "--detach", "--no-build", *options, *some, patience=HEALTHY)
        )

    def _begun(self, names: list[str]) -> dict[str, str]:
        """Start containers that Compose has created. What they depend on runs: the door came first. Returns why some cannot be."""
        containers = {one.service: one.name for one in checkout.of_project(self.project_name)} if names else {}
        return docker.for_all(names, lambda some: run(["docker", "start", *(containers.get(name, name) for name in some)], HEALTHY))

    def _renewed(self, names: list[str]) -> dict[str, str]:
        """Let these run with what is mounted now, which a container sees when it starts. LiteLLM is told. Returns why some cannot."""
        containers = {one.service: one.name for one in checkout.of_project(self.project_name)} if names else {}

        def restart(some: list[str]) -> None:
            run(["docker", "stop", "--time", "15", *(containers[name] for name in some)], HEALTHY)  # many at once, as `restart` does not
            run(["docker", "start", *(containers[name] for name in some)], HEALTHY)

        refusal = self._give_litellm(containers[LITELLM]) if LITELLM in names else None
        failed = {LITELLM: refusal} if refusal else {}
        return failed | docker.for_all([name for name in names if name != LITELLM or refusal is None], restart)

    def _give_litellm(self, container: str) -> str | None:
        """Give it its new configuration, which takes a second, where a start takes ten. Returns why it refuses; None if it must be started."""
        try:
            config = (self.project.state / "litellm.yaml").read_text(encoding="utf-8")
            run(["docker", "exec", "--interactive", container, "python3", "/litellm_server.py", "--take"], HEALTHY, stdin=config)
        except Failed as error:
            if error.code == engines_litellm.REFUSES:
                return engines_litellm.refused(error.printed)
            why_not = "it ended as it took its new configuration" if error.reason.startswith("exit code") else error.reason
            self.say(f"LiteLLM is started anew: {why_not}")
            return None
        return ""

    def _hashes(self) -> dict[str, str]:
        """What each service's definition is now, as its container's label says it."""
        said = docker.asked([*self._compose(), "--profile", "*", "config", "--hash", "*"], self._environment())
        return dict(line.split() for line in said.splitlines() if line.count(" ") == 1) if isinstance(said, str) else {}

    def _asked_at(self, name: str) -> str:
        urls = self.urls_here
        return {
            LITELLM: f"{urls.litellm}/health/liveliness",
            PROMETHEUS: f"{urls.prometheus}/-/ready",
            DOOR: f"{urls.mcps}/healthz",
            DATABASE: "",
        }.get(name, f"{urls.mcps}/{name}/readyz")

    def _stamps(self) -> dict[str, str]:
        """What tells each container of now from one that is created or started later."""
        return {name: one.stamp for name, one in checkout.details(self.project_name).items()}

    def _mounted(self, services: list[str], sidecars: list[Stanza]) -> dict[str, str]:
        """A digest of the files that are mounted into each service: what is replaced on disk stays as it was in a container."""
        state = self.project.state
        own = {
            LITELLM: [state / "litellm.yaml"],
            PROMETHEUS: [state / "prometheus.yml", self.project.compose / "alerts.yml"],
            DOOR: [],
            DATABASE: [],
        }
        own |= {stanza.name: [self.project.secret(stanza, name) for name in stanza.secrets] for stanza in sidecars}
        keys = {LITELLM: self._all_keys(), **{name: ["BRIDGE_TOKEN"] for name in (DOOR, *(stanza.name for stanza in sidecars))}}
        return {name: files.digest(own[name]) + self._digest_of(keys.get(name, [])) for name in services}

    def _renew_keys(self) -> None:
        """Let the service that makes the keys know those of compose/.env: its container keeps those that it was made with."""
        memory, now = self._memory(), self._digest_of(self._all_keys())
        before = memory["mounted"].get(KEYS)
        by_hand = before is None and any(self.values.get(name) != value for name, value in self.made_keys().items())
        if by_hand or before not in (None, now):
            try:
                self._run("up", "--detach", "--no-build", "--force-recreate", KEYS, patience=HEALTHY)
            except Failed as error:
                raise EngineError(f"the keys cannot be made: {docker.compose_error(error.printed)}") from None
        anew = dict.fromkeys(checkout.details(self.project_name), "") if by_hand else {}
        self._remember(memory | {"mounted": memory["mounted"] | anew | {KEYS: now}})

    def _all_keys(self) -> list[str]:
        """The fleet's own, and the variables that LiteLLM's config names."""
        return list(dict.fromkeys([*OWN_KEYS, *named_in(yaml.safe_load((self.project.state / "litellm.yaml").read_text()))]))

    def _digest_of(self, names: Collection[str]) -> str:
        return hashlib.sha256("\0".join(self.values.get(name, "") for name in names).encode()).hexdigest()[:32]

    # ---- down, ps, logs, prune

    def down(self, volumes: bool = False) -> None:
        self._containers()  # refuses where they are another folder's
        try:
            self._run("--profile", "*", "down", "--remove-orphans", *(["--volumes"] if volumes else []), patience=180)
        except Failed as error:
            raise checkout.broken("docker compose down", error.reason) from None
        self._remove_sockets()
        memory = self._memory()
        memory["mounted"] = {}
        self._remember(memory)

    def kept(self) -> list[str]:
        return [f"volume {name}" for name, kind in self._volumes().items() if kind != "tmpfs"]

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

    def built(self) -> str:
        images = self._built_images()
        return f"also kept: {len(images)} images and what Docker remembers of their making: `mcp-bridge prune` frees both" if images else ""

    def _built_images(self) -> dict[str, str]:
        """This project's images that no container uses, with their ids."""
        name = checkout.name_of(self.project)
        used = {one.image for one in checkout.details(name).values()}
        return {tag: id for tag, id in docker.images().items() if tag.startswith(f"{name}-") and id not in used}

    def prune(self, fleet: Fleet) -> str:
        self._containers()  # refuses where they are another folder's
        images = self._built_images()
        if images:
            with suppress(Failed):  # of those that it cannot remove; the others it does
                run(["docker", "image", "rm", *images], HEALTHY)
        memory = self._memory()
        self._remember(
            memory
            | {
                "built": {
                    name: digest
                    for name, digest in memory["built"].items()
                    if f"{checkout.name_of(self.project)}-{name}:latest" not in images
                }
            }
        )
        freed = build_cache.free(fleet, self.project)
        return f"removed {len(images)} images that nothing uses; freed {freed} of build cache"

    def ps(self) -> list[Running]:
        kinds = {DOOR: "door", LITELLM: "litellm", PROMETHEUS: "prometheus", DATABASE: "database"}
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
        command = [*self._compose(), "--profile", "*", "logs", "--no-color", *options, *names]
        try:
            if sys.stdout.isatty():
                return subprocess.call(command, env=self._environment())
            return docker.printed_plainly(command, self._environment())
        except KeyboardInterrupt:
            return 0

    # ---- docker

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

    def _containers(self) -> dict[str, tuple[str, str]]:
        """The state of each service that has a container, and Docker's words for it. Raises EngineError where they are another folder's."""
        name, memory = checkout.name_of(self.project), self._memory()
        found = checkout.of_project(name)
        checkout.refuse_another(self.project, name, found, memory["project"].get("folder", ""))
        if memory["project"].get("folder", here := str(self.project.compose)) != here:  # it was moved: a copy shall know
            self._remember(memory | {"project": {"name": name, "folder": here}})
        return {one.service: docker.state(one.state, one.status) for one in found if one.service != KEYS or not _did_its_work(one)}

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


def _did_its_work(keys: checkout.Container) -> bool:
    """It runs to its end before the others start: only one that failed is worth a word."""
    return keys.status.startswith("Exited (0)") or keys.state in ("created", "running")
