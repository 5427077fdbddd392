"""Is it true that it works? Each MCP is asked hop by hop, from its process to the place where its calls are counted.

    result.py    the hops, and how they went
    direct.py    the MCP itself: running, ready, all transports, its smoke call
    gateway.py   LiteLLM: it lives, it lists the same tools, the smoke call goes through it
    groups.py    each group has the tools of its members, and a call goes through it
    model.py     a model calls a tool by itself
    counted.py   the bridge, or Prometheus, counted the calls
    show.py      a table for people

The order is part of the proof: what is broken by itself is never called through LiteLLM, which might not survive it.
"""

import base64
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import anyio

from bridge.callers.rules import Level
from bridge.fleet import callers, secrets_of_callers
from bridge.fleet.approved import difference
from bridge.fleet.ask import Http
from bridge.fleet.engines import Running, Say, Urls
from bridge.fleet.engines.readiness import token
from bridge.fleet.environment import Environment
from bridge.fleet.model import Fleet
from bridge.fleet.project import Project
from bridge.fleet.stanza import Stanza
from bridge.fleet.verify import direct, gateway, groups, model
from bridge.fleet.verify.counted import Counter, Prometheus, by_the_bridge
from bridge.fleet.verify.gateway import Gateway
from bridge.fleet.verify.result import FAILED, NONE, OK, SKIPPED, Hop, Report, Verdict

P = ParamSpec("P")
Said = TypeVar("Said")
AT_ONCE = 4  # MCPs that are talked to at the same time
CALLS_AT_ONCE = 2  # through LiteLLM
LISTS = 3  # LiteLLM asks all MCPs anew for each list, and leaves out one that was too slow once
VARIABLE = "os.environ/"
ELSEWHERE = ("example.com", 443)  # answers where there is an internet


@dataclass
class Subject:
    """What is verified, and where it is."""

    engine: str
    fleet: Fleet
    environment: Environment
    urls: Urls
    running: list[Running]
    model: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    say: Say = lambda text: None
    both_eras: bool = False  # also as a client of MCP 2026-07-28, for which a server may get a second process
    troubles: dict[str, str] = field(default_factory=dict)  # why the last `up` could not start some
    images: Path | None = None  # the folder of the stanzas, with what was approved of their tools
    older: dict[str, str] = field(default_factory=dict)  # which run as an earlier stanza said, and what differs


def verify(subject: Subject) -> Verdict:
    for name in ("mcp", "client", "httpx2"):  # the SDK logs tracebacks for what we report in one line
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    began = time.monotonic()
    with Http() as http:
        verdict = anyio.run(_Verification(subject, http).run)
    verdict.seconds = time.monotonic() - began
    return verdict


