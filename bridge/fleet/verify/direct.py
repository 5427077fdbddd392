"""The hops before LiteLLM: is it there, is it ready, does it say the same on every transport, does the smoke call work?

They come first because LiteLLM 1.77.3 may wedge when it calls an MCP that is broken: what is broken here is not called
there.
"""

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import anyio

from bridge.fleet.ask import Http, NoResponse, Response, any_certificate
from bridge.fleet.engines import Running
from bridge.fleet.engines.readiness import given_up
from bridge.fleet.parts import Smoke
from bridge.fleet.stanza import Stanza
from bridge.fleet.verify.result import FAILED, NONE, OK, Hop, Report, since
from bridge.inspect.connect import Visit, visit
from bridge.inspect.connection import Connection
from bridge.inspect.plan import ENDINGS, Endpoint, Plan
from bridge.inspect.show import result as shown
from bridge.inspect.survey import Answer, Facts, call, differences, survey
from bridge.protocol import model_names
from bridge.protocol.tool_checks import oddities, together

Said = TypeVar("Said")
TALK, CALL, START = 10.0, 30.0, 60.0  # seconds of patience: an answer, a smoke call, a child that is still starting
STILL_STARTING = "still starting"  # the bridge's words
# A tool that failed often says so in a text that is no error for the protocol.
ERROR = re.compile(
    r"\b(error|exception|traceback|failed|failure|cannot|could not|unable to|refused|closed|timed? ?out|denied|unauthorized)\b",
    re.IGNORECASE,
)
STARTING = ("starting", "handshaking", "backoff")


async def check(
    report: Report,
    stanza: Stanza,
    running: Running | None,
    needs: dict[str, Running | None],
    headers: dict[str, str],
    http: Http,
    no_call: str,
    both_eras: bool = False,
    trouble: str = "",
) -> None:
    """Go hop by hop until one breaks. `needs`: the services of the fleet that it uses; `no_call`: why the smoke call is not made;
    `trouble`: why the last `up` could not start it."""
    if not stanza.is_remote:
        if not report.add(_is_running(stanza, running, needs, trouble)):
            return
        known = running.detail if running and running.state == "failed" else ""
        if not report.add(await _is_ready(stanza, report.url, headers, http, known)):
            return
    facts: Facts | None = None
    for endpoint in endpoints(stanza, report.url):
        hop, facts = await _talk(stanza, endpoint, headers, facts)
        if not report.add(hop) or facts is None:
            return
        report.tools = [str(tool.get("name")) for tool in facts.lists["tools"]]
        report.odd = [f"{oddity}; {oddity.way_out}" for oddity in together(oddities(facts.lists["tools"], stanza.litellm_name))]
    if both_eras and not report.add(await _talk_without_handshake(stanza, report, headers)):
        return
    smoke = None if no_call else stanza.smoke
    report.add(Hop("smoke", NONE, no_call) if smoke is None else await _smoke(stanza, smoke, endpoints(stanza, report.url)[0], headers))


def endpoints(stanza: Stanza, url: str) -> list[Endpoint]:
    """All transports of a sidecar; the one of a remote MCP."""
    if stanza.is_remote:
        return [Endpoint("sse" if stanza.transport == "sse" else "streamable-http", url)]
    return [
        Endpoint(name, (url.replace("http", "ws", 1) if name == "websocket" else url) + ending, is_here=True)
        for name, ending in ENDINGS.items()
    ]


def _is_running(stanza: Stanza, running: Running | None, needs: dict[str, Running | None], trouble: str) -> Hop:
    for name, service in needs.items():
        if service is None or service.state == "down":
            detail = service.detail if service else "it was not started"
            return Hop(
                "running", FAILED, f"{name}, which it needs, is down: {detail}", f"mcp-bridge logs {name}; mcp-bridge up starts it again"
            )
    if running is None:
        return Hop("running", FAILED, trouble or "it was not started", "mcp-bridge up")
    if running.is_lost:  # of one that lives /readyz knows what is wrong
        return Hop("running", FAILED, running.detail or "it is down", f"mcp-bridge logs {stanza.name}; mcp-bridge up starts it again")
    return Hop("running", OK, running.detail)


