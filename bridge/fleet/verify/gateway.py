"""The hops in LiteLLM: does its MCP gateway live, does it show the same tools under the right names, does a call go through?

What it does when something is wrong differs by version, and is strange on 1.77.3: a wrong key is a 500, an MCP that is
down is a successful text, and a wedged gateway answers nothing while /health/liveliness says that all is well.
"""

import time
from collections.abc import Mapping
from typing import Any

from bridge.fleet.ask import Http, NoResponse, Response
from bridge.fleet.model import LiteLLM
from bridge.fleet.parts import Smoke
from bridge.fleet.stanza import Stanza
from bridge.fleet.targets.litellm import not_in_force
from bridge.fleet.verify.direct import judged, seen_as
from bridge.fleet.verify.result import FAILED, OK, SKIPPED, Hop, Report, since

LIVES, ALIVE, LIST, CALL = 20.0, 5.0, 40.0, 30.0
INITIALIZE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "mcp-bridge-verify", "version": "1"}}
NOT_A_RESULT = ("Error: ", "MCP client session is not initialized", "you may see the tool ", "Unknown tool: ")  # 1.77.3: with isError false
WEDGED = "it is wedged and answers nothing until it is restarted"


class Gateway:
    """LiteLLM's MCP endpoint, asked as its users ask it."""

    def __init__(self, url: str, key: str, http: Http):
        self.url, self.key, self.http = url, key, http

    def check(self) -> Report:
        """Is it up, does it answer, and does it take our key?"""
        report = Report("litellm", self.url)
        if report.add(self._lives()):
            report.add(self.answers("gateway"))
        return report

    def _lives(self) -> Hop:
        try:
            said = self.http.get(f"{self.url}/health/liveliness", patience=LIVES)
        except NoResponse as silence:
            return Hop("running", FAILED, f"{self.url}: {silence}", "mcp-bridge logs litellm; mcp-bridge up starts it again")
        if said.status != 200:
            return Hop("running", FAILED, f"/health/liveliness: {said.words}", "mcp-bridge logs litellm")
        return Hop("running", OK)

    def answers(self, hop: str) -> Hop:
        began = time.monotonic()
        for patience in (ALIVE, 2 * ALIVE, 4 * ALIVE):  # on a busy machine its first answer takes long
            try:
                said = self._post("initialize", INITIALIZE, patience)
            except NoResponse as silence:
                if not silence.is_late:
                    return Hop(hop, FAILED, f"/mcp/: {silence}", "mcp-bridge logs litellm", since(began))
                continue
            if refusal := _refusal(said):
                return Hop(hop, FAILED, f"/mcp/ refuses initialize: {refusal}", _advice(said), since(began))
            return Hop(hop, OK, str(_result(said).get("protocolVersion", "")), seconds=since(began))
        return Hop(
            hop,
            FAILED,
            f"/mcp/ does not answer initialize within {since(began):.0f} s, though LiteLLM lives: {WEDGED}",
            "its keeper (with Docker: its health check) restarts it within a minute; if not, mcp-bridge down and up",
            since(began),
        )

    def tools(self) -> tuple[list[str] | None, Hop]:
        """All that it lists."""
        began = time.monotonic()
        try:
            said = self._post("tools/list", {}, LIST)
        except NoResponse as silence:
            why = "an MCP accepts its connection and does not answer, or it is wedged" if silence.is_late else "mcp-bridge logs litellm"
            return None, Hop("tools", FAILED, f"/mcp/ tools/list: {silence}", why, since(began))
        if refusal := _refusal(said):
            return None, Hop("tools", FAILED, f"/mcp/ tools/list: {refusal}", _advice(said), since(began))
        names = [str(tool.get("name")) for tool in _result(said).get("tools") or [] if isinstance(tool, dict)]
        return names, Hop("tools", OK, f"{len(names)} tools", seconds=since(began))

    def call(self, stanza: Stanza, smoke: Smoke, more: Mapping[str, str] | None = None) -> Hop:
        """The stanza's smoke call, as any client of LiteLLM would make it, with `more` headers of its own."""
        began = time.monotonic()
        name = f"{stanza.litellm_name}-{seen_as(stanza, smoke)}"
        try:
            said = self._post("tools/call", {"name": name, "arguments": smoke.arguments}, CALL, more)
        except NoResponse as silence:
            return Hop("called", FAILED, f"{name}: {silence}", "mcp-bridge logs litellm", since(began))
        if refusal := _refusal(said):
            return Hop("called", FAILED, f"{name}: {refusal}", "mcp-bridge logs litellm", since(began))
        result = _result(said)
        text = "\n".join(str(block.get("text", "")) for block in result.get("content") or [] if isinstance(block, dict))
        if result.get("isError") or text.startswith(NOT_A_RESULT):
            return Hop(
                "called",
                FAILED,
                f"{name} failed: {text[:200]}",
                "the direct call worked, so it is between LiteLLM and the MCP: mcp-bridge logs litellm",
                since(began),
            )
        return judged("called", smoke, text, stanza, since(began))

    def _post(self, method: str, params: dict[str, Any], patience: float, more: Mapping[str, str] | None = None) -> Response:
        # A '/' at the end: without one, 1.77.3 redirects. "Bearer": without that, it answers 500.
        headers = {"accept": "application/json, text/event-stream", "x-litellm-api-key": f"Bearer {self.key}", **(more or {})}
        return self.http.post(f"{self.url}/mcp/", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, headers, patience)


