"""What people and machines ask about the bridge itself: is it alive, is it ready, what does it count."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge import __version__
from bridge.callers.access import View
from bridge.callers.caller import Caller
from bridge.callers.keys import Keys
from bridge.callers.rules import Level
from bridge.http.gate import Gate
from bridge.http.service import McpService
from bridge.page import NOTHING, POLICY, SAFE, parts
from bridge.printable import shortened
from bridge.protocol import envelope
from bridge.protocol.pages import joined
from bridge.redact import redacted
from bridge.settings import UsageError

LONGEST = 200  # characters of a name that the config file has


class Group(Protocol):
    """Several MCPs at one address."""

    def is_hidden_from(self, principal: str) -> bool: ...

    def readiness(self, principal: str | None = None, is_shown: bool = True) -> dict[str, Any]: ...


class Pages:
    """Endpoints over all services of a bridge. `registry` is what /metrics shows, the gate's tokens say who may see what, and
    reload; `reread` reads the configuration again and returns what came of it by name. Raises UsageError."""

    def __init__(
        self,
        services: Mapping[str, McpService],
        gate: Gate,
        registry: Collector,
        reread: Callable[[], dict[str, list[str]]],
        is_single: bool = True,
        groups: Mapping[str, Group] | None = None,
        absent: Callable[[], Mapping[str, str]] = dict,
    ):
        self.absent = absent  # what is not served, and why
        self.groups = {} if groups is None else groups
        self.services = services
        self.is_single = is_single  # without names in paths
        self.gate = gate
        self.registry = registry
        self.reread = reread

    async def healthz(self, request: Request) -> Response:
        """The process is alive; no child is asked."""
        return PlainTextResponse("ok\n")

    async def readyz(self, request: Request) -> Response:
        """200 while at least one MCP can be used; each one's own word is in the body and at /NAME/readyz.

        Whoever has no token, where one is needed, sees the state and no reason: that has a child's last words in it.
        """
        has_callers = isinstance(self.gate.tokens, Keys)
        if len(self.services) == 1 and (self.is_single or not has_callers):
            (service,) = self.services.values()
            return self._readiness(request, service)
        visible = {name: service for name, service in self.services.items() if not self._is_hidden(request, service)}
        is_shown = all(self._may_see_words(request, service) for service in visible.values()) and bool(visible)
        each = {name: service.readiness(is_shown) for name, service in (visible if is_shown else self.services).items()}
        ready = sum(word["status"] == "ready" for word in each.values())
        status = "ready" if ready == len(each) else "degraded" if ready else "not ready"
        if not is_shown:
            if ready and has_callers:
                status = "ready"  # how the others are is no business of who may not know that there are any
            return JSONResponse({"status": status}, 200 if ready else 503)
        reason = "; ".join(f"{name}: {word['reason']}" for name, word in each.items() if word["reason"])
        return JSONResponse({"status": status, "reason": reason, "mcps": each}, 200 if ready else 503)

    async def readyz_of(self, request: Request) -> Response:
        if (group := self._group(request, request.path_params["name"])) is not None:
            return JSONResponse(group, 503 if group["status"] == "not ready" else 200)
        service = self.services.get(request.path_params["name"])
        if service is None or self._is_hidden(request, service):
            return _no_such_mcp(request)
        return self._readiness(request, service)

    def _group(self, request: Request, name: str) -> dict[str, Any] | None:
        """How the group of this name is, as who asks may see it; None where there is none."""
        group, principal = self.groups.get(name), request.scope["bridge.principal"]
        is_known = self._known_caller(request) is not None
        if group is None or (is_known and group.is_hidden_from(principal)):
            return None
        is_shown = all(self._may_see_words(request, service) for service in self.services.values())
        return group.readiness(principal if is_known else None, is_shown)

    def _is_hidden(self, request: Request, service: McpService) -> bool:
        """Whether who asks may not know that there is this MCP."""
        return self._known_caller(request) is not None and service.is_hidden_from(request.scope["bridge.principal"])

    def _is_cut(self, request: Request, service: McpService) -> bool:
        """Whether something of an MCP is hidden from who asks."""
        if self._known_caller(request) is None or service.access is None:
            return False
        return not service.access.view(request.scope["bridge.principal"]).sees_all

    def _readiness(self, request: Request, service: McpService) -> Response:
        word = service.readiness()
        shown = word if self._may_see_words(request, service) else {"status": word["status"], "state": word["state"]}
        return JSONResponse(shown, 200 if word["status"] == "ready" else 503)

    def _may_see_words(self, request: Request, service: McpService | None = None) -> bool:
        """Whether what a child wrote is shown: to everybody where nobody needs a token, to the only caller that there is, and to
        admins. Of several callers' calls each might see another one's in it."""
        tokens, headers = self.gate.tokens, request.scope["bridge.headers"]
        if self.gate.is_foreign(headers, request.scope.get("server")):
            return False
        return (
            self.gate.is_open
            or (tokens is not None and tokens.has_one_caller and tokens.principal(headers) is not None)
            or self.gate.has_admin_token(headers)
            or (service is not None and service.access is not None and service.access.view(request.scope["bridge.principal"]).is_admin)
        )

    def _known_caller(self, request: Request) -> Caller | None:
        """Who asks, of the callers file."""
        tokens = self.gate.tokens
        if not isinstance(tokens, Keys) or self.gate.has_admin_token(request.scope["bridge.headers"]):
            return None
        return tokens.callers.of(request.scope["bridge.principal"])

    async def metrics(self, request: Request) -> Response:
        caller = self._known_caller(request)
        if caller is not None and not (caller.sees_metrics or caller.is_admin):
            return JSONResponse(
                {"error": "metrics name the tools of all MCPs: they need `metrics: true` in the callers file, or admin"}, 403
            )
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        is_whole = caller is None or caller.sees_metrics
        shown = self.registry if is_whole else Visible(self.registry, self.services, request.scope["bridge.principal"])
        return Response(encode(shown), headers={"content-type": content_type})

    async def status(self, request: Request) -> Response:
        said = {"version": __version__, "single": self.is_single, "mcps": self._all(request)}
        groups = {} if self.is_single else {name: word for name in self.groups if (word := self._group(request, name)) is not None}
        more = {"groups": groups, "absent": self._absent(request)}
        return JSONResponse(said | {what: some for what, some in more.items() if some})

    def _absent(self, request: Request) -> dict[str, str]:
        caller = self._known_caller(request)
        if not (caller.is_admin if caller is not None else self._may_see_words(request)):
            return {}
        names = [name for name in self.absent() if caller is None or not caller.on(name).is_hidden]
        return {shortened(name, LONGEST): redacted(self.absent()[name]) for name in names if name not in self.services}

    def _all(self, request: Request) -> dict[str, dict[str, Any]]:
        all_of_them = ((name, self._status(request, service)) for name, service in self.services.items())
        return {name: status for name, status in all_of_them if status is not None}

    def _status(self, request: Request, service: McpService) -> dict[str, Any] | None:
        """What this caller may know of an MCP; None for one that is hidden."""
        status, caller = service.status(self._may_see_words(request, service)), self._known_caller(request)
        if caller is None or service.access is None:
            return status
        view = service.access.view(request.scope["bridge.principal"])
        if view.is_hidden:  # from an admin, too
            return None
        status["tools"] = [name for name in status["tools"] if may_see(view, service, name)]
        if not (caller.is_admin or view.is_admin):
            return {name: status[name] for name in ("status", "state", "mcp", "tools")}
        if not view.sees_all:  # these are by the server's own names
            status["unapproved"] = [text for text in status["unapproved"] if view.may_read("tool", text.rpartition(" (")[0])]
            status.pop("renamed", None)
            status["troubles"] = []
        return status

    async def status_of(self, request: Request) -> Response:
        if (group := self._group(request, request.path_params["name"])) is not None:
            return JSONResponse(group)
        service = self.services.get(request.path_params["name"])
        status = None if service is None else self._status(request, service)
        return _no_such_mcp(request) if status is None else JSONResponse(status)

    async def tools(self, request: Request) -> Response:
        """What the server says of its tools, by its own names and uncut, for whoever approves them."""
        name = request.path_params.get("name") or next(iter(self.services))
        service = self.services.get(name)
        if service is None or self._status(request, service) is None or (len(self.services) > 1 and "name" not in request.path_params):
            return _no_such_mcp(request)
        is_for_all = service.access is None and not self.gate.is_foreign(request.scope["bridge.headers"], request.scope.get("server"))
        if self._is_cut(request, service) or (not is_for_all and not self._may_see_words(request, service)):
            return JSONResponse({"error": "what a server says before anything is hidden of it is for admins"}, 403)
        pages = service.listed()
        listed = b'{"tools":[]}' if pages == [] else joined(pages) if pages else None
        if listed is None:
            return JSONResponse({"error": "the server has not said its tools yet", **service.readiness()}, 503)
        pin = service.pins.mode if service.pins else "off"
        said = {"mcp": name, "pin": pin, "tools": envelope.members(listed)["tools"]}
        return Response(envelope.encode(said), media_type="application/json")

    async def reload(self, request: Request) -> Response:
        """POST: read the configuration again. Off (404) without --admin-token-file and --callers."""
        if refusal := refusal_of_admin(self.gate, request):
            return refusal
        caller = self._known_caller(request)
        try:
            became = self.reread()
        except UsageError as error:
            is_shown = caller is None or all(rule.level is not Level.DENY for rule in caller.rules)  # it may name what is denied
            return JSONResponse({"error": str(error) if is_shown else "not reloaded, everything stays as it is: see the bridge's log"}, 400)
        if caller is not None:
            became = {what: [name for name in names if not caller.on(name).is_hidden] for what, names in became.items()}
        return JSONResponse(became)

    async def log(self, request: Request) -> Response:
        """The last lines of an MCP's log, or those after the one of number `after`. For whoever may read what the server wrote."""
        name = request.path_params.get("name") or next(iter(self.services), "")
        service = self.services.get(name)
        if service is None or self._is_hidden(request, service) or ("name" not in request.path_params and not self.is_single):
            return _no_such_mcp(request)
        if self._is_cut(request, service) or not self._may_see_words(request, service):
            return JSONResponse({"error": "a log has other callers' doings in it: it is for admins"}, 403)
        after = request.query_params.get("after", "0")
        return JSONResponse(service.events(int(after) if after.isdecimal() and len(after) < 16 else 0))

    async def page(self, request: Request) -> Response:
        """The page for people, and what it loads. It is the same for everybody."""
        part = parts().get(request.path_params.get("file", "index.html"))
        if part is None:
            return JSONResponse({"error": f"nothing at {request.url.path}"}, 404)
        headers = {"etag": part.etag, "cache-control": "no-cache", "content-security-policy": POLICY}
        if part.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(part.content, headers={**headers, "content-type": part.media_type})


