"""What admins see and change while the bridge runs: `/-/servers`, and what all MCPs offer. `openapi.py` describes it.

Whoever may add a server runs any program here, so there are four locks: the admin's right on everything, `--admin-api` on what
changes something, a body that says that it is JSON (no form or `no-cors` request of a web page can), and the gate's look at Host and
Origin, which comes before.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bridge.http import body as bodies
from bridge.http.gate import ADMIN, Gate
from bridge.http.openapi import KINDS, MAX_NAME, description
from bridge.http.pages import may_see, refusal_of_admin
from bridge.http.service import McpService
from bridge.printable import shortened
from bridge.protocol import envelope
from bridge.settings import UsageError

LIMIT = 1 << 20  # bytes of a definition
Endpoint = Callable[[Request], Awaitable[Response]]


class Registry(Protocol):
    """The configuration, as far as it can be changed. What it raises (UsageError) has changed nothing."""

    why_closed: str  # why nothing can be changed; empty if it can

    def put(self, name: str, definition: dict[str, Any]) -> None: ...

    def remove(self, name: str) -> None: ...


class Admin:
    def __init__(self, services: Mapping[str, McpService], gate: Gate, registry: Registry, is_single: bool):
        self._services = services
        self._gate = gate
        self._registry = registry
        self._prefix = "" if is_single else "/{name}"

    def routes(self) -> list[Route]:
        return [
            self._route("openapi.json", GET=self._openapi),
            self._route("servers", GET=self._servers, POST=self._add),
            self._route("servers/{name}", GET=self._server, PUT=self._put, DELETE=self._remove),
            *(self._route(kind, GET=self._listing(kind)) for kind in KINDS),
        ]

    def _route(self, path: str, **endpoints: Endpoint) -> Route:
        """One route for all methods of a path: it says which there are (405)."""

        async def guarded(request: Request) -> Response:
            if refusal := refusal_of_admin(self._gate, request):
                return refusal
            method = "GET" if request.method == "HEAD" else request.method
            if method != "GET" and self._registry.why_closed:
                return _error(403, self._registry.why_closed)
            return await endpoints[method](request)

        return Route(f"{ADMIN}{path}", guarded, methods=list(endpoints))

    # -- what there is ----------------------------------------------------------------------------------------------------

    async def _openapi(self, request: Request) -> Response:
        return JSONResponse(description())

    async def _servers(self, request: Request) -> Response:
        return JSONResponse({"servers": [self._shown(service, request) for service in self._visible(request)]})

    async def _server(self, request: Request) -> Response:
        service = self._find(request)
        return _no_such(request) if service is None else JSONResponse(self._shown(service, request))

    def _listing(self, kind: str) -> Endpoint:
        """Tools, resources or prompts of all MCPs, as far as they are known without asking anybody."""

        async def listing(request: Request) -> Response:
            found: dict[str, Any] = {key: [] for key in KINDS[kind].values()}
            unknown: dict[str, str] = {}
            for service in self._visible(request):
                for method, key in KINDS[kind].items():
                    try:
                        found[key] += self._items(request, service, method, key)
                    except LookupError:
                        unknown[service.name] = service.readiness()["reason"] or "not known yet"
            return Response(msgspec.json.encode({**found, "unknown": unknown}), media_type="application/json")

        return listing

    def _items(self, request: Request, service: McpService, method: str, key: str) -> Iterator[dict[str, Any]]:
        """Raises LookupError where nobody knows."""
        for page in service.offers(method):
            answer = envelope.result(b"0", page)
            if not self._gate.has_admin_token(request.scope["bridge.headers"]):
                answer = service.shown(request.scope["bridge.principal"], method, answer)
            try:
                items = msgspec.json.decode(answer)["result"][key]
                yield from [{**item, "mcp": service.name} for item in items]
            except (ValueError, msgspec.MsgspecError, RecursionError, KeyError, TypeError):
                raise LookupError from None

    def _visible(self, request: Request) -> list[McpService]:
        """Also an admin of the callers file does not see what a rule hides."""
        if self._gate.has_admin_token(request.scope["bridge.headers"]):
            return list(self._services.values())
        return [service for service in self._services.values() if not service.is_hidden_from(request.scope["bridge.principal"])]

    def _find(self, request: Request) -> McpService | None:
        return next((service for service in self._visible(request) if service.name == request.path_params["name"]), None)

    def _shown(self, service: McpService, request: Request) -> dict[str, Any]:
        status = service.status()
        if service.access is not None and not self._gate.has_admin_token(request.scope["bridge.headers"]):
            view = service.access.view(request.scope["bridge.principal"])
            status["tools"] = [tool for tool in status["tools"] if may_see(view, service, tool)]
        told = {
            name: status[name] for name in ("status", "state", "reason", "server", "revision", "restarts", "sessions", "calls", "tools")
        }
        endpoint = self._prefix.format(name=service.name) + "/mcp"
        return {"name": service.name, "endpoint": endpoint, "command": service.shown_command(), **told}

    # -- what is changed --------------------------------------------------------------------------------------------------

    async def _add(self, request: Request) -> Response:
        definition = await self._body(request)
        if isinstance(definition, Response):
            return definition
        name = definition.pop("name", None)
        if not isinstance(name, str):
            return _error(400, "'name' is missing, or no text: it is the NAME of /NAME/mcp")
        if name in self._services:
            return _error(409, f"there is a server {name!r} already: PUT /-/servers/{name} replaces it")
        return self._stored(request, name, definition)

    async def _put(self, request: Request) -> Response:
        definition = await self._body(request)
        if isinstance(definition, Response):
            return definition
        name = request.path_params["name"]
        if name in self._services and self._find(request) is None:
            return _error(403, "a rule of the callers file hides this server from you")
        if definition.pop("name", name) != name:
            return _error(400, "the name in the body is not that of the path")
        return self._stored(request, name, definition)

    def _stored(self, request: Request, name: str, definition: dict[str, Any]) -> Response:
        is_new = name not in self._services
        if len(name) > MAX_NAME:
            return _error(400, f"a name has at most {MAX_NAME} characters")
        try:
            self._registry.put(name, definition)
        except UsageError as error:
            return _error(400, str(error))
        except OSError as error:
            return _error(500, f"the config file cannot be written: {error}")
        return JSONResponse(self._shown(self._services[name], request), 201 if is_new else 200, {"location": f"{ADMIN}servers/{name}"})

    async def _remove(self, request: Request) -> Response:
        if self._find(request) is None:
            return _no_such(request)
        try:
            self._registry.remove(request.path_params["name"])
        except UsageError as error:
            return _error(400, str(error))
        except OSError as error:
            return _error(500, f"the config file cannot be written: {error}")
        return Response(status_code=204)

    async def _body(self, request: Request) -> dict[str, Any] | Response:
        """The object that a request brings, or why there is none."""
        headers = request.scope["bridge.headers"]
        if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
            return _error(415, "Content-Type must be application/json")
        body = await bodies.read(request.receive, headers, LIMIT, request.scope["bridge.hold"])
        if isinstance(body, bodies.TooLong):
            return _error(413, f"the body is longer than {LIMIT} bytes")
        try:
            definition = msgspec.json.decode(body)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            return _error(400, "the body is no JSON in UTF-8")
        return definition if isinstance(definition, dict) else _error(400, 'not an object: expected {"name": …, "command": …}')


def _no_such(request: Request) -> Response:
    return _error(404, f"no MCP named {shortened(request.path_params['name'], MAX_NAME)!r}")


def _error(status: int, why: str) -> Response:
    # A lone surrogate of a client's is no text that could be sent back.
    return JSONResponse({"error": why.encode(errors="replace").decode()}, status)
