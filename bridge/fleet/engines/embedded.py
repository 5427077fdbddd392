"""The fleet without Docker: one bridge process for all MCPs and a LiteLLM, kept alive by a keeper, on loopback.

The same URLs as with Compose. What cannot run here is left out, with the reason. Everything lies in
compose/state/embedded: plan.json (what shall run), keeper.json (what does), mcps.json, litellm.yaml, the logs, and the
MCPs' volumes, which alone are kept when the fleet ends.
"""

import contextlib
import hashlib
import hmac
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import bridge
from bridge.callers.tokens import hash_of
from bridge.child.environment import PROXIES
from bridge.config import LEFT_OUT, LITERAL
from bridge.config import read as read_config
from bridge.fleet import callers, files
from bridge.fleet.ask import Http, NoResponse
from bridge.fleet.audits import AUDIT_FILE
from bridge.fleet.engines import EngineError, Excerpt, Running, Say, Started, Urls, keeper, litellm, served
from bridge.fleet.engines.cache import cache
from bridge.fleet.engines.excerpt import show
from bridge.fleet.engines.ports import Port, refuse_taken
from bridge.fleet.engines.programs import Failed
from bridge.fleet.engines.readiness import last_reason, that_were_given_up, token
from bridge.fleet.engines.waves import Outcome, Waves
from bridge.fleet.environment import Environment, startable
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project, private, write_private
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets.litellm import config
from bridge.settings import Settings, UsageError

INSTALLERS = 2  # at once
STOP_PATIENCE = 20.0
START_PATIENCE = 300.0  # what does not start at all ends, and is told long before
BRIDGE, LITELLM = "bridge", "litellm"
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "PYTHONPATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "XDG_CACHE_HOME",
    "XDG_STATE_HOME",
    *PROXIES,
)


