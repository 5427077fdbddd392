"""An open connection, in raw requests: dicts as the server sent them.

The SDK's ClientSession stays out. It checks every answer against the schema, and refuses or drops what odd but real
servers say (a tool whose inputSchema has no `type`); an inspector must show exactly that.
"""

from collections.abc import Mapping
from typing import Any

from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
    mcp_param_headers,
    x_mcp_header_map,
)
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    CONNECTION_CLOSED,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PROTOCOL_VERSION_META_KEY,
    UNSUPPORTED_PROTOCOL_VERSION,
)
from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from bridge import __version__
from bridge.inspect.trace import Trace

WE = {"name": "mcp-bridge-inspect", "version": __version__}
MODERN_ONLY = {METHOD_NOT_FOUND, INVALID_PARAMS, INVALID_REQUEST, UNSUPPORTED_PROTOCOL_VERSION}


def is_closed(error: MCPError) -> bool:
    """The dispatcher's word for "the other side hung up"; a server's own -32000 has another text."""
    return error.code == CONNECTION_CLOSED and error.message == "Connection closed"


class Connection:
    def __init__(self, dispatcher: JSONRPCDispatcher, trace: Trace) -> None:
        self._dispatcher = dispatcher
        self._trace = trace
        self.opening: dict[str, Any] = {}
        self.revision: str | None = None
        self.modern = False

    async def open(self, era: str = "auto") -> None:
        """The handshake; without one only for a server that refuses it, or where that era is asked for.

        Every server in the field accepts `initialize`, and some hang or exit on the modern `server/discover`.
        """
        if era == "modern":
            await self._discover()
            self._trace.opened = True
            return
        try:
            await self._initialize()
        except MCPError as refusal:
            if era == "legacy" or refusal.code not in MODERN_ONLY:
                raise
            try:
                await self._discover()
            except MCPError:
                raise refusal from None
        self._trace.opened = True

    async def _initialize(self) -> None:
        offer = {"protocolVersion": LATEST_HANDSHAKE_VERSION, "capabilities": {}, "clientInfo": WE}
        self.opening = await self.request("initialize", offer)
        self.revision = str(self.opening.get("protocolVersion"))
        await self._dispatcher.notify("notifications/initialized", None, {"headers": self._headers()})

    async def _discover(self) -> None:
        self.modern, self.revision = True, LATEST_MODERN_VERSION
        try:
            self.opening = await self.request("server/discover")
        except MCPError:
            self.modern, self.revision = False, None
            raise

    async def request(
        self, method: str, params: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        self._trace.wait_for(method)
        params = dict(params or {})
        if self.modern:
            params["_meta"] = {PROTOCOL_VERSION_META_KEY: self.revision, CLIENT_INFO_META_KEY: WE, CLIENT_CAPABILITIES_META_KEY: {}}
        options: CallOptions = {"headers": self._headers(method, params) | dict(headers or {})}
        if not self._trace.opened:
            options["cancel_on_abandon"] = False  # the handshake must not be cancelled, says the specification
        return await self._dispatcher.send_raw_request(method, params, options)

    async def pages(self, method: str, key: str) -> list[dict[str, Any]]:
        """A list, all pages of it."""
        items: list[dict[str, Any]] = []
        cursor, seen = None, set[str | None]()
        while cursor not in seen:
            seen.add(cursor)
            page = await self.request(method, {"cursor": cursor} if cursor else None)
            items += [item for item in page.get(key) or [] if isinstance(item, dict)]
            cursor = page.get("nextCursor")
            if not cursor:
                return items
        raise MCPError(INVALID_REQUEST, f"it gives the same nextCursor again, after {len(items)} {key}")

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        headers = {}
        if self.modern:  # some arguments are mirrored in headers there, and only the tool's schema says which
            tools = await self.pages("tools/list", "tools")
            schema = next((known.get("inputSchema") for known in tools if known.get("name") == tool), None)
            headers = mcp_param_headers(x_mcp_header_map(schema), arguments)
        return await self.request("tools/call", {"name": tool, "arguments": arguments}, headers)

    def _headers(self, method: str = "", params: Mapping[str, Any] | None = None) -> dict[str, str]:
        """Used by Streamable HTTP only; the other transports ignore them."""
        if self.revision is None:
            return {}
        headers = {MCP_PROTOCOL_VERSION_HEADER: self.revision}
        if self.modern:
            headers[MCP_METHOD_HEADER] = method
            if isinstance(name := (params or {}).get(NAME_BEARING_METHODS.get(method, "")), str):
                headers[MCP_NAME_HEADER] = encode_header_value(name)
        return headers
