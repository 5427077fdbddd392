"""The fleet with Docker Compose: the generated files of compose/, started as anybody could by hand.

Beside what `docker compose up -d` does, it knows what to build (nothing, where the inputs of an image are as they were),
which MCPs can start, and what to start anew because a mounted file changed: Compose sees neither. What was built and
mounted is remembered in compose/state/compose.json.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bridge.fleet import files
from bridge.fleet.ask import Http, Silence
from bridge.fleet.engines import Broken, Running, Say, Started, Urls, checkout
from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.environment import PASSWORDS, TOKEN, Environment, for_compose, own_lines, startable
from bridge.fleet.model import Fleet, release
from bridge.fleet.project import Project, private, write_private
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets import litellm, prometheus
from bridge.settings import UsageError

OLDEST = (2, 20, 0)  # the first that knows `include`
DOOR, LITELLM, PROMETHEUS, DATABASE = "door", "litellm", "prometheus", "database"
SHARED = (DOOR, LITELLM, PROMETHEUS)
QUICK, PULL, BUILD, HEALTHY = 30.0, 1800.0, 3600.0, 240.0
NEW_PASSWORDS = """psql -v ON_ERROR_STOP=1 -q -U "$POSTGRES_USER" -d "$POSTGRES_DB" \\
--set own="$(cat /run/secrets/postgres_password)" --set reader="$(cat /run/secrets/postgres_reader_password)" <<'SQL'
alter role :"USER" password :'own';
alter role mcp_reader password :'reader';
SQL
"""  # by its socket, where the image trusts everybody who is inside
CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
PUBLISHED = ("LAN_BIND", "MCP_PORT", "LITELLM_PORT", "PROMETHEUS_PORT")
LATER = ("replaced", "passwords", "project")  # what earlier versions did not remember
EVERY = 5.0  # seconds between two lines of progress


class Compose:
    name = "compose"

    def __init__(self, project: Project, say: Say):
        self.project, self.say = project, say
        self.file = project.compose / "compose.yaml"
        self.memory_file = project.state / "compose.json"

    def unavailable(self) -> str:
        if not shutil.which("docker"):
            return "Docker is not installed"
        with ThreadPoolExecutor(3) as pool:  # each takes a moment
            engine, version, buildx = pool.map(_asked, (["docker", "version", "--format", "{{.Server.Version}}"],
                                                        ["docker", "compose", "version", "--short"], ["docker", "buildx", "version"]))
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
        return Urls(f"http://{host}:{environment.port('MCP_PORT', fleet.port)}", f"http://{host}:{environment.port('LITELLM_PORT', 4000)}",
                    f"http://127.0.0.1:{environment.port('PROMETHEUS_PORT', 9090)}")

    def as_here(self, fleet: Fleet, environment: Environment) -> Fleet:
        return fleet

    def lacks(self, fleet: Fleet, names: Collection[str]) -> str:
        """Pull the base images that are not here. What is built already needs none."""
        wanted = [stanza for stanza in fleet.sidecars if stanza.name in names]
        bases = [fleet.python_image, *([fleet.node_image] if any(stanza.kind == "node" for stanza in wanted) else []),
                 *(stanza.image for stanza in wanted if stanza.image)]
        here, project = _images(), checkout.name_of(self.project)
        is_built = all(f"{project}-{name}:latest" in here for name in (DOOR, *(stanza.name for stanza in wanted)))
        needed = [*([] if is_built else bases), fleet.litellm.image_name, fleet.prometheus_image,
                  *([fleet.postgres_image] if any(stanza.needs for stanza in wanted) else [])]
        for image in dict.fromkeys(needed):
            if image in here or f"{image}:latest" in here or isinstance(_asked(["docker", "image", "inspect", image]), str):
                continue
            self.say(f"pulling {image}")
            try:
                run(["docker", "pull", "--quiet", image], PULL)
            except Failed as error:
                return f"the image {image} is not here and cannot be pulled ({error.reason})"
        return ""

    # ---- up

    def up(self, fleet: Fleet, names: Collection[str], environment: Environment) -> Started:
        wanted, left_out = startable(environment, fleet.only(names))
        started = Started(fleet.only([stanza.name for stanza in wanted]), left_out)
        if changed := files.write(self.project.root, fleet.render()):
            self.say(f"rendered {len(changed)} files")
        private(self.project.state)
        name = self._claim(fleet)
        checkout.refuse_taken_ports(name, _ports(fleet, environment))
        self._configure(started.fleet)
        own_lines(self.project, for_compose(environment, fleet, wanted))
        sidecars = started.fleet.sidecars
        self._build(name, sidecars)
        services = [stanza.name for stanza in sidecars] + list(SHARED) + ([DATABASE] if any(stanza.needs for stanza in sidecars) else [])
        self._end_others(services)
        if DATABASE in services:
            self._agree_on_passwords(name)
        self._start(services, sidecars)
        self._wait(services, self.urls(fleet, environment), environment.values.get("BRIDGE_TOKEN", ""))
        self._forget_replaced()
        return started

    def _configure(self, fleet: Fleet) -> None:
        """What LiteLLM and Prometheus are told: of the started MCPs only."""
        for name, config in (("litellm.yaml", litellm.config(fleet)), ("prometheus.yml", prometheus.config(fleet, all_start=True))):
            write_private(self.project.state / name, files.dump(config), 0o644)  # read by other users, in containers

    def _claim(self, fleet: Fleet) -> str:
        """The name of this folder's project, in compose/.env from now on. Raises Broken where it is another folder's."""
        before = self._memory()
        known = before["project"] or ({"name": fleet.name} if self.memory_file.exists() else {})  # that of versions before 0.3
        name = checkout.claim(self.project, fleet.name, known)
        self._remember(before | {"project": {"name": name, "folder": str(self.project.compose)}})
        return name

    def _build(self, project: str, sidecars: list[Stanza]) -> None:
        """Build the images whose inputs are not what they were made from. Raises Broken."""
        memory, here = self._memory(), _images()
        shared = _digest([self.project.root / "bridge", self.project.images / "bridge.lock", self.project.images / "installer.lock"])
        inputs = {DOOR: _digest([self.project.compose / "door"]),
                  **{stanza.name: shared + _digest([self.project.folder(stanza)], ("stanza.yaml",)) for stanza in sidecars}}
        todo = [name for name, digest in inputs.items() if memory["built"].get(name) != digest or f"{project}-{name}:latest" not in here]
        if not todo:
            return
        if not (self.project.root / "bridge").is_dir():
            raise Broken(f"images are built from a clone of mcp-bridge, and {self.project.root} has no 'bridge' in it: --engine embedded needs none")
        self.say(f"building {', '.join(todo)}")
        tags = {f"{project}-{name}:latest" for name in todo}
        memory["replaced"] |= {id: tag for tag, id in here.items() if tag in tags}
        try:
            self._watch([*self._compose(), "--profile", "*", "--progress", "plain", "build", *todo], self.project.state / "build.log")
        except Failed as error:
            raise Broken(f"an image cannot be built: {_build_error(error.printed)}\nall of it: {self.project.state / 'build.log'}") from None
        memory["built"] |= {name: inputs[name] for name in todo}
        self._remember(memory)

    def _forget_replaced(self) -> None:
        """Remove the images that newer ones have replaced, but those that somebody has given another name, or uses."""
        memory = self._memory()
        if not memory["replaced"]:
            return
        for id in memory["replaced"].keys() - _images().values():
            _asked(["docker", "image", "rm", id])
        memory["replaced"] = {}
        self._remember(memory)

    def _watch(self, command: list[str], log: Path) -> None:
        """Run a long command with its output in `log`, and say every few seconds where it is. Raises Failed."""
        began = shown = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self._environment(), start_new_session=True)
            try:
                while process.poll() is None:
                    if time.monotonic() - began > BUILD:
                        raise Failed(command, f"none after {BUILD:g} s", "")
                    if time.monotonic() - shown > EVERY:
                        shown = time.monotonic()
                        self.say(_step(log) or "building")
                    time.sleep(0.1)
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait(20)
        if process.returncode:
            raise Failed(command, process.returncode, log.read_text(errors="replace"))

    def _end_others(self, services: list[str]) -> None:
        """Containers of ours that shall not run any more."""
        others = [name for name in self._containers() if name not in services]
        if others:
            self.say(f"ending {', '.join(others)}")
            try:
                self._run("--profile", "*", "rm", "--stop", "--force", *others, patience=120)
            except Failed as error:
                raise Broken(f"Docker Compose cannot end {', '.join(others)}: {_compose_error(error.printed)}") from None

    def _agree_on_passwords(self, project: str) -> None:
        """Give a database that is older than compose/.env (that of an earlier checkout) the passwords of now."""
        memory = self._memory()
        now = _digest(self.project.secrets / name for name in PASSWORDS)
        if memory["passwords"].get(DATABASE) == now:
            return
        volume = _asked(["docker", "volume", "ls", "--quiet", "--filter", f"name=^{project}_{DATABASE}$"])
        if volume:
            self.say("the database may be older than compose/.env: it gets the passwords of now")
            try:
                self._run("up", "--detach", "--no-build", "--force-recreate", "--wait", DATABASE, patience=HEALTHY)
                self._run("exec", "--no-TTY", DATABASE, "bash", "-c", NEW_PASSWORDS, patience=QUICK)
            except Failed as error:
                return self.say(f"the database does not take the passwords of compose/.env: {error.reason}")
        memory["passwords"] = {DATABASE: now}
        return self._remember(memory)

    def _start(self, services: list[str], sidecars: list[Stanza]) -> None:
        """Create and start what is not as it should be. Raises Broken."""
        memory = self._memory()
        mounted = self._mounted(services, sidecars)
        exist = self._containers()
        stale = [name for name in services if name in exist and memory["mounted"].get(name, mounted[name]) != mounted[name]]
        try:
            if stale:
                self.say(f"starting anew, because its files changed: {', '.join(stale)}")
                self._run("up", "--detach", "--no-build", "--no-deps", "--force-recreate", *stale, patience=HEALTHY)
            self._run("up", "--detach", "--no-build", "--remove-orphans", *services, patience=HEALTHY)
        except Failed as error:
            broken = [name for name, (state, _) in self._containers().items() if state == "down"]
            reasons = "\n".join(f"  {name}: {self._last_words(name)}" for name in broken)
            raise Broken(f"Docker Compose cannot start the fleet: {_compose_error(error.printed)}{_taken_port(error.printed)}\n{reasons}".rstrip()) from None
        memory["mounted"] = mounted
        self._remember(memory)

    def _mounted(self, services: list[str], sidecars: list[Stanza]) -> dict[str, str]:
        """A digest of the files that are mounted into each service: what is replaced on disk stays as it was in a container."""
        secrets, state = self.project.secrets, self.project.state
        own = {LITELLM: [state / "litellm.yaml"], PROMETHEUS: [state / "prometheus.yml", self.project.compose / "alerts.yml", secrets / TOKEN],
               DOOR: [secrets / TOKEN], DATABASE: []}
        own |= {stanza.name: [secrets / TOKEN, *(secrets / stanza.stored(name) for name in stanza.secrets)] for stanza in sidecars}
        return {name: _digest(own[name]) for name in services}

    def _wait(self, services: list[str], urls: Urls, token: str = "") -> None:
        """Until every service answers, or is certainly not going to. Raises Broken where one that all others need does not.

        Docker looks at their health every ten seconds only, so those that can be asked from here are asked.
        """
        asked = {LITELLM: f"{urls.litellm}/health/liveliness", PROMETHEUS: f"{urls.prometheus}/-/ready", DOOR: f"{urls.mcps}/healthz", DATABASE: ""}
        waiting, states, given_up = list(services), self._containers(), {}
        began = shown = looked = time.monotonic()
        with Http() as http:
            while True:
                waiting = [name for name in waiting if states.get(name, ("starting", ""))[0] == "starting"
                           and not _is_settled(http, name, asked.get(name, f"{urls.mcps}/{name}/readyz"), given_up, token if name not in asked else "")]
                now = time.monotonic()
                if not waiting or now - began > HEALTHY:
                    break
                if now - shown > EVERY:
                    shown = now
                    self.say(f"waiting for {', '.join(waiting)}")
                time.sleep(0.25)
                if now - looked > 1:
                    looked, states = now, self._containers()
        for name in services:
            state, detail = states.get(name, ("down", "not there"))
            if name in given_up:
                self.say(f"{name}: given up: {given_up[name]}")
            elif state == "down" or name in waiting:
                why = f"{name}: {detail}: {self._last_words(name)}"
                if name in SHARED:
                    raise Broken(f"{why}\nmcp-bridge logs {name}")
                self.say(why)

    # ---- down, ps, logs

    def down(self, volumes: bool = False) -> None:
        self._containers()  # refuses where they are another folder's
        try:
            self._run("--profile", "*", "down", "--remove-orphans", *(["--volumes"] if volumes else []), patience=180)
        except Failed as error:
            raise Broken(f"docker compose down: {error.reason}") from None
        memory = self._memory()
        memory["mounted"] = {}
        self._remember(memory)

    def ps(self) -> list[Running]:
        kinds = {DOOR: "door", LITELLM: "litellm", PROMETHEUS: "prometheus", DATABASE: "database"}
        found = [Running(name, kinds.get(name, "mcp"), *told) for name, told in self._containers().items()]
        return sorted(found, key=lambda one: (one.kind != "mcp", one.name))

    def logs(self, name: str, follow: bool) -> int:
        if name not in (there := self._containers()):
            raise UsageError(f"no log of {name!r} here; there are those of {', '.join(sorted(there))}")
        command = [*self._compose(), "--profile", "*", "logs", "--no-color", "--no-log-prefix", *(["--follow"] if follow else []), name]
        try:
            if sys.stdout.isatty():
                return subprocess.call(command, env=self._environment())
            return _printed_plainly(command, self._environment())
        except KeyboardInterrupt:
            return 0

    # ---- docker

    def _compose(self) -> list[str]:
        return ["docker", "compose", "--ansi", "never", "--file", str(self.file)]

    def _run(self, *words: str, patience: float) -> str:
        return run([*self._compose(), *words], patience, env=self._environment())

    def _environment(self) -> dict[str, str]:
        """Ours, but for what compose/.env says or leaves at its default: Compose would take a shell's variable instead."""
        said = self.project.env_file.read_text(encoding="utf-8") if self.project.env_file.exists() else ""
        names = {line.partition("=")[0].strip().removeprefix("export ") for line in said.splitlines()}
        return {name: value for name, value in os.environ.items() if name not in names and name not in PUBLISHED and not name.startswith("COMPOSE_")} | {"DOCKER_BUILDKIT": "1"}

    def _containers(self) -> dict[str, tuple[str, str]]:
        """The state of each service that has a container, and Docker's words for it. Raises Broken where they are another folder's."""
        name, memory = checkout.name_of(self.project), self._memory()
        found = checkout.of_project(name)
        checkout.refuse_another(self.project, name, found, memory["project"].get("folder", ""))
        if memory["project"].get("folder", here := str(self.project.compose)) != here:  # it was moved: a copy shall know
            self._remember(memory | {"project": {"name": name, "folder": here}})
        return {one.service: _state(one.state, one.status) for one in found}

    def _last_words(self, name: str) -> str:
        try:
            said = self._run("--profile", "*", "logs", "--no-color", "--no-log-prefix", "--tail", "8", name, patience=QUICK)
        except Failed:
            return ""
        lines = [line.strip() for line in _plain(said).splitlines() if line.strip()]
        bad = [line for line in lines if any(word in line.lower() for word in ("error", "cannot", "fatal", "refuse", "exited", "no such", "needs"))]
        return (bad or lines or ["it logged nothing"])[-1][:300]

    def _memory(self) -> dict[str, dict[str, str]]:
        try:
            said = json.loads(self.memory_file.read_text())
            return {"built": dict(said["built"]), "mounted": dict(said["mounted"]),
                    **{name: dict(said.get(name, {})) for name in LATER}}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return {"built": {}, "mounted": {}, **{name: {} for name in LATER}}

    def _remember(self, memory: dict[str, dict[str, str]]) -> None:
        write_private(self.memory_file, json.dumps(memory, indent=1) + "\n")


