"""The well-behaved one: everything that a server of the handshake era can do, as server-everything does.

Most other files here are this child with one thing bent.

    --pages N          tools/list in N pages
    --version V        answers V whatever the client asks, as server-postgres does (2024-11-05)
    --instructions T
    --no CAPABILITY    leaves a capability out (repeat)
"""

import argparse
import json
import os
import sys

from base import Child, Raw, Refusal, text

child = Child("echo")
child.capabilities = {
    "tools": {"listChanged": True},
    "resources": {"subscribe": True, "listChanged": True},
    "prompts": {"listChanged": True},
    "completions": {},
    "logging": {},
    "experimental": {"x-vendor": {"kept": [1, 100]}},
}

# Tools that answer


@child.tool(annotations={"readOnlyHint": True}, _meta={"x-vendor": "kept"}, icons=[{"src": "data:,x"}])
def echo(message: str):
    return message


@child.tool
def add(a: float, b: float):
    return str(a + b)


@child.tool(outputSchema={"type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"]})
def typed(value: int):
    return text(json.dumps({"value": value}), structuredContent={"value": value})


@child.tool(slow=True)
def slow(seconds: float, call):
    """Answers after a while; never, if it is cancelled before."""
    return None if call.cancelled.wait(seconds) else f"slept {seconds}"


@child.tool
def fail(message: str = "it failed"):
    return text(message, isError=True)


@child.tool
def error(message: str = "it broke", code: int = -32000):
    raise Refusal(code, message, {"kept": True})


@child.tool
def raw(result: str):
    """Returns the JSON text as the result, byte for byte."""
    return Raw(result.encode("utf-8", "surrogatepass"))


@child.tool
def huge(bytes: int):
    return "x" * bytes


@child.tool
def unicode():
    return UNICODE


UNICODE = "line\u2028para\u2029next\u0085nbsp\u00a0 vt\x0bff\x0c nul\x00 emoji \U0001f600 e\u0301"


# Tools that tell what the child sees


@child.tool
def env():
    return json.dumps(dict(os.environ))


@child.tool
def pid():
    return str(os.getpid())


@child.tool
def cwd():
    return os.getcwd()


@child.tool
def arguments():
    return json.dumps(sys.argv[1:])


@child.tool
def received():
    """Every line so far, as it came, without its end."""
    return json.dumps([line.decode("utf-8", "backslashreplace").removesuffix("\n") for line in child.received])


# Tools that notify


@child.tool(slow=True)
def log(level: str = "info", message: str = "hello", count: int = 1):
    for _ in range(count):
        if LEVELS.index(level) >= child.log_level:
            child.notify("notifications/message", level=level, logger="echo", data=message)
    return f"logged {count}"


@child.tool(slow=True)
def progress(steps: int, call, pause: float = 0.0, delay: float = 0.0):
    call.cancelled.wait(delay)
    for step in range(1, steps + 1):
        call.progress(step, steps)
        if call.cancelled.wait(pause):
            return None
    return f"{steps} steps"


@child.tool
def touch(uri: str):
    if uri not in child.subscribed:
        return "nobody subscribed"
    child.notify("notifications/resources/updated", uri=uri)
    return "told"


@child.tool
def subscriptions():
    return json.dumps(sorted(child.subscribed))


@child.tool
def change():
    """Adds a tool and says so."""
    name = f"added_{len(child.tools)}"
    child.tool(lambda: name, name=name)
    child.notify("notifications/tools/list_changed")
    return name


# Logging, resources, prompts, completion

LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
child.log_level = 0
child.subscribed = set()
RESOURCES = {"test://one": "first", "test://two": "second", "file:///notes.txt": "notes"}


def set_level(params):
    if params.get("level") not in LEVELS:
        raise Refusal(-32602, f"unknown level: {params.get('level')}")
    child.log_level = LEVELS.index(params["level"])
    return {}


def read(params):
    uri = params["uri"]
    if uri not in RESOURCES:
        raise Refusal(-32002, "Resource not found", {"uri": uri})
    return {"contents": [{"uri": uri, "mimeType": "text/plain", "text": RESOURCES[uri]}]}


def subscribe(params):
    child.subscribed.add(params["uri"])
    return {}


def unsubscribe(params):
    child.subscribed.discard(params["uri"])
    return {}


def get_prompt(params):
    if params["name"] != "greet":
        raise Refusal(-32602, f"Unknown prompt: {params['name']}")
    who = (params.get("arguments") or {}).get("who", "you")
    return {"messages": [{"role": "user", "content": {"type": "text", "text": f"Greet {who}"}}]}


def complete(params):
    values = [v for v in ("alice", "alan", "bob") if v.startswith(params["argument"]["value"])]
    return {"completion": {"values": values, "total": len(values), "hasMore": False}}


PROMPT = {"name": "greet", "description": "A greeting", "arguments": [{"name": "who", "required": False}]}
child.methods |= {
    "logging/setLevel": set_level,
    "resources/list": lambda params: {"resources": [{"uri": u, "name": u.rpartition("/")[2]} for u in RESOURCES]},
    "resources/templates/list": lambda params: {"resourceTemplates": [{"uriTemplate": "test://{id}", "name": "any"}]},
    "resources/read": read,
    "resources/subscribe": subscribe,
    "resources/unsubscribe": unsubscribe,
    "prompts/list": lambda params: {"prompts": [PROMPT]},
    "prompts/get": get_prompt,
    "completion/complete": complete,
    "x-vendor/echo": lambda params: params,
}


def configure():
    """Takes our options from the command line; unknown ones are for the tool `arguments`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=1)
    parser.add_argument("--version")
    parser.add_argument("--instructions")
    parser.add_argument("--no", action="append", default=[])
    options = parser.parse_known_args()[0]
    child.pages, child.version, child.instructions = options.pages, options.version, options.instructions
    for capability in options.no:
        child.capabilities.pop(capability)


if __name__ == "__main__":
    configure()
    child.run()
