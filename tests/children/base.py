"""A stdio MCP server in its smallest form, for the files of this folder to bend.

A tool is a Python function; its signature becomes the schema. It returns the text, the whole result
as a dict, the result's JSON as Raw, or None for "no answer". Slow tools get a thread of their own, so
that calls run side by side, as they do in most real servers.

Everything is written with os.write under one lock: no buffer that a dying thread could hold.

Where ZOO_JOURNAL names a file, each process adds every line that it gets, behind its pid: what a test wants to know of
processes that are gone, such as those that were only asked for their era.
"""

import inspect
import itertools
import json
import os
import queue
import sys
import threading

VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
TYPES = {int: "integer", float: "number", bool: "boolean", dict: "object", dict | None: "object", list: "array"}


class Raw(bytes):
    """JSON that is written as it stands."""


class Refusal(Exception):
    """Becomes a JSON-RPC error: Refusal(code, message, data)."""


class Child:
    def __init__(self, name):
        self.name = name
        self.version = None  # None: the one that the client asks for, if we know it
        self.instructions = None
        self.capabilities = {"tools": {}}
        self.tools = {}  # name -> (function, what tools/list says, slow)
        self.pages = 1
        self.methods = {"initialize": self.initialize, "ping": lambda params: {}, "tools/list": self.list_tools}
        self.notices = {"notifications/cancelled": self.cancel}
        self.received = []
        self.calls = {}  # id -> Call, while a slow tool works for it
        self.asked = {}  # id -> where the client's answer goes
        self.ask_ids = itertools.count()  # from 0, as the SDKs do
        self.writing = threading.Lock()

    def tool(self, function=None, *, slow=False, **listing):
        if function is None:
            return lambda function: self.tool(function, slow=slow, **listing)
        parameters = {n: p for n, p in inspect.signature(function).parameters.items() if n != "call"}
        schema = {
            "type": "object",
            "properties": {n: {"type": TYPES.get(p.annotation, "string")} for n, p in parameters.items()},
            "required": [n for n, p in parameters.items() if p.default is p.empty],
        }
        name = listing.get("name", function.__name__)
        entry = {"name": name, "description": function.__doc__ or name, "inputSchema": schema} | listing
        self.tools[name] = function, entry, slow
        return function

    # The loop

    def run(self):
        journal = os.environ.get("ZOO_JOURNAL")
        file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if journal else None
        for line in sys.stdin.buffer:
            self.received.append(line)
            if file:
                os.write(file, b"%d %b" % (os.getpid(), line))
            self.take(line)
        self.ended()

    def ended(self):
        os._exit(0)  # calls in flight are dropped, as 9 of 42 servers do

    def take(self, line):
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return
        if isinstance(message, dict):
            self.read(message)

    def read(self, message):
        method, params = message.get("method"), message.get("params") or {}
        if method is None:
            if answered := self.asked.pop(message.get("id"), None):
                answered.put(message)
        elif "id" not in message:
            self.notices.get(method, lambda params: None)(params)
        elif method == "tools/call":
            self.call(Call(self, message["id"], params))
        else:
            self.answer(message["id"], lambda: self.method(method)(params))

    def method(self, name):
        if name not in self.methods:
            raise Refusal(-32601, f"Method not found: {name}")
        return self.methods[name]

    def call(self, call):
        function, _, slow = self.tools.get(call.tool if isinstance(call.tool, str) else "", (None, None, False))
        if function is None:
            self.reply(call.id, error={"code": -32602, "message": f"Unknown tool: {call.tool}"})
        elif slow:
            self.calls[call.id] = call
            threading.Thread(target=self.work, args=(call, function), daemon=True).start()
        else:
            self.work(call, function)

    def work(self, call, function):
        more = {"call": call} if "call" in inspect.signature(function).parameters else {}
        self.answer(call.id, lambda: function(**call.arguments, **more))
        self.calls.pop(call.id, None)

    def answer(self, id, compute):
        try:
            result = compute()
        except Refusal as refusal:
            code, message, *data = refusal.args
            self.reply(id, error={"code": code, "message": message} | ({"data": data[0]} if data else {}))
        except Exception as problem:  # a tool that fails is a result, as in FastMCP
            self.reply(id, result=text(f"{type(problem).__name__}: {problem}", isError=True))
        else:
            if result is not None:
                self.reply(id, result=text(result) if isinstance(result, str) else result)

    # What goes out

    def reply(self, id, **member):
        ((name, value),) = member.items()
        self.send_raw(b'{"jsonrpc":"2.0","id":%b,"%b":%b}' % (dumps(id), name.encode(), dumps(value)))

    def notify(self, method, **params):
        self.send_raw(dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    def ask(self, method, params=None):
        """Sends a request to the client; returns the queue that gets the whole answer."""
        id, answer = next(self.ask_ids), queue.SimpleQueue()
        self.asked[id] = answer
        self.send_raw(dumps({"jsonrpc": "2.0", "id": id, "method": method} | ({"params": params} if params else {})))
        return answer

    def send_raw(self, line):
        with self.writing:
            self.write(line + b"\n")

    def write(self, data):
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(1, rest) :]

    # The methods that every server has

    def initialize(self, params):
        asked = params.get("protocolVersion")
        result = {
            "protocolVersion": self.version or (asked if asked in VERSIONS else VERSIONS[-1]),
            "capabilities": self.capabilities,
            "serverInfo": {"name": self.name, "version": "1"},
        }
        return result | ({"instructions": self.instructions} if self.instructions else {})

    def list_tools(self, params):
        entries = [entry for _, entry, _ in self.tools.values()]
        page, size = int(params.get("cursor") or 0), -(-len(entries) // self.pages)
        result = {"tools": entries[page * size : (page + 1) * size]}
        return result | ({"nextCursor": str(page + 1)} if page + 1 < self.pages else {})

    def cancel(self, params):
        id = params.get("requestId")
        if call := self.calls.get(id if isinstance(id, int | str) else None):
            call.cancelled.set()


class Call:
    """One tools/call: what a tool needs when it wants more than its arguments (a parameter named call)."""

    def __init__(self, child, id, params):
        self.child, self.id, self.tool = child, id, params.get("name")
        self.arguments = params.get("arguments") or {}
        self.params = params
        self.meta = meta if isinstance(meta := params.get("_meta"), dict) else {}
        self.token = self.meta.get("progressToken")
        self.cancelled = threading.Event()

    def progress(self, progress, total):
        if self.token is not None:
            self.child.notify("notifications/progress", progressToken=self.token, progress=progress, total=total)


def text(string, **more):
    return {"content": [{"type": "text", "text": string}], "isError": False} | more


def dumps(value):
    if isinstance(value, Raw):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")
