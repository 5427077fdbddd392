"""The well-behaved one of the revision 2026-07-28: echo, in the words of an era without a handshake.

It knows server/discover and wants `_meta` on every request; initialize is refused. Its results carry resultType and
serverInfo, its lists and what is read ttlMs and cacheScope; logs come only for a request with a logLevel, changes only
to subscriptions/listen. It never asks. Its tools are echo's, and listens (the filters of all open ones), end_listens
(answers them all: a graceful end), meta (the `_meta` of this call), headers (region, count, flag: x-mcp-header),
listed (structuredContent is an array, as its outputSchema says), ask (does what no modern server may: sends a request).

    --dual            takes initialize too, at any time, and speaks both eras side by side
    --locked          takes both, but its first request decides for the life of the process: Python SDK 2.x
    --refuses CODE    the code for initialize; without it -32022, which names the versions
    --after SECONDS   does not read before that
    --like-echo       has echo's name and no tools but echo's: what its clients see must not tell the two apart
    and echo's --pages, --instructions, --no
"""

import json
import sys
import time

import echo
from base import Refusal, text
from echo import LEVELS, child

VERSION = "2026-07-28"
NAMESPACE = "io.modelcontextprotocol/"
SUBSCRIPTION = NAMESPACE + "subscriptionId"
GONE = ("initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe")
CACHEABLE = ("server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read")

child.name = "echo" if "--like-echo" in sys.argv else "modern"
echos = dict(child.tools)
child.listens = {}  # id -> the part of its filter that we honour
child.answering = {}  # id -> the method of a request in the modern words that has no answer yet
child.seen = []  # the era of each kind of request so far, in the order they came
eras = "both" if "--dual" in sys.argv else "first" if "--locked" in sys.argv else "modern"
ordinary_read, ordinary_reply, ordinary_cancel = child.read, child.reply, child.cancel


# What comes in


def read(message):
    method, id, params = message.get("method"), message.get("id"), message.get("params") or {}
    if method is None or "id" not in message:
        return ordinary_read(message)
    meta = meta if isinstance(meta := params.get("_meta"), dict) else {}
    era = "modern" if NAMESPACE + "protocolVersion" in meta or method == "server/discover" else "legacy"
    if era not in child.seen:
        child.seen.append(era)
    spoken = {"both": era, "first": child.seen[0], "modern": "modern"}[eras]
    if spoken == "legacy":
        return ordinary_read(message) if era == "legacy" else child.answer(id, lambda: refuse(-32600, "a handshake was first"))
    child.answering[id] = method
    if problem := fault(method, meta):
        return child.answer(id, lambda: refuse(*problem))
    if method == "subscriptions/listen":
        return listen(id, params)
    return ordinary_read(message)


def fault(method, meta):
    """What a server of this revision refuses, as the parts of a Refusal, or None."""
    if method == "initialize" and "--refuses" in sys.argv:
        return int(sys.argv[sys.argv.index("--refuses") + 1]), "no handshake here"
    if method == "initialize" and NAMESPACE + "protocolVersion" not in meta:
        return -32022, "Unsupported protocol version", {"supported": [VERSION]}
    if method in GONE:
        return -32601, f"Method not found: {method}"
    if NAMESPACE + "protocolVersion" not in meta or NAMESPACE + "clientCapabilities" not in meta:
        return -32602, "_meta without protocolVersion and clientCapabilities"
    if meta[NAMESPACE + "protocolVersion"] != VERSION:
        asked = meta[NAMESPACE + "protocolVersion"]
        return -32022, "Unsupported protocol version", {"supported": [VERSION], "requested": asked}
    if meta.get(NAMESPACE + "logLevel", "info") not in LEVELS:
        return -32602, "unknown level"
    if not isinstance(meta[NAMESPACE + "clientCapabilities"], dict):
        return -32602, "capabilities are an object"
    return None


def refuse(*parts):
    raise Refusal(*parts)


def discover(params):
    result = {"supportedVersions": [VERSION], "capabilities": child.capabilities}
    return result | ({"instructions": child.instructions} if child.instructions else {})


# What goes out


def reply(id, **member):
    method = child.answering.pop(id, None)
    if method and isinstance(result := member.get("result"), dict):
        member = {"result": stamped(method, result)}
    elif method and member.get("error", {}).get("code") == -32002:  # gone, too
        member["error"]["code"] = -32602
    ordinary_reply(id, **member)


def stamped(method, result):
    result = {"resultType": "complete"} | result
    if method in CACHEABLE and result["resultType"] == "complete":
        result = result | {"ttlMs": 60_000, "cacheScope": "public"}
    info = {NAMESPACE + "serverInfo": {"name": child.name, "version": "1"}}
    return result | {"_meta": result.get("_meta", {}) | info}