class _Verification:
    def __init__(self, subject: Subject, http: Http):
        self.subject, self.http = subject, http
        self.say, values = subject.say, subject.environment.values
        self.caller, self.gateways_caller = "operator", "litellm"
        self.headers = token(subject.environment)
        self.gateway = Gateway(subject.urls.litellm, values.get("LITELLM_MASTER_KEY", ""), http)
        self.counter = Counter(subject.urls.mcps, subject.engine == "compose", self.headers, http)
        self.prometheus = Prometheus(subject.urls.prometheus, http) if subject.urls.prometheus else None
        self.reports = {stanza.name: Report(stanza.name, stanza.url or subject.urls.of(stanza)) for stanza in subject.fleet.stanzas}
        self.before: dict[str, float | None] = {}
        self.shared: list[Report] = []

    async def run(self) -> Verdict:
        stanzas = self.subject.fleet.stanzas
        self.online = not any(stanza.smoke and stanza.smoke.internet for stanza in stanzas) or await self._apart(_is_online)
        await self._each(stanzas, self._direct, AT_ONCE)
        await self._groups([stanza for stanza in stanzas if not stanza.is_remote and self.reports[stanza.name].is_ok])
        await self._through_litellm([stanza for stanza in stanzas if stanza.litellm.enabled])
        await self._counted([stanza for stanza in stanzas if not stanza.is_remote])
        return Verdict(self.subject.engine, list(self.reports.values()), self.shared, self.subject.left_out)

    async def _each(self, stanzas: list[Stanza], check: Callable[[Stanza], Awaitable[None]], at_once: int) -> None:
        limit = anyio.CapacityLimiter(at_once)

        async def one(stanza: Stanza) -> None:
            async with limit:
                await check(stanza)

        async with anyio.create_task_group() as tasks:
            for stanza in stanzas:
                tasks.start_soon(one, stanza)

    # ---- before LiteLLM

    async def _direct(self, stanza: Stanza) -> None:
        report = self.reports[stanza.name]
        if not stanza.is_remote:
            self.before[stanza.name] = await self._apart(self.counter.of, stanza)
        running = {one.name: one for one in self.subject.running}
        needs: dict[str, Running | None] = (
            {name: running.get(name) for name in stanza.needs} if self.subject.engine == "compose" else {}
        )  # elsewhere it is the operator's
        name = stanza.name
        if name in self.subject.older:
            report.add(Hop("running", FAILED, self.subject.older[name], "mcp-bridge up"))
        else:
            await direct.check(
                report,
                stanza,
                running.get(name),
                needs,
                headers_for(stanza, self.subject.environment),
                self.http,
                self.no_call(stanza, self.caller),
                self.subject.both_eras,
                self.subject.troubles.get(name, ""),
            )
        if report.tools is not None and not stanza.is_remote and stanza.pin != "off" and self.subject.images is not None:
            headers = headers_for(stanza, self.subject.environment)
            report.unapproved = await self._apart(
                difference, self.subject.images / name, self.http, report.url, headers, stanza.pin == "hide"
            )
        self.say(f"{stanza.name}: " + (f"{len(report.tools or [])} tools" if report.is_ok else f"{report.failures[0].name} failed"))

    async def _groups(self, sound: list[Stanza]) -> None:
        fleet = self.subject.fleet
        good = {stanza.name: self.reports[stanza.name] for stanza in sound}
        for name in fleet.group_names:
            members = [stanza for stanza in sound if stanza.name in fleet.members_of(name)]
            caller = next((stanza for stanza in members if not self.no_call(stanza, self.caller)), None)
            if members:
                report = await groups.check(fleet, name, f"{self.subject.urls.mcps}/{name}", good, self.headers, caller)
                self.shared.append(report)
                self.say(f"group {name}: " + (f"{len(report.tools or [])} tools" if report.is_ok else f"{report.failures[0].name} failed"))

    # ---- LiteLLM

    async def _through_litellm(self, stanzas: list[Stanza]) -> None:
        self.say("LiteLLM")
        report = await self._apart(self.gateway.check)
        self.shared.append(report)
        good = await self._listed(report, stanzas)
        callable = [stanza for stanza in good if not self.no_call(stanza, self.gateways_caller)]
        for stanza in good:
            if why := self.no_call(stanza, self.gateways_caller):
                self.reports[stanza.name].add(Hop("called", NONE, why))
        await self._each(callable, self._call, CALLS_AT_ONCE)
        if self.subject.model:
            await self._each([stanza for stanza in callable if self.reports[stanza.name].is_ok], self._ask_model, CALLS_AT_ONCE)
        if good:
            report.add(await self._apart(self.gateway.answers, "gateway afterwards"))

    async def _listed(self, report: Report, stanzas: list[Stanza]) -> list[Stanza]:
        """Those that LiteLLM lists as they are."""
        sound = [stanza for stanza in stanzas if self.reports[stanza.name].is_ok]
        hops: dict[str, Hop] = {}
        for _ in range(LISTS if report.is_ok and sound else 0):
            names, hop = await self._apart(self.gateway.tools)
            litellm = self.subject.fleet.litellm
            hops = (
                {}
                if names is None
                else {stanza.name: gateway.listed(stanza, litellm, self.reports[stanza.name].tools or [], names) for stanza in sound}
            )
            if names is None or all(one.state == OK for one in hops.values()):
                break
        if report.is_ok and sound:
            report.add(hop)
        for stanza in stanzas:
            why = "it is broken itself" if stanza not in sound else "LiteLLM itself does not work"
            for hop in [hops[stanza.name]] if stanza.name in hops else gateway.skipped(stanza, why):
                self.reports[stanza.name].add(hop)
        return [stanza for stanza in sound if stanza.name in hops and hops[stanza.name].state == OK]

    async def _call(self, stanza: Stanza) -> None:
        if stanza.smoke:
            self.reports[stanza.name].add(await self._apart(self.gateway.call, stanza, stanza.smoke))

    async def _ask_model(self, stanza: Stanza) -> None:
        if stanza.smoke:
            self.say(f"{stanza.name}: asking {self.subject.model}")
            made = await self._apart(
                model.call, stanza, stanza.smoke, self.gateway.url, self.gateway.key, self.subject.model, self.http, self.counter
            )
            self.reports[stanza.name].add(made)

    # ---- counting

    async def _counted(self, stanzas: list[Stanza]) -> None:
        if self.prometheus:
            self.say("Prometheus")
            report = await self._apart(self.prometheus.check)
            self.shared.append(report)
            if not report.is_ok:
                for stanza in stanzas:
                    self.reports[stanza.name].add(Hop("counted", SKIPPED, "Prometheus itself does not work"))
                return
        self.called = time.time()
        await self._each(stanzas, self._count, len(stanzas) + 1)
        await self._each([stanza for stanza in stanzas if stanza.reaches and not self.reports[stanza.name].is_ok], self._explain, AT_ONCE)

    async def _count(self, stanza: Stanza) -> None:
        report = self.reports[stanza.name]
        if not report.is_ok:
            report.add(Hop("counted", SKIPPED, "it is broken itself"))
            return
        calls = sum(report.state(hop) == OK for hop in ("smoke", "called", "model"))
        if self.prometheus is None:
            report.add(await self._apart(by_the_bridge, stanza, self.counter, self.before.get(stanza.name), calls))
            return
        count = await self._apart(self.counter.of, stanza)
        report.add(await self._apart(self.prometheus.has, stanza, count, self.called, calls))

    async def _explain(self, stanza: Stanza) -> None:
        """Say beside a call that failed what the egress proxy refused: that may be the reason."""
        report = self.reports[stanza.name]
        hosts = await self._apart(self.prometheus.refused, stanza) if self.prometheus else []
        if hosts:
            more = f"the egress proxy refused it {', '.join(hosts[:5])}{' …' * (len(hosts) > 5)} ('egress' in images/{stanza.name}/stanza.yaml)"
            report.hops = [
                replace(hop, todo=f"{more}; {hop.todo}") if hop.state == FAILED and hop.name in ("ready", "smoke", "called") else hop
                for hop in report.hops
            ]

    def no_call(self, stanza: Stanza, caller: str) -> str:
        """Why its smoke call is not made by this caller; empty if it is."""
        if stanza.smoke is None:
            return "the stanza names no smoke call"
        if caller == self.gateways_caller and (why := self._why_not_litellm(stanza)):
            return why
        images = self.subject.images
        if images and (lacking := secrets_of_callers.lacking(Project(images.parent), stanza, caller)):
            return (
                f"{', '.join(lacking)} is each caller's own, and {caller!r} has none: mcp-bridge secret set {lacking[0]} --caller {caller}"
            )
        return "" if self.online or not stanza.smoke.internet else "its smoke call needs the internet, which is not to be reached from here"

    def _why_not_litellm(self, stanza: Stanza) -> str:
        """Where a call through LiteLLM needs a caller's own key."""
        fleet = self.subject.fleet
        if stanza.is_remote or stanza.smoke is None:
            return ""
        told = callers.check({callers.LITELLM: fleet.litellm_may} | fleet.callers)
        if told.of(callers.LITELLM).on(stanza.name).decide("tool", stanza.smoke.tool).level >= Level.EXECUTE:
            return ""
        return "who comes through LiteLLM without a key of their own may not call it: mcp-bridge verify --callers"

    async def _apart(self, ask: Callable[P, Said], *arguments: P.args, **options: P.kwargs) -> Said:
        """What asks over plain HTTP does so in a thread."""
        return await anyio.to_thread.run_sync(lambda: ask(*arguments, **options))


def _is_online() -> bool:
    try:
        socket.create_connection(ELSEWHERE, 3).close()
    except OSError:
        return False
    return True


def headers_for(stanza: Stanza, environment: Environment) -> dict[str, str]:
    """How this MCP wants to be greeted: a sidecar with the fleet's token, a remote one as its stanza says."""
    if not stanza.is_remote:
        return token(environment)
    return {name: _meant(value, environment) for name, value in stanza.litellm.static_headers.items()} | _auth(stanza, environment)


def _meant(value: str, environment: Environment) -> str:
    """`os.environ/NAME` is LiteLLM's way to name a variable."""
    return environment.values.get(value.removeprefix(VARIABLE), "") if value.startswith(VARIABLE) else value


def _auth(stanza: Stanza, environment: Environment) -> dict[str, str]:
    auth = stanza.auth
    if auth is None or auth.type == "none":
        return {}
    value = _meant(auth.value, environment) or environment.values.get(auth.value_env, "")
    encoded = base64.b64encode(value.encode()).decode()
    return {
        "api_key": {"X-API-Key": value},
        "basic": {"Authorization": f"Basic {encoded}"},
        "authorization": {"Authorization": value},
        "bearer_token": {"Authorization": f"Bearer {value}"},
    }[auth.type]
