"""What the three clients have in common: ids, answers, the inbox, and answering what the server asks.

A client is synchronous and plain: messages are dicts. ``request`` returns the whole message, with its
``result`` or ``error``; what is no answer lands in the inbox (``messages``, ``wait_for``).
"""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

Message = dict[str, Any]


class Refused(Exception):
    """The HTTP status said no: ``.status``, ``.body``, and ``.message`` if the body is JSON-RPC."""

    def __init__(self, status: int, body: str):
        super().__init__(f"{status}: {body[:500]}")
        self.status, self.body = status, body

    @property
    def message(self) -> Message:
        return json.loads(self.body)


class Client:
    def __init__(
        self,
        url: str,
        *,
        version: str = "2025-11-25",
        capabilities: Message | None = None,
        info: Message | None = None,
        headers: dict[str, str] | None = None,
        on_ask: Callable[[str, Message], Message | None] | None = None,
        timeout: float = 30,
    ):
        """``on_ask(method, params)`` returns the result, raises to answer with an error, returns None to stay silent.

        Without it, ping is answered and everything else refused with -32601.
        """
        self.url, self.asked_version, self.headers, self.timeout = url.rstrip("/"), version, headers or {}, timeout
        self.capabilities, self.info = capabilities or {}, info or {"name": "raw", "version": "1"}
        self.on_ask = on_ask or refuse
        self.version: str | None = None  # the negotiated one
        self.initialized: Message = {}  # the result of initialize
        self.waiting: dict[str, Future[Message]] = {}
        self.inbox: list[Message] = []
        self.asked: list[Message] = []  # every request of the server
        self.arrived = threading.Condition()
        self.last_id = -1  # ids from 0: falsy, on purpose
        self.counting = threading.Lock()

    def __enter__(self):
        if not self.initialized:
            self.open()
        return self

    def __exit__(self, *exc):
        self.close()

    # Each transport has its own

    def connect(self) -> None: ...

    def deliver(self, message: Message | list, headers: dict[str, str] | None = None) -> None:
        """Sends a message that has no answer, or whose answer comes by ``receive``."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    # The talk

    def open(self) -> Message:
        """initialize and notifications/initialized; returns the result of initialize."""
        self.connect()
        params = {"protocolVersion": self.asked_version, "capabilities": self.capabilities, "clientInfo": self.info}
        answer = self.request("initialize", params)
        if "error" in answer:
            raise AssertionError(f"initialize: {answer['error']}")
        self.initialized = answer["result"]
        self.version = self.initialized["protocolVersion"]
        self.notify("notifications/initialized")
        return self.initialized

    def request(self, method: str, params: Message | None = None, *, id=None, timeout: float | None = None) -> Message:
        return self.begin(method, params, id=id).result(timeout or self.timeout)

    def begin(self, method: str, params: Message | None = None, *, id=None) -> "Future[Message]":
        """Sends a request and returns its future, so that several can be under way."""
        message = compose(method, params) | {"id": self.next_id() if id is None else id}
        future: Future[Message] = Future()
        self.waiting[key(message["id"])] = future
        self.deliver(message)
        return future

    def call(self, tool: str, *, timeout: float | None = None, **arguments) -> Message:
        return self.request("tools/call", {"name": tool, "arguments": arguments}, timeout=timeout)

    def begin_call(self, tool: str, **arguments) -> "Future[Message]":
        return self.begin("tools/call", {"name": tool, "arguments": arguments})

    def notify(self, method: str, params: Message | None = None) -> None:
        self.deliver(compose(method, params))

    def next_id(self) -> int:
        with self.counting:
            self.last_id += 1
            return self.last_id

    # What comes in

    def receive(self, message: Message) -> None:
        if "method" in message and "id" in message:
            self.asked.append(message)
            self.answer(message)
        elif "method" not in message and (future := self.waiting.pop(key(message.get("id")), None)):
            future.set_result(message)
        else:
            with self.arrived:
                self.inbox.append(message)
                self.arrived.notify_all()

    def answer(self, ask: Message) -> None:
        try:
            result = self.on_ask(ask["method"], ask.get("params", {}))
        except Exception as problem:  # whatever it is, the server gets it as an error
            code = getattr(problem, "code", -32601)
            self.deliver({"jsonrpc": "2.0", "id": ask["id"], "error": {"code": code, "message": str(problem)}})
        else:
            if result is not None:
                self.deliver({"jsonrpc": "2.0", "id": ask["id"], "result": result})

    def messages(self, timeout: float = 0.2) -> list[Message]:
        """Takes all of the inbox, after waiting that long for more. For "nothing came", and for counting."""
        time.sleep(timeout)
        with self.arrived:
            taken, self.inbox = self.inbox, []
        return taken

    def wait_for(self, method: str, timeout: float = 20) -> Message:
        """Takes the first message with this method out of the inbox, as soon as it is there."""
        with self.arrived:
            found = self.arrived.wait_for(lambda: [m for m in self.inbox if m.get("method") == method], timeout)
            if not found:
                raise AssertionError(f"no {method} within {timeout} s; inbox: {str(self.inbox)[:500]}")
            self.inbox.remove(found[0])
            return found[0]


def compose(method: str, params: Message | None) -> Message:
    return {"jsonrpc": "2.0", "method": method} | ({} if params is None else {"params": params})


def key(id) -> str:
    return json.dumps(id)  # tells 1 from "1"


def refuse(method: str, params: Message) -> Message:
    if method == "ping":
        return {}
    raise LookupError(f"this client has no {method}")


def text(message: Message) -> str:
    """The text of a tool's answer; an AssertionError that shows the answer if it is none."""
    if "error" in message or not message["result"].get("content"):
        raise AssertionError(f"no text in {str(message)[:1000]}")
    return message["result"]["content"][0]["text"]