# Subscriptions


def listen(id, params):
    wanted = params.get("notifications")
    if not isinstance(wanted, dict) or not isinstance(uris(wanted), list):
        return child.answer(id, lambda: refuse(-32602, "notifications are an object"))
    honoured = {
        name: wanted[name]
        for name, offered in {
            "toolsListChanged": has("tools", "listChanged"),
            "promptsListChanged": has("prompts", "listChanged"),
            "resourcesListChanged": has("resources", "listChanged"),
            "resourceSubscriptions": has("resources", "subscribe"),
            "taskIds": has("extensions", f"{NAMESPACE}tasks") is not None,
        }.items()
        if offered and wanted.get(name)
    }
    child.listens[id] = honoured
    child.notify("notifications/subscriptions/acknowledged", notifications=honoured, _meta={SUBSCRIPTION: id})


def has(capability, part):
    return child.capabilities.get(capability, {}).get(part)


def tell(name, method, **params):
    """Sends news to each listen that asked for them; how many that were."""
    told = [id for id, honoured in child.listens.items() if honoured.get(name) and params.get("uri") in [None, *uris(honoured)]]
    for id in told:
        child.notify(method, **params, _meta={SUBSCRIPTION: id})
    return len(told)


def uris(honoured):
    return honoured.get("resourceSubscriptions", [])


def cancel(params):
    id = params.get("requestId")
    if isinstance(id, int | str) and (child.listens.pop(id, None) is not None or id in child.calls):
        child.answering.pop(id, None)
    ordinary_cancel(params)


child.notices["notifications/cancelled"] = cancel


# Tools that differ from echo's


@child.tool
def touch(uri: str):
    legacy = uri in child.subscribed
    if legacy:
        child.notify("notifications/resources/updated", uri=uri)
    return "told" if tell("resourceSubscriptions", "notifications/resources/updated", uri=uri) or legacy else "nobody subscribed"


@child.tool
def subscriptions():
    return json.dumps(sorted(child.subscribed.union(*map(uris, child.listens.values()))))


@child.tool
def change(kind: str = "tools"):
    """Adds a tool, or only says that prompts or resources changed, and says so."""
    name = f"added_{len(child.tools)}"
    if kind == "tools":
        child.tool(lambda: name, name=name)
    tell(f"{kind}ListChanged", f"notifications/{kind}/list_changed")
    if eras != "modern" and "legacy" in child.seen:
        child.notify(f"notifications/{kind}/list_changed")
    return name


@child.tool(slow=True)
def log(call, level: str = "info", message: str = "hello", count: int = 1):
    wanted = call.meta.get(NAMESPACE + "logLevel")
    modern = NAMESPACE + "protocolVersion" in call.meta
    least = LEVELS.index(wanted) if wanted else len(LEVELS) if modern else child.log_level
    for _ in range(count if LEVELS.index(level) >= least else 0):
        child.notify("notifications/message", level=level, logger="echo", data=message)
    return f"logged {count}"


# Tools that echo does not have


@child.tool
def listens():
    return json.dumps(list(child.listens.values()))


@child.tool
def end_listens():
    ended, child.listens = child.listens, {}
    for id in ended:
        child.reply(id, result={"_meta": {SUBSCRIPTION: id}})
    return f"ended {len(ended)}"


@child.tool
def meta(call):
    return json.dumps(call.meta)


HEADERS = {
    "region": {"type": "string", "x-mcp-header": "Region"},
    "count": {"type": "integer", "x-mcp-header": "Count"},
    "flag": {"type": "boolean", "x-mcp-header": "Flag"},
    "inner": {"type": "object", "properties": {"zone": {"type": "string", "x-mcp-header": "Zone"}}},
}


@child.tool(inputSchema={"type": "object", "properties": HEADERS})
def headers(**arguments):
    return json.dumps(arguments)


@child.tool(outputSchema={"type": "array", "items": {"type": "integer"}})
def listed():
    return text("1, 2", structuredContent=[1, 2])


@child.tool(slow=True)
def ask(method: str = "roots/list"):
    return json.dumps(child.ask(method).get(timeout=5))


child.methods["server/discover"] = discover
child.read, child.reply = read, reply


def start():
    echo.configure()
    if "--like-echo" in sys.argv:
        child.tools = {name: (child.tools[name][0], listing, child.tools[name][2]) for name, (_, listing, _) in echos.items()}
    if "--after" in sys.argv:
        time.sleep(float(sys.argv[sys.argv.index("--after") + 1]))
    child.run()


if __name__ == "__main__":
    start()
