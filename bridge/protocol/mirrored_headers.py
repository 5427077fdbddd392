"""Header values of the modern era: how text travels in them, and arguments that a tool wants mirrored there.

2026-07-28, basic/transports, "Custom Headers": `x-mcp-header: N` on a property of a tool's `inputSchema` makes the header
`Mcp-Param-N` mandatory whenever that argument is given. A schema with a wrong annotation has none: clients drop such tools.
"""

import base64
import binascii
import re
from typing import Any

import msgspec

from bridge.protocol import envelope, spelling

PREFIX = b"mcp-param-"
LONGEST = 1 << 20  # bytes of a schema that is looked at
_SENTINEL = re.compile(rb"=\?base64\?(.*)\?=", re.DOTALL)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DECIMAL = re.compile(r"(-?[0-9]{1,400})(?:\.0+)?")
_TYPES = ("string", "integer", "boolean")
# Keywords of JSON Schema 2020-12 whose values are schemas. None of them but `properties` leads to an argument for sure.
_ONE = tuple(
    """items contains unevaluatedItems additionalProperties propertyNames unevaluatedProperties not if then else contentSchema""".split()
)
_LIST = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAP = ("patternProperties", "dependentSchemas", "$defs", "definitions")

Mirrored = tuple[tuple[tuple[str, ...], str, str], ...]  # path of an argument, its header's token, its JSON type


def decoded(value: bytes) -> str | None:
    """The text of a header's value; None where it claims to be base64 and is not."""
    found = _SENTINEL.fullmatch(value)
    if found is None:
        return value.decode("latin-1")
    try:
        content = base64.b64decode(found[1], validate=True)
        # Not the only way to write it: the specification's encoder has only one.
        return content.decode() if base64.b64encode(content) == found[1] else None
    except (binascii.Error, ValueError):
        return None


def annotations(schema: bytes | msgspec.Raw) -> Mirrored:
    """(path of the argument, header's token, JSON type) of all annotated properties; nothing where any of them is wrong."""
    found: list[tuple[tuple[str, ...], str, str]] = []
    seen: set[str] = set()
    if len(memoryview(schema)) > LONGEST:
        return ()
    try:
        stack: list[tuple[tuple[str, ...] | None, Any]] = [((), msgspec.json.decode(schema))]  # None: no path leads there
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ()
    while stack:
        path, node = stack.pop()
        if not isinstance(node, dict):
            continue
        if "x-mcp-header" in node:
            token, kind = node["x-mcp-header"], node.get("type")
            if not (path and isinstance(token, str) and _TOKEN.fullmatch(token) and kind in _TYPES and token.lower() not in seen):
                return ()
            seen.add(token.lower())
            found.append((path, token, kind))
        for keyword, value in node.items():
            if keyword == "properties" and isinstance(value, dict):
                stack += [(None if path is None else (*path, name), part) for name, part in value.items()]
            elif keyword in _ONE:
                stack.append((None, value))
            elif keyword in _LIST and isinstance(value, list):
                stack += [(None, part) for part in value]
            elif keyword in _MAP and isinstance(value, dict):
                stack += [(None, part) for part in value.values()]
    return tuple(found)


def mismatch(mirrored: Mirrored, arguments: msgspec.Raw, headers: dict[bytes, bytes], twins: frozenset[bytes]) -> str:
    """What is wrong with the `Mcp-Param-*` headers of a call; an empty string if nothing is. `twins` came more than once."""
    given = envelope.object_or_none(arguments)
    for path, token, kind in mirrored:
        name = PREFIX + token.lower().encode()
        if _has_twin(arguments, path):
            return f"Mcp-Param-{token} mirrors an argument that is there more than once, or in other letters, too (argument {'.'.join(path)!r})"
        if why := _mismatch(_at(given, path), kind, headers.get(name), name in twins):
            return f"Mcp-Param-{token} {why} (argument {'.'.join(path)!r})"
    return ""


def _mismatch(value: Any, kind: str, header: bytes | None, is_twin: bool) -> str:
    shown = _shown(value)
    if shown is None:
        return "" if header is None else "is there, but the argument is not"
    if header is None:
        return "is missing"
    if is_twin:
        return "is there more than once"
    text = decoded(header.strip(b" \t"))
    if text is None:
        return "is not base64"
    if text == shown:
        return ""
    if kind == "integer" and isinstance(value, (int, float)) and not isinstance(value, bool) and value == int(value):
        number = _DECIMAL.fullmatch(text)
        if number and int(number[1]) == int(value):
            return ""
    return "is not what the argument is"


def _has_twin(raw: msgspec.Raw, path: tuple[str, ...]) -> bool:
    """Whether a server could find another argument there than we do."""
    for name in path:
        members = envelope.object_or_none(raw)
        if members is None:
            return False
        if len(spelling.only(members, name)) != len(members) or spelling.has_twins(raw, members):
            return True
        raw = members.get(name, envelope.ABSENT)
    return False


def _shown(value: Any) -> str | None:
    """A value as a header says it; None for what has no such form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    return None


def _at(members: envelope.Members | None, path: tuple[str, ...]) -> Any:
    """The value there, where a header can say it. What stands beside it is not looked at: it may be more than we can decode."""
    *folders, last = path
    for name in folders:
        members = envelope.object_or_none(members[name]) if members and name in members else None
    raw = members.get(last) if members else None
    if raw is None or memoryview(raw)[0] in b"{[":
        return None
    try:
        return msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        return bytes(raw).decode()  # a number that is too large for us: the same words will do