def _ports(fleet: Fleet, environment: Environment) -> list[tuple[str, str, int]]:
    """What is published: the variable that chooses the port, the address, and the port."""
    return [("MCP_PORT", environment.host, environment.port("MCP_PORT", fleet.port)),
            ("LITELLM_PORT", environment.host, environment.port("LITELLM_PORT", 4000)),
            ("PROMETHEUS_PORT", "127.0.0.1", environment.port("PROMETHEUS_PORT", 9090))]


def _state(state: str, status: str) -> tuple[str, str]:
    """up, starting or down, and Docker's words: `Up 2 minutes (healthy)`, `Exited (1) 3 seconds ago`."""
    if state == "running":
        return ("down" if "(unhealthy)" in status else "starting" if "(health: starting)" in status else "up"), status
    if state == "created":
        return "starting", status
    return "down", status


def _is_settled(http: Http, name: str, url: str, given_up: dict[str, str], token: str = "") -> bool:
    """Whether it answers, or never will: then its bridge's reason, which it tells for a token, is added to `given_up`."""
    try:
        said = http.get(url, {"Authorization": f"Bearer {token}"} if token else None, patience=2) if url else None
    except Silence:
        return False
    if said is not None and said.json().get("state") == "fatal":
        given_up[name] = str(said.json().get("reason") or f"mcp-bridge logs {name} says why")
    return name in given_up or (said is not None and said.status == 200)


