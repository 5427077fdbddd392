"""What the child's own tool list says: the names, so that a metric's label can only be one of them, and which tools may
be called twice, or as a task, or with arguments in headers.
"""

from collections.abc import Iterable

import msgspec
from msgspec import Raw

from bridge.counts import Labels
from bridge.protocol import envelope, spelling
from bridge.protocol.mirrored_headers import Mirrored, annotations

NAMES = 2000
UNKNOWN = "(unknown)"
_UNKNOWN = (UNKNOWN, False)


class _Annotations(msgspec.Struct):
    readOnlyHint: Raw = Raw()
    idempotentHint: Raw = Raw()


class _Tool(msgspec.Struct):
    name: str
    annotations: Raw = Raw()
    inputSchema: Raw = Raw()
    execution: Raw = Raw()


class _Page(msgspec.Struct):
    tools: list[_Tool]


class _RawPage(msgspec.Struct):
    tools: Raw


class Catalogue:
    """Names by raw JSON string, as we write it; those of `safe` tools change nothing, or nothing more when called again.

    A name that is not found may be spelled otherwise: Python writes "caf\\u00e9", PHP "a\\/b".
    """

    def __init__(self, labels: Labels | None = None):
        self.labels = labels or Labels()
        self._tools: dict[bytes, tuple[str, bool]] = {}
        self.names: dict[bytes, str] = {}
        self.headers: dict[bytes, Mirrored] = {}  # arguments that are mirrored in headers, by tool
        self.is_known = False
        self._tasks: frozenset[bytes] = frozenset()

    def of(self, name: Raw) -> tuple[str, bool]:
        """The label of a tool, and whether it is safe."""
        return self._tools.get(bytes(name)) or self._tools.get(envelope.key(name), _UNKNOWN)

    def wants_task(self, name: Raw) -> bool:
        """Whether the tool can only be called as a task (2025-11-25, basic/utilities/tasks)."""
        return bool(self._tasks) and envelope.key(name) in self._tasks

    def mirrored(self, name: Raw) -> Mirrored:
        """The arguments of the tool that stand in headers, too."""
        return self.headers.get(envelope.key(name), ())

    def learn(self, pages: Iterable[bytes]) -> None:
        """Take in all pages of a list (`tools/list` results). A page that is none leaves everything as it was."""
        try:
            pages = [page for page in pages if not envelope.is_wide(msgspec.json.decode(page, type=_RawPage).tools)]
            tools = [tool for page in pages for tool in msgspec.json.decode(page, type=_Page).tools][:NAMES]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        self.is_known = True
        self.names = {envelope.encode(tool.name): tool.name for tool in tools}
        safe = {tool.name for tool in tools if _is_safe(tool.annotations)}
        self._tools = {raw: (self.labels.of(name), name in safe) for raw, name in self.names.items()}
        self._tasks = frozenset(envelope.encode(tool.name) for tool in tools if bytes(tool.execution) and _wants_task(tool.execution))
        found = (
            (tool.name, annotations(tool.inputSchema)) for tool in tools if spelling.may_name(bytes(tool.inputSchema), b"x-mcp-header")
        )
        self.headers = {envelope.encode(name): mirrored for name, mirrored in found if mirrored}


def _wants_task(execution: Raw) -> bool:
    support = (envelope.object_or_none(execution) or {}).get("taskSupport", Raw(b"null"))
    return envelope.string(support) == "required"


def _is_safe(annotations: Raw) -> bool:
    """ToolAnnotations (server/tools): `readOnlyHint` or `idempotentHint`."""
    if not annotations:
        return False
    try:
        hints = msgspec.json.decode(annotations, type=_Annotations)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return bytes(hints.readOnlyHint) == b"true" or bytes(hints.idempotentHint) == b"true"
