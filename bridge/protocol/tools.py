"""Which of the child's tools clients see, and under which names: `--tool-allow`, `--tool-deny`, `--tool-rename`.

Two places look at it, and only where an operator asked for it. On the way in, a rule of the relay's (`rules`) answers a
call of a hidden tool as one of an unknown tool, and puts the child's own name into the others. On the way out, the
profile (`shown_by`) cuts each `tools/list` result, wherever it comes from: the child, the memory of a sleeping child, a
list that LiteLLM gets again. All that the bridge keeps and compares (`memory`, `catalogue`, metrics, logs) has the child's
own names, so another filter makes none of it wrong.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw

from bridge.protocol import envelope
from bridge.protocol.catalogue import UNKNOWN
from bridge.protocol.envelope import Envelope, Params
from bridge.protocol.era import LEGACY
from bridge.protocol.errors import INVALID_PARAMS
from bridge.protocol.exchange import Exchange
from bridge.protocol.interfaces import Context
from bridge.protocol.session import Session

REMEMBERED = 2000  # names of calls whose tool is known; clients may make up any number
LONGEST = 256  # characters of a name; nobody has longer ones (SEP-986: 128)


class BadNames(Exception):
    """The options contradict each other, or one is none; the message says which."""


class _Named(msgspec.Struct):
    name: str


class Tools:
    """The operator's choice. Patterns and the left side of a rename (`OLD=NEW`) are the child's names; `*` is anything."""

    def __init__(self, allow: Iterable[str] = (), deny: Iterable[str] = (), rename: Iterable[str] = ()):
        self._patterns = {
            f"--tool-{word} {pattern}": _pattern(pattern, word)
            for word, patterns in (("allow", allow), ("deny", deny))
            for pattern in patterns
        }
        self._allow = [_pattern(text, "allow") for text in allow]
        self._deny = [_pattern(text, "deny") for text in deny]
        self._new = {old: new for old, new in _renames(rename).items() if self._is_allowed(old)}
        self._old = {new: old for old, new in self._new.items()}
        self._meant: dict[bytes, bytes] = {}  # the child's name by the client's, both raw JSON; empty for hidden ones
        self._reported: set[str] = set()

    # -- names --------------------------------------------------------------------------------------------------------

    def shown(self, name: str) -> str | None:
        """What clients call the child's tool; None if it is hidden, too, because another one took its name."""
        if name in self._new:
            return self._new[name]
        return name if self._is_allowed(name) and name not in self._old else None

    def meant(self, name: str) -> str | None:
        """The child's name of what a client calls so; None if the client should not know of it."""
        if name in self._old:
            return self._old[name]
        return name if self._is_allowed(name) and name not in self._new else None

    def _is_allowed(self, name: str) -> bool:
        return len(name) <= LONGEST and (not self._allow or _fits_any(self._allow, name)) and not _fits_any(self._deny, name)

    def complaints(self, names: Iterable[str]) -> list[str]:
        """What is wrong with the options, now that the child's tools are known. Each is told once."""
        names = set(names)
        found = []
        for old, new in self._new.items():
            if old not in names:
                found.append(f"--tool-rename {old}={new}: the server has no tool {old!r}")
            if new in names and new not in self._new and self._is_allowed(new):
                found.append(f"--tool-rename {old}={new}: the server has a tool {new!r} of its own, which is hidden now")
        found += [
            f"{option}: the server has no such tool" for option, pattern in self._patterns.items() if not any(map(pattern.fits, names))
        ]
        news = [text for text in found if text not in self._reported]
        self._reported.update(news)
        return news

    # -- calls --------------------------------------------------------------------------------------------------------

    def call(self, relay: Context, session: Session, message: Envelope, params: Params) -> bytes | None:
        """A rule (see `rules`) for `tools/call`: answer for a tool that is hidden, else name it as the child does."""
        if why := self.name_call(relay, message, params):
            return relay.policy.profile.refusal(bytes(message.id), message.method, INVALID_PARAMS, why)
        return None

    def name_call(self, relay: Context, message: Envelope, params: Params, client_era: str = LEGACY) -> str:
        """Name the tool as the child does. Returns why there is no such tool, or an empty string."""
        given = bytes(params.name)
        name = self._meant.get(given)
        if name is None:
            name = self._look_up(given)
        if not name:
            relay.counts.requests[(message.method or "", UNKNOWN, "hidden", client_era, relay.link.era)] += 1
            return f"Unknown tool: {(envelope.string(params.name) or given.decode(errors='replace'))[:LONGEST]}"
        if name != given:
            message.params = named(message.params, name)
            params.name = Raw(name)
        return ""

    def _look_up(self, given: bytes) -> bytes:
        text = envelope.string(Raw(given)) if given else None
        name = None if text is None else self.meant(text)
        raw = b"" if name is None else envelope.encode(name)
        if len(given) <= 2 * LONGEST and len(self._meant) < REMEMBERED:
            self._meant[given] = raw
        return raw

    # -- lists --------------------------------------------------------------------------------------------------------

    def page(self, raw: Raw) -> Raw:
        """A `tools/list` result as clients see it. The bytes of a tool that is shown stay, but for its name."""
        try:
            members = envelope.members(raw)
            tools = envelope.array_or_none(members["tools"])
        except (msgspec.MsgspecError, KeyError, UnicodeDecodeError, RecursionError):
            return raw  # no list of tools: whoever reads it says so
        if tools is None:
            return Raw(envelope.encode({**members, "tools": []})) if envelope.is_wide(members["tools"]) else raw
        shown = [self._tool(tool) for tool in tools]
        if all(new is old for new, old in zip(shown, tools, strict=False)):
            return raw
        return Raw(envelope.encode({**members, "tools": [tool for tool in shown if tool is not None]}))

    def _tool(self, raw: Raw) -> Raw | None:
        try:
            name = msgspec.json.decode(raw, type=_Named).name
            new = self.shown(name)
            if new is None or new == name:
                return None if new is None else raw
            return Raw(envelope.encode({**envelope.members(raw), "name": new}))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None  # without a name nobody can tell whether it may be shown