def _asked(command: list[str]) -> str | Failed:
    """What a quick command says, or how it failed."""
    try:
        return run(command, QUICK)
    except Failed as error:
        return error


def _images() -> dict[str, str]:
    """The images that have a name, with their ids."""
    said = _asked(["docker", "image", "ls", "--no-trunc", "--filter", "dangling=false", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"])
    return dict(line.split() for line in said.splitlines()) if isinstance(said, str) else {}


def _digest(paths: Iterable[Path], without: Collection[str] = ()) -> str:
    """Of files and all that is in folders, by name and content."""
    sum = hashlib.sha256()
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inside:
            if file.is_file() and "__pycache__" not in file.parts and file.name not in without:
                sum.update(f"{file.relative_to(path.parent)}\0".encode() + file.read_bytes())
    return sum.hexdigest()[:32]


def _step(log: Path) -> str:
    """The last step that BuildKit began: `#12 [time server 3/4] RUN …`."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("#") and " [" in line]
    return lines[-1].partition(" ")[2][:100] if lines else ""


def _build_error(printed: str) -> str:
    """What went wrong in a step: the last thing that it printed, and the step."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    failed = next((line for line in reversed(lines) if line.startswith(("failed to solve", "target "))), lines[-1] if lines else "")
    said = [line.partition(" ")[2] for line in lines if line.startswith("#") and ("rror" in line or "mcp-bridge" in line)]
    return f"{said[-1][:300]} ({failed[:200]})" if said else failed[:300]


def _compose_error(printed: str) -> str:
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "rror" in line or "unhealthy" in line or "failed" in line), lines[-1] if lines else "")[:300]


def _printed_plainly(command: list[str], environment: dict[str, str]) -> int:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace", env=environment) as process:
        try:
            for line in process.stdout:
                print(_plain(line), end="", flush=True)
        except BaseException:
            process.terminate()
            raise
    return process.returncode


def _taken_port(printed: str) -> str:
    """The way out where a port is another program's; empty where that is not the trouble."""
    if not any(words in printed for words in ("port is already allocated", "address already in use", "ports are not available")):
        return ""
    return "\nend the program that has that port, or choose another with MCP_PORT=… (LITELLM_PORT=…, PROMETHEUS_PORT=…) in compose/.env"


def _plain(text: str) -> str:
    """Without the control sequences with which Compose and servers move a terminal's cursor and colour it."""
    return CONTROL.sub("", text)
