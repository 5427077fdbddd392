"""Containers, started so that they are as the files say: created, started, or given what changed, a few at a time, and waited for."""

import hashlib
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

import yaml

from bridge.fleet import files
from bridge.fleet.engines import EngineError, checkout, docker
from bridge.fleet.engines import litellm as engines_litellm
from bridge.fleet.engines.composed import (
    ALERTMANAGER,
    CERTIFICATE,
    DASHBOARDS,
    DATABASE,
    DOOR,
    EGRESS,
    GROUPS,
    HEALTHY,
    KEYS,
    LITELLM,
    PROMETHEUS,
    QUICK,
)
from bridge.fleet.engines.images import Images
from bridge.fleet.engines.programs import Failed, run
from bridge.fleet.engines.readiness import that_were_given_up
from bridge.fleet.engines.waves import Outcome, Waves, is_lost
from bridge.fleet.environment import PASSWORDS
from bridge.fleet.model import OF_DATABASE
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets.compose import LITELLM_DATABASE, OWN_KEYS, named_in

NEW_PASSWORDS = """psql -v ON_ERROR_STOP=1 -q -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
\\set own `cat /run/keys/POSTGRES_PASSWORD`
\\set reader `cat /run/keys/POSTGRES_READER_PASSWORD`
alter role :"USER" password :'own';
alter role mcp_reader password :'reader';
SQL
"""  # by its socket, where the image trusts everybody who is inside
TOO_OFTEN = 2  # restarts in one `up`, after which a container is not waited for
NEVER_STARTED = "Created"  # Docker's word; an `up` that was interrupted leaves such


class Starting(Images):
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
            ALERTMANAGER: "",
            DASHBOARDS: f"{urls.grafana}/api/health",
            EGRESS: "",
            GROUPS: f"{urls.mcps}/all/readyz",
            CERTIFICATE: "",
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
            EGRESS: [],
            GROUPS: [state / "groups.yaml"],
            DATABASE: [],
            ALERTMANAGER: [self.project.compose / "alertmanager.sh"],
            DASHBOARDS: sorted((self.project.compose / "dashboards").glob("*")),
            CERTIFICATE: [self.project.compose / "certificate.py"],
        }
        own |= {stanza.name: [self.project.secret(stanza, name) for name in stanza.secrets] for stanza in sidecars}
        keys = {LITELLM: self._all_keys(), **{name: ["BRIDGE_TOKEN"] for name in (DOOR, GROUPS, *(stanza.name for stanza in sidecars))}}
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
        memory["passwords"] = memory["passwords"] | {DATABASE: now}
        return self._remember(memory)

    def _agree_with_litellm(self) -> None:
        """Let LiteLLM's role have the password of now before LiteLLM is told of it. (What creates its container does it, too.)"""
        memory, now = self._memory(), self._digest_of(OF_DATABASE)
        if LITELLM in checkout.details(self.project_name) and memory["passwords"].get(LITELLM) != now:
            try:
                self._run("run", "--rm", "--no-deps", "--no-TTY", LITELLM_DATABASE, patience=HEALTHY)
            except Failed as error:
                raise EngineError(f"LiteLLM's database cannot be made: {error.reason}\nmcp-bridge logs {DATABASE}") from None
        self._remember(memory | {"passwords": memory["passwords"] | {LITELLM: now}})

    def _all_keys(self) -> list[str]:
        """The fleet's own, and the variables that LiteLLM's config names."""
        of_database = [name for name in OF_DATABASE if name in self.values]
        return list(dict.fromkeys([*OWN_KEYS, *of_database, *named_in(yaml.safe_load((self.project.state / "litellm.yaml").read_text()))]))

    def _digest_of(self, names: Collection[str]) -> str:
        return hashlib.sha256("\0".join(self.values.get(name, "") for name in names).encode()).hexdigest()[:32]

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
            return {path.name: path.read_text() for path in Path(folder).glob("keys/*/*") if path.name in (*OWN_KEYS, *OF_DATABASE)}
