"""What a group calls the tools, prompts and resources of its members, and of whom a name is. Pure.

A tool's name is `MEMBER-NAME`, as LiteLLM writes it. Members are the operator's, so which of them a prefix names does not hang on what any
server says of itself: it is the longest member's name that the name begins with. A tool that cannot be called so (`b-c` of `a`, beside
a member `a-b`) is not shown. LiteLLM 1.77.3 divides at the first `-` and so forbids it in servers' names.

In a group whose prefixes are `when-needed` a name that one member has, and no other, stands alone; with its prefix it is good as well. A
name that several have is nobody's without a prefix, so that no server takes another one's calls by listing what that has.

Resources keep their URIs, which other messages name, too. One that several members list is `mcp-bridge://MEMBER/URI`, for each of them.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from sys import getsizeof

from bridge.protocol.tools import Pattern

SEPARATOR = "-"
ALIAS = "mcp-bridge://"
LONGEST = 64  # characters of a name that models take
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_VARIABLE = re.compile(r"\{[^{}]*\}")
MOST, MOST_TEMPLATES = 5000, 500  # names of one member that are known; templates that are tried
MOST_BYTES = 2 << 20  # of all names of a kind that one caller was shown
EACH = 200  # bytes that a name takes beside its own: its place in a dictionary, and the tuple of its owners


def prefixed(member: str, name: str) -> str:
    return f"{member}{SEPARATOR}{name}"


def parted(name: str, members: Collection[str]) -> tuple[str, str] | None:
    """The member that a name's prefix names, and its own name; the longest, where several could be meant."""
    at = max(map(len, members), default=0) + 1
    while (at := name.rfind(SEPARATOR, 0, at)) > 0:
        if name[:at] in members:
            return name[:at], name[at + 1 :]
    return None


def alias(member: str, uri: str) -> str:
    return f"{ALIAS}{member}/{uri}"


def of_alias(uri: str, members: Collection[str]) -> tuple[str, str] | None:
    member, _, rest = uri.removeprefix(ALIAS).partition("/")
    return (member, rest) if uri.startswith(ALIAS) and member in members else None


class Directory:
    """What a caller was shown last: of whom each name is, without its prefix. `kind` is tool, prompt, resource or template."""

    def __init__(self) -> None:
        self._owners: dict[str, dict[str, tuple[str, ...]]] = {}
        self._sizes: dict[str, int] = {}  # bytes, by kind
        self._templates: list[tuple[Pattern, str]] = []
        self._schemes: dict[str, frozenset[str]] = {}

    def knows(self, kind: str) -> bool:
        return kind in self._owners

    def learn(self, kind: str, listed: Mapping[str, Iterable[str]]) -> None:
        """`listed` are the names of now, by member. What is too much is not known: it can be called with its prefix, and read by its alias."""
        owners: dict[str, list[str]] = {}
        size = 0
        for member, names in listed.items():
            for name in islice(dict.fromkeys(names), MOST):
                if name not in owners:
                    size += (2 if kind == "template" else 1) * getsizeof(name) + EACH  # a template's pattern is as long as itself
                    if size > MOST_BYTES:
                        break
                owners.setdefault(name, []).append(member)
        self._sizes[kind] = min(size, MOST_BYTES)
        self._owners[kind] = {name: tuple(members) for name, members in owners.items()}
        if kind in ("resource", "template"):
            self._learn_uris()

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return sum(self._sizes.values())

    def owners(self, kind: str, name: str) -> tuple[str, ...]:
        return self._owners.get(kind, {}).get(name, ())

    def owners_of_uri(self, uri: str) -> Collection[str]:
        """Who may have a resource: who lists it, else whose template it fits, else who alone has such addresses."""
        if found := self.owners("resource", uri) or self.owners("template", uri):
            return found
        if found := tuple(dict.fromkeys(member for pattern, member in self._templates if pattern.fits(uri))):
            return found
        scheme = _SCHEME.match(uri)
        return self._schemes.get(scheme[0].lower(), ()) if scheme else ()

    def _learn_uris(self) -> None:
        schemes: dict[str, set[str]] = {}
        for kind in ("resource", "template"):
            for uri, members in self._owners.get(kind, {}).items():
                if scheme := _SCHEME.match(uri):
                    schemes.setdefault(scheme[0].lower(), set()).update(members)
        self._schemes = {scheme: frozenset(members) for scheme, members in schemes.items()}
        # One without a scheme of its own would fit what any server has.
        templates = [item for item in self._owners.get("template", {}).items() if _SCHEME.match(item[0])][:MOST_TEMPLATES]
        self._templates = [(_pattern(text), member) for text, members in templates for member in members]


def _pattern(template: str) -> Pattern:
    """What a URI template (RFC 6570) may become: it is looked at where its variables stand, and not at what they say."""
    return Pattern("*".join(_VARIABLE.split(template)))
