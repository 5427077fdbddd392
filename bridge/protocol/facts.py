"""What a child told of itself in its handshake, and the `initialize` results that clients get from it."""

from dataclasses import dataclass, field

import msgspec
from msgspec import Raw

from bridge import __version__
from bridge.protocol import envelope, meta
from bridge.protocol.era import LEGACY, MODERN
from bridge.protocol.revisions import FIRST_MODERN, NEWEST, negotiate

LIST_CHANGED = ("tools", "prompts", "resources")
_NO_OBJECT = Raw(b"{}")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a child told of itself: its revision, its capabilities by name, and the members of its `initialize` result.

    A modern child has none; `members` are what that result would be.
    """

    revision: str
    capabilities: envelope.Members
    members: envelope.Members
    title: str
    era: str = LEGACY
    _answers: dict[tuple[str, bool, bool], bytes] = field(default_factory=dict)  # by revision and what is hidden; four revisions at most

    @classmethod
    def of(cls, result: bytes | Raw) -> "Facts":
        """Raises msgspec.MsgspecError where the result is not what `initialize` answers."""
        members = envelope.members(result)
        if "supportedVersions" in members:
            return cls._of_discovery(members)
        revision = msgspec.json.decode(members["protocolVersion"], type=str) if "protocolVersion" in members else NEWEST
        capabilities = envelope.members(members.get("capabilities", _NO_OBJECT))
        members.setdefault("capabilities", _NO_OBJECT)
        members.setdefault("serverInfo", Raw(b'{"name":"unnamed","version":""}'))
        info = msgspec.json.decode(members["serverInfo"], type=_ServerInfo)
        return cls(revision, capabilities, members, f"{info.name} {info.version}".strip())

    @classmethod
    def _of_discovery(cls, members: envelope.Members) -> "Facts":
        """The same of what a modern child's `server/discover` answers."""
        versions = envelope.strings(members["supportedVersions"])
        if FIRST_MODERN not in versions:
            raise msgspec.ValidationError(f"it speaks none of our revisions, but {', '.join(versions)[:200] or 'none'}")
        capabilities = envelope.members(members.get("capabilities", _NO_OBJECT))
        server: Raw = meta.inner(members).get(meta.SERVER) or members.get("serverInfo") or Raw(b'{"name":"unnamed","version":""}')
        info = msgspec.json.decode(server, type=_ServerInfo)
        shown = {name: value for name, value in capabilities.items() if name not in ("extensions", "tasks")}
        discovered = {"protocolVersion": NEWEST, "capabilities": Raw(envelope.encode(shown)), "serverInfo": server}
        if "instructions" in members:
            discovered["instructions"] = members["instructions"]
        return cls(FIRST_MODERN, shown, discovered, f"{info.name} {info.version}".strip(), MODERN)

    def tells(self, kind: str) -> bool:
        """Whether the child says when this kind of list changes."""
        members = envelope.object_or_none(self.capabilities.get(kind, b"")) or {}
        return bytes(members.get("listChanged", b"")) == b"true"

    def offers(self, capability: str) -> bool:
        # Go servers without `omitempty` write null for what they do not have.
        return bytes(self.capabilities.get(capability, b"null")) not in (b"null", b"false")

    def answer(self, wanted: str | None, *, hide_tasks: bool, hide_list_changed: bool) -> tuple[str, bytes]:
        """The revision and the `initialize` result of one client (lifecycle, "Version Negotiation")."""
        revision = negotiate(wanted, NEWEST if self.era == MODERN else self.revision)
        known = self._answers.get((revision, hide_tasks, hide_list_changed))
        if known is not None:
            return revision, known
        members = {**self.members, "protocolVersion": revision}
        if (hide_tasks and self.offers("tasks")) or hide_list_changed:
            members["capabilities"] = self._capabilities(hide_tasks, hide_list_changed)
        answer = self._answers[(revision, hide_tasks, hide_list_changed)] = envelope.encode(members)
        return revision, answer

    def _capabilities(self, hide_tasks: bool, hide_list_changed: bool) -> envelope.Members:
        shown = {name: value for name, value in self.capabilities.items() if not (hide_tasks and name == "tasks")}
        for name in LIST_CHANGED if hide_list_changed else ():
            if name in shown and envelope.is_object(shown[name]):
                inner = envelope.members(shown[name])
                inner.pop("listChanged", None)
                shown[name] = inner
        return shown


class _ServerInfo(msgspec.Struct):
    name: str = "unnamed"
    version: str = ""


def initialize_params(revision: str = NEWEST, capabilities: bytes = b"{}", client: bytes = b"") -> bytes:
    """The params of the `initialize` request that the bridge sends to a child, for itself or in a client's name."""
    client = client or b'{"name":"mcp-bridge","version":"%b"}' % __version__.encode()
    return b'{"protocolVersion":%b,"capabilities":%b,"clientInfo":%b}' % (
        envelope.encode(revision),
        envelope.flat(capabilities),
        envelope.flat(client),
    )
