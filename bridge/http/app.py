"""Where a request comes in: the gate, then the endpoint of its path.

    POST, GET, DELETE /mcp      streamable.py        GET /healthz, /readyz, /metrics    pages.py
    GET /sse, POST /messages    sse.py               GET /, /status.json, /tools.json, /log.json   pages.py
    WebSocket /ws               websocket.py

A bridge with several MCPs has the left column, /readyz, /status.json, /tools.json and /log.json once for each, below /NAME.
"""

import logging
from collections.abc import Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bridge.budget import NOWHERE, Reservation, address
from bridge.callers.audit_sums import Sums
from bridge.http import paths
from bridge.http.admission import Admission
from bridge.http.answers import send_refusal, send_refusal_of_websocket
from bridge.http.body import Disconnected
from bridge.http.gate import ADMIN, PROTECTED_RESOURCE, RELOAD, Gate
from bridge.http.headers import combine
from bridge.http.pages import Pages, SafeHeaders
from bridge.http.proxies import SOCKET, Proxies, untrusted
from bridge.http.request import FastEndpoint
from bridge.http.service import McpService, Service
from bridge.http.sse import Sse
from bridge.http.streamable import Streamable
from bridge.http.websocket import WebSocket
from bridge.oauth.claims import Pending
from bridge.page import PLACE
from bridge.protocol.errors import INVALID_REQUEST, Reason, Refusal
from bridge.redact import redacted
from bridge.settings import Settings

# What a page may read of our answers. What it may send is whatever it asks for: Mcp-Param-* have any name.
EXPOSED = ("Mcp-Session-Id", "Mcp-Protocol-Version", "WWW-Authenticate", "Retry-After", "Allow", "Accept-Encoding")


LONGEST = 100  # characters of a name that a client made up
LOCAL = "local"  # in place of an address, on a Unix socket
ENDPOINTS = ("/mcp", "/sse", "/messages", "/ws")
PAGES = ("/healthz", "/readyz", "/metrics", "/status.json", "/tools.json", "/log.json")


