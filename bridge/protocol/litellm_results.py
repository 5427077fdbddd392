"""What LiteLLM's client (mcp SDK 1.10 to 2.3, pydantic) takes as a valid tool result and tool list, and how to get there.

Each model below is that SDK's, reduced to what it refuses. A block that it would refuse becomes a text block with the
block's own JSON in it, so nothing is lost; a part of a tool's description that it would refuse is left out.
"""

import re
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Raw

from bridge.protocol import envelope, model_names, schemas

LONGEST_URI = 1 << 16  # characters; a longer one is no link that anybody follows
_TEXT_LIMIT = 4000  # characters of a child's own words in a failure


class _Annotations(msgspec.Struct):
    audience: list[Literal["user", "assistant"]] | None = None
    priority: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    lastModified: str | None = None


class _Icon(msgspec.Struct):
    src: str
    mimeType: str | None = None
    sizes: list[str] | None = None
    theme: Literal["light", "dark"] | None = None


class _Block(msgspec.Struct):
    """A content block of any type: what all of them share."""

    type: str
    annotations: _Annotations | None = None
    meta: dict[str, Raw] | None = msgspec.field(default=None, name="_meta")


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
    icons: list[_Icon] | None = None


class _Contents(msgspec.Struct):
    uri: str
    text: str | None = None
    blob: str | None = None
    mimeType: str | None = None
    meta: dict[str, Raw] | None = msgspec.field(default=None, name="_meta")


class _Embedded(msgspec.Struct, tag_field="type", tag="resource"):
    resource: _Contents


_blocks = msgspec.json.Decoder(_Text | _Image | _Audio | _Link | _Embedded)
# What pydantic's AnyUrl takes for sure (SDK 1.x): it parses the host of the schemes that browsers know.
_LABEL = r"(?!xn--)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_BYTE = r"(?:1?[1-9]?[0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])"
_HOST = rf"(?:(?:{_LABEL}\.)*(?=[a-z]){_LABEL}|(?:{_BYTE}\.){{3}}{_BYTE}|\[::1\])"
_REST = r"(?:[/?#]\S*)?"
_URL = re.compile(
    rf"(?:https?|ftp|wss?)://{_HOST}(?::[0-9]{{1,4}})?{_REST}|file:(?:///\S*|/(?!/)\S*)"
    rf"|(?!(?:https?|ftp|wss?|file):)[a-z][a-z0-9+.-]*:(?://[a-z0-9._~-]*{_REST}|(?!//)\S*)",
    re.IGNORECASE,
)


def call_result(raw: Raw) -> bytes:
    """A `tools/call` result that LiteLLM's client can read: the child's own bytes where they are fine already."""
    if envelope.too_deep(bytes(raw)):
        return failed_call(f"the server sent a result nested deeper than {envelope.MAX_DEPTH} levels")
    try:
        members = envelope.members(raw)
        # Each block is looked at: of very many, the whole is shown as one.
        is_wide = envelope.is_wide(members["content"])
        content = [members["content"]] if is_wide else msgspec.json.decode(members["content"], type=list[Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError):
        return failed_call(f"the server sent a result without content: {_shortened(bytes(raw))}")
    blocks = [_block(block) for block in content]
    fixed = {"content": blocks} if any(new is not old for new, old in zip(blocks, content, strict=False)) else {}
    dropped = {name for name, kind in _RESULT if name in members and not _is(members[name], kind)}
    if not fixed and not dropped:
        return raw
    return envelope.encode({**{name: value for name, value in members.items() if name not in dropped}, **fixed})


def tool_list(raw: Raw, longest: int = model_names.LONGEST) -> tuple[bytes, dict[str, str]] | None:
    """A `tools/list` result without what makes LiteLLM's client fail later (`outputSchema`) or at once, as models take it, and
    the names that it gives tools in place of their own. None if it is no such result."""
    try:
        members = envelope.members(raw)
        tools = envelope.array_or_none(members["tools"])
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError, RecursionError):
        return None
    if tools is None:
        return None
    if envelope.too_deep(bytes(raw)):
        tools = [tool for tool in tools if not envelope.too_deep(bytes(tool))]
        members.pop("_meta", None)
    known = {name: members[name] for name, kind in _LIST if name in members and _is(members[name], kind)}
    by_name: dict[str, Raw] = {}
    for tool in tools:
        if _is(tool, _Named):
            by_name.setdefault(_decoder(_Named).decode(tool).name, tool)  # of two with one name a client can call only one
    names = model_names.mended(by_name, longest)
    shown = [_tool(envelope.members(tool), names.get(name)) for name, tool in by_name.items()]
    return envelope.encode({**known, "tools": shown}), names


