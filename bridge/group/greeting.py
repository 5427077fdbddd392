"""What a group says of itself: the capabilities of all its members, and their instructions one below the other. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Raw

from bridge import __version__
from bridge.protocol import envelope, meta
from bridge.protocol.facts import LIST_CHANGED, Facts
from bridge.protocol.revisions import MODERN, NEWEST, negotiate

Known = Sequence[tuple[str, Facts]]  # members by name
NOT_MODERN = ("tasks", "extensions")


def initialize_result(
    group: str, known: Known, absent: Sequence[str], wanted: str | None, own: Sequence[str], is_litellm: bool
) -> tuple[str, bytes]:
    """The revision and the result of `initialize`. `own` are the members of which this client gets a child of its own, which may have tasks."""
    revision = negotiate(wanted, NEWEST)
    said = [
        envelope.members(facts.answer(wanted, hide_tasks=name not in own, hide_list_changed=False)[1])["capabilities"]
        for name, facts in known
    ]
    result = {
        "protocolVersion": revision,
        "capabilities": capabilities(said, bool(absent), is_litellm),
        "serverInfo": {"name": group, "title": f"{group}: {len(known) + len(absent)} MCP servers", "version": __version__},
        **_instructions(known, absent),
    }
    return revision, envelope.encode(result)


def discovery_result(group: str, known: Known, absent: Sequence[str]) -> bytes:
    """The result of `server/discover`."""
    shown = [
        Raw(envelope.encode({name: value for name, value in facts.capabilities.items() if name not in NOT_MODERN and facts.offers(name)}))
        for _, facts in known
    ]
    result = {
        "resultType": "complete",
        "supportedVersions": MODERN,
        "capabilities": capabilities(shown, bool(absent), False),
        **_instructions(known, absent),
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {meta.SERVER: {"name": group, "version": __version__}},
    }
    return envelope.encode(result)


def capabilities(said: Iterable[Raw], is_more_to_come: bool, hides_list_changed: bool) -> dict[str, Any]:
    """The union. Lists of a group change when a member comes or goes, whatever that says of its own."""
    union: dict[str, Any] = {kind: {} for kind in LIST_CHANGED} if is_more_to_come else {}
    for raw in said:
        for name, value in (envelope.object_or_none(raw) or {}).items():
            if bytes(value) not in (b"null", b"false"):
                union[name] = _merged(union.get(name), value)
    for kind in LIST_CHANGED:
        if kind in union:
            inner = dict(union[kind]) if isinstance(union[kind], dict) else {}
            inner.pop("listChanged", None)
            union[kind] = inner if hides_list_changed else {**inner, "listChanged": True}
    return union


def _merged(before: Any, raw: Raw) -> Any:
    members = envelope.object_or_none(raw)
    if members is None:
        return before if isinstance(before, dict) or bytes(raw) == b"false" else raw
    result = dict(before) if isinstance(before, dict) else {}
    for name, value in members.items():
        result[name] = _merged(result.get(name), value) if name in result or envelope.is_object(value) else value
    return result


def _instructions(known: Known, absent: Sequence[str]) -> dict[str, str]:
    parts = []
    for name, facts in known:
        text = envelope.string(facts.members.get("instructions", Raw(b"null")))
        if text:
            parts.append(f"# {name}\n\n{text}")
    if absent:
        parts.append(f"Not there at the moment: {', '.join(absent)}.")
    return {"instructions": "\n\n".join(parts)} if parts else {}
