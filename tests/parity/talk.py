"""Holds talks with MCP servers by the official SDK that is installed here, 1.x or 2.x, and prints what came of them.

Not a test: the tests run it with the pythons of those SDKs. On stdin a JSON object {name: talk}; on stdout, under the
same names, a list with one outcome a step. A talk is

    {"way": {"stdio": [command…]} or {"http" | "sse" | "ws": url} or {"modern" | "only2026": [command…] or url},
     "can": ["sampling", "elicitation", "roots"], "steps": [[verb, argument…], …]}

By the last two, SDK 2.x speaks without a handshake: as it finds out by asking, or whatever the server says.

An outcome has "result" or "error", what the client was told meanwhile ("heard"), and what it was asked ("asked").
"""

import json
import os
import sys
import traceback
from contextlib import asynccontextmanager
from importlib.metadata import version

import anyio
from mcp import ClientSession, StdioServerParameters, types
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared import exceptions

IS_1 = version("mcp").startswith("1.")
SDKError = exceptions.McpError if IS_1 else exceptions.MCPError
PATIENCE = 10  # seconds for a step
MODES = {"modern": "auto", "only2026": "2026-07-28"}
OLD_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
LEVEL = "io.modelcontextprotocol/logLevel"
STDERR = open(os.devnull, "w")


def main() -> None:
    talks = json.load(sys.stdin)
    outcomes = {name: anyio.run(hold, talk) for name, talk in talks.items()}
    json.dump(outcomes, sys.stdout)


async def hold(talk: dict) -> list[dict]:
    outcomes = []
    try:
        async with connect(talk["way"], Client(talk["can"])) as client:
            if not client.is_modern and ["initialize"] not in talk["steps"]:
                await client.initialize()
            for step in talk["steps"]:
                outcomes.append(await client.take(step))
    except Exception:  # the other talks go on, and the test shows it
        outcomes.append({"broken": traceback.format_exc()})
    return outcomes


@asynccontextmanager
async def connect(way: dict, client: "Client"):
    ((kind, where),) = way.items()
    if kind in MODES:
        from mcp import Client as Whole

        server = where if isinstance(where, str) else transport("stdio", where)
        async with Whole(server, mode=MODES[kind], **client.callbacks()) as client.session:
            client.is_modern = client.session.protocol_version not in OLD_VERSIONS
            yield client
        return
    async with transport(kind, where) as streams, ClientSession(*streams[:2], **client.callbacks()) as client.session:
        yield client


def transport(kind: str, where):
    if kind == "stdio":
        return stdio_client(StdioServerParameters(command=where[0], args=where[1:]), errlog=STDERR)
    if kind == "ws":
        from mcp.client.websocket import websocket_client

        return websocket_client(where)
    return {"http": streamable_http_client, "sse": sse_client}[kind](where)