def _result(said: Response) -> dict[str, Any]:
    """That of an answer which is no refusal."""
    found = (said.message or {}).get("result")
    return found if isinstance(found, dict) else {}


def listed(stanza: Stanza, litellm: LiteLLM, direct: list[str], names: list[str]) -> Hop:
    """Whether LiteLLM shows exactly the tools that the MCP has and the stanza lets through, each with the MCP's name before it."""
    if filters := not_in_force(stanza, litellm):
        return Hop(
            "listed",
            FAILED,
            f"LiteLLM {litellm.version} shows and calls all its tools: the stanza's {' and '.join(filters)} {'is' if len(filters) == 1 else 'are'} not in force",
            "mcp-bridge up --litellm-version 1.77.7 or a newer one; or run it as a sidecar, whose bridge filters",
        )
    direct = _let_through(stanza, direct)
    prefix = f"{stanza.litellm_name}-"
    seen = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    if direct and not seen:
        return Hop(
            "listed",
            FAILED,
            f"LiteLLM shows no tool {prefix}…",
            "it does not know it or cannot reach it: mcp-bridge up; mcp-bridge logs litellm",
        )
    missing, more = sorted(set(direct) - set(seen)), sorted(set(seen) - set(direct))
    twice = sorted({name for name in seen if seen.count(name) > direct.count(name) and name in direct})
    parts = [
        f"{words} {', '.join(found[:5])}{' …' * (len(found) > 5)}"
        for words, found in (("does not show", missing), ("has besides", more), ("shows twice", twice))
        if found
    ]
    if parts:
        return Hop(
            "listed",
            FAILED,
            f"LiteLLM {'; '.join(parts)}",
            "compare its config (compose/state/litellm.yaml) with the stanza: mcp-bridge up",
        )
    return Hop("listed", OK, f"{len(seen)} tools {prefix}…")


def _let_through(stanza: Stanza, tools: list[str]) -> list[str]:
    """What LiteLLM may show of a remote MCP's tools; those of a sidecar are filtered by its bridge."""
    if not stanza.is_remote:
        return tools
    allow, deny = stanza.tools.allow, stanza.tools.deny
    return [tool for tool in tools if tool not in deny and (not allow or tool in allow)]


def skipped(stanza: Stanza, why: str) -> list[Hop]:
    return [Hop("listed", SKIPPED, why), Hop("called", SKIPPED, why)]


def _refusal(said: Response) -> str:
    """Why this is not a result; empty if it is one."""
    if said.status == 200 and said.message and isinstance(said.message.get("result"), dict):
        return ""
    error = (said.message or {}).get("error")
    return f"{error.get('message')} ({error.get('code')})" if isinstance(error, dict) else said.words


def _advice(said: Response) -> str:
    if said.status in (401, 403) or (said.status == 500 and b"MCP request failed" in said.body):
        return "it runs with another LITELLM_MASTER_KEY than compose/.env says: mcp-bridge up"
    return "mcp-bridge logs litellm"