class Embedded:
    name = "embedded"

    def __init__(self, project: Project, say: Say):
        self.project, self.say = project, say
        self.state = project.state / "embedded"
        self.gateway_file = self.state / "litellm.yaml"

    def unavailable(self) -> str:
        return "" if os.name == "posix" else "the embedded engine needs a POSIX system"

    def made_keys(self) -> dict[str, str]:
        return {}

    def audits(self, folder: Path) -> list[Path]:
        found = self.state / AUDIT_FILE
        return [found] if found.exists() else []

    def urls(self, fleet: Fleet, environment: Environment) -> Urls:
        host = environment.reached_at
        return Urls(f"http://{host}:{environment.port('MCP_PORT', fleet.port)}", f"http://{host}:{environment.port('LITELLM_PORT', 4000)}")

    # ---- up

    def as_here(self, fleet: Fleet, environment: Environment) -> Fleet:
        return fleet.model_copy(
            update={"stanzas": [served.as_here(self.project, stanza, environment, self.state) for stanza in fleet.stanzas]}
        )

    def refuse_another(self) -> None:
        """What a copy of a folder brings of the first one's is not read: `_keeper_state`."""

    def refuse_taken_ports(self, fleet: Fleet, environment: Environment) -> None:
        if not self._keeper_lives(self._keeper_state()):
            ports = (("MCP_PORT", fleet.port), ("LITELLM_PORT", 4000))
            refuse_taken(Port(name, environment.host, environment.port(name, default)) for name, default in ports)

    def missing(self, fleet: Fleet, names: Collection[str]) -> list[str]:
        return []

    def fetch(self, images: Collection[str]) -> str:
        return ""

    def prepare(self, fleet: Fleet, names: Collection[str], environment: Environment) -> dict[str, str]:
        """Installed into the cache, where each lock has its own folder: that of the running one stays."""
        failed = {}
        for name in names:
            try:
                self._entry(fleet[name], environment)
            except served.LeftOut as why:
                failed[name] = str(why)
        return failed

    def up(self, fleet: Fleet, names: Collection[str], environment: Environment) -> Started:
        if fleet.litellm.database:
            raise EngineError("the embedded engine has no Postgres: --engine compose, or take 'database: true' out of images/fleet.yaml")
        if environment.is_secure:
            raise EngineError(
                "the embedded engine has no door that speaks https: --engine compose, or take TLS_CERT out of compose/.env, "
                "and let a proxy in front of it do so"
            )
        private(self.project.state)
        private(self.state)
        entries, started = self._install(fleet.only(names), environment)
        runs = started.fleet.only([stanza.name for stanza in started.fleet.stanzas if stanza.name not in started.troubles])
        gateway = self._litellm(runs)
        before = _text(self.gateway_file)
        given_up = that_were_given_up(entries, self.urls(fleet, environment).ready, token(environment))
        plan = self._plan(runs, environment, entries, gateway, started.left_out | started.troubles)
        if given_up:
            self.say(f"trying again what was given up: {', '.join(given_up)}")
            plan = _read_again(plan)
        self._start(plan)
        outcome = self._wait(runs, environment, before)
        return replace(started, troubles=started.troubles | outcome.failed, still=outcome.still, stamps=self._stamps(entries))

    def give_keys(self, fleet: Fleet, environment: Environment) -> int:
        return 0

    def given_keys(self) -> set[str]:
        return set()

    def _install(self, fleet: Fleet, environment: Environment) -> tuple[dict[str, dict[str, Any]], Started]:
        """The entries of all that can run here; what cannot is left out with its reason."""
        wanted, left_out = startable(environment, fleet)
        entries, troubles = {}, {}
        with ThreadPoolExecutor(INSTALLERS) as pool:
            tasks = {stanza.name: pool.submit(self._entry, stanza, environment) for stanza in wanted if not stanza.is_remote}
            for name, task in tasks.items():
                try:
                    entries[name] = task.result()
                except served.NotInstalled as reason:
                    troubles[name] = str(reason)
                    self.say(f"{name}: {reason}")
                except served.LeftOut as reason:
                    left_out[name] = str(reason)
                    self.say(f"{name}: not started: {reason}")
                except OSError as error:
                    if error.errno not in files.OF_ONE_FILE:
                        raise
                    troubles[name] = f"cannot be installed: {files.told(error)}"
                    self.say(f"{name}: {troubles[name]}")
        if not entries:
            raise EngineError("no MCP can run here:\n" + "\n".join(f"  {name}: {why}" for name, why in (left_out | troubles).items()))
        return entries, Started(fleet.only([stanza.name for stanza in wanted if stanza.name not in left_out]), left_out, troubles)

    def _entry(self, stanza: Stanza, environment: Environment) -> dict[str, Any]:
        began = time.monotonic()
        made = served.entry(self.project, stanza, environment, self.state)
        if time.monotonic() - began > 2:
            self.say(f"{stanza.name}: installed in {time.monotonic() - began:.0f} s")
        return made

    def _litellm(self, fleet: Fleet) -> Path:
        version = fleet.litellm.version
        began = time.monotonic()
        try:
            found = litellm.executable(version)
        except Failed as error:
            raise EngineError(f"LiteLLM {version} cannot be installed: {error.reason}\n--litellm-version takes another one") from None
        if time.monotonic() - began > 2:
            self.say(f"LiteLLM {version}: installed in {time.monotonic() - began:.0f} s")
        return found

    def _plan(
        self, fleet: Fleet, environment: Environment, entries: dict[str, dict[str, Any]], gateway: Path, left_out: dict[str, str]
    ) -> dict[str, Any]:
        """Write the configurations, and say which programs run with them."""
        urls = self.urls(fleet, environment)
        config_file, gateway_file = self.state / "mcps.json", self.gateway_file
        # Nothing in it is a variable or a command line any more.
        said = {name: {**one, "command": [one["command"], *one.get("args", [])], "args": []} for name, one in entries.items()}
        groups = self._groups(fleet, said)
        write_private(
            config_file,
            json.dumps({LITERAL: True, LEFT_OUT: left_out, "mcpServers": said, **({"groups": groups} if groups else {})}, indent=1) + "\n",
        )
        for name in groups:
            self.say(f"group {name}: {urls.mcps}/{name}/mcp")
        configured = config(fleet, base=urls.of)
        write_private(gateway_file, files.dump(configured))
        self._check(config_file)
        host = environment.host
        token = self.state / "tokens"
        key = environment.values["BRIDGE_TOKEN"]
        of_litellm = hmac.digest(key.encode(), b"litellm", "sha256").hex()
        write_private(token, f"operator {hash_of(key)}\nlitellm {hash_of(of_litellm)}\n")  # children may read it
        write_private(self.state / callers.SHIPPED, json.dumps(callers.shipped(fleet.callers, with_prometheus=False), indent=1) + "\n")
        ours = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        if zone := environment.values.get("TZ"):
            ours["TZ"] = zone
        traced = {name: value for name, value in environment.values.items() if name.startswith("OTEL_")}
        options = [
            "--config",
            config_file,
            "--host",
            host,
            "--port",
            environment.port("MCP_PORT", fleet.port),
            "--token-file",
            token,
            "--callers",
            self.state / callers.SHIPPED,
            *(["--audit", self.state / AUDIT_FILE] if fleet.audit else []),
            "--session-key-file",
            self.state / "session.key",
            "--cache-dir",
            self.state / "cache",
            *([] if host == "127.0.0.1" else ["--allowed-host", "*"]),
            *(
                word
                for origin in dict.fromkeys([*fleet.origins, *(one for stanza in fleet.sidecars for one in stanza.origins)])
                for word in ("--allowed-origin", origin)
            ),
        ]
        variables = litellm.variables(configured, {**environment.values, "BRIDGE_TOKEN": of_litellm}, self.state)
        programs = [
            {
                "name": BRIDGE,
                "argv": [sys.executable, "-m", "bridge", "serve", *map(str, options)],
                "env": {**ours, **traced, "PYTHONUNBUFFERED": "1"},
                "cwd": str(self.state),
                "stop_patience": 12,
                "version": bridge.__version__,
                "reload": _digest(
                    config_file, token, *(Path(path) for one in entries.values() for path in one.get("secrets", {}).values())
                ),
            },
            {
                "name": LITELLM,
                "argv": [
                    str(gateway.with_name("python")),
                    str(litellm.SERVER),
                    "--config",
                    str(gateway_file),
                    "--host",
                    host,
                    "--port",
                    str(environment.port("LITELLM_PORT", 4000)),
                ],
                "env": variables,
                "cwd": str(self.state),
                "stop_patience": 3,
                "last_signal": int(signal.SIGKILL),
                "reload": _digest(gateway_file),
                "probe": {"url": f"{urls.litellm}/mcp/", "key": "LITELLM_MASTER_KEY"},
            },
        ]
        return {"programs": programs, "digest": _sum(programs)}

    def _groups(self, fleet: Fleet, here: Collection[str]) -> dict[str, dict[str, Any]]:
        """The fleet's groups for the bridge: without members that do not run here."""
        for name, group in fleet.groups.items():
            if missing := [member for member in (group if isinstance(group, list) else group.mcps) if member not in here]:
                self.say(f"group {name}: without {', '.join(missing)}, which {'do' if missing[1:] else 'does'} not run")
        return fleet.groups_of(here)

    def _check(self, config_file: Path) -> None:
        """A running bridge that cannot read its configuration only logs that: so it is read here before. Raises UsageError."""
        read_config(replace(Settings(), config=str(config_file), strict=True))

    def _start(self, plan: dict[str, Any]) -> None:
        """Hand the plan to the keeper; start one where none runs."""
        state = self._keeper_state()
        if state and state["plan"] == plan["digest"] and self._keeper_lives(state):
            return
        if not (state and self._keeper_lives(state)):
            self._end_leftovers(state)
        write_private(self.state / "plan.json", json.dumps(plan, indent=1) + "\n")
        if state and self._keeper_lives(state):
            os.kill(state["pid"], signal.SIGHUP)
        else:
            self._launch()
        deadline = time.monotonic() + STOP_PATIENCE
        while (self._keeper_state() or {}).get("plan") != plan["digest"]:
            if time.monotonic() > deadline:
                raise EngineError(f"the keeper does not start: see {self.state / 'keeper.log'}")
            time.sleep(0.05)

    def _launch(self) -> None:
        """The keeper belongs to nobody: it outlives this command and its terminal."""
        with open(self.state / "keeper.log", "ab") as log:
            subprocess.Popen(
                [sys.executable, "-I", keeper.__file__, str(self.state)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )

    def _wait(self, fleet: Fleet, environment: Environment, before: str) -> Outcome:
        """Until every MCP said that it is ready, or why not, and LiteLLM lives, with its configuration or that of `before`.
        Raises EngineError if bridge or LiteLLM do not come up."""
        urls = self.urls(fleet, environment)
        with Http() as http:
            self._until(lambda: http.get(f"{urls.mcps}/healthz").status == 200, BRIDGE)
            names = [stanza.name for stanza in fleet.sidecars]
            starting = dict.fromkeys(names, ("starting", ""))
            waves = Waves(lambda _: {}, lambda: starting, urls.ready, self.last_words, self.say, token(environment))
            outcome = waves.run((), names)
            return outcome | Outcome(self._until_litellm(http, urls.litellm, before))

    def _until_litellm(self, http: Http, url: str, before: str) -> dict[str, str]:
        """Wait for it. Returns why it goes on with the configuration of `before`; it begins with that, too, when it is started again."""
        file = self.gateway_file

        def lives() -> bool:
            return http.get(f"{url}/health/liveliness").status == 200

        try:
            self._until(lambda: (litellm.serves(file, self.state) and lives()) or bool(litellm.refusal(file, self.state)), LITELLM)
            refusal = litellm.refusal(file, self.state)
        except EngineError as error:
            if before in ("", _text(file)):
                raise
            refusal = litellm.refused(str(error))
        if refusal:
            write_private(file, before)
            self._until(lives, LITELLM)
        return {LITELLM: refusal} if refusal else {}

    def _stamps(self, entries: dict[str, dict[str, Any]]) -> dict[str, str]:
        """What tells each MCP of now from one that is configured anew, or is in another process."""
        bridge_now = self._program(BRIDGE).get("identity", "")
        return {
            name: hashlib.sha256(json.dumps([entry, bridge_now], sort_keys=True).encode()).hexdigest()[:32]
            for name, entry in entries.items()
        }

    def _until(self, condition: Callable[[], bool], program: str) -> None:
        deadline, shown = time.monotonic() + START_PATIENCE, time.monotonic()
        before = self._program(program).get("restarts", 0)
        while True:
            try:
                if condition():
                    return
            except NoResponse:
                pass
            one = self._program(program)
            if one.get("restarts", 0) >= before + 2:
                raise EngineError(f"{program} does not start: it {one['why']}\n{self._last_words(program)}")
            if time.monotonic() > deadline:
                raise EngineError(f"{program} does not answer after {START_PATIENCE:g} s\n{self._last_words(program)}")
            if time.monotonic() - shown > 5:
                shown = time.monotonic()
                self.say(f"waiting for {program}")
            time.sleep(0.1)

    def _last_words(self, program: str) -> str:
        return "\n".join(f"  {line}" for line in _text(self.state / f"{program}.log").splitlines()[-12:])

    # ---- down

    def down(self, volumes: bool = False) -> None:
        state = self._keeper_state()
        if state and self._keeper_lives(state):
            os.kill(state["pid"], signal.SIGTERM)
            deadline = time.monotonic() + STOP_PATIENCE
            while self._keeper_lives(state) and time.monotonic() < deadline:
                time.sleep(0.05)
        self._end_leftovers(state)
        for name in ("plan.json", "keeper.json", ".keeper.json.new", "mcps.json", "litellm.yaml"):
            (self.state / name).unlink(missing_ok=True)
        if volumes:
            shutil.rmtree(self.state, ignore_errors=True)

    def _end_leftovers(self, state: dict[str, Any] | None) -> None:
        """Processes of a keeper that is no more, if they are still those that it started."""
        for one in [state or {}, *((state or {}).get("programs") or {}).values()]:
            pid, identity = one.get("pid"), one.get("identity")
            if pid and identity and keeper.identity(pid) == identity:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)

    # ---- ps, logs

    def ps(self) -> list[Running]:
        state = self._keeper_state()
        lives = self._keeper_lives(state)
        found = []
        for name in (BRIDGE, LITELLM):
            one = ((state or {}).get("programs") or {}).get(name) or {}
            up = bool(one.get("pid")) and bool(one.get("identity")) and keeper.identity(one["pid"]) == one["identity"]
            detail = f"pid {one['pid']}" if up else one.get("why") or "not started"
            if one.get("restarts"):
                detail += f", started again {one['restarts']} times: it {one['why']}"
            found.append(Running(name, name, "up" if up else "down", detail if lives else f"{detail}; the keeper is gone: `mcp-bridge up`"))
        bridge_is_up = found[0].is_up
        return [*(Running(name, "mcp", "up" if bridge_is_up else "down", "in the bridge's process") for name in self._served()), *found]

    def last_words(self, name: str) -> str:
        return last_reason(line for line in _text(self.state / f"{BRIDGE}.log").splitlines() if f" mcp={name} " in line)

    def logs(self, names: Collection[str], excerpt: Excerpt) -> int:
        own, served_here = (BRIDGE, LITELLM, "keeper"), self._served()
        for name in names:
            if name not in (*own, *served_here):
                raise UsageError(f"no log of {name!r} here; there are those of {', '.join([*served_here, *own])}")
        marks = {f" mcp={name} " for name in names if name not in own}
        whole = [name for name in own if name in names or not names]
        files: list[tuple[Path, Collection[str]]] = [
            (self.state / f"{name}.log", () if name in whole else marks) for name in own if name in whole or (marks and name == BRIDGE)
        ]
        return show(files, excerpt)

    def kept(self) -> list[str]:
        return [str(folder) for folder in sorted((self.state / "volumes").glob("*"))]

    def built(self) -> str:
        return ""

    def prune(self) -> str:
        return (
            f"nothing here is this project's alone: packages that several may use are in {cache()}, which can be deleted while nothing runs"
        )

    def _served(self) -> list[str]:
        """The MCPs of the bridge."""
        try:
            return list(json.loads((self.state / "mcps.json").read_text())["mcpServers"])
        except FileNotFoundError:
            return []

    # ---- the keeper

    def _keeper_state(self) -> dict[str, Any] | None:
        """What the keeper of this folder says; that of a folder which this is a copy of is not ours."""
        try:
            state = json.loads((self.state / "keeper.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return state if state.get("place", here := keeper.place(self.state)) == here else None

    def _program(self, name: str) -> dict[str, Any]:
        return ((self._keeper_state() or {}).get("programs") or {}).get(name) or {}

    def _keeper_lives(self, state: dict[str, Any] | None) -> bool:
        return state is not None and keeper.identity(state["pid"]) == state["identity"]


def _read_again(plan: dict[str, Any]) -> dict[str, Any]:
    """The same plan, whose bridge reads its configuration once more: it tries what it gave up."""
    bridge, *others = plan["programs"]
    programs = [{**bridge, "reload": f"{bridge['reload']} {time.time()}"}, *others]
    return {"programs": programs, "digest": _sum(programs)}


def _sum(programs: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(programs).encode()).hexdigest()


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files if path.exists())).hexdigest()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