class App:
    """The ASGI application of a bridge. `services` are its MCPs by name; `single` means that paths have no name; `more`: other pages."""

    def __init__(
        self, services: Mapping[str, McpService], single: bool, settings: Settings, gate: Gate, pages: Pages, more: Sequence[Route] = ()
    ):
        self.gate = gate
        self._sums = gate.sums  # where what comes no further is written down (--audit)
        # Endpoints are found in a dictionary: Starlette's router costs a tool call 4 % of its rate (regular
        # expressions and a copy of the scope), and these are ASGI applications anyway. It routes the pages.
        self._endpoints: dict[str, ASGIApp] = {}
        self.sockets: dict[str, ASGIApp] = {}
        self._streams: dict[str, Sse] = {}
        self._service_at: dict[str, Service] = {}
        self.fast: dict[bytes, FastEndpoint] = {}  # the endpoints that the parser may call, by path
        self.head_timeout, self.body_timeout, self.write_timeout = settings.head_timeout, settings.body_timeout, settings.write_timeout
        self.proxies = Proxies(settings.trusted_proxy) if settings.trusted_proxy else None
        self._has_told_of_proxies = False
        self._is_single = single
        self._root_path = settings.root_path
        self.has_cors = bool(settings.allowed_origin)
        for name, service in services.items():
            self.mount(name, service)
        self._starlette = Starlette(
            exception_handlers={404: self._not_found, 405: _method_not_allowed},
            middleware=[Middleware(SafeHeaders)],
            routes=[
                Route("/healthz", pages.healthz),
                Route("/readyz", pages.readyz),
                Route("/metrics", pages.metrics),
                Route("/", pages.page),
                Route(f"{PLACE}{{file}}", pages.page),
                Route("/status.json", pages.status),
                Route("/tools.json", pages.tools),
                Route("/{name}/tools.json", pages.tools),
                Route("/log.json", pages.log),
                Route("/{name}/log.json", pages.log),
                Route("/{name}/readyz", pages.readyz_of),
                Route("/{name}/status.json", pages.status_of),
                Route(PROTECTED_RESOURCE.decode() + "{path:path}", self._protected_resource),
                Route(RELOAD, pages.reload, methods=["POST"]),
                *more,
            ],
        )
        self._starlette.router.redirect_slashes = False
        self.asgi: ASGIApp = self._enter
        if settings.allowed_origin:
            # Outside the gate: a browser asks with OPTIONS before it may send a token.
            self.asgi = CORSMiddleware(
                self._enter,
                allow_origins=list(settings.allowed_origin),
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["*"],
                expose_headers=EXPOSED,
                allow_private_network=True,
            )

    def mount(self, name: str, service: McpService) -> None:
        """Let requests for this MCP in; they take the place of an earlier service of the name."""
        self.open(name, service, Admission(service))

    def open(self, name: str, service: Service, admission: Admission) -> None:
        """The same for any service, be it a group of MCPs."""
        prefix = "" if self._is_single else f"/{name}"
        streamable, sse = Streamable(service, admission), Sse(service, admission, prefix, self._streams.get(name))
        self._streams[name] = sse
        for path, endpoint in (("/mcp", streamable), ("/sse", sse.listen), ("/messages", sse.post)):
            self._endpoints[prefix + path] = self._endpoints[prefix + path + "/"] = endpoint
        if service.credentials is None:  # else a request's headers say more than whose it is
            self.fast[f"{prefix}/mcp".encode()] = self.fast[f"{prefix}/mcp/".encode()] = streamable
            self.fast[f"{prefix}/messages".encode()] = sse
        for path in ENDPOINTS:
            self._service_at[prefix + path] = self._service_at[prefix + path + "/"] = service
        self.sockets[prefix + "/ws"] = self.sockets[prefix + "/ws/"] = WebSocket(service, admission)

    def any_service(self) -> Service | None:
        """For what is written past all of them: one whose memory it counts as."""
        return next((sse.service for sse in self._streams.values()), None)

    def unmount(self, name: str) -> None:
        """There is no such MCP any more."""
        self._streams.pop(name, None)
        for path in ENDPOINTS:
            for whole in (f"/{name}{path}", f"/{name}{path}/"):
                self._endpoints.pop(whole, None)
                self.sockets.pop(whole, None)
                self.fast.pop(whole.encode(), None)
                self._service_at.pop(whole, None)

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, refusal = combine(scope["headers"])
        self._hear_proxies(scope, headers)
        scope["bridge.headers"] = headers
        endpoints, path = (self._endpoints if scope["type"] == "http" else self.sockets), scope["path"]
        if path not in endpoints:
            path = self._meant(scope, headers) or path
        client = address(scope.get("client")) or LOCAL
        if refusal is not None:
            if self._sums is not None:
                self._sums.refused(refusal, client)
            return await _refuse(scope, send, refusal)
        typed = scope.get("raw_path", b"").decode("latin-1")
        asked = path.encode(), headers, scope["server"], scope["type"] == "websocket", client, typed
        found = self.gate.admit(*asked)
        if isinstance(found, Pending):
            await found.changed()
            again = self.gate.admit(*asked)
            found = found.refusal(headers, typed) if isinstance(again, Pending) else again
        if isinstance(found, Refusal):
            return await _refuse(scope, send, self.gate.refuse(found, headers, client))
        principal = found.principal
        scope["bridge.principal"] = principal
        endpoint = endpoints.get(path)
        is_hidden = self._is_hidden(path, principal)
        if is_hidden:
            endpoint = None  # as where there is no such MCP
        if endpoint is None and self._sums is not None:
            self._write_down(self._sums, path, principal, client)
        if endpoint is None and scope["type"] == "websocket":
            refusal = Refusal(404, INVALID_REQUEST, self._nothing_at(typed, principal), reason=Reason.METHOD)
            return await send_refusal_of_websocket(send, refusal)
        if endpoint is None and scope["path"] in self.sockets and not is_hidden:
            refusal = Refusal(
                426,
                INVALID_REQUEST,
                "this is a WebSocket: connect with a WebSocket handshake (GET, Upgrade: websocket)",
                ((b"upgrade", b"websocket"), (b"connection", b"upgrade")),
                reason=Reason.METHOD,
            )
            return await _refuse(scope, send, refusal)
        # What its body takes of the memory, until its request is answered.
        scope["bridge.hold"] = hold = Reservation(NOWHERE, principal or address(scope.get("client")))
        if endpoint is not None and (service := self._service_at.get(path)) is not None:
            whole = service.principal_of(principal, headers)
            if isinstance(whole, Refusal):
                return await _refuse(scope, send, whole)
            scope["bridge.principal"] = whole
        try:
            await (endpoint or self._starlette)(scope, receive, send)
        except Disconnected:
            pass
        except Exception:
            # The one catch-all: a promise of ours was broken. uvicorn answers 500 if nothing was sent yet.
            logging.getLogger("mcp-bridge").exception("bug in the bridge", extra={"facts": {"path": scope["path"]}})
            raise
        finally:
            hold.set(0)

    def _hear_proxies(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """From here on the client is who it is, and headers have nothing that nobody trusted has said."""
        peer: str = scope["client"][0] if scope.get("client") else ""
        if self.proxies is not None:
            client = self.proxies.heard(peer, headers)
            scope["client"] = (client, 0) if client else None
        elif (name := untrusted(headers)) and not self._has_told_of_proxies:
            self._has_told_of_proxies = True
            whose = peer or SOCKET
            logging.getLogger("mcp-bridge").warning(
                f"{name.decode()} of {whose} does not count: if that is your proxy: --trusted-proxy {whose}"
            )

    def _write_down(self, sums: Sums, path: str, principal: str, client: str) -> None:
        """That somebody asked for an MCP which is not there, or not for it."""
        service = self._service_at.get(path)
        if service is not None and service.access is not None and service.is_hidden_from(principal):
            sums.not_there(service.name, principal, client, service.access.view(principal).rules.of_all.rule)
        elif service is None and path.rstrip("/").endswith(ENDPOINTS):
            sums.not_there(redacted(path.strip("/").rpartition("/")[0][:LONGEST]), principal, client)

    def is_socket(self, path: str) -> bool:
        """Whether a handshake at this path is answered as a WebSocket's: also where there is none, so that none can be told to be hidden."""
        return path in self.sockets or path.rstrip("/").endswith("/ws")

    def _is_hidden(self, path: str, principal: str) -> bool:
        """Whether this is the address of an MCP that the caller may not know of."""
        service = self._service_at.get(path)
        return service is not None and service.is_hidden_from(principal)

    def _meant(self, scope: Scope, headers: dict[bytes, bytes]) -> str | None:
        """The path of ours of one that is nearly right."""
        if scope["type"] == "websocket" or scope["path"] in PAGES or scope["path"].startswith(ADMIN) or scope["path"] in self.sockets:
            return None
        is_page = scope["method"] in ("GET", "HEAD") and b"text/event-stream" not in headers.get(b"accept", b"")
        return paths.meant(scope["path"], self._endpoints, self._root_path, is_page)

    async def _protected_resource(self, request: Request) -> Response:
        """Where to get a token for one of our addresses (RFC 9728, 3), whoever asks: with several MCPs for any, so that nobody learns which
        there are."""
        path = request.scope["raw_path"].decode("latin-1").removeprefix(PROTECTED_RESOURCE.decode())
        is_ours = self._is_single and (path in self._endpoints or path in self.sockets)
        is_ours = is_ours or bool(paths.meant(path, self._endpoints, self._root_path, False) if self._is_single else path.strip("/"))
        document = self.gate.oauth.metadata(request.scope["bridge.headers"], path) if self.gate.oauth and is_ours else None
        if document is None:
            return await self._not_found(request, None)
        return Response(document, media_type="application/json")

    async def _not_found(self, request: Request, error: Exception | None) -> JSONResponse:
        return JSONResponse({"error": self._nothing_at(request.url.path, request.scope["bridge.principal"])}, 404)

    def _nothing_at(self, path: str, principal: str) -> str:
        names = sorted(
            {path.rstrip("/") for path in self._endpoints if path.rstrip("/").endswith("/mcp") and not self._is_hidden(path, principal)}
        )
        return f"nothing at {path}: the MCP is at {', '.join(names[:50])}"


async def _method_not_allowed(request: Request, error: Exception) -> JSONResponse:
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"error": f"{request.method} is not what {request.url.path} is for"}, 405, headers)


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    if scope["type"] == "websocket":
        await send_refusal_of_websocket(send, refusal)
    else:
        await send_refusal(send, refusal)
