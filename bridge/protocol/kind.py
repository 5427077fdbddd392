"""What LiteLLM's client (mcp SDK 1.10 to 1.12, pydantic) takes as a valid tool result and tool list, and how to get there.

Each model below is that SDK's, reduced to what it refuses. A block that it would refuse becomes a text block with the
block's own JSON in it, so nothing is lost.
"""

import re
from typing import Literal, Union

import msgspec
from msgspec import Raw

from bridge.protocol import envelope

_TEXT_LIMIT = 4000  # characters of a child's own words in a failure


class _Annotations(msgspec.Struct):
    audience: list[Literal["user", "assistant"]] | None = None
    priority: msgspec.Raw | None = None


class _Block(msgspec.Struct):
    """A content block of any type: what all of them share."""

    type: str
    annotations: _Annotations | None = None
    _meta: dict | None = None


class _Text(msgspec.Struct, tag_field="type", tag="text"):
    text: str


class _Image(msgspec.Struct, tag_field="type", tag="image"):
    data: str
    mimeType: str


class _Audio(msgspec.Struct, tag_field="type", tag="audio"):
    data: str
    mimeType: str


class _Link(msgspec.Struct, tag_field="type", tag="resource_link"):
    uri: str
    name: str
    description: str | None = None
    mimeType: str | None = None
    title: str | None = None
    size: int | None = None


class _Contents(msgspec.Struct):
    uri: str
    text: str | None = None
    blob: str | None = None
    mimeType: str | None = None


class _Embedded(msgspec.Struct, tag_field="type", tag="resource"):
    resource: _Contents


_blocks = msgspec.json.Decoder(Union[_Text, _Image, _Audio, _Link, _Embedded])
_URL = re.compile(r"(?:https?|ftps?|wss?)://[^\s/?#]+[^\s]*|(?!(?:https?|ftps?|wss?):)[A-Za-z][A-Za-z0-9+.-]*:[^\s]*")


def call_result(raw: Raw) -> bytes:
    """A `tools/call` result that LiteLLM's client can read: the child's own bytes where they are fine already."""
    try:
        members = envelope.members(raw)
        content = msgspec.json.decode(members["content"], type=list[Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError):
        return failed_call(f"the server sent a result without content: {_shortened(bytes(raw))}")
    if envelope.too_deep(bytes(raw)):
        return failed_call(f"the server sent a result nested deeper than {envelope.MAX_DEPTH} levels")
    blocks = [_block(block) for block in content]
    fixed = {"content": blocks} if any(new is not old for new, old in zip(blocks, content)) else {}
    dropped = {name for name, kind in (("structuredContent", dict), ("isError", bool), ("_meta", dict))
               if name in members and not _is(members[name], kind)}
    if not fixed and not dropped:
        return raw
    return envelope.encode({**{name: value for name, value in members.items() if name not in dropped}, **fixed})


def tool_list(raw: Raw) -> bytes | None:
    """A `tools/list` result without what makes LiteLLM's client fail later (`outputSchema`) or at once. None if it is none."""
    try:
        members = envelope.members(raw)
        tools = [envelope.members(tool) for tool in msgspec.json.decode(members["tools"], type=list[Raw])]
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError):
        return None
    if not _is(members.get("nextCursor", Raw(b'""')), str):
        members.pop("nextCursor")
    return envelope.encode({**members, "tools": [_tool(tool) for tool in tools if _is(tool.get("name", Raw(b"0")), str)]})


def failed_call(why: str) -> bytes:
    """A tool result that says what went wrong, as the specification wants tool errors told (server/tools)."""
    return b'{"content":[{"type":"text","text":%b}],"isError":true}' % envelope.encode(why)


def error_text(error: Raw) -> str:
    """The words of a JSON-RPC error."""
    try:
        return msgspec.json.decode(error, type=_Error).message or _shortened(bytes(error))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _shortened(bytes(error))


class _ToolAnnotations(msgspec.Struct):
    title: str | None = None
    readOnlyHint: bool | None = None
    destructiveHint: bool | None = None
    idempotentHint: bool | None = None
    openWorldHint: bool | None = None


class _Error(msgspec.Struct):
    message: str = ""


def _block(raw: Raw) -> Raw | dict:
    try:
        block = _blocks.decode(raw)
        msgspec.json.decode(raw, type=_Block)
        uri = block.uri if isinstance(block, _Link) else block.resource.uri if isinstance(block, _Embedded) else None
        if isinstance(block, _Embedded) and block.resource.text is None and block.resource.blob is None:
            raise ValueError("a resource without text and blob")
        if uri is None or _URL.fullmatch(uri):
            return raw
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        pass
    return {"type": "text", "text": bytes(raw).decode(errors="replace")}


def _tool(tool: dict) -> dict:
    tool.pop("outputSchema", None)
    for name, kind in (("description", str), ("title", str), ("annotations", _ToolAnnotations), ("_meta", dict)):
        if name in tool and not _is(tool[name], kind):
            del tool[name]
    if not _is(tool.get("inputSchema", Raw(b"0")), dict):
        tool["inputSchema"] = Raw(b'{"type":"object"}')
    return tool


def _is(raw: Raw, kind: type) -> bool:
    try:
        msgspec.json.decode(raw, type=dict[str, Raw] if kind is dict else kind)
        return True
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def _shortened(raw: bytes) -> str:
    text = raw.decode(errors="replace")
    return text if len(text) <= _TEXT_LIMIT else text[:_TEXT_LIMIT] + f"… ({len(raw)} bytes)"