class Client:
    session: ClientSession  # or 2.x's Client, which has the same methods
    is_modern = False
    meta: dict | None = None  # goes with each call

    def __init__(self, can: list[str]):
        self.can = can
        self.heard: list[dict] = []
        self.asked: list[dict] = []
        self.news = anyio.Event()

    def callbacks(self) -> dict:
        asks = {"sampling": self.sample, "elicitation": self.elicit, "roots": self.list_roots}
        names = {"sampling": "sampling_callback", "elicitation": "elicitation_callback", "roots": "list_roots_callback"}
        return {"message_handler": self.hear} | {names[name]: asks[name] for name in self.can}

    async def take(self, step: list) -> dict:
        verb, *arguments = step
        try:
            with anyio.fail_after(PATIENCE):
                outcome = {"result": plain(await getattr(self, verb)(*arguments))}
        except SDKError as problem:
            error = problem.error
            outcome = {"error": {"code": error.code, "message": error.message, "data": error.data}}
        except Exception as problem:  # such as a result that does not fit its schema
            outcome = {"raised": f"{type(problem).__name__}: {problem}"}
        heard, self.heard, asked, self.asked = self.heard, [], self.asked, []
        return outcome | {"heard": heard, "asked": asked}

    # What the server says

    async def hear(self, message) -> None:
        if isinstance(message, Exception):
            self.heard.append({"exception": repr(message)})
        elif hasattr(getattr(message, "root", message), "method"):
            self.heard.append(plain(getattr(message, "root", message)))
        self.news.set()

    async def sample(self, context, params):
        self.asked.append({"sampling": plain(params)})
        content = types.TextContent(type="text", text="sampled")
        return types.CreateMessageResult(role="assistant", content=content, model="parity")

    async def elicit(self, context, params):
        self.asked.append({"elicitation": plain(params)})
        schema = plain(params).get("requestedSchema", {"properties": {}})
        return types.ElicitResult(action="accept", content={n: filled(p) for n, p in schema["properties"].items()})

    async def list_roots(self, context):
        self.asked.append({"roots": True})
        return types.ListRootsResult(roots=[types.Root(uri="file:///parity", name="parity")])

    # The verbs

    async def initialize(self):
        return await self.session.initialize()

    async def era(self):
        return "modern" if self.is_modern else "legacy"

    async def ping(self):
        return await self.session.send_ping()

    async def tools(self):
        return await self.session.list_tools()

    async def call(self, name, **arguments):
        return await self.session.call_tool(name, arguments, **({"meta": self.meta} if self.meta else {}))

    async def call_with(self, name, arguments):
        return await self.call(name, **arguments)

    async def call_with_progress(self, name, arguments, times):
        steps = []

        async def progressed(progress, total, message):
            steps.append([progress, total, message])

        result = plain(await self.session.call_tool(name, arguments, progress_callback=progressed))
        await self.hear_of("notifications/progress", times)
        return {"progress": steps, "result": result}

    async def cancel(self, name, arguments):
        """Gives up a call, and waits until the server was told so by the id that it knows the call by."""
        before = len(calls_of(await self.received(), name))
        id = None

        async def call():
            nonlocal id
            id = getattr(self.session, "_request_id", None)  # 1.x numbers them here; the next is this call's
            await self.session.call_tool(name, arguments)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await self.until(lambda lines: len(calls_of(lines, name)) > before)
            if IS_1:  # 2.x does it by itself when its task is cancelled
                params = types.CancelledNotificationParams(requestId=id, reason="parity")
                notification = types.ClientNotification(types.CancelledNotification(params=params))
                await self.session.send_notification(notification)
            tasks.cancel_scope.cancel()
        await self.until(lambda lines: calls_of(lines, name)[before] in cancelled(lines))
        return "the server knows"

    async def until(self, condition) -> None:
        while not condition(await self.received()):
            await anyio.sleep(0.01)

    async def received(self) -> list[dict]:
        """All that the child from the zoo was told so far."""
        result = await self.session.call_tool("received", {})
        return [json.loads(line) for line in json.loads(result.content[0].text)]

    async def call_and_hear(self, method, name, arguments, times=1):
        """A call, and notifications that it causes. They may come after the answer: those that belong to no call by
        another stream, and others because 2.x takes each message in a task of its own."""
        result = await self.call(name, **arguments)
        await self.hear_of(method, times)
        return result

    async def hear_of(self, method, times):
        """What did not come in time is missing in the outcome, which then shows that the call was answered."""
        with anyio.move_on_after(PATIENCE / 2):
            while sum(message.get("method") == method for message in self.heard) < times:
                self.news = anyio.Event()
                await self.news.wait()

    async def resources(self):
        return await self.session.list_resources()

    async def templates(self):
        return await self.session.list_resource_templates()

    async def read(self, uri):
        return await self.session.read_resource(uri)

    async def subscribe(self, uri):
        return await self.session.subscribe_resource(uri)

    async def unsubscribe(self, uri):
        return await self.session.unsubscribe_resource(uri)

    async def prompts(self):
        return await self.session.list_prompts()

    async def prompt(self, name, arguments):
        return await self.session.get_prompt(name, arguments)

    async def complete(self, prompt, argument, value):
        reference = types.PromptReference(type="ref/prompt", name=prompt)
        return await self.session.complete(reference, {"name": argument, "value": value})

    async def level(self, level):
        if self.is_modern:  # it goes with each request
            self.meta = {LEVEL: level}
            return {}
        return await self.session.set_logging_level(level)

    async def roots_changed(self):
        await self.session.send_roots_list_changed()
        await self.until(lambda lines: "notifications/roots/list_changed" in [line.get("method") for line in lines])


def calls_of(lines: list[dict], tool: str) -> list:
    """The ids of the calls of a tool, as the server knows them."""
    return [line["id"] for line in lines if line.get("params", {}).get("name") == tool]


def cancelled(lines: list[dict]) -> list:
    return [line["params"]["requestId"] for line in lines if line.get("method") == "notifications/cancelled"]


def filled(schema: dict):
    """A value for a field of a form."""
    if "default" in schema:
        return schema["default"]
    if schema.get("type") == "array":
        return [filled(schema["items"])]
    for member in ("enum", "oneOf", "anyOf"):
        if member in schema:
            first = schema[member][0]
            return first["const"] if isinstance(first, dict) else first
    return "filled in"


def plain(value):
    """As it came: what the SDK filled in by itself is left out."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return value


if __name__ == "__main__":
    main()