def named(params: Raw, name: bytes) -> Raw:
    """The params of a call with this name (raw JSON)."""
    members = envelope.members(params)
    members["name"] = Raw(name)
    return Raw(envelope.encode(members))


def shown_by(profile: Any, tools: Tools) -> Any:
    """A profile of this class whose tool lists show what `tools` lets through."""

    class Shown(profile):  # type: ignore[misc]  # of the class that is given
        def answer(self, exchange: Exchange, message: Envelope) -> Any:
            return super().answer(exchange, cut(message, tools) if exchange.method == "tools/list" else message)

        def own_name(self, name: str) -> str | None:
            return tools.meant(name)

        def record_list(self, cursor: bytes, message: Envelope) -> None:
            super().record_list(cursor, cut(message, tools))

    return Shown()


def cut(message: Envelope, tools: Tools) -> Envelope:
    return Envelope(result=tools.page(message.result)) if message.result else message


def _renames(items: Iterable[str]) -> dict[str, str]:
    """`OLD=NEW` as a dictionary. Raises BadNames."""
    result: dict[str, str] = {}
    for item in items:
        old, _, new = item.partition("=")
        if not old or not new or re.search(r"[\s*]", old + new):
            raise BadNames(f"--tool-rename {item}: expected OLD=NEW, two names of tools")
        if result.get(old, new) != new:
            raise BadNames(f"--tool-rename {item}: {old!r} is renamed to {result[old]!r} already")
        if (other := next((known for known in result if result[known] == new), old)) != old:
            raise BadNames(f"--tool-rename {item}: {other!r} is renamed to {new!r} already")
        result[old] = new
    return result


def _fits_any(patterns: list["Pattern"], name: str) -> bool:
    return any(pattern.fits(name) for pattern in patterns)


class Pattern:
    """A name of a tool in which `*` stands for anything.

    No regular expression: its `.*a.*a.*a` tries every way to divide a name among its stars. The first place where a
    part fits is as good as any other, so this looks at each character once for each part.
    """

    def __init__(self, text: str):
        self.begin, *rest = text.split("*")
        self.end = rest.pop() if rest else None  # None: no star
        self.middle = rest

    def fits(self, name: str) -> bool:
        if self.end is None:
            return name == self.begin
        if len(name) < len(self.begin) + len(self.end) or not (name.startswith(self.begin) and name.endswith(self.end)):
            return False
        at, last = len(self.begin), len(name) - len(self.end)
        for part in self.middle:
            found = name.find(part, at, last)
            if found < 0:
                return False
            at = found + len(part)
        return True


def _pattern(text: str, word: str) -> Pattern:
    if not text or text != text.strip():
        raise BadNames(f"--tool-{word} {text!r}: expected the name of a tool, in which '*' stands for anything")
    return Pattern(text)
