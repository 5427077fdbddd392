"""A client of the revision 2026-07-28: no session, no handshake, `_meta` and routing headers on every request.

Otherwise it is used as the others are: ``with Modern(bridge.url) as client: text(client.call("echo", message="hi"))``.
"""

import base64
from typing import Any

from support.client import Message
from support.http import Headers, Http
from support.stream import Stream

VERSION = "2026-07-28"
NAMESPACE = "io.modelcontextprotocol/"
SUBSCRIPTION = NAMESPACE + "subscriptionId"
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"} | dict.fromkeys(
    ("tasks/get", "tasks/update", "tasks/cancel"), "taskId"
)


class Modern(Http):
    """``initialized`` is the result of server/discover. ``meta`` goes with each request beside the envelope."""

    answers = (200, 400, 404)  # an error has a status, too

    def __init__(self, url: str, *, meta: Message | None = None, **options):
        super().__init__(url, listen=False, **({"version": VERSION} | options))
        self.meta = meta or {}

    def open(self) -> Message:
        answer = self.request("server/discover")
        if "error" in answer:
            raise AssertionError(f"server/discover: {answer['error']}")
        self.initialized = answer["result"]
        return self.initialized

    def deliver(self, message, headers=None):
        if isinstance(message, dict) and "method" in message:
            message = self.enveloped(message)
            headers = routing(message) | (headers or {})
        super().deliver(message, headers)

    def enveloped(self, message: Message) -> Message:
        params = message.get("params") or {}
        if "id" not in message:
            return message
        meta = envelope(self.asked_version, self.capabilities, self.info) | self.meta | params.get("_meta", {})
        return message | {"params": params | {"_meta": meta}}

    def listen_to(self, id: Any = "listen", headers: Headers | None = None, **wishes) -> Stream:
        """subscriptions/listen, as the stream that it is."""
        return self.stream("subscriptions/listen", {"notifications": wishes}, id=id, headers=headers)

    def stream(self, method: str, params: Message | None = None, *, id: Any = None, headers: Headers | None = None) -> Stream:
        """A request whose response is read by the test itself."""
        id = self.next_id() if id is None else id
        message = self.enveloped({"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}})
        return self.post_stream(message, routing(message) | (headers or {}))

    def send(self, method: str, params: Message | None = None, *, id: Any = 1, headers: Headers | None = None, meta: Any = None):
        """The bare response to one request; a header None is left out, and so is a key of `meta` that is None."""
        message = self.enveloped({"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}})
        for name, value in (meta or {}).items():
            message["params"]["_meta"][name] = value
            if value is None:
                del message["params"]["_meta"][name]
        return self.post(message, routing(message) | (headers or {}))

    def again(self, method: str, params: Message, asked: Message, **answers) -> Message:
        """The retry of a request that was answered with input_required (its whole message)."""
        state = asked["result"].get("requestState")
        more = {"inputResponses": answers} | ({} if state is None else {"requestState": state})
        return self.request(method, params | more)

    def call_again(self, tool: str, asked: Message, arguments: Message | None = None, **answers) -> Message:
        return self.again("tools/call", {"name": tool, "arguments": arguments or {}}, asked, **answers)


def envelope(version: str = VERSION, capabilities: Message | None = None, info: Message | None = None) -> Message:
    whole = {"protocolVersion": version, "clientCapabilities": capabilities or {}, "clientInfo": info}
    return {NAMESPACE + name: value for name, value in whole.items() if value is not None}


def routing(message: Message) -> Headers:
    """The headers that repeat what is in the body."""
    method, params = message["method"], message.get("params") or {}
    headers: Headers = {"mcp-method": method, "mcp-session-id": None}
    version = (params.get("_meta") or {}).get(NAMESPACE + "protocolVersion", VERSION)
    headers["mcp-protocol-version"] = version if isinstance(version, str) else None
    name = params.get(NAMED.get(method, ""))
    return headers | ({"mcp-name": spelled(name)} if isinstance(name, str) else {})


def spelled(value: str) -> str:
    """As a header can carry it: what is not plain ASCII goes as base64."""
    plain = value.isascii() and value.isprintable() and value == value.strip() and not value.startswith("=?base64?")
    return value if plain else f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def asks(message: Message) -> dict[str, Message]:
    """What a result wants to be told before it is one; an AssertionError that shows the message otherwise."""
    result = message.get("result") or {}
    if result.get("resultType") != "input_required":
        raise AssertionError(f"no input_required in {str(message)[:1000]}")
    return result.get("inputRequests", {})