def failed_call(why: str) -> bytes:
    """A tool result that says what went wrong, as the specification wants tool errors told (server/tools)."""
    return b'{"content":[{"type":"text","text":%b}],"isError":true}' % envelope.encode(why)


def error_text(error: Raw) -> str:
    """The words of a JSON-RPC error."""
    try:
        return msgspec.json.decode(error, type=_Error).message or _shortened(bytes(error))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _shortened(bytes(error))


def is_error(raw: Raw) -> bool:
    """Whether it is a JSON-RPC error object that the client can read."""
    return _is(raw, _ReadableError) and not envelope.too_deep(bytes(raw))


def is_object(raw: Raw) -> bool:
    return _is(raw, dict)


class _Named(msgspec.Struct):
    name: str


class _ReadableError(msgspec.Struct):
    code: int
    message: str


class _Execution(msgspec.Struct):
    taskSupport: Literal["forbidden", "optional", "required"] | None = None


class _ToolAnnotations(msgspec.Struct):
    title: str | None = None
    readOnlyHint: bool | None = None
    destructiveHint: bool | None = None
    idempotentHint: bool | None = None
    openWorldHint: bool | None = None


class _Error(msgspec.Struct):
    message: str = ""


def _block(raw: Raw) -> Raw | envelope.Members:
    try:
        block = _blocks.decode(raw)
        msgspec.json.decode(raw, type=_Block)
        uri = block.uri if isinstance(block, _Link) else block.resource.uri if isinstance(block, _Embedded) else None
        if isinstance(block, _Embedded) and block.resource.text is None and block.resource.blob is None:
            raise ValueError("a resource without text and blob")
        if uri is None or (len(uri) <= LONGEST_URI and _URL.fullmatch(uri)):
            return raw
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        pass
    return _as_text(raw)


def _as_text(raw: Raw) -> envelope.Members:
    return {"type": "text", "text": bytes(raw).decode(errors="replace")}


def _tool(tool: envelope.Members, name: str | None) -> envelope.Members:
    tool.pop("outputSchema", None)
    if name is not None:
        tool["name"] = name
    for name, kind in _TOOL:
        if name in tool and not _is(tool[name], kind):
            del tool[name]
    tool["inputSchema"] = _schema(tool.get("inputSchema", NO_OBJECT))
    return tool


def _schema(raw: Raw) -> envelope.Members:
    """The schema of a tool's arguments. SDK 2.3 refuses the whole list where one has no `"type":"object"`."""
    schema = envelope.object_or_none(raw) or {}
    for name, kind in _SCHEMA:
        if name in schema and not _is(schema[name], kind):
            del schema[name]
    if not schema.get("type"):
        schema = {"type": "object", **schema}
    if not _MAY_BE_ODD.search(raw) and "properties" in schema:
        return schema
    try:
        whole = msgspec.json.decode(envelope.encode(schema))
    except (msgspec.MsgspecError, RecursionError):
        return schema  # numbers that Python has not
    better = schemas.mended(whole)
    return schema if better == whole else better


def _is(raw: Raw, kind: Any) -> bool:
    if kind is dict:
        return envelope.is_object(raw)  # without a dictionary of all that is in it
    try:
        _decoder(kind).decode(raw)
        return not envelope.is_wide(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


NO_OBJECT = Raw(b"{}")
_MAY_BE_ODD = re.compile(rb'"\$ref"|"array"|:\s*(?:true|false)|[\[,]\s*(?:true|false)|\\u00')  # saves taking most schemas apart
_RESULT = (("structuredContent", dict), ("isError", bool), ("_meta", dict), ("resultType", str))
_LIST = (("nextCursor", str), ("_meta", dict))  # 2026-07-28 has more, which mean nothing to a client with a session
_TOOL = (
    ("description", str),
    ("title", str),
    ("annotations", _ToolAnnotations),
    ("icons", list[_Icon]),
    ("execution", _Execution),
    ("_meta", dict),
)
_SCHEMA = (("type", Literal["object"]), ("properties", dict[str, dict[str, Raw] | bool]), ("required", list[str]), ("$schema", str))


def _shortened(raw: bytes) -> str:
    text = raw.decode(errors="replace")
    return text if len(text) <= _TEXT_LIMIT else text[:_TEXT_LIMIT] + f"… ({len(raw)} bytes)"
