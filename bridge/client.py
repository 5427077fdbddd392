"""A bridge from Python: MCPs registered, listed, called and unregistered while it runs.

    with Bridge("http://127.0.0.1:8000", admin_token=secret) as bridge:
        bridge.register("time", "uvx", ["mcp-server-time"])
        bridge.call("time", "get_current_time", timezone="UTC").text

Registering is for admins of a `serve --config FILE --admin-api`; calls go to any bridge. They are of MCP 2026-07-28, whatever the
server behind it speaks: one request, no session. For more of MCP than this take its SDK; the address is `Server.url`.
"""

import base64
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx2

from bridge import __version__

VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bridge.client", "version": __version__},
}
TICK = 0.05  # seconds between two looks at a server that starts


class BridgeError(Exception):
    """The bridge said no; `status` is that of HTTP."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class NotReady(BridgeError):
    """A server was registered and did not get ready in time: it stays registered."""


@dataclass(frozen=True)
class Server:
    name: str
    url: str
    state: str
    is_ready: bool
    reason: str
    command: tuple[str, ...]
    tools: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """Of a call. `text` is what its texts say, `content` all of it."""

    content: list[dict[str, Any]]
    structured: Any = None
    is_error: bool = False
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def text(self) -> str:
        return "\n".join(part["text"] for part in self.content if part.get("type") == "text")


class Bridge:
    """The bridge at `url`. `token` is for calls, `admin_token` for the rest; where callers have levels one is both."""

    def __init__(self, url: str, *, token: str = "", admin_token: str = "", timeout: float = 60.0):
        self._url = url.rstrip("/")
        self._token = token or admin_token
        self._admin = {"authorization": f"Bearer {admin_token or token}"} if admin_token or token else {}
        self._http = httpx2.Client(timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # -- servers ----------------------------------------------------------------------------------------------------------

    def register(
        self,
        name: str,
        command: str,
        args: Iterable[str] = (),
        *,
        env: Mapping[str, str] | None = None,
        replace: bool = False,
        wait: float = 60.0,
        **options: Any,
    ) -> Server:
        """Add a server, and wait until it is ready (0: do not). `options` are those of `serve`: max_in_flight=1, isolation="session".

        Raises BridgeError; NotReady with the reason where it is not ready by then.
        """
        definition = {"command": command, "args": list(args), "env": dict(env or {}), **options}
        if replace:
            found = self._ask("PUT", f"/-/servers/{name}", definition)
        else:
            found = self._ask("POST", "/-/servers", {"name": name, **definition})
        server, deadline = self._server(found), time.monotonic() + wait
        while not server.is_ready and time.monotonic() < deadline and server.state != "fatal":
            time.sleep(TICK)
            server = self.server(name)
        if wait and not server.is_ready:
            raise NotReady(503, f"{name} is not ready: {server.reason or server.state}")
        return server

    def unregister(self, name: str) -> None:
        """Raises BridgeError, with status 404 where there is no such server."""
        self._ask("DELETE", f"/-/servers/{name}")

    def server(self, name: str) -> Server:
        return self._server(self._ask("GET", f"/-/servers/{name}"))

    def servers(self) -> list[Server]:
        return [self._server(one) for one in self._ask("GET", "/-/servers")["servers"]]

    def tools(self) -> list[dict[str, Any]]:
        """The tools of all servers, each with its server as `mcp`; those of a server that has not started yet are missing."""
        return list(self._ask("GET", "/-/tools")["tools"])

    def resources(self) -> list[dict[str, Any]]:
        return list(self._ask("GET", "/-/resources")["resources"])

    def prompts(self) -> list[dict[str, Any]]:
        return list(self._ask("GET", "/-/prompts")["prompts"])

    def _server(self, told: dict[str, Any]) -> Server:
        url, command, tools = self._url + told["endpoint"], tuple(told["command"]), tuple(told["tools"])
        return Server(told["name"], url, told["state"], told["status"] == "ready", told["reason"], command, tools)

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        response = self._http.request(method, self._url + path, headers=self._admin, json=body)
        if response.is_success:
            return response.json() if response.content else None
        raise BridgeError(response.status_code, _why(response))

    # -- calls ------------------------------------------------------------------------------------------------------------

    def call(self, server: str, tool: str, arguments: Mapping[str, Any] | None = None, /, **more: Any) -> Result:
        """Call a tool with these arguments. Raises BridgeError where there is no result; one that tells of an error is a result."""
        result = self._request(server, "tools/call", {"name": tool, "arguments": {**(arguments or {}), **more}}, tool)
        return Result(result.get("content", []), result.get("structuredContent"), bool(result.get("isError")), result)

    def _request(self, server: str, method: str, params: dict[str, Any], name: str) -> dict[str, Any]:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
        headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": VERSION,
            "mcp-method": method,
            "mcp-name": _spelled(name),
            **({"authorization": f"Bearer {self._token}"} if self._token else {}),
        }
        with self._http.stream("POST", f"{self._url}/{server}/mcp", headers=headers, json=message) as response:
            answer = _answer(response)
        if answer is None or not isinstance(result := answer.get("result"), dict):
            raise BridgeError(response.status_code, _why(response, answer))
        return result


def _answer(response: httpx2.Response) -> dict[str, Any] | None:
    """The message that answers, whether it is the body or the last event of a stream; None if there is none."""
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        response.read()
        try:
            answer = response.json()
        except ValueError:
            return None
        return answer if isinstance(answer, dict) else None
    for line in response.iter_lines():
        if line.startswith("data:") and (data := line[5:].strip()):
            message = json.loads(data)
            if "result" in message or "error" in message:
                return dict(message)
    return None


def _why(response: httpx2.Response, answer: dict[str, Any] | None = None) -> str:
    try:
        said = (answer or response.json())["error"]
        return str(said["message"] if isinstance(said, dict) else said)
    except (ValueError, KeyError, TypeError, httpx2.StreamError):
        return f"{response.status_code} {response.reason_phrase}: is a bridge up there?"


def _spelled(value: str) -> str:
    """As a header can carry it (2026-07-28, basic/transports): what is not plain ASCII goes as base64."""
    if value.isascii() and value.isprintable() and value == value.strip() and not value.startswith("=?base64?"):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="