async def _is_ready(stanza: Stanza, url: str, headers: dict[str, str], http: Http, known: str) -> Hop:
    """`known`: why it was given up, as its log says."""
    began = time.monotonic()
    while True:
        try:
            said = await anyio.to_thread.run_sync(lambda: http.get(f"{url}/readyz", headers))
        except NoResponse as silence:
            return Hop("ready", FAILED, f"{url}/readyz: {silence}", "is the bridge up? mcp-bridge ps, mcp-bridge up", since(began))
        word = said.json()
        if said.status == 200:
            return Hop("ready", OK, str(word.get("state", "")), seconds=since(began))
        if said.status == 401:
            return Hop("ready", NONE, "it tells that to who has its token")  # and the next hop that this is another one
        if why := given_up(said, lambda: known):
            mend = f"mend what it says (images/{stanza.name}/stanza.yaml, compose/.env), then mcp-bridge up; its log: mcp-bridge logs {stanza.name}"
            return Hop("ready", FAILED, f"given up: {why}", mend, since(began))
        if word.get("state") not in STARTING or since(began) > START:
            return Hop("ready", FAILED, _why(said), f"mcp-bridge logs {stanza.name}", since(began))
        await anyio.sleep(0.25)


def _why(said: Response) -> str:
    word = said.json()
    return f"HTTP {said.status}: {word.get('reason') or word.get('error') or word.get('state')}" if word else said.words


async def _talk(stanza: Stanza, endpoint: Endpoint, headers: dict[str, str], first: Facts | None) -> tuple[Hop, Facts | None]:
    """Handshake and lists on one transport; they must be the same as on the first."""
    visited: Visit[Facts] = await patient_visit(endpoint, headers, _patience(stanza), survey)
    facts = visited.said
    if visited.failure or facts is None:
        return Hop(endpoint.transport, FAILED, reason(visited), _advice(stanza, reason(visited))), first
    seconds = visited.milliseconds / 1000
    if facts.problems:
        return Hop(endpoint.transport, FAILED, "; ".join(facts.problems), f"mcp-bridge logs {stanza.name}", seconds), first
    if first is not None and (other := differences(first, facts)):
        return Hop(
            endpoint.transport,
            FAILED,
            f"says something else than streamable-http: {'; '.join(other[:3])}",
            f"mcp-bridge inspect {endpoint.url.replace('ws', 'http', 1) if endpoint.transport == 'websocket' else endpoint.url}",
            seconds,
        ), first
    if not facts.lists["tools"] and not (facts.lists["resources"] or facts.lists["prompts"] or facts.lists["resourceTemplates"]):
        return Hop(
            endpoint.transport,
            FAILED,
            "it offers no tool, no resource and no prompt",
            f"does it need a secret or other arguments? images/{stanza.name}/stanza.yaml",
            seconds,
        ), first
    return Hop(endpoint.transport, OK, f"{facts.revision}, {len(facts.lists['tools'])} tools", seconds=seconds), first or facts


async def _talk_without_handshake(stanza: Stanza, report: Report, headers: dict[str, str]) -> Hop:
    """The same tools for a client of MCP 2026-07-28."""
    endpoint = endpoints(stanza, report.url)[0]
    if endpoint.transport != "streamable-http":
        return Hop("modern", NONE, "that era has no HTTP+SSE")
    visited: Visit[Facts] = await patient_visit(replace(endpoint, era="modern"), headers, _patience(stanza), survey)
    facts = visited.said
    if visited.failure or facts is None:
        return Hop("modern", FAILED, reason(visited), _advice(stanza, reason(visited)))
    tools = [str(tool.get("name")) for tool in facts.lists["tools"]]
    if sorted(tools) != sorted(report.tools or []):
        return Hop(
            "modern",
            FAILED,
            f"other tools than with a handshake: {', '.join(sorted(set(tools) ^ set(report.tools or [])))}",
            f"mcp-bridge inspect --era both {report.url}",
        )
    return Hop("modern", OK, f"{facts.revision}, {len(tools)} tools", seconds=visited.milliseconds / 1000)


def _patience(stanza: Stanza) -> float:
    """Who gets a child of its own waits until that has started."""
    return START if stanza.bridge.get("isolation") in ("session", "principal") else TALK


async def patient_visit(
    endpoint: Endpoint, headers: dict[str, str], patience: float, talk: Callable[[Connection], Awaitable[Said]]
) -> Visit[Said]:
    """A visit, and another one while the child that this session gets for itself is still starting."""
    deadline = anyio.current_time() + START
    while True:
        visited = await visit(endpoint, plan(endpoint, headers, patience), talk)
        if visited.failure is None or STILL_STARTING not in visited.failure.reason or anyio.current_time() > deadline:
            return visited
        await anyio.sleep(0.5)