class Visible(Collector):
    """The metrics that an admin may see: without what is hidden from it, be it a whole MCP or a tool."""

    def __init__(self, whole: Collector, services: Mapping[str, McpService], principal: str):
        self.whole, self.services, self.principal = whole, services, principal

    def collect(self) -> Iterator[Metric]:
        for family in self.whole.collect():
            family.samples = [sample for sample in family.samples if self._is_shown(sample.labels)]
            yield family

    def _is_shown(self, labels: Mapping[str, str]) -> bool:
        service, tool = self.services.get(labels.get("mcp", "")), labels.get("tool", "")
        if service is None or service.access is None:
            return "mcp" not in labels
        view = service.access.view(self.principal)
        return not view.is_hidden and (not tool or may_see(view, service, tool))


def may_see(view: View, service: McpService, tool: str) -> bool:
    """`tool` is what clients call it."""
    return view.sees_all or view.may_read("tool", service.profile.own_name(tool) or "")


def refusal_of_admin(gate: Gate, request: Request) -> Response | None:
    """The no to whoever may not do what admins do."""
    client = request.client.host if request.client else ""
    refusal = gate.refusal_of_admin(request.scope["bridge.headers"], request.scope["bridge.principal"], client)
    if refusal is None:
        return None
    return JSONResponse({"error": refusal.message}, refusal.status, {name.decode(): value.decode() for name, value in refusal.headers})


def _no_such_mcp(request: Request) -> Response:
    return JSONResponse({"error": f"no MCP named {request.path_params.get('name', '')!r}"}, 404)


class SafeHeaders:
    """ASGI middleware: what a browser may do with a page of ours. It loads nothing and sends nothing unless the page says what, and is in nobody's frame."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(event: Message) -> None:
            if event["type"] == "http.response.start":
                said = {name for name, _ in event["headers"]}
                event["headers"] = [*event["headers"], *(header for header in _SAFE if header[0] not in said)]
            await send(event)

        await self.app(scope, receive, sending)


_SAFE = Headers({**SAFE, "content-security-policy": NOTHING, "cache-control": "no-store"}).raw
