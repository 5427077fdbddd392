"""The OpenAPI description of what `admin.py` serves. What a definition may say follows from the options of `serve`."""

from functools import cache
from typing import Any

from bridge import __version__
from bridge.clients.formats import OPTIONS
from bridge.settings import flag, seconds, whole

MAX_NAME = 64
NAME = "^[A-Za-z0-9][A-Za-z0-9._-]*$"
KINDS = {  # by path: the lists of MCP that it shows, and the members that hold them
    "tools": {"tools/list": "tools"},
    "resources": {"resources/list": "resources", "resources/templates/list": "resourceTemplates"},
    "prompts": {"prompts/list": "prompts"},
}
TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
_KINDS: dict[Any, dict[str, Any]] = {
    whole: {"type": "integer", "minimum": 0},
    seconds: {"type": "number", "minimum": 0},
    flag: {"type": "boolean"},
}


@cache
def description() -> dict[str, Any]:
    servers = {
        "get": _operation(
            "listServers", "All MCPs", _ok({"type": "object", "required": ["servers"], "properties": {"servers": _list_of(_ref("Server"))}})
        ),
        "post": _operation(
            "addServer", "Add an MCP", _ok(_ref("Server"), 201) | _errors(400, 409, 413, 415), _ref("NewServer"), changes=True
        ),
    }
    server = {
        "parameters": [{"name": "name", "in": "path", "required": True, "schema": {**TEXT, "minLength": 1}}],
        "get": _operation("getServer", "One MCP", _ok(_ref("Server")) | _errors(404)),
        "put": _operation(
            "putServer",
            "Add an MCP, or replace it",
            _ok(_ref("Server")) | _ok(_ref("Server"), 201) | _errors(400, 413, 415),
            _ref("Definition"),
            changes=True,
        ),
        "delete": _operation("removeServer", "Remove an MCP", {"204": {"description": "It is gone"}} | _errors(400, 404), changes=True),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "mcp-bridge", "version": __version__, "description": "MCPs added, listed and removed while the bridge runs"},
        "security": [{"bearer": []}, {"key": []}],
        "paths": {"/-/servers": servers, "/-/servers/{name}": server, **{f"/-/{kind}": _listing(kind) for kind in KINDS}},
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
            "schemas": {
                "Error": {"type": "object", "required": ["error"], "properties": {"error": TEXT}},
                "Server": _server(),
                "Definition": _definition({}),
                "NewServer": _definition({"name": {**TEXT, "pattern": NAME, "maxLength": MAX_NAME}}),
            },
        },
    }


def _operation(
    id: str, summary: str, responses: dict[str, Any], body: dict[str, Any] | None = None, changes: bool = False
) -> dict[str, Any]:
    needs = {"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}} if body else {}
    return {
        "operationId": id,
        "summary": summary,
        **needs,
        "responses": responses | _errors(401, 403, 404, 429, *((500,) if changes else ())),
    }


def _listing(kind: str) -> dict[str, Any]:
    item = {"type": "object", "required": ["mcp"], "properties": {"mcp": TEXT}}
    unknown = {"type": "object", "additionalProperties": TEXT, "description": "MCPs whose list nobody knows yet, and why"}
    keys = KINDS[kind].values()
    shape = {"type": "object", "required": [*keys, "unknown"], "properties": {**{key: _list_of(item) for key in keys}, "unknown": unknown}}
    return {"get": _operation(f"list{kind.capitalize()}", f"The {kind} of all MCPs, as far as they are known", _ok(shape))}


def _server() -> dict[str, Any]:
    texts = dict.fromkeys(("name", "endpoint", "status", "state", "reason", "server", "revision"), TEXT)
    counts = {name: {"type": "integer"} for name in ("restarts", "sessions", "calls")}
    properties = {**texts, **counts, "command": TEXTS, "tools": TEXTS}
    return {"type": "object", "required": list(properties), "properties": properties}


def _definition(more: dict[str, Any]) -> dict[str, Any]:
    """What stands in a config file, and the options of `serve` that may stand beside it."""
    options = {}
    for name, item in OPTIONS.items():
        meta = item.metadata
        kind = _KINDS.get(meta["type"], TEXT)
        kind = TEXTS if meta["repeat"] else {**TEXT, "enum": list(meta["choices"])} if meta["choices"] else kind
        options[name] = {**kind, "description": meta["help"]}
    own = {
        "command": {**TEXT, "minLength": 1, "description": "the program"},
        "args": TEXTS,
        "env": {"type": "object", "additionalProperties": TEXT},
        "cwd": TEXT,
    }
    return {"type": "object", "required": [*more, "command"], "properties": {**more, **own, **options}, "additionalProperties": False}


def _ok(schema: dict[str, Any], status: int = 200) -> dict[str, Any]:
    return {str(status): {"description": "As asked", "content": {"application/json": {"schema": schema}}}}


def _errors(*statuses: int) -> dict[str, Any]:
    what = {
        400: "It cannot be served so, and nothing was changed",
        401: "The admin token is needed",
        403: "Not for this caller, or off (--admin-api)",
        404: "There is no such thing, or all of this is off",
        409: "The name is taken",
        413: "Too long",
        415: "No JSON",
        429: "Too many wrong tokens",
        500: "The config file cannot be written",
    }
    return {str(status): {"description": what[status], "content": {"application/json": {"schema": _ref("Error")}}} for status in statuses}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _list_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema}