async def _smoke(stanza: Stanza, smoke: Smoke, endpoint: Endpoint, headers: dict[str, str]) -> Hop:
    tool = seen_as(stanza, smoke)

    async def talk(connection: Connection) -> Answer:
        return await call(connection, tool, smoke.arguments)

    visited: Visit[Answer] = await patient_visit(endpoint, headers, CALL, talk)
    if visited.failure is None and not is_right(visited.said, smoke):
        visited = await patient_visit(
            endpoint, headers, CALL, talk
        )  # what it needs was restarted: the call after a lost connection makes a new one
    answer, seconds = visited.said, visited.milliseconds / 1000
    if visited.failure or answer is None:
        return Hop("smoke", FAILED, f"{tool}: {reason(visited)}", _advice(stanza, reason(visited)))
    if answer.result is None or answer.result.get("isError"):
        if answer.tools is not None and tool not in answer.tools:
            return Hop(
                "smoke",
                FAILED,
                f"there is no tool {tool!r}; there are {', '.join(sorted(answer.tools)) or 'none'}",
                f"correct 'smoke' (or 'tools') in images/{stanza.name}/stanza.yaml",
                seconds,
            )
        words = answer.error or shown(answer.result or {})
        return Hop("smoke", FAILED, f"{tool} failed: {_short(words)}", f"mcp-bridge logs {stanza.name}", seconds)
    return judged("smoke", smoke, shown(answer.result), stanza, seconds)


def is_right(answer: Answer | None, smoke: Smoke) -> bool:
    return answer is not None and answer.result is not None and not answer.result.get("isError") and smoke.expect in shown(answer.result)


def judged(hop: str, smoke: Smoke, text: str, stanza: Stanza, seconds: float) -> Hop:
    """Whether the answer is the one that the stanza expects."""
    if smoke.expect not in text and (found := ERROR.search(text[:400])):
        return Hop(
            hop,
            FAILED,
            f"{smoke.tool} answered with an error: {_short(text[found.start() :])}",
            f"does it reach what it needs ({', '.join(stanza.needs) or 'its back end, the internet, its key'})? mcp-bridge logs {stanza.name}",
            seconds,
        )
    if smoke.expect not in text:
        return Hop(
            hop,
            FAILED,
            f"{smoke.tool} answered {_short(text)!r}, without {smoke.expect!r}",
            f"is the server wrong, or 'smoke.expect' in images/{stanza.name}/stanza.yaml?",
            seconds,
        )
    return Hop(hop, OK, _short(text), seconds=seconds)


def seen_as(stanza: Stanza, smoke: Smoke) -> str:
    """The smoke call's tool, by the name that clients see. Nobody renames those of a remote MCP."""
    if stanza.is_remote:
        return smoke.tool
    name = stanza.tools.rename.get(smoke.tool, smoke.tool)
    if stanza.bridge.get("profile", "litellm") != "litellm":
        return name
    return model_names.mended([name], model_names.room(stanza.name)).get(name, name)


def _advice(stanza: Stanza, reason: str) -> str:
    if "401" in reason:
        if stanza.is_remote:
            return f"is {stanza.auth.value_env or 'its token' if stanza.auth else 'auth'} right? images/{stanza.name}/stanza.yaml"
        return "it runs with another token than compose/.env says: mcp-bridge up"
    if "403" in reason:
        return "it does not know this host name (--allowed-host): mcp-bridge up"
    if stanza.is_remote:
        return f"is {stanza.url} right, and reachable from here?"
    return f"mcp-bridge logs {stanza.name}"


def plan(endpoint: Endpoint, headers: dict[str, str], patience: float) -> Plan:
    """One way, with what `visit` needs to know."""
    return Plan(
        endpoints=(endpoint,),
        headers=headers,
        environment={},
        cwd=None,
        timeout=patience,
        call=None,
        expect="",
        json=False,
        openai=False,
        trust=any_certificate() if endpoint.is_here else None,
    )


def reason(visited: Visit[Any]) -> str:
    return visited.failure.reason if visited.failure else "nothing was said"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 160 else text[:159] + "…"
